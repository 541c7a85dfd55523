//! Tenants: listing and making them, for whoever operates the authority.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::{Value, json};

use crate::access::{Role, TenantId};
use crate::api_key::KeyOrder;
use crate::authority::Authority;
use crate::http::access::{Caller, Open};
use crate::http::answer::{data, data_with};
use crate::http::body::Members;
use crate::http::deed::Intent;
use crate::http::error::Refusal;
use crate::http::once::Makes;
use crate::http::sequencer::Lane;
use crate::http::service::Service;
use crate::http::table::{Named, Row};
use crate::publish::Published;

pub(crate) fn rows() -> Vec<Row> {
    let about = "Every tenant with its issuing authority, for owners of the tenant `default`";
    vec![
        Row::api(Method::GET, "/tenants", OPERATORS, about, || get(list)),
        Row::api(
            Method::POST,
            "/tenants",
            OPERATORS,
            "Make a tenant with an issuing authority of its own; the key of its owner is in this answer alone",
            || post(make),
        )
        .takes(MAKE)
        .once(Makes::Secret),
    ]
}

async fn list(State(service): State<Arc<Service>>, caller: Caller) -> Result<Response, Refusal> {
    operator(&caller)?;
    let created = service.readers.read(|store| {
        let of = |tenant: TenantId| Ok((store.tenant_since(&tenant)?, tenant));
        store.tenants()?.into_iter().map(of).collect::<Result<Vec<_>, _>>()
    });
    let rows = created.await?.into_iter().filter_map(|(created, tenant)| {
        let published = service.shown.newest(&tenant)?;
        // The first one was there before anybody counted.
        let created = created.filter(|_| tenant != TenantId::default()).map(|at| at.to_string());
        Some(row(&tenant, created, &published))
    });
    Ok(data(&rows.collect()))
}

async fn make(State(service): State<Arc<Service>>, caller: Caller, body: Bytes) -> Result<Response, Refusal> {
    operator(&caller)?;
    let mut members = Members::read(&body)?;
    let name = members.text(&["name"], 63)?;
    members.end()?;
    let wrong = "`name` has to be 1 to 63 lower-case letters, digits and hyphens, and begins with no hyphen";
    let tenant = name.as_deref().and_then(TenantId::parse).ok_or_else(|| Refusal::invalid(wrong))?;
    let (hours, named) = (service.hours, tenant.clone());
    let look = move |_: &Authority<'_>| {
        let (subject, text) = (named.to_string(), String::new());
        Ok((Intent { what: "tenant.create", subject, before: None, after: None, text }, ()))
    };
    let made = service.carry_out(&caller, Lane::Ordinary, look, move |authority, (), _, now| {
        let founded = authority.create_tenant(&tenant, hours, now)?;
        let order = KeyOrder {
            role: Role::Owner,
            tenant,
            agents: None,
            label: "made with the tenant".to_owned(),
            expires: None,
        };
        Ok((founded, authority.make_key(&order, now)?.1, now))
    });
    let (founded, key, now) = made.await?;
    let published = service.published_of(&founded.tenant)?;
    let mut shown = row(&founded.tenant, Some(now.to_string()), &published);
    if let Some(members) = shown.as_object_mut() {
        members.insert("owner_key".into(), Value::String(key.to_text().to_string()));
    }
    Ok(data_with(StatusCode::CREATED, &shown))
}

/// Tenants are the business of whoever operates the authority: an owner of its first tenant, for all agents of that.
fn operator(caller: &Caller) -> Result<(), Refusal> {
    if *caller.tenant() == TenantId::default() && !caller.is_bound() {
        return Ok(());
    }
    let text = "only an owner of the tenant `default`, with a key for all of its agents, may do this";
    Err(Refusal::new(StatusCode::FORBIDDEN, "access.operator", text))
}

fn row(tenant: &TenantId, created: Option<String>, published: &Published) -> Value {
    let issuing = published.issuing().decoded();
    let chain = [published.issuing_pem(), published.root_pem()].concat();
    json!({
        "id": tenant.as_str(),
        "created_at": created,
        "issuer": issuing.key().key_id().to_hex(),
        "issuer_subject": issuing.subject_text(),
        "issuer_expires_at": issuing.validity().not_after.to_string(),
        "chain_pem": chain,
        "list_number": published.list().number,
        "next_update": published.next_update().to_string(),
    })
}

const OPERATORS: Open = Open::Roles(&[]);
const MAKE: &[Named] =
    &[Named::new("name", "string", "1 to 63 lower-case letters, digits and hyphens; it stays")];
