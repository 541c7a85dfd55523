//! What an agent usually does: counted once, frozen, and known by its digest.
//!
//! Learning holds every call against the rest of the history, block by block, so that what is rare in it is taken for as
//! surprising as it will be. A baseline does not grow while it is in use, or a patient attacker would teach it; another
//! one is made on purpose, names the one before, and has another digest.

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;

use super::calibrate::Calibration;
use super::charts::{Chart, History, Shown, Step};
use super::counts::{Counts, MAX_ACTIONS, MAX_NAMES, MAX_PAIRS, MAX_SUMS, OTHER, Placed, Sums};
use super::feature::Feature;
use super::observation::{Call, Name, Observation, What};
use super::policy::RiskPolicy;
use super::recall::Recall;
use super::signals::Signals;
use crate::digest::{Digest, hex, unhex};
use crate::id::AgentId;
use crate::json::{Object, ObjectWriter, Value};

/// What is usual for one agent, with the charts and thresholds that follow from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Baseline {
    agent: AgentId,
    /// The baseline that this one takes the place of.
    replaces: Option<Digest>,
    allowed: u64,
    first: i64,
    last: i64,
    run_length: u64,
    counts: Counts,
    writes: BTreeSet<String>,
    charts: Vec<Chart>,
    digest: Digest,
}

impl Baseline {
    /// Learns from a history in the order of [`super::in_order`]; everything in it is taken for usual. Words about clocks
    /// are passed over.
    ///
    /// # Errors
    /// [`TooLittle`] when it has fewer allowed calls than the policy asks for at least, or calls of several agents.
    pub fn learn(history: &[Observation], policy: &RiskPolicy) -> Result<Self, TooLittle> {
        Self::learn_after(None, history, policy)
    }

    /// Learns anew in the place of `before`, which the new one names.
    ///
    /// # Errors
    /// As [`Baseline::learn`], and when `before` is another agent's.
    pub fn relearn(before: &Self, history: &[Observation], policy: &RiskPolicy) -> Result<Self, TooLittle> {
        Self::learn_after(Some(before), history, policy)
    }

    /// Of an agent of which nothing is known yet: no charts, so no statistics. Hard facts, canaries and what is declared work
    /// by it from the first receipt on. It is never frozen: [`Baseline::from_json`] does not take it.
    #[must_use]
    pub fn unknown(agent: AgentId) -> Self {
        let mut baseline = Self {
            agent,
            replaces: None,
            allowed: 0,
            first: 0,
            last: 0,
            run_length: 0,
            counts: Counts::default(),
            writes: BTreeSet::new(),
            charts: Vec::new(),
            digest: Digest::from_bytes([0; 32]),
        };
        baseline.digest = Digest::of(baseline.to_json().as_bytes());
        baseline
    }

    fn learn_after(
        before: Option<&Self>,
        history: &[Observation],
        policy: &RiskPolicy,
    ) -> Result<Self, TooLittle> {
        let calls: Vec<(&Observation, &Call)> = history
            .iter()
            .filter_map(|seen| match &seen.what {
                What::Call(call) => Some((seen, call)),
                What::SetBack(_) => None,
            })
            .collect();
        let allowed = calls.iter().filter(|(seen, _)| seen.is_allowed()).count() as u64;
        let too_little = TooLittle::Calls { allowed, needed: policy.least_calls() };
        let Some((first, _)) = calls.first().filter(|_| allowed >= policy.least_calls()) else {
            return Err(too_little);
        };
        let agent = first.agent;
        let others = calls.iter().map(|(seen, _)| seen.agent).chain(before.map(|before| before.agent));
        if let Some(other) = others.into_iter().find(|other| *other != agent) {
            return Err(TooLittle::Agents { one: agent, other });
        }
        let learned = Learned::from(&calls, policy);
        let (first, last) = (learned.at.first().copied(), learned.at.last().copied());
        let mut baseline = Self {
            agent,
            replaces: before.map(|before| before.digest),
            allowed,
            first: first.unwrap_or(0),
            last: last.unwrap_or(0),
            run_length: policy.run_length(),
            counts: learned.counts,
            writes: learned.writes,
            charts: learned.charts,
            digest: Digest::from_bytes([0; 32]),
        };
        // What is counted is the seed of what is calibrated by it.
        let thresholds = Calibration {
            blocks: &learned.blocks,
            steps: &learned.steps,
            run_length: policy.run_length(),
            seed: Digest::of(baseline.to_json().as_bytes()),
        }
        .thresholds(
            |chart| baseline.charts.get(chart).map_or(0, Chart::least),
            |chart| baseline.charts.get(chart).map_or(1, |its| its.part(baseline.charts.len())),
        );
        for (chart, threshold) in baseline.charts.iter_mut().zip(thresholds) {
            chart.threshold = threshold.max(1);
        }
        baseline.digest = Digest::of(baseline.to_json().as_bytes());
        Ok(baseline)
    }

