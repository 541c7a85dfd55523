//! `#[verify_agent_scope(..)]`: the guard in front of a Rust function.
//!
//! Takes in token trees and gives out token trees: `ast` reads what was written, `valid` refuses what cannot be guarded
//! and says what to write instead, `expand` writes the guarded function. Nothing is decided here; what it writes calls
//! `kakunin_core::guard::attribute`. Use it as `kakunin_core::verify_agent_scope`, with the feature `macros`.

mod ast;
mod expand;
mod kind;
mod valid;

use proc_macro::TokenStream;

/// Asks the agent's guard before the function runs, and records how it ended.
///
/// ```ignore
/// #[verify_agent_scope("payments:send", amount = order.total, currency = "EUR", counterparty = order.to.as_str())]
/// async fn send(order: Order) -> Result<Receipt, PayError> { .. } // PayError: From<kakunin_core::guard::Denied>
/// ```
///
/// The first argument is the action, a literal or the name of a constant or parameter. The others are selectors: any
/// expression over the function's parameters, of which a reference is taken before the body.
///
/// | selector | takes |
/// | --- | --- |
/// | `amount` | decimal text in whole units: `str`, `String`; `as_written(..)` around a number that a model wrote |
/// | `amount_minor` | an integer of minor units, in place of `amount` |
/// | `currency` | a literal `"EUR"`, or text; with an amount always, without one never |
/// | `counterparty`, `resource` | a name, or several in a list, a `Vec`, a slice or a set; `[a, b]` puts several selectors together |
/// | `agent` | the `Guard` to act as; without it the agent of the block, then that of the process |
/// | `crate` | the path of `kakunin_core`, where it has another |
///
/// `None` was not given. `Err` cannot be read, and is denied. A selector that panics ends the call before anything was
/// asked; one that would leave the function or wait (`?`, `return`, `.await`) is refused.
///
/// The function returns a `Result` whose error can be made `From` a denial. `Ok` is recorded as returned, `Err` and a
/// panic as raised, a future that was dropped as cancelled. An asynchronous function, one that returns `impl Future`,
/// or a boxed future as `#[async_trait]` makes it, is judged at its first poll and not when it is called. What is handed
/// out in an `Ok`, an iterator for instance, is beyond the guard; a future there is refused.
#[proc_macro_attribute]
pub fn verify_agent_scope(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let item = proc_macro2::TokenStream::from(item);
    let read = ast::Item::parse(arguments.into(), item.clone());
    match read.and_then(|read| valid::check(&read).map(|checked| expand::guarded(&checked))) {
        Ok(guarded) => guarded.into(),
        // The function stays, so that its callers are not reported too: nothing is built in either case.
        Err(error) => {
            let mut refused = error.into_compile_error();
            refused.extend(item);
            refused.into()
        }
    }
}
