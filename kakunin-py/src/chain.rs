//! Which decision chain a call belongs to: what the context variable of chains holds.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use kakunin_core::chain::{CallContext, ChainLink, TraceParent};
use kakunin_core::digest::Digest;
use kakunin_core::id::ChainId;
use kakunin_core::receipt::ReceiptHash;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::agent::{NativeAgent, error};
use crate::current::imported_twice;

/// A place in a chain: the receipts that whatever is called here follows from.
#[pyclass(frozen, module = "kakunin._native")]
pub(crate) struct Place {
    chain: ChainId,
    parents: Vec<ReceiptHash>,
    trace: Option<TraceParent>,
}

impl Place {
    /// What the guard writes into a receipt here.
    pub(crate) fn context(&self) -> CallContext<'_> {
        let trace = self.trace.as_ref().map(TraceParent::as_str);
        CallContext { chain: Some(self.chain), parents: &self.parents, trace }
    }

    /// The beginning of a chain.
    pub(crate) const fn beginning(chain: [u8; 16]) -> Self {
        Self { chain: ChainId::from_bytes(chain), parents: Vec::new(), trace: None }
    }

    /// The same place within a trace.
    pub(crate) fn traced(self, trace: Option<TraceParent>) -> Self {
        Self { trace, ..self }
    }

    /// The chain's id.
    pub(crate) fn id(&self) -> String {
        self.chain.to_string()
    }

    fn after(&self, receipt: ReceiptHash) -> Self {
        Self { chain: self.chain, parents: vec![receipt], trace: self.trace.clone() }
    }

    /// What is handed on from here; nothing where no receipt was written yet, or where several come together.
    pub(crate) fn link(&self) -> Option<ChainLink> {
        let [from] = self.parents.as_slice() else { return None };
        let link = ChainLink::new(self.chain, *from);
        Some(match &self.trace {
            Some(trace) => link.with_trace(trace.clone()),
            None => link,
        })
    }
}

impl From<ChainLink> for Place {
    fn from(link: ChainLink) -> Self {
        Self { chain: link.chain(), parents: vec![link.from()], trace: link.trace().cloned() }
    }
}

#[pymethods]
impl Place {
    /// The beginning of a chain with this id of 16 bytes.
    #[new]
    #[pyo3(signature = (chain, traceparent=None))]
    fn new(chain: [u8; 16], traceparent: Option<&str>) -> PyResult<Self> {
        let no_trace = || PyValueError::new_err("traceparent is not of the form of W3C Trace Context");
        let trace = traceparent.map(|text| TraceParent::parse(text).ok_or_else(no_trace)).transpose()?;
        Ok(Self::beginning(chain).traced(trace))
    }

    /// Where a caller's headers say that the call comes from; a `ValueError` if they say nothing of use.
    #[staticmethod]
    #[pyo3(signature = (header, traceparent=None))]
    fn of_headers(header: &str, traceparent: Option<&str>) -> PyResult<Self> {
        let find = |name: &str| if name == TRACE { traceparent } else { Some(header) };
        let link = ChainLink::from_headers(find).map_err(|error| PyValueError::new_err(error.to_string()))?;
        link.map(Self::from).ok_or_else(|| PyValueError::new_err("no link"))
    }

    /// The same for the `_meta` of an MCP request, as JSON.
    #[staticmethod]
    fn of_meta(json: &str) -> PyResult<Self> {
        let link = ChainLink::from_meta(json).map_err(|error| PyValueError::new_err(error.to_string()))?;
        link.map(Self::from).ok_or_else(|| PyValueError::new_err("no link"))
    }

    /// The chain's id.
    #[getter]
    fn chain(&self) -> String {
        self.id()
    }

    /// The receipts that whatever is called here follows from.
    #[getter]
    fn parents(&self) -> Vec<String> {
        self.parents.iter().map(ToString::to_string).collect()
    }

    /// The headers of a request from here; none where nothing was recorded yet.
    fn headers(&self) -> Vec<(&'static str, String)> {
        self.link().iter().flat_map(ChainLink::to_headers).collect()
    }

