//! The number of a list, by which the newer of two is known.

use std::fmt;

use crate::digest::hex;

/// A CRLNumber (RFC 5280 section 5.2.3): up to 20 octets, compared as an integer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListNumber {
    // INVARIANT: no leading zero octet, so length first, then octets, is numeric order.
    length: usize,
    octets: Vec<u8>,
}

impl ListNumber {
    /// Takes the content octets of a DER INTEGER; negative, padded or over 20 octets is `None`.
    #[must_use]
    pub fn from_der_content(content: &[u8]) -> Option<Self> {
        let magnitude = match content {
            [0] => &[],
            [0, rest @ ..] if rest.first().is_some_and(|first| first & 0x80 != 0) => rest,
            [first, ..] if *first != 0 && first & 0x80 == 0 => content,
            _ => return None,
        };
        (content.len() <= 20).then(|| Self { length: magnitude.len(), octets: magnitude.to_vec() })
    }

    /// A number that fits an integer.
    #[must_use]
    pub fn from_u64(number: u64) -> Self {
        let octets: Vec<u8> = number.to_be_bytes().into_iter().skip_while(|octet| *octet == 0).collect();
        Self { length: octets.len(), octets }
    }

    /// The number, if it fits.
    #[must_use]
    pub fn to_u64(&self) -> Option<u64> {
        let fits = self.length <= 8;
        fits.then(|| self.octets.iter().fold(0, |number, octet| number << 8 | u64::from(*octet)))
    }

    /// Lower-case hexadecimal digits without leading zeros, as receipts carry it.
    #[must_use]
    pub fn to_hex(&self) -> String {
        let digits = hex(&self.octets);
        let short = digits.trim_start_matches('0');
        if short.is_empty() { "0".into() } else { short.into() }
    }
}

impl fmt::Display for ListNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_u64() {
            Some(number) => write!(f, "{number}"),
            None => write!(f, "0x{}", self.to_hex()),
        }
    }
}
