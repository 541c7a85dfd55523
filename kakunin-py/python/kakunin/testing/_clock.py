"""A clock that a test moves."""

from __future__ import annotations

from datetime import datetime, timedelta

from .. import _native
from .._guard import EPOCH, MILLISECOND


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


def _millis(time: datetime) -> int:
    if time.tzinfo is None:
        raise TypeError("a clock needs a time zone: a naive datetime names no instant")
    return (time - EPOCH) // MILLISECOND


def _duration(time: timedelta | float) -> int:
    return (time if isinstance(time, timedelta) else timedelta(seconds=time)) // MILLISECOND
