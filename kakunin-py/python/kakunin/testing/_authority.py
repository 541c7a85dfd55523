"""An authority in memory."""

from __future__ import annotations

import json
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .. import _native
from .._agent import Agent, Mode
from ..errors import KakuninError

if TYPE_CHECKING:
    from ._clock import FakeClock

Scope = str | Mapping[str, Any]


class MemoryAuthority:
    """Certifies agents with real certificates and says how they stand, in this process only.

    Scopes are TOML text or a mapping with the same keys; money is written as strings: `{"per_action":
    "10.00"}`. What it orders is in force when the method returns.
    """

    def __init__(self, *, clock: FakeClock | None = None) -> None:
        self._native = _native.NativeAuthority(None if clock is None else clock._native)
        self._names: dict[str, tuple[str, str]] = {}
        self._issued: weakref.WeakSet[Agent] = weakref.WeakSet()

    def issue(
        self, scope: Scope, *, name: str = "agent", days: int = 7, hours: int = 168, mode: Mode = "enforce"
    ) -> Agent:
        """A new agent: its certificate ends after `days`, its revocation list after `hours`."""
        text = _text(scope)
        agent = Agent(self._native.certify(name, text, days, hours, mode))
        self._names[agent.agent_id] = (name, text)
        self._issued.add(agent)
        return agent

    def renew(self, agent: Agent, *, scope: Scope | None = None, days: int = 7) -> None:
        """A new certificate for the same key, with another scope if one is given."""
        known = self._names.get(agent.agent_id)
        if known is None:
            raise KakuninError("this authority certified no such agent")
        name, text = known[0], known[1] if scope is None else _text(scope)
        self._native.recertify(agent, name, text, days)
        self._names[agent.agent_id] = (name, text)

    def suspend(self, agent: Agent, *, reason: str = "") -> None:
        """Until `resume`, everything the agent does is denied."""
        self._order(agent, "suspend", reason)

    def resume(self, agent: Agent) -> None:
        """Lifts a suspension."""
        self._order(agent, "resume", "")

    def revoke(self, agent: Agent, *, reason: str = "") -> None:
        """Ends the agent's certificate for good."""
        self._order(agent, "revoke", reason)

    def _order(self, agent: Agent, order: str, reason: str) -> None:
        self._native.order(agent, order, reason, 168)
        # An agent's standing is also decided by others: a gateway among them has seen it, too.
        for other in list(self._issued):
            other.refresh()

    def lists(self, *, hours: int = 168) -> str:
        """The current revocation lists as PEM, signed anew."""
        return self._native.lists(hours)

    def hand_lists(self, agent: Agent, lists: str | bytes) -> None:
        """Gives an agent these bytes as its revocation lists, whatever they are."""
        self._native.hand_lists(agent, lists.encode() if isinstance(lists, str) else lists)


def _text(scope: Scope) -> str:
    return scope if isinstance(scope, str) else json.dumps(scope)
