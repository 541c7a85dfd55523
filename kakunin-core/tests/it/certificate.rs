//! Certificates that must not load, and paths that must not hold. Rows are those of `docs/attacks.md`.

use std::time::{Duration, Instant};

use kakunin_core::certificate::{
    AgentCertificate, CaCertificate, CaRole, CertificateError, PathError, TrustAnchors, oids,
};
use kakunin_core::digest::Digest;
use kakunin_core::key::{Algorithm, PublicKey, Signature};
use kakunin_core::reason::DenialReason as Why;
use kakunin_core::revocation::Standing;
use kakunin_core::scope::{Pattern, Scope, ScopeParts};
use rcgen::{
    BasicConstraints, CertificateParams, CrlDistributionPoint, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, RevocationReason, SanType, SigningKey, date_time_ymd,
};

use crate::authority::{
    Authority, By, Der, ISSUING_SERIAL, SERIAL, agent_id, at, entry, extension, name, now, seeded_key, usage,
    verify,
};

#[test]
fn a_right_certificate_is_verified_with_p256_and_ed25519() {
    for authority in [Authority::new(), Authority::p256()] {
        let agent = authority.verify(&authority.agent(&scope()), &authority.lists()).unwrap();
        assert_eq!(agent.standing(), Standing::Good);
        assert_eq!(agent.path().agent().agent(), agent_id());
        assert_eq!(agent.good_until(), at("2026-11-27T00:00:00Z"));
        assert_eq!(agent.path().issuing().decoded().subject_text(), "CN=Test Issuing");
    }
}

/// C1: BER where DER belongs.
#[test]
fn ber_forms_are_refused() {
    let authority = Authority::new();
    let right = authority.agent(&scope());
    let resigned = |change: &dyn Fn(&mut Der)| {
        let mut der = Der::parse(&right);
        change(&mut der);
        authority.resign(der, By::Issuing)
    };
    // Each is well signed: only the encoding is wrong.
    let forms: [(&str, Vec<u8>); 9] = [
        ("outer length in long form", {
            let inner = Der::parse(&right).children().iter().flat_map(Der::encode).collect::<Vec<_>>();
            let length = u16::try_from(inner.len()).unwrap().to_be_bytes();
            [&[0x30, 0x83, 0, length[0], length[1]], inner.as_slice()].concat()
        }),
        ("indefinite length", {
            let inner = Der::parse(&right).children().iter().flat_map(Der::encode).collect::<Vec<_>>();
            [&[0x30, 0x80], inner.as_slice(), &[0, 0]].concat()
        }),
        ("padded version", resigned(&|der| *der.path(&[0, 0, 0]) = Der::leaf(2, vec![0, 2]))),
        ("padded serial", resigned(&|der| der.path(&[0, 1]).content().insert(0, 0))),
        ("a boolean of 01", resigned(&|der| *der.extension("2.5.29.15").child(1) = Der::leaf(1, vec![1]))),
        (
            "criticality FALSE spelled out",
            resigned(&|der| der.extension("2.5.29.17").children().insert(1, Der::leaf(1, vec![0]))),
        ),
        (
            "cA FALSE spelled out",
            resigned(&|der| {
                der.edit_extension("2.5.29.19", |value| value.children().push(Der::leaf(1, vec![0])));
            }),
        ),
        (
            "unused zero bits in keyUsage",
            resigned(&|der| der.edit_extension("2.5.29.15", |value| *value.content() = vec![0, 0x80])),
        ),
        (
            "short length in long form inside",
            resigned(&|der| *der.path(&[0, 1]) = Der::raw([&[2, 0x81, 16], SERIAL.as_slice()].concat())),
        ),
    ];
    for (what, der) in forms {
        assert!(AgentCertificate::decode(&der).is_err(), "{what}");
    }
}

/// C2: bytes after the end.
#[test]
fn trailing_bytes_are_refused() {
    let authority = Authority::new();
    let right = authority.agent(&scope());
    assert!(AgentCertificate::decode(&[right.as_slice(), &[0]].concat()).is_err());
    for oid in ["2.5.29.14", "2.5.29.15", "2.5.29.17", "2.5.29.19", "2.5.29.35", "2.5.29.37", SCOPE_OID] {
        let mut der = Der::parse(&right);
        der.extension(oid).children().last_mut().unwrap().content().extend([5, 0]);
        let broken = authority.resign(der, By::Issuing);
        assert!(AgentCertificate::decode(&broken).is_err(), "{oid}");
    }
    let mut der = Der::parse(&right);
    der.children().push(Der::leaf(5, Vec::new()));
    assert!(AgentCertificate::decode(&der.encode()).is_err());
}

