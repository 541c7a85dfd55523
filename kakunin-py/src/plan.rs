//! What one guarded function asks, prepared when it is decorated.

use kakunin_core::decision::DenialReason;
use kakunin_core::guard::{Denied, Guard};
use kakunin_core::id::AgentId;
use kakunin_core::request::ActionRequest;
use kakunin_core::time::UnixMillis;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::agent::NativeAgent;
use crate::chain::{self, Stay};
#[cfg(feature = "connect")]
use crate::connect;
use crate::current::with_agent;
use crate::denial;
use crate::running::Running;
use crate::values::{self, AmountKind, AmountValue, NamesValue};

/// An action, with what is fixed about it.
#[pyclass(frozen, module = "kakunin._native")]
pub(crate) struct Plan {
    action: String,
    kind: AmountKind,
    currency: Option<String>,
    agent: Option<Py<NativeAgent>>,
    /// The id the agent must have; text that is no id matches nobody.
    expected: Option<Option<AgentId>>,
}

#[pymethods]
impl Plan {
    #[new]
    #[pyo3(signature = (action, *, amount="decimal", currency=None, agent=None, agent_id=None))]
    fn new(
        action: String,
        amount: &str,
        currency: Option<String>,
        agent: Option<Py<NativeAgent>>,
        agent_id: Option<&str>,
    ) -> PyResult<Self> {
        let kind = match amount {
            "decimal" => AmountKind::Decimal,
            "minor" => AmountKind::Minor,
            "as_written" => AmountKind::AsWritten,
            other => return Err(PyValueError::new_err(format!("`{other}` is no kind of amount"))),
        };
        Ok(Self { action, kind, currency, agent, expected: agent_id.map(AgentId::parse) })
    }

    /// Asks before the body runs: the running action, `None` if nobody needs to know how it ends, or raises.
    #[inline]
    fn check(
        &self,
        py: Python<'_>,
        amount: &Bound<'_, PyAny>,
        currency: &Bound<'_, PyAny>,
        counterparty: &Bound<'_, PyAny>,
        resource: &Bound<'_, PyAny>,
    ) -> PyResult<Option<Running>> {
        #[cfg(feature = "connect")]
        connect::tell_what_waits(py)?;
        let Some(place) = chain::current(py)? else {
            let pass = self.ask(py, amount, currency, counterparty, resource, Guard::admit);
            let pass = pass.map_err(|denied| denial::error(py, &denied))?;
            if !pass.needs_outcome() {
                return Ok(None);
            }
            let running = pass.begin().map_err(|denied| denial::error(py, &denied))?;
            return Ok(Some(Running::new(running, None)));
        };
        let place = place.get();
        let admit = |guard: &Guard, request: &ActionRequest<'_>| guard.admit_in(request, &place.context());
        let pass = self.ask(py, amount, currency, counterparty, resource, admit);
        let pass = pass.map_err(|denied| denial::error(py, &denied))?;
        if !pass.needs_outcome() {
            return Ok(None);
        }
        let running = pass.begin().map_err(|denied| denial::error(py, &denied))?;
        match running.receipt().map(|receipt| Stay::begin(py, place, receipt)).transpose() {
            Ok(stay) => Ok(Some(Running::new(running, stay))),
            Err(error) => {
                running.not_executed();
                Err(error)
            }
        }
    }

    /// Asks without acting: the decision, now or at a time in Unix milliseconds.
    #[pyo3(signature = (amount, currency, counterparty, resource, *, at=None))]
    fn dry(
        &self,
        py: Python<'_>,
        amount: &Bound<'_, PyAny>,
        currency: &Bound<'_, PyAny>,
        counterparty: &Bound<'_, PyAny>,
        resource: &Bound<'_, PyAny>,
        at: Option<i64>,
    ) -> PyResult<Py<PyAny>> {
        let at = at.map(UnixMillis::from_millis);
        let check = |guard: &Guard, request: &ActionRequest<'_>| guard.check(request, at);
        let answer = self.ask(py, amount, currency, counterparty, resource, check);
        denial::decision(py, &self.action, answer.err().as_ref())
    }
}

impl Plan {
    /// Reads the values and puts the request to its guard.
    #[inline]
    fn ask<T>(
        &self,
        py: Python<'_>,
        amount: &Bound<'_, PyAny>,
        currency: &Bound<'_, PyAny>,
        counterparty: &Bound<'_, PyAny>,
        resource: &Bound<'_, PyAny>,
        put: impl FnOnce(&Guard, &ActionRequest<'_>) -> Result<T, Denied>,
    ) -> Result<T, Denied> {
        self.with_request(amount, currency, counterparty, resource, |request| self.put(py, request, put))
    }

    /// Finds the agent of this call and puts a request to its guard.
    #[inline]
    fn put<T>(
        &self,
        py: Python<'_>,
        request: &ActionRequest<'_>,
        put: impl FnOnce(&Guard, &ActionRequest<'_>) -> Result<T, Denied>,
    ) -> Result<T, Denied> {
        with_agent(py, self.agent.as_ref(), |agent| {
            let refuse = |reason: DenialReason| Denied::new(reason.into(), &self.action, None, None);
            let guard = agent.map_err(refuse)?.guard();
            match self.expected {
                Some(expected) if expected != Some(guard.agent()) => Err(refuse(DenialReason::AgentMismatch)),
                _ => put(guard, request),
            }
        })
    }

    /// Reads the values into a request.
    #[inline]
    pub(crate) fn with_request<T>(
        &self,
        amount: &Bound<'_, PyAny>,
        currency: &Bound<'_, PyAny>,
        counterparty: &Bound<'_, PyAny>,
        resource: &Bound<'_, PyAny>,
        act: impl FnOnce(&ActionRequest<'_>) -> T,
    ) -> T {
        let amount = AmountValue::read(amount, self.kind);
        let (counterparties, resources) = (NamesValue::read(counterparty), NamesValue::read(resource));
        let (party_texts, resource_texts) = (counterparties.texts(), resources.texts());
        let mut request = ActionRequest::new(&self.action);
        request.amount = amount.as_amount();
        request.currency = self.currency.as_deref().or_else(|| values::currency(currency));
        request.counterparties = counterparties.as_names(party_texts.as_deref());
        request.resources = resources.as_names(resource_texts.as_deref());
        act(&request)
    }
}
