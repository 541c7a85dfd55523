//! Reports: what the receipts that an agent sent show of a framework's controls.
//!
//! A report is a function of the receipts in its period, so nothing of it is stored: its name says which agent, which
//! days and which frameworks, and whoever reads it gets what the receipts say now, with a word in every form on whether
//! they are the ones of when it was ordered. A name carries a mark of this service, for its tenant: nobody makes a report
//! "of that day" that was never ordered. What was never sent here cannot be seen here; `kakunin report` over the agent's
//! own journal sees it.

mod name;

use std::path::Path as FilePath;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use kakunin_core::bundle::ExportError;
use kakunin_core::certificate::TrustAnchors;
use kakunin_core::digest::hex;
use kakunin_core::id::AgentId;
use kakunin_core::report::Inquiry;
use kakunin_core::scope::NameLists;
use kakunin_core::time::UnixTime;
use kakunin_evidence::{EvidenceReport, Facts, Framework, FrameworkError, Period, Status};
use serde::Deserialize;
use serde_json::{Value, json};

use self::name::{Ordered, beginning, chosen, usual};
use super::agents::seen;
use crate::access::{Role, TenantId};
use crate::authority::Authority;
use crate::evidence::{EvidenceError, Whose, bundle};
use crate::http::access::{Caller, Open};
use crate::http::answer::{data, data_with, typed};
use crate::http::body::Members;
use crate::http::deed::Intent;
use crate::http::error::Refusal;
use crate::http::sequencer::Lane;
use crate::http::service::Service;
use crate::http::table::{Named, Row};
use crate::store::{AgentRecord, ReceiptFilter, Store};

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row::api(Method::POST, "/reports/compliance", READERS, "Order a report on an agent", || post(order))
            .takes(ORDER),
        Row::api(
            Method::GET,
            "/reports/{id}",
            READERS,
            "A report, or one framework of it in another form",
            || get(read),
        )
        .asks(FORMS),
        Row::api(
            Method::GET,
            "/reports/{id}/pdf",
            READERS,
            "A report as PDF, if the service makes any",
            || get(paper),
        )
        .asks(PAPER),
        Row::api(
            Method::GET,
            "/agents/{id}/compliance-report",
            READERS,
            "What the receipts of the last 30 days show, control by control",
            || get(attest),
        ),
    ]
}

/// What was ordered by this name. One from later than now is none, whoever marked it: the clock was set back since.
async fn ordered(service: &Service, caller: &Caller, name: &str) -> Result<Ordered, Refusal> {
    let key = service.sealing_key().await?.ok_or_else(Refusal::missing)?;
    let ordered = Ordered::parse(name, &key, caller.tenant()).ok_or_else(Refusal::missing)?;
    if ordered.created > (service.clock)() { Err(Refusal::missing()) } else { Ok(ordered) }
}

