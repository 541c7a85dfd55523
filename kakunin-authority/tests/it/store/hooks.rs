//! Webhooks: a delivery is written by the change it tells of, waits until it is settled, and keeps its number.

use kakunin_authority::access::TenantId;
use kakunin_authority::hook::{HookEvent, HookId, SignatureForm};
use kakunin_authority::standing::{Reason, Standing};
use kakunin_authority::store::{
    Access, Agents, Attempt, Backlog, Certificates, DeliveryRecord, DeliveryState, HookChange, HookRecord,
    Hooks, Notice, SealedSecret, StandingChange, Store, StoreError, Then,
};
use kakunin_core::id::AgentId;
use kakunin_core::time::UnixTime;
use serde_json::Value;

use super::{Bench, agent, at, ours, serial, theirs};

#[test]
fn a_change_of_standing_writes_what_has_to_be_told_with_it() {
    let mut bench = Bench::new();
    bench.store.add_agent(&agent(1)).unwrap();
    add(&mut bench, 1, &HookEvent::ALL);
    add(&mut bench, 2, &[HookEvent::CertificateRevoked]);
    bench.certify(1, 1);
    bench.certify(2, 1);
    bench.change(1, Standing::Held, at(10));
    // Once more changes nothing, so nobody is told.
    bench.change(1, Standing::Held, at(11));
    bench.change(1, Standing::Good, at(12));
    let halt = StandingChange {
        tenant: &ours(),
        agent: AgentId::from_random([1; 16]),
        to: Standing::Revoked,
        reason: Reason::KeyCompromise,
        text: "stolen \u{1b}[2J",
        halt: true,
        at: at(13),
    };
    bench.store.change_standing(&halt).unwrap();

    let told = oldest_first(&bench, 1);
    let events: Vec<_> = told.iter().map(|delivery| (delivery.sequence, delivery.event.word())).collect();
    assert_eq!(
        events,
        [
            (1, "certificate.issued"),
            (2, "certificate.issued"),
            (3, "agent.suspended"),
            (4, "agent.resumed"),
            (5, "agent.halted"),
            (6, "agent.revoked"),
            (7, "certificate.revoked"),
            (8, "certificate.revoked"),
        ]
    );
    let data: Vec<Value> =
        told.iter().map(|delivery| serde_json::from_str(&delivery.data).unwrap()).collect();
    assert_eq!(data[0]["agent_name"], "agent-1");
    assert_eq!(data[4]["before"], "good");
    assert_eq!(data[4]["reason"], "stolen \u{1b}[2J");
    assert_eq!(data[5]["certificates"], 2);
    assert_eq!(data[7]["reason_code"], "keyCompromise");
    let hex: String = serial(2).as_bytes().iter().map(|byte| format!("{byte:02X}")).collect();
    assert_eq!(data[7]["serial_number"], hex.as_str());
    assert_eq!(oldest_first(&bench, 2).len(), 2);
}

#[test]
fn of_a_change_that_is_taken_back_nobody_is_told() {
    let mut bench = Bench::new();
    bench.store.add_agent(&agent(1)).unwrap();
    add(&mut bench, 1, &HookEvent::ALL);
    let lost = bench.store.batch(&mut |store| {
        store.change_standing(&super::revoke(&ours(), agent(1).id, at(9)))?;
        assert_eq!(store.backlog()?.pending, 1);
        Err(StoreError::BatchLost)
    });
    assert!(lost.is_err());
    assert_eq!(bench.store.backlog().unwrap(), Backlog::default());
    // Neither is a number missing afterwards.
    bench.store.change_standing(&super::revoke(&ours(), agent(1).id, at(9))).unwrap();
    assert_eq!(oldest_first(&bench, 1)[0].sequence, 1);
}

