//! What anybody may ask about a certificate by its serial number.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use axum::routing::get;
use kakunin_core::certificate::AgentCertificate;
use serde_json::{Value, json};

use crate::http::access::Open;
use crate::http::answer::{accepts, data, typed};
use crate::http::error::Refusal;
use crate::http::service::Service;
use crate::http::shape::{self, Reader};
use crate::http::table::Row;
use crate::http::v1scope;
use crate::http::web_page::page;
use crate::standing::Standing;

pub(crate) fn rows() -> Vec<Row> {
    let about = "How a certificate stands now. Whoever shows its number has not shown its key";
    vec![Row::api(Method::GET, "/verify/{serial}", Open::Everyone, about, || get(serial))]
}

async fn serial(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    Path(serial): Path<String>,
) -> Result<Response, Refusal> {
    let wrong = || Refusal::invalid("a serial number has 32 hexadecimal digits");
    let serial = shape::parse_serial(&serial).ok_or_else(wrong)?;
    let found = service.readers.read_for_anyone(move |store| {
        let Some(known) = store.certificate(serial)? else { return Ok(None) };
        Ok(store.agent(&known.tenant, known.agent)?.map(|agent| (known, agent)))
    });
    let (known, agent) = found.await?.ok_or_else(Refusal::missing)?;
    let now = (service.clock)();
    let status = shape::certificate_status(&known, now);
    let begun = known.validity.not_before <= now;
    // The scope that counts is the one that was signed.
    let scope = known.der.as_deref().and_then(|der| AgentCertificate::decode(der).ok());
    let permitted = scope.as_ref().map(|certificate| shape::actions(certificate.scope()));
    let ended = (known.standing != Standing::Good).then(|| known.since.to_string());
    let row = shape::agent(&agent, true, Reader::Other);
    let of = |name: &str| row.get(name).cloned().unwrap_or_default();
    let financial = scope.as_ref().and_then(|certificate| v1scope::financial(certificate.scope()));
    let operator = row.pointer("/metadata/operator_org").cloned();
    let answer = json!({
        "serial_number": shape::serial(&known),
        "status": status,
        "certificate_status": status,
        "standing": known.standing.word(),
        "valid": status == "active" && begun && known.der.is_some(),
        "issued_at": known.validity.not_before.to_string(),
        "expires_at": known.validity.not_after.to_string(),
        "revoked_at": ended,
        "revocation_reason": ended.as_ref().map(|_| shape::reason(known.reason)),
        "agent_id": of("id"),
        "agent_name": of("name"),
        "model_hash": of("model_hash"),
        "permitted_actions": permitted,
        "scope": scope.as_ref().map(|certificate| certificate.scope().to_words()),
        "agent": {
            "id": of("id"), "name": of("name"), "model": of("model"), "model_hash": of("model_hash"),
            "version": of("version"), "operator_org": operator, "permitted_actions": permitted,
            "financial_scope": financial,
        },
    });
    Ok(if accepts(&headers, &["text/html"]) { people(&answer) } else { data(&answer) })
}

/// The same for people.
fn people(answer: &Value) -> Response {
    let of = |name: &str| answer.get(name).unwrap_or(&Value::Null);
    let serial = of("serial_number").as_str().unwrap_or_default();
    let verdict = match of("valid") {
        Value::Bool(true) => "This certificate is good now.",
        _ => "This certificate is not good now. Do not accept it.",
    };
    let rows = [
        ("status", of("status")),
        ("agent", of("agent_name")),
        ("agent id", of("agent_id")),
        ("model", of("model_hash")),
        ("permits", of("scope")),
        ("issued", of("issued_at")),
        ("ends", of("expires_at")),
        ("revoked", of("revoked_at")),
        ("reason", of("revocation_reason")),
    ];
    let mut page = page(&format!("Certificate {serial}"), verdict, &rows);
    page.push_str("<!-- Whoever shows a number has not shown the key. -->\n");
    typed(StatusCode::OK, "text/html; charset=utf-8", page)
}
