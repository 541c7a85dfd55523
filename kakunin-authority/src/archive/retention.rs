//! How long an archived object may not be deleted.
//!
//! Presets only: which law asks for which one is the owner's to know, and a number typed by hand is easily a zero
//! short. Under COMPLIANCE nobody can shorten it afterwards.

use std::fmt;
use std::str::FromStr;

use kakunin_core::time::UnixTime;

/// A preset of retention. Each is counted in days and is never shorter than the span it is named for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Retention {
    /// Six months: the least that the EU AI Act asks of providers and deployers (articles 19 and 26(6)).
    SixMonths,
    /// Five years: MiCA, article 68(9).
    FiveYears,
    /// Six years: SEC rule 17a-4(a).
    SixYears,
    /// Seven years: MiCA when the authority asks for it.
    SevenYears,
}

impl Retention {
    /// Every preset, shortest first.
    pub const ALL: [Self; 4] = [Self::SixMonths, Self::FiveYears, Self::SixYears, Self::SevenYears];

    /// How it is written.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::SixMonths => "6m",
            Self::FiveYears => "5y",
            Self::SixYears => "6y",
            Self::SevenYears => "7y",
        }
    }

    /// The longest that its span can be: from 1 March to 1 September, and with two leap days in the years.
    #[must_use]
    pub const fn days(self) -> i64 {
        match self {
            Self::SixMonths => 184,
            Self::FiveYears => 5 * 365 + 2,
            Self::SixYears => 6 * 365 + 2,
            Self::SevenYears => 7 * 365 + 2,
        }
    }

    /// When an object stored at `now` may go.
    #[must_use]
    pub const fn until(self, now: UnixTime) -> UnixTime {
        now.plus(self.days() * 86_400)
    }
}

impl fmt::Display for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Retention {
    type Err = UnknownRetention;

    fn from_str(text: &str) -> Result<Self, UnknownRetention> {
        let found = Self::ALL.into_iter().find(|retention| retention.word() == text);
        found.ok_or_else(|| UnknownRetention { text: text.to_owned() })
    }
}

/// A text that names no preset.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no retention; write 6m, 5y, 6y or 7y")]
pub struct UnknownRetention {
    text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_preset_ends_before_the_calendar_does() {
        let time = |text: &str| UnixTime::parse_rfc3339(text).unwrap();
        for year in 2026..2040 {
            for (month, later) in [("01", "07"), ("03", "09"), ("06", "12")] {
                let from = time(&format!("{year}-{month}-01T00:00:00Z"));
                assert!(Retention::SixMonths.until(from) >= time(&format!("{year}-{later}-01T00:00:00Z")));
                for (retention, years) in
                    [(Retention::FiveYears, 5), (Retention::SixYears, 6), (Retention::SevenYears, 7)]
                {
                    let end = time(&format!("{}-{month}-01T00:00:00Z", year + years));
                    assert!(retention.until(from) >= end, "{retention} from {from}");
                    assert!(retention.until(from) <= end.plus(2 * 86_400), "{retention} from {from}");
                }
            }
        }
    }

    #[test]
    fn presets_are_read_as_they_are_written() {
        for retention in Retention::ALL {
            assert_eq!(retention.word().parse(), Ok(retention));
        }
        assert!("8y".parse::<Retention>().is_err() && "".parse::<Retention>().is_err());
    }
}
