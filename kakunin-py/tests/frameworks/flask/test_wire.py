"""A protected Flask service under gunicorn, which forks, and under Werkzeug's own server."""

from __future__ import annotations

import json
import shutil
import time

import httpx
import pytest
from asking import OWN, PAYMENTS, SERVICE, Served, code, raw, spoken
from conftest import Journal
from kakunin import Agent
from kakunin.httpx import AgentAuth

VIEWS = """
from flask import Flask, request
from kakunin.gateway.flask import require_agent

app = Flask(__name__)

@app.post("/pay")
@require_agent("payments:send", amount="amount", currency="EUR", counterparty="iban", gateway=gateway)
def pay():
    ran("paid")
    return {"paid": request.get_json()["amount"], "by": os.getpid()}

@app.post("/<path:where>")
@require_agent("payments:send", amount="amount", currency="EUR", counterparty="iban", gateway=gateway)
def elsewhere(where):
    ran(where)
    return {"where": where}
"""

#: One gateway for all workers, that are forked with it: it begins as others do.
PRELOADED = """
import os
from kakunin import Agent
from kakunin.gateway import Gateway, caller

def first(mark, seconds):
    # What workers share: whoever makes the file was first.
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True

gateway = Gateway(Agent.from_dir(os.environ["OURS"]), names=["shop.example"], nonces=first)

def ran(what):
    with open("ran", "a") as file:
        file.write(f"{what} {caller().agent_id}\\n")
"""

BODY = b'{"amount": "12.50", "iban": "acme"}'
OVER = b'{"amount": "100.01", "iban": "acme"}'

COMMANDS = {
    "gunicorn": ["gunicorn", "--threads", "4", "--bind", "127.0.0.1:PORT", "app:app"],
    "werkzeug": ["flask", "--app", "app", "run", "--port", "PORT"],
}


@pytest.fixture(scope="module", params=COMMANDS)
def served(request, home, tmp_path_factory):
    _, ours = home.create(OWN)
    _, directory = home.create(PAYMENTS)
    agent = Agent.from_dir(directory)
    folder = tmp_path_factory.mktemp("served")
    served = Served(folder, SERVICE + VIEWS, COMMANDS[request.param], OURS=str(ours))
    served.agent, served.folder, served.name = agent, folder, request.param
    yield served
    served.stop()
    agent.close()


@pytest.fixture
def ran(served):
    """How many handlers ran since the test began."""
    file = served.folder / "ran"

    def lines():
        return len(file.read_text().splitlines()) if file.exists() else 0

    before = lines()
    return lambda: lines() - before


def chunked(body, *, sizes=(5, 1, 10_000)):
    """A body in chunks."""
    framed, at = b"", 0
    for size in sizes:
        part, at = body[at : at + size], at + size
        if part:
            framed += f"{len(part):x}\r\n".encode() + part + b"\r\n"
    return framed + b"0\r\n\r\n"


def test_a_request_in_one_piece_and_in_chunks(served, ran):
    agent, port = served.agent, served.port
    request = raw(agent, "POST", "/pay", BODY)
    assert json.loads(spoken(port, request)[0][2])["paid"] == "12.50"
    assert [code(answer) for answer in spoken(port, request)] == ["possession.replayed"]
    parts = raw(agent, "POST", "/pay", BODY, lines=["Transfer-Encoding: chunked"], framed=chunked(BODY))
    assert json.loads(spoken(port, parts)[0][2])["paid"] == "12.50"
    encoded = raw(agent, "POST", "/a%20b/%C3%A9?x=%20&y", BODY)
    assert json.loads(spoken(port, encoded)[0][2]) == {"where": "a b/é"}
    assert [code(answer) for answer in spoken(port, raw(agent, "POST", "/pay", OVER))] == ["scope.amount"]
    assert ran() == 3


def test_a_body_that_never_ends_is_not_waited_for(served, ran):
    framing = {"lines": ["Transfer-Encoding: chunked"], "framed": chunked(BODY)[:-5]}
    unsigned = raw(None, "POST", "/pay", BODY, **framing)
    stranger = raw(served.agent, "POST", "/pay", BODY, host="bank.example", **framing)
    half = raw(None, "POST", "/pay", BODY)[:-5]
    answers = [spoken(served.port, request)[0] for request in (unsigned, stranger, half)]
    assert [code(answer) for answer in answers] == [
        "possession.missing", "possession.authority", "possession.missing",
    ]  # fmt: skip
    assert ran() == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda r: r.replace(b"POST /pay", b"PUT /pay", 1),
        lambda r: r.replace(b"/pay", b"/pay?x", 1),
        lambda r: r.replace(b"/pay", b"/%70ay", 1),
        lambda r: r.replace(b"/pay", b"/x/../pay", 1),
        lambda r: r.replace(b"/pay", b"http://bank.example/pay", 1),
        lambda r: r.replace(b"Host: shop.example", b"Host: bank.example", 1),
        lambda r: r.replace(b"Host: shop.example", b"Host: shop.example\r\nHost: bank.example", 1),
        lambda r: r.replace(b"Content-Length: 35", b"Content-Length: 35\r\nContent-Length: 34", 1),
        lambda r: r.replace(b"Content-Length: 35", b"Content-Length: 35\r\nTransfer-Encoding: chunked", 1),
        lambda r: r.replace(b"Content-Length: 35", b"Transfer-Encoding: chunked\r\nContent-Length: 35", 1)
                   .replace(BODY, chunked(BODY)),
        lambda r: r.replace(b"Content-Length: 35", b"Content-Length: 34", 1),
        lambda r: r.replace(b"Content-Length: 35", b"Content-Length: +35", 1),
        lambda r: r.replace(b"12.50", b"99.50", 1),
        lambda r: r.replace(b"\r\nsignature: ", b"\r\nx-signature: ", 1),
        # A header with an underscore is another one, whatever CGI makes of it.
        lambda r: r.replace(b"\r\nsignature: ", b"\r\nsignature_: ", 1),
        lambda r: r.replace(b"\r\ncontent-digest: ", b"\r\ncontent_digest: ", 1),
        lambda r: r.replace(b"\r\nsignature: ", b"\r\nsignature: kakunin=:AAAA:\r\nsignature: ", 1),
    ],
)  # fmt: skip
def test_what_was_changed_on_the_wire_does_not_run(served, ran, change):
    request = raw(served.agent, "POST", "/pay", BODY)
    changed = change(request)
    assert changed != request
    answers = spoken(served.port, changed, wait=15)
    assert all(answer[0] in (308, 400, 401, 404, 405) for answer in answers), answers
    assert ran() == 0


