//! The audit log and chains of agents in files: whole, and checked by somebody who has the root and nothing else.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;

use kakunin_core::certificate::{AgentCertificate, TrustAnchors};
use kakunin_core::chain::CallContext;
use kakunin_core::guard::{Guard, GuardOptions, ProofOfPossession};
use kakunin_core::home::AgentHome;
use kakunin_core::journal::{StreamReader, locate};
use kakunin_core::request::ActionRequest;
use kakunin_core::scope::NameLists;
use serde_json::{Value, json};

use super::office::Office;
use super::robot::now;
use super::web::Request;
use crate::desk::{Desk, texts};

/// An authority with some orders behind it, and its export.
fn exported(office: &Office<'_>) -> String {
    let scope = json!({ "actions": ["read:*"] });
    for name in ["one", "two"] {
        assert_eq!(office.post("/v1/agents", &json!({ "name": name, "scope": scope })).status, 201);
        let held = office.post(&format!("/v1/agents/{name}/suspend"), &json!({ "reason": "=1+1,\"\r\nx" }));
        assert_eq!(held.status, 200, "{}", held.text());
    }
    assert_eq!(office.post("/v1/agents", &json!({ "name": "one", "scope": scope })).status, 409);
    let reply = office.get_as_owner("/v1/audit-log/export");
    assert_eq!((reply.status, reply.header("content-type")), (200, "application/x-ndjson"));
    assert!(reply.header("content-disposition").contains("attachment"));
    chunks(&reply.body)
}

/// Takes the framing of HTTP/1.1 away.
fn chunks(body: &[u8]) -> String {
    let (mut rest, mut out) = (body, Vec::new());
    while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
        let (head, chunk) = rest.split_at(end);
        let size = usize::from_str_radix(std::str::from_utf8(head).unwrap(), 16).unwrap();
        let (chunk, next) = chunk.split_at(2).1.split_at(size);
        out.extend_from_slice(chunk);
        if size == 0 {
            break;
        }
        rest = next.split_at(2).1;
    }
    String::from_utf8(out).unwrap()
}

fn verify(desk: &Desk, text: &str, more: &[&str]) -> (i32, Value) {
    fs::write(desk.path("export"), text).unwrap();
    let arguments = ["audit", "verify", "export", "--root", ".kakunin/public/ca.pem", "--json"];
    let output = desk.run(&[&arguments, more].concat());
    let (out, _) = texts(&output);
    (output.status.code().unwrap(), serde_json::from_str(out.lines().next().unwrap_or("null")).unwrap())
}

#[test]
fn an_export_holds_and_one_that_was_changed_anywhere_does_not() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    let text = exported(&office);
    let (code, checked) = verify(&desk, &text, &[]);
    assert_eq!(code, 0, "{checked}");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(checked["shown"], lines.len() - 2);
    assert_eq!(checked["withheld"], 0);

    let joined = |lines: &[&str]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    for at in 0..lines.len() {
        let mut without = lines.clone();
        without.remove(at);
        let mut twice = lines.clone();
        twice.insert(at, lines[at]);
        let mut tried = vec![joined(&without), joined(&twice), joined(&lines[..at])];
        if at + 1 < lines.len() {
            let mut moved = lines.clone();
            moved.swap(at, at + 1);
            tried.push(joined(&moved));
        }
        // One digit or letter of the line, each place of it in turn would be thousands of runs.
        for (place, letter) in
            lines[at].char_indices().filter(|(_, letter)| letter.is_ascii_alphanumeric()).step_by(101)
        {
            let other = if letter == '1' { '2' } else { '1' };
            let mut line = lines[at].to_owned();
            line.replace_range(place..=place, &other.to_string());
            let mut changed = lines.clone();
            changed[at] = &line;
            tried.push(joined(&changed));
        }
        for wrong in tried {
            let (code, answer) = verify(&desk, &wrong, &[]);
            assert_eq!(code, 1, "line {at}: {answer}");
        }
    }
    for cut in [text.len() - 1, text.len() / 2, 1, 0] {
        assert_eq!(verify(&desk, text.split_at(cut).0, &[]).0, 1, "cut at {cut}");
    }
    // What is taken out and said to be withheld is missing in what was signed.
    let row: Value = serde_json::from_str(lines[2]).unwrap();
    let hidden = json!({ "withheld": row["number"], "count": 1, "hash": row["hash"] }).to_string();
    let mut without = lines.clone();
    without[2] = &hidden;
    assert_eq!(verify(&desk, &joined(&without), &[]).0, 1);
}

