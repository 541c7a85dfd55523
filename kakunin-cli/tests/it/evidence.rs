//! `kakunin report`: what it makes of real bundles, whole ones and broken ones.

use std::fs;

use kakunin_core::certificate::TrustAnchors;
use kakunin_core::guard::{Guard, GuardOptions};
use kakunin_core::home::AgentHome;
use kakunin_core::receipt::Mode;
use kakunin_core::report::Inquiry;
use kakunin_core::request::ActionRequest;
use kakunin_core::risk::{Baseline, Observation, RiskPolicy};
use kakunin_core::verify::{Seen, Watch};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::Value;

use crate::desk::{Desk, texts};

const ROOT: &str = ".kakunin/public/ca.pem";

/// Payments allowed and denied, one denied for a name that somebody chose, all in a log; gives the key of the log.
fn work(desk: &Desk, name: &str) -> String {
    let home = AgentHome::open(&desk.path("agents/billing"), None).unwrap();
    let guard = Guard::open(home, GuardOptions::default()).unwrap();
    let pay = |amount: &str, to: &str| {
        guard.admit(&ActionRequest::new("payments:send").amount(amount, "EUR").counterparty(to))
    };
    pay("12.50", "acme").unwrap().begin().unwrap().returned();
    drop(pay("12500.00", "acme").unwrap_err());
    drop(pay("1.00", name).unwrap_err());
    guard.close();
    let answer = desk.yes(&["log", "--journal", "agents/billing"]);
    let key = answer.get("log").and_then(Value::as_str).unwrap().to_owned();
    desk.yes(&["export", "--out", "incident.zip"]);
    key
}

/// A desk whose agent is certified for single actions.
fn bounded() -> Desk {
    let desk = Desk::empty();
    let scope = fs::read_to_string(desk.path("scope.toml")).unwrap();
    fs::write(desk.path("scope.toml"), scope.replace("read:*", "read:invoice")).unwrap();
    desk.yes(&["init"]);
    desk.yes(&["agent", "create", "billing", "--scope", "scope.toml", "--out", "agents/billing"]);
    desk
}

fn report<'a>(framework: &'a str, format: &'a str, out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let words =
        ["report", "--framework", framework, "--bundle", "incident.zip", "--format", format, "--out", out];
    [&words[..], more].concat()
}

fn read(desk: &Desk, file: &str) -> Value {
    serde_json::from_slice(&fs::read(desk.path(file)).unwrap()).unwrap()
}

fn row<'v>(report: &'v Value, id: &str) -> &'v Value {
    report["findings"].as_array().unwrap().iter().find(|row| row["id"] == id).unwrap()
}

#[test]
fn a_complete_bundle_carries_what_receipts_can_carry_and_nothing_more() {
    // A family of actions would be bounded by its name alone.
    let desk = bounded();
    let key = work(&desk, "initech");
    let believed = ["--root", ROOT, "--log-key", &key];
    let answer = desk.yes(&report("csf-2.0", "json", "report.json", &believed));
    assert_eq!((&answer["verdict"], &answer["counts"]["contradicted"]), (&"COMPLETE".into(), &0.into()));
    let found = read(&desk, "report.json");
    assert_eq!(row(&found, "PR.AA-05")["status"], "evidenced");
    // Nobody was stopped and no gate asked: nothing is claimed for it.
    for id in ["RS.MI-01", "ID.RA-07", "DE.AE-02"] {
        assert_eq!(
            (&row(&found, id)["status"], &row(&found, id)["claim"]),
            (&"no-evidence".into(), &Value::Null)
        );
    }
    // A control that receipts carry in part is never more than partial.
    assert_eq!(row(&found, "ID.AM-02")["status"], "partial");
    // A witness is missing, so the times are claims.
    assert_eq!(row(&found, "RS.AN-06")["status"], "partial");
    assert!(found["not_covered"].as_array().unwrap().iter().any(|one| one["what"] == "GV"));

    // Each pointer is a receipt that the verifier tells of, at its line.
    let told = desk.yes(&["verify", "incident.zip", "--root", ROOT, "--log-key", &key, "--timeline"]);
    let receipts: Vec<&str> =
        told["timeline"].as_array().unwrap().iter().map(|step| step["receipt"].as_str().unwrap()).collect();
    let mut seen = 0;
    for finding in found["findings"].as_array().unwrap() {
        for judgement in finding["shown_by"].as_array().unwrap() {
            for pointer in judgement["receipts"].as_array().unwrap() {
                let line = usize::try_from(pointer["line"].as_u64().unwrap()).unwrap();
                assert_eq!(receipts[line - 1], pointer["receipt"].as_str().unwrap());
                seen += 1;
            }
        }
    }
    assert!(seen > 10, "{found}");
}

