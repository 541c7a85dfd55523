//! The leash: a verified scope compiled for deciding, and the decision.
//!
//! `compile` turns patterns into plans once, `decide` answers a request without allocating, locking or reading a clock,
//! `budget` is the arithmetic of sliding windows. What was spent is not known here: the leash only says what a
//! permitted action would spend, and the guard keeps the sums.

mod budget;
mod compile;
mod decide;

pub use budget::{BudgetKey, Charge, Quota, SlidingSum};
pub use compile::{CompileError, Leash};
