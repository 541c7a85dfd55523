//! What the owner asks of an agent before it is promoted.
//!
//! A closed TOML document: an unknown key is an error with its line. What is absent has the strict meaning.
//!
//! ```toml
//! fail_on = "step-up"            # the level of risk that fails: watch, step-up or suspend
//! max_age = "14d"                # calls that are older count no more
//! min_calls = 30                 # so many calls within that time
//! max_list_age = "24h"           # how old the revocation list may be
//! observe = "refuse"             # or "accept": calls that no leash held
//! tolerate = ["tail.not_witnessed"]   # what a verifier may miss; [] asks for COMPLETE
//! baseline = "<64 hex digits>"   # the only baseline that counts; without it the risk cannot be evaluated
//! risk_policy = "<64 hex digits>"  # the only risk policy that counts; without it the defaults are
//! promoted = "<64 hex digits>"   # the scope that was promoted last; else the gate's own journal says so
//!
//! [[approve]]                    # a scope that is wider than the one before
//! from = "none"                  # or the digest of the scope that was promoted last
//! to = "<64 hex digits>"
//! by = "Ada, change 4711"
//! until = "2026-12-31T00:00:00Z"
//!
//! [[explained]]                  # a change of level that somebody looked at
//! receipt = "<64 hex digits>"
//! by = "Ada, incident 12"
//! until = "2026-12-31T00:00:00Z"
//!
//! [[allowed]]
//! action = "payments:send"
//! amount = "12.50"
//! currency = "EUR"
//! counterparty = "acme"
//!
//! [[denied]]
//! action = "payments:send"
//! amount = "12500.00"
//! currency = "EUR"
//! counterparty = "acme"
//! code = "scope.amount"
//! ```

use std::fmt::Display;

use serde::de::{self, Deserialize, Deserializer};
use serde_json::json;
use toml::Spanned;

use super::example::{AskedNames, Example, Expected};
use super::written;
use crate::digest::Digest;
use crate::reason::DenialReason;
use crate::risk::RiskLevel;
use crate::time::{UnixMillis, UnixTime};

/// What the owner asks of an agent before it is promoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatePolicy {
    pub(super) fail_on: RiskLevel,
    pub(super) max_age: i64,
    pub(super) min_calls: u64,
    pub(super) max_list_age: i64,
    pub(super) observe: Observed,
    pub(super) tolerate: Vec<&'static str>,
    pub(super) baseline: Option<Digest>,
    pub(super) risk_policy: Option<Digest>,
    pub(super) promoted: Option<Digest>,
    pub(super) approvals: Vec<Approval>,
    pub(super) explained: Vec<Explained>,
    pub(super) examples: Vec<Example>,
}

/// What receipts of observe mode are worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Observed {
    /// They fail the gate: no leash held the agent.
    #[default]
    Refuse,
    /// They count like others.
    Accept,
}

/// Leave for one change of a scope, and for no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// The scope before, by its digest; none for the first promotion.
    pub from: Option<Digest>,
    /// The scope after.
    pub to: Digest,
    /// Who approved, and where that is recorded.
    pub by: String,
    /// From when on it counts no more.
    pub until: UnixTime,
}

/// A change of level that somebody looked at and explained: the agent is watched anew from there, as after a release. What
/// revokes is explained by nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// The receipt that it came with.
    pub receipt: Digest,
    /// Who explains it, and where that is recorded.
    pub by: String,
    /// From when on it counts no more.
    pub until: UnixTime,
}

/// What was said beside the policy, on a command line: it may ask for more and never for less.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stricter {
    /// The level of risk that fails.
    pub fail_on: Option<RiskLevel>,
    /// How old a call may be, in seconds.
    pub max_age: Option<i64>,
    /// How many calls there have to be.
    pub min_calls: Option<u64>,
}

