//! `kakunin gate`: who may be promoted, and who may not because something is wrong, missing or not known.

use std::fs;
use std::path::Path;

use kakunin_core::certificate::TrustAnchors;
use kakunin_core::guard::{Guard, GuardOptions, StateChoice};
use kakunin_core::home::AgentHome;
use kakunin_core::receipt::Mode;
use kakunin_core::report::Inquiry;
use kakunin_core::request::ActionRequest;
use kakunin_core::risk::{Baseline, Observation, RiskPolicy, in_order};
use kakunin_core::verify::{Seen, Watch};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::Value;

use crate::desk::{Desk, texts};

/// A home with `billing`, which worked, and the gate's own agent.
struct Works {
    desk: Desk,
}

impl Works {
    fn ready() -> Self {
        Self::with_calls(12, Mode::Enforce)
    }

    fn with_calls(calls: usize, mode: Mode) -> Self {
        let desk = Desk::with_billing();
        fs::write(desk.path("gate-scope.toml"), GATE_SCOPE).unwrap();
        desk.yes(&["agent", "create", "gate", "--scope", "gate-scope.toml", "--out", "agents/gate"]);
        fs::copy(desk.path("agents/billing/ca.pem"), desk.path("root.pem")).unwrap();
        fs::write(desk.path("baseline.json"), baseline(&desk)).unwrap();
        let works = Self { desk };
        works.work(calls, mode);
        works.policy(&works.approval("none"));
        works
    }

    fn work(&self, calls: usize, mode: Mode) {
        let home = AgentHome::open(&self.desk.path("agents/billing"), None).unwrap();
        let guard = Guard::open(home, GuardOptions { mode, ..GuardOptions::default() }).unwrap();
        for _ in 0..calls {
            guard.admit(&ActionRequest::new("read:invoices")).unwrap().begin().unwrap().returned();
        }
        guard.close();
    }

    /// The scope that billing has now.
    fn scope(&self) -> String {
        let answer = self.gate_with(&[], None);
        text(&answer, "scope").to_owned()
    }

    fn approval(&self, from: &str) -> String {
        fs::write(self.desk.path("gate.toml"), "").unwrap();
        let to = self.scope();
        format!(
            "[[approve]]\nfrom = \"{from}\"\nto = \"{to}\"\nby = \"Ada\"\nuntil = \"2099-01-01T00:00:00Z\"\n"
        )
    }

    fn policy(&self, more: &str) {
        fs::write(self.desk.path("gate.toml"), format!("{}{more}{EXAMPLES}", self.terms())).unwrap();
    }

    /// Keys of a policy, with the baseline that it accepts.
    fn terms(&self) -> String {
        let baseline = Baseline::from_json(&fs::read_to_string(self.path("baseline.json")).unwrap()).unwrap();
        format!("{POLICY}baseline = \"{}\"\n", baseline.digest().to_hex())
    }

    /// Makes `text` the risk policy, and the policy's.
    fn risk_policy(&self, text: &str, more: &str) {
        fs::write(self.path("risk.toml"), text).unwrap();
        let digest = RiskPolicy::from_toml(text).unwrap().digest();
        self.policy(&format!("risk_policy = \"{}\"\n{more}", digest.to_hex()));
    }

    /// A call that no honest agent makes, by its receipt.
    fn touch_the_canary(&self) -> String {
        let home = AgentHome::open(&self.path("agents/billing"), None).unwrap();
        let guard = Guard::open(home, GuardOptions::default()).unwrap();
        let running = guard.admit(&ActionRequest::new("read:vault")).unwrap().begin().unwrap();
        let receipt = running.receipt().unwrap().to_string();
        running.returned();
        guard.close();
        receipt
    }

    fn standing(&self) -> String {
        let shown = self.desk.yes(&["agent", "show", "billing"]);
        shown.get("standing").and_then(Value::as_str).unwrap().to_owned()
    }

    /// Certifies billing again, with a scope that allows more.
    fn widen(&self) {
        let wide = fs::read_to_string(self.path("scope.toml"))
            .unwrap()
            .replace("\"read:*\"", "\"read:*\", \"write:drafts\"");
        fs::write(self.path("wide.toml"), wide).unwrap();
        self.desk.yes(&["agent", "renew", "billing", "--scope", "wide.toml"]);
    }

    fn arguments<'a>(&self, more: &[&'a str]) -> Vec<&'a str> {
        let mut arguments = vec![
            "gate",
            "--certificate",
            "agents/billing",
            "--root",
            "root.pem",
            "--crl",
            ".kakunin/public/lists.pem",
            "--receipts",
            "agents/billing",
            "--policy",
            "gate.toml",
            "--baseline",
            "baseline.json",
        ];
        // What is said again stands for what was said before.
        for pair in more.chunks(2) {
            if let Some(place) = arguments.iter().position(|known| Some(known) == pair.first())
                && let Some(value) = pair.get(1)
            {
                arguments.splice(place..place + 2, [*pair.first().unwrap(), *value]);
            } else {
                arguments.extend(pair);
            }
        }
        arguments
    }

    fn gate_with(&self, more: &[&str], code: Option<i32>) -> Value {
        let mut arguments = self.arguments(more);
        arguments.push("--json");
        let output = self.desk.run(&arguments);
        let (out, err) = texts(&output);
        if let Some(code) = code {
            assert_eq!(output.status.code(), Some(code), "{more:?}: {out}{err}");
        }
        serde_json::from_str(out.lines().next().unwrap_or("null")).unwrap()
    }

    /// Runs the gate, which must end with `code`.
    fn gate(&self, more: &[&str], code: i32) -> Value {
        self.gate_with(more, Some(code))
    }

    /// Runs the gate, which must refuse at `step` as `code`.
    fn refused(&self, more: &[&str], exit: i32, step: &str, code: &str) -> Value {
        let answer = self.gate(more, exit);
        let check = check(&answer, step);
        assert_eq!(text(check, "code"), code, "{more:?}: {answer:#}");
        assert_ne!(text(check, "outcome"), "pass");
        assert_ne!(text(&answer, "decision"), "pass");
        answer
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.desk.path(name)
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap()
}

