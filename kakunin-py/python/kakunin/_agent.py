"""Agents of this process: opening them, choosing one, following a fork."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from . import _native
from ._environment import warn_of_ignored_variables
from ._journal import Journal, Level
from .errors import Decision, KakuninError

logger = logging.getLogger("kakunin")

#: Where an agent keeps its state: its own directory, another one, or nowhere.
State = str | os.PathLike[str] | None
Mode = Literal["enforce", "observe"]


class Agent(_native.NativeAgent):
    """An open agent: its verified certificate, its leash, its journal.

    `Agent.from_dir` opens what `kakunin agent certify --out DIR` wrote. An agent is cheap to keep, safe to
    share between threads and tasks, and cannot be pickled.
    """

    @classmethod
    def from_dir(
        cls,
        directory: str | os.PathLike[str],
        *,
        lists: str | os.PathLike[str] | None = None,
        state: State = None,
        mode: Mode = "enforce",
        journal: Journal | Mapping[str, Level] | None = None,
    ) -> Agent:
        """Opens an agent's directory; one that is open in this process already is the same agent.

        `lists` is the revocation lists' path if it is not the one in `agent.toml`. `state` is where journal
        and budgets go if not into the directory: a path, or `"memory"`, which is stamped into every
        receipt. `mode="observe"` records what would be denied and lets it run; it is stamped into every
        receipt too. `journal` says how safe a receipt must be before its call goes on, by action
        (`{"payments:*": "sync"}`), or more than that in a `Journal`; it stands over `agent.toml`. A pattern
        that no action of the certificate meets is a warning in the log `kakunin`; with state in memory there
        are no levels.
        """
        warn_of_ignored_variables()
        key, kept = os.path.realpath(directory), Journal.of(journal)
        options = (lists and os.fspath(lists), state and os.fspath(state), mode, kept)
        with _lock:
            known = _by_directory.get(key)
            if known is not None:
                if known._options != options:
                    raise KakuninError(f"`{key}` is open already, with other options")
                return known
            opened = _native.open_directory(
                key, lists=lists, state=state, mode=mode, levels=list(kept.levels.items()), sealed=kept.sealed
            )
            agent = cls(opened)
            for notice in agent.take_notices():
                logger.warning("%s: %s", key, notice)
            agent._options = options
            agent._reopen = f"Agent.from_dir({os.fspath(directory)!r})"
            _by_directory[key] = agent
            return agent

    @classmethod
    def from_env(cls, *, journal: Journal | Mapping[str, Level] | None = None) -> Agent:
        """Opens the directory that `KAKUNIN_AGENT_DIR` names; `KAKUNIN_STATE_DIR` is its state, if set.

        `journal` is that of `from_dir`.
        """
        directory = os.environ.get("KAKUNIN_AGENT_DIR")
        if not directory:
            raise KakuninError("KAKUNIN_AGENT_DIR is not set; it names the agent's directory")
        state = os.environ.get("KAKUNIN_STATE_DIR")
        # A path in any case: only code can choose to have no state.
        place = Path(state).absolute() if state else None
        return cls.from_dir(directory, state=place, journal=journal)

    @classmethod
    def from_pem(
        cls,
        certificate: str | bytes | os.PathLike[str],
        *,
        key: str | bytes | os.PathLike[str],
        chain: str | bytes | os.PathLike[str],
        ca: str | bytes | os.PathLike[str],
        lists: str | bytes | os.PathLike[str],
        issuer: str | None = None,
        names: tuple[str, ...] = (),
        mode: Mode = "enforce",
        journal: Journal | None = None,
    ) -> Agent:
        """Opens an agent from PEM texts, or files that hold them, with its state in memory.

        Nothing is watched: `agent.replace_lists(text)` brings a newer list. `names` are the texts of
        detached lists. `issuer` names the one issuing authority that may speak for the agent, as the line
        of that name in `agent.toml`: the SHA-256 of its SubjectPublicKeyInfo in hexadecimal. Give it
        wherever `certificate` and `chain` come from somewhere else than your configuration; without it, it
        is the authority in `chain` that issued `certificate`. Of a `Journal` only `sealed` has a meaning
        here: memory is on no disk, and levels are an error.
        """
        warn_of_ignored_variables()
        texts, kept = [_pem(part) for part in (certificate, key, chain, ca, lists)], Journal.of(journal)
        opened = _native.open_pem(
            *texts,
            issuer=issuer,
            names=list(names),
            mode=mode,
            levels=list(kept.levels.items()),
            sealed=kept.sealed,
        )
        agent = cls(opened)
        agent._reopen = "Agent.from_pem(..)"
        return agent

    def __init__(self, opened: _native.Opened) -> None:
        self._options: object = None
        self._reopen = "Agent.from_dir(..)"
        _live.add(self)

    @property
    def guard(self) -> Guard:
        """Asks this agent's leash without acting."""
        return Guard(self)

    def __reduce__(self) -> Any:
        raise TypeError(
            "an agent holds keys, locks and threads of its process and cannot be pickled;"
            f" open it again where it is needed: {self._reopen}"
        )

    def __copy__(self) -> Agent:
        return self

    def __deepcopy__(self, memo: object) -> Agent:
        return self

    def __repr__(self) -> str:
        return f"<Agent {self.agent_id}>"


