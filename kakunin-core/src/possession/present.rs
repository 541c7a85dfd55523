//! The side that is asked: the fields of a request, read strictly and checked.
//!
//! What two readers could take for different things is refused: a field twice, another form of a structured field (RFC 9651)
//! than the one that serialising gives, a parameter twice or unknown, components beside ours or in another order.

use super::base::{
    CHAIN, COMPONENTS, COMPONENTS_OF_A_CHAIN, CONTENT_DIGEST, Fields, LABEL, SIGNATURE, SIGNATURE_INPUT, TAG,
    Target, of_request,
};
use crate::base64::{read_base64, read_base64_hash};
use crate::certificate::{AgentCertificate, AgentPath, CertificateError, PathError, TrustAnchors};
use crate::chain::{CHAIN_HEADER, ChainLink};
use crate::digest::{Digest, unhex};
use crate::id::AgentId;
use crate::key::{Algorithm, Signature};
use crate::reason::DenialReason;
use crate::time::UnixTime;

/// The fields of a proof as they came with a request. Nothing of them is checked.
#[derive(Clone, Debug)]
pub struct Presented {
    digest: String,
    chain: String,
    input: String,
    signature: String,
    link: Option<String>,
}

impl Presented {
    /// Takes a proof's fields from among those of a request, whose names may be written in any case; `None` when there is
    /// no signature.
    ///
    /// # Errors
    /// [`PossessionError::Field`]: one of the four is missing, or one of them or the link of a chain is there twice, too long
    /// or no visible ASCII.
    pub fn find<'a>(
        fields: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<Option<Self>, PossessionError> {
        let mut found = FIELDS.map(|field| (field, None));
        for (name, value) in fields {
            let place = found.iter_mut().find(|(field, _)| field.eq_ignore_ascii_case(name));
            let Some((field, place)) = place else { continue };
            let value = std::str::from_utf8(value).unwrap_or_default().trim_matches([' ', '\t']);
            if value.is_empty() || value.len() > MAX_FIELD || !is_visible(value) {
                return Err(PossessionError::Field { field });
            }
            if place.replace(value.to_owned()).is_some() {
                return Err(PossessionError::Field { field });
            }
        }
        let [digest, chain, input, signature, link] = found;
        // A content digest alone is nothing but that.
        if input.1.is_none() && signature.1.is_none() && chain.1.is_none() {
            return Ok(None);
        }
        let taken =
            |(field, value): (&'static str, Option<String>)| value.ok_or(PossessionError::Field { field });
        Ok(Some(Self {
            digest: taken(digest)?,
            chain: taken(chain)?,
            input: taken(input)?,
            signature: taken(signature)?,
            link: link.1,
        }))
    }

    /// Checks that the key of the certificate, which leads to one of `anchors`, signed the head of this request.
    ///
    /// `names` are the authorities, in lower case and without a default port, under which whoever verifies is reached: a request
    /// that was made for somebody else proves nothing here.
    ///
    /// # Errors
    /// [`PossessionError`], whose code says what is wrong.
    pub fn verify<N: AsRef<str>>(
        self,
        target: &Target<'_>,
        names: &[N],
        anchors: &TrustAnchors,
        now: UnixTime,
    ) -> Result<SignedHead, PossessionError> {
        self.verify_by(target, names, now, |sent| sent.read()?.verify_path(anchors, now))
    }

    /// As [`Presented::verify`], for whoever remembers paths: `prove` is given the certificates as they were sent, and gives the
    /// path of exactly these. That the path is good at `now` is for `prove` to say.
    ///
    /// # Errors
    /// [`PossessionError`], and [`PossessionError::Key`] when the path is another certificate's.
    pub fn verify_by<N: AsRef<str>>(
        self,
        target: &Target<'_>,
        names: &[N],
        now: UnixTime,
        prove: impl FnOnce(&SentChain<'_>) -> Result<AgentPath, PossessionError>,
    ) -> Result<SignedHead, PossessionError> {
        let malformed = |field| PossessionError::Field { field };
        let content = read_content_digest(&self.digest).ok_or(malformed(CONTENT_DIGEST))?;
        let fields = Fields { digest: &self.digest, certificates: &self.chain, link: self.link.as_deref() };
        let (text, input) = Input::read(&self.input, fields.components())?;
        let link = fields.link.map(ChainLink::parse_header).transpose();
        let link = link.map_err(|_| malformed(CHAIN_HEADER))?;
        let signature = self.signature.strip_prefix(LABEL).and_then(read_byte_sequence);
        let signature = signature.and_then(|octets| octets.try_into().ok()).ok_or(malformed(SIGNATURE))?;
        if !target.is_clean() {
            return Err(PossessionError::Target);
        }
        let authority = target.authority.to_ascii_lowercase();
        let name = names.iter().map(AsRef::as_ref).find(|name| names_it(name, &authority));
        let target = Target { authority: name.ok_or(PossessionError::Authority)?, ..*target };
        in_time(input.created, now)?;

        // The cheap checks are behind us; from here on there are signatures to check.
        let path = prove(&SentChain { text: &self.chain, keyid: input.keyid })?;
        if path.agent().decoded().thumbprint() != input.keyid {
            return Err(PossessionError::Key);
        }
        let key = path.agent().decoded().key();
        if input.algorithm.is_some_and(|algorithm| algorithm != key.algorithm()) {
            return Err(PossessionError::Algorithm);
        }
        let base = of_request(&target, &fields, text);
        let signature = Signature::from_bytes(signature);
        key.verify(base.as_bytes(), &signature).map_err(|_| PossessionError::Signature)?;
        Ok(SignedHead { path, content, link, created: input.created, nonce: input.nonce })
    }
}

/// The certificates of a proof as they were sent. Nothing of them is read yet, and whoever has seen the same ones before need not.
#[derive(Clone, Copy, Debug)]
pub struct SentChain<'a> {
    text: &'a str,
    keyid: Digest,
}

impl<'a> SentChain<'a> {
    /// The value of the field. Certificates have one spelling in it ([`SentChain::read`] takes no other), so they are the same
    /// ones where the texts are.
    #[must_use]
    pub const fn text(&self) -> &'a str {
        self.text
    }

