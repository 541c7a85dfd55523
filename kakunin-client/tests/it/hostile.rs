//! Answers that are wrong in every way somebody on the line could make them: none frees anybody, and each ends in a connection
//! that is right again.

use std::time::Duration;

use kakunin_authority::feed::entry;
use kakunin_authority::standing::{Order, Reason};
use kakunin_client::{AlarmKind, Client};
use kakunin_core::guard::{Clock, SystemClock};
use kakunin_core::revocation::FeedHead;

use crate::desk::{Desk, Manner, STREAM, ask, becomes, item, lists_in, now, until, whole};

/// A client whose authority answers the feed like that from the start hears nothing, and is right once it answers rightly.
fn heals(manner: Manner, code: &str) {
    let desk = Desk::new();
    desk.behave("/v1/feed", manner.clone());
    desk.behave("/v1/feed/poll", manner);
    let mut options = desk.options();
    options.timeout = Duration::from_millis(800);
    let client = Client::connect(options).unwrap();
    let guard = client.guard().unwrap();
    until(code, || client.status().last_error.is_some_and(|error| error.code == code));
    assert_eq!(ask(&guard), "revocation.stale", "{code}");
    desk.order(Order::Suspend);
    desk.behave_well();
    desk.hang_up();
    becomes(&guard, "certificate.held");
    desk.order(Order::Resume);
    becomes(&guard, "allow");
}

#[test]
fn a_stream_with_another_nonce_is_no_stream() {
    heals(Manner::OtherNonce, "feed.nonce");
}

#[test]
fn an_answer_that_goes_elsewhere_is_not_followed() {
    let elsewhere = Desk::new();
    let head = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: {}/v1/feed\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        elsewhere.url
    );
    heals(Manner::Say(head.into_bytes()), "http.307");
    assert_eq!(elsewhere.books().asked.len(), 0);
}

#[test]
fn an_authority_that_fails_is_asked_again() {
    heals(Manner::Say(whole("500 Internal Server Error", "text/plain", "\u{1b}[2J").into()), "http.500");
}

#[test]
fn bytes_that_are_no_stream_are_refused() {
    heals(Manner::Say(whole("200 OK", "text/html", "<p>welcome").into()), "feed.transport");
}

#[test]
fn a_stream_that_is_cut_off_says_nothing() {
    heals(Manner::Say(format!("{STREAM}event: item\ndata: ey").into_bytes()), "feed.cut");
}

#[test]
fn a_line_without_an_end_ends_the_connection() {
    let mut bytes = STREAM.as_bytes().to_vec();
    bytes.extend(std::iter::repeat_n(b'x', 2 << 20));
    heals(Manner::Say(bytes), "feed.transport");
}

#[test]
fn items_of_nobody_and_of_another_authority_are_refused() {
    let other = Desk::new();
    other.change(1);
    let line = other.books().changes[0].clone();
    heals(Manner::Begin(item(1, &line).into_bytes()), "feed.certificate");
    heals(Manner::Begin(item(1, "not.an.item").into_bytes()), "feed.item");
}

#[test]
fn events_that_say_nothing_new_do_not_go_on_for_ever() {
    let nothing = "event: certificate\ndata: AAAA\n\n".repeat(1_100);
    heals(Manner::Begin(nothing.into_bytes()), "feed.transport");
}

/// A whole old stream again: its nonce is another's.
#[test]
fn a_stream_that_was_recorded_frees_nobody() {
    let desk = Desk::new();
    let client = desk.connect();
    let guard = client.guard().unwrap();
    becomes(&guard, "allow");
    let recorded = {
        use base64ct::{Base64, Encoding};
        let books = desk.books();
        let certificate = Base64::encode_string(books.key.certificate().decoded().der());
        let beat = books.key.heartbeat(
            books.head,
            Some([7; 16]),
            kakunin_core::guard::Clock::wall(&kakunin_core::guard::SystemClock),
        );
        format!("event: certificate\ndata: {certificate}\n\n{}", item(0, &beat.unwrap()))
    };
    desk.order(Order::Revoke);
    becomes(&guard, "certificate.revoked");
    desk.behave("/v1/feed", Manner::Begin(recorded.into_bytes()));
    desk.hang_up();
    until("it is refused", || client.status().last_error.is_some_and(|error| error.code == "feed.nonce"));
    assert_eq!(ask(&guard), "certificate.revoked");
    assert!(client.take_alarms().iter().any(|alarm| alarm.kind == AlarmKind::Refused));
}

/// The same items over and over keep a connection busy, and no word young.
#[test]
fn what_is_repeated_is_no_heartbeat() {
    let desk = Desk::with_max_age(4);
    desk.behave("/v1/feed", Manner::Repeat);
    let client = desk.connect();
    let guard = client.guard().unwrap();
    // The first item has the nonce; again it has no place.
    until("it is refused", || client.status().last_error.is_some_and(|error| error.code == "feed.nonce"));
    // Whatever else comes, a connection without a new word is given up.
    desk.behave("/v1/feed", Manner::Drip);
    desk.hang_up();
    let before = client.status().connections;
    until("it is given up", || client.status().connections > before + 2);
    desk.order(Order::Suspend);
    becomes(&guard, "certificate.held");
}

