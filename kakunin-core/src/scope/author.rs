//! Scope files: what people write.
//!
//! Takes in TOML or JSON and the files it names, gives out a draft that becomes a scope once the agent is known.
//! Every error names the line and what to write instead; an unknown key is an error, because a misspelt limit
//! would otherwise be no limit.

use super::action::Pattern;
use super::agent_scope::{Delegation, Scope, ScopeError, ScopeParts};
use super::document::{Node, Value, from_json, from_toml};
use super::limit::{Limit, MAX_WINDOW_SECONDS, Rate, Window};
use super::names::{NameEntry, NameError, NameList, NameLists, NameRule, NameSet};
use super::schedule::{Schedule, Slot, Zone};
use crate::id::AgentId;
use crate::money::{Currency, Decimal, MAX_SCALE, Money};

/// A scope that is not bound to an agent yet, with the detached lists it refers to.
#[derive(Clone, Debug)]
pub struct DraftScope {
    parts: ScopeParts,
    lists: NameLists,
}

/// Reads a file that a scope names by its path.
type ReadFile<'a> = &'a dyn Fn(&str) -> std::io::Result<String>;

impl DraftScope {
    /// Reads a scope file: JSON if its first character is `{`, else TOML. `read_file` opens an `allow_file`.
    ///
    /// # Errors
    /// [`AuthorError`] with the line of the first thing that is wrong, and what to write instead.
    pub fn parse(text: &str, read_file: ReadFile<'_>) -> Result<Self, AuthorError> {
        let document = if text.trim_start().starts_with('{') { from_json(text)? } else { from_toml(text)? };
        let mut draft = Self {
            parts: ScopeParts::new(AgentId::from_bytes([0; 16]), Vec::new()),
            lists: NameLists::default(),
        };
        let end = text.lines().count().max(1);
        for (key, node) in table(document, "the scope")? {
            let parts = &mut draft.parts;
            match key.as_str() {
                "actions" => parts.actions = patterns(node)?,
                "deny" => parts.denied = patterns(node)?,
                "limit" => parts.limits = each(node, limit)?,
                "counterparties" => {
                    parts.parties = each(node, |node| name_rule(node, read_file, &mut draft.lists))?
                }
                "resources" => {
                    parts.resources = each(node, |node| name_rule(node, read_file, &mut draft.lists))?
                }
                "rate" => parts.rates = each(node, rate)?,
                "hours" => parts.schedule = Some(hours(node)?),
                "delegation" => parts.delegation = delegation(node)?,
                _ => return Err(unknown(node.line, &key, TOP_KEYS)),
            }
        }
        if draft.parts.actions.is_empty() {
            return Err(AuthorError::new(
                end,
                "the scope allows no action",
                "add actions = [\"payments:send\"]",
            ));
        }
        // The rules between the parts hold for every agent alike, so they are checked now.
        draft.for_agent(AgentId::from_bytes([0; 16])).map_err(|error| blame(text, &error))?;
        Ok(draft)
    }

    /// The scope of this draft for one agent.
    ///
    /// # Errors
    /// [`ScopeError`] when the parts break a rule of the language.
    pub fn for_agent(&self, agent: AgentId) -> Result<Scope, ScopeError> {
        Scope::build(ScopeParts { agent, ..self.parts.clone() })
    }

    /// The detached lists that belong to the scope.
    #[must_use]
    pub const fn lists(&self) -> &NameLists {
        &self.lists
    }
}

/// What is wrong with a scope file, where, and how to fix it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}; {fix}")]
pub struct AuthorError {
    /// The line, counted from one.
    pub line: usize,
    /// What is wrong.
    pub what: String,
    /// What to write instead.
    pub fix: String,
}

impl AuthorError {
    pub(crate) fn new(line: usize, what: &str, fix: &str) -> Self {
        Self { line, what: what.to_owned(), fix: fix.to_owned() }
    }
}

fn unknown(line: usize, key: &str, known: &str) -> AuthorError {
    AuthorError::new(line, &format!("unknown key `{key}`"), &format!("known here: {known}"))
}

/// Finds the line of the text that an error between parts is about.
fn blame(text: &str, error: &ScopeError) -> AuthorError {
    let needle = match error {
        ScopeError::Unreachable { pattern } => pattern.as_str(),
        ScopeError::Boundless { currency } => currency.as_str(),
        ScopeError::Size { what, .. } | ScopeError::Range { what, .. } | ScopeError::Duplicate { what } => {
            what.split(' ').next().unwrap_or("")
        }
        _ => "",
    };
    // The last mention is the rule; the first is usually the action it should have matched.
    let line =
        text.lines().enumerate().filter(|(_, line)| line.contains(needle)).last().map_or(1, |(n, _)| n + 1);
    AuthorError { line, what: error.to_string(), fix: "correct this rule".into() }
}

