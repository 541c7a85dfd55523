//! Signed revocation lists and their numbers.
//!
//! Every list is kept for as long as the records are: a receipt names the list it was decided by, and whoever judges it in
//! some years needs that one. One list is signed for each revocation, so most are kept as what is new in them beside the
//! last one that is kept whole (`list_patch.rs`). A new one is kept whole as soon as the patches beside the last one weigh
//! as much as it: what is written per list grows with the root of its size, and reading one back takes two records.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use kakunin_core::digest::Digest;
use kakunin_core::time::UnixTime;

use super::list_patch::{apply, patch, tbs};
use super::{IssuerId, StoreError};

/// The lists.
pub trait Lists {
    /// Takes the next number of an issuer's list, never the same twice.
    ///
    /// # Errors
    /// [`StoreError::UnknownIssuer`] when there is no such issuer.
    fn next_list_number(&mut self, issuer: IssuerId) -> Result<u64, StoreError>;

    /// Keeps a signed list beside the ones before it. One that is kept already is kept.
    ///
    /// # Errors
    /// [`StoreError::UnknownIssuer`] when there is no such issuer, [`StoreError::ListTaken`] when another list has this
    /// number.
    fn keep_list(&mut self, issuer: IssuerId, list: &ListRecord) -> Result<(), StoreError>;

    /// The list of an issuer with the highest number.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn newest_list(&self, issuer: IssuerId) -> Result<Option<ListRecord>, StoreError>;

    /// What the list with the highest number says about itself, without reading it.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn newest_list_head(&self, issuer: IssuerId) -> Result<Option<ListHead>, StoreError>;

    /// The list of an issuer with the highest number below `number`.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn list_before(&self, issuer: IssuerId, number: u64) -> Result<Option<ListRecord>, StoreError>;

    /// The newest list that was signed at or before `at`; the first one of all if none was.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn list_as_of(&self, issuer: IssuerId, at: UnixTime) -> Result<Option<ListRecord>, StoreError>;

    /// The list whose TBSCertList has this SHA-256: the name that receipts give it.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn list_named(&self, name: &Digest) -> Result<Option<(IssuerId, ListRecord)>, StoreError>;
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

impl ListRecord {
    /// SHA-256 of its TBSCertList: the name that receipts give it.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when it is no list.
    pub fn name(&self) -> Result<Digest, StoreError> {
        tbs(&self.der).map(Digest::of).ok_or(NO_LIST)
    }

    /// What it says about itself.
    #[must_use]
    pub const fn head(&self) -> ListHead {
        ListHead { number: self.number, this_update: self.this_update, next_update: self.next_update }
    }
}

/// What a list says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListHead {
    /// Its number.
    pub number: u64,
    /// From when it speaks.
    pub this_update: UnixTime,
    /// Until when it may be used.
    pub next_update: UnixTime,
}

/// A list as a database keeps it.
#[derive(Clone, Debug)]
pub(super) struct KeptList {
    pub(super) head: ListHead,
    /// Its name; none of a list that was kept before lists had one.
    pub(super) name: Option<Digest>,
    /// The number of the whole list that `body` is beside; none if it is whole itself.
    pub(super) base: Option<u64>,
    /// How many octets the patches beside that list have together, with this one.
    pub(super) weight: u64,
    pub(super) body: Vec<u8>,
}

impl KeptList {
    /// How to keep `list`: whole, or beside `whole`, with which patches of `weight` octets are kept already.
    pub(super) fn of(list: &ListRecord, whole: Option<(u64, &[u8], u64)>) -> Result<Self, StoreError> {
        let (head, name) = (list.head(), Some(list.name()?));
        if let Some((base, der, before)) = whole {
            let body = patch(der, &list.der);
            let weight = before.saturating_add(body.len() as u64);
            // What is kept has to come back: it is tried before anybody relies on it.
            let light = weight <= der.len() as u64 && body.len() < list.der.len();
            if light && apply(der, &body).as_ref() == Some(&list.der) {
                return Ok(Self { head, name, base: Some(base), weight, body });
            }
        }
        Ok(Self { head, name, base: None, weight: 0, body: list.der.clone() })
    }

    /// The list; `whole` reads the one that it is beside.
    pub(super) fn read(
        self,
        whole: impl FnOnce(u64) -> Result<Arc<[u8]>, StoreError>,
    ) -> Result<ListRecord, StoreError> {
        let der = match self.base {
            None => self.body,
            Some(base) => apply(&whole(base)?, &self.body).ok_or(NO_LIST)?,
        };
        let ListHead { number, this_update, next_update } = self.head;
        let list = ListRecord { number, this_update, next_update, der };
        match self.name {
            Some(name) if list.name()? != name => Err(NO_LIST),
            _ => Ok(list),
        }
    }
}

/// The last list of each issuer that was read whole: the next one is kept beside it as a rule.
#[derive(Debug, Default)]
pub(super) struct Wholes(RefCell<HashMap<IssuerId, Whole>>);

#[derive(Debug)]
struct Whole {
    number: u64,
    der: Arc<[u8]>,
}

impl Wholes {
    /// The whole list with this number, from here or by `read`. Within a batch nothing is remembered: it may be taken back.
    pub(super) fn get(
        &self,
        (issuer, number): (IssuerId, u64),
        in_batch: bool,
        read: impl FnOnce() -> Result<Vec<u8>, StoreError>,
    ) -> Result<Arc<[u8]>, StoreError> {
        if in_batch {
            return Ok(read()?.into());
        }
        if let Some(known) = self.0.borrow().get(&issuer).filter(|known| known.number == number) {
            return Ok(Arc::clone(&known.der));
        }
        let der: Arc<[u8]> = read()?.into();
        self.0.borrow_mut().insert(issuer, Whole { number, der: Arc::clone(&der) });
        Ok(der)
    }
}

pub(super) const NO_LIST: StoreError = StoreError::Damaged { what: "signed list" };
