//! `init`, `agent`, standing, lists: shapes of answers and files.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::thread;
use std::time::Duration;

use crate::desk::{Desk, texts};

#[test]
fn create_and_certify_in_one_command_prints_the_id() {
    let desk = Desk::empty();
    let made = desk.yes(&["init"]);
    assert!(made["lists"].as_str().unwrap().ends_with("/public/lists.pem"));
    let agent = desk.yes(&["agent", "create", "billing", "--scope", "scope.toml", "--out", "agents/billing"]);
    assert_eq!(agent["id"].as_str().unwrap().len(), 36);
    assert_eq!(agent["name"], "billing");
    for name in ["agent.pem", "key.pem", "chain.pem", "ca.pem", "agent.toml", "genesis"] {
        assert!(desk.path("agents/billing").join(name).exists(), "{name}");
    }
    let bare = desk.yes(&["agent", "create", "other", "--scope", "scope.toml"]);
    assert_eq!(bare.as_object().unwrap().keys().collect::<Vec<_>>(), ["id", "name"]);
    let list = desk.yes(&["agent", "list"]);
    assert_eq!(list["agents"].as_array().unwrap().len(), 2);
    assert!(list["agents"][1]["not_after"].is_null());
}

#[test]
fn an_agent_is_meant_by_id_or_by_name() {
    let desk = Desk::with_billing();
    let id = desk.yes(&["agent", "show", "billing"])["id"].as_str().unwrap().to_owned();
    let held = desk.yes(&["suspend", &id, "--reason", "audit"]);
    assert_eq!((held["standing"].as_str(), held["before"].as_str()), (Some("held"), Some("good")));
    let good = desk.yes(&["resume", "billing", "--reason", "passed"]);
    assert_eq!(good["standing"], "good");
    assert!(good["list_number"].as_u64() > held["list_number"].as_u64());
    assert_eq!(desk.yes(&["revoke", "billing", "--reason", "over"])["standing"], "revoked");
    let events = desk.yes(&["agent", "show", &id])["events"].as_array().unwrap().len();
    assert_eq!(events, 3);
}

#[test]
fn refusals_end_with_one_and_one_line_that_names_the_fix() {
    let desk = Desk::with_billing();
    desk.yes(&["agent", "create", "other", "--scope", "scope.toml"]);
    fs::write(desk.path("any.toml"), "actions = [\"*\"]").unwrap();
    fs::write(desk.path("typo.toml"), "actions = [\"read:*\"]\nlimits = []\n").unwrap();
    for (arguments, says) in [
        (&["agent", "create", "billing", "--scope", "scope.toml"][..], "taken"),
        (&["agent", "create", "all", "--scope", "any.toml"], "--allow-any"),
        (&["agent", "create", "typo", "--scope", "typo.toml"], "line 2"),
        (&["agent", "certify", "other", "--out", "agents/billing"], "another directory"),
        (&["agent", "certify", "nobody", "--out", "x"], "kakunin agent list"),
        (&["agent", "renew", "other"], "certify it first"),
        (&["agent", "certify", "billing", "--out", "x", "--after-revocation"], "not revoked"),
        (&["init"], "--home"),
    ] {
        let output = desk.run(arguments);
        let (out, err) = texts(&output);
        assert_eq!(output.status.code(), Some(1), "{arguments:?} {out}{err}");
        assert!(out.is_empty() && err.lines().count() == 1 && err.contains(says), "{arguments:?} {out}{err}");
        let error = desk.answer(arguments, 1)["error"].as_str().unwrap().to_owned();
        assert!(err.contains(&error), "{err} {error}");
    }
    desk.yes(&["agent", "create", "all", "--scope", "any.toml", "--allow-any"]);
    desk.yes(&["suspend", "billing", "--reason", "x"]);
    desk.answer(&["agent", "renew", "billing"], 1);
    desk.answer(&["agent", "certify", "billing", "--out", "y"], 1);
}

#[test]
fn what_is_out_of_reach_ends_with_two() {
    let desk = Desk::empty();
    for arguments in [
        &["agent", "list"][..],
        &["crl"],
        &["suspend", "billing", "--reason", "x"],
        &["agent", "create", "a", "--scope", "missing.toml"],
        &["check", "--agent", "nowhere", "--action", "read:x"],
        &["verify", "nowhere", "--root", "missing.pem"],
    ] {
        let error = desk.answer(arguments, 2);
        assert!(error["error"].is_string(), "{arguments:?}");
    }
}

