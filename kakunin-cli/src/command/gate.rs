use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use kakunin_authority::Who;
use kakunin_core::certificate::AgentCertificate;
use kakunin_core::gate::{
    Evidence, GatePolicy, Gathered, Given, Judgement, Outcome, Promoted, Receipts, RiskTerms, Run, Stricter,
};
use kakunin_core::id::AgentId;
use kakunin_core::log::{VerifierKey, WitnessPolicy};
use kakunin_core::report::Inquiry;
use kakunin_core::risk::{Baseline, RiskLevel, RiskPolicy};
use kakunin_core::time::UnixMillis;
use kakunin_core::verify::Report;
#[cfg(feature = "serve")]
use rustls_pki_types::CertificateDer;
#[cfg(feature = "serve")]
use rustls_pki_types::pem::PemObject;

use super::standing::Why;
use crate::answer::{Answer, Exit, Failure};
use crate::context::{Common, now, read_text};
#[cfg(feature = "serve")]
use crate::fetched::{Fetched, newest_certificate};
use crate::gate::{
    Candidate, Consequence, Done, GitHub, Record, Signed, Signing, Told, last_by, read_papers, to_sarif,
};
#[cfg(feature = "serve")]
use crate::remote::{Remote, Service};

/// Decide whether an agent may be promoted: its papers, its scope, what it did, and what its leash denies
///
/// Everything is read from files, and nothing is asked over a network but what --url is asked for. A check that cannot be
/// evaluated refuses as one that fails does: no receipts, too few of them or old ones are no evidence.
///
/// With --url the service hands over what is not given as a file: the receipts that the agent sent there, its certificate
/// and revocation lists. It is judged like a file that somebody brought; the service is not believed.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kakunin gate --certificate agents/billing --root ca.pem --crl lists.pem --receipts agents/billing \\
    --policy gate.toml --baseline billing.baseline.json --promoted promoted/ --as agents/gate
  kakunin gate --url https://authority.example --agent ID --root ca.pem --policy gate.toml --baseline billing.baseline.json
  kakunin gate ... --as agents/gate --commit \"$SHA\" --run \"$RUN\" --sarif gate.sarif --report gate.json

Exit codes: 0 pass, 1 fail, 2 cannot be evaluated, which is a refusal too, 64 wrong usage.")]
pub(crate) struct Gate {
    /// The certificate, in PEM with its issuers, or the agent's directory; with --url else the one that was issued last
    #[arg(long, value_name = "FILE|DIR")]
    certificate: Option<PathBuf>,
    /// Who is to be promoted; the certificate has to be this agent's
    #[arg(long, value_name = "ID", value_parser = agent)]
    agent: Option<AgentId>,
    /// Certificates between it and the root
    #[arg(long, value_name = "FILE")]
    untrusted: Vec<PathBuf>,
    /// Roots to trust; never taken from what is judged
    #[arg(long, value_name = "FILE", required = true)]
    root: Vec<PathBuf>,
    /// Revocation lists, as new as can be; with --url else those of the service
    #[arg(long, value_name = "FILE")]
    crl: Vec<PathBuf>,
    /// Lists of names that the scope refers to; those in the agent's directory are found
    #[arg(long, value_name = "DIR")]
    names: Vec<PathBuf>,
    /// The receipts: a bundle, or the directory of an agent, its state or its journal; with --url else what was sent to the
    /// service
    #[arg(long, value_name = "FILE|DIR")]
    receipts: Option<PathBuf>,
    /// Another journal, to be verified with the first
    #[arg(long, value_name = "DIR")]
    journal: Vec<PathBuf>,
    /// The key of a log that holds the receipts
    #[arg(long, value_name = "KEY", value_parser = log_key)]
    log_key: Vec<VerifierKey>,
    /// Witnesses to believe: a tlog-policy file
    #[arg(long, value_name = "FILE")]
    witness_policy: Vec<PathBuf>,
    /// A log that holds receipts of the journals
    #[arg(long, value_name = "DIR")]
    log: Vec<PathBuf>,
    /// What the owner asks for, in TOML
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// What is made of behaviour that is not usual, in TOML, as the policy names it; else the defaults
    #[arg(long, value_name = "FILE")]
    risk_policy: Option<PathBuf>,
    /// What is usual for the agent
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// The level of risk that fails: watch, step-up or suspend; not above the policy's
    #[arg(long, value_name = "LEVEL", value_parser = level)]
    fail_on: Option<RiskLevel>,
    /// How old a call may be, for example 14d; not above the policy's
    #[arg(long, value_name = "SPAN", value_parser = span)]
    max_age: Option<i64>,
    /// How many calls there have to be; not below the policy's
    #[arg(long, value_name = "N")]
    min_calls: Option<u64>,
    /// The record of what was promoted last, or the folder with it, which counts if the policy or the gate's own agent says
    /// so; on a pass the new one is written there
    #[arg(long, value_name = "FILE|DIR")]
    promoted: Option<PathBuf>,
    /// The directory of the gate's own agent, which signs what was found
    #[arg(long = "as", value_name = "DIR")]
    signer: Option<PathBuf>,
    /// The lists for the gate's own agent; else those its agent.toml names
    #[arg(long, value_name = "FILE", requires = "signer")]
    as_crl: Option<PathBuf>,
    /// The commit that is to be promoted
    #[arg(long, value_name = "TEXT")]
    commit: Option<String>,
    /// The run of the pipeline
    #[arg(long, value_name = "TEXT")]
    run: Option<String>,
    /// The repository
    #[arg(long, value_name = "TEXT")]
    repo: Option<String>,
    /// Also write the findings as SARIF 2.1.0
    #[arg(long, value_name = "FILE")]
    sarif: Option<PathBuf>,
    /// Also write the whole answer as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Also write annotations, outputs and the summary of a job of GitHub Actions
    #[arg(long)]
    github: bool,
    /// Suspend the agent if its own conduct fails; by the home, or by --url and a key that may revoke
    #[arg(long)]
    suspend_on_fail: bool,
    /// Revoke the agent if the level is suspend or above; by the home, or by --url and a key that may revoke
    #[arg(long)]
    revoke_on_fail: bool,
    /// Judge at this time instead of now, for whoever looks back: nothing is signed, recorded or done
    #[arg(long, value_name = "RFC3339", value_parser = time)]
    at: Option<UnixMillis>,
    #[cfg(feature = "serve")]
    #[command(flatten)]
    remote: Remote,
}

