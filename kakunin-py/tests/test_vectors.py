"""The shared vectors, through the conversions that every guarded call of this package makes."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest
from kakunin import _native

VECTORS = Path(__file__).parents[2] / "vectors" / "cases.json"
UNREADABLE = {"unreadable": True}


@pytest.fixture(scope="module")
def vectors():
    read = json.loads(VECTORS.read_text(encoding="utf-8"))
    assert read["format"] == 1
    return read


@pytest.fixture(scope="module")
def judges(vectors):
    return {name: judge(vectors, setup) for name, setup in vectors["setups"].items()}


def judge(vectors, setup):
    def certificates(keys):
        return "".join(vectors["certificates"][key] for key in keys)

    lists, kept = ("".join(vectors["lists"][key] for key in setup[field]) for field in ("lists", "kept"))
    names = [vectors["names"][root] for root in setup["names"]]
    agent = certificates([setup["agent"]])
    return _native.Judge(
        agent, certificates(setup["chain"]), certificates(setup["roots"]), lists, kept or None, names
    )


def readings(request):
    """Each way that Python may hand over the amount of a request: kind, value."""
    if "amount_minor" in request:
        return [("minor", int(request["amount_minor"]))]
    if "as_written" in request:
        return [("as_written", json.loads(request["as_written"]))]
    amount = request.get("amount")
    if amount == UNREADABLE:
        return [("decimal", value) for value in (True, 12.5, 5, b"5", ["5"], {})]
    ways = [("decimal", amount)]
    if (
        amount
        and amount.isascii()
        and amount.replace(".", "", 1).isdigit()
        and str(Decimal(amount)) == amount
    ):
        ways.append(("decimal", Decimal(amount)))
    return ways


def names(value):
    return [7, b"acme", {"name": "acme"}, True] if value == UNREADABLE else [value]


def test_every_vector_gets_its_answer(vectors, judges):
    wrong = []
    for case in vectors["cases"]:
        request = case["request"]
        at = round(datetime.fromisoformat(case["at"].replace("Z", "+00:00")).timestamp() * 1000)
        for kind, amount in readings(request):
            plan = _native.Plan(request["action"], amount=kind)
            for party in names(request.get("counterparty")):
                for resource in names(request.get("resource")):
                    values = (amount, request.get("currency"), party, resource)
                    answer = judges[case["setup"]].answer(plan, *values, at)
                    if answer != case["expect"]:
                        wrong.append((case["name"], values, answer, case["expect"]))
    assert not wrong
    assert len(vectors["cases"]) > 150
