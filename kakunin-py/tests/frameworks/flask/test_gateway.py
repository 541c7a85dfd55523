"""Flask views and WSGI applications that demand an agent."""

from __future__ import annotations

import contextlib
import io
import json

import flask
import kakunin
import pytest
import queries
import refusals
from asking import HOST, PAYMENT
from flask import Flask, Response, request
from kakunin import verify_agent_scope
from kakunin.gateway import Gateway, caller
from kakunin.gateway.flask import require_agent
from kakunin.gateway.wsgi import RequireAgent
from refusals import signed, wsgi
from werkzeug.middleware.dispatcher import DispatcherMiddleware

SELECTORS = {"amount": "amount", "currency": "EUR", "counterparty": "iban"}


def service(shop):
    """A service whose every view is protected."""
    app = Flask(__name__)
    pays = require_agent("payments:send", **SELECTORS, gateway=shop.gateway)
    ran = shop.ran.append

    @app.post("/pay")
    @pays
    def pay():
        ran(caller().agent_id)
        return {"paid": request.get_json()["amount"]}

    @app.post("/slash/")
    @pays
    def slash():
        ran(request.get_data()[:1])
        return {"paid": True}, 201

    @app.post("/stream")
    @pays
    def stream():
        def parts():
            ran(caller().agent_id)
            yield b"a"
            yield b"b"

        return Response(parts())

    @app.route("/reports/<name>", methods=["GET", "HEAD"])
    @require_agent("reports:read", resource=lambda asked: asked.path_params["name"], gateway=shop.gateway)
    def report(name):
        ran(name)
        return {"name": name}

    @app.post("/form")
    @pays
    def form():
        ran(dict(request.form))
        return {}

    @app.get("/open")
    def public():
        return {"open": True}

    return app


def whole(shop):
    """A WSGI application that is protected as a whole."""

    def app(environ, start_response):
        shop.ran.append((caller().agent_id, environ["wsgi.input"].read()))
        start_response("200 OK", [])
        return [b"paid"]

    return RequireAgent(app, shop.gateway, "payments:send", **SELECTORS)


APPLICATIONS = {"Flask": lambda shop: service(shop).wsgi_app, "WSGI": whole}


@pytest.mark.parametrize("kind", APPLICATIONS)
@pytest.mark.parametrize("case", refusals.CASES)
def test_what_is_not_proved_or_not_allowed_does_not_reach_the_view(shop, kind, case):
    app = APPLICATIONS[kind](shop)
    case.meets(shop, lambda request: wsgi(app, request))


@pytest.mark.parametrize("kind", APPLICATIONS)
@pytest.mark.parametrize("case", refusals.BY_HEAD)
def test_of_whoever_proves_nothing_no_body_is_read(shop, kind, case):
    unread = {"wsgi.input": refusals.Unread()}
    case.meets(shop, lambda request: wsgi(APPLICATIONS[kind](shop), request, **unread))


def test_an_agent_that_proves_itself_is_let_in_by_every_door(shop):
    app, agent = service(shop), shop.agent.agent_id
    answers = [
        wsgi(app, signed(shop)),
        wsgi(app, signed(shop, path="/slash/")),
        wsgi(app, signed(shop, path="/stream")),
        wsgi(app, signed(shop, b"", method="GET", path="/reports/%C3%A9?x=%20")),
        wsgi(app, signed(shop, b"", method="HEAD", path="/reports/x")),
        wsgi(app, refusals.Request(method="GET", path="/open", fields=[("host", "any")])),
    ]
    assert [answer[0] for answer in answers] == [200, 201, 200, 200, 200, 200], answers
    assert json.loads(answers[0][2]) == {"paid": "12.50"}
    assert answers[2][2] == b"ab"
    assert shop.ran == [agent, b"{", agent, "é", "x"]
    # The thread serves somebody else next.
    with pytest.raises(kakunin.KakuninError):
        caller()
    assert wsgi(whole(shop), signed(shop))[0] == 200


DOORS = ["/pay", "/slash/", "/slash", "/stream", "/form"]


@pytest.mark.parametrize("path", DOORS)
def test_no_door_leads_past_the_gateway(shop, path):
    """Other methods, with and without the slash, without proof and with one for too much."""
    app, over = service(shop), {**PAYMENT, "amount": "100.01"}
    for method in ("POST", "GET", "HEAD", "PUT", "OPTIONS", "TRACE", "post"):
        # Flask answers OPTIONS itself.
        elsewhere = {308, 404, 405, 200} if method == "OPTIONS" else {308, 404, 405}
        assert wsgi(app, signed(shop, over, method=method, path=path))[0] in {403, *elsewhere}
        bare = signed(shop, method=method, path=path).without("signature", "signature-input")
        assert wsgi(app, bare)[0] in {401, *elsewhere}
        overridden = signed(shop, over, method=method, path=path).also(("x-http-method-override", "POST"))
        assert wsgi(app, overridden)[0] in {403, *elsewhere}
    assert shop.ran == []


