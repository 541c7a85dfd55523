"""Rows P1 to P7, P13, P14, P16 and P17 of docs/attacks.md: no body may run."""

# ruff: noqa: RUF001 - look-alike characters are what some of these probes are
from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import threading
from dataclasses import dataclass
from decimal import Decimal

import kakunin
import pytest
from kakunin import agent_context, as_written, const, verify_agent_scope
from kakunin.testing import assert_denied, no_agent

PAY = {"amount": "total", "currency": "EUR", "counterparty": "supplier"}
guarded_pay = verify_agent_scope("payments:send", **PAY)


@pytest.fixture
def pay(acting, body):
    @guarded_pay
    def pay(supplier, total):
        return body()

    yield pay
    assert body.ran == 0


def over_the_limit(body):
    """Every way to hand over an amount."""

    @guarded_pay
    def plain(supplier, total):
        body()

    @guarded_pay
    def default(supplier="acme", total="10000.01"):
        body()

    @guarded_pay
    def keyword_only(*, supplier, total="10000.01"):
        body()

    @guarded_pay
    def positional_only(supplier, total, /):
        body()

    @guarded_pay
    def catch_all(**anything):
        body()

    @guarded_pay
    def shadowed(supplier, total, /, **rest):
        body()

    class Desk:
        @guarded_pay
        def method(self, supplier, total):
            body()

        @classmethod
        @guarded_pay
        def inner_classmethod(cls, supplier, total):
            body()

        @guarded_pay
        @classmethod
        def outer_classmethod(cls, supplier, total):
            body()

        @staticmethod
        @guarded_pay
        def inner_static(supplier, total):
            body()

        @guarded_pay
        @staticmethod
        def outer_static(supplier, total):
            body()

    much = ("acme", "10000.01")
    named = {"supplier": "acme", "total": "10000.01"}
    desk = Desk()
    yield "positional", lambda: plain(*much)
    yield "keyword", lambda: plain(**named)
    yield "keywords in another order", lambda: plain(total="10000.01", supplier="acme")
    yield "decimal", lambda: plain("acme", Decimal("10000.01"))
    yield "decimal with an exponent", lambda: plain("acme", Decimal("1E+6"))
    yield "default", lambda: default()
    yield "default beside a positional", lambda: default("acme")
    yield "keyword only", lambda: keyword_only(supplier="acme")
    yield "positional only", lambda: positional_only(*much)
    yield "kwargs", lambda: catch_all(**named)
    yield "shadowed by kwargs", lambda: shadowed("acme", "10000.01", total="1.00", supplier="acme")
    yield "partial", lambda: functools.partial(plain, total="10000.01")("acme")
    yield "partial positional", lambda: functools.partial(plain, "acme")("10000.01")
    yield (
        "guarded partial",
        lambda: guarded_pay(functools.partial(inspect.unwrap(plain), total="10000.01"))("acme"),
    )
    yield "bound method", lambda: desk.method(*much)
    yield "bound method by keyword", lambda: desk.method(**named)
    yield "unbound method", lambda: Desk.method(desk, *much)
    yield "guarded bound method", lambda: guarded_pay(functools.partial(desk.method).func)(*much)
    yield "classmethod", lambda: Desk.inner_classmethod(*much)
    yield "classmethod below", lambda: Desk.outer_classmethod(*much)
    yield "staticmethod", lambda: Desk.inner_static(*much)
    yield "staticmethod below", lambda: Desk.outer_static(*much)
    yield "map", lambda: list(map(plain, ["acme"], ["10000.01"]))


def test_an_amount_over_the_limit_is_denied_however_it_is_handed_over(acting, body):
    ways = dict(over_the_limit(body))
    for way, call in ways.items():
        with assert_denied("scope.amount") as denied:
            call()
        assert denied.value.limit == "10000.00 EUR", way
    assert body.ran == 0
    assert len(ways) > 20


@pytest.mark.parametrize(
    "amount",
    [
        "999,999",
        "1e9",
        "٣",
        " 5",
        "5 ",
        "5 EUR",
        "",
        "+5",
        "05",
        ".5",
        "5.",
        "1_000",
        "0x10",
        "1" * 20,
        "\ud800",
    ],
)
def test_text_that_is_no_plain_decimal_is_no_amount(pay, amount):
    with assert_denied("request.amount_invalid"):
        pay("acme", amount)


