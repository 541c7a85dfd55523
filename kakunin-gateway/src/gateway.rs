//! The gateway: from a request to a caller.
//!
//! The order is the argument. What costs nothing is looked at first; then the chain and the signature, for which the head is enough;
//! then the body; and only what holds in all of it is remembered as used. Whatever fails inside is a refusal.

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};
use kakunin_core::certificate::{AgentCertificate, AgentPath, TrustAnchors};
use kakunin_core::chain::CallContext;
use kakunin_core::digest::Digest;
use kakunin_core::guard::{Guard, JudgeError, Judged, Leashed, Pass, ProofOfPossession};
use kakunin_core::possession::{PossessionError, Presented, SignedHead, Target};
use kakunin_core::receipt::Mode;
use kakunin_core::request::ActionRequest;
use kakunin_core::revocation::Standing;
use kakunin_core::snapshot::Snapshot;
use kakunin_core::time::UnixTime;

use crate::caller::Caller;
use crate::head::{Head, Peer};
use crate::known::{AsSent, ChainKey, KnownChains};
use crate::names::NameFolder;
use crate::networks::Network;
use crate::nonces::{KEPT_SECONDS, MemoryNonces, NonceStore};
use crate::options::{GatewayOptions, OpenError, ProxyField};
use crate::proven_head::{By, ProvenHead};
use crate::refused::Refused;
use crate::{forwarded, serials};

/// Demands proof of whoever calls. Cheap to clone; all clones are one gateway.
#[derive(Clone, Debug)]
pub struct Gateway(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    guard: Guard,
    names: Vec<String>,
    max_body: usize,
    nonces: Arc<dyn NonceStore>,
    /// What is taken of agents that are held or revoked: little, whatever room `nonces` has.
    of_denied: MemoryNonces,
    tls: bool,
    proxies: Vec<Network>,
    proxy_field: Option<ProxyField>,
    lists: NameFolder,
    serials: Option<PathBuf>,
    trust: ArcSwapOption<Trust>,
    known: ArcSwap<OfProcess>,
    identified: AtomicU64,
    unproven: AtomicU64,
    unavailable: AtomicU64,
}

/// Whom the guard's own papers lead to: nobody else is trusted.
#[derive(Debug)]
struct Trust {
    root: Digest,
    issuer: Digest,
    anchors: TrustAnchors,
}

impl Trust {
    fn key_of(&self, sent: &AsSent<'_>, agent: Digest) -> ChainKey {
        ChainKey::of(sent, agent, self.issuer, self.root)
    }
}

/// What threads share by locks, which a child of a fork cannot rely on.
#[derive(Debug)]
struct OfProcess {
    process: u32,
    chains: KnownChains,
}

impl OfProcess {
    fn new(process: u32) -> Self {
        Self { process, chains: KnownChains::new() }
    }
}

/// How many requests came to what, since the gateway was opened. Strangers are counted and not recorded: nobody who proves nothing
/// fills a disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Callers that were identified.
    pub identified: u64,
    /// Requests that proved nothing (401, 413), or came of agents that are held or revoked when enough of those was recorded (403).
    pub unproven: u64,
    /// Requests about which nobody could say (503).
    pub unavailable: u64,
}

