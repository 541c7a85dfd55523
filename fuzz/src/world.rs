//! One world that is the same in every run: who is certified, what was recorded, logged and exported.
//!
//! Certificates and lists are made anew from fixed keys. What has chance in it, a journal, its log and its bundle, was made
//! once by [`make`] (`cargo run -p kakunin-fuzz -- world`) and lies in `fuzz/world`, or a corpus would be about another
//! world than the next run's.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use kakunin_core::bundle::export;
use kakunin_core::certificate::{AgentCertificate, AgentPath, CaCertificate, CaRole, TrustAnchors};
use kakunin_core::id::{AgentId, ChainId, StreamId};
use kakunin_core::journal::{DecisionEntry, Identity, Journal, JournalOptions, StreamReader};
use kakunin_core::key::{Signer, SoftKey};
use kakunin_core::leash::Leash;
use kakunin_core::log::{Log, LogKey, LogReader, VerifierKey};
use kakunin_core::receipt::{ListUse, Mode, Outcome, ReceiptHash, Stamp};
use kakunin_core::request::ActionRequest;
use kakunin_core::scope::{DraftScope, NameList, NameLists, Scope};
use rcgen::SanType;

use crate::authority::{Authority, agent_id, now, seeded_key};

/// What the agent may do.
pub(crate) const SCOPE: &str = r#"
actions = ["payments:send", "orders:*"]
[[limit]]
for = ["payments:send", "orders:create"]
currency = "EUR"
per_action = "10000.00"
[[counterparties]]
for = ["payments:send"]
allow = ["acme"]
"#;

/// The names of a detached list.
pub(crate) fn names() -> NameList {
    NameList::parse(&(0..40).map(|name| format!("party-{name:03}\n")).collect::<String>()).unwrap()
}

/// What is the same for every input of a law.
pub(crate) struct World {
    pub(crate) authority: Authority,
    pub(crate) issuing: CaCertificate,
    pub(crate) anchors: TrustAnchors,
    pub(crate) agent: Vec<u8>,
    pub(crate) path: AgentPath,
    /// Whoever is asked: another agent of the same authority.
    pub(crate) shop: Vec<u8>,
    pub(crate) log_key: VerifierKey,
    /// The folder of what was made once.
    pub(crate) folder: PathBuf,
    pub(crate) stream: StreamId,
    pub(crate) segment: Vec<u8>,
    /// Whatever was signed in it.
    pub(crate) receipts: HashSet<ReceiptHash>,
    pub(crate) bundle: Vec<u8>,
}

/// The world of every law.
pub(crate) fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| World::read(&folder()))
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("world")
}

impl World {
    fn read(folder: &Path) -> Self {
        let authority = Authority::new();
        let (agent, shop) = (agent(&authority), shop(&authority));
        let anchors = TrustAnchors::new([authority.root.as_slice()]).unwrap();
        let path = AgentCertificate::decode(&agent).unwrap();
        let path = path.verify_path([authority.issuing.as_slice()], &anchors, now()).unwrap();
        let journal = folder.join("journal");
        let stream = StreamReader::names(&journal).unwrap()[0];
        let read = StreamReader::open(&journal, stream).unwrap();
        let receipts = read.map(|entry| entry.unwrap().receipt().hash()).collect();
        Self {
            issuing: CaCertificate::decode(&authority.issuing, CaRole::Issuing).unwrap(),
            authority,
            anchors,
            agent,
            path,
            shop,
            log_key: log_key().verifier().clone(),
            stream,
            segment: fs::read(segment(&journal, stream)).unwrap(),
            receipts,
            bundle: fs::read(folder.join("incident.zip")).unwrap(),
            folder: folder.to_owned(),
        }
    }

    /// The agent's signer.
    pub(crate) fn signer(&self) -> Arc<Signer> {
        signer(3)
    }
}

/// The only segment of a stream.
pub(crate) fn segment(journal: &Path, stream: StreamId) -> PathBuf {
    journal.join(stream.to_string()).join("0001.seg")
}

