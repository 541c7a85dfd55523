"""The bank's agent: `bank.py DIR` is a small MCP server with the one tool `transfer`.

JSON-RPC, a line a message, on standard input and output, as MCP's stdio transport has it; only `tools/call`
is spoken. Ends with its input.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import kakunin
from kakunin import Agent, ScopeDenied, verify_agent_scope


@verify_agent_scope("transfers:execute", amount="total", currency="EUR", counterparty="to")
def transfer(to: str, total: str, reference: str) -> str:
    return f"transferred {total} EUR to {to} for {reference}"


def answer(request: dict[str, Any]) -> dict[str, Any]:
    parameters = request["params"]
    with kakunin.chain.picked_up(parameters.get("_meta")):
        try:
            text, failed = transfer(**parameters["arguments"]), False
        except ScopeDenied as denied:
            text, failed = denied.for_model(), True
    result = {"content": [{"type": "text", "text": text}], "isError": failed}
    return {"jsonrpc": "2.0", "id": request["id"], "result": result}


def main(directory: str) -> None:
    kakunin.use(Agent.from_dir(directory))
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
