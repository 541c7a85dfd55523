//! What an agent sent, looked at by the standing that its guard knew of, and not by that of the look.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kakunin_authority::Who;
use kakunin_authority::access::TenantId;
use kakunin_authority::authority::{Comeback, Days};
use kakunin_authority::standing::Order;
use kakunin_authority::store::{
    Feed, ReceiptKind, ReceiptRecord, Receipts, Risk, RiskEventKind, RiskRecord, RiskSign, SignKind,
    SqliteStore,
};
use kakunin_authority::watch::{Cache, Looked, Span, Step, Terms, history, look, rounds};
use kakunin_core::digest::Digest;
use kakunin_core::guard::{Guard, GuardOptions};
use kakunin_core::home::AgentHome;
use kakunin_core::id::AgentId;
use kakunin_core::journal::{JournalOptions, Sealing, StreamReader, locate};
use kakunin_core::receipt::UnverifiedReceipt;
use kakunin_core::request::ActionRequest;
use kakunin_core::revocation::UnverifiedList;
use kakunin_core::risk::{RiskLevel, RiskPolicy};
use kakunin_core::time::UnixTime;
use serde_json::{Value, json};

use crate::office::{Office, now};

/// An agent, and an allowed call of it that others are made of.
struct Scene {
    office: Office,
    who: Who,
    agent: AgentId,
    header: String,
    call: BTreeMap<String, Value>,
    policy: RiskPolicy,
}

impl Scene {
    fn new(policy: &str) -> Self {
        let office = Office::open();
        let who = office.create("billing");
        office.certify(&who, "agent").unwrap();
        let journal = JournalOptions { sealing: Some(Sealing::Each), ..JournalOptions::default() };
        let options = GuardOptions { journal, ..GuardOptions::default() };
        let guard = Guard::open(AgentHome::open(&office.path("agent"), None).unwrap(), options).unwrap();
        guard.admit(&ActionRequest::new("read:invoices")).unwrap().begin().unwrap().returned();
        guard.close();
        let streams = StreamReader::streams(&locate(&office.path("agent")).unwrap()).unwrap();
        let lines = streams.into_iter().flatten().map(|entry| entry.unwrap().to_log_entry().unwrap());
        let parts = |line: &str| {
            let (header, rest) = line.split_once('.').unwrap();
            let payload = URL_SAFE_NO_PAD.decode(rest.split_once('.').unwrap().0).unwrap();
            let call: BTreeMap<String, Value> = serde_json::from_slice(&payload).unwrap();
            (header.to_owned(), call)
        };
        let mut calls = lines.map(|line| parts(&line)).filter(|(_, call)| call.contains_key("dec"));
        let (header, call) = calls.next().unwrap();
        assert_eq!(call["dec"], "allow");
        drop(calls);
        let agent = office.authority().records().agents(&TenantId::default()).unwrap()[0].id;
        Self { office, who, agent, header, call, policy: RiskPolicy::from_toml(policy).unwrap() }
    }

    fn store(&self) -> SqliteStore {
        SqliteStore::open(&self.office.home.store()).unwrap()
    }

    /// A list of now, as receipts name it.
    fn list(&self) -> BTreeMap<String, Value> {
        let list = self.office.authority().current_list().unwrap();
        let name = UnverifiedList::decode(&list.der).unwrap().digest();
        BTreeMap::from([
            ("h".into(), json!(URL_SAFE_NO_PAD.encode(name.as_bytes()))),
            ("n".into(), json!(format!("{:x}", list.number))),
            ("t".into(), json!(list.this_update.seconds())),
            ("u".into(), json!(list.next_update.seconds())),
        ])
    }

    /// The same with how far the feed was known.
    fn feed(&self, epoch: u64) -> BTreeMap<String, Value> {
        let mut list = self.list();
        let head = [if epoch == 0 { 0 } else { 0xab }; 32];
        list.extend([("e".into(), json!(epoch)), ("f".into(), json!(URL_SAFE_NO_PAD.encode(head)))]);
        list
    }

    /// A call at that time by that list, with this number, kept at `received`.
    fn send(&self, number: u64, at: UnixTime, list: &BTreeMap<String, Value>, received: UnixTime) {
        let record = self.record_of(number, at, list, received);
        assert_eq!(self.store().keep_receipts(&[record]).unwrap(), 1);
    }

