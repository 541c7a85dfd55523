//! One incident of three agents and two owners at a desk: the shop's support asks the shop's payments, which asks the bank.

use std::fs;

use kakunin_core::chain::CallContext;
use kakunin_core::guard::{Guard, GuardOptions};
use kakunin_core::home::AgentHome;
use kakunin_core::request::ActionRequest;

use crate::desk::Desk;

pub(crate) struct Incident {
    pub(crate) desk: Desk,
    pub(crate) keys: Vec<String>,
    pub(crate) chain: String,
}

impl Incident {
    /// Everything done, logged, witnessed and exported into `incident.zip`; roots in `shop.pem` and `bank.pem`, the
    /// witness in `policy.txt`. `resource` is what the request is about, as a stranger may have written it.
    pub(crate) fn about(resource: &str) -> Self {
        let desk = Desk::empty();
        for (agent, owner) in AGENTS {
            if !desk.path(owner).is_dir() {
                desk.yes(&["init", "--home", owner]);
                fs::copy(desk.path(&format!("{owner}/public/ca.pem")), desk.path(&format!("{owner}.pem")))
                    .unwrap();
                desk.yes(&["log", "--home", owner]);
            }
            fs::write(desk.path("scope.toml"), SCOPE).unwrap();
            let out = format!("agents/{agent}");
            desk.yes(&["agent", "create", agent, "--scope", "scope.toml", "--out", &out, "--home", owner]);
        }
        let chain = work(&desk, resource);
        let (mut keys, mut witness) = (Vec::new(), String::new());
        for owner in ["shop", "bank"] {
            let of = AGENTS.iter().filter(|(_, its)| *its == owner);
            let journals: Vec<String> = of.map(|(agent, _)| format!("agents/{agent}")).collect();
            let mut words = vec!["log", "--home", owner];
            words.extend(journals.iter().flat_map(|journal| ["--journal", journal.as_str()]));
            let key = text(&desk.yes(&words), "log");
            let log = format!("{owner}/log");
            let seen = desk.yes(&["witness", "--state", "w", "--log", &log, "--log-key", &key]);
            witness = text(&seen, "witness");
            keys.push(key);
        }
        fs::write(desk.path("policy.txt"), format!("witness W {witness}\nquorum W\n")).unwrap();
        let mut words = vec!["export", "--chain", &chain, "--out", "incident.zip"];
        words.extend(["--log", "shop/log", "--log", "bank/log"]);
        words.extend(JOURNALS.iter().flat_map(|journal| ["--journal", journal]));
        desk.yes(&words);
        Self { desk, keys, chain }
    }

    /// `verify` of `what` with both roots, both keys and the witness, and further words.
    pub(crate) fn words<'a>(&'a self, what: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let mut words = vec!["verify", what, "--root", "shop.pem", "--root", "bank.pem"];
        words.extend(self.keys.iter().flat_map(|key| ["--log-key", key.as_str()]));
        words.extend(["--witness-policy", "policy.txt"]);
        words.extend(more);
        words
    }
}

fn text(answer: &serde_json::Value, name: &str) -> String {
    answer.get(name).and_then(|it| it.as_str()).unwrap().to_owned()
}

/// What happened: too much is refused by payments, then a little goes all the way. Gives the chain.
fn work(desk: &Desk, resource: &str) -> String {
    let open = |agent: &str| {
        let home = AgentHome::open(&desk.path(&format!("agents/{agent}")), None).unwrap();
        Guard::open(home, GuardOptions::default()).unwrap()
    };
    let (support, payments, bank) = (open("support"), open("payments"), open("bank"));
    let chain = Guard::new_chain().unwrap();
    let begun = CallContext { chain: Some(chain), ..CallContext::default() };
    for (asked, paid) in [("900.00", "12500.00"), ("49.00", "49.00")] {
        let request = |amount| {
            ActionRequest::new("payments:send").amount(amount, "EUR").counterparty("acme").resource(resource)
        };
        let asking = support.admit_in(&request(asked), &begun).unwrap().begin().unwrap();
        let link = asking.link().unwrap();
        match payments.admit_in(&request(paid), &link.context()) {
            Err(_) => asking.raised(),
            Ok(pass) => {
                let paying = pass.begin().unwrap();
                let link = paying.link().unwrap();
                bank.admit_in(&request(paid), &link.context()).unwrap().begin().unwrap().returned();
                paying.returned();
                asking.returned();
            }
        }
    }
    for guard in [&support, &payments, &bank] {
        guard.close();
    }
    chain.to_string()
}

pub(crate) const AGENTS: [(&str, &str); 3] = [("support", "shop"), ("payments", "shop"), ("bank", "bank")];
const JOURNALS: [&str; 3] = ["agents/support", "agents/payments", "agents/bank"];

const SCOPE: &str = r#"
actions = ["payments:send"]
[[limit]]
for = ["payments:send"]
currency = "EUR"
per_action = "1000.00"
[[counterparties]]
for = ["payments:send"]
allow = ["acme"]
[[resources]]
for = ["payments:send"]
allow = ["ticket:*"]
optional = true
"#;
