use std::io;

use clap::Args;
use kakunin_authority::authority::{AnyAction, Certify, Comeback, Days, Hours};
use kakunin_authority::signer::PassphraseSources;
use kakunin_authority::standing::Order;
use kakunin_authority::{AgentName, Authority, Home, Who};
use kakunin_core::scope::DraftScope;
use serde_json::{Value, json};

use crate::answer::{Answer, Exit, Failure};
use crate::context::{Common, now};
use crate::judge::{Asked, AskedAmount, AskedNames, Judge};

/// Show the leash at work: an authority, an agent and its decisions in a temporary directory
#[derive(Args)]
#[command(after_help = "Examples:\n  kakunin demo")]
pub(crate) struct Demo;

impl Demo {
    pub(crate) fn run(&self, _: &Common) -> Result<Answer, Failure> {
        let folder = tempfile::tempdir().map_err(Failure::cannot)?;
        let home = Home::at(&folder.path().join("home"));
        let directory = folder.path().join("agent");
        let own = home.passphrase();
        let sources = PassphraseSources { named: None, own: &own, ask: &|_| io::Result::Ok(None) };
        let draft =
            DraftScope::parse(SCOPE, &|_| Err(io::ErrorKind::NotFound.into())).map_err(Failure::cannot)?;
        let name = AgentName::parse("demo").map_err(Failure::cannot)?;

        let (mut authority, _) = Authority::init(&home, sources, now(), Hours::default())?;
        let agent = authority.create(&name, &draft, AnyAction::Refuse, now())?;
        let who = Who::Id(agent.id);
        let order = Certify {
            directory: &directory,
            days: Days::WEEK,
            request: None,
            comeback: Comeback::Refuse,
            any: AnyAction::Refuse,
        };
        let _ = authority.certify(&who, &order, Hours::default(), now())?;

        let mut lines = vec!["the scope, signed inside the certificate:".to_owned()];
        let scope = draft.for_agent(agent.id).map_err(Failure::cannot)?;
        lines.extend(scope.to_words().into_iter().map(|words| format!("  {words}")));
        lines.push(String::new());

        let mut records = Vec::new();
        let mut held = true;
        let mut show = |title: &str, asked: &Asked, expected: Option<&str>| -> Result<(), Failure> {
            let decided = Judge::of(&directory, None)?.decide(asked, now().to_millis())?;
            let code = decided.as_ref().err().map(|denied| denied.code());
            let right = code == expected;
            held &= right;
            let word = if code.is_none() { "allow" } else { "deny " };
            let surprise = if right { "" } else { "   <-- not what was expected" };
            lines.push(format!("{word} {:<26} {title}{surprise}", code.unwrap_or("")));
            records.push(json!({ "request": title, "code": code, "expected": expected }));
            Ok(())
        };
        let pay = |amount: &str, party: &str| Asked {
            action: "payments:send".into(),
            amount: AskedAmount::Decimal(amount.into()),
            currency: Some("EUR".into()),
            counterparties: AskedNames::One(party.into()),
            resources: AskedNames::Absent,
        };
        let other = |action: &str| Asked { action: action.into(), ..Asked::default() };
        show("125.00 EUR to acme", &pay("125.00", "acme"), None)?;
        show("12500.00 EUR to acme", &pay("12500.00", "acme"), Some("scope.amount"))?;
        show("125.00 EUR to mallory", &pay("125.00", "mallory"), Some("scope.counterparty"))?;
        show("1.005 EUR to acme", &pay("1.005", "acme"), Some("request.amount_invalid"))?;
        show("a payment without an amount", &other("payments:send"), Some("request.amount_missing"))?;
        show("reading invoices", &other("read:invoices"), None)?;
        show("deleting invoices", &other("delete:invoices"), Some("scope.action"))?;
        for (order, title, expected) in [
            (Order::Suspend, "125.00 EUR to acme, suspended", Some("certificate.held")),
            (Order::Resume, "125.00 EUR to acme, resumed", None),
            (Order::Revoke, "125.00 EUR to acme, revoked", Some("certificate.revoked")),
        ] {
            let _ = authority.order(&who, order, "demonstration", Hours::default(), now())?;
            show(title, &pay("125.00", "acme"), expected)?;
        }
        let record: Value = json!({ "held": held, "requests": records });
        let exit = if held { Exit::Yes } else { Exit::No };
        Ok(Answer::yes(record).lines(lines).exit(exit))
    }
}

const SCOPE: &str = r#"
actions = ["read:*", "payments:send"]
deny = ["read:secrets:*"]
[[limit]]
for = ["payments:send"]
currency = "EUR"
per_action = "10000.00"
per_day = "50000.00"
[[counterparties]]
for = ["payments:send"]
allow = ["acme", "globex"]
"#;
