use clap::Args;
use kakunin_authority::Authority;
use kakunin_authority::authority::Hours;
use serde_json::json;

use crate::answer::{Answer, Failure};
use crate::context::{Common, ask, now};

/// Make an authority: a root, an issuing authority and their first lists
///
/// Needs no network and no account. With nobody at the terminal to ask and no passphrase given, a random one is
/// written to the home itself; the keys are then protected by file permissions only.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kakunin init
  kakunin init --home /srv/kakunin --passphrase-file /run/secrets/kakunin
  KAKUNIN_STORE=postgres://kakunin@localhost/kakunin kakunin init")]
pub(crate) struct Init {
    /// For how many hours the first list may be used
    #[arg(long, default_value_t = 168)]
    hours: u16,
    /// Keep the records in this PostgreSQL database and not in a file: postgres://USER:PASSWORD@HOST/DATABASE
    #[arg(long, value_name = "URL", env = "KAKUNIN_STORE", hide_env_values = true)]
    store: Option<String>,
}

impl Init {
    pub(crate) fn run(&self, common: &Common) -> Result<Answer, Failure> {
        let home = common.home();
        let own = home.passphrase();
        let hours = Hours::new(self.hours)?;
        if let Some(store) = &self.store {
            home.keep_place(store)?;
        }
        let (authority, published) = Authority::init(&home, common.sources(&own, &ask), now(), hours)?;
        let root = authority.root().decoded();
        let answer = Answer::yes(json!({
            "home": home.path(),
            "root": root.thumbprint().to_hex(),
            "issuer": authority.issuing()?.decoded().key().key_id().to_hex(),
            "not_after": root.validity().not_after.to_string(),
            "lists": published.path,
            "next_update": published.next_update.to_string(),
        }))
        .line(format!("made the authority in {}", home.path().display()))
        .line(format!("root   {} until {}", root.subject_text(), root.validity().not_after))
        .line(format!("lists  {} until {}", published.path.display(), published.next_update))
        .line("next   kakunin agent create NAME --scope scope.toml --out agents/NAME");
        Ok(if own.exists() {
            answer.warn(format!(
                "the passphrase is in {}: the keys are protected by file permissions only",
                own.display()
            ))
        } else {
            answer
        })
    }
}
