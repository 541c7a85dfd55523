//! An authority, a shop that demands proof, and agents that call it; all in memory, on clocks that tests move.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kakunin_authority::memory::{Enrolled, MemoryAuthority};
use kakunin_authority::standing::Order;
use kakunin_core::certificate::AgentCertificate;
use kakunin_core::chain::ChainLink;
use kakunin_core::guard::{Clock, Guard, GuardOptions, ManualClock, MemorySource, StateChoice};
use kakunin_core::home::Papers;
use kakunin_core::id::AgentId;
use kakunin_core::possession::Target;
use kakunin_core::request::ActionRequest;
use kakunin_core::scope::DraftScope;
use kakunin_core::snapshot::Snapshot;
use kakunin_core::time::UnixTime;
use kakunin_gateway::{Caller, Gateway, GatewayOptions, Head, Peer, ProvenHead, Refused};

pub(crate) const SHOP: &str = "shop.example.com";
pub(crate) const SHOP_SCOPE: &str = "actions = [\"shop:*\"]\n";
pub(crate) const SCOPE: &str = r#"
actions = ["orders:create", "orders:read"]
[[limit]]
for = ["orders:create"]
currency = "EUR"
per_action = "100.00"
per_day = "150.00"
"#;
pub(crate) const BODY: &[u8] = br#"{"amount":"12.50"}"#;

pub(crate) fn now() -> UnixTime {
    UnixTime::parse_rfc3339("2026-11-23T12:00:00Z").unwrap()
}

pub(crate) struct World {
    pub(crate) authority: MemoryAuthority,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) shop: Agent,
}

/// An agent with its papers in memory, and where its lists are handed over.
pub(crate) struct Agent {
    pub(crate) id: AgentId,
    pub(crate) papers: Papers,
    pub(crate) guard: Guard,
    pub(crate) source: Arc<MemorySource>,
}

pub(crate) fn draft(scope: &str) -> DraftScope {
    DraftScope::parse(scope, &|_| Err(std::io::ErrorKind::NotFound.into())).unwrap()
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(StateChoice::Memory)
    }

    /// A shop that keeps its state somewhere.
    pub(crate) fn with(state: StateChoice) -> Self {
        let authority = MemoryAuthority::new(now()).unwrap();
        let clock = Arc::new(ManualClock::new(now().to_millis()));
        let shop = agent_of(&authority, &clock, "shop", SHOP_SCOPE, state);
        Self { authority, clock, shop }
    }

    /// A gateway that has been open for long enough to take proofs.
    pub(crate) fn gateway(&self) -> Gateway {
        self.gateway_with(GatewayOptions::named([SHOP]))
    }

    pub(crate) fn gateway_with(&self, options: GatewayOptions) -> Gateway {
        let gateway = Gateway::open(self.shop.guard.clone(), options).unwrap();
        self.clock.advance(11_000);
        gateway
    }

    pub(crate) fn agent(&self, scope: &str) -> Agent {
        agent_of(&self.authority, &self.clock, "buyer", scope, StateChoice::Memory)
    }

    /// An agent that was certified otherwise.
    pub(crate) fn agent_of(&self, enrolled: Enrolled) -> Agent {
        let lists = self.authority.lists(self.now(), 24).unwrap().into_bytes();
        enrolled_agent(enrolled, lists, &self.clock, StateChoice::Memory)
    }

    pub(crate) fn now(&self) -> UnixTime {
        self.clock.wall().to_seconds()
    }

    /// Changes how an agent stands, and tells the shop alone.
    pub(crate) fn order(&self, agent: &Agent, order: Order) {
        self.authority.order(agent.id, order, "", self.now()).unwrap();
        self.publish();
    }

    /// The agent has lists of now; the shop has what it had.
    pub(crate) fn tell(&self, agent: &Agent) {
        let lists = self.authority.lists(self.now(), 24).unwrap();
        taken_up(&agent.guard, || agent.source.publish(lists.into_bytes()));
    }

    pub(crate) fn publish(&self) {
        let lists = self.authority.lists(self.now(), 24).unwrap();
        taken_up(&self.shop.guard, || self.shop.source.publish(lists.into_bytes()));
    }
}

/// Changes something that the guard has to take up, and waits for that: on a busy machine a look in progress may take longer than
/// another one waits for its turn.
fn taken_up(guard: &Guard, change: impl FnOnce()) {
    let (before, deadline) = (guard.snapshot().ok(), Instant::now() + Duration::from_secs(60));
    change();
    let same = |view: Option<Arc<Snapshot>>| match (&before, &view) {
        (Some(before), Some(view)) => Arc::ptr_eq(before, view),
        (before, view) => before.is_none() && view.is_none(),
    };
    while same(guard.snapshot().ok()) {
        assert!(Instant::now() < deadline, "it was never taken up");
    }
}

