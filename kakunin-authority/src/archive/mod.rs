//! The write-once archive: the owner's log and the published lists, where nobody can take them back.
//!
//! Takes in the static files of a log and revocation lists, gives out objects in a bucket with Object Lock and an inventory of
//! their versions. It goes one way: source, outbox, bucket, read back, inventory. It never writes to the log, so a bucket that
//! is away holds up nothing, and nothing in here forgets an object that it has collected.
//!
//! ```text
//! H/archive/target.json     where to and for how long
//! H/archive/outbox/<n>      what waits
//! H/archive/collected       when everything was last copied into it
//! H/archive/inventory       what is kept: bucket, key, version, digest, end of the lock
//! H/archive/marks           how far each log was collected
//! H/archive/lock            held by whoever changes one of them
//! ```

pub mod append_only;
mod audit;
mod backlog;
mod bucket;
mod collect;
mod crew;
mod endpoint;
mod keep;
mod inventory;
mod journal_lists;
mod lengthen;
mod mark;
mod object;
mod office;
mod outbox;
mod push;
mod retention;
#[cfg(feature = "s3")]
mod s3;
mod target;

pub use audit::{Audit, Broken};
pub use backlog::{Alarm, Backlog, Limits};
pub use bucket::{Bucket, BucketError, Lock, LockMode, Put, Seen};
pub use collect::{CollectError, Sources};
pub use endpoint::{BadEndpoint, Endpoint};
pub use inventory::{Inventory, InventoryError, Record};
pub use keep::{Claim, KeepError, confirm, keep};
pub use lengthen::Lengthened;
pub use mark::{Contradiction, Mark, MarkError};
pub use object::{BadKey, Kept, Object, ObjectKey, Rank, VersionId};
pub use office::{Archive, ArchiveError, OpenArchive, Survey};
pub use outbox::{Outbox, OutboxError, Place, Waiting};
pub use push::{PushError, Pushed, Refused};
pub use retention::{Retention, UnknownRetention};
#[cfg(feature = "s3")]
pub use s3::S3Bucket;
pub use target::{BucketName, Target, TargetError, parse_location};
