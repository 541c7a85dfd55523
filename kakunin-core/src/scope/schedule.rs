//! Hours: when actions are allowed.
//!
//! Slots repeat weekly in the scope's zone. They are judged from UTC instants, so a local time that a clock change
//! skips never matches and one that it repeats matches twice.

use std::fmt;

use jiff::tz::TimeZone;

use crate::time::{UnixMillis, Validity};

/// Minutes in a week.
const WEEK_MINUTES: u32 = 7 * 24 * 60;

/// When actions are allowed.
///
/// ```text
/// Schedule ::= SEQUENCE { zone CHOICE { offsetMinutes [0] INTEGER (-840..840), tzdb [1] IA5String (SIZE (2..64)) },
///   slots SEQUENCE SIZE (1..32) OF Slot }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Whose wall clock the slots are read on.
    pub zone: Zone,
    /// Allowed times.
    pub slots: Vec<Slot>,
}

/// The wall clock of a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Zone {
    /// Minutes east of UTC, -840 to 840.
    Offset(i16),
    /// A name of the IANA time zone database, for example `Europe/Berlin`.
    Tzdb(String),
}

/// Part of some days: `[from, to)` in minutes after local midnight.
///
/// ```text
/// Slot ::= SEQUENCE { days BIT STRING (SIZE (7)), from INTEGER (0..1439), to INTEGER (1..1440) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Bit 0 is Monday, bit 6 Sunday; at least one is set.
    pub days: u8,
    /// First minute.
    pub from: u16,
    /// The minute after the last.
    pub to: u16,
}

impl Schedule {
    /// One bit for each minute of the local week, Monday 00:00 first.
    #[must_use]
    pub fn week_map(&self) -> WeekMap {
        let mut map = WeekMap::empty();
        for slot in &self.slots {
            for day in (0..7).filter(|day| slot.days >> day & 1 == 1) {
                for minute in slot.from..slot.to {
                    map.set(day * 1440 + u32::from(minute));
                }
            }
        }
        map
    }
}

/// 10,080 bits: the minutes of a week.
#[derive(Clone, PartialEq, Eq)]
pub struct WeekMap(Box<[u64; 158]>);

impl WeekMap {
    fn empty() -> Self {
        Self(Box::new([0; 158]))
    }

    fn set(&mut self, minute: u32) {
        if let Some(word) = self.0.get_mut(minute as usize / 64) {
            *word |= 1 << (minute % 64);
        }
    }

    /// Whether `minute` of the week is set.
    #[must_use]
    pub fn get(&self, minute: u32) -> bool {
        self.0.get(minute as usize / 64).is_some_and(|word| word >> (minute % 64) & 1 == 1)
    }

    /// The same times, read `minutes` later on the clock.
    #[must_use]
    pub fn shifted(&self, minutes: i32) -> Self {
        let mut out = Self::empty();
        let week = WEEK_MINUTES.cast_signed();
        for minute in (0..WEEK_MINUTES).filter(|minute| self.get(*minute)) {
            out.set((minute.cast_signed() + minutes).rem_euclid(week).cast_unsigned());
        }
        out
    }

    /// Whether every minute of `inner` is set here too.
    #[must_use]
    pub fn contains(&self, inner: &Self) -> bool {
        self.0.iter().zip(inner.0.iter()).all(|(mine, theirs)| theirs & !mine == 0)
    }
}

impl fmt::Debug for WeekMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WeekMap({} minutes)", self.0.iter().map(|word| word.count_ones()).sum::<u32>())
    }
}

/// A zone that can tell local time: found in the database, or an offset.
#[derive(Clone, Debug)]
pub struct LoadedZone {
    clock: Clock,
    known: KnownOffsets,
}

/// The offsets of a stretch of time, looked up beforehand: the database works its rules out anew for each instant.
#[derive(Clone, Debug, Default)]
struct KnownOffsets {
    /// From which second on, which offset; ascending.
    spans: Vec<(i64, i64)>,
    /// The last second that they are known for.
    end: i64,
}

