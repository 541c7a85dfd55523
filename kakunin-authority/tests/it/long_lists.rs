//! Lists of thousands of entries: lengths of every size, read by the guard's own reader.

use kakunin_authority::list::{ListHeader, ListWriter};
use kakunin_authority::profile::{Kind, Subject, signed, to_be_signed};
use kakunin_authority::standing::{ListedCertificate, Reason, Standing};
use kakunin_core::certificate::{CaCertificate, CaRole};
use kakunin_core::digest::Digest;
use kakunin_core::id::SerialNumber;
use kakunin_core::key::{Algorithm, Signer, SoftKey};
use kakunin_core::revocation::{FeedHead, ListPolicy, UnverifiedList};
use kakunin_core::time::{UnixTime, Validity};

fn serial(number: u32) -> SerialNumber {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    SerialNumber::from_random(bytes)
}

#[test]
fn a_list_of_any_length_reads_back_entry_for_entry() {
    let signer = Signer::soft(SoftKey::generate(Algorithm::P256).unwrap().0);
    let start = UnixTime::from_seconds(1_700_000_000);
    let validity = Validity { not_before: start, not_after: start.plus(86_400) };
    let subject = Subject { name: "Long", key: signer.public(), validity, serial: serial(0) };
    let tbs = to_be_signed(&Kind::Root, &subject, signer.algorithm()).unwrap();
    let der = signed(&tbs, signer.algorithm(), &signer.sign(&tbs).unwrap()).unwrap();
    let issuer = CaCertificate::decode(&der, CaRole::Root).unwrap();
    for count in [0_u32, 1, 2, 3, 4, 5, 300, 5_000] {
        let mut writer = ListWriter::default();
        for number in 1..=count {
            let reason = if number % 2 == 0 { Reason::CertificateHold } else { Reason::Unspecified };
            writer.push(&ListedCertificate { serial: serial(number), since: start, reason }).unwrap();
        }
        // A number whose top bit is set needs an octet more.
        let number = u64::MAX - u64::from(count);
        let header = ListHeader {
            issuer: &issuer,
            number,
            this_update: start,
            next_update: start.plus(3600),
            policy: None,
        };
        let der = writer.sign(&header, &signer).unwrap();
        let list = UnverifiedList::decode(&der).unwrap().verify(&issuer.list_issuer()).unwrap();
        assert_eq!((list.len(), list.number().to_u64()), (count as usize, Some(number)));
        for number in 1..=count {
            let expected = if number % 2 == 0 { Standing::Held } else { Standing::Revoked };
            assert_eq!(list.standing(&serial(number)), expected);
        }
        assert_eq!(list.standing(&serial(count + 1)), Standing::Good);
        assert_eq!(list.next_update(), start.plus(3600));
    }
}

#[test]
fn another_key_signs_neither_list_nor_certificate() {
    let key = || Signer::soft(SoftKey::generate(Algorithm::P256).unwrap().0);
    let (signer, other) = (key(), key());
    let start = UnixTime::from_seconds(1_700_000_000);
    let validity = Validity { not_before: start, not_after: start.plus(86_400) };
    let subject = Subject { name: "Own", key: signer.public(), validity, serial: serial(0) };
    let tbs = to_be_signed(&Kind::Root, &subject, signer.algorithm()).unwrap();
    let der = signed(&tbs, signer.algorithm(), &signer.sign(&tbs).unwrap()).unwrap();
    let issuer = CaCertificate::decode(&der, CaRole::Root).unwrap();
    let header = ListHeader {
        issuer: &issuer,
        number: 1,
        this_update: start,
        next_update: start.plus(1),
        policy: None,
    };
    assert!(ListWriter::default().sign(&header, &other).is_err());
}

/// C130: what the list says about its feed is read back, and other readers pass over it.
#[test]
fn a_list_with_a_feed_policy_reads_back_here_and_in_openssl() {
    let signer = Signer::soft(SoftKey::generate(Algorithm::P256).unwrap().0);
    let start = UnixTime::from_seconds(1_700_000_000);
    let validity = Validity { not_before: start, not_after: start.plus(86_400) };
    let subject = Subject { name: "Fed", key: signer.public(), validity, serial: serial(0) };
    let tbs = to_be_signed(&Kind::Root, &subject, signer.algorithm()).unwrap();
    let der = signed(&tbs, signer.algorithm(), &signer.sign(&tbs).unwrap()).unwrap();
    let issuer = CaCertificate::decode(&der, CaRole::Root).unwrap();
    let policies = [
        ListPolicy::new(1, FeedHead::START),
        ListPolicy::new(60, FeedHead::new(200, Digest::of(b"change")).unwrap()),
        ListPolicy::new(86_400, FeedHead::new((1 << 53) - 1, Digest::of(b"last")).unwrap()),
    ];
    for policy in policies {
        assert!(policy.is_some());
        let mut writer = ListWriter::default();
        writer
            .push(&ListedCertificate { serial: serial(1), since: start, reason: Reason::Unspecified })
            .unwrap();
        let header = ListHeader {
            issuer: &issuer,
            number: 1,
            this_update: start,
            next_update: start.plus(3600),
            policy,
        };
        let der = writer.sign(&header, &signer).unwrap();
        let list = UnverifiedList::decode(&der).unwrap().verify(&issuer.list_issuer()).unwrap();
        assert_eq!(list.policy(), policy);
        assert_eq!(crate::standard_tools::entries(&der), 1);
    }
}
