//! How the service meets the network: TLS, the public door, and clients that take their time.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::office::Office;
use super::papers::{House, Until, put};
use super::web::{Reply, Request};
use crate::desk::{Desk, texts};

const TLS: [&str; 4] = ["--tls-cert", "server.pem", "--tls-key", "server.key"];

/// A desk with a certificate for the service and the authority above it in `house.pem`.
fn desk_with_papers(until: Until) -> (Desk, House) {
    let (desk, house) = (Desk::empty(), House::new("house"));
    put(&desk.path("house.pem"), &house.pem);
    house.papers(until).write(&desk.path(""), "server");
    (desk, house)
}

/// Asks with curl, which trusts `house.pem` alone.
fn curl(desk: &Desk, arguments: &[&str]) -> Output {
    let mut command = Command::new("curl");
    command.args(["-sS", "--max-time", "60", "--cacert", "house.pem", "-w", "\n%{http_code}"]);
    command.args(arguments).current_dir(desk.path("")).output().unwrap()
}

/// The status that curl got; 0 when there was no answer.
fn status(desk: &Desk, arguments: &[&str]) -> u16 {
    texts(&curl(desk, arguments)).0.lines().last().unwrap_or_default().parse().unwrap()
}

/// Looks until it is so.
fn until(what: &str, mut so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < Duration::from_secs(120), "{what}");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn curl_and_openssl_come_in_by_new_protocols_and_not_by_old_ones() {
    let (desk, _) = desk_with_papers(Until::Later);
    let office = Office::open_with(&desk, &TLS);
    let ca = format!("{}/v1/ca", office.url());
    assert!(ca.starts_with("https://127.0.0.1:"), "{ca}");
    assert_eq!(status(&desk, &[&ca]), 200);
    assert_eq!(status(&desk, &["--tls-max", "1.2", &ca]), 200);
    let auth = format!("Authorization: Bearer {}", office.owner());
    assert_eq!(status(&desk, &["-H", &auth, &format!("{}/v1/agents", office.url())]), 200);

    let address = office.url().strip_prefix("https://").unwrap();
    let shake = |version: &str| {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-connect", address, version, "-cipher", "ALL:@SECLEVEL=0"]);
        texts(&command.stdin(Stdio::null()).output().unwrap())
    };
    assert!(shake("-tls1_3").0.contains("TLSv1.3"));
    assert!(shake("-tls1_2").0.contains("TLSv1.2"));
    for old in ["-tls1_1", "-tls1"] {
        let (out, err) = shake(old);
        assert!(out.contains("Cipher is (NONE)"), "{old}: {out}{err}");
    }
    // A client that knows another authority does not come in, and the service is no worse for it.
    put(&desk.path("house.pem"), &House::new("other").pem);
    assert_eq!(curl(&desk, &[&ca]).status.code(), Some(60));
}

#[test]
fn orders_go_by_tls_to_the_service_that_the_url_names_and_to_no_other() {
    let (desk, _) = desk_with_papers(Until::Later);
    let office = Office::open_with(&desk, &TLS);
    let give = |arguments: &[&str], roots: Option<&str>| {
        let mut command = desk.command(arguments);
        command.env("KAKUNIN_TOKEN", office.owner()).env_remove("KAKUNIN_CA_FILE");
        command.envs(roots.map(|roots| ("KAKUNIN_CA_FILE", roots)));
        let output = command.output().unwrap();
        (output.status.code(), texts(&output).1)
    };
    let create = ["agent", "create", "billing", "--scope", "scope.toml", "--url", office.url()];
    // The platform's authorities are not above it, another house is not, and neither knows the key now.
    put(&desk.path("other.pem"), &House::new("other").pem);
    for roots in [None, Some("other.pem"), Some("scope.toml"), Some("nothing.pem")] {
        let (code, text) = give(&create, roots);
        assert_eq!(code, Some(2), "{roots:?}: {text}");
    }
    let another = create.map(|word| if word == office.url() { "https://localhost.example:1" } else { word });
    assert_eq!(give(&another, Some("house.pem")).0, Some(2));
    assert!(!office.log().contains("\"route\":\"/v1/agents\""), "{}", office.log());
    assert_eq!(give(&create, Some("house.pem")), (Some(0), String::new()));
    let url = office.url().replace("127.0.0.1", "localhost");
    let flag = ["revoke", "billing", "--reason", "x", "--url", &url, "--ca-file", "house.pem"];
    assert_eq!(give(&flag, None), (Some(0), String::new()));
    // What a served home says is what helps.
    let (code, text) = give(&["revoke", "billing", "--reason", "x"], None);
    assert!(code == Some(2) && text.contains(&format!("pass --url {}", office.url())), "{text}");
}