def test_two_slashes_are_one_only_where_the_server_makes_them_one(served, ran):
    """Python's own server folds them, so what runs is what was proved."""
    answers = spoken(served.port, raw(served.agent, "POST", "/pay", BODY).replace(b"/pay", b"//pay", 1))
    assert answers[0][0] == (200 if served.name == "werkzeug" else 401), answers
    assert ran() == (1 if served.name == "werkzeug" else 0)


def test_a_body_over_the_limit_is_refused_on_the_wire(served, ran):
    big = b'{"amount": "1.00", "iban": "acme", "x": "' + b"x" * 3000 + b'"}'
    assert code(spoken(served.port, raw(served.agent, "POST", "/pay", big))[0]) == "request.too_large"
    parts = raw(served.agent, "POST", "/pay", big, lines=["Transfer-Encoding: chunked"], framed=chunked(big))
    assert code(spoken(served.port, parts)[0]) == "request.too_large"
    assert ran() == 0


def test_requests_in_one_packet_are_each_judged(served, ran):
    agent = served.agent
    sent = [raw(agent, "POST", "/pay", body) for body in (BODY, OVER, BODY)]
    answers = spoken(served.port, b"".join(sent), answers=3)
    # Werkzeug's server closes after each answer.
    assert [answer[0] for answer in answers] == [200, 403, 200][: len(answers)]
    assert ran() == [answer[0] for answer in answers].count(200)


def test_workers_that_were_forked_with_the_gateway_each_judge(home, tmp_path):
    """gunicorn with preload: the gateway is opened once, before the fork, and its agent has a directory."""
    name, ours = home.create(OWN)
    asked, directory = home.create(PAYMENTS)
    command = ["gunicorn", "--preload", "--workers", "3", "--bind", "127.0.0.1:PORT", "app:app"]
    served = Served(tmp_path, PRELOADED + VIEWS, command, OURS=str(ours))
    # What is ordered does not reach the agent itself: it would not even ask.
    shutil.copy(home.path / "home" / "public" / "lists.pem", tmp_path / "lists.pem")
    agent = Agent.from_dir(directory, lists=tmp_path / "lists.pem")
    try:
        url = f"http://127.0.0.1:{served.port}/pay"
        host = {"host": "shop.example"}

        def ask(body=BODY):
            sent = {"content": body, "headers": {**host, "content-type": "application/json"}}
            return httpx.post(url, auth=AgentAuth(agent), timeout=30, **sent)

        workers, deadline = set(), time.monotonic() + 60
        while len(workers) < 3 and time.monotonic() < deadline:
            answer = ask()
            assert answer.status_code == 200, answer.text + served.log.read_text()
            workers.add(answer.json()["by"])
        assert len(workers) == 3
        assert ask(OVER).json()["code"] == "scope.amount"
        # They share what was used.
        request = raw(agent, "POST", "/pay", BODY)
        statuses = [spoken(served.port, request)[0][0] for _ in range(12)]
        assert sorted(statuses) == [200] + [401] * 11
        # An order elsewhere reaches each worker.
        home("suspend", asked, "--reason", "a test")
        deadline = time.monotonic() + 20
        while (refused := ask()).status_code == 200:
            assert time.monotonic() < deadline
        assert refused.json()["code"] == "certificate.held"
        while {ask().status_code for _ in range(20)} != {403}:
            assert time.monotonic() < deadline
        home("resume", asked, "--reason", "a test")
        # And so does one about the gateway itself.
        deadline = time.monotonic() + 20
        while ask().status_code != 200:
            assert time.monotonic() < deadline
        home("suspend", name, "--reason", "a test")
        deadline = time.monotonic() + 20
        while (answer := ask()).status_code != 503:
            assert time.monotonic() < deadline
        assert answer.json()["code"] == "gateway.not_good"
    finally:
        served.stop()
        agent.close()
    assert len(Journal(ours).decisions()) >= 5