#[test]
fn the_same_bundle_gives_the_same_octets_under_any_name() {
    let desk = Desk::with_billing();
    let key = work(&desk, "initech");
    fs::copy(desk.path("incident.zip"), desk.path("copy.zip")).unwrap();
    for format in ["json", "csv", "html", "oscal"] {
        let first = report("sp800-53-r5", format, "first", &["--root", ROOT, "--log-key", &key]);
        let mut second = first.clone();
        (second[4], second[8]) = ("copy.zip", "second");
        desk.yes(&first);
        desk.yes(&second);
        let octets = |name: &str| fs::read(desk.path(name)).unwrap();
        assert_eq!(octets("first"), octets("second"), "{format}");
        assert!(!octets("first").is_empty());
    }
}

/// Row E1 of docs/attacks.md.
#[test]
fn a_cut_journal_contradicts_every_row() {
    let desk = Desk::with_billing();
    work(&desk, "initech");
    let streams = desk.path("agents/billing/state/journal");
    let mut stream = fs::read_dir(&streams).unwrap().map(|entry| entry.unwrap().path());
    let stream = stream.find(|path| path.is_dir() && !path.ends_with("archive")).unwrap();
    let mut segment = fs::read_dir(stream).unwrap().map(|entry| entry.unwrap().path());
    let segment = segment.find(|path| path.extension().is_some_and(|it| it == "seg")).unwrap();
    let mut octets = fs::read(&segment).unwrap();
    // A receipt in the middle goes; what is left are whole frames and bytes of none.
    octets.drain(octets.len() / 3..octets.len() / 3 + 200);
    fs::write(&segment, octets).unwrap();
    let words = ["report", "--framework", "csf-2.0", "--journal", "agents/billing", "--root", ROOT];
    let answer = desk.answer(&[&words[..], &["--out", "report.json"]].concat(), 1);
    assert_eq!(answer["verdict"], "INVALID");
    let found = read(&desk, "report.json");
    for finding in found["findings"].as_array().unwrap() {
        assert_eq!(
            (&finding["status"], &finding["claim"]),
            (&"contradicted".into(), &Value::Null),
            "{finding}"
        );
    }
    let (counts, rows) = (&found["counts"], found["findings"].as_array().unwrap().len());
    assert_eq!(counts["contradicted"], rows);
    assert_eq!(counts["out_of_scope"], found["not_covered"].as_array().unwrap().len());
}

/// Row E2.
#[test]
fn under_a_foreign_root_nothing_is_shown() {
    let desk = Desk::with_billing();
    let key = work(&desk, "initech");
    let foreign = Desk::with_billing();
    let root = foreign.path(ROOT);
    let more = ["--root", root.to_str().unwrap(), "--log-key", &key];
    let answer = desk.answer(&report("soc2", "json", "report.json", &more), 1);
    assert_eq!((&answer["verdict"], &answer["counts"]["evidenced"]), (&"INVALID".into(), &0.into()));
    assert_eq!(answer["counts"]["partial"], 0);
    // And without one nobody is believed.
    desk.answer(&report("soc2", "json", "none.json", &[]), 64);
    assert!(!desk.path("none.json").exists());
}

