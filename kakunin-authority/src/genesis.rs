//! The mark that a directory begins with nothing spent.
//!
//! An agent's budgets live in its directory. A missing budget file means that spending is unknown, which denies;
//! only this mark, signed by the issuing authority for one certificate, says that there was none before. The first
//! opening consumes it.
//!
//! ```text
//! kakunin-genesis-v1
//! <agent uuid>
//! <SHA-256 of the certificate, hex>
//! <base64 of the 64-byte signature over the three lines above, line ends included>
//! ```

use base64ct::{Base64, Encoding};
use kakunin_core::digest::Digest;
use kakunin_core::id::AgentId;
use kakunin_core::key::{PublicKey, SignError, Signature, Signer};

/// A mark, signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Genesis {
    agent: AgentId,
    certificate: Digest,
    signature: Signature,
}

impl Genesis {
    /// Signs the mark for the certificate with this SHA-256.
    ///
    /// # Errors
    /// [`SignError`] when the key store fails.
    pub fn sign(agent: AgentId, certificate: Digest, issuing: &Signer) -> Result<Self, SignError> {
        let signature = issuing.sign(message(agent, certificate).as_bytes())?;
        Ok(Self { agent, certificate, signature })
    }

    /// The mark as a file.
    #[must_use]
    pub fn to_text(&self) -> String {
        let signature = Base64::encode_string(self.signature.as_bytes());
        format!("{}{signature}\n", message(self.agent, self.certificate))
    }

    /// Reads a mark that `issuing` signed; `None` for anything else.
    #[must_use]
    pub fn verify(text: &str, issuing: &PublicKey) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let (_, agent, certificate, signature) = (lines.next()?, lines.next()?, lines.next()?, lines.next()?);
        let (agent, certificate) = (AgentId::parse(agent)?, Digest::from_hex(certificate)?);
        let signature = Signature::from_bytes(Base64::decode_vec(signature).ok()?.try_into().ok()?);
        let mark = Self { agent, certificate, signature };
        issuing.verify(message(agent, certificate).as_bytes(), &signature).ok()?;
        (mark.to_text() == text).then_some(mark)
    }

    /// Whose directory it is for.
    #[must_use]
    pub const fn agent(&self) -> AgentId {
        self.agent
    }

    /// SHA-256 of the certificate it belongs to.
    #[must_use]
    pub const fn certificate(&self) -> Digest {
        self.certificate
    }
}

fn message(agent: AgentId, certificate: Digest) -> String {
    format!("{HEADER}\n{agent}\n{certificate}\n")
}

const HEADER: &str = "kakunin-genesis-v1";

#[cfg(test)]
mod tests {
    use super::*;
    use kakunin_core::key::{Algorithm, SoftKey};

    #[test]
    fn a_mark_holds_for_its_signer_and_its_bytes_only() {
        let signer = || Signer::soft(SoftKey::generate(Algorithm::P256).unwrap().0);
        let issuing = signer();
        let mark = Genesis::sign(AgentId::from_random([7; 16]), Digest::of(b"c"), &issuing).unwrap();
        let text = mark.to_text();
        assert_eq!(Genesis::verify(&text, issuing.public()), Some(mark));
        assert_eq!(Genesis::verify(&text, signer().public()), None);
        for wrong in [text.replace("v1", "v2"), format!("{text}\n"), text.trim_end().to_owned()] {
            assert_eq!(Genesis::verify(&wrong, issuing.public()), None, "{wrong}");
        }
    }
}
