//! `vectors/risk/`: a signed history, a baseline that was learned from the first part of it, and what judging the rest comes to.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use kakunin_core::certificate::TrustAnchors;
use kakunin_core::digest::Digest;
use kakunin_core::report::{History, RiskInquiry};
use kakunin_core::risk::{Baseline, RiskPolicy};
use rcgen::SigningKey as _;
use serde_json::{Value, json};

use crate::authority::{Authority, agent_id};
use crate::{pem, scope};

/// The files, by name. What is learned and judged is read back from the files as they would be read by anybody.
pub(crate) fn files(scratch: &Path) -> BTreeMap<&'static str, String> {
    let mut pen = Pen::new();
    let mut history = pen.certificates();
    for _ in 0..45 {
        history.push_str(&pen.session());
    }
    let mut receipts = pen.certificates();
    for _ in 0..12 {
        receipts.push_str(&pen.session());
    }
    receipts.push_str(&pen.drift());
    let root = pem("CERTIFICATE", &pen.authority.root).as_str().unwrap().to_owned();
    let write = |name: &str, text: &str| {
        let path = scratch.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let anchors = TrustAnchors::new([pen.authority.root.as_slice()]).unwrap();
    let policy = RiskPolicy::from_toml(POLICY).unwrap();
    let seen = History::read(&write("history.jsonl", &history), &anchors, &mut ()).unwrap();
    let baseline = Baseline::learn(&seen.of_agent(None).unwrap(), &policy).unwrap().to_json();
    let inquiry = RiskInquiry {
        path: write("receipts.jsonl", &receipts),
        anchors,
        baseline: baseline.clone(),
        policy: POLICY.to_owned(),
        agent: None,
    };
    let expected = inquiry.ask(&mut ()).unwrap().to_record();
    assert_eq!(expected["level"], "revoke", "the vectors are to show every level");
    let expected = serde_json::to_string_pretty(&expected).unwrap();
    [
        ("history.jsonl", history),
        ("receipts.jsonl", receipts),
        ("root.pem", root),
        ("policy.toml", POLICY.to_owned()),
        ("baseline.json", format!("{baseline}\n")),
        ("expected.json", format!("{expected}\n")),
    ]
    .into()
}

/// Writes receipts of one stream in the agent's name.
struct Pen {
    authority: Authority,
    certificate: Vec<u8>,
    sequence: u64,
    previous: Digest,
    micros: u64,
    session: u64,
    draws: u64,
}

impl Pen {
    fn new() -> Self {
        let authority = Authority::new();
        let certificate = authority.agent(&scope(SCOPE));
        Self {
            authority,
            certificate,
            sequence: 0,
            previous: Digest::of(b"vectors"),
            micros: START,
            session: 0,
            draws: 0x9e37_79b9_7f4a_7c15,
        }
    }

    fn draw(&mut self, bound: u64) -> u64 {
        self.draws ^= self.draws << 13;
        self.draws ^= self.draws >> 7;
        self.draws ^= self.draws << 17;
        (self.draws >> 16) % bound
    }

    fn certificates(&self) -> String {
        let line =
            |der: &[u8]| format!("{}\n", json!({ "certificate": Base64UrlUnpadded::encode_string(der) }));
        [&self.authority.issuing, &self.certificate].into_iter().map(|der| line(der)).collect()
    }

    /// What the agent does all day.
    fn session(&mut self) -> String {
        self.begin();
        let mut text = self.reads("read:mail");
        for _ in 0..=self.draw(2) {
            text.push_str(&self.reads("read:orders"));
        }
        match self.draw(6) {
            0 | 1 => {
                let (amount, to) = (20 + self.draw(180), self.draw(6));
                text.push_str(&self.pays(&format!("{amount}.00"), &format!("supplier-{to}"), "allow"));
            }
            2 => text.push_str(&self.reads("notes:write")),
            _ => {}
        }
        text
    }

