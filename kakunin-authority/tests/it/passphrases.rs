//! Who is asked for a passphrase, and what happens when nobody is there.

use std::cell::RefCell;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use kakunin_authority::authority::Hours;
use kakunin_authority::signer::PassphraseSources;
use kakunin_authority::{Authority, Home};
use zeroize::Zeroizing;

use crate::office::now;

/// A person who gives these answers.
fn person(answers: &[&str]) -> impl Fn(&str) -> io::Result<Option<Zeroizing<String>>> {
    let answers = RefCell::new(answers.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>().into_iter());
    move |_: &str| Ok(answers.borrow_mut().next().map(Zeroizing::new))
}

fn init(folder: &Path, answers: &[&str]) -> Result<Home, String> {
    let home = Home::at(&folder.join("home"));
    let (own, ask) = (home.passphrase(), person(answers));
    let sources = PassphraseSources { named: None, own: &own, ask: &ask };
    let made = Authority::init(&home, sources, now(), Hours::default());
    made.map(drop).map_err(|error| error.to_string())?;
    Ok(home)
}

fn publish(home: &Home, answers: &[&str]) -> Result<(), String> {
    let (own, ask) = (home.passphrase(), person(answers));
    let sources = PassphraseSources { named: None, own: &own, ask: &ask };
    let mut authority = Authority::open(home, sources).unwrap();
    authority.publish(Hours::default(), now()).map(drop).map_err(|error| error.to_string())
}

#[test]
fn a_person_chooses_it_twice_and_is_asked_again_later() {
    let folder = tempfile::tempdir().unwrap();
    assert!(init(folder.path(), &["one", "two"]).unwrap_err().contains("differ"));
    let home = init(folder.path(), &["one", "one"]).unwrap();
    assert!(!home.passphrase().exists());
    publish(&home, &["one"]).unwrap();
    assert!(publish(&home, &["two"]).unwrap_err().contains("does not open"));
    assert!(publish(&home, &[]).unwrap_err().contains("KAKUNIN_PASSPHRASE"));
}

#[test]
fn with_nobody_to_ask_a_random_one_is_kept_for_the_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let home = init(folder.path(), &[]).unwrap();
    let mode = fs::metadata(home.passphrase()).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode, fs::read(home.passphrase()).unwrap().len()), (0o600, 65));
    publish(&home, &[]).unwrap();
    for mode in [0o640, 0o604] {
        fs::set_permissions(home.passphrase(), fs::Permissions::from_mode(mode)).unwrap();
        assert!(publish(&home, &[]).unwrap_err().contains("chmod 600"));
    }
}

#[test]
fn what_everyone_may_read_is_readable_and_nothing_else_is() {
    let folder = tempfile::tempdir().unwrap();
    let home = init(folder.path(), &[]).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o077;
    for open in [home.path().to_owned(), home.public(), home.public().join("lists.pem")] {
        assert_ne!(mode(&open) & 0o044, 0, "{}", open.display());
    }
    let folders = ["root", "issuing"].map(|name| home.path().join(name));
    for closed in [home.store(), home.root_key(), home.passphrase()].iter().chain(&folders) {
        assert_eq!(mode(closed), 0, "{}", closed.display());
    }
}