    /// What the proof says is the SHA-256 of the agent's certificate.
    #[must_use]
    pub const fn keyid(&self) -> Digest {
        self.keyid
    }

    /// Reads them.
    ///
    /// # Errors
    /// [`PossessionError::Field`] when they are not written as they have to be, [`PossessionError::Key`] when the first one is
    /// another than the proof says.
    pub fn read(&self) -> Result<SentCertificates, PossessionError> {
        let malformed = PossessionError::Field { field: CHAIN };
        let mut links = read_chain(self.text).ok_or(malformed.clone())?.into_iter();
        let leaf = links.next().ok_or(malformed)?;
        if Digest::of(&leaf) != self.keyid {
            return Err(PossessionError::Key);
        }
        Ok(SentCertificates { leaf, others: links.collect() })
    }
}

/// The certificates of a proof, in DER, the first of which is the one that the proof names. They lead nowhere yet.
#[derive(Clone, Debug)]
pub struct SentCertificates {
    leaf: Vec<u8>,
    others: Vec<Vec<u8>>,
}

impl SentCertificates {
    /// The agent's.
    #[must_use]
    pub fn leaf(&self) -> &[u8] {
        &self.leaf
    }

    /// Those that were sent with it.
    pub fn others(&self) -> impl Iterator<Item = &[u8]> {
        self.others.iter().map(Vec::as_slice)
    }

