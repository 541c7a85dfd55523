//! Which of several nodes writes: one at a time, and none that was overtaken.
//!
//! An advisory lock says that somebody leads; it goes when its connection does, so a leader that died leaves none.
//! Whoever has it takes the next **term**, and every writing transaction looks whether its term is still the newest,
//! under a lock that taking a term waits for. So the advisory lock makes a takeover quick, and the term makes it
//! safe: a leader that was paused while another one took over finds a newer term and writes nothing.
//!
//! The lock has a connection of its own, and a thread that says something on it: the server ends a connection on which
//! nothing was said for [`SILENCE`], also when its machine has no power any more and closes nothing.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::session::Session;
use super::{Address, migrate};
use crate::store::StoreError;

/// The right to write, as long as no newer term was taken.
#[derive(Debug)]
pub(super) struct Lead {
    term: i64,
    fence: i64,
    // Taken when it ends: first the channel, then the thread.
    stop: Option<Sender<()>>,
    keeper: Option<JoinHandle<()>>,
}

/// What came of trying to lead.
pub(super) enum Attempt {
    Leads(Lead),
    /// Somebody else does, and says that it answers here.
    Led(Option<String>),
}

impl Lead {
    /// Takes the lock and the next term, if nobody has the lock, and brings the schema up to date.
    pub(super) fn attempt(address: &Address, url: Option<&str>) -> Result<Attempt, StoreError> {
        let mut session = Session::connect(address)?;
        let Keys { lock, fence } = Keys::of(&mut session)?;
        session.run(&format!("SET idle_session_timeout = '{SILENCE}'"))?;
        if !try_lock(&mut session, lock)? {
            return Ok(Attempt::Led(led_at(&mut session)?));
        }
        migrate::migrate(&mut session)?;
        session.run("BEGIN")?;
        // Waits for the transaction that another term may have under way; a new one of it finds the newer term.
        session.rows("SELECT pg_advisory_xact_lock($1)", &[&fence])?;
        let sql = "UPDATE leader SET term = term + 1, url = $1, since = now() RETURNING term";
        let term = session.number(sql, &[&url])?;
        session.run("COMMIT")?;
        let (stop, stopped) = channel();
        let keeper = Keeper { address: address.clone(), lock, term, stopped };
        let keeper =
            thread::Builder::new().name("kakunin-lead".into()).spawn(move || keeper.keep(session)).map_err(
                |error| StoreError::Server { text: format!("no thread to keep the lock: {error}") },
            )?;
        Ok(Attempt::Leads(Self { term, fence, stop: Some(stop), keeper: Some(keeper) }))
    }

    /// Begins a transaction of this term.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when a newer term was taken.
    pub(super) fn begin(&self, session: &mut Session) -> Result<(), StoreError> {
        let fence = self.fence;
        // Three statements: the last one sees what was committed while the one before it waited.
        let sql = format!("BEGIN; SELECT pg_advisory_xact_lock_shared({fence}); SELECT term FROM leader");
        let newest = session.last_word(&sql)?;
        match self.compare(newest.and_then(|word| word.parse().ok())) {
            Ok(()) => Ok(()),
            Err(fenced) => {
                session.run("ROLLBACK")?;
                Err(fenced)
            }
        }
    }

    /// Whether this term is the newest one.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when it is not.
    pub(super) fn confirm(&self, session: &mut Session) -> Result<(), StoreError> {
        let newest = session.row("SELECT term FROM leader", &[])?;
        self.compare(newest.and_then(|row| row.try_get(0).ok()))
    }

    fn compare(&self, newest: Option<i64>) -> Result<(), StoreError> {
        match newest {
            Some(newest) if newest == self.term => Ok(()),
            Some(newest) => Err(StoreError::Fenced { term: self.term, newest }),
            None => Err(StoreError::Damaged { what: "term" }),
        }
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(keeper) = self.keeper.take() {
            // It ends at once, and its connection with it: the next one need not wait for the lock.
            let _ = keeper.join();
        }
    }
}

/// Keeps the lock as long as the lead is there.
struct Keeper {
    address: Address,
    lock: i64,
    term: i64,
    stopped: Receiver<()>,
}

impl Keeper {
    fn keep(self, session: Session) {
        let mut session = Some(session);
        loop {
            let pause = if session.is_some() { BEAT } else { AGAIN };
            if self.stopped.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            match &mut session {
                Some(held) => {
                    if held.run("SELECT 1").is_err() {
                        session = None;
                    }
                }
                // The server was started again, as a rule. Nobody else may have led in between.
                None => match self.lock_again() {
                    Ok(Some(held)) => session = Some(held),
                    Ok(None) => {}
                    Err(StoreError::Fenced { .. }) => return,
                    Err(_) => {}
                },
            }
        }
    }

