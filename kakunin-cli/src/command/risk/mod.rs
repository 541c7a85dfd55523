//! Behaviour risk: `kakunin risk ...`.

mod baseline;
mod rebaseline;
mod receipts;
mod replay;
mod show;

use std::path::PathBuf;

use clap::Subcommand;
use kakunin_core::certificate::TrustAnchors;
use kakunin_core::id::AgentId;
use kakunin_core::report::{HistoryError, RiskInquiryError};

use super::verify_certificate::certificates;
use crate::answer::{Answer, Failure};
use crate::context::Common;

/// Judge an agent's behaviour by its signed receipts, offline; show it as its authority sees it
#[derive(Subcommand)]
pub(crate) enum Risk {
    Replay(replay::Replay),
    Baseline(baseline::Learn),
    Receipts(receipts::Receipts),
    Show(show::Show),
    Rebaseline(rebaseline::Rebaseline),
}

impl Risk {
    pub(crate) fn run(&self, common: &Common) -> Result<Answer, Failure> {
        match self {
            Self::Replay(command) => command.run(common),
            Self::Baseline(command) => command.run(common),
            Self::Receipts(command) => command.run(common),
            Self::Show(command) => command.run(common),
            Self::Rebaseline(command) => command.run(common),
        }
    }
}

/// The roots that were named, else the home's own.
fn anchors(named: &[PathBuf], common: &Common) -> Result<TrustAnchors, Failure> {
    let own = common.home().public().join("ca.pem");
    let files = match named {
        [] if own.is_file() => std::slice::from_ref(&own),
        [] => {
            return Err(Failure::usage(
                "no root to believe: give --root FILE, or --home DIR of the authority",
            ));
        }
        named => named,
    };
    let mut roots = Vec::new();
    for file in files {
        roots.extend(certificates(file)?);
    }
    TrustAnchors::new(roots.iter().map(Vec::as_slice)).map_err(Failure::cannot)
}

fn agent(text: &str) -> Result<AgentId, String> {
    AgentId::parse(text).ok_or_else(|| "an agent's id has the form 8-4-4-4-12 hexadecimal digits".to_owned())
}

fn history(error: HistoryError) -> Failure {
    match error {
        HistoryError::Agents { .. } => Failure::usage(error),
        HistoryError::Inquiry(error) => error.into(),
        error => Failure::cannot(error),
    }
}

fn inquiry(error: RiskInquiryError) -> Failure {
    match error {
        RiskInquiryError::History(error) => history(error),
        error => Failure::cannot(error),
    }
}
