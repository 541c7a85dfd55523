//! Tenants of one service: each sees and does what is its own, and what is of another one is what does not exist.

use std::fs;

use kakunin_core::certificate::request_pem;
use rusqlite::Connection;
use serde_json::{Value, json};

use super::listener::{Listener, Watcher};
use super::office::Office;
use super::robot::{Robot, new_key};
use super::web::{Reply, Request};
use crate::desk::Desk;

/// What a reply says, but for the id of its request.
fn said(reply: &Reply) -> (u16, String) {
    let id = reply.header("x-request-id");
    (reply.status, reply.text().replace(id, "ID"))
}

/// Makes a tenant, and gives what is said of it, its owner's key with it.
fn founded(office: &Office<'_>, name: &str) -> Value {
    let made = office.post("/v1/tenants", &json!({ "name": name }));
    assert_eq!(made.status, 201, "{}", made.text());
    made.json().get("data").unwrap().clone()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap()
}

/// One tenant as its owner uses it.
struct House<'a> {
    office: &'a Office<'a>,
    owner: String,
}

impl House<'_> {
    fn post(&self, path: &str, body: &Value) -> Value {
        let reply = self.office.send(&Request::post(path, body).bearer(&self.owner));
        assert!(reply.status < 300, "{path}: {}", reply.text());
        reply.json().get("data").unwrap().clone()
    }

    fn get(&self, path: &str) -> Reply {
        self.office.send(&Request::get(path).bearer(&self.owner))
    }

    /// One of everything that has an id, and an agent elsewhere that proves itself.
    fn furnish(&self, name: &str) -> (Things, Robot) {
        let agent = self.post("/v1/agents", &json!({ "name": name, "scope": { "actions": ["read:*"] } }));
        let signer = new_key();
        let csr = request_pem(&signer).unwrap();
        let papers = self.post(&format!("/v1/agents/{name}/certify"), &json!({ "csr": csr }));
        let hook = json!({ "url": "https://receiver.example/", "events": ["agent.revoked"] });
        let hook = self.post("/v1/webhooks", &hook);
        let chain = self.post("/v1/chains", &json!({ "name": "a chain" }));
        let key = self.post("/v1/keys", &json!({ "role": "auditor" }));
        let things = Things {
            agent: text(&agent, "id").to_owned(),
            name: name.to_owned(),
            serial: text(&papers, "serial_number").to_owned(),
            hook: text(&hook, "id").to_owned(),
            chain: text(&chain, "chain_id").to_owned(),
            prefix: text(&key, "prefix").to_owned(),
        };
        (things, Robot::with(self.office, signer, papers))
    }
}

/// The ids of what a tenant has.
struct Things {
    agent: String,
    name: String,
    serial: String,
    hook: String,
    chain: String,
    prefix: String,
}

impl Things {
    /// Ids of the same forms that nothing has.
    fn nobodys() -> Self {
        let of = |text: &str| text.to_owned();
        Self {
            agent: of("00000000-0000-4000-8000-000000000001"),
            name: of("nobody"),
            serial: of("40000000000000000000000000000001"),
            hook: of("wh_00000000000000000000000000000000"),
            chain: of("00000000-0000-4000-8000-000000000002"),
            prefix: of("aaaaaaaaaaaa"),
        }
    }

    /// The ids that a path may have in its place.
    fn fill(&self, path: &str) -> Vec<String> {
        let ids = match path {
            path if path.contains("{prefix}") => vec![&self.prefix],
            path if path.contains("{serial}") => vec![&self.serial],
            path if path.starts_with("/certificates") => vec![&self.serial],
            path if path.starts_with("/webhooks") => vec![&self.hook],
            path if path.contains("chain") => vec![&self.chain],
            path if path.contains("{id}") => vec![&self.agent, &self.name],
            _ => Vec::new(),
        };
        let filled = |id: &String| {
            ["{id}", "{prefix}", "{serial}"].iter().fold(path.to_owned(), |path, name| path.replace(name, id))
        };
        ids.into_iter().map(filled).collect()
    }
}