#[test]
fn the_passphrase_comes_from_the_first_source_there_is() {
    let desk = Desk::empty();
    fs::write(desk.path("secret"), "correct horse\n").unwrap();
    fs::set_permissions(desk.path("secret"), fs::Permissions::from_mode(0o600)).unwrap();
    desk.yes(&["init", "--passphrase-file", "secret"]);
    assert!(!desk.path(".kakunin/passphrase").exists());
    let error = desk.answer(&["crl"], 2);
    assert!(error["error"].as_str().unwrap().contains("--passphrase-file"), "{error}");
    desk.yes(&["crl", "--passphrase-file", "secret"]);
    let with =
        |value: &str| desk.command(&["crl"]).env("KAKUNIN_PASSPHRASE", value).output().unwrap().status.code();
    assert_eq!((with("correct horse"), with("wrong")), (Some(0), Some(2)));
    fs::create_dir(desk.path("credentials")).unwrap();
    fs::write(desk.path("credentials/kakunin"), "correct horse").unwrap();
    let mut command = desk.command(&["crl"]);
    // The service manager's credential comes before the variable.
    let command =
        command.env("CREDENTIALS_DIRECTORY", desk.path("credentials")).env("KAKUNIN_PASSPHRASE", "wrong");
    assert_eq!(command.output().unwrap().status.code(), Some(0));
    fs::set_permissions(desk.path("secret"), fs::Permissions::from_mode(0o644)).unwrap();
    let error = desk.answer(&["crl", "--passphrase-file", "secret"], 2);
    assert!(error["error"].as_str().unwrap().contains("chmod 600"), "{error}");
}

#[test]
fn two_processes_at_once_sign_two_numbers() {
    let desk = Desk::with_billing();
    let numbers = thread::scope(|scope| {
        let publish = || desk.yes(&["crl"])["list_number"].as_u64().unwrap();
        let other = scope.spawn(publish);
        [publish(), other.join().unwrap()]
    });
    assert_eq!(numbers[0].abs_diff(numbers[1]), 1);
}

#[test]
fn commands_killed_at_any_moment_leave_a_home_that_works() {
    let desk = Desk::with_billing();
    let lists = desk.path(".kakunin/public/lists.pem");
    let number = || desk.yes(&["crl"])["list_number"].as_u64().unwrap();
    let mut last = number();
    for round in 0..12_u64 {
        let order = if round % 2 == 0 { "suspend" } else { "resume" };
        let mut child = desk.command(&[order, "billing", "--reason", "killed"]).spawn().unwrap();
        thread::sleep(Duration::from_millis(round * 15));
        child.kill().unwrap();
        child.wait().unwrap();
        // Readers see whole files at every moment.
        assert_eq!(fs::read_to_string(&lists).unwrap().matches("END X509 CRL").count(), 2);
        let next = number();
        assert!(next > last, "{next} after {last}");
        last = next;
    }
    desk.yes(&["resume", "billing", "--reason", "over"]);
    desk.yes(&["doctor"]);
    desk.yes(&["check", "--agent", "agents/billing", "--action", "read:x"]);
    let left: Vec<_> = fs::read_dir(desk.path(".kakunin/public")).unwrap().collect();
    assert_eq!(left.len(), 3, "{left:?}");
}

#[test]
fn lists_are_copied_where_they_are_wanted() {
    let desk = Desk::with_billing();
    desk.yes(&["crl", "--out", "lists.pem", "--hours", "24"]);
    let copy = fs::read_to_string(desk.path("lists.pem")).unwrap();
    assert_eq!(copy, fs::read_to_string(desk.path(".kakunin/public/lists.pem")).unwrap());
    assert_eq!(copy.matches("BEGIN X509 CRL").count(), 2);
    desk.yes(&["crl", "--der", "--out", "issuing.crl"]);
    let list = desk.yes(&["inspect", "issuing.crl"]);
    assert_eq!((list["kind"].as_str(), list["number"].as_str()), (Some("list"), Some("4")));
    // What is new in it goes with any earlier one, and is no list itself.
    desk.yes(&["suspend", "billing", "--reason", "audit"]);
    let made = desk.yes(&["crl", "--delta", "changes.pem"]);
    assert_eq!((made["list_number"].as_u64(), made["delta_base"].as_u64()), (Some(6), Some(1)));
    assert_eq!(fs::read_to_string(desk.path("changes.pem")).unwrap().matches("BEGIN X509 CRL").count(), 1);
    let delta = desk.yes(&["inspect", "changes.pem"]);
    assert_eq!((delta["kind"].as_str(), delta["base"].as_str()), (Some("delta list"), Some("1")));
    desk.yes(&["crl", "--der", "--delta", "changes.crl"]);
    assert_eq!(fs::read(desk.path("changes.crl")).unwrap().first(), Some(&0x30));
    desk.yes(&["resume", "billing", "--reason", "found nothing"]);
    desk.yes(&["rotate"]);
    let lists = fs::read_to_string(desk.path(".kakunin/public/lists.pem")).unwrap();
    assert_eq!(lists.matches("BEGIN X509 CRL").count(), 3);
}

