//! What `suspend`, `resume` and `revoke` share: whom, why, and the answer.

use clap::Args;
use kakunin_authority::Who;
use kakunin_authority::authority::Hours;
use kakunin_authority::standing::Order;
use serde_json::json;

#[cfg(feature = "serve")]
use crate::answer::one_line;
use crate::answer::{Answer, Failure};
use crate::context::{Common, now};
use crate::deed;
#[cfg(feature = "serve")]
use crate::remote::{Remote, Service};

#[derive(Args)]
pub(super) struct StandingOrder {
    /// The agent's id or name
    #[arg(value_name = "ID|NAME")]
    pub(super) who: Who,
    #[command(flatten)]
    pub(super) why: Why,
}

/// Why, until when the list counts, and who carries it out.
#[derive(Args)]
pub(super) struct Why {
    /// Why, for the records
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: String,
    /// For how many hours the list may be used, 168 if not said; a service has hours of its own
    #[arg(long)]
    pub(super) hours: Option<u16>,
    #[cfg(feature = "serve")]
    #[command(flatten)]
    pub(super) remote: Remote,
}

impl StandingOrder {
    pub(super) fn give(&self, order: Order, common: &Common) -> Result<Answer, Failure> {
        self.why.give(&self.who, order, common)
    }
}

impl Why {
    pub(super) fn give(&self, who: &Who, order: Order, common: &Common) -> Result<Answer, Failure> {
        #[cfg(feature = "serve")]
        if let Some(service) = self.remote.service(common)? {
            return self.send(who, order, &service);
        }
        let hours = self.hours.map_or(Ok(Hours::default()), Hours::new)?;
        let own = common.home().passphrase();
        let mut authority = common.authority(&own)?;
        let what = match order {
            Order::Suspend => "agent.suspend",
            Order::Resume => "agent.resume",
            Order::Revoke => "agent.revoke",
            Order::Halt => "agent.halt",
        };
        let to = order.applied_to(authority.find(who)?.standing).ok().map(|to| to.word().into());
        let deed = deed::about(&authority, who, what, to, self.reason.as_str())?;
        let now = now();
        let ordered = authority
            .locally(deed, now, |authority| authority.order(who, order, &self.reason, hours, now))?;
        let (agent, published) = (&ordered.agent, &ordered.publication);
        let already = if ordered.before == agent.standing { "already " } else { "" };
        let did = match order {
            Order::Resume if ordered.before == agent.standing => "in good standing".to_owned(),
            _ => order.to_string(),
        };
        let told = ordered.told.map(|told| (told.issuer.to_hex(), told.epoch)).unzip();
        let answer = Answer::yes(json!({
            "id": agent.id.to_string(),
            "name": agent.name.as_str(),
            "standing": agent.standing.word(),
            "before": ordered.before.word(),
            "lists": published.path,
            "list_number": published.number,
            "next_update": published.next_update.to_string(),
            "issuer": told.0,
            "epoch": told.1,
        }))
        .line(format!("{} ({}) is {already}{did}", agent.name, agent.id))
        .line(format!("list {} is in {}", published.number, published.path.display()));
        Ok(match told.1 {
            None => answer,
            Some(epoch) => {
                answer.line(format!("change {epoch} of the feed says so, to whom `kakunin serve` tells it"))
            }
        })
    }

    #[cfg(feature = "serve")]
    fn send(&self, who: &Who, order: Order, service: &Service) -> Result<Answer, Failure> {
        if self.hours.is_some() {
            return Err(Failure::usage("--hours is the service's own when --url is given; leave it out"));
        }
        let verb = match order {
            Order::Suspend => "suspend",
            Order::Resume => "resume",
            Order::Revoke => "revoke",
            Order::Halt => "halt",
        };
        let answer = service.post(&format!("/agents/{}/{verb}", who), &json!({ "reason": self.reason }))?;
        let text = |name: &str| answer.pointer(&format!("/data/{name}")).cloned().unwrap_or_default();
        let (name, id, standing) = (text("name"), text("id"), text("standing"));
        let already = if text("before") == standing { "already " } else { "" };
        let line = format!(
            "{} ({}) is {already}{}",
            one_line(name.as_str().unwrap_or_default()),
            id.as_str().unwrap_or_default(),
            standing.as_str().unwrap_or_default()
        );
        let (number, epoch) = (text("list_number"), text("epoch"));
        let answer = Answer::yes(json!({
            "id": id,
            "name": name,
            "standing": standing,
            "before": text("before"),
            "list_number": number,
            "next_update": text("next_update"),
            "issuer": text("issuer"),
            "epoch": epoch,
        }))
        .line(line)
        .line(format!("list {number} is published"));
        Ok(match epoch.as_u64() {
            None => answer,
            Some(epoch) => {
                answer.line(format!("change {epoch} of the feed says so to every agent that is connected"))
            }
        })
    }
}
