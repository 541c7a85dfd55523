//! Who calls: what a signature proves here, and what proves nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kakunin_authority::standing::Order;
use kakunin_core::chain::ChainLink;
use kakunin_core::digest::Digest;
use kakunin_core::guard::{Guard, GuardOptions, StateChoice};
use kakunin_core::id::SerialNumber;
use kakunin_core::key::{Signer, SoftKey};
use kakunin_core::possession::{Prover, Target};
use kakunin_core::receipt::Mode;
use kakunin_core::request::ActionRequest;
use kakunin_core::time::UnixTime;
use kakunin_gateway::{
    Gateway, GatewayOptions, MemoryNonces, NonceError, NonceStore, OpenError, ProofOfPossession,
};
use serde_json::Value;

use crate::world::{BODY, RAN, SCOPE, SHOP, World, buy, draft, now, plain};

#[test]
fn a_signed_request_is_its_agents_and_is_let_in_by_its_leash() {
    let world = World::new();
    let (gateway, agent) = (world.gateway(), world.agent(SCOPE));
    let caller = agent.order().to(&gateway).unwrap();
    assert_eq!((caller.agent(), caller.possession()), (agent.id, ProofOfPossession::Signature));
    let serial: SerialNumber = caller.certificate_serial();
    assert_eq!(serial, agent.guard.snapshot().unwrap().agent().path().agent().decoded().serial());
    assert!(caller.link().is_none());
    let pass = caller.admit(&buy("12.50")).unwrap();
    let decision = pass.receipt().unwrap();
    assert_eq!(pass.begin().unwrap().receipt(), Some(decision));
    // Several actions of one request, each by itself.
    let denied = caller.admit(&buy("100.01")).unwrap_err();
    assert_eq!((denied.status(), denied.code()), (403, "scope.amount"));
    let denied = caller.admit(&ActionRequest::new("orders:delete")).unwrap_err();
    assert_eq!((denied.status(), denied.code()), (403, "scope.action"));
    // Its own agent's scope has nothing to do with that.
    assert_eq!(caller.admit(&ActionRequest::new("shop:close")).unwrap_err().code(), "scope.action");
}

#[test]
fn a_refusal_is_a_problem_that_shows_no_limit() {
    let world = World::new();
    let (gateway, agent) = (world.gateway(), world.agent(SCOPE));
    let denied = agent.order().to(&gateway).unwrap().admit(&buy("100.01")).unwrap_err();
    let problem: Value = serde_json::from_str(denied.problem()).unwrap();
    assert_eq!(problem["type"], "urn:kakunin:problem:scope.amount");
    assert_eq!((&problem["status"], &problem["code"]), (&403.into(), &"scope.amount".into()));
    assert_eq!(problem["decision"].as_str(), denied.decision_id());
    assert_eq!(denied.decision_id().unwrap().len(), 8);
    assert_eq!(problem["detail"].as_str().unwrap(), denied.detail());
    assert!(!denied.problem().contains("100"), "{}", denied.problem());
    assert!(denied.cause().unwrap().contains("100.00 EUR"), "the operator sees it");
    let fields = denied.fields();
    assert_eq!(fields[0], ("content-type", "application/problem+json".to_owned()));
    assert_eq!(fields[1], ("cache-control", "no-store".to_owned()));
    assert_eq!(fields.len(), 2);
    // Whoever proves nothing is told how to.
    let missing = plain("POST", "/orders", BODY).to(&gateway).unwrap_err();
    assert_eq!((missing.status(), missing.code(), missing.decision_id()), (401, "possession.missing", None));
    let fields = missing.fields();
    assert!(fields.contains(&("www-authenticate", "Signature".to_owned())));
    let accept = fields.iter().find(|(name, _)| *name == "accept-signature").unwrap();
    let input = String::from_utf8(agent.order().value("signature-input")).unwrap();
    let components = input.split(';').next().unwrap();
    assert!(accept.1.starts_with(components), "{accept:?}");
}

