//! The time rule: who says when, and what a revocation makes of it.

use std::fs;

use kakunin_core::certificate::TrustAnchors;
use kakunin_core::digest::Digest;
use kakunin_core::id::AgentId;
use kakunin_core::journal::{Identity, Journal, StreamReader};
use kakunin_core::receipt::{ListUse, Outcome, ReceiptHash};
use kakunin_core::revocation::{ListIssuer, UnverifiedList};
use kakunin_core::verify::{Place, Reason, Report, Verdict};

use crate::bundle::{CHAIN, Owner, World, invalid, reasons, verify_journals};
use crate::house::{House, decide, entry, key, request, stamp};
use crate::journal::{SIGNATURE, frames, segment};

const DAY: i64 = 24 * 3600;

/// Keeps a list of `owner` in its journal, as a guard does that takes it up.
pub(crate) fn keep(owner: &Owner, journal: &Journal, list: &[u8]) -> ListUse {
    let verified = owner.house.verified();
    let issuer: ListIssuer<'_> = verified.path().issuing().list_issuer();
    let list = UnverifiedList::decode(list).unwrap().verify(&issuer).unwrap();
    journal.archive_list(list.der(), &list.digest()).unwrap();
    ListUse::of(&list)
}

/// An allowance of `owner` by `list`, `seconds` after noon of the 23rd, which follows from `parents`.
pub(crate) fn allow(
    owner: &Owner,
    journal: &Journal,
    list: ListUse,
    seconds: i64,
    parents: &[ReceiptHash],
) -> ReceiptHash {
    let asked = request("125.00");
    let decision = decide(&owner.house.leash(), &asked);
    let mut entry = entry(&decision, &asked, list, stamp(seconds * 1000));
    (entry.chain, entry.parents) = (Some(CHAIN), parents);
    let recorded = journal.decision(&entry).unwrap();
    let hash = recorded.hash();
    journal.outcome(recorded, Outcome::Returned, None, stamp(seconds * 1000)).unwrap();
    hash
}

/// A journal of the support agent, which is revoked from the 24th on, closed and logged.
fn revoked(seconds: i64, parents: &[ReceiptHash]) -> (World, ReceiptHash) {
    let world = World::new();
    let hash = support(&world, seconds, parents);
    (world, hash)
}

fn support(world: &World, seconds: i64, parents: &[ReceiptHash]) -> ReceiptHash {
    let journal = world.support.open();
    keep(&world.support, &journal, &world.support.house.revoked_on_24th);
    let hash = allow(&world.support, &journal, world.support.house.list_use(), seconds, parents);
    journal.close(stamp(seconds * 1000 + 1)).unwrap();
    world.support.log();
    hash
}

fn judge(world: &World, owners: &[&Owner]) -> Report {
    let policy = [world.policy()];
    verify_journals(world, owners, &world.terms().witnesses(&policy))
}

