"""Row P13: a plain function that returns something to await is judged at the call, and over when that is."""

from __future__ import annotations

import asyncio
import collections.abc
import concurrent.futures
import gc
import inspect
import types
import warnings
from unittest.mock import MagicMock

import anyio
import kakunin
import pytest
from conftest import Journal
from kakunin import NotExecuted, chain, chain_headers, verify_agent_scope
from kakunin.testing import assert_denied, open_agent

PAY = {
    "actions": ["pay:x"],
    "limit": [{"for": ["pay:x"], "currency": "EUR", "per_day": "1.00"}],
}


@pytest.fixture(scope="module")
def desk(home):
    """An agent with its journal on disk, for all of these tests."""
    _, directory = home.create({"actions": ["read:*"]})
    agent = open_agent(str(directory))
    yield agent, Journal(directory)
    agent.close()


@pytest.fixture
def acting(desk):
    with kakunin.agent_context(desk[0]):
        yield


@pytest.fixture
def outcomes(acting, desk):
    """What the receipts of this test say about how its actions ended."""
    _, journal = desk
    before = len(journal("outcome"))

    def read():
        gc.collect()
        return [receipt["res"] for receipt in journal("outcome")[before:]]

    return read


@pytest.fixture
def pay(authority):
    agent = authority.issue(PAY)

    @verify_agent_scope("pay:x", amount="total", currency="EUR", agent=agent)
    def pay(total, work):
        return work()

    return pay


def returning(result):
    """A plain function, guarded, that returns what `result` makes."""
    return verify_agent_scope("read:x")(lambda: result())


async def nothing():
    return "done"


async def failing():
    raise RuntimeError("it broke")


async def waiting():
    await asyncio.sleep(3600)


async def not_executed():
    raise NotExecuted


@types.coroutine
def of_generator():
    yield from asyncio.sleep(0).__await__()
    return "done"


class Custom:
    """An awaitable of a class of its own."""

    label = "custom"

    def __init__(self, work=nothing):
        self.work = work

    def __await__(self):
        return self.work().__await__()


class Stepped(collections.abc.Coroutine):
    """A coroutine that is none of the interpreter's, as Cython and aiohttp have them."""

    def __init__(self, work=nothing):
        self.inner = work()

    def __await__(self):
        return self.inner.__await__()

    def send(self, value):
        return self.inner.send(value)

    def throw(self, *error):
        return self.inner.throw(*error)

    def close(self):
        self.inner.close()


MAKERS = {
    "coroutine": lambda work: work(),
    "custom": Custom,
    "stepped": Stepped,
    "task": lambda work: asyncio.ensure_future(work()),
}
makers = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


async def awaited(awaitable):
    return await awaitable


async def task_of(awaitable):
    return await asyncio.ensure_future(awaitable)


async def gathered(awaitable):
    return (await asyncio.gather(awaitable))[0]


async def timed(awaitable):
    return await asyncio.wait_for(awaitable, 60)


@makers
@pytest.mark.parametrize("way", [awaited, task_of, gathered, timed])
def test_the_outcome_is_that_of_the_awaitable(outcomes, make, way):
    async def run(work):
        result = returning(lambda: make(work))()
        assert outcomes() == known, "nobody knows yet"
        return await way(result)

    known = []
    assert asyncio.run(run(nothing)) == "done"
    known = ["returned"]
    assert outcomes() == known
    with pytest.raises(RuntimeError, match="it broke"):
        asyncio.run(run(failing))
    known = ["returned", "raised"]
    assert outcomes() == known
    with pytest.raises(NotExecuted):
        asyncio.run(run(not_executed))
    assert outcomes() == ["returned", "raised", "not_executed"]


def test_a_coroutine_can_be_made_a_task(outcomes):
    async def run(make):
        result = returning(make)()
        assert asyncio.iscoroutine(result) and inspect.isawaitable(result)
        assert result.__name__ == make.__name__
        return await asyncio.create_task(result)

    assert asyncio.run(run(nothing)) == "done"
    assert outcomes() == ["returned"]


@makers
def test_cancelled_while_it_ran(outcomes, make):
    async def run():
        task = asyncio.ensure_future(returning(lambda: make(waiting))())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert outcomes() == ["cancelled"]


@pytest.mark.filterwarnings("ignore:coroutine")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("make", [MAKERS["coroutine"], Custom, Stepped])
def test_never_awaited_is_unknown(outcomes, make):
    result = returning(lambda: make(nothing))()
    assert outcomes() == []
    del result
    assert outcomes() == ["unknown"]


