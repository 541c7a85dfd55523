//! The signer: a thread that gives each receipt its proof, from memory and never from the file.
//!
//! It starts with the first receipt and sleeps when there is nothing to do. While it is awake, an appending call
//! never wakes it: it looks again by itself for a while, so a burst of calls pays for no system call but its write.
//!
//! A key in this process signs every receipt. A key that is far away signs groups: the thread writes a seal over the receipts
//! that wait, when there are enough or the first has waited long enough, and gives the seal the only signature.

use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::pen::Written;
use super::recover::Abandoned;
use super::segment::push_signature;
use super::sink::Sink;
use super::writer::{Writer, lock};
use crate::key::{Signature, Signer};
use crate::reason::DenialReason;
use crate::receipt::{ReceiptHash, Seal};

/// How receipts come to a signature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Sealing {
    /// Each has its own.
    #[default]
    Each,
    /// Up to 256 of a second share one, for keys that are asked over a network: the key of an HSM or a cloud key store.
    Groups,
}

/// Receipts that wait for their proof, and the state of the thread that gives it.
#[derive(Default)]
pub(super) struct Queue {
    pending: Batch,
    /// Which of `pending` no seal is over yet.
    unsealed: Range<usize>,
    unsigned: usize,
    /// Monotonic clock of the oldest receipt that the thread has taken and not finished.
    taken: Option<u64>,
    thread: Option<JoinHandle<()>>,
    sleep: Sleep,
    stop: bool,
    closed: bool,
    waiting: usize,
}

/// Whether the thread has to be woken.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Sleep {
    /// No: it looks again by itself.
    #[default]
    Awake,
    /// By anything that waits.
    Deep,
    /// Only by a group that is full: it wakes by itself when the group is old enough.
    Light,
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
    hash: ReceiptHash,
    mono_nanos: u64,
    /// Who signs it; nobody signs what a seal is over.
    signer: Option<Arc<Signer>>,
}

impl Queue {
    /// A receipt with a signature of its own to come.
    pub(super) fn push(&mut self, text: &[u8], written: &Written, mono_nanos: u64, signer: &Arc<Signer>) {
        let waiting = self.keep(text, written, mono_nanos, Some(Arc::clone(signer)));
        self.pending.receipts.push(waiting);
    }

    /// A receipt for the next seal. Its text is needed only where entries are kept in memory.
    pub(super) fn push_for_seal(&mut self, text: &[u8], written: &Written, mono_nanos: u64) {
        let waiting = self.keep(text, written, mono_nanos, None);
        let place = self.pending.receipts.len();
        self.pending.receipts.push(waiting);
        if self.unsealed.is_empty() {
            self.unsealed = place..place;
        }
        self.unsealed.end = place + 1;
    }

    /// The seal that was made over the next receipts that no seal is over: it stands behind them.
    pub(super) fn push_seal(
        &mut self,
        text: &[u8],
        written: &Written,
        mono_nanos: u64,
        signer: &Arc<Signer>,
    ) {
        let waiting = self.keep(text, written, mono_nanos, Some(Arc::clone(signer)));
        let group = self.unsealed.len().min(SEALED_AT_MOST);
        let place = self.unsealed.start + group;
        self.pending.receipts.insert(place, waiting);
        self.unsealed = place + 1..self.unsealed.end + 1;
    }

    fn keep(
        &mut self,
        text: &[u8],
        written: &Written,
        mono_nanos: u64,
        signer: Option<Arc<Signer>>,
    ) -> Waiting {
        let start = self.pending.text.len();
        self.pending.text.extend_from_slice(text);
        self.unsigned += 1;
        let (text, sequence, hash) = (start..self.pending.text.len(), written.sequence, written.hash);
        Waiting { text, sequence, hash, mono_nanos, signer }
    }

