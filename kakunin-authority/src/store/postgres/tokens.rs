//! Enrolment tokens in PostgreSQL.

use kakunin_core::id::AgentId;
use kakunin_core::time::UnixTime;
use tokio_postgres::Row;

use super::session::Session;
use super::values::{agent_id, damaged, digest, maybe_time, serial, tenant as tenant_of, time};
use super::{PostgresStore, certificates};
use crate::access::KeyPrefix;
use crate::store::{Redemption, Reservation, StoreError, TokenRecord, Tokens};

impl Tokens for PostgresStore {
    fn add_token(&mut self, token: &TokenRecord) -> Result<(), StoreError> {
        self.write(|session| {
            if session.is_there("SELECT 1 FROM tokens WHERE prefix = $1", &[&token.prefix.as_str()])? {
                return Err(StoreError::KeyTaken { prefix: token.prefix.clone() });
            }
            let (tenant, agent) = (token.tenant.as_str(), &token.agent.as_bytes()[..]);
            if !session.is_there("SELECT 1 FROM agents WHERE tenant = $1 AND id = $2", &[&tenant, &agent])? {
                return Err(StoreError::UnknownAgent { id: token.agent });
            }
            let sql = "INSERT INTO tokens
                       (prefix, secret, tenant, agent, created, expires, key, serial, redeemed)
                       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
            let redeemed = token.redeemed.as_ref();
            session.execute(
                sql,
                &[
                    &token.prefix.as_str(),
                    &&token.secret.as_bytes()[..],
                    &tenant,
                    &agent,
                    &token.created.seconds(),
                    &token.expires.seconds(),
                    &redeemed.map(|redeemed| redeemed.key.as_bytes().to_vec()),
                    &redeemed.map(|redeemed| redeemed.serial.as_bytes().to_vec()),
                    &redeemed.map(|redeemed| redeemed.at.seconds()),
                ],
            )?;
            Ok(())
        })
    }

    fn token(&self, prefix: &KeyPrefix) -> Result<Option<TokenRecord>, StoreError> {
        self.read(|session| find(session, prefix))
    }

    fn redeem(
        &mut self,
        prefix: &KeyPrefix,
        reservation: &Reservation,
        at: UnixTime,
    ) -> Result<(), StoreError> {
        self.write(|session| {
            let found = find(session, prefix)?;
            let found = found.filter(|token| token.agent == reservation.agent && at < token.expires);
            let token = found.ok_or_else(|| StoreError::UnknownToken { prefix: prefix.clone() })?;
            if let Some(redeemed) = token.redeemed {
                let sql = "SELECT 1 FROM certificates WHERE serial = $1 AND der IS NOT NULL";
                let signed = session.is_there(sql, &[&redeemed.serial.as_bytes()])?;
                if redeemed.key != reservation.key || signed {
                    return Err(StoreError::TokenUsed { prefix: prefix.clone() });
                }
            }
            certificates::reserve(session, reservation)?;
            let sql = "UPDATE tokens SET key = $2, serial = $3, redeemed = $4 WHERE prefix = $1";
            let (key, serial) = (&reservation.key.as_bytes()[..], reservation.serial.as_bytes());
            session.execute(sql, &[&prefix.as_str(), &key, &serial, &at.seconds()])?;
            Ok(())
        })
    }

    fn forget_tokens(&mut self, at: UnixTime) -> Result<u64, StoreError> {
        self.write(|session| session.execute("DELETE FROM tokens WHERE expires <= $1", &[&at.seconds()]))
    }
}

/// Forgets the tokens of an agent that is revoked.
pub(super) fn forget_of(session: &mut Session, tenant: &str, agent: AgentId) -> Result<(), StoreError> {
    let sql = "DELETE FROM tokens WHERE tenant = $1 AND agent = $2";
    session.execute(sql, &[&tenant, &&agent.as_bytes()[..]])?;
    Ok(())
}

fn find(session: &mut Session, prefix: &KeyPrefix) -> Result<Option<TokenRecord>, StoreError> {
    let sql = "SELECT prefix, secret, tenant, agent, created, expires, key, serial, redeemed FROM tokens
               WHERE prefix = $1";
    session.row(sql, &[&prefix.as_str()])?.as_ref().map(token).transpose()
}

fn token(row: &Row) -> Result<TokenRecord, StoreError> {
    let redeemed = match maybe_time(row, 8)? {
        None => None,
        Some(at) => Some(Redemption { key: digest(row, 6)?, serial: serial(row, 7)?, at }),
    };
    Ok(TokenRecord {
        prefix: KeyPrefix::parse(row.try_get(0)?).ok_or(damaged("token"))?,
        secret: digest(row, 1)?,
        tenant: tenant_of(row, 2)?,
        agent: agent_id(row, 3)?,
        created: time(row, 4)?,
        expires: time(row, 5)?,
        redeemed,
    })
}
