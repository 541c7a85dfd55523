//! The closed list of what a control may be claimed by. There are no expressions: a control that needs another predicate
//! needs another arm here, with its judgement and its tests.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Something that verified receipts show or do not show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(tag = "predicate", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Predicate {
    /// Receipts follow one another without a gap, and somebody else confirms each end.
    LogContiguous {},
    /// Every call that could run has its decision and its outcome, both signed.
    AllWritesReceipted {},
    /// Denials that stopped something are recorded, each with its reason.
    DenialsRecorded {},
    /// Calls outside of what a certificate allows were denied, and the denials stopped them.
    ScopeDenied {},
    /// Every decision says who, what, when, and with what answer.
    DecisionsDescribed {},
    /// There were denials, and each stopped the action: none was only observed.
    Enforced {},
    /// Whoever was suspended or revoked was denied.
    StopEnforced {},
    /// Soon after a list was signed, no guard that ran decided by an older one, and each took it up.
    RevocationLatency {
        /// In at most so many seconds, for 99 of 100 lists.
        seconds: u32,
    },
    /// Every allowed action names the list it was decided by, and that list was in force.
    ListsFresh {},
    /// No certificate that signed lives longer than this: none is without an end.
    CertificatesExpire {
        /// The longest life.
        days: u32,
    },
    /// Each action that a certificate allows is named, or bounded in another way than by its name.
    ScopeBounded {},
    /// Every receipt is of an agent that one root names once.
    IdentitiesProven {},
    /// Whoever asked a gateway proved that it holds the key of its certificate.
    CallersProven {},
    /// Recorded decisions come out the same when they are decided again.
    DecisionsReplay {},
    /// Decision chains can be followed from receipt to receipt.
    ChainRebuilds {},
    /// Witnesses say when receipts existed.
    TimeWitnessed {},
    /// What was erased is said by a receipt.
    ErasuresRecorded {},
    /// Receipts that others show to be this far apart still verify together.
    RecordsKept {
        /// How far.
        days: u32,
    },
    /// A gate that may do nothing else promoted each other agent that signed something, and its outcome says so.
    GateSigned {},
    /// Behaviour was judged against a baseline, and the judgement can be repeated.
    RiskReplayed {},
}

impl Predicate {
    /// The word in data files and answers.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::LogContiguous {} => "log_contiguous",
            Self::AllWritesReceipted {} => "all_writes_receipted",
            Self::DenialsRecorded {} => "denials_recorded",
            Self::ScopeDenied {} => "scope_denied",
            Self::DecisionsDescribed {} => "decisions_described",
            Self::Enforced {} => "enforced",
            Self::StopEnforced {} => "stop_enforced",
            Self::RevocationLatency { .. } => "revocation_latency",
            Self::ListsFresh {} => "lists_fresh",
            Self::CertificatesExpire { .. } => "certificates_expire",
            Self::ScopeBounded {} => "scope_bounded",
            Self::IdentitiesProven {} => "identities_proven",
            Self::CallersProven {} => "callers_proven",
            Self::DecisionsReplay {} => "decisions_replay",
            Self::ChainRebuilds {} => "chain_rebuilds",
            Self::TimeWitnessed {} => "time_witnessed",
            Self::ErasuresRecorded {} => "erasures_recorded",
            Self::RecordsKept { .. } => "records_kept",
            Self::GateSigned {} => "gate_signed",
            Self::RiskReplayed {} => "risk_replayed",
        }
    }
}

impl fmt::Display for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RevocationLatency { seconds } => write!(f, "{} <= {seconds} s", self.word()),
            Self::CertificatesExpire { days } => write!(f, "{} <= {days} d", self.word()),
            Self::RecordsKept { days } => write!(f, "{} >= {days} d", self.word()),
            _ => f.write_str(self.word()),
        }
    }
}
