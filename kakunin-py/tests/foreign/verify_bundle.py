"""verify_bundle.py BUNDLE --root PEM.. --log-key KEY..: a second verifier, in another language.

Written from docs/wire.md alone, with `cryptography` and the standard library, so that the page is known to
say enough. It believes the roots and the keys of logs that it is given, and nothing in the bundle. It reads
no seals, cosignatures and consistency proofs, decides nothing again, and judges at the time that a receipt
claims; an allow of a certificate that any list revokes is never COMPLETE.

Exit: 0 COMPLETE, 1 INVALID, 3 AUTHENTIC-NOT-COMPLETE or EMPTY.
"""

import argparse
import base64
import hashlib
import io
import json
import re
import struct
import sys
import zipfile
import zlib
from collections import Counter
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils
from cryptography.hazmat.primitives.serialization import Encoding

ORDER = ["manifest.json", "receipts.jws", "certs.pem", r"crls/[0-9a-f]{64}\.crl", "disclosures.jsonl"]
ORDER += ["erased", "feed", r"logs/\d+/(?:checkpoints|consistency|proofs)", "seals", "totals", "VERIFY.md"]
SCOPE = x509.ObjectIdentifier("1.3.6.1.4.1.32473.1.1")
POSSESSIONS = ("signature", "tls", "proxy", "none")


def need(holds, what):
    if not holds:
        raise ValueError(what)


def sha256(data):
    return hashlib.sha256(data).digest()


