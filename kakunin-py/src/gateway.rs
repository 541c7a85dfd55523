//! The receiving side: a request comes in as it was sent; a caller that may act goes out, or the answer that says no.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use kakunin_core::chain::CallContext;
use kakunin_core::digest::Digest;
use kakunin_core::revocation::Standing;
use kakunin_core::time::UnixTime;
use kakunin_gateway::json::Said;
use kakunin_gateway::{
    Caller, FolderNonces, Gateway, GatewayOptions, Head, KEPT_SECONDS, Network, NonceError, NonceStore,
    OpenError, Peer, ProofOfPossession, ProvenHead, ProxyField, Refused,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyBool;

use crate::agent::{self, NativeAgent};
use crate::chain::{self, Place, Stay};
#[cfg(feature = "connect")]
use crate::connect;
use crate::plan::Plan;
use crate::running::Running;

/// What the fields of a request say of its content: `json`, `other` or `doubtful`.
#[pyfunction]
pub(crate) fn json_said(fields: Vec<(PyBackedBytes, PyBackedBytes)>) -> &'static str {
    // A name that is no text is none of those that say something.
    let named = fields.iter().map(|(name, value)| (std::str::from_utf8(name).unwrap_or_default(), &**value));
    Said::of(named).word()
}

/// The native half of `kakunin.gateway.Gateway`.
#[pyclass(frozen, subclass, module = "kakunin._native")]
pub(crate) struct NativeGateway {
    gateway: Gateway,
}

#[pymethods]
impl NativeGateway {
    #[new]
    #[pyo3(signature = (agent, *, names, max_body, name_lists, tls, proxies, proxy_field, serials, nonces, folder))]
    #[expect(clippy::too_many_arguments, reason = "the options of a gateway, called from one place")]
    fn new(
        py: Python<'_>,
        agent: &NativeAgent,
        names: Vec<String>,
        max_body: usize,
        name_lists: Option<PathBuf>,
        tls: bool,
        proxies: Vec<String>,
        proxy_field: Option<&str>,
        serials: Option<PathBuf>,
        nonces: Option<Py<PyAny>>,
        folder: Option<PathBuf>,
    ) -> PyResult<Self> {
        let proxies: Result<Vec<Network>, _> = proxies.iter().map(|network| network.parse()).collect();
        let proxies = proxies.map_err(|error| PyValueError::new_err(error.to_string()))?;
        let named = GatewayOptions::named(names);
        let proxy_field: Option<ProxyField> = proxy_field
            .map(str::parse)
            .transpose()
            .map_err(|error: OpenError| PyValueError::new_err(error.to_string()))?;
        let nonces = match (nonces, folder) {
            (Some(remember), _) => Some(Arc::new(Remembering(remember)) as Arc<dyn NonceStore>),
            (None, Some(folder)) => {
                let shared = FolderNonces::open(&folder).map_err(|error| {
                    agent::error(py, &format!("the folder of used proofs `{}`: {error}", folder.display()))
                })?;
                Some(Arc::new(shared) as Arc<dyn NonceStore>)
            }
            (None, None) => None,
        };
        let options = GatewayOptions {
            max_body,
            tls,
            proxies,
            proxy_field,
            lists: name_lists,
            serials,
            nonces,
            ..named
        };
        let gateway = Gateway::open(agent.guard().clone(), options);
        Ok(Self { gateway: gateway.map_err(|error| agent::error(py, &error.to_string()))? })
    }

    /// The largest body that is read, in octets.
    #[getter]
    fn max_body(&self) -> usize {
        self.gateway.max_body()
    }

    /// Whether `address` is that of a proxy that was named. What is no address is nobody's.
    fn is_named(&self, address: &str) -> bool {
        let address = address.parse::<IpAddr>();
        address.is_ok_and(|address| matches!(self.gateway.peer_at(address), Peer::Proxy))
    }

    /// How many requests came to what: identified, unproven, unavailable.
    fn counts(&self) -> (u64, u64, u64) {
        let counts = self.gateway.counts();
        (counts.identified, counts.unproven, counts.unavailable)
    }

