//! Since when somebody is revoked, by all the lists that there are.

use kakunin_core::certificate::TrustAnchors;
use kakunin_core::id::AgentId;
use kakunin_core::journal::Archive;
use kakunin_core::verify::{Reason, Report, Verdict};

use crate::bundle::{CHAIN, World, invalid, reasons, verify, verify_journals};
use crate::bundle_time::{allow, keep};
use crate::house::{House, stamp};

const DAY: i64 = 24 * 3600;

/// One allowance of ten past noon of the 23rd, logged, and what a witness says of it.
struct Case(World);

impl Case {
    /// By the list `named`, seen `seconds` after that noon.
    fn of(named: impl Fn(&House) -> &Vec<u8>, seconds: i64) -> Self {
        let world = World::new();
        let journal = world.support.open();
        let list = keep(&world.support, &journal, named(&world.support.house));
        allow(&world.support, &journal, list, 10, &[]);
        journal.close(stamp(20_000)).unwrap();
        world.support.log();
        world.see(&world.support, seconds);
        Self(world)
    }

    fn house(&self) -> &House {
        &self.0.support.house
    }

    fn judged(&self, lists: &[&Vec<u8>]) -> Report {
        let lists: Vec<Vec<u8>> = lists.iter().map(|list| (*list).clone()).collect();
        let policy = [self.0.policy()];
        verify_journals(&self.0, &[&self.0.support], &self.0.terms().witnesses(&policy).lists(&lists))
    }

