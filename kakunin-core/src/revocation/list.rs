//! RFC 5280 section 5 revocation lists, read in one pass.
//!
//! Takes in DER, gives out a list whose issuer and signature are verified. Only full lists of version 2 with number,
//! authority key identifier and nextUpdate are usable; indirect and partitioned lists and any unknown critical
//! extension are refused, because what they say cannot be decided here. A delta list is none (`delta.rs`).

use std::fmt;
use std::sync::Arc;

use der::asn1::{AnyRef, BitStringRef, ObjectIdentifier, OctetStringRef};
use der::{Decode, Encode, Reader, Sequence, SliceReader, Tag, TagNumber, Tagged};
use x509_cert::time::Time;

use super::index::Index;
use super::number::ListNumber;
use super::policy::ListPolicy;
use super::standing::Standing;
use crate::digest::Digest;
use crate::id::SerialNumber;
use crate::key::{Algorithm, PublicKey};
use crate::time::UnixTime;

/// Most bytes of one list: 1,000,000 entries of 49 bytes with room to spare.
pub(crate) const MAX_LIST: usize = 64 << 20;

/// A list that was parsed and is believed by nobody.
#[derive(Debug)]
pub struct UnverifiedList<'a> {
    der: &'a [u8],
    tbs: &'a [u8],
    algorithm: ObjectIdentifier,
    signature: &'a [u8],
    issuer: &'a [u8],
    issuer_key_id: Vec<u8>,
    number: ListNumber,
    this_update: UnixTime,
    next_update: UnixTime,
    policy: Option<ListPolicy>,
    entries: &'a [u8],
}

/// Who signs a list: the parts of a certificate authority that a list is checked against.
#[derive(Clone, Copy, Debug)]
pub struct ListIssuer<'a> {
    /// DER of its subject name.
    pub name: &'a [u8],
    /// Its subject key identifier.
    pub key_id: &'a [u8],
    /// Its key.
    pub key: &'a PublicKey,
    /// Whether its certificate carries the cRLSign usage.
    pub may_sign_lists: bool,
}

/// A verified list: its issuer signed exactly these bytes.
#[derive(Clone)]
pub struct RevocationList {
    der: Arc<[u8]>,
    digest: Digest,
    number: ListNumber,
    this_update: UnixTime,
    next_update: UnixTime,
    policy: Option<ListPolicy>,
    index: Arc<Index>,
}

impl<'a> UnverifiedList<'a> {
    /// Reads the outer structure and the extensions; entries are read on verification.
    ///
    /// # Errors
    /// [`ListError`] when the bytes are not DER, not a full version 2 list, or carry something critical that
    /// is unknown.
    pub fn decode(der: &'a [u8]) -> Result<Self, ListError> {
        match Self::parse(der)? {
            (list, None) => Ok(list),
            // Whoever took it for a full one would call everybody good whom it does not name.
            (_, Some(_)) => Err(ListError::Unusable("a delta list, which says only what changed")),
        }
    }

