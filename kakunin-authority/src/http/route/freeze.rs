//! Freezing: stopping issuance in one call, and letting it go on.
//!
//! Whoever may revoke may freeze, and an owner thaws. A tenant's keys speak for that tenant; of all of them, and of another
//! one, speaks whoever operates the authority. What the two of them froze stands side by side: a tenant thaws its own and leaves
//! the operator's.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::{delete, get, post};
use serde::Deserialize;
use serde_json::{Value, json};

use super::tenants::{is_operator, operator};
use crate::access::{Role, TenantId};
use crate::authority::{Authority, AuthorityError};
use crate::freeze::{Cold, Froze};
use crate::http::access::{Caller, Open};
use crate::http::answer::data;
use crate::http::body::Members;
use crate::http::deed::Intent;
use crate::http::error::Refusal;
use crate::http::sequencer::Lane;
use crate::http::service::Service;
use crate::http::table::{Named, Row};
use crate::store::{Extent, FreezeRecord, Hand, StoreError, frozen};

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row::api(Method::GET, "/freeze", READERS, "Whether certificates are signed, and since when not", || {
            get(show)
        }),
        Row::api(
            Method::POST,
            "/freeze",
            REVOKERS,
            "Stop issuance: after the answer no certificate is signed, while lists, feeds, revocation and ingest go on",
            || post(freeze),
        )
        .takes(FREEZE),
        Row::api(Method::DELETE, "/freeze", OWNERS, "Let issuance go on", || delete(thaw)).asks(THAW),
    ]
}

async fn show(State(service): State<Arc<Service>>, caller: Caller) -> Result<Response, Refusal> {
    unbound(&caller)?;
    let freezes = service.readers.read(|store| store.freezes()).await?;
    Ok(data(&Value::Object(shown(&caller, &freezes))))
}

async fn freeze(
    State(service): State<Arc<Service>>,
    caller: Caller,
    body: Bytes,
) -> Result<Response, Refusal> {
    let mut members = Members::read(&body)?;
    let reason = members.text(&["reason"], REASON)?.unwrap_or_else(|| "no reason given".into());
    let (tenant, everyone) = (members.text(&["tenant"], 63)?, members.flag("everyone")?);
    members.end()?;
    cool(&service, &caller, Cold::Freeze, (tenant, everyone), reason).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    reason: Option<String>,
    tenant: Option<String>,
    everyone: Option<bool>,
}

async fn thaw(
    State(service): State<Arc<Service>>,
    caller: Caller,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(asked) = asked?;
    let reason = asked.reason.unwrap_or_else(|| "no reason given".into());
    if reason.chars().count() > REASON {
        return Err(Refusal::invalid(format!("`reason` has more than {REASON} characters")));
    }
    cool(&service, &caller, Cold::Thaw, (asked.tenant, asked.everyone == Some(true)), reason).await
}

async fn cool(
    service: &Arc<Service>,
    caller: &Caller,
    cold: Cold,
    whose: (Option<String>, bool),
    reason: String,
) -> Result<Response, Refusal> {
    unbound(caller)?;
    let extent = extent(caller, whose)?;
    let (about, text) = (extent.clone(), reason.clone());
    let hand = if is_operator(caller) { Hand::Operator } else { Hand::Tenant };
    let look = move |authority: &Authority<'_>| {
        if let Extent::Tenant(tenant) = &about
            && !authority.tenants().contains(tenant)
        {
            return Err(Refusal::missing());
        }
        if cold == Cold::Thaw && hand == Hand::Tenant && authority.is_the_operators_alone(&about)? {
            let text = "whoever operates the authority froze this tenant, and thaws it";
            return Err(Refusal::new(StatusCode::FORBIDDEN, "access.operator", text));
        }
        let intent = Intent {
            what: cold.deed(),
            subject: about.word().to_owned(),
            before: Some(authority.word_of(&about, hand)?.into()),
            after: Some(cold.word().into()),
            text,
        };
        Ok((intent, ()))
    };
    // Stopping is as urgent as taking power away; going on can wait.
    let lane = match cold {
        Cold::Freeze => Lane::Urgent,
        Cold::Thaw => Lane::Ordinary,
    };
    let actor = caller.actor();
    let act = move |authority: &mut Authority<'_>, (), _, now| -> Result<Froze, AuthorityError> {
        authority.cooled(cold, &FreezeRecord { extent, hand, at: now, actor, text: reason })
    };
    let done = service.carry_out(caller, lane, look, act).await?;
    let mut row = shown(caller, &done.freezes);
    row.insert("changed".into(), done.is_new.into());
    Ok(data(&Value::Object(row)))
}

