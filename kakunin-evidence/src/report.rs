//! The report: a framework held against the facts, row by row.

use kakunin_core::time::UnixTime;

use crate::facts::{Facts, Settled};
use crate::finding::{Finding, Status};
use crate::framework::{Framework, FrameworkError};
use crate::judge::judge;
use crate::{csv, json, oscal, page};

/// What was found for a framework. Rendering it twice gives the same octets.
#[derive(Clone, Debug)]
pub struct EvidenceReport {
    pub(crate) framework: Framework,
    pub(crate) facts: Facts,
    pub(crate) as_of: UnixTime,
    pub(crate) findings: Vec<Finding>,
    pub(crate) remark: Option<String>,
}

impl EvidenceReport {
    /// Judges every control of `framework` by `facts`, as the law stands at `as_of`; without one, at the end of the period
    /// or, if that is open, at the last time that a receipt claims.
    ///
    /// # Errors
    /// A date of the framework is none.
    pub fn of(framework: Framework, facts: Facts, as_of: Option<UnixTime>) -> Result<Self, FrameworkError> {
        let last = facts.claimed.map(|(_, last)| last);
        let as_of = as_of.or(facts.period.to).or(last).unwrap_or(UnixTime::from_seconds(0));
        let mut findings = Vec::with_capacity(framework.controls.len());
        for control in &framework.controls {
            let judgements: Vec<_> =
                control.shown_by.iter().map(|predicate| judge(*predicate, &facts)).collect();
            findings.push(Finding {
                control: control.clone(),
                applies_from: control.applies_from.clone().unwrap_or_else(|| framework.applies_from.clone()),
                applies: framework.starts(Some(control))? <= as_of,
                status: Status::of(&judgements, control.carries),
                judgements,
            });
        }
        Ok(Self { framework, facts, as_of, findings, remark: None })
    }

    /// The same with something that a reader has to know of this report before all else; every form says it.
    #[must_use]
    pub fn remarking(self, remark: impl Into<String>) -> Self {
        Self { remark: Some(remark.into()), ..self }
    }

    /// The framework.
    #[must_use]
    pub const fn framework(&self) -> &Framework {
        &self.framework
    }

    /// The findings, in the order of the framework.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// What everything was judged by.
    #[must_use]
    pub const fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The date whose law counts.
    #[must_use]
    pub const fn as_of(&self) -> UnixTime {
        self.as_of
    }

    /// How many rows have `status`; what is not covered counts as out of scope.
    #[must_use]
    pub fn count(&self, status: Status) -> usize {
        match status {
            Status::OutOfScope => self.framework.not_covered.len(),
            _ => self.findings.iter().filter(|finding| finding.status == status).count(),
        }
    }

    /// The exit code of `kakunin report`: 1 if something is contradicted, 0 if the evidence is complete, 3 if it is
    /// authentic and not complete, or empty.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        if self.count(Status::Contradicted) > 0 { 1 } else { self.facts.exit }
    }

    /// The word for the evidence as a whole, as the verifier says it.
    #[must_use]
    pub const fn verdict(&self) -> &'static str {
        match self.facts.settled {
            Settled::Complete => "COMPLETE",
            Settled::NotComplete(_) => "AUTHENTIC-NOT-COMPLETE",
            Settled::Empty => "EMPTY",
            Settled::Invalid { .. } => "INVALID",
        }
    }

    /// The report for programs: one JSON object.
    #[must_use]
    pub fn to_json(&self) -> String {
        json::write(self)
    }

    /// The rows as a table, safe to open in a spreadsheet.
    #[must_use]
    pub fn to_csv(&self) -> String {
        csv::write(self)
    }

    /// The report as one page of HTML that needs nothing else and asks nobody.
    #[must_use]
    pub fn to_html(&self) -> String {
        page::draw(self)
    }

    /// The report as PDF.
    ///
    /// # Errors
    /// The type of its letters cannot be read, or the document cannot be written.
    #[cfg(feature = "pdf")]
    pub fn to_pdf(&self) -> Result<Vec<u8>, crate::pdf::PdfError> {
        crate::pdf::draw(std::slice::from_ref(self))
    }

    /// Several reports as one PDF, each from a new page on.
    ///
    /// # Errors
    /// As [`EvidenceReport::to_pdf`].
    #[cfg(feature = "pdf")]
    pub fn all_to_pdf(reports: &[Self]) -> Result<Vec<u8>, crate::pdf::PdfError> {
        crate::pdf::draw(reports)
    }

    /// OSCAL assessment results: observations with the receipts, findings with their state.
    #[must_use]
    pub fn to_oscal_results(&self) -> String {
        oscal::results(self)
    }

    /// An OSCAL component definition: what this SDK can implement of the framework, whatever the evidence.
    #[must_use]
    pub fn to_oscal_component(framework: &Framework) -> String {
        oscal::component(framework)
    }
}

/// What every form of the report says first.
pub(crate) const SAYS: &str = "This report says what signed receipts show and what they do not. It does not say that anybody complies with anything.";
