"""The request as it was proved: what selectors look at.

Nothing that the proof does not cover is here. Header fields are not, except those of the proof itself, so a
selector cannot look at one by mistake.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
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
        said: str,
        caller: Caller,
        path_params: Mapping[str, Any] | None = None,
        read_query: QueryReader | None = None,
        kinds: Sequence[bytes] = (),
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.body = body
        self.caller = caller
        self.path_params = MappingProxyType(dict(path_params or {}))
        self._said = said
        self._read_query = read_query
        self._kinds = kinds

    @property
    def is_doubtful(self) -> bool:
        """Whether a parser behind this could read another JSON out of the body than the judged one."""
        return self._said == "doubtful" and bool(self.body)

    @functools.cached_property
    def json(self) -> Any:
        """The body as JSON, parsed once. Raises `ValueError` for what two readers could read differently.

        That is a name twice in one object, NaN and the infinities, text that is not UTF-8, and a content
        type that is missing or is more than `application/json`, or `+json`, perhaps with `charset=utf-8`, and
        a body that is encoded: a handler might read a form, or other letters, where a selector read JSON.
        """
        if self._said != "json":
            raise ValueError("the content type is not application/json, so nobody should read JSON here")
        return json.loads(self.body.decode(), object_pairs_hook=_object, parse_constant=_no_constant)

    @functools.cached_property
    def params(self) -> Mapping[str, str]:
        """The query's parameters, decoded. Raises `ValueError` for what two readers could read differently.

        That is a name twice, escapes that are none, letters that are not escaped, text that is not UTF-8,
        more than a thousand parameters, and whatever the framework reads otherwise: it may go by a charset
        that nobody signs, and code can set what it reads. Where a whole application is behind the door, how
        it reads is not known: a `;` that is not escaped, and a content type with another charset than UTF-8,
        or one that is there twice, are two readings.
        """
        if not QUERY.fullmatch(self.query):
            raise ValueError("the query has an escape that is none, or letters that are not escaped")
        pairs = parse_qsl(
            self.query,
            keep_blank_values=True,
            strict_parsing=bool(self.query),
            errors="strict",
            max_num_fields=MOST_PARAMETERS,
        )
        found = _object(pairs)
        if self._read_query is None:
            # Bottle splits at `;`, and Django decodes the query by the charset of the content.
            if ";" in self.query or len(self._kinds) > 1 or not all(map(_is_utf8, self._kinds)):
                raise ValueError("an application behind this door may read the query in another way")
        else:
            read = {name: list(values) for name, values in self._read_query()}
            if read != {name: [value] for name, value in found.items()}:
                raise ValueError("the framework reads the query in another way")
        return MappingProxyType(found)

    def __repr__(self) -> str:
        return f"<Asked {self.method} {self.path} by {self.caller.agent_id}>"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is there twice")
    return found


def _is_utf8(kind: bytes) -> bool:
    """Whether nobody can find another charset than UTF-8 in a content type."""
    return b"charset" not in kind.lower() or UTF8.fullmatch(kind) is not None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


#: What a framework reads out of a query: names with all their values.
QueryReader = Callable[[], Iterable[tuple[str, Sequence[str]]]]
#: Printable ASCII, and escapes that are whole.
QUERY = re.compile(r"(?:[!\"$&-~]|%[0-9A-Fa-f]{2})*", re.ASCII)
#: A content type whose one parameter says UTF-8.
UTF8 = re.compile(rb'[\w!#$&^.+/-]+[ \t]*;[ \t]*charset=("?)utf-?8\1', re.ASCII | re.IGNORECASE)
MOST_PARAMETERS = 1000
