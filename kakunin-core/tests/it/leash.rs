//! The compiled leash against the slow reference, and the theorem of nesting. Rows are those of `docs/attacks.md`.

use std::cell::RefCell;
use std::collections::HashMap;

use kakunin_core::leash::{BudgetKey, Leash, SlidingSum};
use kakunin_core::money::Money;
use kakunin_core::request::{ActionRequest, Amount, Names};
use kakunin_core::scope::{DraftScope, NameLists, Scope};
use kakunin_core::time::UnixMillis;
use proptest::collection::vec;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::arbitrary;
use crate::authority::{Authority, agent_id};
use crate::reference;

#[test]
fn the_leash_answers_as_the_slow_reference_does() {
    let (authority, lists) = (Authority::new(), arbitrary::lists());
    let seen: RefCell<HashMap<&str, u32>> = RefCell::default();
    runner(512)
        .run(&(arbitrary::scope(), vec(arbitrary::asked(), 64)), |(scope, requests)| {
            let leash = authority.leash(&scope, &lists);
            for asked in &requests {
                let (request, now) = (asked.request(), asked.now);
                let expected = reference::verdict(&scope, &lists, &request, now);
                *seen.borrow_mut().entry(expected).or_default() += 1;
                assert_eq!(code(&leash, &request, now), expected, "{request:?} at {now}");
            }
            Ok(())
        })
        .unwrap();
    // A generator that misses a reason proves nothing about it.
    let seen = seen.into_inner();
    for reason in [
        "allow",
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
    ] {
        assert!(seen.get(reason).is_some_and(|times| *times >= 20), "{reason}: {seen:?}");
    }
}

#[test]
fn what_a_child_allows_its_parent_allows() {
    let (authority, lists) = (Authority::new(), arbitrary::lists());
    let mut runner = runner(0);
    let (mut nested, mut allowed) = (0, 0);
    for _ in 0..400 {
        let parent = arbitrary::scope().new_tree(&mut runner).unwrap().current();
        let child = arbitrary::child(&parent).new_tree(&mut runner).unwrap().current();
        if parent.encompasses(&child, &lists).is_err() {
            continue;
        }
        nested += 1;
        let requests = vec(arbitrary::asked(), 64).new_tree(&mut runner).unwrap().current();
        let (outer, inner) = (authority.leash(&parent, &lists), authority.leash(&child, &lists));
        let (mut parent_spent, mut child_spent) = (Ledger::default(), Ledger::default());
        // One after another within the shortest window, so that sums are reached.
        let start = requests[0].now;
        for (step, asked) in (0..).zip(&requests) {
            let now = if step % 2 == 0 { asked.now } else { start.plus_millis(step * 700) };
            let request = asked.request();
            if child_spent.try_spend(&inner, &request, now) {
                allowed += 1;
                assert!(
                    parent_spent.try_spend(&outer, &request, now),
                    "{request:?} at {now}\nparent {parent:#?}\nchild {child:#?}"
                );
            }
        }
    }
    assert!(nested > 100 && allowed > 300, "{nested} nested pairs, {allowed} allowed requests");
}

#[test]
fn encompassing_is_reflexive_and_transitive() {
    let lists = arbitrary::lists();
    let mut runner = runner(0);
    let mut chains = 0;
    for _ in 0..1024 {
        let first = arbitrary::scope().new_tree(&mut runner).unwrap().current();
        first.encompasses(&first, &lists).unwrap();
        first.encompasses(&first, &NameLists::default()).unwrap();
        let second = arbitrary::child(&first).new_tree(&mut runner).unwrap().current();
        let third = arbitrary::child(&second).new_tree(&mut runner).unwrap().current();
        let steps = [(&first, &second), (&second, &third)];
        if steps.iter().all(|(outer, inner)| outer.encompasses(inner, &lists).is_ok()) {
            chains += 1;
            let whole = first.encompasses(&third, &lists);
            assert!(whole.is_ok(), "{whole:?}\n{first:#?}\n{second:#?}\n{third:#?}");
        }
    }
    assert!(chains > 150, "{chains} chains");
}

