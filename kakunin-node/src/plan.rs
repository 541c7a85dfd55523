//! What one guarded function asks, prepared when it is wrapped.

use kakunin_core::decision::DenialReason;
use kakunin_core::guard::{Denied, Guard, Pass, Running};
use kakunin_core::id::AgentId;
use kakunin_core::request::{ActionRequest, Amount, Names};
use kakunin_core::time::UnixMillis;
use kakunin_core::written;
use napi::bindgen_prelude::{Float64Array, Uint8Array};
use napi::{Env, Error, Result};
use napi_derive::napi;

use crate::chain::{Place, Spot};
use crate::denial::{self, Denial};
use crate::request::{ABSENT, MINOR, NameValue, TEXT, Values, WRITTEN, minor};
use crate::room::{Room, Scratch, Table, within, within_only};

/// An action, with what is fixed about it.
pub(crate) struct Plan {
    action: String,
    currency: Option<String>,
    /// The id the agent must have; text that is no id matches nobody.
    expected: Option<Option<AgentId>>,
}

impl Plan {
    /// Finds the agent of this call and puts a request to its guard. The handle 0 stands for no agent.
    #[inline]
    fn put<T>(
        &self,
        room: &Room,
        agent: f64,
        put: impl FnOnce(&Guard) -> std::result::Result<T, Denied>,
    ) -> std::result::Result<T, Denied> {
        let refuse = |reason: DenialReason| Denied::new(reason.into(), &self.action, None, None);
        if agent == 0.0 {
            return Err(refuse(DenialReason::AgentMissing));
        }
        let guard = &room.agents.get(agent).ok_or_else(|| refuse(DenialReason::Internal))?.guard;
        match self.expected {
            Some(expected) if expected != Some(guard.agent()) => Err(refuse(DenialReason::AgentMismatch)),
            _ => put(guard),
        }
    }

