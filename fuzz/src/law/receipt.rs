//! Receipts: tokens, what they say, and the values behind their commitments.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use kakunin_core::digest::Digest;
use kakunin_core::receipt::{Disclosure, Statement, UnverifiedReceipt};
use serde_json::Value;

use crate::world::world;

/// A token is read whole and as it was written; whoever verifies believes only what the agent signed.
pub(super) fn token(input: &[u8]) {
    if let Ok(receipt) = UnverifiedReceipt::from_signing_input(input) {
        assert_eq!(receipt.signing_input(), input);
        assert_eq!(receipt.hash().digest(), &Digest::of(input));
    }
    let Ok(text) = std::str::from_utf8(input) else { return };
    let whole = UnverifiedReceipt::from_jws(text);
    if let Ok((receipt, signature)) = whole {
        let (signing_input, last) = text.rsplit_once('.').unwrap();
        assert_eq!(receipt.signing_input(), signing_input.as_bytes());
        assert_eq!(Base64UrlUnpadded::encode_string(signature.as_bytes()), last, "a second spelling");
        let (hash, agent) = (receipt.hash(), world().path.agent().decoded());
        if let Ok(believed) = receipt.verify(&agent.thumbprint(), agent.key(), &signature) {
            assert_eq!(believed.to_jws(), text);
            assert!(world().receipts.contains(&hash), "a receipt that nobody signed");
        }
    }
    if let Ok((receipt, signature)) = UnverifiedReceipt::from_log_entry(text) {
        match signature {
            Some(_) => assert!(UnverifiedReceipt::from_jws(text).is_ok()),
            None => assert_eq!(receipt.to_sealed_entry(), text),
        }
    }
}

/// A payload is JSON in the one spelling that another writer of canonical JSON gives it: members ascend, no space, no
/// escape, no number that others would round.
pub(super) fn payload(input: &[u8]) {
    if Statement::parse(input).is_err() {
        return;
    }
    let value: Value = serde_json::from_slice(input).unwrap();
    assert_eq!(serde_json::to_vec(&value).unwrap(), input, "a second spelling");
    fn is_exact(value: &Value) -> bool {
        match value {
            Value::Number(number) => number.as_u64().is_some_and(|number| number < 1 << 53),
            Value::Array(items) => items.iter().all(is_exact),
            Value::Object(members) => members.values().all(is_exact),
            Value::Bool(yes) => *yes,
            Value::String(text) => text.bytes().all(|byte| (0x20..0x7f).contains(&byte)),
            Value::Null => false,
        }
    }
    assert!(is_exact(&value), "{value}");
}

/// A disclosure keeps its text, and its digest is of that.
pub(super) fn disclosure(input: &[u8]) {
    let Ok(disclosure) = Disclosure::parse(input) else { return };
    assert_eq!(disclosure.as_str().as_bytes(), input);
    assert_eq!(disclosure.digest(), &Digest::of(input));
    let json = Base64UrlUnpadded::decode_vec(disclosure.as_str()).unwrap();
    let value: Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(value[1], disclosure.name());
    assert_eq!(&value[2], disclosure.value());
}
