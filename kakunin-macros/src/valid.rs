//! What can be guarded: refuses the rest, with what to write instead.
//!
//! Takes in what was written, gives out a [`Checked`] that `expand` can write without a doubt. What only the types can
//! say (that the result is a `Result`, that a selector gives an amount) is left to them.

use syn::spanned::Spanned as _;
use syn::visit_mut::{VisitMut, visit_expr_mut};
use syn::{Error, Expr, ExprLit, Ident, Lit, Path, Result};

use crate::ast::{Arguments, Function, Item};
use crate::kind::Kind;

/// A function that can be guarded, and by what.
pub(crate) struct Checked<'a> {
    pub(crate) function: &'a Function,
    pub(crate) kind: Kind,
    pub(crate) action: &'a Expr,
    pub(crate) amount: Option<AmountSelector<'a>>,
    pub(crate) currency: Option<&'a Expr>,
    pub(crate) counterparties: Vec<&'a Expr>,
    pub(crate) resources: Vec<&'a Expr>,
    pub(crate) agent: Option<&'a Expr>,
    pub(crate) core: Option<&'a Path>,
}

/// How the amount is given.
pub(crate) enum AmountSelector<'a> {
    Decimal(&'a Expr),
    Minor(&'a Expr),
    AsWritten(&'a Expr),
}

pub(crate) fn check(item: &Item) -> Result<Checked<'_>> {
    let Item { arguments, function } = item;
    if let Some(constant) = &function.signature.constness {
        let what = "a guard is asked while the program runs; remove `const`, or guard the function that calls this one";
        return Err(Error::new(constant.span, what));
    }
    let kind = Kind::of(function)?;
    check_action(&arguments.action)?;
    let given = Given::of(arguments)?;
    let amount = match (given.amount, given.amount_minor) {
        (Some(_), Some(minor)) => {
            return Err(Error::new(minor.span(), "give `amount` or `amount_minor`, not both"));
        }
        (Some(decimal), None) => Some(match as_written(decimal)? {
            Some(number) => AmountSelector::AsWritten(number),
            None => AmountSelector::Decimal(decimal),
        }),
        (None, Some(minor)) => Some(AmountSelector::Minor(minor)),
        (None, None) => None,
    };
    match (&amount, given.currency) {
        (Some(_), None) => {
            let what =
                "an amount without a currency is always denied; add `currency = \"EUR\"`, or an expression";
            return Err(Error::new(given.amount.or(given.amount_minor).span(), what));
        }
        (None, Some(currency)) => {
            let what = "a currency says nothing without an amount; add `amount = ..` or `amount_minor = ..`";
            return Err(Error::new(currency.span(), what));
        }
        _ => {}
    }
    if let Some(currency) = given.currency {
        check_currency(currency)?;
    }
    Ok(Checked {
        function,
        kind,
        action: &arguments.action,
        amount,
        currency: given.currency,
        counterparties: several(given.counterparty)?,
        resources: several(given.resource)?,
        agent: given.agent,
        core: arguments.core.as_ref(),
    })
}

/// The selectors by role, each once.
#[derive(Default)]
struct Given<'a> {
    amount: Option<&'a Expr>,
    amount_minor: Option<&'a Expr>,
    currency: Option<&'a Expr>,
    counterparty: Option<&'a Expr>,
    resource: Option<&'a Expr>,
    agent: Option<&'a Expr>,
}

impl<'a> Given<'a> {
    fn of(arguments: &'a Arguments) -> Result<Self> {
        let mut given = Self::default();
        for selector in &arguments.selectors {
            let place = given.place(&selector.role)?;
            if place.replace(&selector.value).is_some() {
                let what = format!("`{}` is given twice; several names are a list: `[a, b]`", selector.role);
                return Err(Error::new(selector.role.span(), what));
            }
            only_reads(&selector.value)?;
        }
        Ok(given)
    }

    fn place(&mut self, role: &Ident) -> Result<&mut Option<&'a Expr>> {
        Ok(match role.to_string().as_str() {
            "amount" => &mut self.amount,
            "amount_minor" => &mut self.amount_minor,
            "currency" => &mut self.currency,
            "counterparty" => &mut self.counterparty,
            "resource" => &mut self.resource,
            "agent" => &mut self.agent,
            other => {
                let what = format!(
                    "there is no selector `{other}`; there are `amount`, `amount_minor`, `currency`, `counterparty`, `resource`, `agent`"
                );
                return Err(Error::new(role.span(), what));
            }
        })
    }
}

