use std::path::{Path, PathBuf};

use clap::Args;
use kakunin_core::certificate::{AgentCertificate, AgentPath, PathLists, TrustAnchors, VerifiedAgent};
use kakunin_core::reason::DenialReason;
use kakunin_core::time::UnixTime;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use serde_json::json;

use crate::answer::{Answer, Exit, Failure};
use crate::context::{Common, now, read};

/// Say whether an agent's certificate is to be believed
///
/// Path to the root, profile, validity and standing. Without a list of every issuer on the path the answer is no.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kakunin verify-certificate agents/billing/agent.pem --root ca.pem --untrusted chain.pem --crl lists.pem
  kakunin verify-certificate bundle.pem --root ca.pem --crl lists.pem --at 2026-11-23T09:30:00Z --json")]
pub(crate) struct VerifyCertificate {
    /// The certificate, in PEM; further blocks count as --untrusted
    certificate: PathBuf,
    /// Roots to trust
    #[arg(long, value_name = "FILE", required = true)]
    root: Vec<PathBuf>,
    /// Certificates between it and the root
    #[arg(long, value_name = "FILE")]
    untrusted: Vec<PathBuf>,
    /// Revocation lists
    #[arg(long, value_name = "FILE")]
    crl: Vec<PathBuf>,
    /// Judge at this time instead of now
    #[arg(long, value_name = "RFC3339", value_parser = time)]
    at: Option<UnixTime>,
    /// Which rules to hold it to
    #[arg(long, value_name = "NAME", default_value = "agent", value_parser = ["agent"])]
    profile: String,
}

/// Reads a time given on the command line.
pub(super) fn time(text: &str) -> Result<UnixTime, String> {
    UnixTime::parse_rfc3339(text).map_err(|error| error.to_string())
}

impl VerifyCertificate {
    pub(crate) fn run(&self, _: &Common) -> Result<Answer, Failure> {
        let mut pool = certificates(&self.certificate)?;
        let leaf = if pool.is_empty() { Vec::new() } else { pool.remove(0) };
        for path in &self.untrusted {
            pool.extend(certificates(path)?);
        }
        let mut roots = Vec::new();
        for path in &self.root {
            roots.extend(certificates(path)?);
        }
        let lists = lists(&self.crl)?;
        let at = self.at.unwrap_or_else(now);
        let agent = judge(&leaf, &pool, &roots, &lists, at);
        Ok(match agent {
            Ok(agent) => believed(&agent, at),
            Err((reason, what)) => Answer::yes(json!({
                "valid": false, "code": reason.code(), "what": what, "at": at.to_string(),
            }))
            .line(format!("no: {what} [{}]", reason.code()))
            .line(match reason {
                DenialReason::CertificateUntrusted if pool.is_empty() => {
                    "fix: give the issuing authority's certificate by --untrusted chain.pem".to_owned()
                }
                _ => format!("fix: {}", reason.fix()),
            })
            .exit(Exit::No),
        })
    }
}

/// The revocation lists in PEM files.
pub(crate) fn lists(files: &[PathBuf]) -> Result<Vec<Vec<u8>>, Failure> {
    let mut lists = Vec::new();
    for path in files {
        let bytes = read(path)?;
        let blocks: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&bytes).collect();
        let blocks =
            blocks.map_err(|_| Failure::cannot(format!("{} is not readable PEM", path.display())))?;
        if blocks.is_empty() {
            return Err(Failure::cannot(format!("{} holds no PEM X509 CRL", path.display())));
        }
        lists.extend(blocks.iter().map(|der| der.as_ref().to_vec()));
    }
    Ok(lists)
}

fn judge(
    leaf: &[u8],
    pool: &[Vec<u8>],
    roots: &[Vec<u8>],
    lists: &[Vec<u8>],
    at: UnixTime,
) -> Result<VerifiedAgent, (DenialReason, String)> {
    let malformed = |error: &dyn ToString| (DenialReason::CertificateMalformed, error.to_string());
    let certificate = AgentCertificate::decode(leaf).map_err(|error| malformed(&error))?;
    let path = TrustAnchors::new(roots.iter().map(Vec::as_slice))
        .and_then(|anchors| certificate.verify_path(pool.iter().map(Vec::as_slice), &anchors, at))
        .map_err(|error| (error.reason(), error.to_string()))?;
    let found = |path: AgentPath| {
        let lists = PathLists::from_der(lists.iter().map(Vec::as_slice), &path)?;
        path.with_lists(lists, at)
    };
    found(path).map_err(|error| (error.reason(), error.to_string()))
}

fn believed(agent: &VerifiedAgent, at: UnixTime) -> Answer {
    let certificate = agent.path().agent();
    let denial = agent.denial(at);
    let answer = Answer::yes(json!({
        "valid": denial.is_none(),
        "code": denial.map(DenialReason::code),
        "agent": certificate.agent().to_string(),
        "serial": certificate.decoded().serial().to_string(),
        "standing": agent.standing().word(),
        "good_until": agent.good_until().to_string(),
        "at": at.to_string(),
    }));
    match denial {
        None => answer.line(format!("yes: {} until {}", certificate.agent(), agent.good_until())),
        Some(reason) => answer
            .line(format!("no: {} [{}]", reason.what(), reason.code()))
            .line(format!("fix: {}", reason.fix()))
            .exit(Exit::No),
    }
}

/// The certificates in a PEM file.
pub(crate) fn certificates(path: &Path) -> Result<Vec<Vec<u8>>, Failure> {
    let bytes = read(path)?;
    let blocks: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let blocks = blocks.map_err(|_| Failure::cannot(format!("{} is not readable PEM", path.display())))?;
    if blocks.is_empty() {
        return Err(Failure::cannot(format!("{} holds no PEM CERTIFICATE", path.display())));
    }
    Ok(blocks.iter().map(|der| der.as_ref().to_vec()).collect())
}
