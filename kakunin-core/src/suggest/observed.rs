//! Calls that went by, with the values that are here.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::digest::Digest;
use crate::id::AgentId;
use crate::journal::Proof;
use crate::receipt::{Answer, Disclosure, Event, Mode};
use crate::request::{ActionRequest, Amount, Names};
use crate::scope::Scope;
use crate::time::UnixMillis;
use crate::verify::{Seen, Watch};

/// Collects the calls of an agent while its receipts are verified. What it collected counts only if the report says that the
/// receipts are right.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    pub(super) agent: Option<AgentId>,
    pub(super) calls: Vec<Call>,
    /// The scope of the newest certificate that signed.
    pub(super) present: Option<(UnixMillis, Scope)>,
    /// Calls that an enforced leash denied, by code: they did not run.
    pub(super) stopped: BTreeMap<String, u64>,
    /// Calls that ran and that the present leash would have denied, by code.
    pub(super) denied: BTreeMap<String, u64>,
    pub(super) observing: u64,
    /// Calls with a value that is not here.
    pub(super) closed: u64,
    pub(super) unsigned: u64,
    pub(super) foreign: u64,
}

/// A call that ran.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) at: UnixMillis,
    pub(super) action: String,
    pub(super) amount: Value,
    pub(super) currency: Value,
    pub(super) counterparties: Value,
    pub(super) resources: Value,
}

impl Watch for Observed {
    fn receipt(&mut self, seen: &Seen<'_>) {
        let statement = seen.statement();
        let Event::Decision {
            caller: None,
            action,
            answer,
            mode: mode @ (Mode::Enforce | Mode::Observe),
            amount,
            currency,
            counterparties,
            resources,
            ..
        } = &statement.event
        else {
            return;
        };
        if seen.proof() == Proof::Unsigned {
            self.unsigned += 1;
            return;
        }
        if *self.agent.get_or_insert(statement.agent) != statement.agent {
            self.foreign += 1;
            return;
        }
        let at = UnixMillis::from_millis(statement.stamp.micros.div_euclid(1000));
        if self.present.as_ref().is_none_or(|(newest, _)| *newest <= at) {
            self.present = Some((at, seen.path().agent().scope().clone()));
        }
        if let Answer::Deny(code) = answer {
            // Observe mode lets run what the scope forbids, and nothing else.
            let ran = *mode == Mode::Observe && is_of_the_scope(code);
            let counted = if ran { &mut self.denied } else { &mut self.stopped };
            *counted.entry(code.clone()).or_default() += 1;
            if !ran {
                return;
            }
        }
        self.observing += u64::from(*mode == Mode::Observe);
        let open = |digest: &Option<Digest>| opened(digest.as_ref(), seen.disclosures());
        let values = (open(amount), open(currency), open(counterparties), open(resources));
        let (Some(action), (Some(amount), Some(currency), Some(counterparties), Some(resources))) =
            (action.clone(), values)
        else {
            self.closed += 1;
            return;
        };
        self.calls.push(Call { at, action, amount, currency, counterparties, resources });
    }
}

impl Call {
    /// The request, as it was put.
    pub(super) fn request<'a>(
        &'a self,
        parties: &'a [&'a str],
        resources: &'a [&'a str],
    ) -> ActionRequest<'a> {
        ActionRequest {
            action: &self.action,
            amount: match &self.amount {
                Value::Null => Amount::Absent,
                Value::String(text) => Amount::Decimal(text),
                Value::Number(minor) => minor.as_i64().map_or(Amount::Unreadable, Amount::Minor),
                _ => Amount::Unreadable,
            },
            currency: self.currency.as_str(),
            counterparties: asked(&self.counterparties, parties),
            resources: asked(&self.resources, resources),
        }
    }

    /// The names in `value`, if they can be read.
    pub(super) fn names(value: &Value) -> Vec<&str> {
        match value {
            Value::String(name) => vec![name],
            Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }
}

fn asked<'a>(value: &'a Value, many: &'a [&'a str]) -> Names<'a> {
    match value {
        Value::Null => Names::Absent,
        Value::String(name) => Names::One(name),
        Value::Array(names) if names.iter().all(Value::is_string) => Names::Many(many),
        _ => Names::Unreadable,
    }
}

/// The value behind a commitment: null if nothing was committed to, and `None` if it is not here.
fn opened(digest: Option<&Digest>, disclosures: &[Disclosure]) -> Option<Value> {
    let Some(digest) = digest else { return Some(Value::Null) };
    let disclosure = disclosures.iter().find(|disclosure| disclosure.digest() == digest)?;
    // Too long to keep: its hash is here, the value is not.
    (!disclosure.value().is_object()).then(|| disclosure.value().clone())
}

/// What observe mode lets run all the same: a denial by request, scope, approval or budget.
fn is_of_the_scope(code: &str) -> bool {
    ["request.", "scope.", "approval.", "budget."].iter().any(|group| code.starts_with(group))
}
