"""hundred_lines.py BUNDLE ROOT.pem.. KEY..: what a bundle proves, in a hundred lines. Exit 0 if it holds.

Short for verify_bundle.py: it leaves out spellings, seals, witnesses, erasures and totals, and refuses less.
"""

import base64
import hashlib
import json
import sys
import zipfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils


def need(holds, what):
    if not holds:
        raise SystemExit(f"INVALID: {what}")


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def b64url(octets):
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")


def unb64(text):
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_" if set(text) & {"-", "_"} else None)


def root_of(leaf, index, size, path):  # RFC 6962, 2.1.1
    if size == 1:
        return leaf
    half = 1 << ((size - 1).bit_length() - 1)
    if index < half:
        return sha256(b"\1", root_of(leaf, index, half, path[:-1]), unb64(path[-1]))
    return sha256(b"\1", unb64(path[-1]), root_of(leaf, index - half, size - half, path[:-1]))


def checkpoint(text, lines, name, key):  # C2SP signed-note
    (line,) = [line for line in lines.split("\n") if line.startswith(f"\u2014 {name} ")]
    signed = f"{text}\n".encode()
    ed25519.Ed25519PublicKey.from_public_bytes(key[1:]).verify(unb64(line.split(" ")[2])[4:], signed)
    origin, size, root = text.split("\n")
    need(origin == name, "a checkpoint of another log")
    return int(size), base64.b64decode(root)


bundle, given = zipfile.ZipFile(sys.argv[1]), sys.argv[2:]
roots = [x509.load_pem_x509_certificate(Path(it).read_bytes()) for it in given if it.endswith(".pem")]
keys = [it.split("+", 2) for it in given if not it.endswith(".pem")]
manifest = json.loads(bundle.read("manifest.json"))
need(len(bundle.namelist()) == len(manifest["members"]) + 1, "other members than the manifest lists")
for it in manifest["members"]:
    need(sha256(bundle.read(it["name"])).hex() == it["sha256"], f"{it['name']} has another digest")
issued = x509.load_pem_x509_certificates(bundle.read("certs.pem"))
named = {b64url(it.fingerprint(hashes.SHA256())): it for it in issued}
lists = [x509.load_der_x509_crl(bundle.read(it)) for it in bundle.namelist() if it.startswith("crls/")]
lists = {b64url(sha256(it.tbs_certlist_bytes)): it for it in lists}
entries = bundle.read("receipts.jws").decode().splitlines()
seen, last, counters, signed = set(), {}, {}, [entry.rpartition(".")[0].encode() for entry in entries]
receipts = {b64url(sha256(text)) for text in signed}
for line, (entry, text) in enumerate(zip(entries, signed, strict=True)):
    header, payload, signature = (unb64(part) for part in entry.split("."))
    agent, says = named[json.loads(header)["x5t#S256"]], json.loads(payload)
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    agent.public_key().verify(utils.encode_dss_signature(r, s), text, ec.ECDSA(hashes.SHA256()))
    issuer = next(it for it in issued if it.subject == agent.issuer)
    agent.verify_directly_issued_by(issuer)
    issuer.verify_directly_issued_by(next(it for it in roots if it.subject == issuer.issuer))
    if says.get("dec") == "allow":
        crl, at = lists[says["crl"]["h"]], says["ts"] / 1e6
        need(crl.is_signature_valid(issuer.public_key()), f"receipt {line}: a list of somebody else")
        good = not crl.get_revoked_certificate_by_serial_number(agent.serial_number)
        fresh = crl.last_update_utc.timestamp() - 120 <= at < crl.next_update_utc.timestamp()
        valid = at <= agent.not_valid_after_utc.timestamp()
        need(good and fresh and valid, f"receipt {line}: not allowed at that time")
    number, previous = last.get(says["log"], (-1, None))
    follows = number < 0 or says["seq"] > number + 1 or says["prev"] == previous
    need(says["seq"] > number and follows, f"receipt {line}: it does not follow the one before")
    last[says["log"]] = says["seq"], b64url(sha256(text))
    if says.get("chn") == manifest["chain"]:
        need(says["cn"] == counters.get(says["log"], -1) + 1, f"receipt {line}: a gap in the chain")
        counters[says["log"]] = says["cn"]
    need(set(says.get("par", [])) <= receipts, f"receipt {line}: what it follows from is not here")
for name, _, key in keys:
    for it in (it.removesuffix("checkpoints") for it in bundle.namelist() if it.endswith("checkpoints")):
        parts = bundle.read(f"{it}checkpoints").decode().removesuffix("\n").split("\n\n")
        if f"\u2014 {name} " in parts[-1]:
            size, root = checkpoint(*parts[-2:], name, base64.b64decode(key))
            for line, index, *path in map(str.split, bundle.read(f"{it}proofs").decode().splitlines()):
                led = root_of(sha256(b"\0", entries[int(line)].encode()), int(index), size, path)
                need(led == root, f"receipt {line} is not in the log {name}")
                seen.add(int(line))
need(seen == set(range(len(entries))), "receipts that no given log holds")
print(f"COMPLETE: {len(entries)} receipts in {len(last)} streams")
