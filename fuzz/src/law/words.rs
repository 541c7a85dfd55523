//! Names, numbers and times in text, and the small signed marks: each has one spelling.

use kakunin_core::genesis::Genesis;
use kakunin_core::id::{AgentId, ChainId, SerialNumber, StreamId};
use kakunin_core::money::{Currency, Decimal};
use kakunin_core::succession::Succession;
use kakunin_core::time::UnixMillis;

use crate::world::{signer, world};

/// What is read is written as it was; what may be written in several ways is written in one that reads the same.
pub(super) fn holds(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Some(id) = AgentId::parse(text) {
        assert_eq!(id.to_string(), text);
        assert_eq!(AgentId::from_urn(&id.to_urn()), Some(id));
    }
    if let Some(id) = AgentId::from_urn(text) {
        assert_eq!(id.to_urn(), text);
    }
    if let Some(id) = StreamId::parse(text) {
        assert_eq!(id.to_string(), text);
    }
    if let Some(id) = ChainId::parse(text) {
        assert_eq!(id.to_string(), text);
    }
    if let Some(serial) = SerialNumber::parse(text) {
        assert_eq!(SerialNumber::parse(&serial.to_string()), Some(serial));
        assert_eq!(SerialNumber::from_der_content(&serial.to_der_content()), Some(serial));
    }
    if let Some(currency) = Currency::parse(text) {
        assert!(currency.is(text));
        assert_eq!(currency.as_str(), text);
    }
    if let Some(decimal) = Decimal::parse(text) {
        // At the scale it is written in it is exact, and has one more spelling there at most.
        if let Some(money) = decimal.at_scale(decimal.decimals()) {
            assert_eq!(money.to_decimal(decimal.decimals()), text);
        }
        assert!(decimal.decimals() == 0 || decimal.at_scale(decimal.decimals() - 1).is_none());
    }
    if let Ok(time) = UnixMillis::parse_rfc3339(text) {
        assert_eq!(UnixMillis::parse_rfc3339(&time.to_string()).ok(), Some(time));
    }
    // The one signature over each of these is in its seed.
    if let Some(mark) = Genesis::verify(text, world().issuing.decoded().key()) {
        assert_eq!(mark.to_text(), text);
    }
    if let Some(mark) = Succession::verify(text, signer(3).public()) {
        assert_eq!(mark.to_text(), text);
    }
}
