//! Asking for a certificate (PKCS#10, RFC 2986): a public key and the proof that whoever asks has the private one.
//!
//! An authority reads nothing else of a request, so nothing else is in it: no name, no attributes.

use der::asn1::BitString;
use der::pem::LineEnding;
use der::{Decode, Encode, EncodePem};
use x509_cert::name::Name;
use x509_cert::request::{CertReq, CertReqInfo, Version};
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

use crate::key::{SignError, Signer};

/// A request for the key of `signer`, in PEM.
///
/// # Errors
/// [`RequestError`] when the key store fails.
pub fn request_pem(signer: &Signer) -> Result<String, RequestError> {
    let info = CertReqInfo {
        version: Version::V1,
        subject: Name::default(),
        public_key: SubjectPublicKeyInfoOwned::from_der(signer.spki())?,
        attributes: Default::default(),
    };
    let signature = signer.sign(&info.to_der()?)?.to_x509(signer.algorithm());
    let algorithm = AlgorithmIdentifierOwned { oid: signer.algorithm().signature_oid(), parameters: None };
    let request = CertReq { info, algorithm, signature: BitString::from_bytes(&signature)? };
    Ok(request.to_pem(LineEnding::LF)?)
}

/// A request that could not be made.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The key store failed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// A value without an encoding.
    #[error("the request cannot be encoded: {0}")]
    Encoding(#[from] der::Error),
}
