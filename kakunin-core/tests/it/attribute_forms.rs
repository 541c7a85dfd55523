//! `#[verify_agent_scope(..)]` on every kind of function. Each stays what it was, and none runs unasked.

// The code that the attribute writes must raise nothing in a house with stricter rules than ours.
#![warn(
    clippy::pedantic,
    clippy::nursery,
    unused,
    let_underscore_drop,
    single_use_lifetimes,
    unused_lifetimes
)]

use std::cell::Cell;
use std::fmt::{Debug, Display};
use std::future::Future;
use std::pin::Pin;

use async_trait::async_trait;
use kakunin_core::guard::{Denied, with_agent};
use kakunin_macros::verify_agent_scope;

use crate::attribute::{Failure, Order, code, order, pause, pay, pay_later, wait};
use crate::guard::House;

struct Desk<'a, T> {
    paid: Vec<&'a T>,
    open: String,
}

impl<'a, T: Display + Sync> Desk<'a, T> {
    /// By mutable reference, with a generic amount and a lifetime in the answer.
    #[inline]
    #[verify_agent_scope("payments:send", amount = total.to_string(), currency = "EUR", counterparty = to)]
    fn method(&mut self, total: &'a T, to: &str) -> Result<&mut Vec<&'a T>, Failure>
    where
        T: Debug,
    {
        self.paid.push(total);
        Ok(&mut self.paid)
    }

    #[verify_agent_scope("payments:send", amount = &self.open, currency = "EUR", counterparty = "acme",)]
    fn consumes(self) -> Result<Self, Failure> {
        Ok(self)
    }

    #[verify_agent_scope("payments:send", amount = total, currency = "EUR", counterparty = "acme")]
    fn associated(total: impl AsRef<str> + kakunin_core::selector::SelectedAmount) -> Result<usize, Failure> {
        Ok(total.as_ref().len())
    }

    #[verify_agent_scope("payments:send", amount = total, currency = "EUR", counterparty = ["acme", None::<&str>, self.paid.is_empty().then_some("acme")])]
    async fn awaited(&self, total: &str) -> Result<&str, Failure> {
        pause().await;
        Ok(&self.open)
    }

    #[verify_agent_scope("payments:send", amount = total, currency = "EUR", counterparty = "acme")]
    fn some_iterator(&self, total: &str) -> Result<impl Iterator<Item = usize> + use<'_, 'a, T>, Failure> {
        if self.open.is_empty() {
            Err("nothing is open")?;
        }
        Ok(self.open.bytes().map(usize::from))
    }

    #[verify_agent_scope("payments:send", amount = total, currency = "EUR", counterparty = "acme")]
    async fn some_iterator_later(&self, total: &str) -> Result<impl Iterator<Item = usize>, Failure> {
        pause().await;
        if self.open.is_empty() {
            Err("nothing is open")?;
        }
        Ok(std::iter::once(self.open.len()))
    }
}

/// A pattern, a `mut` and a constant.
#[verify_agent_scope("payments:send", amount_minor = cents * 2, currency = EURO, counterparty = to)]
fn patterns(Order { to, .. }: Order, (mut cents, ()): (i64, ())) -> Result<i64, Failure> {
    cents += 1;
    while cents > 10 {
        cents -= 10;
    }
    Ok(cents + i64::try_from(to.len()).map_err(|_| "too long")?)
}

const EURO: &str = "EUR";
const SEND: &str = "payments:send";

#[verify_agent_scope(SEND, amount = as_written(total), currency = "EUR", counterparty = args["to"])]
fn as_a_model_wrote(total: f64, args: &serde_json::Value) -> Result<(), Failure> {
    assert!(args.is_object() && total > 0.0);
    Ok(())
}

#[verify_agent_scope("read:files", resource = path)]
fn single_call(path: &std::path::Path) -> Result<(), Failure> {
    done()
}

#[expect(
    clippy::missing_const_for_fn,
    clippy::unnecessary_wraps,
    reason = "it stands for one that is called"
)]
fn done() -> Result<(), Failure> {
    Ok(())
}

