//! How a function gives its result: at once, when it is awaited, or as a future that it returns.
//!
//! Takes in a signature and a body, gives out a [`Kind`], by what is written and not by what it means: a result behind
//! an alias is looked at by the types. A function that cannot be told to anybody is refused.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens as _;
use syn::parse::Parser as _;
use syn::{
    Block, Error, Expr, GenericArgument, PathArguments, PathSegment, Result, ReturnType, Stmt, Type,
    TypeParamBound,
};

use crate::ast::Function;

/// How a function gives its result.
pub(crate) enum Kind {
    /// It returns the result.
    Plain,
    /// It is an `async fn`.
    Async,
    /// It returns a future.
    Future {
        /// Whether the future is boxed and pinned, as `#[async_trait]` does it.
        boxed: bool,
        /// What the future gives.
        output: Box<Type>,
        /// The body.
        body: Making,
    },
}

/// How a body makes the future that it returns.
pub(crate) enum Making {
    /// It is this `async` block and nothing else.
    Block(Box<Block>),
    /// In any other way.
    Tokens(TokenStream),
}

impl Kind {
    pub(crate) fn of(function: &Function) -> Result<Self> {
        let signature = &function.signature;
        let ReturnType::Type(_, returned) = &signature.output else {
            let what =
                format!("a guarded function returns a `Result`, so that a denial has a way out; {WRITE}");
            return Err(Error::new_spanned(signature, what));
        };
        if signature.asyncness.is_some() {
            check_result(returned)?;
            return Ok(Self::Async);
        }
        let Some((boxed, output)) = future(returned) else {
            check_result(returned)?;
            return Ok(Self::Plain);
        };
        check_result(output)?;
        let body = making(&function.body, boxed);
        Ok(Self::Future { boxed, output: Box::new(output.clone()), body })
    }
}

/// Refuses what is no `Result` under any name, and work that would begin behind the guard's back.
fn check_result(returned: &Type) -> Result<()> {
    let path = match returned {
        Type::Path(path) => path,
        Type::Paren(inner) => return check_result(&inner.elem),
        Type::Group(inner) => return check_result(&inner.elem),
        other => {
            let what = format!(
                "a guarded function returns a `Result`, so that a denial has a way out, and `{}` is none; {WRITE}",
                tidy(other)
            );
            return Err(Error::new_spanned(other, what));
        }
    };
    let held = path.path.segments.last().map(|last| &last.arguments);
    if held.is_some_and(|held| names_future(held.to_token_stream())) {
        let what = "what is in this future would begin after the guard was asked, and end without being recorded; make the function `async`, or return `impl Future<Output = Result<..>>`";
        return Err(Error::new_spanned(returned, what));
    }
    Ok(())
}

fn names_future(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(word) => FUTURES.iter().any(|known| word == known),
        TokenTree::Group(group) => names_future(group.stream()),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}

/// What a returned future gives, and whether it is boxed.
fn future(returned: &Type) -> Option<(bool, &Type)> {
    match returned {
        Type::Paren(inner) => future(&inner.elem),
        Type::Group(inner) => future(&inner.elem),
        Type::ImplTrait(future) => Some((false, output(future.bounds.iter())?)),
        Type::Path(path) => {
            let last = path.path.segments.last()?;
            if last.ident == "BoxFuture" || last.ident == "LocalBoxFuture" {
                return Some((true, types(last).last()?));
            }
            let boxed = (last.ident == "Pin").then(|| types(last).next()).flatten()?;
            let Type::Path(boxed) = boxed else { return None };
            let boxed = boxed.path.segments.last().filter(|last| last.ident == "Box")?;
            let Type::TraitObject(future) = types(boxed).next()? else { return None };
            Some((true, output(future.bounds.iter())?))
        }
        _ => None,
    }
}

/// `T` of `Future<Output = T>`.
fn output<'a>(bounds: impl Iterator<Item = &'a TypeParamBound>) -> Option<&'a Type> {
    let named = bounds.filter_map(|bound| match bound {
        TypeParamBound::Trait(bound) => bound.path.segments.last(),
        _ => None,
    });
    let PathArguments::AngleBracketed(given) =
        &named.into_iter().find(|last| last.ident == "Future")?.arguments
    else {
        return None;
    };
    given.args.iter().find_map(|argument| match argument {
        GenericArgument::AssocType(given) if given.ident == "Output" => Some(&given.ty),
        _ => None,
    })
}

fn types(segment: &PathSegment) -> impl Iterator<Item = &Type> {
    let given = match &segment.arguments {
        PathArguments::AngleBracketed(given) => Some(given.args.iter()),
        _ => None,
    };
    given.into_iter().flatten().filter_map(|argument| match argument {
        GenericArgument::Type(given) => Some(given),
        _ => None,
    })
}

/// What `#[async_trait]` leaves of a body is one block, which can be run where it is and needs no second box.
fn making(body: &TokenStream, boxed: bool) -> Making {
    let whole = || Making::Tokens(body.clone());
    let Ok(statements) = Block::parse_within.parse2(body.clone()) else { return whole() };
    let [Stmt::Expr(made, None)] = statements.as_slice() else { return whole() };
    let made = match made {
        Expr::Call(call) if boxed && is_box_pin(&call.func) && call.args.len() == 1 => call.args.first(),
        made if !boxed => Some(made),
        _ => None,
    };
    match made {
        Some(Expr::Async(block)) if block.attrs.is_empty() => Making::Block(Box::new(block.block.clone())),
        _ => whole(),
    }
}

fn is_box_pin(function: &Expr) -> bool {
    let Expr::Path(path) = function else { return false };
    let mut ends = path.path.segments.iter().rev();
    ends.next().is_some_and(|last| last.ident == "pin") && ends.next().is_some_and(|last| last.ident == "Box")
}

/// A type as a person writes it.
fn tidy(tokens: &Type) -> String {
    let text = tokens.to_token_stream().to_string();
    ["& ", " ,", "< ", " >", " <", "( ", " )"]
        .iter()
        .fold(text, |text, space| text.replace(space, space.trim()))
}

const WRITE: &str = "write `-> Result<T, E>` where `E: From<kakunin_core::guard::Denied>`";
const FUTURES: [&str; 6] = ["Future", "IntoFuture", "BoxFuture", "LocalBoxFuture", "Stream", "BoxStream"];
