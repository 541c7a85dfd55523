"""Behaviour risk: the shared vectors, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import kakunin
import pytest
from kakunin import risk

FOLDER = Path(__file__).parents[2] / "vectors" / "risk"


def ask(path=FOLDER / "receipts.jsonl", **changed):
    asked = {name: FOLDER / file for name, file in FILES.items()} | changed
    return risk.replay(path, **asked)


FILES = {"baseline": "baseline.json", "roots": "root.pem", "policy": "policy.toml"}


def test_risk_of_the_vectors_is_that_of_every_language():
    expected = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))
    found = ask()
    assert found.digest == expected["digest"]
    changes = [(change.from_level, change.to_level, change.receipt) for change in found.changes]
    assert changes == [(change["from"], change["to"], change["receipt"]) for change in expected["changes"]]
    assert found.changes[0].evidence[0].sentence == expected["changes"][0]["evidence"][0]["sentence"]
    assert (found.level, found.score, found.calls) == (
        expected["level"],
        expected["score"],
        expected["calls"],
    )
    again = ask(baseline=(FOLDER / "baseline.json").read_bytes(), roots=[(FOLDER / "root.pem").read_bytes()])
    assert again == found


def test_risk_is_never_told_of_receipts_that_are_not_proven(tmp_path):
    lines = (FOLDER / "receipts.jsonl").read_text(encoding="utf-8").splitlines()
    path = tmp_path / "receipts.jsonl"
    for wrong, part in [
        ([*lines[:20], *lines[21:]], "line 21: receipt"),
        ([line for line in lines if "certificate" not in line], "no line before it has its certificate"),
        ([*lines[:20], lines[20][:-8] + 'AAAAA"}' + "\n"], "line 21"),
        (["{}"], "line 1: it is neither"),
    ]:
        path.write_text("\n".join(wrong), encoding="utf-8")
        with pytest.raises(kakunin.CannotVerify, match=part):
            ask(path)
    with pytest.raises(kakunin.CannotVerify, match="holds no PEM CERTIFICATE"):
        ask(roots=b"")


def test_risk_of_a_wrong_policy_or_baseline_is_an_error_and_no_level():
    with pytest.raises(kakunin.CannotVerify, match="line 2: unknown key `windw`"):
        ask(policy=b"window = 50\nwindw = 60\n")
    with pytest.raises(kakunin.CannotVerify, match="baseline"):
        ask(baseline=b"{}")
    edited = (FOLDER / "baseline.json").read_bytes().replace(b'"version":1', b'"version":1,"x":1')
    with pytest.raises(kakunin.CannotVerify, match="one spelling"):
        ask(baseline=edited)
    with pytest.raises(ValueError, match="no id of an agent"):
        ask(agent="billing")
