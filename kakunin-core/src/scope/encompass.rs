//! Nesting: whether everything one scope allows, another allows too.
//!
//! The rule is refusal: a child that exceeds its parent in one place is refused whole, and the place is named.
//! A rule of the parent that the child lacks is an overclaim, never "nothing to compare": for every parent rule
//! and every child action it is for, the child needs a rule at least as narrow.

use super::action::Pattern;
use super::agent_scope::Scope;
use super::limit::{Limit, Rate};
use super::names::{NameEntry, NameLists, NameRule, NameSet};
use super::schedule::{Schedule, Zone};

impl Scope {
    /// Checks that `child` allows nothing that this scope does not allow. `lists` holds the detached lists of both;
    /// sets whose lists are missing compare by root only.
    ///
    /// # Errors
    /// [`Overclaim`] naming the field in which the child exceeds this scope.
    pub fn encompasses(&self, child: &Self, lists: &NameLists) -> Result<(), Overclaim> {
        let (mine, theirs) = (self.parts(), child.parts());
        for pattern in &theirs.actions {
            require(mine.actions.iter().any(|own| own.covers(pattern)), "actions", pattern)?;
        }
        for denied in &mine.denied {
            for meet in child.reach(denied) {
                require(theirs.denied.iter().any(|own| own.covers(meet)), "deny", meet)?;
            }
        }
        limits(self, child)?;
        for (parents, children, field) in [
            (&mine.parties, &theirs.parties, "counterparties"),
            (&mine.resources, &theirs.resources, "resources"),
        ] {
            for rule in parents {
                for_each_reached(child, &rule.r#for, |pattern| {
                    let narrow =
                        children.iter().any(|own| covers(&own.r#for, pattern) && narrower(own, rule, lists));
                    require(narrow, field, pattern)
                })?;
            }
        }
        for rate in &mine.rates {
            for_each_reached(child, &rate.r#for, |pattern| {
                let narrow = |own: &Rate| {
                    covers(&own.r#for, pattern)
                        && own.window.seconds == rate.window.seconds
                        && own.window.max <= rate.window.max
                        // The child counts at least what the parent counts together.
                        && rate.r#for.iter().all(|p| child.reach(p).all(|meet| covers(&own.r#for, meet)))
                };
                require(theirs.rates.iter().any(narrow), "rate", pattern)
            })?;
        }
        if let Some(schedule) = &mine.schedule {
            let inside = theirs.schedule.as_ref().is_some_and(|own| within(own, schedule));
            require(inside, "hours", "the child's hours")?;
        }
        let (own, bound) = (child.delegation(), self.delegation());
        let inside = own.depth <= bound.depth
            && own.max_seconds <= bound.max_seconds
            && (bound.session || !own.session);
        require(inside, "delegation", "the child's delegation")?;
        for condition in &mine.conditions {
            require(theirs.conditions.contains(condition), "condition", condition.id)?;
        }
        Ok(())
    }
}

fn limits(parent: &Scope, child: &Scope) -> Result<(), Overclaim> {
    let (mine, theirs) = (&parent.parts().limits, &child.parts().limits);
    for limit in mine {
        for_each_reached(child, &limit.r#for, |pattern| {
            let narrow = |own: &Limit| covers(&own.r#for, pattern) && tighter(own, limit, child);
            require(theirs.iter().any(narrow), "limit", pattern)
        })?;
    }
    // Money in a currency is a grant: without a parent limit for it, the child may not have one.
    for limit in theirs {
        for_each_reached(child, &limit.r#for, |pattern| {
            let granted = |own: &Limit| own.currency == limit.currency && covers(&own.r#for, pattern);
            require(mine.iter().any(granted), "limit", pattern)
        })?;
    }
    Ok(())
}

fn tighter(child: &Limit, parent: &Limit, scope: &Scope) -> bool {
    let at_most =
        |own: Option<_>, bound: Option<_>| bound.is_none_or(|bound| own.is_some_and(|own| own <= bound));
    child.currency == parent.currency
        && child.scale == parent.scale
        && at_most(child.per_action, parent.per_action)
        && at_most(child.approve_above, parent.approve_above)
        && (parent.optional || !child.optional)
        && parent.windows.iter().all(|window| {
            child.windows.iter().any(|own| own.seconds == window.seconds && own.max <= window.max)
                && parent.r#for.iter().all(|p| scope.reach(p).all(|meet| covers(&child.r#for, meet)))
        })
}

fn narrower(child: &NameRule, parent: &NameRule, lists: &NameLists) -> bool {
    (parent.optional || !child.optional)
        && subset(&child.allow, &parent.allow, lists)
        && parent.deny.as_ref().is_none_or(|denied| {
            child.deny.as_ref().is_some_and(|own| subset(denied, own, lists))
                || disjoint(denied, &child.allow, lists)
        })
}

/// Whether every name of `inner` is in `outer`; what cannot be compared is not.
fn subset(inner: &NameSet, outer: &NameSet, lists: &NameLists) -> bool {
    if inner == outer {
        return true;
    }
    let (Some(inner), Some(outer)) = (entries(inner, lists), entries(outer, lists)) else { return false };
    inner.iter().all(|entry| outer.covers(entry))
}

fn disjoint(one: &NameSet, other: &NameSet, lists: &NameLists) -> bool {
    let (Some(one), Some(other)) = (entries(one, lists), entries(other, lists)) else { return false };
    one.iter().all(|entry| !other.meets(entry)) && other.iter().all(|entry| !one.meets(entry))
}

/// The members of a set, exact names apart from prefixes so that long lists are searched and not scanned.
struct Members {
    names: Vec<NameEntry>,
    prefixes: Vec<NameEntry>,
}

impl Members {
    fn covers(&self, entry: &NameEntry) -> bool {
        self.names.binary_search(entry).is_ok() || self.prefixes.iter().any(|own| own.covers(entry))
    }

