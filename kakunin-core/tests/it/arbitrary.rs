//! Random scopes and requests over a small vocabulary, so that they meet, and miss each other by little.

use kakunin_core::money::{Currency, Money};
use kakunin_core::request::{ActionRequest, Amount, Names};
use kakunin_core::scope::{
    Condition, Delegation, Limit, NameEntry, NameList, NameLists, NameRule, NameSet, Pattern, Rate, Schedule,
    Scope, ScopeParts, Slot, Window, Zone,
};
use kakunin_core::time::UnixMillis;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use crate::authority::agent_id;

const PATTERNS: [&str; 12] =
    ["a", "a:*", "a:b", "a:b:*", "a:b:c", "a:bb", "a:c", "b", "b:*", "b:a", "b:a:*", "*"];
const ACTIONS: [&str; 14] =
    ["a", "a:b", "a:b:c", "a:b:c:d", "a:bb", "a:c", "a:c:b", "b", "b:a", "b:a:c", "b:c", "c", "c:a", "ab"];
const NAMES: [&str; 12] = [
    "acme",
    "acme:",
    "acme:eu",
    "acme:eu:x",
    "acme:eux",
    "Acme",
    "acme ",
    "globex",
    "ac*me",
    "Müller",
    "a b",
    "*",
];
const ENTRIES: [&str; 10] =
    ["acme", "acme:*", "acme:eu", "acme:eu:*", "globex", "ac*me", "Müller", "a b", "acme ", "initech"];
const MINORS: [i64; 8] = [0, 1, 99, 100, 101, 1000, 1001, i64::MAX];
const AMOUNTS: [&str; 11] =
    ["0", "0.99", "1", "1.00", "1.01", "10", "10.00", "10.01", "100", "101", "92233720368547758.07"];
const WRONG_AMOUNTS: [&str; 7] =
    ["1.000", "1.001", "01", "", "-1", "9223372036854775808", "92233720368547758.08"];
const SECONDS: [u32; 3] = [60, 61, 3600];

/// The two lists that detached sets refer to; a third root belongs to no list.
pub(crate) fn lists() -> NameLists {
    let mut lists = NameLists::default();
    for list in texts() {
        lists.insert(list);
    }
    lists
}

fn texts() -> [NameList; 2] {
    ["acme\nacme:eu\nMüller\n", "acme\n"].map(|text| NameList::parse(text).unwrap())
}

/// A scope that builds: rules that do not fit what came before are left out.
pub(crate) fn scope() -> impl Strategy<Value = Scope> {
    let rules = (vec(limit(), 0..4), vec(names(), 0..3), vec(names(), 0..2), vec(rate(), 0..2));
    let rest = (option::weighted(0.3, schedule()), option::weighted(0.3, delegation()), 0..20_u8);
    let denied = prop_oneof![2 => Just(Vec::new()), 1 => patterns(1..3)];
    (patterns(2..7), denied, rules, rest).prop_map(|(actions, denied, rules, rest)| {
        let mut parts = ScopeParts::new(agent_id(), actions);
        parts.denied = denied;
        (parts.schedule, parts.delegation) = (rest.0, rest.1);
        if rest.2 == 0 {
            let id = der::asn1::ObjectIdentifier::new_unwrap("1.2.3");
            parts.conditions = vec![Condition { id, value: Vec::new() }];
        }
        let mut scope = Scope::build(parts).unwrap();
        for limit in rules.0 {
            scope = grown(scope, |parts| parts.limits.push(limit));
        }
        for rule in rules.1 {
            scope = grown(scope, |parts| parts.parties.push(rule));
        }
        for rule in rules.2 {
            scope = grown(scope, |parts| parts.resources.push(rule));
        }
        for rate in rules.3 {
            scope = grown(scope, |parts| parts.rates.push(rate));
        }
        scope
    })
}

/// A scope near `parent`: narrowed in most places, here and there widened by a little.
pub(crate) fn child(parent: &Scope) -> impl Strategy<Value = Scope> + use<> {
    let parent = parent.clone();
    vec(
        (0..14_u8, any::<prop::sample::Index>(), select(PATTERNS.as_slice()), select(MINORS.as_slice())),
        0..5,
    )
    .prop_map(move |changes| {
        changes.into_iter().fold(parent.clone(), |scope, change| {
            grown(scope, |parts| mutate(parts, change.0, &change.1, change.2, change.3))
        })
    })
}

