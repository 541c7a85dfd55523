//! The head first: of whoever proves nothing, or is held or revoked, no body is read.

use std::convert::Infallible;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::http::Request;
use kakunin_authority::standing::Order;
use kakunin_core::guard::StateChoice;
use kakunin_core::journal::StreamReader;
use kakunin_core::receipt::{Answer, Event};
use kakunin_core::request::ActionRequest;
use kakunin_core::revocation::Standing;
use kakunin_gateway::{Gateway, GatewayOptions, MemoryNonces, ProvenHead, Refused};

use crate::tower::{Ran, ask, request, router};
use crate::world::{Agent, BODY, RAN, SCOPE, SHOP, Sent, World, buy, now, plain};

/// A body that never ends, and says when somebody looks at it.
struct Endless(Arc<AtomicUsize>);

impl futures_util::Stream for Endless {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Poll::Pending
    }
}

fn endless(sent: &Sent, read: &Arc<AtomicUsize>) -> Request<Body> {
    request(sent).map(|_| Body::from_stream(Endless(Arc::clone(read))))
}

#[tokio::test]
async fn whoever_proves_nothing_is_answered_while_its_body_is_still_to_come() {
    let world = World::new();
    let (gateway, agent, ran) = (world.gateway(), world.agent(SCOPE), Ran::default());
    let (router, read) = (router(&gateway, &ran), Arc::default());
    let other = World::new();
    other.clock.advance(72_000);
    let [held, revoked] = [Order::Suspend, Order::Revoke].map(|order| {
        let agent = world.agent(SCOPE);
        let sent = agent.order();
        world.order(&agent, order);
        sent
    });
    let old = agent.order();
    world.clock.advance(61_000);
    for (why, sent, expected) in [
        ("no proof", plain("POST", "/orders", BODY), (401, "possession.missing")),
        ("a forged one", agent.order().but("signature", FORGED), (401, "possession.signature")),
        ("an old one", old, (401, "possession.created")),
        ("another authority's agent", other.agent(SCOPE).order(), (401, "certificate.untrusted")),
        ("two ends", agent.order().with("content-length", b"1, 2"), (401, "possession.malformed")),
    ] {
        let (status, code) = ask(&router, endless(&sent, &read)).await;
        assert_eq!((status, code.as_str()), expected, "{why}");
    }
    let later = |sent: &Sent| endless(sent, &read);
    // What was proven a minute ago is too old by now, whoever it is of.
    for sent in [&held, &revoked] {
        assert_eq!(ask(&router, later(sent)).await.1, "possession.created");
    }
    assert_eq!((read.load(Ordering::SeqCst), ran.take()), (0, 0));
    // And of whoever may be let in it is waited for.
    let mut waits = Box::pin(ask(&router, endless(&agent.order(), &read)));
    let mut context = Context::from_waker(std::task::Waker::noop());
    assert!(waits.as_mut().poll(&mut context).is_pending());
    assert!(read.load(Ordering::SeqCst) > 0);
}

/// Base64 of 64 zeros.
const FORGED: &[u8] =
    b"kakunin=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==:";

#[tokio::test]
async fn an_agent_that_is_held_or_revoked_is_denied_by_its_head_and_recorded() {
    let temp = tempfile::tempdir().unwrap();
    let world = World::with(StateChoice::Path(temp.path().join("state")));
    let (gateway, ran) = (world.gateway(), Ran::default());
    let (router, read) = (router(&gateway, &ran), Arc::default());
    for (order, code) in [(Order::Suspend, "certificate.held"), (Order::Revoke, "certificate.revoked")] {
        let agent = world.agent(SCOPE);
        let [sent, other] = [agent.order(), agent.order()];
        world.order(&agent, order);
        assert_eq!(ask(&router, endless(&sent, &read)).await, (403, code.to_owned()));
        // A head counts once, so nobody has it recorded again and again.
        assert_eq!(ask(&router, endless(&sent, &read)).await, (401, "possession.replayed".to_owned()));
        assert_eq!(sent.answer(&gateway), (401, "possession.replayed"));
        assert_eq!(ask(&router, endless(&other, &read)).await, (403, code.to_owned()));
    }
    assert_eq!((read.load(Ordering::SeqCst), ran.take()), (0, 0));
    let counts = gateway.counts();
    assert_eq!((counts.identified, counts.unproven), (4, 4));
    gateway.guard().close();
    assert_eq!(denials(&temp.path().join("state/journal")), [HELD, HELD, REVOKED, REVOKED]);
}