@pytest.mark.parametrize(
    "amount",
    [
        True, False, 0, 5, 12.5, -1, 2**63, 2**53 + 1, 1e400, float("nan"), float("inf"), "-1", "NaN",
        "Infinity", Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"), Decimal("-1"), Decimal("-0"),
        Decimal("1E+99999999"), Decimal("1E-99999999"), b"5", ["5"], {"amount": "5"}, object(), 5j,
        "9223372036854775808.00",
    ],
)  # fmt: skip
def test_what_is_no_exact_decimal_is_denied_and_never_zero(pay, amount):
    with assert_denied("request.amount_invalid"):
        pay("acme", amount)


def test_a_missing_amount_is_denied_as_missing(acting, body):
    @verify_agent_scope("payments:send", currency="EUR", counterparty="supplier")
    def unselected(supplier):
        body()

    @guarded_pay
    def optional(supplier, total=None):
        body()

    @guarded_pay
    def catch_all(**anything):
        body()

    @verify_agent_scope("payments:send", amount="order.total", currency="EUR", counterparty=const("acme"))
    def nested(order):
        body()

    calls = [lambda: unselected("acme"), lambda: optional("acme"), lambda: catch_all(supplier="acme")]
    calls += [lambda: nested({}), lambda: nested({"total": None}), lambda: nested(None)]
    for call in calls:
        with assert_denied("request.amount_missing"):
            call()
    with pytest.raises(TypeError, match="total"):
        guarded_pay(lambda supplier, total: body())("acme")
    assert body.ran == 0


@pytest.mark.parametrize("amount", [True, False, 5.0, "5", Decimal("5"), 2**63, -1, -(2**63) - 1, b"5", [5]])
def test_minor_units_are_integers_of_64_bits(acting, body, amount):
    @verify_agent_scope("payments:send", amount_minor="cents", currency="EUR", counterparty=const("acme"))
    def pay(cents):
        body()

    with assert_denied("request.amount_invalid"):
        pay(amount)
    with assert_denied("scope.amount"):
        pay(1_000_001)
    assert body.ran == 0
    pay(1_000_000)
    assert body.ran == 1


@pytest.mark.parametrize("amount", ["1.005", "1.000", Decimal("1.005"), Decimal("1.000"), "0.001"])
def test_more_decimals_than_the_limit_are_not_rounded(pay, amount):
    with assert_denied("request.amount_invalid"):
        pay("acme", amount)


@pytest.mark.parametrize(
    ("currency", "code"),
    [
        (None, "request.currency_missing"),
        ("eur", "request.currency_invalid"),
        ("EUR ", "request.currency_invalid"),
        ("ЕUR", "request.currency_invalid"),
        ("", "request.currency_invalid"),
        (978, "request.currency_invalid"),
        (b"EUR", "request.currency_invalid"),
        (["EUR"], "request.currency_invalid"),
        ("USD", "scope.currency"),
        ("EURO", "scope.currency"),
    ],
)
def test_a_currency_is_exact(acting, body, currency, code):
    @verify_agent_scope("payments:send", amount="total", currency="unit", counterparty=const("acme"))
    def pay(total, unit):
        body()

    with assert_denied(code):
        pay("1.00", currency)
    assert body.ran == 0
    pay("1.00", "EUR")
    assert body.ran == 1


@pytest.mark.parametrize("literal", ["eur", "EUR ", "ЕUR"])
def test_a_constant_currency_is_exact_too(acting, body, literal):
    @verify_agent_scope("payments:send", amount="total", currency=const(literal), counterparty=const("acme"))
    def pay(total):
        body()

    with assert_denied("request.currency_invalid"):
        pay("1.00")
    assert body.ran == 0