def test_a_proof_counts_once(shop):
    request = signed(shop)
    assert wsgi(whole(shop), request)[0] == 200
    status, _, body = wsgi(service(shop), request)
    assert (status, json.loads(body)["code"]) == (401, "possession.replayed")


LONG = b'{"amount": "1.00", "iban": "acme", "note": "' + b"x" * 70_000 + b'"}'


class Dribble(io.RawIOBase):
    """An input that gives a few octets at a time, and nothing behind the end of the body."""

    def __init__(self, body):
        self._body, self._at = body, 0

    def readable(self):
        return True

    def read(self, size=-1):
        assert size >= 0, "nobody may read to the end of a connection"
        part = self._body[self._at : self._at + min(size, 1000)]
        self._at += len(part)
        return part


@pytest.mark.parametrize("kind", APPLICATIONS)
@pytest.mark.parametrize(
    ("framing", "found"),
    [
        ({}, None),
        # Chunks that the server ends, and ones that it does not.
        ({"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked"}, None),
        ({"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": False},
         "possession.malformed"),
        # A length that is missing, wrong or no number.
        ({"CONTENT_LENGTH": ""}, None),
        ({"CONTENT_LENGTH": "", "wsgi.input_terminated": False}, "possession.content"),
        ({"CONTENT_LENGTH": "5"}, "possession.malformed"),
        ({"CONTENT_LENGTH": "5", "wsgi.input_terminated": False}, "possession.content"),
        ({"CONTENT_LENGTH": "70100", "wsgi.input_terminated": False}, "possession.malformed"),
        ({"CONTENT_LENGTH": "-1", "wsgi.input_terminated": False}, "possession.malformed"),
        ({"CONTENT_LENGTH": "\xb2", "wsgi.input_terminated": False}, "possession.malformed"),
        ({"CONTENT_LENGTH": "+5", "wsgi.input_terminated": False}, "possession.malformed"),
        ({"CONTENT_LENGTH": "9" * 400, "wsgi.input_terminated": False}, "request.too_large"),
    ],
)  # fmt: skip
def test_the_body_is_what_was_proved_however_it_is_framed(shop, kind, framing, found):
    request, app = signed(shop, LONG), APPLICATIONS[kind](shop)
    if found is None and framing.get("CONTENT_LENGTH") == "":
        request = request.without("content-length")
    status, _, body = wsgi(app, request, **{"wsgi.input": Dribble(LONG), **framing})
    if found is None:
        assert status == 200, body
        assert kind == "Flask" or shop.ran[0][1] == LONG
    else:
        assert json.loads(body)["code"] == found
        assert shop.ran == []


@pytest.mark.parametrize("kind", APPLICATIONS)
def test_a_body_over_the_limit_is_not_read_to_its_end(shop, kind):
    class Endless:
        read_so_far = 0

        def read(self, size):
            self.read_so_far += size
            return b"x" * size

    endless = Endless()
    request = signed(shop, b"x").without("content-length")
    status, _, body = wsgi(APPLICATIONS[kind](shop), request, **{"wsgi.input": endless})
    assert (status, json.loads(body)["code"]) == (413, "request.too_large")
    assert endless.read_so_far == (1 << 20) + 1
    assert shop.ran == []


@pytest.mark.parametrize("kind", APPLICATIONS)
@pytest.mark.parametrize(
    ("path", "told", "found"),
    [
        ("/pay", {}, None),
        ("/pay", {"RAW_URI": None, "REQUEST_URI": "/pay"}, None),
        # The path was rewritten between the server and the gateway, or the query was.
        ("/free", {"PATH_INFO": "/pay"}, "possession.malformed"),
        ("/pay?to=acme", {"QUERY_STRING": "to=me"}, "possession.malformed"),
        ("/pay", {"QUERY_STRING": "to=me"}, "possession.malformed"),
        # A server that does not say how the path was written.
        ("/pay", {"RAW_URI": None}, None),
        ("/pay?x=%20", {"RAW_URI": None}, None),
        ("/%70ay", {"RAW_URI": None}, "possession.signature"),
        ("/p%20y", {"RAW_URI": None}, "possession.malformed"),
        ("/%C3%A9", {"RAW_URI": None}, "possession.malformed"),
        # A target that is no path.
        ("/pay", {"RAW_URI": "http://shop.example/pay"}, "possession.malformed"),
        ("/pay", {"RAW_URI": "*"}, "possession.malformed"),
    ],
)
def test_the_path_that_is_proved_is_the_one_that_was_sent(shop, kind, path, told, found):
    app = Flask(__name__)

    @app.post("/<path:where>")
    @require_agent("payments:send", **SELECTORS, gateway=shop.gateway)
    def pay(where):
        shop.ran.append(where)
        return {}

    application = app.wsgi_app if kind == "Flask" else whole(shop)
    status, _, body = wsgi(application, signed(shop, path=path), **told)
    if found is None:
        assert status == 200, body
    else:
        assert (status, json.loads(body)["code"]) == (401, found)
        assert shop.ran == []


