//! Papers for an agent that is elsewhere: all that its directory holds besides its key.
//!
//! What `certify --out` writes into a directory is answered here instead, for whoever keeps the directory on another
//! machine. The key stays there.

use std::sync::Arc;

use kakunin_core::certificate::{AgentCertificate, CaCertificate};
use kakunin_core::digest::Digest;
use kakunin_core::genesis::Genesis;
use kakunin_core::key::PublicKey;
use kakunin_core::log::{LogReader, VerifierKey};
use kakunin_core::scope::Scope;
use kakunin_core::succession::Succession;
use kakunin_core::time::UnixTime;

use crate::access::KeyPrefix;
use crate::agent::Who;
use crate::authority::{AnyAction, Authority, AuthorityError, BACKDATE, Comeback, Days, Hours};
use crate::enrol::{read_request, refuse_any, scope_diff};
use crate::grant::{Grant, GrantKey};
use crate::publish::{Published, to_pem};
use crate::standing::{Standing, StandingError};
use crate::store::{AgentRecord, IssuerId, Store, StoreError};

/// What an agent elsewhere keeps in its directory.
#[derive(Debug)]
pub struct Papers {
    /// The agent.
    pub agent: AgentRecord,
    /// Its certificate: `agent.pem`.
    pub certificate: AgentCertificate,
    /// Who issued it: `chain.pem`.
    pub issuing: CaCertificate,
    /// The anchor: `ca.pem`.
    pub root: CaCertificate,
    /// What was published with it.
    pub published: Arc<Published>,
    /// The lists of names that its scope refers to, by their roots: `names/<root>.txt`.
    pub names: Vec<(Digest, String)>,
    /// The mark of a new directory: `genesis`. A renewed one has spent what it has spent.
    pub genesis: Option<Genesis>,
    /// The key of the owner's log, if there is one yet.
    pub log: Option<VerifierKey>,
    /// Where another issuing authority renewed than the one of before: that one's word that this one follows it. None if it was
    /// revoked, and its word is worth nothing.
    pub succession: Option<Succession>,
    /// What of the scope left (`- `) and came (`+ `) since the certificate before.
    pub scope_diff: Vec<String>,
}

impl Papers {
    /// Every list that somebody can need, in PEM: `lists.pem`.
    #[must_use]
    pub fn lists_pem(&self) -> &str {
        self.published.lists_pem()
    }

    /// One certificate in PEM.
    ///
    /// # Errors
    /// [`AuthorityError::Encoding`].
    pub fn pem(certificate: &kakunin_core::certificate::Decoded) -> Result<String, AuthorityError> {
        to_pem("CERTIFICATE", certificate.der())
    }
}

/// How to certify an agent that is elsewhere.
#[derive(Clone, Debug)]
pub struct Enrol {
    /// A PKCS#10 request in PEM.
    pub request: Vec<u8>,
    /// For how long.
    pub days: Days,
    /// Whether a revoked agent comes back.
    pub comeback: Comeback,
    /// The token that is redeemed, already known to be whole and good; `None` by order of an issuer.
    pub token: Option<KeyPrefix>,
}

