"""The agent's side: what httpx and requests send is verified by a library that knows nothing of us."""

from __future__ import annotations

import asyncio
import base64
import datetime
import hashlib
import http.server
import json
import threading
from types import SimpleNamespace

import httpcore
import httpx
import kakunin
import pytest
import requests
from cryptography import x509
from http_message_signatures import (
    HTTPMessageVerifier,
    InvalidSignature,
    MappingKeyResolver,
    algorithms,
)
from kakunin import NotProven, agent_context, const, verify_agent_scope
from kakunin.gateway import Gateway, Refused
from kakunin.gateway._demand import Demand
from kakunin.gateway._exchange import Exchange, Head
from kakunin.httpx import AgentAuth
from kakunin.requests import AgentAuth as RequestsAuth

COVERED = ("@method", "@authority", "@path", "@query", "content-digest", "kakunin-certificate-chain")


class Desk:
    """A server that keeps what it is sent, and redirects where the path says so."""

    def __init__(self):
        self.heard = heard = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                length = self.headers.get("content-length")
                body = self.rfile.read(int(length)) if length else b""
                kept = {"method": self.command, "path": self.path, "headers": self.headers}
                heard.append(SimpleNamespace(**kept, body=body))
                if self.path.startswith("/moved"):
                    self.send_response(307)
                    self.send_header("location", "/here" if self.path == "/moved" else elsewhere[0])
                else:
                    self.send_response(401 if "/here" in self.path and len(heard) == 2 else 200)
                self.send_header("content-length", "0")
                self.end_headers()

            do_GET = do_POST = do_HEAD = do_DELETE = answer

            def log_message(self, *_):
                pass

        elsewhere = self.elsewhere = [""]
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def desk():
    desk = Desk()
    yield desk
    desk.server.shutdown()
    desk.server.server_close()


@pytest.fixture
def agent(authority):
    return authority.issue({"actions": ["payments:send"]})


def verified(desk, request, *, components=COVERED, now=None):
    """Whether the library takes the proof of a request."""
    fields = {name.lower(): value for name, value in request.headers.items()}
    first = fields["kakunin-certificate-chain"].split(", ")[0].strip(":")
    der = base64.b64decode(first)
    key = x509.load_der_x509_certificate(der).public_key()
    keys = MappingKeyResolver(public_keys={hashlib.sha256(der).hexdigest(): key}, private_keys={})
    verifier = HTTPMessageVerifier(signature_algorithm=algorithms.ECDSA_P256_SHA256, key_resolver=keys)
    message = SimpleNamespace(method=request.method, url=desk.url + request.path, headers=fields)
    try:
        # The agents of these tests live on a Monday, whenever that is.
        age = datetime.timedelta(days=36500)
        found = verifier.verify(
            message, max_age=age, expect_tag="kakunin", require_components=components, body=request.body
        )
    except InvalidSignature:
        return False
    return len(found) == 1


REQUESTS = [
    ("GET", "/", None),
    ("GET", "/reports?from=2026&to=", None),
    ("GET", "/reports?", None),
    ("POST", "/pay", b'{"amount": "1.00"}'),
    ("POST", "/a%20b/c%2Fd/%C3%A9?x=%20y&y=a+b", b"\x00\xff"),
    ("DELETE", "/pay/1", None),
    ("HEAD", "/pay", None),
]


@pytest.mark.parametrize(("method", "path", "body"), REQUESTS)
def test_a_request_is_signed_as_it_is_sent(desk, agent, method, path, body):
    with httpx.Client(auth=AgentAuth(agent)) as client:
        assert client.request(method, desk.url + path, content=body).status_code == 200
    answer = requests.request(method, desk.url + path, data=body, auth=RequestsAuth(agent), timeout=30)
    assert answer.status_code == 200

    async def again():
        async with httpx.AsyncClient(auth=AgentAuth(agent)) as client:
            assert (await client.request(method, desk.url + path, content=body)).status_code == 200

    asyncio.run(again())
    assert len(desk.heard) == 3
    assert all(verified(desk, request) for request in desk.heard)
    nonces = {request.headers["signature-input"].split('nonce="')[1][:32] for request in desk.heard}
    assert len(nonces) == 3


