//! Following a feed: no order, loss or repetition of items makes anybody better than the authority said.

use std::collections::HashMap;

use kakunin_core::digest::Digest;
use kakunin_core::feed::{Content, Entry, Follower, Item, Progress, Refusal, UnverifiedItem};
use kakunin_core::id::SerialNumber;
use kakunin_core::key::{Signer, SoftKey};
use kakunin_core::revocation::{FeedHead, ListPolicy, Standing};
use kakunin_core::time::UnixTime;
use proptest::prelude::*;
use rcgen::{KeyPair, RevokedCertParams, date_time_ymd};

use crate::authority::{Authority, By, Der, at, entry, now};
use crate::feed::{certificate, feed_key, issuing};

/// An authority, its feed key, and what the feed said so far. The clock of this machine is 0 at noon of the 23rd.
pub(crate) struct World {
    pub(crate) authority: Authority,
    pub(crate) signer: Signer,
    pub(crate) certificate: Vec<u8>,
    pub(crate) head: FeedHead,
}

impl World {
    pub(crate) fn new() -> Self {
        let (authority, key) = (Authority::new(), feed_key());
        let certificate = certificate(&authority, &key, |_| {});
        Self { signer: signer(&key), certificate, authority, head: FeedHead::START }
    }

    /// A list of this number that knows the feed up to `head`.
    pub(crate) fn list(&self, number: u8, head: FeedHead, revoked: &[u8]) -> Vec<u8> {
        self.naming(number, head, revoked.iter().map(|serial| entry(&[*serial], None)).collect())
    }

    /// The same, with these entries.
    pub(crate) fn naming(&self, number: u8, head: FeedHead, entries: Vec<RevokedCertParams>) -> Vec<u8> {
        self.asking(number, ListPolicy::new(60, head).unwrap(), entries)
    }

    /// A list of this number that asks for the feed in these words.
    pub(crate) fn asking(&self, number: u8, policy: ListPolicy, entries: Vec<RevokedCertParams>) -> Vec<u8> {
        let mut der = Der::parse(&self.authority.list(By::Issuing, |list| {
            list.crl_number = rcgen::SerialNumber::from(vec![number]);
            list.revoked_certs = entries;
        }));
        let policy = policy.to_der().unwrap();
        let oid = kakunin_core::certificate::oids::LIST_POLICY.as_bytes().to_vec();
        der.extensions().push(Der::list(0x30, vec![Der::leaf(6, oid), Der::leaf(4, policy)]));
        self.authority.resign(der, By::Issuing)
    }

    pub(crate) fn follower(&self) -> Follower {
        let mut follower =
            Follower::new(&issuing(&self.authority), &self.list(1, FeedHead::START, &[])).unwrap();
        follower.certify(&self.certificate, now(), 0).unwrap();
        follower
    }

    fn item(&self, millis: i64, head: FeedHead, content: Content) -> Item {
        let at = now().to_millis().plus_millis(millis);
        Item { issuer: self.authority.issuing_key(), head, at, due: at.plus_millis(5_000), content }
    }

    pub(crate) fn sign(&self, millis: i64, head: FeedHead, content: Content) -> String {
        self.item(millis, head, content).sign(&self.signer).unwrap()
    }

    /// The next change, signed `millis` after noon.
    pub(crate) fn change(&mut self, millis: i64, named: &[(u8, Standing)]) -> String {
        let line = self.sign(millis, self.head, Content::Change(entries(named)));
        self.head = UnverifiedItem::parse(&line).unwrap().verify(self.signer.public()).unwrap().head();
        line
    }

    pub(crate) fn beat(&self, millis: i64) -> String {
        self.sign(millis, self.head, Content::Heartbeat { nonce: None })
    }

    fn first(&self, millis: i64, nonce: [u8; 16]) -> String {
        self.sign(millis, self.head, Content::Heartbeat { nonce: Some(nonce) })
    }

    /// A follower that is connected since `millis`.
    pub(crate) fn connected(&self, millis: i64) -> Follower {
        let mut follower = self.follower();
        follower.begin([1; 16], millis);
        follower.take(&self.first(millis, [1; 16]), millis).unwrap();
        follower
    }
}

pub(crate) fn signer(key: &KeyPair) -> Signer {
    Signer::soft(SoftKey::from_pkcs8(&key.serialize_der()).unwrap())
}

