"""A protected service under hypercorn: HTTP/2 and HTTP/1.1 over TLS that ends in this process."""

from __future__ import annotations

import ssl
import subprocess

import httpx
import pytest
from asking import HOST, OWN, PAYMENTS, SERVICE, Served
from conftest import Journal
from kakunin import Agent
from kakunin.httpx import AgentAuth

APP = (
    SERVICE
    + """
from kakunin.gateway.starlette import require_agent
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

@require_agent("payments:send", amount="amount", currency="EUR", counterparty="iban", gateway=gateway)
async def pay(request):
    ran(f"{request.scope['http_version']} {request.url.path}")
    return PlainTextResponse("paid " + (await request.json())["amount"])

app = Starlette(routes=[Route("/pay", pay, methods=["POST"]), Route("/a b/{name}", pay, methods=["POST"])])
"""
)


@pytest.fixture(scope="module")
def served(home, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    key, certificate = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    _, ours = home.create(OWN)
    _, directory = home.create(PAYMENTS)
    agent = Agent.from_dir(directory)
    command = ["hypercorn", "--certfile", str(certificate), "--keyfile", str(key)]
    served = Served(folder, APP, [*command, "--bind", "127.0.0.1:PORT", "app:app"], OURS=str(ours))
    served.agent, served.journal, served.folder = agent, Journal(ours), folder
    served.trust = ssl.create_default_context(cafile=str(certificate))
    yield served
    served.stop()
    agent.close()


@pytest.mark.parametrize("http2", [True, False], ids=["HTTP/2", "HTTP/1.1"])
def test_a_proof_holds_over_tls_and_over_http_2(served, http2):
    file = served.folder / "ran"
    before = len(file.read_text().splitlines()) if file.exists() else 0
    url = f"https://127.0.0.1:{served.port}"
    options = {"http2": http2, "http1": not http2, "verify": served.trust, "timeout": 30}
    order = {"amount": "12.50", "iban": "acme"}
    with httpx.Client(**options, auth=AgentAuth(served.agent), headers={"host": HOST}) as client:
        paid = client.post(f"{url}/pay", json=order)
        assert (paid.status_code, paid.text) == (200, "paid 12.50"), paid.text
        assert paid.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
        assert client.post(f"{url}/a%20b/%C3%A9?x=%20y", json=order).status_code == 200
        assert client.post(f"{url}/pay", json={**order, "amount": "100.01"}).json()["code"] == "scope.amount"
        # Addressed to another one, as this service is not reached.
        other = client.post(f"{url}/pay", json=order, headers={"host": "bank.example"})
        assert other.json()["code"] == "possession.authority"
        used = client.build_request("POST", f"{url}/pay", json=order)
        assert client.send(used, auth=Keeping(served.agent)).status_code == 200
    with httpx.Client(**options) as client:
        assert (
            client.post(f"{url}/pay", json=order, headers={"host": HOST}).json()["code"]
            == "possession.missing"
        )
        assert client.send(Keeping.kept(used)).json()["code"] == "possession.replayed"
        # The proof of one path is none for another one.
        elsewhere = Keeping.kept(used)
        elsewhere.url = httpx.URL(f"{url}/a%20b/x")
        assert client.send(elsewhere).json()["code"] == "possession.signature"
    version = "2" if http2 else "1.1"
    lines = [line.split(" ")[0] for line in file.read_text().splitlines()[before:]]
    assert lines == [version] * 3
    assert {receipt["cal"]["p"] for receipt in served.journal.decisions()} == {"signature"}


class Keeping(AgentAuth):
    """Keeps what was signed, as whoever overhears a request has it."""

    def _sign(self, request, link):
        super()._sign(request, link)
        request.extensions["kept"] = request.headers.copy()

    @staticmethod
    def kept(request):
        return httpx.Request(
            request.method, request.url, headers=request.extensions["kept"], content=request.content
        )
