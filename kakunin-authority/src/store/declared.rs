//! What agents are said to have done: events that somebody with a key declared, and the chains they stand in.
//!
//! An event is a claim: no key of the agent signed it, and nothing is decided by it. It is kept with the time at which
//! it came beside the time that it names. A chain is closed once and for good. Each event in it carries a hash over the
//! one before and over itself, so that whoever knows a chain's hash can tell whether anything in it was changed.

use std::fmt;

use kakunin_core::digest::{Digest, hex, unhex};
use kakunin_core::id::{AgentId, ChainId, SerialNumber};
use kakunin_core::time::UnixTime;

use super::StoreError;
use crate::access::TenantId;

/// Declared events, and chains of them.
pub trait Declared {
    /// Keeps an event, at the end of its chain if it is for one.
    ///
    /// # Errors
    /// [`StoreError::UnknownAgent`] and [`StoreError::UnknownChain`] when the tenant has no such thing,
    /// [`StoreError::ChainClosed`] when nothing is added to the chain any more, [`StoreError::EventTaken`] when there is
    /// an event with this id.
    fn declare(&mut self, event: &Declaration) -> Result<DeclaredEvent, StoreError>;

    /// The newest `limit` events of a tenant that `filter` lets through, newest first, by when they came.
    ///
    /// # Errors
    /// [`StoreError::UnknownEvent`] when they are to begin below an event that the tenant does not have.
    fn declared(
        &self,
        tenant: &TenantId,
        filter: &DeclaredFilter,
        limit: u32,
    ) -> Result<Vec<DeclaredEvent>, StoreError>;

    /// The first `limit` events of a tenant that came after the event `after`, or of all, and that `filter` lets through, in
    /// the order in which they came.
    ///
    /// # Errors
    /// [`StoreError::UnknownEvent`] when the tenant does not have the event `after`.
    fn declared_after(
        &self,
        tenant: &TenantId,
        filter: &DeclaredFilter,
        after: Option<EventId>,
        limit: u32,
    ) -> Result<Vec<DeclaredEvent>, StoreError>;

    /// How many events of an agent came since `since`, for each day, action and score, in that order.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn declared_days(
        &self,
        tenant: &TenantId,
        agent: AgentId,
        since: UnixTime,
    ) -> Result<Vec<DayCount>, StoreError>;

    /// Begins a chain.
    ///
    /// # Errors
    /// [`StoreError::UnknownTenant`] when it is nobody's, [`StoreError::ChainTaken`] when there is one with this id.
    fn add_chain(&mut self, chain: &NewChain) -> Result<ChainRecord, StoreError>;

    /// The chain of a tenant with this id.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn chain(&self, tenant: &TenantId, id: ChainId) -> Result<Option<ChainRecord>, StoreError>;

    /// The chain with this id, whatever its tenant: whoever asks knows only the id.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn any_chain(&self, id: ChainId) -> Result<Option<ChainRecord>, StoreError>;

    /// Some chains of a tenant, newest first.
    ///
    /// # Errors
    /// [`StoreError::UnknownChain`] when the page is to begin after a chain that the tenant does not have.
    fn chains(&self, tenant: &TenantId, page: &ChainPage) -> Result<Vec<ChainRecord>, StoreError>;

    /// How many chains a tenant has: all, those that are open, or those that are not.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn count_chains(&self, tenant: &TenantId, open: Option<bool>) -> Result<u64, StoreError>;

    /// The events of a chain, in their order.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    fn chain_events(&self, tenant: &TenantId, chain: ChainId) -> Result<Vec<DeclaredEvent>, StoreError>;

    /// Closes a chain.
    ///
    /// # Errors
    /// [`StoreError::UnknownChain`] when the tenant has no such chain, [`StoreError::ChainClosed`] when it is closed.
    fn close_chain(
        &mut self,
        tenant: &TenantId,
        id: ChainId,
        at: UnixTime,
    ) -> Result<ChainRecord, StoreError>;
}

/// The name of a declared event.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId([u8; 16]);

impl EventId {
    /// Takes random octets.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The octets.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Reads 32 lower-case hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        unhex(text).map(Self)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventId({self})")
    }
}

