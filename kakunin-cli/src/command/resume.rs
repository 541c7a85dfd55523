use clap::Args;
use kakunin_authority::standing::Order;

use super::standing::StandingOrder;
use crate::answer::{Answer, Failure};
use crate::context::Common;

/// Let a suspended agent act again
///
/// The next list no longer names it. A revoked agent cannot be resumed.
#[derive(Args)]
#[command(after_help = "Examples:\n  kakunin resume billing --reason \"the audit passed\"")]
pub(crate) struct Resume {
    #[command(flatten)]
    order: StandingOrder,
}

impl Resume {
    pub(crate) fn run(&self, common: &Common) -> Result<Answer, Failure> {
        self.order.give(Order::Resume, common)
    }
}
