"""questionnaire.py KAKUNIN WORK: workbooks of openpyxl and XlsxWriter, filled and read again by openpyxl.

What was there is there afterwards: formats, lists of choices, formulas, other sheets. What is filled in is
text.
"""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import openpyxl
import xlsxwriter
from openpyxl.formatting.rule import CellIsRule
from openpyxl.styles import Font, PatternFill
from openpyxl.worksheet.datavalidation import DataValidation

MAP = """id = "Ref"
answer = "Response"
evidence = "Proof"
[questions]
"A-1" = "csf-2.0/PR.AA-05"
"A-2" = ["csf-2.0/PR.PS-04", "soc2/CC7.2"]
"3" = "iso-27001-2022/A.8.15"
"""
ROWS = [
    ("A-1", "Who may do what?", None),
    ("A-2", "=cmd|' /C calc'!A0", None),
    (3, "Logs?", None),
    ("A-4", "Fire doors?", None),
    ("A-1", "Who may do what, again?", "see our wiki"),
]


def by_openpyxl(path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Questions & <answers>"
    sheet["A1"] = "Supplier assessment"
    sheet["A1"].font = Font(bold=True, size=18)
    sheet.merge_cells("A1:E1")
    for column, head in enumerate(["Ref", "Question", "Response", "Owner", "Proof"], start=1):
        sheet.cell(3, column, head).fill = PatternFill("solid", fgColor="FFDDEE")
    for row, (ref, question, response) in enumerate(ROWS, start=4):
        sheet.cell(row, 1, ref)
        sheet.cell(row, 2, question).data_type = "s"
        if response:
            sheet.cell(row, 3, response)
        sheet.cell(row, 4, f"owner {row}").font = Font(italic=True)
    sheet["C4"].fill = PatternFill("solid", fgColor="00FF00")
    choices = DataValidation(type="list", formula1='"Yes,No"', allow_blank=True)
    sheet.add_data_validation(choices)
    choices.add("D4:D9")
    sheet.conditional_formatting.add("C4:C9", CellIsRule("equal", ['"No"'], font=Font(color="FF0000")))
    sheet.freeze_panes = "A4"
    sheet.column_dimensions["B"].width = 60
    other = book.create_sheet("Totals")
    other["A1"] = "=COUNTA('Questions & <answers>'!C4:C9)"
    book.save(path)


def by_xlsxwriter(path: Path, inline: bool) -> None:
    book = xlsxwriter.Workbook(path, {"constant_memory": inline, "strings_to_formulas": False})
    sheet = book.add_worksheet("Asked")
    bold = book.add_format({"bold": True, "text_wrap": True})
    for column, head in enumerate(["Question", "Proof", "Ref", "Response"]):
        sheet.write_string(0, column, head, bold)
    for row, (ref, question, response) in enumerate(ROWS, start=1):
        if inline:
            sheet.write_string(row, 0, question)
        else:
            sheet.write_rich_string(row, 0, bold, "Q: ", question)
        sheet.write(row, 2, ref)
        if response:
            sheet.write_string(row, 3, response)
    sheet.write_blank(1, 3, None, bold)
    book.close()


def fill(kakunin: str, work: Path, name: str, out: str) -> tuple[dict, bytes]:
    words = [kakunin, "report", "--questionnaire", work / f"{name}.xlsx", "--map", work / "map.toml"]
    words += ["--journal", work / "trail", "--root", work / "home/public/ca.pem", "--json"]
    words += ["--out", work / out]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 3, (done.returncode, done.stdout, done.stderr)
    return json.loads(done.stdout), (work / out).read_bytes()


def values(path: Path) -> dict[tuple[str, str], object]:
    book = openpyxl.load_workbook(path)
    found = {}
    for sheet in book:
        for row in sheet.iter_rows():
            for cell in row:
                looks = (cell.value, cell.font.b, cell.font.i, cell.fill.fgColor.rgb)
                found[sheet.title, cell.coordinate] = looks
    return found


def check(kakunin: str, work: Path, name: str, columns: tuple[str, str], first: int) -> None:
    said, octets = fill(kakunin, work, name, "one.xlsx")
    assert fill(kakunin, work, name, "other.xlsx")[1] == octets, "the same octets"
    assert said["answered"] == ["A-1", "A-2", "3"], said
    assert (said["blank"], said["kept"]) == (["A-4"], ["A-1"]), said
    book = openpyxl.load_workbook(work / "one.xlsx")
    sheet = book.worksheets[0]
    answer, proof = columns
    for row in range(first, first + 3):
        for column in columns:
            cell = sheet[f"{column}{row}"]
            assert cell.data_type in ("s", "inlineStr") and not str(cell.value).startswith("="), cell.value
        text = sheet[f"{answer}{row}"].value
        assert "Shown by " in text and "Limit: " in text and "Receipts: " not in text, text
        receipts = sheet[f"{proof}{row}"].value or ""
        assert all(len(name) == 64 for name in receipts.split()), receipts
    assert sheet[f"{proof}{first + 1}"].value, "there are receipts to name"
    assert sheet[f"{answer}{first + 3}"].value is None, "nobody mapped it"
    assert sheet[f"{answer}{first + 4}"].value == "see our wiki"

    # Everything else is as it was: each cell with its look, and each other part to the octet.
    filled = {f"{column}{row}" for column in columns for row in range(first, first + 3)}
    before, after = values(work / f"{name}.xlsx"), values(work / "one.xlsx")
    for place, looks in after.items():
        was = before.get(place, (None, False, False, "00000000"))
        kept = looks[1:] == was[1:] if place[1] in filled and place[0] == sheet.title else looks == was
        assert kept, (place, was, looks)
    with zipfile.ZipFile(work / f"{name}.xlsx") as came, zipfile.ZipFile(work / "one.xlsx") as went:
        assert came.namelist() == went.namelist() and went.testzip() is None
        differ = [part for part in came.namelist() if came.read(part) != went.read(part)]
        assert differ == ["xl/worksheets/sheet1.xml"], differ
        times = [part.date_time for part in came.infolist()]
        assert times == [part.date_time for part in went.infolist()]


def main(kakunin: str, work: Path) -> None:
    (work / "map.toml").write_text(MAP)
    by_openpyxl(work / "openpyxl.xlsx")
    check(kakunin, work, "openpyxl", ("C", "E"), 4)
    book = openpyxl.load_workbook(work / "one.xlsx")
    sheet = book.worksheets[0]
    assert sheet.data_validations.dataValidation[0].sqref.ranges and sheet.freeze_panes == "A4"
    assert sheet.conditional_formatting and sheet.merged_cells.ranges
    assert book["Totals"]["A1"].value.startswith("=COUNTA")
    for inline in (False, True):
        by_xlsxwriter(work / "xlsxwriter.xlsx", inline)
        check(kakunin, work, "xlsxwriter", ("D", "B"), 2)
    print("3 workbooks of others filled in place, and read again")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
