"""The gateway: an agent of its own that judges others."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from .. import _native
from .._agent import Agent


class Gateway(_native.NativeGateway):
    """Lets agents in: with their papers, their standing, their scope, and proof that they have their key now.

    `agent` is this service's own: what it decides about others is written into its journal, and its lists
    and its feed say how they stand. While it may not act itself, nobody is let in. `names` are the
    authorities that the service is reached by, as agents write them into their URLs (`shop.example`,
    `10.0.0.7:8443`); a request to another one is refused.

    A body of more than `max_body` octets is refused. `name_lists` is a folder of detached lists of names,
    `<root>.txt`, that the scopes of callers refer to.

    Three things count only where they are said here. `tls=True`: the certificate that the client of this
    connection showed, where the server hands it on. `trusted_proxies`: addresses and networks of proxies
    whose word on certificates is believed, in the field that they write: `proxy_field="client-cert"` or
    `"x-forwarded-client-cert"`, without which they are refused here. The other one counts for nothing, since
    a client could write it.
    `serials`: a folder of `<serial>.pem` for callers that only name their certificate, in
    `x-kakunin-cert-serial`; they are let in without proof, and every receipt says so.

    Which proofs were used is remembered in this process, so each of several workers takes a proof once. For
    11 seconds after its start a gateway takes none that may have been used before it (503). `nonces` is a
    store that workers share instead: `nonces(mark, seconds)` remembers the text `mark` for so many seconds,
    and returns `True` if it was not remembered before, `False` if it was. What it raises, and any other
    answer, is 503. It is asked in the thread that asks the gateway; ASGI does that in a thread of its own.

    >>> Gateway(agent, names=names, nonces=lambda mark, s: bool(redis.set(mark, 1, nx=True, ex=s)))

    `nonces="/run/shop/nonces"` is a folder instead, which all processes of this host share that are given it,
    those in Node too: no server is needed. It is refused if it is another user's, a link, or if others may
    write there. Its lock is waited for 100 ms at most, in a thread of its own under ASGI.

    Raises `KakuninError` if what is named here cannot be used, `ValueError` for a network that is none.
    """

    def __new__(
        cls,
        agent: Agent,
        *,
        names: Sequence[str],
        max_body: int = 1 << 20,
        name_lists: str | os.PathLike[str] | None = None,
        tls: bool = False,
        trusted_proxies: Iterable[str] = (),
        proxy_field: Literal["client-cert", "x-forwarded-client-cert"] | None = None,
        serials: str | os.PathLike[str] | None = None,
        nonces: Callable[[str, int], bool] | str | os.PathLike[str] | None = None,
    ) -> Gateway:
        if not isinstance(agent, Agent):
            raise TypeError(f"agent is a kakunin.Agent, not {agent!r}")
        if isinstance(names, str) or isinstance(trusted_proxies, str):
            raise TypeError('names and trusted_proxies are lists, such as ["shop.example"]')
        folder, asked = None, None
        if isinstance(nonces, (str, os.PathLike)):
            folder = os.fspath(nonces)
            if not Path(folder).is_absolute():
                raise TypeError(f"nonces is a folder by its whole path, not {folder!r}")
        elif nonces is not None:
            if not callable(nonces) or inspect.iscoroutinefunction(nonces):
                raise TypeError(
                    f"nonces is a folder or a plain function of a mark and its seconds, not {nonces!r}"
                )
            asked = nonces
        proxies = [*trusted_proxies]
        if proxies and proxy_field is None:
            raise TypeError(
                'trusted_proxies need proxy_field="client-cert" or "x-forwarded-client-cert", the field that'
                " they write: a client could write the other one"
            )
        self = super().__new__(
            cls,
            agent,
            names=[*names],
            max_body=max_body,
            name_lists=name_lists,
            tls=bool(tls),
            proxies=proxies,
            proxy_field=proxy_field,
            serials=serials,
            nonces=asked,
            folder=folder,
        )
        self._agent = agent
        self._has_proxies = bool(proxies)
        # A folder has a lock, which a worker that was stopped may have.
        self._waits = nonces is not None
        return self

    _agent: Agent
    _has_proxies: bool
    _waits: bool

    @property
    def agent(self) -> Agent:
        """The service's own agent."""
        return self._agent

    @property
    def waits(self) -> bool:
        """Whether identifying a caller asks something that may take its time."""
        return self._waits

    def is_proxy(self, address: str | None, fields: Iterable[tuple[bytes, bytes]]) -> bool:
        """Whether a connection from `address` is that of a proxy that was named.

        Servers can be told to write the client that a proxy speaks for in the place of the proxy. Such a
        client could then say that it is a trusted proxy, so a request in which any forwarding field names
        one comes from none.
        """
        if not self._has_proxies or address is None or not self.is_named(address):
            return False
        forwarded = [value for name, value in fields if name.lower() in FORWARDING]
        return not any(self.is_named(part) for value in forwarded for part in _addresses(value))

    def __reduce__(self) -> str:
        raise TypeError("a gateway holds what its process remembers and cannot be pickled; make one there")

    def __repr__(self) -> str:
        return f"<Gateway {self._agent.agent_id}>"


def _addresses(value: bytes) -> Iterator[str]:
    """Whatever in a forwarding field may be an address."""
    for word in value.decode("latin-1").translate(SEPARATORS).split():
        yield word.strip("[]")
        host, colon, _ = word.rpartition(":")
        if colon:
            yield host.strip("[]")


FORWARDING = frozenset({b"forwarded", b"x-forwarded-for", b"x-real-ip", b"x-client-ip", b"true-client-ip"})
SEPARATORS = str.maketrans(",;=\"'", "     ")
