//! `vectors/deltas.json`: delta lists, the full lists that they change, and what both say together.

use der::asn1::ObjectIdentifier;
use rcgen::{
    CertificateRevocationListParams, RevocationReason, RevokedCertParams, SerialNumber, date_time_ymd,
};
use serde_json::{Value, json};

use crate::authority::{Authority, By, Der, entry};
use crate::pem;

pub(crate) fn vectors() -> String {
    let house = House(Authority::new());
    let held = || Some(RevocationReason::CertificateHold);
    let removed = || Some(RevocationReason::RemoveFromCrl);
    let key = || Some(RevocationReason::KeyCompromise);
    // 1 is revoked, 2 and 3 are held.
    let full = house.full(5, vec![entry(&[1], None), entry(&[2], held()), entry(&[3], held())]);
    let words =
        || vec![entry(&[2], removed()), entry(&[3], key()), entry(&[4], held()), entry(&[5], removed())];
    let after =
        json!({ "01": "revoked", "02": "good", "03": "revoked", "04": "held", "05": "good", "06": "good" });
    let same = json!({ "01": "revoked", "02": "held", "03": "held", "04": "good" });
    let plain = |change: &dyn Fn(&mut Der)| house.edited(5, 6, vec![entry(&[9], None)], change);
    let mut forged = house.delta(5, 6, words());
    if let Some(last) = forged.last_mut() {
        *last ^= 1;
    }
    let cases = vec![
        joined("from_its_base_on", &full, &house.delta(5, 9, words()), 9, &after),
        joined("over_lists_in_between", &full, &house.delta(1, 9, words()), 9, &after),
        joined("that_says_nothing", &full, &house.delta(4, 6, Vec::new()), 6, &same),
        joined(
            "that_names_one_twice",
            &full,
            &house.delta(4, 6, vec![entry(&[4], None), entry(&[4], removed())]),
            6,
            &json!({ "04": "revoked" }),
        ),
        joined(
            "of_a_large_number",
            &full,
            &house.numbered(5, &[1, 0, 0, 0, 0, 0, 0, 0, 1], vec![entry(&[4], held())]),
            Value::Null,
            &json!({ "01": "revoked", "04": "held" }),
        ),
        refused("a_full_list", &full, &house.full(6, words()), "full"),
        refused("beside_itself", &full, &house.delta(6, 6, words()), "base"),
        refused("beside_a_later_list", &full, &house.delta(7, 6, words()), "base"),
        refused("for_a_list_that_is_not_there_yet", &full, &house.delta(6, 7, words()), "behind"),
        refused("no_newer_than_the_list", &full, &house.delta(2, 5, words()), "contradiction"),
        refused("older_than_the_list", &full, &house.delta(2, 4, words()), "contradiction"),
        refused(
            "issued_before_the_list",
            &full,
            &plain(&|der| *der.path(&[0, 3]).content() = b"200101000000Z".to_vec()),
            "contradiction",
        ),
        refused(
            "that_takes_a_revocation_back",
            &full,
            &house.delta(4, 6, vec![entry(&[1], removed())]),
            "contradiction",
        ),
        refused(
            "that_makes_a_hold_of_a_revocation",
            &full,
            &house.delta(4, 6, vec![entry(&[1], held())]),
            "contradiction",
        ),
        refused("signed_by_nobody", &full, &forged, "list"),
        refused(
            "signed_by_the_root",
            &full,
            &house.0.resign(Der::parse(&house.delta(5, 6, words())), By::Root),
            "list",
        ),
        refused(
            "with_the_indicator_not_critical",
            &full,
            &plain(&|der| drop(der.extension(INDICATOR).children().remove(1))),
            "list",
        ),
        refused(
            "with_the_indicator_twice",
            &full,
            &plain(&|der| der.extensions().push(critical(INDICATOR, Der::integer(5)))),
            "list",
        ),
        refused(
            "with_an_unknown_critical_extension",
            &full,
            &plain(&|der| der.extensions().push(critical("1.2.3.4", Der::integer(1)))),
            "list",
        ),
        refused(
            "with_a_negative_base",
            &full,
            &plain(&|der| *der.extension(INDICATOR).child(2) = Der::leaf(4, vec![2, 1, 0x80])),
            "list",
        ),
        refused("without_a_number", &full, &plain(&|der| der.drop_extension("2.5.29.20")), "list"),
        refused("without_an_end", &full, &plain(&|der| drop(der.child(0).children().remove(4))), "list"),
    ];
    let lines: Vec<_> = cases.iter().map(|case| format!("    {case}")).collect();
    format!(
        "{{\n  \"format\": 1,\n  \"issuing\": {},\n  \"cases\": [\n{}\n  ]\n}}\n",
        pem("CERTIFICATE", &house.0.issuing),
        lines.join(",\n")
    )
}

fn joined(name: &str, list: &[u8], delta: &[u8], number: impl Into<Value>, standings: &Value) -> Value {
    let number: Value = number.into();
    json!({
        "name": name, "list": pem("X509 CRL", list), "delta": pem("X509 CRL", delta),
        "expect": { "number": number, "standings": standings },
    })
}

fn refused(name: &str, list: &[u8], delta: &[u8], word: &str) -> Value {
    json!({
        "name": name, "list": pem("X509 CRL", list), "delta": pem("X509 CRL", delta),
        "expect": { "refused": word },
    })
}

struct House(Authority);

impl House {
    fn full(&self, number: u64, entries: Vec<RevokedCertParams>) -> Vec<u8> {
        self.list(SerialNumber::from(number), entries)
    }

    fn list(&self, number: SerialNumber, entries: Vec<RevokedCertParams>) -> Vec<u8> {
        self.0.list(By::Issuing, |list: &mut CertificateRevocationListParams| {
            list.crl_number = number;
            list.this_update = date_time_ymd(2026, 11, 23);
            list.revoked_certs = entries;
        })
    }

    fn delta(&self, base: u8, number: u64, entries: Vec<RevokedCertParams>) -> Vec<u8> {
        self.edited(base, number, entries, &|_| {})
    }

    fn edited(
        &self,
        base: u8,
        number: u64,
        entries: Vec<RevokedCertParams>,
        change: &dyn Fn(&mut Der),
    ) -> Vec<u8> {
        self.changed(base, self.full(number, entries), change)
    }

    fn numbered(&self, base: u8, number: &[u8], entries: Vec<RevokedCertParams>) -> Vec<u8> {
        self.changed(base, self.list(SerialNumber::from(number.to_vec()), entries), &|_| {})
    }

    fn changed(&self, base: u8, list: Vec<u8>, change: &dyn Fn(&mut Der)) -> Vec<u8> {
        let mut der = Der::parse(&list);
        der.extensions().push(critical(INDICATOR, Der::integer(base)));
        change(&mut der);
        self.0.resign(der, By::Issuing)
    }
}

fn critical(oid: &str, value: Der) -> Der {
    let oid = ObjectIdentifier::new(oid).unwrap().as_bytes().to_vec();
    Der::list(0x30, vec![Der::leaf(6, oid), Der::leaf(1, vec![0xff]), Der::leaf(4, value.encode())])
}

/// RFC 5280 section 5.2.4.
const INDICATOR: &str = "2.5.29.27";
