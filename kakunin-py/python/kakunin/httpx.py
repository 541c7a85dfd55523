"""httpx for agents: requests that prove who sends them.

client = httpx.Client(auth=AgentAuth(agent))
client.post("https://shop.example/pay", json={"amount": "125.00", "iban": "DE02"})
"""

from __future__ import annotations

from collections.abc import Generator

import httpx

from . import _native
from ._agent import Agent

__all__ = ["AgentAuth"]


class AgentAuth(httpx.Auth):
    """Signs each request with the key of the agent's certificate, for a gateway that demands that.

    `agent` fixes the agent; else it is that of the context when the request is made, else that of `use`.
    Inside a guarded function of a decision chain the request says what it follows from, and that is signed
    too. The body is read into memory. An agent that may do nothing sends nothing: `NotProven`.

    A proof is for one address. Where the client follows a redirect, the request is signed again for the new
    one, if it is of the same origin and no other one was in between; elsewhere the agent signs nothing that
    its caller did not ask for. httpx copies all fields but `authorization` into a redirected request, so
    another origin is shown the used proof and the certificates, which say whose agent this is. Where that
    must not be, do not follow redirects.
    """

    requires_request_body = True

    def __init__(self, agent: Agent | None = None) -> None:
        if agent is not None and not isinstance(agent, Agent):
            raise TypeError(f"agent is a kakunin.Agent, not {agent!r}")
        self._agent = agent

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Signs the request, and once more where it was redirected to."""
        self._sign(request)
        response = yield request
        landed = response.request
        # Whoever redirected last named the address: it has to be of the origin that was asked, as all before.
        hops = {_origin(hop.request) for hop in (*response.history, response)}
        if response.status_code == 401 and landed.url != request.url and hops == {_origin(request)}:
            landed.read()
            self._sign(landed)
            yield landed

    def _sign(self, request: httpx.Request) -> None:
        path, mark, query = request.url.raw_path.decode("ascii").partition("?")
        for field in FIELDS:
            request.headers.pop(field, None)
        proof = _native.prove(
            self._agent,
            request.method,
            request.headers["host"],
            path,
            query if mark else None,
            request.content,
            request.headers.pop("kakunin-chain", None),
        )
        for name, value in proof:
            request.headers[name] = value


def _origin(request: httpx.Request) -> tuple[str, bytes]:
    return request.url.scheme, request.url.netloc


#: What a proof consists of, besides the chain.
FIELDS = ("content-digest", "kakunin-certificate-chain", "signature-input", "signature")
