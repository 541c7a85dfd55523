//! What changed on the issuing authority's list since an earlier one, signed beside each list as a delta list (RFC 5280
//! section 5.2.4).
//!
//! The earlier list, the base, is the newest one that was signed before the last full hour had begun, so that it stays
//! the same for an hour and whoever asks every minute has a later one; the oldest that is known, if none is that old. Every
//! certificate that changed since is named, also one that was held and is good again, since somebody may have the list
//! of in between.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use der::{Decode, Header, Reader, SliceReader};
use kakunin_core::certificate::CaCertificate;
use kakunin_core::key::Signer;
use kakunin_core::revocation::ListPolicy;
use kakunin_core::time::UnixTime;

use crate::authority::{Authority, AuthorityError};
use crate::list::{ListError, ListHeader, ListWriter};
use crate::publish::{Published, to_pem};
use crate::standing::Reason;
use crate::store::list_patch::{Entries, Parts, from, same_octets, whole_entries};
use crate::store::{IssuerId, ListRecord, Store, StoreError};

/// A signed delta list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta {
    /// The number of the list that it changes.
    pub base: u64,
    /// The delta list; its number and dates are those of the full list beside it.
    pub der: Vec<u8>,
}

impl Delta {
    /// The same as a PEM block.
    ///
    /// # Errors
    /// [`AuthorityError::Encoding`] when it is too long for one.
    pub fn pem(&self) -> Result<String, AuthorityError> {
        to_pem("X509 CRL", &self.der)
    }
}

/// What changed lately on the lists of the issuing authorities.
#[derive(Debug, Default)]
pub(crate) struct Deltas {
    /// Whether anybody wants delta lists.
    wanted: bool,
    windows: HashMap<IssuerId, Window>,
}

#[derive(Debug)]
struct Window {
    /// Number and time of every list since which all changes are known, oldest first.
    lists: VecDeque<(u64, UnixTime)>,
    /// What changed after the oldest of them, by the DER of the serial number.
    touched: BTreeMap<Vec<u8>, Touched>,
}

/// The last change of a certificate.
#[derive(Debug)]
struct Touched {
    /// With which list it came.
    number: u64,
    now: Now,
}

#[derive(Debug)]
enum Now {
    /// The entry that it has.
    Listed(Vec<u8>),
    /// It was held, and is not listed any more.
    Lifted,
    /// It was revoked, and has ended.
    Ended,
}

impl Authority<'_> {
    /// From here on a delta list is signed beside each list of a tenant's current issuing authority, where there is an earlier one.
    pub const fn sign_deltas(&mut self) {
        self.deltas.wanted = true;
    }

    /// The delta list beside `list`, which was just signed. A list goes out without one when that cannot be had: whoever
    /// wants to know what changed takes the list.
    pub(crate) fn delta_beside(
        &mut self,
        id: IssuerId,
        list: &ListRecord,
        policy: Option<ListPolicy>,
    ) -> Option<Delta> {
        if !self.deltas.wanted {
            return None;
        }
        let published = self.published().cloned();
        let issuer = self.issuing.iter().find(|issuing| issuing.id == id)?.certificate.clone();
        let of_it =
            |published: &&Arc<Published>| published.issuing().decoded().der() == issuer.decoded().der();
        let published = published.as_ref().filter(of_it).map(|published| published.list());
        // One that cannot be followed is read anew with the next list.
        let known = self.deltas.windows.remove(&id);
        let window = Window::follow(known, self.store.as_ref(), published, id, list).ok()?;
        let window = self.deltas.windows.entry(id).insert_entry(window).into_mut();
        window.sign(&issuer, list, policy, self.keys.signer(id).ok()?).ok()?
    }
}

