"""FastAPI routes that demand an agent: a denied handler never runs, by whatever door it is asked for."""

from __future__ import annotations

import json

import kakunin
import pytest
import queries
import refusals
from asking import HOST, PAYMENT
from fastapi import (
    APIRouter,
    BackgroundTasks,
    Depends,
    FastAPI,
    HTTPException,
    Request,
    Response,
    WebSocket,
)
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient
from kakunin import verify_agent_scope
from kakunin.gateway import Caller, caller
from kakunin.gateway.fastapi import AgentMiddleware, require_agent
from kakunin.httpx import AgentAuth
from pydantic import BaseModel
from refusals import asgi, signed

SELECTORS = {"amount": "amount", "currency": "EUR", "counterparty": "iban"}


class Order(BaseModel):
    amount: str | float | bool | list | dict | None = None
    iban: str | list[str] | None = None


def service(shop):
    """A service whose every route is protected, in each of the ways."""
    app = FastAPI()
    app.add_middleware(AgentMiddleware, gateway=shop.gateway)
    pays = require_agent("payments:send", **SELECTORS, gateway=shop.gateway)
    reads = require_agent("reports:read")

    async def opened():
        shop.ran.append("a dependency that is opened")
        yield "opened"

    @app.post("/pay", dependencies=[Depends(pays)])
    async def pay(request: Request):
        shop.ran.append(caller().agent_id)
        return {"paid": (await request.json())["amount"]}

    @app.post("/orders", dependencies=[Depends(pays)])
    async def order(order: Order, thing: str = Depends(opened)):
        shop.ran.append(order.amount)
        return {"paid": order.amount, "to": order.iban}

    @app.post("/plain")
    def plain(order: Order, who: Caller = Depends(pays)):  # noqa: B008
        shop.ran.append(who.agent_id == caller().agent_id)
        return {"paid": order.amount}

    @app.get("/reports/{name}", dependencies=[Depends(reads)])
    @app.head("/reports/{name}", dependencies=[Depends(reads)])
    def report(name: str):
        shop.ran.append(name)
        return {"name": name}

    router = APIRouter(prefix="/router", dependencies=[Depends(pays)])

    @router.post("/pay/")
    async def routed(tasks: BackgroundTasks):
        shop.ran.append("routed")
        tasks.add_task(lambda: shop.ran.append(f"later {caller().agent_id == shop.agent.agent_id}"))
        return {"paid": True}

    @router.post("/stream")
    async def stream():
        async def parts():
            shop.ran.append(caller().agent_id == shop.agent.agent_id)
            yield b"a"
            yield b"b"

        return StreamingResponse(parts())

    app.include_router(router)
    inner = FastAPI()

    @inner.post("/pay", dependencies=[Depends(pays)])
    async def mounted():
        shop.ran.append("mounted")
        return {"paid": True}

    app.mount("/inner", inner)

    @app.get("/open")
    def public():
        return {"open": True}

    return app


@pytest.fixture
def client(shop):
    with TestClient(service(shop), base_url=f"http://{HOST}") as client:
        client.auth = AgentAuth(shop.agent)
        yield client


@pytest.mark.parametrize("case", refusals.BY_HEAD)
def test_of_whoever_proves_nothing_no_body_is_read(shop, case):
    # Where a handler takes a model, FastAPI itself reads the body before it asks any dependency.
    case.meets(shop, lambda request: asgi(service(shop), request, unread=True))


@pytest.mark.parametrize("case", refusals.CASES)
def test_what_is_not_proved_or_not_allowed_does_not_reach_the_handler(shop, case):
    app = service(shop)

    def ask(request):
        return asgi(app, request)

    case.meets(shop, ask)


