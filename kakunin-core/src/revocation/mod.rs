//! Revocation lists: what an authority has taken back.
//!
//! `list` reads and verifies RFC 5280 lists, `delta` what changed since one, `number` is what tells the newer of two, `index` answers for a serial number,
//! `standing` is the answer, `memory` refuses lists older than one already seen, `policy` is what a list says about a feed.
//! Which list belongs to which certificate of a path is the certificate room's business; fetching lists is nobody's here.

mod delta;
mod index;
mod list;
mod memory;
mod number;
mod policy;
mod standing;

pub use delta::{DeltaError, UnverifiedDelta, UpdatedList};
pub(crate) use list::MAX_LIST;
pub use list::{ListError, ListIssuer, RevocationList, UnverifiedList};
pub(crate) use memory::follows;
pub use memory::{Contradiction, ListMark};
pub use number::ListNumber;
pub use policy::{FeedHead, ListPolicy};
pub use standing::Standing;
