//! Revoking many agents at once, by what they have in common.
//!
//! Who is meant is looked up beside the sequencer; what was asked goes into the audit log, dry runs and refusals too, and only
//! then anybody is told or revoked. The order names how many there are, and revokes nobody when it is another number. Then each
//! agent is an order of its own, in the audit log before it happens, and those that wait together share a list. So other orders
//! are carried out in between: an agent may meet the conditions that did not when it was looked, and one that fails breaks the
//! sweep off. Either way it is looked again at the end, and the answer says how many are left.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::Method;
use axum::response::Response;
use axum::routing::post;
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::standing;
use crate::access::Role;
use crate::authority::Authority;
use crate::deed::Deed;
use crate::http::access::{Caller, Open};
use crate::http::answer::data;
use crate::http::body::Members;
use crate::http::deed::Intent;
use crate::http::error::Refusal;
use crate::http::sequencer::Lane;
use crate::http::service::Service;
use crate::http::table::{Named, Row};
use crate::standing::Order;
use crate::store::AgentRecord;
use crate::sweep::{Condition, Sweep, matching};

pub(crate) fn rows() -> Vec<Row> {
    let about = "Revoke every agent that meets all conditions, if they are as many as expected; or list them";
    vec![Row::api(Method::POST, "/sweep", REVOKERS, about, || post(sweep)).takes(TAKES)]
}

async fn sweep(
    State(service): State<Arc<Service>>,
    caller: Caller,
    body: Bytes,
) -> Result<Response, Refusal> {
    let mut members = Members::read(&body)?;
    let conditions = conditions(members.take(&["where"])?)?;
    let (dry_run, expected) = (members.flag("dry_run")?, expected(members.take(&["expect"])?)?);
    let text = members.text(&["reason"], 500)?.unwrap_or_else(|| "no reason given".into());
    members.end()?;
    if dry_run == expected.is_some() {
        return Err(Refusal::invalid(
            "either `dry_run` lists the agents that are meant, or `expect` says how many they are and revokes them",
        ));
    }
    let asked = Sweep { conditions, expect: expected, text };
    let found = meant(&service, &caller, &asked).await?;
    let many = found.len();
    record(&service, &caller, &asked, many).await?;
    let agents: Vec<_> = found.iter().map(shown).collect();
    let mut row = Map::new();
    row.insert("agents".into(), agents.into());
    row.insert("count".into(), many.into());
    row.insert("revoked".into(), (!dry_run).into());
    if !dry_run {
        row.extend(revoke(&service, &caller, &found, &asked).await?);
        let left = meant(&service, &caller, &asked).await.map_err(|refusal| {
            let text = format!(
                "{many} agents were revoked, and it cannot be looked whether others meet the conditions by now: {}",
                refusal.text
            );
            Refusal { text, ..refusal }
        });
        row.insert("left".into(), left?.len().into());
    }
    Ok(data(&Value::Object(row)))
}

/// Who meets the conditions now and is not revoked, as far as the key reaches.
async fn meant(service: &Service, caller: &Caller, asked: &Sweep) -> Result<Vec<AgentRecord>, Refusal> {
    let (seer, conditions) = (caller.clone(), asked.conditions.clone());
    let found = service.readers.read_at_length(move |store| {
        let mut found = matching(store, seer.tenant(), &conditions)?;
        found.retain(|agent| seer.reaches(agent.id));
        Ok(found)
    });
    found.await
}

/// Puts into the audit log what was asked and how many that is, and says no when that is another number than expected.
async fn record(service: &Arc<Service>, caller: &Caller, asked: &Sweep, found: usize) -> Result<(), Refusal> {
    let (asked, Deed { what, subject, before, after, text }) = (asked.clone(), asked.deed(found));
    let look = move |_: &Authority<'_>| Ok((Intent { what, subject, before, after, text }, ()));
    // As urgent as what it is asked for.
    service.carry_out(caller, Lane::Urgent, look, move |_, (), _, _| asked.judge(found)).await
}