fn mutate(parts: &mut ScopeParts, what: u8, at: &prop::sample::Index, text: &str, minor: i64) {
    let pattern = Pattern::parse(text).unwrap();
    let money = Money::from_minor(minor);
    match what {
        0 if parts.actions.len() > 1 => drop(parts.actions.remove(at.index(parts.actions.len()))),
        1 => {
            let place = at.index(parts.actions.len());
            parts.actions[place] = pattern;
        }
        2 => parts.denied.push(pattern),
        3 if !parts.denied.is_empty() => drop(parts.denied.remove(at.index(parts.denied.len()))),
        4 if !parts.limits.is_empty() => {
            let place = at.index(parts.limits.len());
            parts.limits[place].per_action = money;
        }
        5 if !parts.limits.is_empty() => {
            let place = at.index(parts.limits.len());
            parts.limits[place].windows.iter_mut().for_each(|window| window.max = money.unwrap());
        }
        6 if !parts.limits.is_empty() => {
            let place = at.index(parts.limits.len());
            parts.limits[place].optional = false;
            parts.limits[place].r#for.push(pattern);
        }
        7 if !parts.parties.is_empty() => {
            let place = at.index(parts.parties.len());
            let rule = &mut parts.parties[place];
            match &mut rule.allow {
                NameSet::Inline(entries) if entries.len() > 1 => drop(entries.pop()),
                _ => rule.allow = texts()[1].to_set(),
            }
        }
        8 if !parts.parties.is_empty() => {
            let place = at.index(parts.parties.len());
            parts.parties[place].deny = Some(inline(&["acme", "globex"]));
        }
        9 if !parts.rates.is_empty() => {
            let place = at.index(parts.rates.len());
            parts.rates[place].window.max = money.unwrap();
        }
        10 => parts.parties.push(NameRule {
            r#for: vec![pattern],
            allow: inline(&["acme", "acme:*"]),
            deny: None,
            optional: minor == 0,
        }),
        11 if !parts.limits.is_empty() => drop(parts.limits.remove(at.index(parts.limits.len()))),
        12 if !parts.rates.is_empty() => {
            let place = at.index(parts.rates.len());
            parts.rates[place].r#for.push(pattern);
        }
        13 => {
            if let Some(schedule) = &mut parts.schedule {
                schedule.slots.truncate(1);
            }
        }
        _ => {}
    }
}

/// `scope` with a change, if the changed scope is one.
fn grown(scope: Scope, change: impl FnOnce(&mut ScopeParts)) -> Scope {
    let mut parts = scope.parts().clone();
    change(&mut parts);
    Scope::build(parts).unwrap_or(scope)
}