/// WIRE 1: lower-case segments joined by colons. What never can be one is found here and not at the first call.
fn check_action(action: &Expr) -> Result<()> {
    match bare(action) {
        Expr::Path(_) => Ok(()),
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) if is_action(&text.value()) => Ok(()),
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => {
            let what = format!(
                "`{}` is no action: one or more segments of `a-z 0-9 . _ @ -` joined by `:`, each beginning with a letter or digit, for example `payments:send`",
                text.value()
            );
            Err(Error::new(text.span(), what))
        }
        other => {
            let what = "the action is a literal, or the name of a constant or parameter that holds it";
            Err(Error::new(other.span(), what))
        }
    }
}

fn is_action(text: &str) -> bool {
    let begins = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let goes_on = |byte: u8| begins(byte) || matches!(byte, b'.' | b'_' | b'@' | b'-');
    let is_segment = |segment: &str| {
        segment.len() <= MAX_SEGMENT
            && segment.bytes().next().is_some_and(begins)
            && segment.bytes().all(goes_on)
    };
    text.len() <= MAX_ACTION && text.split(':').all(is_segment)
}

fn check_currency(currency: &Expr) -> Result<()> {
    let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = bare(currency) else { return Ok(()) };
    let (value, upper) = (text.value(), |byte: u8| byte.is_ascii_uppercase());
    let goes_on = |byte: u8| upper(byte) || byte.is_ascii_digit();
    if (3..=12).contains(&value.len())
        && value.bytes().next().is_some_and(upper)
        && value.bytes().all(goes_on)
    {
        return Ok(());
    }
    let what = format!(
        "`{value}` is no currency: three to twelve of `A-Z 0-9`, the first a letter, for example `EUR`"
    );
    Err(Error::new(text.span(), what))
}

/// The number in `as_written(number)`.
fn as_written(amount: &Expr) -> Result<Option<&Expr>> {
    let Expr::Call(call) = bare(amount) else { return Ok(None) };
    if !matches!(&*call.func, Expr::Path(path) if path.path.is_ident("as_written")) {
        return Ok(None);
    }
    let mut numbers = call.args.iter();
    match (numbers.next(), numbers.next()) {
        (Some(number), None) => Ok(Some(number)),
        _ => Err(Error::new(
            call.span(),
            "`as_written(..)` takes the number that a model wrote, and nothing else",
        )),
    }
}

/// The selectors of names: one, or those of a list.
fn several(selector: Option<&Expr>) -> Result<Vec<&Expr>> {
    match selector.map(bare) {
        None => Ok(Vec::new()),
        Some(Expr::Array(list)) if list.elems.is_empty() => {
            Err(Error::new(list.span(), "an empty list of selectors names nobody; leave it out"))
        }
        Some(Expr::Array(list)) => Ok(list.elems.iter().collect()),
        Some(one) => Ok(vec![one]),
    }
}

/// The expression in the invisible brackets that `macro_rules!` puts around what it was given.
fn bare(expression: &Expr) -> &Expr {
    if let Expr::Group(group) = expression { bare(&group.expr) } else { expression }
}

/// A selector looks at the arguments. What leaves the function or waits there would do so before anybody was asked.
fn only_reads(selector: &Expr) -> Result<()> {
    let mut search = Leaving(None);
    search.visit_expr_mut(&mut selector.clone());
    search.0.map_or(Ok(()), Err)
}

struct Leaving(Option<Error>);

impl VisitMut for Leaving {
    fn visit_expr_mut(&mut self, part: &mut Expr) {
        let found = match part {
            Expr::Try(_) => {
                "`?` leaves the function before anybody was asked; give the `Result` itself: an `Err` is denied"
            }
            Expr::Return(_) => {
                "a selector is a value, and `return` leaves the function before anybody was asked"
            }
            Expr::Await(_) => {
                "a selector does not wait; await the value in the caller and hand it over as a parameter"
            }
            // What they hold is no part of the selector's own way.
            Expr::Closure(_) | Expr::Async(_) => return,
            _ => return visit_expr_mut(self, part),
        };
        self.0.get_or_insert_with(|| Error::new(part.span(), found));
    }
}

const MAX_ACTION: usize = 128;
const MAX_SEGMENT: usize = 64;
