//! Receipts: tokens, what they say, and the values behind their commitments.

use std::collections::HashMap;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use kakunin_authority::access::TenantId;
use kakunin_authority::ingest::{KnownCertificate, Proved, Upload, UploadError, records};
use kakunin_authority::standing::{Reason, Standing};
use kakunin_authority::store::{CertificateRecord, IssuerId};
use kakunin_core::digest::Digest;
use kakunin_core::receipt::{Disclosure, ReceiptHash, Statement, UnverifiedReceipt};
use serde_json::Value;

use crate::authority::{agent_id, now};
use crate::world::world;

/// A token is read whole and as it was written; whoever verifies believes only what the agent signed.
pub(super) fn token(input: &[u8]) {
    if let Ok(receipt) = UnverifiedReceipt::from_signing_input(input) {
        assert_eq!(receipt.signing_input(), input);
        assert_eq!(receipt.hash().digest(), &Digest::of(input));
    }
    let Ok(text) = std::str::from_utf8(input) else { return };
    let whole = UnverifiedReceipt::from_jws(text);
    if let Ok((receipt, signature)) = whole {
        let (signing_input, last) = text.rsplit_once('.').unwrap();
        assert_eq!(receipt.signing_input(), signing_input.as_bytes());
        assert_eq!(Base64UrlUnpadded::encode_string(signature.as_bytes()), last, "a second spelling");
        let (hash, agent) = (receipt.hash(), world().path.agent().decoded());
        if let Ok(believed) = receipt.verify(&agent.thumbprint(), agent.key(), &signature) {
            assert_eq!(believed.to_jws(), text);
            assert!(world().receipts.contains(&hash), "a receipt that nobody signed");
        }
    }
    if let Ok((receipt, signature)) = UnverifiedReceipt::from_log_entry(text) {
        match signature {
            Some(_) => assert!(UnverifiedReceipt::from_jws(text).is_ok()),
            None => assert_eq!(receipt.to_sealed_entry(), text),
        }
    }
}

/// Of an upload everything is kept as it was sent, in its order and signed by the agent, or nothing is, and a line says why.
pub(super) fn upload(input: &[u8]) {
    let lines = input.split(|octet| *octet == b'\n').count();
    match kept(input) {
        Ok(texts) => {
            assert_eq!(texts.join("\n").as_bytes(), input.strip_suffix(b"\n").unwrap_or(input));
            for text in &texts {
                let (receipt, _) = UnverifiedReceipt::from_log_entry(text).unwrap();
                assert!(world().receipts.contains(&receipt.hash()), "a receipt that nobody signed");
            }
        }
        Err(error) => {
            assert!((1..=lines).contains(&error.line), "{error:?} of {lines} lines");
            assert!(error.code.starts_with("receipt.") && !error.text.contains('\n'), "{error:?}");
        }
    }
}

/// The lines that are kept of an upload that is proved in three parts.
fn kept(input: &[u8]) -> Result<Vec<String>, UploadError> {
    let upload = Upload::read(input)?;
    let (many, known) = (upload.len(), known());
    assert!(!upload.is_empty() && upload.signers().len() <= many);
    let parts: Vec<Proved> =
        upload.into_parts(3).into_iter().map(|part| part.prove(&known)).collect::<Result<_, _>>()?;
    let kept = records(parts, now())?;
    assert_eq!(kept.len(), many);
    for record in &kept {
        let hash: ReceiptHash = UnverifiedReceipt::from_log_entry(&record.line).unwrap().0.hash();
        assert_eq!((record.agent, &record.hash), (agent_id(), hash.digest()));
    }
    Ok(kept.into_iter().map(|record| record.line).collect())
}

/// The world's agent, as a store knows it.
fn known() -> HashMap<Digest, KnownCertificate> {
    let certificate = world().path.agent();
    let record = CertificateRecord {
        serial: certificate.decoded().serial(),
        issuer: IssuerId::ROOT.next(),
        tenant: TenantId::default(),
        agent: agent_id(),
        key: certificate.decoded().key().key_id(),
        validity: certificate.decoded().validity(),
        standing: Standing::Good,
        since: now(),
        reason: Reason::Unspecified,
        der: Some(world().agent.clone()),
    };
    HashMap::from([KnownCertificate::of(&record).unwrap()])
}

/// A payload is JSON in the one spelling that another writer of canonical JSON gives it: members ascend, no space, no
/// escape, no number that others would round.
pub(super) fn payload(input: &[u8]) {
    if Statement::parse(input).is_err() {
        return;
    }
    let value: Value = serde_json::from_slice(input).unwrap();
    assert_eq!(serde_json::to_vec(&value).unwrap(), input, "a second spelling");
    fn is_exact(value: &Value) -> bool {
        match value {
            Value::Number(number) => number.as_u64().is_some_and(|number| number < 1 << 53),
            Value::Array(items) => items.iter().all(is_exact),
            Value::Object(members) => members.values().all(is_exact),
            Value::Bool(yes) => *yes,
            Value::String(text) => text.bytes().all(|byte| (0x20..0x7f).contains(&byte)),
            Value::Null => false,
        }
    }
    assert!(is_exact(&value), "{value}");
}

/// A disclosure keeps its text, and its digest is of that.
pub(super) fn disclosure(input: &[u8]) {
    let Ok(disclosure) = Disclosure::parse(input) else { return };
    assert_eq!(disclosure.as_str().as_bytes(), input);
    assert_eq!(disclosure.digest(), &Digest::of(input));
    let json = Base64UrlUnpadded::decode_vec(disclosure.as_str()).unwrap();
    let value: Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(value[1], disclosure.name());
    assert_eq!(&value[2], disclosure.value());
}