/// Row E3.
#[test]
fn names_that_strangers_chose_are_no_markup_and_no_formula() {
    for name in
        ["<script>alert(1)</script>", "=cmd|' /C calc'!A0", "\u{202e}gnp.exe", "</style><svg onload=x>"]
    {
        let desk = Desk::with_billing();
        let home = AgentHome::open(&desk.path("agents/billing"), None).unwrap();
        let guard = Guard::open(home, GuardOptions::default()).unwrap();
        drop(guard.admit(&ActionRequest::new(name).counterparty(name)).unwrap_err());
        drop(guard.admit(&ActionRequest::new("read:x").counterparty(name)).map(|_| ()));
        guard.close();
        desk.yes(&["export", "--out", "incident.zip"]);
        for format in ["html", "csv", "oscal", "json"] {
            desk.answer(&report("owasp-agentic-2026", format, "report", &["--root", ROOT]), 3);
            let text = fs::read_to_string(desk.path("report")).unwrap();
            let raw = text.contains("<script") || text.contains("onload=x>") || text.contains('\u{202e}');
            assert!(!raw && !text.contains("\"=cmd"), "{format}: {text}");
        }
    }
}

/// Row E4.
#[test]
fn a_denial_that_was_only_observed_contradicts_enforcement() {
    let desk = Desk::with_billing();
    let home = AgentHome::open(&desk.path("agents/billing"), None).unwrap();
    let guard = Guard::open(home, GuardOptions { mode: Mode::Observe, ..GuardOptions::default() }).unwrap();
    let asked = ActionRequest::new("payments:send").amount("12500.00", "EUR").counterparty("acme");
    guard.admit(&asked).unwrap().begin().unwrap().returned();
    guard.close();
    desk.yes(&["export", "--out", "incident.zip"]);
    desk.answer(&report("sp800-53-r5", "json", "report.json", &["--root", ROOT]), 1);
    let found = read(&desk, "report.json");
    assert_eq!(row(&found, "AC-3")["status"], "contradicted");
    assert_eq!(row(&found, "AU-12")["status"], "evidenced");
}

#[test]
fn a_stop_that_took_effect_is_evidence_and_a_period_without_receipts_is_none() {
    let desk = Desk::with_billing();
    let home = AgentHome::open(&desk.path("agents/billing"), None).unwrap();
    let guard = Guard::open(home, GuardOptions::default()).unwrap();
    let asked = ActionRequest::new("payments:send").amount("12.50", "EUR").counterparty("acme");
    guard.admit(&asked).unwrap().begin().unwrap().returned();
    desk.yes(&["suspend", "billing", "--reason", "drill"]);
    guard.refresh();
    drop(guard.admit(&asked).unwrap_err());
    guard.close();
    desk.yes(&["export", "--out", "incident.zip"]);
    let answer = desk.answer(&report("csf-2.0", "json", "report.json", &["--root", ROOT]), 3);
    assert_eq!(answer["counts"]["contradicted"], 0, "{answer}");
    let found = read(&desk, "report.json");
    let stopped = row(&found, "RS.MI-01");
    assert_eq!(stopped["status"], "evidenced", "{stopped}");
    assert!(stopped["shown_by"][0]["because"].as_str().unwrap().starts_with("1 calls were denied"));

    desk.answer(&report("csf-2.0", "json", "report.json", &["--root", ROOT, "--to", "2020-01-01"]), 3);
    let found = read(&desk, "report.json");
    assert_eq!((&found["counts"]["evidenced"], &found["counts"]["partial"]), (&0.into(), &0.into()));
}