/// An event as it is declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declaration {
    /// Its name.
    pub id: EventId,
    /// Whose agent's it is.
    pub tenant: TenantId,
    /// Who did it.
    pub agent: AgentId,
    /// What, in one word.
    pub action: String,
    /// How risky, in hundredths.
    pub score: u8,
    /// When it happened, as is said.
    pub occurred: UnixTime,
    /// When it was declared.
    pub received: UnixTime,
    /// In which session.
    pub session: Option<String>,
    /// Anything else, as the text of a JSON object.
    pub details: Option<String>,
    /// From where it came.
    pub address: Option<String>,
    /// The agent's certificate that was good then.
    pub certificate: Option<SerialNumber>,
    /// The chain it is for.
    pub chain: Option<ChainId>,
}

/// An event as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredEvent {
    /// What was declared.
    pub event: Declaration,
    /// Its place in its chain, from 1, and the hash of the chain up to there.
    pub link: Option<(u64, Digest)>,
}

/// Which events; what is `None` lets everything through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeclaredFilter {
    /// Of these agents.
    pub agents: Option<Vec<AgentId>>,
    /// This word.
    pub action: Option<String>,
    /// With at least this score.
    pub least: Option<u8>,
    /// With a lower score than this.
    pub under: Option<u8>,
    /// That came at or after.
    pub since: Option<UnixTime>,
    /// That came before.
    pub before: Option<UnixTime>,
    /// That came before this one: where a page ended, the next one begins.
    pub below: Option<EventId>,
}

impl DeclaredFilter {
    pub(super) fn takes(&self, event: &Declaration) -> bool {
        self.agents.as_ref().is_none_or(|agents| agents.contains(&event.agent))
            && self.action.as_ref().is_none_or(|action| *action == event.action)
            && self.least.is_none_or(|least| event.score >= least)
            && self.under.is_none_or(|under| event.score < under)
            && self.since.is_none_or(|since| event.received >= since)
            && self.before.is_none_or(|before| event.received < before)
    }
}

/// Events of one agent, day, action and score.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DayCount {
    /// The day, in days of Unix time.
    pub day: i64,
    /// What.
    pub action: String,
    /// How risky, in hundredths.
    pub score: u8,
    /// How many.
    pub count: u64,
}

/// A chain that begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewChain {
    /// Its name.
    pub id: ChainId,
    /// Whose it is.
    pub tenant: TenantId,
    /// What its owner calls it.
    pub name: String,
    /// What it is about.
    pub description: Option<String>,
    /// Anything else, as the text of a JSON object.
    pub metadata: Option<String>,
    /// When it began.
    pub created: UnixTime,
}

/// A chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainRecord {
    /// How it began.
    pub chain: NewChain,
    /// When it was closed.
    pub closed: Option<UnixTime>,
    /// How many events are in it.
    pub events: u64,
    /// Its hash up to the last of them.
    pub hash: Digest,
}

/// Some chains, newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainPage {
    /// Those that are open, or those that are not.
    pub open: Option<bool>,
    /// Those that began before this one.
    pub after: Option<ChainId>,
    /// Leaves out that many.
    pub offset: u32,
    /// No more than that.
    pub limit: u32,
}

impl NewChain {
    /// The hash of a chain without events: SHA-256 over its fields, each with its length in 8 octets in front; one that
    /// may be missing has a field of one octet, 0 or 1, before it. Numbers are 8 octets, big-endian.
    #[must_use]
    pub fn start(&self) -> Digest {
        let mut fields = Fields::default();
        fields.add(b"kakunin chain 1");
        fields.add(self.id.as_bytes());
        fields.add(&self.created.seconds().to_be_bytes());
        fields.add(self.name.as_bytes());
        fields.maybe(self.description.as_deref().map(str::as_bytes));
        fields.maybe(self.metadata.as_deref().map(str::as_bytes));
        Digest::of(&fields.0)
    }
}

impl Declaration {
    /// The hash of a chain whose event at `place` this is, behind events with the hash `previous`: SHA-256 over that and
    /// over the fields, which are written as those of [`NewChain::start`].
    #[must_use]
    pub fn link(&self, place: u64, previous: Digest) -> Digest {
        let mut fields = Fields::default();
        fields.add(b"kakunin chain event 1");
        fields.add(&place.to_be_bytes());
        fields.add(self.id.as_bytes());
        fields.add(self.agent.as_bytes());
        fields.add(self.action.as_bytes());
        fields.add(&[self.score]);
        fields.add(&self.occurred.seconds().to_be_bytes());
        fields.add(&self.received.seconds().to_be_bytes());
        fields.maybe(self.certificate.as_ref().map(SerialNumber::as_bytes));
        fields.maybe(self.session.as_deref().map(str::as_bytes));
        fields.maybe(self.details.as_deref().map(str::as_bytes));
        Digest::of_parts(&[previous.as_bytes(), &fields.0])
    }
}