/// C3: cut, overlong, deep, too large.
#[test]
fn cut_and_oversized_certificates_are_refused() {
    let authority = Authority::new();
    let right = authority.agent(&scope());
    for end in 0..right.len() {
        assert!(AgentCertificate::decode(&right[..end]).is_err(), "cut at {end}");
    }
    let mut long = right.clone();
    long[2] = 0xff;
    assert!(AgentCertificate::decode(&long).is_err());
    let deep: Vec<u8> = [0x30, 0x80].into_iter().cycle().take(20_000).collect();
    assert!(AgentCertificate::decode(&deep).is_err());
    assert!(AgentCertificate::decode(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]).is_err());
    assert_eq!(
        AgentCertificate::decode(&vec![0x30; 40_000]).unwrap_err(),
        CertificateError::TooLarge { bytes: 40_000 }
    );

    let anchors = TrustAnchors::new([authority.root.as_slice()]).unwrap();
    let agent = AgentCertificate::decode(&right).unwrap();
    let many: Vec<&[u8]> = vec![&authority.issuing; 17];
    assert!(matches!(agent.clone().verify_path(many, &anchors, now()), Err(PathError::TooMuch)));
    let large = vec![0; 65 << 10];
    assert!(matches!(agent.verify_path([large.as_slice()], &anchors, now()), Err(PathError::TooMuch)));
}

/// C3: no byte that is flipped makes the decoder panic, or the path hold.
#[test]
fn no_flipped_byte_verifies() {
    let authority = Authority::new();
    let right = authority.agent(&scope());
    let lists = authority.lists();
    for place in 0..right.len() {
        let mut flipped = right.clone();
        flipped[place] ^= 1 << (place % 8);
        assert!(authority.verify(&flipped, &lists).is_err(), "byte {place}");
    }
}

/// C4: one extension twice.
#[test]
fn a_duplicate_extension_is_refused() {
    let authority = Authority::new();
    let lax = Scope::build(ScopeParts::new(agent_id(), patterns(&["*"]))).unwrap().to_der();
    let twice = authority.agent_with(&scope().to_der(), |params| {
        params.custom_extensions.push(extension(oids::AGENT_SCOPE, false, lax));
    });
    assert!(matches!(
        AgentCertificate::decode(&twice),
        Err(CertificateError::DuplicateExtension { oid }) if oid == oids::AGENT_SCOPE
    ));
    let mut der = Der::parse(&authority.agent(&scope()));
    let again = der.extension("2.5.29.19").clone();
    der.extensions().push(again);
    assert!(AgentCertificate::decode(&authority.resign(der, By::Issuing)).is_err());
}

/// C5: the profile's table, row by row: absent, and of the other criticality.
#[test]
fn every_extension_of_the_profile_is_required_as_the_table_says() {
    let authority = Authority::new();
    let right = authority.agent(&scope());
    for oid in ["2.5.29.14", "2.5.29.15", "2.5.29.17", "2.5.29.19", "2.5.29.35", "2.5.29.37", SCOPE_OID] {
        let mut der = Der::parse(&right);
        der.drop_extension(oid);
        refused(&authority.resign(der, By::Issuing), oid);
        let mut der = Der::parse(&right);
        let fields = der.extension(oid).children();
        if fields.len() == 3 {
            fields.remove(1);
        } else {
            fields.insert(1, Der::leaf(1, vec![0xff]));
        }
        refused(&authority.resign(der, By::Issuing), oid);
    }
    for (which, role) in [(&authority.root, CaRole::Root), (&authority.issuing, CaRole::Issuing)] {
        for oid in ["2.5.29.14", "2.5.29.15", "2.5.29.19"] {
            let mut der = Der::parse(which);
            der.drop_extension(oid);
            assert!(CaCertificate::decode(&authority.resign(der, By::Root), role).is_err(), "{role:?} {oid}");
        }
    }
    let mut der = Der::parse(&authority.issuing);
    der.drop_extension("2.5.29.37");
    assert!(CaCertificate::decode(&authority.resign(der, By::Root), CaRole::Issuing).is_err());
}

/// C5: a certificate carries a scope or a delegation, never both.
#[test]
fn a_scope_beside_a_delegation_is_refused() {
    let authority = Authority::new();
    let both = authority.agent_with(&scope().to_der(), |params| {
        params.custom_extensions.push(extension(oids::DELEGATION_INFO, true, vec![0x30, 0]));
    });
    refused(&both, "delegation");
    let scoped = Authority::with(
        |_| {},
        |issuing| {
            issuing.custom_extensions.push(extension(oids::AGENT_SCOPE, false, scope().to_der()));
        },
    );
    assert_eq!(denial(&scoped, &scoped.agent(&scope())), Why::CertificateMalformed);
}

