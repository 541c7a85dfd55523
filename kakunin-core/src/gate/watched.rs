//! The gate where agents are watched all the time: by what a service keeps of one, without their receipts in hand.
//!
//! The receipts were proved when they came, and the level was worked out meanwhile, so what is left is to ask whether there is
//! enough of both. Clients of the hosted service take everything but a plain no for leave: what cannot be evaluated is
//! therefore [`Promotion::Fail`].

use super::check::{Check, Code, Outcome, Step};
use super::policy::GatePolicy;
use crate::reason::DenialReason;
use crate::revocation::Standing;
use crate::risk::RiskLevel;
use crate::time::UnixTime;

/// What is kept of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// The end of the certificate that ends last of those that are good and have begun, if there is one.
    pub certified_until: Option<UnixTime>,
    /// How it stands.
    pub standing: Standing,
    /// Calls of its own in the time that counts, held by its leash or only observed, whose receipts were proved and looked at.
    pub calls: u64,
    /// Those of them that no leash held.
    pub observed: u64,
    /// Events of that time that somebody with a key declared: claims, and no evidence.
    pub declared: u64,
    /// Whether what is usual for it was learnt and is frozen.
    pub is_learnt: bool,
    /// Why it could not be learnt, when that was tried.
    pub unlearnt: Option<String>,
    /// The worst level of that time, if it was watched at all.
    pub worst: Option<RiskLevel>,
    /// The worst level of that time for which receipts alone speak, and nothing that was declared.
    pub proven: RiskLevel,
    /// The level now.
    pub present: RiskLevel,
}

/// The answer, in the words of the hosted service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promotion {
    /// It may be promoted.
    Pass,
    /// Somebody has to look first.
    ActionRequired,
    /// It may not.
    Fail,
}

impl Promotion {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::ActionRequired => "action_required",
            Self::Fail => "fail",
        }
    }
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watching {
    promotion: Promotion,
    checks: Vec<Check>,
    is_hard: bool,
}

impl Watching {
    /// The answer.
    #[must_use]
    pub const fn promotion(&self) -> Promotion {
        self.promotion
    }

    /// The checks, in order.
    #[must_use]
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// Whether the agent's own conduct failed so hard that a revocation may follow: by enough receipts that were proved, at a
    /// level that still is, of an agent that is held for it. Whoever let it act again decided otherwise.
    #[must_use]
    pub const fn is_hard(&self) -> bool {
        self.is_hard
    }
}

