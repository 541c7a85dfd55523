use std::path::PathBuf;

use clap::Args;
use der::Decode;
use kakunin_core::certificate::{AgentCertificate, CaCertificate, CaRole, Decoded};
use kakunin_core::id::{AgentId, SerialNumber};
use kakunin_core::scope::DraftScope;
use rustls_pki_types::pem::{PemObject, SectionKind};
use serde_json::{Value, json};
use x509_cert::crl::CertificateList;
use x509_cert::ext::pkix::{CrlNumber, CrlReason};

use crate::answer::{Answer, Failure};
use crate::context::{Common, read, read_scope};

/// Print a certificate, a scope file or a list in plain words
///
/// Takes PEM or DER, an agent's directory, or a scope in TOML or JSON. Nothing is verified: this says what is
/// written, `verify-certificate` says whether to believe it.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kakunin inspect scope.toml
  kakunin inspect agents/billing
  kakunin inspect .kakunin/public/lists.pem --json")]
pub(crate) struct Inspect {
    /// A file, or an agent's directory
    file: PathBuf,
}

impl Inspect {
    pub(crate) fn run(&self, _: &Common) -> Result<Answer, Failure> {
        let path = if self.file.is_dir() { self.file.join("agent.pem") } else { self.file.clone() };
        let bytes = read(&path)?;
        if let Some(other) = other(&bytes) {
            return Err(Failure::cannot(format!("{} is {other}", path.display())));
        }
        let (mut records, mut lines) = (Vec::new(), Vec::new());
        for (kind, der) in documents(&bytes) {
            let (record, words) = match kind {
                Kind::Certificate => certificate(&der),
                Kind::List => list(&der),
            }
            .map_err(|error| Failure::no(format!("{}: {error}", path.display())))?;
            if !lines.is_empty() {
                lines.push(String::new());
            }
            records.push(record);
            lines.extend(words);
        }
        if records.is_empty() {
            let draft = read_scope(&path)?;
            let words = scope_words(&draft)?;
            records.push(json!({ "kind": "scope", "scope": words }));
            lines = words;
        }
        Ok(Answer::all(records).lines(lines))
    }
}

/// What a file is that is printed elsewhere, or nowhere.
fn other(bytes: &[u8]) -> Option<&'static str> {
    // It has certificates in it as they are, but is not one of them.
    if bytes.starts_with(b"PK\x03\x04") {
        return Some("a bundle; `kakunin verify` reads it, with the roots that you name by --root");
    }
    if bytes.starts_with(b"kakunin-genesis-") {
        return Some(
            "the mark that its directory began with nothing spent; an agent reads it when it is opened",
        );
    }
    let mut blocks = <(SectionKind, Vec<u8>)>::pem_slice_iter(bytes).filter_map(Result::ok);
    let encrypted = bytes.starts_with(b"-----BEGIN ENCRYPTED PRIVATE KEY-----");
    let key = |kind| {
        matches!(kind, SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey)
    };
    if encrypted || blocks.any(|(kind, _)| key(kind)) {
        return Some("a private key, of which nothing is shown");
    }
    if std::str::from_utf8(bytes).is_err() && documents(bytes).is_empty() {
        return Some("no certificate, no list and no scope file");
    }
    None
}

#[derive(Clone, Copy)]
enum Kind {
    Certificate,
    List,
}

/// The certificates and lists in a file; none in a scope file.
fn documents(bytes: &[u8]) -> Vec<(Kind, Vec<u8>)> {
    // A DER SEQUENCE: no text starts with this byte and a length.
    if bytes.first() == Some(&0x30) && bytes.get(1).is_some_and(|length| *length >= 0x80) {
        let kind = if <CertificateList>::from_der(bytes).is_ok() { Kind::List } else { Kind::Certificate };
        return vec![(kind, bytes.to_vec())];
    }
    let blocks = <(SectionKind, Vec<u8>)>::pem_slice_iter(bytes).filter_map(Result::ok);
    let known = blocks.filter_map(|(kind, der)| match kind {
        SectionKind::Certificate => Some((Kind::Certificate, der)),
        SectionKind::Crl => Some((Kind::List, der)),
        _ => None,
    });
    known.collect()
}

/// A scope without its agent, in words.
fn scope_words(draft: &DraftScope) -> Result<Vec<String>, Failure> {
    Ok(draft.for_agent(AgentId::from_bytes([0; 16])).map_err(Failure::no)?.to_words())
}

