"""One request at the gateway: its head as sent, who asks, what was admitted for it, and how that ends."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextvars import Token
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .. import _native
from .._outcome import conclude
from ._asked import Asked, QueryReader
from ._caller import Caller, current
from ._demand import Demand
from ._gateway import Gateway
from ._refused import Refused
from ._target import Unknowable

if TYPE_CHECKING:
    from .._native import NativeCaller, NativeHead, Running


@dataclass(frozen=True)
class Head:
    """What stood above the body, octet for octet."""

    method: str
    path: str
    query: str
    fields: list[tuple[bytes, bytes]]
    #: The authority of the target, where it is said apart from `host`.
    authority: str | None = None
    #: The address that the connection came from.
    address: str | None = None
    #: The certificates that the client of this connection showed, DER, its own first.
    tls: list[bytes] = field(default_factory=list)


class Exchange:
    """A request from the first look until it is over. Its steps follow each other, in whatever threads."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        #: Whether somebody sees how it ends: whoever began it, until then.
        self.watched = False
        #: The head that was proved, until its body has come.
        self._head: tuple[NativeHead, Head] | None = None
        self._asked: tuple[NativeCaller, Head, bytes, Caller] | None = None
        self._admitted: list[Running] = []
        self._tokens: list[Token[Caller | None]] = []

    def prove_head(self, head: Head) -> bool:
        """Finds out by the head alone who asks, or raises `Refused`; the body is not read before.

        False for a caller that is held or revoked, which `refuse_unless_good` denies.
        """
        if self._asked is not None:
            return True
        if self._head is None:
            native = self.gateway.prove_head(
                head.method,
                head.authority,
                head.path,
                head.query,
                head.fields,
                tls=head.tls,
                proxy=self.gateway.is_proxy(head.address, head.fields),
            )
            self._head = native, head
        return self._head[0].is_good

    def refuse_unless_good(self, head: Head, demand: Demand) -> None:
        """Raises `Refused` unless the body is worth reading."""
        if not self.prove_head(head):
            assert self._head is not None
            self._head[0].refuse_unless_good(demand.action)

    def identify(self, head: Head, body: bytes) -> None:
        """Finds out who asks, or raises `Refused`. A proof is looked at once, whatever follows."""
        if self._asked is not None:
            return
        self.prove_head(head)
        assert self._head is not None
        (proved, of), self._head = self._head, None
        native = proved.identify(body, os.urandom(16))
        caller = Caller(native.agent_id, native.certificate_serial, native.possession, native.chain)
        self._asked = native, of, body, caller

    def admit(
        self,
        demand: Demand,
        head: Head,
        body: bytes,
        path_params: Mapping[str, Any],
        read_query: QueryReader | None = None,
    ) -> Caller:
        """Lets the caller do what is demanded, or raises `Refused`.

        `head` and `body` are the request as it is at this door. What was proved at one before has to be that.
        `read_query` is how the framework reads the query here.
        """
        self.identify(head, body)
        assert self._asked is not None
        native, proved, content, caller = self._asked
        if (head.method, head.path, head.query, body) != (proved.method, proved.path, proved.query, content):
            raise self.changed()
        fields = [(name, value) for name, value in head.fields if name.lower().startswith(b"content-")]
        asked = Asked(
            head.method,
            head.path,
            head.query,
            body,
            said=_native.json_said(fields),
            caller=caller,
            path_params=path_params,
            read_query=read_query,
            kinds=[value for name, value in fields if name.lower() == b"content-type"],
        )
        running = demand.check(native, asked)
        if running is not None:
            self._admitted.append(running)
        self._tokens.append(current.set(caller))
        return caller

    def head(self, of: Callable[[], Head]) -> Head:
        """The head at a door, or `Refused` where it cannot be known."""
        try:
            return of()
        except Unknowable as error:
            raise (self.gateway.malformed(str(error)) if self._asked is None else self.changed()) from None

    def changed(self) -> Refused:
        """The refusal of a request that became another one after it was proved."""
        return self.gateway.misconfigured(
            "the method, path, query or body that reached this handler is not the one that was proved;"
            " put the gateway inside of what changes requests, or do not change them"
        )

    def conclude(self, error: BaseException | None, status: int | None = None, *, gone: bool = False) -> None:
        """It is over: by an exception, or by an answer; `gone` if its caller did not wait for it.

        The first word counts. The last action ends first: in a chain each follows from the one before.
        """
        self.watched = False
        admitted, self._admitted = self._admitted, []
        for running in reversed(admitted):
            if error is None and status is not None and status >= 500:
                running.raised()
            elif gone and (error is None or _is_departure(error)):
                running.cancelled()
            else:
                conclude(running, error)
        tokens, self._tokens = self._tokens, []
        for token in reversed(tokens):
            try:
                current.reset(token)
            except ValueError:
                # It ends in another context than it began in, and leaves nothing behind in this one.
                return


def _is_departure(error: BaseException) -> bool:
    """Whether it only says that the caller went away."""
    return isinstance(error, OSError) or type(error).__name__ == "ClientDisconnect"
