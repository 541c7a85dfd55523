//! Decision chains: what travels from agent to agent, and what each agent's receipts say about it.

use kakunin_core::certificate::TrustAnchors;
use kakunin_core::chain::{CallContext, ChainLink};
use kakunin_core::guard::Guard;
use kakunin_core::id::ChainId;
use kakunin_core::journal::StreamReader;
use kakunin_core::reason::DenialReason;
use kakunin_core::receipt::{Control, Event, MAX_PARENTS, ReceiptHash, Statement};
use kakunin_core::verify::{Reason, Verdict, journal as verify};

use crate::guard::{House, pay};

const CHAIN: ChainId = ChainId::from_bytes([0xc4; 16]);

fn statements(house: &House) -> Vec<(ReceiptHash, Statement)> {
    let streams = StreamReader::streams(&house.state().join("journal")).unwrap();
    let entries = streams.into_iter().flatten().map(Result::unwrap);
    entries.map(|entry| (entry.receipt().hash(), entry.receipt().statement().clone())).collect()
}

/// The place of each receipt of the chain: counter and parents.
fn places(house: &House) -> Vec<(Option<u64>, Vec<ReceiptHash>)> {
    let of_chain = |statement: &Statement| statement.chain.filter(|(chain, _)| *chain == CHAIN);
    let all = statements(house).into_iter();
    all.filter_map(|(_, statement)| Some((of_chain(&statement)?.1, statement.parents))).collect()
}

/// How many parents are not in this journal; nothing in it is wrong.
fn missing_parents(house: &House) -> usize {
    let anchors = TrustAnchors::new([house.authority.root.as_slice()]).unwrap();
    let report = verify(&house.dir(), &anchors).unwrap();
    match report.verdict() {
        Verdict::AuthenticNotComplete(reasons) => reasons
            .iter()
            .map(|reason| if let Reason::DanglingParents { count } = reason { *count } else { 0 })
            .sum(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn decision_and_outcome_of_a_call_are_in_its_chain_and_a_call_without_one_is_in_none() {
    let house = House::new();
    let guard = house.guard();
    let parent = ReceiptHash::of(b"the caller's decision");
    let link = ChainLink::new(CHAIN, parent);
    let running = guard.admit_in(&pay("1.00"), &link.context()).unwrap().begin().unwrap();
    let decision = running.receipt().unwrap();
    assert_eq!(running.link(), Some(ChainLink::new(CHAIN, decision)));
    running.returned();
    let running = guard.admit(&pay("1.00")).unwrap().begin().unwrap();
    assert_eq!(running.link(), None);
    running.returned();
    guard.admit_in(&pay("100.01"), &link.context()).unwrap_err();
    guard.close();
    assert_eq!(places(&house), [(Some(0), vec![parent]), (Some(1), vec![decision]), (Some(2), vec![parent])]);
    assert_eq!(missing_parents(&house), 1);
}

#[test]
fn the_trace_is_copied_into_the_decision() {
    let house = House::new();
    let guard = house.guard();
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for (sent, kept) in [(trace, Some(trace)), ("\u{1F9F5}", None)] {
        let context = CallContext { trace: Some(sent), ..CallContext::default() };
        let receipt = guard.admit_in(&pay("1.00"), &context).unwrap().receipt().unwrap();
        let found = statements(&house).into_iter().find(|(hash, _)| *hash == receipt).unwrap().1;
        assert_eq!(found.trace.as_deref(), kept);
    }
}

#[test]
fn a_chain_of_its_own_receipts_misses_no_parent() {
    let house = House::new();
    let guard = house.guard();
    let begun = CallContext { chain: Some(CHAIN), ..CallContext::default() };
    let outer = guard.admit_in(&pay("1.00"), &begun).unwrap().begin().unwrap();
    let inner = guard.admit_in(&pay("2.00"), &outer.link().unwrap().context()).unwrap().begin().unwrap();
    inner.returned();
    outer.returned();
    guard.close();
    assert_eq!(missing_parents(&house), 0);
}

#[test]
fn more_parents_than_a_receipt_names_deny_and_are_joined_instead() {
    let house = House::new();
    let guard = house.guard();
    let decisions: Vec<ReceiptHash> = (0..=MAX_PARENTS)
        .map(|_| {
            let begun = CallContext { chain: Some(CHAIN), ..CallContext::default() };
            let running = guard.admit_in(&pay("1.00"), &begun).unwrap().begin().unwrap();
            let receipt = running.receipt().unwrap();
            running.returned();
            receipt
        })
        .collect();
    let all = CallContext { chain: Some(CHAIN), parents: &decisions, trace: None };
    assert_eq!(guard.admit_in(&pay("1.00"), &all).unwrap_err().code(), "internal");
    assert_eq!(guard.join(CHAIN, &[]), Err(DenialReason::Internal));

    let joined = guard.join(CHAIN, &decisions).unwrap();
    let context = CallContext { chain: Some(CHAIN), parents: &[joined], trace: None };
    guard.admit_in(&pay("1.00"), &context).unwrap().begin().unwrap().returned();
    guard.close();
    let joins: Vec<_> = statements(&house)
        .into_iter()
        .filter(|(_, statement)| statement.event == Event::Control(Control::Join))
        .collect();
    assert_eq!(joins.len(), 2);
    assert_eq!(joins[0].1.parents, decisions[..MAX_PARENTS]);
    assert_eq!((joins[1].0, &joins[1].1.parents), (joined, &vec![joins[0].0, decisions[MAX_PARENTS]]));
    assert_eq!(missing_parents(&house), 0);
}

#[test]
fn no_chain_is_like_another() {
    assert_ne!(Guard::new_chain().unwrap(), Guard::new_chain().unwrap());
}

#[test]
fn a_join_can_be_the_first_thing_an_agent_records() {
    let house = House::new();
    let guard: Guard = house.guard();
    guard.join(CHAIN, &[ReceiptHash::of(b"elsewhere")]).unwrap();
    guard.close();
    assert_eq!(places(&house), [(Some(0), vec![ReceiptHash::of(b"elsewhere")])]);
}
