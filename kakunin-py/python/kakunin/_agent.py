"""Agents of this process: opening them, telling of them, following a fork."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import weakref
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from . import _native
from ._connect import Line
from ._environment import warn_of_ignored_variables
from ._guard import Guard
from ._journal import Journal, Level
from ._status import Status
from .errors import KakuninError

logger = logging.getLogger("kakunin")

#: Where an agent keeps its state: its own directory, another one, or nowhere.
State = str | os.PathLike[str] | None
Mode = Literal["enforce", "observe"]


class Agent(_native.NativeAgent):
    """An open agent: its verified certificate, its leash, its journal.

    `Agent.connect` fetches it from its authority and keeps it current; `Agent.from_dir` opens what `kakunin
    agent certify --out DIR` wrote. An agent is cheap to keep, safe to share between threads and tasks, and
    cannot be pickled.
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
    def connect(
        cls,
        url: str | Iterable[str] | None = None,
        agent: str | None = None,
        *,
        token: str | None = None,
        directory: str | os.PathLike[str] | None = None,
        state: State = None,
        ca_file: str | os.PathLike[str] | None = None,
        root: str | None = None,
        issuer: str | None = None,
        max_age: int | None = None,
        without_feed: bool = False,
        timeout: float = 10.0,
        mode: Mode = "enforce",
        journal: Journal | Mapping[str, Level] | None = None,
    ) -> Agent:
        """Connects an agent to its authority: papers, lists and the feed of revocations come by themselves.

        `url` is the authority's address, or several of them, tried in turn: HTTPS, or plain HTTP to this
        machine. `agent` is the agent's id or name there. `token` enrols it once, into `directory`
        (`./.kakunin/agents/AGENT` if not said); a directory that holds the agent needs none. `ca_file`
        holds the PEM certificates that HTTPS is checked against, if not the platform's. `root` is the
        SHA-256 of the root's DER in hexadecimal; a token from `kakunin agent token` brings it along.
        `issuer` names the issuing authority (the SHA-256 of its SubjectPublicKeyInfo) that first papers must
        be of, and to which a renewal may move without the word of the present one. What is not given comes
        from KAKUNIN_URL (with commas), KAKUNIN_AGENT, KAKUNIN_TOKEN, KAKUNIN_AGENT_DIR, KAKUNIN_STATE_DIR,
        KAKUNIN_CA_FILE and KAKUNIN_ROOT.

        It waits up to `timeout` seconds for the authority. If that is away and the directory is complete,
        the agent is open all the same, is denied `revocation.stale`, and goes on trying. A signed word of
        the authority counts for as long as its list says, or for `max_age` seconds if that is less.
        `without_feed=True` takes lists that ask for no feed, and fetches them every minute; otherwise they
        are refused. `state`, `mode` and `journal` are those of `from_dir`.

        One thread that never needs the interpreter does the work. An agent that is connected in this process
        already is the same agent; other options are an error. What an operator should hear is written into
        the log `kakunin` by the next guarded call, or by `status()`. Raises `ConnectError`.
        """
        warn_of_ignored_variables()
        kept = Journal.of(journal)
        line = Line.of(
            url,
            agent,
            token=token,
            directory=directory,
            state=state,
            ca_file=ca_file,
            root=root,
            issuer=issuer,
            max_age=max_age,
            without_feed=without_feed,
        )
        options = (line, mode, kept)
        with _lock:
            known = _by_directory.get(line.directory)
            if known is not None:
                if known._options != options:
                    raise KakuninError(f"`{line.directory}` is open already, with other options")
                return known
            client, opened = line.open(timeout=timeout, mode=mode, journal=kept)
            self = cls(opened)
            self._client = client
            # The token has done what it is for; nothing keeps it for the life of the process.
            self._options = (line.without_token(), mode, kept)
            self._reopen = f"Agent.connect(.., {line.agent!r})"
            _by_directory[line.directory] = self
        self._tell()
        return self

    @classmethod
    async def connect_async(
        cls,
        url: str | Iterable[str] | None = None,
        agent: str | None = None,
        *,
        token: str | None = None,
        directory: str | os.PathLike[str] | None = None,
        state: State = None,
        ca_file: str | os.PathLike[str] | None = None,
        root: str | None = None,
        issuer: str | None = None,
        max_age: int | None = None,
        without_feed: bool = False,
        timeout: float = 10.0,
        mode: Mode = "enforce",
        journal: Journal | Mapping[str, Level] | None = None,
    ) -> Agent:
        """`connect`, waited for in a thread of its own: the event loop goes on."""
        import asyncio  # programs without an event loop need none

        return await asyncio.to_thread(
            cls.connect,
            url,
            agent,
            token=token,
            directory=directory,
            state=state,
            ca_file=ca_file,
            root=root,
            issuer=issuer,
            max_age=max_age,
            without_feed=without_feed,
            timeout=timeout,
            mode=mode,
            journal=journal,
        )

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
        self._client: _native.NativeClient | None = None
        self._options: object = None
        self._reopen = "Agent.from_dir(..)"
        _live.add(self)

    @property
    def guard(self) -> Guard:
        """Asks this agent's leash without acting."""
        return Guard(self)

    def status(self) -> Status:
        """How the connection to the authority is doing, now; for agents of `connect`."""
        if self._client is None:
            raise KakuninError(f"only a connected agent has a status; this one is from {self._reopen}")
        self._tell()
        return self._client.status()

    def close(self) -> None:
        """Signs what waits, ends the stream of receipts and joins all threads.

        A connected agent hears nothing from then on, and is denied `revocation.stale` as soon as the last
        word is too old; `connect` opens it again.
        """
        super().close()
        if self._client is not None:
            with _lock:
                for place in [place for place, agent in _by_directory.items() if agent is self]:
                    del _by_directory[place]
            self._client.close()
            self._tell()

    def _tell(self) -> None:
        """Writes what happened and an operator should know into the log."""
        for notice in self.take_notices():
            logger.warning("%s: %s", self.agent_id, notice)
        for code, text in self._client.take_alarms() if self._client else ():
            level = LEVELS.get(code, logging.WARNING)
            logger.log(level, "%s: %s [%s]", self.agent_id, text, code, extra={"kakunin_code": code})

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


