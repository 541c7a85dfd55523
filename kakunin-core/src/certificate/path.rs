//! The path from an agent to a pinned root.
//!
//! Signatures, names and constraints are checked by rustls-webpki; the profile, key identifiers, nesting of validity
//! and the exact time are checked here on the same bytes. Revocation is not: a path alone says nothing about
//! standing, and [`super::VerifiedAgent`] is where the two meet.

use std::sync::Arc;

use rustls_pki_types::{CertificateDer, TrustAnchor};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use super::decode::{CertificateError, Decoded};
use super::profile::{AgentCertificate, CaCertificate, CaRole};
use crate::digest::Digest;
use crate::reason::DenialReason;
use crate::time::UnixTime;

/// The roots a verifier trusts, and if it likes, the one issuing authority it accepts.
#[derive(Clone, Debug)]
pub struct TrustAnchors {
    // INVARIANT: never empty.
    roots: Vec<Root>,
    issuer: Option<Digest>,
}

/// A root as it is judged here, and as path building wants it.
#[derive(Clone, Debug)]
struct Root {
    certificate: Arc<CaCertificate>,
    anchor: TrustAnchor<'static>,
}

impl Root {
    fn decode(der: &[u8]) -> Result<Self, PathError> {
        let certificate = CaCertificate::decode(der, CaRole::Root);
        let certificate = certificate.map_err(|error| PathError::Certificate { which: "root", error })?;
        let der = CertificateDer::from(der);
        let anchor = anchor_from_trusted_cert(&der).map_err(PathError::NoPath)?.to_owned();
        Ok(Self { certificate: Arc::new(certificate), anchor })
    }
}

impl TrustAnchors {
    /// Trusts the given root certificates, in DER.
    ///
    /// # Errors
    /// No certificate at all, or one that breaks the profile of a root.
    pub fn new<'a>(roots: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, PathError> {
        let roots = roots.into_iter().map(Root::decode).collect::<Result<Vec<_>, _>>()?;
        if roots.is_empty() { Err(PathError::NoAnchor) } else { Ok(Self { roots, issuer: None }) }
    }

    /// The roots.
    pub fn roots(&self) -> impl Iterator<Item = &CaCertificate> {
        self.roots.iter().map(|root| root.certificate.as_ref())
    }

    /// Whether one of the roots signed this certificate: nothing else can be an authority on a path.
    #[must_use]
    pub fn vouch_for(&self, authority: &Decoded) -> bool {
        self.roots()
            .map(CaCertificate::decoded)
            .any(|root| root.subject() == authority.issuer() && authority.is_signed_by(root.key()))
    }

    /// Accepts only agents whose issuing authority has this key: SHA-256 of its SubjectPublicKeyInfo.
    ///
    /// Several authorities may stand under one root; without the pin each of them could name any agent.
    #[must_use]
    pub fn pin_issuer(mut self, key_id: Digest) -> Self {
        self.issuer = Some(key_id);
        self
    }
}

/// An agent's certificate whose path to a trusted root is proven at some time. Its standing is not.
///
/// A clone is the same certificates, not copies of them: a gateway makes some with every request.
#[derive(Clone, Debug)]
pub struct AgentPath {
    agent: Arc<AgentCertificate>,
    issuing: Arc<CaCertificate>,
    root: Arc<CaCertificate>,
}

impl AgentPath {
    /// The agent's certificate.
    #[must_use]
    pub fn agent(&self) -> &AgentCertificate {
        &self.agent
    }

    /// The authority that issued it.
    #[must_use]
    pub fn issuing(&self) -> &CaCertificate {
        &self.issuing
    }

    /// The anchor.
    #[must_use]
    pub fn root(&self) -> &CaCertificate {
        &self.root
    }

    /// The last second at which all three certificates are valid.
    #[must_use]
    pub fn not_after(&self) -> UnixTime {
        // Nesting was checked: no certificate outlives its issuer.
        self.agent.decoded().validity().not_after
    }
}

impl AgentCertificate {
    /// Proves the path from this certificate over one of `untrusted` to an anchor, at `now`.
    ///
    /// # Errors
    /// [`PathError`]: no path, a certificate on it that breaks its profile, or one that is not valid at `now`.
    pub fn verify_path<'a>(
        self,
        untrusted: impl IntoIterator<Item = &'a [u8]>,
        anchors: &TrustAnchors,
        now: UnixTime,
    ) -> Result<AgentPath, PathError> {
        let pool: Vec<&[u8]> = untrusted.into_iter().collect();
        // Work is bounded before any path building: the profile has one intermediate, the rest is slack for bundles.
        if pool.len() > MAX_POOL || pool.iter().map(|der| der.len()).sum::<usize>() > MAX_POOL_BYTES {
            return Err(PathError::TooMuch);
        }
        let (issuing, root) = build(&self, &pool, anchors, now)?;
        check(&self, &issuing, &root, now)?;
        if anchors.issuer.is_some_and(|pin| pin != issuing.decoded().key().key_id()) {
            return Err(PathError::OtherIssuer);
        }
        Ok(AgentPath { agent: Arc::new(self), issuing: Arc::new(issuing), root })
    }
}

