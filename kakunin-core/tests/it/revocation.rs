//! Lists that must not count, and what a list that counts says. Rows are those of `docs/attacks.md`.

use std::time::Duration;

use kakunin_core::certificate::{AgentCertificate, ListSelectError, PathLists, TrustAnchors};
use kakunin_core::id::SerialNumber as Serial;
use kakunin_core::reason::DenialReason as Why;
use kakunin_core::revocation::{
    Contradiction, FeedHead, ListError, ListMark, ListNumber, ListPolicy, RevocationList, Standing,
    UnverifiedList,
};
use kakunin_core::scope::{Pattern, Scope, ScopeParts};
use rcgen::{
    CertificateRevocationListParams, CrlDistributionPoint, CrlIssuingDistributionPoint, CrlScope,
    RevocationReason, SerialNumber, date_time_ymd,
};

use crate::authority::{Authority, By, Der, SERIAL, agent_id, at, entry, now, seeded_key};

/// C1 to C3: lists are DER, whole and nothing after it.
#[test]
fn lists_that_are_not_der_are_refused() {
    let scene = Scene::new();
    let right =
        scene.list(|list| list.revoked_certs = vec![entry(&SERIAL, Some(RevocationReason::CertificateHold))]);
    assert_eq!(scene.verdict(&right), Err(Why::CertificateHeld));
    assert_eq!(scene.verdict(&[right.as_slice(), &[0]].concat()), Err(Why::RevocationInvalid));
    for end in 0..right.len() {
        assert!(UnverifiedList::decode(&right[..end]).is_err(), "cut at {end}");
    }
    let broken: [Change<'_>; 9] = [
        ("padded version", &|der| *der.path(&[0, 0]).content() = vec![0, 1]),
        ("padded serial", &|der| der.path(&[0, 5, 0, 0]).content().insert(0, 0)),
        ("negative serial", &|der| der.path(&[0, 5, 0, 0]).content()[0] |= 0x80),
        ("serial zero", &|der| *der.path(&[0, 5, 0, 0]).content() = vec![0]),
        ("a serial of 21 octets", &|der| *der.path(&[0, 5, 0, 0]).content() = vec![1; 21]),
        ("bytes after an entry's fields", &|der| der.path(&[0, 5, 0]).children().push(Der::integer(1))),
        ("criticality FALSE spelled out", &|der| {
            der.extension("2.5.29.20").children().insert(1, Der::leaf(1, vec![0]));
        }),
        ("bytes after an extension's value", &|der| {
            der.extension("2.5.29.20").child(1).content().extend([5, 0]);
        }),
        ("a field after the extensions", &|der| der.child(0).children().push(Der::integer(1))),
    ];
    for (what, change) in broken {
        let mut der = Der::parse(&right);
        change(&mut der);
        let broken = scene.authority.resign(der, By::Issuing);
        assert_eq!(scene.verdict(&broken), Err(Why::RevocationInvalid), "{what}");
    }
    let mut der = Der::parse(&right).encode();
    der.splice(1..4, [0x83, 0, der[2], der[3]]);
    assert!(UnverifiedList::decode(&der).is_err(), "a length in long form");
}

/// C3: no flipped byte counts.
#[test]
fn no_flipped_byte_of_a_list_counts() {
    let scene = Scene::new();
    let right = scene.list(|list| list.revoked_certs = vec![entry(&[7], None)]);
    assert_eq!(scene.verdict(&right), Ok(()));
    for place in 0..right.len() {
        let mut flipped = right.clone();
        flipped[place] ^= 1 << (place % 8);
        assert!(scene.verdict(&flipped).is_err(), "byte {place}");
    }
}

/// C10: the serial of another issuer's certificate.
#[test]
fn a_serial_on_the_list_of_another_issuer_means_nothing() {
    let scene = Scene::new();
    let root = scene.authority.list(By::Root, |list| list.revoked_certs = vec![entry(&SERIAL, None)]);
    assert_eq!(scene.verdicts(&[scene.list(|_| {}), root]), Ok(()));
}

