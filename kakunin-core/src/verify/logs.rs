//! Logs that the sources show, opened with the caller's keys: which receipts they hold, and since when at the latest.
//!
//! A log whose key the caller did not give says nothing. Of the others every checkpoint is signed, each continues the one
//! before, and so the time at which witnesses of the caller's policy saw an earlier one holds for every entry it covers.

use std::sync::Arc;

use super::report::{Invalid, Place};
use super::source::{Logged, ShownLog};
use super::verification::Verification;
use crate::digest::Digest;
use crate::log::{NoteError, OpenedCheckpoint, SignedNote, VerifierKey, WitnessPolicy};
use crate::receipt::Anchor;
use crate::time::UnixTime;

/// What is known of one log.
#[derive(Debug)]
pub(super) struct KnownLog {
    key: VerifierKey,
    /// SHA-256 of the key's text, as streams name a log of their own.
    pub(super) name: Digest,
    /// Whether the caller believes the log itself, witnesses or none.
    believed: bool,
    pub(super) root: Digest,
    pub(super) size: u64,
    /// Sizes, ascending, with the time at which each was witnessed; times ascend too.
    witnessed: Vec<(u64, UnixTime)>,
    /// Every checkpoint shown.
    heads: Vec<(u64, Digest)>,
    /// All of it, for who wants to show it.
    pub(super) opened: Arc<OpenedLog>,
}

/// A log as it was opened with a key of the caller, for who wants to show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenedLog {
    /// The key.
    pub key: VerifierKey,
    /// Whether the caller believes that this log shows everybody the same, witnesses or none.
    pub believed: bool,
    /// Its checkpoints, ascending; each continues the one before.
    pub checkpoints: Vec<SeenCheckpoint>,
}

/// A checkpoint of a log, and who saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenCheckpoint {
    /// The note, with the cosignatures it carries.
    pub note: SignedNote,
    /// How many entries the log had.
    pub size: u64,
    /// The root over them.
    pub root: Digest,
    /// When enough witnesses of a policy of the caller had seen it.
    pub witnessed: Option<UnixTime>,
    /// The witnesses of the caller's policies that cosigned it, and when each says so.
    pub witnesses: Vec<(String, UnixTime)>,
}

impl OpenedLog {
    /// The first witnessed checkpoint that covers the entry at `index`: what bounds its time.
    #[must_use]
    pub fn witnessed_at(&self, index: u64) -> Option<&SeenCheckpoint> {
        let covering = self.checkpoints.iter().filter(|checkpoint| checkpoint.size > index);
        covering.filter(|checkpoint| checkpoint.witnessed.is_some()).min_by_key(|seen| seen.witnessed)
    }

    /// The last checkpoint, to whose root the paths lead.
    #[must_use]
    pub fn head(&self) -> Option<&SeenCheckpoint> {
        self.checkpoints.last()
    }
}

/// What the logs say about one receipt.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sight {
    /// Whether a known log holds it.
    pub(super) logged: bool,
    /// The time at which a witness saw a log that holds it.
    pub(super) not_after: Option<UnixTime>,
    /// Whether this is enough to believe that a stream ends here.
    pub(super) settles: bool,
}

/// The log that the agent of a stream runs itself: its word about the end is its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum OwnLog {
    /// No proven opening said so far whether it runs one, so it may be any.
    #[default]
    Unknown,
    /// This one, or none.
    Said(Option<Digest>),
}

impl OwnLog {
    /// Whether the log `name` is somebody else's.
    fn is_other_than(&self, name: &Digest) -> bool {
        matches!(self, Self::Said(own) if own.as_ref() != Some(name))
    }
}

/// The logs of one source, in its order.
#[derive(Debug, Default)]
pub(super) struct KnownLogs {
    logs: Vec<Option<KnownLog>>,
}

impl KnownLogs {
    /// Opens what a source shows by the caller's keys.
    ///
    /// # Errors
    /// What is wrong with a log whose key was given.
    pub(super) fn open(shown: &[ShownLog], terms: &Verification<'_>) -> Result<Self, Invalid> {
        let logs: Result<Vec<_>, _> = shown.iter().map(|log| open(log, terms)).collect();
        let known = Self { logs: logs? };
        match known.twice() {
            Some(code) => Err(Invalid { code, place: Place::Evidence }),
            None => Ok(known),
        }
    }