#[test]
fn a_webhook_is_told_what_it_wants_while_it_is_active_and_of_its_own_tenant() {
    let mut bench = Bench::new();
    bench.store.add_tenant(&theirs(), at(1)).unwrap();
    bench.store.add_agent(&agent(1)).unwrap();
    add(&mut bench, 1, &[HookEvent::AgentSuspended]);
    let foreign = HookRecord { tenant: theirs(), ..hook(2, &HookEvent::ALL) };
    bench.store.add_hook(&foreign, &secret(1)).unwrap();
    let taken = bench.store.add_hook(&hook(1, &[]), &secret(1));
    assert!(matches!(taken, Err(StoreError::HookTaken { id: its }) if its == id(1)), "{taken:?}");
    let nobody = TenantId::parse("nobody").unwrap();
    let taken = bench.store.add_hook(&HookRecord { tenant: nobody, ..hook(3, &[]) }, &secret(1));
    assert!(matches!(taken, Err(StoreError::UnknownTenant { .. })), "{taken:?}");

    let set = |bench: &mut Bench, active| {
        let change = HookChange { active: Some(active), ..HookChange::default() };
        bench.store.set_hook(&ours(), id(1), &change, at(5)).unwrap();
    };
    bench.change(1, Standing::Held, at(10));
    bench.change(1, Standing::Good, at(11));
    set(&mut bench, false);
    bench.change(1, Standing::Held, at(12));
    assert_eq!(bench.store.hooks_due(at(99)).unwrap(), []);
    assert_eq!(bench.store.backlog().unwrap(), Backlog { pending: 1, ..Backlog::default() });
    set(&mut bench, true);
    assert_eq!(bench.store.backlog().unwrap().oldest, Some(at(10)));
    let due: Vec<_> = bench.store.hooks_due(at(99)).unwrap().iter().map(|hook| hook.id).collect();
    assert_eq!(due, [id(1)]);
    assert_eq!(oldest_first(&bench, 1).len(), 1);
    assert_eq!(bench.store.deliveries(&theirs(), id(2), None, 9).unwrap(), []);

    // Nothing of one tenant is seen, changed or removed in the name of another.
    let change = HookChange::default();
    let test = Notice { tenant: theirs(), event: HookEvent::Test, at: at(5), data: "{}".into() };
    for refused in [
        bench.store.set_hook(&theirs(), id(1), &change, at(5)),
        bench.store.remove_hook(&theirs(), id(1)),
        bench.store.rotate_secret(&theirs(), id(1), &secret(2), at(5)),
        bench.store.announce_to(id(1), &test).map(|_| ()),
        bench.store.deliveries(&theirs(), id(1), None, 9).map(|_| ()),
    ] {
        assert!(matches!(refused, Err(StoreError::UnknownHook { id: its }) if its == id(1)), "{refused:?}");
    }
    assert_eq!(bench.store.hook(&theirs(), id(1)).unwrap(), None);
    bench.store.remove_hook(&ours(), id(1)).unwrap();
    assert_eq!(bench.store.secrets(id(1), at(0)).unwrap(), []);
    assert_eq!(bench.store.backlog().unwrap(), Backlog::default());
}

#[test]
fn a_delivery_waits_until_it_arrived_or_is_given_up() {
    let mut bench = Bench::new();
    add(&mut bench, 1, &[]);
    let notice =
        |second| Notice { tenant: ours(), event: HookEvent::Test, at: at(second), data: "{}".into() };
    for second in [30, 10, 20] {
        bench.store.announce_to(id(1), &notice(second)).unwrap();
    }
    let due = |bench: &Bench, now| -> Vec<u64> {
        bench.store.due(id(1), at(now), 9).unwrap().iter().map(|waiting| waiting.sequence).collect()
    };
    assert_eq!((due(&bench, 9), due(&bench, 20), due(&bench, 99)), (vec![], vec![2, 3], vec![2, 3, 1]));
    let mut settle = |sequence, then| {
        let error = (then != Then::Delivered).then(|| "no".to_owned());
        bench.store.settle(id(1), sequence, &Attempt { at: at(50), then, answer: None, error }).unwrap()
    };
    assert!(settle(2, Then::Delivered) && settle(3, Then::Again(at(60))) && settle(1, Then::GiveUp));
    // What is settled stays: a second sender that comes late changes nothing.
    assert!(!settle(2, Then::Again(at(60))) && !settle(1, Then::Delivered) && !settle(9, Then::Delivered));
    assert_eq!((due(&bench, 59), due(&bench, 60)), (vec![], vec![3]));
    let states: Vec<_> = oldest_first(&bench, 1).iter().map(|one| (one.state, one.attempts)).collect();
    let (dead, arrived) = ((DeliveryState::Dead, 1), (DeliveryState::Delivered, 1));
    assert_eq!(states, [dead, arrived, (DeliveryState::Failed, 1)]);
    let backlog = bench.store.backlog().unwrap();
    assert_eq!(backlog, Backlog { pending: 0, failed: 1, dead: 1, oldest: Some(at(20)) });
    // Forgetting leaves what waits, and no number is given out twice.
    assert_eq!(bench.store.forget_deliveries(at(50)).unwrap(), 0);
    assert_eq!(bench.store.forget_deliveries(at(51)).unwrap(), 2);
    assert_eq!(due(&bench, 60), [3]);
    assert_eq!(bench.store.announce_to(id(1), &notice(70)).unwrap(), 4);
}

