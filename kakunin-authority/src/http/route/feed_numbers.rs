//! How far feeds are, and the agents that follow them, for Prometheus.
//!
//! An issuing authority is of one tenant, so numbers of one say how many agents somebody has and when somebody is
//! suspended. Without a key they are added up; by issuer they are for keys of the tenant.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::get;
use kakunin_core::digest::Digest;

use crate::access::Role;
use crate::http::access::{Caller, Open};
use crate::http::answer::typed;
use crate::http::error::Refusal;
use crate::http::feed::{Lag, Propagation};
use crate::http::service::Service;
use crate::http::table::Row;

pub(crate) fn rows() -> Vec<Row> {
    let about = "How far the feeds of the tenant are and the agents that follow them, for Prometheus";
    vec![Row::api(Method::GET, "/feed/metrics", Open::Roles(&[Role::Auditor]), about, || get(of_tenant))]
}

async fn of_tenant(State(service): State<Arc<Service>>, caller: Caller) -> Result<Response, Refusal> {
    if caller.is_bound() {
        let text = "a key that is bound to agents sees no numbers of all of them";
        return Err(Refusal::new(StatusCode::FORBIDDEN, "access.bound", text));
    }
    let own = |feed: &Numbers| service.shown.whose(feed.lag.issuer).as_ref() == Some(caller.tenant());
    let feeds: Vec<_> = numbers(&service).into_iter().filter(own).collect();
    let mut text = String::new();
    for series in SERIES {
        series.begin(&mut text);
        for feed in &feeds {
            let (name, issuer, value) = (series.name, feed.lag.issuer, (series.value)(feed));
            text.push_str(&format!("kakunin_feed_{name}{{issuer=\"{issuer}\"}} {value}\n"));
        }
    }
    Ok(typed(StatusCode::OK, PROMETHEUS, text))
}

/// The same of everybody, with no word about whom.
pub(crate) fn of_all(service: &Service, text: &mut String) {
    let all = numbers(service).into_iter().fold(Numbers::default(), Numbers::with);
    for series in SERIES {
        series.begin(text);
        text.push_str(&format!("kakunin_feed_{} {}\n", series.name, (series.value)(&all)));
    }
    text.push_str(&format!(
        "# HELP kakunin_feed_dropped_total Streams that were ended because their client was too slow.\n\
         # TYPE kakunin_feed_dropped_total counter\n\
         kakunin_feed_dropped_total {}\n",
        service.feeds.numbers().dropped
    ));
    let Propagation { within, count, seconds } = service.acks.propagation();
    text.push_str(
        "# HELP kakunin_feed_propagation_seconds From a change's being kept until an agent said that it enforces it.\n\
         # TYPE kakunin_feed_propagation_seconds histogram\n",
    );
    for (bound, within) in Propagation::BOUNDS.iter().zip(within) {
        let bound = f64::from(*bound) / 1000.0;
        text.push_str(&format!("kakunin_feed_propagation_seconds_bucket{{le=\"{bound}\"}} {within}\n"));
    }
    text.push_str(&format!(
        "kakunin_feed_propagation_seconds_bucket{{le=\"+Inf\"}} {count}\n\
         kakunin_feed_propagation_seconds_sum {seconds}\n\
         kakunin_feed_propagation_seconds_count {count}\n"
    ));
}

/// The numbers of one feed.
struct Numbers {
    epoch: u64,
    streams: u64,
    lag: Lag,
}

impl Default for Numbers {
    fn default() -> Self {
        let lag = Lag { issuer: Digest::from_bytes([0; 32]), agents: 0, behind: 0, most: 0 };
        Self { epoch: 0, streams: 0, lag }
    }
}

impl Numbers {
    fn with(mut self, other: Self) -> Self {
        self.epoch = self.epoch.saturating_add(other.epoch);
        self.streams += other.streams;
        self.lag.agents += other.lag.agents;
        self.lag.behind += other.lag.behind;
        self.lag.most = self.lag.most.max(other.lag.most);
        self
    }
}

fn numbers(service: &Service) -> Vec<Numbers> {
    let feeds = service.feeds.numbers().feeds;
    let heads: Vec<_> = feeds.iter().map(|(issuer, epoch, _)| (*issuer, *epoch)).collect();
    let lags = service.acks.lags(&heads, Instant::now());
    let of = |((_, epoch, streams), lag): ((Digest, u64, usize), Lag)| Numbers {
        epoch,
        streams: streams as u64,
        lag,
    };
    feeds.into_iter().zip(lags).map(of).collect()
}

/// One number of each feed.
struct Series {
    name: &'static str,
    help: &'static str,
    value: fn(&Numbers) -> u64,
}

impl Series {
    fn begin(&self, text: &mut String) {
        let Self { name, help, .. } = self;
        text.push_str(&format!("# HELP kakunin_feed_{name} {help}\n# TYPE kakunin_feed_{name} gauge\n"));
    }
}

const SERIES: &[Series] = &[
    Series {
        name: "epoch",
        help: "The last change; in a sum, how many there were.",
        value: |feed| feed.epoch,
    },
    Series { name: "streams", help: "Streams that are open.", value: |feed| feed.streams },
    Series {
        name: "agents",
        help: "Agents in good standing that said within the hour how far they enforce the feed.",
        value: |feed| feed.lag.agents,
    },
    Series {
        name: "agents_behind",
        help: "Those of them that do not enforce its last change yet.",
        value: |feed| feed.lag.behind,
    },
    Series {
        name: "lag_epochs",
        help: "How many changes the last of them lacks.",
        value: |feed| feed.lag.most,
    },
];
const PROMETHEUS: &str = "text/plain; version=0.0.4";