#[test]
fn an_export_of_another_authority_and_of_another_history_is_none() {
    let (desk, other) = (Desk::empty(), Desk::empty());
    let office = Office::open(&desk);
    let first = exported(&office);
    let second = chunks(&office.get_as_owner("/v1/audit-log/export").body);
    fs::write(desk.path("earlier"), &first).unwrap();
    let (code, answer) = verify(&desk, &second, &["--after", "earlier"]);
    assert_eq!(code, 0, "{answer}");
    // The older one does not go through the end of the newer one.
    fs::write(desk.path("earlier"), &second).unwrap();
    assert_eq!(verify(&desk, &first, &["--after", "earlier"]).0, 2);
    // An authority that began anew under the same keys would have another history; here it is another root altogether.
    let stranger = Office::open(&other);
    let foreign = exported(&stranger);
    assert_eq!(verify(&desk, &foreign, &[]).0, 1);
    assert_eq!(verify(&other, &foreign, &[]).0, 0);
}

#[test]
fn of_what_was_not_asked_for_the_hashes_are_there_and_the_words_are_not() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    exported(&office);
    let text =
        chunks(&office.get_as_owner("/v1/audit-log/export?event_type=agent.suspend&actor_type=api_key").body);
    let (code, checked) = verify(&desk, &text, &[]);
    assert_eq!(code, 0, "{checked}");
    assert_eq!((&checked["shown"], &checked["event_type"]), (&4.into(), &"agent.suspend".into()));
    assert!(!text.contains("agent.create") && text.contains("\"withheld\""), "{text}");
    for wrong in ["format=xml", "from=yesterday", "actor_type=king", "limit=1"] {
        assert_eq!(office.get_as_owner(&format!("/v1/audit-log/export?{wrong}")).status, 400, "{wrong}");
    }
    // The order stands in the log.
    let log = office.get_as_owner("/v1/audit-log?event_type=audit.export&actor_type=api_key").json();
    assert_eq!(log["data"].as_array().unwrap().len(), 2, "{log}");
    let nobody = office.get_as_owner("/v1/audit-log?actor_type=token").json();
    assert_eq!(nobody["data"], json!([]));
}

