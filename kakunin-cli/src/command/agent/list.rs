use clap::Args;
use kakunin_authority::access::TenantId;
use kakunin_authority::store::{Agents, Certificates};
use serde_json::json;

use crate::answer::{Answer, Failure};
use crate::context::Common;

/// List every agent and how it stands
#[derive(Args)]
#[command(after_help = "Examples:\n  kakunin agent list\n  kakunin agent list --json")]
pub(crate) struct List;

impl List {
    pub(crate) fn run(&self, common: &Common) -> Result<Answer, Failure> {
        let store = common.home().records()?;
        let tenant = TenantId::default();
        let (mut agents, mut lines) = (Vec::new(), Vec::new());
        for agent in store.agents(&tenant)? {
            let end =
                store.certificates(&tenant, agent.id)?.iter().map(|known| known.validity.not_after).max();
            let until = end.map_or("no certificate".to_owned(), |end| format!("until {end}"));
            lines.push(format!("{:<8} {:<24} {} {until}", agent.standing, agent.name.as_str(), agent.id));
            agents.push(json!({
                "id": agent.id.to_string(),
                "name": agent.name.as_str(),
                "standing": agent.standing.word(),
                "created": agent.created.to_string(),
                "not_after": end.map(|end| end.to_string()),
            }));
        }
        let none = lines
            .is_empty()
            .then(|| "no agents yet: kakunin agent create NAME --scope scope.toml".to_owned());
        Ok(Answer::yes(json!({ "agents": agents })).lines(lines).lines(none))
    }
}
