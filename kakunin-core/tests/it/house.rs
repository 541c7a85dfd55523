//! A house for tests: root, issuing authority, one agent with its key, and both lists, at a fixed time.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use kakunin_core::certificate::{AgentCertificate, PathLists, TrustAnchors, VerifiedAgent, oids};
use kakunin_core::decision::Decision;
use kakunin_core::id::AgentId;
use kakunin_core::journal::{DecisionEntry, Identity, Journal, JournalOptions};
use kakunin_core::key::{Signer, SoftKey};
use kakunin_core::leash::Leash;
use kakunin_core::receipt::{ListUse, Mode, Stamp};
use kakunin_core::request::ActionRequest;
use kakunin_core::revocation::{FeedHead, ListPolicy};
use kakunin_core::scope::{DraftScope, NameLists};
use kakunin_core::time::UnixTime;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CustomExtension,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    PublicKeyData, RevocationReason, RevokedCertParams, SanType, SerialNumber, SignatureAlgorithm,
    SigningKey as _, date_time_ymd,
};

use crate::authority::Der;

/// Noon of a Monday on which every certificate and list of the house is good.
pub(crate) fn now() -> UnixTime {
    UnixTime::parse_rfc3339("2026-11-23T12:00:00Z").unwrap()
}

/// Clocks `millis` after [`now`].
pub(crate) fn stamp(millis: i64) -> Stamp {
    Stamp {
        micros: now().seconds() * 1_000_000 + millis * 1000,
        boot: [0xb0; 16],
        mono_nanos: 1_000_000_000_000 + u64::try_from(millis).unwrap() * 1_000_000,
    }
}

/// Everything as bytes, so that a child process can be given the same house.
#[derive(Clone)]
pub(crate) struct House {
    pub(crate) root: Vec<u8>,
    pub(crate) issuing: Vec<u8>,
    pub(crate) agent: Vec<u8>,
    pub(crate) agent_key: Vec<u8>,
    pub(crate) issuing_list: Vec<u8>,
    pub(crate) root_list: Vec<u8>,
    /// A list after which the agent is revoked.
    pub(crate) revoking_list: Vec<u8>,
    /// A list of the root after which the issuing authority is revoked, from the 21st on.
    pub(crate) revoking_root_list: Vec<u8>,
    /// What the issuing authority signed on the 22nd: the agent is good.
    pub(crate) later_list: Vec<u8>,
    /// The agent is revoked from the 24th on.
    pub(crate) revoked_on_24th: Vec<u8>,
    /// The agent is good on the 25th.
    pub(crate) good_on_25th: Vec<u8>,
    /// The agent is revoked, says a list of the 26th too.
    pub(crate) revoked_on_26th: Vec<u8>,
    /// The agent is held from the 24th on.
    pub(crate) held_on_24th: Vec<u8>,
    /// A list of the 26th after which the agent was revoked on the 20th.
    pub(crate) set_back_on_26th: Vec<u8>,
    /// What follows when the agent's certificate has ended, in December: nobody is named.
    pub(crate) after_the_end: Vec<u8>,
    /// And another: the agent was revoked from the 24th on.
    pub(crate) kept_after_the_end: Vec<u8>,
    /// The agent's key in a certificate of its own before, and of another agent.
    pub(crate) earlier: Vec<u8>,
    pub(crate) namesake: Vec<u8>,
    /// Each of these revoked from the 24th on.
    pub(crate) earlier_revoked: Vec<u8>,
    pub(crate) namesake_revoked: Vec<u8>,
    /// A list of the 22nd on which nobody is, and which asks for the feed.
    pub(crate) asking_for_feed: Vec<u8>,
}

impl House {
    pub(crate) fn build(agent: AgentId) -> Self {
        Self::named(agent, "billing", "test root")
    }

    /// The same with other names in the certificates.
    pub(crate) fn named(agent: AgentId, name: &str, root: &str) -> Self {
        let [house] = Self::tenants([agent], name, root, |_| key());
        house
    }

    /// A house of other keys whose issuing authority bears the name and the key identifier of `other`'s.
    pub(crate) fn posing(agent: AgentId, other: &Self) -> Self {
        let other = other.verified();
        let key_id = other.path().issuing().list_issuer().key_id.to_vec();
        let (root, root_issuer) = Self::rooted("test root");
        Self::issued(agent, "billing", &root, &root_issuer, key(), KeyIdMethod::PreSpecified(key_id))
    }

