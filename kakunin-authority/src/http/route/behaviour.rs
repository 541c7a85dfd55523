//! How an agent is watched: what happened, by which baseline and policy, and changing those by the word of a named person.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::{delete, get, post, put};
use kakunin_core::digest::{Digest, hex};
use kakunin_core::risk::{Feature, RiskPolicy};
use kakunin_core::time::UnixTime;
use serde::Deserialize;
use serde_json::{Value, json};

use super::agents::seen;
use crate::access::{Actor, Role};
use crate::authority::AuthorityError;
use crate::http::access::{Caller, Open};
use crate::http::answer::{data, json_text};
use crate::http::body::Members;
use crate::http::deed::Intent;
use crate::http::error::Refusal;
use crate::http::sequencer::Lane;
use crate::http::service::Service;
use crate::http::table::{Named, Row};
use crate::store::{AgentRecord, RiskEvent, RiskRecord, StoreError};
use crate::watch::{BaselineRefusal, BeforeRelease, Step, Watched, rebaseline, set_policy};

pub(crate) fn rows() -> Vec<Row> {
    let api = Row::api;
    vec![
        api(
            Method::GET,
            "/agents/{id}/risk/events",
            READERS,
            "What happened to how it behaves, signed",
            || get(events),
        )
        .asks(PAGED),
        api(
            Method::GET,
            "/agents/{id}/risk/baseline",
            READERS,
            "What it is held against, as it is hashed",
            || get(baseline),
        ),
        api(Method::POST, "/agents/{id}/risk/rebaseline", RELEASERS, "Freeze its baseline anew", || {
            post(again)
        })
        .takes(AGAIN),
        api(Method::GET, "/agents/{id}/risk-policy", READERS, "By what it is judged", || get(policy)),
        api(Method::PUT, "/agents/{id}/risk-policy", OWNERS, "Judge it by a policy of its own", || put(set))
            .takes(POLICY),
        api(
            Method::DELETE,
            "/agents/{id}/risk-policy",
            OWNERS,
            "Judge it by the service's policy again",
            || delete(unset),
        ),
    ]
}

/// What is known of an agent, as one goes on with it.
pub(crate) fn watched(
    service: &Service,
    agent: &AgentRecord,
    record: Option<RiskRecord>,
    now: UnixTime,
) -> Watched {
    let new = RiskRecord::new(agent.tenant.clone(), agent.id, now);
    Watched::take_up(record, new, &service.watch.terms.policy, now)
}

