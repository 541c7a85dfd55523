"""WSGI: applications behind the gateway.

app = RequireAgent(app, gateway, "reports:read")           # every request needs it

Put it next to the application, inside of whatever changes paths or bodies. WSGI itself hands on no path as
it was sent. Where the server does (`RAW_URI` of gunicorn, `REQUEST_URI` of Werkzeug, uWSGI, Waitress and
mod_wsgi), that is what is proved; elsewhere a path that needs percent-encoding is refused.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import Context, copy_context
from http import HTTPStatus
from ssl import PEM_cert_to_DER_cert
from typing import Any
from urllib.parse import unquote_to_bytes

from . import _target
from ._asked import QueryReader
from ._demand import AmountSelector, Demand, Selector
from ._exchange import Exchange, Head
from ._gateway import Gateway
from ._refused import Refused

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
App = Callable[[Environ, StartResponse], Iterable[bytes]]

#: Where a request's exchange is found.
KEY = "kakunin.gateway"


class RequireAgent:
    """Protects a whole application: what is not proved, or not allowed, does not reach it."""

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

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        # A context of its own: the thread serves somebody else next.
        return copy_context().run(self._serve, environ, start_response)

    def _serve(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        exchange = WsgiExchange.of(environ, self._gateway)
        own, exchange.watched = not exchange.watched, True
        try:
            exchange.let_in(self._demand, {}, environ)
        except Refused as refused:
            if own:
                exchange.conclude(refused)
            return answer(refused, start_response)
        if not own:
            # Who was there before sees how it ends.
            return self._app(environ, start_response)
        status: list[int] = []

        def start(line: str, *rest: Any) -> Any:
            status[:] = [int(line[:3])]
            return start_response(line, *rest)

        try:
            parts = self._app(environ, start)
        except BaseException as error:
            exchange.conclude(error)
            raise
        return Watched(parts, exchange, lambda: status[0] if status else 500)


class WsgiExchange(Exchange):
    """An exchange in WSGI. The application reads what was read here, from the beginning."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(gateway)
        #: What was read, and what it was put back as.
        self._read: tuple[bytes, io.BytesIO] | None = None

    @classmethod
    def behind(cls, environ: Environ) -> WsgiExchange | None:
        """The exchange of a request that passed a door already."""
        found = environ.get(KEY)
        return found if isinstance(found, cls) else None

    @classmethod
    def of(cls, environ: Environ, gateway: Gateway) -> WsgiExchange:
        """The exchange of a request: one for each, however many doors it passes."""
        found = cls.behind(environ)
        if found is None:
            found = environ[KEY] = cls(gateway)
        elif found.gateway is not gateway:
            raise RuntimeError("two gateways are in front of this application; a proof is for one")
        return found

    def let_in(
        self,
        demand: Demand,
        path_params: Mapping[str, Any],
        environ: Environ,
        *,
        body: bytes | None = None,
        read_query: QueryReader | None = None,
    ) -> None:
        """Lets the caller do what is demanded, or raises `Refused`.

        `environ` is what has reached the door that asks, and `body` what was read there before.
        """
        head = self.head(lambda: head_of(environ))
        if body is None:
            # Of whoever proves nothing no body is read.
            self.refuse_unless_good(head, demand)
            body = self._body(environ)
        else:
            body = self._given(body)
        self.admit(demand, head, body, path_params, read_query)

    def _given(self, body: bytes) -> bytes:
        if len(body) > self.gateway.max_body:
            raise self.gateway.too_large()
        return body

    def _body(self, environ: Environ) -> bytes:
        """Reads the body and puts it back, with its length, however it was framed."""
        if self._read is not None and environ["wsgi.input"] is self._read[1]:
            return self._put(environ, self._read[0])
        most = self.gateway.max_body
        declared, coded = environ.get("CONTENT_LENGTH") or "", environ.get("HTTP_TRANSFER_ENCODING")
        if environ.get("wsgi.input_terminated"):
            # The server ends the stream where the body ends, chunks included.
            body = _read(environ["wsgi.input"], most + 1)
        elif coded is not None:
            raise self.gateway.malformed(
                "the body comes in chunks, and the server does not hand on where it ends; send its length"
            )
        elif declared:
            if not (declared.isascii() and declared.isdigit()):
                raise self.gateway.malformed("`content-length` is no number")
            length = int(declared[:20])
            if length > most:
                raise self.gateway.too_large()
            body = _read(environ["wsgi.input"], length)
        else:
            body = b""
        if len(body) > most:
            raise self.gateway.too_large()
        if declared and declared != str(len(body)):
            raise self.gateway.malformed("the body is not as long as `content-length` says")
        return self._put(environ, body)

    def _put(self, environ: Environ, body: bytes) -> bytes:
        stream = environ["wsgi.input"] = io.BytesIO(body)
        self._read = body, stream
        environ["wsgi.input_terminated"] = True
        environ["CONTENT_LENGTH"] = str(len(body))
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        return body