async fn order(
    State(service): State<Arc<Service>>,
    caller: Caller,
    body: Bytes,
) -> Result<Response, Refusal> {
    let mut members = Members::read(&body)?;
    let agent = members.text(&["agentId", "agent_id"], 64)?;
    let agent = agent.ok_or_else(|| Refusal::invalid("`agentId` is missing"))?;
    let days = members.number("windowDays", 1, 90)?.unwrap_or(30);
    let notes = members.text(&["notes"], 1000)?;
    let frameworks = match members.take(&["standardsFrameworks", "frameworks"])? {
        None => usual(),
        Some(Value::Array(names)) if !names.is_empty() => chosen(&names)?,
        Some(_) => {
            return Err(Refusal::invalid("`standardsFrameworks` has to be a list of names, and not empty"));
        }
    };
    members.end()?;
    let (agent, _) = seen(&service, &caller, &agent).await?;
    let ordered = Ordered {
        agent: agent.id,
        created: (service.clock)(),
        days: u8::try_from(days).map_err(|_| Refusal::internal())?,
        frameworks,
        evidence: [0; 8],
    };
    note(&service, &caller, "report.requested", ordered.agent, notes.clone().unwrap_or_default()).await?;
    let facts = gather(&service, &caller, ordered).await?;
    let ordered = Ordered { evidence: beginning(facts.evidence()), ..ordered };
    let name = ordered.name(&*service.sealing_key_or_new().await?, caller.tenant());
    let mut row = shown(&agent, (&name, ordered), &reports(ordered, &facts)?)?;
    if let Some(row) = row.as_object_mut() {
        row.insert("notes".into(), notes.into());
    }
    Ok(data_with(StatusCode::ACCEPTED, &row))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    framework: Option<String>,
    format: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedPaper {
    framework: Option<String>,
}

async fn read(
    State(service): State<Arc<Service>>,
    caller: Caller,
    Path(id): Path<String>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(asked) = asked?;
    let ordered = ordered(&service, &caller, &id).await?;
    let (agent, _) = seen(&service, &caller, &ordered.agent.to_string()).await?;
    note(&service, &caller, "report.read", ordered.agent, id.clone()).await?;
    let reports = reports(ordered, &gather(&service, &caller, ordered).await?)?;
    let Some(format) = asked.format else {
        return Ok(data(&shown(&agent, (&id, ordered), &reports)?));
    };
    let found: [EvidenceReport; 1] =
        of(reports, asked.framework.as_deref())?.try_into().map_err(|_| other_framework())?;
    let [report] = &found;
    let (media, text) = match format.as_str() {
        "json" => ("application/json", report.to_json()),
        "html" => ("text/html; charset=utf-8", report.to_html()),
        "csv" => ("text/csv; charset=utf-8", report.to_csv()),
        "oscal" => ("application/json", report.to_oscal_results()),
        _ => return Err(Refusal::invalid("`format` has to be json, html, csv or oscal")),
    };
    Ok(typed(StatusCode::OK, media, Body::from(text)))
}

async fn paper(
    State(service): State<Arc<Service>>,
    caller: Caller,
    Path(id): Path<String>,
    asked: Result<Query<AskedPaper>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(asked) = asked?;
    let ordered = ordered(&service, &caller, &id).await?;
    seen(&service, &caller, &ordered.agent.to_string()).await?;
    note(&service, &caller, "report.read", ordered.agent, id).await?;
    let reports = reports(ordered, &gather(&service, &caller, ordered).await?)?;
    pdf(&of(reports, asked.framework.as_deref())?)
}

/// The framework of this name, or all of them.
fn of(reports: Vec<EvidenceReport>, name: Option<&str>) -> Result<Vec<EvidenceReport>, Refusal> {
    let Some(name) = name else { return Ok(reports) };
    let found: Vec<_> = reports.into_iter().filter(|report| report.framework().id == name).collect();
    if found.is_empty() { Err(other_framework()) } else { Ok(found) }
}

fn other_framework() -> Refusal {
    Refusal::invalid("`framework` has to name one of this report's")
}

async fn attest(
    State(service): State<Arc<Service>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let (agent, certificates) = seen(&service, &caller, &id).await?;
    let created = (service.clock)();
    let ordered = Ordered { agent: agent.id, created, days: 30, frameworks: usual(), evidence: [0; 8] };
    note(&service, &caller, "report.read", ordered.agent, "the last 30 days".into()).await?;
    let facts = gather(&service, &caller, ordered).await?;
    let ordered = Ordered { evidence: beginning(facts.evidence()), ..ordered };
    let name = ordered.name(&*service.sealing_key_or_new().await?, caller.tenant());
    let reports = reports(ordered, &facts)?;
    let count = |status| reports.iter().map(|report| report.count(status)).sum::<usize>();
    let items = reports.iter().flat_map(|report| {
        report.findings().iter().map(|finding| {
            json!({
                "framework": report.framework().id,
                "id": finding.control.id,
                "title": finding.control.title,
                "status": finding.status.word(),
                "claim": finding.claim(),
                "limit": finding.control.limit,
                "applies_from": finding.applies_from,
            })
        })
    });
    let good = certificates.iter().rfind(|certificate| certificate.standing.word() == "good");
    let statuses = |name: &str| reports.iter().find(|report| report.framework().id == name).map(counts);
    Ok(data(&json!({
        "attestation_id": name,
        "says": SAYS,
        "agent": { "id": agent.id.to_string(), "name": agent.name.as_str(), "standing": agent.standing.word() },
        "certificate": good.map(|certificate| json!({
            "serial_number": certificate.serial.to_string(),
            "standing": certificate.standing.word(),
        })),
        "evidence": { "verdict": verdict(&reports), "digest": facts.evidence().to_hex() },
        "controls": {
            "total": reports.iter().map(|report| report.findings().len()).sum::<usize>(),
            "pass": count(Status::Evidenced),
            "partial": count(Status::Partial),
            "no_evidence": count(Status::NoEvidence),
            "fail": count(Status::Contradicted),
            "not_applicable": count(Status::OutOfScope),
            "items": items.collect::<Vec<_>>(),
        },
        "regulatory": { "eu_ai_act": statuses("eu-ai-act"), "mica": statuses("mica") },
        "report": format!("/v1/reports/{name}"),
    })))
}

#[cfg(feature = "pdf")]
fn pdf(reports: &[EvidenceReport]) -> Result<Response, Refusal> {
    let made = EvidenceReport::all_to_pdf(reports);
    let octets = made.map_err(|error| Refusal { cause: Some(error.to_string()), ..Refusal::internal() })?;
    Ok(typed(StatusCode::OK, "application/pdf", Body::from(octets)))
}

#[cfg(not(feature = "pdf"))]
fn pdf(_: &[EvidenceReport]) -> Result<Response, Refusal> {
    let text = "this service makes no PDF; print `GET /v1/reports/ID?format=html&framework=NAME`, whose sheet is for paper, or use `kakunin report`";
    Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, "not_here", text))
}

