//! Orders of callers: recorded before they are carried out, and with what came of them afterwards.

use std::sync::Arc;

use kakunin_core::time::UnixTime;

use super::access::Caller;
use super::error::Refusal;
use super::once::marked;
use super::sequencer::Lane;
use super::service::Service;
use crate::authority::{Authority, AuthorityError};
use crate::store::{AuditId, AuditRecord, Outcome, RowSalt, StoreError};

/// What is about to be done.
pub(crate) struct Intent {
    /// In one word.
    pub(crate) what: &'static str,
    /// To whom or what.
    pub(crate) subject: String,
    pub(crate) before: Option<String>,
    pub(crate) after: Option<String>,
    /// In the words of whoever ordered it.
    pub(crate) text: String,
}

impl Service {
    /// Has the sequencer look, record the intent, do it and record the outcome, in one piece.
    ///
    /// # Errors
    /// [`Refusal`]: what `look` or `act` refuses; an intent or outcome that cannot be recorded.
    pub(crate) async fn carry_out<L, T>(
        self: &Arc<Self>,
        caller: &Caller,
        lane: Lane,
        look: impl FnOnce(&Authority<'_>) -> Result<(Intent, L), Refusal> + Send + 'static,
        act: impl FnOnce(&mut Authority<'_>, L, AuditId, UnixTime) -> Result<T, AuthorityError> + Send + 'static,
    ) -> Result<T, Refusal>
    where
        T: Send + 'static,
    {
        let (caller, clock, room) = (caller.clone(), Arc::clone(&self.clock), Arc::clone(&self.room));
        let tenant = caller.tenant().clone();
        let done = self.orders.give_of(Some(tenant), lane, move |authority: &mut Authority<'_>| {
            let now = clock();
            caller.still_stands(authority.records(), now)?;
            authority.act_for(caller.tenant())?;
            match lane {
                Lane::Urgent => room.for_urgent(),
                Lane::Ordinary => room.for_others()?,
            }
            let (intent, seen) = look(authority)?;
            let record = record_of(&caller, intent, now)?;
            // What cannot be recorded is not done.
            let id = authority.store.audit_intent(&record)?;
            let asking = authority.asking();
            let (outcome, answer) = came_of(act(authority, seen, id, now));
            if outcome == Outcome::Done && authority.asking() > asking {
                authority.done_with_group(id, now);
                return answer;
            }
            // Done and not recorded as done: the intent stands, and the caller has to look.
            authority.store.audit_outcome(id, &outcome, now)?;
            answer
        });
        done.await.map_err(|none| self.failure(none))?
    }
}

/// An intent as the audit log has it.
///
/// # Errors
/// [`StoreError::NoRandomness`].
pub(crate) fn record_of(caller: &Caller, intent: Intent, now: UnixTime) -> Result<AuditRecord, StoreError> {
    Ok(AuditRecord {
        at: now,
        actor: caller.actor(),
        address: caller.address.clone(),
        tenant: caller.tenant().clone(),
        what: intent.what.into(),
        subject: intent.subject,
        before: intent.before,
        after: intent.after,
        text: match &caller.repeat {
            Some(key) => marked(intent.text, key),
            None => intent.text,
        },
        salt: Some(RowSalt::fresh()?),
    })
}

/// What came of an order, for the audit log and for whoever gave it.
pub(crate) fn came_of<T>(done: Result<T, AuthorityError>) -> (Outcome, Result<T, Refusal>) {
    match done {
        Ok(done) => (Outcome::Done, Ok(done)),
        Err(error) => {
            let (refused, text) = (error.is_refusal(), error.to_string());
            let refusal = Refusal::from(error);
            let outcome = match refused {
                true => Outcome::Refused(refusal.code.into()),
                false => Outcome::Failed(text),
            };
            (outcome, Err(refusal))
        }
    }
}
