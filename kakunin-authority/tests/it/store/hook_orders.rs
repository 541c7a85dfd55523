//! Any order about webhooks that a store can be given.

use kakunin_authority::hook::{HookEvent, SignatureForm};
use kakunin_authority::store::{
    Attempt, HookChange, HookRecord, Notice, ReceiverAnswer, SealedSecret, Store, Then,
};
use proptest::prelude::*;

use super::at;
use super::orders::{hook, said, tenant};
/// An order about webhooks.
#[derive(Clone, Debug)]
pub(super) enum HookOrder {
    Add {
        tenant: u8,
        id: u8,
        wants: u16,
        at: i64,
    },
    Set {
        tenant: u8,
        id: u8,
        wants: Option<u16>,
        active: Option<bool>,
        at: i64,
    },
    Remove {
        tenant: u8,
        id: u8,
    },
    Rotate {
        tenant: u8,
        id: u8,
        at: i64,
    },
    Announce {
        tenant: u8,
        /// To this one alone.
        to: Option<u8>,
        event: usize,
        at: i64,
    },
    Settle {
        id: u8,
        sequence: u64,
        then: u8,
        at: i64,
    },
    Forget(i64),
}

/// One of them.
pub(super) fn any_about_hooks() -> impl Strategy<Value = HookOrder> {
    let (tenant, id, second) = (0..3_u8, 0..3_u8, 0..40_i64);
    // Mostly a webhook with its own tenant, as in the beginning.
    let who = prop_oneof![3 => (0..2_u8).prop_map(|id| (id, id)), 1 => (tenant.clone(), id.clone())];
    let wants = prop::option::of(0..2048_u16);
    prop_oneof![
        3 => (who.clone(), 0..2048_u16, second.clone())
            .prop_map(|((tenant, id), wants, at)| HookOrder::Add { tenant, id, wants, at }),
        2 => (who.clone(), wants, prop::option::of(any::<bool>()), second.clone())
            .prop_map(|((tenant, id), wants, active, at)| HookOrder::Set { tenant, id, wants, active, at }),
        1 => who.clone().prop_map(|(tenant, id)| HookOrder::Remove { tenant, id }),
        2 => (who, second.clone()).prop_map(|((tenant, id), at)| HookOrder::Rotate { tenant, id, at }),
        3 => (tenant, prop::option::of(id.clone()), 0..HookEvent::ALL.len(), second.clone())
            .prop_map(|(tenant, to, event, at)| HookOrder::Announce { tenant, to, event, at }),
        8 => (prop_oneof![4 => Just(0), 1 => id], 0..4_u64, 0..3_u8, second.clone())
            .prop_map(|(id, sequence, then, at)| HookOrder::Settle { id, sequence, then, at }),
        1 => second.prop_map(HookOrder::Forget),
    ]
}

/// Gives the order, and says what the store answered.
pub(super) fn give_about_hooks(order: &HookOrder, store: &mut dyn Store) -> String {
    match order {
        HookOrder::Add { tenant: whose, id, wants, at: second } => {
            let record = HookRecord {
                id: hook(*id),
                tenant: tenant(*whose),
                url: format!("https://receiver.example/{id}"),
                events: events(*wants),
                form: SignatureForm::ALL[usize::from(wants % 3)],
                active: second % 4 != 0,
                created: at(*second),
                updated: at(*second),
            };
            said(store.add_hook(&record, &secret(*second)))
        }
        HookOrder::Set { tenant: whose, id, wants, active, at: second } => {
            let change = HookChange {
                url: (second % 2 == 0).then(|| format!("https://other.example/{second}")),
                events: wants.map(events),
                form: wants.map(|wants| SignatureForm::ALL[usize::from(wants % 3)]),
                active: *active,
            };
            said(store.set_hook(&tenant(*whose), hook(*id), &change, at(*second)))
        }
        HookOrder::Remove { tenant: whose, id } => said(store.remove_hook(&tenant(*whose), hook(*id))),
        HookOrder::Rotate { tenant: whose, id, at: second } => {
            let secret = secret(*second);
            said(store.rotate_secret(&tenant(*whose), hook(*id), &secret, at(second + 9)))
        }
        HookOrder::Announce { tenant: whose, to, event, at: second } => {
            let notice = Notice {
                tenant: tenant(*whose),
                event: HookEvent::ALL[*event],
                at: at(*second),
                data: r#"{"text":"\u001b[2J"}"#.into(),
            };
            match to {
                None => said(store.announce(&notice)),
                Some(id) => said(store.announce_to(hook(*id), &notice)),
            }
        }
        HookOrder::Settle { id, sequence, then, at: second } => {
            let attempt = Attempt {
                at: at(*second),
                then: [Then::Delivered, Then::Again(at(second + 5)), Then::GiveUp][usize::from(*then)],
                answer: (second % 2 == 0).then(|| ReceiverAnswer { status: 500, body: vec![0, 0xff, *id] }),
                error: (*then > 0).then(|| "refused".into()),
            };
            said(store.settle(hook(*id), *sequence, &attempt))
        }
        HookOrder::Forget(second) => said(store.forget_deliveries(at(*second))),
    }
}

/// Those whose bits are set.
fn events(wants: u16) -> Vec<HookEvent> {
    (0..).zip(HookEvent::ALL).filter(|(place, _)| wants >> place & 1 == 1).map(|(_, event)| event).collect()
}

fn secret(second: i64) -> SealedSecret {
    SealedSecret {
        sealed: second.to_be_bytes().to_vec(),
        hint: "hint".into(),
        created: at(second),
        until: None,
    }
}
