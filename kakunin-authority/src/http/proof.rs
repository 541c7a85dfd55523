//! An agent that asks in its own name: its proof, and how its certificate stands by the records.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::OriginalUri;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use kakunin_core::certificate::{AgentCertificate, TrustAnchors};
use kakunin_core::id::AgentId;
use kakunin_core::possession::{Nonces, PossessionError, Presented, SignedHead, Target};
use kakunin_core::reason::DenialReason;
use kakunin_core::time::UnixTime;
use tokio::sync::Semaphore;

use super::access::Open;
use super::error::Refusal;
use super::peer::Origin;
use super::service::Service;
use super::shares::Shares;
use crate::access::TenantId;
use crate::authority::{Authority, AuthorityError, BACKDATE};
use crate::standing::Standing;
use crate::store::{CertificateRecord, Store, StoreError};

/// What proofs are judged by.
pub(crate) struct Proofs {
    anchors: TrustAnchors,
    /// The names by which the service goes.
    names: Vec<String>,
    nonces: Mutex<Nonces>,
    /// Added to when a certificate was issued: one issued in the second of the start counts as issued after it, or not.
    same_second: i64,
    /// Bodies that are being read to judge their proofs: each is memory that its sender has not paid for yet.
    bodies: Semaphore,
    /// Whose they are: until a proof is whole its head may be a copy that somebody else sends.
    senders: Shares<Sender>,
}

/// Whose share of the bodies is taken.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Sender {
    Agent(AgentId),
    From(Origin),
}

impl Sender {
    /// The shares that a body takes a place in, and how many places each has.
    fn shares(agent: AgentId, origin: Option<Origin>) -> impl Iterator<Item = (Self, usize)> {
        let networks = origin.into_iter().flat_map(Origin::networks);
        let from = networks
            .map(|(network, times)| (Self::From(network), (FROM_ONE * times as usize).min(BODIES / 2)));
        from.chain([(Self::Agent(agent), OF_ONE)])
    }
}

impl Proofs {
    /// Begins to judge at `now`; `named` are names of the service beside those of the address it listens at.
    ///
    /// # Errors
    /// [`AuthorityError`] when the records cannot be read.
    pub(crate) fn new(
        authority: &Authority<'_>,
        address: SocketAddr,
        named: &[String],
        now: UnixTime,
    ) -> Result<Self, AuthorityError> {
        let root = authority.root().decoded().der();
        let anchors = TrustAnchors::new([root]).map_err(|_| AuthorityError::NoIssuer)?;
        let nonces = Mutex::new(Nonces::new(now, ROOM));
        // What was issued in this very second may have been used before this start, unless nothing was.
        let same_second = if authority.issued_at(now)? { 0 } else { 1 };
        Ok(Self {
            anchors,
            names: names(address, named),
            nonces,
            same_second,
            bodies: Semaphore::new(BODIES),
            senders: Shares::default(),
        })
    }
}

/// An agent that proved that it has the key of a certificate in good standing, or of one that is not where a route is open
/// to those ([`Open::admits_stopped`]).
#[derive(Clone, Debug)]
pub(crate) struct Proven {
    tenant: TenantId,
    agent: [AgentId; 1],
    certificate: AgentCertificate,
    /// Whether the route is open to an agent that was stopped.
    as_sender: bool,
}

impl Proven {
    pub(crate) const fn agent(&self) -> AgentId {
        let [agent] = self.agent;
        agent
    }

    /// The one agent it may ask about: itself.
    pub(crate) const fn only(&self) -> &[AgentId] {
        &self.agent
    }

    pub(crate) const fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// By which it proved itself.
    pub(crate) const fn certificate(&self) -> &AgentCertificate {
        &self.certificate
    }

    /// How its certificate stands by now.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    pub(crate) fn standing(&self, store: &dyn Store) -> Result<Standing, StoreError> {
        let record = store.certificate(self.certificate.decoded().serial())?;
        Ok(record.map_or(Standing::Revoked, |record| record.standing))
    }
}

/// A head that the agent of a certificate signed whose standing suffices for the route.
pub(crate) struct Head {
    signed: SignedHead,
    record: CertificateRecord,
    as_sender: bool,
}

impl Head {
    pub(crate) const fn agent(&self) -> AgentId {
        self.record.agent
    }
}

/// Whether a request comes with a proof, good or not.
pub(crate) fn is_there(headers: &HeaderMap) -> bool {
    ["signature", "signature-input", "kakunin-certificate-chain"]
        .iter()
        .any(|name| headers.contains_key(*name))
}

