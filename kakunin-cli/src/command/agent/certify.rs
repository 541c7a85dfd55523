use std::path::PathBuf;

use clap::Args;
use kakunin_authority::Who;
use kakunin_authority::authority::{self, AnyAction, Certified, Comeback, Days, Hours};
use kakunin_authority::publish::Publication;
use serde_json::{Value, json};

use crate::answer::{Answer, Failure};
use crate::context::{Common, now, read};

/// Give an agent a certificate, into a directory
///
/// Without --csr a new key is made and written there, readable by its owner alone. With --csr the request's key is
/// certified and the authority never sees the private half.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kakunin agent certify billing --out agents/billing
  kakunin agent certify billing --out agents/billing --days 30 --csr billing.csr
  kakunin agent certify billing --out agents/billing-2 --after-revocation")]
pub(crate) struct Certify {
    /// The agent's id or name
    #[arg(value_name = "ID|NAME")]
    who: Who,
    /// The agent's directory
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// For how many days it is valid, 1 to 400
    #[arg(long, default_value_t = 7)]
    days: u16,
    /// A PKCS#10 request in PEM; its key is certified
    #[arg(long, value_name = "FILE")]
    csr: Option<PathBuf>,
    /// Let a revoked agent come back, with a new key
    #[arg(long)]
    after_revocation: bool,
    /// Accept a scope that allows every action
    #[arg(long)]
    allow_any: bool,
}

impl Certify {
    pub(crate) fn run(&self, common: &Common) -> Result<Answer, Failure> {
        let days = Days::new(self.days)?;
        let request = self.csr.as_deref().map(read).transpose()?;
        let order = authority::Certify {
            directory: &self.out,
            days,
            request: request.as_deref(),
            comeback: if self.after_revocation { Comeback::AfterRevocation } else { Comeback::Refuse },
            any: if self.allow_any { AnyAction::Allow } else { AnyAction::Refuse },
        };
        let own = common.home().passphrase();
        let mut authority = common.authority(&own)?;
        let (made, published) = authority.certify(&self.who, &order, Hours::default(), now())?;
        let not_after = made.certificate.decoded().validity().not_after;
        Ok(weigh(Answer::yes(certified(&made, &published)), &made)
            .line(format!("certified {} ({}) until {not_after}", made.agent.name, made.agent.id))
            .line(format!("directory  {}", made.directory.display()))
            .line(format!("lists      {} until {}", published.path.display(), published.next_update)))
    }
}

/// A certificate as programs read it.
pub(super) fn certified(made: &Certified, published: &Publication) -> Value {
    let decoded = made.certificate.decoded();
    json!({
        "id": made.agent.id.to_string(),
        "name": made.agent.name.as_str(),
        "serial": decoded.serial().to_string(),
        "thumbprint": decoded.thumbprint().to_hex(),
        "not_before": decoded.validity().not_before.to_string(),
        "not_after": decoded.validity().not_after.to_string(),
        "bytes": decoded.der().len(),
        "directory": made.directory,
        "lists": published.path,
        "list_number": published.number,
    })
}

/// Warns of a certificate that is large to carry in every request.
pub(super) fn weigh(answer: Answer, made: &Certified) -> Answer {
    let bytes = made.certificate.decoded().der().len();
    if bytes <= HEAVY {
        return answer;
    }
    answer.warn(format!(
        "the certificate of `{}` has {bytes} bytes, which some proxies refuse in a header; move names into an allow_file",
        made.agent.name
    ))
}

/// Header lines of common proxies hold 4 to 8 kB in base64, and the chain travels with it.
const HEAVY: usize = 3_000;