#[test]
fn a_proof_counts_once_and_for_one_request() {
    let world = World::new();
    let (gateway, agent) = (world.gateway(), world.agent(SCOPE));
    let sent = agent.order();
    assert_eq!(sent.answer(&gateway), RAN);
    assert_eq!(sent.answer(&gateway), (401, "possession.replayed"));
    let changed = |change: &dyn Fn(&mut crate::world::Sent)| {
        let mut sent = agent.order();
        change(&mut sent);
        let answer = sent.answer(&gateway);
        assert_ne!(answer, RAN);
        answer.1
    };
    assert_eq!(changed(&|sent| sent.method = "PUT"), "possession.signature");
    assert_eq!(changed(&|sent| sent.path.push('/')), "possession.signature");
    assert_eq!(changed(&|sent| sent.path = "/%6Frders".into()), "possession.signature");
    assert_eq!(changed(&|sent| sent.query = Some("x".into())), "possession.signature");
    assert_eq!(changed(&|sent| sent.body.push(b' ')), "possession.content");
    assert_eq!(changed(&|sent| sent.body.clear()), "possession.content");
    let elsewhere = changed(&|sent| *sent = sent.clone().but("host", b"other.example.com"));
    assert_eq!(elsewhere, "possession.authority");
    let older = agent.order();
    world.clock.advance(61_000);
    assert_eq!(older.answer(&gateway), (401, "possession.created"));
}

/// A stranger who saw a proof can neither use it up with another body nor take the room of others.
#[test]
fn a_proof_that_does_not_hold_uses_nothing_up() {
    let world = World::new();
    let nonces = Arc::new(MemoryNonces::new(now(), 16));
    let options = GatewayOptions { nonces: Some(nonces), ..GatewayOptions::named([SHOP]) };
    let (gateway, agent) = (world.gateway_with(options), world.agent(SCOPE));
    let sent = agent.order();
    for _ in 0..100 {
        let mut other = sent.clone();
        other.body = b"{}".to_vec();
        assert_eq!(other.answer(&gateway), (401, "possession.content"));
        let forged = sent.clone().but("signature", format!("kakunin=:{}:", "A".repeat(86) + "==").as_bytes());
        assert_eq!(forged.answer(&gateway), (401, "possession.signature"));
    }
    assert_eq!(sent.answer(&gateway), RAN);
    assert_eq!(gateway.counts().unproven, 200);
}

