//! Looking at what came since the last look.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use kakunin_core::id::{AgentId, StreamId};
use kakunin_core::receipt::UnverifiedReceipt;
use kakunin_core::risk::{RiskLevel, RiskPolicy};
use kakunin_core::time::UnixTime;

use super::baseline::{Span, history, released};
use super::gaps::gaps;
use super::keys::Keys;
use super::standings::Standings;
use super::{Cache, Step, Watched};
use crate::access::{Actor, TenantId};
use crate::standing::Standing;
use crate::store::{AuditFilter, ReceiptKind, ReceiptPlace, ReceiptRecord, RiskRecord, Store, StoreError};

/// By what agents are judged that have nothing of their own.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The policy of the service.
    pub policy: RiskPolicy,
    /// For how many seconds a guard may believe what it heard from the feed.
    pub heard: i64,
    /// For how many seconds a list may be used that nothing is known of.
    pub listed: i64,
    /// By how many seconds the clocks of a guard and of whoever watches may differ.
    pub clocks: i64,
}

/// What came of a look.
#[derive(Debug)]
pub enum Looked {
    /// Nothing came since.
    Nothing,
    /// Something did.
    Step {
        /// What it changes.
        step: Box<Step>,
        /// Whether there is more.
        more: bool,
    },
}

/// Looks at the receipts of a tenant behind the last one that was looked at, some at a time, and at what was handed in.
///
/// # Errors
/// [`StoreError`] when the records cannot be read.
pub fn look(
    store: &dyn Store,
    cache: &mut Cache,
    tenant: &TenantId,
    terms: &Terms,
    now: UnixTime,
) -> Result<Looked, StoreError> {
    let from = store.risk_place(tenant)?;
    let receipts = store.receipts_after(tenant, None, from.as_ref(), PAGE)?;
    let signs = store.signs(tenant, SIGNS)?;
    if receipts.is_empty() && signs.is_empty() {
        return Ok(Looked::Nothing);
    }
    let (last, many) = (receipts.last().map(ReceiptPlace::of), receipts.len());
    let mut step = Step::of(tenant.clone(), now);
    let mut agents = BTreeMap::new();
    let (mut keys, mut own, mut reads) = (Keys::of(store, tenant), Vec::new(), Vec::new());
    for receipt in receipts {
        let read = UnverifiedReceipt::from_log_entry(&receipt.line).ok().map(|(read, _)| read);
        match &read {
            Some(signed) if keys.is_given_up(receipt.agent, signed.certificate())? => {
                step.passes_over(receipt.agent, *signed.certificate());
            }
            _ => {
                own.push(receipt);
                reads.push(read);
            }
        }
    }
    let forked = forks(store, &mut keys, &own)?;
    for (receipt, read) in own.iter().zip(&reads) {
        let (watched, standings) = enter(&mut agents, receipt.agent, store, cache, (tenant, terms, now))?;
        let broke = match read {
            Some(read) if receipt.kind == ReceiptKind::Allow => {
                let standings = match standings {
                    Some(known) => known,
                    None => standings.insert(Standings::of(store, tenant, receipt.agent)?),
                };
                standings.forbid(store, read, terms)?
            }
            _ => None,
        };
        if forked.contains(&(receipt.agent, receipt.stream, receipt.sequence)) {
            watched.forked(receipt);
        }
        watched.see(receipt, read.as_ref(), broke.as_deref());
    }
    for (agent, missing) in gaps(store, tenant, &own)? {
        enter(&mut agents, agent, store, cache, (tenant, terms, now))?.0.miss(missing);
    }
    for (number, sign) in &signs {
        enter(&mut agents, sign.agent, store, cache, (tenant, terms, now))?.0.sign(sign);
        step.takes_out(*number);
    }
    if let Some(last) = last {
        step.moved(from, last);
    }
    for (watched, _) in agents.values_mut() {
        if watched.is_ripe() {
            let since = released(store, tenant, watched.record().agent)?;
            let span = Span { since, received: watched.record().first };
            let seen = history(store, tenant, watched.record().agent, span)?;
            if let Err(why) = watched.freeze(&seen, Actor::Authority, RIPE, now) {
                watched.cannot_learn(&why);
            }
        }
        step.add(watched);
    }
    let more = many == PAGE as usize || signs.len() == SIGNS as usize;
    Ok(Looked::Step { step: Box::new(step), more })
}

