//! A chain of two certificates, decoded and proven, beside the two signature checks it cannot do without.

use kakunin_core::certificate::{AgentCertificate, TrustAnchors};
use kakunin_core::key::{Signer, SoftKey};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};

use crate::agent::BenchAgent;
use crate::harness::{Subject, interleave};
use crate::{Outcome, table};

pub(crate) fn rows(agent: &BenchAgent) -> Outcome<()> {
    let papers = &agent.papers;
    let anchors = TrustAnchors::new(papers.roots.iter().map(Vec::as_slice))?;
    let prove = || {
        let certificate = AgentCertificate::decode(&papers.agent).ok()?;
        certificate.verify_path(papers.chain.iter().map(Vec::as_slice), &anchors, agent.now).ok()
    };
    if prove().is_none() {
        return Err("the chain does not verify".into());
    }
    // A key and a message of the same kinds; the lengths are those of the certificates.
    let signer = Signer::soft(SoftKey::from_pkcs8(&agent.pkcs8()?)?);
    let public = signer.public().raw().to_vec();
    let message = papers.agent.clone();
    let signature = signer.sign(&message)?;
    let asn1 = signature.to_x509(signer.algorithm());
    let by_asn1 = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, public);
    if by_asn1.verify(&message, &asn1).is_err() {
        return Err("ring does not verify our signature".into());
    }
    let rounds = interleave(
        201,
        &mut [
            Subject::new(10, || {
                by_asn1.verify(&message, &asn1).and_then(|()| by_asn1.verify(&message, &asn1)).is_ok()
            }),
            Subject::new(10, || prove().is_some()),
        ],
        || {},
    );
    let floor = ("two bare ring verifies", rounds.nanos(0));
    let what = "a chain of two certificates, decoded and proven";
    table::ratio(what, rounds.nanos(1), floor, rounds.ratio(1, 0), Some(1.2));
    Ok(())
}
