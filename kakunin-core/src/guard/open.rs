//! Opening a guard, and what it is made of.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use arc_swap::{ArcSwap, ArcSwapOption};

use super::anchor::log_key;
use super::clock::{Clock, SystemClock, Timekeeper};
use super::feed::FeedSource;
use super::keeper::{Look, PATIENCE};
use super::ledger::Ledger;
use super::proof::Proving;
use super::runtime::Runtime;
use super::source::{MemorySource, Source};
use super::turn::Turn;
use crate::certificate::AgentCertificate;
use crate::decision::DenialReason;
use crate::digest::Digest;
use crate::home::{AgentHome, HomeError};
use crate::id::AgentId;
use crate::journal::{JournalOptions, Sealing};
use crate::key::Signer;
use crate::log::{VerifierKey, VerifierKeyError};
use crate::receipt::Mode;
use crate::snapshot::{self, Refusal, Snapshot};

/// Enforces one agent's leash in this process. Cheap to clone; all clones are one guard.
#[derive(Clone, Debug)]
pub struct Guard(pub(super) Arc<Inner>);

/// Where an agent's state lives.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum StateChoice {
    /// In the agent's directory, `DIR/state`.
    #[default]
    Default,
    /// In a directory of its own: for agents whose directory is mounted read-only.
    Path(PathBuf),
    /// Nowhere: budgets, journal and known lists end with the process. Every receipt says so.
    Memory,
}

/// How a guard is opened.
#[derive(Clone, Debug)]
pub struct GuardOptions {
    /// Where state lives.
    pub state: StateChoice,
    /// [`Mode::Enforce`], or [`Mode::Observe`] to record what would be denied by request, scope and budget and run it.
    pub mode: Mode,
    /// The clocks.
    pub clock: Arc<dyn Clock>,
    /// How receipts are kept. What is said here stands over the agent's settings.
    pub journal: JournalOptions,
    /// Who signs receipts, if the agent's key is not in its directory: it has to be the key of the certificate.
    pub signer: Option<Arc<Signer>>,
    /// The feed of the authority. A list that asks for one allows nothing without it.
    pub feed: Option<Arc<FeedSource>>,
}

impl Default for GuardOptions {
    fn default() -> Self {
        Self {
            state: StateChoice::Default,
            mode: Mode::Enforce,
            clock: Arc::new(SystemClock),
            journal: JournalOptions::default(),
            signer: None,
            feed: None,
        }
    }
}

pub(super) struct Inner {
    pub(super) source: Source,
    /// The key of the owner's log, if the agent's settings name it.
    pub(super) log: Option<VerifierKey>,
    pub(super) state: StateChoice,
    pub(super) mode: Mode,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) times: Timekeeper,
    pub(super) journal: JournalOptions,
    signer: Option<Arc<Signer>>,
    pub(super) feed: Option<Arc<FeedSource>>,
    pub(super) agent: AgentId,
    /// The key of the issuing authority of the papers it was opened with, if they name it or prove it.
    pub(super) issuer: Option<Digest>,
    pub(super) current: ArcSwap<Current>,
    /// Serialises everything that replaces `current`, and the keeper's thread.
    pub(super) look: Turn<Look>,
    /// What an agent without a state directory has spent.
    pub(super) spent: Arc<Mutex<Ledger>>,
    /// What the agents that called this process have spent here.
    pub(super) callers: Turn<Ledger>,
    pub(super) notices: Turn<VecDeque<String>>,
    /// Who proves by the present certificate; made when it is first asked.
    pub(super) proving: ArcSwapOption<Proving>,
    pub(super) forked: AtomicBool,
    #[cfg(feature = "null-journal")]
    pub(super) null_journal: bool,
}

/// Everything a decision reads, replaced as a whole.
#[derive(Debug)]
pub(super) struct Current {
    pub(super) view: View,
    /// `None` until the first decision, and after a fork.
    pub(super) runtime: Option<Arc<Runtime>>,
}

impl Current {
    /// Whether what is decided by this view may be signed under `certificate`. In a renewal the journal is the first to go on
    /// under the new one, and a receipt under it that names a list or a scope of before would be one that nobody verifies.
    pub(super) fn is_signed_as(&self, certificate: &[u8]) -> bool {
        match &self.view {
            View::Ready(snapshot) => snapshot.agent().path().agent().decoded().der() == certificate,
            View::Refused(_) => true,
        }
    }
}