/// C38: amounts that are none.
#[test]
fn amounts_that_are_not_exact_are_invalid() {
    let leash = leash(PAYMENTS);
    let pay = |amount: &str| code(&leash, &base().amount(amount, "EUR"), noon());
    for right in ["0", "0.01", "1.5", "9999.99", "10000", "10000.00"] {
        assert_eq!(pay(right), "allow", "{right}");
    }
    for over in ["10000.01", "10001", "92233720368547758.07"] {
        assert_eq!(pay(over), "scope.amount", "{over}");
    }
    let long = "1".repeat(1 << 20);
    for wrong in [
        "-1",
        "NaN",
        "inf",
        "1e400",
        "1e9",
        "1.005",
        "1.000",
        "10000.000",
        "1,000",
        "999,999",
        "٣",
        "１",
        " 5",
        "5 ",
        "5 EUR",
        "",
        "+1",
        "01",
        ".5",
        "1.",
        "0x1",
        "92233720368547758.08",
        "9223372036854775808",
        "99999999999999999999",
        "-0",
        "1_000",
        "1\0",
        &long,
    ] {
        assert_eq!(pay(wrong), "request.amount_invalid", "{wrong:.40}");
    }
    let minor = |minor| code(&leash, &base().amount_minor(minor, "EUR"), noon());
    assert_eq!(minor(1_000_000), "allow");
    assert_eq!(minor(1_000_001), "scope.amount");
    assert_eq!(minor(i64::MAX), "scope.amount");
    assert_eq!(minor(-1), "request.amount_invalid");
    assert_eq!(minor(i64::MIN), "request.amount_invalid");
    let unreadable = ActionRequest { amount: Amount::Unreadable, currency: Some("EUR"), ..base() };
    assert_eq!(code(&leash, &unreadable, noon()), "request.amount_invalid");
    assert_eq!(code(&leash, &base(), noon()), "request.amount_missing");
}

/// C39: sums beyond 63 bits are no room.
#[test]
fn a_sum_beyond_sixty_three_bits_never_wraps() {
    let most = Money::from_minor(i64::MAX).unwrap();
    let one = Money::from_minor(1).unwrap();
    let now = noon();
    for times in 1..4 {
        let mut sum = SlidingSum::new(60, 2);
        for _ in 0..times {
            sum.spend(most, now);
        }
        assert_eq!(sum.spent(now), most, "saturates");
        assert!(!sum.has_room(one, most, now));
        assert_eq!(sum.rescaled(18).spent(now), most);
    }
}

/// C40: currencies have one spelling and are never converted.
#[test]
fn currencies_are_exact() {
    let leash = leash(PAYMENTS);
    let pay = |currency: Option<&'static str>| {
        code(&leash, &ActionRequest { amount: Amount::Decimal("1"), currency, ..base() }, noon())
    };
    assert_eq!(pay(None), "request.currency_missing");
    for wrong in ["eur", "EUR ", "ЕUR", "", "E", "EURRRRRRRRRRR", "EUR\0"] {
        assert_eq!(pay(Some(wrong)), "request.currency_invalid", "{wrong}");
    }
    for other in ["USD", "XBT", "EURO"] {
        assert_eq!(pay(Some(other)), "scope.currency", "{other}");
    }
    let unlimited = ActionRequest::new("read:x").amount("1", "EUR");
    assert_eq!(code(&leash, &unlimited, noon()), "scope.amount");
    let without = ActionRequest { currency: Some("eur"), ..ActionRequest::new("read:x") };
    assert_eq!(code(&leash, &without, noon()), "allow", "without an amount the currency is not looked at");
}

/// C40: minor units are counted at the scale of the limits, which must agree.
#[test]
fn minor_units_under_limits_of_two_scales_are_invalid() {
    let leash = leash(
        "actions = [\"a:*\"]\n\
         [[limit]]\nfor = [\"a:*\"]\ncurrency = \"EUR\"\nscale = 2\nper_action = \"10\"\n\
         [[limit]]\nfor = [\"a:b\"]\ncurrency = \"EUR\"\nscale = 3\nper_action = \"10\"\n",
    );
    let at = |action, minor| code(&leash, &ActionRequest::new(action).amount_minor(minor, "EUR"), noon());
    assert_eq!(at("a:c", 1000), "allow");
    assert_eq!(at("a:b", 1), "request.amount_invalid");
    let text = ActionRequest::new("a:b").amount("9.99", "EUR");
    assert_eq!(code(&leash, &text, noon()), "allow");
}

