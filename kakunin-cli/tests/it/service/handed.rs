//! Evidence that a service hands over, for the gate and for reports: judged like a file, whoever hands it over.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::thread;

use kakunin_core::guard::{Guard, GuardOptions};
use kakunin_core::home::AgentHome;
use kakunin_core::journal::{StreamReader, locate};
use kakunin_core::request::ActionRequest;
use serde_json::{Value, json};

use super::ingest::{counts, request};
use super::office::Office;
use crate::desk::{Desk, texts};

/// The agent's work, its root, a baseline of it, and what the owner of the gate asks for.
struct Release {
    desk: Desk,
    id: String,
}

const ROOT: &str = "agents/billing/ca.pem";

impl Release {
    fn ready() -> Self {
        let desk = Desk::with_billing();
        let id = text(&desk.yes(&["agent", "show", "billing"]), "id").to_owned();
        let release = Self { desk, id };
        release.work("billing", 110, "read:invoices");
        let learnt = release.desk.yes(&["risk", "baseline", "agents/billing", "--out", "baseline.json"]);
        let digest = text(&learnt, "digest");
        let policy = |scope: &str| {
            let approval = format!(
                "[[approve]]\nfrom = \"none\"\nto = \"{scope}\"\nby = \"Ada\"\nuntil = \"2099-01-01T00:00:00Z\"\n"
            );
            fs::write(release.path("gate.toml"), format!("baseline = \"{digest}\"\n{approval}{EXAMPLES}"))
                .unwrap();
        };
        policy(&"0".repeat(64));
        let scope = text(&release.local("agents/billing", 1), "scope").to_owned();
        policy(&scope);
        release
    }

    fn work(&self, agent: &str, calls: usize, action: &str) {
        let home = AgentHome::open(&self.path(&format!("agents/{agent}")), None).unwrap();
        let guard = Guard::open(home, GuardOptions::default()).unwrap();
        for _ in 0..calls {
            guard.admit(&ActionRequest::new(action)).unwrap().begin().unwrap().returned();
        }
        guard.close();
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.desk.path(name)
    }

    /// The service, whose lists guards read as a file, with what the agent did until now.
    fn office(&self) -> Office<'_> {
        let office = Office::open_with(&self.desk, &["--without-feed"]);
        self.upload(&office, "billing");
        office
    }

    fn upload(&self, office: &Office<'_>, agent: &str) {
        let journal = locate(&self.path(&format!("agents/{agent}"))).unwrap();
        let streams = StreamReader::streams(&journal).unwrap();
        let lines: Vec<String> =
            streams.into_iter().flatten().map(|entry| entry.unwrap().to_log_entry().unwrap()).collect();
        for some in lines.chunks(400) {
            assert_eq!(counts(&office.send(&request(office.owner(), some))).0, 200);
        }
    }

    /// The service's bundle of an agent.
    fn bundle(office: &Office<'_>, agent: &str) -> Vec<u8> {
        let reply = office.get_as_owner(&format!("/v1/agents/{agent}/forensics?format=zip"));
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.body
    }

    fn run(&self, arguments: &[&str], token: &str) -> (Option<i32>, Value, String) {
        let arguments = [arguments, &["--json"]].concat();
        let output = self.desk.command(&arguments).env("KAKUNIN_TOKEN", token).output().unwrap();
        let (out, err) = texts(&output);
        (
            output.status.code(),
            serde_json::from_str(out.lines().next().unwrap_or("null")).unwrap_or_default(),
            err,
        )
    }

    /// The gate over files, as it always was.
    fn local(&self, receipts: &str, code: i32) -> Value {
        let papers = ["--certificate", "agents/billing", "--crl", ".kakunin/public/lists.pem"];
        let words = [&["gate", "--receipts", receipts][..], &papers, &TERMS].concat();
        let (ended, answer, text) = self.run(&words, "");
        assert_eq!(ended, Some(code), "{answer:#}{text}");
        answer
    }

    /// The gate over what the service at `url` hands over.
    fn remote(&self, url: &str, more: &[&str], token: &str) -> (Option<i32>, Value) {
        let words = [&["gate", "--url", url][..], &TERMS, more].concat();
        let (code, answer, _) = self.run(&words, token);
        (code, answer)
    }

    /// It must refuse, at `step` as `code`.
    fn refuses(&self, url: &str, exit: i32, step: &str, code: &str) -> Value {
        let (ended, answer) = self.remote(url, &["--agent", &self.id], "k");
        assert_eq!((ended, outcome(&answer, step)), (Some(exit), code.to_owned()), "{answer:#}");
        assert_ne!(text(&answer, "decision"), "pass");
        answer
    }

    /// A report over what the service at `url` hands over.
    fn report(&self, url: &str, agent: &str, out: &str) -> (Option<i32>, Value, String) {
        let words = [
            "report",
            "--framework",
            "csf-2.0",
            "--url",
            url,
            "--agent",
            agent,
            "--root",
            ROOT,
            "--out",
            out,
        ];
        self.run(&words, "k")
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap()
}

