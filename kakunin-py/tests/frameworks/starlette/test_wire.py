"""A protected service under uvicorn, by both of its parsers, asked by octets that are written by hand."""

from __future__ import annotations

import contextlib
import socket
import time

import pytest
from asking import OWN, PAYMENTS, SERVICE, Served, code, raw, spoken
from conftest import Journal
from kakunin import Agent

APP = (
    SERVICE
    + """
import asyncio
from kakunin.gateway.asgi import AgentMiddleware, RequireAgent
from kakunin.gateway.starlette import require_agent
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route

pays = require_agent("payments:send", amount="amount", currency="EUR", counterparty="iban", gateway=gateway)

@pays
async def pay(request):
    ran(f"{request.method} {request.url.path}")
    return PlainTextResponse("paid " + (await request.json())["amount"])

@pays
async def slow(request):
    async def parts():
        ran("slow")
        for _ in range(600):
            yield b"x" * 1000
            await asyncio.sleep(0.1)
    return StreamingResponse(parts())

async def whole(scope, receive, send):
    ran("whole")
    await PlainTextResponse("whole")(scope, receive, send)

app = Starlette(routes=[
    Route("/pay", pay, methods=["POST", "GET"]),
    Route("/a b/{name}", pay, methods=["POST"]),
    Route("/slow", slow, methods=["POST"]),
    Mount("/whole", app=RequireAgent(whole, gateway, "payments:send", amount="amount", currency="EUR",
        counterparty="iban")),
])
"""
)

BODY = b'{"amount": "12.50", "iban": "acme"}'
OVER = b'{"amount": "100.01", "iban": "acme"}'


@pytest.fixture(scope="module", params=["h11", "httptools"])
def served(request, home, tmp_path_factory):
    _, ours = home.create(OWN)
    _, directory = home.create(PAYMENTS)
    agent = Agent.from_dir(directory)
    folder = tmp_path_factory.mktemp("served")
    command = ["uvicorn", "--http", request.param, "--port", "PORT", "app:app"]
    served = Served(folder, APP, command, OURS=str(ours))
    served.agent, served.journal, served.folder = agent, Journal(ours), folder
    yield served
    served.stop()
    agent.close()


@pytest.fixture
def ran(served):
    """What ran since the test began."""
    file = served.folder / "ran"
    before = len(file.read_text().splitlines()) if file.exists() else 0
    return lambda: [
        line.rsplit(" ", 1)[0] for line in (file.read_text().splitlines()[before:] if file.exists() else [])
    ]


def chunked(body, *, sizes=(5, 1, 10_000)):
    """A body in chunks."""
    framed, at = b"", 0
    for size in sizes:
        part, at = body[at : at + size], at + size
        if part:
            framed += f"{len(part):x}\r\n".encode() + part + b"\r\n"
    return framed + b"0\r\n\r\n"


def test_a_request_in_one_piece_and_in_many(served, ran):
    agent, port = served.agent, served.port
    request = raw(agent, "POST", "/pay", BODY)
    assert spoken(port, request)[0][2] == b"paid 12.50"
    # The same octets again are a replay.
    assert [code(answer) for answer in spoken(port, request)] == ["possession.replayed"]
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        for octet in raw(agent, "POST", "/pay", BODY):
            connection.sendall(bytes([octet]))
        assert b" 200 " in connection.recv(4096)
    parts = raw(agent, "POST", "/pay", BODY, lines=["Transfer-Encoding: chunked"], framed=chunked(BODY))
    assert spoken(port, parts)[0][2] == b"paid 12.50"
    encoded = raw(agent, "POST", "/a%20b/%C3%A9%2e?x=%20&y", BODY)
    assert spoken(port, encoded)[0][2] == b"paid 12.50"
    assert spoken(port, raw(agent, "POST", "/whole/x%2Fy", BODY))[0][2] == b"whole"
    assert [what.split(" ")[0] for what in ran()] == ["POST"] * 4 + ["whole"]


