//! What is known of an agent in a span of time: declared events, receipts, and a bundle that a stranger can check.

use std::fs::File;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use kakunin_core::bundle::{ExportError, Exported};
use kakunin_core::id::ChainId;
use kakunin_core::time::UnixTime;
use serde::Deserialize;
use serde_json::{Value, json};

use super::agents::seen;
use super::events;
use crate::access::Role;
use crate::authority::Authority;
use crate::evidence::{EvidenceError, Whose, bundle, bundle_of_chain};
use crate::http::access::{Caller, Open};
use crate::http::answer::{data, typed};
use crate::http::deed::Intent;
use crate::http::error::Refusal;
use crate::http::filed::Filed;
use crate::http::places::Place;
use crate::http::sequencer::Lane;
use crate::http::service::Service;
use crate::http::table::{Named, Row};
use crate::store::{DeclaredFilter, ReceiptFilter, ReceiptKind, ReceiptRecord};

pub(crate) fn rows() -> Vec<Row> {
    let about = "Events and receipts of an agent, or a bundle of them (format=zip)";
    vec![
        Row::api(Method::GET, "/agents/{id}/forensics", READERS, about, || get(forensics)).asks(ASK),
        Row::api(
            Method::GET,
            "/chains/{id}/bundle",
            READERS,
            "A bundle of every receipt of a chain, of whichever agents",
            || get(chain),
        ),
    ]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    action_type: Option<String>,
    min_risk: Option<String>,
    from: Option<String>,
    to: Option<String>,
    chain: Option<String>,
    limit: Option<String>,
    format: Option<String>,
}

async fn forensics(
    State(service): State<Arc<Service>>,
    caller: Caller,
    Path(id): Path<String>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(asked) = asked?;
    let wrong = |name: &str, what: &str| Refusal::invalid(format!("`{name}` has to be {what}"));
    let time = |name, text: &Option<String>| {
        let instant = |text: &String| {
            let read = UnixTime::parse_rfc3339(text);
            read.map_err(|_| wrong(name, "an instant such as 2026-11-23T09:30:00Z"))
        };
        text.as_ref().map(instant).transpose()
    };
    let (from, to) = (time("from", &asked.from)?, time("to", &asked.to)?);
    let least = match asked.min_risk.as_deref() {
        None => None,
        Some(text) => {
            let score = text.parse::<f64>().ok().filter(|score| (0.0..=1.0).contains(score));
            let score = score.ok_or_else(|| wrong("min_risk", "a number from 0 to 1"))?;
            // Scores have two decimals, and what is asked for is between two of them as a rule.
            (0..=100_u8).find(|hundredths| f64::from(*hundredths) / 100.0 >= score)
        }
    };
    let limit = match asked.limit.as_deref() {
        None => 500,
        Some(text) => {
            let number = text.parse().ok().filter(|limit| (1..=1000).contains(limit));
            number.ok_or_else(|| wrong("limit", "a whole number from 1 to 1000"))?
        }
    };
    let chain = asked.chain.as_deref().map(|text| ChainId::parse(text).ok_or_else(Refusal::missing));
    let chain = chain.transpose()?;
    let zip = match asked.format.as_deref() {
        None | Some("json") => false,
        Some("zip") => true,
        Some(_) => return Err(wrong("format", "json or zip")),
    };
    let (agent, _) = seen(&service, &caller, &id).await?;
    let who = agent.id;
    let filters = json!({
        "action_type": asked.action_type, "min_risk": least.map(crate::http::score::shown), "from": asked.from,
        "to": asked.to, "chain": asked.chain, "limit": limit,
    });
    let place = zip.then(|| service.bundles.enter(&caller, &service.shown)).transpose()?;
    // Whoever takes evidence out leaves a trace first.
    let text = filters.to_string();
    let look = move |_: &Authority<'_>| {
        let what = if zip { "forensics.bundle" } else { "forensics.read" };
        Ok((Intent { what, subject: who.to_string(), before: None, after: None, text }, ()))
    };
    service.carry_out(&caller, Lane::Ordinary, look, |_, (), _, _| Ok(())).await?;

    let micros = |at: UnixTime| at.seconds().saturating_mul(1_000_000);
    let receipts =
        ReceiptFilter { since: from.map(micros), before: to.map(micros), chain, ..ReceiptFilter::default() };
    let tenant = caller.tenant().clone();
    if let Some(place) = place {
        let made = service.readers.read_at_length(move |store| {
            let whose = whose(&caller);
            Ok(made(place, |folder, out| bundle(store, (&tenant, who), &receipts, whose, folder, out)))
        });
        return Ok(attached(made.await??));
    }
    let declared = DeclaredFilter {
        agents: Some(vec![who]),
        action: asked.action_type,
        least,
        since: from,
        before: to,
        ..DeclaredFilter::default()
    };
    let found = service.readers.read(move |store| {
        let events = store.declared(&tenant, &declared, limit)?;
        let counts = store.count_receipts(&tenant, who, &receipts)?;
        Ok((events, counts, store.receipts(&tenant, who, &receipts, limit)?))
    });
    let (events, counts, receipts) = found.await?;
    let count = |kind| counts.iter().find(|(of, _)| *of == kind).map_or(0, |(_, many)| *many);
    let query: Vec<String> = [("from", &asked.from), ("to", &asked.to), ("chain", &asked.chain)]
        .into_iter()
        .filter_map(|(name, value)| Some(format!("&{name}={}", escaped(value.as_deref()?))))
        .collect();
    Ok(data(&json!({
        "agent_id": who.to_string(),
        "agent_name": agent.details.title.as_deref().unwrap_or(agent.name.as_str()),
        "standing": agent.standing.word(),
        "filters": filters,
        "summary": {
            "total_events": events.len(),
            "receipts": counts.iter().map(|(_, many)| many).sum::<u64>(),
            "allowed": count(ReceiptKind::Allow),
            "denied": count(ReceiptKind::Deny),
            "outcomes": count(ReceiptKind::Outcome),
        },
        "events": events.iter().map(events::shown).collect::<Vec<_>>(),
        "receipts": receipts.iter().map(shown).collect::<Vec<_>>(),
        "bundle": format!("/v1/agents/{who}/forensics?format=zip{}", query.concat()),
        "proof": {
            "kind": "bundle",
            "check": "kakunin verify incident.zip --root ca.pem",
            "note": "events are declared and signed by nobody; receipts are signed by the agent",
        },
    })))
}

