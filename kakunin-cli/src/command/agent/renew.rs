use std::path::PathBuf;

use clap::Args;
use kakunin_authority::Who;
use kakunin_authority::authority::{self, AnyAction, Budgets, Days, Hours};
use serde_json::{Value, json};

use super::certify::{certified, weigh};
use crate::answer::{Answer, Failure};
use crate::context::{Common, now, read_scope};

/// Renew an agent's certificate where it is, and sign the lists anew
///
/// Keeps the key. A running agent notices and goes on with the new certificate. Run it daily.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kakunin agent renew billing
  kakunin agent renew billing --scope scope.toml --days 14
  17 4 * * *  kakunin agent renew billing --home /srv/kakunin     # crontab")]
pub(crate) struct Renew {
    /// The agent's id or name
    #[arg(value_name = "ID|NAME")]
    who: Who,
    /// Only this directory; all that it was certified into without
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Another scope from now on
    #[arg(long, value_name = "FILE")]
    scope: Option<PathBuf>,
    /// For how many days it is valid, 1 to 400
    #[arg(long, default_value_t = 7)]
    days: u16,
    /// For how many hours the list may be used
    #[arg(long, default_value_t = 168)]
    hours: u16,
    /// Begin again with nothing spent
    #[arg(long)]
    reset_budgets: bool,
    /// Accept a scope that allows every action
    #[arg(long)]
    allow_any: bool,
}

impl Renew {
    pub(crate) fn run(&self, common: &Common) -> Result<Answer, Failure> {
        let (days, hours) = (Days::new(self.days)?, Hours::new(self.hours)?);
        let scope = self.scope.as_deref().map(read_scope).transpose()?;
        let order = authority::Renew {
            directory: self.out.as_deref(),
            days,
            scope: scope.as_ref(),
            any: if self.allow_any { AnyAction::Allow } else { AnyAction::Refuse },
            budgets: if self.reset_budgets { Budgets::Reset } else { Budgets::Keep },
        };
        let own = common.home().passphrase();
        let mut authority = common.authority(&own)?;
        let renewed = authority.renew(&self.who, &order, hours, now())?;
        let certificates: Vec<Value> =
            renewed.certificates.iter().map(|made| certified(made, &renewed.publication)).collect();
        let mut answer = Answer::yes(json!({
            "id": renewed.agent.id.to_string(),
            "name": renewed.agent.name.as_str(),
            "certificates": certificates,
            "scope_diff": renewed.scope_diff,
            "missing": renewed.missing,
            "lists": renewed.publication.path,
            "list_number": renewed.publication.number,
            "next_update": renewed.publication.next_update.to_string(),
        }));
        for made in &renewed.certificates {
            let until = made.certificate.decoded().validity().not_after;
            answer = weigh(answer, made).line(format!(
                "renewed {} in {} until {until}",
                renewed.agent.name,
                made.directory.display()
            ));
        }
        for path in &renewed.missing {
            answer = answer.warn(format!("{} is gone and was not renewed", path.display()));
        }
        let unchanged = renewed.scope_diff.is_empty().then(|| "scope unchanged".to_owned());
        Ok(answer.lines(renewed.scope_diff).lines(unchanged))
    }
}
