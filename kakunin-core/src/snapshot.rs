//! One immutable view to decide by: the leash, and until when the standing behind it is proven.
//!
//! Made from papers and lists at some time, replaced as a whole when either changes. A decision compares the time
//! with numbers that were worked out here.

use std::sync::Arc;

use crate::certificate::{AgentCertificate, AgentPath, PathLists, TrustAnchors, VerifiedAgent};
use crate::decision::{Decision, Denial, DenialReason};
use crate::feed::Follower;
use crate::home::Papers;
use crate::leash::Leash;
use crate::receipt::ListUse;
use crate::request::ActionRequest;
use crate::revocation::Standing;
use crate::scope::ProvenNames;
use crate::time::{UnixMillis, UnixTime};

/// A view to decide by. It never changes; a newer one takes its place.
#[derive(Debug)]
pub struct Snapshot {
    agent: VerifiedAgent,
    leash: Arc<Leash>,
    word: StandingWord,
    list: ListUse,
    /// What the feed says of everybody, where it counts.
    follower: Option<Arc<Follower>>,
}

/// Standing, epoch and deadline in one word: 2, 22 and 40 bits.
///
/// It is read before anything else of a decision: everything but a good standing before the deadline leaves the fast path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StandingWord(u64);

impl StandingWord {
    fn new(standing: Standing, epoch: u64, good_until: UnixTime) -> Self {
        let standing = match standing {
            Standing::Good => 0,
            Standing::Held => 1,
            Standing::Revoked => 2,
        };
        // 40 bits of seconds end in the year 36812; a deadline before 1970 is none.
        let deadline = u64::try_from(good_until.seconds()).unwrap_or(0).min((1 << 40) - 1);
        Self(standing << 62 | (epoch & 0x3f_ffff) << 40 | deadline)
    }

    /// Whether the standing is good and `now` is not past the deadline.
    #[must_use]
    pub const fn is_good_at(self, now: UnixTime) -> bool {
        let deadline = (self.0 & ((1 << 40) - 1)).cast_signed();
        self.0 >> 62 == 0 && now.seconds() <= deadline
    }

    /// The low bits of the epoch of the feed, or of the list's number where there is none.
    #[must_use]
    pub const fn epoch(self) -> u64 {
        self.0 >> 40 & 0x3f_ffff
    }
}

impl Snapshot {
    /// Joins a verified agent and its compiled leash.
    #[must_use]
    pub fn new(agent: VerifiedAgent, leash: Arc<Leash>) -> Self {
        let list = agent.lists().issuing();
        let head = agent.feed().and_then(|word| word.head);
        let epoch = head.map_or(list.number().to_u64().unwrap_or(u64::MAX), |head| head.epoch());
        let word = StandingWord::new(agent.standing(), epoch, agent.good_until());
        let list = ListUse { feed: head, ..ListUse::of(list) };
        Self { list, word, leash, agent, follower: None }
    }

    /// The same with the feed that the agent's word was taken from.
    pub(crate) fn following(self, follower: Option<Arc<Follower>>) -> Self {
        Self { follower, ..self }
    }

    /// What the feed says of everybody.
    pub(crate) const fn follower(&self) -> Option<&Arc<Follower>> {
        self.follower.as_ref()
    }

    /// Proves papers and lists at `now` and compiles the scope.
    ///
    /// # Errors
    /// [`Refusal`]: the reason that every decision is denied with until something changes.
    pub fn build(papers: &Papers, lists: &[u8], now: UnixTime) -> Result<Self, Refusal> {
        let agent = join(prove(papers, now)?, lists, now)?;
        let leash = Leash::compile(&agent, &papers.names);
        let leash = leash.map_err(|error| Refusal::new(DenialReason::ScopeHours, error))?;
        Ok(Self::new(agent, Arc::new(leash)))
    }

    /// The proven agent.
    #[must_use]
    pub const fn agent(&self) -> &VerifiedAgent {
        &self.agent
    }

    /// The compiled scope.
    #[must_use]
    pub const fn leash(&self) -> &Arc<Leash> {
        &self.leash
    }

    /// The list that receipts name.
    #[must_use]
    pub const fn list(&self) -> &ListUse {
        &self.list
    }

    /// The standing word.
    #[must_use]
    pub const fn word(&self) -> StandingWord {
        self.word
    }

    /// Decides by standing and scope.
    #[inline]
    pub fn decide(&self, request: &ActionRequest<'_>, now: UnixMillis) -> Decision {
        match self.denial(now) {
            Some(reason) => Decision::Deny(Denial::new(reason)),
            None => self.leash.decide(request, now),
        }
    }

    /// As [`Snapshot::decide`], with what is `proven` of detached lists that are missing.
    pub fn decide_proven(
        &self,
        request: &ActionRequest<'_>,
        now: UnixMillis,
        proven: &ProvenNames,
    ) -> Decision {
        match self.denial(now) {
            Some(reason) => Decision::Deny(Denial::new(reason)),
            None => self.leash.decide_proven(request, now, proven),
        }
    }

    /// Why the agent may do nothing at `now`, if that is so: its standing, its time, its lists.
    #[inline]
    #[must_use]
    pub fn denial(&self, now: UnixMillis) -> Option<DenialReason> {
        let second = now.to_seconds();
        let good = self.word.is_good_at(second)
            && second >= self.agent.path().agent().decoded().validity().not_before;
        if good { None } else { self.agent.denial(second) }
    }
}

/// Proves the path of `papers` at `now`.
///
/// # Errors
/// [`Refusal`] with the reason of the first thing that is wrong.
pub fn prove(papers: &Papers, now: UnixTime) -> Result<AgentPath, Refusal> {
    let certificate = AgentCertificate::decode(&papers.agent)
        .map_err(|error| Refusal::new(DenialReason::CertificateMalformed, error))?;
    let anchors = TrustAnchors::new(papers.roots.iter().map(Vec::as_slice));
    let anchors = anchors.map_err(|error| Refusal::new(error.reason(), error))?;
    let anchors = match papers.issuer {
        Some(pin) => anchors.pin_issuer(pin),
        None => anchors,
    };
    let path = certificate.verify_path(papers.chain.iter().map(Vec::as_slice), &anchors, now);
    path.map_err(|error| Refusal::new(error.reason(), error))
}

/// Joins a path with the lists in a PEM file, at `now`.
///
/// # Errors
/// [`Refusal`] with the reason of the first thing that is wrong.
pub fn join(path: AgentPath, lists: &[u8], now: UnixTime) -> Result<VerifiedAgent, Refusal> {
    let lists = PathLists::from_pem(lists, &path).map_err(|error| Refusal::new(error.reason(), error))?;
    path.with_lists(lists, now).map_err(|error| Refusal::new(error.reason(), error))
}

/// Why nothing can be decided, and therefore everything is denied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} [{}]", reason.code())]
pub struct Refusal {
    reason: DenialReason,
    what: String,
}

impl Refusal {
    /// A refusal because of `error`.
    #[must_use]
    pub fn new(reason: DenialReason, error: impl ToString) -> Self {
        Self { reason, what: error.to_string() }
    }

    /// The reason of every denial.
    #[must_use]
    pub const fn reason(&self) -> DenialReason {
        self.reason
    }

    /// What was found, for the operator.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }
}
