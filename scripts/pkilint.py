"""Lint PEM files with pkilint: `pkilint.py EXCEPTIONS PEM...`

An ERROR that is not an exception fails, and so does an exception that no longer occurs.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

BLOCK = re.compile(r"-----BEGIN (CERTIFICATE|X509 CRL)-----.*?-----END \1-----\n?", re.DOTALL)
LINTERS = {
    "CERTIFICATE": ["lint_pkix_cert", "lint"],
    "X509 CRL": ["lint_crl", "lint", "-t", "CRL", "-p", "PKIX"],
}


def findings(kind: str, pem: str) -> set[str]:
    command, *rest = LINTERS[kind]
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(pem)
        file.flush()
        linter = Path(sys.executable).parent / command
        done = subprocess.run(
            [linter, *rest, "-s", "ERROR", "-f", "JSON", file.name],
            capture_output=True,
            text=True,
            check=False,
        )
    try:
        report = json.loads(done.stdout)
    except ValueError:
        sys.exit(f"pkilint could not read a {kind}:\n{done.stdout}{done.stderr}")
    return {finding["code"] for result in report["results"] for finding in result["finding_descriptions"]}


def main(exceptions: Path, files: list[Path]) -> None:
    lines = (line.split("#")[0].strip() for line in exceptions.read_text().splitlines())
    allowed = {line for line in lines if line}
    seen: dict[str, Path] = {}
    blocks = {(match[1], match[0]): file for file in files for match in BLOCK.finditer(file.read_text())}
    for (kind, pem), file in blocks.items():
        for code in findings(kind, pem):
            seen.setdefault(code, file)
    counts = {kind: sum(kind == found for found, _ in blocks) for kind in LINTERS}
    print(", ".join(f"{count} x {kind}" for kind, count in counts.items()))

    bad = [f"{code} in {file}" for code, file in sorted(seen.items()) if code not in allowed]
    bad += [f"{code} no longer occurs: take it out of {exceptions}" for code in sorted(allowed - seen.keys())]
    bad += [f"no {kind} was found" for kind, count in counts.items() if count == 0]
    if bad:
        sys.exit("\n".join(bad))


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
