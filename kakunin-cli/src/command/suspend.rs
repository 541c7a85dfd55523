use clap::Args;
use kakunin_authority::standing::Order;

use super::standing::StandingOrder;
use crate::answer::{Answer, Failure};
use crate::context::Common;

/// Suspend an agent until further notice
///
/// Every certificate of it is denied wherever the list is read, within a second. `kakunin resume` lifts it.
#[derive(Args)]
#[command(after_help = "Examples:\n  kakunin suspend billing --reason \"waiting for the audit\"")]
pub(crate) struct Suspend {
    #[command(flatten)]
    order: StandingOrder,
}

impl Suspend {
    pub(crate) fn run(&self, common: &Common) -> Result<Answer, Failure> {
        self.order.give(Order::Suspend, common)
    }
}
