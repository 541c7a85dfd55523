//! What everyone may read, written before anyone is told.
//!
//! `lists.pem` holds one list of each authority whose certificates can still be in use: the root's, carried as it
//! was signed, and a fresh one of every issuing authority. A number is taken before its list is signed and never
//! given out again, so a crash leaves a gap and never two lists of one number.

use std::path::PathBuf;
use std::sync::OnceLock;

use der::pem::{self, LineEnding};
use kakunin_core::certificate::CaCertificate;
use kakunin_core::digest::Digest;
use kakunin_core::key::Signer;
use kakunin_core::revocation::ListPolicy;
use kakunin_core::time::UnixTime;

use crate::authority::AuthorityError;
use crate::feeding::FeedEpoch;
use crate::files::{self, Readers};
use crate::home::Home;
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
    list_pem: OnceLock<String>,
    lists_pem: String,
}

impl Published {
    pub(crate) fn new(
        root: &CaCertificate,
        issuing: &CaCertificate,
        list: ListRecord,
        lists: &[Vec<u8>],
    ) -> Result<Self, AuthorityError> {
        let mut lists_pem = String::new();
        for der in lists {
            lists_pem.push_str(&to_pem("X509 CRL", der)?);
        }
        Ok(Self {
            root_pem: to_pem("CERTIFICATE", root.decoded().der())?,
            issuing_pem: to_pem("CERTIFICATE", issuing.decoded().der())?,
            list_pem: OnceLock::new(),
            lists_pem,
            root: root.clone(),
            issuing: issuing.clone(),
            list,
        })
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
        // Most never ask for it alone. INVARIANT: PEM is text of another length; it was made of this list already.
        self.list_pem.get_or_init(|| to_pem("X509 CRL", &self.list.der).unwrap_or_default())
    }

    /// Every list that someone can still need: `lists.pem`.
    #[must_use]
    pub fn lists_pem(&self) -> &str {
        &self.lists_pem
    }
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
    if last > now.plus(CLOCK_TOLERANCE) { Err(AuthorityError::ClockBehind { now, last }) } else { Ok(()) }
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
pub(crate) fn write(home: &Home, published: &Published) -> Result<(), AuthorityError> {
    let public = home.public();
    for (name, text) in [
        ("ca.pem", published.root_pem()),
        ("chain.pem", published.issuing_pem()),
        ("lists.pem", published.lists_pem()),
    ] {
        let path = public.join(name);
        // Certificates rarely change; lists always do.
        if files::read(&path).is_ok_and(|old| old == text.as_bytes()) {
            continue;
        }
        files::replace(&path, text.as_bytes(), Readers::Everyone)?;
    }
    Ok(())
}

/// One PEM block.
pub(crate) fn to_pem(label: &'static str, der: &[u8]) -> Result<String, AuthorityError> {
    pem::encode_string(label, LineEnding::LF, der)
        .map_err(|_| AuthorityError::Encoding(der::ErrorKind::Failed.into()))
}

/// Guards accept a list this far ahead of their clock, and no further.
const CLOCK_TOLERANCE: i64 = 120;
