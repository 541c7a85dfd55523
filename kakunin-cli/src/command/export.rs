use std::path::{Path, PathBuf};

use clap::Args;
#[cfg(feature = "serve")]
use kakunin_authority::Who;
use kakunin_core::bundle::export_watched;
use kakunin_core::id::ChainId;
use kakunin_core::log::{LogReader, VerifierKey};
use serde_json::json;

use crate::answer::{Answer, Failure};
use crate::context::Common;
use crate::progress::Progress;
#[cfg(feature = "serve")]
use crate::remote::{Remote, Service};

/// Write one file with everything that a stranger needs to check what agents did
///
/// The bundle holds receipts, certificates, revocation lists, disclosed values and proofs from logs. Without --chain it
/// holds whole streams; with it, every receipt of that chain in the given journals and what these need. Without --journal
/// the journals of this home's agents are taken, without --log the home's own log. It holds what was asked and for whom:
/// share it as you would share that.
///
/// With --url the service makes it of what agents sent there: of every agent's receipts of a chain, or of one agent. It has no
/// disclosed values and no proofs from a log: these are where the agents and the log are.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kakunin export --out incident.zip
  kakunin export --chain 00112233445566778899aabbccddeeff --out incident.zip
  kakunin export --chain 00112233445566778899aabbccddeeff --url https://authority.example --out incident.zip
  kakunin export --agent billing --url https://authority.example --out incident.zip
  kakunin export --journal agents/billing --journal bank/agents/clerk --log .kakunin/log --log bank/log --out incident.zip

Whoever gets it: kakunin verify incident.zip --root ca.pem --log-key KEY")]
pub(crate) struct Export {
    /// An agent's directory, its state or its journal
    #[arg(long, value_name = "DIR")]
    journal: Vec<PathBuf>,
    /// A log that holds their receipts
    #[arg(long, value_name = "DIR")]
    log: Vec<PathBuf>,
    /// The decision chain: 32 hexadecimal digits
    #[arg(long, value_name = "ID", value_parser = chain)]
    chain: Option<ChainId>,
    /// With --url: of this agent alone, id or name
    #[cfg(feature = "serve")]
    #[arg(long, value_name = "ID|NAME", requires = "url")]
    agent: Option<Who>,
    /// The bundle
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[cfg(feature = "serve")]
    #[command(flatten)]
    remote: Remote,
}

fn chain(text: &str) -> Result<ChainId, String> {
    ChainId::parse(text).ok_or_else(|| "give 32 lower-case hexadecimal digits".to_owned())
}

impl Export {
    pub(crate) fn run(&self, common: &Common) -> Result<Answer, Failure> {
        #[cfg(feature = "serve")]
        if let Some(service) = self.remote.service(common)? {
            return self.fetch(&service);
        }
        let journals = if self.journal.is_empty() { own_journals(common)? } else { self.journal.clone() };
        let mut logs = Vec::new();
        for folder in self.logs(common) {
            // What is copied proves itself by the keys of whoever reads it, so the key beside the log is good enough.
            let open = |key: VerifierKey| LogReader::open(&folder, &key);
            logs.push(LogReader::key_beside(&folder).and_then(open).map_err(Failure::cannot)?);
        }
        let paths: Vec<&Path> = journals.iter().map(PathBuf::as_path).collect();
        let mut progress = Progress::new(common.json);
        let exported = export_watched(&paths, &mut logs, self.chain, &self.out, &mut || progress.step());
        progress.end();
        let exported = exported.map_err(Failure::cannot)?;
        let record = json!({
            "out": self.out.display().to_string(),
            "chain": self.chain.map(|chain| chain.to_string()),
            "receipts": exported.receipts,
            "logged": exported.logged,
            "streams": exported.streams,
            "bytes": exported.size,
        });
        let answer = Answer::yes(record).line(format!(
            "{}: {} receipts in {} streams, {} of them with a proof from a log",
            self.out.display(),
            exported.receipts,
            exported.streams,
            exported.logged,
        ));
        Ok(if exported.logged < exported.receipts {
            answer.warn(
                "not every receipt is in a log, so nobody can see that none is missing; run kakunin log",
            )
        } else {
            answer
        })
    }

    #[cfg(feature = "serve")]
    fn fetch(&self, service: &Service) -> Result<Answer, Failure> {
        if !self.journal.is_empty() || !self.log.is_empty() {
            return Err(Failure::usage(
                "--journal and --log are folders here, and --url takes what was sent to the service; leave one out",
            ));
        }
        let path = match (&self.agent, self.chain) {
            (None, Some(chain)) => format!("/chains/{chain}/bundle"),
            (Some(agent), None) => format!("/agents/{agent}/forensics?format=zip"),
            (Some(agent), Some(chain)) => format!("/agents/{agent}/forensics?format=zip&chain={chain}"),
            (None, None) => {
                return Err(Failure::usage(
                    "name what to export from the service: --chain ID, --agent NAME or both",
                ));
            }
        };
        let octets = service.download(&path, &self.out)?;
        let out = self.out.display().to_string();
        let said = format!("{out}: {octets} bytes; check it with kakunin verify {out} --root ca.pem");
        let chain = self.chain.map(|chain| chain.to_string());
        Ok(Answer::yes(json!({ "out": out, "chain": chain, "bytes": octets })).line(said))
    }

    fn logs(&self, common: &Common) -> Vec<PathBuf> {
        if !self.log.is_empty() || !self.journal.is_empty() {
            return self.log.clone();
        }
        let own = common.home.join("log");
        if own.is_dir() { vec![own] } else { Vec::new() }
    }
}

/// The journals of every agent that the home certified.
fn own_journals(common: &Common) -> Result<Vec<PathBuf>, Failure> {
    let store = common.home().records()?;
    let mut journals = Vec::new();
    for tenant in store.tenants()? {
        for agent in store.agents(&tenant)? {
            let places = store.directories(&tenant, agent.id)?;
            journals.extend(
                places.iter().map(|path| path.join("state").join("journal")).filter(|path| path.is_dir()),
            );
        }
    }
    if journals.is_empty() {
        return Err(Failure::cannot("no agent of this home has a journal; name them with --journal DIR"));
    }
    Ok(journals)
}