    /// Proves the path from the agent's to one of `anchors`, at `now`.
    ///
    /// # Errors
    /// [`PossessionError::Certificate`] and [`PossessionError::Path`].
    pub fn verify_path(&self, anchors: &TrustAnchors, now: UnixTime) -> Result<AgentPath, PossessionError> {
        let agent = AgentCertificate::decode(&self.leaf).map_err(PossessionError::Certificate)?;
        Ok(agent.verify_path(self.others(), anchors, now)?)
    }
}

/// A request whose head the agent signed. Its content has yet to be what the head says, and it may have come before.
#[derive(Clone, Debug)]
#[must_use = "a signed head is no request yet"]
pub struct SignedHead {
    path: AgentPath,
    content: Digest,
    link: Option<ChainLink>,
    created: UnixTime,
    nonce: [u8; 16],
}

impl SignedHead {
    /// Who signed.
    #[must_use]
    pub fn agent(&self) -> AgentId {
        self.path.agent().agent()
    }

    /// The agent's certificate and its path.
    #[must_use]
    pub const fn path(&self) -> &AgentPath {
        &self.path
    }

    /// What the call follows from, as the agent signed it. It has no trace: nobody signs that.
    #[must_use]
    pub const fn link(&self) -> Option<&ChainLink> {
        self.link.as_ref()
    }

    /// When the agent says it made the proof.
    #[must_use]
    pub const fn created(&self) -> UnixTime {
        self.created
    }

    /// What is never the same for two requests. Whoever asks a store of used proofs for it before the content was looked at lets
    /// anybody who saw the head use up the proof.
    #[must_use]
    pub fn mark(&self) -> Digest {
        Digest::of_parts(&[self.path.agent().decoded().thumbprint().as_bytes(), &self.nonce])
    }

    /// Checks the time again, for whoever waited for the content: heads that were kept until the proof is forgotten would count
    /// once more.
    ///
    /// # Errors
    /// [`PossessionError::Created`].
    pub fn still_in_time(&self, now: UnixTime) -> Result<(), PossessionError> {
        in_time(self.created, now)
    }

    /// Checks that `content`, as it was received, is what the agent sent.
    ///
    /// # Errors
    /// [`PossessionError::Content`].
    pub fn covers(self, content: &[u8]) -> Result<SignedRequest, PossessionError> {
        let same = Digest::of(content) == self.content;
        if same { Ok(SignedRequest(self)) } else { Err(PossessionError::Content) }
    }
}

/// A request that the agent signed as a whole. It may have come before.
#[derive(Clone, Debug)]
#[must_use = "whether it came before is asked of the nonces"]
pub struct SignedRequest(SignedHead);

impl SignedRequest {
    /// The agent's certificate and its path.
    #[must_use]
    pub const fn path(&self) -> &AgentPath {
        self.0.path()
    }

    /// What the call follows from, as the agent signed it.
    #[must_use]
    pub const fn link(&self) -> Option<&ChainLink> {
        self.0.link()
    }

    /// The digest of its content.
    #[must_use]
    pub const fn content(&self) -> Digest {
        self.0.content
    }

    /// When the agent says it made the proof; what is remembered of it may be forgotten when this is too old.
    #[must_use]
    pub const fn created(&self) -> UnixTime {
        self.0.created
    }

    /// What is never the same for two requests, for whoever remembers elsewhere than in [`Nonces`](super::Nonces).
    #[must_use]
    pub fn mark(&self) -> Digest {
        self.0.mark()
    }

    pub(super) fn into_parts(self) -> (AgentPath, Option<ChainLink>) {
        (self.0.path, self.0.link)
    }
}

/// The parameters of a signature, as they were sent.
struct Input {
    created: UnixTime,
    nonce: [u8; 16],
    keyid: Digest,
    algorithm: Option<Algorithm>,
}

