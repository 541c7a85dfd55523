use clap::Args;
use kakunin_authority::authority::{Hours, OldIssuing};
use serde_json::json;

use crate::answer::{Answer, Failure};
use crate::context::{Common, now};
use crate::deed;

/// Replace the issuing authority, and sign the root's list anew
///
/// The only command besides `init` that needs the root's key. Certificates of the old authority stay good until
/// they end; renewing an agent moves it to the new one. Run it before the root's list ends, once a year.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kakunin rotate
  kakunin rotate --revoke-old        # its key may be in other hands: every agent needs a renewal at once")]
pub(crate) struct Rotate {
    /// Revoke the old issuing authorities with everything they issued
    #[arg(long)]
    revoke_old: bool,
    /// For how many hours the new list may be used
    #[arg(long, default_value_t = 168)]
    hours: u16,
}

impl Rotate {
    pub(crate) fn run(&self, common: &Common) -> Result<Answer, Failure> {
        let hours = Hours::new(self.hours)?;
        let own = common.home().passphrase();
        let mut authority = common.authority(&own)?;
        let old = if self.revoke_old { OldIssuing::Revoke } else { OldIssuing::Keep };
        let text = if self.revoke_old { "the old ones are revoked" } else { "the old ones stay good" };
        let now = now();
        let deed = deed::own("issuer.rotate", text);
        let published = authority.locally(deed, now, |authority| authority.rotate(old, hours, now))?;
        let issuing = authority.issuing()?.decoded();
        Ok(Answer::yes(json!({
            "issuer": issuing.key().key_id().to_hex(),
            "not_after": issuing.validity().not_after.to_string(),
            "lists": published.path,
            "list_number": published.number,
            "next_update": published.next_update.to_string(),
        }))
        .line(format!("issuing now {} until {}", issuing.subject_text(), issuing.validity().not_after))
        .line("next   kakunin agent renew NAME for every agent"))
    }
}