#[test]
fn two_secrets_are_good_while_one_takes_the_place_of_the_other() {
    let mut bench = Bench::new();
    add(&mut bench, 1, &[]);
    let good = |bench: &Bench, now| -> Vec<UnixTime> {
        bench.store.secrets(id(1), at(now)).unwrap().iter().map(|secret| secret.created).collect()
    };
    bench.store.rotate_secret(&ours(), id(1), &secret(20), at(50)).unwrap();
    assert_eq!((good(&bench, 49), good(&bench, 50)), (vec![at(20), at(1)], vec![at(20)]));
    // A third one leaves two: the eldest is gone at once.
    bench.store.rotate_secret(&ours(), id(1), &secret(30), at(60)).unwrap();
    assert_eq!(good(&bench, 49), [at(30), at(20)]);
}

#[test]
fn the_id_of_a_delivery_is_of_what_it_says() {
    let mut bench = Bench::new();
    add(&mut bench, 1, &[]);
    add(&mut bench, 2, &[]);
    let notice = Notice { tenant: ours(), event: HookEvent::Test, at: at(5), data: "{}".into() };
    bench.store.announce_to(id(1), &notice).unwrap();
    bench.store.announce_to(id(2), &notice).unwrap();
    let one = oldest_first(&bench, 1).remove(0);
    let tried = DeliveryRecord { attempts: 3, state: DeliveryState::Failed, due: at(9), ..one.clone() };
    assert_eq!(one.id(), tried.id());
    // A store that was restored gives out its numbers again: what it says then is another delivery.
    for other in [
        oldest_first(&bench, 2).remove(0),
        DeliveryRecord { sequence: 2, ..one.clone() },
        DeliveryRecord { at: at(6), ..one.clone() },
        DeliveryRecord { event: HookEvent::RiskAlert, ..one.clone() },
        DeliveryRecord { data: "{\"a\":1}".into(), ..one.clone() },
    ] {
        assert_ne!(one.id(), other.id(), "{other:?}");
    }
}

#[test]
fn a_certificate_of_an_agent_that_was_revoked_while_it_was_signed_is_told_as_revoked() {
    let mut bench = Bench::new();
    bench.store.add_agent(&agent(1)).unwrap();
    add(&mut bench, 1, &[HookEvent::CertificateIssued, HookEvent::CertificateRevoked]);
    bench.reserve(1, 1).unwrap();
    bench.store.keep_tbs(serial(1), b"to be signed").unwrap();
    bench.change(1, Standing::Revoked, at(9));
    bench.store.keep_certificate(serial(1), b"signed").unwrap();
    let told = oldest_first(&bench, 1);
    let words: Vec<_> = told.iter().map(|one| one.event.word()).collect();
    assert_eq!(words, ["certificate.revoked", "certificate.issued"]);
    assert!(told[1].data.contains(r#""status":"revoked""#), "{}", told[1].data);
}

fn add(bench: &mut Bench, number: u8, events: &[HookEvent]) {
    bench.store.add_hook(&hook(number, events), &secret(1)).unwrap();
}

fn oldest_first(bench: &Bench, number: u8) -> Vec<DeliveryRecord> {
    let mut all = bench.store.deliveries(&ours(), id(number), None, 99).unwrap();
    all.reverse();
    all
}

fn id(number: u8) -> HookId {
    HookId::from_bytes([number; 16])
}

fn hook(number: u8, events: &[HookEvent]) -> HookRecord {
    HookRecord {
        id: id(number),
        tenant: ours(),
        url: "https://receiver.example/".into(),
        events: events.to_vec(),
        form: SignatureForm::Own,
        active: true,
        created: at(1),
        updated: at(1),
    }
}

fn secret(second: i64) -> SealedSecret {
    SealedSecret { sealed: vec![1, 2, 3], hint: "abcd".into(), created: at(second), until: None }
}