/// What all agents of the tenant that the key reaches sent of a chain. It need not be declared.
async fn chain(
    State(service): State<Arc<Service>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    // What is no chain's id is one of which nothing was sent.
    let nothing = || Refusal::from(EvidenceError::from(ExportError::Nothing));
    let chain = ChainId::parse(&id).ok_or_else(nothing)?;
    let place = service.bundles.enter(&caller, &service.shown)?;
    let subject = chain.to_string();
    let look = move |_: &Authority<'_>| {
        Ok((Intent { what: "chain.bundle", subject, before: None, after: None, text: String::new() }, ()))
    };
    service.carry_out(&caller, Lane::Ordinary, look, |_, (), _, _| Ok(())).await?;
    let made = service.readers.read_at_length(move |store| {
        let tenant = caller.tenant();
        let agents: Vec<_> = match caller.bound_to() {
            Some(bound) => bound.to_vec(),
            None => store.agents(tenant)?.into_iter().map(|agent| agent.id).collect(),
        };
        let whose = whose(&caller);
        Ok(made(place, |folder, out| bundle_of_chain(store, (tenant, &agents), chain, whose, folder, out)))
    });
    Ok(attached(made.await??))
}

/// A key for some agents gets no certificate of others, whomever they asked.
fn whose(caller: &Caller) -> Whose<'_> {
    caller.bound_to().map_or(Whose::Anyone, Whose::Only)
}

/// Has a bundle made in a folder that goes again, and opens it. Whoever asked may be gone meanwhile, and the place is taken
/// until this ends.
fn made(
    place: Place,
    make: impl FnOnce(&std::path::Path, &std::path::Path) -> Result<Exported, EvidenceError>,
) -> Result<Filed<Place>, EvidenceError> {
    let folder = tempfile::tempdir().map_err(ExportError::Io)?;
    let out = folder.path().join("incident.zip");
    make(folder.path(), &out)?;
    // The file goes with its folder, and stays readable as long as it is open.
    let file = File::open(&out).map_err(ExportError::Io)?;
    let octets = file.metadata().map_err(ExportError::Io)?.len();
    Ok(Filed::new(file, octets, place))
}

