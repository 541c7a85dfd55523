//! A node that waits for its turn: it says that it lives, and who leads, and does nothing else.
//!
//! Its doors are the ones that it will serve behind, so whoever finds it in a list of addresses finds it at once when
//! it leads. Nothing of the authority is open here yet.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::answer::{json_text, typed};
use super::door::{Connections, Counts, Door, Each};
use super::error::Refusal;
use super::server::{CONNECTIONS_EACH, ServeError, ServeOptions, Server, connections};
use super::wire::{request_id, seal};

/// Whose turn it is to lead.
#[derive(Debug)]
pub enum Turn<T> {
    /// This node's, with what it leads by.
    Mine(T),
    /// Another one's, or nobody's yet.
    Others {
        /// Where the leader answers, if that is known.
        leader: Option<String>,
        /// What this node lacks to lead, if it lacks something.
        lacks: Option<String>,
    },
}

/// What a node that stands by tells of itself.
#[derive(Clone, Default, PartialEq, Eq)]
struct Seen {
    leader: Option<String>,
    lacks: Option<String>,
}

impl Server {
    /// Answers as a node that stands by, asking `look` several times a second, until it is this node's turn. `None`
    /// when it was told to end before.
    ///
    /// # Errors
    /// [`ServeError`] when the runtime or a door fails.
    pub fn stand_by<T>(
        &mut self,
        options: &ServeOptions,
        mut look: impl FnMut() -> Turn<T>,
    ) -> Result<Option<T>, ServeError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .thread_name("kakunin-standby")
            .build()
            .map_err(ServeError::Runtime)?;
        let (seen, closing) = (Arc::new(watch::Sender::new(Seen::default())), watch::Sender::new(false));
        let stop = self.stop.clone();
        // It stays when the turn comes: a signal in between must not be lost.
        runtime.spawn(async move {
            let (Ok(mut terminate), Ok(mut interrupt)) =
                (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
            else {
                return stop.send_replace(true);
            };
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            stop.send_replace(true)
        });
        let mut doors = Vec::new();
        let room = connections(self.listeners.len());
        for (plane, listener) in &self.listeners {
            let door = Door {
                plane: *plane,
                tls: self.tls.clone(),
                proxies: Arc::new(options.strangers.proxies.clone()),
                places: Connections::new(room, Each::Others(CONNECTIONS_EACH)),
                counts: Arc::<Counts>::default(),
            };
            let listener = listener.try_clone().map_err(ServeError::Runtime)?;
            let app = Router::new().fallback(answer).with_state(Arc::clone(&seen));
            doors.push(runtime.spawn(Arc::new(door).keep(listener, app, closing.subscribe())));
        }
        let turn = loop {
            if *self.stop.borrow() {
                break None;
            }
            match look() {
                Turn::Mine(lead) => break Some(lead),
                Turn::Others { leader, lacks } => {
                    let news = Seen { leader, lacks };
                    if seen.send_if_modified(|known| std::mem::replace(known, news.clone()) != news) {
                        let line = json!({
                            "at": (options.clock)().to_string(),
                            "event": "standby",
                            "leader": news.leader,
                            "lacks": news.lacks,
                        });
                        (options.log)(&line.to_string());
                    }
                    thread::sleep(LOOK);
                }
            }
        };
        closing.send_replace(true);
        // Whoever does not let go of a connection to a node that stands by loses it.
        let closed = async {
            for door in doors {
                let _ = door.await;
            }
        };
        let _ = runtime.block_on(async { tokio::time::timeout(GRACE, closed).await });
        self.waiting = Some(runtime);
        Ok(turn)
    }
}

async fn answer(State(seen): State<Arc<watch::Sender<Seen>>>, request: Request) -> Response {
    let seen = seen.borrow().clone();
    let Ok(id) = request_id() else { return json_text(StatusCode::INTERNAL_SERVER_ERROR, String::new()) };
    let mut response = match request.uri().path() {
        "/health" => json_text(StatusCode::OK, json!({ "status": "ok" }).to_string()),
        "/ready" => {
            let mut lacks = vec!["this node stands by; another one leads".to_owned()];
            lacks.extend(seen.lacks);
            let body = json!({ "status": "not ready", "lacks": lacks, "leader": seen.leader });
            json_text(StatusCode::SERVICE_UNAVAILABLE, body.to_string())
        }
        "/metrics" => {
            let text = "# HELP kakunin_leads Whether this node leads.\n# TYPE kakunin_leads gauge\nkakunin_leads 0\n";
            typed(StatusCode::OK, "text/plain; version=0.0.4", text.to_owned())
        }
        _ => {
            let text = match &seen.leader {
                Some(url) => format!("this node stands by; {url} leads"),
                None => "this node stands by".to_owned(),
            };
            let refusal = Refusal::unavailable("authority.standby", &text);
            let mut body = json!({ "error": refusal.text, "code": refusal.code, "request_id": id });
            if let (Some(members), Some(url)) = (body.as_object_mut(), seen.leader) {
                members.insert("leader".into(), url.into());
            }
            let mut response = json_text(refusal.status, body.to_string());
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            response
        }
    };
    seal(&mut response, &id);
    response
}

/// A takeover takes four of these, as a rule, and half a second on top.
const LOOK: Duration = Duration::from_millis(200);
const GRACE: Duration = Duration::from_millis(500);
