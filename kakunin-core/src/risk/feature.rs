//! What is looked at, and what a look gives.

use std::fmt;

/// One aspect of behaviour. Two charts of one feature are one feature where two different ones are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Feature {
    /// Actions follow one another in an unusual order.
    Sequence,
    /// Writes, or one of them, are made more often among the calls.
    WriteMix,
    /// Actions that the baseline never saw.
    NewAction,
    /// Counterparties that were never dealt with, or many of them in an hour.
    NewCounterparty,
    /// Amounts that are larger, one by one or together.
    Amount,
    /// Amounts just above or just below what the certificate allows.
    LimitProbing,
    /// More calls in a minute.
    Rate,
    /// Calls in hours of the week without any before. Weak, and never alone.
    OffHours,
    /// Refused calls among the calls.
    DenialRatio,
    /// No statistic: something that must not happen at all.
    HardFact,
    /// What a hosted client declared about itself. Capped: it never revokes.
    Declared,
    /// What was found in content. Capped: it never revokes.
    Content,
    /// An active guard that sends no receipts. Capped: it never revokes.
    Silence,
}

impl Feature {
    /// All features, in the order in which evidence is told.
    pub const ALL: [Self; 13] = [
        Self::Sequence,
        Self::WriteMix,
        Self::NewAction,
        Self::NewCounterparty,
        Self::Amount,
        Self::LimitProbing,
        Self::Rate,
        Self::OffHours,
        Self::DenialRatio,
        Self::HardFact,
        Self::Declared,
        Self::Content,
        Self::Silence,
    ];

    /// The one word for it, for example `write-mix`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Sequence => "sequence",
            Self::WriteMix => "write-mix",
            Self::NewAction => "new-action",
            Self::NewCounterparty => "new-counterparty",
            Self::Amount => "amount",
            Self::LimitProbing => "limit-probing",
            Self::Rate => "rate",
            Self::OffHours => "off-hours",
            Self::DenialRatio => "denial-ratio",
            Self::HardFact => "hard-fact",
            Self::Declared => "declared",
            Self::Content => "content",
            Self::Silence => "silence",
        }
    }

    /// Reads the word; anything else is `None`.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|feature| feature.word() == word)
    }

    /// Whether it is read from receipts, and so may take part in a revocation.
    #[must_use]
    pub const fn is_of_receipts(self) -> bool {
        !matches!(self, Self::Declared | Self::Content | Self::Silence)
    }

    /// Whether it counts where different features are asked for.
    #[must_use]
    pub(super) const fn counts_as_different(self) -> bool {
        !matches!(self, Self::OffHours)
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Something that no honest agent's receipts show. One is enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum HardFact {
    /// It acted by a list on which it was held already.
    UsedAfterSuspension,
    /// A proof of possession was used a second time.
    ReplayedProof,
    /// Its stream of receipts has two continuations.
    ForkedStream,
    /// It asked for an action that nobody honest asks for (`canaries` of the policy).
    CanaryTouched,
    /// A receipt claims an earlier time than the one before it, by more than clocks are allowed to differ.
    BackDated,
    /// A receipt claims a later time than that at which it arrived, by more than clocks are allowed to differ.
    DatedAhead,
}

impl HardFact {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::UsedAfterSuspension,
        Self::ReplayedProof,
        Self::ForkedStream,
        Self::CanaryTouched,
        Self::BackDated,
        Self::DatedAhead,
    ];

    /// The one word for it, for example `back-dated`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::UsedAfterSuspension => "used-after-suspension",
            Self::ReplayedProof => "replayed-proof",
            Self::ForkedStream => "forked-stream",
            Self::CanaryTouched => "canary-touched",
            Self::BackDated => "back-dated",
            Self::DatedAhead => "dated-ahead",
        }
    }

    /// Reads the word; anything else is `None`.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fact| fact.word() == word)
    }
}

impl fmt::Display for HardFact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Why: one feature, how much speaks against the agent, and a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// What was looked at.
    pub feature: Feature,
    /// The weight of evidence that is standing, in thousandths of a nat (natural logarithm of a likelihood ratio); 0 for
    /// what is no statistic.
    pub milli_nats: u32,
    /// One sentence in printable ASCII, without quotation marks.
    pub sentence: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_and_facts_are_read_by_their_words() {
        assert!(Feature::ALL.is_sorted());
        for feature in Feature::ALL {
            assert_eq!(Feature::from_word(feature.word()), Some(feature));
        }
        for fact in HardFact::ALL {
            assert_eq!(HardFact::from_word(fact.word()), Some(fact));
        }
        assert_eq!(Feature::from_word("sequences"), None);
    }

    #[test]
    fn what_somebody_declares_is_not_of_receipts() {
        let outside = Feature::ALL.into_iter().filter(|feature| !feature.is_of_receipts());
        assert_eq!(outside.collect::<Vec<_>>(), [Feature::Declared, Feature::Content, Feature::Silence]);
    }
}