def test_requests_in_one_packet_are_each_judged(served, ran):
    agent = served.agent
    sent = [raw(agent, "POST", "/pay", body) for body in (BODY, OVER, BODY)]
    sent.insert(1, raw(None, "POST", "/pay", BODY))
    sent.append(sent[0])
    answers = spoken(served.port, b"".join(sent), answers=5)
    assert [answer[0] for answer in answers] == [200, 401, 403, 200, 401]
    assert [code(answers[number]) for number in (1, 2, 4)] == [
        "possession.missing", "scope.amount", "possession.replayed",
    ]  # fmt: skip
    assert ran() == ["POST /pay"] * 2


def test_the_letters_of_names_do_not_matter(served, ran):
    request = raw(served.agent, "POST", "/pay", BODY)
    for name in (b"signature-input", b"signature:", b"content-digest", b"kakunin-certificate-chain"):
        request = request.replace(name, name.upper(), 1)
    assert spoken(served.port, request)[0][0] == 200
    assert len(ran()) == 1


@pytest.mark.parametrize(
    ("change", "allowed"),
    [
        # What the server itself refuses (400, or no answer) is refused as well.
        (lambda r: r.replace(b"POST /pay", b"PUT /pay", 1), (401, 405)),
        (lambda r: r.replace(b"POST /pay", b"GET /pay", 1), (401,)),
        (lambda r: r.replace(b"POST /pay", b"HEAD /pay", 1), (401, 405)),
        (lambda r: r.replace(b"/pay", b"/pay?", 1), (200,)),
        (lambda r: r.replace(b"/pay", b"/pay?x", 1), (401,)),
        (lambda r: r.replace(b"/pay", b"/%70ay", 1), (401,)),
        (lambda r: r.replace(b"/pay", b"//pay", 1), (401, 404)),
        (lambda r: r.replace(b"/pay", b"/x/../pay", 1), (401, 404)),
        (lambda r: r.replace(b"/pay", b"/pay/", 1), (307, 401)),
        (lambda r: r.replace(b"/pay", b"http://shop.example/pay", 1), (200, 401, 404)),
        (lambda r: r.replace(b"/pay", b"http://bank.example/pay", 1), (200, 401, 404)),
        (lambda r: r.replace(b"Host: shop.example", b"Host: bank.example", 1), (401,)),
        (lambda r: r.replace(b"Host: shop.example", b"Host: shop.example\r\nHost: shop.example", 1),
         (400, 401)),
        (lambda r: r.replace(b"Host: shop.example", b"Host: shop.example\r\nHost: bank.example", 1),
         (400, 401)),
        (lambda r: r.replace(b"Host: shop.example\r\n", b"", 1), (400, 401)),
        (lambda r: r.replace(b"Content-Length: 35", b"Content-Length: 35\r\nContent-Length: 34", 1),
         (400, 401)),
        (lambda r: r.replace(b"Content-Length: 35", b"Content-Length: 35\r\nTransfer-Encoding: chunked", 1),
         (400, 401)),
        (lambda r: r.replace(b"Content-Length: 35", b"Transfer-Encoding: chunked\r\nContent-Length: 35", 1)
            .replace(BODY, chunked(BODY)), (400, 401)),
        (lambda r: r.replace(b"Content-Length: 35", b"Content-Length: 34", 1), (400, 401)),
        (lambda r: r.replace(b"Content-Length: 35", b"Content-Length: +35", 1), (400, 401)),
        (lambda r: r.replace(b"12.50", b"99.50", 1), (401,)),
        (lambda r: r.replace(b"signature: ", b"x-signature: ", 1), (401,)),
        (lambda r: r.replace(b"\r\nsignature: ", b"\r\n signature: ", 1), (400, 401)),
        (lambda r: r.replace(b"HTTP/1.1", b"HTTP/1.0", 1), (200, 401)),
    ],
)  # fmt: skip
def test_what_was_changed_on_the_wire_does_not_run(served, ran, change, allowed):
    request = raw(served.agent, "POST", "/pay", BODY)
    assert b"Content-Length: 35" in request
    changed = change(request)
    assert changed != request
    answers = spoken(served.port, changed, wait=15)
    # Of an absolute target and of an empty query the path that was signed is all there is.
    statuses = [answer[0] for answer in answers] or [400]
    assert statuses[0] in allowed, answers
    assert len(ran()) == statuses.count(200)