fn agent(text: &str) -> Result<AgentId, String> {
    AgentId::parse(text).ok_or_else(|| "an agent is a UUID in lower case".to_owned())
}

fn log_key(text: &str) -> Result<VerifierKey, String> {
    VerifierKey::parse(text).map_err(|error| error.to_string())
}

fn level(text: &str) -> Result<RiskLevel, String> {
    let level =
        RiskLevel::from_word(text).filter(|level| *level > RiskLevel::Clear && *level < RiskLevel::Revoke);
    level.ok_or_else(|| "write watch, step-up or suspend".to_owned())
}

fn span(text: &str) -> Result<i64, String> {
    kakunin_core::gate::span(text)
        .ok_or_else(|| "write a whole number and s, m, h or d, for example 14d".to_owned())
}

fn time(text: &str) -> Result<UnixMillis, String> {
    UnixMillis::parse_rfc3339(text).map_err(|error| error.to_string())
}

impl Gate {
    pub(crate) fn run(&self, common: &Common) -> Result<Answer, Failure> {
        let github = self.github.then(GitHub::from_environment);
        let answer = self.decide(common, github.as_ref());
        if let (Err(_), Some(github)) = (&answer, &github) {
            // Whoever reads the outputs and not the exit code reads the same.
            let _ = github.put(&[("decision", Outcome::CannotEvaluate.word().to_owned())]);
        }
        answer
    }

