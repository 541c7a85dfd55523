//! The receiving side: who sends a request, and whether it may do what the request asks.
//!
//! A request comes as its method, its target and its fields as they were sent, and then with the whole content. What goes out is a
//! caller, a running action, or a refusal with everything that its answer is made of.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use kakunin_core::chain::{CallContext, ChainLink, TraceParent};
use kakunin_core::digest::Digest;
use kakunin_core::guard::{Guard, NotProven, ProofOfPossession};
use kakunin_core::possession::{PossessionError, Target};
use kakunin_core::scope::NAMES_FIELD;
use kakunin_core::time::UnixTime;
use kakunin_gateway::json::Said;
use kakunin_gateway::{
    Caller, FolderNonces, Gateway, GatewayOptions, Head, KEPT_SECONDS, Network, NonceError, NonceStore, Peer,
    ProxyField, Refused,
};
use napi::bindgen_prelude::Buffer;
use napi::{Env, Result};
use napi_derive::napi;

use crate::agent::{said, with_agent};
use crate::chain::{Place, Spot};
use crate::request::{NameValue, Values};
use crate::room::within;

/// A gateway, and what it hands to JavaScript where the service brings a store of used proofs.
#[derive(Clone)]
pub(crate) struct OpenGateway {
    gateway: Gateway,
    handed: Option<Arc<Handed>>,
}

/// Takes the mark of a proof that holds, for JavaScript to ask the store of the service about before it lets anybody in.
#[derive(Debug, Default)]
pub(crate) struct Handed(Mutex<Option<Mark>>);

#[derive(Debug)]
struct Mark {
    name: String,
    seconds: i64,
}

impl NonceStore for Handed {
    fn remember(
        &self,
        mark: &Digest,
        created: UnixTime,
        now: UnixTime,
    ) -> std::result::Result<(), NonceError> {
        let seconds = created.plus(KEPT_SECONDS).seconds() - now.seconds();
        let mut handed = self.0.lock().map_err(|_| NonceError::Unavailable("a mark was lost".to_owned()))?;
        *handed = Some(Mark { name: mark.to_hex(), seconds });
        Ok(())
    }
}

impl Handed {
    fn take(&self) -> Option<Mark> {
        self.0.lock().ok()?.take()
    }
}

/// How a gateway is opened.
#[napi(object)]
pub(crate) struct GatewaySettings {
    /// The authorities under which it is reached.
    pub names: Vec<String>,
    /// How many octets of content are read.
    pub max_body: Option<f64>,
    /// Whether client certificates of TLS connections to this process count.
    pub tls: Option<bool>,
    /// The addresses of proxies whose word on client certificates counts.
    pub proxies: Option<Vec<String>>,
    /// The one field that those proxies write.
    pub proxy_field: Option<String>,
    /// A folder of detached lists of names.
    pub lists: Option<String>,
    /// A folder of chains by serial number, for callers that prove nothing.
    pub serials: Option<String>,
    /// Whether the service brings a store of used proofs.
    pub shared: Option<bool>,
    /// A folder in which the processes of this host share used proofs.
    pub folder: Option<String>,
}

/// An answer that is no.
#[napi(object)]
pub(crate) struct Refusal {
    /// The HTTP status.
    pub status: u32,
    /// The stable code.
    pub code: String,
    /// The body of the answer.
    pub problem: String,
    /// Its fields, names and values in turn.
    pub fields: Vec<String>,
    /// What really happened, for the operator's log.
    pub cause: Option<String>,
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        let fields = refused.fields().into_iter();
        Self {
            status: refused.status().into(),
            code: refused.code().to_owned(),
            problem: refused.problem().to_owned(),
            fields: fields.flat_map(|(name, value)| [name.to_owned(), value]).collect(),
            cause: refused.cause().map(str::to_owned),
        }
    }
}

/// The head of a request that holds, or why it does not.
#[napi(object)]
pub(crate) struct HeadProven {
    /// Its handle, until its content has come.
    pub head: Option<f64>,
    /// What the store of the service has to know of a caller that was denied by its head.
    pub mark: Option<String>,
    /// For how many seconds.
    pub mark_seconds: Option<f64>,
    /// Why not.
    pub refusal: Option<Refusal>,
}

