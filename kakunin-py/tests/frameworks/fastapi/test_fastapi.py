"""The FastAPI example: a denial is a 403 that says what happened and not where the limit is."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import kakunin
import pytest
from conftest import SCOPE
from fastapi.testclient import TestClient

EXAMPLE = Path(__file__).parents[4] / "examples" / "python" / "fastapi_app.py"


@pytest.fixture(scope="module")
def client(home):
    scope = {key: value for key, value in SCOPE.items() if key != "hours"}
    _, directory = home.create(scope)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KAKUNIN_AGENT_DIR", str(directory))
        spec = importlib.util.spec_from_file_location("fastapi_app", EXAMPLE)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        with TestClient(module.app) as client:
            yield client


@pytest.mark.parametrize("total", ["125.00", 125, 12.5, "10000.00"])
def test_a_payment_within_the_scope_is_made(client, total):
    answer = client.post("/payments", json={"supplier": "acme", "total": total})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("payment", "code"),
    [
        ({"supplier": "acme", "total": "10000.01"}, "scope.amount"),
        ({"supplier": "acme", "total": 10000.01}, "scope.amount"),
        ({"supplier": "acme", "total": "1.005"}, "request.amount_invalid"),
        ({"supplier": "acme", "total": "-1"}, "request.amount_invalid"),
        ({"supplier": "stranger", "total": "1.00"}, "scope.counterparty"),
        ({"supplier": "", "total": "1.00"}, "request.counterparty_invalid"),
    ],
)
def test_a_payment_outside_the_scope_is_a_403_without_limits(client, payment, code):
    answer = client.post("/payments", json=payment)
    assert answer.status_code == 403, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["title"] == code
    assert "10000.00" not in answer.text


def test_the_agent_of_the_service_is_its_own(client):
    assert kakunin.current_agent() is not None