/// C42: action names are never folded or trimmed.
#[test]
fn actions_that_look_alike_are_invalid() {
    let leash = leash("actions = [\"write:*\"]\n");
    let long = "a:".repeat(1 << 19) + "a";
    for wrong in [
        "",
        "write",
        "wrіte:x",
        "write：x",
        "write\u{200b}:x",
        "Write:x",
        "WRITE:X",
        "write:../x",
        "write::x",
        "write:*",
        "*",
        "write:",
        ":write",
        "write:x ",
        " write:x",
        "write:x\n",
        "write:x\0",
        "write:é",
        "write:e\u{301}",
        "write:-x",
        "write:.x",
        &long,
    ] {
        let expected = if wrong == "write" { "scope.action" } else { "request.action_invalid" };
        assert_eq!(code(&leash, &ActionRequest::new(wrong), noon()), expected, "{wrong:.40}");
    }
}

/// C43 and C44: what patterns cover, and that a denial wins.
#[test]
fn patterns_cover_further_segments_and_denials_win() {
    let leash = leash("actions = [\"write:*\", \"read:x\"]\ndeny = [\"write:secret:*\", \"read:x\"]\n");
    for (action, expected) in [
        ("write", "scope.action"),
        ("writes:x", "scope.action"),
        ("write:a", "allow"),
        ("write:a:b", "allow"),
        ("write:secret", "allow"),
        ("write:secrets", "allow"),
        ("write:secret:a", "scope.action"),
        ("write:secret:a:b", "scope.action"),
        ("read:x", "scope.action"),
        ("read:x:y", "scope.action"),
    ] {
        assert_eq!(code(&leash, &ActionRequest::new(action), noon()), expected, "{action}");
    }
}

/// C45: counterparties are compared as bytes, and every one must pass.
#[test]
fn counterparties_are_exact_and_all_must_pass() {
    let leash = leash(PAYMENTS);
    let pay = |names: Names<'_>| {
        let request = ActionRequest { counterparties: names, ..ActionRequest::new("payments:send") };
        code(&leash, &request.amount("1", "EUR"), noon())
    };
    assert_eq!(pay(Names::Absent), "request.counterparty_missing");
    assert_eq!(pay(Names::Many(&[])), "request.counterparty_missing");
    assert_eq!(pay(Names::Unreadable), "request.counterparty_invalid");
    assert_eq!(pay(Names::One("")), "request.counterparty_invalid");
    let literal = format!("sha256:{}", "00".repeat(32));
    assert_eq!(pay(Names::One(&literal)), "request.counterparty_invalid");
    assert_eq!(pay(Names::Many(&["acme", ""])), "request.counterparty_invalid");
    for stranger in
        ["Acme", "acme ", " acme", "acme\u{200b}", "аcme", "ACME GmbH", "acme\0", "acm", "acmee", "*"]
    {
        assert_eq!(pay(Names::One(stranger)), "scope.counterparty", "{stranger}");
        assert_eq!(pay(Names::Many(&["acme", stranger])), "scope.counterparty", "{stranger}");
        assert_eq!(pay(Names::Many(&[stranger, "acme"])), "scope.counterparty", "{stranger}");
    }
    assert_eq!(pay(Names::Many(&["acme", "Müller", "acme"])), "allow");
}

/// C46: clock changes, midnight, the week's edge.
#[test]
fn hours_are_judged_from_utc_instants() {
    let at = |hours: &str, time: &str| {
        let leash = leash(&format!("actions = [\"a\"]\n[hours]\n{hours}\n"));
        code(&leash, &ActionRequest::new("a"), UnixMillis::parse_rfc3339(time).unwrap())
    };
    let berlin = "zone = \"Europe/Berlin\"\nslots = [\"Sun 02:00-03:00\"]";
    // 2026-03-29: 02:00 to 03:00 does not occur.
    assert_eq!(at(berlin, "2026-03-29T00:59:59.999Z"), "scope.hours");
    assert_eq!(at(berlin, "2026-03-29T01:00:00Z"), "scope.hours");
    // 2026-10-25: it occurs twice, 00:00 to 02:00 UTC.
    for (time, expected) in [
        ("2026-10-24T23:59:59.999Z", "scope.hours"),
        ("2026-10-25T00:00:00Z", "allow"),
        ("2026-10-25T00:59:59.999Z", "allow"),
        ("2026-10-25T01:00:00Z", "allow"),
        ("2026-10-25T01:59:59.999Z", "allow"),
        ("2026-10-25T02:00:00Z", "scope.hours"),
    ] {
        assert_eq!(at(berlin, time), expected, "{time}");
    }
    let sunday = "zone = \"UTC\"\nslots = [\"Sun 23:59-24:00\"]";
    assert_eq!(at(sunday, "2026-11-22T23:58:59.999Z"), "scope.hours");
    assert_eq!(at(sunday, "2026-11-22T23:59:59.999Z"), "allow");
    assert_eq!(at(sunday, "2026-11-23T00:00:00Z"), "scope.hours");
    // 2016-12-31T23:59:60Z is, in POSIX time, the second before it again.
    assert_eq!(at("zone = \"UTC\"\nslots = [\"Sat 23:59-24:00\"]", "2016-12-31T23:59:60Z"), "allow");
    let overnight = "zone = \"-05:00\"\nslots = [\"Sun 22:00-02:00\"]";
    assert_eq!(at(overnight, "2026-11-23T03:00:00Z"), "allow");
    assert_eq!(at(overnight, "2026-11-23T06:59:59Z"), "allow");
    assert_eq!(at(overnight, "2026-11-23T07:00:00Z"), "scope.hours");
}

