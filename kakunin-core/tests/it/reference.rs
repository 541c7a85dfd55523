//! The rules of a scope, evaluated slowly: plain loops over what the certificate says, in the words of `docs/wire.md`.
//!
//! Nothing here is compiled, and nothing of the leash is used. Every rule is looked at, every failure is
//! written down, and the first in the order of section 5 is the answer.

use jiff::civil::Weekday;
use kakunin_core::digest::Digest;
use kakunin_core::request::{ActionRequest, Amount, Names};
use kakunin_core::scope::{NameLists, NameRule, NameSet, Schedule, Scope, Zone};
use kakunin_core::time::UnixMillis;

/// The order in which failures count (WIRE 5), as far as a scope alone can fail.
const ORDER: [&str; 18] = [
    "request.action_invalid",
    "request.amount_invalid",
    "request.amount_missing",
    "request.currency_missing",
    "request.currency_invalid",
    "request.counterparty_missing",
    "request.counterparty_invalid",
    "request.resource_missing",
    "request.resource_invalid",
    "scope.action",
    "scope.resource",
    "scope.counterparty",
    "scope.currency",
    "scope.amount",
    "scope.hours",
    "scope.names_missing",
    "scope.condition_unknown",
    "approval.required",
];

/// The code that denies `request`, or `allow`.
pub(crate) fn verdict(
    scope: &Scope,
    lists: &NameLists,
    request: &ActionRequest<'_>,
    now: UnixMillis,
) -> &'static str {
    let parts = scope.parts();
    let action = request.action;
    if !is_action(action) {
        return "request.action_invalid";
    }
    let mut failures = Vec::new();
    let covered = |patterns: &[kakunin_core::scope::Pattern]| {
        patterns.iter().any(|pattern| covers(pattern.as_str(), action))
    };
    if !covered(&parts.actions) || covered(&parts.denied) {
        failures.push("scope.action");
    }
    money(scope, request, &mut failures);
    for (rules, asked, missing, invalid, outside) in [
        (
            &parts.parties,
            &request.counterparties,
            "request.counterparty_missing",
            "request.counterparty_invalid",
            "scope.counterparty",
        ),
        (
            &parts.resources,
            &request.resources,
            "request.resource_missing",
            "request.resource_invalid",
            "scope.resource",
        ),
    ] {
        let rules: Vec<&NameRule> = rules.iter().filter(|rule| covered(&rule.r#for)).collect();
        let names: Vec<&str> = asked.iter().collect();
        if matches!(asked, Names::Unreadable) {
            failures.push(invalid);
        } else if names.is_empty() && rules.iter().any(|rule| !rule.optional) {
            failures.push(missing);
        }
        for name in names {
            if name.is_empty() || name.starts_with("sha256:") {
                failures.push(invalid);
                continue;
            }
            let name = compared(name);
            for rule in &rules {
                let allowed = contains(&rule.allow, &name, lists);
                let denied = rule.deny.as_ref().map_or(Some(false), |deny| contains(deny, &name, lists));
                if allowed == Some(false) || denied == Some(true) {
                    failures.push(outside);
                }
                if allowed.is_none() || denied.is_none() {
                    failures.push("scope.names_missing");
                }
            }
        }
    }
    if parts.schedule.as_ref().is_some_and(|schedule| !is_open(schedule, now)) {
        failures.push("scope.hours");
    }
    if !parts.conditions.is_empty() {
        failures.push("scope.condition_unknown");
    }
    ORDER.into_iter().find(|code| failures.contains(code)).unwrap_or("allow")
}

fn money(scope: &Scope, request: &ActionRequest<'_>, failures: &mut Vec<&'static str>) {
    let limits: Vec<_> = scope
        .parts()
        .limits
        .iter()
        .filter(|limit| limit.r#for.iter().any(|pattern| covers(pattern.as_str(), request.action)))
        .collect();
    // How many minor units the amount is at a scale, if it is exactly that.
    let at_scale: Box<dyn Fn(u8) -> Option<i64>> = match request.amount {
        Amount::Absent => {
            if limits.iter().any(|limit| !limit.optional) {
                failures.push("request.amount_missing");
            }
            return;
        }
        Amount::Decimal(text) | Amount::AsWritten(text) if is_decimal(text) => {
            let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
            let (whole, decimals) = (whole.to_owned(), decimals.to_owned());
            Box::new(move |scale| {
                let missing = usize::from(scale).checked_sub(decimals.len())?;
                format!("{whole}{decimals}{}", "0".repeat(missing)).parse().ok()
            })
        }
        Amount::Minor(minor) if minor >= 0 => Box::new(move |_| Some(minor)),
        _ => return failures.push("request.amount_invalid"),
    };
    // Beyond 63 bits as written, whatever a limit would say.
    let written = match request.amount {
        Amount::Decimal(text) | Amount::AsWritten(text) => text.split_once('.').map_or(0, |(_, d)| d.len()),
        _ => 0,
    };
    if at_scale(u8::try_from(written).unwrap()).is_none() {
        failures.push("request.amount_invalid");
    }
    let Some(currency) = request.currency else { return failures.push("request.currency_missing") };
    if !is_currency(currency) {
        return failures.push("request.currency_invalid");
    }
    let named: Vec<_> = limits.iter().filter(|limit| limit.currency.as_str() == currency).collect();
    if limits.is_empty() {
        failures.push("scope.amount");
    } else if named.is_empty() {
        failures.push("scope.currency");
    }
    // Minor units of limits with different scales would be different amounts.
    if matches!(request.amount, Amount::Minor(_)) && named.iter().any(|limit| limit.scale != named[0].scale) {
        failures.push("request.amount_invalid");
    }
    for limit in named {
        let Some(minor) = at_scale(limit.scale) else {
            failures.push("request.amount_invalid");
            continue;
        };
        if limit.per_action.is_some_and(|most| minor > most.minor()) {
            failures.push("scope.amount");
        }
        if limit.approve_above.is_some_and(|above| minor > above.minor()) {
            failures.push("approval.required");
        }
    }
}

/// WIRE 1: lower-case ASCII segments `[a-z0-9][a-z0-9._@-]{0,63}` joined by `:`, at most 128 bytes.
fn is_action(text: &str) -> bool {
    let first = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.len() <= 128
        && text.split(':').all(|segment| {
            segment.len() <= 64
                && segment.starts_with(first)
                && segment.chars().all(|c| first(c) || "._@-".contains(c))
        })
}

/// WIRE 1: the same, or a final `:*` for one or more further segments, or `*` for all.
fn covers(pattern: &str, action: &str) -> bool {
    let (pattern, action): (Vec<_>, Vec<_>) = (pattern.split(':').collect(), action.split(':').collect());
    match pattern.split_last() {
        Some((&"*", before)) => action.len() > before.len() && action.starts_with(before),
        _ => pattern == action,
    }
}

/// WIRE 1: `(0|[1-9][0-9]{0,18})(\.[0-9]{1,18})?`.
fn is_decimal(text: &str) -> bool {
    let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let whole_is_right = whole == "0" || ((1..=19).contains(&whole.len()) && !whole.starts_with('0'));
    whole_is_right && (1..=18).contains(&decimals.len()) && digits(whole) && digits(decimals)
}

/// WIRE 1: `[A-Z][A-Z0-9]{2,11}`.
fn is_currency(text: &str) -> bool {
    (3..=12).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_uppercase())
        && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
}

/// WIRE 1: 1-128 printable ASCII bytes without leading or trailing space; anything else is hashed.
fn compared(name: &str) -> String {
    let plain = name.len() <= 128 && name.chars().all(|c| (' '..='~').contains(&c)) && name.trim() == name;
    if plain { name.to_owned() } else { format!("sha256:{}", Digest::of(name.as_bytes()).to_hex()) }
}

/// Whether a set has a name; `None` without its list.
fn contains(set: &NameSet, name: &str, lists: &NameLists) -> Option<bool> {
    match set {
        NameSet::Inline(entries) => Some(entries.iter().any(|entry| {
            let entry = entry.as_str();
            match entry.strip_suffix('*') {
                Some(prefix) if prefix.ends_with(':') => name.starts_with(prefix) && name != prefix,
                _ => entry == name,
            }
        })),
        NameSet::Detached { root, count } => {
            let list = lists.get(root)?;
            let whole = list.names().len() == usize::try_from(*count).unwrap();
            whole.then(|| list.names().iter().any(|known| known == name))
        }
    }
}

/// WIRE 1: slots in the scope's zone, evaluated from the UTC instant, `to` exclusive.
fn is_open(schedule: &Schedule, now: UnixMillis) -> bool {
    let zone = match &schedule.zone {
        Zone::Offset(minutes) => {
            jiff::tz::Offset::from_seconds(i32::from(*minutes) * 60).unwrap().to_time_zone()
        }
        Zone::Tzdb(name) => jiff::tz::TimeZone::get(name).unwrap(),
    };
    let local = jiff::Timestamp::from_millisecond(now.millis()).unwrap().to_zoned(zone);
    let day = match local.weekday() {
        Weekday::Monday => 0,
        Weekday::Tuesday => 1,
        Weekday::Wednesday => 2,
        Weekday::Thursday => 3,
        Weekday::Friday => 4,
        Weekday::Saturday => 5,
        Weekday::Sunday => 6,
    };
    let minute = i32::from(local.hour()) * 60 + i32::from(local.minute());
    let within = |from: u16, to: u16| i32::from(from) <= minute && minute < i32::from(to);
    schedule.slots.iter().any(|slot| slot.days >> day & 1 == 1 && within(slot.from, slot.to))
}
