//! What the attribute writes, in a program that forbids what it can: no warning, no clash of names, no word of ours where
//! somebody else's are forbidden. An unsafe function is in the documentation of the attribute: none may be in this package.
#![deny(
    warnings,
    missing_docs,
    unused_qualifications,
    unreachable_pub,
    elided_lifetimes_in_paths,
    let_underscore_drop
)]
#![deny(
    unused_results,
    trivial_casts,
    variant_size_differences,
    missing_debug_implementations,
    single_use_lifetimes
)]

use kakunin_core::guard::Denied;
use kakunin_macros::verify_agent_scope;

mod names {
    //! Everything is called something else here.
    use super::{Denied, verify_agent_scope};

    struct Result;
    struct Option;
    struct Box;
    struct Some;
    struct Ok;
    struct Err;
    mod core {}
    mod std {}

    #[verify_agent_scope("read:files", resource = name)]
    pub(super) fn read(name: &str) -> ::core::result::Result<usize, ::std::boxed::Box<Denied>> {
        let (_, _, _, _, _, _) = (Result, Option, Box, Some, Ok, Err);
        ::core::result::Result::Ok(name.len())
    }

    #[verify_agent_scope("read:files", resource = name)]
    pub(super) async fn read_later(name: &str) -> ::core::result::Result<usize, ::std::boxed::Box<Denied>> {
        ::core::result::Result::Ok(name.len())
    }
}

mod elsewhere {
    //! Where the core is found by another path.
    pub(crate) mod agents {
        pub(crate) use kakunin_core::guard;
    }
}

/// The core has another name here.
///
/// # Errors
/// The denial.
#[verify_agent_scope("read:files", resource = name, crate = crate::elsewhere::agents)]
pub fn read(name: &str) -> Result<usize, Box<Denied>> {
    Ok(name.len())
}

/// Two leashes: both are asked, and both have to allow it.
///
/// # Errors
/// The denial.
#[must_use = "somebody should look"]
#[verify_agent_scope("read:files", resource = name)]
#[verify_agent_scope("read:names", resource = name)]
pub fn read_both(name: &str) -> Result<usize, Box<Denied>> {
    Ok(name.len())
}

/// A constant parameter stays one.
///
/// # Errors
/// The denial.
#[verify_agent_scope("read:files")]
pub fn bytes<const N: usize>() -> Result<[u8; N], Box<Denied>> {
    Ok([0; N])
}

fn main() {
    assert!(names::read("a").is_err() && read("a").is_err() && read_both("a").is_err());
    let _: fn() -> Result<[u8; 2], Box<Denied>> = bytes::<2>;
    drop(names::read_later("a"));
}
