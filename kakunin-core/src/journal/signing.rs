//! The signer: a thread that gives each receipt its signature, from memory and never from the file.
//!
//! It starts with the first receipt and sleeps when there is nothing to do. While it is awake, an appending call
//! never wakes it: it looks again by itself for a while, so a burst of calls pays for no system call but its write.

use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::recover::Abandoned;
use super::segment::push_signature;
use super::sink::Sink;
use super::writer::{Writer, lock};
use crate::key::{Signature, Signer};
use crate::reason::DenialReason;

/// Receipts that wait for their signature, and the state of the thread that signs them.
#[derive(Default)]
pub(super) struct Queue {
    pending: Batch,
    unsigned: usize,
    /// Monotonic clock of the oldest receipt that the thread has taken and not finished.
    taken: Option<u64>,
    thread: Option<JoinHandle<()>>,
    asleep: bool,
    stop: bool,
    closed: bool,
    waiting: usize,
}

/// Signing inputs one after another, so that a warm queue needs no allocation.
#[derive(Default)]
struct Batch {
    text: Vec<u8>,
    receipts: Vec<Waiting>,
}

struct Waiting {
    text: Range<usize>,
    sequence: u64,
    mono_nanos: u64,
    signer: Arc<Signer>,
}

impl Queue {
    pub(super) fn push(&mut self, text: &[u8], sequence: u64, mono_nanos: u64, signer: &Arc<Signer>) {
        let start = self.pending.text.len();
        self.pending.text.extend_from_slice(text);
        let text = start..self.pending.text.len();
        self.pending.receipts.push(Waiting { text, sequence, mono_nanos, signer: Arc::clone(signer) });
        self.unsigned += 1;
    }

    pub(super) const fn unsigned(&self) -> usize {
        self.unsigned
    }

    pub(super) fn oldest(&self) -> Option<u64> {
        self.taken.or_else(|| self.pending.receipts.first().map(|receipt| receipt.mono_nanos))
    }

    /// No receipt follows.
    pub(super) const fn close(&mut self) {
        self.closed = true;
    }

    pub(super) const fn is_closed(&self) -> bool {
        self.closed
    }

    fn has_room(&self, now_nanos: u64) -> bool {
        let lag = self.oldest().map_or(0, |oldest| now_nanos.saturating_sub(oldest));
        self.unsigned <= MAX_UNSIGNED && lag <= MAX_LAG_NANOS
    }
}

/// What calls and the thread share.
pub(super) struct Shared {
    pub(super) writer: Mutex<Writer>,
    work: Condvar,
    room: Condvar,
    abandoned: Mutex<Option<Abandoned>>,
    /// Held while the thread is joined: one at a time.
    joining: Mutex<()>,
}

impl Shared {
    pub(super) const fn new(writer: Writer, abandoned: Option<Abandoned>) -> Self {
        Self {
            writer: Mutex::new(writer),
            work: Condvar::new(),
            room: Condvar::new(),
            abandoned: Mutex::new(abandoned),
            joining: Mutex::new(()),
        }
    }