/// Judges what is known before the body is read: signature, path, standing.
///
/// # Errors
/// [`Refusal`] with the code of what is wrong.
pub(crate) async fn head(service: &Arc<Service>, request: &Parts, open: Open) -> Result<Head, Refusal> {
    let fields = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let presented = Presented::find(fields).map_err(refusal)?.ok_or_else(missing)?;
    let uri = request.extensions.get::<OriginalUri>().map_or(&request.uri, |uri| &uri.0);
    let target = Target {
        method: request.method.as_str(),
        // In HTTP/2, and in a request to a proxy, the authority is part of the URI and `host` does not count.
        authority: uri.authority().map_or_else(|| host(&request.headers), |authority| authority.as_str()),
        path: uri.path(),
        query: uri.query(),
    };
    let Proofs { anchors, names, .. } = &service.proofs;
    let signed = presented.verify(&target, names, anchors, (service.clock)()).map_err(refusal)?;
    let certificate = signed.path().agent().decoded();
    let (serial, der) = (certificate.serial(), certificate.der().to_vec());
    let found = service.readers.read(move |store| {
        let Some(record) = store.certificate(serial)? else { return Ok(None) };
        let mut issuers = store.issuers()?.into_iter();
        let by = issuers.find(|issuer| issuer.id == record.issuer);
        // Whose agent it is, its issuing authority has to be, too.
        let Some(by) = by.filter(|by| by.tenant.as_ref() == Some(&record.tenant)) else { return Ok(None) };
        Ok(Some((record, by.revoked.is_none())))
    });
    // Whoever has an authority under our root, or an older copy of ours, issues nothing that is in the records.
    let ours = found.await?.filter(|(record, _)| record.der.as_deref() == Some(der.as_slice()));
    let (record, stands) = ours.ok_or_else(|| denied(DenialReason::CertificateUntrusted))?;
    let as_sender = open.admits_stopped();
    match (record.standing, stands) {
        // What it sends is judged by the time it was made and by nothing that it may do now.
        _ if as_sender => Ok(Head { signed, record, as_sender }),
        (Standing::Good, true) => Ok(Head { signed, record, as_sender }),
        (Standing::Held, true) => Err(denied(DenialReason::CertificateHeld)),
        _ => Err(denied(DenialReason::CertificateRevoked)),
    }
}

/// Whether the certificate of an agent that proved itself is in good standing still, where it has to be.
///
/// # Errors
/// [`Refusal`] when it was held or revoked since.
pub(crate) fn still_stands(proven: &Proven, store: &dyn Store) -> Result<(), Refusal> {
    match proven.standing(store)? {
        _ if proven.as_sender => Ok(()),
        Standing::Good => Ok(()),
        Standing::Held => Err(denied(DenialReason::CertificateHeld)),
        Standing::Revoked => Err(denied(DenialReason::CertificateRevoked)),
    }
}

/// Reads the body, and takes the proof if it is one for it and was never used. Gives the body back as it was.
///
/// # Errors
/// [`Refusal`] with the code of what is wrong.
pub(crate) async fn whole(
    service: &Service,
    head: Head,
    origin: Option<Origin>,
    body: Body,
    most: usize,
) -> Result<(Proven, Body), Refusal> {
    let share = service.proofs.senders.take(Sender::shares(head.agent(), origin));
    let share = share.ok_or_else(|| {
        let text =
            "too many bodies of this agent, or from this address, are on their way; send one after the other";
        Refusal { retry_after: Some(1), ..Refusal::new(StatusCode::TOO_MANY_REQUESTS, "rate", text) }
    })?;
    let place = service.proofs.bodies.try_acquire();
    let place =
        place.map_err(|_| Refusal::unavailable("busy", "too many bodies are on their way; try again"))?;
    let read = tokio::time::timeout(SENDING, to_bytes(body, most)).await;
    let slow = || Refusal::new(StatusCode::REQUEST_TIMEOUT, "request.slow", "the body did not come in time");
    let body = read.map_err(|_| slow())?.map_err(|_| {
        let text = format!("the body has more than {most} octets, or did not come to its end");
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "request.too_large", text)
    })?;
    drop((place, share));
    let Head { signed, record, as_sender } = head;
    let signed = signed.covers(&body).map_err(refusal)?;
    // Nobody signs a certificate before its time: it was issued when its validity began, plus what it is set back.
    let issued = record.validity.not_before.plus(BACKDATE + service.proofs.same_second);
    let now = (service.clock)();
    let possession = {
        // A set that a panic left half changed would admit what came before; it is only ever one insertion.
        let mut nonces = service.proofs.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        nonces.admit(signed, Some(issued), now).map_err(refusal)?
    };
    let certificate = possession.path().agent().clone();
    let proven = Proven { tenant: record.tenant, agent: [record.agent], certificate, as_sender };
    Ok((proven, Body::from(body)))
}

