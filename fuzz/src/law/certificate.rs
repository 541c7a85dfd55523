//! Certificates: what we read in them is what webpki and x509-cert read in them.

use der::{Decode, Encode};
use kakunin_core::certificate::{AgentCertificate, CaCertificate, CaRole, Decoded, FeedCertificate, oids};
use kakunin_core::scope::Scope;
use rustls_pki_types::CertificateDer;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use crate::authority::{By, Der, now};
use crate::world::world;

/// Whatever passes a profile is one certificate, and the same one for every reader.
pub(super) fn holds(input: &[u8]) {
    let agent = AgentCertificate::decode(input);
    let authorities = [CaRole::Root, CaRole::Issuing].map(|role| CaCertificate::decode(input, role));
    let _ = FeedCertificate::verify(input, &world().issuing);
    let Ok(decoded) = Decoded::from_der(input) else {
        assert!(agent.is_err() && authorities.iter().all(Result::is_err));
        return;
    };
    assert_eq!(decoded.der(), input);
    let other = x509_cert::Certificate::from_der(input).unwrap();
    assert_eq!(other.to_der().unwrap(), input, "a second spelling");
    let tbs = other.tbs_certificate();
    assert_eq!(decoded.issuer(), tbs.issuer().to_der().unwrap());
    assert_eq!(decoded.subject(), tbs.subject().to_der().unwrap());
    assert_eq!(decoded.serial().to_der_content(), tbs.serial_number().as_bytes());
    assert_eq!(decoded.key().spki(), tbs.subject_public_key_info().to_der().unwrap());
    assert!(authorities.iter().all(Result::is_err) || agent.is_err(), "an agent that is an authority");

    let Ok(agent) = agent else { return };
    let scopes: Vec<&[u8]> = tbs
        .extensions()
        .unwrap()
        .iter()
        .filter(|extension| extension.extn_id == oids::AGENT_SCOPE)
        .map(|extension| extension.extn_value.as_bytes())
        .collect();
    let [scope] = scopes.as_slice() else { panic!("an agent of {} scopes", scopes.len()) };
    assert_eq!(Scope::from_der(scope).as_ref(), Ok(agent.scope()));
    assert_eq!(agent.scope().parts().agent, agent.agent());
    let der = CertificateDer::from(input);
    let webpki = EndEntityCert::try_from(&der).unwrap();
    assert_eq!(webpki.valid_uri_names().collect::<Vec<_>>(), [agent.agent().to_urn()]);
    assert_eq!(webpki.subject_public_key_info().as_ref(), agent.decoded().key().spki());
}

/// The input is what an issuing authority would have signed: whatever we find a path for, webpki does too, and it is valid now.
pub(super) fn path(input: &[u8]) {
    let world = world();
    let oid = Der::list(0x30, vec![Der::leaf(6, vec![0x2b, 0x65, 0x70])]);
    let unsigned = Der::list(0x30, vec![Der::raw(input.to_vec()), oid, Der::leaf(3, vec![0])]);
    let der = world.authority.resign(unsigned, By::Issuing);
    holds(&der);
    let Ok(agent) = AgentCertificate::decode(&der) else { return };
    let Ok(path) = agent.verify_path([world.authority.issuing.as_slice()], &world.anchors, now()) else {
        return;
    };
    assert_eq!(path.agent().decoded().issuer(), world.issuing.decoded().subject());
    assert!(world.issuing.decoded().validity().contains(&path.agent().decoded().validity()));
    assert!(path.not_after() >= now());
    let (leaf, issuing) =
        (CertificateDer::from(der.as_slice()), CertificateDer::from(world.authority.issuing.as_slice()));
    let root = CertificateDer::from(world.authority.root.as_slice());
    let begin = path.agent().decoded().validity().not_before.max(now()).seconds();
    let time = std::time::Duration::from_secs(u64::try_from(begin).unwrap());
    EndEntityCert::try_from(&leaf)
        .unwrap()
        .verify_for_usage(
            &[webpki::ring::ECDSA_P256_SHA256, webpki::ring::ED25519],
            &[anchor_from_trusted_cert(&root).unwrap()],
            &[issuing],
            rustls_pki_types::UnixTime::since_unix_epoch(time),
            KeyUsage::client_auth(),
            None,
            None,
        )
        .unwrap();
}
