"""The receiving side: a service that lets agents in with their papers, their scope and proof of their key.

A gateway is an agent too: it has a certificate of its own and signs what it decided about others.

gateway = Gateway(Agent.from_dir("agents/shop"), names=["shop.example"])

`kakunin.gateway.fastapi`, `.starlette`, `.flask` and `.django` have a `require_agent` each; `.asgi` and
`.wsgi` protect whole applications.
"""

from __future__ import annotations

from ._asked import Asked
from ._caller import Caller, caller
from ._gateway import Gateway
from ._refused import Refused

__all__ = ["Asked", "Caller", "Gateway", "Refused", "caller"]
