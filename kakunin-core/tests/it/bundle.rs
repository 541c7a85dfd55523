//! Bundles from outside: what is exported verifies, and nothing else does.

use std::fs;
use std::path::{Path, PathBuf};

use kakunin_core::bundle::{Bundle, ExportError, Exported, export};
use kakunin_core::certificate::TrustAnchors;
use kakunin_core::id::{AgentId, ChainId};
use kakunin_core::journal::{Journal, StreamReader};
use kakunin_core::key::{Algorithm, Signer, SoftKey};
use kakunin_core::log::{
    Log, LogKey, LogReader, VerifierKey, Witness, WitnessKey, WitnessPolicy, keep_witnessed,
};
use kakunin_core::receipt::{Outcome, ReceiptHash};
use kakunin_core::scope::NameLists;
use kakunin_core::verify::{Extent, Invalid, Reason, Report, Verdict, Verification};
use tempfile::TempDir;

use crate::house::{House, decide, entry, now, request, stamp};

pub(crate) const CHAIN: ChainId = ChainId::from_bytes([0xc4; 16]);
pub(crate) const OTHER: ChainId = ChainId::from_bytes([0x0c; 16]);

/// One owner: an agent, its journal and the log its receipts go to.
pub(crate) struct Owner {
    pub(crate) house: House,
    pub(crate) journal: PathBuf,
    pub(crate) log: PathBuf,
    pub(crate) key: VerifierKey,
    signer: Vec<u8>,
}

impl Owner {
    fn new(dir: &Path, name: &str, agent: u8) -> Self {
        let house = House::build(AgentId::from_random([agent; 16]));
        let (_, pkcs8) = SoftKey::generate(Algorithm::Ed25519).unwrap();
        let mut owner = Self {
            house,
            journal: dir.join(name),
            log: dir.join(format!("{name}.log")),
            key: log_key(name, &pkcs8).verifier().clone(),
            signer: pkcs8.to_vec(),
        };
        owner.key = Log::create(&owner.log, log_key(name, &owner.signer)).unwrap().checkpoint().log().clone();
        owner
    }

    pub(crate) fn open(&self) -> Journal {
        self.house.journal(&self.journal)
    }

    /// A payment of `chain` that follows from `parents`, done.
    pub(crate) fn pay(
        &self,
        journal: &Journal,
        chain: ChainId,
        parents: &[ReceiptHash],
        millis: i64,
    ) -> ReceiptHash {
        let asked = request("125.00");
        let decision = decide(&self.house.leash(), &asked);
        let mut entry = entry(&decision, &asked, self.house.list_use(), stamp(millis));
        entry.chain = Some(chain);
        entry.parents = parents;
        let recorded = journal.decision(&entry).unwrap();
        let hash = recorded.hash();
        journal.outcome(recorded, Outcome::Returned, None, stamp(millis + 1)).unwrap();
        hash
    }

    /// Logs every receipt that is not there yet, in the order of streams.
    pub(crate) fn log(&self) {
        let mut entries: Vec<String> = Vec::new();
        for reader in StreamReader::streams(&self.journal).unwrap() {
            entries.extend(reader.filter_map(|entry| entry.unwrap().to_log_entry()));
        }
        let mut known = self.reader();
        entries.retain(|entry| known.index_of(entry.as_bytes()).unwrap().is_none());
        self.append(&entries);
    }

    /// Puts entries into the log, whatever they are.
    pub(crate) fn append(&self, entries: &[String]) {
        self.append_to(&self.log, entries);
    }

    /// Puts entries into the log in `folder`, which has the same key.
    pub(crate) fn append_to(&self, folder: &Path, entries: &[String]) {
        let mut log = Log::open(folder, log_key(self.key.name(), &self.signer)).unwrap();
        log.append(entries).unwrap();
    }

    pub(crate) fn reader(&self) -> LogReader {
        LogReader::open(&self.log, &self.key).unwrap()
    }
}

fn log_key(name: &str, pkcs8: &[u8]) -> LogKey {
    LogKey::new(name, Signer::soft(SoftKey::from_pkcs8(pkcs8).unwrap())).unwrap()
}