@pytest.mark.parametrize(
    ("party", "code"),
    [
        (None, "request.counterparty_missing"),
        ([], "request.counterparty_missing"),
        ("", "request.counterparty_invalid"),
        ({"name": "acme"}, "request.counterparty_invalid"),
        (b"acme", "request.counterparty_invalid"),
        (7, "request.counterparty_invalid"),
        (["acme", None], "request.counterparty_invalid"),
        (["acme", b"globex"], "request.counterparty_invalid"),
        (["acme", ["globex"]], "request.counterparty_invalid"),
        ("sha256:" + "0" * 64, "request.counterparty_invalid"),
        ("\ud800", "request.counterparty_invalid"),
        ("Acme", "scope.counterparty"),
        ("acme ", "scope.counterparty"),
        (" acme", "scope.counterparty"),
        ("acme\u200b", "scope.counterparty"),
        ("аcme", "scope.counterparty"),
        ("stranger", "scope.counterparty"),
        (["acme", "stranger"], "scope.counterparty"),
        (("stranger", "acme"), "scope.counterparty"),
        ({"acme", "stranger"}, "scope.counterparty"),
    ],
)
def test_a_counterparty_is_exact(pay, party, code):
    with assert_denied(code):
        pay(party, "1.00")


@pytest.mark.parametrize(
    "action",
    [
        "", ":", "payments:", ":send", "payments::send", "Payments:send", "payments:send ", " payments:send",
        "payments:*", "*", "payments:../send", "payments：send", "раyments:send", "payments:se\u200bnd",
        "payments/send", "a" * 1_000_000, "payments:send\n", "payments:send\0",
    ],
    ids=lambda action: repr(action[:20]),
)  # fmt: skip
def test_an_action_is_never_folded_or_trimmed(acting, body, action):
    @verify_agent_scope(action, amount="total", currency="EUR", counterparty=const("acme"))
    def pay(total):
        body()

    with assert_denied("request.action_invalid") as denied:
        pay("1.00")
    assert len(str(denied.value)) < 1000
    assert body.ran == 0


def test_an_action_that_is_not_in_the_certificate_is_denied(acting, body):
    verify = [
        verify_agent_scope(action)
        for action in ("payments", "payments:send:now", "write:x", "readx:a", "read")
    ]
    for decorate in verify:
        with assert_denied("scope.action"):
            decorate(lambda: body())()
    assert body.ran == 0


def test_outside_its_hours_the_agent_is_denied(pay, clock):
    for hours, expected in [(7, True), (12, True), (24 * 5, True)]:
        clock.advance(hours * 3600)
        assert expected
        with assert_denied("scope.hours"):
            pay("acme", "1.00")


# --- P13: kinds of functions ---


def test_a_generator_is_guarded_at_its_first_item(agent, body):
    @verify_agent_scope("write:x")
    def produce():
        body()
        yield 1

    with agent_context(agent):
        items = produce()
        with assert_denied("scope.action"):
            next(items)
        with pytest.raises(StopIteration):
            next(items)
    assert body.ran == 0


def test_an_async_generator_is_guarded_at_its_first_item(agent, body):
    @verify_agent_scope("write:x")
    async def produce():
        body()
        yield 1

    async def run():
        items = produce()
        with agent_context(agent), assert_denied("scope.action"):
            await items.__anext__()

    asyncio.run(run())
    assert body.ran == 0


def test_a_function_that_returns_an_awaitable_is_guarded_at_the_call(agent, body):
    async def inner():
        body()

    @verify_agent_scope("write:x")
    def outer():
        body()
        return inner()

    with agent_context(agent), assert_denied("scope.action"):
        outer()
    assert body.ran == 0


def test_a_coroutine_is_guarded_when_it_runs(agent, body):
    @verify_agent_scope("write:x")
    async def act():
        body()

    coroutine = act()
    with agent_context(agent), assert_denied("scope.action"):
        asyncio.run(coroutine)
    assert body.ran == 0


def test_a_property_is_guarded_in_either_order(acting, body):
    class Desk:
        @property
        @verify_agent_scope("write:x")
        def above(self):
            body()

        @verify_agent_scope("write:x")
        @property
        def below(self):
            body()

    for name in ("above", "below"):
        with assert_denied("scope.action"):
            getattr(Desk(), name)
    assert body.ran == 0


def test_what_a_wrapper_cannot_cover_is_refused_at_decoration():
    class Callable:
        def __call__(self):
            pass

    class Desk:
        pass

    writable = property(lambda self: 1, lambda self, value: None)
    cached = functools.cached_property(lambda self: 1)
    dispatch = functools.singledispatch(lambda x: x)
    verify = verify_agent_scope("read:x")
    for target in (Desk, Callable(), writable, cached, functools.partialmethod(print), object(), 5):
        with pytest.raises(TypeError):
            verify(target)
    # A dispatcher is a function, and the wrapper is its only door.
    assert verify(dispatch)


