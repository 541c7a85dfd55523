//! Whoever asked a gateway: the decision is the gateway's receipt, and by the caller's certificate.
//!
//! So two certificates stand behind an allowance, and both have to be good: the caller's, whose scope and standing were asked,
//! and the gateway's, which may let nobody in while its own agent may do nothing.

use std::sync::Arc;

use super::feeds::Fed;
use super::papers::{CheckedList, Papers, Revoked, Signatory};
use super::stream::Code;
use crate::receipt::{Caller, Event, ListUse};
use crate::time::UnixTime;

impl Papers<'_> {
    /// The agent that a gateway's decision is about, of the gateway's own issuing authority and under a root that stands for
    /// the gateway too: no gateway lets in anybody else's, and another authority's list says nothing of the gateway itself.
    pub(super) fn caller(
        &mut self,
        source: usize,
        caller: &Caller,
        gateway: &Signatory,
    ) -> Option<Arc<Signatory>> {
        let known = self.signatory(source, &caller.certificate)?;
        let is_named = known.path().agent().agent() == caller.agent;
        let common = known.roots().iter().any(|root| gateway.roots().contains(root));
        (is_named && common && known.issuer() == gateway.issuer()).then_some(known)
    }

    /// By whose certificate, and so by whose lists, `event` was decided: the caller's in a gateway's decision, otherwise that
    /// of whoever signed it.
    pub(super) fn decided_by(
        &mut self,
        source: usize,
        event: &Event,
        signatory: &Arc<Signatory>,
    ) -> Option<Arc<Signatory>> {
        match event.caller() {
            None => Some(Arc::clone(signatory)),
            Some(caller) => self.caller(source, caller, signatory),
        }
    }

    /// What the list that a gateway let a caller in by says of the gateway itself.
    pub(super) fn own_standing(
        &mut self,
        named: Option<&ListUse>,
        signatory: &Signatory,
    ) -> Result<Option<CheckedList>, Code> {
        let Some(named) = named else { return Ok(None) };
        let checked = self.list(named, signatory).ok_or("receipt.list")?;
        let (Some(head), Some(base)) = (named.feed, checked.feed) else { return Ok(Some(checked)) };
        // What is missing of the feed was told with the caller's standing.
        let standing = match self.feed(&checked, (base, head), signatory) {
            Fed::Contradiction => return Err("receipt.feed"),
            Fed::Missing => checked.standing,
            Fed::Standing(standing) => standing,
        };
        Ok(Some(CheckedList { standing, feed: None, ..checked }))
    }
}

/// Since when an allowance is in doubt that needs both, and until when both last: whoever decided, and whoever signed.
pub(super) fn together(by: &Arc<Signatory>, signatory: &Arc<Signatory>) -> (Revoked, UnixTime) {
    let ends = |signatory: &Signatory| signatory.path().agent().decoded().validity().not_after;
    (by.revoked().or(signatory.revoked()), ends(by).min(ends(signatory)))
}
