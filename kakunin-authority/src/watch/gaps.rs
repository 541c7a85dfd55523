//! Numbers that are missing in streams: whoever sends the rest and not these leaves something out.
//!
//! Receipts of one stream may come in any order, so what is missing is evidence only after a while, and only if it is missing
//! still.

use std::collections::BTreeMap;

use kakunin_core::id::{AgentId, StreamId};
use kakunin_core::time::UnixTime;
use serde_json::{Value, json};

use crate::access::TenantId;
use crate::store::{ReceiptRecord, Store, StoreError};

/// Numbers of a stream that were not there when later ones were looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) stream: StreamId,
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) seen: UnixTime,
}

impl Gap {
    /// Whether it is old enough to be evidence.
    pub(super) fn is_due(&self, now: UnixTime) -> bool {
        now > self.seen.plus(GRACE)
    }

    /// Whether all of its numbers came meanwhile.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    pub(super) fn is_filled(
        &self,
        store: &dyn Store,
        tenant: &TenantId,
        agent: AgentId,
    ) -> Result<bool, StoreError> {
        let many = store.count_numbers(tenant, agent, self.stream, self.first, self.last)?;
        Ok(many > self.last.saturating_sub(self.first))
    }

    fn holds(&self, other: &Self) -> bool {
        self.stream == other.stream && self.first <= other.first && other.last <= self.last
    }

    pub(super) fn sentence(&self) -> String {
        let Self { stream, first, last, .. } = self;
        format!(
            "its stream {stream} lacks receipts between the numbers {first} and {last}, and later ones came"
        )
    }
}

/// What is missing below and between these receipts of one page, by agent.
///
/// # Errors
/// [`StoreError`] when the records cannot be read.
pub(super) fn gaps(
    store: &dyn Store,
    tenant: &TenantId,
    receipts: &[ReceiptRecord],
) -> Result<BTreeMap<AgentId, Vec<Gap>>, StoreError> {
    let mut streams: BTreeMap<(AgentId, StreamId), Vec<(u64, UnixTime)>> = BTreeMap::new();
    for receipt in receipts {
        let of = streams.entry((receipt.agent, receipt.stream)).or_default();
        of.push((receipt.sequence, receipt.received));
    }
    let mut found: BTreeMap<AgentId, Vec<Gap>> = BTreeMap::new();
    for ((agent, stream), mut numbers) in streams {
        numbers.sort_unstable();
        let Some((lowest, _)) = numbers.first().copied() else { continue };
        let below = match lowest {
            0 => None,
            _ => store.number_below(tenant, agent, stream, lowest)?,
        };
        let mut next = below.map_or(0, |below| below.saturating_add(1));
        for (number, seen) in numbers {
            if number > next {
                let gap = Gap { stream, first: next, last: number.saturating_sub(1), seen };
                found.entry(agent).or_default().push(gap);
            }
            next = next.max(number.saturating_add(1));
        }
    }
    Ok(found)
}

/// Adds what is new to what is known; of very many the rest is in the last one of its stream, or left out: each of those that
/// are kept is evidence by itself. What is left of one that is known is the same one.
pub(super) fn add(known: &mut Vec<Gap>, new: Vec<Gap>) {
    for gap in new {
        if known.iter().any(|known| known.holds(&gap)) {
            continue;
        }
        if known.len() < MOST {
            known.push(gap);
        } else if let Some(last) = known.iter_mut().rev().find(|last| last.stream == gap.stream) {
            (last.first, last.last) = (last.first.min(gap.first), last.last.max(gap.last));
            last.seen = last.seen.max(gap.seen);
        }
    }
}

/// As records have it; nothing for nothing.
pub(super) fn to_text(gaps: &[Gap]) -> Option<String> {
    let line = |gap: &Gap| json!([gap.stream.to_string(), gap.first, gap.last, gap.seen.seconds()]);
    (!gaps.is_empty()).then(|| Value::Array(gaps.iter().map(line).collect()).to_string())
}

/// As they are in the records. What cannot be read is nothing: it is found again if it goes on.
pub(super) fn from_text(text: Option<&str>) -> Vec<Gap> {
    let lines: Vec<(String, u64, u64, i64)> =
        text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let gap = |(stream, first, last, seen): (String, u64, u64, i64)| {
        Some(Gap { stream: StreamId::parse(&stream)?, first, last, seen: UnixTime::from_seconds(seen) })
    };
    lines.into_iter().filter_map(gap).collect()
}

/// An hour: whoever sends in another order does it sooner.
const GRACE: i64 = 3_600;
const MOST: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn gap(stream: u8, first: u64, last: u64, seen: i64) -> Gap {
        Gap { stream: StreamId::from_bytes([stream; 16]), first, last, seen: UnixTime::from_seconds(seen) }
    }

    #[test]
    fn gaps_come_back_as_they_were_kept() {
        let gaps = [gap(1, 0, 9, 5), gap(2, 7, 7, 9)];
        assert_eq!(from_text(to_text(&gaps).as_deref()), gaps);
        assert_eq!((to_text(&[]), from_text(None), from_text(Some("{}"))), (None, vec![], vec![]));
    }

    #[test]
    fn gaps_are_bounded_however_many_there_are() {
        let mut known = Vec::new();
        add(&mut known, (0..100).map(|number| gap(1, number * 2, number * 2, 7)).collect());
        assert_eq!(known.len(), MOST);
        assert_eq!(known.last().map(|gap| gap.last), Some(198));
        add(&mut known, vec![gap(2, 0, 0, 7)]);
        assert_eq!(known.len(), MOST);
    }

    #[test]
    fn what_is_left_of_a_gap_is_no_second_one() {
        let mut known = vec![gap(1, 6, 10, 5)];
        add(&mut known, vec![gap(1, 6, 9, 7), gap(1, 8, 8, 8), gap(2, 6, 9, 9), gap(1, 6, 11, 9)]);
        assert_eq!(known, [gap(1, 6, 10, 5), gap(2, 6, 9, 9), gap(1, 6, 11, 9)]);
    }

    #[test]
    fn a_gap_is_evidence_after_an_hour() {
        assert!(!gap(1, 0, 0, 0).is_due(UnixTime::from_seconds(3_600)));
        assert!(gap(1, 0, 0, 0).is_due(UnixTime::from_seconds(3_601)));
    }
}