impl GatePolicy {
    /// Reads a policy.
    ///
    /// # Errors
    /// [`PolicyError`] with the line of the first thing that is wrong.
    pub fn from_toml(text: &str) -> Result<Self, PolicyError> {
        let written: Written = toml::from_str(text).map_err(|error| PolicyError {
            line: line_of(text, error.span().map_or(0, |span| span.start)),
            what: error.message().trim().replace('\n', " "),
        })?;
        let line = |span: std::ops::Range<usize>| line_of(text, span.start);
        let allowed = written.allowed.into_iter().map(|example| {
            let line = line(example.span());
            match example.get_ref().code {
                None => Ok(example.into_inner().at(line, Expected::Allowed)),
                Some(_) => Err(PolicyError { line, what: "an allowed example has no `code`".to_owned() }),
            }
        });
        let mut examples = allowed.collect::<Result<Vec<_>, _>>()?;
        examples.extend(written.denied.into_iter().map(|example| {
            let line = line(example.span());
            let mut example = example.into_inner();
            let expected = Expected::Denied(example.code.take());
            example.at(line, expected)
        }));
        Ok(Self {
            fail_on: written.fail_on,
            max_age: written.max_age,
            min_calls: written.min_calls,
            max_list_age: written.max_list_age,
            observe: written.observe,
            tolerate: written.tolerate,
            baseline: written.baseline,
            risk_policy: written.risk_policy,
            promoted: written.promoted,
            approvals: written.approve,
            explained: written.explained,
            examples,
        })
    }

    /// The same, asking for more.
    ///
    /// # Errors
    /// A sentence that says what would have been less than the policy asks for.
    pub fn stricter(mut self, wanted: &Stricter) -> Result<Self, String> {
        let less = |what: &str, wanted: &dyn Display, own: &dyn Display| {
            Err(format!("{what} {wanted} asks for less than the policy's {own}; change the policy instead"))
        };
        if let Some(level) = wanted.fail_on {
            if level > self.fail_on {
                return less("a failing level of", &level.word(), &self.fail_on.word());
            }
            self.fail_on = level;
        }
        if let Some(age) = wanted.max_age {
            if age > self.max_age {
                return less("a greatest age of", &format!("{age}s"), &format!("{}s", self.max_age));
            }
            self.max_age = age;
        }
        if let Some(calls) = wanted.min_calls {
            if calls < self.min_calls {
                return less("a least number of calls of", &calls, &self.min_calls);
            }
            self.min_calls = calls;
        }
        Ok(self)
    }

    /// The level of risk that fails.
    #[must_use]
    pub const fn fail_on(&self) -> RiskLevel {
        self.fail_on
    }

    /// How many calls there have to be.
    #[must_use]
    pub const fn min_calls(&self) -> u64 {
        self.min_calls
    }

    /// The one spelling of everything it asks for, and therefore its name.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let names = |names: &AskedNames| match names {
            AskedNames::Absent => json!(null),
            AskedNames::One(name) => json!(name),
            AskedNames::Many(names) => json!(names),
        };
        // The line of an example is no part of what is asked.
        let example = |example: &Example| {
            json!({
                "expected": match &example.expected {
                    Expected::Allowed => json!("allowed"),
                    Expected::Denied(code) => json!([code]),
                },
                "action": example.action,
                "amount": example.amount,
                "currency": example.currency,
                "counterparty": names(&example.counterparty),
                "resource": names(&example.resource),
                "at": example.at.map(UnixMillis::millis),
            })
        };
        let approval = |approval: &Approval| {
            json!({
                "from": approval.from.map(|digest| digest.to_hex()),
                "to": approval.to.to_hex(),
                "by": approval.by,
                "until": approval.until.seconds(),
            })
        };
        let explained = |explained: &Explained| {
            json!({
                "receipt": explained.receipt.to_hex(),
                "by": explained.by,
                "until": explained.until.seconds(),
            })
        };
        let text = json!({
            "format": "kakunin gate policy 1",
            "fail_on": self.fail_on.word(),
            "max_age": self.max_age,
            "min_calls": self.min_calls,
            "max_list_age": self.max_list_age,
            "observe": self.observe == Observed::Accept,
            "tolerate": self.tolerate,
            "baseline": self.baseline.map(|digest| digest.to_hex()),
            "risk_policy": self.risk_policy.map(|digest| digest.to_hex()),
            "promoted": self.promoted.map(|digest| digest.to_hex()),
            "explained": self.explained.iter().map(explained).collect::<Vec<_>>(),
            "approve": self.approvals.iter().map(approval).collect::<Vec<_>>(),
            "examples": self.examples.iter().map(example).collect::<Vec<_>>(),
        });
        Digest::of(text.to_string().as_bytes())
    }
}

