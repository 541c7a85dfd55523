//! Delta lists (RFC 5280 section 5.2.4): with the list they change they say what the next full list says, and nothing
//! alone. Rows are those of `docs/attacks.md`.

use kakunin_core::certificate::{CaCertificate, CaRole};
use kakunin_core::id::SerialNumber as Serial;
use kakunin_core::revocation::{
    Contradiction, DeltaError, ListError, RevocationList, Standing, UnverifiedDelta, UnverifiedList,
    UpdatedList,
};
use proptest::collection::vec;
use proptest::prelude::*;
use rcgen::{CertificateRevocationListParams, RevocationReason, RevokedCertParams, SerialNumber};

use crate::authority::{Authority, By, Der, entry};

#[test]
fn a_list_and_what_changed_since_say_what_the_next_list_says() {
    let house = House::new();
    let held = Some(RevocationReason::CertificateHold);
    let list = house.list(5, vec![entry(&[1], None), entry(&[2], held), entry(&[3], held)]);
    let words = vec![
        entry(&[2], Some(RevocationReason::RemoveFromCrl)),
        entry(&[3], Some(RevocationReason::KeyCompromise)),
        entry(&[4], held),
        // It was held and came back before this list.
        entry(&[5], Some(RevocationReason::RemoveFromCrl)),
    ];
    for base in [1, 4, 5] {
        let updated = house.join(&house.delta(base, 9, words.clone()), &list).unwrap();
        let standings: Vec<_> = (1..=6).map(|number| updated.standing(&serial(number))).collect();
        let (good, held, revoked) = (Standing::Good, Standing::Held, Standing::Revoked);
        assert_eq!(standings, [revoked, good, revoked, held, good, good]);
        assert_eq!((updated.number().to_u64(), updated.changes()), (Some(9), 4));
        assert!(updated.next_update() > updated.this_update());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    /// Whatever happened between the base and now, and whichever list of in between is there.
    #[test]
    fn whatever_happened_in_between(events in vec((1..9_u8, 0..3_u8), 1..20), base in 0..20_usize, at in 0..20_usize) {
        let house = House::new();
        let mut history = vec![[Standing::Good; 9]];
        for (whom, what) in events {
            let mut next = *history.last().unwrap();
            let to = [Standing::Good, Standing::Held, Standing::Revoked][usize::from(what)];
            let whom = &mut next[usize::from(whom)];
            *whom = if *whom == Standing::Revoked { Standing::Revoked } else { to };
            history.push(next);
        }
        let last = history.len() - 1;
        let base = base % last;
        let at = base + at % (last - base);
        let listed = |standings: &[Standing; 9]| -> Vec<RevokedCertParams> {
            (1..9).filter_map(|number| word(number, standings[usize::from(number)])).collect()
        };
        let full = house.list(at as u64 + 1, listed(&history[at]));
        // Whoever changed since the base is named, also if it is good again.
        let moved = |number: &u8| {
            let of = usize::from(*number);
            history[base..].windows(2).any(|pair| pair[0][of] != pair[1][of])
        };
        let now = history[last];
        let words = (1..9).filter(moved).map(|number| {
            word(number, now[usize::from(number)])
                .unwrap_or_else(|| entry(&[number], Some(RevocationReason::RemoveFromCrl)))
        });
        let delta = house.delta(u8::try_from(base + 1).unwrap(), last as u64 + 1, words.collect());
        let updated = house.join(&delta, &full).unwrap();
        for number in 1..9 {
            prop_assert_eq!(updated.standing(&serial(number)), now[usize::from(number)], "{}", number);
        }
    }
}

/// C32: a delta of another base, issuer or time is refused, and what there is stays as it is.
#[test]
fn a_delta_for_something_else_is_refused() {
    let house = House::new();
    let list = house.list(5, vec![entry(&[1], None)]);
    let none = || vec![entry(&[9], None)];
    assert!(house.join(&house.delta(5, 6, none()), &list).is_ok());
    let later = house.join(&house.delta(6, 7, none()), &list);
    assert!(matches!(later, Err(DeltaError::Behind { .. })), "{later:?}");
    for number in [5, 4] {
        let old = house.join(&house.delta(2, number, none()), &list);
        assert!(matches!(old, Err(DeltaError::Contradiction(Contradiction::Rollback { .. }))), "{old:?}");
    }
    for (base, number) in [(6, 6), (7, 6)] {
        let itself = house.join(&house.delta(base, number, none()), &list);
        assert!(matches!(itself, Err(DeltaError::Base { .. })), "{itself:?}");
    }
    // By the root's key, in the issuing authority's name.
    let foreign = Der::parse(&house.delta(5, 6, none()));
    let foreign = house.join(&house.authority.resign(foreign, By::Root), &list).unwrap_err();
    assert_eq!(foreign, DeltaError::List(ListError::Signature));
    // The list is of another issuer than the delta, and each is rightly signed.
    let root = house.authority.list(By::Root, |list| list.crl_number = SerialNumber::from(5_u64));
    let of_root = CaCertificate::decode(&house.authority.root, CaRole::Root).unwrap();
    let root = UnverifiedList::decode(&root).unwrap().verify(&of_root.list_issuer()).unwrap();
    let crossed = house.join(&house.delta(5, 6, none()), &root).unwrap_err();
    assert_eq!(crossed, DeltaError::List(ListError::OtherIssuer));
    let earlier = house.edited(5, 6, none(), |der| *der.path(&[0, 3]).content() = b"200101000000Z".to_vec());
    let earlier = house.join(&earlier, &list);
    assert!(matches!(earlier, Err(DeltaError::Contradiction(Contradiction::Rollback { .. }))), "{earlier:?}");
    // Signed by nobody.
    let mut forged = house.delta(5, 6, none());
    let end = forged.len() - 1;
    forged[end] ^= 1;
    assert_eq!(house.join(&forged, &list).unwrap_err(), DeltaError::List(ListError::Signature));
}

/// C33: what was revoked stays revoked.
#[test]
fn a_delta_takes_no_revocation_back() {
    let house = House::new();
    let list = house.list(5, vec![entry(&[1], None)]);
    for reason in [RevocationReason::RemoveFromCrl, RevocationReason::CertificateHold] {
        let back = house.join(&house.delta(4, 6, vec![entry(&[1], Some(reason))]), &list).unwrap_err();
        assert_eq!(back, DeltaError::Contradiction(Contradiction::Forgotten { serial: serial(1) }));
    }
    // Named twice, the more severe word counts.
    let twice = vec![entry(&[1], None), entry(&[1], Some(RevocationReason::RemoveFromCrl))];
    let updated = house.join(&house.delta(4, 6, twice), &list).unwrap();
    assert_eq!(updated.standing(&serial(1)), Standing::Revoked);
}

/// C25, C28, C32: what a delta may not be.
#[test]
fn a_delta_that_is_none_or_says_more_than_is_understood_is_refused() {
    let house = House::new();
    let list = house.list(5, vec![entry(&[1], None)]);
    let words = || vec![entry(&[9], None)];
    let refused = |what: &str, change: &dyn Fn(&mut Der)| {
        let changed = house.edited(5, 6, words(), change);
        assert!(house.join(&changed, &list).is_err(), "{what}");
        assert!(UnverifiedList::decode(&changed).is_err(), "{what}: nor a full list");
    };
    refused("not critical", &|der| drop(der.extension(INDICATOR).children().remove(1)));
    refused("an unknown critical extension", &|der| {
        der.extensions().push(extension("1.2.3.4", Der::integer(1)));
    });
    refused("the indicator twice", &|der| der.extensions().push(extension(INDICATOR, Der::integer(5))));
    refused("a base that is no number", &|der| {
        *der.extension(INDICATOR).child(2) = Der::leaf(4, vec![5, 0]);
    });
    refused("a negative base", &|der| {
        *der.extension(INDICATOR).child(2) = Der::leaf(4, vec![2, 1, 0x80]);
    });
    refused("indirect", &|der| der.extensions().push(extension("2.5.29.28", Der::list(0x30, Vec::new()))));
    refused("no number", &|der| der.drop_extension("2.5.29.20"));
    refused("no authority key identifier", &|der| der.drop_extension("2.5.29.35"));
    refused("no nextUpdate", &|der| drop(der.child(0).children().remove(4)));
    refused("an unused reason", &|der| {
        let reason = Der::leaf(4, vec![10, 1, 7]);
        let reason = Der::list(0x30, vec![Der::leaf(6, vec![0x55, 0x1d, 21]), reason]);
        der.path(&[0, 5, 0]).children().push(Der::list(0x30, vec![reason]));
    });
    let full = house.list(6, words());
    let raw = house.authority.list(By::Issuing, |list| list.crl_number = SerialNumber::from(6_u64));
    assert_eq!(UnverifiedDelta::decode(&raw).unwrap_err(), DeltaError::Full);
    assert_eq!(full.standing(&serial(9)), Standing::Revoked);
    // Whoever wants a full list gets none from it, whatever it says.
    let delta = house.delta(5, 6, Vec::new());
    let taken = UnverifiedList::decode(&delta).unwrap_err();
    assert_eq!(taken, ListError::Unusable("a delta list, which says only what changed"));
    for end in 0..delta.len() {
        assert!(UnverifiedDelta::decode(&delta[..end]).is_err(), "cut at {end}");
    }
}

/// Delta lists of the shared vectors, with the list that each changes.
#[test]
fn every_delta_vector_gets_its_answer() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/deltas.json");
    let vectors: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let der = |pem: &serde_json::Value| der::pem::decode_vec(pem.as_str().unwrap().as_bytes()).unwrap().1;
    let issuer = CaCertificate::decode(&der(&vectors["issuing"]), CaRole::Issuing).unwrap();
    let cases = vectors["cases"].as_array().unwrap();
    for case in cases {
        let (list, delta) = (der(&case["list"]), der(&case["delta"]));
        let list = UnverifiedList::decode(&list).unwrap().verify(&issuer.list_issuer()).unwrap();
        let joined =
            UnverifiedDelta::decode(&delta).and_then(|read| read.apply(&list, &issuer.list_issuer()));
        let (name, expect) = (&case["name"], &case["expect"]);
        match (joined, expect["refused"].as_str()) {
            (Err(error), Some(word)) => assert_eq!(error.word(), word, "{name}: {error}"),
            (Ok(updated), None) => {
                assert_eq!(updated.number().to_u64(), expect["number"].as_u64(), "{name}");
                for (hex, word) in expect["standings"].as_object().unwrap() {
                    let found = updated.standing(&Serial::parse(hex).unwrap());
                    assert_eq!(found.word(), word, "{name}: {hex}");
                }
            }
            (found, expected) => panic!("{name}: {found:?}, expected {expected:?}"),
        }
        // A full list is what it is, and no delta is taken for one.
        assert_eq!(UnverifiedList::decode(&delta).is_ok(), name == "a_full_list", "{name}");
    }
    assert!(cases.len() > 20);
}