class Watched:
    """The parts of an answer, each made in the context of its request; their end is that of the request."""

    def __init__(
        self,
        parts: Iterable[bytes],
        exchange: Exchange,
        status: Callable[[], int],
        context: Context | None = None,
    ) -> None:
        self._parts = parts
        self._exchange = exchange
        self._status = status
        # That of whoever makes this: it goes on where the application began.
        self._context = context or copy_context()
        self._steps: Iterator[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return self._context.run(self._next)

    def _next(self) -> bytes:
        try:
            if self._steps is None:
                self._steps = iter(self._parts)
            return next(self._steps)
        except StopIteration:
            self._exchange.conclude(None, self._status())
            raise
        except BaseException as error:
            self._exchange.conclude(error)
            raise

    def close(self) -> None:
        """The server wants no more."""
        self._context.run(self._close)

    def _close(self) -> None:
        try:
            if (close := getattr(self._parts, "close", None)) is not None:
                close()
        except BaseException as error:
            self._exchange.conclude(error)
            raise
        self._exchange.conclude(None, gone=True)


def answer(refused: Refused, start_response: StartResponse) -> list[bytes]:
    """Answers with a refusal."""
    body = refused.problem.encode()
    status = f"{refused.status} {HTTPStatus(refused.status).phrase}"
    start_response(status, [*refused.headers, ("content-length", str(len(body)))])
    return [body]


def _read(stream: Any, most: int) -> bytes:
    """Up to `most` octets; a server may give them in parts."""
    parts, left = [], most
    while left > 0 and (part := stream.read(left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def head_of(environ: Environ) -> Head:
    seen = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    queried = environ.get("QUERY_STRING", "")
    raw = environ.get("RAW_URI") or environ.get("REQUEST_URI")
    if raw is not None:
        path, query = _target.split(raw)
        _target.routed(path, unquote_to_bytes(path) in _octets(seen))
        if query != queried:
            raise _target.Unknowable("the query that reached this application is not what was asked for")
    else:
        advice = "use one that does, such as gunicorn (`RAW_URI`), or ASGI"
        path, query = _target.rebuilt(seen or "/", advice), queried
    fields = [
        (name[5:].replace("_", "-").lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in environ.items()
        if name.startswith("HTTP_") and isinstance(value, str)
    ]
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            fields.append((name.replace("_", "-").lower().encode(), environ[name].encode("latin-1")))
    shown = [environ.get("SSL_CLIENT_CERT"), *(environ.get(f"SSL_CLIENT_CERT_CHAIN_{n}") for n in range(3))]
    return Head(
        method=environ["REQUEST_METHOD"],
        path=path,
        query=query,
        fields=fields,
        address=environ.get("REMOTE_ADDR"),
        tls=[PEM_cert_to_DER_cert(pem) for pem in shown if pem],
    )


def _octets(text: str) -> list[bytes]:
    """What text may have been: PEP 3333 reads octets as Latin-1, and Django puts text of UTF-8 there."""
    try:
        return [text.encode("latin-1"), text.encode()]
    except UnicodeError:
        return [text.encode("utf-8", "replace")]
