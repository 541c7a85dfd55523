//! What a crash may leave behind, and that the next order repairs it.

use std::fs;
use std::thread;

use kakunin_authority::authority::{Hours, OldIssuing};
use kakunin_authority::standing::{Order, Standing};

use crate::office::{Office, now};

#[test]
fn an_order_that_could_not_be_published_is_published_by_giving_it_again() {
    let office = Office::open();
    let who = office.create("billing");
    office.certify(&who, "agent").unwrap();
    let (public, away) = (office.home.public(), office.path("away"));
    fs::rename(&public, &away).unwrap();
    assert!(office.order(&who, Order::Suspend).is_err());
    assert_eq!(office.authority().find(&who).unwrap().standing, Standing::Held);
    fs::rename(&away, &public).unwrap();
    assert_eq!(office.verify("agent").standing(), Standing::Good);
    office.order(&who, Order::Suspend).unwrap();
    assert_eq!(office.verify("agent").standing(), Standing::Held);
}

#[test]
fn a_lost_public_folder_is_written_again_by_the_next_list() {
    let office = Office::open();
    let who = office.create("billing");
    office.certify(&who, "agent").unwrap();
    for name in ["ca.pem", "chain.pem", "lists.pem"] {
        fs::remove_file(office.home.public().join(name)).unwrap();
    }
    let _ = office.authority().publish(Hours::default(), now()).unwrap();
    assert_eq!(office.verify("agent").standing(), Standing::Good);
    assert!(office.home.public().join("chain.pem").exists());
}

#[test]
fn an_init_that_crashed_before_it_recorded_anything_is_done_again() {
    let office = Office::open();
    fs::remove_file(office.home.store()).unwrap();
    // It had published nothing.
    fs::remove_file(office.home.path().join("marks")).unwrap();
    for leftover in ["store.sqlite-wal", "store.sqlite-shm"] {
        let _ = fs::remove_file(office.home.path().join(leftover));
    }
    let made = kakunin_authority::Authority::init(&office.home, office.sources(), now(), Hours::default());
    let (authority, _) = made.unwrap();
    drop(authority);
    let who = office.create("billing");
    office.certify(&who, "agent").unwrap();
    assert_eq!(office.verify("agent").standing(), Standing::Good);
}

#[test]
fn orders_from_many_sides_never_sign_one_number_twice() {
    let office = Office::open();
    let who = office.create("billing");
    office.certify(&who, "agent").unwrap();
    let mut numbers: Vec<u64> = thread::scope(|scope| {
        let side = |_| {
            scope.spawn(|| {
                let publish = |_| office.authority().publish(Hours::default(), now()).unwrap().number;
                (0..4).map(publish).collect::<Vec<_>>()
            })
        };
        let sides: Vec<_> = (0..4).map(side).collect();
        sides.into_iter().flat_map(|side| side.join().unwrap()).collect()
    });
    numbers.sort_unstable();
    let first = numbers[0];
    assert_eq!(numbers, (first..first + 16).collect::<Vec<_>>());
    assert_eq!(office.verify("agent").lists().issuing().number().to_u64(), numbers.last().copied());
}

#[test]
fn a_root_list_that_was_never_signed_is_signed_with_the_next_one() {
    // Between recording the authorities and signing their lists lies a moment in which init can be killed.
    let office = Office::open();
    let _ = office.authority().rotate(OldIssuing::Keep, Hours::default(), now()).unwrap();
    // It was not published either.
    fs::remove_file(office.home.path().join("marks")).unwrap();
    let connection = rusqlite::Connection::open(office.home.store()).unwrap();
    let sql = "DROP TRIGGER signed_lists_are_not_cut; DELETE FROM signed_lists WHERE issuer = 0 AND base IS NOT NULL;
               DELETE FROM signed_lists WHERE issuer = 0";
    connection.execute_batch(sql).unwrap();
    drop(connection);
    let _ = office.authority().publish(Hours::default(), now()).unwrap();
    let who = office.create("billing");
    office.certify(&who, "agent").unwrap();
    assert_eq!(office.verify("agent").lists().root().number().to_u64(), Some(3));
}
