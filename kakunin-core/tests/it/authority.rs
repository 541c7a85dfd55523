//! An authority made for one test, by code we did not write: rcgen signs its certificates and lists.
//!
//! What rcgen refuses to make is made right first, then broken with [`Der`] and signed again.

use kakunin_core::certificate::{
    AgentCertificate, CaCertificate, CaRole, PathLists, TrustAnchors, VerifiedAgent, oids,
};
use kakunin_core::digest::Digest;
use kakunin_core::id::AgentId;
use kakunin_core::leash::Leash;
use kakunin_core::reason::DenialReason;
use kakunin_core::scope::{NameLists, Scope};
use kakunin_core::time::UnixTime;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CustomExtension, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ED25519,
    RevocationReason, RevokedCertParams, SanType, SerialNumber, SigningKey, date_time_ymd,
};

/// The instant at which tests live: a Monday, 12:00 UTC, inside every default validity.
pub(crate) const NOW: &str = "2026-11-23T12:00:00Z";

pub(crate) fn now() -> UnixTime {
    at(NOW)
}

pub(crate) fn at(text: &str) -> UnixTime {
    UnixTime::parse_rfc3339(text).unwrap()
}

pub(crate) fn agent_id() -> AgentId {
    AgentId::from_random([7; 16])
}

/// A root, an issuing authority below it, and their keys.
pub(crate) struct Authority {
    pub(crate) root: Vec<u8>,
    pub(crate) issuing: Vec<u8>,
    pub(crate) root_issuer: Issuer<'static, KeyPair>,
    pub(crate) issuer: Issuer<'static, KeyPair>,
    pub(crate) agent_key: KeyPair,
}

/// Whose list, whose signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Root,
    Issuing,
}

impl Authority {
    /// Ed25519 keys from fixed seeds, so every signature repeats.
    pub(crate) fn new() -> Self {
        Self::with(|_| {}, |_| {})
    }

    /// P-256 keys, fresh ones.
    pub(crate) fn p256() -> Self {
        let key = || KeyPair::generate().unwrap();
        Self::of([key(), key(), key()], |_| {}, |_| {})
    }

    /// The same with the root's and the issuing certificate changed.
    pub(crate) fn with(
        root: impl FnOnce(&mut CertificateParams),
        issuing: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        Self::of([seeded_key(1), seeded_key(2), seeded_key(3)], root, issuing)
    }

    pub(crate) fn of(
        keys: [KeyPair; 3],
        change_root: impl FnOnce(&mut CertificateParams),
        change_issuing: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        let [root_key, issuing_key, agent_key] = keys;
        let mut root = ca("Test Root", IsCa::Ca(BasicConstraints::Unconstrained), 0x41);
        root.not_before = date_time_ymd(2026, 1, 1);
        root.not_after = date_time_ymd(2046, 1, 1);
        change_root(&mut root);
        let root_der = root.self_signed(&root_key).unwrap().der().to_vec();
        let mut issuing = ca("Test Issuing", IsCa::Ca(BasicConstraints::Constrained(0)), 0x42);
        issuing.not_before = date_time_ymd(2026, 1, 1);
        issuing.not_after = date_time_ymd(2031, 1, 1);
        issuing.use_authority_key_identifier_extension = true;
        issuing.extended_key_usages = agent_usages();
        change_issuing(&mut issuing);
        let root_issuer = Issuer::new(root, root_key);
        let issuing_der = issuing.signed_by(&issuing_key, &root_issuer).unwrap().der().to_vec();
        let issuer = Issuer::new(issuing, issuing_key);
        Self { root: root_der, issuing: issuing_der, root_issuer, issuer, agent_key }
    }

    /// The certificate of an agent with `scope`.
    pub(crate) fn agent(&self, scope: &Scope) -> Vec<u8> {
        self.agent_with(&scope.to_der(), |_| {})
    }

    /// The certificate of an agent with these bytes as scope, changed before it is signed.
    pub(crate) fn agent_with(&self, scope: &[u8], change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        self.agent_of_key(scope, &self.agent_key, change)
    }

    pub(crate) fn agent_of_key(
        &self,
        scope: &[u8],
        key: &KeyPair,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = name("billing");
        params.serial_number = Some(SERIAL.to_vec().into());
        params.not_before = date_time_ymd(2026, 11, 20);
        params.not_after = date_time_ymd(2026, 11, 27);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = agent_usages();
        params.use_authority_key_identifier_extension = true;
        params.subject_alt_names = vec![SanType::URI(agent_id().to_urn().try_into().unwrap())];
        params.custom_extensions = vec![extension(oids::AGENT_SCOPE, false, scope.to_vec())];
        change(&mut params);
        params.signed_by(key, &self.issuer).unwrap().der().to_vec()
    }

    /// The full list of one authority, number 1, without entries, changed before it is signed.
    pub(crate) fn list(&self, by: By, change: impl FnOnce(&mut CertificateRevocationListParams)) -> Vec<u8> {
        let mut params = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 11, 23),
            next_update: date_time_ymd(2026, 11, 30),
            crl_number: SerialNumber::from(vec![1]),
            issuing_distribution_point: None,
            revoked_certs: Vec::new(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        change(&mut params);
        params.signed_by(self.signer(by)).unwrap().der().to_vec()
    }