    /// What is wrong where one log is shown twice: nothing joins the two, so each may be another past.
    fn twice(&self) -> Option<&'static str> {
        let pairs = || {
            let each = self.iter().enumerate();
            each.flat_map(|(place, log)| self.iter().skip(place + 1).map(move |other| (log, other)))
        };
        if pairs().any(|(log, other)| log.contradicts(other)) {
            return Some("log.fork");
        }
        pairs().any(|(log, other)| log.key == other.key).then_some("log.consistency")
    }

    pub(super) fn get(&self, log: usize) -> Option<&KnownLog> {
        self.logs.get(log)?.as_ref()
    }

    fn iter(&self) -> impl Iterator<Item = &KnownLog> {
        self.logs.iter().flatten()
    }

    /// Whether one log has two pasts here and in `other`.
    pub(super) fn contradict(&self, other: &Self) -> bool {
        self.iter().any(|log| other.iter().any(|its| log.contradicts(its)))
    }

    /// What they say about a receipt that lies in them at `places`, in a stream whose agent runs the log `own`.
    pub(super) fn sight(&self, places: &[Logged], own: OwnLog) -> Sight {
        let mut sight = Sight::default();
        for place in places {
            let Some(log) = self.get(place.log) else { continue };
            let seen = log.witnessed_at(place.index);
            sight.logged = true;
            sight.not_after = [sight.not_after, seen].into_iter().flatten().min();
            sight.settles |= seen.is_some() || (log.believed && own.is_other_than(&log.name));
        }
        sight
    }

    /// Whether a checkpoint that a receipt names is one of these, and of which log.
    pub(super) fn anchor(&self, anchor: &Anchor) -> Option<(Digest, u64)> {
        let named =
            |head: &(u64, Digest)| head.0 == anchor.size && head.1.as_bytes().starts_with(&anchor.root);
        let log = self.iter().find(|log| log.heads.iter().any(named))?;
        Some((log.name, anchor.size))
    }
}

impl KnownLog {
    /// When witnesses had seen the entry at `index`: the first witnessed checkpoint that covers it.
    fn witnessed_at(&self, index: u64) -> Option<UnixTime> {
        let first = self.witnessed.partition_point(|(size, _)| *size <= index);
        self.witnessed.get(first).map(|(_, time)| *time)
    }

    /// Whether `other` is the same log with another past.
    fn contradicts(&self, other: &Self) -> bool {
        let differs = |one: &(u64, Digest)| other.heads.iter().any(|head| head.0 == one.0 && head.1 != one.1);
        self.key == other.key && self.heads.iter().any(differs)
    }
}

fn open(shown: &ShownLog, terms: &Verification<'_>) -> Result<Option<KnownLog>, Invalid> {
    let wrong = |code| Invalid { code, place: Place::Evidence };
    let Some(last) = shown.checkpoints.last() else { return Ok(None) };
    let mut key = None;
    for candidate in terms.keys_of_logs() {
        match last.open(candidate) {
            Ok(_) => key = Some(candidate),
            Err(NoteError::Signature { .. }) => return Err(wrong("log.checkpoint")),
            Err(_) => {}
        }
    }
    let Some(key) = key else { return Ok(None) };
    let opened: Result<Vec<OpenedCheckpoint>, _> =
        shown.checkpoints.iter().map(|note| note.open(key)).collect();
    let opened = opened.map_err(|_| wrong("log.checkpoint"))?;
    let mut proofs = shown.consistency.iter();
    for (earlier, later) in opened.iter().zip(opened.iter().skip(1)) {
        let follows = proofs.next().is_some_and(|proof| {
            proof.from == earlier.size()
                && proof.to == later.size()
                && earlier.size() < later.size()
                && proof.verify(*earlier.root(), *later.root()).is_ok()
        });
        if !follows {
            return Err(wrong("log.consistency"));
        }
    }
    let Some(head) = opened.last().filter(|_| proofs.next().is_none()) else {
        return Err(wrong("log.consistency"));
    };
    let opened_log = OpenedLog {
        key: key.clone(),
        believed: terms.believes(key),
        checkpoints: opened.iter().map(|checkpoint| seen(checkpoint, terms)).collect(),
    };
    // A later checkpoint that was witnessed earlier covers the entries of this one too.
    let mut witnessed: Vec<(u64, UnixTime)> = Vec::new();
    for checkpoint in opened_log.checkpoints.iter().rev() {
        if let Some(time) = checkpoint.witnessed
            && witnessed.last().is_none_or(|(_, later)| time < *later)
        {
            witnessed.push((checkpoint.size, time));
        }
    }
    witnessed.reverse();
    Ok(Some(KnownLog {
        name: Digest::of(key.to_string().as_bytes()),
        believed: opened_log.believed,
        root: *head.root(),
        size: head.size(),
        witnessed,
        heads: opened.iter().map(|checkpoint| (checkpoint.size(), *checkpoint.root())).collect(),
        key: key.clone(),
        opened: Arc::new(opened_log),
    }))
}

fn seen(checkpoint: &OpenedCheckpoint, terms: &Verification<'_>) -> SeenCheckpoint {
    SeenCheckpoint {
        note: checkpoint.note().clone(),
        size: checkpoint.size(),
        root: *checkpoint.root(),
        witnessed: terms.policies().iter().filter_map(|policy| checkpoint.witnessed(policy)).min(),
        witnesses: witnesses(checkpoint, terms),
    }
}

/// The witnesses of the caller's policies that cosigned a checkpoint, each once.
fn witnesses(checkpoint: &OpenedCheckpoint, terms: &Verification<'_>) -> Vec<(String, UnixTime)> {
    let mut found: Vec<(&VerifierKey, UnixTime)> = Vec::new();
    for key in terms.policies().iter().flat_map(WitnessPolicy::witnesses) {
        if let Some(time) = checkpoint.cosigned_by(key)
            && found.iter().all(|(known, _)| *known != key)
        {
            found.push((key, time));
        }
    }
    found.into_iter().map(|(key, time)| (key.name().to_owned(), time)).collect()
}
