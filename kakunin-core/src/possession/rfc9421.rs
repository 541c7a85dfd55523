//! The signature bases of RFC 9421 appendix B, made by our builder from the messages there.
//!
//! Provenance: messages, keys, bases and signatures are those of the RFC, written down from its text. Where the algorithm is
//! one that this crate has, or a MAC, the RFC's own signature says that not an octet of a base is wrong (B.2.4, B.2.5, B.2.6, B.3, B.4);
//! B.2.1 to B.2.3 are signed with RSA, which no agent has, and stand by their text.

use base64ct::{Base64, Encoding as _};
use ring::hmac;

use super::base::of_lines;
use crate::digest::Digest;
use crate::key::{PublicKey, Signature};

/// B.1.3 and B.1.4.
const P256: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqIVYZVLCrPZHGHjP17CTW0/+D9Lfw0EkjqF7xB4FivAxzic30tMM4GF+hR6Dxh71Z50VGGdldkkDXZCnTNnoXQ==";
const ED25519: &str = "MCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=";
/// B.1.5.
const SECRET: &str =
    "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";

/// The request of B.2 and what of it can be covered.
const REQUEST: [(&str, &str); 8] = [
    ("@method", "POST"),
    ("@path", "/foo"),
    ("@query", "?param=Value&Pet=dog"),
    ("@authority", "example.com"),
    ("date", "Tue, 20 Apr 2021 02:07:55 GMT"),
    ("content-type", "application/json"),
    (
        "content-digest",
        "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:",
    ),
    ("content-length", "18"),
];

