"""Proofs of possession between our programs and a library of RFC 9421 that knows nothing of them.

What `kakunin agent renew` sends is verified by `http-message-signatures`, and what that library signs is
taken by `kakunin serve`: both from docs/wire.md 6 alone. scripts/foreign.sh names the command line in
KAKUNIN_CLI.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import http.client
import http.server
import json
import os
import secrets
import subprocess
import threading
import time
from types import SimpleNamespace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from http_message_signatures import (
    HTTPMessageSigner,
    HTTPMessageVerifier,
    InvalidSignature,
    MappingKeyResolver,
    algorithms,
)

CLI = os.environ["KAKUNIN_CLI"]
COVERED = ("@method", "@authority", "@path", "@query", "content-digest", "kakunin-certificate-chain")


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """An authority that is served: its host with port, and its owner's key."""
    place = tmp_path_factory.mktemp("service")
    ready = place / "ready.json"
    command = [CLI, "serve", "--home", place / "home", "--listen", "127.0.0.1:0", "--ready-file", ready]
    with (place / "log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log)
    deadline = time.monotonic() + 120
    while not ready.exists():
        assert process.poll() is None, (place / "log").read_text()
        assert time.monotonic() < deadline, "the service is not ready"
        time.sleep(0.01)
    said = json.loads(ready.read_text())
    yield SimpleNamespace(host=said["url"].removeprefix("http://"), owner=said["owner_key"])
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def agent(service):
    """An agent with a key that was made here, and its papers."""
    scope = {"actions": ["read:*"]}
    made = post(service.host, "/v1/agents", {"name": "billing", "scope": scope}, owner=service.owner)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "billing")])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    csr = request.public_bytes(serialization.Encoding.PEM).decode()
    papers = post(service.host, f"/v1/agents/{made['id']}/enrol", {"csr": csr}, owner=service.owner)
    leaf, issuing = (
        x509.load_pem_x509_certificate(papers[name].encode()) for name in ("certificate_pem", "chain_pem")
    )
    chain = [paper.public_bytes(serialization.Encoding.DER) for paper in (leaf, issuing)]
    return SimpleNamespace(id=made["id"], key=key, papers=papers, chain=chain)


def post(host, path, body, *, owner=None, headers=None, content=None):
    """The data of the answer, or its status where that is none of 200 and 201."""
    connection = http.client.HTTPConnection(host, timeout=60)
    sent = json.dumps(body).encode() if content is None else content
    fields = {"content-type": "application/json", **(headers or {})}
    if owner:
        fields["authorization"] = f"Bearer {owner}"
    connection.request("POST", path, sent, fields)
    answer = connection.getresponse()
    text = json.loads(answer.read())
    connection.close()
    return text["data"] if answer.status in (200, 201) else (answer.status, text["code"])


def signed(host, agent, path, content):
    """The fields of a proof, by the library."""
    resolver = MappingKeyResolver(public_keys={}, private_keys={"": agent.key})
    resolver.resolve_private_key = lambda _: agent.key
    signer = HTTPMessageSigner(signature_algorithm=algorithms.ECDSA_P256_SHA256, key_resolver=resolver)
    chain = ", ".join(f":{base64.b64encode(der).decode()}:" for der in agent.chain)
    headers = {"kakunin-certificate-chain": chain}
    message = SimpleNamespace(method="POST", url=f"http://{host}{path}", headers=headers)
    signer.sign(
        message,
        key_id=hashlib.sha256(agent.chain[0]).hexdigest(),
        created=datetime.datetime.now(datetime.timezone.utc),
        nonce=secrets.token_hex(16),
        tag="kakunin",
        label="kakunin",
        include_alg=False,
        covered_component_ids=COVERED,
        body=content,
    )
    return {name.lower(): value for name, value in message.headers.items()}


def test_what_the_library_signs_is_taken_and_nothing_that_was_changed(service, agent):
    path = f"/v1/agents/{agent.id}/renew"
    fields = signed(service.host, agent, path, b"{}")
    renewed = post(service.host, path, None, headers=fields, content=b"{}")
    assert isinstance(renewed, dict), renewed
    assert "certificate_pem" in renewed
    again = post(service.host, path, None, headers=fields, content=b"{}")
    assert again == (401, "possession.replayed")
    fields = signed(service.host, agent, path, b"{}")
    assert post(service.host, path, None, headers=fields, content=b"{ }")[1] == "possession.content"
    fields = signed("elsewhere.example", agent, path, b"{}")
    assert post(service.host, path, None, headers=fields, content=b"{}")[1].startswith("possession.")


def test_what_the_command_line_signs_is_verified_by_the_library(agent, tmp_path):
    heard = []

    class Desk(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            content = self.rfile.read(int(self.headers["content-length"]))
            heard.append((self.path, self.headers, content))
            self.send_response(503)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    directory = tmp_path / "agent"
    directory.mkdir(mode=0o700)
    names = {"certificate_pem": "agent.pem", "chain_pem": "chain.pem", "ca_pem": "ca.pem"}
    for member, file in {**names, "lists_pem": "lists.pem"}.items():
        (directory / file).write_text(agent.papers[member])
    (directory / "agent.toml").write_text('lists = "lists.pem"\n')
    pem = agent.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (directory / "key.pem").touch(mode=0o600)
    (directory / "key.pem").write_bytes(pem)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Desk) as desk:
        threading.Thread(target=desk.serve_forever, daemon=True).start()
        host = f"127.0.0.1:{desk.server_port}"
        command = [CLI, "agent", "renew", agent.id, "--out", directory, "--url", f"http://{host}"]
        subprocess.run(command, capture_output=True, timeout=120, check=False)
        desk.shutdown()
    path, headers, content = heard[0]
    public = x509.load_pem_x509_certificate(agent.papers["certificate_pem"].encode()).public_key()
    key_id = hashlib.sha256(agent.chain[0]).hexdigest()
    verifier = HTTPMessageVerifier(
        signature_algorithm=algorithms.ECDSA_P256_SHA256,
        key_resolver=MappingKeyResolver(public_keys={key_id: public}, private_keys={}),
    )

    def verified(path=path, content=content, **changed):
        fields = {name.lower(): value for name, value in headers.items()} | changed
        message = SimpleNamespace(method="POST", url=f"http://{host}{path}", headers=fields)
        minute = datetime.timedelta(seconds=60)
        return verifier.verify(
            message, max_age=minute, expect_tag="kakunin", require_components=COVERED, body=content
        )

    assert len(verified()) == 1
    for other in (
        lambda: verified(path=f"{path}?x"),
        lambda: verified(content=b"{ }"),
        lambda: verified(**{"kakunin-certificate-chain": ":AAAA:"}),
    ):
        with pytest.raises(InvalidSignature):
            other()
