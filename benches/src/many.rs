//! The records of a large authority, written straight into them: what its certificates look like is nobody's business here.

use kakunin_authority::access::{Actor, TenantId};
use kakunin_authority::store::{
    Agents as _, AuditRecord, IssuerId, ReceiptKind, ReceiptRecord, Reservation, RowSalt, SqliteStore, Store,
    StoreError,
};
use kakunin_authority::{AgentName, Home};
use kakunin_core::digest::Digest;
use kakunin_core::id::{AgentId, SerialNumber, StreamId};
use kakunin_core::time::{UnixTime, Validity};

use crate::Outcome;

/// How much there is to be.
pub(crate) struct Many {
    /// Agents, each with a certificate.
    pub(crate) agents: usize,
    /// Certificates of one more agent, `crowd`, to be revoked at once.
    pub(crate) crowd: usize,
    /// Entries of the audit log.
    pub(crate) orders: usize,
    /// Receipts, in as many streams as there are thousands.
    pub(crate) receipts: usize,
}

impl Many {
    /// Writes it into the records of `home`, which has one agent already.
    pub(crate) fn write(&self, home: &Home, now: UnixTime) -> Outcome<()> {
        let mut store = SqliteStore::open(&home.store())?;
        let tenant = TenantId::default();
        let model = store.agents(&tenant)?.into_iter().next().ok_or("no agent")?;
        let validity = Validity { not_before: now.plus(-60), not_after: now.plus(7 * 24 * 3600) };
        let certify = |store: &mut dyn Store, agent: AgentId, number: usize| {
            let serial = SerialNumber::from_random((number as u128).to_be_bytes());
            let key = Digest::of(&number.to_be_bytes());
            store.reserve(&Reservation { serial, issuer: IssuerId::ROOT.next(), agent, key, validity })?;
            store.keep_tbs(serial, &CERTIFICATE)?;
            store.keep_certificate(serial, &CERTIFICATE)
        };
        let add = |store: &mut dyn Store, number: usize, name: &str| {
            let name = AgentName::parse(name).map_err(|_| StoreError::Damaged { what: "name" })?;
            let added = kakunin_authority::store::AgentRecord { id: id(number), name, ..model.clone() };
            store.add_agent(&added)
        };
        in_parts(&mut store, self.agents, |store, number| {
            add(store, number, &format!("agent-{number}"))?;
            certify(store, id(number), number)
        })?;
        add(&mut store, self.agents, "crowd")?;
        in_parts(&mut store, self.crowd, |store, number| {
            certify(store, id(self.agents), self.agents + number)
        })?;
        let order = AuditRecord {
            at: now,
            actor: Actor::Local,
            address: Some("192.0.2.17".into()),
            tenant: tenant.clone(),
            what: "agent.renew".into(),
            subject: id(0).to_string(),
            before: None,
            after: None,
            text: "x".repeat(80),
            salt: Some(RowSalt::from_random([7; 32])),
        };
        in_parts(&mut store, self.orders, |store, _| store.audit_intent(&order).map(drop))?;
        let line = "x".repeat(RECEIPT);
        in_parts(&mut store, self.receipts, |store, number| {
            let one = ReceiptRecord {
                tenant: tenant.clone(),
                agent: id(number / 1000),
                stream: StreamId::from_bytes(((number / 1000) as u128).to_be_bytes()),
                sequence: (number % 1000) as u64,
                hash: Digest::of(&number.to_be_bytes()),
                at: now.seconds() * 1_000_000,
                kind: ReceiptKind::Allow,
                action: Some("payments:send".into()),
                code: None,
                chain: None,
                line: line.clone(),
                received: now,
            };
            store.keep_receipts(&[one]).map(drop)
        })?;
        Ok(())
    }
}

fn id(number: usize) -> AgentId {
    // Version 4 in its place, as those that are drawn have it.
    AgentId::from_bytes((0x5a1e_0000_0000_4000_8000_0000_0000_0000 | number as u128).to_be_bytes())
}

fn in_parts(
    store: &mut SqliteStore,
    many: usize,
    mut one: impl FnMut(&mut dyn Store, usize) -> Result<(), StoreError>,
) -> Outcome<()> {
    for part in (0..many).step_by(PART) {
        store.batch(&mut |store| (part..many.min(part + PART)).try_for_each(|number| one(store, number)))?;
    }
    Ok(())
}

const PART: usize = 10_000;
/// As long as a certificate is.
static CERTIFICATE: [u8; 900] = [0x30; 900];
/// As long as a receipt is.
const RECEIPT: usize = 850;
