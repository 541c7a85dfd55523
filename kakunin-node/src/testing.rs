//! What `kakunin-node/testing` stands on: an authority and a clock in memory.

use std::collections::HashMap;
use std::sync::Arc;

use kakunin_authority::memory::{Enrolled, MemoryAuthority};
use kakunin_authority::standing::Order;
use kakunin_core::certificate::{CaCertificate, CaRole, PathLists};
use kakunin_core::decision::{Decision, DenialReason};
use kakunin_core::guard::{Clock, GuardOptions, ManualClock, MemorySource, SystemClock};
use kakunin_core::home::Papers;
use kakunin_core::id::{AgentId, SerialNumber};
use kakunin_core::leash::SlidingSum;
use kakunin_core::request::ActionRequest;
use kakunin_core::revocation::{UnverifiedDelta, UnverifiedList};
use kakunin_core::scope::DraftScope;
use kakunin_core::snapshot::{self, Snapshot};
use kakunin_core::time::{UnixMillis, UnixTime};
use napi::bindgen_prelude::Buffer;
use napi::{Env, Result};
use napi_derive::napi;

use crate::agent::{open_memory, papers, parse_mode, said};
use crate::request::{NameValue, Values};
use crate::room::{Room, Table, within};

/// An authority, its clock and the agents it certified.
pub(crate) struct Authority {
    authority: MemoryAuthority,
    clock: Arc<dyn Clock>,
    sources: HashMap<AgentId, Arc<MemorySource>>,
}

impl Authority {
    fn now(&self) -> UnixTime {
        self.clock.wall().to_seconds()
    }

    fn sign(&self, hours: i64) -> Result<String> {
        self.authority.lists(self.now(), hours).map_err(said)
    }

    fn sign_and_publish(&self, hours: i64) -> Result<()> {
        for source in self.sources.values() {
            source.publish(self.sign(hours)?.into_bytes());
        }
        Ok(())
    }
}

/// A clock that moves only when told, from a time in Unix milliseconds: its handle.
#[napi(catch_unwind)]
pub(crate) fn clock_new(env: Env, millis: f64) -> Result<f64> {
    within(&env, |room| room.clocks.keep(Arc::new(ManualClock::new(UnixMillis::from_millis(millis as i64)))))
}

/// The wall clock, in Unix milliseconds.
#[napi(catch_unwind)]
pub(crate) fn clock_now(env: Env, clock: f64) -> Result<f64> {
    with_clock(&env, clock, |clock| clock.wall().millis() as f64)
}

/// Time passes.
#[napi(catch_unwind)]
pub(crate) fn clock_advance(env: Env, clock: f64, millis: f64) -> Result<()> {
    with_clock(&env, clock, |clock| clock.advance(millis as i64))
}

/// Somebody sets the wall clock.
#[napi(catch_unwind)]
pub(crate) fn clock_set_wall(env: Env, clock: f64, millis: f64) -> Result<()> {
    with_clock(&env, clock, |clock| clock.set_wall(UnixMillis::from_millis(millis as i64)))
}

/// The machine sleeps.
#[napi(catch_unwind)]
pub(crate) fn clock_sleep(env: Env, clock: f64, millis: f64) -> Result<()> {
    with_clock(&env, clock, |clock| clock.sleep(millis as i64))
}

fn with_clock<T>(env: &Env, clock: f64, act: impl FnOnce(&ManualClock) -> T) -> Result<T> {
    within(env, |room| Ok(act(room.clocks.get(clock).ok_or_else(|| said("no such clock"))?)))
}

/// A new authority, by a clock of tests or the system's: its handle.
#[napi(catch_unwind)]
pub(crate) fn authority_new(env: Env, clock: Option<f64>) -> Result<f64> {
    within(&env, |room| {
        let clock: Arc<dyn Clock> = match clock {
            None => Arc::new(SystemClock),
            Some(clock) => Arc::clone(room.clocks.get(clock).ok_or_else(|| said("no such clock"))?) as _,
        };
        let authority = MemoryAuthority::new(clock.wall().to_seconds()).map_err(said)?;
        room.authorities.keep(Authority { authority, clock, sources: HashMap::new() })
    })
}

/// Certifies a new agent for a scope in TOML or JSON and opens it: the agent's handle.
#[napi(catch_unwind)]
pub(crate) fn authority_certify(
    env: Env,
    authority: f64,
    name: String,
    scope: String,
    days: f64,
    hours: f64,
    mode: String,
) -> Result<f64> {
    within(&env, |room| {
        let mode = parse_mode(&mode)?;
        let (agent, source) = {
            let authority = known(&room.authorities, authority)?;
            let options =
                GuardOptions { mode, clock: Arc::clone(&authority.clock), ..GuardOptions::default() };
            let enrolled = authority.authority.certify(&name, &draft(&scope)?, authority.now(), days as i64);
            let Enrolled { papers, key } = enrolled.map_err(said)?;
            let lists = authority.sign(hours as i64)?.into_bytes();
            let source = Arc::new(MemorySource::new(papers, lists, key));
            (open_memory(Arc::clone(&source), options)?, source)
        };
        let id = agent.guard.agent();
        room.authorities.change(authority, |authority| authority.sources.insert(id, source));
        room.agents.keep(agent)
    })
}

/// Certifies an agent again, with its key.
#[napi(catch_unwind)]
pub(crate) fn authority_recertify(
    env: Env,
    authority: f64,
    agent: f64,
    name: String,
    scope: String,
    days: f64,
) -> Result<()> {
    within(&env, |room| {
        let (authority, agent) = both(room, authority, agent)?;
        let id = agent.guard.agent();
        let renewed = authority.authority.renew(id, &name, &draft(&scope)?, authority.now(), days as i64);
        let source = authority.sources.get(&id).ok_or_else(|| said("this authority holds no such agent"))?;
        source.renew(renewed.map_err(said)?.papers);
        agent.guard.refresh();
        Ok(())
    })
}

