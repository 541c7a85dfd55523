//! Enrolment tokens: for one agent, one key and a while.

use kakunin_authority::access::KeyPrefix;
use kakunin_authority::standing::Standing;
use kakunin_authority::store::{Agents, Reservation, Store, StoreError, TokenRecord, Tokens};
use kakunin_core::digest::Digest;
use kakunin_core::id::AgentId;

use super::{Bench, agent, at, first, ours, reservation, serial, theirs};

fn token(number: u8, of: u8) -> TokenRecord {
    TokenRecord {
        prefix: KeyPrefix::from_random([number; 8]),
        secret: Digest::of(&[number]),
        tenant: ours(),
        agent: AgentId::from_random([of; 16]),
        created: at(100),
        expires: at(200),
        redeemed: None,
    }
}

/// A certificate with this number for `key` of agent 1.
fn asked(number: u16, key: u8) -> Reservation {
    Reservation { key: Digest::of(&[key]), ..reservation(first(), number, 1) }
}

#[test]
fn a_token_is_redeemed_by_one_key_for_one_certificate() {
    let mut bench = Bench::new();
    let store: &mut dyn Store = &mut bench.store;
    store.add_agent(&agent(1)).unwrap();
    let token = token(7, 1);
    store.add_token(&token).unwrap();
    assert_eq!(store.token(&token.prefix).unwrap().as_ref(), Some(&token));
    store.redeem(&token.prefix, &asked(1, 1), at(150)).unwrap();
    // Nobody else's key, though nothing was signed yet.
    let other = store.redeem(&token.prefix, &asked(2, 2), at(151));
    assert!(matches!(other, Err(StoreError::TokenUsed { .. })), "{other:?}");
    // A crash before the signature costs nobody his token.
    store.keep_tbs(serial(1), b"to be signed").unwrap();
    store.redeem(&token.prefix, &asked(3, 1), at(152)).unwrap();
    store.keep_tbs(serial(3), b"to be signed").unwrap();
    store.keep_certificate(serial(3), b"signed").unwrap();
    let redeemed = store.token(&token.prefix).unwrap().unwrap().redeemed.unwrap();
    assert_eq!((redeemed.serial, redeemed.key, redeemed.at), (serial(3), Digest::of(&[1]), at(152)));
    let again = store.redeem(&token.prefix, &asked(4, 1), at(153));
    assert!(matches!(again, Err(StoreError::TokenUsed { .. })), "{again:?}");
    assert_eq!(store.certificate(serial(4)).unwrap(), None);
}

#[test]
fn a_token_that_ended_or_is_anothers_reserves_nothing() {
    let mut bench = Bench::new();
    let store: &mut dyn Store = &mut bench.store;
    store.add_agent(&agent(1)).unwrap();
    store.add_agent(&agent(2)).unwrap();
    store.add_token(&token(7, 1)).unwrap();
    store.add_token(&token(8, 2)).unwrap();
    let taken = store.add_token(&token(7, 2));
    assert!(matches!(taken, Err(StoreError::KeyTaken { .. })), "{taken:?}");
    for (foreign, number) in [(TokenRecord { tenant: theirs(), ..token(9, 1) }, 9), (token(10, 3), 10)] {
        let nobody = store.add_token(&foreign);
        assert!(matches!(nobody, Err(StoreError::UnknownAgent { .. })), "{number}: {nobody:?}");
    }
    for (number, second) in [(8, 150), (7, 200), (99, 150)] {
        let refused = store.redeem(&token(number, 1).prefix, &asked(1, 1), at(second));
        assert!(matches!(refused, Err(StoreError::UnknownToken { .. })), "{number}: {refused:?}");
    }
    // What was refused took nothing, neither the number nor the token.
    store.redeem(&token(7, 1).prefix, &asked(1, 1), at(199)).unwrap();
    assert_eq!(store.forget_tokens(at(199)).unwrap(), 0);
    assert_eq!(store.forget_tokens(at(200)).unwrap(), 2);
    assert_eq!(store.token(&token(7, 1).prefix).unwrap(), None);
}

#[test]
fn an_agent_that_is_revoked_has_no_tokens_and_one_that_is_held_redeems_none() {
    let mut bench = Bench::new();
    bench.store.add_agent(&agent(1)).unwrap();
    bench.store.add_token(&token(7, 1)).unwrap();
    bench.change(1, Standing::Held, at(110));
    let refused = bench.store.redeem(&token(7, 1).prefix, &asked(1, 1), at(120));
    assert!(matches!(refused, Err(StoreError::NotGood { .. })), "{refused:?}");
    assert_eq!(bench.store.token(&token(7, 1).prefix).unwrap().unwrap().redeemed, None);
    bench.change(1, Standing::Good, at(130));
    bench.change(1, Standing::Revoked, at(140));
    // Nor when it comes back: whoever has the token may be why it was revoked.
    bench.change(1, Standing::Good, at(150));
    let refused = bench.store.redeem(&token(7, 1).prefix, &asked(1, 1), at(160));
    assert!(matches!(refused, Err(StoreError::UnknownToken { .. })), "{refused:?}");
}
