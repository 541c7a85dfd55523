"""Starlette endpoints that demand an agent, with a middleware around the application and without."""

from __future__ import annotations

import json

import pytest
import queries
import refusals
from asking import HOST, PAYMENT
from kakunin import NotExecuted
from kakunin.gateway import Gateway, caller
from kakunin.gateway.asgi import AgentMiddleware, RequireAgent
from kakunin.gateway.starlette import require_agent
from kakunin.httpx import AgentAuth
from refusals import asgi, signed
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.endpoints import HTTPEndpoint
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

SELECTORS = {"amount": "amount", "currency": "EUR", "counterparty": "iban"}


class Passing(BaseHTTPMiddleware):
    """A middleware that runs what is below it in a task of its own."""

    async def dispatch(self, request, call_next):
        return await call_next(request)


AROUND = {
    "alone": lambda gateway: [],
    "behind a middleware": lambda gateway: [Middleware(AgentMiddleware, gateway=gateway)],
    "below another task": lambda gateway: [Middleware(AgentMiddleware, gateway=gateway), Middleware(Passing)],
    "alone below another task": lambda gateway: [Middleware(Passing)],
}


def service(shop, around="alone"):
    """A service whose every route is protected."""
    pays = require_agent("payments:send", **SELECTORS, gateway=shop.gateway)
    ran = shop.ran.append

    @pays
    async def pay(request):
        ran(caller().agent_id)
        return JSONResponse({"paid": (await request.json())["amount"]})

    @pays
    def plain(request):
        ran(caller().agent_id)
        return JSONResponse({"paid": True})

    class Desk(HTTPEndpoint):
        @pays
        async def post(self, request):
            ran((await request.body())[:1])
            return Response(b"desk")

    @pays
    async def streamed(request):
        async def parts():
            ran(caller().agent_id)
            yield b"a"
            yield b"b"

        later = BackgroundTask(lambda: ran(f"later {caller().agent_id == shop.agent.agent_id}"))
        return StreamingResponse(parts(), background=later)

    @require_agent("reports:read", resource=lambda asked: asked.path_params["name"], gateway=shop.gateway)
    async def report(request):
        ran(request.path_params["name"])
        return Response(b"report")

    @pays
    async def form(request):
        ran(dict(await request.form()))
        return Response()

    async def inner(scope, receive, send):
        ran(scope["path"])
        await Response(b"inner")(scope, receive, send)

    guarded = RequireAgent(inner, shop.gateway, "payments:send", **SELECTORS)
    routes = [
        Route("/pay", pay, methods=["POST"]),
        Route("/plain", plain, methods=["POST"]),
        Route("/desk", Desk),
        Route("/streamed/", streamed, methods=["POST"]),
        Route("/reports/{name}", report),
        Route("/form", form, methods=["POST"]),
        Mount("/api", routes=[Route("/pay", pay, methods=["POST"]), Mount("/inner", app=guarded)]),
    ]
    return Starlette(routes=routes, middleware=AROUND[around](shop.gateway))


@pytest.mark.parametrize("around", [kind for kind in AROUND if "task" not in kind])
@pytest.mark.parametrize("case", refusals.BY_HEAD)
def test_of_whoever_proves_nothing_no_body_is_read(shop, case, around):
    case.meets(shop, lambda request: asgi(service(shop, around), request, unread=True))


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("case", refusals.CASES)
def test_what_is_not_proved_or_not_allowed_does_not_reach_the_endpoint(shop, around, case):
    app = service(shop, around)
    case.meets(shop, lambda request: asgi(app, request))


