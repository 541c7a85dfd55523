//! Many agents at once: which of them a sweep is about, and their revocation by two lists at most, since the first order of a
//! process has its own.
//!
//! After a mistake, a name pattern, a key or a time says better than a list of ids who has to go. Who that is is looked up first
//! and said; the order names how many there are, so that a pattern that fits too much revokes nobody. What was asked is in the
//! audit log before it is answered, also when nobody is revoked: it says which agents there are.

use std::fmt;
use std::str::FromStr;

use kakunin_core::certificate::{CaCertificate, CaRole};
use kakunin_core::digest::Digest;
use kakunin_core::id::AgentId;
use kakunin_core::time::UnixTime;

use crate::access::{Actor, TenantId};
use crate::agent::Who;
use crate::authority::{Authority, AuthorityError, BACKDATE, Ordered};
use crate::deed::Deed;
use crate::standing::{Order, Standing};
use crate::store::{
    AgentRecord, AuditRecord, CertificateRecord, IssuerId, Outcome, RowSalt, Store, StoreError,
};
use crate::term::Hours;

/// One condition. An agent has to meet all that are about agents, and one certificate of it all that are about certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The agent's name, with `*` for any letters or none.
    Name(String),
    /// SHA-256 of the SubjectPublicKeyInfo of the certificate's key.
    Key(Digest),
    /// SHA-256 of the SubjectPublicKeyInfo of the issuing authority that signed the certificate.
    Issuer(Digest),
    /// When the certificate was issued.
    Issued(Span),
}

/// From when to when, both included; a side that is not named is open. One of them is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    from: Option<UnixTime>,
    to: Option<UnixTime>,
}

impl Span {
    /// Whether a certificate that begins then may have been issued in it. It begins up to a minute before it is issued, and
    /// one that may be meant is.
    fn may_have_issued(self, begin: UnixTime) -> bool {
        self.from.is_none_or(|from| begin.plus(BACKDATE) >= from) && self.to.is_none_or(|to| begin <= to)
    }
}

impl FromStr for Span {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        let side = |text: &str| match text {
            "" => Ok(None),
            text => UnixTime::parse_rfc3339(text).map(Some).map_err(|_| ConditionError),
        };
        let (from, to) = text.split_once("..").ok_or(ConditionError)?;
        let span = Self { from: side(from)?, to: side(to)? };
        let is_one = match (span.from, span.to) {
            (None, None) => false,
            (Some(from), Some(to)) => from <= to,
            _ => true,
        };
        if is_one { Ok(span) } else { Err(ConditionError) }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = |at: Option<UnixTime>| at.map(|at| at.to_string()).unwrap_or_default();
        write!(f, "{}..{}", side(self.from), side(self.to))
    }
}

impl Condition {
    /// Whether an agent of this name meets it; `None` if it is about certificates.
    fn holds_for(&self, name: &str) -> Option<bool> {
        match self {
            Self::Name(pattern) => Some(fits(pattern, name)),
            Self::Key(_) | Self::Issuer(_) | Self::Issued(_) => None,
        }
    }

    /// Whether a certificate meets it, or it is not about certificates.
    fn holds_of(&self, certificate: &CertificateRecord, issuers: &[(IssuerId, Digest)]) -> bool {
        match self {
            Self::Name(_) => true,
            Self::Key(key) => certificate.key == *key,
            Self::Issuer(key) => issuers.contains(&(certificate.issuer, *key)),
            Self::Issued(span) => span.may_have_issued(certificate.validity.not_before),
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
        let digest = |hex: &str| Digest::from_hex(hex).ok_or(ConditionError);
        match text.split_once('=') {
            Some(("name", pattern)) if (1..=MOST_PATTERN).contains(&pattern.len()) => {
                Ok(Self::Name(pattern.to_owned()))
            }
            Some(("key", hex)) => digest(hex).map(Self::Key),
            Some(("issuer", hex)) => digest(hex).map(Self::Issuer),
            Some(("issued", span)) => span.parse().map(Self::Issued),
            _ => Err(ConditionError),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(pattern) => write!(f, "name={pattern}"),
            Self::Key(key) => write!(f, "key={}", key.to_hex()),
            Self::Issuer(key) => write!(f, "issuer={}", key.to_hex()),
            Self::Issued(span) => write!(f, "issued={span}"),
        }
    }
}

/// A text that is no condition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "write name=PATTERN, with * for any letters and {MOST_PATTERN} octets at most, key=SHA256 or issuer=SHA256 of a SubjectPublicKeyInfo in 64 hex digits, or issued=FROM..TO with instants such as 2026-11-23T09:30:00Z, of which one may be missing"
)]
pub struct ConditionError;

/// A pattern is kept in the audit log, and names have 63 letters at most.
const MOST_PATTERN: usize = 256;

/// What is asked of many agents at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sweep {
    /// All that an agent has to meet.
    pub conditions: Vec<Condition>,
    /// How many are expected and are to be revoked; `None` lists them.
    pub expect: Option<usize>,
    /// In the words of whoever ordered it.
    pub text: String,
}

impl Sweep {
    /// What the audit log says of it, when `found` agents meet the conditions.
    #[must_use]
    pub fn deed(&self, found: usize) -> Deed {
        let conditions: Vec<String> = self.conditions.iter().map(ToString::to_string).collect();
        Deed {
            what: "agents.sweep",
            subject: conditions.join(" & "),
            before: Some(format!("{found} meant")),
            after: Some(self.expect.map_or("a dry run".into(), |many| format!("{many} to be revoked"))),
            text: self.text.clone(),
        }
    }

