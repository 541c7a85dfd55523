//! Emptying the outbox into a bucket.
//!
//! Objects go up many at a time and in an order that never states what is not there: a checkpoint waits for everything
//! before it. What the bucket keeps is recorded, then released. A bucket that cannot be reached ends the push; one that
//! refuses an object does not, but holds back the checkpoints behind it. Whatever happens, what was not recorded stays.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use kakunin_core::time::UnixTime;

use super::bucket::{Bucket, BucketError};
use super::inventory::{InventoryError, InventoryWriter};
use super::keep::{KeepError, keep};
use super::object::{Kept, ObjectKey, Rank};
use super::outbox::{Outbox, OutboxError, Place, Waiting};
use super::retention::Retention;

/// What a push did.
#[derive(Clone, Debug, Default)]
#[must_use = "says what is not archived"]
pub struct Pushed {
    /// Objects that the bucket keeps now.
    pub kept: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Objects that it does not take, and why. They stay in the outbox.
    pub refused: Vec<Refused>,
    /// Checkpoints that wait for those.
    pub held_back: u64,
    /// Why it ended early.
    pub stopped: Option<BucketError>,
}

/// An object that was not taken.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Which.
    pub key: ObjectKey,
    /// Why, in one line.
    pub why: String,
}

/// The parts of an archive that a push needs.
pub(super) struct Push<'a> {
    pub(super) outbox: &'a Outbox,
    pub(super) inventory: InventoryWriter,
    pub(super) bucket: &'a dyn Bucket,
    pub(super) retention: Retention,
    /// Asked for each object: a push may take hours, and none may be locked for too short a time.
    pub(super) clock: &'a (dyn Fn() -> UnixTime + Sync),
    pub(super) progress: &'a mut dyn FnMut(u64, u64),
}

impl Push<'_> {
    pub(super) fn run(mut self) -> Result<Pushed, PushError> {
        let waiting = self.outbox.waiting()?;
        let total = waiting.len() as u64;
        let mut pushed = Pushed::default();
        for group in groups(&waiting) {
            let head = group.first().is_some_and(|waiting| waiting.rank == Rank::Head);
            if head && !pushed.refused.is_empty() {
                pushed.held_back += 1;
                continue;
            }
            self.store(group, total, &mut pushed)?;
            if pushed.stopped.is_some() {
                break;
            }
        }
        Ok(pushed)
    }

    /// Stores the objects of a group side by side; returns when each has an answer or nobody works on it any more.
    fn store(&mut self, group: &[Waiting], total: u64, pushed: &mut Pushed) -> Result<(), PushError> {
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let (outbox, bucket, clock, retention) = (self.outbox, self.bucket, self.clock, self.retention);
        let (sender, receiver) = mpsc::channel();
        thread::scope(|scope| {
            for _ in 0..WORKERS.min(group.len()) {
                let (sender, next, stop) = (sender.clone(), &next, &stop);
                scope.spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        let Some(waiting) = group.get(next.fetch_add(1, Ordering::Relaxed)) else { return };
                        let outcome = store_one(outbox, bucket, waiting.place, retention.until(clock()));
                        if sender.send((waiting, outcome)).is_err() {
                            return;
                        }
                    }
                });
            }
            // The workers' copies keep the channel open for as long as they run.
            drop(sender);
            let mut result = Ok(());
            while let Ok(first) = receiver.recv() {
                // Whatever else has arrived meanwhile shares one sync of the inventory.
                let answers = [first].into_iter().chain(receiver.try_iter()).collect();
                if result.is_ok() {
                    result = self.settle(answers, total, pushed);
                }
                if result.is_err() || pushed.stopped.is_some() {
                    stop.store(true, Ordering::Relaxed);
                }
            }
            result
        })
    }

    /// Records what is kept, then lets it go from the outbox.
    fn settle(
        &mut self,
        answers: Vec<(&Waiting, Result<Kept, PushError>)>,
        total: u64,
        pushed: &mut Pushed,
    ) -> Result<(), PushError> {
        let (mut kept, mut places, mut failed) = (Vec::new(), Vec::new(), None);
        for (waiting, outcome) in answers {
            let refuse = |why: String| Refused { key: waiting.key.clone(), why };
            match outcome {
                Ok(object) => {
                    kept.push(object);
                    places.push(waiting.place);
                }
                Err(PushError::Keep(KeepError::Bucket(error))) if !error.is_about_one_object() => {
                    pushed.stopped = Some(error);
                }
                Err(PushError::Keep(error)) => pushed.refused.push(refuse(error.to_string())),
                Err(PushError::Outbox(error @ OutboxError::Damaged { .. })) => {
                    pushed.refused.push(refuse(error.to_string()));
                }
                Err(error) => failed = Some(error),
            }
        }
        self.inventory.record(self.bucket.name(), &kept)?;
        self.outbox.release(&places)?;
        pushed.kept += kept.len() as u64;
        pushed.bytes += kept.iter().map(Kept::size).sum::<u64>();
        (self.progress)(pushed.kept, total);
        failed.map_or(Ok(()), Err)
    }
}

/// Objects that may be stored side by side: parts in one group, each head in its own.
fn groups(waiting: &[Waiting]) -> impl Iterator<Item = &[Waiting]> {
    waiting.chunk_by(|left, right| left.rank == Rank::Part && right.rank == Rank::Part)
}

fn store_one(outbox: &Outbox, bucket: &dyn Bucket, place: Place, until: UnixTime) -> Result<Kept, PushError> {
    let object = outbox.read(place)?;
    Ok(keep(bucket, &object, until)?)
}

/// A push that could not go on for a reason of its own; the bucket's reasons are in [`Pushed`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// The outbox.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// The inventory.
    #[error(transparent)]
    Inventory(#[from] InventoryError),
    /// An object; never leaves this room.
    #[error(transparent)]
    Keep(#[from] KeepError),
}

/// Objects under way at once. Each takes three round trips, so one at a time would be ten a second; S3 slows down a
/// prefix at 3,500 a second.
const WORKERS: usize = 16;
