//! The laws of behaviour risk.

use std::sync::{Arc, LazyLock};

use kakunin_core::certificate::TrustAnchors;
use kakunin_core::id::{AgentId, StreamId};
use kakunin_core::receipt::{Answer, Caller, Event, Mode, ProofOfPossession, ReceiptHash};
use kakunin_core::report::{History, RiskInquiry};
use kakunin_core::risk::{
    Baseline, BaselineError, Change, Declared, Feature, Found, HardFact, Monitor, Observation, RiskLevel,
    RiskPolicy, StateError, TooLittle, in_order, replay,
};
use kakunin_core::time::UnixMillis;
use proptest::prelude::*;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::behaviour::{DAY, MINUTE, NOON, Pen, baseline, decision, disclosure};

static BASELINE: LazyLock<Arc<Baseline>> = LazyLock::new(|| Arc::new(baseline()));

fn monitor() -> Monitor {
    Monitor::new(Arc::clone(&BASELINE), RiskPolicy::default())
}

fn under(policy: &str) -> Monitor {
    Monitor::new(Arc::clone(&BASELINE), RiskPolicy::from_toml(policy).unwrap())
}

fn watch(monitor: &mut Monitor, seen: &[Observation]) -> Vec<Change> {
    seen.iter().filter_map(|seen| monitor.observe(seen)).collect()
}

/// A monitor that has watched a clean day, and the pen that wrote it.
fn watched() -> (Monitor, Pen) {
    let (mut monitor, mut pen) = (monitor(), Pen::new(2));
    watch(&mut monitor, &pen.days(120));
    assert_eq!(monitor.level(), RiskLevel::Clear);
    (monitor, pen)
}

fn at(millis: i64) -> UnixMillis {
    UnixMillis::from_millis(millis)
}

/// A fact that was found at this time, in no receipt.
fn found(millis: i64) -> Found {
    Found { arrived: at(millis), claimed: None, receipt: None }
}

/// A high event, as an authority weighs it.
fn high(millis: i64) -> Declared {
    Declared {
        feature: Feature::Declared,
        at: at(millis),
        milli_nats: 3_400,
        sentence: "message_verification_failed".to_owned(),
    }
}

/// How many calls of `call` it takes to come to `level`.
fn delay(
    level: RiskLevel,
    most: usize,
    mut call: impl FnMut(&mut Pen, usize) -> Observation,
) -> Option<usize> {
    let (mut monitor, mut pen) = watched();
    pen.begin();
    (1..=most).find(|number| {
        let seen = call(&mut pen, *number);
        monitor.observe(&seen);
        monitor.level() >= level
    })
}

#[test]
fn no_float_is_in_the_room() {
    let room = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/risk");
    let mut files = 0;
    for entry in std::fs::read_dir(room).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        for word in ["f32", "f64", "HashMap", "SystemTime", "Instant", "available_parallelism"] {
            assert!(!code.contains(word), "{word} has no business in a room that has to be replayed");
        }
        files += 1;
    }
    assert!(files >= 15, "{files}");
}

#[test]
fn clean_days_revoke_nobody_and_are_rarely_watched() {
    let mut alarms = 0;
    for seed in 10..20 {
        let replay = replay(Pen::new(seed).days(2_000), &BASELINE, &RiskPolicy::default());
        assert!(replay.highest < RiskLevel::Suspend, "{seed}: {:?}", replay.changes);
        alarms += replay.changes.iter().filter(|change| change.to > change.from).count();
    }
    assert!(alarms <= 20, "one in a thousand calls at most: {alarms}");
}

#[test]
fn a_burst_of_writes_a_new_tool_and_a_loop_are_noticed_soon() {
    let burst = delay(RiskLevel::Watch, 100, |pen, number| {
        let amount = format!("{}.00", 20 + number);
        if number % 2 == 0 { pen.allowed("notes:write") } else { pen.pays(&amount, "supplier-1") }
    });
    assert!(burst.is_some_and(|calls| calls <= 10), "{burst:?}");
    let tool = delay(RiskLevel::Watch, 100, |pen, number| {
        if number % 3 == 0 { pen.allowed("files:upload") } else { pen.allowed("read:mail") }
    });
    assert!(tool.is_some_and(|calls| calls <= 10), "{tool:?}");
    let turns = delay(RiskLevel::Watch, 100, |pen, _| pen.allowed("notes:write"));
    assert!(turns.is_some_and(|calls| calls <= 15), "{turns:?}");
}

#[test]
fn drift_suspends_first_and_revokes_when_it_is_sustained_for_two_windows() {
    let (mut monitor, mut pen) = watched();
    pen.begin();
    let seen: Vec<_> = (0..200)
        .map(|n| if n % 2 == 0 { pen.allowed("files:upload") } else { pen.allowed("notes:write") })
        .collect();
    let changes = watch(&mut monitor, &seen);
    let levels: Vec<RiskLevel> = changes.iter().map(|change| change.to).collect();
    assert!(levels.is_sorted() && levels.contains(&RiskLevel::Suspend), "{levels:?}");
    assert_eq!(levels.last(), Some(&RiskLevel::Revoke));
    let (suspend, revoke) = (&changes[changes.len() - 2], &changes[changes.len() - 1]);
    let place =
        |change: &Change| seen.iter().position(|seen| Some(seen.receipt()) == change.receipt).unwrap();
    assert!(place(revoke) - place(suspend) >= 90, "two windows of fifty calls lie between");
    let features: Vec<Feature> = revoke.evidence.iter().map(|evidence| evidence.feature).collect();
    assert!(features.contains(&Feature::NewAction) && features.contains(&Feature::WriteMix), "{features:?}");
    assert_eq!(monitor.observe(&pen.allowed("files:upload")), None, "a revocation is final");
}

#[test]
fn one_feature_alone_suspends_at_most() {
    let mut monitor =
        under("off = [\"sequence\", \"rate\", \"denial-ratio\", \"new-counterparty\", \"amount\"]\n");
    let mut pen = Pen::new(2);
    watch(&mut monitor, &pen.days(120));
    pen.begin();
    for _ in 0..2_000 {
        monitor.observe(&pen.allowed("notes:write"));
    }
    assert_eq!((monitor.level(), monitor.score()), (RiskLevel::Suspend, 800));
}

