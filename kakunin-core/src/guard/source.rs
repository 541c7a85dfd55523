//! Where a guard's papers and lists come from: a directory that is watched, or memory.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::bell::{Bell, Bells};
use crate::home::{AgentHome, FileVersion, HomeError, Papers};
use crate::key::SoftKey;

/// An agent whose papers and lists are handed over by code.
#[derive(Debug)]
pub struct MemorySource {
    version: AtomicU64,
    papers: Mutex<Papers>,
    lists: Mutex<Vec<u8>>,
    key_pkcs8: zeroize::Zeroizing<Vec<u8>>,
    bells: Bells,
}

impl MemorySource {
    /// Holds papers, PEM lists and the PKCS#8 key.
    #[must_use]
    pub fn new(papers: Papers, lists: Vec<u8>, key_pkcs8: zeroize::Zeroizing<Vec<u8>>) -> Self {
        let (papers, lists) = (Mutex::new(papers), Mutex::new(lists));
        Self { version: AtomicU64::new(1), papers, lists, key_pkcs8, bells: Bells::default() }
    }

    /// Replaces the lists; guards look at once.
    pub fn publish(&self, lists: Vec<u8>) {
        *self.lists.lock().unwrap_or_else(PoisonError::into_inner) = lists;
        self.version.fetch_add(1, Ordering::Release);
        self.bells.ring();
    }

    /// Replaces the papers; guards look at once.
    pub fn renew(&self, papers: Papers) {
        *self.papers.lock().unwrap_or_else(PoisonError::into_inner) = papers;
        self.version.fetch_add(1, Ordering::Release);
        self.bells.ring();
    }
}

/// Either of the two.
#[derive(Debug)]
pub(super) enum Source {
    Directory(AgentHome),
    Memory(std::sync::Arc<MemorySource>),
}

/// Which version of papers and lists a guard has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Versions {
    pub(super) papers: Version,
    pub(super) lists: Version,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    File(FileVersion),
    Memory(u64),
}

impl Source {
    /// Wakes `bell` when something is handed over. A directory is only looked at.
    pub(super) fn ring(&self, bell: &Arc<Bell>) {
        if let Self::Memory(memory) = self {
            memory.bells.add(bell);
        }
    }

    pub(super) fn versions(&self) -> Versions {
        match self {
            Self::Directory(home) => Versions {
                papers: Version::File(home.certificate_version()),
                lists: Version::File(FileVersion::of(home.lists_path())),
            },
            Self::Memory(memory) => {
                let version = Version::Memory(memory.version.load(Ordering::Acquire));
                Versions { papers: version, lists: version }
            }
        }
    }

    pub(super) fn papers(&self) -> Result<Papers, HomeError> {
        match self {
            Self::Directory(home) => home.papers(),
            Self::Memory(memory) => Ok(memory.papers.lock().unwrap_or_else(PoisonError::into_inner).clone()),
        }
    }

    /// The PEM lists; an error is its text, for the operator.
    pub(super) fn lists(&self) -> Result<Vec<u8>, String> {
        match self {
            Self::Directory(home) => home.lists().map_err(|error| error.to_string()),
            Self::Memory(memory) => Ok(memory.lists.lock().unwrap_or_else(PoisonError::into_inner).clone()),
        }
    }

    pub(super) fn key(&self) -> Result<SoftKey, HomeError> {
        match self {
            Self::Directory(home) => home.key(),
            Self::Memory(memory) => SoftKey::from_pkcs8(&memory.key_pkcs8)
                .map_err(|error| HomeError::Key { path: "memory".into(), error }),
        }
    }
}
