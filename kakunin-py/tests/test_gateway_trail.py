"""What a gateway wrote about others, as the command line and the authority tell it: with who asked."""

from __future__ import annotations

import base64
import hashlib
import json
import urllib.error
import urllib.request
import zipfile

import kakunin
from kakunin import _native, verify_agent_scope
from kakunin.gateway import Gateway, Refused
from kakunin.gateway._demand import Demand
from kakunin.gateway._exchange import Exchange, Head
from served import eventually

HOST = "shop.example"


class Shop:
    """A service that demands proof, without a framework around it."""

    def __init__(self, agent) -> None:
        # A store that knows of nothing before it, so there is nothing to wait for.
        self._gateway = Gateway(agent, names=[HOST], nonces=lambda mark, seconds: True)
        self._demand = Demand("payments:send", amount="total", currency="EUR", counterparty="to")

    def answer(self, buyer, to: str, total: str) -> str:
        """What it answers to a request that the buyer signs, from inside of whatever chain this runs in."""
        body = json.dumps({"to": to, "total": total}).encode()
        proof = _native.prove(buyer, "POST", HOST, "/pay", None, body, None)
        fields = [("host", HOST), ("content-type", "application/json"), *proof]
        head = Head("POST", "/pay", "", [(name.encode(), value.encode()) for name, value in fields])
        exchange = Exchange(self._gateway)
        try:
            exchange.admit(self._demand, head, body, {})
        except Refused as refused:
            exchange.conclude(refused)
            return refused.code
        exchange.conclude(None, 200)
        return "paid"


def bundle(service, route: str, file) -> object:
    """What the authority answers an auditor."""
    headers = {"authorization": f"Bearer {service.key}"}
    request = urllib.request.Request(f"{service.url}/v1{route}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answered:
            file.write_bytes(answered.read())
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{route}: {error.read().decode()}") from None
    return file


def certificates(file) -> set[str]:
    """The hashes of the certificates in a bundle."""
    blocks = zipfile.ZipFile(file).read("certs.pem").decode().split("-----BEGIN CERTIFICATE-----")[1:]
    return {hashlib.sha256(base64.b64decode(block.partition("-----END")[0])).hexdigest() for block in blocks}


def test_whoever_asked_a_gateway_is_told_by_verify_why_and_the_authoritys_bundles(service, cli, tmp_path):
    shop_name, name = service.create({"actions": ["shop:serve"]}), service.create()
    own, buyer = service.connect(shop_name), service.connect(name)
    shop, places = Shop(own), [service.directory(shop_name), service.directory(name)]
    chains = []

    @verify_agent_scope("payments:send", amount="total", currency="EUR", counterparty="to", agent=buyer)
    def pay(to: str, total: str) -> str:
        chains.append(kakunin.chain_headers()["kakunin-chain"])
        return shop.answer(buyer, to, total)

    with kakunin.chain():
        assert pay("acme", "1.00") == "paid"
    assert shop.answer(buyer, "acme", "100.01") == "scope.amount"
    decisions = service.journal(shop_name).decisions()
    assert [receipt["dec"] for receipt in decisions] == ["allow", "deny"]
    # The authority has them, before the line to it ends.
    told = f"/agents/{own.agent_id}/forensics"

    def kept() -> int:
        return len(json.loads(bundle(service, told, tmp_path / "told.json").read_bytes())["data"]["receipts"])

    eventually(lambda: kept() >= 3, True)
    chain = service.journal(name).decisions()[0]["chn"]
    asked_for = f"/agents/{buyer.agent_id}/forensics"

    def of_buyer() -> int:
        said = bundle(service, asked_for, tmp_path / "told.json").read_bytes()
        return len(json.loads(said)["data"]["receipts"])

    eventually(lambda: of_buyer() >= 2, True)
    zips = [
        bundle(service, f"{told}?format=zip", tmp_path / "shop.zip"),
        bundle(service, f"/chains/{chain}/bundle", tmp_path / "chain.zip"),
    ]
    own.close()
    buyer.close()

    def verified(*what) -> dict:
        done = cli(
            "verify", *what, "--root", places[0] / "ca.pem", "--replay", "--timeline", "--json", check=False
        )
        assert done.returncode == 3, done.stdout + done.stderr
        return json.loads(done.stdout)

    both = verified(places[0], "--journal", places[1])
    assert both["verdict"] == "AUTHENTIC-NOT-COMPLETE"
    assert {reason["code"] for reason in both["reasons"]} == {"tail.not_witnessed"}
    assert (both["counts"]["allowed"], both["counts"]["denied"]) == (2, 1)
    assert (both["replay"]["same"], both["replay"]["open"]) == (3, 0)
    events = {event["receipt"]: event for event in both["timeline"]}
    by_itself = (
        event for event in events.values() if event["what"].startswith("allow ") and not event["caller"]
    )
    (asking,) = by_itself
    assert asking["agent"] == buyer.agent_id
    served = [event for event in events.values() if event.get("caller")]
    assert {event["caller"]["agent"] for event in served} == {buyer.agent_id}
    assert {event["caller"]["possession"] for event in served} == {"signature"}
    assert [event["parents"] for event in served if event["parents"]] == [[asking["receipt"]]]
    # A bundle has what stands behind it, the caller's certificate too; values stay with those whose they are.
    (shown,) = {event["caller"]["certificate"] for event in served}
    for file in zips:
        told = verified(file)
        assert told["verdict"] == "AUTHENTIC-NOT-COMPLETE"
        assert shown in certificates(file)
        assert (told["replay"]["same"], told["replay"]["open"]) == (0, 2)
    assert {event["agent"] for event in told["timeline"]} == {own.agent_id, buyer.agent_id}

    denied = next(event for event in served if "[scope.amount]" in event["what"])
    why = json.loads(cli("why", denied["receipt"], "--agent", places[0], "--json").stdout)
    assert (why["decision"], why["code"]) == ("deny", "scope.amount")
    assert (why["asked_by"], why["possession"]) == (buyer.agent_id, "signature")
    assert (why["amount"], why["currency"]) == ("100.01", "EUR")
    assert buyer.agent_id in cli("why", denied["receipt"], "--agent", places[0]).stdout
