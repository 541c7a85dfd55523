"""Django views that demand an agent, under WSGI and under ASGI."""

from __future__ import annotations

import contextlib
import json

import django
import kakunin
import pytest
import queries
import refusals
from asking import PAYMENT, code
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import include, path
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt
from kakunin import verify_agent_scope
from kakunin.gateway import caller
from kakunin.gateway.asgi import AgentMiddleware
from kakunin.gateway.asgi import RequireAgent as AsgiRequireAgent
from kakunin.gateway.django import require_agent
from kakunin.gateway.wsgi import RequireAgent
from refusals import asgi, signed, wsgi

SELECTORS = {"amount": "amount", "currency": "EUR", "counterparty": "iban"}

urlpatterns = []

settings.configure(
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["*"],
    SECRET_KEY="for tests",
    DEBUG=False,
    DEBUG_PROPAGATE_EXCEPTIONS=True,
    MIDDLEWARE=["django.middleware.csrf.CsrfViewMiddleware"],
)
django.setup()


def routed(*routes):
    """Makes these the routes of the service."""
    from django.urls import clear_url_caches

    urlpatterns[:] = routes
    clear_url_caches()


def serve(shop):
    """A service whose every view is protected."""
    pays = require_agent("payments:send", **SELECTORS, gateway=shop.gateway)
    reads = require_agent(
        "reports:read", resource=lambda asked: asked.path_params["name"], gateway=shop.gateway
    )
    ran = shop.ran.append

    @csrf_exempt
    @pays
    def pay(request):
        ran(caller().agent_id)
        return JsonResponse({"paid": json.loads(request.body)["amount"]})

    @csrf_exempt
    @pays
    async def later(request):
        ran(caller().agent_id)
        return JsonResponse({"paid": json.loads(request.body)["amount"]})

    @csrf_exempt
    @pays
    def stream(request):
        def parts():
            ran(caller().agent_id)
            yield b"a"
            yield b"b"

        return StreamingHttpResponse(parts())

    @method_decorator(csrf_exempt, name="dispatch")
    class Desk(View):
        @method_decorator(pays)
        def post(self, request):
            ran("desk")
            return HttpResponse(b"desk")

    @reads
    def report(request, name):
        ran(name)
        return HttpResponse(b"report")

    routed(
        path("pay", pay),
        path("later", later),
        path("stream/", stream),
        path("desk", Desk.as_view()),
        path("reports/<str:name>", report),
        path("inner/", include(([path("pay", pay)], "inner"))),
    )


def by_wsgi(shop, request, **more):
    return wsgi(WSGIHandler(), request, **more)


def by_asgi(shop, request):
    return asgi(ASGIHandler(), request)


def behind(shop, request):
    """Behind the middleware that FastAPI has."""
    return asgi(AgentMiddleware(ASGIHandler(), shop.gateway), request)


SERVERS = {"WSGI": by_wsgi, "ASGI": by_asgi, "ASGI behind a middleware": behind}


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("case", refusals.CASES)
def test_what_is_not_proved_or_not_allowed_does_not_reach_the_view(shop, server, case):
    serve(shop)
    case.meets(shop, lambda request: SERVERS[server](shop, request))


@pytest.mark.parametrize("case", refusals.BY_HEAD)
def test_of_whoever_proves_nothing_no_body_is_read(shop, case):
    # Under ASGI Django itself reads the body before it looks for a view.
    serve(shop)
    case.meets(shop, lambda request: by_wsgi(shop, request, **{"wsgi.input": refusals.Unread()}))


@pytest.mark.parametrize("server", SERVERS)
def test_an_agent_that_proves_itself_is_let_in_by_every_door(shop, server):
    serve(shop)

    def ask(at, method="POST"):
        request = signed(shop, PAYMENT if method == "POST" else b"", method=method, path=at)
        status, _, body = SERVERS[server](shop, request)
        assert status == 200, body
        return body

    agent = shop.agent.agent_id
    assert json.loads(ask("/pay")) == {"paid": "12.50"}
    assert json.loads(ask("/later")) == {"paid": "12.50"}
    assert ask("/stream/") == b"ab"
    assert ask("/desk") == b"desk"
    assert ask("/reports/%C3%A9?x=%20", "GET") == b"report"
    ask("/reports/x", "HEAD")
    assert json.loads(ask("/inner/pay")) == {"paid": "12.50"}
    assert shop.ran == [agent, agent, agent, "desk", "é", "x", agent]
    with pytest.raises(kakunin.KakuninError):
        caller()


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("at", ["/pay", "/later", "/stream/", "/stream", "/desk", "/inner/pay"])
def test_no_door_leads_past_the_gateway(shop, server, at):
    """A view of Django takes every method: each is proved."""
    serve(shop)
    over = {**PAYMENT, "amount": "100.01"}
    for method in ("POST", "GET", "HEAD", "PUT", "OPTIONS", "TRACE", "PROPFIND"):
        own = {404, 405, 301, 200} if (at, method) == ("/desk", "OPTIONS") else {404, 405, 301, 500}
        ask = SERVERS[server]
        assert ask(shop, signed(shop, over, method=method, path=at))[0] in {403, *own}
        bare = signed(shop, method=method, path=at).without("signature", "signature-input")
        assert ask(shop, bare)[0] in {401, *own}
    assert shop.ran == []