    fn record_of(
        &self,
        number: u64,
        at: UnixTime,
        list: &BTreeMap<String, Value>,
        received: UnixTime,
    ) -> ReceiptRecord {
        let mut call = self.call.clone();
        call.insert("crl".into(), json!(list));
        call.insert("seq".into(), json!(number));
        call.insert("ts".into(), json!(at.seconds() * 1_000_000));
        let payload = URL_SAFE_NO_PAD.encode(serde_json::to_string(&call).unwrap());
        let line = format!("{}.{payload}.", self.header);
        let (receipt, _) = UnverifiedReceipt::from_log_entry(&line).unwrap();
        ReceiptRecord {
            tenant: TenantId::default(),
            agent: self.agent,
            stream: receipt.statement().stream,
            sequence: number,
            hash: *receipt.hash().digest(),
            at: at.seconds() * 1_000_000,
            kind: ReceiptKind::Allow,
            action: Some("read:invoices".into()),
            code: None,
            chain: None,
            line,
            received,
        }
    }

    fn terms(&self) -> Terms {
        Terms { policy: self.policy.clone(), heard: 60, listed: 24 * 3600, clocks: 240 }
    }

    /// What a look at what was sent changes.
    fn step_at(&self, now: UnixTime) -> Step {
        let (store, terms) = (self.store(), self.terms());
        let looked = look(&store, &mut Cache::default(), &TenantId::default(), &terms, now).unwrap();
        let step = match looked {
            Looked::Step { step, .. } => Some(*step),
            Looked::Nothing => None,
        };
        step.unwrap()
    }

    fn step(&self) -> Step {
        self.step_at(now())
    }

    /// Looks at what was sent.
    fn look(&self, now: UnixTime) -> RiskRecord {
        assert!(self.step_at(now).keep(&mut self.store()).unwrap());
        self.record()
    }

    fn round(&self, heard: bool, now: UnixTime) -> RiskRecord {
        let (mut store, tenant) = (self.store(), TenantId::default());
        let of = (&tenant, &self.terms());
        let (step, next) = rounds(&store, &mut Cache::default(), of, &|_| heard, None, now).unwrap();
        assert!(next.is_none() && step.keep(&mut store).unwrap());
        self.record()
    }

    fn record(&self) -> RiskRecord {
        self.store().risk(&TenantId::default(), self.agent).unwrap().unwrap()
    }

    /// When a change of its standing came into force.
    fn order(&self, order: Order) -> UnixTime {
        self.office.order(&self.who, order).unwrap();
        self.store().standings(&TenantId::default(), self.agent).unwrap().last().unwrap().2.since
    }
}

#[test]
fn an_honest_guard_of_a_list_that_is_good_still_is_not_revoked() {
    let scene = Scene::new("");
    let list = scene.list();
    let until = UnixTime::from_seconds(list["u"].as_i64().unwrap());
    let at = scene.order(Order::Suspend);
    scene.send(0, at.plus(3_600), &list, at.plus(3_601));
    assert_eq!(scene.look(at.plus(3_602)).level, RiskLevel::Clear);
    // Behind its end nobody may go by it.
    scene.send(1, until.plus(241), &list, until.plus(242));
    assert_eq!(scene.look(until.plus(243)).level, RiskLevel::Revoke);
}

#[test]
fn a_call_by_a_list_that_says_held_revokes_at_once() {
    let scene = Scene::new("");
    let at = scene.order(Order::Suspend);
    scene.send(0, at.plus(1), &scene.list(), at.plus(2));
    assert_eq!(scene.look(at.plus(3)).level, RiskLevel::Revoke);
}

#[test]
fn a_call_by_a_list_that_nobody_signed_lasts_no_longer_than_lists_do() {
    let scene = Scene::new("");
    let mut list = scene.list();
    list.insert("h".into(), json!(URL_SAFE_NO_PAD.encode([0xcd; 32])));
    list.insert("u".into(), json!(4_000_000_000_u64));
    let at = scene.order(Order::Suspend);
    scene.send(0, at.plus(24 * 3600 + 200), &list, at.plus(24 * 3600 + 200));
    assert_eq!(scene.look(at.plus(24 * 3600 + 201)).level, RiskLevel::Clear);
    scene.send(1, at.plus(24 * 3600 + 241), &list, at.plus(24 * 3600 + 241));
    assert_eq!(scene.look(at.plus(24 * 3600 + 242)).level, RiskLevel::Revoke);
}