pub(crate) fn entries(named: &[(u8, Standing)]) -> Vec<Entry> {
    let entry = |(number, standing): &(u8, Standing)| Entry {
        serial: serial(*number),
        standing: *standing,
        at: UnixTime::from_seconds(1_700_000_000),
        reason: match standing {
            Standing::Good => None,
            Standing::Held => Some(6),
            Standing::Revoked => Some(1),
        },
    };
    let sorted: std::collections::BTreeMap<u8, Standing> = named.iter().copied().collect();
    sorted.iter().map(|(number, standing)| entry(&(*number, *standing))).collect()
}

fn serial(number: u8) -> SerialNumber {
    SerialNumber::from_der_content(&[number]).unwrap()
}

fn code(result: Result<Progress, Refusal>) -> &'static str {
    result.unwrap_err().code()
}

#[test]
fn a_revocation_counts_when_its_item_is_taken_and_for_good() {
    let mut world = World::new();
    let mut follower = world.connected(0);
    assert_eq!(follower.fresh_until(), Some(60_000));
    let held = world.change(1_000, &[(1, Standing::Held), (2, Standing::Held)]);
    assert_eq!(follower.take(&held, 1_010).unwrap(), Progress::Current);
    assert_eq!(
        (follower.standing(&serial(1)), follower.standing(&serial(3))),
        (Standing::Held, Standing::Good)
    );
    let next = world.change(2_000, &[(1, Standing::Good), (2, Standing::Revoked)]);
    assert_eq!(follower.take(&next, 2_010).unwrap(), Progress::Current);
    assert_eq!(
        (follower.standing(&serial(1)), follower.standing(&serial(2))),
        (Standing::Good, Standing::Revoked)
    );
    let back = world.change(3_000, &[(2, Standing::Good)]);
    follower.take(&back, 3_010).unwrap();
    assert_eq!(follower.standing(&serial(2)), Standing::Revoked, "whatever the feed says later");
    assert_eq!(follower.head(), world.head);
    assert_eq!(follower.take(&held, 3_020).unwrap(), Progress::Known);
    assert_eq!(follower.changes().count(), 3);
    // A list that forgot it does not bring it back either.
    follower.rebase(&world.list(2, world.head, &[])).unwrap();
    assert_eq!(follower.standing(&serial(2)), Standing::Revoked);
    assert_eq!((follower.changes().count(), follower.fresh_until()), (0, Some(63_000)));
}

/// C133: age is the signed time's, whenever an item arrives.
#[test]
fn a_word_that_comes_late_is_old() {
    let world = World::new();
    let mut follower = world.follower();
    assert_eq!(follower.fresh_until(), None);
    // Asked for at 0, signed at 400, here at 900: it counts from the moment it was asked for.
    follower.begin([7; 16], 0);
    follower.take(&world.first(400, [7; 16]), 900).unwrap();
    assert_eq!(follower.fresh_until(), Some(60_000));
    let beat = world.beat(5_400);
    follower.take(&beat, 50_000).unwrap();
    assert_eq!(follower.fresh_until(), Some(65_000), "5 s after the first by the signed time");
    assert_eq!(follower.take(&beat, 59_000).unwrap(), Progress::Current);
    assert_eq!(follower.fresh_until(), Some(65_000), "the same again is no newer");
    follower.shorten(10);
    assert_eq!(follower.fresh_until(), Some(15_000));
    follower.shorten(86_400);
    assert_eq!(follower.fresh_until(), Some(15_000), "settings only shorten");
}

