//! Who may order what of an authority that is served: tenants, API keys and their roles.
//!
//! These are the words; where they are kept is `store`'s, what a role may do is decided where orders arrive.

use std::fmt;

use kakunin_core::id::AgentId;

/// Whose agents they are. Nothing of one tenant is seen or changed in the name of another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(String);

impl TenantId {
    /// Reads `[a-z0-9][a-z0-9-]{0,62}`; anything else is `None`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let mut bytes = text.bytes();
        let fits = bytes.next().is_some_and(letter)
            && bytes.all(|byte| letter(byte) || byte == b'-')
            && text.len() <= MAX_TENANT;
        fits.then(|| Self(text.to_owned()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The one tenant of a home that nobody divided.
impl Default for TenantId {
    fn default() -> Self {
        Self("default".to_owned())
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an API key may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Everything, other keys among it.
    Owner,
    /// Naming agents and certifying them.
    Issuer,
    /// Suspending, resuming, revoking.
    Revoker,
    /// Bringing receipts and events.
    Ingest,
    /// Reading.
    Auditor,
    /// Asking whether an agent may be promoted.
    Gate,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 6] =
        [Self::Owner, Self::Issuer, Self::Revoker, Self::Ingest, Self::Auditor, Self::Gate];

    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Issuer => "issuer",
            Self::Revoker => "revoker",
            Self::Ingest => "ingest",
            Self::Auditor => "auditor",
            Self::Gate => "gate",
        }
    }

    /// Finds a role by its word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.word() == word)
    }
}

/// The public part of an API key, by which it is looked up: 12 characters of `[a-z2-7]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyPrefix(String);

impl KeyPrefix {
    /// Makes one from 60 of these 64 random bits.
    #[must_use]
    pub fn from_random(random: [u8; 8]) -> Self {
        let bits = u64::from_be_bytes(random);
        let letter = |place: u32| match u8::try_from(bits >> (5 * place) & 31).unwrap_or(0) {
            digit @ 0..26 => char::from(b'a' + digit),
            digit => char::from(b'2' + digit - 26),
        };
        Self((0..12).map(letter).collect())
    }

    /// Reads one; anything but 12 characters of `[a-z2-7]` is `None`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fits = text.len() == 12 && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7'));
        fits.then(|| Self(text.to_owned()))
    }

    /// The prefix as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who gave an order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Actor {
    /// Somebody who can write into the home: written `local`.
    Local,
    /// The authority itself, for what falls due: written `authority`.
    Authority,
    /// Whoever holds an API key: written as its prefix.
    Key(KeyPrefix),
    /// An agent that proved it has its key: written as `agent:` and its id.
    Agent(AgentId),
    /// Whoever holds an enrolment token: written as `token:` and its prefix.
    Token(KeyPrefix),
}

/// What somebody is that gives orders, in the words of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ActorKind {
    /// Somebody who can write into the home.
    Local,
    /// The authority itself.
    Authority,
    /// Whoever holds an API key.
    ApiKey,
    /// An agent.
    Agent,
    /// Whoever holds an enrolment token.
    Token,
}

impl ActorKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Local, Self::Authority, Self::ApiKey, Self::Agent, Self::Token];

    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Authority => "authority",
            Self::ApiKey => "api_key",
            Self::Agent => AGENT,
            Self::Token => TOKEN,
        }
    }

    /// The kind with this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

impl Actor {
    /// What it is.
    #[must_use]
    pub const fn kind(&self) -> ActorKind {
        match self {
            Self::Local => ActorKind::Local,
            Self::Authority => ActorKind::Authority,
            Self::Key(_) => ActorKind::ApiKey,
            Self::Agent(_) => ActorKind::Agent,
            Self::Token(_) => ActorKind::Token,
        }
    }

    /// Reads what [`Actor`] is written as; anything else is `None`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "local" => Some(Self::Local),
            "authority" => Some(Self::Authority),
            other => match other.split_once(':') {
                Some((AGENT, id)) => AgentId::parse(id).map(Self::Agent),
                Some((TOKEN, prefix)) => KeyPrefix::parse(prefix).map(Self::Token),
                Some(_) => None,
                None => KeyPrefix::parse(other).map(Self::Key),
            },
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("local"),
            Self::Authority => f.write_str("authority"),
            Self::Key(prefix) => prefix.fmt(f),
            Self::Agent(id) => write!(f, "{AGENT}:{id}"),
            Self::Token(prefix) => write!(f, "{TOKEN}:{prefix}"),
        }
    }
}

const MAX_TENANT: usize = 63;
const AGENT: &str = "agent";
const TOKEN: &str = "token";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_of_access_has_one_form() {
        for role in Role::ALL {
            assert_eq!(Role::from_word(role.word()), Some(role));
        }
        for random in [[0; 8], [0xff; 8], [1, 2, 3, 4, 5, 6, 7, 8]] {
            let prefix = KeyPrefix::from_random(random);
            assert_eq!(KeyPrefix::parse(prefix.as_str()), Some(prefix.clone()));
            let token = Actor::Token(prefix.clone());
            assert_eq!(Actor::parse(&token.to_string()), Some(token));
            assert_eq!(Actor::parse(prefix.as_str()), Some(Actor::Key(prefix)));
        }
        assert_eq!(KeyPrefix::from_random([0xff; 8]).as_str(), "777777777777");
        for wrong in ["", "aaaaaaaaaaa", "aaaaaaaaaaaaa", "Aaaaaaaaaaaa", "aaaaaaaaaaa1", "aaaaaaaaaa\u{e4}"]
        {
            assert_eq!(KeyPrefix::parse(wrong), None, "{wrong}");
        }
        for actor in [Actor::Local, Actor::Authority, Actor::Agent(AgentId::from_random([7; 16]))] {
            assert_eq!(Actor::parse(&actor.to_string()), Some(actor));
        }
        assert_eq!(Actor::parse("nobody"), None);
        for wrong in ["agent:nobody", "token:nobody", "agent:", ":", "local:"] {
            assert_eq!(Actor::parse(wrong), None, "{wrong}");
        }
        for good in ["default", "0", "b3c1a9f0-0000-4000-8000-000000000000"] {
            assert_eq!(TenantId::parse(good).unwrap().as_str(), good);
        }
        for wrong in ["", "-a", "A", "a/b", "a b", &"x".repeat(64)] {
            assert_eq!(TenantId::parse(wrong), None, "{wrong}");
        }
    }
}