/// The code of a check.
fn outcome(answer: &Value, step: &str) -> String {
    let checks = answer.get("checks").and_then(Value::as_array).into_iter().flatten();
    let mut of = checks.filter(|check| text(check, "step") == step);
    of.next().map_or("none", |check| text(check, "code")).to_owned()
}

/// Somebody who answers like a service, in whoever's name.
struct Impostor {
    url: String,
}

impl Impostor {
    /// Answers what begins with a path by this, whoever asks.
    fn with(answers: Vec<(String, Vec<u8>)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut head = String::new();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap_or(0) > 0 {}
                let path = head.split(' ').nth(1).unwrap_or_default();
                let found = answers.iter().find(|(known, _)| path.starts_with(known.as_str()));
                // Whoever asked may be gone.
                let _ = stream
                    .write_all(found.map_or(b"HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n", |(_, it)| it));
            }
        });
        Self { url }
    }

    /// Hands over `bundle` as what it has of the agent, with the certificates that `shown` has.
    fn handing(id: &str, shown: &Value, bundle: &[u8]) -> Self {
        Self::with(vec![
            (format!("/v1/agents/{id}/forensics"), ok(bundle, bundle.len())),
            (format!("/v1/agents/{id}"), ok(shown.to_string().as_bytes(), shown.to_string().len())),
        ])
    }
}

/// An answer of 200 that says to be so long.
fn ok(body: &[u8], length: usize) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").as_bytes(), body].concat()
}

#[test]
fn a_gate_that_asks_the_service_judges_as_over_its_file() {
    let release = Release::ready();
    let office = release.office();
    let auditor = office.key(&json!({ "role": "auditor", "agents": [release.id] }));
    let (code, answer) = release.remote(office.url(), &["--agent", &release.id], &auditor);
    assert_eq!((code, &answer["decision"]), (Some(0), &json!("pass")), "{answer:#}");
    // The file that `kakunin export` takes from there is judged alike, check for check.
    let export = ["export", "--agent", "billing", "--url", office.url(), "--out", "incident.zip"];
    assert_eq!(release.run(&export, &auditor).0, Some(0));
    let local = release.local("incident.zip", 0);
    for name in ["agent", "certificate", "scope", "policy", "calls", "risk"] {
        assert_eq!(answer[name], local[name], "{name}");
    }
    let said = |answer: &Value| {
        let check = |check: &Value| (check["step"].clone(), check["sentence"].clone());
        answer["checks"].as_array().unwrap().iter().map(check).collect::<Vec<_>>()
    };
    assert_eq!(said(&answer), said(&local));
    // A certificate that is given says whose evidence it is.
    let given = ["--certificate", "agents/billing", "--crl", ".kakunin/public/lists.pem"];
    let (code, answer) = release.remote(office.url(), &given, &auditor);
    assert_eq!((code, &answer["calls"]), (Some(0), &json!(110)), "{answer:#}");
    // What it did since, and that it is held since, are there at the next question.
    release.work("billing", 60, "read:secrets");
    release.upload(&office, "billing");
    assert_eq!(office.post("/v1/agents/billing/suspend", &json!({ "reason": "look" })).status, 200);
    let (code, answer) = release.remote(office.url(), &["--agent", &release.id], &auditor);
    assert_eq!((code, outcome(&answer, "standing")), (Some(1), "certificate.held".into()), "{answer:#}");
    assert_eq!(outcome(&answer, "threshold"), "gate.risk_level", "{answer:#}");
}