    /// A captured agent: strangers, large amounts, a tool that was never used, and no end of it when it is held.
    fn drift(&mut self) -> String {
        let mut text = String::new();
        self.begin();
        for n in 0..220 {
            text.push_str(&match n % 4 {
                0 => self.reads("files:upload"),
                1 => self.pays(
                    &format!("{}.00", 8_000 + 500 * n),
                    &format!("stranger-{n}"),
                    if n < 4 { "allow" } else { "scope.amount" },
                ),
                2 => self.call("notes:write", if n < 40 { "allow" } else { "certificate.held" }, &[]),
                _ => self.reads("read:mail"),
            });
        }
        text
    }

    fn begin(&mut self) {
        self.session += 1;
        self.micros += 240_000_000 + 1_000_000 * self.draw(600);
    }

    fn reads(&mut self, action: &str) -> String {
        self.call(action, "allow", &[])
    }

    fn pays(&mut self, amount: &str, to: &str, answer: &str) -> String {
        self.call("payments:send", answer, &[("amount", amount), ("currency", "EUR"), ("counterparties", to)])
    }

    fn call(&mut self, action: &str, answer: &str, values: &[(&str, &str)]) -> String {
        self.sequence += 1;
        self.micros += 2_000_000;
        let salt =
            Base64UrlUnpadded::encode_string(&Digest::of(&self.sequence.to_be_bytes()).as_bytes()[..16]);
        let shown: Vec<(String, String)> = values
            .iter()
            .map(|(name, value)| {
                let text =
                    Base64UrlUnpadded::encode_string(json!([salt, name, value]).to_string().as_bytes());
                (text.clone(), Digest::of(text.as_bytes()).to_base64url())
            })
            .collect();
        let (dec, why) = match answer {
            "allow" => ("allow", String::new()),
            code => ("deny", format!(r#","why":"{code}""#)),
        };
        let (inputs, targets) = match shown.as_slice() {
            [(_, amount), (_, currency), (_, to)] => (
                format!(r#","in":{{"amount":"{amount}","currency":"{currency}"}}"#),
                format!(r#","tgt":{{"counterparties":"{to}"}}"#),
            ),
            _ => Default::default(),
        };
        let payload = format!(
            r#"{{"act":"{action}","chn":"{:032x}","dec":"{dec}"{inputs},"log":"{}","mode":"enforce","mono":"{}:{}","ph":"decision","prev":"{}","seq":{},"sub":"{}"{targets},"ts":{},"v":1{why}}}"#,
            self.session,
            "0a".repeat(16),
            "0b".repeat(16),
            self.micros * 1000,
            self.previous.to_base64url(),
            self.sequence,
            agent_id().to_urn(),
            self.micros,
        );
        let header = format!(
            r#"{{"alg":"EdDSA","typ":"kakunin-receipt+jws","x5t#S256":"{}"}}"#,
            Digest::of(&self.certificate).to_base64url()
        );
        let part = |text: &str| Base64UrlUnpadded::encode_string(text.as_bytes());
        let input = format!("{}.{}", part(&header), part(&payload));
        self.previous = Digest::of(input.as_bytes());
        let signature =
            Base64UrlUnpadded::encode_string(&self.authority.agent_key.sign(input.as_bytes()).unwrap());
        let disclosures: Vec<Value> = shown.into_iter().map(|(text, _)| Value::from(text)).collect();
        let mut line = String::new();
        writeln!(
            line,
            "{}",
            json!({ "disclosures": disclosures, "receipt": format!("{input}.{signature}") })
        )
        .unwrap();
        line
    }
}

/// 2026-11-20T06:00:00Z, when the certificate is good.
const START: u64 = 1_795_154_400_000_000;

const SCOPE: &str = r#"
actions = ["read:*", "notes:write", "files:upload", "payments:send"]
[[limit]]
for = ["payments:send"]
currency = "EUR"
per_action = "10000.00"
"#;

const POLICY: &str = r#"# What the shared vectors are judged by.
canaries = ["read:secrets:*"]
half_life_hours = 24

[baseline]
calls = 100
days = 0
least = 100
"#;