/// An event as clients read it.
pub(crate) fn shown(number: u64, event: &RiskEvent) -> Value {
    let said: Value = serde_json::from_str(&event.text).unwrap_or_default();
    json!({
        "number": number,
        "kind": event.kind.word(),
        "level": event.level.word(),
        "score": event.score,
        "by": event.actor.to_string(),
        "at": event.at.to_string(),
        "said": said,
        "line": event.text,
        "signature": event.seal.as_ref().map(|seal| hex(&seal.signature)),
        "signed_by": event.seal.as_ref().map(|seal| seal.key.to_hex()),
        "signed_at": event.seal.as_ref().map(|seal| seal.at.to_string()),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Paged {
    before: Option<u64>,
    limit: Option<u32>,
}

async fn events(
    State(service): State<Arc<Service>>,
    caller: Caller,
    Path(id): Path<String>,
    asked: Result<Query<Paged>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(Paged { before, limit }) = asked?;
    let limit = limit.unwrap_or(50);
    if !(1..=100).contains(&limit) {
        return Err(Refusal::invalid("`limit` has to be a whole number from 1 to 100"));
    }
    let agent = seen(&service, &caller, &id).await?.0;
    let (tenant, of) = (caller.tenant().clone(), agent.id);
    let found = service.readers.read(move |store| store.risk_events(&tenant, of, before, limit + 1)).await?;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let next = (found.len() > most).then(|| found.get(most - 1).map(|(number, _)| *number)).flatten();
    let rows: Vec<Value> = found.iter().take(most).map(|(number, event)| shown(*number, event)).collect();
    let answer = json!({
        "data": rows,
        "pagination": { "limit": limit, "has_next_page": next.is_some(), "next_cursor": next.map(|next| next.to_string()) },
    });
    Ok(json_text(StatusCode::OK, answer.to_string()))
}

/// The text itself, so that its SHA-256 is the digest that events name.
async fn baseline(
    State(service): State<Arc<Service>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let agent = seen(&service, &caller, &id).await?.0;
    let (tenant, of) = (caller.tenant().clone(), agent.id);
    let record = service.readers.read(move |store| store.risk(&tenant, of)).await?;
    let none = || {
        let text = "no baseline is frozen yet: the agent is still learnt";
        Refusal::new(StatusCode::NOT_FOUND, "risk.learning", text)
    };
    let text = record.and_then(|record| record.baseline).ok_or_else(none)?;
    Ok(json_text(StatusCode::OK, text))
}

async fn policy(
    State(service): State<Arc<Service>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let agent = seen(&service, &caller, &id).await?.0;
    let (tenant, of) = (caller.tenant().clone(), agent.id);
    let record = service.readers.read(move |store| store.risk(&tenant, of)).await?;
    let own = record.as_ref().and_then(|record| record.policy.clone());
    let watched = watched(&service, &agent, record, (service.clock)());
    Ok(data(&policy_row(&agent, own.as_deref(), watched.monitor().policy())))
}

fn policy_row(agent: &AgentRecord, own: Option<&str>, policy: &RiskPolicy) -> Value {
    json!({
        "agent_id": agent.id.to_string(),
        "own": own.is_some(),
        "policy": own,
        "digest": policy.digest().to_hex(),
        "effective": serde_json::from_str::<Value>(&policy.to_text()).unwrap_or_default(),
    })
}

async fn set(
    State(service): State<Arc<Service>>,
    caller: Caller,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let mut members = Members::read(&body)?;
    let text = members.text(&["policy"], MOST_POLICY)?;
    let text =
        text.ok_or_else(|| Refusal::invalid("`policy` is missing: a policy file as a string, in TOML"))?;
    members.end()?;
    let policy = RiskPolicy::from_toml(&text);
    let policy = policy.map_err(|error| {
        Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "risk.policy", format!("`policy`: {error}"))
    })?;
    judge_by(&service, &caller, &id, Some(text), policy).await
}

async fn unset(
    State(service): State<Arc<Service>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let policy = service.watch.terms.policy.clone();
    judge_by(&service, &caller, &id, None, policy).await
}

async fn judge_by(
    service: &Arc<Service>,
    caller: &Caller,
    id: &str,
    text: Option<String>,
    policy: RiskPolicy,
) -> Result<Response, Refusal> {
    let agent = seen(service, caller, id).await?.0;
    let mut tries = 0;
    loop {
        let (tenant, of, now) = (caller.tenant().clone(), agent.id, (service.clock)());
        let record = service.readers.read(move |store| store.risk(&tenant, of)).await?;
        let before = watched(service, &agent, record.clone(), now).monitor().policy().digest();
        let new = RiskRecord::new(agent.tenant.clone(), agent.id, now);
        let by = (&service.watch.terms.policy, caller.actor());
        // INVARIANT: the text was read as a policy before.
        let step = set_policy(record, new, text.clone(), by, now).map_err(|_| Refusal::internal())?;
        let intent = Intent {
            what: "risk.set-policy",
            subject: agent.id.to_string(),
            before: Some(before.to_hex()),
            after: Some(policy.digest().to_hex()),
            text: text.clone().unwrap_or_else(|| "the policy of the service".into()),
        };
        tries += 1;
        match carry_out(service, caller, intent, step).await {
            Err(refusal) if refusal.code == OVERTAKEN && tries < TRIES => {}
            done => return done.map(|()| data(&policy_row(&agent, text.as_deref(), &policy))),
        }
    }
}

async fn again(
    State(service): State<Arc<Service>>,
    caller: Caller,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    caller.refuse_pipeline()?;
    let mut members = Members::read(&body)?;
    let reason = members.text(&["reason"], 500)?;
    let reason = reason.filter(|reason| !reason.is_empty());
    let reason =
        reason.ok_or_else(|| Refusal::invalid("`reason` is missing: why it is usual what it does now"))?;
    let days = members.number("days", 1, 366)?.unwrap_or(DAYS);
    let earlier = match members.flag("before_release")? {
        true => BeforeRelease::TakeIn,
        false => BeforeRelease::LeaveOut,
    };
    members.end()?;
    let agent = seen(&service, &caller, &id).await?.0;
    let mut tries = 0;
    loop {
        let now = (service.clock)();
        let (tenant, of, policy) = (caller.tenant().clone(), agent.id, service.watch.terms.policy.clone());
        let (actor, words): (Actor, _) = (caller.actor(), reason.clone());
        // Reading and calibrating takes long: one at a time.
        let made = service.readers.read_at_length(move |store| {
            let since = now.plus(-i64::from(days) * 86_400);
            let before = store.risk(&tenant, of)?.and_then(|record| record.baseline);
            match rebaseline(store, (&tenant, of), &policy, (since, earlier), (actor, &words), now) {
                Ok(step) => Ok(Ok((before, step))),
                Err(BaselineRefusal::Store(error)) => Err(error),
                Err(refused) => Ok(Err(refused.to_string())),
            }
        });
        let (before, step) = made.await?.map_err(|why| {
            let text = format!("{why}; {days} days were looked at{}", cut(earlier));
            Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "risk.too_little", text)
        })?;
        let digest = |text: &String| Digest::of(text.as_bytes()).to_hex();
        let (before, after) = (before.as_ref().map(digest), step.baselines().next().map(digest));
        let intent = Intent {
            what: "risk.rebaseline",
            subject: agent.id.to_string(),
            before: before.clone(),
            after: after.clone(),
            text: reason.clone(),
        };
        tries += 1;
        match carry_out(&service, &caller, intent, step).await {
            Err(refusal) if refusal.code == OVERTAKEN && tries < TRIES => {}
            done => {
                done?;
                let of = agent.id.to_string();
                let row = json!({ "agent_id": of, "baseline": after, "replaces": before, "days": days });
                return Ok(data(&row));
            }
        }
    }
}

/// What may be missing in a history that does not suffice.
const fn cut(earlier: BeforeRelease) -> &'static str {
    match earlier {
        BeforeRelease::LeaveOut => {
            ", and nothing of before the agent was let act again last; `before_release` takes that in"
        }
        BeforeRelease::TakeIn => "",
    }
}