/// Whoever takes evidence out leaves a trace first.
async fn note(
    service: &Arc<Service>,
    caller: &Caller,
    what: &'static str,
    agent: AgentId,
    text: String,
) -> Result<(), Refusal> {
    let look = move |_: &Authority<'_>| {
        Ok((Intent { what, subject: agent.to_string(), before: None, after: None, text }, ()))
    };
    service.carry_out(caller, Lane::Ordinary, look, |_, (), _, _| Ok(())).await
}

/// The facts of what was ordered, by the receipts that are here, judged by this tenant's own root.
async fn gather(service: &Service, caller: &Caller, ordered: Ordered) -> Result<Facts, Refusal> {
    let place = service.bundles.enter(caller, &service.shown)?;
    let published = service.shown.newest(caller.tenant()).ok_or_else(Refusal::missing)?;
    let root = published.root().decoded().der().to_vec();
    let tenant = caller.tenant().clone();
    let made = service.readers.read_at_length(move |store| {
        let _place = place;
        Ok(verified(store, (&tenant, ordered.agent), &root, ordered.period()))
    });
    made.await?
}

fn verified(
    store: &dyn Store,
    (tenant, agent): (&TenantId, AgentId),
    root: &[u8],
    period: Period,
) -> Result<Facts, Refusal> {
    let folder = tempfile::tempdir().map_err(|error| EvidenceError::from(ExportError::Io(error)))?;
    let out = folder.path().join("evidence.zip");
    let micros = |at: UnixTime| at.seconds().saturating_mul(1_000_000);
    let filter = ReceiptFilter {
        since: period.from.map(micros),
        before: period.to.map(|to| micros(to.plus(1))),
        ..ReceiptFilter::default()
    };
    // It is judged here and goes to nobody: what comes of it is counts.
    match bundle(store, (tenant, agent), &filter, Whose::Anyone, folder.path(), &out) {
        Err(EvidenceError::Export(ExportError::Nothing)) => Ok(Facts::none(period)),
        made => {
            made?;
            judged(root, &out, period)
        }
    }
}

fn judged(root: &[u8], bundle: &FilePath, period: Period) -> Result<Facts, Refusal> {
    let internal = |cause: String| Refusal { cause: Some(cause), ..Refusal::internal() };
    let anchors = TrustAnchors::new([root]).map_err(|error| internal(error.to_string()))?;
    let inquiry = Inquiry::by(anchors).replay(NameLists::default());
    Facts::gather(&inquiry, bundle, &[], period, None, &mut ()).map_err(|error| internal(error.to_string()))
}

