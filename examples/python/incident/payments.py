"""The payments agent of the shop: `payments.py DIR BANK...` serves refunds over HTTP on the loopback.

`BANK...` is the command of the bank's agent, spoken to as an MCP server: JSON-RPC, a line a message, on its
standard input and output. Prints the URL it listens on. Ends with SIGTERM.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import kakunin
from kakunin import Agent, ScopeDenied, verify_agent_scope


class Bank:
    """The client's end of an MCP server."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._id = 0

    def call(self, tool: str, arguments: dict[str, str]) -> str:
        self._id += 1
        # `_meta` names the decision whose body this is: what the bank's agent decides follows from it.
        parameters = {"name": tool, "arguments": arguments, "_meta": kakunin.chain_meta()}
        request = {"jsonrpc": "2.0", "id": self._id, "method": "tools/call", "params": parameters}
        assert self._process.stdin and self._process.stdout
        print(json.dumps(request), file=self._process.stdin, flush=True)
        result = json.loads(self._process.stdout.readline())["result"]
        if result["isError"]:
            raise RuntimeError(result["content"][0]["text"])
        return str(result["content"][0]["text"])

    def close(self) -> None:
        self._process.communicate()


class Desk(HTTPServer):
    """A server with a bank behind it."""

    def __init__(self, bank: Bank) -> None:
        super().__init__(("127.0.0.1", 0), Refunds)
        self.bank = bank


class Refunds(BaseHTTPRequestHandler):
    server: Desk

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        # Who sent no link begins a chain of its own here.
        with kakunin.chain.picked_up(self.headers):
            try:
                status, answer = 200, pay_back(self.server.bank, **asked)
            except ScopeDenied as denied:
                status, answer = 403, denied.for_model()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps({"answer": answer}).encode())

    def log_message(self, *_: Any) -> None:
        pass


@verify_agent_scope(
    "payments:refund", amount="total", currency="EUR", counterparty="customer", resource="ticket"
)
def pay_back(bank: Bank, ticket: str, customer: str, total: str) -> str:
    return bank.call("transfer", {"to": customer, "total": total, "reference": ticket})


def main(directory: str, *bank: str) -> None:
    kakunin.use(Agent.from_dir(directory))
    # SIGTERM ends the loop below like Ctrl-C, so that the stream of receipts is closed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    desk = Desk(Bank(list(bank)))
    print(f"http://127.0.0.1:{desk.server_port}/refunds", flush=True)
    try:
        desk.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        desk.server_close()
        desk.bank.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