#[test]
fn off_hours_are_never_enough() {
    // Two weeks of mornings, then a night.
    let mut pen = Pen::new(3);
    let mut history = Vec::new();
    for day in 0..20 {
        pen.at = NOON + day * DAY;
        for _ in 0..12 {
            history.extend(pen.session());
        }
    }
    let baseline = Baseline::learn(&history, &RiskPolicy::default()).unwrap();
    assert!(!baseline.silent().contains(&Feature::OffHours));
    let mut monitor = Monitor::new(baseline, RiskPolicy::default());
    pen.at = NOON + 21 * DAY + 12 * 60 * MINUTE;
    let mut changes = Vec::new();
    for _ in 0..20 {
        let session = pen.session();
        changes.extend(watch(&mut monitor, &session));
    }
    assert!(monitor.evidence().iter().any(|evidence| evidence.feature == Feature::OffHours));
    assert_eq!(changes, []);
}

#[test]
fn a_replay_is_the_same_again_and_whatever_order_it_is_handed_over_in() {
    let (mut one, mut other) = (Pen::new(4), Pen::new(5));
    let mut seen = one.days(300);
    seen.extend(other.days(300));
    let first = replay(seen.clone(), &BASELINE, &RiskPolicy::default());
    assert_eq!(first, replay(seen.clone(), &BASELINE, &RiskPolicy::default()));
    seen.reverse();
    assert_eq!(first, replay(seen.clone(), &BASELINE, &RiskPolicy::default()));
    seen.pop();
    assert_ne!(first.digest, replay(seen, &BASELINE, &RiskPolicy::default()).digest);
}

#[test]
fn equal_times_are_ordered_by_stream_and_receipts_of_a_stream_stay_in_order() {
    let mut pens = [Pen::new(7), Pen::new(6)];
    let mut seen = Vec::new();
    for pen in &mut pens {
        for by in [0, 0, -1, 5] {
            pen.at = NOON + by * 1000;
            seen.push(pen.observe(decision(Some("read:mail"), Answer::Allow), &[]));
        }
    }
    let ordered = in_order(seen);
    let places: Vec<usize> = ordered
        .iter()
        .map(|seen| {
            let of = |seed, sequence| {
                ReceiptHash::of(format!("{} {sequence}", StreamId::from_bytes([seed; 16])).as_bytes())
            };
            (0..8).find(|n| seen.receipt() == of(6 + u8::try_from(n / 4).unwrap(), n % 4 + 1)).unwrap()
        })
        .collect();
    assert_eq!(places, [0, 1, 2, 4, 5, 6, 3, 7]);
}

#[test]
fn a_receipt_that_comes_twice_is_observed_once() {
    let (mut monitor, mut pen) = watched();
    let seen = pen.allowed("notes:write");
    monitor.observe(&seen);
    let state = monitor.state();
    assert_eq!(monitor.observe(&seen), None);
    assert_eq!(monitor.state(), state);
}

#[test]
fn a_back_dated_receipt_revokes_at_once() {
    let (mut monitor, mut pen) = watched();
    pen.at -= 119_000 + 2_000;
    assert_eq!(monitor.observe(&pen.allowed("read:mail")), None, "clocks may differ by so much");
    pen.at -= DAY;
    let change = monitor.observe(&pen.allowed("read:mail")).unwrap();
    assert_eq!((change.from, change.to), (RiskLevel::Clear, RiskLevel::Revoke));
    assert_eq!(change.evidence[0].feature, Feature::HardFact);
    assert!(change.evidence[0].sentence.starts_with("back-dated: "), "{:?}", change.evidence);
}

#[test]
fn receipts_that_are_dated_ahead_wipe_nothing() {
    // By one feature at first, so that the score is what it weighs.
    let (mut monitor, mut pen) = (under("off = [\"sequence\", \"rate\"]\n"), Pen::new(2));
    watch(&mut monitor, &pen.days(120));
    pen.begin();
    while monitor.level() < RiskLevel::StepUp {
        monitor.observe(&pen.allowed("notes:write"));
    }
    let stands = monitor.score();
    // Each a day, which is a half-life, after the one before.
    for _ in 0..10 {
        pen.at += DAY;
        monitor.observe(&pen.denied("read:mail", "revocation.stale"));
    }
    assert!(monitor.score() >= stands * 6 / 10, "{stands} {}", monitor.score());
    assert!(monitor.level() >= RiskLevel::StepUp);
    // And misuse in between goes on to add up.
    let mut levels = Vec::new();
    for n in 0..400 {
        pen.at += DAY;
        let action = if n % 2 == 0 { "files:upload" } else { "notes:write" };
        levels.extend(monitor.observe(&pen.allowed(action)).map(|change| change.to));
    }
    assert_eq!(levels.last(), Some(&RiskLevel::Revoke));
}

#[test]
fn a_receipt_that_is_dated_after_it_arrived_is_a_hard_fact() {
    let (mut monitor, mut pen) = watched();
    let seen = pen.allowed("read:mail");
    assert_eq!(monitor.observe_at(&seen, at(pen.at - 120_000)), None, "clocks may differ by so much");
    let before = monitor.now();
    pen.at += DAY;
    let change = monitor.observe_at(&pen.allowed("read:mail"), at(before.millis() + 1_000)).unwrap();
    assert_eq!(change.to, RiskLevel::Revoke);
    assert!(change.evidence[0].sentence.starts_with("dated-ahead: "), "{:?}", change.evidence);
    assert_eq!(monitor.now(), at(before.millis() + 1_000), "its time is not taken up");
}

#[test]
fn arrival_changes_nothing_for_receipts_of_the_past() {
    let (mut one, mut other, mut pen) = (monitor(), monitor(), Pen::new(2));
    for seen in pen.days(300) {
        assert_eq!(one.observe(&seen), other.observe_at(&seen, at(pen.at)));
    }
    assert_eq!(one.state(), other.state());
}

#[test]
fn a_clock_that_is_set_back_and_says_so_is_no_violation_and_wins_no_time() {
    let (mut monitor, mut pen) = watched();
    let now = monitor.now();
    assert_eq!(monitor.observe(&pen.sets_back(3_600_000)), None);
    pen.at -= 3_600_000;
    assert_eq!(monitor.observe(&pen.allowed("read:mail")), None);
    assert!(monitor.now() >= now);
    pen.at -= 3_600_000;
    assert_eq!(monitor.observe(&pen.allowed("read:mail")).unwrap().to, RiskLevel::Revoke);
}

