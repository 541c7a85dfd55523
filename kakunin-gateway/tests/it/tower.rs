//! The layer: behind it runs what its caller may do, and nothing else runs.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Extension;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use axum::routing::{any, get, post};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use kakunin_core::guard::StateChoice;
use kakunin_core::journal::StreamReader;
use kakunin_core::receipt::{Event, Outcome};
use kakunin_gateway::tower::{PeerAddress, RequireAgent};
use kakunin_gateway::{Caller, Gateway, GatewayOptions, ProxyField, json};

use crate::world::{Agent, BODY, SCOPE, SHOP, Sent, World, plain};

/// Counts how often the handler behind it ran.
#[derive(Clone, Default)]
pub(crate) struct Ran(Arc<AtomicUsize>);

impl Ran {
    pub(crate) fn note(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    /// How often since this was asked last.
    pub(crate) fn take(&self) -> usize {
        self.0.swap(0, Ordering::SeqCst)
    }
}

/// The layer of an order.
pub(crate) fn orders(gateway: &Gateway) -> RequireAgent {
    RequireAgent::new(gateway.clone(), "orders:create").select(|asked, wish| {
        let order = json::strict(asked.body)?;
        Ok(wish.amount(json::text(&order, "amount")?, "EUR"))
    })
}

pub(crate) fn router(gateway: &Gateway, ran: &Ran) -> Router {
    let reads = RequireAgent::new(gateway.clone(), "orders:read");
    let handler = |ran: Ran| {
        move |Extension(caller): Extension<Caller>, body: Bytes| async move {
            ran.note();
            format!("{} {}", caller.agent(), body.len())
        }
    };
    let nested = Router::new().route("/orders", post(handler(ran.clone()))).route_layer(orders(gateway));
    Router::new()
        .route("/orders", post(handler(ran.clone())).layer(orders(gateway)))
        .route("/orders/{id}", get(handler(ran.clone())).layer(reads.clone()))
        .route("/any", any(handler(ran.clone())).layer(reads))
        .nest("/v1/shop", nested)
}

pub(crate) fn request(sent: &Sent) -> Request<Body> {
    let query = sent.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
    let mut request = Request::builder().method(sent.method).uri(format!("{}{query}", sent.path));
    for (name, value) in &sent.fields {
        request = request.header(name.as_str(), value.as_slice());
    }
    request.body(Body::from(sent.body.clone())).unwrap()
}

/// Status and code of the answer.
pub(crate) async fn ask(router: &Router, request: Request<Body>) -> (u16, String) {
    let response: Response = TowerToHyperService::new(router.clone()).call(request).await.unwrap();
    let status = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    let problem: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    (status, problem["code"].as_str().unwrap_or_default().to_owned())
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

fn ok() -> (u16, String) {
    refused(200, "")
}

#[tokio::test]
async fn a_handler_behind_the_layer_runs_for_whoever_may_and_for_nobody_else() {
    let world = World::new();
    let (gateway, agent, ran) = (world.gateway(), world.agent(SCOPE), Ran::default());
    let router = router(&gateway, &ran);
    let order = |amount: &str| {
        agent.sends("POST", "/orders", None, format!(r#"{{"amount":"{amount}"}}"#).as_bytes(), None)
    };
    assert_eq!((ask(&router, request(&order("12.50"))).await, ran.take()), (ok(), 1));
    for (why, sent, expected) in [
        ("no proof", plain("POST", "/orders", BODY), refused(401, "possession.missing")),
        ("over the limit", order("100.01"), refused(403, "scope.amount")),
        (
            "a body that says it twice",
            agent.sends("POST", "/orders", None, br#"{"amount":"1","amount":"2"}"#, None),
            refused(403, "request.amount_invalid"),
        ),
        (
            "no amount",
            agent.sends("POST", "/orders", None, b"{}", None),
            refused(403, "request.amount_invalid"),
        ),
        (
            "a number",
            agent.sends("POST", "/orders", None, br#"{"amount":1}"#, None),
            refused(403, "request.amount_invalid"),
        ),
        ("a trailing slash", agent.sends("POST", "/orders/", None, BODY, None), (404, String::new())),
        (
            "another path than was signed",
            Sent { path: "/any".into(), ..order("1.00") },
            refused(401, "possession.signature"),
        ),
        (
            "a query that was not signed",
            Sent { query: Some("a=1".into()), ..order("1.00") },
            refused(401, "possession.signature"),
        ),
        (
            "a field twice",
            order("1.00").with("signature", b"kakunin=:AA==:"),
            refused(401, "possession.malformed"),
        ),
        ("two hosts", order("1.00").with("host", SHOP.as_bytes()), refused(401, "possession.malformed")),
        (
            "two ends",
            order("1.00").with("content-length", b"17").with("transfer-encoding", b"chunked"),
            refused(401, "possession.malformed"),
        ),
    ] {
        assert_eq!((ask(&router, request(&sent)).await, ran.take()), (expected, 0), "{why}");
    }
}

/// Whatever of axum leads to a handler leads through the layer.
#[tokio::test]
async fn no_method_and_no_spelling_of_a_path_leads_around_the_layer() {
    let world = World::new();
    let (gateway, agent, ran) = (world.gateway(), world.agent(SCOPE), Ran::default());
    let router = router(&gateway, &ran);
    for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "QUERY"] {
        for path in
            ["/orders/7", "/any", "/any?x=1", "/orders/%37", "//any", "/any/", "/v1/shop/orders", "/orders"]
        {
            let (status, _) = ask(&router, request(&plain(method, path, BODY))).await;
            assert!([401, 404, 405].contains(&status), "{method} {path}: {status}");
            assert_eq!(ran.take(), 0, "{method} {path}");
        }
    }
    // And with a proof for that very request each of them is let in.
    for (method, path, query) in [
        ("GET", "/orders/7", None),
        ("HEAD", "/orders/7", None),
        ("GET", "/orders/%37", Some("x=1&y=%2F")),
        ("DELETE", "/any", Some("")),
        ("OPTIONS", "/any", None),
    ] {
        let sent = agent.sends(method, path, query, b"", None);
        let (status, _) = ask(&router, request(&sent)).await;
        assert_eq!((status, ran.take()), (200, 1), "{method} {path}");
    }
    let head = agent.sends("HEAD", "/orders/7", None, b"", None);
    let as_get = Sent { method: "GET", ..head };
    assert_eq!((ask(&router, request(&as_get)).await, ran.take()), (refused(401, "possession.signature"), 0));
}

/// What is signed is the whole path, whatever part of it a nested router sees.
#[tokio::test]
async fn a_nested_handler_is_judged_by_the_whole_path() {
    let world = World::new();
    let (gateway, agent, ran) = (world.gateway(), world.agent(SCOPE), Ran::default());
    let router = router(&gateway, &ran);
    let whole = agent.sends("POST", "/v1/shop/orders", None, BODY, None);
    assert_eq!((ask(&router, request(&whole)).await, ran.take()), (ok(), 1));
    let part = Sent { path: "/v1/shop/orders".into(), ..agent.sends("POST", "/orders", None, BODY, None) };
    assert_eq!((ask(&router, request(&part)).await, ran.take()), (refused(401, "possession.signature"), 0));
}

/// Nobody signs the type, and a handler goes by it.
#[tokio::test]
async fn a_content_whose_type_is_doubtful_is_denied_whatever_the_selector_says() {
    let world = World::new();
    let (gateway, agent, ran) = (world.gateway(), world.agent(SCOPE), Ran::default());
    let service = |layer: RequireAgent| {
        let ran = ran.clone();
        Router::new().route("/orders", post(move || async move { ran.note() }).layer(layer))
    };
    let reading = service(
        RequireAgent::new(gateway.clone(), "orders:create")
            .select(|asked, wish| Ok(wish.amount(json::text(&asked.json()?, "amount")?, "EUR"))),
    );
    let fixed =
        RequireAgent::new(gateway.clone(), "orders:create").select(|_, wish| Ok(wish.amount("1.00", "EUR")));
    let fixed = service(fixed);
    let typed = |kind: &str| request(&agent.order().with("content-type", kind.as_bytes()));
    for plain in ["application/json", "application/json; charset=utf-8"] {
        assert_eq!((ask(&reading, typed(plain)).await, ran.take()), (ok(), 1), "{plain}");
    }
    for doubtful in ["application/json; charset=utf-7", "text/json", "application/json; v=1"] {
        for router in [&reading, &fixed] {
            let answer = ask(router, typed(doubtful)).await;
            assert_eq!((answer, ran.take()), (refused(403, "request.amount_invalid"), 0), "{doubtful}");
        }
    }
    // What says that it is no JSON is none; whoever reads none of it may be let in.
    let form = "application/x-www-form-urlencoded";
    assert_eq!((ask(&reading, typed(form)).await, ran.take()), (refused(403, "request.amount_invalid"), 0));
    assert_eq!((ask(&fixed, typed(form)).await, ran.take()), (ok(), 1));
    let packed = agent.order().with("content-type", b"application/json").with("content-encoding", b"gzip");
    let packed = ask(&fixed, request(&packed)).await;
    assert_eq!((packed, ran.take()), (refused(403, "request.amount_invalid"), 0));
}

/// A body that comes in pieces, or never ends.
#[tokio::test]
async fn a_body_in_pieces_is_whole_before_anything_runs() {
    let world = World::new();
    let options = GatewayOptions { max_body: 64, ..GatewayOptions::named([SHOP]) };
    let (gateway, agent, ran) = (world.gateway_with(options), world.agent(SCOPE), Ran::default());
    let router = router(&gateway, &ran);
    let pieces = |pieces: Vec<Result<&'static [u8], std::io::Error>>| {
        Body::from_stream(futures(pieces.into_iter().map(|piece| piece.map(Bytes::from_static)).collect()))
    };
    let with = |sent: Sent, body: Body| request(&sent).map(|_| body);
    let (one, other) = BODY.split_at(5);
    let (one, other): (&'static [u8], &'static [u8]) = (one, other);
    let whole = with(agent.order(), pieces(vec![Ok(one), Ok(b""), Ok(other)]));
    assert_eq!((ask(&router, whole).await, ran.take()), (ok(), 1));
    let cut = with(agent.order(), pieces(vec![Ok(one), Err(std::io::ErrorKind::ConnectionReset.into())]));
    assert_eq!((ask(&router, cut).await, ran.take()), (refused(401, "possession.malformed"), 0));
    let shorter = with(agent.order(), pieces(vec![Ok(one)]));
    assert_eq!((ask(&router, shorter).await, ran.take()), (refused(401, "possession.content"), 0));
    let more = with(agent.order(), pieces(vec![Ok(BODY), Ok(&[b' '; 64])]));
    assert_eq!((ask(&router, more).await, ran.take()), (refused(413, "request.too_large"), 0));
    let large = with(agent.order(), Body::from(vec![b' '; 65]));
    assert_eq!((ask(&router, large).await, ran.take()), (refused(413, "request.too_large"), 0));
}

/// A stream that has all its items at hand.
fn futures(
    items: Vec<Result<Bytes, std::io::Error>>,
) -> impl futures_util::Stream<Item = Result<Bytes, std::io::Error>> {
    struct Items(std::vec::IntoIter<Result<Bytes, std::io::Error>>);
    impl futures_util::Stream for Items {
        type Item = Result<Bytes, std::io::Error>;
        fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            Poll::Ready(self.0.next())
        }
    }
    Items(items.into_iter())
}

#[tokio::test]
async fn a_selector_that_fails_or_panics_denies_and_the_denial_is_recorded() {
    let world = World::new();
    let (gateway, agent, ran) =
        (world.gateway(), world.agent("actions = [\"orders:read\"]\n"), Ran::default());
    let panics = |_: &kakunin_gateway::tower::Asked<'_>, _| std::panic::resume_unwind(Box::new("selector"));
    let fails = |_: &kakunin_gateway::tower::Asked<'_>, _| Err("no such member".into());
    let layer = RequireAgent::new(gateway.clone(), "orders:read");
    for layer in [layer.clone().select(panics), layer.select(fails)] {
        let ran = ran.clone();
        let router = Router::new().route("/orders", post(async move || ran.note()).layer(layer));
        let response = TowerToHyperService::new(router).call(request(&agent.order())).await.unwrap();
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(response.headers()["cache-control"], "no-store");
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(problem["code"], "request.amount_invalid");
        assert_eq!(problem["decision"].as_str().unwrap().len(), 8);
    }
    assert_eq!(ran.take(), 0);
}

/// Two layers around one handler: one proof, two actions.
#[tokio::test]
async fn a_layer_within_another_one_asks_for_its_own_action_of_the_same_caller() {
    let world = World::new();
    let (gateway, agent, ran) = (world.gateway(), world.agent(SCOPE), Ran::default());
    let reads = RequireAgent::new(gateway.clone(), "orders:read");
    let deletes = RequireAgent::new(gateway.clone(), "orders:delete");
    let handler = || {
        let ran = ran.clone();
        post(async move || ran.note())
    };
    let router = Router::new()
        .route("/orders", handler().layer::<_, Infallible>(orders(&gateway)).layer(reads.clone()))
        .route("/deleted", handler().layer::<_, Infallible>(deletes).layer(reads.clone()))
        // Somebody between the two changes what was proven.
        .route(
            "/changed",
            handler()
                .layer::<_, Infallible>(orders(&gateway))
                .layer::<_, Infallible>(axum::middleware::from_fn(
                    async |request: Request<Body>, next: axum::middleware::Next| {
                        next.run(request.map(|_| Body::from(r#"{"amount":"99.00"}"#))).await
                    },
                ))
                .layer(reads),
        );
    assert_eq!((ask(&router, request(&agent.order())).await, ran.take()), (ok(), 1));
    let deleted = agent.sends("POST", "/deleted", None, BODY, None);
    assert_eq!((ask(&router, request(&deleted)).await, ran.take()), (refused(403, "scope.action"), 0));
    let changed = agent.sends("POST", "/changed", None, BODY, None);
    assert_eq!((ask(&router, request(&changed)).await, ran.take()), (refused(401, "possession.content"), 0));
}

/// The word of a proxy counts from its address; the extension is this process's own.
#[tokio::test]
async fn a_proxy_is_known_by_the_address_that_this_process_saw() {
    let world = World::new();
    let proxies = vec!["10.0.0.1".parse().unwrap()];
    let proxy_field = Some(ProxyField::ClientCert);
    let options = GatewayOptions { proxies, proxy_field, ..GatewayOptions::named([SHOP]) };
    let (gateway, agent, ran) = (world.gateway_with(options), world.agent(SCOPE), Ran::default());
    let router = router(&gateway, &ran);
    let sent = crate::peers::forwarded(&agent, plain("POST", "/orders", BODY));
    assert_eq!((ask(&router, request(&sent)).await, ran.take()), (refused(401, "possession.missing"), 0));
    for (address, expected) in
        [("10.0.0.2", (refused(401, "possession.missing"), 0)), ("10.0.0.1", (ok(), 1))]
    {
        let mut request = request(&sent);
        request.extensions_mut().insert(PeerAddress(address.parse().unwrap()));
        assert_eq!((ask(&router, request).await, ran.take()), expected);
    }
}

/// How each call ended, by the receipts.
#[tokio::test]
async fn the_end_of_a_handler_is_in_the_journal() {
    let temp = tempfile::tempdir().unwrap();
    let world = World::with(StateChoice::Path(temp.path().join("state")));
    let (gateway, agent) = (world.gateway(), world.agent(SCOPE));
    let service = |handler: axum::routing::MethodRouter| {
        TowerToHyperService::new(Router::new().route("/orders", handler.layer(orders(&gateway))))
    };
    let sent = |agent: &Agent| request(&agent.sends("POST", "/orders", None, br#"{"amount":"1.00"}"#, None));
    let status = |status: StatusCode| post(async move || status);
    for code in [StatusCode::OK, StatusCode::CONFLICT, StatusCode::INTERNAL_SERVER_ERROR] {
        assert_eq!(service(status(code)).call(sent(&agent)).await.unwrap().status(), code);
    }
    // The client goes away while the handler waits.
    let waits = service(post(std::future::pending::<StatusCode>));
    let mut answer = Box::pin(waits.call(sent(&agent)));
    assert!(answer.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(answer);
    // And before anything was asked.
    drop(waits.call(sent(&agent)));
    gateway.guard().close();
    let mut ended = Vec::new();
    for stream in StreamReader::streams(&temp.path().join("state/journal")).unwrap() {
        for receipt in stream {
            if let Event::Outcome { outcome, .. } = receipt.unwrap().receipt().statement().event {
                ended.push(outcome);
            }
        }
    }
    assert_eq!(ended, [Outcome::Returned, Outcome::Returned, Outcome::Raised, Outcome::Cancelled]);
}
