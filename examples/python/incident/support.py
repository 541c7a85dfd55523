"""The support agent of the shop: `support.py DIR URL TICKET` refunds a customer through the payments agent.

An incident begins here. The customer's mail talks the agent into too much first; the payments agent refuses,
and the agent asks for what the order really cost. Prints the chain and the answers as JSON.
"""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request

import kakunin
from kakunin import Agent, verify_agent_scope


class Refused(Exception):
    """The payments agent said no."""


@verify_agent_scope("refunds:request", amount="total", currency="EUR", counterparty="customer")
def request_refund(url: str, ticket: str, customer: str, total: str) -> str:
    body = json.dumps({"ticket": ticket, "customer": customer, "total": total}).encode()
    # The header names this decision: what the payments agent decides follows from it.
    headers = {"Content-Type": "application/json", **kakunin.chain_headers()}
    request = urllib.request.Request(url, body, headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return str(json.load(answer)["answer"])
    except urllib.error.HTTPError as error:
        with error:
            raise Refused(json.load(error)["answer"]) from None


def handle(url: str, ticket: str) -> list[str]:
    answers = []
    # What a model would decide, without the model.
    for total in ("4900.00", "49.00"):
        try:
            answers.append(request_refund(url, ticket, "customer-7", total))
            break
        except Refused as refused:
            answers.append(str(refused))
    return answers


def main(directory: str, url: str, ticket: str) -> None:
    kakunin.use(Agent.from_dir(directory))
    with kakunin.chain() as chain:
        answers = handle(url, ticket)
    print(json.dumps({"chain": chain.id, "answers": answers}))


if __name__ == "__main__":
    main(*sys.argv[1:])
