use clap::Args;
use kakunin_authority::access::Actor;
use kakunin_authority::store::StoreError;
use kakunin_authority::watch::{BaselineRefusal, BeforeRelease, rebaseline};
use kakunin_authority::{AuthorityError, Who, files};
use kakunin_core::digest::Digest;
use kakunin_core::risk::RiskPolicy;
use serde_json::json;

use crate::answer::{Answer, Failure};
use crate::context::{Common, now};
use crate::deed;
#[cfg(feature = "serve")]
use crate::remote::{Remote, Service};

/// Freeze what is usual for an agent anew, over what it did lately
///
/// What it does now is taken for usual from then on, so somebody has to say why. The new baseline names the old one, and
/// the authority signs who froze it.
#[derive(Args)]
#[command(after_help = "Examples:
  kakunin risk rebaseline billing --reason \"new workflow, reviewed\" --url https://authority.example
  kakunin risk rebaseline billing --reason \"new workflow, reviewed\" --days 7")]
pub(crate) struct Rebaseline {
    /// The agent's id or name
    #[arg(value_name = "ID|NAME")]
    who: Who,
    /// Why it is usual what it does now
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Over how many days back
    #[arg(long, default_value_t = 14, value_parser = clap::value_parser!(u16).range(1..=366))]
    days: u16,
    /// Also over what it did before it was let act again last, which is left out otherwise
    #[arg(long)]
    before_release: bool,
    /// The policy of the service, where the home's records are changed: as for `kakunin serve --risk-policy`
    #[arg(long, value_name = "FILE")]
    policy: Option<std::path::PathBuf>,
    #[cfg(feature = "serve")]
    #[command(flatten)]
    remote: Remote,
}

impl Rebaseline {
    pub(crate) fn run(&self, common: &Common) -> Result<Answer, Failure> {
        #[cfg(feature = "serve")]
        if let Some(service) = self.remote.service(common)? {
            return self.order(&service);
        }
        let policy = match &self.policy {
            None => RiskPolicy::default(),
            Some(path) => {
                let text = String::from_utf8(files::read(path)?)
                    .map_err(|_| Failure::usage(format!("{} is no text", path.display())))?;
                RiskPolicy::from_toml(&text)
                    .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?
            }
        };
        let own = common.home().passphrase();
        let mut authority = common.authority(&own)?;
        let (agent, now) = (authority.find(&self.who)?, now());
        let tenant = authority.tenant().clone();
        let since = now.plus(-i64::from(self.days) * 86_400);
        let by = (Actor::Local, self.reason.as_str());
        let earlier = match self.before_release {
            true => BeforeRelease::TakeIn,
            false => BeforeRelease::LeaveOut,
        };
        let made = rebaseline(authority.records(), (&tenant, agent.id), &policy, (since, earlier), by, now);
        let step = made.map_err(|error| match error {
            BaselineRefusal::Store(error) => AuthorityError::from(error).into(),
            refused if self.before_release => {
                Failure::no(format!("{refused}; {} days were looked at", self.days))
            }
            refused => Failure::no(format!(
                "{refused}; {} days were looked at, and nothing of before the agent was let act again last; \
                 --before-release takes that in",
                self.days
            )),
        })?;
        let after = step.baselines().next().map(|text| Digest::of(text.as_bytes()).to_hex());
        let deed =
            deed::about(&authority, &self.who, "risk.rebaseline", after.clone(), self.reason.as_str())?;
        authority.locally(deed, now, |authority| match authority.keep_risk_step(&step)? {
            true => Ok(()),
            false => Err(StoreError::Overtaken.into()),
        })?;
        Ok(self.frozen(&agent.id.to_string(), after.unwrap_or_default()))
    }

    #[cfg(feature = "serve")]
    fn order(&self, service: &Service) -> Result<Answer, Failure> {
        if self.policy.is_some() {
            return Err(Failure::usage("--policy is the service's own when --url is given; leave it out"));
        }
        let (reason, days, before_release) = (&self.reason, self.days, self.before_release);
        let body = json!({ "reason": reason, "days": days, "before_release": before_release });
        let answer = service.post(&format!("/agents/{}/risk/rebaseline", self.who), &body)?;
        let text = |place: &str| {
            answer.pointer(place).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
        };
        Ok(self.frozen(&text("/data/agent_id"), text("/data/baseline")))
    }

    fn frozen(&self, id: &str, baseline: String) -> Answer {
        let line = format!("the baseline of {id} is {baseline}, over {} days", self.days);
        Answer::yes(json!({ "id": id, "baseline": baseline, "days": self.days })).line(line)
    }
}
