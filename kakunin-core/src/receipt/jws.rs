//! Receipts as compact JWS (RFC 7515): one line, signed as written.
//!
//! The header is a closed profile, byte for byte `{"alg":..,"typ":"kakunin-receipt+jws","x5t#S256":..}`; no member
//! can bring a key or ask for another algorithm, and the algorithm is the certificate's key's and never the
//! header's. Nothing is serialised again before checking.

use super::hash::ReceiptHash;
use super::record::{Statement, StatementError};
use crate::base64::{push_base64url, read_base64url};
use crate::digest::Digest;
use crate::key::{Algorithm, PublicKey, Signature};

/// The encoded header and the dot after it, for receipts signed by the key of certificate `x5t`.
pub(crate) fn header_prefix(algorithm: Algorithm, x5t: &Digest) -> Vec<u8> {
    let mut prefix = Vec::with_capacity(160);
    push_base64url(&mut prefix, header(algorithm, x5t).as_bytes());
    prefix.push(b'.');
    prefix
}

/// A receipt whose form is understood and whose signature nobody has checked.
///
/// Good for finding out which certificate it wants to be checked by, and for showing what an unsigned receipt says.
#[derive(Clone, Debug)]
pub struct UnverifiedReceipt {
    signing_input: Vec<u8>,
    statement: Statement,
    algorithm: Algorithm,
    x5t: Digest,
    hash: ReceiptHash,
}

impl UnverifiedReceipt {
    /// Reads `header.payload`.
    ///
    /// # Errors
    /// Too long, another header than the closed profile, base64url that is not canonical, a payload that is no
    /// [`Statement`].
    pub fn from_signing_input(signing_input: &[u8]) -> Result<Self, ReceiptError> {
        if signing_input.len() > MAX_SIGNING_INPUT {
            return Err(ReceiptError::TooLong);
        }
        let dot = signing_input.iter().position(|b| *b == b'.').ok_or(ReceiptError::Encoding)?;
        let (head, rest) = signing_input.split_at_checked(dot).ok_or(ReceiptError::Encoding)?;
        let head = decode(head)?;
        let payload = decode(rest.get(1..).unwrap_or_default())?;
        if payload.len() > MAX_PAYLOAD {
            return Err(ReceiptError::TooLong);
        }
        let (algorithm, x5t) = read_header(&head).ok_or(ReceiptError::Header)?;
        Ok(Self {
            signing_input: signing_input.to_vec(),
            statement: Statement::parse(&payload)?,
            algorithm,
            x5t,
            hash: ReceiptHash::of(signing_input),
        })
    }

    /// Reads a whole token; the signature comes back beside it, not yet checked.
    ///
    /// # Errors
    /// As [`UnverifiedReceipt::from_signing_input`], and a signature that is not 64 bytes of canonical base64url.
    pub fn from_jws(token: &str) -> Result<(Self, Signature), ReceiptError> {
        let (signing_input, signature) = token.rsplit_once('.').ok_or(ReceiptError::Encoding)?;
        let bytes = decode(signature.as_bytes())?;
        let bytes: [u8; 64] = bytes.try_into().map_err(|_| ReceiptError::SignatureLength)?;
        Ok((Self::from_signing_input(signing_input.as_bytes())?, Signature::from_bytes(bytes)))
    }

    /// Reads an entry of a log (WIRE 4.1): a token, or a sealed receipt, whose third part is empty.
    ///
    /// # Errors
    /// As [`UnverifiedReceipt::from_jws`].
    pub fn from_log_entry(line: &str) -> Result<(Self, Option<Signature>), ReceiptError> {
        match line.strip_suffix('.') {
            Some(signing_input) => Ok((Self::from_signing_input(signing_input.as_bytes())?, None)),
            None => Self::from_jws(line).map(|(receipt, signature)| (receipt, Some(signature))),
        }
    }

    /// The entry of a log for this receipt, if it is one of those that share a signature.
    #[must_use]
    pub fn to_sealed_entry(&self) -> String {
        sealed_entry(&self.signing_input)
    }

    /// SHA-256 of the certificate that is said to have signed.
    #[must_use]
    pub const fn certificate(&self) -> &Digest {
        &self.x5t
    }

    /// What it claims.
    #[must_use]
    pub const fn statement(&self) -> &Statement {
        &self.statement
    }

    /// Its name.
    #[must_use]
    pub const fn hash(&self) -> ReceiptHash {
        self.hash
    }

    /// `header.payload` as written.
    #[must_use]
    pub fn signing_input(&self) -> &[u8] {
        &self.signing_input
    }

    /// Checks `signature` by the key of the certificate whose SHA-256 is `certificate`. The one origin of [`Receipt`].
    ///
    /// # Errors
    /// Another certificate than the header names, an algorithm that is not the key's, a signature that does not match.
    pub fn verify(
        self,
        certificate: &Digest,
        key: &PublicKey,
        signature: &Signature,
    ) -> Result<Receipt, ReceiptError> {
        if *certificate != self.x5t {
            return Err(ReceiptError::Certificate);
        }
        if key.algorithm() != self.algorithm {
            return Err(ReceiptError::Algorithm);
        }
        key.verify(&self.signing_input, signature).map_err(|_| ReceiptError::Signature)?;
        Ok(Receipt { unverified: self, signature: *signature })
    }
}

