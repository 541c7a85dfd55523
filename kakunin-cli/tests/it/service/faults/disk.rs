//! A disk that fills up under a service, and has room again later.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use kakunin_authority::store::Place;
use kakunin_core::certificate::{CaCertificate, CaRole, request_pem};
use kakunin_core::journal::Sealing;
use kakunin_core::revocation::Standing;
use serde_json::{Value, json};

use super::super::ingest::{counts, request, work};
use super::super::listener::{Listener, ders};
use super::super::office::{Office, wait};
use super::super::robot::new_key;
use super::super::web::{Reply, Request};
use super::kills::Crew;
use super::told::Told;
use crate::desk::Desk;

/// A service whose home is a disk of 128 MiB of its own; `None` where none can be mounted: then a test shows nothing.
fn small_disk(desk: &Desk) -> Option<Office<'_>> {
    match on_a_disk(desk, "true")? {
        Ok(office) => Some(office),
        Err(text) => {
            assert!(text.is_empty(), "the service ended: {text}");
            None
        }
    }
}

/// The same, or what the service says as it ends; before it begins, `prepare` is done to the disk.
fn on_a_disk<'d>(desk: &'d Desk, prepare: &str) -> Option<Result<Office<'d>, String>> {
    let served = Office::command(desk, &[]);
    let home = desk.path(".kakunin");
    // What is there already moves to the small disk.
    let mounted = format!(
        "cp -a \"$0\" \"$0.kept\" && mount -t tmpfs -o size=128m,mode=700 none \"$0\" && cp -a \"$0.kept/.\" \"$0\" && {prepare} && exec \"$@\""
    );
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", &mounted]).arg(&home).arg(served.get_program()).args(served.get_args());
    command.current_dir(desk.path(""));
    match Office::try_open_by(desk, command) {
        Err(text) if text.contains("unshare: ") || text.contains("mount: ") => {
            eprintln!("SKIPPED: no small disk can be mounted here: {text}");
            None
        }
        opened => Some(opened),
    }
}

/// What takes all the room that is left.
struct Ballast(PathBuf);

impl Ballast {
    fn of(office: &Office<'_>) -> Self {
        Self(office.inside(".kakunin/ballast"))
    }

    fn fill(&self) {
        let mut file = File::options().create(true).append(true).open(&self.0).unwrap();
        for size in [1 << 20, 4096, 1] {
            while file.write_all(&vec![1; size]).is_ok() {}
        }
    }

    fn remove(&self) {
        fs::remove_file(&self.0).unwrap();
    }
}

fn code(reply: &Reply) -> (u16, String) {
    (reply.status, reply.json().get("code").and_then(Value::as_str).unwrap_or("yes").to_owned())
}

fn issuing(desk: &Desk) -> CaCertificate {
    let chain = fs::read(desk.path("agents/billing/chain.pem")).unwrap();
    CaCertificate::decode(ders(&chain).first().unwrap(), CaRole::Issuing).unwrap()
}

/// Its records as they are while nobody writes: SQLite would look for them on the disk below.
fn records(office: &Office<'_>) -> Place {
    for end in ["", "-wal"] {
        let name = format!("store.sqlite{end}");
        fs::copy(office.inside(&format!(".kakunin/{name}")), office.path(&name)).unwrap();
    }
    Place::File(office.path("store.sqlite"))
}

/// Waits until the service has its room again.
fn has_room(office: &Office<'_>) {
    wait("there is room again", || {
        (office.get("/ready").json().get("status").is_some_and(|status| status == "ready")).then_some(())
    });
}

#[test]
fn a_full_disk_stops_everything_but_suspending_and_revoking_until_there_is_room() {
    let desk = Desk::with_billing();
    let lines = work(&desk, "billing", 8, Sealing::Each);
    let issuing = issuing(&desk);
    let Some(office) = small_disk(&desk) else { return };
    let mut told = Told::default();
    let certify = || json!({ "csr": request_pem(&new_key()).unwrap() });
    for name in ["one", "two"] {
        let order = json!({ "name": name, "scope": { "actions": ["read:*"] } });
        assert_eq!(office.post("/v1/agents", &order).status, 201);
        let issued = office.post(&format!("/v1/agents/{name}/certify"), &certify());
        told.certificate(&issued.json(), "pem");
    }
    let key = office.key(&json!({ "role": "ingest" }));
    let prefix = key.split('_').nth(2).unwrap().to_owned();
    let (some, rest) = lines.split_at(4);
    assert_eq!(counts(&office.send(&request(&key, some))), (200, Some(4), Some(0)));
    assert_eq!(office.get("/ready").json()["status"], "ready");
    let orders = || office.get_as_owner("/v1/audit-log?limit=100").json()["data"].as_array().unwrap().len();
    let before = orders();

    let ballast = Ballast::of(&office);
    ballast.fill();
    let named =
        || Request::post("/v1/agents", &json!({ "name": "three", "scope": { "actions": ["read:*"] } }));
    for refused in [
        office.send(&named().bearer(office.owner())),
        office.send(&named().bearer(office.owner()).header("Idempotency-Key", "a")),
        office.post("/v1/agents/one/certify", &certify()),
        office.post("/v1/agents/one/certify", &json!({})),
        office.post("/v1/agents/one/tokens", &json!({})),
        office.post("/v1/keys", &json!({ "role": "auditor" })),
        office.post("/v1/events", &json!({ "agent_id": "one", "action_type": "api_call" })),
        office.send(&request(&key, rest)),
    ] {
        assert_eq!((code(&refused), refused.header("retry-after")), ((507, "store.full".into()), "10"));
    }
    assert_eq!(orders(), before, "what is refused is not begun");
    // Reads go on, and it says how it is.
    assert_eq!(office.get_as_owner("/v1/agents").json()["meta"]["total"], 3);
    let ready = office.get("/ready");
    assert_eq!((ready.status, &ready.json()["status"]), (200, &json!("limited")), "{}", ready.text());
    assert!(office.get("/metrics").text().contains("\nkakunin_disk_short 1\n"));
    // Taking power away goes on, from the agents and from keys.
    for (agent, order, standing) in [("one", "suspend", "held"), ("two", "revoke", "revoked")] {
        let done = office.post(&format!("/v1/agents/{agent}/{order}"), &json!({ "reason": "drill" }));
        assert_eq!(
            (done.status, &done.json()["data"]["standing"]),
            (200, &json!(standing)),
            "{}",
            done.text()
        );
    }
    assert_eq!(
        office.send(&Request::new("DELETE", &format!("/v1/keys/{prefix}")).bearer(office.owner())).status,
        200
    );
    assert_eq!(office.send(&request(&key, rest)).status, 401);
    let list = told.lists(&office.get("/v1/crl/all").body, &issuing).unwrap();
    let standings: Vec<Standing> = told.serials().iter().map(|serial| list.standing(serial)).collect();
    assert_eq!(standings, [Standing::Held, Standing::Revoked]);
    assert_eq!(code(&office.post("/v1/agents/one/resume", &json!({}))), (507, "store.full".into()));

    ballast.remove();
    has_room(&office);
    assert_eq!(office.send(&named().bearer(office.owner()).header("Idempotency-Key", "a")).status, 201);
    assert_eq!(office.post("/v1/agents/one/resume", &json!({})).status, 200);
    told.certificate(&office.post("/v1/agents/three/certify", &certify()).json(), "pem");
    assert_eq!(
        counts(&office.send(&request(office.owner(), &lines))),
        (200, Some(rest.len() as u64), Some(4))
    );
    told.lists(&office.get("/v1/crl/all").body, &issuing);
    told.is_recorded(&records(&office), &["billing"]);
    assert_eq!(office.end(), Some(0));
}

