"""What a hostile caller, host or moment tries against a guarded call: rows P21 to P24."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
import threading
import warnings
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from contextvars import Context

import kakunin
import pytest
from kakunin import NotExecuted, agent_context, const, verify_agent_scope
from kakunin.testing import assert_denied, no_agent

PAY = {
    "actions": ["pay:x", "note:x"],
    "limit": [{"for": ["pay:x"], "currency": "EUR", "per_day": "1.00"}],
    "counterparties": [{"for": ["pay:x"], "allow": ["acme", "globex"], "optional": True}],
}


@pytest.fixture
def payer(authority):
    agent = authority.issue(PAY)
    with agent_context(agent):
        yield agent


def pays(body):
    return verify_agent_scope("pay:x", amount="total", currency="EUR")(body)


# Whoever says that nothing happened says it of one action.


@verify_agent_scope("note:x")
def note():
    raise NotExecuted


def test_what_an_inner_action_takes_back_is_not_the_outer_one(payer, body):
    @pays
    def pay(total):
        body()
        note()

    with pytest.raises(NotExecuted):
        pay("1.00")
    assert body.ran == 1
    with assert_denied("budget.window"):
        pay("0.01")


def test_the_outer_action_may_say_it_for_itself(payer):
    @pays
    def pay(total):
        try:
            note()
        except NotExecuted as error:
            raise NotExecuted from error

    for _ in range(3):
        with pytest.raises(NotExecuted):
            pay("1.00")


def test_the_same_in_coroutines_generators_and_tasks(payer, body):
    @verify_agent_scope("note:x")
    async def note_later():
        raise NotExecuted

    @pays
    async def pay(total):
        body()
        await note_later()

    @pays
    def pay_by_steps(total):
        body()
        yield
        note()

    @pays
    def pay_by_task(total):
        async def work():
            body()
            await note_later()

        return asyncio.ensure_future(work())

    async def task(total):
        await pay_by_task(total)

    # Three that act, and somebody inside says that nothing happened: each takes its third of the day.
    for act in (lambda: asyncio.run(pay("0.30")), lambda: list(pay_by_steps("0.30"))):
        with pytest.raises(NotExecuted):
            act()
    with pytest.raises(NotExecuted):
        asyncio.run(task("0.30"))
    assert body.ran == 3
    with assert_denied("budget.window"):
        asyncio.run(pay("0.30"))


@pytest.mark.parametrize("chained", [False, True])
@pytest.mark.parametrize("several", [False, True])
def test_what_is_thrown_into_a_generator_is_not_its_own_word(payer, body, chained, several):
    guard, third, rest = pays, "0.30", "0.10"
    if several:
        both = {"required_scopes": ["pay:x", "pay:x"], "amount": "total", "currency": "EUR"}
        guard, third, rest = verify_agent_scope(None, payer.agent_id, **both), "0.15", "0.05"

    @contextmanager
    @guard
    def paying(total):
        body()
        yield

    @asynccontextmanager
    @guard
    async def paying_later(total):
        body()
        yield

    @pays
    def around(total):
        with paying(third):
            raise NotExecuted

    async def later():
        async with paying_later(third):
            raise NotExecuted

    def block():
        with paying(third):
            raise NotExecuted

    with kakunin.chain() if chained else nullcontext():
        # The function around says it for itself, and has its part back.
        for act in (block, lambda: asyncio.run(later()), lambda: around("0.10")):
            with pytest.raises(NotExecuted):
                act()
        assert body.ran == 3
        with assert_denied("budget.window"):
            block()
        with paying(rest):
            pass


def test_a_generator_may_say_itself_that_nothing_happened(payer):
    @contextmanager
    @pays
    def paying(total):
        try:
            yield
        except NotExecuted as error:
            raise NotExecuted from error

    for _ in range(3):
        with pytest.raises(NotExecuted), paying("1.00"):
            raise NotExecuted


# Objects that show one thing and hold another.


def hiding(kind):
    class Hiding(kind):
        def __iter__(self):
            return iter(["acme"])

        def __len__(self):
            return 1

        def __contains__(self, name):
            return name == "acme"

    return Hiding(["evil"])


@pytest.mark.parametrize("kind", [list, tuple, set, frozenset])
@pytest.mark.parametrize("selector", ["to", ["to"], ["to", "more"]])
def test_names_are_what_a_container_holds(acting, body, kind, selector):
    @verify_agent_scope("payments:send", amount="total", currency="EUR", counterparty=selector)
    def pay(total, to, more="acme"):
        body()

    pay("1.00", kind(["acme", "globex"]))
    with assert_denied("scope.counterparty"):
        pay("1.00", hiding(kind))
    assert body.ran == 1


class Text(str):
    def __str__(self):
        return "acme"

    def __eq__(self, other):
        return other == "acme"

    __hash__ = str.__hash__

    def encode(self, *how):
        return b"acme"


def test_text_is_what_a_string_holds(acting, body):
    @verify_agent_scope("payments:send", amount="total", currency="EUR", counterparty="to")
    def pay(total, to):
        body()

    with assert_denied("scope.counterparty"):
        pay("1.00", Text("evil"))
    with assert_denied("scope.amount"):
        pay(Text("10000.01"), "acme")
    assert body.ran == 0


# Moments.


class Raising:
    """A value that does something when it is read."""

    def __init__(self, act):
        self.act = act

    @property
    def total(self):
        return self.act()


def order(body):
    @verify_agent_scope("payments:send", amount="order.total", currency="EUR", counterparty=const("acme"))
    def pay(order):
        body()

    return pay


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError])
def test_what_ends_a_selector_ends_the_call(acting, body, error):
    def act():
        raise error

    with pytest.raises(error):
        order(body)(Raising(act))
    assert body.ran == 0


def test_a_selector_that_calls_guarded_functions(acting, body):
    inner = verify_agent_scope("write:x")(lambda: body())

    def act():
        with suppress(kakunin.ScopeDenied):
            inner()
        return "10000.01"

    with assert_denied("scope.amount"):
        order(body)(Raising(act))

    def deny():
        inner()

    with assert_denied("request.amount_invalid"):
        order(body)(Raising(deny))
    assert body.ran == 0


def test_a_selector_that_leaves_its_agent_behind(agent, body):
    """The agent is the one of the moment of the decision."""

    def act():
        block.__exit__(None, None, None)
        return "1.00"

    with no_agent():
        block = agent_context(agent)
        block.__enter__()
        with assert_denied("agent.missing"):
            order(body)(Raising(act))
    assert body.ran == 0


def test_no_depth_of_the_stack_lets_a_body_run_unasked(acting, body):
    denied = verify_agent_scope("write:x")(lambda: body())

    def dive(depth):
        with suppress(RecursionError, kakunin.ScopeDenied):
            denied()
        if depth:
            dive(depth - 1)

    limit = sys.getrecursionlimit()
    with suppress(RecursionError):
        dive(2 * limit)
    assert body.ran == 0
    with assert_denied("scope.action"):
        denied()


def test_signals_at_any_moment_let_nothing_run(acting, body, monkeypatch):
    # A signal that raises inside `logging` leaves its lock taken, which is no affair of ours.
    monkeypatch.setattr(logging.getLogger("kakunin"), "disabled", True)
    denied = verify_agent_scope("write:x")(lambda: body())

    class Stop(BaseException):
        pass

    def stop(*_):
        raise Stop

    before = signal.signal(signal.SIGVTALRM, stop)
    try:
        for moment in range(100):
            with suppress(Stop):
                signal.setitimer(signal.ITIMER_VIRTUAL, 1e-5 + moment * 1e-6, 0.01)
                while True:
                    with suppress(kakunin.ScopeDenied):
                        denied()
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    assert body.ran == 0


def test_a_call_that_a_signal_ends_stays_spent(payer):
    """Between decision and outcome nobody knows what happened."""

    @pays
    def pay(total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pay("1.00")
    with assert_denied("budget.window"):
        pay("0.01")


def test_a_fork_inside_a_selector(acting, body):
    """The child of the fork holds an agent in memory, whose budgets are the parent's."""
    ours = os.getpid()

    def act():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            os.fork()
        return "1.00"

    answer = 70
    try:
        order(body)(Raising(act))
    except kakunin.ScopeDenied as denied:
        answer = 0 if denied.code == "agent.forked" else 71
    if os.getpid() != ours:
        os._exit(answer if body.ran == 0 else 72)
    _, status = os.wait()
    assert (body.ran, os.waitstatus_to_exitcode(status)) == (1, 0)


