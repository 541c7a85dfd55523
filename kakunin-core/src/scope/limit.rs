//! Limits on money and on how often.

use super::action::Pattern;
use crate::money::{Currency, Money};

/// Exact money limits for some actions in one currency.
///
/// ```text
/// Limit ::= SEQUENCE { for Patterns, currency PrintableString (SIZE (3..12)), scale INTEGER (0..18),
///   perAction [0] Money OPTIONAL, windows [1] SEQUENCE SIZE (1..8) OF Window OPTIONAL,
///   approveAbove [2] Money OPTIONAL, optional [3] NULL OPTIONAL }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The actions this limit is mandatory for.
    pub r#for: Vec<Pattern>,
    /// The currency it counts.
    pub currency: Currency,
    /// Decimals of every amount below.
    pub scale: u8,
    /// The most that one action may move.
    pub per_action: Option<Money>,
    /// Sums over sliding windows.
    pub windows: Vec<Window>,
    /// Above this an approval is needed, which until approvals exist means a denial.
    pub approve_above: Option<Money>,
    /// Whether a request may carry no amount at all.
    pub optional: bool,
}

/// A sum over a sliding window: `Window ::= SEQUENCE { seconds INTEGER (1..31622400), max Money }`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The window's length, 1 to 31,622,400 (366 days).
    pub seconds: u32,
    /// The most within it: minor units of a limit, or a number of actions of a rate.
    pub max: Money,
}

/// How often some actions may happen: `Rate ::= SEQUENCE { for Patterns, window Window }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The actions counted together.
    pub r#for: Vec<Pattern>,
    /// The count and the time.
    pub window: Window,
}

/// Longest window: 366 days.
pub(super) const MAX_WINDOW_SECONDS: u32 = 31_622_400;