/// C8: unknown and critical, in each certificate of the path. Path building does not look at the anchor's.
#[test]
fn an_unknown_critical_extension_is_refused_everywhere() {
    let unknown = || extension(oids::EKU_FEED, true, vec![5, 0]);
    let authority = Authority::new();
    let leaf = authority.agent_with(&scope().to_der(), |params| params.custom_extensions.push(unknown()));
    assert_eq!(denial(&authority, &leaf), Why::CertificateMalformed);
    let issuing = Authority::with(|_| {}, |params| params.custom_extensions.push(unknown()));
    denial(&issuing, &issuing.agent(&scope()));
    let root = Authority::with(|params| params.custom_extensions.push(unknown()), |_| {});
    assert_eq!(denial(&root, &root.agent(&scope())), Why::CertificateMalformed);
    let harmless = authority.agent_with(&scope().to_der(), |params| {
        params.custom_extensions.push(extension(oids::EKU_FEED, false, vec![5, 0]));
    });
    assert!(authority.verify(&harmless, &authority.lists()).is_ok());
}

/// C9: serial numbers RFC 5280 does not allow.
#[test]
fn serials_that_are_negative_zero_long_or_padded_are_refused() {
    let authority = Authority::new();
    let with = |content: Vec<u8>| {
        let mut der = Der::parse(&authority.agent(&scope()));
        *der.path(&[0, 1]).content() = content;
        authority.resign(der, By::Issuing)
    };
    for wrong in [
        vec![0x80],
        vec![0xff; 16],
        vec![0],
        vec![],
        vec![1; 21],
        vec![0, 1],
        [&[0][..], &[0xff; 20]].concat(),
    ] {
        refused(&with(wrong.clone()), &format!("{wrong:?}"));
    }
    for right in [vec![1], vec![0, 0x80], vec![0x7f; 20], [&[0][..], &[0xff; 19]].concat()] {
        let certificate = AgentCertificate::decode(&with(right.clone())).unwrap();
        assert_eq!(certificate.decoded().serial().to_der_content(), right);
    }
}

/// C11: the algorithm inside and outside.
#[test]
fn differing_signature_algorithms_are_refused() {
    let authority = Authority::new();
    let mut der = Der::parse(&authority.agent(&scope()));
    *der.path(&[1, 0]).content() = ECDSA_WITH_SHA256.to_vec();
    refused(&der.encode(), "outer");
    let mut der = Der::parse(&authority.agent(&scope()));
    *der.path(&[0, 2, 0]).content() = ECDSA_WITH_SHA256.to_vec();
    refused(&authority.resign(der, By::Issuing), "inner");
    let mut der = Der::parse(&authority.agent(&scope()));
    for algorithm in [&[0, 2][..], &[1]] {
        der.path(algorithm).children().push(Der::leaf(5, Vec::new()));
    }
    refused(&authority.resign(der, By::Issuing), "NULL parameters in both");
}

/// C12 and C13: keys in another dress, of another curve, of another kind.
#[test]
fn keys_outside_the_profile_are_refused() {
    let authority = Authority::p256();
    let spki = |change: &dyn Fn(&mut Der)| {
        let mut der = Der::parse(&authority.agent(&scope()));
        change(der.path(&[0, 6]));
        authority.resign(der, By::Issuing)
    };
    refused(
        &spki(&|spki| *spki.child(0) = Der::list(0x30, vec![Der::leaf(6, ED25519.to_vec())])),
        "Ed25519 named for a P-256 point",
    );
    refused(&spki(&|spki| *spki.path(&[0, 1]) = Der::leaf(5, Vec::new())), "NULL for a curve");
    refused(&spki(&|spki| *spki.path(&[0, 1]) = Der::list(0x30, vec![Der::integer(1)])), "explicit curve");
    refused(&spki(&|spki| *spki.path(&[0, 1]) = Der::leaf(6, P384.to_vec())), "another curve");
    refused(
        &spki(&|spki| {
            let point = spki.child(1).content()[2..34].to_vec();
            *spki.child(1).content() = [&[0, 2], point.as_slice()].concat();
        }),
        "a compressed point",
    );
    refused(&spki(&|spki| spki.child(1).content()[0] = 1), "unused bits");
    refused(
        &spki(&|spki| {
            *spki.child(0) = Der::list(0x30, vec![Der::leaf(6, RSA.to_vec()), Der::leaf(5, Vec::new())]);
        }),
        "RSA",
    );
    let ed25519 = Authority::new();
    let mut der = Der::parse(&ed25519.agent(&scope()));
    der.path(&[0, 6, 0]).children().push(Der::leaf(5, Vec::new()));
    refused(&ed25519.resign(der, By::Issuing), "NULL parameters of Ed25519");
    let mut der = Der::parse(&ed25519.agent(&scope()));
    for algorithm in [&[0, 2][..], &[1]] {
        *der.path(algorithm) =
            Der::list(0x30, vec![Der::leaf(6, SHA1_RSA.to_vec()), Der::leaf(5, Vec::new())]);
    }
    refused(&ed25519.resign(der, By::Issuing), "SHA-1");
    let p384 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    refused(&ed25519.agent_of_key(&scope().to_der(), &p384, |_| {}), "P-384");
}