fn certificate(der: &[u8]) -> Result<(Value, Vec<String>), String> {
    let (decoded, role, agent) = match AgentCertificate::decode(der) {
        Ok(agent) => (agent.decoded().clone(), "agent", Some(agent)),
        Err(error) => {
            let authority = |role| CaCertificate::decode(der, role).map(|ca| ca.decoded().clone());
            let issuing = authority(CaRole::Issuing).map(|decoded| (decoded, "issuing authority", None));
            let root = |_| authority(CaRole::Root).map(|decoded| (decoded, "root", None));
            issuing.or_else(root).map_err(|_| error.to_string())?
        }
    };
    let mut lines = identity(&decoded, role);
    let mut record = json!({
        "kind": "certificate",
        "role": role,
        "subject": decoded.subject_text(),
        "serial": decoded.serial().to_string(),
        "thumbprint": decoded.thumbprint().to_hex(),
        "key_id": decoded.key().key_id().to_hex(),
        "not_before": decoded.validity().not_before.to_string(),
        "not_after": decoded.validity().not_after.to_string(),
        "bytes": der.len(),
    });
    if let (Some(agent), Some(fields)) = (agent, record.as_object_mut()) {
        let words = agent.scope().to_words();
        fields.insert("agent".into(), json!(agent.agent().to_string()));
        fields.insert("scope".into(), json!(words));
        lines.insert(1, format!("id          {}", agent.agent()));
        lines.extend(words.into_iter().map(|words| format!("scope       {words}")));
    }
    Ok((record, lines))
}

fn identity(decoded: &Decoded, role: &str) -> Vec<String> {
    let validity = decoded.validity();
    vec![
        format!("certificate {role}, {}", decoded.subject_text()),
        format!("serial      {}", decoded.serial()),
        format!("valid       {} to {}", validity.not_before, validity.not_after),
        format!("key         {:?} {}", decoded.key().algorithm(), decoded.key().key_id()),
        format!("sha256      {}", decoded.thumbprint()),
    ]
}

fn list(der: &[u8]) -> Result<(Value, Vec<String>), String> {
    let parsed = <CertificateList>::from_der(der).map_err(|error| format!("malformed list: {error}"))?;
    let tbs = &parsed.tbs_cert_list;
    let extensions = tbs.crl_extensions.as_deref().unwrap_or_default();
    let number = extensions.iter().find(|extension| extension.extn_id.to_string() == CRL_NUMBER);
    let number = number.and_then(|extension| CrlNumber::from_der(extension.extn_value.as_bytes()).ok());
    let number = number.and_then(|number| SerialNumber::from_der_content(number.0.as_bytes()));
    let number =
        number.and_then(|number| number.to_u128()).map_or("none".to_owned(), |number| number.to_string());
    let delta = extensions.iter().find(|extension| extension.extn_id.to_string() == DELTA_INDICATOR);
    let base = delta.and_then(|extension| CrlNumber::from_der(extension.extn_value.as_bytes()).ok());
    let base = base.and_then(|base| SerialNumber::from_der_content(base.0.as_bytes())?.to_u128());
    let next = tbs.next_update.map_or("never".to_owned(), |time| time.to_string());
    let mut lines = vec![
        format!("list        number {number} of {}", tbs.issuer),
        format!("valid       {} to {next}", tbs.this_update),
    ];
    if delta.is_some() {
        let base = base.map_or("unknown".to_owned(), |base| base.to_string());
        lines.push(format!("delta       what changed since list {base}; whom it does not name is as there"));
    }
    let mut entries = Vec::new();
    for entry in tbs.revoked_certificates.iter().flatten() {
        let serial = SerialNumber::from_der_content(entry.serial_number.as_bytes());
        let serial = serial.map_or("malformed".to_owned(), |serial| serial.to_string());
        let reasons = entry.crl_entry_extensions.iter().flatten();
        let reason =
            reasons.filter_map(|extension| CrlReason::from_der(extension.extn_value.as_bytes()).ok()).next();
        let standing = match reason {
            Some(CrlReason::CertificateHold) => "held",
            Some(CrlReason::RemoveFromCRL) => "good again",
            _ => "revoked",
        };
        lines.push(format!("{standing:<11} {serial} since {}", entry.revocation_date));
        entries.push(json!({
            "serial": serial, "standing": standing, "since": entry.revocation_date.to_string(),
        }));
    }
    if entries.is_empty() {
        lines.push("entries     none".to_owned());
    }
    let mut record = json!({
        "kind": if delta.is_some() { "delta list" } else { "list" },
        "issuer": tbs.issuer.to_string(),
        "number": number,
        "this_update": tbs.this_update.to_string(),
        "next_update": next,
        "entries": entries,
    });
    if let (Some(_), Some(record)) = (delta, record.as_object_mut()) {
        record.insert("base".into(), base.map_or(Value::Null, |base| json!(base.to_string())));
    }
    Ok((record, lines))
}

const CRL_NUMBER: &str = "2.5.29.20";
const DELTA_INDICATOR: &str = "2.5.29.27";
