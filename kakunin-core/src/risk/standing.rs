//! Everything that a monitor remembers.

use std::collections::{BTreeMap, VecDeque};

use super::baseline::Baseline;
use super::charts::{Chart, Step};
use super::course::Place;
use super::level::RiskLevel;
use super::recall::Recall;
use crate::digest::Digest;
use crate::id::StreamId;
use crate::receipt::ReceiptHash;

/// Everything that changes while a monitor watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) level: RiskLevel,
    pub(super) calls: u64,
    pub(super) denied: u64,
    /// Observations of other agents, which count nowhere else.
    pub(super) foreign: u64,
    /// The latest time that is known, in milliseconds.
    pub(super) now: i64,
    /// By chart of the baseline.
    pub(super) gauges: Vec<Gauge>,
    /// By [`super::weight::OUTSIDE`].
    pub(super) outside: [Outside; 3],
    pub(super) recall: Recall,
    pub(super) streams: BTreeMap<StreamId, Place>,
    /// How much time evidence has faded for, in milliseconds: receipts alone let it run no faster than calls do.
    pub(super) faded: u64,
    /// Since when, in that time, the score is below half of what leads to the level.
    pub(super) calm_since: Option<u64>,
    /// What receipts and hard facts alone have led to.
    pub(super) proven: RiskLevel,
    /// Since when it is held by these.
    pub(super) held_since: Option<i64>,
    /// For how many calls the score has been where statistics revoke.
    pub(super) over: u64,
    /// When writes were refused last, at step-up, and whether receipts alone had led there.
    pub(super) refused_writes: VecDeque<(i64, bool)>,
    /// The action of the last call, if it was hindered.
    pub(super) hindered: Option<String>,
    /// A hash over what was observed, in order.
    pub(super) seen: Digest,
    /// The receipts that were observed last, the oldest first.
    pub(super) lately: VecDeque<ReceiptHash>,
    pub(super) last: Option<ReceiptHash>,
}

/// How high a chart stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Gauge {
    pub(super) value: i64,
    /// The number of the call at which it came over its threshold; 0 below it.
    pub(super) since: u64,
}

/// Evidence that is not of receipts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outside {
    pub(super) value: i64,
    /// How many pieces of it came.
    pub(super) pieces: u64,
    pub(super) sentence: String,
}

impl Standing {
    pub(super) fn of(baseline: &Baseline) -> Self {
        Self {
            level: RiskLevel::Clear,
            calls: 0,
            denied: 0,
            foreign: 0,
            now: 0,
            gauges: vec![Gauge::default(); baseline.charts().len()],
            outside: Default::default(),
            recall: Recall::default(),
            streams: BTreeMap::new(),
            faded: 0,
            calm_since: None,
            proven: RiskLevel::Clear,
            held_since: None,
            over: 0,
            refused_writes: VecDeque::new(),
            hindered: None,
            seen: Digest::from_bytes([0; 32]),
            lately: VecDeque::new(),
            last: None,
        }
    }

    /// Takes note that a receipt was observed.
    pub(super) fn note(&mut self, receipt: ReceiptHash) {
        self.seen = Digest::of_parts(&[self.seen.as_bytes(), receipt.digest().as_bytes()]);
        self.last = Some(receipt);
        self.lately.push_back(receipt);
        while self.lately.len() > MAX_LATELY {
            self.lately.pop_front();
        }
    }

    /// Takes note of since when it is held by what receipts alone say.
    pub(super) fn hold(&mut self) {
        if self.level == RiskLevel::Suspend && self.proven >= RiskLevel::Suspend {
            self.held_since.get_or_insert(self.now);
        } else {
            self.held_since = None;
        }
    }

    /// Whether three writes were refused lately at step-up; if `proven`, at one that receipts alone had led to.
    pub(super) fn writes_refused(&self, proven: bool) -> bool {
        let counts =
            |(at, its): &&(i64, bool)| self.now.saturating_sub(*at) <= QUARTER_HOUR && (*its || !proven);
        self.refused_writes.iter().filter(counts).count() >= REFUSED_WRITES
    }
}

impl Gauge {
    pub(super) fn take(&mut self, step: Step, chart: &Chart, number: u64) {
        self.value = step.apply(self.value, chart.threshold.saturating_mul(MOST_THRESHOLDS));
        self.look(chart, number);
    }

    /// Takes note of which side of its threshold it is on.
    pub(super) fn look(&mut self, chart: &Chart, number: u64) {
        self.since = match self.since {
            _ if self.value < chart.threshold => 0,
            0 => number.max(1),
            since => since,
        };
    }
}

/// A chart rises to four thresholds at most, so that it comes down in two half-lives.
const MOST_THRESHOLDS: i64 = 4;

const QUARTER_HOUR: i64 = 900_000;

pub(super) const REFUSED_WRITES: usize = 3;

/// Whoever sends something twice does so at once. More would be no safer: what is older is judged again, not dropped.
pub(super) const MAX_LATELY: usize = 32;

pub(super) const MAX_SENTENCE: usize = 200;
