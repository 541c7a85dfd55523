"""Receives webhooks of a Kakunin authority: verifies, drops copies, prints one line for each event.

    python webhook.py --secret-file secrets.txt --cert server.pem --key server.key --port 8443

Standard library only. `secrets.txt` holds one secret a line: two while one takes the other's place.
"""

import argparse
import hashlib
import hmac
import http.server
import json
import pathlib
import ssl
import sys
import time

TOLERANCE = 300  # seconds between sending and receiving; a copy that somebody kept is older
MOST = 1024 * 1024  # octets of a body


class Refused(Exception):
    """A request that is no delivery of ours."""


def verify(signature: str, delivery: str, body: bytes, secrets: list[str], now: float) -> dict:
    """The event in `body`, if one of the secrets signed it together with its time and id."""
    parts = [part.partition("=") for part in signature.split(",")]
    times = [value for name, _, value in parts if name == "t"]
    signed = [value for name, _, value in parts if name == "v1"]
    if len(times) != 1 or not times[0].isdecimal() or abs(now - int(times[0])) > TOLERANCE:
        raise Refused("no time, or another one than now")
    message = b".".join([times[0].encode(), delivery.encode(), body])
    expected = [hmac.new(secret.encode(), message, hashlib.sha256).hexdigest() for secret in secrets]
    pairs = [hmac.compare_digest(ours.encode(), theirs.encode()) for ours in expected for theirs in signed]
    if not any(pairs):
        raise Refused("not signed with a secret of ours")
    event = json.loads(body)
    if event["id"] != delivery:
        raise Refused("two ids")
    return event


class Inbox:
    """Events that were taken: a delivery may come more than once, and in any order."""

    def __init__(self, secrets: list[str]) -> None:
        self.secrets = secrets
        self.seen: set[str] = set()  # a program that restarts keeps them in its database, with what it does

    def take(self, signature: str, delivery: str, body: bytes, now: float) -> dict | None:
        """The event, once; a copy is `None`."""
        event = verify(signature, delivery, body, self.secrets, now)
        if event["id"] in self.seen:
            return None
        self.seen.add(event["id"])
        return event


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers 204 to deliveries, copies too: another answer would make them come again."""

    inbox: Inbox
    timeout = 10

    def do_POST(self) -> None:
        """Takes one delivery."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > MOST:
            self.send_error(413)
            return
        body = self.rfile.read(int(length))
        signature, delivery = self.headers.get("Kakunin-Signature", ""), self.headers.get("Kakunin-Id", "")
        try:
            event = self.inbox.take(signature, delivery, body, time.time())
        except (Refused, ValueError, KeyError, TypeError):
            self.send_error(400)
            return
        if event is not None:
            print(json.dumps(event), flush=True)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing: what comes in is printed."""


def main() -> None:
    """Listens until it is ended."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--secret-file", required=True)
    parser.add_argument("--cert", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8443)
    options = parser.parse_args()
    Handler.inbox = Inbox(pathlib.Path(options.secret_file).read_text(encoding="ascii").split())
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(options.cert, options.key)
    server = http.server.ThreadingHTTPServer((options.host, options.port), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    print(f"https://{options.host}:{server.server_address[1]}/", file=sys.stderr, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