fn table(node: Node, what: &str) -> Result<Vec<(String, Node)>, AuthorError> {
    match node.value {
        // A value's own line is kept; a table header's key is where its error belongs.
        Value::Table(entries) => Ok(entries
            .into_iter()
            .map(|(key, node)| (key.name, Node { line: key.line, value: node.value }))
            .collect()),
        other => Err(AuthorError::new(
            node.line,
            &format!("{what} is {other}"),
            "write a table of keys and values",
        )),
    }
}

fn list(node: Node) -> Result<Vec<Node>, AuthorError> {
    match node.value {
        Value::List(items) => Ok(items),
        other => {
            Err(AuthorError::new(node.line, &format!("{other} stands here"), "write a list in brackets"))
        }
    }
}

fn each<T>(node: Node, mut read: impl FnMut(Node) -> Result<T, AuthorError>) -> Result<Vec<T>, AuthorError> {
    list(node)?.into_iter().map(&mut read).collect()
}

fn text(node: &Node) -> Result<&str, AuthorError> {
    match &node.value {
        Value::Text(text) => Ok(text),
        other => Err(AuthorError::new(node.line, &format!("{other} stands here"), "write a quoted string")),
    }
}

fn flag(node: &Node) -> Result<bool, AuthorError> {
    match node.value {
        Value::Flag(flag) => Ok(flag),
        ref other => Err(AuthorError::new(node.line, &format!("{other} stands here"), "write true or false")),
    }
}

fn whole(node: &Node, min: i64, max: i64) -> Result<i64, AuthorError> {
    let fix = format!("write a whole number from {min} to {max}");
    match node.value {
        Value::Whole(number) if (min..=max).contains(&number) => Ok(number),
        Value::Whole(number) => Err(AuthorError::new(node.line, &format!("{number} is out of range"), &fix)),
        ref other => Err(AuthorError::new(node.line, &format!("{other} stands here"), &fix)),
    }
}

fn seconds(node: &Node) -> Result<u32, AuthorError> {
    Ok(u32::try_from(whole(node, 1, i64::from(MAX_WINDOW_SECONDS))?).unwrap_or(MAX_WINDOW_SECONDS))
}

fn patterns(node: Node) -> Result<Vec<Pattern>, AuthorError> {
    each(node, |node| {
        let text = text(&node)?;
        Pattern::parse(text).ok_or_else(|| {
            let fix = "write lower-case segments joined by colons, with at most a final `:*`, for example payments:send or read:*";
            AuthorError::new(node.line, &format!("`{text}` is no action pattern"), fix)
        })
    })
}

fn required<T>(value: Option<T>, line: usize, key: &str, example: &str) -> Result<T, AuthorError> {
    value.ok_or_else(|| {
        AuthorError::new(line, &format!("`{key}` is missing"), &format!("add {key} = {example}"))
    })
}