def test_a_body_that_forks_settles_in_its_parent_only(payer):
    ours = os.getpid()

    @pays
    def pay(total):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            if os.fork() == 0:
                raise NotExecuted

    try:
        pay("1.00")
    except NotExecuted:
        assert os.getpid() != ours
        gc.collect()
        os._exit(0)
    _, status = os.wait()
    assert os.waitstatus_to_exitcode(status) == 0
    with assert_denied("budget.window"):
        pay("0.01")


def test_a_thread_of_its_own_context_acts_as_nobody_it_was_not_told(agent, body):
    """No agent of the process is set here: what the block said is not the thread's."""
    read = verify_agent_scope("read:x")(lambda: body())
    codes = []

    def run():
        try:
            read()
        except kakunin.ScopeDenied as denied:
            codes.append(denied.code)

    with agent_context(agent):
        thread = threading.Thread(target=Context().run, args=(run,))
        thread.start()
        thread.join()
    assert (codes, body.ran) == (["agent.missing"], 0)


# Hosts.

SHUTDOWN = """
import atexit, sys
import kakunin

class Late:
    def __del__(self, call=None):
        call = call or self.call
        try:
            call()
            print("RAN")
        except BaseException as error:
            print("stopped by", type(error).__name__)

def act(): print("BODY")
denied = kakunin.verify_agent_scope("write:x", agent=kakunin.Agent.from_dir(sys.argv[1]))(act)
late = Late()
late.call = denied
sys.late = late                     # lives until the interpreter takes its modules apart
@atexit.register
def at_exit():
    Late.__del__(late)
try:
    denied()
except kakunin.ScopeDenied as error:
    print(error.code)
import threading
threading._register_atexit(at_exit)
"""


