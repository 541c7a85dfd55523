"""Requests that no gateway lets in, for every adapter: who makes them, and what has to be answered.

An adapter's tests give `refusals.CASES` to an application that pays, and see that nothing was paid.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from urllib.parse import unquote

import pytest
from asking import HOST, PAYMENT, PAYMENTS, code, proof
from kakunin.testing import MemoryAuthority


@dataclass(frozen=True)
class Request:
    """A request as it is on the wire, before a server reads it."""

    method: str = "POST"
    path: str = "/pay"
    fields: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    peer: str = "192.0.2.7"

    def also(self, *fields: tuple[str, str]) -> Request:
        return replace(self, fields=[*self.fields, *fields])

    def without(self, *names: str) -> Request:
        return replace(self, fields=[pair for pair in self.fields if pair[0] not in names])


def signed(shop, body=PAYMENT, *, method="POST", path="/pay", agent=None, host=HOST, kind="application/json"):
    """A request that an agent signed."""
    octets = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = [("host", host), ("content-type", kind), ("content-length", str(len(octets)))]
    fields += proof(agent or shop.agent, method, path, octets, host)
    return Request(method, path, fields, octets)


def asgi(app, request: Request, *, unread: bool = False, meanwhile: Callable = lambda: None, **scope):
    """What an ASGI application answers: status, fields, body.

    With `unread` the body is not to be read; `meanwhile` happens before it comes.
    """

    async def asked():
        sent, received = [], [{"type": "http.request", "body": request.body, "more_body": False}]

        async def receive():
            assert not unread, "the body was read"
            if not received:
                await asyncio.Event().wait()
            meanwhile()
            return received.pop()

        async def send(message):
            sent.append(message)

        before, _, query = request.path.partition("?")
        await app(
            {
                "type": "http",
                "asgi": {"version": "3.0", "spec_version": "2.4"},
                "http_version": "1.1",
                "method": request.method,
                "scheme": "http",
                "path": unquote(before),
                "raw_path": before.encode(),
                "query_string": query.encode(),
                "root_path": "",
                "headers": [
                    (name.lower().encode(), value.encode("latin-1")) for name, value in request.fields
                ],
                "client": (request.peer, 40000),
                "server": ("127.0.0.1", 80),
                **scope,
            },
            receive,
            send,
        )
        start = next(message for message in sent if message["type"] == "http.response.start")
        fields = {name.decode().lower(): value.decode() for name, value in start.get("headers", [])}
        return start["status"], fields, b"".join(message.get("body", b"") for message in sent)

    return asyncio.run(asked())


def environ(request: Request, **more):
    """The environment that gunicorn makes of a request."""
    before, _, query = request.path.partition("?")
    made = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote(before, "latin-1"),
        "QUERY_STRING": query,
        "RAW_URI": request.path,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "REMOTE_ADDR": request.peer,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(request.body),
        "wsgi.input_terminated": True,
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in request.fields:
        key = name.upper().replace("-", "_")
        key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
        made[key] = f"{made[key]},{value}" if key in made else value
    return {**made, **more}


class Unread:
    """A `wsgi.input` that nobody is to read."""

    def _read(self, *_):
        raise AssertionError("the body was read")

    read = readline = readlines = __iter__ = _read


def wsgi(app, request: Request, **more):
    """What a WSGI application answers: status, fields, body."""
    started: list = []

    def start(status, fields, *_):
        started[:] = [int(status[:3]), {name.lower(): value for name, value in fields}]

    parts = app(environ(request, **more), start)
    try:
        body = b"".join(parts)
    finally:
        getattr(parts, "close", lambda: None)()
    return (*started, body)


@dataclass(frozen=True)
class Case:
    """A request that is refused: how it is made, the status, and the code or codes."""

    name: str
    make: Callable
    status: int
    codes: str

    def meets(self, shop, ask: Callable) -> None:
        """The request is refused as it has to be, and nothing was done for it."""
        answer = ask(self.make(shop))
        assert (answer[0], code(answer) in self.codes.split("|")) == (self.status, True), answer
        status, fields, body = answer
        assert fields["cache-control"] == "no-store"
        assert ("accept-signature" in fields) == (status == 401)
        assert ("retry-after" in fields) == (status == 503)
        assert fields["content-length"] == str(len(body))
        # Whoever tries does not learn where the limit is.
        assert b"100.00" not in body
        assert b"globex" not in body
        assert shop.ran == []


def _ordered(verb):
    def make(shop):
        request = signed(shop)
        getattr(shop.authority, verb)(shop.agent)
        return request

    return make


def _own(verb):
    def make(shop):
        request = signed(shop)
        getattr(shop.authority, verb)(shop.own)
        return request

    return make


def _later(seconds, **agent):
    def make(shop):
        asking = shop.authority.issue(PAYMENTS, name="later", **agent) if agent else shop.agent
        request = signed(shop, agent=asking)
        shop.clock.advance(seconds)
        return request

    return make


def _stranger(shop):
    return signed(shop, agent=MemoryAuthority(clock=shop.clock).issue(PAYMENTS))


def _changed(name, change):
    def make(shop):
        request = signed(shop)
        return replace(request, fields=[(n, change(v) if n == name else v) for n, v in request.fields])

    return make


def _twice(name):
    def make(shop):
        request = signed(shop)
        return request.also(*[pair for pair in request.fields if pair[0] == name])

    return make


def _certificate(shop):
    return dict(signed(shop).fields)["kakunin-certificate-chain"].split(", ")[0]


def _bare(shop, *fields):
    body = json.dumps(PAYMENT).encode()
    plain = [("host", HOST), ("content-type", "application/json"), ("content-length", str(len(body)))]
    return Request(fields=[*plain, *fields], body=body)


def _envoy(shop):
    der = base64.b64decode(_certificate(shop).strip(":"))
    pem = "-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(der).decode() + "-----END CERTIFICATE-----\n"
    from urllib.parse import quote

    return f'Cert="{quote(pem)}"'


def _body(text, kind="application/json"):
    return lambda shop: signed(shop, text, kind=kind)


DAY = 86400
FORM = "application/x-www-form-urlencoded"
INVALID = "request.amount_invalid"

_CASES = [
    # Nothing is proved.
    ("no proof", _bare, 401, "possession.missing"),
    ("a serial number", lambda s: _bare(s, ("x-kakunin-cert-serial", "41")), 401, "possession.missing"),
    ("a certificate", lambda s: _bare(s, ("client-cert", _certificate(s))), 401, "possession.missing"),
    ("a forwarded certificate", lambda s: _bare(s, ("x-forwarded-client-cert", _envoy(s))), 401,
     "possession.missing"),
    ("no chain", lambda s: signed(s).without("kakunin-certificate-chain"), 401, "possession.malformed"),
    ("no signature", lambda s: signed(s).without("signature"), 401, "possession.malformed"),
    ("no digest", lambda s: signed(s).without("content-digest"), 401, "possession.malformed"),
    # Something else is proved.
    ("another path", lambda s: replace(signed(s, path="/free"), path="/pay"), 401, "possession.signature"),
    ("another query", lambda s: replace(signed(s), path="/pay?to=me"), 401, "possession.signature"),
    ("another method", lambda s: replace(signed(s, method="PUT"), method="POST"), 401,
     "possession.signature"),
    ("another body", lambda s: replace(signed(s), body=signed(s).body.replace(b"12.50", b"99.50")), 401,
     "possession.content"),
    ("another host", _changed("host", lambda _: "bank.example"), 401, "possession.authority"),
    ("made for another host", lambda s: replace(
        signed(s, host="bank.example"), fields=[
            (n, HOST if n == "host" else v) for n, v in signed(s, host="bank.example").fields
        ]), 401, "possession.signature|possession.content"),
    ("sent to another host", lambda s: signed(s, host="bank.example"), 401, "possession.authority"),
    ("another link", lambda s: signed(s).also(("kakunin-chain", f"{'0' * 32};from={'0' * 64}")), 401,
     "possession.components"),
    ("another signature", _changed("signature", lambda v: v.replace("=:", "=:AAAA", 1)), 401,
     "possession.malformed"),
    ("another agent's key", lambda s: replace(
        signed(s), fields=[
            (n, dict(signed(s, agent=s.own).fields)[n] if n == "signature" else v)
            for n, v in signed(s).fields
        ]), 401, "possession.signature"),
    # It can be read in two ways.
    *((f"{name} twice", _twice(name), 401, "possession.malformed|possession.authority")
      for name in ("host", "signature", "signature-input", "kakunin-certificate-chain", "content-digest")),
    ("two lengths", lambda s: signed(s).also(("content-length", "1")), 401, "possession.malformed"),
    ("length and chunks", lambda s: signed(s).also(("transfer-encoding", "chunked")), 401,
     "possession.malformed"),
    ("no host", lambda s: signed(s).without("host"), 401, "possession.malformed"),
    # It was proved then, or by somebody else.
    ("too old", _later(71), 401, "possession.created"),
    ("an expired agent", _later(2 * DAY, days=1), 401, "possession.created|certificate.expired"),
    ("an agent of another authority", _stranger, 401, "certificate.untrusted"),
    # Who asks is known, and may not.
    ("a held agent", _ordered("suspend"), 403, "certificate.held"),
    ("a revoked agent", _ordered("revoke"), 403, "certificate.revoked"),
    ("another agent's scope", lambda s: signed(s, agent=s.own), 403, "scope.action"),
    ("over the limit", _body({**PAYMENT, "amount": "100.01"}), 403, "scope.amount"),
    ("another party", _body({**PAYMENT, "iban": "initech"}), 403, "scope.counterparty"),
    ("several parties", _body({**PAYMENT, "iban": ["acme", "initech"]}), 403, "scope.counterparty"),
    # What it asks for cannot be read.
    ("no amount", _body({"iban": "acme"}), 403, "request.amount_missing"),
    ("no party", _body({"amount": "1.00"}), 403, "request.counterparty_missing"),
    ("a null amount", _body({**PAYMENT, "amount": None}), 403, "request.amount_missing"),
    *((f"the amount {value!r}", _body({**PAYMENT, "amount": value}), 403, INVALID)
      for value in (12.5, 12, True, "1e3", "-1", "1.005", " 1", ["1"], {"x": 1})),
    ("the amount twice", _body(b'{"amount": "1.00", "amount": "999.00", "iban": "acme"}'), 403, INVALID),
    ("the amount NaN", _body(b'{"amount": NaN, "iban": "acme"}'), 403, INVALID),
    ("no JSON", _body(b'{"amount": "1.00"'), 403, INVALID),
    ("a list", _body(b'["1.00"]'), 403, INVALID),
    ("no body", _body(b""), 403, INVALID),
    ("deep JSON", _body(b'{"amount": ' + b"[" * 900 + b"]" * 900 + b', "iban": "acme"}'), 403, INVALID),
    ("UTF-16", _body(json.dumps(PAYMENT).encode("utf-16")), 403, INVALID),
    ("a BOM", _body(b"\xef\xbb\xbf" + json.dumps(PAYMENT).encode()), 403, INVALID),
    ("a form", _body(b'{"amount":"1.00","iban":"acme","x":"&amount=99.00&"}', FORM), 403, INVALID),
    *((f"the content type {kind}", _body(PAYMENT, kind), 403, INVALID)
      for kind in (f"{FORM}=+json; x", f"{FORM};+json", "application/json=", "text/json",
                   "application/json; charset=utf-7", 'application/json; x=";charset=utf-8"',
                   "application/json; charset=utf-8; charset=utf-7")),
    ("no content type", lambda s: signed(s).without("content-type"), 403, INVALID),
    # Nobody can say.
    ("the gateway is held", _own("suspend"), 503, "gateway.not_good"),
    ("the gateway is revoked", _own("revoke"), 503, "gateway.not_good"),
]  # fmt: skip

#: What the head alone shows: then the body is not read.
_BY_HEAD = [
    case
    for case in _CASES
    if (case[2] in (401, 503) or case[3].startswith("certificate.")) and case[0] != "another body"
]

BY_HEAD = [pytest.param(Case(*case), id=case[0].replace(" ", "_")) for case in _BY_HEAD]
CASES = [pytest.param(Case(*case), id=case[0].replace(" ", "_")) for case in _CASES]