def test_an_agent_that_proves_itself_is_let_in_by_every_door(shop, client):
    assert client.post("/pay", json=PAYMENT).json() == {"paid": "12.50"}
    assert client.post("/orders", json=PAYMENT).json() == {"paid": "12.50", "to": "acme"}
    assert client.post("/plain", json=PAYMENT).json() == {"paid": "12.50"}
    assert client.get("/reports/a%2Fb?x=1").status_code == 404
    assert client.get("/reports/%C3%A9").json() == {"name": "é"}
    assert client.head("/reports/x").status_code == 200
    assert client.post("/router/pay/", json=PAYMENT).json() == {"paid": True}
    assert client.post("/router/stream", json=PAYMENT).content == b"ab"
    assert client.post("/inner/pay", json=PAYMENT).json() == {"paid": True}
    assert client.get("/open", auth=None).json() == {"open": True}
    agent = shop.agent.agent_id
    assert shop.ran == [
        agent, "a dependency that is opened", "12.50", True, "é", "x", "routed", "later True", True,
        "mounted",
    ]  # fmt: skip


DOORS = ["/pay", "/orders", "/plain", "/router/pay/", "/router/pay", "/router/stream", "/inner/pay"]


@pytest.mark.parametrize("path", DOORS)
@pytest.mark.parametrize("method", ["POST", "GET", "HEAD", "PUT", "OPTIONS"])
def test_no_door_leads_past_the_gateway(shop, client, path, method):
    """Other methods, with and without the slash, without proof and with one for too much."""
    client.follow_redirects = True
    over = {**PAYMENT, "amount": "100.01"}
    allowed = method == "POST"
    answer = client.request(method, path, json=over)
    assert answer.status_code == (403 if allowed else 405), answer.text
    answer = client.request(method, path, json=PAYMENT, auth=None)
    assert answer.status_code == (401 if allowed else 405), answer.text
    overridden = client.request(
        method, path, json=over, headers={"X-HTTP-Method-Override": "POST", "X-Method-Override": "GET"}
    )
    assert overridden.status_code == (403 if allowed else 405)
    assert shop.ran == []


@pytest.mark.parametrize("amount", ["100.01", 1, None, "1e2"])
@pytest.mark.parametrize("path", DOORS)
def test_no_part_of_a_denied_handler_runs(shop, client, path, amount):
    client.follow_redirects = True
    answer = client.post(path, json={**PAYMENT, "amount": amount})
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/problem+json"
    assert shop.ran == []


def test_a_route_behind_no_gateway_answers_nobody(shop, caplog):
    app = FastAPI()

    @app.post("/pay", dependencies=[Depends(require_agent("payments:send"))])
    async def pay():
        shop.ran.append(1)

    client = TestClient(app, base_url=f"http://{HOST}", raise_server_exceptions=False)
    assert client.post("/pay", json=PAYMENT, auth=AgentAuth(shop.agent)).status_code == 500
    with pytest.raises(RuntimeError, match="add_middleware"):
        TestClient(app, base_url=f"http://{HOST}").post("/pay", auth=AgentAuth(shop.agent))
    # Another gateway than the one that is demanded.
    other = type(shop.gateway)(shop.own, names=[HOST])
    app = FastAPI()
    app.add_middleware(AgentMiddleware, gateway=other)
    pays = require_agent("payments:send", gateway=shop.gateway)
    app.post("/pay", dependencies=[Depends(pays)])(pay)
    with pytest.raises(RuntimeError, match="two gateways"):
        TestClient(app, base_url=f"http://{HOST}").post("/pay", auth=AgentAuth(shop.agent))
    assert shop.ran == []


def test_a_body_over_the_limit_is_refused_before_the_handler(shop, client):
    big = {**PAYMENT, "note": "x" * (1 << 20)}
    for path in ("/pay", "/orders"):
        answer = client.post(path, json=big)
        assert (answer.status_code, answer.json()["code"]) == (413, "request.too_large")

        def parts():
            yield json.dumps(big).encode()

        answer = client.post(path, content=parts(), headers={"content-type": "application/json"})
        assert (answer.status_code, answer.json()["code"]) == (413, "request.too_large")
    assert shop.ran == []


