//! The clocks of a guard.
//!
//! A decision reads the kernel's coarse wall and monotonic clocks; the keeper also reads the one that goes on while a
//! machine sleeps. Everything behind this trait can be driven by hand in tests.

use std::fs;
use std::sync::atomic::{AtomicI64, Ordering};

use rustix::time::{ClockId, clock_gettime};

use crate::digest::unhex;
use crate::receipt::Stamp;
use crate::time::{UnixMillis, UnixTime};

/// Where a guard reads the time.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The wall clock, coarse.
    fn wall(&self) -> UnixMillis;
    /// Nanoseconds of a clock that never goes back and stands still while the machine sleeps, coarse.
    fn mono_nanos(&self) -> i64;
    /// Milliseconds of a clock that never goes back and goes on while the machine sleeps.
    fn boot_millis(&self) -> i64;
}

/// The kernel's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl SystemClock {
    /// The clocks as a receipt states them, for a decision judged at `at`.
    #[must_use]
    pub fn stamp(&self, at: UnixMillis) -> Stamp {
        stamp(boot_id(), at, self.mono_nanos())
    }
}

impl Clock for SystemClock {
    #[inline]
    fn wall(&self) -> UnixMillis {
        let time = clock_gettime(ClockId::RealtimeCoarse);
        UnixMillis::from_millis(time.tv_sec * 1000 + time.tv_nsec / 1_000_000)
    }

    #[inline]
    fn mono_nanos(&self) -> i64 {
        let time = clock_gettime(ClockId::MonotonicCoarse);
        time.tv_sec * 1_000_000_000 + time.tv_nsec
    }

    fn boot_millis(&self) -> i64 {
        let time = clock_gettime(ClockId::Boottime);
        time.tv_sec * 1000 + time.tv_nsec / 1_000_000
    }
}

/// A clock that moves only when told, for tests of code that uses a guard.
#[derive(Debug)]
pub struct ManualClock {
    wall: AtomicI64,
    mono: AtomicI64,
    boot: AtomicI64,
}

impl ManualClock {
    /// A clock that stands at `now`.
    #[must_use]
    pub const fn new(now: UnixMillis) -> Self {
        Self { wall: AtomicI64::new(now.millis()), mono: AtomicI64::new(0), boot: AtomicI64::new(0) }
    }

    /// Time passes.
    pub fn advance(&self, millis: i64) {
        self.wall.fetch_add(millis, Ordering::Relaxed);
        self.mono.fetch_add(millis, Ordering::Relaxed);
        self.boot.fetch_add(millis, Ordering::Relaxed);
    }

    /// Somebody sets the wall clock.
    pub fn set_wall(&self, now: UnixMillis) {
        self.wall.store(now.millis(), Ordering::Relaxed);
    }

    /// The machine sleeps: the monotonic clock stands still.
    pub fn sleep(&self, millis: i64) {
        self.wall.fetch_add(millis, Ordering::Relaxed);
        self.boot.fetch_add(millis, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn wall(&self) -> UnixMillis {
        UnixMillis::from_millis(self.wall.load(Ordering::Relaxed))
    }

    fn mono_nanos(&self) -> i64 {
        self.mono.load(Ordering::Relaxed).saturating_mul(1_000_000)
    }

    fn boot_millis(&self) -> i64 {
        self.boot.load(Ordering::Relaxed)
    }
}

/// Real time as far as this process can know it: the wall clock, held against what has passed since the start.
///
/// The keeper audits; between two audits a decision only checks that nothing jumped since the last one.
#[derive(Debug)]
pub(super) struct Timekeeper {
    boot: [u8; 16],
    start_wall: i64,
    start_boot: i64,
    /// Monotonic milliseconds of the last audit.
    audited: AtomicI64,
    /// What to add to monotonic milliseconds for the time that must have been reached.
    elapsed_offset: AtomicI64,
    /// How far the wall clock was ahead of that at the last audit.
    lead: AtomicI64,
    /// How far the wall clock was ahead of the monotonic one at the last audit.
    ahead: AtomicI64,
    /// The latest time that an accepted list proves to have come, in milliseconds.
    proven: AtomicI64,
}

/// What an audit of the clocks found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Audit {
    /// Whether the wall clock is behind a time that has passed.
    pub(super) behind: bool,
    /// By how many milliseconds the wall clock moved against the monotonic one since the last audit, if that is a jump:
    /// it was set, or the machine slept.
    pub(super) jump: Option<i64>,
}

impl Timekeeper {
    pub(super) fn start(clock: &dyn Clock) -> Self {
        let keeper = Self {
            boot: boot_id(),
            start_wall: clock.wall().millis(),
            start_boot: clock.boot_millis(),
            audited: AtomicI64::new(NEVER),
            elapsed_offset: AtomicI64::new(NEVER),
            lead: AtomicI64::new(0),
            ahead: AtomicI64::new(clock.wall().millis().saturating_sub(clock.mono_nanos() / 1_000_000)),
            proven: AtomicI64::new(i64::MIN),
        };
        let _ = keeper.audit(clock);
        keeper
    }

