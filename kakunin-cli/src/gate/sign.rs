//! The gate's own receipts: an ordinary decision and its outcome, in the journal of the gate's agent, and what those of
//! before say.
//!
//! The decision is recorded before anything follows from it, and the outcome says whether everything did: a promotion that
//! could not be written down ends as an error, and is none.

use std::path::Path;

use kakunin_core::certificate::{AgentCertificate, TrustAnchors};
use kakunin_core::digest::Digest;
use kakunin_core::gate::{Given, Promotions, Statement};
use kakunin_core::guard::{Guard, GuardOptions, Running};
use kakunin_core::home::AgentHome;
use kakunin_core::id::AgentId;
use kakunin_core::receipt::ReceiptHash;
use kakunin_core::report::Inquiry;
use kakunin_core::request::ActionRequest;
use kakunin_core::verify::Verdict;

use super::papers::certificates;

/// What became of the statement.
pub(crate) enum Signed {
    /// Nobody was named to sign.
    ByNobody,
    /// It is recorded, and the gate may say so.
    As(ReceiptHash),
    /// The gate's own leash forbids it, or it could not be recorded.
    Refused { what: String, receipt: Option<ReceiptHash> },
}

impl Signed {
    pub(crate) const fn receipt(&self) -> Option<&ReceiptHash> {
        match self {
            Self::As(receipt) => Some(receipt),
            Self::Refused { receipt, .. } => receipt.as_ref(),
            Self::ByNobody => None,
        }
    }
}

/// A statement that is recorded, and whose outcome is not.
pub(crate) struct Signing {
    guard: Option<Guard>,
    running: Option<Running>,
    pub(crate) signed: Signed,
}

impl Signing {
    /// Nobody was named to sign.
    pub(crate) const fn by_nobody() -> Self {
        Self { guard: None, running: None, signed: Signed::ByNobody }
    }

    /// Puts `statement` before the leash of the agent in `directory`, and records it there.
    pub(crate) fn begin(directory: &Path, lists: Option<&Path>, statement: &Statement) -> Self {
        let refused = |what: &dyn std::fmt::Display| Self {
            guard: None,
            running: None,
            signed: Signed::Refused { what: what.to_string(), receipt: None },
        };
        let home = match AgentHome::open(directory, lists) {
            Ok(home) => home,
            Err(error) => return refused(&error),
        };
        let guard = match Guard::open(home, GuardOptions::default()) {
            Ok(guard) => guard,
            Err(error) => return refused(&error),
        };
        let resources: Vec<&str> = statement.resources.iter().map(String::as_str).collect();
        let request =
            ActionRequest::new(statement.action).counterparty(&statement.counterparty).resources(&resources);
        let (running, signed) = match guard.admit(&request).and_then(|pass| pass.begin()) {
            Ok(running) => {
                // A guard that records nothing is for benches; here it would be a promotion without a trace.
                let nothing = || Signed::Refused { what: "nothing was recorded".to_owned(), receipt: None };
                let signed = running.receipt().map_or_else(nothing, Signed::As);
                (Some(running), signed)
            }
            Err(denied) => (None, Signed::Refused { what: denied.to_string(), receipt: denied.receipt() }),
        };
        Self { guard: Some(guard), running, signed }
    }

    /// Records whether everything that had to follow did.
    pub(crate) fn end(self, is_done: bool) {
        match (self.running, is_done) {
            (Some(running), true) => running.returned(),
            (Some(running), false) => running.raised(),
            (None, _) => {}
        }
        if let Some(guard) = self.guard {
            guard.close();
        }
    }
}

/// The scope of `agent` that the gate's agent in `directory` promoted last, as its journal says; none if it says nothing.
pub(crate) fn last_by(directory: &Path, agent: AgentId) -> Given<Option<Digest>> {
    let held = certificates(&directory.join("agent.pem"))?;
    let own = AgentCertificate::decode(held.first().map_or(&[][..], Vec::as_slice));
    let own = own.map_err(|error| format!("the gate's own certificate: {error}"))?;
    let root = certificates(&directory.join("ca.pem"))?;
    let anchors = TrustAnchors::new(root.iter().map(Vec::as_slice)).map_err(|error| error.to_string())?;
    let home = AgentHome::open(directory, None).map_err(|error| error.to_string())?;
    if !home.default_state().join("journal").is_dir() {
        return Ok(None);
    }
    let mut promotions = Promotions::of(own.agent(), agent);
    let account = Inquiry::by(anchors).of(directory, &[], &mut promotions);
    let report = account.map_err(|error| format!("the gate's own journal: {error}"))?.into_report();
    match report.verdict() {
        Verdict::Invalid(invalid) => Err(format!("the gate's own journal: {invalid}")),
        _ => Ok(promotions.last()),
    }
}
