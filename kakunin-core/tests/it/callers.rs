//! Somebody else's agent at a guard: judged by what the guard accepted for its own, and let in by its own leash.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kakunin_core::certificate::{AgentCertificate, AgentPath, TrustAnchors};
use kakunin_core::chain::CallContext;
use kakunin_core::feed::{Content, Follower};
use kakunin_core::guard::{
    Clock, FeedSource, Guard, GuardOptions, JudgeError, Judged, Pass, ProofOfPossession,
};
use kakunin_core::id::SerialNumber;
use kakunin_core::receipt::Mode;
use kakunin_core::request::ActionRequest;
use kakunin_core::revocation::{FeedHead, Standing};
use kakunin_core::scope::NameLists;
use kakunin_core::snapshot::Snapshot;
use kakunin_core::verify;
use rcgen::{RevocationReason, date_time_ymd};

use crate::authority::{Authority, By, SERIAL, entry, now, seeded_key};
use crate::feed::{certificate, feed_key, issuing};
use crate::following::{World, entries, signer};
use crate::guard::{House, ask, pay, pem, replace};

/// What the caller may do: other things than the guard's own agent.
const CALLER_SCOPE: &str =
    "actions = [\"orders:create\"]\n[[rate]]\nfor = [\"orders:create\"]\nmax = 2\nseconds = 60\n";
const CALLER: [u8; 16] = [0x5c; 16];

fn caller_of(authority: &Authority) -> AgentPath {
    let der = authority.agent_of_key(&House::scope(CALLER_SCOPE).to_der(), &seeded_key(8), |params| {
        params.serial_number = Some(CALLER.to_vec().into());
    });
    let anchors = TrustAnchors::new([authority.root.as_slice()]).unwrap();
    let agent = AgentCertificate::decode(&der).unwrap();
    agent.verify_path([authority.issuing.as_slice()], &anchors, now()).unwrap()
}

fn judge(guard: &Guard, authority: &Authority) -> Judged {
    guard.judge(&caller_of(authority), &NameLists::default()).unwrap()
}

fn order() -> ActionRequest<'static> {
    ActionRequest::new("orders:create")
}

/// What becomes of an order: it ran, or the code, with a star if the reason is the guard's own agent.
fn asked(guard: &Guard, caller: &Judged) -> String {
    match guard.admit_caller(caller, ProofOfPossession::Signature, &order(), &CallContext::default()) {
        Ok(pass) => {
            pass.begin().unwrap().not_executed();
            "ran".to_owned()
        }
        Err(denied) => format!("{}{}", denied.code(), if denied.is_of_guard() { "*" } else { "" }),
    }
}

/// Changes something that the guard has to take up, and waits for that: on a busy machine a look in progress may take longer than
/// another one waits for its turn.
fn taken_up(guard: &Guard, change: impl FnOnce()) {
    let (before, deadline) = (guard.snapshot().ok(), Instant::now() + Duration::from_secs(60));
    change();
    let same = |view: Option<Arc<Snapshot>>| match (&before, &view) {
        (Some(before), Some(view)) => Arc::ptr_eq(before, view),
        (before, view) => before.is_none() && view.is_none(),
    };
    while same(guard.snapshot().ok()) {
        assert!(Instant::now() < deadline, "it was never taken up");
    }
}

/// Publishes list `number`, which names these.
fn publish(house: &House, number: u8, named: &[(&[u8], RevocationReason)]) {
    let list = house.authority.list(By::Issuing, |params| {
        params.crl_number = rcgen::SerialNumber::from(vec![number]);
        params.revoked_certs = named.iter().map(|(serial, reason)| entry(serial, Some(*reason))).collect();
    });
    let root = house.authority.list(By::Root, |_| {});
    replace(&house.temp.path().join("lists.pem"), &[list, root].map(|list| pem("X509 CRL", &list)).concat());
}

