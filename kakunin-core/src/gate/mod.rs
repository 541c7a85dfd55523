//! The gate: whether an agent may be promoted, by what it was given and what it did.
//!
//! It is asked before a release and not before a call. Takes in a certificate with its issuers and lists, the certificate
//! that was promoted last, verified receipts, a baseline, a [`GatePolicy`] and a time; gives out a [`Judgement`]: a check for
//! every [`Step`], each with a stable code and a sentence, and one verdict. What is not there, or cannot be read, or is too
//! little, cannot be evaluated, and that is a refusal like any other: nothing here passes because nothing was found.
//!
//! It opens no file, asks no network and has no clock. Suspending and revoking are not its affair: it says what was found,
//! and whoever has the right acts.

mod candidate;
mod check;
mod conduct;
mod evidence;
mod example;
mod gathered;
mod judge;
mod judgement;
mod policy;
mod promotions;
mod statement;
mod watched;
mod written;

pub use candidate::scope_digest;
pub use check::{Check, Code, Outcome, Step};
pub use evidence::{Evidence, Given, Promoted, Receipts};
pub use example::{AskedNames, Example, Expected};
pub use gathered::Gathered;
pub use judge::RiskTerms;
pub use judgement::Judgement;
pub use policy::{Approval, Explained, GatePolicy, Observed, PolicyError, Stricter};
pub use promotions::Promotions;
pub use statement::{PROMOTE, REFUSE, Run, Statement};
pub use watched::{Promotion, Watched, Watching};
pub use written::span;