/// Who sent a request, or why nobody is believed to have.
#[napi(object)]
pub(crate) struct Identified {
    /// The caller's handle.
    pub caller: Option<f64>,
    /// Its agent's id.
    pub agent: Option<String>,
    /// Its certificate's serial number.
    pub certificate_serial: Option<String>,
    /// How it proved that it has the key.
    pub possession: Option<String>,
    /// What the store of the service has to know before anything else happens.
    pub mark: Option<String>,
    /// For how many seconds.
    pub mark_seconds: Option<f64>,
    /// Why not.
    pub refusal: Option<Refusal>,
}

/// An action that was let in, or why it was not.
#[napi(object)]
pub(crate) struct Admitted {
    /// The running action's handle.
    pub running: Option<f64>,
    /// Where in a decision chain its body is.
    pub place: Option<Place>,
    /// Why not.
    pub refusal: Option<Refusal>,
}

/// Opens a gateway on an agent of its own: its handle.
#[napi(catch_unwind)]
pub(crate) fn gateway_open(env: Env, agent: f64, settings: GatewaySettings) -> Result<f64> {
    let mut options = GatewayOptions::named(settings.names);
    if let Some(most) = settings.max_body {
        options.max_body = most as usize;
    }
    options.tls = settings.tls.unwrap_or(false);
    let proxies = settings.proxies.unwrap_or_default();
    let proxies: std::result::Result<Vec<Network>, _> = proxies.iter().map(|proxy| proxy.parse()).collect();
    options.proxies = proxies.map_err(said)?;
    options.proxy_field =
        settings.proxy_field.as_deref().map(str::parse::<ProxyField>).transpose().map_err(said)?;
    options.lists = settings.lists.map(Into::into);
    options.serials = settings.serials.map(Into::into);
    let guard = with_agent(&env, agent, |agent| Ok(agent.guard.clone()))?;
    let handed = settings.shared.unwrap_or(false).then(Arc::<Handed>::default);
    options.nonces = handed.clone().map(|handed| handed as Arc<dyn NonceStore>);
    if let Some(folder) = settings.folder {
        let shared = FolderNonces::open(&folder);
        let shared =
            shared.map_err(|error| said(format!("the folder of used proofs `{folder}`: {error}")))?;
        options.nonces = Some(Arc::new(shared));
    }
    let gateway = Gateway::open(guard, options).map_err(said)?;
    within(&env, |room| room.gateways.keep(OpenGateway { gateway, handed }))
}

/// How many octets of content a gateway reads.
#[napi(catch_unwind)]
pub(crate) fn gateway_max_body(env: Env, gateway: f64) -> Result<f64> {
    known(&env, gateway).map(|open| open.gateway.max_body() as f64)
}

/// What the fields of a request say of its content: `json`, `other` or `doubtful`.
#[napi(catch_unwind)]
pub(crate) fn json_said(fields: Vec<String>) -> &'static str {
    let octets: Vec<Cow<'_, [u8]>> = fields.iter().map(|text| latin1(text)).collect();
    let names = fields.iter().step_by(2).map(String::as_str);
    Said::of(names.zip(octets.iter().skip(1).step_by(2).map(AsRef::as_ref))).word()
}

/// Forgets a gateway that nobody holds any more.
#[napi(catch_unwind)]
pub(crate) fn release_gateway(env: Env, gateway: f64) -> Result<()> {
    within(&env, |room| {
        room.gateways.take(gateway);
        Ok(())
    })
}

/// Who sends a request, by its head alone; its content has yet to come. `fields` are names and values in turn, each line on its
/// own; `chain` is that of a TLS connection which ends in this process, `address` whoever is at the other end of the connection. An
/// agent that is held or revoked is denied `action` here, and its content is not to be read.
#[napi(catch_unwind)]
pub(crate) fn gateway_prove_head(
    env: Env,
    gateway: f64,
    action: String,
    method: String,
    authority: Option<String>,
    path: String,
    query: Option<String>,
    fields: Vec<String>,
    chain: Option<Vec<Buffer>>,
    address: Option<String>,
) -> Result<HeadProven> {
    let OpenGateway { gateway, handed } = known(&env, gateway)?;
    // Node reads a field's octets as Latin-1.
    let octets: Vec<Cow<'_, [u8]>> = fields.iter().map(|text| latin1(text)).collect();
    let names = fields.iter().step_by(2).map(String::as_str);
    let pairs: Vec<(&str, &[u8])> = names.zip(octets.iter().skip(1).step_by(2).map(AsRef::as_ref)).collect();
    let links: Vec<&[u8]> = chain.iter().flatten().map(AsRef::as_ref).collect();
    let named =
        address.and_then(|address| address.parse::<IpAddr>().ok()).map(|address| gateway.peer_at(address));
    let peer = match named {
        Some(Peer::Proxy) => Peer::Proxy,
        _ if links.is_empty() => Peer::None,
        _ => Peer::Tls { chain: &links },
    };
    let head = Head::new(&method, &path).authority(authority.as_deref()).query(query.as_deref());
    let proven = gateway
        .prove_head(&head.fields(&pairs).peer(peer))
        .and_then(|proven| proven.refuse_unless_good(&action).map(|()| proven));
    match proven {
        Ok(proven) => {
            Ok(HeadProven { head: Some(within(&env, |room| room.heads.keep(proven))?), ..HeadProven::none() })
        }
        Err(refused) => {
            let mark = handed.as_deref().and_then(Handed::take);
            let mark_seconds = mark.as_ref().map(|mark| mark.seconds as f64);
            let (mark, refusal) = (mark.map(|mark| mark.name), Some(refused.into()));
            Ok(HeadProven { head: None, mark, mark_seconds, refusal })
        }
    }
}

