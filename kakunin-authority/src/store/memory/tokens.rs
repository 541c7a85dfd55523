//! Enrolment tokens in memory.

use kakunin_core::time::UnixTime;

use super::MemoryStore;
use crate::access::KeyPrefix;
use crate::store::{Certificates, Redemption, Reservation, StoreError, TokenRecord, Tokens};

impl Tokens for MemoryStore {
    fn add_token(&mut self, token: &TokenRecord) -> Result<(), StoreError> {
        if self.now.tokens.contains_key(&token.prefix) {
            return Err(StoreError::KeyTaken { prefix: token.prefix.clone() });
        }
        if self.now.agent(&token.tenant, token.agent).is_none() {
            return Err(StoreError::UnknownAgent { id: token.agent });
        }
        self.now.tokens.insert(token.prefix.clone(), token.clone());
        Ok(())
    }

    fn token(&self, prefix: &KeyPrefix) -> Result<Option<TokenRecord>, StoreError> {
        Ok(self.now.tokens.get(prefix).cloned())
    }

    fn redeem(
        &mut self,
        prefix: &KeyPrefix,
        reservation: &Reservation,
        at: UnixTime,
    ) -> Result<(), StoreError> {
        let Reservation { serial, agent, key, .. } = *reservation;
        let good = |token: &TokenRecord| token.agent == agent && at < token.expires;
        let unknown = || StoreError::UnknownToken { prefix: prefix.clone() };
        let token = self.token(prefix)?.filter(good).ok_or_else(unknown)?;
        if let Some(redeemed) = token.redeemed {
            let mut kept = self.now.certificates.iter();
            let signed = kept.any(|kept| kept.record.serial == redeemed.serial && kept.record.der.is_some());
            if redeemed.key != key || signed {
                return Err(StoreError::TokenUsed { prefix: prefix.clone() });
            }
        }
        self.reserve(reservation)?;
        let redeemed = Some(Redemption { key, serial, at });
        self.now.tokens.insert(prefix.clone(), TokenRecord { redeemed, ..token });
        Ok(())
    }

    fn forget_tokens(&mut self, at: UnixTime) -> Result<u64, StoreError> {
        let before = self.now.tokens.len();
        self.now.tokens.retain(|_, token| token.expires > at);
        Ok(u64::try_from(before.saturating_sub(self.now.tokens.len())).unwrap_or(u64::MAX))
    }
}
