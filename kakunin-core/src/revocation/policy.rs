//! What a list says about the feed beside it (WIRE 3): that there is one, how old its word may be, and how far it had come.
//!
//! ```text
//! ListPolicy ::= SEQUENCE { version INTEGER (1), maxAge INTEGER (1..86400), epoch INTEGER (0..9007199254740991),
//!                           head OCTET STRING (SIZE (32)) }
//! ```

use std::fmt;

use der::asn1::OctetStringRef;
use der::{Decode, Encode, Sequence};

use super::list::ListError;
use crate::digest::Digest;

/// How far a feed has come: the number of its last change, and the SHA-256 of that change's signing input.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FeedHead {
    // INVARIANT: the digest is all zeros exactly when the epoch is 0.
    epoch: u64,
    digest: Digest,
}

impl FeedHead {
    /// Where every feed begins: no change yet, and 32 zero octets in the place of a digest.
    pub const START: Self = Self { epoch: 0, digest: Digest::from_bytes([0; 32]) };

    /// The head after change number `epoch`; `None` for epoch 0 with a digest, an epoch without one, and an epoch that no
    /// JSON reader keeps exact (over 2^53 − 1).
    #[must_use]
    pub fn new(epoch: u64, digest: Digest) -> Option<Self> {
        let start = digest == Self::START.digest;
        (start == (epoch == 0) && epoch <= LAST_EPOCH).then_some(Self { epoch, digest })
    }

    /// The number of the last change, 0 before the first.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// SHA-256 of the signing input of the last change.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }
}

impl fmt::Display for FeedHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "epoch {} ({})", self.epoch, self.digest)
    }
}

impl fmt::Debug for FeedHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FeedHead({self})")
    }
}

/// The policy of a full list: whoever decides by it needs the feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListPolicy {
    max_age: u32,
    head: FeedHead,
}

impl ListPolicy {
    /// A policy of a list that includes everything up to `head`, for feeds whose word counts for `max_age` seconds; `None`
    /// outside 1 to 86,400.
    #[must_use]
    pub fn new(max_age: u32, head: FeedHead) -> Option<Self> {
        (1..=LONGEST_AGE).contains(&max_age).then_some(Self { max_age, head })
    }

    /// For how many seconds a signed word of the feed counts.
    #[must_use]
    pub const fn max_age(&self) -> u32 {
        self.max_age
    }

    /// The last change that the list includes.
    #[must_use]
    pub const fn head(&self) -> FeedHead {
        self.head
    }

    /// Reads the value of the extension.
    ///
    /// # Errors
    /// [`ListError`] for anything but the one encoding of this version.
    pub fn from_der(value: &[u8]) -> Result<Self, ListError> {
        let fields = Fields::from_der(value)?;
        let wrong = ListError::Unusable("a feed policy of an unknown version or out of range");
        if fields.version != VERSION || fields.to_der()? != value {
            return Err(wrong);
        }
        let digest = <[u8; 32]>::try_from(fields.head.as_bytes()).map(Digest::from_bytes);
        let head = digest.ok().and_then(|digest| FeedHead::new(fields.epoch, digest));
        head.and_then(|head| Self::new(fields.max_age, head)).ok_or(wrong)
    }

    /// The value of the extension.
    ///
    /// # Errors
    /// [`der::Error`] never, in practice: all fields are short.
    pub fn to_der(&self) -> der::Result<Vec<u8>> {
        let head = self.head.digest();
        let head = OctetStringRef::new(head.as_bytes())?;
        Fields { version: VERSION, max_age: self.max_age, epoch: self.head.epoch, head }.to_der()
    }
}

#[derive(Sequence)]
struct Fields<'a> {
    version: u8,
    max_age: u32,
    epoch: u64,
    head: &'a OctetStringRef,
}

const VERSION: u8 = 1;
/// A day: what is older decides nothing anywhere.
const LONGEST_AGE: u32 = 86_400;
/// The largest integer that every JSON reader keeps exact, since items of a feed are JSON.
pub(crate) const LAST_EPOCH: u64 = (1 << 53) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(max_age: u32, epoch: u64) -> ListPolicy {
        let head = if epoch == 0 { FeedHead::START } else { FeedHead::new(epoch, Digest::of(b"c")).unwrap() };
        ListPolicy::new(max_age, head).unwrap()
    }

    #[test]
    fn a_policy_is_read_as_it_was_written() {
        for right in [policy(1, 0), policy(60, 1), policy(86_400, LAST_EPOCH)] {
            assert_eq!(ListPolicy::from_der(&right.to_der().unwrap()), Ok(right));
        }
        let head = FeedHead::new(5, Digest::of(b"c")).unwrap();
        assert_eq!(ListPolicy::new(0, head), None);
        assert_eq!(ListPolicy::new(86_401, head), None);
        assert_eq!(FeedHead::new(0, Digest::of(b"c")), None);
        assert_eq!(FeedHead::new(1, FeedHead::START.digest()), None);
        assert_eq!(FeedHead::new(LAST_EPOCH + 1, Digest::of(b"c")), None);
    }
}