/// An agent of this look, with how it stood, once a receipt asks for that.
pub(super) type Seen = (Watched, Option<Standings>);

/// The agent as it stands in the records, when it is met for the first time.
pub(super) fn enter<'a>(
    agents: &'a mut BTreeMap<AgentId, Seen>,
    agent: AgentId,
    store: &dyn Store,
    cache: &mut Cache,
    (tenant, terms, now): (&TenantId, &Terms, UnixTime),
) -> Result<&'a mut Seen, StoreError> {
    match agents.entry(agent) {
        Entry::Occupied(known) => Ok(known.into_mut()),
        Entry::Vacant(place) => {
            let mut watched = match cache.take(tenant, agent) {
                Some(watched) => watched,
                None => {
                    let new = RiskRecord::new(tenant.clone(), agent, now);
                    Watched::take_up(store.risk(tenant, agent)?, new, &terms.policy, now)
                }
            };
            let standing = store.agent(tenant, agent)?.map_or(Standing::Revoked, |agent| agent.standing);
            if standing == Standing::Good {
                agree(store, &mut watched, now)?;
            }
            Ok(place.insert((watched, None)))
        }
    }
}

/// An agent in good standing whose monitor stopped it was released since: by whom says the audit log. As long as an order of
/// the monitor is not carried out yet, it stands as before for that reason.
pub(super) fn agree(store: &dyn Store, watched: &mut Watched, now: UnixTime) -> Result<(), StoreError> {
    if watched.monitor().level() < RiskLevel::Suspend {
        return Ok(());
    }
    let RiskRecord { tenant, agent, .. } = watched.record().clone();
    let newest = store.risk_events(&tenant, agent, None, EVENTS)?;
    if newest.iter().any(|(_, event)| event.seal.is_none()) {
        return Ok(());
    }
    let of = AuditFilter { subject: Some(agent.to_string()), ..AuditFilter::default() };
    let orders = store.audit(&tenant, &of, ORDERS)?;
    let back = |what: &str| matches!(what, "agent.resume" | "certificate.issue" | "agent.certify");
    let by = orders.iter().find(|entry| back(&entry.record.what)).map(|entry| entry.record.actor.to_string());
    watched.release(by.as_deref().unwrap_or("nobody whom the audit log knows"), now);
    Ok(())
}

/// The places of these receipts that have another one.
fn forks(
    store: &dyn Store,
    keys: &mut Keys<'_>,
    receipts: &[ReceiptRecord],
) -> Result<BTreeSet<(AgentId, StreamId, u64)>, StoreError> {
    let mut streams: BTreeMap<(AgentId, StreamId), (&ReceiptRecord, u64, u64)> = BTreeMap::new();
    for receipt in receipts {
        let of = streams.entry((receipt.agent, receipt.stream));
        let (_, first, last) = of.or_insert((receipt, receipt.sequence, receipt.sequence));
        (*first, *last) = ((*first).min(receipt.sequence), (*last).max(receipt.sequence));
    }
    let mut forked = BTreeSet::new();
    for ((agent, stream), (receipt, first, last)) in streams {
        for number in store.forks(&receipt.tenant, agent, stream, first, last)? {
            if keys.signed_twice(agent, stream, number)? {
                forked.insert((agent, stream, number));
            }
        }
    }
    Ok(forked)
}

/// Receipts at a time: some megabytes, and a part of a second.
const PAGE: u32 = 2048;
const SIGNS: u32 = 256;
/// An event that is not settled is among the newest.
const EVENTS: u32 = 16;
const ORDERS: u32 = 16;
const RIPE: &str = "enough was seen";
