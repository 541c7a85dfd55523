use std::path::{Path, PathBuf};

use clap::Args;
use kakunin_authority::Authority;
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
  kakunin crl --der --out issuing.crl      # the issuing authority's list alone
  kakunin crl --delta changes.pem          # and what is new in it, for whoever has an earlier one")]
pub(crate) struct Crl {
    /// Also copy the lists to this file
    #[arg(long, value_name = "FILE", group = "written")]
    out: Option<PathBuf>,
    /// Also write what changed on the issuing authority's list since an earlier one to this file
    #[arg(long, value_name = "FILE", group = "written")]
    delta: Option<PathBuf>,
    /// For how many hours the list may be used
    #[arg(long, default_value_t = 168)]
    hours: u16,
    /// Write the issuing authority's list alone, in DER; the delta in DER, too
    #[arg(long, requires = "written")]
    der: bool,
}

impl Crl {
    pub(crate) fn run(&self, common: &Common) -> Result<Answer, Failure> {
        let hours = Hours::new(self.hours)?;
        let own = common.home().passphrase();
        let mut authority = common.authority(&own)?;
        if self.delta.is_some() {
            authority.sign_deltas();
        }
        let (deed, now) = (deed::own("list.sign", format!("for {} hours", self.hours)), now());
        let published = authority.locally(deed, now, |authority| authority.publish_all(hours, now))?;
        if let Some(out) = &self.out {
            let bytes = if self.der { authority.current_list()?.der } else { read(&published.path)? };
            files::replace(out, &bytes, Readers::Everyone)?;
        }
        let base = self.delta.as_ref().map(|out| self.write_delta(&authority, out)).transpose()?;
        Ok(Answer::yes(json!({
            "lists": published.path,
            "list_number": published.number,
            "next_update": published.next_update.to_string(),
            "out": self.out,
            "delta": self.delta,
            "delta_base": base,
        }))
        .line(format!("list {} until {}", published.number, published.next_update))
        .line(self.out.as_ref().unwrap_or(&published.path).display().to_string()))
    }

    /// Writes the delta list beside the list that was just signed, and gives the number of the list that it changes.
    fn write_delta(&self, authority: &Authority<'_>, out: &Path) -> Result<u64, Failure> {
        let none =
            "no delta list was signed: there is no earlier list, or it would be half as long as the list";
        let published = authority.published();
        let delta = published.and_then(|published| published.delta()).ok_or_else(|| Failure::cannot(none))?;
        let bytes = if self.der { delta.der.clone() } else { delta.pem()?.into_bytes() };
        files::replace(out, &bytes, Readers::Everyone)?;
        Ok(delta.base)
    }
}
