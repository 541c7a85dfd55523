//! A scope in plain words, one line a fact, as `kakunin inspect` prints it.

use super::action::Pattern;
use super::agent_scope::Scope;
use super::limit::{Limit, Window};
use super::names::{NameRule, NameSet};
use super::schedule::{Schedule, Slot};
use crate::money::Money;

impl Scope {
    /// The scope in sentences for people; the last lines name allowed actions that carry no rule.
    #[must_use]
    pub fn to_words(&self) -> Vec<String> {
        let parts = self.parts();
        let mut lines = vec![format!("may do: {}", join(&parts.actions))];
        if !parts.denied.is_empty() {
            lines.push(format!("never: {}", join(&parts.denied)));
        }
        lines.extend(parts.limits.iter().map(limit));
        lines.extend(parts.parties.iter().map(|rule| names("counterparties", rule)));
        lines.extend(parts.resources.iter().map(|rule| names("resources", rule)));
        for rate in &parts.rates {
            let Window { seconds, max } = rate.window;
            lines.push(format!(
                "{}: at most {} times in any {}",
                join(&rate.r#for),
                max.minor(),
                period(seconds)
            ));
        }
        lines.push(parts.schedule.as_ref().map_or_else(|| "hours: always".into(), hours));
        let delegation = self.delegation();
        let sessions = if delegation.session { "session keys" } else { "no session keys" };
        let agents = match delegation.depth {
            0 => "no sub-agents".to_owned(),
            depth => format!("sub-agents {depth} deep"),
        };
        lines.push(format!("hands on: {sessions}, {agents}, for at most {}", period(delegation.max_seconds)));
        lines.extend(
            parts.conditions.iter().map(|c| format!("unknown condition {}: every action is denied", c.id)),
        );
        for action in &parts.actions {
            if !self.is_ruled(action) {
                lines.push(format!("note: {action} carries no amount and no name rule"));
            }
        }
        lines
    }

    /// Whether some rule on money or names is for every action of `pattern`.
    fn is_ruled(&self, pattern: &Pattern) -> bool {
        let parts = self.parts();
        let rules = parts.limits.iter().map(|l| &l.r#for);
        let mut rules = rules.chain(parts.parties.iter().chain(&parts.resources).map(|r| &r.r#for));
        rules.any(|patterns| patterns.iter().any(|own| own.covers(pattern)))
    }
}

fn join(patterns: &[Pattern]) -> String {
    patterns.iter().map(Pattern::as_str).collect::<Vec<_>>().join(", ")
}

fn limit(limit: &Limit) -> String {
    let money = |amount: Money| format!("{} {}", amount.to_decimal(limit.scale), limit.currency);
    let mut bounds: Vec<String> =
        limit.per_action.iter().map(|most| format!("{} per action", money(*most))).collect();
    bounds.extend(limit.windows.iter().map(|w| format!("{} in any {}", money(w.max), period(w.seconds))));
    bounds
        .extend(limit.approve_above.iter().map(|above| format!("needs an approval above {}", money(*above))));
    let optional = if limit.optional { " (the amount may be absent)" } else { "" };
    format!("{}: at most {}{optional}", join(&limit.r#for), bounds.join(", "))
}

fn names(kind: &str, rule: &NameRule) -> String {
    let set = |set: &NameSet| match set {
        NameSet::Inline(entries) => entries.iter().map(|entry| entry.as_str()).collect::<Vec<_>>().join(", "),
        NameSet::Detached { root, count } => format!("{count} names of the list {}", root.to_hex()),
    };
    let deny = rule.deny.as_ref().map(|deny| format!(", but not {}", set(deny))).unwrap_or_default();
    let optional = if rule.optional { " (may be absent)" } else { "" };
    format!("{}: {kind} only {}{deny}{optional}", join(&rule.r#for), set(&rule.allow))
}

fn hours(schedule: &Schedule) -> String {
    let slots: Vec<String> = schedule.slots.iter().map(slot).collect();
    format!("hours: {} ({})", slots.join(", "), schedule.zone)
}

fn slot(slot: &Slot) -> String {
    let days: Vec<&str> =
        DAYS.iter().enumerate().filter(|(n, _)| slot.days >> n & 1 == 1).map(|(_, day)| *day).collect();
    let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
    format!("{} {}-{}", days.join(","), clock(slot.from), clock(slot.to))
}

fn period(seconds: u32) -> String {
    match seconds {
        s if s % 3600 == 0 => format!("{} h", s / 3600),
        s if s % 60 == 0 => format!("{} min", s / 60),
        s => format!("{s} s"),
    }
}

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
