"""Ten lines: `python pay.py acme 125.00`, with the agent in agents/billing (see the README)."""

import sys

import kakunin
from kakunin import Agent, ScopeDenied, verify_agent_scope


@verify_agent_scope("payments:send", amount="total", currency="EUR", counterparty="supplier")
def pay(supplier: str, total: str) -> None:
    print(f"paid {total} EUR to {supplier}")


kakunin.use(Agent.from_dir("agents/billing"))
try:
    pay(sys.argv[1], sys.argv[2])
except ScopeDenied as denied:
    sys.exit(str(denied))
