//! C94: what was spent, set back under a running guard.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::guard::{House, ask, pay};

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// Without a pause: the journal would be missed at the next look, and until then calls would draw on the copy.
#[test]
fn another_directory_in_the_place_of_the_state_denies_at_once() {
    for linked in [true, false] {
        let house = House::new();
        let guard = house.guard();
        assert_eq!(ask(&guard, &pay("1.00")), "allow");
        let (older, moved) = (house.temp.path().join("older"), house.temp.path().join("moved"));
        copy(&house.state(), &older);
        for _ in 0..4 {
            assert_eq!(ask(&guard, &pay("99.00")), "allow");
        }
        fs::rename(house.state(), &moved).unwrap();
        if linked {
            symlink(&older, house.state()).unwrap();
        } else {
            fs::rename(&older, house.state()).unwrap();
        }
        assert_eq!(ask(&guard, &pay("100.00")), "journal.unavailable");
        guard.refresh();
        assert_eq!(ask(&guard, &pay("100.00")), "journal.unavailable");
    }
}

#[test]
fn older_files_in_the_place_of_newer_ones_are_known_by_a_running_guard() {
    let house = House::new();
    let guard = house.guard();
    assert_eq!(ask(&guard, &pay("1.00")), "allow");
    let files = ["budget.seg", "clock"].map(|name| house.state().join(name));
    let older = files.clone().map(|path| fs::read(path).unwrap());
    for _ in 0..4 {
        assert_eq!(ask(&guard, &pay("99.00")), "allow");
    }
    for (path, bytes) in files.iter().zip(&older) {
        let temporary = path.with_extension("restored");
        fs::write(&temporary, bytes).unwrap();
        fs::rename(&temporary, path).unwrap();
    }
    assert_eq!(ask(&guard, &pay("100.00")), "budget.unknown");
    // The file says so from then on, to whoever opens it.
    drop(guard);
    assert_eq!(ask(&house.guard(), &pay("1.00")), "budget.unknown");
}
