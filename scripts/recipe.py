"""recipe.py BUNDLE NODE_MODULES: runs the code of BUNDLE/VERIFY.md as it stands, for each signed decision.

The blocks of one language and one receipt are one program, as for a reader who types them in one after the
other. What decides is their exit code. Then the recipe has to fail where it must: with another root, another
answer in the receipt, the signature of another receipt.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from pathlib import Path

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RUN = {
    "sh": ["sh", "-eu", "recipe.sh"],
    "python": ["python3", "recipe.py"],
    "js": ["node", "recipe.mjs"],
}
FILE = {"sh": "recipe.sh", "python": "recipe.py", "js": "recipe.mjs"}


def programs(text: str) -> dict[str, str]:
    """The program of each language, in the order of the page."""
    found: dict[str, str] = {}
    for language, code in BLOCK.findall(text):
        found[language] = found.get(language, "") + code
    unknown = found.keys() - RUN.keys()
    if unknown or found.keys() != RUN.keys():
        sys.exit(f"VERIFY.md has blocks of {sorted(found)}, and not of {sorted(RUN)}")
    return found


def follow(folder: Path, line: int) -> dict[str, str]:
    """Runs all programs for one line of `receipts.jws`. Gives what those said that failed, by language."""
    failed = {}
    environment = {"PATH": os.environ["PATH"], "LINE": str(line), "LC_ALL": "C.UTF-8"}
    for language, command in RUN.items():
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60
        )
        if done.returncode:
            failed[language] = f"{done.stdout[-500:]}{done.stderr[-1000:]}"
    return failed


def payload(token: str) -> dict[str, object]:
    part = token.split(".")[1]
    decoded: dict[str, object] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return decoded


def with_payload(token: str, old: bytes, new: bytes) -> str:
    header, part, signature = token.split(".")
    decoded = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    assert old in decoded
    changed = base64.urlsafe_b64encode(decoded.replace(old, new)).decode().rstrip("=")
    return f"{header}.{changed}.{signature}"


def must_fail(folder: Path, what: str, languages: set[str]) -> None:
    """The recipe, run for the first line, has to fail in these languages."""
    failed = follow(folder, 1).keys()
    if failed != languages:
        sys.exit(f"{what}: fails in {sorted(failed)}, and has to in {sorted(languages)}")
    print(f"{what}: refused by {', '.join(sorted(languages))}")


def main(bundle: Path, modules: Path) -> None:
    for language, program in programs((bundle / "VERIFY.md").read_text()).items():
        (bundle / FILE[language]).write_text(program)
    (bundle / "node_modules").symlink_to(modules)
    tokens = (bundle / "receipts.jws").read_text().splitlines()
    decisions = {
        line: token
        for line, token in enumerate(tokens, start=1)
        # A line that ends with a dot is signed by its seal, one with a single dot by nobody.
        if token.count(".") == 2 and not token.endswith(".") and payload(token)["ph"] == "decision"
    }
    if len(decisions) < 2:
        sys.exit("the bundle has less than two decisions with a signature of their own")
    for line in decisions:
        if failed := follow(bundle, line):
            sys.exit("\n".join(f"line {line}, {language}: {words}" for language, words in failed.items()))
    print(f"{len(decisions)} decisions, as VERIFY.md says: openssl, PyJWT and jose agree")

    receipts, root = bundle / "receipts.jws", bundle / "root.pem"
    whole = root.read_text()
    first, second, *_ = decisions.values()
    denied = next(token for token in decisions.values() if payload(token)["dec"] == "deny")
    header, part, _ = first.split(".")
    receipts.write_text(f"{header}.{part}.{second.split('.')[2]}\n")
    must_fail(bundle, "the signature of another receipt", set(RUN))
    receipts.write_text(with_payload(denied, b'"dec":"deny"', b'"dec":"allow"') + "\n")
    must_fail(bundle, "another answer", set(RUN))
    receipts.write_text(f"{first}\n")
    root.write_text(strange_root())
    must_fail(bundle, "another root", {"sh"})
    root.write_text(whole)
    if failed := follow(bundle, 1):
        sys.exit(f"what was put back fails: {failed}")


def strange_root() -> str:
    """A root of somebody else's."""
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-keyout", os.devnull, "-subj", "/CN=somebody", "-days", "3650"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
