//! The guarded function: asks, then runs the body that was written.
//!
//! The body becomes a closure or an `async` block, so that `return` and `?` end it and the outcome is seen. Names of ours
//! have the hygiene of local variables in `macro_rules!`: a body can neither see nor shadow them.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens as _, quote_spanned};
use syn::spanned::Spanned as _;
use syn::visit_mut::{VisitMut, visit_type_mut};
use syn::{Expr, ReturnType, Type};

use crate::ast::Function;
use crate::kind::{Kind, Making};
use crate::valid::{AmountSelector, Checked};

pub(crate) fn guarded(checked: &Checked<'_>) -> TokenStream {
    let site = Span::mixed_site();
    let Function { attributes, visibility, default, signature, brace, inner, body } = checked.function;
    let ours = ours(checked, site);
    let asked = asked(checked, &ours);
    let written = match &signature.output {
        ReturnType::Type(_, written) => without_impl(written),
        ReturnType::Default => Type::Verbatim(quote_spanned!(site=> ())),
    };
    let guarded = match &checked.kind {
        Kind::Plain => quote_spanned! {site=>
            #asked
            guarded.run(move || -> #written { #body })
        },
        Kind::Async => {
            let gives = gives(&written);
            quote_spanned! {site=>
                #asked
                guarded.follow(async move { #gives #body }).await
            }
        }
        Kind::Future { boxed, output, body } => {
            let gives = gives(&without_impl(output));
            let body = match body {
                Making::Block(block) => block.stmts.iter().map(quote::ToTokens::to_token_stream).collect(),
                Making::Tokens(body) if *boxed => {
                    quote_spanned!(site=> #ours::made(move || -> #written { #body }).await)
                }
                Making::Tokens(body) => quote_spanned!(site=> #ours::made(move || { #body }).await),
            };
            let future = quote_spanned! {site=>
                async move {
                    #gives
                    #asked
                    guarded.follow(async move { #gives #body }).await
                }
            };
            if *boxed {
                quote_spanned!(site=> ::std::boxed::Box::pin(#future))
            } else {
                quote_spanned!(site=> #ours::when_polled(#future))
            }
        }
    };
    let mut function = quote_spanned!(site=> #(#attributes)* #visibility #default #signature);
    // The braces stay where they were, so that the compiler shows the function and not the attribute.
    brace.surround(&mut function, |block| block.extend(quote_spanned!(site=> #(#inner)* #guarded)));
    function
}

/// The room that the written code calls, as if it stood at `site`.
fn ours(checked: &Checked<'_>, site: Span) -> TokenStream {
    let core =
        checked.core.map_or_else(|| quote_spanned!(site=> ::kakunin_core), |core| core.to_token_stream());
    quote_spanned!(site=> #core::guard::attribute)
}

/// Binds `guarded`, or returns the denial.
fn asked(checked: &Checked<'_>, ours: &TokenStream) -> TokenStream {
    let site = Span::mixed_site();
    let action = checked.action;
    let mut question = quote_spanned!(site=> #ours::Question::new(#action));
    let mut add = |role: &str, selector: &Expr| {
        let role = Ident::new(role, site);
        // Where a value is of a type that is none of its role, the compiler points at the selector.
        let value = quote_spanned!(site.located_at(selector.span())=> &(#selector));
        question = quote_spanned!(site=> #question.#role(#value));
    };
    match checked.amount {
        Some(AmountSelector::Decimal(selector)) => add("amount", selector),
        Some(AmountSelector::Minor(selector)) => add("amount_minor", selector),
        Some(AmountSelector::AsWritten(selector)) => add("as_written", selector),
        None => {}
    }
    checked.currency.iter().for_each(|selector| add("currency", selector));
    checked.counterparties.iter().for_each(|selector| add("counterparty", selector));
    checked.resources.iter().for_each(|selector| add("resource", selector));
    let answer = match checked.agent {
        Some(agent) => {
            let agent = quote_spanned!(site.located_at(agent.span())=> &(#agent));
            quote_spanned!(site=> #question.ask_as(#agent))
        }
        None => quote_spanned!(site=> #question.ask()),
    };
    let refused = match &checked.function.signature.output {
        ReturnType::Type(_, written) => {
            let there = site.located_at(written.span());
            let ours = self::ours(checked, there);
            quote_spanned!(there=> #ours::refused(denied))
        }
        ReturnType::Default => quote_spanned!(site=> #ours::refused(denied)),
    };
    quote_spanned! {site=>
        let guarded = match #answer {
            ::core::result::Result::Ok(guarded) => guarded,
            ::core::result::Result::Err(denied) => return #refused,
        };
    }
}

/// Says what an `async` block gives, which nothing else can say to the `?` in it.
fn gives(output: &Type) -> TokenStream {
    let site = Span::mixed_site();
    quote_spanned! {site=>
        if let ::core::option::Option::Some(given) = ::core::option::Option::None::<#output> {
            return given;
        }
    }
}

/// The type with a hole for each `impl Trait`, which has no name where a body is written.
fn without_impl(written: &Type) -> Type {
    let mut type_ = written.clone();
    Unnamed.visit_type_mut(&mut type_);
    type_
}

struct Unnamed;

impl VisitMut for Unnamed {
    fn visit_type_mut(&mut self, part: &mut Type) {
        if matches!(part, Type::ImplTrait(_)) {
            *part = Type::Verbatim(quote_spanned!(part.span()=> _));
        }
        visit_type_mut(self, part);
    }
}
