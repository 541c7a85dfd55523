//! The records in one schema of a PostgreSQL server, for several nodes of which one writes.
//!
//! Every verb is one transaction of this node's term (`lead.rs`), committed to the disk of the server before it is
//! answered. A connection that ends is made anew: a verb that was under way is tried once more if its transaction
//! surely did not come to pass, and otherwise says that nobody knows.

mod access;
mod address;
mod agents;
mod audit;
mod certificates;
mod checkpoints;
mod declared;
mod feed;
mod feed_keys;
mod freezes;
mod hooks;
mod issuers;
mod lead;
mod lists;
mod migrate;
mod receipts;
mod requests;
mod risk;
mod session;
mod tls;
mod tokens;
mod values;

use std::cell::RefCell;
use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

pub use address::Address;
use lead::{Attempt, Lead};
pub use lead::{Looked, Standby};
use session::Session;

use super::lists::Wholes;
use super::{AuditLog, Rehearsal, Store, StoreError};

/// A store on a PostgreSQL server.
pub struct PostgresStore {
    address: Address,
    session: RefCell<Option<Session>>,
    lead: Option<Lead>,
    in_batch: bool,
    wholes: Wholes,
}

impl PostgresStore {
    /// Leads, and brings the schema up to date. Waits a little for another command to end.
    ///
    /// # Errors
    /// [`StoreError::LedElsewhere`] when another process leads; otherwise what the server says.
    pub fn open(address: &Address) -> Result<Self, StoreError> {
        let start = Instant::now();
        loop {
            match Lead::attempt(address, None)? {
                Attempt::Leads(lead) => return Ok(Self::leading(address.clone(), lead)),
                // A service does not end by waiting for it.
                Attempt::Led(Some(url)) if start.elapsed() > ENDING => {
                    return Err(StoreError::LedElsewhere { url: Some(url) });
                }
                Attempt::Led(url) if start.elapsed() > PATIENCE => {
                    return Err(StoreError::LedElsewhere { url });
                }
                Attempt::Led(_) => thread::sleep(Duration::from_millis(30)),
            }
        }
    }

    /// Reads what is committed, without leading. Whatever would write fails.
    ///
    /// # Errors
    /// [`StoreError::TooOld`] before any node led with this program's version; otherwise what the server says.
    pub fn reader(address: &Address) -> Result<Self, StoreError> {
        let store = Self::of(address.clone(), None);
        store.read(migrate::check_current)?;
        Ok(store)
    }

    /// Does the migrations, looks whether the audit log holds, and takes the migrations back.
    ///
    /// # Errors
    /// What leading would say, or [`StoreError::AuditBroken`].
    pub fn rehearse(address: &Address) -> Result<Rehearsal, StoreError> {
        let rehearsed = migrate::rehearse(&mut Session::connect(address)?)?;
        if rehearsed.found == rehearsed.known {
            Self::reader(address)?.check_audit(None)?;
        }
        Ok(rehearsed)
    }

    fn leading(address: Address, lead: Lead) -> Self {
        Self::of(address, Some(lead))
    }

    fn of(address: Address, lead: Option<Lead>) -> Self {
        Self { address, session: RefCell::new(None), lead, in_batch: false, wholes: Wholes::default() }
    }

    fn connect(&self) -> Result<Session, StoreError> {
        let mut session = Session::connect(&self.address)?;
        if self.lead.is_none() {
            session.run("SET default_transaction_read_only = on")?;
        }
        Ok(session)
    }

    /// Does what one verb does that only reads.
    fn read<T>(&self, verb: impl FnMut(&mut Session) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut verb = verb;
        let mut held = self.session.try_borrow_mut().map_err(|_| StoreError::Server {
            text: "this connection is in the midst of another answer".into(),
        })?;
        if self.in_batch {
            return verb(held.as_mut().ok_or(StoreError::BatchLost)?);
        }
        self.attempt(&mut held, |_| Ok(()), &mut verb)
    }

    /// Does what one verb does, durably or not at all; within a batch, as a part of it or not at all.
    fn write<T>(&mut self, verb: impl FnMut(&mut Session) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut verb = verb;
        let lead = self.lead.as_ref().ok_or(StoreError::OnlyReads)?;
        let mut held = self.session.borrow_mut();
        if self.in_batch {
            let session = held.as_mut().ok_or(StoreError::BatchLost)?;
            session.run("SAVEPOINT part")?;
            let done = verb(session);
            session.run(if done.is_ok() { "RELEASE part" } else { "ROLLBACK TO part; RELEASE part" })?;
            return done;
        }
        let done = self.attempt(&mut held, |session| lead.begin(session), &mut verb);
        let Some(session) = held.as_mut() else { return done };
        let ended = session.run(if done.is_ok() { "COMMIT" } else { "ROLLBACK" });
        if ended.is_err() {
            // Whether a commit came to pass is not known now. The next verb has a connection of its own.
            *held = None;
        }
        let done = done?;
        ended.map(|()| done)
    }

    /// Runs `begin` and `verb` on the connection, once more on a new one if the first one is over: nothing was
    /// committed by then.
    fn attempt<T>(
        &self,
        held: &mut Option<Session>,
        begin: impl Fn(&mut Session) -> Result<(), StoreError>,
        verb: &mut dyn FnMut(&mut Session) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut again = true;
        loop {
            let session = match held.take().filter(|session| !session.is_over()) {
                Some(session) => held.insert(session),
                None => held.insert(self.connect()?),
            };
            match begin(session).and_then(|()| verb(session)) {
                Err(StoreError::Unreachable { text }) => {
                    *held = None;
                    if !again {
                        return Err(StoreError::Unreachable { text });
                    }
                    again = false;
                }
                done => return done,
            }
        }
    }
}

impl Store for PostgresStore {
    fn batch(
        &mut self,
        work: &mut dyn FnMut(&mut dyn Store) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        if self.in_batch {
            return Err(StoreError::BatchInBatch);
        }
        let lead = self.lead.as_ref().ok_or(StoreError::OnlyReads)?;
        self.attempt(&mut self.session.borrow_mut(), |session| lead.begin(session), &mut |_| Ok(()))?;
        self.in_batch = true;
        let mut batch = Batch { store: self, over: false };
        work(batch.store)?;
        let mut held = batch.store.session.borrow_mut();
        let session = held.as_mut().filter(|session| !session.is_over()).ok_or(StoreError::BatchLost)?;
        // A COMMIT of a transaction that failed takes it back and calls that a success; a SELECT in it fails.
        session.run("SELECT 1; COMMIT")?;
        drop(held);
        batch.over = true;
        Ok(())
    }

    fn confirm(&self) -> Result<(), StoreError> {
        let lead = self.lead.as_ref().ok_or(StoreError::OnlyReads)?;
        self.read(|session| lead.confirm(session))
    }

    fn term(&self) -> Result<i64, StoreError> {
        self.read(|session| session.number("SELECT term FROM leader", &[]))
    }
}

/// A batch under way: unless it was committed, nothing of it happened, also when the work panics.
struct Batch<'a> {
    store: &'a mut PostgresStore,
    over: bool,
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        self.store.in_batch = false;
        let mut held = self.store.session.borrow_mut();
        // A connection that is over takes the transaction back itself.
        if !self.over && held.as_mut().is_some_and(|session| session.run("ROLLBACK").is_err()) {
            *held = None;
        }
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").field("address", &self.address).finish_non_exhaustive()
    }
}

/// How long a command waits for another one.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a service that was killed may still seem to lead.
const ENDING: Duration = Duration::from_secs(3);
