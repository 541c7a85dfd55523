//! The journal as a guard holds it: decisions and outcomes in, receipt hashes out.
//!
//! Everything that needs the stream's lock is in `writer`; here stand the rules around it: who may call, what waits,
//! and how a failure becomes a denial. A journal that failed once stays failed: a half-written frame must remain the last.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, MutexGuard};

use super::archive::{Archive, ArchiveError};
use super::callers::Callers;
use super::recover::Abandoned;
use super::salts::Salts;
use super::signing::{Sealing, Shared};
use super::sink::{Disk, Files, Ring, SegmentFile, Sink};
use super::writer::{Writer, lock};
use crate::certificate::{AgentPath, FeedCertificate};
use crate::decision::Decision;
use crate::digest::Digest;
use crate::feed::VerifiedItem;
use crate::id::{AgentId, ChainId, StreamId};
use crate::key::{SignError, Signer};
use crate::level::{Level, Levels};
use crate::modes::{self, Loose};
use crate::reason::DenialReason;
use crate::receipt::{
    Anchor, Caller, Control, Event, ListUse, Mode, Outcome, Parents, ProofOfPossession, ReceiptHash, Stamp,
};
use crate::request::ActionRequest;

/// Who writes: the agent, its certificate with the path to the root, and its key.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The agent.
    pub agent: AgentId,
    /// Its certificate, DER.
    pub certificate: Vec<u8>,
    /// The certificates between it and the root, DER.
    pub chain: Vec<Vec<u8>>,
    /// The certificate's key.
    pub signer: Arc<Signer>,
}

/// The agent that asked a gateway, for the receipt of its decision and for the archive beside it.
#[derive(Clone, Copy, Debug)]
pub struct CallerUse<'a> {
    path: &'a AgentPath,
    caller: Caller,
}

impl<'a> CallerUse<'a> {
    /// The agent of `path`, which proved so that it has the key of its certificate.
    #[must_use]
    pub fn of(path: &'a AgentPath, possession: ProofOfPossession) -> Self {
        let agent = path.agent();
        let certificate = agent.decoded().thumbprint();
        Self { path, caller: Caller { certificate, possession, agent: agent.agent() } }
    }

    /// What the receipt says of it.
    #[must_use]
    pub const fn member(&self) -> Caller {
        self.caller
    }
}

/// A decision to be recorded, with everything its receipt states.
#[derive(Clone, Copy, Debug)]
pub struct DecisionEntry<'a> {
    /// Who asked, if this is the journal of a gateway and that another agent. Its certificates are archived with the decision.
    pub caller: Option<CallerUse<'a>>,
    /// The answer.
    pub decision: &'a Decision,
    /// What was asked.
    pub request: &'a ActionRequest<'a>,
    /// The list the decision was made by.
    pub list: Option<ListUse>,
    /// What the decision was for.
    pub mode: Mode,
    /// The decision chain it belongs to.
    pub chain: Option<ChainId>,
    /// Receipts it follows from, eight at most.
    pub parents: &'a [ReceiptHash],
    /// W3C traceparent.
    pub trace: Option<&'a str>,
    /// The clocks.
    pub stamp: Stamp,
}

/// Evidence that a decision is in the journal: its name, and the only way to an outcome.
///
/// [`Journal::decision`] is its one origin; an outcome for a decision that nobody recorded does not compile:
///
/// ```compile_fail,E0451
/// use kakunin_core::journal::{Journal, Recorded};
/// use kakunin_core::receipt::{Outcome, ReceiptHash, Stamp};
///
/// fn forge(journal: &Journal, hash: ReceiptHash, stamp: Stamp) {
///     let recorded = Recorded { hash, chain: None, level: Default::default() };
///     drop(journal.outcome(recorded, Outcome::Returned, None, stamp));
/// }
/// ```
#[derive(Debug)]
#[must_use = "without an outcome the receipt says: authorised, result unknown"]
pub struct Recorded {
    hash: ReceiptHash,
    chain: Option<ChainId>,
    level: Level,
}

impl Recorded {
    /// The decision's name.
    #[must_use]
    pub const fn hash(&self) -> ReceiptHash {
        self.hash
    }

    /// The chain it belongs to.
    #[must_use]
    pub const fn chain(&self) -> Option<ChainId> {
        self.chain
    }
}

