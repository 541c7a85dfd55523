//! Signed revocation lists and their numbers.

use kakunin_core::time::UnixTime;

use super::{IssuerId, StoreError};

/// The lists.
pub trait Lists {
    /// Takes the next number of an issuer's list, never the same twice.
    ///
    /// # Errors
    /// [`StoreError::UnknownIssuer`] when there is no such issuer.
    fn next_list_number(&mut self, issuer: IssuerId) -> Result<u64, StoreError>;

    /// Keeps a signed list in the place of the one before it.
    ///
    /// # Errors
    /// [`StoreError::UnknownIssuer`] when there is no such issuer.
    fn keep_list(&mut self, issuer: IssuerId, list: &ListRecord) -> Result<(), StoreError>;

    /// The newest signed list of an issuer.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn newest_list(&self, issuer: IssuerId) -> Result<Option<ListRecord>, StoreError>;

    /// Its number alone.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn newest_number(&self, issuer: IssuerId) -> Result<Option<u64>, StoreError>;
}

/// A signed list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListRecord {
    /// Its number.
    pub number: u64,
    /// From when it speaks.
    pub this_update: UnixTime,
    /// Until when it may be used.
    pub next_update: UnixTime,
    /// The list.
    pub der: Vec<u8>,
}
