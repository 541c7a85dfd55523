//! Stores of earlier versions: `tests/old/N` has a home as the last program with N migrations left it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;

use kakunin_authority::authority::Hours;
use kakunin_authority::signer::PassphraseSources;
use kakunin_authority::standing::{Order, Standing};
use kakunin_authority::store::{Agents, IssuerId, Rehearsal, SqliteStore, StoreError};
use kakunin_authority::{AgentName, Authority, Home, Who};
use rusqlite::Connection;
use tempfile::TempDir;

use super::{at, fresh, ours};
use crate::office::nobody;

#[test]
fn a_home_of_the_first_version_goes_on_with_all_it_held() {
    let (folder, home) = old_home();
    let passphrase = folder.path().join("passphrase");
    fs::write(&passphrase, "correct horse\n").unwrap();
    fs::set_permissions(&passphrase, fs::Permissions::from_mode(0o600)).unwrap();
    let sources =
        PassphraseSources { named: Some(&passphrase), own: Path::new("/nonexistent"), ask: &nobody };
    let mut authority = Authority::open(&home, sources).unwrap();

    let name = |text| Who::Name(AgentName::parse(text).unwrap());
    let billing = authority.find(&name("billing")).unwrap();
    let support = authority.find(&name("support")).unwrap();
    assert_eq!((billing.standing, support.standing), (Standing::Held, Standing::Revoked));
    assert_eq!(billing.id.to_string(), "ddb6eb46-ff58-4307-9773-8fbb9a3e1026");
    let records = authority.records();
    let standings = |agent| -> Vec<_> {
        records
            .certificates(&ours(), agent)
            .unwrap()
            .iter()
            .map(|held| (held.issuer, held.standing))
            .collect()
    };
    let first = IssuerId::ROOT.next();
    assert_eq!(standings(billing.id), [(first, Standing::Held), (first.next(), Standing::Held)]);
    assert_eq!(standings(support.id), [(first, Standing::Revoked)]);
    let texts: Vec<_> =
        records.events(&ours(), billing.id).unwrap().into_iter().map(|event| event.text).collect();
    assert_eq!(texts, ["audit of the quarter", "found nothing", "again"]);
    assert_eq!(records.directories(&ours(), billing.id).unwrap().len(), 2);
    let ninth = records.newest_list(first).unwrap().unwrap();
    assert_eq!(ninth.number, 9);
    // It had no name then, and is found by it all the same; so is the one that was signed after it.
    let called = ninth.name().unwrap();
    assert_eq!(records.list_named(&called).unwrap(), Some((first, ninth.clone())));

    // It signs on with its old keys, under the next numbers.
    let ordered = authority.order(&name("billing"), Order::Resume, "", Hours::default(), at(AFTER)).unwrap();
    assert_eq!(ordered.agent.standing, Standing::Good);
    assert_eq!(ordered.publication.number, 4);
    let tenth = authority.records().newest_list(first).unwrap().unwrap();
    assert_eq!(tenth.number, 10);
    assert_eq!(authority.records().list_named(&tenth.name().unwrap()).unwrap(), Some((first, tenth)));
    assert_eq!(authority.records().list_named(&called).unwrap(), Some((first, ninth)));
    assert_eq!(authority.records().check_audit(None).unwrap(), None);
}

#[test]
fn a_store_that_came_a_long_way_has_the_tables_of_a_new_one() {
    let (_folder, home) = old_home();
    drop(SqliteStore::open(&home.store()).unwrap());
    let (folder, _store) = fresh();
    let old = schema(&home.store());
    assert_eq!(old, schema(&folder.path().join("store.sqlite")));
    assert!(old.iter().any(|sql| sql.contains("CREATE TABLE audit")));
}

#[test]
fn the_texts_of_migrations_are_what_released_stores_hold() {
    let (folder, _store) = fresh();
    let connection = Connection::open(folder.path().join("store.sqlite")).unwrap();
    let sql = "SELECT lower(hex(checksum)) FROM migrations ORDER BY number";
    let mut statement = connection.prepare(sql).unwrap();
    let kept: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert_eq!(kept, RELEASED);
}

#[test]
fn a_store_made_by_other_instructions_or_a_newer_program_is_refused() {
    for (sql, expected) in [
        ("UPDATE migrations SET checksum = zeroblob(32) WHERE number = 2", "ChangedMigration { number: 2 }"),
        ("UPDATE migrations SET checksum = zeroblob(32) WHERE number = 1", "ChangedMigration { number: 1 }"),
        ("DELETE FROM migrations WHERE number = 1", "ChangedMigration { number: 1 }"),
        ("INSERT INTO migrations VALUES (99, zeroblob(32))", "Damaged"),
        ("PRAGMA user_version = 99", "TooNew { found: 99"),
    ] {
        let (folder, store) = fresh();
        drop(store);
        let path = folder.path().join("store.sqlite");
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        for refused in [SqliteStore::open(&path), SqliteStore::reader(&path)] {
            let refused = format!("{:?}", refused.unwrap_err());
            assert!(refused.starts_with(expected), "{sql}: {refused}");
        }
    }
}

