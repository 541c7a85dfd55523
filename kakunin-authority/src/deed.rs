//! Orders given where the home is: recorded before they are carried out, and with what came of them afterwards.
//!
//! The service records those of its callers itself (`http/deed.rs`), by whose key and from where.

use kakunin_core::time::UnixTime;

use crate::access::Actor;
use crate::authority::{Authority, AuthorityError};
use crate::store::{AuditRecord, Outcome, RowSalt};

/// What somebody is about to do.
#[derive(Clone, Debug)]
pub struct Deed {
    /// In one word, such as `agent.suspend`.
    pub what: &'static str,
    /// To whom or what.
    pub subject: String,
    /// How that was.
    pub before: Option<String>,
    /// How it is to be.
    pub after: Option<String>,
    /// In the words of whoever ordered it.
    pub text: String,
}

impl Authority<'_> {
    /// Carries out what the local operator ordered, between its two entries in the audit log.
    ///
    /// # Errors
    /// What `act` ends in; an entry that cannot be made, before which nothing is done.
    pub fn locally<T>(
        &mut self,
        deed: Deed,
        now: UnixTime,
        act: impl FnOnce(&mut Self) -> Result<T, AuthorityError>,
    ) -> Result<T, AuthorityError> {
        let Deed { what, subject, before, after, text } = deed;
        let id = self.store.audit_intent(&AuditRecord {
            at: now,
            actor: Actor::Local,
            address: None,
            tenant: self.tenant.clone(),
            what: what.into(),
            subject,
            before,
            after,
            text,
            salt: Some(RowSalt::fresh()?),
        })?;
        let done = act(self);
        let outcome = match &done {
            Ok(_) => Outcome::Done,
            Err(error) if error.is_refusal() => Outcome::Refused(error.to_string()),
            Err(error) => Outcome::Failed(error.to_string()),
        };
        match (done, self.store.audit_outcome(id, &outcome, now)) {
            // What went wrong first is what whoever ordered it can do something about.
            (Err(error), _) => Err(error),
            (Ok(_), Err(error)) => Err(error.into()),
            (Ok(done), Ok(())) => Ok(done),
        }
    }
}