/// How far the signatures are behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// Receipts that wait for their signature.
    pub unsigned: usize,
    /// The monotonic clock in the oldest of them.
    pub oldest_mono_nanos: Option<u64>,
    /// Why the next decision will be denied, if it is known already.
    pub failed: Option<DenialReason>,
}

/// How a journal is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JournalOptions {
    /// How safe receipts must be before calls go on.
    pub levels: Levels,
    /// How receipts come to a signature; [`Sealing::Each`] if nobody says.
    pub sealing: Option<Sealing>,
}

/// One open stream. Shared by reference between threads; belongs to the process that opened it.
pub struct Journal {
    /// `None` for the journal that records nothing.
    shared: Option<Arc<Shared>>,
    /// `None` for journals without a directory.
    place: Option<Place>,
    levels: Levels,
    process: u32,
}

struct Place {
    archive: Archive,
    callers: Callers,
}

impl Journal {
    /// Opens a new stream in the journal folder `dir` and records its beginning, signed at once.
    ///
    /// Other streams there that nobody holds and nobody closed are recovered later, off the call path.
    ///
    /// # Errors
    /// [`JournalError`] when the folder cannot be written, or the key does not sign.
    pub fn open(dir: &Path, identity: Identity, stamp: Stamp) -> Result<Self, JournalError> {
        Self::open_with(dir, identity, stamp, JournalOptions::default())
    }

