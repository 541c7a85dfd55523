"""An agent that pays at a service that demands proof: `python buyer.py URL agents/billing 12.50 acme`.

Any number of amounts and parties may follow; for each a line is printed, with the status of the answer and
the code of what was refused.
"""

import sys
import time

import httpx
from kakunin import Agent
from kakunin.httpx import AgentAuth

url, directory, *payments = sys.argv[1:]
# What is asked for, as the service demands it: where the certificate refers to a long list of parties, each
# request shows where its own stands there.
auth = AgentAuth(Agent.from_dir(directory), action="payments:send", counterparty="iban")
with httpx.Client(base_url=url, auth=auth, timeout=30) as client:
    for amount, iban in zip(payments[::2], payments[1::2], strict=True):
        answer = client.post("/pay", json={"amount": amount, "iban": iban})
        while answer.status_code == 503:
            # A service that has just begun knows nothing of the proofs of before.
            time.sleep(float(answer.headers["retry-after"]))
            answer = client.post("/pay", json={"amount": amount, "iban": iban})
        print(answer.status_code, answer.json().get("code", "paid"), flush=True)