#[test]
fn a_canary_revokes_even_when_it_is_denied() {
    for answer in [Answer::Allow, Answer::Deny("scope.action".to_owned())] {
        let (mut monitor, mut pen) = (under("canaries = [\"read:secrets:*\"]\n"), Pen::new(2));
        monitor.observe(&pen.allowed("read:mail"));
        let change = monitor.observe(&pen.call("read:secrets:root", answer)).unwrap();
        assert_eq!(change.to, RiskLevel::Revoke);
        assert!(change.evidence[0].sentence.contains("read:secrets:root"));
    }
}

#[test]
fn every_hard_fact_acts_at_once_and_at_the_level_of_the_policy() {
    for fact in HardFact::ALL {
        let receipt = Some(ReceiptHash::of(b"r"));
        let change = monitor().fact(fact, Found { receipt, ..found(NOON) }, "somebody said so").unwrap();
        assert_eq!((change.to, change.receipt), (RiskLevel::Revoke, receipt));
        let mut lenient = under(&format!("[facts]\n{} = \"suspend\"\n", fact.word()));
        assert_eq!(lenient.fact(fact, found(NOON), "so").unwrap().to, RiskLevel::Suspend);
        assert_eq!(lenient.fact(fact, found(NOON), "again"), None);
    }
}

#[test]
fn declared_evidence_suspends_at_most() {
    let (mut monitor, _) = watched();
    let say = |feature, n: i64| Declared {
        feature,
        at: at(NOON + 2 * DAY + n),
        milli_nats: u32::MAX,
        sentence: "a \"risky\" event \u{202e}\n".into(),
    };
    for n in 0..1_000 {
        for feature in [Feature::Declared, Feature::Content, Feature::Silence, Feature::HardFact] {
            monitor.declare(&say(feature, n));
        }
    }
    assert_eq!((monitor.level(), monitor.score()), (RiskLevel::Suspend, 1000));
    for (feature, level) in [
        (Feature::Declared, RiskLevel::Suspend),
        (Feature::Content, RiskLevel::StepUp),
        (Feature::Silence, RiskLevel::StepUp),
    ] {
        let (mut alone, _) = watched();
        alone.declare(&say(feature, 0));
        assert_eq!(alone.level(), level, "{feature} alone");
    }
    let lines: Vec<_> = monitor.evidence();
    assert!(lines.iter().all(|evidence| evidence.sentence == "a ?risky? event ??"), "{lines:?}");
}

#[test]
fn whoever_is_held_and_tries_again_is_not_revoked_for_it() {
    let (mut monitor, mut pen) = watched();
    monitor.fact(HardFact::ReplayedProof, found(pen.at), "twice");
    let mut held = under("[facts]\nreplayed-proof = \"suspend\"\n");
    held.fact(HardFact::ReplayedProof, found(pen.at), "twice");
    pen.begin();
    for _ in 0..5_000 {
        assert_eq!(held.observe(&pen.denied("payments:send", "certificate.held")), None);
    }
    assert_eq!(held.level(), RiskLevel::Suspend);
    assert_eq!(held.denied(), 5_000);
}

#[test]
fn attempts_of_a_suspended_agent_are_counted_and_drift_in_them_revokes() {
    let (mut monitor, mut pen) = watched();
    pen.begin();
    let mut levels = Vec::new();
    for n in 0..400 {
        let action = ["files:upload", "notes:write", "accounts:open", "payments:send"][n % 4];
        let seen = match monitor.level() {
            RiskLevel::Suspend => pen.denied(action, "certificate.held"),
            _ => pen.allowed(action),
        };
        levels.extend(monitor.observe(&seen).map(|change| change.to));
    }
    assert!(levels.contains(&RiskLevel::Suspend), "{levels:?}");
    assert_eq!(levels.last(), Some(&RiskLevel::Revoke));
}

#[test]
fn three_refused_writes_at_step_up_suspend() {
    // Chosen so that the score alone would not.
    let mut monitor = under("off = [\"sequence\", \"denial-ratio\", \"limit-probing\", \"rate\"]\n");
    let mut pen = Pen::new(2);
    watch(&mut monitor, &pen.days(120));
    pen.begin();
    while monitor.level() < RiskLevel::StepUp {
        monitor.observe(&pen.allowed("notes:write"));
    }
    assert_eq!(monitor.level(), RiskLevel::StepUp);
    let changes: Vec<Change> =
        (0..3).filter_map(|_| monitor.observe(&pen.denied("payments:send", "scope.amount"))).collect();
    assert_eq!(changes.last().map(|change| change.to), Some(RiskLevel::Suspend), "{changes:?}");
    assert!(changes.last().unwrap().evidence[0].sentence.contains("three writes were refused"));
}

#[test]
fn levels_fall_only_after_two_half_lives_below_half_of_what_leads_to_them() {
    let (mut monitor, mut pen) = watched();
    pen.begin();
    while monitor.level() < RiskLevel::Watch {
        monitor.observe(&pen.allowed("notes:write"));
    }
    assert_eq!(monitor.level(), RiskLevel::Watch);
    let start = monitor.now().millis();
    let mut fell = None;
    for hour in 1..=200 {
        if let Some(change) = monitor.pass(at(start + hour * 60 * MINUTE)) {
            fell = Some((hour, change));
            break;
        }
    }
    let (hour, change) = fell.unwrap();
    assert_eq!((change.from, change.to), (RiskLevel::Watch, RiskLevel::Clear));
    // One half-life to half of the threshold and two below it.
    assert!((3 * 24..=3 * 24 + 12).contains(&hour), "{hour}");
}

#[test]
fn a_suspension_ends_by_a_person_and_a_revocation_never() {
    let mut held = under("highest = \"suspend\"\n");
    let mut pen = Pen::new(2);
    watch(&mut held, &pen.days(120));
    for _ in 0..500 {
        held.observe(&pen.allowed("files:upload"));
    }
    assert_eq!(held.level(), RiskLevel::Suspend);
    assert_eq!(held.pass(at(pen.at + 400 * DAY)), None, "time does not release");
    let change = held.release("ops@example.com", at(pen.at + 400 * DAY)).unwrap();
    assert_eq!((change.from, change.to, change.score), (RiskLevel::Suspend, RiskLevel::Clear, 0));
    assert!(change.evidence[0].sentence.contains("ops@example.com"));
    assert_eq!(held.release("ops@example.com", at(pen.at + 400 * DAY)), None);
    let mut over = monitor();
    over.fact(HardFact::ForkedStream, found(NOON), "two continuations");
    assert_eq!(over.release("ops@example.com", at(NOON)), None);
    assert_eq!(over.level(), RiskLevel::Revoke);
}

