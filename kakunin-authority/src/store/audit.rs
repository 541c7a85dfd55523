//! The audit log: what was ordered, by whom, and what came of it.
//!
//! An order is recorded before it is carried out (the intent) and once more afterwards (the outcome), so that nothing
//! happens without a trace and a crash in between shows as an intent without outcome. Rows form one chain over all
//! tenants: each carries SHA-256 over the hash before it and its own canonical bytes, so a row that is edited, taken
//! out or put in breaks the chain there. Rows cut off at the end show only to whoever noted an [`AuditHead`] outside
//! the store, and so does a chain that was calculated anew by somebody who may write into it.

use std::fmt;

use kakunin_core::digest::Digest;
use kakunin_core::time::UnixTime;

use super::{RowSalt, StoreError, salted};
use crate::access::{Actor, ActorKind, TenantId};

/// The log of orders.
pub trait AuditLog {
    /// Records what is about to be done; durable before it is.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be made durable: then it must not be done.
    fn audit_intent(&mut self, intent: &AuditRecord) -> Result<AuditId, StoreError>;

    /// Records what came of it, once.
    ///
    /// # Errors
    /// [`StoreError::UnknownIntent`] and [`StoreError::OutcomeKnown`] when there is nothing, or no more, to say.
    fn audit_outcome(&mut self, id: AuditId, outcome: &Outcome, at: UnixTime) -> Result<(), StoreError>;

    /// The newest `limit` orders of a tenant that `filter` lets through, newest first.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn audit(
        &self,
        tenant: &TenantId,
        filter: &AuditFilter,
        limit: u32,
    ) -> Result<Vec<AuditEntry>, StoreError>;

    /// The end of the chain as it stands there, without calculating it; `None` when the log is empty.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn audit_head(&self) -> Result<Option<AuditHead>, StoreError>;

    /// The hash of the row with this number, if there is one.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn audit_hash(&self, row: u64) -> Result<Option<Digest>, StoreError>;

    /// Calculates the chain from its first row, and looks for `known`, a head that was noted earlier. Gives the head
    /// of now; `None` when the log is empty.
    ///
    /// # Errors
    /// [`StoreError::AuditBroken`] with the first row that is not as it was written.
    fn check_audit(&self, known: Option<&AuditHead>) -> Result<Option<AuditHead>, StoreError>;

    /// Rows of the chain as they were written, of every tenant and in their order: at most `limit`, with numbers above
    /// `after` and up to `last`.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn audit_rows(&self, after: u64, last: u64, limit: u32) -> Result<Vec<AuditRow>, StoreError>;
}

/// The number of an intent. Numbers rise with time; outcomes take numbers as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuditId(u64);

impl AuditId {
    /// Takes a number as it is, for example one from a cursor.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for AuditId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRecord {
    /// When.
    pub at: UnixTime,
    /// By whom.
    pub actor: Actor,
    /// From where, if it came over a network.
    pub address: Option<String>,
    /// In whose name.
    pub tenant: TenantId,
    /// What, in one word such as `agent.suspend`.
    pub what: String,
    /// To which agent, key or certificate.
    pub subject: String,
    /// How the subject was.
    pub before: Option<String>,
    /// How it is to be.
    pub after: Option<String>,
    /// Why, in the words of whoever ordered it.
    pub text: String,
    /// What hides its values where they are left out; none in rows of before there were salts.
    pub salt: Option<RowSalt>,
}

/// What came of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was carried out.
    Done,
    /// A rule was against it: the code.
    Refused(String),
    /// It could not be carried out, or not wholly: what went wrong.
    Failed(String),
}

impl Outcome {
    /// Its word.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused(_) => "refused",
            Self::Failed(_) => "failed",
        }
    }

    /// The code, or what went wrong; nothing for what was done.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Done => "",
            Self::Refused(text) | Self::Failed(text) => text,
        }
    }

    pub(crate) fn read(word: &str, text: String) -> Option<Self> {
        match word {
            "done" if text.is_empty() => Some(Self::Done),
            "refused" => Some(Self::Refused(text)),
            "failed" => Some(Self::Failed(text)),
            _ => None,
        }
    }
}

/// An order and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its number.
    pub id: AuditId,
    /// The order.
    pub record: AuditRecord,
    /// What came of it, and when that was known; `None` while it is being carried out, and for good after a crash.
    pub outcome: Option<(Outcome, UnixTime)>,
}

