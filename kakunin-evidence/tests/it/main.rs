//! The data files through the public API: against NIST's catalogs, and against their own rules.
#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

mod catalogs;
mod frameworks;