#[test]
fn duties_of_later_are_marked_and_partial_is_never_satisfied() {
    let desk = Desk::with_billing();
    let key = work(&desk, "initech");
    let believed = ["--root", ROOT, "--log-key", &key];
    let words = [&believed[..], &["--as-of", "2027-12-01"]].concat();
    desk.yes(&report("eu-ai-act", "json", "report.json", &words));
    assert_eq!(row(&read(&desk, "report.json"), "Art. 12")["applies"], false);
    // Row E13: evidenced, and not satisfied as long as it does not apply.
    desk.yes(&report("eu-ai-act", "oscal", "oscal.json", &words));
    let text = fs::read_to_string(desk.path("oscal.json")).unwrap();
    assert!(text.contains("not-yet") && !text.contains("\"satisfied\""), "{text}");
    let words = [&believed[..], &["--as-of", "2027-12-02"]].concat();
    desk.yes(&report("eu-ai-act", "json", "report.json", &words));
    assert_eq!(row(&read(&desk, "report.json"), "Art. 12")["applies"], true);

    desk.yes(&report("eu-ai-act", "oscal", "oscal.json", &words));
    let (found, oscal) = (read(&desk, "report.json"), read(&desk, "oscal.json"));
    let findings = oscal["assessment-results"]["results"][0]["findings"].as_array().unwrap();
    for (finding, row) in findings.iter().zip(found["findings"].as_array().unwrap()) {
        let satisfied = finding["target"]["status"]["state"] == "satisfied";
        assert_eq!(satisfied, row["status"] == "evidenced", "{finding}");
    }
}

#[test]
fn what_cannot_be_reported_is_said_and_nothing_is_written() {
    let desk = Desk::with_billing();
    let (out, err) = texts(&desk.run(&report("iso-9001", "json", "r", &["--root", ROOT])));
    assert!(out.is_empty() && err.contains("no framework is called `iso-9001`"), "{err}");
    desk.answer(&report("soc2", "json", "r", &["--root", ROOT]), 2);
    desk.answer(&["report", "--framework", "soc2", "--root", ROOT, "--out", "r"], 64);
    let times = ["--root", ROOT, "--from", "2026-02-02", "--to", "2026-02-01"];
    desk.answer(&report("soc2", "json", "r", &times), 64);
    let output = desk.run(&report("soc2", "json", "r", &["--root", ROOT, "--from", "yesterday"]));
    assert_eq!(output.status.code(), Some(64));
    fs::write(desk.path("incident.zip"), "PK nothing").unwrap();
    let answer = desk.answer(&report("soc2", "json", "r.json", &["--root", ROOT]), 2);
    assert!(answer["error"].as_str().unwrap().contains("incident.zip: no bundle"), "{answer}");
    assert!(!desk.path("r").exists() && !desk.path("r.json").exists());
    // A ZIP, and of no members: somebody made it so.
    fs::write(desk.path("incident.zip"), [&b"PK\x05\x06"[..], &[0; 18]].concat()).unwrap();
    let answer = desk.answer(&report("soc2", "json", "r.json", &["--root", ROOT]), 1);
    assert_eq!(answer["verdict"], "INVALID");
    // A component definition needs no evidence.
    desk.yes(&["report", "--framework", "soc2", "--format", "oscal-component", "--out", "c.json"]);
    assert!(read(&desk, "c.json")["component-definition"]["uuid"].is_string());
}

/// What risk reads of receipts that go by.
#[derive(Default)]
struct Observer(Vec<Observation>);

impl Watch for Observer {
    fn receipt(&mut self, seen: &Seen<'_>) {
        let scope = seen.path().agent().scope();
        self.0.extend(Observation::of(seen.hash(), seen.statement(), seen.disclosures(), Some(scope)));
    }
}

/// `many` calls of the agent, as `asked` says.
fn calls(desk: &Desk, many: usize, asked: &ActionRequest<'_>) {
    let home = AgentHome::open(&desk.path("agents/billing"), None).unwrap();
    let guard = Guard::open(home, GuardOptions::default()).unwrap();
    for _ in 0..many {
        guard.admit(asked).unwrap().begin().unwrap().returned();
    }
    guard.close();
}

