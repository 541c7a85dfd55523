//! The newest list of each issuer that was accepted, by this process or an earlier one.
//!
//! Every issuer numbers its lists by itself. So each is remembered by itself, under its key: an agent that comes to
//! another issuing authority keeps what is known of the root, and one that is led back to an old authority meets what was
//! known of that. Takes in accepted lists and what the state directory holds, says whether offered ones may follow.

use std::collections::HashMap;
use std::io;

use super::state::{Locked, StateDir};
use crate::certificate::{AgentPath, CaCertificate, PathLists};
use crate::decision::DenialReason;
use crate::digest::Digest;
use crate::id::SerialNumber;
use crate::revocation::{Contradiction, ListError, RevocationList, UnverifiedList};
use crate::snapshot::Refusal;

/// What is known of each issuer, by the SHA-256 of its key.
#[derive(Debug, Default)]
pub(super) struct KnownLists(HashMap<Digest, Known>);

#[derive(Debug)]
struct Known {
    list: Option<RevocationList>,
    /// Whether the state directory was asked.
    recalled: bool,
}

/// One certificate of a path, and who can revoke it.
struct Link<'a> {
    issuer: &'a CaCertificate,
    serial: SerialNumber,
}

impl Link<'_> {
    fn key(&self) -> Digest {
        self.issuer.decoded().key().key_id()
    }

    fn verify(&self, der: &[u8]) -> Result<RevocationList, ListError> {
        UnverifiedList::decode(der)?.verify(&self.issuer.list_issuer())
    }
}

/// The agent below its issuing authority, and that below the root.
fn links(path: &AgentPath) -> [Link<'_>; 2] {
    [
        Link { issuer: path.issuing(), serial: path.agent().decoded().serial() },
        Link { issuer: path.root(), serial: path.issuing().decoded().serial() },
    ]
}

impl KnownLists {
    /// Checks that `lists` may follow what is known; otherwise why not, what is known, and what is offered in its place.
    pub(super) fn allow<'a>(
        &'a self,
        lists: &'a PathLists,
        path: &AgentPath,
    ) -> Result<(), (Contradiction, &'a RevocationList, &'a RevocationList)> {
        links(path).iter().zip([lists.issuing(), lists.root()]).try_for_each(|(link, list)| {
            let Some(known) = self.0.get(&link.key()).and_then(|known| known.list.as_ref()) else {
                return Ok(());
            };
            list.may_follow(known, &link.serial).map_err(|error| (error, known, list))
        })
    }

    /// Remembers accepted lists.
    pub(super) fn accept(&mut self, lists: &PathLists, path: &AgentPath) {
        for (link, list) in links(path).iter().zip([lists.issuing(), lists.root()]) {
            self.of(link).list = Some(list.clone());
        }
    }

    /// Takes up what `state` holds of the issuers of `path`, each once. True if that is more than was known.
    pub(super) fn recall(&mut self, state: &StateDir, path: &AgentPath) -> Result<bool, Refusal> {
        let mut more = false;
        for link in links(path) {
            if self.0.get(&link.key()).is_some_and(|known| known.recalled) {
                continue;
            }
            let kept = state.list(&link.key());
            let kept = kept.map_err(|error| Refusal::new(DenialReason::JournalUnavailable, error))?;
            // It was in order when it was kept. What it said is not known now, and might be a revocation.
            let kept = kept.map(|der| link.verify(&der)).transpose().map_err(|error| {
                let what = format!("a list kept in the state directory is damaged: {error}");
                Refusal::new(DenialReason::RevocationInvalid, what)
            })?;
            let known = self.of(&link);
            known.recalled = true;
            // What this process accepted before there was a state directory must not be older than what was kept.
            let newer = |kept: &RevocationList| {
                known.list.as_ref().is_none_or(|held| held.may_follow(kept, &link.serial).is_err())
            };
            if kept.as_ref().is_some_and(newer) {
                known.list = kept;
                more = true;
            }
        }
        Ok(more)
    }

    /// Another state directory may hold something else.
    pub(super) fn forget_recalls(&mut self) {
        for known in self.0.values_mut() {
            known.recalled = false;
        }
    }

    fn of(&mut self, link: &Link<'_>) -> &mut Known {
        self.0.entry(link.key()).or_insert(Known { list: None, recalled: false })
    }
}

/// Keeps accepted lists in `state` for later processes.
pub(super) fn keep(state: &StateDir, lock: &Locked, lists: &PathLists, path: &AgentPath) -> io::Result<()> {
    for (link, list) in links(path).iter().zip([lists.issuing(), lists.root()]) {
        // Never lower: another process may have kept a newer one meanwhile, of the same second even.
        let kept = state.list(&link.key())?.and_then(|der| link.verify(&der).ok());
        let due = kept.is_none_or(|kept| {
            kept.digest() != list.digest() && list.may_follow(&kept, &link.serial).is_ok()
        });
        if due {
            state.keep_list(lock, &link.key(), list.der())?;
        }
    }
    Ok(())
}
