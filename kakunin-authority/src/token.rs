//! Enrolment tokens as their holders have them: `kak_enrol_<prefix>_<secret>_<SHA-256 of the root>`.
//!
//! Whoever starts an agent elsewhere gets one, and the agent gets its first certificate with it. The token says which
//! root to believe; what else it says is as an API key has it: a public prefix, and a secret that is kept as its SHA-256.

use std::fmt;

use kakunin_core::digest::{Digest, hex};
use kakunin_core::time::UnixTime;
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use crate::access::{Actor, KeyPrefix};
use crate::agent::Who;
use crate::authority::{Authority, AuthorityError};
use crate::standing::{Standing, StandingError};
use crate::store::{AgentRecord, AuditRecord, Outcome, RowSalt, TokenRecord};
use crate::term::Minutes;

/// A token with its secret; wiped when dropped and never printed by accident.
pub struct EnrolmentToken {
    prefix: KeyPrefix,
    secret: Zeroizing<String>,
    root: Digest,
}

impl EnrolmentToken {
    /// Makes a token that leads to the root with this SHA-256.
    ///
    /// # Errors
    /// [`AuthorityError::NoRandomness`].
    pub fn generate(root: Digest) -> Result<Self, AuthorityError> {
        let (mut prefix, mut secret) = ([0; 8], Zeroizing::new([0; 32]));
        let random = SystemRandom::new();
        random.fill(&mut prefix).map_err(|_| AuthorityError::NoRandomness)?;
        random.fill(&mut *secret).map_err(|_| AuthorityError::NoRandomness)?;
        Ok(Self { prefix: KeyPrefix::from_random(prefix), secret: Zeroizing::new(hex(&*secret)), root })
    }

    /// Reads a token; anything of another form is `None`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix(HEAD)?.split('_');
        let (prefix, secret, root) = (parts.next()?, parts.next()?, parts.next()?);
        let digits = secret.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let fits = secret.len() == SECRET && digits && parts.next().is_none();
        let (prefix, root) = (KeyPrefix::parse(prefix)?, Digest::from_hex(root)?);
        fits.then(|| Self { prefix, secret: Zeroizing::new(secret.to_owned()), root })
    }

    /// By which its record is found.
    #[must_use]
    pub const fn prefix(&self) -> &KeyPrefix {
        &self.prefix
    }

    /// What is kept of its secret.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.secret.as_bytes())
    }

    /// SHA-256 of the root it leads to.
    #[must_use]
    pub const fn root(&self) -> Digest {
        self.root
    }

    /// The token as its holder needs it.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{HEAD}{}_{}_{}", self.prefix, *self.secret, self.root))
    }
}

impl fmt::Debug for EnrolmentToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EnrolmentToken({})", self.prefix)
    }
}

impl Authority<'_> {
    /// Records a token for an agent in good standing, and forgets those that have ended.
    ///
    /// # Errors
    /// [`AuthorityError`]: the agent's standing, or what could not be recorded.
    pub fn keep_token(
        &mut self,
        who: &Who,
        token: &EnrolmentToken,
        minutes: Minutes,
        now: UnixTime,
    ) -> Result<TokenRecord, AuthorityError> {
        let agent = self.find(who)?;
        match agent.standing {
            Standing::Good => {}
            Standing::Held => return Err(StandingError::Held.into()),
            // It comes back by an explicit order and with papers, not by whoever has a token.
            Standing::Revoked => return Err(StandingError::NeedsAfterRevocation.into()),
        }
        let record = TokenRecord {
            prefix: token.prefix.clone(),
            secret: token.digest(),
            tenant: agent.tenant,
            agent: agent.id,
            created: now,
            expires: now.plus(i64::from(minutes.0) * 60),
            redeemed: None,
        };
        self.store.forget_tokens(now)?;
        self.store.add_token(&record)?;
        Ok(record)
    }

    /// Makes a token in the name of whoever can write into this home, with its record in the audit log.
    ///
    /// # Errors
    /// As [`Authority::keep_token`].
    pub fn make_token(
        &mut self,
        who: &Who,
        minutes: Minutes,
        now: UnixTime,
    ) -> Result<(AgentRecord, TokenRecord, EnrolmentToken), AuthorityError> {
        let agent = self.find(who)?;
        let token = EnrolmentToken::generate(self.root.decoded().thumbprint())?;
        let intent = AuditRecord {
            at: now,
            actor: Actor::Local,
            address: None,
            tenant: agent.tenant.clone(),
            what: "token.create".into(),
            subject: agent.id.to_string(),
            before: None,
            after: Some(token.prefix.to_string()),
            text: String::new(),
            salt: Some(RowSalt::fresh()?),
        };
        let id = self.store.audit_intent(&intent)?;
        let kept = self.keep_token(&Who::Id(agent.id), &token, minutes, now);
        let outcome = match &kept {
            Ok(_) => Outcome::Done,
            Err(error) if error.is_refusal() => Outcome::Refused("agent.standing".into()),
            Err(error) => Outcome::Failed(error.to_string()),
        };
        self.store.audit_outcome(id, &outcome, now)?;
        Ok((agent, kept?, token))
    }
}

const HEAD: &str = "kak_enrol_";
/// 256 bits in hex.
const SECRET: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_one_form_and_is_never_printed() {
        let root = Digest::of(b"root");
        let token = EnrolmentToken::generate(root).unwrap();
        let text = token.to_text();
        let read = EnrolmentToken::parse(&text).unwrap();
        assert_eq!((read.prefix(), read.digest(), read.root()), (token.prefix(), token.digest(), root));
        assert!(!format!("{token:?}").contains(token.secret.as_str()));
        let (head, tail) = text.rsplit_once('_').unwrap();
        for wrong in [
            text.replace("enrol", "live"),
            text.to_uppercase(),
            format!("{} ", *text),
            format!("{}_", *text),
            format!("{}_{tail}", *text),
            format!("{head}_{}", tail.replace(|c: char| c.is_ascii_digit(), "A")),
            format!("{head}_"),
            head.to_owned(),
            String::new(),
        ] {
            assert!(EnrolmentToken::parse(&wrong).is_none(), "{wrong}");
        }
    }
}