def b64url(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def from_b64url(text):
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    need(b64url(data) == text, "another spelling of base64url")
    return data


def from_base64(text):
    data = base64.b64decode(text, validate=True)
    need(base64.b64encode(data).decode() == text, "another spelling of base64")
    return data


def number(text):
    need(text == str(int(text)), "another spelling of a number")
    return int(text)


def from_json(text):
    value = json.loads(text)
    need(
        json.dumps(value, sort_keys=True, separators=(",", ":")).encode() == text, "another spelling of JSON"
    )
    return value


def lines_of(text):
    *lines, rest = text.decode("ascii").split("\n")
    need(rest == "", "a last line without its end")
    return lines


def leaf(data):
    return sha256(b"\0" + data)


def node(left, right):
    return sha256(b"\1" + left + right)


def root_of(leaves):
    """The root of a tree (RFC 6962, section 2.1)."""
    if len(leaves) < 2:
        return leaves[0] if leaves else sha256(b"")
    half = 1 << ((len(leaves) - 1).bit_length() - 1)
    return node(root_of(leaves[:half]), root_of(leaves[half:]))


def led_to(entry, index, size, path):
    """The root that an inclusion proof leads to; hashes are in base64, from the leaf up."""
    need(0 <= index < size and (size > 1 or not path), "no such place in the tree")
    if size == 1:
        return entry
    half, (*below, top) = 1 << ((size - 1).bit_length() - 1), path
    if index < half:
        return node(led_to(entry, index, half, below), from_base64(top))
    return node(from_base64(top), led_to(entry, index - half, size - half, below))


def laid_out(members):
    """The one ZIP that these members make."""
    local = central = b""
    for name, body in members.items():
        size = len(body)
        fixed = struct.pack("<5H3I2H", 10, 0, 0, 0, 0x21, zlib.crc32(body), size, size, len(name), 0)
        place = struct.pack("<3H2I", 0, 0, 0, 0, len(local))
        central += b"PK\1\2" + struct.pack("<H", 10) + fixed + place + name.encode()
        local += b"PK\3\4" + fixed + name.encode() + body
    end = struct.pack("<4H2IH", 0, 0, len(members), len(members), len(central), len(local), 0)
    return local + central + b"PK\5\6" + end


def members_of(data):
    """The manifest and all members of a bundle."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        need(all(each.file_size <= len(data) for each in archive.infolist()), "the ZIP is compressed")
        members = {each.filename: archive.read(each) for each in archive.infolist()}
    need(laid_out(members) == data, "another ZIP than these members make")
    places = [next(at for at, form in enumerate(ORDER) if re.fullmatch(form, name)) for name in members]
    need(places == sorted(places), "members in another order")
    manifest, said = from_json(members["manifest.json"].removesuffix(b"\n")), list(members.items())[1:]
    listed = [{"name": name, "sha256": sha256(body).hex(), "size": len(body)} for name, body in said]
    need(manifest["v"] == 1 and manifest["members"] == listed, "the manifest lists other members")
    return manifest, members


def checkpoint_of(note, vkey):
    """Size and root of a checkpoint, which the key of its log signed."""
    text, signatures = note.split("\n\n")
    (name, key_id, encoded), (origin, size, root) = vkey.split("+", 2), text.split("\n")
    key = from_base64(encoded)
    need(
        key[0] == 1 and sha256(f"{name}\n".encode() + key)[:4].hex() == key_id, f"`{vkey}` is no key of a log"
    )
    (ours,) = [line for line in signatures.split("\n") if line.startswith(f"\u2014 {name} ")]
    signature = from_base64(ours.split(" ")[2])
    need(origin == name and signature[:4].hex() == key_id, f"a checkpoint of {origin} under another key")
    ed25519.Ed25519PublicKey.from_public_bytes(key[1:]).verify(signature[4:], f"{text}\n".encode())
    return number(size), from_base64(root)


def logs_of(members, keys, entries):
    """The given logs that hold each line of `receipts.jws`; a log whose key is not given proves nothing."""
    held = [set() for _ in entries]
    for name in [name for name in members if name.endswith("/checkpoints")]:
        parts = members[name].decode().removesuffix("\n").split("\n\n")
        lines = [line.split(" ") for line in parts[-1].split("\n")]
        signers = tuple(f"{signer}+{from_base64(signature)[:4].hex()}+" for _, signer, signature in lines)
        for key in [key for key in keys if key.startswith(signers)]:
            heads = [checkpoint_of("\n\n".join(parts[at : at + 2]), key) for at in range(0, len(parts), 2)]
            for proof in lines_of(members[name.replace("checkpoints", "proofs")]):
                (line, index, *path), (size, root) = proof.split(" "), heads[-1]
                led = led_to(leaf(entries[number(line)].encode()), number(index), size, path)
                need(led == root, f"line {line} is not in the log of {name}")
                held[number(line)].add(key)
    return held


def is_issued(certificate, issuer):
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    usage = issuer.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    may = usage and issuer.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    begins = issuer.not_valid_before_utc <= certificate.not_valid_before_utc
    return may and begins and certificate.not_valid_after_utc <= issuer.not_valid_after_utc


def lists_of(members, issuers):
    """The revocation lists by the SHA-256 of what is signed, each signed by one of the issuers."""
    lists = {}
    for name in [name for name in members if name.startswith("crls/")]:
        crl = x509.load_der_x509_crl(members[name])
        digest = sha256(crl.tbs_certlist_bytes)
        need(members[name].endswith(b"\0" + crl.signature), "a signature with bits that do not count")
        signers = [
            ca for ca in issuers if ca.subject == crl.issuer and crl.is_signature_valid(ca.public_key())
        ]
        need(
            name == f"crls/{digest.hex()}.crl" and signers,
            f"{name} is another list, or signed by nobody here",
        )
        lists[digest] = crl
    return lists


def issuer_of(agent, urn, authorities, roots):
    """Who issued the certificate of the agent `urn`, under a given root."""
    issuer = next(ca for ca in authorities for root in roots if is_issued(agent, ca) and is_issued(ca, root))
    agent.extensions.get_extension_for_oid(SCOPE)
    names = agent.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    need(names.get_values_for_type(x509.UniformResourceIdentifier) == [urn], "another subject")
    return issuer


class Receipt:
    """One line of `receipts.jws`."""

    def __init__(self, entry, certificates):
        header, payload, *signature = entry.split(".")
        thumbprint = json.loads(from_b64url(header))["x5t#S256"]
        self.certificate, self.signed = certificates[thumbprint], bool(signature)
        self.says, self.hash = from_json(from_b64url(payload)), b64url(sha256(f"{header}.{payload}".encode()))
        # A gateway decides by the certificate of whoever asked it.
        asked = self.says.get("cal")
        self.caller = certificates[asked["c"]] if asked else None
        key = self.certificate.public_key()
        head = {"alg": "ES256", "typ": "kakunin-receipt+jws", "x5t#S256": thumbprint}
        head["alg"] = "EdDSA" if isinstance(key, ed25519.Ed25519PublicKey) else "ES256"
        need(json.dumps(head, separators=(",", ":")).encode() == from_b64url(header), "another header")
        if self.signed:
            octets, signed = from_b64url(*signature), f"{header}.{payload}".encode()
            need(len(octets) == 64, "no signature of 64 octets")
            if head["alg"] == "EdDSA":
                key.verify(octets, signed)
            else:
                need(isinstance(key.curve, ec.SECP256R1), "another curve")
                r, s = int.from_bytes(octets[:32], "big"), int.from_bytes(octets[32:], "big")
                key.verify(utils.encode_dss_signature(r, s), signed, ec.ECDSA(hashes.SHA256()))

    def judge(self, authorities, roots, lists):
        """The path of the certificate to a given root, and the list that a decision names."""
        says = self.says
        issuer, judged = issuer_of(self.certificate, says["sub"], authorities, roots), [self.certificate]
        if self.caller:
            need(says["ph"] == "decision", "a caller of something else")
            need(says["cal"]["p"] in POSSESSIONS and set(says["cal"]) == set("cps"), "another caller")
            need(issuer_of(self.caller, says["cal"]["s"], authorities, roots) == issuer, "a stranger")
            judged.append(self.caller)
        allow = says["ph"] == "decision" and says["dec"] != "deny"
        if allow or "crl" in says:
            crl = lists[from_b64url(says["crl"]["h"])]
            number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
            begins, ends = crl.last_update_utc.timestamp(), crl.next_update_utc.timestamp()
            need(
                crl.issuer == issuer.subject and crl.is_signature_valid(issuer.public_key()), "another's list"
            )
            need(
                says["crl"] == {**says["crl"], "n": f"{number:x}", "t": begins, "u": ends},
                "described otherwise",
            )
        if allow:
            at = says["ts"] / 1e6
            need(begins - 120 <= at < ends, "an allow outside the interval of its list")
            for agent in judged:
                begin, end = agent.not_valid_before_utc, agent.not_valid_after_utc
                need(
                    not crl.get_revoked_certificate_by_serial_number(agent.serial_number),
                    "an allow against its list",
                )
                need(begin.timestamp() - 120 <= at < end.timestamp() + 1, "an allow outside its certificate")


class Stream:
    """What the receipts of one stream, in their order, are to one another."""

    def __init__(self, chain, totals):
        self.chain, self.totals, self.before, self.close = chain, totals, None, None
        self.opened, self.own, self.shown = False, None, -1
        self.pending, self.last, self.counts = set(), {}, Counter()

    def take(self, receipt):
        says, before, kind = receipt.says, self.before, receipt.says.get("ctl", {}).get("kind")
        der = receipt.certificate.public_bytes(Encoding.DER)
        if before is None:
            begin = b64url(sha256(der + bytes.fromhex(says["nonce"])))
            need((says["ph"], says["seq"], says["prev"]) == ("open", 0, begin), "another beginning")
            self.opened, self.own = receipt.signed, says.get("own")
        else:
            gap, announced = says["seq"] - before.says["seq"], before.says.get("ctl", {}).get("next")
            need(gap == 1 or (self.chain and gap > 1), "a number is missing, or twice")
            need(gap > 1 or says["prev"] == before.hash, "another previous hash")
            need(says["ph"] != "open" and (not self.close or kind == "recovered"), "more after its close")
            taken = kind == "recovered" and receipt.signed
            known = receipt.certificate == before.certificate or taken
            need(known or (before.signed and announced == b64url(sha256(der))), "another certificate")
        if "chn" in says:
            gap = says["cn"] - self.last.get(says["chn"], -1)
            need(gap == 1 or (self.chain not in (None, says["chn"]) and gap > 1), "a gap in a chain")
            self.last[says["chn"]] = says["cn"]
            if self.chain == says["chn"] and receipt.signed:
                need(says["cn"] == self.shown + 1, "a gap in a chain that nobody signed for")
                self.shown = says["cn"]
        runs = {"enforce": says.get("dec") == "allow", "observe": True, "check": False}
        if says["ph"] == "decision" and runs[says["mode"]]:
            self.pending.add(receipt.hash)
        elif says["ph"] == "outcome":
            need(says["par"][0] in self.pending, "an outcome of no open decision")
            self.pending -= {says["par"][0]} if receipt.signed else set()
        self.counts[says.get("dec", says["ph"]) if receipt.signed else "unsigned"] += 1
        self.before, self.close = receipt, receipt if says["ph"] == "close" and receipt.signed else None

    def open_end(self):
        """Compares the totals under the close. Gives what keeps the end from being known."""
        end = self.close.says.get("end") if self.close else None
        if not end:
            unproven = ["chain.length_unproven"] if self.chain else []
            return ["stream.recovered" if self.close else "stream.open", *unproven]
        if not self.chain:
            lines = [leaf(f"{chain} {last}".encode()) for chain, last in sorted(self.last.items())]
            counted = {name: self.counts[name] for name in ("allow", "deny", "outcome")}
            need(end == {**counted, "chains": len(lines), "root": b64url(root_of(lines))}, "other totals")
        elif self.shown >= 0:
            if not self.totals:
                return ["chain.length_unproven"]
            last, index, size, *path = self.totals
            led = led_to(leaf(f"{self.chain} {last}".encode()), number(index), number(size), path)
            need(
                (number(last), number(size)) == (self.shown, end["chains"]),
                "another end of the chain",
            )
            need(b64url(led) == end["root"], "an end of the chain that is not under the close")
        elif end["chains"]:
            return ["chain.length_unproven"]
        return []


def erased_in(members, receipts):
    """What receipts of each agent say was erased, and how many of them do not show what."""
    lines = lines_of(members["erased"]) if "erased" in members else []
    sets = {}
    for line in lines:
        hashes = [from_base64(word) for word in line.split(" ")]
        need(hashes == sorted(set(hashes)), "commitments that do not ascend")
        sets[root_of([leaf(each) for each in hashes])] = {b64url(each) for each in hashes}
    need(list(sets) == sorted(sets) and len(sets) == len(lines), "erasures in another order")
    need(lines or "erased" not in members, "a member for no erasure")
    said, unshown = {}, 0
    for receipt in receipts:
        note = receipt.says.get("ctl", {})
        if note.get("kind") == "erased" and receipt.signed:
            found = sets.get(from_b64url(note["digest"]), set())
            if len(found) == note["count"]:
                said.setdefault(receipt.says["sub"], set()).update(found)
            else:
                unshown += 1
    return said, unshown


def verify(data, roots, keys):
    """The reasons why the bundle is not COMPLETE, and its streams. Raises what makes it INVALID."""
    manifest, members = members_of(data)
    entries = lines_of(members["receipts.jws"])
    authorities = x509.load_pem_x509_certificates(members["certs.pem"])
    pem = [each.public_bytes(Encoding.PEM) for each in authorities]
    need(b"".join(pem) == members["certs.pem"], "another spelling of certificates")
    certificates = {b64url(each.fingerprint(hashes.SHA256())): each for each in authorities}
    lists, held = lists_of(members, [*authorities, *roots]), logs_of(members, keys, entries)
    totals = {line.split(" ")[0]: line.split(" ")[1:] for line in lines_of(members["totals"])}
    receipts, streams, reasons = [], {}, Counter()
    for line, entry in enumerate(entries):
        try:
            receipts.append(Receipt(entry, certificates))
            receipts[-1].judge(authorities, roots, lists)
            name = receipts[-1].says["log"]
            streams.setdefault(name, Stream(manifest.get("chain"), totals.get(name))).take(receipts[-1])
            streams[name].counts["receipts"] += 1
            streams[name].counts["logged"] += bool(held[line])
        except Exception as wrong:
            raise ValueError(f"line {line}: {type(wrong).__name__} {wrong}") from wrong
    found = [{"receipts": each.counts["receipts"], "stream": name} for name, each in streams.items()]
    need(manifest["streams"] == found, "another number of receipts than the manifest says")
    for stream in streams.values():
        end = held[receipts.index(stream.close)] if stream.close else ()
        seen = stream.opened and any(b64url(sha256(key.encode())) != stream.own for key in end)
        found = [*stream.open_end(), None if seen else "tail.not_witnessed"]
        found += ["outcome.missing"] * len(stream.pending) + ["receipt.unsigned"] * stream.counts["unsigned"]
        reasons.update(filter(None, found))
    rows = [from_json(row.encode()) for row in lines_of(members["disclosures.jsonl"])]
    opened = {row["line"]: {b64url(sha256(text.encode())) for text in row["disclosures"]} for row in rows}
    known, (erased, unshown) = {each.hash for each in receipts if each.signed}, erased_in(members, receipts)
    reasons["erasure.missing"] += 0 if manifest.get("chain") else unshown
    for line, receipt in enumerate(receipts):
        says = receipt.says
        serials = [each.serial_number for each in (receipt.certificate, receipt.caller) if each]
        committed = {*says.get("in", {}).values(), *says.get("tgt", {}).values()}
        committed |= {says["out"]["h"]} if "out" in says else set()
        need(opened.get(line, set()) <= committed, f"line {line}: a value that nothing commits to")
        shown, gone = opened.get(line, set()), erased.get(says["sub"], set())
        reasons["disclosure.missing"] += len(committed - shown - gone)
        reasons["disclosure.not_erased"] += len(shown & gone)
        follows = says.get("par", [])[says["ph"] == "outcome" :] if receipt.signed else []
        reasons["parent.missing"] += len(set(follows) - known)
        revoked = any(
            crl.get_revoked_certificate_by_serial_number(serial)
            for crl in lists.values()
            for serial in serials
        )
        reasons["time.unproven"] += revoked and says.get("dec") == "allow"
    return +reasons, streams


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--root", type=Path, action="append", required=True)
    parser.add_argument("--log-key", action="append", default=[])
    given = parser.parse_args()
    try:
        roots = [x509.load_pem_x509_certificate(path.read_bytes()) for path in given.root]
        reasons, streams = verify(given.bundle.read_bytes(), roots, given.log_key)
    except Exception as wrong:  # what cannot be read is not believed
        print(json.dumps({"verdict": "INVALID", "invalid": f"{type(wrong).__name__}: {wrong}"}))
        return 1
    counts = {name: stream.counts for name, stream in streams.items()}
    signed = any(each["receipts"] > each["unsigned"] for each in counts.values())
    verdict = "EMPTY" if not signed else "AUTHENTIC-NOT-COMPLETE" if reasons else "COMPLETE"
    print(json.dumps({"verdict": verdict, "reasons": reasons, "streams": counts}))
    return 0 if verdict == "COMPLETE" else 3


if __name__ == "__main__":
    sys.exit(main())