/// What each route has to have before it looks for anybody.
fn body(path: &str) -> Value {
    match path.rsplit('/').next() {
        Some("sign") => json!({ "payload": {} }),
        Some("revoke" | "halt" | "suspend" | "resume") => json!({ "reason": "x" }),
        Some("enrol") => json!({ "csr": request_pem(&new_key()).unwrap() }),
        _ => json!({}),
    }
}

#[test]
fn numbers_of_a_tenant_are_shown_to_its_own_keys_and_to_nobody_else() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    let acme = founded(&office, "acme");
    let ours = House { office: &office, owner: office.owner().to_owned() };
    let theirs = House { office: &office, owner: text(&acme, "owner_key").to_owned() };
    let _ = ours.furnish("ours");
    let (things, robot) = theirs.furnish("theirs");
    theirs.post("/v1/agents", &json!({ "name": "other", "scope": { "actions": ["read:*"] } }));
    let held = theirs.post("/v1/agents/other/suspend", &json!({ "reason": "drift" }));
    // An agent without a certificate is no change of the feed, one with one is.
    assert_eq!(theirs.post(&format!("/v1/agents/{}/suspend", things.name), &json!({}))["epoch"], 1);
    theirs.post(&format!("/v1/agents/{}/resume", things.name), &json!({}));
    let issuer = text(&held, "issuer");
    assert_eq!(
        robot.send(Request::post("/v1/feed/ack", &json!({ "issuer": issuer, "epoch": 1 }))).status,
        200
    );

    let everyones = office.get("/metrics").text();
    for line in ["epoch 2", "streams 0", "agents 1", "agents_behind 1", "lag_epochs 1"] {
        assert!(everyones.contains(&format!("\nkakunin_feed_{line}\n")), "{line}: {everyones}");
    }
    assert!(!everyones.contains("issuer"), "{everyones}");
    let own = theirs.get("/v1/feed/metrics").text();
    for line in ["epoch{I} 2", "streams{I} 0", "agents{I} 1", "agents_behind{I} 1", "lag_epochs{I} 1"] {
        let line = line.replace("{I}", &format!("{{issuer=\"{issuer}\"}}"));
        assert!(own.contains(&format!("\nkakunin_feed_{line}\n")), "{line}: {own}");
    }
    assert_eq!(own.matches("{issuer=").count(), 5, "{own}");
    let others = ours.get("/v1/feed/metrics").text();
    assert_eq!((others.matches("{issuer=").count(), others.matches(issuer).count()), (5, 0), "{others}");
    let bound = json!({ "role": "auditor", "agents": [things.agent] });
    let bound = theirs.post("/v1/keys", &bound);
    let refused = office.send(&Request::get("/v1/feed/metrics").bearer(text(&bound, "key")));
    assert_eq!((refused.status, refused.json()["code"].clone()), (403, json!("access.bound")));
}