/// C133: an authority whose clock is wrong, or is set while a connection lasts.
#[test]
fn the_authoritys_clock_does_not_matter_until_it_is_set_ahead() {
    let mut world = World::new();
    let mut follower = world.follower();
    let hour = 3_600_000;
    follower.begin([1; 16], 0);
    follower.take(&world.first(hour, [1; 16]), 20).unwrap();
    assert_eq!(follower.fresh_until(), Some(60_000));
    follower.take(&world.beat(hour + 6_500), 5_000).unwrap();
    assert_eq!(follower.fresh_until(), Some(65_000), "never later than it was received");
    assert_eq!(code(follower.take(&world.beat(2 * hour), 10_000)), "feed.clock");
    let revoking = world.change(2 * hour, &[(1, Standing::Revoked)]);
    assert_eq!(code(follower.take(&revoking, 10_000)), "feed.clock");
    follower.begin([2; 16], 10_000);
    assert_eq!(
        follower.take(&world.first(2 * hour, [2; 16]), 10_020).unwrap(),
        Progress::Behind { epoch: 1 }
    );
    assert_eq!(follower.take(&revoking, 10_030).unwrap(), Progress::Current);
    assert_eq!(follower.standing(&serial(1)), Standing::Revoked);
    follower.take(&world.beat(hour), 10_040).unwrap();
    assert_eq!(follower.fresh_until(), Some(70_000), "set back: older, never newer");
}

/// C133: items of another connection, or of none.
#[test]
fn only_the_nonce_of_this_connection_opens_it() {
    let mut world = World::new();
    let mut follower = world.follower();
    assert_eq!(code(follower.take(&world.beat(0), 0)), "feed.nonce", "nothing was asked for");
    assert_eq!(code(follower.take(&world.first(0, [0; 16]), 0)), "feed.nonce");
    follower.begin([1; 16], 100);
    let old = world.first(0, [2; 16]);
    for line in [old, world.beat(50), world.change(60, &[(1, Standing::Held)])] {
        assert_eq!(code(follower.take(&line, 120)), "feed.nonce");
    }
    world.head = FeedHead::START;
    let right = world.first(110, [1; 16]);
    assert_eq!(code(follower.take(&right, 99)), "feed.nonce", "received before it was asked for");
    assert_eq!(follower.fresh_until(), None);
    follower.take(&right, 120).unwrap();
    assert_eq!(code(follower.take(&right, 130)), "feed.nonce", "only the first has one");
    // What was proven stays proven while another connection is made, and nothing is added to it.
    follower.begin([3; 16], 50_000);
    assert_eq!(code(follower.take(&world.beat(50_000), 50_010)), "feed.nonce");
    assert_eq!(follower.fresh_until(), Some(60_100));
}

/// C133: set back, forked, or with a hole.
#[test]
fn a_feed_that_goes_back_forks_or_leaves_out_is_refused() {
    let mut world = World::new();
    let mut follower = world.connected(0);
    let one = world.change(1_000, &[(1, Standing::Held)]);
    let old = world.beat(1_500);
    let fork = {
        let mut other = World { head: FeedHead::START, ..World::new() };
        (other.authority, other.signer, other.certificate) =
            (world.authority, world.signer, world.certificate);
        let change = other.change(1_000, &[(1, Standing::Good)]);
        let (beat, next) = (other.beat(1_500), other.change(2_500, &[(3, Standing::Held)]));
        (world.authority, world.signer, world.certificate) =
            (other.authority, other.signer, other.certificate);
        [change, beat, next]
    };
    let two = world.change(2_000, &[(2, Standing::Held)]);
    let three = world.change(3_000, &[(3, Standing::Held)]);
    assert_eq!(code(follower.take(&two, 3_010)), "feed.gap");
    assert_eq!(code(follower.take(&world.beat(3_005), 3_010)), "feed.gap");
    follower.take(&one, 3_010).unwrap();
    for line in &fork {
        assert_eq!(code(follower.take(line, 3_020)), "feed.equivocation");
    }
    follower.take(&two, 3_030).unwrap();
    follower.take(&three, 3_040).unwrap();
    assert_eq!(code(follower.take(&old, 3_050)), "feed.rollback");
    // A new connection to a server that was set back.
    follower.begin([9; 16], 4_000);
    world.head = FeedHead::START;
    assert_eq!(code(follower.take(&world.first(4_000, [9; 16]), 4_010)), "feed.rollback");
    assert_eq!(follower.head().epoch(), 3);
    assert_eq!(follower.fresh_until(), Some(63_000), "by the last change");
}

