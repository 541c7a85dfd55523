//! What everyone may read, and what holds for every answer.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::json;

use super::office::Office;
use super::web::Request;
use crate::desk::{Desk, texts};

#[test]
fn the_first_start_makes_an_authority_and_serves_what_is_in_its_public_folder() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    let file = |name: &str| fs::read_to_string(desk.path(".kakunin/public").join(name)).unwrap();
    for prefix in ["/v1", "/api/v1"] {
        let ca = office.get(&format!("{prefix}/ca")).json();
        assert_eq!(ca["data"]["pem"], file("ca.pem"));
        let chain = office.get(&format!("{prefix}/ca/chain")).json();
        assert_eq!(chain["data"], json!({ "chain_pem": file("chain.pem") + &file("ca.pem"), "depth": 2 }));
        let pem = Request::get(&format!("{prefix}/ca")).header("Accept", "application/x-pem-file");
        assert_eq!(office.send(&pem).text(), file("ca.pem"));
        assert_eq!(office.get(&format!("{prefix}/crl/all")).text(), file("lists.pem"));
        // The root's list stands first in the file, the issuing authority's is the answer.
        let list = office.get(&format!("{prefix}/crl")).text();
        assert!(file("lists.pem").ends_with(&list) && list.len() < file("lists.pem").len());
        let der = Request::get(&format!("{prefix}/crl")).header("Accept", "application/pkix-crl");
        let der = office.send(&der);
        assert_eq!(der.header("content-type"), "application/pkix-crl");
        assert_eq!(der.body.first(), Some(&0x30));
        assert!(der.header("x-crl-next-update") > der.header("x-crl-generated-at"));
    }
    for path in ["/health", "/ready"] {
        assert_eq!(office.get(path).status, 200, "{path}");
    }
    assert_eq!(office.end(), Some(0));
}

#[test]
fn a_list_that_is_known_is_not_sent_again() {
    let desk = Desk::with_billing();
    let office = Office::open(&desk);
    let first = office.get("/v1/crl");
    assert_eq!(first.header("cache-control"), "public, no-cache");
    let asked = Request::get("/v1/crl").header("If-None-Match", &format!("\"x\", {}", first.header("etag")));
    let again = office.send(&asked);
    assert_eq!((again.status, again.body.len()), (304, 0));
    let other = Request::get("/v1/crl").header("If-None-Match", "\"x\"");
    assert_eq!(office.send(&other).status, 200);
}

#[test]
fn every_refusal_has_a_text_a_code_and_the_id_of_its_log_line() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    for (request, status, code) in [
        (Request::get("/"), 404, "not_found"),
        (Request::get("/v1/nothing"), 404, "not_found"),
        (Request::get("/v2/ca"), 404, "not_found"),
        (Request::new("DELETE", "/v1/ca"), 405, "method"),
    ] {
        let reply = office.send(&request);
        let body = reply.json();
        assert_eq!((reply.status, body["code"].as_str()), (status, Some(code)), "{}", request.path);
        assert!(body["error"].as_str().is_some_and(|text| !text.is_empty()));
        let id = body["request_id"].as_str().unwrap();
        assert_eq!(id, reply.header("x-request-id"));
        office.logs(&[id, code]);
        assert_eq!(reply.header("cache-control"), "no-store");
    }
}

#[test]
fn heads_that_are_too_long_or_no_http_are_refused_and_others_are_answered_meanwhile() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    let address = office.url().strip_prefix("http://").unwrap();
    // Half a request, held open as long as the test runs.
    let mut slow = TcpStream::connect(address).unwrap();
    slow.write_all(b"GET /v1/ca HTTP/1.1\r\nHost:").unwrap();
    let long = Request::get("/v1/ca").header("X", &"x".repeat(64 * 1024));
    assert_eq!(office.send(&long).status, 431);
    let mut many = Request::get("/v1/ca");
    for number in 0..200 {
        many = many.header(&format!("x-{number}"), "y");
    }
    assert_eq!(office.send(&many).status, 431);
    let mut other = TcpStream::connect(address).unwrap();
    other.write_all(b"\x16\x03\x01\x02\x00 hello\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = other.read_to_end(&mut answer);
    assert!(String::from_utf8_lossy(&answer).starts_with("HTTP/1.1 400"), "{answer:?}");
    assert_eq!(office.get("/v1/ca").status, 200);
}

#[test]
fn a_home_that_is_served_is_changed_by_its_service_alone() {
    let desk = Desk::with_billing();
    let office = Office::open(&desk);
    let before = fs::read(desk.path(".kakunin/public/lists.pem")).unwrap();
    for command in [&["crl"][..], &["revoke", "billing", "--reason", "x"], &["agent", "renew", "billing"]] {
        let output = desk.run(command);
        let (_, text) = texts(&output);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(&format!("pass --url {}", office.url())), "{text}");
    }
    assert_eq!(fs::read(desk.path(".kakunin/public/lists.pem")).unwrap(), before);
    // Reading needs no lock.
    desk.yes(&["agent", "list"]);
    // What a killed service leaves behind holds nobody up, and says nothing.
    office.kill();
    assert_ne!(fs::read_to_string(desk.path(".kakunin/serving")).unwrap(), "");
    desk.yes(&["revoke", "billing", "--reason", "x"]);
}

#[test]
fn addresses_that_others_reach_need_a_proxy() {
    let desk = Desk::empty();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let output = desk.run(&["serve", "--listen", address]);
        assert_eq!(output.status.code(), Some(64));
        assert!(texts(&output).1.contains("--behind-proxy"));
        assert!(!desk.path(".kakunin").exists(), "nothing is made for a service that does not start");
    }
}

#[test]
fn an_address_that_is_taken_is_told() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    let other = Desk::empty();
    let output = other.run(&["serve", "--listen", office.url().strip_prefix("http://").unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(texts(&output).1.contains("cannot listen at"), "{:?}", texts(&output));
    assert!(!other.path(".kakunin").exists());
}
