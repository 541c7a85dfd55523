//! Feeds: no change without an epoch, no epoch twice, and items kept in order before they are sent.

use kakunin_authority::standing::{Reason, Standing};
use kakunin_authority::store::{
    Agents, Certificates, Feed, FeedChange, FeedEntry, FeedItem, FeedPosition, IssuerId, StoreError,
};
use kakunin_core::digest::Digest;

use super::{Bench, END, agent, at, first, ours, serial};

#[test]
fn a_change_of_standing_takes_the_next_epoch_of_each_issuer() {
    let mut bench = Bench::new();
    bench.store.add_agent(&agent(1)).unwrap();
    let second = first().next();
    bench.add_issuer(second);
    bench.certify(1, 1);
    bench.certify(2, 1);
    bench.certify_by(second, 3, 1);
    let held = bench.change(1, Standing::Held, at(10));
    let entry =
        |number, standing, since, reason| FeedEntry { serial: serial(number), standing, since, reason };
    let hold = |number| entry(number, Standing::Held, at(10), Reason::CertificateHold);
    assert_eq!(
        held,
        [
            FeedChange { issuer: first(), epoch: 1, entries: vec![hold(1), hold(2)] },
            FeedChange { issuer: second, epoch: 1, entries: vec![hold(3)] },
        ]
    );
    // Again says nothing new; good again is told like everything else.
    assert_eq!(bench.change(1, Standing::Held, at(11)), []);
    let resumed = bench.change(1, Standing::Good, at(12));
    assert_eq!(resumed[0].epoch, 2);
    assert_eq!(resumed[0].entries[0], entry(1, Standing::Good, at(12), Reason::Unspecified));
    let known = bench.store.certificate(serial(1)).unwrap().unwrap();
    assert_eq!((known.standing, known.since, known.tenant), (Standing::Good, at(12), ours()));
    let waiting = bench.store.waiting_changes(first()).unwrap();
    assert_eq!(waiting, [held[0].clone(), resumed[0].clone()]);
}

#[test]
fn what_ended_or_is_revoked_is_told_no_more() {
    let mut bench = Bench::new();
    bench.store.add_agent(&agent(1)).unwrap();
    bench.certify(1, 1);
    assert_eq!(bench.change(1, Standing::Revoked, at(10)).len(), 1);
    assert_eq!(bench.change(1, Standing::Good, at(11)), []);
    bench.certify(2, 1);
    let again = bench.change(1, Standing::Revoked, at(12));
    assert_eq!(again[0].entries.iter().map(|entry| entry.serial).collect::<Vec<_>>(), [serial(2)]);
    assert_eq!(bench.store.certificate(serial(1)).unwrap().unwrap().since, at(10));
    assert_eq!(bench.change(1, Standing::Good, at(13)), []);
    bench.certify(3, 1);
    // At its last second it is told, afterwards not.
    assert_eq!(bench.change(1, Standing::Held, END).len(), 1);
    assert_eq!(bench.change(1, Standing::Revoked, END.plus(1)), []);
    assert_eq!(bench.store.certificate(serial(3)).unwrap().unwrap().standing, Standing::Revoked);
}

#[test]
fn items_are_kept_in_order_and_once() {
    let mut bench = Bench::new();
    bench.store.add_agent(&agent(1)).unwrap();
    bench.certify(1, 1);
    for (standing, second) in [(Standing::Held, 1), (Standing::Good, 2), (Standing::Revoked, 3)] {
        assert_eq!(bench.change(1, standing, at(second)).len(), 1);
    }
    assert_eq!(bench.store.feed_position(first()).unwrap(), FeedPosition::START);
    let mut keep =
        |epoch, text: &str| bench.store.keep_change(first(), epoch, text, Digest::of(text.as_bytes()));
    for wrong in [0, 2, 3, 4, u64::MAX] {
        assert!(matches!(keep(wrong, "x"), Err(StoreError::NotNext { epoch, .. }) if epoch == wrong));
    }
    keep(1, "one").unwrap();
    assert!(matches!(keep(1, "another"), Err(StoreError::NotNext { .. })));
    keep(2, "two").unwrap();
    let store = &bench.store;
    let item = |epoch, text: &str| FeedItem { epoch, item: text.into(), head: Digest::of(text.as_bytes()) };
    assert_eq!(store.feed_position(first()).unwrap(), FeedPosition { epoch: 2, head: Digest::of(b"two") });
    assert_eq!(store.changes_since(first(), 0, 9).unwrap(), [item(1, "one"), item(2, "two")]);
    assert_eq!(store.changes_since(first(), 0, 1).unwrap(), [item(1, "one")]);
    assert_eq!(store.changes_since(first(), 1, 9).unwrap(), [item(2, "two")]);
    assert_eq!(store.changes_since(first(), u64::MAX, 9).unwrap(), []);
    assert_eq!(store.changes_since(IssuerId::ROOT, 0, 9).unwrap(), []);
    assert_eq!(
        store.waiting_changes(first()).unwrap().iter().map(|wait| wait.epoch).collect::<Vec<_>>(),
        [3]
    );
}

#[test]
fn an_agent_of_many_certificates_takes_several_epochs() {
    let mut bench = Bench::new();
    bench.store.add_agent(&agent(1)).unwrap();
    let many = FeedChange::MOST_ENTRIES + 1;
    bench.certify_many(1, many);
    let told = bench.change(1, Standing::Revoked, at(5));
    let sizes: Vec<_> = told.iter().map(|change| (change.epoch, change.entries.len())).collect();
    assert_eq!(sizes, [(1, FeedChange::MOST_ENTRIES), (2, 1)]);
    let mut serials: Vec<_> =
        told.iter().flat_map(|change| &change.entries).map(|entry| entry.serial).collect();
    serials.dedup();
    assert_eq!(serials.len(), many);
}