def tell_what_waits() -> None:
    """Writes what connected agents should tell an operator into the log. Called by the native module."""
    for agent in list(_live):
        if agent._client is not None:
            # A handler that fails must not decide whether a guarded call is made.
            with suppress(Exception):
                agent._tell()


def _pem(part: str | bytes | os.PathLike[str]) -> str:
    if isinstance(part, bytes):
        return part.decode("ascii")
    if isinstance(part, str) and "-----BEGIN" in part:
        return part
    return Path(part).read_text(encoding="ascii")


def _before_fork() -> None:
    _lock.acquire()
    agents = list(_live)
    for agent in agents:
        if agent._client is not None:
            agent._client.before_fork()
    for agent in agents:
        agent.before_fork()


def _after_fork_in_parent() -> None:
    for agent in list(_live):
        agent.after_fork_in_parent()
        if agent._client is not None:
            agent._client.after_fork_in_parent()
    _lock.release()


def _after_fork_in_child() -> None:
    for agent in list(_live):
        agent.after_fork_in_child()
        if agent._client is not None:
            agent._client.after_fork_in_child()
    _lock.release()


def _close_all() -> None:
    for agent in list(_live):
        agent.close()


#: How loud an alarm is; what is not here is a warning.
LEVELS = {
    "feed.contradiction": logging.ERROR,
    "feed.recovered": logging.INFO,
    "feed.stale": logging.ERROR,
    "renewal.moved": logging.INFO,
}

_lock = threading.RLock()
_live: weakref.WeakSet[Agent] = weakref.WeakSet()
_by_directory: weakref.WeakValueDictionary[str, Agent] = weakref.WeakValueDictionary()

os.register_at_fork(
    before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
)
atexit.register(_close_all)
