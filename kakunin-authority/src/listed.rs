//! The entries of each list as they are signed, kept in memory: a revocation costs its own entry and not all the others.
//!
//! Whoever owns the authority is the only one that changes standings, so what was read once and every change since is
//! what the records say. Whatever does not fit what is known here is read anew.

use std::collections::{HashMap, HashSet};

use kakunin_core::id::SerialNumber;
use kakunin_core::time::UnixTime;

use crate::authority::AuthorityError;
use crate::list::ListWriter;
use crate::standing::{ListedCertificate, Standing};
use crate::store::{FeedChange, IssuerId, Store};

/// What is on the lists of the issuing authorities.
#[derive(Debug, Default)]
pub(crate) struct Listed(HashMap<IssuerId, Entries>);

/// What is on one list.
#[derive(Debug)]
struct Entries {
    writer: ListWriter,
    serials: HashSet<SerialNumber>,
    read: UnixTime,
}

impl Listed {
    /// The entries of `issuer`'s next list: each certificate that is not good and ended at or after `since`, the time of
    /// the last list, and perhaps some that ended within the hour before.
    ///
    /// # Errors
    /// [`AuthorityError`] when they cannot be read.
    pub(crate) fn writer(
        &mut self,
        store: &dyn Store,
        issuer: IssuerId,
        since: UnixTime,
        now: UnixTime,
    ) -> Result<&ListWriter, AuthorityError> {
        let known = self.0.remove(&issuer);
        let known = known.filter(|known| (known.read..known.read.plus(WHILE)).contains(&now));
        let entries = match known {
            Some(entries) => entries,
            None => Entries::read(store, issuer, since, now)?,
        };
        Ok(&self.0.entry(issuer).insert_entry(entries).into_mut().writer)
    }

    /// Takes up what a change of standing did.
    pub(crate) fn note(&mut self, change: &FeedChange) {
        let Some(entries) = self.0.get_mut(&change.issuer) else { return };
        for told in &change.entries {
            let listed = ListedCertificate { serial: told.serial, since: told.since, reason: told.reason };
            let (comes, serials) = (told.standing != Standing::Good, &mut entries.serials);
            let was = if comes { !serials.insert(told.serial) } else { serials.remove(&told.serial) };
            // One that leaves, or is on the list for another reason now, is somewhere in the middle.
            let left = !was || entries.writer.remove(&told.serial);
            let right = if comes { entries.writer.push(&listed).is_ok() } else { was };
            if !(left && right) {
                self.0.remove(&change.issuer);
                return;
            }
        }
    }

    /// Reads everything anew: nobody knows what a change that failed did.
    pub(crate) fn forget(&mut self) {
        self.0.clear();
    }
}

impl Entries {
    fn read(
        store: &dyn Store,
        issuer: IssuerId,
        since: UnixTime,
        now: UnixTime,
    ) -> Result<Self, AuthorityError> {
        let (mut writer, mut serials, mut failed) = (ListWriter::default(), HashSet::new(), None);
        store.each_listed(issuer, since, &mut |listed| {
            serials.insert(listed.serial);
            if let Err(error) = writer.push(&listed) {
                failed = Some(error);
            }
        })?;
        match failed {
            None => Ok(Self { writer, serials, read: now }),
            Some(error) => Err(error.into()),
        }
    }
}

/// For so long a list may still name what has ended.
const WHILE: i64 = 3600;
