use std::collections::BTreeMap;

use clap::Args;
#[cfg(feature = "serve")]
use serde_json::Value;
use serde_json::json;

#[cfg(feature = "serve")]
use crate::answer::one_line;
use crate::answer::{Answer, Failure};
use crate::context::Common;
#[cfg(feature = "serve")]
use crate::remote::{Remote, Service};

/// List every agent and how it stands
#[derive(Args)]
#[command(after_help = "Examples:\n  kakunin agent list\n  kakunin agent list --json")]
pub(crate) struct List {
    #[cfg(feature = "serve")]
    #[command(flatten)]
    remote: Remote,
}

impl List {
    pub(crate) fn run(&self, common: &Common) -> Result<Answer, Failure> {
        #[cfg(feature = "serve")]
        if let Some(service) = self.remote.service(common)? {
            return all(&service);
        }
        let store = common.home().records()?;
        let tenant = common.tenant(store.as_ref())?;
        let (mut agents, mut lines) = (Vec::new(), Vec::new());
        // One question for the ends of all of them: there may be a hundred thousand.
        let ends: BTreeMap<_, _> = store.ends_of_agents(&tenant)?.into_iter().collect();
        for agent in store.agents(&tenant)? {
            let end = ends.get(&agent.id);
            let until = end.map_or("no certificate".to_owned(), |end| format!("until {end}"));
            lines.push(format!("{:<8} {:<24} {} {until}", agent.standing, agent.name.as_str(), agent.id));
            agents.push(json!({
                "id": agent.id.to_string(),
                "name": agent.name.as_str(),
                "standing": agent.standing.word(),
                "created": agent.created.to_string(),
                "not_after": end.map(ToString::to_string),
            }));
        }
        let none = lines.is_empty().then(|| NONE.to_owned());
        Ok(Answer::yes(json!({ "agents": agents })).lines(lines).lines(none))
    }
}

/// Every agent that the service shows to this key, page by page.
#[cfg(feature = "serve")]
fn all(service: &Service) -> Result<Answer, Failure> {
    let (mut agents, mut lines) = (Vec::new(), Vec::new());
    // From where the page before ended: agents that are named meanwhile move no others.
    let mut after = String::new();
    loop {
        let page = service.get(&format!("/agents?limit=100{after}"))?;
        let rows = page.get("data").and_then(Value::as_array).cloned().unwrap_or_default();
        let text =
            |row: &Value, name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        lines.extend(rows.iter().map(|row| {
            format!(
                "{:<8} {:<24} {} {}",
                text(row, "standing"),
                one_line(&text(row, "name")),
                text(row, "id"),
                text(row, "status")
            )
        }));
        agents.extend(rows);
        match page.pointer("/pagination/next_cursor").and_then(Value::as_str) {
            Some(next) => after = format!("&before={next}"),
            None => {
                let none = agents.is_empty().then(|| NONE.to_owned());
                return Ok(Answer::yes(json!({ "agents": agents })).lines(lines).lines(none));
            }
        }
    }
}

const NONE: &str = "no agents yet: kakunin agent create NAME --scope scope.toml";