    /// Holds the three clocks against each other.
    pub(super) fn audit(&self, clock: &dyn Clock) -> Audit {
        let (wall, mono, boot) = (clock.wall().millis(), clock.mono_nanos() / 1_000_000, clock.boot_millis());
        let reached = self.start_wall.saturating_add(boot - self.start_boot);
        let slept = (reached - mono).saturating_sub(self.elapsed_offset.load(Ordering::Relaxed));
        if slept >= LONGEST_GAP_MILLIS || !self.is_current(UnixMillis::from_millis(wall), mono) {
            // What follows makes the clocks agree again. Others must not take that for a look: until this one is over, they
            // would decide by what was known before the gap.
            self.audited.store(NEVER, Ordering::Relaxed);
        }
        // Whoever sees one of these sees that, too.
        self.elapsed_offset.store(reached - mono, Ordering::Release);
        self.lead.store(wall - reached, Ordering::Release);
        let ahead = wall.saturating_sub(mono);
        let moved = ahead.saturating_sub(self.ahead.swap(ahead, Ordering::Relaxed));
        Audit {
            behind: wall.saturating_add(TOLERANCE_MILLIS) < reached,
            jump: (moved.saturating_abs() >= LARGEST_JUMP_MILLIS).then_some(moved),
        }
    }

    /// Ends a look that began at `mono_millis`. Only now is its audit relied on: a decision made while papers and lists
    /// are still being read would be made by the old ones.
    pub(super) fn looked(&self, mono_millis: i64) {
        self.audited.store(mono_millis, Ordering::Release);
    }

    /// Whether the last audit still describes what the clocks say: recent, and no jump since.
    #[inline]
    pub(super) fn is_current(&self, wall: UnixMillis, mono_millis: i64) -> bool {
        // In this order: clocks that a look after a gap has set right come with the end of the look before it.
        let reached = mono_millis + self.elapsed_offset.load(Ordering::Acquire);
        let jump = wall.millis() - reached - self.lead.load(Ordering::Acquire);
        let age = mono_millis - self.audited.load(Ordering::Acquire);
        age < LONGEST_GAP_MILLIS && jump.abs() < LARGEST_JUMP_MILLIS
    }

    /// The later of the wall clock and the time that must have been reached: what deadlines are held against.
    #[inline]
    pub(super) fn now(&self, wall: UnixMillis, mono_millis: i64) -> UnixMillis {
        let reached = mono_millis.saturating_add(self.elapsed_offset.load(Ordering::Relaxed));
        wall.max(UnixMillis::from_millis(reached))
    }

    /// The earliest time it can be: what budgets are freed by. A wall clock that is set forward proves nothing; time
    /// that passed since the start does, and so does the date of an accepted list.
    pub(super) fn earliest(&self, wall: UnixMillis, mono_millis: i64) -> UnixMillis {
        let reached = mono_millis.saturating_add(self.elapsed_offset.load(Ordering::Relaxed));
        wall.min(UnixMillis::from_millis(reached.max(self.proven.load(Ordering::Relaxed))))
    }

    /// Takes note that an accepted list proves `time` to have come.
    pub(super) fn prove(&self, time: UnixTime) {
        self.proven.fetch_max(time.to_millis().millis(), Ordering::Relaxed);
    }