#[test]
fn who_is_held_for_too_long_is_revoked_only_if_the_policy_says_so() {
    for (policy, ends) in [("", RiskLevel::Suspend), ("revoke.held_hours = 24\n", RiskLevel::Revoke)] {
        let mut held = under(&format!("facts.back-dated = \"suspend\"\n{policy}"));
        held.fact(HardFact::BackDated, found(NOON), "so");
        assert_eq!(held.pass(at(NOON + DAY - 1)), None);
        held.pass(at(NOON + DAY));
        assert_eq!(held.level(), ends);
    }
}

#[test]
fn minimum_evidence_is_asked_for() {
    let (mut monitor, mut pen) = (monitor(), Pen::new(2));
    for _ in 0..29 {
        monitor.observe(&pen.allowed("files:upload"));
        assert!(monitor.level() < RiskLevel::Suspend, "{}", monitor.calls());
    }
    monitor.observe(&pen.allowed("files:upload"));
    assert_eq!(monitor.level(), RiskLevel::Suspend);
    let one = Monitor::new(Arc::clone(&BASELINE), RiskPolicy::default());
    for action in ["files:upload", "payments:send", "-", "accounts:open"] {
        let mut one = one.clone();
        assert_eq!(one.observe(&Pen::new(9).allowed(action)), None, "one call is no alarm: {action}");
    }
}

#[test]
fn what_is_no_behaviour_of_the_agent_is_not_observed() {
    let mut pen = Pen::new(2);
    let mut of = |event| {
        let statement = pen.statement(event);
        Observation::of(ReceiptHash::of(b"r"), &statement, &[], None)
    };
    assert_eq!(of(Event::Open { nonce: [0; 16], own_log: None }), None);
    assert_eq!(of(Event::Close { totals: None }), None);
    let mut check = decision(Some("payments:send"), Answer::Allow);
    if let Event::Decision { mode, .. } = &mut check {
        *mode = Mode::Check;
    }
    assert_eq!(of(check), None, "a dry run proves no action");
    let mut called = decision(Some("payments:send"), Answer::Allow);
    if let Event::Decision { caller, .. } = &mut called {
        *caller = Some(Box::new(Caller {
            certificate: kakunin_core::digest::Digest::of(b"c"),
            possession: ProofOfPossession::Signature,
            agent: AgentId::from_random([2; 16]),
        }));
    }
    assert_eq!(of(called), None, "a gateway's decision about another agent is not its own behaviour");
    assert!(of(decision(Some("payments:send"), Answer::Allow)).is_some());
}

#[test]
fn values_count_only_if_the_receipt_commits_to_them() {
    let mut pen = Pen::new(2);
    let shown = disclosure("counterparties", &serde_json::json!("supplier-1"));
    let mut event = decision(Some("payments:send"), Answer::Allow);
    let foreign = pen.observe(event.clone(), std::slice::from_ref(&shown));
    if let Event::Decision { counterparties, .. } = &mut event {
        *counterparties = Some(*shown.digest());
    }
    pen.sequence -= 1;
    assert_ne!(foreign, pen.observe(event.clone(), std::slice::from_ref(&shown)));
    pen.sequence -= 1;
    assert_eq!(foreign, pen.observe(event, &[]));
}

#[test]
fn features_that_saw_no_values_are_said_to_be_silent() {
    let mut pen = Pen::new(2);
    let blind: Vec<_> =
        (0..300).map(|n| pen.allowed(if n % 5 == 0 { "notes:write" } else { "read:mail" })).collect();
    let baseline = Baseline::learn(&blind, &RiskPolicy::default()).unwrap();
    assert_eq!(baseline.silent(), [Feature::NewCounterparty, Feature::Amount, Feature::OffHours]);
    let replay = replay(blind, &BASELINE, &RiskPolicy::default());
    assert!(replay.silent.contains(&Feature::Amount) && replay.silent.contains(&Feature::NewCounterparty));
}

#[test]
fn larger_amounts_and_strangers_are_noticed() {
    let amounts = delay(RiskLevel::Watch, 400, |pen, n| {
        pen.begin();
        if n % 4 == 0 { pen.pays("90000.00", "supplier-1") } else { pen.allowed("read:mail") }
    });
    assert!(amounts.is_some_and(|calls| calls <= 60), "{amounts:?}");
    let strangers = delay(RiskLevel::Watch, 400, |pen, n| {
        pen.begin();
        if n % 4 == 0 { pen.pays("40.00", &format!("stranger-{n}")) } else { pen.allowed("read:mail") }
    });
    assert!(strangers.is_some_and(|calls| calls <= 60), "{strangers:?}");
}

#[test]
fn a_baseline_is_read_as_it_was_written_and_not_otherwise() {
    let text = BASELINE.to_json();
    assert_eq!(Baseline::from_json(&text).as_ref(), Ok(BASELINE.as_ref()));
    assert_eq!(Baseline::from_json(&format!("{text}\n")).unwrap().digest(), BASELINE.digest());
    for (from, to, error) in [
        ("\"version\":1", "\"version\":2", BaselineError::Version(2)),
        ("\"version\":1", "\"version\":1,\"x\":1", BaselineError::Spelling),
        ("\"allowed\"", "\"allowes\"", BaselineError::Member("allowed")),
        ("\"feature\":\"denial-ratio\"", "\"feature\":\"off-hours\"", BaselineError::Member("charts")),
        ("\"feature\":\"denial-ratio\"", "\"feature\":\"declared\"", BaselineError::Member("charts")),
    ] {
        let other = text.replace(from, to);
        assert_ne!(other, text);
        assert_eq!(Baseline::from_json(&other), Err(error), "{from} {to}");
    }
    for wrong in ["", "{}", "[]", "null", "{\"version\":1}"] {
        assert!(Baseline::from_json(wrong).is_err(), "{wrong}");
    }
    let other = text.replacen("\"threshold\":", "\"threshold\":9", 1);
    assert_ne!(
        Baseline::from_json(&other).unwrap().digest(),
        BASELINE.digest(),
        "another one has another digest"
    );
}

