//! A path joined with the lists that speak about it.
//!
//! Every certificate of a path but the anchor needs a list of its own issuer: the agent one of the issuing authority,
//! the issuing authority one of the root. Takes in PEM or DER lists in any order and number, gives out the newest
//! verified one for each.

use rustls_pki_types::CertificateRevocationListDer;
use rustls_pki_types::pem::PemObject;

use super::path::AgentPath;
use crate::reason::DenialReason;
use crate::revocation::{
    Contradiction, FeedHead, ListError, ListIssuer, RevocationList, Standing, UnverifiedList,
};
use crate::time::UnixTime;

/// The lists of one path, verified.
#[derive(Clone, Debug)]
pub struct PathLists {
    issuing: RevocationList,
    root: RevocationList,
}

impl PathLists {
    /// Finds and verifies the lists of `path` among the PEM blocks of a file.
    ///
    /// # Errors
    /// [`ListSelectError`]: no list for one of the certificates, or one that is not valid.
    pub fn from_pem(pem: &[u8], path: &AgentPath) -> Result<Self, ListSelectError> {
        let blocks = CertificateRevocationListDer::pem_slice_iter(pem);
        let lists: Vec<_> = blocks.collect::<Result<_, _>>().map_err(|_| ListSelectError::Unreadable)?;
        Self::from_der(lists.iter().map(AsRef::as_ref), path)
    }

    /// Finds and verifies the lists of `path` among DER lists.
    ///
    /// # Errors
    /// [`ListSelectError`]: no list for one of the certificates, or one that is not valid.
    pub fn from_der<'a>(
        lists: impl IntoIterator<Item = &'a [u8]>,
        path: &AgentPath,
    ) -> Result<Self, ListSelectError> {
        let (issuing, root) = (path.issuing().list_issuer(), path.root().list_issuer());
        let (mut of_issuing, mut of_root, mut foreign) = (Vec::new(), Vec::new(), false);
        for der in lists {
            let list = UnverifiedList::decode(der).map_err(ListSelectError::Invalid)?;
            if list.names(&issuing) {
                gather(&mut of_issuing, list, &issuing)?;
            } else if list.names(&root) {
                gather(&mut of_root, list, &root)?;
            } else {
                foreign = true;
            }
        }
        match (newest(of_issuing), newest(of_root)) {
            // A feed is of the issuing authority; of what the root's says nobody here would hear.
            (_, Some(root)) if root.policy().is_some() => {
                Err(ListSelectError::Invalid(ListError::Unusable("the root's list asks for a feed")))
            }
            (Some(issuing), Some(root)) => Ok(Self { issuing, root }),
            // A foreign list where ours should be says more than "missing": somebody published the wrong one.
            _ if foreign => Err(ListSelectError::Invalid(ListError::OtherIssuer)),
            (None, _) => Err(ListSelectError::Missing { issuer: "issuing authority" }),
            (_, None) => Err(ListSelectError::Missing { issuer: "root" }),
        }
    }

    /// The list about the agent.
    #[must_use]
    pub const fn issuing(&self) -> &RevocationList {
        &self.issuing
    }

    /// The list about the issuing authority.
    #[must_use]
    pub const fn root(&self) -> &RevocationList {
        &self.root
    }

    /// The first second at which one of them decides nothing but denials any more.
    #[must_use]
    pub fn next_update(&self) -> UnixTime {
        self.issuing.next_update().min(self.root.next_update())
    }

    /// The latest time either of them proves to have passed.
    #[must_use]
    pub fn this_update(&self) -> UnixTime {
        self.issuing.this_update().max(self.root.this_update())
    }

    /// Checks that these lists may follow `kept` for `path`.
    ///
    /// # Errors
    /// [`Contradiction`] when one is older, says something else under the same number, or forgets a revocation.
    pub fn may_follow(&self, kept: &Self, path: &AgentPath) -> Result<(), Contradiction> {
        self.issuing.may_follow(&kept.issuing, &path.agent().decoded().serial())?;
        self.root.may_follow(&kept.root, &path.issuing().decoded().serial())
    }

    /// Whether both are the same lists as those of `other`.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        self.issuing.digest() == other.issuing.digest() && self.root.digest() == other.root.digest()
    }
}

/// Adds a verified list, unless one of its number says something else: in whichever order they come.
fn gather(
    gathered: &mut Vec<RevocationList>,
    list: UnverifiedList<'_>,
    issuer: &ListIssuer<'_>,
) -> Result<(), ListSelectError> {
    let list = list.verify(issuer).map_err(ListSelectError::Invalid)?;
    let contradicts =
        |held: &RevocationList| held.number() == list.number() && held.digest() != list.digest();
    if gathered.iter().any(contradicts) {
        let number = list.number().clone();
        return Err(ListSelectError::Contradiction(Contradiction::Equivocation { number }));
    }
    gathered.push(list);
    Ok(())
}

fn newest(gathered: Vec<RevocationList>) -> Option<RevocationList> {
    gathered.into_iter().max_by(|one, other| one.number().cmp(other.number()))
}

