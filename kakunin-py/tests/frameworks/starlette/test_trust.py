"""What a gateway believes besides signatures, and only where the deployer says so."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import pickle
import shutil
import stat
import threading
from types import SimpleNamespace

import pytest
import refusals
from asking import HOST, PAYMENTS
from kakunin import KakuninError
from kakunin.gateway import Gateway, caller
from kakunin.gateway.asgi import AsgiExchange, RequireAgent
from refusals import asgi, signed

SELECTORS = {"amount": "amount", "currency": "EUR", "counterparty": "iban"}


@pytest.fixture
def opened(shop):
    """A gateway with these options, and what it answers."""

    def open_with(**options):
        gateway = Gateway(shop.own, names=[HOST], **options)
        shop.clock.advance(11)

        async def app(scope, receive, send):
            shop.ran.append(caller().possession)
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": b""})

        protected = RequireAgent(app, gateway, "payments:send", **SELECTORS)

        def ask(request, **scope):
            status, _, body = asgi(protected, request, **scope)
            return status if status == 200 else json.loads(body)["code"]

        return SimpleNamespace(gateway=gateway, ask=ask)

    return open_with


def papers(shop, agent=None):
    """The agent's certificate and its issuer's, in DER, and a request without a proof."""
    request = signed(shop, agent=agent)
    chain = dict(request.fields)["kakunin-certificate-chain"].split(", ")
    bare = request.without("signature", "signature-input", "kakunin-certificate-chain", "content-digest")
    return [base64.b64decode(link.strip(":")) for link in chain], bare


def field(der):
    return f":{base64.b64encode(der).decode()}:"


def test_a_certificate_counts_from_a_proxy_that_was_named(shop, opened):
    (leaf, issuing), bare = papers(shop)
    shown = bare.also(("client-cert", field(leaf)), ("client-cert-chain", field(issuing)))
    named = opened(trusted_proxies=["192.0.2.0/24", "2001:db8::1"], proxy_field="client-cert")
    assert named.ask(shown) == 200
    assert named.ask(shown, client=("::ffff:192.0.2.9", 1)) == 200
    assert shop.ran == ["proxy", "proxy"]
    # From elsewhere, from nowhere, and without anything named it is a field like others.
    for client in (("198.51.100.1", 1), ("", 1), ("unix:", 1), None):
        assert named.ask(shown, client=client) == "possession.missing"
    assert opened().ask(shown) == "possession.missing"
    # It proves nothing of others, and is judged like a signature.
    stranger = refusals.MemoryAuthority(clock=shop.clock).issue(PAYMENTS)
    (other, _), _ = papers(shop, stranger)
    alien = bare.also(("client-cert", field(other)), ("client-cert-chain", field(issuing)))
    assert named.ask(alien).startswith("certificate.")
    shop.authority.suspend(shop.agent)
    assert named.ask(shown) == "certificate.held"
    assert shop.ran == ["proxy", "proxy"]


@pytest.mark.parametrize(
    "fields",
    [
        [("x-forwarded-for", "192.0.2.7")],
        [("x-forwarded-for", "203.0.113.1, 192.0.2.7:443")],
        [("X-Real-IP", "192.0.2.7")],
        [("forwarded", 'for="192.0.2.7";proto=https')],
        [("forwarded", 'for="[2001:db8::1]:4711"')],
    ],
)
def test_a_client_that_says_it_is_the_proxy_is_not(shop, opened, fields):
    """A server that believes such a field puts the client's word in the place of the peer's address."""
    (leaf, issuing), bare = papers(shop)
    shown = bare.also(("client-cert", field(leaf)), ("client-cert-chain", field(issuing)), *fields)
    named = opened(trusted_proxies=["192.0.2.0/24", "2001:db8::1"], proxy_field="client-cert")
    assert named.ask(shown) == "possession.missing"
    # The proxy says for whom it speaks, who is somebody else.
    spoken_for = bare.also(
        ("client-cert", field(leaf)),
        ("client-cert-chain", field(issuing)),
        ("x-forwarded-for", "203.0.113.9"),
    )
    assert named.ask(spoken_for) == 200
    assert shop.ran == ["proxy"]


def pem(der):
    body = base64.encodebytes(der).decode()
    return f"-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n"


def test_a_certificate_of_this_connection_counts_where_that_is_said(shop, opened):
    ders, bare = papers(shop)
    extension = {"extensions": {"tls": {"client_cert_chain": [pem(der) for der in ders]}}}
    assert opened(tls=True).ask(bare, **extension) == 200
    assert opened().ask(bare, **extension) == "possession.missing"
    assert opened(tls=True).ask(bare) == "possession.missing"
    assert opened(tls=True).ask(bare, extensions={"tls": {"client_cert_chain": []}}) == "possession.missing"
    assert shop.ran == ["tls"]


def test_a_serial_number_counts_where_that_is_said_and_the_receipt_says_so(shop, opened, tmp_path):
    ders, bare = papers(shop)
    shop.ran.clear()
    plain = opened(serials=tmp_path)
    seen = opened()
    assert seen.ask(signed(shop)) == 200
    gateway = seen.gateway
    assert gateway.counts()[0] == 1
    serial = identified(shop, gateway)
    (tmp_path / f"{serial}.pem").write_text("".join(pem(der) for der in ders))
    named = bare.also(("x-kakunin-cert-serial", serial))
    assert plain.ask(named) == 200
    assert seen.ask(named) == "possession.missing"
    for wrong in ("../" + serial, "00", "", "zz", serial + "0"):
        assert plain.ask(bare.also(("x-kakunin-cert-serial", wrong))).startswith("possession.")
    shop.authority.revoke(shop.agent)
    assert plain.ask(named) == "certificate.revoked"
    assert shop.ran == ["signature", "none"]


def identified(shop, gateway):
    """The serial number of the asking agent's certificate."""
    request = signed(shop)
    fields = [(name.encode(), value.encode()) for name, value in request.fields]
    head = gateway.prove_head(request.method, None, request.path, "", fields, tls=[], proxy=False)
    return head.identify(request.body, bytes(16)).certificate_serial


