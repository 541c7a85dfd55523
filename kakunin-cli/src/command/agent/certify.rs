use std::path::{Path, PathBuf};

use clap::Args;
use kakunin_authority::authority::{self, AnyAction, Certified, Comeback, Days, Hours};
use kakunin_authority::deed::Deed;
use kakunin_authority::publish::Publication;
use kakunin_authority::standing::Standing;
use kakunin_authority::{Authority, Who};
#[cfg(feature = "serve")]
use kakunin_authority::{
    AuthorityError,
    directory::{AgentDirectory, Delivery},
};
#[cfg(feature = "serve")]
use kakunin_core::{
    certificate::request_pem,
    key::{Algorithm, Signer, SoftKey},
};
use serde_json::{Value, json};

#[cfg(feature = "serve")]
use super::delivery;
use crate::answer::{Answer, Failure};
#[cfg(feature = "serve")]
use crate::context::read_text;
use crate::context::{Common, now, read};
use crate::deed;
#[cfg(feature = "serve")]
use crate::remote::{Remote, Service};

/// Give an agent a certificate, into a directory
///
/// Without --csr a new key is made and written there, readable by its owner alone. With --csr the request's key is
/// certified and the authority never sees the private half.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kakunin agent certify billing --out agents/billing
  kakunin agent certify billing --out agents/billing --days 30 --csr billing.csr
  kakunin agent certify billing --out agents/billing-2 --after-revocation
  KAKUNIN_TOKEN=kak_enrol_... kakunin agent certify billing --out agents/billing --url http://127.0.0.1:8080")]
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
    #[cfg(feature = "serve")]
    #[command(flatten)]
    remote: Remote,
}

impl Certify {
    pub(crate) fn run(&self, common: &Common) -> Result<Answer, Failure> {
        let days = Days::new(self.days)?;
        #[cfg(feature = "serve")]
        if let Some(service) = self.remote.service(common)? {
            return self.send(&service);
        }
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
        let now = now();
        let deed = issue(&authority, &self.who, &self.out)?;
        let (made, published) = authority
            .locally(deed, now, |authority| authority.certify(&self.who, &order, Hours::default(), now))?;
        let not_after = made.certificate.decoded().validity().not_after;
        Ok(weigh(Answer::yes(certified(&made, &published)), &made)
            .line(format!("certified {} ({}) until {not_after}", made.agent.name, made.agent.id))
            .line(format!("directory  {}", made.directory.display()))
            .line(format!("lists      {} until {}", published.path.display(), published.next_update)))
    }
}

#[cfg(feature = "serve")]
impl Certify {
    /// Makes the key here and has the service certify it; with a token in the place of a key it is for a day.
    fn send(&self, service: &Service) -> Result<Answer, Failure> {
        if self.allow_any {
            return Err(Failure::usage("--allow-any is for a home; a service certifies no such agent"));
        }
        let directory = AgentDirectory::make(&self.out).map_err(AuthorityError::from)?;
        let (request, made) = match &self.csr {
            Some(path) => (read_text(path)?, None),
            None => {
                if directory.holder().map_err(AuthorityError::from)?.is_none() {
                    directory.refuse_key().map_err(AuthorityError::from)?;
                }
                let (key, pkcs8) = SoftKey::generate(Algorithm::P256).map_err(Failure::cannot)?;
                let signer = Signer::soft(key);
                (request_pem(&signer).map_err(Failure::cannot)?, Some((signer.public().clone(), pkcs8)))
            }
        };
        let root = service.pinned_root();
        let order = match root {
            Some(_) => json!({ "csr": request }),
            None => json!({ "csr": request, "days": self.days, "after_revocation": self.after_revocation }),
        };
        let answer = service.post(&format!("/agents/{}/enrol", self.who), &order)?;
        let papers = delivery::read(&answer, made.as_ref().map(|(public, _)| public), root, now())?;
        directory.deliver(&papers, made.map(|(_, pkcs8)| pkcs8)).map_err(AuthorityError::from)?;
        Ok(delivered(&papers, directory.path()))
    }
}

/// What was written into a directory.
#[cfg(feature = "serve")]
pub(super) fn delivered(papers: &Delivery, directory: &std::path::Path) -> Answer {
    let decoded = papers.certificate.decoded();
    let (agent, until) = (papers.certificate.agent(), decoded.validity().not_after);
    Answer::yes(json!({
        "id": agent.to_string(),
        "name": papers.name.as_str(),
        "serial": decoded.serial().to_string(),
        "thumbprint": decoded.thumbprint().to_hex(),
        "not_before": decoded.validity().not_before.to_string(),
        "not_after": until.to_string(),
        "directory": directory,
    }))
    .line(format!("certified {} ({agent}) until {until}", papers.name))
    .line(format!("directory  {}", directory.display()))
}

/// The order that certifies an agent into a directory.
pub(super) fn issue(authority: &Authority<'_>, who: &Who, directory: &Path) -> Result<Deed, Failure> {
    let good = Some(Standing::Good.word().into());
    deed::about(authority, who, "certificate.issue", good, format!("into {}", directory.display()))
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