const HELD: &str = "orders:create certificate.held";
const REVOKED: &str = "orders:create certificate.revoked";

/// What callers were denied, by the receipts.
fn denials(journal: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for stream in StreamReader::streams(journal).unwrap() {
        for receipt in stream {
            let receipt = receipt.unwrap();
            let Event::Decision { caller: Some(_), answer, action, .. } =
                &receipt.receipt().statement().event
            else {
                continue;
            };
            let code = if let Answer::Deny(code) = answer { code } else { "allowed" };
            found.push(format!("{} {code}", action.as_deref().unwrap_or("?")));
        }
    }
    found
}

fn head(agent: &Agent, gateway: &Gateway) -> (Sent, Result<ProvenHead, Refused>) {
    let sent = agent.order();
    let head = sent.head(gateway);
    (sent, head)
}

/// Somebody who saw a head has it wait until its proof is forgotten: then it would count once more.
#[test]
fn a_head_that_waited_too_long_for_its_body_proves_nothing_any_more() {
    let world = World::new();
    let (gateway, agent) = (world.gateway(), world.agent(SCOPE));
    let (sent, waits) = head(&agent, &gateway);
    let again = sent.head(&gateway).unwrap();
    waits.unwrap().identify(BODY).unwrap().admit(&buy("1.00")).unwrap().begin().unwrap().returned();
    world.clock.advance(61_000);
    world.tell(&agent);
    let refused = again.identify(BODY).unwrap_err();
    assert_eq!((refused.status(), refused.code()), (401, "possession.created"));
    // A head alone uses nothing up, and two with one proof count once.
    let (sent, one) = head(&agent, &gateway);
    let others = [sent.head(&gateway).unwrap(), sent.head(&gateway).unwrap()];
    assert_eq!(one.unwrap().identify(b"{}").unwrap_err().code(), "possession.content");
    let ends = others.map(|head| head.identify(BODY).map_err(|refused| refused.code()).map(|_| ()));
    assert_eq!(ends, [Ok(()), Err("possession.replayed")]);
}

#[test]
fn what_happens_to_an_agent_while_its_body_comes_counts() {
    let world = World::new();
    let (gateway, agent) = (world.gateway(), world.agent(SCOPE));
    let (_, waits) = head(&agent, &gateway);
    let waits = waits.unwrap();
    assert_eq!((waits.agent(), waits.standing()), (agent.id, Standing::Good));
    waits.refuse_unless_good("orders:create").unwrap();
    world.order(&agent, Order::Revoke);
    let denied = waits.identify(BODY).unwrap().admit(&buy("1.00")).unwrap_err();
    assert_eq!((denied.status(), denied.code()), (403, "certificate.revoked"));
    assert!(denied.decision_id().is_some());
}

/// What was not read allows nothing, whatever became of the agent meanwhile.
#[test]
fn an_agent_that_is_good_again_while_it_is_denied_is_not_let_in_by_its_head() {
    let world = World::new();
    let gateway = world.gateway();
    let agent = world.agent("actions = [\"orders:create\"]\n");
    let sent = agent.order();
    world.order(&agent, Order::Suspend);
    let waits = sent.head(&gateway).unwrap();
    assert_eq!(waits.standing(), Standing::Held);
    world.order(&agent, Order::Resume);
    let refused = waits.refuse_unless_good("orders:create").unwrap_err();
    assert_eq!((refused.status(), refused.code()), (503, "internal"));
    assert_eq!(agent.order().answer_to(&gateway, &ActionRequest::new("orders:create")), RAN);
}

#[test]
fn those_who_are_held_take_little_room_by_their_heads_too() {
    let world = World::new();
    let nonces = Arc::new(MemoryNonces::new(now(), 200_000));
    let options = GatewayOptions { nonces: Some(nonces), ..GatewayOptions::named([SHOP]) };
    let (gateway, agent) = (world.gateway_with(options), world.agent(SCOPE));
    world.order(&agent, Order::Suspend);
    let recorded = (0..1_200).filter(|_| {
        let refused = head(&agent, &gateway).1.unwrap().refuse_unless_good("orders:create").unwrap_err();
        assert_eq!((refused.status(), refused.code()), (403, "certificate.held"));
        refused.decision_id().is_some()
    });
    assert!(recorded.count() <= 63 * 16);
}
