"""The agent of the drill: what it does every day, and what it does once somebody else steers it.

Everything in `SCOPE` is what its certificate allows. A leash cannot tell the one day from the other one;
what the agent used to do can.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from kakunin import ScopeDenied, verify_agent_scope

SCOPE = """\
actions = ["orders:list", "orders:read", "customers:get", "customers:export", "mail:send", "payments:send"]

[[limit]]
for = ["payments:send"]
currency = "EUR"
per_action = "500.00"

[[counterparties]]
for = ["payments:send"]
allow = ["acme", "globex", "initech", "umbrella"]
"""

Call = Callable[[], object]


@verify_agent_scope("orders:list")
def list_orders() -> None: ...


@verify_agent_scope("orders:read")
def read_order() -> None: ...


@verify_agent_scope("customers:get")
def get_customer() -> None: ...


@verify_agent_scope("customers:export")
def export_customers() -> None: ...


@verify_agent_scope("mail:send")
def send_mail() -> None: ...


@verify_agent_scope("payments:send", amount="total", currency="EUR", counterparty="supplier")
def pay(supplier: str, total: str) -> None: ...


@verify_agent_scope("users:grant")
def grant() -> None: ...


def usual(day: random.Random) -> Iterator[Call]:
    """Its work, without an end: it looks through orders, and pays some of them."""
    while True:
        yield list_orders
        for _ in range(day.randint(1, 4)):
            yield read_order
            if day.random() < 0.4:
                yield get_customer
        if day.random() < 0.5:
            supplier, total = day.choice(["acme", "globex"]), f"{day.randint(5, 90)}.00"
            yield lambda supplier=supplier, total=total: pay(supplier, total)


def steered() -> Iterator[Call]:
    """What it never did, without an end: most of it its certificate allows, and some it does not."""
    while True:
        yield export_customers
        yield send_mail
        yield lambda: pay("initech", "490.00")
        yield send_mail
        yield grant
        yield lambda: pay("umbrella", "950.00")


def ask(call: Call) -> str:
    """`allow`, or the code of the denial."""
    try:
        call()
    except ScopeDenied as denied:
        return denied.code
    return "allow"