/// C14: the other signature of the same content has another fingerprint and the same serial.
#[test]
fn a_revoked_certificate_stays_revoked_under_its_second_signature() {
    let authority = Authority::p256();
    let agent = authority.agent(&scope());
    let mut der = Der::parse(&agent);
    let bits = der.child(2).content();
    let mut signature = Der::parse(&bits[1..]);
    let s = signature.child(1).content().clone();
    *signature.child(1).content() = order_minus(&s);
    *bits = [&[0], signature.encode().as_slice()].concat();
    let other = der.encode();
    assert_ne!(Digest::of(&agent), Digest::of(&other));
    assert!(authority.verify(&other, &authority.lists()).is_ok(), "the second signature verifies");
    let revoked = authority.list(By::Issuing, |list| list.revoked_certs = vec![entry(&SERIAL, None)]);
    let lists = [revoked, authority.list(By::Root, |_| {})];
    for certificate in [agent, other] {
        assert_eq!(authority.verify(&certificate, &lists).unwrap_err(), Why::CertificateRevoked);
    }
}

/// C15: signatures that only a careless verifier accepts.
#[test]
fn malleable_and_degenerate_signatures_are_refused() {
    let key = seeded_key(9);
    let public = PublicKey::from_raw(Algorithm::Ed25519, key.public_key_raw()).unwrap();
    let good: [u8; 64] = key.sign(b"m").unwrap().try_into().unwrap();
    public.verify(b"m", &Signature::from_bytes(good)).unwrap();
    let mut high = good;
    let mut carry = 0_u16;
    for (octet, order) in high[32..].iter_mut().zip(ED25519_ORDER) {
        let sum = u16::from(*octet) + u16::from(order) + carry;
        *octet = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    assert!(public.verify(b"m", &Signature::from_bytes(high)).is_err(), "S + L");

    let p256 = Authority::p256();
    let agent = p256.agent(&scope());
    let with = |signature: Vec<u8>| {
        let mut der = Der::parse(&agent);
        *der.child(2).content() = [&[0], signature.as_slice()].concat();
        denial(&p256, &der.encode())
    };
    let pair = |r: Vec<u8>, s: Vec<u8>| Der::list(0x30, vec![Der::leaf(2, r), Der::leaf(2, s)]).encode();
    assert_eq!(with(pair(vec![0], vec![1])), Why::CertificateUntrusted);
    assert_eq!(with(pair(vec![1], vec![0])), Why::CertificateUntrusted);
    assert_eq!(with(vec![7; 64]), Why::CertificateUntrusted);
}

/// C15: another reader calls it no certificate. Found by libFuzzer; nobody ever took it for signed.
#[test]
fn a_signature_of_broken_octets_is_refused() {
    let authority = Authority::new();
    let mut der = Der::parse(&authority.agent(&scope()));
    let signature = der.child(2).content();
    // Two bits of the last octet are said not to be there.
    signature[0] = 2;
    *signature.last_mut().unwrap() &= 0xfc;
    assert_eq!(AgentCertificate::decode(&der.encode()).unwrap_err(), CertificateError::Field("signature"));
}

/// C15: under a key of small order one signature fits every message.
#[test]
fn small_order_keys_are_refused() {
    let mut identity = [0; 32];
    identity[0] = 1;
    let minus_one = {
        let mut bytes = [0xff; 32];
        (bytes[0], bytes[31]) = (0xec, 0x7f);
        bytes
    };
    for raw in [[0; 32], identity, minus_one] {
        for sign in [0, 0x80] {
            let mut raw = raw;
            raw[31] |= sign;
            assert!(PublicKey::from_raw(Algorithm::Ed25519, &raw).is_err(), "{raw:?}");
        }
    }
}

/// C16: who the certificate is for.
#[test]
fn a_name_that_is_not_one_agent_uri_is_refused() {
    let authority = Authority::new();
    let urn = agent_id().to_urn();
    let names = |names: Vec<SanType>| {
        authority.agent_with(&scope().to_der(), |params| params.subject_alt_names = names)
    };
    let uri = |text: &str| SanType::URI(text.try_into().unwrap());
    let other = urn.replace("0707", "0708");
    for wrong in [
        vec![uri(&urn), uri(&urn)],
        vec![uri(&urn), SanType::DnsName("a.example".try_into().unwrap())],
        vec![SanType::DnsName("a.example".try_into().unwrap())],
        vec![uri(&other)],
        vec![uri(&urn.to_uppercase())],
        vec![uri(&format!("{urn}#x"))],
        vec![uri(&format!("{urn} "))],
        vec![uri(&format!("{urn}\0"))],
        vec![uri(&urn.replace("urn:", "spiffe:"))],
        Vec::new(),
    ] {
        refused(&names(wrong.clone()), &format!("{wrong:?}"));
    }
    let only_common = authority.agent_with(&scope().to_der(), |params| {
        params.subject_alt_names.clear();
        params.distinguished_name = name(&urn);
    });
    refused(&only_common, "the id in the common name");
    let mut der = Der::parse(&names(vec![uri(&urn)]));
    der.edit_extension("2.5.29.17", |value| value.child(0).content()[5] = 0xc3);
    refused(&authority.resign(der, By::Issuing), "a byte beyond ASCII");
}

/// C17: an agent is no authority, and nobody stands between the issuing authority and its agents.
#[test]
fn an_agent_that_is_an_authority_is_refused() {
    let authority = Authority::new();
    let with = |change: &dyn Fn(&mut CertificateParams)| authority.agent_with(&scope().to_der(), change);
    refused(&with(&|p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)), "CA:TRUE");
    refused(&with(&|p| p.key_usages.push(KeyUsagePurpose::KeyCertSign)), "keyCertSign");
    refused(&with(&|p| p.key_usages.push(KeyUsagePurpose::CrlSign)), "cRLSign");
    refused(&with(&|p| p.key_usages.push(KeyUsagePurpose::KeyAgreement)), "keyAgreement");
    refused(&with(&|p| p.key_usages = vec![KeyUsagePurpose::ContentCommitment]), "another usage");

    // An agent's key signs a child.
    let agent_key = seeded_key(3);
    let agent = authority.agent(&scope());
    let mut params = CertificateParams::default();
    params.distinguished_name = name("billing");
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let below = Authority {
        root: authority.root.clone(),
        issuing: agent.clone(),
        issuer: Issuer::new(params, agent_key),
        ..Authority::of([seeded_key(1), seeded_key(2), seeded_key(4)], |_| {}, |_| {})
    };
    let child = below.agent(&scope());
    let found = verify(&child, &[&agent, &authority.issuing], &[&authority.root], &authority.lists(), now());
    assert_eq!(found.unwrap_err(), Why::CertificateUntrusted);

    // A second authority below the issuing one, whose pathLen is 0.
    let upper = Authority::with(|_| {}, |issuing| issuing.distinguished_name = name("Upper"));
    let mut lower = CertificateParams::default();
    lower.distinguished_name = name("Test Issuing");
    lower.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    lower.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    lower.use_authority_key_identifier_extension = true;
    lower.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, usage(oids::EKU_AGENT)];
    lower.not_before = date_time_ymd(2026, 1, 2);
    lower.not_after = date_time_ymd(2030, 1, 1);
    let lower = lower.signed_by(&seeded_key(2), &upper.issuer).unwrap().der().to_vec();
    let agent = authority.agent(&scope());
    let found = verify(&agent, &[&lower, &upper.issuing], &[&upper.root], &authority.lists(), now());
    assert_eq!(found.unwrap_err(), Why::CertificateUntrusted);
}

