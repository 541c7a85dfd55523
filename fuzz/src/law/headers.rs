//! What one agent hands to the next in fields of a request: a link of a chain, and proofs about lists of names.

use kakunin_core::chain::{ChainLink, TraceParent};
use kakunin_core::digest::Digest;
use kakunin_core::scope::ProvenNames;

use crate::world::names as list;

/// A link has one spelling as a field. As a member of `_meta` it is written in one.
pub(super) fn chain(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(link) = ChainLink::parse_header(text) {
        assert_eq!(link.to_header(), text);
        assert_eq!(ChainLink::from_meta(&link.to_meta()), Ok(Some(link)));
    }
    if let Some(trace) = TraceParent::parse(text) {
        assert_eq!(trace.as_str(), text);
    }
    if let Ok(Some(link)) = ChainLink::from_meta(text) {
        assert_eq!(ChainLink::from_meta(&link.to_meta()), Ok(Some(link.clone())));
        let bare = ChainLink::new(link.chain(), link.from());
        assert_eq!(ChainLink::parse_header(&link.to_header()), Ok(bare));
    }
}

/// Whatever is claimed of a list, nobody proves that a name is in it that is not, or is missing that is there.
pub(super) fn names(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(proven) = ProvenNames::parse(text) else { return };
    let list = list();
    let count = u32::try_from(list.names().len()).unwrap();
    let is_there = |name: &[u8]| list.names().iter().any(|known| known.as_bytes() == name);
    let known = list.names().iter().map(|name| name.as_bytes().to_vec());
    let others = ["", "acme", "party", "party-0005", "party-03", "zzz"].map(|name| name.as_bytes().to_vec());
    for name in known.chain(others) {
        if let Some(says) = proven.contains(&list.root(), count, &name) {
            assert_eq!(says, is_there(&name), "{}", String::from_utf8_lossy(&name));
        }
        assert_eq!(proven.contains(&Digest::of(b"another list"), count, &name), None);
    }
}