    fn decide(&self, common: &Common, github: Option<&GitHub>) -> Result<Answer, Failure> {
        if self.at.is_some() && (self.signer.is_some() || self.suspend_on_fail || self.revoke_on_fail) {
            let what = "--at looks back, and nobody acts on what was: leave out --as, --suspend-on-fail and --revoke-on-fail";
            return Err(Failure::usage(what));
        }
        let run = self.pipeline(github.is_some())?;
        let consequence = Consequence { suspend: self.suspend_on_fail, revoke: self.revoke_on_fail };
        let policy = self.policy()?;
        let risk_policy = self.risk_policy()?;
        let mut candidate =
            read_papers(self.certificate.as_deref(), &self.untrusted, &self.root, &self.crl, &self.names)?;
        let known = candidate.certificate.as_ref().ok().and_then(|der| AgentCertificate::decode(der).ok());
        let agent = self.agent.or_else(|| known.map(|certificate| certificate.agent()));
        let receipts = self.receipts(&mut candidate, agent, common)?;
        let record = self.promoted.as_deref().map(|path| Record::at(path, agent));

        let seen = self.verify(&candidate, &receipts, agent)?;
        let baseline = self.baseline();
        let evidence = Evidence {
            agent: self.agent,
            certificate: candidate.certificate.clone(),
            pool: &candidate.pool,
            anchors: candidate.anchors.as_ref().map_err(Clone::clone),
            lists: candidate.lists.as_deref().map_err(Clone::clone),
            names: &candidate.names,
            promoted: record.as_ref().map_or(Promoted::Nothing, Record::read),
            last: match (&self.signer, agent) {
                (Some(directory), Some(agent)) => last_by(directory, agent),
                _ => Ok(None),
            },
            receipts: seen
                .as_ref()
                .map(|(report, gathered)| Receipts { report, gathered })
                .map_err(Clone::clone),
        };
        let risk = RiskTerms { baseline: baseline.as_ref().map_err(Clone::clone), policy: &risk_policy };
        let at = self.at.unwrap_or_else(|| now().to_millis());
        let judgement = policy.judge(&evidence, &risk, at);

        let mut trouble = Vec::new();
        let signing = match &self.signer {
            Some(directory) => Signing::begin(directory, self.as_crl.as_deref(), &judgement.statement(&run)),
            None => Signing::by_nobody(),
        };
        if let Signed::Refused { what, .. } = &signing.signed {
            trouble.push(format!("the gate's own receipt: {what}"));
        }
        let mut written = None;
        let mut kept = None;
        if judgement.verdict() == Outcome::Pass
            && trouble.is_empty()
            && self.at.is_none()
            && let (Some(record), Ok(certificate)) = (&record, &candidate.certificate)
        {
            match record.write(certificate, &candidate.pool) {
                Ok(replaced) => {
                    written = Some(record.path());
                    kept = Some(replaced);
                }
                Err(what) => trouble.push(what),
            }
        }
        let done = self.act(consequence, &judgement, &candidate, common);
        if let Some(what) = &done.failed {
            trouble.push(what.clone());
        }
        let told = Told {
            judgement: &judgement,
            run: &run,
            signed: &signing.signed,
            done: &done,
            promoted: written,
            trouble: &trouble,
        };
        let answer = self.tell(&told, github);
        // What was judged is signed either way; what did not follow is no promotion.
        let is_done = answer.is_ok() && trouble.is_empty();
        if !is_done && let Some(kept) = kept {
            kept.put_back();
        }
        signing.end(is_done);
        answer
    }

    /// Writes what was asked for, then answers.
    fn tell(&self, told: &Told<'_>, github: Option<&GitHub>) -> Result<Answer, Failure> {
        let record = told.to_record();
        if let Some(path) = &self.report {
            write(path, &format!("{record:#}\n"))?;
        }
        if let Some(path) = &self.sarif {
            write(path, &format!("{:#}\n", to_sarif(told, &self.policy)))?;
        }
        if let Some(github) = github {
            let told = github.tell(told, &self.policy, self.report.as_deref());
            told.map_err(|error| Failure::cannot(format!("cannot write what the runner reads: {error}")))?;
        }
        let answer = Answer::yes(record).lines(told.to_lines()).exit(match told.verdict() {
            Outcome::Pass => Exit::Yes,
            Outcome::Fail => Exit::No,
            Outcome::CannotEvaluate => Exit::CannotEvaluate,
        });
        Ok(match told.signed {
            Signed::ByNobody => answer.warn("nobody signed this; name the gate's own agent with --as"),
            _ => answer,
        })
    }

    fn pipeline(&self, on_github: bool) -> Result<Run, Failure> {
        let value = |flag: &Option<String>, name: &str, variable: &str, most: usize| {
            let from = || on_github.then(|| std::env::var(variable).ok()).flatten();
            let value = flag.clone().or_else(from).filter(|text| !text.is_empty());
            match value.as_ref().filter(|text| text.len() > most) {
                Some(_) => Err(Failure::usage(format!("--{name} has at most {most} bytes"))),
                None => Ok(value),
            }
        };
        Ok(Run {
            commit: value(&self.commit, "commit", "GITHUB_SHA", 64)?,
            run: value(&self.run, "run", "GITHUB_RUN_ID", 64)?,
            repository: value(&self.repo, "repo", "GITHUB_REPOSITORY", 200)?,
        })
    }

