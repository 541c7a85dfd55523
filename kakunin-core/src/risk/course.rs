//! How far each stream of receipts has come, and what contradicts that.

use std::cmp::Ordering;

use super::observation::{Observation, What};
use super::standing::Standing;

/// How far a stream was observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The highest number.
    pub(super) sequence: u64,
    /// The time it has come to by its own word there, in milliseconds.
    pub(super) at: i64,
    /// The highest number at which it said that a clock was set back; 0 if it did not.
    pub(super) set_back: u64,
    /// The number of the call at which it was observed last.
    pub(super) number: u64,
}

impl Standing {
    /// Takes note of how far a stream was observed; of many, those that were quiet longest are forgotten.
    pub(super) fn follow(&mut self, seen: &Observation, before: Option<Place>) {
        let new = Place { sequence: seen.sequence, at: seen.at, set_back: 0, number: self.calls };
        let mut place = Place { number: self.calls, ..before.unwrap_or(new) };
        let is_late = seen.sequence < place.sequence;
        match seen.what {
            // Its clock was set back, and it says so: what it claims from here on is compared with that.
            What::SetBack(by) => {
                place.set_back = place.set_back.max(seen.sequence);
                if !is_late {
                    place.at = seen.at.saturating_sub(i64::try_from(by).unwrap_or(i64::MAX)).max(0);
                }
            }
            What::Call(_) if !is_late => place.at = place.at.max(seen.at),
            What::Call(_) => {}
        }
        place.sequence = place.sequence.max(seen.sequence);
        self.streams.insert(seen.stream, place);
        if self.streams.len() > MAX_STREAMS
            && let Some((oldest, _)) =
                self.streams.iter().min_by_key(|(stream, place)| (place.number, **stream))
        {
            let oldest = *oldest;
            self.streams.remove(&oldest);
        }
    }
}

impl Place {
    /// What is wrong with the time of a receipt, if anything is: of two receipts of a stream the one with the higher number
    /// is not the earlier one, whichever of them came first, unless a clock was set back between them.
    pub(super) fn contradiction(&self, seen: &Observation) -> Option<String> {
        let by = match seen.sequence.cmp(&self.sequence) {
            Ordering::Greater => self.at.saturating_sub(seen.at),
            Ordering::Less if self.set_back <= seen.sequence => seen.at.saturating_sub(self.at),
            Ordering::Less | Ordering::Equal => 0,
        };
        let which =
            if seen.sequence > self.sequence { "before the one before it" } else { "after one behind it" };
        (by > TOLERANCE).then(|| {
            format!(
                "a receipt is dated {} s {which} in its stream, and no receipt says that a clock was set back",
                by / 1000
            )
        })
    }
}

/// The difference that clocks are allowed (wire 3.5).
pub(super) const TOLERANCE: i64 = 120_000;

/// Processes of one agent that write at the same time. Of a stream that was forgotten no time is known any more.
pub(super) const MAX_STREAMS: usize = 256;