impl Gateway {
    /// Opens a gateway whose own agent is that of `guard`. It trusts the issuing authority of that agent, and no other.
    ///
    /// # Errors
    /// [`OpenError`] for a guard that only observes, names that no request can be addressed to, proxies without the field that is
    /// theirs, and folders that are none.
    pub fn open(guard: Guard, options: GatewayOptions) -> Result<Self, OpenError> {
        if guard.mode() == Mode::Observe {
            return Err(OpenError::Observes);
        }
        let names = options.checked_names()?;
        let proxy_field = options.checked_field()?;
        let GatewayOptions { names: _, max_body, nonces, tls, proxies, proxy_field: _, lists, serials } =
            options;
        if let Some(folder) = [&lists, &serials].into_iter().flatten().find(|folder| !folder.is_dir()) {
            return Err(OpenError::Folder(folder.clone()));
        }
        let nonces = nonces.unwrap_or_else(|| {
            // Of what a process before this one took nothing is known.
            Arc::new(MemoryNonces::new(guard.now().to_seconds(), ROOM))
        });
        // Whether a proof was used before this process began is the other store's to say.
        let of_denied = MemoryNonces::new(guard.now().to_seconds().plus(-KEPT_SECONDS), ROOM_OF_DENIED);
        let known = ArcSwap::from_pointee(OfProcess::new(std::process::id()));
        Ok(Self(Arc::new(Inner {
            guard,
            names,
            max_body,
            nonces,
            of_denied,
            tls,
            proxies,
            proxy_field,
            lists: NameFolder::new(lists),
            serials,
            trust: ArcSwapOption::empty(),
            known,
            identified: AtomicU64::new(0),
            unproven: AtomicU64::new(0),
            unavailable: AtomicU64::new(0),
        })))
    }

    /// Finds out who sent a request, which has the whole `body`: [`Gateway::prove_head`] and [`ProvenHead::identify`] in one, for
    /// whoever has the body already.
    ///
    /// # Errors
    /// [`Refused`]: whoever it is proved nothing (401), sent too much (413), or nobody can say (503); or it is held or
    /// revoked, and enough of such agents was recorded (403). Nothing may be done.
    pub fn identify(&self, head: &Head<'_>, body: &[u8]) -> Result<Caller, Refused> {
        self.prove_head(head)?.identify(body)
    }

    /// Finds out by the head alone who sends a request, before its body is read.
    ///
    /// # Errors
    /// [`Refused`]: whoever it is proved nothing (401), or nobody can say (503). The body is not to be read.
    pub fn prove_head(&self, head: &Head<'_>) -> Result<ProvenHead, Refused> {
        let proven = self.safely(|| self.find(head));
        if proven.is_err() {
            self.0.count(&proven);
        }
        proven
    }

    /// Runs our own code, and whatever store of nonces the deployer has.
    fn safely<T>(&self, run: impl FnOnce() -> Result<T, Refused>) -> Result<T, Refused> {
        let found = catch_unwind(AssertUnwindSafe(run));
        found.unwrap_or_else(|_| Err(Refused::internal("identifying a caller panicked")))
    }

    /// The same, and counts what comes of it.
    pub(crate) fn counted<T>(&self, run: impl FnOnce() -> Result<T, Refused>) -> Result<T, Refused> {
        let found = self.safely(run);
        self.0.count(&found);
        found
    }

    /// How many octets of a body are read.
    #[must_use]
    pub fn max_body(&self) -> usize {
        self.0.max_body
    }

    /// The guard that decides and records.
    #[must_use]
    pub fn guard(&self) -> &Guard {
        &self.0.guard
    }