trait Bank {
    #[verify_agent_scope("payments:send", amount = total, currency = "EUR", counterparty = "acme")]
    fn by_default(&self, total: &str) -> Result<usize, Failure> {
        Ok(total.len())
    }

    fn implemented(&self, total: &str) -> Result<usize, Failure>;

    fn later(&self, total: &str) -> impl Future<Output = Result<usize, Failure>> + Send;

    fn future(&self, total: String) -> impl Future<Output = Result<usize, Failure>> + Send;
}

struct Account(usize);

impl Bank for Account {
    #[verify_agent_scope("payments:send", amount = total, currency = "EUR", counterparty = "acme")]
    fn implemented(&self, total: &str) -> Result<usize, Failure> {
        Ok(self.0 + total.len())
    }

    #[verify_agent_scope("payments:send", amount = total, currency = "EUR", counterparty = "acme")]
    async fn later(&self, total: &str) -> Result<usize, Failure> {
        pause().await;
        Ok(self.0 + total.len())
    }

    #[verify_agent_scope("payments:send", amount = total, currency = "EUR", counterparty = "acme")]
    fn future(&self, total: String) -> impl Future<Output = Result<usize, Failure>> + Send {
        let known = self.0;
        async move {
            pause().await;
            Ok(known + total.len())
        }
    }
}

/// What `#[async_trait]` makes of an `async fn` reaches the attribute as a function that returns a box.
#[async_trait]
trait BoxedBank {
    #[verify_agent_scope("payments:send", amount = total, currency = "EUR", counterparty = "acme")]
    async fn by_default(&self, total: &str) -> Result<usize, Failure> {
        Ok(total.len())
    }

    async fn implemented(&self, order: Order) -> Result<usize, Failure>;
}

#[async_trait]
impl BoxedBank for Account {
    #[verify_agent_scope("payments:send", amount = order.total, currency = "EUR", counterparty = self.name(&order))]
    async fn implemented(&self, order: Order) -> Result<usize, Failure> {
        pause().await;
        if order.total == "13" {
            return Err(Failure::Bank("unlucky"));
        }
        Ok(self.0 + order.total.len())
    }
}

impl Account {
    #[expect(clippy::unused_self, reason = "a selector may call a method")]
    fn name(&self, order: &Order) -> String {
        order.to.clone()
    }
}

#[async_trait(?Send)]
trait LocalBank {
    async fn implemented(&mut self, total: std::rc::Rc<str>) -> Result<usize, Failure>;
}

#[async_trait(?Send)]
impl LocalBank for Account {
    #[verify_agent_scope("payments:send", amount = total, currency = "EUR", counterparty = "acme")]
    async fn implemented(&mut self, total: std::rc::Rc<str>) -> Result<usize, Failure> {
        pause().await;
        self.0 += 1;
        Ok(total.len() + self.0)
    }
}

/// A box by hand, made in more than one step.
#[verify_agent_scope("payments:send", amount = total, currency = "EUR", counterparty = "acme")]
fn boxed<'a>(
    total: &'a str,
    made: &'a Cell<bool>,
) -> Pin<Box<dyn Future<Output = Result<usize, Failure>> + 'a>> {
    made.set(true);
    if total == "13" {
        return Box::pin(std::future::ready(Err(Failure::Bank("unlucky"))));
    }
    Box::pin(async move {
        pause().await;
        Ok(total.len())
    })
}

#[verify_agent_scope("payments:send", amount = total, currency = "EUR", counterparty = "acme")]
async fn counts_down(total: String, rounds: u32) -> Result<u32, Failure> {
    if rounds == 0 {
        return Ok(0);
    }
    Ok(1 + Box::pin(counts_down(total, rounds - 1)).await?)
}

