"""Compare our log and witness with `aics-tlog`, a Python implementation of the same C2SP formats.

Ours for them: a log of real receipts, its tiles, checkpoint, proofs and cosignatures, verified by them.
Theirs for us: a log they built is cosigned by `kakunin witness`, and their fork of it is refused.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from aics_tlog import checkpoint as cp
from aics_tlog import note as notes
from aics_tlog import tiles, tree, verified, writer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SCOPE = """actions = ["payments:send"]
[[limit]]
for = ["payments:send"]
currency = "EUR"
per_action = "10.00"
"""


class Cli:
    def __init__(self, binary: str, work: Path) -> None:
        self.binary, self.work = binary, work

    def run(self, *arguments: str, code: int = 0) -> dict:
        command = [self.binary, *arguments, "--home", str(self.work / "home"), "--json"]
        ran = subprocess.run(command, cwd=self.work, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if ran.returncode != code:
            raise SystemExit(f"{arguments}: exit {ran.returncode} and not {code}\n{ran.stdout}{ran.stderr}")
        return json.loads(ran.stdout.splitlines()[-1]) if ran.stdout else {}


def check(holds: bool, what: str) -> None:
    if not holds:
        raise SystemExit(f"does not hold: {what}")
    print(f"ok: {what}")


def ask(cli: Cli, count: int) -> None:
    """Write `count` decisions into a stream of their own."""
    request = json.dumps({"action": "payments:send", "amount": "1.00", "currency": "EUR"})
    (cli.work / "requests.jsonl").write_text(f"{request}\n" * count)
    lists = str(cli.work / "home/public/lists.pem")
    cli.run(
        "check", "--agent", "agent", "--crl", lists, "--requests", "requests.jsonl", "--journal", "journal"
    )


def ours_for_them(cli: Cli) -> None:
    (cli.work / "scope.toml").write_text(SCOPE)
    cli.run("init")
    cli.run("agent", "create", "oracle", "--scope", "scope.toml", "--out", "agent")
    folder = cli.work / "home/log"
    sizes, witness = [], ""
    for count in (3, 251, 450):
        ask(cli, count)
        log = cli.run("log", "--journal", "journal")
        sizes.append(log["size"])
        look = ("witness", "--state", "witness", "--log", str(folder), "--log-key", log["log"])
        witness = cli.run(*look)["witness"]
    log_key, witness_key = notes.parse_vkey(log["log"]), notes.parse_vkey(witness)
    check(sizes == [5, 258, 710], "every receipt is in the log")

    heads = {}
    for size in sizes:
        note = notes.parse_note((folder / f"witnessed/{size}").read_bytes())
        result = cp.verify_checkpoint(note, log_key, [witness_key], 1, max_age_seconds=3600)
        check(result.ok, f"the checkpoint of {size} entries and its cosignature verify ({result.error})")
        heads[size] = result.root
    head = cp.verify_checkpoint(notes.parse_note((folder / "checkpoint").read_bytes()), log_key)
    check(
        head.ok and (head.size, head.root) == (sizes[-1], heads[sizes[-1]]),
        "the published checkpoint is the last",
    )

    size, root = sizes[-1], heads[sizes[-1]]
    reader = tiles.FileSystemTileReader(folder)
    report = verified.audit_tiles(reader, size, root)
    check((report.tiles, report.bundles) == (4, 3), "every tile and bundle leads to the signed root")
    entries = [tiles.read_entry(reader, index, size) for index in range(size)]
    check(all(entry.count(b".") == 2 for entry in entries), "every entry is a whole receipt")
    theirs = tree.MerkleTree(entries)
    for index in (0, 4, 255, 256, 511, 512, size - 1):
        proof = tiles.inclusion_proof_from_tiles(reader, index, size)
        same = proof == theirs.inclusion_proof(index)
        included = tree.verify_leaf_inclusion(entries[index], index, size, proof, root)
        check(same and included, f"entry {index} is included")
    for old in sizes[:-1]:
        proof = tiles.consistency_proof_from_tiles(reader, old, size)
        check(tree.verify_consistency(old, size, heads[old], root, proof), f"{size} entries continue {old}")

    copy = cli.work / "copy"
    shutil.copytree(folder, copy)
    tile = copy / "tile/0/001"
    octets = bytearray(tile.read_bytes())
    octets[77] ^= 1
    tile.write_bytes(octets)
    try:
        verified.audit_tiles(tiles.FileSystemTileReader(copy), size, root)
        check(False, "a flipped byte is found")
    except tiles.TileVerificationError:
        check(True, "a flipped byte is found")


class TheirLog:
    """A log that their writer builds and their code signs."""

    def __init__(self, folder: Path, key: Ed25519PrivateKey) -> None:
        self.store = writer.DirectoryTileStore(folder, fsync=False)
        self.tiles = writer.IncrementalTileWriter(self.store)
        self.key, self.folder = key, folder

    def append(self, word: str, count: int) -> None:
        start = self.tiles.size
        self.tiles.append(f"{word} {number}".encode() for number in range(start, start + count))
        head = cp.Checkpoint("log.example/theirs", self.tiles.size, self.tiles.root())
        self.store.write_checkpoint(cp.sign_checkpoint(head, self.key, head.origin).to_bytes())


def theirs_for_us(cli: Cli) -> None:
    key = Ed25519PrivateKey.generate()
    log_key = notes.vkey_from_ed25519("log.example/theirs", key.public_key())
    honest, forked, short = (TheirLog(cli.work / name, key) for name in ("honest", "forked", "short"))

    def look(log: TheirLog, code: int = 0) -> dict:
        where = (
            "--state",
            "their-witness",
            "--log",
            str(log.folder),
            "--log-key",
            notes.format_vkey(log_key),
        )
        return cli.run("witness", *where, "--out", "cosigned", code=code)

    for count in (1, 300, 65_300):
        honest.append("entry", count)
        seen = look(honest)
        note = notes.parse_note((cli.work / "cosigned").read_bytes())
        witness_key = notes.parse_vkey(seen["witness"])
        result = cp.verify_checkpoint(note, log_key, [witness_key], 1, max_age_seconds=3600)
        check(
            result.ok and result.size == honest.tiles.size, f"their log of {result.size} entries is cosigned"
        )
    forked.append("entry", 301)
    forked.append("another", 65_400)
    check("forked" in look(forked, code=1)["error"], "their fork is refused")
    short.append("entry", 301)
    check("set back" in look(short, code=1)["error"], "their log that was set back is refused")


if __name__ == "__main__":
    at_work = Cli(sys.argv[1], Path(sys.argv[2]))
    ours_for_them(at_work)
    theirs_for_us(at_work)
