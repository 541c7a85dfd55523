//! What the authority knows of an incident, as one bundle that a stranger checks with `kakunin verify`.
//!
//! Streams are written anew from the receipts that an agent sent, beside the certificates, lists and feed items of this
//! authority, and exported like any journal. A stream goes along whole: half of one would read as if the rest had been
//! taken out. Nothing is judged here and nothing signed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use kakunin_core::bundle::{ExportError, Exported, export};
use kakunin_core::digest::Digest;
use kakunin_core::feed::UnverifiedItem;
use kakunin_core::id::{AgentId, ChainId};
use kakunin_core::journal::{Archive, ArchiveError, RestoreError, Restoring};

use crate::access::TenantId;
use crate::standing::Standing;
use crate::store::{IssuerId, ListRecord, ReceiptFilter, Store, StoreError};

/// Writes the bundle `out` of the streams of an agent in which a receipt is that `filter` lets through: all of each, or
/// of one chain what belongs to it. `folder` is empty, and may be thrown away afterwards.
///
/// # Errors
/// [`EvidenceError::TooMuch`] when the streams have more than [`MOST_RECEIPTS`] receipts or need more than [`MOST_OCTETS`],
/// [`EvidenceError::Export`] when there are none, or they do not make a journal; otherwise what cannot be read or written.
pub fn bundle(
    store: &dyn Store,
    (tenant, agent): (&TenantId, AgentId),
    filter: &ReceiptFilter,
    whose: Whose<'_>,
    folder: &Path,
    out: &Path,
) -> Result<Exported, EvidenceError> {
    within((MOST_RECEIPTS, MOST_OCTETS), store, (tenant, &[agent]), (filter, whose), folder, out)
}

/// Writes the bundle `out` of a chain: of each of these agents of a tenant the streams in which a receipt is of it, and of
/// those what belongs to it. `folder` is empty, and may be thrown away afterwards.
///
/// # Errors
/// As [`bundle`].
pub fn bundle_of_chain(
    store: &dyn Store,
    (tenant, agents): (&TenantId, &[AgentId]),
    chain: ChainId,
    whose: Whose<'_>,
    folder: &Path,
    out: &Path,
) -> Result<Exported, EvidenceError> {
    let filter = ReceiptFilter { chain: Some(chain), ..ReceiptFilter::default() };
    within((MOST_RECEIPTS, MOST_OCTETS), store, (tenant, agents), (&filter, whose), folder, out)
}

/// Of which agents whoever asks for a bundle may have certificates.
#[derive(Clone, Copy, Debug)]
pub enum Whose<'a> {
    /// Of all of the tenant.
    Anyone,
    /// Of these alone. Those of others that asked one of them as a gateway are left out: a certificate says what its agent may
    /// do, and with whom. To decisions about them the verifier says `receipt.caller`.
    Only(&'a [AgentId]),
}

impl Whose<'_> {
    fn has(self, agent: AgentId) -> bool {
        match self {
            Self::Anyone => true,
            Self::Only(agents) => agents.contains(&agent),
        }
    }
}