/// Whether a chain is what its hash says.
#[must_use]
pub fn chain_holds(chain: &ChainRecord, events: &[DeclaredEvent]) -> bool {
    let mut hash = chain.chain.start();
    for (place, kept) in (1..).zip(events) {
        hash = kept.event.link(place, hash);
        if kept.link != Some((place, hash)) {
            return false;
        }
    }
    hash == chain.hash && events.len() as u64 == chain.events
}

#[derive(Default)]
struct Fields(Vec<u8>);

impl Fields {
    fn add(&mut self, value: &[u8]) {
        self.0.extend_from_slice(&u64::try_from(value.len()).unwrap_or(u64::MAX).to_be_bytes());
        self.0.extend_from_slice(value);
    }

    fn maybe(&mut self, value: Option<&[u8]>) {
        self.add(&[u8::from(value.is_some())]);
        self.add(value.unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain() -> NewChain {
        NewChain {
            id: ChainId::from_bytes([1; 16]),
            tenant: TenantId::default(),
            name: "incident".into(),
            description: None,
            metadata: Some("{}".into()),
            created: UnixTime::from_seconds(10),
        }
    }

    fn event() -> Declaration {
        Declaration {
            id: EventId::from_bytes([2; 16]),
            tenant: TenantId::default(),
            agent: AgentId::from_random([3; 16]),
            action: "api_call".into(),
            score: 5,
            occurred: UnixTime::from_seconds(11),
            received: UnixTime::from_seconds(12),
            session: Some("s".into()),
            details: None,
            address: Some("192.0.2.1".into()),
            certificate: None,
            chain: Some(chain().id),
        }
    }

    #[test]
    fn no_two_chains_and_no_two_events_have_the_same_bytes() {
        let (one, event) = (chain(), event());
        let start = one.start();
        for other in [
            NewChain { id: ChainId::from_bytes([2; 16]), ..one.clone() },
            NewChain { name: "incident2".into(), ..one.clone() },
            NewChain { description: Some(String::new()), ..one.clone() },
            NewChain { metadata: None, description: Some("{}".into()), ..one.clone() },
            NewChain { created: UnixTime::from_seconds(9), ..one.clone() },
        ] {
            assert_ne!(other.start(), start, "{other:?}");
        }
        let link = event.link(1, start);
        for other in [
            Declaration { id: EventId::from_bytes([4; 16]), ..event.clone() },
            Declaration { agent: AgentId::from_random([4; 16]), ..event.clone() },
            Declaration { action: "api_cal".into(), ..event.clone() },
            Declaration { score: 6, ..event.clone() },
            Declaration { occurred: UnixTime::from_seconds(12), ..event.clone() },
            Declaration { received: UnixTime::from_seconds(11), ..event.clone() },
            Declaration { session: None, details: Some("s".into()), ..event.clone() },
            Declaration { certificate: Some(SerialNumber::from_random([5; 16])), ..event.clone() },
        ] {
            assert_ne!(other.link(1, start), link, "{other:?}");
        }
        assert_ne!(event.link(2, start), link);
        assert_ne!(event.link(1, link), link);
    }

    #[test]
    fn a_chain_that_was_changed_does_not_hold() {
        let start = chain().start();
        let (first, second) = (event(), Declaration { id: EventId::from_bytes([9; 16]), ..event() });
        let one = first.link(1, start);
        let two = second.link(2, one);
        let record = ChainRecord { chain: chain(), closed: None, events: 2, hash: two };
        let events = [
            DeclaredEvent { event: first.clone(), link: Some((1, one)) },
            DeclaredEvent { event: second.clone(), link: Some((2, two)) },
        ];
        assert!(chain_holds(&record, &events));
        let changed = DeclaredEvent { event: Declaration { score: 95, ..first }, link: Some((1, one)) };
        let [kept, last] = events.clone();
        assert!(!chain_holds(&record, &[changed, last.clone()]));
        assert!(!chain_holds(&record, std::slice::from_ref(&kept)));
        assert!(!chain_holds(&record, &[last, kept]));
        assert!(!chain_holds(&ChainRecord { events: 3, ..record.clone() }, &events));
        assert!(!chain_holds(
            &ChainRecord { chain: NewChain { name: "x".into(), ..chain() }, ..record },
            &events
        ));
    }
}
