"""A service of FastAPI under uvicorn whose agent is connected: an order elsewhere is a 403 here."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

from served import eventually

APP = """
import os
from contextlib import asynccontextmanager

import kakunin
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from kakunin import Agent, ScopeDenied, verify_agent_scope


@asynccontextmanager
async def lifespan(_):
    agent = await Agent.connect_async()
    kakunin.use(agent)
    yield
    agent.close()


app = FastAPI(lifespan=lifespan)


@app.post("/payments")
@verify_agent_scope("payments:send", amount="total", currency="EUR", counterparty="to")
async def send(to: str, total: str) -> dict[str, str]:
    return {"paid": total}


@app.exception_handler(ScopeDenied)
async def denied(_, error):
    return JSONResponse({"title": error.code}, status_code=403)
"""


def test_an_order_elsewhere_is_a_403_here(service, tmp_path):
    name = service.create()
    service.connect(name).close()
    (tmp_path / "app.py").write_text(APP)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "KAKUNIN_URL": service.url,
        "KAKUNIN_AGENT": name,
        "KAKUNIN_AGENT_DIR": str(service.directory(name)),
    }
    command = [sys.executable, "-m", "uvicorn", "--port", str(port), "app:app"]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log)

    def asked() -> str:
        url = f"http://127.0.0.1:{port}/payments?to=acme&total=1.00"
        try:
            with urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=10) as response:
                return json.load(response)["paid"]
        except urllib.error.HTTPError as error:
            assert error.code == 403, error.read()
            return json.load(error)["title"]

    def starting() -> str:
        assert server.poll() is None, (tmp_path / "log").read_text()
        try:
            return asked()
        except OSError:
            time.sleep(0.05)
            return "not yet"

    try:
        eventually(starting, "1.00")
        service.order("suspend", name)
        eventually(asked, "certificate.held", 5.0)
        service.order("resume", name)
        eventually(asked, "1.00", 5.0)
    finally:
        server.send_signal(signal.SIGTERM)
        ended = server.wait(30)
    # uvicorn ends by the signal it was sent, after its own end.
    assert ended in (0, -signal.SIGTERM), (tmp_path / "log").read_text()
    assert "Application shutdown complete" in (tmp_path / "log").read_text()
