"""A connected agent while its authority is away, back, or not what it was; rows P9 of the attack table."""

from __future__ import annotations

import base64
import logging
import time
from datetime import timedelta
from pathlib import Path

import pytest
from kakunin import Agent, ConnectError
from kakunin.testing import MemoryAuthority
from served import Service, eventually, payment

#: Twice the time between two signed words, and less than an authority says.
SHORT = 10


@pytest.fixture
def own(cli, tmp_path):
    """A service of the test's own."""
    service = Service(cli, tmp_path)
    yield service
    service.kill()


def test_an_authority_that_is_killed_and_started_again_is_heard_again(own):
    name = own.create()
    agent = own.connect(name)
    asked = payment(agent)
    assert asked() == "allow"
    before = agent.status()
    own.kill()
    assert asked() == "allow"
    own.start()
    assert eventually(lambda: agent.status().connections > before.connections, True) >= 0
    answer = own.order("suspend", name)
    eventually(asked, "certificate.held", 10.0)
    assert agent.status().epoch >= answer["epoch"]
    agent.close()


def test_through_an_outage_it_is_allowed_until_the_last_word_is_too_old(own, caplog):
    name = own.create()
    caplog.set_level(logging.INFO, "kakunin")
    agent = own.connect(name, max_age=SHORT)
    ran: list[object] = []
    asked = payment(agent, ran)
    assert asked() == "allow"
    assert agent.status().max_age == timedelta(seconds=SHORT)
    own.kill()
    killed, answers = time.monotonic(), []
    while (answer := asked()) == "allow":
        answers.append(answer)
        assert time.monotonic() - killed < SHORT + 5
        time.sleep(0.02)
    assert answers, "what was heard last went on counting"
    assert (answer, len(ran)) == ("revocation.stale", len(answers) + 1)
    # Decisions end a second early: their times are whole seconds.
    eventually(lambda: agent.status().fresh, False, 10.0)
    status = agent.status()
    assert status.fresh_for == timedelta(0)
    assert status.last_error is not None
    loud = ["feed.silent_50", "feed.silent_80", "feed.stale"]
    eventually(lambda: alarms(caplog, asked)[-3:], loud, 10.0)
    denied = agent.guard.check("payments:send", amount="1.00", currency="EUR", counterparty="acme")
    assert denied.code == "revocation.stale"
    assert "agent.status()" in denied.fix
    own.start()
    eventually(asked, "allow")
    eventually(lambda: alarms(caplog, asked)[-1], "feed.recovered", 10.0)
    assert agent.status().last_error is None
    agent.close()


def alarms(caplog, asked):
    """The codes of alarms that the log got, after another call."""
    asked()
    codes = (getattr(record, "kakunin_code", "") for record in caplog.records)
    return [code for code in codes if code.startswith("feed.")]


def test_without_its_authority_a_directory_opens_and_allows_nothing(own):
    name = own.create()
    agent = own.connect(name)
    agent.close()
    del agent
    own.kill()
    begun = time.monotonic()
    agent = own.connect(name, timeout=1)
    assert time.monotonic() - begun < 30
    ran: list[object] = []
    asked = payment(agent, ran)
    assert asked() == "revocation.stale"
    assert not ran
    assert agent.status().last_error is not None
    own.start()
    eventually(asked, "allow")
    agent.close()


def test_revoked_while_nobody_heard_is_denied_at_the_first_word(own):
    name = own.create()
    agent = own.connect(name)
    agent.close()
    del agent
    own.kill()
    agent = own.connect(name, timeout=0.5)
    ran: list[object] = []
    asked = payment(agent, ran)
    assert asked() == "revocation.stale"
    own.cli("revoke", name, "--reason", "a test", "--home", own.path / "home")
    own.start()
    # From one denial to the other, without an allowed call in between.
    eventually(lambda: (asked(), len(ran)), ("certificate.revoked", 0))
    agent.close()


# --- P9: lists that are none ---


def pem(ders: list[bytes]) -> bytes:
    blocks = (base64.encodebytes(der).decode() for der in ders)
    return "".join(f"-----BEGIN X509 CRL-----\n{text}-----END X509 CRL-----\n" for text in blocks).encode()


def badly_signed(lists: bytes) -> bytes:
    ders = [
        bytearray(base64.b64decode(block.split("-----END")[0]))
        for block in lists.decode().split("-----BEGIN X509 CRL-----")[1:]
    ]
    for der in ders:
        der[-1] ^= 1
    return pem([bytes(der) for der in ders])


BAD = {
    "none": lambda lists: b"",
    "unreadable": lambda lists: b"\xff\xfe",
    "no list": lambda lists: b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n",
    "another issuer's": lambda lists: MemoryAuthority().lists().encode(),
    "badly signed": badly_signed,
}


@pytest.mark.parametrize("make", BAD.values(), ids=BAD.keys())
def test_lists_that_are_none_allow_nothing_until_the_authority_is_heard(own, make):
    name = own.create()
    own.connect(name).close()
    own.kill()
    lists = own.directory(name) / "lists.pem"
    lists.write_bytes(make(lists.read_bytes()))
    ran: list[object] = []
    # Without lists there is nothing to decide by, and whoever waits for them is told so.
    try:
        agent = own.connect(name, timeout=0.5)
    except ConnectError as error:
        assert error.code
    else:
        assert payment(agent, ran)().startswith("revocation.")
        agent.close()
        del agent
    assert not ran
    own.start()
    agent = own.connect(name)
    eventually(payment(agent), "allow")
    agent.close()


def test_lists_that_are_put_back_take_no_revocation_back(own):
    name = own.create()
    agent = own.connect(name)
    asked, lists = payment(agent), own.directory(name) / "lists.pem"
    assert asked() == "allow"
    old = lists.read_bytes()
    own.order("revoke", name)
    eventually(asked, "certificate.revoked", 5.0)
    for text in [old, *(make(old) for make in BAD.values())]:
        put(lists, text)
        agent.refresh()
        assert asked() == "certificate.revoked"
    agent.close()
    del agent
    # Nor does another process fall for it, with the authority away.
    own.kill()
    put(lists, old)
    ran: list[object] = []
    try:
        agent = own.connect(name, timeout=0.5)
    except ConnectError as error:
        assert error.code
    else:
        assert payment(agent, ran)() in ("certificate.revoked", "revocation.rollback", "revocation.stale")
        agent.close()
    assert not ran


def put(path: Path, content: bytes) -> None:
    fresh = path.with_suffix(".fresh")
    fresh.write_bytes(content)
    fresh.replace(path)


def test_lists_without_a_feed_are_taken_only_if_code_says_so(cli, tmp_path):
    service = Service(cli, tmp_path, "--without-feed")
    try:
        name = service.create()
        token = service.token(name)
        with pytest.raises(ConnectError) as refused:
            Agent.connect(service.url, name, directory=service.directory(name), token=token, timeout=20)
        assert refused.value.code == "feed.none"
        agent = service.connect(name, without_feed=True)
        assert payment(agent)() == "allow"
        assert agent.status().transport == "files"
        agent.close()
    finally:
        service.kill()
