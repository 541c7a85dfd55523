//! A guard whose list asks for a feed: what it decides, for how long, and what it remembers.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use kakunin_core::certificate::TrustAnchors;
use kakunin_core::digest::Digest;
use kakunin_core::feed::{Content, Entry, Follower};
use kakunin_core::guard::{Clock, FeedSource, Guard, GuardOptions, MemorySource, StateChoice};
use kakunin_core::home::Papers;
use kakunin_core::id::SerialNumber;
use kakunin_core::journal::StreamReader;
use kakunin_core::receipt::Event;
use kakunin_core::revocation::{FeedHead, ListPolicy, Standing};
use kakunin_core::verify::{Reason, Verdict, journal as verify};

use crate::authority::{Authority, By, SERIAL, now, seeded_key};
use crate::feed::{certificate, issuing};
use crate::following::{World, entries};
use crate::guard::{House, admit, ask, pay, pem, replace};

/// An agent's directory beside an authority with a feed; the clock of the guard stands at 0 when the world's does.
struct Place {
    house: House,
    world: World,
    feed: Arc<FeedSource>,
}

impl Place {
    fn new() -> Self {
        let place = Self { house: House::new(), world: World::new(), feed: Arc::new(FeedSource::new()) };
        place.list(2, FeedHead::START);
        place
    }

    /// Publishes a list that knows the feed up to `head`.
    fn list(&self, number: u8, head: FeedHead) {
        self.list_of(self.world.list(number, head, &[]));
    }

    fn list_of(&self, list: Vec<u8>) {
        let lists = [list, self.world.authority.list(By::Root, |_| {})];
        let text = lists.map(|list| pem("X509 CRL", &list)).concat();
        replace(&self.house.temp.path().join("lists.pem"), &text);
    }

    fn guard(&self) -> Guard {
        self.house.guard_with(GuardOptions { feed: Some(Arc::clone(&self.feed)), ..self.house.options() })
    }

    /// A follower that stands on the list of this number, connected now.
    fn follower(&self, number: u8, head: FeedHead) -> Follower {
        let list = self.world.list(number, head, &[]);
        let mut follower = Follower::new(&issuing(&self.world.authority), &list).unwrap();
        let mono = self.house.clock.boot_millis();
        follower.certify(&self.world.certificate, now(), mono).unwrap();
        follower.begin([1; 16], mono);
        let first = self.world.sign(mono, head, Content::Heartbeat { nonce: Some([1; 16]) });
        follower.take(&first, mono).unwrap();
        follower
    }

    /// The feed says how the agent stands.
    fn change(&mut self, follower: &mut Follower, standing: Standing) {
        let ours = |entry: &mut Entry| entry.serial = SerialNumber::from_der_content(&SERIAL).unwrap();
        let mut named = entries(&[(1, standing)]);
        named.iter_mut().for_each(ours);
        self.say(follower, named);
    }

    fn say(&mut self, follower: &mut Follower, named: Vec<Entry>) {
        let mono = self.house.clock.boot_millis();
        let line = self.world.sign(mono, follower.head(), Content::Change(named));
        follower.take(&line, mono).unwrap();
        self.world.head = follower.head();
        self.feed.publish(follower.clone());
    }

    fn asked(&self, guard: &Guard) -> &'static str {
        guard.refresh();
        ask(guard, &pay("1.00"))
    }
}