    /// Another root that vouches for the issuing authority of `other`, over the same name, key and key identifier: the root,
    /// that certificate, and a list of the root after which it is revoked from the 21st on.
    pub(crate) fn vouching(other: &Self, serial: &[u8]) -> [Vec<u8>; 3] {
        let other = other.verified();
        let issuing = other.path().issuing();
        let (root, root_issuer) = Self::rooted("test root");
        let mut params = authority("test issuing", BasicConstraints::Constrained(0));
        params.extended_key_usages = usages();
        params.key_identifier_method = KeyIdMethod::PreSpecified(issuing.list_issuer().key_id.to_vec());
        params.use_authority_key_identifier_extension = true;
        let serial = SerialNumber::from_slice(serial);
        params.serial_number = Some(serial.clone());
        let key = PublicOnly(issuing.decoded().key().raw().to_vec());
        let cross = params.signed_by(&key, &root_issuer.0).unwrap().der().to_vec();
        let revoking = list(&root_issuer, 2, 21, Some(serial));
        [root, cross, revoking]
    }

    fn rooted(name: &str) -> (Vec<u8>, Authority<'static>) {
        let (root_key, params) = (key(), authority(name, BasicConstraints::Unconstrained));
        let root = params.self_signed(&root_key).unwrap().der().to_vec();
        (root, (Issuer::new(params, root_key), KeyIdMethod::Sha256))
    }

    /// Houses under one root, each with an issuing authority of its own; `agent_key` gives the key of each agent.
    pub(crate) fn tenants<const N: usize>(
        agents: [AgentId; N],
        name: &str,
        root: &str,
        mut agent_key: impl FnMut(usize) -> KeyPair,
    ) -> [Self; N] {
        let (root, root_issuer) = Self::rooted(root);
        let mut number = 0;
        agents.map(|agent| {
            number += 1;
            Self::issued(agent, name, &root, &root_issuer, agent_key(number), KeyIdMethod::Sha256)
        })
    }

    fn issued(
        agent: AgentId,
        name: &str,
        root: &[u8],
        root_issuer: &Authority<'_>,
        agent_key: KeyPair,
        key_id: KeyIdMethod,
    ) -> Self {
        let issuing_key = key();
        let mut issuing_params = authority("test issuing", BasicConstraints::Constrained(0));
        issuing_params.extended_key_usages = usages();
        issuing_params.key_identifier_method = key_id.clone();
        issuing_params.use_authority_key_identifier_extension = true;
        let authority = SerialNumber::from_slice(&[0x42; 16]);
        issuing_params.serial_number = Some(authority.clone());
        let issuing = issuing_params.signed_by(&issuing_key, &root_issuer.0).unwrap();
        let issuing_issuer = (Issuer::new(issuing_params, issuing_key), key_id);

        let serial = SerialNumber::from_slice(&[0x41; 16]);
        let certify = |agent, serial: &SerialNumber| {
            agent_params(agent, name, serial.clone()).signed_by(&agent_key, &issuing_issuer.0).unwrap()
        };
        let (before, others) = (SerialNumber::from_slice(&[0x43; 16]), SerialNumber::from_slice(&[0x44; 16]));
        let (earlier, namesake) =
            (certify(agent, &before), certify(AgentId::from_random([0x77; 16]), &others));
        let agent = certify(agent, &serial);

        Self {
            root: root.to_vec(),
            issuing: issuing.der().to_vec(),
            agent: agent.der().to_vec(),
            agent_key: agent_key.serialize_der(),
            issuing_list: list(&issuing_issuer, 7, 20, None),
            root_list: list(root_issuer, 1, 20, None),
            revoking_list: list(&issuing_issuer, 8, 20, Some(serial.clone())),
            revoking_root_list: list(root_issuer, 2, 21, Some(authority)),
            later_list: list(&issuing_issuer, 9, 22, None),
            revoked_on_24th: list(&issuing_issuer, 10, 24, Some(serial.clone())),
            good_on_25th: list(&issuing_issuer, 11, 25, None),
            revoked_on_26th: list(&issuing_issuer, 12, 26, Some(serial.clone())),
            held_on_24th: dated(
                &issuing_issuer,
                10,
                (11, 24),
                Some((serial.clone(), 24, Some(RevocationReason::CertificateHold))),
            ),
            set_back_on_26th: dated(&issuing_issuer, 13, (11, 26), Some((serial.clone(), 20, None))),
            after_the_end: dated(&issuing_issuer, 14, (12, 2), None),
            kept_after_the_end: dated(&issuing_issuer, 15, (12, 3), Some((serial, 24, None))),
            earlier: earlier.der().to_vec(),
            namesake: namesake.der().to_vec(),
            earlier_revoked: list(&issuing_issuer, 10, 24, Some(before)),
            namesake_revoked: list(&issuing_issuer, 10, 24, Some(others)),
            asking_for_feed: with_policy(&issuing_issuer, &list(&issuing_issuer, 9, 22, None)),
        }
    }

