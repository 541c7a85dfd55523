//! Messages: signing one with a key that is held here, and checking one.
//!
//! What is signed is the payload as JSON with its members in the order of their names and no spaces. It begins with
//! `{`, so it can be taken for nothing else that an agent's key signs.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::post;
use base64ct::{Base64, Encoding as _};
use kakunin_core::certificate::AgentCertificate;
use kakunin_core::digest::Digest;
use kakunin_core::id::SerialNumber;
use kakunin_core::time::UnixTime;
use serde_json::{Value, json};

use super::agents::{known, seen};
use crate::access::Role;
use crate::agent::Who;
use crate::authority::Authority;
use crate::http::access::{Caller, Open};
use crate::http::answer::data;
use crate::http::body::Members;
use crate::http::deed::Intent;
use crate::http::error::Refusal;
use crate::http::sequencer::Lane;
use crate::http::service::Service;
use crate::http::shape::{self, Reader};
use crate::http::table::{Named, Row};
use crate::standing::{Standing, StandingError};
use crate::store::{Store, StoreError};

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row::api(Method::POST, "/agents/{id}/sign", ISSUERS, "Sign with a key that is held here", || {
            post(sign)
        })
        .takes(SIGN),
        Row::api(Method::POST, "/verify/message", Open::Everyone, "Check a signed message", || post(verify))
            .takes(VERIFY),
    ]
}

async fn sign(
    State(service): State<Arc<Service>>,
    caller: Caller,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let mut members = Members::read(&body)?;
    let text = payload(&mut members)?;
    members.end()?;
    let (agent, certificates) = seen(&service, &caller, &id).await?;
    let now = (service.clock)();
    let none = || {
        let text =
            "the agent has no certificate that is good and whose key is held here; certify it without `csr`";
        Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "agent.no_held_key", text)
    };
    let mut held = None;
    for known in certificates.iter().rev().filter(|known| shape::certificate_status(known, now) == "active") {
        if let Some(signer) = service.held_signer(known.key).await? {
            held = Some((signer, known.serial));
            break;
        }
    }
    let (signer, serial) = held.ok_or_else(none)?;
    let clock = Arc::clone(&service.clock);
    let (who, seer, hash) = (Who::Id(agent.id), caller.clone(), Digest::of(text.as_bytes()).to_hex());
    let after = Some(hash.clone());
    let look = move |authority: &Authority<'_>| {
        let agent = known(authority.records(), &seer, &who)?;
        // An agent that was revoked may have come back meanwhile, and its old certificate has not.
        if !is_active(authority.records(), serial, clock())? {
            return Err(none());
        }
        let intent = Intent {
            what: "agent.sign",
            subject: agent.id.to_string(),
            before: None,
            after,
            text: String::new(),
        };
        Ok((intent, agent.standing))
    };
    // Asked on the sequencer, so that nothing is signed for an agent that an answered order has ended.
    let act = move |_: &mut Authority<'_>, standing, _, now| match standing {
        Standing::Good => Ok((signer.sign(text.as_bytes())?.to_x509(signer.algorithm()), now)),
        Standing::Held => Err(StandingError::Held.into()),
        Standing::Revoked => Err(StandingError::NeedsAfterRevocation.into()),
    };
    let (signature, signed): (_, UnixTime) = service.carry_out(&caller, Lane::Ordinary, look, act).await?;
    Ok(data(&json!({
        "signature": Base64::encode_string(&signature),
        "algorithm": "ECDSA_P256_SHA256",
        "certificate_serial": shape::serial_text(&serial),
        "payload_hash": hash,
        "signed_at": signed.to_string(),
    })))
}

/// Whether a signature by the key of this certificate counts at `now`.
fn is_active(store: &dyn Store, serial: SerialNumber, now: UnixTime) -> Result<bool, StoreError> {
    let known = store.certificate(serial)?;
    Ok(known.is_some_and(|known| shape::certificate_status(&known, now) == "active"))
}