fn within(
    (most_receipts, most_octets): (u64, u64),
    store: &dyn Store,
    (tenant, agents): (&TenantId, &[AgentId]),
    (filter, whose): (&ReceiptFilter, Whose<'_>),
    folder: &Path,
    out: &Path,
) -> Result<Exported, EvidenceError> {
    let (mut journals, mut left) = (Vec::new(), (most_receipts, most_octets));
    for agent in agents {
        let journal = folder.join(agent.to_string()).join("journal");
        if restore(&mut left, store, (tenant, *agent), (filter, whose), &journal)? {
            journals.push(journal);
        }
    }
    if journals.is_empty() {
        return Err(ExportError::Nothing.into());
    }
    let journals: Vec<&Path> = journals.iter().map(PathBuf::as_path).collect();
    Ok(export(&journals, &mut [], filter.chain, out)?)
}

/// Writes the streams of one agent anew with what they are judged by, and says whether there are any. Takes from what is
/// `left` how many receipts and octets that needs.
fn restore(
    (left_receipts, left_octets): &mut (u64, u64),
    store: &dyn Store,
    (tenant, agent): (&TenantId, AgentId),
    (filter, whose): (&ReceiptFilter, Whose<'_>),
    journal: &Path,
) -> Result<bool, EvidenceError> {
    let (before, mut named) = (*left_receipts, BTreeSet::new());
    let mut callers: BTreeMap<AgentId, BTreeSet<Digest>> = BTreeMap::new();
    for stream in store.receipt_streams(tenant, agent, filter)? {
        let mut restoring = Restoring::begin(journal, stream)?;
        let mut after = None;
        loop {
            let page = store.stream_receipts(tenant, agent, stream, after, PAGE)?;
            let Some(last) = page.last() else { break };
            after = Some((last.sequence, last.hash));
            *left_receipts = left_receipts.checked_sub(page.len() as u64).ok_or(EvidenceError::TooMuch)?;
            for receipt in &page {
                let statement = restoring.entry(&receipt.line)?;
                named.extend(statement.event.list().map(|list| list.digest));
                if let Some(caller) = statement.event.caller()
                    && whose.has(caller.agent)
                {
                    callers.entry(caller.agent).or_default().insert(caller.certificate);
                }
            }
        }
        restoring.end()?;
    }
    if *left_receipts == before {
        return Ok(false);
    }
    let mut papers = Papers { store, archive: Archive::of(journal), room: *left_octets };
    papers.keep((tenant, agent), &named)?;
    papers.keep_callers(tenant, &callers)?;
    *left_octets = papers.room;
    Ok(true)
}

/// What receipts are judged by, on its way to a place beside them.
struct Papers<'a> {
    store: &'a dyn Store,
    archive: Archive,
    /// How many octets may still come.
    room: u64,
}

impl Papers<'_> {
    /// Puts there the certificates of an agent with those above them, the lists that its receipts name and those that say when
    /// it was revoked, and the feed beside these; all of the issuing authorities that certified it, and of no other.
    fn keep(
        &mut self,
        (tenant, agent): (&TenantId, AgentId),
        named: &BTreeSet<Digest>,
    ) -> Result<(), EvidenceError> {
        let certificates = self.store.certificates(tenant, agent)?;
        let mut issuers: BTreeSet<IssuerId> = certificates.iter().map(|known| known.issuer).collect();
        issuers.insert(IssuerId::ROOT);
        for name in named {
            // Whatever a receipt names: a list of somebody else's authority is not for whoever reads this.
            if let Some((issuer, list)) = self.store.list_named(name)?
                && issuers.contains(&issuer)
            {
                self.list(list)?;
            }
        }
        for known in certificates {
            if known.standing == Standing::Revoked {
                for at in [known.since, known.since.plus(-1)] {
                    self.store.list_as_of(known.issuer, at)?.map_or(Ok(()), |list| self.list(list))?;
                }
            }
            known.der.map_or(Ok(()), |der| self.certificate(&der))?;
        }
        for issuer in self.store.issuers()?.iter().filter(|issuer| issuers.contains(&issuer.id)) {
            self.certificate(&issuer.der)?;
            self.store.newest_list(issuer.id)?.map_or(Ok(()), |list| self.list(list))?;
            self.feed(issuer.id)?;
        }
        Ok(())
    }

    /// Puts there the certificates of the agents that asked a gateway: its decisions are judged by them. They are of the
    /// gateway's own issuing authority, whose papers are there.
    fn keep_callers(
        &mut self,
        tenant: &TenantId,
        callers: &BTreeMap<AgentId, BTreeSet<Digest>>,
    ) -> Result<(), EvidenceError> {
        for (agent, named) in callers {
            let certificates = self.store.certificates(tenant, *agent)?;
            for der in certificates.into_iter().filter_map(|known| known.der) {
                if named.contains(&Digest::of(&der)) {
                    self.certificate(&der)?;
                }
            }
        }
        Ok(())
    }

    fn feed(&mut self, issuer: IssuerId) -> Result<(), EvidenceError> {
        let (mut epoch, mut keys) = (0, BTreeSet::new());
        loop {
            let items = self.store.changes_since(issuer, epoch, PAGE)?;
            let Some(last) = items.last() else { break };
            epoch = last.epoch;
            for item in &items {
                self.take(item.item.len())?;
                self.archive.keep_item(&item.head, &item.item)?;
                if let Ok(read) = UnverifiedItem::parse(&item.item) {
                    keys.insert(*read.key());
                }
            }
        }
        for key in keys {
            if let Some(key) = self.store.feed_key(issuer, key)? {
                self.certificate(&key.der)?;
            }
        }
        Ok(())
    }

    fn list(&mut self, list: ListRecord) -> Result<(), EvidenceError> {
        self.take(list.der.len())?;
        Ok(self.archive.keep_list(&list.name()?, &list.der)?)
    }

    fn certificate(&mut self, der: &[u8]) -> Result<(), EvidenceError> {
        self.take(der.len())?;
        self.archive.keep_certificate(der)?;
        Ok(())
    }

    fn take(&mut self, octets: usize) -> Result<(), EvidenceError> {
        self.room = self.room.checked_sub(octets as u64).ok_or(EvidenceError::TooMuch)?;
        Ok(())
    }
}

