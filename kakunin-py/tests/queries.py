"""Queries that a selector and a framework could read differently, for every adapter.

An adapter's test serves `GET /transfer`, which demands by `SELECTORS`, and its handler keeps what its
framework reads in `shop.ran`. What is let in is what was judged.
"""

from __future__ import annotations

import pytest
from asking import code
from refusals import signed

#: What is read alike by everybody, and how.
ALIKE = {
    "to=acme": "acme",
    "x=&to=acme&y=1": "acme",
    "to=a%20b+c%2Bd": "a b c+d",
    "to=caf%C3%A9": "café",
    "to%5B%5D=mallory&to[x]=mallory&to.x=mallory&to=acme": "acme",
    "to=acme;to=mallory": "acme;to=mallory",
    "%74o=acme": "acme",
    "to=%00": "\0",
    "to=acme%26to=mallory": "acme&to=mallory",
    "to[]=mallory&to=acme": "acme",
}
#: What is not, and therefore is denied where a selector reads it.
APART = [
    "to=acme&to=mallory",
    "to=acme&%74o=mallory",
    "to=acme&%74%6f=acme",
    "to=%ff",
    "to=%C3",
    "to=%C0%AF",
    "to=%ED%A0%80",
    "to=acme&x=%zz",
    "to=acme&x=%e",
    "to=acme&x=%",
    "to",
    "to=acme&&x=1",
    "to=acme&",
    "&to=acme",
    "x=1",
    "",
    "to=acme" + "&x=1" * 1000,
    "to=acme" + "".join(f"&x{number}=1" for number in range(1000)),
]
#: Types whose charset a framework might decode the query by. In UTF-7 the first is another name.
CHARSETS = [
    ("to=%2BAG0AYQBsAGwAbwByAHk-", "text/plain; charset=utf-7"),
    ("to=caf%C3%A9", "text/plain; charset=latin-1"),
    ("to=%83%41", "text/plain; charset=shift_jis"),
    ("to=acme", "text/plain; charset=utf-16"),
]
#: Types in which somebody could find such a charset.
HIDDEN = [
    ("to=%2BAG0AYQBsAGwAbwByAHk-", kind)
    for kind in (
        "text/plain; CharSet=UTF-7",
        'text/plain; charset="utf-7"',
        "text/plain; charset*=utf-8''utf-7",
        "text/plain; charset*0=utf; charset*1=-7",
        "text/plain; charset=utf-8; charset=utf-7",
        "text/plain; charset=utf-7; charset=utf-8",
        'text/plain; x="; charset=utf-7"',
        "text/plain, text/plain; charset=utf-7",
        "text/plain; charset=utf-8, text/plain; charset=utf-7",
        "application/json; charset=utf-7",
        "; charset=utf-7",
        "text/plain; charset=utf-8\xa0",
    )
]
#: Types in which there is none.
PLAIN = ["text/plain", "text/plain; charset=utf-8", 'TEXT/plain;Charset="UTF8"', "application/json"]

#: A selector over the query.
SELECTORS = {"resource": lambda asked: asked.params["to"]}


def judged(shop, served):
    """Shows queries that are read alike, and that the handler reads what was judged."""
    for query, text in ALIKE.items():
        shop.ran.clear()
        status, _, body = served(
            signed(shop, b"", method="GET", path=f"/transfer?{query}", kind="text/plain")
        )
        assert (status, shop.ran) == (200, [text]), (query, body)


def denied(shop, served):
    """Shows those that are not, also by a charset that nobody signed: a handler reads what was judged."""
    for query in APART:
        shop.ran.clear()
        answer = served(signed(shop, b"", method="GET", path=f"/transfer?{query}", kind="text/plain"))
        assert (code(answer), shop.ran) == ("request.resource_invalid", []), query
    for query, kind in CHARSETS:
        shop.ran.clear()
        status, _, _ = answer = served(signed(shop, b"", method="GET", path=f"/transfer?{query}", kind=kind))
        read = {
            "to=acme": "acme",
            "to=caf%C3%A9": "café",
            "to=%2BAG0AYQBsAGwAbwByAHk-": "+AG0AYQBsAGwAbwByAHk-",
        }
        if status == 200:
            assert shop.ran == [read[query]], (query, kind)
        else:
            assert (code(answer), shop.ran) == ("request.resource_invalid", []), (query, kind)


def denied_in_front(shop, served):
    """Shows that where nobody knows how it is read, two readings of it are denied, whatever they come to."""
    for query, kind in (*CHARSETS, *HIDDEN, ("to=acme;x=1", "text/plain"), ("to=acme;to=x", "text/plain")):
        shop.ran.clear()
        answer = served(signed(shop, b"", method="GET", path=f"/transfer?{query}", kind=kind))
        assert (code(answer), shop.ran) == ("request.resource_invalid", []), (query, kind)
    twice = signed(shop, b"", method="GET", path="/transfer?to=acme", kind="text/plain")
    answer = served(twice.also(("content-type", "text/plain; charset=utf-8")))
    assert (code(answer), shop.ran) == ("request.resource_invalid", [])
    for kind in PLAIN:
        shop.ran.clear()
        answer = served(signed(shop, b"", method="GET", path="/transfer?to=caf%C3%A9", kind=kind))
        assert (answer[0], shop.ran) == (200, ["café"]), (kind, answer)
    kindless = signed(shop, b"", method="GET", path="/transfer?to=acme").without("content-type")
    assert served(kindless)[0] == 200


EVERY = [pytest.param(judged, id="alike"), pytest.param(denied, id="apart")]