#[test]
fn the_word_of_a_feed_is_believed_for_its_age_and_not_against_itself() {
    for (epoch, after, level) in [
        // It had not heard of it yet, and need not have.
        (0, 30, RiskLevel::Clear),
        (0, 299, RiskLevel::Clear),
        (0, 301, RiskLevel::Revoke),
        // It had.
        (1, 0, RiskLevel::Revoke),
    ] {
        let scene = Scene::new("");
        let at = scene.order(Order::Suspend);
        scene.send(0, at.plus(after), &scene.feed(epoch), at.plus(after));
        assert_eq!(scene.look(at.plus(after)).level, level, "epoch {epoch}, {after} s behind it");
    }
}

#[test]
fn what_was_held_back_until_the_resume_is_judged_by_the_standing_of_then() {
    for (epoch, level) in [(1, RiskLevel::Revoke), (2, RiskLevel::Clear)] {
        let scene = Scene::new("");
        let at = scene.order(Order::Suspend);
        assert!(scene.order(Order::Resume) >= at);
        scene.send(0, at.plus(1), &scene.feed(epoch), at.plus(3_600));
        assert_eq!(scene.look(at.plus(3_601)).level, level, "epoch {epoch}");
    }
    // Suspended and then revoked, it is no better.
    let scene = Scene::new("");
    let at = scene.order(Order::Suspend);
    let list = scene.feed(1);
    scene.order(Order::Revoke);
    scene.send(0, at.plus(1), &list, at.plus(2));
    assert_eq!(scene.look(at.plus(3)).level, RiskLevel::Revoke);
}

#[test]
fn numbers_that_are_never_sent_are_evidence_after_an_hour() {
    let scene = Scene::new("");
    let (at, list) = (now(), scene.list());
    scene.send(0, at, &list, at);
    scene.send(10, at, &list, at);
    let known = scene.look(at);
    assert!(known.gaps.is_some() && known.score == 0, "{known:?}");
    assert_eq!(scene.round(true, at.plus(3_600)).score, 0, "it may be late");
    let known = scene.round(true, at.plus(3_601));
    assert!(known.score > 0 && known.gaps.is_none(), "{known:?}");
    // What came meanwhile, in whatever order, is missing no more.
    let scene = Scene::new("");
    let list = scene.list();
    for number in [2, 0, 1] {
        scene.send(number, at, &list, at);
        scene.look(at);
    }
    let known = scene.round(true, at.plus(7_200));
    assert!(known.score == 0 && known.gaps.is_none(), "{known:?}");
}

#[test]
fn a_history_that_does_not_suffice_is_told_and_not_read_again_at_each_look() {
    let scene = Scene::new(THIN);
    let (at, list) = (now(), scene.list());
    let mut known = Vec::new();
    for number in 0..60 {
        scene.send(number, at, &list, at);
        if number >= 28 {
            known.push(scene.look(at));
        }
    }
    let of = |calls: u64| known.iter().find(|known| known.calls == calls).unwrap();
    assert_eq!([29, 30, 31, 59].map(|calls| of(calls).tried), [0, 30, 30, 30]);
    let why = |calls: u64| of(calls).unlearnt.clone().unwrap_or_default();
    assert!(why(29).is_empty() && why(30).contains("30 allowed calls are too few"), "{}", why(30));
    assert_eq!(why(30), why(59));
    // With twice as many it is tried again, and then it is enough.
    let learnt = of(60);
    assert!(learnt.baseline.is_some() && learnt.unlearnt.is_none() && learnt.tried == 0, "{learnt:?}");
}

