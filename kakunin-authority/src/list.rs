//! Writing full and delta revocation lists (RFC 5280 section 5).
//!
//! Entries stream from the store straight into the bytes to be signed: 35 octets each, 49 with a reason, and
//! nothing else is kept of them. The list has a number, its issuer's key identifier and an end.

use der::asn1::{OctetString, Uint};
use der::oid::AssociatedOid;
use der::{Encode, Length};
use kakunin_core::certificate::{CaCertificate, oids};
#[cfg(feature = "home")]
use kakunin_core::id::SerialNumber;
use kakunin_core::key::{SignError, Signer};
use kakunin_core::revocation::ListPolicy;
use kakunin_core::time::UnixTime;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{AuthorityKeyIdentifier, BaseCrlNumber, CrlNumber};

use crate::profile::{encode_time, signed};
use crate::standing::{ListedCertificate, Reason};

/// A list in the making: its entries, in DER.
#[derive(Debug, Default)]
pub struct ListWriter {
    entries: Vec<u8>,
}

/// What a list says about itself.
#[derive(Clone, Copy, Debug)]
pub struct ListHeader<'a> {
    /// Who signs it.
    pub issuer: &'a CaCertificate,
    /// Its number.
    pub number: u64,
    /// From when it speaks.
    pub this_update: UnixTime,
    /// Until when it may be used.
    pub next_update: UnixTime,
    /// What it says about the feed. With a policy nobody decides by the list alone; only the issuing authority's has one.
    pub policy: Option<ListPolicy>,
}

impl ListWriter {
    /// Adds a certificate. The caller adds each once.
    ///
    /// # Errors
    /// [`ListError::Encoding`] when its date has no encoding.
    pub fn push(&mut self, listed: &ListedCertificate) -> Result<(), ListError> {
        let mut entry = Vec::with_capacity(49);
        element(&mut entry, INTEGER, &listed.serial.to_der_content())?;
        encode_time(listed.since)?.encode_to_vec(&mut entry)?;
        // RFC 5280 section 5.3.1: "unspecified" is said by saying nothing.
        if listed.reason != Reason::Unspecified {
            let [hold @ .., last] = REASON_EXTENSIONS;
            entry.extend_from_slice(&hold);
            entry.push(last | listed.reason.code());
        }
        element(&mut self.entries, SEQUENCE, &entry)
    }

    /// Takes a certificate off and leaves the others in their order; false when it is not there.
    #[cfg(feature = "home")]
    pub(crate) fn remove(&mut self, serial: &SerialNumber) -> bool {
        let mut head = Vec::new();
        if element(&mut head, INTEGER, &serial.to_der_content()).is_err() {
            return false;
        }
        let mut at = 0_usize;
        // An entry is shorter than 128 octets, so its length is one octet (X.690 section 8.1.3.4).
        while let Some([SEQUENCE, length @ 0..=0x7f, content @ ..]) = self.entries.get(at..) {
            let end = at.saturating_add(2).saturating_add(usize::from(*length));
            if content.starts_with(&head) && end <= self.entries.len() {
                self.entries.drain(at..end);
                return true;
            }
            at = end;
        }
        false
    }

    /// Adds an entry of another list as it is.
    #[cfg(feature = "home")]
    pub(crate) fn push_entry(&mut self, entry: &[u8]) {
        self.entries.extend_from_slice(entry);
    }

    /// Adds that a certificate is not listed any more, for delta lists. `serial` is its number in DER.
    #[cfg(feature = "home")]
    pub(crate) fn push_removal(&mut self, serial: &[u8], at: UnixTime) -> Result<(), ListError> {
        let mut entry = serial.to_vec();
        encode_time(at)?.encode_to_vec(&mut entry)?;
        let [reason @ .., last] = REASON_EXTENSIONS;
        entry.extend_from_slice(&reason);
        entry.push(last | REMOVE_FROM_CRL);
        element(&mut self.entries, SEQUENCE, &entry)
    }

    /// How many octets its entries have.
    #[cfg(feature = "home")]
    pub(crate) const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Signs the list.
    ///
    /// # Errors
    /// [`ListError`] when the key is not the issuer's, or it does not sign.
    pub fn sign(&self, header: &ListHeader<'_>, signer: &Signer) -> Result<Vec<u8>, ListError> {
        self.sign_beside(header, None, signer)
    }

    /// Signs what was pushed as what changed since the list `base` of the same issuer.
    ///
    /// # Errors
    /// As [`ListWriter::sign`].
    pub fn sign_delta(
        &self,
        header: &ListHeader<'_>,
        base: u64,
        signer: &Signer,
    ) -> Result<Vec<u8>, ListError> {
        self.sign_beside(header, Some(base), signer)
    }