#[test]
fn plain_http_at_a_door_with_tls_is_told_so() {
    let (desk, _) = desk_with_papers(Until::Later);
    let office = Office::open_with(&desk, &TLS);
    let reply = Request::get("/v1/agents")
        .bearer(office.owner())
        .send(office.url().strip_prefix("https://").unwrap());
    assert_eq!((reply.status, reply.json()["code"].as_str()), (400, Some("tls.plain")));
    let mut other = TcpStream::connect(office.url().strip_prefix("https://").unwrap()).unwrap();
    other.write_all(b"\x00 no handshake").unwrap();
    let mut answer = Vec::new();
    let _ = other.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    assert_eq!(status(&desk, &[&format!("{}/v1/ca", office.url())]), 200);
}

#[test]
fn what_makes_no_tls_starts_nothing() {
    let (desk, house) = desk_with_papers(Until::Past);
    let serve = |arguments: &[&str]| {
        let output = desk.run(&[&["serve", "--listen", "127.0.0.1:0"], arguments].concat());
        assert!(!desk.path(".kakunin").exists(), "nothing is made for a service that does not start");
        (output.status.code(), texts(&output).1)
    };
    let (code, text) = serve(&TLS);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("ended at 2021-01-01T00:00:00Z"), "{text}");

    house.papers(Until::Later).write(&desk.path(""), "server");
    put(&desk.path("server.key"), &house.papers(Until::Later).key);
    let (code, text) = serve(&TLS);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("`server.pem` and `server.key` cannot be used for TLS"), "{text}");

    use std::os::unix::fs::PermissionsExt;
    house.papers(Until::Later).write(&desk.path(""), "server");
    fs::set_permissions(desk.path("server.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let (code, text) = serve(&TLS);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("lets others in"), "{text}");

    for (file, text) in
        [("server.pem", "no certificate"), ("server.key", "server.key"), ("house.pem", "house.pem")]
    {
        house.papers(Until::Later).write(&desk.path(""), "server");
        put(&desk.path("house.pem"), &house.pem);
        put(&desk.path(file), "hello\n");
        let (code, told) = serve(&[&TLS[..], &["--client-ca", "house.pem"]].concat());
        assert_eq!(code, Some(2), "{told}");
        assert!(told.contains(text), "{told}");
    }
    for half in
        [&["--tls-cert", "server.pem"][..], &["--tls-key", "server.key"], &["--client-ca", "house.pem"]]
    {
        assert_eq!(serve(half).0, Some(64), "{half:?}");
    }
}

#[test]
fn any_address_may_be_listened_at_with_tls() {
    let (desk, _) = desk_with_papers(Until::Later);
    let arguments = [&TLS[..], &["--listen", "0.0.0.0:0", "--listen-public", "0.0.0.0:0"]].concat();
    let office = Office::open_with(&desk, &arguments);
    for url in [office.url(), office.public_url()] {
        let url = url.replace("0.0.0.0", "127.0.0.1");
        assert_eq!(status(&desk, &[&format!("{url}/v1/ca")]), 200);
    }
    // The second address alone needs it too.
    let output = Desk::empty().run(&["serve", "--listen-public", "0.0.0.0:0"]);
    assert_eq!(output.status.code(), Some(64));
}

#[test]
fn a_new_certificate_is_shown_as_soon_as_it_is_there_and_a_bad_one_never() {
    let (desk, house) = desk_with_papers(Until::Later);
    let office = Office::open_with(&desk, &TLS);
    let ca = format!("{}/v1/ca", office.url());
    let logged = |event: &str| office.log().matches(&format!("\"event\":\"{event}\"")).count();
    let bad = [("server.pem", "no certificate".to_owned()), ("server.key", house.papers(Until::Later).key)];
    let whole = house.papers(Until::Later);
    whole.write(&desk.path(""), "server");
    until("the first new pair is taken", || logged("tls.renewed") > 0);
    for (file, text) in bad {
        let before = logged("tls.not_renewed");
        put(&desk.path(file), &text);
        until("a bad pair is told", || logged("tls.not_renewed") > before);
        assert_eq!(status(&desk, &[&ca]), 200);
        whole.write(&desk.path(""), "server");
    }
    let before = logged("tls.not_renewed");
    house.papers(Until::Past).write(&desk.path(""), "server");
    until("a pair that ended is told", || {
        office.log().contains("ended at 2021-01-01") && logged("tls.not_renewed") > before
    });
    assert_eq!(status(&desk, &[&ca]), 200);

    let other = House::new("other");
    other.papers(Until::Later).write(&desk.path(""), "server");
    put(&desk.path("house.pem"), &other.pem);
    until("the new pair is shown", || status(&desk, &[&ca]) == 200);
}

#[test]
fn client_certificates_are_asked_for_checked_and_shown() {
    let (desk, house) = desk_with_papers(Until::Later);
    let clients = House::new("clients");
    put(&desk.path("clients.pem"), &clients.pem);
    clients.papers(Until::Later).write(&desk.path(""), "good");
    clients.papers(Until::Past).write(&desk.path(""), "ended");
    house.papers(Until::Later).write(&desk.path(""), "foreign");
    let with = |name: &str, url: &str| {
        let (certificate, key) = (format!("{name}.pem"), format!("{name}.key"));
        status(&desk, &["--cert", &certificate, "--key", &key, url])
    };
    for (demand, without) in [(&[][..], 200), (&["--require-client-cert"], 0)] {
        let arguments = [&TLS[..], &["--client-ca", "clients.pem", "--listen-public", "127.0.0.1:0"], demand];
        let office = Office::open_with(&desk, &arguments.concat());
        let ca = format!("{}/v1/ca", office.url());
        assert_eq!(with("good", &ca), 200);
        let thumbprint = Command::new("openssl")
            .args(["x509", "-noout", "-fingerprint", "-sha256", "-in"])
            .arg(desk.path("good.pem"))
            .output()
            .unwrap();
        let thumbprint =
            texts(&thumbprint).0.trim().rsplit('=').next().unwrap().replace(':', "").to_lowercase();
        assert_eq!(thumbprint.len(), 64);
        until("the certificate is in the log", || office.log().contains(&thumbprint));
        assert_eq!(status(&desk, &[&ca]), without);
        assert_eq!(with("ended", &ca), 0);
        assert_eq!(with("foreign", &ca), 0);
        // Everyone's door asks for none.
        assert_eq!(status(&desk, &[&format!("{}/v1/ca", office.public_url())]), 200);
        assert_eq!(with("foreign", &format!("{}/v1/ca", office.public_url())), 200);
    }
}

#[test]
fn the_public_door_has_the_routes_for_everyone_and_no_other() {
    let desk = Desk::with_billing();
    let office = Office::open_with(&desk, &["--listen-public", "127.0.0.1:0"]);
    let public = office.public_url().strip_prefix("http://").unwrap().to_owned();
    let document = office.get("/v1/openapi.json").json();
    let same = |reply: &Reply| {
        let mut body = reply.json();
        body["request_id"] = Value::Null;
        (reply.status, body)
    };
    let nothing = same(&Request::get("/v1/no-such-route").send(&public));
    let (mut open, mut shut) = (0, 0);
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in
            operations.as_object().unwrap().iter().filter(|(name, _)| *name != "servers")
        {
            let top = operations.get("servers").is_some();
            let filled = path.replace("{id}", "billing").replace("{prefix}", "x").replace("{serial}", "00");
            let filled = if top { filled } else { format!("/v1{filled}") };
            let keyed = Request::new(&method.to_uppercase(), &filled).bearer(office.owner());
            let there = keyed.send(&public);
            match operation["security"] == json!([]) && path != "/metrics" {
                true => {
                    assert_eq!(office.send(&keyed).status, there.status, "{method} {path}");
                    open += 1;
                }
                // A method that a path has only with a key may also be the wrong one for a path of everyone's.
                false => {
                    assert!(
                        same(&there) == nothing || there.status == 405,
                        "{method} {path} {}",
                        there.status
                    );
                    shut += 1;
                }
            }
        }
    }
    assert!(open >= 8 && shut >= 10, "{open} {shut}");
    assert_eq!(office.get_as_owner("/v1/agents/billing").json()["data"]["standing"], "good");
    assert_eq!(office.get("/metrics").status, 200);
    assert!(office.get("/metrics").text().contains("kakunin_door_connections_total{door=\"public\"}"));
}