/// Row T43.
#[test]
fn a_gate_is_not_promoted_by_what_a_service_may_not_or_cannot_say() {
    let release = Release::ready();
    let office = release.office();
    let ask = |url: &str, token: &str| release.remote(url, &["--agent", &release.id], token);
    // No key of it, one that may not read receipts, one for other agents, a pipeline's token that it does not take, an agent
    // that it does not know.
    let gate = office.key(&json!({ "role": "gate" }));
    let stranger = "00000000-0000-4000-8000-000000000000";
    let elsewhere = office.key(&json!({ "role": "auditor", "agents": [stranger] }));
    let refused = "eyJhIjoxfQ.eyJhIjoxfQ.c2ln";
    for token in ["kak_live_wrong", &gate, &elsewhere, refused] {
        let (code, answer) = ask(office.url(), token);
        assert_eq!((code, &answer["decision"]), (Some(2), &json!("cannot-evaluate")), "{answer:#}");
        assert_eq!(outcome(&answer, "log"), "gate.unreadable", "{answer:#}");
    }
    let (code, answer) = release.remote(office.url(), &["--agent", stranger], office.owner());
    assert_eq!((code, outcome(&answer, "certificate")), (Some(2), "gate.unreadable".into()), "{answer:#}");
    // Nobody is there.
    let nowhere = { TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap() };
    release.refuses(&format!("http://{nowhere}"), 2, "log", "gate.unreadable");
    // Whose evidence is to be said, and a key is to be there; neither of them travels in the clear.
    assert_eq!(release.remote(office.url(), &[], office.owner()).0, Some(64));
    assert_eq!(ask(office.url(), "").0, Some(64));
    assert_eq!(ask("http://192.0.2.1", "k").0, Some(64));
    let words = [&["gate"][..], &TERMS].concat();
    let (code, answer, _) = release.run(&words, "");
    assert_eq!(code, Some(64));
    assert!(
        answer["error"].as_str().unwrap().contains("--certificate, --crl, --receipts is missing"),
        "{answer}"
    );
}

