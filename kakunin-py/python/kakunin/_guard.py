"""Dry decisions of an agent."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING

from . import _native
from .errors import Decision

if TYPE_CHECKING:
    from ._agent import Agent


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


EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
MILLISECOND = timedelta(milliseconds=1)