#[test]
fn half_handshakes_half_heads_and_half_bodies_end_and_others_are_served_meanwhile() {
    let (desk, _) = desk_with_papers(Until::Later);
    let office = Office::open_with(&desk, &TLS);
    let plain = Desk::empty();
    let other = Office::open(&plain);
    let connect = |url: &str, begin: &[u8]| {
        let mut stream = TcpStream::connect(url.split_once("//").unwrap().1).unwrap();
        stream.write_all(begin).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(300))).unwrap();
        stream
    };
    let body = format!(
        "POST /v1/agents HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: 1000\r\n\r\n{{",
        other.owner()
    );
    let mut held = Vec::new();
    for _ in 0..64 {
        held.push(connect(office.url(), b""));
        // The first half of a hello.
        held.push(connect(office.url(), b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"));
        held.push(connect(other.url(), b"GET /v1/ca HTTP/1.1\r\nHost:"));
    }
    let mut slow = connect(other.url(), body.as_bytes());
    assert_eq!(status(&desk, &[&format!("{}/v1/ca", office.url())]), 200);
    assert_eq!(other.get("/v1/ca").status, 200);
    let mut answer = Vec::new();
    let _ = slow.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("request.slow"), "{answer}");
    for mut stream in held {
        // Its end, or its loss; not the time-out of this test.
        let end = stream.read(&mut [0; 64]);
        assert!(!matches!(&end, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock), "{end:?}");
        assert!(!matches!(end, Ok(count) if count > 7), "{end:?}");
    }
    assert_eq!(status(&desk, &[&format!("{}/v1/ca", office.url())]), 200);
    assert_eq!(other.get("/v1/ca").status, 200);
}