/// A bundle that is read as it is taken. Its place is taken as long.
fn attached(file: Filed<Place>) -> Response {
    let mut response = typed(StatusCode::OK, "application/zip", Body::new(file));
    let attached = HeaderValue::from_static("attachment; filename=\"incident.zip\"");
    response.headers_mut().insert(header::CONTENT_DISPOSITION, attached);
    response
}

/// A receipt as clients read it. What it says is in its line.
pub(crate) fn shown(receipt: &ReceiptRecord) -> Value {
    json!({
        "id": receipt.hash.to_hex(),
        "stream": receipt.stream.to_string(),
        "sequence": receipt.sequence,
        "kind": receipt.kind.word(),
        "action": receipt.action,
        "code": receipt.code,
        "chain": receipt.chain.map(|chain| chain.to_string()),
        "claimed_at": UnixTime::from_seconds(receipt.at.div_euclid(1_000_000)).to_string(),
        "received_at": receipt.received.to_string(),
        "line": receipt.line,
    })
}

/// A value as it stands in a query.
fn escaped(text: &str) -> String {
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || b"-._:".contains(&octet);
    text.bytes()
        .map(|octet| if plain(octet) { char::from(octet).to_string() } else { format!("%{octet:02X}") })
        .collect()
}

impl From<EvidenceError> for Refusal {
    fn from(error: EvidenceError) -> Self {
        let text = error.to_string();
        match error {
            EvidenceError::TooMuch => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "bundle.too_large", text),
            EvidenceError::Export(ExportError::Nothing) => Self::new(
                StatusCode::NOT_FOUND,
                "bundle.empty",
                "no receipts of what is asked for were sent here, so there is nothing to check",
            ),
            EvidenceError::Export(ExportError::Read(_)) => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "bundle.damaged",
                format!("the receipts do not make a stream: {text}"),
            ),
            _ => Self { cause: Some(text), ..Self::internal() },
        }
    }
}

const READERS: Open = Open::Roles(&[Role::Auditor]);
const ASK: &[Named] = &[
    Named::new("from", "string", "At or after this instant, RFC 3339"),
    Named::new("to", "string", "Before this instant"),
    Named::new("chain", "string", "Receipts of this chain"),
    Named::new("action_type", "string", "Declared events of this kind"),
    Named::new("min_risk", "number", "Declared events with at least this score, 0 to 1"),
    Named::new("limit", "integer", "How many of each at most: 1 to 1000, 500 if not said"),
    Named::new("format", "string", "json, or zip for a bundle of whole streams"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::exports::bundles;
    use crate::http::filed::tests::{next, run, unnamed};

    #[test]
    fn a_bundle_that_is_read_slowly_has_its_place_and_a_piece_in_memory() {
        run(async {
            let bundles = bundles();
            let place = |who: &str| bundles.enter_as(who);
            let made = |who: &str| Filed::new(unnamed(&[7; 300_000]), 300_000, place(who).ok().unwrap());
            let mut body = attached(made("slow")).into_body();
            assert_eq!(next(&mut body).await.unwrap().unwrap(), vec![7; 65_536]);
            let others = ["a", "b", "c"].map(|who| attached(made(who)));
            let refused = ["slow", "d"].map(|who| place(who).err().unwrap());
            let told = refused.map(|refusal| (refusal.status.as_u16(), refusal.code, refusal.retry_after));
            assert_eq!(told, [(429, "busy", Some(1)), (503, "busy", Some(1))]);
            let mut octets = 65_536;
            while let Some(piece) = next(&mut body).await {
                octets += piece.unwrap().len();
            }
            assert!(octets == 300_000 && place("d").is_err(), "hyper may have pieces of it still");
            drop((body, others));
            assert!(["slow", "a", "b", "c"].map(|who| place(who).ok()).iter().all(Option::is_some));
        });
    }
}