class Guard:
    """Dry decisions: nothing runs, nothing is reserved, nothing is recorded."""

    __slots__ = ("_agent",)

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def check(
        self,
        action: str,
        *,
        amount: str | Decimal | None = None,
        amount_minor: int | None = None,
        currency: str | None = None,
        counterparty: str | list[str] | tuple[str, ...] | None = None,
        resource: str | list[str] | tuple[str, ...] | None = None,
        at: datetime | None = None,
    ) -> Decision:
        """The decision about a request, now or `at` another time."""
        if amount is not None and amount_minor is not None:
            raise TypeError("amount and amount_minor are two ways to say the same; give one")
        if at is not None and at.tzinfo is None:
            raise TypeError("`at` needs a time zone: a naive datetime names no instant")
        kind = "decimal" if amount_minor is None else "minor"
        plan = _native.Plan(action, amount=kind, agent=self._agent)
        number = amount if amount_minor is None else amount_minor
        millis = None if at is None else (at - EPOCH) // MILLISECOND
        return plan.dry(number, currency, counterparty, resource, at=millis)


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


def _pem(part: str | bytes | os.PathLike[str]) -> str:
    if isinstance(part, bytes):
        return part.decode("ascii")
    if isinstance(part, str) and "-----BEGIN" in part:
        return part
    return Path(part).read_text(encoding="ascii")


def _before_fork() -> None:
    _lock.acquire()
    for agent in list(_live):
        agent.before_fork()


def _after_fork_in_parent() -> None:
    for agent in list(_live):
        agent.after_fork_in_parent()
    _lock.release()


def _after_fork_in_child() -> None:
    for agent in list(_live):
        agent.after_fork_in_child()
    _lock.release()


def _close_all() -> None:
    for agent in list(_live):
        agent.close()


EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
MILLISECOND = timedelta(milliseconds=1)
#: In the context: no agent at all.
NOBODY = object()

_lock = threading.RLock()
_live: weakref.WeakSet[Agent] = weakref.WeakSet()
_by_directory: weakref.WeakValueDictionary[str, Agent] = weakref.WeakValueDictionary()
# Set to an agent by `agent_context`, to anything else by a test that wants none.
_context: ContextVar[object] = ContextVar("kakunin_agent", default=None)
# The way back out of each block, by thread and task: one `agent_context` may be entered by several at a time.
_entered: ContextVar[tuple[Token[object], ...]] = ContextVar("kakunin_entered", default=())

_native.set_context(_context)
os.register_at_fork(
    before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
)
atexit.register(_close_all)
