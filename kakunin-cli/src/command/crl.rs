use std::path::PathBuf;

use clap::Args;
use kakunin_authority::authority::Hours;
use kakunin_authority::files::{self, Readers};
use serde_json::json;

use crate::answer::{Answer, Failure};
use crate::context::{Common, now, read};
use crate::deed;

/// Sign the next revocation list and publish every current one
///
/// Writes the home's public/lists.pem first, and that of every other tenant, and copies it to --out: the root's list and
/// one of every issuing authority of the tenant, as PEM blocks.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kakunin crl --out lists.pem
  kakunin crl --hours 24
  kakunin crl --der --out issuing.crl      # the issuing authority's list alone")]
pub(crate) struct Crl {
    /// Also copy the lists to this file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// For how many hours the list may be used
    #[arg(long, default_value_t = 168)]
    hours: u16,
    /// Write the issuing authority's list alone, in DER
    #[arg(long, requires = "out")]
    der: bool,
}

impl Crl {
    pub(crate) fn run(&self, common: &Common) -> Result<Answer, Failure> {
        let hours = Hours::new(self.hours)?;
        let own = common.home().passphrase();
        let mut authority = common.authority(&own)?;
        let (deed, now) = (deed::own("list.sign", format!("for {} hours", self.hours)), now());
        let published = authority.locally(deed, now, |authority| authority.publish_all(hours, now))?;
        if let Some(out) = &self.out {
            let bytes = if self.der { authority.current_list()?.der } else { read(&published.path)? };
            files::replace(out, &bytes, Readers::Everyone)?;
        }
        Ok(Answer::yes(json!({
            "lists": published.path,
            "list_number": published.number,
            "next_update": published.next_update.to_string(),
            "out": self.out,
        }))
        .line(format!("list {} until {}", published.number, published.next_update))
        .line(self.out.as_ref().unwrap_or(&published.path).display().to_string()))
    }
}