#[test]
fn the_same_history_gives_the_same_baseline_and_a_new_one_names_the_old() {
    assert_eq!(BASELINE.to_json(), baseline().to_json());
    let later = Pen::new(8).days(600);
    let anew = Baseline::relearn(&BASELINE, &later, &RiskPolicy::default()).unwrap();
    assert_eq!(anew.replaces(), Some(BASELINE.digest()));
    let afresh = Baseline::learn(&later, &RiskPolicy::default()).unwrap();
    assert_ne!(anew.digest(), afresh.digest());
}

#[test]
fn too_little_is_learned_from_by_nobody() {
    let mut pen = Pen::new(2);
    let denied: Vec<_> = (0..500).map(|_| pen.denied("payments:send", "scope.action")).collect();
    let policy = RiskPolicy::default();
    assert_eq!(Baseline::learn(&[], &policy), Err(TooLittle::Calls { allowed: 0, needed: 100 }));
    assert_eq!(Baseline::learn(&denied, &policy), Err(TooLittle::Calls { allowed: 0, needed: 100 }));
    let mut two = pen.days(200);
    pen.agent = AgentId::from_random([3; 16]);
    two.extend(pen.days(10));
    assert!(matches!(Baseline::learn(&two, &policy), Err(TooLittle::Agents { .. })));
}

/// How many events in a row it takes, in thousandths, by the chart that says `of` of `feature`.
fn events(baseline: &Baseline, feature: &str, of: &str) -> u64 {
    let json: serde_json::Value = serde_json::from_str(&baseline.to_json()).unwrap();
    let is = |chart: &&serde_json::Value| chart["of"] == of && chart["feature"] == feature;
    let chart = json["charts"].as_array().unwrap().iter().find(is).unwrap();
    let number = |key: &str| chart[key].as_u64().unwrap();
    number("threshold") * 1000 / number("up")
}

#[test]
fn a_smaller_history_asks_for_more_evidence() {
    let learned = |calls| Baseline::learn(&Pen::new(1).days(calls), &RiskPolicy::default()).unwrap();
    let (small, large) = (learned(120), learned(4_000));
    for of in ["*", "notes:write"] {
        let (small, large) = (events(&small, "write-mix", of), events(&large, "write-mix", of));
        assert!(small > large, "{of}: {small} {large}");
    }
}

/// A hundred calls of ten tasks are no hundred draws: what one task in ten does all the time says less about the next ten
/// than what each task does once in ten calls, though both are the same share.
#[test]
fn what_comes_by_whole_tasks_asks_for_more_evidence_than_what_comes_evenly() {
    let learned = |writes: &dyn Fn(usize, usize) -> bool| {
        let mut pen = Pen::new(1);
        let mut seen = Vec::new();
        for task in 0..40 {
            pen.begin();
            let action = |call| if writes(task, call) { "notes:write" } else { "read:mail" };
            seen.extend((0..10).map(|call| pen.allowed(action(call))));
        }
        Baseline::learn(&seen, &RiskPolicy::default()).unwrap()
    };
    let (even, whole) = (learned(&|_, call| call == 5), learned(&|task, _| task % 10 == 5));
    let by = |baseline| events(baseline, "write-mix", "notes:write");
    assert!(by(&whole) > 2 * by(&even), "{} {}", by(&whole), by(&even));
}

/// Where new actions are usual, one of a kind that never was is not.
#[test]
fn a_kind_that_the_baseline_never_saw_is_noticed_where_new_actions_are_usual() {
    let mut pen = Pen::new(1);
    let mut seen = Vec::new();
    // Of three tasks one has a note of its own, one has two.
    let task = |pen: &mut Pen, number: usize| {
        pen.begin();
        let mut calls: Vec<_> = (0..4).map(|_| pen.allowed("read:mail")).collect();
        calls.extend((0..number % 3).map(|note| pen.allowed(&format!("notes:write_{number}_{note}"))));
        calls
    };
    for number in 0..100 {
        seen.extend(task(&mut pen, number));
    }
    let mut monitor = Monitor::new(
        Baseline::learn(&seen, &RiskPolicy::default()).unwrap(),
        RiskPolicy::from_toml("off = [\"sequence\", \"write-mix\", \"rate\"]\n").unwrap(),
    );
    for number in 100..160 {
        let calls = task(&mut pen, number);
        assert_eq!(watch(&mut monitor, &calls), [], "{number}");
    }
    let calls = task(&mut pen, 0);
    watch(&mut monitor, &calls);
    assert_eq!(monitor.observe(&pen.allowed("shell:run")), None, "one alone never counts");
    let calls = task(&mut pen, 0);
    assert_eq!(watch(&mut monitor, &calls), []);
    let change = monitor.observe(&pen.allowed("shell:run")).unwrap();
    assert_eq!((change.from, change.evidence[0].feature), (RiskLevel::Clear, Feature::NewAction));
    assert!(change.evidence[0].sentence.contains("of a kind"), "{:?}", change.evidence);
}

#[test]
fn nothing_but_writes_is_noticed_within_ten_calls_where_every_third_call_is_one() {
    let mut pen = Pen::new(1);
    let mut seen = Vec::new();
    let task = |pen: &mut Pen, number: usize| {
        pen.begin();
        let action = |call: usize| match (call + number) % 3 {
            0 => format!("notes:write_{}", number % 4),
            _ => "read:mail".to_owned(),
        };
        (0..6).map(|call| pen.allowed(&action(call))).collect::<Vec<_>>()
    };
    for number in 0..100 {
        seen.extend(task(&mut pen, number));
    }
    let policy = RiskPolicy::from_toml("off = [\"sequence\", \"rate\"]\n").unwrap();
    let mut monitor = Monitor::new(Baseline::learn(&seen, &policy).unwrap(), policy);
    for number in 0..20 {
        watch(&mut monitor, &task(&mut pen, number));
    }
    assert_eq!(monitor.level(), RiskLevel::Clear);
    pen.begin();
    let burst = (0..10).find_map(|n| monitor.observe(&pen.allowed(&format!("notes:write_{}", n % 4))));
    let sentence = &burst.unwrap().evidence[0].sentence;
    assert!(sentence.starts_with("hardly anything but writes"), "{sentence}");
}

#[test]
fn receipts_of_another_agent_are_counted_and_not_judged() {
    let (mut monitor, mut pen) = watched();
    pen.agent = AgentId::from_random([9; 16]);
    let calls = monitor.calls();
    for _ in 0..200 {
        assert_eq!(monitor.observe(&pen.allowed("files:upload")), None);
    }
    assert_eq!((monitor.calls(), monitor.foreign(), monitor.score()), (calls, 200, monitor.score()));
}

