use clap::Args;
use kakunin_authority::Who;
use kakunin_authority::authority::find;
use kakunin_core::scope::Scope;
use serde_json::{Value, json};

use crate::answer::{Answer, Failure, one_line};
use crate::context::Common;
#[cfg(feature = "serve")]
use crate::remote::{Remote, Service};

/// Show one agent: scope in plain words, certificates, history
#[derive(Args)]
#[command(after_help = "Examples:\n  kakunin agent show billing\n  kakunin agent show billing --json")]
pub(crate) struct Show {
    /// The agent's id or name
    #[arg(value_name = "ID|NAME")]
    who: Who,
    #[cfg(feature = "serve")]
    #[command(flatten)]
    remote: Remote,
}

impl Show {
    pub(crate) fn run(&self, common: &Common) -> Result<Answer, Failure> {
        #[cfg(feature = "serve")]
        if let Some(service) = self.remote.service(common)? {
            return self.ask(&service);
        }
        let store = common.home().records()?;
        let tenant = common.tenant(store.as_ref())?;
        let agent = find(store.as_ref(), &tenant, &self.who)?;
        let scope = Scope::from_der(&agent.scope).map_err(Failure::cannot)?;
        let certificates = store.certificates(&tenant, agent.id)?;
        let events = store.events(&tenant, agent.id)?;
        let directories = store.directories(&tenant, agent.id)?;
        let record = json!({
            "id": agent.id.to_string(),
            "name": agent.name.as_str(),
            "standing": agent.standing.word(),
            "created": agent.created.to_string(),
            "scope": scope.to_words(),
            "certificates": certificates.iter().map(|known| json!({
                "serial": known.serial.to_string(),
                "standing": known.standing.word(),
                "not_before": known.validity.not_before.to_string(),
                "not_after": known.validity.not_after.to_string(),
            })).collect::<Vec<Value>>(),
            "directories": directories,
            "events": events.iter().map(|event| json!({
                "at": event.at.to_string(), "standing": event.what, "reason": event.text,
            })).collect::<Vec<Value>>(),
        });
        Ok(Answer::yes(record)
            .line(format!("{} ({})", agent.name, agent.id))
            .line(format!("standing     {}", agent.standing))
            .line(format!("created      {}", agent.created))
            .lines(scope.to_words().into_iter().map(|words| format!("scope        {words}")))
            .lines(certificates.iter().map(|known| {
                format!("certificate  {} {} until {}", known.serial, known.standing, known.validity.not_after)
            }))
            .lines(directories.iter().map(|path| format!("directory    {}", path.display())))
            .lines(
                events.iter().map(|event| {
                    format!("event        {} {} {}", event.at, event.what, one_line(&event.text))
                }),
            ))
    }

    #[cfg(feature = "serve")]
    fn ask(&self, service: &Service) -> Result<Answer, Failure> {
        let answer = service.get(&format!("/agents/{}", self.who))?;
        let record = answer.get("data").cloned().unwrap_or_default();
        let text =
            |row: &Value, name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let rows = |name: &str| record.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
        let scope = rows("scope")
            .into_iter()
            .map(|words| format!("scope        {}", words.as_str().unwrap_or_default()));
        let certificates = rows("certificates").into_iter().rev().map(|row| {
            format!(
                "certificate  {} {} until {}",
                text(&row, "serial_number"),
                text(&row, "standing"),
                text(&row, "expires_at")
            )
        });
        let head = format!("{} ({})", one_line(&text(&record, "name")), text(&record, "id"));
        let standing = format!("standing     {}", text(&record, "standing"));
        let created = format!("created      {}", text(&record, "created_at"));
        let lines: Vec<String> = scope.chain(certificates).collect();
        Ok(Answer::yes(record).line(head).line(standing).line(created).lines(lines))
    }
}