/// Who sends a request whose head was proven, by its whole content. The head counts for one content.
#[napi(catch_unwind)]
pub(crate) fn gateway_identify(env: Env, gateway: f64, head: f64, body: Buffer) -> Result<Identified> {
    let handed = known(&env, gateway)?.handed;
    let proven = within(&env, |room| {
        room.heads.take(head).ok_or_else(|| said("no such head of a request in this thread"))
    })?;
    match proven.identify(&body) {
        Ok(caller) => Identified::of(&env, caller, handed.as_deref()),
        Err(refused) => Ok(Identified {
            caller: None,
            agent: None,
            certificate_serial: None,
            possession: None,
            mark: None,
            mark_seconds: None,
            refusal: Some(refused.into()),
        }),
    }
}

/// Forgets a head whose content never came.
#[napi(catch_unwind)]
pub(crate) fn release_head(env: Env, head: f64) -> Result<()> {
    within(&env, |room| {
        room.heads.take(head);
        Ok(())
    })
}

impl HeadProven {
    const fn none() -> Self {
        Self { head: None, mark: None, mark_seconds: None, refusal: None }
    }
}

impl Identified {
    fn of(env: &Env, caller: Caller, handed: Option<&Handed>) -> Result<Self> {
        let mark = handed.and_then(Handed::take);
        if handed.is_some() && mark.is_none() && caller.possession() == ProofOfPossession::Signature {
            return Err(said("the mark of a proof was lost"));
        }
        let mark_seconds = mark.as_ref().map(|mark| mark.seconds as f64);
        let possession = match caller.possession() {
            ProofOfPossession::Signature => "signature",
            ProofOfPossession::Tls => "tls",
            ProofOfPossession::Proxy => "proxy",
            _ => "none",
        };
        let (agent, serial) = (caller.agent().to_string(), caller.certificate_serial().to_string());
        Ok(Self {
            caller: Some(within(env, |room| room.callers.keep(caller))?),
            agent: Some(agent),
            certificate_serial: Some(serial),
            possession: Some(possession.to_owned()),
            mark: mark.map(|mark| mark.name),
            mark_seconds,
            refusal: None,
        })
    }
}

/// Decides about an action of a caller, and begins it.
#[napi(catch_unwind)]
pub(crate) fn caller_admit(
    env: Env,
    caller: f64,
    action: String,
    literal: Option<String>,
    shape: u32,
    number: f64,
    amount: Option<String>,
    currency: Option<String>,
    counterparty: NameValue,
    resource: NameValue,
) -> Result<Admitted> {
    let caller = within(&env, |room| {
        let caller = room.callers.get(caller).cloned();
        caller.ok_or_else(|| said("no such caller in this thread"))
    })?;
    let values = Values { shape, number, amount, currency, counterparty, resource };
    // Of a caller that is in no chain, one begins here: what its handler calls belongs together.
    let begin = || Guard::new_chain().ok_or_else(|| said("the system gives no randomness"));
    let chain = caller.link().map_or_else(begin, |link| Ok(link.chain()))?;
    let parents: Vec<_> = caller.link().map(ChainLink::from).into_iter().collect();
    let trace = caller.trace().map(TraceParent::as_str);
    let context = CallContext { chain: Some(chain), parents: &parents, trace };
    let begun = values.request(&action, literal.as_deref(), |request| {
        caller.admit_in(request, &context).and_then(|pass| pass.begin().map_err(Refused::from))
    });
    let running = match begun {
        Ok(running) => running,
        Err(refused) => return Ok(Admitted { running: None, place: None, refusal: Some(refused.into()) }),
    };
    let place = running.link().map(|link| match caller.trace() {
        Some(trace) => Place::from(link.with_trace(trace.clone())),
        None => Place::from(link),
    });
    within(&env, |room| {
        if room.running.is_full() {
            running.not_executed();
            return Err(said("too many guarded calls are running at a time"));
        }
        Ok(Admitted { running: Some(room.running.keep(running)?), place, refusal: None })
    })
}

