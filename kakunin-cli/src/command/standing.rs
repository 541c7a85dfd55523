//! What `suspend`, `resume` and `revoke` share: whom, why, and the answer.

use clap::Args;
use kakunin_authority::Who;
use kakunin_authority::authority::Hours;
use kakunin_authority::standing::Order;
use serde_json::json;

use crate::answer::{Answer, Failure};
use crate::context::{Common, now};

#[derive(Args)]
pub(super) struct StandingOrder {
    /// The agent's id or name
    #[arg(value_name = "ID|NAME")]
    who: Who,
    /// Why, for the records
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// For how many hours the list may be used
    #[arg(long, default_value_t = 168)]
    hours: u16,
}

impl StandingOrder {
    pub(super) fn give(&self, order: Order, common: &Common) -> Result<Answer, Failure> {
        let hours = Hours::new(self.hours)?;
        let own = common.home().passphrase();
        let mut authority = common.authority(&own)?;
        let ordered = authority.order(&self.who, order, &self.reason, hours, now())?;
        let (agent, published) = (&ordered.agent, &ordered.publication);
        let already = if ordered.before == agent.standing { "already " } else { "" };
        let did = match order {
            Order::Resume if ordered.before == agent.standing => "in good standing".to_owned(),
            _ => order.to_string(),
        };
        Ok(Answer::yes(json!({
            "id": agent.id.to_string(),
            "name": agent.name.as_str(),
            "standing": agent.standing.word(),
            "before": ordered.before.word(),
            "lists": published.path,
            "list_number": published.number,
            "next_update": published.next_update.to_string(),
        }))
        .line(format!("{} ({}) is {already}{did}", agent.name, agent.id))
        .line(format!("list {} is in {}", published.number, published.path.display())))
    }
}