    /// The request as this plan reads the values.
    pub(crate) fn request<T>(&self, values: &Values, act: impl FnOnce(&ActionRequest<'_>) -> T) -> T {
        values.request(&self.action, self.currency.as_deref(), act)
    }
}

/// Prepares an action; its handle. `currency` is fixed, if given.
#[napi(catch_unwind)]
pub(crate) fn plan(
    env: Env,
    action: String,
    currency: Option<String>,
    expected: Option<String>,
) -> Result<f64> {
    let expected = expected.map(|id| AgentId::parse(&id));
    within(&env, |room| room.plans.keep(Plan { action, currency, expected }))
}

/// Forgets a plan.
#[napi(catch_unwind)]
pub(crate) fn release_plan(env: Env, plan: f64) -> Result<()> {
    within(&env, |room| {
        room.plans.take(plan);
        Ok(())
    })
}

/// Asks before the body runs: the handle of the running action, 0 if nobody needs to know how it ends, or -1: denied, and
/// `denial()` says why.
#[napi(catch_unwind)]
pub(crate) fn check(
    env: Env,
    plan: f64,
    agent: f64,
    shape: u32,
    number: f64,
    amount: Option<String>,
    currency: Option<String>,
    counterparty: NameValue,
    resource: NameValue,
    place: Option<Place>,
) -> Result<f64> {
    let values = Values { shape, number, amount, currency, counterparty, resource };
    within(&env, |room| {
        let plan = known(&room.plans, plan)?;
        let spot = place.as_ref().map(Spot::read).transpose()?;
        let passed = plan.request(&values, |request| {
            plan.put(room, agent, |guard| match &spot {
                None => guard.admit(request),
                Some(spot) => guard.admit_in(request, &spot.context()),
            })
        });
        begin(room, passed)
    })
}

/// The same for a call whose values stand in the scratch buffer; -2 if they have to cross one by one.
///
/// It takes nothing, not even its environment: the macro of the binding keeps an account of arguments that costs as much as
/// the decision.
#[napi(catch_unwind)]
pub(crate) fn decide() -> Result<f64> {
    let decided = within_only(|room| {
        let asked = match &room.scratch {
            Scratch::One(numbers, letters) => Asked::read(numbers, letters),
            Scratch::Several => return Ok(ONE_BY_ONE),
            Scratch::Unset => None,
        };
        let Some(asked) = asked else {
            return Err(Error::from_reason("the scratch buffer is not set"));
        };
        let plan = known(&room.plans, asked.plan)?;
        let written;
        let mut request = ActionRequest::new(&plan.action);
        request.amount = match asked.kind {
            ABSENT => Amount::Absent,
            TEXT => asked.text().map_or(Amount::Unreadable, Amount::Decimal),
            WRITTEN => {
                written = written::float(asked.number);
                written.as_deref().map_or(Amount::Unreadable, Amount::AsWritten)
            }
            MINOR => minor(asked.number),
            _ => Amount::Unreadable,
        };
        // What names no kept text has the empty one, which is malformed everywhere.
        let text = |id: f64| if id == 0.0 { None } else { Some(room.name(id).unwrap_or("")) };
        let name = |id: f64| text(id).map_or(Names::Absent, Names::One);
        request.currency = plan.currency.as_deref().or_else(|| text(asked.currency));
        (request.counterparties, request.resources) = (name(asked.counterparty), name(asked.resource));
        let passed = plan.put(room, asked.agent, |guard| guard.admit(&request));
        begin(room, passed)
    })?;
    Ok(decided.unwrap_or(ONE_BY_ONE))
}

/// Asks without acting: nothing, or why it would be denied. `at` is a time in Unix milliseconds.
#[napi(catch_unwind)]
pub(crate) fn dry(
    env: Env,
    plan: f64,
    agent: f64,
    shape: u32,
    number: f64,
    amount: Option<String>,
    currency: Option<String>,
    counterparty: NameValue,
    resource: NameValue,
    at: Option<f64>,
) -> Result<Option<Denial>> {
    let values = Values { shape, number, amount, currency, counterparty, resource };
    within(&env, |room| {
        let plan = known(&room.plans, plan)?;
        let at = at.map(|at| UnixMillis::from_millis(at as i64));
        let checked =
            plan.request(&values, |request| plan.put(room, agent, |guard| guard.check(request, at)));
        Ok(checked.err().as_ref().map(denial::plain))
    })
}

/// Sets the buffers that `decide` reads: numbers in the order of [`Numbers`], and the characters of an amount. A second pair
/// ends this way of crossing, for the first one too.
#[napi(catch_unwind)]
pub(crate) fn set_scratch(env: Env, scratch: Float64Array, letters: Uint8Array) -> Result<()> {
    within(&env, |room| {
        if scratch.len() < NUMBERS {
            return Err(Error::from_reason("the scratch buffer is too short"));
        }
        room.scratch = match room.scratch {
            Scratch::Unset => Scratch::One(scratch, letters),
            Scratch::One(..) | Scratch::Several => Scratch::Several,
        };
        Ok(())
    })
}

/// Keeps a text: the number that names it in the scratch buffer, or 0 if there is no room for more.
#[napi(catch_unwind)]
pub(crate) fn keep_name(env: Env, text: String) -> Result<u32> {
    within(&env, |room| {
        if room.names.len() >= MAX_NAMES {
            return Ok(0);
        }
        room.names.push(text.into());
        Ok(u32::try_from(room.names.len()).unwrap_or(0))
    })
}

impl Room {
    #[inline]
    fn name(&self, id: f64) -> Option<&str> {
        self.names.get((id as usize).checked_sub(1)?).map(AsRef::as_ref)
    }
}

#[inline]
fn known(plans: &Table<Plan>, plan: f64) -> Result<&Plan> {
    plans.get(plan).ok_or_else(|| Error::from_reason("this guarded function belongs to another thread"))
}

#[inline]
fn begin(room: &mut Room, passed: std::result::Result<Pass, Denied>) -> Result<f64> {
    let begun = passed.and_then(|pass| if pass.needs_outcome() { pass.begin().map(Some) } else { Ok(None) });
    match begun {
        Ok(None) => Ok(0.0),
        Ok(Some(running)) => keep(room, running),
        Err(denied) => {
            room.denied = Some(denied);
            Ok(DENIED)
        }
    }
}

fn keep(room: &mut Room, running: Running) -> Result<f64> {
    if room.running.is_full() {
        running.not_executed();
        return Err(Error::from_reason("too many guarded calls are running at a time"));
    }
    room.running.keep(running)
}

/// A call as it stands in the scratch buffers, which nobody writes while it is decided about.
struct Asked<'a> {
    plan: f64,
    agent: f64,
    kind: u32,
    number: f64,
    currency: f64,
    counterparty: f64,
    resource: f64,
    /// Those of the amount, where it is a text.
    letters: Option<&'a [u8]>,
}

/// Plan, agent, kind of the amount, the amount as a number, currency, counterparty, resource, and how many characters there are.
type Numbers = [f64; NUMBERS];

impl<'a> Asked<'a> {
    #[inline]
    fn read(numbers: &Float64Array, letters: &'a Uint8Array) -> Option<Self> {
        let numbers: &Numbers = numbers.as_ref().first_chunk()?;
        let &[plan, agent, kind, number, currency, counterparty, resource, long] = numbers;
        // Where there are not so many, the amount is unreadable.
        let letters = letters.as_ref().get(..long as usize);
        Some(Self { plan, agent, kind: kind as u32, number, currency, counterparty, resource, letters })
    }

    #[inline]
    fn text(&self) -> Option<&'a str> {
        std::str::from_utf8(self.letters?).ok()
    }
}

const DENIED: f64 = -1.0;
const ONE_BY_ONE: f64 = -2.0;
const NUMBERS: usize = 8;
/// Texts that one environment keeps.
const MAX_NAMES: usize = 16_384;