/// C136
#[test]
fn a_guard_whose_list_asks_for_a_feed_decides_by_it() {
    let mut place = Place::new();
    let without = place.house.guard();
    assert_eq!(place.asked(&without), "revocation.stale", "the file is fresh, and that is not enough");
    drop(without);
    let guard = place.guard();
    assert_eq!(place.asked(&guard), "revocation.stale", "nothing was heard yet");
    let mut follower = place.follower(2, FeedHead::START);
    place.feed.publish(follower.clone());
    assert_eq!(place.asked(&guard), "allow");
    for (standing, expected) in [
        (Standing::Held, "certificate.held"),
        (Standing::Good, "allow"),
        (Standing::Revoked, "certificate.revoked"),
        (Standing::Good, "certificate.revoked"),
    ] {
        place.house.clock.advance(1_000);
        place.change(&mut follower, standing);
        assert_eq!(place.asked(&guard), expected, "{standing}");
    }
    guard.close();
    // Every receipt that allowed names how far the feed was, and whoever verifies finds the changes.
    let journal = place.house.state().join("journal");
    let receipts = StreamReader::streams(&journal).unwrap().into_iter().flatten();
    let mut named = Vec::new();
    for receipt in receipts {
        if let Event::Decision { list: Some(list), answer, .. } =
            &receipt.unwrap().receipt().statement().event
        {
            let allowed = *answer == kakunin_core::receipt::Answer::Allow;
            named.push((allowed, list.feed.map(|head| head.epoch())));
        }
    }
    let allowed: Vec<_> = named.iter().filter(|(allowed, _)| *allowed).map(|(_, epoch)| *epoch).collect();
    assert_eq!(allowed, [Some(0), Some(2)]);
    assert!(named.contains(&(false, Some(4))), "{named:?}");
    let anchors = TrustAnchors::new([place.world.authority.root.as_slice()]).unwrap();
    let report = verify(&journal, &anchors).unwrap();
    let Verdict::AuthenticNotComplete(reasons) = report.verdict() else { panic!("{:?}", report.verdict()) };
    assert!(
        reasons.iter().all(|reason| ["tail.not_witnessed", "time.unproven"].contains(&Reason::code(reason)))
    );
}

/// Which of the three is too old decides what to do about it: a newer list helps none but the last.
#[test]
fn a_stale_denial_names_the_fix_that_helps() {
    let place = Place::new();
    let fix = |guard: &Guard| {
        guard.refresh();
        let denied = guard.admit(&pay("1.00")).err().unwrap();
        let dry = guard.check(&pay("1.00"), None).err().unwrap();
        assert_eq!((denied.code(), denied.fix()), ("revocation.stale", dry.fix()));
        assert!(denied.to_string().contains(denied.fix()), "{denied}");
        denied.fix()
    };
    let without = place.house.guard();
    assert!(fix(&without).contains("Agent.connect"), "no file helps");
    drop(without);
    let guard = place.guard();
    assert!(fix(&guard).contains("agent.status()"), "nothing was heard yet");
    let mut follower = place.follower(2, FeedHead::START);
    place.feed.publish(follower.clone());
    assert_eq!(place.asked(&guard), "allow");
    place.house.clock.advance(60_000);
    assert!(fix(&guard).contains("agent.status()"), "heard too long ago");
    // The feed is heard, and the root's list has ended.
    let issuing = place.world.list(3, FeedHead::START, &[]);
    let root = place.world.authority.list(By::Root, |list| {
        list.crl_number = rcgen::SerialNumber::from(vec![2]);
        list.next_update = rcgen::date_time_ymd(2026, 11, 23) + Duration::from_secs(43_200 + 90);
    });
    let text = [issuing, root].map(|list| pem("X509 CRL", &list)).concat();
    replace(&place.house.temp.path().join("lists.pem"), &text);
    for (millis, heard) in [(20_000, "allow"), (50_000, "revocation.stale")] {
        place.house.clock.advance(millis);
        let mono = place.house.clock.boot_millis();
        follower.begin([2; 16], mono);
        let word = place.world.sign(mono, FeedHead::START, Content::Heartbeat { nonce: Some([2; 16]) });
        follower.take(&word, mono).unwrap();
        place.feed.publish(follower.clone());
        assert_eq!(place.asked(&guard), heard);
    }
    assert!(fix(&guard).contains("kakunin crl"), "no feed helps");
}

