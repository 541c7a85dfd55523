//! Webhooks and their outbox: what has to be told, to whom, and how often that was tried.
//!
//! A delivery is written in the transaction of the change it tells of, one for each webhook of the tenant that wants
//! the event, so there is no change without its deliveries and no delivery without its change. It is sent afterwards,
//! as often as it takes: a crash between sending and [`Hooks::settle`] sends it again. Receivers tell copies apart by
//! the id, which [`DeliveryRecord::id`] makes of what the delivery is.

use kakunin_core::digest::{Digest, hex};
use kakunin_core::time::UnixTime;
use serde_json::{Value, json};

use super::{FeedChange, StandingChange, StoreError};
use crate::access::TenantId;
use crate::hook::{HookEvent, HookId, SignatureForm};
use crate::standing::Standing;

/// The webhooks, each of one tenant, and what waits to be sent to them.
pub trait Hooks {
    /// Adds a webhook with its first secret.
    ///
    /// # Errors
    /// [`StoreError::HookTaken`] when there is one with its id, [`StoreError::UnknownTenant`] when it is nobody's.
    fn add_hook(&mut self, hook: &HookRecord, secret: &SealedSecret) -> Result<(), StoreError>;

    /// Every webhook of a tenant, in the order they were added.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn hooks(&self, tenant: &TenantId) -> Result<Vec<HookRecord>, StoreError>;

    /// A webhook of a tenant.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn hook(&self, tenant: &TenantId, id: HookId) -> Result<Option<HookRecord>, StoreError>;

    /// Changes a webhook. What waits for it stays; while it is not active nothing is added and nothing sent.
    ///
    /// # Errors
    /// [`StoreError::UnknownHook`] when the tenant has no such webhook.
    fn set_hook(
        &mut self,
        tenant: &TenantId,
        id: HookId,
        change: &HookChange,
        at: UnixTime,
    ) -> Result<(), StoreError>;

    /// Removes a webhook with its secrets and all that waits for it.
    ///
    /// # Errors
    /// [`StoreError::UnknownHook`] when the tenant has no such webhook.
    fn remove_hook(&mut self, tenant: &TenantId, id: HookId) -> Result<(), StoreError>;

    /// Gives a webhook a new secret. The one before it is good until `until`; any earlier one is gone.
    ///
    /// # Errors
    /// [`StoreError::UnknownHook`] when the tenant has no such webhook.
    fn rotate_secret(
        &mut self,
        tenant: &TenantId,
        id: HookId,
        secret: &SealedSecret,
        until: UnixTime,
    ) -> Result<(), StoreError>;

    /// The secrets of a webhook that are good at `now`, newest first: one, or two while one takes the other's place.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn secrets(&self, id: HookId, now: UnixTime) -> Result<Vec<SealedSecret>, StoreError>;

    /// Writes a delivery for each active webhook of the tenant that wants the event, and says how many.
    ///
    /// # Errors
    /// [`StoreError`] when they cannot be made durable.
    fn announce(&mut self, notice: &Notice) -> Result<u64, StoreError>;

    /// Writes a delivery for one webhook, whatever it wants, and says its number.
    ///
    /// # Errors
    /// [`StoreError::UnknownHook`] when the tenant has no such webhook.
    fn announce_to(&mut self, id: HookId, notice: &Notice) -> Result<u64, StoreError>;

    /// The active webhooks that something is to be sent to at `now`, in the order they were added.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn hooks_due(&self, now: UnixTime) -> Result<Vec<HookRecord>, StoreError>;

    /// The first `limit` deliveries of a webhook that are due at `now`, longest due first.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn due(&self, id: HookId, now: UnixTime, limit: u32) -> Result<Vec<DeliveryRecord>, StoreError>;

    /// Records what came of trying to send one, and whether it still waited: one that was settled or removed in
    /// between stays as it is.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be made durable.
    fn settle(&mut self, id: HookId, sequence: u64, attempt: &Attempt) -> Result<bool, StoreError>;