impl Window {
    /// Takes up what `list` changed; every list of this process passes here, so the last one of the window is the one before.
    fn follow(
        known: Option<Self>,
        store: &dyn Store,
        published: Option<&ListRecord>,
        issuer: IssuerId,
        list: &ListRecord,
    ) -> Result<Self, StoreError> {
        let known = known.and_then(|window| Some((window.lists.back()?.0, window)));
        if let (Some((number, mut window)), Some(before)) = (known, published)
            && before.number == number
        {
            window.note(&before.der, list);
            return Ok(window);
        }
        let mut window = Self { lists: VecDeque::new(), touched: BTreeMap::new() };
        match store.list_before(issuer, list.number)? {
            None => window.lists.push_back((list.number, list.this_update)),
            Some(before) => {
                let der = window.rewind(store, issuer, before, hour_before(list.this_update))?;
                window.note(&der, list);
            }
        }
        Ok(window)
    }

    /// Takes up the lists up to `newest`, backwards until one was signed before `until`; gives back the DER of `newest`.
    fn rewind(
        &mut self,
        store: &dyn Store,
        issuer: IssuerId,
        newest: ListRecord,
        until: UnixTime,
    ) -> Result<Vec<u8>, StoreError> {
        self.lists.push_back((newest.number, newest.this_update));
        let mut room = MOST_READ.saturating_sub(newest.der.len());
        let first = newest.der.clone();
        let mut now = newest;
        while now.this_update >= until && self.lists.len() < MOST_LISTS {
            let Some(before) = store.list_before(issuer, now.number)? else { break };
            let Some(left) = room.checked_sub(before.der.len()) else { break };
            room = left;
            for (serial, change) in changes(&before.der, &now.der) {
                // What came later counts.
                self.touched.entry(serial).or_insert(Touched { number: now.number, now: change });
            }
            self.lists.push_front((before.number, before.this_update));
            now = before;
        }
        Ok(first)
    }

    fn note(&mut self, before: &[u8], list: &ListRecord) {
        for (serial, now) in changes(before, &list.der) {
            self.touched.insert(serial, Touched { number: list.number, now });
        }
        self.lists.push_back((list.number, list.this_update));
    }

    /// The delta list beside `list`; none if there is no earlier one, or it would be half as long as the list.
    fn sign(
        &mut self,
        issuer: &CaCertificate,
        list: &ListRecord,
        policy: Option<ListPolicy>,
        signer: &Signer,
    ) -> Result<Option<Delta>, ListError> {
        let until = hour_before(list.this_update);
        // The first one of the window, or a later one that is old enough, too.
        while self.lists.len() > 2 && self.lists.get(1).is_some_and(|(_, at)| *at < until) {
            self.lists.pop_front();
        }
        let Some((base, _)) = self.lists.front().copied().filter(|(base, _)| *base < list.number) else {
            return Ok(None);
        };
        self.touched.retain(|_, touched| touched.number > base);
        let mut writer = ListWriter::default();
        for (serial, touched) in &self.touched {
            match &touched.now {
                Now::Listed(entry) => writer.push_entry(entry),
                Now::Lifted => writer.push_removal(serial, list.this_update)?,
                Now::Ended => {}
            }
            if writer.len() > SHORT.max(list.der.len() / 2) {
                return Ok(None);
            }
        }
        let ListRecord { number, this_update, next_update, .. } = *list;
        let header = ListHeader { issuer, number, this_update, next_update, policy };
        Ok(Some(Delta { base, der: writer.sign_delta(&header, base, signer)? }))
    }
}

/// What is another on the list `new` than on `old`, by the DER of the serial number.
fn changes(old: &[u8], new: &[u8]) -> Vec<(Vec<u8>, Now)> {
    let (old, new) = (Parts::of(old).entries, Parts::of(new).entries);
    // As a rule one came at the end.
    let same = whole_entries(new, same_octets(old, new));
    let mut left: HashMap<&[u8], &[u8]> =
        Entries(from(old, same)).filter_map(|entry| Some((serial(entry)?, entry))).collect();
    let mut changes = Vec::new();
    for entry in Entries(from(new, same)) {
        let Some(serial) = serial(entry) else { continue };
        if left.remove(serial) != Some(entry) {
            changes.push((serial.to_vec(), Now::Listed(entry.to_vec())));
        }
    }
    for (serial, entry) in left {
        let held = entry.ends_with(&[0x0a, 1, Reason::CertificateHold.code()]);
        changes.push((serial.to_vec(), if held { Now::Lifted } else { Now::Ended }));
    }
    changes
}