impl Default for GatePolicy {
    /// What an empty document asks for.
    fn default() -> Self {
        Self {
            fail_on: fail_on(),
            max_age: max_age(),
            min_calls: min_calls(),
            max_list_age: max_list_age(),
            observe: Observed::default(),
            tolerate: tolerate(),
            baseline: None,
            risk_policy: None,
            promoted: None,
            approvals: Vec::new(),
            explained: Vec::new(),
            examples: Vec::new(),
        }
    }
}

/// What is wrong with a policy, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct PolicyError {
    /// The line, counted from one.
    pub line: usize,
    /// What.
    pub what: String,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default = "fail_on", deserialize_with = "read_level")]
    fail_on: RiskLevel,
    #[serde(default = "max_age", deserialize_with = "read_span")]
    max_age: i64,
    #[serde(default = "min_calls", deserialize_with = "read_count")]
    min_calls: u64,
    #[serde(default = "max_list_age", deserialize_with = "read_span")]
    max_list_age: i64,
    #[serde(default, deserialize_with = "read_observed")]
    observe: Observed,
    #[serde(default = "tolerate", deserialize_with = "read_tolerated")]
    tolerate: Vec<&'static str>,
    #[serde(default, deserialize_with = "read_digest")]
    baseline: Option<Digest>,
    #[serde(default, deserialize_with = "read_digest")]
    risk_policy: Option<Digest>,
    #[serde(default, deserialize_with = "read_digest")]
    promoted: Option<Digest>,
    #[serde(default)]
    approve: Vec<Approval>,
    #[serde(default)]
    explained: Vec<Explained>,
    #[serde(default)]
    allowed: Vec<Spanned<WrittenExample>>,
    #[serde(default)]
    denied: Vec<Spanned<WrittenExample>>,
}

impl<'de> Deserialize<'de> for Approval {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct WrittenApproval {
            from: String,
            to: String,
            by: String,
            until: String,
        }
        let WrittenApproval { from, to, by, until } = WrittenApproval::deserialize(deserializer)?;
        let from = match from.as_str() {
            "none" => None,
            text => Some(digest(text)?),
        };
        let (by, until) = (person(by)?, until_of(&until)?);
        Ok(Self { from, to: digest(&to)?, by, until })
    }
}

impl<'de> Deserialize<'de> for Explained {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct WrittenExplained {
            receipt: String,
            by: String,
            until: String,
        }
        let WrittenExplained { receipt, by, until } = WrittenExplained::deserialize(deserializer)?;
        Ok(Self { receipt: digest(&receipt)?, by: person(by)?, until: until_of(&until)? })
    }
}

fn person<E: de::Error>(by: String) -> Result<String, E> {
    match by.trim().is_empty() {
        true => Err(E::custom("`by` says who stands for it, and cannot be empty")),
        false => Ok(by),
    }
}