    /// The newest `limit` deliveries of a webhook of a tenant, newest first; with `below` those before that number.
    ///
    /// # Errors
    /// [`StoreError::UnknownHook`] when the tenant has no such webhook.
    fn deliveries(
        &self,
        tenant: &TenantId,
        id: HookId,
        below: Option<u64>,
        limit: u32,
    ) -> Result<Vec<DeliveryRecord>, StoreError>;

    /// How much waits, over all tenants.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn backlog(&self) -> Result<Backlog, StoreError>;

    /// Forgets deliveries that came to their end before `at`, and says how many.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be made durable.
    fn forget_deliveries(&mut self, at: UnixTime) -> Result<u64, StoreError>;
}

/// A webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookRecord {
    /// Which one.
    pub id: HookId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Where to.
    pub url: String,
    /// What it wants to be told.
    pub events: Vec<HookEvent>,
    /// How deliveries are signed beside our own signature.
    pub form: SignatureForm,
    /// Whether anything is sent.
    pub active: bool,
    /// When it was added.
    pub created: UnixTime,
    /// When it was last changed.
    pub updated: UnixTime,
}

/// What changes about a webhook; `None` leaves it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HookChange {
    /// Where to.
    pub url: Option<String>,
    /// What it wants to be told.
    pub events: Option<Vec<HookEvent>>,
    /// How deliveries are signed beside our own signature.
    pub form: Option<SignatureForm>,
    /// Whether anything is sent.
    pub active: Option<bool>,
}

/// A secret of a webhook, closed by a key that is not in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedSecret {
    /// What [`crate::signer::SealingKey`] made of it.
    pub sealed: Vec<u8>,
    /// Its last characters, by which people tell secrets apart.
    pub hint: String,
    /// When it was made.
    pub created: UnixTime,
    /// Until when it is good, once another one took its place.
    pub until: Option<UnixTime>,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// To whose agents.
    pub tenant: TenantId,
    /// What.
    pub event: HookEvent,
    /// When.
    pub at: UnixTime,
    /// The rest, as the text of a JSON object.
    pub data: String,
}

/// How far a delivery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    /// It was not sent yet.
    Pending,
    /// The receiver took it.
    Delivered,
    /// The last attempt failed, and there will be another one.
    Failed,
    /// It failed too often and is not sent any more.
    Dead,
}

impl DeliveryState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Delivered, Self::Failed, Self::Dead];

    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Dead => "dead",
        }
    }

    /// Finds a state by its word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }

    /// Whether it will be sent.
    #[must_use]
    pub const fn waits(self) -> bool {
        matches!(self, Self::Pending | Self::Failed)
    }
}

/// What is to be sent to one webhook, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryRecord {
    /// To which one.
    pub hook: HookId,
    /// Its number among the deliveries of this webhook: 1, 2, 3, without a gap.
    pub sequence: u64,
    /// What happened.
    pub event: HookEvent,
    /// When it happened.
    pub at: UnixTime,
    /// The rest, as the text of a JSON object.
    pub data: String,
    /// How far it is.
    pub state: DeliveryState,
    /// How often it was sent.
    pub attempts: u32,
    /// When it is to be sent (again).
    pub due: UnixTime,
    /// When it was last sent.
    pub tried: Option<UnixTime>,
    /// What the receiver answered last.
    pub answer: Option<ReceiverAnswer>,
    /// Why the last attempt failed.
    pub error: Option<String>,
}

impl DeliveryRecord {
    /// The same for every attempt, and for no other delivery: also when a store is restored from a backup and the
    /// numbers after it are taken a second time for something else.
    #[must_use]
    pub fn id(&self) -> String {
        let (sequence, at) = (self.sequence.to_be_bytes(), self.at.seconds().to_be_bytes());
        let parts: [&[u8]; 5] =
            [self.hook.as_bytes(), &sequence, &at, self.event.word().as_bytes(), self.data.as_bytes()];
        let hash = Digest::of(&parts.concat());
        format!("evt_{}", hex(hash.as_bytes().get(..16).unwrap_or_default()))
    }
}

