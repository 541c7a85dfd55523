//! A sheet, row by row: what its cells say, and in which octets each of them lies.

use std::borrow::Cow;
use std::ops::Range;

use quick_xml::events::{BytesStart, Event};

use super::WorkbookError;
use super::cell::Place;
use super::edit::Edits;
use super::text::Part;

/// A sheet that is read.
pub(super) struct Sheet<'t> {
    name: &'t str,
    part: Part<'t>,
    text: &'t str,
    strings: &'t [String],
    last: u32,
    is_in_data: bool,
    cells: u32,
    merged: Vec<(Place, Place)>,
}

/// A row and its cells, from left to right.
#[derive(Debug)]
pub(super) struct Row<'t> {
    pub(super) sheet: &'t str,
    pub(super) number: u32,
    pub(super) cells: Vec<Cell<'t>>,
    /// The octet behind the last cell, and before the first one: where others go.
    pub(super) end: usize,
    /// What stands in front of names of elements here, such as `x:`.
    pub(super) prefix: &'t str,
    /// A hint which columns the row has, and where it stands.
    pub(super) spans: Option<Range<usize>>,
}

/// A cell.
#[derive(Debug)]
pub(super) struct Cell<'t> {
    pub(super) column: u32,
    pub(super) octets: Range<usize>,
    pub(super) text: Cow<'t, str>,
    pub(super) is_number: bool,
    has_formula: bool,
    /// By which format it is shown.
    pub(super) style: Option<u32>,
}

impl Row<'_> {
    pub(super) fn cell(&self, column: u32) -> Option<&Cell<'_>> {
        self.cells.iter().find(|cell| cell.column == column)
    }

    /// Whether somebody wrote something there; a formula is something, whatever it comes to.
    pub(super) fn is_written(&self, column: u32) -> bool {
        self.cell(column).is_some_and(|cell| cell.has_formula || !cell.text.trim().is_empty())
    }
}

impl<'t> Sheet<'t> {
    pub(super) fn new(name: &'t str, text: &'t str, strings: &'t [String]) -> Self {
        Self {
            name,
            part: Part::new(name, text),
            text,
            strings,
            last: 0,
            is_in_data: false,
            cells: 0,
            merged: Vec::new(),
        }
    }

