//! Frameworks as data: which controls there are, what each is claimed by, and what is not covered.
//!
//! The files in `controls/` are part of the program, so a report needs none beside it. Every file is held to the rules
//! here when it is read: no control without a predicate, no file that covers everything, no key that nobody knows.

use std::collections::BTreeSet;

use kakunin_core::time::UnixTime;
use serde::Deserialize;

use crate::predicate::Predicate;

/// A framework: its controls as far as receipts show something of them, and the rest by name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Framework {
    /// The word for it on a command line.
    pub id: String,
    /// What it is called.
    pub title: String,
    /// Which one.
    pub version: String,
    /// Where its text is.
    pub source: String,
    /// A catalog that programs read, if its publisher has one.
    pub catalog: Option<String>,
    /// Since when, as a date; a control may have a later one.
    pub applies_from: String,
    /// What may be copied of it.
    pub licence: String,
    /// What a reader has to know first.
    pub note: Option<String>,
    /// What receipts show something of.
    #[serde(rename = "control")]
    pub controls: Vec<Control>,
    /// What they show nothing of.
    pub not_covered: Vec<NotCovered>,
}

/// One control of a framework.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// Its id, as its publisher writes it.
    pub id: String,
    /// Its title, where it may be copied.
    pub title: Option<String>,
    /// Where its text is, if not where the framework's is.
    pub source: Option<String>,
    /// Since when, if not since the framework.
    pub applies_from: Option<String>,
    /// How much of it receipts can carry at all.
    pub carries: Carries,
    /// What has to hold for the claim, all of it.
    pub shown_by: Vec<Predicate>,
    /// What is claimed if it does: a sentence of ours, not of the framework.
    pub claim: String,
    /// What is not claimed even then.
    pub limit: String,
}

/// How much of a control receipts can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Carries {
    /// What the control asks for itself.
    Direct,
    /// A part of it: the finding is never more than partial.
    Part,
}

/// Something that a framework asks for and receipts cannot show.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotCovered {
    /// Ids, or their family.
    pub what: String,
    /// Why not.
    pub why: String,
}

impl Framework {
    /// The words of the frameworks that are part of this program, ascending.
    pub fn names() -> impl Iterator<Item = &'static str> {
        FILES.iter().map(|(name, _)| *name)
    }

    /// The framework called `name`.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn named(name: &str) -> Result<Self, FrameworkError> {
        match FILES.iter().find(|(known, _)| *known == name) {
            Some((_, text)) => Self::parse(text),
            None => Err(FrameworkError::Unknown { name: name.to_owned() }),
        }
    }

    /// Reads a framework from TOML.
    ///
    /// # Errors
    /// A key or a predicate that is not known, with its line; a control that nothing shows, an id twice, a date that is
    /// none, or a framework of which nothing is left uncovered.
    pub fn parse(text: &str) -> Result<Self, FrameworkError> {
        let framework: Self = toml::from_str(text).map_err(FrameworkError::Form)?;
        let mut known = BTreeSet::new();
        framework.starts(None)?;
        for control in &framework.controls {
            let id = || control.id.clone();
            if !known.insert(&control.id) {
                return Err(FrameworkError::Twice { id: id() });
            }
            if control.shown_by.is_empty() {
                return Err(FrameworkError::NoPredicate { id: id() });
            }
            if control.claim.trim().is_empty() || control.limit.trim().is_empty() {
                return Err(FrameworkError::NoSentence { id: id() });
            }
            framework.starts(Some(control))?;
        }
        if framework.controls.is_empty() || framework.not_covered.is_empty() {
            return Err(FrameworkError::CoversAll);
        }
        Ok(framework)
    }

    /// The first second at which `control` applies.
    ///
    /// # Errors
    /// The date is none.
    pub(crate) fn starts(&self, control: Option<&Control>) -> Result<UnixTime, FrameworkError> {
        let date = control.and_then(|control| control.applies_from.as_ref()).unwrap_or(&self.applies_from);
        UnixTime::parse_rfc3339(&format!("{date}T00:00:00Z"))
            .map_err(|_| FrameworkError::Date { text: date.clone() })
    }
}

/// Why a framework is none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrameworkError {
    /// A name that no file has.
    #[error("no framework is called `{name}`; there are {}", FILES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", "))]
    Unknown {
        /// The name.
        name: String,
    },
    /// Not the TOML of a framework.
    #[error("not a framework: {0}")]
    Form(toml::de::Error),
    /// One id for two controls.
    #[error("control `{id}` stands there twice")]
    Twice {
        /// The id.
        id: String,
    },
    /// A claim that nothing shows.
    #[error("control `{id}` has no predicate; without one there is no claim")]
    NoPredicate {
        /// The id.
        id: String,
    },
    /// A control without a claim or without its limit.
    #[error("control `{id}` says not what is claimed, or not where that ends")]
    NoSentence {
        /// The id.
        id: String,
    },
    /// A date in another form.
    #[error("`{text}` is no date; write YYYY-MM-DD")]
    Date {
        /// What stands there.
        text: String,
    },
    /// A framework of which everything would be covered, or nothing.
    #[error("a framework has controls, and lists what is not covered")]
    CoversAll,
}

const FILES: &[(&str, &str)] = &[
    ("ai-rmf-1.0", include_str!("../controls/ai-rmf-1.0.toml")),
    ("csf-2.0", include_str!("../controls/csf-2.0.toml")),
    ("dora", include_str!("../controls/dora.toml")),
    ("eu-ai-act", include_str!("../controls/eu-ai-act.toml")),
    ("iso-27001-2022", include_str!("../controls/iso-27001-2022.toml")),
    ("iso-42001-2023", include_str!("../controls/iso-42001-2023.toml")),
    ("mica", include_str!("../controls/mica.toml")),
    ("owasp-agentic-2026", include_str!("../controls/owasp-agentic-2026.toml")),
    ("soc2", include_str!("../controls/soc2.toml")),
    ("sp800-53-r5", include_str!("../controls/sp800-53-r5.toml")),
];
