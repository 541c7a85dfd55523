//! How risky a declared event is, as the hosted service counts it: a fixed table, in hundredths.
//!
//! A score is a word about a word. Whoever declares an event chooses its kind, so scores show what is claimed; what was
//! decided is in receipts, and nothing is revoked by a score.

use serde_json::{Value, json};

/// The kinds of events, each with its score.
const TABLE: [(&str, u8); 10] = [
    ("api_call", 5),
    ("authentication_attempt", 15),
    ("authentication_failure", 55),
    ("data_access", 20),
    ("data_mutation", 35),
    ("transaction_initiated", 30),
    ("transaction_anomaly", 85),
    ("unauthorized_access_attempt", 95),
    ("message_signed", 5),
    ("message_verification_failed", 95),
];

/// The score of a kind of event; `None` for a kind that nobody knows.
pub(crate) fn of(action: &str) -> Option<u8> {
    TABLE.iter().find(|(name, _)| *name == action).map(|(_, score)| *score)
}

/// The kinds, for whoever named another one.
pub(crate) fn kinds() -> String {
    TABLE.map(|(name, _)| name).join(", ")
}

/// How scores are called together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Band {
    Low,
    Medium,
    High,
}

impl Band {
    pub(crate) const ALL: [Self; 3] = [Self::Low, Self::Medium, Self::High];

    pub(crate) const fn of(score: u8) -> Self {
        match score {
            0..MEDIUM => Self::Low,
            MEDIUM..HIGH => Self::Medium,
            _ => Self::High,
        }
    }

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }

    pub(crate) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|band| band.word() == word)
    }

    /// The least score in it, and the least above it.
    pub(crate) const fn scores(self) -> (Option<u8>, Option<u8>) {
        match self {
            Self::Low => (None, Some(MEDIUM)),
            Self::Medium => (Some(MEDIUM), Some(HIGH)),
            Self::High => (Some(HIGH), None),
        }
    }
}

/// A score as clients read it: a number from 0 to 1.
pub(crate) fn shown(score: u8) -> Value {
    json!(f64::from(score) / 100.0)
}

const MEDIUM: u8 = 30;
const HIGH: u8 = 85;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_are_cut_where_the_hosted_service_cuts_them() {
        for (action, score, band) in [
            ("api_call", "0.05", "low"),
            ("transaction_initiated", "0.3", "medium"),
            ("authentication_failure", "0.55", "medium"),
            ("transaction_anomaly", "0.85", "high"),
            ("message_verification_failed", "0.95", "high"),
        ] {
            let known = of(action).unwrap();
            assert_eq!((shown(known).to_string().as_str(), Band::of(known).word()), (score, band));
        }
        assert_eq!((of("kill_switch_activated"), of("API_CALL"), of("")), (None, None, None));
        for score in 0..=100 {
            let within = |band: &Band| {
                let (least, under) = band.scores();
                least.is_none_or(|least| score >= least) && under.is_none_or(|under| score < under)
            };
            let bands: Vec<_> = Band::ALL.into_iter().filter(within).collect();
            assert_eq!(bands, [Band::of(score)]);
        }
    }
}
