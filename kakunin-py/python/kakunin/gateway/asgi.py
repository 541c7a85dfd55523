"""ASGI: applications behind the gateway.

app = RequireAgent(app, gateway, "reports:read")           # every request needs it
app.add_middleware(AgentMiddleware, gateway=gateway)       # routes say what they need

`AgentMiddleware` lets everything pass and makes `require_agent` of `kakunin.gateway.fastapi` and `.starlette`
possible below it. Put it next to the application, inside of whatever changes paths or bodies.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from ssl import PEM_cert_to_DER_cert
from typing import Any
from urllib.parse import unquote

from . import _target
from ._asked import QueryReader
from ._caller import Caller
from ._demand import AmountSelector, Demand, Selector
from ._exchange import Exchange, Head
from ._gateway import Gateway
from ._refused import Refused

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

#: The messages that may be the last of an answer; with the extension `pathsend` the server sends the file.
ENDING = ("http.response.body", "http.response.pathsend", "http.response.zerocopysend")
#: For so many seconds the end of a body that nobody wants is waited for, where its stream has to end first.
PASSED_OVER = 5.0
#: Where a request's exchange is found.
KEY = "kakunin.gateway"


class Disconnected(Exception):
    """The caller went away before the request was whole."""


class AgentMiddleware:
    """Makes `require_agent` possible in an application, answers for it, and sees how each request ends."""

    def __init__(self, app: App, gateway: Gateway) -> None:
        self._app = app
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and AsgiExchange.of(scope, self._gateway) is None:
            await AsgiExchange(self._gateway, scope, receive, send).serve(self._app)
        else:
            await self._app(scope, receive, send)


class RequireAgent:
    """Protects a whole application: what is not proved, or not allowed, does not reach it.

    WebSockets are refused: their messages are covered by no proof. `lifespan` passes.
    """

    def __init__(
        self,
        app: App,
        gateway: Gateway,
        action: str,
        *,
        amount: AmountSelector = None,
        amount_minor: Selector = None,
        currency: Selector = None,
        counterparty: Selector = None,
        resource: Selector = None,
    ) -> None:
        self._app = app
        self._gateway = gateway
        self._demand = Demand(
            action,
            amount=amount,
            amount_minor=amount_minor,
            currency=currency,
            counterparty=counterparty,
            resource=resource,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            outer = AsgiExchange.of(scope, self._gateway)
            if outer is None:
                await AsgiExchange(self._gateway, scope, receive, send).serve(self._app, self._demand)
            else:
                read = None
                if receive != outer.receive:
                    content = Content(self._gateway, scope, receive)
                    read, receive = functools.partial(content.whole, scope), content.receive
                await outer.let_in(self._demand, {}, scope, read)
                await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            # Before it is accepted, this is an answer of 403.
            await send({"type": "websocket.close", "code": 1008})
        else:
            raise RuntimeError(f"nothing is known of requests of type {scope['type']!r}, so none is let in")


class AsgiExchange(Exchange):
    """An exchange in ASGI."""

    def __init__(self, gateway: Gateway, scope: Scope, receive: Receive, send: Send) -> None:
        super().__init__(gateway)
        self._scope, self._send = scope, send
        self.content = Content(gateway, scope, receive)
        #: What the application is to read next.
        self.receive = self.content.receive
        self._status: int | None = None
        self._answered = False
        #: What the answer is, whatever the application makes of it.
        self._refused: Refused | None = None

    @classmethod
    def of(cls, scope: Scope, gateway: Gateway | None = None) -> AsgiExchange | None:
        """The exchange of a request that is behind a gateway already: behind `gateway`, if one is named."""
        found = scope.get(KEY)
        if not isinstance(found, cls):
            return None
        if gateway is not None and found.gateway is not gateway:
            raise RuntimeError("two gateways are in front of this application; a proof is for one")
        return found

    async def serve(self, app: App, demand: Demand | None = None) -> None:
        """Runs the application, once the caller may do what is demanded, and records how it ended."""
        scope = {**self._scope, KEY: self}
        self.watched = True
        try:
            if demand is not None:
                await self.let_in(demand, {}, self._scope)
            await app(scope, self.receive, self.send)
        except Disconnected:
            # Nobody is there to be answered, and nothing ran.
            self.conclude(None, gone=True)
        except Refused as refused:
            self.conclude(refused)
            if refused is not self._refused:
                raise
            await self._refuse()
        except BaseException as error:
            self.fail(error)
            raise
        else:
            self.over()

    def answers(self, send: Send) -> None:
        """What the application answers goes to `send`."""
        self._send = send

    def fail(self, error: BaseException) -> None:
        """The application has raised."""
        self.conclude(error, gone=self.content.gone)

    def over(self) -> None:
        """The application has returned."""
        if self._answered:
            self.conclude(None, self._status)
        else:
            # Half an answer, or none: it failed, unless nobody was there any more.
            gone = self.content.gone
            self.conclude(None, None if gone else 500, gone=gone)

    async def let_in(
        self,
        demand: Demand,
        path_params: Mapping[str, Any],
        scope: Scope,
        read: Callable[[], Awaitable[bytes]] | None = None,
        read_query: QueryReader | None = None,
    ) -> Caller:
        """Lets the caller do what is demanded, or raises `Refused`.

        What is proved is what came from the server. `scope` is what has reached the door that asks, and
        `read` reads the body there, if that may be another one.
        """
        try:
            head = self.head(lambda: head_of(self._scope))
            if not self.prove_head(head):
                if self.gateway.waits:
                    await asyncio.to_thread(self.refuse_unless_good, head, demand)
                else:
                    self.refuse_unless_good(head, demand)
            # Of whoever proves nothing no body is read.
            body = await self.content.whole(self._scope)
            if self.gateway.waits:
                # The loop goes on while the store of used proofs is asked; the decision itself asks nobody.
                await asyncio.to_thread(self.identify, head, body)
            else:
                self.identify(head, body)
            if scope is not self._scope:
                head = self.head(lambda: head_of(scope))
            if read is not None:
                body = await read()
            return self.admit(demand, head, body, path_params, read_query)
        except Refused as refused:
            self._refused = refused
            raise

    async def send(self, message: Message) -> None:
        """Sends what the application answers; after a refusal that is the answer, whoever caught it."""
        if self._refused is not None and not self._answered:
            await self._refuse()
        if self._refused is not None:
            return
        if message["type"] == "http.response.start":
            self._status = message["status"]
        try:
            await self._send(message)
        except OSError:
            self.content.gone = True
            raise
        if message["type"] in ENDING and not message.get("more_body", False):
            self._answered = True

    async def _refuse(self) -> None:
        if self._refused is not None and self._status is None:
            self._status, self._answered = self._refused.status, True
            await answer(self._refused, self._send, self.content)


class Content:
    """The body of a request. Whoever reads after this reads what was sent, as it was sent."""

    def __init__(self, gateway: Gateway, scope: Scope, receive: Receive) -> None:
        self._gateway, self._receive = gateway, receive
        self._chunks: list[bytes] = []
        self._size = 0
        self._whole = False
        #: Whether nobody wants it.
        self._unwanted = False
        self._over_http_1 = scope.get("http_version", "1.1").startswith("1")
        self._may_not_come = _may_not_come(scope, gateway.max_body)
        #: Whether the caller went away.
        self.gone = False
        #: What was read of the connection and not yet by the application.
        self._ahead: deque[Message] = deque()

    async def receive(self) -> Message:
        """What the application is to read next."""
        if self._ahead:
            return self._ahead.popleft()
        return self._note(await self._receive())

    def _note(self, message: Message) -> Message:
        if message["type"] == "http.disconnect":
            self.gone = True
        elif message["type"] == "http.request" and not self._whole:
            chunk = message.get("body", b"")
            self._size += len(chunk)
            if self._unwanted or self._size > self._gateway.max_body:
                self._chunks.clear()
            else:
                self._chunks.append(bytes(chunk))
            self._whole = not message.get("more_body", False)
        return message

    async def whole(self, scope: Scope) -> bytes:
        """All of it, or `Refused` if that is too much."""
        declared = [value for name, value in scope["headers"] if name == b"content-length"]
        if any(value.isdigit() and int(value[:20]) > self._gateway.max_body for value in declared):
            raise self._gateway.too_large()
        while not self._whole and self._size <= self._gateway.max_body:
            if self.gone:
                raise Disconnected
            self._ahead.append(self._note(await self._receive()))
        if self._size > self._gateway.max_body:
            raise self._gateway.too_large()
        self._chunks = [b"".join(self._chunks)]
        return self._chunks[0]

    @property
    def is_awaited(self) -> bool:
        """Whether an answer that ends before the body does could end more than its own stream.

        Over HTTP/2 hypercorn takes what comes of a body whose answer has ended for an error of the whole
        connection.
        """
        return not (self._whole or self.gone or self._over_http_1)

    @property
    def ends_connection(self) -> bool:
        """Whether the connection has to end with an answer that comes before the end of the body.

        Whoever waits for a `100 Continue` takes the answer for that and sends no body, so that the beginning
        of its next request would be read for it; and one without an announced end would be read for ever.
        """
        return self._over_http_1 and not self._whole and self._may_not_come

    async def pass_over(self) -> None:
        """Reads the rest of a body that nobody wants, within the limit and a short time; keeps nothing."""
        self._unwanted = True
        self._chunks.clear()

        async def rest() -> None:
            while not (self._whole or self.gone or self._size > self._gateway.max_body):
                self._note(await self._receive())

        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(rest(), PASSED_OVER)


def _may_not_come(scope: Scope, most: int) -> bool:
    """Whether a body may never come, or have no end within the limit."""
    fields = {bytes(name): bytes(value) for name, value in scope["headers"]}
    declared = fields.get(b"content-length", b"0")
    endless = not declared.isdigit() or int(declared[:20]) > most
    return endless or b"expect" in fields or b"transfer-encoding" in fields


async def answer(refused: Refused, send: Send, content: Content) -> None:
    """Answers with a refusal."""
    body = refused.problem.encode()
    fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in refused.headers]
    fields.append((b"content-length", str(len(body)).encode()))
    if content.ends_connection:
        fields.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": refused.status, "headers": fields})
    waits = content.is_awaited
    await send({"type": "http.response.body", "body": body, "more_body": waits})
    if waits:
        # The caller has its whole answer meanwhile.
        await content.pass_over()
        await send({"type": "http.response.body", "body": b""})


def head_of(scope: Scope) -> Head:
    seen, root = scope["path"], scope.get("root_path", "")
    raw = scope.get("raw_path")
    if raw:
        path = _target.check(raw.decode("latin-1"))
        # Mounted applications are shown the whole path, or what is below their root.
        path = _target.routed(path, unquote(path) in (seen, root + seen))
    elif root and not seen.startswith(root):
        raise _target.Unknowable("the server hands on no `raw_path`, and the path is not below `root_path`")
    else:
        path = _target.rebuilt(seen, "use a server that fills `raw_path`, such as uvicorn or hypercorn")
    client = scope.get("client")
    tls = (scope.get("extensions") or {}).get("tls") or {}
    fields = [(bytes(name), bytes(value)) for name, value in scope["headers"]]
    # Servers of HTTP/2 say it as `host`; one that hands it on as it came says it here.
    authorities = [value for name, value in fields if name == b":authority"]
    if len(authorities) > 1:
        raise _target.Unknowable("the request says `:authority` twice")
    return Head(
        method=scope["method"],
        authority=authorities[0].decode("latin-1") if authorities else None,
        path=path,
        query=scope.get("query_string", b"").decode("latin-1"),
        fields=[pair for pair in fields if not pair[0].startswith(b":")],
        address=client[0] if client else None,
        tls=[PEM_cert_to_DER_cert(pem) for pem in tls.get("client_cert_chain") or ()],
    )