    /// The same for full and delta lists, with the number of the list that a delta list is beside.
    pub(super) fn parse(der: &'a [u8]) -> Result<(Self, Option<ListNumber>), ListError> {
        if der.len() > MAX_LIST {
            return Err(ListError::TooLarge { bytes: der.len() });
        }
        let outer = OuterList::from_der(der)?;
        let tbs = outer.tbs;
        let mut reader = SliceReader::new(content(tbs, Tag::Sequence)?)?;
        let version: u8 = reader.decode()?;
        let inner: AlgorithmOnly<'_> = reader.decode()?;
        if version != 1 {
            return Err(ListError::Unusable("not a version 2 list"));
        }
        if inner != outer.algorithm || inner.parameters.is_some() {
            return Err(ListError::Unusable("inner and outer signature algorithm differ"));
        }
        let issuer = reader.tlv_bytes()?;
        let this_update = time(reader.decode()?)?;
        let next_update = match Tag::peek(&reader) {
            Ok(Tag::UtcTime | Tag::GeneralizedTime) => time(reader.decode()?)?,
            _ => return Err(ListError::Unusable("no nextUpdate")),
        };
        let entries = match Tag::peek(&reader) {
            Ok(Tag::Sequence) => match content(reader.tlv_bytes()?, Tag::Sequence)? {
                // RFC 5280 section 5.1.2.6: without revoked certificates the field is absent, not empty.
                [] => return Err(ListError::Unusable("an empty list of entries")),
                entries => entries,
            },
            _ => &[],
        };
        let extensions = content(reader.tlv_bytes()?, EXTENSIONS)?;
        reader.finish()?;
        if next_update <= this_update {
            return Err(ListError::Unusable("nextUpdate is not after thisUpdate"));
        }
        let Said { number, issuer_key_id, policy, base } = list_extensions(extensions)?;
        let signature =
            outer.signature.as_bytes().ok_or(ListError::Unusable("a signature with unused bits"))?;
        let algorithm = inner.oid;
        let list = Self {
            der,
            tbs,
            algorithm,
            signature,
            issuer,
            issuer_key_id,
            number,
            this_update,
            next_update,
            policy,
            entries,
        };
        Ok((list, base))
    }

    /// Whether `issuer` is the one this list names, by name and key identifier.
    #[must_use]
    pub fn names(&self, issuer: &ListIssuer<'_>) -> bool {
        self.issuer == issuer.name && self.issuer_key_id == issuer.key_id
    }

    /// Whether both say they are of one issuer.
    #[must_use]
    pub fn is_beside(&self, other: &UnverifiedList<'_>) -> bool {
        self.issuer == other.issuer && self.issuer_key_id == other.issuer_key_id
    }

    /// The name and the key identifier it gives for its issuer.
    pub(crate) fn issuer_named(&self) -> (&[u8], &[u8]) {
        (self.issuer, &self.issuer_key_id)
    }

    /// The list's number.
    #[must_use]
    pub const fn number(&self) -> &ListNumber {
        &self.number
    }

    /// SHA-256 of TBSCertList: the list's name in receipts and archives, proven or not.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.tbs)
    }

    /// Every entry up to the first that is none.
    pub(crate) fn each_entry(&self, each: &mut dyn FnMut(SerialNumber, Standing, UnixTime)) {
        let mut reader = SliceReader::new(self.entries).ok();
        while let Some(entry) = reader.as_mut().and_then(|reader| read_entry(reader).ok()) {
            each(entry.serial, entry.standing, entry.date);
        }
    }

    /// Checks issuer and signature, then reads the entries.
    ///
    /// # Errors
    /// [`ListError`] when another authority issued it, its certificate may not sign lists, the signature is
    /// wrong, or an entry is malformed.
    pub fn verify(self, issuer: &ListIssuer<'_>) -> Result<RevocationList, ListError> {
        self.check(issuer)?;
        let index = Index::build(read_entries(self.entries)?);
        Ok(RevocationList {
            der: self.der.into(),
            digest: Digest::of(self.tbs),
            number: self.number,
            this_update: self.this_update,
            next_update: self.next_update,
            policy: self.policy,
            index: Arc::new(index),
        })
    }

    /// Checks issuer and signature.
    pub(super) fn check(&self, issuer: &ListIssuer<'_>) -> Result<(), ListError> {
        if !self.names(issuer) {
            return Err(ListError::OtherIssuer);
        }
        if !issuer.may_sign_lists {
            return Err(ListError::Unusable("its issuer may not sign lists"));
        }
        let algorithm: Algorithm = issuer.key.algorithm();
        if self.algorithm != algorithm.signature_oid() {
            return Err(ListError::Signature);
        }
        issuer.key.verify_x509(self.tbs, self.signature).map_err(|_| ListError::Signature)
    }

    /// When it was issued, and when the next one is due, as it says.
    pub(super) const fn dates(&self) -> (UnixTime, UnixTime) {
        (self.this_update, self.next_update)
    }

    /// What it says about the feed.
    pub(super) const fn said_policy(&self) -> Option<ListPolicy> {
        self.policy
    }

    /// The entries of a delta list: of what certificate, and what it says of it now.
    pub(super) fn words(&self) -> Result<Vec<(SerialNumber, Word)>, ListError> {
        let mut words = Vec::new();
        let mut reader = SliceReader::new(self.entries)?;
        while !reader.is_finished() {
            let index = words.len();
            let (serial, _, word) = read_word(&mut reader).map_err(|_| ListError::Entry { index })?;
            words.push((serial, word));
        }
        Ok(words)
    }
}

