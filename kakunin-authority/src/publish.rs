//! What everyone may read, written before anyone is told.
//!
//! `lists.pem` holds one list of each authority whose certificates can still be in use: the root's, carried as it
//! was signed, and a fresh one of every issuing authority. A number is taken before its list is signed and never
//! given out again, so a crash leaves a gap and never two lists of one number.

use std::ops::Range;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kakunin_core::certificate::CaCertificate;
use kakunin_core::digest::Digest;
use kakunin_core::key::Signer;
use kakunin_core::revocation::ListPolicy;
use kakunin_core::time::UnixTime;

use crate::authority::AuthorityError;
use crate::delta::Delta;
use crate::feeding::FeedEpoch;
use crate::files::{self, Readers};
use crate::list::{ListHeader, ListWriter};
use crate::listed::Listed;
use crate::store::{IssuerId, ListRecord, ListedCertificate, Store};

/// The lists as they were just published.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "says which list carries a change"]
pub struct Publication {
    /// The number of the current issuing authority's list.
    pub number: u64,
    /// Until when it may be used.
    pub next_update: UnixTime,
    /// The file.
    pub path: PathBuf,
    /// SHA-256 of the SubjectPublicKeyInfo of the current issuing authority.
    pub issuer: Digest,
    /// How far the feed of each issuing authority is; none if the lists ask for no feed.
    pub feeds: Vec<FeedEpoch>,
}

/// What everyone may read, as it was last written to `public/`.
#[derive(Debug)]
pub struct Published {
    root: CaCertificate,
    issuing: CaCertificate,
    list: ListRecord,
    root_pem: String,
    issuing_pem: String,
    lists_pem: String,
    /// Where in `lists_pem` the list of the current issuing authority is.
    current: Range<usize>,
    tag: Digest,
    lists_tag: Digest,
    delta: Option<ShownDelta>,
}

/// A delta list as it is read, written once for everyone.
#[derive(Debug)]
struct ShownDelta {
    delta: Delta,
    pem: String,
    tag: Digest,
}

impl Published {
    /// `others` are the lists of the other authorities, root first.
    pub(crate) fn new(
        root: &CaCertificate,
        issuing: &CaCertificate,
        list: ListRecord,
        others: &[Vec<u8>],
    ) -> Result<Self, AuthorityError> {
        let octets = others.iter().map(Vec::len).fold(list.der.len(), usize::saturating_add);
        let mut lists_pem =
            String::with_capacity(pem_length(octets).saturating_add(others.len() * 128 + 128));
        for der in others {
            push_pem(&mut lists_pem, "X509 CRL", der)?;
        }
        let from = lists_pem.len();
        push_pem(&mut lists_pem, "X509 CRL", &list.der)?;
        // A list is as good as named by its signature, which is its end: no need to read five megabytes for a tag.
        let ends = others.iter().chain([&list.der]).map(|der| end(der)).collect::<Vec<_>>();
        Ok(Self {
            root_pem: to_pem("CERTIFICATE", root.decoded().der())?,
            issuing_pem: to_pem("CERTIFICATE", issuing.decoded().der())?,
            current: from..lists_pem.len(),
            tag: Digest::of(end(&list.der)),
            lists_tag: Digest::of_parts(&ends),
            lists_pem,
            delta: None,
            root: root.clone(),
            issuing: issuing.clone(),
            list,
        })
    }

    /// A delta list that makes no PEM block is left out: whoever wants to know what changed takes the list.
    pub(crate) fn with_delta(self, delta: Option<Delta>) -> Self {
        let shown = |delta: Delta| {
            let (pem, tag) = (delta.pem().ok()?, Digest::of(&delta.der));
            Some(ShownDelta { delta, pem, tag })
        };
        Self { delta: delta.and_then(shown), ..self }
    }

    /// The delta list beside the list of the current issuing authority, if one was signed.
    #[must_use]
    pub const fn delta(&self) -> Option<&Delta> {
        match &self.delta {
            Some(shown) => Some(&shown.delta),
            None => None,
        }
    }

