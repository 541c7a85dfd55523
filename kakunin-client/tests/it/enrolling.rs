//! The first papers of an agent, from an authority that answers rightly or not.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use kakunin_client::{Client, ConnectError, ConnectOptions, Token};
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

/// Eleven seconds were seen for a timeout of two: each question had its own patience.
#[test]
fn an_authority_that_never_answers_is_waited_for_as_long_as_code_says() {
    let desk = Desk::new();
    let mut options = options(&desk);
    let dir = options.directory.clone().unwrap();
    for manner in [Manner::Silent, Manner::Begin(b"{".to_vec())] {
        desk.behave(&route(&desk), manner);
        options.timeout = Duration::from_millis(200);
        let begun = Instant::now();
        let error = Client::connect(options.clone()).unwrap_err();
        // Less than the patience of one question.
        assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
        assert!(matches!(error, ConnectError::Unreachable(_)), "{error}");
        assert!(!dir.join("agent.pem").exists());
    }
    // The token was not spent, and the key that was made for it is still there.
    answer(&desk, &papers(&desk));
    options.timeout = crate::desk::PATIENCE;
    assert_eq!(ask(&Client::connect(options).unwrap().guard().unwrap()), "allow");
}

/// C186: a token is good once, so what is wrong here is found before it is shown to anybody.
#[test]
fn a_token_is_not_spent_on_a_directory_that_cannot_be_kept() {
    let mode = |path: &std::path::Path, mode: u32| {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    };
    type Breaks<'a> = &'a dyn Fn(&std::path::Path);
    let cases: [(&str, Breaks<'_>); 6] = [
        ("a key that others can read", &|dir| mode(&dir.join("key.pem"), 0o644)),
        ("a key that is none", &|dir| fs::write(dir.join("key.pem"), "none").unwrap()),
        ("a folder that others can write into", &|dir| mode(dir, 0o777)),
        ("settings that nobody understands", &|dir| fs::write(dir.join("agent.toml"), "x = 1\n").unwrap()),
        ("settings that are a link", &|dir| {
            std::os::unix::fs::symlink("/etc/hostname", dir.join("agent.toml")).unwrap();
        }),
        ("a lock that is a link", &|dir| {
            std::os::unix::fs::symlink("/etc/hostname", dir.join(".client.lock")).unwrap();
        }),
    ];
    for (what, breaks) in cases {
        let desk = Desk::new();
        answer(&desk, &papers(&desk));
        let options = options(&desk);
        let dir = options.directory.clone().unwrap();
        breaks(&dir);
        let error = Client::connect(options).unwrap_err();
        assert!(error.code().starts_with("directory."), "{what}: {error}");
        assert_eq!(desk.asked(&route(&desk)), 0, "{what}");
    }
}

#[test]
fn the_folder_of_a_new_agent_is_its_owners_alone() {
    let desk = Desk::new();
    let mut options = options(&desk);
    let key = fs::read(options.directory.clone().unwrap().join("key.pem")).unwrap();
    let dir = desk.temp.path().join("new/agent");
    options.directory = Some(dir.clone());
    // The first attempt makes the folder, and a key that nobody certified here.
    answer(&desk, &papers(&desk));
    Client::connect(options.clone()).unwrap_err();
    let mode = |path: &std::path::Path| {
        use std::os::unix::fs::PermissionsExt;
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    };
    assert_eq!((mode(&dir), mode(dir.parent().unwrap()), mode(&dir.join("key.pem"))), (0o700, 0o700, 0o600));
    fs::write(dir.join("key.pem"), key).unwrap();
    let client = Client::connect(options).unwrap();
    assert_eq!(ask(&client.guard().unwrap()), "allow");
    // And it stays: others that can write into it could put papers of theirs beside the key.
    drop(client);
    fs::set_permissions(&dir, std::os::unix::fs::PermissionsExt::from_mode(0o770)).unwrap();
    let mut again = desk.options();
    again.directory = Some(dir);
    let error = Client::connect(again).unwrap_err();
    assert!(error.to_string().contains("chmod 700"), "{error}");
}

/// An authority that was begun anew has another root: the old papers would be denied for ever, whatever the token says.
#[test]
fn a_fresh_token_beside_the_papers_of_an_old_authority_is_told_what_to_do() {
    let (old, new) = (Desk::new(), Desk::new());
    let mut options = new.options();
    let dir = old.directory();
    options.agent = "billing".into();
    options.directory = Some(dir.clone());
    let root = Digest::of(&new.books().enrolled.papers.roots[0]);
    options.token = Some(Token::parse(&format!("kak_enrol_abcdefghijkl_secret_{root}")).unwrap());
    let error = Client::connect(options).unwrap_err();
    assert_eq!(error.code(), "connect.old_directory", "{error}");
    assert!(
        error.to_string().contains(&dir.display().to_string()) && error.fix().contains("rename"),
        "{error}"
    );
    assert_eq!(new.books().asked.len(), 0);
}
