"""Check that every table of codes says what the source says.

The denial codes of docs/wire.md are written from kakunin-core/src/reason.rs by `--write`; without it they
are only compared. The verifier's codes are described by hand; the set of codes is compared with the source,
and the words with those that `verify` prints (kakunin-core/src/report/faults.rs), which `--write` writes.
The Python package has one class for each group of denial codes.
"""

import ast
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WIRE = ROOT / "docs" / "wire.md"
REASONS = ROOT / "kakunin-core" / "src" / "reason.rs"
CORE = ROOT / "kakunin-core" / "src"
REPORT = CORE / "verify" / "report.rs"
ROOMS = [*(CORE / "verify").glob("*.rs"), *(CORE / "bundle").glob("*.rs")]
VERIFIER = [CORE / "journal" / "read.rs", *sorted({*ROOMS} - {REPORT})]
#: What the codes mean, for who prints them.
FAULTS = CORE / "report" / "faults.rs"
PYTHON = ROOT / "kakunin-py" / "python" / "kakunin" / "errors.py"

TEXT = r'"(?:[^"\\]|\\.)*"'
REASON = re.compile(rf"^    \w+ = ({TEXT}), ({TEXT}),\s+({TEXT});$", re.MULTILINE)
FAULT = re.compile(r'"((?:receipt|journal|log|bundle)\.[a-z_]+)"')
WORDS = re.compile(rf'\(\s*"((?:receipt|journal|log|bundle)\.[a-z_]+)",\s*({TEXT}),?\s*\)')
SHORTFALL = re.compile(r'^\s*Self::\w+ \{ \.\. \} => "([a-z]+\.[a-z_]+)",$', re.MULTILINE)
ROW = re.compile(r"^\| `([a-z_.]+)` \|", re.MULTILINE)


def reasons() -> list[tuple[str, str, str]]:
    # A Rust string without `\u{}` is a JSON string.
    return [tuple(json.loads(text) for text in row) for row in REASON.findall(REASONS.read_text())]


def section(text: str, name: str) -> tuple[int, int]:
    """Where the lines between the two comments of `name` begin and end."""
    found = re.findall(rf"<!-- [a-z ,]+: {name} -->\n", text)
    end = f"<!-- end of {name} -->"
    if len(found) != 1 or text.count(end) != 1:
        sys.exit(f"{WIRE} has no section `{name}`")
    return text.index(found[0]) + len(found[0]), text.index(end)


def denial_table() -> str:
    rows = [f"| `{code}` | {what} | {fix} |\n" for code, what, fix in reasons()]
    return "| code | what happened | what the operator can do |\n| --- | --- | --- |\n" + "".join(rows)


def described(text: str, name: str) -> set[str]:
    start, end = section(text, name)
    return set(ROW.findall(text[start:end]))


def code_only(path: Path) -> str:
    return path.read_text().split("#[cfg(test)]\nmod ")[0]


def differences(name: str, source: set[str], table: set[str]) -> list[str]:
    missing = [f"{name}: `{code}` is in the source and not in the table" for code in sorted(source - table)]
    return missing + [
        f"{name}: `{code}` is in the table and not in the source" for code in sorted(table - source)
    ]


def python_groups() -> list[str]:
    for node in ast.parse(PYTHON.read_text()).body:
        target = node.target if isinstance(node, ast.AnnAssign) else None
        if isinstance(target, ast.Name) and target.id == "GROUPS" and isinstance(node.value, ast.Dict):
            return [ast.literal_eval(key) for key in node.value.keys if key is not None]
    sys.exit(f"{PYTHON} has no table GROUPS")


def words_of(text: str) -> list[tuple[str, str]]:
    start, end = section(text, "verifier codes")
    return re.findall(r"^\| `([a-z_.]+)` \| (.*) \|$", text[start:end], re.MULTILINE)


def with_words(source: str, rows: list[tuple[str, str]]) -> str:
    """The source with the words of the table; rustfmt breaks the lines."""
    start = source.index("const WORDS")
    end = source.index("];\n", start)
    lines = [f'    ("{code}", {json.dumps(what, ensure_ascii=False)}),\n' for code, what in rows]
    return source[:start] + "const WORDS: &[(&str, &str)] = &[\n" + "".join(lines) + source[end:]


def main(write: bool) -> None:
    text = WIRE.read_text()
    start, end = section(text, "denial codes")
    if write:
        WIRE.write_text(text[:start] + denial_table() + text[end:])
        FAULTS.write_text(with_words(FAULTS.read_text(), words_of(text)))
        return

    wrong: list[str] = []
    codes = [code for code, _, _ in reasons()]
    if text[start:end] != denial_table():
        wrong.append("denial codes: the table differs from reason.rs; run `python3 scripts/codes.py --write`")
    faults = {code for path in VERIFIER for code in FAULT.findall(code_only(path))}
    wrong += differences("verifier codes", faults, described(text, "verifier codes"))
    rows = words_of(text)
    words = [(code, json.loads(what)) for code, what in WORDS.findall(FAULTS.read_text())]
    if words != rows:
        odd = sorted({code for code, _ in set(words) ^ set(rows)})
        wrong.append(f"verifier codes: {FAULTS.name} differs from the table: {odd}; run with `--write`")
    shortfalls = set(SHORTFALL.findall(code_only(REPORT)))
    wrong += differences("verifier reasons", shortfalls, described(text, "verifier reasons"))
    if PYTHON.exists():
        groups = list(dict.fromkeys(code.partition(".")[0] for code in codes))
        if python_groups() != groups:
            wrong.append(f"Python classes: {PYTHON.name} knows {python_groups()}, the table has {groups}")

    print(f"{len(codes)} denial codes, {len(faults)} faults and {len(shortfalls)} reasons of the verifier")
    if wrong or not (codes and faults and shortfalls):
        sys.exit("\n".join(wrong) or "no codes found")


if __name__ == "__main__":
    main("--write" in sys.argv[1:])
