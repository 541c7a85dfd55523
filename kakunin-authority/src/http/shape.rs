//! Agents and certificates as clients read them: what the hosted service's clients expect, and what is so.

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use kakunin_core::certificate::AgentCertificate;
use kakunin_core::id::SerialNumber;
use kakunin_core::scope::Scope;
use kakunin_core::time::UnixTime;
use serde_json::{Map, Value, json};

use super::v1scope;
use crate::standing::{Reason, Standing};
use crate::store::{AgentDetails, AgentRecord, CertificateRecord};

/// Who reads the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// The Python client of the hosted service: it knows three words for how an agent stands, and raises at others.
    HostedPython,
    /// Everybody else.
    Other,
}

impl<S: Sync> FromRequestParts<S> for Reader {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let agent = parts.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        let hosted = agent.is_some_and(|agent| agent.starts_with("kakunin-python/"));
        Ok(if hosted { Self::HostedPython } else { Self::Other })
    }
}

/// How clients of the hosted service say that an agent stands. `standing` says it in our own word beside it.
pub(crate) fn status(standing: Standing, certified: bool, reader: Reader) -> &'static str {
    match (standing, certified, reader) {
        (Standing::Good, true, _) => "active",
        (Standing::Good, false, Reader::Other) => "pending",
        (Standing::Held, ..) | (Standing::Good, false, Reader::HostedPython) => "suspended",
        (Standing::Revoked, ..) => "retired",
    }
}

/// An agent. What clients read as permitted is what its scope says, whatever was written into its metadata.
pub(crate) fn agent(agent: &AgentRecord, certified: bool, reader: Reader) -> Value {
    let scope = Scope::from_der(&agent.scope).ok();
    let permitted = scope.as_ref().map(actions);
    let details = &agent.details;
    let mut metadata = metadata(details);
    for name in ["permitted_actions", "scopes"] {
        metadata.insert(name.into(), permitted.clone().into());
    }
    if let Some(financial) = scope.as_ref().and_then(v1scope::financial) {
        metadata.insert("financial_scope".into(), financial);
    }
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    json!({
        "id": agent.id.to_string(),
        "tenant_id": agent.tenant.as_str(),
        "name": details.title.as_deref().unwrap_or(agent.name.as_str()),
        "agent_name": agent.name.as_str(),
        "model": text(&details.model),
        "model_hash": details.model_hash,
        "version": text(&details.version),
        "description": details.description,
        "metadata": metadata,
        "inbox_address": null,
        "status": status(agent.standing, certified, reader),
        "standing": agent.standing.word(),
        "permitted_actions": permitted,
        "scope": scope.as_ref().map(Scope::to_words),
        "created_at": agent.created.to_string(),
        "updated_at": agent.updated.to_string(),
    })
}

fn metadata(details: &AgentDetails) -> Map<String, Value> {
    details.metadata.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// Takes what is read from the scope out of metadata; whether it said what the scope says.
pub(crate) fn keeps_scope(details: &mut AgentDetails, scope: &[u8]) -> bool {
    let Some(scope) = Scope::from_der(scope).ok() else { return false };
    let mut metadata = metadata(details);
    let permitted = json!(actions(&scope));
    let mut kept = true;
    for name in ["permitted_actions", "scopes"] {
        kept &= metadata.remove(name).is_none_or(|said| said.is_null() || said == permitted);
    }
    kept &=
        metadata.remove("financial_scope").is_none_or(|said| said.is_null() || v1scope::says(&said, &scope));
    if details.metadata.is_some() {
        details.metadata = Some(Value::Object(metadata).to_string());
    }
    kept
}

/// A certificate. The scope in it is the one that counts, whatever the agent's next one will say.
pub(crate) fn certificate(known: &CertificateRecord, tenant: &str, now: UnixTime) -> Value {
    let der = known.der.as_deref();
    let scope = der.and_then(|der| AgentCertificate::decode(der).ok()).map(|held| held.scope().clone());
    let serial = serial(known);
    let pem = der.and_then(|der| crate::publish::to_pem("CERTIFICATE", der).ok());
    let ended = known.standing != Standing::Good;
    json!({
        "id": serial,
        "agent_id": known.agent.to_string(),
        "tenant_id": tenant,
        "serial_number": serial,
        "status": certificate_status(known, now),
        "standing": known.standing.word(),
        "pem": pem,
        "certificate_pem": pem,
        "vc_jwt": null,
        "kms_key_arn": null,
        "halt_receipt": null,
        "revoked_at": ended.then(|| known.since.to_string()),
        "revocation_reason": ended.then(|| reason(known.reason)),
        "issued_at": known.validity.not_before.to_string(),
        "expires_at": known.validity.not_after.to_string(),
        "permitted_actions": scope.as_ref().map(actions),
        "financial_scope": scope.as_ref().and_then(v1scope::financial),
        "scope": scope.as_ref().map(Scope::to_words),
    })
}

/// A serial number as clients write it: 32 upper-case digits.
pub(crate) fn serial(known: &CertificateRecord) -> String {
    serial_text(&known.serial)
}

/// A serial number as clients write it.
pub(crate) fn serial_text(serial: &SerialNumber) -> String {
    serial.as_bytes().iter().map(|byte| format!("{byte:02X}")).collect()
}

/// Reads a serial number as people copy it: in either case, with colons or without.
pub(crate) fn parse_serial(text: &str) -> Option<SerialNumber> {
    let plain: String = text.chars().filter(|letter| *letter != ':').collect();
    SerialNumber::parse(&plain.to_ascii_lowercase())
}

/// What is held is not active, and clients of the hosted service have no other word for that.
pub(crate) fn certificate_status(known: &CertificateRecord, now: UnixTime) -> &'static str {
    match known.standing {
        Standing::Held | Standing::Revoked => "revoked",
        Standing::Good if known.validity.not_after < now => "expired",
        Standing::Good => "active",
    }
}

pub(crate) fn actions(scope: &Scope) -> Vec<&str> {
    scope.parts().actions.iter().map(kakunin_core::scope::Pattern::as_str).collect()
}

/// The words of RFC 5280 for why a certificate is on a list.
pub(crate) const fn reason(reason: Reason) -> &'static str {
    reason.word()
}
