//! What is ordered at a terminal stands in the audit log before it is done, as what is ordered over the network does.

use std::fs;

use serde_json::Value;

use crate::desk::Desk;

#[test]
fn whatever_is_ordered_here_is_in_the_audit_log_with_what_came_of_it() {
    let desk = Desk::with_billing();
    let id = desk.yes(&["agent", "show", "billing"])["id"].as_str().unwrap().to_owned();
    desk.yes(&["suspend", "billing", "--reason", "looking\u{1b}[2J"]);
    desk.answer(&["agent", "certify", "billing", "--out", "agents/two"], 1);
    desk.yes(&["resume", "billing", "--reason", "fine"]);
    desk.yes(&["agent", "renew", "billing"]);
    desk.yes(&["rotate"]);
    desk.yes(&["crl"]);
    desk.yes(&["revoke", "billing", "--reason", "keyCompromise"]);
    desk.answer(&["resume", "billing", "--reason", "no"], 1);
    let exported = desk.yes(&["audit", "export", "--out", "audit.jsonl"]);
    let text = fs::read_to_string(desk.path("audit.jsonl")).unwrap();
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let orders: Vec<_> = rows.iter().filter(|row| row.get("actor").is_some()).collect();
    let told: Vec<_> = orders
        .iter()
        .map(|order| {
            assert_eq!(order["actor"]["value"], "local");
            let outcome = rows.iter().find(|row| row.get("intent") == order.get("number"));
            let about = match order["subject"]["value"].as_str().unwrap() {
                subject if subject == id => "billing",
                subject => subject,
            };
            let outcome = outcome.map_or("", |row| row["outcome"].as_str().unwrap());
            (order["what"].as_str().unwrap(), about, outcome)
        })
        .collect();
    assert_eq!(
        told,
        [
            ("agent.create", "billing", "done"),
            ("certificate.issue", "billing", "done"),
            ("agent.suspend", "billing", "done"),
            ("certificate.issue", "billing", "refused"),
            ("agent.resume", "billing", "done"),
            ("certificate.renew", "billing", "done"),
            ("issuer.rotate", "authority", "done"),
            ("list.sign", "authority", "done"),
            ("agent.revoke", "billing", "done"),
            ("agent.resume", "billing", "refused"),
            // The export itself, which is the last row.
            ("audit.export", "default", ""),
        ]
    );
    let suspended = orders.iter().find(|order| order["what"] == "agent.suspend").unwrap();
    assert_eq!(
        (&suspended["before"]["value"], &suspended["after"]["value"], &suspended["text"]["value"]),
        (&"good".into(), &"held".into(), &"looking\u{1b}[2J".into())
    );
    let created = orders.first().unwrap();
    assert_eq!(created["text"]["value"], fs::read_to_string(desk.path("scope.toml")).unwrap());

    let checked = desk.yes(&["audit", "verify", "audit.jsonl", "--root", ".kakunin/public/ca.pem"]);
    assert_eq!((&checked["rows"], &checked["hash"]), (&exported["rows"], &exported["hash"]));
    assert_eq!((&checked["shown"], &checked["without_outcome"]), (&exported["rows"], &1.into()));
    // Nothing is written over, and half a file is none.
    desk.answer(&["audit", "export", "--out", "audit.jsonl"], 2);
}

#[test]
fn an_order_whose_entry_cannot_be_made_is_not_carried_out() {
    let desk = Desk::with_billing();
    let store = rusqlite::Connection::open(desk.path(".kakunin/store.sqlite")).unwrap();
    store
        .execute_batch("CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no room'); END")
        .unwrap();
    for order in [
        &["revoke", "billing", "--reason", "x"][..],
        &["suspend", "billing", "--reason", "x"],
        &["agent", "renew", "billing"],
        &["agent", "certify", "billing", "--out", "agents/two"],
        &["agent", "create", "other", "--scope", "scope.toml"],
        &["rotate"],
        &["crl"],
    ] {
        desk.answer(order, 2);
    }
    assert_eq!(desk.yes(&["agent", "show", "billing"])["standing"], "good");
    assert_eq!(desk.yes(&["agent", "list"]).as_array().map_or(1, Vec::len), 1);
    assert!(!desk.path("agents/two").join("agent.pem").exists());
}
