//! Orders about how agents behave, and all that can be asked about it.

use std::fmt::Write;

use kakunin_authority::access::Actor;
use kakunin_authority::store::{
    ContentCheck, ReceiptPlace, RiskEvent, RiskEventKind, RiskRecord, RiskSeal, RiskSign, SignKind, Store,
    Verdict,
};
use kakunin_core::digest::Digest;
use kakunin_core::id::StreamId;
use kakunin_core::risk::RiskLevel;
use proptest::prelude::*;

use super::at;
use super::orders::{agent, said, tenant};

#[derive(Clone, Debug)]
pub(super) enum RiskOrder {
    Place { tenant: u8, id: u8, number: u64 },
    Keep { tenant: u8, id: u8, level: usize, at: i64 },
    HandIn { tenant: u8, id: u8, kind: usize, at: i64 },
    TakeOut(u64),
    Event { tenant: u8, id: u8, kind: usize, level: usize, sealed: bool, at: i64 },
    Seal(u64, u8),
    Check { tenant: u8, id: u8, verdict: usize, at: i64 },
    End { number: u64, verdict: usize, at: i64 },
    GiveUp(i64),
}

pub(super) fn any_about_risk() -> impl Strategy<Value = RiskOrder> {
    let who = || prop_oneof![5 => (0..2_u8).prop_map(|id| (id, id)), 1 => (0..3_u8, 0..4_u8)];
    let (second, level) = (|| 0..40_i64, || 0..5_usize);
    let number = || prop_oneof![8 => 0..6_u64, 1 => Just(1 << 53)];
    prop_oneof![
        1 => (who(), number()).prop_map(|((tenant, id), number)| RiskOrder::Place { tenant, id, number }),
        3 => (who(), level(), second())
            .prop_map(|((tenant, id), level, at)| RiskOrder::Keep { tenant, id, level, at }),
        2 => (who(), 0..SignKind::ALL.len(), second())
            .prop_map(|((tenant, id), kind, at)| RiskOrder::HandIn { tenant, id, kind, at }),
        1 => number().prop_map(RiskOrder::TakeOut),
        3 => (who(), 0..3_usize, level(), any::<bool>(), second()).prop_map(
            |((tenant, id), kind, level, sealed, at)| RiskOrder::Event { tenant, id, kind, level, sealed, at }
        ),
        2 => (number(), 0..3_u8).prop_map(|(number, by)| RiskOrder::Seal(number, by)),
        2 => (who(), 0..4_usize, second())
            .prop_map(|((tenant, id), verdict, at)| RiskOrder::Check { tenant, id, verdict, at }),
        2 => (number(), 0..4_usize, second())
            .prop_map(|(number, verdict, at)| RiskOrder::End { number, verdict, at }),
        1 => second().prop_map(RiskOrder::GiveUp),
    ]
}

