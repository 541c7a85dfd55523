//! Requests that may come twice: whoever sends `Idempotency-Key` gets one effect and one answer.
//!
//! A request is begun in the records before it is carried out, and its answer is kept before it is sent. What a crash
//! left in between is found in the audit log, where every order carries its key: without an intent nothing happened,
//! and what an intent with this key made is looked for and answered. Where that cannot be told for certain, the
//! answer says so, and nothing is done a second time.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use kakunin_core::digest::Digest;
use kakunin_core::time::UnixTime;
use serde_json::Value;

use super::access::Caller;
use super::answer::json_text;
use super::error::Refusal;
use super::route;
use super::sequencer::Lane;
use super::service::Service;
use super::shape::{self, Reader};
use crate::access::TenantId;
use crate::store::{Answer, AuditEntry, AuditFilter, Begun, Outcome, Store, StoreError};

/// What is made by a route that may be asked twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Makes {
    /// An agent.
    Agent,
    /// A certificate.
    Certificate,
    /// Something with a secret that is shown in one answer: that answer is not kept.
    Secret,
}

/// The requests that are under way in this process.
#[derive(Default)]
pub(crate) struct Repeats {
    running: Mutex<HashSet<(TenantId, String)>>,
    swept: Mutex<Option<UnixTime>>,
}

/// The place of a request that is under way.
struct Running<'a> {
    repeats: &'a Repeats,
    key: (TenantId, String),
}

