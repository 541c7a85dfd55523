"""Every framework held against what happened, in every form, and against what is left without the bad day."""

from __future__ import annotations

import csv
import itertools
import json
import os
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from clerk import Clerk
from commands import Screen, each, kakunin, run
from owner import Service
from rows import NAMED, SHOWN, status

CONTROLS = Path(__file__).resolve().parents[3] / "kakunin-evidence" / "controls"
FRAMEWORKS = sorted(path.stem for path in CONTROLS.glob("*.toml"))


def report(service: Service, evidence: list[object], framework: str, form: str, code: int) -> Path:
    out = service.work / f"{framework}.{form}"
    words = ["--framework", framework, *evidence, *service.believed(), "--format", form, "--out", out]
    words += ["--baseline", service.work / "baseline.json", "--risk-policy", service.work / "risk.toml"]
    kakunin("report", *words, code=code)
    return out


def controls(framework: str) -> dict[str, str]:
    """How much of each control receipts can carry, as its file says."""
    text = (CONTROLS / f"{framework}.toml").read_text()
    return dict(re.findall(r'\[\[control\]\]\nid = "([^"]+)"\n(?:(?!\[\[).*\n)*?carries = "(\w+)"', text))


def reports(screen: Screen, service: Service, bundle: Path) -> None:
    screen.title("Held against every framework, in every form")
    forms = ["json", "html", "csv", "oscal", *(["pdf"] if "pdf" in run("report", "--help").stdout else [])]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        asked = list(itertools.product(FRAMEWORKS, forms))
        made = list(pool.map(lambda its: report(service, ["--bundle", bundle], *its, 3), asked))
    files = dict(zip(asked, made, strict=True))
    for framework in FRAMEWORKS:
        said = json.loads(files[framework, "json"].read_text())
        wrong = list(misjudged(framework, said))
        wrong += forms_differ(said, {form: files[framework, form] for form in forms})
        counts = ", ".join(f"{count} {word}" for word, count in said["counts"].items() if count)
        screen.line(not wrong, f"kakunin report --framework {framework}", "; ".join(wrong) or counts)


def misjudged(framework: str, said: dict[str, Any]) -> Iterator[str]:
    """Rows that are not what the story makes them, and predicates that say something else."""
    carries = controls(framework)
    if sorted(carries) != sorted(row["id"] for row in said["findings"]):
        yield "it has other rows than its file"
    for row in said["findings"]:
        for judged in row["shown_by"]:
            shown, because = SHOWN[judged["predicate"]]
            if judged["shown"] != shown or because not in judged["because"]:
                yield f"{row['id']}: {judged['predicate']} is {judged['shown']}: {judged['because']}"
        expected = status([judged["predicate"] for judged in row["shown_by"]], carries[row["id"]])
        for word in {expected, NAMED.get((framework, row["id"]), expected)}:
            if row["status"] != word:
                yield f"{row['id']} is {row['status']} and not {word}"


def forms_differ(said: dict[str, Any], files: dict[str, Path]) -> list[str]:
    """Forms that do not say of each row what the one for programs does."""
    rows = {row["id"]: row["status"] for row in said["findings"]}
    wrong = []
    with files["csv"].open(newline="") as table:
        cells = {its[1].lstrip("'"): its[3] for its in csv.reader(table)}
    if any(cells.get(row) != word for row, word in rows.items()):
        wrong.append("the table says something else")
    page = files["html"].read_text()
    if any(page.count(f'class="status {word}"') != list(rows.values()).count(word) for word in rows.values()):
        wrong.append("the page says something else")
    results = json.loads(files["oscal"].read_text())["assessment-results"]["results"][0]["findings"]
    satisfied = sum(finding["target"]["status"]["state"] == "satisfied" for finding in results)
    in_force = sum(row["applies"] and row["status"] == "evidenced" for row in said["findings"])
    if (len(results), satisfied) != (len(rows), in_force):
        wrong.append("OSCAL says something else")
    if "pdf" in files and not files["pdf"].read_bytes().startswith(b"%PDF-"):
        wrong.append("the PDF is none")
    return wrong


def hidden(screen: Screen, clerk: Clerk) -> None:
    """Whoever hands in the good days alone is contradicted by the log, row by row."""
    screen.title("The same without its last day")
    service, gate = clerk.service, clerk.service.work / "agents" / "gate"
    streams = {its["log"] for its in clerk.decisions() if its.get("why") == "certificate.held"}
    for stream in streams:
        shutil.move(clerk.directory / "state" / "journal" / stream, service.work / stream)
    evidence = [*each("--journal", [clerk.directory, gate]), "--log", service.log]
    for framework in FRAMEWORKS:
        said = json.loads(report(service, evidence, framework, "json", 1).read_text())
        words = {row["status"] for row in said["findings"]}
        because = {judged["because"] for row in said["findings"] for judged in row["shown_by"]}
        held = words == {"contradicted"} and all("stream.missing" in its for its in because)
        screen.line(held, f"kakunin report --framework {framework}", f"every row is {' and '.join(words)}")
