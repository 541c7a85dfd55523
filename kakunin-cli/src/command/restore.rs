use clap::Args;
use kakunin_authority::authority::Hours;
use kakunin_authority::{Accepted, Authority};
use serde_json::json;

use crate::answer::{Answer, Failure};
use crate::context::{Common, ask, now};

/// Go on with records that are behind what was published
///
/// For a home whose records were restored from a backup. Nobody knows what was revoked since the backup was made, so
/// every agent that is good is suspended, the issuing authorities are revoked with everything they issued, and a new
/// one takes their place. API keys and enrolment tokens are revoked as well, webhooks turned off, and the owner gets a
/// new key. Needs the root's key. The audit log has it first of all.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kakunin restore --accept-loss --reason \"disk of host 3 lost, backup of Monday\"
Afterwards, for each agent that is still meant to act:
  kakunin resume billing --reason \"looked at after the loss\" && kakunin agent renew billing")]
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
        let accepted = authority.accept_loss(&self.reason, hours, now())?;
        let Accepted { publication: published, suspended, keys, webhooks, owner } = accepted;
        let issuing = authority.issuing()?.decoded();
        let owner = owner.map(|key| key.to_text());
        let owner = owner.as_ref().map(|key| key.as_str());
        Ok(Answer::yes(json!({
            "issuer": issuing.key().key_id().to_hex(),
            "not_after": issuing.validity().not_after.to_string(),
            "lists": published.path,
            "list_number": published.number,
            "suspended": suspended,
            "keys_revoked": keys,
            "webhooks_turned_off": webhooks,
            "owner_key": owner,
        }))
        .line(format!("issuing now {} until {}", issuing.subject_text(), issuing.validity().not_after))
        .line(format!("agents  {suspended} suspended; everything that was issued before is revoked"))
        .line(format!("keys    {keys} revoked, with every enrolment token; {webhooks} webhooks turned off"))
        .line(format!("owner   {}, shown this once", owner.unwrap_or_default()))
        .line("next    for each agent that is still meant to act:")
        .line("        kakunin resume NAME --reason TEXT && kakunin agent renew NAME"))
    }
}
