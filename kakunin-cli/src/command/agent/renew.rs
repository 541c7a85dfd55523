use std::path::PathBuf;
#[cfg(feature = "serve")]
use std::sync::Arc;

use clap::Args;
use kakunin_authority::Who;
use kakunin_authority::authority::{self, AnyAction, Budgets, Days, Hours};
use kakunin_authority::standing::Standing;
#[cfg(feature = "serve")]
use kakunin_authority::{
    AuthorityError,
    directory::{AgentDirectory, DirectoryError},
};
#[cfg(feature = "serve")]
use kakunin_core::{
    digest::Digest,
    home::AgentHome,
    key::Signer,
    possession::{Prover, Target},
    snapshot,
    succession::Succession,
};
#[cfg(feature = "serve")]
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::{Value, json};

#[cfg(feature = "serve")]
use super::certify::delivered;
use super::certify::{certified, weigh};
#[cfg(feature = "serve")]
use super::delivery;
use crate::answer::{Answer, Failure};
use crate::context::{Common, now, read_scope};
use crate::deed;
#[cfg(feature = "serve")]
use crate::remote::{Remote, Service};

/// Renew an agent's certificate where it is, and sign the lists anew
///
/// Keeps the key. A running agent notices and goes on with the new certificate. Run it daily.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kakunin agent renew billing
  kakunin agent renew billing --scope scope.toml --days 14
  17 4 * * *  kakunin agent renew billing --home /srv/kakunin     # crontab")]
pub(crate) struct Renew {
    /// The agent's id or name
    #[arg(value_name = "ID|NAME")]
    who: Who,
    /// Only this directory; all that it was certified into without
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Another scope from now on
    #[arg(long, value_name = "FILE")]
    scope: Option<PathBuf>,
    /// For how many days it is valid, 1 to 400
    #[arg(long, default_value_t = 7)]
    days: u16,
    /// For how many hours the list may be used
    #[arg(long, default_value_t = 168)]
    hours: u16,
    /// Begin again with nothing spent
    #[arg(long)]
    reset_budgets: bool,
    /// Accept a scope that allows every action
    #[arg(long)]
    allow_any: bool,
    #[cfg(feature = "serve")]
    #[command(flatten)]
    remote: Remote,
}

impl Renew {
    pub(crate) fn run(&self, common: &Common) -> Result<Answer, Failure> {
        let (days, hours) = (Days::new(self.days)?, Hours::new(self.hours)?);
        #[cfg(feature = "serve")]
        if let Some(service) = self.remote.for_proofs(common)? {
            return self.send(&service);
        }
        let scope = self.scope.as_deref().map(read_scope).transpose()?;
        let order = authority::Renew {
            directory: self.out.as_deref(),
            days,
            scope: scope.as_ref(),
            any: if self.allow_any { AnyAction::Allow } else { AnyAction::Refuse },
            budgets: if self.reset_budgets { Budgets::Reset } else { Budgets::Keep },
        };
        let own = common.home().passphrase();
        let mut authority = common.authority(&own)?;
        let now = now();
        let text = self.out.as_ref().map(|out| format!("in {}", out.display())).unwrap_or_default();
        let good = Some(Standing::Good.word().into());
        let deed = deed::about(&authority, &self.who, "certificate.renew", good, text)?;
        let renewed =
            authority.locally(deed, now, |authority| authority.renew(&self.who, &order, hours, now))?;
        let certificates: Vec<Value> =
            renewed.certificates.iter().map(|made| certified(made, &renewed.publication)).collect();
        let mut answer = Answer::yes(json!({
            "id": renewed.agent.id.to_string(),
            "name": renewed.agent.name.as_str(),
            "certificates": certificates,
            "scope_diff": renewed.scope_diff,
            "missing": renewed.missing,
            "lists": renewed.publication.path,
            "list_number": renewed.publication.number,
            "next_update": renewed.publication.next_update.to_string(),
        }));
        for made in &renewed.certificates {
            let until = made.certificate.decoded().validity().not_after;
            answer = weigh(answer, made).line(format!(
                "renewed {} in {} until {until}",
                renewed.agent.name,
                made.directory.display()
            ));
        }
        for path in &renewed.missing {
            answer = answer.warn(format!("{} is gone and was not renewed", path.display()));
        }
        let unchanged = renewed.scope_diff.is_empty().then(|| "scope unchanged".to_owned());
        Ok(answer.lines(renewed.scope_diff).lines(unchanged))
    }
}

#[cfg(feature = "serve")]
impl Renew {
    /// Renews as the agent itself: its directory proves that it has the key, and no key of the service is needed.
    fn send(&self, service: &Service) -> Result<Answer, Failure> {
        let Some(out) = &self.out else {
            return Err(Failure::usage(
                "with --url the agent's directory proves who asks; name it with --out",
            ));
        };
        if self.scope.is_some() || self.reset_budgets || self.allow_any || self.days != 7 || self.hours != 168
        {
            return Err(Failure::usage(
                "with --url an agent renews itself for a day; --scope, --days, --hours, --reset-budgets and --allow-any are an issuer's",
            ));
        }
        let directory = AgentDirectory::at(out).map_err(AuthorityError::from)?;
        let held = directory.holder().map_err(AuthorityError::from)?;
        let none = || AuthorityError::from(DirectoryError::NoAgent { path: directory.path().to_owned() });
        let held = held.ok_or_else(none)?;
        let home = AgentHome::open(directory.path(), None).map_err(Failure::cannot)?;
        let papers = home.papers().map_err(Failure::cannot)?;
        let present = snapshot::prove(&papers, now()).map_err(Failure::cannot)?;
        let signer = Arc::new(Signer::soft(home.key().map_err(Failure::cannot)?));
        let chain: Vec<&[u8]> = papers.chain.iter().map(Vec::as_slice).collect();
        let prover = Prover::new(signer, held.decoded().der(), &chain).map_err(Failure::cannot)?;
        let (path, body) = (format!("/agents/{}/renew", self.who), json!({}));
        let full = format!("/v1{path}");
        let target = Target { method: "POST", authority: service.host(), path: &full, query: None };
        let mut nonce = [0; 16];
        SystemRandom::new()
            .fill(&mut nonce)
            .map_err(|_| Failure::cannot("the system gives no randomness"))?;
        let proof = prover
            .prove(&target, body.to_string().as_bytes(), None, now(), nonce)
            .map_err(Failure::cannot)?;
        let fields: Vec<(&str, String)> =
            proof.fields().map(|(name, value)| (name, value.to_owned())).collect();
        let answer = service.post_proven(&path, &body, &fields)?;
        let root = papers.roots.first().map(|root| Digest::of(root));
        let papers = delivery::read(&answer, Some(held.decoded().key()), root, now())?;
        // Any issuing authority of the root could have answered.
        let (from, to) = (present.issuing().decoded().key(), papers.issuing.decoded().key());
        let word = answer.pointer("/data/succession").and_then(Value::as_str);
        if !Succession::leads(word, from, to) {
            return Err(Failure::cannot(format!(
                "the certificate is offered by another issuing authority, {}, which the present one does not name as its next; find out whether the authority was rotated, then certify the agent into a new directory",
                to.key_id()
            )));
        }
        directory.deliver(&papers, None).map_err(AuthorityError::from)?;
        let diff = answer.pointer("/data/scope_diff").and_then(Value::as_array).cloned().unwrap_or_default();
        let diff = diff.iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>();
        let unchanged = diff.is_empty().then(|| "scope unchanged".to_owned());
        Ok(delivered(&papers, directory.path()).lines(diff).lines(unchanged))
    }
}
