use clap::Args;
use kakunin_authority::Who;
use kakunin_authority::authority::Hours;
use kakunin_authority::standing::Order;
use kakunin_authority::sweep::Condition;
use serde_json::json;

use super::standing::Why;
use crate::answer::{Answer, Exit, Failure};
use crate::context::{Common, now};

/// Revoke an agent for good
///
/// Every certificate of it is denied wherever the list is read, within a second, and never again good. A reason of
/// RFC 5280 (key compromise, superseded, ...) is written into the list; other text is kept in the records.
///
/// With --where every agent that meets all conditions is meant. --dry-run lists them; the order itself says how many there
/// are with --expect, and revokes nobody if it is another number.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kakunin revoke billing --reason \"key compromise\"
  kakunin revoke billing --url http://127.0.0.1:8080 --reason drift
  kakunin revoke --where 'name=billing-*' --dry-run --reason drill
  kakunin revoke --where 'name=billing-*' --expect 12 --reason drill")]
pub(crate) struct Revoke {
    /// The agent's id or name
    #[arg(value_name = "ID|NAME", required_unless_present = "conditions", conflicts_with = "conditions")]
    who: Option<Who>,
    /// Every agent whose name fits, or that has a certificate of a key; may be given more than once
    #[arg(long = "where", value_name = "name=PATTERN|key=SHA256")]
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
        if self.why.remote.is_named() {
            return Err(Failure::usage(
                "--where is for the home itself; over a network give each order by its id, as `agent list --url` lists them",
            ));
        }
        let hours = self.why.hours.map_or(Ok(Hours::default()), Hours::new)?;
        let own = common.home().passphrase();
        let mut authority = common.authority(&own)?;
        let found = authority.matching(&self.conditions)?;
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
            return Ok(answer.line(format!("{many} would be revoked: give the order with --expect {many}")));
        }
        match self.expect {
            None => {
                return Err(Failure::usage(format!(
                    "{many} agents are meant; look at them with --dry-run, and say how many with --expect"
                )));
            }
            Some(expected) if expected != many => {
                return Err(Failure::no(format!(
                    "{many} agents are meant and not {expected}; nobody was revoked, look again with --dry-run"
                )));
            }
            Some(_) => {}
        }
        let ids: Vec<_> = found.iter().map(|agent| agent.id).collect();
        let done = authority.revoke_all(&ids, &self.why.reason, hours, now())?;
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
}