    pub(crate) fn save(&self, dir: &Path) {
        for (name, bytes) in self.parts() {
            fs::write(dir.join(name), bytes).unwrap();
        }
    }

    pub(crate) fn load(dir: &Path) -> Self {
        let read = |name| fs::read(dir.join(name)).unwrap();
        Self {
            root: read("root"),
            issuing: read("issuing"),
            agent: read("agent"),
            agent_key: read("agent_key"),
            issuing_list: read("issuing_list"),
            root_list: read("root_list"),
            revoking_list: read("revoking_list"),
            revoking_root_list: read("revoking_root_list"),
            later_list: read("later_list"),
            revoked_on_24th: read("revoked_on_24th"),
            good_on_25th: read("good_on_25th"),
            revoked_on_26th: read("revoked_on_26th"),
            held_on_24th: read("held_on_24th"),
            set_back_on_26th: read("set_back_on_26th"),
            after_the_end: read("after_the_end"),
            kept_after_the_end: read("kept_after_the_end"),
            earlier: read("earlier"),
            namesake: read("namesake"),
            earlier_revoked: read("earlier_revoked"),
            namesake_revoked: read("namesake_revoked"),
            asking_for_feed: read("asking_for_feed"),
        }
    }

    fn parts(&self) -> [(&'static str, &[u8]); 21] {
        [
            ("root", &self.root),
            ("issuing", &self.issuing),
            ("agent", &self.agent),
            ("agent_key", &self.agent_key),
            ("issuing_list", &self.issuing_list),
            ("root_list", &self.root_list),
            ("revoking_list", &self.revoking_list),
            ("revoking_root_list", &self.revoking_root_list),
            ("later_list", &self.later_list),
            ("revoked_on_24th", &self.revoked_on_24th),
            ("good_on_25th", &self.good_on_25th),
            ("revoked_on_26th", &self.revoked_on_26th),
            ("held_on_24th", &self.held_on_24th),
            ("set_back_on_26th", &self.set_back_on_26th),
            ("after_the_end", &self.after_the_end),
            ("kept_after_the_end", &self.kept_after_the_end),
            ("earlier", &self.earlier),
            ("namesake", &self.namesake),
            ("earlier_revoked", &self.earlier_revoked),
            ("namesake_revoked", &self.namesake_revoked),
            ("asking_for_feed", &self.asking_for_feed),
        ]
    }

    pub(crate) fn anchors(&self) -> TrustAnchors {
        TrustAnchors::new([self.root.as_slice()]).unwrap()
    }

    pub(crate) fn identity(&self) -> Identity {
        let signer = Signer::soft(SoftKey::from_pkcs8(&self.agent_key).unwrap());
        Identity {
            agent: AgentCertificate::decode(&self.agent).unwrap().agent(),
            certificate: self.agent.clone(),
            chain: vec![self.issuing.clone()],
            signer: Arc::new(signer),
        }
    }

    pub(crate) fn verified(&self) -> VerifiedAgent {
        let path = AgentCertificate::decode(&self.agent).unwrap();
        let path = path.verify_path([self.issuing.as_slice()], &self.anchors(), now()).unwrap();
        let lists = [self.issuing_list.as_slice(), self.root_list.as_slice()];
        let lists = PathLists::from_der(lists, &path).unwrap();
        path.with_lists(lists, now()).unwrap()
    }

    pub(crate) fn leash(&self) -> Leash {
        Leash::compile(&self.verified(), &NameLists::default()).unwrap()
    }

    pub(crate) fn list_use(&self) -> ListUse {
        ListUse::of(self.verified().lists().issuing())
    }

    /// Opens a journal and keeps both lists in it, as a guard does.
    pub(crate) fn journal(&self, dir: &Path) -> Journal {
        self.journal_as(self.identity(), dir, JournalOptions::default())
    }

    /// The same, kept otherwise or signed by somebody else.
    pub(crate) fn journal_as(&self, identity: Identity, dir: &Path, options: JournalOptions) -> Journal {
        let journal = Journal::open_with(dir, identity, stamp(0), options).unwrap();
        let verified = self.verified();
        for list in [verified.lists().issuing(), verified.lists().root()] {
            journal.archive_list(list.der(), &list.digest()).unwrap();
        }
        journal
    }
}

/// A key of somebody else, of which only the public half is known.
struct PublicOnly(Vec<u8>);

impl PublicKeyData for PublicOnly {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

/// What the agent of the house may do.
pub(crate) const SCOPE: &str = r#"
actions = ["payments:send"]
[[limit]]
for = ["payments:send"]
currency = "EUR"
per_action = "10000.00"
[[counterparties]]
for = ["payments:send"]
allow = ["acme"]
"#;

pub(crate) fn request(amount: &str) -> ActionRequest<'_> {
    ActionRequest::new("payments:send").amount(amount, "EUR").counterparty("acme")
}

pub(crate) fn decide(leash: &Leash, request: &ActionRequest<'_>) -> Decision {
    leash.decide(request, now().to_millis())
}

pub(crate) fn entry<'a>(
    decision: &'a Decision,
    request: &'a ActionRequest<'a>,
    list: ListUse,
    stamp: Stamp,
) -> DecisionEntry<'a> {
    DecisionEntry {
        caller: None,
        decision,
        request,
        list: Some(list),
        mode: Mode::Enforce,
        chain: None,
        parents: &[],
        trace: None,
        stamp,
    }
}

