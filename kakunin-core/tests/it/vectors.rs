//! The shared vectors, run through the public way from bytes to a decision; and that no code lacks one.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use kakunin_core::certificate::{AgentCertificate, PathLists, TrustAnchors};
use kakunin_core::decision::Decision;
use kakunin_core::environment::asks_for_less;
use kakunin_core::leash::{Leash, SlidingSum};
use kakunin_core::reason::DenialReason;
use kakunin_core::request::{ActionRequest, Amount, Names};
use kakunin_core::scope::{NameList, NameLists};
use kakunin_core::selector::{
    GivenNames, SelectedAmount, SelectedCurrency, SelectedMinor, SelectedNames, SelectedWritten, Written,
};
use kakunin_core::time::UnixMillis;
use kakunin_core::written;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::Value;

#[test]
fn every_vector_gets_its_answer() {
    let vectors = read();
    let mut wrong = Vec::new();
    for case in vectors["cases"].as_array().unwrap() {
        let found = answer(&vectors, case).unwrap_or_else(DenialReason::code);
        if found != case["expect"] {
            wrong.push(format!("{}: expected {}, found {found}", case["name"], case["expect"]));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// What every binding makes of its host's numbers and environment.
#[test]
fn numbers_and_variables_of_a_host_get_their_answers() {
    let text = fs::read_to_string(root().join("vectors/host.json")).unwrap();
    let vectors: Value = serde_json::from_str(&text).unwrap();
    let (numbers, variables) = (&vectors["numbers"], &vectors["variables"]);
    for case in numbers.as_array().unwrap() {
        let json = case["json"].as_str().unwrap();
        let integer = json.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        let found = match integer {
            true => json.parse().ok().and_then(written::integer),
            false => written::float(json.parse().unwrap()),
        };
        assert_eq!(found.as_deref(), case["text"].as_str(), "{json}");
        // As a selector of the attribute reads the same number.
        let selected = match integer {
            true => json.parse::<i128>().map_or(Written::Number(None), |number| owned(&number)),
            false => owned(&json.parse::<f64>().unwrap()),
        };
        assert_eq!(selected, Written::Number(found), "{json}");
    }
    for case in variables.as_array().unwrap() {
        let (name, value) = (case["name"].as_str().unwrap(), case["value"].as_str().unwrap());
        assert_eq!(Some(asks_for_less(name, value)), case["asks"].as_bool(), "{name}={value}");
    }
    assert!(numbers.as_array().unwrap().len() > 200 && variables.as_array().unwrap().len() > 300);
}

fn owned(number: &impl SelectedWritten) -> Written<'static> {
    match number.written() {
        Written::Number(text) => Written::Number(text),
        Written::Other(other) => panic!("{other:?} is no number"),
    }
}

/// Each code has a vector, or a test that is named here because more than certificate, lists, time and request is
/// needed to produce it.
#[test]
fn every_code_has_a_vector_or_a_named_test() {
    let vectors = read();
    let expected: Vec<&str> =
        vectors["cases"].as_array().unwrap().iter().map(|case| case["expect"].as_str().unwrap()).collect();
    let text = source_text();
    for reason in DenialReason::ALL {
        let code = reason.code();
        let named = ELSEWHERE.iter().find(|(known, _)| *known == code);
        match named {
            None => assert!(expected.contains(&code), "{code} has neither a vector nor a named test"),
            Some(_) if expected.contains(&code) => panic!("{code} has a vector: take it from the table"),
            Some((_, "")) => assert!(
                !text.contains(&format!("DenialReason::{reason:?}")),
                "{code} is produced somewhere; name the test that shows it"
            ),
            Some((_, test)) => assert!(
                ["fn", "def"].iter().any(|word| text.contains(&format!("{word} {test}("))),
                "{code}: there is no test `{test}` in this repository"
            ),
        }
    }
    for (code, _) in ELSEWHERE {
        assert!(DenialReason::from_code(code).is_some(), "{code} is no code");
    }
}

/// The rows of the fail-open probes that certificate, lists, time and request can show.
#[test]
fn every_row_that_a_vector_can_show_has_one() {
    let vectors = read();
    for row in [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 19] {
        let shown = vectors["cases"].as_array().unwrap().iter().any(|case| case["row"] == row);
        assert!(shown, "row {row}");
    }
}

/// Codes that a vector cannot produce, and the test that does, in Rust or Python; no name while no crate produces the code.
const ELSEWHERE: [(&str, &str); 11] = [
    ("agent.missing", "test_without_an_agent_everything_is_denied"),
    ("agent.forked", "a_fork_ends_an_agent_in_memory_and_gives_one_with_files_a_stream_of_its_own"),
    ("agent.mismatch", "a_certificate_of_another_agent_is_a_mismatch"),
    ("clock.untrusted", "a_clock_set_back_denies_and_a_night_asleep_does_not"),
    ("budget.unknown", "a_lost_budget_file_denies_for_one_window"),
    ("budget.busy", "a_budget_file_locked_by_another_is_busy_for_what_has_budgets_only"),
    ("journal.unavailable", "the_journal_taken_away_is_noticed_within_a_second"),
    ("journal.locked", "a_state_that_another_process_holds_locked_denies_until_it_lets_go"),
    ("journal.poisoned", "a_failed_outcome_denies_the_next_decision_and_a_failed_decision_itself"),
    ("journal.unsigned_backlog", "a_backlog_waits_for_the_signer_then_denies_and_heals"),
    ("internal", "a_panic_inside_the_guard_is_a_denial_and_the_host_lives"),
];

fn answer(vectors: &Value, case: &Value) -> Result<&'static str, DenialReason> {
    let setup = &vectors["setups"][case["setup"].as_str().unwrap()];
    let fixtures = |kind: &str, field: &str| -> Vec<String> {
        let keys = setup[field].as_array().unwrap().iter();
        keys.map(|key| vectors[kind][key.as_str().unwrap()].as_str().unwrap().to_owned()).collect()
    };
    let der = |pem: &String| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec();
    let certificates = |field| fixtures("certificates", field).iter().map(der).collect::<Vec<_>>();
    let at = UnixMillis::parse_rfc3339(case["at"].as_str().unwrap()).unwrap();
    let now = at.to_seconds();

    let agent = der(&vectors["certificates"][setup["agent"].as_str().unwrap()].as_str().unwrap().to_owned());
    let agent = AgentCertificate::decode(&agent).map_err(|_| DenialReason::CertificateMalformed)?;
    let (roots, chain) = (certificates("roots"), certificates("chain"));
    let anchors = TrustAnchors::new(roots.iter().map(Vec::as_slice)).map_err(|error| error.reason())?;
    let path = agent.verify_path(chain.iter().map(Vec::as_slice), &anchors, now).map_err(|e| e.reason())?;
    let read_lists = |field| PathLists::from_pem(fixtures("lists", field).concat().as_bytes(), &path);
    let lists = read_lists("lists").map_err(|error| error.reason())?;
    if setup["kept"].as_array().unwrap().iter().len() > 0 {
        let kept = read_lists("kept").unwrap();
        lists.may_follow(&kept, &path).map_err(|_| DenialReason::RevocationRollback)?;
    }
    let agent = path.with_lists(lists, now).map_err(|error| error.reason())?;
    agent.denial(now).map_or(Ok(()), Err)?;

    let mut names = NameLists::default();
    for text in fixtures("names", "names") {
        names.insert(NameList::parse(&text).unwrap());
    }
    let leash = Leash::compile(&agent, &names).unwrap();
    let by_hand = decide(&leash, &case["request"], at);
    assert_eq!(decide_selected(&leash, &case["request"], at), by_hand, "{}", case["name"]);
    by_hand
}

/// The same request as the selectors of the attribute read it, straight from JSON.
fn decide_selected(leash: &Leash, request: &Value, at: UnixMillis) -> Result<&'static str, DenialReason> {
    let (mut parties, mut resources) = (GivenNames::default(), GivenNames::default());
    request["counterparty"].give(&mut parties);
    request["resource"].give(&mut resources);
    let minor = request["amount_minor"].as_str().map(|minor| minor.parse::<i128>().unwrap());
    let written = request["as_written"].as_str().map(|json| serde_json::from_str::<Value>(json).unwrap());
    let written = written.as_ref().map(SelectedWritten::written);
    let amount = match (&minor, &written) {
        (Some(minor), None) => minor.minor(),
        (None, Some(Written::Number(Some(text)))) => Amount::AsWritten(text),
        (None, Some(Written::Number(None))) => Amount::Unreadable,
        (None, Some(Written::Other(amount))) => *amount,
        _ => request["amount"].amount(),
    };
    let action = request["action"].as_str().unwrap();
    let (counterparties, resources) = (parties.names(), resources.names());
    let currency = request["currency"].currency();
    answer_to(leash, &ActionRequest { action, amount, currency, counterparties, resources }, at)
}

