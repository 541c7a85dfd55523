//! The crew: checks signatures and paths into logs on all cores while the next receipts are read.
//!
//! Jobs go out in batches and only failures come back. The first failure in the order of the receipts counts, whichever
//! thread finds it, so that two runs say the same. A thread that ends early is noticed by the count of what was done.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, Scope, ScopedJoinHandle};

use super::papers::Signatory;
use super::report::{Invalid, Place};
use super::source::log_entry;
use crate::digest::Digest;
use crate::journal::Proof;
use crate::receipt::UnverifiedReceipt;
use crate::tree::{InclusionProof, KnownNodes, leaf_hash};

/// A receipt whose proofs are to be checked.
pub(super) struct Job {
    /// The place of the receipt among all receipts.
    pub(super) order: u64,
    /// Its number in its stream.
    pub(super) index: u64,
    pub(super) receipt: UnverifiedReceipt,
    pub(super) proof: Proof,
    pub(super) signatory: Arc<Signatory>,
    /// Paths to be checked, with the root that each has to lead to.
    pub(super) paths: Vec<(InclusionProof, Digest)>,
}

impl Job {
    fn check(self, known: &mut Known) -> Result<(), Invalid> {
        let place = Place::Receipt { stream: self.receipt.statement().stream, index: self.index };
        self.judge(known).map_err(|code| Invalid { code, place })
    }

    fn judge(self, known: &mut Known) -> Result<(), &'static str> {
        if !self.paths.is_empty() {
            let entry = log_entry(&self.receipt, &self.proof).ok_or("log.inclusion")?;
            let leaf = leaf_hash(entry.as_bytes());
            let mut leads = |(path, root): &(InclusionProof, Digest)| {
                path.leads_to(leaf, root, known.entry((*root, path.size)).or_default())
            };
            if !self.paths.iter().all(&mut leads) {
                return Err("log.inclusion");
            }
        }
        let (x5t, key) = (*self.receipt.certificate(), self.signatory.key());
        if let Proof::Signed(signature) = &self.proof {
            self.receipt.verify(&x5t, key, signature).map_err(|_| "receipt.signature")?;
        }
        Ok(())
    }
}

/// What a thread knows of the trees that paths lead to.
type Known = HashMap<(Digest, u64), KnownNodes>;

/// The threads, as the reader sees them.
pub(super) struct Crew<'scope> {
    threads: Vec<ScopedJoinHandle<'scope, ()>>,
    out: SyncSender<Vec<Job>>,
    batch: Vec<Job>,
    handed: u64,
    findings: Arc<Findings>,
}

#[derive(Default)]
struct Findings {
    done: AtomicU64,
    /// The first failure, and its place among all receipts.
    first: Mutex<Option<(u64, Invalid)>>,
}

impl<'scope> Crew<'scope> {
    /// Starts as many threads as there are cores.
    pub(super) fn start(scope: &'scope Scope<'scope, '_>) -> io::Result<Self> {
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        let (out, jobs) = sync_channel(count * BATCHES_WAITING);
        let (jobs, findings) = (Arc::new(Mutex::new(jobs)), Arc::new(Findings::default()));
        let mut threads = Vec::with_capacity(count);
        for _ in 0..count {
            let (jobs, findings) = (Arc::clone(&jobs), Arc::clone(&findings));
            threads.push(Builder::new().spawn_scoped(scope, move || work(&jobs, &findings))?);
        }
        Ok(Self { threads, out, batch: Vec::with_capacity(BATCH), handed: 0, findings })
    }

    /// Hands out a job.
    pub(super) fn hand(&mut self, job: Job) {
        self.batch.push(job);
        if self.batch.len() >= BATCH {
            self.send();
        }
    }

    fn send(&mut self) {
        let batch = std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH));
        self.handed += batch.len() as u64;
        // If nobody takes it any more, the count at the end does not agree.
        let _ = self.out.send(batch);
    }

    /// Waits for everybody; gives the first failure and its place among all receipts.
    ///
    /// # Errors
    /// Not every job was done.
    pub(super) fn finish(mut self) -> io::Result<Option<(u64, Invalid)>> {
        self.send();
        let Self { threads, out, handed, findings, .. } = self;
        drop(out);
        let ended = threads.into_iter().all(|thread| thread.join().is_ok());
        if !ended || findings.done.load(Ordering::Relaxed) != handed {
            return Err(io::Error::other("a thread that checks signatures ended early"));
        }
        let mut first = findings.first.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(first.take())
    }
}

fn work(jobs: &Mutex<Receiver<Vec<Job>>>, findings: &Findings) {
    let mut known = Known::new();
    loop {
        let batch = jobs.lock().map(|jobs| jobs.recv());
        let Ok(Ok(batch)) = batch else { return };
        for job in batch {
            let order = job.order;
            if let Err(invalid) = job.check(&mut known) {
                let mut first = findings.first.lock().unwrap_or_else(PoisonError::into_inner);
                if first.as_ref().is_none_or(|(known, _)| order < *known) {
                    *first = Some((order, invalid));
                }
            }
            findings.done.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Receipts in one hand-over: 64 signatures take some 3 ms, a hand-over some microseconds.
const BATCH: usize = 64;
/// Hand-overs that wait for each thread, so that reading never stands still and memory does not grow.
const BATCHES_WAITING: usize = 4;
