//! Examples: what a leash has to allow, and what it has to deny.
//!
//! Each is put before the leash itself, with nothing spent before. An example that the leash cannot decide proves nothing,
//! and one that is denied for another reason than it names is no proof of that reason.

use super::check::Code;
use crate::decision::{Decision, Denial};
use crate::leash::{Leash, SlidingSum};
use crate::reason::DenialReason;
use crate::request::{ActionRequest, Amount, Names};
use crate::time::UnixMillis;

/// A request of the policy, and what has to come of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// The line in the policy.
    pub line: usize,
    /// What has to come of it.
    pub expected: Expected,
    /// The action.
    pub action: String,
    /// The amount, as decimal text.
    pub amount: Option<String>,
    /// Its currency.
    pub currency: Option<String>,
    /// Towards whom.
    pub counterparty: AskedNames,
    /// On what.
    pub resource: AskedNames,
    /// When, if not at the time of the gate.
    pub at: Option<UnixMillis>,
}

/// Names of an example.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AskedNames {
    /// None are given.
    #[default]
    Absent,
    /// One.
    One(String),
    /// A list, which may be empty.
    Many(Vec<String>),
}

/// What has to come of an example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Allowed.
    Allowed,
    /// Denied; with this code, if one is named.
    Denied(Option<String>),
}

impl Example {
    /// Puts it before `leash`; `None` if what comes of it is what has to.
    pub(super) fn put_before(&self, leash: &Leash, now: UnixMillis) -> Option<(Code, String)> {
        let decided = self.decide(leash, self.at.unwrap_or(now));
        let (line, action) = (self.line, &self.action);
        match (&self.expected, decided) {
            // Whoever has the list of names could decide.
            (_, Err(reason)) if is_undecided(reason) => Some((
                Code::ExampleUndecided,
                format!("line {line}: `{action}` cannot be decided here [{}]", reason.code()),
            )),
            (Expected::Allowed, Ok(())) => None,
            (Expected::Allowed, Err(reason)) => Some((
                Code::ExampleDenied,
                format!("line {line}: `{action}` must be allowed and is denied [{}]", reason.code()),
            )),
            (Expected::Denied(_), Ok(())) => {
                Some((Code::ExampleAllowed, format!("line {line}: `{action}` must be denied and is allowed")))
            }
            (Expected::Denied(Some(code)), Err(reason)) if code != reason.code() => Some((
                Code::ExampleReason,
                format!(
                    "line {line}: `{action}` must be denied as {code} and is denied as {}",
                    reason.code()
                ),
            )),
            // A misspelt example is denied as well, and shows nothing of the scope.
            (Expected::Denied(None), Err(reason)) if reason.code().starts_with("request.") => Some((
                Code::ExampleReason,
                format!(
                    "line {line}: `{action}` is denied for what it lacks [{0}]; write code = \"{0}\" if that is meant",
                    reason.code()
                ),
            )),
            (Expected::Denied(_), Err(_)) => None,
        }
    }

    fn decide(&self, leash: &Leash, at: UnixMillis) -> Result<(), DenialReason> {
        let (parties, resources) = (self.counterparty.texts(), self.resource.texts());
        let request = ActionRequest {
            action: &self.action,
            amount: self.amount.as_deref().map_or(Amount::Absent, Amount::Decimal),
            currency: self.currency.as_deref(),
            counterparties: self.counterparty.names(&parties),
            resources: self.resource.names(&resources),
        };
        let permit = match leash.decide(&request, at) {
            Decision::Allow(permit) => permit,
            Decision::Deny(denial) => return Err(Denial::reason(&denial)),
        };
        for charge in leash.charges(&permit) {
            let quota = charge.quota;
            if !SlidingSum::new(quota.seconds, quota.scale).has_room(charge.cost, quota.max, at) {
                let money = quota.currency.is_some();
                return Err(if money { DenialReason::BudgetWindow } else { DenialReason::BudgetRate });
            }
        }
        Ok(())
    }
}

impl AskedNames {
    fn texts(&self) -> Vec<&str> {
        match self {
            Self::Many(names) => names.iter().map(String::as_str).collect(),
            Self::Absent | Self::One(_) => Vec::new(),
        }
    }

    fn names<'a>(&'a self, many: &'a [&'a str]) -> Names<'a> {
        match self {
            Self::Absent => Names::Absent,
            Self::One(name) => Names::One(name),
            Self::Many(_) => Names::Many(many),
        }
    }
}

/// Denials that say something about what is here, and nothing about the scope.
const fn is_undecided(reason: DenialReason) -> bool {
    matches!(reason, DenialReason::ScopeNamesMissing | DenialReason::Internal)
}