/// C11: the algorithm inside and outside.
#[test]
fn differing_algorithms_in_a_list_are_refused() {
    let scene = Scene::new();
    let ecdsa = vec![0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
    let mut der = Der::parse(&scene.list(|_| {}));
    *der.path(&[1, 0]).content() = ecdsa.clone();
    assert_eq!(scene.verdict(&der.encode()), Err(Why::RevocationInvalid));
    *der.path(&[0, 1, 0]).content() = ecdsa;
    assert_eq!(
        scene.verdict(&scene.authority.resign(der, By::Issuing)),
        Err(Why::RevocationInvalid),
        "both name an algorithm the key does not have"
    );
}

/// C18: a signer without cRLSign, asked directly; the profile refuses it before that.
#[test]
fn a_list_by_a_key_that_may_not_sign_lists_is_refused() {
    let scene = Scene::new();
    let path = scene.path();
    for (issuer, by) in [(path.issuing().list_issuer(), By::Issuing), (path.root().list_issuer(), By::Root)] {
        let list = scene.authority.list(by, |_| {});
        let mut unfit = issuer;
        unfit.may_sign_lists = false;
        assert!(UnverifiedList::decode(&list).unwrap().verify(&issuer).is_ok());
        assert!(matches!(UnverifiedList::decode(&list).unwrap().verify(&unfit), Err(ListError::Unusable(_))));
    }
}

/// C24: a list by another key with the same name, then with the same key identifier too.
#[test]
fn a_list_by_another_authority_of_the_same_name_is_refused() {
    let scene = Scene::new();
    let other = Authority::of([seeded_key(1), seeded_key(9), seeded_key(3)], |_| {}, |_| {});
    let foreign = other.list(By::Issuing, |_| {});
    assert_eq!(scene.verdict(&foreign), Err(Why::RevocationInvalid));
    let mut der = Der::parse(&foreign);
    let ours = Der::parse(&scene.list(|_| {})).extension("2.5.29.35").clone();
    *der.extension("2.5.29.35") = ours;
    let disguised = other.resign(der, By::Issuing);
    assert_eq!(scene.verdict(&disguised), Err(Why::RevocationInvalid));
    // Beside the right list a foreign one is only foreign: a file may serve several authorities.
    let [ours, root] = scene.authority.lists();
    assert_eq!(scene.verdicts(&[foreign, ours, root]), Ok(()));
}

/// C25: lists that speak about part of the certificates, or for other issuers.
#[test]
fn partitioned_and_indirect_lists_decide_nothing() {
    let scene = Scene::new();
    for part in [None, Some(CrlScope::UserCertsOnly), Some(CrlScope::CaCertsOnly)] {
        let list = scene.list(|list| {
            let uris = vec!["http://a.example/1.crl".to_owned()];
            let distribution_point = CrlDistributionPoint { uris };
            list.issuing_distribution_point =
                Some(CrlIssuingDistributionPoint { distribution_point, scope: part });
        });
        assert_eq!(scene.verdict(&list), Err(Why::RevocationInvalid), "{part:?}");
    }
    // indirectCRL [4], onlySomeReasons [3], onlyContainsAttributeCerts [5]; critical and not.
    for value in [Der::leaf(0x84, vec![0xff]), Der::leaf(0x83, vec![1, 0x40]), Der::leaf(0x85, vec![0xff])] {
        for critical in [true, false] {
            let list = scene.list_with_extension("2.5.29.28", critical, Der::list(0x30, vec![value.clone()]));
            assert_eq!(scene.verdict(&list), Err(Why::RevocationInvalid), "{value:?} {critical}");
        }
    }
    let unknown = |critical| scene.list_with_extension("1.2.3.4", critical, Der::leaf(5, Vec::new()));
    assert_eq!(scene.verdict(&unknown(true)), Err(Why::RevocationInvalid));
    assert_eq!(scene.verdict(&unknown(false)), Ok(()));
}

/// C25: critical entry extensions, certificateIssuer among them.
#[test]
fn a_critical_entry_extension_makes_the_list_unusable() {
    let scene = Scene::new();
    let list = scene.list(|list| list.revoked_certs = vec![entry(&[9], Some(RevocationReason::Superseded))]);
    for (oid, value) in [("2.5.29.29", Der::list(0x30, Vec::new())), ("1.2.3.4", Der::leaf(5, Vec::new()))] {
        let mut der = Der::parse(&list);
        der.path(&[0, 5, 0, 2]).children().push(extension(oid, true, &value));
        let broken = scene.authority.resign(der, By::Issuing);
        assert_eq!(scene.verdict(&broken), Err(Why::RevocationInvalid), "{oid}");
        let mut der = Der::parse(&list);
        der.path(&[0, 5, 0, 2]).children().push(extension(oid, false, &value));
        let harmless = scene.authority.resign(der, By::Issuing);
        // certificateIssuer must be critical (RFC 5280 section 5.3.3); as anything else it is ignored.
        assert_eq!(scene.verdict(&harmless), Ok(()), "{oid}");
    }
}

/// C26: RUSTSEC-2026-0104, a panic of another library before the signature was checked.
#[test]
fn an_empty_bit_string_in_a_distribution_point_is_refused_without_panic() {
    let scene = Scene::new();
    for value in [Der::leaf(0x83, Vec::new()), Der::leaf(0x83, vec![0]), Der::leaf(0x83, vec![9, 0])] {
        let list = scene.list_with_extension("2.5.29.28", true, Der::list(0x30, vec![value]));
        assert_eq!(scene.verdict(&list), Err(Why::RevocationInvalid));
    }
}

/// C28: what a usable list must have.
#[test]
fn a_list_without_number_issuer_key_or_end_is_refused() {
    let scene = Scene::new();
    let right = scene.list(|list| list.revoked_certs = vec![entry(&[9], None)]);
    let broken: [Change<'_>; 9] = [
        ("no number", &|der| der.drop_extension("2.5.29.20")),
        ("no AKI", &|der| der.drop_extension("2.5.29.35")),
        ("a critical number", &|der| {
            der.extension("2.5.29.20").children().insert(1, Der::leaf(1, vec![0xff]))
        }),
        ("a critical AKI", &|der| der.extension("2.5.29.35").children().insert(1, Der::leaf(1, vec![0xff]))),
        ("the number twice", &|der| {
            let again = der.extension("2.5.29.20").clone();
            der.extensions().push(again);
        }),
        ("no extensions", &|der| drop(der.child(0).children().pop())),
        ("no nextUpdate", &|der| drop(der.child(0).children().remove(4))),
        ("version 1", &|der| drop(der.child(0).children().remove(0))),
        ("an empty sequence of entries", &|der| der.path(&[0, 5]).children().clear()),
    ];
    for (what, change) in broken {
        let mut der = Der::parse(&right);
        change(&mut der);
        let broken = scene.authority.resign(der, By::Issuing);
        assert_eq!(scene.verdict(&broken), Err(Why::RevocationInvalid), "{what}");
    }
    let mut der = Der::parse(&right);
    *der.path(&[0, 0]) = Der::integer(0);
    assert_eq!(scene.verdict(&scene.authority.resign(der, By::Issuing)), Err(Why::RevocationInvalid));
}

/// C29: lists from the future, that end before they begin, that are over.
#[test]
fn lists_from_the_future_and_of_the_past_do_not_count() {
    let scene = Scene::new();
    let dated = |this: i64, next: i64| {
        let seconds = |from: i64| Duration::from_secs(u64::try_from(from).unwrap());
        scene.list(|list| {
            list.this_update = date_time_ymd(2026, 11, 23) + seconds(43_200 + this);
            list.next_update = date_time_ymd(2026, 11, 23) + seconds(43_200 + next);
        })
    };
    assert_eq!(scene.verdict(&dated(120, 4000)), Ok(()));
    assert_eq!(scene.verdict(&dated(121, 4000)), Err(Why::RevocationInvalid));
    assert_eq!(scene.verdict(&dated(600, 4000)), Err(Why::RevocationInvalid));
    assert_eq!(scene.verdict(&dated(-4000, 1)), Ok(()));
    assert_eq!(scene.verdict(&dated(-4000, 0)), Err(Why::RevocationStale));
    assert_eq!(scene.verdict(&dated(-4000, -1)), Err(Why::RevocationStale));
    let mut der = Der::parse(&dated(-4000, 4000));
    let this = der.path(&[0, 3]).clone();
    *der.path(&[0, 4]) = this;
    assert_eq!(scene.verdict(&scene.authority.resign(der, By::Issuing)), Err(Why::RevocationInvalid));

    let root = scene
        .authority
        .list(By::Root, |list| list.next_update = date_time_ymd(2026, 11, 23) + Duration::from_secs(1));
    assert_eq!(
        scene.verdicts(&[scene.list(|_| {}), root]),
        Err(Why::RevocationStale),
        "the root's list counts too"
    );
}

/// C29: times in another form, or that do not exist (RFC 5280 section 5.1.2.4).
#[test]
fn list_times_in_another_form_are_refused() {
    let scene = Scene::new();
    for (tag, text) in [
        (0x18, "20261130000000Z"),
        (0x17, "261130000000+0000"),
        (0x17, "2611300000Z"),
        (0x18, "20501130000000.0Z"),
        (0x17, "261130000060Z"),
        (0x17, "261131000000Z"),
    ] {
        let mut der = Der::parse(&scene.list(|_| {}));
        *der.path(&[0, 4]) = Der::text(tag, text);
        assert_eq!(
            scene.verdict(&scene.authority.resign(der, By::Issuing)),
            Err(Why::RevocationInvalid),
            "{text}"
        );
    }
}

/// The entries of a list past its nextUpdate still deny.
#[test]
fn a_stale_list_still_revokes_and_holds() {
    let scene = Scene::new();
    for (reason, why) in
        [(None, Why::CertificateRevoked), (Some(RevocationReason::CertificateHold), Why::CertificateHeld)]
    {
        let list = scene.list(|list| {
            list.next_update = date_time_ymd(2026, 11, 23) + Duration::from_secs(60);
            list.revoked_certs = vec![entry(&SERIAL, reason)];
        });
        assert_eq!(scene.verdict(&list), Err(why));
    }
}

/// C30: what may follow an accepted list.
#[test]
fn an_accepted_list_is_followed_by_newer_ones_only() {
    let scene = Scene::new();
    let list = |number: u8, day: u8| {
        scene.read(&scene.list(|list| {
            list.crl_number = SerialNumber::from(vec![number]);
            list.this_update = date_time_ymd(2026, 11, day);
        }))
    };
    let kept = ListMark::of(&list(7, 20));
    kept.allows(&list(7, 20)).unwrap();
    kept.allows(&list(8, 20)).unwrap();
    kept.allows(&list(9, 21)).unwrap();
    assert!(matches!(kept.allows(&list(6, 20)), Err(Contradiction::Rollback { .. })));
    assert!(matches!(kept.allows(&list(6, 21)), Err(Contradiction::Rollback { .. })));
    assert!(
        matches!(kept.allows(&list(8, 19)), Err(Contradiction::Rollback { .. })),
        "an earlier thisUpdate"
    );
    assert!(matches!(kept.allows(&list(7, 21)), Err(Contradiction::Equivocation { .. })));
    // 255 and 256 differ in length: numbers are compared as integers.
    let long = |octets: Vec<u8>| scene.read(&scene.list(|list| list.crl_number = SerialNumber::from(octets)));
    assert!(ListMark::of(&long(vec![1, 0])).allows(&long(vec![255])).is_err());
    ListMark::of(&long(vec![255])).allows(&long(vec![1, 0])).unwrap();
}

/// C30: numbers of 20 octets are read, of 21 not.
#[test]
fn a_number_has_at_most_twenty_octets() {
    let scene = Scene::new();
    let numbered = |content: Vec<u8>| {
        let mut der = Der::parse(&scene.list(|_| {}));
        der.edit_extension("2.5.29.20", |value| *value.content() = content);
        scene.authority.resign(der, By::Issuing)
    };
    let read = scene.read(&numbered(vec![0x7f; 20]));
    assert_eq!(read.number().to_hex(), "7f".repeat(20));
    for wrong in [vec![1; 21], vec![0x80], vec![0, 1], vec![]] {
        assert_eq!(scene.verdict(&numbered(wrong.clone())), Err(Why::RevocationInvalid), "{wrong:?}");
    }
    assert_eq!(ListNumber::from_u64(300).to_u64(), Some(300));
    assert!(ListNumber::from_u64(2) < ListNumber::from_u64(256));
}

/// C31: the newest list wins in either order; rustls-webpki takes the first.
#[test]
fn of_several_lists_the_newest_counts_in_any_order() {
    let scene = Scene::new();
    let old = scene.list(|list| list.crl_number = SerialNumber::from(vec![7]));
    let new = scene.list(|list| {
        list.crl_number = SerialNumber::from(vec![9]);
        list.revoked_certs = vec![entry(&SERIAL, Some(RevocationReason::CertificateHold))];
    });
    let root = scene.authority.list(By::Root, |_| {});
    for order in [[&old, &new, &root], [&new, &old, &root], [&root, &new, &old]] {
        assert_eq!(scene.verdicts(&order.map(Vec::clone)), Err(Why::CertificateHeld));
    }
    let twin = scene.list(|list| {
        list.crl_number = SerialNumber::from(vec![9]);
        list.next_update = date_time_ymd(2026, 12, 1);
    });
    for order in [[&new, &twin, &root], [&twin, &new, &root]] {
        assert_eq!(scene.verdicts(&order.map(Vec::clone)), Err(Why::RevocationRollback));
    }
    // A newer list between the two does not hide that they contradict each other.
    let newer = scene.list(|list| list.crl_number = SerialNumber::from(vec![10]));
    for order in [[&new, &newer, &twin, &root], [&newer, &twin, &new, &root], [&new, &twin, &root, &newer]] {
        assert_eq!(scene.verdicts(&order.map(Vec::clone)), Err(Why::RevocationRollback));
    }
    assert_eq!(scene.verdicts(&[new.clone(), new, root]), Err(Why::CertificateHeld), "the same list twice");
}

/// C32: a delta list is no full list.
#[test]
fn a_delta_is_not_taken_for_a_full_list() {
    let scene = Scene::new();
    for critical in [true, false] {
        let delta = scene.list_with_extension("2.5.29.27", critical, Der::integer(1));
        assert_eq!(scene.verdict(&delta), Err(Why::RevocationInvalid));
    }
}

/// C33: a revoked serial of the own path never leaves; a held one may.
#[test]
fn a_revocation_is_never_forgotten_and_a_hold_may_end() {
    let scene = Scene::new();
    let serial = Serial::from_der_content(&SERIAL).unwrap();
    let list = |number: u8, entries: Vec<rcgen::RevokedCertParams>| {
        scene.read(&scene.list(|list| {
            list.crl_number = SerialNumber::from(vec![number]);
            list.revoked_certs = entries;
        }))
    };
    let revoked = list(1, vec![entry(&SERIAL, None), entry(&[9], None)]);
    let hold = Some(RevocationReason::CertificateHold);
    for next in [list(2, Vec::new()), list(2, vec![entry(&SERIAL, hold)])] {
        assert!(matches!(next.may_follow(&revoked, &serial), Err(Contradiction::Forgotten { .. })));
    }
    list(2, vec![entry(&SERIAL, None)]).may_follow(&revoked, &serial).unwrap();
    let held = list(1, vec![entry(&SERIAL, hold)]);
    list(2, Vec::new()).may_follow(&held, &serial).unwrap();
    let removed =
        scene.list(|l| l.revoked_certs = vec![entry(&SERIAL, Some(RevocationReason::RemoveFromCrl))]);
    assert_eq!(scene.verdict(&removed), Err(Why::RevocationInvalid), "removeFromCRL belongs into deltas");
}

/// C34: held, released, held again: the last signed state is the state.
#[test]
fn a_hold_that_was_released_and_set_again_holds() {
    let scene = Scene::new();
    let hold = |number: u8, entries| {
        scene.list(|list| {
            list.crl_number = SerialNumber::from(vec![number]);
            list.revoked_certs = entries;
        })
    };
    let held = || vec![entry(&SERIAL, Some(RevocationReason::CertificateHold))];
    let root = scene.authority.list(By::Root, |_| {});
    let steps = [hold(1, held()), hold(2, Vec::new()), hold(3, held()), root];
    assert_eq!(scene.verdicts(&steps), Err(Why::CertificateHeld));
    assert_eq!(scene.verdicts(&[steps[0].clone(), steps[1].clone(), steps[3].clone()]), Ok(()));
}

/// C35: the cap on one list comes before any reading.
#[test]
fn a_list_beyond_the_cap_is_refused() {
    let large = vec![0x30; (64 << 20) + 1];
    assert!(matches!(UnverifiedList::decode(&large), Err(ListError::TooLarge { .. })));
}

/// C36: the more restrictive of two entries.
/// C340: whoever sends a list makes nobody work before its signature is checked. Each compared with all before it, these
/// would take minutes.
#[test]
fn a_list_of_many_extensions_is_refused_at_once() {
    let scene = Scene::new();
    let with = |count: u32| {
        let mut list = Der::parse(&scene.list(|_| {}));
        for number in 0..count {
            let digit = |place: u32| u8::try_from(number >> (7 * place) & 0x7f).unwrap();
            let arcs = vec![0x2a, 0x81, 0x80 | digit(2), 0x80 | digit(1), digit(0)];
            list.extensions().push(Der::list(0x30, vec![Der::leaf(6, arcs), Der::leaf(4, vec![])]));
        }
        list.encode()
    };
    assert!(UnverifiedList::decode(&with(30)).is_ok());
    for many in [31, 200_000] {
        assert!(matches!(UnverifiedList::decode(&with(many)), Err(ListError::Unusable(_))), "{many}");
    }
}

#[test]
fn of_two_entries_the_more_restrictive_counts() {
    let scene = Scene::new();
    let hold = entry(&SERIAL, Some(RevocationReason::CertificateHold));
    let gone = entry(&SERIAL, Some(RevocationReason::KeyCompromise));
    for entries in [vec![hold.clone(), gone.clone()], vec![gone, hold]] {
        let list = scene.list(|list| list.revoked_certs = entries);
        assert_eq!(scene.verdict(&list), Err(Why::CertificateRevoked));
    }
}

/// P9: no list at all, one of two, nothing that is PEM.
#[test]
fn missing_and_unreadable_lists_are_missing() {
    let scene = Scene::new();
    let [issuing, root] = scene.authority.lists();
    for lists in [vec![], vec![issuing.clone()], vec![root.clone()]] {
        assert_eq!(scene.verdicts(&lists), Err(Why::RevocationMissing));
    }
    let path = scene.path();
    for text in ["", "no pem at all", "-----BEGIN X509 CRL-----\n!!!\n-----END X509 CRL-----\n"] {
        let error = PathLists::from_pem(text.as_bytes(), &path).unwrap_err();
        assert_eq!(error.reason(), Why::RevocationMissing, "{text}");
    }
    let future = scene.list(|list| list.this_update = date_time_ymd(2026, 11, 24));
    let lists = PathLists::from_der([future.as_slice(), &root], &path).unwrap();
    let error = scene.path().with_lists(lists, now()).unwrap_err();
    assert!(
        matches!(error, ListSelectError::Future { this_update } if this_update == at("2026-11-24T00:00:00Z"))
    );
}

/// Entries are read after the signature: an unsigned list costs no table.
#[test]
fn entries_of_an_unsigned_list_are_not_even_read() {
    let scene = Scene::new();
    let mut der = Der::parse(&scene.list(|list| list.revoked_certs = vec![entry(&[9], None)]));
    *der.path(&[0, 5, 0, 0]).content() = vec![0x80];
    let path = scene.path();
    let unsigned = der.encode();
    let list = UnverifiedList::decode(&unsigned).unwrap();
    assert_eq!(list.verify(&path.issuing().list_issuer()).unwrap_err(), ListError::Signature);
    let signed = scene.authority.resign(der, By::Issuing);
    let list = UnverifiedList::decode(&signed).unwrap();
    assert_eq!(list.verify(&path.issuing().list_issuer()).unwrap_err(), ListError::Entry { index: 0 });
}

#[test]
fn every_reason_of_rfc_5280_is_read() {
    use RevocationReason as Reason;
    let scene = Scene::new();
    for reason in [
        Reason::Unspecified,
        Reason::KeyCompromise,
        Reason::CaCompromise,
        Reason::AffiliationChanged,
        Reason::Superseded,
        Reason::CessationOfOperation,
        Reason::PrivilegeWithdrawn,
        Reason::AaCompromise,
    ] {
        let list = scene.list(|list| list.revoked_certs = vec![entry(&SERIAL, Some(reason))]);
        assert_eq!(scene.verdict(&list), Err(Why::CertificateRevoked), "{reason:?}");
    }
    let list = scene.list(|l| l.revoked_certs = vec![entry(&SERIAL, Some(Reason::CertificateHold))]);
    for wrong in [vec![7], vec![11], vec![0, 6], vec![]] {
        let mut der = Der::parse(&list);
        let value = Der::leaf(0x0a, wrong.clone()).encode();
        *der.path(&[0, 5, 0, 2, 0, 1]).content() = value;
        let broken = scene.authority.resign(der, By::Issuing);
        assert_eq!(scene.verdict(&broken), Err(Why::RevocationInvalid), "{wrong:?}");
    }
}

#[test]
fn ten_thousand_entries_are_found_again() {
    let scene = Scene::new();
    let serial = |n: u16| [&[0x5a; 14], n.to_be_bytes().as_slice()].concat();
    let list = scene.list(|list| list.revoked_certs = (0..10_000).map(|n| entry(&serial(n), None)).collect());
    let list = scene.read(&list);
    assert_eq!(list.len(), 10_000);
    let standing = |n| list.standing(&Serial::from_der_content(&serial(n)).unwrap());
    assert!((0..10_000).all(|n| standing(n) == Standing::Revoked));
    assert!((10_000..11_000).all(|n| standing(n) == Standing::Good));
}

/// C130: a list that asks for a feed says nothing good without it; what it revokes, it revokes.
#[test]
fn a_list_that_asks_for_a_feed_allows_nothing_by_itself() {
    let scene = Scene::new();
    let with_policy = |serial: &[u8], reason| {
        let mut der = Der::parse(&scene.list(|list| list.revoked_certs = vec![entry(serial, reason)]));
        der.extensions().push(policy_extension(60, 0));
        scene.authority.resign(der, By::Issuing)
    };
    assert_eq!(scene.verdict(&with_policy(&[9], None)), Err(Why::RevocationStale));
    assert_eq!(scene.verdict(&with_policy(&SERIAL, None)), Err(Why::CertificateRevoked));
    let hold = Some(RevocationReason::CertificateHold);
    assert_eq!(scene.verdict(&with_policy(&SERIAL, hold)), Err(Why::CertificateHeld));
    let read = scene.read(&with_policy(&[9], None));
    assert_eq!(read.policy(), ListPolicy::new(60, FeedHead::START));
    assert_eq!(scene.read(&scene.list(|_| {})).policy(), None);
    // The feed is of the issuing authority: of the root's nobody would hear.
    let mut root = Der::parse(&scene.authority.list(By::Root, |_| {}));
    root.extensions().push(policy_extension(60, 0));
    let root = scene.authority.resign(root, By::Root);
    assert_eq!(scene.verdicts(&[scene.list(|_| {}), root]), Err(Why::RevocationInvalid));
}

/// C130: the policy has one encoding, once, and is not critical.
#[test]
fn a_feed_policy_in_another_form_makes_the_list_unusable() {
    let scene = Scene::new();
    let read = |change: &dyn Fn(&mut Der)| {
        let mut der = Der::parse(&scene.list(|_| {}));
        der.extensions().push(policy_extension(60, 7));
        change(&mut der);
        scene.verdict(&scene.authority.resign(der, By::Issuing))
    };
    let value = |change: &dyn Fn(&mut Der)| read(&|der| der.edit_extension(POLICY, |value| change(value)));
    assert_eq!(value(&|_| {}), Err(Why::RevocationStale), "as it should be");
    let wrong: [Change<'_>; 19] = [
        ("version 2", &|v| *v.child(0).content() = vec![2]),
        ("version 0", &|v| *v.child(0).content() = vec![0]),
        ("no age", &|v| *v.child(1).content() = vec![0]),
        ("an age of over a day", &|v| *v.child(1).content() = vec![1, 0x51, 0x81]),
        ("a negative age", &|v| *v.child(1).content() = vec![0xff]),
        ("a padded age", &|v| *v.child(1).content() = vec![0, 60]),
        ("a negative epoch", &|v| *v.child(2).content() = vec![0x80]),
        ("a padded epoch", &|v| *v.child(2).content() = vec![0, 7]),
        ("an epoch of 2^53", &|v| *v.child(2).content() = vec![0x20, 0, 0, 0, 0, 0, 0]),
        ("an epoch of 72 bits", &|v| *v.child(2).content() = vec![0x20; 9]),
        ("epoch 0 with a digest", &|v| *v.child(2).content() = vec![0]),
        ("an epoch without a digest", &|v| *v.child(3).content() = vec![0; 32]),
        ("a head of 31 octets", &|v| v.child(3).content().truncate(31)),
        ("a head of 33 octets", &|v| v.child(3).content().push(1)),
        ("a head of another type", &|v| v.child(3).set_tag(3)),
        ("no head", &|v| drop(v.children().pop())),
        ("no epoch", &|v| drop(v.children().remove(2))),
        ("a field more", &|v| v.children().push(Der::integer(1))),
        ("a SET", &|v| v.set_tag(0x31)),
    ];
    for (what, change) in wrong {
        assert_eq!(value(change), Err(Why::RevocationInvalid), "{what}");
    }
    let outside: [Change<'_>; 4] = [
        ("critical", &|der| der.extension(POLICY).children().insert(1, Der::leaf(1, vec![0xff]))),
        ("twice", &|der| der.extensions().push(policy_extension(60, 7))),
        ("bytes after it", &|der| der.extension(POLICY).child(1).content().extend([5, 0])),
        ("empty", &|der| der.extension(POLICY).child(1).content().clear()),
    ];
    for (what, change) in outside {
        assert_eq!(read(change), Err(Why::RevocationInvalid), "{what}");
    }
}

/// C130: what a list says about its feed never goes back, and never changes for one epoch.
#[test]
fn a_list_never_sets_its_feed_back() {
    let scene = Scene::new();
    let list = |number: u8, epoch: Option<u8>| {
        let mut der = Der::parse(&scene.list(|list| list.crl_number = SerialNumber::from(vec![number])));
        der.extensions().extend(epoch.map(|epoch| policy_extension(60, epoch)));
        scene.read(&scene.authority.resign(der, By::Issuing))
    };
    let serial = Serial::from_der_content(&SERIAL).unwrap();
    let follows = |next: &RevocationList, kept: &RevocationList| {
        (next.may_follow(kept, &serial), ListMark::of(kept).allows(next))
    };
    let kept = list(5, Some(7));
    for next in [list(6, Some(7)), list(6, Some(8)), list(6, None)] {
        assert_eq!(follows(&next, &kept), (Ok(()), Ok(())));
    }
    assert_eq!(follows(&list(6, Some(7)), &list(5, None)), (Ok(()), Ok(())), "a feed may begin");
    let back = Err(Contradiction::FeedRollback { offered: 6, seen: 7 });
    assert_eq!(follows(&list(6, Some(6)), &kept), (back.clone(), back));
    let mut other = Der::parse(list(6, Some(7)).der());
    other.edit_extension(POLICY, |value| value.child(3).content()[0] ^= 1);
    let other = scene.read(&scene.authority.resign(other, By::Issuing));
    let two = Err(Contradiction::FeedEquivocation { epoch: 7 });
    assert_eq!(follows(&other, &kept), (two.clone(), two));
}

const POLICY: &str = "1.3.6.1.4.1.32473.1.6";

/// The extension as another writer would make it.
fn policy_extension(max_age: u8, epoch: u8) -> Der {
    let head = if epoch == 0 { vec![0; 32] } else { vec![epoch; 32] };
    let fields = vec![Der::integer(1), Der::integer(max_age), Der::integer(epoch), Der::leaf(4, head)];
    extension(POLICY, false, &Der::list(0x30, fields))
}

/// What is broken in a list, and how.
type Change<'a> = (&'a str, &'a dyn Fn(&mut Der));

/// An authority, one agent of it, and a list of the issuing authority to be judged.
struct Scene {
    authority: Authority,
    agent: Vec<u8>,
}

impl Scene {
    fn new() -> Self {
        let authority = Authority::new();
        let actions = vec![Pattern::parse("payments:send").unwrap()];
        let agent = authority.agent(&Scope::build(ScopeParts::new(agent_id(), actions)).unwrap());
        Self { authority, agent }
    }

    fn list(&self, change: impl FnOnce(&mut CertificateRevocationListParams)) -> Vec<u8> {
        self.authority.list(By::Issuing, change)
    }

    fn list_with_extension(&self, oid: &str, critical: bool, value: Der) -> Vec<u8> {
        let mut der = Der::parse(&self.list(|_| {}));
        der.extensions().push(extension(oid, critical, &value));
        self.authority.resign(der, By::Issuing)
    }

    fn path(&self) -> kakunin_core::certificate::AgentPath {
        let anchors = TrustAnchors::new([self.authority.root.as_slice()]).unwrap();
        let agent = AgentCertificate::decode(&self.agent).unwrap();
        agent.verify_path([self.authority.issuing.as_slice()], &anchors, now()).unwrap()
    }

    fn read(&self, list: &[u8]) -> RevocationList {
        UnverifiedList::decode(list).unwrap().verify(&self.path().issuing().list_issuer()).unwrap()
    }

    /// What becomes of the agent with `list` and a good one of the root.
    fn verdict(&self, list: &[u8]) -> Result<(), Why> {
        self.verdicts(&[list.to_vec(), self.authority.list(By::Root, |_| {})])
    }

    fn verdicts(&self, lists: &[Vec<u8>]) -> Result<(), Why> {
        self.authority.verify(&self.agent, lists).map(|_| ())
    }
}

fn extension(oid: &str, critical: bool, value: &Der) -> Der {
    let mut fields = vec![Der::leaf(6, der::asn1::ObjectIdentifier::new(oid).unwrap().as_bytes().to_vec())];
    if critical {
        fields.push(Der::leaf(1, vec![0xff]));
    }
    fields.push(Der::leaf(4, value.encode()));
    Der::list(0x30, fields)
}
