"""How guarded actions end, also those that end later than the function that was called.

A plain function may hand back a coroutine, a future, a generator or anything else to be awaited. It was
judged at the call; what it does is over when that is. So receipt and budgets wait for it, and whoever never
begins it leaves an action whose result is unknown. What is handed on can be used as before: futures are
themselves, coroutines and generators are what they were, and other awaitables stay behind an object that
looks like them.
"""

from __future__ import annotations

import functools
import inspect
import logging
import sys
import types
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any

from .errors import NotExecuted

if TYPE_CHECKING:
    from ._native import Running

logger = logging.getLogger("kakunin")


def settle(running: Running) -> None:
    """Records how a body ended that did not return. Called while its exception is handled."""
    conclude(running, sys.exc_info()[1])


def conclude(running: Running, error: BaseException | None) -> None:
    """Records the outcome: `error`, or none."""
    if running.ended:
        # The first word counts, and this one may be another action's.
        return
    if error is None:
        running.returned()
    elif isinstance(error, NotExecuted) and not error._taken:
        # It speaks of the innermost action. The ones around it may have acted before.
        error._taken = True
        running.not_executed()
    elif isinstance(error, (GeneratorExit, *cancellations())):
        running.cancelled()
    else:
        running.raised()


def cancellations() -> Generator[type[BaseException], None, None]:
    """The exceptions of cancelled tasks; a process that never imported a library has none of its."""
    for library, name in (("asyncio", "CancelledError"), ("trio", "Cancelled")):
        if (found := getattr(sys.modules.get(library), name, None)) is not None:
            yield found


@functools.lru_cache(maxsize=1024)
def may_defer(kind: object) -> bool:
    """Whether an object of this class may be the beginning only: an awaitable, a future, a generator."""
    return any(hasattr(kind, name) for name in ("__await__", "add_done_callback", "gi_code", "ag_code"))


def goes_on(result: object) -> bool:
    """Whether the result of a coroutine function is itself work that goes on."""
    return isinstance(result, GOING_ON) or hasattr(type(result), "add_done_callback")


def follow(running: Running, result: Any) -> Any:
    """Leaves `running` to end with `result`; what the caller gets in its place."""
    # The caller goes on elsewhere in the decision chain.
    running.suspend()
    try:
        if hasattr(type(result), "add_done_callback"):
            return _when_done(running, result)
        kind = type(result)
        if kind is types.GeneratorType and not result.gi_code.co_flags & inspect.CO_ITERABLE_COROUTINE:
            return _named(_generator(running, result), result)
        if kind is types.AsyncGeneratorType:
            return _named(_async_generator(running, result), result)
        if kind in (types.CoroutineType, types.GeneratorType):
            return _named(_coroutine(running, result), result)
        return _likeness(kind)(running, result)
    except Exception:
        # The action goes on all the same.
        _give_up(running, result)
        return result


def _when_done(running: Running, future: Any) -> Any:
    done = functools.partial(_done, running)
    if future.done():
        # Nothing to wait for, and perhaps no loop left that would tell.
        done(future)
    else:
        future.add_done_callback(done)
    return future


def _done(running: Running, future: Any) -> None:
    try:
        if future.cancelled():
            running.cancelled()
            return
        # Asking by `exception()` counts as having looked, and asyncio would not report an error nobody saw.
        error = future._exception if hasattr(future, "_exception") else future.exception()
        if error is None or isinstance(error, BaseException):
            conclude(running, error)
        else:
            running.unknown()
    except Exception:
        _give_up(running, future)


def _give_up(running: Running, result: object) -> None:
    running.unknown()
    logger.error("how %r ends cannot be seen", type(result), exc_info=True)


async def _coroutine(running: Running, inner: Awaitable[Any]) -> Any:
    running.resume()
    try:
        result = await inner
    except:
        settle(running)
        raise
    running.returned()
    return result


