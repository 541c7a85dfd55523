use std::io::{Cursor, Read, Write};

use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

use super::*;
use crate::facts::{Facts, Period};
use crate::framework::Framework;

fn reports() -> Vec<EvidenceReport> {
    let framework = Framework::named("csf-2.0").unwrap();
    vec![EvidenceReport::of(framework, Facts::none(Period::default()), None).unwrap()]
}

fn map(more: &str) -> QuestionMap {
    let text = format!(
        "id = \"ID\"\nanswer = \"Answer\"\n{more}[questions]\nQ1 = \"csf-2.0/PR.AA-05\"\n\"1.1\" = \"csf-2.0/PR.PS-04\"\n"
    );
    QuestionMap::parse(&text).unwrap()
}

/// The parts of a workbook of one sheet, whose rows these are; `after` stands behind them.
fn parts(rows: &str, after: &str) -> Vec<(&'static str, String)> {
    let kinds = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
    let relation = |id: &str, kind: &str, target: &str| {
        format!("<Relationship Id=\"{id}\" Type=\"{kinds}/{kind}\" Target=\"{target}\"/>")
    };
    let relations = |all: &str| format!("<Relationships>{all}</Relationships>");
    vec![
        ("_rels/.rels", relations(&relation("r1", "officeDocument", "xl/workbook.xml"))),
        (
            "xl/workbook.xml",
            "<workbook><sheets><sheet name=\"A &amp; B\" sheetId=\"1\" r:id=\"r7\"/></sheets></workbook>".to_owned(),
        ),
        (
            "xl/_rels/workbook.xml.rels",
            relations(&(relation("r7", "worksheet", "/xl/worksheets/sheet1.xml") + &relation("r8", "sharedStrings", "strings.xml"))),
        ),
        (
            "xl/strings.xml",
            "<sst uniqueCount=\"99999999999999\"><si><t>ID</t></si><si><r><t>Ans</t></r><r><t>wer</t></r><rPh><t>no</t></rPh></si><si><t>Q1</t></si><si><t>&#81;2</t></si></sst>".to_owned(),
        ),
        ("xl/worksheets/sheet1.xml", format!("<worksheet><sheetData>{rows}</sheetData>{after}</worksheet>")),
        ("xl/media/image1.png", "not looked at".to_owned()),
    ]
}

fn packed(parts: &[(&str, String)]) -> Vec<u8> {
    let mut out = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in parts {
        out.start_file(*name, SimpleFileOptions::DEFAULT).unwrap();
        out.write_all(text.as_bytes()).unwrap();
    }
    out.finish().unwrap().into_inner()
}

fn part(octets: &[u8], name: &str) -> String {
    let mut text = String::new();
    ZipArchive::new(Cursor::new(octets)).unwrap().by_name(name).unwrap().read_to_string(&mut text).unwrap();
    text
}

fn sheet(octets: &[u8]) -> String {
    part(octets, "xl/worksheets/sheet1.xml")
}

const HEAD: &str = "<row r=\"3\"><c r=\"B3\" t=\"s\"><v>0</v></c><c r=\"D3\" t=\"s\"><v>1</v></c></row>";

fn refused(rows: &str, after: &str) -> String {
    map("").fill_workbook(&packed(&parts(rows, after)), &reports()).unwrap_err().to_string()
}

