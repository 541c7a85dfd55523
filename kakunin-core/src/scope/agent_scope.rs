//! The scope as a whole: its parts, and the rules between them.
//!
//! [`Scope::build`] is the one origin: authoring and decoding both go through it, so a scope that exists is
//! sorted, free of duplicates, within every size and has no rule that can never apply.

use der::asn1::ObjectIdentifier;

use super::action::Pattern;
use super::extension;
use super::limit::{Limit, MAX_WINDOW_SECONDS, Rate, Window};
use super::names::{NameRule, NameSet};
use super::schedule::{Schedule, Slot, Zone};
use crate::id::AgentId;
use crate::money::MAX_SCALE;

/// What one agent may do. Its parts are checked, sorted and cannot be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope(ScopeParts);

/// The parts of a scope, in any order and not checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeParts {
    /// Who the scope is for; equal to the certificate's name.
    pub agent: AgentId,
    /// What is allowed.
    pub actions: Vec<Pattern>,
    /// What is not, whatever `actions` says.
    pub denied: Vec<Pattern>,
    /// Money.
    pub limits: Vec<Limit>,
    /// Counterparties.
    pub parties: Vec<NameRule>,
    /// Resources.
    pub resources: Vec<NameRule>,
    /// Hours; always, if absent.
    pub schedule: Option<Schedule>,
    /// How often.
    pub rates: Vec<Rate>,
    /// Handing on; see [`Delegation::default`] if absent.
    pub delegation: Option<Delegation>,
    /// Conditions of later versions: an unknown one denies every action.
    pub conditions: Vec<Condition>,
}

impl ScopeParts {
    /// A scope of `actions` without any rule.
    #[must_use]
    pub const fn new(agent: AgentId, actions: Vec<Pattern>) -> Self {
        Self {
            agent,
            actions,
            denied: Vec::new(),
            limits: Vec::new(),
            parties: Vec::new(),
            resources: Vec::new(),
            schedule: None,
            rates: Vec::new(),
            delegation: None,
            conditions: Vec::new(),
        }
    }
}

/// Whether and how the agent may hand its scope on.
///
/// ```text
/// Delegation ::= SEQUENCE { depth INTEGER (0..7), maxSeconds INTEGER (1..31622400), modes BIT STRING (SIZE (2)) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delegation {
    /// How many generations of sub-agents; the mode bit `subAgent` is set exactly when this is positive.
    pub depth: u8,
    /// Longest life of what is handed on.
    pub max_seconds: u32,
    /// Whether the agent may certify session keys of its own.
    pub session: bool,
}

impl Default for Delegation {
    /// What an absent field means: no sub-agents, sessions of up to a day.
    fn default() -> Self {
        Self { depth: 0, max_seconds: 86_400, session: true }
    }
}

/// A condition of a later version: `Condition ::= SEQUENCE { id OBJECT IDENTIFIER, value OCTET STRING }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// What kind of condition.
    pub id: ObjectIdentifier,
    /// Its value.
    pub value: Vec<u8>,
}

impl Scope {
    /// Checks and sorts `parts`.
    ///
    /// # Errors
    /// [`ScopeError`] naming the first rule that is broken.
    pub fn build(parts: ScopeParts) -> Result<Self, ScopeError> {
        Self::build_with_der(parts).map(|(scope, _)| scope)
    }