def test_a_body_over_the_limit_is_refused_on_the_wire(served, ran):
    big = b'{"amount": "1.00", "iban": "acme", "x": "' + b"x" * 3000 + b'"}'
    assert code(spoken(served.port, raw(served.agent, "POST", "/pay", big))[0]) == "request.too_large"
    parts = raw(served.agent, "POST", "/pay", big, lines=["Transfer-Encoding: chunked"], framed=chunked(big))
    assert code(spoken(served.port, parts)[0]) == "request.too_large"
    assert ran() == []


def test_a_body_that_never_ends_is_not_waited_for(served, ran):
    framing = {"lines": ["Transfer-Encoding: chunked"], "framed": chunked(BODY)[:-5]}
    unsigned = raw(None, "POST", "/pay", BODY, **framing)
    stranger = raw(served.agent, "POST", "/pay", BODY, host="bank.example", **framing)
    for path in (b"/pay", b"/whole/x"):
        asked = [request.replace(b"/pay", path, 1) for request in (unsigned, stranger)]
        answers = [spoken(served.port, request)[0] for request in asked]
        assert [code(answer) for answer in answers] == ["possession.missing", "possession.authority"]
    half = raw(None, "POST", "/pay", BODY)[:-5]
    assert code(spoken(served.port, half)[0]) == "possession.missing"
    assert ran() == []


@pytest.mark.parametrize("path", [b"/pay", b"/whole/x"])
@pytest.mark.parametrize(
    "framing",
    [
        {"lines": ["Expect: 100-continue"], "framed": b""},
        {"lines": ["Expect: 100-continue", "Content-Length: 35"], "framed": b""},
        {"lines": ["Transfer-Encoding: chunked"], "framed": b""},
        {"lines": ["Content-Length: 5000"], "framed": b""},
    ],
)
def test_what_comes_behind_a_refused_head_is_read_as_no_request(served, ran, framing, path):
    # The first proves nothing and sends no body; the next one, of somebody else, would be read for it.
    refused = raw(None, "POST", "/pay", BODY, **framing).replace(b"/pay", path, 1)
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as connection:
        connection.sendall(refused)
        heard = b""
        # A connection that was ended answers what is sent by a reset, perhaps before its end is seen.
        with contextlib.suppress(ConnectionError):
            while part := connection.recv(4096):
                heard += part
                connection.sendall(raw(served.agent, "POST", "/pay", BODY))
    assert heard.count(b"HTTP/1.1 ") == 1, heard
    assert heard.startswith(b"HTTP/1.1 401 "), heard
    assert b"\r\nconnection: close\r\n" in heard
    assert b"possession.missing" in heard
    assert ran() == []


def test_a_caller_that_leaves_is_recorded_as_gone(served, ran):
    def outcomes():
        return [receipt["res"] for receipt in served.journal("outcome")]

    before = len(outcomes())
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as connection:
        connection.sendall(raw(served.agent, "POST", "/slow", BODY))
        assert connection.recv(100)
    deadline = time.monotonic() + 60
    while len(outcomes()) == before:
        assert time.monotonic() < deadline, served.log.read_text()
        time.sleep(0.05)
    assert outcomes()[before:] == ["cancelled"]
    assert ran() == ["slow"]
    # Whoever leaves in the middle of the body is not judged at all.
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as connection:
        connection.sendall(raw(served.agent, "POST", "/pay", BODY)[:-5])
    assert spoken(served.port, raw(served.agent, "POST", "/pay", BODY))[0][0] == 200
    assert ran() == ["slow", "POST /pay"]
