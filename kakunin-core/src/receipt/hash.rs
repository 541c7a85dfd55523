//! The name of a receipt.

use std::fmt;

use crate::digest::Digest;

/// The name of a receipt, and of the decision it records: SHA-256 of its JWS signing input.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReceiptHash(Digest);

impl ReceiptHash {
    /// Takes a digest that is known to be a receipt's, for example from a call's headers.
    #[must_use]
    pub const fn from_digest(digest: Digest) -> Self {
        Self(digest)
    }

    /// The hash of `signing_input`.
    #[must_use]
    pub fn of(signing_input: &[u8]) -> Self {
        Self(Digest::of(signing_input))
    }

    /// The digest.
    #[must_use]
    pub const fn digest(&self) -> &Digest {
        &self.0
    }

    /// Whether the hexadecimal form starts with `prefix`, as people abbreviate it: four digits at least.
    #[must_use]
    pub fn starts_with(&self, prefix: &str) -> bool {
        prefix.len() >= 4 && self.0.to_hex().starts_with(prefix)
    }
}

impl fmt::Display for ReceiptHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for ReceiptHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReceiptHash({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_abbreviated_to_four_digits_or_more() {
        let hash = ReceiptHash::of(b"abc");
        assert!(hash.starts_with("ba78") && hash.starts_with(&hash.to_string()));
        assert!(!hash.starts_with("ba7") && !hash.starts_with("ba79"));
    }
}
