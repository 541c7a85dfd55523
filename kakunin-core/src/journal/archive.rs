//! Certificates and lists by their hash, so that a journal can be verified with nothing else but a root.
//!
//! A certificate's name is the SHA-256 of its DER (as `x5t#S256`), a list's that of its TBSCertList (as `crl.h`).
//! What was erased is there by its commitments, under the root that the receipt of the erasure states (WIRE 4.2).
//! What has a name is never written again; a file appears whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::digest::Digest;
use crate::feed::MAX_ITEM;
use crate::file;
use crate::modes;
use crate::tree;

/// The folder `archive` of a journal.
#[derive(Clone, Debug)]
pub struct Archive {
    dir: PathBuf,
}

impl Archive {
    /// The archive of the journal at `journal`; nothing is made or read yet.
    #[must_use]
    pub fn of(journal: &Path) -> Self {
        Self { dir: journal.join("archive") }
    }

    /// Keeps a certificate; gives its SHA-256.
    ///
    /// # Errors
    /// [`ArchiveError`] when it cannot be written.
    pub fn keep_certificate(&self, der: &[u8]) -> Result<Digest, ArchiveError> {
        let name = Digest::of(der);
        self.keep(&name, "cert", der)?;
        Ok(name)
    }

    /// Keeps a revocation list under the SHA-256 of its TBSCertList.
    ///
    /// # Errors
    /// [`ArchiveError`] when it cannot be written.
    pub fn keep_list(&self, tbs: &Digest, der: &[u8]) -> Result<(), ArchiveError> {
        self.keep(tbs, "crl", der)
    }

    /// Keeps an item of a feed under the SHA-256 of its signing input.
    ///
    /// # Errors
    /// [`ArchiveError`] when it cannot be written.
    pub fn keep_item(&self, name: &Digest, line: &str) -> Result<(), ArchiveError> {
        self.keep(name, ITEM, line.as_bytes())
    }

    /// The names of the items of feeds kept here, ascending.
    pub(crate) fn items(&self) -> Vec<Digest> {
        self.named(ITEM)
    }

    /// The line kept under `name`; the caller checks that its signing input has that hash.
    pub(crate) fn item(&self, name: &Digest) -> Option<String> {
        String::from_utf8(self.read(name, ITEM).ok()?).ok()
    }

    /// The certificate whose SHA-256 is `name`; `None` if it is not here or its bytes are others.
    #[must_use]
    pub fn certificate(&self, name: &Digest) -> Option<Vec<u8>> {
        self.read(name, "cert").ok().filter(|der| Digest::of(der) == *name)
    }

    /// The list kept under `tbs`; the caller checks that its TBSCertList has that hash.
    #[must_use]
    pub fn list(&self, tbs: &Digest) -> Option<Vec<u8>> {
        self.read(tbs, "crl").ok()
    }

    /// Every certificate kept here, in the order of their names.
    #[must_use]
    pub fn certificates(&self) -> Vec<Vec<u8>> {
        self.names().0.iter().filter_map(|name| self.certificate(name)).collect()
    }

    /// Keeps what an erasure erases: the commitments, strictly ascending. Gives the RFC 6962 root over them, which is the
    /// name they are kept under and what the receipt of the erasure states.
    ///
    /// # Errors
    /// [`ArchiveError`] when they cannot be written.
    pub(super) fn keep_erased(&self, commitments: &[Digest]) -> Result<Digest, ArchiveError> {
        let root = erased_root(commitments);
        let octets: Vec<u8> = commitments.iter().flat_map(Digest::as_bytes).copied().collect();
        self.keep(&root, ERASED, &octets)?;
        Ok(root)
    }

    /// Takes away what was kept for an erasure that never was.
    pub(super) fn forget_erased(&self, root: &Digest) -> io::Result<()> {
        match fs::remove_file(self.path(root, ERASED)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Err(_) => Ok(()),
            Ok(()) => File::open(&self.dir)?.sync_all(),
        }
    }

    /// The names of what erasures erased, ascending.
    pub(crate) fn erasures(&self) -> Vec<Digest> {
        self.named(ERASED)
    }

    /// The names of what is kept with the ending `kind`, ascending.
    fn named(&self, kind: &str) -> Vec<Digest> {
        let Ok(entries) = fs::read_dir(&self.dir) else { return Vec::new() };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut named: Vec<Digest> = names
            .filter_map(|name| match name.split_once('.') {
                Some((name, ending)) if ending == kind => Digest::from_hex(name),
                _ => None,
            })
            .collect();
        named.sort_unstable();
        named
    }

    /// The commitments kept under `root`, strictly ascending; `None` if they are not here or are others.
    pub(crate) fn erased(&self, root: &Digest) -> Option<Vec<Digest>> {
        let octets = self.read(root, ERASED).ok()?;
        let (commitments, rest) = octets.as_chunks::<32>();
        let commitments: Vec<Digest> = commitments.iter().copied().map(Digest::from_bytes).collect();
        let ascends = commitments.iter().zip(commitments.iter().skip(1)).all(|(one, next)| one < next);
        (rest.is_empty() && ascends && erased_root(&commitments) == *root).then_some(commitments)
    }

