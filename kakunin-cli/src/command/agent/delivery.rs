//! Papers that a service answered: read, held against what is known here, and written into a directory.

use base64ct::{Base64, Encoding as _};
use kakunin_authority::AgentName;
use kakunin_authority::directory::Delivery;
use kakunin_core::certificate::{AgentCertificate, CaCertificate, CaRole, TrustAnchors};
use kakunin_core::digest::Digest;
use kakunin_core::genesis::Genesis;
use kakunin_core::key::PublicKey;
use kakunin_core::log::VerifierKey;
use kakunin_core::time::UnixTime;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::Value;

use crate::answer::Failure;

/// Reads the papers in an answer, and checks that they are for `key` and under the root with the SHA-256 `root`.
pub(super) fn read(
    answer: &Value,
    key: Option<&PublicKey>,
    root: Option<Digest>,
    now: UnixTime,
) -> Result<Delivery, Failure> {
    let data = answer.get("data").unwrap_or(&Value::Null);
    let lacks = |name: &str| {
        Failure::cannot(format!("the service's answer has no good `{name}`; nothing was written"))
    };
    let text = |name: &str| data.get(name).and_then(Value::as_str).ok_or_else(|| lacks(name));
    let der = |name: &str| {
        let der = CertificateDer::from_pem_slice(text(name)?.as_bytes());
        der.map_err(|_| lacks(name))
    };
    let certificate =
        AgentCertificate::decode(&der("certificate_pem")?).map_err(|_| lacks("certificate_pem"))?;
    let authority = |name: &str, role| CaCertificate::decode(&der(name)?, role).map_err(|_| lacks(name));
    let issuing = authority("chain_pem", CaRole::Issuing)?;
    let anchor = authority("ca_pem", CaRole::Root)?;
    let wrong = |what: &str| Failure::cannot(format!("{what}; nothing was written"));
    if root.is_some_and(|root| root != anchor.decoded().thumbprint()) {
        return Err(wrong("the service has another root than was expected: it is another authority"));
    }
    if key.is_some_and(|key| key != certificate.decoded().key()) {
        return Err(wrong("the service certified another key than was asked for"));
    }
    let anchors = TrustAnchors::new([anchor.decoded().der()]).map_err(Failure::cannot)?;
    let path = certificate.clone().verify_path([issuing.decoded().der()], &anchors, now);
    path.map_err(|error| wrong(&error.to_string()))?;
    let mut names = Vec::new();
    for (file, text) in data.get("names").and_then(Value::as_object).into_iter().flatten() {
        let root = file.strip_suffix(".txt").and_then(Digest::from_hex).ok_or_else(|| lacks("names"))?;
        let octets =
            text.as_str().and_then(|text| Base64::decode_vec(text).ok()).ok_or_else(|| lacks("names"))?;
        names.push((root, String::from_utf8(octets).map_err(|_| lacks("names"))?));
    }
    let genesis = data.get("genesis").and_then(Value::as_str);
    let genesis =
        genesis.map(|text| Genesis::verify(text, issuing.decoded().key()).ok_or_else(|| lacks("genesis")));
    let log = data.get("log").and_then(Value::as_str);
    let log = log.map(|text| VerifierKey::parse(text).map_err(|_| lacks("log")));
    Ok(Delivery {
        name: AgentName::parse(text("agent_name")?).map_err(|_| lacks("agent_name"))?,
        lists_pem: text("lists_pem")?.to_owned(),
        genesis: genesis.transpose()?,
        log: log.transpose()?,
        certificate,
        issuing,
        root: anchor,
        names,
    })
}