macro_rules! guarded {
    ($name:ident, $action:literal, $total:ident) => {
        #[verify_agent_scope($action, amount = $total, currency = "EUR", counterparty = "acme")]
        fn $name($total: &str) -> Result<usize, Failure> {
            // The names of the expansion are no names here.
            let guarded = $total.len();
            Ok(guarded)
        }
    };
}

guarded!(from_a_macro, "payments:send", amount);

/// Names that the expansion uses as well are the function's own.
#[verify_agent_scope("payments:send", amount = guarded, currency = given, counterparty = denied)]
async fn same_names(guarded: &str, given: &str, denied: &str) -> Result<usize, Failure> {
    pause().await;
    Ok(guarded.len() + given.len() + denied.len())
}

/// The error may be the denial itself.
#[verify_agent_scope("payments:send", amount = total, currency = "EUR", counterparty = "acme")]
fn only_denials(total: &str) -> Result<(), Box<Denied>> {
    Ok(())
}

#[test]
fn every_kind_of_function_is_guarded_and_stays_what_it_was() {
    let house = House::new();
    let guard = house.guard();
    let (account, much) = (Account(1), "100.01");
    let desk = || Desk::<f32> { paid: Vec::new(), open: much.to_owned() };
    let made = Cell::new(false);
    let is = |expected: &'static str, answer: Result<(), Failure>| assert_eq!(code(answer), expected);
    let run = |total: &'static str, expected: &'static str| {
        is(expected, pay(&order(total)).map(drop));
        is(expected, (pay as fn(&Order) -> Result<usize, Failure>)(&order(total)).map(drop));
        is(expected, std::iter::once(&order(total)).map(pay).sum::<Result<usize, _>>().map(drop));
        is(expected, wait(pay_later(order(total))).map(drop));
        is(expected, desk().method(&total.parse().unwrap(), "acme").map(drop));
        is(expected, Desk { open: total.to_owned(), ..desk() }.consumes().map(drop));
        is(expected, Desk::<f32>::associated(total).map(drop));
        is(expected, wait(desk().awaited(total)).map(drop));
        is(expected, desk().some_iterator(total).map(drop));
        is(expected, wait(desk().some_iterator_later(total)).map(drop));
        is(expected, Bank::by_default(&account, total).map(drop));
        is(expected, Bank::implemented(&account, total).map(drop));
        is(expected, wait(account.later(total)).map(drop));
        is(expected, wait(account.future(total.to_owned())).map(drop));
        is(expected, wait(BoxedBank::by_default(&account, total)).map(drop));
        is(expected, wait(BoxedBank::implemented(&account, order(total))).map(drop));
        is(expected, wait((&account as &dyn BoxedBank).implemented(order(total))).map(drop));
        is(expected, wait(LocalBank::implemented(&mut Account(1), total.into())).map(drop));
        is(expected, wait(boxed(total, &made)).map(drop));
        is(expected, wait(counts_down(total.to_owned(), 2)).map(drop));
        is(expected, from_a_macro(total).map(drop));
        is(expected, wait(same_names(total, "EUR", "acme")).map(drop));
        is(expected, only_denials(total).map_err(Failure::Denied));
        let cents = if expected == "allow" { 75 } else { 5_001 };
        is(expected, patterns(order(total), (cents, ())).map(drop));
        is(expected, as_a_model_wrote(total.parse().unwrap(), &serde_json::json!({"to": "acme"})).map(drop));
    };
    with_agent(&guard, || {
        run("1.5", "allow");
        assert!(made.take());
        run("100.01", "scope.amount");
        assert!(!made.get(), "no part of a body ran");
        assert_eq!(code(single_call(std::path::Path::new("/etc/passwd"))), "allow");
        assert_eq!(
            wait(BoxedBank::implemented(&account, order("13"))).map_err(|error| error.to_string()),
            Err("unlucky".to_owned())
        );
    });
}
