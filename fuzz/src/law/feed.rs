//! Items of a feed: what is read is what would be signed.

use kakunin_core::feed::UnverifiedItem;
use kakunin_core::key::{Algorithm, Signer, SoftKey};
use std::sync::OnceLock;

/// An item has one spelling: signing what was read gives the same payload. Nobody's word is taken for a signature.
pub(super) fn holds(input: &[u8]) {
    let Ok(token) = std::str::from_utf8(input) else { return };
    let named = UnverifiedItem::key_named(token);
    let Ok(item) = UnverifiedItem::parse(token) else { return };
    assert_eq!(named.as_ref(), Ok(item.key()));
    let payload = |token: &str| token.split('.').nth(1).unwrap().to_owned();
    let again = item.item().sign(signer()).unwrap();
    assert_eq!(payload(&again), payload(token), "a second spelling");
    let signed = UnverifiedItem::parse(&again).unwrap();
    assert_eq!(signed.item(), item.item());
    let verified = signed.verify(signer().public()).unwrap();
    assert!(verified.head().epoch() >= verified.item().epoch());
    assert!(item.verify(signer().public()).is_err(), "a key that was made in this process signed it");
}

fn signer() -> &'static Signer {
    static KEY: OnceLock<Signer> = OnceLock::new();
    KEY.get_or_init(|| Signer::soft(SoftKey::generate(Algorithm::P256).unwrap().0))
}