/// C17: the constraints of an issuing authority and of a root.
#[test]
fn an_authority_outside_its_profile_is_refused() {
    let issuing = |change: &dyn Fn(&mut CertificateParams)| {
        let authority = Authority::with(|_| {}, change);
        denial(&authority, &authority.agent(&scope()))
    };
    for constraints in [BasicConstraints::Unconstrained, BasicConstraints::Constrained(1)] {
        assert_eq!(issuing(&|p| p.is_ca = IsCa::Ca(constraints)), Why::CertificateMalformed);
    }
    assert_eq!(issuing(&|p| p.is_ca = IsCa::ExplicitNoCa), Why::CertificateUntrusted);
    let root = Authority::with(|p| p.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)), |_| {});
    assert_eq!(denial(&root, &root.agent(&scope())), Why::CertificateMalformed);
    // An agent directly below the root has no issuing authority whose list could name it.
    let authority = Authority::new();
    let direct = Authority { issuer: authority.root_issuer, ..Authority::new() };
    let agent = direct.agent(&scope());
    assert_eq!(denial(&direct, &agent), Why::CertificateUntrusted);
}

/// C18: an issuer without keyCertSign, a list signer without cRLSign, the anchor among them.
#[test]
fn an_authority_without_its_key_usages_is_refused() {
    for lacking in [KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign] {
        let without = |params: &mut CertificateParams| params.key_usages.retain(|usage| *usage != lacking);
        for authority in [Authority::with(without, |_| {}), Authority::with(|_| {}, without)] {
            // The lists come from a twin that may sign them: same names, same keys.
            let lists = Authority::new().lists();
            let found = authority.verify(&authority.agent(&scope()), &lists);
            assert_eq!(found.unwrap_err(), Why::CertificateMalformed, "{lacking:?}");
        }
    }
}