/// A tenant whose lists cannot be signed is refused and told of, and the others are served.
#[test]
fn one_tenant_that_cannot_be_served_keeps_nobody_else_from_it() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    let acme = founded(&office, "acme");
    let (own, owner) = (office.owner().to_owned(), text(&acme, "owner_key").to_owned());
    let key = desk.path(".kakunin/issuing/2.key.pem");
    office.end();
    let kept = fs::read(&key).unwrap();
    fs::write(&key, "no key\n").unwrap();
    let office = Office::open(&desk);
    let ours = json!({ "name": "ours", "scope": { "actions": ["read:*"] } });
    assert_eq!(office.send(&Request::post("/v1/agents", &ours).bearer(&own)).status, 201);
    let theirs = |office: &Office<'_>| office.send(&Request::get("/v1/agents").bearer(&owner));
    let refused = theirs(&office);
    assert_eq!((refused.status, refused.json()["code"].clone()), (503, json!("starting")));
    assert_eq!(office.get("/v1/crl?tenant=acme").status, 404);
    let ready = office.get("/ready");
    assert_eq!((ready.status, ready.json()["status"].clone()), (200, json!("limited")), "{}", ready.text());
    assert!(office.get("/metrics").text().contains("\nkakunin_tenants_unserved 1\n"));
    let log = fs::read_to_string(desk.path("service.log")).unwrap();
    assert!(log.contains("lists.not_published") && log.contains("tenant `acme`"), "{log}");
    // It goes on by itself.
    fs::write(&key, kept).unwrap();
    let begun = std::time::Instant::now();
    while theirs(&office).status != 200 {
        assert!(begun.elapsed() < std::time::Duration::from_secs(60), "{}", theirs(&office).text());
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert_eq!(office.get("/ready").json()["status"], "ready");
    office.end();
    // Where nobody can be served, nothing is.
    fs::write(desk.path(".kakunin/issuing/1.key.pem"), "no key\n").unwrap();
    fs::write(&key, "no key\n").unwrap();
    let ended = Office::try_open_by(&desk, Office::command(&desk, &[])).err().unwrap();
    assert!(ended.contains("key"), "{ended}");
}

const ROLES: [&str; 6] = ["owner", "issuer", "revoker", "ingest", "auditor", "gate"];

#[test]
fn what_is_of_another_tenant_is_what_does_not_exist_on_every_route_to_every_role() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    let acme = founded(&office, "acme");
    let houses = [
        House { office: &office, owner: office.owner().to_owned() },
        House { office: &office, owner: text(&acme, "owner_key").to_owned() },
    ];
    // Both have an agent of one name, and one of its own.
    let furnished = [houses[0].furnish("ours"), houses[1].furnish("theirs")];
    for house in &houses {
        house.post("/v1/agents", &json!({ "name": "same", "scope": { "actions": ["read:*"] } }));
    }
    let document = office.get("/v1/openapi.json").json();
    let mut routes = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in
            operations.as_object().unwrap().iter().filter(|(name, _)| *name != "servers")
        {
            // What everyone may read is read by its number, whoever's it is.
            if operation["security"] != json!([]) && path.contains('{') {
                routes.push((method.to_uppercase(), path.clone()));
            }
        }
    }
    assert!(routes.len() >= 30, "{}", routes.len());
    let nobodys = Things::nobodys();
    let (mut missing, mut walked) = (0, 0);
    for (house, (foreign, _), (_, robot)) in
        [(&houses[0], &furnished[1], &furnished[0]), (&houses[1], &furnished[0], &furnished[1])]
    {
        let keys: Vec<String> = ROLES
            .iter()
            .map(|role| text(&house.post("/v1/keys", &json!({ "role": role })), "key").to_owned())
            .collect();
        for (method, path) in &routes {
            let pairs: Vec<_> = foreign.fill(path).into_iter().zip(nobodys.fill(path)).collect();
            assert!(!pairs.is_empty(), "{path} has something in its place that nobody filled");
            for (theirs, nobodys) in pairs {
                let request = |path: &str| Request {
                    method: method.clone(),
                    ..Request::post(&format!("/v1{path}"), &body(path))
                };
                for (role, key) in ROLES.iter().zip(&keys) {
                    let (theirs, nobodys) = (
                        office.send(&request(&theirs).bearer(key)),
                        office.send(&request(&nobodys).bearer(key)),
                    );
                    assert_eq!(said(&theirs), said(&nobodys), "{role} {method} {path}");
                    assert!(theirs.status >= 400, "{role} {method} {path}: {}", theirs.text());
                    missing += u32::from(theirs.status == 404);
                    walked += 1;
                }
                let (theirs, nobodys) = (robot.send(request(&theirs)), robot.send(request(&nobodys)));
                assert_eq!(said(&theirs), said(&nobodys), "agent {method} {path}");
                assert!(theirs.status >= 400, "agent {method} {path}: {}", theirs.text());
            }
        }
    }
    assert!(missing >= 140 && walked >= 600, "{missing} {walked}");
    // Nor are they in what is listed.
    for (house, own, foreign) in
        [(&houses[0], &furnished[0].0, &furnished[1].0), (&houses[1], &furnished[1].0, &furnished[0].0)]
    {
        for (path, mine, theirs) in [
            ("/v1/agents", &own.agent, &foreign.agent),
            ("/v1/keys", &own.prefix, &foreign.prefix),
            ("/v1/webhooks", &own.hook, &foreign.hook),
            ("/v1/chains", &own.chain, &foreign.chain),
            ("/v1/audit-log?limit=100&event_type=agent.create", &own.agent, &foreign.agent),
        ] {
            let listed = house.get(path).text();
            assert!(!listed.contains(theirs.as_str()), "{path}: {listed}");
            assert!(path.contains("audit") || listed.contains(mine.as_str()), "{path}: {listed}");
        }
        assert_eq!(house.get("/v1/agents").json()["meta"]["total"], 2);
        // Nothing that was asked had an effect.
        assert_eq!(house.get(&format!("/v1/agents/{}", own.name)).json()["data"]["standing"], "good");
        let row = |row: &Value| row["prefix"] == own.prefix.as_str() && row["revoked_at"].is_null();
        assert!(house.get("/v1/keys").json()["data"].as_array().unwrap().iter().any(row));
        assert_eq!(house.get("/v1/webhooks").json()["data"].as_array().unwrap().len(), 1);
        assert_eq!(house.get(&format!("/v1/chains/{}", own.chain)).json()["data"]["status"], "open");
    }
}

