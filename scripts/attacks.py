"""Check docs/attacks.md: every row names its tests, and every named test exists in the source tree.

A cell holds test names in backticks, or `later: reason`. With `--allow-empty` an empty cell is only counted.
The probes of a guarded function that all languages have, P1 to P18, have a test in each of them.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "docs" / "attacks.md"
ROW = re.compile(r"^\| ([PCFASGRTE]\d+) \|.*\|([^|]*)\|$")
NAME = re.compile(r"`([^`]+)`")
LATER = re.compile(r"later: \S")
#: A function, a test of `node:test` by its name, or a vector.
TEST = re.compile(r"\b(?:fn|def)\s+(\w+)\s*\(|\b(?:test|it)\(\s*\"(\w+)\"|\"name\":\s*\"([\w.-]+)\"")
SOURCES = ("*.rs", "*.py", "*.test.mjs", "kakunin-node/tests/*.js", "vectors/*.json")
#: The probes that each language answers alike.
EVERYWHERE = [f"P{number}" for number in range(1, 19)]
LANGUAGES = {".rs": "Rust", ".py": "Python", ".js": "Node", ".mjs": "Node"}


def tests() -> dict[str, set[str]]:
    """Every test, with the languages it is written in."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *SOURCES]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    names: dict[str, set[str]] = {}
    for file in listed.splitlines():
        if (ROOT / file).is_file():
            for found in TEST.findall((ROOT / file).read_text()):
                for name in filter(None, found):
                    names.setdefault(name, set()).add(LANGUAGES.get(Path(file).suffix, "vectors"))
    return names


def main(allow_empty: bool) -> None:
    known = tests()
    rows: dict[str, str] = {}
    wrong: list[str] = []
    for line in TABLE.read_text().splitlines():
        if match := ROW.match(line):
            if match[1] in rows:
                wrong.append(f"{match[1]} occurs twice")
            rows[match[1]] = match[2].strip()

    empty = [row for row, cell in rows.items() if not cell]
    for row, cell in rows.items():
        named = NAME.findall(cell)
        wrong += [
            f"{row} names `{name}`, which is no test in this tree" for name in named if name not in known
        ]
        if cell and not named and not LATER.match(cell):
            wrong.append(f"{row} names no test and no reason")
        if row in EVERYWHERE:
            spoken = set().union(*(known.get(name, set()) for name in named))
            wrong += [
                f"{row} names no test in {language}" for language in sorted(set(LANGUAGES.values()) - spoken)
            ]
    if not allow_empty:
        wrong += [f"{row} names no test" for row in empty]

    print(f"{len(rows)} rows, {len(empty)} without a test yet")
    if wrong or not rows:
        sys.exit("\n".join(wrong) or f"no rows in {TABLE}")


if __name__ == "__main__":
    main("--allow-empty" in sys.argv[1:])
