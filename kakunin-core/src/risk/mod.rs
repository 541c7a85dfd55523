//! Behaviour risk: whether an agent still does what it used to do, by its own signed receipts.
//!
//! Takes in [`Observation`]s, each what risk reads of one verified receipt, a [`Baseline`] of the same agent and a
//! [`RiskPolicy`]; gives out [`Change`]s between [`RiskLevel`]s with the evidence that caused them. Everything is integer
//! and a function of its input: no clock (time is the receipts'), no randomness (the calibration is seeded by what it
//! calibrates), no float, so a replay gives the same octets on every machine and in every language.
//!
//! What it deliberately does not do: verify anything (whoever observes has verified), act (a level is a finding; lists
//! and feeds are the authority's), learn while it watches (a baseline is frozen; another one is another digest), or
//! believe what agents or their hosts declare about themselves (that is capped evidence and never revokes).

mod baseline;
mod calibrate;
mod call_for;
mod change;
mod charts;
mod counts;
mod course;
mod feature;
mod frozen;
mod learn;
mod level;
mod logarithm;
mod monitor;
mod observation;
mod policy;
mod recall;
mod replay;
mod signals;
mod standing;
mod state;
mod tuning;
mod weight;
mod words;

pub use baseline::{Baseline, TooLittle};
pub use change::Change;
pub use feature::{Evidence, Feature, HardFact};
pub use frozen::BaselineError;
pub use level::RiskLevel;
pub use monitor::{Declared, Found, Monitor};
pub use observation::{Observation, in_order};
pub use policy::RiskPolicy;
pub use replay::{Point, Replay, replay, replay_explained};
pub use state::StateError;