fn checks(answer: &Value) -> &[Value] {
    answer.get("checks").and_then(Value::as_array).unwrap()
}

fn check<'a>(answer: &'a Value, step: &str) -> &'a Value {
    checks(answer).iter().find(|check| text(check, "step") == step).unwrap()
}

#[test]
fn an_agent_is_promoted_once_everything_holds_and_the_gate_signs_it() {
    let works = Works::ready();
    fs::create_dir(works.path("promoted")).unwrap();
    let answer = works.gate(
        &[
            "--as",
            "agents/gate",
            "--promoted",
            "promoted",
            "--commit",
            "c0ffee",
            "--run",
            "7",
            "--repo",
            "a/b",
            "--report",
            "gate.json",
            "--sarif",
            "gate.sarif",
        ],
        0,
    );
    assert_eq!(answer["decision"], "pass", "{answer:#}");
    assert!(checks(&answer).iter().all(|check| check["code"] == "gate.ok"), "{answer:#}");
    assert_eq!(answer["calls"], 12);
    let report: Value = serde_json::from_slice(&fs::read(works.path("gate.json")).unwrap()).unwrap();
    assert_eq!(report, answer);
    // The receipt verifies, and says in clear that the gate promoted.
    let verified =
        works.desk.answer(&["verify", "agents/gate", "--root", "root.pem", "--timeline", "--replay"], 3);
    assert_eq!(verified["reasons"].as_array().unwrap().len(), 1, "{verified:#}");
    let why = works.desk.yes(&["why", answer["receipt"].as_str().unwrap(), "--agent", "agents/gate"]);
    assert_eq!(
        (why["action"].as_str(), why["decision"].as_str()),
        (Some("gate:promote"), Some("allow")),
        "{why:#}"
    );
    assert_eq!(why["outcome"], "returned");
    let agent = answer["agent"].as_str().unwrap();
    assert!(why.to_string().contains(&format!("urn:kakunin:agent:{agent}")), "{why:#}");
    for value in ["verdict:pass", "commit:c0ffee", "run:7", "repo:a/b"] {
        assert!(why.to_string().contains(value), "{value}: {why:#}");
    }
    for digest in ["certificate", "scope", "evidence", "policy"] {
        assert!(why.to_string().contains(&format!("{digest}:{}", answer[digest].as_str().unwrap())));
    }
    // The record is what the next gate compares with: the same scope needs no approval any more.
    let record = works.path("promoted").join(format!("{agent}.pem"));
    assert_eq!(answer["promoted"].as_str().unwrap(), format!("promoted/{agent}.pem"));
    assert!(fs::read_to_string(record).unwrap().contains("BEGIN CERTIFICATE"));
    works.policy("");
    works.gate(&["--promoted", "promoted", "--as", "agents/gate"], 0);
}

#[test]
fn a_scope_is_not_widened_without_an_approval_of_exactly_this_change() {
    let works = Works::ready();
    let recorded = ["--promoted", "last.pem", "--as", "agents/gate"];
    works.gate(&recorded, 0);
    let before = works.scope();
    works.widen();
    works.policy("");
    let answer = works.refused(&recorded, 1, "scope", "gate.scope_widened");
    let sentence = check(&answer, "scope")["sentence"].as_str().unwrap().to_owned();
    assert!(sentence.contains("write:drafts") && sentence.contains(&before), "{sentence}");
    // Nothing was recorded, so the same is asked again.
    works.refused(&recorded, 1, "scope", "gate.scope_widened");
    // Another change, an ended approval, or one for the first promotion is none for this.
    let exact = works.approval(&before);
    for other in [
        works.approval("none"),
        works.approval(&"0".repeat(64)),
        exact.replace("2099", "2001"),
        exact.replace(&works.scope(), &before),
    ] {
        works.policy(&other);
        works.refused(&recorded, 1, "scope", "gate.scope_widened");
    }
    works.policy(&exact);
    let answer = works.gate(&recorded, 0);
    assert!(check(&answer, "scope")["sentence"].as_str().unwrap().ends_with("approved by Ada"));
}