    fn sign_beside(
        &self,
        header: &ListHeader<'_>,
        base: Option<u64>,
        signer: &Signer,
    ) -> Result<Vec<u8>, ListError> {
        if signer.spki() != header.issuer.decoded().key().spki() {
            return Err(ListError::OtherKey);
        }
        let algorithm = signer.algorithm();
        let mut head = Vec::with_capacity(512);
        element(&mut head, INTEGER, &[1])?;
        let mut oid = Vec::new();
        algorithm.signature_oid().encode_to_vec(&mut oid)?;
        element(&mut head, SEQUENCE, &oid)?;
        head.extend_from_slice(header.issuer.decoded().subject());
        encode_time(header.this_update)?.encode_to_vec(&mut head)?;
        encode_time(header.next_update)?.encode_to_vec(&mut head)?;
        // RFC 5280 section 5.1.2.6: without entries the field is absent, never empty.
        if !self.entries.is_empty() {
            head.push(SEQUENCE);
            Length::try_from(self.entries.len())?.encode_to_vec(&mut head)?;
        }
        let (mut wrapped, mut tail) = (Vec::new(), Vec::new());
        element(&mut wrapped, SEQUENCE, &extensions(header, base)?)?;
        element(&mut tail, EXTENSIONS, &wrapped)?;

        // The entries may be megabytes: they are copied here and once more beside the signature.
        let parts = [&head, &self.entries, &tail];
        let length = parts.iter().map(|part| part.len()).fold(0, usize::saturating_add);
        let mut tbs = Vec::with_capacity(length.saturating_add(8));
        tbs.push(SEQUENCE);
        Length::try_from(length)?.encode_to_vec(&mut tbs)?;
        parts.iter().for_each(|part| tbs.extend_from_slice(part));
        Ok(signed(&tbs, algorithm, &signer.sign(&tbs)?)?)
    }
}

fn extensions(header: &ListHeader<'_>, base: Option<u64>) -> der::Result<Vec<u8>> {
    let id = OctetString::new(header.issuer.list_issuer().key_id)?;
    let authority = AuthorityKeyIdentifier { key_identifier: Some(id), ..Default::default() };
    let number = CrlNumber(Uint::new(&header.number.to_be_bytes())?);
    let mut out = Vec::new();
    let policy = header.policy.map(|policy| policy.to_der()).transpose()?;
    let base = base.map(|base| BaseCrlNumber(Uint::new(&base.to_be_bytes())?).to_der()).transpose()?;
    let rows = [
        Some((AuthorityKeyIdentifier::OID, false, authority.to_der()?)),
        Some((CrlNumber::OID, false, number.to_der()?)),
        // RFC 5280 section 5.2.4: whoever does not know it must not take this for a full list.
        base.map(|value| (BaseCrlNumber::OID, true, value)),
        policy.map(|value| (oids::LIST_POLICY, false, value)),
    ];
    for (extn_id, critical, value) in rows.into_iter().flatten() {
        Extension { extn_id, critical, extn_value: OctetString::new(value)? }.encode_to_vec(&mut out)?;
    }
    Ok(out)
}

fn element(out: &mut Vec<u8>, tag: u8, content: &[u8]) -> Result<(), ListError> {
    out.push(tag);
    Length::try_from(content.len())?.encode_to_vec(out)?;
    out.extend_from_slice(content);
    Ok(())
}

/// A list that was not signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// A value without an encoding, or more entries than a list can count.
    #[error("the revocation list cannot be encoded: {0}")]
    Encoding(#[from] der::Error),
    /// The key file is another issuer's.
    #[error("the key is not that of the list's issuer; restore the issuing folder from a backup")]
    OtherKey,
    /// The key store failed.
    #[error(transparent)]
    Sign(#[from] SignError),
}

/// The reason with which an entry of a delta list says that there is none any more.
#[cfg(feature = "home")]
const REMOVE_FROM_CRL: u8 = 8;
const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;
/// `[0] EXPLICIT`, constructed.
const EXTENSIONS: u8 = 0xa0;
/// `crlEntryExtensions` with one `reasonCode` (RFC 5280 section 5.3.1); the last octet is the code.
const REASON_EXTENSIONS: [u8; 14] =
    [0x30, 0x0c, 0x30, 0x0a, 0x06, 0x03, 0x55, 0x1d, 0x15, 0x04, 0x03, 0x0a, 0x01, 0x00];

#[cfg(all(test, feature = "home"))]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_a_list_leaves_the_others_as_they_are() {
        let listed = |number: u8, reason| ListedCertificate {
            serial: SerialNumber::from_random([number; 16]),
            since: UnixTime::from_seconds(1_800_000_000),
            reason,
        };
        let all = [
            listed(1, Reason::Unspecified),
            listed(2, Reason::CertificateHold),
            listed(3, Reason::KeyCompromise),
        ];
        let written = |all: &[ListedCertificate]| {
            let mut writer = ListWriter::default();
            all.iter().for_each(|listed| writer.push(listed).unwrap());
            writer
        };
        for gone in 0..all.len() {
            let mut writer = written(&all);
            let others: Vec<_> =
                all.iter().filter(|listed| listed.serial != all[gone].serial).cloned().collect();
            assert!(writer.remove(&all[gone].serial));
            assert_eq!(writer.entries, written(&others).entries);
            assert!(!writer.remove(&all[gone].serial), "it is gone");
        }
        assert!(!written(&all).remove(&SerialNumber::from_random([9; 16])));
    }
}
