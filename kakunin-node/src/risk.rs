//! Behaviour risk: the same answer that `kakunin risk replay` prints.

use kakunin_core::certificate::TrustAnchors;
use kakunin_core::id::AgentId;
use kakunin_core::report::RiskInquiry;
use napi::Result;
use napi_derive::napi;

use crate::agent::{certificates, said};

/// Verifies and replays what lies at `path`: the JSON that `kakunin risk replay --json` prints.
#[napi(catch_unwind)]
pub(crate) fn risk_replay(
    path: String,
    roots: String,
    baseline: String,
    policy: String,
    agent: Option<String>,
) -> Result<String> {
    let roots = certificates("roots", &roots)?;
    if roots.is_empty() {
        return Err(said("`roots` holds no PEM CERTIFICATE"));
    }
    let parse =
        |text: String| AgentId::parse(&text).ok_or_else(|| said(format!("`{text}` is no id of an agent")));
    let asked = RiskInquiry {
        path: path.into(),
        anchors: TrustAnchors::new(roots.iter().map(Vec::as_slice)).map_err(said)?,
        baseline,
        policy,
        agent: agent.map(parse).transpose()?,
    };
    Ok(asked.ask(&mut ()).map_err(said)?.to_record().to_string())
}
