//! How a caller stands: by what the gateway's own guard accepted, at the moment of each action.

use kakunin_authority::standing::Order;
use kakunin_core::revocation::Standing;
use kakunin_gateway::Refused;

use crate::world::{RAN, SCOPE, World, buy};

#[test]
fn a_caller_that_is_held_or_revoked_is_denied_and_recorded() {
    let world = World::new();
    let (gateway, agent) = (world.gateway(), world.agent(SCOPE));
    assert_eq!(agent.order().answer(&gateway), RAN);
    for (order, standing, code) in [
        (Order::Suspend, Standing::Held, "certificate.held"),
        (Order::Resume, Standing::Good, "ran"),
        (Order::Revoke, Standing::Revoked, "certificate.revoked"),
    ] {
        world.order(&agent, order);
        let caller = agent.order().to(&gateway).unwrap();
        assert_eq!(caller.standing(), standing);
        match caller.admit(&buy("1.00")) {
            Ok(pass) => {
                assert_eq!(code, "ran");
                pass.begin().unwrap().returned();
            }
            Err(denied) => {
                assert_eq!((denied.status(), denied.code()), (403, code));
                assert!(denied.decision_id().is_some(), "it is in the journal");
            }
        }
    }
}

/// A caller is identified once and acts later: what the guard accepted in between counts.
#[test]
fn a_revocation_between_two_steps_stops_the_next_one() {
    let world = World::new();
    let (gateway, agent) = (world.gateway(), world.agent(SCOPE));
    let caller = agent.order().to(&gateway).unwrap();
    let pass = caller.admit(&buy("1.00")).unwrap();
    world.order(&agent, Order::Revoke);
    let denied = Refused::from(pass.begin().unwrap_err());
    assert_eq!((denied.status(), denied.code()), (403, "certificate.revoked"));
    assert_eq!(caller.standing(), Standing::Good, "what it was");
    let denied = caller.admit(&buy("1.00")).unwrap_err();
    assert_eq!((denied.status(), denied.code()), (403, "certificate.revoked"));
}

/// A chain that is remembered says nothing of standing or time.
#[test]
fn what_is_remembered_of_a_caller_ends_with_its_certificate() {
    let world = World::new();
    let (gateway, agent) = (world.gateway(), world.agent(SCOPE));
    let end = agent.guard.snapshot().unwrap().agent().path().not_after();
    for _ in 0..3 {
        assert_eq!(agent.order().answer_to(&gateway, &buy("1.00")), RAN);
    }
    world.clock.advance((end.seconds() - world.now().seconds() - 5) * 1000);
    // The gateway's own agent has a newer certificate.
    let scope = crate::world::draft(crate::world::SHOP_SCOPE);
    let newer = world.authority.renew(world.shop.id, "shop", &scope, world.now(), 7).unwrap();
    world.shop.source.renew(newer.papers);
    world.publish();
    world.tell(&agent);
    let caller = agent.order().to(&gateway).unwrap();
    let pass = caller.admit(&buy("1.00")).unwrap();
    let last = agent.order();
    world.clock.advance(10_000);
    assert_eq!(last.answer(&gateway), (401, "certificate.expired"));
    let denied = caller.admit(&buy("1.00")).unwrap_err();
    assert_eq!((denied.status(), denied.code()), (403, "certificate.expired"));
    assert_eq!(pass.begin().unwrap_err().code(), "certificate.expired");
}

#[test]
fn windows_count_what_a_caller_did_at_this_gateway() {
    let world = World::new();
    let gateway = world.gateway();
    let (one, other) = (world.agent(SCOPE), world.agent(SCOPE));
    assert_eq!(one.order().answer_to(&gateway, &buy("100.00")), RAN);
    assert_eq!(one.order().answer_to(&gateway, &buy("50.01")), (403, "budget.window"));
    assert_eq!(other.order().answer_to(&gateway, &buy("100.00")), RAN, "each agent has its own");
    // What did not run is room again; what was reserved is not.
    let caller = one.order().to(&gateway).unwrap();
    let held = caller.admit(&buy("50.00")).unwrap();
    assert_eq!(one.order().answer_to(&gateway, &buy("0.01")), (403, "budget.window"));
    drop(held);
    let running = caller.admit(&buy("50.00")).unwrap().begin().unwrap();
    drop(running);
    assert_eq!(one.order().answer_to(&gateway, &buy("0.01")), (403, "budget.window"));
    // Closing the stream is no way to have a window anew.
    world.shop.guard.close();
    assert_eq!(one.order().answer_to(&gateway, &buy("0.01")), (403, "budget.window"));
    world.clock.advance(25 * 3_600_000);
    world.publish();
    world.tell(&one);
    assert_eq!(one.order().answer_to(&gateway, &buy("100.00")), RAN);
}

#[test]
fn while_the_gateways_own_agent_may_not_act_nobody_is_let_in() {
    let world = World::new();
    let (gateway, agent) = (world.gateway(), world.agent(SCOPE));
    let caller = agent.order().to(&gateway).unwrap();
    let pass = caller.admit(&buy("1.00")).unwrap();
    let next = agent.order();
    for order in [Order::Suspend, Order::Revoke] {
        world.order(&world.shop, order);
        assert_eq!(next.answer(&gateway), (503, "gateway.not_good"));
        let refused = caller.admit(&buy("1.00")).unwrap_err();
        assert_eq!((refused.status(), refused.code()), (503, "gateway.not_good"));
        assert!(!refused.problem().contains("revoked") && !refused.problem().contains("suspended"));
        assert_eq!(refused.retry_after(), Some(1));
    }
    let refused = Refused::from(pass.begin().unwrap_err());
    assert_eq!((refused.status(), refused.code()), (503, "gateway.not_good"));
}

#[test]
fn lists_that_are_too_old_let_nobody_in() {
    let world = World::new();
    let (gateway, agent) = (world.gateway(), world.agent(SCOPE));
    let caller = agent.order().to(&gateway).unwrap();
    let pass = caller.admit(&buy("1.00")).unwrap();
    world.clock.advance(24 * 3_600_000);
    assert_eq!(caller.admit(&buy("1.00")).unwrap_err().code(), "revocation.stale");
    let refused = Refused::from(pass.begin().unwrap_err());
    assert_eq!((refused.status(), refused.code()), (503, "revocation.stale"));
    world.tell(&agent);
    assert_eq!(agent.order().answer(&gateway), (503, "revocation.stale"));
}