def test_bodies_of_every_kind_are_covered(desk, agent, tmp_path):
    (tmp_path / "file").write_bytes(b"from a file")

    def parts():
        yield b"in "
        yield b"parts"

    auth = AgentAuth(agent)
    httpx.post(f"{desk.url}/json", json={"amount": "1.00"}, auth=auth)
    httpx.post(f"{desk.url}/form", data={"amount": "1.00"}, auth=auth)
    httpx.post(f"{desk.url}/files", files={"file": b"x"}, auth=auth)
    own = RequestsAuth(agent)
    requests.post(f"{desk.url}/json", json={"amount": "1.00"}, auth=own, timeout=30)
    requests.post(f"{desk.url}/form", data={"amount": "é"}, auth=own, timeout=30)
    requests.post(f"{desk.url}/text", data="text", auth=own, timeout=30)
    with (tmp_path / "file").open("rb") as file:
        requests.post(f"{desk.url}/file", data=file, auth=own, timeout=30)
    assert all(verified(desk, request) for request in desk.heard)
    assert [request.body for request in desk.heard][-2:] == [b"text", b"from a file"]
    with pytest.raises(NotProven) as refused:
        requests.post(f"{desk.url}/parts", data=parts(), auth=own, timeout=30)
    assert refused.value.code == "possession.content"
    assert len(desk.heard) == 7


def test_what_was_changed_on_the_way_is_not_verified(desk, agent):
    httpx.post(f"{desk.url}/pay?to=acme", content=b"1.00", auth=AgentAuth(agent))
    request = desk.heard[0]
    assert verified(desk, request)
    for change in ({"path": "/pay?to=me"}, {"path": "/pay"}, {"method": "PUT"}, {"body": b"9.00"}):
        assert not verified(desk, SimpleNamespace(**{**vars(request), **change}))


def test_a_redirect_is_signed_again_for_the_same_origin_and_no_other(desk, agent):
    with httpx.Client(auth=AgentAuth(agent), follow_redirects=True) as client:
        assert client.post(f"{desk.url}/moved", content=b"1.00").status_code == 200
    signed = ["signature" in request.headers and verified(desk, request) for request in desk.heard]
    asked = [*zip([request.path for request in desk.heard], signed, strict=True)]
    # Without a proof the request is refused: that is what a gateway does.
    assert asked == [("/moved", True), ("/here", False), ("/here", True)]
    assert desk.heard[2].body == b"1.00"

    other = Desk()
    desk.elsewhere[0] = f"{other.url}/here"
    del desk.heard[:]
    with httpx.Client(auth=AgentAuth(agent), follow_redirects=True) as client:
        client.post(f"{desk.url}/moved-away", content=b"1.00")
    assert ["signature" in request.headers for request in other.heard] == [False]
    other.server.shutdown()
    other.server.server_close()


def test_a_redirect_by_way_of_another_origin_is_not_signed(agent):
    """Whoever is asked in between would name the address, and the agent would sign it."""

    def answer(request):
        asked.append((str(request.url), request.headers["signature"]))
        moved = {
            "https://shop.example/partner": "https://other.example/x",
            "https://other.example/x": "https://shop.example/transfer?to=other",
        }.get(str(request.url))
        return httpx.Response(307, headers={"location": moved}) if moved else httpx.Response(401)

    asked = []
    transport = httpx.MockTransport(answer)
    with httpx.Client(transport=transport, auth=AgentAuth(agent), follow_redirects=True) as client:
        assert client.post("https://shop.example/partner", content=b"1.00").status_code == 401
    assert [url for url, _ in asked][2:] == ["https://shop.example/transfer?to=other"]
    assert len({signature for _, signature in asked}) == 1


def test_requests_sends_no_proof_and_no_certificates_where_it_is_redirected(desk, agent):
    other = Desk()
    try:
        for url in (f"{desk.url}/moved", f"{desk.url}/moved-away"):
            desk.elsewhere[0] = f"{other.url}/elsewhere"
            fields = {"kakunin-names": "x", "x-own": "1"}
            requests.post(url, data=b"1.00", auth=RequestsAuth(agent), headers=fields, timeout=30)
    finally:
        other.server.shutdown()
        other.server.server_close()
    first, here, again = desk.heard
    assert verified(desk, first) and verified(desk, again)
    for redirected in (here, *other.heard):
        names = {name.lower() for name in redirected.headers}
        assert "x-own" in names
        assert not {name for name in names if name.startswith(("kakunin-", "signature", "content-digest"))}
    assert len(other.heard) == 1


