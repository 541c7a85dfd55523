//! Bundles: the one file of what they hold, and nothing in them that nobody signed.

use std::cell::OnceCell;
use std::path::PathBuf;

use kakunin_core::bundle::Bundle;
use kakunin_core::digest::Digest;
use kakunin_core::verify::Verification;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::world::world;

use super::journal::{Shown, overwrite};

/// Any file.
pub(super) fn octets(input: &[u8]) {
    judge(input);
}

/// Changes of the members of a bundle, put together again as a forger would: digests, sizes and checksums agree. Each change
/// is a member (1 octet), a place in it (2), how many octets go (1), how many come (1), and those.
pub(super) fn pieces(input: &[u8]) {
    let mut members = members(&world().bundle);
    let mut rest = input;
    while let [which, high, low, gone, come, after @ ..] = rest {
        let place = usize::from(*which) % members.len();
        let octets = &mut members[place].1;
        let at = (usize::from(*high) << 8 | usize::from(*low)) % (octets.len() + 1);
        let end = (at + usize::from(*gone)).min(octets.len());
        let come = usize::from(*come).min(after.len());
        drop(octets.splice(at..end, after[..come].iter().copied()));
        rest = &after[come..];
    }
    // The manifest, which stands first, lists the others; where it is JSON no more there is nothing to make agree.
    if let Ok(mut manifest) = serde_json::from_slice::<Value>(&members[0].1) {
        let listed: Vec<Value> = members[1..]
            .iter()
            .map(|(name, octets)| json!({ "name": name, "sha256": Digest::of(octets).to_hex(), "size": octets.len() }))
            .collect();
        if manifest.is_object() {
            manifest["members"] = listed.into();
            members[0].1 = format!("{manifest}\n").into_bytes();
        }
    }
    judge(&zip(&members));
}

fn judge(octets: &[u8]) {
    thread_local!(static PLACE: OnceCell<(TempDir, PathBuf)> = const { OnceCell::new() });
    PLACE.with(|place| {
        let (_, path) = place.get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("any.zip");
            (folder, path)
        });
        overwrite(path, octets);
        let Ok(bundle) = Bundle::open(path) else { return };
        // It is the file of its members, and of no others.
        assert_eq!(zip(&members(octets)), octets, "a second spelling");
        let (world, mut shown) = (world(), Shown::default());
        let keys = [world.log_key.clone()];
        let terms = Verification::by(&world.anchors).logs(&keys);
        let report = bundle.verify(&terms, &mut shown).unwrap();
        shown.are_of(world, report.verdict());
    });
}

/// The members of a file that is a bundle, in their order.
pub(crate) fn members(octets: &[u8]) -> Vec<(String, Vec<u8>)> {
    let number = |at: usize, length: usize| {
        (0..length).fold(0_usize, |sum, place| sum | usize::from(octets[at + place]) << (8 * place))
    };
    let (mut at, mut members) = (0, Vec::new());
    while octets[at..].starts_with(b"PK\x03\x04") {
        let (size, start) = (number(at + 18, 4), at + 30 + number(at + 26, 2));
        let name = String::from_utf8(octets[at + 30..start].to_vec()).unwrap();
        members.push((name, octets[start..start + size].to_vec()));
        at = start + size;
    }
    members
}

/// A ZIP of stored members (APPNOTE 6.3.10, sections 4.3.7, 4.3.12 and 4.3.16), as a bundle has it.
fn zip(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, octets) in members {
        let offset = u32::try_from(file.len()).unwrap();
        let mut fields = Vec::new();
        for number in [10_u16, 0, 0, 0, 0x21] {
            fields.extend(number.to_le_bytes());
        }
        let size = u32::try_from(octets.len()).unwrap();
        for number in [crc32fast::hash(octets), size, size] {
            fields.extend(number.to_le_bytes());
        }
        fields.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
        fields.extend([0, 0]);
        file.extend([b"PK\x03\x04", fields.as_slice(), name.as_bytes(), octets].concat());
        directory.extend(
            [b"PK\x01\x02\x0a\x00", fields.as_slice(), &[0; 10], &offset.to_le_bytes(), name.as_bytes()]
                .concat(),
        );
    }
    let (start, length) = (u32::try_from(file.len()).unwrap(), u32::try_from(directory.len()).unwrap());
    let count = u16::try_from(members.len()).unwrap().to_le_bytes();
    file.extend(directory);
    file.extend(
        [b"PK\x05\x06\0\0\0\0", &count[..], &count, &length.to_le_bytes(), &start.to_le_bytes(), &[0, 0]]
            .concat(),
    );
    file
}
