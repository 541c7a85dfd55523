//! Revocation lists, full and delta: read as x509-cert reads them, and never forgetting.

use std::collections::BTreeMap;

use der::{Decode, Encode};
use kakunin_core::id::SerialNumber;
use kakunin_core::revocation::{RevocationList, Standing, UnverifiedDelta, UnverifiedList};
use x509_cert::crl::CertificateList;
use x509_cert::ext::pkix::CrlReason;

use crate::authority::{By, Der, entry};
use crate::world::world;

/// Bytes that nobody signed: a list is full or delta, never both, and without a signature it is nothing.
pub(super) fn holds(input: &[u8]) {
    let (full, delta) = (UnverifiedList::decode(input), UnverifiedDelta::decode(input));
    assert!(full.is_err() || delta.is_err(), "full and delta at once");
    if let Ok(delta) = delta {
        assert!(delta.base() < delta.number());
    }
}

/// The input is what the issuing authority would have signed.
pub(super) fn signed(input: &[u8]) {
    let world = world();
    let oid = Der::list(0x30, vec![Der::leaf(6, vec![0x2b, 0x65, 0x70])]);
    let unsigned = Der::list(0x30, vec![Der::raw(input.to_vec()), oid, Der::leaf(3, vec![0])]);
    let der = world.authority.resign(unsigned, By::Issuing);
    holds(&der);
    if let Ok(list) = UnverifiedList::decode(&der)
        && let Ok(list) = list.verify(&world.issuing.list_issuer())
    {
        assert_eq!(list.der(), der);
        assert!(list.this_update() < list.next_update());
        assert_eq!(entries(&list), by_another_reader(&der));
        for (serial, standing) in list.iter() {
            assert_eq!(list.standing(&serial), standing);
            assert_eq!(list.revoked_at(&serial).is_some(), standing == Standing::Revoked);
        }
    }
    if let Ok(delta) = UnverifiedDelta::decode(&der) {
        let base = base();
        if let Ok(updated) = delta.apply(&base, &world.issuing.list_issuer()) {
            assert!(updated.number() > base.number());
            for (serial, standing) in base.iter() {
                let now = updated.standing(&serial);
                assert!(standing != Standing::Revoked || now == Standing::Revoked, "{serial} came back");
            }
        }
    }
}

fn entries(list: &RevocationList) -> BTreeMap<SerialNumber, Standing> {
    list.iter().collect()
}

/// Of duplicates the most severe counts.
fn by_another_reader(der: &[u8]) -> BTreeMap<SerialNumber, Standing> {
    let list: CertificateList = CertificateList::from_der(der).unwrap();
    assert_eq!(list.to_der().unwrap(), der, "a second spelling");
    let mut entries = BTreeMap::new();
    for entry in list.tbs_cert_list.revoked_certificates.iter().flatten() {
        let reason = entry
            .crl_entry_extensions
            .iter()
            .flatten()
            .find(|extension| extension.extn_id == der::oid::db::rfc5280::ID_CE_CRL_REASONS)
            .map(|extension| CrlReason::from_der(extension.extn_value.as_bytes()).unwrap());
        let standing = match reason {
            Some(CrlReason::CertificateHold) => Standing::Held,
            _ => Standing::Revoked,
        };
        let serial = SerialNumber::from_der_content(entry.serial_number.as_bytes()).unwrap();
        let known = entries.entry(serial).or_insert(standing);
        *known = standing.max(*known);
    }
    entries
}

/// A full list with one revoked and one held certificate on it.
fn base() -> RevocationList {
    let world = world();
    let der = world.authority.list(By::Issuing, |params| {
        params.revoked_certs = vec![
            entry(&[0x51; 16], None),
            entry(&[0x52; 16], Some(rcgen::RevocationReason::CertificateHold)),
        ];
    });
    UnverifiedList::decode(&der).unwrap().verify(&world.issuing.list_issuer()).unwrap()
}