/// What there is to decide by.
#[derive(Clone, Debug)]
pub(super) enum View {
    Ready(Arc<Snapshot>),
    Refused(Arc<Refusal>),
}

impl Guard {
    /// Opens the agent in `home`. No thread starts and nothing is written before the first decision.
    ///
    /// A certificate that has expired, or lists that are missing, are no error: they deny until they are replaced.
    ///
    /// # Errors
    /// [`OpenError`] when the directory cannot be read or holds no certificate of an agent.
    pub fn open(home: AgentHome, options: GuardOptions) -> Result<Self, OpenError> {
        Self::of(Source::Directory(home), options)
    }

    /// Opens an agent whose papers and lists are handed over by code. Its state is in memory unless a path is chosen.
    ///
    /// # Errors
    /// As [`Guard::open`].
    pub fn in_memory(source: Arc<MemorySource>, mut options: GuardOptions) -> Result<Self, OpenError> {
        if options.state == StateChoice::Default {
            options.state = StateChoice::Memory;
        }
        Self::of(Source::Memory(source), options)
    }

    /// As [`Guard::in_memory`], but no receipt is made: only benchmarks measure with it.
    ///
    /// # Errors
    /// As [`Guard::open`].
    #[cfg(feature = "null-journal")]
    pub fn without_receipts(source: Arc<MemorySource>, options: GuardOptions) -> Result<Self, OpenError> {
        let guard = Self::in_memory(source, options)?;
        let mut inner = Arc::into_inner(guard.0).ok_or(OpenError::Shared)?;
        inner.null_journal = true;
        Ok(Self(Arc::new(inner)))
    }

    fn of(source: Source, options: GuardOptions) -> Result<Self, OpenError> {
        let papers = source.papers()?;
        // Who the agent is must be readable; whether anyone vouches for it is looked at with every refresh.
        let certificate = AgentCertificate::decode(&papers.agent).map_err(OpenError::Certificate)?;
        let agent = certificate.agent();
        // WIRE 2: one issuing authority, whatever else stands under the root. Whoever does not name it means the one of the
        // papers in hand, also when they have ended meanwhile.
        let proven = || snapshot::prove(&papers, certificate.decoded().validity().not_before).ok();
        let issuer = papers.issuer.or_else(|| Some(proven()?.issuing().decoded().key().key_id()));
        if options.signer.is_none() {
            source.key()?;
        }
        let refusal = Refusal::new(DenialReason::RevocationMissing, "nothing was looked at yet");
        let current = Current { view: View::Refused(Arc::new(refusal)), runtime: None };
        let GuardOptions { mut state, mode, clock, mut journal, signer, feed } = options;
        let mut log = None;
        // Memory keeps nothing: a level would promise what nobody holds. What the settings say is for where there is a disk.
        if state_place(&state, &source).is_none() && !journal.levels.is_empty() {
            return Err(OpenError::LevelsInMemory);
        }
        if let Source::Directory(home) = &source {
            journal.levels = journal.levels.or_else(home.levels());
            let sealed = |sealed| if sealed { Sealing::Groups } else { Sealing::Each };
            journal.sealing = journal.sealing.or(home.sealed().map(sealed));
            log = log_key(home).map_err(OpenError::Log)?;
        }
        if let StateChoice::Path(path) = &mut state {
            // As the lists: a change of the working directory must not begin another state.
            let io = |source| HomeError::Io { path: path.clone(), source };
            *path = std::path::absolute(&*path).map_err(io)?;
        }
        if let Some(place) = state_place(&state, &source) {
            AgentHome::refuse_loose_state(&place).map_err(HomeError::LooseState)?;
        }
        let idle: VecDeque<String> = journal
            .levels
            .for_nothing(&certificate.scope().parts().actions)
            .map(|pattern| {
                format!("the journal level of `{pattern}` is for no action that the certificate allows; is it misspelt?")
            })
            .collect();
        Ok(Self(Arc::new(Inner {
            times: Timekeeper::start(&*clock),
            source,
            log,
            state,
            mode,
            clock,
            journal,
            signer,
            feed,
            agent,
            issuer,
            current: ArcSwap::from_pointee(current),
            look: Turn::default(),
            spent: Arc::new(Mutex::new(Ledger::memory())),
            callers: Turn::with(Ledger::memory()),
            notices: Turn::with(idle),
            proving: ArcSwapOption::empty(),
            forked: AtomicBool::new(false),
            #[cfg(feature = "null-journal")]
            null_journal: false,
        })))
    }