/// C7: an unknown condition denies every action.
#[test]
fn an_unknown_condition_denies_every_action() {
    let id = der::asn1::ObjectIdentifier::new_unwrap("1.2.3");
    let mut parts = scope("actions = [\"a:*\"]\n").parts().clone();
    parts.conditions = vec![kakunin_core::scope::Condition { id, value: Vec::new() }];
    let leash = Authority::new().leash(&Scope::build(parts).unwrap(), &NameLists::default());
    assert_eq!(code(&leash, &ActionRequest::new("a:b"), noon()), "scope.condition_unknown");
    assert_eq!(code(&leash, &ActionRequest::new("b"), noon()), "scope.action");
    assert!(!leash.may_ever("a:b"));
}

/// C47: a child that is wider in exactly one field, or lacks a rule.
#[test]
fn a_child_that_is_wider_in_one_field_is_refused_by_its_name() {
    let parent = scope(NESTED);
    let changed = |from: &str, to: &str| {
        assert!(NESTED.contains(from), "{from}");
        scope(&NESTED.replacen(from, to, 1))
    };
    let found = |child: &Scope| parent.encompasses(child, &NameLists::default()).map_err(|o| o.field);
    for (from, to, field) in [
        ("\"payments:send\", \"read:*\"", "\"payments:*\", \"read:*\"", "actions"),
        ("[\"read:secret:*\"]", "[\"read:secret:x\"]", "deny"),
        ("per_action = \"100.00\"", "per_action = \"100.01\"", "limit"),
        ("per_action = \"100.00\"\n", "", "limit"),
        ("scale = 2", "scale = 3", "limit"),
        ("max = \"500.00\"", "max = \"500.01\"", "limit"),
        ("seconds = 86400, max", "seconds = 86401, max", "limit"),
        ("approve_above = \"50.00\"", "approve_above = \"50.01\"", "limit"),
        ("approve_above = \"50.00\"\n", "", "limit"),
        ("# limit is mandatory", "optional = true", "limit"),
        ("currency = \"EUR\"", "currency = \"USD\"", "limit"),
        ("allow = [\"acme:*\"]", "allow = [\"acme:*\", \"globex\"]", "counterparties"),
        ("deny = [\"acme:x\"]\n", "", "counterparties"),
        ("# party is mandatory", "optional = true", "counterparties"),
        ("allow = [\"account\"]", "allow = [\"accounts\"]", "resources"),
        ("max = 10", "max = 11", "rate"),
        ("max = 10\nseconds = 60", "max = 10\nseconds = 61", "rate"),
        ("zone = \"+01:00\"", "zone = \"UTC\"", "hours"),
        ("zone = \"+01:00\"", "zone = \"Europe/Berlin\"", "hours"),
        ("09:00-17:00", "09:00-17:01", "hours"),
        ("depth = 2", "depth = 3", "delegation"),
        ("max_hours = 12", "max_hours = 13", "delegation"),
    ] {
        assert_eq!(found(&changed(from, to)), Err(field), "{from} -> {to}");
    }
    for (rule, field) in [
        ("limit", "limit"),
        ("counterparties", "counterparties"),
        ("resources", "resources"),
        ("rate", "rate"),
        ("hours", "hours"),
    ] {
        let cut = NESTED.split("\n\n").filter(|block| !block.contains(&format!("[{rule}]")));
        let child = scope(&cut.collect::<Vec<_>>().join("\n\n"));
        assert_eq!(found(&child), Err(field), "without {rule}");
    }
    for (from, to) in [
        ("per_action = \"100.00\"", "per_action = \"1\""),
        ("allow = [\"acme:*\"]", "allow = [\"acme:eu:*\"]"),
        ("09:00-17:00", "10:00-16:59"),
        ("depth = 2", "depth = 0"),
        ("max = 10", "max = 0"),
        ("[\"read:secret:*\"]", "[\"read:*\"]"),
    ] {
        assert_eq!(found(&changed(from, to)), Ok(()), "{from} -> {to}");
    }
}

