//! Names of cells: `C5` is the third column of the fifth row.

use super::WorkbookError;
use super::text::Part;

/// A cell's place, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) row: u32,
    pub(super) column: u32,
}

impl Place {
    /// Reads `C5`; anything that is no cell of a sheet is `None`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let digits = text.find(|c: char| !c.is_ascii_alphabetic())?;
        let (letters, digits) = text.split_at_checked(digits)?;
        let letter = |c: u8| u32::from(c.to_ascii_uppercase().saturating_sub(b'A')) + 1;
        let column = (1..=3).contains(&letters.len()).then(|| {
            letters.bytes().fold(0_u32, |column, c| column.saturating_mul(26).saturating_add(letter(c)))
        })?;
        let row = Some(digits).filter(|it| it.bytes().all(|c| c.is_ascii_digit()))?.parse().ok()?;
        Self { row, column }.is_one()
    }

    fn is_one(self) -> Option<Self> {
        ((1..=ROWS).contains(&self.row) && (1..=COLUMNS).contains(&self.column)).then_some(self)
    }

    /// Its place by what it says, or else behind the one before it.
    pub(super) fn after(before: Self, name: Option<&str>, part: &Part<'_>) -> Result<Self, WorkbookError> {
        let place = match name {
            Some(name) => Self::parse(name).filter(|place| place.row == before.row),
            None => Self { column: before.column.saturating_add(1), ..before }.is_one(),
        };
        let place = place.filter(|place| place.column > before.column);
        place.ok_or_else(|| part.wrong(format!("has a cell that is no place behind {before}")))
    }

    /// The row of this number, before its first cell.
    pub(super) fn before_row(
        last: u32,
        number: Option<&str>,
        part: &Part<'_>,
    ) -> Result<Self, WorkbookError> {
        let row = match number {
            Some(number) => number.parse().ok(),
            None => Some(last.saturating_add(1)),
        };
        let row = row.filter(|row| *row > last && *row <= ROWS);
        let row = row.ok_or_else(|| part.wrong(format!("has a row that is no place behind row {last}")))?;
        Ok(Self { row, column: 0 })
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (mut letters, mut left) = (Vec::new(), self.column);
        while left > 0 {
            let letter = u8::try_from((left - 1) % 26).unwrap_or(0);
            letters.push(char::from(b'A' + letter));
            left = (left - 1) / 26;
        }
        let letters: String = letters.into_iter().rev().collect();
        write!(f, "{letters}{}", self.row)
    }
}

/// What a sheet has at most.
const ROWS: u32 = 1_048_576;
const COLUMNS: u32 = 16_384;