    /// Waits while too much is unsigned, at most [`PATIENCE`].
    pub(super) fn wait_for_room<'s>(
        self: &'s Arc<Self>,
        mut writer: MutexGuard<'s, Writer>,
        now_nanos: u64,
    ) -> Result<MutexGuard<'s, Writer>, DenialReason> {
        if writer.queue.has_room(now_nanos) {
            return Ok(writer);
        }
        self.start(&mut writer)?;
        if std::mem::take(&mut writer.queue.asleep) {
            self.work.notify_one();
        }
        writer.queue.waiting += 1;
        let waited = self.room.wait_timeout_while(writer, PATIENCE, |w| !w.queue.has_room(now_nanos));
        let (mut writer, timeout) = waited.map_err(|_| DenialReason::JournalPoisoned)?;
        writer.queue.waiting = writer.queue.waiting.saturating_sub(1);
        if timeout.timed_out() { Err(DenialReason::JournalUnsignedBacklog) } else { Ok(writer) }
    }

    /// Lets the thread know that something waits, if it would not look by itself.
    pub(super) fn wake(self: &Arc<Self>, mut writer: MutexGuard<'_, Writer>) -> Result<(), DenialReason> {
        let started = self.start(&mut writer);
        let asleep = std::mem::take(&mut writer.queue.asleep);
        drop(writer);
        if asleep {
            self.work.notify_one();
        }
        started
    }

    fn start(self: &Arc<Self>, writer: &mut MutexGuard<'_, Writer>) -> Result<(), DenialReason> {
        // While someone joins the thread, that one starts it again if anything is left.
        if writer.queue.stop || writer.queue.thread.as_ref().is_some_and(|thread| !thread.is_finished()) {
            return Ok(());
        }
        let shared = Arc::clone(self);
        let thread = std::thread::Builder::new().name("kakunin-signer".into()).spawn(move || shared.run());
        match thread {
            Ok(thread) => {
                writer.queue.thread = Some(thread);
                Ok(())
            }
            Err(_) => {
                writer.failed = Some(DenialReason::JournalUnavailable);
                Err(DenialReason::JournalUnavailable)
            }
        }
    }

    /// Signs everything that waits and joins the thread.
    pub(super) fn quiesce(self: &Arc<Self>) -> Result<(), DenialReason> {
        let _alone = self.joining.lock().map_err(|_| DenialReason::JournalPoisoned)?;
        let mut writer = lock(&self.writer)?;
        if !writer.queue.pending.receipts.is_empty() {
            self.start(&mut writer)?;
        }
        let Some(thread) = writer.queue.thread.take() else { return Ok(()) };
        writer.queue.stop = true;
        writer.queue.asleep = false;
        drop(writer);
        self.work.notify_one();
        let joined = thread.join();
        let mut writer = lock(&self.writer)?;
        writer.queue.stop = false;
        if !writer.queue.pending.receipts.is_empty() {
            self.start(&mut writer)?;
        }
        // A thread that panicked leaves its receipts unsigned, and the backlog tells.
        joined.map_err(|_| DenialReason::JournalPoisoned)
    }

    /// Closes the streams that killed processes left, one after another.
    pub(super) fn recover_abandoned(&self) {
        while self.recover_one() {}
    }

    fn recover_one(&self) -> bool {
        // A panic in recovery must not stop the signer; the stream stays as it is and the verifier reports it open.
        let mut abandoned = self.abandoned.lock().unwrap_or_else(PoisonError::into_inner);
        let more = abandoned.as_mut().is_some_and(Abandoned::recover_next);
        if !more {
            *abandoned = None;
        }
        more
    }

    fn run(&self) {
        let mut batch = Batch::default();
        let mut frames = Vec::new();
        while self.take(&mut batch) {
            let mut rest = batch.receipts.as_slice();
            while !rest.is_empty() {
                let (group, after) = rest.split_at(rest.len().min(GROUP));
                if self.sign(&batch.text, group, after, &mut frames).is_none() {
                    return;
                }
                rest = after;
            }
            // Taking each receipt as it comes would fight the calls for the lock; a few more make one write.
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Takes everything that waits; waits for it if need be. False when told to stop and nothing is left.
    fn take(&self, batch: &mut Batch) -> bool {
        batch.text.clear();
        batch.receipts.clear();
        let Ok(mut writer) = lock(&self.writer) else { return false };
        let mut looks = LOOKS;
        while writer.queue.pending.receipts.is_empty() {
            if writer.queue.stop {
                return false;
            }
            if looks > 0 {
                looks -= 1;
                drop(writer);
                if looks > 0 || !self.recover_one() {
                    std::thread::sleep(LOOK_AGAIN);
                }
                let Ok(again) = lock(&self.writer) else { return false };
                writer = again;
            } else {
                writer.queue.asleep = true;
                let Ok(woken) = self.work.wait(writer) else { return false };
                writer = woken;
                writer.queue.asleep = false;
                looks = LOOKS;
            }
        }
        std::mem::swap(&mut writer.queue.pending, batch);
        writer.queue.taken = batch.receipts.first().map(|receipt| receipt.mono_nanos);
        true
    }

    /// Signs `group` and writes the signatures at once. `None` when it has to give up.
    fn sign(&self, text: &[u8], group: &[Waiting], after: &[Waiting], frames: &mut Vec<u8>) -> Option<()> {
        frames.clear();
        let mut signatures = Vec::with_capacity(group.len());
        for receipt in group {
            let signature = self.sign_one(text, receipt)?;
            push_signature(frames, receipt.sequence, signature.as_bytes());
            signatures.push(signature);
        }
        let mut writer = lock(&self.writer).ok()?;
        if writer.failed.is_none() && writer.sink.append(frames).is_err() {
            writer.failed = Some(DenialReason::JournalPoisoned);
        }
        if let Sink::Memory(ring) = &mut writer.sink {
            for (receipt, signature) in group.iter().zip(&signatures) {
                ring.keep(text.get(receipt.text.clone()).unwrap_or_default(), signature);
            }
        }
        writer.queue.unsigned = writer.queue.unsigned.saturating_sub(group.len());
        writer.queue.taken = after.first().map(|receipt| receipt.mono_nanos);
        if writer.queue.waiting > 0 {
            self.room.notify_all();
        }
        Some(())
    }

    /// A signature, however long the key store needs; when told to stop it is asked three times and no more.
    fn sign_one(&self, text: &[u8], receipt: &Waiting) -> Option<Signature> {
        let signing_input = text.get(receipt.text.clone())?;
        let mut attempts = 0;
        loop {
            if let Ok(signature) = receipt.signer.sign(signing_input) {
                return Some(signature);
            }
            attempts += 1;
            if attempts >= ATTEMPTS && lock(&self.writer).ok()?.queue.stop {
                return None;
            }
            std::thread::sleep(ASK_AGAIN);
        }
    }
}

/// WIRE 4: above this a call waits for the signer.
const MAX_UNSIGNED: usize = 1_000;
/// WIRE 4: a signer this far behind is no signer.
const MAX_LAG_NANOS: u64 = 5_000_000_000;
/// WIRE 4: and then it denies.
const PATIENCE: Duration = Duration::from_millis(100);

/// Signatures in one write: about a millisecond of P-256.
const GROUP: usize = 64;
/// The thread looks again this often before it sleeps: 20 ms in all.
const LOOKS: u32 = 80;
const LOOK_AGAIN: Duration = Duration::from_micros(250);

const ATTEMPTS: u32 = 3;
const ASK_AGAIN: Duration = Duration::from_millis(50);
