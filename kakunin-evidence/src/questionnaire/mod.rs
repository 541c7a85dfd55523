//! Questionnaires: somebody's table of questions, filled where a question is known.
//!
//! Takes in the table as it is, a map from ids of questions to controls, and a report for each framework that the map
//! names; gives out the same table with answers in it. Nothing else of it changes: cells that hold something stay, and
//! so do the order, the other columns, and questions that nobody mapped, which are listed. An answer is the claim with
//! its evidence and its limit, or says that nothing shows it; it never is a bare yes.

mod answer;
mod table;
#[cfg(feature = "xlsx")]
mod xlsx;

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use self::answer::Answer;
#[cfg(feature = "xlsx")]
pub use self::xlsx::WorkbookError;
use crate::report::EvidenceReport;

/// Where the questions are, and which control answers which.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuestionMap {
    /// The header of the column with the ids of questions.
    id: String,
    /// The header of the column for answers.
    answer: String,
    /// The header of a column for the names of receipts, if they are not to be in the answer.
    evidence: Option<String>,
    /// The only sheet of a workbook that is filled; every sheet that has the columns, if none is named.
    sheet: Option<String>,
    /// Controls by the ids of questions, as `framework/control`.
    questions: BTreeMap<String, Answers>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Answers {
    One(String),
    Many(Vec<String>),
}

impl Answers {
    fn controls(&self) -> &[String] {
        match self {
            Self::One(control) => std::slice::from_ref(control),
            Self::Many(controls) => controls,
        }
    }
}

/// A table that was filled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filled {
    /// The table, in the form it came in.
    pub octets: Vec<u8>,
    /// Questions that were answered, in the order of the table.
    pub answered: Vec<String>,
    /// Questions that nobody mapped: their answers are as they were.
    pub blank: Vec<String>,
    /// Questions whose answer somebody had written already: it was kept.
    pub kept: Vec<String>,
}

impl QuestionMap {
    /// Reads a map from TOML.
    ///
    /// # Errors
    /// A key that is not known, with its line, or a control that is not written as `framework/control`.
    pub fn parse(text: &str) -> Result<Self, QuestionnaireError> {
        let map: Self = toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            QuestionnaireError::Map {
                line: before.matches('\n').count() + 1,
                what: error.message().to_owned(),
            }
        })?;
        for (question, answers) in &map.questions {
            let wrong = answers.controls().iter().find(|control| !control.contains('/'));
            if wrong.is_some() || answers.controls().is_empty() {
                let control = wrong.cloned().unwrap_or_default();
                return Err(QuestionnaireError::Control { question: question.clone(), control });
            }
        }
        Ok(map)
    }

    /// The frameworks that it names, ascending.
    #[must_use]
    pub fn frameworks(&self) -> BTreeSet<&str> {
        let all = self.questions.values().flat_map(Answers::controls);
        all.filter_map(|control| control.split_once('/')).map(|(framework, _)| framework).collect()
    }

    /// What is done with the row of this question.
    fn row(&self, id: &str, is_written: bool, reports: &[EvidenceReport]) -> Result<Row, QuestionnaireError> {
        let Some(controls) = self.questions.get(id).filter(|_| !id.is_empty()) else {
            return Ok(if id.is_empty() { Row::Nothing } else { Row::Blank });
        };
        // What somebody wrote stands above what we would have written.
        if is_written {
            return Ok(Row::Kept);
        }
        Answer::by(id, controls.controls(), reports, self.evidence.is_some()).map(Row::Answer)
    }
}

/// What is done with a row.
enum Row {
    /// It asks nothing.
    Nothing,
    /// Nobody mapped its question.
    Blank,
    /// Somebody answered it.
    Kept,
    /// It is filled.
    Answer(Answer),
}

impl Filled {
    fn note(&mut self, id: &str, row: &Row) {
        let list = match row {
            Row::Nothing => return,
            Row::Blank => &mut self.blank,
            Row::Kept => &mut self.kept,
            Row::Answer(_) => &mut self.answered,
        };
        list.push(id.to_owned());
    }
}

