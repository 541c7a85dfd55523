//! What is known of how agents behave: how far their receipts were looked at, and what came of it.
//!
//! Receipts are kept first and looked at afterwards, so that looking holds up nobody who sends. What was looked at is one
//! place among the receipts of a tenant, and it moves in the transaction that keeps what the receipts changed: after a
//! crash nothing is looked at twice, and nothing is left out. What comes from elsewhere is handed in as a [`RiskSign`], in
//! the transaction of its cause, and taken out in the transaction that keeps what it changed.
//!
//! What changed is a [`RiskEvent`]. One without a seal is still owed: its order, its signature and its entry in the audit
//! log come afterwards, and again after a crash in between.

use kakunin_core::digest::Digest;
use kakunin_core::id::{AgentId, StreamId};
use kakunin_core::risk::RiskLevel;
use kakunin_core::time::UnixTime;

use super::{ReceiptPlace, StoreError};
use crate::access::{Actor, TenantId};

/// How agents behave.
pub trait Risk {
    /// The last receipt of a tenant that was looked at.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn risk_place(&self, tenant: &TenantId) -> Result<Option<ReceiptPlace>, StoreError>;

    /// Says that the receipts of a tenant were looked at up to this one.
    ///
    /// # Errors
    /// [`StoreError::UnknownAgent`] when the place is of an agent that the tenant does not have.
    fn set_risk_place(&mut self, tenant: &TenantId, place: &ReceiptPlace) -> Result<(), StoreError>;

    /// Numbers from `first` to `last` of a stream that have more than one receipt, ascending: at most 16.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn forks(
        &self,
        tenant: &TenantId,
        agent: AgentId,
        stream: StreamId,
        first: u64,
        last: u64,
    ) -> Result<Vec<u64>, StoreError>;

    /// How many numbers from `first` to `last` of a stream have a receipt.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn count_numbers(
        &self,
        tenant: &TenantId,
        agent: AgentId,
        stream: StreamId,
        first: u64,
        last: u64,
    ) -> Result<u64, StoreError>;

    /// The highest number below `number` of a stream that has a receipt.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn number_below(
        &self,
        tenant: &TenantId,
        agent: AgentId,
        stream: StreamId,
        number: u64,
    ) -> Result<Option<u64>, StoreError>;

    /// What is known of an agent.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn risk(&self, tenant: &TenantId, agent: AgentId) -> Result<Option<RiskRecord>, StoreError>;

    /// The short of what is known of the agents of a tenant, by id: at most `limit`, with ids behind `after`.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn risk_heads(
        &self,
        tenant: &TenantId,
        after: Option<AgentId>,
        limit: u32,
    ) -> Result<Vec<RiskHead>, StoreError>;

    /// Keeps what is known of an agent, in the place of what was known.
    ///
    /// # Errors
    /// [`StoreError::UnknownAgent`] when its tenant does not have it.
    fn keep_risk(&mut self, record: &RiskRecord) -> Result<(), StoreError>;

    /// How many agents stand at each level, by level; levels without any are left out.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn count_risks(&self) -> Result<Vec<(RiskLevel, u64)>, StoreError>;

    /// Hands in something that is no receipt, and says its number.
    ///
    /// # Errors
    /// [`StoreError::UnknownAgent`] when its tenant does not have the agent.
    fn hand_in_sign(&mut self, sign: &RiskSign) -> Result<u64, StoreError>;

    /// What was handed in of a tenant and not taken out, in its order: at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn signs(&self, tenant: &TenantId, limit: u32) -> Result<Vec<(u64, RiskSign)>, StoreError>;

    /// Takes one out, and says whether it was there.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be made durable.
    fn take_out_sign(&mut self, number: u64) -> Result<bool, StoreError>;

    /// Adds something that happened, and says its number.
    ///
    /// # Errors
    /// [`StoreError::UnknownAgent`] when its tenant does not have the agent.
    fn add_risk_event(&mut self, event: &RiskEvent) -> Result<u64, StoreError>;

    /// What happened to an agent, the last first, each with its number: at most `limit`, with numbers below `below`.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn risk_events(
        &self,
        tenant: &TenantId,
        agent: AgentId,
        below: Option<u64>,
        limit: u32,
    ) -> Result<Vec<(u64, RiskEvent)>, StoreError>;

    /// What happened and is not sealed, of every tenant, the first first: at most `limit`, with numbers above `after`.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn open_risk_events(&self, after: u64, limit: u32) -> Result<Vec<(u64, RiskEvent)>, StoreError>;

    /// Seals what happened, and says whether it was there without one: what is sealed stays as it is.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be made durable.
    fn seal_risk_event(&mut self, number: u64, seal: &RiskSeal) -> Result<bool, StoreError>;

    /// Adds a check of a text, and says its number.
    ///
    /// # Errors
    /// [`StoreError::UnknownAgent`] when its tenant does not have the agent.
    fn add_check(&mut self, check: &ContentCheck) -> Result<u64, StoreError>;

    /// Says what came of a check, and whether it was pending.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be made durable.
    fn end_check(
        &mut self,
        number: u64,
        verdict: Verdict,
        findings: &str,
        at: UnixTime,
    ) -> Result<bool, StoreError>;

    /// Ends every check that is pending, and says how many: the texts are gone. One for which something was found already
    /// ends as [`Verdict::Found`] with that, the others as [`Verdict::Unknown`].
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be made durable.
    fn give_up_checks(&mut self, findings: &str, at: UnixTime) -> Result<u64, StoreError>;

    /// The newest checks of texts of an agent since then, the last first: at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn checks(
        &self,
        tenant: &TenantId,
        agent: AgentId,
        since: UnixTime,
        limit: u32,
    ) -> Result<Vec<(u64, ContentCheck)>, StoreError>;

    /// How many checks of texts of an agent since then have each verdict, by verdict; those without any are left out.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn count_checks(
        &self,
        tenant: &TenantId,
        agent: AgentId,
        since: UnixTime,
    ) -> Result<Vec<(Verdict, u64)>, StoreError>;
}

