//! A service that cannot start: it makes nothing, loses no key, and says what stands in its way.

use std::fs;

use crate::desk::{Desk, texts};

use super::office::Office;
use super::web::Request;

#[test]
fn a_start_that_fails_makes_no_owners_key_that_nobody_saw() {
    let desk = Desk::empty();
    fs::create_dir(desk.path("empty")).unwrap();
    for (more, said) in [
        (
            &["--log", "nope"][..],
            "--log: `nope` holds no log: it has no checkpoint; begin one with `kakunin log`",
        ),
        (&["--log", "empty"], "--log: `empty` holds no log"),
        (&["--risk-policy", "nope"], "--risk-policy: cannot read nope"),
        (&["--webhook-ca", "nope"], "--webhook-ca: cannot read nope"),
    ] {
        let output = desk.run(&[&["serve", "--listen", "127.0.0.1:0"], more].concat());
        let (out, error) = texts(&output);
        assert_eq!((output.status.code(), out.as_str()), (Some(2), ""), "{more:?}: {error}");
        assert!(error.contains(said), "{error}");
        assert!(!desk.path(".kakunin").exists(), "{more:?}");
    }
    // What is found only when the authority is there: no key was made for it either, so the next start shows one.
    fs::write(desk.path("garbage.pem"), "no certificates").unwrap();
    let output = desk.run(&["serve", "--listen", "127.0.0.1:0", "--webhook-ca", "garbage.pem"]);
    let (out, error) = texts(&output);
    assert_eq!((output.status.code(), out.as_str()), (Some(2), ""), "{error}");
    assert!(desk.path(".kakunin/store.sqlite").exists());
    let office = Office::open(&desk);
    let keys = office.send(&Request::get("/v1/keys").bearer(office.owner()));
    assert_eq!(keys.status, 200);
    let keys = keys.json();
    assert_eq!(keys["data"].as_array().unwrap().len(), 1, "{keys}");
    assert_eq!(office.end(), Some(0));
    // The log of orders has it, and the next start finds nothing lost.
    let office = Office::open(&desk);
    assert!(office.ready.get("owner_key").is_none());
    assert_eq!(office.end(), Some(0));
}

#[test]
fn a_second_service_on_one_home_ends_with_the_address_of_the_first() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    let output = desk.run(&["serve", "--listen", "127.0.0.1:0"]);
    let (out, error) = texts(&output);
    assert_eq!((output.status.code(), out.as_str()), (Some(2), ""), "{error}");
    assert!(error.contains(&format!("is being served at {}", office.url())), "{error}");
    assert_eq!(office.get("/ready").status, 200);
    // A service that was killed holds nobody up.
    office.kill();
    assert_eq!(Office::open(&desk).end(), Some(0));
}
