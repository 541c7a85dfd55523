"""requests for agents: requests that prove who sends them.

session = requests.Session()
session.auth = AgentAuth(agent)
session.post("https://shop.example/pay", json={"amount": "125.00", "iban": "DE02"})
"""

from __future__ import annotations

from urllib.parse import urlsplit

import requests

from . import _native
from ._agent import Agent
from ._asking import FIELD, Asking, NameSelector
from .errors import NotProven

__all__ = ["AgentAuth"]


class AgentAuth(requests.auth.AuthBase):
    """Signs each request with the key of the agent's certificate, for a gateway that demands that.

    `agent` fixes the agent; else it is that of the context when the request is made, else that of `use`.
    Inside a guarded function of a decision chain the request says what it follows from, and that is signed
    too. A body has to be text, octets or an open file, not a generator. An agent that may do nothing sends
    nothing: `NotProven`.

    `action`, `counterparty` and `resource` say what is asked for, as the service demands it: a string is a
    path into the JSON body, a callable is given the prepared request. Where the certificate refers to a
    detached list, each request shows the places of its names there (`kakunin-names`), so the service need
    not have it.

    A proof is for one address: what a redirect asks for is not signed, and a gateway there refuses it. The
    proof and the certificates are not sent there either.
    """

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

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Signs the request."""
        split = urlsplit(request.url or "")
        # What http.client writes, unless the caller says otherwise.
        authority = request.headers.get("host") or split.netloc.rpartition("@")[2]
        default = {"http": ":80", "https": ":443"}.get(split.scheme)
        if "host" not in request.headers and default:
            authority = authority.removesuffix(default)
        target = request.path_url
        path, mark, query = target.partition("?")
        content = self._content(request)
        if self._asking is not None:
            request.headers.pop(FIELD, None)
            request.headers.update(self._asking.proofs(self._agent, request, content))
        proof = _native.prove(
            self._agent,
            request.method or "",
            authority,
            path,
            query if mark else None,
            content,
            request.headers.pop("kakunin-chain", None),
        )
        request.headers.update(proof)
        request.register_hook("response", _unprove)  # type: ignore[no-untyped-call]
        return request

    def _content(self, request: requests.PreparedRequest) -> bytes:
        body = request.body
        if body is None:
            return b""
        if hasattr(body, "read"):
            body = request.body = body.read()
        if isinstance(body, str):
            body = body.encode()
        if not isinstance(body, bytes):
            raise NotProven("the body is made while it is sent; give it as octets", "possession.content")
        return body


def _unprove(response: requests.Response, **_: object) -> None:
    """Takes the proof off a request that is redirected: the next one begins with the fields of this one."""
    if response.is_redirect:
        for field in FIELDS:
            response.request.headers.pop(field, None)


#: What a proof consists of, and what is sent beside it.
FIELDS = (
    "content-digest",
    "kakunin-certificate-chain",
    "kakunin-chain",
    "kakunin-names",
    "signature",
    "signature-input",
)