#[test]
fn only_an_owner_of_the_first_tenant_makes_tenants() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    let before = office.get_as_owner("/v1/tenants").json()["data"].as_array().unwrap().len();
    assert_eq!(before, 1);
    let acme = founded(&office, "acme");
    for (name, status, code) in [
        ("acme", 409, "tenant.taken"),
        ("default", 409, "tenant.taken"),
        ("Acme", 400, "request.invalid"),
        ("a/b", 400, "request.invalid"),
        ("", 400, "request.invalid"),
    ] {
        let refused = office.post("/v1/tenants", &json!({ "name": name }));
        assert_eq!((refused.status, refused.json()["code"].as_str()), (status, Some(code)), "{name}");
    }
    let scope = json!({ "actions": ["read:*"] });
    let agent = office.post("/v1/agents", &json!({ "name": "billing", "scope": scope })).json();
    let bound = office.key(&json!({ "role": "owner", "agents": [agent["data"]["id"]] }));
    for key in [text(&acme, "owner_key"), &bound] {
        for request in [Request::get("/v1/tenants"), Request::post("/v1/tenants", &json!({ "name": "more" }))]
        {
            let refused = office.send(&request.bearer(key));
            assert_eq!((refused.status, refused.json()["code"].as_str()), (403, Some("access.operator")));
        }
    }
    let listed = office.get_as_owner("/v1/tenants").json()["data"].clone();
    let names: Vec<_> = listed.as_array().unwrap().iter().map(|row| text(row, "id")).collect();
    assert_eq!(names, ["acme", "default"]);
    assert_ne!(listed[0]["issuer"], listed[1]["issuer"]);
    assert_eq!(listed[0]["issuer"], acme["issuer"]);
    assert!(!listed.to_string().contains(text(&acme, "owner_key")));
    let log = office.get_as_owner("/v1/audit-log?event_type=tenant.create&affected_id=acme").json();
    let outcomes: Vec<_> = log["data"].as_array().unwrap().iter().map(|row| text(row, "outcome")).collect();
    assert_eq!(outcomes, ["refused", "done"]);
    // Without the root's key nothing is made, and the answer says what to do.
    let key = desk.path(".kakunin/root/root.key.pem");
    fs::rename(&key, desk.path("root.key.pem")).unwrap();
    let refused = office.post("/v1/tenants", &json!({ "name": "more" }));
    assert_eq!((refused.status, refused.json()["code"].as_str()), (409, Some("tenant.root")));
    assert!(refused.text().contains("kakunin tenant create more"), "{}", refused.text());
    assert_eq!(office.get_as_owner("/v1/tenants").json()["data"].as_array().unwrap().len(), 2);
    assert_eq!(office.end(), Some(0));
}

