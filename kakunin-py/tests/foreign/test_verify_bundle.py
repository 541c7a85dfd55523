"""The example incident in the hands of the foreign verifier, as it is and with everything done to it.

scripts/foreign.sh makes the incident and names its folder in KAKUNIN_INCIDENT. An incident that was changed
is put together again as its owner could do it: with right digests in the manifest and checksums in the ZIP.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from verify_bundle import from_b64url, laid_out, members_of, sha256, verify

INCIDENT = Path(os.environ["KAKUNIN_INCIDENT"])
ROOTS = [INCIDENT / "shop.pem", INCIDENT / "bank.pem"]
KEYS = json.loads((INCIDENT / "keys.json").read_text())
BUNDLE = (INCIDENT / "incident.zip").read_bytes()


def verdict(bundle, roots=ROOTS, keys=KEYS):
    """The word, and why."""
    try:
        reasons, _ = verify(
            bundle, [x509.load_pem_x509_certificate(root.read_bytes()) for root in roots], keys
        )
    except Exception as wrong:
        return "INVALID", repr(wrong)
    return ("AUTHENTIC-NOT-COMPLETE", dict(reasons)) if reasons else ("COMPLETE", {})


def put_together(members, receipts=None):
    """The bundle of these members, with a manifest that agrees."""
    manifest = json.loads(members["manifest.json"])
    rest = {name: body for name, body in members.items() if name != "manifest.json"}
    manifest["members"] = [
        {"name": name, "sha256": sha256(body).hex(), "size": len(body)} for name, body in rest.items()
    ]
    if receipts is not None:
        for stream in manifest["streams"]:
            stream["receipts"] = receipts[stream["stream"]]
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    return laid_out({"manifest.json": text, **rest})


def command_line(bundle, tmp_path, roots=ROOTS, keys=KEYS):
    """What `kakunin verify --json` says."""
    file = tmp_path / "judged.zip"
    file.write_bytes(bundle)
    words = [word for root in roots for word in ("--root", root)]
    words += [word for key in keys for word in ("--log-key", key)]
    command = [os.environ["KAKUNIN_CLI"], "verify", file, *words, "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, json.loads(done.stdout)


def test_what_is_put_together_again_is_the_same_bundle():
    assert put_together(members_of(BUNDLE)[1]) == BUNDLE


def test_the_incident_is_complete_with_the_counts_of_the_command_line(tmp_path):
    program = Path(__file__).with_name("verify_bundle.py")
    words = [word for root in ROOTS for word in ("--root", root)]
    words += [word for key in KEYS for word in ("--log-key", key)]
    command = [sys.executable, program, INCIDENT / "incident.zip", *words]
    done = subprocess.run(command, capture_output=True, text=True)
    ours = json.loads(done.stdout)
    code, theirs = command_line(BUNDLE, tmp_path)
    assert (done.returncode, ours["verdict"], code, theirs["verdict"]) == (0, "COMPLETE", 0, "COMPLETE")
    names = {"receipts": "receipts", "allowed": "allow", "denied": "deny", "outcomes": "outcome"}
    names |= {"logged": "logged", "unsigned": "unsigned", "closed": "close"}
    assert len(theirs["streams"]) == len(ours["streams"]) == 3
    for stream in theirs["streams"]:
        counts = ours["streams"][stream["stream"]]
        assert {each: stream[each] for each in names} == {
            each: counts.get(key, 0) for each, key in names.items()
        }


def test_no_flipped_octet_of_the_file_is_complete():
    """Every header, and what they hold at each seventh octet; the manifest to its end."""
    ends = BUNDLE.index(b"receipts.jws", BUNDLE.index(b"PK\3\4", 4))
    central = BUNDLE.index(b"PK\1\2")
    places = {*range(ends + 20), *range(ends + 20, central, 7), *range(central, len(BUNDLE))}
    for at in sorted(places):
        flipped = bytearray(BUNDLE)
        flipped[at] ^= 1 << at % 8
        assert verdict(bytes(flipped))[0] == "INVALID", at


CLASSES = ["receipts.jws", "certs.pem", "crls/", "disclosures.jsonl", "proofs", "checkpoints", "totals"]


@pytest.mark.parametrize("kind", CLASSES)
def test_no_flipped_octet_of_a_member_is_complete_with_a_manifest_that_agrees(kind):
    _, members = members_of(BUNDLE)
    names = [name for name in members if kind in name]
    assert names
    for name in names:
        # The lines of witnesses are not read here: the notes are flipped up to the line of their log.
        length = members[name].rindex(b"\xe2\x80\x94") if kind == "checkpoints" else len(members[name])
        for at in range(0, length, 1 + length // 250):
            body = bytearray(members[name])
            body[at] ^= 1 << at % 8
            bundle = put_together({**members, name: bytes(body)})
            assert verdict(bundle)[0] != "COMPLETE", (name, at)


def without(members, line):
    """The members without one receipt, its proofs and its disclosures; the others name their new lines."""
    lines = members["receipts.jws"].splitlines(keepends=True)
    del lines[line]
    changed = {**members, "receipts.jws": b"".join(lines)}
    rows = [json.loads(row) for row in members["disclosures.jsonl"].splitlines()]
    rows = [{**row, "line": row["line"] - (row["line"] > line)} for row in rows if row["line"] != line]
    spelled = [json.dumps(row, sort_keys=True, separators=(",", ":")).encode() + b"\n" for row in rows]
    changed["disclosures.jsonl"] = b"".join(spelled)
    for name in [name for name in members if name.endswith("/proofs")]:
        proofs = [proof.split(" ", 1) for proof in members[name].decode().splitlines()]
        kept = [(int(at) - (int(at) > line), rest) for at, rest in proofs if int(at) != line]
        changed[name] = "".join(f"{at} {rest}\n" for at, rest in kept).encode()
    return changed


def streams_of(receipts):
    counts = {}
    for entry in receipts.splitlines():
        part = entry.split(b".")[1]
        stream = json.loads(base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4)))["log"]
        counts[stream] = counts.get(stream, 0) + 1
    return counts


def test_no_receipt_can_be_dropped(tmp_path):
    _, members = members_of(BUNDLE)
    for line in range(len(members["receipts.jws"].splitlines())):
        changed = without(members, line)
        bundle = put_together(changed, streams_of(changed["receipts.jws"]))
        said = verdict(bundle)
        assert said[0] != "COMPLETE", line
        assert command_line(bundle, tmp_path)[1]["verdict"] == said[0], (line, said)


def test_a_receipt_that_nobody_signed_is_told_and_counts_nowhere(tmp_path):
    """Each without its signature, as it is and with another outcome; no log has it."""
    _, members = members_of(BUNDLE)
    lines = members["receipts.jws"].decode().splitlines()
    told = {}
    for line, entry in enumerate(lines):
        header, payload, _ = entry.split(".")
        says = json.loads(from_b64url(payload))
        if says["ph"] == "outcome":
            says["res"] = "not_executed"
        spelled = json.dumps(says, sort_keys=True, separators=(",", ":")).encode()
        payload = base64.urlsafe_b64encode(spelled).decode().rstrip("=")
        forged = [*lines[:line], f"{header}.{payload}", *lines[line + 1 :]]
        changed = {**members, "receipts.jws": "".join(f"{text}\n" for text in forged).encode()}
        for name in [name for name in members if name.endswith("/proofs")]:
            kept = [each for each in members[name].splitlines() if not each.startswith(b"%d " % line)]
            changed[name] = b"".join(each + b"\n" for each in kept)
        bundle = put_together(changed)
        word, reasons = verdict(bundle)
        theirs = command_line(bundle, tmp_path)[1]
        assert theirs["verdict"] == word != "COMPLETE", (line, reasons)
        if word != "INVALID":
            assert {reason["code"] for reason in theirs["reasons"]} == set(reasons), (line, reasons)
            told.setdefault(says["ph"], set()).update(reasons)
    # An opening says which log is the agent's own, a close how long the chain is.
    assert told["open"] == {"receipt.unsigned", "tail.not_witnessed"}
    assert told["close"] >= {"receipt.unsigned", "tail.not_witnessed", "stream.open"}


def test_no_two_receipts_can_change_places(tmp_path):
    _, members = members_of(BUNDLE)
    lines = members["receipts.jws"].splitlines(keepends=True)
    for at in range(len(lines) - 1):
        changed = [*lines[:at], lines[at + 1], lines[at], *lines[at + 2 :]]
        bundle = put_together({**members, "receipts.jws": b"".join(changed)})
        assert verdict(bundle)[0] == "INVALID", at


def test_roots_that_are_not_given_are_not_believed(tmp_path):
    for roots in (ROOTS[:1], ROOTS[1:]):
        assert verdict(BUNDLE, roots=roots)[0] == "INVALID"
        assert command_line(BUNDLE, tmp_path, roots=roots)[0] == 1


def test_logs_whose_key_is_not_given_prove_nothing(tmp_path):
    for keys, streams in ((KEYS[:1], 1), (KEYS[1:], 2), ([], 3)):
        said = verdict(BUNDLE, keys=keys)
        assert said == ("AUTHENTIC-NOT-COMPLETE", {"tail.not_witnessed": streams})
        assert command_line(BUNDLE, tmp_path, keys=keys)[1]["verdict"] == said[0]


def test_another_key_of_the_same_name_opens_no_log(tmp_path):
    name = KEYS[0].split("+")[0]
    # The key of the other log, under the name of this one.
    key = base64.b64decode(KEYS[1].split("+", 2)[2])
    key_id = sha256(f"{name}\n".encode() + key)[:4].hex()
    forged = f"{name}+{key_id}+{base64.b64encode(key).decode()}"
    for keys, missing in (([forged], 3), ([forged, KEYS[1]], 2)):
        said = verdict(BUNDLE, keys=keys)
        assert said == ("AUTHENTIC-NOT-COMPLETE", {"tail.not_witnessed": missing})
        assert command_line(BUNDLE, tmp_path, keys=keys)[1]["verdict"] == said[0]


SCOPE = """
actions = ["payments:send"]
[[limit]]
for = ["payments:send"]
currency = "EUR"
per_action = "1000.00"
"""


def test_an_erased_value_is_found_as_erased_by_both(tmp_path):
    """An owner erases; the receipt of that is in no log, and nothing else is missing."""

    def run(*words):
        command = [os.environ["KAKUNIN_CLI"], *words, "--home", tmp_path / "home", "--json"]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[0])

    agent, trail, bundle = tmp_path / "agent", tmp_path / "trail", tmp_path / "erased.zip"
    (tmp_path / "scope.toml").write_text(SCOPE)
    run("init")
    run("agent", "create", "payer", "--scope", tmp_path / "scope.toml", "--out", agent)
    ask = ["--action", "payments:send", "--amount", "12.50", "--currency", "EUR", "--counterparty", "acme"]
    run("check", "--agent", agent, *ask, "--journal", trail)
    erase = ["--agent", agent, "--before", "2100-01-01T00:00:00Z", "--reason", "retention"]
    erased = run("erase", "--journal", trail, *erase)
    assert erased["values"] == 3
    run("export", "--journal", trail, "--out", bundle)
    _, members = members_of(bundle.read_bytes())
    known = {"roots": [agent / "ca.pem"], "keys": []}
    code, theirs = command_line(bundle.read_bytes(), tmp_path, **known)
    word, reasons = verdict(bundle.read_bytes(), **known)
    assert (code, theirs["verdict"], theirs["values"]["erased"]) == (3, word, 3)
    assert {reason["code"] for reason in theirs["reasons"]} == set(reasons) == {"tail.not_witnessed"}
    # Other commitments than the receipt states: nothing is erased by them.
    words = members["erased"].decode().split()
    fewer = put_together({**members, "erased": (" ".join(words[1:]) + "\n").encode()})
    code, theirs = command_line(fewer, tmp_path, **known)
    word, reasons = verdict(fewer, **known)
    assert (theirs["verdict"], theirs["values"]["withheld"]) == (word, reasons["disclosure.missing"])
    assert reasons["disclosure.missing"] == 3
    # None at all: that something is not shown, the receipt of the erasure says.
    none = put_together({name: octets for name, octets in members.items() if name != "erased"})
    for data in (fewer, none):
        told = {reason["code"] for reason in command_line(data, tmp_path, **known)[1]["reasons"]}
        assert told == set(verdict(data, **known)[1])
        assert "erasure.missing" in told
    for wrong in (" ".join(reversed(words)) + "\n", ""):
        other = put_together({**members, "erased": wrong.encode()})
        assert verdict(other, **known)[0] == "INVALID"
        assert command_line(other, tmp_path, **known)[1]["verdict"] == "INVALID"


def test_a_hundred_lines_come_to_the_same(tmp_path):
    program = Path(__file__).with_name("hundred_lines.py")
    assert len(program.read_text().splitlines()) <= 100

    def ends(bundle, *words):
        file = tmp_path / "bundle.zip"
        file.write_bytes(bundle)
        command = [sys.executable, program, file, *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True)

    done = ends(BUNDLE, *ROOTS, *KEYS)
    assert (done.returncode, done.stdout) == (0, "COMPLETE: 15 receipts in 3 streams\n"), done.stderr
    for words in ((ROOTS[0], *KEYS), (*ROOTS, KEYS[0]), ROOTS):
        assert ends(BUNDLE, *words).returncode
    members = members_of(BUNDLE)[1]
    said = [json.loads(from_b64url(line.split(".")[1])) for line in members["receipts.jws"].decode().split()]
    lists = tuple(from_b64url(it["crl"]["h"]).hex() + ".crl" for it in said if it.get("dec") == "allow")
    for name, body in members.items():
        if name.endswith((".jws", ".pem", *lists, "proofs")):
            for place in range(len(body) // 7, len(body), len(body) // 3):
                changed = bytearray(body)
                changed[place] ^= 4
                assert ends(put_together({**members, name: bytes(changed)}), *ROOTS, *KEYS).returncode, name
        if name.endswith("checkpoints"):  # the root of the last one
            changed = bytearray(body)
            changed[body.rfind(b"\n\n") - 5] ^= 4
            assert ends(put_together({**members, name: bytes(changed)}), *ROOTS, *KEYS).returncode, name
    for line in range(15):
        lines = members["receipts.jws"].splitlines(keepends=True)
        del lines[line]
        assert ends(put_together({**members, "receipts.jws": b"".join(lines)}), *ROOTS, *KEYS).returncode
