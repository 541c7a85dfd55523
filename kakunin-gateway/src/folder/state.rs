//! What stands in `state`: since when the folder remembers, and which times it knows.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};

use kakunin_core::possession::Nonces;
use kakunin_core::time::UnixTime;

/// What stands in `state`. A time is a number of 90 s since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) since: i64,
    /// The older one of the two times whose files are there.
    pub(super) older: i64,
    /// The first time of those that followed each other until now.
    from: i64,
    /// Times in which proofs were taken while the clock was wrong, the first and the last: which ones is not known any more.
    shut: (i64, i64),
    /// In which run of the machine.
    run: String,
}

impl State {
    /// A beginning, at which nothing is known of earlier proofs but the times for which `before` stood.
    pub(super) fn begun(now: UnixTime, run: &str, before: Option<&Self>) -> Self {
        let since = now.seconds();
        let older = time_of(now) - 1;
        let shut = before.map_or(NEVER, |before| before.shut_at(now));
        Self { since, older, from: older, shut, run: run.to_owned() }
    }

    /// The times that stay shut after a beginning at `now`, whose clock may be the right one.
    fn shut_at(&self, now: UnixTime) -> (i64, i64) {
        let used = if self.is_ahead_of(now) { (self.from, self.older + 1) } else { NEVER };
        match (self.shut, used) {
            (shut, NEVER) => shut,
            (shut, used) if shut.1 < time_of(now) - 1 => used,
            (shut, used) => (shut.0.min(used.0), shut.1.max(used.1)),
        }
    }

    /// Whether it was written by a clock that went back since.
    pub(super) fn is_ahead_of(&self, now: UnixTime) -> bool {
        self.since > now.seconds() + AHEAD || self.older > time_of(now) + 1
    }

    /// The same with `number` as the later one of the two times.
    pub(super) fn moved_to(&self, number: i64) -> Self {
        let older = number - 1;
        let from = if older > self.older + 1 { older } else { self.from };
        Self { older, from, ..self.clone() }
    }

    pub(super) fn is_shut(&self, number: i64) -> bool {
        (self.shut.0..=self.shut.1).contains(&number)
    }

    pub(super) fn is_of(&self, run: &str) -> bool {
        self.run == run
    }

    /// What the file says; `None` if that is nothing.
    pub(super) fn read(mut file: &File) -> io::Result<Option<Self>> {
        let mut text = String::new();
        file.seek(SeekFrom::Start(0))?;
        let _ = file.take(MAX_STATE).read_to_string(&mut text);
        Ok(Self::parse(&text))
    }

    fn parse(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.strip_suffix('\n')?.split(' ').collect();
        let [FORM, since, older, from, first, last, run] = words.as_slice() else { return None };
        let [since, older, from, first, last] =
            [since, older, from, first, last].map(|word| word.parse().ok());
        // Numbers at which sums could overflow are of no clock.
        let all = [since?, older?, from?, first?, last?];
        if !all.iter().all(|number: &i64| number.unsigned_abs() < 1 << 60) {
            return None;
        }
        let [since, older, from, first, last] = all;
        Some(Self { since, older, from, shut: (first, last), run: (*run).to_owned() })
    }

    pub(super) fn write(&self, mut file: &File) -> io::Result<()> {
        let Self { since, older, from, shut, run } = self;
        let text = format!("{FORM} {since} {older} {from} {} {} {run}\n", shut.0, shut.1);
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(text.as_bytes())
    }
}

/// In which time something is.
pub(super) fn time_of(at: UnixTime) -> i64 {
    at.seconds().div_euclid(Nonces::SECONDS)
}

const FORM: &str = "kakunin-nonces-1";
const MAX_STATE: u64 = 256;
/// No time at all: the last one is before the first.
const NEVER: (i64, i64) = (0, -1);
/// How far ahead a beginning may be without another one: clocks of one host do not differ by that.
const AHEAD: i64 = 60;
