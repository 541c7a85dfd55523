//! C67: state and journals that others can write into.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use kakunin_core::guard::{Guard, GuardOptions, StateChoice};
use kakunin_core::home::AgentHome;
use kakunin_core::journal::Journal;
use kakunin_core::request::ActionRequest;

use crate::guard::{House, ask, pay};
use crate::house::stamp;

const INSIDE: [&str; 7] = [".", "lists", "journal", "journal/archive", "budget.seg", "clock", "genesis"];

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A house whose agent has paid once.
fn used() -> House {
    let house = House::new();
    let guard = house.guard();
    assert_eq!(ask(&guard, &pay("1")), "allow");
    guard.close();
    house
}

fn open(house: &House) -> Result<Guard, String> {
    let home = AgentHome::open(&house.dir(), None).unwrap();
    Guard::open(home, house.options()).map_err(|error| error.to_string())
}

#[test]
fn state_that_others_can_write_into_is_refused_until_it_is_closed() {
    let house = used();
    for name in INSIDE {
        let path = house.state().join(name);
        let before = fs::metadata(&path).unwrap().mode() & 0o7777;
        for loose in [before | 0o020, before | 0o002, 0o777, 0o1777] {
            chmod(&path, loose);
            let error = open(&house).unwrap_err();
            assert!(error.contains(&format!("has mode {loose:03o}, so others can write")), "{name}: {error}");
            assert!(error.contains("run chmod "), "{error}");
        }
        chmod(&path, before);
        assert_eq!(ask(&open(&house).unwrap(), &pay("1")), "allow", "{name}");
    }
}

/// Opened before it was made loose, and before there was anything to be loose.
#[test]
fn state_that_others_are_let_into_later_denies_until_it_is_closed() {
    let house = House::new();
    let guard = house.guard();
    fs::create_dir(house.state()).unwrap();
    chmod(&house.state(), 0o777);
    let denied = guard.admit(&pay("1")).unwrap_err();
    assert_eq!(denied.code(), "journal.unavailable");
    assert!(denied.to_string().contains("has mode 777"), "{denied}");
    chmod(&house.state(), 0o700);
    assert_eq!(ask(&guard, &pay("1")), "allow");
    for name in INSIDE {
        let path = house.state().join(name);
        let before = fs::metadata(&path).unwrap().mode() & 0o7777;
        chmod(&path, before | 0o002);
        guard.refresh();
        assert_eq!(ask(&guard, &pay("1")), "journal.unavailable", "{name}");
        chmod(&path, before);
        guard.refresh();
        assert_eq!(ask(&guard, &pay("1")), "allow", "{name}");
    }
}

#[test]
fn a_state_of_its_own_is_refused_too_and_a_folder_in_it_is_made_closed() {
    let house = House::new();
    let volume = house.temp.path().join("volume");
    fs::create_dir(&volume).unwrap();
    // What an empty volume of a container looks like.
    chmod(&volume, 0o777);
    let home = || AgentHome::open(&house.dir(), None).unwrap();
    let at = |path: PathBuf| GuardOptions { state: StateChoice::Path(path), ..house.options() };
    let error = Guard::open(home(), at(volume.clone())).unwrap_err().to_string();
    assert!(error.contains("or name a folder inside it"), "{error}");
    let guard = Guard::open(home(), at(volume.join("agent"))).unwrap();
    assert_eq!(ask(&guard, &ActionRequest::new("read:a")), "allow");
    assert_eq!(fs::metadata(volume.join("agent")).unwrap().mode() & 0o7777, 0o700);
}

#[test]
fn a_journal_that_others_can_write_into_is_refused() {
    let (dir, author) = (tempfile::tempdir().unwrap(), crate::journal::house());
    chmod(dir.path(), 0o770);
    let error = Journal::open(dir.path(), author.identity(), stamp(0)).unwrap_err().to_string();
    assert!(error.contains("has mode 770"), "{error}");
    chmod(dir.path(), 0o700);
    assert!(Journal::open(dir.path(), author.identity(), stamp(0)).is_ok());
}

#[test]
fn whatever_is_made_lets_nobody_else_in() {
    let house = used();
    let mut open = vec![house.state()];
    let mut seen = 0;
    while let Some(path) = open.pop() {
        let data = fs::metadata(&path).unwrap();
        let expected = if data.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(data.mode() & 0o7777, expected, "{}", path.display());
        seen += 1;
        if data.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    assert!(seen > 10, "{seen}");
}

/// Nobody can write there, whatever the modes say: what is wrong is that the agent cannot either.
#[test]
fn a_read_only_mount_is_not_loose() {
    let house = House::new();
    let mount = house.temp.path().join("mount");
    fs::create_dir(&mount).unwrap();
    let run = |program: &str, arguments: &[&str]| {
        Command::new(program).args(arguments).arg(&mount).status().is_ok_and(|status| status.success())
    };
    if !run("mount", &["-t", "tmpfs", "-o", "ro,mode=777", "kakunin-test"]) {
        return;
    }
    let options = GuardOptions { state: StateChoice::Path(mount.clone()), ..house.options() };
    let answer = Guard::open(AgentHome::open(&house.dir(), None).unwrap(), options)
        .map(|guard| guard.admit(&pay("1")).unwrap_err());
    assert!(run("umount", &[]));
    let denied = answer.unwrap();
    assert_eq!(denied.code(), "journal.unavailable");
    assert!(denied.to_string().contains("Read-only file system"), "{denied}");
}