fn until_of<E: de::Error>(text: &str) -> Result<UnixTime, E> {
    UnixTime::parse_rfc3339(text).map_err(|error| E::custom(format!("`until`: {error}")))
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenExample {
    action: String,
    #[serde(default)]
    amount: Option<String>,
    #[serde(default)]
    currency: Option<String>,
    #[serde(default, deserialize_with = "read_names")]
    counterparty: AskedNames,
    #[serde(default, deserialize_with = "read_names")]
    resource: AskedNames,
    #[serde(default, deserialize_with = "read_time")]
    at: Option<UnixMillis>,
    #[serde(default, deserialize_with = "read_code")]
    code: Option<String>,
}

impl WrittenExample {
    fn at(self, line: usize, expected: Expected) -> Example {
        Example {
            line,
            expected,
            action: self.action,
            amount: self.amount,
            currency: self.currency,
            counterparty: self.counterparty,
            resource: self.resource,
            at: self.at,
        }
    }
}

fn read_level<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RiskLevel, D::Error> {
    let word = String::deserialize(deserializer)?;
    let level = RiskLevel::from_word(&word).filter(|level| FAILING.contains(level));
    level.ok_or_else(|| {
        de::Error::custom(format!("`{word}` is no level that can fail: watch, step-up or suspend"))
    })
}

fn read_span<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let text = String::deserialize(deserializer)?;
    written::span(&text).ok_or_else(|| {
        de::Error::custom(format!("`{text}` is no span; write for example \"14d\", \"24h\" or \"90s\""))
    })
}

fn read_count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    match u64::deserialize(deserializer)? {
        0 => Err(de::Error::custom("at least 1: no events are no evidence")),
        count => Ok(count),
    }
}

fn read_observed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Observed, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "refuse" => Ok(Observed::Refuse),
        "accept" => Ok(Observed::Accept),
        word => Err(de::Error::custom(format!("`{word}` is neither \"refuse\" nor \"accept\""))),
    }
}

fn read_tolerated<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<&'static str>, D::Error> {
    let mut codes = Vec::new();
    for word in Vec::<String>::deserialize(deserializer)? {
        let known = TOLERABLE.iter().find(|code| **code == word);
        codes.push(*known.ok_or_else(|| {
            de::Error::custom(format!("`{word}` cannot be tolerated; these can: {}", TOLERABLE.join(", ")))
        })?);
    }
    codes.sort_unstable();
    codes.dedup();
    Ok(codes)
}

fn read_digest<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Digest>, D::Error> {
    digest(&String::deserialize(deserializer)?).map(Some)
}

fn digest<E: de::Error>(text: &str) -> Result<Digest, E> {
    Digest::from_hex(text)
        .ok_or_else(|| E::custom(format!("`{text}` is no digest: 64 lower-case hexadecimal digits")))
}

fn read_names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<AskedNames, D::Error> {
    #[derive(serde::Deserialize)]
    #[serde(untagged, expecting = "a name or a list of names")]
    enum WrittenNames {
        One(String),
        Many(Vec<String>),
    }
    Ok(match WrittenNames::deserialize(deserializer)? {
        WrittenNames::One(name) => AskedNames::One(name),
        WrittenNames::Many(names) => AskedNames::Many(names),
    })
}

fn read_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<UnixMillis>, D::Error> {
    UnixMillis::parse_rfc3339(&String::deserialize(deserializer)?).map(Some).map_err(de::Error::custom)
}

fn read_code<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let code = String::deserialize(deserializer)?;
    match DenialReason::ALL.iter().any(|reason| reason.code() == code) {
        true => Ok(Some(code)),
        false => Err(de::Error::custom(format!("`{code}` is no code of a denial; docs/wire.md lists them"))),
    }
}

/// The line, counted from one, in which the byte at `offset` lies.
fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

fn fail_on() -> RiskLevel {
    RiskLevel::StepUp
}

fn max_age() -> i64 {
    14 * 86_400
}

/// As many as the risk engine wants to have seen before it suspends (reference: minimum evidence).
const fn min_calls() -> u64 {
    30
}

fn max_list_age() -> i64 {
    86_400
}

fn tolerate() -> Vec<&'static str> {
    vec!["tail.not_witnessed"]
}

/// Levels that a policy may let fail. Clear is no risk, and revoke fails with suspend.
const FAILING: [RiskLevel; 3] = [RiskLevel::Watch, RiskLevel::StepUp, RiskLevel::Suspend];

/// What may lack: each says that something is missing at an end or of a value, and none that two things contradict.
const TOLERABLE: [&str; 7] = [
    "tail.not_witnessed",
    "stream.open",
    "stream.torn",
    "stream.recovered",
    "receipt.unsigned",
    "outcome.missing",
    "disclosure.missing",
];
