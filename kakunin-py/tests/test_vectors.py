"""The shared vectors, through the conversions that every guarded call of this package makes."""

from __future__ import annotations

import base64
import json
import random
import struct
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest
from kakunin import _native

FOLDER = Path(__file__).parents[2] / "vectors"
VECTORS = FOLDER / "cases.json"
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


def test_numbers_and_variables_of_this_host_get_their_answers():
    vectors = json.loads((FOLDER / "host.json").read_text(encoding="utf-8"))
    assert vectors["format"] == 1
    for case in vectors["numbers"]:
        number = json.loads(case["json"])
        assert _native.written_text(number) == case["text"] == spelled(number), case
    for case in vectors["variables"]:
        assert _native.asks_for_less(case["name"], case["value"]) is case["asks"], case
    assert {case["name"] for case in vectors["variables"]} > set(_native.LOOSENING_VARIABLES)


def spelled(number):
    """The same from what the interpreter prints: an oracle of its own."""
    text = repr(number).removesuffix(".0")
    digits = sum(character.isdigit() for character in text)
    return text if digits <= 15 and set(text) <= set("0123456789.") else None


def test_numbers_are_read_as_the_interpreter_prints_them():
    numbers = random.Random(7)
    for _ in range(50_000):
        for number in (
            struct.unpack("<d", numbers.randbytes(8))[0],
            round(numbers.uniform(0, 10**6), 2),
            numbers.randrange(-10, 10**16),
            numbers.random() * 10 ** numbers.randrange(-6, 16),
        ):
            assert _native.written_text(number) == spelled(number), number
    for other in (True, "5", None, b"5", Decimal("5"), [5], 5j):
        assert _native.written_text(other) is None


def der(pem):
    return base64.b64decode("".join(pem.strip().splitlines()[1:-1]))


def test_every_delta_vector_gets_its_answer():
    vectors = json.loads((FOLDER / "deltas.json").read_text(encoding="utf-8"))
    assert vectors["format"] == 1
    issuing = der(vectors["issuing"])
    for case in vectors["cases"]:
        expect = case["expect"]
        standings = expect.get("standings") or {"01": expect["refused"]}
        for serial, word in standings.items():
            found = _native.updated_standing(issuing, der(case["list"]), der(case["delta"]), serial)
            assert found == word, (case["name"], serial)
    assert len(vectors["cases"]) > 20