    pub(super) const fn stamp(&self, wall: UnixMillis, mono_nanos: i64) -> Stamp {
        stamp(self.boot, wall, mono_nanos)
    }
}

const fn stamp(boot: [u8; 16], wall: UnixMillis, mono_nanos: i64) -> Stamp {
    Stamp { micros: wall.millis().saturating_mul(1000), boot, mono_nanos: mono_nanos.cast_unsigned() }
}

fn boot_id() -> [u8; 16] {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    unhex(&text.trim().replace('-', "")).unwrap_or_default()
}

/// A wall clock may lag by this much behind what has passed (WIRE: 120 s).
pub(super) const TOLERANCE_MILLIS: i64 = 120_000;
/// Without an audit for this long, the next decision makes one itself. The keeper makes one every 250 ms.
const LONGEST_GAP_MILLIS: i64 = 1_000;
/// Before every time there is, and far enough from the least to reckon with.
const NEVER: i64 = i64::MIN / 2;
/// Slewing moves the clocks apart by at most 500 ppm; this is a step.
const LARGEST_JUMP_MILLIS: i64 = 2_000;

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: Audit = Audit { behind: false, jump: None };

    #[test]
    fn slewing_is_no_jump_and_a_step_is_one_in_either_direction() {
        let clock = ManualClock::new(UnixMillis::from_millis(1_000_000_000));
        let keeper = Timekeeper::start(&clock);
        for _ in 0..100 {
            clock.advance(1_000);
            clock.set_wall(clock.wall().plus_millis(1));
            assert_eq!(keeper.audit(&clock), SOUND);
        }
        for (step, jump) in [(1_999, None), (2_000, Some(2_000)), (-1_999, None), (-2_000, Some(-2_000))] {
            clock.advance(250);
            clock.set_wall(clock.wall().plus_millis(step));
            assert_eq!(keeper.audit(&clock).jump, jump, "{step}");
        }
    }

    #[test]
    fn a_step_of_the_wall_clock_ends_the_audit() {
        let clock = ManualClock::new(UnixMillis::from_millis(1_000_000_000));
        let keeper = Timekeeper::start(&clock);
        let current = || keeper.is_current(clock.wall(), clock.mono_nanos() / 1_000_000);
        assert!(!current());
        assert_eq!(keeper.audit(&clock), SOUND);
        assert!(!current(), "the look is not over");
        keeper.looked(0);
        assert!(current());
        clock.advance(999);
        assert!(current());
        clock.advance(1);
        assert!(!current());
        keeper.audit(&clock);
        keeper.looked(1_000);
        assert!(current());
        clock.set_wall(UnixMillis::from_millis(1_000_000_000 - 86_400_000));
        assert!(!current());
        assert_eq!(keeper.audit(&clock), Audit { behind: true, jump: Some(-86_401_000) });
        assert_eq!(keeper.audit(&clock), Audit { behind: true, jump: None }, "told once");
        assert_eq!(keeper.now(clock.wall(), clock.mono_nanos() / 1_000_000).millis(), 1_000_001_000);
    }

    /// C179: the first decision after a gap looks; the others must not take its clocks for what it has not read yet.
    #[test]
    fn nobody_decides_by_the_old_view_while_the_first_one_after_a_gap_looks() {
        for (asleep, stopped, stepped) in
            [(3_600_000, 0, 0), (1_500, 0, 0), (0, 3_600_000, 0), (0, 0, 86_400_000)]
        {
            let clock = ManualClock::new(UnixMillis::from_millis(1_000_000_000));
            let keeper = Timekeeper::start(&clock);
            let mono = || clock.mono_nanos() / 1_000_000;
            let current = || keeper.is_current(clock.wall(), mono());
            keeper.looked(mono());
            assert!(current());
            clock.sleep(asleep);
            clock.advance(stopped);
            clock.set_wall(clock.wall().plus_millis(stepped));
            let begun = mono();
            keeper.audit(&clock);
            assert!(!current(), "asleep {asleep}, stopped {stopped}, stepped {stepped}");
            keeper.looked(begun);
            assert!(current());
            // The looks of every day leave it as it is.
            clock.advance(250);
            keeper.audit(&clock);
            assert!(current());
        }
    }

    #[test]
    fn sleep_is_time_that_passed() {
        let clock = ManualClock::new(UnixMillis::from_millis(1_000_000_000));
        let keeper = Timekeeper::start(&clock);
        keeper.audit(&clock);
        keeper.looked(0);
        clock.sleep(3_600_000);
        assert!(!keeper.is_current(clock.wall(), 0));
        assert_eq!(keeper.audit(&clock), Audit { behind: false, jump: Some(3_600_000) });
        assert_eq!(keeper.now(clock.wall(), 0).millis(), 1_003_600_000);
    }
}