#[test]
fn behaviour_is_judged_by_a_baseline_and_drawn_with_what_crossed() {
    let desk = Desk::with_billing();
    calls(&desk, 60, &ActionRequest::new("payments:send").amount("12.50", "EUR").counterparty("acme"));
    let root = CertificateDer::from_pem_slice(&fs::read(desk.path(ROOT)).unwrap()).unwrap();
    let mut observer = Observer::default();
    let inquiry = Inquiry::by(TrustAnchors::new([root.as_ref()]).unwrap());
    inquiry.of(&desk.path("agents/billing"), &[], &mut observer).unwrap();
    let policy = "[baseline]\nleast = 30\n";
    fs::write(desk.path("risk.toml"), policy).unwrap();
    let baseline = Baseline::learn(&observer.0, &RiskPolicy::from_toml(policy).unwrap()).unwrap();
    fs::write(desk.path("baseline.json"), baseline.to_json()).unwrap();

    // What it never did before, again and again.
    calls(&desk, 60, &ActionRequest::new("read:secrets"));
    desk.yes(&["export", "--out", "incident.zip"]);
    let more = ["--root", ROOT, "--baseline", "baseline.json", "--risk-policy", "risk.toml"];
    desk.answer(&report("csf-2.0", "json", "report.json", &more), 3);
    let found = read(&desk, "report.json");
    assert_eq!(row(&found, "DE.AE-02")["status"], "partial", "{}", row(&found, "DE.AE-02"));
    let risk = &found["risk"];
    assert_eq!(
        (&risk["calls"], &risk["foreign"], &risk["baseline"]),
        (&120.into(), &0.into(), &baseline.digest().to_hex().into())
    );
    let changes = risk["changes"].as_array().unwrap();
    assert!(!changes.is_empty() && risk["highest"] != "clear", "{risk}");
    desk.answer(&report("csf-2.0", "html", "report.html", &more), 3);
    let page = fs::read_to_string(desk.path("report.html")).unwrap();
    assert_eq!(page.matches("class=\"cross\"").count(), changes.len());
    assert_eq!(page.matches("class=\"threshold\"").count(), 4);
    assert!(page.contains(changes[0]["receipt"].as_str().unwrap()), "the receipt that crossed");

    // A baseline of somebody else's watches nobody here, and what is none is refused.
    let other = baseline.to_json().replace(&baseline.agent().to_string(), &"0".repeat(36));
    fs::write(desk.path("baseline.json"), other).unwrap();
    desk.answer(&report("csf-2.0", "json", "r.json", &more), 2);
    assert!(!desk.path("r.json").exists());
    desk.answer(&report("csf-2.0", "json", "r.json", &["--root", ROOT, "--risk-policy", "risk.toml"]), 64);
}