/// Two owners, one incident, a witness.
pub(crate) struct World {
    dir: TempDir,
    pub(crate) support: Owner,
    pub(crate) bank: Owner,
    witness: VerifierKey,
    witness_key: Vec<u8>,
    pub(crate) anchors: TrustAnchors,
    pub(crate) keys: Vec<VerifierKey>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::of([1, 2])
    }

    /// The same with other agents.
    pub(crate) fn of(agents: [u8; 2]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let [one, other] = agents;
        let (support, bank) = (Owner::new(dir.path(), "support", one), Owner::new(dir.path(), "bank", other));
        let (_, witness_key) = SoftKey::generate(Algorithm::Ed25519).unwrap();
        let roots = [support.house.root.as_slice(), bank.house.root.as_slice()];
        Self {
            anchors: TrustAnchors::new(roots).unwrap(),
            keys: vec![support.key.clone(), bank.key.clone()],
            witness: witness_of(&witness_key).verifier().clone(),
            witness_key: witness_key.to_vec(),
            support,
            bank,
            dir,
        }
    }

    /// The support agent paid at each of these milliseconds, all of one chain; then it ended, and the log has it.
    pub(crate) fn paid(at: impl IntoIterator<Item = i64>) -> Self {
        let world = Self::new();
        let journal = world.support.open();
        for millis in at {
            world.support.pay(&journal, CHAIN, &[], millis);
        }
        journal.close(stamp(900)).unwrap();
        world.support.log();
        world
    }

    /// Three payments of the chain in two journals, others around them, everything closed and logged.
    pub(crate) fn incident() -> Self {
        Self::incident_of([1, 2])
    }

    pub(crate) fn incident_of(agents: [u8; 2]) -> Self {
        let world = Self::of(agents);
        let (support, bank) = (world.support.open(), world.bank.open());
        world.support.pay(&support, OTHER, &[], 1);
        let first = world.support.pay(&support, CHAIN, &[], 10);
        let second = world.bank.pay(&bank, CHAIN, &[first], 20);
        world.bank.pay(&bank, OTHER, &[], 25);
        world.support.pay(&support, CHAIN, &[second], 30);
        world.support.pay(&support, OTHER, &[], 40);
        support.close(stamp(90)).unwrap();
        bank.close(stamp(91)).unwrap();
        world.support.log();
        world.bank.log();
        world
    }

    pub(crate) fn owners(&self) -> [&Owner; 2] {
        [&self.support, &self.bank]
    }

    /// The witness sees the log of `owner` as it is, `seconds` after noon.
    pub(crate) fn see(&self, owner: &Owner, seconds: i64) {
        let state = self.dir.path().join(format!("witness.{}", owner.key.name()));
        let mut witness = Witness::open(&state, witness_of(&self.witness_key)).unwrap();
        let seen = witness.look(&mut owner.reader(), now().plus(seconds)).unwrap();
        keep_witnessed(&owner.log, &seen).unwrap();
    }

    pub(crate) fn policy(&self) -> WitnessPolicy {
        WitnessPolicy::parse(format!("witness W {}\nquorum W\n", self.witness)).unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn export(&self, chain: Option<ChainId>, name: &str) -> Result<Exported, ExportError> {
        let journals = self.owners().map(|owner| owner.journal.as_path());
        let mut logs: Vec<LogReader> = self.owners().iter().map(|owner| owner.reader()).collect();
        export(&journals, &mut logs, chain, &self.path(name))
    }

    /// The terms of somebody who knows both roots and both log keys.
    pub(crate) fn terms(&self) -> Verification<'_> {
        Verification::by(&self.anchors).logs(&self.keys)
    }
}

fn witness_of(pkcs8: &[u8]) -> WitnessKey {
    WitnessKey::new("witness.example/w", Signer::soft(SoftKey::from_pkcs8(pkcs8).unwrap())).unwrap()
}

pub(crate) fn verify(path: &Path, terms: &Verification<'_>) -> Report {
    match Bundle::open(path) {
        Ok(bundle) => bundle.verify(terms, &mut ()).unwrap(),
        Err(error) => error.into_report().unwrap(),
    }
}

