//! Lines to a PostgreSQL server: encrypted to whom the address names, and never waited on for ever.

use std::net::TcpListener;
use std::process::Command;

use kakunin_authority::store::{Access, Address, PostgresStore, StoreError};

use super::server::schema;

#[test]
fn a_database_is_reached_by_tls_under_the_name_that_its_certificate_has() {
    let Some(schema) = schema() else { return };
    let store = PostgresStore::open(&schema.encrypted(|tls| tls)).unwrap();
    assert!(!store.tenants().unwrap().is_empty());
    let connections = schema.connections("_tls");
    assert!(connections.len() >= 2 && connections.iter().all(|(_, encrypted)| *encrypted), "{connections:?}");
    drop(store);
    // The same server by another name, and by authorities that did not make its certificate.
    let platform = |tls: String| tls.split("&sslrootcert").next().unwrap().to_owned();
    for address in
        [schema.encrypted(|tls| tls.replace("@localhost", "@127.0.0.1")), schema.encrypted(platform)]
    {
        let refused = PostgresStore::reader(&address).unwrap_err();
        let text = refused.to_string();
        assert!(text.contains("certificate") || text.contains("authority"), "{text}");
    }
    // A socket that speaks no TLS is not spoken to without.
    let missing = schema.encrypted(|tls| tls.replace("/ca.pem", "/none.pem"));
    let refused = PostgresStore::reader(&missing).unwrap_err().to_string();
    assert!(refused.contains("none.pem"), "{refused}");
}

#[test]
fn a_database_that_takes_a_connection_and_says_nothing_is_out_of_reach() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("postgres://u@{}/x", silent.local_addr().unwrap());
    let found = PostgresStore::reader(&Address::parse(&address).unwrap());
    assert!(matches!(found, Err(StoreError::Unreachable { .. })), "{found:?}");
}

#[test]
fn a_connection_that_falls_silent_is_given_up_and_another_one_is_asked() {
    let Some(schema) = schema() else { return };
    let store = PostgresStore::open(&schema.address()).unwrap();
    let reader = PostgresStore::reader(&schema.encrypted(|tls| tls)).unwrap();
    assert_eq!(reader.tenants().unwrap(), store.tenants().unwrap());
    let silent: Vec<String> = schema.connections("_tls").iter().map(|(pid, _)| pid.to_string()).collect();
    let signal = |name: &str| Command::new("kill").arg(name).args(&silent).status().unwrap();
    assert!(!silent.is_empty() && signal("-STOP").success());
    let answered = reader.tenants();
    assert!(signal("-CONT").success());
    assert_eq!(answered.unwrap(), store.tenants().unwrap());
}
