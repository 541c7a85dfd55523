//! What an agent shows to whomever it asks: the fields that prove its key for one request.

use kakunin_core::chain::ChainLink;
use kakunin_core::decision::DenialReason;
use kakunin_core::guard::NotProven;
use kakunin_core::possession::Target;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::agent::NativeAgent;
use crate::chain;
use crate::current::with_agent;

/// The fields of a proof for one request: names in lower case, and values. `link` is what the request says already that it
/// follows from; without it that is where the context is, if it is in a chain.
#[pyfunction]
#[pyo3(signature = (agent, method, authority, path, query, content, link))]
#[expect(clippy::too_many_arguments, reason = "the parts of a request, called from one place")]
pub(crate) fn prove(
    py: Python<'_>,
    agent: Option<Py<NativeAgent>>,
    method: &str,
    authority: &str,
    path: &str,
    query: Option<&str>,
    content: &[u8],
    link: Option<&str>,
) -> PyResult<Vec<(String, String)>> {
    let link = match link {
        Some(text) => {
            let read = ChainLink::parse_header(text);
            Some(read.map_err(|error| not_proven(py, &error.to_string(), "possession.malformed"))?)
        }
        None => chain::current(py)?.and_then(|place| place.get().link()),
    };
    let guard = with_agent(py, agent.as_ref(), |agent| agent.map(|agent| agent.guard().clone()));
    let missing = |reason: DenialReason| not_proven(py, reason.what(), reason.code());
    let guard = guard.map_err(missing)?;
    let target = Target { method, authority, path, query };
    // Signing takes longer than letting other threads go on, and a key elsewhere much longer.
    let proof = py.detach(|| guard.prove(&target, content, link.as_ref()));
    let proof = proof.map_err(|error| {
        let what = match &error {
            NotProven::Agent(refusal) => refusal.what().to_owned(),
            other => other.to_string(),
        };
        not_proven(py, &what, error.code())
    })?;
    let fields = proof.fields().map(|(name, value)| (name.to_owned(), value.to_owned()));
    let trace =
        link.as_ref().and_then(ChainLink::trace).map(|trace| (chain::TRACE.to_owned(), trace.to_string()));
    Ok(fields.chain(trace).collect())
}

/// `kakunin.NotProven`.
fn not_proven(py: Python<'_>, text: &str, code: &str) -> PyErr {
    static ERROR: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let made = ERROR.import(py, "kakunin.errors", "NotProven").and_then(|class| class.call1((text, code)));
    made.map_or_else(|error| error, PyErr::from_value)
}
