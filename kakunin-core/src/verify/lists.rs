//! What the lists say about the certificates that are here.
//!
//! Each list is read once, and verified once for each issuer that it names; what is kept of it is a few words. A name and a
//! key identifier are nobody's own, so another owner's authority may bear those of ours: a list is of every issuer that it
//! names and whose key signed it.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use super::papers::{CheckedList, Revoked};
use super::source::Source;
use crate::digest::Digest;
use crate::id::SerialNumber;
use crate::receipt::ListUse;
use crate::revocation::{FeedHead, ListIssuer, RevocationList, Standing, UnverifiedList};
use crate::time::UnixTime;

/// The name and the key identifier that a list gives for its issuer.
type Named = (Vec<u8>, Vec<u8>);

/// An issuer of lists: what it is called, its key, and whether it may sign them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Issuer {
    named: Named,
    key: Digest,
    may_sign: bool,
}

impl Issuer {
    pub(super) fn of(issuer: &ListIssuer<'_>) -> Self {
        Self {
            named: (issuer.name.to_vec(), issuer.key_id.to_vec()),
            key: issuer.key.key_id(),
            may_sign: issuer.may_sign_lists,
        }
    }
}

/// All the lists there are.
pub(super) struct Lists<'a> {
    sources: &'a [&'a dyn Source],
    /// Lists that the caller brought.
    brought: &'a [Vec<u8>],
    places: HashMap<Named, Vec<Spot>>,
    said: HashMap<Issuer, Arc<Said>>,
    /// The SHA-256 of each list that an issuer here signed.
    signed: HashSet<Digest>,
}

/// Where a list is.
#[derive(Clone, Copy)]
enum Spot {
    Source(usize, Digest),
    Brought(usize),
}

impl<'a> Lists<'a> {
    pub(super) fn of(
        sources: &'a [&'a dyn Source],
        brought: &'a [Vec<u8>],
        names: &[(Vec<Digest>, Vec<Digest>)],
    ) -> Self {
        let (places, said, signed) = (HashMap::new(), HashMap::new(), HashSet::new());
        let mut lists = Self { sources, brought, places, said, signed };
        let mut known = HashSet::new();
        let kept = names.iter().enumerate();
        let kept = kept.flat_map(|(at, (_, lists))| lists.iter().map(move |name| Spot::Source(at, *name)));
        for spot in kept.chain((0..brought.len()).map(Spot::Brought)) {
            let Some(der) = lists.read(spot).filter(|der| known.insert(Digest::of(der))) else { continue };
            if let Ok(list) = UnverifiedList::decode(&der) {
                let (name, key_id) = list.issuer_named();
                lists.places.entry((name.to_vec(), key_id.to_vec())).or_default().push(spot);
            }
        }
        lists
    }

    fn read(&self, spot: Spot) -> Option<Vec<u8>> {
        match spot {
            Spot::Source(at, name) => self.sources.get(at)?.list(&name),
            Spot::Brought(at) => self.brought.get(at).cloned(),
        }
    }

    /// What `issuer` says about the certificates with one of `serials`.
    pub(super) fn said(&mut self, issuer: &ListIssuer<'_>, serials: &HashSet<SerialNumber>) -> Arc<Said> {
        let key = Issuer::of(issuer);
        if let Some(known) = self.said.get(&key) {
            return Arc::clone(known);
        }
        let mut said = Said::default();
        for spot in self.places.get(&key.named).into_iter().flatten() {
            let Some(der) = self.read(*spot) else { continue };
            let list = UnverifiedList::decode(&der).ok().and_then(|list| list.verify(issuer).ok());
            if let Some(list) = list {
                self.signed.insert(Digest::of(&der));
                said.take(&list, matches!(spot, Spot::Source(..)), serials);
            }
        }
        let said = Arc::new(said);
        self.said.insert(key, Arc::clone(&said));
        said
    }

    /// How many of the lists that the caller brought no issuer here signed.
    pub(super) fn foreign(&self) -> usize {
        self.brought.iter().filter(|der| !self.signed.contains(&Digest::of(der))).count()
    }

    /// Whether each list of the sources, `names`, is what its name says, and signed by one of the issuers here that it
    /// names, if there is one.
    pub(super) fn are_whole(&self, names: &[(Vec<Digest>, Vec<Digest>)]) -> bool {
        let here: HashSet<(&[u8], &[u8])> =
            self.said.keys().map(|issuer| (&*issuer.named.0, &*issuer.named.1)).collect();
        let is_whole = |at: usize, name: &Digest| {
            let Some(der) = self.read(Spot::Source(at, *name)) else { return false };
            UnverifiedList::decode(&der).is_ok_and(|list| {
                let signed = || self.signed.contains(&Digest::of(&der));
                list.digest() == *name && (!here.contains(&list.issuer_named()) || signed())
            })
        };
        names.iter().enumerate().all(|(at, (_, lists))| lists.iter().all(|name| is_whole(at, name)))
    }
}