/// The lag of the one reason that is left.
fn lag(report: &Report) -> Option<i64> {
    match report.verdict() {
        Verdict::AuthenticNotComplete([Reason::TimeUnproven { lag, indices, .. }]) => {
            assert_eq!(indices, &[1]);
            *lag
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_allowance_that_a_witness_saw_before_the_revocation_is_good_for_ever() {
    let (world, _) = revoked(10, &[]);
    world.see(&world.support, 3600);
    assert_eq!(judge(&world, &[&world.support]).verdict(), Verdict::Complete);
}

#[test]
fn a_late_witness_never_makes_an_honest_receipt_invalid() {
    // The revocation is twelve hours after noon.
    for late in [DAY / 2 + 1, DAY, 40 * DAY] {
        let (world, _) = revoked(10, &[]);
        world.see(&world.support, late);
        assert_eq!(lag(&judge(&world, &[&world.support])), Some(late - DAY / 2), "{late}");
    }
    let (world, _) = revoked(10, &[]);
    world.see(&world.support, DAY / 2);
    assert_eq!(judge(&world, &[&world.support]).verdict(), Verdict::Complete, "to the second");
    // A first witness in time stays in time, however many follow.
    let (world, _) = revoked(10, &[]);
    world.see(&world.support, 3600);
    let journal = world.support.open();
    journal.close(stamp(5000)).unwrap();
    world.support.log();
    world.see(&world.support, 40 * DAY);
    let report = judge(&world, &[&world.support]);
    assert!(!reasons(&report).contains(&"time.unproven"), "{:?}", report.verdict());
}

/// Whoever has the key of a certificate that ended, renewed or not, writes what it likes; no list names it any more.
#[test]
fn what_a_witness_saw_after_the_end_of_its_certificate_is_unproven() {
    // The certificate ends on the 1st of December, seven days and a half after noon.
    let end = 7 * DAY + DAY / 2;
    for (seen, over) in
        [(end, None), (end + 120, None), (end + 121, Some(121)), (40 * DAY, Some(40 * DAY - end))]
    {
        let world = World::new();
        let journal = world.support.open();
        allow(&world.support, &journal, world.support.house.list_use(), 10, &[]);
        journal.close(stamp(20_000)).unwrap();
        world.support.log();
        // As long as no witness says more, the claim is judged.
        assert_eq!(judge(&world, &[&world.support]).verdict(), Verdict::Complete);
        world.see(&world.support, seen);
        let report = judge(&world, &[&world.support]);
        match over {
            None => assert_eq!(report.verdict(), Verdict::Complete, "{seen}"),
            Some(_) => assert_eq!(lag(&report), over, "{seen}"),
        }
    }
}

/// Nobody witnessed the allowance itself, and whoever follows from it was seen after its certificate had ended.
#[test]
fn what_was_seen_only_through_a_follower_after_the_end_is_unproven() {
    for (seen, over) in [(7 * DAY, None), (40 * DAY, Some(40 * DAY - 15 * DAY / 2))] {
        let world = World::new();
        let journal = world.support.open();
        let first = allow(&world.support, &journal, world.support.house.list_use(), 10, &[]);
        journal.close(stamp(20_000)).unwrap();
        world.support.log();
        let journal = world.bank.open();
        let asked = request("12500.00");
        let decision = decide(&world.bank.house.leash(), &asked);
        let mut denied = entry(&decision, &asked, world.bank.house.list_use(), stamp(30_000));
        (denied.chain, denied.parents) = (Some(CHAIN), std::slice::from_ref(&first));
        drop(journal.decision(&denied).unwrap());
        journal.close(stamp(40_000)).unwrap();
        world.bank.log();
        world.see(&world.bank, seen);
        let report = judge(&world, &world.owners());
        match over {
            None => assert_eq!(report.verdict(), Verdict::Complete),
            Some(_) => assert_eq!(lag(&report), over),
        }
    }
}

#[test]
fn a_witness_whose_clock_is_behind_makes_nothing_invalid() {
    // The list is of midnight before the 22nd, the certificate of midnight before the 1st of November.
    for (seen, told) in [(-5 * 3600, true), (-36 * 3600 - 121, true), (-30 * DAY, true), (60, false)] {
        let world = World::new();
        let journal = world.support.open();
        let list = keep(&world.support, &journal, &world.support.house.later_list);
        allow(&world.support, &journal, list, 10, &[]);
        journal.close(stamp(20_000)).unwrap();
        world.support.log();
        world.see(&world.support, seen);
        let report = judge(&world, &[&world.support]);
        let expected: &[&str] = if told { &["time.out_of_bracket"] } else { &[] };
        assert_eq!(reasons(&report), expected, "{seen}");
    }
}

#[test]
fn a_backdated_receipt_is_unproven_and_a_log_alone_says_no_time() {
    // Whoever stole the key writes on the 25th what claims to be of the 23rd.
    let (world, _) = revoked(10, &[]);
    world.see(&world.support, 2 * DAY);
    assert_eq!(lag(&judge(&world, &[&world.support])), Some(3 * DAY / 2));
    // The log's key settles the end and no time: never COMPLETE.
    let (world, _) = revoked(10, &[]);
    assert_eq!(lag(&judge(&world, &[&world.support])), None);
    // With nobody at all, the claim is judged, and the report says that it is one.
    let report =
        verify_journals(&world, &[&world.support], &kakunin_core::verify::Verification::by(&world.anchors));
    assert_eq!(reasons(&report), ["tail.not_witnessed"]);
    // A claim of after the revocation is told in any case.
    let (world, _) = revoked(DAY, &[]);
    let report =
        verify_journals(&world, &[&world.support], &kakunin_core::verify::Verification::by(&world.anchors));
    assert_eq!(reasons(&report), ["tail.not_witnessed", "time.unproven"]);
}

#[test]
fn a_receipt_that_follows_from_what_came_after_the_revocation_is_invalid_whatever_it_claims() {
    let world = World::new();
    // The agent's own denial of the 26th, by the list that revokes it.
    let journal = world.support.open();
    keep(&world.support, &journal, &world.support.house.revoked_on_24th);
    let list = keep(&world.support, &journal, &world.support.house.revoked_on_26th);
    let asked = request("12500.00");
    let decision = decide(&world.support.house.leash(), &asked);
    let mut denied = entry(&decision, &asked, list, stamp(3 * DAY * 1000));
    denied.chain = Some(CHAIN);
    let later = journal.decision(&denied).unwrap().hash();
    journal.close(stamp(3 * DAY * 1000 + 9)).unwrap();
    world.support.log();
    // What names it is no older, though it claims the 23rd, and whoever may be said to have seen it then.
    support(&world, 10, &[later]);
    assert_eq!(invalid(&judge(&world, &[&world.support])), "receipt.revoked");
    world.see(&world.support, 3600);
    assert_eq!(invalid(&judge(&world, &[&world.support])), "receipt.revoked");
}

#[test]
fn another_owner_cannot_date_a_receipt_behind_its_revocation() {
    // The bank dates a list of its own two days ahead, acts by it, and asks the support agent with a link to that.
    let bank = |world: &World| {
        let journal = world.bank.open();
        let list = keep(&world.bank, &journal, &world.bank.house.good_on_25th);
        let ahead = allow(&world.bank, &journal, list, 2 * DAY, &[]);
        journal.close(stamp(2 * DAY * 1000 + 9)).unwrap();
        world.bank.log();
        ahead
    };
    for (seen, complete) in [(Some(3600), true), (Some(7 * DAY), false), (None, false)] {
        let world = World::new();
        let ahead = bank(&world);
        support(&world, 10, &[ahead]);
        if let Some(seconds) = seen {
            world.see(&world.support, seconds);
            world.see(&world.bank, 7 * DAY);
        }
        for owners in [[&world.support, &world.bank], [&world.bank, &world.support]] {
            let report = judge(&world, &owners);
            assert!(!matches!(report.verdict(), Verdict::Invalid(_)), "{seen:?} {:?}", report.verdict());
            assert_eq!(reasons(&report).contains(&"time.unproven"), !complete, "{seen:?}");
        }
    }
}

/// Tenants of one root have authorities of their own, and each dates its lists as it likes.
#[test]
fn another_tenant_cannot_date_a_receipt_behind_its_revocation() {
    let mut world = World::new();
    let agents = [AgentId::from_random([1; 16]), AgentId::from_random([2; 16])];
    let [ours, theirs] = House::tenants(agents, "billing", "test root", |_| key());
    (world.support.house, world.bank.house) = (ours, theirs);
    world.anchors = TrustAnchors::new([world.support.house.root.as_slice()]).unwrap();
    let journal = world.bank.open();
    let list = keep(&world.bank, &journal, &world.bank.house.good_on_25th);
    let ahead = allow(&world.bank, &journal, list, 2 * DAY, &[]);
    journal.close(stamp(2 * DAY * 1000 + 9)).unwrap();
    world.bank.log();
    support(&world, 10, &[ahead]);
    world.see(&world.support, 3600);
    assert_eq!(judge(&world, &world.owners()).verdict(), Verdict::Complete);
}

/// Without any key of the support agent's: the bank announces the support agent's own certificate as its next, and what
/// follows under that name nobody signed.
#[test]
fn another_owner_that_rotates_to_our_certificate_dates_nothing_of_ours() {
    let world = World::new();
    let journal = world.bank.open();
    let stream = journal.stream().unwrap();
    let list = keep(&world.bank, &journal, &world.bank.house.good_on_25th);
    allow(&world.bank, &journal, list, 2 * DAY, &[]);
    let ours = world.support.house.identity();
    journal.rotate(&Identity { signer: world.bank.house.identity().signer, ..ours }, stamp(20)).unwrap();
    journal.close(stamp(30)).unwrap();
    drop(journal);
    let path = segment(&world.bank.journal);
    let bytes = fs::read(&path).unwrap();
    let (start, end, _) = frames(&bytes).into_iter().rfind(|frame| frame.2 == SIGNATURE).unwrap();
    fs::write(&path, [&bytes[..start], &bytes[end..]].concat()).unwrap();
    let last = StreamReader::open(&world.bank.journal, stream).unwrap().map(Result::unwrap).last().unwrap();
    assert_eq!(last.receipt().certificate(), &Digest::of(&world.support.house.agent));
    support(&world, 10, &[last.receipt().hash()]);
    world.see(&world.support, 3600);
    for owners in [[&world.support, &world.bank], [&world.bank, &world.support]] {
        let report = judge(&world, &owners);
        let Verdict::Invalid(wrong) = report.verdict() else { panic!("{:?}", report.verdict()) };
        assert_eq!(
            (wrong.code, wrong.place.clone()),
            ("journal.merged", Place::Receipt { stream, index: 4 })
        );
    }
}

#[test]
fn a_list_that_was_left_out_counts_when_the_verifier_brings_it() {
    let world = World::new();
    let journal = world.support.open();
    allow(&world.support, &journal, world.support.house.list_use(), 10, &[]);
    journal.close(stamp(20_000)).unwrap();
    world.support.log();
    world.see(&world.support, 2 * DAY);
    let policy = [world.policy()];
    let by = |lists: &[Vec<u8>]| {
        verify_journals(&world, &[&world.support], &world.terms().witnesses(&policy).lists(lists))
    };
    assert_eq!(by(&[]).verdict(), Verdict::Complete);
    let house = &world.support.house;
    assert_eq!(lag(&by(std::slice::from_ref(&house.revoked_on_24th))), Some(3 * DAY / 2));
    // Another authority's list says nothing here, and the report says so; nor does one that is none.
    let foreign = [world.bank.house.revoked_on_24th.clone(), b"no list".to_vec(), house.later_list.clone()];
    let report = by(&foreign);
    assert_eq!((report.verdict(), report.foreign_lists()), (Verdict::Complete, 2));
}

#[test]
fn a_peer_that_names_a_receipt_and_was_witnessed_is_a_witness() {
    let (world, first) = revoked(10, &[]);
    // The log of the support agent's owner was seen late, the bank's in time.
    let journal = world.bank.open();
    world.bank.pay(&journal, CHAIN, &[first], 20_000);
    journal.close(stamp(30_000)).unwrap();
    world.bank.log();
    world.see(&world.bank, 3600);
    world.see(&world.support, 40 * DAY);
    let report = judge(&world, &[&world.support, &world.bank]);
    assert_eq!(report.verdict(), Verdict::Complete, "{:?}", report.verdict());
    // Without the bank it is unproven.
    assert!(lag(&judge(&world, &[&world.support])).is_some());
}

#[test]
fn a_clock_that_ran_ahead_is_told_and_judged_at_the_witness() {
    let world = World::new();
    let journal = world.support.open();
    allow(&world.support, &journal, world.support.house.list_use(), DAY, &[]);
    journal.close(stamp(DAY * 1000)).unwrap();
    world.support.log();
    world.see(&world.support, 3600);
    let report = judge(&world, &[&world.support]);
    let Verdict::AuthenticNotComplete([Reason::TimeOutOfBracket { indices, .. }]) = report.verdict() else {
        panic!("{:?}", report.verdict())
    };
    assert_eq!(indices, &[1, 2, 3]);
    // Within what clocks may differ, nothing is told.
    let world = World::new();
    let journal = world.support.open();
    allow(&world.support, &journal, world.support.house.list_use(), 100, &[]);
    journal.close(stamp(100_000)).unwrap();
    world.support.log();
    world.see(&world.support, 1);
    assert_eq!(judge(&world, &[&world.support]).verdict(), Verdict::Complete);
}

#[test]
fn a_list_that_was_lied_about_is_invalid() {
    let world = World::new();
    let journal = world.support.open();
    let revoking = keep(&world.support, &journal, &world.support.house.revoked_on_24th);
    let good = world.support.house.list_use();
    for (lie, code) in [
        (ListUse { digest: revoking.digest, ..good }, "receipt.list"),
        (ListUse { number: revoking.number, ..good }, "receipt.list"),
        (ListUse { next_update: good.next_update.plus(DAY), ..good }, "receipt.list"),
        (ListUse { this_update: good.this_update.plus(-DAY), ..good }, "receipt.list"),
        (revoking, "receipt.list_stale"),
    ] {
        let world = World::new();
        let journal = world.support.open();
        keep(&world.support, &journal, &world.support.house.revoked_on_24th);
        let (lie, own) = (lie, world.support.house.list_use());
        // The lie is about this world's lists.
        let revoking = keep(&world.support, &journal, &world.support.house.revoked_on_24th);
        let lie =
            ListUse { digest: if lie.digest == good.digest { own.digest } else { revoking.digest }, ..lie };
        allow(&world.support, &journal, lie, 10, &[]);
        journal.close(stamp(20_000)).unwrap();
        world.support.log();
        assert_eq!(invalid(&judge(&world, &[&world.support])), code);
    }
}