/// A key as [`seeded_key`] has it.
pub(crate) fn signer(seed: u8) -> Arc<Signer> {
    Arc::new(Signer::soft(SoftKey::from_pkcs8(&seeded_key(seed).serialize_der()).unwrap()))
}

fn scope(text: &str, agent: AgentId) -> Scope {
    let draft = DraftScope::parse(text, &|_| Err(std::io::ErrorKind::NotFound.into()));
    draft.unwrap().for_agent(agent).unwrap()
}

fn agent(authority: &Authority) -> Vec<u8> {
    authority.agent(&scope(SCOPE, agent_id()))
}

fn shop(authority: &Authority) -> Vec<u8> {
    let id = AgentId::from_random([8; 16]);
    let scope = scope("actions = [\"shop:*\"]\n", id).to_der();
    authority.agent_of_key(&scope, &seeded_key(4), |params| {
        params.serial_number = Some(vec![0x4b; 16].into());
        params.subject_alt_names = vec![SanType::URI(id.to_urn().try_into().unwrap())];
    })
}

fn log_key() -> LogKey {
    let key = SoftKey::from_pkcs8(&seeded_key(5).serialize_der()).unwrap();
    LogKey::new("log.example/fuzz", Signer::soft(key)).unwrap()
}

fn stamp(millis: i64) -> Stamp {
    Stamp {
        micros: now().seconds() * 1_000_000 + millis * 1000,
        boot: [0xb0; 16],
        mono_nanos: 1_000_000_000_000 + u64::try_from(millis).unwrap() * 1_000_000,
    }
}

/// Makes what has chance in it into `fuzz/world`, in place of what is there. Every corpus that is about it is worth nothing then.
///
/// # Errors
/// Only what the disk says; anything else is a bug.
pub fn make() -> std::io::Result<()> {
    let (folder, authority) = (folder(), Authority::new());
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let (journal, log) = (folder.join("journal"), folder.join("log"));
    fs::create_dir_all(&folder)?;
    let certificate = agent(&authority);
    let verified = authority.verify(&certificate, &authority.lists()).unwrap();
    let leash = Leash::compile(&verified, &NameLists::default()).unwrap();
    let identity = Identity {
        agent: agent_id(),
        certificate,
        chain: vec![authority.issuing.clone()],
        signer: signer(3),
    };
    let open = Journal::open_with(&journal, identity, stamp(0), JournalOptions::default()).unwrap();
    for list in [verified.lists().issuing(), verified.lists().root()] {
        open.archive_list(list.der(), &list.digest()).unwrap();
    }
    let mut parents = Vec::new();
    for (millis, amount) in [(10, "125.00"), (20, "99999.00"), (30, "0.01")] {
        let request = ActionRequest::new("payments:send").amount(amount, "EUR").counterparty("acme");
        let decision = leash.decide(&request, now().to_millis());
        let recorded = open.decision(&DecisionEntry {
            caller: None,
            decision: &decision,
            request: &request,
            list: Some(ListUse::of(verified.lists().issuing())),
            mode: Mode::Enforce,
            chain: Some(ChainId::from_bytes([0xc4; 16])),
            parents: &parents,
            trace: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            stamp: stamp(millis),
        });
        let recorded = recorded.unwrap();
        parents = vec![recorded.hash()];
        if decision.denial().is_none() {
            open.outcome(recorded, Outcome::Returned, None, stamp(millis + 1)).unwrap();
        }
    }
    open.close(stamp(90)).unwrap();
    let entries: Vec<String> = StreamReader::streams(&journal)?
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.unwrap().to_log_entry())
        .collect();
    Log::create(&log, log_key()).unwrap().append(&entries).unwrap();
    let reader = LogReader::open(&log, log_key().verifier()).unwrap();
    export(&[&journal], &mut [reader], None, &folder.join("incident.zip")).unwrap();
    Ok(())
}
