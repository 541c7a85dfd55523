use clap::Args;
use kakunin_authority::authority::{Hours, OldIssuing};
use serde_json::{Value, json};

use crate::answer::{Answer, Failure};
use crate::context::{Common, now};
use crate::deed;
#[cfg(feature = "serve")]
use crate::remote::Remote;

/// Replace the issuing authority, and sign the root's list anew
///
/// Needs the root's key, as `init`, `tenant create` and `restore` do. Certificates of the old authority stay good until
/// they end; renewing an agent moves it to the new one. Run it before the root's list ends, once a year.
///
/// With --feed the keys that sign the feeds are replaced instead, and the old ones revoked, at once: no agent needs a
/// renewal. The root's key is not needed for that.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kakunin rotate
  kakunin rotate --revoke-old        # its key may be in other hands: every agent needs a renewal at once
  kakunin rotate --feed --url URL    # the memory of the service may have been read: its feed key is revoked")]
pub(crate) struct Rotate {
    /// Revoke the old issuing authorities with everything they issued
    #[arg(long)]
    revoke_old: bool,
    /// Revoke the keys that sign the feeds, and sign by new ones
    #[arg(long, conflicts_with = "revoke_old")]
    feed: bool,
    /// For how many hours the new list may be used
    #[arg(long, default_value_t = 168)]
    hours: u16,
    #[cfg(feature = "serve")]
    #[command(flatten)]
    remote: Remote,
}

impl Rotate {
    pub(crate) fn run(&self, common: &Common) -> Result<Answer, Failure> {
        #[cfg(feature = "serve")]
        if let Some(service) = self.remote.service(common)? {
            if !self.feed {
                return Err(Failure::usage(
                    "a service does not replace its issuing authority; stop it and run this at its home, or pass --feed",
                ));
            }
            let answer = service.post("/feed/rotate", &json!({ "reason": FEED }))?;
            return Ok(feed_rotated(answer.get("data").cloned().unwrap_or_default()));
        }
        let hours = Hours::new(self.hours)?;
        if self.feed {
            return Self::replace_feed_keys(common, hours);
        }
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

    fn replace_feed_keys(common: &Common, hours: Hours) -> Result<Answer, Failure> {
        let own = common.home().passphrase();
        let mut authority = common.authority(&own)?;
        let now = now();
        let deed = deed::own("feed.rotate", FEED);
        let (published, revoked) =
            authority.locally(deed, now, |authority| authority.replace_feed_keys(hours, now))?;
        let told = published.feeds.iter().find(|feed| feed.issuer == published.issuer);
        Ok(feed_rotated(json!({
            "revoked": revoked,
            "list_number": published.number,
            "issuer": published.issuer.to_hex(),
            "epoch": told.map(|told| told.epoch),
        })))
    }
}

fn feed_rotated(answer: Value) -> Answer {
    let of = |name: &str| answer.get(name).cloned().unwrap_or_default();
    let line = format!("feed   {} keys revoked, by list {}", of("revoked"), of("list_number"));
    Answer::yes(answer).line(line)
}

const FEED: &str = "the keys of the feeds may be in other hands";
