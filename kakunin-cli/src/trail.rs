//! The receipts of a dry run: what was asked and answered, signed by the agent, stamped as a question.

use std::path::Path;
use std::sync::Arc;

use kakunin_core::certificate::AgentCertificate;
use kakunin_core::decision::Decision;
use kakunin_core::guard::SystemClock;
use kakunin_core::home::{AgentHome, Papers};
use kakunin_core::id::ChainId;
use kakunin_core::journal::{DecisionEntry, Identity, Journal};
use kakunin_core::key::Signer;
use kakunin_core::receipt::{Mode, ReceiptHash};
use kakunin_core::request::ActionRequest;
use kakunin_core::snapshot::Snapshot;
use kakunin_core::time::UnixMillis;

use crate::answer::Failure;

/// A journal that a dry run writes to.
pub(crate) struct Trail {
    journal: Journal,
    chain: Option<ChainId>,
}

impl Trail {
    /// Opens a stream in the journal folder `dir`, signed by the agent's key.
    pub(crate) fn open(
        dir: &Path,
        chain: Option<ChainId>,
        home: &AgentHome,
        papers: &Papers,
        at: UnixMillis,
    ) -> Result<Self, Failure> {
        let agent = AgentCertificate::decode(&papers.agent).map_err(Failure::cannot)?.agent();
        let signer = Arc::new(Signer::soft(home.key().map_err(Failure::cannot)?));
        let identity =
            Identity { agent, certificate: papers.agent.clone(), chain: papers.chain.clone(), signer };
        let journal = Journal::open(dir, identity, SystemClock.stamp(at)).map_err(Failure::cannot)?;
        Ok(Self { journal, chain })
    }

    /// Records an answer; the lists it was made by are kept beside it.
    pub(crate) fn record(
        &self,
        decision: &Decision,
        request: &ActionRequest<'_>,
        snapshot: Option<&Snapshot>,
        at: UnixMillis,
    ) -> Result<ReceiptHash, Failure> {
        if let Some(lists) = snapshot.map(|snapshot| snapshot.agent().lists()) {
            for list in [lists.issuing(), lists.root()] {
                self.journal.archive_list(list.der(), &list.digest()).map_err(Failure::cannot)?;
            }
        }
        let entry = DecisionEntry {
            caller: None,
            decision,
            request,
            list: snapshot.map(|snapshot| *snapshot.list()),
            mode: Mode::Check,
            chain: self.chain,
            parents: &[],
            trace: None,
            stamp: SystemClock.stamp(at),
        };
        let recorded = self.journal.decision(&entry);
        recorded.map(|recorded| recorded.hash()).map_err(|reason| Failure::cannot(reason.what()))
    }

    /// Ends the stream.
    pub(crate) fn close(&self, at: UnixMillis) -> Result<(), Failure> {
        self.journal.close(SystemClock.stamp(at)).map_err(Failure::cannot)
    }
}