#[test]
fn a_record_that_is_missing_spoilt_or_somebody_elses_lets_nothing_through() {
    let works = Works::ready();
    works.policy("");
    // Nothing recorded is no leave: the first promotion is approved like any other widening.
    works.refused(&[], 1, "scope", "gate.scope_widened");
    works.refused(&["--promoted", "none.pem"], 1, "scope", "gate.scope_widened");
    fs::write(works.path("last.pem"), "").unwrap();
    works.refused(&["--promoted", "last.pem"], 2, "scope", "gate.unreadable");
    fs::copy(works.path("agents/gate/agent.pem"), works.path("last.pem")).unwrap();
    works.refused(&["--promoted", "last.pem"], 2, "scope", "gate.promoted_invalid");
    // A certificate of the same name by another authority.
    let other = Desk::with_billing();
    let forged = fs::read(other.path("agents/billing/agent.pem")).unwrap();
    fs::write(works.path("last.pem"), forged).unwrap();
    works.refused(&["--promoted", "last.pem"], 2, "scope", "gate.promoted_invalid");
}

#[test]
fn no_events_too_few_or_old_ones_are_no_pass() {
    let works = Works::with_calls(0, Mode::Enforce);
    works.refused(&[], 2, "log", "gate.evidence_none");
    fs::create_dir_all(works.path("empty")).unwrap();
    for place in ["empty", "nowhere", "root.pem"] {
        let answer = works.gate_with(&["--receipts", place], None);
        assert_ne!(answer["decision"], "pass", "{place}: {answer:#}");
        assert_ne!(check(&answer, "log")["outcome"], "pass", "{place}");
        assert_eq!(check(&answer, "evidence")["code"], "gate.not_reached", "{place}");
    }
    works.work(3, Mode::Enforce);
    works.refused(&[], 2, "evidence", "gate.evidence_few");
    works.work(12, Mode::Enforce);
    works.gate(&[], 0);
    works.refused(&["--min-calls", "100"], 2, "evidence", "gate.evidence_few");
    // A fortnight later nothing of it counts any more, and a day before it has not happened yet.
    let later = works.gate_with(&["--at", &at(20)], None);
    assert_eq!(check(&later, "evidence")["code"], "gate.evidence_old");
    let before = works.gate_with(&["--at", &at(-1)], None);
    assert_eq!(check(&before, "evidence")["code"], "gate.evidence_future");
}

/// Days from now.
fn at(days: i64) -> String {
    use kakunin_core::time::UnixTime;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    UnixTime::from_seconds(now.cast_signed() + days * 86_400).to_string()
}

#[test]
fn a_journal_that_was_cut_changed_or_of_somebody_else_does_not_pass() {
    let works = Works::ready();
    works.gate(&[], 0);
    let segment = newest(&works.path("agents/billing/state/journal"));
    let whole = fs::read(&segment).unwrap();
    // The end cut off, within a receipt and between two.
    for left in [whole.len() - 40, whole.len() / 2] {
        fs::write(&segment, &whole[..left]).unwrap();
        let answer = works.gate(&[], 1);
        assert_eq!(check(&answer, "log")["outcome"], "fail", "{answer:#}");
    }
    // One letter of an action.
    let mut changed = whole.clone();
    let place = changed.windows(13).position(|window| window == b"read:invoices").unwrap_or(whole.len() / 3);
    changed[place] ^= 1;
    fs::write(&segment, &changed).unwrap();
    works.refused(&[], 1, "log", "gate.log_invalid");
    assert_eq!(check(&works.gate(&[], 1), "evidence")["code"], "gate.not_reached");
    assert_eq!(check(&works.gate(&[], 1), "threshold")["code"], "gate.not_reached");
    fs::write(&segment, &whole).unwrap();
    works.gate(&[], 0);
    // Another agent's work is not this one's.
    works.refused(&["--receipts", "agents/gate"], 2, "log", "gate.evidence_none");
    works.gate(&["--as", "agents/gate"], 0);
    works.refused(&["--receipts", "agents/gate"], 2, "evidence", "gate.evidence_none");
}

fn newest(folder: &Path) -> std::path::PathBuf {
    let mut found = Vec::new();
    for stream in fs::read_dir(folder).unwrap() {
        let stream = stream.unwrap().path();
        if stream.is_dir() && !stream.ends_with("archive") {
            found.extend(fs::read_dir(stream).unwrap().map(|file| file.unwrap().path()));
        }
    }
    found.into_iter().filter(|file| file.extension().is_some_and(|kind| kind == "seg")).max().unwrap()
}

#[test]
fn an_agent_that_is_held_revoked_expired_or_unknown_does_not_pass() {
    let works = Works::ready();
    let lists = works.path(".kakunin/public/lists.pem");
    let good = fs::read(&lists).unwrap();
    fs::write(works.path("good.pem"), &good).unwrap();
    works.desk.yes(&["suspend", "billing", "--reason", "audit"]);
    works.refused(&[], 1, "standing", "certificate.held");
    works.desk.yes(&["revoke", "billing", "--reason", "drift"]);
    works.refused(&[], 1, "standing", "certificate.revoked");
    // An old list, an ended one, none.
    let answer = works.gate_with(&["--crl", "good.pem", "--at", &at(2)], None);
    assert_eq!(check(&answer, "standing")["code"], "gate.list_old");
    works.policy(&works.approval("none"));
    let answer = works.gate_with(&["--crl", "good.pem", "--at", &at(30)], None);
    assert_eq!(check(&answer, "certificate")["code"], "certificate.expired");
    assert_eq!(check(&answer, "standing")["code"], "gate.not_reached");
    works.refused(&["--crl", "missing.pem"], 2, "standing", "gate.unreadable");
    works.refused(&["--crl", "root.pem"], 2, "standing", "gate.unreadable");
    let other = Desk::with_billing();
    fs::copy(other.path(".kakunin/public/lists.pem"), works.path("other.pem")).unwrap();
    works.refused(&["--crl", "other.pem"], 2, "standing", "revocation.invalid");
    fs::copy(other.path("agents/billing/ca.pem"), works.path("other-root.pem")).unwrap();
    works.refused(&["--root", "other-root.pem"], 1, "certificate", "certificate.untrusted");
    works.refused(&["--certificate", "gone.pem"], 2, "certificate", "gate.unreadable");
    works.refused(&["--agent", "00000000-0000-4000-8000-000000000000"], 1, "certificate", "gate.other_agent");
}