/// Waits until the guard has seen what it has to refuse everything for.
pub(crate) fn refuses(guard: &Guard) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while guard.snapshot().is_ok() {
        assert!(Instant::now() < deadline, "it was never seen");
    }
}

fn agent_of(
    authority: &MemoryAuthority,
    clock: &Arc<ManualClock>,
    name: &str,
    scope: &str,
    state: StateChoice,
) -> Agent {
    let now = clock.wall().to_seconds();
    let enrolled = authority.certify(name, &draft(scope), now, 7).unwrap();
    let lists = authority.lists(now, 24).unwrap().into_bytes();
    enrolled_agent(enrolled, lists, clock, state)
}

fn enrolled_agent(
    Enrolled { papers, key }: Enrolled,
    lists: Vec<u8>,
    clock: &Arc<ManualClock>,
    state: StateChoice,
) -> Agent {
    let source = Arc::new(MemorySource::new(papers.clone(), lists, key));
    let clock = Arc::clone(clock) as Arc<dyn Clock>;
    let options = GuardOptions { clock, state, ..GuardOptions::default() };
    let guard = Guard::in_memory(Arc::clone(&source), options).unwrap();
    let id = AgentCertificate::decode(&papers.agent).unwrap().agent();
    Agent { id, papers, guard, source }
}

/// A request as it is sent.
#[derive(Clone)]
pub(crate) struct Sent {
    pub(crate) method: &'static str,
    pub(crate) authority: Option<&'static str>,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    pub(crate) peer: Peer<'static>,
}

impl Agent {
    /// An order, signed.
    pub(crate) fn order(&self) -> Sent {
        self.sends("POST", "/orders", None, BODY, None)
    }

    pub(crate) fn sends(
        &self,
        method: &'static str,
        path: &str,
        query: Option<&str>,
        body: &[u8],
        link: Option<&ChainLink>,
    ) -> Sent {
        let target = Target { method, authority: SHOP, path, query };
        let proof = self.guard.prove(&target, body, link).unwrap();
        let mut sent = plain(method, path, body);
        sent.query = query.map(str::to_owned);
        let fields = proof.fields().map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        sent.fields.extend(fields);
        sent
    }

    /// Its certificate and its issuer's, DER.
    pub(crate) fn chain(&self) -> Vec<Vec<u8>> {
        std::iter::once(&self.papers.agent).chain(&self.papers.chain).cloned().collect()
    }
}

/// A request that proves nothing.
pub(crate) fn plain(method: &'static str, path: &str, body: &[u8]) -> Sent {
    Sent {
        method,
        authority: None,
        path: path.to_owned(),
        query: None,
        fields: vec![("host".to_owned(), SHOP.as_bytes().to_vec())],
        body: body.to_vec(),
        peer: Peer::None,
    }
}

impl Sent {
    pub(crate) fn with(mut self, name: &str, value: &[u8]) -> Self {
        self.fields.push((name.to_owned(), value.to_vec()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(known, _)| known != name);
        self
    }

    /// The same with another value of a field.
    pub(crate) fn but(self, name: &str, value: &[u8]) -> Self {
        self.without(name).with(name, value)
    }

    pub(crate) fn value(&self, name: &str) -> Vec<u8> {
        self.fields.iter().find(|(known, _)| known == name).unwrap().1.clone()
    }

    pub(crate) fn to(&self, gateway: &Gateway) -> Result<Caller, Refused> {
        self.with_head(|head| gateway.identify(head, &self.body))
    }

    /// What its head alone proves.
    pub(crate) fn head(&self, gateway: &Gateway) -> Result<ProvenHead, Refused> {
        self.with_head(|head| gateway.prove_head(head))
    }

    fn with_head<T>(&self, ask: impl FnOnce(&Head<'_>) -> T) -> T {
        let fields: Vec<(&str, &[u8])> =
            self.fields.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        let head = Head::new(self.method, &self.path)
            .authority(self.authority)
            .query(self.query.as_deref())
            .fields(&fields)
            .peer(self.peer);
        ask(&head)
    }

    /// What becomes of it: the handler runs, or status and code of the refusal.
    pub(crate) fn answer(&self, gateway: &Gateway) -> Answer {
        self.answer_to(gateway, &buy("12.50"))
    }

    pub(crate) fn answer_to(&self, gateway: &Gateway, request: &ActionRequest<'_>) -> Answer {
        let mut ran = false;
        let mut handle = || -> Result<(), Refused> {
            let running = self.to(gateway)?.admit(request)?.begin()?;
            ran = true;
            running.returned();
            Ok(())
        };
        match handle() {
            Ok(()) => (200, "ran"),
            Err(refused) => {
                assert!(!ran, "a handler ran for {refused}");
                (refused.status(), refused.code())
            }
        }
    }
}

pub(crate) type Answer = (u16, &'static str);
pub(crate) const RAN: Answer = (200, "ran");

pub(crate) fn buy(amount: &str) -> ActionRequest<'_> {
    ActionRequest::new("orders:create").amount(amount, "EUR")
}
