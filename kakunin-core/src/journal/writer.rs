//! Everything under the stream's lock: its place, its file and its queue for signing.
//!
//! A call encodes, hashes, frames and writes here, with buffers that stay; the signature comes later and elsewhere
//! (`signing`). The frames of one call leave in one write.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, MutexGuard};

use super::group::Groups;
use super::handle::{DecisionEntry, Identity, JournalError};
use super::pen::{Pen, Written};
use super::salts::Salts;
use super::segment::{FrameKind, push_frame, push_signature};
use super::signing::{Queue, Sealing};
use super::sink::Sink;
use crate::decision::Decision;
use crate::digest::Digest;
use crate::id::{ChainId, StreamId};
use crate::level::Level;
use crate::reason::DenialReason;
use crate::receipt::{
    CLOSE, CONTROL, Control, DECISION, Member, OPEN, OUTCOME, Outcome, Output, Parents, Payload, ReceiptHash,
    Stamp, Totals, write_disclosure,
};
use crate::request::{Amount, Names};
use crate::scope::ActionName;

/// Everything under the lock.
pub(super) struct Writer {
    pub(super) sink: Sink,
    pub(super) queue: Queue,
    pub(super) failed: Option<DenialReason>,
    pub(super) groups: Groups,
    pub(super) pen: Pen,
    sealing: Sealing,
    /// The clocks of the latest receipt: a seal has no others.
    latest: Stamp,
    salts: Salts,
    frames: Vec<u8>,
    scratch: Vec<u8>,
    counts: Counts,
}

impl Writer {
    /// Begins `stream`: its first receipt is signed in the same write.
    pub(super) fn open(
        sink: Sink,
        mut salts: Salts,
        stream: StreamId,
        identity: &Identity,
        stamp: Stamp,
        sealing: Sealing,
    ) -> Result<Self, JournalError> {
        let nonce = salts.next().ok_or(JournalError::NoRandomness)?;
        let memory = sink.is_memory();
        let mut writer = Self {
            sink,
            pen: Pen::new(stream, identity, &nonce, memory),
            salts,
            frames: Vec::with_capacity(4096),
            scratch: Vec::with_capacity(512),
            counts: Counts::default(),
            failed: None,
            groups: Groups::default(),
            sealing,
            latest: stamp,
            queue: Queue::default(),
        };
        let mut open = Payload::at(OPEN, stamp);
        open.nonce = Some(nonce);
        writer.append_signed(open)?;
        writer.sink.publish().map_err(JournalError::Write)?;
        Ok(writer)
    }

    pub(super) fn usable(&self) -> Result<(), DenialReason> {
        match self.failed {
            Some(reason) => Err(reason),
            None if self.closed() => Err(DenialReason::JournalUnavailable),
            None => Ok(()),
        }
    }

    pub(super) const fn closed(&self) -> bool {
        self.queue.is_closed()
    }

    pub(super) fn write_decision(
        &mut self,
        entry: &DecisionEntry<'_>,
        parents: Parents,
        level: Level,
    ) -> io::Result<ReceiptHash> {
        let request = entry.request;
        self.frames.clear();
        let mut payload = Payload::at(DECISION, entry.stamp);
        payload.act = ActionName::parse(request.action).map(ActionName::as_str);
        payload.caller = entry.caller.map(|caller| caller.member());
        payload.list = entry.list;
        payload.dec = Some(entry.decision.word());
        payload.mode = Some(entry.mode);
        payload.parents = parents;
        payload.trace = entry.trace;
        payload.why = entry.decision.denial().map(|denial| denial.code());
        payload.written = matches!(request.amount, Amount::AsWritten(_));
        if request.amount != Amount::Absent {
            payload.amount = Some(self.disclose(&Member::Amount(request.amount))?);
        }
        if let Some(currency) = request.currency {
            payload.currency = Some(self.disclose(&Member::Currency(currency))?);
        }
        if request.counterparties != Names::Absent {
            payload.counterparties = Some(self.disclose(&Member::Counterparties(request.counterparties))?);
        }
        if request.resources != Names::Absent {
            payload.resources = Some(self.disclose(&Member::Resources(request.resources))?);
        }
        payload.chain = self.counts.step(entry.chain);
        let hash = self.commit(payload, level)?;
        match entry.decision {
            Decision::Allow(_) => self.counts.allow += 1,
            Decision::Deny(_) => self.counts.deny += 1,
        }
        Ok(hash)
    }