    /// The same, and the DER that was looked at for its size.
    pub(super) fn build_with_der(mut parts: ScopeParts) -> Result<(Self, Vec<u8>), ScopeError> {
        size("actions", parts.actions.len(), 1, 256)?;
        size("deny", parts.denied.len(), 0, 256)?;
        size("limit", parts.limits.len(), 0, 64)?;
        size("counterparties", parts.parties.len(), 0, 32)?;
        size("resources", parts.resources.len(), 0, 32)?;
        size("rate", parts.rates.len(), 0, 16)?;
        size("condition", parts.conditions.len(), 0, 16)?;
        sort_distinct("actions", &mut parts.actions)?;
        sort_distinct("deny", &mut parts.denied)?;

        for limit in &mut parts.limits {
            sort_for(&mut limit.r#for)?;
            check_limit(limit)?;
            limit.windows.sort_by_cached_key(extension::window_der);
        }
        for rule in parts.parties.iter_mut().chain(&mut parts.resources) {
            sort_for(&mut rule.r#for)?;
            for set in std::iter::once(&mut rule.allow).chain(&mut rule.deny) {
                check_names(set)?;
            }
        }
        for rate in &mut parts.rates {
            sort_for(&mut rate.r#for)?;
            check_window(&rate.window)?;
        }
        check_schedule(&mut parts.schedule)?;
        if let Some(delegation) = &parts.delegation {
            range("delegation depth", i64::from(delegation.depth), 0, 7)?;
            range("delegation seconds", i64::from(delegation.max_seconds), 1, i64::from(MAX_WINDOW_SECONDS))?;
        }
        distinct(
            "limit for the same actions and currency",
            parts.limits.iter().map(|l| (&l.r#for, l.currency)),
        )?;
        distinct(
            "rate for the same actions and seconds",
            parts.rates.iter().map(|r| (&r.r#for, r.window.seconds)),
        )?;
        distinct("condition", parts.conditions.iter().map(|c| c.id))?;

        let fors = parts.limits.iter().map(|l| &l.r#for);
        let fors = fors
            .chain(parts.parties.iter().map(|r| &r.r#for))
            .chain(parts.resources.iter().map(|r| &r.r#for));
        for pattern in fors.chain(parts.rates.iter().map(|r| &r.r#for)).flatten() {
            if !can_happen(&parts, pattern) {
                return Err(ScopeError::Unreachable { pattern: pattern.to_string() });
            }
        }

        parts.limits.sort_by_cached_key(extension::limit_der);
        parts.parties.sort_by_cached_key(extension::name_rule_der);
        parts.resources.sort_by_cached_key(extension::name_rule_der);
        parts.rates.sort_by_cached_key(extension::rate_der);
        parts.conditions.sort_by_cached_key(extension::condition_der);
        distinct("counterparties rule", parts.parties.iter())?;
        distinct("resources rule", parts.resources.iter())?;
        let scope = Self(parts);
        let der = scope.to_der();
        if der.len() > extension::MAX_EXTENSION {
            return Err(ScopeError::TooLarge { bytes: der.len() });
        }
        Ok((scope, der))
    }

    /// Who the scope is for.
    #[must_use]
    pub const fn agent(&self) -> AgentId {
        self.0.agent
    }

    /// The checked parts.
    #[must_use]
    pub const fn parts(&self) -> &ScopeParts {
        &self.0
    }

    /// Handing on, with what an absent field means.
    #[must_use]
    pub fn delegation(&self) -> Delegation {
        self.0.delegation.unwrap_or_default()
    }

    /// Whether some action pattern is the bare `*`, which only `certify --allow-any` may issue.
    #[must_use]
    pub fn allows_any_action(&self) -> bool {
        self.0.actions.iter().any(Pattern::is_any)
    }

    /// The roots of every detached list the scope refers to.
    pub fn detached_roots(&self) -> impl Iterator<Item = crate::digest::Digest> + '_ {
        let rules = self.0.parties.iter().chain(&self.0.resources);
        rules.flat_map(|rule| std::iter::once(&rule.allow).chain(&rule.deny)).filter_map(|set| match set {
            NameSet::Detached { root, .. } => Some(*root),
            NameSet::Inline(_) => None,
        })
    }

    /// The allowed patterns that `pattern` meets and no denial swallows whole.
    pub(super) fn reach<'a>(&'a self, pattern: &'a Pattern) -> impl Iterator<Item = &'a Pattern> {
        reach(&self.0, pattern)
    }
}

fn reach<'a>(parts: &'a ScopeParts, pattern: &'a Pattern) -> impl Iterator<Item = &'a Pattern> {
    let allowed = parts.actions.iter().filter_map(move |action| action.meet(pattern));
    allowed.filter(|meet| !parts.denied.iter().any(|denied| denied.covers(meet)))
}

fn can_happen(parts: &ScopeParts, pattern: &Pattern) -> bool {
    reach(parts, pattern).next().is_some()
}

fn sort_for(patterns: &mut [Pattern]) -> Result<(), ScopeError> {
    size("for", patterns.len(), 1, 256)?;
    sort_distinct("for", patterns)
}

fn check_limit(limit: &Limit) -> Result<(), ScopeError> {
    range("scale", i64::from(limit.scale), 0, i64::from(MAX_SCALE))?;
    size("windows", limit.windows.len(), 0, 8)?;
    for window in &limit.windows {
        check_window(window)?;
    }
    distinct("window of the same seconds", limit.windows.iter().map(|w| w.seconds))?;
    if limit.per_action.is_none() && limit.windows.is_empty() && limit.approve_above.is_none() {
        return Err(ScopeError::Boundless { currency: limit.currency.to_string() });
    }
    Ok(())
}

fn check_window(window: &Window) -> Result<(), ScopeError> {
    range("window seconds", i64::from(window.seconds), 1, i64::from(MAX_WINDOW_SECONDS))
}

fn check_names(set: &mut NameSet) -> Result<(), ScopeError> {
    match set {
        NameSet::Inline(entries) => {
            size("names", entries.len(), 1, 32)?;
            sort_distinct("names", entries)
        }
        NameSet::Detached { count, .. } => range("names in a list", i64::from(*count), 1, 1_000_000),
    }
}

fn check_schedule(schedule: &mut Option<Schedule>) -> Result<(), ScopeError> {
    let Some(schedule) = schedule else { return Ok(()) };
    match &schedule.zone {
        Zone::Offset(minutes) => range("zone offset in minutes", i64::from(*minutes), -840, 840)?,
        Zone::Tzdb(name) => {
            size("zone name", name.len(), 2, 64)?;
            if !name.is_ascii() {
                return Err(ScopeError::Alphabet { what: "zone name" });
            }
        }
    }
    size("slots", schedule.slots.len(), 1, 32)?;
    for Slot { days, from, to } in &schedule.slots {
        range("days of a slot", i64::from(*days), 1, 127)?;
        range("end of a slot", i64::from(*to), 1, 1440)?;
        range("start of a slot", i64::from(*from), 0, i64::from(*to) - 1)?;
    }
    schedule.slots.sort_by_cached_key(extension::slot_der);
    distinct("slot", schedule.slots.iter())
}

fn size(what: &'static str, count: usize, min: usize, max: usize) -> Result<(), ScopeError> {
    if (min..=max).contains(&count) { Ok(()) } else { Err(ScopeError::Size { what, count, min, max }) }
}

fn range(what: &'static str, value: i64, min: i64, max: i64) -> Result<(), ScopeError> {
    if (min..=max).contains(&value) { Ok(()) } else { Err(ScopeError::Range { what, value, min, max }) }
}

fn sort_distinct<T: Ord>(what: &'static str, items: &mut [T]) -> Result<(), ScopeError> {
    items.sort_unstable();
    let distinct = items.is_sorted_by(|a, b| a < b);
    if distinct { Ok(()) } else { Err(ScopeError::Duplicate { what }) }
}

fn distinct<T: Eq>(what: &'static str, mut items: impl Iterator<Item = T> + Clone) -> Result<(), ScopeError> {
    // There are 64 at most, and mostly one: a table of those seen would take longer.
    while let Some(item) = items.next() {
        if items.clone().any(|other| other == item) {
            return Err(ScopeError::Duplicate { what });
        }
    }
    Ok(())
}

/// A scope that breaks a rule of the language.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScopeError {
    /// Too few or too many of something.
    #[error("{what}: {count} given, {min} to {max} allowed")]
    Size {
        /// Of what.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// The least.
        min: usize,
        /// The most.
        max: usize,
    },
    /// A number outside its range.
    #[error("{what}: {value} is outside {min} to {max}")]
    Range {
        /// Which number.
        what: &'static str,
        /// Its value.
        value: i64,
        /// The least.
        min: i64,
        /// The most.
        max: i64,
    },
    /// The same thing twice.
    #[error("{what}: stands there twice")]
    Duplicate {
        /// What.
        what: &'static str,
    },
    /// Text with letters that do not belong there.
    #[error("{what}: has characters that are not allowed there")]
    Alphabet {
        /// Which text.
        what: &'static str,
    },
    /// A limit that limits nothing.
    #[error(
        "the limit in {currency} has no number; add per_action, a window such as per_day, or approve_above"
    )]
    Boundless {
        /// Its currency.
        currency: String,
    },
    /// A rule for actions that can never happen.
    #[error("a rule is for `{pattern}`, which meets no allowed action; add the action or remove the rule")]
    Unreachable {
        /// The pattern.
        pattern: String,
    },
    /// More bytes than a certificate may carry.
    #[error("the scope takes {bytes} bytes, 16384 are allowed; move names into an allow_file")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
}
