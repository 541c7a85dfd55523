//! Measuring side by side: every subject runs once in each round, the order turns, and medians are compared.
//!
//! Time is processor time, the thread's own unless said, so that a busy machine does not speak. A lone number still means
//! little; the ratio of two subjects in the same rounds is what is quoted.

use std::hint::black_box;

use rustix::time::{ClockId, clock_gettime};

/// Something that can be done many times.
pub(crate) struct Subject<'a> {
    calls: u32,
    clock: ClockId,
    run: Box<dyn FnMut(u32) + 'a>,
}

impl<'a> Subject<'a> {
    /// A subject that is called `calls` times in each round.
    pub(crate) fn new<T>(calls: u32, mut call: impl FnMut() -> T + 'a) -> Self {
        let run = move |calls| {
            for _ in 0..calls {
                black_box(call());
            }
        };
        Self { calls, clock: ClockId::ThreadCPUTime, run: Box::new(run) }
    }

    /// A subject whose work ends with `finish` and is measured in all threads.
    pub(crate) fn of_process<T, F>(
        calls: u32,
        mut call: impl FnMut() -> T + 'a,
        mut finish: impl FnMut() -> F + 'a,
    ) -> Self {
        let run = move |calls| {
            for _ in 0..calls {
                black_box(call());
            }
            black_box(finish());
        };
        Self { calls, clock: ClockId::ProcessCPUTime, run: Box::new(run) }
    }

    /// A subject that keeps several threads or a disk busy: time is the wall clock's.
    pub(crate) fn of_wall<T>(calls: u32, call: impl FnMut() -> T + 'a) -> Self {
        Self { clock: ClockId::Monotonic, ..Self::new(calls, call) }
    }

    /// Nanoseconds of a call, this once.
    fn measure(&mut self) -> f64 {
        let before = nanos_of(self.clock);
        (self.run)(self.calls);
        (nanos_of(self.clock) - before) as f64 / f64::from(self.calls)
    }
}

/// Nanoseconds of a call, by subject and round.
pub(crate) struct Rounds(Vec<Vec<f64>>);

/// Runs all subjects `rounds` times by turns.
pub(crate) fn interleave(rounds: usize, subjects: &mut [Subject<'_>], mut between: impl FnMut()) -> Rounds {
    let mut nanos = vec![Vec::with_capacity(rounds); subjects.len()];
    for subject in &mut *subjects {
        subject.measure();
        between();
    }
    for round in 0..rounds {
        for turn in 0..subjects.len() {
            let index = (round + turn) % subjects.len();
            if let (Some(subject), Some(nanos)) = (subjects.get_mut(index), nanos.get_mut(index)) {
                nanos.push(subject.measure());
            }
            between();
        }
    }
    Rounds(nanos)
}

impl Rounds {
    /// The median of one subject.
    pub(crate) fn nanos(&self, subject: usize) -> f64 {
        median(self.of(subject).to_vec())
    }

    /// The median over all rounds of what `value` makes of the round's numbers.
    pub(crate) fn over(&self, value: impl Fn(&dyn Fn(usize) -> f64) -> f64) -> f64 {
        let rounds = self.0.first().map_or(0, Vec::len);
        median((0..rounds).map(|round| value(&|subject| self.at(subject, round))).collect())
    }

    /// The median ratio of two subjects.
    pub(crate) fn ratio(&self, ours: usize, floor: usize) -> f64 {
        self.over(|nanos| nanos(ours) / nanos(floor))
    }

    fn of(&self, subject: usize) -> &[f64] {
        self.0.get(subject).map_or(&[], Vec::as_slice)
    }

    fn at(&self, subject: usize, round: usize) -> f64 {
        self.of(subject).get(round).copied().unwrap_or(f64::NAN)
    }
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

pub(crate) fn nanos_of(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}