    /// As [`Journal::open`], with levels and sealing.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn open_with(
        dir: &Path,
        identity: Identity,
        stamp: Stamp,
        options: JournalOptions,
    ) -> Result<Self, JournalError> {
        Self::open_on(Arc::new(Files), dir, identity, stamp, options)
    }

    /// On a disk that tests can break.
    pub(super) fn open_on(
        disk: Arc<dyn Disk>,
        dir: &Path,
        identity: Identity,
        stamp: Stamp,
        options: JournalOptions,
    ) -> Result<Self, JournalError> {
        let failed = |source| JournalError::Io { path: dir.to_owned(), source };
        modes::refuse_loose(dir)?;
        modes::make_folders(dir).map_err(failed)?;
        let archive = Archive::of(dir);
        keep_identity(&archive, &identity)?;
        let mut salts = Salts::new();
        let stream = StreamId::from_bytes(salts.next().ok_or(JournalError::NoRandomness)?);
        let sink = Sink::File(SegmentFile::create(disk, dir, stream).map_err(failed)?);
        let abandoned = Abandoned::beside(dir, stream, &identity, stamp);
        let sealing = options.sealing.unwrap_or_default();
        let writer = Writer::open(sink, salts, stream, &identity, stamp, sealing)?;
        let shared = Arc::new(Shared::new(writer, sealing, Some(abandoned)));
        let place = Some(Place { archive, callers: Callers::default() });
        Ok(Self { shared: Some(shared), place, levels: options.levels, process: std::process::id() })
    }

    /// Opens a stream that is kept in memory only: the latest `capacity` proven receipts, each stamped so.
    ///
    /// # Errors
    /// [`JournalError`] when the key does not sign.
    pub fn memory(identity: &Identity, stamp: Stamp, capacity: usize) -> Result<Self, JournalError> {
        Self::memory_with(identity, stamp, capacity, Sealing::Each)
    }

    /// As [`Journal::memory`], with another way to a signature.
    ///
    /// # Errors
    /// As [`Journal::memory`].
    pub fn memory_with(
        identity: &Identity,
        stamp: Stamp,
        capacity: usize,
        sealing: Sealing,
    ) -> Result<Self, JournalError> {
        let mut salts = Salts::new();
        let stream = StreamId::from_bytes(salts.next().ok_or(JournalError::NoRandomness)?);
        let sink = Sink::Memory(Ring::new(capacity));
        let writer = Writer::open(sink, salts, stream, identity, stamp, sealing)?;
        let shared = Some(Arc::new(Shared::new(writer, sealing, None)));
        Ok(Self { shared, place: None, levels: Levels::default(), process: std::process::id() })
    }

    /// A journal that records nothing: the floor that benches subtract.
    #[cfg(feature = "null-journal")]
    #[must_use]
    pub fn null() -> Self {
        Self { shared: None, place: None, levels: Levels::default(), process: std::process::id() }
    }

    /// Records a decision. When this returns the receipt is as safe as the levels ask for the action: by default it
    /// survives the end of the process.
    ///
    /// # Errors
    /// The denial that takes the decision's place: another process, a journal that cannot be written, a signer too
    /// far behind.
    pub fn decision(&self, entry: &DecisionEntry<'_>) -> Result<Recorded, DenialReason> {
        self.decision_if(entry, |_| true)?.ok_or(DenialReason::Internal)
    }

    /// As [`Journal::decision`], if `still` holds of the certificate that it would be signed under, when it is this
    /// decision's turn to be written. Decisions come from many
    /// threads; one that was made by an older list must not stand behind one that was made by a newer.
    pub(crate) fn decision_if(
        &self,
        entry: &DecisionEntry<'_>,
        still: impl FnOnce(&[u8]) -> bool,
    ) -> Result<Option<Recorded>, DenialReason> {
        let parents = Parents::of(entry.parents).ok_or(DenialReason::Internal)?;
        let Some(shared) = &self.shared else {
            let hash = ReceiptHash::from_digest(Digest::from_bytes([0; 32]));
            return Ok(Some(Recorded { hash, chain: None, level: Level::default() }));
        };
        let level = self.levels.of(entry.request.action);
        if let Some(caller) = &entry.caller {
            self.archive_caller(caller)?;
        }
        let writer = self.enter(shared)?;
        let mut writer = shared.wait_for_room(writer, entry.stamp.mono_nanos)?;
        writer.usable()?;
        if !still(&writer.pen.certificate) {
            return Ok(None);
        }
        let recorded = writer.write_decision(entry, parents, level);
        if recorded.is_err() {
            writer.failed = Some(DenialReason::JournalUnavailable);
        }
        let hash = recorded.map_err(|_| DenialReason::JournalUnavailable)?;
        shared.settle(writer, level)?;
        Ok(Some(Recorded { hash, chain: entry.chain, level }))
    }

    /// Records how the action of `decision` ended, with a commitment to its result if there is one.
    ///
    /// # Errors
    /// The receipt could not be written. The action is done, so the caller returns its result all the same; the
    /// journal denies the next decision.
    pub fn outcome(
        &self,
        decision: Recorded,
        outcome: Outcome,
        result: Option<&[u8]>,
        stamp: Stamp,
    ) -> Result<ReceiptHash, DenialReason> {
        let Some(shared) = &self.shared else { return Ok(decision.hash) };
        let mut writer = self.enter(shared)?;
        let recorded = writer.usable().and_then(|()| {
            writer
                .write_outcome(decision.hash, decision.chain, outcome, result, stamp, decision.level)
                .map_err(|_| DenialReason::JournalPoisoned)
        });
        if let Err(reason) = recorded {
            writer.failed.get_or_insert(reason);
        }
        let hash = recorded?;
        shared.settle(writer, decision.level)?;
        Ok(hash)
    }

    /// Waits until every receipt so far is on the disk. Calls that ask for [`Level::Sync`] do so by themselves.
    ///
    /// # Errors
    /// The denial of all decisions that follow: the disk did not take them.
    pub fn persist(&self) -> Result<(), DenialReason> {
        let Some(shared) = &self.shared else { return Ok(()) };
        let writer = self.enter(shared)?;
        writer.usable()?;
        shared.persist(writer)
    }

    /// Records something about the stream itself. Rotation, seals and recovery have their own ways.
    ///
    /// # Errors
    /// As [`Journal::decision`]; what has its own way is [`DenialReason::Internal`].
    pub fn control(&self, control: Control, stamp: Stamp) -> Result<(), DenialReason> {
        if !Event::Control(control).may_be_sealed() {
            return Err(DenialReason::Internal);
        }
        let Some(shared) = &self.shared else { return Ok(()) };
        let mut writer = self.enter(shared)?;
        writer.usable()?;
        writer.append_control(control, stamp).map_err(|_| {
            writer.failed = Some(DenialReason::JournalUnavailable);
            DenialReason::JournalUnavailable
        })?;
        shared.wake(writer)
    }

    /// Records that `parents` come together in `chain`.
    ///
    /// # Errors
    /// As [`Journal::decision`]; a join of nothing, or of more than a receipt can name, is [`DenialReason::Internal`].
    pub fn join(
        &self,
        chain: ChainId,
        parents: &[ReceiptHash],
        stamp: Stamp,
    ) -> Result<ReceiptHash, DenialReason> {
        let named = Parents::of(parents).filter(|_| !parents.is_empty()).ok_or(DenialReason::Internal)?;
        let Some(shared) = &self.shared else {
            return Ok(ReceiptHash::from_digest(Digest::from_bytes([0; 32])));
        };
        let writer = self.enter(shared)?;
        let mut writer = shared.wait_for_room(writer, stamp.mono_nanos)?;
        writer.usable()?;
        let hash = writer.write_join(chain, named, stamp).map_err(|_| {
            writer.failed = Some(DenialReason::JournalUnavailable);
            DenialReason::JournalUnavailable
        })?;
        shared.wake(writer)?;
        Ok(hash)
    }

    /// Tells that a checkpoint of a log is known: receipts from here on name it as having been there before them.
    ///
    /// # Errors
    /// [`DenialReason::AgentForked`] in another process than the one that opened the journal.
    pub fn know(&self, checkpoint: Anchor) -> Result<(), DenialReason> {
        let Some(shared) = &self.shared else { return Ok(()) };
        self.enter(shared)?.pen.anchor = Some(checkpoint);
        Ok(())
    }

    /// Goes on under a renewed certificate: the old key signs a receipt that names it.
    ///
    /// # Errors
    /// [`JournalError`] when the certificate cannot be kept or the receipt not be written.
    pub fn rotate(&self, identity: &Identity, stamp: Stamp) -> Result<(), JournalError> {
        let Some(shared) = &self.shared else { return Ok(()) };
        if let Some(place) = &self.place {
            keep_identity(&place.archive, identity)?;
        }
        let mut writer = self.enter(shared).map_err(JournalError::Refused)?;
        writer.usable().map_err(JournalError::Refused)?;
        let next = Digest::of(&identity.certificate);
        writer.append_control(Control::Rotate { next }, stamp).map_err(|source| {
            writer.failed = Some(DenialReason::JournalUnavailable);
            JournalError::Write(source)
        })?;
        writer.pen.take_identity(identity);
        shared.wake(writer).map_err(JournalError::Refused)
    }

    /// Keeps a revocation list whose TBSCertList has the SHA-256 `tbs`; call it before deciding by the list.
    ///
    /// # Errors
    /// [`ArchiveError`] when it cannot be written.
    pub fn archive_list(&self, der: &[u8], tbs: &Digest) -> Result<(), ArchiveError> {
        self.place.as_ref().map_or(Ok(()), |place| place.archive.keep_list(tbs, der))
    }

    /// Before a receipt names it: whoever verifies must find what the decision was by.
    fn archive_caller(&self, caller: &CallerUse<'_>) -> Result<(), DenialReason> {
        // A child of a fork writes into no archive either.
        if self.process != std::process::id() {
            return Err(DenialReason::AgentForked);
        }
        let Some(place) = &self.place else { return Ok(()) };
        place
            .callers
            .keep(&caller.caller, caller.path, &place.archive)
            .map_err(|_| DenialReason::JournalUnavailable)
    }

    /// Keeps a change of a feed that receipts will name, directly or through a later one.
    ///
    /// # Errors
    /// [`ArchiveError`] when it cannot be written.
    pub fn archive_item(&self, item: &VerifiedItem) -> Result<(), ArchiveError> {
        self.place.as_ref().map_or(Ok(()), |place| place.archive.keep_item(&item.digest(), item.token()))
    }

    /// Keeps the certificate of a feed key.
    ///
    /// # Errors
    /// [`ArchiveError`] when it cannot be written.
    pub fn archive_feed_key(&self, certificate: &FeedCertificate) -> Result<(), ArchiveError> {
        let der = certificate.decoded().der();
        self.place.as_ref().map_or(Ok(()), |place| place.archive.keep_certificate(der).map(|_| ()))
    }

    /// Ends the stream: counts in a closing receipt, signs everything, joins the thread.
    ///
    /// Streams that others abandoned are recovered before it returns, if that has not happened yet.
    ///
    /// # Errors
    /// [`JournalError`] when the receipt cannot be written or signatures are still missing; the next opening then
    /// recovers this stream.
    pub fn close(&self, stamp: Stamp) -> Result<(), JournalError> {
        let Some(shared) = &self.shared else { return Ok(()) };
        let mut writer = self.enter(shared).map_err(JournalError::Refused)?;
        if writer.closed() {
            return Ok(());
        }
        writer.usable().map_err(JournalError::Refused)?;
        if let Err(source) = writer.write_close(stamp) {
            writer.failed = Some(DenialReason::JournalUnavailable);
            return Err(JournalError::Write(source));
        }
        writer.queue.close();
        drop(writer);
        shared.quiesce().map_err(JournalError::Refused)?;
        shared.recover_abandoned();
        let mut writer = self.enter(shared).map_err(JournalError::Refused)?;
        if writer.queue.unsigned() > 0 {
            return Err(JournalError::Unsigned(writer.queue.unsigned()));
        }
        writer.sink.finish().map_err(JournalError::Write)
    }

    /// Signs what waits and joins the thread, as before a fork; the next receipt starts it again.
    ///
    /// # Errors
    /// [`DenialReason::AgentForked`] in another process than the one that opened the journal.
    pub fn quiesce(&self) -> Result<(), DenialReason> {
        let Some(shared) = &self.shared else { return Ok(()) };
        drop(self.enter(shared)?);
        shared.quiesce()
    }

    /// How far the signatures are behind.
    #[must_use]
    pub fn health(&self) -> Health {
        let idle = Health { unsigned: 0, oldest_mono_nanos: None, failed: None };
        let Some(shared) = &self.shared else { return idle };
        match self.enter(shared) {
            Err(reason) => Health { failed: Some(reason), ..idle },
            Ok(writer) => Health {
                unsigned: writer.queue.unsigned(),
                oldest_mono_nanos: writer.queue.oldest(),
                failed: writer.failed,
            },
        }
    }

    /// Whether the file that is written is still the one its path leads to; asked four times a second by the guard.
    /// A journal whose file was moved or removed fails from then on.
    #[must_use]
    pub fn still_in_place(&self) -> bool {
        let Some(shared) = &self.shared else { return true };
        let Ok(mut writer) = self.enter(shared) else { return false };
        // Four times a second is soon enough for what a call did not want to wait for.
        if writer.sink.flush().is_err() {
            writer.failed.get_or_insert(DenialReason::JournalPoisoned);
        }
        let there = writer.closed() || writer.sink.still_in_place();
        if !there {
            writer.failed.get_or_insert(DenialReason::JournalUnavailable);
        }
        there
    }

    /// The stream's name.
    #[must_use]
    pub fn stream(&self) -> Option<StreamId> {
        let writer = self.enter(self.shared.as_ref()?).ok()?;
        Some(writer.pen.stream)
    }

    /// The latest receipts of a journal in memory as entries of a log, in the order in which they were proven; none of one
    /// with a directory.
    #[must_use]
    pub fn latest(&self) -> Vec<String> {
        let Some(shared) = &self.shared else { return Vec::new() };
        match self.enter(shared).as_deref() {
            Ok(Writer { sink: Sink::Memory(ring), .. }) => ring.entries(),
            _ => Vec::new(),
        }
    }

    /// The lock, for the process that opened the journal only: a child after a fork must not even wait for it.
    fn enter<'s>(&self, shared: &'s Shared) -> Result<MutexGuard<'s, Writer>, DenialReason> {
        if std::process::id() != self.process {
            return Err(DenialReason::AgentForked);
        }
        lock(&shared.writer)
    }
}

