//! The gate around the core's: it reads what the core judges, has the judgement signed, tells it in the forms that
//! pipelines read, and acts on it where somebody with the right says so.
//!
//! Whatever cannot be read becomes a check that cannot be evaluated; the core says what that means.

mod consequence;
mod github;
mod papers;
mod promoted;
mod record;
mod sarif;
mod sign;

pub(crate) use consequence::{Consequence, Done};
pub(crate) use github::{GitHub, unheard};
pub(crate) use papers::{Candidate, read_papers};
pub(crate) use promoted::Record;
pub(crate) use record::Told;
pub(crate) use sarif::to_sarif;
pub(crate) use sign::{Signed, Signing, last_by};