    /// The names of the certificates and of the lists kept here, each ascending.
    pub(crate) fn names(&self) -> (Vec<Digest>, Vec<Digest>) {
        let (mut certificates, mut lists) = (Vec::new(), Vec::new());
        let Ok(entries) = fs::read_dir(&self.dir) else { return (certificates, lists) };
        for name in entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()) {
            // What a killed process left half written has another ending.
            match name.split_once('.').and_then(|(name, kind)| Some((Digest::from_hex(name)?, kind))) {
                Some((name, "cert")) => certificates.push(name),
                Some((name, "crl")) => lists.push(name),
                _ => {}
            }
        }
        certificates.sort_unstable();
        lists.sort_unstable();
        (certificates, lists)
    }

    /// A file with the ending of a certificate or list and a name that is no hash.
    pub(crate) fn has_strangers(&self) -> bool {
        let Ok(entries) = fs::read_dir(&self.dir) else { return false };
        let mut names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        names.any(|name| match name.split_once('.') {
            Some((name, "cert" | "crl" | ITEM)) => Digest::from_hex(name).is_none(),
            _ => false,
        })
    }

    fn path(&self, name: &Digest, kind: &str) -> PathBuf {
        self.dir.join(format!("{name}.{kind}"))
    }

    fn read(&self, name: &Digest, kind: &str) -> io::Result<Vec<u8>> {
        let most = match kind {
            ERASED => MOST_OCTETS_ERASED,
            ITEM => MAX_ITEM as u64,
            _ => MOST_OCTETS,
        };
        file::read(&self.path(name, kind), most)
    }

    fn keep(&self, name: &Digest, kind: &str, bytes: &[u8]) -> Result<(), ArchiveError> {
        let path = self.path(name, kind);
        if self.read(name, kind).is_ok_and(|kept| kept == bytes) {
            return Ok(());
        }
        self.write(&path, bytes).map_err(|source| ArchiveError { path, source })
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        modes::make_folders(&self.dir)?;
        modes::refuse_link(&self.dir)?;
        // Two processes of one agent may keep the same list at once, and two threads of a gateway the same caller: each time it is
        // a temporary file of its own.
        let (process, turn) = (std::process::id(), TURNS.fetch_add(1, Ordering::Relaxed));
        let temporary = path.with_extension(format!("{process}-{turn}.tmp"));
        let mut file = modes::make_file(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(&self.dir)?.sync_all()
    }
}

/// What the receipt of an erasure states of `commitments`, which ascend.
pub(crate) fn erased_root(commitments: &[Digest]) -> Digest {
    tree::root(commitments.iter().map(|commitment| &commitment.as_bytes()[..]))
}

/// Values that one receipt says were erased; of more, several say it.
pub(crate) const MOST_ERASED: usize = 16_384;
const MOST_OCTETS_ERASED: u64 = 32 * MOST_ERASED as u64;

/// What a list may have at most, wherever one is read.
const MOST_OCTETS: u64 = 64 << 20;

/// How many temporary files this process has begun.
static TURNS: AtomicU64 = AtomicU64::new(0);
const ERASED: &str = "erased";
const ITEM: &str = "item";

/// A certificate, a list or an erasure that could not be kept.
#[derive(Debug, thiserror::Error)]
#[error("cannot write `{}`: {source}", path.display())]
pub struct ArchiveError {
    path: PathBuf,
    source: io::Error,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_found_by_hash_and_damage_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let archive = Archive::of(dir.path());
        let name = archive.keep_certificate(b"certificate").unwrap();
        assert_eq!(archive.keep_certificate(b"certificate").unwrap(), name);
        assert_eq!(archive.certificate(&name).as_deref(), Some(&b"certificate"[..]));
        assert_eq!(archive.certificates(), [b"certificate"]);
        fs::write(archive.path(&name, "cert"), b"other").unwrap();
        assert_eq!(archive.certificate(&name), None);
        archive.keep_list(&name, b"list").unwrap();
        assert_eq!(archive.list(&name).as_deref(), Some(&b"list"[..]));
        let left = fs::read_dir(dir.path().join("archive")).unwrap().count();
        assert_eq!(left, 2, "no temporary file stays");
    }

    #[test]
    fn threads_that_keep_one_thing_at_once_all_keep_it() {
        let dir = tempfile::tempdir().unwrap();
        let archive = Archive::of(dir.path());
        for round in 0..20_u8 {
            let together = std::sync::Barrier::new(8);
            std::thread::scope(|threads| {
                for _ in 0..8 {
                    threads.spawn(|| {
                        together.wait();
                        archive.keep_certificate(&[round; 9]).unwrap();
                    });
                }
            });
        }
        let left = fs::read_dir(dir.path().join("archive")).unwrap().count();
        assert_eq!(left, 20, "no temporary file stays");
    }

    #[test]
    fn what_is_no_regular_file_or_too_long_is_not_read_and_nothing_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let archive = Archive::of(dir.path());
        let name = archive.keep_certificate(b"certificate").unwrap();
        for kind in ["cert", "crl", ERASED] {
            let path = archive.path(&name, kind);
            let _ = fs::remove_file(&path);
            rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).unwrap();
        }
        assert_eq!(
            (archive.certificate(&name), archive.list(&name), archive.erased(&name)),
            (None, None, None)
        );
        for kind in ["cert", "crl", ERASED] {
            let path = archive.path(&name, kind);
            fs::remove_file(&path).unwrap();
            File::create(&path).unwrap().set_len(1 << 40).unwrap();
        }
        assert_eq!(
            (archive.certificate(&name), archive.list(&name), archive.erased(&name)),
            (None, None, None)
        );
        // What is in the way is replaced, not read.
        assert_eq!(archive.keep_certificate(b"certificate").unwrap(), name);
        assert_eq!(archive.certificate(&name).as_deref(), Some(&b"certificate"[..]));
    }
}
