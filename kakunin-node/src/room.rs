//! What one environment of Node holds: the main thread and each worker have a room of their own.
//!
//! JavaScript names things by handles. A handle is given out once in the life of the process, so one that was released, is
//! of another kind or comes from another environment finds nothing, and what it asks for is refused.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use kakunin_core::guard::{Denied, ManualClock, Running};
use kakunin_gateway::{Caller, ProvenHead};
use napi::bindgen_prelude::{Float64Array, Uint8Array};
use napi::{Env, Error, Result};

use crate::agent::OpenAgent;
use crate::gateway::OpenGateway;
use crate::plan::Plan;
use crate::testing::{Authority, Judge};

/// The things of one environment.
#[derive(Default)]
pub(crate) struct Room {
    pub(crate) agents: Table<OpenAgent>,
    pub(crate) plans: Table<Plan>,
    pub(crate) running: Table<Running>,
    pub(crate) gateways: Table<OpenGateway>,
    pub(crate) heads: Table<ProvenHead>,
    pub(crate) callers: Table<Caller>,
    pub(crate) clocks: Table<std::sync::Arc<ManualClock>>,
    pub(crate) authorities: Table<Authority>,
    pub(crate) judges: Table<Judge>,
    /// Texts that JavaScript names by number, counted from 1.
    pub(crate) names: Vec<Box<str>>,
    /// The numbers that cross without a conversion.
    pub(crate) scratch: Scratch,
    /// The last denial, until it is asked for.
    pub(crate) denied: Option<Denied>,
}

/// The buffers by which a call crosses as numbers. They have one writer: where the JavaScript of the package is evaluated twice in
/// one environment, a copy would be answered by what the other one wrote.
#[derive(Default)]
pub(crate) enum Scratch {
    #[default]
    Unset,
    /// The numbers of a call, and the characters of its amount.
    One(Float64Array, Uint8Array),
    /// There are several writers, and all calls cross one by one.
    Several,
}

thread_local! {
    // An environment belongs to one thread; a thread of an embedder may have several.
    static ROOMS: RefCell<Vec<(usize, Rc<RefCell<Room>>)>> = const { RefCell::new(Vec::new()) };
}

/// Does something with the room of this environment. A panic in it is an error and never leaves Rust.
#[inline]
pub(crate) fn within<T>(env: &Env, act: impl FnOnce(&mut Room) -> Result<T>) -> Result<T> {
    let acted = catch_unwind(AssertUnwindSafe(|| {
        let room = room(env)?;
        enter(&room, act)
    }));
    acted.unwrap_or_else(|_| Err(failed()))
}

/// The same for the one room of this thread, which needs no question to Node; nothing if it has none or several, as
/// threads of an embedder may.
#[inline]
pub(crate) fn within_only<T>(act: impl FnOnce(&mut Room) -> Result<T>) -> Result<Option<T>> {
    let acted = catch_unwind(AssertUnwindSafe(|| {
        ROOMS.with_borrow(|rooms| match rooms.as_slice() {
            [(_, room)] => enter(room, act).map(Some),
            _ => Ok(None),
        })
    }));
    acted.unwrap_or_else(|_| Err(failed()))
}

#[inline]
fn enter<T>(room: &RefCell<Room>, act: impl FnOnce(&mut Room) -> Result<T>) -> Result<T> {
    let mut room = room.try_borrow_mut().map_err(|_| Error::from_reason("the guard is in use already"))?;
    act(&mut room)
}

#[cold]
fn failed() -> Error {
    Error::from_reason("the guard failed in a way it does not know [internal]")
}

#[inline]
fn room(env: &Env) -> Result<Rc<RefCell<Room>>> {
    let key = env.raw().addr();
    let known =
        ROOMS.with_borrow(|rooms| rooms.iter().find(|room| room.0 == key).map(|room| Rc::clone(&room.1)));
    known.map_or_else(|| begin(env, key), Ok)
}

#[cold]
fn begin(env: &Env, key: usize) -> Result<Rc<RefCell<Room>>> {
    // What a worker leaves open when it is terminated ends with its environment.
    env.add_env_cleanup_hook(key, |key| {
        let _ = catch_unwind(|| leave(key));
    })?;
    let room = Rc::new(RefCell::new(Room::default()));
    ROOMS.with_borrow_mut(|rooms| rooms.push((key, Rc::clone(&room))));
    Ok(room)
}

fn leave(key: usize) {
    let room = ROOMS.with_borrow_mut(|rooms| {
        let at = rooms.iter().position(|room| room.0 == key)?;
        Some(rooms.swap_remove(at).1)
    });
    if let Some(room) = room {
        let mut room = std::mem::take(&mut *room.borrow_mut());
        // Before the streams end: nobody will say how these went.
        room.running = Table::default();
        room.agents.each(|agent| agent.close());
    }
}

/// Things by handle.
pub(crate) struct Table<T> {
    slots: Vec<Option<(u64, T)>>,
    free: Vec<usize>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }
}

impl<T> Table<T> {
    /// Keeps a thing; its handle.
    ///
    /// # Errors
    /// More than a million at a time, or more than eight thousand million in one process.
    pub(crate) fn keep(&mut self, thing: T) -> Result<f64> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let slot = self.free.pop().unwrap_or(self.slots.len());
        let turn = NEXT.fetch_add(1, Ordering::Relaxed);
        if slot >= SLOTS || turn >= TURNS {
            return Err(Error::from_reason("too many guarded things are open in this process; restart it"));
        }
        let handle = turn * SLOTS as u64 + slot as u64;
        match self.slots.get_mut(slot) {
            Some(place) => *place = Some((handle, thing)),
            None => self.slots.push(Some((handle, thing))),
        }
        Ok(handle as f64)
    }

    #[inline]
    pub(crate) fn get(&self, handle: f64) -> Option<&T> {
        let (known, thing) = self.slots.get(slot_of(handle)).and_then(Option::as_ref)?;
        (*known as f64 == handle).then_some(thing)
    }

    #[inline]
    pub(crate) fn take(&mut self, handle: f64) -> Option<T> {
        self.get(handle)?;
        let slot = slot_of(handle);
        let taken = self.slots.get_mut(slot).and_then(Option::take)?;
        self.free.push(slot);
        Some(taken.1)
    }

    pub(crate) fn change<R>(&mut self, handle: f64, act: impl FnOnce(&mut T) -> R) -> Option<R> {
        self.get(handle)?;
        let (_, thing) = self.slots.get_mut(slot_of(handle)).and_then(Option::as_mut)?;
        Some(act(thing))
    }

    /// Whether [`Table::keep`] would refuse.
    pub(crate) fn is_full(&self) -> bool {
        self.free.is_empty() && self.slots.len() >= SLOTS
    }

    pub(crate) fn each(&self, act: impl FnMut(&T)) {
        self.slots.iter().flatten().map(|kept| &kept.1).for_each(act);
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

/// What is no handle finds no slot, or a slot with another handle.
#[inline]
fn slot_of(handle: f64) -> usize {
    (handle as u64 % SLOTS as u64) as usize
}

/// Together they fill the integers that a number of JavaScript holds exactly.
const SLOTS: usize = 1 << 20;
const TURNS: u64 = 1 << 33;
