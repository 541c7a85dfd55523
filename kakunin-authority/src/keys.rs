//! The authority's keys, opened when they are first needed and kept open while it is locked.

use std::collections::HashMap;

use kakunin_core::key::Signer;

use crate::authority::AuthorityError;
use crate::home::Home;
use crate::signer::{self, Passphrase, PassphraseError, PassphraseSources};
use crate::store::IssuerId;

/// Keys that open when they are first used.
pub(crate) struct Keys<'a> {
    pub(crate) home: Home,
    pub(crate) sources: PassphraseSources<'a>,
    pub(crate) passphrase: Option<Passphrase>,
    pub(crate) open: HashMap<IssuerId, Signer>,
}

impl Keys<'_> {
    pub(crate) fn passphrase(&mut self) -> Result<Passphrase, PassphraseError> {
        let found = match self.passphrase.take() {
            Some(known) => known,
            None => self.sources.find()?,
        };
        Ok(self.passphrase.insert(found).clone())
    }

    /// Forgets the root's key: nothing but the making of an issuing authority needs it.
    pub(crate) fn close_root(&mut self) {
        self.open.remove(&IssuerId::ROOT);
    }

    pub(crate) fn signer(&mut self, id: IssuerId) -> Result<&Signer, AuthorityError> {
        if !self.open.contains_key(&id) {
            let path = if id == IssuerId::ROOT { self.home.root_key() } else { self.home.issuing_key(id) };
            let passphrase = self.passphrase()?;
            self.open.insert(id, signer::open(&path, &passphrase)?);
        }
        self.open.get(&id).ok_or(AuthorityError::NoIssuer)
    }
}