#[test]
fn a_connection_ends_between_two_requests_too() {
    let desk = Desk::empty();
    let office = Office::open(&desk);
    let mut stream = TcpStream::connect(office.url().strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(300))).unwrap();
    for _ in 0..2 {
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut answer = [0; 4096];
        let count = stream.read(&mut answer).unwrap();
        assert!(answer.get(..12) == Some(b"HTTP/1.1 200") && count > 12);
    }
    // Its end, after 75 s; not the time-out of this test.
    let mut rest = Vec::new();
    let ended = stream.read_to_end(&mut rest);
    assert!(!matches!(&ended, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock), "{ended:?}");
}

#[test]
fn one_address_takes_so_many_connections_and_no_more() {
    let desk = Desk::empty();
    let office = Office::open_with(&desk, &["--connections-per-address", "3"]);
    let address = office.url().strip_prefix("http://").unwrap();
    let held: Vec<_> = (0..3).map(|_| TcpStream::connect(address).unwrap()).collect();
    let mut fourth = TcpStream::connect(address).unwrap();
    let mut answer = Vec::new();
    let _ = fourth.write_all(b"GET /v1/ca HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let _ = fourth.read_to_end(&mut answer);
    assert_eq!(answer, b"");
    drop(held);
    until("places are free again", || {
        let mut stream = TcpStream::connect(address).unwrap();
        let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer.contains("kakunin_door_turned_away_total{door=\"keyed\"} ")
    });
}

#[test]
fn keys_that_fail_are_throttled_by_address_and_good_ones_are_not_locked_out() {
    let desk = Desk::empty();
    let office = Office::open_with(&desk, &["--trust-proxy", "127.0.0.1", "--requests-per-address", "1"]);
    let from = |client: &str, request: Request| office.send(&request.header("X-Forwarded-For", client));
    let wrong = |number: usize| {
        let prefix = office.owner().rsplit_once('_').unwrap().0;
        Request::get("/v1/agents").bearer(&format!("{prefix}_{number:064x}"))
    };
    let good = || Request::get("/v1/agents").bearer(office.owner());
    assert_eq!(from("2001:db8::1", good()).status, 200);
    let ask = |number: usize| from(&format!("2001:db8::{number:x}"), wrong(number));
    assert!((0..20).all(|number| ask(number).status == 401), "those are within the budget");
    let refused = (20..1000).map(ask).find(|reply| reply.status != 401).unwrap();
    assert_eq!((refused.status, refused.json()["code"].as_str()), (429, Some("rate")));
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    // The owner, from the address that is being throttled and from one that is new.
    assert_eq!(from("2001:db8::2", good()).status, 200);
    assert_eq!(from("203.0.113.9", good()).status, 200);
    // A stranger's own word about where he is counts for nothing: the last hop does.
    until("the log", || office.log().contains("\"from\":\"2001:db8::2 by 127.0.0.1:"));

    let read = |client: &str| from(client, Request::get("/v1/crl")).status;
    let ask = |number: usize| read(&format!("198.51.100.{}, 203.0.113.7", number % 250));
    assert!((0..10).all(|number| ask(number) == 200));
    assert_eq!((10..1000).map(ask).find(|status| *status != 200), Some(429));
    assert_eq!(read("203.0.113.8"), 200);
    // A proxy that does not tell for whom it asks is one address, though it is on this machine.
    assert!((0..1000).any(|_| office.get("/v1/crl").status == 429));
    office.kill();
    // From this machine itself nobody is counted.
    let office = Office::open_with(&desk, &["--requests-per-address", "1"]);
    assert!((0..30).all(|_| office.get("/v1/crl").status == 200));
}