    /// The seal to be made over the next receipts that no seal is over.
    pub(super) fn next_seal(&self) -> Option<Seal> {
        // INVARIANT: they follow one another without a gap, since whatever is signed by itself is written behind a seal.
        let group = self.pending.receipts.get(self.unsealed.clone())?.iter().take(SEALED_AT_MOST);
        let first = group.clone().next()?.sequence;
        Some(Seal::over(first, group.map(|receipt| &receipt.hash)))
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

    fn is_empty(&self) -> bool {
        self.pending.receipts.is_empty()
    }

    /// Whether the thread has reason not to wait any longer for a larger group.
    fn is_due(&self) -> bool {
        self.unsealed.len() >= SEALED_AT_MOST
            || self.pending.receipts.len() > self.unsealed.len()
            || self.waiting > 0
            || self.stop
    }

    fn has_room(&self, now_nanos: u64) -> bool {
        let lag = self.oldest().map_or(0, |oldest| now_nanos.saturating_sub(oldest));
        self.unsigned <= MAX_UNSIGNED && lag <= MAX_LAG_NANOS
    }

    /// Whether the thread has to be woken now; it is awake then.
    fn rouse(&mut self) -> bool {
        let asleep = match self.sleep {
            Sleep::Awake => false,
            Sleep::Deep => true,
            Sleep::Light => self.is_due(),
        };
        if asleep {
            self.sleep = Sleep::Awake;
        }
        asleep
    }
}

/// What calls and the thread share.
pub(super) struct Shared {
    pub(super) writer: Mutex<Writer>,
    sealing: Sealing,
    work: Condvar,
    room: Condvar,
    abandoned: Mutex<Option<Abandoned>>,
    /// Held while the thread is joined: one at a time.
    joining: Mutex<()>,
}

impl Shared {
    pub(super) const fn new(writer: Writer, sealing: Sealing, abandoned: Option<Abandoned>) -> Self {
        Self {
            writer: Mutex::new(writer),
            sealing,
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
        writer.queue.waiting += 1;
        if writer.queue.rouse() {
            self.work.notify_one();
        }
        let waited = self.room.wait_timeout_while(writer, PATIENCE, |w| !w.queue.has_room(now_nanos));
        let (mut writer, timeout) = waited.map_err(|_| DenialReason::JournalPoisoned)?;
        writer.queue.waiting = writer.queue.waiting.saturating_sub(1);
        if timeout.timed_out() { Err(DenialReason::JournalUnsignedBacklog) } else { Ok(writer) }
    }

    /// Lets the thread know that something waits, if it would not look by itself.
    pub(super) fn wake(self: &Arc<Self>, mut writer: MutexGuard<'_, Writer>) -> Result<(), DenialReason> {
        let started = self.start(&mut writer);
        let asleep = writer.queue.rouse();
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
        if !writer.queue.is_empty() {
            self.start(&mut writer)?;
        }
        let Some(thread) = writer.queue.thread.take() else { return Ok(()) };
        writer.queue.stop = true;
        writer.queue.sleep = Sleep::Awake;
        drop(writer);
        self.work.notify_one();
        let joined = thread.join();
        let mut writer = lock(&self.writer)?;
        writer.queue.stop = false;
        if !writer.queue.is_empty() {
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
                let Some(done) = self.sign(&batch.text, rest, &mut frames) else { return };
                rest = rest.get(done..).unwrap_or_default();
            }
            if self.sealing == Sealing::Each {
                // Taking each receipt as it comes would fight the calls for the lock; a few more make one write.
                std::thread::sleep(LOOK_AGAIN);
            }
        }
    }

    /// Takes everything that waits; waits for it if need be. False when told to stop and nothing is left.
    fn take(&self, batch: &mut Batch) -> bool {
        batch.text.clear();
        batch.receipts.clear();
        let Ok(writer) = lock(&self.writer) else { return false };
        let Some(writer) = self.wait_for_work(writer) else { return false };
        let Some(mut writer) = self.wait_for_group(writer) else { return false };
        // Failed already, or not: what is sealed or signed in memory is told nobody unless it is written.
        if writer.failed.is_none() && writer.sink.flush().and_then(|()| writer.seal()).is_err() {
            writer.failed = Some(DenialReason::JournalPoisoned);
        }
        std::mem::swap(&mut writer.queue.pending, batch);
        writer.queue.unsealed = 0..0;
        writer.queue.taken = batch.receipts.first().map(|receipt| receipt.mono_nanos);
        true
    }