def test_calls_while_the_interpreter_ends_are_denied(home, python):
    _, directory = home.create({"actions": ["read:x"]})
    out = python(SHUTDOWN, directory).stdout
    assert "scope.action" in out
    assert "BODY" not in out and "RAN" not in out, out
    assert out.count("stopped by") >= 2, out


SUBINTERPRETER = """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
import sys
import kakunin
code = '''
try:
    import kakunin
    print("IMPORTED")
except ImportError as error:
    print("refused")
'''
for kind in ({}, {"isolated": False}):
    try:
        one = interpreters.create(**kind) if kind else interpreters.create()
    except TypeError:
        continue
    interpreters.run_string(one, "import sys; sys.path[:] = %r" % (sys.path,))
    print(interpreters.run_string(one, code) or "")
"""


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the module of interpreters is another one")
def test_a_second_interpreter_has_no_agent_of_the_first(python):
    out = python(SUBINTERPRETER).stdout
    assert "refused" in out and "IMPORTED" not in out, out


# Sizes.


def test_huge_values_are_answered(acting, body):
    @verify_agent_scope("payments:send", amount="total", currency="money", counterparty="to")
    def pay(total, to, money="EUR"):
        body()

    huge = "9" * 20_000_000
    for total, to, money, code in (
        (huge, "acme", "EUR", "request.amount_invalid"),
        ("1.00", huge, "EUR", "scope.counterparty"),
        ("1.00", ["acme"] * 1_000_000 + ["evil"], "EUR", "scope.counterparty"),
        ("1.00", "acme", huge, "request.currency_invalid"),
    ):
        with assert_denied(code):
            pay(total, to, money)
    assert body.ran == 0