/// As many receipts as a bundle of the service may have: some 100 MB.
pub const MOST_RECEIPTS: u64 = 100_000;
/// As much as its lists, certificates and feed items may have together: 256 MiB, fifty lists of 100,000 entries.
pub const MOST_OCTETS: u64 = 256 << 20;
const PAGE: u32 = 1000;

/// A bundle that cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvidenceError {
    /// More than one answer holds.
    #[error(
        "the streams that are asked for have more than {MOST_RECEIPTS} receipts, or more than {} MiB of lists and changes of the feed to be judged by; narrow the time",
        MOST_OCTETS >> 20
    )]
    TooMuch,
    /// The receipts make no bundle.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// A stream cannot be written.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// A certificate, list or item cannot be written.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The records cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kakunin_core::journal::{Identity, Journal, JournalOptions, StreamReader};
    use kakunin_core::key::{Algorithm, Signer, SoftKey};
    use kakunin_core::receipt::{Control, ListUse, Stamp, UnverifiedReceipt};
    use kakunin_core::time::UnixTime;

    use super::*;
    use crate::agent::AgentName;
    use crate::standing::Standing;
    use crate::store::{
        AgentDetails, AgentRecord, IssuerRecord, MemoryStore, ReceiptKind, ReceiptRecord, StoreError,
    };

    #[test]
    fn a_bundle_has_what_its_agent_is_judged_by_and_not_more_than_it_may() {
        let (mut store, folder) = (MemoryStore::default(), tempfile::tempdir().unwrap());
        let (first, other) = (IssuerId::ROOT.next(), IssuerId::ROOT.next().next());
        let issuer = |id| IssuerRecord { id, der: vec![1], revoked: None, tenant: None };
        let all: Vec<_> = [IssuerId::ROOT, first, other].into_iter().map(issuer).collect();
        fill(&mut store, &all);
        let ours = TenantId::default();
        let (own, foreign) = (list(1), list(2));
        store_lists(&mut store, &[(IssuerId::ROOT, &own), (other, &foreign)]);
        let id = AgentId::from_random([1; 16]);
        // It names the root's list, one of an authority that never certified it, and one that nobody signed.
        let names = [own.name().unwrap(), foreign.name().unwrap(), Digest::of(b"nobody's")];
        let receipts = receipts(id, &names);
        crate::store::Receipts::keep_receipts(&mut store, &receipts).unwrap();
        let every = ReceiptFilter::default();
        let made = |limits, agent, place: &str| {
            let folder = folder.path().join(place);
            std::fs::create_dir(&folder).unwrap();
            let done = within(
                limits,
                &store,
                (&ours, &[agent]),
                (&every, Whose::Anyone),
                &folder,
                &folder.join("out.zip"),
            );
            (done, Archive::of(&folder.join(agent.to_string()).join("journal")))
        };
        let many = receipts.len() as u64;
        let (done, archive) = made((many, MOST_OCTETS), id, "whole");
        assert_eq!(done.unwrap().receipts, many);
        assert_eq!(archive.list(&names[0]), Some(own.der.clone()));
        assert_eq!(archive.list(&names[1]), None, "a list of an authority that has nothing to do with it");
        for (limits, place) in
            [((many - 1, MOST_OCTETS), "receipts"), ((many, own.der.len() as u64), "octets")]
        {
            assert!(matches!(made(limits, id, place).0, Err(EvidenceError::TooMuch)), "{place}");
        }
        let (none, _) = made((many, MOST_OCTETS), AgentId::from_random([2; 16]), "none");
        assert!(matches!(none, Err(EvidenceError::Export(ExportError::Nothing))));
        let theirs = TenantId::parse("theirs").unwrap();
        let out = folder.path().join("theirs.zip");
        let foreign = bundle(&store, (&theirs, id), &every, Whose::Anyone, folder.path(), &out);
        assert!(matches!(foreign, Err(EvidenceError::Export(ExportError::Nothing))));
    }

    fn fill(store: &mut dyn Store, issuers: &[IssuerRecord]) {
        store.add_issuers(issuers).unwrap();
        let agent = AgentRecord {
            id: AgentId::from_random([1; 16]),
            tenant: TenantId::default(),
            name: AgentName::parse("billing").unwrap(),
            created: UnixTime::from_seconds(1),
            updated: UnixTime::from_seconds(1),
            standing: Standing::Good,
            scope: Vec::new(),
            details: AgentDetails::default(),
        };
        store.add_agent(&agent).unwrap();
    }

    fn store_lists(store: &mut dyn Store, lists: &[(IssuerId, &ListRecord)]) {
        let kept: Result<(), StoreError> =
            lists.iter().try_for_each(|(issuer, list)| store.keep_list(*issuer, list));
        kept.unwrap();
    }

    /// What begins as a list does.
    fn list(number: u8) -> ListRecord {
        let at = UnixTime::from_seconds(number.into());
        ListRecord {
            number: number.into(),
            this_update: at,
            next_update: at.plus(1),
            der: vec![0x30, 5, 0x30, 3, 2, 1, number],
        }
    }

    fn receipts(agent: AgentId, names: &[Digest]) -> Vec<ReceiptRecord> {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity {
            agent,
            certificate: b"certificate".to_vec(),
            chain: Vec::new(),
            signer: Arc::new(Signer::soft(SoftKey::generate(Algorithm::P256).unwrap().0)),
        };
        let stamp = Stamp { micros: 1, boot: [1; 16], mono_nanos: 1 };
        let journal = Journal::open_with(folder.path(), identity, stamp, JournalOptions::default()).unwrap();
        for name in names {
            let (this_update, next_update) = (UnixTime::from_seconds(0), UnixTime::from_seconds(1));
            let named = ListUse { number: [1; 20], digest: *name, this_update, next_update, feed: None };
            journal.control(Control::List(named), stamp).unwrap();
        }
        journal.close(stamp).unwrap();
        let entries = StreamReader::open(folder.path(), journal.stream().unwrap()).unwrap();
        let record = |line: String| {
            let receipt = UnverifiedReceipt::from_log_entry(&line).unwrap().0;
            let statement = receipt.statement();
            ReceiptRecord {
                tenant: TenantId::default(),
                agent,
                stream: statement.stream,
                sequence: statement.sequence,
                hash: Digest::of(receipt.signing_input()),
                at: statement.stamp.micros,
                kind: ReceiptKind::Control,
                action: None,
                code: None,
                chain: None,
                line,
                received: UnixTime::from_seconds(1),
            }
        };
        entries.map(|entry| record(entry.unwrap().to_log_entry().unwrap())).collect()
    }
}