#[test]
fn a_questionnaire_is_filled_by_its_ids_and_says_what_stays_blank() {
    let desk = bounded();
    let key = work(&desk, "initech");
    fs::write(
        desk.path("asked.csv"),
        "Ref,Question,Response\nA-1,Who may do what?,\nA-2,Fire doors?,\nA-3,Logs?,see wiki\n",
    )
    .unwrap();
    let map = "id = \"Ref\"\nanswer = \"Response\"\n[questions]\nA-1 = \"csf-2.0/PR.AA-05\"\nA-3 = \"iso-27001-2022/A.8.15\"\n";
    fs::write(desk.path("map.toml"), map).unwrap();
    let words = ["report", "--questionnaire", "asked.csv", "--map", "map.toml", "--bundle", "incident.zip"];
    let more = ["--root", ROOT, "--log-key", &key, "--out", "answered.csv"];
    let answer = desk.yes(&[&words[..], &more].concat());
    let list = |name: &str| {
        answer[name].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!((list("answered"), list("blank"), list("kept")), (vec!["A-1"], vec!["A-2"], vec!["A-3"]));
    let text = fs::read_to_string(desk.path("answered.csv")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        (lines[0], lines[2], lines[3]),
        ("Ref,Question,Response", "A-2,Fire doors?,", "A-3,Logs?,see wiki")
    );
    for part in ["Evidenced. What each agent may do", "Shown by scope_bounded", "Receipts: ", "Limit: "] {
        assert!(lines[1].contains(part), "{part}: {}", lines[1]);
    }
    fs::write(desk.path("map.toml"), map.replace("Response", "Reply")).unwrap();
    let (_, err) = texts(&desk.run(&[&words[..], &more].concat()));
    assert!(err.contains("no column `Reply`"), "{err}");
}

/// `scripts/questionnaire.sh` fills workbooks, in a build that does.
#[cfg(not(feature = "xlsx"))]
#[test]
fn a_workbook_is_refused_by_a_build_that_fills_none() {
    let desk = Desk::with_billing();
    work(&desk, "initech");
    fs::write(desk.path("asked.xlsx"), b"PK\x03\x04").unwrap();
    fs::write(desk.path("map.toml"), "id = \"A\"\nanswer = \"B\"\n[questions]\n").unwrap();
    let words = ["report", "--questionnaire", "asked.xlsx", "--map", "map.toml", "--bundle", "incident.zip"];
    let output = desk.run(&[&words[..], &["--root", ROOT, "--out", "answered.xlsx"]].concat());
    let (_, err) = texts(&output);
    assert_eq!(output.status.code(), Some(64));
    assert!(err.contains("feature `xlsx`") && !desk.path("answered.xlsx").exists(), "{err}");
}

/// The folders of the agent's streams.
fn streams(desk: &Desk) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(desk.path("agents/billing/state/journal")).unwrap();
    let folders = entries.map(|entry| entry.unwrap().path());
    folders.filter(|path| path.is_dir() && !path.ends_with("archive")).collect()
}