/// The lines of `names`, each with its value in `message`.
fn base(message: &[(&'static str, &'static str)], names: &[&'static str], parameters: &str) -> String {
    let value =
        |name: &&'static str| message.iter().find(|(known, _)| known == name).map(|(_, value)| *value);
    of_lines(names.iter().map(|name| (*name, value(name).unwrap())), parameters)
}

fn verify(spki: &str, base: &str, signature: &str) -> bool {
    let key = PublicKey::from_spki(&Base64::decode_vec(spki).unwrap()).unwrap();
    let octets = Base64::decode_vec(signature).unwrap().try_into().unwrap();
    key.verify(base.as_bytes(), &Signature::from_bytes(octets)).is_ok()
}

#[test]
fn the_base_of_b_2_1_covers_nothing() {
    let parameters = r#"();created=1618884473;keyid="test-key-rsa-pss";nonce="b3k2pp5k7z-50gnwp.yemd""#;
    let expected = r#""@signature-params": ();created=1618884473;keyid="test-key-rsa-pss";nonce="b3k2pp5k7z-50gnwp.yemd""#;
    assert_eq!(base(&REQUEST, &[], parameters), expected);
}

#[test]
fn the_base_of_b_2_2_covers_a_part_of_the_query() {
    // The parameter of a component stands behind its name, outside of the quotes.
    let pet = "@query-param\";name=\"Pet";
    let message = [&REQUEST[..], &[(pet, "dog")]].concat();
    let parameters = r#"("@authority" "content-digest" "@query-param";name="Pet");created=1618884473;keyid="test-key-rsa-pss";tag="header-example""#;
    let expected = concat!(
        "\"@authority\": example.com\n",
        "\"content-digest\": sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:\n",
        "\"@query-param\";name=\"Pet\": dog\n",
        "\"@signature-params\": (\"@authority\" \"content-digest\" \"@query-param\";name=\"Pet\");created=1618884473;keyid=\"test-key-rsa-pss\";tag=\"header-example\"",
    );
    assert_eq!(base(&message, &["@authority", "content-digest", pet], parameters), expected);
}

#[test]
fn the_base_of_b_2_3_covers_everything() {
    let parameters = r#"("date" "@method" "@path" "@query" "@authority" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-rsa-pss""#;
    let names = [
        "date",
        "@method",
        "@path",
        "@query",
        "@authority",
        "content-type",
        "content-digest",
        "content-length",
    ];
    let expected = concat!(
        "\"date\": Tue, 20 Apr 2021 02:07:55 GMT\n",
        "\"@method\": POST\n",
        "\"@path\": /foo\n",
        "\"@query\": ?param=Value&Pet=dog\n",
        "\"@authority\": example.com\n",
        "\"content-type\": application/json\n",
        "\"content-digest\": sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:\n",
        "\"content-length\": 18\n",
        "\"@signature-params\": (\"date\" \"@method\" \"@path\" \"@query\" \"@authority\" \"content-type\" \"content-digest\" \"content-length\");created=1618884473;keyid=\"test-key-rsa-pss\"",
    );
    assert_eq!(base(&REQUEST, &names, parameters), expected);
}

#[test]
fn the_signature_of_rfc_9421_b_2_4_verifies() {
    let response = [
        ("@status", "200"),
        ("content-type", "application/json"),
        (
            "content-digest",
            "sha-512=:mEWXIS7MaLRuGgxOBdODa3xqM1XdEvxoYhvlCFJ41QJgJc4GTsPp29l5oGX69wWdXymyU0rjJuahq4l5aGgfLQ==:",
        ),
        ("content-length", "23"),
    ];
    let parameters = r#"("@status" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-ecc-p256""#;
    let base = base(&response, &["@status", "content-type", "content-digest", "content-length"], parameters);
    let signature =
        "wNmSUAhwb5LxtOtOpNa6W5xj067m5hFrj0XQ4fvpaCLx0NKocgPquLgyahnzDnDAUy5eCdlYUEkLIj+32oiasw==";
    assert!(verify(P256, &base, signature));
    assert!(!verify(P256, &format!("{base}\n"), signature));
}

#[test]
fn the_mac_of_rfc_9421_b_2_5_is_over_our_base() {
    let parameters = r#"("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret""#;
    let base = base(&REQUEST, &["date", "@authority", "content-type"], parameters);
    let key = hmac::Key::new(hmac::HMAC_SHA256, &Base64::decode_vec(SECRET).unwrap());
    let mac = Base64::decode_vec("pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=").unwrap();
    assert!(hmac::verify(&key, base.as_bytes(), &mac).is_ok());
    assert!(hmac::verify(&key, base.replace("02:07:55", "02:07:56").as_bytes(), &mac).is_err());
}

#[test]
fn the_signature_of_rfc_9421_b_2_6_verifies() {
    let names = ["date", "@method", "@path", "@authority", "content-type", "content-length"];
    let parameters = r#"("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519""#;
    let base = base(&REQUEST, &names, parameters);
    let signature =
        "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==";
    assert!(verify(ED25519, &base, signature));
    assert!(!verify(ED25519, &base.replace("/foo", "/fop"), signature));
}

/// A proxy that ends TLS says which certificate it saw, and signs that.
#[test]
fn the_signature_of_rfc_9421_b_3_verifies() {
    let certificate = ":MIIBqDCCAU6gAwIBAgIBBzAKBggqhkjOPQQDAjA6MRswGQYDVQQKDBJMZXQncyBBdXRoZW50aWNhdGUxGzAZBgNVBAMMEkxBIEludGVybWVkaWF0ZSBDQTAeFw0yMDAxMTQyMjU1MzNaFw0yMTAxMjMyMjU1MzNaMA0xCzAJBgNVBAMMAkJDMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE8YnXXfaUgmnMtOXU/IncWalRhebrXmckC8vdgJ1p5Be5F/3YC8OthxM4+k1M6aEAEFcGzkJiNy6J84y7uzo9M6NyMHAwCQYDVR0TBAIwADAfBgNVHSMEGDAWgBRm3WjLa38lbEYCuiCPct0ZaSED2DAOBgNVHQ8BAf8EBAMCBsAwEwYDVR0lBAwwCgYIKwYBBQUHAwIwHQYDVR0RAQH/BBMwEYEPYmRjQGV4YW1wbGUuY29tMAoGCCqGSM49BAMCA0gAMEUCIBHda/r1vaL6G3VliL4/Di6YK0Q6bMjeSkC3dFCOOB8TAiEAx/kHSB4urmiZ0NX5r5XarmPk0wmuydBVoU4hBVZ1yhk=:";
    let message = [
        ("@path", "/foo"),
        ("@query", "?param=Value&Pet=dog"),
        ("@method", "POST"),
        ("@authority", "service.internal.example"),
        ("client-cert", certificate),
    ];
    let parameters = r#"("@path" "@query" "@method" "@authority" "client-cert");created=1618884473;keyid="test-key-ecc-p256""#;
    let base = base(&message, &["@path", "@query", "@method", "@authority", "client-cert"], parameters);
    let signature =
        "xVMHVpawaAC/0SbHrKRs9i8I3eOs5RtTMGCWXm/9nvZzoHsIg6Mce9315T6xoklyy0yzhD9ah4JHRwMLOgmizw==";
    assert!(verify(P256, &base, signature));
    assert!(!verify(P256, &base.replace("client-cert\": :MIIB", "client-cert\": :MIIC"), signature));
}

/// What passes a message on may join fields, change their case and their order: the base stays, or the signature ends.
#[test]
fn the_signature_of_rfc_9421_b_4_verifies() {
    let message = [
        ("@method", "GET"),
        ("@path", "/demo"),
        ("@authority", "example.org"),
        ("accept", "application/json, */*"),
    ];
    let names = ["@method", "@path", "@authority", "accept"];
    let parameters =
        r#"("@method" "@path" "@authority" "accept");created=1618884473;keyid="test-key-ed25519""#;
    let base = base(&message, &names, parameters);
    let signature =
        "ZT1kooQsEHpZ0I1IjCqtQppOmIqlJPeo7DHR3SoMn0s5JZ1eRGS0A+vyYP9t/LXlh5QMFFQ6cpLt2m0pmj3NDA==";
    assert!(verify(ED25519, &base, signature));
    // B.4's examples of what no longer is the message that was signed.
    for (from, to) in [
        ("GET", "POST"),
        ("example.org", "example.com"),
        ("application/json, */*", "*/*, application/json"),
        ("application/json, */*", "application/json"),
    ] {
        assert!(!verify(ED25519, &base.replace(from, to), signature), "{to}");
    }
}

/// The digest in the request of B.2 is its body's; ours is of the other algorithm that RFC 9530 has.
#[test]
fn the_content_of_b_2_has_the_digest_that_rfc_9530_says() {
    let ours = Base64::encode_string(Digest::of(br#"{"hello": "world"}"#).as_bytes());
    assert_eq!(ours, "X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=");
}