def test_a_task_that_nobody_awaits_goes_on_and_is_recorded(outcomes):
    async def run():
        task = returning(lambda: asyncio.ensure_future(nothing()))()
        assert isinstance(task, asyncio.Task)
        await asyncio.sleep(0.1)
        assert task.done()

    asyncio.run(run())
    assert outcomes() == ["returned"]


def test_a_future_that_never_ends_is_unknown(outcomes):
    async def run():
        future = returning(lambda: asyncio.get_running_loop().create_future())()
        assert asyncio.isfuture(future)

    asyncio.run(run())
    assert outcomes() == ["unknown"]


def test_futures_that_are_over_already(outcomes):
    async def run():
        for end in ("set_result", "set_exception", "cancel"):
            future = asyncio.get_running_loop().create_future()
            getattr(future, end)(*({"set_result": [1], "set_exception": [KeyError("k")]}.get(end, [])))
            assert returning(lambda future=future: future)() is future
            if end == "set_exception":
                assert isinstance(future.exception(), KeyError)

    asyncio.run(run())
    assert outcomes() == ["returned", "raised", "cancelled"]


def test_looking_at_a_future_does_not_silence_its_error(outcomes, caplog):
    async def run():
        future = asyncio.get_running_loop().create_future()
        returning(lambda: future)()
        future.set_exception(KeyError("nobody asks for it"))
        await asyncio.sleep(0)

    asyncio.run(run())
    assert outcomes() == ["raised"]
    assert "never retrieved" in caplog.text


def test_the_future_of_a_thread_pool(outcomes):
    with concurrent.futures.ThreadPoolExecutor() as pool:
        future = returning(lambda: pool.submit(lambda: "done"))()
        assert future.result() == "done"
        with pytest.raises(RuntimeError):
            returning(lambda: pool.submit(asyncio.run, failing()))().result()
    assert outcomes() == ["returned", "raised"]


def test_budgets_are_settled_when_it_is_over(pay):
    async def run():
        held = pay("1.00", not_executed)
        with assert_denied("budget.window"):
            pay("0.01", nothing)
        with pytest.raises(NotExecuted):
            await held
        assert await pay("1.00", nothing) == "done"
        with assert_denied("budget.window"):
            pay("0.01", nothing)

    asyncio.run(run())


def test_not_executed_gives_back_what_the_call_reserved(pay):
    async def run():
        for make in MAKERS.values():
            with pytest.raises(NotExecuted):
                await pay("1.00", lambda make=make: make(not_executed))
        assert await pay("1.00", nothing) == "done"
        with assert_denied("budget.window"):
            pay("0.01", nothing)

    asyncio.run(run())


def test_a_coroutine_of_a_generator(outcomes):
    async def run():
        return await returning(of_generator)()

    assert asyncio.run(run()) == "done"
    assert outcomes() == ["returned"]


def numbers():
    sent = yield 1
    yield sent


async def later_numbers():
    sent = yield 1
    yield sent


def test_a_generator_is_over_when_it_is_exhausted(outcomes):
    def breaking():
        yield 1
        raise RuntimeError("it broke")

    made = returning(numbers)()
    assert isinstance(made, types.GeneratorType) and made.__name__ == "numbers"
    assert outcomes() == []
    assert [next(made), made.send(2)] == [1, 2] and list(made) == []
    assert outcomes() == ["returned"]
    with pytest.raises(RuntimeError):
        list(returning(breaking)())
    left = returning(numbers)()
    next(left)
    left.close()
    returning(numbers)()
    assert outcomes() == ["returned", "raised", "cancelled", "unknown"]


def test_an_async_generator_is_over_when_it_is_exhausted(outcomes):
    async def breaking():
        yield 1
        raise RuntimeError("it broke")

    async def nested():
        return numbers()

    async def main():
        made = returning(later_numbers)()
        assert isinstance(made, types.AsyncGeneratorType)
        assert outcomes() == []
        assert [await made.__anext__(), await made.asend(2)] == [1, 2]
        assert [item async for item in made] == []
        with pytest.raises(RuntimeError):
            [item async for item in returning(breaking)()]
        left = returning(later_numbers)()
        await left.__anext__()
        await left.aclose()
        made = await verify_agent_scope("read:x")(nested)()
        assert outcomes() == ["returned", "raised", "cancelled"]
        assert [next(made), *made] == [1, None]

    asyncio.run(main())
    assert outcomes() == ["returned", "raised", "cancelled", "returned"]


