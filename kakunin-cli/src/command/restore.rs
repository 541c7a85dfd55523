use clap::Args;
use kakunin_authority::Authority;
use kakunin_authority::authority::Hours;
use serde_json::json;

use crate::answer::{Answer, Failure};
use crate::context::{Common, ask, now};

/// Go on with records that are behind what was published
///
/// For a home whose records were restored from a backup. Nobody knows what was revoked since the backup was made, so
/// every agent that is good is suspended, the issuing authorities are revoked with everything they issued, and a new
/// one takes their place. Needs the root's key. The audit log has it first of all.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kakunin restore --accept-loss --reason \"disk of host 3 lost, backup of Monday\"
  kakunin resume billing && kakunin agent renew billing     # afterwards, for each agent that is still meant to act")]
pub(crate) struct Restore {
    /// Take the records as they are: what is missing in them is lost
    #[arg(long, required = true)]
    accept_loss: bool,
    /// Why, for the audit log
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// For how many hours the new list may be used
    #[arg(long, default_value_t = 168)]
    hours: u16,
}

impl Restore {
    pub(crate) fn run(&self, common: &Common) -> Result<Answer, Failure> {
        let hours = Hours::new(self.hours)?;
        let home = common.home();
        let own = home.passphrase();
        let mut authority = Authority::open_behind(&home, common.sources(&own, &ask))?;
        let (published, suspended) = authority.accept_loss(&self.reason, hours, now())?;
        let issuing = authority.issuing()?.decoded();
        Ok(Answer::yes(json!({
            "issuer": issuing.key().key_id().to_hex(),
            "not_after": issuing.validity().not_after.to_string(),
            "lists": published.path,
            "list_number": published.number,
            "suspended": suspended,
        }))
        .line(format!("issuing now {} until {}", issuing.subject_text(), issuing.validity().not_after))
        .line(format!("agents  {suspended} suspended; everything that was issued before is revoked"))
        .line("next    kakunin resume NAME and kakunin agent renew NAME, for each agent that is still meant to act"))
    }
}
