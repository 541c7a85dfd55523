//! What was written: the arguments of the attribute, and the function below it.
//!
//! Takes in tokens, gives out parts that have the right form. Whether they make sense together is for `valid`.

use proc_macro2::{Span, TokenStream};
use syn::ext::IdentExt as _;
use syn::parse::{Parse, ParseStream, Parser as _};
use syn::token::Brace;
use syn::{Attribute, Error, Expr, Ident, Path, Result, Signature, Token, Visibility, braced};

/// A guarded function, as it was written.
pub(crate) struct Item {
    pub(crate) arguments: Arguments,
    pub(crate) function: Function,
}

/// The arguments of the attribute.
pub(crate) struct Arguments {
    pub(crate) action: Expr,
    pub(crate) selectors: Vec<Selector>,
    /// Where our core is found.
    pub(crate) core: Option<Path>,
}

/// `role = expression`.
pub(crate) struct Selector {
    pub(crate) role: Ident,
    pub(crate) value: Expr,
}

/// A function of any kind; its body stays as it is.
pub(crate) struct Function {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) visibility: Visibility,
    pub(crate) default: Option<Ident>,
    pub(crate) signature: Signature,
    pub(crate) brace: Brace,
    pub(crate) inner: Vec<Attribute>,
    pub(crate) body: TokenStream,
}

impl Item {
    pub(crate) fn parse(arguments: TokenStream, item: TokenStream) -> Result<Self> {
        if arguments.is_empty() {
            return Err(Error::new(Span::call_site(), NO_ACTION));
        }
        let arguments = Arguments::parse.parse2(arguments)?;
        Ok(Self { arguments, function: Function::parse.parse2(item)? })
    }
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        if input.peek(Ident::peek_any) && input.peek2(Token![=]) {
            return Err(input.error(NO_ACTION));
        }
        let action = input.parse()?;
        let (mut selectors, mut core) = (Vec::new(), None);
        while !input.is_empty() {
            input.parse::<Token![,]>()?;
            if input.is_empty() {
                break;
            }
            let role = input.call(Ident::parse_any)?;
            if !input.peek(Token![=]) {
                return Err(Error::new(role.span(), "a selector is written `role = expression`"));
            }
            input.parse::<Token![=]>()?;
            if role == "crate" {
                core = Some(input.call(Path::parse_mod_style)?);
            } else {
                selectors.push(Selector { role, value: input.parse()? });
            }
        }
        Ok(Self { action, selectors, core })
    }
}

impl Parse for Function {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let attributes = input.call(Attribute::parse_outer)?;
        let visibility = input.parse()?;
        let is_default =
            input.peek(Ident) && input.fork().parse::<Ident>().is_ok_and(|word| word == "default");
        let default = is_default.then(|| input.parse()).transpose()?;
        let signature: Signature = input.parse().map_err(|error| Error::new(error.span(), NO_FUNCTION))?;
        if input.peek(Token![;]) {
            return Err(Error::new_spanned(&signature, NO_BODY));
        }
        let block;
        let brace = braced!(block in input);
        let inner = block.call(Attribute::parse_inner)?;
        Ok(Self { attributes, visibility, default, signature, brace, inner, body: block.parse()? })
    }
}

const NO_ACTION: &str =
    "the first argument is the action, for example `#[verify_agent_scope(\"payments:send\", ..)]`";
const NO_FUNCTION: &str =
    "`verify_agent_scope` guards functions and methods; put it on each `fn` that acts, not on what holds it";
const NO_BODY: &str =
    "there is no body to guard in a declaration; put `verify_agent_scope` on each implementation";