#[test]
fn answers_are_put_into_their_cells_and_no_other_octet_changes() {
    let title = "<row r=\"1\" ht=\"30\"><c r=\"A1\" t=\"inlineStr\"><is><t>Vendor</t></is></c></row>";
    let asked = "<row r=\"4\" spans=\"2:3\" s='5'><c r=\"B4\" s=\"1\" t=\"s\"><v>2</v></c><c r=\"C4\"><f>SUM(A1)</f><v>0</v></c></row>";
    let styled = "<row r=\"5\"> <c r=\"B5\"><v>1.1</v></c> <c r=\"D5\" s=\"7\"/> <c r=\"E5\" t=\"b\"><v>1</v></c></row>";
    let others = "<row r=\"6\"><c r=\"B6\" t=\"s\"><v>3</v></c></row><row r=\"7\"/><row><c/><c t=\"str\"><v>Q1</v></c><c/><c><f>NOW()</f><v></v></c></row>";
    let rows = format!("{title}{HEAD}{asked}{styled}{others}");
    let octets = packed(&parts(&rows, "<dataValidations count=\"0\"/>"));
    let filled = map("").fill_workbook(&octets, &reports()).unwrap();
    assert_eq!(
        (&filled.answered[..], &filled.blank[..]),
        (&["Q1".to_owned(), "1.1".into()][..], &["Q2".to_owned()][..])
    );
    // A formula is something that somebody wrote, also if it comes to nothing.
    assert_eq!(filled.kept, ["Q1"]);

    let text = sheet(&filled.octets);
    let answer = |start: &str| {
        let rest = text.split_once(start).unwrap_or_else(|| panic!("{start} is not in {text}")).1;
        rest.split_once("</t></is></c>").unwrap().0.to_owned()
    };
    let made = "<c r=\"D4\" t=\"inlineStr\"><is><t xml:space=\"preserve\">";
    let kept = "<c r=\"D5\" s=\"7\" t=\"inlineStr\"><is><t xml:space=\"preserve\">";
    for start in [made, kept] {
        assert!(answer(start).starts_with("No evidence; nothing is claimed. Shown by"), "{text}");
    }
    // Without the answers, and with the hint that left them out, it is the sheet that came.
    let mut back = text.replace(&format!("{made}{}</t></is></c>", answer(made)), "");
    back = back.replace(&format!("{kept}{}</t></is></c>", answer(kept)), "<c r=\"D5\" s=\"7\"/>");
    assert_eq!(back.replace("<row r=\"4\" s='5'>", "<row r=\"4\" spans=\"2:3\" s='5'>"), sheet(&octets));
    for (name, text) in parts("", "") {
        if !name.contains("sheet1") {
            assert_eq!(part(&filled.octets, name), text);
        }
    }
    // The same octets give the same octets, and what is filled is filled no more.
    assert_eq!(map("").fill_workbook(&octets, &reports()).unwrap(), filled);
    let again = map("").fill_workbook(&filled.octets, &reports()).unwrap();
    assert!(again.answered.is_empty() && again.kept == ["Q1", "1.1", "Q1"], "{again:?}");
    assert_eq!(sheet(&again.octets), text);
}

#[test]
fn receipts_have_a_cell_of_their_own_and_prefixes_and_marks_stay() {
    let rows = "<x:row r=\"1\"><x:c t=\"str\"><x:v>Proof</x:v></x:c><x:c t=\"str\"><x:v>Answer</x:v></x:c><x:c t=\"str\"><x:v>ID</x:v></x:c></x:row><x:row r=\"2\"><x:c r=\"C2\" t=\"str\"><x:v>Q1</x:v></x:c></x:row>";
    let mut all = parts("", "");
    all[4].1 = format!(
        "\u{feff}<?xml version=\"1.0\"?>\r\n<x:worksheet><x:sheetData>{rows}</x:sheetData></x:worksheet>"
    );
    let filled = map("evidence = \"Proof\"\n").fill_workbook(&packed(&all), &reports()).unwrap();
    let text = sheet(&filled.octets);
    let (proof, answer) =
        (text.find("<x:c r=\"A2\"").unwrap(), text.find("<x:c r=\"B2\" t=\"inlineStr\"><x:is><x:t").unwrap());
    assert!(proof < answer && answer < text.find("<x:c r=\"C2\"").unwrap(), "{text}");
    assert!(
        text.trim_start_matches('\u{feff}').starts_with("<?xml version=\"1.0\"?>\r\n<x:worksheet>"),
        "{text}"
    );
}