#[test]
fn calls_that_no_leash_held_count_only_where_the_policy_says_so() {
    let works = Works::with_calls(12, Mode::Observe);
    works.refused(&[], 1, "mode", "gate.observe_mode");
    let approval = works.approval("none");
    works.policy(&approval);
    let text = fs::read_to_string(works.path("gate.toml")).unwrap();
    fs::write(works.path("gate.toml"), format!("observe = \"accept\"\n{text}")).unwrap();
    works.gate(&[], 0);
}

#[test]
fn examples_are_put_before_the_leash_itself() {
    let works = Works::ready();
    let approval = works.approval("none");
    let with = |examples: &str| {
        fs::write(works.path("gate.toml"), format!("{}{approval}{examples}", works.terms())).unwrap();
    };
    let pay = |kind: &str, amount: &str, party: &str, code: &str| {
        format!(
            "[[{kind}]]\naction = \"payments:send\"\namount = \"{amount}\"\ncurrency = \"EUR\"\ncounterparty = \"{party}\"\n{code}\n"
        )
    };
    let (yes, no) =
        (pay("allowed", "12.50", "acme", ""), pay("denied", "12500.00", "acme", "code = \"scope.amount\""));
    with("");
    works.refused(&[], 2, "leash", "gate.examples_missing");
    with(&yes);
    works.refused(&[], 2, "leash", "gate.examples_missing");
    with(&format!("{yes}{no}"));
    works.gate(&[], 0);
    with(&format!("{yes}{no}{}", pay("allowed", "12.50", "mallory", "")));
    let answer = works.refused(&[], 1, "leash", "gate.example_denied");
    assert!(check(&answer, "leash")["sentence"].as_str().unwrap().contains("scope.counterparty"));
    with(&format!("{yes}{no}{}", pay("denied", "9999.00", "acme", "")));
    works.refused(&[], 1, "leash", "gate.example_allowed");
    with(&format!("{yes}{}", pay("denied", "12500.00", "acme", "code = \"scope.counterparty\"")));
    works.refused(&[], 1, "leash", "gate.example_reason");
    // A misspelt example shows nothing of the scope.
    with(&format!("{yes}{}", pay("denied", "12,500", "acme", "")));
    works.refused(&[], 1, "leash", "gate.example_reason");
    // Each begins with nothing spent, and a window is asked as well.
    with(&format!("{yes}{yes}{no}{}", pay("denied", "20000.01", "acme", "code = \"scope.amount\"")));
    works.gate(&[], 0);
}

#[test]
fn a_policy_says_in_which_line_it_is_wrong_and_is_never_asked_for_less() {
    let works = Works::ready();
    let policy = fs::read_to_string(works.path("gate.toml")).unwrap();
    for (line, more) in [
        (1, "fail_no = \"watch\"\n"),
        (2, "\nfail_on = \"revoke\"\n"),
        (1, "min_calls = 0\n"),
        (1, "max_age = \"1 week\"\n"),
        (1, "observe = \"yes\"\n"),
        (1, "tolerate = [\"stream.contradicted\"]\n"),
        (1, "baseline = \"00\"\n"),
        (1, "risk_policy = \"default\"\n"),
        (1, "promoted = \"none\"\n"),
        (1, "[[explained]]\nreceipt = \"00\"\nby = \"Ada\"\nuntil = \"2099-01-01T00:00:00Z\"\n"),
    ] {
        let rest = policy.replace(&works.terms(), "");
        fs::write(works.path("gate.toml"), format!("{more}{rest}")).unwrap();
        let answer = works.gate(&[], 2);
        let error = answer["error"].as_str().unwrap();
        assert!(error.contains(&format!("gate.toml: line {line}: ")), "{more}: {error}");
    }
    fs::write(works.path("gate.toml"), &policy).unwrap();
    for less in [["--min-calls", "1"], ["--max-age", "400d"], ["--fail-on", "suspend"]] {
        let answer = works.gate(&less, 64);
        assert!(answer["error"].as_str().unwrap().contains("less than the policy"), "{answer}");
    }
    works.gate(&["--min-calls", "11", "--max-age", "13d", "--fail-on", "watch"], 0);
}

