//! What was looked at, and what came of it.

use std::fmt;

use crate::reason::DenialReason;

/// A thing that the gate looks at, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// The certificate, its path to a root, its dates.
    Certificate,
    /// The lists, and how the agent stands by them.
    Standing,
    /// The scope, beside the one that was promoted last.
    Scope,
    /// The receipts: that they verify and that none is missing.
    Log,
    /// Whether they are enough, new enough, and this agent's.
    Evidence,
    /// Whether the agent was held by its leash while it wrote them.
    Mode,
    /// The risk in them, replayed.
    Risk,
    /// The leash's own examples.
    Leash,
    /// The level of risk, against the one that the policy names.
    Threshold,
}

impl Step {
    /// All of them, in order.
    pub const ALL: [Self; 9] = [
        Self::Certificate,
        Self::Standing,
        Self::Scope,
        Self::Log,
        Self::Evidence,
        Self::Mode,
        Self::Risk,
        Self::Leash,
        Self::Threshold,
    ];

    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::Standing => "standing",
            Self::Scope => "scope",
            Self::Log => "log",
            Self::Evidence => "evidence",
            Self::Mode => "mode",
            Self::Risk => "risk",
            Self::Leash => "leash",
            Self::Threshold => "threshold",
        }
    }
}

/// What came of a check, and of all of them: the first that is here in this order counts, so what is known to be wrong is
/// not hidden behind what could not be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// It holds.
    Pass,
    /// Nobody can say, so it does not pass.
    CannotEvaluate,
    /// It does not hold.
    Fail,
}

impl Outcome {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::CannotEvaluate => "cannot-evaluate",
            Self::Fail => "fail",
        }
    }

    /// The exit code of `kakunin gate`.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Fail => 1,
            Self::CannotEvaluate => 2,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// One check, done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    step: Step,
    outcome: Outcome,
    code: Code,
    sentence: String,
}

impl Check {
    pub(super) fn pass(step: Step, sentence: impl Into<String>) -> Self {
        Self { step, outcome: Outcome::Pass, code: Code::Ok, sentence: sentence.into() }
    }

    /// A check that did not pass; the code says whether that is known or only not known otherwise.
    pub(super) fn refuse(step: Step, code: Code, sentence: impl Into<String>) -> Self {
        Self { step, outcome: code.outcome(), code, sentence: sentence.into() }
    }

    /// What was looked at.
    #[must_use]
    pub const fn step(&self) -> Step {
        self.step
    }

    /// What came of it.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.code
    }

    /// What was found, in one line for people. Names in it are anybody's.
    #[must_use]
    pub fn sentence(&self) -> &str {
        &self.sentence
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $outcome:ident, $fix:literal;)*) => {
        /// Why a check did not pass.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code {
            /// It passed.
            Ok,
            /// A guard would deny by this reason.
            Denied(DenialReason),
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// Every code of the gate's own.
            pub const OWN: &'static [Self] = &[$(Self::$name),*];

            /// The code: `gate.ok`, one of the gate's own, or that of a denial.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    Self::Ok => "gate.ok",
                    Self::Denied(reason) => reason.code(),
                    $(Self::$name => $code,)*
                }
            }

            /// What to do about it.
            #[must_use]
            pub const fn fix(self) -> &'static str {
                match self {
                    Self::Ok => "nothing to do",
                    Self::Denied(reason) => reason.fix(),
                    $(Self::$name => $fix,)*
                }
            }

            const fn outcome(self) -> Outcome {
                match self {
                    Self::Ok => Outcome::Pass,
                    Self::Denied(reason) => of_denial(reason),
                    $(Self::$name => Outcome::$outcome,)*
                }
            }
        }
    };
}

