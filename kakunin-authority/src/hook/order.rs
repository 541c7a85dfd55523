//! Orders about webhooks: making one, changing it, giving it another secret.

use kakunin_core::time::UnixTime;
use ring::rand::{SecureRandom, SystemRandom};

use super::secret::HookSecret;
use super::{HookEvent, HookId, SignatureForm};
use crate::access::TenantId;
use crate::authority::{Authority, AuthorityError};
use crate::home::Home;
use crate::signer::{KeyFileError, Passphrase, SealError, SealingKey};
use crate::store::{HookChange, HookRecord, Notice, SealedSecret, Store, StoreError};

/// A webhook to be made.
#[derive(Clone, Debug)]
pub struct HookOrder {
    /// Whose it will be.
    pub tenant: TenantId,
    /// Where to; judged by whoever sends.
    pub url: String,
    /// What it wants to be told.
    pub events: Vec<HookEvent>,
    /// How deliveries are signed beside our own signature.
    pub form: SignatureForm,
}

/// Opens the key that closes secrets. That takes a key derivation, so it is done once and not on the sequencer.
#[derive(Clone)]
pub struct Seals {
    home: Home,
    passphrase: Passphrase,
}

impl Seals {
    /// Opens the key; `None` when no secret was ever closed here.
    ///
    /// # Errors
    /// [`KeyFileError`] when it is there and does not open.
    pub fn open(&self) -> Result<Option<SealingKey>, KeyFileError> {
        let path = self.home.sealing_key();
        if !path.exists() {
            return Ok(None);
        }
        SealingKey::open(&path, &self.passphrase).map(Some)
    }

    /// Makes the key, for the first webhook of all: [`has_hooks`] says whether there are others. Made in the place of
    /// one that was lost it would open none of their secrets.
    ///
    /// # Errors
    /// [`KeyFileError`] when it cannot be made or written.
    pub fn make(&self) -> Result<SealingKey, KeyFileError> {
        SealingKey::create(&self.home.sealing_key(), &self.passphrase)
    }
}

/// Whether any tenant has a webhook.
///
/// # Errors
/// [`StoreError`] when the records cannot be read.
pub fn has_hooks(store: &dyn Store) -> Result<bool, StoreError> {
    for tenant in store.tenants()? {
        if !store.hooks(&tenant)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Authority<'_> {
    /// What opens the key that closes secrets.
    ///
    /// # Errors
    /// [`AuthorityError::Passphrase`] when there is none.
    pub fn seals(&mut self) -> Result<Seals, AuthorityError> {
        Ok(Seals { home: self.home.clone(), passphrase: self.keys.passphrase()? })
    }

    /// Makes a webhook. Its secret is in the answer, and closed in the store.
    ///
    /// # Errors
    /// [`AuthorityError::TooManyHooks`]; otherwise what could not be made or recorded.
    pub fn make_hook(
        &mut self,
        order: &HookOrder,
        key: &SealingKey,
        now: UnixTime,
    ) -> Result<(HookRecord, HookSecret), AuthorityError> {
        if self.store.hooks(&order.tenant)?.len() >= MOST_HOOKS {
            return Err(AuthorityError::TooManyHooks { most: MOST_HOOKS });
        }
        let mut random = [0; 16];
        SystemRandom::new().fill(&mut random).map_err(|_| AuthorityError::NoRandomness)?;
        let HookOrder { tenant, url, events, form } = order.clone();
        let id = HookId::from_bytes(random);
        let record = HookRecord { id, tenant, url, events, form, active: true, created: now, updated: now };
        let (secret, sealed) = new_secret(id, key, now)?;
        self.store.add_hook(&record, &sealed)?;
        Ok((record, secret))
    }

    /// Changes a webhook.
    ///
    /// # Errors
    /// [`AuthorityError::UnknownHook`]; otherwise what could not be recorded.
    pub fn change_hook(
        &mut self,
        tenant: &TenantId,
        id: HookId,
        change: &HookChange,
        now: UnixTime,
    ) -> Result<HookRecord, AuthorityError> {
        self.store.set_hook(tenant, id, change, now)?;
        self.store.hook(tenant, id)?.ok_or(AuthorityError::UnknownHook { id })
    }

    /// Gives a webhook another secret. Deliveries are signed with both until `until`.
    ///
    /// # Errors
    /// [`AuthorityError::UnknownHook`]; otherwise what could not be recorded.
    pub fn rotate_hook_secret(
        &mut self,
        tenant: &TenantId,
        id: HookId,
        key: &SealingKey,
        until: UnixTime,
        now: UnixTime,
    ) -> Result<(HookRecord, HookSecret), AuthorityError> {
        let (secret, sealed) = new_secret(id, key, now)?;
        self.store.rotate_secret(tenant, id, &sealed, until)?;
        let record = self.store.hook(tenant, id)?.ok_or(AuthorityError::UnknownHook { id })?;
        Ok((record, secret))
    }

    /// Writes a delivery that tries a webhook out, and says its number.
    ///
    /// # Errors
    /// [`AuthorityError`] when there is no such webhook, or it cannot be recorded.
    pub fn try_hook(&mut self, tenant: &TenantId, id: HookId, now: UnixTime) -> Result<u64, AuthorityError> {
        let data = format!(r#"{{"webhook_id":"{id}"}}"#);
        let notice = Notice { tenant: tenant.clone(), event: HookEvent::Test, at: now, data };
        Ok(self.store.announce_to(id, &notice)?)
    }
}

fn new_secret(
    id: HookId,
    key: &SealingKey,
    now: UnixTime,
) -> Result<(HookSecret, SealedSecret), AuthorityError> {
    let secret = HookSecret::generate().map_err(|_| AuthorityError::NoRandomness)?;
    let sealed = key.close(id.as_bytes(), secret.text().as_bytes())?;
    let hint = secret.hint();
    Ok((secret, SealedSecret { sealed, hint, created: now, until: None }))
}

/// Opens secrets of a webhook, in their order.
///
/// # Errors
/// [`SealError`] when one does not open.
pub fn open_secrets(
    key: &SealingKey,
    id: HookId,
    sealed: &[SealedSecret],
) -> Result<Vec<HookSecret>, AuthorityError> {
    let mut opened = Vec::new();
    for closed in sealed {
        let text = key.open_secret(id.as_bytes(), &closed.sealed)?;
        let secret = std::str::from_utf8(&text).ok().and_then(HookSecret::parse);
        opened.push(secret.ok_or(SealError)?);
    }
    Ok(opened)
}

/// Each change of an agent writes a row for each of them.
const MOST_HOOKS: usize = 100;
