"""Help for testing code that is guarded, with real certificates and real decisions.

There is no double that allows everything: a test gives its agent a certificate that allows what the test does.

    authority = MemoryAuthority()
    agent = authority.issue({"actions": ["payments:send"]})
    with agent_context(agent), assert_denied("scope.action"):
        delete_everything()
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from types import TracebackType
from typing import Generic, TypeVar

from .. import _native
from .._agent import EPOCH, MILLISECOND, Agent, NOBODY, agent_context, override
from ..errors import ScopeDenied
from ._authority import MemoryAuthority

__all__ = ["FakeClock", "MemoryAuthority", "agent_context", "assert_denied", "no_agent", "open_agent"]


class FakeClock:
    """A clock that moves only when told."""

    def __init__(self, now: datetime | None = None) -> None:
        start = now or datetime.now().astimezone()
        self._native = _native.ManualClock(_millis(start))

    @property
    def now(self) -> datetime:
        """The wall clock."""
        return EPOCH + self._native.now() * MILLISECOND

    def advance(self, time: timedelta | float) -> None:
        """Lets time pass: a `timedelta`, or seconds."""
        self._native.advance(_duration(time))

    def set_wall(self, now: datetime) -> None:
        """Sets the wall clock, as an administrator would; no other clock moves."""
        self._native.set_wall(_millis(now))

    def sleep(self, time: timedelta | float) -> None:
        """The machine sleeps: the wall clock goes on, the monotonic clock stands still."""
        self._native.sleep(_duration(time))


class assert_denied:  # noqa: N801 - reads as a function
    """Within the block exactly this denial is raised; `.value` is it.

        with assert_denied("scope.amount") as denied:
            pay("acme", "1000000.00")
        assert denied.value.limit == "10000.00 EUR"
    """

    value: ScopeDenied

    def __init__(self, code: str) -> None:
        if code not in _native.DENIAL_CODES:
            raise ValueError(f"`{code}` is no denial code; the codes are in kakunin.DENIAL_CODES")
        self._code = code

    def __enter__(self) -> assert_denied:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is None:
            raise AssertionError(f"nothing was denied; expected `{self._code}`")
        if not isinstance(error, ScopeDenied):
            return False
        if error.code != self._code:
            raise AssertionError(f"denied with `{error.code}`; expected `{self._code}`") from error
        self.value = error
        return True


def no_agent() -> AbstractContextManager[None]:
    """Within the block there is no agent, whatever `use` set."""
    return override(NOBODY)


def open_agent(directory: str, *, clock: FakeClock | None = None, lists: str | None = None, state: str | None = None) -> Agent:
    """Opens an agent's directory with its own clock. Unlike `Agent.from_dir` it opens anew each time."""
    native = None if clock is None else clock._native
    return Agent(_native.open_directory(directory, lists=lists, state=state, clock=native))


def _millis(time: datetime) -> int:
    if time.tzinfo is None:
        raise TypeError("a clock needs a time zone: a naive datetime names no instant")
    return (time - EPOCH) // MILLISECOND


def _duration(time: timedelta | float) -> int:
    return (time if isinstance(time, timedelta) else timedelta(seconds=time)) // MILLISECOND