/// C19: extended usages other than the two.
#[test]
fn extended_usages_other_than_client_and_agent_are_refused() {
    use ExtendedKeyUsagePurpose as Usage;
    let authority = Authority::new();
    for wrong in [
        vec![],
        vec![Usage::Any],
        vec![Usage::ServerAuth],
        vec![Usage::ClientAuth],
        vec![usage(oids::EKU_AGENT)],
        vec![usage(oids::EKU_SESSION)],
        vec![Usage::ClientAuth, usage(oids::EKU_SESSION)],
        vec![Usage::ClientAuth, usage(oids::EKU_AGENT), Usage::ServerAuth],
        vec![Usage::ClientAuth, usage(oids::EKU_AGENT), Usage::Any],
        vec![Usage::ClientAuth, usage(oids::EKU_AGENT), usage(oids::EKU_AGENT)],
    ] {
        let agent = authority.agent_with(&scope().to_der(), |p| p.extended_key_usages = wrong.clone());
        refused(&agent, &format!("{wrong:?}"));
        let issuing = Authority::with(|_| {}, |p| p.extended_key_usages = wrong.clone());
        denial(&issuing, &issuing.agent(&scope()));
    }
}

/// C20: validity that does not nest, or is over.
#[test]
fn validity_must_nest_and_last() {
    let authority = Authority::new();
    let agent = |from: (i32, u8, u8), to: (i32, u8, u8)| {
        authority.agent_with(&scope().to_der(), |params| {
            params.not_before = date_time_ymd(from.0, from.1, from.2);
            params.not_after = date_time_ymd(to.0, to.1, to.2);
        })
    };
    assert_eq!(denial(&authority, &agent((2026, 11, 1), (2031, 1, 2))), Why::CertificateUntrusted);
    assert_eq!(denial(&authority, &agent((2025, 12, 31), (2026, 11, 30))), Why::CertificateUntrusted);
    refused(&agent((2026, 11, 30), (2026, 11, 1)), "notBefore after notAfter");
    assert_eq!(denial(&authority, &agent((2026, 11, 1), (2026, 11, 22))), Why::CertificateExpired);
    assert_eq!(denial(&authority, &agent((2026, 11, 24), (2026, 11, 30))), Why::CertificateNotYetValid);

    let expired_root = Authority::with(|params| params.not_after = date_time_ymd(2026, 11, 22), |_| {});
    denial(&expired_root, &expired_root.agent(&scope()));
    let wide_issuing = Authority::with(|_| {}, |params| params.not_after = date_time_ymd(2047, 1, 1));
    assert_eq!(denial(&wide_issuing, &wide_issuing.agent(&scope())), Why::CertificateUntrusted);
}

/// C20: a certificate that never ends is an anchor or nothing (RFC 5280 section 4.1.2.5).
#[test]
fn only_an_anchor_may_have_no_end() {
    let never = |params: &mut CertificateParams| {
        params.not_after = date_time_ymd(9999, 12, 31) + Duration::from_secs(86_399);
    };
    let root = Authority::with(never, |_| {});
    assert!(root.verify(&root.agent(&scope()), &root.lists()).is_ok());
    let issuing = Authority::with(never, never);
    assert_eq!(denial(&issuing, &issuing.agent(&scope())), Why::CertificateMalformed);
    refused(&issuing.agent_with(&scope().to_der(), never), "an agent without an end");
}

/// C20 and C22: times that are not the one DER form, or no times at all.
#[test]
fn times_in_another_form_are_refused() {
    let authority = Authority::new();
    let right = authority.agent(&scope());
    for (tag, text) in [
        (0x17, "20261127000000Z"),
        (0x18, "20261127000000Z"),
        (0x17, "261127000000"),
        (0x17, "2611270000Z"),
        (0x17, "261127000000+0000"),
        (0x17, "261127010000+0100"),
        (0x18, "20501127000000.5Z"),
        (0x17, "261127000060Z"),
        (0x17, "261127240000Z"),
        (0x17, "270230000000Z"),
        (0x17, "261327000000Z"),
        (0x17, "501127000000Z"),
    ] {
        let mut der = Der::parse(&right);
        *der.path(&[0, 4, 1]) = Der::text(tag, text);
        let broken = authority.resign(der, By::Issuing);
        assert!(authority.verify(&broken, &authority.lists()).is_err(), "{text}");
    }
}

