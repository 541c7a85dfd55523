//! How much is not kept yet, and when that is too much.
//!
//! The backlog counts what waits in the outbox and what nobody has collected, so a push that never runs raises the same
//! alarm as a bucket that does not answer. An alarm changes nothing: nothing is dropped, and nothing stops.

use std::fmt;

use kakunin_core::time::UnixTime;

/// Objects that are not kept yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// In the outbox.
    pub queued: u64,
    /// In the sources only.
    pub uncollected: u64,
    /// Bytes of both.
    pub bytes: u64,
    /// Since when the oldest waits.
    pub since: Option<UnixTime>,
    /// The latest time since which something waits.
    latest: Option<UnixTime>,
}

impl Backlog {
    /// How many there are.
    #[must_use]
    pub const fn objects(&self) -> u64 {
        self.queued.saturating_add(self.uncollected)
    }

    /// Counts an object of the outbox.
    pub(super) fn queue(&mut self, size: u64, since: UnixTime) {
        self.queued = self.queued.saturating_add(1);
        self.add(size, since);
    }

    /// Counts an object of the sources, which were last collected at `since`.
    pub(super) fn find(&mut self, size: u64, since: UnixTime) {
        self.uncollected = self.uncollected.saturating_add(1);
        self.add(size, since);
    }

    fn add(&mut self, size: u64, since: UnixTime) {
        self.bytes = self.bytes.saturating_add(size);
        self.since = Some(self.since.map_or(since, |oldest| oldest.min(since)));
        self.latest = self.latest.max(Some(since));
    }

    /// What is too much at `now`.
    #[must_use]
    pub fn alarm(&self, limits: &Limits, now: UnixTime) -> Option<Alarm> {
        let hours = self.since.map_or(0, |since| (now.seconds() - since.seconds()).max(0) / 3600);
        let hours = u64::try_from(hours).unwrap_or(0);
        if self.objects() > limits.objects {
            return Some(Alarm::Objects { waiting: self.objects(), limit: limits.objects });
        }
        if self.bytes > limits.bytes {
            return Some(Alarm::Bytes { waiting: self.bytes, limit: limits.bytes });
        }
        if let Some(since) = self.latest.filter(|latest| *latest > now.plus(SLACK)) {
            return Some(Alarm::Clock { since, now });
        }
        (hours >= limits.hours && self.since.is_some()).then_some(Alarm::Age { hours, limit: limits.hours })
    }
}

/// How much may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Objects.
    pub objects: u64,
    /// Bytes.
    pub bytes: u64,
    /// Hours since the oldest was queued, or since the sources were last collected.
    pub hours: u64,
}

impl Default for Limits {
    /// A day of outage is worth a look; a gibibyte is what the smallest disks can spare; ten thousand objects are the
    /// tiles and bundles of 1.3 million receipts.
    fn default() -> Self {
        Self { objects: 10_000, bytes: 1 << 30, hours: 24 }
    }
}

/// More waits than may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Alarm {
    /// Too many.
    Objects {
        /// How many wait.
        waiting: u64,
        /// How many may.
        limit: u64,
    },
    /// Too large.
    Bytes {
        /// How many wait.
        waiting: u64,
        /// How many may.
        limit: u64,
    },
    /// For too long.
    Age {
        /// For how many hours.
        hours: u64,
        /// How many may pass.
        limit: u64,
    },
    /// Since a time that has not come yet: how long it waits nobody can say, and no age would ever tell.
    Clock {
        /// Since when.
        since: UnixTime,
        /// What the clock says.
        now: UnixTime,
    },
}

impl Alarm {
    /// A stable word.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Objects { .. } => "archive.backlog_objects",
            Self::Bytes { .. } => "archive.backlog_bytes",
            Self::Age { .. } => "archive.backlog_age",
            Self::Clock { .. } => "archive.backlog_clock",
        }
    }
}

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Objects { waiting, limit } => {
                write!(f, "{waiting} objects are not archived, more than {limit}")
            }
            Self::Bytes { waiting, limit } => {
                write!(f, "{waiting} bytes are not archived, more than {limit}")
            }
            Self::Clock { since, now } => {
                write!(
                    f,
                    "something waits to be archived since {since}, and the clock says {now}; set the clock, and push"
                )
            }
            Self::Age { hours, limit } => {
                write!(f, "something has not been archived for {hours} h, {limit} h are allowed")
            }
        }
    }
}

/// Seconds. A push refuses when the clocks of bucket and machine are further apart.
const SLACK: i64 = 15 * 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_raises_its_own_alarm() {
        let (now, limits) = (UnixTime::from_seconds(1_000_000), Limits { objects: 2, bytes: 100, hours: 1 });
        let mut backlog = Backlog::default();
        assert_eq!(backlog.alarm(&limits, now), None);
        backlog.find(50, now.plus(-3_599));
        backlog.queue(50, now);
        assert_eq!(backlog.alarm(&limits, now), None);
        assert_eq!(backlog.alarm(&limits, now.plus(1)), Some(Alarm::Age { hours: 1, limit: 1 }));
        backlog.queue(1, now);
        assert_eq!(backlog.alarm(&limits, now), Some(Alarm::Objects { waiting: 3, limit: 2 }));
        let limits = Limits { objects: 3, ..limits };
        assert_eq!(backlog.alarm(&limits, now), Some(Alarm::Bytes { waiting: 101, limit: 100 }));
    }

    #[test]
    fn a_clock_that_is_behind_hides_no_other_alarm() {
        let mut backlog = Backlog::default();
        backlog.queue(1, UnixTime::from_seconds(2_000_000));
        let limits = Limits { objects: 0, ..Limits::default() };
        assert!(backlog.alarm(&limits, UnixTime::from_seconds(0)).is_some());
    }
}