/// Which orders to show; what is `None` lets everything through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// At or after.
    pub since: Option<UnixTime>,
    /// Before.
    pub before: Option<UnixTime>,
    /// With a lower number than this: where a page ended, the next one begins.
    pub below: Option<AuditId>,
    /// This word.
    pub what: Option<String>,
    /// This subject.
    pub subject: Option<String>,
    /// By this actor.
    pub actor: Option<Actor>,
    /// By an actor of this kind.
    pub kind: Option<ActorKind>,
}

/// A row of the chain, with the hash that was written with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// Its number: rows are counted from 1 without a gap.
    pub number: u64,
    /// What it says.
    pub said: AuditSaid,
    /// SHA-256 over the hash before it and what it says.
    pub hash: Digest,
}

impl AuditRow {
    /// Whether its hash is what it says behind a row with the hash `previous`, zeros for the first.
    #[must_use]
    pub fn follows(&self, previous: Digest) -> bool {
        self.said.link().hash(self.number, previous) == self.hash
    }
}

/// What a row of the chain says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditSaid {
    /// That something is about to be done.
    Intent(AuditRecord),
    /// What came of it.
    Outcome {
        /// In whose name it was done.
        tenant: TenantId,
        /// Of which order.
        intent: AuditId,
        /// What came of it.
        outcome: Outcome,
        /// When that was known.
        at: UnixTime,
        /// As that of its order.
        salt: Option<RowSalt>,
    },
}

impl AuditSaid {
    /// In whose name.
    #[must_use]
    pub const fn tenant(&self) -> &TenantId {
        match self {
            Self::Intent(record) => &record.tenant,
            Self::Outcome { tenant, .. } => tenant,
        }
    }

    pub(super) fn link(&self) -> Link<'_> {
        match self {
            Self::Intent(record) => Link::Intent(record),
            Self::Outcome { tenant, intent, outcome, at, salt } => {
                Link::Outcome { tenant, intent: *intent, outcome, at: *at, salt: *salt }
            }
        }
    }
}

/// The end of the chain at some time: whoever keeps it elsewhere can tell later that nothing before it was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditHead {
    /// How many rows.
    pub rows: u64,
    /// The hash of the last one.
    pub hash: Digest,
}

/// A row of the chain, as it is hashed.
pub(super) enum Link<'a> {
    Intent(&'a AuditRecord),
    Outcome {
        tenant: &'a TenantId,
        intent: AuditId,
        outcome: &'a Outcome,
        at: UnixTime,
        salt: Option<RowSalt>,
    },
}

impl Link<'_> {
    /// The hash of this row under `number`, behind the row with the hash `previous` (zeros for the first).
    ///
    /// Every field is written with its length in front, one that may be missing with a count of 0 or 1, so that no
    /// two rows have the same bytes.
    pub(super) fn hash(&self, number: u64, previous: Digest) -> Digest {
        match self {
            Self::Intent(record) => {
                if let Some(salt) = &record.salt {
                    return salted::hash_of_record(salt, record, (number, previous));
                }
            }
            Self::Outcome { tenant, intent, outcome, at, salt: Some(salt) } => {
                return salted::hash_of_end(salt, (tenant, *at, *intent), outcome, (number, previous));
            }
            Self::Outcome { salt: None, .. } => {}
        }
        let mut bytes = Vec::with_capacity(256);
        let mut field = |value: &[u8]| {
            bytes.extend_from_slice(&u64::try_from(value.len()).unwrap_or(u64::MAX).to_be_bytes());
            bytes.extend_from_slice(value);
        };
        field(b"kakunin audit 1");
        field(&number.to_be_bytes());
        match self {
            Self::Intent(record) => {
                field(b"intent");
                field(record.tenant.as_str().as_bytes());
                field(&record.at.seconds().to_be_bytes());
                field(record.actor.to_string().as_bytes());
                field(record.what.as_bytes());
                field(record.subject.as_bytes());
                for maybe in [&record.address, &record.before, &record.after] {
                    field(&[u8::from(maybe.is_some())]);
                    field(maybe.as_deref().unwrap_or_default().as_bytes());
                }
                field(record.text.as_bytes());
            }
            Self::Outcome { tenant, intent, outcome, at, .. } => {
                field(outcome.word().as_bytes());
                field(tenant.as_str().as_bytes());
                field(&at.seconds().to_be_bytes());
                field(&intent.number().to_be_bytes());
                field(outcome.text().as_bytes());
            }
        }
        Digest::of_parts(&[previous.as_bytes(), &bytes])
    }
}

