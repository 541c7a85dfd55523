//! How an agent stood when it says that it allowed itself something, by what its guard had taken.
//!
//! A receipt names the list that it was decided by and, where that asks for a feed, how far the feed was known. That is what
//! it is judged by, whenever it is sent: a guard whose list or feed said held, and which allowed, broke its leash; one whose
//! list was good still is late and honest. Since a list is only a claim, no claim lasts longer than it may: the feed's word
//! for its age, a list until its end.

use std::collections::HashMap;

use kakunin_core::certificate::{CaCertificate, CaRole};
use kakunin_core::digest::Digest;
use kakunin_core::id::{AgentId, SerialNumber};
use kakunin_core::receipt::{Event, ListUse, UnverifiedReceipt};
use kakunin_core::revocation::UnverifiedList;
use kakunin_core::time::UnixTime;

use super::Terms;
use crate::access::TenantId;
use crate::standing::Standing;
use crate::store::{FeedEntry, IssuerId, Store, StoreError};

/// The changes of one agent's certificates.
pub(super) struct Standings {
    changes: Vec<(IssuerId, u64, FeedEntry)>,
    /// Its certificates by their names in receipts. Only read when there are changes.
    certificates: HashMap<Digest, (IssuerId, SerialNumber)>,
    /// What lists that were named say.
    lists: HashMap<(Digest, SerialNumber), Option<Said>>,
}

/// What a list that was signed here says of a certificate.
#[derive(Clone, Copy)]
struct Said {
    standing: Standing,
    /// Until when a guard may go by it: nothing if it asks for a feed, and no word of that was named.
    until: Option<UnixTime>,
}

/// A time in which a certificate was held or revoked, with the epochs at its ends.
#[derive(Clone, Copy)]
struct Stop {
    began: (u64, UnixTime),
    ended: Option<(u64, UnixTime)>,
}

impl Standings {
    /// What the records know of an agent.
    ///
    /// # Errors
    /// [`StoreError`] when they cannot be read.
    pub(super) fn of(store: &dyn Store, tenant: &TenantId, agent: AgentId) -> Result<Self, StoreError> {
        let changes = store.standings(tenant, agent)?;
        let mut certificates = HashMap::new();
        if !changes.is_empty() {
            for known in store.certificates(tenant, agent)? {
                if let Some(der) = &known.der {
                    certificates.insert(Digest::of(der), (known.issuer, known.serial));
                }
            }
        }
        Ok(Self { changes, certificates, lists: HashMap::new() })
    }

    /// Why an allowed call is one that no honest guard allows, if it is.
    ///
    /// # Errors
    /// [`StoreError`] when the records cannot be read.
    pub(super) fn forbid(
        &mut self,
        store: &dyn Store,
        receipt: &UnverifiedReceipt,
        terms: &Terms,
    ) -> Result<Option<String>, StoreError> {
        let Some(&(issuer, serial)) = self.certificates.get(receipt.certificate()) else { return Ok(None) };
        let stops = self.stops(issuer, serial);
        // A gateway's decision about another agent names that one's list.
        let Event::Decision { caller: None, list, .. } = &receipt.statement().event else { return Ok(None) };
        if stops.is_empty() {
            return Ok(None);
        }
        if let Some(epoch) = list.and_then(|list| list.feed).map(|head| head.epoch()) {
            if stops.iter().any(|stop| stop.is_known_at(epoch)) {
                let sentence = format!(
                    "it allowed itself a call, and the feed that it knew to epoch {epoch} had stopped it"
                );
                return Ok(Some(sentence));
            }
        } else if let Some(list) = list
            && self.says(store, list, issuer, serial)?.is_some_and(|said| said.standing != Standing::Good)
        {
            let sentence =
                format!("it allowed itself a call by the list {}, which had stopped it", list.digest);
            return Ok(Some(sentence));
        }
        let at = receipt.statement().stamp.time();
        let late = |stop: &&Stop| {
            let believed = match list {
                Some(list) => match list.feed {
                    // It began behind what was known.
                    Some(head) if stop.began.0 <= head.epoch() => return false,
                    Some(_) => stop.began.1.plus(terms.heard),
                    None => match self.lists.get(&(list.digest, serial)) {
                        Some(Some(Said { until: Some(until), .. })) => *until,
                        Some(Some(Said { until: None, .. })) => stop.began.1.plus(terms.heard),
                        _ => stop.began.1.plus(terms.listed),
                    },
                },
                None => stop.began.1.plus(terms.listed),
            };
            let over = stop.ended.is_none_or(|(_, ended)| at.plus(terms.clocks) < ended);
            at > believed.max(stop.began.1).plus(terms.clocks) && over
        };
        Ok(stops.iter().find(late).map(|_| {
            "it allowed itself a call after its suspension, when no list that a guard may use said good"
                .to_owned()
        }))
    }

    fn stops(&self, issuer: IssuerId, serial: SerialNumber) -> Vec<Stop> {
        let mut stops: Vec<Stop> = Vec::new();
        let of_one = |(by, _, entry): &&(IssuerId, u64, FeedEntry)| *by == issuer && entry.serial == serial;
        for (_, epoch, entry) in self.changes.iter().filter(of_one) {
            let open = stops.last_mut().filter(|stop| stop.ended.is_none());
            match (entry.standing, open) {
                (Standing::Good, Some(open)) => open.ended = Some((*epoch, entry.since)),
                (Standing::Good, None) | (_, Some(_)) => {}
                (_, None) => stops.push(Stop { began: (*epoch, entry.since), ended: None }),
            }
        }
        stops
    }

    /// What a list of ours says of a certificate; nothing for one that we never signed.
    fn says(
        &mut self,
        store: &dyn Store,
        list: &ListUse,
        issuer: IssuerId,
        serial: SerialNumber,
    ) -> Result<Option<Said>, StoreError> {
        if let Some(known) = self.lists.get(&(list.digest, serial)) {
            return Ok(*known);
        }
        let found = store.list_named(&list.digest)?.filter(|(by, _)| *by == issuer);
        let authority = store.issuers()?.into_iter().find(|known| known.id == issuer);
        let said = found.zip(authority).and_then(|((_, list), authority)| {
            let authority = CaCertificate::decode(&authority.der, CaRole::Issuing).ok()?;
            let list = UnverifiedList::decode(&list.der).ok()?.verify(&authority.list_issuer()).ok()?;
            let until = list.policy().is_none().then(|| list.next_update());
            Some(Said { standing: list.standing(&serial), until })
        });
        self.lists.insert((list.digest, serial), said);
        Ok(said)
    }
}

impl Stop {
    /// Whether whoever knows the feed as far as this epoch knows of it, and not of its end.
    fn is_known_at(&self, epoch: u64) -> bool {
        self.began.0 <= epoch && self.ended.is_none_or(|(ended, _)| ended > epoch)
    }
}
