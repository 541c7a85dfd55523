//! One verdict on every surface: what the command prints is what the Rust interface says.

use std::fs;
use std::path::PathBuf;

use kakunin_core::certificate::TrustAnchors;
use kakunin_core::digest::Digest;
use kakunin_core::log::{VerifierKey, WitnessPolicy};
use kakunin_core::report::{Inquiry, Told};
use kakunin_core::scope::NameLists;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::Value;

use crate::desk::texts;
use crate::incident::Incident;

/// The question that [`Incident::words`] asks, in Rust.
fn inquiry(incident: &Incident, roots: &[&str]) -> Inquiry {
    let pem = |name: &&str| fs::read(incident.desk.path(name)).unwrap();
    let roots: Vec<_> =
        roots.iter().map(pem).map(|pem| CertificateDer::from_pem_slice(&pem).unwrap()).collect();
    let policy = fs::read(incident.desk.path("policy.txt")).unwrap();
    Inquiry::by(TrustAnchors::new(roots.iter().map(|root| root.as_ref())).unwrap())
        .log_keys(incident.keys.iter().map(|key| VerifierKey::parse(key).unwrap()).collect())
        .witnesses(vec![WitnessPolicy::parse(policy).unwrap()])
        .replay(NameLists::default())
}

/// Verifies `what` at the command line and in Rust; gives the one answer.
fn both(incident: &Incident, what: &str, code: i32) -> Value {
    let said = incident.desk.answer(&incident.words(what, &["--replay"]), code);
    let inquiry = inquiry(incident, &["shop.pem", "bank.pem"]);
    let account = inquiry.of(&incident.desk.path(what), &[], &mut ()).unwrap();
    assert_eq!(account.to_record(Told::OneChain), said, "{what}");
    assert_eq!(i32::from(account.report().verdict().exit_code()), code, "{what}");
    let (out, _) = texts(&incident.desk.run(&incident.words(what, &["--replay"])));
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(account.to_lines(Told::OneChain), lines, "{what}");
    said
}

#[test]
fn command_line_and_library_give_one_verdict() {
    let incident = Incident::about("ticket:4711");
    let path = |name: &str| incident.desk.path(name);
    let answer = both(&incident, "incident.zip", 0);
    assert_eq!(answer["verdict"], "COMPLETE");
    assert_eq!(answer["chain"], incident.chain.as_str());
    assert_eq!(answer["counts"]["receipts"].as_u64(), Some(15));
    assert_eq!(answer["counts"]["witnessed"], answer["counts"]["receipts"]);
    assert_eq!(answer["timeline"].as_array().unwrap().len(), 15);
    assert_eq!(answer["replay"]["same"].as_u64(), Some(5));

    // Tampered with.
    let whole = fs::read(path("incident.zip")).unwrap();
    let mut octets = whole.clone();
    let middle = octets.len() / 2;
    octets[middle] ^= 1;
    fs::write(path("tampered.zip"), octets).unwrap();
    let answer = both(&incident, "tampered.zip", 1);
    assert_eq!(answer["verdict"], "INVALID");
    assert!(!answer["invalid"]["text"].as_str().unwrap().is_empty());
    // With something behind its end.
    fs::write(path("longer.zip"), [&whole[..], b"x"].concat()).unwrap();
    assert_eq!(both(&incident, "longer.zip", 1)["invalid"]["code"], "bundle.zip");
    // Cut: no verdict at all.
    fs::write(path("cut.zip"), &whole[..whole.len() - 1]).unwrap();
    let said = incident.desk.answer(&["verify", "cut.zip", "--root", "shop.pem"], 2);
    let asked = inquiry(&incident, &["shop.pem"]).of(&path("cut.zip"), &[], &mut ());
    let text = asked.unwrap_err().to_string();
    assert!(text.contains("cut.zip: no bundle"), "{text}");
    assert!(said["error"].as_str().unwrap().contains("cut.zip: no bundle"), "{said}");
    // A journal whose last write was torn, and one that nobody ever wrote to.
    let stream = fs::read_dir(path("agents/bank/state/journal")).unwrap();
    let mut folders = stream.map(|entry| entry.unwrap().path());
    let folder: PathBuf = folders.find(|folder| folder.join("0001.seg").is_file()).unwrap();
    let segment = fs::read(folder.join("0001.seg")).unwrap();
    fs::write(folder.join("0001.seg"), &segment[..segment.len() - 7]).unwrap();
    let answer = both(&incident, "agents/bank", 3);
    assert_eq!(answer["verdict"], "AUTHENTIC-NOT-COMPLETE");
    let torn = answer["reasons"].as_array().unwrap().iter().find(|it| it["code"] == "stream.torn").unwrap();
    assert_eq!(torn["stream"], answer["streams"][0]["stream"]);
    fs::create_dir(path("empty")).unwrap();
    assert_eq!(both(&incident, "empty", 3)["verdict"], "EMPTY");
}