#[test]
fn a_workbook_that_does_not_fit_is_refused() {
    let asked = "<row r=\"4\"><c r=\"B4\" t=\"s\"><v>2</v></c></row>";
    let both = format!("{HEAD}{asked}");
    for (rows, after, says) in [
        ("", "", "no sheet has a row with the headers `ID` and `Answer`"),
        (
            &both,
            "<mergeCells><mergeCell ref=\"C4:D4\"/></mergeCells>",
            "sheet `A & B`, cell D4: it is merged",
        ),
        (
            &format!(
                "{HEAD}<row r=\"4\"><c r=\"B4\"><v>1.1</v></c></row><row r=\"5\"><c r=\"B5\"><v>1.10</v></c></row>"
            ),
            "",
            "question `1.1` is there more than once, as a number",
        ),
        (&format!("{HEAD}<row r=\"2\"/>"), "", "no place behind row 3"),
        (&format!("{HEAD}<row r=\"1048577\"/>"), "", "no place behind row 3"),
        (&format!("{HEAD}<row r=\"4\"><c r=\"B5\"/></row>"), "", "no place behind"),
        (&format!("{HEAD}<row r=\"4\"><c r=\"XFE4\"/></row>"), "", "no place behind"),
        (&format!("{HEAD}<row r=\"4\"><c r=\"B4\"/><c r=\"A4\"/></row>"), "", "no place behind B4"),
        (
            &format!("{HEAD}<row r=\"4\"><c r=\"B4\" t=\"s\"><v>4</v></c></row>"),
            "",
            "a string `4` that is not there",
        ),
        (
            &format!("{HEAD}<row r=\"4\"><c r=\"B4\" t=\"str\"><v>&own;</v></c></row>"),
            "",
            "an entity `&own;`",
        ),
        (&format!("{HEAD}<row r=\"4\"><c r=\"B4\" s=\"x\"/></row>"), "", "B4 has no format"),
        (&format!("{HEAD}<row r=\"4\"><c"), "", "A & B: ill-formed"),
    ] {
        let error = refused(rows, after);
        assert!(error.contains(says), "{says}: {error}");
    }
    // Where the answer is seen, a merge is none of our business.
    let octets = packed(&parts(&both, "<mergeCells><mergeCell ref=\"D4:E9\"/></mergeCells>"));
    assert_eq!(map("").fill_workbook(&octets, &reports()).unwrap().answered, ["Q1"]);
    let filled = map("sheet = \"A & B\"\n").fill_workbook(&octets, &reports()).unwrap();
    assert_eq!(filled.answered, ["Q1"]);
    let error = map("sheet = \"C\"\n").fill_workbook(&octets, &reports()).unwrap_err();
    assert!(matches!(error, QuestionnaireError::Sheet { .. }), "{error}");
    let error = map("evidence = \"Proof\"\n").fill_workbook(&octets, &reports()).unwrap_err();
    assert!(error.to_string().contains("no column `Proof`"), "{error}");
    let mut declared = parts(&both, "");
    declared[4].1.insert_str(0, "<!DOCTYPE x [<!ENTITY a \"aaaa\">]>");
    let error = map("").fill_workbook(&packed(&declared), &reports()).unwrap_err();
    assert!(error.to_string().contains("document type"), "{error}");
    let mut twice = parts(&both, "");
    twice[1].1 = twice[1].1.replace("</sheets>", "<sheet name=\"C\" r:id=\"r7\"/></sheets>");
    let error = map("").fill_workbook(&packed(&twice), &reports()).unwrap_err();
    assert!(error.to_string().contains("lists `xl/worksheets/sheet1.xml` twice"), "{error}");
    let mut lost = parts(&both, "");
    lost.remove(4);
    let error = map("").fill_workbook(&packed(&lost), &reports()).unwrap_err();
    assert!(error.to_string().contains("no part `xl/worksheets/sheet1.xml`"), "{error}");
}

