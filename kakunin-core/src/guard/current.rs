//! Which agent a guarded function acts as: the one it names itself, else that of the block or future, else that of the
//! process. With none of them nothing may run.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

use super::context::{Slot, Unknown, enter, read, within};
use super::open::Guard;
use crate::decision::DenialReason;
use crate::environment;

/// Another agent is in use in this process already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "another agent is in use in this process; use_agent sets one, with_agent, in_agent and `agent =` take others"
)]
pub struct AgentInUse;

/// Makes `guard` the one that guarded functions of this process act as, once. Setting the same one again changes nothing.
///
/// Variables of the environment that ask for less enforcement are ignored, and [`Guard::take_notices`] tells of them.
///
/// # Errors
/// [`AgentInUse`]: there is another one, and it stays.
pub fn use_agent(guard: &Guard) -> Result<(), AgentInUse> {
    let used = DEFAULT.get_or_init(|| guard.clone());
    if !Arc::ptr_eq(&used.0, &guard.0) {
        return Err(AgentInUse);
    }
    for name in environment::VARIABLES {
        let value = std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        if let Some(value) = value.filter(|value| environment::asks_for_less(name, value)) {
            guard.0.notice(environment::warning(name, &value));
        }
    }
    Ok(())
}

/// Runs `act`; guarded functions that it calls on this thread act as `guard`.
///
/// Threads and tasks that it starts do not: hand them [`current_agent`], or wrap a future in [`in_agent`].
///
/// ```
/// # fn pay() {}
/// # fn example(billing: &kakunin_core::guard::Guard) {
/// kakunin_core::guard::with_agent(billing, || pay());
/// # }
/// ```
pub fn with_agent<T>(guard: &Guard, act: impl FnOnce() -> T) -> T {
    let mut acting = Some(Acting::As(guard.clone()));
    let _entered = enter(&CURRENT, &mut acting);
    act()
}

/// As [`with_agent`], for a future: whichever thread polls or drops it.
pub fn in_agent<F: Future>(guard: &Guard, future: F) -> impl Future<Output = F::Output> + use<F> {
    within(&CURRENT, Acting::As(guard.clone()), future)
}

/// Runs `act` without any agent: what is guarded in it and names none itself is denied, whatever the process uses.
pub fn without_agent<T>(act: impl FnOnce() -> T) -> T {
    let mut nobody = Some(Acting::Nobody);
    let _entered = enter(&CURRENT, &mut nobody);
    act()
}

/// The agent that a guarded function called here would act as, if it names none itself.
#[must_use]
pub fn current_agent() -> Option<Guard> {
    match read(&CURRENT) {
        Ok(Some(Acting::As(guard))) => Some(guard),
        Ok(None) => DEFAULT.get().cloned(),
        Ok(Some(Acting::Nobody)) | Err(Unknown) => None,
    }
}

/// The agent that [`use_agent`] set.
#[must_use]
pub fn default_agent() -> Option<Guard> {
    DEFAULT.get().cloned()
}

/// What `agent = ..` may give. `None` is nobody: another agent never takes its place.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no agent: `agent` takes a `Guard`, or what holds one",
    label = "no `Guard`"
)]
pub trait ActsAs {
    /// The agent's guard.
    fn acts_as(&self) -> Option<&Guard>;
}

impl ActsAs for Guard {
    #[inline]
    fn acts_as(&self) -> Option<&Guard> {
        Some(self)
    }
}

macro_rules! holders {
    ($($holder:ty),*) => {$(
        impl<T: ActsAs + ?Sized> ActsAs for $holder {
            #[inline]
            fn acts_as(&self) -> Option<&Guard> {
                (**self).acts_as()
            }
        }
    )*};
}

holders!(&T, Box<T>, Arc<T>, Rc<T>);

impl<T: ActsAs> ActsAs for Option<T> {
    fn acts_as(&self) -> Option<&Guard> {
        self.as_ref().and_then(T::acts_as)
    }
}

/// Gives `put` the agent of this call, or the reason why there is none.
#[inline(always)]
pub(super) fn with_current<T>(put: impl FnOnce(Result<&Guard, DenialReason>) -> T) -> T {
    // One call of `put` for all of them, so that it stands where the function was written.
    let held;
    put(match read(&CURRENT) {
        Ok(None) => DEFAULT.get().ok_or(DenialReason::AgentMissing),
        Ok(Some(Acting::As(guard))) => {
            held = guard;
            Ok(&held)
        }
        Ok(Some(Acting::Nobody)) => Err(DenialReason::AgentMissing),
        Err(Unknown) => Err(DenialReason::Internal),
    })
}

#[derive(Clone)]
enum Acting {
    As(Guard),
    Nobody,
}

/// The agent of the process.
static DEFAULT: OnceLock<Guard> = OnceLock::new();

static CURRENT: Slot<Acting> = Slot::new(&HELD);

thread_local! {
    static HELD: RefCell<Option<Acting>> = const { RefCell::new(None) };
}
