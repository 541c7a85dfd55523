use std::path::PathBuf;

use clap::Args;
use kakunin_authority::authority::{AnyAction, Certify, Comeback, Days, Hours};
use kakunin_authority::deed::Deed;
use kakunin_authority::{AgentName, Who};
use kakunin_core::digest::Digest;
#[cfg(feature = "serve")]
use serde_json::Value;
use serde_json::json;

use super::certify::{certified, issue, weigh};
use crate::answer::{Answer, Failure};
#[cfg(feature = "serve")]
use crate::context::scope_as_json;
use crate::context::{Common, now, read_scope, read_text};
#[cfg(feature = "serve")]
use crate::remote::{Remote, Service};

/// Add an agent with its scope; with --out also certify it
#[derive(Args)]
#[command(after_help = "\
Examples:
  kakunin agent create billing --scope scope.toml --out agents/billing
  kakunin agent create billing --scope scope.toml --json")]
pub(crate) struct Create {
    /// Its name: lower-case letters, digits and hyphens
    name: AgentName,
    /// What it may do, in TOML or JSON
    #[arg(long, value_name = "FILE")]
    scope: PathBuf,
    /// Certify it into this directory
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// For how many days the certificate is valid, with --out
    #[arg(long, default_value_t = 7, requires = "out")]
    days: u16,
    /// Accept a scope that allows every action
    #[arg(long)]
    allow_any: bool,
    #[cfg(feature = "serve")]
    #[command(flatten)]
    remote: Remote,
}

impl Create {
    pub(crate) fn run(&self, common: &Common) -> Result<Answer, Failure> {
        let days = Days::new(self.days)?;
        let draft = read_scope(&self.scope)?;
        #[cfg(feature = "serve")]
        if let Some(service) = self.remote.service(common)? {
            return self.send(&service);
        }
        let any = if self.allow_any { AnyAction::Allow } else { AnyAction::Refuse };
        let own = common.home().passphrase();
        let mut authority = common.authority(&own)?;
        let now = now();
        // A name that is taken is said first, and no directory made for it.
        if let (Some(directory), Err(_)) = (&self.out, authority.find(&Who::Name(self.name.clone()))) {
            authority.prepare(directory)?;
        }
        // As it is written, whole: the log has to show more than that somebody asked for something.
        let text = read_text(&self.scope)?;
        let deed = Deed {
            what: "agent.create",
            subject: self.name.to_string(),
            before: None,
            after: Some(Digest::of(text.as_bytes()).to_hex()),
            text,
        };
        let agent =
            authority.locally(deed, now, |authority| authority.create(&self.name, &draft, any, now))?;
        let Some(directory) = &self.out else {
            return Ok(Answer::yes(json!({ "id": agent.id.to_string(), "name": agent.name.as_str() }))
                .line(format!("created {} ({})", agent.name, agent.id))
                .line(format!("next   kakunin agent certify {} --out DIR", agent.name)));
        };
        let order = Certify { directory, days, request: None, comeback: Comeback::Refuse, any };
        let who = Who::Id(agent.id);
        let deed = issue(&authority, &who, directory)?;
        let made =
            authority.locally(deed, now, |authority| authority.certify(&who, &order, Hours::default(), now));
        let (made, published) = made.map_err(|error| {
            let failure = Failure::from(error);
            failure.after(format!("`{}` was created but has no certificate", agent.name)).then(format!(
                "give it one with `kakunin agent certify {} --out {}`",
                agent.name,
                directory.display()
            ))
        })?;
        Ok(weigh(Answer::yes(certified(&made, &published)), &made)
            .line(format!("created {} ({})", agent.name, agent.id))
            .line(format!(
                "certificate  {} until {}",
                made.directory.display(),
                made.certificate.decoded().validity().not_after
            ))
            .line(format!("lists        {} until {}", published.path.display(), published.next_update)))
    }

    #[cfg(feature = "serve")]
    fn send(&self, service: &Service) -> Result<Answer, Failure> {
        if self.out.is_some() || self.allow_any {
            return Err(Failure::usage(
                "--out and --allow-any are for a home; with --url an agent is named only",
            ));
        }
        let scope = scope_as_json(&self.scope)?;
        let answer = service.post("/agents", &json!({ "name": self.name.as_str(), "scope": scope }))?;
        let text =
            |name: &str| answer.pointer(&format!("/data/{name}")).and_then(Value::as_str).unwrap_or_default();
        Ok(Answer::yes(json!({ "id": text("id"), "name": text("name") })).line(format!(
            "created {} ({})",
            text("name"),
            text("id")
        )))
    }
}