#[derive(Clone, Debug)]
enum Clock {
    Offset(i64),
    Tzdb(TimeZone),
}

impl Zone {
    /// Finds the zone.
    ///
    /// # Errors
    /// [`ZoneError`] when the database of this machine does not know the name.
    pub fn load(&self) -> Result<LoadedZone, ZoneError> {
        match self {
            Self::Offset(minutes) => Ok(LoadedZone::of(Clock::Offset(i64::from(*minutes) * 60))),
            // INVARIANT: a stored name is tried as the database spells it; its lookup ignores case, so the
            // spelling is compared as well.
            Self::Tzdb(name) => match TimeZone::get(name) {
                Ok(zone) if zone.iana_name() == Some(name) && !is_local_file(name) => {
                    Ok(LoadedZone::of(Clock::Tzdb(zone)))
                }
                _ => Err(ZoneError { name: name.clone() }),
            },
        }
    }
}

/// Files that some machines keep among the zones: what they mean depends on the machine, and a signed scope does not.
fn is_local_file(name: &str) -> bool {
    let folder = name.split('/').next().unwrap_or(name);
    ["localtime", "posixrules", "Factory", "posix", "right"].contains(&folder)
}

impl LoadedZone {
    fn of(clock: Clock) -> Self {
        Self { clock, known: KnownOffsets::default() }
    }

    /// The same zone, which answers faster within `validity`.
    #[must_use]
    pub fn prepared_for(mut self, validity: Validity) -> Self {
        if let Clock::Tzdb(zone) = &self.clock {
            self.known = KnownOffsets::of(zone, validity).unwrap_or_default();
        }
        self
    }

    /// The minute of the local week at `now`; `None` outside the calendar's range.
    #[must_use]
    pub fn minute_of_week(&self, now: UnixMillis) -> Option<u32> {
        let seconds = now.to_seconds().seconds();
        let offset = self.known.at(seconds).or_else(|| self.clock.offset_at(seconds))?;
        // 1970-01-01 was a Thursday: three days after a Monday.
        let minutes = seconds.checked_add(offset)?.div_euclid(60).checked_add(3 * 1440)?;
        u32::try_from(minutes.rem_euclid(i64::from(WEEK_MINUTES))).ok()
    }
}

impl Clock {
    fn offset_at(&self, second: i64) -> Option<i64> {
        match self {
            Self::Offset(offset) => Some(*offset),
            Self::Tzdb(zone) => {
                let stamp = jiff::Timestamp::from_second(second).ok()?;
                Some(i64::from(zone.to_offset(stamp).seconds()))
            }
        }
    }
}

impl KnownOffsets {
    fn of(zone: &TimeZone, validity: Validity) -> Option<Self> {
        let (first, last) = (validity.not_before.seconds(), validity.not_after.seconds());
        let start = jiff::Timestamp::from_second(first).ok()?;
        let mut known = Self { spans: vec![(first, zone.to_offset(start).seconds().into())], end: last };
        for change in zone.following(start) {
            let second = change.timestamp().as_second();
            if second > last {
                break;
            }
            if known.spans.len() > MAX_CHANGES {
                known.end = second - 1;
                break;
            }
            known.spans.push((second, change.offset().seconds().into()));
        }
        Some(known)
    }

    fn at(&self, second: i64) -> Option<i64> {
        let (_, offset) = self.spans.iter().rev().find(|(from, _)| *from <= second)?;
        (second <= self.end).then_some(*offset)
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Offset(0) => f.write_str("UTC"),
            Self::Offset(minutes) => {
                let sign = if *minutes < 0 { '-' } else { '+' };
                let size = minutes.unsigned_abs();
                write!(f, "{sign}{:02}:{:02}", size / 60, size % 60)
            }
            Self::Tzdb(name) => f.write_str(name),
        }
    }
}

/// A zone that the database of this machine does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown time zone `{name}`; write an offset such as +01:00, UTC, or a name such as Europe/Berlin")]
pub struct ZoneError {
    name: String,
}