/// C21: the last second is valid, the next is not; 120 seconds of an early clock are forgiven.
#[test]
fn the_last_second_is_valid_and_the_next_is_not() {
    let authority = Authority::new();
    let agent = authority.agent_with(&scope().to_der(), |params| {
        params.not_before = date_time_ymd(2026, 11, 23);
        params.not_after = date_time_ymd(2026, 11, 24);
    });
    let verdict = |time: &str| authority.verify_at(&agent, &authority.lists(), at(time)).map(|_| ());
    assert_eq!(verdict("2026-11-24T00:00:00Z"), Ok(()));
    assert_eq!(verdict("2026-11-24T00:00:01Z"), Err(Why::CertificateExpired));
    assert_eq!(verdict("2026-11-22T23:58:00Z"), Ok(()));
    assert_eq!(verdict("2026-11-22T23:57:59Z"), Err(Why::CertificateNotYetValid));
    // Verified in time, asked too late: the verified agent knows its end by itself.
    let verified = authority.verify_at(&agent, &authority.lists(), at("2026-11-23T12:00:00Z")).unwrap();
    assert_eq!(verified.denial(at("2026-11-24T00:00:00Z")), None);
    assert_eq!(verified.denial(at("2026-11-24T00:00:01Z")), Some(Why::CertificateExpired));
    assert_eq!(verified.denial(at("2026-11-22T23:57:59Z")), Some(Why::CertificateNotYetValid));
}

/// C23: anchors and intermediates that share names; the work stays bounded.
#[test]
fn names_shared_by_several_keys_lead_to_the_right_one_or_nowhere() {
    let right = Authority::new();
    let wrong = Authority::of([seeded_key(11), seeded_key(12), seeded_key(3)], |_| {}, |_| {});
    let agent = right.agent(&scope());
    for roots in [[&right.root, &wrong.root], [&wrong.root, &right.root]] {
        let roots = roots.map(Vec::as_slice);
        let pool = [wrong.issuing.as_slice(), &right.issuing];
        assert!(verify(&agent, &pool, &roots, &right.lists(), now()).is_ok());
    }
    let only_wrong = verify(&agent, &[&right.issuing], &[&wrong.root], &right.lists(), now());
    assert_eq!(only_wrong.unwrap_err(), Why::CertificateUntrusted);

    let twins: Vec<Vec<u8>> = (20..30)
        .map(|seed| Authority::of([seeded_key(1), seeded_key(seed), seeded_key(3)], |_| {}, |_| {}).issuing)
        .collect();
    let pool: Vec<&[u8]> = twins.iter().map(Vec::as_slice).collect();
    let start = Instant::now();
    let none = verify(&agent, &pool, &[&right.root], &right.lists(), now());
    assert_eq!(none.unwrap_err(), Why::CertificateUntrusted);
    assert!(start.elapsed() < Duration::from_secs(2), "bounded time");

    // Two authorities that certify each other, and no anchor beyond them.
    let mut left = CertificateParams::default();
    left.distinguished_name = name("Test Issuing");
    left.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let mut mirror = left.clone();
    mirror.distinguished_name = name("Mirror");
    let mirror_issuer = Issuer::new(mirror.clone(), seeded_key(30));
    let left_der = left.signed_by(&seeded_key(2), &mirror_issuer).unwrap().der().to_vec();
    let mirror_der = mirror.signed_by(&seeded_key(30), &right.issuer).unwrap().der().to_vec();
    let looped = verify(&agent, &[&left_der, &mirror_der], &[&right.root], &right.lists(), now());
    assert_eq!(looped.unwrap_err(), Why::CertificateUntrusted);
}

/// C23: a root that was renewed under its key, the old certificate beside the new one.
#[test]
fn a_renewed_root_verifies_beside_its_expired_certificate() {
    let new = Authority::new();
    let old = Authority::with(|root| root.not_after = date_time_ymd(2026, 11, 1), |_| {});
    let agent = new.agent(&scope());
    for roots in [[&old.root, &new.root], [&new.root, &old.root]] {
        let roots = roots.map(Vec::as_slice);
        assert!(verify(&agent, &[&new.issuing], &roots, &new.lists(), now()).is_ok());
    }
    assert!(verify(&agent, &[&new.issuing], &[&old.root], &new.lists(), now()).is_err());
}

/// C27: several distribution points change nothing: the list that is there is consulted (RUSTSEC-2026-0049).
#[test]
fn distribution_points_do_not_hide_a_revocation() {
    let authority = Authority::new();
    let agent = authority.agent_with(&scope().to_der(), |params| {
        params.crl_distribution_points = ["http://a.example/1.crl", "http://a.example/2.crl"]
            .map(|uri| CrlDistributionPoint { uris: vec![uri.to_owned()] })
            .to_vec();
    });
    let [good, root] = authority.lists();
    assert!(authority.verify(&agent, &[good, root.clone()]).is_ok());
    let revoked = authority.list(By::Issuing, |list| list.revoked_certs = vec![entry(&SERIAL, None)]);
    assert_eq!(authority.verify(&agent, &[revoked, root]).unwrap_err(), Why::CertificateRevoked);
}

