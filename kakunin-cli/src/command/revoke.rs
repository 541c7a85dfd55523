use clap::Args;
use kakunin_authority::standing::Order;

use super::standing::StandingOrder;
use crate::answer::{Answer, Failure};
use crate::context::Common;

/// Revoke an agent for good
///
/// Every certificate of it is denied wherever the list is read, within a second, and never again good. A reason of
/// RFC 5280 (key compromise, superseded, ...) is written into the list; other text is kept in the records.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kakunin revoke billing --reason \"key compromise\"
  kakunin revoke billing --url http://127.0.0.1:8080 --reason drift")]
pub(crate) struct Revoke {
    #[command(flatten)]
    order: StandingOrder,
}

impl Revoke {
    pub(crate) fn run(&self, common: &Common) -> Result<Answer, Failure> {
        self.order.give(Order::Revoke, common)
    }
}