    /// Who sends a request, by its head alone, or raises `Refused`; its body is to be read only then. `tls` are the certificates of
    /// the other end of its connection, and `proxy` says that this is a proxy that was named.
    #[pyo3(signature = (method, authority, path, query, fields, *, tls, proxy))]
    #[expect(clippy::too_many_arguments, reason = "the parts of a head, called from one place")]
    fn prove_head(
        &self,
        py: Python<'_>,
        method: &str,
        authority: Option<&str>,
        path: &str,
        query: Option<&str>,
        fields: Vec<(PyBackedBytes, PyBackedBytes)>,
        tls: Vec<PyBackedBytes>,
        proxy: bool,
    ) -> PyResult<NativeHead> {
        #[cfg(feature = "connect")]
        connect::tell_what_waits(py)?;
        let mut named = Vec::with_capacity(fields.len());
        for (name, value) in &fields {
            let Ok(name) = std::str::from_utf8(name) else {
                return Err(refused(py, &Refused::malformed("the name of a field is no text".to_owned())));
            };
            named.push((name, &**value));
        }
        let shown: Vec<&[u8]> = tls.iter().map(|der| &**der).collect();
        let peer = match (proxy, shown.as_slice()) {
            (true, _) => Peer::Proxy,
            (false, []) => Peer::None,
            (false, chain) => Peer::Tls { chain },
        };
        let head = Head { method, authority, path, query, fields: &named, peer };
        // Checking a signature takes longer than letting other threads go on.
        let proven = py.detach(|| self.gateway.prove_head(&head));
        let proven = proven.map_err(|answer| refused(py, &answer))?;
        let is_good = proven.standing() == Standing::Good;
        Ok(NativeHead { is_good, proven: Mutex::new(Some(proven)) })
    }

    /// The answer to a request that can be read in more than one way, or not at all.
    fn malformed<'py>(&self, py: Python<'py>, detail: String) -> Bound<'py, PyAny> {
        refused(py, &Refused::malformed(detail)).into_value(py).into_bound(py).into_any()
    }

    /// The answer to a body over the limit.
    fn too_large<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        refused(py, &Refused::too_large(self.gateway.max_body())).into_value(py).into_bound(py).into_any()
    }

    /// The answer where the service is not set up to decide.
    fn misconfigured<'py>(&self, py: Python<'py>, detail: String) -> Bound<'py, PyAny> {
        refused(py, &Refused::misconfigured(detail)).into_value(py).into_bound(py).into_any()
    }

    /// The answer where this package failed.
    fn failed<'py>(&self, py: Python<'py>, cause: String) -> Bound<'py, PyAny> {
        refused(py, &Refused::internal(cause)).into_value(py).into_bound(py).into_any()
    }
}

/// A request whose head was proven, and whose body has yet to come.
#[pyclass(frozen, module = "kakunin._native")]
pub(crate) struct NativeHead {
    /// Whether its agent is neither held nor revoked: then its body is worth reading.
    #[pyo3(get)]
    is_good: bool,
    /// Until its body came: a head counts for one.
    proven: Mutex<Option<ProvenHead>>,
}

#[pymethods]
impl NativeHead {
    /// Raises `Refused` for an agent that is held or revoked, whatever it asks of `action`, and records that.
    fn refuse_unless_good(&self, py: Python<'_>, action: &str) -> PyResult<()> {
        let answer = py.detach(|| match &*self.proven.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(proven) => proven.refuse_unless_good(action),
            None => Err(Refused::internal(USED)),
        });
        answer.map_err(|answer| refused(py, &answer))
    }

    /// Who sent the request, which has the whole `body`, or raises `Refused`. `chain` is the id of the chain that begins here if the
    /// caller is in none.
    fn identify(&self, py: Python<'_>, body: &[u8], chain: [u8; 16]) -> PyResult<NativeCaller> {
        // Checking a digest and asking a store take longer than letting other threads go on.
        let caller = py.detach(|| {
            let proven = self.proven.lock().unwrap_or_else(PoisonError::into_inner).take();
            proven.ok_or_else(|| Refused::internal(USED))?.identify(body)
        });
        let caller = caller.map_err(|answer| refused(py, &answer))?;
        let place = match caller.link() {
            Some(link) => Place::from(link.clone()),
            None => Place::beginning(chain),
        };
        let place = place.traced(caller.trace().cloned());
        Ok(NativeCaller { caller, place })
    }
}