impl Input {
    /// Reads `kakunin=(..);created=..;nonce=..;keyid=..;tag=..`, parameters in any order; gives back what is signed of it.
    fn read<'a>(field: &'a str, components: &str) -> Result<(&'a str, Self), PossessionError> {
        let malformed = PossessionError::Field { field: SIGNATURE_INPUT };
        let text = field.strip_prefix(LABEL).ok_or(malformed.clone())?;
        let parameters = text.strip_prefix(components).ok_or(PossessionError::Components)?;
        let parameters = parameters.strip_prefix(';').ok_or(malformed.clone())?;
        let (mut created, mut nonce, mut keyid, mut tag, mut algorithm) = (None, None, None, None, None);
        // No value that is read has a semicolon in it.
        for parameter in parameters.split(';') {
            let (name, value) = parameter.split_once('=').ok_or(malformed.clone())?;
            let twice = match name {
                "created" => created.replace(read_seconds(value).ok_or(malformed.clone())?).is_some(),
                "nonce" => nonce.replace(string(value).and_then(unhex).ok_or(malformed.clone())?).is_some(),
                "keyid" => {
                    let digest = string(value).and_then(Digest::from_hex).ok_or(malformed.clone())?;
                    keyid.replace(digest).is_some()
                }
                "tag" => {
                    let ours = string(value).filter(|tag| *tag == TAG);
                    tag.replace(ours.ok_or(malformed.clone())?).is_some()
                }
                // Nobody has to say it: the key does. Libraries do.
                "alg" => algorithm.replace(string(value).and_then(algorithm_named)).is_some(),
                _ => true,
            };
            if twice {
                return Err(malformed);
            }
        }
        if algorithm == Some(None) {
            return Err(PossessionError::Algorithm);
        }
        let (Some(created), Some(nonce), Some(keyid), Some(_)) = (created, nonce, keyid, tag) else {
            return Err(malformed);
        };
        Ok((text, Self { created, nonce, keyid, algorithm: algorithm.flatten() }))
    }
}

/// Whether a proof that was made at `created` is neither too old nor of a time to come.
fn in_time(created: UnixTime, now: UnixTime) -> Result<(), PossessionError> {
    let good = now.plus(-LONGEST) <= created && created <= now.plus(AHEAD);
    if good { Ok(()) } else { Err(PossessionError::Created { created, now }) }
}

fn algorithm_named(name: &str) -> Option<Algorithm> {
    match name {
        "ecdsa-p256-sha256" => Some(Algorithm::P256),
        "ed25519" => Some(Algorithm::Ed25519),
        _ => None,
    }
}

/// A string of letters that need no escape.
fn string(value: &str) -> Option<&str> {
    let inner = value.strip_prefix('"')?.strip_suffix('"')?;
    (!inner.contains(['"', '\\'])).then_some(inner)
}

/// An integer as it is serialised (RFC 9651 section 4.1.4), of seconds since the epoch.
fn read_seconds(text: &str) -> Option<UnixTime> {
    let seconds: u64 = text.parse().ok().filter(|seconds: &u64| seconds.to_string() == text)?;
    i64::try_from(seconds).ok().filter(|seconds| *seconds < MAX_INTEGER).map(UnixTime::from_seconds)
}

/// `sha-256=:..:` and nothing beside it.
fn read_content_digest(field: &str) -> Option<Digest> {
    let text = field.strip_prefix("sha-256=:")?.strip_suffix(':')?;
    read_base64_hash(text.as_bytes()).map(Digest::from_bytes)
}

fn read_chain(field: &str) -> Option<Vec<Vec<u8>>> {
    let links: Vec<&str> = field.split(", ").collect();
    (links.len() <= MAX_LINKS).then(|| links.into_iter().map(read_byte_sequence).collect())?
}

/// The octets of a byte sequence in the one spelling they have.
fn read_byte_sequence(text: &str) -> Option<Vec<u8>> {
    let text = text.strip_prefix(':')?.strip_suffix(':')?;
    read_base64(text.as_bytes())
}

