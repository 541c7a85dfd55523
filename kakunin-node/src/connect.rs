//! The line to an authority: how to connect comes in, an open agent with its client goes out, or why there is none.
//!
//! Connecting waits on a thread of its own, never on the one of the event loop and on none of those that Node keeps for files and
//! names. The client's thread never asks for JavaScript: alarms wait until they are taken.

use std::path::PathBuf;
use std::time::Duration;

use kakunin_client::{Client, ConnectError, ConnectOptions, Token};
use kakunin_core::digest::Digest;
use kakunin_core::guard::{Guard, GuardOptions};
use kakunin_core::time::UnixTime;
use napi::bindgen_prelude::Object;
use napi::{Env, Result};
use napi_derive::napi;

use crate::agent::{OpenAgent, OpenOptions, said, with_agent};
use crate::room::within;

/// Whom to connect, to what.
#[napi(object)]
pub(crate) struct LineOptions {
    /// The authority's addresses, tried in turn.
    pub urls: Vec<String>,
    /// The agent's id or name there.
    pub agent: String,
    /// What enrols it, once.
    pub token: Option<String>,
    /// Where its papers are.
    pub directory: String,
    /// Where its state is: a path, or `memory`.
    pub state: Option<String>,
    /// The PEM certificates that HTTPS is checked against.
    pub ca_file: Option<String>,
    /// SHA-256 of the root's DER, in hexadecimal.
    pub root: Option<String>,
    /// SHA-256 of the issuing authority's key, in hexadecimal.
    pub issuer: Option<String>,
    /// For how many seconds a signed word counts.
    pub max_age: Option<u32>,
    /// Whether lists without a feed will do.
    pub without_feed: bool,
    /// How many milliseconds it waits for the authority.
    pub timeout_millis: u32,
}

/// An agent that is connected, or why it is not.
#[napi(object)]
pub(crate) struct Connection {
    /// The agent's handle.
    pub agent: Option<f64>,
    /// The stable code of what is wrong.
    pub code: Option<String>,
    /// What is wrong.
    pub message: Option<String>,
    /// What an operator can do about it.
    pub fix: Option<String>,
}

impl Connection {
    fn refused(error: &ConnectError) -> Self {
        Self::without(error.code(), error.to_string(), error.fix())
    }

    fn without(code: &str, message: String, fix: &str) -> Self {
        Self { agent: None, code: Some(code.to_owned()), message: Some(message), fix: Some(fix.to_owned()) }
    }
}

/// Connects an agent and opens it: a promise of a [`Connection`].
#[napi(catch_unwind, ts_return_type = "Promise<Connection>")]
pub(crate) fn connect(env: &Env, line: LineOptions, options: OpenOptions) -> Result<Object<'_>> {
    let guarding = within(env, |room| options.read(room))?;
    let connecting = line.read();
    let (deferred, promise) = env.create_deferred()?;
    let connected = move || match connecting {
        Ok(connecting) => open(connecting, guarding),
        Err(error) => Err(Connection::refused(&error)),
    };
    let waiting = std::thread::Builder::new().name("kakunin-connect".to_owned());
    let begun = waiting.spawn(move || {
        let connected = connected();
        deferred.resolve(move |env| match connected {
            // Of an environment that has ended meanwhile this is dropped, and with it the agent.
            Ok(opened) => Ok(Connection {
                agent: Some(within(&env, |room| room.agents.keep(opened))?),
                code: None,
                message: None,
                fix: None,
            }),
            Err(refused) => Ok(refused),
        });
    });
    begun.map_err(|error| said(format!("the thread that connects could not be started: {error}")))?;
    Ok(promise)
}

fn open(connecting: ConnectOptions, guarding: GuardOptions) -> std::result::Result<OpenAgent, Connection> {
    let client = Client::connect(connecting).map_err(|error| Connection::refused(&error))?;
    let guard: Guard = client.guard_with(guarding).map_err(|error| {
        Connection::without("connect.agent", error.to_string(), "put the agent's directory in order")
    })?;
    Ok(OpenAgent { guard, memory: None, client: Some(client) })
}