/// What is known of an agent without its baseline and the state of its monitor, which may be large.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RiskHead {
    /// Which one.
    pub agent: AgentId,
    /// How it behaves.
    pub level: RiskLevel,
    /// Whether it has a baseline.
    pub has_baseline: bool,
    /// When the last of its receipts came that were looked at.
    pub last: Option<UnixTime>,
    /// The longest pause between two that came while it was learnt, in seconds.
    pub pause: i64,
    /// Whether it was told that it is silent.
    pub silent: bool,
    /// Numbers that are missing in its streams.
    pub gaps: Option<String>,
}

/// What is known of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RiskRecord {
    /// Whose agent it is.
    pub tenant: TenantId,
    /// Which one.
    pub agent: AgentId,
    /// How it behaves.
    pub level: RiskLevel,
    /// The same as a number, 0 to 1000.
    pub score: u16,
    /// A policy of its own, as it was written.
    pub policy: Option<String>,
    /// What it did when it was learnt, once that is frozen.
    pub baseline: Option<String>,
    /// Where the monitor is.
    pub state: Option<String>,
    /// How many allowed calls of it were seen since it is learnt.
    pub calls: u64,
    /// How many there were when it could not be learnt; 0 while nobody tried.
    pub tried: u64,
    /// Why it could not be learnt then.
    pub unlearnt: Option<String>,
    /// When the first of its receipts came that were looked at since it is learnt.
    pub first: Option<UnixTime>,
    /// When the last one came.
    pub last: Option<UnixTime>,
    /// The longest pause between two that came, in seconds.
    pub pause: i64,
    /// Whether it was told that it is silent.
    pub silent: bool,
    /// Numbers that are missing in its streams, as [`crate::watch`] writes them.
    pub gaps: Option<String>,
    /// When something of this changed.
    pub updated: UnixTime,
}

impl RiskRecord {
    /// Nothing is known of an agent yet.
    #[must_use]
    pub const fn new(tenant: TenantId, agent: AgentId, at: UnixTime) -> Self {
        Self {
            tenant,
            agent,
            level: RiskLevel::Clear,
            score: 0,
            policy: None,
            baseline: None,
            state: None,
            calls: 0,
            tried: 0,
            unlearnt: None,
            first: None,
            last: None,
            pause: 0,
            silent: false,
            gaps: None,
            updated: at,
        }
    }
}

