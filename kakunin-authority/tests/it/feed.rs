//! The signing side of a feed, seen by the follower of the core and by openssl.

use std::fs;
use std::process::Command;

use kakunin_authority::feed::{FeedKey, FeedKeyError, HEARTBEAT_MILLIS, PreparedFeed, entry};
use kakunin_authority::list::{ListHeader, ListWriter};
use kakunin_authority::profile::{Kind, Subject, signed, to_be_signed};
use kakunin_authority::standing::Reason;
use kakunin_core::certificate::{CaCertificate, CaRole};
use kakunin_core::feed::{Follower, Progress};
use kakunin_core::id::SerialNumber;
use kakunin_core::key::{Algorithm, Signer, SoftKey};
use kakunin_core::revocation::{FeedHead, ListPolicy, Standing};
use kakunin_core::time::{UnixMillis, UnixTime, Validity};

const START: UnixTime = UnixTime::from_seconds(1_795_000_000);
const DAY: i64 = 86_400;

/// An issuing authority that lives for so many days.
fn issuing(days: i64) -> (CaCertificate, Signer) {
    let key = || Signer::soft(SoftKey::generate(Algorithm::P256).unwrap().0);
    let (root_key, issuing_key) = (key(), key());
    let validity = Validity { not_before: START.plus(-DAY), not_after: START.plus(days * DAY) };
    let root = certificate(&Kind::Root, &root_key, &root_key, "Root", validity);
    let root = CaCertificate::decode(&root, CaRole::Root).unwrap();
    let issuing = certificate(&Kind::Issuing { issuer: &root }, &issuing_key, &root_key, "Issuing", validity);
    (CaCertificate::decode(&issuing, CaRole::Issuing).unwrap(), issuing_key)
}

fn certificate(kind: &Kind<'_>, key: &Signer, by: &Signer, name: &str, validity: Validity) -> Vec<u8> {
    let subject = Subject { name, key: key.public(), validity, serial: serial(1) };
    let tbs = to_be_signed(kind, &subject, by.algorithm()).unwrap();
    signed(&tbs, by.algorithm(), &by.sign(&tbs).unwrap()).unwrap()
}

fn serial(number: u32) -> SerialNumber {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    SerialNumber::from_random(bytes)
}

fn at(millis: i64) -> UnixMillis {
    START.to_millis().plus_millis(millis)
}

fn feed_key(issuing: &(CaCertificate, Signer)) -> FeedKey {
    PreparedFeed::make(&issuing.0, START).unwrap().sign(&issuing.1).unwrap()
}

/// C130 to C134, from the authority's side.
#[test]
fn what_the_authority_signs_is_what_a_guard_follows() {
    let issuing = issuing(30);
    let key = feed_key(&issuing);
    let header = ListHeader {
        issuer: &issuing.0,
        number: 1,
        this_update: START,
        next_update: START.plus(DAY),
        policy: ListPolicy::new(60, FeedHead::START),
    };
    let list = ListWriter::default().sign(&header, &issuing.1).unwrap();
    let mut follower = Follower::new(&issuing.0, &list).unwrap();
    follower.certify(key.certificate().decoded().der(), START, 0).unwrap();
    follower.begin([9; 16], 0);
    let first = key.heartbeat(FeedHead::START, Some([9; 16]), at(5)).unwrap();
    assert_eq!(follower.take(&first, 10).unwrap(), Progress::Current);

    let entries = vec![
        entry(serial(5), Some(Reason::CertificateHold), START),
        entry(serial(3), Some(Reason::KeyCompromise), START),
        entry(serial(4), Some(Reason::Unspecified), START),
    ];
    let changes = key.sign_changes(FeedHead::START, entries, at(100)).unwrap();
    assert_eq!(changes.len(), 1);
    assert_eq!(follower.take(&changes[0].line, 110).unwrap(), Progress::Current);
    assert_eq!(follower.head(), changes[0].head);
    let standing = |follower: &Follower| [3, 4, 5, 6].map(|n| follower.standing(&serial(n)));
    let (gone, held, good) = (Standing::Revoked, Standing::Held, Standing::Good);
    assert_eq!(standing(&follower), [gone, gone, held, good]);
    let lifted = key.sign_changes(changes[0].head, vec![entry(serial(5), None, START)], at(200)).unwrap();
    follower.take(&lifted[0].line, 210).unwrap();
    assert_eq!(standing(&follower), [gone, gone, good, good]);
    let beat = key.heartbeat(lifted[0].head, None, at(HEARTBEAT_MILLIS)).unwrap();
    assert_eq!(follower.take(&beat, 6_000).unwrap(), Progress::Current);
    assert_eq!(follower.fresh_until(), Some(HEARTBEAT_MILLIS - 5 + 60_000));
}