    /// The peer of a connection from `address`: a proxy if the deployer named it, nobody in particular otherwise.
    #[must_use]
    pub fn peer_at(&self, address: IpAddr) -> Peer<'static> {
        let named = self.0.proxies.iter().any(|network| network.contains(address));
        if named { Peer::Proxy } else { Peer::None }
    }

    /// What came so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts {
            identified: read(&self.0.identified),
            unproven: read(&self.0.unproven),
            unavailable: read(&self.0.unavailable),
        }
    }

    /// Whether both are clones of one gateway.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(crate) fn admit(
        &self,
        caller: &Judged,
        how: ProofOfPossession,
        request: &ActionRequest<'_>,
        context: &CallContext<'_>,
    ) -> Result<Pass, Refused> {
        self.0.guard.admit_caller(caller, how, request, context).map_err(Refused::from)
    }

    /// Takes a proof that was made at `created`, once.
    pub(crate) fn use_up(&self, judged: &Judged, mark: Digest, created: UnixTime) -> Result<(), Refused> {
        let (inner, now) = (&*self.0, self.0.guard.now().to_seconds());
        // Whoever is denied whatever it asks still signs: what it takes is bounded apart from what others need.
        let standing = judged.standing();
        if standing != Standing::Good {
            let bounded = inner.of_denied.remember(&mark, created, now);
            bounded.map_err(|error| Refused::of_denied(error, standing))?;
        }
        // The last question: nobody but the agent itself uses up a proof or the room for it.
        inner.nonces.remember_of(&judged.agent(), &mark, created, now).map_err(Refused::nonce)
    }

    fn find(&self, head: &Head<'_>) -> Result<ProvenHead, Refused> {
        let inner = &*self.0;
        head.refuse_two_ends()?;
        let authority = head.addressed_to()?;
        let presented = Presented::find(head.fields.iter().copied())?;
        let view = inner.guard.view().map_err(|refusal| Refused::unfit(&refusal))?;
        let now = inner.guard.now().to_seconds();
        let (judged, by, link) = match presented {
            Some(presented) => {
                let (judged, signed) = inner.signed(presented, authority, head, &view, now)?;
                let link = signed.link().cloned();
                (judged, By::Signature(signed), link)
            }
            None => {
                let (judged, how) = inner.unsigned(head, authority, &view, now)?;
                (judged, By::Connection(how), head.unsigned_link())
            }
        };
        let judged = match head.proven_names()? {
            Some(proven) => judged.with_names(proven),
            None => judged,
        };
        Ok(ProvenHead::new(self.clone(), judged, by, (link, head.trace())))
    }
}

impl Inner {
    /// Whoever signed the head of the request.
    fn signed(
        &self,
        presented: Presented,
        authority: &str,
        head: &Head<'_>,
        view: &Arc<Snapshot>,
        now: UnixTime,
    ) -> Result<(Judged, SignedHead), Refused> {
        let (trust, known) = (self.trust(view)?, self.known());
        let target = Target { method: head.method, authority, path: head.path, query: head.query };
        let mut found = None;
        let signed = presented.verify_by(&target, &self.names, now, |chain| {
            let sent = AsSent::Field(chain.text().into());
            let key = trust.key_of(&sent, chain.keyid());
            if let Some(caller) = known.chains.get(&key, &sent, now) {
                let path = caller.path().clone();
                found = Some(Ok(caller));
                return Ok(path);
            }
            found = Some(Err((key, sent.into_owned())));
            chain.read()?.verify_path(&trust.anchors, now)
        })?;
        // Whatever is remembered was signed by the agent: nobody else takes its place or the room for it.
        let caller = match found.ok_or_else(|| Refused::internal("a signature without a path"))? {
            Ok(caller) => caller,
            Err((key, sent)) => self.leashed(signed.path(), (key, sent), &known.chains)?,
        };
        Ok((self.judge(&caller)?, signed))
    }

    /// Whoever is at the other end of a connection, if the deployer lets that count.
    fn unsigned(
        &self,
        head: &Head<'_>,
        authority: &str,
        view: &Arc<Snapshot>,
        now: UnixTime,
    ) -> Result<(Judged, ProofOfPossession), Refused> {
        let (links, how) = match (head.peer, &self.serials) {
            (Peer::Tls { chain }, _) if self.tls && !chain.is_empty() => {
                let links = chain.iter().map(|der| der.to_vec()).collect();
                (links, ProofOfPossession::Tls)
            }
            (peer, serials) => {
                let forwarded = match (peer, self.proxy_field) {
                    (Peer::Proxy, Some(field)) => forwarded::chain(head, field)?,
                    _ => None,
                };
                match (forwarded, serials) {
                    (Some(links), _) => (links, ProofOfPossession::Proxy),
                    (None, Some(folder)) => {
                        let (serial, links) = serials::chain(folder, head)?.ok_or_else(Refused::missing)?;
                        self.refuse_other_names(authority)?;
                        let judged = self.judged(&links, view, now)?;
                        if judged.path().agent().decoded().serial() != serial {
                            return Err(Refused::missing());
                        }
                        return Ok((judged, ProofOfPossession::None));
                    }
                    (None, None) => return Err(Refused::missing()),
                }
            }
        };
        self.refuse_other_names(authority)?;
        Ok((self.judged(&links, view, now)?, how))
    }