    /// Both lists, nobody on them.
    pub(crate) fn lists(&self) -> [Vec<u8>; 2] {
        [self.list(By::Issuing, |_| {}), self.list(By::Root, |_| {})]
    }

    /// Another issuing authority under the same root, under the same name even, that certifies the same agent.
    pub(crate) fn neighbour() -> Self {
        let serial = |params: &mut CertificateParams| params.serial_number = Some(vec![0x44; 16].into());
        Self::of([seeded_key(1), seeded_key(22), seeded_key(3)], |_| {}, serial)
    }

    /// The SHA-256 of the issuing authority's key: what pins name.
    pub(crate) fn issuing_key(&self) -> Digest {
        CaCertificate::decode(&self.issuing, CaRole::Issuing).unwrap().decoded().key().key_id()
    }

    /// Signs the first child of a certificate or list again, in place of its signature.
    pub(crate) fn resign(&self, mut signed: Der, by: By) -> Vec<u8> {
        let signature = self.signer(by).key().sign(&signed.child(0).encode()).unwrap();
        *signed.child(2) = Der::leaf(3, [&[0], signature.as_slice()].concat());
        signed.encode()
    }

    fn signer(&self, by: By) -> &Issuer<'static, KeyPair> {
        match by {
            By::Root => &self.root_issuer,
            By::Issuing => &self.issuer,
        }
    }

    /// The agent with `lists`, verified now by the public way from bytes to a leash.
    pub(crate) fn verify(&self, agent: &[u8], lists: &[Vec<u8>]) -> Result<VerifiedAgent, DenialReason> {
        self.verify_at(agent, lists, now())
    }

    pub(crate) fn verify_at(
        &self,
        agent: &[u8],
        lists: &[Vec<u8>],
        now: UnixTime,
    ) -> Result<VerifiedAgent, DenialReason> {
        verify(agent, &[&self.issuing], &[&self.root], lists, now)
    }

    /// A leash on `scope`.
    pub(crate) fn leash(&self, scope: &Scope, names: &NameLists) -> Leash {
        let agent = self.verify(&self.agent(scope), &self.lists()).unwrap();
        Leash::compile(&agent, names).unwrap()
    }
}

/// From bytes to a verified agent, or the reason a guard would deny by.
pub(crate) fn verify(
    agent: &[u8],
    pool: &[&[u8]],
    roots: &[&[u8]],
    lists: &[Vec<u8>],
    now: UnixTime,
) -> Result<VerifiedAgent, DenialReason> {
    let anchors = TrustAnchors::new(roots.iter().copied()).map_err(|error| error.reason())?;
    let agent = AgentCertificate::decode(agent).map_err(|_| DenialReason::CertificateMalformed)?;
    let path = agent.verify_path(pool.iter().copied(), &anchors, now).map_err(|error| error.reason())?;
    let lists = PathLists::from_der(lists.iter().map(Vec::as_slice), &path).map_err(|e| e.reason())?;
    let agent = path.with_lists(lists, now).map_err(|error| error.reason())?;
    agent.denial(now).map_or(Ok(agent), Err)
}

/// The serial number of every agent made here.
pub(crate) const SERIAL: [u8; 16] = [0x4a; 16];
/// The serial number of the issuing authority.
pub(crate) const ISSUING_SERIAL: [u8; 16] = [0x42; 16];

/// An entry of a list.
pub(crate) fn entry(serial: &[u8], reason: Option<RevocationReason>) -> RevokedCertParams {
    RevokedCertParams {
        serial_number: SerialNumber::from_slice(serial),
        revocation_time: date_time_ymd(2026, 11, 22),
        reason_code: reason,
        invalidity_date: None,
    }
}

/// An Ed25519 key from a seed of one repeated byte (RFC 8410 section 7).
pub(crate) fn seeded_key(seed: u8) -> KeyPair {
    let mut pkcs8 = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    pkcs8.extend([seed; 32]);
    KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8.as_slice().into(), &PKCS_ED25519).unwrap()
}

pub(crate) fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}

fn ca(common: &str, is_ca: IsCa, serial: u8) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = name(common);
    params.serial_number = Some(vec![serial; 16].into());
    params.is_ca = is_ca;
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn agent_usages() -> Vec<ExtendedKeyUsagePurpose> {
    vec![ExtendedKeyUsagePurpose::ClientAuth, usage(oids::EKU_AGENT)]
}

/// An extended key usage by its identifier.
pub(crate) fn usage(oid: der::asn1::ObjectIdentifier) -> ExtendedKeyUsagePurpose {
    ExtendedKeyUsagePurpose::Other(oid.arcs().map(u64::from).collect())
}

