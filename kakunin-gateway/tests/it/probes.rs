//! The probes of the fail-open list, put to a gateway: whatever is asked in such a way, no handler runs.

use std::fs;

use kakunin_core::guard::StateChoice;
use kakunin_core::request::{ActionRequest, Amount, Names};
use kakunin_gateway::{Gateway, GatewayOptions};

use crate::world::{Agent, RAN, SHOP, World, refuses};

const SCOPE: &str = r#"
actions = ["payments:send"]
[[limit]]
for = ["payments:send"]
currency = "EUR"
per_action = "10000.00"
per_day = "20000.00"
[[counterparties]]
for = ["payments:send"]
allow = ["acme", "globex"]
[hours]
zone = "UTC"
slots = ["Mon-Fri 09:00-17:00"]
"#;

fn pay(amount: Amount<'_>) -> ActionRequest<'_> {
    ActionRequest {
        amount,
        currency: Some("EUR"),
        ..ActionRequest::new("payments:send").counterparty("acme")
    }
}

/// The answer to one signed request, for which the adapter found this in its body.
fn code(gateway: &Gateway, agent: &Agent, request: &ActionRequest<'_>) -> &'static str {
    let (status, code) = agent.order().answer_to(gateway, request);
    assert_eq!(status, if code == "ran" { 200 } else { 403 }, "{code}");
    code
}

#[test]
fn probes_of_a_request_are_denied_at_a_gateway_by_the_code_of_everywhere() {
    let world = World::new();
    let (gateway, agent) = (world.gateway(), world.agent(SCOPE));
    let ask = |request: &ActionRequest<'_>| code(&gateway, &agent, request);
    assert_eq!(ask(&pay(Amount::Decimal("10000.00"))), "ran");
    assert_eq!(ask(&pay(Amount::Decimal("10000.01"))), "scope.amount");
    for text in [
        "999,999",
        "1e9",
        "\u{663}",
        " 5",
        "5 EUR",
        "",
        "-1",
        "+1",
        "NaN",
        "inf",
        "1.005",
        "9223372036854775808",
    ] {
        assert_eq!(ask(&pay(Amount::Decimal(text))), "request.amount_invalid", "{text}");
    }
    assert_eq!(ask(&pay(Amount::Minor(-1))), "request.amount_invalid");
    assert_eq!(ask(&pay(Amount::Unreadable)), "request.amount_invalid");
    assert_eq!(ask(&pay(Amount::Absent)), "request.amount_missing");
    for (currency, expected) in [
        (None, "request.currency_missing"),
        (Some("eur"), "request.currency_invalid"),
        (Some("EUR "), "request.currency_invalid"),
        (Some("\u{415}UR"), "request.currency_invalid"),
        (Some("USD"), "scope.currency"),
    ] {
        let request = ActionRequest { currency, ..pay(Amount::Decimal("1.00")) };
        assert_eq!(ask(&request), expected, "{currency:?}");
    }
    for (counterparties, expected) in [
        (Names::Absent, "request.counterparty_missing"),
        (Names::Many(&[]), "request.counterparty_missing"),
        (Names::One(""), "request.counterparty_invalid"),
        (Names::Unreadable, "request.counterparty_invalid"),
        (Names::One("Acme"), "scope.counterparty"),
        (Names::One("acme "), "scope.counterparty"),
        (Names::One("ac\u{200b}me"), "scope.counterparty"),
        (Names::One("\u{430}cme"), "scope.counterparty"),
        (Names::Many(&["acme", "stranger"]), "scope.counterparty"),
    ] {
        let request = ActionRequest { counterparties, ..pay(Amount::Decimal("1.00")) };
        assert_eq!(ask(&request), expected, "{counterparties:?}");
    }
    let long = "a".repeat(1 << 20);
    for action in
        ["write:../x", "write::x", "write:*", "", "*", "p\u{430}yments:send", "PAYMENTS:SEND", &long]
    {
        let request = ActionRequest { action, ..pay(Amount::Decimal("1.00")) };
        assert_eq!(ask(&request), "request.action_invalid", "{}", action.get(..9).unwrap_or(action));
    }
    world.clock.advance(6 * 3_600_000);
    world.tell(&agent);
    assert_eq!(code(&gateway, &agent, &pay(Amount::Decimal("1.00"))), "scope.hours");
}

/// Eight threads at the edge of a daily limit.
#[test]
fn callers_at_once_spend_no_more_at_a_gateway_than_their_limit() {
    let world = World::new();
    let (gateway, agent) = (world.gateway(), world.agent(SCOPE));
    let sent: Vec<_> = (0..32).map(|_| agent.order()).collect();
    let request = pay(Amount::Decimal("1900.00"));
    let ran: usize = std::thread::scope(|threads| {
        let asked = sent.chunks(4).map(|sent| {
            threads.spawn(|| {
                let answers = sent.iter().map(|sent| sent.answer_to(&gateway, &request));
                answers.filter(|answer| *answer == RAN).count()
            })
        });
        let asked: Vec<_> = asked.collect();
        asked.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert!((1..=10).contains(&ran), "{ran} times 1900.00 of 20000.00");
    let left = 20_000 - 1_900 * ran;
    if left < 10_000 {
        let more = format!("{}.01", left);
        assert_eq!(code(&gateway, &agent, &pay(Amount::Decimal(&more))), "budget.window");
    }
}

/// Lists and clocks of the gateway's own guard: nobody is let in by what it cannot stand on.
#[test]
fn probes_of_lists_clocks_and_journals_let_nobody_in_at_a_gateway() {
    let folder = tempfile::tempdir().unwrap();
    let request = pay(Amount::Decimal("1.00"));
    // Each at the start: later the list that was accepted goes on until its end.
    let other = World::new();
    let foreign = other.authority.lists(other.now(), 24).unwrap();
    for (why, lists, expected) in [
        ("none", Some(String::new()), "revocation.missing"),
        ("no PEM", Some("-----BEGIN X509 CRL-----\n!".to_owned()), "revocation.missing"),
        ("of another issuer", Some(foreign), "revocation.invalid"),
        ("from the future", None, "revocation.invalid"),
    ] {
        let world = World::new();
        let (gateway, agent) = (world.gateway(), world.agent(SCOPE));
        let lists = lists.unwrap_or_else(|| world.authority.lists(world.now().plus(3_600), 24).unwrap());
        let sent = agent.order();
        world.shop.source.publish(lists.into_bytes());
        let (status, code) = sent.answer_to(&gateway, &request);
        assert_eq!((status, code), (503, expected), "{why}");
    }
    // The wall clock is set back a day.
    let world = World::new();
    let (gateway, agent) = (world.gateway(), world.agent(SCOPE));
    assert_eq!(agent.order().answer_to(&gateway, &request), RAN);
    let sent = agent.order();
    let wall = kakunin_core::guard::Clock::wall(&*world.clock);
    world.clock.set_wall(wall.plus_millis(-86_400_000));
    refuses(&world.shop.guard);
    assert_eq!(sent.answer_to(&gateway, &request), (503, "clock.untrusted"));
    // The journal is taken away.
    let world = World::with(StateChoice::Path(folder.path().join("state")));
    let (gateway, agent) = (world.gateway_with(GatewayOptions::named([SHOP])), world.agent(SCOPE));
    assert_eq!(agent.order().answer_to(&gateway, &request), RAN);
    let caller = agent.order().to(&gateway).unwrap();
    let sent = agent.order();
    fs::rename(folder.path().join("state"), folder.path().join("elsewhere")).unwrap();
    refuses(&world.shop.guard);
    assert_eq!(sent.answer_to(&gateway, &request), (503, "journal.unavailable"));
    assert_eq!(caller.admit(&request).unwrap_err().code(), "journal.unavailable");
}