fn reports(ordered: Ordered, facts: &Facts) -> Result<Vec<EvidenceReport>, Refusal> {
    let same = beginning(facts.evidence()) == ordered.evidence;
    let report = |name: &str| {
        let framework = Framework::named(name)?;
        let report = EvidenceReport::of(framework, facts.clone(), Some(ordered.created))?;
        Ok::<_, FrameworkError>(if same { report } else { report.remarking(changed(ordered, facts)) })
    };
    let made: Result<Vec<_>, _> = ordered.frameworks().into_iter().map(report).collect();
    made.map_err(|error| Refusal { cause: Some(error.to_string()), ..Refusal::internal() })
}

/// What every form says of receipts that came, or went, since the report was ordered.
fn changed(ordered: Ordered, facts: &Facts) -> String {
    let now = facts.evidence().to_hex();
    format!(
        "The evidence is not the one of when this report was ordered, {}: its digest began {} then, and is {now} now.",
        ordered.created,
        hex(&ordered.evidence)
    )
}

/// A report as clients of the hosted service read it, and what it says.
fn shown(
    agent: &AgentRecord,
    (name, ordered): (&str, Ordered),
    reports: &[EvidenceReport],
) -> Result<Value, Refusal> {
    let parse = |report: &EvidenceReport| serde_json::from_str::<Value>(&report.to_json());
    let whole: Result<Vec<Value>, _> = reports.iter().map(parse).collect();
    let whole = whole.map_err(|error| Refusal { cause: Some(error.to_string()), ..Refusal::internal() })?;
    let evidence = reports.first().map(|report| report.facts().evidence());
    let same = evidence.is_some_and(|digest| beginning(digest) == ordered.evidence);
    let period = ordered.period();
    let count = |status| reports.iter().map(|report| report.count(status)).sum::<usize>();
    let summary = Status::ALL.map(|status| format!("{} {}", count(status), status.word())).join(", ");
    let title = agent.details.title.as_deref().unwrap_or(agent.name.as_str());
    Ok(json!({
        "id": name,
        "report_id": name,
        "agent_id": ordered.agent.to_string(),
        "title": format!("Evidence of {title}"),
        "status": "ready",
        "summary": format!("{}: {summary}. {SAYS}", verdict(reports)),
        "window_days": ordered.days,
        "period_start": period.from.map(|time| time.to_string()),
        "period_end": period.to.map(|time| time.to_string()),
        "created_at": ordered.created.to_string(),
        "updated_at": ordered.created.to_string(),
        "evidence": { "digest": evidence.map(|digest| digest.to_hex()), "same_as_ordered": same },
        "frameworks": whole,
    }))
}

fn verdict(reports: &[EvidenceReport]) -> &'static str {
    reports.first().map_or("EMPTY", EvidenceReport::verdict)
}

fn counts(report: &EvidenceReport) -> Value {
    let of = |status| report.count(status);
    json!({
        "applies_from": report.framework().applies_from,
        "evidenced": of(Status::Evidenced),
        "partial": of(Status::Partial),
        "no_evidence": of(Status::NoEvidence),
        "contradicted": of(Status::Contradicted),
        "out_of_scope": of(Status::OutOfScope),
    })
}

const SAYS: &str = "It says what receipts show, and not that anybody complies with anything.";
const READERS: Open = Open::Roles(&[Role::Auditor]);
const ORDER: &[Named] = &[
    Named::new("agentId", "string", "The agent"),
    Named::new("windowDays", "integer", "How many days before now: 1 to 90, 30 if not said"),
    Named::new("standardsFrameworks", "array", "Frameworks by name, or iso_27001, nist_csf, nist_ai_rmf"),
    Named::new("notes", "string", "Kept in the audit log, up to 1,000 characters"),
];
const PAPER: &[Named] = &[Named::new("framework", "string", "Which one, if not all of the report's")];
const FORMS: &[Named] = &[
    Named::new("format", "string", "json, html, csv or oscal, of one framework"),
    Named::new("framework", "string", "Which one, if the report has several"),
];