    /// The same as a PEM block.
    #[must_use]
    pub fn delta_pem(&self) -> Option<&str> {
        self.delta.as_ref().map(|shown| shown.pem.as_str())
    }

    /// What tells the delta list from every other.
    #[must_use]
    pub fn delta_tag(&self) -> Option<Digest> {
        self.delta.as_ref().map(|shown| shown.tag)
    }

    /// The anchor.
    #[must_use]
    pub const fn root(&self) -> &CaCertificate {
        &self.root
    }

    /// The current issuing authority.
    #[must_use]
    pub const fn issuing(&self) -> &CaCertificate {
        &self.issuing
    }

    /// The list of the current issuing authority.
    #[must_use]
    pub const fn list(&self) -> &ListRecord {
        &self.list
    }

    /// Until when the list of the current issuing authority may be used.
    #[must_use]
    pub const fn next_update(&self) -> UnixTime {
        self.list.next_update
    }

    /// The anchor: `ca.pem`.
    #[must_use]
    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// The current issuing authority: `chain.pem`.
    #[must_use]
    pub fn issuing_pem(&self) -> &str {
        &self.issuing_pem
    }

    /// The list of the current issuing authority.
    #[must_use]
    pub fn list_pem(&self) -> &str {
        // INVARIANT: the range was taken when the text was made.
        self.lists_pem.get(self.current.clone()).unwrap_or_default()
    }

    /// Every list that someone can still need: `lists.pem`.
    #[must_use]
    pub fn lists_pem(&self) -> &str {
        &self.lists_pem
    }

    /// What tells the list of the current issuing authority from every other.
    #[must_use]
    pub const fn tag(&self) -> Digest {
        self.tag
    }

    /// What tells these lists from every other.
    #[must_use]
    pub const fn lists_tag(&self) -> Digest {
        self.lists_tag
    }

    /// How much memory it takes, about.
    #[must_use]
    pub const fn octets(&self) -> usize {
        let delta = match &self.delta {
            Some(shown) => shown.delta.der.len().saturating_add(shown.pem.len()),
            None => 0,
        };
        self.list.der.len().saturating_add(self.lists_pem.len()).saturating_add(delta)
    }
}

/// The end of a list: its signature is in it.
fn end(der: &[u8]) -> &[u8] {
    der.get(der.len().saturating_sub(128)..).unwrap_or(der)
}

/// The next list of an authority, before it is signed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NextList<'a> {
    pub(crate) id: IssuerId,
    pub(crate) issuer: &'a CaCertificate,
    pub(crate) period: Period,
    pub(crate) policy: Option<ListPolicy>,
    /// One that was taken before, for answers that had to name it.
    pub(crate) number: Option<u64>,
}

/// Signs the next list of one authority and keeps it.
///
/// # Errors
/// [`AuthorityError`] when the clock is behind the last list, the key does not sign, or nothing can be kept.
pub(crate) fn sign_list(
    store: &mut dyn Store,
    listed: &mut Listed,
    signer: &Signer,
    next: NextList<'_>,
) -> Result<ListRecord, AuthorityError> {
    let NextList { id, issuer, period, policy, number } = next;
    let last_update = store.newest_list_head(id)?.map_or(UnixTime::from_seconds(0), |list| list.this_update);
    refuse_past(period.now, last_update)?;
    // An entry may leave only after a list that still had it when the certificate ended (RFC 5280 section 3.3).
    let of_root;
    let writer = if id == IssuerId::ROOT {
        let mut writer = ListWriter::default();
        revoked_issuers(store)?.iter().try_for_each(|listed| writer.push(listed))?;
        of_root = writer;
        &of_root
    } else {
        listed.writer(store, id, last_update, period.now)?
    };
    let this_update = period.now.max(last_update);
    let next_update = this_update.plus(period.seconds);
    let number = match number {
        Some(number) => number,
        None => store.next_list_number(id)?,
    };
    let header = ListHeader { issuer, number, this_update, next_update, policy };
    let list = ListRecord { number, this_update, next_update, der: writer.sign(&header, signer)? };
    store.keep_list(id, &list)?;
    Ok(list)
}