impl RevocationList {
    /// The bytes that were verified.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// SHA-256 of TBSCertList: two lists are the same exactly when these are.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The list's number.
    #[must_use]
    pub const fn number(&self) -> &ListNumber {
        &self.number
    }

    /// When it was issued.
    #[must_use]
    pub const fn this_update(&self) -> UnixTime {
        self.this_update
    }

    /// The first second at which it no longer decides anything but denials.
    #[must_use]
    pub const fn next_update(&self) -> UnixTime {
        self.next_update
    }

    /// What it says about the feed beside it: with a policy, the list alone allows nothing.
    #[must_use]
    pub const fn policy(&self) -> Option<ListPolicy> {
        self.policy
    }

    /// What the list says about `serial`.
    #[must_use]
    pub fn standing(&self, serial: &SerialNumber) -> Standing {
        self.index.standing(serial)
    }

    /// Since when the list calls `serial` revoked: the earliest revocationDate of its entries that are no hold.
    ///
    /// Reads the list again; a decision needs the standing only.
    #[must_use]
    pub fn revoked_at(&self, serial: &SerialNumber) -> Option<UnixTime> {
        if self.standing(serial) != Standing::Revoked {
            return None;
        }
        let mut earliest = None;
        self.each_entry(&mut |named, standing, date| {
            if named == *serial && standing == Standing::Revoked {
                earliest = Some(earliest.map_or(date, |known: UnixTime| known.min(date)));
            }
        });
        earliest.or(Some(self.this_update))
    }

    /// Every entry as it stands there: of what certificate, what it says, and its date.
    pub(crate) fn each_entry(&self, each: &mut dyn FnMut(SerialNumber, Standing, UnixTime)) {
        // INVARIANT: these bytes were read when the list was verified.
        if let Ok(list) = UnverifiedList::decode(&self.der) {
            list.each_entry(each);
        }
    }

    /// How many certificates are listed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every listed certificate, in no useful order.
    pub fn iter(&self) -> impl Iterator<Item = (SerialNumber, Standing)> + '_ {
        self.index.iter()
    }
}

impl fmt::Debug for RevocationList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RevocationList(number {}, {} entries, {})", self.number, self.len(), self.digest)
    }
}

/// A list that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// Not DER, or not this structure: kind and byte position.
    #[error("malformed revocation list: {0}")]
    Der(#[from] der::Error),
    /// Well-formed, but of a kind that decides nothing here.
    #[error("unusable revocation list: {0}")]
    Unusable(&'static str),
    /// An entry that breaks RFC 5280.
    #[error("malformed revocation list entry {index}")]
    Entry {
        /// Which one, counted from zero.
        index: usize,
    },
    /// Another authority's list.
    #[error("the revocation list is of another issuer")]
    OtherIssuer,
    /// Not signed by its issuer.
    #[error("the revocation list's signature is wrong")]
    Signature,
    /// More bytes than any list needs.
    #[error("the revocation list has {bytes} bytes, at most {MAX_LIST} are read")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
}

struct OuterList<'a> {
    tbs: &'a [u8],
    algorithm: AlgorithmOnly<'a>,
    signature: BitStringRef<'a>,
}