#[test]
fn a_state_is_taken_up_with_its_own_baseline_and_policy_only() {
    let (monitor, _) = watched();
    let state = monitor.state();
    let again = Monitor::resume(Arc::clone(&BASELINE), RiskPolicy::default(), &state).unwrap();
    assert_eq!(again.state(), state);
    let other = RiskPolicy::from_toml("window = 60\n").unwrap();
    assert!(matches!(Monitor::resume(Arc::clone(&BASELINE), other, &state), Err(StateError::Policy { .. })));
    let small = Baseline::learn(&Pen::new(1).days(200), &RiskPolicy::default()).unwrap();
    assert!(matches!(
        Monitor::resume(small, RiskPolicy::default(), &state),
        Err(StateError::Baseline { .. })
    ));
    for wrong in [
        String::new(),
        "{}".to_owned(),
        state.replace("\"level\":\"clear\"", "\"level\":\"calm\""),
        state.replace("\"level\":\"clear\"", "\"level\":\"clear\",\"levels\":1"),
        state.replacen("{\"since\":0,", "{", 1),
    ] {
        let resumed = Monitor::resume(Arc::clone(&BASELINE), RiskPolicy::default(), &wrong);
        assert_eq!(resumed.map(drop), Err(StateError::Form), "{wrong}");
    }
}

#[test]
fn hostile_receipts_overflow_nothing_and_take_bounded_room() {
    let mut monitor = monitor();
    let mut pen = Pen::new(2);
    let huge = ["9223372036854775807.999999999999999999", "9223372036854775807", "0", "0.000000000000000001"];
    for n in 0_u64..3_000 {
        pen.stream = StreamId::from_bytes([u8::try_from(n % 251).unwrap(); 16]);
        pen.sequence = if n % 7 == 0 { u64::MAX - 3_000 + n } else { n };
        pen.at = [0, i64::MAX / 1000, i64::MIN / 1000, NOON, 1 << 40][usize::try_from(n % 5).unwrap()];
        let seen = match n % 3 {
            0 => pen.pays(huge[usize::try_from(n % 4).unwrap()], &format!("name-{n}")),
            1 => pen.allowed(&format!("a:{n}")),
            _ => pen.sets_back(u64::MAX),
        };
        monitor.observe(&seen);
        assert!(monitor.score() <= 1000);
    }
    assert!(monitor.state().len() < 200_000, "{}", monitor.state().len());
    let resumed = Monitor::resume(Arc::clone(&BASELINE), RiskPolicy::default(), &monitor.state()).unwrap();
    assert_eq!(resumed.state(), monitor.state());
}

#[test]
fn a_baseline_of_a_hostile_history_is_bounded_and_never_alarmed_about_novelty() {
    let mut pen = Pen::new(2);
    let seen: Vec<_> = (0..6_000).map(|n| pen.allowed(&format!("tool:{n}"))).collect();
    let baseline = Baseline::learn(&seen, &RiskPolicy::default()).unwrap();
    assert!(baseline.to_json().len() < 384 << 10, "{}", baseline.to_json().len());
    let again = Baseline::from_json(&baseline.to_json()).unwrap();
    assert_eq!(again, baseline);
    let more: Vec<_> = (6_000..6_500).map(|n| pen.allowed(&format!("tool:{n}"))).collect();
    let replay = replay(more, &baseline, &RiskPolicy::default());
    assert!(
        replay
            .changes
            .iter()
            .all(|change| { change.evidence.iter().all(|evidence| evidence.feature != Feature::NewAction) })
    );
}

#[test]
fn lines_of_changes_are_exact_json() {
    let (mut monitor, mut pen) = watched();
    pen.begin();
    let changes: Vec<Change> =
        (0..50).filter_map(|_| monitor.observe(&pen.allowed("files:upload"))).collect();
    assert!(!changes.is_empty());
    for change in changes {
        let json: serde_json::Value = serde_json::from_str(&change.line()).unwrap();
        assert_eq!(json["to"], change.to.word());
        assert_eq!(json["receipt"], change.receipt.unwrap().to_string());
        assert_eq!(json.to_string(), change.line(), "keys ascend and nothing is spelled twice");
        assert!(change.sentence().contains(" -> "));
    }
}

#[test]
fn risk_of_the_vectors_is_that_of_every_language() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../vectors/risk");
    let text = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let root = CertificateDer::from_pem_slice(text("root.pem").as_bytes()).unwrap();
    let anchors = TrustAnchors::new([root.as_ref()]).unwrap();
    let policy = RiskPolicy::from_toml(&text("policy.toml")).unwrap();
    let history = History::read(&folder.join("history.jsonl"), &anchors, &mut ()).unwrap();
    let learned = Baseline::learn(&history.of_agent(None).unwrap(), &policy).unwrap();
    assert_eq!(format!("{}\n", learned.to_json()), text("baseline.json"));
    let asked = RiskInquiry {
        path: folder.join("receipts.jsonl"),
        anchors,
        baseline: text("baseline.json"),
        policy: text("policy.toml"),
        agent: None,
    };
    let expected: serde_json::Value = serde_json::from_str(&text("expected.json")).unwrap();
    assert_eq!(asked.ask(&mut ()).unwrap().to_record(), expected);
    let reached = expected["changes"].as_array().unwrap().iter().map(|change| change["to"].as_str().unwrap());
    let reached: Vec<&str> = reached.collect();
    assert!(reached.ends_with(&["suspend", "revoke"]), "{reached:?}");
}

#[test]
fn receipts_in_another_order_are_all_judged() {
    // A captured agent sends a harmless receipt with a high number first, then everything else.
    let (clean, mut pen) = watched();
    pen.begin();
    let mut seen: Vec<_> = (0..300)
        .map(|n| if n % 2 == 0 { pen.allowed("files:upload") } else { pen.allowed("notes:write") })
        .collect();
    seen.push(pen.allowed("read:mail"));
    let mut sorted = clean.clone();
    watch(&mut sorted, &seen);
    assert_eq!(sorted.level(), RiskLevel::Revoke);
    let mut reversed = clean.clone();
    seen.reverse();
    watch(&mut reversed, &seen);
    assert_eq!(reversed.level(), RiskLevel::Revoke);
    assert_eq!((reversed.calls(), reversed.denied()), (sorted.calls(), sorted.denied()));
    // A canary is one under any number.
    let policy = RiskPolicy::from_toml("canaries = [\"read:payroll\"]\n").unwrap();
    let mut monitor = Monitor::new(Arc::clone(&BASELINE), policy);
    let canary = pen.allowed("read:payroll");
    pen.sequence = 1_000_000;
    assert_eq!(monitor.observe(&pen.allowed("read:mail")), None);
    assert_eq!(monitor.observe(&canary).unwrap().to, RiskLevel::Revoke);
}