/// Why a questionnaire is not filled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QuestionnaireError {
    /// Not the TOML of a map.
    #[error("not a map of questions: line {line}: {what}")]
    Map {
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
    /// Not a table.
    #[error("not a table in CSV: {0}")]
    Table(::csv::Error),
    /// Nothing in it.
    #[error("the table is empty")]
    Empty,
    /// A column that the table has not.
    #[error("the table has no column `{name}`; the map names columns by their headers")]
    Column {
        /// Its header.
        name: String,
    },
    /// A sheet that is none.
    #[error("there is no sheet `{name}`, which the map names as the only one to fill")]
    Sheet {
        /// Its name.
        name: String,
    },
    /// No sheet has a table of questions.
    #[error(
        "no sheet has a row with the headers `{id}` and `{answer}`; the map names columns by their headers"
    )]
    Head {
        /// The header of ids.
        id: String,
        /// The header of answers.
        answer: String,
    },
    /// A number that stands for several ids.
    #[error("question `{id}` is there more than once, as a number: 1.1 and 1.10 are one; write ids as text")]
    Number {
        /// The number.
        id: String,
    },
    /// A workbook that is not read or written.
    #[cfg(feature = "xlsx")]
    #[error("not a workbook that can be filled: {0}")]
    Workbook(#[from] WorkbookError),
    /// A control that is none.
    #[error("question `{question}`: `{control}` is no control; write it as in `csf-2.0/PR.AA-05`")]
    Control {
        /// The question.
        question: String,
        /// What the map says.
        control: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{Facts, Period};
    use crate::framework::Framework;

    fn reports() -> Vec<EvidenceReport> {
        let framework = Framework::named("csf-2.0").unwrap();
        vec![EvidenceReport::of(framework, Facts::none(Period::default()), None).unwrap()]
    }

    const MAP: &str = "id = \"ID\"\nanswer = \"Answer\"\n[questions]\nQ1 = \"csf-2.0/PR.AA-05\"\nQ3 = [\"csf-2.0/PR.PS-04\", \"csf-2.0/PR.AA-01\"]\n";

    #[test]
    fn known_questions_are_filled_and_everything_else_stays() {
        let map = QuestionMap::parse(MAP).unwrap();
        let table = "ID,Question,Answer,Owner\r\nQ1,\"Who, what?\",,=SUM(A1)\r\nQ2,Other?,,x\r\n,heading,,\r\nQ3,Logs?,already,\r\n";
        let filled = map.fill(table, &reports()).unwrap();
        let text = String::from_utf8(filled.octets).unwrap();
        let lines: Vec<&str> = text.split("\r\n").collect();
        assert_eq!(lines[0], "ID,Question,Answer,Owner");
        assert!(
            lines[1].starts_with("Q1,\"Who, what?\",\"No evidence; nothing is claimed. Shown by"),
            "{}",
            lines[1]
        );
        assert!(lines[1].contains("Limit: ") && lines[1].ends_with(",=SUM(A1)"), "{}", lines[1]);
        assert_eq!((lines[2], lines[3], lines[4]), ("Q2,Other?,,x", ",heading,,", "Q3,Logs?,already,"));
        assert_eq!(
            (&filled.answered[..], &filled.blank[..]),
            (&["Q1".to_owned()][..], &["Q2".to_owned()][..])
        );
        assert_eq!(filled.kept, ["Q3"]);
        let apart = QuestionMap::parse(&format!("evidence = \"Proof\"\n{MAP}")).unwrap();
        let filled = apart.fill("ID,Answer,Proof\nQ3\n", &reports()).unwrap();
        let text = String::from_utf8(filled.octets).unwrap();
        assert!(text.starts_with("ID,Answer,Proof\nQ3,") && text.ends_with(",\n"), "{text}");
        // What somebody wrote where receipts would go stays, too.
        let filled = apart.fill("ID,Answer,Proof\nQ3,,see wiki\n", &reports()).unwrap();
        let text = String::from_utf8(filled.octets).unwrap();
        assert!(text.ends_with(",see wiki\n"), "{text}");
        let named = QuestionMap::parse(&format!("sheet = \"One\"\n{MAP}")).unwrap();
        let error = named.fill("ID,Answer\n", &reports()).unwrap_err();
        assert!(matches!(error, QuestionnaireError::Sheet { .. }), "{error}");
    }

    #[test]
    fn a_questionnaire_that_does_not_fit_is_refused() {
        let map = QuestionMap::parse(MAP).unwrap();
        for (table, says) in
            [("", "empty"), ("Id,Answer\n", "no column `ID`"), ("ID,Reply\n", "no column `Answer`")]
        {
            let error = map.fill(table, &reports()).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        let unknown = QuestionMap::parse(&MAP.replace("PR.AA-05", "PR.AA-99")).unwrap();
        let error = unknown.fill("ID,Answer\nQ1,\n", &reports()).unwrap_err().to_string();
        assert!(error.contains("`csf-2.0/PR.AA-99` is no control"), "{error}");
        let error = QuestionMap::parse("answer = \"B\"\nid = 1\n").unwrap_err().to_string();
        assert!(error.starts_with("not a map of questions: line 2: ") && !error.contains('\n'), "{error}");
        let bare = MAP.replace("csf-2.0/PR.AA-05", "PR.AA-05");
        assert!(matches!(QuestionMap::parse(&bare), Err(QuestionnaireError::Control { .. })));
        assert!(matches!(
            QuestionMap::parse(&format!("{MAP}Q4 = []\n")),
            Err(QuestionnaireError::Control { .. })
        ));
        assert_eq!(map.frameworks(), BTreeSet::from(["csf-2.0"]));
    }
}
