//! One connection with its prepared statements, and what its failures mean.

use std::collections::HashMap;
use std::error::Error as _;
use std::fmt::Write as _;
use std::pin::pin;
use std::thread;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, SimpleQueryMessage, Statement};

use super::Address;
use crate::store::{NoRoom, StoreError};

/// The values of a statement.
pub(super) type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

pub(super) struct Session {
    client: Client,
    statements: HashMap<String, Statement>,
    /// A question was not answered in time: what comes on this connection now may be its answer.
    lost: bool,
    // Dropped last: the connection lives in it.
    runtime: Runtime,
}

impl Session {
    /// Connects, waiting a little for a server that is just being started again.
    pub(super) fn connect(address: &Address) -> Result<Self, StoreError> {
        let start = Instant::now();
        let runtime = Builder::new_current_thread().enable_io().enable_time().build();
        let runtime = runtime
            .map_err(|error| StoreError::Server { text: format!("no runtime for a connection: {error}") })?;
        let client = loop {
            match in_time(&runtime, CONNECT, address.connect()) {
                Ok(client) => break client,
                Err(StoreError::Unreachable { .. }) if start.elapsed() < PATIENCE => {
                    thread::sleep(Duration::from_millis(50));
                }
                Err(error) => return Err(error),
            }
        };
        let mut session = Self { client, statements: HashMap::new(), lost: false, runtime };
        session.run(SETTINGS)?;
        let version = session.number("SELECT current_setting('server_version_num')::int8", &[])?;
        if version < OLDEST {
            return Err(StoreError::Server {
                text: format!("PostgreSQL {} is too old; take 14 or newer", version / 10_000),
            });
        }
        Ok(session)
    }

    /// Whether the connection was seen to end, or is of no use any more.
    pub(super) fn is_over(&self) -> bool {
        self.lost || self.client.is_closed()
    }

    /// Waits for an answer, and no longer than a server that lives could take for it.
    fn wait<T>(
        &mut self,
        ask: impl AsyncFnOnce(&Client) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, StoreError> {
        let answer = async { ask(&self.client).await.map_err(StoreError::from) };
        let answered = in_time(&self.runtime, ANSWER, answer);
        self.lost |= matches!(answered, Err(StoreError::Unreachable { .. }));
        answered
    }

    /// Runs statements without values and without rows.
    pub(super) fn run(&mut self, sql: &str) -> Result<(), StoreError> {
        self.wait(async |client| client.batch_execute(sql).await)
    }

    /// Runs statements without values, and gives the first column of the last row.
    pub(super) fn last_word(&mut self, sql: &str) -> Result<Option<String>, StoreError> {
        let messages = self.wait(async |client| client.simple_query(sql).await)?;
        let row = messages.iter().rev().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        });
        Ok(row)
    }

    pub(super) fn execute(&mut self, sql: &str, values: Values<'_>) -> Result<u64, StoreError> {
        let statement = self.statement(sql)?;
        self.wait(async |client| client.execute(&statement, values).await)
    }

    pub(super) fn rows(&mut self, sql: &str, values: Values<'_>) -> Result<Vec<Row>, StoreError> {
        let statement = self.statement(sql)?;
        self.wait(async |client| client.query(&statement, values).await)
    }

    pub(super) fn row(&mut self, sql: &str, values: Values<'_>) -> Result<Option<Row>, StoreError> {
        Ok(self.rows(sql, values)?.into_iter().next())
    }

    /// Hands each row to `each`, without keeping them all.
    pub(super) fn each(
        &mut self,
        sql: &str,
        values: Values<'_>,
        each: &mut dyn FnMut(&Row) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let statement = self.statement(sql)?;
        let rows = self.wait(async |client| client.query_raw(&statement, values.iter().copied()).await)?;
        let mut rows = pin!(rows);
        while let Some(row) = self.wait(async |_| rows.next().await.transpose())? {
            each(&row)?;
        }
        Ok(())
    }

    /// The one number that a statement gives.
    pub(super) fn number(&mut self, sql: &str, values: Values<'_>) -> Result<i64, StoreError> {
        let row = self.row(sql, values)?.ok_or(StoreError::Damaged { what: "row" })?;
        Ok(row.try_get(0)?)
    }

    pub(super) fn is_there(&mut self, sql: &str, values: Values<'_>) -> Result<bool, StoreError> {
        Ok(self.row(sql, values)?.is_some())
    }

    fn statement(&mut self, sql: &str) -> Result<Statement, StoreError> {
        if let Some(known) = self.statements.get(sql) {
            return Ok(known.clone());
        }
        let statement = self.wait(async |client| client.prepare(sql).await)?;
        self.statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }
}

/// Does what there is to do on a connection, for so long.
fn in_time<T>(
    runtime: &Runtime,
    most: Duration,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let late = |_| StoreError::Unreachable { text: format!("no answer within {} s", most.as_secs()) };
    runtime.block_on(async { tokio::time::timeout(most, work).await }).map_err(late)?
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        let over = match error.code() {
            Some(code) => ENDING.contains(code),
            None => error.is_closed() || error.source().is_some_and(|source| source.is::<std::io::Error>()),
        };
        // A DETAIL of the server may quote rows, and rows hold hashes of secrets: it is not passed on.
        let mut text = String::new();
        match error.as_db_error() {
            Some(db) => {
                let _ = write!(text, "{} (SQLSTATE {})", db.message(), db.code().code());
            }
            None => {
                let _ = write!(text, "{error}");
                if let Some(source) = error.source() {
                    let _ = write!(text, ": {source}");
                }
            }
        }
        match error.code() {
            Some(&SqlState::DISK_FULL) => Self::NoRoom(NoRoom(text)),
            _ if over => Self::Unreachable { text },
            _ => Self::Server { text },
        }
    }
}

/// Codes with which a server ends a connection or does not take one yet.
const ENDING: [SqlState; 6] = [
    SqlState::ADMIN_SHUTDOWN,
    SqlState::CRASH_SHUTDOWN,
    SqlState::CANNOT_CONNECT_NOW,
    SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
    SqlState::IDLE_SESSION_TIMEOUT,
    SqlState::TOO_MANY_CONNECTIONS,
];

/// A server that tells of a commit before it is on its disk would make every answer of ours a guess, so that is never
/// taken from its defaults. A transaction whose client is silent ends: a paused leader must not hold up the next one.
const SETTINGS: &str = "\
    SELECT set_config('synchronous_commit', 'on', false)
      WHERE current_setting('synchronous_commit') IN ('off', 'local');
    SET statement_timeout = '10s';
    SET lock_timeout = '5s';
    SET idle_in_transaction_session_timeout = '3s';
    SET default_transaction_isolation = 'read committed';
    SET bytea_output = 'hex';
    SET client_min_messages = 'warning'";
/// `idle_session_timeout` exists since then.
const OLDEST: i64 = 140_000;
/// How long to try again when a server does not answer. The sequencer waits as long, so it is short.
const PATIENCE: Duration = Duration::from_secs(3);
/// For everything from the first packet to the last of the greeting.
const CONNECT: Duration = Duration::from_secs(5);
/// A server that lives ends a statement after 10 s by itself. One that hangs, or whose network does, ends nothing.
const ANSWER: Duration = Duration::from_secs(12);
