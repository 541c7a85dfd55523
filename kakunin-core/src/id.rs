//! Names of things: agents, serial numbers, streams, chains.
//!
//! Each is a newtype with one text form; reading anything but that form fails. Nothing here is random:
//! whoever makes an identifier brings the bytes.

use std::fmt;

use crate::digest::{hex, unhex};

/// The identity of an agent: 16 bytes, written as a lower-case UUID.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentId([u8; 16]);

impl AgentId {
    /// Takes the 16 bytes as they are.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// A version 4 UUID (RFC 9562 section 5.4) from 16 random bytes.
    #[must_use]
    pub const fn from_random(mut bytes: [u8; 16]) -> Self {
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Self(bytes)
    }

    /// The 16 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Reads the lower-case hyphenated form; any other spelling is `None`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut digits = String::with_capacity(32);
        for (group, length) in text.split('-').zip([8, 4, 4, 4, 12]) {
            if group.len() != length {
                return None;
            }
            digits.push_str(group);
        }
        (text.len() == 36).then_some(())?;
        unhex(&digits).map(Self)
    }

    /// The certificate's subject alternative name, `urn:kakunin:agent:<uuid>`.
    #[must_use]
    pub fn to_urn(&self) -> String {
        format!("{AGENT_URN}{self}")
    }

    /// Reads [`AgentId::to_urn`]'s form; anything else is `None`.
    #[must_use]
    pub fn from_urn(urn: &str) -> Option<Self> {
        Self::parse(urn.strip_prefix(AGENT_URN)?)
    }
}

impl fmt::Display for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AgentId({self})")
    }
}

/// A certificate serial number: 1 to 20 octets, positive, minimal (RFC 5280 section 4.1.2.2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SerialNumber {
    // INVARIANT: right-aligned, so comparing the arrays compares the numbers.
    octets: [u8; 20],
    length: u8,
}

impl SerialNumber {
    /// Takes the content octets of a DER INTEGER; negative, zero, padded or longer ones are `None`.
    #[must_use]
    pub fn from_der_content(content: &[u8]) -> Option<Self> {
        let magnitude = match content {
            [0, rest @ ..] if rest.first().is_some_and(|first| first & 0x80 != 0) => rest,
            [first, ..] if *first != 0 && first & 0x80 == 0 => content,
            _ => return None,
        };
        // RFC 5280 counts the content octets, sign octet included.
        if content.len() > 20 {
            return None;
        }
        let mut octets = [0; 20];
        for (to, from) in octets.iter_mut().rev().zip(magnitude.iter().rev()) {
            *to = *from;
        }
        Some(Self { octets, length: u8::try_from(magnitude.len()).ok()? })
    }

    /// A fresh serial from 16 random octets: the top bits become 01, so it is positive and always 16 octets long.
    #[must_use]
    pub fn from_random(random: [u8; 16]) -> Self {
        let mut octets = [0; 20];
        for (to, from) in octets.iter_mut().skip(4).zip(random) {
            *to = from;
        }
        if let Some(top) = octets.get_mut(4) {
            *top = *top & 0x3f | 0x40;
        }
        Self { octets, length: 16 }
    }

    /// The magnitude, big-endian, without leading zero octets.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        let start = self.octets.len() - usize::from(self.length).min(self.octets.len());
        self.octets.get(start..).unwrap_or(&self.octets)
    }

    /// The content octets of the DER INTEGER that carries this number.
    #[must_use]
    pub fn to_der_content(&self) -> Vec<u8> {
        let magnitude = self.as_bytes();
        let mut content = Vec::with_capacity(21);
        if magnitude.first().is_some_and(|first| first & 0x80 != 0) {
            content.push(0);
        }
        content.extend_from_slice(magnitude);
        content
    }

    /// The number as `u128` when it fits: the index of a revocation list keeps those apart.
    #[must_use]
    pub fn to_u128(&self) -> Option<u128> {
        let (high, low) = self.octets.split_at(4);
        (high == [0; 4]).then_some(u128::from_be_bytes(low.try_into().ok()?))
    }

    /// Reads hexadecimal digits as printed by [`fmt::Display`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let even = if text.len() % 2 == 1 { format!("0{text}") } else { text.to_owned() };
        let mut content = Vec::with_capacity(21);
        for pair in even.as_bytes().chunks_exact(2) {
            let [byte] = unhex::<1>(std::str::from_utf8(pair).ok()?)?;
            content.push(byte);
        }
        if content.first().is_some_and(|first| first & 0x80 != 0) {
            content.insert(0, 0);
        }
        Self::from_der_content(&content)
    }
}

impl fmt::Display for SerialNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(self.as_bytes()))
    }
}

impl fmt::Debug for SerialNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SerialNumber({self})")
    }
}

/// The origin of one stream of receipts: a fresh one for each opening of a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId([u8; 16]);

/// A decision chain: the incident that receipts of several agents belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainId([u8; 16]);

/// Gives a 16-byte identifier its hexadecimal text form.
macro_rules! hex_identifier {
    ($name:ident) => {
        impl $name {
            /// Takes the 16 bytes as they are.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The 16 bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }

            /// Reads 32 lower-case hexadecimal digits; anything else is `None`.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                unhex(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex(&self.0))
            }
        }
    };
}
hex_identifier!(StreamId);
hex_identifier!(ChainId);

const AGENT_URN: &str = "urn:kakunin:agent:";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agent_ids_have_one_spelling() {
        let id = AgentId::from_random([0xab; 16]);
        assert_eq!(AgentId::from_urn(&id.to_urn()), Some(id));
        let text = id.to_string();
        assert_eq!(text, "abababab-abab-4bab-abab-abababababab");
        for wrong in [text.to_uppercase(), text.replace('-', ""), format!("{text}-"), format!("{{{text}}}")] {
            assert_eq!(AgentId::parse(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn negative_zero_padded_and_long_serials_are_refused() {
        for wrong in [
            &[][..],
            &[0],
            &[0x80],
            &[0, 1],
            &[1; 21],
            &[0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ] {
            assert_eq!(SerialNumber::from_der_content(wrong), None, "{wrong:?}");
        }
        let high = SerialNumber::from_der_content(&[0, 0x80]).unwrap();
        assert_eq!(high.to_string(), "80");
        assert_eq!(high.to_der_content(), [0, 0x80]);
        assert_eq!(SerialNumber::parse("80"), Some(high));
    }

    #[test]
    fn random_serials_are_positive_and_sixteen_octets() {
        for seed in [0x00, 0x7f, 0xff] {
            let serial = SerialNumber::from_random([seed; 16]);
            assert_eq!(serial.to_der_content().len(), 16);
            assert_eq!(SerialNumber::from_der_content(&serial.to_der_content()), Some(serial));
        }
    }
}
