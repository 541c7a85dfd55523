//! Many agents at once: which of them a sweep is about, and their revocation by two lists at most: the first order of a process has its own.
//!
//! After a mistake, a name pattern or a key says better than a list of ids who has to go. Who that is is looked up first and
//! said; the order names how many there are, so that a pattern that fits too much revokes nobody.

use std::fmt;
use std::str::FromStr;

use kakunin_core::certificate::AgentCertificate;
use kakunin_core::digest::Digest;
use kakunin_core::id::AgentId;
use kakunin_core::time::UnixTime;

use crate::access::Actor;
use crate::agent::Who;
use crate::authority::{Authority, AuthorityError, Ordered};
use crate::standing::{Order, Standing};
use crate::store::{AgentRecord, AuditRecord, CertificateRecord, Outcome, StoreError};
use crate::term::Hours;

/// One condition; agents have to meet all that are given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The name, with `*` for any letters or none.
    Name(String),
    /// SHA-256 of the SubjectPublicKeyInfo of the key of any of its certificates.
    Key(Digest),
}

impl Condition {
    /// Whether an agent of this name with these keys meets it.
    ///
    /// # Errors
    /// What `keys` ends in; it is asked where a condition is about keys.
    pub fn holds<E>(&self, name: &str, keys: &mut dyn FnMut() -> Result<Vec<Digest>, E>) -> Result<bool, E> {
        match self {
            Self::Name(pattern) => Ok(fits(pattern, name)),
            Self::Key(key) => Ok(keys()?.contains(key)),
        }
    }
}

/// Whether `name` is `pattern`, where each `*` stands for any letters or none.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(head) else { return false };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return left.ends_with(part);
        }
        // The first place is as good as any: what comes behind has the most room there.
        let Some((_, behind)) = left.split_once(part) else { return false };
        left = behind;
    }
    true
}

impl FromStr for Condition {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        match text.split_once('=') {
            Some(("name", pattern)) if !pattern.is_empty() => Ok(Self::Name(pattern.to_owned())),
            Some(("key", hex)) => Digest::from_hex(hex).map(Self::Key).ok_or(ConditionError),
            _ => Err(ConditionError),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(pattern) => write!(f, "name={pattern}"),
            Self::Key(key) => write!(f, "key={}", key.to_hex()),
        }
    }
}

/// A text that is no condition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "write name=PATTERN, with * for any letters, or key=SHA256 of a SubjectPublicKeyInfo in 64 hex digits"
)]
pub struct ConditionError;

/// The keys of certificates, by the SHA-256 of their SubjectPublicKeyInfo.
fn keys(certificates: &[CertificateRecord]) -> Vec<Digest> {
    let der = certificates.iter().filter_map(|known| known.der.as_deref());
    der.filter_map(|der| Some(AgentCertificate::decode(der).ok()?.decoded().key().key_id())).collect()
}

impl Authority<'_> {
    /// The agents of the tenant in whose name it acts that meet every condition and are not revoked yet.
    ///
    /// # Errors
    /// [`AuthorityError`] when the records cannot be read.
    pub fn matching(&self, conditions: &[Condition]) -> Result<Vec<AgentRecord>, AuthorityError> {
        let mut found = Vec::new();
        for agent in self.store.agents(&self.tenant)? {
            let mut keys = || Ok::<_, StoreError>(keys(&self.store.certificates(&self.tenant, agent.id)?));
            let mut all = agent.standing != Standing::Revoked && !conditions.is_empty();
            for condition in conditions {
                all = all && condition.holds(agent.name.as_str(), &mut keys)?;
            }
            if all {
                found.push(agent);
            }
        }
        Ok(found)
    }

    /// Revokes agents by order of the local operator, each in the audit log before it happens, by two lists at most: the first order of a
    /// process has its own, and one says all the others. Whom an error leaves standing is not in the answer.
    ///
    /// # Errors
    /// [`AuthorityError`]: the first order that could not be carried out, after those before it were published; or what
    /// could not be published, in which case the same orders given again publish it.
    pub fn revoke_all(
        &mut self,
        agents: &[AgentId],
        text: &str,
        hours: Hours,
        now: UnixTime,
    ) -> Result<Vec<Ordered>, AuthorityError> {
        self.begin_group();
        let mut done = Vec::with_capacity(agents.len());
        let mut failed = None;
        for id in agents {
            match self.revoke_one(*id, text, hours, now) {
                Ok(ordered) => done.push(ordered),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        let unpublished = self.end_group().into_values().next();
        match unpublished.or(failed) {
            None => Ok(done),
            Some(error) => Err(error),
        }
    }

    fn revoke_one(
        &mut self,
        id: AgentId,
        text: &str,
        hours: Hours,
        now: UnixTime,
    ) -> Result<Ordered, AuthorityError> {
        let before = self.find(&Who::Id(id))?.standing;
        let intent = self.store.audit_intent(&AuditRecord {
            at: now,
            actor: Actor::Local,
            address: None,
            tenant: self.tenant.clone(),
            what: "agent.revoke".into(),
            subject: id.to_string(),
            before: Some(before.word().into()),
            after: Some(Standing::Revoked.word().into()),
            text: text.into(),
        })?;
        match self.order(&Who::Id(id), Order::Revoke, text, hours, now) {
            Ok(ordered) => {
                self.done_with_group(intent, now);
                Ok(ordered)
            }
            Err(error) => {
                let outcome = match error.is_refusal() {
                    true => Outcome::Refused(error.to_string()),
                    false => Outcome::Failed(error.to_string()),
                };
                // What went wrong first is what whoever ordered it can do something about.
                let _ = self.store.audit_outcome(intent, &outcome, now);
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_fits_whole_names_and_stars_stand_for_anything() {
        for (pattern, name, expected) in [
            ("billing", "billing", true),
            ("billing", "billing-2", false),
            ("*", "anything", true),
            ("billing-*", "billing-", true),
            ("billing-*", "billing", false),
            ("*-eu", "billing-eu", true),
            ("*-eu", "billing-eu-2", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("*aa*a", "aaa", true),
            ("*ab*ba", "aba", false),
            ("**x**", "yxz", true),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_condition_is_read_as_it_is_written() {
        let key = format!("key={}", "0a".repeat(32));
        for text in ["name=billing-*", "name=a=b", &key] {
            assert_eq!(text.parse::<Condition>().unwrap().to_string(), text);
        }
        for wrong in ["", "name=", "name", "key=0a", "tenant=acme", &key.to_uppercase()] {
            assert_eq!(wrong.parse::<Condition>(), Err(ConditionError), "{wrong}");
        }
    }
}
