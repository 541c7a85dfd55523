"""Help for testing code that is guarded, with real certificates and real decisions.

There is no double that allows everything: a test gives its agent a certificate that allows what the test
does.

    authority = MemoryAuthority()
    agent = authority.issue({"actions": ["payments:send"]})
    with agent_context(agent), assert_denied("scope.action"):
        delete_everything()
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType

from .. import _native
from .._agent import Agent
from .._current import NOBODY, agent_context, override
from ..errors import ScopeDenied
from ._authority import MemoryAuthority
from ._clock import FakeClock

__all__ = ["FakeClock", "MemoryAuthority", "agent_context", "assert_denied", "no_agent", "open_agent"]


class assert_denied:
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


def open_agent(
    directory: str, *, clock: FakeClock | None = None, lists: str | None = None, state: str | None = None
) -> Agent:
    """Opens an agent's directory with its own clock. Unlike `Agent.from_dir` it opens anew each time."""
    native = None if clock is None else clock._native
    return Agent(_native.open_directory(directory, lists=lists, state=state, clock=native))
