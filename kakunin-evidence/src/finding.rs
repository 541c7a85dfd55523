//! What is found for a control.

use serde::Serialize;

use crate::framework::{Carries, Control};
use crate::predicate::Predicate;

/// The status of a control.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Everything that is claimed is shown.
    Evidenced,
    /// Some of it is shown, or receipts can carry only a part.
    Partial,
    /// Nothing here shows it.
    NoEvidence,
    /// The evidence says the opposite, or does not verify.
    Contradicted,
    /// Receipts cannot show it.
    OutOfScope,
}

impl Status {
    /// Every status, in the order of reports.
    pub const ALL: [Self; 5] =
        [Self::Evidenced, Self::Partial, Self::NoEvidence, Self::Contradicted, Self::OutOfScope];

    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Evidenced => "evidenced",
            Self::Partial => "partial",
            Self::NoEvidence => "no-evidence",
            Self::Contradicted => "contradicted",
            Self::OutOfScope => "out-of-scope",
        }
    }
}

/// A receipt that shows something, so that a stranger can look it up and check it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pointer {
    /// Its name: SHA-256 of what was signed, in hexadecimal.
    pub receipt: String,
    /// The stream it is in.
    pub stream: String,
    /// Its number there.
    pub seq: u64,
    /// Its line in `receipts.jws`, counted from one; that member of a bundle is in this order.
    pub line: Option<u64>,
}

/// How far a predicate holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shown {
    /// It holds.
    Held,
    /// It holds with exceptions.
    Partly,
    /// Nothing speaks for it or against it.
    Unseen,
    /// It does not hold.
    Against,
}

/// What became of one predicate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Judgement {
    /// The predicate, with its parameter.
    #[serde(flatten)]
    pub predicate: Predicate,
    /// How far it holds.
    pub shown: Shown,
    /// Why, in figures.
    pub because: String,
    /// Receipts that show it, the first few.
    pub receipts: Vec<Pointer>,
}

/// A control with what was found for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The control.
    pub control: Control,
    /// Since when it applies, as a date.
    pub applies_from: String,
    /// Whether it applies at the date of the report.
    pub applies: bool,
    /// What was found.
    pub status: Status,
    /// Predicate by predicate.
    pub judgements: Vec<Judgement>,
}

impl Finding {
    /// What is claimed: nothing where nothing is shown, or the opposite, or where a part of the sentence was never seen.
    #[must_use]
    pub fn claim(&self) -> Option<&str> {
        let is_seen = self.judgements.iter().all(|one| one.shown != Shown::Unseen);
        let is_shown = matches!(self.status, Status::Evidenced | Status::Partial) && is_seen;
        is_shown.then_some(self.control.claim.as_str())
    }
}

impl Status {
    /// What several judgements come to, for a control that receipts carry as far as `carries` says.
    pub(crate) fn of(judgements: &[Judgement], carries: Carries) -> Self {
        let any = |shown| judgements.iter().any(|one| one.shown == shown);
        if any(Shown::Against) {
            Self::Contradicted
        } else if !any(Shown::Held) && !any(Shown::Partly) {
            Self::NoEvidence
        } else if any(Shown::Partly) || any(Shown::Unseen) || carries == Carries::Part {
            Self::Partial
        } else {
            Self::Evidenced
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(shown: &Shown) -> Judgement {
        Judgement {
            predicate: Predicate::LogContiguous {},
            shown: *shown,
            because: String::new(),
            receipts: Vec::new(),
        }
    }

    fn of(shown: &[Shown], carries: Carries) -> Status {
        Status::of(&shown.iter().map(one).collect::<Vec<_>>(), carries)
    }

    #[test]
    fn a_sentence_of_which_a_part_was_never_seen_is_not_claimed() {
        use Shown::{Held, Partly, Unseen};
        let claims = |shown: &[Shown]| {
            let judgements: Vec<_> = shown.iter().map(one).collect();
            let control = crate::framework::Framework::named("soc2").unwrap().controls.remove(0);
            let status = Status::of(&judgements, control.carries);
            let finding = Finding { control, applies_from: String::new(), applies: true, status, judgements };
            (finding.claim().is_some(), finding.status)
        };
        assert_eq!(claims(&[Held, Partly]), (true, Status::Partial));
        assert_eq!(claims(&[Held, Unseen]), (false, Status::Partial));
        assert_eq!(claims(&[Unseen, Unseen]), (false, Status::NoEvidence));
    }

    #[test]
    fn a_row_is_never_better_than_its_predicates_and_its_control() {
        use Shown::{Against, Held, Partly, Unseen};
        assert_eq!(of(&[Held, Held], Carries::Direct), Status::Evidenced);
        assert_eq!(of(&[Held, Held], Carries::Part), Status::Partial);
        assert_eq!(of(&[Held, Partly], Carries::Direct), Status::Partial);
        assert_eq!(of(&[Held, Unseen], Carries::Direct), Status::Partial);
        assert_eq!(of(&[Unseen, Unseen], Carries::Direct), Status::NoEvidence);
        assert_eq!(of(&[], Carries::Direct), Status::NoEvidence);
        for carries in [Carries::Direct, Carries::Part] {
            assert_eq!(of(&[Held, Unseen, Against], carries), Status::Contradicted);
        }
    }
}
