//! Questionnaires: somebody's table of questions, filled where a question is known.
//!
//! Takes in the table as it is, a map from ids of questions to controls, and a report for each framework that the map
//! names; gives out the same table with answers in it. Nothing else of it changes: cells that hold something stay, and
//! so do the order, the other columns, and questions that nobody mapped, which are listed. An answer is the claim with
//! its evidence and its limit, or says that nothing shows it; it never is a bare yes.

use std::collections::{BTreeMap, BTreeSet};

use ::csv::{ReaderBuilder, StringRecord, Terminator, WriterBuilder};
use serde::Deserialize;

use crate::csv::{because, inert, receipts};
use crate::finding::{Finding, Status};
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
    /// The table.
    pub text: String,
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
        let map: Self = toml::from_str(text).map_err(QuestionnaireError::Map)?;
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

    /// Fills a table in CSV by `reports`.
    ///
    /// # Errors
    /// Text that is no table, a column that it has not, or a control that no report has.
    pub fn fill(&self, table: &str, reports: &[EvidenceReport]) -> Result<Filled, QuestionnaireError> {
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
            let id = row.get(ids).unwrap_or_default().trim().to_owned();
            let is_written = !row.get(answers).unwrap_or_default().trim().is_empty();
            match self.questions.get(&id) {
                _ if id.is_empty() => {}
                None => filled.blank.push(id),
                Some(_) if is_written => filled.kept.push(id),
                Some(controls) => {
                    let found = findings(&id, controls, reports)?;
                    put(&mut cells, answers, &answer(&found, names.is_none()));
                    if let Some(names) = names {
                        put(&mut cells, names, &evidence(&found));
                    }
                    filled.answered.push(id);
                }
            }
            let _ = writer.write_record(&cells);
        }
        filled.text = String::from_utf8(writer.into_inner().unwrap_or_default()).unwrap_or_default();
        Ok(filled)
    }
}

fn findings<'r>(
    question: &str,
    answers: &Answers,
    reports: &'r [EvidenceReport],
) -> Result<Vec<&'r Finding>, QuestionnaireError> {
    let find = |control: &String| {
        let (framework, id) = control.split_once('/')?;
        let report = reports.iter().find(|report| report.framework.id == framework)?;
        report.findings.iter().find(|finding| finding.control.id == id)
    };
    let found = |control: &String| {
        let (question, name) = (question.to_owned(), control.clone());
        find(control).ok_or(QuestionnaireError::Control { question, control: name })
    };
    answers.controls().iter().map(found).collect()
}

fn put(cells: &mut Vec<String>, place: usize, text: &str) {
    if cells.len() <= place {
        cells.resize(place.saturating_add(1), String::new());
    }
    if let Some(cell) = cells.get_mut(place) {
        *cell = inert(text);
    }
}

/// The answer: for each control what is claimed, by which evidence, and where that ends.
fn answer(findings: &[&Finding], with_receipts: bool) -> String {
    let one = |finding: &&Finding| {
        let control = &finding.control;
        let claim = match finding.status {
            Status::Evidenced => format!("Evidenced. {}", control.claim),
            Status::Partial => match finding.claim() {
                Some(claim) => format!("In part. {claim}"),
                None => "In part, and a part was not seen; nothing is claimed.".to_owned(),
            },
            Status::Contradicted => "Contradicted by the evidence; nothing is claimed.".to_owned(),
            Status::NoEvidence | Status::OutOfScope => "No evidence; nothing is claimed.".to_owned(),
        };
        let names = receipts(finding);
        let names = match with_receipts && !names.is_empty() {
            true => format!(" Receipts: {names}."),
            false => String::new(),
        };
        format!("{claim} Shown by {}.{names} Limit: {}", because(finding), control.limit)
    };
    findings.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// The receipts of several findings, each once.
fn evidence(findings: &[&Finding]) -> String {
    let mut names = BTreeSet::new();
    for finding in findings {
        names.extend(receipts(finding).split_whitespace().map(str::to_owned));
    }
    names.into_iter().collect::<Vec<_>>().join(" ")
}

/// Why a questionnaire is not filled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QuestionnaireError {
    /// Not the TOML of a map.
    #[error("not a map of questions: {0}")]
    Map(toml::de::Error),
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
        let lines: Vec<&str> = filled.text.split("\r\n").collect();
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
        assert!(
            filled.text.starts_with("ID,Answer,Proof\nQ3,") && filled.text.ends_with(",\n"),
            "{}",
            filled.text
        );
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
        assert!(matches!(QuestionMap::parse("id = 1"), Err(QuestionnaireError::Map(_))));
        let bare = MAP.replace("csf-2.0/PR.AA-05", "PR.AA-05");
        assert!(matches!(QuestionMap::parse(&bare), Err(QuestionnaireError::Control { .. })));
        assert!(matches!(
            QuestionMap::parse(&format!("{MAP}Q4 = []\n")),
            Err(QuestionnaireError::Control { .. })
        ));
        assert_eq!(map.frameworks(), BTreeSet::from(["csf-2.0"]));
    }
}