@pytest.mark.parametrize("server", SERVERS)
def test_a_body_over_the_limit_is_refused(shop, server):
    serve(shop)
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = None
    for most, status in ((None, 413), (2_500, 413)):
        settings.DATA_UPLOAD_MAX_MEMORY_SIZE = most
        for request in (
            signed(shop, b"x" * ((1 << 20) + 1)),
            signed(shop, b"x" * ((1 << 20) + 1)).without("content-length"),
        ):
            answer = SERVERS[server](shop, request)
            # Without a length Django under WSGI reads nothing, so nothing is proved.
            expected = {status} if "content-length" in dict(request.fields) else {status, 401}
            assert answer[0] in expected, answer
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 2_621_440
    assert shop.ran == []


def test_the_csrf_of_cookies_stays_where_nobody_takes_it_away(shop):
    @require_agent("payments:send", **SELECTORS, gateway=shop.gateway)
    def pay(request):
        shop.ran.append(1)

    routed(path("pay", pay))
    status, _, _ = by_wsgi(shop, signed(shop))
    assert (status, shop.ran) == (403, [])


@pytest.mark.parametrize("server", ["WSGI", "ASGI"])
def test_what_middleware_reads_before_leaves_what_was_proved(shop, server):
    serve(shop)

    def forms(get_response):
        def middle(request):
            assert request.POST is not None
            return get_response(request)

        return middle

    globals()["forms"] = forms
    settings.MIDDLEWARE.append(f"{__name__}.forms")
    try:
        assert SERVERS[server](shop, signed(shop))[0] == 200
        kind = "multipart/form-data; boundary=x"
        body = b'--x\r\ncontent-disposition: form-data; name="amount"\r\n\r\n1\r\n--x--\r\n'
        status, _, answer = SERVERS[server](shop, signed(shop, body, kind=kind))
        assert (status, json.loads(answer)["code"]) == (500, "gateway.misconfigured")
    finally:
        settings.MIDDLEWARE.pop()
    assert len(shop.ran) == 1


def test_a_door_in_front_is_the_same_door(shop):
    serve(shop)
    app = RequireAgent(WSGIHandler(), shop.gateway, "reports:read")
    assert wsgi(app, signed(shop))[0] == 200
    assert wsgi(app, signed(shop, {**PAYMENT, "amount": "100.01"}))[0] == 403
    assert len(shop.ran) == 1


@pytest.mark.parametrize("kind", ["plain", "asynchronous"])
@pytest.mark.parametrize("server", SERVERS)
def test_the_outcome_of_the_view_is_recorded(kept, server, kind):
    def raises(error):
        raise error

    def torn():
        yield b"a"
        raise ValueError("the rest is lost")

    async def torn_later():
        yield b"a"
        raise ValueError("the rest is lost")

    async def whole():
        yield b"a"

    ends = {
        "returned": lambda: HttpResponse(b"paid"),
        "raised": lambda: HttpResponse(status=503),
        "raised ": lambda: raises(ValueError()),
        "not_executed": lambda: raises(kakunin.NotExecuted()),
        "raised  ": lambda: StreamingHttpResponse(torn_later() if server != "WSGI" else torn()),
        "returned ": lambda: StreamingHttpResponse(whole() if server != "WSGI" else iter([b"a"])),
    }

    def view(make):
        if kind == "plain":
            return lambda request: make()

        async def later(request):
            return make()

        return later

    protect = require_agent("payments:send", **SELECTORS, gateway=kept.gateway)
    views = [csrf_exempt(protect(view(make))) for make in ends.values()]
    routed(*(path(str(number), view) for number, view in enumerate(views)))
    for number in range(len(ends)):
        with contextlib.suppress(ValueError, kakunin.NotExecuted):
            SERVERS[server](kept, signed(kept, path=f"/{number}"))
    assert kept.outcomes(len(ends)) == [name.strip() for name in ends]
    # The thread serves somebody else next.
    assert kakunin.chain_headers() == {}


@pytest.mark.parametrize("server", SERVERS)
def test_the_chain_goes_on_inside_the_view(kept, server):
    @verify_agent_scope("ledger:write", agent=kept.own)
    def note():
        return HttpResponse(b"noted")

    protect = require_agent("payments:send", **SELECTORS, gateway=kept.gateway)
    routed(path("pay", csrf_exempt(protect(lambda request: note()))))

    @verify_agent_scope(
        "payments:send", amount="amount", currency="EUR", counterparty="iban", agent=kept.agent
    )
    def send(amount, iban):
        assert SERVERS[server](kept, signed(kept, {"amount": amount, "iban": iban}))[0] == 200

    with kakunin.chain():
        send("1.00", "acme")
    kept.outcomes(2)
    (asked,) = kept.asked_by.decisions()
    entered, noted = kept.journal.decisions()
    assert (entered["par"], noted["par"]) == ([asked["hash"]], [entered["hash"]])
    assert entered["chn"] == noted["chn"] == asked["chn"]


