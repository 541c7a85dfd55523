//! A denial as the caller meets it: code, numbers, and two texts.
//!
//! The operator's text names the limit and the fix. The model's text names neither: who can be told how far
//! it went too far can find the limit by trying.

use std::fmt;

use crate::decision::{Denial, DenialReason, Detail};
use crate::receipt::ReceiptHash;

/// An action that was refused.
///
/// It is large and lies on the stack: whatever is refused often must not cost more than what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    denial: Denial,
    action: ActionText,
    receipt: Option<ReceiptHash>,
    note: Option<Note>,
}

/// What the guard knows beyond the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Note {
    /// What it is, in words.
    Said(String),
    /// The list asks for a feed, and this guard was given none: no list in the directory will help.
    NoFeed,
    /// The guard was given a feed, and the list asks for none: its file counts for nothing here.
    FeedNotAsked,
    /// The last word of the feed is too old.
    SilentFeed,
    /// Nothing is wrong with the caller: whom it called may not act itself, and what is said of that.
    Own(String),
}

impl Note {
    fn what(&self) -> &str {
        match self {
            Self::Said(what) | Self::Own(what) => what,
            Self::NoFeed => "the list asks for a feed, which no directory carries",
            Self::FeedNotAsked => "this guard decides by a feed, and the list asks for none",
            Self::SilentFeed => "no word of the feed is young enough",
        }
    }

    const fn fix(&self) -> Option<&'static str> {
        match self {
            Self::Said(_) | Self::Own(_) => None,
            Self::NoFeed => Some(
                "connect the agent: Agent.connect(url, agent) in place of from_dir, or kakunin_client in Rust; only an authority that is served --without-feed signs lists that are files and no more",
            ),
            Self::FeedNotAsked => Some(
                "serve the authority with a feed, as it does unless it is told --without-feed, or connect without_feed to decide by lists alone",
            ),
            Self::SilentFeed => Some(
                "see that the authority is served and can be reached from here; agent.status() tells what went wrong last",
            ),
        }
    }
}

impl Denied {
    /// A refusal of `action`; `note` is what the guard knows beyond the reason, for the operator.
    #[must_use]
    #[inline]
    pub fn new(denial: Denial, action: &str, receipt: Option<ReceiptHash>, note: Option<String>) -> Self {
        Self::of(denial, ActionText::of(action), receipt, note.map(Note::Said))
    }

    /// A refusal of `action` because the list asks for a feed, where only files were read: by those alone nothing is allowed, and
    /// no newer list helps.
    #[must_use]
    pub fn without_feed(denial: Denial, action: &str, receipt: Option<ReceiptHash>) -> Self {
        Self::of(denial, ActionText::of(action), receipt, Some(Note::NoFeed))
    }

    #[inline(always)]
    pub(super) const fn of(
        denial: Denial,
        action: ActionText,
        receipt: Option<ReceiptHash>,
        note: Option<Note>,
    ) -> Self {
        Self { denial, action, receipt, note }
    }

    /// The reason.
    #[must_use]
    pub const fn reason(&self) -> DenialReason {
        self.denial.reason()
    }

    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.denial.code()
    }

    /// What was asked.
    #[must_use]
    pub fn action(&self) -> &str {
        self.action.as_str()
    }

    /// The receipt of the denial, which is also the name of the decision; `None` if it could not be recorded.
    #[must_use]
    pub const fn receipt(&self) -> Option<ReceiptHash> {
        self.receipt
    }

    /// The first eight digits of the decision's name.
    #[must_use]
    pub fn decision_id(&self) -> Option<String> {
        self.receipt.map(|receipt| receipt.to_string().chars().take(8).collect())
    }

    /// The limit, with its unit.
    #[must_use]
    pub fn limit(&self) -> Option<String> {
        match self.denial.detail() {
            Detail::PerAction { limit, scale, currency, .. } => {
                Some(format!("{} {currency}", limit.to_decimal(*scale)))
            }
            Detail::Window { limit, scale, currency, seconds, .. } => {
                Some(format!("{} {currency} in {seconds} s", limit.to_decimal(*scale)))
            }
            Detail::Rate { limit, seconds } => Some(format!("{limit} in {seconds} s")),
            _ => None,
        }
    }

    /// What was asked for, in the unit of the limit.
    #[must_use]
    pub fn actual(&self) -> Option<String> {
        match self.denial.detail() {
            Detail::PerAction { actual, scale, currency, .. }
            | Detail::Window { actual, scale, currency, .. } => {
                Some(format!("{} {currency}", actual.to_decimal(*scale)))
            }
            _ => None,
        }
    }

    /// Whether the guard that was asked about a caller cannot act itself, so that the reason says nothing about the caller.
    #[must_use]
    pub const fn is_of_guard(&self) -> bool {
        matches!(self.note, Some(Note::Own(_)))
    }

    /// What the operator can do about it.
    #[must_use]
    pub fn fix(&self) -> &'static str {
        self.note.as_ref().and_then(Note::fix).unwrap_or(self.reason().fix())
    }

    /// The text for a model: the code, one sentence, the decision. No limit and no number of the scope is in it.
    #[must_use]
    pub fn for_model(&self) -> String {
        format!("{} denied: {} [{}]", self.action(), self.reason().what(), self.tag())
    }

    fn tag(&self) -> String {
        match self.decision_id() {
            Some(id) => format!("{}, decision {id}", self.code()),
            None => self.code().to_owned(),
        }
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} denied: ", self.action())?;
        match self.denial.detail() {
            Detail::PerAction { limit, actual, scale, currency } => {
                let (limit, actual) = (limit.to_decimal(*scale), actual.to_decimal(*scale));
                write!(f, "{actual} {currency} is over this certificate's {limit} {currency} per action")?;
            }
            Detail::Window { limit, spent, actual, scale, currency, seconds } => {
                let text = |money: &crate::money::Money| money.to_decimal(*scale);
                let (limit, spent, actual) = (text(limit), text(spent), text(actual));
                write!(
                    f,
                    "{actual} {currency} on top of {spent} is over this certificate's {limit} {currency} in {seconds} s"
                )?;
            }
            Detail::Rate { limit, seconds } => {
                write!(
                    f,
                    "it was done {limit} times already, as often as this certificate allows in {seconds} s"
                )?;
            }
            _ => f.write_str(self.reason().what())?,
        }
        if let Some(note) = &self.note {
            write!(f, " ({})", note.what())?;
        }
        write!(f, "; {} [{}]", self.fix(), self.tag())
    }
}

impl std::error::Error for Denied {}

/// The action of a denial, kept in place.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct ActionText {
    // INVARIANT: the first `length` bytes are text, the others zero.
    bytes: [u8; MAX_ACTION],
    length: u8,
}

impl ActionText {
    #[inline(always)]
    pub(super) fn of(action: &str) -> Self {
        // An action of a megabyte is denied too, and not repeated.
        let action = if action.len() <= MAX_ACTION { action } else { "an action of over 128 bytes" };
        let mut text = Self { bytes: [0; MAX_ACTION], length: 0 };
        if let (Some(to), Ok(length)) = (text.bytes.get_mut(..action.len()), u8::try_from(action.len())) {
            to.copy_from_slice(action.as_bytes());
            text.length = length;
        }
        text
    }

    fn as_str(&self) -> &str {
        let text = self.bytes.get(..usize::from(self.length));
        text.and_then(|text| std::str::from_utf8(text).ok()).unwrap_or("")
    }
}

impl fmt::Debug for ActionText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// As long as a name can be (the module's `UTF8String (SIZE (1..128))`).
const MAX_ACTION: usize = 128;