@pytest.mark.parametrize("around", AROUND)
def test_an_agent_that_proves_itself_is_let_in_by_every_door(shop, around):
    agent = shop.agent.agent_id
    with TestClient(service(shop, around), base_url=f"http://{HOST}") as client:
        client.auth = AgentAuth(shop.agent)
        assert client.post("/pay", json=PAYMENT).json() == {"paid": "12.50"}
        assert client.post("/plain", json=PAYMENT).json() == {"paid": True}
        assert client.post("/desk", json=PAYMENT).content == b"desk"
        assert client.post("/streamed", json=PAYMENT).content == b"ab"
        assert client.get("/reports/%C3%A9?x").content == b"report"
        assert client.head("/reports/x").status_code == 200
        assert client.post("/api/pay", json=PAYMENT).json() == {"paid": "12.50"}
        assert client.post("/api/inner/x%20y", json=PAYMENT).content == b"inner"
    seen = [agent, agent, b"{", agent, "later True", "é", "x", agent, "/api/inner/x y"]
    assert shop.ran == seen


DOORS = ["/pay", "/plain", "/desk", "/streamed/", "/streamed", "/form", "/api/pay", "/api/inner/x"]


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("path", DOORS)
def test_no_door_leads_past_the_gateway(shop, around, path):
    over, ways = {**PAYMENT, "amount": "100.01"}, ("POST", "GET", "HEAD", "PUT", "OPTIONS", "TRACE", "post")
    with TestClient(service(shop, around), base_url=f"http://{HOST}") as client:
        for method in ways:
            answer = client.request(method, path, json=over, auth=AgentAuth(shop.agent))
            assert answer.status_code in (403, 405), (method, answer.text)
            answer = client.request(method, path, json=PAYMENT)
            assert answer.status_code in (401, 405), (method, answer.text)
    assert shop.ran == []


def test_a_form_beside_what_was_proved_is_not_what_is_judged(shop):
    """The content type is signed by nobody: what a handler would read as a form is not read as JSON."""
    both = b'{"amount":"1.00","iban":"acme","x":"&amount=99.00&iban=initech&"}'
    form = "application/x-www-form-urlencoded"
    assert asgi(service(shop), signed(shop, both, path="/form", kind=form))[0] == 403
    twice = signed(shop, both, path="/form").also(("content-type", form))
    assert asgi(service(shop), twice)[0] == 403
    assert shop.ran == []


def test_what_is_no_endpoint_of_starlette_is_refused_at_once(shop):
    protect = require_agent("payments:send", gateway=shop.gateway)
    for wrong in (lambda order: None, lambda request, order: None, lambda: None):
        with pytest.raises(TypeError, match="no endpoint of Starlette"):
            protect(wrong)


def test_a_body_that_was_read_before_lets_nobody_in(shop):
    class Reading(BaseHTTPMiddleware):
        async def dispatch(self, request, call_next):
            await request.body()
            return await call_next(request)

    app = service(shop)
    app.add_middleware(Reading)
    # Starlette hands such a body on as it was, so the proof holds.
    assert asgi(app, signed(shop))[0] == 200

    @require_agent("payments:send", **SELECTORS, gateway=shop.gateway)
    async def pay(request):
        shop.ran.append("ran")

    async def reads_itself(request):
        await request.body()
        return await pay(request)

    app = Starlette(routes=[Route("/pay", reads_itself, methods=["POST"])])
    del shop.ran[:]
    with pytest.raises(RuntimeError, match="read the body before"):
        asgi(app, signed(shop))
    assert shop.ran == []


def test_two_gateways_let_nobody_in(shop):
    other = Gateway(shop.own, names=[HOST])
    app = Starlette(routes=service(shop).routes, middleware=[Middleware(AgentMiddleware, gateway=other)])
    with pytest.raises(RuntimeError, match="two gateways"):
        asgi(app, signed(shop))
    assert shop.ran == []