impl<'a> OuterList<'a> {
    fn from_der(der: &'a [u8]) -> Result<Self, der::Error> {
        let mut reader = SliceReader::new(content(der, Tag::Sequence)?)?;
        let outer =
            Self { tbs: reader.tlv_bytes()?, algorithm: reader.decode()?, signature: reader.decode()? };
        reader.finish()?;
        Ok(outer)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Sequence)]
struct AlgorithmOnly<'a> {
    oid: ObjectIdentifier,
    #[asn1(optional = "true")]
    parameters: Option<AnyRef<'a>>,
}

#[derive(Sequence)]
struct ListExtension<'a> {
    oid: ObjectIdentifier,
    #[asn1(default = "Default::default")]
    critical: bool,
    value: &'a OctetStringRef,
}

/// The content octets of a DER value that must fill `bytes` exactly.
fn content(bytes: &[u8], tag: Tag) -> Result<&[u8], der::Error> {
    let any = AnyRef::from_der(bytes)?;
    any.tag().assert_eq(tag)?;
    Ok(any.value())
}

fn time(time: Time) -> Result<UnixTime, ListError> {
    // RFC 5280 section 5.1.2.4: UTCTime through 2049, GeneralizedTime from 2050.
    let (date, utc) = match &time {
        Time::UtcTime(utc) => (utc.to_date_time(), true),
        Time::GeneralTime(general) => (general.to_date_time(), false),
    };
    if utc != (date.year() < 2050) {
        return Err(ListError::Unusable("a time in the encoding of another century half"));
    }
    let seconds = i64::try_from(date.unix_duration().as_secs())
        .map_err(|_| ListError::Unusable("a time out of range"))?;
    Ok(UnixTime::from_seconds(seconds))
}

fn extensions<'a>(
    sequence: &'a [u8],
    mut each: impl FnMut(ListExtension<'a>) -> Result<(), ListError>,
) -> Result<(), ListError> {
    let mut reader = SliceReader::new(content(sequence, Tag::Sequence)?)?;
    let mut seen = Vec::new();
    while !reader.is_finished() {
        let raw = reader.tlv_bytes()?;
        let extension = ListExtension::from_der(raw)?;
        if extension.to_der()? != raw {
            return Err(ListError::Unusable("an extension that is not in DER"));
        }
        // Before a signature is checked: each is compared with all before it.
        if seen.len() == MAX_EXTENSIONS {
            return Err(ListError::Unusable("more extensions than a list has"));
        }
        if seen.contains(&extension.oid) {
            return Err(ListError::Unusable("an extension twice"));
        }
        seen.push(extension.oid);
        each(extension)?;
    }
    if seen.is_empty() { Err(ListError::Unusable("an empty list of extensions")) } else { Ok(()) }
}

/// What the extensions of a list say.
struct Said {
    number: ListNumber,
    issuer_key_id: Vec<u8>,
    policy: Option<ListPolicy>,
    base: Option<ListNumber>,
}