#[test]
fn what_could_not_be_learnt_is_named_by_the_step_that_tried() {
    let scene = Scene::new(THIN);
    let (at, list) = (now(), scene.list());
    let mut told = Vec::new();
    for number in 0..32 {
        scene.send(number, at, &list, at);
        if number >= 28 {
            let step = scene.step();
            told.push(step.unlearnt().map(|(agent, why)| (agent, why.to_owned())).collect::<Vec<_>>());
            assert!(step.keep(&mut scene.store()).unwrap());
        }
    }
    let many: Vec<usize> = told.iter().map(Vec::len).collect();
    assert_eq!(many, [0, 1, 0, 0], "once for each try");
    assert!(told[1][0].0 == scene.agent && told[1][0].1.contains("too few"), "{told:?}");
}

/// Ripe after fewer calls than it takes to learn.
const THIN: &str = "[baseline]\ncalls = 30\ndays = 0\nleast = 60\n";

#[test]
fn two_receipts_in_one_place_of_a_stream_revoke_whenever_the_second_one_comes() {
    for at_once in [true, false] {
        let scene = Scene::new("");
        let (at, list) = (now(), scene.list());
        scene.send(0, at, &list, at);
        scene.send(1, at, &list, at);
        // The same again is no second one.
        assert_eq!(scene.store().keep_receipts(&[scene.record_of(1, at, &list, at)]).unwrap(), 0);
        if !at_once {
            assert_eq!(scene.look(at).level, RiskLevel::Clear);
        }
        scene.send(0, at.plus(1), &list, at.plus(1));
        assert_eq!(scene.look(at.plus(2)).level, RiskLevel::Revoke, "at once: {at_once}");
        let open = scene.store().open_risk_events(0, 9).unwrap();
        assert!(open.len() == 1 && open[0].1.text.contains("forked-stream"), "{open:?}");
    }
}

#[test]
fn a_guard_that_is_there_and_sends_nothing_is_told_once_until_it_sends_again() {
    let scene = Scene::new("[baseline]\ncalls = 30\ndays = 0\nleast = 30\n");
    let (at, list) = (now(), scene.list());
    for number in 0..40 {
        let second = at.plus(i64::try_from(number).unwrap());
        scene.send(number, second, &list, second);
    }
    let last = at.plus(39);
    assert!(scene.look(last).baseline.is_some());
    assert!(!scene.round(true, last.plus(3_600)).silent, "that may be a pause");
    let known = scene.round(true, last.plus(3_601));
    assert_eq!((known.silent, known.level), (true, RiskLevel::Watch));
    // It is told once, with what is known of the guard.
    assert!(scene.round(true, last.plus(7_200)).score <= known.score);
    let levels = || {
        let all = scene.store().risk_events(&TenantId::default(), scene.agent, None, 99).unwrap();
        all.into_iter().map(|(_, event)| event).filter(|event| event.kind == RiskEventKind::Level)
    };
    let told: Vec<_> = levels().collect();
    assert_eq!(told.len(), 1);
    assert!(told[0].text.contains("follows the feed, and sent no receipt for 3601 s"), "{}", told[0].text);
    // What comes ends it, and who is stopped has nothing to send.
    scene.send(40, last.plus(7_300), &list, last.plus(7_300));
    assert!(!scene.look(last.plus(7_300)).silent);
    scene.order(Order::Suspend);
    assert!(!scene.round(true, last.plus(72_000)).silent);
    // Nor is one whose acknowledgements stopped as well any better.
    scene.order(Order::Resume);
    assert!(scene.round(false, last.plus(72_000)).silent);
}

