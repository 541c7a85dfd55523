//! Comma-separated values for spreadsheets, which obey what looks like a formula.

use super::line::Last;
use crate::store::{AuditRow, AuditSaid, AuditValue};

/// The names of the columns.
pub(super) const HEAD: &str =
    "number,kind,at,actor,address,what,subject,before,after,text,intent,outcome,hash\r\n";

/// A row of the log; a cell of what is left out is empty.
pub(super) fn row(row: &AuditRow, without: &[AuditValue]) -> String {
    let (number, hash) = (row.number.to_string(), row.hash.to_hex());
    let shown = |value: AuditValue, text: Option<String>| {
        text.filter(|_| !without.contains(&value)).unwrap_or_default()
    };
    match &row.said {
        AuditSaid::Intent(record) => {
            let of = |value: AuditValue| shown(value, value.in_order(record));
            cells(&[
                &number,
                "intent",
                &record.at.to_string(),
                &of(AuditValue::Actor),
                &of(AuditValue::Address),
                &record.what,
                &of(AuditValue::Subject),
                &of(AuditValue::Before),
                &of(AuditValue::After),
                &of(AuditValue::Text),
                "",
                "",
                &hash,
            ])
        }
        AuditSaid::Outcome { intent, outcome, at, .. } => cells(&[
            &number,
            "outcome",
            &at.to_string(),
            "",
            "",
            "",
            "",
            "",
            "",
            &shown(AuditValue::Text, Some(outcome.text().into())),
            &intent.to_string(),
            outcome.word(),
            &hash,
        ]),
    }
}

/// The last record: the statement in `text`, its signature in `before` and the certificate in `after`.
pub(super) fn last(last: &Last, rows: u64, hash: &str) -> String {
    let Last { statement, signature, certificate } = last;
    cells(&[&rows.to_string(), "end", "", "", "", "", "", signature, certificate, statement, "", "", hash])
}

/// Reads the last record.
pub(super) fn read_last(line: &str) -> Option<Last> {
    let cells = read(line.trim_end_matches(['\r', '\n']))?;
    let [_, kind, _, _, _, _, _, signature, certificate, statement, _, _, _] =
        <[String; 13]>::try_from(cells).ok()?;
    (kind == "end").then_some(Last { statement, signature, certificate })
}

fn cells(cells: &[&str]) -> String {
    let cells: Vec<String> = cells.iter().map(|text| cell(text)).collect();
    cells.join(",") + "\r\n"
}

/// One cell. What a spreadsheet would calculate gets an apostrophe in front, and so does what begins with one.
fn cell(text: &str) -> String {
    let obeyed = text.starts_with([
        '=', '+', '-', '@', '\t', '\r', '\n', '\'', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}',
    ]);
    let text = if obeyed { format!("'{text}") } else { text.to_owned() };
    match text.contains(|letter: char| matches!(letter, '"' | ',' | ';') || letter.is_control()) || obeyed {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
}

/// The cells of one record without line breaks in them.
fn read(line: &str) -> Option<Vec<String>> {
    let mut cells = Vec::new();
    let mut rest = line;
    loop {
        let (cell, after) = match rest.strip_prefix('"') {
            None => match rest.find(',') {
                None => (rest.to_owned(), None),
                Some(at) => (rest.get(..at)?.to_owned(), rest.get(at + 1..)),
            },
            Some(quoted) => quoted_cell(quoted)?,
        };
        cells.push(cell);
        match after {
            None => return Some(cells),
            Some(after) => rest = after,
        }
    }
}

fn quoted_cell(quoted: &str) -> Option<(String, Option<&str>)> {
    let mut cell = String::new();
    let mut letters = quoted.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        if letter != '"' {
            cell.push(letter);
        } else if letters.next_if(|(_, next)| *next == '"').is_some() {
            cell.push('"');
        } else {
            let rest = quoted.get(at + 1..)?;
            return match rest.strip_prefix(',') {
                Some(after) => Some((cell, Some(after))),
                None => rest.is_empty().then_some((cell, None)),
            };
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_spreadsheet_would_calculate_begins_a_cell() {
        for (text, written) in [
            ("plain", "plain"),
            ("", ""),
            ("a,b", "\"a,b\""),
            ("say \"no\"", "\"say \"\"no\"\"\""),
            ("=HYPERLINK(1)", "\"'=HYPERLINK(1)\""),
            ("+1", "\"'+1\""),
            ("-1", "\"'-1\""),
            ("@x", "\"'@x\""),
            ("\t=x", "\"'\t=x\""),
            ("'quoted", "\"''quoted\""),
            ("two\r\nlines", "\"two\r\nlines\""),
        ] {
            assert_eq!(cell(text), written);
        }
    }

    #[test]
    fn the_last_record_is_read_as_it_was_written() {
        let last_line = Last {
            statement: "{\"a\":\"b,c\"}".into(),
            signature: "3045".into(),
            certificate: "MII=".into(),
        };
        assert_eq!(read_last(&last(&last_line, 7, "00")), Some(last_line));
        for wrong in
            ["", "7,end", "7,\"end,,,,,,,,,,,", "7,row,,,,,,a,b,c,,,00", "7,\"end\"x,,,,,,a,b,c,,,00"]
        {
            assert_eq!(read_last(wrong), None, "{wrong}");
        }
    }
}
