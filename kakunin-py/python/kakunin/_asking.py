"""What an agent's requests ask for, on its own side: the names whose places in detached lists go along.

A certificate refers to a long list of names by its root. A gateway that has not the list is shown, in the
field `kakunin-names`, where the names of this request stand in it. Which names those are the client has to be
told, in the words in which the gateway demands them.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from . import _native
from ._agent import Agent
from ._selector import concatenate, const
from .errors import NotProven
from .gateway._demand import reader

_One = str | const | Callable[[Any], object]
#: A path into the JSON body, a callable that is given the client's request, `const(..)`, or several of them.
NameSelector = _One | Sequence[_One] | None
FIELD = "kakunin-names"


class Asking:
    """An action, and where in a request its names are. What cannot be right is a `TypeError` at once."""

    def __init__(self, action: str, counterparty: NameSelector, resource: NameSelector) -> None:
        if not isinstance(action, str):
            raise TypeError(f'action is one such as "payments:send", not {action!r}')
        self._action = action
        self._counterparty = _names("counterparty", counterparty)
        self._resource = _names("resource", resource)

    @classmethod
    def of(cls, action: str | None, counterparty: NameSelector, resource: NameSelector) -> Asking | None:
        """What a client was told; `None` if that is nothing."""
        if action is not None:
            return cls(action, counterparty, resource)
        if counterparty is not None or resource is not None:
            raise TypeError("the names are those of an action; give action= as the service demands it")
        return None

    def proofs(self, agent: Agent | None, request: object, content: bytes) -> Mapping[str, str]:
        """The field for a request, or none where no detached list has a say in it.

        Raises `NotProven` where the agent has not the list, or the names are too many to be proved.
        """
        sent = _Sent(request, content)
        parties, resources = self._counterparty(sent), self._resource(sent)
        value = _native.prove_names(agent, self._action, parties, resources)
        return {} if value is None else {FIELD: value}


class _Sent:
    """A request of the client's, as selectors look at it."""

    def __init__(self, request: object, content: bytes) -> None:
        self.request = request
        self._content = content

    @functools.cached_property
    def json(self) -> Any:
        return json.loads(self._content)


def _names(role: str, selector: NameSelector) -> Callable[[_Sent], list[str]]:
    reader(role, selector)  # what cannot be right is said now
    parts = selector if isinstance(selector, (list, tuple)) else [selector]
    reads = [_called(part) if _is_function(part) else reader(role, part) for part in parts]

    def names(sent: _Sent) -> list[str]:
        found = concatenate(*[read(cast(Any, sent)) for read in reads])
        # What is no name proves nothing; whoever is asked judges what is there.
        given = found if isinstance(found, list) else []
        return [name for name in given if isinstance(name, str) and _is_text(name)]

    return names


def _is_function(part: object) -> bool:
    return callable(part) and not isinstance(part, const)


def _called(selector: Any) -> Callable[[_Sent], object]:
    def read(sent: _Sent) -> object:
        try:
            return selector(sent.request)
        except Exception as error:
            # This is the caller's own code: it hears of it, and nothing is sent.
            raise NotProven(f"a selector failed: {error!r}", "possession.content") from error

    return read


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