@pytest.mark.parametrize("around", AROUND)
def test_the_outcome_of_the_endpoint_is_recorded(kept, around):
    def ending(make):
        @require_agent("payments:send", **SELECTORS, gateway=kept.gateway)
        async def end(request):
            return make()

        return end

    def raises(error):
        raise error

    async def torn():
        yield b"a"
        raise ValueError("the rest is lost")

    ends = {
        "returned": lambda: Response(),
        "raised": lambda: Response(status_code=500),
        "raised ": lambda: raises(ValueError()),
        "not_executed": lambda: raises(NotExecuted()),
        "raised  ": lambda: StreamingResponse(torn()),
        "returned ": lambda: StreamingResponse(iter([b"a"])),
    }
    routes = [
        Route(f"/{number}", ending(make), methods=["POST"]) for number, make in enumerate(ends.values())
    ]
    app = Starlette(routes=routes, middleware=AROUND[around](kept.gateway))
    client = TestClient(app, base_url=f"http://{HOST}", raise_server_exceptions=False)
    for number in range(len(ends)):
        client.post(f"/{number}", json=PAYMENT, auth=AgentAuth(kept.agent))
    assert kept.outcomes(len(ends)) == [name.strip() for name in ends]


def test_an_answer_below_500_is_one_that_was_returned(kept):
    async def declines(request):
        raise HTTPException(409)

    routes = [Route("/", declines, methods=["POST"])]
    demand = Middleware(RequireAgent, kept.gateway, "payments:send", **SELECTORS)
    client = TestClient(Starlette(routes=routes, middleware=[demand]), base_url=f"http://{HOST}")
    assert client.post("/", json=PAYMENT, auth=AgentAuth(kept.agent)).status_code == 409
    assert kept.outcomes() == ["returned"]


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
@pytest.mark.parametrize("outer", [None, "reports:read"])
@pytest.mark.parametrize("inner", ["endpoint", "application"])
def test_what_changes_between_two_doors_is_not_what_was_proved(shop, inner, outer, change):
    def pay(request):
        shop.ran.append(1)
        return Response(b"paid")

    if inner == "endpoint":
        pay = require_agent("payments:send", **SELECTORS, gateway=shop.gateway)(pay)
    app = Starlette(routes=[Route(path, pay, methods=["POST", "DELETE"]) for path in ("/pay", "/free")])
    if inner == "application":
        app = RequireAgent(app, shop.gateway, "payments:send", **SELECTORS)
    app = Changing(app, change)
    app = RequireAgent(app, shop.gateway, outer) if outer else AgentMiddleware(app, shop.gateway)
    status, _, body = asgi(app, signed(shop))
    assert (status, json.loads(body)["code"], shop.ran) == (500, "gateway.misconfigured", [])


def test_what_is_added_to_an_answer_later_is_sent(shop):
    @require_agent("payments:send", **SELECTORS, gateway=shop.gateway)
    async def pay(request):
        return Response(b"paid")

    async def outer(request):
        response = await pay(request)
        response.headers["x-later"] = "1"
        response.set_cookie("later", "1")
        response.status_code = 201
        response.background = BackgroundTask(shop.ran.append, "later")
        return response

    status, fields, body = asgi(Starlette(routes=[Route("/pay", outer, methods=["POST"])]), signed(shop))
    assert (status, fields["x-later"], "later=1" in fields["set-cookie"], body) == (201, "1", True, b"paid")
    assert shop.ran == ["later"]


@pytest.mark.parametrize("around", ["alone", "behind a middleware"])
def test_a_file_that_the_server_sends_was_returned(kept, tmp_path, around):
    (tmp_path / "file").write_bytes(b"file")

    @require_agent("payments:send", **SELECTORS, gateway=kept.gateway)
    async def pay(request):
        return FileResponse(tmp_path / "file")

    app = Starlette(routes=[Route("/pay", pay, methods=["POST"])], middleware=AROUND[around](kept.gateway))
    assert asgi(app, signed(kept), extensions={"http.response.pathsend": {}})[0] == 200
    assert kept.outcomes() == ["returned"]


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("show", queries.EVERY)
def test_a_query_is_read_as_it_was_judged_or_not_at_all(shop, show, around):
    @require_agent("reports:read", **queries.SELECTORS, gateway=shop.gateway)
    async def transfer(request):
        shop.ran.append(request.query_params["to"])
        return Response(b"done")

    app = Starlette(routes=[Route("/transfer", transfer)], middleware=AROUND[around](shop.gateway))
    show(shop, lambda sent: asgi(app, sent))