/// C131
#[test]
fn a_mass_revocation_is_split_into_changes_that_follow_one_another() {
    let key = feed_key(&issuing(30));
    let entries =
        (0..20_000).rev().map(|n| entry(serial(n), Some(Reason::PrivilegeWithdrawn), START)).collect();
    let changes = key.sign_changes(FeedHead::START, entries, at(0)).unwrap();
    assert_eq!(changes.iter().map(|change| change.head.epoch()).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(changes.iter().all(|change| change.line.len() <= 1 << 20));
    assert!(matches!(key.sign_changes(FeedHead::START, Vec::new(), at(0)), Err(FeedKeyError::Entries)));
    let twice = vec![entry(serial(1), None, START), entry(serial(1), Some(Reason::KeyCompromise), START)];
    assert!(matches!(key.sign_changes(FeedHead::START, twice, at(0)), Err(FeedKeyError::Entries)));
}

/// C132
#[test]
fn a_feed_key_lives_for_a_day_and_never_longer_than_its_issuer() {
    let issuing = issuing(30);
    let key = feed_key(&issuing);
    let Validity { not_before, not_after } = key.certificate().decoded().validity();
    assert_eq!((not_before, not_after), (START.plus(-60), START.plus(DAY - 60)));
    assert!(!key.is_due(START.plus(DAY / 3)) && key.is_due(START.plus(DAY / 3 * 2)));
    let last = not_after.to_millis().plus_millis(999);
    assert!(key.heartbeat(FeedHead::START, None, last).is_ok());
    for wrong in [last.plus_millis(1), not_before.to_millis().plus_millis(-1)] {
        let refused = key.heartbeat(FeedHead::START, None, wrong);
        assert!(matches!(refused, Err(FeedKeyError::Ended { .. })));
    }
    let late = START.plus(30 * DAY - 3600);
    let short = PreparedFeed::make(&issuing.0, late).unwrap().sign(&issuing.1).unwrap();
    assert_eq!(short.certificate().decoded().validity().not_after, START.plus(30 * DAY));
    let after = PreparedFeed::make(&issuing.0, START.plus(31 * DAY));
    assert!(matches!(after, Err(FeedKeyError::Outlives)));
    let other = self::issuing(30).1;
    let prepared = PreparedFeed::make(&issuing.0, START).unwrap();
    let (number, tbs) = (prepared.serial(), prepared.tbs().to_vec());
    assert!(matches!(prepared.sign(&other), Err(FeedKeyError::OtherKey)));
    let prepared = PreparedFeed::make(&issuing.0, START).unwrap();
    assert_ne!(
        (prepared.serial(), prepared.tbs()),
        (number, tbs.as_slice()),
        "a key and a number of its own"
    );
    let number = prepared.serial();
    assert_eq!(prepared.sign(&issuing.1).unwrap().certificate().decoded().serial(), number);
}

#[test]
fn openssl_prints_the_profile_of_a_feed_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("feed.der");
    fs::write(&path, feed_key(&issuing(30)).certificate().decoded().der()).unwrap();
    let output = Command::new("openssl")
        .args(["x509", "-inform", "DER", "-noout", "-text", "-in"])
        .arg(&path)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for line in [
        "X509v3 Basic Constraints: critical\n                CA:FALSE",
        "X509v3 Key Usage: critical\n                Digital Signature\n",
        "X509v3 Extended Key Usage: critical\n                1.3.6.1.4.1.32473.1.5\n",
        "X509v3 Subject Key Identifier:",
        "X509v3 Authority Key Identifier:",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert!(!text.contains("Alternative Name"), "{text}");
}