fn build(
    agent: &AgentCertificate,
    pool: &[&[u8]],
    anchors: &TrustAnchors,
    now: UnixTime,
) -> Result<(CaCertificate, Arc<CaCertificate>), PathError> {
    let trusted: Vec<TrustAnchor<'_>> = anchors.roots.iter().map(|root| root.anchor.clone()).collect();
    let pool: Vec<CertificateDer<'_>> = pool.iter().map(|der| CertificateDer::from(*der)).collect();
    let leaf = CertificateDer::from(agent.decoded().der());
    let leaf = EndEntityCert::try_from(&leaf).map_err(PathError::NoPath)?;

    // The exact time is judged below with its tolerance and its codes; here it only selects among candidates.
    let validity = agent.decoded().validity();
    let time = now.clamp(validity.not_before, validity.not_after).seconds();
    let time = std::time::Duration::from_secs(u64::try_from(time).unwrap_or(0));
    let time = rustls_pki_types::UnixTime::since_unix_epoch(time);
    let algorithms = [webpki::ring::ECDSA_P256_SHA256, webpki::ring::ED25519];
    let usage = KeyUsage::required(EKU_AGENT_CONTENT);
    let path = leaf.verify_for_usage(&algorithms, &trusted, &pool, time, usage, None, None);
    let path = path.map_err(PathError::NoPath)?;

    let mut intermediates = path.intermediate_certificates();
    let (Some(issuing), None) = (intermediates.next(), intermediates.next()) else {
        return Err(PathError::Shape);
    };
    let issuing = CaCertificate::decode(&issuing.der(), CaRole::Issuing)
        .map_err(|error| PathError::Certificate { which: "issuing authority", error })?;
    // A renewed root keeps name and key, so both its certificates are this anchor: the one that spans the issuer counts.
    let same = || anchors.roots.iter().filter(|root| root.anchor == *path.anchor());
    let spans = |root: &&Root| root.certificate.decoded().validity().contains(&issuing.decoded().validity());
    let root = same().find(spans).or_else(|| same().next()).ok_or(PathError::Shape)?;
    Ok((issuing, Arc::clone(&root.certificate)))
}

fn check(
    agent: &AgentCertificate,
    issuing: &CaCertificate,
    root: &CaCertificate,
    now: UnixTime,
) -> Result<(), PathError> {
    let linked = agent.authority_key_id() == issuing.key_id()
        && issuing.authority_key_id() == Some(root.key_id())
        && root.authority_key_id().is_none_or(|id| id == root.key_id());
    if !linked {
        return Err(PathError::KeyId);
    }
    let links = [agent.decoded(), issuing.decoded(), root.decoded()];
    let nested = links
        .iter()
        .zip(links.iter().skip(1))
        .all(|(inner, outer)| outer.validity().contains(&inner.validity()));
    if !nested {
        return Err(PathError::Outlives);
    }
    for (which, link) in ["agent", "issuing authority", "root"].into_iter().zip(links) {
        valid_at(which, link, now)?;
    }
    Ok(())
}

pub(super) fn valid_at(which: &'static str, certificate: &Decoded, now: UnixTime) -> Result<(), PathError> {
    let validity = certificate.validity();
    if now.plus(CLOCK_TOLERANCE) < validity.not_before {
        return Err(PathError::NotYetValid { which, not_before: validity.not_before });
    }
    if now > validity.not_after {
        return Err(PathError::Expired { which, not_after: validity.not_after });
    }
    Ok(())
}

/// A certificate without a path.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// Nothing is trusted.
    #[error("no trusted root is given")]
    NoAnchor,
    /// A certificate that breaks its profile.
    #[error("{which}: {error}")]
    Certificate {
        /// Which one of the path.
        which: &'static str,
        /// What is wrong with it.
        error: CertificateError,
    },
    /// The library found no path.
    #[error("no path to a trusted root: {0:?}")]
    NoPath(webpki::Error),
    /// A path of another shape than agent, issuing authority, root.
    #[error("the path is not agent, issuing authority, root")]
    Shape,
    /// Key identifiers do not link the certificates.
    #[error("the key identifiers on the path do not match")]
    KeyId,
    /// A certificate lives longer than its issuer.
    #[error("a certificate on the path outlives its issuer")]
    Outlives,
    /// Another issuing authority than the pinned one.
    #[error(
        "the issuing authority is not the pinned one; a new one is named as `issuer`, in agent.toml or in the call that opens the agent"
    )]
    OtherIssuer,
    /// More certificates than a path can need.
    #[error("too many certificates to build a path from")]
    TooMuch,
    /// Too early.
    #[error("{which} is not valid before {not_before}")]
    NotYetValid {
        /// Which certificate of the path.
        which: &'static str,
        /// Its first second.
        not_before: UnixTime,
    },
    /// Too late.
    #[error("{which} expired at {not_after}")]
    Expired {
        /// Which certificate of the path.
        which: &'static str,
        /// Its last second.
        not_after: UnixTime,
    },
}

impl PathError {
    /// The reason a guard denies by.
    #[must_use]
    pub const fn reason(&self) -> DenialReason {
        match self {
            Self::Certificate { .. } => DenialReason::CertificateMalformed,
            Self::NotYetValid { .. } | Self::NoPath(webpki::Error::CertNotValidYet { .. }) => {
                DenialReason::CertificateNotYetValid
            }
            Self::Expired { .. } | Self::NoPath(webpki::Error::CertExpired { .. }) => {
                DenialReason::CertificateExpired
            }
            _ => DenialReason::CertificateUntrusted,
        }
    }
}

/// notBefore tolerates clocks that lag by this many seconds.
const CLOCK_TOLERANCE: i64 = 120;
const MAX_POOL: usize = 16;
const MAX_POOL_BYTES: usize = 64 << 10;
/// The content octets of [`super::oids::EKU_AGENT`].
const EKU_AGENT_CONTENT: &[u8] = super::oids::EKU_AGENT.as_bytes();
