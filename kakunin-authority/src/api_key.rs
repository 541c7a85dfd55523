//! API keys as their holders have them: `kak_live_<prefix>_<secret>`.
//!
//! The prefix is public and finds the record, the secret has 256 random bits and is kept as its SHA-256 alone. The
//! text of a key is shown once, to whoever had it made.

use std::fmt;

use kakunin_core::digest::{Digest, hex};
use kakunin_core::id::AgentId;
use kakunin_core::time::UnixTime;
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use crate::access::{Actor, KeyPrefix, Role, TenantId};
use crate::authority::{Authority, AuthorityError};
use crate::store::{ApiKeyRecord, AuditRecord, Outcome, RowSalt};

/// A key with its secret; wiped when dropped and never printed by accident.
pub struct ApiKey {
    prefix: KeyPrefix,
    secret: Zeroizing<String>,
}

impl ApiKey {
    /// Makes a key.
    ///
    /// # Errors
    /// [`AuthorityError::NoRandomness`].
    pub fn generate() -> Result<Self, AuthorityError> {
        let (mut prefix, mut secret) = ([0; 8], Zeroizing::new([0; 32]));
        let random = SystemRandom::new();
        random.fill(&mut prefix).map_err(|_| AuthorityError::NoRandomness)?;
        random.fill(&mut *secret).map_err(|_| AuthorityError::NoRandomness)?;
        Ok(Self { prefix: KeyPrefix::from_random(prefix), secret: Zeroizing::new(hex(&*secret)) })
    }

    /// Reads a key; anything of another form is `None`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (prefix, secret) = text.strip_prefix(HEAD)?.split_once('_')?;
        let digits = secret.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let fits = secret.len() == SECRET && digits;
        let prefix = KeyPrefix::parse(prefix)?;
        fits.then(|| Self { prefix, secret: Zeroizing::new(secret.to_owned()) })
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

    /// The key as its holder needs it.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{HEAD}{}_{}", self.prefix, *self.secret))
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({})", self.prefix)
    }
}

/// What a new key is for.
#[derive(Clone, Debug)]
pub struct KeyOrder {
    /// What it may be used for.
    pub role: Role,
    /// Whose it is.
    pub tenant: TenantId,
    /// The only agents it may be used for; `None` is all of them.
    pub agents: Option<Vec<AgentId>>,
    /// The only networks it may be used from; `None` is from anywhere.
    pub networks: Option<Vec<String>>,
    /// What its owner calls it.
    pub label: String,
    /// From when on it is no good.
    pub expires: Option<UnixTime>,
}

impl KeyOrder {
    /// A key as it is ordered, with its record; nothing of it is recorded yet.
    pub(crate) fn new_key(&self, now: UnixTime) -> Result<(ApiKeyRecord, ApiKey), AuthorityError> {
        let key = ApiKey::generate()?;
        let Self { role, tenant, agents, networks, label, expires } = self.clone();
        let (prefix, secret) = (key.prefix.clone(), key.digest());
        let record = ApiKeyRecord {
            prefix,
            secret,
            role,
            tenant,
            agents,
            networks,
            label,
            created: now,
            expires,
            revoked: None,
        };
        Ok((record, key))
    }
}

impl Authority<'_> {
    /// Makes an API key and records it. Its secret is in the answer and nowhere else.
    ///
    /// # Errors
    /// [`AuthorityError`] when there is no randomness or it cannot be recorded.
    pub fn make_key(
        &mut self,
        order: &KeyOrder,
        now: UnixTime,
    ) -> Result<(ApiKeyRecord, ApiKey), AuthorityError> {
        let (record, key) = order.new_key(now)?;
        self.store.add_key(&record)?;
        Ok((record, key))
    }

    /// Makes an owner's key of the tenant in whose name it acts, for whoever can write into this home: if there is none
    /// that stands, or always.
    ///
    /// # Errors
    /// [`AuthorityError`] when it cannot be made or recorded.
    pub fn make_owner_key(
        &mut self,
        when: OwnerKey,
        now: UnixTime,
    ) -> Result<Option<ApiKey>, AuthorityError> {
        let tenant = self.tenant().clone();
        let has = self.store.keys(&tenant)?.iter().any(|key| key.is_whole_owner(now));
        if has && when == OwnerKey::IfNone {
            return Ok(None);
        }
        let label = "made at the start of the service".to_owned();
        let intent = AuditRecord {
            at: now,
            actor: Actor::Local,
            address: None,
            tenant: tenant.clone(),
            what: "key.create".into(),
            subject: Role::Owner.word().into(),
            before: None,
            after: None,
            text: label.clone(),
            salt: Some(RowSalt::fresh()?),
        };
        let id = self.store.audit_intent(&intent)?;
        let order =
            KeyOrder { role: Role::Owner, tenant, agents: None, networks: None, label, expires: None };
        let (_, key) = self.make_key(&order, now)?;
        self.store.audit_outcome(id, &Outcome::Done, now)?;
        Ok(Some(key))
    }
}

/// When to make an owner's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerKey {
    /// If there is none that stands.
    IfNone,
    /// In any case: the old one may be lost.
    Another,
}

const HEAD: &str = "kak_live_";
/// 256 bits in hex.
const SECRET: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_form_and_is_never_printed() {
        let key = ApiKey::generate().unwrap();
        let text = key.to_text();
        let read = ApiKey::parse(&text).unwrap();
        assert_eq!((read.prefix(), read.digest()), (key.prefix(), key.digest()));
        assert!(!format!("{key:?}").contains(key.secret.as_str()));
        let (head, secret) = text.rsplit_once('_').unwrap();
        for wrong in [
            text.replace("live", "test"),
            text.to_uppercase(),
            format!("{} ", *text),
            format!("{head}_{}", secret.to_uppercase().replace(|c: char| c.is_ascii_digit(), "A")),
            format!("{head}_"),
            head.to_owned(),
            String::new(),
        ] {
            assert!(ApiKey::parse(&wrong).is_none(), "{wrong}");
        }
    }
}
