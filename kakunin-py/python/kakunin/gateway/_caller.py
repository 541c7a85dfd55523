"""Who asks: the caller whom the gateway let in, for the code of the handler."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

from ..errors import KakuninError


@dataclass(frozen=True)
class Caller:
    """An agent that proved itself for this request."""

    #: Its id, a UUID in lower case.
    agent_id: str
    #: The serial number of its certificate, in hexadecimal.
    certificate_serial: str
    #: How it proved that it has its key: `signature`, `tls` (this connection's certificate) or `proxy` (a
    #: proxy that was named says so). `none` only where `serials` lets callers in without.
    possession: str
    #: The id of the decision chain that its request belongs to, or began here.
    chain: str


def caller() -> Caller:
    """The caller whose request is handled here, and in tasks and threads that copy its handler's context.

    Raises `KakuninError` where no caller was let in.
    """
    found = current.get()
    if found is None:
        raise KakuninError("no caller was let in here; ask inside a handler that require_agent protects")
    return found


current: ContextVar[Caller | None] = ContextVar("kakunin_caller", default=None)