    /// How far behind the revocation it may be; `None` if it is good.
    fn lag(&self, lists: &[&Vec<u8>]) -> Option<i64> {
        match self.judged(lists).verdict() {
            Verdict::Complete => None,
            Verdict::AuthenticNotComplete([Reason::TimeUnproven { lag, .. }]) => *lag,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_revocation_that_was_set_back_counts_from_the_last_list_that_called_the_agent_good() {
    // The list of the 26th revokes from the 20th on; that of the 22nd, by which it was allowed, calls it good.
    let case = Case::of(|house| &house.later_list, DAY * 3 / 2);
    let house = case.house();
    assert_eq!(case.lag(&[&house.set_back_on_26th]), Some(3 * DAY));
    // One of the 25th that calls it good moves the revocation up to what the witness saw, in whatever order they come.
    assert_eq!(case.lag(&[&house.set_back_on_26th, &house.good_on_25th]), None);
    assert_eq!(case.lag(&[&house.good_on_25th, &house.set_back_on_26th]), None);
}

#[test]
fn an_authority_that_forgets_a_revocation_takes_nothing_back() {
    // Written after the revocation of the 24th, and seen on the 25th: later lists without the entry change nothing.
    let case = Case::of(|house| &house.issuing_list, DAY * 2);
    let house = case.house();
    let revoked = Some(DAY * 3 / 2);
    for forgot in [vec![], vec![&house.good_on_25th], vec![&house.good_on_25th, &house.after_the_end]] {
        let mut lists = vec![&house.revoked_on_24th];
        lists.extend(forgot);
        assert_eq!(case.lag(&lists), revoked);
        lists.reverse();
        assert_eq!(case.lag(&lists), revoked);
        lists.push(&house.held_on_24th);
        assert_eq!(case.lag(&lists), revoked, "nor does a hold");
    }
    // Whoever acts by the list that forgot acts after the revocation.
    let case = Case::of(|house| &house.later_list, 3600);
    assert_eq!(invalid(&case.judged(&[&case.house().revoking_list])), "receipt.revoked");
}

#[test]
fn a_list_of_after_the_end_of_a_certificate_calls_it_not_good() {
    // An authority may drop what has ended. Here the dropping list comes even before the one that still has the entry.
    let case = Case::of(|house| &house.issuing_list, DAY * 2);
    let house = case.house();
    let revoked = Some(DAY * 3 / 2);
    assert_eq!(case.lag(&[&house.kept_after_the_end]), revoked);
    assert_eq!(case.lag(&[&house.after_the_end, &house.kept_after_the_end]), revoked);
    assert_eq!(case.lag(&[&house.revoked_on_24th, &house.after_the_end]), revoked);
}

#[test]
fn a_hold_is_no_revocation_and_its_end_is_good_standing() {
    let case = Case::of(|house| &house.issuing_list, DAY * 3 / 2);
    let house = case.house();
    assert_eq!(case.lag(&[&house.held_on_24th]), None);
    assert_eq!(case.lag(&[&house.held_on_24th, &house.good_on_25th]), None);
    // A list on which it was held does not call it good; the one after the hold does.
    assert_eq!(case.lag(&[&house.held_on_24th, &house.set_back_on_26th]), Some(5 * DAY));
    assert_eq!(case.lag(&[&house.held_on_24th, &house.good_on_25th, &house.set_back_on_26th]), None);
}

/// Whoever suspends first and revokes when it is sure what happened dates the revocation behind what was done meanwhile.
#[test]
fn a_revocation_begins_with_the_hold_that_nobody_lifted_before_it() {
    // Held from the 24th on and revoked on the 26th; seen at noon of the 25th.
    let case = Case::of(|house| &house.issuing_list, 2 * DAY);
    let house = case.house();
    assert_eq!(case.lag(&[&house.revoked_on_26th]), None, "without the hold");
    let since_hold = Some(DAY * 3 / 2);
    assert_eq!(case.lag(&[&house.held_on_24th, &house.revoked_on_26th]), since_hold);
    assert_eq!(case.lag(&[&house.revoked_on_26th, &house.held_on_24th]), since_hold);
    // A list in between that calls it good lifted the hold.
    assert_eq!(case.lag(&[&house.held_on_24th, &house.good_on_25th, &house.revoked_on_26th]), None);
    // Whoever was seen before the hold was right, and a hold alone makes nothing INVALID.
    let case = Case::of(|house| &house.issuing_list, 3600);
    assert_eq!(case.lag(&[&case.house().held_on_24th, &case.house().revoked_on_26th]), None);
}

#[test]
fn a_revocation_counts_for_every_certificate_of_the_key() {
    let case = Case::of(|house| &house.issuing_list, DAY * 2);
    let house = case.house();
    let archive = Archive::of(&case.0.support.journal);
    // Another certificate of the same agent and key is revoked: whoever has the key signs under either.
    assert_eq!(case.lag(&[&house.earlier_revoked]), None, "nobody knows that it is of this key");
    archive.keep_certificate(&house.earlier).unwrap();
    assert_eq!(case.lag(&[]), None);
    assert_eq!(case.lag(&[&house.earlier_revoked]), Some(DAY * 3 / 2));
    assert_eq!(case.lag(&[&house.earlier_revoked, &house.good_on_25th]), Some(DAY * 3 / 2));
    // Another agent that was given this key says nothing about ours, nor does a certificate that nobody here issued.
    let case = Case::of(|house| &house.issuing_list, DAY * 2);
    let (house, archive) = (case.house(), Archive::of(&case.0.support.journal));
    archive.keep_certificate(&house.namesake).unwrap();
    let elsewhere = House::build(AgentId::from_random([1; 16]));
    archive.keep_certificate(&elsewhere.earlier).unwrap();
    assert_eq!(case.lag(&[&house.namesake_revoked, &house.earlier_revoked]), None);
}

/// A world in which the bank's authority bears name and key identifier of the support agent's.
fn posing() -> World {
    let mut world = World::new();
    world.bank.house = House::posing(AgentId::from_random([2; 16]), &world.support.house);
    let roots = [world.support.house.root.as_slice(), world.bank.house.root.as_slice()];
    world.anchors = TrustAnchors::new(roots).unwrap();
    world
}

#[test]
fn an_authority_that_bears_the_name_of_another_says_nothing_for_it() {
    let world = posing();
    let (support, bank) = (world.support.open(), world.bank.open());
    let first = world.support.pay(&support, CHAIN, &[], 10);
    world.bank.pay(&bank, CHAIN, &[first], 20);
    keep(&world.bank, &bank, &world.bank.house.revoked_on_24th);
    support.close(stamp(30)).unwrap();
    bank.close(stamp(31)).unwrap();
    world.support.log();
    world.bank.log();
    world.see(&world.support, DAY);
    world.see(&world.bank, 3600);
    let policy = [world.policy()];
    // Again and again, since what is looked up in no order comes out one way or the other.
    for turn in 0..12 {
        let mut owners = world.owners();
        owners.rotate_left(turn % 2);
        let report = verify_journals(&world, &owners, &world.terms().witnesses(&policy));
        assert_eq!(report.verdict(), Verdict::Complete, "{turn} {:?}", report.verdict());
    }
}

#[test]
fn a_bundle_has_the_lists_that_revoke_though_newer_ones_forgot() {
    for forgets in [true, false] {
        let world = World::new();
        let (support, bank) = (world.support.open(), world.bank.open());
        let house = &world.support.house;
        world.support.pay(&support, CHAIN, &[], 10);
        for list in [&house.revoked_on_24th, &house.revoked_on_26th, &house.after_the_end] {
            if forgets {
                keep(&world.support, &support, list);
            }
        }
        support.close(stamp(30)).unwrap();
        bank.close(stamp(31)).unwrap();
        world.support.log();
        world.see(&world.support, 2 * DAY);
        world.export(None, "revoked.zip").unwrap();
        let policy = [world.policy()];
        let report = verify(&world.path("revoked.zip"), &world.terms().witnesses(&policy));
        assert_eq!(reasons(&report).contains(&"time.unproven"), forgets, "{:?}", report.verdict());
    }
}

#[test]
fn another_owners_archive_displaces_no_list_of_ours() {
    let world = posing();
    let (support, bank) = (world.support.open(), world.bank.open());
    world.support.pay(&support, CHAIN, &[], 10);
    keep(&world.support, &support, &world.support.house.revoked_on_24th);
    // Of a higher number, and of an authority that is called as ours is; one that nobody signed lies there as well.
    let newer = keep(&world.bank, &bank, &world.bank.house.after_the_end);
    let mut forged = world.support.house.kept_after_the_end.clone();
    *forged.last_mut().unwrap() ^= 1;
    let name = kakunin_core::revocation::UnverifiedList::decode(&forged).unwrap().digest();
    Archive::of(&world.bank.journal).keep_list(&name, &forged).unwrap();
    assert_eq!(newer.number[19], 14);
    support.close(stamp(30)).unwrap();
    bank.close(stamp(31)).unwrap();
    world.support.log();
    world.bank.log();
    world.see(&world.support, 2 * DAY);
    world.see(&world.bank, 3600);
    world.export(None, "ours.zip").unwrap();
    let policy = [world.policy()];
    let report = verify(&world.path("ours.zip"), &world.terms().witnesses(&policy));
    assert_eq!(reasons(&report), ["time.unproven"]);
}
