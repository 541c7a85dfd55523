//! Points in time, as numbers with a unit.
//!
//! Takes in seconds or milliseconds since the Unix epoch and RFC 3339 text; gives out ordered values.
//! It deliberately reads no clock: every function above the guard is told the time by its caller.

use std::fmt;

/// Seconds since 1970-01-01T00:00:00Z, leap seconds not counted (POSIX time).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(i64);

impl UnixTime {
    /// The time `seconds` after the epoch.
    #[must_use]
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds)
    }

    /// Seconds since the epoch.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0
    }

    /// The same instant in milliseconds, saturating at the ends of the range.
    #[must_use]
    pub const fn to_millis(self) -> UnixMillis {
        UnixMillis(self.0.saturating_mul(1000))
    }

    /// This time moved by `seconds`, saturating.
    #[must_use]
    pub const fn plus(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// Reads an RFC 3339 instant such as `2026-11-23T09:30:00Z`.
    ///
    /// # Errors
    /// Text that is no RFC 3339 instant with an offset.
    pub fn parse_rfc3339(text: &str) -> Result<Self, ParseTimeError> {
        UnixMillis::parse_rfc3339(text).map(UnixMillis::to_seconds)
    }
}

impl fmt::Display for UnixTime {
    /// RFC 3339 in UTC, or the bare seconds when no calendar date exists for them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_second(self.0) {
            Ok(stamp) => write!(f, "{stamp}"),
            Err(_) => write!(f, "@{}", self.0),
        }
    }
}

/// Milliseconds since 1970-01-01T00:00:00Z: what schedules and windows are judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(i64);

impl UnixMillis {
    /// The time `millis` milliseconds after the epoch.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// The second this millisecond lies in.
    #[must_use]
    pub const fn to_seconds(self) -> UnixTime {
        UnixTime(self.0.div_euclid(1000))
    }

    /// This time moved by `millis`, saturating.
    #[must_use]
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// Reads an RFC 3339 instant, keeping milliseconds.
    ///
    /// # Errors
    /// Text that is no RFC 3339 instant with an offset.
    pub fn parse_rfc3339(text: &str) -> Result<Self, ParseTimeError> {
        let stamp: jiff::Timestamp = text.parse().map_err(|_| ParseTimeError { text: text.into() })?;
        Ok(Self(stamp.as_millisecond()))
    }
}

impl fmt::Display for UnixMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(stamp) => write!(f, "{stamp}"),
            Err(_) => write!(f, "@{}ms", self.0),
        }
    }
}

/// A closed interval of certificate validity (RFC 5280 section 4.1.2.5): both ends are valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// First valid second.
    pub not_before: UnixTime,
    /// Last valid second.
    pub not_after: UnixTime,
}

impl Validity {
    /// Whether `inner` lies wholly inside this interval.
    #[must_use]
    pub fn contains(&self, inner: &Self) -> bool {
        self.not_before <= inner.not_before && inner.not_after <= self.not_after
    }
}

/// Text that is no RFC 3339 instant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no time; write it as RFC 3339 with an offset, for example 2026-11-23T09:30:00Z")]
pub struct ParseTimeError {
    text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_is_read_and_written_in_utc() {
        let t = UnixTime::parse_rfc3339("2026-11-23T10:30:00+01:00").unwrap();
        assert_eq!(t.to_string(), "2026-11-23T09:30:00Z");
    }

    #[test]
    fn a_date_without_offset_is_refused() {
        assert!(UnixTime::parse_rfc3339("2026-11-23T10:30:00").is_err());
    }

    #[test]
    fn milliseconds_before_the_epoch_belong_to_the_earlier_second() {
        assert_eq!(UnixMillis::from_millis(-1).to_seconds(), UnixTime::from_seconds(-1));
    }
}
