//! What each role must carry, as a table.
//!
//! A row names an extension, whether it must be there, whether it must be critical and how its value is read. An
//! extension without a row is ignored if it is not critical and refuses the certificate if it is (RFC 5280 section 4.2).

use der::asn1::ObjectIdentifier;
use der::{Decode, Encode};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName,
    SubjectKeyIdentifier,
};

use super::decode::{CertificateError, Decoded};
use super::oids;
use crate::id::AgentId;
use crate::revocation::ListIssuer;
use crate::scope::Scope;

/// An agent's certificate that obeys the profile: who it claims to be and may do. Believed by nobody yet.
#[derive(Clone, Debug)]
pub struct AgentCertificate {
    decoded: Decoded,
    scope: Scope,
    authority_key_id: Vec<u8>,
}

impl AgentCertificate {
    /// Reads one DER certificate and inspects it against the agent's profile.
    ///
    /// # Errors
    /// [`CertificateError`] naming the field or extension that is missing, malformed or not allowed.
    pub fn decode(der: &[u8]) -> Result<Self, CertificateError> {
        let decoded = Decoded::from_der(der)?;
        refuse_endless(&decoded)?;
        let facts = inspect(&decoded, AGENT)?;
        let (Some(scope), Some(agent), Some(authority_key_id)) =
            (facts.scope, facts.agent, facts.authority_key_id)
        else {
            return Err(refused("agentScope", "is missing"));
        };
        // The name people and lists use and the name the scope was written for are one.
        if scope.agent() != agent {
            return Err(refused("subjectAltName", "names another agent than the scope"));
        }
        Ok(Self { decoded, scope, authority_key_id })
    }

    /// The decoded fields.
    #[must_use]
    pub const fn decoded(&self) -> &Decoded {
        &self.decoded
    }

    /// The signed scope.
    #[must_use]
    pub const fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Who it is for.
    #[must_use]
    pub const fn agent(&self) -> AgentId {
        self.scope.agent()
    }

    pub(crate) fn authority_key_id(&self) -> &[u8] {
        &self.authority_key_id
    }
}

/// Which authority a certificate belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaRole {
    /// The anchor.
    Root,
    /// The authority that certifies agents and signs their list.
    Issuing,
}

/// An authority's certificate that obeys the profile of its role. Believed by nobody yet.
#[derive(Clone, Debug)]
pub struct CaCertificate {
    decoded: Decoded,
    key_id: Vec<u8>,
    authority_key_id: Option<Vec<u8>>,
    may_sign_lists: bool,
}

impl CaCertificate {
    /// Reads one DER certificate and inspects it against the profile of `role`.
    ///
    /// # Errors
    /// [`CertificateError`] naming the field or extension that is missing, malformed or not allowed.
    pub fn decode(der: &[u8], role: CaRole) -> Result<Self, CertificateError> {
        let decoded = Decoded::from_der(der)?;
        if role == CaRole::Issuing {
            refuse_endless(&decoded)?;
        }
        let facts = inspect(
            &decoded,
            match role {
                CaRole::Root => ROOT,
                CaRole::Issuing => ISSUING,
            },
        )?;
        let key_id = facts.key_id.ok_or_else(|| refused("subjectKeyIdentifier", "is missing"))?;
        let (authority_key_id, may_sign_lists) = (facts.authority_key_id, facts.signs_lists);
        Ok(Self { decoded, key_id, authority_key_id, may_sign_lists })
    }

    /// The decoded fields.
    #[must_use]
    pub const fn decoded(&self) -> &Decoded {
        &self.decoded
    }

    /// The parts a revocation list is checked against.
    #[must_use]
    pub fn list_issuer(&self) -> ListIssuer<'_> {
        ListIssuer {
            name: self.decoded.subject(),
            key_id: &self.key_id,
            key: self.decoded.key(),
            may_sign_lists: self.may_sign_lists,
        }
    }

    pub(crate) fn key_id(&self) -> &[u8] {
        &self.key_id
    }

    pub(super) fn authority_key_id(&self) -> Option<&[u8]> {
        self.authority_key_id.as_deref()
    }
}