/// C133: a list in between, newer or contradicting.
#[test]
fn a_feed_that_forgot_what_it_announced_is_refused() {
    let mut world = World::new();
    let mut follower = world.connected(0);
    let first = world.change(1_000, &[(5, Standing::Revoked)]);
    // Another connection says that there is a change, and breaks before it comes.
    follower.begin([2; 16], 2_000);
    let told = follower.take(&world.first(2_000, [2; 16]), 2_000).unwrap();
    assert_eq!(told, Progress::Behind { epoch: 1 });
    let fresh = follower.fresh_until();
    // What was put back from a backup knows nothing of it.
    follower.begin([3; 16], 3_000);
    let back = world.sign(3_000, FeedHead::START, Content::Heartbeat { nonce: Some([3; 16]) });
    assert_eq!(code(follower.take(&back, 3_000)), "feed.rollback");
    assert_eq!(follower.fresh_until(), fresh);
    follower.begin([4; 16], 4_000);
    follower.take(&world.first(4_000, [4; 16]), 4_000).unwrap();
    follower.take(&first, 4_000).unwrap();
    assert_eq!(follower.standing(&serial(5)), Standing::Revoked);
}

#[test]
fn a_newer_list_goes_on_where_the_changes_were_and_no_other_does() {
    let mut world = World::new();
    let mut follower = world.connected(0);
    let lines: Vec<String> =
        (1..=4).map(|n| world.change(n * 1_000, &[(u8::try_from(n).unwrap(), Standing::Held)])).collect();
    let heads: Vec<FeedHead> = (0..3)
        .map(|n| {
            follower.take(&lines[n], 4_000).unwrap();
            follower.head()
        })
        .collect();
    let before = |follower: &Follower| (follower.head(), follower.changes().count(), follower.fresh_until());
    let stood = before(&follower);
    let other = FeedHead::new(2, Digest::of(b"another")).unwrap();
    let refused = [
        (world.list(2, other, &[]), "feed.equivocation"),
        (world.list(1, heads[1], &[]), "feed.equivocation"),
        (world.list(0, heads[1], &[]), "feed.rollback"),
        (world.authority.list(By::Issuing, |list| list.crl_number = vec![9].into()), "feed.list"),
        (world.authority.list(By::Root, |_| {}), "feed.list"),
    ];
    for (list, expected) in refused {
        assert_eq!(follower.rebase(&list).unwrap_err().code(), expected);
        assert_eq!(before(&follower), stood);
    }
    follower.rebase(&world.list(2, heads[1], &[])).unwrap();
    assert_eq!((follower.head(), follower.changes().count()), (heads[2], 1));
    assert_eq!(follower.standing(&serial(1)), Standing::Good, "the list includes what came before it");
    assert_eq!(follower.standing(&serial(3)), Standing::Held);
    assert_eq!(code(follower.take(&lines[0], 4_010)), "feed.rollback");
    // Of a gap a newer list is the way out.
    let five = world.change(5_000, &[(5, Standing::Held)]);
    assert_eq!(code(follower.take(&five, 5_010)), "feed.gap");
    let four = UnverifiedItem::parse(&lines[3]).unwrap().verify(world.signer.public()).unwrap().head();
    follower.rebase(&world.list(3, four, &[])).unwrap();
    assert_eq!(follower.take(&five, 5_020).unwrap(), Progress::Current);
    assert_eq!(follower.rebase(&world.list(4, heads[2], &[])).unwrap_err().code(), "feed.rollback");
}