    /// Whose it is.
    #[must_use]
    pub const fn agent(&self) -> AgentId {
        self.agent
    }

    /// What it is known by: SHA-256 of [`Baseline::to_json`].
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The baseline that it takes the place of, if it was learned anew.
    #[must_use]
    pub const fn replaces(&self) -> Option<Digest> {
        self.replaces
    }

    /// How many calls it was learned from, denied ones among them.
    #[must_use]
    pub const fn calls(&self) -> u64 {
        self.counts.calls
    }

    /// The features that it says nothing about, because its history showed nothing of them.
    #[must_use]
    pub fn silent(&self) -> Vec<Feature> {
        let has = |feature: &Feature| self.charts.iter().any(|chart| chart.feature == *feature);
        let learned = |feature: &Feature| feature.is_of_receipts() && *feature != Feature::HardFact;
        Feature::ALL.into_iter().filter(|feature| learned(feature) && !has(feature)).collect()
    }

    pub(super) const fn counts(&self) -> &Counts {
        &self.counts
    }

    pub(super) fn charts(&self) -> &[Chart] {
        &self.charts
    }

    /// Whether an action writes: as it was when it was learned, and by the policy for others.
    pub(super) fn is_write(&self, action: &str, policy: &RiskPolicy) -> bool {
        if self.counts.action(action) > 0 { self.writes.contains(action) } else { policy.is_write(action) }
    }

    /// The one spelling of it: exact JSON, keys ascending.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = Vec::new();
        let mut object = ObjectWriter::new(&mut out);
        let counts = &self.counts;
        object.object("actions", |object| {
            for (action, times) in &counts.actions {
                object.object(action, |object| {
                    object.number("n", *times);
                    if self.writes.contains(action) {
                        object.yes("write");
                    }
                });
            }
        });
        object.text("agent", &self.agent.to_string());
        object.number("allowed", self.allowed);
        object.number("calls", counts.calls);
        object.objects("charts", self.charts.iter(), |object, chart| {
            object.number("down", positive(chart.down));
            object.text("feature", chart.feature.word());
            object.text("of", &chart.of);
            object.number("threshold", positive(chart.threshold));
            object.number("up", positive(chart.up));
        });
        object.number("first", positive(self.first));
        object.object("hours", |object| {
            for (hour, times) in &counts.hours {
                object.number(&format!("{hour:03}"), *times);
            }
        });
        object.number("last", positive(self.last));
        object.number("named", counts.named);
        object.object("names", |object| {
            for (name, times) in &counts.names {
                object.number(&hex(name), *times);
            }
        });
        if let Some(replaces) = &self.replaces {
            object.text("replaces", &replaces.to_hex());
        }
        object.number("run_length", self.run_length);
        object.object("steps", |object| {
            for (before, after) in &counts.steps {
                object.object(before, |object| {
                    for (action, times) in after {
                        object.number(action, *times);
                    }
                });
            }
        });
        object.object("sums", |object| {
            for (table, sums) in &counts.sums {
                object.object(table, |object| {
                    object.object("buckets", |object| {
                        for (bucket, times) in &sums.buckets {
                            object.number(&format!("{bucket:03}"), *times);
                        }
                    });
                    object.number("count", sums.count);
                    object.text("total", &sums.total.to_string());
                });
            }
        });
        object.number("version", VERSION);
        object.close();
        // INVARIANT: names of actions, currencies and words are ASCII.
        String::from_utf8(out).unwrap_or_default()
    }

    /// Reads what [`Baseline::to_json`] wrote, and nothing else; a line feed may follow.
    ///
    /// # Errors
    /// [`BaselineError`] for any other text: a baseline is not edited.
    pub fn from_json(text: &str) -> Result<Self, BaselineError> {
        let text = text.strip_suffix('\n').unwrap_or(text);
        if text.len() > MAX_TEXT {
            return Err(BaselineError::TooLong);
        }
        let object = Object::parse_within(text.as_bytes(), DEPTH)
            .map_err(|error| BaselineError::Json { at: error.at })?;
        let mut baseline = read(object)?;
        baseline.digest = Digest::of(text.as_bytes());
        // One spelling: what the reader did not take is lost in this comparison.
        if baseline.to_json() != text {
            return Err(BaselineError::Spelling);
        }
        Ok(baseline)
    }
}

