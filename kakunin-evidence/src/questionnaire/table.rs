//! A table of questions in CSV.

use ::csv::{ReaderBuilder, StringRecord, Terminator, WriterBuilder};

use super::{Filled, QuestionMap, QuestionnaireError, Row};
use crate::report::EvidenceReport;

impl QuestionMap {
    /// Fills a table in CSV by `reports`.
    ///
    /// # Errors
    /// Text that is no table, a column that it has not, or a control that no report has.
    pub fn fill(&self, table: &str, reports: &[EvidenceReport]) -> Result<Filled, QuestionnaireError> {
        if let Some(name) = &self.sheet {
            return Err(QuestionnaireError::Sheet { name: name.clone() });
        }
        let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(table.as_bytes());
        let rows: Result<Vec<StringRecord>, _> = reader.records().collect();
        let mut rows = rows.map_err(QuestionnaireError::Table)?.into_iter();
        let head = rows.next().ok_or(QuestionnaireError::Empty)?;
        let column = |name: &String| {
            let is_it = |cell: &str| cell.trim_start_matches('\u{feff}').trim() == name.trim();
            head.iter().position(is_it).ok_or_else(|| QuestionnaireError::Column { name: name.clone() })
        };
        let (ids, answers) = (column(&self.id)?, column(&self.answer)?);
        let names = self.evidence.as_ref().map(column).transpose()?;
        let ends = if table.contains("\r\n") { Terminator::CRLF } else { Terminator::Any(b'\n') };
        let mut writer = WriterBuilder::new().terminator(ends).flexible(true).from_writer(Vec::new());
        // Nothing but memory is written to, and rows may differ in length.
        let _ = writer.write_record(&head);
        let mut filled = Filled::default();
        for row in rows {
            let mut cells: Vec<String> = row.iter().map(str::to_owned).collect();
            let id = row.get(ids).unwrap_or_default().trim();
            let is_written = |place: usize| !row.get(place).unwrap_or_default().trim().is_empty();
            let found = self.row(id, is_written(answers), reports)?;
            if let Row::Answer(answer) = &found {
                put(&mut cells, answers, &answer.text);
                if let (Some(names), Some(receipts)) = (names.filter(|it| !is_written(*it)), &answer.receipts)
                {
                    put(&mut cells, names, receipts);
                }
            }
            filled.note(id, &found);
            let _ = writer.write_record(&cells);
        }
        filled.octets = writer.into_inner().unwrap_or_default();
        Ok(filled)
    }
}

fn put(cells: &mut Vec<String>, place: usize, text: &str) {
    if cells.len() <= place {
        cells.resize(place.saturating_add(1), String::new());
    }
    if let Some(cell) = cells.get_mut(place) {
        text.clone_into(cell);
    }
}
