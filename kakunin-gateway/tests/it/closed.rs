//! What fails inside lets nobody in.

use std::sync::Arc;

use kakunin_core::digest::Digest;
use kakunin_core::guard::StateChoice;
use kakunin_core::time::UnixTime;
use kakunin_gateway::{GatewayOptions, NonceError, NonceStore};

use crate::world::{RAN, SCOPE, SHOP, World, buy};

/// A store that fails in one way.
#[derive(Debug)]
enum Broken {
    Panics,
    Fails,
}

impl NonceStore for Broken {
    fn remember(&self, _: &Digest, _: UnixTime, _: UnixTime) -> Result<(), NonceError> {
        match self {
            Self::Panics => std::panic::resume_unwind(Box::new("the store")),
            Self::Fails => Err(NonceError::Unavailable("connection refused".to_owned())),
        }
    }
}

#[test]
fn a_store_of_nonces_that_fails_or_panics_is_a_refusal() {
    let world = World::new();
    for broken in [Broken::Panics, Broken::Fails] {
        let options = GatewayOptions { nonces: Some(Arc::new(broken)), ..GatewayOptions::named([SHOP]) };
        let gateway = world.gateway_with(options);
        let refused = world.agent(SCOPE).order().to(&gateway).unwrap_err();
        assert_eq!((refused.status(), refused.code()), (503, "internal"));
        assert!(!refused.problem().contains("connection"), "what failed is for the operator");
        assert_eq!(gateway.counts().unavailable, 1);
    }
}

#[test]
fn a_guard_that_was_closed_opens_a_new_stream_and_ends_what_the_old_one_let_in() {
    let world = World::new();
    let (gateway, agent) = (world.gateway(), world.agent(SCOPE));
    let caller = agent.order().to(&gateway).unwrap();
    let pass = caller.admit(&buy("1.00")).unwrap();
    gateway.guard().close();
    let denied = pass.begin().unwrap_err();
    assert_eq!(denied.code(), "journal.unavailable");
    assert!(denied.is_of_guard());
    assert_eq!(agent.order().answer(&gateway), RAN);
}

#[test]
fn a_gateway_in_the_child_of_a_fork_lets_nobody_in_if_its_state_was_in_memory() {
    let world = World::new();
    let (gateway, agent) = (world.gateway(), world.agent(SCOPE));
    let caller = agent.order().to(&gateway).unwrap();
    let pass = caller.admit(&buy("1.00")).unwrap();
    world.shop.guard.before_fork();
    world.shop.guard.after_fork_in_child();
    assert_eq!(agent.order().answer(&gateway), (503, "gateway.not_good"));
    assert_eq!(caller.admit(&buy("1.00")).unwrap_err().code(), "gateway.not_good");
    assert!(pass.begin().is_err());
}

/// With files the child goes on in a stream of its own, and what its parent let in stays the parent's.
#[test]
fn a_gateway_with_files_goes_on_in_the_child_of_a_fork() {
    let temp = tempfile::tempdir().unwrap();
    let world = World::with(StateChoice::Path(temp.path().join("state")));
    let (gateway, agent) = (world.gateway(), world.agent(SCOPE));
    let used = agent.order();
    assert_eq!(used.answer(&gateway), RAN);
    let pass = agent.order().to(&gateway).unwrap().admit(&buy("1.00")).unwrap();
    world.shop.guard.before_fork();
    world.shop.guard.after_fork_in_child();
    assert_eq!(pass.begin().unwrap_err().code(), "journal.unavailable");
    assert_eq!(used.answer(&gateway), (401, "possession.replayed"), "what was used before the fork");
    assert_eq!(agent.order().answer(&gateway), RAN);
    let spent = agent.order().to(&gateway).unwrap().admit(&buy("100.00")).unwrap();
    assert_eq!(
        agent.order().answer_to(&gateway, &buy("40.00")),
        (403, "budget.window"),
        "what was spent before it"
    );
    drop(spent);
}