/// C134: a key that has ended vouches for nothing new, and one that is revoked for nothing at all.
#[test]
fn a_feed_key_of_yesterday_can_deny_and_nothing_else() {
    let mut world = World::new();
    let (old_key, authority) = (feed_key(), Authority::new());
    let old = certificate(&authority, &old_key, |params| {
        params.not_before = date_time_ymd(2026, 11, 22);
        params.not_after = date_time_ymd(2026, 11, 23);
        params.serial_number = Some(vec![0x50].into());
    });
    let midnight = -12 * 3_600_000;
    let today = std::mem::replace(&mut world.signer, signer(&old_key));
    let held = world.change(midnight - 1_000, &[(1, Standing::Held), (2, Standing::Revoked)]);
    let lifted = world.change(midnight - 900, &[(1, Standing::Good)]);
    let beat = world.beat(midnight - 800);
    let after = world.sign(midnight + 1_000, world.head, Content::Heartbeat { nonce: None });
    let yesterday = std::mem::replace(&mut world.signer, today);

    let start = FeedHead::START;
    let mut follower = world.follower();
    assert_eq!(code(follower.take(&held, 0)), "feed.certificate", "nobody showed a certificate");
    follower.certify(&old, now(), 0).unwrap();
    follower.begin([1; 16], 0);
    let first = world.sign(0, start, Content::Heartbeat { nonce: Some([1; 16]) });
    follower.take(&first, 0).unwrap();
    let fresh = follower.fresh_until();
    assert_eq!(code(follower.take(&beat, 10)), "feed.certificate");
    assert_eq!(code(follower.take(&after, 10)), "feed.certificate", "dated after its end");
    assert_eq!(follower.take(&held, 20).unwrap(), Progress::Unconfirmed);
    assert_eq!(follower.take(&lifted, 30).unwrap(), Progress::Unconfirmed);
    assert_eq!(follower.standing(&serial(1)), Standing::Held, "nobody of today lifted it");
    assert_eq!(follower.standing(&serial(2)), Standing::Revoked);
    assert_eq!((follower.certain_head(), follower.fresh_until()), (start, fresh));
    assert_eq!(follower.changes().count(), 0);
    let mut aside = follower.clone();
    follower.take(&world.beat(1_000), 1_010).unwrap();
    assert_eq!(follower.standing(&serial(1)), Standing::Good);
    assert_eq!((follower.certain_head(), follower.fresh_until()), (world.head, Some(61_000)));
    // Without that word a newer list drops what it claimed, but for the revocation.
    aside.rebase(&world.list(2, start, &[])).unwrap();
    assert_eq!((aside.head(), aside.standing(&serial(1))), (start, Standing::Good));
    assert_eq!(aside.standing(&serial(2)), Standing::Revoked);

    // The key of the connection ends at midnight, whatever is signed with it.
    let night = 12 * 3_600_000 + 1_000;
    assert_eq!(code(follower.take(&world.beat(night - 2_000), night)), "feed.certificate");
    drop(yesterday);
}

/// C134
#[test]
fn a_feed_key_that_is_held_or_revoked_says_nothing_more() {
    let mut world = World::new();
    let listed = world.list(1, FeedHead::START, &[0x4f]);
    let mut der = Der::parse(&listed);
    *der.path(&[0, 5, 0, 0]).content() = vec![0x4f; 16];
    let listed = world.authority.resign(der, By::Issuing);
    let mut follower = Follower::new(&issuing(&world.authority), &listed).unwrap();
    let refused = follower.certify(&world.certificate, now(), 0).unwrap_err();
    assert!(matches!(refused, Refusal::KeyStanding { standing: Standing::Revoked }));

    let mut follower = world.connected(0);
    let mut content = entries(&[(1, Standing::Held)]);
    content[0].serial = SerialNumber::from_der_content(&[0x4f; 16]).unwrap();
    let line = world.sign(1_000, world.head, Content::Change(content));
    assert_eq!(follower.take(&line, 1_010).unwrap(), Progress::Current);
    world.head = follower.head();
    assert_eq!(code(follower.take(&world.beat(2_000), 2_010)), "feed.certificate");
    assert_eq!(follower.fresh_until(), Some(61_000));
    let early =
        certificate(&world.authority, &feed_key(), |params| params.not_before = date_time_ymd(2026, 11, 24));
    let refused = follower.certify(&early, at("2026-11-23T23:57:00Z"), 0);
    assert_eq!(refused.unwrap_err().code(), "feed.certificate", "not valid yet");
}

