//! Orders given here, as the audit log has them.

use kakunin_authority::deed::Deed;
use kakunin_authority::{Authority, Who};

use crate::answer::Failure;

/// An order about an agent that exists.
pub(crate) fn about(
    authority: &Authority<'_>,
    who: &Who,
    what: &'static str,
    after: Option<String>,
    text: impl Into<String>,
) -> Result<Deed, Failure> {
    let agent = authority.find(who)?;
    let (subject, before) = (agent.id.to_string(), Some(agent.standing.word().into()));
    Ok(Deed { what, subject, before, after, text: text.into() })
}

/// An order about the authority itself.
pub(crate) fn own(what: &'static str, text: impl Into<String>) -> Deed {
    Deed { what, subject: "authority".into(), before: None, after: None, text: text.into() }
}
