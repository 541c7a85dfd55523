//! The way in for what agents send: how much may be under way, and the threads that check signatures.
//!
//! Checking is the dear part, so it happens beside the sequencer, on as many threads as there are cores. An upload has
//! its place before its first octet is read, and without a place it is refused at once: what is under way is bounded,
//! for everyone together and for each sender.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;

use axum::http::StatusCode;
use kakunin_core::digest::Digest;
use kakunin_core::id::AgentId;
use tokio::sync::Semaphore;

use super::access::Caller;
use super::deliver::Count;
use super::error::Refusal;
use super::places::{Kind, Places};
use super::service::Service;
use crate::ingest::{KnownCertificate, Part, Upload, UploadError, records};
use crate::store::ReceiptRecord;

/// What is under way, and what was learnt of certificates.
pub(crate) struct Intake {
    pub(crate) places: Places,
    threads: usize,
    workers: Semaphore,
    /// What a certificate says never changes, so what is known of one stays true. Unknown ones are not remembered.
    known: Mutex<HashMap<Digest, KnownCertificate>>,
    /// Contradictions of logs beyond those that are kept of an agent.
    pub(crate) contradictions_not_kept: Count,
}

impl Default for Intake {
    fn default() -> Self {
        let threads = available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            places: Places::new(KIND),
            threads,
            workers: Semaphore::new(threads),
            known: Mutex::default(),
            contradictions_not_kept: Count::default(),
        }
    }
}

impl Intake {
    fn known(&self) -> MutexGuard<'_, HashMap<Digest, KnownCertificate>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Service {
    /// Reads and proves an upload of receipts of agents that `caller` may speak for.
    ///
    /// # Errors
    /// [`Refusal`] with the first line that is refused.
    pub(crate) async fn prove(
        self: &Arc<Self>,
        caller: &Caller,
        body: axum::body::Bytes,
    ) -> Result<Vec<ReceiptRecord>, Refusal> {
        let upload = self.work(move || Upload::read(&body)).await??;
        let known = Arc::new(self.signers(caller, &upload).await?);
        let parts = upload.into_parts(self.intake.threads).into_iter().map(|part: Part| {
            let (service, known) = (Arc::clone(self), Arc::clone(&known));
            tokio::spawn(async move { service.work(move || part.prove(&known)).await })
        });
        let parts: Vec<_> = parts.collect();
        let mut proved = Vec::with_capacity(parts.len());
        for part in parts {
            proved.push(part.await.map_err(|_| Refusal::internal())???);
        }
        let now = (self.clock)();
        Ok(self.work(move || records(proved, now)).await??)
    }

    /// What the records know of the certificates that are named, as far as the caller may speak for their agents.
    async fn signers(
        self: &Arc<Self>,
        caller: &Caller,
        upload: &Upload,
    ) -> Result<HashMap<Digest, KnownCertificate>, Refusal> {
        let mut signers = HashMap::new();
        let mut unknown: Vec<AgentId> = Vec::new();
        {
            let known = self.intake.known();
            for (x5t, agent) in upload.signers() {
                match known.get(&x5t) {
                    Some(certificate) => drop(signers.insert(x5t, certificate.clone())),
                    None if caller.reaches(agent) => unknown.push(agent),
                    None => {}
                }
            }
        }
        if !unknown.is_empty() {
            unknown.sort_unstable();
            unknown.dedup();
            let tenant = caller.tenant().clone();
            let found = self.readers.read(move |store| {
                let mut found = Vec::new();
                for agent in unknown {
                    let certificates = store.certificates(&tenant, agent)?;
                    found.extend(certificates.iter().filter_map(KnownCertificate::of));
                }
                Ok(found)
            });
            let found = found.await?;
            let mut known = self.intake.known();
            if known.len().saturating_add(found.len()) > REMEMBERED {
                known.clear();
            }
            known.extend(found.iter().cloned());
            signers.extend(found);
        }
        // A certificate that is known for another tenant's, or for an agent the key is not for, is none to this caller.
        signers.retain(|_, signer| signer.tenant() == caller.tenant() && caller.reaches(signer.agent()));
        Ok(signers)
    }

    /// Does work that needs a core, no more at once than there are.
    async fn work<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
        let _place = self.intake.workers.acquire().await.map_err(|_| Refusal::internal())?;
        tokio::task::spawn_blocking(work).await.map_err(|_| Refusal::internal())
    }
}

impl From<UploadError> for Refusal {
    fn from(error: UploadError) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, error.code, error.to_string())
    }
}

/// Each holds a body of at most 1 MiB, and a few times that while it is checked.
const KIND: Kind = Kind {
    most: 64,
    each: 16,
    yours: "you, or others of your tenant, have as many uploads under way as they may; wait for one of them",
    full: "too much is being sent at once; try again",
};
/// Certificates, each with its key: some hundred octets.
const REMEMBERED: usize = 20_000;
