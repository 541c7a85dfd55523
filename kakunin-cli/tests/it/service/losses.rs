//! Records that are restored from a backup, with the keys that were revoked since.

use std::fs;

use serde_json::json;

use super::office::Office;
use super::web::Request;
use crate::desk::{Desk, texts};

#[test]
fn keys_that_were_revoked_since_the_backup_are_not_good_again() {
    let desk = Desk::with_billing();
    let office = Office::open(&desk);
    let owner = office.owner().to_owned();
    let made = office.post("/v1/keys", &json!({ "role": "revoker", "label": "stolen" })).json();
    let (stolen, prefix) = (made["data"]["key"].as_str().unwrap(), made["data"]["prefix"].as_str().unwrap());
    let hook = json!({ "url": "https://hooks.example/x", "events": ["agent.revoked"] });
    let hook = office.post("/v1/webhooks", &hook);
    assert_eq!(hook.status, 201, "{}", hook.text());
    let token = office.post("/v1/agents/billing/tokens", &json!({ "minutes": 60 }));
    assert_eq!(token.status, 201, "{}", token.text());
    assert_eq!(office.end(), Some(0));
    desk.yes(&["backup", "--out", "backup.sqlite"]);

    let office = Office::open(&desk);
    let lists = office.get("/v1/crl").header("x-crl-number").to_owned();
    let revoked = office.send(&Request::new("DELETE", &format!("/v1/keys/{prefix}")).bearer(&owner));
    assert_eq!(revoked.status, 200, "{}", revoked.text());
    // No list says anything about keys, so none was signed for it.
    assert_eq!(office.get("/v1/crl").header("x-crl-number"), lists);
    // As a crash leaves it: what was answered has to be enough.
    office.kill();

    for end in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(desk.path(&format!(".kakunin/store.sqlite{end}")));
    }
    fs::copy(desk.path("backup.sqlite"), desk.path(".kakunin/store.sqlite")).unwrap();
    // Their lists are taken to be the newest, so that the orders are what tells.
    let marks = fs::read_to_string(desk.path(".kakunin/marks")).unwrap();
    let behind = |marks: &str| {
        fs::write(desk.path(".kakunin/marks"), marks).unwrap();
        let output = desk.run(&["serve", "--listen", "127.0.0.1:0"]);
        assert_eq!(output.status.code(), Some(2));
        texts(&output).1
    };
    assert!(behind(&marks).contains("the records are behind what was"), "{marks}");
    let orders: String = marks
        .lines()
        .filter(|line| line.starts_with("kakunin") || line.starts_with("orders"))
        .map(|line| format!("{line}\n"))
        .collect();
    assert!(behind(&orders).contains("the records are behind what was ordered"), "{marks}");
    let accepted = desk.yes(&["restore", "--accept-loss", "--reason", "disk lost"]);
    assert_eq!((&accepted["keys_revoked"], &accepted["webhooks_turned_off"]), (&json!(2), &json!(1)));
    let new_owner = accepted["owner_key"].as_str().unwrap();

    let office = Office::open(&desk);
    assert_eq!(office.ready.get("owner_key"), None, "there is one");
    for old in [stolen, &owner] {
        let refused = office.send(&Request::get("/v1/agents").bearer(old));
        assert_eq!((refused.status, refused.json()["code"].clone()), (401, json!("access.key")));
    }
    let hooks = office.send(&Request::get("/v1/webhooks").bearer(new_owner)).json();
    assert_eq!(hooks["data"][0]["active"], false, "{hooks}");
    // The agent is good again, and its old token is not.
    assert_eq!(
        office.send(&Request::post("/v1/agents/billing/resume", &json!({})).bearer(new_owner)).status,
        200
    );
    let token = token.json()["data"]["token"].as_str().unwrap().to_owned();
    let refused =
        office.send(&Request::post("/v1/agents/billing/enrol", &json!({ "csr": "x" })).bearer(&token));
    assert_eq!((refused.status, refused.json()["code"].clone()), (401, json!("access.token")));
}