fn limit(node: Node) -> Result<Limit, AuthorError> {
    let line = node.line;
    let (mut r#for, mut currency, mut scale, mut optional) = (None, None, None, false);
    let (mut per_action, mut approve_above, mut windows) = (None, None, Vec::new());
    for (key, node) in table(node, "a limit")? {
        match key.as_str() {
            "for" => r#for = Some(patterns(node)?),
            "currency" => {
                let code = text(&node)?;
                let refuse = || {
                    AuthorError::new(
                        node.line,
                        &format!("`{code}` is no currency"),
                        "write its code in capitals, for example EUR",
                    )
                };
                currency = Some(Currency::parse(code).ok_or_else(refuse)?);
            }
            "scale" => {
                scale = Some(u8::try_from(whole(&node, 0, i64::from(MAX_SCALE))?).unwrap_or(MAX_SCALE))
            }
            "optional" => optional = flag(&node)?,
            "per_action" => per_action = Some(written(&node)?),
            "approve_above" => approve_above = Some(written(&node)?),
            "windows" => {
                for node in list(node)? {
                    windows.push(window(node)?);
                }
            }
            _ => match PERIODS.iter().find(|(name, _)| *name == key) {
                Some((_, seconds)) => windows.push((*seconds, written(&node)?)),
                None => return Err(unknown(node.line, &key, LIMIT_KEYS)),
            },
        }
    }
    let currency: Currency = required(currency, line, "currency", "\"EUR\"")?;
    let amounts = || windows.iter().map(|(_, w)| w).chain(&per_action).chain(&approve_above);
    let decimals = amounts().map(|written| written.decimal.decimals()).max().unwrap_or(0);
    let scale = scale.unwrap_or_else(|| currency.minor_unit().max(decimals));
    let money = |written: Written| written.at(scale);
    Ok(Limit {
        r#for: required(r#for, line, "for", "[\"payments:send\"]")?,
        currency,
        scale,
        per_action: per_action.map(money).transpose()?,
        windows: windows
            .into_iter()
            .map(|(seconds, written)| Ok(Window { seconds, max: written.at(scale)? }))
            .collect::<Result<_, AuthorError>>()?,
        approve_above: approve_above.map(money).transpose()?,
        optional,
    })
}

/// An amount as written; its scale is known only after the whole limit was read.
#[derive(Clone, Copy)]
struct Written {
    line: usize,
    decimal: Decimal,
}

impl Written {
    fn at(self, scale: u8) -> Result<Money, AuthorError> {
        let what = format!("the amount does not fit {scale} decimals and 2^63-1 minor units");
        self.decimal
            .at_scale(scale)
            .ok_or_else(|| AuthorError::new(self.line, &what, "write fewer digits, or set scale"))
    }
}

fn written(node: &Node) -> Result<Written, AuthorError> {
    let fix = "write a quoted decimal, for example \"10000.00\"";
    match &node.value {
        Value::Text(text) => Decimal::parse(text)
            .map(|decimal| Written { line: node.line, decimal })
            .ok_or_else(|| AuthorError::new(node.line, &format!("`{text}` is no amount"), fix)),
        other => Err(AuthorError::new(node.line, &format!("{other} stands here"), fix)),
    }
}

fn window(node: Node) -> Result<(u32, Written), AuthorError> {
    let line = node.line;
    let (mut length, mut max) = (None, None);
    for (key, node) in table(node, "a window")? {
        match key.as_str() {
            "seconds" => length = Some(seconds(&node)?),
            "max" => max = Some(written(&node)?),
            _ => return Err(unknown(node.line, &key, "seconds, max")),
        }
    }
    Ok((required(length, line, "seconds", "3600")?, required(max, line, "max", "\"500.00\"")?))
}

fn rate(node: Node) -> Result<Rate, AuthorError> {
    let line = node.line;
    let (mut r#for, mut length, mut max) = (None, None, None);
    for (key, node) in table(node, "a rate")? {
        match key.as_str() {
            "for" => r#for = Some(patterns(node)?),
            "seconds" => length = Some(seconds(&node)?),
            "max" => max = Money::from_minor(whole(&node, 0, i64::MAX)?),
            _ => return Err(unknown(node.line, &key, "for, max, seconds")),
        }
    }
    Ok(Rate {
        r#for: required(r#for, line, "for", "[\"payments:send\"]")?,
        window: Window {
            seconds: required(length, line, "seconds", "60")?,
            max: required(max, line, "max", "10")?,
        },
    })
}

fn name_rule(node: Node, read_file: ReadFile<'_>, lists: &mut NameLists) -> Result<NameRule, AuthorError> {
    let line = node.line;
    let (mut r#for, mut allow, mut deny, mut optional) = (None, None, None, false);
    for (key, node) in table(node, "a rule on names")? {
        let line = node.line;
        let twice = |kind: &str| {
            AuthorError::new(line, &format!("`{kind}` and `{kind}_file` are both given"), "keep one")
        };
        match key.as_str() {
            "for" => r#for = Some(patterns(node)?),
            "optional" => optional = flag(&node)?,
            "allow" if allow.is_some() => return Err(twice("allow")),
            "allow_file" if allow.is_some() => return Err(twice("allow")),
            "deny" if deny.is_some() => return Err(twice("deny")),
            "deny_file" if deny.is_some() => return Err(twice("deny")),
            "allow" => allow = Some(inline(node, lists)?),
            "deny" => deny = Some(inline(node, lists)?),
            "allow_file" => allow = Some(detached(&node, read_file, lists)?),
            "deny_file" => deny = Some(detached(&node, read_file, lists)?),
            _ => return Err(unknown(node.line, &key, "for, allow, allow_file, deny, deny_file, optional")),
        }
    }
    Ok(NameRule {
        r#for: required(r#for, line, "for", "[\"payments:send\"]")?,
        allow: required(allow, line, "allow", "[\"acme\"]")?,
        deny,
        optional,
    })
}

fn inline(node: Node, lists: &mut NameLists) -> Result<NameSet, AuthorError> {
    let line = node.line;
    let entries = each(node, |node| {
        NameEntry::author(text(&node)?)
            .map_err(|error| AuthorError::new(node.line, &error.to_string(), "correct this name"))
    })?;
    if entries.len() <= 32 {
        return Ok(NameSet::Inline(entries));
    }
    let refuse = |error: NameError| AuthorError::new(line, &error.to_string(), "correct the list");
    let list = NameList::from_entries(&entries).map_err(refuse)?;
    Ok(keep(list, lists))
}

fn detached(node: &Node, read_file: ReadFile<'_>, lists: &mut NameLists) -> Result<NameSet, AuthorError> {
    let path = text(node)?;
    let content = read_file(path).map_err(|error| {
        let fix = "give its path relative to the scope file";
        AuthorError::new(node.line, &format!("the file `{path}` cannot be read: {error}"), fix)
    })?;
    let list = NameList::parse(&content)
        .map_err(|error| AuthorError::new(node.line, &format!("`{path}`, {error}"), "correct that file"))?;
    Ok(keep(list, lists))
}

fn keep(list: NameList, lists: &mut NameLists) -> NameSet {
    let set = list.to_set();
    lists.insert(list);
    set
}

fn hours(node: Node) -> Result<Schedule, AuthorError> {
    let line = node.line;
    let (mut place, mut slots) = (None, Vec::new());
    for (key, node) in table(node, "hours")? {
        match key.as_str() {
            "zone" => place = Some(zone(&node)?),
            "slots" => {
                for node in list(node)? {
                    slots.extend(slot(&node)?);
                }
            }
            _ => return Err(unknown(node.line, &key, "zone, slots")),
        }
    }
    if slots.is_empty() {
        return Err(AuthorError::new(line, "`slots` is missing", "add slots = [\"Mon-Fri 09:00-17:00\"]"));
    }
    Ok(Schedule { zone: required(place, line, "zone", "\"Europe/Berlin\"")?, slots })
}

fn zone(node: &Node) -> Result<Zone, AuthorError> {
    let name = text(node)?;
    let offset = || {
        let (sign, rest) = match name.split_at_checked(1)? {
            ("+", rest) => (1, rest),
            ("-", rest) => (-1, rest),
            _ => return None,
        };
        let minutes = i16::try_from(clock(rest)?).ok()?;
        (minutes <= 840).then_some(Zone::Offset(sign * minutes))
    };
    if name == "UTC" {
        return Ok(Zone::Offset(0));
    }
    let zone = offset().unwrap_or_else(|| Zone::Tzdb(name.to_owned()));
    zone.load().map_err(|error| AuthorError::new(node.line, &error.to_string(), "correct the zone"))?;
    Ok(zone)
}

/// Reads `Mon-Fri 09:00-17:00`; a slot past midnight becomes two.
fn slot(node: &Node) -> Result<Vec<Slot>, AuthorError> {
    let text = text(node)?;
    let read = || {
        let (days, times) = text.split_once(' ')?;
        let (from, to) = times.split_once('-')?;
        let (days, from, to) = (days_of(days)?, clock(from)?, clock(to)?);
        if from == to || from == 1440 {
            return None;
        }
        if from < to {
            return Some(vec![Slot { days, from, to }]);
        }
        let next = (days << 1 | days >> 6) & 0x7f;
        let mut slots = vec![Slot { days, from, to: 1440 }];
        slots.extend((to > 0).then_some(Slot { days: next, from: 0, to }));
        Some(slots)
    };
    let fix = "write days and times as in \"Mon-Fri 09:00-17:00\" or \"Sat,Sun 22:00-06:00\"";
    read().ok_or_else(|| AuthorError::new(node.line, &format!("`{text}` is no slot"), fix))
}

fn days_of(text: &str) -> Option<u8> {
    let number = |name: &str| DAYS.iter().position(|day| *day == name);
    let mut days = 0_u8;
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (mut day, last) = (number(first)?, number(last)?);
        loop {
            days |= 1 << day;
            if day == last {
                break;
            }
            day = (day + 1) % 7;
        }
    }
    Some(days)
}

fn clock(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let two = |digits: &str| {
        (digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
    };
    let (hours, minutes): (u16, u16) = (two(hours)?, two(minutes)?);
    let minute = hours * 60 + minutes;
    (minutes < 60 && minute <= 1440).then_some(minute)
}

fn delegation(node: Node) -> Result<Option<Delegation>, AuthorError> {
    let mut delegation = Delegation::default();
    for (key, node) in table(node, "delegation")? {
        match key.as_str() {
            "depth" => delegation.depth = u8::try_from(whole(&node, 0, 7)?).unwrap_or(7),
            "session" => delegation.session = flag(&node)?,
            "max_hours" => {
                delegation.max_seconds = u32::try_from(whole(&node, 1, 8_784)? * 3600).unwrap_or(u32::MAX)
            }
            _ => return Err(unknown(node.line, &key, "depth, session, max_hours")),
        }
    }
    // What an absent field means is written by leaving it out: one meaning, one encoding.
    Ok((delegation != Delegation::default()).then_some(delegation))
}

const TOP_KEYS: &str = "actions, deny, limit, counterparties, resources, rate, hours, delegation";
const LIMIT_KEYS: &str = "for, currency, scale, per_action, per_minute, per_hour, per_day, per_week, windows, approve_above, optional";
const PERIODS: [(&str, u32); 4] =
    [("per_minute", 60), ("per_hour", 3600), ("per_day", 86_400), ("per_week", 604_800)];
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
