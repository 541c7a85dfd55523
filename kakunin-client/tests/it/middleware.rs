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
use kakunin_client::middleware::{AgentAuth, NotSigned};
use kakunin_core::certificate::AgentCertificate;
use kakunin_core::chain::{CallContext, ChainLink};
use kakunin_core::guard::{Clock, Guard, GuardOptions, ManualClock, MemorySource, Place, in_chain};
use kakunin_core::id::AgentId;
use kakunin_core::request::ActionRequest;
use kakunin_core::scope::DraftScope;
use kakunin_core::time::UnixTime;
use kakunin_gateway::{Gateway, GatewayOptions, Head, Peer};
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
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().redirect(Policy::none()).no_proxy().build().unwrap();
        ClientBuilder::new(client).with(AgentAuth::of(self.guard().clone())).build()
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
    (StatusCode::OK, format!("{} {}", caller.agent(), body.len()))
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

#[tokio::test]
async fn what_cannot_be_signed_is_not_sent() {
    let world = World::new().await;
    let client = world.client();
    let refused = |error: reqwest_middleware::Error| match error {
        reqwest_middleware::Error::Middleware(error) => error.downcast::<NotSigned>().unwrap(),
        error => panic!("{error}"),
    };
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