#[test]
fn a_gate_that_may_not_promote_promotes_nobody() {
    let works = Works::ready();
    fs::write(works.path("gate-scope.toml"), GATE_SCOPE.replace("\"gate:promote\", ", "")).unwrap();
    works.desk.yes(&["agent", "create", "clerk", "--scope", "gate-scope.toml", "--out", "agents/clerk"]);
    let answer = works.gate(&["--as", "agents/clerk", "--promoted", "last.pem"], 2);
    assert_eq!(answer["decision"], "cannot-evaluate");
    assert!(answer["trouble"][0].as_str().unwrap().contains("scope.action"), "{answer:#}");
    assert!(!works.path("last.pem").exists());
    let answer = works.gate(&["--as", "agents/nobody", "--promoted", "last.pem"], 2);
    assert!(answer["trouble"][0].as_str().unwrap().contains("agents/nobody"), "{answer:#}");
    // What is refused is signed, too.
    works.policy("");
    let answer = works.gate(&["--as", "agents/gate"], 1);
    let why = works.desk.yes(&["why", answer["receipt"].as_str().unwrap(), "--agent", "agents/gate"]);
    assert_eq!(why["action"], "gate:refuse");
    assert!(why.to_string().contains("verdict:fail"));
}

#[test]
fn a_baseline_that_is_missing_spoilt_or_another_one_does_not_pass() {
    let works = Works::ready();
    works.refused(&["--baseline", "gone.json"], 2, "risk", "gate.baseline_missing");
    fs::write(works.path("spoilt.json"), "{}").unwrap();
    works.refused(&["--baseline", "spoilt.json"], 2, "risk", "gate.baseline_missing");
    let text = fs::read_to_string(works.path("gate.toml")).unwrap();
    let other = text.replace(&works.terms(), &format!("{POLICY}baseline = \"{}\"\n", "0".repeat(64)));
    fs::write(works.path("gate.toml"), other).unwrap();
    let answer = works.refused(&[], 1, "risk", "gate.baseline_other");
    assert_eq!(check(&answer, "threshold")["code"], "gate.not_reached");
    // Whoever may choose what is usual chooses what was done yesterday.
    fs::write(works.path("gate.toml"), text.replace(&works.terms(), POLICY)).unwrap();
    works.refused(&[], 2, "risk", "gate.baseline_unnamed");
}

#[test]
fn a_risk_policy_that_the_policy_does_not_name_is_none() {
    let works = Works::ready();
    works.gate(&[], 0);
    fs::write(works.path("lax.toml"), "highest = \"clear\"\ncanaries = []\n").unwrap();
    let answer = works.refused(&["--risk-policy", "lax.toml"], 1, "risk", "gate.risk_policy_other");
    assert_eq!(check(&answer, "threshold")["code"], "gate.not_reached");
    // Named, it is the owner's; and then the defaults are another one.
    works.risk_policy("canaries = [\"read:vault\"]\n", &works.approval("none"));
    works.gate(&["--risk-policy", "risk.toml"], 0);
    works.refused(&[], 1, "risk", "gate.risk_policy_other");
    works.refused(&["--risk-policy", "lax.toml"], 1, "risk", "gate.risk_policy_other");
}

#[test]
fn a_record_that_no_gate_wrote_lets_nothing_through() {
    let works = Works::ready();
    let (before, to_first) = (works.scope(), works.approval("none"));
    // The candidate as its own last promotion.
    works.policy("");
    fs::copy(works.path("agents/billing/agent.pem"), works.path("last.pem")).unwrap();
    works.refused(&["--promoted", "last.pem"], 2, "scope", "gate.promoted_invalid");
    works.refused(&["--promoted", "last.pem", "--as", "agents/gate"], 2, "scope", "gate.promoted_invalid");
    works.policy(&format!("promoted = \"{}\"\n", "0".repeat(64)));
    works.refused(&["--promoted", "last.pem"], 2, "scope", "gate.promoted_invalid");
    // The policy says so, with a record or without.
    works.policy(&format!("promoted = \"{before}\"\n"));
    works.gate(&["--promoted", "last.pem"], 0);
    works.gate(&[], 0);
    // The gate says so.
    fs::remove_file(works.path("last.pem")).unwrap();
    works.policy(&to_first);
    works.gate(&["--promoted", "last.pem", "--as", "agents/gate"], 0);
    works.policy("");
    works.gate(&["--promoted", "last.pem", "--as", "agents/gate"], 0);
    // A wider one in its place, or none, is no leave.
    works.widen();
    let genuine = fs::read(works.path("last.pem")).unwrap();
    fs::copy(works.path("agents/billing/agent.pem"), works.path("last.pem")).unwrap();
    works.refused(&["--promoted", "last.pem", "--as", "agents/gate"], 2, "scope", "gate.promoted_invalid");
    fs::remove_file(works.path("last.pem")).unwrap();
    let answer =
        works.refused(&["--promoted", "last.pem", "--as", "agents/gate"], 1, "scope", "gate.scope_widened");
    assert!(
        text(check(&answer, "scope"), "sentence").contains(&format!("from = \"{before}\"")),
        "{answer:#}"
    );
    fs::write(works.path("last.pem"), genuine).unwrap();
    works.refused(&["--promoted", "last.pem", "--as", "agents/gate"], 1, "scope", "gate.scope_widened");
    // Another agent's word that it was promoted is none, whoever it is.
    let works = Works::ready();
    works.gate(&["--promoted", "last.pem", "--as", "agents/gate"], 0);
    works.policy("");
    works.desk.yes(&["agent", "create", "other", "--scope", "gate-scope.toml", "--out", "agents/other"]);
    works.refused(&["--promoted", "last.pem", "--as", "agents/other"], 2, "scope", "gate.promoted_invalid");
}