fn list_extensions(sequence: &[u8]) -> Result<Said, ListError> {
    let (mut number, mut key_id, mut policy, mut base) = (None, None, None, None);
    extensions(sequence, |extension| {
        match (extension.oid, extension.critical) {
            (CRL_NUMBER, false) => number = Some(list_number(extension.value.as_bytes())?),
            // RFC 5280 section 5.2.4: it must be critical.
            (DELTA_INDICATOR, true) => base = Some(list_number(extension.value.as_bytes())?),
            (AUTHORITY_KEY_ID, false) => {
                let id = x509_cert::ext::pkix::AuthorityKeyIdentifier::from_der(extension.value.as_bytes())?;
                key_id = id.key_identifier.map(|id| id.as_bytes().to_vec());
            }
            (LIST_POLICY, false) => policy = Some(ListPolicy::from_der(extension.value.as_bytes())?),
            // Critical and unknown, or partitioned and indirect lists, which must be critical: nothing is decided.
            (_, true) | (ISSUING_DISTRIBUTION_POINT | DELTA_INDICATOR, false) => {
                return Err(ListError::Unusable("an extension this reader cannot honour"));
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(Said {
        number: number.ok_or(ListError::Unusable("no number"))?,
        issuer_key_id: key_id.ok_or(ListError::Unusable("no authority key identifier"))?,
        policy,
        base,
    })
}

fn list_number(value: &[u8]) -> Result<ListNumber, ListError> {
    let octets = content(value, Tag::Integer)?;
    ListNumber::from_der_content(octets).ok_or(ListError::Unusable("a number out of range"))
}

fn read_entries(content: &[u8]) -> Result<Vec<(SerialNumber, Standing)>, ListError> {
    // An entry takes at least 21 bytes on the wire, so this never reserves more than the input's own size.
    let mut entries = Vec::with_capacity(content.len() / 33);
    let mut reader = SliceReader::new(content)?;
    while !reader.is_finished() {
        let index = entries.len();
        let entry = read_entry(&mut reader).map_err(|_| ListError::Entry { index })?;
        entries.push((entry.serial, entry.standing));
    }
    Ok(entries)
}

/// What an entry says of its certificate; the greater is the more severe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Word {
    /// It is not listed any more: `removeFromCRL`.
    Removed,
    /// It is listed.
    Stands(Standing),
}

struct ListEntry {
    serial: SerialNumber,
    date: UnixTime,
    standing: Standing,
}

fn read_entry(list: &mut SliceReader<'_>) -> Result<ListEntry, ListError> {
    match read_word(list)? {
        (serial, date, Word::Stands(standing)) => Ok(ListEntry { serial, date, standing }),
        // RFC 5280 section 5.3.1: removeFromCRL belongs into delta lists only.
        (_, _, Word::Removed) => Err(ListError::Unusable("reason")),
    }
}

fn read_word(list: &mut SliceReader<'_>) -> Result<(SerialNumber, UnixTime, Word), ListError> {
    let entry: AnyRef<'_> = list.decode()?;
    entry.tag().assert_eq(Tag::Sequence)?;
    let mut reader = SliceReader::new(entry.value())?;
    let serial: AnyRef<'_> = reader.decode()?;
    serial.tag().assert_eq(Tag::Integer)?;
    let serial = SerialNumber::from_der_content(serial.value()).ok_or(ListError::Unusable("serial"))?;
    let date = time(reader.decode()?)?;
    let mut word = Word::Stands(Standing::Revoked);
    if !reader.is_finished() {
        let sequence = reader.tlv_bytes()?;
        reader.finish()?;
        extensions(sequence, |extension| {
            if extension.critical {
                return Err(ListError::Unusable("a critical entry extension"));
            }
            if extension.oid == REASON_CODE {
                word = match content(extension.value.as_bytes(), Tag::Enumerated)? {
                    [6] => Word::Stands(Standing::Held),
                    [0..=5 | 9 | 10] => Word::Stands(Standing::Revoked),
                    [8] => Word::Removed,
                    // 7 is unused.
                    _ => return Err(ListError::Unusable("reason")),
                };
            }
            Ok(())
        })?;
    }
    Ok((serial, date, word))
}

/// RFC 5280 knows eight of a list and four of an entry, and we have two of our own.
const MAX_EXTENSIONS: usize = 32;
/// `crlExtensions [0] EXPLICIT Extensions OPTIONAL`.
const EXTENSIONS: Tag = Tag::ContextSpecific { constructed: true, number: TagNumber(0) };
const CRL_NUMBER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.20");
const REASON_CODE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.21");
const DELTA_INDICATOR: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.27");
const ISSUING_DISTRIBUTION_POINT: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.28");
const AUTHORITY_KEY_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.35");
/// [`crate::certificate::oids::LIST_POLICY`], which stands a floor above.
const LIST_POLICY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.32473.1.6");