    /// Waits until anything waits for its proof.
    fn wait_for_work<'s>(&'s self, mut writer: MutexGuard<'s, Writer>) -> Option<MutexGuard<'s, Writer>> {
        let mut looks = LOOKS;
        while writer.queue.is_empty() {
            if writer.queue.stop {
                return None;
            }
            if looks > 0 {
                looks -= 1;
                drop(writer);
                if looks > 0 || !self.recover_one() {
                    std::thread::sleep(LOOK_AGAIN);
                }
                writer = lock(&self.writer).ok()?;
            } else {
                writer.queue.sleep = Sleep::Deep;
                writer = self.work.wait(writer).ok()?;
                writer.queue.sleep = Sleep::Awake;
                looks = LOOKS;
            }
        }
        Some(writer)
    }

    /// Waits for a group to become full or old enough to be sealed.
    fn wait_for_group<'s>(&'s self, mut writer: MutexGuard<'s, Writer>) -> Option<MutexGuard<'s, Writer>> {
        if self.sealing == Sealing::Each {
            return Some(writer);
        }
        let deadline = Instant::now() + SEALED_AFTER;
        while !writer.queue.is_due() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            writer.queue.sleep = Sleep::Light;
            (writer, _) = self.work.wait_timeout(writer, left).ok()?;
            writer.queue.sleep = Sleep::Awake;
        }
        Some(writer)
    }

    /// Signs the first receipts of `rest` and writes the signatures at once; gives how many receipts are done with.
    /// `None` when it has to give up.
    fn sign(&self, text: &[u8], rest: &[Waiting], frames: &mut Vec<u8>) -> Option<usize> {
        frames.clear();
        let started = Instant::now();
        let mut signatures = Vec::with_capacity(GROUP);
        let mut done = 0;
        for receipt in rest {
            done += 1;
            // INVARIANT: what a seal is over stands in front of its seal, so what is done ends with a signature.
            let Some(signer) = &receipt.signer else { continue };
            let signature = self.sign_one(text.get(receipt.text.clone())?, signer)?;
            push_signature(frames, receipt.sequence, signature.as_bytes());
            signatures.push(signature);
            if signatures.len() >= GROUP || started.elapsed() >= WRITE_AFTER {
                break;
            }
        }
        let (group, after) = rest.split_at_checked(done)?;
        let mut writer = lock(&self.writer).ok()?;
        if writer.failed.is_none() && writer.sink.append(frames).is_err() {
            writer.failed = Some(DenialReason::JournalPoisoned);
        }
        if let Sink::Memory(ring) = &mut writer.sink {
            let mut signatures = signatures.iter();
            for receipt in group {
                let signature = receipt.signer.as_ref().and_then(|_| signatures.next());
                ring.keep(text.get(receipt.text.clone()).unwrap_or_default(), signature);
            }
        }
        writer.queue.unsigned = writer.queue.unsigned.saturating_sub(done);
        writer.queue.taken = after.first().map(|receipt| receipt.mono_nanos);
        if writer.queue.waiting > 0 {
            self.room.notify_all();
        }
        Some(done)
    }

    /// A signature, however long the key store needs; when told to stop it is asked three times and no more.
    fn sign_one(&self, signing_input: &[u8], signer: &Signer) -> Option<Signature> {
        let mut attempts = 0;
        loop {
            if let Ok(signature) = signer.sign(signing_input) {
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

/// WIRE 4: receipts under one seal.
const SEALED_AT_MOST: usize = 256;
/// WIRE 4: how long the first of them waits for others.
const SEALED_AFTER: Duration = Duration::from_secs(1);

/// Signatures in one write: about a millisecond of P-256.
const GROUP: usize = 64;
/// Fewer, if the key takes longer.
const WRITE_AFTER: Duration = Duration::from_millis(5);
/// The thread looks again this often before it sleeps: 20 ms in all.
const LOOKS: u32 = 80;
const LOOK_AGAIN: Duration = Duration::from_micros(250);

const ATTEMPTS: u32 = 3;
const ASK_AGAIN: Duration = Duration::from_millis(50);