    fn lock_again(&self) -> Result<Option<Session>, StoreError> {
        let mut session = Session::connect(&self.address)?;
        session.run(&format!("SET idle_session_timeout = '{SILENCE}'"))?;
        let locked = try_lock(&mut session, self.lock)?;
        let newest = session.number("SELECT term FROM leader", &[])?;
        if newest != self.term {
            return Err(StoreError::Fenced { term: self.term, newest });
        }
        Ok(locked.then_some(session))
    }
}

/// Waits for the lead without taking it from a leader whose server is just being started again.
pub struct Standby {
    address: Address,
    session: Option<Session>,
    free_since: Option<Instant>,
}

/// What a node that stands by sees.
#[derive(Debug)]
pub enum Looked {
    /// Somebody leads, and says that it answers here.
    Led(Option<String>),
    /// Nobody has the lock, but not for long enough: its leader may be coming back.
    Free,
    /// This node leads from now on.
    Leads(Box<super::PostgresStore>),
}

impl Standby {
    /// Stands by; nothing is connected yet.
    #[must_use]
    pub const fn new(address: Address) -> Self {
        Self { address, session: None, free_since: None }
    }

    /// Looks whether somebody leads, and if nobody has for some time, leads: `url` is where this node answers. To be
    /// called several times a second.
    ///
    /// # Errors
    /// [`StoreError`] when the server cannot be asked; the next call tries again.
    pub fn look(&mut self, url: Option<&str>) -> Result<Looked, StoreError> {
        let looked = self.see(url);
        if looked.is_err() {
            self.session = None;
            self.free_since = None;
        }
        looked
    }

    fn see(&mut self, url: Option<&str>) -> Result<Looked, StoreError> {
        let session = match &mut self.session {
            Some(session) => session,
            empty => empty.insert(Session::connect(&self.address)?),
        };
        let Keys { lock, .. } = Keys::of(session)?;
        if session.is_there(HELD, &[&lock])? {
            self.free_since = None;
            return Ok(Looked::Led(led_at(session)?));
        }
        let since = *self.free_since.get_or_insert_with(Instant::now);
        // Before its first term a store has no leader that could come back.
        if since.elapsed() < COMING_BACK && migrate::version(session)? > 0 {
            return Ok(Looked::Free);
        }
        match Lead::attempt(&self.address, url)? {
            Attempt::Leads(lead) => {
                Ok(Looked::Leads(Box::new(super::PostgresStore::leading(self.address.clone(), lead))))
            }
            Attempt::Led(url) => {
                self.free_since = None;
                Ok(Looked::Led(url))
            }
        }
    }
}

/// The keys of the advisory locks of one schema: several stores may be in one database.
struct Keys {
    lock: i64,
    fence: i64,
}

impl Keys {
    fn of(session: &mut Session) -> Result<Self, StoreError> {
        let row = session.row(
            "SELECT hashtextextended('kakunin leader ' || current_schema(), 0) & 9223372036854775807,
                    hashtextextended('kakunin fence ' || current_schema(), 0) & 9223372036854775807
             WHERE current_schema() IS NOT NULL",
            &[],
        )?;
        let row = row.ok_or_else(|| StoreError::Server {
            text: "the database has no schema of the name in search_path; make it first".into(),
        })?;
        Ok(Self { lock: row.try_get(0)?, fence: row.try_get(1)? })
    }
}

fn try_lock(session: &mut Session, lock: i64) -> Result<bool, StoreError> {
    let row = session.row("SELECT pg_try_advisory_lock($1)", &[&lock])?;
    Ok(row.ok_or(StoreError::Damaged { what: "row" })?.try_get(0)?)
}

fn led_at(session: &mut Session) -> Result<Option<String>, StoreError> {
    // Whoever leads for the first time has the lock before there are tables.
    if migrate::version(session)? == 0 {
        return Ok(None);
    }
    match session.row("SELECT url FROM leader", &[])? {
        Some(row) => Ok(row.try_get(0)?),
        None => Ok(None),
    }
}

const HELD: &str = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND mode = 'ExclusiveLock'
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND objsubid = 1 AND (classid::int8 << 32) + objid::int8 = $1";
/// After this long without a word the server gives the lock to whoever wants it.
const SILENCE: &str = "2500ms";
const BEAT: Duration = Duration::from_millis(400);
const AGAIN: Duration = Duration::from_millis(100);
/// A leader takes its lock again within [`AGAIN`] of its server's return; another node waits longer than that.
const COMING_BACK: Duration = Duration::from_millis(700);