def test_one_request_may_do_several_things_and_is_proved_once(shop):
    app = FastAPI(dependencies=[Depends(require_agent("reports:read"))])
    app.add_middleware(AgentMiddleware, gateway=shop.gateway)

    @app.post("/pay", dependencies=[Depends(require_agent("payments:send", **SELECTORS))])
    async def pay():
        shop.ran.append(1)

    client = TestClient(app, base_url=f"http://{HOST}")
    auth = AgentAuth(shop.agent)
    assert client.post("/pay", json=PAYMENT, auth=auth).status_code == 200
    assert client.post("/pay", json={**PAYMENT, "amount": "100.01"}, auth=auth).status_code == 403
    assert shop.ran == [1]


def ended(app):
    """Adds routes that end in each of the ways."""

    @app.post("/raises")
    async def raises():
        raise ValueError("the ledger is closed")

    @app.post("/fails")
    async def fails():
        return Response(status_code=502)

    @app.post("/declines")
    async def declines():
        raise HTTPException(409)

    @app.post("/breaks")
    def breaks():
        raise HTTPException(500)

    @app.post("/takes-back")
    async def takes_back():
        raise kakunin.NotExecuted

    @app.post("/tears")
    async def tears():
        def parts():
            yield b"a"
            raise ValueError("the rest is lost")

        return StreamingResponse(parts())


def test_the_outcome_of_the_handler_is_recorded(kept):
    app = FastAPI(dependencies=[Depends(require_agent("payments:send", **SELECTORS))])
    app.add_middleware(AgentMiddleware, gateway=kept.gateway)

    @app.post("/pay")
    def pay():
        return {}

    ended(app)
    client = TestClient(app, base_url=f"http://{HOST}", raise_server_exceptions=False)
    expected = {
        "/pay": "returned", "/raises": "raised", "/fails": "raised", "/declines": "returned",
        "/breaks": "raised", "/takes-back": "not_executed", "/tears": "raised",
    }  # fmt: skip
    for path in expected:
        client.post(path, json=PAYMENT, auth=AgentAuth(kept.agent))
    assert kept.outcomes(len(expected)) == list(expected.values())
    decisions = kept.journal.decisions()
    assert [decision["dec"] for decision in decisions] == ["allow"] * len(expected)


def test_the_chain_goes_on_inside_the_handler(kept, cli):
    @verify_agent_scope("ledger:write", agent=kept.own)
    def note():
        return kakunin.chain_headers()

    app = FastAPI()
    app.add_middleware(AgentMiddleware, gateway=kept.gateway)

    @app.post("/pay", dependencies=[Depends(require_agent("payments:send", **SELECTORS))])
    def pay():
        note()
        return {"chain": caller().chain}

    client = TestClient(app, base_url=f"http://{HOST}")

    @verify_agent_scope(
        "payments:send", amount="amount", currency="EUR", counterparty="iban", agent=kept.agent
    )
    def send(amount, iban):
        body = {"amount": amount, "iban": iban}
        return client.post("/pay", json=body, auth=AgentAuth(kept.agent)).json()["chain"]

    with kakunin.chain() as chain:
        assert send("1.00", "acme") == chain.id
    alone = client.post("/pay", json=PAYMENT, auth=AgentAuth(kept.agent)).json()["chain"]
    assert alone != chain.id
    kept.outcomes(4)
    asked = kept.asked_by.decisions()[0]
    entered, noted, second, noted_then = kept.journal.decisions()
    assert entered["par"] == [asked["hash"]]
    assert noted["par"] == [entered["hash"]]
    assert noted_then["par"] == [second["hash"]]
    assert "par" not in second
    assert entered["chn"] == noted["chn"] == asked["chn"]
    # The receipt says who asked, and how that was proved; its own agent is who decided.
    assert entered["sub"] == noted["sub"] == f"urn:kakunin:agent:{kept.own.agent_id}"
    assert entered["cal"]["s"] == f"urn:kakunin:agent:{kept.agent.agent_id}"
    assert entered["cal"]["p"] == "signature"
    assert "cal" not in noted
    kept.own.close()
    verified = cli("verify", kept.ours, "--root", kept.ours / "ca.pem", "--replay", check=False)
    assert verified.returncode == 3, verified.stdout + verified.stderr
    assert second["chn"] == noted_then["chn"] != asked["chn"]
    # Nothing of it is left behind.
    assert kakunin.chain_headers() == {}
    with pytest.raises(kakunin.KakuninError):
        caller()