#[test]
fn a_tenant_whose_first_lists_are_late_has_an_owner_and_its_lists_later() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    // Where its folder would be there is something else.
    let folder = desk.path(".kakunin/public/tenants");
    fs::write(&folder, "").unwrap();
    let made = office.post("/v1/tenants", &json!({ "name": "acme" }));
    assert_eq!(made.status, 201, "{}", made.text());
    let made = made.json()["data"].clone();
    assert_eq!((&made["id"], &made["list_number"]), (&json!("acme"), &Value::Null));
    assert_eq!(text(&made, "chain_pem").matches("BEGIN CERTIFICATE").count(), 2);
    // It is there, and belongs to somebody.
    let taken = office.post("/v1/tenants", &json!({ "name": "acme" }));
    assert_eq!(taken.json()["code"], "tenant.taken");
    fs::remove_file(&folder).unwrap();
    // The service tries again by itself.
    let start = std::time::Instant::now();
    while office.get("/v1/crl?tenant=acme").status != 200 {
        assert!(start.elapsed() < std::time::Duration::from_secs(120), "it stays without");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let keys = office.send(&Request::get("/v1/keys").bearer(text(&made, "owner_key")));
    assert_eq!(keys.status, 200, "{}", keys.text());
    assert_eq!(keys.json()["data"].as_array().unwrap().len(), 1);
    assert_eq!(office.get_as_owner("/v1/tenants").json()["data"].as_array().unwrap().len(), 2);
}

#[test]
fn everyone_reads_what_is_of_a_tenant_by_its_name_or_its_issuer() {
    let desk = Desk::with_billing();
    let office = Office::open(&desk);
    let acme = founded(&office, "acme");
    let issuer = text(&acme, "issuer");
    for path in ["/v1/ca", "/v1/ca/chain", "/v1/crl", "/v1/crl/all"] {
        let read = |query: &str| office.get(&format!("{path}{query}"));
        let (plain, named) = (read(""), read("?tenant=acme"));
        assert_eq!((plain.status, named.status), (200, 200));
        assert_eq!(read(&format!("?issuer={issuer}")).body, named.body, "{path}");
        assert_eq!(read("?tenant=default").body, plain.body, "{path}");
        assert_ne!(plain.body, named.body, "{path}");
        for unknown in ["?tenant=nobody", "?tenant=A/B", &format!("?issuer={}", "0".repeat(64))] {
            assert_eq!(read(unknown).status, 404, "{path}{unknown}");
        }
        for wrong in ["?issuer=zz", &format!("?tenant=acme&issuer={issuer}"), "?tenant=acme&tenant=default"] {
            assert_eq!(read(wrong).status, 400, "{path}{wrong}");
        }
    }
    // What a guard of the tenant needs: the root's list and its own, the same as in the home.
    let lists = office.get("/v1/crl/all?tenant=acme").text();
    assert_eq!(lists.matches("BEGIN X509 CRL").count(), 2);
    assert_eq!(lists, fs::read_to_string(desk.path(".kakunin/public/tenants/acme/lists.pem")).unwrap());
    assert_eq!(
        office.get("/v1/crl/all").text(),
        fs::read_to_string(desk.path(".kakunin/public/lists.pem")).unwrap()
    );
}