/// What came of a history, before its thresholds.
struct Learned {
    counts: Counts,
    writes: BTreeSet<String>,
    charts: Vec<Chart>,
    steps: Vec<Vec<Step>>,
    blocks: Vec<Range<usize>>,
    at: Vec<i64>,
}

impl Learned {
    fn from(calls: &[(&Observation, &Call)], policy: &RiskPolicy) -> Self {
        let mut recall = Recall::default();
        let (mut counts, mut placed, mut at) = (Counts::default(), Vec::new(), Vec::new());
        let mut now = 0;
        for (number, (seen, call)) in calls.iter().enumerate() {
            now = seen.at.max(now);
            let (before, fresh) = recall.place(call, number as u64, now);
            counts.add(Placed { call, before: &before, at: now });
            placed.push((before, fresh));
            at.push(now);
        }
        counts.trim();
        let writes: BTreeSet<String> =
            counts.actions.keys().filter(|action| policy.is_write(action)).cloned().collect();
        let blocks = blocks(calls);
        let mut shown = Vec::with_capacity(calls.len());
        for block in &blocks {
            let within = || {
                let calls = calls.iter().zip(&placed).zip(&at).enumerate();
                calls.skip(block.start).take(block.len())
            };
            let mut own = Counts::default();
            for (_, (((_, call), (before, _)), at)) in within() {
                own.add(Placed { call, before, at: *at });
            }
            let mut met: HashSet<Name> = HashSet::new();
            for (place, (((_, call), (before, fresh_name)), now)) in within() {
                let mut signals = Signals::of(Placed { call, before, at: *now }, &counts, Some(&own));
                // A counterparty is new once.
                let fresh = call.names.iter().flatten().filter(|name| met.insert(**name)).count() > 0;
                signals.new_name = signals.new_name.map(|new| new && fresh);
                let earlier = place.checked_sub(1).and_then(|place| at.get(place)).unwrap_or(now);
                shown.push(Shown {
                    call,
                    signals,
                    is_write: writes.contains(&call.action) || policy.is_write(&call.action),
                    fresh_name: *fresh_name,
                    elapsed: Some(now.saturating_sub(*earlier).unsigned_abs()),
                });
            }
        }
        let millis = match (at.first(), at.last()) {
            (Some(first), Some(last)) => last.saturating_sub(*first).unsigned_abs(),
            _ => 0,
        };
        let own = History::writes(&counts, &|action| writes.contains(action));
        let charts = Chart::learn(&History { shown: &shown, at: &at, writes: own, millis });
        let steps = charts
            .iter()
            .map(|chart| shown.iter().map(|shown| chart.step(shown).unwrap_or_default()).collect())
            .collect();
        Self { counts, writes, charts, steps, blocks, at }
    }
}

