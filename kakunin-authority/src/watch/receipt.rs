//! What is signed of what happened: one line of JSON in its one spelling, keys ascending.
//!
//! The signature is the issuing authority's, over [`RISK_RECEIPT`] and the line, so that whoever has its certificate
//! checks it with any tool. It is no receipt of wire 4: those are an agent's words about its own calls, signed by a key
//! that a leash is bound to, and an authority that certified itself one would only look like an agent.

use kakunin_core::risk::{Change, Feature, Monitor};
use kakunin_core::time::UnixTime;
use serde_json::Value;

use crate::access::Actor;
use crate::store::RiskRecord;

/// What stands before the line that is signed. Nothing else that this key signs begins like that.
pub const RISK_RECEIPT: &[u8] = b"kakunin risk receipt 1\n";

/// A change of level.
pub(super) fn change(record: &RiskRecord, monitor: &Monitor, change: &Change) -> String {
    let (agent, tenant) = (record.agent, &record.tenant);
    let (baseline, policy) = (monitor.baseline().digest().to_hex(), monitor.policy().digest().to_hex());
    let line = change.line();
    format!(
        r#"{{"agent":"{agent}","baseline":"{baseline}","change":{line},"kind":"level","policy":"{policy}","reason":"{}","tenant":"{tenant}"}}"#,
        reason(change)
    )
}

/// A baseline that was frozen.
pub(super) fn frozen(
    record: &RiskRecord,
    monitor: &Monitor,
    actor: &Actor,
    reason: &str,
    now: UnixTime,
) -> String {
    let (agent, tenant, baseline) = (record.agent, &record.tenant, monitor.baseline());
    let before = baseline.replaces().map_or(Value::Null, |digest| digest.to_hex().into());
    let silent: Vec<&str> = baseline.silent().into_iter().map(Feature::word).collect();
    format!(
        r#"{{"agent":"{agent}","at":"{now}","baseline":"{}","by":"{actor}","calls":{},"kind":"baseline","policy":"{}","reason":{},"replaces":{before},"silent":{},"tenant":"{tenant}"}}"#,
        baseline.digest().to_hex(),
        baseline.calls(),
        monitor.policy().digest().to_hex(),
        Value::from(reason),
        Value::from(silent),
    )
}

/// A policy that was set or taken away.
pub(super) fn policy(record: &RiskRecord, monitor: &Monitor, actor: &Actor, now: UnixTime) -> String {
    let (agent, tenant) = (record.agent, &record.tenant);
    format!(
        r#"{{"agent":"{agent}","at":"{now}","baseline":"{}","by":"{actor}","kind":"policy","own":{},"policy":"{}","tenant":"{tenant}"}}"#,
        monitor.baseline().digest().to_hex(),
        record.policy.is_some(),
        monitor.policy().digest().to_hex(),
    )
}

/// A monitor that could not go on.
pub(super) fn begun_anew(record: &RiskRecord, monitor: &Monitor, why: &str, now: UnixTime) -> String {
    let (agent, tenant) = (record.agent, &record.tenant);
    format!(
        r#"{{"agent":"{agent}","at":"{now}","baseline":"{}","begun_anew":{},"kind":"policy","own":{},"policy":"{}","tenant":"{tenant}"}}"#,
        monitor.baseline().digest().to_hex(),
        Value::from(why),
        record.policy.is_some(),
        monitor.policy().digest().to_hex(),
    )
}

/// Why, in the word that orders have.
fn reason(change: &Change) -> &'static str {
    let of = |feature| change.evidence.first().is_some_and(|evidence| evidence.feature == feature);
    match change.to > change.from {
        true if of(Feature::HardFact) => "hard-fact",
        true => "drift",
        false => "released",
    }
}