/// A receipt whose signature was checked. It says nothing about whether the certificate may be trusted.
///
/// [`UnverifiedReceipt::verify`] is its one origin; what was only read is no receipt:
///
/// ```compile_fail,E0451
/// use kakunin_core::key::Signature;
/// use kakunin_core::receipt::{Receipt, UnverifiedReceipt};
///
/// fn forge(unverified: UnverifiedReceipt, signature: Signature) -> Receipt {
///     Receipt { unverified, signature }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Receipt {
    unverified: UnverifiedReceipt,
    signature: Signature,
}

impl Receipt {
    /// What it states.
    #[must_use]
    pub const fn statement(&self) -> &Statement {
        &self.unverified.statement
    }

    /// Its name.
    #[must_use]
    pub const fn hash(&self) -> ReceiptHash {
        self.unverified.hash
    }

    /// SHA-256 of the certificate that signed.
    #[must_use]
    pub const fn certificate(&self) -> &Digest {
        &self.unverified.x5t
    }

    /// The token, one line of ASCII.
    #[must_use]
    pub fn to_jws(&self) -> String {
        to_jws(&self.unverified.signing_input, &self.signature)
    }
}

/// Joins signing input and signature.
pub(crate) fn to_jws(signing_input: &[u8], signature: &Signature) -> String {
    let mut token = signing_input.to_vec();
    token.push(b'.');
    push_base64url(&mut token, signature.as_bytes());
    // INVARIANT: both halves are base64url, hence ASCII.
    String::from_utf8(token).unwrap_or_default()
}

/// A signing input with nothing behind its dot: its signature is that of a seal.
pub(crate) fn sealed_entry(signing_input: &[u8]) -> String {
    let mut entry = signing_input.to_vec();
    entry.push(b'.');
    String::from_utf8(entry).unwrap_or_default()
}

/// A receipt that is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// Longer than a log entry may be.
    #[error("the receipt is longer than {MAX_SIGNING_INPUT} bytes")]
    TooLong,
    /// Not three parts of canonical base64url.
    #[error("the receipt is no compact JWS in canonical base64url")]
    Encoding,
    /// Any other header than the closed profile.
    #[error("the header is not exactly alg, typ and x5t#S256 of a receipt")]
    Header,
    /// The payload is no statement.
    #[error("the payload is refused: {0}")]
    Payload(#[from] StatementError),
    /// The signature has another length than 64 bytes.
    #[error("the signature is not 64 bytes")]
    SignatureLength,
    /// The header names another certificate.
    #[error("the receipt names another certificate")]
    Certificate,
    /// The header names another algorithm than the certificate's key has.
    #[error("the algorithm is not that of the certificate's key")]
    Algorithm,
    /// The signature does not match.
    #[error("the signature does not match the certificate's key and the receipt")]
    Signature,
}

