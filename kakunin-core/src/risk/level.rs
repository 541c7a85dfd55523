//! How far it has come.

use std::fmt;

/// What the behaviour of an agent calls for, from nothing to the end of its certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RiskLevel {
    /// As usual.
    #[default]
    Clear,
    /// Somebody should look.
    Watch,
    /// Writes should wait for a person, and the gate refuses to promote. Falls back by itself.
    StepUp,
    /// Held until a named person releases it.
    Suspend,
    /// Over: only a new certificate leads out.
    Revoke,
}

impl RiskLevel {
    /// All levels, ascending.
    pub const ALL: [Self; 5] = [Self::Clear, Self::Watch, Self::StepUp, Self::Suspend, Self::Revoke];

    /// The one word for it: `clear`, `watch`, `step-up`, `suspend`, `revoke`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Clear => "clear",
            Self::Watch => "watch",
            Self::StepUp => "step-up",
            Self::Suspend => "suspend",
            Self::Revoke => "revoke",
        }
    }

    /// Reads the word; anything else is `None`.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.word() == word)
    }
}

impl fmt::Display for RiskLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_ascend_and_are_read_by_their_words() {
        assert!(RiskLevel::ALL.is_sorted());
        for level in RiskLevel::ALL {
            assert_eq!(RiskLevel::from_word(level.word()), Some(level));
        }
        assert_eq!(RiskLevel::from_word("Suspend"), None);
    }
}