#[test]
fn two_hosts_that_send_in_batches_are_not_taken_for_a_fast_one() {
    let (mut monitor, mut one, mut other) = (monitor(), Pen::new(2), Pen::new(3));
    let mut changes = Vec::new();
    for _ in 0..10 {
        let batches = [one.days(60), other.days(60)];
        changes.extend(batches.iter().flat_map(|batch| watch(&mut monitor, batch)));
    }
    let is_fast = |change: &Change| change.evidence.iter().any(|evidence| evidence.feature == Feature::Rate);
    assert!(!changes.iter().any(is_fast) && monitor.level() < RiskLevel::Suspend, "{changes:?}");
}

#[test]
fn a_history_is_replayed_alike_with_receipts_twice_and_in_any_order() {
    let seen = Pen::new(6).days(200);
    let mut twice: Vec<_> = seen.iter().rev().chain(&seen).cloned().collect();
    twice.extend_from_slice(&seen[50..150]);
    let policy = RiskPolicy::default();
    assert_eq!(replay(seen, &BASELINE, &policy).digest, replay(twice, &BASELINE, &policy).digest);
}

#[test]
fn a_receipt_that_comes_late_is_back_dated_only_against_what_is_behind_it() {
    let (mut monitor, mut pen) = watched();
    let earlier = pen.allowed("read:mail");
    // The number behind it claims an hour less.
    let mut later = pen.clone();
    later.at -= 60 * MINUTE;
    let mut honest = monitor.clone();
    let mut stated = monitor.clone();
    let behind = later.allowed("read:mail");
    let mut fresh = Monitor::new(Arc::clone(&BASELINE), RiskPolicy::default());
    assert_eq!(fresh.observe(&behind), None);
    let change = fresh.observe(&earlier).unwrap();
    assert!(change.evidence[0].sentence.starts_with("back-dated: "), "{:?}", change.evidence);
    assert_eq!(monitor.observe(&earlier), None);
    assert_eq!(monitor.observe(&behind).unwrap().to, RiskLevel::Revoke, "the same in its order");
    // Two uploads in the wrong order are nothing.
    let (first, second) = (pen.allowed("read:mail"), pen.allowed("read:orders"));
    watch(&mut honest, &[second, first]);
    assert!(honest.level() < RiskLevel::StepUp, "{:?}", honest.evidence());
    // Nor is a clock that was set back between them, if the stream says so.
    let first = pen.allowed("read:mail");
    let word = pen.sets_back(3_600_000);
    pen.at -= 3_600_000;
    let second = pen.allowed("read:mail");
    watch(&mut stated, &[word, second, first]);
    assert!(stated.level() < RiskLevel::StepUp, "{:?}", stated.evidence());
}

#[test]
fn who_is_suspended_for_what_was_declared_is_not_revoked_for_being_held() {
    let policy = RiskPolicy::from_toml("revoke.held_hours = 24\n").unwrap();
    let (_, mut pen) = watched();
    let mut held = Monitor::new(Arc::clone(&BASELINE), policy.clone());
    watch(&mut held, &Pen::new(2).days(120));
    for n in 0..3 {
        held.declare(&high(pen.at + n));
    }
    assert_eq!((held.level(), held.proven()), (RiskLevel::Suspend, RiskLevel::Clear));
    for hours in [23, 25, 24 * 30] {
        assert_eq!(held.pass(at(pen.at + hours * 60 * MINUTE)), None);
        held = Monitor::resume(Arc::clone(&BASELINE), policy.clone(), &held.state()).unwrap();
    }
    // From when receipts alone suspend it, it is held by these.
    pen.at += 31 * DAY;
    while held.proven() < RiskLevel::Suspend {
        held.observe(
            &pen.denied(["files:upload", "notes:write"][pen.sequence as usize % 2], "certificate.held"),
        );
    }
    assert_eq!(held.level(), RiskLevel::Suspend);
    assert_eq!(held.pass(at(pen.at + DAY - MINUTE)), None);
    assert_eq!(held.pass(at(pen.at + DAY)).unwrap().to, RiskLevel::Revoke);
}

#[test]
fn the_highest_level_of_the_policy_holds_for_being_held_too() {
    let mut held = under("highest = \"suspend\"\nrevoke.held_hours = 24\n");
    let mut pen = Pen::new(2);
    watch(&mut held, &pen.days(120));
    for _ in 0..100 {
        held.observe(&pen.allowed("files:upload"));
    }
    assert_eq!((held.level(), held.proven()), (RiskLevel::Suspend, RiskLevel::Suspend));
    assert_eq!(held.pass(at(pen.at + 30 * DAY)), None);
    assert_eq!(held.level(), RiskLevel::Suspend);
}

#[test]
fn writes_that_are_refused_at_a_declared_step_up_suspend_and_are_no_proof() {
    // Chosen so that the refusals by themselves are no suspension.
    let off = "off = [\"sequence\", \"denial-ratio\", \"limit-probing\", \"rate\"]\n";
    let mut monitor = under(&format!("{off}revoke.held_hours = 24\n"));
    let mut pen = Pen::new(2);
    watch(&mut monitor, &pen.days(120));
    monitor.declare(&high(pen.at));
    monitor.declare(&high(pen.at));
    assert_eq!((monitor.level(), monitor.proven()), (RiskLevel::StepUp, RiskLevel::Clear));
    // What was declared is half gone, and three ordinary refusals follow.
    pen.at += 30 * 60 * MINUTE;
    monitor.pass(at(pen.at));
    let changes: Vec<Change> =
        (0..3).filter_map(|_| monitor.observe(&pen.denied("payments:send", "scope.amount"))).collect();
    let change = changes.last().unwrap();
    assert_eq!(change.to, RiskLevel::Suspend);
    assert!(monitor.proven() < RiskLevel::Suspend);
    assert!(change.evidence.iter().any(|evidence| evidence.feature == Feature::Declared), "{change:?}");
    monitor.pass(at(pen.at + 30 * DAY));
    assert_eq!(monitor.level(), RiskLevel::Suspend);
}

