//! A witness: remembers the largest checkpoint of each log, and cosigns only what continues it (C2SP tlog-witness).
//!
//! ```text
//! STATE   <SHA-256 of the origin, hex>/checkpoint      the last one cosigned, with the log's line and ours     lock
//! ```
//!
//! Takes in a checkpoint and a consistency proof, gives out the checkpoint with one line more. What it cosigned is on the
//! disk before anybody gets it, so no crash makes it cosign a fork. The first checkpoint of a log is taken as it comes:
//! from then on there is one history.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::checkpoint::OpenedCheckpoint;
use super::cosign::WitnessKey;
use super::disk::{Disk, read_if_there};
use super::error::LogError;
use super::note::SignedNote;
use super::reader::{LogReader, read_note, witnessed_path};
use super::vkey::VerifierKey;
use crate::digest::Digest;
use crate::key::SignError;
use crate::modes;
use crate::time::UnixTime;
use crate::tree::{ConsistencyProof, Inconsistent, root};

/// A witness with its memory, for this process alone.
#[derive(Debug)]
pub struct Witness {
    key: WitnessKey,
    disk: Disk,
    // Held, never read: the kernel releases it with the process.
    _lock: File,
}

impl Witness {
    /// Opens the memory in `folder`, or begins one.
    ///
    /// # Errors
    /// [`WitnessError`] when another process has it, or the folder cannot be used.
    pub fn open(folder: &Path, key: WitnessKey) -> Result<Self, WitnessError> {
        fs::create_dir_all(folder).map_err(LogError::io(folder))?;
        let path = folder.join("lock");
        let mut options = OpenOptions::new();
        let lock =
            options.write(true).create(true).truncate(false).open(&path).map_err(LogError::io(&path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { key, disk: Disk::at(folder), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(WitnessError::Busy { path: folder.to_owned() }),
            Err(TryLockError::Error(source)) => Err(LogError::Io { path, source }.into()),
        }
    }

    /// What its cosignatures are checked with.
    #[must_use]
    pub const fn verifier(&self) -> &VerifierKey {
        self.key.verifier()
    }

    /// The checkpoint of `log` that it cosigned last.
    ///
    /// # Errors
    /// [`WitnessError`] when its memory cannot be read, or is not what it wrote.
    pub fn last(&self, log: &VerifierKey) -> Result<Option<OpenedCheckpoint>, WitnessError> {
        let name = memory_of(log);
        let kept = read_if_there(&self.disk.path(&name)).map_err(LogError::io(&self.disk.path(&name)))?;
        let kept = kept.map(|octets| self.own(&name, &octets, log)).transpose()?;
        // A commit that a crash interrupted was not answered, but whoever reads this folder may have seen it.
        let Some(octets) = self.disk.interrupted(&name)? else { return Ok(kept) };
        let next = self.own(&name, &octets, log).ok();
        match next.filter(|next| kept.as_ref().is_none_or(|kept| kept.size() <= next.size())) {
            Some(next) => {
                self.disk.finish_commit(&name)?;
                Ok(Some(next))
            }
            None => {
                self.disk.drop_commit(&name)?;
                Ok(kept)
            }
        }
    }

    /// Cosigns `note` at the time `now`, if it is a checkpoint of `log` and `proof` shows that it continues the one
    /// cosigned last. A checkpoint that it cosigned before is answered as it was.
    ///
    /// # Errors
    /// [`WitnessError::Refused`] when the log is set back or forked, or nothing shows that it is not; otherwise what
    /// stood in the way of judging.
    pub fn see(
        &mut self,
        log: &VerifierKey,
        note: &SignedNote,
        proof: &ConsistencyProof,
        now: UnixTime,
    ) -> Result<OpenedCheckpoint, WitnessError> {
        let seen = note.open(log).map_err(Refusal::Note)?;
        let last = self.last(log)?;
        let size = last.as_ref().map_or(0, OpenedCheckpoint::size);
        let earlier = last.as_ref().map_or_else(|| root([]), |last| *last.root());
        if seen.size() < size {
            return Err(Refusal::SetBack { size: seen.size(), seen: size }.into());
        }
        if (proof.from, proof.to) != (size, seen.size()) {
            return Err(Refusal::OtherSizes { from: size, to: seen.size() }.into());
        }
        match proof.verify(earlier, *seen.root()) {
            Ok(()) => {}
            // At one size two roots are two logs, whatever the proof says.
            Err(Inconsistent::Later) if size == seen.size() && proof.path.is_empty() => {
                return Err(Refusal::Forked { size, earlier, now: *seen.root() }.into());
            }
            Err(error) => return Err(Refusal::NotProven(error).into()),
        }
        if seen.size() == 0 && *seen.root() != root([]) {
            return Err(Refusal::NotProven(Inconsistent::Later).into());
        }
        match last {
            Some(last) if last.size() == seen.size() => return Ok(last),
            Some(last) => {
                let before = last.cosigned_by(self.verifier());
                if let Some(before) = before.filter(|before| *before > now) {
                    return Err(WitnessError::ClockBehind { now, before });
                }
            }
            None => {}
        }
        let cosigned = self.key.cosign(&seen, now)?;
        self.disk.commit(&memory_of(log), cosigned.to_string().as_bytes())?;
        Ok(cosigned.open(log).map_err(Refusal::Note)?)
    }

    /// Looks at a log whose tiles are here: makes the proof from them, and cosigns.
    ///
    /// # Errors
    /// As [`Witness::see`]; tiles that do not belong to the checkpoint are no refusal, they show nothing.
    pub fn look(&mut self, log: &mut LogReader, now: UnixTime) -> Result<OpenedCheckpoint, WitnessError> {
        let (key, note) = (log.checkpoint().log().clone(), log.checkpoint().note().clone());
        let (seen, size) = (self.last(&key)?, log.size());
        let from = seen.as_ref().map_or(0, OpenedCheckpoint::size);
        if from > size {
            return Err(Refusal::SetBack { size, seen: from }.into());
        }
        if let Some(seen) = seen {
            // The tiles are proven to be those of the checkpoint, so another root is another history.
            let now = log.root_at(from)?;
            if now != *seen.root() {
                return Err(Refusal::Forked { size: from, earlier: *seen.root(), now }.into());
            }
        }
        let proof = log.consistency(from, size)?;
        self.see(&key, &note, &proof, now)
    }

    /// The disk, for tests that break it.
    #[cfg(test)]
    pub(super) const fn disk(&self) -> &Disk {
        &self.disk
    }

    /// What the memory says, if this witness wrote it.
    fn own(&self, name: &str, octets: &[u8], log: &VerifierKey) -> Result<OpenedCheckpoint, WitnessError> {
        let path = self.disk.path(name);
        let opened = read_note(&path, octets, log)?;
        match opened.cosigned_by(self.verifier()) {
            Some(_) => Ok(opened),
            None => Err(WitnessError::NotOurs { path }),
        }
    }
}

/// Puts a cosigned checkpoint beside the log in `folder`, with the lines of other witnesses that lie there already.
///
/// # Errors
/// [`LogError`] when it cannot be written, or another checkpoint of this size lies there.
pub fn keep_witnessed(folder: &Path, seen: &OpenedCheckpoint) -> Result<PathBuf, LogError> {
    let disk = Disk::at(folder);
    let path = witnessed_path(folder, seen.size());
    let inside = path.parent().unwrap_or(folder);
    fs::create_dir_all(inside).map_err(LogError::io(inside))?;
    // The log's owner makes these folders, and chooses no others for us by a link.
    modes::refuse_link(inside).map_err(LogError::io(inside))?;
    let _lock = lock_folder(inside)?;
    let mut note = seen.note().clone();
    if let Some(octets) = read_if_there(&path).map_err(LogError::io(&path))? {
        let there = read_note(&path, &octets, seen.log())?;
        let what = "it is another checkpoint than the one that was just seen";
        note = there.note().joined(&note).ok_or(LogError::Damaged { path: path.clone(), what })?;
    }
    disk.commit(&format!("{}/{}", super::reader::WITNESSED, seen.size()), note.to_string().as_bytes())?;
    Ok(path)
}

/// Two witnesses at once would lose one another's line. The kernel lets a folder be locked as well; whoever never gives it
/// up is not waited for.
fn lock_folder(folder: &Path) -> Result<File, LogError> {
    let lock = File::open(folder).map_err(LogError::io(folder))?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(TryLockError::WouldBlock) => return Err(LogError::Busy { path: folder.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(LogError::io(folder)(source)),
        }
    }
}

/// Another witness writes one note.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the memory of a log lies.
fn memory_of(log: &VerifierKey) -> String {
    format!("{}/checkpoint", Digest::of(log.name().as_bytes()))
}

/// What a witness refuses to cosign.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The checkpoint is not the log's.
    #[error(transparent)]
    Note(super::note::NoteError),
    /// The log has become shorter.
    #[error("the log has {size} entries and had {seen}: it was set back")]
    SetBack {
        /// How many it has.
        size: u64,
        /// How many it had.
        seen: u64,
    },
    /// The log has another history.
    #[error("the log was forked: at {size} entries its root was {earlier} and is now {now}")]
    Forked {
        /// The size that was cosigned.
        size: u64,
        /// The root that was cosigned.
        earlier: Digest,
        /// The root of as many entries now.
        now: Digest,
    },
    /// The proof is about other sizes.
    #[error("the proof must lead from {from} to {to} entries")]
    OtherSizes {
        /// What was cosigned last.
        from: u64,
        /// What is to be cosigned.
        to: u64,
    },
    /// The proof proves nothing.
    #[error("nothing shows that the log continues what was seen: {0}")]
    NotProven(Inconsistent),
}

/// A witness that did not cosign.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WitnessError {
    /// It will not.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Another process has its memory.
    #[error("another process is the witness of `{}`; wait for it to end", path.display())]
    Busy {
        /// The folder.
        path: PathBuf,
    },
    /// Its memory carries no cosignature of its key.
    #[error("`{}` is not what this witness wrote; restore it, and never start anew for a log that others rely on", path.display())]
    NotOurs {
        /// The file.
        path: PathBuf,
    },
    /// Its clock stands before its last cosignature.
    #[error("the clock says {now}, and the last cosignature is of {before}; set the clock right")]
    ClockBehind {
        /// What the clock says.
        now: UnixTime,
        /// When it cosigned last.
        before: UnixTime,
    },
    /// The log, or the witness's own memory.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Its key does not sign.
    #[error("the witness's key: {0}")]
    Sign(#[from] SignError),
}
