//! The PostgreSQL server of `scripts/postgres.sh`, and schemas in it.

use std::env;
use std::sync::atomic::{AtomicU32, Ordering};

use kakunin_authority::store::Address;
use postgres::{Client, NoTls};

/// A schema of its own, gone when it is dropped.
pub(crate) struct Schema {
    server: String,
    name: String,
}

/// A new schema, or `None` without a server: then a test says so and shows nothing.
pub(crate) fn schema() -> Option<Schema> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let Ok(server) = env::var("KAKUNIN_TEST_POSTGRES") else {
        eprintln!("SKIPPED: no PostgreSQL server here; run it by scripts/postgres.sh cargo test ...");
        return None;
    };
    let name = format!("test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let schema = Schema { server, name };
    schema.run(&format!("CREATE SCHEMA {}", schema.name));
    Some(schema)
}

impl Schema {
    /// Its address, as a home would keep it.
    pub(crate) fn text(&self) -> String {
        format!("{}&application_name={}", self.past(), self.name)
    }

    pub(crate) fn address(&self) -> Address {
        Address::parse(&self.text()).unwrap()
    }

    /// The same by TLS, with a name of its own for the program; `change` is made to where the server is.
    pub(crate) fn encrypted(&self, change: impl FnOnce(String) -> String) -> Address {
        let tls = change(env::var("KAKUNIN_TEST_POSTGRES_TLS").unwrap());
        let name = &self.name;
        Address::parse(&format!("{tls}&options=-csearch_path%3D{name}&application_name={name}_tls")).unwrap()
    }

    /// What the server knows of the connections of a store: their processes, and whether they are encrypted.
    pub(crate) fn connections(&self, end: &str) -> Vec<(i32, bool)> {
        let sql =
            "SELECT pid, ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = $1";
        let rows = self.client().query(sql, &[&format!("{}{end}", self.name)]).unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    /// A connection past the store.
    pub(crate) fn client(&self) -> Client {
        Client::connect(&self.past(), NoTls).unwrap()
    }

    /// The same schema under another name of the program, so that the store's connections can be told from ours.
    fn past(&self) -> String {
        format!("{}&options=-csearch_path%3D{}", self.server, self.name)
    }

    /// Does something past the store.
    pub(crate) fn run(&self, sql: &str) {
        self.client().batch_execute(sql).unwrap();
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        if let Ok(mut client) = Client::connect(&self.server, NoTls) {
            let _ = client.batch_execute(&format!("DROP SCHEMA {} CASCADE", self.name));
        }
    }
}
