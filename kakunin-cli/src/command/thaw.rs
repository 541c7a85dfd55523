use clap::Args;
use kakunin_authority::freeze::Cold;

use super::freeze::ColdOrder;
use crate::answer::{Answer, Failure};
use crate::context::Common;

/// Let issuance go on after `kakunin freeze`
///
/// What was frozen for every tenant and what was frozen for one are thawed each by itself. So are the freezes of a tenant by the
/// operator and by the tenant itself: an owner lifts its tenant's own alone; the operator lifts its own first, and the tenant's
/// where no other stands. What is still frozen is in the answer.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kakunin thaw --reason \"revoked what was issued wrongly\"
  kakunin thaw --url http://127.0.0.1:8080 --reason \"all clear\"")]
pub(crate) struct Thaw {
    #[command(flatten)]
    order: ColdOrder,
}

impl Thaw {
    pub(crate) fn run(&self, common: &Common) -> Result<Answer, Failure> {
        self.order.give(Cold::Thaw, common)
    }
}