fn header(algorithm: Algorithm, x5t: &Digest) -> String {
    format!(r#"{}{}"}}"#, header_start(algorithm), x5t.to_base64url())
}

/// The header up to the thumbprint.
fn header_start(algorithm: Algorithm) -> String {
    format!(r#"{{"alg":"{}","typ":"{TYPE}","x5t#S256":""#, algorithm.jose_name())
}

/// A header is the profile only if it is, byte for byte, the one this project writes.
fn read_header(bytes: &[u8]) -> Option<(Algorithm, Digest)> {
    let (start, thumbprint) = bytes.strip_suffix(b"\"}")?.split_last_chunk::<43>()?;
    let x5t = Digest::from_base64url(std::str::from_utf8(thumbprint).ok()?)?;
    let algorithm = [Algorithm::P256, Algorithm::Ed25519]
        .into_iter()
        .find(|algorithm| header_start(*algorithm).as_bytes() == start)?;
    Some((algorithm, x5t))
}

fn decode(part: &[u8]) -> Result<Vec<u8>, ReceiptError> {
    read_base64url(part).ok_or(ReceiptError::Encoding)
}

/// The hard bound of a payload: a C2SP log entry is at most 65,535 bytes, and the journal's default is lower.
const MAX_PAYLOAD: usize = 65_535;

/// A header is about 115 bytes; base64url adds a third to both. What is longer is not even decoded.
const MAX_SIGNING_INPUT: usize = (MAX_PAYLOAD + 256) / 3 * 4;

const TYPE: &str = "kakunin-receipt+jws";

#[cfg(test)]
mod tests {
    use super::super::facts::Stamp;
    use super::super::payload::Payload;
    use super::super::record::OPEN;
    use super::*;
    use crate::id::AgentId;
    use crate::key::{Signer, SoftKey};

    fn signer(algorithm: Algorithm) -> Signer {
        Signer::soft(SoftKey::generate(algorithm).unwrap().0)
    }

    fn payload() -> Vec<u8> {
        let subject = AgentId::from_random([1; 16]).to_urn();
        let mut payload = Payload::at(OPEN, Stamp { micros: 1, boot: [0; 16], mono_nanos: 1 });
        payload.subject = &subject;
        payload.nonce = Some([2; 16]);
        let mut out = Vec::new();
        payload.write(&mut out);
        out
    }

    fn token(signer: &Signer, header: &str, payload: &[u8]) -> String {
        let mut input = Vec::new();
        push_base64url(&mut input, header.as_bytes());
        input.push(b'.');
        push_base64url(&mut input, payload);
        to_jws(&input, &signer.sign(&input).unwrap())
    }

    #[test]
    fn signed_receipts_are_verified_by_their_certificates_key_only() {
        let x5t = Digest::of(b"certificate");
        for algorithm in [Algorithm::P256, Algorithm::Ed25519] {
            let (right, wrong) = (signer(algorithm), signer(algorithm));
            let token = token(&right, &header(algorithm, &x5t), &payload());
            let verify = |x5t: &Digest, key: &PublicKey| {
                let (receipt, signature) = UnverifiedReceipt::from_jws(&token).unwrap();
                receipt.verify(x5t, key, &signature)
            };
            assert_eq!(verify(&x5t, right.public()).unwrap().to_jws(), token);
            assert_eq!(verify(&x5t, wrong.public()).unwrap_err(), ReceiptError::Signature);
            assert_eq!(verify(&Digest::of(b""), right.public()).unwrap_err(), ReceiptError::Certificate);
        }
    }

    #[test]
    fn the_algorithm_is_the_keys_and_not_the_headers() {
        let x5t = Digest::of(b"certificate");
        let signer = signer(Algorithm::P256);
        let token = token(&signer, &header(Algorithm::Ed25519, &x5t), &payload());
        let (receipt, signature) = UnverifiedReceipt::from_jws(&token).unwrap();
        assert_eq!(receipt.verify(&x5t, signer.public(), &signature).unwrap_err(), ReceiptError::Algorithm);
    }

    #[test]
    fn any_other_header_is_refused() {
        let signer = signer(Algorithm::P256);
        let right = header(Algorithm::P256, &Digest::of(b"certificate"));
        for (from, to) in [
            ("ES256", "none"),
            ("ES256", "HS256"),
            ("ES256", "RS256"),
            ("kakunin-receipt+jws", "JWT"),
            (r#","typ""#, r#","kid":"k","typ""#),
            (r#","typ""#, r#","jwk":{},"typ""#),
            (r#","typ""#, r#", "typ""#),
            (r#"{"alg":"ES256","#, r#"{"alg":"ES256","alg":"ES256","#),
            (r#"{"alg":"ES256","#, "{"),
        ] {
            let wrong = right.replace(from, to);
            assert_ne!(wrong, right);
            let refused = UnverifiedReceipt::from_jws(&token(&signer, &wrong, &payload())).unwrap_err();
            assert_eq!(refused, ReceiptError::Header, "{wrong}");
        }
    }

    #[test]
    fn other_spellings_of_the_same_bytes_are_refused() {
        let signer = signer(Algorithm::P256);
        let token = token(&signer, &header(Algorithm::P256, &Digest::of(b"c")), &payload());
        let (body, signature) = token.rsplit_once('.').unwrap();
        // 64 bytes leave four spare bits in the last of 86 characters.
        let (most, last) = signature.split_at(85);
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let sibling = alphabet.chars().nth(alphabet.find(last).unwrap() + 1).unwrap();
        for wrong in [
            format!("{body}.{most}{sibling}"),
            format!("{token}="),
            format!("{token}\n"),
            format!(" {token}"),
            body.to_owned(),
            format!("{body}.{most}"),
            format!("{body}."),
            token.replace('.', ".."),
            String::new(),
        ] {
            assert!(UnverifiedReceipt::from_jws(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_entry_of_a_log_is_a_token_or_has_an_empty_third_part() {
        let signer = signer(Algorithm::P256);
        let token = token(&signer, &header(Algorithm::P256, &Digest::of(b"c")), &payload());
        let (receipt, signature) = UnverifiedReceipt::from_log_entry(&token).unwrap();
        assert_eq!(signature, UnverifiedReceipt::from_jws(&token).map(|(_, s)| s).ok());
        let sealed = receipt.to_sealed_entry();
        let (again, none) = UnverifiedReceipt::from_log_entry(&sealed).unwrap();
        assert_eq!((again.hash(), none), (receipt.hash(), None));
        for wrong in [format!("{sealed}."), format!("{token}."), sealed.trim_end_matches('.').to_owned()] {
            assert!(UnverifiedReceipt::from_log_entry(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_receipt_beyond_the_hard_bound_is_refused_unread() {
        let long = vec![b'A'; MAX_SIGNING_INPUT + 1];
        assert_eq!(UnverifiedReceipt::from_signing_input(&long).unwrap_err(), ReceiptError::TooLong);
    }
}
