//! The first papers of an agent, from an authority that answers rightly or not.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use kakunin_client::{Client, ConnectOptions, Token};
use kakunin_core::digest::Digest;
use serde_json::{Value, json};

use crate::desk::{Desk, Manner, ask, becomes, whole};

/// What the authority answers: the papers of the desk's agent.
fn papers(desk: &Desk) -> Value {
    let books = desk.books();
    let papers = &books.enrolled.papers;
    let pem = |der: &[u8]| der::pem::encode_string("CERTIFICATE", der::pem::LineEnding::LF, der).unwrap();
    json!({
        "agent_name": "billing",
        "certificate_pem": pem(&papers.agent),
        "chain_pem": pem(&papers.chain[0]),
        "ca_pem": pem(&papers.roots[0]),
        "lists_pem": books.lists,
        "names": {},
        "genesis": Value::Null,
        "log": Value::Null,
        "more": "of a later version",
    })
}

/// A directory with the agent's key and nothing else, as an attempt that was interrupted leaves it.
fn begun(desk: &Desk) -> PathBuf {
    let dir = desk.directory();
    for file in ["agent.pem", "chain.pem", "ca.pem", "agent.toml"] {
        fs::remove_file(dir.join(file)).unwrap();
    }
    dir
}

fn route(desk: &Desk) -> String {
    format!("/v1/agents/{}/enrol", desk.agent())
}

fn options(desk: &Desk) -> ConnectOptions {
    let mut options = desk.options();
    options.directory = Some(begun(desk));
    let root = Digest::of(&desk.books().enrolled.papers.roots[0]);
    options.token = Some(Token::parse(&format!("kak_enrol_abcdefghijkl_secret_{root}")).unwrap());
    options
}

fn answer(desk: &Desk, papers: &Value) {
    let body = json!({ "data": papers }).to_string();
    desk.behave(&route(desk), Manner::Say(whole("201 Created", "application/json", &body).into_bytes()));
}

#[test]
fn an_agent_is_enrolled_with_a_token_and_needs_none_later() {
    let desk = Desk::new();
    answer(&desk, &papers(&desk));
    let mut options = options(&desk);
    let dir = options.directory.clone().unwrap();
    let client = Client::connect(options.clone()).unwrap();
    assert_eq!(ask(&client.guard().unwrap()), "allow");
    let settings = fs::read_to_string(dir.join("agent.toml")).unwrap();
    assert!(settings.contains("lists = \"lists.pem\"") && settings.contains("issuer = \""), "{settings}");
    drop(client);
    options.token = None;
    let client = Client::connect(options).unwrap();
    becomes(&client.guard().unwrap(), "allow");
    assert_eq!(desk.asked(&route(&desk)), 1);
}

#[test]
fn papers_that_do_not_fit_are_refused_and_nothing_is_written() {
    let refused = |change: &dyn Fn(&mut Value, &mut ConnectOptions), code: &str| {
        let desk = Desk::new();
        let (mut papers, mut options) = (papers(&desk), options(&desk));
        options.timeout = Duration::from_secs(5);
        change(&mut papers, &mut options);
        answer(&desk, &papers);
        let dir = options.directory.clone().unwrap();
        let error = Client::connect(options).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(!dir.join("agent.pem").exists() && !dir.join("lists.pem").exists(), "{code}");
    };
    let other = Desk::new();
    let others = papers(&other);
    refused(&|papers, _| papers["ca_pem"] = others["ca_pem"].clone(), "papers.refused");
    refused(&|papers, _| papers["certificate_pem"] = others["certificate_pem"].clone(), "papers.refused");
    refused(&|papers, _| papers["lists_pem"] = others["lists_pem"].clone(), "papers.refused");
    refused(&|papers, _| *papers = others.clone(), "papers.refused");
    refused(&|papers, _| papers["names"] = json!({ "x.txt": "YQo=" }), "papers.refused");
    refused(&|papers, _| papers["chain_pem"] = json!(7), "papers.refused");
    // Another key: the one there is gone, so one is made here, and nobody certified that.
    let without_key = |_: &mut Value, options: &mut ConnectOptions| {
        fs::remove_file(options.directory.as_ref().unwrap().join("key.pem")).unwrap();
    };
    refused(&without_key, "papers.refused");
    refused(&|_, options| options.token = None, "connect.no_agent");
    let live = |_: &mut Value, options: &mut ConnectOptions| {
        options.token = Some(Token::parse("kak_live_abcdefghijkl_secret").unwrap());
    };
    refused(&live, "connect.no_root");
    refused(&|_, options| options.root = Some(Digest::of(b"another")), "certificate.untrusted");
}

#[test]
fn a_token_that_is_spent_is_told_at_once_and_a_busy_service_is_asked_again() {
    let desk = Desk::new();
    let spent =
        whole("401 Unauthorized", "application/json", "{\"code\":\"token.spent\",\"error\":\"used\"}");
    desk.behave(&route(&desk), Manner::Say(spent.into_bytes()));
    let options = options(&desk);
    let key = fs::read(options.directory.as_ref().unwrap().join("key.pem")).unwrap();
    let error = Client::connect(options.clone()).unwrap_err();
    assert_eq!(error.code(), "token.spent");
    let busy = whole("503 Service Unavailable", "application/json", "{\"code\":\"busy\"}");
    desk.behave(&route(&desk), Manner::Say(busy.into_bytes()));
    std::thread::scope(|scope| {
        let connecting = scope.spawn(|| Client::connect(options.clone()).unwrap());
        crate::desk::until("it is asked again", || desk.asked(&route(&desk)) > 3);
        answer(&desk, &papers(&desk));
        let client = connecting.join().unwrap();
        assert_eq!(ask(&client.guard().unwrap()), "allow");
    });
    assert_eq!(fs::read(options.directory.as_ref().unwrap().join("key.pem")).unwrap(), key);
}
