//! The standing of a certificate on a list.

use std::fmt;

/// What a list says about a certificate. The order is the order of severity: the greater wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// Not listed.
    Good,
    /// Listed as certificateHold: suspended until a later list no longer names it.
    Held,
    /// Listed for any other reason: final.
    Revoked,
}

impl Standing {
    /// The one word for people and tools.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Held => "held",
            Self::Revoked => "revoked",
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