/// What a receiver answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiverAnswer {
    /// The status.
    pub status: u16,
    /// The beginning of the body, as it came: nothing about it can be relied on.
    pub body: Vec<u8>,
}

/// What came of sending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// When.
    pub at: UnixTime,
    /// How it goes on.
    pub then: Then,
    /// What the receiver answered.
    pub answer: Option<ReceiverAnswer>,
    /// Why it failed.
    pub error: Option<String>,
}

/// How it goes on with a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It arrived.
    Delivered,
    /// It is sent again at this time.
    Again(UnixTime),
    /// It is not sent any more.
    GiveUp,
}

impl Then {
    pub(super) const fn state(self) -> DeliveryState {
        match self {
            Self::Delivered => DeliveryState::Delivered,
            Self::Again(_) => DeliveryState::Failed,
            Self::GiveUp => DeliveryState::Dead,
        }
    }

    pub(super) const fn due(self) -> Option<UnixTime> {
        match self {
            Self::Again(due) => Some(due),
            Self::Delivered | Self::GiveUp => None,
        }
    }
}

/// What waits, over all tenants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Not sent yet.
    pub pending: u64,
    /// To be sent again.
    pub failed: u64,
    /// Given up.
    pub dead: u64,
    /// When the oldest event happened that an active webhook was not told yet.
    pub oldest: Option<UnixTime>,
}

/// What a change of standing tells receivers, once it happened: first about the agent, then about each certificate.
pub(super) fn notices(
    change: &StandingChange<'_>,
    name: &str,
    before: Standing,
    told: &[FeedChange],
) -> Vec<Notice> {
    let notice = |event, data: Value| Notice {
        tenant: change.tenant.clone(),
        event,
        at: change.at,
        data: data.to_string(),
    };
    let mut notices = Vec::new();
    if before != change.to {
        let data = json!({
            "agent_id": change.agent.to_string(),
            "agent_name": name,
            "before": before.word(),
            "standing": change.to.word(),
            "reason": change.text,
            "reason_code": change.reason.word(),
            "certificates": told.iter().map(|change| change.entries.len()).sum::<usize>(),
        });
        if change.halt {
            notices.push(notice(HookEvent::AgentHalted, data.clone()));
        }
        let event = match change.to {
            Standing::Good => HookEvent::AgentResumed,
            Standing::Held => HookEvent::AgentSuspended,
            Standing::Revoked => HookEvent::AgentRevoked,
        };
        notices.push(notice(event, data));
    }
    for entry in told.iter().flat_map(|change| &change.entries) {
        if entry.standing == Standing::Revoked {
            let serial = serial(entry.serial.as_bytes());
            let data = json!({
                "agent_id": change.agent.to_string(),
                "agent_name": name,
                "certificate_id": serial,
                "serial_number": serial,
                "status": "revoked",
                "revoked_at": entry.since.to_string(),
                "reason": change.text,
                "reason_code": entry.reason.word(),
            });
            notices.push(notice(HookEvent::CertificateRevoked, data));
        }
    }
    notices
}

/// What a certificate that is signed and kept tells receivers. It happened when the certificate begins.
pub(super) fn issued(record: &super::CertificateRecord, name: &str) -> Notice {
    let serial = serial(record.serial.as_bytes());
    let data = json!({
        "agent_id": record.agent.to_string(),
        "agent_name": name,
        "certificate_id": serial,
        "serial_number": serial,
        "status": if record.standing == Standing::Good { "active" } else { "revoked" },
        "issued_at": record.validity.not_before.to_string(),
        "expires_at": record.validity.not_after.to_string(),
    });
    Notice {
        tenant: record.tenant.clone(),
        event: HookEvent::CertificateIssued,
        at: record.validity.not_before,
        data: data.to_string(),
    }
}

/// A serial number as the rest of the service writes it.
fn serial(bytes: &[u8]) -> String {
    hex(bytes).to_ascii_uppercase()
}