#[test]
fn a_caller_is_let_in_by_its_own_leash_and_by_the_lists_of_the_guard() {
    let house = House::new();
    let guard = house.guard();
    let caller = judge(&guard, &house.authority);
    assert_eq!((caller.standing(), asked(&guard, &caller).as_str()), (Standing::Good, "ran"));
    assert!(caller.may_ever("orders:create") && !caller.may_ever("payments:send"));
    let denied = guard
        .admit_caller(&caller, ProofOfPossession::None, &pay("1.00"), &CallContext::default())
        .unwrap_err();
    assert_eq!((denied.code(), denied.is_of_guard()), ("scope.action", false), "the guard's own agent may");
    assert!(denied.receipt().is_some());
    assert_eq!(ask(&guard, &order()), "scope.action", "and the caller's scope is nothing to it");
    for (number, reason, expected) in [
        (2, Some(RevocationReason::CertificateHold), "certificate.held"),
        (3, None, "ran"),
        (4, Some(RevocationReason::KeyCompromise), "certificate.revoked"),
    ] {
        let before = guard.admit_caller(&caller, ProofOfPossession::Tls, &order(), &CallContext::default());
        let named: Vec<(&[u8], _)> = reason.into_iter().map(|reason| (CALLER.as_slice(), reason)).collect();
        taken_up(&guard, || publish(&house, number, &named));
        assert_eq!(asked(&guard, &caller), expected, "judged before, asked now");
        assert_eq!(asked(&guard, &judge(&guard, &house.authority)), expected);
        if let (Ok(pass), true) = (before, expected != "ran") {
            assert_eq!(pass.begin().unwrap_err().code(), expected, "admitted before, begun now");
        }
        assert_eq!(ask(&guard, &pay("1.00")), "allow", "the guard's own agent is not concerned");
    }
    // The guard's own agent is: nobody is let in, and that says nothing about the caller.
    let house = House::new();
    let guard = house.guard();
    let caller = judge(&guard, &house.authority);
    let pass =
        guard.admit_caller(&caller, ProofOfPossession::Tls, &order(), &CallContext::default()).unwrap();
    taken_up(&guard, || publish(&house, 2, &[(&SERIAL, RevocationReason::CertificateHold)]));
    assert_eq!(asked(&guard, &caller), "certificate.held*");
    let denied = pass.begin().unwrap_err();
    assert_eq!((denied.code(), denied.is_of_guard()), ("certificate.held", true));
    let unjudged = guard.judge(&caller_of(&house.authority), &NameLists::default()).unwrap_err();
    assert!(matches!(unjudged, JudgeError::Guard(_)), "{unjudged}");
}

/// One root is no reason: the lists of this guard say nothing about another authority's agents.
#[test]
fn a_caller_of_another_issuing_authority_is_judged_by_nobody_here() {
    let (house, neighbour) = (House::new(), Authority::neighbour());
    let guard = house.guard();
    let refused = guard.judge(&caller_of(&neighbour), &NameLists::default()).unwrap_err();
    let JudgeError::Caller(refusal) = refused else { panic!("{refused}") };
    assert_eq!(refusal.reason().code(), "certificate.untrusted");
    // One who was judged where it belongs is judged again here.
    let (there, theirs) = (House::new(), judge(&house.guard(), &house.authority));
    drop(there);
    let elsewhere = House::new();
    replace(
        &elsewhere.temp.path().join("lists.pem"),
        &[By::Issuing, By::Root].map(|by| pem("X509 CRL", &neighbour.list(by, |_| {}))).concat(),
    );
    let (_, other) = elsewhere.memory_of(House::papers(&neighbour));
    assert_eq!(asked(&other, &theirs), "certificate.untrusted");
}

#[test]
fn rates_of_callers_are_counted_apart_from_those_of_the_guards_agent() {
    let house = House::new();
    let guard = house.guard();
    let caller = judge(&guard, &house.authority);
    let run = |caller: &Judged| {
        let pass = guard.admit_caller(caller, ProofOfPossession::Tls, &order(), &CallContext::default());
        pass.map(|pass| pass.begin().unwrap().returned()).map_err(|denied| denied.code())
    };
    assert_eq!(run(&caller), Ok(()));
    drop(guard.admit_caller(&caller, ProofOfPossession::Tls, &order(), &CallContext::default()).unwrap());
    assert_eq!(run(&judge(&guard, &house.authority)), Ok(()), "what did not begin is room again");
    assert_eq!(run(&caller), Err("budget.rate"));
    guard.close();
    assert_eq!(run(&caller), Err("budget.rate"), "also in the next stream");
    house.clock.advance(62_000);
    assert_eq!(run(&caller), Ok(()));
}

