//! An agent's requests to a shop that demands proof: signed by the middleware, over a socket.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use kakunin_authority::memory::{Enrolled, MemoryAuthority};
use kakunin_authority::standing::Order;
use kakunin_client::middleware::{AgentAuth, Asking, AskingError, NotSigned};
use kakunin_core::certificate::AgentCertificate;
use kakunin_core::chain::{CallContext, ChainLink};
use kakunin_core::guard::{Clock, Guard, GuardOptions, ManualClock, MemorySource, Place, in_chain};
use kakunin_core::id::AgentId;
use kakunin_core::request::ActionRequest;
use kakunin_core::scope::{DraftScope, NameLists};
use kakunin_core::time::UnixTime;
use kakunin_gateway::{Caller, Gateway, GatewayOptions, Head, Peer};
use reqwest::redirect::Policy;
use reqwest::{Client, Method};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
use tokio::net::TcpListener;

const SCOPE: &str = "actions = [\"orders:create\"]\n";

/// A buyer, and a shop that writes down what reached it.
struct World {
    authority: MemoryAuthority,
    clock: Arc<ManualClock>,
    buyer: (AgentId, Guard, Arc<MemorySource>),
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Option<ChainLink>>>>,
}

#[derive(Clone)]
struct Shop {
    gateway: Arc<Gateway>,
    seen: Arc<Mutex<Vec<Option<ChainLink>>>>,
}

fn now() -> UnixTime {
    UnixTime::parse_rfc3339("2026-11-23T12:00:00Z").unwrap()
}

fn agent(
    authority: &MemoryAuthority,
    clock: &Arc<ManualClock>,
    name: &str,
) -> (AgentId, Guard, Arc<MemorySource>) {
    let draft = DraftScope::parse(SCOPE, &|_| Err(std::io::ErrorKind::NotFound.into())).unwrap();
    let Enrolled { papers, key } = authority.certify(name, &draft, now(), 7).unwrap();
    let id = AgentCertificate::decode(&papers.agent).unwrap().agent();
    let lists = authority.lists(now(), 24).unwrap().into_bytes();
    let source = Arc::new(MemorySource::new(papers, lists, key));
    let options = GuardOptions { clock: Arc::clone(clock) as Arc<dyn Clock>, ..GuardOptions::default() };
    let guard = Guard::in_memory(Arc::clone(&source), options).unwrap();
    (id, guard, source)
}

impl World {
    async fn new() -> Self {
        let authority = MemoryAuthority::new(now()).unwrap();
        let clock = Arc::new(ManualClock::new(now().to_millis()));
        let (_, shop, _) = agent(&authority, &clock, "shop");
        let buyer = agent(&authority, &clock, "buyer");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let gateway = Gateway::open(shop, GatewayOptions::named([address.to_string()])).unwrap();
        // It takes no proof of before it began.
        clock.advance(11_000);
        let seen = Arc::default();
        let shop = Shop { gateway: Arc::new(gateway), seen: Arc::clone(&seen) };
        tokio::spawn(serve(listener, Router::new().fallback(order).with_state(shop)));
        Self { authority, clock, buyer, address, seen }
    }

    fn guard(&self) -> &Guard {
        &self.buyer.1
    }

    fn client(&self) -> ClientWithMiddleware {
        client_of(AgentAuth::of(self.guard().clone()))
    }

    fn url(&self, rest: &str) -> String {
        format!("http://{}{rest}", self.address)
    }

