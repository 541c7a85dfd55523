//! What `#[verify_agent_scope(..)]` writes into a function: a question with the values of the selectors, and a body that
//! runs only after the answer was yes.
//!
//! It is public because the code stands in other crates, and made for that code alone: by hand, [`Guard::admit`] is shorter.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::admit::Running;
use super::current::{ActsAs, with_current};
use super::denied::Denied;
use super::open::Guard;
use super::place::{Place, known_place, stay};
use crate::decision::DenialReason;
use crate::request::{ActionRequest, Amount};
use crate::selector::{
    GivenNames, SelectedAmount, SelectedCurrency, SelectedMinor, SelectedNames, SelectedWritten, Written,
};

/// What a call asks, as far as its selectors were read.
#[must_use = "nobody was asked"]
pub struct Question<'a> {
    action: &'a str,
    amount: Amount<'a>,
    number: Option<String>,
    currency: Option<&'a str>,
    counterparties: GivenNames<'a>,
    resources: GivenNames<'a>,
}

impl<'a> Question<'a> {
    /// Whether `action` may be done.
    #[inline(always)]
    pub const fn new(action: &'a str) -> Self {
        let (counterparties, resources) = (GivenNames::Absent, GivenNames::Absent);
        Self { action, amount: Amount::Absent, number: None, currency: None, counterparties, resources }
    }

    /// Moving an amount in whole units.
    #[inline(always)]
    pub fn amount<T: SelectedAmount + ?Sized>(mut self, amount: &'a T) -> Self {
        self.amount = amount.amount();
        self
    }

    /// Moving an amount in minor units.
    #[inline(always)]
    pub fn amount_minor<T: SelectedMinor + ?Sized>(mut self, amount: &'a T) -> Self {
        self.amount = amount.minor();
        self
    }

    /// Moving an amount that a model wrote as a number.
    pub fn as_written<T: SelectedWritten + ?Sized>(mut self, amount: &'a T) -> Self {
        match amount.written() {
            Written::Number(Some(number)) => self.number = Some(number),
            Written::Number(None) => self.amount = Amount::Unreadable,
            Written::Other(amount) => self.amount = amount,
        }
        self
    }

    /// Of a currency.
    #[inline(always)]
    pub fn currency<T: SelectedCurrency + ?Sized>(mut self, currency: &'a T) -> Self {
        self.currency = currency.currency();
        self
    }

    /// Towards counterparties, beside those that were given before.
    #[inline(always)]
    pub fn counterparty<T: SelectedNames + ?Sized>(mut self, names: &'a T) -> Self {
        names.give(&mut self.counterparties);
        self
    }

    /// Touching resources, beside those that were given before.
    #[inline(always)]
    pub fn resource<T: SelectedNames + ?Sized>(mut self, names: &'a T) -> Self {
        names.give(&mut self.resources);
        self
    }

    /// Asks as the agent of the block, else of the process.
    ///
    /// # Errors
    /// [`Denied`]: the body must not run.
    #[inline(always)]
    pub fn ask(self) -> Result<Guarded, Denied> {
        with_current(|guard| self.put(guard))
    }

    /// Asks as the agent that the function names.
    ///
    /// # Errors
    /// [`Denied`]: the body must not run.
    #[inline(always)]
    pub fn ask_as<T: ActsAs + ?Sized>(self, agent: &T) -> Result<Guarded, Denied> {
        self.put(agent.acts_as().ok_or(DenialReason::AgentMissing))
    }

