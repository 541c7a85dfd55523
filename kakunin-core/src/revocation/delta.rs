//! RFC 5280 section 5.2.4 delta lists: what changed since a full list that somebody has.
//!
//! Takes in DER and a full list, gives out what both say together: for every certificate that has not ended the same as the
//! full list of the delta's number. A delta alone says nothing about whom it does not name, so it has no standing of its
//! own, and nothing here turns it into a full list: what a guard keeps and decides by is signed whole.

use std::collections::BTreeMap;

use super::list::{ListError, ListIssuer, RevocationList, UnverifiedList, Word};
use super::memory::{Contradiction, follows};
use super::number::ListNumber;
use super::policy::ListPolicy;
use super::standing::Standing;
use crate::id::SerialNumber;
use crate::time::UnixTime;

/// A delta list that was parsed and is believed by nobody.
#[derive(Debug)]
pub struct UnverifiedDelta<'a> {
    list: UnverifiedList<'a>,
    base: ListNumber,
}

impl<'a> UnverifiedDelta<'a> {
    /// Reads the outer structure and the extensions.
    ///
    /// # Errors
    /// [`DeltaError::List`] when the bytes are no version 2 list, or carry something critical that is unknown;
    /// [`DeltaError::Full`] when they are a full list; [`DeltaError::Base`] when it is beside no earlier list.
    pub fn decode(der: &'a [u8]) -> Result<Self, DeltaError> {
        let (list, base) = UnverifiedList::parse(der)?;
        let base = base.ok_or(DeltaError::Full)?;
        if base >= *list.number() {
            return Err(DeltaError::Base { base, number: list.number().clone() });
        }
        Ok(Self { list, base })
    }

    /// The number of the list it changes.
    #[must_use]
    pub const fn base(&self) -> &ListNumber {
        &self.base
    }

    /// The number of the full list that says the same.
    #[must_use]
    pub const fn number(&self) -> &ListNumber {
        self.list.number()
    }

    /// Checks issuer and signature, then the entries, and joins it with `to`.
    ///
    /// # Errors
    /// [`DeltaError`] when `issuer` did not sign it, `to` is of another issuer, older than its base or not older than it,
    /// an entry is malformed, or it takes a revocation back: `to` stays what it is then.
    pub fn apply(self, to: &RevocationList, issuer: &ListIssuer<'_>) -> Result<UpdatedList, DeltaError> {
        self.list.check(issuer)?;
        // INVARIANT: these bytes were read when the list was verified.
        let beside = UnverifiedList::decode(to.der())?;
        if !self.list.is_beside(&beside) {
            return Err(ListError::OtherIssuer.into());
        }
        if *to.number() < self.base {
            return Err(DeltaError::Behind { base: self.base, held: to.number().clone() });
        }
        let ((this_update, next_update), number) = (self.list.dates(), self.list.number().clone());
        if *to.number() >= number || this_update < to.this_update() {
            let seen = to.number().clone();
            return Err(Contradiction::Rollback { offered: number, seen }.into());
        }
        let policy = self.list.said_policy();
        if let (Some(seen), Some(offered)) = (to.policy(), policy) {
            follows(seen.head(), offered.head())?;
        }
        let mut words = BTreeMap::new();
        for (serial, word) in self.list.words()? {
            // Of duplicates the most restrictive counts.
            let said = words.entry(serial).or_insert(word);
            *said = word.max(*said);
        }
        for (serial, word) in &words {
            let was = to.standing(serial) == Standing::Revoked;
            if was && *word != Word::Stands(Standing::Revoked) {
                return Err(Contradiction::Forgotten { serial: *serial }.into());
            }
        }
        Ok(UpdatedList { list: to.clone(), words, number, this_update, next_update, policy })
    }
}

/// A full list and a delta list that follows it, both signed by one issuer.
#[derive(Clone, Debug)]
pub struct UpdatedList {
    list: RevocationList,
    words: BTreeMap<SerialNumber, Word>,
    number: ListNumber,
    this_update: UnixTime,
    next_update: UnixTime,
    policy: Option<ListPolicy>,
}

impl UpdatedList {
    /// The number of the full list that says the same.
    #[must_use]
    pub const fn number(&self) -> &ListNumber {
        &self.number
    }

    /// When the delta was issued.
    #[must_use]
    pub const fn this_update(&self) -> UnixTime {
        self.this_update
    }

    /// The first second at which both together decide nothing but denials any more.
    #[must_use]
    pub const fn next_update(&self) -> UnixTime {
        self.next_update
    }

    /// What the delta says about the feed.
    #[must_use]
    pub const fn policy(&self) -> Option<ListPolicy> {
        self.policy
    }

    /// What both together say about `serial`.
    #[must_use]
    pub fn standing(&self, serial: &SerialNumber) -> Standing {
        match self.words.get(serial) {
            Some(Word::Stands(standing)) => *standing,
            Some(Word::Removed) => Standing::Good,
            None => self.list.standing(serial),
        }
    }

    /// Whether both together say of every certificate what the full list says alone.
    #[must_use]
    pub fn is_nothing_new(&self) -> bool {
        self.words.keys().all(|serial| self.standing(serial) == self.list.standing(serial))
    }

    /// How many certificates the delta speaks of.
    #[must_use]
    pub fn changes(&self) -> usize {
        self.words.len()
    }
}

impl DeltaError {
    /// Which kind of it, in a word: what every language says of the shared vectors.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::List(_) => "list",
            Self::Full => "full",
            Self::Base { .. } => "base",
            Self::Behind { .. } => "behind",
            Self::Contradiction(_) => "contradiction",
        }
    }
}

/// A delta list that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeltaError {
    /// Something that holds for every list.
    #[error(transparent)]
    List(#[from] ListError),
    /// No delta list.
    #[error("a full revocation list is no delta list")]
    Full,
    /// Beside itself or a later one.
    #[error("the delta list {number} says that it changes list {base}, which is not before it")]
    Base {
        /// What it says it changes.
        base: ListNumber,
        /// Its own number.
        number: ListNumber,
    },
    /// The list that it is to change is too old for it.
    #[error("the delta list changes list {base}, and list {held} is older: take the full list")]
    Behind {
        /// What it changes.
        base: ListNumber,
        /// What there is.
        held: ListNumber,
    },
    /// It contradicts the list that it is to change.
    #[error(transparent)]
    Contradiction(#[from] Contradiction),
}
