"""The verifier: what a stranger may conclude from a bundle or a journal, offline.

The verdict is the core's, and its JSON the one that `kakunin verify --json` prints. Nothing that lies in what
is verified is believed: roots, log keys and witnesses are the caller's.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeAlias

from . import _native
from .errors import CannotVerify

__all__ = ["AskedBy", "Counts", "Problem", "Replay", "Step", "Stream", "Verdict", "Verification", "verify"]

Verdict = Literal["COMPLETE", "AUTHENTIC-NOT-COMPLETE", "INVALID", "EMPTY"]
StrPath: TypeAlias = "str | os.PathLike[str]"
#: A file, or what would stand in it.
Source: TypeAlias = "str | os.PathLike[str] | bytes"


@dataclass(frozen=True)
class Problem:
    """What is wrong, or what keeps what is right from being complete."""

    #: The stable code, for example `receipt.signature` or `tail.not_witnessed`.
    code: str
    #: The same in words.
    text: str
    #: The stream it is about, if it is about one.
    stream: str | None = None
    #: The receipts of that stream it is about, by their numbers there; none if it is about the whole.
    indices: tuple[int, ...] = ()
    #: The member of a bundle it is about.
    member: str | None = None
    #: What the code of an INVALID means.
    what: str | None = None

    @property
    def index(self) -> int | None:
        """The first of the receipts it is about."""
        return self.indices[0] if self.indices else None


@dataclass(frozen=True)
class Counts:
    """Receipts over all streams. What nobody signed counts as unsigned and nowhere else."""

    receipts: int
    allowed: int
    denied: int
    outcomes: int
    unsigned: int
    #: Held by a log whose key was given.
    logged: int
    #: Not later than some time, by a witness of the policy.
    witnessed: int


@dataclass(frozen=True)
class Stream:
    """One stream, which is one opening of an agent."""

    stream: str
    #: Whose it is, by its id under `root`; all three are `None` where it holds no signed one.
    agent: str | None
    #: The key of the root above it (SHA-256 of its SubjectPublicKeyInfo): the same id under another root
    #: is another agent.
    root: str | None
    #: SHA-256 of the certificate that signed its first receipt that is signed.
    certificate: str | None
    receipts: int
    allowed: int
    denied: int
    outcomes: int
    unsigned: int
    logged: int
    witnessed: int
    #: How often the agent stated that its clocks had jumped.
    clock_jumps: int
    #: Whether it ends with a closing receipt.
    closed: bool
    #: The first and last second, as its own clock claims in signed receipts (RFC 3339).
    claimed_from: str | None
    claimed_to: str | None


@dataclass(frozen=True)
class Values:
    """What became of the values that receipts commit to: amounts, names, digests of results."""

    disclosed: int
    #: As a proven receipt of their agent says; they keep nothing from being COMPLETE.
    erased: int
    #: Not shown by a bundle, and nothing in it says that they were erased.
    withheld: int
    #: Not in a journal, and no receipt says that they were erased.
    missing: int


@dataclass(frozen=True)
class Replay:
    """What deciding again came to. A decision that came out otherwise is INVALID."""

    same: int
    #: Decisions that depend on what is not here: erased values, lists of names, budgets, clocks, standing.
    open: int


@dataclass(frozen=True)
class AskedBy:
    """The agent that a gateway decided about."""

    agent: str
    #: SHA-256 of its certificate.
    certificate: str
    #: How it proved that it has the certificate's key.
    possession: Literal["signature", "tls", "proxy", "none"]


@dataclass(frozen=True)
class Step:
    """One receipt of the story, in the order that links prove."""

    #: Its name, 64 hexadecimal digits.
    receipt: str
    agent: str
    #: The key of the root above the agent: the same id under another root is another agent.
    root: str
    #: SHA-256 of the certificate that signed it.
    certificate: str
    stream: str
    #: Its number in the stream.
    seq: int
    #: What it says, in words, with the values that are disclosed.
    what: str
    #: Who asked, in a gateway's decision; `None` where the agent decided about itself.
    caller: AskedBy | None
    #: Receipts that it follows from.
    parents: tuple[str, ...]
    #: The time that it claims (RFC 3339).
    claimed: str
    #: The time at which it existed, by a witness.
    not_after: str | None
    #: Whether a log whose key was given holds it.
    logged: bool
    #: What proves it: its own signature, that of a seal, or nothing. What nobody signed counts nowhere.
    proof: Literal["signed", "sealed", "unsigned"]


@dataclass(frozen=True)
class Verification:
    """A verdict with everything behind it.

    There are four verdicts and no bare "valid", so a `Verification` is neither true nor false: using one as a
    condition raises `TypeError`. Compare `.verdict`, or ask `.complete`.
    """

    verdict: Verdict
    #: As the command line ends: 0 COMPLETE, 1 INVALID, 3 AUTHENTIC-NOT-COMPLETE or EMPTY.
    exit_code: int
    #: The one chain it is about; `None` for whole streams.
    chain: str | None
    #: INVALID has one, AUTHENTIC-NOT-COMPLETE one or more, COMPLETE none; EMPTY has some where receipts are
    #: here that nobody signed.
    problems: tuple[Problem, ...]
    #: What to know beside the verdict: a log whose key is missing, what is wrong with a file.
    notes: tuple[str, ...]
    counts: Counts
    streams: tuple[Stream, ...]
    values: Values
    #: With `replay=True` only.
    replay: Replay | None
    #: At most 2,000 receipts: of each stream the first ones.
    timeline: tuple[Step, ...]
    #: Receipts that were verified and are not in the timeline.
    left_out: int
    _account: _native.NativeAccount = field(repr=False, compare=False)

    @property
    def complete(self) -> bool:
        """Whether everything is there, is right, and somebody else saw the end."""
        return self.verdict == "COMPLETE"

    def to_dict(self, *, timeline: bool = False) -> dict[str, Any]:
        """What `kakunin verify --json` prints; with `timeline`, as with `--timeline`."""
        record: dict[str, Any] = json.loads(self._account.record(timeline))
        return record

    def html(self, path: StrPath | None = None) -> str:
        """The page that `kakunin verify --html` writes: for a browser, with no script and no request.

        With `path` it is also written there, whole or not at all; anything but a regular file is never
        replaced (`OSError`). A page is a drawing and proves nothing by itself.
        """
        if path is not None:
            self._account.keep(path)
        return self._account.page()

    def __bool__(self) -> NoReturn:
        raise TypeError(
            "a Verification is neither true nor false; compare `.verdict`, or ask `.complete` whether it is"
            " COMPLETE"
        )

    def __deepcopy__(self, memo: object) -> Verification:
        return self


def verify(
    path: StrPath,
    *,
    roots: Source | Iterable[Source],
    log_keys: str | Iterable[str] = (),
    witness_policy: Source | Iterable[Source] | None = None,
    crls: Source | Iterable[Source] = (),
    logs: StrPath | Iterable[StrPath] = (),
    journals: StrPath | Iterable[StrPath] = (),
    replay: bool = False,
    names: StrPath | Iterable[StrPath] = (),
    html: StrPath | None = None,
) -> Verification:
    """Verifies a bundle, or journals, offline: nothing but what is named here is believed.

    verification = kakunin.verify("incident.zip", roots=["shop.pem", "bank.pem"], log_keys=keys)
    assert verification.verdict == "COMPLETE", verification.problems

    `path` is a bundle, or an agent's directory, its state or its journal; `journals` are further ones.
    `roots` are the root certificates to trust, as files or as bytes of PEM, and never come from what is
    verified. `log_keys` are keys of logs as their owners give them to you; `witness_policy` is a
    tlog-policy, as a file or as bytes. `crls` are revocation lists of your own, in PEM: whoever made the
    bundle may have left out the newest. `logs` are folders of logs that hold receipts of journals; a
    bundle has its proofs in it. With `replay` every decision is made again, with the lists of names in
    the folders `names` (files of the form `<root>.txt`). With `html` what was found is also drawn there, as
    `Verification.html` does.

    Other threads run meanwhile. Raises `CannotVerify` when nothing can be judged, because something
    cannot be read; `ValueError` when what was asked cannot be asked. What is wrong with the receipts is
    no exception: it is the verdict.
    """
    folders = _each(names, (str, os.PathLike))
    if folders and not replay:
        raise ValueError("names are for replay=True")
    account = _native.verify_path(
        path,
        roots=[_octets(root) for root in _each(roots, (str, bytes, os.PathLike))],
        log_keys=list(_each(log_keys, (str,))),
        policies=[_octets(policy) for policy in _each(witness_policy, (str, bytes, os.PathLike))],
        crls=[_octets(crl) for crl in _each(crls, (str, bytes, os.PathLike))],
        logs=list(_each(logs, (str, os.PathLike))),
        journals=list(_each(journals, (str, os.PathLike))),
        names=_lists(folders) if replay else None,
    )
    if html is not None:
        account.keep(html)
    return _verification(account)


def _each(values: Any, one: tuple[type, ...]) -> list[Any]:
    """A list of what may be given as one; a text is one and no list of letters."""
    if values is None:
        return []
    return [values] if isinstance(values, one) else list(values)


def _octets(source: Source) -> tuple[str | None, bytes]:
    """The file, if it is one, and what stands in it."""
    if isinstance(source, bytes):
        return None, source
    try:
        return os.fspath(source), Path(source).read_bytes()
    except OSError as error:
        raise CannotVerify(f"{os.fspath(source)} cannot be read: {error.strerror}") from error


def _lists(folders: list[StrPath]) -> list[str]:
    texts = []
    for folder in folders:
        try:
            for file in sorted(Path(folder).iterdir()):
                if file.suffix == ".txt":
                    texts.append(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise CannotVerify(f"the names in {os.fspath(folder)} cannot be read: {error}") from error
    return texts


def _verification(account: _native.NativeAccount) -> Verification:
    record = json.loads(account.record(True))
    invalid = record["invalid"]
    return Verification(
        verdict=record["verdict"],
        exit_code=record["exit_code"],
        chain=record["chain"],
        problems=tuple(map(_problem, [invalid] if invalid else record["reasons"])),
        notes=tuple(record["notes"]),
        counts=Counts(**record["counts"]),
        streams=tuple(Stream(**stream) for stream in record["streams"]),
        values=Values(**record["values"]),
        replay=Replay(**record["replay"]) if record["replay"] else None,
        timeline=tuple(map(_step, record.get("timeline", ()))),
        left_out=record.get("left_out", 0),
        _account=account,
    )


def _step(step: dict[str, Any]) -> Step:
    asked = step["caller"]
    told = {**step, "parents": tuple(step["parents"]), "caller": AskedBy(**asked) if asked else None}
    return Step(**told)


def _problem(problem: dict[str, Any]) -> Problem:
    index = problem.get("index")
    return Problem(
        code=problem["code"],
        text=problem["text"],
        stream=problem.get("stream"),
        indices=tuple(problem.get("indices", ())) if index is None else (index,),
        member=problem.get("member"),
        what=problem.get("what"),
    )
