//! What `kakunin.testing` stands on: an authority and a clock in memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kakunin_authority::memory::{Enrolled, MemoryAuthority as Authority};
use kakunin_authority::standing::Order;
use kakunin_core::certificate::{AgentCertificate, CaCertificate, CaRole, PathLists};
use kakunin_core::decision::{Decision, DenialReason};
use kakunin_core::guard::{self, Clock, GuardOptions, MemorySource, SystemClock};
use kakunin_core::home::Papers;
use kakunin_core::id::{AgentId, SerialNumber};
use kakunin_core::leash::SlidingSum;
use kakunin_core::request::ActionRequest;
use kakunin_core::revocation::{UnverifiedDelta, UnverifiedList};
use kakunin_core::scope::DraftScope;
use kakunin_core::snapshot::{self, Snapshot};
use kakunin_core::time::{UnixMillis, UnixTime};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::agent::{self, NativeAgent, Opened, open_memory, parse_mode};
use crate::plan::Plan;

/// A clock that moves only when told.
#[pyclass(frozen, module = "kakunin._native")]
pub(crate) struct ManualClock(Arc<guard::ManualClock>);

impl ManualClock {
    /// The clock as a guard takes it.
    pub(crate) fn share(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.0) as Arc<dyn Clock>
    }
}

#[pymethods]
impl ManualClock {
    #[new]
    fn new(millis: i64) -> Self {
        Self(Arc::new(guard::ManualClock::new(UnixMillis::from_millis(millis))))
    }

    /// The wall clock, in Unix milliseconds.
    fn now(&self) -> i64 {
        self.0.wall().millis()
    }

    /// Time passes.
    fn advance(&self, millis: i64) {
        self.0.advance(millis);
    }

    /// Somebody sets the wall clock.
    fn set_wall(&self, millis: i64) {
        self.0.set_wall(UnixMillis::from_millis(millis));
    }

    /// The machine sleeps.
    fn sleep(&self, millis: i64) {
        self.0.sleep(millis);
    }
}

/// The native half of `kakunin.testing.MemoryAuthority`.
#[pyclass(frozen, module = "kakunin._native")]
pub(crate) struct NativeAuthority {
    authority: Authority,
    clock: Arc<dyn Clock>,
    sources: Mutex<HashMap<AgentId, Arc<MemorySource>>>,
}

impl NativeAuthority {
    fn now(&self) -> UnixTime {
        self.clock.wall().to_seconds()
    }

    fn sources(&self) -> MutexGuard<'_, HashMap<AgentId, Arc<MemorySource>>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sign_and_publish(&self, hours: i64) -> Result<(), String> {
        for source in self.sources().values() {
            source.publish(self.sign(hours)?.into_bytes());
        }
        Ok(())
    }

    fn sign(&self, hours: i64) -> Result<String, String> {
        self.authority.lists(self.now(), hours).map_err(|error| error.to_string())
    }
}

#[pymethods]
impl NativeAuthority {
    #[new]
    #[pyo3(signature = (clock=None))]
    fn new(py: Python<'_>, clock: Option<&ManualClock>) -> PyResult<Self> {
        let clock = clock.map_or_else(|| Arc::new(SystemClock) as Arc<dyn Clock>, ManualClock::share);
        let authority = Authority::new(clock.wall().to_seconds());
        let authority = authority.map_err(|error| agent::error(py, &error.to_string()))?;
        Ok(Self { authority, clock, sources: Mutex::default() })
    }

    /// Certifies a new agent for a scope in TOML or JSON and opens it.
    fn certify(
        &self,
        py: Python<'_>,
        name: &str,
        scope: &str,
        days: i64,
        hours: i64,
        mode: &str,
    ) -> PyResult<Opened> {
        let options = GuardOptions {
            mode: parse_mode(mode)?,
            clock: Arc::clone(&self.clock),
            ..GuardOptions::default()
        };
        let opened = draft(scope).and_then(|scope| {
            let enrolled = self.authority.certify(name, &scope, self.now(), days);
            let Enrolled { papers, key } = enrolled.map_err(|error| error.to_string())?;
            let id = AgentCertificate::decode(&papers.agent).map_err(|error| error.to_string())?.agent();
            let source = Arc::new(MemorySource::new(papers, self.sign(hours)?.into_bytes(), key));
            self.sources().insert(id, Arc::clone(&source));
            open_memory(source, options)
        });
        opened.map_err(|text| agent::error(py, &text))
    }

    /// Certifies an agent again, with its key.
    fn recertify(
        &self,
        py: Python<'_>,
        agent: &NativeAgent,
        name: &str,
        scope: &str,
        days: i64,
    ) -> PyResult<()> {
        let id = agent.guard().agent();
        let renewed = draft(scope).and_then(|scope| {
            let renewed = self.authority.renew(id, name, &scope, self.now(), days);
            let papers = renewed.map_err(|error| error.to_string())?.papers;
            let source =
                self.sources().get(&id).map(Arc::clone).ok_or("this authority holds no such agent")?;
            source.renew(papers);
            agent.guard().refresh();
            Ok(())
        });
        renewed.map_err(|text: String| agent::error(py, &text))
    }