    /// Who is guarded.
    #[must_use]
    pub fn agent(&self) -> AgentId {
        self.0.agent
    }

    /// Whether denials stop actions.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.0.mode
    }

    /// Looks at the world now instead of within 250 ms: clocks, papers, lists.
    ///
    /// `false` says that it did not look: another look, or a fork, was in the way for 100 ms. Decisions go on by what was known
    /// before, and look by themselves, or deny, once that is too old.
    pub fn refresh(&self) -> bool {
        self.0.refresh()
    }

    /// What is known at present, if there is anything to decide by.
    ///
    /// # Errors
    /// [`Refusal`]: why every decision is denied.
    pub fn snapshot(&self) -> Result<Arc<Snapshot>, Refusal> {
        self.refresh();
        match &self.0.current.load().view {
            View::Ready(snapshot) => Ok(Arc::clone(snapshot)),
            View::Refused(refusal) => Err((**refusal).clone()),
        }
    }

    /// Whether some request for `action` can ever be allowed by the present certificate; `true` while none is known.
    #[must_use]
    pub fn may_ever(&self, action: &str) -> bool {
        match &self.0.current.load().view {
            View::Ready(snapshot) => snapshot.leash().may_ever(action),
            View::Refused(_) => true,
        }
    }

    /// Takes what happened since the last call and an operator should know: refused lists, failed renewals.
    #[must_use]
    pub fn take_notices(&self) -> Vec<String> {
        self.0.notices.take(PATIENCE, |_| {}).map_or_else(Vec::new, |mut notices| notices.drain(..).collect())
    }

    /// Ends the stream of receipts properly and joins all threads. Decisions after it open a new stream.
    pub fn close(&self) {
        self.0.stop();
    }

    /// Prepares for a fork: signs what waits, joins all threads and takes the locks, which a child would otherwise find
    /// locked for ever. Until one of the other two is called, a decision that has to look first is denied.
    pub fn before_fork(&self) {
        self.0.begin_fork();
    }

    /// Goes on in the parent of a fork, or after one that failed. Threads start again with the next decision.
    pub fn after_fork_in_parent(&self) {
        self.0.end_fork();
        self.refresh();
    }

    /// Goes on in the child of a fork: with a stream of its own, or not at all if the state was in memory.
    pub fn after_fork_in_child(&self) {
        self.0.begin_anew_in_child();
    }
}

/// The directory of state, if there is one.
pub(super) fn state_place(state: &StateChoice, source: &Source) -> Option<PathBuf> {
    match (state, source) {
        (StateChoice::Path(path), _) => Some(path.clone()),
        (StateChoice::Default, Source::Directory(home)) => Some(home.default_state()),
        (StateChoice::Memory, _) | (StateChoice::Default, Source::Memory(_)) => None,
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Inner({}, {:?})", self.agent, self.state)
    }
}

impl Inner {
    /// Who signs receipts.
    pub(super) fn signer(&self) -> Result<Arc<Signer>, HomeError> {
        match &self.signer {
            Some(signer) => Ok(Arc::clone(signer)),
            None => self.source.key().map(|key| Arc::new(Signer::soft(key))),
        }
    }

    pub(super) fn notice(&self, text: String) {
        let Some(mut notices) = self.notices.take(PATIENCE, |_| {}) else { return };
        // Enough for a person to see what repeats; the newest are kept.
        if notices.len() == 64 {
            notices.pop_front();
        }
        if notices.back() != Some(&text) {
            notices.push_back(text);
        }
    }

    /// Whether state ends with the process.
    pub(super) fn is_in_memory(&self) -> bool {
        state_place(&self.state, &self.source).is_none()
    }

    pub(super) fn is_forked(&self) -> bool {
        self.forked.load(Ordering::Relaxed)
    }
}

/// A guard that could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The agent's directory.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The agent's certificate.
    #[error(transparent)]
    Certificate(crate::certificate::CertificateError),
    /// The key of the log in the agent's settings.
    #[error("`log` in agent.toml: {0}")]
    Log(VerifierKeyError),
    /// Levels for a journal that is kept in memory.
    #[error(
        "state in memory is on no disk, so its journal has no levels; choose a path for the state, or leave them out"
    )]
    LevelsInMemory,
    /// The guard is used already.
    #[error("the guard is shared already")]
    Shared,
}