pub(super) fn give_about_risk(order: &RiskOrder, store: &mut dyn Store) -> String {
    match *order {
        RiskOrder::Place { tenant: whose, id, number } => {
            let place = ReceiptPlace {
                agent: agent(id),
                stream: StreamId::from_bytes([id; 16]),
                sequence: number,
                hash: Digest::of(&number.to_be_bytes()),
            };
            said(store.set_risk_place(&tenant(whose), &place))
        }
        RiskOrder::Keep { tenant: whose, id, level, at: second } => {
            let text = |what: &str| (second % 3 != 0).then(|| format!("{what} \u{0} — äß€ {second}"));
            said(store.keep_risk(&RiskRecord {
                tenant: tenant(whose),
                agent: agent(id),
                level: RiskLevel::ALL[level],
                score: 1000 - u16::from(id),
                policy: text("policy"),
                baseline: text("baseline"),
                state: text("state"),
                calls: second.unsigned_abs(),
                tried: second.unsigned_abs() / 2,
                unlearnt: text("unlearnt"),
                first: (second % 2 == 0).then(|| at(second)),
                last: (second % 2 == 1).then(|| at(second)),
                pause: second * 60,
                silent: second % 2 == 0,
                gaps: text("gaps"),
                updated: at(second),
            }))
        }
        RiskOrder::HandIn { tenant: whose, id, kind, at: second } => said(store.hand_in_sign(&RiskSign {
            tenant: tenant(whose),
            agent: agent(id),
            kind: SignKind::ALL[kind],
            weight: 100 - id,
            sentence: format!("it said \u{0} — äß€ {second}"),
            cause: (second % 2 == 0).then(|| Digest::of(&[id])),
            at: at(second),
        })),
        RiskOrder::TakeOut(number) => said(store.take_out_sign(number)),
        RiskOrder::Event { tenant: whose, id, kind, level, sealed, at: second } => {
            said(store.add_risk_event(&RiskEvent {
                tenant: tenant(whose),
                agent: agent(id),
                kind: RiskEventKind::ALL[kind],
                level: RiskLevel::ALL[level],
                score: 0,
                actor: if second % 2 == 0 { Actor::Authority } else { Actor::Local },
                text: format!("{{\"at\":{second},\"said\":\"— äß€\"}}"),
                at: at(second),
                seal: sealed.then(|| seal(id)),
            }))
        }
        RiskOrder::Seal(number, by) => said(store.seal_risk_event(number, &seal(by))),
        RiskOrder::Check { tenant: whose, id, verdict, at: second } => {
            let verdict = Verdict::ALL[verdict];
            said(store.add_check(&ContentCheck {
                tenant: tenant(whose),
                agent: agent(id),
                provider: "local".into(),
                source: (second % 2 == 0).then(|| "mail \u{0}".into()),
                message: (second % 3 == 0).then(|| format!("m-{second}")),
                length: u32::from(id),
                verdict,
                findings: if second % 2 == 0 { "[]".into() } else { "[1]".into() },
                at: at(second),
                ended: (verdict != Verdict::Pending).then(|| at(second)),
            }))
        }
        RiskOrder::End { number, verdict, at: second } => {
            said(store.end_check(number, Verdict::ALL[verdict], "[\"ä\"]", at(second)))
        }
        RiskOrder::GiveUp(second) => said(store.give_up_checks("the service was started anew", at(second))),
    }
}

pub(super) fn all_about_risk(store: &dyn Store) -> String {
    let mut text = String::new();
    let mut line = |what: &str, answer: String| writeln!(text, "{what}: {answer}").unwrap();
    line("levels", said(store.count_risks()));
    for after in [0, 2, u64::MAX] {
        line("open", said(store.open_risk_events(after, 4)));
    }
    for whose in (0..3).map(tenant) {
        line("place", said(store.risk_place(&whose)));
        for after in [None, Some(agent(0)), Some(agent(1))] {
            line("risks", said(store.risk_heads(&whose, after, 2)));
        }
        for limit in [0, 2, 100] {
            line("signs", said(store.signs(&whose, limit)));
        }
        for who in (0..4).map(agent) {
            line("risk", said(store.risk(&whose, who)));
            for number in [0, 2, 1 << 53] {
                let stream = StreamId::from_bytes([1; 16]);
                line("numbers", said(store.count_numbers(&whose, who, stream, 1, number)));
                line("below", said(store.number_below(&whose, who, stream, number)));
            }
            for below in [None, Some(3), Some(u64::MAX)] {
                line("events", said(store.risk_events(&whose, who, below, 3)));
            }
            for since in [at(0), at(20)] {
                line("checks", said(store.checks(&whose, who, since, 3)));
                line("verdicts", said(store.count_checks(&whose, who, since)));
            }
            for stream in (0..2).map(|octet| StreamId::from_bytes([octet; 16])) {
                for (first, last) in [(0, 0), (0, 100), (2, 1)] {
                    line("forks", said(store.forks(&whose, who, stream, first, last)));
                }
            }
        }
    }
    text
}

fn seal(by: u8) -> RiskSeal {
    RiskSeal { signature: vec![by; 8], key: Digest::of(&[by]), at: at(by.into()) }
}