/// Refuses what would end in a certificate of `tenant` that is not signed, before anything is made for it.
///
/// # Errors
/// [`Refusal`]: `issuance.frozen`, or that the records cannot be read.
pub(crate) async fn refuse(service: &Service, tenant: &TenantId) -> Result<(), Refusal> {
    let freezes = service.readers.read(|store| store.freezes()).await?;
    frozen(&freezes, tenant).map_or(Ok(()), |freeze| Err(freeze.refusal().into()))
}

/// How many tenants are frozen, and whether all of them are.
///
/// # Errors
/// [`StoreError`] when the records cannot be read.
pub(crate) async fn count(service: &Service) -> Result<(usize, bool), Refusal> {
    let counted = service.readers.read_for_anyone(|store| {
        let (freezes, tenants) = (store.freezes()?, store.tenants()?);
        let cold = tenants.iter().filter(|tenant| frozen(&freezes, tenant).is_some()).count();
        Ok::<_, StoreError>((cold, cold == tenants.len()))
    });
    counted.await
}

/// Whose issuing an order is about.
fn extent(caller: &Caller, (tenant, everyone): (Option<String>, bool)) -> Result<Extent, Refusal> {
    let own = Extent::Tenant(caller.tenant().clone());
    let extent = match (tenant, everyone) {
        (None, false) => own.clone(),
        (None, true) => Extent::Everyone,
        (Some(name), false) => TenantId::parse(&name).map(Extent::Tenant).ok_or_else(Refusal::missing)?,
        (Some(_), true) => return Err(Refusal::invalid("`tenant` names one, and `everyone` means all")),
    };
    if extent != own {
        operator(caller)?;
    }
    Ok(extent)
}

fn shown(caller: &Caller, freezes: &[FreezeRecord]) -> serde_json::Map<String, Value> {
    let is_operator = is_operator(caller);
    let seen = freezes.iter().filter(|freeze| is_operator || freeze.extent.covers(caller.tenant()));
    let rows: Vec<_> = seen
        .map(|freeze| {
            let own = is_operator || freeze.extent != Extent::Everyone;
            json!({
                "tenant": match &freeze.extent {
                    Extent::Everyone => None,
                    Extent::Tenant(tenant) => Some(tenant.as_str()),
                },
                "everyone": freeze.extent == Extent::Everyone,
                "operator": freeze.hand == Hand::Operator,
                "since": freeze.at.to_string(),
                "by": freeze.actor.kind().word(),
                // Why all of them are frozen is not every tenant's business.
                "reason": own.then_some(&freeze.text),
            })
        })
        .collect();
    let mut row = serde_json::Map::new();
    row.insert("frozen".into(), frozen(freezes, caller.tenant()).is_some().into());
    row.insert("freezes".into(), rows.into());
    row
}

/// A key for a few agents must not stop the others.
fn unbound(caller: &Caller) -> Result<(), Refusal> {
    match caller.is_bound() {
        true => {
            Err(Refusal::new(StatusCode::FORBIDDEN, "access.bound", "a key bound to agents may not do this"))
        }
        false => Ok(()),
    }
}

const READERS: Open = Open::Roles(&[Role::Issuer, Role::Revoker, Role::Auditor]);
const REVOKERS: Open = Open::Roles(&[Role::Revoker]);
const OWNERS: Open = Open::Roles(&[]);
/// As many characters as the reason of a revocation.
const REASON: usize = 500;
const FREEZE: &[Named] = &[
    Named::new("reason", "string", "Up to 500 characters"),
    Named::new("everyone", "boolean", "Every tenant's, for whoever operates the authority"),
    Named::new("tenant", "string", "Another tenant's, for whoever operates the authority"),
];
const THAW: &[Named] = &[
    Named::new("reason", "string", "Up to 500 characters"),
    Named::new(
        "everyone",
        "boolean",
        "What was frozen for every tenant; one that is frozen by itself stays so",
    ),
    Named::new("tenant", "string", "Another tenant's, for whoever operates the authority"),
];
