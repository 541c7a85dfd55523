//! The records of an authority, through their own words.

mod access;
mod agents;
mod audit;
mod batch;
mod checkpoint_orders;
mod conformance;
mod declared_orders;
mod feed;
mod freezes;
mod hook_orders;
mod hooks;
mod killed;
#[cfg(feature = "postgres")]
mod lines;
mod lists;
mod old;
mod orders;
mod requests;
mod risk_orders;
mod shown;
mod tokens;
#[cfg(feature = "postgres")]
pub(crate) mod server;
#[cfg(feature = "postgres")]
mod terms;

use kakunin_authority::AgentName;
use kakunin_authority::access::TenantId;
use kakunin_authority::standing::{Reason, Standing};
use kakunin_authority::store::{
    AgentDetails, AgentRecord, Agents, Certificates, FeedChange, IssuerId, IssuerRecord, Issuers,
    Reservation, SqliteStore, StandingChange, Store, StoreError,
};
use kakunin_core::digest::Digest;
use kakunin_core::id::{AgentId, SerialNumber};
use kakunin_core::time::{UnixTime, Validity};
use tempfile::TempDir;

/// A new store in a folder of its own.
pub(super) fn fresh() -> (TempDir, SqliteStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("store.sqlite")).unwrap();
    (folder, store)
}

pub(super) fn at(seconds: i64) -> UnixTime {
    UnixTime::from_seconds(seconds)
}

/// The one tenant that every store has.
pub(super) fn ours() -> TenantId {
    TenantId::default()
}

/// A tenant that no store has.
pub(super) fn theirs() -> TenantId {
    TenantId::parse("theirs").unwrap()
}

/// The end of every certificate here.
pub(super) const END: UnixTime = UnixTime::from_seconds(1000);

/// The first issuing authority.
pub(super) fn first() -> IssuerId {
    IssuerId::ROOT.next()
}

/// An agent of ours.
pub(super) fn agent(number: u8) -> AgentRecord {
    AgentRecord {
        id: AgentId::from_random([number; 16]),
        tenant: ours(),
        name: AgentName::parse(&format!("agent-{number}")).unwrap(),
        created: at(number.into()),
        updated: at(number.into()),
        standing: Standing::Good,
        scope: vec![number],
        details: AgentDetails::default(),
    }
}

pub(super) fn serial(number: u16) -> SerialNumber {
    let mut random = [7; 16];
    random[..2].copy_from_slice(&number.to_be_bytes());
    SerialNumber::from_random(random)
}

pub(super) fn revoke(tenant: &TenantId, agent: AgentId, at: UnixTime) -> StandingChange<'_> {
    StandingChange {
        tenant,
        agent,
        to: Standing::Revoked,
        reason: Reason::KeyCompromise,
        text: "stolen",
        halt: false,
        at,
    }
}

/// A store with a root and an issuing authority.
pub(super) struct Bench {
    folder: TempDir,
    pub(super) store: SqliteStore,
}

impl Bench {
    pub(super) fn new() -> Self {
        let (folder, store) = fresh();
        let mut bench = Self { folder, store };
        bench.add_issuer(IssuerId::ROOT);
        bench.add_issuer(first());
        bench
    }

    pub(super) fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("store.sqlite")
    }

    pub(super) fn add_issuer(&mut self, id: IssuerId) {
        let tenant = (id != IssuerId::ROOT).then(ours);
        self.store.add_issuers(&[IssuerRecord { id, tenant, der: vec![1], revoked: None }]).unwrap();
    }

    pub(super) fn reserve(&mut self, number: u16, of: u8) -> Result<(), StoreError> {
        self.store.reserve(&reservation(first(), number, of))
    }

    pub(super) fn certify(&mut self, number: u8, of: u8) {
        self.certify_by(first(), number.into(), of);
    }

    pub(super) fn certify_by(&mut self, issuer: IssuerId, number: u16, of: u8) {
        self.store.reserve(&reservation(issuer, number, of)).unwrap();
        self.store.keep_tbs(serial(number), b"to be signed").unwrap();
        self.store.keep_certificate(serial(number), b"signed").unwrap();
    }

    pub(super) fn certify_many(&mut self, of: u8, many: usize) {
        let all = self.store.batch(&mut |store| {
            for number in (0..).take(many) {
                store.reserve(&reservation(first(), number, of))?;
                store.keep_tbs(serial(number), b"to be signed")?;
            }
            Ok(())
        });
        all.unwrap();
    }

    pub(super) fn change(&mut self, of: u8, to: Standing, at: UnixTime) -> Vec<FeedChange> {
        let reason = match to {
            Standing::Good => Reason::Unspecified,
            Standing::Held => Reason::CertificateHold,
            Standing::Revoked => Reason::KeyCompromise,
        };
        let id = AgentId::from_random([of; 16]);
        let change = StandingChange { tenant: &ours(), agent: id, to, reason, text: "", halt: false, at };
        self.store.change_standing(&change).unwrap()
    }
}

pub(super) fn reservation(issuer: IssuerId, number: u16, of: u8) -> Reservation {
    let validity = Validity { not_before: at(0), not_after: END };
    let key = Digest::of(&number.to_be_bytes());
    Reservation { serial: serial(number), issuer, agent: AgentId::from_random([of; 16]), key, validity }
}