/// C136: age is the signed time's, and no file takes the feed's place.
#[test]
fn the_word_of_a_feed_ends_with_its_age_by_every_clock() {
    let place = Place::new();
    let guard = place.guard();
    let mut follower = place.follower(2, FeedHead::START);
    place.feed.publish(follower.clone());
    assert_eq!(place.asked(&guard), "allow");
    place.house.clock.advance(59_999);
    assert_eq!(place.asked(&guard), "allow");
    place.house.clock.advance(1);
    assert_eq!(place.asked(&guard), "revocation.stale");
    place.list(3, FeedHead::START);
    assert_eq!(place.asked(&guard), "revocation.stale", "a newer file is no newer word");
    // Signed 5 s after the first, here after a minute.
    follower.take(&place.world.beat(5_000), 60_000).unwrap();
    place.feed.publish(follower.clone());
    assert_eq!(place.asked(&guard), "allow");
    place.house.clock.advance(5_000);
    assert_eq!(place.asked(&guard), "revocation.stale");
    follower.take(&place.world.beat(65_000), 65_000).unwrap();
    place.feed.publish(follower.clone());
    assert_eq!(place.asked(&guard), "allow");
    // The machine sleeps: the first decision after it is too late, without another look.
    place.house.clock.sleep(61_000);
    assert_eq!(ask(&guard, &pay("1.00")), "revocation.stale");
    follower.shorten(10);
    follower.take(&place.world.beat(126_000), 126_000).unwrap();
    place.feed.publish(follower.clone());
    assert_eq!(place.asked(&guard), "allow");
    place.house.clock.advance(10_000);
    assert_eq!(place.asked(&guard), "revocation.stale", "settings shorten");
}

/// C202: the client may not have heard yet of the list that the guard decides by.
#[test]
fn a_word_counts_no_longer_than_the_list_says_that_is_decided_by() {
    for (seconds, counts) in [(10, 10_000), (3_600, 60_000)] {
        let place = Place::new();
        let guard = place.guard();
        place.feed.publish(place.follower(2, FeedHead::START));
        assert_eq!(place.asked(&guard), "allow");
        let policy = ListPolicy::new(seconds, FeedHead::START).unwrap();
        place.list_of(place.world.asking(3, policy, Vec::new()));
        assert_eq!(place.asked(&guard), "allow", "{seconds}");
        place.house.clock.advance(counts - 1);
        assert_eq!(place.asked(&guard), "allow", "{seconds}");
        place.house.clock.advance(1);
        assert_eq!(place.asked(&guard), "revocation.stale", "{seconds}");
    }
}

/// C136: a wall clock that is set moves nothing: the boot clock says how much is left.
#[test]
fn a_wall_clock_that_is_set_makes_no_word_last_longer() {
    let place = Place::new();
    let guard = place.guard();
    place.feed.publish(place.follower(2, FeedHead::START));
    place.house.clock.set_wall(place.house.clock.wall().plus_millis(3_600_000));
    assert_eq!(place.asked(&guard), "allow", "set ahead");
    place.house.clock.set_wall(place.house.clock.wall().plus_millis(-3_600_000 - 100_000));
    assert_eq!(place.asked(&guard), "allow", "set back a little");
    place.house.clock.advance(60_000);
    assert_eq!(place.asked(&guard), "revocation.stale");
}

/// C136: what was known stays known over a restart.
#[test]
fn a_feed_is_not_set_back_or_forked_at_a_restart() {
    let mut place = Place::new();
    let guard = place.guard();
    let mut follower = place.follower(2, FeedHead::START);
    place.say(&mut follower, entries(&[(9, Standing::Held)]));
    let one = follower.clone();
    place.say(&mut follower, entries(&[(8, Standing::Held)]));
    assert_eq!(place.asked(&guard), "allow");
    place.feed.publish(one.clone());
    assert_eq!(place.asked(&guard), "revocation.stale", "set back while it runs");
    assert!(guard.take_notices().iter().any(|notice| notice.contains("the feed is refused")));
    drop(guard);
    let guard = place.guard();
    assert_eq!(place.asked(&guard), "revocation.stale", "set back at a restart");
    let mut fork = one;
    place.say(&mut fork, entries(&[(7, Standing::Held)]));
    assert_eq!(place.asked(&guard), "revocation.stale", "another change of one number");
    place.feed.publish(follower.clone());
    assert_eq!(place.asked(&guard), "allow");
    // A list that knows as much brings whoever follows from there up to date.
    drop(guard);
    place.list(3, follower.head());
    place.feed.publish(place.follower(3, follower.head()));
    assert_eq!(place.asked(&place.guard()), "allow");
    // What is kept is damaged: nobody knows what it was.
    let lists = place.house.state().join("lists");
    let kept = fs::read_dir(&lists).unwrap().map(|entry| entry.unwrap().path());
    let kept = kept.into_iter().find(|path| path.extension().is_some_and(|ending| ending == "feed")).unwrap();
    let text = fs::read_to_string(&kept).unwrap();
    for wrong in [text.replace('2', "3"), text.replace("v1", "v2"), format!("{text}x\n"), String::new()] {
        fs::write(&kept, wrong).unwrap();
        let found = place.asked(&place.guard());
        assert!(["revocation.invalid", "revocation.stale"].contains(&found), "{found}");
    }
}

