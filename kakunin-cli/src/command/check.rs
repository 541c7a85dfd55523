use std::fmt;
use std::path::{Path, PathBuf};

use clap::Args;
use kakunin_core::guard::Denied;
use kakunin_core::id::ChainId;
use kakunin_core::time::UnixMillis;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Value, json};

use crate::answer::{Answer, Exit, Failure};
use crate::context::{Common, now, read_text};
use crate::judge::{Asked, AskedAmount, AskedNames, Judge};

/// Ask what an agent's certificate would allow, without acting
///
/// A dry run: budgets begin empty, nothing is written unless --journal asks for receipts. With --requests each line of the file is answered in order,
/// and allowed lines count against later ones.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kakunin check --agent agents/billing --action payments:send --amount 12.50 --currency EUR --counterparty acme
  kakunin check --agent agents/billing --crl lists.pem --requests requests.jsonl --json
A line of the file: {\"action\":\"payments:send\",\"amount\":\"12.50\",\"currency\":\"EUR\",\"counterparty\":[\"acme\"]}
further keys: amount_minor, resource, at. Amounts are decimal strings.")]
pub(crate) struct Check {
    /// The agent's directory
    #[arg(long, value_name = "DIR")]
    agent: PathBuf,
    /// The file of revocation lists; else the one its agent.toml names
    #[arg(long, value_name = "FILE")]
    crl: Option<PathBuf>,
    /// What it wants to do
    #[arg(long, required_unless_present = "requests", conflicts_with = "requests")]
    action: Option<String>,
    /// How much, in whole units, for example 12.50
    #[arg(long, conflicts_with = "requests", allow_hyphen_values = true)]
    amount: Option<String>,
    /// How much, in minor units
    #[arg(long, value_name = "INTEGER", conflicts_with_all = ["requests", "amount"], allow_hyphen_values = true)]
    amount_minor: Option<i64>,
    /// Of which currency, for example EUR
    #[arg(long, conflicts_with = "requests")]
    currency: Option<String>,
    /// Towards whom; may be repeated
    #[arg(long, value_name = "NAME", conflicts_with = "requests")]
    counterparty: Vec<String>,
    /// On what; may be repeated
    #[arg(long, value_name = "NAME", conflicts_with = "requests")]
    resource: Vec<String>,
    /// Judge at this time instead of now
    #[arg(long, value_name = "RFC3339", value_parser = time)]
    at: Option<UnixMillis>,
    /// Requests, one JSON object a line
    #[arg(long, value_name = "FILE")]
    requests: Option<PathBuf>,
    /// Write the receipts of the answers into this journal folder, signed by the agent
    #[arg(long, value_name = "DIR")]
    journal: Option<PathBuf>,
    /// The decision chain the receipts belong to, 32 hexadecimal digits
    #[arg(long, value_name = "HEX32", requires = "journal", value_parser = chain)]
    chain: Option<ChainId>,
}

fn chain(text: &str) -> Result<ChainId, String> {
    ChainId::parse(text).ok_or_else(|| "a chain is 32 lower-case hexadecimal digits".into())
}

fn time(text: &str) -> Result<UnixMillis, String> {
    UnixMillis::parse_rfc3339(text).map_err(|error| error.to_string())
}

impl Check {
    pub(crate) fn run(&self, _: &Common) -> Result<Answer, Failure> {
        let at = self.at.unwrap_or_else(|| now().to_millis());
        if let Some(path) = &self.requests {
            // Read whole before the first answer: a broken line is wrong usage of all of them.
            let asked = requests(path)?;
            let mut judge = self.judge(at)?;
            let (mut records, mut lines) = (Vec::new(), Vec::new());
            for (asked, own) in asked {
                let at = own.unwrap_or(at);
                let (record, line) = answer(&asked, &judge.decide(&asked, at)?, at);
                records.push(record);
                lines.push(line);
            }
            judge.close(at)?;
            return Ok(Answer::all(records).lines(lines));
        }
        let amount = match (&self.amount, self.amount_minor) {
            (Some(text), _) => AskedAmount::Decimal(text.clone()),
            (None, Some(minor)) => AskedAmount::Minor(minor),
            (None, None) => AskedAmount::Absent,
        };
        let asked = Asked {
            action: self.action.clone().unwrap_or_default(),
            amount,
            currency: self.currency.clone(),
            counterparties: AskedNames::of(&self.counterparty),
            resources: AskedNames::of(&self.resource),
        };
        let mut judge = self.judge(at)?;
        let decided = judge.decide(&asked, at)?;
        judge.close(at)?;
        let (record, line) = answer(&asked, &decided, at);
        let here = decided.as_ref().err().and_then(|denied| flag(denied.code()));
        let here = here.map(|flag| format!("       here: pass {flag}"));
        Ok(Answer::yes(record).line(line).lines(here).exit(if decided.is_ok() {
            Exit::Yes
        } else {
            Exit::No
        }))
    }

    fn judge(&self, at: UnixMillis) -> Result<Judge, Failure> {
        let judge = Judge::of(&self.agent, self.crl.as_deref())?;
        match &self.journal {
            Some(journal) => judge.recording(&self.agent, journal, self.chain, at),
            None => Ok(judge),
        }
    }
}

fn answer(asked: &Asked, decided: &Result<(), Denied>, at: UnixMillis) -> (Value, String) {
    match decided {
        Ok(()) => (
            json!({ "decision": "allow", "code": null, "action": asked.action, "at": at.to_string() }),
            format!("allow  {}", asked.action),
        ),
        Err(denied) => (
            json!({
                "decision": "deny",
                "code": denied.code(),
                "action": denied.action(),
                "at": at.to_string(),
                "message": denied.to_string(),
                "limit": denied.limit(),
                "actual": denied.actual(),
                "fix": denied.fix(),
                "receipt": denied.receipt().map(|receipt| receipt.to_string()),
            }),
            format!("deny   {denied}"),
        ),
    }
}

/// The flag of this command that says what a request lacks: the fix of a denial speaks to whoever writes a program.
fn flag(code: &str) -> Option<&'static str> {
    Some(match code {
        "request.amount_missing" | "request.amount_invalid" => "--amount 12.50, or --amount-minor 1250",
        "request.currency_missing" | "request.currency_invalid" => "--currency EUR",
        "request.counterparty_missing" | "request.counterparty_invalid" => "--counterparty NAME",
        "request.resource_missing" | "request.resource_invalid" => "--resource NAME",
        "revocation.missing" => "--crl FILE with the lists that `kakunin crl` publishes",
        _ => return None,
    })
}

