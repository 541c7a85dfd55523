//! Settling what happened: into the audit log, carried out as an operator's order if it is one, and signed.

use kakunin_core::risk::RiskLevel;
use kakunin_core::time::UnixTime;

use super::receipt::RISK_RECEIPT;
use crate::agent::Who;
use crate::authority::{Authority, AuthorityError, Hours};
use crate::standing::Order;
use crate::store::{AuditRecord, Outcome, RiskEvent, RiskEventKind, RiskSeal, RowSalt, StoreError};

impl Authority<'_> {
    /// Settles something that happened: the intent, the order with its lists, the signature, the outcome. After a crash in
    /// between it is settled again; an order that was carried out before is none any more.
    ///
    /// # Errors
    /// [`AuthorityError`] when it cannot be; then it is still owed.
    pub fn settle_risk(
        &mut self,
        number: u64,
        event: &RiskEvent,
        hours: Hours,
        now: UnixTime,
    ) -> Result<(), AuthorityError> {
        self.act_for(&event.tenant)?;
        let agent = self.find(&Who::Id(event.agent))?;
        let order = order(event).filter(|order| {
            // INVARIANT: what an agent is already, or more than that, is not ordered again.
            let to = order.applied_to(agent.standing);
            to.is_ok_and(|to| to != agent.standing)
        });
        let id = self.store.audit_intent(&AuditRecord {
            at: now,
            actor: event.actor.clone(),
            address: None,
            tenant: event.tenant.clone(),
            what: what(event).into(),
            subject: event.agent.to_string(),
            before: Some(agent.standing.word().into()),
            after: order.and_then(|order| order.applied_to(agent.standing).ok()).map(|to| to.word().into()),
            text: event.text.clone(),
            salt: Some(RowSalt::fresh()?),
        })?;
        #[cfg(feature = "http")]
        let asking = self.asking();
        let done = match order {
            Some(order) => self.order(&Who::Id(event.agent), order, DRIFT, hours, now).map(drop),
            None => Ok(()),
        };
        let done = done.and_then(|()| self.seal(number, event, now));
        let outcome = match &done {
            Ok(()) => Outcome::Done,
            Err(error) if error.is_refusal() => Outcome::Refused(error.to_string()),
            Err(error) => Outcome::Failed(error.to_string()),
        };
        #[cfg(feature = "http")]
        if outcome == Outcome::Done && self.asking() > asking {
            // It is done when the list of its group is published.
            self.done_with_group(id, now);
            return done;
        }
        self.store.audit_outcome(id, &outcome, now)?;
        done
    }

    fn seal(&mut self, number: u64, event: &RiskEvent, now: UnixTime) -> Result<(), AuthorityError> {
        let current = self.current()?;
        let (id, key) = (current.id, current.certificate.decoded().key().key_id());
        let signer = self.keys.signer(id)?;
        let signature = signer.sign([RISK_RECEIPT, event.text.as_bytes()].concat().as_slice())?;
        let seal = RiskSeal { signature: signature.to_x509(signer.algorithm()), key, at: now };
        match self.store.seal_risk_event(number, &seal)? {
            true => Ok(()),
            // Somebody settled it before: one of two signatures is enough.
            false if !self.is_owed(number)? => Ok(()),
            false => Err(StoreError::Damaged { what: "risk event" }.into()),
        }
    }

    fn is_owed(&self, number: u64) -> Result<bool, StoreError> {
        let next = self.store.open_risk_events(number.saturating_sub(1), 1)?;
        Ok(next.iter().any(|(open, _)| *open == number))
    }
}

/// The order that a change of level is.
fn order(event: &RiskEvent) -> Option<Order> {
    match (event.kind, event.level) {
        (RiskEventKind::Level, RiskLevel::Suspend) => Some(Order::Suspend),
        (RiskEventKind::Level, RiskLevel::Revoke) => Some(Order::Revoke),
        _ => None,
    }
}

/// The word of it in the audit log.
const fn what(event: &RiskEvent) -> &'static str {
    match (event.kind, event.level) {
        (RiskEventKind::Baseline, _) => "risk.baseline",
        (RiskEventKind::Policy, _) => "risk.policy",
        (RiskEventKind::Level, RiskLevel::Clear) => "risk.clear",
        (RiskEventKind::Level, RiskLevel::Watch) => "risk.watch",
        (RiskEventKind::Level, RiskLevel::StepUp) => "risk.step-up",
        (RiskEventKind::Level, RiskLevel::Suspend) => "risk.suspend",
        (RiskEventKind::Level, RiskLevel::Revoke) => "risk.revoke",
    }
}

/// The reason of orders that nobody gave. The evidence is in the intent.
const DRIFT: &str = "drift";