/// Calls that belong together: whole sessions as they follow one another, between [`SHORT`] and [`LONG`] calls.
fn blocks(calls: &[(&Observation, &Call)]) -> Vec<Range<usize>> {
    let mut blocks = Vec::new();
    let mut start = 0;
    for (place, pair) in calls.windows(2).enumerate() {
        let [(_, call), (_, next)] = pair else { continue };
        let length = place + 1 - start;
        if (call.session != next.session && length >= SHORT) || length >= LONG {
            blocks.push(start..place + 1);
            start = place + 1;
        }
    }
    if start < calls.len() {
        blocks.push(start..calls.len());
    }
    blocks
}

/// Why nothing is learned from a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TooLittle {
    /// Fewer allowed calls than it takes.
    #[error(
        "{allowed} allowed calls are too few for a baseline; {needed} are needed (`least` under [baseline] in the policy)"
    )]
    Calls {
        /// How many there are.
        allowed: u64,
        /// How many it takes.
        needed: u64,
    },
    /// Calls of several agents.
    #[error("a baseline is of one agent, and here are calls of {one} and {other}")]
    Agents {
        /// One of them.
        one: AgentId,
        /// Another.
        other: AgentId,
    },
}

/// A text that is no baseline.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BaselineError {
    /// Longer than any baseline.
    #[error("the baseline is longer than {MAX_TEXT} bytes")]
    TooLong,
    /// Not exact JSON.
    #[error("not the exact JSON of a baseline at byte {at}")]
    Json {
        /// Where.
        at: usize,
    },
    /// A member that is missing or malformed.
    #[error("member `{0}` of the baseline is missing or malformed")]
    Member(&'static str),
    /// Another version.
    #[error("version {0} of baselines is not known; learn one anew")]
    Version(u64),
    /// Something that this version does not write.
    #[error("the baseline is not in its one spelling; it is not to be edited: learn one anew")]
    Spelling,
}

fn read(mut object: Object<'_>) -> Result<Baseline, BaselineError> {
    let mut number = |key: &'static str| match object.take(key) {
        Some(Value::Number(number)) => Ok(number),
        _ => Err(BaselineError::Member(key)),
    };
    let version = number("version")?;
    if version != VERSION {
        return Err(BaselineError::Version(version));
    }
    let (allowed, calls, named) = (number("allowed")?, number("calls")?, number("named")?);
    let (first, last, run_length) = (number("first")?, number("last")?, number("run_length")?);
    let agent = match object.take("agent") {
        Some(Value::Text(text)) => AgentId::parse(text),
        _ => None,
    };
    let replaces = match object.take("replaces") {
        None => None,
        Some(Value::Text(text)) => Some(Digest::from_hex(text).ok_or(BaselineError::Member("replaces"))?),
        Some(_) => return Err(BaselineError::Member("replaces")),
    };
    let mut counts = Counts { calls, named, ..Counts::default() };
    let mut writes = BTreeSet::new();
    for (action, value) in table(&mut object, "actions", MAX_ACTIONS)? {
        let Value::Object(mut its) = value else { return Err(BaselineError::Member("actions")) };
        counts.actions.insert(action.to_owned(), times(its.take("n"), "actions")?);
        if its.take("write") == Some(Value::Yes) {
            writes.insert(action.to_owned());
        }
    }
    let mut pairs = 0_usize;
    for (before, value) in table(&mut object, "steps", MAX_ACTIONS + 1)? {
        let Value::Object(after) = value else { return Err(BaselineError::Member("steps")) };
        let after = after.into_members().map(|(action, n)| Ok((action.to_owned(), times(Some(n), "steps")?)));
        let after: std::collections::BTreeMap<_, _> = after.collect::<Result<_, BaselineError>>()?;
        pairs = pairs.saturating_add(after.keys().filter(|action| *action != OTHER).count());
        if pairs > MAX_PAIRS {
            return Err(BaselineError::Member("steps"));
        }
        counts.steps.insert(before.to_owned(), after);
    }
    for (name, value) in table(&mut object, "names", MAX_NAMES)? {
        let name: Name = unhex(name).ok_or(BaselineError::Member("names"))?;
        counts.names.insert(name, times(Some(value), "names")?);
    }
    for (hour, value) in table(&mut object, "hours", 168)? {
        let hour = hour.parse().map_err(|_| BaselineError::Member("hours"))?;
        counts.hours.insert(hour, times(Some(value), "hours")?);
    }
    for (key, value) in table(&mut object, "sums", MAX_SUMS)? {
        counts.sums.insert(key.to_owned(), sums(value).ok_or(BaselineError::Member("sums"))?);
    }
    let charts = match object.take("charts") {
        Some(Value::List(charts)) if charts.len() <= MAX_CHARTS => charts.into_iter().map(chart).collect(),
        _ => None,
    };
    // Without them nothing would ever be an alarm, and no history is without them.
    let charts = charts.filter(|charts: &Vec<Chart>| {
        Chart::ALWAYS.iter().all(|feature| charts.iter().any(|chart| chart.feature == *feature))
    });
    Ok(Baseline {
        agent: agent.ok_or(BaselineError::Member("agent"))?,
        replaces,
        allowed,
        first: i64::try_from(first).unwrap_or(0),
        last: i64::try_from(last).unwrap_or(0),
        run_length,
        counts,
        writes,
        charts: charts.ok_or(BaselineError::Member("charts"))?,
        digest: Digest::from_bytes([0; 32]),
    })
}