impl Repeats {
    fn enter(&self, tenant: &TenantId, key: &str) -> Option<Running<'_>> {
        let key = (tenant.clone(), key.to_owned());
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.insert(key.clone()).then(|| Running { repeats: self, key })
    }

    /// Forgets old ones, of whatever route, if it is time to.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be made durable.
    pub(crate) fn sweep(&self, store: &mut dyn Store, now: UnixTime) -> Result<(), StoreError> {
        {
            let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
            if swept.is_some_and(|last| now < last.plus(SWEEP)) {
                return Ok(());
            }
            *swept = Some(now);
        }
        store.forget_requests(now.plus(-REMEMBERED))?;
        store.forget_tokens(now).map(drop)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.repeats.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

/// Carries a request out once, if its sender gave it a key.
pub(crate) async fn once(
    State((service, makes)): State<(Arc<Service>, Makes)>,
    request: Request,
    next: Next,
) -> Response {
    match key_of(request.headers()) {
        Ok(None) => next.run(request).await,
        Ok(Some(key)) => {
            carried_out(&service, makes, &key, request, next).await.unwrap_or_else(Refusal::into_response)
        }
        Err(refusal) => refusal.into_response(),
    }
}

async fn carried_out(
    service: &Arc<Service>,
    makes: Makes,
    key: &str,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    let (mut parts, body) = request.into_parts();
    let Ok(reader) = Reader::from_request_parts(&mut parts, &()).await;
    let caller = parts.extensions.get_mut::<Caller>().ok_or_else(Refusal::internal)?;
    caller.repeat = Some(key.to_owned());
    let caller = caller.clone();
    let body = to_bytes(body, MOST).await.map_err(|_| {
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "request.too_large", "the body is larger than 64 kB")
    })?;
    // Both prefixes are one service.
    let path = parts.uri.path();
    let path = path.strip_prefix("/api").unwrap_or(path);
    let hash = Digest::of_parts(&[parts.method.as_str().as_bytes(), b" ", path.as_bytes(), b"\n", &body]);
    // A key is its sender's own: nobody else finds an answer by it.
    let (tenant, kept) = (caller.tenant().clone(), format!("orders {} {key}", caller.actor()));
    let Some(_running) = service.repeats.enter(&tenant, &kept) else {
        let text = "the same request is being carried out; ask again for its answer";
        return Err(Refusal {
            retry_after: Some(1),
            ..Refusal::new(StatusCode::CONFLICT, "idempotency.running", text)
        });
    };
    service.room.for_others()?;
    let now = (service.clock)();
    let begun = {
        let (tenant, kept) = (tenant.clone(), kept.clone());
        service
            .orders
            .give(Lane::Ordinary, move |authority| authority.store.begin_request(&tenant, &kept, hash, now))
    };
    let request = Request::from_parts(parts, Body::from(body.clone()));
    let (response, replayed) = match begun.await?? {
        Begun::New => (next.run(request).await, false),
        Begun::Answered(answer) => return replay(service, &caller, reader, makes, &answer).await,
        Begun::Another => {
            let text = "this `idempotency-key` came with another request before; take a new one for each";
            return Err(Refusal::new(StatusCode::CONFLICT, "idempotency.reused", text));
        }
        Begun::Unfinished => match left_over(service, &caller, reader, (makes, &body), key).await? {
            Some(response) => (response, true),
            None => (next.run(request).await, false),
        },
    };
    // A no did nothing, and is said anew when it is asked for anew.
    if !response.status().is_success() {
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.map_err(|_| Refusal::internal())?;
    let answer = Answer {
        status: parts.status.as_u16(),
        body: if makes == Makes::Secret { Vec::new() } else { body.to_vec() },
    };
    let keeping = service
        .orders
        .give(Lane::Ordinary, move |authority| authority.store.answer_request(&tenant, &kept, &answer));
    // It is done and the answer is true, kept or not: what is not kept is found in the audit log.
    let _ = keeping.await;
    let mut response = Response::from_parts(parts, Body::from(body));
    if replayed {
        mark(&mut response);
    }
    Ok(response)
}

/// The key, if there is one.
fn key_of(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().ok();
    let text =
        text.filter(|text| (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()));
    match (text, values.next()) {
        (Some(text), None) => Ok(Some(text.to_owned())),
        _ => Err(Refusal::invalid(
            "`idempotency-key` has to be there once, with 1 to 128 visible characters of ASCII",
        )),
    }
}

async fn replay(
    service: &Service,
    caller: &Caller,
    reader: Reader,
    makes: Makes,
    answer: &Answer,
) -> Result<Response, Refusal> {
    if answer.body.is_empty() {
        return Err(secret());
    }
    let status = StatusCode::from_u16(answer.status).map_err(|_| Refusal::internal())?;
    let mut body: Value = serde_json::from_slice(&answer.body).map_err(|_| Refusal::internal())?;
    stand_as_now(service, caller, reader, makes, &mut body).await?;
    let mut response = json_text(status, body.to_string());
    mark(&mut response);
    Ok(response)
}

/// What was made may have been revoked since: how it stands is what the records say now, and the rest is the answer.
async fn stand_as_now(
    service: &Service,
    caller: &Caller,
    reader: Reader,
    makes: Makes,
    body: &mut Value,
) -> Result<(), Refusal> {
    let data = body.get_mut("data").and_then(Value::as_object_mut).ok_or_else(Refusal::internal)?;
    let id = data.get("id").and_then(Value::as_str).ok_or_else(Refusal::internal)?;
    let (status, standing) = match makes {
        Makes::Secret => return Ok(()),
        Makes::Certificate => {
            let serial = shape::parse_serial(id).ok_or_else(Refusal::internal)?;
            let found = service.readers.read(move |store| store.certificate(serial)).await?;
            let known = found.ok_or_else(Refusal::internal)?;
            (shape::certificate_status(&known, (service.clock)()), known.standing)
        }
        Makes::Agent => {
            let (agent, certificates) = route::agents::seen(service, caller, id).await?;
            (shape::status(agent.standing, !certificates.is_empty(), reader), agent.standing)
        }
    };
    data.insert("status".into(), status.into());
    data.insert("standing".into(), standing.word().into());
    Ok(())
}

fn mark(response: &mut Response) {
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
}

fn secret() -> Refusal {
    let text = "this was carried out before, and what was made was shown once; revoke it if that answer was lost, and make another one with another `idempotency-key`";
    Refusal::new(StatusCode::CONFLICT, "idempotency.secret", text)
}

/// What a request did that was begun and not answered, by a process that is gone. `None`: nothing, so it may be
/// carried out.
async fn left_over(
    service: &Arc<Service>,
    caller: &Caller,
    reader: Reader,
    (makes, body): (Makes, &Bytes),
    key: &str,
) -> Result<Option<Response>, Refusal> {
    let (tenant, actor) = (caller.tenant().clone(), caller.actor());
    let since = (service.clock)().plus(-REMEMBERED - SWEEP);
    let filter = AuditFilter { since: Some(since), actor: Some(actor), ..AuditFilter::default() };
    let entries = service.readers.read(move |store| store.audit(&tenant, &filter, LOOKED)).await?;
    let whole = entries.len() < LOOKED as usize;
    let end = marked(String::new(), key);
    let Some(entry) = entries.iter().find(|entry| entry.record.text.ends_with(&end)) else {
        return if whole { Ok(None) } else { Err(unknown("it may have been carried out")) };
    };
    match (&entry.outcome, makes) {
        // Refused is not done.
        (Some((Outcome::Refused(_), _)), _) => Ok(None),
        (Some((Outcome::Done, _)), Makes::Secret) => Err(secret()),
        (_, Makes::Secret) => Err(unknown(&by(entry))),
        (outcome, makes) => {
            let made = match makes {
                Makes::Agent => route::agents::made(service, caller, entry, reader).await?,
                Makes::Certificate | Makes::Secret => {
                    route::certify::made(service, caller, entry, body).await?
                }
            };
            let outcome = outcome.as_ref().map(|(outcome, _)| outcome);
            answer_of(made, outcome).ok_or_else(|| unknown(&by(entry)))
        }
    }
}

/// What is found of an order whose answer was lost.
pub(crate) enum Made {
    /// Certainly this.
    This(Response),
    /// Certainly nothing.
    Nothing,
    /// Nobody can tell.
    Unsure,
}

/// What is answered to whoever asks again: what was made, or that it may be done now (`Some(None)`). `None`: nobody can
/// tell. An order that failed made nothing that could be answered as done, whatever is found.
fn answer_of(made: Made, outcome: Option<&Outcome>) -> Option<Option<Response>> {
    match (made, outcome) {
        (Made::This(response), None | Some(Outcome::Done)) => Some(Some(response)),
        (Made::Nothing, None) => Some(None),
        _ => None,
    }
}

fn by(entry: &AuditEntry) -> String {
    format!("what came of it stands in the audit log under {}", entry.id)
}

fn unknown(what: &str) -> Refusal {
    let text = format!(
        "the service ended while this was carried out, and it is not done twice: {what}; look there, and take another `idempotency-key` to order it anew"
    );
    Refusal::new(StatusCode::CONFLICT, "idempotency.unfinished", text)
}

/// The words of an order, with the key it came with.
pub(crate) fn marked(text: String, key: &str) -> String {
    format!("{text} (idempotency-key {key})")
}

/// For how long answers are kept, and how often older ones are forgotten.
const REMEMBERED: i64 = 24 * 3600;
const SWEEP: i64 = 3600;
/// Orders of one key among which a lost one is looked for.
const LOOKED: u32 = 1000;
/// As for every body of these routes.
const MOST: usize = 64 * 1024;
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_never_answered_as_done() {
        let this = || Made::This(Response::new(Body::empty()));
        let failed = Outcome::Failed("the disk".into());
        let refused = Outcome::Refused("agent.standing".into());
        let says = |made, outcome: Option<&Outcome>| answer_of(made, outcome).map(|answer| answer.is_some());
        for done in [None, Some(&Outcome::Done)] {
            assert_eq!(says(this(), done), Some(true));
        }
        for not in [&failed, &refused] {
            assert_eq!(says(this(), Some(not)), None);
        }
        assert_eq!(says(Made::Nothing, None), Some(false));
        for outcome in [&Outcome::Done, &failed, &refused] {
            assert_eq!(says(Made::Nothing, Some(outcome)), None);
        }
        assert_eq!(says(Made::Unsure, None), None);
    }
}
