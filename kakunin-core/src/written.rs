//! Numbers that a model wrote, as amounts: `as_written` of the bindings.
//!
//! Models write JSON numbers, and a host has made integers or doubles of them before anybody can ask. Takes in such a
//! number, gives out the one decimal text it stands for, in whole units. What stands for no text of at most 15 digits is
//! refused, and so is what needs a sign or an exponent: there the text that was written cannot be known.

/// The text of an integer.
///
/// ```
/// assert_eq!(kakunin_core::written::integer(125).as_deref(), Some("125"));
/// assert_eq!(kakunin_core::written::integer(-1), None);
/// ```
#[must_use]
pub fn integer(number: i64) -> Option<String> {
    plain(number.to_string())
}

/// The shortest text that is this double and no other, without an exponent and without `.0`.
///
/// ```
/// assert_eq!(kakunin_core::written::float(12.5).as_deref(), Some("12.5"));
/// assert_eq!(kakunin_core::written::float(1e3).as_deref(), Some("1000"));
/// assert_eq!(kakunin_core::written::float(0.1 + 0.2), None);
/// ```
#[must_use]
pub fn float(number: f64) -> Option<String> {
    // Below this the shortest text has an exponent in most languages, and above 15 digits nothing is left to say.
    let spelled = number == 0.0 || (LEAST..1e15).contains(&number);
    // Formatting never writes an exponent, and a sign of zero is written.
    spelled.then(|| number.to_string()).and_then(plain)
}

/// A double carries 15 decimal digits exactly (WIRE 1: more are refused).
fn plain(text: String) -> Option<String> {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let rest = text.bytes().filter(|byte| !byte.is_ascii_digit());
    (digits <= MAX_DIGITS && rest.eq(text.contains('.').then_some(b'.'))).then_some(text)
}

const MAX_DIGITS: usize = 15;
const LEAST: f64 = 1e-4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Decimal;

    /// The oracle writes every digit it needs and stops: 15 digits are enough to come back to the same double.
    #[test]
    fn what_is_given_out_is_a_number_of_the_grammar_and_the_same_double() {
        let mut seed = 1_u64;
        let mut given = 0;
        for round in 0..200_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Any double, and amounts as people write them.
            let number = if round % 2 == 0 {
                f64::from_bits(seed)
            } else {
                f64::from(u32::try_from(seed >> 36).unwrap()) / [1.0, 10.0, 100.0, 1e4][round / 2 % 4]
            };
            let Some(text) = float(number) else { continue };
            assert_eq!(text.parse::<f64>().unwrap().to_bits(), number.to_bits());
            assert!(Decimal::parse(&text).is_some(), "{text}");
            given += 1;
        }
        assert!(given > 90_000, "{given}");
    }

    #[test]
    fn what_has_no_plain_text_is_refused() {
        for wrong in [f64::NAN, f64::INFINITY, -1.5, -0.0, 1e15, 1e300, 0.000_099, 5e-324, 0.1 + 0.2] {
            assert_eq!(float(wrong), None, "{wrong}");
        }
        for wrong in [-1, 1_000_000_000_000_000, i64::MAX, i64::MIN] {
            assert_eq!(integer(wrong), None, "{wrong}");
        }
        assert_eq!(float(999_999_999_999_999.0).as_deref(), Some("999999999999999"));
        assert_eq!(float(0.0001).as_deref(), Some("0.0001"));
        assert_eq!(float(0.0).as_deref(), Some("0"));
    }
}