/// Keeps it with its entries in the audit log, unless the agent was looked at in between.
async fn carry_out(
    service: &Arc<Service>,
    caller: &Caller,
    intent: Intent,
    step: Step,
) -> Result<(), Refusal> {
    let look = move |_: &crate::Authority<'_>| Ok((intent, ()));
    let act = move |authority: &mut crate::Authority<'_>, (), _, _| match authority.keep_risk_step(&step)? {
        true => Ok(()),
        false => Err(AuthorityError::from(StoreError::Overtaken)),
    };
    service.carry_out(caller, Lane::Ordinary, look, act).await?;
    service.watch.wake();
    Ok(())
}

/// What stands against an agent, as clients read it.
pub(crate) fn against(watched: &Watched) -> (Vec<&'static str>, Vec<String>, Vec<Value>) {
    let evidence = watched.monitor().evidence();
    let features = evidence.iter().map(|one| Feature::word(one.feature)).collect();
    let sentences = evidence.iter().map(|one| one.sentence.clone()).collect();
    let rows = evidence
        .iter()
        .map(|one| json!({ "feature": one.feature.word(), "milli_nats": one.milli_nats, "sentence": one.sentence }))
        .collect();
    (features, sentences, rows)
}

const READERS: Open = Open::Roles(&[Role::Issuer, Role::Revoker, Role::Auditor, Role::Gate]);
/// Whoever may let an agent act again may say that what it does is usual.
const RELEASERS: Open = Open::Roles(&[Role::Revoker]);
const OWNERS: Open = Open::Roles(&[]);
const PAGED: &[Named] = &[
    Named::new("limit", "integer", "How many at most: 1 to 100, 50 if not said"),
    Named::new("before", "integer", "The `next_cursor` of the page before"),
];
const AGAIN: &[Named] = &[
    Named::new("reason", "string", "Why what it does now is usual; up to 500 characters"),
    Named::new("days", "integer", "Over how many days back, 1 to 366; 14 if not said"),
    Named::new("before_release", "boolean", "Also over what it did before it was let act again last"),
];
const POLICY: &[Named] = &[Named::new("policy", "string", "A policy file, in TOML, up to 16384 characters")];
const DAYS: u16 = 14;
/// An agent that is busy is looked at while this is made ready.
const TRIES: u32 = 8;
const OVERTAKEN: &str = "risk.overtaken";
const MOST_POLICY: usize = 16_384;
