//! The records of an authority, through their own words.

mod access;
mod audit;
mod old;

use kakunin_authority::access::TenantId;
use kakunin_authority::store::SqliteStore;
use kakunin_core::time::UnixTime;
use tempfile::TempDir;

/// A new store in a folder of its own.
pub(super) fn fresh() -> (TempDir, SqliteStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("store.sqlite")).unwrap();
    (folder, store)
}

pub(super) fn at(seconds: i64) -> UnixTime {
    UnixTime::from_seconds(seconds)
}

/// The one tenant that every store has.
pub(super) fn ours() -> TenantId {
    TenantId::default()
}

/// A tenant that no store has.
pub(super) fn theirs() -> TenantId {
    TenantId::parse("theirs").unwrap()
}
