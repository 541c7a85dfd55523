//! What each law is tried on first: the vectors that all languages share, and what is made of this crate's world.

use std::fs;
use std::path::Path;

use base64ct::{Base64, Base64UrlUnpadded, Encoding as _};
use kakunin_core::certificate::{oids, request_pem};
use kakunin_core::chain::{ChainLink, TraceParent};
use kakunin_core::digest::Digest;
use kakunin_core::genesis::Genesis;
use kakunin_core::id::ChainId;
use kakunin_core::journal::StreamReader;
use kakunin_core::log::{LogReader, TlogProof};
use kakunin_core::possession::{Prover, Target};
use kakunin_core::receipt::{Disclosure, ReceiptHash};
use kakunin_core::scope::{DraftScope, NameLists, NameSet, prove_names};
use kakunin_core::succession::Succession;
use rcgen::RevocationReason;
use serde_json::Value;

use crate::authority::{By, Der, agent_id, entry, now};
use crate::campaign::octets;
use crate::law::{files, leaves, members};
use crate::world::{self, SCOPE, signer, world};

fn vectors(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vectors").join(name);
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn texts<'t>(texts: impl IntoIterator<Item = &'t str>) -> Vec<Vec<u8>> {
    texts.into_iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// The DER in one object of PEM texts.
fn pem(cases: &Value) -> Vec<Vec<u8>> {
    let texts = cases.as_object().unwrap().values();
    // Some cases are about PEM that is none.
    texts.filter_map(|text| Some(der::pem::decode_vec(text.as_str()?.as_bytes()).ok()?.1)).collect()
}

pub(crate) fn words() -> Vec<Vec<u8>> {
    let mut all = texts([
        "0f7e1c52-6a43-8b1d-9c2e-5d6f7a8b9c0d",
        "urn:kakunin:agent:0f7e1c52-6a43-4b1d-9c2e-5d6f7a8b9c0d",
        "c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4",
        "4A:4a:00:ff",
        "EUR",
        "XBT1",
        "0",
        "12.50",
        "9223372036854775807",
        "0.000000000000000001",
        "2026-11-23T12:00:00Z",
        "2026-11-23T12:00:00.123+05:30",
        "-009999-01-01T00:00:00Z",
    ]);
    let (agent, issuing) = (world().path.agent().decoded().thumbprint(), signer(2));
    all.push(Genesis::sign(agent_id(), agent, &issuing).unwrap().to_text().into_bytes());
    all.push(Succession::sign(agent, &world().signer()).unwrap().to_text().into_bytes());
    all
}

pub(crate) fn scopes() -> Vec<Vec<u8>> {
    let certificates = certificates();
    let mut all: Vec<Vec<u8>> = certificates.iter().filter_map(|der| scope_in(der)).collect();
    let drafts = DOCUMENTS.iter().filter_map(|text| {
        let file = |_: &str| Ok("acme\nglobex\n".to_owned());
        DraftScope::parse(text, &file).ok()?.for_agent(agent_id()).ok()
    });
    all.extend(drafts.map(|scope| scope.to_der()));
    all
}

/// The extension of a certificate, if it has one.
fn scope_in(der: &[u8]) -> Option<Vec<u8>> {
    use der::Decode as _;
    let certificate = x509_cert::Certificate::from_der(der).ok()?;
    let extensions = certificate.tbs_certificate().extensions()?;
    let scope = extensions.iter().find(|extension| extension.extn_id == oids::AGENT_SCOPE)?;
    Some(scope.extn_value.as_bytes().to_vec())
}

pub(crate) fn documents() -> Vec<Vec<u8>> {
    texts(DOCUMENTS)
}

pub(crate) fn names() -> Vec<Vec<u8>> {
    texts(["acme\nglobex\n", "acme\r\nM\u{fc}ller\r\n", "acme\n acme\n", "a:*\n", "\n", "acme\nacme\n"])
}

pub(crate) fn lists() -> Vec<Vec<u8>> {
    let mut all = pem(&vectors("cases.json")["lists"]);
    all.extend(issued());
    all.extend(updates());
    all
}

/// The full lists and deltas of the shared vectors.
fn updates() -> Vec<Vec<u8>> {
    let vectors = vectors("deltas.json");
    let cases = vectors["cases"].as_array().unwrap().iter();
    let mut all: Vec<Vec<u8>> = cases
        .flat_map(|case| [&case["list"], &case["delta"]])
        .filter_map(|text| Some(der::pem::decode_vec(text.as_str()?.as_bytes()).ok()?.1))
        .collect();
    all.sort();
    all.dedup();
    all
}

/// Lists of the world's issuing authority, a delta among them.
fn issued() -> Vec<Vec<u8>> {
    let authority = &world().authority;
    let entries = |count: u8| {
        let reasons = [None, Some(RevocationReason::CertificateHold), Some(RevocationReason::KeyCompromise)];
        (0..count).map(|number| entry(&[0x50 + number; 16], reasons[usize::from(number) % 3])).collect()
    };
    let full = authority.list(By::Issuing, |params| params.revoked_certs = entries(6));
    let delta = authority.list(By::Issuing, |params| {
        params.revoked_certs = entries(3);
        params.crl_number = rcgen::SerialNumber::from(vec![2]);
    });
    let mut delta = Der::parse(&delta);
    let indicator = Der::list(
        0x30,
        vec![
            Der::leaf(6, vec![0x55, 0x1d, 0x1b]),
            Der::leaf(1, vec![0xff]),
            Der::leaf(4, Der::integer(1).encode()),
        ],
    );
    delta.path(&[0]).children().last_mut().unwrap().child(0).children().push(indicator);
    vec![full, authority.resign(delta, By::Issuing)]
}

/// The first member of each: what is signed.
fn to_be_signed(all: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    all.iter().map(|der| Der::parse(der).child(0).encode()).collect()
}

pub(crate) fn signed_lists() -> Vec<Vec<u8>> {
    to_be_signed(issued().into_iter().chain(updates()).collect())
}

pub(crate) fn certificates() -> Vec<Vec<u8>> {
    let mut all = pem(&vectors("cases.json")["certificates"]);
    let world = world();
    let own = [&world.authority.root, &world.authority.issuing, &world.agent, &world.shop];
    all.extend(own.into_iter().cloned());
    all
}

pub(crate) fn certified() -> Vec<Vec<u8>> {
    to_be_signed(vec![world().agent.clone(), world().shop.clone(), world().authority.issuing.clone()])
}

pub(crate) fn requests() -> Vec<Vec<u8>> {
    vec![request_pem(&signer(6)).unwrap().into_bytes(), request_pem(&signer(7)).unwrap().into_bytes()]
}

pub(crate) fn items() -> Vec<Vec<u8>> {
    let feed = vectors("feed.json");
    let cases = [&feed["accepted"], &feed["refused"]].into_iter().flat_map(|cases| cases.as_array().unwrap());
    cases.map(|case| case["token"].as_str().unwrap().as_bytes().to_vec()).collect()
}

/// Chance of several kinds; what it means is decided where it is used.
pub(crate) fn chances() -> Vec<Vec<u8>> {
    (1..=64).map(|seed| octets(seed).take(24).collect()).collect()
}

/// The receipts of the world: as tokens, and as what signs them.
pub(crate) fn tokens() -> Vec<Vec<u8>> {
    let journal = world().folder.join("journal");
    let reader = StreamReader::open(&journal, world().stream).unwrap();
    let entries: Vec<_> = reader.map(Result::unwrap).collect();
    let mut all = Vec::new();
    for entry in &entries {
        all.push(entry.receipt().signing_input().to_vec());
        all.extend(entry.to_jws().map(String::into_bytes));
        all.push(entry.receipt().to_sealed_entry().into_bytes());
    }
    all
}

/// Entries of a log as an agent sends them: the whole journal, twice the same, one alone.
pub(crate) fn uploads() -> Vec<Vec<u8>> {
    let reader = StreamReader::open(&world().folder.join("journal"), world().stream).unwrap();
    let entries: Vec<String> = reader.filter_map(|entry| entry.unwrap().to_log_entry()).collect();
    vec![
        format!("{}\n", entries.join("\n")).into_bytes(),
        [entries[0].as_str(), &entries[0]].join("\n").into_bytes(),
        entries[1].clone().into_bytes(),
    ]
}

pub(crate) fn payloads() -> Vec<Vec<u8>> {
    let tokens = tokens();
    let parts = tokens.iter().filter_map(|token| std::str::from_utf8(token).ok()?.split('.').nth(1));
    parts.filter_map(|part| Base64UrlUnpadded::decode_vec(part).ok()).collect()
}

pub(crate) fn disclosures() -> Vec<Vec<u8>> {
    let values = vectors("values.json");
    let cases = values["values"].as_array().unwrap().iter();
    let mut all: Vec<Vec<u8>> =
        cases.filter_map(|case| Some(case["disclosure"].as_str()?.as_bytes().to_vec())).collect();
    let reader = StreamReader::open(&world().folder.join("journal"), world().stream).unwrap();
    let shown: Vec<_> = reader.flat_map(|entry| entry.unwrap().disclosures().to_vec()).collect();
    all.extend(shown.iter().map(|shown: &Disclosure| shown.as_str().as_bytes().to_vec()));
    all
}

fn link() -> ChainLink {
    ChainLink::new(ChainId::from_bytes([0xc4; 16]), ReceiptHash::of(b"the caller's"))
}

pub(crate) fn chains() -> Vec<Vec<u8>> {
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let traced = link().with_trace(TraceParent::parse(trace).unwrap());
    texts([link().to_header().as_str(), &traced.to_meta(), &link().to_meta(), trace, "{\"other\":1}", "{}"])
}

pub(crate) fn proven_names() -> Vec<Vec<u8>> {
    let list = world::names();
    let mut lists = NameLists::default();
    let root = list.root();
    lists.insert(list);
    let scope = format!("actions = [\"a\"]\n[[counterparties]]\nfor = [\"a\"]\nallow_file = \"{root}\"\n");
    let draft = DraftScope::parse(&scope, &|_| Ok(world::names().to_text())).unwrap();
    let scope = draft.for_agent(agent_id()).unwrap();
    assert!(matches!(scope.parts().parties[0].allow, NameSet::Detached { .. }));
    let asked: [&[&str]; 4] =
        [&["party-005"], &["acme"], &["zzz"], &["party-000", "party-039", "party-0175"]];
    let made = asked.map(|names| prove_names(&scope, &lists, "a", names, &[]).unwrap());
    made.into_iter().flatten().map(String::into_bytes).collect()
}

/// Requests as `Message` reads them, one with a body to be proven.
pub(crate) fn requests_signed() -> Vec<Vec<u8>> {
    [(None, None), (Some("x=1&y=%2F"), None), (Some(""), Some(link()))]
        .into_iter()
        .zip(0..)
        .map(|((query, link), nonce)| proven(query, link.as_ref(), nonce).into_bytes())
        .collect()
}

fn proven(query: Option<&str>, link: Option<&ChainLink>, nonce: u8) -> String {
    let world = world();
    let prover = Prover::new(world.signer(), &world.agent, &[&world.authority.issuing]).unwrap();
    let target = Target { method: "POST", authority: "shop.example.com", path: "/orders", query };
    let proof = prover.prove(&target, BODY.as_bytes(), link, now(), [nonce; 16]).unwrap();
    let query = query.map_or_else(String::new, |query| format!("?{query}"));
    let mut text = format!("POST shop.example.com /orders{query}\n");
    for (name, value) in proof.fields() {
        text.push_str(&format!("{name}: {value}\n"));
    }
    text
}

pub(crate) fn segments() -> Vec<Vec<u8>> {
    vec![world().segment.clone()]
}

pub(crate) fn notes() -> Vec<Vec<u8>> {
    let note = fs::read(world().folder.join("log/checkpoint")).unwrap();
    let text = String::from_utf8(note.clone()).unwrap();
    let (checkpoint, _) = text.split_once("\n\n").unwrap();
    vec![note, format!("{checkpoint}\n").into_bytes()]
}

pub(crate) fn log_proofs() -> Vec<Vec<u8>> {
    let mut reader = LogReader::open(&world().folder.join("log"), &world().log_key).unwrap();
    (0..reader.size())
        .map(|index| {
            let proof = TlogProof::new(reader.prove(index).unwrap(), reader.checkpoint());
            let extra = (index == 0).then(|| b"said beside it".to_vec());
            TlogProof { extra, ..proof }.to_string().into_bytes()
        })
        .collect()
}

pub(crate) fn tiles() -> Vec<Vec<u8>> {
    assert!(!leaves().is_empty());
    let each = (0..).zip(files()).map(|(which, name)| {
        let content = fs::read(world().folder.join("log").join(name)).unwrap();
        [&[which][..], &content].concat()
    });
    each.collect()
}

pub(crate) fn keys() -> Vec<Vec<u8>> {
    let log = world().log_key.to_string();
    let witness = "w.example/1+2e1f8f25+BGYPWxJqAAlvm+TO4pIEHDjO7FYpHb4SpLVQ8dNzoPm1";
    let policy = format!("# who is believed\nlog {log}\nwitness W {witness}\ngroup G any W\nquorum G\n");
    texts([log.as_str(), witness, &policy, "quorum none\n"])
}

pub(crate) fn bundles() -> Vec<Vec<u8>> {
    vec![world().bundle.clone()]
}

/// One octet more, less or another, in the middle of each member.
pub(crate) fn edits() -> Vec<Vec<u8>> {
    let members = members(&world().bundle);
    let each = (0_u8..).zip(&members).map(|(which, (_, octets))| {
        let [high, low] = u16::try_from(octets.len() / 2 % 65_536).unwrap().to_be_bytes();
        [[which, high, low, 1, 1, b'0'].as_slice(), &[which, low, high, 0, 2, b'{', b'"']].concat()
    });
    each.chain([Vec::new()]).collect()
}

pub(crate) fn heads() -> Vec<Vec<u8>> {
    let world = world();
    let (plain, sequence) = ("POST shop.example.com /orders\nhost: shop.example.com\n", |der: &[u8]| {
        format!(":{}:", Base64::encode_string(der))
    });
    let issuing = &world.authority.issuing;
    let certificate =
        format!("client-cert: {}\nclient-cert-chain: {}\n", sequence(&world.agent), sequence(issuing));
    let pem = |der: &[u8]| {
        let text = der::pem::encode_string("CERTIFICATE", der::pem::LineEnding::LF, der).unwrap();
        text.bytes().fold(String::new(), |all, byte| match byte {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => all + &char::from(byte).to_string(),
            _ => all + &format!("%{byte:02X}"),
        })
    };
    let envoy = format!(
        "x-forwarded-client-cert: Hash={};Subject=\"CN=a;b,\\\"c\\\"\";Chain=\"{}{}\"\n",
        Digest::of(&world.agent),
        pem(&world.agent),
        pem(issuing)
    );
    let names = String::from_utf8(proven_names().swap_remove(0)).unwrap();
    let mut all = vec![[b"\0", plain.as_bytes()].concat()];
    for fields in [&certificate, &envoy] {
        for peer in [b"\0", b"\x01", b"\x02"] {
            all.push([peer, plain.as_bytes(), fields.as_bytes()].concat());
        }
    }
    for (nonce, more) in (0x80..).zip(["", &format!("kakunin-names: {names}\n"), "content-length: 18\n"]) {
        let head = proven(Some("x=1"), Some(&link()), nonce);
        all.push(format!("\u{1}{head}{more}\n{BODY}").into_bytes());
    }
    all
}

pub(crate) fn bodies() -> Vec<Vec<u8>> {
    texts([
        BODY,
        r#"{"a":{"b":"1.50","c":[1,-2,3.5,null,true]}}"#,
        r#"{"a":1,"a":1}"#,
        r#"{"x":[{"a":1,"\u0061":2}]}"#,
        "[[[[[[]]]]]]",
        "1e400",
    ])
}

pub(crate) fn contents() -> Vec<Vec<u8>> {
    texts([
        "content-type: application/json\n",
        "Content-Type: application/problem+json; charset=utf-8\ncontent-encoding: identity\n",
        "content-type:application/json;charset=\"utf-8\"\ncontent-encoding:gzip\n",
        "content-type: text/json\ncontent-type: application/json\n",
        "content-type: application/x-www-form-urlencoded\n",
        "content-type: multipart/form-data; boundary=json\n",
        "content-type: application/json; charset=utf-16\naccept: */*\n",
    ])
}

const BODY: &str = r#"{"amount":"12.50"}"#;

const DOCUMENTS: [&str; 6] = [
    SCOPE,
    r#"actions = ["read:*", "payments:send"]
deny    = ["read:secrets:*"]
[[limit]]
for = ["payments:send"]
currency = "EUR"
per_action = "10000.00"
per_day = "50000.00"
approve_above = "900.00"
windows = [{ seconds = 60, max = "20.00" }]
optional = true
[[counterparties]]
for = ["payments:send"]
allow = ["acme", "globex:*", "Müller"]
deny = ["globex:x"]
[[resources]]
for = ["read:*"]
allow_file = "names.txt"
optional = true
[[rate]]
for = ["payments:send"]
max = 10
seconds = 60
[hours]
zone = "Europe/Berlin"
slots = ["Mon-Fri 09:00-17:00", "Sat 22:00-02:00"]
[delegation]
depth = 1
max_hours = 24
session = true
"#,
    "actions = [\"*\"]\n[hours]\nzone = \"+01:00\"\nslots = [\"Mon 00:00-24:00\"]\n",
    r#"{"actions": ["payments:send"], "limit": [{"for": ["payments:send"], "currency": "JPY", "scale": 3, "per_week": "5"}]}"#,
    r#"{"actions": ["a"], "actions": ["b"]}"#,
    "actions = [\"a\"]\nacton = 1\n",
];
