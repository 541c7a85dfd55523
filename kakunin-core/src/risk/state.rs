//! A monitor at rest: everything it remembers, as text.
//!
//! One spelling, exact JSON, so that whoever keeps it may sign or hash it. It names the baseline and the policy it was made
//! by and is taken up with these alone: heights of charts mean nothing under other thresholds.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::baseline::Baseline;
use super::course::{MAX_STREAMS, Place};
use super::level::RiskLevel;
use super::monitor::Monitor;
use super::policy::RiskPolicy;
use super::recall::{MAX_MET, MAX_RECENT, MAX_SESSIONS, Recall};
use super::standing::{Gauge, MAX_LATELY, MAX_SENTENCE, Outside, REFUSED_WRITES, Standing};
use super::weight::OUTSIDE;
use crate::digest::{Digest, unhex};
use crate::id::StreamId;
use crate::json::{Object, ObjectWriter, Value};
use crate::receipt::ReceiptHash;

impl Monitor {
    /// Everything it remembers.
    #[must_use]
    pub fn state(&self) -> String {
        let standing = &self.standing;
        let mut out = Vec::new();
        let mut object = ObjectWriter::new(&mut out);
        object.text("baseline", &self.baseline.digest().to_hex());
        if let Some(since) = standing.calm_since {
            object.number("calm_since", since);
        }
        object.number("calls", standing.calls);
        object.number("denied", standing.denied);
        object.number("faded", standing.faded);
        object.number("foreign", standing.foreign);
        object.objects("gauges", standing.gauges.iter(), |object, gauge| {
            object.number("since", gauge.since);
            object.number("value", positive(gauge.value));
        });
        if let Some(since) = standing.held_since {
            object.number("held_since", positive(since));
        }
        if let Some(hindered) = &standing.hindered {
            object.text("hindered", hindered);
        }
        if let Some(last) = &standing.last {
            object.text("last", &last.to_string());
        }
        object.objects("lately", standing.lately.iter(), |object, receipt| {
            object.text("receipt", &receipt.to_string());
        });
        object.text("level", standing.level.word());
        object.objects("met", standing.recall.met.iter(), |object, name| object.hex("name", name));
        object.number("now", positive(standing.now));
        object.objects("outside", standing.outside.iter(), |object, outside| {
            object.number("pieces", outside.pieces);
            object.text("sentence", &outside.sentence);
            object.number("value", positive(outside.value));
        });
        object.number("over", standing.over);
        object.text("policy", &self.policy.digest().to_hex());
        object.text("proven", standing.proven.word());
        object.objects("recent", standing.recall.recent.iter(), |object, (at, name)| {
            object.number("at", positive(*at));
            object.hex("name", name);
        });
        object.objects("refused_writes", standing.refused_writes.iter(), |object, (at, proven)| {
            object.number("at", positive(*at));
            if *proven {
                object.yes("proven");
            }
        });
        object.text("seen", &standing.seen.to_hex());
        object.objects("sessions", standing.recall.sessions.iter(), |object, (session, (number, action))| {
            object.text("action", action);
            object.number("number", *number);
            object.hex("session", session);
        });
        object.objects("streams", standing.streams.iter(), |object, (stream, place)| {
            object.number("at", positive(place.at));
            object.number("number", place.number);
            object.number("sequence", place.sequence);
            object.number("set_back", place.set_back);
            object.hex("stream", stream.as_bytes());
        });
        object.number("version", VERSION);
        object.close();
        // INVARIANT: actions, words and sentences are printable ASCII.
        String::from_utf8(out).unwrap_or_default()
    }

    /// Goes on where [`Monitor::state`] left off, as if nothing had been between.
    ///
    /// # Errors
    /// [`StateError`] for text that is no state, and for the state of another baseline or policy.
    pub fn resume(
        baseline: impl Into<Arc<Baseline>>,
        policy: RiskPolicy,
        state: &str,
    ) -> Result<Self, StateError> {
        let baseline = baseline.into();
        if state.len() > MAX_STATE {
            return Err(StateError::Form);
        }
        let object = Object::parse_within(state.as_bytes(), DEPTH).map_err(|_| StateError::Form)?;
        let (of, by, standing) = read(object).ok_or(StateError::Form)?;
        if of != baseline.digest() {
            return Err(StateError::Baseline { state: of, given: baseline.digest() });
        }
        if by != policy.digest() {
            return Err(StateError::Policy { state: by, given: policy.digest() });
        }
        if standing.gauges.len() != baseline.charts().len() {
            return Err(StateError::Form);
        }
        let monitor = Self { baseline, policy, standing };
        // One spelling: whatever was passed over is lost in this comparison.
        if monitor.state() == state { Ok(monitor) } else { Err(StateError::Form) }
    }
}

