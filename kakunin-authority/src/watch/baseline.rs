//! What a baseline is frozen over, and freezing it anew by the word of a named person.

use kakunin_core::id::AgentId;
use kakunin_core::receipt::UnverifiedReceipt;
use kakunin_core::risk::{Observation, RiskPolicy, TooLittle, in_order};
use kakunin_core::time::UnixTime;

use super::{Step, Watched};
use crate::access::{Actor, TenantId};
use crate::store::{ReceiptFilter, RiskRecord, Store, StoreError};

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

/// What an agent did since then, by its own clock, or ever; of very much the last.
///
/// # Errors
/// [`StoreError`] when the records cannot be read.
pub fn history(
    store: &dyn Store,
    tenant: &TenantId,
    agent: AgentId,
    since: Option<UnixTime>,
) -> Result<Vec<Observation>, StoreError> {
    let since = since.map(|since| since.seconds().saturating_mul(1_000_000));
    let filter = ReceiptFilter { since, ..ReceiptFilter::default() };
    let mut seen = Vec::new();
    for stream in store.receipt_streams(tenant, agent, &filter)? {
        let mut after = None;
        loop {
            let page = store.stream_receipts(tenant, agent, stream, after, PAGE)?;
            for receipt in page.iter().filter(|receipt| since.is_none_or(|since| receipt.at >= since)) {
                let Ok((receipt, _)) = UnverifiedReceipt::from_log_entry(&receipt.line) else { continue };
                seen.extend(Observation::of(receipt.hash(), receipt.statement(), &[], None));
            }
            match page.last() {
                Some(last) if page.len() == PAGE as usize => after = Some((last.sequence, last.hash)),
                _ => break,
            }
        }
        if seen.len() > 2 * MOST {
            seen = newest(seen);
        }
    }
    Ok(newest(seen))
}

fn newest(seen: Vec<Observation>) -> Vec<Observation> {
    let seen = in_order(seen);
    let older = seen.len().saturating_sub(MOST);
    seen.into_iter().skip(older).collect()
}

/// Freezes the baseline of an agent over what it did since then, in the place of the one it has.
///
/// # Errors
/// [`BaselineRefusal`]; then nothing changes.
pub fn rebaseline(
    store: &dyn Store,
    (tenant, agent): (&TenantId, AgentId),
    policy: &RiskPolicy,
    since: UnixTime,
    (actor, reason): (Actor, &str),
    now: UnixTime,
) -> Result<Step, BaselineRefusal> {
    let seen = history(store, tenant, agent, Some(since))?;
    let new = RiskRecord::new(tenant.clone(), agent, now);
    let mut watched = Watched::take_up(store.risk(tenant, agent)?, new, policy, now);
    watched.freeze(&seen, actor, reason, now)?;
    let mut step = Step::of(tenant.clone(), now);
    step.add(&mut watched);
    Ok(step)
}

const PAGE: u32 = 4096;
/// Some tens of megabytes, and about a second of calibration.
const MOST: usize = 50_000;
