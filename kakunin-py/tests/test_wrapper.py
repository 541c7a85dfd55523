"""The generated wrapper: the same function, with a guard in it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import pickle
import subprocess
import sys
import threading
import typing
from decimal import Decimal

import kakunin
import pytest
from kakunin import agent_context, as_written, const, guarded, verify_agent_scope
from kakunin.testing import assert_denied

read = verify_agent_scope("read:x")


@read
def documented(
    a: int, b: str = "x", *rest: Decimal, c: float, d: Decimal | None = None, **more: bytes
) -> str:
    """What it does."""
    return f"{a}{b}{rest}{c}{d}{more}"


def test_the_wrapper_looks_like_the_function():
    original = documented.__wrapped__
    assert inspect.signature(documented) == inspect.signature(original)
    assert documented.__name__ == "documented"
    assert documented.__qualname__ == "documented"
    assert documented.__doc__ == "What it does."
    assert documented.__module__ == __name__
    assert documented.__defaults__ == original.__defaults__
    assert documented.__kwdefaults__ == original.__kwdefaults__
    assert typing.get_type_hints(documented)["d"] == (Decimal | None)
    assert pickle.loads(pickle.dumps(documented)) is documented


def test_the_wrapper_hands_on_every_argument(acting):
    assert documented(1, c=2.0) == "1x()2.0None{}"
    assert documented(1, "y", Decimal(1), c=2.0, d=Decimal(3), e=b"") == documented.__wrapped__(
        1, "y", Decimal(1), c=2.0, d=Decimal(3), e=b""
    )
    assert documented(b="z", a=5, c=1) == "5z()1None{}"


def test_a_wrong_call_is_pythons_own_type_error(acting):
    for call in (lambda: documented(), lambda: documented(1), lambda: documented(1, c=1, a=2)):
        with pytest.raises(TypeError, match=r"documented\(\)"):
            call()


def test_hidden_wrapped_function():
    @verify_agent_scope("read:x", expose_wrapped=False)
    def act(a: Decimal, b=1):
        """Acts."""

    assert not hasattr(act, "__wrapped__")
    assert str(inspect.signature(act)) == "(a: 'Decimal', b=1)"
    assert typing.get_type_hints(act) == {"a": Decimal}


def test_default_objects_are_the_functions_own(acting):
    marker = object()

    @read
    def act(a=marker, *, b=marker):
        return a, b

    assert act() == (marker, marker)
    assert act()[0] is marker


def test_names_that_the_template_uses_are_free_for_parameters(acting):
    @read
    def kakunin_check(kakunin_pass, kakunin_body, _kakunin_settle=3, kakunin_value0=4):
        return kakunin_pass, kakunin_body, _kakunin_settle, kakunin_value0

    assert kakunin_check(1, 2) == (1, 2, 3, 4)
    assert read(lambda self, cls, len, print, BaseException: (self, len))(1, 2, 3, 4, 5) == (1, 3)

    @read
    def act(act):
        return act

    assert act(5) == 5


def test_names_of_builtins_shadowed_in_the_module_do_not_matter(acting):
    scope = {"__name__": "shadowed", "verify": read, "BaseException": None, "StopAsyncIteration": None}
    exec("@verify\ndef act(a):\n    return a\n", scope)
    assert scope["act"](1) == 1


def test_kinds_of_functions_are_kept():
    async def coroutine():
        pass

    def generator():
        yield

    async def async_generator():
        yield

    assert inspect.iscoroutinefunction(read(coroutine))
    assert asyncio.iscoroutinefunction(read(coroutine)) or sys.version_info >= (3, 14)
    assert inspect.isgeneratorfunction(read(generator))
    assert inspect.isasyncgenfunction(read(async_generator))
    assert inspect.iscoroutinefunction(read(functools.partial(coroutine)))
    assert not inspect.iscoroutinefunction(read(lambda: None))


def test_a_generator_hands_on_what_is_sent_and_thrown(acting):
    @read
    def echo(first):
        got = yield first
        try:
            yield got
        except ValueError as error:
            yield str(error)
        return "end"

    items = echo(1)
    assert [next(items), items.send(2), items.throw(ValueError("3"))] == [1, 2, "3"]
    with pytest.raises(StopIteration) as stop:
        next(items)
    assert stop.value.value == "end"
    closed = echo(1)
    next(closed)
    closed.close()


def test_an_async_generator_hands_on_what_is_sent_and_thrown(acting):
    ended = []

    @read
    async def echo(first):
        try:
            got = yield first
            try:
                yield got
            except ValueError as error:
                yield str(error)
        finally:
            await asyncio.sleep(0)
            ended.append(first)

    async def run():
        items = echo(1)
        assert await items.__anext__() == 1
        assert await items.asend(2) == 2
        assert await items.athrow(ValueError("3")) == "3"
        with pytest.raises(StopAsyncIteration):
            await items.__anext__()
        early = echo(2)
        await early.__anext__()
        await early.aclose()
        failing = echo(3)
        await failing.__anext__()
        with pytest.raises(KeyError):
            await failing.athrow(KeyError())
        assert [item async for item in echo(4)] == [4, None]

    asyncio.run(run())
    assert ended == [1, 2, 3, 4]


def test_context_managers_made_of_generators(acting, agent):
    @contextlib.contextmanager
    @verify_agent_scope("write:x")
    def denied():
        yield

    @contextlib.contextmanager
    @read
    def allowed():
        yield 5

    with allowed() as five:
        assert five == 5
    with assert_denied("scope.action"), denied():
        raise AssertionError


def test_exceptions_of_the_body_pass_unchanged(acting):
    class Special(BaseException):
        pass

    @read
    def fail(error):
        raise error

    for error in (ValueError("x"), KeyboardInterrupt(), SystemExit(3), Special()):
        with pytest.raises(type(error)) as caught:
            fail(error)
        assert caught.value is error


def test_guards_stack(acting, body):
    @read
    @verify_agent_scope("write:x")
    def act():
        body()

    with assert_denied("scope.action"):
        act()
    assert body.ran == 0


def test_selectors_reach_into_arguments(acting, body):
    class Order:
        total = "10000.01"
        to = "acme"

    attribute = {"amount": "order.total", "currency": "EUR", "counterparty": "order.to"}
    nested = {"amount": "orders.first.total", "currency": "orders.first.unit", "counterparty": const("acme")}
    catch_all = {"amount": "total", "currency": "EUR", "counterparty": "order.to"}
    callables = {
        "amount": lambda call: call["order"].total,
        "currency": "EUR",
        "counterparty": const(["acme"]),
    }
    cases = [
        (attribute, lambda order: body(), {"order": Order()}),
        (nested, lambda orders: body(), {"orders": {"first": {"total": "10000.01", "unit": "EUR"}}}),
        (catch_all, lambda **rest: body(), {"order": Order(), "total": "10000.01"}),
        (callables, lambda order, *, more=1: body(), {"order": Order()}),
    ]
    for selectors, function, arguments in cases:
        with assert_denied("scope.amount"):
            verify_agent_scope("payments:send", **selectors)(function)(**arguments)
    assert body.ran == 0


def test_lists_of_selectors_concatenate(acting, body):
    @verify_agent_scope(
        "payments:send", amount=const("1.00"), currency="EUR", counterparty=["to", "via", "copies"]
    )
    def pay(to, via=None, copies=()):
        return body()

    assert pay("acme") == "ran"
    assert pay("acme", "globex", ["party-1", "party-2"]) == "ran"
    for arguments in [("acme", "x"), ("acme", None, ["globex", "x"]), ("x",)]:
        with assert_denied("scope.counterparty"):
            pay(*arguments)
    with assert_denied("request.counterparty_missing"):
        pay(None, None, None)
    with assert_denied("request.counterparty_invalid"):
        pay("acme", "")


INVALID = [0.125, 1e16, 1e-7, 10**15, 0.1 + 0.2, -1, -0.0, float("nan"), float("inf"), True, 10**400, "1e3"]
AS_WRITTEN = [
    *((amount, None) for amount in (10000, 10000.0, 12.5, 0.1, 0, "12.50", Decimal("12.50"))),
    *((amount, "scope.amount") for amount in (10000.5, 10001)),
    *((amount, "request.amount_invalid") for amount in INVALID),
    (None, "request.amount_missing"),
]


@pytest.mark.parametrize(("amount", "code"), AS_WRITTEN)
def test_numbers_as_a_model_wrote_them(acting, body, amount, code):
    @verify_agent_scope(
        "payments:send", amount=as_written("total"), currency="EUR", counterparty=const("acme")
    )
    def pay(total):
        return body()

    if code is None:
        assert pay(amount) == "ran"
    else:
        with assert_denied(code):
            pay(amount)
        assert body.ran == 0


def test_a_string_enum_is_its_value(acting):
    import enum

    class Supplier(str, enum.Enum):
        ACME = "acme"
        OTHER = "other"

    @verify_agent_scope("payments:send", amount=const("1.00"), currency="EUR", counterparty="supplier")
    def pay(supplier):
        return supplier

    assert pay(Supplier.ACME) is Supplier.ACME
    with assert_denied("scope.counterparty"):
        pay(Supplier.OTHER)


def test_what_a_guarded_function_demands_can_be_asked(acting, body):
    @verify_agent_scope("payments:send", amount="total", currency="EUR", counterparty="supplier")
    def pay(supplier, total="1.00"):
        body()

    demands = guarded(pay)
    assert demands is pay.guarded
    assert (demands.action, demands.actions) == ("payments:send", ("payments:send",))
    assert demands.selectors == {"amount": "total", "currency": "EUR", "counterparty": "supplier"}
    assert demands.file == __file__
    assert demands.line > 0
    assert demands.check("acme")
    decision = demands.check("acme", total="10000.01")
    assert not decision
    assert (decision.code, decision.limit, decision.actual) == (
        "scope.amount",
        "10000.00 EUR",
        "10000.01 EUR",
    )
    assert pickle.loads(pickle.dumps(decision)) == decision
    with pytest.raises(TypeError):
        demands.check()
    with pytest.raises(TypeError):
        guarded(len)
    assert body.ran == 0


def test_the_agent_of_a_call_is_the_nearest(authority, agent, body):
    reader = authority.issue({"actions": ["read:*"]})
    write = verify_agent_scope(
        "payments:send", amount=const("1.00"), currency="EUR", counterparty=const("acme")
    )
    from_context = write(lambda: body())
    fixed = verify_agent_scope("read:x", agent=reader)(lambda: body())
    assert kakunin.current_agent() is None
    with agent_context(agent):
        assert kakunin.current_agent() is agent
        from_context()
        with agent_context(reader):
            assert kakunin.current_agent() is reader
            with assert_denied("scope.action"):
                from_context()
        from_context()
    fixed()
    with assert_denied("agent.missing"):
        from_context()
    assert body.ran == 3


def test_context_follows_tasks_and_not_threads(agent, body):
    fn = read(lambda: body())
    codes = []

    def elsewhere():
        try:
            fn()
        except kakunin.ScopeDenied as denied:
            codes.append(denied.code)

    async def task():
        fn()

    async def run():
        await asyncio.gather(*(asyncio.create_task(task()) for _ in range(8)))
        await asyncio.to_thread(fn)

    with agent_context(agent):
        asyncio.run(run())
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    assert body.ran == 9
    # Free-threaded builds and 3.14 may inherit the context.
    assert codes == ["agent.missing"] or sys.version_info >= (3, 14)


def test_agents_refuse_to_be_pickled_and_denials_do_not(acting):
    with pytest.raises(TypeError, match="open it again"):
        pickle.dumps(acting)
    with pytest.raises(TypeError):
        pickle.dumps(acting.guard)
    with assert_denied("scope.action") as denied:
        verify_agent_scope("write:x")(lambda: None)()
    again = pickle.loads(pickle.dumps(denied.value))
    assert type(again) is kakunin.ScopeExceeded
    assert vars(again) == vars(denied.value)
    assert (str(again), again.for_model()) == (str(denied.value), denied.value.for_model())
    assert isinstance(again, PermissionError)


def test_every_code_has_its_class():
    for code in kakunin.DENIAL_CODES:
        assert code.partition(".")[0] in kakunin.errors.GROUPS
    assert set(kakunin.errors.GROUPS) == {code.partition(".")[0] for code in kakunin.DENIAL_CODES}


def test_two_texts_one_with_and_one_without_limits(acting):
    @verify_agent_scope("payments:send", amount="total", currency="EUR", counterparty=const("acme"))
    def pay(total):
        pass

    with assert_denied("scope.amount") as denied:
        pay("12500.00")
    error = denied.value
    assert "12500.00 EUR is over this certificate's 10000.00 EUR per action" in str(error)
    assert "10000" not in error.for_model()
    assert "12500" not in error.for_model()
    assert error.receipt.startswith(error.decision_id)
    assert error.decision_id in str(error)
    assert error.decision_id in error.for_model()


def test_dry_checks_reserve_nothing(authority):
    agent = authority.issue({"actions": ["a"], "rate": [{"for": ["a"], "max": 1, "seconds": 60}]})
    for _ in range(3):
        assert agent.guard.check("a")
    verify_agent_scope("a", agent=agent)(lambda: None)()


def test_dry_checks_at_another_time(agent):
    from datetime import datetime, timedelta, timezone

    sunday = datetime(2026, 11, 29, 10, 0, tzinfo=timezone.utc)
    assert agent.guard.check("read:x", at=sunday - timedelta(days=3))
    assert agent.guard.check("read:x", at=sunday).code == "scope.hours"
    assert agent.guard.check("payments:send", amount="1", currency="EUR", counterparty=["acme"])
    assert (
        agent.guard.check("payments:send", amount_minor=5, currency="EUR", counterparty="x").code
        == "scope.counterparty"
    )
    with pytest.raises(TypeError, match="time zone"):
        agent.guard.check("read:x", at=datetime(2026, 11, 29))


def test_import_fails_beside_the_other_distribution(tmp_path):
    info = tmp_path / "kakunin-0.2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: kakunin\nVersion: 0.2.0\n")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import kakunin"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode
    assert "pip uninstall kakunin" in done.stderr


def test_import_starts_no_thread_and_does_not_import_asyncio():
    code = "import sys, threading, kakunin; print(threading.active_count(), 'asyncio' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "False"]