codes! {
    /// A file, or what an authority was asked for, is not there or cannot be read.
    Unreadable = "gate.unreadable", CannotEvaluate, "give the gate what the sentence names";
    /// A check before this one has to pass first.
    NotReached = "gate.not_reached", CannotEvaluate, "see to the check that the sentence names";
    /// The list is older than the policy allows.
    ListOld = "gate.list_old", CannotEvaluate, "fetch the newest list right before the gate";
    /// The certificate is another agent's than the one that is asked about.
    OtherAgent = "gate.other_agent", Fail, "give the certificate of the agent that is to be promoted";
    /// The scope allows more than the one promoted last, and nobody approved that.
    ScopeWidened = "gate.scope_widened", Fail, "have the change approved: an [[approve]] in the policy with both digests";
    /// The one that was promoted last cannot be believed.
    PromotedInvalid = "gate.promoted_invalid", CannotEvaluate, "restore the record of the last promotion as the gate wrote it, and show by --as or in the policy that a gate did";
    /// The receipts are not what was signed.
    LogInvalid = "gate.log_invalid", Fail, "run kakunin verify on them, and find out who changed them";
    /// The receipts are authentic, and something lacks that the policy does not tolerate.
    LogIncomplete = "gate.log_incomplete", Fail, "close the agent before its journal is copied, or name what the policy tolerates";
    /// Only one chain is there, which says nothing of what else was done.
    LogPartial = "gate.log_partial", CannotEvaluate, "give the journal, or a bundle of whole streams";
    /// No receipt of this agent is there.
    EvidenceNone = "gate.evidence_none", CannotEvaluate, "let the agent run first; observe mode and a test system count if the policy says so";
    /// Fewer calls than the policy asks for.
    EvidenceFew = "gate.evidence_few", CannotEvaluate, "let the agent run longer";
    /// Newer evidence is needed.
    EvidenceOld = "gate.evidence_old", CannotEvaluate, "give the journal of the last days";
    /// Receipts claim a time that has not come.
    EvidenceFuture = "gate.evidence_future", CannotEvaluate, "set the clocks right, of the gate and of the agent";
    /// Receipts of another agent, or under another root.
    EvidenceForeign = "gate.evidence_foreign", Fail, "give the journal of this agent alone";
    /// Receipts of calls that no leash held.
    ObserveMode = "gate.observe_mode", Fail, "run the agent in enforce mode, or let the policy say observe = \"accept\"";
    /// Nothing to compare with.
    BaselineMissing = "gate.baseline_missing", CannotEvaluate, "give the baseline: kakunin risk baseline makes one";
    /// Another baseline than the one the policy names.
    BaselineOther = "gate.baseline_other", Fail, "give the baseline that the policy names, or have the policy changed";
    /// The policy names no baseline, so whoever hands one in chooses what is usual.
    BaselineUnnamed = "gate.baseline_unnamed", CannotEvaluate, "look at the baseline, and name its digest in the policy";
    /// Another risk policy than the one the policy names, or than the defaults if it names none.
    RiskPolicyOther = "gate.risk_policy_other", Fail, "give the risk policy that the policy names, or name this one's digest there";
    /// An example that must be allowed is denied.
    ExampleDenied = "gate.example_denied", Fail, "widen the scope by a new certificate, or correct the example";
    /// An example that must be denied is allowed.
    ExampleAllowed = "gate.example_allowed", Fail, "narrow the scope by a new certificate, or correct the example";
    /// An example is denied for another reason than it says.
    ExampleReason = "gate.example_reason", Fail, "correct the code in the example, or the scope";
    /// The leash cannot decide an example.
    ExampleUndecided = "gate.example_undecided", CannotEvaluate, "give the lists of names that the scope refers to with --names";
    /// The policy shows nothing that the leash must deny.
    ExamplesMissing = "gate.examples_missing", CannotEvaluate, "write at least one [[allowed]] and one [[denied]] into the policy";
    /// The level of risk is at or over the one that fails.
    RiskLevel = "gate.risk_level", Fail, "look at the changes with kakunin risk replay; what is explained is an [[explained]] in the policy";
}

/// A denial of the candidate: what is proven against it fails, what is not known cannot be evaluated.
const fn of_denial(reason: DenialReason) -> Outcome {
    match reason {
        DenialReason::CertificateMalformed
        | DenialReason::CertificateUntrusted
        | DenialReason::CertificateNotYetValid
        | DenialReason::CertificateExpired
        | DenialReason::CertificateRevoked
        | DenialReason::CertificateHeld
        | DenialReason::RevocationRollback => Outcome::Fail,
        _ => Outcome::CannotEvaluate,
    }
}
