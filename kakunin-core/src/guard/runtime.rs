//! What a guard holds while it decides: the journal and the ledger of this process.

use std::fs;
use std::sync::{Arc, Mutex, MutexGuard};

use super::ledger::{Fresh, Ledger, Reservation};
use super::open::{Inner, StateChoice, state_place};
use super::source::Source;
use super::state::{LockError, StateDir};
use crate::certificate::{AgentCertificate, AgentPath};
use crate::decision::{Denial, DenialReason};
use crate::genesis::Genesis;
use crate::home::{AgentHome, Papers};
use crate::journal::{Identity, Journal};
use crate::key::Signer;
use crate::leash::Charge;
use crate::snapshot::Refusal;
use crate::time::{UnixMillis, UnixTime};

/// The journal and the ledger of one process.
#[derive(Debug)]
pub(super) struct Runtime {
    pub(super) journal: Journal,
    ledger: Arc<Mutex<Ledger>>,
    pub(super) state: Option<StateDir>,
    process: u32,
}

impl Runtime {
    /// Opens both. `path` is the proven path, if there is one: only then an authority's genesis mark can be believed.
    pub(super) fn start(inner: &Inner, papers: &Papers, path: Option<&AgentPath>) -> Result<Self, Refusal> {
        let unusable = |error: &dyn std::fmt::Display| Refusal::new(DenialReason::JournalUnavailable, error);
        let signer = inner.signer().map_err(|error| unusable(&error))?;
        let process = std::process::id();
        // What was spent in memory outlives the stream: closing it is no way to have every window anew.
        let spent = Arc::clone(&inner.spent);
        let identity = identity(inner, papers, &signer)?;
        let wall = inner.clock.wall();
        let stamp = inner.times.stamp(wall, inner.clock.mono_nanos());
        #[cfg(feature = "null-journal")]
        if inner.null_journal {
            return Ok(Self { journal: Journal::null(), ledger: spent, state: None, process });
        }
        let Some(place) = state_place(&inner.state, &inner.source) else {
            let sealing = inner.journal.sealing.unwrap_or_default();
            let journal = Journal::memory_with(&identity, stamp, MEMORY_RECEIPTS, sealing)
                .map_err(|error| unusable(&error))?;
            return Ok(Self { journal, ledger: spent, state: None, process });
        };
        AgentHome::refuse_loose_state(&place).map_err(|error| unusable(&error))?;
        let state =
            StateDir::open(&place).map_err(|error| unusable(&format!("`{}`: {error}", place.display())))?;
        let fresh = match &inner.source {
            Source::Directory(home) => {
                path.and_then(|path| genesis(inner, &home.genesis()?, path, wall.to_seconds()))
            }
            Source::Memory(_) => None,
        };
        let consumed = fresh.is_some();
        let ledger = Ledger::open(&state, fresh, wall).map_err(|error| match error {
            LockError::Busy => Refusal::new(DenialReason::JournalLocked, error),
            LockError::Io(_) => unusable(&format!("`{}`: {error}", place.display())),
        })?;
        if let (true, Source::Directory(home)) = (consumed, &inner.source) {
            // The record in the state directory is what counts; the mark is tidied away where that is possible.
            let _ = fs::remove_file(home.genesis_path());
        }
        let journal = Journal::open_with(&place.join("journal"), identity, stamp, inner.journal.clone())
            .map_err(|error| unusable(&error))?;
        Ok(Self { journal, ledger: Arc::new(Mutex::new(ledger)), state: Some(state), process })
    }

    /// Goes on under another certificate of the agent, and under another key if it has one: after a revocation an agent
    /// comes back with a new key only.
    pub(super) fn renew(&self, inner: &Inner, papers: &Papers) -> Result<(), Refusal> {
        let signer = inner.signer();
        let signer = signer.map_err(|error| Refusal::new(DenialReason::CertificateMalformed, error))?;
        let identity = identity(inner, papers, &signer)?;
        let stamp = inner.times.stamp(inner.clock.wall(), inner.clock.mono_nanos());
        self.journal
            .rotate(&identity, stamp)
            .map_err(|error| Refusal::new(DenialReason::JournalUnavailable, error))
    }

    /// Reserves what an action takes from its budgets.
    pub(super) fn reserve<'a>(
        &self,
        charges: impl Iterator<Item = Charge<'a>>,
        at: UnixMillis,
        earliest: UnixMillis,
    ) -> Result<Reservation, Denial> {
        self.ledger()?.reserve(charges, at, earliest)
    }

    /// What was reserved is spent.
    pub(super) fn settle(&self, reservation: Reservation) {
        if let Ok(mut ledger) = self.ledger() {
            ledger.settle(reservation);
        }
    }

    /// What was reserved is room again.
    pub(super) fn release(&self, reservation: Reservation) {
        if let Ok(mut ledger) = self.ledger() {
            ledger.release(reservation);
        }
    }

    /// Whether this process opened it; a child of a fork finds its parent's.
    pub(super) fn is_of_this_process(&self) -> bool {
        std::process::id() == self.process
    }

    /// The ledger; after a panic while it was held, built again from its file before anyone uses it. A child of a fork
    /// shares file and lock with its parent and must write there as little as into the parent's stream.
    pub(super) fn ledger(&self) -> Result<MutexGuard<'_, Ledger>, DenialReason> {
        if !self.is_of_this_process() {
            return Err(DenialReason::AgentForked);
        }
        match self.ledger.lock() {
            Ok(ledger) => Ok(ledger),
            Err(poisoned) => {
                let mut ledger = poisoned.into_inner();
                ledger.rebuild().map_err(|_| DenialReason::BudgetUnknown)?;
                self.ledger.clear_poison();
                Ok(ledger)
            }
        }
    }
}

fn identity(inner: &Inner, papers: &Papers, signer: &Arc<Signer>) -> Result<Identity, Refusal> {
    let certificate = AgentCertificate::decode(&papers.agent)
        .map_err(|error| Refusal::new(DenialReason::CertificateMalformed, error))?;
    if certificate.agent() != inner.agent {
        return Err(Refusal::new(
            DenialReason::AgentMismatch,
            "the certificate names another agent than before",
        ));
    }
    if certificate.decoded().key() != signer.public() {
        let what = "the certificate and the key do not belong together";
        return Err(Refusal::new(DenialReason::CertificateMalformed, what));
    }
    Ok(Identity {
        agent: inner.agent,
        certificate: papers.agent.clone(),
        chain: papers.chain.clone(),
        signer: Arc::clone(signer),
    })
}

/// The authority's word that this agent never spent anything, if it stands there, is genuine and not too old.
fn genesis(inner: &Inner, text: &str, path: &AgentPath, now: UnixTime) -> Option<Fresh> {
    let mark = Genesis::verify(text, path.issuing().decoded().key())?;
    let certificate = path.agent().decoded();
    let right = mark.agent() == inner.agent && mark.certificate() == certificate.thumbprint();
    // A mark in a directory nobody can write stays there for ever, so it ends by itself.
    let fixed_place = matches!(inner.state, StateChoice::Path(_));
    let young = now <= certificate.validity().not_before.plus(GENESIS_SECONDS);
    (right && (young || !fixed_place)).then(|| Fresh { thumbprint: mark.certificate().to_hex() })
}

/// How many receipts an agent in memory keeps for whoever wants to read them.
const MEMORY_RECEIPTS: usize = 10_000;
/// WIRE: 24 h after notBefore.
const GENESIS_SECONDS: i64 = 86_400;
