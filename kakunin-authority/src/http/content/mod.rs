//! What texts say that an agent writes: secrets, data about people, promises in somebody's name.
//!
//! It happens beside the path of decisions, on texts that somebody sends here to be looked at. A text is looked at and
//! dropped: kept is how many of what were found, never where and never the words. The table of this machine (`local`)
//! looks at every text, so that whatever talks another judge round (`remote`) hides nothing of what it finds. A judge
//! that does not answer, or not in the agreed form, leaves the check unknown; nothing takes that for clean.

mod desk;
mod local;
mod remote;
mod table;

use std::future::Future;
use std::pin::Pin;

pub(crate) use desk::{Desk, Room, Text, attend, came_of};
pub(crate) use local::Local;
pub(crate) use remote::Remote;
pub use remote::{ContentJudge, ContentJudgeError};
use serde_json::{Value, json};

/// Somebody who looks at texts.
pub(crate) trait Judge: Send + Sync {
    /// What it is called in the records.
    fn name(&self) -> &str;

    /// Looks at a text.
    fn judge<'a>(&'a self, text: &'a str) -> Judging<'a>;
}

/// What a judge says, or why it says nothing.
pub(crate) type Judging<'a> = Pin<Box<dyn Future<Output = Result<Judgement, Unjudged>> + Send + 'a>>;

/// Why nothing is known of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unjudged(pub(crate) String);

/// What was found in a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Judgement(Vec<Finding>);

/// So many of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) kind: Kind,
    /// What exactly, in a word of whoever found it.
    pub(crate) what: String,
    pub(crate) count: u32,
}

/// What can be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Something that opens a door.
    Secret,
    /// Something about a person.
    Personal,
    /// A promise that binds somebody.
    Commitment,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Secret, Self::Personal, Self::Commitment];

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Personal => "personal-data",
            Self::Commitment => "commitment",
        }
    }

    pub(crate) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// How much one weighs, on the scale of declared events.
    const fn weight(self) -> u8 {
        match self {
            Self::Secret => 85,
            Self::Personal => 55,
            Self::Commitment => 40,
        }
    }
}

impl Judgement {
    pub(crate) fn new(findings: Vec<Finding>) -> Self {
        Self(findings)
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.0.is_empty()
    }

    /// What either of two found: of one thing the higher count.
    pub(crate) fn and(mut self, other: Self) -> Self {
        for finding in other.0 {
            match self.0.iter_mut().find(|known| known.kind == finding.kind && known.what == finding.what) {
                Some(known) => known.count = known.count.max(finding.count),
                None => self.0.push(finding),
            }
        }
        self
    }

    /// The weight of the gravest.
    pub(crate) fn weight(&self) -> u8 {
        self.0.iter().map(|finding| finding.kind.weight()).max().unwrap_or(0)
    }

    /// For the records.
    pub(crate) fn to_json(&self) -> Value {
        let one = |finding: &Finding| json!({ "kind": finding.kind.word(), "what": finding.what, "count": finding.count });
        self.0.iter().map(one).collect()
    }

    /// In words, of printable ASCII.
    pub(crate) fn sentence(&self) -> String {
        let one = |finding: &Finding| format!("{} {} ({})", finding.count, finding.kind.word(), finding.what);
        format!("a text has {}", self.0.iter().map(one).collect::<Vec<_>>().join(", "))
    }
}
