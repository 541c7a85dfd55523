//! Delta lists beside the full ones: with any list since their base they say what the full one says.

use std::fs;
use std::path::Path;
use std::process::Command;

use kakunin_authority::authority::{Comeback, Days, Hours, OldIssuing};
use kakunin_authority::delta::Delta;
use kakunin_authority::standing::{Order, Standing};
use kakunin_authority::store::ListRecord;
use kakunin_authority::{Authority, Who};
use kakunin_core::certificate::CaCertificate;
use kakunin_core::id::SerialNumber;
use kakunin_core::revocation::{DeltaError, RevocationList, UnverifiedDelta, UnverifiedList};

use crate::office::{Office, now};

#[test]
fn every_list_since_the_base_becomes_the_newest_by_the_delta() {
    let office = Office::open();
    let agents: Vec<(Who, SerialNumber)> = (0..5).map(|number| agent(&office, number)).collect();
    let serials: Vec<_> = agents.iter().map(|(_, serial)| *serial).collect();
    let mut lists: Vec<ListRecord> = vec![office.authority().current_list().unwrap()];
    let first = now();
    let orders = [
        (0, Order::Revoke),
        (1, Order::Suspend),
        (2, Order::Suspend),
        (1, Order::Resume),
        (1, Order::Suspend),
        (2, Order::Revoke),
        (3, Order::Suspend),
        (1, Order::Resume),
        (3, Order::Resume),
        (4, Order::Revoke),
    ];
    let mut bases = Vec::new();
    // Once in one process, and once each order in a new one.
    for afresh in [false, true] {
        let mut authority = office.authority();
        authority.sign_deltas();
        for (turn, (whom, order)) in orders.into_iter().enumerate() {
            if afresh {
                drop(authority);
                authority = office.authority();
                authority.sign_deltas();
            }
            // The hours go on, so that the base does, too.
            let at = first.plus(1500 * lists.len() as i64);
            let (who, _) = &agents[whom];
            if authority.order(who, order, "a drill", Hours::default(), at).is_err() {
                let _ = authority.publish(Hours::default(), at).unwrap();
            }
            let (list, delta, issuer) = published(&authority);
            let full = read(&list.der, &issuer);
            assert_eq!(full.number().to_u64(), Some(list.number), "turn {turn}");
            bases.push(delta.base);
            for before in &lists {
                let joined = join(&delta, before, &issuer);
                if before.number < delta.base {
                    assert!(matches!(joined, Err(DeltaError::Behind { .. })));
                    continue;
                }
                let joined = joined.unwrap();
                assert_eq!((joined.number(), joined.policy()), (full.number(), full.policy()));
                assert_eq!(joined.next_update(), full.next_update());
                for serial in &serials {
                    assert_eq!(joined.standing(serial), full.standing(serial), "{turn}: {}", before.number);
                }
            }
            lists.push(list);
        }
    }
    // It stays for a while, it moves, and it is never so young that nobody has a later one.
    assert!(bases.is_sorted() && bases.first() < bases.last(), "{bases:?}");
    assert!(bases.windows(2).any(|pair| pair[0] == pair[1]), "{bases:?}");
    for (base, list) in bases.iter().zip(lists.iter().skip(1)) {
        let base = lists.iter().find(|list| list.number == *base).unwrap_or(&lists[0]);
        let age = list.this_update.seconds() - base.this_update.seconds();
        assert!(age >= 3600 || base.number == lists[0].number, "{age}");
        assert!(age < 3 * 3600, "{age}");
    }
}

#[test]
fn the_first_list_of_an_authority_has_no_delta_and_nobody_else_signs_one() {
    let office = Office::open();
    let mut authority = office.authority();
    let _ = authority.publish(Hours::default(), now()).unwrap();
    assert_eq!(authority.published().unwrap().delta(), None, "nobody wants one");
    authority.sign_deltas();
    let _ = authority.publish(Hours::default(), now()).unwrap();
    assert!(authority.published().unwrap().delta().is_some());
    let _ = authority.rotate(OldIssuing::Keep, Hours::default(), now()).unwrap();
    assert_eq!(authority.published().unwrap().delta(), None, "the new authority has one list");
    let _ = authority.publish(Hours::default(), now()).unwrap();
    let (list, delta, issuer) = published(&authority);
    assert_eq!((list.number, delta.base), (2, 1));
    let before = authority.records().list_before(issuer_id(&authority), 2).unwrap().unwrap();
    assert_eq!(join(&delta, &before, &issuer).unwrap().changes(), 0);
}

