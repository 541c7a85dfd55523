//! A decision allocates nothing, whichever way it goes.

use kakunin_core::certificate::AgentCertificate;
use kakunin_core::leash::Leash;
use kakunin_core::request::{ActionRequest, Amount, Names};
use kakunin_core::revocation::UnverifiedList;
use kakunin_core::scope::{DraftScope, NameList, NameLists, Scope};
use kakunin_core::time::UnixMillis;

use crate::authority::{Authority, NOW, agent_id};

#[test]
fn a_decision_allocates_no_byte_on_any_path() {
    let (leash, now) = (leash(), UnixMillis::parse_rfc3339(NOW).unwrap());
    let late = UnixMillis::parse_rfc3339("2026-11-22T12:00:00Z").unwrap();
    let base = || ActionRequest::new("payments:send").counterparty("party 7").resource("account");
    let pay = |amount| base().amount(amount, "EUR");
    let long = "a".repeat(1 << 20);
    let requests = [
        ("allow", pay("10.00"), now),
        ("allow", base().amount_minor(1000, "EUR"), now),
        ("allow", pay("10.00").counterparties(&["party 1", "party 999"]), now),
        ("allow", ActionRequest::new("read:a:b"), now),
        ("request.action_invalid", ActionRequest::new(&long), now),
        ("request.amount_invalid", pay("1.005"), now),
        ("request.amount_invalid", pay(&long), now),
        ("request.amount_missing", base(), now),
        ("request.currency_missing", ActionRequest { amount: Amount::Decimal("1"), ..base() }, now),
        ("request.currency_invalid", base().amount("1", "eur"), now),
        ("request.counterparty_missing", ActionRequest { counterparties: Names::Absent, ..pay("1") }, now),
        ("request.counterparty_invalid", pay("1").counterparty(""), now),
        ("request.resource_missing", ActionRequest { resources: Names::Absent, ..pay("1") }, now),
        ("request.resource_invalid", pay("1").resource(""), now),
        ("scope.action", ActionRequest::new("write:a"), now),
        ("scope.resource", pay("1").resource("accounts"), now),
        ("scope.counterparty", pay("1").counterparty("party 1000"), now),
        // A name that has to be hashed, of any length.
        ("scope.counterparty", pay("1").counterparty("Müller"), now),
        ("scope.counterparty", pay("1").counterparty(&long), now),
        ("scope.currency", base().amount("1", "USD"), now),
        ("scope.amount", pay("10000.01"), now),
        ("scope.hours", pay("1"), late),
        ("approval.required", pay("5000.01"), now),
    ];
    for (expected, request, now) in requests {
        let mut code = "";
        let mut charges = 0;
        let counted = allocation_counter::measure(|| {
            let decision = leash.decide(&request, now);
            code = decision.denial().map_or("allow", |denial| denial.code());
            if let kakunin_core::decision::Decision::Allow(permit) = &decision {
                charges = leash.charges(permit).count();
            }
        });
        assert_eq!(code, expected, "{:.60}", request.action);
        assert_eq!(counted.count_total, 0, "{expected}: {counted:?}");
        assert_eq!(charges, if code == "allow" && request.currency.is_some() { 2 } else { 0 });
    }
}

/// C3: a length that the input does not have reserves nothing.
#[test]
fn decoders_allocate_no_more_than_their_input() {
    for claimed in [
        &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff][..],
        &[0x30, 0x84, 0x0f, 0xff, 0xff, 0xff, 0x30, 0x84, 0x0f, 0xff, 0xff, 0xf0],
        &[0x30, 0x80, 0x30, 0x80, 0x30, 0x80],
        &[0x30, 0x0a, 0x30, 0x84, 0x7f, 0xff, 0xff, 0xff, 2, 1, 1, 4],
        &[0x30, 0x09, 2, 1, 1, 4, 0x84, 0x7f, 0xff, 0xff, 0xff],
    ] {
        let counted = allocation_counter::measure(|| {
            assert!(AgentCertificate::decode(claimed).is_err());
            assert!(UnverifiedList::decode(claimed).is_err());
            assert!(Scope::from_der(claimed).is_err());
        });
        assert!(counted.bytes_max < 1024, "{claimed:?}: {counted:?}");
    }
}

fn leash() -> Leash {
    let names: String = (0..1000).map(|n| format!("party {n}\n")).collect();
    let read = |_: &str| Ok(names.clone());
    let text = r#"
actions = ["payments:send", "read:*"]
[[limit]]
for = ["payments:send"]
currency = "EUR"
per_action = "10000.00"
per_day = "50000.00"
approve_above = "5000.00"
[[counterparties]]
for = ["payments:send"]
allow_file = "parties.txt"
[[resources]]
for = ["payments:send"]
allow = ["account"]
[[rate]]
for = ["payments:send"]
max = 10
seconds = 60
[hours]
zone = "Europe/Berlin"
slots = ["Mon-Fri 09:00-17:00"]
"#;
    let scope = DraftScope::parse(text, &read).unwrap().for_agent(agent_id()).unwrap();
    let mut lists = NameLists::default();
    lists.insert(NameList::parse(&names).unwrap());
    Authority::new().leash(&scope, &lists)
}
