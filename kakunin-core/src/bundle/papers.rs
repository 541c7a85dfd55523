//! The certificates and lists that go along with receipts: what a verifier needs, and what speaks against them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;

use super::export::Found;
use crate::certificate::{CaCertificate, CaRole, Decoded};
use crate::digest::Digest;
use crate::feed::UnverifiedItem;
use crate::id::SerialNumber;
use crate::journal::Archive;
use crate::revocation::{ListNumber, Standing, UnverifiedList};
use crate::time::UnixTime;

/// The certificates named by receipts, those of the same keys and issuers, and those that issued them, as far as the
/// journals have them.
pub(super) fn certificates(found: &Found, used: &HashSet<Digest>) -> HashMap<Digest, Vec<u8>> {
    let mut known: HashMap<Digest, Vec<u8>> = HashMap::new();
    for archive in found.archives() {
        known.extend(archive.certificates().into_iter().map(|der| (Digest::of(&der), der)));
    }
    let (mut subjects, mut keys) = (HashMap::<Vec<u8>, Vec<Digest>>::new(), HashMap::new());
    for (name, der) in &known {
        let Ok(certificate) = Decoded::from_der(der) else { continue };
        subjects.entry(certificate.subject().to_vec()).or_default().push(*name);
        keys.entry(bearer(&certificate)).or_insert_with(Vec::new).push(*name);
    }
    let mut taken: HashMap<Digest, Vec<u8>> = HashMap::new();
    let mut open: Vec<Digest> = used.iter().copied().collect();
    while let Some(name) = open.pop() {
        let Some(der) = known.get(&name).filter(|_| !taken.contains_key(&name)) else { continue };
        taken.insert(name, der.clone());
        let Ok(certificate) = Decoded::from_der(der) else { continue };
        open.extend(subjects.get(certificate.issuer()).into_iter().flatten());
        // A revocation of one of them counts for all.
        open.extend(keys.get(&bearer(&certificate)).into_iter().flatten());
    }
    taken
}

fn bearer(certificate: &Decoded) -> (Digest, Vec<u8>) {
    (certificate.key().key_id(), certificate.issuer().to_vec())
}

/// The lists that receipts name, the newest of each issuer, and of those that revoke a certificate that goes along, or its
/// issuer, the first and the one that dates it earliest, with the last list before. Ascending by name.
pub(super) fn lists(
    found: &Found,
    named: &HashSet<Digest>,
    certificates: &HashMap<Digest, Vec<u8>>,
) -> BTreeMap<Digest, Vec<u8>> {
    let issuers: Vec<CaCertificate> = certificates.values().filter_map(|der| authority(der)).collect();
    let mut serials: HashMap<Vec<u8>, HashSet<SerialNumber>> = HashMap::new();
    for certificate in certificates.values().filter_map(|der| Decoded::from_der(der).ok()) {
        serials.entry(certificate.issuer().to_vec()).or_default().insert(certificate.serial());
    }
    let archives: Vec<Archive> = found.archives().collect();
    let (mut taken, mut doubtful) = (BTreeSet::<Spot>::new(), BTreeSet::<Spot>::new());
    let mut voices: HashMap<Voice, Spoken> = HashMap::new();
    for (at, archive) in archives.iter().enumerate() {
        for name in archive.names().1 {
            let Some(der) = archive.list(&name) else { continue };
            let Some(list) = UnverifiedList::decode(&der).ok().filter(|list| list.digest() == name) else {
                continue;
            };
            let of = voices_of(&der, &list, at, &issuers);
            if named.contains(&name) {
                // What nobody signed is shown too, unless another archive has it whole.
                let shown = if of.is_empty() { &mut doubtful } else { &mut taken };
                shown.insert((name, at));
            }
            for voice in of {
                voices.entry(voice).or_default().take((name, at), &list, &serials);
            }
        }
    }
    taken.extend(voices.values().flat_map(Spoken::telling));
    let read = |(name, at): Spot| Some((name, archives.get(at)?.list(&name)?));
    doubtful.into_iter().rev().chain(taken.into_iter().rev()).filter_map(read).collect()
}

/// The items of feeds about certificates that go along: by name, where each is and which key it names.
pub(super) type Items = BTreeMap<Digest, (usize, Digest)>;

