//! Papers for an agent that is elsewhere: all that its directory holds besides its key.
//!
//! What `certify --out` writes into a directory is answered here instead, for whoever keeps the directory on another
//! machine. The key stays there.

use kakunin_core::certificate::{AgentCertificate, CaCertificate};
use kakunin_core::digest::Digest;
use kakunin_core::genesis::Genesis;
use kakunin_core::log::{LogReader, VerifierKey};
use kakunin_core::scope::Scope;
use kakunin_core::time::UnixTime;

use crate::agent::Who;
use crate::authority::{AnyAction, Authority, AuthorityError, Days, Hours};
use crate::enrol::{refuse_any, scope_diff};
use crate::publish::to_pem;
use crate::standing::{Standing, StandingError};
use crate::store::{AgentRecord, IssuerId};

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
    /// Every list that somebody can need, in PEM: `lists.pem`.
    pub lists_pem: String,
    /// The lists of names that its scope refers to, by their roots: `names/<root>.txt`.
    pub names: Vec<(Digest, String)>,
    /// The mark of a new directory: `genesis`. A renewed one has spent what it has spent.
    pub genesis: Option<Genesis>,
    /// The key of the owner's log, if there is one yet.
    pub log: Option<VerifierKey>,
    /// What of the scope left (`- `) and came (`+ `) since the certificate before.
    pub scope_diff: Vec<String>,
}

impl Papers {
    /// One certificate in PEM.
    ///
    /// # Errors
    /// [`AuthorityError::Encoding`].
    pub fn pem(certificate: &kakunin_core::certificate::Decoded) -> Result<String, AuthorityError> {
        to_pem("CERTIFICATE", certificate.der())
    }
}

impl Authority<'_> {
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
        let agent = self.find(&Who::Id(held.agent()))?;
        match agent.standing {
            Standing::Good => {}
            Standing::Held => return Err(StandingError::Held.into()),
            Standing::Revoked => return Err(StandingError::NeedsAfterRevocation.into()),
        }
        self.refuse_revoked_key(agent.id, held.decoded().key())?;
        let scope = Scope::from_der(&agent.scope)?;
        // Whoever allowed every action allowed it for the agent and not for a week.
        let any = if held.scope().allows_any_action() { AnyAction::Allow } else { AnyAction::Refuse };
        refuse_any(&scope, any)?;
        let issued = self.issue(&agent.name, &scope, held.decoded().key(), days, now)?;
        let _ = self.publish(hours, now)?;
        let scope_diff = scope_diff(held.scope(), &scope);
        let papers = self.papers(agent, issued.certificate().clone())?;
        Ok(Papers { scope_diff, ..papers })
    }

    /// The papers that go with a certificate of the agent, after the lists were published.
    pub(crate) fn papers(
        &self,
        agent: AgentRecord,
        certificate: AgentCertificate,
    ) -> Result<Papers, AuthorityError> {
        let issuer = certificate.decoded().issuer();
        let mut issuing = self.issuing.iter().map(|issuing| &issuing.certificate);
        let issuing = issuing.find(|known| known.decoded().subject() == issuer);
        let published = self.published().ok_or(AuthorityError::NoIssuer)?;
        Ok(Papers {
            agent,
            issuing: issuing.ok_or(AuthorityError::NoIssuer)?.clone(),
            root: self.root.clone(),
            lists_pem: published.lists_pem().to_owned(),
            names: self.names_of(certificate.scope())?,
            genesis: None,
            log: LogReader::key_beside(&self.home.log()).ok(),
            scope_diff: Vec::new(),
            certificate,
        })
    }

    /// Whether a certificate may have been issued at or after `now`, by the lists that are published with each.
    pub(crate) fn issued_at(&self, now: UnixTime) -> Result<bool, AuthorityError> {
        let issuers = self.store.issuers()?;
        for issuer in issuers.iter().filter(|issuer| issuer.id != IssuerId::ROOT) {
            let list = self.store.newest_list(issuer.id)?;
            if self.store.last_end(issuer.id)?.is_some() && list.is_none_or(|list| list.this_update >= now) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
