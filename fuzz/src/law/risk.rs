//! Behaviour risk: what owners write about it, what is usual for an agent, and a monitor at rest.

use std::sync::{Arc, LazyLock};

use kakunin_core::digest::Digest;
use kakunin_core::id::AgentId;
use kakunin_core::risk::{
    Baseline, Change, Declared, Feature, HardFact, Monitor, Observation, RiskLevel, RiskPolicy,
};
use kakunin_core::time::UnixMillis;
use serde_json::Value;

use crate::authority::agent_id;
use crate::behaviour::{DAY, Pen};

/// What is refused is refused at a line that there is; what is taken has one spelling, scores that do not fall, and hard
/// facts that at least suspend. An empty line in front moves the line and nothing else.
pub(super) fn policy(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let read = RiskPolicy::from_toml(text);
    let below = (!text.starts_with('\u{feff}')).then(|| RiskPolicy::from_toml(&format!("\n{text}")));
    match read {
        Err(error) => {
            assert!((1..=text.lines().count().max(1) + 1).contains(&error.line), "{error:?}");
            assert!(!error.what.is_empty() && !error.fix.is_empty(), "{error:?}");
            if let Some(below) = below {
                assert_eq!(below.unwrap_err().line, error.line + 1, "{error:?}");
            }
        }
        Ok(policy) => {
            is_in_order(&policy.to_text());
            assert!(
                RiskLevel::ALL.windows(2).all(|pair| policy.score_of(pair[0]) <= policy.score_of(pair[1]))
            );
            assert!(policy.score_of(RiskLevel::Revoke) <= 1000);
            assert!(HardFact::ALL.into_iter().all(|fact| policy.level_of(fact) >= RiskLevel::Suspend));
            if let Some(below) = below {
                assert_eq!(below.unwrap().digest(), policy.digest());
            }
        }
    }
}

/// A baseline has one spelling, and whoever is watched by it is told levels that are no higher than what was seen calls for.
pub(super) fn baseline(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(baseline) = Baseline::from_json(text) else { return };
    let own = text.strip_suffix('\n').unwrap_or(text);
    is_in_order(own);
    assert_eq!(baseline.digest(), Digest::of(own.as_bytes()));
    let agent = baseline.agent();
    let mut monitor = Monitor::new(baseline, RiskPolicy::default());
    let changes = watch(&mut monitor, agent);
    assert!(monitor.proven() <= monitor.level());
    assert!(changes.is_empty() || monitor.calls() > 0);
    // What is kept of it goes on alike.
    let state = monitor.state();
    let mut again = Monitor::resume(monitor.baseline().clone(), RiskPolicy::default(), &state).unwrap();
    assert_eq!(again.state(), state);
    assert_eq!(watch(&mut again, agent), watch(&mut monitor, agent));
}

/// A state has one spelling, and whoever goes on from it overflows nothing and never comes back from a revocation.
pub(super) fn monitor(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (baseline, policy) = (Arc::clone(&usual().0), usual().1.clone());
    let Ok(mut monitor) = Monitor::resume(baseline, policy, text) else { return };
    assert_eq!(monitor.state(), text);
    is_in_order(text);
    let (before, agent) = (monitor.level(), monitor.baseline().agent());
    let changes = watch(&mut monitor, agent);
    if before == RiskLevel::Revoke {
        assert_eq!((changes, monitor.level()), (Vec::new(), RiskLevel::Revoke));
    }
    let state = monitor.state();
    let (baseline, policy) = (Arc::clone(&usual().0), usual().1.clone());
    assert_eq!(Monitor::resume(baseline, policy, &state).unwrap().state(), state);
}

/// Canonical JSON, as another writer has it.
fn is_in_order(text: &str) {
    let value: Value = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_string(&value).unwrap(), text, "a second spelling");
}

/// The baseline that the shared vectors are judged by, and the policy.
pub(crate) fn usual() -> &'static (Arc<Baseline>, RiskPolicy) {
    static USUAL: LazyLock<(Arc<Baseline>, RiskPolicy)> = LazyLock::new(|| {
        let baseline = Baseline::from_json(include_str!("../../../vectors/risk/baseline.json")).unwrap();
        let policy = RiskPolicy::from_toml(include_str!("../../../vectors/risk/policy.toml")).unwrap();
        (Arc::new(baseline), policy)
    });
    &USUAL
}

