//! Logarithms and powers of two without a float.
//!
//! Weights are in micro-nats: millionths of the natural logarithm of a likelihood ratio. Binary logarithms are made digit
//! by digit by squaring, powers of one half by square roots; both are exact to the last digit that is kept, so that they
//! are the same on every machine.

/// `ln(numerator / denominator)` in micro-nats; a zero counts as one.
pub(super) fn ln_ratio(numerator: u64, denominator: u64) -> i64 {
    let difference = log2(numerator.max(1)) - log2(denominator.max(1));
    // INVARIANT: a binary logarithm is below 64, so the result is below 45 million.
    i64::try_from(difference * LN_2_NANO / 1000 / (1 << FRACTION)).unwrap_or(i64::MAX)
}

/// The binary logarithm of `number`, which is at least 1, with 32 digits after the point.
fn log2(number: u64) -> i128 {
    let whole = number.max(1).ilog2();
    // In [1, 2), with 63 digits after the point.
    let mut rest = u128::from(number.max(1)) << (63 - whole);
    let mut digits = 0_u64;
    for _ in 0..FRACTION {
        rest = (rest * rest) >> 63;
        digits <<= 1;
        if rest >> 64 != 0 {
            digits |= 1;
            rest >>= 1;
        }
    }
    i128::from(whole) << FRACTION | i128::from(digits)
}

/// What is left of a weight after some time, when half of it goes in each half-life.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decay {
    /// A part of one, with 32 digits after the point.
    factor: u64,
    halvings: u32,
}

impl Decay {
    pub(super) fn over(millis: u64, half_life: u64) -> Self {
        let half_life = half_life.max(1);
        let halvings = u32::try_from(millis / half_life).unwrap_or(u32::MAX);
        // INVARIANT: below one, so it has at most 32 digits.
        let part = (u128::from(millis % half_life) << FRACTION) / u128::from(half_life);
        let mut part = u64::try_from(part).unwrap_or(0);
        let (mut factor, mut root) = (1_u64 << FRACTION, 1_u64 << (FRACTION - 1));
        for _ in 0..ROOTS {
            // Half, its square root, the root of that: 2^-1/2, 2^-1/4, and so on.
            root = (root << FRACTION).isqrt();
            part <<= 1;
            if part >> FRACTION != 0 {
                part &= (1 << FRACTION) - 1;
                factor = u64::try_from((u128::from(factor) * u128::from(root)) >> FRACTION).unwrap_or(factor);
            }
        }
        Self { factor, halvings }
    }

    /// The part of `weight` that is left.
    pub(super) fn of(self, weight: i64) -> i64 {
        let left = (i128::from(weight) * i128::from(self.factor)) >> FRACTION;
        let left = left.checked_shr(self.halvings).filter(|_| self.halvings < 64).unwrap_or(0);
        i64::try_from(left).unwrap_or(0)
    }
}

/// ln 2 in billionths (OEIS A002162).
const LN_2_NANO: i128 = 693_147_181;

/// Digits after the point.
const FRACTION: u32 = 32;

/// 2^-32 of a half-life is less than the millisecond in which times are counted, for half-lives up to 49 days.
const ROOTS: u32 = FRACTION;

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of the natural logarithm from a table (Abramowitz and Stegun, table 4.2).
    #[test]
    fn logarithms_agree_with_a_table() {
        for (ratio, micro) in [(1, 0), (2, 693_147), (3, 1_098_612), (10, 2_302_585), (1000, 6_907_755)] {
            assert!((ln_ratio(ratio, 1) - micro).abs() <= 1, "{ratio}");
            assert!((ln_ratio(1, ratio) + micro).abs() <= 1, "1/{ratio}");
        }
        assert!((ln_ratio(3, 2) - 405_465).abs() <= 1);
        assert_eq!(ln_ratio(0, 0), 0);
        assert_eq!(ln_ratio(u64::MAX, 0), 44_361_419);
    }

    #[test]
    fn logarithms_grow_with_their_numbers() {
        let mut last = i64::MIN;
        for number in (1..100_000).step_by(7) {
            let next = ln_ratio(number, 100_000);
            assert!(next > last);
            last = next;
        }
    }

    #[test]
    fn half_is_left_after_a_half_life_and_nothing_after_a_hundred() {
        let weight = 1_000_000;
        assert_eq!(Decay::over(0, 1000).of(weight), weight);
        assert_eq!(Decay::over(1000, 1000).of(weight), weight / 2);
        assert!((Decay::over(500, 1000).of(weight) - 707_106).abs() <= 1);
        assert!((Decay::over(250, 1000).of(weight) - 840_896).abs() <= 1);
        assert_eq!(Decay::over(100_000, 1000).of(weight), 0);
        assert_eq!(Decay::over(u64::MAX, 1).of(i64::MAX), 0);
        assert_eq!(Decay::over(5, 0).of(64), 2);
        assert!(Decay::over(1, u64::MAX).of(i64::MAX) > i64::MAX - (1 << 40));
    }
}
