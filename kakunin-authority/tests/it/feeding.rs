//! An authority with a feed: what is signed, when, by which key, and what its lists say.

use kakunin_authority::Who;
use kakunin_authority::authority::{FeedMode, Hours};
use kakunin_authority::standing::{Order, Reason, Standing};
use kakunin_authority::store::{FeedItem, IssuerId, StandingChange};
use kakunin_core::certificate::{CaCertificate, CaRole};
use kakunin_core::feed::{Follower, UnverifiedItem};
use kakunin_core::id::SerialNumber;
use kakunin_core::revocation::{ListPolicy, UnverifiedList};
use kakunin_core::time::UnixTime;

use crate::office::{Office, now};

fn first() -> IssuerId {
    IssuerId::ROOT.next()
}

/// An office with so many agents, certified, and the serial number of each.
fn office(agents: usize) -> (Office, Vec<(Who, SerialNumber)>) {
    let office = Office::open();
    let all = (0..agents).map(|number| {
        let who = office.create(&format!("agent-{number}"));
        let made = office.certify(&who, &format!("agent-{number}")).unwrap();
        (who, made.certificate.decoded().serial())
    });
    let all = all.collect();
    (office, all)
}

fn policy(office: &Office) -> Option<ListPolicy> {
    let list = office.authority().current_list().unwrap();
    let issuing = issuing(office);
    UnverifiedList::decode(&list.der).unwrap().verify(&issuing.list_issuer()).unwrap().policy()
}

fn issuing(office: &Office) -> CaCertificate {
    let der = office.authority().issuing().unwrap().decoded().der().to_vec();
    CaCertificate::decode(&der, CaRole::Issuing).unwrap()
}

fn items(office: &Office) -> Vec<FeedItem> {
    office.authority().records().changes_since(first(), 0, 99).unwrap()
}

#[test]
fn a_change_whose_item_a_crash_kept_back_is_signed_at_the_next_start() {
    let (office, agents) = office(1);
    let (who, serial) = agents.first().unwrap();
    let agent = office.authority().find(who).unwrap().id;
    {
        let mut authority = office.authority();
        authority.set_feed(FeedMode::On);
        let _ = authority.publish(Hours::default(), now()).unwrap();
    }
    let without = policy(&office).unwrap();
    assert_eq!((without.max_age(), without.head().epoch()), (60, 0));
    // The records have the change, and the process ended before anything was signed.
    {
        let mut store = office.home.records().unwrap();
        let tenant = &kakunin_authority::access::TenantId::default();
        let (to, reason, text) = (Standing::Revoked, Reason::KeyCompromise, "stolen");
        // The clock is behind where it was: nothing is dated after its item.
        let at = now().plus(30);
        let change = StandingChange { tenant, agent, to, reason, text, halt: false, at };
        assert_eq!(store.change_standing(&change).unwrap().len(), 1);
        assert_eq!(store.waiting_changes(first()).unwrap().len(), 1);
    }
    let publication = office.authority().publish(Hours::default(), now()).unwrap();
    assert_eq!(publication.feeds.iter().map(|feed| feed.epoch).collect::<Vec<_>>(), [1]);
    assert_eq!(office.authority().records().waiting_changes(first()).unwrap(), []);
    let item = items(&office).remove(0);
    let known = policy(&office).unwrap().head();
    assert_eq!((known.epoch(), known.digest()), (item.epoch, item.head));
    // Whoever has the new list has the change; whoever follows from the old one hears of it.
    let follower = Follower::new(&issuing(&office), &office.authority().current_list().unwrap().der).unwrap();
    assert_eq!(follower.standing(serial), Standing::Revoked);
}