    /// The members of an MCP request's `_meta`, as JSON.
    fn meta(&self) -> Option<String> {
        self.link().map(|link| link.to_meta())
    }

    /// Records that receipts come together here, and gives the place after it.
    fn join(&self, py: Python<'_>, agent: &Bound<'_, NativeAgent>, receipts: Vec<String>) -> PyResult<Self> {
        let read = |text: &String| Digest::from_hex(text).map(ReceiptHash::from_digest);
        let receipts: Option<Vec<ReceiptHash>> = receipts.iter().map(read).collect();
        let no_name = || PyValueError::new_err("a receipt is named by 64 lower-case hexadecimal digits");
        // What comes next still follows from where the context is.
        let receipts = [self.parents.as_slice(), &receipts.ok_or_else(no_name)?].concat();
        let guard = agent.get().guard().clone();
        match py.detach(|| guard.join(self.chain, &receipts)) {
            Ok(joined) => Ok(self.after(joined)),
            Err(reason) => {
                Err(error(py, &format!("the join cannot be recorded: {} [{}]", reason.what(), reason.code())))
            }
        }
    }
}

/// The place of a running body in its context: left when the body ends, and by generators between their steps.
pub(crate) struct Stay {
    place: Py<Place>,
    token: Mutex<Option<Py<PyAny>>>,
}

impl Stay {
    /// The body of the decision `receipt` is where the context is from here on.
    pub(crate) fn begin(py: Python<'_>, outer: &Place, receipt: ReceiptHash) -> PyResult<Self> {
        let place = Py::new(py, outer.after(receipt))?;
        let token = Mutex::new(Some(set(py, &place)?));
        Ok(Self { place, token })
    }

    pub(crate) fn enter(&self, py: Python<'_>) -> PyResult<()> {
        let token = set(py, &self.place)?;
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(token);
        Ok(())
    }

    pub(crate) fn leave(&self, py: Python<'_>) {
        let token = self.token.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let (Some(token), Some(variable)) = (token, VARIABLE.get(py)) {
            // Whoever ends a body in another context than it began in leaves nothing behind in that other one.
            let _ = variable.reset.bind(py).call1((token,));
        }
    }
}

/// The methods of the context variable.
struct Variable {
    get: Py<PyAny>,
    set: Py<PyAny>,
    reset: Py<PyAny>,
}

static VARIABLE: PyOnceLock<Variable> = PyOnceLock::new();
/// Until a chain was begun or picked up once, no context can hold one, and none is asked for.
static BEGUN: AtomicBool = AtomicBool::new(false);

/// The place of this call, if it has one.
#[inline]
pub(crate) fn current(py: Python<'_>) -> PyResult<Option<Py<Place>>> {
    if BEGUN.load(Ordering::Relaxed) { of_context(py) } else { Ok(None) }
}

fn of_context(py: Python<'_>) -> PyResult<Option<Py<Place>>> {
    let Some(variable) = VARIABLE.get(py) else { return Ok(None) };
    let value = variable.get.bind(py).call0()?;
    if value.is_none() { Ok(None) } else { Ok(Some(value.cast_into::<Place>()?.unbind())) }
}

fn set(py: Python<'_>, place: &Py<Place>) -> PyResult<Py<PyAny>> {
    let variable = VARIABLE.get(py).ok_or_else(|| PyRuntimeError::new_err("no context variable is set"))?;
    Ok(variable.set.bind(py).call1((place,))?.unbind())
}

/// Names the context variable, once.
#[pyfunction]
pub(crate) fn set_chain_context(variable: &Bound<'_, PyAny>) -> PyResult<()> {
    let method = |name| Ok::<_, PyErr>(variable.getattr(name)?.unbind());
    let methods = Variable { get: method("get")?, set: method("set")?, reset: method("reset")? };
    VARIABLE.set(variable.py(), methods).map_err(|_| imported_twice())
}

/// Says that the context variable is used from here on.
#[pyfunction]
pub(crate) fn chain_begun() {
    BEGUN.store(true, Ordering::Relaxed);
}

pub(crate) const TRACE: &str = kakunin_core::chain::TRACE_HEADER;