/// Every change that an issuer of `certificates` is said to have made, and that is what its name says.
pub(super) fn items(found: &Found, certificates: &HashMap<Digest, Vec<u8>>) -> Items {
    let keys: HashSet<Digest> = certificates
        .values()
        .filter_map(|der| authority(der))
        .map(|issuer| issuer.decoded().key().key_id())
        .collect();
    let mut items = Items::new();
    for (at, archive) in found.archives().enumerate() {
        for name in archive.items() {
            let read = archive.item(&name).and_then(|line| UnverifiedItem::parse(&line).ok());
            if let Some(item) =
                read.filter(|item| item.digest() == name && keys.contains(&item.item().issuer))
            {
                items.entry(name).or_insert((at, *item.key()));
            }
        }
    }
    items
}

/// Hands on the lines of `items`, in their order.
pub(super) fn each_line(
    found: &Found,
    items: &Items,
    mut each: impl FnMut(&str) -> io::Result<()>,
) -> io::Result<()> {
    let archives: Vec<Archive> = found.archives().collect();
    for (name, (at, _)) in items {
        let line = archives.get(*at).and_then(|archive| archive.item(name));
        each(&line.ok_or_else(|| io::Error::other("an item of a feed went away while it was exported"))?)?;
    }
    Ok(())
}

/// Adds the certificates of the keys that `items` name.
pub(super) fn add_feed_keys(found: &Found, items: &Items, certificates: &mut HashMap<Digest, Vec<u8>>) {
    let keys: HashSet<Digest> = items.values().map(|(_, key)| *key).collect();
    if keys.is_empty() {
        return;
    }
    for der in found.archives().flat_map(|archive| archive.certificates()) {
        let named =
            Decoded::from_der(&der).is_ok_and(|certificate| keys.contains(&certificate.key().key_id()));
        if named {
            certificates.insert(Digest::of(&der), der);
        }
    }
}

fn authority(der: &[u8]) -> Option<CaCertificate> {
    [CaRole::Issuing, CaRole::Root].into_iter().find_map(|role| CaCertificate::decode(der, role).ok())
}

/// Whose word a list is. Where its issuer goes along, the key that signed it; otherwise what it says in its own archive,
/// so that no other owner's archive displaces it.
#[derive(PartialEq, Eq, Hash)]
enum Voice {
    Signed(Digest),
    Said(usize, Vec<u8>, Vec<u8>),
}

/// A list that its issuer did not sign is nobody's.
fn voices_of(der: &[u8], list: &UnverifiedList<'_>, at: usize, issuers: &[CaCertificate]) -> Vec<Voice> {
    let mut of =
        issuers.iter().map(CaCertificate::list_issuer).filter(|issuer| list.names(issuer)).peekable();
    if of.peek().is_none() {
        let (name, key_id) = list.issuer_named();
        return vec![Voice::Said(at, name.to_vec(), key_id.to_vec())];
    }
    let signed =
        of.filter(|issuer| UnverifiedList::decode(der).is_ok_and(|list| list.verify(issuer).is_ok()));
    let mut keys: Vec<Digest> = signed.map(|issuer| issuer.key.key_id()).collect();
    keys.sort_unstable();
    keys.dedup();
    keys.into_iter().map(Voice::Signed).collect()
}

/// A list, and the archive it is in.
type Spot = (Digest, usize);

/// The lists of one issuer.
#[derive(Default)]
struct Spoken {
    lists: Vec<(ListNumber, Spot)>,
    revoking: HashMap<SerialNumber, Vec<(ListNumber, UnixTime, Spot)>>,
}

impl Spoken {
    fn take(
        &mut self,
        spot: Spot,
        list: &UnverifiedList<'_>,
        serials: &HashMap<Vec<u8>, HashSet<SerialNumber>>,
    ) {
        let number = list.number();
        self.lists.push((number.clone(), spot));
        let Some(serials) = serials.get(list.issuer_named().0) else { return };
        list.each_entry(&mut |serial, standing, date| {
            if standing == Standing::Revoked && serials.contains(&serial) {
                self.revoking.entry(serial).or_default().push((number.clone(), date, spot));
            }
        });
    }

    fn telling(&self) -> Vec<Spot> {
        let mut telling = self.numbered(self.lists.iter().map(|(number, _)| number).max());
        for revoking in self.revoking.values() {
            let first = revoking.iter().map(|(number, ..)| number).min();
            let before = self.lists.iter().map(|(number, _)| number).filter(|number| Some(*number) < first);
            telling.extend(self.numbered(first));
            telling.extend(self.numbered(before.max()));
            telling.extend(
                revoking.iter().min_by_key(|(number, date, spot)| (date, number, spot)).map(|it| it.2),
            );
        }
        telling
    }

    fn numbered(&self, number: Option<&ListNumber>) -> Vec<Spot> {
        self.lists.iter().filter(|list| Some(&list.0) == number).map(|(_, spot)| *spot).collect()
    }
}
