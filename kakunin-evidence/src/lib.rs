//! Evidence for auditors: what signed receipts show of a framework's controls, and what they do not.
//!
//! Takes in what the core's verifier makes of a bundle or of journals, and a framework as a data file; gives out findings,
//! one for each control, with the receipts that show it, in JSON, CSV, HTML and OSCAL. The rules are few. A control is
//! claimed by predicates of a closed list and by nothing else. A receipt that nobody signed shows nothing, and evidence
//! that does not verify contradicts every control that stands on it. What a framework asks and receipts cannot show is
//! listed beside it. The same evidence gives the same octets: no clock, no chance, no network.
//!
//! It does not say that anybody complies with anything. The core knows nothing of frameworks, and this crate nothing of
//! cryptography.

mod bounds;
mod csv;
mod facts;
mod finding;
mod framework;
mod gates;
mod judge;
mod json;
mod lists;
mod oscal;
mod page;
#[cfg(feature = "pdf")]
mod pdf;
mod predicate;
mod questionnaire;
mod report;
mod watched;

pub use facts::{Facts, Period, Settled};
pub use finding::{Finding, Judgement, Pointer, Shown, Status};
pub use framework::{Carries, Control, Framework, FrameworkError, NotCovered};
#[cfg(feature = "pdf")]
pub use pdf::PdfError;
pub use predicate::Predicate;
#[cfg(feature = "xlsx")]
pub use questionnaire::WorkbookError;
pub use questionnaire::{Filled, QuestionMap, QuestionnaireError};
pub use report::EvidenceReport;
pub use watched::Terms;
