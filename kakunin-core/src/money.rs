//! Exact money: decimal text, integer minor units, currencies.
//!
//! Takes in what a caller wrote, gives out integers at a known scale. There is no float, no rounding and
//! no conversion anywhere: what does not fit exactly is refused.

use std::fmt;

/// Most decimals a limit may carry (the module's `scale INTEGER (0..18)`).
pub const MAX_SCALE: u8 = 18;

/// A non-negative number of minor units; the scale is the limit's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(i64);

impl Money {
    /// No money.
    pub const ZERO: Self = Self(0);

    /// `minor` units; negative amounts are `None`.
    #[must_use]
    pub const fn from_minor(minor: i64) -> Option<Self> {
        if minor < 0 { None } else { Some(Self(minor)) }
    }

    /// The number of minor units, never negative.
    #[must_use]
    pub const fn minor(self) -> i64 {
        self.0
    }

    /// The sum, or `None` past 2^63-1.
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// Decimal text at `scale`, for example `12.50`.
    #[must_use]
    pub fn to_decimal(self, scale: u8) -> String {
        let digits = format!("{:0>width$}", self.0, width = usize::from(scale) + 1);
        let (whole, decimals) = digits.split_at(digits.len() - usize::from(scale));
        if decimals.is_empty() { whole.to_owned() } else { format!("{whole}.{decimals}") }
    }
}

/// A decimal number as it was written, before any scale is known.
///
/// Grammar: `(0|[1-9][0-9]{0,18})(\.[0-9]{1,18})?`. Written decimals count: `1.000` has three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal {
    // INVARIANT: exact up to 2^63-1, where amounts end; what is larger may saturate and fits no scale either way.
    digits: u64,
    // As wide as its neighbour: a fresh value is copied by words, and a narrower store would hold each copy up.
    decimals: u64,
}

impl Decimal {
    /// Reads `text` by the grammar above; anything else is `None`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // One pass, lengths afterwards: this runs for every decision about money.
        if text.len() > MAX_DECIMAL {
            return None;
        }
        let (digits, point) = if text.len() <= MAX_WHOLE {
            // INVARIANT: so few digits are less than 10^19, which 64 bits hold.
            read_digits(text, |digits, digit| digits.wrapping_mul(10).wrapping_add(digit))?
        } else {
            read_digits(text, |digits, digit| digits.saturating_mul(10).saturating_add(digit))?
        };
        let whole = point.unwrap_or(text.len());
        let decimals = point.map_or(0, |at| text.len() - at - 1);
        let padded = whole > 1 && text.starts_with('0');
        let shape = (1..=MAX_WHOLE).contains(&whole)
            && !padded
            && decimals <= usize::from(MAX_SCALE)
            && (point.is_none() || decimals > 0);
        shape.then_some(Self { digits, decimals: decimals as u64 })
    }

    /// How many decimals were written.
    #[must_use]
    pub fn decimals(self) -> u8 {
        // INVARIANT: at most `MAX_SCALE`.
        u8::try_from(self.decimals).unwrap_or(MAX_SCALE)
    }

    /// The value in minor units of `scale`; `None` when more decimals were written or it exceeds 2^63-1.
    #[must_use]
    pub fn at_scale(self, scale: u8) -> Option<Money> {
        let missing = u64::from(scale).checked_sub(self.decimals)?;
        let unit = POWERS_OF_TEN.get(usize::try_from(missing).ok()?)?;
        Money::from_minor(i64::try_from(self.digits).ok()?.checked_mul(*unit)?)
    }
}

/// The digits of `text` as one number, and where the point stands among them.
#[inline(always)]
fn read_digits(text: &str, push: impl Fn(u64, u64) -> u64) -> Option<(u64, Option<usize>)> {
    let (mut digits, mut point) = (0, None);
    for (at, byte) in text.bytes().enumerate() {
        if byte.is_ascii_digit() {
            digits = push(digits, u64::from(byte - b'0'));
        } else if byte == b'.' && point.is_none() {
            point = Some(at);
        } else {
            return None;
        }
    }
    Some((digits, point))
}

/// A currency or token code, `[A-Z][A-Z0-9]{2,11}`: ISO 4217 or longer registered codes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
// Two words wherever it lies: denials are copied, and words that straddle others hold each copy up.
#[repr(align(8))]
pub struct Currency {
    // INVARIANT: padded with zero bytes after `length`, so equality of arrays is equality of codes.
    code: [u8; 12],
    length: u8,
}