    #[inline(always)]
    fn put(&self, guard: Result<&Guard, DenialReason>) -> Result<Guarded, Denied> {
        let refuse = |reason: DenialReason| Denied::new(reason.into(), self.action, None, None);
        let guard = guard.map_err(refuse)?;
        let place = known_place().map_err(|_| refuse(DenialReason::Internal))?;
        let request = ActionRequest {
            action: self.action,
            amount: self.number.as_deref().map_or(self.amount, Amount::AsWritten),
            currency: self.currency,
            counterparties: self.counterparties.names(),
            resources: self.resources.names(),
        };
        let Some(place) = place else {
            let running = guard.admit(&request)?.begin()?;
            return Ok(Guarded { running, place: None });
        };
        let running = guard.admit_in(&request, &place.context())?.begin()?;
        let place = running.receipt().map(|receipt| place.after(receipt));
        Ok(Guarded { running, place })
    }
}

/// An action that was admitted: its body comes next.
#[must_use = "the body has to run"]
#[derive(Debug)]
pub struct Guarded {
    running: Running,
    place: Option<Place>,
}

impl Guarded {
    /// Runs the body, and records how it ended.
    #[inline]
    pub fn run<R: Answer>(self, body: impl FnOnce() -> R) -> R {
        let Self { running, mut place } = self;
        let mut end = End(Some(running));
        let answer = {
            let _there = stay(&mut place);
            body()
        };
        end.told(&answer);
        answer
    }

    /// The body, and how it ended: also if it is never awaited to its end.
    #[inline]
    pub fn follow<F: Future<Output: Answer>>(self, body: F) -> Following<F> {
        Following { body: Some(body), running: Some(self.running), place: self.place }
    }
}

pin_project! {
    /// The body of an asynchronous function that was admitted.
    #[must_use = "the body has to be awaited"]
    pub struct Following<F> {
        #[pin]
        body: Option<F>,
        running: Option<Running>,
        place: Option<Place>,
    }

    impl<F> PinnedDrop for Following<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            {
                let _there = stay(this.place);
                this.body.set(None);
            }
            // Whoever drops a body before it has ended calls it off.
            if let Some(running) = this.running.take() {
                running.cancelled();
            }
        }
    }
}

impl<F: Future<Output: Answer>> Future for Following<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        // INVARIANT: there is a body until this is dropped.
        let Some(body) = this.body.as_pin_mut() else { return Poll::Pending };
        let mut end = End(this.running.take());
        let polled = {
            let _there = stay(this.place);
            body.poll(context)
        };
        match &polled {
            Poll::Ready(answer) => end.told(answer),
            Poll::Pending => *this.running = end.0.take(),
        }
        polled
    }
}

/// An action whose body runs now. Dropped in that, by a panic, the body raised.
struct End(Option<Running>);

impl End {
    #[inline]
    fn told(&mut self, answer: &impl Answer) {
        if let Some(running) = self.0.take() {
            if answer.has_returned() { running.returned() } else { running.raised() }
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if let Some(running) = self.0.take() {
            running.raised();
        }
    }
}

/// What a guarded function gives: a denial has a way out of it, and an error can be told from success.
#[diagnostic::on_unimplemented(
    message = "a guarded function returns a `Result`, so that a denial has a way out, and `{Self}` is none",
    label = "no `Result`",
    note = "write `Result<{Self}, E>` where `E: From<kakunin_core::guard::Denied>`; `Box<dyn std::error::Error + Send + Sync>` is one such"
)]
pub trait Answer {
    /// The denial as the function's own error.
    fn denied(denied: Denied) -> Self;

    /// Whether the body did what it was for.
    fn has_returned(&self) -> bool;
}

impl<T, E: From<Denied>> Answer for Result<T, E> {
    fn denied(denied: Denied) -> Self {
        Err(E::from(denied))
    }

    #[inline]
    fn has_returned(&self) -> bool {
        self.is_ok()
    }
}

/// The denial as the function's own answer.
#[cold]
pub fn refused<R: Answer>(denied: Denied) -> R {
    R::denied(denied)
}

/// The future that a body makes, now that it may.
pub fn made<F>(body: impl FnOnce() -> F) -> F {
    body()
}

/// The future of a function that returned one before, too: a linter would ask to write `async fn` if it stood alone.
pub const fn when_polled<F>(future: F) -> F {
    future
}