def by_middleware(change):
    """What Django answers behind a middleware that does this to each request."""

    def changes(get_response):
        def middle(request):
            change(request)
            return get_response(request)

        return middle

    globals()["changes"] = changes
    settings.MIDDLEWARE.insert(0, f"{__name__}.changes")


@pytest.mark.parametrize("server", SERVERS)
def test_a_view_is_not_run_as_a_middleware_says(shop, server):
    serve(shop)
    changes = [{"method": "DELETE"}, {"path_info": "/inner/pay"}, {"path": "/free"}]
    change = {}
    by_middleware(lambda request: vars(request).update(change))
    try:
        for path in ("/pay", "/later"):
            change = {}
            assert SERVERS[server](shop, signed(shop, path=path))[0] == 200
            for change in changes:  # noqa: B007
                status, _, body = SERVERS[server](shop, signed(shop, path=path))
                assert (status, json.loads(body)["code"]) == (500, "gateway.misconfigured")
    finally:
        settings.MIDDLEWARE.pop(0)
    assert len(shop.ran) == 2


@pytest.mark.parametrize("server", SERVERS)
def test_nothing_is_left_in_a_thread_by_a_view_that_calls_several(kept, server):
    protect = require_agent("payments:send", **SELECTORS, gateway=kept.gateway)

    def both(request):
        # Each is an action of its own, with an end of its own.
        protect(lambda request: HttpResponse(b"one"))(request)
        return protect(lambda request: HttpResponse(b"two"))(request)

    routed(path("both", csrf_exempt(both)))
    assert SERVERS[server](kept, signed(kept, path="/both"))[2] == b"two"
    assert kept.outcomes(2) == ["returned", "returned"]
    assert kakunin.chain_headers() == {}
    with pytest.raises(kakunin.KakuninError):
        caller()


@pytest.mark.parametrize("server", SERVERS)
def test_a_view_that_is_a_class_of_coroutines_is_one(shop, server):
    class Later(View):
        async def post(self, request):
            shop.ran.append(caller().agent_id)
            return HttpResponse(b"later")

    protect = require_agent("payments:send", **SELECTORS, gateway=shop.gateway)
    routed(path("pay", csrf_exempt(protect(Later.as_view()))))
    assert SERVERS[server](shop, signed(shop))[2] == b"later"
    over = signed(shop, {**PAYMENT, "amount": "100.01"})
    assert (SERVERS[server](shop, over)[0], len(shop.ran)) == (403, 1)


def transfer(shop):
    """A service that reads its query."""

    @require_agent("reports:read", **queries.SELECTORS, gateway=shop.gateway)
    def transfer(request):
        shop.ran.append(request.GET["to"])
        return HttpResponse(b"done")

    routed(path("transfer", transfer))


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("show", queries.EVERY)
def test_a_query_is_read_as_it_was_judged_or_not_at_all(shop, show, server):
    transfer(shop)
    show(shop, lambda request: SERVERS[server](shop, request))


@pytest.mark.parametrize("server", ["wsgi", "asgi"])
def test_a_query_that_a_whole_application_may_read_otherwise_is_denied_in_front_of_it(shop, server):
    """Django decodes it by the charset of the content type, which nobody signs; the door cannot look."""

    def transfer(request):
        shop.ran.append(request.GET["to"])
        return HttpResponse(b"done")

    routed(path("transfer", transfer))
    if server == "wsgi":
        app = RequireAgent(WSGIHandler(), shop.gateway, "reports:read", **queries.SELECTORS)
        queries.denied_in_front(shop, lambda request: wsgi(app, request))
    else:
        app = AsgiRequireAgent(ASGIHandler(), shop.gateway, "reports:read", **queries.SELECTORS)
        queries.denied_in_front(shop, lambda request: asgi(app, request))


def test_a_query_that_a_middleware_sets_or_decodes_otherwise_is_not_the_one_that_was_judged(shop):
    from django.http import QueryDict

    def changed(request):
        request.GET = QueryDict("to=mallory")

    def recoded(request):
        request.encoding = "utf-7"

    for change in (changed, recoded):

        def outer(request, change=change):
            change(request)
            return inner(request)

        @require_agent("reports:read", **queries.SELECTORS, gateway=shop.gateway)
        def inner(request):
            shop.ran.append(request.GET["to"])
            return HttpResponse(b"done")

        routed(path("transfer", outer))
        sent = signed(shop, b"", method="GET", path="/transfer?to=%2BAG0-")
        assert (code(by_wsgi(shop, sent)), shop.ran) == ("request.resource_invalid", [])
