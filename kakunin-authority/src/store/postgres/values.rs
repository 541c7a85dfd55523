//! Columns as values of ours; what cannot be one is damaged.
//!
//! TEXT holds no NUL, and what people write may have one: their words are kept as BYTEA.

use kakunin_core::digest::Digest;
use kakunin_core::id::{AgentId, SerialNumber};
use kakunin_core::time::UnixTime;
use tokio_postgres::Row;

use crate::access::TenantId;
use crate::standing::{Reason, Standing};
use crate::store::{IssuerId, StoreError};

pub(super) fn time(row: &Row, column: usize) -> Result<UnixTime, StoreError> {
    Ok(UnixTime::from_seconds(row.try_get(column)?))
}

pub(super) fn maybe_time(row: &Row, column: usize) -> Result<Option<UnixTime>, StoreError> {
    Ok(row.try_get::<_, Option<i64>>(column)?.map(UnixTime::from_seconds))
}

pub(super) fn count(row: &Row, column: usize) -> Result<u64, StoreError> {
    u64::try_from(row.try_get::<_, i64>(column)?).map_err(|_| damaged("number"))
}

pub(super) fn words(row: &Row, column: usize) -> Result<String, StoreError> {
    String::from_utf8(row.try_get(column)?).map_err(|_| damaged("text"))
}

pub(super) fn maybe_words(row: &Row, column: usize) -> Result<Option<String>, StoreError> {
    let bytes: Option<Vec<u8>> = row.try_get(column)?;
    bytes.map(|bytes| String::from_utf8(bytes).map_err(|_| damaged("text"))).transpose()
}

/// Somebody's words as the value of a column.
pub(super) fn bytes(text: &Option<String>) -> Option<&[u8]> {
    text.as_deref().map(str::as_bytes)
}

pub(super) fn digest(row: &Row, column: usize) -> Result<Digest, StoreError> {
    let bytes: &[u8] = row.try_get(column)?;
    bytes.try_into().map(Digest::from_bytes).map_err(|_| damaged("hash"))
}

pub(super) fn sixteen(row: &Row, column: usize) -> Result<[u8; 16], StoreError> {
    let bytes: &[u8] = row.try_get(column)?;
    bytes.try_into().map_err(|_| damaged("id"))
}

pub(super) fn agent_id(row: &Row, column: usize) -> Result<AgentId, StoreError> {
    Ok(AgentId::from_bytes(sixteen(row, column)?))
}

pub(super) fn serial(row: &Row, column: usize) -> Result<SerialNumber, StoreError> {
    // INVARIANT: this authority's serials have the top bits 01, so magnitude and DER content agree.
    SerialNumber::from_der_content(row.try_get(column)?).ok_or_else(|| damaged("serial number"))
}

pub(super) fn tenant(row: &Row, column: usize) -> Result<TenantId, StoreError> {
    TenantId::parse(row.try_get(column)?).ok_or_else(|| damaged("tenant"))
}

pub(super) fn maybe_tenant(row: &Row, column: usize) -> Result<Option<TenantId>, StoreError> {
    let text: Option<&str> = row.try_get(column)?;
    text.map(|text| TenantId::parse(text).ok_or_else(|| damaged("tenant"))).transpose()
}

pub(super) fn standing(row: &Row, column: usize) -> Result<Standing, StoreError> {
    let word: &str = row.try_get(column)?;
    let all = [Standing::Good, Standing::Held, Standing::Revoked];
    all.into_iter().find(|standing| standing.word() == word).ok_or_else(|| damaged("standing"))
}

pub(super) fn reason(row: &Row, column: usize) -> Result<Reason, StoreError> {
    let code: i16 = row.try_get(column)?;
    u8::try_from(code).ok().and_then(Reason::from_code).ok_or_else(|| damaged("reason"))
}

pub(super) fn issuer(row: &Row, column: usize) -> Result<IssuerId, StoreError> {
    let number: i64 = row.try_get(column)?;
    u32::try_from(number).map(IssuerId::from_number).map_err(|_| damaged("issuer"))
}

/// An issuer as the value of a column.
pub(super) fn number(issuer: IssuerId) -> i64 {
    i64::from(issuer.number())
}

pub(super) const fn damaged(what: &'static str) -> StoreError {
    StoreError::Damaged { what }
}
