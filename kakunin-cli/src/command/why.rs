use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args;
use kakunin_core::digest::Digest;
use kakunin_core::journal::{Entry, Erasures, Proof, StreamReader, find, locate};
use kakunin_core::reason::DenialReason;
use kakunin_core::receipt::{Answer as Decided, Control, Event};
use kakunin_core::report::note;
use serde_json::{Map, Value, json};

use crate::answer::{Answer, Failure};
use crate::context::Common;

/// Explain one decision from the journal
///
/// The decision's id is in the text of every denial; four digits are enough if no other decision begins with them.
/// Nothing is verified here: `kakunin verify` does that.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kakunin why 7f3a --agent agents/billing
  kakunin why 7f3a9c02            # looks into every directory this home certified")]
pub(crate) struct Why {
    /// The decision: at least four hexadecimal digits of its id
    decision: String,
    /// The agent's directory, its state or its journal
    #[arg(long, value_name = "DIR")]
    agent: Option<PathBuf>,
}

impl Why {
    pub(crate) fn run(&self, common: &Common) -> Result<Answer, Failure> {
        let prefix = self.decision.to_ascii_lowercase();
        if !(4..=64).contains(&prefix.len()) || !prefix.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Failure::usage(format!("`{prefix}` is no id; give 4 to 64 hexadecimal digits")));
        }
        let mut found: Vec<Entry> = Vec::new();
        let journals = self.journals(common)?;
        for journal in &journals {
            let entries = find(journal, &prefix);
            found
                .extend(entries.map_err(|error| Failure::cannot(format!("{}: {error}", journal.display())))?);
        }
        // The journal also hands out the outcomes that name a decision.
        let (named, about): (Vec<Entry>, Vec<Entry>) =
            found.into_iter().partition(|entry| entry.receipt().hash().starts_with(&prefix));
        match named.as_slice() {
            [] => Err(Failure::no(match &self.agent {
                Some(path) => format!(
                    "no receipt in {} begins with `{prefix}`; was it another agent's decision? Pass --agent DIR of that one",
                    path.display()
                ),
                None => format!(
                    "no receipt begins with `{prefix}` in the directories that this home certified; pass --agent DIR of its agent"
                ),
            })),
            [entry] => Ok(explain(entry, &Ended::by(&about), &Gone::of(entry, &journals))),
            several => {
                let ids: Vec<String> =
                    several.iter().map(|entry| entry.receipt().hash().to_string()).collect();
                Err(Failure::no(format!("several receipts begin with `{prefix}`: {}", ids.join(", "))))
            }
        }
    }

    fn journals(&self, common: &Common) -> Result<Vec<PathBuf>, Failure> {
        if let Some(path) = &self.agent {
            let missing = || Failure::cannot(format!("{} holds no journal", path.display()));
            return Ok(vec![locate(path).ok_or_else(missing)?]);
        }
        let store = common.home().records()?;
        let mut journals = Vec::new();
        for tenant in store.tenants()? {
            for agent in store.agents(&tenant)? {
                let places = store.directories(&tenant, agent.id)?;
                journals.extend(
                    places.iter().map(|path| path.join("state").join("journal")).filter(|path| path.is_dir()),
                );
            }
        }
        Ok(journals)
    }
}

/// How the decision's action ended, by the outcomes that name it.
#[derive(Default)]
struct Ended {
    signed: Option<&'static str>,
    /// What an outcome says that nobody signed: anybody who can write the file may have put it there.
    unsigned: Option<&'static str>,
}

impl Ended {
    fn by(outcomes: &[Entry]) -> Self {
        let mut ended = Self::default();
        for entry in outcomes {
            if let Event::Outcome { outcome, .. } = &entry.receipt().statement().event {
                let word = match entry.proof() {
                    Proof::Unsigned => &mut ended.unsigned,
                    _ => &mut ended.signed,
                };
                word.get_or_insert(outcome.word());
            }
        }
        ended
    }
}