/// A69: whoever stole the feed key let a held agent go on, and told nobody but this follower.
#[test]
fn a_list_that_names_a_stolen_feed_key_is_believed_against_what_that_key_forged() {
    let mut world = World::new();
    let mut follower = world.connected(0);
    follower.take(&world.change(1_000, &[(1, Standing::Held)]), 1_010).unwrap();
    let forged = world.sign(2_000, world.head, Content::Change(entries(&[(1, Standing::Good)])));
    assert_eq!(follower.take(&forged, 2_010).unwrap(), Progress::Current);
    assert_eq!(follower.standing(&serial(1)), Standing::Good);
    // The authority takes the key out of use: a change by the next one says so, and the list.
    let next = feed_key();
    let mut content = entries(&[(2, Standing::Revoked)]);
    content[0].serial = SerialNumber::from_der_content(&[0x4f; 16]).unwrap();
    let line = world.item(3_000, world.head, Content::Change(content)).sign(&signer(&next)).unwrap();
    world.signer = signer(&next);
    let before = world.head;
    world.head = UnverifiedItem::parse(&line).unwrap().verify(world.signer.public()).unwrap().head();
    let held = Some(rcgen::RevocationReason::CertificateHold);
    let named = |stolen: bool| {
        let stolen = stolen.then(|| entry(&[0x4f; 16], None));
        world.naming(2, world.head, stolen.into_iter().chain([entry(&[1], held)]).collect())
    };
    // Two histories under one key that nobody named are a fork, and a list that ends before the forgery undoes nothing.
    assert_eq!(follower.rebase(&named(false)).unwrap_err().code(), "feed.equivocation");
    let mut early = follower.clone();
    early.rebase(&world.naming(2, before, vec![entry(&[0x4f; 16], None), entry(&[1], held)])).unwrap();
    assert_eq!((early.changes().count(), early.standing(&serial(1))), (1, Standing::Good));
    follower.rebase(&named(true)).unwrap();
    assert_eq!((follower.head(), follower.standing(&serial(1))), (world.head, Standing::Held));
    // Nothing is fresh before the next key has said so on a connection of its own.
    assert_eq!(follower.fresh_until(), None);
    let stolen = world.certificate.clone();
    assert_eq!(follower.certify(&stolen, now(), 0).unwrap_err().code(), "feed.certificate");
    assert_eq!(code(follower.take(&forged, 3_010)), "feed.certificate");
    let certificate = certificate(&world.authority, &next, |params| {
        params.serial_number = Some(vec![0x50; 16].into());
    });
    follower.certify(&certificate, now(), 0).unwrap();
    assert_eq!(code(follower.take(&world.beat(4_000), 4_010)), "feed.nonce");
    follower.begin([2; 16], 5_000);
    assert_eq!(follower.take(&world.first(5_000, [2; 16]), 5_010).unwrap(), Progress::Current);
    assert_eq!(follower.fresh_until(), Some(65_000));
}

/// C201: whoever stole the feed key announces changes that never come, so that the feed as it is looks set back.
#[test]
fn what_a_stolen_feed_key_announced_is_forgotten_with_the_key() {
    let mut world = World::new();
    let mut follower = world.connected(0);
    let never = FeedHead::new(5, Digest::of(b"never")).unwrap();
    follower.begin([3; 16], 1_000);
    let forged = world.sign(1_000, never, Content::Heartbeat { nonce: Some([3; 16]) });
    assert_eq!(follower.take(&forged, 1_010).unwrap(), Progress::Behind { epoch: 5 });
    // The authority takes the key out of use, and the next one says so.
    let next = feed_key();
    let mut content = entries(&[(2, Standing::Revoked)]);
    content[0].serial = SerialNumber::from_der_content(&[0x4f; 16]).unwrap();
    let line = world.item(3_000, world.head, Content::Change(content)).sign(&signer(&next)).unwrap();
    world.signer = signer(&next);
    world.head = UnverifiedItem::parse(&line).unwrap().verify(world.signer.public()).unwrap().head();
    let certificate = certificate(&world.authority, &next, |params| {
        params.serial_number = Some(vec![0x50; 16].into());
    });
    let connect = |follower: &mut Follower| {
        follower.certify(&certificate, now(), 0).unwrap();
        follower.begin([2; 16], 5_000);
        follower.take(&world.first(5_000, [2; 16]), 5_010)
    };
    // Of a key that nobody named it holds: a feed that does not know what it announced went back.
    let mut other = follower.clone();
    other.rebase(&world.naming(2, world.head, vec![entry(&[0x4e; 16], None)])).unwrap();
    assert_eq!(other.fresh_until(), Some(60_000));
    assert_eq!(code(connect(&mut other)), "feed.rollback");
    let held = Some(rcgen::RevocationReason::CertificateHold);
    for reason in [None, held] {
        let mut follower = follower.clone();
        follower.rebase(&world.naming(2, world.head, vec![entry(&[0x4f; 16], reason)])).unwrap();
        // Nothing is fresh before the next key has said so, and no time is known.
        assert_eq!((follower.fresh_until(), follower.authority_time(1_010)), (None, None));
        assert_eq!(connect(&mut follower).unwrap(), Progress::Current);
        assert_eq!(follower.fresh_until(), Some(65_000));
    }
}

