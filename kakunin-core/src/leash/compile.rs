//! From a scope to plans.
//!
//! Patterns nest by prefix, so all of them that cover a name are known as soon as the longest one is: for every name and
//! prefix that some pattern mentions, a plan lists what applies there. A decision looks up one plan and never
//! compares patterns.

use hashbrown::{HashMap, HashSet};

use super::budget::{BudgetKey, Quota};
use crate::certificate::{AgentPath, VerifiedAgent};
use crate::digest::Digest;
use crate::id::AgentId;
use crate::money::{Currency, Money};
use crate::scope::{
    ActionName, LoadedZone, NameLists, NameRule, NameSet, Pattern, ProvenNames, Scope, WeekMap, ZoneError,
};
use crate::time::Validity;

/// A verified agent's scope, compiled for deciding.
#[derive(Debug)]
pub struct Leash {
    pub(super) agent: AgentId,
    // INVARIANT: plan 0 is for names that no pattern but `*` covers.
    pub(super) plans: Vec<Plan>,
    exact: HashMap<Box<str>, u32>,
    prefixes: HashMap<Box<str>, u32>,
    pub(super) limits: Vec<CompiledLimit>,
    pub(super) parties: Vec<CompiledNames>,
    pub(super) resources: Vec<CompiledNames>,
    pub(super) rates: Vec<Quota>,
    pub(super) schedule: Option<(LoadedZone, WeekMap)>,
    pub(super) unknown_condition: bool,
}

/// What applies to the names of one lookup.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) allowed: bool,
    pub(super) limits: Box<[u32]>,
    pub(super) parties: Box<[u32]>,
    pub(super) resources: Box<[u32]>,
    pub(super) rates: Box<[u32]>,
    pub(super) amount_required: bool,
    pub(super) has_quotas: bool,
}

#[derive(Debug)]
pub(super) struct CompiledLimit {
    pub(super) currency: Currency,
    pub(super) scale: u8,
    pub(super) per_action: Option<Money>,
    pub(super) approve_above: Option<Money>,
    pub(super) windows: Box<[Quota]>,
}

#[derive(Debug)]
pub(super) struct CompiledNames {
    pub(super) allow: CompiledSet,
    pub(super) deny: Option<CompiledSet>,
    pub(super) optional: bool,
}

#[derive(Debug)]
pub(super) enum CompiledSet {
    Known {
        names: HashSet<Box<[u8]>>,
        prefixes: Box<[Box<[u8]>]>,
    },
    /// The detached list is not there: nothing can be decided by it but what somebody proves of it.
    Missing {
        root: Digest,
        count: u32,
    },
}

impl CompiledSet {
    /// Whether `name` is in the set; `None` if the set is missing and nothing is `proven` of it.
    #[inline]
    pub(super) fn contains(&self, name: &[u8], proven: Option<&ProvenNames>) -> Option<bool> {
        match self {
            Self::Known { names, prefixes } => {
                let covered = |prefix: &[u8]| name.len() > prefix.len() && name.starts_with(prefix);
                Some(names.contains(name) || prefixes.iter().any(|prefix| covered(prefix)))
            }
            Self::Missing { root, count } => proven?.contains(root, *count, name),
        }
    }
}

impl Leash {
    /// Compiles the scope of `agent`. Detached lists are found in `lists` by their root; an absent one denies the
    /// actions its rule is for.
    ///
    /// # Errors
    /// [`CompileError`] when the scope's time zone is unknown on this machine.
    pub fn compile(agent: &VerifiedAgent, lists: &NameLists) -> Result<Self, CompileError> {
        Self::of_path(agent.path(), lists)
    }

    /// As [`Leash::compile`], for a path whose lists come and go without changing the scope.
    pub(crate) fn of_path(path: &AgentPath, lists: &NameLists) -> Result<Self, CompileError> {
        Self::of_scope(path.agent().scope(), path.agent().decoded().validity(), lists)
    }

