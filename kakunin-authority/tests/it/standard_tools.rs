//! Certificates and lists as `openssl` sees them: code that nobody here wrote.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use kakunin_authority::authority::{Hours, OldIssuing};
use kakunin_authority::standing::Order;

use crate::office::{Office, now};

/// How many entries a list has.
pub(crate) fn entries(der: &[u8]) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list.der");
    fs::write(&path, der).unwrap();
    let text =
        run(Command::new("openssl").args(["crl", "-inform", "DER", "-noout", "-text", "-in"]).arg(&path));
    assert!(text.status.success());
    String::from_utf8_lossy(&text.stdout).matches("Serial Number:").count()
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap()
}

/// `openssl verify` with root, chain and every list.
fn verify(office: &Office, directory: &str) -> Result<(), String> {
    let folder = office.path(directory);
    let output = run(Command::new("openssl")
        .args(["verify", "-x509_strict", "-crl_check_all", "-purpose", "sslclient", "-CAfile"])
        .arg(folder.join("ca.pem"))
        .arg("-untrusted")
        .arg(folder.join("chain.pem"))
        .arg("-CRLfile")
        .arg(office.home.lists().unwrap())
        .arg(folder.join("agent.pem")));
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(()) } else { Err(said) }
}

#[test]
fn openssl_follows_an_agent_through_its_life() {
    let office = Office::open();
    let who = office.create("billing");
    office.certify(&who, "agent").unwrap();
    verify(&office, "agent").unwrap();
    office.order(&who, Order::Suspend).unwrap();
    assert!(verify(&office, "agent").unwrap_err().contains("certificate revoked"));
    office.order(&who, Order::Resume).unwrap();
    verify(&office, "agent").unwrap();
    office.renew(&who).unwrap();
    verify(&office, "agent").unwrap();
    let _ = office.authority().rotate(OldIssuing::Keep, Hours::default(), now()).unwrap();
    verify(&office, "agent").unwrap();
    office.renew(&who).unwrap();
    verify(&office, "agent").unwrap();
    office.order(&who, Order::Revoke).unwrap();
    assert!(verify(&office, "agent").unwrap_err().contains("certificate revoked"));
}

#[test]
fn openssl_prints_the_profile() {
    let office = Office::open();
    let who = office.create("billing");
    office.certify(&who, "agent").unwrap();
    let text = |path: &Path| {
        let output = run(Command::new("openssl").args(["x509", "-noout", "-text", "-in"]).arg(path));
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let agent = text(&office.path("agent/agent.pem"));
    for line in [
        "X509v3 Basic Constraints: critical\n                CA:FALSE",
        "X509v3 Key Usage: critical\n                Digital Signature\n",
        "X509v3 Extended Key Usage: \n                TLS Web Client Authentication, 1.3.6.1.4.1.32473.1.3",
        "X509v3 Subject Alternative Name: \n                URI:urn:kakunin:agent:",
        "X509v3 Subject Key Identifier:",
        "X509v3 Authority Key Identifier:",
        "1.3.6.1.4.1.32473.1.1:",
        "ecdsa-with-SHA256",
    ] {
        assert!(agent.contains(line), "{line} in {agent}");
    }
    let issuing = text(&office.path("agent/chain.pem"));
    for line in [
        "X509v3 Basic Constraints: critical\n                CA:TRUE, pathlen:0",
        "X509v3 Key Usage: critical\n                Certificate Sign, CRL Sign",
        "TLS Web Client Authentication, 1.3.6.1.4.1.32473.1.3",
    ] {
        assert!(issuing.contains(line), "{line} in {issuing}");
    }
    let root = text(&office.path("agent/ca.pem"));
    assert!(root.contains("X509v3 Basic Constraints: critical\n                CA:TRUE\n"), "{root}");
}

#[test]
fn openssl_reads_the_reason_of_each_entry() {
    let office = Office::open();
    let (held, plain, compromised) =
        (office.create("held"), office.create("plain"), office.create("compromised"));
    for (who, directory) in [(&held, "one"), (&plain, "two"), (&compromised, "three")] {
        office.certify(who, directory).unwrap();
    }
    office.order(&held, Order::Suspend).unwrap();
    office.order(&plain, Order::Revoke).unwrap();
    office.authority().order(&compromised, Order::Revoke, "key compromise", Hours::default(), now()).unwrap();
    let list = office.path("list.der");
    fs::write(&list, office.authority().current_list().unwrap().der).unwrap();
    let output =
        run(Command::new("openssl").args(["crl", "-inform", "DER", "-noout", "-text", "-in"]).arg(&list));
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.matches("Serial Number:").count(), 3, "{text}");
    assert_eq!(text.matches("X509v3 CRL Reason Code:").count(), 2, "{text}");
    assert!(text.contains("Certificate Hold") && text.contains("Key Compromise"), "{text}");
}

#[test]
fn openssl_opens_the_key_files() {
    let office = Office::open();
    let output = run(Command::new("openssl")
        .args(["pkey", "-noout", "-text", "-passin", "pass:correct horse", "-in"])
        .arg(office.home.root_key()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("prime256v1"));
}