/// Revokes them, and gives the newest list that says so and how far the feed is.
async fn revoke(
    service: &Arc<Service>,
    caller: &Caller,
    found: &[AgentRecord],
    asked: &Sweep,
) -> Result<Map<String, Value>, Refusal> {
    let (mut orders, mut failed, mut done, mut last) = (JoinSet::new(), None, 0_usize, Map::new());
    let mut left = found.iter().map(|agent| agent.id);
    loop {
        while orders.len() < AT_ONCE
            && failed.is_none()
            && let Some(id) = left.next()
        {
            let (service, caller, reason) = (Arc::clone(service), caller.clone(), asked.text.clone());
            orders.spawn(async move { patiently(&service, &caller, &id.to_string(), reason).await });
        }
        match orders.join_next().await {
            None => break,
            Some(Ok(Ok(row))) => {
                done += 1;
                // Many of them share a list, and each has an epoch of its own.
                let place = |row: &Map<String, Value>| {
                    ["list_number", "epoch"].map(|name| row.get(name).and_then(Value::as_u64))
                };
                if place(&row) >= place(&last) {
                    last = row;
                }
            }
            // Those under way come to their end, and no further one begins.
            Some(Ok(Err(refusal))) => drop(failed.get_or_insert(refusal)),
            Some(Err(fault)) => {
                let cause = Some(format!("an order of a sweep ended in a fault: {fault}"));
                failed.get_or_insert(Refusal { cause, ..Refusal::internal() });
            }
        }
    }
    match failed {
        None => {
            let kept = ["list_number", "next_update", "issuer", "epoch"];
            Ok(last.into_iter().filter(|(name, _)| kept.contains(&name.as_str())).collect())
        }
        Some(refusal) => {
            let began = format!("{done} of {} agents were revoked, and then: {}", found.len(), refusal.text);
            let left = meant(service, caller, asked).await.map(|left| left.len()).ok();
            let next = match left {
                Some(0) => "nobody is left who meets the conditions".to_owned(),
                Some(left) => {
                    format!("{left} still meet the conditions: give the order again with `expect` {left}")
                }
                None => {
                    "see with `dry_run` who still meets the conditions, and give the order again".to_owned()
                }
            };
            Err(Refusal { text: format!("{began}; {next}"), left, ..refusal })
        }
    }
}

/// One of the orders. When its lane is full it waits: others of the sweep fill it, too.
async fn patiently(
    service: &Arc<Service>,
    caller: &Caller,
    id: &str,
    reason: String,
) -> Result<Map<String, Value>, Refusal> {
    for _ in 0..PATIENCE {
        match standing::give(service, caller, id, Order::Revoke, "agent.revoke", reason.clone()).await {
            Err(refusal) if refusal.code == "busy" => sleep(PAUSE).await,
            given => return given,
        }
    }
    standing::give(service, caller, id, Order::Revoke, "agent.revoke", reason).await
}

fn conditions(value: Option<Value>) -> Result<Vec<Condition>, Refusal> {
    let wrong = || Refusal::invalid(format!("`where` has to be a list of 1 to {CONDITIONS} texts"));
    let Some(Value::Array(texts)) = value else { return Err(wrong()) };
    if !(1..=CONDITIONS).contains(&texts.len()) {
        return Err(wrong());
    }
    let read = |text: &Value| {
        let condition = text.as_str().ok_or_else(wrong)?.parse::<Condition>();
        condition.map_err(|error| Refusal::invalid(format!("`where`: {error}")))
    };
    texts.iter().map(read).collect()
}

fn expected(value: Option<Value>) -> Result<Option<usize>, Refusal> {
    let wrong = || Refusal::invalid("`expect` has to be a whole number");
    value.map(|value| value.as_u64().and_then(|many| many.try_into().ok()).ok_or_else(wrong)).transpose()
}

fn shown(agent: &AgentRecord) -> Value {
    json!({ "id": agent.id.to_string(), "name": agent.name.as_str(), "standing": agent.standing.word() })
}

const REVOKERS: Open = Open::Roles(&[Role::Revoker]);
/// Two groups that share a list: one that is being carried out, and one that waits for it.
const AT_ONCE: usize = 64;
const CONDITIONS: usize = 16;
const PAUSE: Duration = Duration::from_millis(50);
/// Half a minute: as long as whoever asks waits for an answer.
const PATIENCE: u32 = 600;
const TAKES: &[Named] = &[
    Named::new(
        "where",
        "array",
        "Conditions, all of which an agent and one certificate of it have to meet: name=PATTERN, key=SHA256, issuer=SHA256, issued=FROM..TO",
    ),
    Named::new("dry_run", "boolean", "List the agents, and revoke nobody"),
    Named::new("expect", "integer", "Revoke them if they are so many"),
    Named::new("reason", "string", "Up to 500 characters; a reason of RFC 5280 is written into the list"),
];