fn copied(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

fn nothing_is_claimed(report: &Value) {
    for finding in report["findings"].as_array().unwrap() {
        assert_eq!(
            (&finding["status"], &finding["claim"]),
            (&"contradicted".into(), &Value::Null),
            "{finding}"
        );
    }
}

/// Row E11: the bad day is a stream of its own, and the log has it.
#[test]
fn a_stream_left_out_that_the_log_holds_contradicts_every_row_and_a_cut_one_is_not_whole() {
    let desk = bounded();
    let key = work(&desk, "initech");
    let [first] = &streams(&desk)[..] else { panic!() };
    calls(&desk, 1, &ActionRequest::new("read:invoice"));
    // A third stream, as it was before its last receipts.
    let before = streams(&desk);
    let home = AgentHome::open(&desk.path("agents/billing"), None).unwrap();
    let guard = Guard::open(home, GuardOptions::default()).unwrap();
    guard.admit(&ActionRequest::new("read:invoice")).unwrap().begin().unwrap().returned();
    let third = streams(&desk).into_iter().find(|path| !before.contains(path)).unwrap();
    copied(&third, &desk.path("early"));
    guard.admit(&ActionRequest::new("read:invoice")).unwrap().begin().unwrap().returned();
    guard.close();
    desk.yes(&["log", "--journal", "agents/billing"]);
    let words =
        ["report", "--framework", "sp800-53-r5", "--journal", "agents/billing", "--out", "report.json"];
    let believed = ["--log", ".kakunin/log", "--root", ROOT, "--log-key", &key];
    let words = [&words[..], &believed].concat();
    assert_eq!(desk.yes(&words)["counts"]["contradicted"], 0);

    fs::rename(first, desk.path("gone")).unwrap();
    let answer = desk.answer(&words, 1);
    assert_eq!(answer["verdict"], "AUTHENTIC-NOT-COMPLETE");
    let found = read(&desk, "report.json");
    nothing_is_claimed(&found);
    let judged = &row(&found, "AC-6")["shown_by"][0];
    assert!(judged["because"].as_str().unwrap().contains("stream.missing"), "{judged}");
    assert_eq!(judged["receipts"][0]["stream"], first.file_name().unwrap().to_str().unwrap());
    fs::rename(desk.path("gone"), first).unwrap();
    assert_eq!(desk.yes(&words)["counts"]["contradicted"], 0);

    fs::remove_dir_all(&third).unwrap();
    copied(&desk.path("early"), &third);
    // A copy of a running agent's journal looks like this, too: nothing that is counted is more than partial.
    assert_eq!(desk.answer(&words, 3)["verdict"], "AUTHENTIC-NOT-COMPLETE");
    let found = read(&desk, "report.json");
    for id in ["AC-3", "AU-2", "AU-3", "AU-9", "AU-12", "IA-5"] {
        assert_eq!(row(&found, id)["status"], "partial", "{}", row(&found, id));
    }
}

/// Row E14: what an agent signs about itself is no gate's word, under whatever name.
#[test]
fn a_promotion_is_a_gates_and_says_whom() {
    let desk = Desk::empty();
    let own = "actions = [\"read:invoice\", \"gate:promote\"]\n";
    fs::write(desk.path("scope.toml"), own).unwrap();
    let scope = "actions = [\"gate:promote\", \"gate:refuse\"]\n[[counterparties]]\nfor = [\"gate:*\"]\nallow = [\"urn:kakunin:agent:*\"]\n";
    fs::write(desk.path("gate.toml"), scope).unwrap();
    desk.yes(&["init"]);
    let create = |name: &str, scope: &str| {
        let out = format!("agents/{name}");
        let made = desk.yes(&["agent", "create", name, "--scope", scope, "--out", &out]);
        format!("urn:kakunin:agent:{}", made["id"].as_str().unwrap())
    };
    let (billing, _) = (create("billing", "scope.toml"), create("gate", "gate.toml"));
    let sign = |agent: &str, subject: &str, passes: bool| {
        let home = AgentHome::open(&desk.path(&format!("agents/{agent}")), None).unwrap();
        let guard = Guard::open(home, GuardOptions::default()).unwrap();
        let asked = ActionRequest::new("gate:promote").counterparty(subject);
        let running = guard.admit(&asked).unwrap().begin().unwrap();
        if passes {
            running.returned()
        } else {
            running.raised()
        }
        guard.close();
    };
    let judged = || {
        let words = ["report", "--framework", "csf-2.0", "--root", ROOT, "--out", "report.json"];
        let journals = ["--journal", "agents/billing", "--journal", "agents/gate"];
        desk.answer(&[&words[..], &journals].concat(), 3);
        let found = read(&desk, "report.json");
        let judged = &row(&found, "ID.RA-07")["shown_by"][0];
        (judged["shown"].as_str().unwrap().to_owned(), judged["because"].as_str().unwrap().to_owned())
    };
    // By itself, under the name of a gate's action; and by a gate whose promotion came to nothing.
    sign("billing", &billing, true);
    sign("billing", "urn:kakunin:agent:00000000-0000-8000-8000-000000000000", true);
    sign("gate", &billing, false);
    let (shown, because) = judged();
    assert_eq!(shown, "unseen", "{because}");
    assert!(because.contains("2 receipts are named so and are of no gate"), "{because}");
    // About somebody who signed nothing here; and then about the agent.
    sign("gate", "urn:kakunin:agent:00000000-0000-8000-8000-000000000000", true);
    assert_eq!(judged().0, "partly");
    sign("gate", &billing, true);
    let (shown, because) = judged();
    assert_eq!(shown, "held", "{because}");
    assert!(because.contains(billing.trim_start_matches("urn:kakunin:agent:")), "{because}");
}