type Line = (Asked, Option<UnixMillis>);

fn requests(path: &Path) -> Result<Vec<Line>, Failure> {
    let text = read_text(path)?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let read = lines.map(|(number, line)| {
        let wrong = |what: String| Failure::usage(format!("{} line {}: {what}", path.display(), number + 1));
        let Members(members) = serde_json::from_str(line).map_err(|error| {
            wrong(format!(
                "{error}; a line is an object as {{\"action\":\"payments:send\",\"amount\":\"12.50\"}}"
            ))
        })?;
        request(members).map_err(wrong)
    });
    read.collect()
}

/// The members of an object as they were written: a map would keep one of two that have the same key.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Members, A::Error> {
                let mut members: Vec<(String, Value)> = Vec::new();
                while let Some((key, value)) = object.next_entry()? {
                    if members.iter().any(|(known, _)| *known == key) {
                        return Err(de::Error::custom(format!("`{key}` stands there twice")));
                    }
                    members.push((key, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

fn request(members: Vec<(String, Value)>) -> Result<Line, String> {
    let (mut asked, mut at) = (Asked::default(), None);
    let mut amounts = 0;
    for (key, value) in members {
        if value.is_null() {
            continue;
        }
        match key.as_str() {
            // Text that is no action is a denied request; a value that is no text is none either.
            "action" => asked.action = value.as_str().unwrap_or_default().to_owned(),
            "amount" => {
                amounts += 1;
                asked.amount = match value {
                    Value::String(text) => AskedAmount::Decimal(text),
                    _ => AskedAmount::Unreadable,
                };
            }
            "amount_minor" => {
                amounts += 1;
                asked.amount = value.as_i64().map_or(AskedAmount::Unreadable, AskedAmount::Minor);
            }
            "currency" => asked.currency = Some(value.as_str().unwrap_or_default().to_owned()),
            "counterparty" => asked.counterparties = names(value),
            "resource" => asked.resources = names(value),
            "at" => {
                let text = value.as_str().ok_or("`at` is no text; write an RFC 3339 time")?;
                at = Some(time(text)?);
            }
            // A misspelt key would drop what it should have said.
            _ => return Err(format!("unknown key `{key}`; known: {KEYS}")),
        }
    }
    if amounts > 1 {
        return Err("amount and amount_minor stand there together; leave one out".into());
    }
    Ok((asked, at))
}

fn names(value: Value) -> AskedNames {
    match value {
        Value::String(name) => AskedNames::One(name),
        Value::Array(items) => {
            let names = items.into_iter().map(|item| match item {
                Value::String(name) => Some(name),
                _ => None,
            });
            names.collect::<Option<Vec<_>>>().map_or(AskedNames::Unreadable, AskedNames::Many)
        }
        _ => AskedNames::Unreadable,
    }
}

const KEYS: &str = "action, amount, amount_minor, currency, counterparty, resource, at";
