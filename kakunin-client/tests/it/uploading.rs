//! Receipts on their way to the authority.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use kakunin_client::Client;
use kakunin_core::guard::{Guard, GuardOptions};
use kakunin_core::journal::{JournalOptions, Sealing, StreamReader};

use crate::desk::{Desk, Manner, ask, becomes, until, whole};
use crate::office::{HOUR, Office};

/// What a log would have of every receipt of the journal in `dir`.
fn journal(dir: &Path) -> BTreeSet<String> {
    let streams = StreamReader::streams(&dir.join("state/journal")).unwrap();
    streams.into_iter().flatten().filter_map(|entry| entry.unwrap().to_log_entry()).collect()
}

fn decide(guard: &Guard, times: usize) {
    becomes(guard, "allow");
    for _ in 0..times {
        ask(guard);
    }
}

/// All that the client has to send is sent: the cursor says `closed` of so many streams.
fn sent(client: &Client, streams: usize) {
    let cursor = client.directory().join("state/uploaded");
    until("everything is sent", || {
        let text = fs::read_to_string(&cursor).unwrap_or_default();
        text.lines().filter(|line| line.ends_with(" closed")).count() == streams
            && client.status().uploads_behind == 0
    });
}

#[test]
fn what_was_decided_is_known_at_home_once_also_if_it_is_sent_again() {
    let mut office = Office::new(0);
    let client = office.connect();
    let guard = client.guard().unwrap();
    decide(&guard, 300);
    guard.close();
    sent(&client, 1);
    let first = office.receipts();
    // The authority is away, and the cursor is lost: everything again.
    office.stop();
    decide(&guard, 40);
    guard.close();
    fs::remove_file(client.directory().join("state/uploaded")).unwrap();
    drop(client);
    office.start();
    let client = office.connect();
    sent(&client, 2);
    let all = office.receipts();
    let kept: BTreeSet<String> = all.iter().cloned().collect();
    assert_eq!(kept, journal(&office.directory()));
    assert_eq!(all.len(), kept.len(), "each once");
    assert!(first.len() >= 600 && all.len() >= first.len() + 80, "{} {}", first.len(), all.len());
}

/// A sealed stream goes with its seals, whatever a body takes.
#[test]
fn sealed_receipts_are_sent_with_their_seals() {
    let mut office = Office::new(0);
    let client = office.connect();
    let journal_options = JournalOptions { sealing: Some(Sealing::Groups), ..JournalOptions::default() };
    let guard =
        client.guard_with(GuardOptions { journal: journal_options, ..GuardOptions::default() }).unwrap();
    decide(&guard, 1_200);
    guard.close();
    sent(&client, 1);
    let kept: BTreeSet<String> = office.receipts().into_iter().collect();
    assert_eq!(kept, journal(&office.directory()));
    assert!(kept.iter().filter(|line| line.ends_with('.')).count() > 2_000, "most are sealed");
}

/// The renewed certificate signs on in the same stream, and the authority knows both.
#[test]
fn receipts_before_and_after_a_renewal_are_sent() {
    let mut office = Office::new(20 * HOUR);
    let client = office.connect();
    let guard = client.guard().unwrap();
    decide(&guard, 5);
    let end = || guard.snapshot().unwrap().agent().path().not_after();
    let before = end();
    until("the guard has the new one", || end() > before);
    decide(&guard, 5);
    guard.close();
    sent(&client, 1);
    let kept: BTreeSet<String> = office.receipts().into_iter().collect();
    assert_eq!(kept, journal(&office.directory()));
}

#[test]
fn what_nobody_acknowledged_stays_to_be_sent() {
    let desk = Desk::new();
    for answer in [
        whole("200 OK", "application/json", "{\"data\":{\"accepted\":0,\"known\":0}}"),
        whole("200 OK", "text/html", "<p>thanks"),
        whole("422 Unprocessable Content", "application/json", "{\"code\":\"receipt.signature\"}"),
    ] {
        desk.behave("/v1/receipts", Manner::Say(answer.into_bytes()));
        let client = desk.connect();
        let guard = client.guard().unwrap();
        decide(&guard, 1);
        guard.close();
        let mut told = Vec::new();
        until("an alarm", || client.take_alarms().iter().any(|alarm| alarm.kind.code() == "uploads.failed"));
        told.push(client.status());
        assert!(!client.directory().join("state/uploaded").exists(), "{told:?}");
    }
    let mut options = desk.options();
    options.uploads = false;
    let before = desk.asked("/v1/receipts");
    let client = Client::connect(options).unwrap();
    until("it follows", || client.status().epoch == Some(0));
    assert_eq!(desk.asked("/v1/receipts"), before);
}
