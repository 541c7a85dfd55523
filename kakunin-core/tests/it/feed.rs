//! Items of a feed and the certificate of its key: what is read, and everything that must not be.

use std::fs;
use std::path::Path;

use kakunin_core::certificate::{CaCertificate, CaRole, FeedCertificate, PathError, oids};
use kakunin_core::digest::Digest;
use kakunin_core::feed::{
    Content, Entry, Item, ItemError, ItemSignError, MAX_ENTRIES, MAX_ITEM, UnverifiedItem,
};
use kakunin_core::id::SerialNumber;
use kakunin_core::key::{Algorithm, PublicKey, Signer, SoftKey};
use kakunin_core::revocation::{FeedHead, Standing};
use kakunin_core::time::{UnixMillis, UnixTime};
use proptest::prelude::*;
use rcgen::{
    CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use rustls_pki_types::pem::PemObject;
use serde_json::Value;

use crate::authority::{Authority, By, Der, at, extension, name, seeded_key};

/// C131: lines that Python and openssl made.
#[test]
fn items_are_read_and_refused_as_in_the_vectors() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vectors/feed.json");
    let vectors: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let spki =
        rustls_pki_types::SubjectPublicKeyInfoDer::from_pem_slice(text(&vectors["key"]).as_bytes()).unwrap();
    let key = PublicKey::from_spki(&spki).unwrap();
    let read = |case: &Value| UnverifiedItem::parse(case["token"].as_str().unwrap())?.verify(&key);
    for case in vectors["accepted"].as_array().unwrap() {
        let item = read(case).unwrap();
        assert_eq!(item.key().to_hex(), text(&vectors["key_id"]));
        assert_eq!(item.item().issuer.to_hex(), text(&vectors["issuer"]));
        assert_eq!(item.token(), case["token"]);
        let head = item.head();
        assert_eq!(
            (head.epoch(), head.digest().to_hex()),
            (case["epoch"].as_u64().unwrap(), text(&case["head"]))
        );
    }
    let refused = vectors["refused"].as_array().unwrap();
    for case in refused {
        assert!(read(case).is_err(), "{}", case["name"]);
    }
    assert!(refused.len() > 90 && vectors["accepted"].as_array().unwrap().len() > 5);
}

/// C131
#[test]
fn no_octet_of_an_item_can_be_changed() {
    let signer = signer();
    let token = change(1, FeedHead::START, &[(1, Standing::Revoked)]).sign(&signer).unwrap();
    let read = |token: &str| UnverifiedItem::parse(token)?.verify(signer.public());
    assert!(read(&token).is_ok());
    for place in 0..token.len() {
        for letter in ['A', 'x', '.', '-'] {
            let mut other = token.clone();
            other.replace_range(place..=place, &letter.to_string());
            assert!(other == token || read(&other).is_err(), "{place} {letter}");
        }
        assert!(read(&token[..place]).is_err(), "cut at {place}");
    }
}

/// C131: whatever else is written for the same key.
#[test]
fn an_item_counts_for_its_own_key_only() {
    let (signer, other) = (self::signer(), self::signer());
    let token = heartbeat(5, FeedHead::START, None).sign(&signer).unwrap();
    let read = |key: &PublicKey| UnverifiedItem::parse(&token).unwrap().verify(key).map(|_| ());
    assert_eq!(read(other.public()), Err(ItemError::Key));
    assert_eq!(read(signer.public()), Ok(()));
    let ed25519 = Signer::soft(SoftKey::generate(Algorithm::Ed25519).unwrap().0);
    assert_eq!(read(ed25519.public()), Err(ItemError::Key));
    let refused = heartbeat(5, FeedHead::START, None).sign(&ed25519);
    assert!(matches!(refused, Err(ItemSignError::Algorithm)));
}