impl LineOptions {
    fn read(self) -> std::result::Result<ConnectOptions, ConnectError> {
        let mut options = ConnectOptions::new(self.agent);
        options.urls = self.urls;
        options.token = self.token.as_deref().map(Token::parse).transpose()?;
        options.directory = Some(self.directory.into());
        // Nowhere is no place: the guard alone is told.
        options.state = self.state.filter(|state| state != "memory").map(PathBuf::from);
        options.ca_file = self.ca_file.map(PathBuf::from);
        options.root = digest("root", self.root.as_deref())?;
        options.issuer = digest("issuer", self.issuer.as_deref())?;
        options.max_age = self.max_age;
        options.without_feed = self.without_feed;
        options.timeout = Duration::from_millis(self.timeout_millis.into());
        Ok(options)
    }
}

fn digest(name: &str, text: Option<&str>) -> std::result::Result<Option<Digest>, ConnectError> {
    let none = || ConnectError::Usage(format!("`{name}` is no SHA-256 in lower-case hexadecimal"));
    text.map(|text| Digest::from_hex(text).ok_or_else(none)).transpose()
}

/// How a connected agent is doing: spans in seconds, times in Unix seconds.
#[napi(object)]
pub(crate) struct LineStatus {
    /// Whose line it is.
    pub agent_id: String,
    /// The address it is connected to.
    pub url: Option<String>,
    /// How the feed is carried.
    pub transport: Option<String>,
    /// How far the feed is known.
    pub epoch: Option<f64>,
    /// Since when nothing new is known.
    pub age: Option<f64>,
    /// For how long the last word still counts.
    pub fresh_for: Option<f64>,
    /// For how long a word counts.
    pub max_age: Option<f64>,
    /// When the certificate ends.
    pub certificate_until: Option<f64>,
    /// When the list that ends first has to be replaced.
    pub lists_until: Option<f64>,
    /// What went wrong last.
    pub last_error: Option<LineTrouble>,
    /// Receipts that the authority has not acknowledged.
    pub uploads_behind: f64,
    /// Checkpoints that it has not answered.
    pub checkpoints_behind: f64,
    /// The last change of which the authority knows that it is enforced here.
    pub acknowledged: Option<f64>,
    /// How often that could not be said.
    pub acknowledgements_failed: f64,
    /// How often lists were loaded.
    pub snapshots: f64,
    /// How often a feed was connected to.
    pub connections: f64,
}

/// Something that did not work, and is tried again.
#[napi(object)]
pub(crate) struct LineTrouble {
    /// When, in Unix seconds.
    pub at: f64,
    /// The stable code.
    pub code: String,
    /// What happened, for operators.
    pub text: String,
}

/// How a connected agent is doing; nothing for one that was opened in another way.
#[napi(catch_unwind)]
pub(crate) fn connection_status(env: Env, agent: f64) -> Result<Option<LineStatus>> {
    let client = with_agent(&env, agent, |agent| Ok(agent.client.clone()))?;
    let Some(status) = client.map(|client| client.status()) else { return Ok(None) };
    let seconds = |span: Option<Duration>| span.map(|span| span.as_secs_f64());
    let time = |at: Option<UnixTime>| at.map(|at| at.seconds() as f64);
    let trouble = status.last_error.map(|trouble| LineTrouble {
        at: trouble.at.seconds() as f64,
        code: trouble.code,
        text: trouble.text,
    });
    Ok(Some(LineStatus {
        agent_id: status.agent.to_string(),
        url: status.url,
        transport: status.transport.map(|transport| transport.word().to_owned()),
        epoch: status.epoch.map(|epoch| epoch as f64),
        age: seconds(status.age),
        fresh_for: seconds(status.fresh_for),
        max_age: seconds(status.max_age),
        certificate_until: time(status.certificate_until),
        lists_until: time(status.lists_until),
        last_error: trouble,
        uploads_behind: status.uploads_behind as f64,
        checkpoints_behind: status.checkpoints_behind as f64,
        acknowledged: status.acknowledged.map(|epoch| epoch as f64),
        acknowledgements_failed: status.acknowledgements_failed as f64,
        snapshots: status.snapshots as f64,
        connections: status.connections as f64,
    }))
}

/// The alarms since the last call, codes and texts in turn.
#[napi(catch_unwind)]
pub(crate) fn take_alarms(env: Env, agent: f64) -> Result<Vec<String>> {
    let client = with_agent(&env, agent, |agent| Ok(agent.client.clone()))?;
    let alarms = client.map(|client| client.take_alarms()).unwrap_or_default();
    Ok(alarms.into_iter().flat_map(|alarm| [alarm.kind.code().to_owned(), alarm.text]).collect())
}
