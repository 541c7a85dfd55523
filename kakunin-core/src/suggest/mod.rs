//! Suggesting a scope: the narrowest one that allows what an agent was seen to do.
//!
//! Takes in receipts while they are verified ([`Observed`] is a [`crate::verify::Watch`]); gives out a [`Suggestion`], which
//! is a scope file with what it rests on in comments, and what came of putting the same calls before it. Only calls that ran
//! count: what an enforced leash denied did not happen, and is no reason to allow it. Names, amounts and hours are taken as
//! they were; nothing is generalised. What was not opened is not guessed, and is counted.
//!
//! It decides nothing: somebody reads the file, and certifies by it or not.

mod observed;
mod rules;
mod suggestion;
mod text;

pub use observed::Observed;
pub use suggestion::{SuggestError, Suggestion};
