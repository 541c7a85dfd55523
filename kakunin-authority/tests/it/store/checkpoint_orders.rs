//! Orders about checkpoints that agents were shown, and all that can be asked about them.

use std::fmt::Write;

use kakunin_authority::store::{
    CheckpointRecord, ContradictionKind, ContradictionRecord, ShownFilter, Store,
};
use kakunin_core::digest::Digest;
use proptest::prelude::*;

use super::at;
use super::orders::{agent, said, tenant};

#[derive(Clone, Debug)]
pub(super) enum CheckpointOrder {
    Pin { tenant: u8, id: u8, log: u8, at: i64 },
    Keep { tenant: u8, id: u8, log: u8, size: u64, root: u8, at: i64 },
    Contradiction { tenant: u8, id: u8, kind: usize, log: u8, offered: u8, at: i64 },
}

pub(super) fn any_about_checkpoints() -> impl Strategy<Value = CheckpointOrder> {
    let who = prop_oneof![5 => (0..2_u8).prop_map(|id| (id, id)), 1 => (0..3_u8, 0..4_u8)];
    let (log, second) = (0..2_u8, 0..40_i64);
    let size = prop_oneof![12 => 0..4_u64, 1 => Just(1 << 53)];
    prop_oneof![
        1 => (who.clone(), log.clone(), second.clone())
            .prop_map(|((tenant, id), log, at)| CheckpointOrder::Pin { tenant, id, log, at }),
        4 => (who.clone(), log.clone(), size, 0..2_u8, second.clone()).prop_map(
            |((tenant, id), log, size, root, at)| CheckpointOrder::Keep { tenant, id, log, size, root, at }
        ),
        2 => (who, 0..4_usize, log, 0..3_u8, second).prop_map(
            |((tenant, id), kind, log, offered, at)| {
                CheckpointOrder::Contradiction { tenant, id, kind, log, offered, at }
            }
        ),
    ]
}

pub(super) fn give_about_checkpoints(order: &CheckpointOrder, store: &mut dyn Store) -> String {
    match order {
        CheckpointOrder::Pin { tenant: whose, id, log: which, at: second } => {
            said(store.pin_log(&tenant(*whose), agent(*id), &log(*which), at(*second)))
        }
        CheckpointOrder::Keep { tenant: whose, id, log: which, size, root, at: second } => {
            said(store.keep_checkpoint(&CheckpointRecord {
                tenant: tenant(*whose),
                agent: agent(*id),
                log: log(*which),
                size: *size,
                root: Digest::of(&[*root]),
                note: format!("{}\n{size}\n{root}\n\n— äß€ {second}\n", log(*which)),
                proven: (*second % 2 == 0).then_some(*size / 2),
                received: at(*second),
            }))
        }
        CheckpointOrder::Contradiction { tenant: whose, id, kind, log: which, offered, at: second } => {
            said(store.keep_contradiction(&ContradictionRecord {
                tenant: tenant(*whose),
                agent: agent(*id),
                kind: ContradictionKind::ALL[*kind],
                log: log(*which),
                known: (*second % 2 == 0).then(|| "known".into()),
                offered: format!("offered {offered}"),
                received: at(*second),
            }))
        }
    }
}

pub(super) fn all_about_checkpoints(store: &dyn Store) -> String {
    let mut text = String::new();
    let mut line = |what: &str, answer: String| writeln!(text, "{what}: {answer}").unwrap();
    line("contradictions", said(store.count_contradictions()));
    for whose in (0..3).map(tenant) {
        for filter in [
            ShownFilter::default(),
            ShownFilter { agents: Some(vec![agent(0), agent(2)]), below: None },
            ShownFilter { agents: Some(Vec::new()), below: None },
            ShownFilter { agents: None, below: Some(3) },
            ShownFilter { agents: None, below: Some(u64::MAX) },
        ] {
            line("checkpoints", said(store.checkpoints(&whose, &filter, 4)));
            line("contradictions", said(store.contradictions(&whose, &filter, 4)));
        }
        for which in (0..2).map(log) {
            for who in (0..4).map(agent) {
                line("largest", said(store.largest_checkpoint(&whose, who, &which)));
            }
            for size in 0..4 {
                for who in [None, Some(agent(1))] {
                    line("of size", said(store.checkpoint_of_size(&whose, who, &which, size)));
                }
            }
        }
        for who in (0..4).map(agent) {
            line("pin", said(store.log_pin(&whose, who)));
        }
    }
    text
}

fn log(number: u8) -> String {
    format!("log.example/{number}+00000000+AAAA")
}
