use clap::Args;
use kakunin_authority::Who;
use kakunin_authority::authority::Hours;
use kakunin_authority::standing::Order;
use kakunin_authority::sweep::{Condition, Sweep};
#[cfg(feature = "serve")]
use serde_json::Value;
use serde_json::json;

use super::standing::Why;
#[cfg(feature = "serve")]
use crate::answer::one_line;
use crate::answer::{Answer, Exit, Failure};
use crate::context::{Common, now};
#[cfg(feature = "serve")]
use crate::remote::Service;

/// Revoke an agent for good
///
/// Every certificate of it is denied wherever the list is read, within a second, and never again good. A reason of
/// RFC 5280 (key compromise, superseded, ...) is written into the list; other text is kept in the records.
///
/// With --where every agent is meant that meets all conditions, those about certificates by one certificate of it: its name,
/// the key of a certificate, the key of the issuing CA that signed it, when it was issued (both ends included, either may be
/// missing). --dry-run lists them; the order itself says how many there are with --expect, and revokes nobody if it is another
/// number.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kakunin revoke billing --reason \"key compromise\"
  kakunin revoke billing --url http://127.0.0.1:8080 --reason drift
  kakunin revoke --where 'name=billing-*' --dry-run --reason drill
  kakunin revoke --where 'name=billing-*' --expect 12 --reason drill
  kakunin revoke --where 'issued=2026-11-23T09:30:00Z..' --where issuer=5e8f... --dry-run --reason drill")]
pub(crate) struct Revoke {
    /// The agent's id or name
    #[arg(value_name = "ID|NAME", required_unless_present = "conditions", conflicts_with = "conditions")]
    who: Option<Who>,
    /// Every agent that meets a condition; may be given more than once
    #[arg(long = "where", value_name = "name=PATTERN|key=SHA256|issuer=SHA256|issued=FROM..TO")]
    conditions: Vec<Condition>,
    /// List whom it would be, and revoke nobody
    #[arg(long, requires = "conditions", conflicts_with = "expect")]
    dry_run: bool,
    /// Revoke them if they are so many
    #[arg(long, value_name = "N", requires = "conditions")]
    expect: Option<usize>,
    #[command(flatten)]
    why: Why,
}

impl Revoke {
    pub(crate) fn run(&self, common: &Common) -> Result<Answer, Failure> {
        match &self.who {
            Some(who) => self.why.give(who, Order::Revoke, common),
            None => self.sweep(common),
        }
    }

    fn sweep(&self, common: &Common) -> Result<Answer, Failure> {
        #[cfg(feature = "serve")]
        if let Some(service) = self.why.remote.service(common)? {
            return self.send(&service);
        }
        let hours = self.why.hours.map_or(Ok(Hours::default()), Hours::new)?;
        let own = common.home().passphrase();
        let mut authority = common.authority(&own)?;
        let (conditions, text) = (self.conditions.clone(), self.why.reason.clone());
        let sweep = Sweep { conditions, expect: self.expect, text };
        let found = authority.sweep(&sweep, now())?;
        let lines = found
            .iter()
            .map(|agent| format!("{:<8} {:<24} {}", agent.standing, agent.name.as_str(), agent.id));
        let listed: Vec<_> = found
            .iter()
            .map(|agent| {
                json!({ "id": agent.id.to_string(), "name": agent.name.as_str(), "standing": agent.standing.word() })
            })
            .collect();
        let many = found.len();
        if self.dry_run {
            let answer = Answer::yes(json!({ "agents": listed, "revoked": false })).lines(lines);
            return Ok(answer.line(would(many)));
        }
        if self.expect.is_none() {
            return Err(unsaid(many));
        }
        let ids: Vec<_> = found.iter().map(|agent| agent.id).collect();
        let done = match authority.revoke_all(&ids, &self.why.reason, hours, now()) {
            Ok(done) => done,
            Err(error) => {
                let failure = Failure::from(error);
                return Err(match authority.matching(&self.conditions).map(|left| left.len()) {
                    Ok(left @ 1..) => failure.after(format!(
                        "{left} of {many} still meet the conditions, so give the order again with --expect {left}"
                    )),
                    // What went wrong first is what whoever ordered it can do something about.
                    Ok(_) | Err(_) => failure,
                });
            }
        };
        let published = done.last().map(|ordered| &ordered.publication);
        let answer = Answer::yes(json!({
            "agents": listed,
            "revoked": true,
            "list_number": published.map(|published| published.number),
        }))
        .lines(lines)
        .line(format!("{many} are revoked"));
        Ok(match published {
            None => answer.exit(Exit::No),
            Some(published) => {
                answer.line(format!("list {} is in {}", published.number, published.path.display()))
            }
        })
    }

    #[cfg(feature = "serve")]
    fn send(&self, service: &Service) -> Result<Answer, Failure> {
        if self.why.hours.is_some() {
            return Err(Failure::usage("--hours is the service's own when --url is given; leave it out"));
        }
        let conditions: Vec<_> = self.conditions.iter().map(ToString::to_string).collect();
        let mut order = json!({ "where": conditions, "reason": self.why.reason });
        let member = match self.expect {
            Some(expected) => ("expect", json!(expected)),
            // Without a number it is only looked how many there are.
            None => ("dry_run", json!(true)),
        };
        if let Some(members) = order.as_object_mut() {
            members.insert(member.0.into(), member.1);
        }
        let answer = service.post("/sweep", &order)?;
        let row = answer.get("data").cloned().unwrap_or_default();
        let agents = row.get("agents").and_then(Value::as_array).cloned().unwrap_or_default();
        let many = agents.len();
        if !self.dry_run && self.expect.is_none() {
            return Err(unsaid(many));
        }
        let lines = agents.iter().map(|agent| {
            let text = |name: &str| one_line(agent.get(name).and_then(Value::as_str).unwrap_or_default());
            format!("{:<8} {:<24} {}", text("standing"), text("name"), text("id"))
        });
        let lines: Vec<_> = lines.collect();
        let number = row.get("list_number").cloned().unwrap_or_default();
        let left = row.get("left").and_then(Value::as_u64).unwrap_or_default();
        let answer = Answer::yes(row).lines(lines);
        Ok(match (self.dry_run, many) {
            (true, _) => answer.line(would(many)),
            (false, 0) => answer.line("0 are revoked").exit(Exit::No),
            (false, _) => {
                let answer =
                    answer.line(format!("{many} are revoked")).line(format!("list {number} is published"));
                match left {
                    0 => answer,
                    // Certified, or named so, while the others were revoked.
                    left => answer.exit(Exit::No).line(format!(
                        "{left} more meet the conditions by now: kakunin freeze, look at them with --dry-run, and give the order again with --expect {left}"
                    )),
                }
            }
        })
    }
}

/// What a dry run found, and how the order is given.
fn would(many: usize) -> String {
    match many {
        0 => "nobody meets the conditions: there is nobody to revoke".to_owned(),
        _ => format!("{many} would be revoked: give the order with --expect {many}"),
    }
}

fn unsaid(many: usize) -> Failure {
    Failure::usage(format!(
        "{many} agents are meant; look at them with --dry-run, and say how many with --expect"
    ))
}