def test_a_store_of_used_proofs_is_shared_and_says_whether_one_is_new(shop, opened):
    remembered, threads = {}, set()

    def fresh(mark, seconds):
        threads.add(threading.current_thread())
        new = mark not in remembered
        remembered[mark] = seconds
        return new

    one, other = opened(nonces=fresh), opened(nonces=fresh)
    request = signed(shop)
    assert one.ask(request) == 200
    assert one.ask(request) == other.ask(request) == "possession.replayed"
    assert other.ask(signed(shop)) == 200
    assert {len(mark) for mark in remembered} == {64}
    assert all(100 < seconds <= 180 for seconds in remembered.values())
    # The event loop goes on meanwhile.
    assert threading.main_thread() not in threads
    # Only what was signed by a caller is asked for.
    before = len(remembered)
    assert one.ask(signed(shop).also(("kakunin-chain", "x"))).startswith("possession.")
    assert one.ask(signed(shop, host="bank.example")) == "possession.authority"
    assert len(remembered) == before
    # Of an agent that is denied by its head too: lifted a moment later, its proof is used up.
    held = signed(shop)
    shop.authority.suspend(shop.agent)
    assert one.ask(held) == "certificate.held"
    assert other.ask(held) == "possession.replayed"
    shop.authority.resume(shop.agent)
    assert one.ask(held) == other.ask(held) == "possession.replayed"
    assert threading.main_thread() not in threads
    assert len(remembered) == before + 1


@pytest.mark.parametrize("answer", [None, 1, "yes", 0, TimeoutError("the store is away")])
def test_a_store_that_cannot_say_lets_nobody_in(shop, opened, answer):
    def store(mark, seconds):
        if isinstance(answer, Exception):
            raise answer
        return answer

    asked = opened(nonces=store)
    assert asked.ask(signed(shop)) == "internal"
    assert shop.ran == []

    async def later(mark, seconds):
        return True

    for wrong in (later, "redis://", "", "nonces", 7):
        with pytest.raises(TypeError):
            Gateway(shop.own, names=[HOST], nonces=wrong)


def test_a_proof_counts_once_with_all_that_share_a_folder(shop, opened, tmp_path):
    folder = tmp_path / "nonces"
    one, other = opened(nonces=folder), opened(nonces=str(folder))
    # It begins with the first question, and outlives those who share it.
    assert one.ask(signed(shop)) == "possession.starting"
    shop.clock.advance(11)
    request = signed(shop)
    assert one.ask(request) == 200
    assert (
        one.ask(request) == other.ask(request) == opened(nonces=folder).ask(request) == "possession.replayed"
    )
    assert {path.stat().st_mode & 0o077 for path in folder.iterdir()} == {0}
    with pytest.raises(KakuninError, match="folder of used proofs"):
        opened(nonces=folder / "state")


def test_a_folder_that_was_made_again_lets_no_proof_in_twice(shop, opened, tmp_path):
    folder = tmp_path / "nonces"
    old = opened(nonces=folder)
    assert old.ask(signed(shop)) == "possession.starting"
    shop.clock.advance(11)
    used = signed(shop)
    assert old.ask(used) == 200
    shutil.rmtree(folder)
    new = opened(nonces=folder)
    shop.clock.advance(-11)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert new.ask(used) == old.ask(used) == "possession.starting"
    shop.clock.advance(11)
    fresh = signed(shop)
    assert (new.ask(fresh), old.ask(fresh)) == (200, "possession.replayed")
    shutil.rmtree(folder)
    assert old.ask(signed(shop)) == new.ask(signed(shop)) == "internal"