async fn verify(State(service): State<Arc<Service>>, body: Bytes) -> Result<Response, Refusal> {
    let mut members = Members::read(&body)?;
    let text = payload(&mut members)?;
    let missing = |name: &str| Refusal::invalid(format!("`{name}` is missing"));
    let signature = members.text(&["signature"], 1024)?.ok_or_else(|| missing("signature"))?;
    let serial = members.text(&["certificate_serial", "certificateSerial"], 64)?;
    let serial = serial.ok_or_else(|| missing("certificate_serial"))?;
    let named = members.text(&["agent_id", "agentId"], 64)?;
    members.end()?;
    let serial = shape::parse_serial(&serial).ok_or_else(Refusal::missing)?;
    let found = service.readers.read_for_anyone(move |store| {
        let Some(known) = store.certificate(serial)? else { return Ok(None) };
        Ok(store.agent(&known.tenant, known.agent)?.map(|agent| (known, agent)))
    });
    let (known, agent) = found.await?.ok_or_else(Refusal::missing)?;
    let now = (service.clock)();
    let status = shape::certificate_status(&known, now);
    let signed =
        known.der.as_deref().and_then(|der| AgentCertificate::decode(der).ok()).is_some_and(|certificate| {
            let signature = Base64::decode_vec(&signature).unwrap_or_default();
            certificate.decoded().key().verify_x509(text.as_bytes(), &signature).is_ok()
        });
    // A good signature of another agent than the one that was named is no good one of it.
    let same = named.is_none_or(|named| named == known.agent.to_string());
    let row = shape::agent(&agent, true, Reader::Other);
    let of = |name: &str| row.get(name).cloned().unwrap_or_default();
    Ok(data(&json!({
        "valid": signed && same && status == "active" && known.validity.not_before <= now,
        "certificate_status": status,
        "standing": known.standing.word(),
        "agent_id": of("id"),
        "agent_name": of("name"),
        "model_hash": of("model_hash"),
        "certificate_serial": shape::serial(&known),
        "expires_at": known.validity.not_after.to_string(),
        "revoked_at": (known.standing != Standing::Good).then(|| known.since.to_string()),
    })))
}

/// The text that is signed.
fn payload(members: &mut Members) -> Result<String, Refusal> {
    match members.take(&["payload"])? {
        Some(payload @ Value::Object(_)) => Ok(payload.to_string()),
        _ => Err(Refusal::invalid("`payload` has to be an object")),
    }
}

const ISSUERS: Open = Open::Roles(&[Role::Issuer]);
const SIGN: &[Named] = &[Named::new("payload", "object", "What to sign")];
const VERIFY: &[Named] = &[
    Named::new("payload", "object", "What was signed"),
    Named::new("signature", "string", "In base64"),
    Named::new("certificate_serial", "string", "Of the certificate; also `certificateSerial`"),
    Named::new("agent_id", "string", "Of the agent that is said to have signed; also `agentId`"),
];

#[cfg(test)]
mod tests {
    use kakunin_core::key::{Algorithm, SoftKey};
    use kakunin_core::scope::DraftScope;

    use super::*;
    use crate::agent::AgentName;
    use crate::authority::{AnyAction, Comeback, Days, Hours};
    use crate::grant::{Grant, GrantKey};
    use crate::home::Home;
    use crate::signer::PassphraseSources;
    use crate::standing::Order;

    #[test]
    fn nothing_is_signed_by_the_certificate_of_before_a_revocation() {
        let folder = tempfile::tempdir().unwrap();
        let ask = |_: &str| Err(std::io::Error::other("nobody"));
        let own = folder.path().join("passphrase");
        std::fs::write(&own, "correct horse\n").unwrap();
        rustix::fs::chmod(&own, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
        let (home, now) = (Home::at(&folder.path().join("home")), UnixTime::from_seconds(1_800_000_000));
        let sources = PassphraseSources { named: None, own: &own, ask: &ask };
        let mut authority = Authority::init(&home, sources, now, Hours::default()).unwrap().0;
        let none = |_: &str| Err(std::io::Error::other("none"));
        let draft = DraftScope::parse("actions = [\"read:*\"]", &none).unwrap();
        let name = AgentName::parse("billing").unwrap();
        let who = Who::Id(authority.create(&name, &draft, AnyAction::Refuse, now).unwrap().id);
        let certify = |authority: &mut Authority<'_>, comeback| {
            let key = SoftKey::generate(Algorithm::P256).unwrap().0.public().clone();
            let grant = Grant { key: GrantKey::Held(key), days: Days::WEEK, comeback };
            let granted = authority.grant(&who, &grant, Hours::default(), now).unwrap();
            granted.certificate.decoded().serial()
        };
        let before = certify(&mut authority, Comeback::Refuse);
        assert!(is_active(authority.records(), before, now).unwrap());
        let _ = authority.order(&who, Order::Revoke, "stolen", Hours::default(), now).unwrap();
        let after = certify(&mut authority, Comeback::AfterRevocation);
        // The agent is good again, and so is what it was certified with since.
        assert_eq!(authority.find(&who).unwrap().standing, Standing::Good);
        assert!(!is_active(authority.records(), before, now).unwrap());
        assert!(is_active(authority.records(), after, now).unwrap());
        assert!(!is_active(authority.records(), after, now.plus(8 * 86_400)).unwrap());
    }
}
