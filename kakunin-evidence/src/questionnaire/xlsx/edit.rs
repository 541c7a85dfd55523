//! What is changed in a sheet: some spans of octets, and nothing between them.

use std::collections::BTreeSet;
use std::ops::Range;

use quick_xml::escape::partial_escape;

use super::WorkbookError;
use super::cell::Place;
use super::sheet::Row;

/// Changes of one sheet.
#[derive(Debug, Default)]
pub(super) struct Edits {
    /// Octets and what comes in their place, in the order in which they were put.
    spans: Vec<(Range<usize>, String)>,
    places: BTreeSet<Place>,
    octets: usize,
}

impl Edits {
    /// Puts a text into a cell of `row`, which keeps its format, or makes the cell.
    pub(super) fn put(&mut self, row: &Row<'_>, column: u32, text: &str) -> Result<(), WorkbookError> {
        let place = Place { row: row.number, column };
        // Spreadsheets count in UTF-16.
        if text.encode_utf16().count() > MOST_TEXT {
            let what = "the answer has more than 32,767 characters; map the question to fewer controls";
            return Err(WorkbookError::Cell { sheet: row.sheet.to_owned(), cell: place.to_string(), what });
        }
        let (cell, prefix) = (row.cell(column), row.prefix);
        let style =
            cell.and_then(|cell| cell.style).map_or_else(String::new, |style| format!(" s=\"{style}\""));
        let text = xml(text);
        let written = format!(
            "<{prefix}c r=\"{place}\"{style} t=\"inlineStr\"><{prefix}is><{prefix}t xml:space=\"preserve\">{text}</{prefix}t></{prefix}is></{prefix}c>"
        );
        let octets = match cell {
            Some(cell) => cell.octets.clone(),
            None => {
                let next = row.cells.iter().find(|cell| cell.column > column);
                let at = next.map_or(row.end, |cell| cell.octets.start);
                // The hint would leave the new cell out.
                if let Some(spans) = row.spans.clone().filter(|_| next.is_none()) {
                    self.spans.push((spans, String::new()));
                }
                at..at
            }
        };
        self.octets = self.octets.saturating_add(written.len());
        if self.octets > MOST_WRITTEN {
            return Err(WorkbookError::TooLarge { most: "64 MiB of answers in a sheet" });
        }
        self.spans.push((octets, written));
        self.places.insert(place);
        Ok(())
    }

    pub(super) const fn places(&self) -> &BTreeSet<Place> {
        &self.places
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The sheet with the changes. Octets that it does not have are those of another sheet.
    pub(super) fn apply(mut self, text: &str) -> Option<String> {
        // Cells that are made at one place stand there in the order of their columns.
        self.spans.sort_by_cached_key(|(octets, cell)| (octets.start, octets.end, column(cell)));
        self.spans.dedup();
        let (mut out, mut done) = (String::with_capacity(text.len()), 0);
        for (octets, written) in self.spans {
            out.push_str(text.get(done..octets.start)?);
            out.push_str(&written);
            done = octets.end;
        }
        out.push_str(text.get(done..)?);
        Some(out)
    }
}

fn column(cell: &str) -> Option<u32> {
    let name = cell.split_once(" r=\"")?.1.split_once('"')?.0;
    Place::parse(name).map(|place| place.column)
}

/// A text as it stands in XML, where some characters cannot be.
fn xml(text: &str) -> String {
    let fits = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    let text: String = text.chars().map(|c| if fits(c) { c } else { '\u{fffd}' }).collect();
    partial_escape(text).into_owned()
}

/// What a cell holds at most.
const MOST_TEXT: usize = 32_767;
/// Thousands of long answers.
const MOST_WRITTEN: usize = 64 * 1024 * 1024;