fn authority(name: &str, constraints: BasicConstraints) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2036, 1, 1);
    params.is_ca = IsCa::Ca(constraints);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn agent_params(agent: AgentId, name: &str, serial: SerialNumber) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.serial_number = Some(serial);
    params.not_before = date_time_ymd(2026, 11, 1);
    params.not_after = date_time_ymd(2026, 12, 1);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = usages();
    params.use_authority_key_identifier_extension = true;
    params.subject_alt_names = vec![SanType::URI(agent.to_urn().try_into().unwrap())];
    let scope = DraftScope::parse(SCOPE, &|_| Err(std::io::Error::other("no files"))).unwrap();
    let scope = scope.for_agent(agent).unwrap().to_der();
    params.custom_extensions =
        vec![CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 32473, 1, 1], scope)];
    params
}

pub(crate) fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

fn usages() -> Vec<ExtendedKeyUsagePurpose> {
    vec![
        ExtendedKeyUsagePurpose::ClientAuth,
        ExtendedKeyUsagePurpose::Other(vec![1, 3, 6, 1, 4, 1, 32473, 1, 3]),
    ]
}

/// Who signs lists, and how its key identifier is made.
type Authority<'a> = (Issuer<'a, KeyPair>, KeyIdMethod);

/// A list of the day `day`; what it revokes is revoked from then on.
fn list(issuer: &Authority<'_>, number: u8, day: u8, revoked: Option<SerialNumber>) -> Vec<u8> {
    dated(issuer, number, (11, day), revoked.map(|serial| (serial, day, None)))
}

/// A list of a month and day; what it names is dated by a day of November.
fn dated(
    (issuer, key_id): &Authority<'_>,
    number: u8,
    (month, day): (u8, u8),
    named: Option<(SerialNumber, u8, Option<RevocationReason>)>,
) -> Vec<u8> {
    let entry = |(serial_number, day, reason_code)| RevokedCertParams {
        serial_number,
        revocation_time: date_time_ymd(2026, 11, day),
        reason_code,
        invalidity_date: None,
    };
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(2026, month, day),
        next_update: date_time_ymd(2026, month, if month == 11 { 27 } else { 9 }),
        crl_number: SerialNumber::from_slice(&[number]),
        issuing_distribution_point: None,
        revoked_certs: named.map(entry).into_iter().collect(),
        key_identifier_method: key_id.clone(),
    };
    params.signed_by(issuer).unwrap().der().to_vec()
}

/// `list` with a feed policy: 60 s, no change yet.
fn with_policy((issuer, _): &Authority<'_>, list: &[u8]) -> Vec<u8> {
    let mut list = Der::parse(list);
    let policy = ListPolicy::new(60, FeedHead::START).unwrap().to_der().unwrap();
    let oid = Der::leaf(6, oids::LIST_POLICY.as_bytes().to_vec());
    list.extensions().push(Der::list(0x30, vec![oid, Der::leaf(4, policy)]));
    let signature = issuer.key().sign(&list.child(0).encode()).unwrap();
    *list.child(2) = Der::leaf(3, [&[0], signature.as_slice()].concat());
    list.encode()
}