#[test]
fn openssl_reads_a_delta_and_takes_it_for_no_full_list() {
    let office = Office::open();
    let (who, _) = agent(&office, 0);
    let (other, _) = agent(&office, 1);
    let mut authority = office.authority();
    authority.sign_deltas();
    for (who, order) in [(&other, Order::Suspend), (&who, Order::Revoke), (&other, Order::Resume)] {
        authority.order(who, order, "key compromise", Hours::default(), now()).unwrap();
    }
    let (list, delta, _) = published(&authority);
    let path = office.path("delta.pem");
    fs::write(&path, delta.pem().unwrap()).unwrap();
    let chain = office.path("agent-0/chain.pem");
    let run = |arguments: &[&str], files: &[&Path]| {
        let output = Command::new("openssl").args(arguments).args(files).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    };
    let (read, text) = run(&["crl", "-noout", "-text", "-in"], &[&path]);
    assert!(read, "{text}");
    for part in [
        format!("X509v3 Delta CRL Indicator: critical\n                {}", delta.base),
        format!("X509v3 CRL Number: \n                {}", list.number),
        "Remove From CRL".into(),
        "Key Compromise".into(),
    ] {
        assert!(text.contains(&part), "{part} in {text}");
    }
    let (signed, text) = run(&["crl", "-noout", "-CAfile"], &[&chain, "-in".as_ref(), &path]);
    assert!(signed && text.contains("verify OK"), "{text}");
    // Instead of a full list it says nothing of anybody, the one that it names among them: to a verifier that knows deltas.
    // One without -extended_crl takes it for a full list, whatever the critical extension says.
    for agent in ["agent-0/agent.pem", "agent-1/agent.pem"] {
        let files: [&Path; 4] = [&chain, "-CRLfile".as_ref(), &path, &office.path(agent)];
        let flags = ["verify", "-partial_chain", "-crl_check", "-extended_crl", "-use_deltas", "-trusted"];
        let (good, text) = run(&flags, &files);
        assert!(!good && text.contains("unable to get certificate CRL"), "{text}");
    }
}

fn agent(office: &Office, number: u8) -> (Who, SerialNumber) {
    let who = office.create(&format!("agent-{number}"));
    let directory = format!("agent-{number}");
    // Longer than the test's hours.
    office.certify_as(&who, &directory, Comeback::Refuse, Days::WEEK, now()).unwrap();
    let id = office.authority().find(&who).unwrap().id;
    let known = office.authority().records().certificates(&Default::default(), id).unwrap();
    let newest = known.first().unwrap();
    assert_eq!(newest.standing, Standing::Good);
    (who, newest.serial)
}

fn published(authority: &Authority<'_>) -> (ListRecord, Delta, CaCertificate) {
    let published = authority.published().unwrap();
    (published.list().clone(), published.delta().unwrap().clone(), published.issuing().clone())
}

fn issuer_id(authority: &Authority<'_>) -> kakunin_authority::store::IssuerId {
    authority.records().issuers().unwrap().last().unwrap().id
}

fn read(der: &[u8], issuer: &CaCertificate) -> RevocationList {
    UnverifiedList::decode(der).unwrap().verify(&issuer.list_issuer()).unwrap()
}

fn join(
    delta: &Delta,
    list: &ListRecord,
    issuer: &CaCertificate,
) -> Result<kakunin_core::revocation::UpdatedList, DeltaError> {
    UnverifiedDelta::decode(&delta.der)?.apply(&read(&list.der, issuer), &issuer.list_issuer())
}
