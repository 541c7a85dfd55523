//! What contradicts, kept for whoever has to prove it.
//!
//! ```text
//! DIR/evidence/<first 16 digits of the SHA-256 of what was offered>/  what.txt  offered.pem|jws  known.pem  known.jws  ...
//! ```
//!
//! Both sides are signed, so together they prove by themselves that one key said two things. Kept once, and up to a number: whoever
//! can make contradictions must not fill a disk.

use std::fs;
use std::path::{Path, PathBuf};

use kakunin_core::digest::Digest;
use kakunin_core::revocation::RevocationList;

use crate::files::{self, Readers};
use crate::place::{CERTIFICATE, PlaceError, to_pem};

/// Files that prove something together.
pub(crate) struct Evidence {
    files: Vec<(&'static str, Vec<u8>)>,
}

impl Evidence {
    /// Begins with what it proves, in words.
    pub(crate) fn of(what: &str) -> Self {
        Self { files: vec![("what.txt", format!("{what}\n").into_bytes())] }
    }

    pub(crate) fn add(&mut self, name: &'static str, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.files.push((name, bytes.to_vec()));
        }
    }

    pub(crate) fn add_lists<'a>(
        &mut self,
        name: &'static str,
        lists: impl IntoIterator<Item = &'a RevocationList>,
    ) {
        self.add_pem(name, "X509 CRL", lists.into_iter().map(RevocationList::der));
    }

    pub(crate) fn add_certificates<'a>(&mut self, name: &'static str, ders: impl Iterator<Item = &'a [u8]>) {
        self.add_pem(name, CERTIFICATE, ders);
    }

    fn add_pem<'a>(&mut self, name: &'static str, label: &'static str, ders: impl Iterator<Item = &'a [u8]>) {
        // What was decoded from DER has an encoding.
        let pem: String = ders.filter_map(|der| to_pem(label, der).ok()).collect();
        self.add(name, pem.as_bytes());
    }

    /// What it is called: the same that is offered again is the same.
    pub(crate) fn name(&self) -> String {
        let offered = self.files.iter().find(|(name, _)| name.starts_with("offered"));
        let digest = Digest::of(offered.map_or(&[], |(_, bytes)| bytes.as_slice()));
        digest.to_hex().chars().take(16).collect()
    }

    /// Writes it below `dir`, whose lock the caller holds; `None` if there is as much as is kept.
    pub(crate) fn keep(self, dir: &Path) -> Result<Option<PathBuf>, PlaceError> {
        let all = dir.join(FOLDER);
        let place = all.join(self.name());
        if place.join("what.txt").exists() {
            return Ok(Some(place));
        }
        if fs::read_dir(&all).is_ok_and(|entries| entries.count() >= MOST) {
            return Ok(None);
        }
        files::make_folder(&place)?;
        // The words last: where they are, everything is.
        for (name, bytes) in self.files.iter().rev() {
            files::replace(&place.join(name), bytes, Readers::Everyone)?;
        }
        Ok(Some(place))
    }
}

const FOLDER: &str = "evidence";
/// Lists can have megabytes.
const MOST: usize = 8;