/// The values that a receipt commits to and that are not here.
#[derive(Default)]
struct Gone {
    erased: Vec<&'static str>,
    missing: Vec<&'static str>,
    /// The receipts of the erasures, each with its reason.
    receipts: Vec<(String, &'static str)>,
}

impl Gone {
    fn of(entry: &Entry, journals: &[PathBuf]) -> Self {
        let mut gone = Self::default();
        let here = |commitment: &Digest| entry.disclosures().iter().any(|it| it.digest() == commitment);
        let absent: Vec<_> =
            entry.receipt().statement().event.commitments().filter(|(_, it)| !here(it)).collect();
        if absent.is_empty() {
            return gone;
        }
        let mut told: Vec<(Digest, String, &'static str)> = Vec::new();
        for journal in journals {
            let erasures = Erasures::of(journal);
            let roots: BTreeSet<Digest> =
                absent.iter().flat_map(|(_, commitment)| erasures.roots_of(commitment)).copied().collect();
            told.extend(receipts(journal, &roots));
            for (name, commitment) in &absent {
                if erasures.roots_of(commitment).any(|root| told.iter().any(|(its, ..)| its == root)) {
                    gone.erased.push(name);
                }
            }
        }
        gone.missing =
            absent.iter().map(|(name, _)| *name).filter(|name| !gone.erased.contains(name)).collect();
        gone.receipts = told.into_iter().map(|(_, receipt, reason)| (receipt, reason)).collect();
        gone
    }
}

/// The receipts in `journal` that state the erasures `roots`.
fn receipts(journal: &Path, roots: &BTreeSet<Digest>) -> Vec<(Digest, String, &'static str)> {
    if roots.is_empty() {
        return Vec::new();
    }
    let entries = StreamReader::streams(journal).into_iter().flatten().flatten().filter_map(Result::ok);
    entries
        .filter_map(|entry| match entry.receipt().statement().event {
            Event::Control(Control::Erased { digest, reason, .. })
                if roots.contains(&digest) && entry.proof() != Proof::Unsigned =>
            {
                Some((digest, entry.receipt().hash().to_string(), reason.word()))
            }
            _ => None,
        })
        .collect()
}

fn explain(entry: &Entry, ended: &Ended, gone: &Gone) -> Answer {
    let receipt = entry.receipt();
    let statement = receipt.statement();
    let mut record = Map::new();
    let mut lines = Vec::new();
    let mut say = |key: &str, value: Value| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        lines.push(format!("{key:<15}{text}"));
        record.insert(key.to_owned(), value);
    };
    say("receipt", json!(receipt.hash().to_string()));
    say("agent", json!(statement.agent.to_string()));
    say("at", json!(statement.stamp.time().to_string()));
    match &statement.event {
        Event::Decision { caller, action, answer, mode, list, .. } => {
            if let Some(caller) = caller {
                say("asked_by", json!(caller.agent.to_string()));
                say("possession", json!(caller.possession.word()));
                say("certificate", json!(caller.certificate.to_hex()));
            }
            say("action", json!(action));
            for disclosure in entry.disclosures() {
                say(disclosure.name(), disclosure.value().clone());
            }
            match answer {
                Decided::Allow => say("decision", json!("allow")),
                Decided::Deny(code) => {
                    say("decision", json!("deny"));
                    say("code", json!(code));
                    if let Some(reason) = DenialReason::from_code(code) {
                        say("what", json!(reason.what()));
                        say("fix", json!(reason.fix()));
                    }
                }
            }
            say("mode", json!(mode.word()));
            if list.is_none() {
                say("list", json!("none"));
            }
            match (ended.signed, ended.unsigned) {
                (Some(word), _) => say("outcome", json!(word)),
                (None, Some(word)) => {
                    say("outcome", json!("not signed"));
                    say("unsigned", json!(word));
                }
                (None, None) => say("outcome", json!("not written")),
            }
        }
        Event::Outcome { decision, outcome, .. } => {
            say("decision", json!(decision.to_string()));
            say("outcome", json!(outcome.word()));
        }
        Event::Open { .. } => say("event", json!("the stream begins")),
        Event::Close { .. } => say("event", json!("the stream ends")),
        Event::Control(control) => say("event", json!(note(control))),
        _ => say("event", json!("something newer than this program")),
    }
    if !gone.erased.is_empty() {
        say("erased", json!(gone.erased));
        for (receipt, reason) in &gone.receipts {
            say("erasure", json!(receipt));
            say("erasure_reason", json!(reason));
        }
    }
    if !gone.missing.is_empty() {
        say("missing", json!(gone.missing));
    }
    say("signed", json!(entry.proof() != Proof::Unsigned));
    Answer::yes(Value::Object(record)).lines(lines)
}
