//! The side that has the key: the fields that go with a request.

use std::sync::Arc;

use base64ct::{Base64, Encoding as _};

use super::base::{
    CHAIN, CONTENT_DIGEST, Fields, LABEL, Parameters, SIGNATURE, SIGNATURE_INPUT, Target, of_request,
};
use crate::certificate::{AgentCertificate, CertificateError};
use crate::chain::{CHAIN_HEADER, ChainLink};
use crate::digest::{Digest, hex};
use crate::key::{SignError, Signer};
use crate::reason::DenialReason;
use crate::time::UnixTime;

/// An agent that proves, with each of its requests, that it has the key of its certificate.
#[derive(Debug)]
pub struct Prover {
    signer: Arc<Signer>,
    keyid: String,
    chain: String,
}

impl Prover {
    /// Makes one of the key, the agent's certificate and those between it and the root, all in DER.
    ///
    /// # Errors
    /// [`ProveError::Certificate`] when it is no agent's, [`ProveError::OtherKey`] when it is another key's.
    pub fn new(signer: Arc<Signer>, certificate: &[u8], chain: &[&[u8]]) -> Result<Self, ProveError> {
        let agent = AgentCertificate::decode(certificate).map_err(ProveError::Certificate)?;
        if agent.decoded().key().spki() != signer.spki() {
            return Err(ProveError::OtherKey);
        }
        let links = std::iter::once(&certificate).chain(chain);
        let links: Vec<String> = links.map(|der| byte_sequence(der)).collect();
        Ok(Self { signer, keyid: agent.decoded().thumbprint().to_hex(), chain: links.join(", ") })
    }

    /// Proves for one request. `nonce` is 16 octets of chance, never used twice; `created` is the time now. With a `link` the
    /// fields say what the call follows from, and the proof covers that.
    ///
    /// # Errors
    /// [`ProveError::Target`] when the request has no such line, [`ProveError::Sign`] when the key store fails.
    pub fn prove(
        &self,
        target: &Target<'_>,
        content: &[u8],
        link: Option<&ChainLink>,
        created: UnixTime,
        nonce: [u8; 16],
    ) -> Result<Proof, ProveError> {
        if !target.is_clean() {
            return Err(ProveError::Target);
        }
        let digest = content_digest(content);
        let nonce = hex(&nonce);
        let link = link.map(ChainLink::to_header);
        let fields = Fields { digest: &digest, certificates: &self.chain, link: link.as_deref() };
        let parameters = Parameters { created, nonce: &nonce, keyid: &self.keyid };
        let parameters = parameters.to_text(fields.components());
        let base = of_request(target, &fields, &parameters);
        let signature = self.signer.sign(base.as_bytes()).map_err(ProveError::Sign)?;
        Ok(Proof {
            fields: [
                (CONTENT_DIGEST, digest),
                (CHAIN, self.chain.clone()),
                (SIGNATURE_INPUT, format!("{LABEL}{parameters}")),
                (SIGNATURE, format!("{LABEL}{}", byte_sequence(signature.as_bytes()))),
            ],
            link,
        })
    }
}

/// The fields that prove possession for one request.
#[derive(Clone, Debug)]
#[must_use = "a proof belongs to its request"]
pub struct Proof {
    fields: [(&'static str, String); 4],
    link: Option<String>,
}

impl Proof {
    /// Names, in lower case, and values; each stands in the request once, and so the field of the link is among them.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let link = self.link.as_deref().map(|link| (CHAIN_HEADER, link));
        self.fields.iter().map(|(name, value)| (*name, value.as_str())).chain(link)
    }
}

/// The value of `content-digest` for `content` (RFC 9530 section 2).
fn content_digest(content: &[u8]) -> String {
    format!("sha-256={}", byte_sequence(Digest::of(content).as_bytes()))
}

/// RFC 9651 section 3.3.5.
fn byte_sequence(octets: &[u8]) -> String {
    format!(":{}:", Base64::encode_string(octets))
}

/// A request without a proof.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProveError {
    /// No certificate to prove for.
    #[error("the certificate is no agent's: {0}")]
    Certificate(#[source] CertificateError),
    /// The certificate is not this key's.
    #[error("the key is not the certificate's; take both from one directory")]
    OtherKey,
    /// A part of the request that no request has.
    #[error("method, authority, path and query have to be as they are sent: visible ASCII, encoded")]
    Target,
    /// The key store failed.
    #[error(transparent)]
    Sign(SignError),
}

impl ProveError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Certificate(_) => DenialReason::CertificateMalformed.code(),
            Self::OtherKey => "possession.key",
            Self::Target => "possession.malformed",
            Self::Sign(_) => "possession.signature",
        }
    }
}