impl GatePolicy {
    /// Judges what is kept of an agent, at `at`. Examples, approvals and journals are of the gate that has files.
    #[must_use]
    pub fn judge_watched(&self, watched: &Watched, at: UnixTime) -> Watching {
        let denied = |step, reason: DenialReason| Check::refuse(step, Code::Denied(reason), reason.what());
        let certificate = match watched.certified_until {
            None => Check::refuse(Step::Certificate, Code::Unreadable, "it has no certificate that is good"),
            Some(until) if at > until => denied(Step::Certificate, DenialReason::CertificateExpired),
            Some(until) => Check::pass(Step::Certificate, format!("good until {until}")),
        };
        let standing = match watched.standing {
            Standing::Good => Check::pass(Step::Standing, "good"),
            Standing::Held => denied(Step::Standing, DenialReason::CertificateHeld),
            Standing::Revoked => denied(Step::Standing, DenialReason::CertificateRevoked),
        };
        let (calls, declared, least) = (watched.calls, watched.declared, self.min_calls);
        let evidence = match calls {
            0 => Check::refuse(
                Step::Evidence,
                Code::EvidenceNone,
                format!("no receipt in the window, and {declared} declared events, which nobody signed"),
            ),
            calls if calls < least => Check::refuse(
                Step::Evidence,
                Code::EvidenceFew,
                format!("{calls} calls, {least} are asked for"),
            ),
            calls => Check::pass(Step::Evidence, format!("{calls} calls, {declared} declared events")),
        };
        let mode = match watched.observed {
            0 => Check::pass(Step::Mode, "every call was held by the leash"),
            observed => Check::refuse(
                Step::Mode,
                Code::ObserveMode,
                format!("{observed} calls in observe mode: no leash held them"),
            ),
        };
        let risk = match (watched.worst, watched.is_learnt) {
            (Some(_), true) => Check::pass(Step::Risk, "watched against its own baseline"),
            (Some(_), false) => {
                let sentence = match &watched.unlearnt {
                    None => "what is usual for it is still being learnt".to_owned(),
                    Some(why) => format!("what is usual for it could not be learnt: {why}"),
                };
                Check::refuse(Step::Risk, Code::BaselineMissing, sentence)
            }
            (None, _) => Check::refuse(Step::Risk, Code::BaselineMissing, "it was never watched"),
        };
        let threshold = match watched.worst {
            None => {
                Check::refuse(Step::Threshold, Code::NotReached, "the check of the risk did not come so far")
            }
            Some(level) if level >= self.fail_on => {
                Check::refuse(Step::Threshold, Code::RiskLevel, format!("the level was {}", level.word()))
            }
            Some(level) => Check::pass(Step::Threshold, format!("the level was {} at most", level.word())),
        };
        let worst = watched.worst.unwrap_or(RiskLevel::Clear);
        let is_hard = evidence.outcome() == Outcome::Pass
            && threshold.code() == Code::RiskLevel
            && watched.standing == Standing::Held
            && watched.present.min(watched.proven) >= RiskLevel::Suspend;
        let checks = vec![certificate, standing, evidence, mode, risk, threshold];
        let promotion = match checks.iter().all(|check| check.outcome() == Outcome::Pass) {
            false => Promotion::Fail,
            true if worst > RiskLevel::Clear => Promotion::ActionRequired,
            true => Promotion::Pass,
        };
        Watching { promotion, checks, is_hard }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Watched {
        Watched {
            certified_until: Some(UnixTime::from_seconds(2_000)),
            standing: Standing::Good,
            calls: 100,
            observed: 0,
            declared: 0,
            is_learnt: true,
            unlearnt: None,
            worst: Some(RiskLevel::Clear),
            proven: RiskLevel::Clear,
            present: RiskLevel::Clear,
        }
    }

    fn judge(watched: &Watched) -> Watching {
        GatePolicy::default().judge_watched(watched, UnixTime::from_seconds(1_000))
    }

    #[test]
    fn nothing_that_is_missing_passes() {
        assert_eq!(judge(&good()).promotion(), Promotion::Pass);
        for less in [
            Watched { certified_until: None, ..good() },
            Watched { certified_until: Some(UnixTime::from_seconds(999)), ..good() },
            Watched { standing: Standing::Held, ..good() },
            Watched { standing: Standing::Revoked, ..good() },
            Watched { calls: 0, ..good() },
            Watched { calls: 0, declared: 1_000, ..good() },
            Watched { calls: 29, ..good() },
            Watched { observed: 1, ..good() },
            Watched { is_learnt: false, ..good() },
            Watched { worst: None, ..good() },
        ] {
            let judged = judge(&less);
            assert_eq!((judged.promotion(), judged.is_hard()), (Promotion::Fail, false), "{less:?}");
        }
    }

    #[test]
    fn only_a_level_that_suspends_on_enough_receipts_is_hard() {
        for (level, promotion, hard) in [
            (RiskLevel::Clear, Promotion::Pass, false),
            (RiskLevel::Watch, Promotion::ActionRequired, false),
            (RiskLevel::StepUp, Promotion::Fail, false),
            (RiskLevel::Suspend, Promotion::Fail, true),
            (RiskLevel::Revoke, Promotion::Fail, true),
        ] {
            let bad = || Watched { worst: Some(level), proven: level, present: level, ..good() };
            let judged = judge(&bad());
            // It may act: the order is still to come, or somebody let it act again.
            assert_eq!((judged.promotion(), judged.is_hard()), (promotion, false), "{level:?}");
            let held = || Watched { standing: Standing::Held, ..bad() };
            assert_eq!((judge(&held()).promotion(), judge(&held()).is_hard()), (Promotion::Fail, hard));
            // What was once and is no more.
            assert!(!judge(&Watched { present: RiskLevel::Clear, ..held() }).is_hard());
            let few = judge(&Watched { calls: 0, declared: 9, ..held() });
            assert!(!few.is_hard() && few.promotion() == Promotion::Fail);
            // What somebody with a key declared suspends at most, and is no reason to revoke.
            let claimed = judge(&Watched { proven: RiskLevel::Clear, ..held() });
            assert!(!claimed.is_hard());
        }
    }
}