#[test]
fn three_high_events_suspend_an_agent_that_sends_no_receipts() {
    let unknown = Baseline::unknown(Pen::new(1).agent);
    let mut silent = Monitor::new(unknown.clone(), RiskPolicy::default());
    let changes: Vec<Change> = (0..3).filter_map(|n| silent.declare(&high(NOON + n * MINUTE))).collect();
    assert_eq!(changes.last().map(|change| change.to), Some(RiskLevel::Suspend), "{changes:?}");
    assert_eq!((silent.calls(), silent.proven()), (0, RiskLevel::Clear));
    for n in 0..100 {
        silent.declare(&high(NOON + 10 * MINUTE + n));
    }
    assert_eq!(silent.level(), RiskLevel::Suspend);
    // One loud word is none of three.
    let mut loud = Monitor::new(unknown, RiskPolicy::default());
    loud.declare(&Declared { milli_nats: u32::MAX, ..high(NOON) });
    assert_eq!(loud.level(), RiskLevel::StepUp);
}

#[test]
fn the_time_that_a_receipt_claims_moves_nothing_when_it_shows_a_fact() {
    let mut monitor =
        under("off = [\"sequence\", \"rate\"]\nfacts.forked-stream = \"suspend\"\nrevoke.held_hours = 24\n");
    let mut pen = Pen::new(2);
    watch(&mut monitor, &pen.days(120));
    pen.begin();
    while monitor.level() < RiskLevel::StepUp {
        monitor.observe(&pen.allowed("notes:write"));
    }
    let stands = monitor.score();
    let claimed = Some(at(253_400_000_000_000));
    let fork = Found { claimed, ..found(pen.at) };
    let change = monitor.fact(HardFact::ForkedStream, fork, "two in one place").unwrap();
    assert_eq!((change.to, monitor.score(), monitor.now()), (RiskLevel::Suspend, stands, at(pen.at)));
    assert!(change.evidence[0].sentence.contains("dated 9999-"), "{:?}", change.evidence);
    assert_eq!(monitor.observe(&pen.denied("read:mail", "certificate.held")), None);
    assert_eq!(monitor.level(), RiskLevel::Suspend, "it is held for seconds, not for 8,000 years");
}

#[test]
fn a_baseline_keeps_what_is_frequent_and_stays_small_whatever_the_history_is() {
    let mut pen = Pen::new(2);
    let long = |n: usize| format!("{}:{}:n{n:06}", "a".repeat(50), "b".repeat(60));
    let mut seen = Vec::new();
    for n in 0..20_000 {
        seen.push(pen.denied(&long(n), "scope.action"));
        seen.push(pen.pays("7.00", &format!("{n}")));
        if n % 20 == 0 {
            seen.extend([pen.allowed("read:mail"), pen.allowed("notes:write")]);
        }
    }
    let baseline = Baseline::learn(&seen, &RiskPolicy::default()).unwrap();
    let text = baseline.to_json();
    assert!(text.len() < 320 << 10, "{}", text.len());
    assert_eq!(Baseline::from_json(&text).as_ref(), Ok(&baseline));
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["actions"].as_object().unwrap().len(), 256);
    assert_eq!(
        json["actions"]["notes:write"]["n"], 1_000,
        "what comes often has its place, however late it came"
    );
    assert_eq!(json["steps"]["read:mail"]["notes:write"], 1_000);
    // Each payment follows another action; they are known as others.
    let steps = json["steps"].as_object().unwrap();
    let pairs = steps.values().flat_map(|after| after.as_object().unwrap().keys());
    assert!(pairs.filter(|action| *action != "*").count() <= 512);
    let after =
        |of: &str| json["steps"][of].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum::<u64>();
    assert_eq!(after("payments:send"), 19_999, "the last has nothing after it");
    let too_long = format!("{}{}", text, " ".repeat(400 << 10));
    assert_eq!(Baseline::from_json(&too_long), Err(BaselineError::TooLong));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_resumed_goes_on_as_if_it_had_never_rested(
        seed in 20_u8..250,
        cut in 0_usize..240,
        drift in proptest::collection::vec(0_u8..6, 0..60),
    ) {
        let mut pen = Pen::new(seed);
        let mut seen = pen.days(180);
        for kind in drift {
            seen.push(match kind {
                0 => pen.allowed("files:upload"),
                1 => pen.allowed("notes:write"),
                2 => pen.denied("payments:send", "scope.amount"),
                3 => pen.denied("payments:send", "certificate.held"),
                4 => pen.pays("7000.00", "stranger"),
                _ => pen.sets_back(5_000),
            });
        }
        let mut whole = monitor();
        let mut changes = Vec::new();
        let mut rested = monitor();
        for (place, seen) in seen.iter().enumerate() {
            if place == cut || place % 50 == 0 {
                rested = Monitor::resume(Arc::clone(&BASELINE), RiskPolicy::default(), &rested.state()).unwrap();
            }
            let change = whole.observe(seen);
            prop_assert_eq!(&change, &rested.observe(seen));
            changes.extend(change);
            prop_assert!(whole.score() <= 1000);
        }
        prop_assert_eq!(whole.state(), rested.state());
    }
}

#[test]
fn an_agent_that_is_still_learnt_is_watched_for_what_is_no_statistic() {
    let mut pen = Pen::new(1);
    let unknown = Baseline::unknown(pen.agent);
    // Nobody freezes it: as a file it would be a baseline that never says anything.
    assert!(Baseline::from_json(&unknown.to_json()).is_err());
    assert_eq!((unknown.agent(), unknown.calls(), unknown.replaces()), (pen.agent, 0, None));
    let policy = RiskPolicy::from_toml("canaries = [\"read:payroll\"]").unwrap();
    let mut monitor = Monitor::new(unknown, policy);
    // Whatever it does, there is nothing to hold it against.
    for _ in 0..500 {
        assert_eq!(monitor.observe(&pen.allowed("write:anything")), None);
    }
    let rested = monitor.state();
    assert_eq!(
        Monitor::resume(Baseline::unknown(pen.agent), monitor.policy().clone(), &rested).unwrap().state(),
        rested
    );
    let canary = monitor.observe(&pen.allowed("read:payroll")).unwrap();
    assert_eq!((canary.to, canary.evidence[0].feature), (RiskLevel::Revoke, Feature::HardFact));
}