impl Currency {
    /// Reads a code; any other spelling (case, spaces, foreign letters) is `None`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let length = u8::try_from(text.len()).ok().filter(|length| (3..=12).contains(length))?;
        let mut code = [0; 12];
        for (to, byte) in code.iter_mut().zip(text.bytes()) {
            if !byte.is_ascii_uppercase() && !byte.is_ascii_digit() {
                return None;
            }
            *to = byte;
        }
        code.first().is_some_and(u8::is_ascii_uppercase).then_some(Self { code, length })
    }

    /// Whether `text` is this code, letter for letter.
    #[must_use]
    #[inline]
    pub fn is(&self, text: &str) -> bool {
        // Letter by letter: for three of them a call that compares memory takes longer.
        text.len() == usize::from(self.length) && self.code.iter().zip(text.bytes()).all(|(a, b)| *a == b)
    }

    /// The code.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // INVARIANT: `parse` admits ASCII only, so the bytes are always text.
        self.code
            .get(..usize::from(self.length))
            .and_then(|code| std::str::from_utf8(code).ok())
            .unwrap_or("")
    }

    /// The minor unit of ISO 4217 (decimals), 0 for a code the table does not know.
    #[must_use]
    pub fn minor_unit(&self) -> u8 {
        let code = self.as_str();
        ISO_4217
            .iter()
            .find(|(_, codes)| codes.split(' ').any(|known| known == code))
            .map_or(0, |(unit, _)| *unit)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Currency({self})")
    }
}

/// Digits before the point.
const MAX_WHOLE: usize = 19;
/// With a point and decimals.
const MAX_DECIMAL: usize = MAX_WHOLE + 1 + MAX_SCALE as usize;

/// 10^0 to 10^18, the largest that a limit's scale can ask for.
const POWERS_OF_TEN: [i64; MAX_SCALE as usize + 1] = {
    let mut powers = [1; MAX_SCALE as usize + 1];
    let mut exponent = 1;
    while exponent < powers.len() {
        #[expect(
            clippy::indexing_slicing,
            reason = "worked out by the compiler, which would refuse to build"
        )]
        {
            powers[exponent] = powers[exponent - 1] * 10;
        }
        exponent += 1;
    }
    powers
};

/// ISO 4217 codes by minor unit; codes with minor unit 0 need no entry.
const ISO_4217: [(u8, &str); 3] = [
    (
        2,
        "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF \
         CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD \
         HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT \
         MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR \
         SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU \
         UZS VED VES WST XCD XCG YER ZAR ZMW ZWG",
    ),
    (3, "BHD IQD JOD KWD LYD OMR TND"),
    (4, "CLF UYW"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_decimals_are_numbers() {
        for right in ["0", "1", "0.5", "12500.00", "9223372036854775807", "9999999999999999999", "1.000"] {
            assert!(Decimal::parse(right).is_some(), "{right}");
        }
        let long = "1".repeat(20);
        for wrong in [
            "",
            "00",
            "01",
            "1.",
            ".5",
            "+1",
            "-1",
            " 5",
            "5 ",
            "5 EUR",
            "1e9",
            "999,999",
            "٣",
            "NaN",
            "0x1",
            "1_000",
            "1.0.0",
            "0.1234567890123456789",
            &long,
        ] {
            assert!(Decimal::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn written_decimals_count_and_nothing_is_rounded() {
        let minor = |text: &str, scale| Decimal::parse(text).unwrap().at_scale(scale).map(Money::minor);
        assert_eq!(minor("12.5", 2), Some(1250));
        assert_eq!(minor("1.000", 2), None);
        assert_eq!(minor("1.005", 2), None);
        assert_eq!(minor("9223372036854775807", 0), Some(i64::MAX));
        assert_eq!(minor("9223372036854775808", 0), None);
        assert_eq!(minor("10", 18), None);
        assert_eq!(minor("9.223372036854775807", 18), Some(i64::MAX));
        // Past 64 bits and past what saturates.
        for large in
            ["9.223372036854775808", "1844674407370955161.6", "9999999999999999999.999999999999999999"]
        {
            for scale in 0..=MAX_SCALE {
                assert_eq!(minor(large, scale), None, "{large} at {scale}");
            }
        }
    }

    #[test]
    fn money_is_written_at_its_scale() {
        assert_eq!(Money::from_minor(5).unwrap().to_decimal(2), "0.05");
        assert_eq!(Money::from_minor(1_000_000).unwrap().to_decimal(2), "10000.00");
        assert_eq!(Money::from_minor(7).unwrap().to_decimal(0), "7");
    }

    #[test]
    fn currency_codes_have_one_spelling() {
        for wrong in ["", "eur", "EUR ", "ЕUR", "EU", "1EU", "ABCDEFGHIJKLM"] {
            assert!(Currency::parse(wrong).is_none(), "{wrong}");
        }
        assert_eq!(Currency::parse("JPY").unwrap().minor_unit(), 0);
        assert_eq!(Currency::parse("KWD").unwrap().minor_unit(), 3);
        assert_eq!(Currency::parse("EUR").unwrap().minor_unit(), 2);
        assert_eq!(Currency::parse("XYZT9").unwrap().minor_unit(), 0);
    }
}
