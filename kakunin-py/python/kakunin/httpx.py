"""httpx for agents: requests that prove who sends them.

client = httpx.Client(auth=AgentAuth(agent))
client.post("https://shop.example/pay", json={"amount": "125.00", "iban": "DE02"})
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from typing import Any

import httpx

from . import _native
from ._agent import Agent
from ._asking import FIELD, Asking, NameSelector

__all__ = ["AgentAuth"]


class AgentAuth(httpx.Auth):
    """Signs each request with the key of the agent's certificate, for a gateway that demands that.

    `agent` fixes the agent; else it is that of the context when the request is made, else that of `use`.
    Inside a guarded function of a decision chain the request says what it follows from, and that is signed
    too. The body is read into memory. An agent that may do nothing sends nothing: `NotProven`.

    `action`, `counterparty` and `resource` say what is asked for, as the service demands it: a string is a
    path into the JSON body, a callable is given the `httpx.Request`. Where the certificate refers to a
    detached list, each request shows the places of its names there (`kakunin-names`), so the service need
    not have it.

    A proof is for one address. Where the client follows a redirect, the request is signed again for the new
    one, if it is of the same origin and no other one was in between; elsewhere the agent signs nothing that
    its caller did not ask for. httpx copies all fields but `authorization` into a redirected request, so the
    proof and the certificates are taken off a request when its head was sent, be it in part. That is seen by
    httpx's own transport; another one that reaches out to strangers has to be one that follows no redirects.
    """

    requires_request_body = True

    def __init__(
        self,
        agent: Agent | None = None,
        *,
        action: str | None = None,
        counterparty: NameSelector = None,
        resource: NameSelector = None,
    ) -> None:
        if agent is not None and not isinstance(agent, Agent):
            raise TypeError(f"agent is a kakunin.Agent, not {agent!r}")
        self._agent = agent
        self._asking = Asking.of(action, counterparty, resource)

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """The flow of a `Client`."""
        flow = super().sync_auth_flow(request)
        signed = next(flow)
        while True:
            _trace(signed, _unproving)
            answer = yield signed
            try:
                signed = flow.send(answer)
            except StopIteration:
                return

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """The flow of an `AsyncClient`."""
        flow = super().async_auth_flow(request)
        signed = await flow.__anext__()
        while True:
            _trace(signed, _unproving_async)
            answer = yield signed
            try:
                signed = await flow.asend(answer)
            except StopAsyncIteration:
                return

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Signs the request, and once more where it was redirected to."""
        link = request.headers.get("kakunin-chain")
        self._sign(request, link)
        response = yield request
        landed = response.request
        # Whoever redirected last named the address: it has to be of the origin that was asked, as all before.
        hops = {_origin(hop.request) for hop in (*response.history, response)}
        if response.status_code == 401 and landed.url != request.url and hops == {_origin(request)}:
            landed.read()
            self._sign(landed, link)
            yield landed

    def _sign(self, request: httpx.Request, link: str | None) -> None:
        path, mark, query = request.url.raw_path.decode("ascii").partition("?")
        for field in PROOF:
            request.headers.pop(field, None)
        if self._asking is not None:
            request.headers.pop(FIELD, None)
            request.headers.update(self._asking.proofs(self._agent, request, request.content))
        proof = _native.prove(
            self._agent,
            request.method,
            request.headers["host"],
            path,
            query if mark else None,
            request.content,
            link,
        )
        for name, value in proof:
            request.headers[name] = value


def _trace(request: httpx.Request, of: Callable[[httpx.Request, Any], Any]) -> None:
    """Has httpx's transport say when it has sent the head, besides to whoever else listens."""
    request.extensions = {**request.extensions, "trace": of(request, request.extensions.get("trace"))}


def _unproving(
    request: httpx.Request, other: Callable[[str, Any], None] | None
) -> Callable[[str, Any], None]:
    def trace(event: str, info: Any) -> None:
        _unprove(request, event)
        if other is not None:
            other(event, info)

    return trace


def _unproving_async(
    request: httpx.Request, other: Callable[[str, Any], Awaitable[None]] | None
) -> Callable[[str, Any], Awaitable[None]]:
    async def trace(event: str, info: Any) -> None:
        _unprove(request, event)
        if other is not None:
            await other(event, info)

    return trace


def _unprove(request: httpx.Request, event: str) -> None:
    # A head that was written in part was seen as well, and its server may answer all the same.
    if event.endswith((".send_request_headers.complete", ".send_request_headers.failed")):
        for field in (*PROOF, "kakunin-chain", FIELD):
            request.headers.pop(field, None)


def _origin(request: httpx.Request) -> tuple[str, bytes]:
    return request.url.scheme, request.url.netloc


#: What a proof consists of, besides the chain.
PROOF = ("content-digest", "kakunin-certificate-chain", "signature-input", "signature")
