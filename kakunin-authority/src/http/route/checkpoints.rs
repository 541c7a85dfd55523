//! Checkpoints that agents were shown of their owner's log: kept, compared, and told when two cannot both be true.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use axum::routing::{get, post, put};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kakunin_core::digest::Digest;
use kakunin_core::id::AgentId;
use kakunin_core::log::{KeyKind, VerifierKey};
use kakunin_core::receipt::{Event, UnverifiedReceipt};
use kakunin_core::time::UnixTime;
use kakunin_core::tree::ConsistencyProof;
use serde::Deserialize;
use serde_json::{Value, json};

use super::agents::{known, seen};
use crate::access::Role;
use crate::agent::Who;
use crate::authority::Authority;
use crate::checkpoint::{Judged, Offer, OfferError, Shown};
use crate::hook::HookEvent;
use crate::http::access::{Caller, Open};
use crate::http::answer::{data, json_text, tame};
use crate::http::body::Members;
use crate::http::deed::Intent;
use crate::http::error::Refusal;
use crate::http::page;
use crate::http::repeat::{self, Repeat};
use crate::http::sequencer::Lane;
use crate::http::service::Service;
use crate::http::table::{Named, Row};
use crate::standing::Standing;
use crate::store::{
    Answer, CheckpointRecord, ContradictionKind, ContradictionRecord, Notice, ReceiptFilter, ReceiptKind,
    RiskSign, ShownFilter, SignKind, Store, StoreError,
};

pub(crate) fn rows() -> Vec<Row> {
    let (shown, against) =
        ("Checkpoints that agents were shown, newest first", "/checkpoints/contradictions");
    vec![
        Row::api(Method::POST, "/checkpoints", SENDERS, "Keep a checkpoint that an agent was shown", || {
            post(send)
        })
        .takes(SEND),
        Row::api(Method::GET, "/checkpoints", AUDITORS, shown, || get(list)).asks(LIST),
        Row::api(Method::GET, against, AUDITORS, "Checkpoints that cannot both be true", || {
            get(contradictions)
        })
        .asks(LIST),
        Row::api(Method::PUT, "/agents/{id}/log", ISSUERS, "Name the log of an agent", || put(pin))
            .takes(PIN),
    ]
}

async fn send(
    State(service): State<Arc<Service>>,
    caller: Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    service.room.for_others()?;
    let place = service.intake.places.enter(&caller, &service.shown)?;
    let now = (service.clock)();
    let mut members = Members::read(&body)?;
    let named = members.text(&["agent"], 64)?;
    let missing = |name: &str| Refusal::invalid(format!("`{name}` is missing"));
    let log = members.text(&["log"], 1_024)?.ok_or_else(|| missing("log"))?;
    let note = members.text(&["checkpoint"], MOST_NOTE)?.ok_or_else(|| missing("checkpoint"))?;
    let proof = members.take(&["consistency"])?.map(proof).transpose()?;
    members.end()?;
    let agent = match (named, caller.agent()) {
        (None, Some(proven)) => proven.agent(),
        (None, None) => return Err(Refusal::invalid("`agent` is missing: a key is no agent")),
        (Some(named), _) => seen(&service, &caller, &named).await?.0.id,
    };
    let shown = Shown { log: &log, note: &note, proof };
    let offer = Arc::new(Offer::read(caller.tenant(), agent, shown, now)?);
    let repeat = Repeat::of(&caller, "checkpoints", &headers, &body)?;
    let kept = {
        let (offer, caller) = (Arc::clone(&offer), caller.clone());
        service.orders.give_part(1, move |store| {
            let names_a_log = names_a_log(&caller, store)?;
            let mut against = None;
            let answer = repeat.once(store, now, |store| {
                Ok(match offer.judge(store)? {
                    Judged::Fits { is_first: true, .. } if !names_a_log => Err(no_log()),
                    Judged::Fits { record, is_first } => Ok(keep(store, &record, is_first)?),
                    Judged::Contradicts(found) => {
                        let refusal = refusal(&found);
                        against = Some(found);
                        Err(refusal)
                    }
                })
            })?;
            Ok((answer, against))
        })
    };
    let (answer, against) = kept.await.map_err(|none| service.failure(none))?;
    if let Some(found) = against {
        accuse(&service, &caller, &offer, found).await?;
    }
    drop(place);
    repeat::reply(answer?)
}

/// Whether whoever sends may say which log an agent has. A key that brings what agents say names none for them, and neither
/// does an agent that was stopped: every checkpoint of the real one would be accused.
fn names_a_log(caller: &Caller, store: &dyn Store) -> Result<bool, StoreError> {
    match caller.agent() {
        Some(proven) => Ok(proven.standing(store)? == Standing::Good),
        None => Ok(caller.is(Role::Issuer)),
    }
}

