//! An issuing authority's word that another one comes after it.
//!
//! Guards keep to one issuing authority, because any other one under the same root could name any agent. When the authority's
//! owner replaces it, the one they keep to says so itself; nobody else can.
//!
//! ```text
//! kakunin-succession-v1
//! <SHA-256 of the SubjectPublicKeyInfo of the one that speaks, hex>
//! <that of the next one, hex>
//! <base64 of the 64-byte signature over the three lines above, line ends included>
//! ```

use base64ct::{Base64, Encoding};

use crate::digest::Digest;
use crate::key::{PublicKey, SignError, Signature, Signer};

/// A succession, signed by the authority that it is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Succession {
    from: Digest,
    to: Digest,
    signature: Signature,
}

impl Succession {
    /// Says with the key of an issuing authority that the one with the key `to` comes after it.
    ///
    /// # Errors
    /// [`SignError`] when the key store fails.
    pub fn sign(to: Digest, from: &Signer) -> Result<Self, SignError> {
        let key = from.public().key_id();
        let signature = from.sign(message(key, to).as_bytes())?;
        Ok(Self { from: key, to, signature })
    }

    /// It as text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let signature = Base64::encode_string(self.signature.as_bytes());
        format!("{}{signature}\n", message(self.from, self.to))
    }

    /// Reads the word of `from`; `None` for anything else.
    #[must_use]
    pub fn verify(text: &str, from: &PublicKey) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let (_, key, to, signature) = (lines.next()?, lines.next()?, lines.next()?, lines.next()?);
        let (key, to) = (Digest::from_hex(key)?, Digest::from_hex(to)?);
        let signature = Signature::from_bytes(Base64::decode_vec(signature).ok()?.try_into().ok()?);
        from.verify(message(key, to).as_bytes(), &signature).ok()?;
        let read = Self { from: key, to, signature };
        (key == from.key_id() && read.to_text() == text).then_some(read)
    }

    /// Whether an agent under the authority with the key `from` may go on under the one with the key `to`: if it is the same one,
    /// or if `from` names it in `text`.
    #[must_use]
    pub fn leads(text: Option<&str>, from: &PublicKey, to: &PublicKey) -> bool {
        let named =
            || text.and_then(|text| Self::verify(text, from)).is_some_and(|word| word.to == to.key_id());
        from == to || named()
    }

    /// The key of the authority that comes next.
    #[must_use]
    pub const fn to(&self) -> Digest {
        self.to
    }
}

fn message(from: Digest, to: Digest) -> String {
    format!("{HEADER}\n{from}\n{to}\n")
}

const HEADER: &str = "kakunin-succession-v1";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Algorithm, SoftKey};

    #[test]
    fn a_succession_is_the_word_of_the_authority_it_is_from_and_of_nobody_else() {
        let signer = || Signer::soft(SoftKey::generate(Algorithm::P256).unwrap().0);
        let (old, next, other) = (signer(), signer(), signer());
        let word = Succession::sign(next.public().key_id(), &old).unwrap();
        let text = word.to_text();
        assert_eq!(Succession::verify(&text, old.public()), Some(word));
        let leads = |from: &Signer, to: &Signer| Succession::leads(Some(&text), from.public(), to.public());
        assert!(leads(&old, &next) && leads(&other, &other));
        assert!(!leads(&old, &other) && !leads(&other, &next) && !leads(&next, &old));
        assert!(!Succession::leads(None, old.public(), next.public()));
        for stranger in [&next, &other] {
            assert_eq!(Succession::verify(&text, stranger.public()), None);
        }
        let to_other = text.replace(&next.public().key_id().to_hex(), &other.public().key_id().to_hex());
        for wrong in [
            to_other,
            text.replace("v1", "v2"),
            format!("{text}\n"),
            text.trim_end().to_owned(),
            String::new(),
        ] {
            assert_eq!(Succession::verify(&wrong, old.public()), None, "{wrong}");
        }
    }
}
