//! The text of an answer: what is claimed, by which evidence, and where that ends.

use std::collections::BTreeSet;

use super::QuestionnaireError;
use crate::csv::{because, inert, receipts};
use crate::finding::{Finding, Status};
use crate::report::EvidenceReport;

/// What goes into the cells of one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// For each control what is claimed, by which evidence, and where that ends.
    pub(super) text: String,
    /// The receipts, for a cell of their own, if the table has one.
    pub(super) receipts: Option<String>,
}

impl Answer {
    /// The answer by these controls. `apart` says whether receipts have a cell of their own.
    pub(super) fn by(
        question: &str,
        controls: &[String],
        reports: &[EvidenceReport],
        apart: bool,
    ) -> Result<Self, QuestionnaireError> {
        let findings = findings(question, controls, reports)?;
        let text = findings.iter().map(|finding| one(finding, !apart)).collect::<Vec<_>>().join(" ");
        let names = apart.then(|| names(&findings).into_iter().collect::<Vec<_>>().join(" "));
        Ok(Self { text: inert(&text), receipts: names.as_deref().map(inert) })
    }
}

fn findings<'r>(
    question: &str,
    controls: &[String],
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
    controls.iter().map(found).collect()
}

fn one(finding: &Finding, with_receipts: bool) -> String {
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
}

/// The receipts of several findings, each once.
fn names(findings: &[&Finding]) -> BTreeSet<String> {
    let of = |finding: &&Finding| receipts(finding).split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    findings.iter().flat_map(of).collect()
}