def steps(running: Running, inner: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """`inner`, which is in its place in a decision chain only while it runs and not while its caller does."""
    chained = running.in_chain
    try:
        item = next(inner)
        while True:
            if chained:
                running.suspend()
            try:
                sent = yield item
            except GeneratorExit:
                if chained:
                    running.resume()
                inner.close()
                raise
            except BaseException as error:
                if chained:
                    running.resume()
                item = _throw(running, inner, error)
            else:
                if chained:
                    running.resume()
                item = inner.send(sent)
    except StopIteration as end:
        return end.value


def _throw(running: Running, inner: Generator[Any, Any, Any], error: BaseException) -> Any:
    try:
        return inner.throw(error)
    except NotExecuted as out:
        if out is error:
            # The caller's word about what the caller did, as from the block of a context manager.
            running.raised()
        raise


def _generator(running: Running, inner: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    running.resume()
    try:
        result = yield from steps(running, inner)
    except:
        settle(running)
        raise
    running.returned()
    return result


async def _async_generator(running: Running, inner: AsyncGenerator[Any, Any]) -> AsyncGenerator[Any, Any]:
    running.resume()
    try:
        try:
            item = await inner.__anext__()
            while True:
                running.suspend()
                try:
                    sent = yield item
                except GeneratorExit:
                    running.resume()
                    raise
                except BaseException as error:
                    running.resume()
                    item = await _athrow(running, inner, error)
                else:
                    running.resume()
                    item = await inner.asend(sent)
        except StopAsyncIteration:
            pass
        finally:
            await inner.aclose()
    except:
        settle(running)
        raise
    running.returned()


async def _athrow(running: Running, inner: AsyncGenerator[Any, Any], error: BaseException) -> Any:
    try:
        return await inner.athrow(error)
    except NotExecuted as out:
        if out is error:
            running.raised()
        raise


def _named(outer: Any, inner: Any) -> Any:
    outer.__name__, outer.__qualname__ = inner.__name__, inner.__qualname__
    return outer


def _steps(running: Running, inner: Any) -> Generator[Any, Any, Any]:
    running.resume()
    try:
        result = yield from inner.__await__()
    except:
        settle(running)
        raise
    running.returned()
    return result


class Likeness:
    """An awaitable of another class: its attributes, its operators, and an eye on how it ends."""

    __slots__ = ("__weakref__", "_kakunin_inner", "_kakunin_running", "_kakunin_steps")

    def __init__(self, running: Running, inner: Any) -> None:
        for name, value in (("inner", inner), ("running", running), ("steps", None)):
            object.__setattr__(self, f"_kakunin_{name}", value)

    def __await__(self) -> Generator[Any, Any, Any]:
        return _steps(self._kakunin_running, self._kakunin_inner)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._kakunin_inner, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._kakunin_inner, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._kakunin_inner, name)


class CoroutineLikeness(Likeness):
    """The same for what is stepped like a coroutine."""

    __slots__ = ()

    def send(self, value: object) -> Any:
        return self._kakunin_begun().send(value)

    def throw(self, *error: Any) -> Any:
        return self._kakunin_begun().throw(*error)

    def close(self) -> None:
        if self._kakunin_steps is None:
            self._kakunin_inner.close()
        else:
            self._kakunin_steps.close()

    def _kakunin_begun(self) -> Generator[Any, Any, Any]:
        begun: Generator[Any, Any, Any] | None = self._kakunin_steps
        if begun is None:
            begun = self.__await__()
            object.__setattr__(self, "_kakunin_steps", begun)
        return begun


def _likeness(kind: type) -> type[Likeness]:
    """The class of likenesses of `kind`: operators are looked up on classes, so each needs its own."""
    if (known := _likenesses.get(kind)) is not None:
        return known
    members: dict[str, Any] = {"__slots__": (), "__module__": kind.__module__, "__doc__": kind.__doc__}
    members["__class__"] = property(lambda self: type(self._kakunin_inner))
    for name in OPERATORS:
        own = getattr(kind, name, None)
        if own is not None and own is not getattr(object, name, None):
            members[name] = _operator(name)
    if hasattr(kind, "__aenter__"):
        members["__aenter__"] = _enter
    base = CoroutineLikeness if issubclass(kind, Coroutine) else Likeness
    made = _likenesses[kind] = type(kind.__name__, (base,), members)
    return made


def _operator(name: str) -> Callable[..., Any]:
    def operate(self: Any, *operands: Any) -> Any:
        return getattr(type(self._kakunin_inner), name)(self._kakunin_inner, *operands)

    return operate


def _enter(self: Any) -> Awaitable[Any]:
    # What is entered is there: a response, a connection.
    return _coroutine(self._kakunin_running, type(self._kakunin_inner).__aenter__(self._kakunin_inner))


_likenesses: weakref.WeakKeyDictionary[type, type[Likeness]] = weakref.WeakKeyDictionary()

#: What a coroutine function may leave behind that has only been made.
GOING_ON = (types.CoroutineType, types.GeneratorType, types.AsyncGeneratorType)

#: What may be done with an awaitable besides awaiting it.
OPERATORS = (
    "__aexit__", "__aiter__", "__anext__", "__bool__", "__call__", "__contains__", "__delitem__", "__enter__",
    "__eq__", "__exit__", "__getitem__", "__hash__", "__iter__", "__len__", "__next__", "__repr__",
    "__setitem__", "__str__",
)  # fmt: skip