fn keep(store: &mut dyn Store, record: &CheckpointRecord, is_first: bool) -> Result<Answer, StoreError> {
    if is_first {
        store.pin_log(&record.tenant, record.agent, &record.log, record.received)?;
    }
    let is_new = store.keep_checkpoint(record)?;
    let body = json!({ "data": {
        "agent_id": record.agent.to_string(),
        "size": record.size,
        "known": !is_new,
        "proven": record.proven,
    } });
    Ok(Answer { status: 200, body: body.to_string().into_bytes() })
}

/// Keeps both notes and tells of them, once: whoever sends the same again is refused without another word about it. What
/// finds no place is told by the log and a number.
async fn accuse(
    service: &Arc<Service>,
    caller: &Caller,
    offer: &Offer,
    found: ContradictionRecord,
) -> Result<(), Refusal> {
    let (tenant, agent) = (found.tenant.clone(), found.agent);
    let filter = ShownFilter { agents: Some(vec![agent]), below: None };
    let before = service.readers.read(move |store| store.contradictions(&tenant, &filter, MOST_EACH));
    let before = before.await?;
    let same = |known: &ContradictionRecord| {
        (known.kind, &known.log, &known.offered) == (found.kind, &found.log, &found.offered)
    };
    if before.iter().any(|(_, known)| same(known)) {
        return Ok(());
    }
    // Other logs have their places together, and a log that is the agent's now has its own beside one that was.
    let alike = |known: &ContradictionRecord| {
        known.kind == found.kind && (known.kind == ContradictionKind::OtherKey || known.log == found.log)
    };
    let kept = before.len() < MOST_EACH as usize
        && before.iter().filter(|(_, known)| alike(known)).count() < places(found.kind);
    let line = json!({
        "at": found.received.to_string(),
        "event": "log.contradiction",
        "code": found.kind.code(),
        "tenant": found.tenant.as_str(),
        "agent": agent.to_string(),
        "origin": offer.origin(),
        "size": offer.size(),
        "kept": kept,
    });
    (service.log)(&tame(line.to_string()));
    if !kept {
        service.intake.contradictions_not_kept.add();
        return Ok(());
    }
    let text = format!("{} at {} entries: {}", offer.origin(), offer.size(), words(found.kind));
    let intent = Intent {
        what: "log.contradiction",
        subject: agent.to_string(),
        before: found.known.as_ref().map(|note| Digest::of(note.as_bytes()).to_hex()),
        after: Some(Digest::of(found.offered.as_bytes()).to_hex()),
        text,
    };
    let (origin, size) = (offer.origin().to_owned(), offer.size());
    let look = move |_: &Authority<'_>| Ok((intent, ()));
    let act = move |authority: &mut Authority<'_>, (), _, _| {
        authority.store.batch(&mut |store| {
            if store.keep_contradiction(&found)? {
                if let Some(sign) = sign(store, &found)? {
                    store.hand_in_sign(&sign)?;
                }
                let named = store.agent(&found.tenant, found.agent)?;
                let named = named.map(|agent| agent.name.to_string());
                store.announce(&notice(&found, named, &origin, size))?;
            }
            Ok(())
        })?;
        Ok(())
    };
    service.carry_out(caller, Lane::Ordinary, look, act).await?;
    service.watch.wake();
    Ok(())
}

/// What two notes say about how their agent behaves: nothing, unless it runs that log itself. Whoever shows what it was shown
/// of somebody else's log is a witness. Two trees of one size have the log's signature twice; anything else could be an old
/// note, or one of another log, that somebody else brought.
fn sign(store: &dyn Store, found: &ContradictionRecord) -> Result<Option<RiskSign>, StoreError> {
    let beginnings = ReceiptFilter { kind: Some(ReceiptKind::Open), ..ReceiptFilter::default() };
    let beginnings = store.receipts(&found.tenant, found.agent, &beginnings, BEGINNINGS)?;
    let own = Some(Digest::of(found.log.as_bytes()));
    let is_own = beginnings.iter().any(|kept| {
        let read = UnverifiedReceipt::from_log_entry(&kept.line);
        read.is_ok_and(
            |(receipt, _)| matches!(receipt.statement().event, Event::Open { own_log, .. } if own_log == own),
        )
    });
    if !is_own {
        return Ok(None);
    }
    let kind = match found.kind {
        ContradictionKind::Fork => SignKind::Forked,
        ContradictionKind::Shrunk | ContradictionKind::Inconsistent | ContradictionKind::OtherKey => {
            SignKind::Contradiction
        }
    };
    Ok(Some(RiskSign {
        tenant: found.tenant.clone(),
        agent: found.agent,
        kind,
        weight: CONTRADICTION,
        sentence: format!("a checkpoint contradicts another one: {}", words(found.kind)),
        cause: Some(Digest::of(found.offered.as_bytes())),
        at: found.received,
    }))
}