/// An extension rcgen has no field for.
pub(crate) fn extension(oid: der::asn1::ObjectIdentifier, critical: bool, value: Vec<u8>) -> CustomExtension {
    let arcs: Vec<u64> = oid.arcs().map(u64::from).collect();
    let mut extension = CustomExtension::from_oid_content(&arcs, value);
    extension.set_criticality(critical);
    extension
}

/// A DER value that can be taken apart, changed and written again; lengths follow by themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Der {
    tag: u8,
    body: Body,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Body {
    Leaf(Vec<u8>),
    Children(Vec<Der>),
    /// Written as it stands, tag and length included: for what is not DER.
    Raw(Vec<u8>),
}

impl Der {
    /// Reads one value and everything inside it.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let (value, rest) = Self::next(bytes);
        assert!(rest.is_empty(), "trailing bytes");
        value
    }

    fn next(bytes: &[u8]) -> (Self, &[u8]) {
        let (header, length) = match bytes[1] {
            short if short < 0x80 => (2, usize::from(short)),
            long => {
                let count = usize::from(long & 0x7f);
                let length = bytes[2..2 + count].iter().fold(0, |all, byte| all << 8 | usize::from(*byte));
                (2 + count, length)
            }
        };
        let (mut content, rest) = bytes[header..].split_at(length);
        if bytes[0] & 0x20 == 0 {
            return (Self::leaf(bytes[0], content.to_vec()), rest);
        }
        let mut children = Vec::new();
        while !content.is_empty() {
            let (child, after) = Self::next(content);
            children.push(child);
            content = after;
        }
        (Self::list(bytes[0], children), rest)
    }

    pub(crate) fn leaf(tag: u8, content: Vec<u8>) -> Self {
        Self { tag, body: Body::Leaf(content) }
    }

    pub(crate) fn list(tag: u8, children: Vec<Self>) -> Self {
        Self { tag, body: Body::Children(children) }
    }

    pub(crate) fn raw(bytes: Vec<u8>) -> Self {
        Self { tag: 0, body: Body::Raw(bytes) }
    }

    pub(crate) fn integer(number: u8) -> Self {
        Self::leaf(2, vec![number])
    }

    pub(crate) fn text(tag: u8, text: &str) -> Self {
        Self::leaf(tag, text.as_bytes().to_vec())
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let content = match &self.body {
            Body::Raw(bytes) => return bytes.clone(),
            Body::Leaf(content) => content.clone(),
            Body::Children(children) => children.iter().flat_map(Self::encode).collect(),
        };
        let mut bytes = vec![self.tag];
        match content.len() {
            short @ ..0x80 => bytes.push(u8::try_from(short).unwrap()),
            long => {
                let octets: Vec<u8> =
                    long.to_be_bytes().into_iter().skip_while(|octet| *octet == 0).collect();
                bytes.push(0x80 | u8::try_from(octets.len()).unwrap());
                bytes.extend(octets);
            }
        }
        bytes.extend(content);
        bytes
    }

    /// The children of a constructed value.
    pub(crate) fn children(&mut self) -> &mut Vec<Self> {
        match &mut self.body {
            Body::Children(children) => children,
            other => panic!("no children: {other:?}"),
        }
    }

    pub(crate) fn child(&mut self, index: usize) -> &mut Self {
        &mut self.children()[index]
    }

    /// Follows child indices down.
    pub(crate) fn path(&mut self, indices: &[usize]) -> &mut Self {
        indices.iter().fold(self, |at, index| at.child(*index))
    }

    /// The child with `tag`.
    pub(crate) fn tagged(&mut self, tag: u8) -> &mut Self {
        self.children().iter_mut().find(|child| child.tag == tag).unwrap()
    }

    /// The content octets of a value without children.
    pub(crate) fn content(&mut self) -> &mut Vec<u8> {
        match &mut self.body {
            Body::Leaf(content) => content,
            other => panic!("no content: {other:?}"),
        }
    }

    pub(crate) fn set_tag(&mut self, tag: u8) {
        self.tag = tag;
    }

    /// The extension sequence of a certificate or list, which is the last field of what is signed.
    pub(crate) fn extensions(&mut self) -> &mut Vec<Self> {
        self.child(0).children().last_mut().unwrap().child(0).children()
    }

    /// The extension `oid` among them.
    pub(crate) fn extension(&mut self, oid: &str) -> &mut Self {
        let oid = der::asn1::ObjectIdentifier::new(oid).unwrap();
        let extensions = self.extensions();
        let at = extensions.iter_mut().position(|each| *each.child(0).content() == oid.as_bytes());
        &mut extensions[at.unwrap()]
    }

    /// The value of the extension `oid`, parsed, changed and put back.
    pub(crate) fn edit_extension(&mut self, oid: &str, change: impl FnOnce(&mut Self)) {
        let octets = self.extension(oid).children().last_mut().unwrap().content();
        let mut value = Self::parse(octets);
        change(&mut value);
        *octets = value.encode();
    }

    pub(crate) fn drop_extension(&mut self, oid: &str) {
        let oid = der::asn1::ObjectIdentifier::new(oid).unwrap();
        self.extensions().retain_mut(|extension| *extension.child(0).content() != oid.as_bytes());
    }
}
