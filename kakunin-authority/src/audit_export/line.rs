//! The lines of an export, as they are written and read.

use kakunin_core::digest::{Digest, hex, unhex};
use kakunin_core::time::UnixTime;
use serde::{Deserialize, Serialize};

use crate::access::{Actor, TenantId};
use crate::store::salted::{hash_of_order, hash_of_outcome};
use crate::store::{AuditId, AuditRecord, AuditRow, AuditSaid, AuditValue, Outcome, RowSalt};

/// The first line.
#[derive(Serialize, Deserialize, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(super) struct First {
    /// The version of the format.
    pub(super) audit_export: u32,
    pub(super) tenant: String,
    pub(super) from: Option<String>,
    pub(super) to: Option<String>,
    pub(super) event_type: Option<String>,
    pub(super) actor_type: Option<String>,
    /// Values that are left out of every row; from version 2 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) without: Option<Vec<String>>,
}

/// A line between the first and the last.
#[derive(Serialize, Deserialize, Debug, PartialEq, Eq)]
#[serde(untagged)]
pub(super) enum Line {
    Intent(Intent),
    Outcome(Answered),
    Salted(SaltedIntent),
    SaltedOutcome(SaltedAnswer),
    Withheld(Withheld),
}

/// A value of a salted row.
#[derive(Serialize, Deserialize, Debug, PartialEq, Eq)]
#[serde(untagged)]
pub(super) enum Value {
    Shown(Said),
    LeftOut(Hidden),
}

/// One that is shown, with the salt by which it is committed to.
#[derive(Serialize, Deserialize, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(super) struct Said {
    // Null where nothing stands, and never missing.
    #[serde(deserialize_with = "Option::deserialize")]
    value: Option<String>,
    salt: String,
}

/// One that is left out: the commitment to it.
#[derive(Serialize, Deserialize, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(super) struct Hidden {
    hidden: String,
}

/// An order whose row is salted.
#[derive(Serialize, Deserialize, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(super) struct SaltedIntent {
    number: u64,
    at: String,
    tenant: String,
    what: String,
    actor: Value,
    address: Value,
    subject: Value,
    before: Value,
    after: Value,
    text: Value,
    hash: String,
}

/// What came of one.
#[derive(Serialize, Deserialize, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(super) struct SaltedAnswer {
    number: u64,
    at: String,
    tenant: String,
    intent: u64,
    outcome: String,
    text: Value,
    hash: String,
}

/// What a line proves: a row of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stands {
    pub(super) number: u64,
    pub(super) hash: Digest,
    /// Whether it is an order, and not what came of one.
    pub(super) is_order: bool,
}

/// An order.
#[derive(Serialize, Deserialize, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(super) struct Intent {
    number: u64,
    at: String,
    tenant: String,
    actor: String,
    address: Option<String>,
    what: String,
    subject: String,
    before: Option<String>,
    after: Option<String>,
    text: String,
    hash: String,
}

/// What came of an order.
#[derive(Serialize, Deserialize, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(super) struct Answered {
    number: u64,
    at: String,
    tenant: String,
    intent: u64,
    outcome: String,
    text: String,
    hash: String,
}

/// Rows that are not shown: other tenants', or not chosen.
#[derive(Serialize, Deserialize, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(super) struct Withheld {
    /// The number of the first of them.
    pub(super) withheld: u64,
    pub(super) count: u64,
    /// The hash of the last of them.
    pub(super) hash: String,
}

/// The last line.
#[derive(Serialize, Deserialize, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(super) struct Last {
    /// What is signed, as a text: what is parsed is what was signed.
    pub(super) statement: String,
    /// In base64.
    pub(super) signature: String,
    /// DER in base64.
    pub(super) certificate: String,
}

/// What the statement says.
#[derive(Serialize, Deserialize, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(super) struct Stated {
    pub(super) audit_export: u32,
    pub(super) tenant: String,
    pub(super) from: Option<String>,
    pub(super) to: Option<String>,
    pub(super) event_type: Option<String>,
    pub(super) actor_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) without: Option<Vec<String>>,
    pub(super) exported_at: String,
    /// How many rows the chain had.
    pub(super) rows: u64,
    /// The hash of the last one.
    pub(super) hash: String,
    pub(super) shown: u64,
    pub(super) withheld: u64,
    /// Of every octet before the last line.
    pub(super) sha256: String,
}

impl Value {
    fn of(value: AuditValue, salt: &RowSalt, said: Option<String>, without: &[AuditValue]) -> Self {
        let salt = salt.of(value);
        match without.contains(&value) {
            true => Self::LeftOut(Hidden { hidden: value.commitment(salt, said.as_deref()).to_hex() }),
            false => Self::Shown(Said { value: said, salt: hex(&salt) }),
        }
    }

    /// The commitment that stands in the row's hash; `None` when that cannot be said, or the value is left out though
    /// `without` does not say so, or shown though it does.
    fn commitment(&self, value: AuditValue, without: &[String]) -> Option<Digest> {
        let is_left_out = without.iter().any(|word| word == value.word());
        match self {
            Self::Shown(Said { value: said, salt }) if !is_left_out => {
                Some(value.commitment(unhex(salt)?, said.as_deref()))
            }
            Self::LeftOut(Hidden { hidden }) if is_left_out => Digest::from_hex(hidden),
            _ => None,
        }
    }
}

