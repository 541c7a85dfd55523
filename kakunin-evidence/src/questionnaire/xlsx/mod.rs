//! A workbook of questions in XLSX, filled in place.
//!
//! Takes in the workbook as it was sent and gives out the same one with answers in it. Cells that are filled are the only
//! octets of a sheet that change, and every other part of the workbook (formats, lists of choices, pictures, macros) is
//! copied as it lies there, packed as it was. Nothing of it is believed: what it unpacks to is measured before anything
//! is read, and a place that is none, or a cell that nobody would see, is refused.
//!
//! An answer is a text where it stands, with the type of a text, so no program reads a formula in it. No formula is
//! computed here: what one says of the answers is as it was until a spreadsheet computes it anew.

mod cell;
mod edit;
mod package;
mod sheet;
mod text;
mod workbook;

use std::collections::{BTreeMap, BTreeSet};

use self::edit::Edits;
use self::package::Package;
use self::sheet::Sheet;
use super::{Filled, QuestionMap, QuestionnaireError, Row};
use crate::report::EvidenceReport;

impl QuestionMap {
    /// Fills a workbook in XLSX by `reports`. In a sheet, the first row that has the headers of ids and answers is the head
    /// of its table; sheets that have none are left alone.
    ///
    /// # Errors
    /// Octets that are no workbook or more than fits, a column that no sheet has, a control that no report has, and an
    /// answer that fits into no cell or into one that nobody would see.
    pub fn fill_workbook(
        &self,
        octets: &[u8],
        reports: &[EvidenceReport],
    ) -> Result<Filled, QuestionnaireError> {
        let mut package = Package::open(octets)?;
        let workbook = workbook::read(&mut package)?;
        if let Some(name) =
            self.sheet.as_ref().filter(|name| !workbook.sheets.iter().any(|it| it.name == **name))
        {
            return Err(QuestionnaireError::Sheet { name: name.clone() });
        }
        let (mut filled, mut changed, mut ids) = (Filled::default(), BTreeMap::new(), Ids::default());
        let mut tables = 0_usize;
        for listed in &workbook.sheets {
            if self.sheet.as_ref().is_some_and(|name| *name != listed.name) {
                continue;
            }
            let whole = package.need(&listed.part)?;
            // A mark of the octets' order is none of the document.
            let text = whole.strip_prefix('\u{feff}').unwrap_or(&whole);
            let mut sheet = Sheet::new(&listed.name, text, &workbook.strings);
            let mut columns: Option<Columns> = None;
            let mut edits = Edits::default();
            while let Some(row) = sheet.next_row()? {
                let Some(columns) = columns else {
                    columns = self.columns(&row)?;
                    continue;
                };
                let Some(cell) = row.cell(columns.id) else { continue };
                let id = cell.text.trim();
                let found = self.row(id, row.is_written(columns.answer), reports)?;
                if matches!(found, Row::Answer(_) | Row::Kept) {
                    ids.saw(id, cell.is_number)?;
                }
                if let Row::Answer(answer) = &found {
                    edits.put(&row, columns.answer, &answer.text)?;
                    let free = columns.evidence.filter(|column| !row.is_written(*column));
                    if let (Some(column), Some(receipts)) = (free, &answer.receipts) {
                        edits.put(&row, column, receipts)?;
                    }
                }
                filled.note(id, &found);
            }
            tables += usize::from(columns.is_some());
            sheet.refuse_hidden(&edits)?;
            if !edits.is_empty() {
                let elsewhere = || WorkbookError::Form {
                    part: listed.part.clone(),
                    what: "has a cell that is not where it was read".to_owned(),
                };
                changed.insert(listed.part.clone(), edits.apply(text).ok_or_else(elsewhere)?);
            }
        }
        if tables == 0 {
            return Err(QuestionnaireError::Head { id: self.id.clone(), answer: self.answer.clone() });
        }
        filled.octets = package.with(&changed)?;
        Ok(filled)
    }

    /// The columns of the table, if this row is its head.
    fn columns(&self, row: &sheet::Row<'_>) -> Result<Option<Columns>, QuestionnaireError> {
        let column = |name: &String| {
            row.cells.iter().find(|cell| cell.text.trim() == name.trim()).map(|cell| cell.column)
        };
        let (Some(id), Some(answer)) = (column(&self.id), column(&self.answer)) else { return Ok(None) };
        let evidence = self
            .evidence
            .as_ref()
            .map(|name| column(name).ok_or_else(|| QuestionnaireError::Column { name: name.clone() }));
        Ok(Some(Columns { id, answer, evidence: evidence.transpose()? }))
    }
}

/// Where things are in a table.
#[derive(Clone, Copy, Debug)]
struct Columns {
    id: u32,
    answer: u32,
    evidence: Option<u32>,
}

/// Ids of questions that are mapped. Numbers among them have one spelling each: `1.10` in a cell of a number is `1.1`, and
/// would be answered as that.
#[derive(Debug, Default)]
struct Ids {
    all: BTreeSet<String>,
    numbers: BTreeSet<String>,
}

impl Ids {
    fn saw(&mut self, id: &str, is_number: bool) -> Result<(), QuestionnaireError> {
        let again = !self.all.insert(id.to_owned());
        let number = self.numbers.contains(id) || is_number;
        if again && number {
            return Err(QuestionnaireError::Number { id: id.to_owned() });
        }
        if is_number {
            self.numbers.insert(id.to_owned());
        }
        Ok(())
    }
}

/// Why a workbook is not read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkbookError {
    /// It has, or unpacks to, more than anybody asks.
    #[error("it has more than {most}")]
    TooLarge {
        /// How much of what is the most.
        most: &'static str,
    },
    /// Encrypted, or a workbook of before XLSX.
    #[error("it is encrypted or of another form; save it as XLSX without a password")]
    Sealed,
    /// No ZIP file, or one that contradicts itself.
    #[error("{0}")]
    Zip(String),
    /// It names a part that it has not.
    #[error("it has no part `{0}`")]
    Part(String),
    /// A part that is no XML in UTF-8, or not of the form that parts have.
    #[error("{part}: {what}")]
    Form {
        /// The part.
        part: String,
        /// What is wrong with it.
        what: String,
    },
    /// An answer that cannot stand in its cell.
    #[error("sheet `{sheet}`, cell {cell}: {what}")]
    Cell {
        /// The sheet.
        sheet: String,
        /// The cell.
        cell: String,
        /// Why not.
        what: &'static str,
    },
}

#[cfg(test)]
mod tests;
