//! How long an older revocation list was still decided by, guard by guard.
//!
//! Every list that is named anywhere in the evidence counts for every stream that ran when it was signed, whether the
//! stream took it up or not: a guard that never did is the slowest and not one to be left out. Memory grows with the lists
//! that a stream names and not with its receipts.

use std::collections::BTreeMap;

use kakunin_core::digest::Digest;
use kakunin_core::id::StreamId;
use kakunin_core::receipt::{Answer, Event, ListUse, Mode, Statement};
use kakunin_core::time::UnixTime;

use crate::facts::Period;
use crate::finding::Pointer;

/// The lists that went by.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    streams: BTreeMap<StreamId, Guarded>,
    /// Of each list when it was signed and its number: what it comes after.
    known: BTreeMap<Digest, Place>,
    /// Lists and those whose certificates they are for, joined to the one that stands for their issuer: what a gateway
    /// decides about others is by lists of other issuers.
    joined: BTreeMap<Digest, Digest>,
}

type Place = (UnixTime, [u8; 20]);

/// A stream, and the last decision by each list that it named.
#[derive(Debug)]
struct Guarded {
    opened: UnixTime,
    uses: BTreeMap<Digest, Option<(UnixTime, Pointer)>>,
}

/// A list that was signed while a guard ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    /// For how long after that the guard decided by an older one.
    pub(crate) seconds: u64,
    /// Whether it ever took up this list or a newer one.
    pub(crate) taken: bool,
    /// The last decision by an older one.
    pub(crate) last: Pointer,
}

impl Lists {
    /// One more receipt that somebody signed, under an issuer of this key.
    pub(crate) fn see(&mut self, statement: &Statement, issuer: Digest, pointer: &Pointer) {
        let at = statement.stamp.time();
        let stream = self
            .streams
            .entry(statement.stream)
            .or_insert_with(|| Guarded { opened: at, uses: BTreeMap::new() });
        let Some(list) = statement.event.list() else { return };
        let ListUse { number, digest, this_update, .. } = list;
        let last = stream.uses.entry(*digest).or_default();
        if decides(&statement.event) && last.as_ref().is_none_or(|(known, _)| *known <= at) {
            *last = Some((at, pointer.clone()));
        }
        self.known.insert(*digest, (*this_update, *number));
        let whose = statement.event.caller().map_or(issuer, |caller| caller.certificate);
        self.join(whose, *digest);
    }

    fn join(&mut self, one: Digest, other: Digest) {
        let (one, other) = (self.issuer(one), self.issuer(other));
        if one != other {
            self.joined.insert(other, one);
        }
    }

    /// What stands for the issuer of a list.
    fn issuer(&self, of: Digest) -> Digest {
        let mut at = of;
        while let Some(next) = self.joined.get(&at) {
            at = *next;
        }
        at
    }

    /// Every list that was signed while a guard ran, for each such guard.
    pub(crate) fn waits(&self, period: Period) -> Vec<Wait> {
        let mut issuers: BTreeMap<Digest, Vec<Place>> = BTreeMap::new();
        for (list, place) in &self.known {
            issuers.entry(self.issuer(*list)).or_default().push(*place);
        }
        issuers.values_mut().for_each(|places| places.sort_unstable());
        let mut waits = Vec::new();
        for stream in self.streams.values() {
            for (issuer, places) in &issuers {
                self.waited(stream, *issuer, places, period, &mut waits);
            }
        }
        waits
    }

    fn waited(
        &self,
        stream: &Guarded,
        issuer: Digest,
        places: &[Place],
        period: Period,
        waits: &mut Vec<Wait>,
    ) {
        let mut uses: Vec<(Place, Option<&(UnixTime, Pointer)>)> = Vec::new();
        for (list, last) in &stream.uses {
            if let Some(place) = self.known.get(list).filter(|_| self.issuer(*list) == issuer) {
                uses.push((*place, last.as_ref()));
            }
        }
        uses.sort_unstable_by_key(|(place, _)| *place);
        let Some(newest) = uses.last().map(|(place, _)| *place) else { return };
        let mut older: Option<&(UnixTime, Pointer)> = None;
        let mut uses = uses.into_iter().peekable();
        for place in places {
            while let Some((_, last)) = uses.next_if(|(used, _)| used < place) {
                if last.map(|(at, _)| *at) >= older.map(|(at, _)| *at) {
                    older = last.or(older);
                }
            }
            let Some((last, pointer)) = older.filter(|_| place.0 >= stream.opened) else { continue };
            let taken = newest >= *place;
            let seconds = u64::try_from(last.seconds().saturating_sub(place.0.seconds())).unwrap_or(0);
            // Who decided nothing any more when it was signed had no need of it.
            let counts = (taken || seconds > 0) && (period.has(place.0) || period.has(*last));
            if counts {
                waits.push(Wait { seconds, taken, last: pointer.clone() });
            }
        }
    }
}

/// Whether somebody was let through, or not, by the list: a guard that denies because its list is too old decides nothing
/// by it, and a dry run lets nobody through.
fn decides(event: &Event) -> bool {
    match event {
        Event::Decision { mode: Mode::Check, .. } => false,
        Event::Decision { answer: Answer::Deny(code), .. } => !code.starts_with("revocation."),
        Event::Decision { .. } => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
