//! What a baseline is frozen over, and freezing it anew by the word of a named person.

use kakunin_core::id::AgentId;
use kakunin_core::receipt::UnverifiedReceipt;
use kakunin_core::risk::{Observation, RiskLevel, RiskPolicy, TooLittle, in_order};
use kakunin_core::time::UnixTime;
use serde_json::Value;

use super::keys::Keys;
use super::{Step, Watched};
use crate::access::{Actor, TenantId};
use crate::store::{ReceiptFilter, ReceiptRecord, RiskEvent, RiskEventKind, RiskRecord, Store, StoreError};

/// Why no baseline was frozen.
#[derive(Debug, thiserror::Error)]
pub enum BaselineRefusal {
    /// There is not enough to learn from.
    #[error(transparent)]
    TooLittle(#[from] TooLittle),
    /// The records.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Which part of a history is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Span {
    /// From this instant on by the agent's own clock.
    pub since: Option<UnixTime>,
    /// What came at or after this one.
    pub received: Option<UnixTime>,
}

/// What an agent did in a span; of very much the last, and of calls that were allowed as many as of all others: whoever is
/// refused often enough would else leave nothing to learn from.
///
/// # Errors
/// [`StoreError`] when the records cannot be read.
pub fn history(
    store: &dyn Store,
    tenant: &TenantId,
    agent: AgentId,
    span: Span,
) -> Result<Vec<Observation>, StoreError> {
    let since = span.since.map(|since| since.seconds().saturating_mul(1_000_000));
    let filter = ReceiptFilter { since, ..ReceiptFilter::default() };
    let is_within = |receipt: &&ReceiptRecord| {
        since.is_none_or(|since| receipt.at >= since)
            && span.received.is_none_or(|received| receipt.received >= received)
    };
    let (mut seen, mut keys) = (Vec::new(), Keys::of(store, tenant));
    for stream in store.receipt_streams(tenant, agent, &filter)? {
        let mut after = None;
        loop {
            let page = store.stream_receipts(tenant, agent, stream, after, PAGE)?;
            for receipt in page.iter().filter(is_within) {
                let Ok((receipt, _)) = UnverifiedReceipt::from_log_entry(&receipt.line) else { continue };
                if keys.is_given_up(agent, receipt.certificate())? {
                    continue;
                }
                seen.extend(Observation::of(receipt.hash(), receipt.statement(), &[], None));
            }
            if seen.len() > 2 * MOST {
                seen = newest(seen, MOST);
            }
            match page.last() {
                Some(last) if page.len() == PAGE as usize => after = Some((last.sequence, last.hash)),
                _ => break,
            }
        }
    }
    Ok(newest(seen, MOST))
}

/// The newest, half of them allowed calls if there are as many, in order.
fn newest(seen: Vec<Observation>, most: usize) -> Vec<Observation> {
    let seen = in_order(seen);
    let allowed = seen.iter().filter(|each| each.is_allowed()).count();
    let (mut allowed, mut others) = (allowed, seen.len().saturating_sub(allowed));
    let (of_allowed, of_others) = shares(allowed, others, most);
    let keep = |each: &Observation| {
        let (left, most) =
            if each.is_allowed() { (&mut allowed, of_allowed) } else { (&mut others, of_others) };
        let kept = *left <= most;
        *left = left.saturating_sub(1);
        kept
    };
    seen.into_iter().filter(keep).collect()
}

/// How many of so many allowed calls and of so many others are kept: half of `most` each, and what one leaves is the other's.
fn shares(allowed: usize, others: usize, most: usize) -> (usize, usize) {
    let half = most / 2;
    let of_others = others.min(half.max(most.saturating_sub(allowed)));
    (allowed.min(most.saturating_sub(of_others)), of_others)
}

/// When the agent was let act again last, after it was suspended or revoked by what it did: of what lies before nothing is
/// learnt.
///
/// # Errors
/// [`StoreError`] when the records cannot be read.
pub fn released(
    store: &dyn Store,
    tenant: &TenantId,
    agent: AgentId,
) -> Result<Option<UnixTime>, StoreError> {
    let mut below = None;
    loop {
        let page = store.risk_events(tenant, agent, below, EVENTS)?;
        if let Some((_, event)) = page.iter().find(|(_, event)| is_release(event)) {
            return Ok(Some(event.at));
        }
        match page.last() {
            Some((number, _)) if page.len() == EVENTS as usize => below = Some(*number),
            _ => return Ok(None),
        }
    }
}

fn is_release(event: &RiskEvent) -> bool {
    let from = || {
        let said: Value = serde_json::from_str(&event.text).unwrap_or_default();
        said.pointer("/change/from").and_then(Value::as_str).and_then(RiskLevel::from_word)
    };
    event.kind == RiskEventKind::Level
        && from().is_some_and(|from| from >= RiskLevel::Suspend && from > event.level)
}

/// What came before an agent was let act again last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BeforeRelease {
    /// Nothing is learnt of it: it led to where somebody had to release the agent.
    LeaveOut,
    /// It is usual, too, by the word of whoever says so.
    TakeIn,
}

/// Freezes the baseline of an agent over what it did since then, in the place of the one it has.
///
/// # Errors
/// [`BaselineRefusal`]; then nothing changes.
pub fn rebaseline(
    store: &dyn Store,
    (tenant, agent): (&TenantId, AgentId),
    policy: &RiskPolicy,
    (since, before): (UnixTime, BeforeRelease),
    (actor, reason): (Actor, &str),
    now: UnixTime,
) -> Result<Step, BaselineRefusal> {
    let released = match before {
        BeforeRelease::LeaveOut => released(store, tenant, agent)?,
        BeforeRelease::TakeIn => None,
    };
    let span = Span { since: released.max(Some(since)), received: None };
    let seen = history(store, tenant, agent, span)?;
    let new = RiskRecord::new(tenant.clone(), agent, now);
    let mut watched = Watched::take_up(store.risk(tenant, agent)?, new, policy, now);
    watched.freeze(&seen, actor, reason, now)?;
    let mut step = Step::of(tenant.clone(), now);
    step.add(&mut watched);
    Ok(step)
}

const PAGE: u32 = 4096;
const EVENTS: u32 = 256;
/// Some tens of megabytes, and about a second of calibration.
const MOST: usize = 50_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_many_denials_there_are_allowed_calls_are_learnt_from() {
        assert_eq!(shares(500, 1_000_000, 50_000), (500, 49_500));
        assert_eq!(shares(40_000, 60_000, 50_000), (25_000, 25_000));
        assert_eq!(shares(60_000, 10_000, 50_000), (40_000, 10_000));
        assert_eq!(shares(60_000, 0, 50_000), (50_000, 0));
        assert_eq!(shares(0, 60_000, 50_000), (0, 50_000));
        assert_eq!(shares(7, 9, 50_000), (7, 9));
    }
}
