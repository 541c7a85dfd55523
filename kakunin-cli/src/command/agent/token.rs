use clap::Args;
use kakunin_authority::Who;
use kakunin_authority::authority::Minutes;
#[cfg(feature = "serve")]
use serde_json::Value;
use serde_json::json;

use crate::answer::{Answer, Failure};
use crate::context::{Common, now};
#[cfg(feature = "serve")]
use crate::remote::{Remote, Service};

/// Make a token with which an agent elsewhere gets its first certificate
///
/// It is good for one agent and one key, and shown this once. The agent that is started with it believes the root that
/// the token names, and renews by itself from then on.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kakunin agent token billing --url http://127.0.0.1:8080
  kakunin agent token billing --minutes 60 --json")]
pub(crate) struct Token {
    /// The agent's id or name
    #[arg(value_name = "ID|NAME")]
    who: Who,
    /// For how many minutes it is good, 1 to 60
    #[arg(long, default_value_t = 15)]
    minutes: u16,
    #[cfg(feature = "serve")]
    #[command(flatten)]
    remote: Remote,
}

impl Token {
    pub(crate) fn run(&self, common: &Common) -> Result<Answer, Failure> {
        let minutes = Minutes::new(self.minutes)?;
        #[cfg(feature = "serve")]
        if let Some(service) = self.remote.service(common)? {
            return self.send(&service);
        }
        let own = common.home().passphrase();
        let mut authority = common.authority(&own)?;
        let (agent, record, token) = authority.make_token(&self.who, minutes, now())?;
        Ok(told(&token.to_text(), &agent.id.to_string(), &record.expires.to_string()))
    }

    #[cfg(feature = "serve")]
    fn send(&self, service: &Service) -> Result<Answer, Failure> {
        let path = format!("/agents/{}/tokens", self.who);
        let answer = service.post(&path, &json!({ "minutes": self.minutes }))?;
        let text =
            |name: &str| answer.pointer(&format!("/data/{name}")).and_then(Value::as_str).unwrap_or_default();
        Ok(told(text("token"), text("agent_id"), text("expires_at")))
    }
}

fn told(token: &str, agent: &str, until: &str) -> Answer {
    Answer::yes(json!({ "token": token, "agent_id": agent, "expires_at": until }))
        .line(token)
        .line(format!("good for one key of {agent} until {until}; shown this once"))
}
