//! A baseline as text: exact JSON in one spelling, whose SHA-256 it is known by.

use std::collections::BTreeSet;

use super::baseline::Baseline;
use super::charts::Chart;
use super::counts::{Counts, MAX_ACTIONS, MAX_NAMES, MAX_PAIRS, MAX_SUMS, OTHER, Sums};
use super::feature::Feature;
use super::observation::Name;
use crate::digest::{Digest, hex, unhex};
use crate::id::AgentId;
use crate::json::{Object, ObjectWriter, Value};

impl Baseline {
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