#[test]
fn a_revocation_reaches_the_feed_of_its_tenant_and_no_other() {
    let desk = Desk::with_billing();
    desk.yes(&["tenant", "create", "acme"]);
    let them = ["--tenant", "acme"];
    let create = ["agent", "create", "clerk", "--scope", "scope.toml", "--out", "agents/clerk"];
    desk.yes(&[&create[..], &them].concat());
    let key = desk.yes(&["tenant", "key", "acme"])["owner_key"].as_str().unwrap().to_owned();
    let office = Office::open(&desk);
    let acme = House { office: &office, owner: key };
    let (mut ours, our_serial) = Watcher::of(&office, "billing");
    let (mut theirs, their_serial) = Watcher::as_of(&office, "clerk", &acme.owner, "?tenant=acme");
    assert_ne!(ours.issuer(), theirs.issuer());
    let mut our_stream = Listener::open(&office, &ours.question("/v1/feed", 0));
    let mut their_stream = Listener::open(&office, &theirs.question("/v1/feed", 0));
    let gone = acme.post("/v1/agents/clerk/revoke", &json!({ "reason": "drill" }));
    assert_eq!((&gone["epoch"], &gone["issuer"]), (&json!(1), &json!(theirs.issuer())));
    theirs.listen(&mut their_stream, 1);
    assert_eq!(theirs.standing(&their_serial), kakunin_core::revocation::Standing::Revoked);
    // The first change that the others hear of is their own.
    assert_eq!(office.post("/v1/agents/billing/suspend", &json!({})).json()["data"]["epoch"], 1);
    ours.listen(&mut our_stream, 1);
    assert_eq!(ours.standing(&our_serial), kakunin_core::revocation::Standing::Held);
    assert_eq!(theirs.epoch(), 1);
    let number = |path: &str| office.get(path).header("x-crl-number").parse::<u64>().unwrap();
    let before = (number("/v1/crl"), number("/v1/crl?tenant=acme"));
    office.post("/v1/agents/billing/resume", &json!({}));
    assert_eq!((number("/v1/crl"), number("/v1/crl?tenant=acme")), (before.0 + 1, before.1));
    // Nobody says in one tenant how far the feed of another is enforced.
    let ack = |issuer: &str| {
        let body = json!({ "issuer": issuer, "epoch": 1, "agent": "billing" });
        let reply = office.post("/v1/feed/ack", &body);
        (reply.status, reply.json()["code"].as_str().map(str::to_owned))
    };
    assert_eq!(ack(&theirs.issuer()), ack(&"0".repeat(64)));
    assert_eq!(ack(&theirs.issuer()), (404, Some("feed.issuer".into())));
    assert_eq!(ack(&ours.issuer()).0, 200);
}