pub(crate) fn reasons(report: &Report) -> Vec<&'static str> {
    match report.verdict() {
        Verdict::Complete => Vec::new(),
        Verdict::AuthenticNotComplete(reasons) => reasons.iter().map(Reason::code).collect(),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn invalid(report: &Report) -> &'static str {
    match report.verdict() {
        Verdict::Invalid(Invalid { code, .. }) => code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_incident_of_two_owners_is_complete_by_roots_and_log_keys_alone() {
    let world = World::incident();
    let exported = world.export(Some(CHAIN), "incident.zip").unwrap();
    // Of each stream opening and closing, and three calls with their outcomes.
    assert_eq!((exported.receipts, exported.logged, exported.streams), (10, 10, 2));
    let names = NameLists::default();
    let report = verify(&world.path("incident.zip"), &world.terms().replay(&names));
    assert_eq!(report.verdict(), Verdict::Complete);
    assert_eq!(report.extent(), Extent::Chain(CHAIN));
    let replay = report.replay().unwrap();
    assert_eq!((replay.same, replay.open), (3, 0));
    assert_eq!(report.streams().iter().map(|stream| stream.allowed).sum::<u64>(), 3);

    let exported = world.export(None, "whole.zip").unwrap();
    assert_eq!((exported.receipts, exported.logged), (16, 16));
    let report = verify(&world.path("whole.zip"), &world.terms().replay(&names));
    assert_eq!((report.verdict(), report.extent()), (Verdict::Complete, Extent::Streams));
    assert_eq!(report.replay().unwrap().same, 6);
}

#[test]
fn the_same_incident_gives_the_same_octets() {
    let world = World::incident();
    for (chain, name) in [(Some(CHAIN), "chain"), (None, "whole")] {
        world.export(chain, "one.zip").unwrap();
        world.export(chain, "two.zip").unwrap();
        assert_eq!(
            fs::read(world.path("one.zip")).unwrap(),
            fs::read(world.path("two.zip")).unwrap(),
            "{name}"
        );
    }
}

#[test]
fn without_a_log_key_or_with_the_agents_own_nobody_saw_the_end() {
    let world = World::incident();
    world.export(Some(CHAIN), "incident.zip").unwrap();
    let path = world.path("incident.zip");
    let roots = Verification::by(&world.anchors);
    assert_eq!(reasons(&verify(&path, &roots)), ["tail.not_witnessed"; 2]);
    // One of the two logs is known.
    assert_eq!(reasons(&verify(&path, &roots.logs(&world.keys[..1]))), ["tail.not_witnessed"]);
    // A key of the same name that is another.
    let (stranger, _) = SoftKey::generate(Algorithm::Ed25519).unwrap();
    let stranger = LogKey::new("support", Signer::soft(stranger)).unwrap().verifier().clone();
    let keys = [stranger, world.keys[1].clone()];
    assert_eq!(reasons(&verify(&path, &roots.logs(&keys))), ["tail.not_witnessed"]);
    // Roots that are not the bundle's.
    let other = World::new();
    assert_eq!(invalid(&verify(&path, &other.terms())), "receipt.certificate");
    let one = TrustAnchors::new([world.support.house.root.as_slice()]).unwrap();
    assert_eq!(invalid(&verify(&path, &Verification::by(&one).logs(&world.keys))), "receipt.certificate");
}

#[test]
fn a_witness_of_the_policy_settles_the_end_and_bounds_the_time() {
    let world = World::incident();
    world.see(&world.support, 60);
    world.export(Some(CHAIN), "incident.zip").unwrap();
    let policy = world.policy();
    // The policy's logs are believed to be logs, and to be witnessed; nothing more.
    let text =
        format!("log {}\nlog {}\nwitness W {}\nquorum W\n", world.keys[0], world.keys[1], world.witness);
    let with_logs = WitnessPolicy::parse(text).unwrap();
    let report =
        verify(&world.path("incident.zip"), &Verification::by(&world.anchors).witnesses(&[with_logs]));
    assert_eq!(reasons(&report), ["tail.not_witnessed"], "nobody saw the bank's");
    let report = verify(&world.path("incident.zip"), &world.terms().witnesses(&[policy]));
    assert_eq!(report.verdict(), Verdict::Complete);
    let witnessed: Vec<_> = report.streams().iter().map(|s| (s.witnessed, s.logged, s.receipts)).collect();
    assert!(witnessed.contains(&(6, 6, 6)) && witnessed.contains(&(0, 4, 4)), "{witnessed:?}");
}

/// Verifies journals with their logs, as `verify DIR --log DIR` does.
pub(crate) fn verify_journals(world: &World, owners: &[&Owner], terms: &Verification<'_>) -> Report {
    let _ = world;
    let journals: Vec<&Path> = owners.iter().map(|owner| owner.journal.as_path()).collect();
    let logs = owners.iter().map(|owner| owner.reader()).collect();
    terms.journals(&journals, logs, &mut ()).unwrap()
}

#[test]
fn journals_with_their_logs_are_judged_as_their_bundle_is() {
    let world = World::incident();
    let report = verify_journals(&world, &world.owners(), &world.terms());
    assert_eq!(report.verdict(), Verdict::Complete);
    let alone = verify_journals(&world, &[&world.bank], &world.terms());
    assert_eq!(reasons(&alone), ["parent.missing"], "the caller's journal is not here");
}