fn notice(found: &ContradictionRecord, named: Option<String>, origin: &str, size: u64) -> Notice {
    let data = json!({
        "agent_id": found.agent.to_string(),
        "agent_name": named,
        "code": found.kind.code(),
        "log": found.log,
        "origin": origin,
        "size": size,
        "known": found.known,
        "offered": found.offered,
        "received_at": found.received.to_string(),
    });
    Notice {
        tenant: found.tenant.clone(),
        event: HookEvent::LogContradiction,
        at: found.received,
        data: data.to_string(),
    }
}

/// How many of one kind are kept of one agent and its log: enough to see what it is, and whoever makes more of them fills no disk with
/// it. Anybody has another key, but two trees of one log have the signatures of that log: what is cheap takes no place of
/// what is not.
const fn places(kind: ContradictionKind) -> usize {
    match kind {
        ContradictionKind::OtherKey => 8,
        ContradictionKind::Fork | ContradictionKind::Shrunk | ContradictionKind::Inconsistent => 64,
    }
}

const fn words(kind: ContradictionKind) -> &'static str {
    match kind {
        ContradictionKind::Fork => "the log signed two trees of one size",
        ContradictionKind::Shrunk => {
            "the log has fewer entries than this agent saw before, and nothing proves that it once had so many"
        }
        ContradictionKind::Inconsistent => "the proof does not lead from the tree that is known to this one",
        ContradictionKind::OtherKey => "it is of another log than the agent's",
    }
}

fn refusal(found: &ContradictionRecord) -> Refusal {
    let way = match found.kind {
        ContradictionKind::OtherKey => "; if the agent has a new log, name it: PUT /agents/ID/log",
        _ => "; both notes are kept as evidence: GET /checkpoints/contradictions",
    };
    Refusal::new(StatusCode::CONFLICT, found.kind.code(), format!("{}{way}", words(found.kind)))
}

fn no_log() -> Refusal {
    let text = "this agent has no log yet, and an ingest key names none: name it (PUT /agents/ID/log), or let the agent \
                itself show its first checkpoint";
    Refusal::new(StatusCode::CONFLICT, "checkpoint.no_log", text)
}

impl From<OfferError> for Refusal {
    fn from(error: OfferError) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, error.code(), error.to_string())
    }
}

/// `{"from": N, "to": M, "hashes": [...]}`.
fn proof(value: Value) -> Result<ConsistencyProof, Refusal> {
    let wrong = || {
        Refusal::invalid(
            "`consistency` has to be an object with `from`, `to` and `hashes`, a list of SHA-256 in base64",
        )
    };
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sent {
        from: u64,
        to: u64,
        hashes: Vec<String>,
    }
    let sent: Sent = serde_json::from_value(value).map_err(|_| wrong())?;
    let hash = |text: &String| {
        let octets: [u8; 32] = STANDARD.decode(text).ok()?.try_into().ok()?;
        Some(Digest::from_bytes(octets))
    };
    let path = sent.hashes.iter().map(hash).collect::<Option<Vec<_>>>().ok_or_else(wrong)?;
    Ok(ConsistencyProof { from: sent.from, to: sent.to, path })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    agent: Option<String>,
    before: Option<String>,
    limit: Option<String>,
}

type Asking = Result<Query<Asked>, QueryRejection>;

async fn list(
    State(service): State<Arc<Service>>,
    caller: Caller,
    asked: Asking,
) -> Result<Response, Refusal> {
    let (filter, limit) = filter(&service, &caller, asked?.0).await?;
    let tenant = caller.tenant().clone();
    let one = filter.agents.as_ref().and_then(|agents| match agents.as_slice() {
        [one] => Some(*one),
        _ => None,
    });
    // One more than asked for says whether there is a next page.
    let found = service.readers.read(move |store| {
        let pin = one.map(|one| store.log_pin(&tenant, one)).transpose()?.flatten();
        Ok::<_, StoreError>((pin, store.checkpoints(&tenant, &filter, limit.saturating_add(1))?))
    });
    let (pin, rows) = found.await?;
    let pin = pin.map(|(log, since)| json!({ "log": log, "since": since.to_string() }));
    let row = |kept: &CheckpointRecord| {
        json!({
            "agent_id": kept.agent.to_string(),
            "log": kept.log,
            "size": kept.size,
            "root": STANDARD.encode(kept.root.as_bytes()),
            "checkpoint": kept.note,
            "proven": kept.proven,
            "received_at": kept.received.to_string(),
        })
    };
    Ok(paged(rows, limit, row, json!({ "log": pin })))
}

