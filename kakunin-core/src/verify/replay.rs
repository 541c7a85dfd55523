//! Deciding again: what the certificate allows, asked with what the receipt discloses.
//!
//! The same [`Leash`] decides as did in the guard, compiled from the signed scope, at the time the receipt claims. What
//! cannot be known offline is counted as open: erased values, lists of names that are not here, sums of budgets, and
//! denials by clock, journal, standing or agent, which come before the scope or after it.

use std::collections::HashMap;

use serde_json::Value;

use super::papers::Signatory;
use super::report::ReplayCount;
use super::source::Item;
use crate::decision::Decision;
use crate::digest::Digest;
use crate::leash::Leash;
use crate::reason::DenialReason;
use crate::receipt::{Answer, Event};
use crate::request::{ActionRequest, Amount, Names};
use crate::scope::NameLists;
use crate::time::UnixMillis;

/// The leashes of the certificates met so far, and what deciding again came to.
pub(super) struct Replay<'a> {
    lists: &'a NameLists,
    leashes: HashMap<Digest, Option<Leash>>,
    pub(super) count: ReplayCount,
}

impl<'a> Replay<'a> {
    pub(super) fn with(lists: &'a NameLists) -> Self {
        Self { lists, leashes: HashMap::new(), count: ReplayCount::default() }
    }

    /// Decides again what `item` records, by the certificate that it was decided by. What nobody signed has to come out the same and is not counted.
    ///
    /// # Errors
    /// It comes out otherwise.
    pub(super) fn decide(&mut self, item: &Item, by: &Signatory) -> Result<(), &'static str> {
        let statement = item.receipt.statement();
        let Event::Decision { answer, .. } = &statement.event else { return Ok(()) };
        let recorded = match answer {
            Answer::Allow => None,
            Answer::Deny(code) => Some(code.as_str()),
        };
        let (lists, counts) = (self.lists, u64::from(item.is_proven()));
        let x5t = statement.event.caller().map_or(*item.receipt.certificate(), |caller| caller.certificate);
        let leash = self.leashes.entry(x5t).or_insert_with(|| Leash::of_path(by.path(), lists).ok()).as_ref();
        let open = recorded.is_some_and(|code| !is_of_the_scope(code));
        let (Some(leash), Some(asked), false) = (leash, Asked::of(item), open) else {
            self.count.open += counts;
            return Ok(());
        };
        let claimed = UnixMillis::from_millis(statement.stamp.micros.div_euclid(1000));
        // The guard judges by the later of the wall clock and what has passed since it began, the receipt states the wall
        // clock: within the tolerance either minute may be the one.
        let times = [0, 60_000, 120_000].map(|later| claimed.plus_millis(later));
        let again = times.map(|at| asked.decide(leash, at));
        if again.contains(&recorded) {
            self.count.same += counts;
            return Ok(());
        }
        if again.contains(&Some(DenialReason::ScopeNamesMissing.code())) {
            self.count.open += counts;
            return Ok(());
        }
        Err("receipt.replay")
    }
}

/// What a receipt and its disclosures say was asked.
struct Asked<'a> {
    action: &'a str,
    amount: Amount<'a>,
    currency: Option<&'a str>,
    counterparties: AskedNames<'a>,
    resources: AskedNames<'a>,
}

enum AskedNames<'a> {
    Absent,
    Unreadable,
    Given(Vec<&'a str>),
}

impl<'a> Asked<'a> {
    /// `None` if a value is not here.
    fn of(item: &'a Item) -> Option<Self> {
        let Event::Decision { action, amount, currency, counterparties, resources, .. } =
            &item.receipt.statement().event
        else {
            return None;
        };
        // A commitment without its disclosure is a value that cannot be known: `None`, and no answer.
        let value = |digest: &Option<Digest>| -> Option<Option<&'a Value>> {
            let Some(digest) = digest else { return Some(None) };
            let disclosure = item.disclosures.iter().find(|disclosure| disclosure.digest() == digest)?;
            // Too long to keep: its hash is here, the value is not.
            if disclosure.value().is_object() { None } else { Some(Some(disclosure.value())) }
        };
        Some(Self {
            // What was no name was left out of the receipt; no text is no name either.
            action: action.as_deref().unwrap_or(""),
            amount: match value(amount)? {
                None => Amount::Absent,
                Some(Value::String(text)) => Amount::Decimal(text),
                Some(Value::Number(minor)) => Amount::Minor(minor.as_i64()?),
                Some(_) => Amount::Unreadable,
            },
            currency: match value(currency)? {
                None => None,
                Some(text) => Some(text.as_str()?),
            },
            counterparties: AskedNames::of(value(counterparties)?),
            resources: AskedNames::of(value(resources)?),
        })
    }

    /// The code of the denial, if it is one.
    fn decide(&self, leash: &Leash, at: UnixMillis) -> Option<&'static str> {
        let request = ActionRequest {
            action: self.action,
            amount: self.amount,
            currency: self.currency,
            counterparties: self.counterparties.names(),
            resources: self.resources.names(),
        };
        match leash.decide(&request, at) {
            Decision::Allow(_) => None,
            Decision::Deny(denial) => Some(denial.code()),
        }
    }
}

impl<'a> AskedNames<'a> {
    fn of(value: Option<&'a Value>) -> Self {
        match value {
            None => Self::Absent,
            Some(Value::String(name)) => Self::Given(vec![name]),
            Some(Value::Array(names)) => match names.iter().map(Value::as_str).collect() {
                Some(names) => Self::Given(names),
                None => Self::Unreadable,
            },
            Some(_) => Self::Unreadable,
        }
    }

    fn names(&self) -> Names<'_> {
        match self {
            Self::Absent => Names::Absent,
            Self::Unreadable => Names::Unreadable,
            Self::Given(names) => Names::Many(names),
        }
    }
}

/// Whether a leash says this by itself.
fn is_of_the_scope(code: &str) -> bool {
    DenialReason::from_code(code)
        .is_some_and(|reason| matches!(reason.group(), "request" | "scope" | "approval"))
}
