"""The request as it was proved: what selectors look at.

Nothing that the proof does not cover is here. Header fields are not, except those of the proof itself, so a
selector cannot look at one by mistake.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl

from ._caller import Caller


class Asked:
    """A request whose method, authority, path, query and body its caller signed."""

    #: In the letters that were sent.
    method: str
    #: The path as it was sent, percent-encoded.
    path: str
    #: The query as it was sent, without its question mark.
    query: str
    #: The body, all of it.
    body: bytes
    #: Who asks.
    caller: Caller
    #: What the route found in the path, decoded; empty where no route was looked for yet.
    path_params: Mapping[str, Any]

    def __init__(
        self,
        method: str,
        path: str,
        query: str,
        body: bytes,
        *,
        content_types: Sequence[bytes],
        caller: Caller,
        path_params: Mapping[str, Any] | None = None,
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.body = body
        self.caller = caller
        self.path_params = MappingProxyType(dict(path_params or {}))
        self._content_types = list(content_types)

    @functools.cached_property
    def json(self) -> Any:
        """The body as JSON, parsed once. Raises `ValueError` for what two readers could read differently.

        That is a name twice in one object, NaN and the infinities, text that is not UTF-8, and a content
        type that is missing or is more than `application/json`, or `+json`, perhaps with `charset=utf-8`: a
        handler might read a form, or other letters, where a selector read JSON.
        """
        if len(self._content_types) != 1 or not JSON.fullmatch(self._content_types[0]):
            raise ValueError("the content type is not application/json, so nobody should read JSON here")
        return json.loads(self.body.decode(), object_pairs_hook=_object, parse_constant=_no_constant)

    @functools.cached_property
    def params(self) -> Mapping[str, str]:
        """The query's parameters, decoded. Raises `ValueError` if one is there twice."""
        pairs = parse_qsl(self.query, keep_blank_values=True, strict_parsing=bool(self.query))
        return MappingProxyType(_object(pairs))

    def __repr__(self) -> str:
        return f"<Asked {self.method} {self.path} by {self.caller.agent_id}>"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is there twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


#: A content type that everybody reads as JSON of UTF-8, whatever parser of headers they have.
JSON = re.compile(
    rb"application/(?:[a-z0-9!#$&^_.-]+\+)?json(?:[ \t]*;[ \t]*charset=(?:utf-?8|\"utf-?8\"))?", re.IGNORECASE
)