def test_httpx_shows_no_proof_and_no_certificates_where_it_is_redirected(desk, agent):
    other, seen = Desk(), []
    url = f"{desk.url}/moved-away"
    desk.elsewhere[0] = f"{other.url}/elsewhere"
    fields = {"kakunin-names": "x", "x-own": "1"}

    async def follow():
        async def trace(event, _):
            seen.append(event)

        async with httpx.AsyncClient(auth=AgentAuth(agent), follow_redirects=True) as client:
            return await client.post(url, content=b"1.00", headers=fields, extensions={"trace": trace})

    try:
        with httpx.Client(auth=AgentAuth(agent), follow_redirects=True) as client:
            trace = {"trace": lambda event, _: seen.append(event)}
            answers = [client.post(url, content=b"1.00", headers=fields, extensions=trace)]
            # Signed again for the place of the same origin, which sends it away from there.
            client.get(f"{desk.url}/moved")
        answers.append(asyncio.run(follow()))
        assert [answer.status_code for answer in answers] == [200, 200]
    finally:
        other.server.shutdown()
        other.server.server_close()
    # Whoever listened to the transport still does.
    assert seen.count("http11.send_request_headers.complete") == 4
    first, *_, last = desk.heard
    assert verified(desk, first) and verified(desk, last)
    assert len(other.heard) == 2
    for redirected in other.heard:
        names = {name.lower() for name in redirected.headers}
        assert "x-own" in names
        assert redirected.body == b"1.00"
        assert not {name for name in names if name.startswith(("kakunin-", "signature", "content-digest"))}


class Stream(httpcore.NetworkStream):
    """A connection to the shop breaks while the head is written, and is answered all the same."""

    def __init__(self, host, written):
        self.host, self.written = host, written
        moved = b"HTTP/1.1 307 Moved\r\nlocation: http://stranger.example/\r\ncontent-length: 0\r\n\r\n"
        fine = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
        self.answers = [moved if host == "shop.example" else fine]

    def write(self, octets, timeout=None):
        self.written.append((self.host, octets))
        if self.host == "shop.example":
            raise httpcore.WriteError("reset by the peer")

    def read(self, most, timeout=None):
        return self.answers.pop() if self.answers else b""

    def close(self):
        pass

    def get_extra_info(self, info):
        return None


class AsyncStream(httpcore.AsyncNetworkStream):
    """The same for coroutines."""

    def __init__(self, host, written):
        self.same = Stream(host, written)

    async def write(self, octets, timeout=None):
        self.same.write(octets)

    async def read(self, most, timeout=None):
        return self.same.read(most)

    async def aclose(self):
        pass

    def get_extra_info(self, info):
        return None


class Network(httpcore.NetworkBackend):
    def __init__(self, written):
        self.written = written

    def connect_tcp(self, host, *_, **__):
        return Stream(host, self.written)


class AsyncNetwork(httpcore.AsyncNetworkBackend):
    def __init__(self, written):
        self.written = written

    async def connect_tcp(self, host, *_, **__):
        return AsyncStream(host, self.written)


def test_a_head_that_was_written_in_part_gives_no_stranger_its_proof(agent):
    """httpcore goes on to read the answer, and httpx to follow it with the same fields."""
    fields = {"kakunin-names": "x", "x-own": "1"}

    def one(written):
        transport = httpx.HTTPTransport()
        transport._pool._network_backend = Network(written)
        with httpx.Client(transport=transport, auth=AgentAuth(agent), follow_redirects=True) as client:
            return client.post("http://shop.example/pay", content=b"1.00", headers=fields)

    async def other(written):
        transport = httpx.AsyncHTTPTransport()
        transport._pool._network_backend = AsyncNetwork(written)
        auth = AgentAuth(agent)
        async with httpx.AsyncClient(transport=transport, auth=auth, follow_redirects=True) as client:
            return await client.post("http://shop.example/pay", content=b"1.00", headers=fields)

    for ask in (one, lambda written: asyncio.run(other(written))):
        written = []
        assert ask(written).status_code == 200
        (shop, head), *rest = written
        assert (shop, b"signature-input:" in head.lower()) == ("shop.example", True)
        seen = b"".join(octets for host, octets in rest if host == "stranger.example").lower()
        assert b"x-own: 1" in seen
        for name in (b"kakunin-", b"signature", b"content-digest"):
            assert name not in seen, seen


