"""The agent that guarded functions act as: the one of the process, or of a block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from types import TracebackType

from . import _native
from ._agent import Agent
from ._environment import warn_of_ignored_variables


class agent_context:
    """Within the block, and in tasks and threads that copy its context, guarded functions act as `agent`."""

    def __init__(self, agent: Agent) -> None:
        if not isinstance(agent, Agent):
            raise TypeError(f"agent_context takes a kakunin.Agent, not {agent!r}")
        self._agent = agent

    def __enter__(self) -> Agent:
        _native.context_entered()
        _entered.set((*_entered.get(), _context.set(self._agent)))
        return self._agent

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        *outer, token = _entered.get()
        _entered.set(tuple(outer))
        _context.reset(token)


@contextmanager
def override(value: object) -> Iterator[None]:
    """Puts anything into the context, for tests: what is no agent means that there is none."""
    _native.context_entered()
    token = _context.set(value)
    try:
        yield
    finally:
        _context.reset(token)


def use(agent: Agent) -> None:
    """Makes `agent` the one of this process, once, and warns of functions that it can never call."""
    from ._decorator import warn_of_never_allowed

    if not isinstance(agent, Agent):
        raise TypeError(f"use takes a kakunin.Agent, not {agent!r}")
    warn_of_ignored_variables()
    if _native.set_default(agent):
        warn_of_never_allowed(agent)


def current_agent() -> Agent | None:
    """The agent that a guarded function would act as here, if it names none itself."""
    return _native.current()  # type: ignore[return-value]


def default_agent() -> Agent | None:
    """The agent that `use` set."""
    return _native.default()  # type: ignore[return-value]


#: In the context: no agent at all.
NOBODY = object()
# Set to an agent by `agent_context`, to anything else by a test that wants none.
_context: ContextVar[object] = ContextVar("kakunin_agent", default=None)
# The way back out of each block, by thread and task: one `agent_context` may be entered by several at a time.
_entered: ContextVar[tuple[Token[object], ...]] = ContextVar("kakunin_entered", default=())

_native.set_context(_context)