/// An authority that was set back has another history: the guard keeps to the one it knows, and denies when that ends.
#[test]
fn another_history_is_refused() {
    let desk = Desk::with_max_age(4);
    let client = desk.connect();
    let guard = client.guard().unwrap();
    becomes(&guard, "allow");
    let (changes, head) = {
        let books = desk.books();
        (books.changes.clone(), books.head)
    };
    desk.order(Order::Suspend);
    becomes(&guard, "certificate.held");
    desk.stop();
    {
        let mut books = desk.books();
        (books.changes, books.head) = (changes, head);
    }
    desk.start();
    until("it is behind", || client.status().last_error.is_some_and(|error| error.code == "feed.behind"));
    assert_ne!(ask(&guard), "allow");
    desk.change(1);
    until("it is another", || {
        client.status().last_error.is_some_and(|error| error.code == "feed.equivocation")
    });
    assert_ne!(ask(&guard), "allow");
    assert_eq!(client.status().epoch, Some(1));
    // Told as what it is, and both histories are kept: each is signed by the same authority.
    let alarms = client.take_alarms();
    let alarm = alarms.iter().find(|alarm| alarm.kind == AlarmKind::Contradiction).unwrap();
    assert_eq!(alarm.kind.code(), "feed.contradiction");
    let evidence = kept(client.directory());
    assert!(alarm.text.contains(evidence.parent().unwrap().to_str().unwrap()), "{}", alarm.text);
    let read = |name: &str| std::fs::read_to_string(evidence.join(name)).unwrap();
    let epoch_of = |line: &str| kakunin_core::feed::UnverifiedItem::parse(line).unwrap().item().epoch();
    let (offered, known) = (read("offered.jws"), read("known.jws"));
    assert!(
        known.lines().any(|line| line != offered.trim() && epoch_of(line) == epoch_of(offered.trim())),
        "{known}"
    );
    for file in ["what.txt", "known.pem", "feed-keys.pem", "issuers.pem"] {
        assert!(!read(file).is_empty(), "{file}");
    }
}

/// C231: whoever stole the feed key announced changes that never come; nothing is fresh until a list names that key, which is
/// not waited for until half of the time of the lists at hand is over.
#[test]
fn a_feed_that_contradicts_itself_makes_lists_come_soon() {
    let desk = Desk::with_max_age(4);
    let client = desk.connect();
    let guard = client.guard().unwrap();
    becomes(&guard, "allow");
    let honest = desk.books().head;
    desk.books().head = FeedHead::new(5, kakunin_core::digest::Digest::of(b"never")).unwrap();
    desk.hang_up();
    until("it is announced", || client.status().last_error.is_some() || ask(&guard) != "allow");
    desk.books().head = honest;
    desk.hang_up();
    until("it went back", || client.status().last_error.is_some_and(|error| error.code == "feed.rollback"));
    // The authority takes the key out of use, and says so in its list alone.
    {
        let mut books = desk.books();
        let stolen = books.key.certificate().decoded().serial();
        let named = entry(stolen, Some(Reason::KeyCompromise), now());
        books.authority.revoke_feed_key(&books.key, now());
        books.key = books.authority.feed_key(now()).unwrap();
        let change = books.key.sign_changes(honest, vec![named], SystemClock.wall()).unwrap().remove(0);
        books.head = change.head;
        books.changes.push(change.line);
    }
    desk.publish();
    let asked = desk.asked("/v1/crl/all");
    becomes(&guard, "allow");
    assert!(desk.asked("/v1/crl/all") > asked);
}

fn kept(dir: &std::path::Path) -> std::path::PathBuf {
    let folders = std::fs::read_dir(dir.join("evidence")).unwrap();
    folders.map(|entry| entry.unwrap().path()).next().unwrap()
}

#[test]
fn lists_that_are_older_or_forged_or_of_tomorrow_stay_out_of_the_directory() {
    let desk = Desk::new();
    let client = desk.connect();
    let (guard, good) = (client.guard().unwrap(), lists_in(client.directory()));
    becomes(&guard, "allow");
    let other = Desk::new();
    desk.publish();
    let future = {
        let books = desk.books();
        let policy = kakunin_core::revocation::ListPolicy::new(60, books.head).unwrap();
        books.authority.lists_with_feed(crate::desk::now().plus(7_200), 24, policy).unwrap()
    };
    let newer = desk.books().lists.clone();
    for (lists, code) in [
        (other.books().lists.clone(), "revocation.invalid"),
        ("nothing".to_owned(), "revocation.missing"),
        (newer.replacen("MI", "MJ", 1), "revocation.invalid"),
        (future, "revocation.invalid"),
    ] {
        desk.books().lists = lists;
        // Changes that are gone make it ask for lists.
        desk.change(1);
        desk.forget();
        desk.hang_up();
        until(code, || client.status().last_error.is_some_and(|error| error.code.starts_with("revocation.")));
        assert_eq!(lists_in(client.directory()), good, "{code}");
        assert_eq!(ask(&guard), "allow", "the last word goes on counting");
    }
    desk.publish();
    until("it goes on", || {
        client.status().epoch == Some(desk.books().head.epoch()) && client.status().last_error.is_none()
    });
    assert_ne!(lists_in(client.directory()), good);
}