/// A name list that is missing, or whose count is not the signed one, decides nothing.
#[test]
fn a_missing_name_list_denies_the_actions_it_is_for() {
    let read = |_: &str| Ok("acme\nglobex\n".to_owned());
    let text = "actions = [\"a\", \"b\"]\n[[counterparties]]\nfor = [\"a\"]\nallow_file = \"x\"\n";
    let draft = DraftScope::parse(text, &read).unwrap();
    let scope = draft.for_agent(agent_id()).unwrap();
    let list = kakunin_core::scope::NameList::parse("acme\nglobex\n").unwrap();
    let mut lists = NameLists::default();
    let ask = |lists: &NameLists, action, name| {
        let leash = Authority::new().leash(&scope, lists);
        code(&leash, &ActionRequest::new(action).counterparty(name), noon())
    };
    assert_eq!(ask(&lists, "a", "acme"), "scope.names_missing");
    assert_eq!(ask(&lists, "b", "acme"), "allow");
    lists.insert(list);
    assert_eq!(ask(&lists, "a", "acme"), "allow");
    assert_eq!(ask(&lists, "a", "initech"), "scope.counterparty");
}

const PAYMENTS: &str = r#"
actions = ["payments:send", "read:*"]
[[limit]]
for = ["payments:send"]
currency = "EUR"
per_action = "10000.00"
[[counterparties]]
for = ["payments:send"]
allow = ["acme", "Müller"]
"#;

const NESTED: &str = r#"
actions = ["payments:send", "read:*"]
deny = ["read:secret:*"]

[[limit]]
for = ["payments:send"]
currency = "EUR"
scale = 2
per_action = "100.00"
approve_above = "50.00"
windows = [{ seconds = 86400, max = "500.00" }]
# limit is mandatory

[[counterparties]]
for = ["payments:send"]
allow = ["acme:*"]
deny = ["acme:x"]
# party is mandatory

[[resources]]
for = ["payments:send"]
allow = ["account"]

[[rate]]
for = ["payments:send"]
max = 10
seconds = 60

[hours]
zone = "+01:00"
slots = ["Mon-Fri 09:00-17:00"]

[delegation]
depth = 2
max_hours = 12
"#;

/// What was spent under one leash, as a guard would keep it.
#[derive(Default)]
struct Ledger(HashMap<BudgetKey, SlidingSum>);

impl Ledger {
    /// Whether the leash and the windows allow the request; if so, it is counted.
    fn try_spend(&mut self, leash: &Leash, request: &ActionRequest<'_>, now: UnixMillis) -> bool {
        let kakunin_core::decision::Decision::Allow(permit) = leash.decide(request, now) else {
            return false;
        };
        let charges: Vec<_> = leash.charges(&permit).collect();
        assert!(leash.has_charges(&permit) || charges.is_empty(), "has_charges says so");
        for charge in &charges {
            let empty = || SlidingSum::new(charge.quota.seconds, charge.quota.scale);
            let sum = self.0.entry(charge.quota.key).or_insert_with(empty);
            if !sum.has_room(charge.cost, charge.quota.max, now) {
                return false;
            }
        }
        for charge in charges {
            self.0.get_mut(&charge.quota.key).unwrap().spend(charge.cost, now);
        }
        true
    }
}

fn base() -> ActionRequest<'static> {
    ActionRequest::new("payments:send").counterparty("acme")
}

fn noon() -> UnixMillis {
    UnixMillis::parse_rfc3339(crate::authority::NOW).unwrap()
}

fn scope(text: &str) -> Scope {
    let none = |_: &str| Err(std::io::ErrorKind::NotFound.into());
    DraftScope::parse(text, &none).unwrap().for_agent(agent_id()).unwrap()
}

fn leash(text: &str) -> Leash {
    Authority::new().leash(&scope(text), &NameLists::default())
}

fn code(leash: &Leash, request: &ActionRequest<'_>, now: UnixMillis) -> &'static str {
    leash.decide(request, now).denial().map_or("allow", |denial| denial.code())
}

/// The same cases on every run: a failure here is a failure everywhere.
fn runner(cases: u32) -> TestRunner {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}
