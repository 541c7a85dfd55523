//! The gate's own receipt: an ordinary decision and its outcome, in the journal of the gate's agent.

use std::path::Path;

use kakunin_core::gate::Statement;
use kakunin_core::guard::{Guard, GuardOptions};
use kakunin_core::home::AgentHome;
use kakunin_core::receipt::ReceiptHash;
use kakunin_core::request::ActionRequest;

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

/// Puts `statement` before the leash of the agent in `directory`, and records it there.
pub(crate) fn sign(directory: &Path, lists: Option<&Path>, statement: &Statement) -> Signed {
    let refused = |what: &dyn std::fmt::Display| Signed::Refused { what: what.to_string(), receipt: None };
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
    let running = guard.admit(&request).and_then(|pass| pass.begin());
    let signed = match running {
        Ok(running) => {
            let receipt = running.receipt();
            running.returned();
            // A guard that records nothing is for benches; here it would be a promotion without a trace.
            receipt.map_or_else(|| refused(&"nothing was recorded"), Signed::As)
        }
        Err(denied) => Signed::Refused { what: denied.to_string(), receipt: denied.receipt() },
    };
    guard.close();
    signed
}
