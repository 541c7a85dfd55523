use clap::Args;

use crate::answer::{Answer, Failure};
use crate::context::Common;

/// Say what is wrong or will be soon
#[derive(Args)]
pub(crate) struct Doctor;

impl Doctor {
    pub(crate) fn run(&self, common: &Common) -> Result<Answer, Failure> {
        common.home().records()?;
        Ok(Answer::yes(serde_json::json!({})))
    }
}
