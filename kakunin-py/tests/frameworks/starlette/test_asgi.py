"""ASGI applications behind a gateway: what is not proved, or not allowed, does not reach them."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest
import refusals
from asking import HOST, PAYMENT
from kakunin.gateway import caller
from kakunin.gateway.asgi import RequireAgent
from kakunin.httpx import AgentAuth
from refusals import asgi, signed

SELECTORS = {"amount": "amount", "currency": "EUR", "counterparty": "iban"}


def pays(shop, action="payments:send", **selectors):
    """An application that pays, for whoever may."""

    async def app(scope, receive, send):
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        shop.ran.append((caller().agent_id, body))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"paid"})

    return RequireAgent(app, shop.gateway, action, **(selectors or SELECTORS))


def test_an_agent_that_proves_itself_is_let_in(shop):
    async def asked():
        transport, auth = httpx.ASGITransport(pays(shop)), AgentAuth(shop.agent)
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{HOST}", auth=auth) as client:
            return [
                await client.post("/pay", json=PAYMENT),
                await client.post("/a%2Fb/%C3%A9?x=%20&y", json={**PAYMENT, "amount": "100.00"}),
            ]

    answers = asyncio.run(asked())
    assert [(answer.status_code, answer.text) for answer in answers] == [(200, "paid")] * 2
    assert shop.ran[0] == (shop.agent.agent_id, json.dumps(PAYMENT, separators=(",", ":")).encode())
    assert shop.gateway.counts() == (2, 0, 0)


@pytest.mark.parametrize("case", refusals.CASES)
def test_what_is_not_proved_or_not_allowed_does_not_reach_the_application(shop, case):
    case.meets(shop, lambda request: asgi(pays(shop), request))


@pytest.mark.parametrize("case", refusals.BY_HEAD)
def test_of_whoever_proves_nothing_no_body_is_read(shop, case):
    case.meets(shop, lambda request: asgi(pays(shop), request, unread=True))


def test_a_head_that_waited_too_long_proves_nothing_any_more(shop):
    # Whoever overheard it waits until its proof is forgotten.
    request = signed(shop)
    assert asgi(pays(shop), request)[0] == 200
    status, _, body = asgi(pays(shop), request, meanwhile=lambda: shop.clock.advance(61))
    assert (status, json.loads(body)["code"], len(shop.ran)) == (401, "possession.created", 1)


def test_a_proof_counts_once(shop):
    request = signed(shop)
    assert asgi(pays(shop), request)[0] == 200
    status, _, body = asgi(pays(shop), request)
    assert (status, json.loads(body)["code"], len(shop.ran)) == (401, "possession.replayed", 1)


def raising(request):
    raise KeyError("amount")


@pytest.mark.parametrize(
    ("selectors", "found"),
    [
        ({"amount": raising, "currency": "EUR", "counterparty": "iban"}, "request.amount_invalid"),
        ({"amount": "amount", "currency": raising, "counterparty": "iban"}, "request.currency_invalid"),
        ({"amount": "amount", "currency": "EUR", "counterparty": raising}, "request.counterparty_invalid"),
        ({**SELECTORS, "resource": raising}, "request.resource_invalid"),
        ({**SELECTORS, "amount": lambda asked: asked.headers["x-amount"]}, "request.amount_invalid"),
        ({**SELECTORS, "amount": lambda asked: 1.5}, "request.amount_invalid"),
        ({**SELECTORS, "amount": "amount.total"}, "request.amount_invalid"),
        ({**SELECTORS, "amount": "order.total"}, "request.amount_missing"),
        ({**SELECTORS, "counterparty": ["iban", "via"]}, None),
        ({**SELECTORS, "counterparty": ["iban", raising]}, "request.counterparty_invalid"),
        ({**SELECTORS, "amount": lambda asked: asked.params["amount"]}, "request.amount_invalid"),
        ({**SELECTORS, "amount": lambda asked: asked.json["amount"]}, None),
        ({**SELECTORS, "currency": "currency"}, "request.currency_missing"),
    ],
)
def test_a_selector_that_finds_nothing_to_read_denies(shop, selectors, found):
    status, _, body = asgi(pays(shop, **selectors), signed(shop))
    if found is None:
        assert status == 200, body
    else:
        assert (status, json.loads(body)["code"]) == (403, found)
        assert shop.ran == []


def test_a_currency_that_cannot_be_read_denies_where_no_amount_is_either(shop):
    app = pays(shop, action="reports:read", currency=raising)
    status, _, body = asgi(app, signed(shop))
    assert (status, json.loads(body)["code"], shop.ran) == (403, "request.amount_invalid", [])


def test_a_selector_looks_at_what_was_proved(shop):
    seen = []

    def see(asked):
        seen.append(asked)
        return asked.params["to"]

    app = pays(shop, amount="amount", currency="EUR", counterparty=see)
    request = signed(shop, path="/pay/%C3%A9?to=acme&note=").also(("x-http-method-override", "GET"))
    assert asgi(app, request)[0] == 200
    (asked,) = seen
    assert (asked.method, asked.path, asked.query) == ("POST", "/pay/%C3%A9", "to=acme&note=")
    assert (asked.json, asked.caller.agent_id) == (PAYMENT, shop.agent.agent_id)
    assert asked.params == {"to": "acme", "note": ""}
    assert not hasattr(asked, "headers")
    # A parameter twice is two things to two readers.
    twice = signed(shop, path="/pay?to=acme&to=initech")
    status, _, body = asgi(app, twice)
    assert (status, json.loads(body)["code"]) == (403, "request.counterparty_invalid")


def test_what_ends_a_selector_ends_the_request(shop):
    def leaves(_):
        raise SystemExit

    with pytest.raises(SystemExit):
        asgi(pays(shop, **{**SELECTORS, "amount": leaves}), signed(shop))
    assert shop.ran == []


@pytest.mark.parametrize(
    "selectors",
    [
        {"amount": "", "currency": "EUR"},
        {"amount": "a..b"},
        {"amount": "a", "amount_minor": "b"},
        {"amount": 5},
        {"currency": ["a"]},
        {"counterparty": []},
        {"resource": object()},
    ],
)
def test_a_demand_that_cannot_be_right_is_a_type_error_at_once(shop, selectors):
    with pytest.raises(TypeError):
        pays(shop, **selectors)
    with pytest.raises(TypeError):
        pays(shop, action=None)

    async def later(_):
        return "1.00"

    with pytest.raises(TypeError):
        pays(shop, amount=later)


def exchange(app, messages, *, request, spec="2.4"):
    """Runs an application by hand: it is sent `messages`, and what it sends and receives comes back."""
    sent, waiting = [], list(messages)

    async def receive():
        if not waiting:
            await asyncio.sleep(3600)
        return waiting.pop(0)

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": spec}, "method": request.method,
        "path": request.path, "raw_path": request.path.encode(), "query_string": b"", "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in request.fields], "scheme": "http",
    }  # fmt: skip
    asyncio.run(asyncio.wait_for(app(scope, receive, send), 20))
    return sent


def parts(body, *, more=False):
    """A body in parts, one of them empty."""
    pieces = [body[:3], b"", body[3:7], body[7:]]
    last = len(pieces) - 1
    return [
        {"type": "http.request", "body": piece, "more_body": more or number < last}
        for number, piece in enumerate(pieces)
    ]


def test_the_application_reads_what_was_sent_as_it_was_sent(shop):
    heard = []

    async def app(scope, receive, send):
        for _ in range(5):
            heard.append(await receive())
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b""})

    request = signed(shop)
    messages = [*parts(request.body), {"type": "http.disconnect"}]
    sent = exchange(RequireAgent(app, shop.gateway, "payments:send", **SELECTORS), messages, request=request)
    assert sent[0]["status"] == 200
    assert heard == messages


def test_whoever_goes_away_before_the_request_is_whole_gets_nothing_done(shop):
    request = signed(shop)
    messages = [*parts(request.body, more=True), {"type": "http.disconnect"}]
    assert exchange(pays(shop), messages, request=request) == []
    assert shop.ran == []
    # The proof was not looked at, so it is still good.
    assert asgi(pays(shop), request)[0] == 200


def test_a_body_over_the_limit_is_not_read_to_its_end(shop):
    request = signed(shop, b"x" * 3000).without("content-length")
    read = []

    class Endless(list):
        def pop(self, _):
            read.append(1)
            return {"type": "http.request", "body": b"x" * 100_000, "more_body": True}

        def __bool__(self):
            return True

        def __iter__(self):
            return iter(())

    async def app(scope, receive, send):
        shop.ran.append(1)

    endless = Endless()
    demanded = RequireAgent(app, shop.gateway, "payments:send")
    sent = []

    async def receive():
        return endless.pop(0)

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/pay", "raw_path": b"/pay", "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in request.fields],
    }  # fmt: skip
    asyncio.run(demanded(scope, receive, send))
    assert sent[0]["status"] == 413
    assert json.loads(sent[1]["body"])["code"] == "request.too_large"
    assert len(read) == 1 + (1 << 20) // 100_000
    # Where the head says so already, nothing is read.
    del read[:], sent[:]
    scope["headers"].append((b"content-length", b"9" * 30))
    asyncio.run(demanded(scope, receive, send))
    assert (sent[0]["status"], read, shop.ran) == (413, [], [])


def test_websockets_and_what_is_unknown_are_not_let_in(shop):
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "websocket.connect"}

    app = pays(shop)
    asyncio.run(app({"type": "websocket", "path": "/pay", "headers": []}, receive, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]
    with pytest.raises(RuntimeError, match="none is let in"):
        asyncio.run(app({"type": "webtransport"}, receive, send))
    assert shop.ran == []

    async def inner(scope, receive, send):
        shop.ran.append(scope["type"])

    asyncio.run(RequireAgent(inner, shop.gateway, "x")({"type": "lifespan"}, receive, send))
    assert shop.ran == ["lifespan"]


@pytest.mark.parametrize(
    ("path", "scope", "found"),
    [
        ("/pay", {}, None),
        ("/a%2Fb", {}, None),
        ("//pay", {}, None),
        # Mounted: the path of the whole request counts, however the rest is told.
        ("/api/pay", {"root_path": "/api"}, None),
        ("/api/pay", {"root_path": "/api", "path": "/pay"}, None),
        # Somebody between the server and the gateway changed the path.
        ("/free", {"path": "/pay"}, "possession.malformed"),
        ("/pay", {"path": "/pay/../free"}, "possession.malformed"),
        ("/api/pay", {"path": "/pay"}, "possession.malformed"),
        # A server that does not say how it was written.
        ("/pay", {"raw_path": None}, None),
        ("/pay;v=1/a+b", {"raw_path": b""}, None),
        ("/api/pay", {"raw_path": None, "root_path": "/api"}, None),
        ("/api/pay", {"raw_path": None, "root_path": "/api", "path": "/pay"}, "possession.malformed"),
        ("/a%20b", {"raw_path": None}, "possession.malformed"),
        ("/%C3%A9", {"raw_path": None}, "possession.malformed"),
        ("/a%2Fb", {"raw_path": None}, "possession.signature"),
        ("/%61", {"raw_path": None}, "possession.signature"),
        # A target that is no path.
        ("/pay", {"raw_path": b"http://shop.example/pay"}, "possession.malformed"),
        ("/pay", {"raw_path": b"*", "path": "*"}, "possession.malformed"),
    ],
)
def test_the_path_that_is_proved_is_the_one_that_was_sent(shop, path, scope, found):
    status, _, body = asgi(pays(shop), signed(shop, path=path), **scope)
    if found is None:
        assert status == 200, body
    else:
        assert (status, json.loads(body)["code"]) == (401, found)
        assert shop.ran == []


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ([(":authority", HOST)], None),
        ([(":authority", HOST.upper())], None),
        ([(":authority", HOST), ("host", HOST)], None),
        ([(":authority", HOST), ("host", "bank.example")], "possession.malformed"),
        ([(":authority", "bank.example"), ("host", HOST)], "possession.malformed"),
        ([(":authority", "bank.example")], "possession.authority"),
        ([(":authority", HOST), (":authority", HOST)], "possession.malformed"),
        ([(":method", "POST"), ("host", HOST)], None),
    ],
)
def test_an_authority_of_http_2_is_the_one_that_was_signed(shop, fields, found):
    status, _, body = asgi(pays(shop), signed(shop).without("host").also(*fields))
    if found is None:
        assert status == 200, body
    else:
        assert (status, json.loads(body)["code"], shop.ran) == (401, found, [])


def test_doors_behind_each_other_look_at_a_proof_once(shop):
    async def app(scope, receive, send):
        shop.ran.append(scope["type"])
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b""})

    inner = RequireAgent(app, shop.gateway, "payments:send", **SELECTORS)
    both = RequireAgent(inner, shop.gateway, "reports:read")
    assert asgi(both, signed(shop))[0] == 200
    assert asgi(both, signed(shop, {**PAYMENT, "amount": "1000.00"}))[0] == 403
    assert shop.ran == ["http"]
    other = type(shop.gateway)(shop.own, names=[HOST])
    shop.clock.advance(11)
    with pytest.raises(RuntimeError, match="two gateways"):
        asgi(RequireAgent(inner, other, "reports:read"), signed(shop))
