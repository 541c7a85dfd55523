//! Certificates that are answered to whoever asked, instead of written into a directory.
//!
//! With a request the key stays where it was made. Without one the authority holds it, encrypted like its own keys,
//! and signs for the agent; nobody ever gets it out of here.

use std::path::PathBuf;
use std::sync::Arc;

use kakunin_core::certificate::AgentCertificate;
use kakunin_core::digest::{Digest, hex};
use kakunin_core::key::{Algorithm, PublicKey, Signer};
use kakunin_core::scope::Scope;
use kakunin_core::time::UnixTime;
use ring::rand::{SecureRandom, SystemRandom};

use crate::access::KeyPrefix;
use crate::agent::Who;
use crate::authority::{AnyAction, Authority, AuthorityError, Comeback, Days, Hours};
use crate::enrol::{read_request, refuse_any};
use crate::files::{self, FileError, Readers};
use crate::home::Home;
use crate::publish::Publication;
use crate::signer::{self, KeyFileError, Passphrase};
use crate::standing::{Reason, Standing, StandingError};
use crate::store::{AgentRecord, StandingChange};

/// How to certify an agent without a directory.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Whose key.
    pub key: GrantKey,
    /// For how long.
    pub days: Days,
    /// Whether a revoked agent comes back.
    pub comeback: Comeback,
}

/// The key to certify.
#[derive(Clone, Debug)]
pub enum GrantKey {
    /// That of a PKCS#10 request in PEM.
    Request(Vec<u8>),
    /// One that is held here: its public half.
    Held(PublicKey),
}

/// A certificate that was issued.
#[derive(Debug)]
pub struct Granted {
    /// The agent.
    pub agent: AgentRecord,
    /// Its certificate.
    pub certificate: AgentCertificate,
    /// The lists, signed anew.
    pub publication: Publication,
}

impl Authority<'_> {
    /// Certifies an agent and publishes the next list.
    ///
    /// # Errors
    /// [`AuthorityError`]: the agent's standing, a request that proves no key, or what could not be recorded.
    pub fn grant(
        &mut self,
        who: &Who,
        order: &Grant,
        hours: Hours,
        now: UnixTime,
    ) -> Result<Granted, AuthorityError> {
        self.grant_for(who, order, None, hours, now)
    }

    /// The same for an enrolment token, if one is named.
    pub(crate) fn grant_for(
        &mut self,
        who: &Who,
        order: &Grant,
        token: Option<&KeyPrefix>,
        hours: Hours,
        now: UnixTime,
    ) -> Result<Granted, AuthorityError> {
        let agent = self.find(who)?;
        let scope = Scope::from_der(&agent.scope)?;
        refuse_any(&scope, AnyAction::Refuse)?;
        self.refuse_frozen()?;
        match (agent.standing, order.comeback) {
            (Standing::Held, _) => return Err(StandingError::Held.into()),
            (Standing::Revoked, Comeback::Refuse) => return Err(StandingError::NeedsAfterRevocation.into()),
            (Standing::Good, Comeback::AfterRevocation) => return Err(StandingError::NotRevoked.into()),
            _ => {}
        }
        let public = match &order.key {
            GrantKey::Request(pem) => read_request(pem)?,
            GrantKey::Held(public) => public.clone(),
        };
        self.refuse_revoked_key(agent.id, &public)?;
        // The key opens first: a wrong passphrase must not bring anyone back.
        let current = self.current()?.id;
        self.keys.signer(current)?;
        self.trust_clock(now)?;
        if agent.standing == Standing::Revoked {
            let (to, reason) = (Standing::Good, Reason::Unspecified);
            let text = "certified after revocation";
            let tenant = &self.tenant.clone();
            let change = StandingChange { tenant, agent: agent.id, to, reason, text, halt: false, at: now };
            self.change_standing(&change)?;
        }
        let agent = self.find(&Who::Id(agent.id))?;
        let issued = self.issue_for(&agent.name, &scope, &public, order.days, token, now)?;
        let publication = self.publish(hours, now)?;
        Ok(Granted { agent, certificate: issued.certificate().clone(), publication })
    }

    /// What opens and closes the keys that are held for agents.
    ///
    /// # Errors
    /// [`AuthorityError::Passphrase`] when there is none.
    pub fn held_keys(&mut self) -> Result<HeldKeys, AuthorityError> {
        Ok(HeldKeys { home: self.home.clone(), passphrase: self.keys.passphrase()? })
    }
}

/// Keys that the authority holds for agents. Making and opening one takes a key derivation, a good part of a second
/// on a busy machine, so neither is the sequencer's work.
#[derive(Clone)]
pub struct HeldKeys {
    home: Home,
    passphrase: Passphrase,
}

impl HeldKeys {
    /// Makes a key and keeps it.
    ///
    /// # Errors
    /// [`KeyFileError`] when it cannot be made or written.
    pub fn make(&self) -> Result<PublicKey, KeyFileError> {
        let mut random = [0; 16];
        SystemRandom::new().fill(&mut random).map_err(|_| kakunin_core::key::KeyError::NoRandomness)?;
        files::make_directory(&self.home.held(), Readers::Owner)?;
        // Written under a name of its own until the key, and with it its name, is known.
        let new = self.home.held().join(format!("{}.new", hex(&random)));
        let signer = signer::create(&new, &self.passphrase, Algorithm::P256)?;
        let path = self.path(signer.public().key_id());
        std::fs::rename(&new, &path).map_err(|error| FileError::new("write", &path, error))?;
        Ok(signer.public().clone())
    }

    /// Opens the key with this id; `None` when it is not held here.
    ///
    /// # Errors
    /// [`KeyFileError`] when it is here and does not open.
    pub fn open(&self, key_id: Digest) -> Result<Option<Arc<Signer>>, KeyFileError> {
        let path = self.path(key_id);
        if !path.exists() {
            return Ok(None);
        }
        signer::open(&path, &self.passphrase).map(|signer| Some(Arc::new(signer)))
    }

    /// Forgets a key that no certificate was issued for.
    pub fn forget(&self, key_id: Digest) {
        // One that stays does no harm: nothing was ever signed for it.
        let _ = std::fs::remove_file(self.path(key_id));
    }

    fn path(&self, key_id: Digest) -> PathBuf {
        self.home.held().join(format!("{}.key.pem", key_id.to_hex()))
    }
}
