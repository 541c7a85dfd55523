//! Orders about declared events and their chains, and all that can be asked about them.

use std::fmt::Write;

use kakunin_authority::store::{
    ChainPage, Declaration, DeclaredFilter, EventId, NewChain, Store, chain_holds,
};
use kakunin_core::id::{ChainId, SerialNumber};
use proptest::prelude::*;

use super::at;
use super::orders::{agent, said, tenant};

#[derive(Clone, Debug)]
pub(super) enum DeclaredOrder {
    Chain { tenant: u8, id: u8, text: String, at: i64 },
    Close { tenant: u8, id: u8, at: i64 },
    Event { tenant: u8, agent: u8, id: u8, chain: Option<u8>, text: String, score: u8, at: i64 },
}

pub(super) fn any_about_declared() -> impl Strategy<Value = DeclaredOrder> {
    let second = 0..200_000_i64;
    let text = prop::sample::select(vec!["", "{}", "'; DROP TABLE declared", "\u{1b}[2J\r\n", "äß€"]);
    let text = text.prop_map(str::to_owned);
    let who = prop_oneof![4 => (0..2_u8).prop_map(|id| (id, id)), 1 => (0..3_u8, 0..4_u8)];
    prop_oneof![
           2 => (who.clone(), text.clone(), second.clone())
               .prop_map(|((tenant, id), text, at)| DeclaredOrder::Chain { tenant, id, text, at }),
           1 => (0..3_u8, 0..4_u8, second.clone())
               .prop_map(|(tenant, id, at)| DeclaredOrder::Close { tenant, id, at }),
           6 => (who, 0..12_u8, prop::option::of(Just(())), text, 0..101_u8, second).prop_map(
               |((tenant, agent), id, chain, text, score, at)| DeclaredOrder::Event {
                   tenant,
    agent,
    id,
    chain: chain.map(|()| agent),
    text,
    score,
    at
               }
           ),
       ]
}

pub(super) fn give_about_declared(order: &DeclaredOrder, store: &mut dyn Store) -> String {
    match order {
        DeclaredOrder::Chain { tenant: whose, id, text, at: second } => said(store.add_chain(&NewChain {
            id: chain(*id),
            tenant: tenant(*whose),
            name: text.clone(),
            description: (second % 2 == 0).then(|| text.clone()),
            metadata: (second % 3 == 0).then(|| "{}".into()),
            created: at(*second),
        })),
        DeclaredOrder::Close { tenant: whose, id, at: second } => {
            said(store.close_chain(&tenant(*whose), chain(*id), at(*second)))
        }
        DeclaredOrder::Event { tenant: whose, agent: who, id, chain: within, text, score, at: second } => {
            said(store.declare(&Declaration {
                id: event(*id),
                tenant: tenant(*whose),
                agent: agent(*who),
                action: if second % 2 == 0 { "api_call".into() } else { text.clone() },
                score: *score,
                occurred: at(second - 7),
                received: at(*second),
                session: (second % 3 == 0).then(|| text.clone()),
                details: (second % 5 == 0).then(|| text.clone()),
                address: None,
                certificate: (second % 2 == 0).then(|| SerialNumber::from_random([*id; 16])),
                chain: within.map(chain),
            }))
        }
    }
}

pub(super) fn all_about_declared(store: &dyn Store) -> String {
    let mut text = String::new();
    let mut line = |what: &str, answer: String| writeln!(text, "{what}: {answer}").unwrap();
    for whose in (0..3).map(tenant) {
        let all = DeclaredFilter::default();
        for filter in [
            all.clone(),
            DeclaredFilter { agents: Some(vec![agent(0), agent(2)]), ..all.clone() },
            DeclaredFilter { agents: Some(Vec::new()), ..all.clone() },
            DeclaredFilter { action: Some("api_call".into()), least: Some(30), ..all.clone() },
            DeclaredFilter { under: Some(30), below: Some(event(3)), ..all.clone() },
            DeclaredFilter { since: Some(at(50_000)), before: Some(at(150_000)), ..all },
        ] {
            line("declared", said(store.declared(&whose, &filter, 3)));
            line("declared after", said(store.declared_after(&whose, &filter, None, 3)));
            let after = Some(EventId::from_bytes([1; 16]));
            line("declared after one", said(store.declared_after(&whose, &filter, after, 3)));
        }
        for who in (0..4).map(agent) {
            line("days", said(store.declared_days(&whose, who, at(20_000))));
        }
        for (open, after, offset) in
            [(None, None, 0), (Some(true), None, 1), (Some(false), Some(chain(1)), 0)]
        {
            line("chains", said(store.chains(&whose, &ChainPage { open, after, offset, limit: 3 })));
            line("chain count", said(store.count_chains(&whose, open)));
        }
        for id in (0..4).map(chain) {
            let (record, events) = (store.chain(&whose, id), store.chain_events(&whose, id));
            if let (Ok(Some(record)), Ok(events)) = (&record, &events) {
                assert!(chain_holds(record, events), "{record:?} {events:?}");
            }
            line("chain", said(record));
            line("chain events", said(events));
            line("any chain", said(store.any_chain(id)));
        }
    }
    text
}

fn chain(number: u8) -> ChainId {
    ChainId::from_bytes([number; 16])
}

fn event(number: u8) -> EventId {
    EventId::from_bytes([number; 16])
}
