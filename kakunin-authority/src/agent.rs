//! What an agent is called: its name, and the ways to mean one at a terminal.

use std::fmt;

use kakunin_core::id::AgentId;

/// A name, unique in its home: `[a-z0-9][a-z0-9-]{0,62}` and no UUID, so that it can stand wherever an id can.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentName(String);

impl AgentName {
    /// Reads a name.
    ///
    /// # Errors
    /// [`NameError`] when it breaks the grammar or could be taken for an id.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let mut bytes = text.bytes();
        let fits = bytes.next().is_some_and(letter)
            && bytes.all(|byte| letter(byte) || byte == b'-')
            && text.len() <= MAX_NAME;
        if !fits {
            return Err(NameError::Grammar { text: text.to_owned() });
        }
        // A UUID is a UUID with or without its hyphens to whoever reads it.
        let digits = text.bytes().filter(u8::is_ascii_hexdigit).count();
        let hyphens = text.bytes().filter(|byte| *byte == b'-').count();
        if digits == 32 && digits + hyphens == text.len() {
            return Err(NameError::Uuid { text: text.to_owned() });
        }
        Ok(Self(text.to_owned()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AgentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An agent as someone means it: by id or by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// By its id.
    Id(AgentId),
    /// By its name in this home.
    Name(AgentName),
}

impl Who {
    /// Reads an id, its URN or a name.
    ///
    /// # Errors
    /// [`NameError`] when it is none of them.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        match AgentId::parse(text).or_else(|| AgentId::from_urn(text)) {
            Some(id) => Ok(Self::Id(id)),
            None => AgentName::parse(text).map(Self::Name),
        }
    }
}

impl std::str::FromStr for Who {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::parse(text)
    }
}

impl std::str::FromStr for AgentName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::parse(text)
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

/// Text that names no agent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Outside the grammar.
    #[error(
        "`{text}` is no name; use up to 63 lower-case letters, digits and hyphens, for example billing-eu"
    )]
    Grammar {
        /// What was given.
        text: String,
    },
    /// Shaped like an id.
    #[error("`{text}` looks like an id; choose a name that cannot be taken for one")]
    Uuid {
        /// What was given.
        text: String,
    },
}

const MAX_NAME: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_grammar_and_are_no_uuids() {
        for good in ["a", "0", "billing-eu", &"x".repeat(63)] {
            assert!(AgentName::parse(good).is_ok(), "{good}");
        }
        let id = AgentId::from_random([0xab; 16]).to_string();
        for wrong in ["", "-a", "A", "a_b", "a b", "ä", &"x".repeat(64), &id, &id.replace('-', "")] {
            assert!(AgentName::parse(wrong).is_err(), "{wrong}");
        }
        assert!(matches!(Who::parse(&id), Ok(Who::Id(_))));
        assert!(matches!(Who::parse("billing"), Ok(Who::Name(_))));
    }
}
