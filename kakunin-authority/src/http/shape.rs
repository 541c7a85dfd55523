//! Agents and certificates as clients read them: what the hosted service's clients expect, and what is so.

use kakunin_core::certificate::AgentCertificate;
use kakunin_core::scope::Scope;
use kakunin_core::time::UnixTime;
use serde_json::{Value, json};

use crate::standing::Standing;
use crate::store::{AgentRecord, CertificateRecord};

/// How clients of the hosted service say that an agent stands. `standing` says it in our own word beside it.
pub(crate) fn status(standing: Standing, certified: bool) -> &'static str {
    match (standing, certified) {
        (Standing::Good, true) => "active",
        (Standing::Good, false) => "pending",
        (Standing::Held, _) => "suspended",
        (Standing::Revoked, _) => "retired",
    }
}

/// An agent.
pub(crate) fn agent(agent: &AgentRecord, certified: bool, tenant: &str) -> Value {
    let scope = Scope::from_der(&agent.scope).ok();
    json!({
        "id": agent.id.to_string(),
        "tenant_id": tenant,
        "name": agent.name.as_str(),
        "status": status(agent.standing, certified),
        "standing": agent.standing.word(),
        "permitted_actions": scope.as_ref().map(actions),
        "scope": scope.as_ref().map(Scope::to_words),
        "created_at": agent.created.to_string(),
    })
}

/// A certificate. The scope in it is the one that counts, whatever the agent's next one will say.
pub(crate) fn certificate(known: &CertificateRecord, tenant: &str, now: UnixTime) -> Value {
    let der = known.der.as_deref();
    let scope = der.and_then(|der| AgentCertificate::decode(der).ok()).map(|held| held.scope().clone());
    let serial = serial(known);
    json!({
        "id": serial,
        "agent_id": known.agent.to_string(),
        "tenant_id": tenant,
        "serial_number": serial,
        "status": certificate_status(known, now),
        "standing": known.standing.word(),
        "pem": der.and_then(|der| crate::publish::to_pem("CERTIFICATE", der).ok()),
        "issued_at": known.validity.not_before.to_string(),
        "expires_at": known.validity.not_after.to_string(),
        "permitted_actions": scope.as_ref().map(actions),
        "scope": scope.as_ref().map(Scope::to_words),
    })
}

/// A serial number as clients write it: 32 upper-case digits.
pub(crate) fn serial(known: &CertificateRecord) -> String {
    known.serial.as_bytes().iter().map(|byte| format!("{byte:02X}")).collect()
}

/// What is held is not active, and clients of the hosted service have no other word for that.
pub(crate) fn certificate_status(known: &CertificateRecord, now: UnixTime) -> &'static str {
    match known.standing {
        Standing::Held | Standing::Revoked => "revoked",
        Standing::Good if known.validity.not_after < now => "expired",
        Standing::Good => "active",
    }
}

fn actions(scope: &Scope) -> Vec<&str> {
    scope.parts().actions.iter().map(kakunin_core::scope::Pattern::as_str).collect()
}