def test_a_folder_that_others_may_write_in_or_a_link_is_refused(shop, tmp_path):
    folder, link = tmp_path / "nonces", tmp_path / "link"
    folder.mkdir()
    folder.chmod(0o777)
    link.symlink_to(folder)
    for wrong in (folder, link):
        with pytest.raises(KakuninError, match="folder of used proofs"):
            Gateway(shop.own, names=[HOST], nonces=wrong)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    folder.chmod(0o755)
    (folder / "state").symlink_to(victim)
    with pytest.raises(KakuninError, match="folder of used proofs"):
        Gateway(shop.own, names=[HOST], nonces=folder)
    assert victim.read_text() == "precious"


def test_a_folder_is_asked_beside_the_loop_and_refuses_while_another_worker_has_it(
    shop, opened, tmp_path, monkeypatch
):
    asked_in, identify = [], AsgiExchange.identify

    def seen(exchange, *what):
        asked_in.append(threading.get_ident())
        return identify(exchange, *what)

    monkeypatch.setattr(AsgiExchange, "identify", seen)
    one = opened(nonces=tmp_path / "nonces")
    assert one.ask(signed(shop)) == "possession.starting"
    shop.clock.advance(11)
    assert asked_in[0] != threading.get_ident()
    with (tmp_path / "nonces/state").open() as state:
        fcntl.flock(state, fcntl.LOCK_EX)
        assert one.ask(signed(shop)) == "internal"
    assert one.ask(signed(shop)) == 200


def test_workers_that_were_forked_share_a_folder(kept, clock_of_now, tmp_path):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b""})

    gateway = Gateway(kept.own, names=[HOST], nonces=tmp_path / "nonces")
    protected = RequireAgent(app, gateway, "payments:send", **SELECTORS)

    def ask(request):
        status, _, body = asgi(protected, request)
        return status if status == 200 else json.loads(body)["code"]

    assert ask(signed(kept)) == "possession.starting"
    clock_of_now.advance(11)
    here, there = signed(kept), signed(kept)
    assert ask(here) == 200
    child = os.fork()
    if child == 0:
        said = []
        try:
            said += [ask(here), ask(there), ask(there)]
        finally:
            os._exit(0 if said == ["possession.replayed", 200, "possession.replayed"] else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert ask(there) == "possession.replayed"
    assert ask(signed(kept)) == 200


def test_where_the_field_of_the_proxies_is_named_no_other_is_looked_at(shop, opened):
    (leaf, issuing), bare = papers(shop)
    shown = bare.also(("client-cert", field(leaf)), ("client-cert-chain", field(issuing)))
    named = {"trusted_proxies": ["192.0.2.0/24"]}
    assert opened(**named, proxy_field="x-forwarded-client-cert").ask(shown) == "possession.missing"
    assert opened(**named, proxy_field="client-cert").ask(shown) == 200
    with pytest.raises(ValueError, match="x-forwarded-client-cert"):
        opened(proxy_field="x-client-cert")


@pytest.mark.parametrize("proxies", [["192.0.2.0/24"], ("10.0.0.1", "::1"), iter(["10.0.0.1"])])
def test_proxies_without_their_field_open_no_gateway(shop, proxies):
    with pytest.raises(TypeError, match='proxy_field="client-cert" or "x-forwarded-client-cert"'):
        Gateway(shop.own, names=[HOST], trusted_proxies=proxies)
    Gateway(shop.own, names=[HOST], trusted_proxies=[], proxy_field=None)


def test_what_cannot_be_used_is_refused_when_it_is_opened(shop, tmp_path):
    for wrong in ([], ["http://shop.example"], ["*"], [""]):
        with pytest.raises(KakuninError):
            Gateway(shop.own, names=wrong)
    with pytest.raises(KakuninError):
        Gateway(shop.own, names=[HOST], serials=tmp_path / "none")
    with pytest.raises(KakuninError):
        Gateway(shop.own, names=[HOST], name_lists=tmp_path / "none")
    with pytest.raises(ValueError, match="no network"):
        Gateway(shop.own, names=[HOST], trusted_proxies=["proxy.internal"], proxy_field="client-cert")
    for wrong in ({"names": HOST}, {"names": [HOST], "trusted_proxies": "10.0.0.1"}):
        with pytest.raises(TypeError):
            Gateway(shop.own, **wrong)
    with pytest.raises(TypeError):
        Gateway("agents/shop", names=[HOST])
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(shop.gateway)
