//! How safe a receipt must be before a call goes on, by class of action.
//!
//! Takes in patterns of action names with a word each, from code or from an agent's settings; gives out the level of one
//! action. What the levels cost and promise is in `docs/wire.md` 4.4.

use std::cmp::Reverse;

use crate::scope::Pattern;

/// What has happened to a receipt when the call that it is about goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Level {
    /// It is in this process's memory: lost if the process is killed.
    Enqueue,
    /// It is with the kernel: survives the death of the process.
    #[default]
    Write,
    /// It is on the disk: survives the loss of power.
    Sync,
}

impl Level {
    /// The word in settings.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Enqueue => "enqueue",
            Self::Write => "write",
            Self::Sync => "sync",
        }
    }

    /// The level that `word` stands for.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Enqueue, Self::Write, Self::Sync].into_iter().find(|level| level.word() == word)
    }
}

/// The levels of an agent's actions. The longest pattern decides; what none covers is [`Level::Write`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Levels {
    /// In the order in which they are tried.
    rules: Vec<(Pattern, Level)>,
}

impl Levels {
    /// Reads pairs of a pattern and a word, such as `payments:*` and `sync`.
    ///
    /// # Errors
    /// [`LevelError`]: something that is no pattern of action names, or no level; a pattern that stands there twice.
    pub fn parse<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, LevelError> {
        let mut rules = Vec::new();
        for (text, word) in pairs {
            let pattern =
                Pattern::parse(text).ok_or_else(|| LevelError::Pattern { text: text.to_owned() })?;
            let level = Level::from_word(word)
                .ok_or_else(|| LevelError::Word { pattern: text.to_owned(), word: word.to_owned() })?;
            if rules.iter().any(|(known, _)| *known == pattern) {
                return Err(LevelError::Twice { pattern: text.to_owned() });
            }
            rules.push((pattern, level));
        }
        // A name and the pattern above it can be of one length, as `a:b` and `a:*`: the name is narrower.
        rules.sort_by_key(|(pattern, _)| (Reverse(pattern.as_str().len()), pattern.prefix().is_some()));
        Ok(Self { rules })
    }

    /// These levels, and `others` for what none of these covers.
    #[must_use]
    pub fn or_else(mut self, others: &Self) -> Self {
        self.rules.extend_from_slice(&others.rules);
        self
    }

    /// Whether nothing is said of any action.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The patterns that no action of `actions` meets: a level for them is one for nothing, and perhaps misspelt.
    pub fn for_nothing<'a>(&'a self, actions: &'a [Pattern]) -> impl Iterator<Item = &'a Pattern> {
        let patterns = self.rules.iter().map(|(pattern, _)| pattern);
        patterns.filter(|pattern| !actions.iter().any(|action| action.meet(pattern).is_some()))
    }

    /// The level of `action`.
    #[must_use]
    pub fn of(&self, action: &str) -> Level {
        let rule = self.rules.iter().find(|(pattern, _)| pattern.covers_name(action));
        rule.map_or_else(Level::default, |(_, level)| *level)
    }
}

/// Levels that are not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LevelError {
    /// No pattern of action names.
    #[error("`{text}` is no action and no pattern such as payments:*")]
    Pattern {
        /// What stands there.
        text: String,
    },
    /// No level.
    #[error("`{word}` for `{pattern}` is no journal level; write enqueue, write or sync")]
    Word {
        /// For which actions.
        pattern: String,
        /// What stands there.
        word: String,
    },
    /// One pattern with two levels.
    #[error("`{pattern}` has two journal levels")]
    Twice {
        /// Which one.
        pattern: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_pattern_decides_and_a_name_is_longer_than_its_star() {
        let pairs =
            [("*", "enqueue"), ("payments:*", "sync"), ("payments:a", "write"), ("payments:a:*", "sync")];
        let levels = Levels::parse(pairs).unwrap();
        for (action, level) in [
            ("mail:send", Level::Enqueue),
            ("payments", Level::Enqueue),
            ("payments:send", Level::Sync),
            ("payments:a", Level::Write),
            ("payments:a:b", Level::Sync),
        ] {
            assert_eq!(levels.of(action), level, "{action}");
        }
        assert_eq!(Levels::default().of("payments:send"), Level::Write);
        assert_eq!(levels.of(""), Level::Write);
    }

    #[test]
    fn the_first_layer_stands_over_the_second_whatever_the_length() {
        let code = Levels::parse([("payments:*", "enqueue")]).unwrap();
        let file = Levels::parse([("payments:send", "sync"), ("mail:*", "sync")]).unwrap();
        let both = code.or_else(&file);
        assert_eq!(both.of("payments:send"), Level::Enqueue);
        assert_eq!(both.of("mail:send"), Level::Sync);
    }

    #[test]
    fn what_is_no_pattern_or_no_level_is_refused() {
        for (pairs, what) in [
            (vec![("Payments:*", "sync")], "`Payments:*` is no action"),
            (vec![("payments:*", "fsync")], "`fsync` for `payments:*` is no journal level"),
            (vec![("a:*", "sync"), ("a:*", "write")], "`a:*` has two journal levels"),
        ] {
            let error = Levels::parse(pairs).unwrap_err().to_string();
            assert!(error.starts_with(what), "{error}");
        }
    }
}