/// C232: whoever stole the feed key showed this guard changes of its own; the authority took the key out of use since.
#[test]
fn what_a_stolen_feed_key_said_does_not_stand_in_the_way_after_a_restart() {
    let mut place = Place::new();
    let (before, stolen) = (place.world.head, SerialNumber::from_der_content(&[0x4f; 16]).unwrap());
    let guard = place.guard();
    let mut follower = place.follower(2, before);
    for serial in [7, 8, 9] {
        place.say(&mut follower, entries(&[(serial, Standing::Held)]));
    }
    assert_eq!(follower.signed_by(3), Some(stolen));
    assert_eq!(place.asked(&guard), "allow");
    drop(guard);
    // The feed as it is: the key is revoked in the first change, and another one signs.
    let (next, mut named) = (crate::feed::feed_key(), entries(&[(1, Standing::Revoked)]));
    named[0].serial = stolen;
    place.world.signer = crate::following::signer(&next);
    place.world.certificate = certificate(&place.world.authority, &next, |params| {
        params.serial_number = Some(vec![0x50; 16].into());
    });
    place.world.head = before;
    let mono = place.house.clock.boot_millis();
    let line = place.world.sign(mono, before, Content::Change(named));
    let item = kakunin_core::feed::UnverifiedItem::parse(&line).unwrap();
    let head = item.verify(place.world.signer.public()).unwrap().head();
    // Whoever does not hear of it from a list keeps to what was known.
    place.feed = Arc::new(FeedSource::new());
    place.list(3, head);
    place.feed.publish(place.follower(3, head));
    let guard = place.guard();
    assert_eq!(place.asked(&guard), "revocation.stale");
    let told = guard.take_notices().concat();
    assert!(told.contains("epoch 1 after epoch 3") && told.contains(".feed"), "{told}");
    drop(guard);
    let named = || vec![crate::authority::entry(&[0x4f; 16], None)];
    place.list_of(place.world.naming(4, head, named()));
    let mut follower =
        Follower::new(&issuing(&place.world.authority), &place.world.naming(4, head, named())).unwrap();
    follower.certify(&place.world.certificate, now(), mono).unwrap();
    follower.begin([1; 16], mono);
    let first = place.world.sign(mono, head, Content::Heartbeat { nonce: Some([1; 16]) });
    follower.take(&first, mono).unwrap();
    place.feed.publish(follower.clone());
    let guard = place.guard();
    assert_eq!(place.asked(&guard), "allow");
    // Changes after it are kept for verifiers, though there were others of their numbers.
    place.say(&mut follower, entries(&[(6, Standing::Held)]));
    assert_eq!(place.asked(&guard), "allow");
    guard.close();
    let journal = place.house.state().join("journal");
    let anchors = TrustAnchors::new([place.world.authority.root.as_slice()]).unwrap();
    let report = verify(&journal, &anchors).unwrap();
    assert!(matches!(report.verdict(), Verdict::AuthenticNotComplete(_)), "{:?}", report.verdict());
    drop(guard);
    // And that is what a restart remembers.
    assert_eq!(place.asked(&place.guard()), "allow");
}