def test_a_mounted_application_is_addressed_by_its_whole_path(shop):
    app = DispatcherMiddleware(Flask("outer"), {"/api": service(shop)})
    assert wsgi(app, signed(shop, path="/api/pay"))[0] == 200
    status, _, body = wsgi(app, signed(shop, path="/pay"))
    assert status == 404
    inner = signed(shop, path="/pay")
    moved = refusals.Request("POST", "/api/pay", inner.fields, inner.body)
    status, _, body = wsgi(app, moved)
    assert (status, json.loads(body)["code"]) == (401, "possession.signature")


def test_hooks_that_read_the_body_leave_what_was_proved(shop):
    app = service(shop)
    app.before_request(lambda: request.get_data() and None)
    assert wsgi(app, signed(shop))[0] == 200
    app = service(shop)
    app.before_request(lambda: request.form and None)
    status, _, body = wsgi(app, signed(shop, b"amount=1", kind="application/x-www-form-urlencoded"))
    assert (status, json.loads(body)["code"]) == (500, "gateway.misconfigured")
    assert len(shop.ran) == 1


def test_doors_behind_each_other_look_at_a_proof_once(shop):
    app = service(shop)
    app.wsgi_app = RequireAgent(app.wsgi_app, shop.gateway, "reports:read")
    assert wsgi(app, signed(shop))[0] == 200
    assert wsgi(app, signed(shop, {**PAYMENT, "amount": "100.01"}))[0] == 403
    assert wsgi(app, signed(shop, path="/open", method="GET").without("signature"))[0] == 401
    assert len(shop.ran) == 1
    other = Gateway(shop.own, names=[HOST])
    shop.clock.advance(11)
    app.wsgi_app = RequireAgent(app.wsgi_app, other, "reports:read")
    with pytest.raises(RuntimeError, match="two gateways"):
        wsgi(app.wsgi_app, signed(shop))


def asked(app, request, *, stop_after=None):
    """The parts that a server takes of an answer; it closes it then."""
    parts = app(refusals.environ(request), lambda *_: None)
    try:
        for number, _ in enumerate(parts):
            if number == stop_after:
                break
    finally:
        getattr(parts, "close", lambda: None)()


@pytest.mark.parametrize("kind", ["Flask", "WSGI"])
def test_the_outcome_of_the_view_is_recorded(kept, kind):
    def torn():
        yield b"a"
        raise ValueError("the rest is lost")

    def raises(error):
        raise error

    ends = {
        "returned": lambda: Response(b"paid"),
        "raised": lambda: Response(status=503),
        "raised ": lambda: raises(ValueError()),
        "not_executed": lambda: raises(kakunin.NotExecuted()),
        "raised  ": lambda: Response(torn()),
        "returned ": lambda: Response(iter([b"a", b"b"])),
        "cancelled": lambda: Response(iter([b"a", b"b", b"c"])),
    }
    app = Flask(__name__)
    app.config["PROPAGATE_EXCEPTIONS"] = True
    for number, make in enumerate(ends.values()):
        view = make
        if kind == "Flask":
            view = require_agent("payments:send", **SELECTORS, gateway=kept.gateway)(make)
        app.add_url_rule(f"/{number}", f"end-{number}", view, methods=["POST"])
    served = app.wsgi_app
    if kind == "WSGI":
        served = RequireAgent(app.wsgi_app, kept.gateway, "payments:send", **SELECTORS)
    for number, name in enumerate(ends):
        with contextlib.suppress(ValueError, kakunin.NotExecuted):
            asked(served, signed(kept, path=f"/{number}"), stop_after=1 if name == "cancelled" else None)
    assert kept.outcomes(len(ends)) == [name.strip() for name in ends]