/// Rows T40 to T42, E30 and E31.
#[test]
fn a_service_that_hands_over_something_else_promotes_nobody_and_reports_nothing() {
    let release = Release::ready();
    release.desk.yes(&["agent", "create", "other", "--scope", "scope.toml", "--out", "agents/other"]);
    release.work("other", 110, "read:invoices");
    let office = release.office();
    release.upload(&office, "other");
    let about = |agent: &str| office.get_as_owner(&format!("/v1/agents/{agent}")).json();
    let (shown, own) = (about("billing"), Release::bundle(&office, "billing"));
    let hand = |shown: &Value, bundle: &[u8]| Impostor::handing(&release.id, shown, bundle);
    let out = release.path("r.json");

    // Whoever has the same octets is as good.
    let honest = hand(&shown, &own);
    let (code, answer) = release.remote(&honest.url, &["--agent", &release.id], "k");
    assert_eq!(code, Some(0), "{answer:#}");
    assert_eq!(release.report(&honest.url, &release.id, "r.json").0, Some(3));
    fs::remove_file(&out).unwrap();

    // Of another agent of the same authority: receipts, the certificate, or both.
    let others = Release::bundle(&office, "other");
    let mixed = hand(&shown, &others);
    release.refuses(&mixed.url, 2, "evidence", "gate.evidence_none");
    let (code, answer, _) = release.report(&mixed.url, &release.id, "r.json");
    assert_eq!((code, out.exists()), (Some(2), false), "{answer}");
    assert!(answer["error"].as_str().unwrap().contains("was asked about"), "{answer}");
    release.refuses(&hand(&about("other"), &own).url, 2, "certificate", "gate.unreadable");

    // Of a namesake under an authority that nobody here believes.
    let foreign = Release::ready();
    let theirs = foreign.office();
    let namesake = hand(&shown, &Release::bundle(&theirs, "billing"));
    release.refuses(&namesake.url, 1, "log", "gate.log_invalid");
    let (code, answer, _) = release.report(&namesake.url, &release.id, "r.json");
    assert_eq!(
        (code, &answer["verdict"], &answer["counts"]["evidenced"]),
        (Some(1), &json!("INVALID"), &json!(0))
    );
    fs::remove_file(&out).unwrap();

    // Cut: the connection ends before all of it came, or it says to be all; one octet is another one.
    let forensics = format!("/v1/agents/{}/forensics", release.id);
    let whole = |answer: Vec<u8>| {
        let text = shown.to_string();
        let rest = (format!("/v1/agents/{}", release.id), ok(text.as_bytes(), text.len()));
        Impostor::with(vec![(forensics.clone(), answer), rest])
    };
    let (half, _) = own.split_at(own.len() / 2);
    let broken = whole(ok(half, own.len()));
    release.refuses(&broken.url, 2, "log", "gate.unreadable");
    let (code, answer, _) = release.report(&broken.url, &release.id, "r.json");
    assert_eq!((code, out.exists()), (Some(2), false), "{answer}");
    let mut turned = own.clone();
    let middle = turned.len() / 2;
    turned[middle] ^= 1;
    let changed = whole(ok(&turned, turned.len()));
    let answer = release.refuses(&changed.url, 1, "log", "gate.log_invalid");
    assert_eq!(outcome(&answer, "certificate"), "gate.unreadable", "{answer:#}");
    assert_eq!(release.report(&changed.url, &release.id, "r.json").0, Some(1));
    fs::remove_file(&out).unwrap();
    // A part that says to be all, a page of a captive portal: no bundle, and nobody's misconduct.
    for octets in [half, b"<html>"] {
        let other = whole(ok(octets, octets.len()));
        release.refuses(&other.url, 2, "log", "gate.unreadable");
        let (code, answer, _) = release.report(&other.url, &release.id, "r.json");
        assert_eq!((code, out.exists()), (Some(2), false), "{answer}");
    }
    // Another place to go to, more than any bundle has.
    let moved =
        whole(b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1/\r\ncontent-length: 0\r\n\r\n".to_vec());
    release.refuses(&moved.url, 2, "log", "gate.unreadable");

    // Old: of before what it did last, when it was good. Nobody can see that the end is kept from him unless a witness saw
    // it; but the list that says good grows old, and so do the calls.
    release.work("billing", 60, "read:secrets");
    release.upload(&office, "billing");
    assert_eq!(office.post("/v1/agents/billing/suspend", &json!({ "reason": "look" })).status, 200);
    let policy = fs::read_to_string(release.path("gate.toml")).unwrap();
    let asks = |more: &str| fs::write(release.path("gate.toml"), format!("{more}\n{policy}")).unwrap();
    asks("max_list_age = \"1h\"");
    let back = ["--agent", release.id.as_str(), "--at", &super::robot::now().plus(7200).to_string()];
    let (code, answer) = release.remote(&honest.url, &back, "k");
    assert_eq!((code, outcome(&answer, "standing")), (Some(2), "gate.list_old".into()), "{answer:#}");
    let lists = ["--agent", release.id.as_str(), "--crl", ".kakunin/public/lists.pem"];
    let (code, answer) = release.remote(&honest.url, &lists, "k");
    assert_eq!((code, outcome(&answer, "standing")), (Some(1), "certificate.held".into()), "{answer:#}");
    asks("tolerate = []");
    release.refuses(&honest.url, 1, "log", "gate.log_incomplete");
}

/// Row T44.
#[test]
fn a_file_of_receipts_is_no_evidence_for_a_gate() {
    let release = Release::ready();
    release.desk.yes(&["risk", "receipts", "agents/billing", "--out", "receipts.jsonl"]);
    let answer = release.local("receipts.jsonl", 2);
    assert_eq!(outcome(&answer, "log"), "gate.unreadable", "{answer:#}");
    assert!(answer.to_string().contains("a bundle of kakunin export"), "{answer:#}");
    assert_eq!(outcome(&answer, "threshold"), "gate.not_reached");
}

/// Row E32.
#[test]
fn a_report_over_what_the_service_has_is_the_one_over_its_file() {
    let release = Release::ready();
    let office = release.office();
    let auditor = office.key(&json!({ "role": "auditor", "agents": [release.id] }));
    let export = ["export", "--agent", "billing", "--url", office.url(), "--out", "incident.zip"];
    assert_eq!(release.run(&export, &auditor).0, Some(0));
    for form in ["json", "html", "csv", "oscal"] {
        let terms = ["report", "--framework", "csf-2.0", "--root", ROOT, "--format", form, "--out"];
        let asked = [&terms[..], &["asked", "--url", office.url(), "--agent", &release.id]].concat();
        let (code, answer, text) = release.run(&asked, &auditor);
        assert_eq!(code, Some(3), "{answer}{text}");
        let over = [&terms[..], &["filed", "--bundle", "incident.zip"]].concat();
        assert_eq!(release.run(&over, "").0, Some(3));
        assert_eq!(
            fs::read(release.path("asked")).unwrap(),
            fs::read(release.path("filed")).unwrap(),
            "{form}"
        );
    }
    fs::remove_file(release.path("asked")).unwrap();
    // A no of the service is no report.
    let gate = office.key(&json!({ "role": "gate" }));
    let stranger = "00000000-0000-4000-8000-000000000000";
    for (agent, token, code) in [
        (release.id.as_str(), gate.as_str(), 2),
        (&release.id, "eyJhIjoxfQ.eyJhIjoxfQ.c2ln", 2),
        (stranger, &auditor, 2),
        (&release.id, "", 64),
    ] {
        let words =
            ["report", "--framework", "csf-2.0", "--url", office.url(), "--agent", agent, "--root", ROOT];
        let (ended, answer, _) = release.run(&[&words[..], &["--out", "asked"]].concat(), token);
        assert_eq!((ended, release.path("asked").exists()), (Some(code), false), "{answer}");
    }
    let whose = ["report", "--framework", "csf-2.0", "--url", office.url(), "--root", ROOT, "--out", "asked"];
    for more in [vec![], vec!["--bundle", "incident.zip"]] {
        assert_eq!(release.run(&[&whose[..], &more].concat(), &auditor).0, Some(64));
    }
    let both = [&whose[..], &["--agent", &release.id, "--bundle", "incident.zip"]].concat();
    assert_eq!(release.run(&both, &auditor).0, Some(64));
}

const TERMS: [&str; 6] = ["--root", ROOT, "--policy", "gate.toml", "--baseline", "baseline.json"];

const EXAMPLES: &str = "
[[allowed]]
action = \"payments:send\"
amount = \"12.50\"
currency = \"EUR\"
counterparty = \"acme\"
[[denied]]
action = \"payments:send\"
amount = \"12500.00\"
currency = \"EUR\"
counterparty = \"acme\"
code = \"scope.amount\"
";