    /// A request for somebody else proves nothing here, however it came.
    fn refuse_other_names(&self, authority: &str) -> Result<(), Refused> {
        let authority = authority.to_ascii_lowercase();
        let is_ours = |name: &String| {
            let rest = authority.strip_prefix(name.as_str());
            rest.is_some_and(|rest| matches!(rest, "" | ":443" | ":80"))
        };
        if self.names.iter().any(is_ours) { Ok(()) } else { Err(PossessionError::Authority.into()) }
    }

    fn judged(&self, links: &[Vec<u8>], view: &Arc<Snapshot>, now: UnixTime) -> Result<Judged, Refused> {
        let (trust, known) = (self.trust(view)?, self.known());
        let (leaf, others) = links.split_first().ok_or_else(Refused::missing)?;
        let sent = AsSent::Octets(links.into());
        let key = trust.key_of(&sent, Digest::of(leaf));
        let caller = match known.chains.get(&key, &sent, now) {
            Some(caller) => caller,
            None => {
                let path = prove(leaf, others, &trust.anchors, now)?;
                self.leashed(&path, (key, sent.into_owned()), &known.chains)?
            }
        };
        self.judge(&caller)
    }

    fn judge(&self, caller: &Leashed) -> Result<Judged, Refused> {
        self.guard.judge_leashed(caller).map_err(|error| Refused::judged(&error))
    }

    fn leashed(
        &self,
        path: &AgentPath,
        (key, sent): (ChainKey, AsSent<'static>),
        known: &KnownChains,
    ) -> Result<Leashed, Refused> {
        let (names, complete) = self.lists.of(path.agent().scope());
        let caller = Leashed::new(path.clone(), &names)
            .map_err(|error| Refused::judged(&JudgeError::Caller(error)))?;
        // A list that is put into the folder later is found then.
        if complete {
            known.insert(key, sent, caller.clone());
        }
        Ok(caller)
    }

    /// Whom the guard's agent itself is vouched for by.
    fn trust(&self, view: &Snapshot) -> Result<Arc<Trust>, Refused> {
        let path = view.agent().path();
        let (root, issuer) = (path.root().decoded().thumbprint(), path.issuing().decoded().key().key_id());
        if let Some(trust) =
            self.trust.load_full().filter(|trust| trust.root == root && trust.issuer == issuer)
        {
            return Ok(trust);
        }
        let anchors = TrustAnchors::new([path.root().decoded().der()]);
        let anchors = anchors.map_err(|error| Refused::internal(error.to_string()))?.pin_issuer(issuer);
        let trust = Arc::new(Trust { root, issuer, anchors });
        self.trust.store(Some(Arc::clone(&trust)));
        Ok(trust)
    }

    /// What is remembered of chains, by this process.
    fn known(&self) -> Arc<OfProcess> {
        let (known, process) = (self.known.load_full(), std::process::id());
        if known.process == process {
            return known;
        }
        // A copy whose locks may be held by threads that are not here; it is never asked, and never dropped either.
        std::mem::forget(known);
        let known = Arc::new(OfProcess::new(process));
        self.known.store(Arc::clone(&known));
        known
    }

    fn count<T>(&self, found: &Result<T, Refused>) {
        let count = match found {
            Ok(_) => &self.identified,
            Err(refused) if refused.status() == 503 => &self.unavailable,
            Err(_) => &self.unproven,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

fn prove(
    leaf: &[u8],
    others: &[Vec<u8>],
    anchors: &TrustAnchors,
    now: UnixTime,
) -> Result<AgentPath, PossessionError> {
    let agent = AgentCertificate::decode(leaf).map_err(PossessionError::Certificate)?;
    Ok(agent.verify_path(others.iter().map(Vec::as_slice), anchors, now)?)
}

/// Proofs that are remembered of each 90 s, of 40 octets each: about 1,100 requests a second of one agent, and as many of others.
const ROOM: usize = 200_000;
/// Of agents that are held or revoked, all together.
const ROOM_OF_DENIED: usize = 1_000;