/// An issuing authority.
struct House {
    authority: Authority,
    issuer: CaCertificate,
}

impl House {
    fn new() -> Self {
        let authority = Authority::new();
        let issuer = CaCertificate::decode(&authority.issuing, CaRole::Issuing).unwrap();
        Self { authority, issuer }
    }

    fn raw(&self, number: u64, entries: Vec<RevokedCertParams>) -> Vec<u8> {
        self.authority.list(By::Issuing, |list: &mut CertificateRevocationListParams| {
            list.crl_number = SerialNumber::from(number);
            list.revoked_certs = entries;
        })
    }

    fn list(&self, number: u64, entries: Vec<RevokedCertParams>) -> RevocationList {
        UnverifiedList::decode(&self.raw(number, entries))
            .unwrap()
            .verify(&self.issuer.list_issuer())
            .unwrap()
    }

    fn delta(&self, base: u8, number: u64, entries: Vec<RevokedCertParams>) -> Vec<u8> {
        self.edited(base, number, entries, |_| {})
    }

    fn edited(
        &self,
        base: u8,
        number: u64,
        entries: Vec<RevokedCertParams>,
        change: impl Fn(&mut Der),
    ) -> Vec<u8> {
        let mut der = Der::parse(&self.raw(number, entries));
        der.extensions().push(extension(INDICATOR, Der::integer(base)));
        change(&mut der);
        self.authority.resign(der, By::Issuing)
    }

    fn join(&self, delta: &[u8], list: &RevocationList) -> Result<UpdatedList, DeltaError> {
        UnverifiedDelta::decode(delta)?.apply(list, &self.issuer.list_issuer())
    }
}

fn word(number: u8, standing: Standing) -> Option<RevokedCertParams> {
    match standing {
        Standing::Good => None,
        Standing::Held => Some(entry(&[number], Some(RevocationReason::CertificateHold))),
        Standing::Revoked => Some(entry(&[number], None)),
    }
}

/// A critical extension.
fn extension(oid: &str, value: Der) -> Der {
    let oid = der::asn1::ObjectIdentifier::new(oid).unwrap().as_bytes().to_vec();
    Der::list(0x30, vec![Der::leaf(6, oid), Der::leaf(1, vec![0xff]), Der::leaf(4, value.encode())])
}

fn serial(number: u8) -> Serial {
    Serial::from_der_content(&[number]).unwrap()
}

const INDICATOR: &str = "2.5.29.27";
