"""Where an agent's authority is and how to reach it: what code says, and the environment for the rest."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from . import _native
from .errors import ConnectError

if TYPE_CHECKING:
    from ._journal import Journal


@dataclass(frozen=True)
class Line:
    """Everything that makes two connected agents the same, and the token, which may be used up."""

    urls: tuple[str, ...]
    agent: str
    directory: str
    state: str | None
    ca_file: str | None
    root: str | None
    issuer: str | None
    max_age: int | None
    without_feed: bool
    token: str | None = field(repr=False, compare=False)

    @classmethod
    def of(
        cls,
        url: str | Iterable[str] | None,
        agent: str | None,
        *,
        token: str | None,
        directory: str | os.PathLike[str] | None,
        state: str | os.PathLike[str] | None,
        ca_file: str | os.PathLike[str] | None,
        root: str | None,
        issuer: str | None,
        max_age: int | None,
        without_feed: bool,
    ) -> Line:
        """A line, with what is `None` taken from the environment. No variable takes a check away."""
        agent = agent or _variable("KAKUNIN_AGENT")
        if not agent:
            raise _usage("no agent is named", "pass its id or its name, or set KAKUNIN_AGENT")
        urls = _urls(url if url is not None else _variable("KAKUNIN_URL"))
        if not urls:
            raise _usage("no authority is named", "pass its address, or set KAKUNIN_URL")
        place = directory or _variable("KAKUNIN_AGENT_DIR") or Path(".kakunin", "agents", agent)
        kept = None if state is None else os.fspath(state)
        if kept is None and (variable := _variable("KAKUNIN_STATE_DIR")):
            # A path in any case: only code can choose to have no state.
            kept = str(Path(variable).absolute())
        trusted = ca_file or _variable("KAKUNIN_CA_FILE")
        return cls(
            urls=urls,
            agent=agent,
            directory=os.path.realpath(place),
            state=kept,
            ca_file=None if trusted is None else str(Path(trusted).absolute()),
            root=root or _variable("KAKUNIN_ROOT"),
            issuer=issuer,
            max_age=max_age,
            without_feed=without_feed,
            token=token or _variable("KAKUNIN_TOKEN"),
        )

    def without_token(self) -> Line:
        """The same line for whoever keeps it."""
        return replace(self, token=None)

    def open(
        self, *, timeout: float, mode: Literal["enforce", "observe"], journal: Journal
    ) -> tuple[_native.NativeClient, _native.Opened]:
        """Connects, and opens the guard."""
        connect = getattr(_native, "connect", None)
        if connect is None:
            raise ConnectError(
                "this build of kakunin-py cannot connect: it was made without the feature `connect`",
                "connect.absent",
                "install the wheel that is published, or build with `--features connect`",
            )
        return _native.connect(
            list(self.urls),
            self.agent,
            token=self.token,
            directory=self.directory,
            state=self.state,
            ca_file=self.ca_file,
            root=self.root,
            issuer=self.issuer,
            max_age=self.max_age,
            without_feed=self.without_feed,
            timeout=timeout,
            mode=mode,
            levels=list(journal.levels.items()),
            sealed=journal.sealed,
        )


def _urls(given: str | Iterable[str] | None) -> tuple[str, ...]:
    several = given.split(",") if isinstance(given, str) else given or ()
    return tuple(url.strip() for url in several if url.strip())


def _variable(name: str) -> str | None:
    return os.environ.get(name, "").strip() or None


def _usage(what: str, fix: str) -> ConnectError:
    return ConnectError(what, "connect.usage", fix)