/// C52: another tenant's authority under the same root names the same agent.
#[test]
fn a_pinned_issuing_authority_excludes_its_neighbours() {
    let ours = Authority::new();
    let theirs = Authority::neighbour();
    let pin = ours.issuing_key();
    let anchors = || TrustAnchors::new([ours.root.as_slice()]).unwrap();
    let agent = AgentCertificate::decode(&theirs.agent(&scope())).unwrap();
    let path = |anchors| agent.clone().verify_path([theirs.issuing.as_slice()], &anchors, now());
    assert!(path(anchors()).is_ok());
    let error = path(anchors().pin_issuer(pin)).unwrap_err();
    assert!(matches!(error, PathError::OtherIssuer));
    assert_eq!(error.reason(), Why::CertificateUntrusted);
}

/// C53: nothing trusted is nothing verified.
#[test]
fn no_anchor_is_an_error_and_never_an_open_door() {
    let none: [&[u8]; 0] = [];
    let error = TrustAnchors::new(none).unwrap_err();
    assert!(matches!(error, PathError::NoAnchor));
    assert_eq!(error.reason(), Why::CertificateUntrusted);
    assert!(TrustAnchors::new([[0_u8; 3].as_slice()]).is_err());
}

/// Key identifiers link the path: a list is chosen by them.
#[test]
fn key_identifiers_that_do_not_link_are_refused() {
    let authority = Authority::new();
    let mut der = Der::parse(&authority.agent(&scope()));
    der.edit_extension("2.5.29.35", |value| value.child(0).content()[0] ^= 1);
    assert_eq!(denial(&authority, &authority.resign(der, By::Issuing)), Why::CertificateUntrusted);
    let mut der = Der::parse(&authority.agent(&scope()));
    der.edit_extension("2.5.29.35", |value| value.children().clear());
    refused(&authority.resign(der, By::Issuing), "an AKI that names no key");
}

/// A revoked authority takes its agents with it; a held one holds them.
#[test]
fn the_standing_of_the_issuing_authority_is_its_agents_too() {
    let authority = Authority::new();
    let agent = authority.agent(&scope());
    for (reason, why) in [
        (None, Why::CertificateRevoked),
        (Some(RevocationReason::CaCompromise), Why::CertificateRevoked),
        (Some(RevocationReason::CertificateHold), Why::CertificateHeld),
    ] {
        let root = authority.list(By::Root, |l| l.revoked_certs = vec![entry(&ISSUING_SERIAL, reason)]);
        let lists = [authority.list(By::Issuing, |_| {}), root];
        assert_eq!(authority.verify(&agent, &lists).unwrap_err(), why);
    }
}

fn scope() -> Scope {
    Scope::build(ScopeParts::new(agent_id(), patterns(&["payments:send"]))).unwrap()
}

fn patterns(texts: &[&str]) -> Vec<Pattern> {
    texts.iter().map(|text| Pattern::parse(text).unwrap()).collect()
}

/// Why `agent`, with good lists, is denied.
#[track_caller]
fn denial(authority: &Authority, agent: &[u8]) -> Why {
    authority.verify(agent, &Authority::new().lists()).unwrap_err()
}

#[track_caller]
fn refused(agent: &[u8], what: &str) {
    assert!(AgentCertificate::decode(agent).is_err(), "{what}");
}

/// n - s for the order n of P-256, as the content octets of an INTEGER.
fn order_minus(s: &[u8]) -> Vec<u8> {
    let mut padded = vec![0; 33 - s.len()];
    padded.extend(s);
    let mut out = [0; 33];
    let mut borrow = 0_i16;
    for place in (0..33).rev() {
        let order = if place == 0 { 0 } else { P256_ORDER[place - 1] };
        let mut digit = i16::from(order) - i16::from(padded[place]) - borrow;
        borrow = i16::from(digit < 0);
        if digit < 0 {
            digit += 256;
        }
        out[place] = u8::try_from(digit).unwrap();
    }
    let start = (0..33).find(|at| out[*at] != 0).unwrap();
    if out[start] & 0x80 != 0 { out[start - 1..].to_vec() } else { out[start..].to_vec() }
}

const SCOPE_OID: &str = "1.3.6.1.4.1.32473.1.1";
const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
const P384: &[u8] = &[0x2b, 0x81, 4, 0, 0x22];
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
const SHA1_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5];
/// SEC 2 section 2.4.2.
const P256_ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
    0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];
/// RFC 8032 section 5.1, little-endian.
const ED25519_ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];