/// Forgets a caller whose request was answered.
#[napi(catch_unwind)]
pub(crate) fn release_caller(env: Env, caller: f64) -> Result<()> {
    within(&env, |room| {
        room.callers.take(caller);
        Ok(())
    })
}

/// A refusal for which no proof was looked at: the content is `over` the limit, the store of the
/// service says that the proof was `replayed`, the service is `misconfigured`, or something failed.
#[napi(catch_unwind)]
pub(crate) fn gateway_refuse(env: Env, gateway: f64, kind: String, detail: String) -> Result<Refusal> {
    Ok(match kind.as_str() {
        "over" => Refused::too_large(known(&env, gateway)?.gateway.max_body()).into(),
        "replayed" => Refused::from(PossessionError::Replayed).into(),
        "misconfigured" => Refused::misconfigured(detail).into(),
        _ => Refused::internal(detail).into(),
    })
}

/// What goes with a request, or why it should not go.
#[napi(object)]
pub(crate) struct Proven {
    /// Fields, names and values in turn.
    pub fields: Vec<String>,
    /// The stable code of what is wrong.
    pub code: Option<String>,
    /// What is wrong.
    pub message: Option<String>,
}

/// Proves for one request that an agent sends it; with a place, the proof says what it follows from.
#[napi(catch_unwind)]
pub(crate) fn prove(
    env: Env,
    agent: f64,
    method: String,
    authority: String,
    path: String,
    query: Option<String>,
    content: Buffer,
    place: Option<Place>,
) -> Result<Proven> {
    let link: Option<ChainLink> = place.as_ref().map(Spot::read).transpose()?.and_then(|spot| spot.link());
    let guard = with_agent(&env, agent, |agent| Ok(agent.guard.clone()))?;
    let target = Target { method: &method, authority: &authority, path: &path, query: query.as_deref() };
    Ok(match guard.prove(&target, &content, link.as_ref()) {
        Ok(proof) => {
            let fields = proof.fields().flat_map(|(name, value)| [name.to_owned(), value.to_owned()]);
            Proven { fields: fields.collect(), code: None, message: None }
        }
        Err(error) => Proven::refused(&error),
    })
}

/// The field that proves names of a request to be in detached lists of the agent's certificate, or not to be: no field if no such list
/// has a say in it.
#[napi(catch_unwind)]
pub(crate) fn prove_names(
    env: Env,
    agent: f64,
    action: String,
    counterparties: Vec<String>,
    resources: Vec<String>,
) -> Result<Proven> {
    let guard = with_agent(&env, agent, |agent| Ok(agent.guard.clone()))?;
    let parties: Vec<&str> = counterparties.iter().map(String::as_str).collect();
    let things: Vec<&str> = resources.iter().map(String::as_str).collect();
    Ok(match guard.prove_names(&action, &parties, &things) {
        Ok(value) => Proven {
            fields: value.map(|value| vec![NAMES_FIELD.to_owned(), value]).unwrap_or_default(),
            code: None,
            message: None,
        },
        Err(error) => Proven::refused(&error),
    })
}

impl Proven {
    fn refused(error: &NotProven) -> Self {
        Self { fields: Vec::new(), code: Some(error.code().to_owned()), message: Some(error.to_string()) }
    }
}

fn known(env: &Env, gateway: f64) -> Result<OpenGateway> {
    within(env, |room| {
        let gateway = room.gateways.get(gateway).cloned();
        gateway.ok_or_else(|| said("no such gateway in this thread"))
    })
}

/// A letter beyond Latin-1 comes from no server; as the octets of its UTF-8 it is nothing that was signed.
fn latin1(text: &str) -> Cow<'_, [u8]> {
    // Most fields are ASCII, and a chain is some thousand octets of it.
    if text.is_ascii() {
        return Cow::Borrowed(text.as_bytes());
    }
    let octets: Option<Vec<u8>> = text.chars().map(|letter| u8::try_from(letter).ok()).collect();
    octets.map_or(Cow::Borrowed(text.as_bytes()), Cow::Owned)
}
