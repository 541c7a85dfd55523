//! Tenants: listing and making them, for whoever operates the authority.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use kakunin_core::certificate::Decoded;
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
use crate::publish::{Published, to_pem};

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
        let chain = [published.issuing_pem(), published.root_pem()].concat();
        Some(row(&tenant, created, published.issuing().decoded(), chain, Some(&published)))
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
    let (hours, subject) = (service.hours, tenant.to_string());
    let look = move |_: &Authority<'_>| {
        let text = String::new();
        Ok((Intent { what: "tenant.create", subject, before: None, after: None, text }, ()))
    };
    let named = tenant.clone();
    let noting = Arc::clone(&service);
    let made = service.carry_out(&caller, Lane::Ordinary, look, move |authority, (), _, now| {
        let order = KeyOrder {
            role: Role::Owner,
            tenant: tenant.clone(),
            agents: None,
            networks: None,
            label: "made with the tenant".to_owned(),
            expires: None,
        };
        let (record, key) = order.new_key(now)?;
        let (issuing, ()) = authority.found(&tenant, now, |store| store.add_key(&record))?;
        // It is made, and this answer alone has the key of its owner: lists that are late are published as soon as possible.
        if let Err(error) = authority.first_lists(&tenant, hours, now) {
            noting.note("tenant.not_published", &error);
        }
        if let Err(error) = authority.first_feed_key(&tenant, now) {
            noting.note("feed.key_not_renewed", &error);
        }
        Ok((issuing, authority.root().clone(), key, now))
    });
    let (issuing, root, key, now) = made.await?;
    let chain =
        [to_pem("CERTIFICATE", issuing.decoded().der())?, to_pem("CERTIFICATE", root.decoded().der())?];
    let published = service.shown.newest(&named);
    let mut shown =
        row(&named, Some(now.to_string()), issuing.decoded(), chain.concat(), published.as_deref());
    if let Some(members) = shown.as_object_mut() {
        members.insert("owner_key".into(), Value::String(key.to_text().to_string()));
    }
    Ok(data_with(StatusCode::CREATED, &shown))
}

/// Tenants are the business of whoever operates the authority: somebody of its first tenant whom the route admits, for all
/// agents of that.
pub(crate) fn operator(caller: &Caller) -> Result<(), Refusal> {
    if is_operator(caller) {
        return Ok(());
    }
    let text = "only a key of the tenant `default`, for all of its agents, may do this";
    Err(Refusal::new(StatusCode::FORBIDDEN, "access.operator", text))
}

pub(crate) fn is_operator(caller: &Caller) -> bool {
    *caller.tenant() == TenantId::default() && !caller.is_bound()
}

/// `published`: nothing of a tenant whose first lists are late.
fn row(
    tenant: &TenantId,
    created: Option<String>,
    issuing: &Decoded,
    chain: String,
    published: Option<&Published>,
) -> Value {
    json!({
        "id": tenant.as_str(),
        "created_at": created,
        "issuer": issuing.key().key_id().to_hex(),
        "issuer_subject": issuing.subject_text(),
        "issuer_expires_at": issuing.validity().not_after.to_string(),
        "chain_pem": chain,
        "list_number": published.map(|published| published.list().number),
        "next_update": published.map(|published| published.next_update().to_string()),
    })
}

const OPERATORS: Open = Open::Roles(&[]);
const MAKE: &[Named] =
    &[Named::new("name", "string", "1 to 63 lower-case letters, digits and hyphens; it stays")];