#[test]
fn a_migration_that_fails_leaves_the_store_as_it_was() {
    let (_folder, home) = old_home();
    let connection = Connection::open(home.store()).unwrap();
    connection.execute_batch("CREATE TABLE audit (somebody TEXT)").unwrap();
    let before = schema(&home.store());
    assert!(matches!(SqliteStore::open(&home.store()), Err(StoreError::Database(_))));
    assert!(matches!(SqliteStore::reader(&home.store()), Err(StoreError::TooOld { found: 1, .. })));
    assert_eq!(schema(&home.store()), before);
    connection.execute_batch("DROP TABLE audit").unwrap();
    assert_eq!(SqliteStore::open(&home.store()).unwrap().agents(&ours()).unwrap().len(), 2);
}

#[test]
fn a_migration_is_rehearsed_on_a_copy() {
    let (_folder, home) = old_home();
    let before = schema(&home.store());
    assert_eq!(SqliteStore::rehearse(&home.store()).unwrap(), Rehearsal { found: 1, known: 19 });
    assert_eq!(schema(&home.store()), before);
    // What would not go through is told before anything is changed.
    let connection = Connection::open(home.store()).unwrap();
    connection.pragma_update(None, "foreign_keys", false).unwrap();
    connection.execute("DELETE FROM agents WHERE name = 'support'", []).unwrap();
    let lost = SqliteStore::rehearse(&home.store());
    assert!(matches!(lost, Err(StoreError::Database(_) | StoreError::Damaged { .. })), "{lost:?}");
    assert_eq!(schema(&home.store()), before);
    let left: Vec<_> = fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("rehearsal")), "{left:?}");
    assert!(SqliteStore::rehearse(&home.path().join("nothing.sqlite")).is_err());
    assert!(!home.path().join("nothing.sqlite").exists());
}

#[test]
fn many_processes_may_be_the_first_to_open_an_old_store() {
    let (_folder, home) = old_home();
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                assert_eq!(SqliteStore::open(&home.store()).unwrap().agents(&ours()).unwrap().len(), 2)
            });
        }
    });
}

/// The home of `tests/old/1`: passphrase `correct horse`.
fn old_home() -> (TempDir, Home) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("home");
    let old = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/old/1");
    for part in ["", "root", "issuing", "public"] {
        fs::create_dir(path.join(part)).unwrap();
    }
    for part in ["root", "issuing"] {
        for entry in fs::read_dir(old.join(part)).unwrap() {
            let file = entry.unwrap();
            let to = path.join(part).join(file.file_name());
            fs::copy(file.path(), &to).unwrap();
            fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).unwrap();
        }
    }
    let home = Home::at(&path);
    let sql = fs::read_to_string(old.join("store.sql")).unwrap();
    Connection::open(home.store()).unwrap().execute_batch(&sql).unwrap();
    (folder, home)
}

fn schema(path: &Path) -> Vec<String> {
    let connection = Connection::open(path).unwrap();
    let sql = "SELECT coalesce(sql, name) FROM sqlite_schema ORDER BY name";
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

/// A minute after the home was left.
const AFTER: i64 = 1_795_624_700;

/// Never change one: homes keep these, and refuse a program that brings others.
const RELEASED: [&str; 19] = [
    "62ff7b5a425d267baa8c6184312aec82cb97885e5d017b67a22f72cb0a8f3c63",
    "1b786a14c354ff6cf538cc34781f1c8128cf1c8b16900046b3e64930f8c20c59",
    "eb455b7fc440590caf7e8010416c3b52776057007472444af77c2d61252f94f8",
    "b5721bf137683420a46cf65eebc0af970fd33b40c5447d7aae1acc9c51f5f43a",
    "86018090ac38e7eeb4002baf8642d583689ba64aa44259ea02a9f1da5f20fcf5",
    "14fddacef54f1098b98bbf95832ed26b63a8334b1c0d327a7e925b1a592c3bf7",
    "dbc8dd745d93aee82e86151ebf396427dabc1d7e8aad7ce0328c4c77dfae9adb",
    "8ab01850e4d23f560204a45545f2bcbba0fd03ea54db010a4ce049c306b6d911",
    "37430f3cdc319427496d50e8fdd55adbcea82209390d01bc01784a3ef8d703fb",
    "4d0131ba60f98a95798063e9f66c7b594b285594f825d2ff485a553f367a8ba4",
    "6e9895339da48b961796ec29b1fb87d4121321f697c072f961aa870d6330b3c2",
    "62fa7ad94221681beeee7425b9410a9085f4bc75742f1ea0eebb5fb692759c48",
    "617789de1782d47c60a2adbafb8a56d74e4e17b0fa6d4e92f343f37ec0c50dd3",
    "74f3c93c213f947d110f1aad9e8ad2f9768b21b0e21c2c65bbc6aca99eeeaf9f",
    "acbe6e84167659713d535909bedfdaf47c4fd4db9cc0dba7c401e54366ad49ce",
    "9e211f5840edd60ad218707695c52b6141fd3d41902f6cd28bc8941dedbc6417",
    "67d6cd304ff7fef1f8daceddecabcaa70b00e31268818cd8ae3ef26c58864e67",
    "8c6d65119cf26dcc4c1a2f48130a1304d407d65d3bcf958ae31a2a7a25381229",
    "9152bd25e8b6d9e754e47bcfe275d42492f978a14cdb515087bfc703fcab30da",
];
