//! Judges streams of calls that `eval/drift.py` makes: each call becomes a statement of a receipt, and what risk reads of it
//! is observed. Lines of JSON in, one line of JSON out for each stream.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a tool for developers: it stops at the first surprise"
)]

use std::io::BufRead as _;
use std::sync::Arc;

use kakunin_core::digest::Digest;
use kakunin_core::id::{AgentId, ChainId, StreamId};
use kakunin_core::receipt::{Answer, Event, Mode, ReceiptHash, Stamp, Statement};
use kakunin_core::risk::{Baseline, Monitor, Observation, RiskLevel, RiskPolicy};
use serde_json::{Value, json};

#[expect(dead_code, reason = "the tests use what is not used here")]
#[path = "../tests/it/behaviour.rs"]
mod behaviour;

use behaviour::disclosure;

fn main() {
    let (mut policy, mut baseline) = (RiskPolicy::default(), None);
    for line in std::io::stdin().lock().lines() {
        let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
        if let Some(text) = line["policy"].as_str() {
            policy = RiskPolicy::from_toml(text).unwrap_or_else(|error| panic!("{error}"));
        } else if let Some(calls) = line["baseline"].as_array() {
            let learned = Baseline::learn(&observe(calls), &policy).unwrap_or_else(|error| panic!("{error}"));
            let text: Value = serde_json::from_str(&learned.to_json()).unwrap();
            println!("{}", json!({ "baseline": learned.digest().to_hex(), "charts": text["charts"] }));
            baseline = Some(Arc::new(learned));
        } else {
            let seen = observe(line["stream"].as_array().unwrap());
            let monitor = || Monitor::new(Arc::clone(baseline.as_ref().unwrap()), policy.clone());
            println!(
                "{}",
                match line["onset"].as_u64() {
                    None => clean(&seen, &monitor),
                    Some(onset) => drift(&seen, usize::try_from(onset).unwrap(), &monitor),
                }
            );
        }
    }
}

/// How often each level is reached, when everything begins anew each time.
fn clean(seen: &[Observation], monitor: &dyn Fn() -> Monitor) -> Value {
    let reached = |level: RiskLevel| {
        let (mut watching, mut times, mut why) = (monitor(), 0, Vec::new());
        for seen in seen {
            let change = watching.observe(seen);
            if watching.level() >= level {
                times += 1;
                why.extend(change.map(|change| {
                    let first = &change.evidence[0];
                    json!({ "feature": first.feature.word(), "sentence": first.sentence })
                }));
                watching = monitor();
            }
        }
        (times, why)
    };
    let ((watch, why), (suspend, _)) = (reached(RiskLevel::Watch), reached(RiskLevel::Suspend));
    json!({ "watch": watch, "suspend": suspend, "revoke": reached(RiskLevel::Revoke).0, "why": why })
}

/// After how many calls from `onset` on each level is reached; `early` if something was alarming before.
fn drift(seen: &[Observation], onset: usize, monitor: &dyn Fn() -> Monitor) -> Value {
    let mut watching = monitor();
    let (mut first, mut early) = ([None; 5], false);
    for (place, seen) in seen.iter().enumerate() {
        if place == onset {
            early = watching.level() > RiskLevel::Clear;
        }
        watching.observe(seen);
        for (level, first) in RiskLevel::ALL.iter().zip(&mut first) {
            if place >= onset && watching.level() >= *level && first.is_none() {
                *first = Some(place + 1 - onset);
            }
        }
    }
    json!({ "early": early, "watch": first[1], "suspend": first[3], "revoke": first[4] })
}

/// One stream of receipts.
fn observe(calls: &[Value]) -> Vec<Observation> {
    let each = |(place, call): (usize, &Value)| {
        let text = |name: &str| call[name].as_str();
        let mut opened = Vec::new();
        if let Some(amount) = text("amount") {
            opened.push(disclosure("amount", &json!(amount)));
            opened.push(disclosure("currency", &json!("EUR")));
        }
        if call["names"].is_array() {
            opened.push(disclosure("counterparties", &call["names"]));
        }
        let commitment =
            |name: &str| opened.iter().find(|opened| opened.name() == name).map(|opened| *opened.digest());
        let event = Event::Decision {
            caller: None,
            action: text("action").map(str::to_owned),
            answer: text("code").map_or(Answer::Allow, |code| Answer::Deny(code.to_owned())),
            mode: Mode::Enforce,
            list: None,
            amount: commitment("amount"),
            currency: commitment("currency"),
            counterparties: commitment("counterparties"),
            resources: None,
            as_written: false,
        };
        let chain = Digest::of(text("session").unwrap().as_bytes());
        let statement = Statement {
            stream: StreamId::from_bytes([1; 16]),
            sequence: place as u64,
            previous: Digest::of(b""),
            agent: AgentId::from_random([1; 16]),
            stamp: Stamp { micros: call["at"].as_i64().unwrap() * 1000, boot: [0; 16], mono_nanos: 0 },
            chain: Some((ChainId::from_bytes(*chain.as_bytes().first_chunk().unwrap()), None)),
            anchor: None,
            parents: Vec::new(),
            memory: false,
            trace: None,
            event,
        };
        Observation::of(ReceiptHash::of(&place.to_be_bytes()), &statement, &opened, None).unwrap()
    };
    calls.iter().enumerate().map(each).collect()
}