/// A list that is older than the one before would be refused everywhere.
pub(crate) fn refuse_past(now: UnixTime, last: UnixTime) -> Result<(), AuthorityError> {
    if is_past(now, last) { Err(AuthorityError::ClockBehind { now, last }) } else { Ok(()) }
}

/// Whether a clock is so far behind a list that guards would refuse what is signed by it.
pub(crate) fn is_past(now: UnixTime, last: UnixTime) -> bool {
    last > now.plus(CLOCK_TOLERANCE)
}

fn revoked_issuers(store: &dyn Store) -> Result<Vec<ListedCertificate>, AuthorityError> {
    let mut listed = Vec::new();
    for issuer in store.issuers()? {
        if let (Some(since), true) = (issuer.revoked, issuer.id != IssuerId::ROOT) {
            let certificate = CaCertificate::decode(&issuer.der, kakunin_core::certificate::CaRole::Issuing)?;
            let (serial, reason) = (certificate.decoded().serial(), crate::standing::Reason::Superseded);
            listed.push(ListedCertificate { serial, since, reason });
        }
    }
    Ok(listed)
}

/// When a list is signed and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Period {
    pub(crate) now: UnixTime,
    pub(crate) seconds: i64,
}

/// Writes the public files, lists last: whoever sees them finds the certificates they belong to.
pub(crate) fn write(public: &Path, published: &Published) -> Result<(), AuthorityError> {
    for (name, text) in [
        ("ca.pem", published.root_pem()),
        ("chain.pem", published.issuing_pem()),
        (LISTS, published.lists_pem()),
    ] {
        let path = public.join(name);
        // Certificates rarely change; lists always do, and are long.
        if name != LISTS && files::read(&path).is_ok_and(|old| old == text.as_bytes()) {
            continue;
        }
        files::replace(&path, text.as_bytes(), Readers::Everyone)?;
    }
    Ok(())
}

/// One PEM block.
pub(crate) fn to_pem(label: &'static str, der: &[u8]) -> Result<String, AuthorityError> {
    let mut text = String::with_capacity(pem_length(der.len()).saturating_add(128));
    push_pem(&mut text, label, der)?;
    Ok(text)
}

/// Adds one PEM block (RFC 7468). Nothing secret passes here, so it need not take the same time for every octet, which
/// would be ten times as long.
fn push_pem(text: &mut String, label: &str, der: &[u8]) -> Result<(), AuthorityError> {
    let failed = || AuthorityError::Encoding(der::ErrorKind::Failed.into());
    let mut line = [0; LINE];
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    for piece in der.chunks(LINE / 4 * 3) {
        let length = STANDARD.encode_slice(piece, &mut line).map_err(|_| failed())?;
        let written =
            line.get(..length).and_then(|line| std::str::from_utf8(line).ok()).ok_or_else(failed)?;
        text.push_str(written);
        text.push('\n');
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    Ok(())
}

/// How long the lines of so many octets are.
const fn pem_length(octets: usize) -> usize {
    octets.div_ceil(LINE / 4 * 3).saturating_mul(LINE + 1)
}

/// Guards accept a list this far ahead of their clock, and no further.
pub(crate) const CLOCK_TOLERANCE: i64 = 120;
pub(crate) const LISTS: &str = "lists.pem";
/// RFC 7468: characters of a line.
const LINE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pem_is_what_everyone_else_writes() {
        let octets: Vec<u8> =
            (0..10_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for length in (1..200).chain([4_799, 4_800, 4_801, 10_000]) {
            let der = &octets[..length];
            let theirs = der::pem::encode_string("X509 CRL", der::pem::LineEnding::LF, der).unwrap();
            assert_eq!(to_pem("X509 CRL", der).unwrap(), theirs, "{length}");
        }
    }
}