/// The same authority by a renewed certificate: the list of the root is asked about the one that the caller came with.
#[test]
fn a_caller_by_another_certificate_of_the_same_authority_stands_as_that_certificate_does() {
    let house = House::new();
    let guard = house.guard();
    let renewed = Authority::with(|_| {}, |params| params.serial_number = Some(vec![0x43; 16].into()));
    assert_eq!(renewed.issuing_key(), house.authority.issuing_key());
    let caller = judge(&guard, &renewed);
    assert_eq!(asked(&guard, &caller), "ran");
    let root = house.authority.list(By::Root, |params| {
        params.crl_number = rcgen::SerialNumber::from(vec![2]);
        params.revoked_certs = vec![entry(&[0x43; 16], Some(RevocationReason::CaCompromise))];
    });
    let lists = [house.authority.list(By::Issuing, |_| {}), root];
    let text = lists.map(|list| pem("X509 CRL", &list)).concat();
    taken_up(&guard, || replace(&house.temp.path().join("lists.pem"), &text));
    assert_eq!(asked(&guard, &caller), "certificate.revoked");
    assert_eq!(asked(&guard, &judge(&guard, &house.authority)), "ran", "by the certificate that stands");
    assert_eq!(ask(&guard, &pay("1.00")), "allow");
}

/// Whoever asks while a revocation is taken up is answered by the one list or the other, and never by the older one after
/// somebody was told of the newer.
#[test]
fn no_caller_is_let_in_after_its_revocation_was_taken_up() {
    let house = House::new();
    let guard = house.guard();
    let read = "actions = [\"orders:read\"]\n";
    let der = house.authority.agent_of_key(&House::scope(read).to_der(), &seeded_key(8), |params| {
        params.serial_number = Some(CALLER.to_vec().into());
    });
    let anchors = TrustAnchors::new([house.authority.root.as_slice()]).unwrap();
    let path = AgentCertificate::decode(&der).unwrap();
    let path = path.verify_path([house.authority.issuing.as_slice()], &anchors, now()).unwrap();
    let caller = guard.judge(&path, &NameLists::default()).unwrap();
    let (known, done) = (AtomicBool::new(false), AtomicBool::new(false));
    let request = ActionRequest::new("orders:read");
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    let after = known.load(Ordering::SeqCst);
                    let context = CallContext::default();
                    let answer = guard.admit_caller(&caller, ProofOfPossession::Tls, &request, &context);
                    match answer.map(Pass::begin) {
                        Ok(Ok(running)) => {
                            running.returned();
                            assert!(!after, "let in by the list of before");
                        }
                        Ok(Err(denied)) | Err(denied) => {
                            let codes = ["certificate.revoked", "journal.unsigned_backlog"];
                            assert!(codes.contains(&denied.code()), "{denied}");
                        }
                    }
                }
            });
        }
        for number in 2..20 {
            taken_up(&guard, || publish(&house, number, &[]));
        }
        taken_up(&guard, || publish(&house, 20, &[(&CALLER, RevocationReason::KeyCompromise)]));
        known.store(true, Ordering::SeqCst);
        for number in 21..30 {
            taken_up(&guard, || publish(&house, number, &[(&CALLER, RevocationReason::KeyCompromise)]));
        }
        done.store(true, Ordering::SeqCst);
    });
    guard.close();
    // And so it stands in the journal.
    let anchors = TrustAnchors::new([house.authority.root.as_slice()]).unwrap();
    let report = verify::journal(&house.dir(), &anchors).unwrap();
    assert!(matches!(report.verdict(), verify::Verdict::AuthenticNotComplete(_)), "{:?}", report.verdict());
}

/// A deployer who observes sees what would be denied; who is revoked stays out all the same.
#[test]
fn observing_waives_what_the_scope_says_and_no_standing() {
    let house = House::new();
    let guard = house.guard_with(GuardOptions { mode: Mode::Observe, ..house.options() });
    let caller = judge(&guard, &house.authority);
    let pass = guard.admit_caller(&caller, ProofOfPossession::Tls, &pay("1.00"), &CallContext::default());
    pass.unwrap().begin().unwrap().returned();
    taken_up(&guard, || publish(&house, 2, &[(&CALLER, RevocationReason::KeyCompromise)]));
    assert_eq!(asked(&guard, &caller), "certificate.revoked");
}

/// A guard with a feed, and what it says of callers.
struct Place {
    house: House,
    world: World,
    feed: Arc<FeedSource>,
    guard: Guard,
}

