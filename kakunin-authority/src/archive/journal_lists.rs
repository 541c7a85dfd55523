//! The lists in the archives of journals, which agents write and may write to the owner's harm.
//!
//! A name in the bucket is taken once and for years, and it is that of the TBSCertList alone. So of our own authorities only
//! what they signed is taken, or whoever changes a signature first would keep the genuine list out. A file that is
//! none, or longer than any list, is named and not waited for.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use der::pem;
use kakunin_core::certificate::{CaCertificate, CaRole};
use kakunin_core::digest::Digest;
use kakunin_core::revocation::UnverifiedList;
use rustix::fs::OFlags;

use super::collect::CollectError;
use crate::files;

/// The lists of one journal, in the order of their names.
pub(super) struct ListsOf {
    paths: std::vec::IntoIter<PathBuf>,
}

impl ListsOf {
    /// Names the lists; none is read yet. A journal that does not exist has none.
    pub(super) fn journal(journal: &Path) -> Result<Self, CollectError> {
        let folder = journal.join("archive");
        let mut paths = Vec::new();
        if folder.exists() {
            let fail = |why| CollectError::Journal { path: folder.clone(), why };
            for entry in fs::read_dir(&folder).map_err(fail)? {
                let path = entry.map_err(fail)?.path();
                if path.extension().is_some_and(|ending| ending == "crl") {
                    paths.push(path);
                }
            }
        }
        paths.sort_unstable();
        Ok(Self { paths: paths.into_iter() })
    }

    /// The next list and its name, if it is one that may be kept; what could not be read.
    pub(super) fn next(
        &mut self,
        issuers: &[CaCertificate],
    ) -> Option<Result<(Vec<u8>, Digest), CollectError>> {
        loop {
            let path = self.paths.next()?;
            match read(&path) {
                Err(why) => return Some(Err(CollectError::Journal { path, why })),
                // What is no list is not kept for years on an agent's word, nor is one that names us for nothing.
                Ok(der) => match judge(&der, issuers) {
                    Some(digest) => return Some(Ok((der, digest))),
                    None => continue,
                },
            }
        }
    }
}

fn judge(der: &[u8], issuers: &[CaCertificate]) -> Option<Digest> {
    let list = UnverifiedList::decode(der).ok()?;
    let digest = list.digest();
    let ours = issuers.iter().map(CaCertificate::list_issuer).filter(|issuer| list.names(issuer));
    let ours: Vec<_> = ours.collect();
    let signed = |issuer| UnverifiedList::decode(der).is_ok_and(|list| list.verify(issuer).is_ok());
    (ours.is_empty() || ours.iter().any(signed)).then_some(digest)
}

/// Reads a regular file, without waiting for a pipe and no further than a list may go.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY).bits()).unwrap_or(0);
    // Opening a device can do things by itself, so its kind is asked for before and, of what was opened, after.
    let regular = |data: &fs::Metadata| match data.is_file() {
        true => Ok(()),
        false => Err(io::Error::other("it is no regular file")),
    };
    regular(&fs::symlink_metadata(path)?)?;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    regular(&file.metadata()?)?;
    let mut bytes = Vec::new();
    match file.take(MOST_OCTETS + 1).read_to_end(&mut bytes)? as u64 {
        0..=MOST_OCTETS => Ok(bytes),
        _ => Err(io::Error::other("it is longer than any list")),
    }
}

/// The authorities whose certificates are in `files`; of a file that is not there, none.
pub(super) fn issuers(paths: &[PathBuf]) -> Result<Vec<CaCertificate>, CollectError> {
    let mut issuers = Vec::new();
    for path in paths.iter().filter(|path| path.exists()) {
        let wrong = || CollectError::Issuer { path: path.clone() };
        let text = String::from_utf8(files::read(path)?).map_err(|_| wrong())?;
        for block in text.split_inclusive("-----END CERTIFICATE-----\n").filter(|it| !it.trim().is_empty()) {
            let (_, der) = pem::decode_vec(block.as_bytes()).map_err(|_| wrong())?;
            let read = |role| CaCertificate::decode(&der, role);
            issuers.push(read(CaRole::Issuing).or_else(|_| read(CaRole::Root)).map_err(|_| wrong())?);
        }
    }
    Ok(issuers)
}

/// As much as a guard or a verifier reads of a list.
const MOST_OCTETS: u64 = 64 << 20;
