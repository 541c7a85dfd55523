//! Whether the service lives, and whether it may be sent work.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::get;
use kakunin_core::risk::RiskLevel;
use kakunin_core::time::UnixTime;
use serde_json::json;

use super::{feed_numbers, freeze};
use crate::http::access::Open;
use crate::http::answer::{json_text, typed};
use crate::http::openapi;
use crate::http::service::Service;
use crate::http::table::Row;
use crate::publish::CLOCK_TOLERANCE;

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row::top(Method::GET, "/health", "Whether the process answers", || get(health)),
        Row::top(Method::GET, "/ready", "Whether it may be sent work", || get(ready)),
        Row::api(Method::GET, "/openapi.json", Open::Everyone, "This document", || get(document)),
        Row::top(Method::GET, "/metrics", "Numbers for Prometheus", || get(metrics)).within(),
    ]
}

/// The process answers. Says nothing about anything else: whoever restarts what is not healthy must not restart it
/// because a disk is full.
async fn health() -> Response {
    json_text(StatusCode::OK, json!({ "status": "ok" }).to_string())
}

/// The lists are published and fresh, and the records can be read.
async fn ready(State(service): State<Arc<Service>>) -> Response {
    let mut lacks = Vec::new();
    let (unserved, served) = service.shown.served((service.clock)());
    if served == 0 {
        lacks.push(match unserved {
            0 => "no revocation list is published yet",
            _ => "the revocation list has ended, or could not be published; the log tells why",
        });
    }
    if behind(&service) > CLOCK_TOLERANCE {
        lacks.push("the clock is behind the last revocation list, so no other is signed; set the clock");
    }
    if service.readers.read_for_anyone(|store| store.issuers()).await.is_err() {
        lacks.push("the records cannot be read");
    }
    // Not a reason to send it nothing: suspending and revoking goes on, and so does everything of the other tenants.
    let frozen = freeze::count(&service).await.unwrap_or((0, false));
    let short = service.room.is_short();
    let some = unserved > 0 && served > 0;
    let (status, word) = match lacks.is_empty() {
        true if short || some || frozen.1 => (StatusCode::OK, "limited"),
        true => (StatusCode::OK, "ready"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
    };
    if short {
        lacks.push("the disk is nearly full: only suspending and revoking goes on");
    }
    match frozen {
        (0, _) => {}
        (_, true) => lacks.push("issuing is frozen: no certificate is signed until an owner thaws it"),
        (_, false) => lacks.push("issuing for a tenant is frozen: none of its certificates is signed"),
    }
    if some {
        lacks.push("the lists of a tenant could not be published or have ended: the log tells whose and why");
    }
    json_text(status, json!({ "status": word, "lacks": lacks }).to_string())
}

/// How many seconds the clock is behind the last list, whoever's that is: by such a clock nothing is signed for anybody.
fn behind(service: &Service) -> i64 {
    let signed = service.shown.last_signed().map_or(0, UnixTime::seconds);
    signed.saturating_sub((service.clock)().seconds()).max(0)
}

async fn document() -> Response {
    json_text(StatusCode::OK, openapi::document().to_string())
}

/// How many orders wait, and how old the list is. Whoever operates the service needs no key for it, and learns sums alone:
/// what is of one tenant is in `feed_numbers`, for its keys.
async fn metrics(State(service): State<Arc<Service>>) -> Response {
    let (urgent, ordinary, parts, asks) = service.orders.waiting();
    let mut text = format!(
        "# HELP kakunin_orders_waiting Orders that wait for the sequencer.\n\
         # TYPE kakunin_orders_waiting gauge\n\
         kakunin_orders_waiting{{lane=\"urgent\"}} {urgent}\n\
         kakunin_orders_waiting{{lane=\"ordinary\"}} {ordinary}\n\
         kakunin_orders_waiting{{lane=\"kept\"}} {parts}\n\
         kakunin_orders_waiting{{lane=\"certificates\"}} {asks}\n"
    );
    feed_numbers::of_all(&service, &mut text);
    if let Ok(published) = service.published() {
        let list = published.list();
        for (name, kind, help, value) in [
            ("list_number", "counter", "Number of the current revocation list.", list.number.to_string()),
            (
                "list_this_update_seconds",
                "gauge",
                "When that list was signed, in Unix time.",
                list.this_update.seconds().to_string(),
            ),
            (
                "list_next_update_seconds",
                "gauge",
                "Until when that list may be used, in Unix time.",
                list.next_update.seconds().to_string(),
            ),
        ] {
            text.push_str(&format!(
                "# HELP kakunin_{name} {help}\n# TYPE kakunin_{name} {kind}\nkakunin_{name} {value}\n"
            ));
        }
    }
    text.push_str(&format!(
        "# HELP kakunin_lists_octets Octets of lists in memory, older ones that somebody still reads with them.\n\
         # TYPE kakunin_lists_octets gauge\n\
         kakunin_lists_octets {}\n",
        service.shown.octets()
    ));
    for (name, help) in [
        ("connections", "Connections that came in."),
        ("turned_away", "Connections closed at once: their address had too many."),
        ("handshakes_failed", "Connections that did not get through TLS."),
    ] {
        text.push_str(&format!(
            "# HELP kakunin_door_{name}_total {help}\n# TYPE kakunin_door_{name}_total counter\n"
        ));
        for (plane, counts) in &service.doors {
            let count = match name {
                "connections" => &counts.connections,
                "turned_away" => &counts.turned_away,
                _ => &counts.handshakes_failed,
            };
            let (plane, count) = (plane.word(), count.load(Ordering::Relaxed));
            text.push_str(&format!("kakunin_door_{name}_total{{door=\"{plane}\"}} {count}\n"));
        }
    }
    text.push_str(&format!(
        "# HELP kakunin_clock_behind_seconds By how much the clock is behind the last list; no list is signed from {CLOCK_TOLERANCE} on.\n\
         # TYPE kakunin_clock_behind_seconds gauge\nkakunin_clock_behind_seconds {}\n",
        behind(&service)
    ));
    text.push_str(&format!(
        "# HELP kakunin_disk_free_bytes Room on the disk of the home.\n# TYPE kakunin_disk_free_bytes gauge\n\
         kakunin_disk_free_bytes {}\n\
         # HELP kakunin_disk_short Whether only suspending and revoking goes on, for want of room.\n\
         # TYPE kakunin_disk_short gauge\nkakunin_disk_short {}\n",
        service.room.free(),
        u8::from(service.room.is_short())
    ));
    text.push_str(&format!(
        "# HELP kakunin_event_streams Streams of declared events that are open.\n\
         # TYPE kakunin_event_streams gauge\n\
         kakunin_event_streams {}\n\
         # HELP kakunin_uploads Uploads of receipts that are read, checked or wait to be kept.\n\
         # TYPE kakunin_uploads gauge\n\
         kakunin_uploads {}\n",
        service.happenings.places.taken(),
        service.intake.places.taken()
    ));
    text.push_str(&format!(
        "# HELP kakunin_tenants_unserved Tenants whose revocation list could not be published, or has ended.\n\
         # TYPE kakunin_tenants_unserved gauge\n\
         kakunin_tenants_unserved {}\n",
        service.shown.served((service.clock)()).0
    ));
    // Left out when it cannot be read: a zero would say that certificates are signed.
    if let Ok((cold, _)) = freeze::count(&service).await {
        text.push_str(&format!(
            "# HELP kakunin_issuance_frozen Tenants for whom no certificate is signed, by order.\n\
             # TYPE kakunin_issuance_frozen gauge\n\
             kakunin_issuance_frozen {cold}\n"
        ));
    }
    contradictions(&service, &mut text).await;
    behaviour(&service, &mut text).await;
    webhooks(&service, &mut text).await;
    typed(StatusCode::OK, "text/plain; version=0.0.4", text)
}

/// The alarm of logs that show different things to different agents.
async fn contradictions(service: &Arc<Service>, text: &mut String) {
    // Left out when it cannot be read: a zero would say that all is well.
    let Ok(count) = service.readers.read(|store| store.count_contradictions()).await else { return };
    text.push_str(&format!(
        "# HELP kakunin_log_contradictions Checkpoints that agents were shown and that cannot be true beside another one.\n\
         # TYPE kakunin_log_contradictions gauge\nkakunin_log_contradictions {count}\n\
         # HELP kakunin_log_contradictions_not_kept_total Such beyond those that are kept of one agent, since the service began.\n\
         # TYPE kakunin_log_contradictions_not_kept_total counter\n\
         kakunin_log_contradictions_not_kept_total {}\n",
        service.intake.contradictions_not_kept.read()
    ));
}

/// How agents behave, and what is owed for it.
async fn behaviour(service: &Arc<Service>, text: &mut String) {
    let counts = &service.watch.counts;
    text.push_str(&format!(
        "# HELP kakunin_risk_settled_total Changes of level, baselines and policies that were settled, since the service began.\n\
         # TYPE kakunin_risk_settled_total counter\nkakunin_risk_settled_total {}\n\
         # HELP kakunin_risk_not_settled_total Attempts to settle one that failed; they are tried again.\n\
         # TYPE kakunin_risk_not_settled_total counter\nkakunin_risk_not_settled_total {}\n\
         # HELP kakunin_risk_not_looked_total Looks at receipts that could not be finished; they are tried again.\n\
         # TYPE kakunin_risk_not_looked_total counter\nkakunin_risk_not_looked_total {}\n\
         # HELP kakunin_risk_behind Tenants with more receipts that nobody looked at than one turn takes.\n\
         # TYPE kakunin_risk_behind gauge\nkakunin_risk_behind {}\n",
        counts.settled.read(),
        counts.failed.read(),
        counts.unseen.read(),
        counts.behind.load(Ordering::Relaxed),
    ));
    // Left out when they cannot be read: a zero would say that all is well.
    let found =
        service.readers.read(|store| Ok((store.count_risks()?, store.open_risk_events(0, OWED)?.len())));
    let Ok((levels, owed)) = found.await else { return };
    text.push_str(
        "# HELP kakunin_risk_agents Agents by the level of their risk.\n# TYPE kakunin_risk_agents gauge\n",
    );
    for level in RiskLevel::ALL {
        let many = levels.iter().find(|(its, _)| *its == level).map_or(0, |(_, many)| *many);
        text.push_str(&format!("kakunin_risk_agents{{level=\"{level}\"}} {many}\n"));
    }
    text.push_str(&format!(
        "# HELP kakunin_risk_owed What happened and is not settled yet, up to {OWED}.\n\
         # TYPE kakunin_risk_owed gauge\nkakunin_risk_owed {owed}\n"
    ));
}

/// What waits for webhooks, and how attempts ended.
async fn webhooks(service: &Arc<Service>, text: &mut String) {
    let counts = &service.hooks.counts;
    text.push_str(&format!(
        "# HELP kakunin_webhook_attempts_total Attempts to send a delivery, since the service began.\n\
         # TYPE kakunin_webhook_attempts_total counter\n\
         kakunin_webhook_attempts_total{{result=\"delivered\"}} {}\n\
         kakunin_webhook_attempts_total{{result=\"failed\"}} {}\n\
         kakunin_webhook_attempts_total{{result=\"given_up\"}} {}\n",
        counts.delivered.read(),
        counts.failed.read(),
        counts.given_up.read()
    ));
    // Numbers that cannot be read are left out: a zero would say that nothing waits.
    let Ok(backlog) = service.readers.read(|store| store.backlog()).await else { return };
    let oldest = backlog.oldest.map_or(0, |at| {
        let now = (service.clock)();
        now.seconds().saturating_sub(at.seconds()).max(0)
    });
    text.push_str(&format!(
        "# HELP kakunin_webhook_deliveries Deliveries that were not taken, by state.\n\
         # TYPE kakunin_webhook_deliveries gauge\n\
         kakunin_webhook_deliveries{{state=\"pending\"}} {}\n\
         kakunin_webhook_deliveries{{state=\"failed\"}} {}\n\
         kakunin_webhook_deliveries{{state=\"dead\"}} {}\n\
         # HELP kakunin_webhook_oldest_seconds Age of the oldest event that an active webhook was not told yet.\n\
         # TYPE kakunin_webhook_oldest_seconds gauge\n\
         kakunin_webhook_oldest_seconds {oldest}\n",
        backlog.pending, backlog.failed, backlog.dead
    ));
}
/// More than that is told as that many.
const OWED: u32 = 1000;
