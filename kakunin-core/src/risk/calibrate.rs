//! Thresholds: how high a chart has to be before it is an alarm.
//!
//! A threshold is calibrated on the agent's own history by a block bootstrap (Kunsch 1989) to a stated average run
//! length, the calls between two false alarms. Each replicate first draws a world, half as many blocks as the history has,
//! with repetition, and then a stream of that world. What a small history leaves open differs from world to world, so a
//! small one gets higher thresholds by itself. Half as many, because the history is one sample of what the agent is given
//! to do and the days that are judged are another: they differ by the variance of both. The tail beyond the replicates is
//! that of a maximum of cumulative sums (Gumbel's), fitted to two quantiles.

use super::charts::Step;
use super::logarithm::ln_ratio;
use crate::digest::Digest;

/// A history cut into blocks, with what each call does to each chart.
pub(super) struct Calibration<'a> {
    /// By block: the places of its calls.
    pub(super) blocks: &'a [std::ops::Range<usize>],
    /// By chart, by call.
    pub(super) steps: &'a [Vec<Step>],
    /// The calls between two false alarms of any chart.
    pub(super) run_length: u64,
    /// What the replicates are drawn by: the same history gives the same thresholds everywhere.
    pub(super) seed: Digest,
}

impl Calibration<'_> {
    /// The threshold of each chart, no lower than `least` says, for a false alarm in so many times the run length as
    /// `times` says.
    pub(super) fn thresholds(
        &self,
        least: impl Fn(usize, u64) -> i64,
        times: impl Fn(usize) -> u64,
    ) -> Vec<i64> {
        let mut peaks = vec![Vec::with_capacity(REPLICATES); self.steps.len()];
        let mut draws = Draws::of(&self.seed);
        for _ in 0..REPLICATES {
            let stream = self.stream(&mut draws);
            for (steps, peaks) in self.steps.iter().zip(&mut peaks) {
                let (mut value, mut peak) = (0, 0);
                for place in &stream {
                    if let Some(step) = steps.get(*place) {
                        value = step.apply(value, MOST);
                        peak = value.max(peak);
                    }
                }
                peaks.push(peak);
            }
        }
        let of = |(chart, mut peaks): (usize, Vec<i64>)| {
            peaks.sort_unstable();
            let run_length = self.run_length.saturating_mul(times(chart).max(1));
            quantile(&peaks, run_length).max(least(chart, run_length))
        };
        peaks.into_iter().enumerate().map(of).collect()
    }

    /// A stream of at least [`LENGTH`] calls from a world of its own.
    fn stream(&self, draws: &mut Draws) -> Vec<usize> {
        let half = 0..self.blocks.len().div_ceil(2);
        let world: Vec<_> = half.filter_map(|_| self.blocks.get(draws.below(self.blocks.len()))).collect();
        let mut stream = Vec::with_capacity(LENGTH + 64);
        while stream.len() < LENGTH {
            match world.get(draws.below(world.len())) {
                Some(block) if !block.is_empty() => stream.extend((*block).clone()),
                _ => break,
            }
        }
        stream
    }
}

/// The peak that [`LENGTH`] calls do not reach but in one of `run_length / LENGTH` cases.
fn quantile(sorted: &[i64], run_length: u64) -> i64 {
    let at = |per_mille: usize| sorted.get(sorted.len() * per_mille / 1000).copied().unwrap_or(0);
    let (middle, upper) = (at(500), at(950));
    // P(peak <= h) = exp(-exp(-(h - m)/s)). Between the quantiles 1/2 and 95/100 lie 2.603707 scales.
    let scale = i128::from(upper.saturating_sub(middle)) * 1_000_000 / 2_603_707;
    // Of run_length calls LENGTH are an alarm with about LENGTH / run_length; from the quantile 95/100, whose
    // -ln(-ln 0.95) is 2.970195, to there.
    let beyond = ln_ratio(run_length, LENGTH as u64).saturating_sub(2_970_195).max(0);
    let fitted = i128::from(upper) + scale * i128::from(beyond) / 1_000_000;
    let allowed = (sorted.len() as u64).saturating_mul(LENGTH as u64) / run_length.max(1);
    let place = sorted.len().saturating_sub(1).saturating_sub(usize::try_from(allowed).unwrap_or(0));
    let seen = sorted.get(place).copied().unwrap_or(0);
    i64::try_from(fitted).unwrap_or(MOST).max(seen).min(MOST)
}

/// A sequence of numbers from a digest: SplitMix64 (Steele, Lea, Flood 2014). Nothing here has to be unforeseeable.
struct Draws(u64);

impl Draws {
    fn of(seed: &Digest) -> Self {
        Self(seed.as_bytes().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes)))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from((u128::from(self.next()) * bound as u128) >> 64).unwrap_or(0)
    }
}

/// Enough for a quantile of 95 % with 20 values beyond it; the tail after that is fitted.
const REPLICATES: usize = 400;

/// Some hundred sessions: longer than any chart needs to forget where it began.
const LENGTH: usize = 500;

/// No threshold is higher than a thousand nats.
const MOST: i64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// Draws with a known sequence: the reference implementation's first numbers for the seed 0.
    #[test]
    fn the_sequence_is_splitmix64() {
        let mut draws = Draws(0);
        assert_eq!(draws.next(), 0xe220_a839_7b1d_cdaf);
        assert_eq!(draws.next(), 0x6e78_9e6a_a1b9_65f4);
    }

    fn thresholds(calls: usize, run_length: u64) -> i64 {
        // One event in ten calls, a chart that is tuned for three in ten.
        let mut draws = Draws(7);
        let step = |_| match draws.below(10) {
            0 => Step { fall: 0, rise: 1_098_612 },
            _ => Step { fall: 251_314, rise: 0 },
        };
        let steps = vec![(0..calls).map(step).collect::<Vec<_>>()];
        let blocks: Vec<_> = (0..calls).step_by(10).map(|at| at..(at + 10).min(calls)).collect();
        let seed = Digest::of(b"seed");
        Calibration { blocks: &blocks, steps: &steps, run_length, seed }.thresholds(|_, _| 1, |_| 1)[0]
    }

    #[test]
    fn rarer_alarms_need_higher_thresholds() {
        let (often, seldom) = (thresholds(1000, 1_000), thresholds(1000, 100_000));
        assert!(often < seldom, "{often} {seldom}");
    }

    #[test]
    fn a_history_without_variation_is_left_to_the_floor() {
        let steps = vec![vec![Step { fall: 5, rise: 0 }; 100]];
        let (blocks, seed) = (std::iter::once(0..100).collect::<Vec<_>>(), Digest::of(b""));
        let calibration = Calibration { blocks: &blocks, steps: &steps, run_length: 1000, seed };
        assert_eq!(calibration.thresholds(|_, _| 77, |_| 1), [77]);
    }

    #[test]
    fn nothing_to_draw_from_ends() {
        let steps = vec![Vec::new()];
        let calibration = Calibration { blocks: &[], steps: &steps, run_length: 1000, seed: Digest::of(b"") };
        assert_eq!(calibration.thresholds(|_, _| 1, |_| 1), [1]);
    }
}