/// The one `host` of a request.
fn host(headers: &HeaderMap) -> &str {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().unwrap_or_default(),
        _ => "",
    }
}

/// By which names a service at `address` goes: those it was given and, as far as it can be reached there, those of this machine.
fn names(address: SocketAddr, named: &[String]) -> Vec<String> {
    let port = address.port();
    let own = match address.ip() {
        ip if ip.is_loopback() => vec![address.to_string(), format!("localhost:{port}")],
        ip if ip.is_unspecified() => Vec::new(),
        _ => vec![address.to_string()],
    };
    own.into_iter().chain(named.iter().map(|name| name.to_ascii_lowercase())).collect()
}

fn refusal(error: PossessionError) -> Refusal {
    let text = match error {
        PossessionError::Authority => {
            format!("{error}; the operator says its names with `kakunin serve --name`")
        }
        _ => error.to_string(),
    };
    let wait = match error {
        PossessionError::Starting { wait } => wait,
        PossessionError::Full => 60,
        _ => {
            return Refusal {
                challenge: Some(CHALLENGE),
                ..Refusal::new(StatusCode::UNAUTHORIZED, error.code(), text)
            };
        }
    };
    let refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error.code(), text);
    Refusal { retry_after: Some(wait.into()), ..refusal }
}

fn denied(reason: DenialReason) -> Refusal {
    let text = format!("{}; {}", reason.what(), reason.fix());
    Refusal { challenge: Some(CHALLENGE), ..Refusal::new(StatusCode::UNAUTHORIZED, reason.code(), text) }
}

fn missing() -> Refusal {
    let text = "no proof; the agent signs the request with the key of its certificate (docs/wire.md 6)";
    Refusal { challenge: Some(CHALLENGE), ..Refusal::new(StatusCode::UNAUTHORIZED, "access.proof", text) }
}

const BODIES: usize = 256;
/// An agent sends its receipts one body after the other, and asks for something beside that.
const OF_ONE: usize = 8;
/// A house behind one address has many agents; it and the networks around it leave half of all places to others.
const FROM_ONE: usize = 64;
const SENDING: Duration = Duration::from_secs(15);
const CHALLENGE: HeaderValue = HeaderValue::from_static("Signature");
/// In 90 s, of which one agent at its rate takes 10,000; each takes about 40 octets.
const ROOM: usize = 500_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_goes_by_the_names_it_can_be_reached_by() {
        let of = |address: &str, named: &[String]| names(address.parse().unwrap(), named);
        assert_eq!(of("127.0.0.1:8080", &[]), ["127.0.0.1:8080", "localhost:8080"]);
        assert_eq!(of("[::1]:8080", &[]), ["[::1]:8080", "localhost:8080"]);
        assert_eq!(of("192.0.2.1:8080", &[]), ["192.0.2.1:8080"]);
        assert_eq!(of("0.0.0.0:8080", &[]), [""; 0]);
        assert_eq!(of("0.0.0.0:8080", &["Kakunin.Example.com".into()]), ["kakunin.example.com"]);
    }
    #[test]
    fn one_agent_takes_a_part_of_the_places_and_so_does_one_address() {
        let senders = Shares::default();
        let agent = |number: u8| AgentId::from_random([number; 16]);
        let from = |last: u8| Some(Origin::of([203, 0, 113, last].into()));
        let take = |number, origin| senders.take(Sender::shares(agent(number), origin));
        let of_one: Vec<_> = (0..=u8::MAX).filter_map(|last| take(1, from(last))).collect();
        assert_eq!(of_one.len(), OF_ONE, "from whatever addresses");
        let from_one: Vec<_> = (2..=u8::MAX).filter_map(|number| take(number, from(250))).collect();
        assert_eq!(from_one.len(), FROM_ONE, "whoever it is said to be");
        assert!(take(255, from(251)).is_some() && take(255, None).is_some());
        const { assert!(OF_ONE + FROM_ONE < BODIES) };
        drop((of_one, from_one));
        assert!(senders.are_free());
    }
}