/// C131: nothing is signed that no reader takes.
#[test]
fn what_no_reader_takes_is_not_signed() {
    let signer = signer();
    let unfit = |item: Item| matches!(item.sign(&signer), Err(ItemSignError::Unfit));
    let right = change(1, FeedHead::START, &[(1, Standing::Held), (2, Standing::Revoked)]);
    assert!(right.sign(&signer).is_ok());
    let entries = |change: &dyn Fn(&mut Vec<Entry>)| {
        let mut item = right.clone();
        let Content::Change(entries) = &mut item.content else { panic!("a change") };
        change(entries);
        unfit(item)
    };
    assert!(entries(&|entries| entries.clear()));
    assert!(entries(&|entries| entries.reverse()));
    assert!(entries(&|entries| entries[1] = entries[0]));
    assert!(entries(&|entries| entries[0].reason = Some(1)));
    assert!(entries(&|entries| entries[1].reason = Some(6)));
    assert!(entries(&|entries| entries[1].reason = Some(8)));
    assert!(entries(&|entries| entries[1].at = entries[1].at.plus(3600)));
    assert!(unfit(Item { due: right.at, ..right.clone() }));
    assert!(unfit(Item { at: UnixMillis::from_millis(-1), ..right.clone() }));
    let last = FeedHead::new((1 << 53) - 1, Digest::of(b"c")).unwrap();
    assert!(unfit(Item { head: last, ..right }), "there is no epoch after the last");
    assert!(heartbeat(5, last, None).sign(&signer).is_ok());
}

/// C131: a mass revocation is several items, none of them over the bound.
#[test]
fn as_many_entries_as_are_said_to_fit_do_fit() {
    let signer = signer();
    let entry = |n: usize| Entry {
        serial: SerialNumber::from_der_content(&[&[0x7f; 12], (n as u64).to_be_bytes().as_slice()].concat())
            .unwrap(),
        standing: Standing::Revoked,
        at: UnixTime::from_seconds((1 << 43) - 1),
        reason: Some(10),
    };
    let item = |count| Item {
        issuer: Digest::of(b"issuing"),
        head: FeedHead::new((1 << 53) - 2, Digest::of(b"head")).unwrap(),
        at: UnixMillis::from_millis((1 << 53) - 2),
        due: UnixMillis::from_millis((1 << 53) - 1),
        content: Content::Change((0..count).map(entry).collect()),
    };
    let token = item(MAX_ENTRIES).sign(&signer).unwrap();
    assert!(token.len() <= MAX_ITEM);
    assert!(UnverifiedItem::parse(&token).unwrap().verify(signer.public()).is_ok());
    assert!(matches!(item(MAX_ENTRIES + 2000).sign(&signer), Err(ItemSignError::Unfit)));
    assert_eq!(UnverifiedItem::parse(&"A".repeat(MAX_ITEM + 1)).unwrap_err(), ItemError::TooLong);
}

proptest! {
    /// C131: no octets panic, and what is written is read again.
    #[test]
    fn any_item_is_read_as_it_was_written_and_no_text_panics(
        epoch in 0_u64..1000,
        at in 0_i64..1 << 52,
        serials in proptest::collection::btree_set(1_u128..1 << 127, 0..20),
        nonce in proptest::option::of(any::<[u8; 16]>()),
        noise in "\\PC*",
    ) {
        let head = if epoch == 0 { FeedHead::START } else { FeedHead::new(epoch, Digest::of(b"h")).unwrap() };
        let entries: Vec<Entry> = serials.iter().map(|n| Entry {
            serial: SerialNumber::parse(format!("{n:032x}").trim_start_matches("00")).unwrap(),
            standing: Standing::Revoked,
            at: UnixTime::from_seconds(at / 1000),
            reason: Some(0),
        }).collect();
        let content =
            if entries.is_empty() { Content::Heartbeat { nonce } } else { Content::Change(entries) };
        let at = UnixMillis::from_millis(at);
        let item = Item { issuer: Digest::of(b"i"), head, at, due: at.plus_millis(1), content };
        let signer = signer();
        let token = item.sign(&signer).unwrap();
        let read = UnverifiedItem::parse(&token).unwrap().verify(signer.public()).unwrap();
        prop_assert_eq!(read.item(), &item);
        prop_assert_eq!(UnverifiedItem::key_named(&token), Ok(*read.key()));
        prop_assert!(UnverifiedItem::parse(&noise).is_err());
        prop_assert!(UnverifiedItem::key_named(&noise).is_err());
    }
}