/// C136: a revocation that only the feed had said, and what comes later says nothing of it.
#[test]
fn a_revocation_that_was_heard_is_remembered_without_the_feed() {
    let mut place = Place::new();
    let guard = place.guard();
    let mut follower = place.follower(2, FeedHead::START);
    place.change(&mut follower, Standing::Revoked);
    assert_eq!(place.asked(&guard), "certificate.revoked");
    drop(guard);
    place.feed = Arc::new(FeedSource::new());
    assert_eq!(place.asked(&place.guard()), "certificate.revoked");
    // Not even a list that ends the feed brings it back.
    place.house.publish(9, &[]);
    assert_eq!(place.asked(&place.guard()), "certificate.revoked");
    place.list(10, follower.head());
    place.feed.publish(place.follower(10, follower.head()));
    assert_eq!(place.asked(&place.guard()), "certificate.revoked");
}

/// C180: WIRE 3, a guard with a feed never falls back to the freshness of a file.
#[test]
fn a_guard_with_a_feed_takes_no_list_that_asks_for_none() {
    let mut place = Place::new();
    let guard = place.guard();
    place.feed.publish(place.follower(2, FeedHead::START));
    assert_eq!(place.asked(&guard), "allow");
    // Genuine, newer, and fresh for a week: whoever holds the connection back needs no more.
    place.house.publish(3, &[]);
    assert_eq!(place.asked(&guard), "revocation.stale");
    let denied = guard.admit(&pay("1.00")).err().unwrap();
    assert!(denied.fix().contains("without_feed"), "{denied}");
    drop(guard);
    assert_eq!(place.asked(&place.guard()), "revocation.stale", "at the start, too");
    assert_eq!(
        place.asked(&place.house.guard()),
        "allow",
        "where no feed was given, the file is all there is"
    );
    place.feed = Arc::new(FeedSource::or_lists());
    assert_eq!(place.asked(&place.guard()), "allow", "code may say so");
    // What asks for a feed gets one, whatever code says.
    place.list(4, FeedHead::START);
    assert_eq!(place.asked(&place.guard()), "revocation.stale");
}

/// C136: another authority's feed, and one that does not begin at the guard's list.
#[test]
fn a_feed_counts_only_for_the_list_it_leads_back_to() {
    let mut place = Place::new();
    let guard = place.guard();
    let neighbour = Authority::neighbour();
    let mut other = World::new();
    other.certificate = certificate(&neighbour, &crate::feed::feed_key(), |_| {});
    other.authority = neighbour;
    let foreign = Follower::new(&issuing(&other.authority), &other.list(2, FeedHead::START, &[])).unwrap();
    place.feed.publish(foreign);
    assert_eq!(place.asked(&guard), "revocation.stale");
    // Its base is a list that the guard has not: whoever follows publishes lists first.
    let mut follower = place.follower(2, FeedHead::START);
    place.say(&mut follower, entries(&[(9, Standing::Held)]));
    let head = follower.head();
    place.feed.publish(place.follower(3, head));
    assert_eq!(place.asked(&guard), "revocation.stale");
    place.list(3, head);
    assert_eq!(place.asked(&guard), "allow");
    // A list that is ahead of the feed: what it includes counts, and the word is as old as it is.
    let ahead = FeedHead::new(7, Digest::of(b"seventh")).unwrap();
    place.list(4, ahead);
    assert_eq!(place.asked(&guard), "allow");
    // And one that calls the change of an epoch that is known another.
    place.list(5, FeedHead::new(8, Digest::of(b"eighth")).unwrap());
    place.feed.publish(place.follower(6, FeedHead::new(8, Digest::of(b"another")).unwrap()));
    assert_eq!(place.asked(&guard), "revocation.stale");
}