    /// The same for a scope that is in no certificate yet: for asking what it would say, and never a guard's.
    pub(crate) fn of_scope(
        scope: &Scope,
        validity: Validity,
        lists: &NameLists,
    ) -> Result<Self, CompileError> {
        let parts = scope.parts();
        let schedule = match &parts.schedule {
            Some(schedule) => Some((schedule.zone.load()?.prepared_for(validity), schedule.week_map())),
            None => None,
        };
        let quota = |r#for: &[Pattern], currency, seconds, max, scale| Quota {
            key: BudgetKey::new(scope.agent(), currency, seconds, r#for),
            seconds,
            max,
            scale,
            currency,
        };
        let limits = parts.limits.iter().map(|limit| CompiledLimit {
            currency: limit.currency,
            scale: limit.scale,
            per_action: limit.per_action,
            approve_above: limit.approve_above,
            windows: limit
                .windows
                .iter()
                .map(|window| {
                    quota(&limit.r#for, Some(limit.currency), window.seconds, window.max, limit.scale)
                })
                .collect(),
        });
        let rates =
            parts.rates.iter().map(|rate| quota(&rate.r#for, None, rate.window.seconds, rate.window.max, 0));
        let names = |rules: &[NameRule]| rules.iter().map(|rule| compile_names(rule, lists)).collect();
        let mut leash = Self {
            agent: scope.agent(),
            plans: Vec::new(),
            exact: HashMap::new(),
            prefixes: HashMap::new(),
            limits: limits.collect(),
            parties: names(&parts.parties),
            resources: names(&parts.resources),
            rates: rates.collect(),
            schedule,
            unknown_condition: !parts.conditions.is_empty(),
        };
        leash.add_plan(scope, "");
        for pattern in all_patterns(scope) {
            match pattern.prefix() {
                Some("") => {}
                Some(prefix) if !leash.prefixes.contains_key(prefix) => {
                    // Any name under the prefix has the same plan unless a longer pattern is looked up first.
                    let plan = leash.add_plan(scope, &format!("{prefix}{UNSAID}"));
                    leash.prefixes.insert(prefix.into(), plan);
                }
                None if !leash.exact.contains_key(pattern.as_str()) => {
                    let plan = leash.add_plan(scope, pattern.as_str());
                    leash.exact.insert(pattern.as_str().into(), plan);
                }
                _ => {}
            }
        }
        Ok(leash)
    }

    /// Who this leash is for.
    #[must_use]
    pub const fn agent(&self) -> AgentId {
        self.agent
    }

    /// Every budget of this leash.
    pub fn quotas(&self) -> impl Iterator<Item = &Quota> {
        self.limits.iter().flat_map(|limit| limit.windows.iter()).chain(&self.rates)
    }

    /// The plan for `action`: of its own, else of the longest prefix that some pattern mentions; `None` for what is
    /// no name.
    pub(super) fn plan_of(&self, action: &str) -> Option<u32> {
        // INVARIANT: a name that the scope spells out was read when the scope was; only others are read letter by letter.
        match self.exact.get(action) {
            Some(plan) => Some(*plan),
            None => ActionName::parse(action).map(|name| self.plan_of_prefix(name.as_str())),
        }
    }

    fn plan_of_prefix(&self, action: &str) -> u32 {
        let mut rest = action;
        while let Some(colon) = rest.rfind(':') {
            if let Some(plan) = action.get(..=colon).and_then(|prefix| self.prefixes.get(prefix)) {
                return *plan;
            }
            rest = rest.get(..colon).unwrap_or("");
        }
        0
    }

    fn add_plan(&mut self, scope: &Scope, name: &str) -> u32 {
        let parts = scope.parts();
        // `*` covers every name; the empty one stands for those that nothing else covers.
        let covers =
            |pattern: &Pattern| if name.is_empty() { pattern.is_any() } else { pattern.covers_name(name) };
        let matching = |fors: &mut dyn Iterator<Item = &Vec<Pattern>>| -> Box<[u32]> {
            (0..).zip(fors).filter(|(_, r#for)| r#for.iter().any(covers)).map(|(index, _)| index).collect()
        };
        let limits = matching(&mut parts.limits.iter().map(|limit| &limit.r#for));
        let rates = matching(&mut parts.rates.iter().map(|rate| &rate.r#for));
        let of = |index: &u32| parts.limits.get(*index as usize);
        self.plans.push(Plan {
            allowed: parts.actions.iter().any(covers) && !parts.denied.iter().any(covers),
            parties: matching(&mut parts.parties.iter().map(|rule| &rule.r#for)),
            resources: matching(&mut parts.resources.iter().map(|rule| &rule.r#for)),
            amount_required: limits.iter().filter_map(of).any(|limit| !limit.optional),
            has_quotas: !rates.is_empty()
                || limits.iter().filter_map(of).any(|limit| !limit.windows.is_empty()),
            limits,
            rates,
        });
        u32::try_from(self.plans.len() - 1).unwrap_or(0)
    }
}

/// Every pattern that is mentioned anywhere.
fn all_patterns(scope: &Scope) -> impl Iterator<Item = &Pattern> {
    let parts = scope.parts();
    let fors =
        parts.limits.iter().map(|limit| &limit.r#for).chain(parts.rates.iter().map(|rate| &rate.r#for));
    let fors = fors.chain(parts.parties.iter().chain(&parts.resources).map(|rule| &rule.r#for));
    parts.actions.iter().chain(&parts.denied).chain(fors.flatten())
}

fn compile_names(rule: &NameRule, lists: &NameLists) -> CompiledNames {
    CompiledNames {
        allow: compile_set(&rule.allow, lists),
        deny: rule.deny.as_ref().map(|deny| compile_set(deny, lists)),
        optional: rule.optional,
    }
}

fn compile_set(set: &NameSet, lists: &NameLists) -> CompiledSet {
    match set {
        NameSet::Inline(entries) => {
            let bytes = |text: &str| Box::from(text.as_bytes());
            CompiledSet::Known {
                names: entries.iter().filter(|e| e.prefix().is_none()).map(|e| bytes(e.as_str())).collect(),
                prefixes: entries.iter().filter_map(|entry| entry.prefix()).map(bytes).collect(),
            }
        }
        // The root names the list; the count is signed beside it and must agree.
        NameSet::Detached { root, count } => match lists.get(root) {
            Some(list) if list.names().len() == *count as usize => CompiledSet::Known {
                names: list.names().iter().map(|name| Box::from(name.as_bytes())).collect(),
                prefixes: Box::new([]),
            },
            _ => CompiledSet::Missing { root: *root, count: *count },
        },
    }
}

/// A scope that cannot be compiled here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// The time zone is unknown.
    #[error(transparent)]
    Zone(#[from] ZoneError),
}

/// A segment that no pattern can spell, standing for all the names that are not mentioned.
const UNSAID: &str = "\u{1}";