/// C132: the profile of a feed key, row by row.
#[test]
fn a_feed_certificate_outside_its_profile_is_refused() {
    let authority = Authority::new();
    let key = feed_key();
    let read = |der: &[u8]| FeedCertificate::verify(der, &issuing(&authority));
    let right = certificate(&authority, &key, |_| {});
    let verified = read(&right).unwrap();
    assert_eq!(verified.key().raw(), key.public_key_raw());
    assert_eq!(verified.valid_at(at("2026-11-23T23:59:59Z")).ok(), Some(()));
    type Change = Box<dyn FnOnce(&mut CertificateParams)>;
    let refused: [(&str, Change); 12] = [
        ("of two days", Box::new(|p| p.not_after = date_time_ymd(2026, 11, 25))),
        ("without end", Box::new(|p| p.not_after = date_time_ymd(9999, 12, 31))),
        (
            "beyond its issuer",
            Box::new(|p| {
                p.not_before = date_time_ymd(2030, 12, 31);
                p.not_after = date_time_ymd(2031, 1, 1) + std::time::Duration::from_secs(1);
            }),
        ),
        (
            "with a name",
            Box::new(|p| p.subject_alt_names = vec![SanType::URI("urn:x:y".try_into().unwrap())]),
        ),
        ("that signs certificates", Box::new(|p| p.key_usages.push(KeyUsagePurpose::KeyCertSign))),
        ("without key usage", Box::new(|p| p.key_usages.clear())),
        ("of an authority", Box::new(|p| p.is_ca = IsCa::Ca(rcgen::BasicConstraints::Constrained(0)))),
        ("without constraints", Box::new(|p| p.is_ca = IsCa::NoCa)),
        ("without authority key id", Box::new(|p| p.use_authority_key_identifier_extension = false)),
        ("without usage", Box::new(|p| p.custom_extensions.clear())),
        (
            "with a scope",
            Box::new(|p| p.custom_extensions.push(extension(oids::AGENT_SCOPE, false, vec![5, 0]))),
        ),
        (
            "with something critical",
            Box::new(|p| {
                p.custom_extensions.push(extension(oids::MODEL_HASH, true, vec![5, 0]));
            }),
        ),
    ];
    for (what, change) in refused {
        assert!(read(&certificate(&authority, &key, change)).is_err(), "a certificate {what}");
    }
    for row in ["2.5.29.14", "2.5.29.35", "2.5.29.37", "2.5.29.15", "2.5.29.19"] {
        let mut der = Der::parse(&right);
        der.drop_extension(row);
        assert!(read(&authority.resign(der, By::Issuing)).is_err(), "without {row}");
    }
    for (usages, critical) in [
        (vec![oids::EKU_FEED], false),
        (vec![oids::EKU_FEED, oids::EKU_AGENT], true),
        (vec![oids::EKU_AGENT], true),
        (vec![oids::EKU_CLIENT_AUTH, oids::EKU_AGENT], true),
        (vec![oids::EKU_SESSION], true),
    ] {
        let der = certificate(&authority, &key, |p| p.custom_extensions = vec![usage(&usages, critical)]);
        assert!(read(&der).is_err(), "{usages:?} {critical}");
    }
    let ed25519 = certificate(&authority, &seeded_key(9), |_| {});
    assert!(matches!(read(&ed25519), Err(PathError::Certificate { .. })), "another algorithm");
    let agent =
        authority.agent_with(&[], |p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
    assert!(read(&agent).is_err(), "an agent's certificate");
    assert!(read(&authority.issuing).is_err() && read(&authority.root).is_err());
}

/// C132: signed by somebody else, whatever it says.
#[test]
fn a_feed_certificate_of_another_authority_is_refused() {
    let ours = Authority::new();
    let key = feed_key();
    let read = |der: &[u8]| FeedCertificate::verify(der, &issuing(&ours)).map(|_| ());
    for other in
        [Authority::neighbour(), Authority::of([seeded_key(1), seeded_key(9), seeded_key(3)], |_| {}, |_| {})]
    {
        let foreign = certificate(&other, &key, |_| {});
        assert!(read(&foreign).is_err());
        let mut disguised = Der::parse(&foreign);
        let ours = Der::parse(&certificate(&ours, &key, |_| {})).extension("2.5.29.35").clone();
        *disguised.extension("2.5.29.35") = ours;
        assert!(matches!(read(&other.resign(disguised, By::Issuing)), Err(PathError::NoPath(_))));
    }
    let by_root = ours.resign(Der::parse(&certificate(&ours, &key, |_| {})), By::Root);
    assert!(read(&by_root).is_err(), "the root signs no feed key");
    let right = certificate(&ours, &key, |_| {});
    assert!(read(&right).is_ok());
    for place in 0..right.len() {
        let mut flipped = right.clone();
        flipped[place] ^= 1 << (place % 8);
        assert!(read(&flipped).is_err(), "byte {place}");
    }
}

/// C132
#[test]
fn a_feed_certificate_is_valid_in_its_last_second_and_not_in_the_next() {
    let authority = Authority::new();
    let read =
        FeedCertificate::verify(&certificate(&authority, &feed_key(), |_| {}), &issuing(&authority)).unwrap();
    assert!(matches!(read.valid_at(at("2026-11-22T23:57:59Z")), Err(PathError::NotYetValid { .. })));
    for good in ["2026-11-22T23:58:00Z", "2026-11-24T00:00:00Z"] {
        assert!(read.valid_at(at(good)).is_ok(), "{good}");
    }
    assert!(matches!(read.valid_at(at("2026-11-24T00:00:01Z")), Err(PathError::Expired { .. })));
}

pub(crate) fn issuing(authority: &Authority) -> CaCertificate {
    CaCertificate::decode(&authority.issuing, CaRole::Issuing).unwrap()
}

pub(crate) fn feed_key() -> KeyPair {
    KeyPair::generate().unwrap()
}

/// The certificate of a feed key for all of the 23rd.
pub(crate) fn certificate(
    authority: &Authority,
    key: &KeyPair,
    change: impl FnOnce(&mut CertificateParams),
) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name = name("feed");
    params.serial_number = Some(vec![0x4f; 16].into());
    params.not_before = date_time_ymd(2026, 11, 23);
    params.not_after = date_time_ymd(2026, 11, 24);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    params.custom_extensions = vec![usage(&[oids::EKU_FEED], true)];
    change(&mut params);
    params.signed_by(key, &authority.issuer).unwrap().der().to_vec()
}