/// An ordinary day, a strange one, words about clocks, and what others say: what came of it, each of it told plainly.
fn watch(monitor: &mut Monitor, agent: AgentId) -> Vec<Change> {
    let changes: Vec<Change> = day(agent)
        .iter()
        .filter_map(|seen| {
            let change = monitor.observe(seen);
            assert!(monitor.score() <= 1000);
            change
        })
        .collect();
    let last = monitor.now().millis();
    let declared = Declared {
        feature: Feature::Declared,
        at: UnixMillis::from_millis(last.saturating_add(1000)),
        milli_nats: u32::MAX,
        sentence: "\u{7f}\"said\"\n".to_owned(),
    };
    let level = monitor.level();
    let said = monitor.declare(&declared);
    // Words alone revoke nobody.
    assert!(level == RiskLevel::Revoke || monitor.level() < RiskLevel::Revoke);
    let later = monitor.pass(UnixMillis::from_millis(last.saturating_add(40 * DAY)));
    let all: Vec<Change> = changes.into_iter().chain(said).chain(later).collect();
    for change in &all {
        assert!(change.score <= 1000 && !change.evidence.is_empty(), "{change:?}");
        for evidence in &change.evidence {
            let plain = |letter: char| letter == ' ' || letter.is_ascii_graphic();
            assert!(!evidence.sentence.is_empty() && evidence.sentence.chars().all(plain), "{evidence:?}");
        }
    }
    for evidence in monitor.evidence() {
        assert!(!evidence.sentence.is_empty(), "{evidence:?}");
    }
    all
}

fn day(agent: AgentId) -> Vec<Observation> {
    let mut pen = Pen::new(9);
    pen.agent = agent;
    let mut seen = pen.days(40);
    for number in 0..60_u32 {
        seen.push(match number % 6 {
            0 => pen.pays("99999999999999999.99", &format!("stranger-{number}")),
            1 => pen.allowed("files:upload"),
            2 => pen.denied("payments:send", "scope.amount"),
            3 => pen.denied("notes:write", "certificate.held"),
            4 => pen.sets_back(u64::from(number) * 1000),
            _ => pen.allowed("notes:write"),
        });
    }
    // The ends of time.
    for at in [0, 253_402_300_799_999, 1] {
        pen.at = at;
        seen.push(pen.allowed("read:mail"));
    }
    seen
}

/// Policies, as owners write them.
pub(crate) fn policies() -> Vec<Vec<u8>> {
    let own = include_str!("../../../vectors/risk/policy.toml");
    [
        own,
        "",
        POLICY,
        "[step_up]\nscore = 900\n",
        "window = 5\n",
        "\n[facts]\nback-dated = \"watch\"\n",
        "off = [\"rate\", \"amount\"]\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

pub(crate) fn baselines() -> Vec<Vec<u8>> {
    let usual = usual().0.to_json();
    let mut pen = Pen::new(4);
    pen.agent = agent_id();
    let small = Baseline::learn(&pen.days(160), &RiskPolicy::default()).unwrap().to_json();
    vec![usual.into_bytes(), format!("{small}\n").into_bytes()]
}

/// A monitor that saw nothing, one that saw an ordinary day, and one that saw a strange one.
pub(crate) fn states() -> Vec<Vec<u8>> {
    let (baseline, policy) = (Arc::clone(&usual().0), usual().1.clone());
    let mut monitor = Monitor::new(baseline, policy);
    let mut all = vec![monitor.state().into_bytes()];
    for (number, seen) in day(usual().0.agent()).iter().enumerate() {
        monitor.observe(seen);
        if number % 17 == 0 {
            all.push(monitor.state().into_bytes());
        }
    }
    all
}

const POLICY: &str = r#"average_run_length = 8000
half_life_hours = 12
window = 40
repeat_within = 60
reads = ["orders:*"]
writes = ["orders:cancel"]
canaries = ["read:secrets:*"]
off = ["off-hours"]
highest = "suspend"
[step_up]
score = 450
[suspend]
score = 700
calls = 40
[revoke]
score = 950
calls = 200
held_hours = 48
[facts]
back-dated = "suspend"
[baseline]
calls = 300
days = 7
least = 200
"#;