/// Suspends, resumes or revokes an agent, and publishes lists that say so.
#[napi(catch_unwind)]
pub(crate) fn authority_order(
    env: Env,
    authority: f64,
    agent: f64,
    order: String,
    reason: String,
    hours: f64,
) -> Result<()> {
    within(&env, |room| {
        let order = match order.as_str() {
            "suspend" => Order::Suspend,
            "resume" => Order::Resume,
            "revoke" => Order::Revoke,
            other => return Err(said(format!("`{other}` is no order"))),
        };
        let (authority, agent) = both(room, authority, agent)?;
        authority.authority.order(agent.guard.agent(), order, &reason, authority.now()).map_err(said)?;
        authority.sign_and_publish(hours as i64)?;
        agent.guard.refresh();
        Ok(())
    })
}

/// Signs new lists and hands them to every agent, without telling them to look.
#[napi(catch_unwind)]
pub(crate) fn authority_publish(env: Env, authority: f64, hours: f64) -> Result<()> {
    within(&env, |room| known(&room.authorities, authority)?.sign_and_publish(hours as i64))
}

/// New lists as PEM, handed to nobody.
#[napi(catch_unwind)]
pub(crate) fn authority_lists(env: Env, authority: f64, hours: f64) -> Result<String> {
    within(&env, |room| known(&room.authorities, authority)?.sign(hours as i64))
}

/// Hands an agent this text in place of its lists.
#[napi(catch_unwind)]
pub(crate) fn authority_hand_lists(env: Env, authority: f64, agent: f64, lists: String) -> Result<()> {
    within(&env, |room| {
        let (authority, agent) = both(room, authority, agent)?;
        if let Some(source) = authority.sources.get(&agent.guard.agent()) {
            source.publish(lists.into_bytes());
        }
        agent.guard.refresh();
        Ok(())
    })
}

/// Answers the shared vectors: a decision by certificate, lists, time and request alone, with nothing spent before.
pub(crate) struct Judge {
    papers: Papers,
    lists: String,
    kept: Option<String>,
}

/// A judge by these papers and lists: its handle.
#[napi(catch_unwind)]
pub(crate) fn judge_new(
    env: Env,
    certificate: String,
    chain: String,
    ca: String,
    lists: String,
    kept: Option<String>,
    names: Vec<String>,
) -> Result<f64> {
    within(&env, |room| {
        let papers = papers(&certificate, &chain, &ca, None, &names)?;
        room.judges.keep(Judge { papers, lists, kept })
    })
}

/// Answers the shared vectors of delta lists: what a full list and a delta say together of a serial number, `good`, `held` or
/// `revoked`, or why the delta is refused.
#[napi(catch_unwind)]
pub(crate) fn updated_standing(
    issuing: Buffer,
    list: Buffer,
    delta: Buffer,
    serial: String,
) -> Result<&'static str> {
    let issuing = CaCertificate::decode(&issuing, CaRole::Issuing).map_err(said)?;
    let list = UnverifiedList::decode(&list).and_then(|list| list.verify(&issuing.list_issuer()));
    let list = list.map_err(said)?;
    let serial = SerialNumber::parse(&serial).ok_or_else(|| said("no serial number"))?;
    let updated =
        UnverifiedDelta::decode(&delta).and_then(|delta| delta.apply(&list, &issuing.list_issuer()));
    Ok(updated.map_or_else(|error| error.word(), |updated| updated.standing(&serial).word()))
}

/// `allow`, or the code of the denial, at a time in Unix milliseconds.
#[napi(catch_unwind)]
pub(crate) fn judge_answer(
    env: Env,
    judge: f64,
    plan: f64,
    at: f64,
    shape: u32,
    number: f64,
    amount: Option<String>,
    currency: Option<String>,
    counterparty: NameValue,
    resource: NameValue,
) -> Result<&'static str> {
    let values = Values { shape, number, amount, currency, counterparty, resource };
    within(&env, |room| {
        let judge = room.judges.get(judge).ok_or_else(|| said("no such judge"))?;
        let plan = room.plans.get(plan).ok_or_else(|| said("no such plan"))?;
        Ok(plan.request(&values, |request| {
            judge
                .decide(request, UnixMillis::from_millis(at as i64))
                .map_or_else(DenialReason::code, |()| "allow")
        }))
    })
}

impl Judge {
    fn decide(&self, request: &ActionRequest<'_>, at: UnixMillis) -> std::result::Result<(), DenialReason> {
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

/// Fails as a defect of the guard would: for tests.
#[napi(catch_unwind)]
pub(crate) fn fail_inside(env: Env) -> Result<()> {
    within(&env, |_| defect())
}

#[expect(clippy::panic, reason = "what is tested is that it ends here")]
fn defect() -> Result<()> {
    panic!("a defect, for tests")
}

fn both(room: &Room, authority: f64, agent: f64) -> Result<(&Authority, &crate::agent::OpenAgent)> {
    let agent = room.agents.get(agent).ok_or_else(|| said("no such agent is open in this thread"))?;
    Ok((known(&room.authorities, authority)?, agent))
}

fn known(authorities: &Table<Authority>, authority: f64) -> Result<&Authority> {
    authorities.get(authority).ok_or_else(|| said("no such authority in this thread"))
}

fn draft(scope: &str) -> Result<DraftScope> {
    DraftScope::parse(scope, &|path| std::fs::read_to_string(path)).map_err(said)
}
