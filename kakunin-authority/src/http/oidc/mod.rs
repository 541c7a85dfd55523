//! Tokens of OpenID Connect, by which a pipeline proves what it is: exchanged for an API key that lasts some minutes.
//!
//! Takes in a token that the host of a pipeline signed about one of its jobs, and what the operator wrote down: which
//! issuers are believed, by which keys, and what a job of this subject and these claims may do. Gives out a grant, or why
//! there is none. Nothing is fetched: an issuer's keys are a file beside the grants, which the operator keeps up to date, so
//! nobody makes this service ask anybody anything. A token is good once.
//!
//! It signs nobody in: there are no sessions, no refreshing, no discovery, and a subject is compared as a whole.

mod grants;
mod keys;
mod token;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use axum::http::StatusCode;
use kakunin_core::digest::Digest;
use kakunin_core::time::UnixTime;

use self::grants::Grants;
use self::token::{Token, Unproven};
use super::error::Refusal;

pub use self::grants::GrantsError;
pub(crate) use self::grants::{EXCHANGED, Granted};
pub use self::keys::IssuerKeysError;

/// Pipelines that are believed, and what they may do.
#[derive(Debug)]
pub struct Pipelines {
    grants: Grants,
    used: Used,
}

impl Pipelines {
    /// Reads grants from a file in TOML. The files of keys are looked for beside it, and have to be there.
    ///
    /// # Errors
    /// [`GrantsError`]: a file that cannot be read, or a grant that says less than it has to.
    pub fn read(path: &Path) -> Result<Self, GrantsError> {
        Ok(Self { grants: Grants::read(path)?, used: Used::default() })
    }

    /// What whoever has this token may do, by the keys of the issuer as they are now.
    ///
    /// # Errors
    /// [`Refusal`]: a token that is not proven, was exchanged before, or is of a job that has no grant.
    pub(crate) fn exchange(&self, text: &str, now: UnixTime) -> Result<Granted, Refusal> {
        let unproven = |unproven: Unproven| {
            Refusal::new(StatusCode::UNAUTHORIZED, "oidc.token", format!("the token is no good: {unproven}"))
        };
        let token = Token::parse(text).map_err(unproven)?;
        let issuer = self.grants.issuer(&token).ok_or_else(|| unproven(Unproven::Issuer))?;
        let keys = issuer.keys().map_err(|error| Refusal {
            cause: Some(error.to_string()),
            ..Refusal::unavailable("oidc.keys", "the keys of this issuer cannot be read; the log tells why")
        })?;
        let proven = token.prove(&keys, issuer.audience(), now).map_err(unproven)?;
        let granted = issuer.grant(&proven).ok_or_else(|| {
            let text = format!("there is no grant for the subject `{}` with these claims", proven.subject());
            Refusal::new(StatusCode::FORBIDDEN, "oidc.grant", text)
        })?;
        self.used.take(proven.name(), proven.ends(), now)?;
        Ok(granted)
    }
}

/// Tokens that were exchanged and have not ended. A restart forgets them; by then most have ended.
#[derive(Debug, Default)]
struct Used(Mutex<HashMap<Digest, UnixTime>>);

impl Used {
    fn take(&self, name: Digest, ends: UnixTime, now: UnixTime) -> Result<(), Refusal> {
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if used.len() >= MOST_USED {
            used.retain(|_, ends| now < *ends);
        }
        // Forgetting one that has not ended would make it good again.
        if used.len() >= MOST_USED {
            return Err(Refusal::unavailable("busy", "too many tokens were exchanged lately; try again"));
        }
        match used.insert(name, ends) {
            None => Ok(()),
            Some(_) => {
                let text = "the token was exchanged before; a job asks for another one";
                Err(Refusal::new(StatusCode::UNAUTHORIZED, "oidc.used", text))
            }
        }
    }
}

/// Each is a job within an hour: some megabytes.
const MOST_USED: usize = 65_536;

#[cfg(test)]
mod tests;