impl Drop for Journal {
    /// Signs what waits and joins the thread. The stream stays open for the next opening to recover: only
    /// [`Journal::close`] knows the time.
    fn drop(&mut self) {
        let _ = self.quiesce();
    }
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.stream() {
            Some(stream) => write!(f, "Journal({stream})"),
            None => f.write_str("Journal"),
        }
    }
}

/// A journal that could not be opened, renewed or closed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The folder cannot be used.
    #[error("cannot write the journal in `{}`: {source}", path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others can write into the folder.
    #[error(transparent)]
    Loose(#[from] Loose),
    /// A receipt could not be written.
    #[error("cannot write a receipt: {0}")]
    Write(io::Error),
    /// A certificate could not be kept.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The key does not sign.
    #[error("cannot sign a receipt: {0}")]
    Sign(#[from] SignError),
    /// Some receipts could not be signed before the end.
    #[error("{0} receipts are left without a signature")]
    Unsigned(usize),
    /// The system gives no randomness.
    #[error("no randomness for a stream")]
    NoRandomness,
    /// The journal is no longer usable.
    #[error("the journal is refused: {}", .0.code())]
    Refused(DenialReason),
}

fn keep_identity(archive: &Archive, identity: &Identity) -> Result<(), ArchiveError> {
    for certificate in identity.chain.iter().chain([&identity.certificate]) {
        archive.keep_certificate(certificate)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::key::{Algorithm, KeyProvider, PublicKey, SignInput, Signature, SoftKey};
    use crate::reason::DenialReason::{
        AgentForked, JournalPoisoned, JournalUnavailable, JournalUnsignedBacklog,
    };
    use crate::receipt::UnverifiedReceipt;

    /// A key store that signs when the gate is open and waits, or fails, when it is not.
    struct Gated {
        inner: Signer,
        public: PublicKey,
        gate: Arc<Mutex<Gate>>,
    }

    #[derive(Clone, Copy, PartialEq)]
    enum Gate {
        Open,
        Shut,
        Panics,
    }

    impl KeyProvider for Gated {
        fn public(&self) -> &PublicKey {
            &self.public
        }

        fn sign(&self, input: SignInput<'_>) -> Result<Signature, SignError> {
            let gate = *self.gate.lock().unwrap();
            match (gate, input) {
                (Gate::Open, SignInput::Raw(message)) => self.inner.sign(message),
                (Gate::Panics, _) => panic!("a key store with a bug"),
                _ => Err(SignError::Unsupported),
            }
        }
    }

    fn identity() -> (Identity, Arc<Mutex<Gate>>) {
        let inner = Signer::soft(SoftKey::generate(Algorithm::P256).unwrap().0);
        let gate = Arc::new(Mutex::new(Gate::Open));
        let gated = Gated { public: inner.public().clone(), inner, gate: Arc::clone(&gate) };
        let identity = Identity {
            agent: AgentId::from_random([1; 16]),
            certificate: b"certificate".to_vec(),
            chain: Vec::new(),
            signer: Arc::new(Signer::provider(Box::new(gated))),
        };
        (identity, gate)
    }

    fn at(seconds: u64) -> Stamp {
        Stamp { micros: 1, boot: [0; 16], mono_nanos: seconds * 1_000_000_000 }
    }

    fn append(journal: &Journal, seconds: u64) -> Result<Recorded, DenialReason> {
        let decision = Decision::Deny(DenialReason::ScopeAction.into());
        let request = ActionRequest::new("payments:send").amount("1.00", "EUR");
        let (parents, stamp) = (&[][..], at(seconds));
        let (list, mode, chain, trace) = (None, Mode::Enforce, None, None);
        let (decision, request) = (&decision, &request);
        journal.decision(&DecisionEntry {
            caller: None,
            decision,
            request,
            list,
            mode,
            chain,
            parents,
            trace,
            stamp,
        })
    }

    #[test]
    fn a_child_after_a_fork_never_writes_into_its_parents_stream() {
        let (identity, _) = identity();
        let mut journal = Journal::memory(&identity, at(0), 8).unwrap();
        let recorded = append(&journal, 1).unwrap();
        journal.process = journal.process.wrapping_add(1);
        assert_eq!(append(&journal, 1).unwrap_err(), AgentForked);
        assert_eq!(journal.outcome(recorded, Outcome::Returned, None, at(1)), Err(AgentForked));
        assert_eq!(journal.quiesce(), Err(AgentForked));
        assert_eq!(journal.health().failed, Some(AgentForked));
        assert!(journal.close(at(1)).is_err() && !journal.still_in_place());
    }

    #[test]
    fn a_backlog_waits_for_the_signer_then_denies_and_heals() {
        let (identity, gate) = identity();
        let journal = Journal::memory(&identity, at(0), 8).unwrap();
        *gate.lock().unwrap() = Gate::Shut;
        for _ in 0..=1000 {
            drop(append(&journal, 1).unwrap());
        }
        let started = Instant::now();
        assert_eq!(append(&journal, 1).unwrap_err(), JournalUnsignedBacklog);
        let waited = started.elapsed();
        assert!(waited >= Duration::from_millis(90), "{waited:?}");
        assert_eq!(journal.health().unsigned, 1001);
        *gate.lock().unwrap() = Gate::Open;
        while append(&journal, 1).is_err() {}
        journal.quiesce().unwrap();
        assert_eq!(journal.health().unsigned, 0);
        journal.close(at(2)).unwrap();
    }

    #[test]
    fn a_signer_five_seconds_behind_denies_and_a_gap_only_waits_for_it() {
        let (identity, gate) = identity();
        let journal = Journal::memory(&identity, at(0), 8).unwrap();
        *gate.lock().unwrap() = Gate::Shut;
        drop(append(&journal, 10).unwrap());
        drop(append(&journal, 15).unwrap());
        assert_eq!(journal.health().oldest_mono_nanos, Some(10_000_000_000));
        assert_eq!(append(&journal, 16).unwrap_err(), JournalUnsignedBacklog);
        // After a laptop slept the thread is late as well: the call waits for it and goes on.
        *gate.lock().unwrap() = Gate::Open;
        std::thread::sleep(Duration::from_millis(60));
        drop(append(&journal, 1000).unwrap());
    }

    #[test]
    fn a_key_store_that_fails_leaves_the_stream_open_for_recovery() {
        let (identity, gate) = identity();
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path(), identity, at(0)).unwrap();
        drop(append(&journal, 1).unwrap());
        *gate.lock().unwrap() = Gate::Shut;
        drop(append(&journal, 1).unwrap());
        assert!(matches!(journal.close(at(2)), Err(JournalError::Unsigned(2 | 3))));
    }

    #[test]
    fn a_dead_signer_turns_into_denials() {
        let (identity, gate) = identity();
        let journal = Journal::memory(&identity, at(0), 8).unwrap();
        *gate.lock().unwrap() = Gate::Panics;
        drop(append(&journal, 1).unwrap());
        while journal.health().oldest_mono_nanos.is_none() {}
        std::thread::sleep(Duration::from_millis(20));
        *gate.lock().unwrap() = Gate::Open;
        assert_eq!(append(&journal, 7).unwrap_err(), JournalUnsignedBacklog);
    }

    #[test]
    fn a_failed_outcome_denies_the_next_decision_and_a_failed_decision_itself() {
        let (identity, _) = identity();
        let dir = tempfile::tempdir().unwrap();
        for outcome_first in [true, false] {
            let journal = Journal::open(dir.path(), identity.clone(), at(0)).unwrap();
            let recorded = append(&journal, 1).unwrap();
            journal.quiesce().unwrap();
            let shared = journal.shared.as_ref().unwrap();
            lock(&shared.writer).unwrap().sink = Sink::broken();
            if outcome_first {
                assert!(journal.outcome(recorded, Outcome::Returned, None, at(1)).is_err());
                assert_eq!(append(&journal, 1).unwrap_err(), JournalPoisoned);
            } else {
                assert_eq!(append(&journal, 1).unwrap_err(), JournalUnavailable);
            }
            let again = append(&journal, 1).unwrap_err();
            assert_eq!(again, if outcome_first { JournalPoisoned } else { JournalUnavailable });
        }
    }

    #[test]
    fn a_failed_signature_write_denies_the_next_decision() {
        let (identity, gate) = identity();
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path(), identity, at(0)).unwrap();
        *gate.lock().unwrap() = Gate::Shut;
        drop(append(&journal, 1).unwrap());
        lock(&journal.shared.as_ref().unwrap().writer).unwrap().sink = Sink::broken();
        *gate.lock().unwrap() = Gate::Open;
        while journal.health().failed.is_none() {}
        assert_eq!(append(&journal, 1).unwrap_err(), JournalPoisoned);
    }

    #[test]
    fn quiescing_signs_everything_and_the_next_receipt_starts_the_thread_again() {
        let (identity, _) = identity();
        let journal = Journal::memory(&identity, at(0), 100).unwrap();
        for round in 1..4 {
            drop(append(&journal, round).unwrap());
            journal.quiesce().unwrap();
            assert_eq!(journal.health(), Health { unsigned: 0, oldest_mono_nanos: None, failed: None });
        }
        let sequences = journal
            .latest()
            .into_iter()
            .map(|token| UnverifiedReceipt::from_jws(&token).unwrap().0.statement().sequence);
        assert!(sequences.eq(0..4));
    }
}