# --- P14: selectors ---


@pytest.mark.parametrize(
    "selectors",
    [
        {"amount": "totla"},
        {"amount": "totla.value"},
        {"currency": "unit"},
        {"currency": "Eur"},
        {"counterparty": ["supplier", "bank"]},
        {"amount": ""},
        {"amount": "total."},
        {"amount": ["total"]},
        {"counterparty": []},
        {"amount": 5},
        {"amount": 5.0},
        {"amount": True},
        {"amount": const(5)},
        {"amount": const(5.0)},
        {"currency": const(5)},
        {"counterparty": as_written("supplier")},
        {"amount_minor": as_written("total")},
        {"amount": "total", "amount_minor": "total"},
        {"amuont": "total"},
        {"agent": "billing"},
    ],
    ids=str,
)
def test_a_selector_that_cannot_be_right_is_a_type_error_at_decoration(selectors):
    with pytest.raises(TypeError):

        @verify_agent_scope("payments:send", **selectors)
        def pay(supplier, total):
            raise AssertionError


def test_the_type_error_names_the_parameters():
    with pytest.raises(TypeError, match=r"pay has no parameter `totla`.* it has: supplier, total"):

        @verify_agent_scope("payments:send", amount="totla")
        def pay(supplier, total):
            raise AssertionError


def test_an_asynchronous_selector_is_refused_at_decoration():
    async def select(call):
        return "1.00"

    with pytest.raises(TypeError, match="coroutine"):
        verify_agent_scope("payments:send", amount=select)(lambda total: None)


@pytest.mark.parametrize(
    ("selectors", "code"),
    [
        ({"amount": lambda call: 1 / 0}, "request.amount_invalid"),
        ({"amount": lambda call: call["nothing"]}, "request.amount_invalid"),
        ({"amount": lambda call: 5}, "request.amount_invalid"),
        ({"amount": lambda call: object()}, "request.amount_invalid"),
        ({"amount": "order.missing"}, "request.amount_invalid"),
        ({"amount": "order.raises"}, "request.amount_invalid"),
        ({"counterparty": lambda call: 1 / 0}, "request.counterparty_invalid"),
        ({"counterparty": lambda call: 5}, "request.counterparty_invalid"),
        ({"counterparty": ["order.missing", "order.to"]}, "request.counterparty_invalid"),
        ({"currency": lambda call: 1 / 0}, "request.currency_invalid"),
    ],
)
def test_a_selector_that_fails_denies(acting, body, selectors, code, caplog):
    class Order:
        total = "1.00"
        to = "acme"

        @property
        def raises(self):
            raise OSError

    chosen = {"amount": "order.total", "currency": "EUR", "counterparty": "order.to"} | selectors

    @verify_agent_scope("payments:send", **chosen)
    def pay(order):
        body()

    with assert_denied(code):
        pay(Order())
    assert body.ran == 0


def test_a_selector_that_interrupts_interrupts(acting, body):
    def select(call):
        raise KeyboardInterrupt

    guarded = verify_agent_scope("payments:send", amount=select)(lambda total: body())
    with pytest.raises(KeyboardInterrupt):
        guarded("1.00")
    assert body.ran == 0


# --- P8 and the rest ---


def test_without_an_agent_everything_is_denied(body):
    guarded = verify_agent_scope("read:x")(lambda: body())
    with assert_denied("agent.missing") as denied:
        guarded()
    assert "kakunin.use" in denied.value.fix
    assert body.ran == 0


def test_no_agent_overrides_the_context(acting, body):
    guarded = verify_agent_scope("read:x")(lambda: body())
    with no_agent(), assert_denied("agent.missing"):
        guarded()
    assert body.ran == 0
    assert guarded() == "ran"


def test_another_agent_than_the_one_named_is_denied(acting, body):
    @dataclass
    class Client:
        key: str = "secret"

    other = "00000000-0000-4000-8000-000000000000"
    guards = [
        verify_agent_scope("read:x", agent_id=other),
        verify_agent_scope("read:x", agent_id="billing"),
        verify_agent_scope(Client(), agent_id=other, required_scopes=["read:x"]),
        verify_agent_scope(Client(), other, required_scopes=["read:x"]),
    ]
    for guard in guards:
        with assert_denied("agent.mismatch"):
            guard(lambda: body())()
    assert body.ran == 0


