//! An authority in memory: real certificates and lists, for tests of code that is guarded.
//!
//! It keeps no records and forgets its keys with the process, which is why it has no place in production. What it signs
//! is held to the same profile as everything else.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use der::pem::{LineEnding, encode_string};
use kakunin_core::certificate::{AgentCertificate, CaCertificate, CaRole, CertificateError};
use kakunin_core::home::Papers;
use kakunin_core::id::{AgentId, SerialNumber};
use kakunin_core::key::{Algorithm, KeyError, PublicKey, SignError, Signer, SoftKey};
use kakunin_core::revocation::ListPolicy;
use kakunin_core::scope::{DraftScope, ScopeError};
use kakunin_core::time::{UnixTime, Validity};
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use crate::feed::{FeedKey, FeedKeyError, PreparedFeed};
use crate::list::{ListError, ListHeader, ListWriter};
use crate::profile::{Kind, Subject, signed, to_be_signed};
use crate::standing::{ListedCertificate, Order, Reason, Standing, StandingError};

/// A root, an issuing authority and their lists, in this process only.
#[derive(Debug)]
pub struct MemoryAuthority {
    root: Ca,
    issuing: Ca,
    records: Mutex<Records>,
}

#[derive(Debug)]
struct Ca {
    signer: Signer,
    certificate: CaCertificate,
}

#[derive(Debug, Default)]
struct Records {
    number: u64,
    agents: HashMap<AgentId, Agent>,
    feed_keys: Vec<ListedCertificate>,
}

#[derive(Debug)]
struct Agent {
    standing: Standing,
    since: UnixTime,
    reason: Reason,
    serials: Vec<SerialNumber>,
    key: Zeroizing<Vec<u8>>,
}

/// An agent just certified: its papers and its PKCS#8 key.
#[derive(Debug)]
pub struct Enrolled {
    /// Certificate, chain, root and lists of names.
    pub papers: Papers,
    /// The key.
    pub key: Zeroizing<Vec<u8>>,
}

impl MemoryAuthority {
    /// Makes the two authorities; their certificates begin a day before `now`, so that tests may look back.
    ///
    /// # Errors
    /// [`MemoryError`] when the system gives no randomness.
    pub fn new(now: UnixTime) -> Result<Self, MemoryError> {
        let begin = now.plus(-DAY);
        let root_key = SoftKey::generate(Algorithm::P256)?.0;
        let root = Signer::soft(root_key);
        let der = certificate(&Kind::Root, "memory root", root.public(), begin, 20 * 365, &root)?;
        let root = Ca { certificate: CaCertificate::decode(&der, CaRole::Root)?, signer: root };
        let signer = Signer::soft(SoftKey::generate(Algorithm::P256)?.0);
        let kind = Kind::Issuing { issuer: &root.certificate };
        let der = certificate(&kind, "memory issuing", signer.public(), begin, 5 * 365, &root.signer)?;
        let issuing = Ca { certificate: CaCertificate::decode(&der, CaRole::Issuing)?, signer };
        Ok(Self {
            root,
            issuing,
            records: Mutex::new(Records { number: 1, agents: HashMap::new(), feed_keys: Vec::new() }),
        })
    }

    /// Certifies a new agent called `name` for `days`.
    ///
    /// # Errors
    /// [`MemoryError`] when the scope breaks a rule, or nothing can be signed.
    pub fn certify(
        &self,
        name: &str,
        scope: &DraftScope,
        now: UnixTime,
        days: i64,
    ) -> Result<Enrolled, MemoryError> {
        let id = AgentId::from_random(random()?);
        let (_, key) = SoftKey::generate(Algorithm::P256)?;
        let agent = Agent {
            standing: Standing::Good,
            since: now,
            reason: Reason::Unspecified,
            serials: Vec::new(),
            key,
        };
        self.records().agents.insert(id, agent);
        self.issue(id, name, scope, now, days)
    }

    /// Certifies an agent again, with its key.
    ///
    /// # Errors
    /// [`MemoryError`] when it is unknown, held or revoked, or the scope breaks a rule.
    pub fn renew(
        &self,
        id: AgentId,
        name: &str,
        scope: &DraftScope,
        now: UnixTime,
        days: i64,
    ) -> Result<Enrolled, MemoryError> {
        self.issue(id, name, scope, now, days)
    }

