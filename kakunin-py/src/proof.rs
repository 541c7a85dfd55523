//! What an agent shows to whomever it asks: the fields that prove its key for one request.

use kakunin_core::chain::ChainLink;
use kakunin_core::decision::DenialReason;
use kakunin_core::guard::{Guard, NotProven};
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
    let guard = acting(py, agent.as_ref())?;
    let target = Target { method, authority, path, query };
    // Signing takes longer than letting other threads go on, and a key elsewhere much longer.
    let proof = py.detach(|| guard.prove(&target, content, link.as_ref()));
    let proof = proof.map_err(|error| refused(py, &error))?;
    let fields = proof.fields().map(|(name, value)| (name.to_owned(), value.to_owned()));
    let trace =
        link.as_ref().and_then(ChainLink::trace).map(|trace| (chain::TRACE.to_owned(), trace.to_string()));
    Ok(fields.chain(trace).collect())
}

/// The value of the field `kakunin-names` for a request of `action` with these names; `None` if no detached list has a say in it.
#[pyfunction]
#[pyo3(signature = (agent, action, counterparties, resources))]
pub(crate) fn prove_names(
    py: Python<'_>,
    agent: Option<Py<NativeAgent>>,
    action: &str,
    counterparties: Vec<String>,
    resources: Vec<String>,
) -> PyResult<Option<String>> {
    let guard = acting(py, agent.as_ref())?;
    // The hashes of a long list are worked out once, which takes a second for a million names.
    let proven = py.detach(|| {
        let parties: Vec<&str> = counterparties.iter().map(String::as_str).collect();
        let things: Vec<&str> = resources.iter().map(String::as_str).collect();
        guard.prove_names(action, &parties, &things)
    });
    proven.map_err(|error| refused(py, &error))
}

fn acting(py: Python<'_>, agent: Option<&Py<NativeAgent>>) -> PyResult<Guard> {
    let guard = with_agent(py, agent, |agent| agent.map(|agent| agent.guard().clone()));
    guard.map_err(|reason: DenialReason| not_proven(py, reason.what(), reason.code()))
}

fn refused(py: Python<'_>, error: &NotProven) -> PyErr {
    let what = match error {
        NotProven::Agent(refusal) => refusal.what().to_owned(),
        other => other.to_string(),
    };
    not_proven(py, &what, error.code())
}

/// `kakunin.NotProven`.
fn not_proven(py: Python<'_>, text: &str, code: &str) -> PyErr {
    static ERROR: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let made = ERROR.import(py, "kakunin.errors", "NotProven").and_then(|class| class.call1((text, code)));
    made.map_or_else(|error| error, PyErr::from_value)
}