/// A69
#[test]
fn a_newer_list_makes_room_for_feed_keys() {
    let mut world = World::new();
    let key = |number: u8| {
        certificate(&world.authority, &feed_key(), |params| {
            params.serial_number = Some(vec![0x50, number, 1, 1, 1, 1, 1, 1].into());
            params.not_before += std::time::Duration::from_secs(u64::from(number));
        })
    };
    let keys: Vec<_> = (0..65).map(key).collect();
    let mut follower = world.follower();
    let change = world.change(1_000, &[(1, Standing::Held)]);
    for certificate in &keys[..63] {
        follower.certify(certificate, now(), 0).unwrap();
    }
    assert!(matches!(follower.certify(&keys[63], now(), 0), Err(Refusal::TooManyKeys)));
    follower.begin([1; 16], 0);
    follower.take(&world.first(0, [1; 16]), 0).unwrap();
    follower.take(&change, 1_010).unwrap();
    follower.rebase(&world.list(2, FeedHead::START, &[])).unwrap();
    // Those that are left: of the newest some, and whoever signed what is not in the list.
    assert_eq!(follower.certificates().count(), 9);
    follower.certify(&keys[63], now(), 0).unwrap();
    assert_eq!(follower.take(&world.beat(2_000), 2_010).unwrap(), Progress::Current);
}

/// C133
#[test]
fn another_authoritys_item_under_the_same_feed_key_is_refused() {
    let world = World::new();
    let mut follower = world.connected(0);
    let mut item = world.item(1_000, FeedHead::START, Content::Heartbeat { nonce: None });
    item.issuer = Digest::of(b"another");
    assert_eq!(code(follower.take(&item.sign(&world.signer).unwrap(), 1_010)), "feed.issuer");
    let mut line = world.beat(1_000);
    line.replace_range(line.len() - 5..line.len() - 4, "_");
    assert_eq!(code(follower.take(&line, 1_010)), "feed.item");
    let plain = world.authority.list(By::Issuing, |_| {});
    assert_eq!(Follower::new(&issuing(&world.authority), &plain).unwrap_err().code(), "feed.list");
}

/// What happens at the authority, and what reaches the follower.
#[derive(Clone, Debug)]
enum Happens {
    Change(Vec<(u8, Standing)>),
    Beat,
}

#[derive(Clone, Debug)]
enum Arrives {
    /// One of the items that were signed, whichever.
    Item(prop::sample::Index),
    /// A connection: the way there and back.
    Connection(i64, i64),
    /// A list that knows the feed up to one of its changes.
    List(prop::sample::Index),
}

fn happens() -> impl Strategy<Value = Happens> {
    let standing = prop_oneof![Just(Standing::Good), Just(Standing::Held), Just(Standing::Revoked)];
    prop_oneof![
        proptest::collection::vec((1_u8..5, standing), 1..4).prop_map(Happens::Change),
        Just(Happens::Beat),
    ]
}