#[test]
fn a_store_without_room_takes_nothing() {
    let world = World::new();
    let nonces = Arc::new(MemoryNonces::new(now(), 16));
    let options = GatewayOptions { nonces: Some(nonces), ..GatewayOptions::named([SHOP]) };
    let (gateway, agent) = (world.gateway_with(options), world.agent("actions = [\"orders:read\"]\n"));
    let mut full = 0;
    for _ in 0..200 {
        match agent.order().answer_to(&gateway, &ActionRequest::new("orders:read")) {
            RAN => {}
            (503, "possession.full") => full += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(
        (200 - 32..200).contains(&full),
        "{full}: each of sixteen parts has room for one, in two buckets"
    );
    let refused = loop {
        if let Err(refused) = agent.order().to(&gateway) {
            break refused;
        }
    };
    assert_eq!(refused.retry_after(), Some(60));
}

/// Counts what it is given, and has room for everything.
#[derive(Debug, Default)]
struct Counting(AtomicUsize);

impl NonceStore for Counting {
    fn remember(&self, _: &Digest, _: UnixTime, _: UnixTime) -> Result<(), NonceError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// C289: denied whatever they ask, they would take the room that the proofs of others need, and the disk.
#[test]
fn agents_that_are_held_or_revoked_take_little_of_the_room_for_proofs() {
    let world = World::new();
    let nonces = Arc::new(Counting::default());
    let options = GatewayOptions {
        nonces: Some(Arc::clone(&nonces) as Arc<dyn NonceStore>),
        ..GatewayOptions::named([SHOP])
    };
    let (gateway, other) = (world.gateway_with(options), world.agent(SCOPE));
    let agents = [Order::Suspend, Order::Revoke].map(|order| {
        let agent = world.agent(SCOPE);
        world.order(&agent, order);
        agent
    });
    let (mut recorded, mut refused) = (0, 0);
    for turn in 0..1_600 {
        let (agent, code) =
            agents.iter().zip(["certificate.held", "certificate.revoked"]).nth(turn % 2).unwrap();
        match agent.order().to(&gateway) {
            Ok(_) => recorded += 1,
            Err(error) => {
                assert_eq!((error.status(), error.code(), error.decision_id()), (403, code, None));
                assert!(error.cause().unwrap().contains("90 s"));
                refused += 1;
            }
        }
    }
    let most = 63 * 16;
    assert!(recorded <= most && refused >= 1_600 - most, "{recorded} and {refused}");
    assert_eq!(nonces.0.load(Ordering::Relaxed), recorded, "nothing else reached the store");
    assert_eq!(gateway.counts().unproven, refused as u64);
    assert_eq!(other.order().answer(&gateway), RAN);
    // Time gives room again.
    world.clock.advance(180_000);
    world.tell(&other);
    assert!(agents.iter().all(|agent| agent.order().to(&gateway).is_ok()));
}

#[test]
fn a_gateway_that_has_just_begun_takes_no_proof_that_may_have_been_used_before() {
    let world = World::new();
    let agent = world.agent(SCOPE);
    let gateway = Gateway::open(world.shop.guard.clone(), GatewayOptions::named([SHOP])).unwrap();
    let refused = agent.order().to(&gateway).unwrap_err();
    assert_eq!(
        (refused.status(), refused.code(), refused.retry_after()),
        (503, "possession.starting", Some(11))
    );
    assert!(refused.fields().contains(&("retry-after", "11".to_owned())));
    world.clock.advance(11_000);
    assert_eq!(agent.order().answer(&gateway), RAN);
}

#[test]
fn threads_that_show_one_proof_at_once_get_one_answer() {
    let world = World::new();
    let (gateway, agent) = (world.gateway(), world.agent("actions = [\"orders:read\"]\n"));
    for _ in 0..20 {
        let sent = agent.order();
        let read = ActionRequest::new("orders:read");
        let ran = std::thread::scope(|threads| {
            let asked: Vec<_> =
                (0..8).map(|_| threads.spawn(|| sent.answer_to(&gateway, &read) == RAN)).collect();
            asked.into_iter().map(|thread| usize::from(thread.join().unwrap())).sum::<usize>()
        });
        assert_eq!(ran, 1);
    }
}

#[test]
fn what_two_readers_could_take_for_two_requests_is_refused() {
    let world = World::new();
    let (gateway, agent) = (world.gateway(), world.agent(SCOPE));
    let malformed = (401, "possession.malformed");
    for (why, field, value, expected) in [
        ("one length", "content-length", &b"18"[..], RAN),
        ("two hosts", "host", b"shop.example.com", malformed),
        ("a host in capitals", "HOST", b"shop.example.com", malformed),
        ("two signatures", "signature", b"kakunin=:AA==:", malformed),
        ("a digest more", "Content-Digest", b"sha-256=:AA==:", malformed),
        ("no number", "content-length", b"0x12", malformed),
        ("a sign", "content-length", b"+18", malformed),
        ("two in one line", "content-length", b"18, 17", malformed),
        ("a link that nobody signed", "kakunin-chain", b"x", (401, "possession.components")),
    ] {
        assert_eq!(agent.order().with(field, value).answer(&gateway), expected, "{why}");
    }
    let two = agent.order().with("content-length", b"18").with("Content-Length", b"17");
    assert_eq!(two.answer(&gateway), malformed);
    let same = agent.order().with("content-length", b"18").with("Content-Length", b"18");
    assert_eq!(same.answer(&gateway), RAN);
    let both = agent.order().with("content-length", b"18").with("Transfer-Encoding", b"chunked");
    assert_eq!(both.answer(&gateway), malformed);
    assert_eq!(agent.order().with("transfer-encoding", b"chunked").answer(&gateway), RAN);
    assert_eq!(agent.order().without("host").answer(&gateway), malformed);
    let mut sent = agent.order();
    sent.authority = Some("SHOP.example.com");
    assert_eq!(sent.answer(&gateway), RAN, "the field `host` may stand beside it");
    let mut sent = agent.order().without("host");
    sent.authority = Some(SHOP);
    assert_eq!(sent.answer(&gateway), RAN);
    let mut sent = agent.order();
    sent.authority = Some("other.example.com");
    assert_eq!(sent.answer(&gateway), malformed);
}

#[test]
fn a_body_over_the_limit_is_not_looked_at() {
    let world = World::new();
    let options = GatewayOptions { max_body: BODY.len(), ..GatewayOptions::named([SHOP]) };
    let (gateway, agent) = (world.gateway_with(options), world.agent(SCOPE));
    assert_eq!(agent.order().answer(&gateway), RAN);
    let larger = agent.sends("POST", "/orders", None, &[b' '; 19], None);
    assert_eq!(larger.answer(&gateway), (413, "request.too_large"));
}

#[test]
fn the_link_of_a_chain_comes_with_the_caller() {
    let world = World::new();
    let (gateway, agent) = (world.gateway(), world.agent(SCOPE));
    let chain = Guard::new_chain().unwrap();
    let link = ChainLink::new(chain, kakunin_core::receipt::ReceiptHash::of(b"cause"));
    let trace = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let sent = agent.sends("POST", "/orders", None, BODY, Some(&link)).with("traceparent", trace);
    let caller = sent.to(&gateway).unwrap();
    assert_eq!(caller.link(), Some(&link));
    let running = caller.admit(&buy("1.00")).unwrap().begin().unwrap();
    let next = running.link().unwrap();
    assert_eq!((next.chain(), Some(next.from())), (chain, running.receipt()));
}

#[test]
fn a_certificate_of_another_authority_or_another_issuer_proves_nothing() {
    let world = World::new();
    let gateway = world.gateway();
    let other = World::new();
    other.clock.advance(11_000);
    let stranger = other.agent(SCOPE);
    assert_eq!(stranger.order().answer(&gateway), (401, "certificate.untrusted"));
}

/// Known is a chain of which every octet came before, and not every chain of an agent that came before.
#[test]
fn another_chain_of_an_agent_that_is_known_is_read_anew() {
    let world = World::new();
    let gateway = world.gateway();
    let enrolled = world.authority.certify("buyer", &draft(SCOPE), world.now(), 7).unwrap();
    let key = enrolled.key.to_vec();
    let agent = world.agent_of(enrolled);
    assert_eq!(agent.order().answer(&gateway), RAN);
    let field = "kakunin-certificate-chain";
    let value = String::from_utf8(agent.order().value(field)).unwrap();
    let (leaf, issuing) = value.split_once(", ").unwrap();
    for (chain, code) in [
        (leaf.to_owned(), "certificate.untrusted"),
        (format!("{leaf}, {leaf}"), "certificate.untrusted"),
        (format!("{leaf}, :AA==:"), "certificate.untrusted"),
        (format!("{issuing}, {leaf}"), "possession.key"),
        (format!("{value}, "), "possession.malformed"),
        (format!("{leaf},  {issuing}"), "possession.malformed"),
        // Whether there is padding to leave out is up to the length of a signature.
        (value.replacen(":, ", "=:, ", 1), "possession.malformed"),
        // Others that lead to the same path: here it is the signature that says they were not sent.
        (format!("{value}, {issuing}"), "possession.signature"),
    ] {
        let answer = agent.order().but(field, chain.as_bytes()).answer(&gateway);
        assert_eq!(answer, (401, code), "{chain}");
    }
    let signer = Arc::new(Signer::soft(SoftKey::from_pkcs8(&key).unwrap()));
    let whole: Vec<&[u8]> = agent.papers.chain.iter().chain(&agent.papers.roots).map(Vec::as_slice).collect();
    let prover = Prover::new(signer, &agent.papers.agent, &whole).unwrap();
    let target = Target { method: "POST", authority: SHOP, path: "/orders", query: None };
    for nonce in [[1; 16], [2; 16]] {
        let proof = prover.prove(&target, BODY, None, world.now(), nonce).unwrap();
        let sent = proof
            .fields()
            .fold(plain("POST", "/orders", BODY), |sent, (name, value)| sent.with(name, value.as_bytes()));
        assert_eq!(sent.answer(&gateway), RAN, "its root needs not be sent, and may be");
        assert_eq!(agent.order().answer(&gateway), RAN);
    }
}

/// Observing waives what a scope denies, also the scope of a caller.
#[test]
fn a_guard_that_only_observes_is_no_gateway() {
    let world = World::new();
    let options = GuardOptions { mode: Mode::Observe, state: StateChoice::Memory, ..GuardOptions::default() };
    let guard = Guard::in_memory(Arc::clone(&world.shop.source), options).unwrap();
    let refused = Gateway::open(guard, GatewayOptions::named([SHOP])).map(drop).unwrap_err();
    assert!(matches!(refused, OpenError::Observes), "{refused}");
    assert!(refused.to_string().contains("enforce"), "{refused}");
}

#[test]
fn a_gateway_needs_names_that_requests_are_addressed_to() {
    let world = World::new();
    let open = |options| Gateway::open(world.shop.guard.clone(), options).map(drop);
    assert!(matches!(open(GatewayOptions::default()), Err(OpenError::NoNames)));
    for wrong in ["", "https://shop.example.com", "shop.example.com/api", "*", "a b", "a,b", "me@shop"] {
        assert!(matches!(open(GatewayOptions::named([wrong])), Err(OpenError::Name(_))), "{wrong}");
    }
    let lists = Some("/nowhere".into());
    let folder = open(GatewayOptions { lists, ..GatewayOptions::named([SHOP]) });
    assert!(matches!(folder, Err(OpenError::Folder(_))));
}