/// What the rows of a table gather.
#[derive(Default)]
struct Facts {
    agent: Option<AgentId>,
    scope: Option<Scope>,
    key_id: Option<Vec<u8>>,
    authority_key_id: Option<Vec<u8>>,
    signs_lists: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    Required,
    Optional,
    Forbidden,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Criticality {
    Critical,
    NonCritical,
}

/// Reads an extension's value into the facts; the text says what is wrong with it.
type Read = fn(&[u8], &mut Facts) -> Result<(), CertificateError>;

struct Row {
    oid: ObjectIdentifier,
    name: &'static str,
    presence: Presence,
    criticality: Criticality,
    read: Read,
}

const fn row(
    oid: &'static str,
    name: &'static str,
    presence: Presence,
    criticality: Criticality,
    read: Read,
) -> Row {
    Row { oid: ObjectIdentifier::new_unwrap(oid), name, presence, criticality, read }
}

use Criticality::{Critical, NonCritical};
use Presence::{Forbidden, Optional, Required};

/// WIRE: an agent signs, is named once and carries its scope.
const AGENT: &[Row] = &[
    row("2.5.29.15", "keyUsage", Required, Critical, signs_only),
    row("2.5.29.19", "basicConstraints", Required, Critical, no_authority),
    row("2.5.29.37", "extKeyUsage", Required, NonCritical, agent_usage),
    row("2.5.29.17", "subjectAltName", Required, NonCritical, agent_name),
    row("2.5.29.14", "subjectKeyIdentifier", Required, NonCritical, key_id),
    row("2.5.29.35", "authorityKeyIdentifier", Required, NonCritical, authority_key_id),
    row("2.5.29.31", "cRLDistributionPoints", Optional, NonCritical, any_value),
    row("1.3.6.1.4.1.32473.1.1", "agentScope", Required, NonCritical, agent_scope),
    row("1.3.6.1.4.1.32473.1.2", "delegationInfo", Forbidden, Critical, any_value),
    row("1.3.6.1.4.1.32473.1.8", "modelHash", Optional, NonCritical, any_value),
];

/// WIRE: one issuing authority below the root certifies agents and signs their list.
const ISSUING: &[Row] = &[
    row("2.5.29.15", "keyUsage", Required, Critical, authority_signs),
    row("2.5.29.19", "basicConstraints", Required, Critical, last_authority),
    row("2.5.29.37", "extKeyUsage", Required, NonCritical, agent_usage),
    row("2.5.29.14", "subjectKeyIdentifier", Required, NonCritical, key_id),
    row("2.5.29.35", "authorityKeyIdentifier", Required, NonCritical, authority_key_id),
    row("2.5.29.31", "cRLDistributionPoints", Optional, NonCritical, any_value),
    row("1.3.6.1.4.1.32473.1.1", "agentScope", Forbidden, NonCritical, any_value),
];

/// The anchor: pinned by its bytes, and still held to a profile, because path building looks at none of this.
const ROOT: &[Row] = &[
    row("2.5.29.15", "keyUsage", Required, Critical, authority_signs),
    row("2.5.29.19", "basicConstraints", Required, Critical, authority),
    row("2.5.29.14", "subjectKeyIdentifier", Required, NonCritical, key_id),
    row("2.5.29.35", "authorityKeyIdentifier", Optional, NonCritical, authority_key_id),
    row("1.3.6.1.4.1.32473.1.1", "agentScope", Forbidden, NonCritical, any_value),
];

/// The key of a feed: it signs items, and nothing that TLS would take for anything else.
const FEED: &[Row] = &[
    row("2.5.29.15", "keyUsage", Required, Critical, signs_only),
    row("2.5.29.19", "basicConstraints", Required, Critical, no_authority),
    row("2.5.29.37", "extKeyUsage", Required, Critical, feed_usage),
    row("2.5.29.17", "subjectAltName", Forbidden, NonCritical, any_value),
    row("2.5.29.14", "subjectKeyIdentifier", Required, NonCritical, key_id),
    row("2.5.29.35", "authorityKeyIdentifier", Required, NonCritical, authority_key_id),
    row("1.3.6.1.4.1.32473.1.1", "agentScope", Forbidden, NonCritical, any_value),
];

/// Inspects the certificate of a feed key; gives the identifier of the key that is said to have signed it.
pub(super) fn inspect_feed(certificate: &Decoded) -> Result<Vec<u8>, CertificateError> {
    refuse_endless(certificate)?;
    let facts = inspect(certificate, FEED)?;
    facts.authority_key_id.ok_or_else(|| refused("authorityKeyIdentifier", "is missing"))
}

fn inspect(certificate: &Decoded, table: &[Row]) -> Result<Facts, CertificateError> {
    let mut facts = Facts::default();
    for row in table {
        let found = certificate.extensions().iter().find(|extension| extension.oid == row.oid);
        match (found, row.presence) {
            (None, Required) => return Err(refused(row.name, "is missing")),
            (Some(_), Forbidden) => return Err(refused(row.name, "does not belong here")),
            (Some(extension), _) if extension.critical != (row.criticality == Critical) => {
                let problem = if extension.critical { "must not be critical" } else { "must be critical" };
                return Err(refused(row.name, problem));
            }
            (Some(extension), _) => (row.read)(&extension.value, &mut facts)?,
            (None, _) => {}
        }
    }
    let unknown = |oid: &ObjectIdentifier| table.iter().all(|row| row.oid != *oid);
    match certificate.extensions().iter().find(|extension| extension.critical && unknown(&extension.oid)) {
        Some(extension) => Err(refused(&extension.oid.to_string(), "is critical and unknown")),
        None => Ok(facts),
    }
}

/// 99991231235959Z says "no end" (RFC 5280 section 4.1.2.5): only an anchor, which is pinned, may have none.
fn refuse_endless(certificate: &Decoded) -> Result<(), CertificateError> {
    let endless = certificate.validity().not_after.seconds() >= NO_END;
    if endless { Err(CertificateError::Field("notAfter")) } else { Ok(()) }
}

fn refused(name: &str, problem: &'static str) -> CertificateError {
    CertificateError::Extension { name: name.to_owned(), problem }
}

/// Decodes a value that must be in DER: it encodes back to its own bytes.
fn strict<'a, T: Decode<'a, Error = der::Error> + Encode>(
    value: &'a [u8],
    name: &str,
) -> Result<T, CertificateError> {
    let decoded = T::from_der(value)?;
    if decoded.to_der()? == value { Ok(decoded) } else { Err(refused(name, "is not in DER")) }
}

fn any_value(_: &[u8], _: &mut Facts) -> Result<(), CertificateError> {
    Ok(())
}

fn signs_only(value: &[u8], _: &mut Facts) -> Result<(), CertificateError> {
    let usage: KeyUsage = strict(value, "keyUsage")?;
    let right = usage.0 == KeyUsages::DigitalSignature;
    if right { Ok(()) } else { Err(refused("keyUsage", "is not digitalSignature alone")) }
}

fn authority_signs(value: &[u8], facts: &mut Facts) -> Result<(), CertificateError> {
    let usage: KeyUsage = strict(value, "keyUsage")?;
    facts.signs_lists = usage.crl_sign();
    if usage.key_cert_sign() && usage.crl_sign() {
        Ok(())
    } else {
        Err(refused("keyUsage", "lacks keyCertSign or cRLSign"))
    }
}

fn no_authority(value: &[u8], _: &mut Facts) -> Result<(), CertificateError> {
    let constraints: BasicConstraints = strict(value, "basicConstraints")?;
    let right = !constraints.ca && constraints.path_len_constraint.is_none();
    if right { Ok(()) } else { Err(refused("basicConstraints", "is not CA:FALSE")) }
}

fn authority(value: &[u8], _: &mut Facts) -> Result<(), CertificateError> {
    let constraints: BasicConstraints = strict(value, "basicConstraints")?;
    let right = constraints.ca && constraints.path_len_constraint != Some(0);
    if right {
        Ok(())
    } else {
        Err(refused("basicConstraints", "does not allow an issuing authority below it"))
    }
}

fn last_authority(value: &[u8], _: &mut Facts) -> Result<(), CertificateError> {
    let constraints: BasicConstraints = strict(value, "basicConstraints")?;
    let right = constraints.ca && constraints.path_len_constraint == Some(0);
    if right { Ok(()) } else { Err(refused("basicConstraints", "is not CA:TRUE with pathlen 0")) }
}

fn agent_usage(value: &[u8], _: &mut Facts) -> Result<(), CertificateError> {
    let usage: ExtendedKeyUsage = strict(value, "extKeyUsage")?;
    let both = [oids::EKU_CLIENT_AUTH, oids::EKU_AGENT].iter().all(|oid| usage.0.contains(oid));
    let no_other = usage.0.len() == 2;
    if both && no_other { Ok(()) } else { Err(refused("extKeyUsage", "is not clientAuth and agent")) }
}

fn feed_usage(value: &[u8], _: &mut Facts) -> Result<(), CertificateError> {
    let usage: ExtendedKeyUsage = strict(value, "extKeyUsage")?;
    if usage.0 == [oids::EKU_FEED] { Ok(()) } else { Err(refused("extKeyUsage", "is not feed alone")) }
}

fn agent_name(value: &[u8], facts: &mut Facts) -> Result<(), CertificateError> {
    let names: SubjectAltName = strict(value, "subjectAltName")?;
    let agent = match names.0.as_slice() {
        [GeneralName::UniformResourceIdentifier(uri)] => AgentId::from_urn(uri.as_str()),
        _ => None,
    };
    facts.agent = Some(agent.ok_or_else(|| refused("subjectAltName", "is not one urn:kakunin:agent URI"))?);
    Ok(())
}

fn key_id(value: &[u8], facts: &mut Facts) -> Result<(), CertificateError> {
    let id: SubjectKeyIdentifier = strict(value, "subjectKeyIdentifier")?;
    if id.0.as_bytes().is_empty() {
        return Err(refused("subjectKeyIdentifier", "is empty"));
    }
    facts.key_id = Some(id.0.as_bytes().to_vec());
    Ok(())
}

fn authority_key_id(value: &[u8], facts: &mut Facts) -> Result<(), CertificateError> {
    let id: AuthorityKeyIdentifier = strict(value, "authorityKeyIdentifier")?;
    let id = id.key_identifier.ok_or_else(|| refused("authorityKeyIdentifier", "names no key"))?;
    facts.authority_key_id = Some(id.as_bytes().to_vec());
    Ok(())
}

fn agent_scope(value: &[u8], facts: &mut Facts) -> Result<(), CertificateError> {
    facts.scope = Some(Scope::from_der(value)?);
    Ok(())
}

/// 9999-12-31T23:59:59Z.
const NO_END: i64 = 253_402_300_799;