const USED: &str = "the head of a request was asked about twice";

/// Who sent one request. Known is not let in: `check` says so.
#[pyclass(frozen, module = "kakunin._native")]
pub(crate) struct NativeCaller {
    caller: Caller,
    /// Where in a decision chain its request is.
    place: Place,
}

#[pymethods]
impl NativeCaller {
    /// The agent's id.
    #[getter]
    fn agent_id(&self) -> String {
        self.caller.agent().to_string()
    }

    /// The serial number of its certificate, in hexadecimal.
    #[getter]
    fn certificate_serial(&self) -> String {
        self.caller.certificate_serial().to_string()
    }

    /// `signature`, `tls`, `proxy` or `none`.
    #[getter]
    fn possession(&self) -> &'static str {
        match self.caller.possession() {
            ProofOfPossession::Signature => "signature",
            ProofOfPossession::Tls => "tls",
            ProofOfPossession::Proxy => "proxy",
            ProofOfPossession::None => "none",
        }
    }

    /// The id of the chain that its request belongs to, or begins.
    #[getter]
    fn chain(&self) -> String {
        self.place.id()
    }

    /// Lets the caller do what `plan` asks: the running action, `None` if nobody needs to know how it ends, or raises `Refused`.
    fn check(
        &self,
        py: Python<'_>,
        plan: &Plan,
        amount: &Bound<'_, PyAny>,
        currency: &Bound<'_, PyAny>,
        counterparty: &Bound<'_, PyAny>,
        resource: &Bound<'_, PyAny>,
    ) -> PyResult<Option<Running>> {
        let context: CallContext<'_> = self.place.context();
        let pass = plan.with_request(amount, currency, counterparty, resource, |request| {
            self.caller.admit_in(request, &context)
        });
        let pass = pass.map_err(|answer| refused(py, &answer))?;
        if !pass.needs_outcome() {
            return Ok(None);
        }
        let running = pass.begin().map_err(|denied| refused(py, &Refused::from(denied)))?;
        chain::chain_begun();
        match running.receipt().map(|receipt| Stay::begin(py, &self.place, receipt)).transpose() {
            Ok(stay) => Ok(Some(Running::new(running, stay))),
            Err(error) => {
                running.not_executed();
                Err(error)
            }
        }
    }
}

/// A store of used proofs that the service brings: a callable that says whether a mark is new.
struct Remembering(Py<PyAny>);

impl NonceStore for Remembering {
    fn remember(&self, mark: &Digest, created: UnixTime, now: UnixTime) -> Result<(), NonceError> {
        let seconds = created.plus(KEPT_SECONDS).seconds() - now.seconds();
        Python::attach(|py| {
            let answer = self.0.bind(py).call1((mark.to_hex(), seconds));
            // Nothing that is only like `True` says that a proof is new.
            match answer.and_then(|answer| answer.cast_into::<PyBool>().map_err(PyErr::from)) {
                Ok(new) if new.is_true() => Ok(()),
                Ok(_) => Err(NonceError::Used),
                Err(error) => Err(NonceError::Unavailable(error.to_string())),
            }
        })
    }
}

impl fmt::Debug for Remembering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Remembering")
    }
}

/// `kakunin.gateway.Refused`.
fn refused(py: Python<'_>, answer: &Refused) -> PyErr {
    static REFUSED: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let made = REFUSED.import(py, "kakunin.gateway._refused", "refused").and_then(|make| {
        make.call1((answer.status(), answer.code(), answer.to_string(), answer.problem(), answer.fields()))
    });
    made.map_or_else(|error| error, PyErr::from_value)
}