#[test]
fn heavy_certificates_are_issued_with_a_warning() {
    let desk = Desk::empty();
    desk.yes(&["init"]);
    let actions: Vec<String> =
        (0..100).map(|n| format!("\"team-{n}:department:with-a-long-name:send\"")).collect();
    fs::write(desk.path("heavy.toml"), format!("actions = [{}]", actions.join(", "))).unwrap();
    let output = desk.run(&["agent", "create", "heavy", "--scope", "heavy.toml", "--out", "heavy"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(texts(&output).1.contains("allow_file"));
}

#[test]
fn renewing_shows_the_difference_and_finds_its_directories_again() {
    let desk = Desk::with_billing();
    desk.yes(&["agent", "certify", "billing", "--out", "agents/second", "--days", "30"]);
    let renewed = desk.yes(&["agent", "renew", "billing"]);
    assert_eq!(renewed["certificates"].as_array().unwrap().len(), 2);
    assert!(renewed["scope_diff"].as_array().unwrap().is_empty());
    let wider =
        fs::read_to_string(desk.path("scope.toml")).unwrap().replace("\"globex\"", "\"globex\", \"initech\"");
    fs::write(desk.path("wider.toml"), wider).unwrap();
    fs::remove_dir_all(desk.path("agents/second")).unwrap();
    let renewed = desk.yes(&["agent", "renew", "billing", "--scope", "wider.toml"]);
    assert_eq!(renewed["scope_diff"].as_array().unwrap().len(), 2);
    assert_eq!(renewed["missing"].as_array().unwrap().len(), 1);
}

#[test]
fn a_sweep_at_the_home_that_breaks_off_says_how_many_are_left() {
    let desk = Desk::with_billing();
    for name in ["sweep-a", "sweep-b"] {
        let out = format!("agents/{name}");
        desk.yes(&["agent", "create", name, "--scope", "scope.toml", "--out", &out]);
    }
    let beside = |sql: &str| {
        rusqlite::Connection::open(desk.path(".kakunin/store.sqlite")).unwrap().execute_batch(sql).unwrap();
    };
    beside(
        "CREATE TRIGGER breaks BEFORE UPDATE OF standing ON agents WHEN new.name = 'sweep-b'
         BEGIN SELECT RAISE(ABORT, 'no'); END",
    );
    let sweep =
        |expect: &'static str| ["revoke", "--where", "name=sweep-*", "--expect", expect, "--reason", "x"];
    let broken = desk.answer(&sweep("2"), 2);
    let text = broken["error"].as_str().unwrap();
    assert!(text.starts_with("1 of 2 still meet the conditions") && text.contains("--expect 1"), "{text}");
    beside("DROP TRIGGER breaks");
    desk.answer(&sweep("2"), 1);
    assert_eq!(desk.yes(&sweep("1"))["revoked"], true);
    assert_eq!(desk.yes(&["agent", "show", "sweep-b"])["standing"], "revoked");
}

#[test]
fn a_sweep_revokes_whom_it_listed_and_nobody_when_they_are_not_so_many() {
    let desk = Desk::with_billing();
    for name in ["billing-eu", "billing-us", "other"] {
        let out = format!("agents/{name}");
        desk.yes(&["agent", "create", name, "--scope", "scope.toml", "--out", &out]);
    }
    let sweep = |more: &[&'static str]| {
        [&["revoke", "--where", "name=billing-*", "--reason", "drill"], more].concat()
    };
    let names = |answer: &serde_json::Value| -> Vec<String> {
        let agents = answer["agents"].as_array().unwrap();
        agents.iter().map(|agent| agent["name"].as_str().unwrap().to_owned()).collect()
    };
    let standing = |name: &str| desk.yes(&["agent", "show", name])["standing"].as_str().unwrap().to_owned();
    let listed = desk.yes(&sweep(&["--dry-run"]));
    assert_eq!(names(&listed), ["billing-eu", "billing-us"]);
    // A number that is not theirs, or none, revokes nobody.
    desk.answer(&sweep(&["--expect", "3"]), 1);
    for wrong in [
        sweep(&[]),
        sweep(&["--dry-run", "--expect", "2"]),
        vec!["revoke", "billing", "--where", "name=*", "--expect", "4", "--reason", "x"],
        vec!["revoke", "--where", "tenant=acme", "--expect", "1", "--reason", "x"],
        vec!["revoke", "--reason", "x"],
    ] {
        assert_eq!(desk.run(&wrong).status.code(), Some(64), "{wrong:?}");
    }
    assert_eq!([standing("billing-eu"), standing("billing-us")], ["good", "good"]);
    let before = desk.yes(&["suspend", "other", "--reason", "x"])["list_number"].as_u64().unwrap();
    let done = desk.yes(&sweep(&["--expect", "2"]));
    assert_eq!((done["revoked"].as_bool(), done["list_number"].as_u64()), (Some(true), Some(before + 2)));
    assert_eq!(
        ["billing", "billing-eu", "billing-us", "other"].map(standing),
        ["good", "revoked", "revoked", "held"]
    );
    // Each is an order of its own in the audit log, done when the list was published.
    desk.yes(&["audit", "export", "--out", "audit.jsonl"]);
    let log = fs::read_to_string(desk.path("audit.jsonl")).unwrap();
    assert_eq!(log.lines().filter(|line| line.contains("agent.revoke")).count(), 2, "{log}");
    // So is what was asked: by a dry run, with a wrong number, with none and with the right one.
    for (said, times) in
        [("agents.sweep", 4), ("name=billing-*", 4), (r#""value":"a dry run""#, 2), ("3 to be revoked", 1)]
    {
        assert_eq!(log.lines().filter(|line| line.contains(said)).count(), times, "{said}: {log}");
    }
    assert_eq!(names(&desk.yes(&sweep(&["--dry-run"]))), Vec::<String>::new());
    // By the key of a certificate.
    let der =
        kakunin_core::home::AgentHome::open(&desk.path("agents/other"), None).unwrap().certificate().unwrap();
    let certificate = kakunin_core::certificate::AgentCertificate::decode(&der).unwrap();
    let key = format!("key={}", certificate.decoded().key().key_id().to_hex());
    let found = desk.yes(&["revoke", "--where", &key, "--where", "name=*", "--dry-run", "--reason", "x"]);
    assert_eq!(names(&found), ["other"]);
    let none = desk.yes(&["revoke", "--where", &key, "--where", "name=b*", "--dry-run", "--reason", "x"]);
    assert_eq!(names(&none), Vec::<String>::new());
    // By the issuing authority that signed it, by when that was, and by both together.
    let chain = fs::read(desk.path("agents/other/chain.pem")).unwrap();
    let issuer_of = |pem: &[u8]| {
        use rustls_pki_types::pem::PemObject;
        let der = rustls_pki_types::CertificateDer::from_pem_slice(pem).unwrap();
        let issuing = kakunin_core::certificate::CaCertificate::decode(
            &der,
            kakunin_core::certificate::CaRole::Issuing,
        );
        format!("issuer={}", issuing.unwrap().decoded().key().key_id().to_hex())
    };
    let first = issuer_of(&chain);
    desk.yes(&["rotate"]);
    desk.yes(&["agent", "renew", "billing"]);
    desk.yes(&["agent", "create", "late", "--scope", "scope.toml", "--out", "agents/late"]);
    let second = issuer_of(&fs::read(desk.path("agents/late/chain.pem")).unwrap());
    let begins = |name: &str| {
        let der = kakunin_core::home::AgentHome::open(&desk.path(&format!("agents/{name}")), None);
        let der = der.unwrap().certificate().unwrap();
        kakunin_core::certificate::AgentCertificate::decode(&der).unwrap().decoded().validity().not_before
    };
    let meant = |conditions: &[&str]| {
        let conditions = conditions.iter().flat_map(|condition| ["--where", condition]);
        let rest = ["--dry-run", "--reason", "x"];
        names(&desk.yes(&["revoke"].into_iter().chain(conditions).chain(rest).collect::<Vec<_>>()))
    };
    let (early, late) = (begins("other"), begins("late"));
    assert_eq!(meant(&[&first]), ["billing", "other"]);
    assert_eq!(meant(&[&second]), ["billing", "late"]);
    assert_eq!(meant(&[&format!("issued={}..", late.plus(120))]), Vec::<String>::new());
    assert_eq!(meant(&[&format!("issued=..{}", early.plus(-1)), &second]), Vec::<String>::new());
    assert_eq!(meant(&[&format!("issued={early}..{}", late.plus(60))]), ["billing", "late", "other"]);
    // One certificate has to meet both: the one by the first authority ended before the second began.
    let of_first_later = [&*first, &format!("issued={}..", late.plus(61))];
    assert_eq!(meant(&of_first_later), Vec::<String>::new());
}
