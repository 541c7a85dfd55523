//! Pages: how many rows a list answers with at once.

use super::error::Refusal;

/// Reads `limit`.
///
/// # Errors
/// [`Refusal`] outside 1 to 100.
pub(crate) fn limit(text: Option<&str>, usual: u32) -> Result<u32, Refusal> {
    let Some(text) = text else { return Ok(usual) };
    let number = text.parse().ok().filter(|limit| (1..=MOST).contains(limit));
    number.ok_or_else(|| Refusal::invalid(format!("`limit` has to be a whole number from 1 to {MOST}")))
}

/// Reads `offset`.
///
/// # Errors
/// [`Refusal`] when it is no whole number.
pub(crate) fn offset(text: Option<&str>) -> Result<u32, Refusal> {
    let Some(text) = text else { return Ok(0) };
    text.parse().map_err(|_| Refusal::invalid("`offset` has to be a whole number"))
}

const MOST: u32 = 100;