    /// Whether as many are meant as were expected.
    ///
    /// # Errors
    /// [`AuthorityError::SweepExpected`].
    pub fn judge(&self, found: usize) -> Result<(), AuthorityError> {
        match self.expect {
            Some(expected) if expected != found => Err(AuthorityError::SweepExpected { found, expected }),
            _ => Ok(()),
        }
    }
}

/// The agents of a tenant that meet every condition and are not revoked yet; nobody without a condition.
///
/// # Errors
/// [`StoreError`] when the records cannot be read.
pub fn matching(
    store: &dyn Store,
    tenant: &TenantId,
    conditions: &[Condition],
) -> Result<Vec<AgentRecord>, StoreError> {
    if conditions.is_empty() {
        return Ok(Vec::new());
    }
    let mut issuers = Vec::new();
    for issuer in store.issuers()?.into_iter().filter(|issuer| issuer.id != IssuerId::ROOT) {
        let damaged = |_| StoreError::Damaged { what: "issuing authority" };
        let certificate = CaCertificate::decode(&issuer.der, CaRole::Issuing).map_err(damaged)?;
        issuers.push((issuer.id, certificate.decoded().key().key_id()));
    }
    let asks_for_certificates = conditions.iter().any(|condition| condition.holds_for("").is_none());
    let mut found = Vec::new();
    for agent in store.agents(tenant)?.into_iter().filter(|agent| agent.standing != Standing::Revoked) {
        let name = agent.name.as_str();
        let mut meets = conditions.iter().all(|condition| condition.holds_for(name).unwrap_or(true));
        if meets && asks_for_certificates {
            let certificates = store.certificates(tenant, agent.id)?;
            let all = |known: &CertificateRecord| {
                conditions.iter().all(|condition| condition.holds_of(known, &issuers))
            };
            meets = certificates.iter().any(all);
        }
        if meets {
            found.push(agent);
        }
    }
    Ok(found)
}

impl Authority<'_> {
    /// The agents of the tenant in whose name it acts that meet every condition and are not revoked yet.
    ///
    /// # Errors
    /// [`AuthorityError`] when the records cannot be read.
    pub fn matching(&self, conditions: &[Condition]) -> Result<Vec<AgentRecord>, AuthorityError> {
        Ok(matching(self.store.as_ref(), &self.tenant, conditions)?)
    }

    /// Those whom a sweep by the local operator is about, with what was asked in the audit log. [`Self::revoke_all`] revokes
    /// them.
    ///
    /// # Errors
    /// [`AuthorityError::SweepExpected`] when they are not as many as expected, which the audit log says as well; or what
    /// cannot be read or recorded.
    pub fn sweep(&mut self, sweep: &Sweep, now: UnixTime) -> Result<Vec<AgentRecord>, AuthorityError> {
        let found = self.matching(&sweep.conditions)?;
        let many = found.len();
        let judged = self.locally(sweep.deed(many), now, |_| sweep.judge(many));
        // A store that forgets that it was asked is an older one.
        self.remember_orders()?;
        judged.map(|()| found)
    }

    /// Revokes agents by order of the local operator, each in the audit log before it happens, by two lists at most: the first
    /// order of a process has its own, and one says all the others. Whom an error leaves standing [`Self::matching`] says.
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
            salt: Some(RowSalt::fresh()?),
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
    fn a_span_has_both_its_ends_and_misses_nobody_for_a_certificate_that_is_dated_back() {
        let at = |second| UnixTime::from_seconds(second);
        let both = Span { from: Some(at(1000)), to: Some(at(2000)) };
        // It begins a minute before it is issued, unless its issuer begins later.
        for (begin, meant) in [(939, false), (940, true), (1000, true), (2000, true), (2001, false)] {
            assert_eq!(both.may_have_issued(at(begin)), meant, "{begin}");
        }
        assert!(Span { from: None, to: Some(at(5)) }.may_have_issued(at(i64::MIN)));
        assert!(Span { from: Some(at(5)), to: None }.may_have_issued(at(i64::MAX)));
    }

    #[test]
    fn a_condition_is_read_as_it_is_written() {
        let key = format!("key={}", "0a".repeat(32));
        let issuer = key.replace("key", "issuer");
        let (from, to) = ("2026-11-23T09:30:00Z", "2026-11-24T00:00:00Z");
        let spans = [format!("issued={from}..{to}"), format!("issued={from}.."), format!("issued=..{to}")];
        for text in
            ["name=billing-*", "name=a=b", &key, &issuer].into_iter().chain(spans.iter().map(|text| &**text))
        {
            assert_eq!(text.parse::<Condition>().unwrap().to_string(), text);
        }
        let turned = format!("issued={to}..{from}");
        for wrong in [
            "",
            "name=",
            "name",
            &format!("name={}", "a".repeat(MOST_PATTERN + 1)),
            "key=0a",
            "tenant=acme",
            &key.to_uppercase(),
            "issuer=",
            "issued=",
            "issued=..",
            "issued=2026-11-23..",
            &format!("issued={from}"),
            &turned,
        ] {
            assert_eq!(wrong.parse::<Condition>(), Err(ConditionError), "{wrong}");
        }
    }
}