#[test]
fn a_promotion_that_could_not_be_written_down_is_none() {
    let works = Works::ready();
    let outcome = |answer: &Value| {
        let why = works.desk.yes(&["why", text(answer, "receipt"), "--agent", "agents/gate"]);
        (text(&why, "action").to_owned(), text(&why, "outcome").to_owned())
    };
    let answer =
        works.gate(&["--as", "agents/gate", "--promoted", "gone/last.pem", "--report", "gate.json"], 2);
    assert_eq!(outcome(&answer), ("gate:promote".to_owned(), "raised".to_owned()));
    // The report comes after the record, which is then as it was.
    let answer =
        works.gate(&["--as", "agents/gate", "--promoted", "last.pem", "--report", "gone/gate.json"], 2);
    assert!(answer["error"].as_str().unwrap().contains("gone/gate.json"), "{answer}");
    assert!(!works.path("last.pem").exists());
    works.policy("");
    works.refused(&["--as", "agents/gate", "--promoted", "last.pem"], 1, "scope", "gate.scope_widened");
}

#[test]
fn whoever_looks_back_signs_records_and_stops_nothing() {
    let works = Works::ready();
    let now = at(0);
    for flags in [vec!["--as", "agents/gate"], vec!["--suspend-on-fail"], vec!["--revoke-on-fail"]] {
        let mut arguments = works.arguments(&["--at", &now]);
        arguments.extend(flags);
        assert_eq!(works.desk.run(&arguments).status.code(), Some(64), "{arguments:?}");
    }
    let answer = works.gate(&["--at", &now, "--promoted", "last.pem"], 0);
    assert!(answer["promoted"].is_null() && !works.path("last.pem").exists(), "{answer:#}");
}

#[test]
fn a_level_is_explained_by_a_person_for_one_receipt_until_a_day() {
    const RISK: &str = "canaries = [\"read:vault\"]\n[facts]\ncanary-touched = \"suspend\"\n";
    let works = Works::ready();
    let approval = works.approval("none");
    let receipt = works.touch_the_canary();
    let explained = |receipt: &str, until: &str| {
        format!("[[explained]]\nreceipt = \"{receipt}\"\nby = \"Ada\"\nuntil = \"{until}\"\n")
    };
    let asked = ["--risk-policy", "risk.toml"];
    works.risk_policy(RISK, &approval);
    works.refused(&asked, 1, "threshold", "gate.risk_level");
    for other in
        [explained(&"0".repeat(64), "2099-01-01T00:00:00Z"), explained(&receipt, "2001-01-01T00:00:00Z")]
    {
        works.risk_policy(RISK, &format!("{approval}{other}"));
        works.refused(&asked, 1, "threshold", "gate.risk_level");
    }
    let exact = format!("{approval}{}", explained(&receipt, "2099-01-01T00:00:00Z"));
    works.risk_policy(RISK, &exact);
    let answer = works.gate(&asked, 0);
    assert_eq!(answer["risk"]["level"], "clear", "{answer:#}");
    // What comes after it is not explained by it.
    works.touch_the_canary();
    works.refused(&asked, 1, "threshold", "gate.risk_level");
    // What revokes is explained by nobody.
    works.risk_policy("canaries = [\"read:vault\"]\n", &exact);
    works.refused(&asked, 1, "threshold", "gate.risk_level");
}

#[test]
fn nobody_is_stopped_by_papers_that_do_not_verify_or_are_of_another_authority() {
    let works = Works::ready();
    works.risk_policy("canaries = [\"read:vault\"]\n", &works.approval("none"));
    let copied = std::process::Command::new("cp")
        .args(["-a", ".kakunin", "old-home"])
        .current_dir(works.path(""))
        .status();
    assert!(copied.unwrap().success());
    works.touch_the_canary();
    let other = Desk::with_billing();
    fs::copy(other.path(".kakunin/public/lists.pem"), works.path("other.pem")).unwrap();
    let run = |more: &[&str]| {
        let mut arguments = works.arguments(more);
        arguments.extend(["--risk-policy", "risk.toml", "--suspend-on-fail", "--revoke-on-fail", "--json"]);
        let output = works.desk.run(&arguments);
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((answer["agent_suspended"].as_bool(), works.standing().as_str()), (Some(false), "good"));
        assert_eq!(check(&answer, "threshold")["code"], "gate.risk_level", "{answer:#}");
        answer
    };
    // Nobody knows how it stands, so nobody knows whose journal it is.
    run(&["--crl", "other.pem"]);
    run(&["--crl", "gone.pem"]);
    // A certificate that ended long ago names the same agent.
    let bare = fs::read(works.path("agents/billing/agent.pem")).unwrap();
    fs::write(works.path("bare.pem"), bare).unwrap();
    let answer = run(&["--certificate", "bare.pem"]);
    assert_ne!(check(&answer, "certificate")["code"], "gate.ok");
    // An authority that knows the agent by its id, and did not sign this certificate.
    works.desk.yes(&["agent", "renew", "billing"]);
    let answer = run(&["--home", "old-home"]);
    assert!(answer["trouble"][0].as_str().unwrap().contains("did not certify"), "{answer:#}");
}