def test_the_hosted_clients_form_asks_the_local_certificate(acting, body):
    verify = functools.partial(verify_agent_scope, object(), agent_id=acting.agent_id)
    with assert_denied("scope.action"):
        verify(required_scopes=["read:x", "write:x"])(lambda: body())()
    assert body.ran == 0
    assert verify(required_scopes=["read:x", "read:y"])(lambda: body())() == "ran"
    for scopes in ([], "read:x", [5]):
        with pytest.raises(TypeError):
            verify(required_scopes=scopes)
    with pytest.raises(TypeError):
        verify_agent_scope(object(), required_scopes=["read:x"])


def test_a_failing_log_sink_does_not_replace_the_denial(pay, caplog):
    class Broken(logging.Handler):
        def emit(self, record):
            raise OSError("disk full")

    handler = Broken()
    logger = logging.getLogger("kakunin")
    logger.addHandler(handler)
    try:
        with assert_denied("scope.amount"):
            pay("acme", "10000.01")
    finally:
        logger.removeHandler(handler)


def test_a_fault_in_the_binding_lets_nothing_run(pay, monkeypatch):
    monkeypatch.setattr(kakunin.errors.ScopeExceeded, "__init__", lambda *a, **k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        pay("acme", "10000.01")


def test_a_denial_is_one_warning(pay, caplog):
    with caplog.at_level(logging.DEBUG, logger="kakunin"), assert_denied("scope.amount"):
        pay("acme", "10000.01")
    (record,) = [record for record in caplog.records if record.name == "kakunin"]
    assert record.levelno == logging.WARNING
    assert "scope.amount" in record.getMessage()


VARIABLES = {
    "KAKUNIN_MODE": "observe",
    "KAKUNIN_ENFORCE": "0",
    "KAKUNIN_DISABLE": "1",
    "KAKUNIN_OBSERVE": "true",
    "KAKUNIN_FAIL_OPEN": "yes",
}


def test_variables_that_ask_to_loosen_are_ignored_with_a_warning(home, python):
    _, directory = home.create({"actions": ["read:x"]})
    script = """
import logging, sys
logging.basicConfig(stream=sys.stdout, format="%(message)s")
import kakunin
kakunin.use(kakunin.Agent.from_dir(sys.argv[1]))
kakunin.use(kakunin.Agent.from_dir(sys.argv[1]))
try:
    kakunin.verify_agent_scope("write:x")(lambda: print("RAN"))()
except kakunin.ScopeDenied as denied:
    print(denied.code)
"""
    out = python(script, directory, **VARIABLES).stdout
    assert "RAN" not in out
    assert "scope.action" in out
    for name, value in VARIABLES.items():
        assert out.count(f"{name}={value} is ignored") == 1


class Rounded(Decimal):
    """Prints itself as bills do."""

    def __str__(self):
        return "1.00" if Decimal(self) > 10**6 else format(Decimal(self), ".2f")

    def __format__(self, spec):
        return str(self)

    def adjusted(self):
        return 0


class Written(float):
    def __repr__(self):
        return f"{float(self):.0f}"


@pytest.mark.parametrize(
    ("value", "kind", "code"),
    [
        (Rounded("10000.004"), "total", "request.amount_invalid"),
        (Rounded("1E+9"), "total", "scope.amount"),
        (Written(10000.4), as_written("total"), "scope.amount"),
    ],
)
def test_a_number_that_prints_itself_as_another_is_read_as_itself(acting, body, value, kind, code):

    @verify_agent_scope("payments:send", amount=kind, currency="EUR", counterparty="supplier")
    def pay(supplier, total):
        body()

    with assert_denied(code):
        pay("acme", value)
    assert body.ran == 0


def test_one_context_shared_by_threads_leaves_nobody_in_it(authority):
    narrow, wide = (authority.issue({"actions": [one]}) for one in ("read:*", "admin:*"))
    shared = kakunin.agent_context(wide)
    inside, left = (threading.Barrier(2, timeout=5) for _ in range(2))
    seen = []

    def act(first):
        with kakunin.agent_context(narrow):
            with shared:
                inside.wait()
                if not first:
                    left.wait()
            if first:
                left.wait()
            seen.append(kakunin.current_agent())

    threads = [threading.Thread(target=act, args=(first,)) for first in (True, False)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert seen == [narrow, narrow]