/// A state that cannot be taken up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Text that no monitor wrote.
    #[error("the state is not what a monitor writes")]
    Form,
    /// Of another baseline.
    #[error("the state belongs to the baseline {state}, and {given} was given; begin anew")]
    Baseline {
        /// The one it names.
        state: Digest,
        /// The one that was given.
        given: Digest,
    },
    /// Of another policy.
    #[error("the state belongs to the policy {state}, and {given} was given; begin anew")]
    Policy {
        /// The one it names.
        state: Digest,
        /// The one that was given.
        given: Digest,
    },
}

fn read(mut object: Object<'_>) -> Option<(Digest, Digest, Standing)> {
    if number(&mut object, "version")? != VERSION {
        return None;
    }
    let gauges = list(&mut object, "gauges", MAX_GAUGES, |object| {
        Some(Gauge { since: number(object, "since")?, value: signed(object, "value")? })
    })?;
    let outside = list(&mut object, "outside", OUTSIDE.len(), |object| {
        let sentence = text(object, "sentence")?.to_owned();
        let (value, pieces) = (signed(object, "value")?, number(object, "pieces")?);
        (sentence.len() <= MAX_SENTENCE).then_some(Outside { value, pieces, sentence })
    })?;
    let sessions = list(&mut object, "sessions", MAX_SESSIONS, |object| {
        let action = text(object, "action")?.to_owned();
        Some((unhex::<16>(text(object, "session")?)?, (number(object, "number")?, action)))
    })?;
    let recent = list(&mut object, "recent", MAX_RECENT, |object| {
        Some((signed(object, "at")?, unhex(text(object, "name")?)?))
    })?;
    let met = list(&mut object, "met", MAX_MET, |object| unhex(text(object, "name")?))?;
    let streams = list(&mut object, "streams", MAX_STREAMS, |object| {
        let place = Place {
            sequence: number(object, "sequence")?,
            at: signed(object, "at")?,
            set_back: number(object, "set_back")?,
            number: number(object, "number")?,
        };
        Some((StreamId::parse(text(object, "stream")?)?, place))
    })?;
    let refused = list(&mut object, "refused_writes", REFUSED_WRITES, |object| {
        Some((signed(object, "at")?, object.take("proven") == Some(Value::Yes)))
    })?;
    let lately = list(&mut object, "lately", MAX_LATELY, |object| {
        text(object, "receipt").and_then(Digest::from_hex).map(ReceiptHash::from_digest)
    })?;
    let standing = Standing {
        level: RiskLevel::from_word(text(&mut object, "level")?)?,
        calls: number(&mut object, "calls")?,
        denied: number(&mut object, "denied")?,
        foreign: number(&mut object, "foreign")?,
        now: signed(&mut object, "now")?,
        gauges,
        outside: outside.try_into().ok()?,
        recall: Recall {
            sessions: sessions.into_iter().collect::<BTreeMap<_, _>>(),
            recent: recent.into_iter().collect::<VecDeque<_>>(),
            met: met.into_iter().collect::<VecDeque<_>>(),
        },
        streams: streams.into_iter().collect(),
        faded: number(&mut object, "faded")?,
        calm_since: number(&mut object, "calm_since"),
        proven: RiskLevel::from_word(text(&mut object, "proven")?)?,
        held_since: signed(&mut object, "held_since"),
        over: number(&mut object, "over")?,
        refused_writes: refused.into_iter().collect(),
        hindered: text(&mut object, "hindered").map(str::to_owned),
        seen: Digest::from_hex(text(&mut object, "seen")?)?,
        lately: lately.into_iter().collect(),
        last: text(&mut object, "last").and_then(Digest::from_hex).map(ReceiptHash::from_digest),
    };
    let baseline = Digest::from_hex(text(&mut object, "baseline")?)?;
    let policy = Digest::from_hex(text(&mut object, "policy")?)?;
    Some((baseline, policy, standing))
}

fn list<T>(
    object: &mut Object<'_>,
    key: &str,
    most: usize,
    read: impl Fn(&mut Object<'_>) -> Option<T>,
) -> Option<Vec<T>> {
    let Value::List(items) = object.take(key)? else { return None };
    let each = |item| match item {
        Value::Object(mut object) => read(&mut object),
        _ => None,
    };
    (items.len() <= most).then(|| items.into_iter().map(each).collect())?
}

fn number(object: &mut Object<'_>, key: &str) -> Option<u64> {
    match object.take(key)? {
        Value::Number(number) => Some(number),
        _ => None,
    }
}

fn signed(object: &mut Object<'_>, key: &str) -> Option<i64> {
    i64::try_from(number(object, key)?).ok()
}

fn text<'a>(object: &mut Object<'a>, key: &str) -> Option<&'a str> {
    match object.take(key)? {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

fn positive(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

const VERSION: u64 = 1;

/// The state, a list in it, an object in that, a value.
const DEPTH: u8 = 4;

/// As many charts as a baseline may have.
const MAX_GAUGES: usize = 64;

/// All lists at their bounds, with actions of 128 octets, are below 100 KB.
const MAX_STATE: usize = 1 << 20;
