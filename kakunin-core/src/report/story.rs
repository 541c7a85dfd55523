//! What happened, told from receipts: a line each, in the order that their links prove.

use serde_json::{Value, json};

use crate::journal::Proof;
use crate::receipt::{Answer, Caller, Control, Disclosure, Event, ProofOfPossession, ReceiptHash};
use crate::verify::{OwnedAgent, Step};

/// What a receipt says, with the values that are disclosed.
#[must_use]
pub fn tell(step: &Step) -> String {
    let values: Vec<String> = step.disclosures.iter().filter(|it| it.name() != "output").map(value).collect();
    let values = if values.is_empty() { String::new() } else { format!(" {}", values.join(" ")) };
    match &step.statement.event {
        Event::Decision { caller, action, answer, mode, .. } => {
            let action = action.as_deref().unwrap_or("(no action)");
            let caller = caller.as_deref().map(asked).unwrap_or_default();
            let mode = match mode.word() {
                "enforce" => String::new(),
                other => format!(" ({other})"),
            };
            match answer {
                Answer::Allow => format!("allow {action}{values}{caller}{mode}"),
                Answer::Deny(code) => format!("deny {action}{values}{caller}{mode} [{code}]"),
            }
        }
        Event::Outcome { outcome, decision, .. } => {
            format!("{} {}", short(decision), outcome.word().replace('_', " "))
        }
        Event::Open { .. } => "the stream begins".to_owned(),
        Event::Close { totals: Some(_) } => "the stream ends".to_owned(),
        Event::Close { totals: None } => "the stream was ended by another process".to_owned(),
        Event::Control(control) => note(control),
    }
}

/// Who asked a gateway, and what shows that it was that agent.
fn asked(caller: &Caller) -> String {
    let agent: String = caller.agent.to_string().chars().take(SHORT).collect();
    match caller.possession {
        ProofOfPossession::None => format!(" asked by {agent} without proof"),
        how => format!(" asked by {agent} ({})", how.word()),
    }
}

/// What a note about a stream says.
#[must_use]
pub fn note(control: &Control) -> String {
    match control {
        Control::Rotate { .. } => "goes on under a renewed certificate".to_owned(),
        Control::Recovered { unsigned, .. } => {
            format!("was recovered; {unsigned} receipts have no signature")
        }
        Control::List(_) => "takes up a new revocation list".to_owned(),
        Control::Clock { forward, millis } => {
            format!("the clock moved {} ms {}", millis, if *forward { "forward" } else { "back" })
        }
        Control::Join => "brings several calls together".to_owned(),
        Control::Erased { count, reason, .. } => format!("{count} values were erased [{}]", reason.word()),
        Control::Seal(seal) => format!("signs for {} receipts", seal.count),
    }
}

fn value(disclosure: &Disclosure) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), printable);
    match disclosure.value() {
        Value::Array(values) => values.iter().map(text).collect::<Vec<_>>().join(","),
        other => text(other),
    }
}

/// Text from a request, which may be anything, as a terminal may show it.
fn printable(text: &str) -> String {
    let safe: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().count() > LONGEST { format!("{safe}...") } else { safe }
}

/// The first digits of a receipt's name, as `kakunin why` takes them.
#[must_use]
pub fn short(hash: &ReceiptHash) -> String {
    hash.to_string().chars().take(SHORT).collect()
}

/// The story for a terminal.
pub(super) fn lines(steps: &[Step], left_out: u64) -> Vec<String> {
    let mut agents: Vec<OwnedAgent> = Vec::new();
    let mut lines = Vec::with_capacity(steps.len());
    for step in steps {
        let agent = step.agent();
        if !agents.contains(&agent) {
            agents.push(agent);
        }
    }
    for step in steps {
        let agent = step.agent();
        let lane = agents.iter().position(|known| *known == agent).unwrap_or_default();
        let mark = if step.is_proven() { "" } else { " UNSIGNED" };
        let parents: Vec<String> = match &step.statement.event {
            Event::Outcome { .. } => Vec::new(),
            _ => step.statement.parents.iter().map(short).collect(),
        };
        let from = if parents.is_empty() { String::new() } else { format!("  <- {}", parents.join(" ")) };
        let indent = "  ".repeat(lane.min(WIDEST));
        let mut name: String = agent.agent.to_string().chars().take(SHORT).collect();
        // Of agents of one name only the root tells which it is.
        if agents.iter().any(|other| other.agent == agent.agent && other.root != agent.root) {
            name.push('/');
            name.extend(agent.root.to_hex().chars().take(SHORT));
        }
        lines.push(format!("{}  {name}  {indent}{}{from}{mark}", short(&step.hash), tell(step)));
    }
    if left_out > 0 {
        lines.push(format!("and {left_out} receipts more"));
    }
    lines
}

/// The story for a program.
pub(super) fn records(steps: &[Step]) -> Value {
    let record = |step: &Step| {
        json!({
            "receipt": step.hash.to_string(),
            "agent": step.statement.agent.to_string(),
            "root": step.agent().root.to_hex(),
            "certificate": step.certificate.to_hex(),
            "stream": step.statement.stream.to_string(),
            "seq": step.statement.sequence,
            "what": tell(step),
            "caller": step.statement.event.caller().map(|caller| {
                json!({
                    "agent": caller.agent.to_string(),
                    "certificate": caller.certificate.to_hex(),
                    "possession": caller.possession.word(),
                })
            }),
            "parents": step.statement.parents.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "claimed": step.statement.stamp.time().to_string(),
            "not_after": step.not_after.map(|time| time.to_string()),
            "logged": step.logged,
            "proof": match step.proof {
                Proof::Signed(_) => "signed",
                Proof::Sealed(_) => "sealed",
                Proof::Unsigned => "unsigned",
            },
        })
    };
    steps.iter().map(record).collect()
}

/// Digits by which a person knows a hash or an agent.
const SHORT: usize = 8;
/// Characters of one value.
const LONGEST: usize = 64;
/// Lanes that are still told apart by their indent.
const WIDEST: usize = 8;
