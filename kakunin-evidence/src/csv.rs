//! The rows as a table.
//!
//! A spreadsheet runs what begins like a formula, so such a cell begins with an apostrophe here: names in receipts are
//! anybody's, and so are the questions that somebody brings.

use ::csv::{QuoteStyle, Terminator, WriterBuilder};

use crate::finding::{Finding, Pointer, Status};
use crate::report::EvidenceReport;

/// Writes `report`: a header, a row for each control, a row for each thing that is not covered.
pub(crate) fn write(report: &EvidenceReport) -> String {
    let mut rows = vec![HEADER.map(str::to_owned).to_vec()];
    if let Some(remark) = &report.remark {
        let mut row = vec![String::new(); HEADER.len()];
        for (place, text) in [(0, report.framework.id.as_str()), (3, "remark"), (7, remark)] {
            if let Some(cell) = row.get_mut(place) {
                text.clone_into(cell);
            }
        }
        rows.push(row);
    }
    for finding in &report.findings {
        rows.push(vec![
            report.framework.id.clone(),
            finding.control.id.clone(),
            finding.control.title.clone().unwrap_or_default(),
            finding.status.word().to_owned(),
            finding.applies_from.clone(),
            if finding.applies { "yes" } else { "no" }.to_owned(),
            finding.claim().unwrap_or_default().to_owned(),
            finding.control.limit.clone(),
            because(finding),
            receipts(finding),
        ]);
    }
    for one in &report.framework.not_covered {
        let mut row = vec![String::new(); HEADER.len()];
        let cells = [
            (0, report.framework.id.as_str()),
            (1, &one.what),
            (3, Status::OutOfScope.word()),
            (7, &one.why),
        ];
        for (place, text) in cells {
            if let Some(cell) = row.get_mut(place) {
                text.clone_into(cell);
            }
        }
        rows.push(row);
    }
    table(&rows)
}

/// Why a finding is what it is, predicate by predicate.
pub(crate) fn because(finding: &Finding) -> String {
    let one =
        |judgement: &crate::finding::Judgement| format!("{}: {}", judgement.predicate, judgement.because);
    finding.judgements.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// The receipts that show it, each once.
pub(crate) fn receipts(finding: &Finding) -> String {
    let mut names: Vec<&str> = Vec::new();
    let all = finding.judgements.iter().flat_map(|judgement| &judgement.receipts);
    for Pointer { receipt, .. } in all {
        if !receipt.is_empty() && !names.contains(&receipt.as_str()) {
            names.push(receipt);
        }
    }
    names.join(" ")
}

/// A table in RFC 4180 with every cell quoted.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let mut writer = WriterBuilder::new()
        .quote_style(QuoteStyle::Always)
        .terminator(Terminator::CRLF)
        .flexible(true)
        .from_writer(Vec::new());
    for row in rows {
        // Nothing but memory is written to, and rows may differ in length.
        let _ = writer.write_record(row.iter().map(|cell| inert(cell)));
    }
    String::from_utf8(writer.into_inner().unwrap_or_default()).unwrap_or_default()
}

/// The text of a cell that no spreadsheet runs.
pub(crate) fn inert(cell: &str) -> String {
    // Spreadsheets skip blanks in front, and some read full-width signs as the plain ones.
    let first = cell.trim_start_matches([' ', '\u{a0}', '\u{3000}', '\u{feff}']).chars().next();
    let runs = first.is_some_and(|first| {
        matches!(first, '=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '|' | '%')
            || matches!(first, '\u{ff1d}' | '\u{ff0b}' | '\u{ff0d}' | '\u{ff20}')
    });
    if runs { format!("'{cell}") } else { cell.to_owned() }
}

const HEADER: [&str; 10] = [
    "framework",
    "id",
    "title",
    "status",
    "applies_from",
    "applies",
    "claim",
    "limit",
    "because",
    "receipts",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula() {
        for text in
            ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\u{a0}=1", "\u{ff1d}1", "|calc", "%0"]
        {
            assert_eq!(inert(text), format!("'{text}"), "{text:?}");
        }
        for text in ["", "a=b", "1 + 1", "PR.AA-01", "Zürich"] {
            assert_eq!(inert(text), text);
        }
        let row = vec!["=cmd|' /C calc'!A0".to_owned(), "a \"b\", c".to_owned()];
        assert_eq!(table(&[row]), "\"'=cmd|' /C calc'!A0\",\"a \"\"b\"\", c\"\r\n");
    }
}