fn patterns(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Pattern>> {
    let parse = |texts: Vec<&str>| texts.into_iter().map(|text| Pattern::parse(text).unwrap()).collect();
    subsequence(PATTERNS.to_vec(), count).prop_map(parse)
}

fn money() -> impl Strategy<Value = Money> {
    select(MINORS.as_slice()).prop_map(|minor| Money::from_minor(minor).unwrap())
}

fn windows() -> impl Strategy<Value = Vec<Window>> {
    (subsequence(SECONDS.to_vec(), 0..3), money())
        .prop_map(|(all, max)| all.into_iter().map(|seconds| Window { seconds, max }).collect())
}

fn limit() -> impl Strategy<Value = Limit> {
    let currency = select(["EUR", "USD", "EURO"].as_slice());
    let low = select([0, 99, 100].as_slice()).prop_map(|minor| Money::from_minor(minor).unwrap());
    let bounds = (option::weighted(0.8, money()), windows(), option::weighted(0.4, low));
    let scale = prop_oneof![4 => Just(2_u8), 1 => Just(0), 1 => Just(3), 1 => Just(18)];
    (patterns(1..3), currency, scale, bounds, prop::bool::weighted(0.3)).prop_map(
        |(r#for, currency, scale, (per_action, windows, approve_above), optional)| Limit {
            r#for,
            currency: Currency::parse(currency).unwrap(),
            scale,
            per_action,
            windows,
            approve_above,
            optional,
        },
    )
}

fn inline(entries: &[&str]) -> NameSet {
    NameSet::Inline(entries.iter().map(|entry| NameEntry::author(entry).unwrap()).collect())
}

fn set() -> impl Strategy<Value = NameSet> {
    let named = subsequence(ENTRIES.to_vec(), 2..8).prop_map(|entries| inline(&entries));
    let listed = (0..2_usize, 0..5_u32).prop_map(|(which, more)| {
        let NameSet::Detached { root, count } = texts()[which].to_set() else { panic!("a list is detached") };
        match more {
            0 => NameSet::Detached { root, count: count + 1 },
            1 => NameSet::Detached { root: kakunin_core::digest::Digest::of(b"nobody's"), count },
            _ => NameSet::Detached { root, count },
        }
    });
    prop_oneof![2 => named, 1 => listed]
}

fn names() -> impl Strategy<Value = NameRule> {
    (patterns(1..3), set(), option::weighted(0.3, set()), prop::bool::weighted(0.3))
        .prop_map(|(r#for, allow, deny, optional)| NameRule { r#for, allow, deny, optional })
}

fn rate() -> impl Strategy<Value = Rate> {
    (patterns(1..3), select(SECONDS.as_slice()), money())
        .prop_map(|(r#for, seconds, max)| Rate { r#for, window: Window { seconds, max } })
}

fn schedule() -> impl Strategy<Value = Schedule> {
    let zones = [Zone::Offset(0), Zone::Offset(60), Zone::Offset(-840), Zone::Tzdb("Europe/Berlin".into())];
    let slots = [
        Slot { days: 0b001_1111, from: 540, to: 1020 },
        Slot { days: 0b100_0000, from: 0, to: 1440 },
        Slot { days: 0b100_0000, from: 120, to: 180 },
        Slot { days: 0b000_0001, from: 0, to: 1 },
    ];
    (select(zones.to_vec()), subsequence(slots.to_vec(), 1..4))
        .prop_map(|(zone, slots)| Schedule { zone, slots })
}

fn delegation() -> impl Strategy<Value = Delegation> {
    (0..3_u8, 1..3_u32, any::<bool>()).prop_map(|(depth, hours, session)| Delegation {
        depth,
        max_seconds: hours * 3600,
        session,
    })
}

/// A request whose texts live as long as the program: the vocabulary.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    action: &'static str,
    amount: Amount<'static>,
    currency: Option<&'static str>,
    counterparties: Option<Vec<&'static str>>,
    resources: Option<Vec<&'static str>>,
    unreadable: bool,
    pub(crate) now: UnixMillis,
}

impl Asked {
    pub(crate) fn request(&self) -> ActionRequest<'_> {
        let mut request = ActionRequest::new(self.action);
        (request.amount, request.currency) = (self.amount, self.currency);
        request.counterparties = match &self.counterparties {
            _ if self.unreadable => Names::Unreadable,
            None => Names::Absent,
            Some(names) if names.len() == 1 => Names::One(names[0]),
            Some(names) => Names::Many(names),
        };
        request.resources = self.resources.as_deref().map_or(Names::Absent, Names::Many);
        request
    }
}

pub(crate) fn asked() -> impl Strategy<Value = Asked> {
    let amount = prop_oneof![
        9 => Just(Amount::Absent),
        10 => select(AMOUNTS.as_slice()).prop_map(Amount::Decimal),
        2 => select(AMOUNTS.as_slice()).prop_map(Amount::AsWritten),
        1 => select(WRONG_AMOUNTS.as_slice()).prop_map(Amount::Decimal),
        4 => select(MINORS.as_slice()).prop_map(Amount::Minor),
        1 => select([Amount::Minor(-1), Amount::Unreadable].as_slice()),
    ];
    let currency = prop_oneof![
        16 => select(["EUR", "EUR", "USD", "EURO"].as_slice()).prop_map(Some),
        1 => select(["eur", "EUR ", "GBP"].as_slice()).prop_map(Some),
        1 => Just(None),
    ];
    let names = || {
        prop_oneof![
            6 => select(NAMES.as_slice()).prop_map(|name| vec![name]),
            3 => subsequence(NAMES.to_vec(), 0..4),
            1 => select(["", "sha256:00"].as_slice()).prop_map(|wrong| vec!["acme", wrong]),
        ]
    };
    let some = || option::weighted(0.8, names());
    let action = prop_oneof![30 => select(ACTIONS.as_slice()), 1 => select(["a:*", "a::b"].as_slice())];
    // Two weeks around each change of clocks in Berlin, and the edges of minutes.
    let start = select(["2026-03-23T00:00:00Z", "2026-10-19T00:00:00Z", "2026-11-22T23:00:00Z"].as_slice());
    let now =
        (start, 0..20_160_i64, select([0_i64, 1, 59_999].as_slice())).prop_map(|(start, minute, millis)| {
            UnixMillis::parse_rfc3339(start).unwrap().plus_millis(minute * 60_000 + millis)
        });
    (action, amount, currency, some(), some(), prop::bool::weighted(0.03), now).prop_map(
        |(action, amount, currency, counterparties, resources, unreadable, now)| Asked {
            action,
            amount,
            currency,
            counterparties,
            resources,
            unreadable,
            now,
        },
    )
}