def test_nobody_is_let_in_by_a_websocket(shop):
    app = FastAPI()
    app.add_middleware(AgentMiddleware, gateway=shop.gateway)

    reads = require_agent("reports:read")

    @app.websocket("/live")
    async def live(websocket: WebSocket, who: Caller = Depends(reads)):  # noqa: B008
        shop.ran.append(who)

    with pytest.raises(Exception), TestClient(app).websocket_connect("/live"):  # noqa: B017
        pass
    assert shop.ran == []


CHANGES = {
    "method": {"method": "DELETE"},
    "path": {"path": "/free", "raw_path": b"/free"},
    "decoded path": {"path": "/free"},
    "query": {"query_string": b"to=me"},
    "body": {},
}


class Changing:
    """Something between two doors that makes another request of the one it is given."""

    def __init__(self, app, change):
        self._app, self._change = app, change

    async def __call__(self, scope, receive, send):
        async def other():
            message = await receive()
            return {**message, "body": message["body"].replace(b"12.50", b"99.00")}

        scope.update(CHANGES[self._change])
        await self._app(scope, other if self._change == "body" else receive, send)


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_between_two_doors_is_not_what_was_proved(shop, change):
    app = FastAPI()
    protect = require_agent("payments:send", **SELECTORS)

    @app.api_route("/pay", methods=["POST", "DELETE"], dependencies=[Depends(protect)])
    @app.api_route("/free", methods=["POST", "DELETE"], dependencies=[Depends(protect)])
    async def pay(order: Order):
        shop.ran.append(order.amount)

    app.add_middleware(Changing, change=change)
    app.add_middleware(AgentMiddleware, gateway=shop.gateway)
    status, _, body = asgi(app, signed(shop))
    assert (status, json.loads(body)["code"], shop.ran) == (500, "gateway.misconfigured", [])


def test_a_form_is_judged_where_nobody_can_have_changed_it(shop):
    app = FastAPI()

    async def form(request: Request):
        # As FastAPI reads a form, before any dependency.
        shop.ran.append(b"".join([part async for part in request.stream()]))

    @app.post("/form", dependencies=[Depends(form), Depends(require_agent("reports:read"))])
    async def read():
        shop.ran.append("read")

    assert asgi(AgentMiddleware(app, shop.gateway), signed(shop, b"a=1", path="/form"))[0] == 200
    assert shop.ran == [b"a=1", "read"]
    behind = AgentMiddleware(Changing(app, "body"), shop.gateway)
    status, _, body = asgi(behind, signed(shop, b"a=1", path="/form"))
    assert (status, json.loads(body)["code"]) == (500, "gateway.misconfigured")
    assert shop.ran == [b"a=1", "read", b"a=1"]


@pytest.mark.parametrize("show", queries.EVERY)
def test_a_query_is_read_as_it_was_judged_or_not_at_all(shop, show):
    app = FastAPI()
    app.add_middleware(AgentMiddleware, gateway=shop.gateway)

    @app.get("/transfer", dependencies=[Depends(require_agent("reports:read", **queries.SELECTORS))])
    def transfer(to: str):
        shop.ran.append(to)

    show(shop, lambda sent: asgi(app, sent))