#[test]
fn an_export_without_its_words_verifies_and_hides_them() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    let whole = exported(&office);
    assert!(whole.contains("=1+1") && whole.contains("127.0.0.1"), "{whole}");
    let ask = |query: &str| chunks(&office.get_as_owner(&format!("/v1/audit-log/export?{query}")).body);
    let text = ask("without=text,address");
    assert!(
        !text.contains("=1+1") && !text.contains("127.0.0.1") && text.contains("agent.suspend"),
        "{text}"
    );
    let (code, checked) = verify(&desk, &text, &[]);
    assert_eq!((code, &checked["without"]), (0, &json!(["text", "address"])), "{checked}");
    assert_eq!(checked["withheld"], 0);
    // Neither is the salt in it from which those of the values are made.
    let store = rusqlite::Connection::open(desk.path(".kakunin/store.sqlite")).unwrap();
    let mut salts = store.prepare("SELECT lower(hex(salt)) FROM audit").unwrap();
    for salt in salts.query_map([], |row| row.get::<_, String>(0)).unwrap() {
        assert!(!text.contains(&salt.unwrap()));
    }
    // A commitment that was changed, a value that was put in its place, one that is left out without saying so.
    let lines: Vec<&str> = text.lines().collect();
    let row = lines.iter().position(|line| line.contains("agent.suspend")).unwrap();
    let shown: Value = serde_json::from_str(lines[row]).unwrap();
    let hidden = shown["text"]["hidden"].as_str().unwrap();
    let salt = shown["subject"]["salt"].as_str().unwrap();
    let words = json!({ "value": "nothing", "salt": salt }).to_string();
    for (from, to) in [
        (hidden, "0".repeat(64)),
        (&json!({ "hidden": hidden }).to_string(), words),
        (r#""without":["text","address"]"#, r#""without":["text"]"#.into()),
        (r#""audit_export":2"#, r#""audit_export":1"#.into()),
    ] {
        assert!(text.contains(from), "{from}");
        assert_eq!(verify(&desk, &text.replacen(from, &to, 1), &[]).0, 1, "{from}");
    }
    let spreadsheet = ask("without=text,actor&format=csv");
    assert_eq!(verify(&desk, &spreadsheet, &[]).0, 0);
    assert!(!spreadsheet.contains("1+1"), "{spreadsheet}");
    for wrong in ["without=words", "without=text,text", "without=,", "without=what"] {
        assert_eq!(office.get_as_owner(&format!("/v1/audit-log/export?{wrong}")).status, 400, "{wrong}");
    }
    // The same at the home.
    assert_eq!(office.end(), Some(0));
    desk.yes(&["audit", "export", "--without", "text", "--without", "actor", "--out", "home.jsonl"]);
    let checked = desk.yes(&["audit", "verify", "home.jsonl", "--root", ".kakunin/public/ca.pem"]);
    assert_eq!(checked["without"], json!(["actor", "text"]));
    assert!(!fs::read_to_string(desk.path("home.jsonl")).unwrap().contains("=1+1"));
}

/// `tests/old/audit-1` was written by `kakunin audit export` of the last program that wrote version 1, in a home made for it.
#[test]
fn exports_of_the_first_version_still_verify_and_changed_ones_do_not() {
    let desk = Desk::empty();
    let old = |name: &str| {
        fs::read_to_string(format!("{}/tests/old/audit-1/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    };
    fs::write(desk.path("old.pem"), old("ca.pem")).unwrap();
    let look = |text: &str, code: i32| {
        fs::write(desk.path("old"), text).unwrap();
        desk.answer(&["audit", "verify", "old", "--root", "old.pem"], code)
    };
    let whole = look(&old("export.jsonl"), 0);
    assert_eq!((&whole["shown"], &whole["withheld"], &whole["without"]), (&json!(15), &json!(0), &json!([])));
    let chosen = look(&old("chosen.jsonl"), 0);
    assert_eq!((&chosen["shown"], chosen["withheld"].as_u64() > Some(8)), (&json!(4), true), "{chosen}");
    look(&old("export.csv"), 0);
    for name in ["export.jsonl", "chosen.jsonl", "export.csv"] {
        let text = old(name);
        assert!(text.contains("drift"));
        look(&text.replacen("drift", "draft", 1), 1);
    }
    // Nor is it one of the second version by saying so.
    look(&old("export.jsonl").replace("\"audit_export\":1", "\"audit_export\":2"), 1);
}

#[test]
fn a_spreadsheet_of_it_is_signed_and_obeys_nothing() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    exported(&office);
    let reply = office.get_as_owner("/v1/audit-log/export?format=csv");
    assert_eq!(reply.header("content-type"), "text/csv; charset=utf-8");
    let text = chunks(&reply.body);
    let (code, checked) = verify(&desk, &text, &[]);
    assert_eq!(code, 0, "{checked}");
    assert!(text.contains("\"'=1+1,\"\"\r\nx\""), "{text}");
    for (from, to) in [("agent.suspend", "agent.resume"), ("\r\n2,", "\r\n9,"), ("end,", "end,1")] {
        assert!(text.contains(from));
        assert_eq!(verify(&desk, &text.replacen(from, to, 1), &[]).0, 1, "{from}");
    }
    assert_eq!(verify(&desk, text.split_at(text.len() - 30).0, &[]).0, 1);
}

#[test]
fn a_log_that_was_changed_in_the_records_is_not_signed_for() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    exported(&office);
    let store = rusqlite::Connection::open(desk.path(".kakunin/store.sqlite")).unwrap();
    store.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
    let named = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit'";
    let triggers: Vec<String> =
        store.prepare(named).unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    // Whoever can write into the file can do that, too.
    for trigger in triggers {
        store.execute_batch(&format!("DROP TRIGGER {trigger}")).unwrap();
    }
    store.execute("UPDATE audit SET text = 'nothing happened' WHERE number = 3", []).unwrap();
    let reply = Request::get("/v1/audit-log/export").bearer(office.owner());
    let body = office.send(&reply).body;
    assert!(!String::from_utf8_lossy(&body).contains("statement"));
    office.logs(&["audit.export_ended"]);
}

/// Lets two agents work in one chain, and gives the chain with the lines of their journals.
fn chained(desk: &Desk) -> (String, Vec<String>) {
    let open = |agent: &str| {
        let home = AgentHome::open(&desk.path(&format!("agents/{agent}")), None).unwrap();
        Guard::open(home, GuardOptions::default()).unwrap()
    };
    let (asks, works) = (open("billing"), open("clerk"));
    let chain = Guard::new_chain().unwrap();
    let begun = CallContext { chain: Some(chain), ..CallContext::default() };
    let asking = asks.admit_in(&ActionRequest::new("read:file"), &begun).unwrap().begin().unwrap();
    let link = asking.link().unwrap();
    works.admit_in(&ActionRequest::new("read:file"), &link.context()).unwrap().begin().unwrap().returned();
    asking.returned();
    // And something that has nothing to do with it.
    works.admit(&ActionRequest::new("read:other")).unwrap().begin().unwrap().returned();
    asks.close();
    works.close();
    let lines = ["billing", "clerk"].into_iter().flat_map(|agent| {
        let journal = locate(&desk.path(&format!("agents/{agent}"))).unwrap();
        let streams = StreamReader::streams(&journal).unwrap();
        let entries = streams.into_iter().flatten().map(Result::unwrap);
        entries.map(|entry| entry.to_log_entry().unwrap()).collect::<Vec<_>>()
    });
    (chain.to_string(), lines.collect())
}

#[test]
fn a_chain_of_several_agents_is_exported_from_a_service_and_a_stranger_verifies_it() {
    let desk = Desk::with_billing();
    desk.yes(&["agent", "create", "clerk", "--scope", "scope.toml", "--out", "agents/clerk"]);
    let (chain, lines) = chained(&desk);
    let office = Office::open(&desk);
    let ingest = office.key(&json!({ "role": "ingest" }));
    let sent = office.send(&super::ingest::request(&ingest, &lines));
    assert_eq!(sent.status, 200, "{}", sent.text());
    let auditor = office.key(&json!({ "role": "auditor" }));
    let give = |key: &str, arguments: &[&str]| {
        let arguments = [&["export", "--url", office.url(), "--json"], arguments].concat();
        let output = desk.command(&arguments).env("KAKUNIN_TOKEN", key).output().unwrap();
        let (out, text) = texts(&output);
        (output.status.code(), serde_json::from_str::<Value>(&out).unwrap_or_default(), text)
    };
    let (done, shown, text) = give(&auditor, &["--chain", &chain, "--out", "chain.zip"]);
    assert_eq!(done, Some(0), "{text}");
    let length = std::fs::metadata(desk.path("chain.zip")).unwrap().len();
    assert_eq!(shown["bytes"], length);
    // What a stranger says of it: authentic, as far as it was not in a log.
    let verify = |file: &str| desk.answer(&["verify", file, "--root", ".kakunin/public/ca.pem"], 3);
    let whole = verify("chain.zip");
    let agents = |answer: &Value| answer["streams"].as_array().unwrap().len();
    assert_eq!(agents(&whole), 2, "{whole}");
    // Of one agent, of the chain and at all.
    assert_eq!(give(&auditor, &["--chain", &chain, "--agent", "clerk", "--out", "clerk.zip"]).0, Some(0));
    assert_eq!(agents(&verify("clerk.zip")), 1);
    assert_eq!(give(&auditor, &["--agent", "clerk", "--out", "all.zip"]).0, Some(0));
    assert!(
        std::fs::metadata(desk.path("all.zip")).unwrap().len()
            > std::fs::metadata(desk.path("clerk.zip")).unwrap().len()
    );
    // A key for one agent exports what that one sent.
    let id = office.get_as_owner("/v1/agents/clerk").json()["data"]["id"].clone();
    let bound = office.key(&json!({ "role": "auditor", "agents": [id] }));
    assert_eq!(give(&bound, &["--chain", &chain, "--out", "bound.zip"]).0, Some(0));
    assert_eq!(agents(&verify("bound.zip")), 1);
    // A file that somebody put where it is written first is not written through, and nobody who has it open reads along.
    std::fs::write(desk.path("victim"), "untouched").unwrap();
    std::os::unix::fs::symlink(desk.path("victim"), desk.path("planted.zip.part")).unwrap();
    std::fs::write(desk.path("open.zip.part"), "mine").unwrap();
    std::fs::set_permissions(desk.path("open.zip.part"), fs::Permissions::from_mode(0o666)).unwrap();
    let mut reader = fs::File::open(desk.path("open.zip.part")).unwrap();
    for out in ["planted.zip", "open.zip"] {
        let (done, _, text) = give(&auditor, &["--chain", &chain, "--out", out]);
        assert_eq!(done, Some(0), "{text}");
        let mode = fs::symlink_metadata(desk.path(out)).unwrap();
        assert_eq!((mode.is_file(), mode.permissions().mode() & 0o777), (true, 0o600), "{out}");
        assert_eq!(agents(&verify(out)), 2);
    }
    assert_eq!(fs::read_to_string(desk.path("victim")).unwrap(), "untouched");
    let mut seen = String::new();
    reader.read_to_string(&mut seen).unwrap();
    assert_eq!(seen, "mine");
    // Nothing is nothing, and no file is left of it.
    let nobodys = "00112233445566778899aabbccddeeff";
    let (done, _, text) = give(&auditor, &["--chain", nobodys, "--out", "none.zip"]);
    assert!(done == Some(1) && text.contains("[bundle.empty, request "), "{text}");
    let (done, _, text) = give(&ingest, &["--chain", &chain, "--out", "none.zip"]);
    assert!(done == Some(1) && text.contains("[access.role"), "{text}");
    assert!(!desk.path("none.zip").exists() && !desk.path("none.zip.part").exists());
    for wrong in
        [&["--out", "x.zip"][..], &["--chain", &chain, "--journal", "agents/clerk", "--out", "x.zip"]]
    {
        assert_eq!(give(&auditor, wrong).0, Some(64), "{wrong:?}");
    }
    let log = office.get_as_owner("/v1/audit-log?event_type=chain.bundle").json();
    assert!(log["data"].as_array().unwrap().len() >= 3, "{log}");
}

/// Lets the agent `clerk` ask `billing` as a gateway, and gives the lines of the gateway's journal.
fn asked(desk: &Desk) -> Vec<String> {
    let home = |agent: &str| AgentHome::open(&desk.path(&format!("agents/{agent}")), None).unwrap();
    let gateway = Guard::open(home("billing"), GuardOptions::default()).unwrap();
    let papers = home("clerk").papers().unwrap();
    let anchors = TrustAnchors::new(papers.roots.iter().map(Vec::as_slice)).unwrap();
    let caller = AgentCertificate::decode(&papers.agent).unwrap();
    let path = caller.verify_path(papers.chain.iter().map(Vec::as_slice), &anchors, now()).unwrap();
    let judged = gateway.judge(&path, &NameLists::default()).unwrap();
    let request = ActionRequest::new("read:file");
    let pass =
        gateway.admit_caller(&judged, ProofOfPossession::Tls, &request, &CallContext::default()).unwrap();
    pass.begin().unwrap().returned();
    gateway.close();
    let journal = locate(&desk.path("agents/billing")).unwrap();
    let streams = StreamReader::streams(&journal).unwrap();
    let entries = streams.into_iter().flatten().map(Result::unwrap);
    entries.map(|entry| entry.to_log_entry().unwrap()).collect()
}

#[test]
fn a_key_for_a_gateway_gets_no_certificates_of_those_who_asked_it() {
    let desk = Desk::with_billing();
    desk.yes(&["agent", "create", "clerk", "--scope", "scope.toml", "--out", "agents/clerk"]);
    let lines = asked(&desk);
    let pem = fs::read_to_string(desk.path("agents/clerk/agent.pem")).unwrap();
    // The first line of it, which has the serial number; what follows, the issuer, is in others too.
    let certificate = pem.lines().nth(1).unwrap().as_bytes();
    assert_eq!(certificate.len(), 64, "{pem}");
    let office = Office::open(&desk);
    let ingest = office.key(&json!({ "role": "ingest" }));
    let sent = office.send(&super::ingest::request(&ingest, &lines));
    assert_eq!(sent.status, 200, "{}", sent.text());
    let id = |name: &str| office.get_as_owner(&format!("/v1/agents/{name}")).json()["data"]["id"].clone();
    let (gateway, caller) = (id("billing"), id("clerk"));
    let holds = |agents: Option<Vec<&Value>>| {
        let mut order = json!({ "role": "auditor" });
        if let Some(agents) = agents {
            order["agents"] = json!(agents);
        }
        let bundle = Request::get("/v1/agents/billing/forensics?format=zip").bearer(&office.key(&order));
        let reply = office.send(&bundle);
        assert_eq!(reply.status, 200, "{}", reply.text());
        fs::write(desk.path("incident.zip"), &reply.body).unwrap();
        // What is stored in it is not pressed.
        let has = reply.body.windows(certificate.len()).any(|octets| octets == certificate);
        let verdict = desk.run(&["verify", "incident.zip", "--root", ".kakunin/public/ca.pem"]);
        let (out, _) = texts(&verdict);
        (has, out.contains("receipt.caller"), verdict.status.code())
    };
    assert_eq!(holds(None), (true, false, Some(3)));
    assert_eq!(holds(Some(vec![&gateway, &caller])), (true, false, Some(3)));
    // It reads what the gateway's agent sent, and of its caller no more than the receipt says; the verifier misses the rest.
    assert_eq!(holds(Some(vec![&gateway])), (false, true, Some(1)));
}
