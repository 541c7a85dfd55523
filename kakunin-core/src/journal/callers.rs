//! The callers of a gateway whose certificates are in the archive already.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use super::archive::{Archive, ArchiveError};
use crate::certificate::AgentPath;
use crate::digest::Digest;
use crate::receipt::Caller;

/// Whom this process archived, so that one caller costs the disk once and not with each of its calls.
#[derive(Debug, Default)]
pub(super) struct Callers(Mutex<HashSet<Digest>>);

impl Callers {
    /// Keeps the certificates of `path` in `archive`, all but the root's: that is never taken from an archive.
    pub(super) fn keep(
        &self,
        caller: &Caller,
        path: &AgentPath,
        archive: &Archive,
    ) -> Result<(), ArchiveError> {
        // Only names of what is whole on the disk are in it, so a panic leaves nothing wrong.
        if self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&caller.certificate) {
            return Ok(());
        }
        // Not under the lock: this waits for the disk, and two callers that come at once may both write.
        archive.keep_certificate(path.issuing().decoded().der())?;
        archive.keep_certificate(path.agent().decoded().der())?;
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MOST {
            kept.clear();
        }
        kept.insert(caller.certificate);
        Ok(())
    }
}

/// 2 MiB of names. Who comes after them is looked up on the disk again.
const MOST: usize = 65_536;