/// Something about an agent that is no receipt of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RiskSign {
    /// Whose agent it is about.
    pub tenant: TenantId,
    /// Which one.
    pub agent: AgentId,
    /// What it is.
    pub kind: SignKind,
    /// How much it weighs: a score from 0 to 100, as hosted clients know it.
    pub weight: u8,
    /// What happened, in a sentence.
    pub sentence: String,
    /// The event, check, note or receipt that it comes from.
    pub cause: Option<Digest>,
    /// When it was handed in.
    pub at: UnixTime,
}

/// What a sign is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SignKind {
    /// Somebody with a key declared an event.
    Declared,
    /// A declared event was said to lie far back.
    BackDated,
    /// A text was checked.
    Content,
    /// The log of the agent signed two trees of one size.
    Forked,
    /// A note of a log does not fit another one, which anybody could have brought.
    Contradiction,
    /// A gateway says that a proof of the agent came twice.
    Replayed,
}

impl SignKind {
    /// Every kind.
    pub const ALL: [Self; 6] =
        [Self::Declared, Self::BackDated, Self::Content, Self::Forked, Self::Contradiction, Self::Replayed];

    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Declared => "declared",
            Self::BackDated => "back-dated",
            Self::Content => "content",
            Self::Forked => "forked",
            Self::Contradiction => "contradiction",
            Self::Replayed => "replayed",
        }
    }

    /// The kind with this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

/// Something that happened to what is known of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RiskEvent {
    /// Whose agent it is.
    pub tenant: TenantId,
    /// Which one.
    pub agent: AgentId,
    /// What happened.
    pub kind: RiskEventKind,
    /// The level from then on.
    pub level: RiskLevel,
    /// The score then.
    pub score: u16,
    /// By whom.
    pub actor: Actor,
    /// What is signed: canonical JSON in one line, with the evidence.
    pub text: String,
    /// When.
    pub at: UnixTime,
    /// The signature, once there is one.
    pub seal: Option<RiskSeal>,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RiskEventKind {
    /// A baseline was frozen.
    Baseline,
    /// The level changed.
    Level,
    /// A policy was set, or taken away.
    Policy,
}

impl RiskEventKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Baseline, Self::Level, Self::Policy];

    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Level => "level",
            Self::Policy => "policy",
        }
    }

    /// The kind with this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

/// A signature over what happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RiskSeal {
    /// As X.509 has it.
    pub signature: Vec<u8>,
    /// SHA-256 of the key that signed.
    pub key: Digest,
    /// When.
    pub at: UnixTime,
}

/// A check of a text. The text itself is kept nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentCheck {
    /// Whose agent it is about.
    pub tenant: TenantId,
    /// Which one.
    pub agent: AgentId,
    /// Who checks.
    pub provider: String,
    /// Where the text comes from, in the words of whoever sent it.
    pub source: Option<String>,
    /// How whoever sent it names it.
    pub message: Option<String>,
    /// How many characters it has.
    pub length: u32,
    /// What came of it.
    pub verdict: Verdict,
    /// What was found, in JSON; or why nothing is known.
    pub findings: String,
    /// When it came.
    pub at: UnixTime,
    /// When the verdict was there.
    pub ended: Option<UnixTime>,
}

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Nothing yet.
    Pending,
    /// Nothing was found.
    Clean,
    /// Something was found.
    Found,
    /// Nobody knows: whoever should have checked did not answer.
    Unknown,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Clean, Self::Found, Self::Unknown];

    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Clean => "clean",
            Self::Found => "found",
            Self::Unknown => "unknown",
        }
    }

    /// The verdict with this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.word() == word)
    }
}

/// How many forked numbers are named at once: one is enough to act.
pub(crate) const MOST_FORKS: u32 = 16;

/// A number as the databases keep it.
pub(crate) fn kept_number(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::Damaged { what: "number of a risk record" })
}