    fn links(&self) -> Vec<Option<ChainLink>> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

async fn serve(listener: TcpListener, router: Router) {
    while let Ok((stream, _)) = listener.accept().await {
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// Says who asked, or why nobody did.
async fn order(State(shop): State<Shop>, request: Request) -> (StatusCode, String) {
    let (parts, body) = request.into_parts();
    let body: Bytes = to_bytes(body, 1 << 20).await.unwrap();
    let fields: Vec<(&str, &[u8])> =
        parts.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let head = Head::new(parts.method.as_str(), parts.uri.path());
    let head = head.query(parts.uri.query()).fields(&fields).peer(Peer::None);
    let caller = match shop.gateway.identify(&head, &body) {
        Ok(caller) => caller,
        Err(refused) => return (StatusCode::from_u16(refused.status()).unwrap(), refused.code().to_owned()),
    };
    shop.seen.lock().unwrap().push(caller.link().cloned());
    if parts.uri.path() == "/orders/towards" {
        return towards(&caller, &body);
    }
    (StatusCode::OK, format!("{} {}", caller.agent(), body.len()))
}

/// Whether the caller may order of whom its body names.
fn towards(caller: &Caller, body: &[u8]) -> (StatusCode, String) {
    let order: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let parties: Vec<&str> = match &order["order"]["to"] {
        serde_json::Value::Array(names) => names.iter().map(|name| name.as_str().unwrap_or("?")).collect(),
        name => vec![name.as_str().unwrap_or("?")],
    };
    let request = ActionRequest::new("orders:create").counterparties(&parties).resource("resources-0007");
    match caller.admit(&request).and_then(|pass| Ok(pass.begin()?)) {
        Ok(running) => {
            running.returned();
            (StatusCode::OK, "granted".to_owned())
        }
        Err(refused) => (StatusCode::from_u16(refused.status()).unwrap(), refused.code().to_owned()),
    }
}

async fn ask(client: &ClientWithMiddleware, method: Method, url: String, body: &str) -> (u16, String) {
    let answer = client.request(method, url).body(body.to_owned()).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test]
async fn requests_of_an_agent_are_taken_by_a_gateway_each_time_anew() {
    let world = World::new().await;
    let (client, who) = (world.client(), world.buyer.0);
    for (method, rest, body) in [
        (Method::POST, "/orders", r#"{"amount":"12.50"}"#),
        (Method::POST, "/orders", r#"{"amount":"12.50"}"#),
        (Method::PUT, "/orders/a%20b?x=1&y=%2F", ""),
        (Method::DELETE, "/orders/%C3%A4?", ""),
        (Method::GET, "", ""),
    ] {
        let answer = ask(&client, method.clone(), world.url(rest), body).await;
        assert_eq!(answer, (200, format!("{who} {}", body.len())), "{method} {rest}");
    }
    // Without the middleware there is no proof.
    let bare = ClientBuilder::new(Client::builder().no_proxy().build().unwrap()).build();
    let (status, code) = ask(&bare, Method::POST, world.url("/orders"), "").await;
    assert_eq!((status, code.as_str()), (401, "possession.missing"));
}

#[tokio::test]
async fn a_request_without_a_body_is_signed_as_an_empty_one() {
    let world = World::new().await;
    let answer = world.client().get(world.url("/orders")).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
}

#[tokio::test]
async fn what_a_call_sends_follows_from_it() {
    let world = World::new().await;
    let client = world.client();
    let context = CallContext { chain: Guard::new_chain(), ..CallContext::default() };
    let request = ActionRequest::new("orders:create");
    let running = world.guard().admit_in(&request, &context).unwrap().begin().unwrap();
    let link = running.link().unwrap();
    client.post(world.url("/orders")).with_extension(link.clone()).send().await.unwrap();
    running.returned();
    assert_eq!(world.links(), [Some(link.clone())]);
    // From the place in a chain that the code runs in, unless another link is handed over.
    let place = Place::begin().unwrap();
    let sent = async { client.post(world.url("/orders")).send().await.unwrap() };
    in_chain(&place, sent).await;
    assert_eq!(world.links(), [place.link()]);
    let sent = async { client.post(world.url("/orders")).with_extension(link.clone()).send().await.unwrap() };
    in_chain(&place, sent).await;
    assert_eq!(world.links(), [Some(link)]);
}

/// A buyer whose certificate refers to a list of vendors and one of warehouses, which no shop has.
fn picky(world: &World, has_lists: bool) -> Guard {
    let files = |path: &str| {
        let names: Vec<String> = (0..1_000).map(|number| format!("{path}-{number:04}")).collect();
        Ok(names.join("\n"))
    };
    let rules = ["counterparties", "resources"]
        .map(|table| format!("[[{table}]]\nfor = [\"orders:create\"]\nallow_file = \"{table}\"\n"));
    let draft = DraftScope::parse(&format!("{SCOPE}{}", rules.concat()), &files).unwrap();
    let now = world.clock.wall().to_seconds();
    let Enrolled { mut papers, key } = world.authority.certify("picky", &draft, now, 7).unwrap();
    if !has_lists {
        papers.names = NameLists::default();
    }
    let lists = world.authority.lists(now, 24).unwrap().into_bytes();
    let clock = Arc::clone(&world.clock) as Arc<dyn Clock>;
    let options = GuardOptions { clock, ..GuardOptions::default() };
    Guard::in_memory(Arc::new(MemorySource::new(papers, lists, key)), options).unwrap()
}

fn client_of(auth: AgentAuth) -> ClientWithMiddleware {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder().redirect(Policy::none()).no_proxy().build().unwrap();
    ClientBuilder::new(client).with(auth).build()
}

#[tokio::test]
async fn the_names_that_a_request_asks_for_are_proven_to_a_shop_without_the_lists() {
    let world = World::new().await;
    let guard = picky(&world, true);
    let order = |to: &str| format!(r#"{{"order":{{"to":{to}}},"from":"resources-0007"}}"#);
    let one = order(r#""counterparties-0002""#);
    let url = || world.url("/orders/towards");
    let granted = (200, "granted".to_owned());
    let refused = |code: &str| (403, code.to_owned());
    // Told nothing it proves nothing.
    let bare = client_of(AgentAuth::of(guard.clone()));
    assert_eq!(ask(&bare, Method::POST, url(), &one).await, refused("scope.names_missing"));
    let asking = || Asking::of("orders:create").counterparty("order.to");
    let read = asking().resource("from");
    let found = Asking::of("orders:create")
        .counterparty_by(|_| vec!["counterparties-0001".into(), "counterparties-0002".into()])
        .resource_by(|request| request.url().query().map(str::to_owned).into_iter().collect());
    let read = client_of(AgentAuth::of(guard.clone()).asking(read).unwrap());
    let found = client_of(AgentAuth::of(guard.clone()).asking(found).unwrap());
    let by_address = world.url("/orders/towards?resources-0007");
    assert_eq!(ask(&read, Method::POST, url(), &one).await, granted);
    assert_eq!(ask(&found, Method::POST, by_address, &one).await, granted);
    let several = order(r#"["counterparties-0001","counterparties-0002"]"#);
    assert_eq!(ask(&read, Method::POST, url(), &several).await, granted);
    // A stranger is proven to be none of them; of a name that it was not told of it proves nothing.
    let stranger = order(r#"["counterparties-0001","mallory"]"#);
    assert_eq!(ask(&read, Method::POST, url(), &stranger).await, refused("scope.counterparty"));
    let half = client_of(AgentAuth::of(guard.clone()).asking(asking()).unwrap());
    assert_eq!(ask(&half, Method::POST, url(), &one).await, refused("scope.names_missing"));
    // What is there that is no name, or no JSON, proves nothing and is the shop's to judge.
    for odd in ["[1,null]", "{}", "7"] {
        assert_eq!(
            ask(&read, Method::POST, url(), &order(odd)).await,
            refused("scope.names_missing"),
            "{odd}"
        );
    }
    assert_eq!(ask(&read, Method::POST, url(), "no JSON").await, refused("scope.names_missing"));
}

#[tokio::test]
async fn names_that_cannot_be_proven_are_not_sent() {
    let world = World::new().await;
    let read = Asking::of("orders:create").counterparty("to");
    let without = client_of(AgentAuth::of(picky(&world, false)).asking(read.clone()).unwrap());
    let body = r#"{"to":"counterparties-0002"}"#;
    let error = without.post(world.url("/orders")).body(body).send().await.unwrap_err();
    assert_eq!(refused(error).code(), "scope.names_missing");
    // Who proves names writes the field, and nobody else does.
    let with = client_of(AgentAuth::of(picky(&world, true)).asking(read).unwrap());
    let request = with.post(world.url("/orders")).header("kakunin-names", "x").body(body);
    assert_eq!(refused(request.send().await.unwrap_err()).code(), "possession.malformed");
    assert_eq!(world.links(), [], "nothing reached the shop");
    for (asking, wrong) in [
        (Asking::of(""), AskingError::Action),
        (Asking::of("orders:create").counterparty(""), AskingError::Path { path: String::new() }),
        (Asking::of("orders:create").resource("a..b"), AskingError::Path { path: "a..b".to_owned() }),
    ] {
        assert_eq!(AgentAuth::of(world.guard().clone()).asking(asking).unwrap_err(), wrong);
    }
}

fn refused(error: reqwest_middleware::Error) -> NotSigned {
    let found = match error {
        reqwest_middleware::Error::Middleware(error) => error.downcast::<NotSigned>().ok(),
        reqwest_middleware::Error::Reqwest(_) => None,
    };
    found.unwrap()
}

#[tokio::test]
async fn what_cannot_be_signed_is_not_sent() {
    let world = World::new().await;
    let client = world.client();
    let stream = reqwest::Body::wrap(Full::new(Bytes::from("a stream")));
    let error = client.post(world.url("/orders")).body(stream).send().await.unwrap_err();
    assert!(matches!(refused(error), NotSigned::Streaming));
    for field in ["kakunin-chain", "Signature", "content-digest"] {
        let request = client.post(world.url("/orders")).header(field, "x");
        assert_eq!(refused(request.send().await.unwrap_err()).code(), "possession.malformed", "{field}");
    }
    // An agent that may do nothing asks for nothing.
    world.authority.order(world.buyer.0, Order::Suspend, "", world.clock.wall().to_seconds()).unwrap();
    let lists = world.authority.lists(world.clock.wall().to_seconds(), 24).unwrap();
    world.buyer.2.publish(lists.into_bytes());
    world.guard().refresh();
    let error = client.post(world.url("/orders")).send().await.unwrap_err();
    assert_eq!(refused(error).code(), "certificate.held");
    assert_eq!(world.links(), [], "nothing reached the shop");
}