    /// The next row that has cells. What comes behind the rows is read with the last one.
    pub(super) fn next_row(&mut self) -> Result<Option<Row<'t>>, WorkbookError> {
        loop {
            let start = self.part.place();
            match self.part.next()? {
                Event::Start(element) => match element.local_name().as_ref() {
                    "sheetData" => self.is_in_data = true,
                    "row" if self.is_in_data => {
                        let row = self.row(&element, start)?;
                        if !row.cells.is_empty() {
                            return Ok(Some(row));
                        }
                    }
                    "mergeCell" => self.merge(&element)?,
                    _ => {}
                },
                Event::Empty(element) => match element.local_name().as_ref() {
                    "row" if self.is_in_data => {
                        let number = self.part.attribute(&element, "r")?;
                        self.last = Place::before_row(self.last, number.as_deref(), &self.part)?.row;
                    }
                    "mergeCell" => self.merge(&element)?,
                    _ => {}
                },
                Event::End(element) if element.local_name().as_ref() == "sheetData" => {
                    self.is_in_data = false
                }
                Event::Eof => return Ok(None),
                _ => {}
            }
        }
    }

    fn row(&mut self, element: &BytesStart<'t>, start: usize) -> Result<Row<'t>, WorkbookError> {
        let number = self.part.attribute(element, "r")?;
        let mut place = Place::before_row(self.last, number.as_deref(), &self.part)?;
        self.last = place.row;
        let spans = self.spans(element, start);
        let name = self.octets(start + 1..start + 1 + element.name().as_ref().len())?;
        let prefix = name.strip_suffix("row").unwrap_or_default();
        let (mut cells, mut end) = (Vec::new(), self.part.place());
        loop {
            let start = self.part.place();
            match self.part.next()? {
                Event::Start(element) if element.local_name().as_ref() == "c" => {
                    let mut cell = self.cell(&element, &mut place)?;
                    self.content(&element, &mut cell)?;
                    end = self.part.place();
                    cell.octets = start..end;
                    cells.push(cell);
                }
                Event::Empty(element) if element.local_name().as_ref() == "c" => {
                    let mut cell = self.cell(&element, &mut place)?;
                    end = self.part.place();
                    cell.octets = start..end;
                    cells.push(cell);
                }
                Event::End(element) if element.local_name().as_ref() == "row" => break,
                Event::Eof => return Err(self.part.wrong("ends within a row")),
                _ => {}
            }
        }
        for cell in &cells {
            // What is changed is what was read, or nothing is.
            if !self.octets(cell.octets.clone())?.starts_with('<') {
                return Err(self.part.wrong("has a cell that is not where it was read"));
            }
        }
        Ok(Row { sheet: self.name, number: place.row, cells, end, prefix, spans })
    }

    fn cell(&mut self, element: &BytesStart<'_>, place: &mut Place) -> Result<Cell<'t>, WorkbookError> {
        self.cells = self.cells.saturating_add(1);
        if self.cells > MOST_CELLS {
            return Err(WorkbookError::TooLarge { most: "1,000,000 cells in a sheet" });
        }
        let name = self.part.attribute(element, "r")?;
        *place = Place::after(*place, name.as_deref(), &self.part)?;
        let style = self.part.attribute(element, "s")?.map(|style| style.parse());
        let style = style.transpose().map_err(|_| self.part.wrong(format!("{place} has no format")))?;
        Ok(Cell {
            column: place.column,
            octets: 0..0,
            text: Cow::Borrowed(""),
            is_number: false,
            has_formula: false,
            style,
        })
    }

    /// What stands in the cell.
    fn content(&mut self, element: &BytesStart<'_>, cell: &mut Cell<'t>) -> Result<(), WorkbookError> {
        let kind = self.part.attribute(element, "t")?;
        loop {
            match self.part.next()? {
                Event::Start(element) => match element.local_name().as_ref() {
                    "v" => {
                        let value = self.part.characters()?;
                        cell.is_number = matches!(kind.as_deref(), None | Some("n"));
                        cell.text = match kind.as_deref() {
                            Some("s") => Cow::Borrowed(self.shared(&value)?),
                            None | Some("n") => Cow::Owned(number(&value)),
                            _ => Cow::Owned(value),
                        };
                    }
                    "is" => cell.text = Cow::Owned(self.part.text()?),
                    name => {
                        cell.has_formula |= name == "f";
                        self.part.text()?;
                    }
                },
                Event::Empty(element) => cell.has_formula |= element.local_name().as_ref() == "f",
                Event::End(_) => return Ok(()),
                Event::Eof => return Err(self.part.wrong("ends within a cell")),
                _ => {}
            }
        }
    }

    fn shared(&self, index: &str) -> Result<&'t str, WorkbookError> {
        let found = index.trim().parse().ok().and_then(|index: usize| self.strings.get(index));
        let found =
            found.ok_or_else(|| self.part.wrong(format!("names a string `{index}` that is not there")));
        found.map(String::as_str)
    }

    /// Where the hint stands which columns a row has.
    fn spans(&self, element: &BytesStart<'_>, start: usize) -> Option<Range<usize>> {
        let begin = start.checked_add(1)?.checked_add(element.name().as_ref().len())?;
        let raw = element.attributes_raw();
        let at = raw.find(" spans=")?;
        let value = raw.get(at.checked_add(7)?..)?;
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let length = value.get(1..)?.find(quote)?.checked_add(2 + 7)?;
        let from = begin.checked_add(at)?;
        Some(from..from.checked_add(length)?)
    }

    fn octets(&self, range: Range<usize>) -> Result<&'t str, WorkbookError> {
        self.text.get(range).ok_or_else(|| self.part.wrong("has an element that is not where it was read"))
    }

    fn merge(&mut self, element: &BytesStart<'_>) -> Result<(), WorkbookError> {
        let range = self.part.attribute(element, "ref")?.unwrap_or_default();
        let (from, to) = range.split_once(':').unwrap_or((&range, &range));
        let (Some(from), Some(to)) = (Place::parse(from), Place::parse(to)) else {
            return Err(self.part.wrong("merges what are no cells"));
        };
        if self.merged.len() >= MOST_MERGED {
            return Err(WorkbookError::TooLarge { most: "100,000 merged cells in a sheet" });
        }
        self.merged.push((from, to));
        Ok(())
    }

    /// A cell under another one that was merged over it shows nothing of what is written into it.
    pub(super) fn refuse_hidden(&self, edits: &Edits) -> Result<(), WorkbookError> {
        for (from, to) in &self.merged {
            let rows = edits
                .places()
                .range(Place { row: from.row, column: 0 }..=Place { row: to.row, column: u32::MAX });
            let hidden = rows.filter(|at| **at != *from && (from.column..=to.column).contains(&at.column));
            if let Some(at) = hidden.into_iter().next() {
                let what = "it is merged under another one, and nobody would see the answer; unmerge it";
                return Err(WorkbookError::Cell { sheet: self.name.to_owned(), cell: at.to_string(), what });
            }
        }
        Ok(())
    }
}

/// A number in its shortest spelling, as a spreadsheet shows one without a format.
fn number(text: &str) -> String {
    match text.trim().parse::<f64>() {
        Ok(number) if number.is_finite() => number.to_string(),
        _ => text.trim().to_owned(),
    }
}

/// Questionnaires have thousands of rows and tens of columns.
const MOST_CELLS: u32 = 1_000_000;
const MOST_MERGED: usize = 100_000;
