//! A database that goes back in time, under a leader and under a node that stands by.

use std::fs;

use postgres::{Client, NoTls};
use serde_json::json;

use super::nodes::{Second, database, desk};
use super::office::{Office, wait};
use super::web::Request;

/// The tables of a database as they are now, in the database itself.
struct Snapshot {
    client: Client,
    schema: String,
    tables: Vec<String>,
}

impl Snapshot {
    fn take(database: &str) -> Self {
        let mut client = Client::connect(database, NoTls).unwrap();
        let schema: String = client.query_one("SELECT current_schema()::text", &[]).unwrap().get(0);
        let tables = client
            .query("SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema()", &[])
            .unwrap();
        let tables: Vec<String> = tables.iter().map(|row| row.get(0)).collect();
        let mut copies = format!("BEGIN ISOLATION LEVEL REPEATABLE READ; CREATE SCHEMA {schema}_then;");
        for table in &tables {
            copies.push_str(&format!("CREATE TABLE {schema}_then.{table} AS TABLE {table};"));
        }
        client.batch_execute(&format!("{copies} COMMIT")).unwrap();
        Self { client, schema, tables }
    }

    /// Puts them back, as restoring a backup does.
    fn put_back(&mut self) {
        let mut sql = String::from("BEGIN; SET LOCAL session_replication_role = replica;");
        for table in &self.tables {
            sql.push_str(&format!(
                "DELETE FROM {table}; INSERT INTO {table} OVERRIDING SYSTEM VALUE TABLE {}_then.{table};",
                self.schema
            ));
        }
        self.client.batch_execute(&format!("{sql} COMMIT")).unwrap();
    }
}

#[test]
fn a_node_that_stood_by_leads_with_no_older_records_than_it_has_seen() {
    let Some(database) = database() else { return };
    let desk = desk(&database);
    let first = Office::open(&desk);
    let second = Second::open(&desk, first.url());
    let mut snapshot = Snapshot::take(&database);
    let revoked = first.post("/v1/agents/billing/revoke", &json!({ "reason": "stolen" })).json();
    let number = revoked["data"]["list_number"].as_u64().unwrap();
    wait("the second node has seen the revocation", || {
        let marks = fs::read_to_string(desk.path("second/marks")).unwrap();
        marks.contains(&format!("list 1 {number}\n")).then_some(())
    });
    // It must not take its turn before the database went back.
    second.signal("STOP");
    first.kill();
    snapshot.put_back();
    second.signal("CONT");
    wait("the second node says that the records are behind", || {
        let ready = second.try_send(&Request::get("/ready"))?;
        assert_eq!(ready.status, 503, "it leads with older records: {}", ready.text());
        ready.text().contains("the records are behind what was published").then_some(())
    });
    assert_eq!(second.try_send(&Request::get("/v1/crl")).unwrap().status, 503);
}

#[test]
fn a_leader_whose_database_went_back_ends() {
    let Some(database) = database() else { return };
    let desk = desk(&database);
    let mut first = Office::open(&desk);
    let mut snapshot = Snapshot::take(&database);
    // Nothing is published for it: the orders are what tells.
    let made = first.post("/v1/keys", &json!({ "role": "revoker", "label": "drill" }));
    assert_eq!(made.status, 201, "{}", made.text());
    snapshot.put_back();
    assert_eq!(first.ended(), Some(2), "{}", first.log());
    assert!(first.log().contains("the records are behind what was ordered"), "{}", first.log());
}