def test_inside_a_chain_the_link_is_signed_too(desk, agent):
    @verify_agent_scope("payments:send", agent=agent)
    def pay(auth, post):
        link = kakunin.chain_headers()["kakunin-chain"]
        post(f"{desk.url}/pay", auth=auth)
        # Headers that the caller set already are the same link, once.
        post(f"{desk.url}/pay", auth=auth, headers=kakunin.chain_headers())
        return link

    def posted(url, **options):
        requests.post(url, timeout=30, **options)

    with kakunin.chain(traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"):
        links = [pay(AgentAuth(agent), httpx.post), pay(RequestsAuth(agent), posted)]
    assert len(desk.heard) == 4
    for number, request in enumerate(desk.heard):
        assert request.headers.get_all("kakunin-chain") == [links[number // 2]]
        assert request.headers["traceparent"].startswith("00-0af7651916cd43dd8448eb211c80319c")
        assert verified(desk, request, components=(*COVERED, "kakunin-chain"))
    with pytest.raises(NotProven) as refused:
        httpx.post(f"{desk.url}/pay", auth=AgentAuth(agent), headers={"kakunin-chain": "x"})
    assert refused.value.code == "possession.malformed"


def test_names_of_a_detached_list_are_proven_to_a_service_that_has_it_not(desk, authority, clock):
    vendors = [f"vendor-{number:04}" for number in range(0, 200, 2)]
    scope = {
        "actions": ["payments:send", "read:x"],
        "counterparties": [{"for": ["payments:send"], "allow": vendors}],
    }
    agent = authority.issue(scope)
    gateway = Gateway(authority.issue({"actions": ["read:x"]}), names=[desk.url.removeprefix("http://")])
    clock.advance(11)
    paying = {"action": "payments:send", "counterparty": "to.iban"}
    demand = Demand("payments:send", counterparty="to.iban")

    def answered():
        """What the gateway says of the last request."""
        sent = desk.heard[-1]
        fields = [(name.lower().encode(), value.encode()) for name, value in sent.headers.items()]
        head = Head(sent.method, sent.path, "", fields)
        try:
            Exchange(gateway).admit(demand, head, sent.body, {})
        except Refused as refused:
            return refused.code
        return "let in"

    def post(auth, **options):
        httpx.post(f"{desk.url}/pay", auth=AgentAuth(agent, **auth), **options)
        answers = [answered()]
        clock.advance(1)
        requests.post(f"{desk.url}/pay", auth=RequestsAuth(agent, **auth), timeout=30, **options)
        return {*answers, answered()}

    body = {"json": {"to": {"iban": "vendor-0042"}}}
    assert post(paying, **body) == {"let in"}
    assert post({}, **body) == {"scope.names_missing"}
    assert post({}, headers={"kakunin-names": "x"}, **body) == {"possession.malformed"}
    assert post(paying, headers={"kakunin-names": "x"}, **body) == {"let in"}
    assert post({**paying, "action": "read:x"}, **body) == {"scope.names_missing"}
    assert post(paying, json={"to": {"iban": "vendor-0043"}}) == {"scope.counterparty"}
    # Of another name, or of none, nothing is proven.
    assert post({**paying, "counterparty": const("vendor-0044")}, **body) == {"scope.names_missing"}
    assert post({**paying, "counterparty": "nobody"}, **body) == {"scope.names_missing"}
    assert post(paying, json={"to": 7}) == {"request.counterparty_invalid"}
    by_code = {**paying, "counterparty": [lambda request: "vendor-0042", const("vendor-0000")]}
    assert post(by_code, **body) == {"let in"}
    for auth in (AgentAuth, RequestsAuth):
        for wrong in ({"counterparty": "to"}, {"action": 7}, {"action": "x", "resource": ""}):
            with pytest.raises(TypeError):
                auth(agent, **wrong)
    heard = len(desk.heard)
    many = {**paying, "counterparty": const(vendors[:40])}
    broken = {**paying, "counterparty": lambda request: request.nothing}
    for auth, code in ((many, "scope.names_missing"), (broken, "possession.content")):
        for send in (
            lambda auth: httpx.post(desk.url, auth=AgentAuth(agent, **auth)),
            lambda auth: requests.post(desk.url, auth=RequestsAuth(agent, **auth), timeout=30),
        ):
            with pytest.raises(NotProven) as refused:
                send(auth)
            assert refused.value.code == code
    assert len(desk.heard) == heard


def test_an_agent_that_may_do_nothing_sends_nothing(desk, authority, agent):
    authority.suspend(agent)
    for post in (
        lambda: httpx.post(f"{desk.url}/pay", auth=AgentAuth(agent)),
        lambda: requests.post(f"{desk.url}/pay", auth=RequestsAuth(agent), timeout=30),
    ):
        with pytest.raises(NotProven) as refused:
            post()
        assert refused.value.code == "certificate.held"
        assert str(refused.value) == "the agent is suspended [certificate.held]"
    with pytest.raises(NotProven) as refused:
        httpx.post(f"{desk.url}/pay", auth=AgentAuth())
    assert refused.value.code == "agent.missing"
    assert desk.heard == []


def test_the_agent_is_that_of_the_context(desk, authority, agent):
    other = authority.issue({"actions": ["read:x"]}, name="other")
    with httpx.Client(auth=AgentAuth()) as client, agent_context(agent):
        client.get(desk.url)
        with agent_context(other):
            client.get(desk.url)
    chains = [request.headers["kakunin-certificate-chain"] for request in desk.heard]
    assert chains[0] != chains[1]
    assert all(verified(desk, request) for request in desk.heard)
    for wrong in ("agent", json):
        with pytest.raises(TypeError):
            AgentAuth(wrong)
        with pytest.raises(TypeError):
            RequestsAuth(wrong)
