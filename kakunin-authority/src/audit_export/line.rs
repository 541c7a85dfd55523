//! The lines of an export, as they are written and read.

use kakunin_core::digest::Digest;
use kakunin_core::time::UnixTime;
use serde::{Deserialize, Serialize};

use crate::access::{Actor, TenantId};
use crate::store::{AuditId, AuditRecord, AuditRow, AuditSaid, Outcome};

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
}

/// A line between the first and the last.
#[derive(Serialize, Deserialize, Debug, PartialEq, Eq)]
#[serde(untagged)]
pub(super) enum Line {
    Intent(Intent),
    Outcome(Answered),
    Withheld(Withheld),
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

impl Line {
    pub(super) fn of(row: &AuditRow) -> Self {
        let (number, hash) = (row.number, row.hash.to_hex());
        match &row.said {
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
            AuditSaid::Outcome { tenant, intent, outcome, at } => Self::Outcome(Answered {
                number,
                at: at.to_string(),
                tenant: tenant.to_string(),
                intent: intent.number(),
                outcome: outcome.word().into(),
                text: outcome.text().into(),
                hash,
            }),
        }
    }

    /// The row that it shows; `None` for rows that are withheld, or that this program does not write.
    pub(super) fn row(&self) -> Option<AuditRow> {
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
                },
                hash: Digest::from_hex(&answered.hash)?,
            },
            Self::Withheld(_) => return None,
        })
    }
}