    pub(super) fn write_outcome(
        &mut self,
        decision: ReceiptHash,
        chain: Option<ChainId>,
        outcome: Outcome,
        result: Option<&[u8]>,
        stamp: Stamp,
        level: Level,
    ) -> io::Result<ReceiptHash> {
        self.frames.clear();
        let mut payload = Payload::at(OUTCOME, stamp);
        payload.parents = Parents::of(&[decision]).unwrap_or(Parents::NONE);
        payload.outcome = Some(outcome);
        payload.observer = Some("guard");
        if let Some(bytes) = result {
            let digest = self.disclose(&Member::Output(Digest::of(bytes)))?;
            payload.output = Some(Output { digest, length: bytes.len() as u64 });
        }
        payload.chain = self.counts.step(chain);
        let hash = self.commit(payload, level)?;
        self.counts.outcome += 1;
        Ok(hash)
    }

    pub(super) fn write_join(
        &mut self,
        chain: ChainId,
        parents: Parents,
        stamp: Stamp,
    ) -> io::Result<ReceiptHash> {
        self.frames.clear();
        let mut payload = Payload::at(CONTROL, stamp);
        payload.control = Some(Control::Join);
        payload.parents = parents;
        payload.chain = self.counts.step(Some(chain));
        self.commit(payload, Level::Write)
    }

    pub(super) fn append_control(&mut self, control: Control, stamp: Stamp) -> io::Result<()> {
        let mut payload = Payload::at(CONTROL, stamp);
        payload.control = Some(control);
        if let Control::Rotate { .. } = control {
            return self.append_alone(payload);
        }
        self.frames.clear();
        self.commit(payload, Level::Write).map(drop)
    }

    pub(super) fn write_close(&mut self, stamp: Stamp) -> io::Result<()> {
        let mut payload = Payload::at(CLOSE, stamp);
        payload.totals = Some(self.counts.totals());
        self.append_alone(payload)
    }

    /// A receipt that gets a signature of its own, behind a seal over everything that waits for one.
    fn append_alone(&mut self, payload: Payload<'_>) -> io::Result<()> {
        self.seal()?;
        self.frames.clear();
        self.latest = payload.stamp;
        let (written, mono_nanos) = self.frame_and_write(payload, Level::Write)?;
        let text = self.frames.get(written.signing_input.clone()).unwrap_or_default();
        self.queue.push(text, &written, mono_nanos, &self.pen.signer);
        Ok(())
    }

    /// Writes seals over everything that waits for one.
    pub(super) fn seal(&mut self) -> io::Result<()> {
        while let Some(seal) = self.queue.next_seal() {
            let mut payload = Payload::at(CONTROL, self.latest);
            payload.control = Some(Control::Seal(seal));
            self.frames.clear();
            let (written, mono_nanos) = self.frame_and_write(payload, Level::Write)?;
            let text = self.frames.get(written.signing_input.clone()).unwrap_or_default();
            self.queue.push_seal(text, &written, mono_nanos, &self.pen.signer);
        }
        Ok(())
    }

    /// A receipt and its signature in the same write.
    fn append_signed(&mut self, payload: Payload<'_>) -> Result<(), JournalError> {
        self.frames.clear();
        let written = self.pen.write(&mut self.frames, payload);
        let signing_input = self.frames.get(written.signing_input).unwrap_or_default();
        let signature = self.pen.signer.sign(signing_input)?;
        if let Sink::Memory(ring) = &mut self.sink {
            ring.keep(signing_input, Some(&signature));
        }
        push_signature(&mut self.frames, written.sequence, signature.as_bytes());
        self.sink.append(&self.frames).map_err(JournalError::Write)
    }

