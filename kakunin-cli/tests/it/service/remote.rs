//! `--url`: the commands that give their orders to a service.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::thread;

use serde_json::{Value, json};

use super::office::Office;
use crate::desk::{Desk, texts};

/// Runs a command against the service; gives its exit code, its JSON and what it said.
fn give(office: &Office<'_>, desk: &Desk, arguments: &[&str], token: &str) -> (Option<i32>, Value, String) {
    let arguments = [arguments, &["--url", office.url(), "--json"]].concat();
    let output = desk.command(&arguments).env("KAKUNIN_TOKEN", token).output().unwrap();
    let (out, err) = texts(&output);
    (output.status.code(), serde_json::from_str(&out).unwrap_or_default(), err)
}

#[test]
fn orders_go_to_the_service_and_come_back_with_its_answer() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    fs::write(desk.path("vendors.txt"), (0..40).map(|n| format!("vendor-{n:02}\n")).collect::<String>())
        .unwrap();
    let scope = fs::read_to_string(desk.path("scope.toml")).unwrap();
    let scope = scope.replace(r#"allow = ["acme", "globex"]"#, r#"allow_file = "vendors.txt""#);
    fs::write(desk.path("long.toml"), scope).unwrap();
    let owner = |arguments: &[&str]| give(&office, &desk, arguments, office.owner());

    let (code, made, text) = owner(&["agent", "create", "billing", "--scope", "long.toml"]);
    assert_eq!(code, Some(0), "{text}");
    let (_, shown, _) = owner(&["agent", "show", "billing"]);
    assert_eq!(shown["id"], made["id"]);
    assert!(shown["scope"].to_string().contains("40 "), "the names of the file are in it: {shown}");
    let (code, suspended, _) = owner(&["suspend", "billing", "--reason", "drift"]);
    assert_eq!(
        (code, &suspended["standing"], &suspended["before"]),
        (Some(0), &json!("held"), &json!("good"))
    );
    let (_, resumed, _) = owner(&["resume", "billing", "--reason", "looked at"]);
    assert_eq!(resumed["standing"], "good");
    let (_, revoked, _) = owner(&["revoke", "billing", "--reason", "drift"]);
    assert_eq!(revoked["standing"], "revoked");
    assert_eq!(revoked["list_number"].to_string(), office.get("/v1/crl").header("x-crl-number"));
    let (_, listed, _) = owner(&["agent", "list"]);
    assert_eq!(
        (listed["agents"].as_array().unwrap().len(), &listed["agents"][0]["standing"]),
        (1, &json!("revoked"))
    );
    let log = office.get_as_owner("/v1/audit-log?event_type=agent.revoke").json();
    assert_eq!(log["data"][0]["description"], "drift");

    // No, with the service's words and the id of its log line.
    let (code, said, text) = owner(&["resume", "billing", "--reason", "x"]);
    assert_eq!(code, Some(1));
    assert!(said["error"].as_str().unwrap().contains("[agent.standing, request "), "{text}");
    assert_eq!(owner(&["agent", "show", "nobody"]).0, Some(1));
    // Not answered, and therefore not known.
    let (code, said, _) = give(&office, &desk, &["revoke", "billing", "--reason", "x"], "kak_live_wrong");
    assert_eq!(code, Some(2));
    assert!(said["error"].as_str().unwrap().contains("[access.key"));
}

#[test]
fn keys_go_nowhere_in_the_clear_and_stand_in_no_flag() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    let run = |arguments: &[&str], token: Option<&str>| {
        let mut command = desk.command(&[&["agent", "list"], arguments].concat());
        command.env_remove("KAKUNIN_TOKEN");
        command.envs(token.map(|token| ("KAKUNIN_TOKEN", token)));
        let output = command.output().unwrap();
        (output.status.code(), texts(&output).1)
    };
    for url in [
        "http://192.0.2.1:8080",
        "https://127.0.0.1:8080/v1",
        "https://user@127.0.0.1:8080",
        "ftp://127.0.0.1",
        "127.0.0.1:8080",
        "http://127.0.0.1:8080/v1",
    ] {
        assert_eq!(run(&["--url", url], Some("k")).0, Some(64), "{url}");
    }
    let (code, text) = run(&["--url", office.url()], None);
    assert!(code == Some(64) && text.contains("KAKUNIN_TOKEN"), "{text}");
    let file = desk.path("token");
    fs::write(&file, format!("{}\n", office.owner())).unwrap();
    let with_file = ["--url", office.url(), "--token-file", "token"];
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(run(&with_file, None).0, Some(2), "others may read it");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(run(&with_file, None), (Some(0), String::new()));
}

#[test]
fn what_is_no_authority_is_told_as_no_answer() {
    let desk = Desk::empty();
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
        "garbage\r\n\r\n",
        "",
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{",
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer.as_bytes());
        });
        let output = desk
            .command(&["revoke", "a", "--reason", "x", "--url", &url])
            .env("KAKUNIN_TOKEN", "k")
            .output()
            .unwrap();
        server.join().unwrap();
        assert_eq!(output.status.code(), Some(2), "{answer}");
        assert!(texts(&output).1.contains("no answer from"), "{:?}", texts(&output));
    }
}
