//! Evidence that a service hands over: its bundle of one agent, in a folder that goes with the command.
//!
//! Where it came from is no reason to believe any of it. What is in it is verified like a file that somebody brought: by the
//! roots, logs and witnesses of the command line, and by nothing that the service says.

use std::path::{Path, PathBuf};

use kakunin_core::bundle::Bundle;
use kakunin_core::certificate::{AgentCertificate, CaCertificate, CaRole};
use kakunin_core::gate::Given;
use kakunin_core::id::AgentId;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::Value;
use tempfile::TempDir;

use crate::answer::Failure;
use crate::remote::Service;

/// What a service handed over of an agent. It is there as long as this is.
pub(crate) struct Fetched {
    _folder: TempDir,
    bundle: PathBuf,
}

/// Papers of a bundle, in DER. Nobody believes them yet.
pub(crate) struct Papers {
    pub(crate) lists: Vec<Vec<u8>>,
    /// Certificates of issuing authorities.
    pub(crate) issuers: Vec<Vec<u8>>,
}

impl Fetched {
    /// Asks `service` for everything that it has of `agent`.
    ///
    /// # Errors
    /// [`Failure`] that says that nothing can be evaluated, whatever the service said: a no of its own is no judgement.
    pub(crate) fn of(service: &Service, agent: AgentId) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new().prefix("kakunin-").tempdir().map_err(Failure::cannot)?;
        let bundle = folder.path().join("incident.zip");
        service.download(&format!("/agents/{agent}/forensics?format=zip"), &bundle).map_err(unknown)?;
        Ok(Self { _folder: folder, bundle })
    }

    /// Where the bundle lies.
    pub(crate) fn bundle(&self) -> &Path {
        &self.bundle
    }

    /// What goes along with the receipts.
    pub(crate) fn papers(&self) -> Given<Papers> {
        let bundle = Bundle::open(&self.bundle).map_err(|error| format!("the service's bundle: {error}"))?;
        let lists = bundle.lists().map_err(|error| format!("the service's bundle: {error}"))?;
        let issues = |der: &&[u8]| CaCertificate::decode(der, CaRole::Issuing).is_ok();
        let issuers = bundle.certificates().into_iter().filter(issues).map(<[u8]>::to_vec).collect();
        Ok(Papers { lists, issuers })
    }
}

/// The certificate of `agent` that begins last of those that the service has: whatever was issued to it last is what would
/// be released. One of another agent is none.
///
/// # Errors
/// Why there is none, as the gate says it.
pub(crate) fn newest_certificate(service: &Service, agent: AgentId) -> Given<Vec<u8>> {
    let answer = service.get(&format!("/agents/{agent}")).map_err(|failure| failure.what().to_owned())?;
    let held = answer.pointer("/data/certificates").and_then(Value::as_array);
    let pems = held.into_iter().flatten().filter_map(|its| its.get("pem")?.as_str());
    let ders = pems.filter_map(|pem| CertificateDer::from_pem_slice(pem.as_bytes()).ok());
    let known = ders.filter_map(|der| Some((AgentCertificate::decode(&der).ok()?, der)));
    let its = known.filter(|(certificate, _)| certificate.agent() == agent);
    let newest = its.max_by_key(|(certificate, _)| certificate.decoded().validity().not_before);
    newest
        .map(|(_, der)| der.as_ref().to_vec())
        .ok_or_else(|| format!("the service has no certificate of {agent}"))
}

/// What a service refuses or cannot say leaves the question open.
fn unknown(failure: Failure) -> Failure {
    failure.unanswered()
}
