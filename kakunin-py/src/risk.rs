//! Behaviour risk: the same answer that `kakunin risk replay` prints.

use std::path::PathBuf;

use kakunin_core::certificate::TrustAnchors;
use kakunin_core::id::AgentId;
use kakunin_core::report::RiskInquiry;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use rustls_pki_types::CertificateDer;

use crate::verify::{Failure, blocks, cannot};

/// Verifies and replays what lies at `path`: the JSON that `kakunin risk replay --json` prints.
#[pyfunction]
#[pyo3(signature = (path, *, roots, baseline, policy, agent))]
pub(crate) fn risk_replay(
    py: Python<'_>,
    path: PathBuf,
    roots: Vec<(Option<String>, Vec<u8>)>,
    baseline: String,
    policy: String,
    agent: Option<&str>,
) -> PyResult<String> {
    let parse = |text: &str| {
        AgentId::parse(text).ok_or_else(|| PyValueError::new_err(format!("`{text}` is no id of an agent")))
    };
    let agent = agent.map(parse).transpose()?;
    let answer = py.detach(|| {
        let roots = blocks::<CertificateDer<'_>>(&roots, "CERTIFICATE")?;
        let anchors = TrustAnchors::new(roots.iter().map(Vec::as_slice));
        let anchors = anchors.map_err(|error| Failure::Cannot(error.to_string()))?;
        let asked = RiskInquiry { path, anchors, baseline, policy, agent };
        let behaviour = asked.ask(&mut ()).map_err(|error| Failure::Cannot(error.to_string()))?;
        Ok(behaviour.to_record().to_string())
    });
    match answer {
        Ok(record) => Ok(record),
        Err(Failure::Usage(text)) => Err(PyValueError::new_err(text)),
        Err(Failure::Cannot(text)) => Err(cannot(py, &text)),
    }
}