    fn policy(&self) -> Result<GatePolicy, Failure> {
        let text = read_text(&self.policy)?;
        let policy = GatePolicy::from_toml(&text)
            .map_err(|error| Failure::cannot(format!("{}: {error}", self.policy.display())))?;
        let wanted = Stricter { fail_on: self.fail_on, max_age: self.max_age, min_calls: self.min_calls };
        policy.stricter(&wanted).map_err(Failure::usage)
    }

    fn risk_policy(&self) -> Result<RiskPolicy, Failure> {
        let Some(path) = &self.risk_policy else { return Ok(RiskPolicy::default()) };
        RiskPolicy::from_toml(&read_text(path)?)
            .map_err(|error| Failure::cannot(format!("{}: {error}", path.display())))
    }

    fn baseline(&self) -> Given<Baseline> {
        let path = self.baseline.as_ref().ok_or("no baseline is given")?;
        let bytes = kakunin_authority::files::read(path).map_err(|error| error.to_string())?;
        let text = String::from_utf8(bytes).map_err(|_| format!("{} is no UTF-8 text", path.display()))?;
        Baseline::from_json(&text).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Where the receipts lie. Whatever is not given as a file, of them and of `candidate`, a service is asked for, if one
    /// is named.
    fn receipts(
        &self,
        candidate: &mut Candidate,
        agent: Option<AgentId>,
        common: &Common,
    ) -> Result<Given<Lying>, Failure> {
        let missing = [
            ("--certificate", self.certificate.is_none()),
            ("--crl", self.crl.is_empty()),
            ("--receipts", self.receipts.is_none()),
        ];
        let missing: Vec<&str> = missing.iter().filter(|(_, it)| *it).map(|(flag, _)| *flag).collect();
        if !missing.is_empty() {
            #[cfg(feature = "serve")]
            match self.remote.service(common) {
                Ok(Some(service)) => return self.ask(&service, candidate, agent),
                Ok(None) => {}
                Err(failure) if failure.is_usage() => return Err(failure),
                // What nobody could be asked for is missing, as what the service does not say.
                Err(failure) => {
                    let what = failure.what().to_owned();
                    if self.certificate.is_none() {
                        candidate.certificate = Err(what.clone());
                    }
                    if self.crl.is_empty() {
                        candidate.lists = Err(what.clone());
                    }
                    return Ok(self.receipts.as_deref().map(Lying::at).ok_or(what));
                }
            }
            let _ = (candidate, agent, common);
            let what = format!(
                "{} is missing; give it, or name the service that has it with --url",
                missing.join(", ")
            );
            return Err(Failure::usage(what));
        }
        Ok(self.receipts.as_deref().map(Lying::at).ok_or_else(String::new))
    }

    /// Asks the service. What it does not hand over is missing, as a file that is not there is.
    #[cfg(feature = "serve")]
    fn ask(
        &self,
        service: &Service,
        candidate: &mut Candidate,
        agent: Option<AgentId>,
    ) -> Result<Given<Lying>, Failure> {
        let Some(agent) = agent else {
            let what = "whose evidence? name the agent with --agent ID, or give its certificate";
            return match self.certificate {
                None => Err(Failure::usage(what)),
                Some(_) => Ok(Err(what.to_owned())),
            };
        };
        let fetched = match Fetched::of(service, agent) {
            Err(failure) if failure.is_usage() => return Err(failure),
            fetched => fetched.map_err(|failure| failure.what().to_owned()),
        };
        // A certificate is proven by the issuers in the bundle: without them it is as good as none.
        let papers = fetched.as_ref().map_err(Clone::clone).and_then(Fetched::papers);
        if self.certificate.is_none() {
            candidate.certificate = match (&candidate.missing, &papers) {
                (Some(what), _) | (None, Err(what)) => Err(what.clone()),
                (None, Ok(_)) => newest_certificate(service, agent),
            };
        }
        if self.crl.is_empty() {
            candidate.lists = papers.as_ref().map(|papers| papers.lists.clone()).map_err(Clone::clone);
        }
        candidate.pool.extend(papers.into_iter().flat_map(|papers| papers.issuers));
        Ok(match &self.receipts {
            Some(path) => Ok(Lying::at(path)),
            None => fetched.map(|fetched| Lying { path: fetched.bundle().to_owned(), _until: Some(fetched) }),
        })
    }

    /// Verifies the receipts; without somebody to believe there is nothing to verify by.
    fn verify(
        &self,
        candidate: &Candidate,
        receipts: &Given<Lying>,
        agent: Option<AgentId>,
    ) -> Result<Given<(Report, Gathered)>, Failure> {
        let (Ok(anchors), Some(agent)) = (&candidate.anchors, agent) else {
            return Ok(Err("there is no certificate or no root to verify them by".to_owned()));
        };
        let path = match receipts {
            Ok(lying) => &lying.path,
            Err(what) => return Ok(Err(what.clone())),
        };
        if is_file_of_receipts(path) {
            return Ok(Err(format!(
                "{} is a file of receipts, which has no lists and no ends of streams to judge by; give the journal, or a bundle of kakunin export",
                path.display()
            )));
        }
        let mut policies = Vec::new();
        for path in &self.witness_policy {
            let bytes = kakunin_authority::files::read(path)?;
            policies.push(
                WitnessPolicy::parse(bytes)
                    .map_err(|error| Failure::cannot(format!("{}: {error}", path.display())))?,
            );
        }
        let inquiry = Inquiry::by(anchors.clone())
            .log_keys(self.log_key.clone())
            .witnesses(policies)
            .logs(self.log.clone())
            .lists(candidate.lists.clone().unwrap_or_default());
        let mut gathered = Gathered::about(agent);
        match inquiry.of(path, &self.journal, &mut gathered) {
            Ok(account) => Ok(Ok((account.into_report(), gathered))),
            Err(error) if error.is_usage() => Err(error.into()),
            Err(error) => Ok(Err(error.to_string())),
        }
    }

    /// Carries out what follows from the judgement, if that was asked for.
    fn act(
        &self,
        consequence: Consequence,
        judgement: &Judgement,
        candidate: &Candidate,
        common: &Common,
    ) -> Done {
        use kakunin_authority::standing::Order;

        let (Some(order), Some(agent)) = (consequence.order(judgement), judgement.agent()) else {
            return Done::default();
        };
        let level = judgement.level().map_or("", RiskLevel::word);
        let why = Why {
            reason: format!("kakunin gate: level {level}, evidence {}", judgement.evidence().to_hex()),
            hours: None,
            #[cfg(feature = "serve")]
            remote: self.remote.clone(),
        };
        let known = self.refuse_stranger(agent, candidate, common);
        match known.and_then(|()| why.give(&Who::Id(agent), order, common)) {
            Ok(_) => Done { suspended: true, revoked: order == Order::Revoke, failed: None },
            Err(failure) => {
                Done { failed: Some(format!("{order} was asked for: {}", failure.what())), ..Done::default() }
            }
        }
    }
}

impl Gate {
    /// Refuses to act on an agent whose authority did not sign this certificate. An id is a name: another authority may have
    /// certified somebody else by it.
    fn refuse_stranger(&self, agent: AgentId, candidate: &Candidate, common: &Common) -> Result<(), Failure> {
        let stranger = || Failure::no(format!("the authority that is asked did not certify this {agent}"));
        let der = candidate.certificate.as_ref().map_err(|_| stranger())?;
        #[cfg(feature = "serve")]
        if let Some(service) = self.remote.service(common)? {
            let answer = service.get(&format!("/agents/{agent}"))?;
            let held = answer.pointer("/data/certificates").and_then(serde_json::Value::as_array);
            let pems = held.into_iter().flatten().filter_map(|its| its.get("pem")?.as_str());
            let is_its = |pem: &str| {
                CertificateDer::from_pem_slice(pem.as_bytes()).is_ok_and(|its| its.as_ref() == der.as_slice())
            };
            return pems.into_iter().any(is_its).then_some(()).ok_or_else(stranger);
        }
        let own = common.home().passphrase();
        let authority = common.authority(&own)?;
        let known = authority.find(&Who::Id(agent))?;
        let held = authority.records().certificates(&known.tenant, known.id)?;
        held.iter().any(|its| its.der.as_ref() == Some(der)).then_some(()).ok_or_else(stranger)
    }
}

/// Receipts that lie somewhere, for as long as this is there.
struct Lying {
    path: PathBuf,
    #[cfg(feature = "serve")]
    _until: Option<Fetched>,
}

impl Lying {
    fn at(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            #[cfg(feature = "serve")]
            _until: None,
        }
    }
}

/// Whether it is a file of `kakunin risk receipts`, by how it begins.
fn is_file_of_receipts(path: &Path) -> bool {
    let mut first = [0];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut first));
    path.is_file() && read.is_ok() && first == *b"{"
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    use kakunin_authority::files::{Readers, replace};
    Ok(replace(path, text.as_bytes(), Readers::Everyone)?)
}
