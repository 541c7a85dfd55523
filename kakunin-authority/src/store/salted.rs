//! Rows of the audit log of which values can be left out later: each value stands in the hash of its row by a commitment.
//!
//! A row has a salt of 32 random octets, and each of its values one that is made of it. The hash of the row is over
//! commitments to the values, so whoever is shown some of them, with their salts, and the commitments to the others can
//! calculate it, and cannot guess what he is not shown. Rows of before have no salt: of these nothing can be left out but the
//! whole, and one that is easily guessed can be found by its hash.

use std::fmt;

use kakunin_core::digest::Digest;
use kakunin_core::time::UnixTime;
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};

use super::StoreError;
use super::audit::{AuditId, AuditRecord, Outcome};
use crate::access::TenantId;

/// What a row's commitments are salted by. It stays in the store.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RowSalt([u8; 32]);

impl RowSalt {
    /// Takes 32 random octets as they are.
    #[must_use]
    pub const fn from_random(random: [u8; 32]) -> Self {
        Self(random)
    }

    /// Takes it from the system.
    ///
    /// # Errors
    /// [`StoreError::NoRandomness`].
    pub fn fresh() -> Result<Self, StoreError> {
        let mut random = [0; 32];
        SystemRandom::new().fill(&mut random).map_err(|_| StoreError::NoRandomness)?;
        Ok(Self(random))
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The salt of the row that says what came of this one's order.
    pub(super) fn of_outcome(&self) -> Self {
        Self(self.made_of(OUTCOME))
    }

    /// The salt of one value: half of what is made of the row's, for 128 bits cannot be tried.
    pub(crate) fn of(&self, value: AuditValue) -> ValueSalt {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, ..] = self.made_of(value.word());
        [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
    }

    fn made_of(&self, word: &str) -> [u8; 32] {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &self.0), word.as_bytes());
        // INVARIANT: a tag of HMAC-SHA256 has 32 octets.
        tag.as_ref().try_into().unwrap_or([0; 32])
    }
}

/// What hides one value.
pub(crate) type ValueSalt = [u8; 16];

/// Not shown, also where a whole row is.
impl fmt::Debug for RowSalt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RowSalt")
    }
}

/// A value of a row that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AuditValue {
    /// By whom.
    Actor,
    /// From where.
    Address,
    /// To whom or what.
    Subject,
    /// How that was.
    Before,
    /// How it is to be.
    After,
    /// In the words of whoever ordered it, or what went wrong.
    Text,
}

impl AuditValue {
    /// Every one, in the order in which a row has them.
    pub const ALL: [Self; 6] =
        [Self::Actor, Self::Address, Self::Subject, Self::Before, Self::After, Self::Text];

    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Actor => "actor",
            Self::Address => "address",
            Self::Subject => "subject",
            Self::Before => "before",
            Self::After => "after",
            Self::Text => "text",
        }
    }

    /// Finds one by its word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|value| value.word() == word)
    }

    /// What an order says there.
    pub(crate) fn in_order(self, record: &AuditRecord) -> Option<String> {
        match self {
            Self::Actor => Some(record.actor.to_string()),
            Self::Address => record.address.clone(),
            Self::Subject => Some(record.subject.clone()),
            Self::Before => record.before.clone(),
            Self::After => record.after.clone(),
            Self::Text => Some(record.text.clone()),
        }
    }

    /// The commitment to what stands there: one that has nothing there is another one than one that has an empty text.
    pub(crate) fn commitment(self, salt: ValueSalt, said: Option<&str>) -> Digest {
        let mut fields = Fields::begin("kakunin audit value");
        fields.add(self.word().as_bytes());
        fields.add(&salt);
        fields.add(&[u8::from(said.is_some())]);
        fields.add(said.unwrap_or_default().as_bytes());
        Digest::of(&fields.0)
    }
}

/// The hash of the row `number` with an order, behind the row with the hash `previous`.
pub(crate) fn hash_of_order(
    (number, previous): (u64, Digest),
    (tenant, at, what): (&TenantId, UnixTime, &str),
    commitments: [Digest; 6],
) -> Digest {
    let mut fields = Fields::begin(ROW);
    fields.add(&number.to_be_bytes());
    fields.add(b"intent");
    fields.add(tenant.as_str().as_bytes());
    fields.add(&at.seconds().to_be_bytes());
    fields.add(what.as_bytes());
    commitments.iter().for_each(|commitment| fields.add(commitment.as_bytes()));
    Digest::of_parts(&[previous.as_bytes(), &fields.0])
}

/// The same of one with what came of an order; `word` says whether it was done.
pub(crate) fn hash_of_outcome(
    (number, previous): (u64, Digest),
    (tenant, at, intent): (&TenantId, UnixTime, AuditId),
    word: &str,
    text: Digest,
) -> Digest {
    let mut fields = Fields::begin(ROW);
    fields.add(&number.to_be_bytes());
    fields.add(word.as_bytes());
    fields.add(tenant.as_str().as_bytes());
    fields.add(&at.seconds().to_be_bytes());
    fields.add(&intent.number().to_be_bytes());
    fields.add(text.as_bytes());
    Digest::of_parts(&[previous.as_bytes(), &fields.0])
}

pub(super) fn hash_of_record(salt: &RowSalt, record: &AuditRecord, place: (u64, Digest)) -> Digest {
    let commitments =
        AuditValue::ALL.map(|value| value.commitment(salt.of(value), value.in_order(record).as_deref()));
    hash_of_order(place, (&record.tenant, record.at, &record.what), commitments)
}

pub(super) fn hash_of_end(
    salt: &RowSalt,
    (tenant, at, intent): (&TenantId, UnixTime, AuditId),
    outcome: &Outcome,
    place: (u64, Digest),
) -> Digest {
    let text = AuditValue::Text.commitment(salt.of(AuditValue::Text), Some(outcome.text()));
    hash_of_outcome(place, (tenant, at, intent), outcome.word(), text)
}

/// Texts and numbers with the length of each in front, so that no two sets of them have the same octets.
struct Fields(Vec<u8>);

impl Fields {
    fn begin(what: &str) -> Self {
        let mut fields = Self(Vec::with_capacity(512));
        fields.add(what.as_bytes());
        fields
    }

    fn add(&mut self, value: &[u8]) {
        self.0.extend_from_slice(&u64::try_from(value.len()).unwrap_or(u64::MAX).to_be_bytes());
        self.0.extend_from_slice(value);
    }
}

const ROW: &str = "kakunin audit 2";
const OUTCOME: &str = "outcome";