/// What one issuer's lists say.
#[derive(Default)]
pub(super) struct Said {
    lists: Vec<ListUse>,
    /// Of those that ask for the feed, how far they know it.
    with_feed: HashMap<usize, FeedHead>,
    /// Those that the sources have, by name.
    names: HashMap<Digest, usize>,
    /// For each certificate that is here and on a list: on which, ascending, as what, and since when.
    named: HashMap<SerialNumber, Vec<Entry>>,
}

/// A certificate on a list.
#[derive(Clone, Copy)]
struct Entry {
    list: usize,
    standing: Standing,
    since: UnixTime,
}

impl Said {
    fn take(&mut self, list: &RevocationList, is_kept: bool, serials: &HashSet<SerialNumber>) {
        let at = self.lists.len();
        self.lists.push(ListUse::of(list));
        if let Some(policy) = list.policy() {
            self.with_feed.insert(at, policy.head());
        }
        if is_kept {
            self.names.entry(list.digest()).or_insert(at);
        }
        list.each_entry(&mut |serial, standing, date| {
            if !serials.contains(&serial) {
                return;
            }
            let on = self.named.entry(serial).or_default();
            match on.last_mut().filter(|last| last.list == at) {
                // Of an entry that is there twice, the more restrictive one counts.
                Some(known) if known.standing == standing => known.since = date.min(known.since),
                Some(known) if standing == Standing::Revoked => {
                    (known.standing, known.since) = (standing, date);
                }
                Some(_) => {}
                None => on.push(Entry { list: at, standing, since: date }),
            }
        });
    }

    /// The list `name` and what it says about `serial`.
    pub(super) fn list(&self, name: &Digest, serial: &SerialNumber) -> Option<CheckedList> {
        let at = *self.names.get(name)?;
        let on = self.named.get(serial).map_or(&[][..], Vec::as_slice);
        let entry = on.binary_search_by_key(&at, |entry| entry.list).ok().and_then(|entry| on.get(entry));
        let standing = entry.map_or(Standing::Good, |entry| entry.standing);
        Some(CheckedList { list: *self.lists.get(at)?, standing, feed: self.with_feed.get(&at).copied() })
    }

    /// Since when certificates of one key, which end by `not_after`, are revoked. A date that the issuer set back counts
    /// from the last list that still called them good: whoever acted by that list was right. Later lists without the entry
    /// forgot it, since a revocation is final, and one of after `not_after` need not name it any more. A hold that no list
    /// lifted before the revocation was its beginning, and from then on nothing is beyond doubt.
    pub(super) fn end(&self, serials: &HashSet<SerialNumber>, not_after: UnixTime) -> Revoked {
        let on = || serials.iter().filter_map(|serial| self.named.get(serial)).flatten();
        let of = |standing| {
            on().filter(move |entry| entry.standing == standing)
                .filter_map(|entry| Some((self.lists.get(entry.list)?, entry.since)))
        };
        let revoking = || of(Standing::Revoked);
        let date = revoking().map(|(_, date)| date).min();
        let (Some(date), Some(first)) = (date, revoking().map(|(list, _)| list.number).min()) else {
            return Revoked::default();
        };
        let named: HashSet<usize> = on().map(|entry| entry.list).collect();
        let good = || {
            let lists = self.lists.iter().enumerate().filter(|(at, _)| !named.contains(at));
            lists.map(|(_, list)| list).filter(|list| list.number < first && list.this_update <= not_after)
        };
        let lifted = good().map(|list| list.number).max();
        let unlifted =
            of(Standing::Held).filter(|(list, _)| list.number < first && Some(list.number) > lifted);
        let held = unlifted.map(|(_, date)| date).fold(date, UnixTime::min);
        let since = |date| Some(good().map(|list| list.this_update).fold(date, UnixTime::max));
        Revoked { perhaps: since(held), surely: since(date) }
    }