#[test]
fn a_stream_that_was_left_out_is_missed_only_where_the_policy_asks_for_witnesses() {
    let works = Works::ready();
    works.risk_policy("canaries = [\"read:vault\"]\n", &works.approval("none"));
    let asked = ["--risk-policy", "risk.toml"];
    let streams = || {
        let folders = fs::read_dir(works.path("agents/billing/state/journal")).unwrap();
        let folders = folders.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
        folders.collect::<std::collections::BTreeSet<_>>()
    };
    let before = streams();
    works.touch_the_canary();
    works.refused(&asked, 1, "threshold", "gate.risk_level");
    let after = streams();
    let risky: Vec<_> = after.difference(&before).collect();
    assert_eq!(risky.len(), 1);
    fs::remove_dir_all(risky[0]).unwrap();
    works.gate(&asked, 0);
    let text = fs::read_to_string(works.path("gate.toml")).unwrap();
    fs::write(works.path("gate.toml"), format!("tolerate = []\n{text}")).unwrap();
    let answer = works.refused(&asked, 1, "log", "gate.log_incomplete");
    assert!(text_of(&answer, "log").contains("tail.not_witnessed"), "{answer:#}");
}

fn text_of(answer: &Value, step: &str) -> String {
    text(check(answer, step), "sentence").to_owned()
}

#[test]
fn a_level_of_risk_fails_and_acts_on_nobody_unless_somebody_with_the_right_says_so() {
    let works = Works::ready();
    works.risk_policy("canaries = [\"read:vault\"]\n", &works.approval("none"));
    works.gate(&["--risk-policy", "risk.toml"], 0);
    works.touch_the_canary();
    let standing = || works.standing();
    let answer = works.refused(&["--risk-policy", "risk.toml"], 1, "threshold", "gate.risk_level");
    assert_eq!(
        (answer["risk"]["level"].as_str(), standing().as_str()),
        (Some("revoke"), "good"),
        "{answer:#}"
    );
    // What is nobody's conduct suspends nobody: the same evidence, and nobody can say how old the list is.
    let mut arguments = works.arguments(&["--risk-policy", "risk.toml", "--receipts", "nowhere"]);
    arguments.extend(["--suspend-on-fail", "--revoke-on-fail", "--json"]);
    assert_eq!(works.desk.run(&arguments).status.code(), Some(2));
    assert_eq!(standing(), "good");
    // Without the authority's home nothing is done, and that is said.
    let mut arguments = works.arguments(&["--risk-policy", "risk.toml", "--home", "elsewhere"]);
    arguments.extend(["--suspend-on-fail", "--json"]);
    let output = works.desk.run(&arguments);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), answer["agent_suspended"].as_bool()), (Some(1), Some(false)));
    assert!(answer["trouble"][0].as_str().unwrap().contains("suspended was asked for"), "{answer:#}");
    for (flag, after, revoked) in
        [("--suspend-on-fail", "held", false), ("--revoke-on-fail", "revoked", true)]
    {
        let mut arguments = works.arguments(&["--risk-policy", "risk.toml"]);
        arguments.extend([flag, "--json"]);
        let output = works.desk.run(&arguments);
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{answer:#}");
        assert_eq!(
            (answer["agent_suspended"].as_bool(), answer["cert_revoked"].as_bool()),
            (Some(true), Some(revoked))
        );
        assert_eq!(standing(), after);
    }
}