impl Place {
    fn new() -> Self {
        let (house, world, feed) = (House::new(), World::new(), Arc::new(FeedSource::new()));
        let lists = [world.list(2, FeedHead::START, &[]), world.authority.list(By::Root, |_| {})];
        let text = lists.map(|list| pem("X509 CRL", &list)).concat();
        replace(&house.temp.path().join("lists.pem"), &text);
        let options = GuardOptions { feed: Some(Arc::clone(&feed)), ..house.options() };
        let guard = house.guard_with(options);
        Self { house, world, feed, guard }
    }

    fn follower(&self) -> Follower {
        let list = self.world.list(2, FeedHead::START, &[]);
        let mut follower = Follower::new(&issuing(&self.world.authority), &list).unwrap();
        let mono = self.house.clock.boot_millis();
        follower.certify(&self.world.certificate, now(), mono).unwrap();
        follower.begin([1; 16], mono);
        let first = self.world.sign(mono, FeedHead::START, Content::Heartbeat { nonce: Some([1; 16]) });
        follower.take(&first, mono).unwrap();
        follower
    }

    fn publish(&self, follower: &Follower) {
        taken_up(&self.guard, || self.feed.publish(follower.clone()));
    }
}

fn about_the_caller(standing: Standing) -> Content {
    let mut named = entries(&[(1, standing)]);
    named.iter_mut().for_each(|entry| entry.serial = SerialNumber::from_der_content(&CALLER).unwrap());
    Content::Change(named)
}

#[test]
fn the_feed_of_the_guard_speaks_for_callers_too() {
    let place = Place::new();
    let unjudged = place.guard.judge(&caller_of(&place.world.authority), &NameLists::default()).unwrap_err();
    assert!(
        matches!(unjudged, JudgeError::Guard(ref refusal) if refusal.reason().code() == "revocation.stale")
    );
    let mut follower = place.follower();
    place.publish(&follower);
    let caller = judge(&place.guard, &place.world.authority);
    assert_eq!(asked(&place.guard, &caller), "ran");
    for (standing, expected) in [
        (Standing::Held, "certificate.held"),
        (Standing::Good, "ran"),
        (Standing::Revoked, "certificate.revoked"),
        (Standing::Good, "certificate.revoked"),
    ] {
        place.house.clock.advance(1_000);
        let mono = place.house.clock.boot_millis();
        let line = place.world.sign(mono, follower.head(), about_the_caller(standing));
        follower.take(&line, mono).unwrap();
        let before =
            place.guard.admit_caller(&caller, ProofOfPossession::Tls, &order(), &CallContext::default());
        place.publish(&follower);
        assert_eq!(asked(&place.guard, &caller), expected, "{standing}");
        if let (Ok(pass), true) = (before, expected != "ran") {
            assert_eq!(pass.begin().unwrap_err().code(), expected);
        }
        assert_eq!(ask(&place.guard, &pay("1.00")), "allow");
    }
    // Silence ends everybody's standing.
    place.house.clock.advance(61_000);
    assert_eq!(asked(&place.guard, &caller), "revocation.stale*");
}

/// What only a key of before vouches for moves no head and decides nothing good, and it can deny.
#[test]
fn a_revocation_that_is_not_confirmed_yet_keeps_a_caller_out() {
    let mut place = Place::new();
    let old_key = feed_key();
    let old = certificate(&Authority::new(), &old_key, |params| {
        params.not_before = date_time_ymd(2026, 11, 22);
        params.not_after = date_time_ymd(2026, 11, 23);
        params.serial_number = Some(vec![0x50].into());
    });
    let mut follower = place.follower();
    place.publish(&follower);
    let caller = judge(&place.guard, &place.world.authority);
    assert_eq!(asked(&place.guard, &caller), "ran");
    let today = std::mem::replace(&mut place.world.signer, signer(&old_key));
    let line = place.world.sign(-13 * 3_600_000, follower.head(), about_the_caller(Standing::Revoked));
    place.world.signer = today;
    follower.certify(&old, now(), 0).unwrap();
    let head = follower.certain_head();
    follower.take(&line, place.house.clock.boot_millis()).unwrap();
    assert_eq!(follower.certain_head(), head, "nothing is certain yet");
    place.publish(&follower);
    assert_eq!(asked(&place.guard, &caller), "certificate.revoked");
    assert_eq!(ask(&place.guard, &pay("1.00")), "allow");
}