/// What stands before the first row.
pub(crate) const START: Digest = Digest::from_bytes([0; 32]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_rows_have_the_same_bytes() {
        let record = AuditRecord {
            at: UnixTime::from_seconds(1),
            actor: Actor::Local,
            address: None,
            tenant: TenantId::default(),
            what: "agent.suspend".into(),
            subject: "billing".into(),
            before: Some("good".into()),
            after: None,
            text: "audit".into(),
            salt: None,
        };
        let others = [
            AuditRecord { at: UnixTime::from_seconds(2), ..record.clone() },
            AuditRecord { actor: Actor::Authority, ..record.clone() },
            AuditRecord { address: Some(String::new()), ..record.clone() },
            AuditRecord { tenant: TenantId::parse("other").unwrap(), ..record.clone() },
            AuditRecord { what: "agent.suspendb".into(), subject: "illing".into(), ..record.clone() },
            AuditRecord { before: None, after: Some("good".into()), ..record.clone() },
            AuditRecord { text: String::new(), ..record.clone() },
        ];
        let hash = Link::Intent(&record).hash(1, START);
        for other in &others {
            assert_ne!(Link::Intent(other).hash(1, START), hash, "{other:?}");
        }
        assert_ne!(Link::Intent(&record).hash(2, START), hash);
        assert_ne!(Link::Intent(&record).hash(1, hash), hash);
        // Calculated in Python from the description above: homes hold such hashes, so the bytes stay as they are.
        let known = "51d37b5bbfdddf0d0c12ca8a40f91ca8a38794c667aba1978e5966b3d4fdb5f3";
        assert_eq!(Link::Intent(&record).hash(1, START).to_hex(), known);
    }

    #[test]
    fn a_salted_row_is_hashed_over_commitments_and_each_value_of_it_counts() {
        let salt = RowSalt::from_random([7; 32]);
        let record = AuditRecord {
            at: UnixTime::from_seconds(1),
            actor: Actor::Local,
            address: None,
            tenant: TenantId::default(),
            what: "agent.suspend".into(),
            subject: "billing".into(),
            before: Some("good".into()),
            after: Some("held".into()),
            text: "drift".into(),
            salt: Some(salt),
        };
        let hash = Link::Intent(&record).hash(1, START);
        for other in [
            AuditRecord { at: UnixTime::from_seconds(2), ..record.clone() },
            AuditRecord { actor: Actor::Authority, ..record.clone() },
            AuditRecord { address: Some(String::new()), ..record.clone() },
            AuditRecord { tenant: TenantId::parse("other").unwrap(), ..record.clone() },
            AuditRecord { what: "agent.resume".into(), ..record.clone() },
            AuditRecord { subject: "shipping".into(), ..record.clone() },
            AuditRecord { before: None, ..record.clone() },
            AuditRecord { after: Some("good".into()), ..record.clone() },
            AuditRecord { text: String::new(), ..record.clone() },
            AuditRecord { salt: Some(RowSalt::from_random([8; 32])), ..record.clone() },
            AuditRecord { salt: None, ..record.clone() },
        ] {
            assert_ne!(Link::Intent(&other).hash(1, START), hash, "{other:?}");
        }
        assert_ne!(Link::Intent(&record).hash(2, START), hash);
        assert_ne!(Link::Intent(&record).hash(1, hash), hash);
        // Calculated in Python from docs/wire.md 8.1: stores hold such hashes, so the bytes stay as they are.
        assert_eq!(hash.to_hex(), "34330d170fe4e7f59779dd2d2361cb52ae85207b09241affcc9504a4d366eec1");
        let (tenant, outcome) = (TenantId::default(), Outcome::Refused("agent.standing".into()));
        let end = Link::Outcome {
            tenant: &tenant,
            intent: AuditId::from_number(1),
            outcome: &outcome,
            at: UnixTime::from_seconds(3),
            salt: Some(salt.of_outcome()),
        };
        assert_eq!(
            end.hash(2, hash).to_hex(),
            "218ca23e277c03291ed7d270d7572f1b05e64a0be75faabd0647723a7452fd14"
        );
    }
}