async fn contradictions(
    State(service): State<Arc<Service>>,
    caller: Caller,
    asked: Asking,
) -> Result<Response, Refusal> {
    let (filter, limit) = filter(&service, &caller, asked?.0).await?;
    let tenant = caller.tenant().clone();
    let most = limit.saturating_add(1);
    let rows = service.readers.read(move |store| store.contradictions(&tenant, &filter, most)).await?;
    let row = |found: &ContradictionRecord| {
        json!({
            "agent_id": found.agent.to_string(),
            "code": found.kind.code(),
            "log": found.log,
            "known": found.known,
            "offered": found.offered,
            "received_at": found.received.to_string(),
        })
    };
    Ok(paged(rows, limit, row, json!({})))
}

async fn filter(service: &Service, caller: &Caller, asked: Asked) -> Result<(ShownFilter, u32), Refusal> {
    let limit = page::limit(asked.limit.as_deref(), 50)?;
    let agents = match asked.agent {
        Some(named) => Some(vec![seen(service, caller, &named).await?.0.id]),
        None => caller.bound_to().map(<[AgentId]>::to_vec),
    };
    let wrong = |_| Refusal::invalid("`before` has to be the `next_cursor` of a page");
    let below = asked.before.as_deref().map(|text| text.parse().map_err(wrong)).transpose()?;
    Ok((ShownFilter { agents, below }, limit))
}

fn paged<T>(mut rows: Vec<(u64, T)>, limit: u32, row: impl Fn(&T) -> Value, more: Value) -> Response {
    let has_next = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| has_next).map(|(number, _)| number.to_string());
    let body = json!({
        "data": rows.iter().map(|(_, kept)| row(kept)).collect::<Vec<_>>(),
        "pagination": { "limit": limit, "has_next_page": has_next, "next_cursor": next },
        "meta": more,
    });
    json_text(StatusCode::OK, body.to_string())
}

async fn pin(
    State(service): State<Arc<Service>>,
    caller: Caller,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let who = Who::parse(&id).map_err(|_| Refusal::missing())?;
    let mut members = Members::read(&body)?;
    let log = members.text(&["log"], 1_024)?.ok_or_else(|| Refusal::invalid("`log` is missing"))?;
    members.end()?;
    let key = VerifierKey::parse(&log).map_err(OfferError::from)?;
    if key.kind() != KeyKind::Log {
        return Err(OfferError::NotALog.into());
    }
    let (seer, named) = (caller.clone(), key.to_string());
    let look = move |authority: &Authority<'_>| {
        let agent = known(authority.records(), &seer, &who)?;
        let before = authority.records().log_pin(seer.tenant(), agent.id)?.map(|(log, _)| log);
        let intent = Intent {
            what: "agent.log",
            subject: agent.id.to_string(),
            before,
            after: Some(named.clone()),
            text: String::new(),
        };
        Ok((intent, (agent.id, named)))
    };
    let tenant = caller.tenant().clone();
    let act = move |authority: &mut Authority<'_>, (agent, log): (AgentId, String), _, now: UnixTime| {
        authority.store.pin_log(&tenant, agent, &log, now)?;
        Ok(json!({ "agent_id": agent.to_string(), "log": log, "since": now.to_string() }))
    };
    let named = service.carry_out(&caller, Lane::Ordinary, look, act).await?;
    Ok(data(&named))
}

const SENDERS: Open = Open::SenderOr(&[Role::Ingest]);
/// Streams that an agent began lately.
const BEGINNINGS: u32 = 64;
/// What a note that does not fit weighs: a medium event.
const CONTRADICTION: u8 = 55;
const AUDITORS: Open = Open::Roles(&[Role::Auditor]);
const ISSUERS: Open = Open::Roles(&[Role::Issuer]);
/// A note with some twenty cosignatures has less.
const MOST_NOTE: usize = 32 * 1024;
/// Of all kinds and logs of one agent.
const MOST_EACH: u32 = 512;
const SEND: &[Named] = &[
    Named::new("log", "string", "The verifier key of the log (C2SP signed-note): NAME+HEX+base64"),
    Named::new("checkpoint", "string", "The signed note, with its line feeds; 32,768 characters at most"),
    Named::new(
        "consistency",
        "object",
        "A proof that one tree begins with another: from, to, hashes (base64)",
    ),
    Named::new(
        "agent",
        "string",
        "Which agent was shown it, by a key; an agent that proves itself leaves it out",
    ),
];
const LIST: &[Named] = &[
    Named::new("agent", "string", "Of this agent: id or name"),
    Named::new("before", "string", "The `next_cursor` of the page before"),
    Named::new("limit", "integer", "How many at most: 1 to 100, 50 if not said"),
];
const PIN: &[Named] = &[Named::new("log", "string", "The verifier key of the log")];
