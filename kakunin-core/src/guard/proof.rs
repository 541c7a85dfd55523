//! What an agent shows to whomever it asks: a proof of possession for one request, by the guard's present papers.
//!
//! It is made like a decision, from the view there is now and by the guard's clocks, so an agent that may do nothing proves
//! nothing. The key is read once for each certificate, and let go of when the guard is closed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use ring::rand::{SecureRandom, SystemRandom};

use super::keeper::PATIENCE;
use super::open::{Guard, Inner, View};
use crate::certificate::AgentPath;
use crate::chain::ChainLink;
use crate::decision::DenialReason;
use crate::digest::Digest;
use crate::possession::{Proof, ProveError, Prover, Target};
use crate::scope::{ProvenNamesError, prove_names};
use crate::snapshot::{Refusal, Snapshot};

/// The prover of the certificate that it was made for.
#[derive(Debug)]
pub(super) struct Proving {
    certificates: [Digest; 2],
    prover: Prover,
}

impl Guard {
    /// Proves, for one request that is about to be sent, that this agent sends it: the fields go with the request, and with a
    /// `link`, [`Running::link`](super::Running::link) of the call that sends it, they say what it follows from.
    ///
    /// It signs with the agent's key, so a key in a KMS takes its time here; nonce and time are the guard's. A guard that was
    /// closed opens a new stream, as for a decision.
    ///
    /// # Errors
    /// [`NotProven::Agent`] when the agent may do nothing: it is held, revoked, its certificate or list has ended, its state
    /// cannot be opened, or it lives in memory and this is the child of a fork. The others are about the request and the key.
    pub fn prove(
        &self,
        target: &Target<'_>,
        content: &[u8],
        link: Option<&ChainLink>,
    ) -> Result<Proof, NotProven> {
        let proof = catch_unwind(AssertUnwindSafe(|| match self.0.prove(target, content, link) {
            // The key changed with the papers, and the view is still the one of before.
            Err(NotProven::Prove(ProveError::OtherKey)) => {
                self.0.refresh();
                self.0.prove(target, content, link)
            }
            proof => proof,
        }));
        proof.unwrap_or_else(|_| Err(refused(DenialReason::Internal, "the proof failed")))
    }
}

impl Guard {
    /// What a service needs to know of the detached lists of the agent's certificate to decide about a request of `action` with
    /// these names: the value of the field [`NAMES_FIELD`](crate::scope::NAMES_FIELD), which goes with the request; `None` if no
    /// such list has a say in it. Nobody signs it: each proof leads to a root in the certificate.
    ///
    /// Of each list the hashes are worked out once, 64 octets for a name; a million names take a second then.
    ///
    /// # Errors
    /// [`NotProven::Names`] when a list is not here or the proofs are too many, [`NotProven::Agent`] when the agent has no papers.
    pub fn prove_names(
        &self,
        action: &str,
        counterparties: &[&str],
        resources: &[&str],
    ) -> Result<Option<String>, NotProven> {
        let made = catch_unwind(AssertUnwindSafe(|| {
            let known = || self.0.turn(PATIENCE).and_then(|look| look.names());
            let known = known().or_else(|| {
                self.0.refresh();
                known()
            });
            // Outside of the turn: nobody waits for hashes.
            let (path, lists) = known.ok_or_else(|| match &self.0.current.load().view {
                View::Refused(refusal) => NotProven::Agent((**refusal).clone()),
                View::Ready(_) => refused(DenialReason::Internal, "another look at the papers does not end"),
            })?;
            Ok(prove_names(path.agent().scope(), &lists, action, counterparties, resources)?)
        }));
        made.unwrap_or_else(|_| Err(refused(DenialReason::Internal, "the proof failed")))
    }
}

impl Inner {
    fn prove(
        self: &Arc<Self>,
        target: &Target<'_>,
        content: &[u8],
        link: Option<&ChainLink>,
    ) -> Result<Proof, NotProven> {
        let (mut wall, mut mono) = (self.clock.wall(), self.clock.mono_nanos() / 1_000_000);
        if self.current.load().runtime.is_none() || !self.times.is_current(wall, mono) {
            if !self.prepare() {
                return Err(refused(DenialReason::Internal, "another look at clocks and lists does not end"));
            }
            (wall, mono) = (self.clock.wall(), self.clock.mono_nanos() / 1_000_000);
        }
        let current = self.current.load();
        let snapshot = match (&current.view, &current.runtime) {
            (View::Refused(refusal), _) => return Err(NotProven::Agent((**refusal).clone())),
            (View::Ready(_), None) => {
                return Err(refused(DenialReason::JournalUnavailable, "there is no journal"));
            }
            // A copy of the parent's view knows nothing of what came after the fork.
            (View::Ready(_), Some(runtime)) if !runtime.is_of_this_process() => {
                return Err(refused(DenialReason::AgentForked, DenialReason::AgentForked.what()));
            }
            (View::Ready(snapshot), Some(_)) => snapshot,
        };
        let now = self.times.now(wall, mono);
        if let Some(reason) = snapshot.denial(now) {
            return Err(refused(reason, reason.what()));
        }
        let proving = self.proving(snapshot)?;
        let mut nonce = [0; 16];
        SystemRandom::new().fill(&mut nonce).map_err(|_| NotProven::NoRandomness)?;
        Ok(proving.prover.prove(target, content, link, now.to_seconds(), nonce)?)
    }

    fn proving(&self, snapshot: &Snapshot) -> Result<Arc<Proving>, NotProven> {
        let path: &AgentPath = snapshot.agent().path();
        let (agent, issuing) = (path.agent().decoded(), path.issuing().decoded());
        let certificates = [agent.thumbprint(), issuing.thumbprint()];
        let held = self.proving.load_full();
        if let Some(proving) = held.filter(|proving| proving.certificates == certificates) {
            return Ok(proving);
        }
        let signer =
            self.signer().map_err(|error| refused(DenialReason::CertificateMalformed, &error.to_string()))?;
        let prover = Prover::new(signer, agent.der(), &[issuing.der()])?;
        let proving = Arc::new(Proving { certificates, prover });
        self.proving.store(Some(Arc::clone(&proving)));
        Ok(proving)
    }
}

fn refused(reason: DenialReason, what: &str) -> NotProven {
    NotProven::Agent(Refusal::new(reason, what))
}

/// A request that goes without a proof, and therefore should not go.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotProven {
    /// The agent may do nothing at present.
    #[error(transparent)]
    Agent(Refusal),
    /// No proof can be made for this request, or by this key.
    #[error(transparent)]
    Prove(#[from] ProveError),
    /// The names of a request cannot be proven to be in the lists of the certificate.
    #[error(transparent)]
    Names(#[from] ProvenNamesError),
    /// Without chance there is no nonce.
    #[error("the system gives no randomness")]
    NoRandomness,
}

impl NotProven {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Agent(refusal) => refusal.reason().code(),
            Self::Prove(error) => error.code(),
            Self::Names(_) => DenialReason::ScopeNamesMissing.code(),
            Self::NoRandomness => DenialReason::Internal.code(),
        }
    }
}