#[test]
fn the_runner_reads_outputs_a_summary_and_annotations_that_no_name_can_break() {
    let works = Works::ready();
    works.policy("");
    let hostile = "x\n::error::pwned\ndecision=pass\nEOF\n| <b>`$(id)`";
    let mut command = works.desk.command(&works.arguments(&["--github", "--repo", "a/b"]));
    fs::create_dir(works.path("odd,:%\n::name")).unwrap();
    command.args(["--commit", hostile]);
    command.env("GITHUB_OUTPUT", works.path("output")).env("GITHUB_STEP_SUMMARY", works.path("summary"));
    let output = command.output().unwrap();
    let (_, err) = texts(&output);
    assert_eq!(output.status.code(), Some(1), "{err}");
    let commands: Vec<&str> = err.lines().filter(|line| line.starts_with("::")).collect();
    assert!(
        !commands.is_empty()
            && commands.iter().all(|line| line.starts_with("::error title=kakunin gate%3A ")),
        "{err}"
    );
    assert!(!err.contains("pwned"));
    let outputs = fs::read_to_string(works.path("output")).unwrap();
    assert_eq!(read_outputs(&outputs).get("decision").map(String::as_str), Some("fail"), "{outputs}");
    let names: Vec<String> = read_outputs(&outputs).into_keys().collect();
    assert_eq!(
        names,
        ["agent-suspended", "cert-revoked", "decision", "level", "receipt", "report", "risk-score"]
    );
    let summary = fs::read_to_string(works.path("summary")).unwrap();
    assert!(
        summary.contains("### kakunin gate: fail")
            && summary.contains("| scope | **fail** | gate.scope_widened |")
    );
    // Nor commands of the older form, which stand anywhere in a line, in what is refused or misspelt.
    for more in [["--receipts", "no ##[stop-commands]x"], ["--fail-on", "x\n::error::pwned ##[add-mask]pass"]]
    {
        let mut command = works.desk.command(&works.arguments(&more));
        command.arg("--github").env_remove("GITHUB_OUTPUT").env_remove("GITHUB_STEP_SUMMARY");
        let output = command.output().unwrap();
        let (out, err) = texts(&output);
        assert!(matches!(output.status.code(), Some(1 | 64)), "{out}{err}");
        assert!(!out.contains("##[") && !err.contains("##["), "{out}{err}");
        assert!(!err.lines().any(|line| line.trim_start().starts_with("::error::")), "{err}");
        let mut command = works.desk.command(&works.arguments(&more));
        command.args(["--github", "--json"]).env_remove("GITHUB_OUTPUT").env_remove("GITHUB_STEP_SUMMARY");
        let (out, err) = texts(&command.output().unwrap());
        assert!(!out.contains("##[") && !err.contains("##["), "{out}{err}");
    }
    // A broken policy answers, too.
    fs::write(works.path("gate.toml"), "x = 1").unwrap();
    fs::remove_file(works.path("output")).unwrap();
    let mut command = works.desk.command(&works.arguments(&["--github", "--repo", "a/b"]));
    command.env("GITHUB_OUTPUT", works.path("output")).env_remove("GITHUB_STEP_SUMMARY");
    assert_eq!(command.output().unwrap().status.code(), Some(2));
    let outputs = read_outputs(&fs::read_to_string(works.path("output")).unwrap());
    assert_eq!(outputs.get("decision").map(String::as_str), Some("cannot-evaluate"));
}

/// As the runner reads the file.
fn read_outputs(text: &str) -> std::collections::BTreeMap<String, String> {
    let mut lines = text.lines();
    let mut outputs = std::collections::BTreeMap::new();
    while let Some(line) = lines.next() {
        let (name, end) = line.split_once("<<").unwrap();
        let value: Vec<&str> = lines.by_ref().take_while(|line| *line != end).collect();
        outputs.insert(name.to_owned(), value.join("\n"));
    }
    outputs
}

#[test]
fn findings_are_sarif_with_a_rule_and_a_place_for_each() {
    let works = Works::ready();
    fs::write(works.path("gate.toml"), POLICY).unwrap();
    works.gate(&["--sarif", "gate.sarif", "--receipts", "nowhere"], 1);
    let sarif: Value = serde_json::from_slice(&fs::read(works.path("gate.sarif")).unwrap()).unwrap();
    assert_eq!(sarif["version"], "2.1.0");
    let run = &sarif["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let results = run["results"].as_array().unwrap();
    assert!(results.len() >= 5);
    for result in results {
        let rule = &rules[usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()];
        assert_eq!(rule["id"], result["ruleId"]);
        assert!(!rule["help"]["text"].as_str().unwrap().is_empty());
        assert_eq!(result["level"], "error");
        assert!(!result["message"]["text"].as_str().unwrap().is_empty());
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "gate.toml");
        assert!(place["region"]["startLine"].as_u64().unwrap() >= 1);
    }
    let ids: std::collections::BTreeSet<&str> =
        rules.iter().map(|rule| rule["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), rules.len());
    assert_eq!(run["invocations"][0]["exitCode"], 1);
}

/// What is usual for billing, learnt from calls that lie elsewhere.
fn baseline(desk: &Desk) -> String {
    let home = AgentHome::open(&desk.path("agents/billing"), None).unwrap();
    let state = StateChoice::Path(desk.path("before"));
    let guard = Guard::open(home, GuardOptions { state, ..GuardOptions::default() }).unwrap();
    for _ in 0..110 {
        guard.admit(&ActionRequest::new("read:invoices")).unwrap().begin().unwrap().returned();
    }
    guard.close();
    struct Learning(Vec<Observation>);
    impl Watch for Learning {
        fn receipt(&mut self, seen: &Seen<'_>) {
            self.0.extend(Observation::of(seen.hash(), seen.statement(), seen.disclosures(), None));
        }
    }
    let root = CertificateDer::from_pem_file(desk.path("agents/billing/ca.pem")).unwrap();
    let anchors = TrustAnchors::new([root.as_ref()]).unwrap();
    let mut learning = Learning(Vec::new());
    let _ = Inquiry::by(anchors).of(&desk.path("before"), &[], &mut learning).unwrap();
    Baseline::learn(&in_order(learning.0), &RiskPolicy::default()).unwrap().to_json()
}

const POLICY: &str = "max_age = \"14d\"\nmin_calls = 10\n";

const EXAMPLES: &str = r#"
[[allowed]]
action = "payments:send"
amount = "12.50"
currency = "EUR"
counterparty = "acme"
[[denied]]
action = "payments:send"
amount = "12500.00"
currency = "EUR"
counterparty = "acme"
code = "scope.amount"
"#;

const GATE_SCOPE: &str = r#"
actions = ["gate:promote", "gate:refuse"]
[[counterparties]]
for = ["gate:*"]
allow = ["urn:kakunin:agent:*"]
"#;