#[test]
fn a_service_whose_disk_cannot_be_written_does_not_begin_and_says_so() {
    let desk = Desk::with_billing();
    let Some(opened) = on_a_disk(&desk, "mount -o remount,ro \"$0\"") else { return };
    let said = opened.map(drop).unwrap_err();
    assert!(said.contains("Read-only file system") && said.contains(".kakunin/"), "{said}");
}

#[test]
fn a_disk_that_fills_under_load_loses_nothing_that_was_answered() {
    let desk = Desk::with_billing();
    let lines = work(&desk, "billing", 400, Sealing::Each);
    let issuing = issuing(&desk);
    let Some(office) = small_disk(&desk) else { return };
    let address = office.url().strip_prefix("http://").unwrap().to_owned();
    let made =
        office.post("/v1/agents", &json!({ "name": "held", "scope": { "actions": ["read:*"] } })).json();
    let held = made.pointer("/data/id").and_then(Value::as_str).unwrap().to_owned();
    assert_eq!(office.post(&format!("/v1/agents/{held}/certify"), &json!({})).status, 201);
    let (ballast, mut told) = (Ballast::of(&office), Told::default());
    for round in 0..3 {
        let crew = Crew::new(&address, office.owner(), round, &issuing);
        let line = Mutex::new(VecDeque::new());
        let (line, receipts) = (&line, lines.get(told.receipts..).unwrap_or_default());
        thread::scope(|scope| {
            let (crew, held) = (&crew, &held);
            let clients = [
                scope.spawn(move || crew.certify(line)),
                scope.spawn(move || crew.sign(held)),
                scope.spawn(move || crew.enrol()),
                scope.spawn(move || crew.upload(receipts)),
            ];
            wait("the clients are answered", || (crew.answers.load(Relaxed) >= 40).then_some(()));
            ballast.fill();
            // Each goes on until it is refused.
            for client in clients {
                told.add(client.join().unwrap());
            }
        });
        let certified = line.lock().unwrap().clone();
        let mut certified = certified.iter();
        let order = |agent: &str, told: &mut Told| {
            let done = office.post(&format!("/v1/agents/{agent}/revoke"), &json!({ "reason": "drill" }));
            let epoch = done.json().pointer("/data/epoch").and_then(Value::as_u64);
            match epoch {
                Some(epoch) if done.status == 200 => told.orders.push((agent.to_owned(), "revoke", epoch)),
                _ => assert_eq!(code(&done), (507, "store.full".into()), "{}", office.log()),
            }
            done.status
        };
        // The room that is kept for this is enough.
        let first = certified.next().unwrap();
        assert_eq!(order(first, &mut told), 200);
        // Somebody takes even that: what cannot be done is told so, and what was done is told when it can be.
        ballast.fill();
        let all: Vec<&String> = certified.collect();
        for agent in &all {
            order(agent, &mut told);
        }
        ballast.remove();
        has_room(&office);
        for agent in all {
            assert_eq!(order(agent, &mut told), 200);
        }
        let list = told.lists(&office.get("/v1/crl/all").body, &issuing).unwrap();
        told.is_in(&list);
    }
    let question = Crew::new(&address, office.owner(), 9, &issuing).question(0);
    told.events(&Listener::open(&office, &question).rest());
    let kept = lines.get(..told.receipts).unwrap_or_default();
    for kept in kept.chunks(100) {
        let known = counts(&office.send(&request(office.owner(), kept)));
        assert_eq!(known, (200, Some(0), Some(kept.len() as u64)));
    }
    told.is_recorded(&records(&office), &["billing"]);
    assert_eq!(office.end(), Some(0));
}
