"""Decision chains: which calls, of which agents, are one incident.

A chain is begun or picked up with a block. Guarded calls inside it say so in their receipts, and each follows
from the call whose body it is made in. What is handed to another agent is a link: the chain, and the receipt
of the decision that runs.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any

from . import _native
from ._agent import Agent
from ._current import current_agent
from .errors import KakuninError

logger = logging.getLogger("kakunin")

HEADER = "kakunin-chain"
TRACE = "traceparent"
#: The member of an MCP request's `_meta`.
MEMBER = "kakunin/chain"


class chain:
    """Within the block, and in tasks and threads that copy its context, guarded calls belong to one chain.

    with kakunin.chain():                           # an incident begins here
        answer(ticket)

    with kakunin.chain.picked_up(request.headers):  # a caller's goes on here
        pay(supplier, total)

    A thread has the chain if it was started with `asyncio.to_thread` or `contextvars.copy_context().run`.
    """

    def __init__(self, *, traceparent: str | None = None) -> None:
        self._place = _native.Place(os.urandom(16), traceparent)

    @classmethod
    def picked_up(cls, carrier: object) -> chain:
        """The chain of a caller: `carrier` is the headers of its request, or the `_meta` of its MCP request.

        Headers are a mapping in any case of letters, or pairs of text or bytes. A caller that sent no link,
        or one that cannot be read, begins a new chain; the latter is a warning in the log `kakunin`. A link
        is the caller's word: it says where to look and allows nothing.
        """
        self = cls()
        try:
            self._place = _link(carrier) or self._place
        except Exception as error:
            # Whatever a caller sends must not fail the call, and never be half used.
            logger.warning("a link was not picked up, and chain %s begins instead: %s", self.id, error)
        return self

    @property
    def id(self) -> str:
        """The chain's id, as `kakunin export --chain` takes it."""
        return self._place.chain

    @staticmethod
    def join(*links: object, agent: Agent | None = None) -> str:
        """Records that several receipts come together here; calls after it, in this context, follow from all.

        A link is the name of a receipt, or what another agent answered with: headers or `_meta`. Returns the
        name of the receipt that says so.
        """
        place, acting = _current.get(), agent or current_agent()
        if place is None or acting is None:
            raise KakuninError("a join needs a chain and an agent that records it")
        after = place.join(acting, [name for link in links for name in _names(link, place.chain)])
        _current.set(after)
        return after.parents[0]

    def __enter__(self) -> chain:
        _native.chain_begun()
        _entered.set((*_entered.get(), _current.set(self._place)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        *outer, token = _entered.get()
        _entered.set(tuple(outer))
        _current.reset(token)

    def __str__(self) -> str:
        return self.id

    def __repr__(self) -> str:
        return f"<chain {self.id}>"


def chain_headers() -> dict[str, str]:
    """The headers of a request made here: chain and decision whose body runs; none without a chain."""
    place = _current.get()
    return {} if place is None else dict(place.headers()) or _nothing_to_link_to(place)


def chain_meta() -> dict[str, Any]:
    """The same as members for the `_meta` of an MCP request."""
    place = _current.get()
    if place is None:
        return {}
    meta = place.meta()
    return _nothing_to_link_to(place) if meta is None else json.loads(meta)


def _nothing_to_link_to(place: _native.Place) -> dict[str, Any]:
    logger.warning(
        "chain %s is not handed on: no decision was recorded here that another could follow from;"
        " ask for headers inside a guarded function",
        place.chain,
    )
    return {}


def _link(carrier: object) -> _native.Place | None:
    """The link in headers or `_meta`; a `ValueError` if it is none."""
    found: dict[str, list[object]] = {}
    for name, value in _pairs(carrier):
        text = name.decode("latin-1") if isinstance(name, bytes) else name
        if isinstance(text, str) and (known := text.lower()) in (HEADER, TRACE, MEMBER):
            found.setdefault(known, []).append(value)
    trace = found[TRACE][0] if TRACE in found else None
    if MEMBER in found:
        return _native.Place.of_meta(json.dumps({MEMBER: found[MEMBER][0], TRACE: trace}))
    if HEADER not in found:
        return None
    if len(found[HEADER]) > 1:
        raise ValueError(f"the header `{HEADER}` was sent more than once")
    return _native.Place.of_headers(_text(found[HEADER][0]), None if trace is None else _text(trace))


def _pairs(carrier: Any) -> Iterable[tuple[object, object]]:
    if carrier is None:
        return ()
    if hasattr(carrier, "model_dump"):
        # `_meta` as the MCP SDK reads it.
        carrier = carrier.model_dump(by_alias=True, exclude_none=True)
    pairs: Iterable[tuple[object, object]] = carrier.items() if hasattr(carrier, "items") else carrier
    return pairs


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _names(link: object, chain: str) -> list[str]:
    if isinstance(link, str):
        return [link]
    try:
        place = _link(link)
    except Exception as error:
        logger.warning("an answer was not joined to chain %s: %s", chain, error)
        return []
    if place is None or place.chain != chain:
        logger.warning("an answer was not joined to chain %s: it has no link to this chain", chain)
        return []
    return place.parents


_current: ContextVar[_native.Place | None] = ContextVar("kakunin_chain", default=None)
# The way back out of each block, by thread and task, as for agents.
_entered: ContextVar[tuple[Token[_native.Place | None], ...]] = ContextVar("kakunin_chains", default=())

_native.set_chain_context(_current)