#[test]
fn the_key_of_the_day_is_replaced_in_time_and_its_certificate_stays() {
    let (office, agents) = office(1);
    let (who, serial) = agents.first().unwrap();
    let begin = now();
    let mut authority = office.authority();
    authority.set_feed(FeedMode::On);
    let _ = authority.publish(Hours::default(), begin).unwrap();
    let old_list = authority.current_list().unwrap().der;
    let order = |authority: &mut kakunin_authority::Authority<'_>, order, at: UnixTime| {
        authority.order(who, order, "drill", Hours::default(), at).unwrap().told.unwrap().epoch
    };
    let hour = 3600;
    assert_eq!(order(&mut authority, Order::Suspend, begin), 1);
    authority.renew_feed_keys(begin.plus(15 * hour)).unwrap();
    assert_eq!(order(&mut authority, Order::Resume, begin.plus(15 * hour)), 2);
    authority.renew_feed_keys(begin.plus(17 * hour)).unwrap();
    assert_eq!(order(&mut authority, Order::Revoke, begin.plus(17 * hour)), 3);
    let items = authority.records().changes_since(first(), 0, 9).unwrap();
    let keys: Vec<_> = items.iter().map(|item| *UnverifiedItem::parse(&item.item).unwrap().key()).collect();
    assert_eq!(keys[0], keys[1], "two thirds of its day are not over");
    assert_ne!(keys[1], keys[2]);
    // A client that was away for a day is shown both, and follows.
    let issuing =
        CaCertificate::decode(authority.issuing().unwrap().decoded().der(), CaRole::Issuing).unwrap();
    let mut follower = Follower::new(&issuing, &old_list).unwrap();
    for key in [keys[0], keys[2]] {
        let kept = authority.records().feed_key(first(), key).unwrap().unwrap();
        assert_eq!(kept.validity.not_after.seconds() - kept.validity.not_before.seconds(), 24 * hour);
        follower.certify(&kept.der, begin.plus(17 * hour), 0).unwrap();
    }
    assert_eq!(authority.records().feed_key(IssuerId::ROOT, keys[0]).unwrap(), None);
    follower.begin([1; 16], 0);
    // Without a connection nothing counts; that the items follow one another is what is asked here.
    assert!(items.iter().all(|item| follower.take(&item.item, 0).is_err()));
    assert_eq!(follower.standing(serial), Standing::Good);
    let newest = authority.current_list().unwrap().der;
    follower.rebase(&newest).unwrap();
    assert_eq!((follower.standing(serial), follower.head().epoch()), (Standing::Revoked, 3));
}

#[test]
fn lists_signed_one_after_the_other_name_what_the_records_do() {
    let (office, agents) = office(4);
    let issuing = issuing(&office);
    for mode in [FeedMode::Off, FeedMode::On] {
        let mut authority = office.authority();
        authority.set_feed(mode);
        let steps = [
            (0, Order::Suspend),
            (1, Order::Suspend),
            (0, Order::Resume),
            (1, Order::Resume),
            (2, Order::Suspend),
            (0, Order::Suspend),
            (2, Order::Resume),
            (0, Order::Resume),
            // Revoked in the second round at last.
            (3, if mode == FeedMode::On { Order::Revoke } else { Order::Suspend }),
            (2, if mode == FeedMode::On { Order::Revoke } else { Order::Suspend }),
        ];
        for (who, order) in steps {
            authority.order(&agents[who].0, order, "drill", Hours::default(), now()).unwrap();
            let mut recorded = Vec::new();
            let each =
                &mut |listed: kakunin_authority::store::ListedCertificate| recorded.push(listed.serial);
            authority.records().each_listed(first(), now(), each).unwrap();
            let der = authority.current_list().unwrap().der;
            let list = UnverifiedList::decode(&der).unwrap().verify(&issuing.list_issuer()).unwrap();
            let mut listed: Vec<_> = list.iter().map(|(serial, _)| serial).collect();
            listed.sort_unstable();
            recorded.sort_unstable();
            assert_eq!(listed, recorded, "{order:?} of {who}");
            let words = agents
                .iter()
                .map(|(who, serial)| (authority.find(who).unwrap().standing, list.standing(serial)));
            assert!(
                words.clone().all(|(recorded, listed)| recorded == listed),
                "{:?}",
                words.collect::<Vec<_>>()
            );
        }
    }
}
