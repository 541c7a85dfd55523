"""The target of a request as its sender wrote it.

What a server does not hand on is rebuilt only where it is certain.
"""

from __future__ import annotations

import string

#: Octets of a path that mean the same written out or not, and are written out (RFC 3986 section 3.3).
PLAIN = frozenset(string.ascii_letters + string.digits + "-._~!$&'()*+,;=:@/")


class Unknowable(ValueError):
    """What was asked for cannot be known from what the server hands on."""


def split(target: str) -> tuple[str, str]:
    """Path and query of a request's target, as they were sent."""
    path, _, query = target.partition("?")
    return check(path), query


def check(path: str) -> str:
    """A path in the one form of target that is proved."""
    if not path.startswith("/"):
        raise Unknowable("the request's target is no path; address the service as an origin server")
    return path


def routed(path: str, reached: bool) -> str:
    """`path`, as it was sent, if it is what has reached the application."""
    if not reached:
        raise Unknowable(
            "the path that reached this application is not the one that was asked for;"
            " put the gateway outside of what rewrites paths, or do not rewrite them"
        )
    return path


def rebuilt(seen: str, advice: str) -> str:
    """The path that was sent, from the decoded one, where only one spelling is usual."""
    if not PLAIN.issuperset(seen):
        raise Unknowable(
            f"the path needs percent-encoding, and the server does not hand on how it was written; {advice}"
        )
    return check(seen)
