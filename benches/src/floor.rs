//! The floor of a decision: what somebody would write by hand for one scope, knowing it beforehand.
//!
//! The same work on the same input: two clocks and whether they jumped, deadline, action, exact amount, currency, one of
//! 1,000 names in the same kind of hash set, the minute of the week in a bitmap. It must answer every request as the
//! guard does, malformed ones too. It has no patterns, no reasons, no receipts and no swap of its rules.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use hashbrown::{HashMap, HashSet};
use rustix::time::{ClockId, clock_gettime};

/// Hand-written rules.
pub(crate) struct Floor {
    /// Zero while the agent is in good standing.
    standing: AtomicU64,
    not_before: i64,
    good_until: i64,
    /// What to add to the monotonic clock for the time that has passed at least, in milliseconds.
    offset: AtomicI64,
    /// How far the wall clock was ahead of that, and when both were last compared.
    lead: AtomicI64,
    audited: AtomicI64,
    rules: HashMap<Box<str>, Rule>,
}

struct Rule {
    currency: Box<str>,
    most: i64,
    names: HashSet<Box<[u8]>>,
    zone_seconds: i64,
    week: Box<[u64; 158]>,
}

impl Floor {
    /// Rules for one action, at all hours.
    pub(crate) fn new(names: impl Iterator<Item = String>, now: i64, good_until: i64) -> Self {
        let rule = Rule {
            currency: "EUR".into(),
            most: 1_000_000,
            names: names.map(|name| name.into_bytes().into()).collect(),
            zone_seconds: 3_600,
            week: Box::new([u64::MAX; 158]),
        };
        let floor = Self {
            standing: AtomicU64::new(0),
            not_before: now - 3_600,
            good_until,
            offset: AtomicI64::new(0),
            lead: AtomicI64::new(0),
            audited: AtomicI64::new(0),
            rules: [("payments:send".into(), rule)].into_iter().collect(),
        };
        floor.audit();
        floor
    }

    /// Compares the clocks, as a thread would from time to time.
    pub(crate) fn audit(&self) {
        let (wall, mono) = clocks();
        self.offset.store(wall - mono, Ordering::Relaxed);
        self.lead.store(0, Ordering::Relaxed);
        self.audited.store(mono, Ordering::Release);
    }

    /// Whether the payment may be made.
    pub(crate) fn decide(&self, action: &str, amount: &str, currency: &str, name: &str) -> bool {
        let (wall, mono) = clocks();
        let reached = mono + self.offset.load(Ordering::Relaxed);
        let jump = wall - reached - self.lead.load(Ordering::Relaxed);
        if mono - self.audited.load(Ordering::Acquire) >= 1_000 || jump.abs() >= 2_000 {
            return false;
        }
        let now = wall.max(reached).div_euclid(1000);
        if self.standing.load(Ordering::Acquire) != 0 || now > self.good_until || now < self.not_before {
            return false;
        }
        let Some(rule) = self.rules.get(action) else { return false };
        let Some(minor) = minor_units(amount) else { return false };
        let minute = (now + rule.zone_seconds).div_euclid(60) + 3 * 1440;
        let minute = usize::try_from(minute.rem_euclid(10_080)).unwrap_or(0);
        minor <= rule.most
            && currency == &*rule.currency
            && rule.names.contains(name.as_bytes())
            && rule.week.get(minute / 64).is_some_and(|word| word >> (minute % 64) & 1 == 1)
    }
}

/// Wall and monotonic clock, coarse, in milliseconds.
fn clocks() -> (i64, i64) {
    let millis = |clock| {
        let time = clock_gettime(clock);
        time.tv_sec * 1000 + time.tv_nsec / 1_000_000
    };
    (millis(ClockId::RealtimeCoarse), millis(ClockId::MonotonicCoarse))
}

/// A decimal of at most two places, exactly: no sign, no zero in front, a digit on both sides of a point.
fn minor_units(text: &str) -> Option<i64> {
    let (mut minor, mut places): (i64, Option<u32>) = (0, None);
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' => {
                minor = minor.checked_mul(10)?.checked_add(i64::from(byte - b'0'))?;
                places = places.map(|places| places + 1);
            }
            b'.' if places.is_none() => places = Some(0),
            _ => return None,
        }
    }
    if text.is_empty()
        || text.starts_with('.')
        || (text.starts_with('0') && !matches!(text.as_bytes(), [_] | [_, b'.', ..]))
    {
        return None;
    }
    match places {
        None => minor.checked_mul(100),
        Some(places @ 1..=2) => minor.checked_mul(10_i64.pow(2 - places)),
        Some(_) => None,
    }
}
