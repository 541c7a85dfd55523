"""An agent that pays without end: `KAKUNIN_URL=... KAKUNIN_TOKEN=... python agent.py`.

Certificate, lists and the feed of revocations come from the authority by themselves and renew by themselves.
Suspend or revoke the agent in another terminal, and the loop is denied within a second.
"""

import sys
import time

import kakunin
from kakunin import Agent, ConnectError, ScopeDenied, verify_agent_scope


@verify_agent_scope("payments:send", amount="total", currency="EUR", counterparty="supplier")
def pay(supplier: str, total: str) -> None:
    print(f"paid {total} EUR to {supplier}", flush=True)


try:
    kakunin.use(Agent.connect(agent="billing"))
except ConnectError as refused:
    sys.exit(str(refused))

while True:
    try:
        pay("acme", "1.00")
    except ScopeDenied as denied:
        print(denied, flush=True)
        # Suspended agents are resumed, and an authority that is away comes back; a revocation is final.
        if denied.code == "certificate.revoked":
            sys.exit(1)
    time.sleep(0.2)