fn decide(leash: &Leash, request: &Value, at: UnixMillis) -> Result<&'static str, DenialReason> {
    let text = |field: &str| request[field].as_str();
    let many = |field: &str| -> Vec<&str> {
        request[field].as_array().into_iter().flatten().map(|name| name.as_str().unwrap()).collect()
    };
    let (parties, resources) = (many("counterparty"), many("resource"));
    let asked = ActionRequest {
        action: text("action").unwrap(),
        amount: match (text("amount"), text("as_written"), text("amount_minor")) {
            (Some(amount), None, None) => Amount::Decimal(amount),
            (None, Some(written), None) => Amount::AsWritten(written),
            (None, None, Some(minor)) => Amount::Minor(minor.parse().unwrap()),
            _ if request["amount"]["unreadable"] == true => Amount::Unreadable,
            _ => Amount::Absent,
        },
        currency: text("currency"),
        counterparties: names(&request["counterparty"], &parties),
        resources: names(&request["resource"], &resources),
    };
    answer_to(leash, &asked, at)
}

fn answer_to(leash: &Leash, asked: &ActionRequest<'_>, at: UnixMillis) -> Result<&'static str, DenialReason> {
    let permit = match leash.decide(asked, at) {
        Decision::Allow(permit) => permit,
        Decision::Deny(denial) => return Err(denial.reason()),
    };
    // Nothing was spent before: what one action takes must fit into an empty window.
    for charge in leash.charges(&permit) {
        let empty = SlidingSum::new(charge.quota.seconds, charge.quota.scale);
        if !empty.has_room(charge.cost, charge.quota.max, at) {
            let rate = charge.quota.currency.is_none();
            return Err(if rate { DenialReason::BudgetRate } else { DenialReason::BudgetWindow });
        }
    }
    Ok("allow")
}

fn names<'a>(value: &'a Value, many: &'a [&'a str]) -> Names<'a> {
    match value {
        Value::Null => Names::Absent,
        Value::String(name) => Names::One(name),
        Value::Array(_) => Names::Many(many),
        _ => Names::Unreadable,
    }
}

fn read() -> Value {
    let path = root().join("vectors/cases.json");
    let value: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let cases: HashMap<&str, ()> =
        value["cases"].as_array().unwrap().iter().map(|case| (case["name"].as_str().unwrap(), ())).collect();
    assert!(value["format"] == 1 && cases.len() > 150);
    value
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The text of every source file of this repository's crates.
fn source_text() -> String {
    let mut open: Vec<PathBuf> = fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("kakunin-")))
        .collect();
    let mut text = String::new();
    while let Some(path) = open.pop() {
        if path.is_dir() && !path.ends_with("node_modules") && !path.ends_with("target") {
            open.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs" || extension == "py") {
            text += &fs::read_to_string(path).unwrap();
        }
    }
    text
}