/// Row E50 of docs/attacks.md.
#[test]
fn what_unpacks_to_more_than_anybody_asks_is_not_read() {
    let mut all = parts(HEAD, "");
    all.push(("xl/bomb.bin", "\0".repeat(128 * 1024 * 1024)));
    let mut octets = packed(&all);
    assert!(octets.len() < 1_000_000, "{}", octets.len());
    let error = map("").fill_workbook(&octets, &reports()).unwrap_err().to_string();
    assert!(error.contains("more than 128 MiB unpacked"), "{error}");
    // Also if the file says that it is small: the sizes of the part stand in two places.
    let size = 128_u32 * 1024 * 1024;
    let mut lies = 0;
    while let Some(at) = octets.windows(4).position(|four| four == size.to_le_bytes()) {
        octets[at..at + 4].copy_from_slice(&1_u32.to_le_bytes());
        lies += 1;
    }
    assert!(lies > 0);
    let error = map("").fill_workbook(&octets, &reports()).unwrap_err();
    assert!(matches!(error, QuestionnaireError::Workbook(_)), "{error}");

    let many: Vec<_> = (0..4100).map(|place| (format!("p{place}"), String::new())).collect();
    let many: Vec<_> = many.iter().map(|(name, text)| (name.as_str(), text.clone())).collect();
    let large = |octets: &[u8]| map("").fill_workbook(octets, &reports()).unwrap_err().to_string();
    assert!(large(&packed(&many)).contains("more than 4096 parts"));
    assert!(large(&vec![b'P'; 16 * 1024 * 1024 + 1]).contains("more than 16 MiB"));
    let strings = format!("<sst>{}</sst>", "<si/>".repeat(1_000_001));
    let mut all = parts(HEAD, "");
    all[3].1 = strings;
    assert!(large(&packed(&all)).contains("more than 1,000,000 strings"));
    let row = format!("<row>{}</row>", "<c/>".repeat(16_000));
    assert!(large(&packed(&parts(&row.repeat(63), ""))).contains("more than 1,000,000 cells"));
    // Two parts over each other, or of one name, are two workbooks.
    let encrypted = [0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1];
    assert!(large(&encrypted).contains("encrypted"));
    for octets in [&b"PK"[..], b"", b"PK\x05\x06"] {
        let error = map("").fill_workbook(octets, &reports()).unwrap_err();
        assert!(matches!(error, QuestionnaireError::Workbook(_)), "{error}");
    }
}

/// A cell at the far end of a sheet is one cell, and not seventeen thousand million.
#[test]
fn a_cell_far_away_costs_what_a_cell_costs() {
    let rows = format!(
        "{HEAD}<row r=\"4\"><c r=\"B4\" t=\"s\"><v>2</v></c></row><row r=\"1048576\"><c r=\"XFD1048576\"><v>1</v></c></row>"
    );
    let filled = map("").fill_workbook(&packed(&parts(&rows, "")), &reports()).unwrap();
    assert_eq!(filled.answered, ["Q1"]);
}

/// Row E51.
#[test]
fn an_answer_is_a_text_of_a_length_that_fits() {
    let text = "x".repeat(32_768);
    let strings = Vec::new();
    let part = format!("<sheetData>{HEAD}</sheetData>").replace(" t=\"s\"", "");
    let mut sheet = Sheet::new("One", &part, &strings);
    let row = sheet.next_row().unwrap().unwrap();
    let mut edits = Edits::default();
    let error = edits.put(&row, 5, &text).unwrap_err().to_string();
    assert!(error.contains("sheet `One`, cell E3: the answer has more than 32,767"), "{error}");
    assert!(edits.is_empty());
    edits.put(&row, 5, "=1+1 <b> & \u{1} \r\n ]]> \u{fffe}").unwrap();
    let text = edits.apply(&part).unwrap();
    let cell = "<c r=\"E3\" t=\"inlineStr\"><is><t xml:space=\"preserve\">=1+1 &lt;b&gt; &amp; \u{fffd} &#13;\n ]]&gt; \u{fffd}</t>";
    assert!(text.contains(cell), "{text}");
}