fn usage(usages: &[der::asn1::ObjectIdentifier], critical: bool) -> rcgen::CustomExtension {
    let usages = usages.iter().map(|oid| Der::leaf(6, oid.as_bytes().to_vec())).collect();
    let oid = der::asn1::ObjectIdentifier::new_unwrap("2.5.29.37");
    extension(oid, critical, Der::list(0x30, usages).encode())
}

fn signer() -> Signer {
    Signer::soft(SoftKey::generate(Algorithm::P256).unwrap().0)
}

/// A change of some serial numbers, `millis` after [`crate::authority::now`].
pub(crate) fn change(millis: i64, head: FeedHead, named: &[(u8, Standing)]) -> Item {
    let at = crate::authority::now().to_millis().plus_millis(millis);
    let entry = |(serial, standing): &(u8, Standing)| Entry {
        serial: SerialNumber::from_der_content(&[*serial]).unwrap(),
        standing: *standing,
        at: at.to_seconds(),
        reason: match standing {
            Standing::Good => None,
            Standing::Held => Some(6),
            Standing::Revoked => Some(1),
        },
    };
    let content = Content::Change(named.iter().map(entry).collect());
    Item { issuer: Digest::of(b"issuing"), head, at, due: at.plus_millis(5_000), content }
}

pub(crate) fn heartbeat(millis: i64, head: FeedHead, nonce: Option<[u8; 16]>) -> Item {
    let at = crate::authority::now().to_millis().plus_millis(millis);
    let content = Content::Heartbeat { nonce };
    Item { issuer: Digest::of(b"issuing"), head, at, due: at.plus_millis(5_000), content }
}