def test_budgets_of_a_generator_are_settled_when_it_is_over(pay):
    def saying(error):
        yield
        raise error

    # What it says itself is room again; what its caller throws into it is not.
    for _ in range(3):
        with pytest.raises(NotExecuted):
            list(pay("1.00", lambda: saying(NotExecuted())))
    thrown = pay("0.60", lambda: saying(RuntimeError()))
    next(thrown)
    with pytest.raises(NotExecuted):
        thrown.throw(NotExecuted())
    with assert_denied("budget.window"):
        pay("0.60", numbers)


@pytest.mark.parametrize("value", [None, "", "text", 0, [], {}, object(), MagicMock(), Exception()])
def test_what_is_not_to_be_awaited_is_handed_on_itself(outcomes, value):
    assert returning(lambda: value)() is value
    assert outcomes() == ["returned"]


class Request(Stepped):
    """As aiohttp's: to be awaited, or to be entered."""

    def __init__(self):
        super().__init__()
        self.closed = False

    async def __aenter__(self):
        return self

    async def __aexit__(self, *error):
        self.closed = True


class Rich(Custom):
    def __len__(self):
        return 3

    def __iter__(self):
        return iter("abc")

    def __eq__(self, other):
        return other == "rich"

    def __call__(self, x):
        return x + 1


def test_another_awaitable_keeps_its_looks(acting):
    async def run():
        result = returning(Custom)()
        assert isinstance(result, Custom) and isinstance(result, collections.abc.Awaitable)
        assert result.label == "custom"
        result.label = "changed"
        assert result.label == "changed"
        with pytest.raises(AttributeError):
            result.missing  # noqa: B018
        rich = returning(Rich)()
        assert (len(rich), list(rich), rich(1), rich == "rich") == (3, ["a", "b", "c"], 2, True)
        with pytest.raises(TypeError):
            hash(rich)
        assert await rich == "done"
        assert await result == "done"

    asyncio.run(run())


def test_what_is_entered_instead_of_awaited(outcomes):
    async def run():
        async with returning(Request)() as request:
            assert outcomes() == ["returned"]
        assert request.closed

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        asyncio.run(run())
    assert outcomes() == ["returned"]


class Hostile:
    def __await__(self):
        raise LookupError("not today")

    def done(self):
        raise LookupError("not today")

    def add_done_callback(self, callback):
        raise LookupError("not today")


def test_what_cannot_be_seen_to_end_is_unknown(outcomes, caplog):
    hostile = Hostile()
    assert returning(lambda: hostile)() is hostile
    assert outcomes() == ["unknown"]
    assert "cannot be seen" in caplog.text


def test_work_that_a_coroutine_function_leaves_behind(outcomes):
    @verify_agent_scope("read:x")
    async def start():
        return asyncio.ensure_future(failing())

    @verify_agent_scope("read:x")
    async def hand_on():
        return Custom()

    async def run():
        task = await start()
        assert outcomes() == []
        with pytest.raises(RuntimeError):
            await task
        assert type(await hand_on()) is Custom

    asyncio.run(run())
    assert outcomes() == ["raised", "returned"]


def test_several_actions_end_together(outcomes, desk):
    id = desk[0].agent_id

    @verify_agent_scope(object(), id, required_scopes=["read:x", "read:y"])
    def act():
        return nothing()

    result = act()
    assert outcomes() == []
    assert asyncio.run(awaited(result)) == "done"
    assert outcomes() == ["returned"] * 2


@makers
def test_calls_of_the_awaitable_follow_from_its_decision(acting, desk, make):
    inner = verify_agent_scope("read:x")(lambda: "inner")

    async def work():
        inner()
        return chain_headers()

    async def run():
        with chain():
            outside = chain_headers()
            result = returning(lambda: make(work))()
            assert chain_headers() == outside, "the caller is not inside"
            inside = await result
            assert chain_headers() == outside
            assert inside != outside

    asyncio.run(run())
    outer, called = desk[1]("decision")[-2:]
    assert called["par"] == [outer["hash"]]


def test_anyio_and_trio_start_what_a_plain_function_returns(outcomes):
    async def run(work):
        async with anyio.create_task_group() as group:
            group.start_soon(returning(work))
            await anyio.sleep(0.01)
            group.cancel_scope.cancel()

    for backend in ("asyncio", "trio"):
        anyio.run(run, nothing, backend=backend)
        anyio.run(run, anyio.sleep_forever, backend=backend)
    assert outcomes() == ["returned", "cancelled"] * 2