    /// Since when lists that knew the feed up to an epoch in `epochs` hold one of `serials`, unless a later one of them lifted
    /// that. A date that was set back counts from the last list before that called them good.
    pub(super) fn held(&self, serials: &HashSet<SerialNumber>, epochs: Range<u64>) -> Option<UnixTime> {
        let knew = |at: &usize| self.with_feed.get(at).is_some_and(|head| epochs.contains(&head.epoch()));
        let on = || serials.iter().filter_map(|serial| self.named.get(serial)).flatten();
        let named: HashSet<usize> = on().map(|entry| entry.list).collect();
        let good = || {
            let lists = self.lists.iter().enumerate();
            lists.filter(|(at, _)| !named.contains(at) && knew(at)).map(|(_, list)| list)
        };
        let lifted = good().map(|list| list.number).max();
        let held = on().filter(|entry| entry.standing == Standing::Held && knew(&entry.list));
        let unlifted =
            held.filter(|entry| self.lists.get(entry.list).is_some_and(|list| Some(list.number) > lifted));
        let date = unlifted.map(|entry| entry.since).min()?;
        Some(good().map(|list| list.this_update).fold(date, UnixTime::max))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use rcgen::{
        BasicConstraints, CertificateParams, CertificateRevocationListParams, IsCa, Issuer as Signing,
        KeyIdMethod, KeyPair, KeyUsagePurpose, PublicKeyData as _, date_time_ymd,
    };

    use super::super::report::{Extent, Shown};
    use super::super::source::{ChainLength, ShownLog, Stop, Visitor};
    use super::*;
    use crate::id::StreamId;
    use crate::key::PublicKey;

    /// Lists of one issuer, and how often one was read.
    struct Shelf {
        lists: Vec<(Digest, Vec<u8>)>,
        read: Cell<usize>,
    }

    impl Source for Shelf {
        fn extent(&self) -> Extent {
            Extent::Streams
        }
        fn is_of_one_agent(&self) -> bool {
            true
        }
        fn logs(&self) -> Result<Vec<ShownLog>, Stop> {
            Ok(Vec::new())
        }
        fn chain_length(&self, _: StreamId) -> Option<ChainLength> {
            None
        }
        fn walk(&self, _: &mut dyn Visitor) -> Result<(), Stop> {
            Ok(())
        }
        fn papers(&self) -> (Vec<Digest>, Vec<Digest>) {
            (Vec::new(), self.lists.iter().map(|(name, _)| *name).collect())
        }
        fn certificate(&self, _: &Digest) -> Option<Vec<u8>> {
            None
        }
        fn list(&self, name: &Digest) -> Option<Vec<u8>> {
            self.read.set(self.read.get() + 1);
            self.lists.iter().find(|(known, _)| known == name).map(|(_, der)| der.clone())
        }
        fn items(&self) -> usize {
            0
        }
        fn each_item(&self, _: &mut dyn FnMut(Option<&Digest>, &str)) {}
        fn shown(&self) -> Shown {
            Shown::All
        }
        fn erasures(&self) -> Vec<Digest> {
            Vec::new()
        }
        fn erased(&self, _: &Digest) -> Option<Vec<Digest>> {
            None
        }
        fn has_strangers(&self) -> bool {
            false
        }
    }

    #[test]
    fn a_list_is_read_once_for_each_issuer_however_many_certificates_ask() {
        let key = KeyPair::generate().unwrap();
        let public = PublicKey::from_spki(&key.subject_public_key_info()).unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::CrlSign];
        let signing = Signing::new(params, key);
        let list = |number: u8| {
            let params = CertificateRevocationListParams {
                this_update: date_time_ymd(2026, 11, 20),
                next_update: date_time_ymd(2026, 11, 27),
                crl_number: rcgen::SerialNumber::from_slice(&[number]),
                issuing_distribution_point: None,
                revoked_certs: Vec::new(),
                key_identifier_method: KeyIdMethod::Sha256,
            };
            let der = params.signed_by(&signing).unwrap().der().to_vec();
            (UnverifiedList::decode(&der).unwrap().digest(), der)
        };
        let shelf = Shelf { lists: (1..=20).map(list).collect(), read: Cell::new(0) };
        let first = shelf.lists[0].1.clone();
        let named = UnverifiedList::decode(&first).unwrap();
        let (name, key_id) = named.issuer_named();
        let issuer = ListIssuer { name, key_id, key: &public, may_sign_lists: true };
        let (sources, names) = ([&shelf as &dyn Source], [shelf.papers()]);
        let mut lists = Lists::of(&sources, &[], &names);
        for _ in 0..1000 {
            assert_eq!(lists.said(&issuer, &HashSet::new()).lists.len(), 20);
        }
        assert_eq!(shelf.read.get(), 40, "once to see whose it is, once to verify it");
        assert!(lists.are_whole(&names));
    }
}