/// C136: lists come often, and whoever publishes them is not waited for: no decision falls between a list and its follower.
#[test]
fn a_list_and_the_follower_on_it_are_never_seen_in_the_wrong_order() {
    let place = Place::new();
    let guard = place.guard();
    let mut follower = place.follower(2, FeedHead::START);
    place.feed.publish(follower.clone());
    let mut next = Vec::new();
    for number in 3..60 {
        let named = entries(&[(number, Standing::Held)]);
        let line = place.world.sign(0, follower.head(), Content::Change(named));
        follower.take(&line, 0).unwrap();
        let list = place.world.list(number, follower.head(), &[]);
        follower.rebase(&list).unwrap();
        let lists = [list, place.world.authority.list(By::Root, |_| {})];
        next.push((lists.map(|list| pem("X509 CRL", &list)).concat(), follower.clone()));
    }
    assert_eq!(place.asked(&guard), "allow");
    let (path, feed) = (place.house.temp.path().join("lists.pem"), Arc::clone(&place.feed));
    let writer = std::thread::spawn(move || {
        for (lists, follower) in next {
            replace(&path, &lists);
            feed.publish(follower);
        }
    });
    while !writer.is_finished() {
        assert_eq!(place.asked(&guard), "allow");
    }
    writer.join().unwrap();
    assert_eq!(place.asked(&guard), "allow");
}

/// C136: with state in memory, and for papers that code hands over.
#[test]
fn an_agent_in_memory_follows_the_feed_too() {
    let mut place = Place::new();
    let read = |name: &str| fs::read(place.house.dir().join(name)).unwrap();
    let der = |name: &str| {
        use rustls_pki_types::pem::PemObject;
        rustls_pki_types::CertificateDer::from_pem_slice(&read(name)).unwrap().to_vec()
    };
    let papers = Papers {
        agent: der("agent.pem"),
        chain: vec![der("chain.pem")],
        roots: vec![der("ca.pem")],
        issuer: None,
        names: kakunin_core::scope::NameLists::default(),
    };
    let lists = fs::read(place.house.temp.path().join("lists.pem")).unwrap();
    let key = seeded_key(3).serialize_der().into();
    let options = GuardOptions {
        feed: Some(Arc::clone(&place.feed)),
        state: StateChoice::Memory,
        ..place.house.options()
    };
    let guard = Guard::in_memory(Arc::new(MemorySource::new(papers, lists, key)), options).unwrap();
    assert_eq!(place.asked(&guard), "revocation.stale");
    let mut follower = place.follower(2, FeedHead::START);
    place.feed.publish(follower.clone());
    assert_eq!(place.asked(&guard), "allow");
    place.change(&mut follower, Standing::Revoked);
    assert_eq!(place.asked(&guard), "certificate.revoked");
    place.feed.publish(place.follower(2, FeedHead::START));
    assert_eq!(place.asked(&guard), "certificate.revoked", "set back");
}

/// Nobody waits for the next look: without the bell each round takes a quarter of a second, however fast the machine is.
#[test]
fn what_is_handed_over_is_seen_at_once() {
    let mut place = Place::new();
    let mut follower = place.follower(2, FeedHead::START);
    place.feed.publish(follower.clone());
    let guard = place.guard();
    assert_eq!(place.asked(&guard), "allow");
    let mut fastest = Duration::MAX;
    for round in 0..100 {
        let (standing, answer) = match round % 2 {
            0 => (Standing::Held, "certificate.held"),
            _ => (Standing::Good, "allow"),
        };
        place.change(&mut follower, standing);
        let told = std::time::Instant::now();
        while decided(&guard) != answer {
            assert!(told.elapsed() < Duration::from_secs(60), "{round}: {answer}");
            std::thread::sleep(Duration::from_millis(1));
        }
        // Slow rounds say something about the machine; one that is fast says that somebody rang.
        fastest = fastest.min(told.elapsed());
        if fastest < Duration::from_millis(50) {
            return;
        }
    }
    assert!(fastest < Duration::from_millis(50), "{fastest:?}");
}

/// What is answered, also if the standing changes between decision and body.
fn decided(guard: &Guard) -> &'static str {
    match admit(guard, &pay("1.00")).and_then(kakunin_core::guard::Pass::begin) {
        Ok(begun) => {
            begun.returned();
            "allow"
        }
        Err(denied) => denied.code(),
    }
}