    /// Appends the frame of a disclosure; it stands before its receipt, so a whole receipt never lacks one.
    fn disclose(&mut self, member: &Member<'_>) -> io::Result<Digest> {
        let salt = self.salts.next().ok_or_else(|| io::Error::other("no randomness"))?;
        let scratch = &mut self.scratch;
        Ok(push_frame(&mut self.frames, FrameKind::Disclosure, |out| {
            write_disclosure(out, scratch, &salt, member)
        }))
    }

    /// A receipt of which there are many: its own signature follows, or that of a seal.
    fn commit(&mut self, payload: Payload<'_>, level: Level) -> io::Result<ReceiptHash> {
        self.latest = payload.stamp;
        let (written, mono_nanos) = self.frame_and_write(payload, level)?;
        let text = self.frames.get(written.signing_input.clone()).unwrap_or_default();
        match self.sealing {
            Sealing::Each => self.queue.push(text, &written, mono_nanos, &self.pen.signer),
            Sealing::Groups if self.sink.is_memory() => self.queue.push_for_seal(text, &written, mono_nanos),
            Sealing::Groups => self.queue.push_for_seal(&[], &written, mono_nanos),
        }
        Ok(written.hash)
    }

    /// Frames the receipt behind what is framed already and writes everything at once.
    fn frame_and_write(&mut self, payload: Payload<'_>, level: Level) -> io::Result<(Written, u64)> {
        let mono_nanos = payload.stamp.mono_nanos;
        let written = self.pen.write(&mut self.frames, payload);
        match level {
            // What has to be on the disk leaves in one write with all that shares the sync, before it begins.
            Level::Enqueue | Level::Sync => self.sink.hold(&self.frames)?,
            Level::Write => self.sink.append(&self.frames)?,
        }
        Ok((written, mono_nanos))
    }
}

/// What the closing receipt will state.
#[derive(Default)]
struct Counts {
    allow: u64,
    deny: u64,
    outcome: u64,
    chains: HashMap<ChainId, u64>,
}

impl Counts {
    /// The next counter of `chain`; past [`MAX_CHAINS`] a new chain has none.
    fn step(&mut self, chain: Option<ChainId>) -> Option<(ChainId, Option<u64>)> {
        let chain = chain?;
        if let Some(counter) = self.chains.get_mut(&chain) {
            *counter += 1;
            return Some((chain, Some(*counter)));
        }
        if self.chains.len() >= MAX_CHAINS {
            return Some((chain, None));
        }
        self.chains.insert(chain, 0);
        Some((chain, Some(0)))
    }

    fn totals(&self) -> Totals {
        Totals {
            allow: self.allow,
            deny: self.deny,
            outcome: self.outcome,
            chains: self.chains.len() as u64,
            chains_root: Totals::root_of(&self.chains),
        }
    }
}

pub(super) fn lock(writer: &Mutex<Writer>) -> Result<MutexGuard<'_, Writer>, DenialReason> {
    writer.lock().map_err(|_| DenialReason::JournalPoisoned)
}

/// 24 bytes each; a stream with more concurrent incidents is no stream of one agent.
const MAX_CHAINS: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;

    #[test]
    fn chains_count_within_their_stream_and_the_end_says_how_far() {
        let mut counts = Counts::default();
        let chain = |n| ChainId::from_bytes([n; 16]);
        assert_eq!(counts.step(None), None);
        assert_eq!(counts.step(Some(chain(1))), Some((chain(1), Some(0))));
        assert_eq!(counts.step(Some(chain(2))), Some((chain(2), Some(0))));
        assert_eq!(counts.step(Some(chain(1))), Some((chain(1), Some(1))));
        let leaves = [format!("{} 1", chain(1)), format!("{} 0", chain(2))];
        let totals = counts.totals();
        assert_eq!(totals.chains, 2);
        assert_eq!(totals.chains_root, tree::root(leaves.iter().map(String::as_bytes)));
    }
}