    fn issue(
        &self,
        id: AgentId,
        name: &str,
        draft: &DraftScope,
        now: UnixTime,
        days: i64,
    ) -> Result<Enrolled, MemoryError> {
        let scope = draft.for_agent(id)?;
        let mut records = self.records();
        let agent = records.agents.get_mut(&id).ok_or(MemoryError::Unknown)?;
        if agent.standing != Standing::Good {
            return Err(MemoryError::NotGood(agent.standing));
        }
        let key = SoftKey::from_pkcs8(&agent.key)?;
        let bytes = scope.to_der();
        let kind = Kind::Agent { issuer: &self.issuing.certificate, id, scope: &bytes };
        let der = certificate(&kind, name, key.public(), now.plus(-60), days, &self.issuing.signer)?;
        // The reader of every guard has the last word here too.
        let certificate = AgentCertificate::decode(&der)?;
        agent.serials.push(certificate.decoded().serial());
        let papers = Papers {
            agent: der,
            chain: vec![self.issuing.certificate.decoded().der().to_vec()],
            roots: vec![self.root.certificate.decoded().der().to_vec()],
            issuer: Some(self.issuing.certificate.decoded().key().key_id()),
            names: draft.lists().clone(),
        };
        Ok(Enrolled { papers, key: agent.key.clone() })
    }

    /// Changes how an agent stands; [`MemoryAuthority::lists`] says it from then on.
    ///
    /// # Errors
    /// [`MemoryError`] when it is unknown or revoked already.
    pub fn order(&self, id: AgentId, order: Order, reason: &str, now: UnixTime) -> Result<(), MemoryError> {
        let mut records = self.records();
        let agent = records.agents.get_mut(&id).ok_or(MemoryError::Unknown)?;
        agent.standing = order.applied_to(agent.standing)?;
        agent.since = now;
        agent.reason = match agent.standing {
            Standing::Held => Reason::CertificateHold,
            _ => Reason::for_revocation(reason),
        };
        records.number += 1;
        Ok(())
    }

    /// Both current lists as PEM, good for `hours`.
    ///
    /// # Errors
    /// [`MemoryError`] when nothing can be signed.
    pub fn lists(&self, now: UnixTime, hours: i64) -> Result<String, MemoryError> {
        self.sign_lists(now, hours, None)
    }

    /// The same, where the issuing authority's asks for a feed: nobody decides by it alone.
    ///
    /// # Errors
    /// [`MemoryError`] when nothing can be signed.
    pub fn lists_with_feed(
        &self,
        now: UnixTime,
        hours: i64,
        policy: ListPolicy,
    ) -> Result<String, MemoryError> {
        self.sign_lists(now, hours, Some(policy))
    }

    /// A key that signs the feed, for a day from `now`.
    ///
    /// # Errors
    /// [`FeedKeyError`] when nothing can be signed.
    pub fn feed_key(&self, now: UnixTime) -> Result<FeedKey, FeedKeyError> {
        PreparedFeed::make(&self.issuing.certificate, now)?.sign(&self.issuing.signer)
    }

    /// Takes a feed key out of use: lists name it from then on.
    pub fn revoke_feed_key(&self, key: &FeedKey, now: UnixTime) {
        let serial = key.certificate().decoded().serial();
        let listed = ListedCertificate { serial, since: now, reason: Reason::KeyCompromise };
        self.records().feed_keys.push(listed);
    }