/// Whether a request for `authority` is one for `name`: a port may be said that needs not be.
fn names_it(name: &str, authority: &str) -> bool {
    let rest = authority.strip_prefix(name);
    rest.is_some_and(|rest| matches!(rest, "" | ":443" | ":80"))
}

/// Whether all of it is visible ASCII and spaces: a question without an early end, which is asked of many octets at once.
fn is_visible(text: &str) -> bool {
    text.bytes().fold(true, |visible, byte| visible & matches!(byte, b' '..=b'~'))
}

/// A request that proves nothing.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PossessionError {
    /// A field that is not as it has to be.
    #[error("the field `{field}` of the proof is missing, there twice or not as it has to be")]
    Field {
        /// Its name.
        field: &'static str,
    },
    /// Other components.
    #[error(
        "the proof has to cover exactly {COMPONENTS}, or {COMPONENTS_OF_A_CHAIN} if the request has the field `{CHAIN_HEADER}`, in this order"
    )]
    Components,
    /// A request line that cannot be signed.
    #[error("method, authority, path or query are no visible ASCII")]
    Target,
    /// A request for somebody else.
    #[error("the request is addressed to another authority than this one")]
    Authority,
    /// Too old, or from the future.
    #[error(
        "the proof was made at {created} and it is {now}: at most {LONGEST} s may lie between; set the clock by the `date` of this answer"
    )]
    Created {
        /// When it says it was made.
        created: UnixTime,
        /// When it came.
        now: UnixTime,
    },
    /// Made before this verifier can remember.
    #[error(
        "this verifier began too short a time ago to know whether the proof is new; make another in {wait} s"
    )]
    Starting {
        /// After how many seconds one is taken.
        wait: u32,
    },
    /// Another certificate.
    #[error("`keyid` is not the SHA-256 of the first certificate of the chain")]
    Key,
    /// Another algorithm.
    #[error("`alg` is not that of the certificate's key")]
    Algorithm,
    /// Another key's signature, or over something else.
    #[error("the signature is not the certificate's over this request")]
    Signature,
    /// Another body.
    #[error("the content is not what `content-digest` says")]
    Content,
    /// It came before.
    #[error("the proof was used before; make one for each request")]
    Replayed,
    /// Too many to remember.
    #[error("more proofs came than can be remembered; try again in a minute")]
    Full,
    /// A certificate that breaks the profile.
    #[error("the agent's certificate: {0}")]
    Certificate(#[source] CertificateError),
    /// A certificate without a path.
    #[error(transparent)]
    Path(#[from] PathError),
}

impl PossessionError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Field { .. } | Self::Target => "possession.malformed",
            Self::Components => "possession.components",
            Self::Authority => "possession.authority",
            Self::Created { .. } => "possession.created",
            Self::Starting { .. } => "possession.starting",
            Self::Key => "possession.key",
            Self::Algorithm => "possession.algorithm",
            Self::Signature => "possession.signature",
            Self::Content => "possession.content",
            Self::Replayed => "possession.replayed",
            Self::Full => "possession.full",
            Self::Certificate(_) => DenialReason::CertificateMalformed.code(),
            Self::Path(error) => error.reason().code(),
        }
    }
}

const FIELDS: [&str; 5] = [CONTENT_DIGEST, CHAIN, SIGNATURE_INPUT, SIGNATURE, CHAIN_HEADER];
/// WIRE 6: in seconds.
pub(super) const LONGEST: i64 = 60;
/// How far, in seconds, the clock of an agent may be ahead of the verifier's.
pub(super) const AHEAD: i64 = 10;
/// The largest integer of a structured field (RFC 9651 section 3.3.1) is one less.
const MAX_INTEGER: i64 = 1_000_000_000_000_000;
/// Agent, issuing authority, and room for a root that needs not be sent.
const MAX_LINKS: usize = 4;
/// A certificate has 32 kB at most and base64 a third more; with its issuer that fits.
const MAX_FIELD: usize = 48 << 10;