    fn meets(&self, entry: &NameEntry) -> bool {
        self.covers(entry) || self.prefixes.iter().any(|own| entry.covers(own))
    }

    fn iter(&self) -> impl Iterator<Item = &NameEntry> {
        self.names.iter().chain(&self.prefixes)
    }
}

fn entries(set: &NameSet, lists: &NameLists) -> Option<Members> {
    let entries: Vec<NameEntry> = match set {
        NameSet::Inline(entries) => entries.clone(),
        NameSet::Detached { root, count } => {
            // A list whose count is not the signed one decides nothing in a leash, so nothing here.
            let list = lists.get(root).filter(|list| list.names().len() == *count as usize)?;
            list.names().iter().map(|name| NameEntry::decode(name)).collect::<Option<_>>()?
        }
    };
    let (prefixes, names) = entries.into_iter().partition(|entry| entry.prefix().is_some());
    Some(Members { names, prefixes })
}

fn within(child: &Schedule, parent: &Schedule) -> bool {
    let (own, bound) = (child.week_map(), parent.week_map());
    match (&child.zone, &parent.zone) {
        (Zone::Offset(a), Zone::Offset(b)) => bound.contains(&own.shifted(i32::from(*b) - i32::from(*a))),
        // Two named zones agree for ever only if they are the same one.
        (a, b) => a == b && bound.contains(&own),
    }
}

fn covers(patterns: &[Pattern], pattern: &Pattern) -> bool {
    patterns.iter().any(|own| own.covers(pattern))
}

fn for_each_reached(
    child: &Scope,
    patterns: &[Pattern],
    mut check: impl FnMut(&Pattern) -> Result<(), Overclaim>,
) -> Result<(), Overclaim> {
    for pattern in patterns {
        for meet in child.reach(pattern) {
            check(meet)?;
        }
    }
    Ok(())
}

fn require(holds: bool, field: &'static str, what: impl ToString) -> Result<(), Overclaim> {
    if holds { Ok(()) } else { Err(Overclaim { field, what: what.to_string() }) }
}

/// The place in which a child exceeds its parent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("overclaim in `{field}`: `{what}` exceeds the parent's scope")]
pub struct Overclaim {
    /// The field, by its name in a scope file.
    pub field: &'static str,
    /// The pattern or value that is too wide.
    pub what: String,
}
