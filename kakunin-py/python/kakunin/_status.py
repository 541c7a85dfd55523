"""How a connected agent is doing, as its client last saw it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Literal

#: How the feed is carried: as it changes, by questions that wait, by questions every few seconds, or not at
#: all: lists without a feed, fetched every minute.
Transport = Literal["stream", "long-poll", "poll", "files"]


@dataclass(frozen=True)
class Trouble:
    """Something that did not work, and is tried again."""

    #: When, in UTC.
    at: datetime
    #: A stable code: the authority's own, or the client's.
    code: str
    #: What happened, for operators.
    text: str

    def __str__(self) -> str:
        return f"{self.text} [{self.code}]"


@dataclass(frozen=True)
class Status:
    """What `Agent.status()` answers. It is of one moment; ask again for another."""

    agent_id: str
    #: The address that the agent is connected to; `None` while there is none.
    url: str | None
    #: How the feed comes at present; `None` while it does not.
    transport: Transport | None
    #: How far the feed is known: the number of the last change of standing.
    epoch: int | None
    #: Since when nothing new is known, by the signed time of the last word.
    age: timedelta | None
    #: For how long that word still counts; zero: the guard denies `revocation.stale`.
    fresh_for: timedelta | None
    #: For how long a word counts.
    max_age: timedelta | None
    #: When the certificate ends, in UTC. It is renewed before.
    certificate_until: datetime | None
    #: When the list that ends first has to be replaced, in UTC.
    lists_until: datetime | None
    #: What went wrong last, until it works again.
    last_error: Trouble | None
    #: Receipts that were sent, or are next, and that the authority has not acknowledged.
    uploads_behind: int
    checkpoints_behind: int
    #: The last change of which the authority knows that it is enforced here; `None` before the first.
    acknowledged: int | None
    #: How often that could not be said. It is said again, and nothing depends on it.
    acknowledgements_failed: int
    #: How often lists were loaded.
    snapshots: int
    #: How often a feed was connected to.
    connections: int

    @property
    def fresh(self) -> bool:
        """Whether the last signed word still counts."""
        return self.fresh_for is not None and self.fresh_for > timedelta(0)


def of_native(
    *,
    agent_id: str,
    url: str | None,
    transport: Transport | None,
    epoch: int | None,
    age: float | None,
    fresh_for: float | None,
    max_age: float | None,
    certificate_until: int | None,
    lists_until: int | None,
    last_error: tuple[int, str, str] | None,
    uploads_behind: int,
    checkpoints_behind: int,
    acknowledged: int | None,
    acknowledgements_failed: int,
    snapshots: int,
    connections: int,
) -> Status:
    """Spans are seconds and times Unix seconds in the native module, which alone calls this."""
    return Status(
        agent_id=agent_id,
        url=url,
        transport=transport,
        epoch=epoch,
        age=_span(age),
        fresh_for=_span(fresh_for),
        max_age=_span(max_age),
        certificate_until=_time(certificate_until),
        lists_until=_time(lists_until),
        last_error=last_error and Trouble(_EPOCH + timedelta(seconds=last_error[0]), *last_error[1:]),
        uploads_behind=uploads_behind,
        checkpoints_behind=checkpoints_behind,
        acknowledged=acknowledged,
        acknowledgements_failed=acknowledgements_failed,
        snapshots=snapshots,
        connections=connections,
    )


def _span(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


def _time(seconds: int | None) -> datetime | None:
    return None if seconds is None else _EPOCH + timedelta(seconds=seconds)


_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
