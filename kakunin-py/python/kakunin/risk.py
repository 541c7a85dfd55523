"""Behaviour risk: whether an agent still does what it used to do, by its own signed receipts.

behaviour = kakunin.risk.replay("receipts.jsonl", baseline="billing.json", roots="ca.pem")
assert behaviour.level == "clear", behaviour.changes

The answer is the core's, and the same that `kakunin risk replay --json` prints; its `digest` is the same
in every language.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from . import _native
from ._verify import Source, StrPath, _each, _octets
from .errors import CannotVerify

__all__ = ["Change", "Evidence", "Level", "Replay", "replay"]

Level = Literal["clear", "watch", "step-up", "suspend", "revoke"]


@dataclass(frozen=True)
class Evidence:
    """Why: one feature, its weight, a sentence."""

    feature: str
    #: Thousandths of a nat; 0 for what is no statistic.
    milli_nats: int
    sentence: str


@dataclass(frozen=True)
class Change:
    """The moment at which the agent came to another level."""

    #: RFC 3339, by the receipts.
    at: str
    #: The receipt that brought it about, 64 hexadecimal digits.
    receipt: str | None
    from_level: Level
    to_level: Level
    #: From 0 to 1000.
    score: int
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True)
class Replay:
    """What a history came to."""

    agent: str
    #: At the end, and the highest in between.
    level: Level
    highest: Level
    #: At the end, and the highest in between; from 0 to 1000.
    score: int
    peak: int
    calls: int
    denied: int
    #: Receipts that nobody signed; they were not judged.
    unsigned: int
    #: The verifier's word on a journal or bundle; none for a file of receipts.
    verdict: str | None
    #: Features that nothing here shows any of.
    silent: tuple[str, ...]
    changes: tuple[Change, ...]
    #: Digests of what it was judged by.
    baseline: str
    policy: str
    #: Over what was judged, by what, and everything that came of it.
    digest: str


def replay(
    path: StrPath,
    *,
    baseline: Source,
    roots: Source | Iterable[Source],
    policy: Source | None = None,
    agent: str | None = None,
) -> Replay:
    """Judges a history again from its beginning, and verifies it on the way.

    `path` is a file of receipts, a bundle, or an agent's directory, its state or its journal. `baseline`
    is a file of `kakunin risk baseline`, or its bytes; `policy` a policy in TOML, the default one
    without it; `roots` are the root certificates to trust. `agent` says whose behaviour is meant where
    receipts of several are there.

    Raises `CannotVerify` when something cannot be read or a receipt is not proven: then nothing is
    judged.
    """
    record = json.loads(
        _native.risk_replay(
            path,
            roots=[_octets(root) for root in _each(roots, (str, bytes, os.PathLike))],
            baseline=_text(baseline),
            policy="" if policy is None else _text(policy),
            agent=agent,
        )
    )
    changes = (
        Change(
            at=change["at"],
            receipt=change["receipt"],
            from_level=change["from"],
            to_level=change["to"],
            score=change["score"],
            evidence=tuple(Evidence(**evidence) for evidence in change["evidence"]),
        )
        for change in record["changes"]
    )
    return Replay(**{**record, "silent": tuple(record["silent"]), "changes": tuple(changes)})


def _text(source: Source) -> str:
    name, octets = _octets(source)
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CannotVerify(f"{name or 'the bytes given'}: it is no UTF-8 text") from error