/// A certificate lives 400 days at most; zones change twice a year, a few four times.
const MAX_CHANGES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::UnixTime;

    fn minute(zone: &str, at: &str) -> u32 {
        let zone = Zone::Tzdb(zone.into()).load().unwrap();
        zone.minute_of_week(UnixMillis::parse_rfc3339(at).unwrap()).unwrap()
    }

    #[test]
    fn the_week_starts_on_monday_and_wraps_after_sunday() {
        let utc = Zone::Offset(0).load().unwrap();
        let at = |text| utc.minute_of_week(UnixMillis::parse_rfc3339(text).unwrap()).unwrap();
        assert_eq!(at("2026-11-22T23:59:59.999Z"), WEEK_MINUTES - 1);
        assert_eq!(at("2026-11-23T00:00:00Z"), 0);
        assert_eq!(at("1969-12-31T00:00:00Z"), 2 * 1440);
        let east = Zone::Offset(60).load().unwrap();
        assert_eq!(east.minute_of_week(UnixMillis::parse_rfc3339("2026-11-22T23:30:00Z").unwrap()), Some(30));
    }

    #[test]
    fn a_skipped_hour_never_matches_and_a_repeated_one_matches_twice() {
        // Berlin, 2026-03-29: 02:00 jumps to 03:00. Sunday 02:30 does not occur.
        let sunday = 6 * 1440;
        assert_eq!(minute("Europe/Berlin", "2026-03-29T00:59:00Z"), sunday + 119);
        assert_eq!(minute("Europe/Berlin", "2026-03-29T01:00:00Z"), sunday + 180);
        // 2026-10-25: 03:00 falls back to 02:00.
        assert_eq!(minute("Europe/Berlin", "2026-10-25T00:30:00Z"), sunday + 150);
        assert_eq!(minute("Europe/Berlin", "2026-10-25T01:30:00Z"), sunday + 150);
    }

    #[test]
    fn what_is_looked_up_beforehand_is_what_the_database_says() {
        let second = |at: &str| UnixTime::parse_rfc3339(at).unwrap();
        let validity = Validity {
            not_before: second("2026-03-01T00:00:00Z"),
            not_after: second("2027-04-01T00:00:00Z"),
        };
        let endless = Validity { not_after: second("2060-01-01T00:00:00Z"), ..validity };
        for name in ["Europe/Berlin", "Africa/Casablanca", "Australia/Lord_Howe", "Asia/Tokyo"] {
            let plain = Zone::Tzdb(name.into()).load().unwrap();
            for (validity, hours) in [(validity, 10_000), (endless, 100_000)] {
                let prepared = plain.clone().prepared_for(validity);
                // Every hour from before the stretch to behind it, and the second before.
                for hour in -100..hours {
                    let on_the_hour = validity.not_before.plus(hour * 3_600);
                    for now in [on_the_hour.plus(-1).to_millis(), on_the_hour.to_millis()] {
                        assert_eq!(
                            prepared.minute_of_week(now),
                            plain.minute_of_week(now),
                            "{name} at {now}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn zones_are_spelled_as_the_database_does() {
        assert!(Zone::Tzdb("Europe/Berlin".into()).load().is_ok());
        for wrong in ["europe/berlin", "Mars/Olympus", "", "../etc/passwd"] {
            assert!(Zone::Tzdb(wrong.into()).load().is_err(), "{wrong}");
        }
    }

    #[test]
    fn slots_end_before_their_last_minute() {
        let map =
            Schedule { zone: Zone::Offset(0), slots: vec![Slot { days: 1, from: 540, to: 1020 }] }.week_map();
        assert!(!map.get(539) && map.get(540) && map.get(1019) && !map.get(1020));
        assert!(map.shifted(60).get(600) && !map.shifted(60).get(599));
        assert!(map.contains(&map.clone()) && !map.contains(&map.shifted(1)));
    }
}
