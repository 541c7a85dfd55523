"""How an agent keeps its journal, as code says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

#: What has happened to a receipt when its call goes on: it is in memory (`enqueue`), with the kernel
#: (`write`, which survives the death of the process) or on the disk (`sync`, which survives the loss of
#: power).
Level = Literal["enqueue", "write", "sync"]


@dataclass(frozen=True)
class Journal:
    """How receipts are kept. What is said here stands over the agent's `agent.toml`.

    `levels` gives a level to actions by patterns of their names, as the table `[journal]` of
    `agent.toml`; of several the longest decides, and what none covers is `write`. `sealed=True` lets
    receipts of up to a second share one signature, for keys that take long to sign.

    >>> Agent.from_dir("agents/billing", journal=Journal({"payments:*": "sync"}, sealed=True))
    """

    levels: Mapping[str, Level] = field(default_factory=dict)
    #: `None`: as `agent.toml` says, and without a word there each receipt has a signature of its own.
    sealed: bool | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.levels, Mapping):
            raise TypeError(f"levels is a mapping of patterns to levels, not {self.levels!r}")
        for pattern, level in self.levels.items():
            if not isinstance(pattern, str):
                raise TypeError(f"a pattern of actions is a str, not {pattern!r}")
            if not isinstance(level, str):
                raise TypeError(f'the level of `{pattern}` is "enqueue", "write" or "sync", not {level!r}')
        if self.sealed is not None and not isinstance(self.sealed, bool):
            raise TypeError(f"sealed is True, False or None, not {self.sealed!r}")
        # Frozen all the way: an open agent is compared with what it was opened with.
        object.__setattr__(self, "levels", MappingProxyType(dict(self.levels)))

    @classmethod
    def of(cls, journal: Journal | Mapping[str, Level] | None) -> Journal:
        """A `Journal`, from one or from the mapping that stands for its levels."""
        if journal is None:
            return cls()
        if isinstance(journal, cls):
            return journal
        if isinstance(journal, Mapping):
            return cls(journal)
        raise TypeError(f"journal is a kakunin.Journal or a mapping of patterns to levels, not {journal!r}")

    def __hash__(self) -> int:
        return hash((tuple(sorted(self.levels.items())), self.sealed))
