//! What a guard remembers of the lists it accepted, so that none of them can be taken back.

use super::list::RevocationList;
use super::number::ListNumber;
use super::policy::FeedHead;
use super::standing::Standing;
use crate::digest::Digest;
use crate::id::SerialNumber;
use crate::time::UnixTime;

/// The mark an accepted list leaves: enough to refuse an older or a contradicting one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListMark {
    number: ListNumber,
    this_update: UnixTime,
    digest: Digest,
    feed: Option<FeedHead>,
}

impl ListMark {
    /// The mark of `list`.
    #[must_use]
    pub fn of(list: &RevocationList) -> Self {
        Self {
            number: list.number().clone(),
            this_update: list.this_update(),
            digest: list.digest(),
            feed: list.policy().map(|policy| policy.head()),
        }
    }

    /// Checks that `next` may follow the list of this mark.
    ///
    /// # Errors
    /// [`Contradiction`] when it is older, has the same number and says something else, or knows less of the feed.
    pub fn allows(&self, next: &RevocationList) -> Result<(), Contradiction> {
        if *next.number() == self.number {
            let same = next.digest() == self.digest;
            return if same {
                Ok(())
            } else {
                Err(Contradiction::Equivocation { number: self.number.clone() })
            };
        }
        if *next.number() < self.number || next.this_update() < self.this_update {
            let (offered, seen) = (next.number().clone(), self.number.clone());
            return Err(Contradiction::Rollback { offered, seen });
        }
        match (self.feed, next.policy().map(|policy| policy.head())) {
            (Some(seen), Some(offered)) => follows(seen, offered),
            // An authority may begin a feed, and end one: its own newer list says so.
            _ => Ok(()),
        }
    }
}

/// Checks that a feed that had come to `seen` may have come to `offered`.
///
/// # Errors
/// [`Contradiction`] for a lower epoch, and for another change of the same epoch.
pub(crate) fn follows(seen: FeedHead, offered: FeedHead) -> Result<(), Contradiction> {
    if offered.epoch() < seen.epoch() {
        return Err(Contradiction::FeedRollback { offered: offered.epoch(), seen: seen.epoch() });
    }
    if offered.epoch() == seen.epoch() && offered != seen {
        return Err(Contradiction::FeedEquivocation { epoch: seen.epoch() });
    }
    Ok(())
}

/// Checks that `next` still revokes `serial` if `kept` did: a revocation is final while the certificate lives.
///
/// # Errors
/// [`Contradiction::Forgotten`] when it does not.
pub(super) fn still_revoked(
    kept: &RevocationList,
    next: &RevocationList,
    serial: &SerialNumber,
) -> Result<(), Contradiction> {
    let was = kept.standing(serial) == Standing::Revoked;
    if was && next.standing(serial) != Standing::Revoked {
        Err(Contradiction::Forgotten { serial: *serial })
    } else {
        Ok(())
    }
}

impl RevocationList {
    /// Checks that this list may follow `kept`: not older, no other content under the same number, and `serial`
    /// still revoked if it was.
    ///
    /// # Errors
    /// [`Contradiction`] naming which of these fails.
    pub fn may_follow(&self, kept: &Self, serial: &SerialNumber) -> Result<(), Contradiction> {
        ListMark::of(kept).allows(self)?;
        still_revoked(kept, self, serial)
    }
}

/// A list that contradicts one already accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Contradiction {
    /// A lower number, or an earlier thisUpdate.
    #[error("list number {offered} is offered after number {seen} was accepted")]
    Rollback {
        /// The number of the refused list.
        offered: ListNumber,
        /// The number of the accepted one.
        seen: ListNumber,
    },
    /// The same number with other content.
    #[error("two different lists carry number {number}")]
    Equivocation {
        /// The number of both.
        number: ListNumber,
    },
    /// A revoked certificate is missing.
    #[error("certificate {serial} was revoked and is missing from the list now")]
    Forgotten {
        /// Its serial number.
        serial: SerialNumber,
    },
    /// The feed was further than is said now.
    #[error("the feed is said to be at epoch {offered} after epoch {seen} was accepted")]
    FeedRollback {
        /// The epoch that is said.
        offered: u64,
        /// The epoch that was accepted.
        seen: u64,
    },
    /// Two different changes of one number.
    #[error("two different changes of the feed carry epoch {epoch}")]
    FeedEquivocation {
        /// The epoch of both.
        epoch: u64,
    },
}