/// The serial number of an entry, in DER.
fn serial(entry: &[u8]) -> Option<&[u8]> {
    let mut reader = SliceReader::new(entry).ok()?;
    Header::decode(&mut reader).ok()?;
    reader.tlv_bytes().ok()
}

/// The beginning of the hour before the one of `now`.
fn hour_before(now: UnixTime) -> UnixTime {
    UnixTime::from_seconds((now.seconds().div_euclid(HOUR) - 1) * HOUR)
}

const HOUR: i64 = 3600;
/// A delta list of this many octets of entries is worth having, however short the full one is.
const SHORT: usize = 64 << 10;
/// As much is read of earlier lists when a process begins: enough for hours of a small authority, and a dozen lists of a big
/// one.
const MOST_READ: usize = 64 << 20;
const MOST_LISTS: usize = 512;

#[cfg(test)]
mod tests {
    use kakunin_core::certificate::{CaCertificate, CaRole};
    use kakunin_core::id::SerialNumber;
    use kakunin_core::key::{Algorithm, Signer, SoftKey};
    use kakunin_core::time::Validity;

    use super::*;
    use crate::profile::{Kind, Subject, signed, to_be_signed};
    use crate::standing::ListedCertificate;

    #[test]
    fn a_delta_that_is_half_as_long_as_its_list_is_not_worth_having() {
        let signer = Signer::soft(SoftKey::generate(Algorithm::P256).unwrap().0);
        let start = UnixTime::from_seconds(1_700_000_000);
        let validity = Validity { not_before: start, not_after: start.plus(86_400) };
        let serial = |number: u32| {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&number.to_be_bytes());
            SerialNumber::from_random(bytes)
        };
        let subject = Subject { name: "Long", key: signer.public(), validity, serial: serial(0) };
        let tbs = to_be_signed(&Kind::Root, &subject, signer.algorithm()).unwrap();
        let der = signed(&tbs, signer.algorithm(), &signer.sign(&tbs).unwrap()).unwrap();
        let issuer = CaCertificate::decode(&der, CaRole::Root).unwrap();
        let list = |number: u64, entries: std::ops::Range<u32>| {
            let mut writer = ListWriter::default();
            for nth in entries {
                let reason = Reason::CertificateHold;
                writer.push(&ListedCertificate { serial: serial(nth), since: start, reason }).unwrap();
            }
            let (this_update, next_update) = (start, start.plus(60));
            let header = ListHeader { issuer: &issuer, number, this_update, next_update, policy: None };
            ListRecord { number, this_update, next_update, der: writer.sign(&header, &signer).unwrap() }
        };
        let lists = [list(1, 0..2_000), list(2, 0..2_100), list(3, 0..8_000), list(4, 7_000..8_000)];
        let beside = |before: &ListRecord, list: &ListRecord| {
            let seen = VecDeque::from([(before.number, start)]);
            let mut window = Window { lists: seen, touched: BTreeMap::new() };
            window.note(&before.der, list);
            window.sign(&issuer, list, None, &signer).unwrap()
        };
        let short = beside(&lists[0], &lists[1]).unwrap();
        assert_eq!((short.base, short.der.len() / 100), (1, 51));
        assert_eq!(beside(&lists[0], &lists[2]), None);
        // Lifting as many is as long.
        assert_eq!(beside(&lists[2], &lists[3]), None);
        assert_eq!(beside(&lists[1], &lists[1]), None, "beside itself");
    }
}