impl Authority<'_> {
    /// Certifies the key of a request, and publishes the next list.
    ///
    /// A token gives one certificate. Whoever comes again with it and the same key, because the answer was lost, gets that
    /// one again.
    ///
    /// # Errors
    /// [`AuthorityError`]: the agent's standing, a request that proves no key, a token that another key was certified
    /// by, or what could not be recorded or published.
    pub fn enrol_elsewhere(
        &mut self,
        who: &Who,
        order: &Enrol,
        hours: Hours,
        now: UnixTime,
    ) -> Result<Papers, AuthorityError> {
        let public = read_request(&order.request)?;
        self.refuse_frozen()?;
        let agent = self.find(who)?;
        let before = match &order.token {
            Some(token) => enrolled_by(self.store.as_ref(), &agent, token, &public)?,
            None => None,
        };
        let (agent, certificate) = match before {
            Some(certificate) => (agent, certificate),
            None => {
                let key = GrantKey::Request(order.request.clone());
                let grant = Grant { key, days: order.days, comeback: order.comeback };
                let granted = self.grant_for(who, &grant, order.token.as_ref(), hours, now)?;
                (granted.agent, granted.certificate)
            }
        };
        let genesis = Some(self.mark(&certificate)?);
        Ok(Papers { genesis, ..self.papers(agent, certificate)? })
    }

    /// Renews an agent that proved to have the key of `held`, keeping that key, and publishes the next list.
    ///
    /// # Errors
    /// [`AuthorityError`]: the agent's standing, a key that was revoked, or what could not be recorded or published.
    pub fn renew_elsewhere(
        &mut self,
        held: &AgentCertificate,
        days: Days,
        hours: Hours,
        now: UnixTime,
    ) -> Result<Papers, AuthorityError> {
        self.refuse_frozen()?;
        let agent = self.find(&Who::Id(held.agent()))?;
        match agent.standing {
            Standing::Good => {}
            Standing::Held => return Err(StandingError::Held.into()),
            Standing::Revoked => return Err(StandingError::NeedsAfterRevocation.into()),
        }
        self.refuse_revoked_key(agent.id, held.decoded().key())?;
        let current = self.current()?.id;
        if let Some(again) = renewed_enough(self.store.as_ref(), current, &agent, held, now)? {
            if self.published().is_none() {
                let _ = self.publish(hours, now)?;
            }
            let scope_diff = scope_diff(held.scope(), again.scope());
            let succession = self.succession(held, &again)?;
            return Ok(Papers { scope_diff, succession, ..self.papers(agent, again)? });
        }
        let scope = Scope::from_der(&agent.scope)?;
        // Whoever allowed every action allowed it for the agent and not for a week.
        let any = if held.scope().allows_any_action() { AnyAction::Allow } else { AnyAction::Refuse };
        refuse_any(&scope, any)?;
        let issued = self.issue(&agent.name, &scope, held.decoded().key(), days, now)?;
        let _ = self.publish(hours, now)?;
        let scope_diff = scope_diff(held.scope(), &scope);
        let succession = self.succession(held, issued.certificate())?;
        let papers = self.papers(agent, issued.certificate().clone())?;
        Ok(Papers { scope_diff, succession, ..papers })
    }

    /// What the issuing authority of `held` says of that of `next`, if it is another one and may still speak.
    pub(crate) fn succession(
        &mut self,
        held: &AgentCertificate,
        next: &AgentCertificate,
    ) -> Result<Option<Succession>, AuthorityError> {
        let (from, to) = (held.decoded().issuer(), next.decoded().issuer());
        if from == to {
            return Ok(None);
        }
        let of =
            |name: &[u8]| self.issuing.iter().find(|issuing| issuing.certificate.decoded().subject() == name);
        let (Some(before), Some(after)) = (of(from).filter(|issuing| !issuing.revoked), of(to)) else {
            return Ok(None);
        };
        let (id, key) = (before.id, after.certificate.decoded().key().key_id());
        Ok(Some(Succession::sign(key, self.keys.signer(id)?)?))
    }

    /// The papers that go with a certificate of the agent, after the lists were published.
    pub(crate) fn papers(
        &self,
        agent: AgentRecord,
        certificate: AgentCertificate,
    ) -> Result<Papers, AuthorityError> {
        let issuer = certificate.decoded().issuer();
        let mut issuing = self.own().map(|issuing| &issuing.certificate);
        let issuing = issuing.find(|known| known.decoded().subject() == issuer);
        let published = self.published().ok_or(AuthorityError::NoIssuer)?;
        Ok(Papers {
            agent,
            issuing: issuing.ok_or(AuthorityError::NoIssuer)?.clone(),
            root: self.root.clone(),
            published: Arc::clone(published),
            names: self.names_of(certificate.scope())?,
            genesis: None,
            succession: None,
            log: LogReader::key_beside(&self.home.log()).ok(),
            scope_diff: Vec::new(),
            certificate,
        })
    }

    /// Whether a certificate may have been issued at or after `now`, by when the newest one begins.
    #[cfg(feature = "http")]
    pub(crate) fn issued_at(&self, now: UnixTime) -> Result<bool, AuthorityError> {
        Ok(self.store.newest_begin()?.is_some_and(|begin| begin >= now.plus(-BACKDATE)))
    }
}

/// The certificate that was issued for this token and key, if it was.
pub(crate) fn enrolled_by(
    store: &dyn Store,
    agent: &AgentRecord,
    token: &KeyPrefix,
    public: &PublicKey,
) -> Result<Option<AgentCertificate>, AuthorityError> {
    let Some(redeemed) = store.token(token)?.and_then(|token| token.redeemed) else {
        return Ok(None);
    };
    if redeemed.key != public.key_id() {
        return Err(StoreError::TokenUsed { prefix: token.clone() }.into());
    }
    let issued = store.certificate(redeemed.serial)?;
    // A crash came before the signature: it is issued now.
    let Some(der) = issued.and_then(|issued| issued.der) else { return Ok(None) };
    match agent.standing {
        Standing::Good => Ok(Some(AgentCertificate::decode(&der)?)),
        Standing::Held => Err(StandingError::Held.into()),
        Standing::Revoked => Err(StandingError::NeedsAfterRevocation.into()),
    }
}

/// Whether there were enough renewals of this key for now: then the newest certificate, for whoever lost the answer
/// that it came in. `None`: it may be renewed.
///
/// Another scope and another issuing authority can always be had, once.
///
/// # Errors
/// [`AuthorityError::RenewedEnough`] for whoever has the newest certificate already.
pub(crate) fn renewed_enough(
    store: &dyn Store,
    current: IssuerId,
    agent: &AgentRecord,
    held: &AgentCertificate,
    now: UnixTime,
) -> Result<Option<AgentCertificate>, AuthorityError> {
    let key = held.decoded().key().key_id();
    let newest = store.newest_of_key(&agent.tenant, agent.id, key, RENEWALS)?;
    let full = newest.len() == RENEWALS as usize;
    let (Some(last), Some(oldest)) = (newest.first(), newest.last().filter(|_| full)) else {
        return Ok(None);
    };
    let until = oldest.validity.not_before.plus(BACKDATE + WINDOW);
    if until <= now || last.issuer != current {
        return Ok(None);
    }
    let last = AgentCertificate::decode(last.der.as_deref().unwrap_or_default())?;
    if last.scope().to_der() != agent.scope {
        return Ok(None);
    }
    let is_newer = last.decoded().der() != held.decoded().der()
        && last.decoded().validity().not_after >= held.decoded().validity().not_after;
    match is_newer {
        true => Ok(Some(last)),
        false => {
            let left = u64::try_from(until.seconds().saturating_sub(now.seconds())).unwrap_or(0);
            Err(AuthorityError::RenewedEnough { most: RENEWALS, until, left })
        }
    }
}

/// A client renews once in 16 hours, and again when it lost the answer or its clock was wrong.
const RENEWALS: u32 = 4;
const WINDOW: i64 = 12 * 3600;