#[test]
fn a_root_is_trusted_where_the_asker_names_it_and_nowhere_else() {
    let incident = Incident::about("ticket:4711");
    let stranger = Incident::about("ticket:4711");
    let foreign = stranger.desk.path("shop.pem");
    let foreign = foreign.to_str().unwrap();
    // Of somebody else; and one of two, the other of which lies in the bundle only.
    for roots in [vec![foreign], vec!["shop.pem"], vec!["bank.pem"]] {
        let mut words = vec!["verify", "incident.zip"];
        words.extend(roots.iter().flat_map(|root| ["--root", root]));
        let answer = incident.desk.answer(&words, 1);
        assert_eq!(answer["invalid"]["code"], "receipt.certificate", "{roots:?}");
        let account = inquiry(&incident, &roots).of(&incident.desk.path("incident.zip"), &[], &mut ());
        assert_eq!(account.unwrap().report().verdict().word(), "INVALID", "{roots:?}");
    }
    // A root that was put beside the receipts is a certificate among others.
    let pem = fs::read(incident.desk.path("shop.pem")).unwrap();
    let root = CertificateDer::from_pem_slice(&pem).unwrap();
    let archive = incident.desk.path("agents/support/state/journal/archive");
    fs::write(archive.join(format!("{}.cert", Digest::of(&root))), &root).unwrap();
    let answer = incident.desk.answer(&["verify", "agents/support", "--root", "bank.pem"], 1);
    assert_eq!(answer["invalid"]["code"], "receipt.certificate");
    incident.desk.answer(&["verify", "agents/support", "--root", "shop.pem"], 3);
}

#[test]
fn a_page_is_drawn_beside_the_verdict_and_changes_no_exit_code() {
    let incident = Incident::about("ticket:<script>alert(1)</script>");
    let path = |name: &str| incident.desk.path(name);
    let page = |name: &str| fs::read_to_string(path(name)).unwrap();
    let drawn = |what: &str, out: &str, code| {
        let plain = incident.desk.run(&incident.words(what, &["--replay"]));
        let output = incident.desk.run(&incident.words(what, &["--replay", "--html", out]));
        assert_eq!((plain.status.code(), output.status.code()), (Some(code), Some(code)), "{what}");
        assert_eq!((&plain.stdout, &plain.stderr), (&output.stdout, &output.stderr), "{what}");
    };
    drawn("incident.zip", "incident.html", 0);
    let complete = page("incident.html");
    assert!(complete.contains("<h1>COMPLETE</h1>") && complete.contains(&incident.chain));
    // Owners by the names of the files that the asker gave.
    assert!(complete.contains("<b><bdi>shop</bdi>") && complete.contains("<b><bdi>bank</bdi>"));
    assert!(complete.contains("ticket:&lt;script&gt;") && !complete.contains("<script"));
    drawn("agents/bank", "incident.html", 3);
    assert!(page("incident.html").contains("<h1>AUTHENTIC-NOT-COMPLETE</h1>"), "a page replaces a page");
    let longer = [&fs::read(path("incident.zip")).unwrap()[..], b"text"].concat();
    fs::write(path("text.zip"), longer).unwrap();
    drawn("text.zip", "invalid.html", 1);
    assert!(page("invalid.html").contains("<h1>INVALID</h1>"));
    let asked = inquiry(&incident, &["shop.pem", "bank.pem"]).of(&path("text.zip"), &[], &mut ()).unwrap();
    assert_eq!(asked.to_page().matches("<h1>").count(), 1);

    std::os::unix::fs::symlink(path("incident.html"), path("link.html")).unwrap();
    for out in ["link.html", "agents", "nowhere/page.html", "/dev/null"] {
        let answer = incident.desk.answer(&incident.words("incident.zip", &["--html", out]), 2);
        assert!(answer["error"].as_str().unwrap().contains("cannot write the page"), "{out}");
    }
    // Where nothing can be judged, nothing is drawn.
    incident.desk.answer(&incident.words("nothing.zip", &["--html", "nothing.html"]), 2);
    assert!(!path("nothing.html").exists());
}