fn table<'a>(
    object: &mut Object<'a>,
    key: &'static str,
    most: usize,
) -> Result<Vec<(&'a str, Value<'a>)>, BaselineError> {
    match object.take(key) {
        Some(Value::Object(table)) => Ok(table.into_members().collect::<Vec<_>>()),
        _ => Err(BaselineError::Member(key)),
    }
    .and_then(|members| if members.len() > most { Err(BaselineError::Member(key)) } else { Ok(members) })
}

fn times(value: Option<Value<'_>>, member: &'static str) -> Result<u64, BaselineError> {
    match value {
        Some(Value::Number(times)) if times > 0 => Ok(times),
        _ => Err(BaselineError::Member(member)),
    }
}

fn sums(value: Value<'_>) -> Option<Sums> {
    let Value::Object(mut its) = value else { return None };
    let (Value::Number(count), Value::Text(total)) = (its.take("count")?, its.take("total")?) else {
        return None;
    };
    let Value::Object(buckets) = its.take("buckets")? else { return None };
    let buckets = buckets.into_members().map(|(bucket, n)| match n {
        Value::Number(n) if n > 0 => Some((bucket.parse().ok()?, n)),
        _ => None,
    });
    Some(Sums { count, total: total.parse().ok()?, buckets: buckets.collect::<Option<_>>()? })
}

fn chart(value: Value<'_>) -> Option<Chart> {
    let Value::Object(mut its) = value else { return None };
    let mut number = |key| match its.take(key)? {
        Value::Number(number) => i64::try_from(number).ok(),
        _ => None,
    };
    let (up, down, threshold) = (number("up")?, number("down")?, number("threshold")?);
    let (Value::Text(feature), Value::Text(of)) = (its.take("feature")?, its.take("of")?) else {
        return None;
    };
    let feature = Feature::from_word(feature).filter(|feature| feature.is_of_receipts())?;
    (up > 0 && threshold > 0).then(|| Chart { feature, of: of.to_owned(), up, down, threshold })
}

fn positive(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// Another meaning of the members is another version.
const VERSION: u64 = 1;

/// The baseline, a table in it, a member of that, its buckets, a number.
const DEPTH: u8 = 5;

/// Sixteen writes, fifteen others; more is no baseline of this version.
const MAX_CHARTS: usize = 64;

/// All tables at their bounds, with the longest names, are below 320 KB: somebody keeps it for each agent.
const MAX_TEXT: usize = 384 << 10;

/// A session of one call would say nothing about what follows what.
const SHORT: usize = 8;

/// An endless session would be one block, and there would be nothing to draw from.
const LONG: usize = 40;
