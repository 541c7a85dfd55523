//! Connecting: what is needed for it, and what is said where that is missing.

use std::fs;
use std::time::Duration;

use kakunin_client::{Client, ConnectError, ConnectOptions};
use kakunin_core::digest::Digest;
use kakunin_core::revocation::FeedHead;

use crate::desk::{Desk, Manner, ask, becomes, now, whole};

fn code(options: ConnectOptions) -> String {
    Client::connect(options).unwrap_err().code().to_owned()
}

#[test]
fn options_that_cannot_work_are_refused_before_anything_is_done() {
    let desk = Desk::new();
    let with = |change: &dyn Fn(&mut ConnectOptions)| {
        let mut options = desk.options();
        options.timeout = Duration::from_millis(300);
        change(&mut options);
        code(options)
    };
    assert_eq!(with(&|options| options.urls.clear()), "connect.usage");
    assert_eq!(with(&|options| options.urls[0] = "http://authority.example".into()), "connect.usage");
    assert_eq!(with(&|options| options.agent = "../other".into()), "connect.usage");
    assert_eq!(with(&|options| options.max_age = Some(0)), "connect.usage");
    assert_eq!(with(&|options| options.root = Some(Digest::of(b"another"))), "certificate.untrusted");
    assert_eq!(with(&|options| options.directory = Some(desk.temp.path().join("none"))), "connect.no_agent");
    let other = "0b35c5ee-19cc-4d71-9c1c-7bb8e6a0a1d3";
    assert_eq!(with(&|options| options.agent = other.into()), "agent.mismatch");
    let roots = desk.temp.path().join("roots.pem");
    fs::write(&roots, "no certificates").unwrap();
    assert_eq!(
        with(&|options| {
            options.urls.push("https://127.0.0.1:1".into());
            options.ca_file = Some(roots.clone());
        }),
        "connect.tls"
    );
    assert_eq!(desk.books().asked.len(), 0);
}

#[test]
fn without_lists_from_before_an_outage_is_an_error() {
    let desk = Desk::new();
    let mut options = desk.options();
    options.timeout = Duration::from_millis(400);
    desk.stop();
    let error = Client::connect(options.clone()).unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable(_)), "{error}");
    desk.start();
    desk.behave("/v1/crl/all", Manner::Say(whole("500 Internal Server Error", "text/plain", "x").into()));
    options.timeout = Duration::from_secs(2);
    assert_eq!(code(options.clone()), "http.500");
    desk.behave_well();
    options.timeout = crate::desk::PATIENCE;
    let client = Client::connect(options).unwrap();
    assert_eq!(ask(&client.guard().unwrap()), "allow");
}

#[test]
fn a_directory_of_files_is_found_in_order_first() {
    let desk = Desk::new();
    let options = desk.options();
    let dir = options.directory.clone().unwrap();
    let key = fs::read(dir.join("key.pem")).unwrap();
    fs::write(dir.join("key.pem"), "nothing").unwrap();
    assert_eq!(code(options.clone()), "directory.unreadable");
    fs::write(dir.join("key.pem"), key).unwrap();
    let other = Desk::new();
    fs::copy(other.directory().join("ca.pem"), dir.join("ca.pem")).unwrap();
    assert_eq!(code(options), "certificate.untrusted");
}

#[test]
fn lists_that_ask_for_no_feed_are_taken_where_code_says_so_only() {
    let desk = Desk::new();
    {
        let mut books = desk.books();
        books.lists = books.authority.lists(now(), 24).unwrap();
    }
    let mut options = desk.options();
    options.timeout = Duration::from_secs(1);
    assert_eq!(code(options.clone()), "feed.none");
    options.without_feed = true;
    options.timeout = crate::desk::PATIENCE;
    let client = Client::connect(options.clone()).unwrap();
    assert_eq!(ask(&client.guard().unwrap()), "allow");
    assert_eq!(client.status().transport, Some(kakunin_client::Transport::Files));
    client.close();
    // A feed that is there is followed all the same.
    desk.publish();
    fs::remove_file(client.lists()).unwrap();
    let client = Client::connect(options).unwrap();
    let guard = client.guard().unwrap();
    becomes(&guard, "allow");
    assert_eq!(client.status().epoch, Some(FeedHead::START.epoch()));
}

#[test]
fn asynchronous_code_connects_on_any_executor() {
    let desk = Desk::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let client = runtime.block_on(Client::connect_async(desk.options())).unwrap();
    assert_eq!(ask(&client.guard().unwrap()), "allow");
    // Whoever goes on waiting no more leaves no thread behind.
    desk.behave("/v1/crl/all", Manner::Silent);
    fs::remove_file(client.lists()).unwrap();
    drop(client);
    let mut connecting = Box::pin(Client::connect_async(desk.options()));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(std::future::Future::poll(connecting.as_mut(), &mut context).is_pending());
    drop(connecting);
}