    /// Suspends, resumes or revokes an agent, and publishes lists that say so.
    fn order(
        &self,
        py: Python<'_>,
        agent: &NativeAgent,
        order: &str,
        reason: &str,
        hours: i64,
    ) -> PyResult<()> {
        let order = match order {
            "suspend" => Order::Suspend,
            "resume" => Order::Resume,
            "revoke" => Order::Revoke,
            other => return Err(PyValueError::new_err(format!("`{other}` is no order"))),
        };
        let ordered = self.authority.order(agent.guard().agent(), order, reason, self.now());
        let ordered = ordered.map_err(|error| error.to_string()).and_then(|()| self.sign_and_publish(hours));
        ordered.map_err(|text| agent::error(py, &text))?;
        agent.guard().refresh();
        Ok(())
    }

    /// Signs new lists and hands them to every agent, without telling them to look.
    fn publish(&self, py: Python<'_>, hours: i64) -> PyResult<()> {
        self.sign_and_publish(hours).map_err(|text| agent::error(py, &text))
    }

    /// New lists as PEM, handed to nobody.
    fn lists(&self, py: Python<'_>, hours: i64) -> PyResult<String> {
        self.sign(hours).map_err(|text| agent::error(py, &text))
    }

    /// Hands an agent these bytes in place of its lists.
    fn hand_lists(&self, agent: &NativeAgent, lists: &[u8]) {
        let source = self.sources().get(&agent.guard().agent()).map(Arc::clone);
        if let Some(source) = source {
            source.publish(lists.to_vec());
        }
        agent.guard().refresh();
    }
}

/// Answers the shared vectors: a decision by certificate, lists, time and request alone, with nothing spent before.
#[pyclass(frozen, module = "kakunin._native")]
pub(crate) struct Judge {
    papers: Papers,
    lists: String,
    kept: Option<String>,
}

#[pymethods]
impl Judge {
    #[new]
    #[pyo3(signature = (certificate, chain, ca, lists, kept, names))]
    fn new(
        py: Python<'_>,
        certificate: &str,
        chain: &str,
        ca: &str,
        lists: String,
        kept: Option<String>,
        names: Vec<String>,
    ) -> PyResult<Self> {
        let papers =
            agent::papers(certificate, chain, ca, None, &names).map_err(|text| agent::error(py, &text))?;
        Ok(Self { papers, lists, kept })
    }

    /// `allow`, or the code of the denial.
    fn answer(
        &self,
        plan: &Plan,
        amount: &Bound<'_, PyAny>,
        currency: &Bound<'_, PyAny>,
        counterparty: &Bound<'_, PyAny>,
        resource: &Bound<'_, PyAny>,
        at: i64,
    ) -> &'static str {
        plan.with_request(amount, currency, counterparty, resource, |request| {
            self.decide(request, UnixMillis::from_millis(at)).map_or_else(DenialReason::code, |()| "allow")
        })
    }
}

impl Judge {
    fn decide(&self, request: &ActionRequest<'_>, at: UnixMillis) -> Result<(), DenialReason> {
        let now = at.to_seconds();
        if let Some(kept) = &self.kept {
            let path = snapshot::prove(&self.papers, now).map_err(|refusal| refusal.reason())?;
            let read = |pem: &str| PathLists::from_pem(pem.as_bytes(), &path).map_err(|error| error.reason());
            let (offered, kept) = (read(&self.lists)?, read(kept)?);
            offered.may_follow(&kept, &path).map_err(|_| DenialReason::RevocationRollback)?;
        }
        let view =
            Snapshot::build(&self.papers, self.lists.as_bytes(), now).map_err(|refusal| refusal.reason())?;
        let permit = match view.decide(request, at) {
            Decision::Allow(permit) => permit,
            Decision::Deny(denial) => return Err(denial.reason()),
        };
        for charge in view.leash().charges(&permit) {
            let empty = SlidingSum::new(charge.quota.seconds, charge.quota.scale);
            if !empty.has_room(charge.cost, charge.quota.max, at) {
                let rate = charge.quota.currency.is_none();
                return Err(if rate { DenialReason::BudgetRate } else { DenialReason::BudgetWindow });
            }
        }
        Ok(())
    }
}

fn draft(scope: &str) -> Result<DraftScope, String> {
    DraftScope::parse(scope, &|path| std::fs::read_to_string(path)).map_err(|error| error.to_string())
}

/// Answers the shared vectors of delta lists: what a full list and a delta say together of a serial number, `good`, `held` or
/// `revoked`, or why the delta is refused.
#[pyfunction]
pub(crate) fn updated_standing(
    issuing: &[u8],
    list: &[u8],
    delta: &[u8],
    serial: &str,
) -> PyResult<&'static str> {
    let wrong = |error: &dyn std::fmt::Display| PyValueError::new_err(error.to_string());
    let issuing = CaCertificate::decode(issuing, CaRole::Issuing).map_err(|error| wrong(&error))?;
    let list = UnverifiedList::decode(list).and_then(|list| list.verify(&issuing.list_issuer()));
    let list = list.map_err(|error| wrong(&error))?;
    let serial = SerialNumber::parse(serial).ok_or_else(|| wrong(&"no serial number"))?;
    let updated = UnverifiedDelta::decode(delta).and_then(|delta| delta.apply(&list, &issuing.list_issuer()));
    Ok(updated.map_or_else(|error| error.word(), |updated| updated.standing(&serial).word()))
}