def test_the_chain_goes_on_inside_the_view(kept):
    @verify_agent_scope("ledger:write", agent=kept.own)
    def note():
        return flask.jsonify(kakunin.chain_headers())

    app = Flask(__name__)

    @app.post("/pay")
    @require_agent("payments:send", **SELECTORS, gateway=kept.gateway)
    def pay():
        return note()

    @verify_agent_scope(
        "payments:send", amount="amount", currency="EUR", counterparty="iban", agent=kept.agent
    )
    def send(amount, iban):
        assert wsgi(app, signed(kept, {"amount": amount, "iban": iban}))[0] == 200

    with kakunin.chain():
        send("1.00", "acme")
    kept.outcomes(2)
    (asked,) = kept.asked_by.decisions()
    entered, noted = kept.journal.decisions()
    assert entered["par"] == [asked["hash"]]
    assert noted["par"] == [entered["hash"]]
    assert entered["chn"] == noted["chn"] == asked["chn"]
    assert kakunin.chain_headers() == {}


CHANGES = {
    "method": {"REQUEST_METHOD": "DELETE"},
    "path": {"PATH_INFO": "/free", "RAW_URI": "/free"},
    "decoded path": {"PATH_INFO": "/free"},
    "query": {"QUERY_STRING": "to=me", "RAW_URI": "/pay?to=me"},
    "body": {"CONTENT_LENGTH": "35"},
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("inner", ["Flask", "WSGI"])
def test_what_changes_between_two_doors_is_not_what_was_proved(shop, inner, change):
    flasks = Flask(__name__)
    protect = require_agent("payments:send", **SELECTORS, gateway=shop.gateway)
    run = protect(lambda: shop.ran.append(1) or "ran")
    for path in ("/pay", "/free"):
        flasks.add_url_rule(path, path, run, methods=["POST", "DELETE"])
    app = flasks.wsgi_app if inner == "Flask" else whole(shop)

    def rewriting(environ, start_response):
        environ.update(CHANGES[change])
        if change == "body":
            environ["wsgi.input"] = io.BytesIO(b'{"amount": "99.00", "iban": "acme"}')
        return app(environ, start_response)

    status, _, body = wsgi(RequireAgent(rewriting, shop.gateway, "reports:read"), signed(shop))
    assert (status, json.loads(body)["code"], shop.ran) == (500, "gateway.misconfigured", [])


def test_a_view_is_not_run_as_a_hook_says(shop):
    app, change = Flask(__name__), {}
    protect = require_agent("payments:send", **SELECTORS, gateway=shop.gateway)
    app.add_url_rule("/pay", "pay", protect(lambda: shop.ran.append(1) or "ran"), methods=["POST", "DELETE"])
    app.before_request(lambda: vars(request._get_current_object()).update(change))
    assert (wsgi(app, signed(shop))[0], shop.ran) == (200, [1])
    for change in ({"method": "DELETE"}, {"path": "/free"}, {"query_string": b"to=me"}):  # noqa: B007
        status, _, body = wsgi(app, signed(shop))
        assert (status, json.loads(body)["code"], shop.ran) == (500, "gateway.misconfigured", [1])


def test_nothing_is_left_in_a_thread_by_a_view_that_calls_several(kept):
    app = Flask(__name__)
    protect = require_agent("payments:send", **SELECTORS, gateway=kept.gateway)

    @app.post("/both")
    def both():
        # Each is an action of its own, with an end of its own.
        protect(lambda: "one")()
        return protect(lambda: Response(iter([b"two"])))()

    assert wsgi(app, signed(kept, path="/both"))[2] == b"two"
    assert kept.outcomes(2) == ["returned", "returned"]
    assert kakunin.chain_headers() == {}
    with pytest.raises(kakunin.KakuninError):
        caller()


def test_a_stream_that_nobody_asked_to_see_was_returned(kept):
    app = Flask(__name__)
    protect = require_agent("payments:send", **SELECTORS, gateway=kept.gateway)
    streams = protect(lambda: Response(iter([b"a", b"b"])))
    app.add_url_rule("/stream", "stream", streams, methods=["HEAD"])
    assert wsgi(app, signed(kept, method="HEAD", path="/stream"))[0] == 200
    assert kept.outcomes() == ["returned"]


@pytest.mark.parametrize("show", queries.EVERY)
def test_a_query_is_read_as_it_was_judged_or_not_at_all(shop, show):
    app = Flask(__name__)

    @app.get("/transfer")
    @require_agent("reports:read", **queries.SELECTORS, gateway=shop.gateway)
    def transfer():
        shop.ran.append(request.args["to"])
        return "done"

    show(shop, lambda sent: wsgi(app, sent))