#[test]
fn an_agent_proves_itself_by_its_own_tenants_issuer() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    let acme = founded(&office, "acme");
    let house = House { office: &office, owner: text(&acme, "owner_key").to_owned() };
    let (things, robot) = house.furnish("clerk");
    let renew =
        |robot: &Robot, who: &str| robot.send(Request::post(&format!("/v1/agents/{who}/renew"), &json!({})));
    let renewed = renew(&robot, &things.agent);
    assert_eq!(renewed.status, 201, "{}", renewed.text());
    let papers = renewed.json()["data"].clone();
    assert_eq!(
        text(&papers, "chain_pem"),
        text(&robot.papers, "chain_pem").split_inclusive("END CERTIFICATE-----\n").next().unwrap()
    );
    let lists = office.get("/v1/crl/all?tenant=acme").text();
    assert_eq!(text(&papers, "lists_pem"), lists);
    // By a token, too: it leads to the one root, and to the tenant's issuer.
    let token = house.post("/v1/agents/clerk/tokens", &json!({}));
    let csr = request_pem(&new_key()).unwrap();
    let enrol = Request::post("/v1/agents/clerk/enrol", &json!({ "csr": csr })).bearer(text(&token, "token"));
    let enrolled = office.send(&enrol).json()["data"].clone();
    assert_eq!(text(&enrolled, "chain_pem"), text(&papers, "chain_pem"));
    // In another tenant there is no such agent, and no such token.
    let (_, ours) = House { office: &office, owner: office.owner().to_owned() }.furnish("billing");
    assert_eq!(renew(&ours, &things.agent).status, 404);
    assert_eq!(renew(&robot, "billing").status, 404);

    // A certificate that the records have under another tenant's issuer proves nothing.
    office.kill();
    let records = Connection::open(desk.path(".kakunin/store.sqlite")).unwrap();
    let moved = records.execute(
        "UPDATE certificates SET issuer = 1 WHERE agent = (SELECT id FROM agents WHERE name = 'clerk')",
        [],
    );
    assert!(moved.unwrap() >= 3);
    drop(records);
    let office = Office::open(&desk);
    let robot = Robot::with(&office, robot.signer.clone(), papers.clone());
    let refused = renew(&robot, &things.agent);
    assert_eq!((refused.status, refused.json()["code"].as_str()), (401, Some("certificate.untrusted")));
}

#[test]
fn a_key_of_a_tenant_without_an_issuing_authority_is_nobodys() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    let foreign = office.key(&json!({ "role": "owner" }));
    let (owner, prefix) = (office.owner().to_owned(), foreign.split('_').nth(2).unwrap().to_owned());
    office.kill();
    // Another program made it so.
    let records = Connection::open(desk.path(".kakunin/store.sqlite")).unwrap();
    records.execute_batch("INSERT INTO tenants (id, created) VALUES ('other', 0)").unwrap();
    records.execute("UPDATE api_keys SET tenant = 'other' WHERE prefix = ?1", [&prefix]).unwrap();
    drop(records);
    let mut office = Office::open(&desk);
    office.ready.as_object_mut().unwrap().insert("owner_key".into(), owner.into());
    for path in ["/v1/agents", "/v1/keys", "/v1/tenants"] {
        let refused = office.send(&Request::get(path).bearer(&foreign));
        assert_eq!((refused.status, refused.json()["code"].as_str()), (401, Some("access.key")), "{path}");
    }
    assert_eq!(office.post("/v1/tenants", &json!({ "name": "other" })).json()["code"], "tenant.taken");
}

#[test]
fn a_feed_whose_records_are_damaged_keeps_no_other_tenant_from_being_served() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    let acme = founded(&office, "acme");
    let theirs = House { office: &office, owner: text(&acme, "owner_key").to_owned() };
    let (things, _) = theirs.furnish("theirs");
    let held = theirs.post(&format!("/v1/agents/{}/suspend", things.name), &json!({}));
    let (issuer, owner) = (text(&held, "issuer").to_owned(), office.owner().to_owned());
    assert_eq!(office.end(), Some(0));
    let store = Connection::open(desk.path(".kakunin/store.sqlite")).unwrap();
    assert_eq!(store.execute("UPDATE feed SET item = 'no item' WHERE issuer = 2", []).unwrap(), 1);
    drop(store);

    let office = Office::open(&desk);
    office.logs(&["feed.not_sent"]);
    let poll = |issuer: &str| {
        let query = format!("issuer={issuer}&since=0&nonce={}", "07".repeat(16));
        office.get(&format!("/v1/feed/poll?{query}")).status
    };
    assert_ne!(poll(&issuer), 200, "a feed that is not whole");
    let ours = House { office: &office, owner };
    let (things, _) = ours.furnish("ours");
    let held = ours.post(&format!("/v1/agents/{}/suspend", things.name), &json!({}));
    assert_eq!((held["epoch"].as_u64(), poll(text(&held, "issuer"))), (Some(1), 200));
}