#[test]
fn what_two_nodes_looked_at_is_acted_upon_once() {
    let scene = Scene::new("canaries = [\"read:invoices\"]\n[facts]\ncanary-touched = \"suspend\"\n");
    let (at, list, tenant) = (now(), scene.list(), TenantId::default());
    scene.send(0, at, &list, at);
    let sign = RiskSign {
        tenant: tenant.clone(),
        agent: scene.agent,
        kind: SignKind::Declared,
        weight: 95,
        sentence: "an event was declared: unauthorized_access_attempt".into(),
        cause: None,
        at,
    };
    scene.store().hand_in_sign(&sign).unwrap();
    // Both read the same, before either of them keeps what it found.
    let (one, other) = (scene.step(), scene.step());
    assert!(one.keep(&mut scene.store()).unwrap());
    let kept = scene.record();
    assert!(!other.keep(&mut scene.store()).unwrap(), "the records are not as they were");
    assert_eq!(scene.record(), kept);
    let open = scene.store().open_risk_events(0, 9).unwrap();
    assert_eq!((open.len(), open[0].1.level), (1, RiskLevel::Suspend));
    assert!(scene.store().signs(&tenant, 9).unwrap().is_empty());
    // And one that settles what the other one settled gives no second order and no second signature.
    let hours = kakunin_authority::authority::Hours::default();
    for _ in 0..2 {
        scene.office.authority().settle_risk(open[0].0, &open[0].1, hours, at).unwrap();
    }
    assert_eq!(scene.store().standings(&tenant, scene.agent).unwrap().len(), 1, "changes in the feed");
    let all = scene.store().risk_events(&tenant, scene.agent, None, 9).unwrap();
    assert!(all.len() == 1 && all[0].1.seal.is_some(), "{all:?}");
}

#[test]
fn nothing_is_learnt_of_what_led_to_a_suspension() {
    let scene = Scene::new("canaries = [\"read:invoices\"]\n[facts]\ncanary-touched = \"suspend\"\n");
    let (at, list) = (now(), scene.list());
    scene.send(0, at, &list, at);
    let known = scene.look(at);
    assert_eq!((known.level, known.calls, known.first), (RiskLevel::Suspend, 1, Some(at)));
    // It is settled, and carried out.
    let mut authority = scene.office.authority();
    let open = authority.records().open_risk_events(0, 9).unwrap();
    for (number, event) in open {
        authority.settle_risk(number, &event, kakunin_authority::authority::Hours::default(), at).unwrap();
    }
    drop(authority);
    scene.office.order(&scene.who, Order::Resume).unwrap();
    let known = scene.round(true, at.plus(60));
    assert_eq!((known.level, known.calls, known.first), (RiskLevel::Clear, 0, None));
    let released = kakunin_authority::watch::released(&scene.store(), &TenantId::default(), scene.agent);
    assert_eq!(released.unwrap(), Some(at.plus(60)));
}

#[test]
fn a_key_that_was_given_up_says_nothing_about_the_agent_that_was_certified_anew() {
    let mut scene = Scene::new("");
    let old = scene.header.clone();
    scene.order(Order::Revoke);
    let _ = scene
        .office
        .certify_as(&scene.who, "again", Comeback::AfterRevocation, Days::default(), now())
        .unwrap();
    let der = AgentHome::open(&scene.office.path("again"), None).unwrap().certificate().unwrap();
    let said = URL_SAFE_NO_PAD.decode(&old).unwrap();
    let mut said: BTreeMap<String, Value> = serde_json::from_slice(&said).unwrap();
    said.insert("x5t#S256".into(), json!(URL_SAFE_NO_PAD.encode(Digest::of(&der).as_bytes())));
    let new = URL_SAFE_NO_PAD.encode(serde_json::to_string(&said).unwrap());
    // By the old key: a call after its end, two for one place, numbers that are missing.
    let (at, list) = (now(), scene.list());
    scene.send(0, at, &list, at);
    scene.send(0, at.plus(1), &list, at.plus(1));
    scene.send(9, at.plus(1), &list, at.plus(1));
    let step = scene.step_at(at.plus(2));
    let passed: Vec<u64> = step.passed_over().map(|(_, _, many)| many).collect();
    assert_eq!(passed, [3]);
    assert!(step.keep(&mut scene.store()).unwrap());
    assert_eq!(scene.store().risk(&TenantId::default(), scene.agent).unwrap(), None);
    let all = Span { since: None, received: None };
    assert!(history(&scene.store(), &TenantId::default(), scene.agent, all).unwrap().is_empty());
    // By the new one a call counts, also in a place that the old one took; and two of its own are a fork.
    scene.header = new;
    scene.send(0, at.plus(3), &list, at.plus(3));
    let known = scene.look(at.plus(4));
    assert_eq!((known.level, known.calls, known.gaps), (RiskLevel::Clear, 1, None));
    scene.send(0, at.plus(5), &list, at.plus(5));
    assert_eq!(scene.look(at.plus(6)).level, RiskLevel::Revoke);
}
