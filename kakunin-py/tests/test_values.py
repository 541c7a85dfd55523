"""Values that a receipt commits to: to the octet what the caller said, in every language (wire 4.2)."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import struct
from pathlib import Path

import pytest
from kakunin import ScopeDenied, agent_context, verify_agent_scope
from kakunin.testing import assert_denied, open_agent

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "values.json").read_text(encoding="utf-8"))[
    "values"
]


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def decoded(text: bytes) -> bytes:
    return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))


def disclosure(salt, name, value):
    """As wire 4.2 says, by nothing of this project."""
    text = json.dumps([salt, name, value], ensure_ascii=False, separators=(",", ":"))
    return base64url(text.encode("utf-8"))


def calls(directory):
    """Each decision of the journal with the disclosures before it."""
    found, waiting = [], []
    for segment in directory.glob("state/journal/*/*.seg"):
        data, at = segment.read_bytes(), 0
        while at < len(data):
            (length,) = struct.unpack_from("<I", data, at)
            kind, content, at = data[at + 8], data[at + 9 : at + 8 + length], at + 8 + length
            if kind == 3:
                waiting.append(content)
            elif kind == 1:
                receipt = json.loads(decoded(content.split(b".")[1]))
                if receipt["ph"] == "decision":
                    found.append((receipt, waiting))
                waiting = []
    return found


@pytest.fixture
def ask(home):
    """Calls a guarded function for a counterparty, and says what the journal has of it."""
    _, directory = home.create({"actions": ["read:*"]})
    agent = open_agent(str(directory))
    read = verify_agent_scope("read:x", counterparty="party")(lambda party: None)

    def ask(party):
        with agent_context(agent), contextlib.suppress(ScopeDenied):
            read(party)
        return calls(directory)[-1]

    with agent_context(agent):
        yield ask
    agent.close()


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_every_value_has_one_commitment_in_every_language(vector):
    text = disclosure(vector["salt"], "counterparties", vector["value"])
    assert text == vector["disclosure"]
    assert base64url(hashlib.sha256(text.encode()).digest()) == vector["commitment"]


def test_the_binding_commits_to_exactly_what_the_caller_said(ask):
    for vector in VECTORS:
        receipt, texts = ask(vector["value"])
        (text,) = texts
        salt, name, value = json.loads(decoded(text))
        assert (name, value) == ("counterparties", vector["value"]), vector["name"]
        assert text.decode() == disclosure(salt, name, value), vector["name"]
        assert receipt["tgt"]["counterparties"] == base64url(hashlib.sha256(text).digest())
        assert len(decoded(salt.encode())) == 16


@pytest.mark.parametrize("party", ["\ud800", "acme\udfff", ["acme", "\ud83e"], b"\xff\xfe", b"acme"])
def test_what_is_no_unicode_text_is_no_name_and_kept_as_none(ask, party):
    receipt, (text,) = ask(party)
    assert (receipt["dec"], receipt["why"]) == ("deny", "request.counterparty_invalid")
    assert json.loads(decoded(text))[1:] == ["counterparties", False]


def test_names_that_only_look_alike_are_not_the_name_in_the_scope(home):
    _, directory = home.create(
        {
            "actions": ["read:*"],
            "counterparties": [{"for": ["read:*"], "allow": ["acme", "café"]}],
        }
    )
    agent = open_agent(str(directory))
    read = verify_agent_scope("read:x", counterparty="party")(lambda party: "ran")
    with agent_context(agent):
        assert read("acme") == read("caf\u00e9") == "ran"
        for vector in VECTORS:
            if vector["value"] in ("acme", "caf\u00e9", "", []):
                continue
            with assert_denied("scope.counterparty"):
                read(vector["value"])
    agent.close()
