//! What the authority is told of how far its feed is enforced.

use std::thread;
use std::time::{Duration, Instant};

use kakunin_authority::standing::Order;

use crate::desk::{Desk, Manner, ask, becomes, until, whole};
use crate::office::Office;

const ACK: &str = "/v1/feed/ack";

#[test]
fn the_authority_hears_how_far_its_feed_is_enforced() {
    let office = Office::new(0);
    let client = office.connect();
    let guard = client.guard().unwrap();
    until("the beginning is said", || office.epoch_seen() == Some(0));
    until("and answered", || client.status().acknowledged == Some(0));
    // A service that just began does not take every proof at once.
    let failed = client.status().acknowledgements_failed;
    // One that is held cannot prove itself and does not try to.
    office.order("suspend");
    becomes(&guard, "certificate.held");
    // Longer than from one to the next.
    thread::sleep(Duration::from_millis(1_500));
    assert_eq!(office.epoch_seen(), None);
    office.order("resume");
    becomes(&guard, "allow");
    until("what came is said", || office.epoch_seen() == Some(2));
    until("and answered", || client.status().acknowledged == Some(2));
    assert_eq!(client.status().acknowledgements_failed, failed);
}

/// An authority that was restarted knows nothing of before.
#[test]
fn it_is_said_again_with_each_stream_and_not_with_each_word() {
    let desk = Desk::new();
    desk.behave(ACK, Manner::Say(heard()));
    let client = desk.connect();
    for streams in 1..4 {
        until("it is said", || desk.asked(ACK) == streams && client.status().acknowledged == Some(0));
        // Some heartbeats that say nothing new.
        thread::sleep(Duration::from_millis(600));
        assert_eq!((desk.asked("/v1/feed"), desk.asked(ACK)), (streams, streams));
        desk.hang_up();
    }
}

fn heard() -> Vec<u8> {
    whole("200 OK", "application/json", "{\"data\":{\"epoch\":0}}").into_bytes()
}

#[test]
fn an_authority_that_does_not_listen_holds_nothing_up() {
    let desk = Desk::new();
    desk.behave(ACK, Manner::Silent);
    let begun = Instant::now();
    let client = desk.connect();
    let guard = client.guard().unwrap();
    until("it is asked to listen", || desk.asked(ACK) == 1);
    for (order, code) in [
        (Order::Suspend, "certificate.held"),
        (Order::Resume, "allow"),
        (Order::Suspend, "certificate.held"),
        (Order::Resume, "allow"),
    ] {
        desk.order(order);
        becomes(&guard, code);
    }
    // Each is waited for in vain for 35 s.
    let most = 1 + usize::try_from(begun.elapsed().as_secs()).unwrap() / 35;
    assert!(desk.asked(ACK) <= most, "one at a time");
    assert_eq!((client.status().acknowledged, client.status().last_error), (None, None));
}

#[test]
fn what_could_not_be_said_is_counted_and_said_with_the_next_change() {
    let desk = Desk::new();
    desk.behave(ACK, Manner::Say(whole("500 Oh", "text/html", "<p>").into_bytes()));
    let client = desk.connect();
    let guard = client.guard().unwrap();
    until("it is counted", || client.status().acknowledgements_failed == 1);
    assert_eq!((client.status().acknowledged, client.status().last_error), (None, None));
    assert!(client.take_alarms().is_empty(), "nobody is woken for it");
    desk.behave(ACK, Manner::Say(heard()));
    desk.change(200);
    until("all of it is said", || client.status().acknowledged == Some(200));
    assert!(desk.asked(ACK) < 50, "together: {}", desk.asked(ACK));
    assert_eq!(client.status().acknowledgements_failed, 1);
    assert_eq!(ask(&guard), "allow");
}

/// C185: whoever answers in the authority's place asks for proofs of tomorrow by the date of a header.
#[test]
fn no_proof_is_dated_by_what_a_header_says() {
    let desk = Desk::new();
    let body = "{\"code\":\"possession.created\",\"error\":\"too old\"}";
    let answer = format!(
        "HTTP/1.1 401 Unauthorized\r\ndate: Sun, 06 Nov 2044 08:49:37 GMT\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    desk.behave("/v1/feed/ack", Manner::Say(answer.into_bytes()));
    let client = desk.connect();
    // The second one is dated by what the feed has signed.
    until("asked twice", || desk.books().proofs.len() >= 2);
    until("it is counted", || client.status().acknowledgements_failed > 0);
    for proof in &desk.books().proofs {
        let created = proof.split("created=").nth(1).unwrap().split(';').next().unwrap().trim();
        let away = created.parse::<i64>().unwrap() - crate::desk::now().seconds();
        assert!(away.abs() < 60, "{proof}");
    }
}