fn arrives() -> impl Strategy<Value = Arrives> {
    prop_oneof![
        6 => any::<prop::sample::Index>().prop_map(Arrives::Item),
        2 => (0_i64..3_000, 0_i64..3_000).prop_map(|(there, back)| Arrives::Connection(there, back)),
        1 => any::<prop::sample::Index>().prop_map(Arrives::List),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// C133: whatever is lost, doubled, exchanged or held back.
    #[test]
    fn no_order_of_items_makes_anybody_better_or_fresher_than_the_authority_said(
        history in proptest::collection::vec((happens(), 1_i64..4_000), 1..12),
        arriving in proptest::collection::vec((arrives(), 0_i64..3_000), 1..40),
        ahead in -3_600_000_i64..3_600_000,
    ) {
        let mut world = World::new();
        // What the authority signed: when, by the clock of the follower, which epoch that was, and how everybody stood.
        let (mut time, mut signed, mut heads) = (0, Vec::new(), vec![(i64::MIN, FeedHead::START)]);
        let mut stood: Vec<HashMap<u8, Standing>> = vec![HashMap::new()];
        for (what, after) in &history {
            time += after;
            signed.push((time, match what {
                Happens::Beat => world.beat(time + ahead),
                Happens::Change(named) => {
                    let mut now = stood.last().unwrap().clone();
                    for (who, standing) in named.iter().copied().collect::<std::collections::BTreeMap<_, _>>() {
                        let old = now.entry(who).or_insert(Standing::Good);
                        *old = if *old == Standing::Revoked { Standing::Revoked } else { standing };
                    }
                    stood.push(now);
                    let line = world.change(time + ahead, named);
                    heads.push((time, world.head));
                    line
                }
            }));
        }
        let mut follower = world.follower();
        let (mut clock, mut number, mut epoch, mut nonce) = (0_i64, 1_u8, 0, 0_u8);
        let mut worst: HashMap<u8, Standing> = HashMap::new();
        for (what, pause) in &arriving {
            clock += pause;
            match what {
                Arrives::Item(index) => {
                    let (at, line) = index.get(&signed);
                    // Nothing arrives before it was signed.
                    clock = clock.max(*at);
                    let _ = follower.take(line, clock);
                }
                Arrives::Connection(there, back) => {
                    nonce += 1;
                    follower.begin([nonce; 16], clock);
                    clock += there;
                    let head = heads.iter().rev().find(|(since, _)| *since <= clock).unwrap().1;
                    let first = world.sign(clock + ahead, head, Content::Heartbeat { nonce: Some([nonce; 16]) });
                    clock += back;
                    let _ = follower.take(&first, clock);
                }
                Arrives::List(index) => {
                    let (since, head) = *index.get(&heads);
                    clock = clock.max(since);
                    number += 1;
                    let gone: Vec<u8> = {
                        let then = &stood[usize::try_from(head.epoch()).unwrap()];
                        then.iter().filter(|(_, standing)| **standing == Standing::Revoked).map(|(who, _)| *who).collect()
                    };
                    let listed = world.list(number, head, &gone);
                    // A list says who is held, too; here nobody is on a list, so only what came before it counts.
                    let held = stood[usize::try_from(head.epoch()).unwrap()].values().any(|s| *s == Standing::Held);
                    if !held {
                        let _ = follower.rebase(&listed);
                    }
                }
            }
            let head = follower.certain_head();
            prop_assert!(head.epoch() >= epoch, "never back");
            epoch = head.epoch();
            let then = &stood[usize::try_from(epoch).unwrap()];
            for who in 1..5 {
                let found = follower.standing(&serial(who));
                let said = then.get(&who).copied().unwrap_or(Standing::Good);
                prop_assert!(found >= said, "{who} is {found}, and the feed said {said}");
                let before = worst.entry(who).or_insert(Standing::Good);
                prop_assert!(*before != Standing::Revoked || found == Standing::Revoked, "good after revoked");
                *before = found;
            }
            if let Some(until) = follower.fresh_until() {
                // At the moment from which it counts, the authority knew nothing that is not known here.
                let proven = until - 60_000;
                let true_epoch = heads.iter().rev().find(|(since, _)| *since <= proven).unwrap().1.epoch();
                prop_assert!(true_epoch <= epoch, "epoch {true_epoch} at {proven}, here {epoch}");
                prop_assert!(proven <= clock);
            }
        }
    }
}

#[test]
fn a_mass_revocation_in_several_items_is_followed() {
    let mut world = World::new();
    let mut follower = world.connected(0);
    for part in 0..5_u8 {
        let entry = |n: u16| Entry {
            serial: SerialNumber::from_der_content(&[&[0x7f, part], n.to_be_bytes().as_slice()].concat())
                .unwrap(),
            standing: Standing::Revoked,
            at: UnixTime::from_seconds(1_700_000_000),
            reason: Some(4),
        };
        let line = world.sign(i64::from(part), world.head, Content::Change((0..2_000).map(entry).collect()));
        follower.take(&line, i64::from(part)).unwrap();
        world.head = follower.head();
    }
    let named = |part: u8, n: u16| {
        SerialNumber::from_der_content(&[&[0x7f, part], n.to_be_bytes().as_slice()].concat())
    };
    assert!(
        (0..5)
            .all(|part| (0..2_000).all(|n| follower.standing(&named(part, n).unwrap()) == Standing::Revoked))
    );
    assert_eq!(follower.standing(&named(5, 0).unwrap()), Standing::Good);
}
