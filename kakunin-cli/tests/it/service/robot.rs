//! An agent on another machine: its key never leaves it, and it proves with each request that it has it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kakunin_core::certificate::request_pem;
use kakunin_core::key::{Algorithm, Signer, SoftKey};
use kakunin_core::possession::{Prover, Target};
use kakunin_core::time::UnixTime;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};

use super::office::Office;
use super::web::{Reply, Request};

pub(super) struct Robot {
    pub(super) signer: Arc<Signer>,
    pub(super) papers: Value,
    address: String,
}

impl Robot {
    /// Has a new key certified for an agent that exists.
    pub(super) fn certified(office: &Office<'_>, name: &str) -> Self {
        let signer = new_key();
        let csr = request_pem(&signer).unwrap();
        let papers = office.post(&format!("/v1/agents/{name}/certify"), &json!({ "csr": csr })).json();
        Self::with(office, signer, papers.get("data").unwrap().clone())
    }

    /// The same where nobody may be there.
    pub(super) fn at(address: &str, signer: Arc<Signer>, papers: Value) -> Self {
        Self { signer, papers, address: address.to_owned() }
    }

    /// With papers that it got.
    pub(super) fn with(office: &Office<'_>, signer: Arc<Signer>, papers: Value) -> Self {
        let address = office.url().strip_prefix("http://").unwrap().to_owned();
        Self { signer, papers, address }
    }

    pub(super) fn text(&self, name: &str) -> &str {
        self.papers.get(name).and_then(Value::as_str).unwrap()
    }

    pub(super) fn prover(&self) -> Prover {
        let pem = if self.papers.get("pem").is_some() { "pem" } else { "certificate_pem" };
        let pool = ders(self.text("chain_pem"));
        let chain: Vec<&[u8]> = pool.iter().map(Vec::as_slice).collect();
        Prover::new(Arc::clone(&self.signer), ders(self.text(pem)).first().unwrap(), &chain).unwrap()
    }

    /// The request with its proof, made at `created` for the service at `authority`.
    pub(super) fn prove_for(&self, request: Request, authority: &str, created: UnixTime) -> Request {
        let (path, query) = match request.path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (request.path.as_str(), None),
        };
        let target = Target { method: &request.method, authority, path, query };
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&NONCE.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        let proof = self.prover().prove(&target, &request.body, None, created, nonce).unwrap();
        let fields: Vec<_> =
            proof.fields().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        fields.into_iter().fold(request, |request, (name, value)| request.header(&name, &value))
    }

    pub(super) fn prove(&self, request: Request) -> Request {
        self.prove_for(request, &self.address, now())
    }

    /// Sends it with a proof. Where the key was certified in the very second in which the service began, that may be a proof of
    /// before, and another one is made as the answer asks for.
    pub(super) fn send(&self, request: Request) -> Reply {
        loop {
            let reply = self.prove(request.clone()).send(&self.address);
            if reply.status != 503 || !reply.text().contains("possession.starting") {
                return reply;
            }
            thread::sleep(Duration::from_secs(1));
        }
    }
}

pub(super) fn new_key() -> Arc<Signer> {
    Arc::new(Signer::soft(SoftKey::generate(Algorithm::P256).unwrap().0))
}

pub(super) fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    UnixTime::from_seconds(since.as_secs().try_into().unwrap())
}

pub(super) fn ders(pem: &str) -> Vec<Vec<u8>> {
    let blocks = CertificateDer::pem_slice_iter(pem.as_bytes());
    blocks.map(|der| der.unwrap().to_vec()).collect()
}

static NONCE: AtomicU64 = AtomicU64::new(1);