    fn sign_lists(
        &self,
        now: UnixTime,
        hours: i64,
        policy: Option<ListPolicy>,
    ) -> Result<String, MemoryError> {
        let mut records = self.records();
        // Each list has a number of its own: the same one with other dates would be an equivocation.
        records.number += 1;
        let mut writer = ListWriter::default();
        records.feed_keys.iter().try_for_each(|listed| writer.push(listed))?;
        let listed = records.agents.values().filter(|agent| agent.standing != Standing::Good);
        for agent in listed {
            for serial in &agent.serials {
                writer.push(&ListedCertificate {
                    serial: *serial,
                    since: agent.since,
                    reason: agent.reason,
                })?;
            }
        }
        let header = |ca: &'_ Ca, next: i64| (ca.certificate.clone(), now.plus(next));
        let (issuer, next_update) = header(&self.issuing, hours * 3600);
        let own =
            ListHeader { issuer: &issuer, number: records.number, this_update: now, next_update, policy };
        let own = writer.sign(&own, &self.issuing.signer)?;
        let (issuer, next_update) = header(&self.root, 400 * DAY);
        let root = ListHeader {
            issuer: &issuer,
            number: records.number,
            this_update: now,
            next_update,
            policy: None,
        };
        let root = ListWriter::default().sign(&root, &self.root.signer)?;
        let pem =
            |der: &[u8]| encode_string("X509 CRL", LineEnding::LF, der).map_err(|_| MemoryError::Encoding);
        Ok(format!("{}{}", pem(&own)?, pem(&root)?))
    }

    /// The root certificate, DER.
    #[must_use]
    pub fn root(&self) -> &[u8] {
        self.root.certificate.decoded().der()
    }

    fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn certificate(
    kind: &Kind<'_>,
    name: &str,
    key: &PublicKey,
    not_before: UnixTime,
    days: i64,
    signer: &Signer,
) -> Result<Vec<u8>, MemoryError> {
    let validity = Validity { not_before, not_after: not_before.plus(days * DAY) };
    let subject = Subject { name, key, validity, serial: SerialNumber::from_random(random()?) };
    let tbs = to_be_signed(kind, &subject, signer.algorithm()).map_err(|_| MemoryError::Encoding)?;
    signed(&tbs, signer.algorithm(), &signer.sign(&tbs)?).map_err(|_| MemoryError::Encoding)
}

fn random() -> Result<[u8; 16], MemoryError> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| MemoryError::Key(KeyError::NoRandomness))?;
    Ok(bytes)
}

/// What an authority in memory refuses.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MemoryError {
    /// A key could not be made or read.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Nothing was signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The profile refuses the certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The scope breaks a rule.
    #[error(transparent)]
    Scope(#[from] ScopeError),
    /// The list was not made.
    #[error(transparent)]
    List(#[from] ListError),
    /// The order does not apply.
    #[error(transparent)]
    Standing(#[from] StandingError),
    /// No such agent.
    #[error("this authority certified no such agent")]
    Unknown,
    /// An agent that is not good is certified again only by hand.
    #[error("the agent is {0}; it cannot be renewed")]
    NotGood(Standing),
    /// A value without an encoding.
    #[error("a certificate or list cannot be encoded")]
    Encoding,
}

const DAY: i64 = 86_400;

#[cfg(test)]
mod tests {
    use kakunin_core::snapshot::Snapshot;

    use super::*;

    #[test]
    fn what_it_certifies_is_proven_and_what_it_revokes_is_denied() {
        let now = UnixTime::parse_rfc3339("2026-11-23T12:00:00Z").unwrap();
        let authority = MemoryAuthority::new(now).unwrap();
        let draft =
            DraftScope::parse("actions = [\"a\"]", &|_| Err(std::io::ErrorKind::NotFound.into())).unwrap();
        let agent = authority.certify("one", &draft, now, 7).unwrap();
        let standing = || {
            let lists = authority.lists(now, 24).unwrap();
            Snapshot::build(&agent.papers, lists.as_bytes(), now).unwrap().agent().standing()
        };
        assert_eq!(standing(), Standing::Good);
        let id = AgentCertificate::decode(&agent.papers.agent).unwrap().agent();
        authority.order(id, Order::Suspend, "", now).unwrap();
        assert_eq!(standing(), Standing::Held);
        assert!(authority.renew(id, "one", &draft, now, 7).is_err());
        authority.order(id, Order::Resume, "", now).unwrap();
        assert_eq!(standing(), Standing::Good);
        authority.order(id, Order::Revoke, "drift", now).unwrap();
        assert_eq!(standing(), Standing::Revoked);
        assert!(authority.order(id, Order::Resume, "", now).is_err());
    }
}