/// An agent whose path, profile and standing are proven, with an end date.
#[derive(Clone, Debug)]
pub struct VerifiedAgent {
    path: AgentPath,
    lists: PathLists,
    standing: Standing,
    good_until: UnixTime,
    feed: Option<FeedWord>,
}

/// What a feed says of an agent, beside a list that asks for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FeedWord {
    /// How the agent stands by the list and the feed.
    pub(crate) standing: Standing,
    /// How far the feed is known; none if it says nothing.
    pub(crate) head: Option<FeedHead>,
    /// The last second at which its word counts.
    pub(crate) until: UnixTime,
}

impl AgentPath {
    /// Joins this path with its lists, at `now`.
    ///
    /// The standing may be held or revoked: that is proven knowledge too, and it denies.
    ///
    /// # Errors
    /// [`ListSelectError`] when a list is from the future; a list past its nextUpdate is kept, since its entries
    /// still deny, and ends `good_until`.
    pub fn with_lists(self, lists: PathLists, now: UnixTime) -> Result<VerifiedAgent, ListSelectError> {
        self.with_feed(lists, None, now)
    }

    /// The same with what the feed says that the list asks for.
    pub(crate) fn with_feed(
        self,
        lists: PathLists,
        feed: Option<FeedWord>,
        now: UnixTime,
    ) -> Result<VerifiedAgent, ListSelectError> {
        if lists.this_update() > now.plus(CLOCK_TOLERANCE) {
            return Err(ListSelectError::Future { this_update: lists.this_update() });
        }
        // A held authority holds its agents; the greater severity of the two counts.
        let agent = lists.issuing.standing(&self.agent().decoded().serial());
        let standing = agent.max(lists.root.standing(&self.issuing().decoded().serial()));
        let standing = feed.map_or(standing, |word| standing.max(word.standing));
        // WIRE 3: a list with a policy says nothing good without the feed, however fresh the file is.
        let last_word = match (lists.issuing.policy(), feed) {
            (_, Some(word)) => word.until,
            (None, None) => UnixTime::from_seconds(i64::MAX),
            (Some(_), None) => NEVER,
        };
        let good_until = self.not_after().min(lists.next_update().plus(-1)).min(last_word);
        Ok(VerifiedAgent { path: self, lists, standing, good_until, feed })
    }
}

impl VerifiedAgent {
    /// The proven path.
    #[must_use]
    pub const fn path(&self) -> &AgentPath {
        &self.path
    }

    /// The lists that prove the standing.
    #[must_use]
    pub const fn lists(&self) -> &PathLists {
        &self.lists
    }

    /// What the feed said beside them.
    pub(crate) const fn feed(&self) -> Option<FeedWord> {
        self.feed
    }

    /// What they say.
    #[must_use]
    pub const fn standing(&self) -> Standing {
        self.standing
    }

    /// The last second at which this is proven: the least of certificate ends, nextUpdate and, if the list asks for a feed, what
    /// its last word is good for. The year 1970 if there is none.
    #[must_use]
    pub const fn good_until(&self) -> UnixTime {
        self.good_until
    }

    /// Why this agent is denied at `now`, if it is.
    #[must_use]
    pub fn denial(&self, now: UnixTime) -> Option<DenialReason> {
        let validity = self.path.agent().decoded().validity();
        if now.plus(CLOCK_TOLERANCE) < validity.not_before {
            Some(DenialReason::CertificateNotYetValid)
        } else if now > self.path.not_after() {
            Some(DenialReason::CertificateExpired)
        } else if self.standing == Standing::Revoked {
            Some(DenialReason::CertificateRevoked)
        } else if self.standing == Standing::Held {
            Some(DenialReason::CertificateHeld)
        } else if now > self.good_until {
            Some(DenialReason::RevocationStale)
        } else {
            None
        }
    }
}

/// Lists that do not serve a path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListSelectError {
    /// Not PEM at all.
    #[error("the revocation lists are not readable PEM")]
    Unreadable,
    /// None for one of the certificates.
    #[error("no revocation list of the {issuer} is there")]
    Missing {
        /// Whose list.
        issuer: &'static str,
    },
    /// One that cannot be used.
    #[error(transparent)]
    Invalid(ListError),
    /// One that contradicts another.
    #[error(transparent)]
    Contradiction(#[from] Contradiction),
    /// One from the future.
    #[error("the revocation list was issued at {this_update}, which is in the future")]
    Future {
        /// When it says it was issued.
        this_update: UnixTime,
    },
}

impl ListSelectError {
    /// The reason a guard denies by.
    #[must_use]
    pub const fn reason(&self) -> DenialReason {
        match self {
            Self::Unreadable | Self::Missing { .. } => DenialReason::RevocationMissing,
            Self::Contradiction(_) => DenialReason::RevocationRollback,
            Self::Invalid(_) | Self::Future { .. } => DenialReason::RevocationInvalid,
        }
    }
}

/// Before every decision.
const NEVER: UnixTime = UnixTime::from_seconds(0);

/// notBefore and thisUpdate tolerate clocks that lag by this many seconds.
const CLOCK_TOLERANCE: i64 = 120;