impl Line {
    /// A row as it is written; `None` for one of before there were salts of which values are to be left out.
    pub(super) fn of(row: &AuditRow, without: &[AuditValue]) -> Option<Self> {
        let (number, hash) = (row.number, row.hash.to_hex());
        Some(match &row.said {
            AuditSaid::Intent(record @ AuditRecord { salt: Some(salt), .. }) => {
                let value = |value: AuditValue| Value::of(value, salt, value.in_order(record), without);
                Self::Salted(SaltedIntent {
                    number,
                    at: record.at.to_string(),
                    tenant: record.tenant.to_string(),
                    what: record.what.clone(),
                    actor: value(AuditValue::Actor),
                    address: value(AuditValue::Address),
                    subject: value(AuditValue::Subject),
                    before: value(AuditValue::Before),
                    after: value(AuditValue::After),
                    text: value(AuditValue::Text),
                    hash,
                })
            }
            AuditSaid::Outcome { tenant, intent, outcome, at, salt: Some(salt) } => {
                Self::SaltedOutcome(SaltedAnswer {
                    number,
                    at: at.to_string(),
                    tenant: tenant.to_string(),
                    intent: intent.number(),
                    outcome: outcome.word().into(),
                    text: Value::of(AuditValue::Text, salt, Some(outcome.text().into()), without),
                    hash,
                })
            }
            _ if !without.is_empty() => return None,
            AuditSaid::Intent(record) => Self::Intent(Intent {
                number,
                at: record.at.to_string(),
                tenant: record.tenant.to_string(),
                actor: record.actor.to_string(),
                address: record.address.clone(),
                what: record.what.clone(),
                subject: record.subject.clone(),
                before: record.before.clone(),
                after: record.after.clone(),
                text: record.text.clone(),
                hash,
            }),
            AuditSaid::Outcome { tenant, intent, outcome, at, salt: None } => Self::Outcome(Answered {
                number,
                at: at.to_string(),
                tenant: tenant.to_string(),
                intent: intent.number(),
                outcome: outcome.word().into(),
                text: outcome.text().into(),
                hash,
            }),
        })
    }

    /// The row that it shows behind one with the hash `previous`; `None` when it does not follow from that, for rows that are
    /// withheld, and for what this program does not write.
    pub(super) fn stands(&self, previous: Digest, without: Option<&[String]>) -> Option<Stands> {
        if !matches!(self, Self::Salted(_) | Self::SaltedOutcome(_)) {
            // Rows without a salt are shown whole or not at all.
            let row = self.row().filter(|_| without.is_none_or(<[String]>::is_empty))?;
            let is_order = matches!(row.said, AuditSaid::Intent(_));
            return row.follows(previous).then_some(Stands { number: row.number, hash: row.hash, is_order });
        }
        // There were none in files that say nothing of what they leave out.
        let without = without?;
        let (number, hash, calculated, is_order) = match self {
            Self::Salted(order) => {
                let at = UnixTime::parse_rfc3339(&order.at).ok()?;
                let tenant = TenantId::parse(&order.tenant)?;
                let one = |value: AuditValue, said: &Value| said.commitment(value, without);
                let commitments = [
                    one(AuditValue::Actor, &order.actor)?,
                    one(AuditValue::Address, &order.address)?,
                    one(AuditValue::Subject, &order.subject)?,
                    one(AuditValue::Before, &order.before)?,
                    one(AuditValue::After, &order.after)?,
                    one(AuditValue::Text, &order.text)?,
                ];
                let place = (order.number, previous);
                let hash = hash_of_order(place, (&tenant, at, &order.what), commitments);
                (order.number, &order.hash, hash, true)
            }
            Self::SaltedOutcome(end) => {
                let at = UnixTime::parse_rfc3339(&end.at).ok()?;
                let tenant = TenantId::parse(&end.tenant)?;
                let text = end.text.commitment(AuditValue::Text, without)?;
                // A word that is none would be one of an order.
                Outcome::read(&end.outcome, String::new())?;
                let (place, intent) = ((end.number, previous), AuditId::from_number(end.intent));
                let hash = hash_of_outcome(place, (&tenant, at, intent), &end.outcome, text);
                (end.number, &end.hash, hash, false)
            }
            Self::Intent(_) | Self::Outcome(_) | Self::Withheld(_) => return None,
        };
        let hash = Digest::from_hex(hash).filter(|hash| *hash == calculated)?;
        Some(Stands { number, hash, is_order })
    }

    /// The row without a salt that it shows.
    fn row(&self) -> Option<AuditRow> {
        Some(match self {
            Self::Intent(intent) => AuditRow {
                number: intent.number,
                said: AuditSaid::Intent(AuditRecord {
                    at: UnixTime::parse_rfc3339(&intent.at).ok()?,
                    actor: Actor::parse(&intent.actor)?,
                    address: intent.address.clone(),
                    tenant: TenantId::parse(&intent.tenant)?,
                    what: intent.what.clone(),
                    subject: intent.subject.clone(),
                    before: intent.before.clone(),
                    after: intent.after.clone(),
                    text: intent.text.clone(),
                    salt: None,
                }),
                hash: Digest::from_hex(&intent.hash)?,
            },
            Self::Outcome(answered) => AuditRow {
                number: answered.number,
                said: AuditSaid::Outcome {
                    tenant: TenantId::parse(&answered.tenant)?,
                    intent: AuditId::from_number(answered.intent),
                    outcome: Outcome::read(&answered.outcome, answered.text.clone())?,
                    at: UnixTime::parse_rfc3339(&answered.at).ok()?,
                    salt: None,
                },
                hash: Digest::from_hex(&answered.hash)?,
            },
            Self::Salted(_) | Self::SaltedOutcome(_) | Self::Withheld(_) => return None,
        })
    }
}
