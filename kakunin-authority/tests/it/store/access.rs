//! API keys: found by their prefix, of one tenant, revoked once.

use kakunin_authority::access::{KeyPrefix, Role};
use kakunin_authority::store::{Access, ApiKeyRecord, SqliteStore, StoreError};
use kakunin_core::digest::Digest;
use kakunin_core::id::AgentId;

use super::{at, fresh, ours, theirs};

#[test]
fn a_key_is_found_by_its_prefix_as_it_was_added() {
    let (_folder, mut store) = fresh();
    let agents = [AgentId::from_random([1; 16]), AgentId::from_random([2; 16])];
    let mut added = Vec::new();
    for (number, role) in (0..).zip(Role::ALL) {
        // Bound to none is not the same as not bound.
        let agents = match number % 3 {
            0 => None,
            1 => Some(Vec::new()),
            _ => Some(agents.to_vec()),
        };
        let key = ApiKeyRecord { agents, role, ..key(number) };
        store.add_key(&key).unwrap();
        added.push(key);
    }
    for key in &added {
        assert_eq!(store.key(&key.prefix).unwrap().as_ref(), Some(key));
    }
    assert_eq!(store.keys(&ours()).unwrap(), added);
    assert_eq!(store.keys(&theirs()).unwrap(), []);
    assert_eq!(store.key(&key(99).prefix).unwrap(), None);
}

#[test]
fn a_prefix_is_taken_once_and_a_tenant_has_to_exist() {
    let (_folder, mut store) = fresh();
    store.add_key(&key(1)).unwrap();
    let again = ApiKeyRecord { label: "another".into(), ..key(1) };
    assert!(matches!(store.add_key(&again), Err(StoreError::KeyTaken { prefix }) if prefix == again.prefix));
    let foreign = ApiKeyRecord { tenant: theirs(), ..key(2) };
    assert!(
        matches!(store.add_key(&foreign), Err(StoreError::UnknownTenant { tenant }) if tenant == theirs())
    );
    assert_eq!(store.keys(&ours()).unwrap(), [key(1)]);
}

#[test]
fn a_key_is_revoked_once_and_by_its_own_tenant() {
    let (_folder, mut store) = fresh();
    let key = key(1);
    store.add_key(&key).unwrap();
    assert_eq!(store.revoke_key(&theirs(), &key.prefix, at(150)).unwrap(), None);
    assert!(store.key(&key.prefix).unwrap().unwrap().stands(at(150)));
    assert_eq!(store.revoke_key(&ours(), &key.prefix, at(200)).unwrap(), Some(at(200)));
    assert_eq!(store.revoke_key(&ours(), &key.prefix, at(300)).unwrap(), Some(at(200)));
    let kept = store.key(&key.prefix).unwrap().unwrap();
    assert_eq!(kept.revoked, Some(at(200)));
    assert!(!kept.stands(at(150)));
}

#[test]
fn a_key_stands_until_it_expires_and_reaches_whom_it_is_bound_to() {
    let (one, two) = (AgentId::from_random([1; 16]), AgentId::from_random([2; 16]));
    let free = key(1);
    assert!(free.stands(at(999)) && !free.stands(at(1000)) && free.reaches(one));
    let bound = ApiKeyRecord { agents: Some(vec![one]), expires: None, ..key(2) };
    assert!(bound.stands(at(1000)) && bound.reaches(one) && !bound.reaches(two));
    let unused = ApiKeyRecord { agents: Some(Vec::new()), ..key(3) };
    assert!(!unused.reaches(one));
}

#[test]
fn a_reader_sees_what_is_committed_and_writes_nothing() {
    let (folder, mut store) = fresh();
    let path = folder.path().join("store.sqlite");
    let mut reader = SqliteStore::reader(&path).unwrap();
    assert_eq!(reader.keys(&ours()).unwrap(), []);
    store.add_key(&key(1)).unwrap();
    assert_eq!(reader.keys(&ours()).unwrap(), [key(1)]);
    assert!(reader.add_key(&key(2)).is_err());
    assert!(reader.revoke_key(&ours(), &key(1).prefix, at(1)).is_err());
    assert_eq!(store.keys(&ours()).unwrap(), [key(1)]);
    assert!(SqliteStore::reader(&folder.path().join("other.sqlite")).is_err());
    assert!(!folder.path().join("other.sqlite").exists());
}

fn key(number: u8) -> ApiKeyRecord {
    ApiKeyRecord {
        prefix: KeyPrefix::from_random([number; 8]),
        secret: Digest::of(&[number]),
        role: Role::Owner,
        tenant: ours(),
        agents: None,
        networks: Some(vec!["10.0.0.0/8".into(), "2001:db8::/32".into()]),
        label: "robots; DROP TABLE api_keys \u{1b}[31m\0".into(),
        created: at(100),
        expires: Some(at(1000)),
        revoked: None,
    }
}
