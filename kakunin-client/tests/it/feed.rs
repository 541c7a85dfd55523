//! A guard in this process, and what it hears of its authority.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kakunin_authority::standing::Order;
use kakunin_client::{AlarmKind, Transport};
use kakunin_core::certificate::{CaCertificate, CaRole};

use crate::desk::{Desk, Manner, ask, becomes, lists_in, until};

#[test]
fn what_the_authority_orders_reaches_the_guard() {
    let desk = Desk::new();
    let client = desk.connect();
    let guard = client.guard().unwrap();
    assert_eq!(ask(&guard), "allow", "connected means heard");
    let status = client.status();
    assert_eq!((status.transport, status.epoch), (Some(Transport::Stream), Some(0)));
    assert_eq!((status.url.as_deref(), status.agent), (Some(desk.url.as_str()), desk.agent()));
    assert!(
        status.age.unwrap() < Duration::from_secs(30) && status.fresh_for.unwrap() > Duration::from_secs(30)
    );
    assert_eq!((status.last_error, status.snapshots), (None, 1));
    for (order, code) in [
        (Order::Suspend, "certificate.held"),
        (Order::Resume, "allow"),
        (Order::Revoke, "certificate.revoked"),
    ] {
        desk.order(order);
        becomes(&guard, code);
    }
    assert_eq!(client.status().epoch, Some(3));
    assert_eq!(desk.asked("/v1/crl/all"), 1, "changes need no list");
    // By its own issuing authority: the service may have others, whose lists say nothing of this agent.
    let issuing = desk.books().enrolled.papers.chain[0].clone();
    let issuing = CaCertificate::decode(&issuing, CaRole::Issuing).unwrap().decoded().key().key_id();
    let asked = format!("GET /v1/crl/all?issuer={issuing} ");
    assert!(desk.books().asked.iter().any(|line| line.starts_with(&asked)), "{:?}", desk.books().asked);
    assert_eq!(desk.asked("/v1/feed"), 1);
    drop(client);
    until("the stream ends with the client", || desk.asked("/v1/feed") == 1);
    assert_eq!(ask(&guard), "certificate.revoked", "what was heard stays heard");
}

#[test]
fn an_authority_that_comes_back_is_followed_on_without_new_lists() {
    let desk = Desk::new();
    let client = desk.connect();
    let guard = client.guard().unwrap();
    desk.change(3);
    until("three changes", || client.status().epoch == Some(3));
    desk.stop();
    until("it is noticed", || client.status().last_error.is_some());
    assert_eq!(ask(&guard), "allow", "an outage denies nothing while the last word is good");
    desk.order(Order::Suspend);
    desk.start();
    becomes(&guard, "certificate.held");
    assert_eq!((client.status().epoch, client.status().last_error), (Some(4), None));
    assert_eq!(desk.asked("/v1/crl/all"), 1);
    let asked = desk.books().asked.clone();
    let last = asked.iter().rfind(|line| line.contains("/v1/feed?")).unwrap();
    assert!(last.contains("since=3"), "{last}");
}

#[test]
fn an_outage_that_lasts_denies_and_is_told_in_time() {
    let desk = Desk::with_max_age(3);
    let heard = Arc::new(Mutex::new(Vec::new()));
    let ears = Arc::clone(&heard);
    let mut options = desk.options();
    options.alarm = Some(Arc::new(move |alarm| ears.lock().unwrap().push(alarm.kind)));
    let client = kakunin_client::Client::connect(options).unwrap();
    let guard = client.guard().unwrap();
    becomes(&guard, "allow");
    heard.lock().unwrap().clear();
    desk.stop();
    becomes(&guard, "revocation.stale");
    until("the end is told", || heard.lock().unwrap().contains(&AlarmKind::Stale));
    assert_eq!(client.status().fresh_for, Some(Duration::ZERO));
    desk.start();
    becomes(&guard, "allow");
    until("the return is told", || heard.lock().unwrap().contains(&AlarmKind::Recovered));
    assert!(client.take_alarms().iter().any(|alarm| alarm.kind.code() == "feed.stale"));
}

#[test]
fn a_client_that_starts_in_an_outage_denies_until_it_hears_something() {
    let desk = Desk::new();
    let mut options = desk.options();
    let client = kakunin_client::Client::connect(options.clone()).unwrap();
    desk.order(Order::Suspend);
    desk.order(Order::Resume);
    until("two changes", || client.status().epoch == Some(2));
    client.close();
    desk.stop();
    options.timeout = Duration::from_millis(300);
    let client = kakunin_client::Client::connect(options).unwrap();
    let guard = client.guard().unwrap();
    assert_eq!(ask(&guard), "revocation.stale");
    assert!(client.status().last_error.is_some());
    desk.start();
    becomes(&guard, "allow");
    assert_eq!(desk.asked("/v1/crl/all"), 1, "the lists of before serve on");
}

#[test]
fn changes_that_the_feed_has_no_more_come_with_the_lists() {
    let desk = Desk::new();
    let client = desk.connect();
    let guard = client.guard().unwrap();
    let before = lists_in(client.directory());
    desk.stop();
    desk.order(Order::Revoke);
    desk.change(2);
    desk.publish();
    desk.forget();
    desk.start();
    becomes(&guard, "certificate.revoked");
    until("the feed goes on", || client.status().epoch == Some(3) && client.status().last_error.is_none());
    assert_eq!(client.status().snapshots, 2, "once at the start, once now");
    assert_ne!(lists_in(client.directory()), before);
}

#[test]
fn two_addresses_of_which_one_is_dead() {
    let desk = Desk::new();
    let mut options = desk.options();
    options.urls.insert(0, "http://127.0.0.1:1".into());
    let client = kakunin_client::Client::connect(options).unwrap();
    let guard = client.guard().unwrap();
    becomes(&guard, "allow");
    desk.order(Order::Suspend);
    becomes(&guard, "certificate.held");
}

#[test]
fn where_streams_are_held_back_questions_that_wait_take_their_place() {
    let desk = Desk::new();
    let json = crate::desk::whole("404 Not Found", "text/html", "<p>not here");
    desk.behave("/v1/feed", Manner::Say(json.into_bytes()));
    let client = desk.connect();
    let guard = client.guard().unwrap();
    becomes(&guard, "allow");
    until("by questions", || client.status().transport == Some(Transport::LongPoll));
    desk.order(Order::Suspend);
    becomes(&guard, "certificate.held");
    // The next question begins where that one ended.
    desk.order(Order::Resume);
    becomes(&guard, "allow");
    assert_eq!(desk.asked("/v1/crl/all"), 1);
}

#[test]
fn a_thousand_changes_are_followed_and_a_client_can_be_closed_at_any_time() {
    let desk = Desk::new();
    let client = desk.connect();
    desk.change(1_000);
    until("all of them", || client.status().epoch == Some(1_000));
    let started = Instant::now();
    client.close();
    assert!(started.elapsed() < Duration::from_secs(10));
    client.close();
    assert_eq!(client.status().epoch, Some(1_000));
}
