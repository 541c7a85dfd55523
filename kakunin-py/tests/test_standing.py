"""Rows P9, P10, P11 and P12: lists, clocks, what happens between call and await, budgets."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import kakunin
import pytest
from conftest import MONDAY
from kakunin import agent_context, verify_agent_scope
from kakunin.testing import MemoryAuthority, assert_denied

READ = {"actions": ["read:*"]}


@pytest.fixture
def reader(authority):
    agent = authority.issue(READ)
    with agent_context(agent):
        yield agent


@pytest.fixture
def read(body):
    return verify_agent_scope("read:x")(lambda: body())


def test_suspended_resumed_revoked(authority, reader, read, body):
    read()
    authority.suspend(reader, reason="a look at the books")
    with assert_denied("certificate.held"):
        read()
    authority.resume(reader)
    read()
    authority.revoke(reader)
    with assert_denied("certificate.revoked"):
        read()
    with pytest.raises(kakunin.KakuninError):
        authority.resume(reader)
    assert body.ran == 2


def test_a_running_guard_keeps_its_list_when_it_is_handed_a_bad_one(authority, reader, read, body):
    old = authority.lists()
    read()
    authority.suspend(reader)
    other = MemoryAuthority(clock=None).lists()
    for bad in (
        old,
        other,
        "",
        "no PEM",
        "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n",
        b"\xff",
    ):
        authority.hand_lists(reader, bad)
        with assert_denied("certificate.held"):
            read()
    assert any("list" in notice for notice in reader.take_notices())
    assert body.ran == 1


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda lists: b"", "revocation.missing"),
        (lambda lists: b"\xff\xfe", "revocation.missing"),
        (lambda lists: MemoryAuthority().lists().encode(), "revocation.invalid"),
        (lambda lists: flip_signature(lists), "revocation.invalid"),
    ],
    ids=["none", "unreadable", "another issuer's", "badly signed"],
)
def test_an_agent_that_never_saw_a_good_list_is_denied(authority, body, make, code):
    agent = authority.issue(READ)
    authority.hand_lists(agent, make(authority.lists()))
    with agent_context(agent), assert_denied(code):
        verify_agent_scope("read:x")(lambda: body())()
    assert body.ran == 0


def flip_signature(lists: str) -> bytes:
    """Both lists with the last bit of each signature turned."""
    import base64

    out = []
    for block in lists.split("-----BEGIN X509 CRL-----")[1:]:
        der = bytearray(base64.b64decode(block.split("-----END")[0]))
        der[-1] ^= 1
        text = base64.encodebytes(bytes(der)).decode()
        out.append(f"-----BEGIN X509 CRL-----\n{text}-----END X509 CRL-----\n")
    return "".join(out).encode()


def test_a_list_from_the_future_is_invalid(clock, authority, body):
    agent = authority.issue(READ)
    clock.advance(3600)
    future = authority.lists()
    clock.set_wall(MONDAY)
    late = MemoryAuthority(clock=clock)
    assert late
    agent = authority.issue(READ)
    authority.hand_lists(agent, future)
    # The clock was set back by an hour as well, which may be what is noticed first.
    with agent_context(agent), pytest.raises(kakunin.ScopeDenied) as denied:
        verify_agent_scope("read:x")(lambda: body())()
    assert denied.value.code in ("revocation.invalid", "clock.untrusted")
    assert body.ran == 0


def test_a_list_that_is_too_old_denies(clock, authority, read, body):
    agent = authority.issue(READ, days=30, hours=168)
    with agent_context(agent):
        read()
        clock.advance(timedelta(hours=169))
        with assert_denied("revocation.stale"):
            read()
        authority.hand_lists(agent, authority.lists())
        read()
    assert body.ran == 2


def test_a_certificate_that_has_ended_denies_until_it_is_renewed(clock, authority, read, body):
    agent = authority.issue(READ, days=1)
    with agent_context(agent):
        read()
        clock.advance(timedelta(days=1, hours=1))
        with assert_denied("certificate.expired"):
            read()
        authority.renew(agent)
        authority.hand_lists(agent, authority.lists())
        read()
    assert body.ran == 2


def test_a_clock_that_is_set_back_a_day_is_not_trusted(clock, reader, read, body):
    read()
    clock.set_wall(MONDAY - timedelta(days=1))
    with assert_denied("clock.untrusted"):
        read()
    clock.set_wall(MONDAY)
    read()
    assert body.ran == 2


def test_a_laptop_that_slept_looks_again_before_it_decides(clock, authority, read, body):
    agent = authority.issue(READ, days=30, hours=168)
    with agent_context(agent):
        read()
        clock.sleep(timedelta(hours=12))
        read()
        clock.sleep(timedelta(days=7))
        with assert_denied("revocation.stale"):
            read()
    assert body.ran == 2


def test_a_jump_of_the_clock_is_looked_at_before_the_decision(clock, reader, read, body):
    read()
    clock.set_wall(MONDAY + timedelta(days=8))
    with assert_denied("certificate.expired"):
        read()
    assert body.ran == 1


@pytest.mark.parametrize("change", ["end", "revoke"])
def test_a_coroutine_is_judged_when_it_is_awaited(clock, authority, reader, body, change):
    @verify_agent_scope("read:x")
    async def read():
        body()

    async def run():
        await read()
        waiting = read()
        if change == "end":
            clock.advance(timedelta(days=8))
        else:
            authority.revoke(reader)
        with pytest.raises(kakunin.CertificateDenied):
            await waiting

    asyncio.run(run())
    assert body.ran == 1


def test_a_generator_is_judged_at_its_first_item(authority, reader, body):
    @verify_agent_scope("read:x")
    def read():
        body()
        yield

    items = read()
    authority.revoke(reader)
    with assert_denied("certificate.revoked"):
        next(items)
    assert body.ran == 0


# --- P12 ---

DAILY = {
    "actions": ["payments:send"],
    "limit": [{"for": ["payments:send"], "currency": "EUR", "per_day": "100.00"}],
}


def test_threads_at_the_edge_of_a_daily_limit_never_pass_it(authority):
    agent = authority.issue(DAILY)
    paid = []

    @verify_agent_scope("payments:send", amount="total", currency="EUR", agent=agent)
    def pay(total):
        paid.append(total)

    barrier = threading.Barrier(64)

    def work():
        barrier.wait()
        denied = 0
        for _ in range(5):
            try:
                pay("1.00")
            except kakunin.BudgetDenied as error:
                assert error.code == "budget.window"
                denied += 1
        return denied

    with ThreadPoolExecutor(64) as pool:
        denied = sum(future.result() for future in [pool.submit(work) for _ in range(64)])
    assert (len(paid), denied) == (100, 220)


def test_tasks_at_the_edge_of_a_daily_limit_never_pass_it(authority):
    agent = authority.issue(DAILY)
    paid = []

    @verify_agent_scope("payments:send", amount="total", currency="EUR")
    async def pay(total):
        await asyncio.sleep(0)
        paid.append(total)

    async def run():
        return await asyncio.gather(*(pay("10.00") for _ in range(64)), return_exceptions=True)

    with agent_context(agent):
        results = asyncio.run(run())
    assert len(paid) == 10
    assert sum(isinstance(result, kakunin.BudgetDenied) for result in results) == 54


def test_what_a_body_did_not_do_is_room_again(authority):
    agent = authority.issue(DAILY)

    @verify_agent_scope("payments:send", amount="total", currency="EUR", agent=agent)
    def pay(total, error=None):
        if error:
            raise error

    with pytest.raises(kakunin.NotExecuted):
        pay("100.00", kakunin.NotExecuted("the bank was closed"))
    pay("40.00")
    with pytest.raises(OSError, match="nobody knows"):
        pay("60.00", OSError("nobody knows"))
    with assert_denied("budget.window") as denied:
        pay("0.01")
    assert denied.value.limit == "100.00 EUR in 86400 s"


def test_a_cancelled_task_stays_spent(authority):
    agent = authority.issue(DAILY)

    @verify_agent_scope("payments:send", amount="total", currency="EUR", agent=agent)
    async def pay(total):
        await asyncio.sleep(60)

    async def run():
        task = asyncio.create_task(pay("100.00"))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with assert_denied("budget.window"):
            await pay("0.01")

    asyncio.run(run())


def test_several_scopes_take_back_what_was_admitted_before_a_denial(authority):
    scope = {"actions": ["a", "b"], "rate": [{"for": ["a"], "max": 1, "seconds": 60}]}
    agent = authority.issue(scope)
    both = verify_agent_scope(object(), agent.agent_id, required_scopes=["a", "write:x"], agent=agent)(
        lambda: None
    )
    with assert_denied("scope.action"):
        both()
    first = verify_agent_scope("a", agent=agent)(lambda: None)
    first()
    with assert_denied("budget.rate"):
        first()
