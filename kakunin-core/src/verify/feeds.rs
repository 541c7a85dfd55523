//! What feeds said, for receipts that name how far one was.
//!
//! Each change is verified once for each issuing authority here, under a certificate of a feed key that this authority signed
//! and had not revoked by then. What is kept of it is a few words: what it follows on, and what it says of certificates that
//! are here. From the head that a receipt names the way leads back, change by change, to the list that it names.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::lists::{Issuer, Said};
use super::papers::Revoked;
use super::source::Source;
use crate::certificate::{CaCertificate, FeedCertificate};
use crate::digest::Digest;
use crate::feed::{Content, UnverifiedItem};
use crate::id::SerialNumber;
use crate::revocation::{FeedHead, Standing};
use crate::time::{UnixMillis, UnixTime};

/// What the feed makes of a certificate, where a receipt says it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fed {
    /// All changes from the list on are here, and come to this.
    Standing(Standing),
    /// Some are not here.
    Missing,
    /// They lead elsewhere than to the list.
    Contradiction,
}

/// The feeds of all issuing authorities here.
#[derive(Default)]
pub(super) struct Feeds {
    told: HashMap<Issuer, Told>,
    /// How many items each source had.
    counts: Vec<usize>,
}

/// What one authority's feed said.
#[derive(Default)]
struct Told {
    /// By the hash of the change.
    steps: HashMap<Digest, Step>,
    /// How certificates here stand at a head, from a list that knew another.
    reached: HashMap<(FeedHead, FeedHead), Arc<Standings>>,
}

/// What changes said of the certificates they named; revoked for good.
type Standings = HashMap<SerialNumber, Standing>;

struct Step {
    epoch: u64,
    before: FeedHead,
    at: UnixMillis,
    entries: Vec<(SerialNumber, Standing, UnixTime)>,
}

/// What else is known of an authority and of the certificates that are here.
pub(super) struct Around<'p> {
    pub(super) issuing: &'p CaCertificate,
    pub(super) said: &'p Said,
    pub(super) serials: &'p HashSet<SerialNumber>,
    /// The certificates of a key.
    pub(super) certificates: &'p dyn Fn(&Digest) -> Vec<Vec<u8>>,
}

impl Feeds {
    /// Forgets what was read if a journal got more since; says whether it did.
    pub(super) fn look_again(&mut self, sources: &[&dyn Source]) -> bool {
        let counts: Vec<usize> = sources.iter().map(|source| source.items()).collect();
        let more = counts != self.counts;
        if more {
            self.told.clear();
            self.counts = counts;
        }
        more
    }

    /// How the certificate `serial` stood at `head`, if the list that was decided by knew the feed up to `base` and says `listed`.
    pub(super) fn standing(
        &mut self,
        sources: &[&dyn Source],
        around: &Around<'_>,
        (base, head): (FeedHead, FeedHead),
        (serial, listed): (&SerialNumber, Standing),
    ) -> Fed {
        match self.of(sources, around).reach(base, head) {
            Ok(_) if listed == Standing::Revoked => Fed::Standing(Standing::Revoked),
            Ok(standings) => Fed::Standing(standings.get(serial).copied().unwrap_or(listed)),
            Err(fed) => fed,
        }
    }

    /// Since when the feed calls one of `serials` revoked. A date that was set back counts from the change before, up to which
    /// it called them good. A hold that no change lifted was the beginning of the revocation, as on lists.
    pub(super) fn end(
        &mut self,
        sources: &[&dyn Source],
        around: &Around<'_>,
        serials: &HashSet<SerialNumber>,
    ) -> Revoked {
        let told = self.of(sources, around);
        let mut steps: Vec<&Step> = told.steps.values().collect();
        steps.sort_by_key(|step| step.epoch);
        let ends = serials.iter().map(|serial| {
            let (mut held, mut lifted, mut end) = (None, 0, Revoked::default());
            for step in &steps {
                let before = told.steps.get(&step.before.digest()).map(|before| before.at.to_seconds());
                for (_, standing, since) in step.entries.iter().filter(|(named, ..)| named == serial) {
                    let since = before.map_or(*since, |before| before.max(*since));
                    match standing {
                        Standing::Good => (held, lifted) = (None, step.epoch),
                        Standing::Held => held = held.or(Some(since)),
                        Standing::Revoked => {
                            let listed = around.said.held(serials, lifted..step.epoch);
                            let perhaps = [held, listed].into_iter().flatten().fold(since, UnixTime::min);
                            end = end.or(Revoked { perhaps: Some(perhaps), surely: Some(since) });
                        }
                    }
                }
            }
            end
        });
        ends.fold(Revoked::default(), Revoked::or)
    }

    fn of(&mut self, sources: &[&dyn Source], around: &Around<'_>) -> &mut Told {
        let key = Issuer::of(&around.issuing.list_issuer());
        self.told.entry(key).or_insert_with(|| Told::read(sources, around))
    }
}

impl Told {
    fn read(sources: &[&dyn Source], around: &Around<'_>) -> Self {
        let (mut told, mut keys) = (Self::default(), HashMap::new());
        for source in sources {
            source.each_item(&mut |_, line| {
                let Ok(item) = UnverifiedItem::parse(line) else { return };
                let certificates = keys.entry(*item.key()).or_insert_with_key(|key| around.keys(key));
                if let Some(step) = Step::of(item, certificates, around) {
                    told.steps.insert(step.0, step.1);
                }
            });
        }
        told
    }

    fn reach(&mut self, base: FeedHead, head: FeedHead) -> Result<Arc<Standings>, Fed> {
        if let Some(known) = self.reached.get(&(base, head)) {
            return Ok(Arc::clone(known));
        }
        let (mut at, mut open) = (head, Vec::new());
        let mut standings = loop {
            if let Some(known) = self.reached.get(&(base, at)) {
                break Standings::clone(known);
            }
            if at.epoch() <= base.epoch() {
                if at != base {
                    return Err(Fed::Contradiction);
                }
                break Standings::new();
            }
            let step = self.steps.get(&at.digest()).filter(|step| step.epoch == at.epoch());
            let step = step.ok_or(Fed::Missing)?;
            open.push(at);
            at = step.before;
        };
        for at in open.into_iter().rev() {
            let entries = self.steps.get(&at.digest()).map(|step| step.entries.as_slice());
            for (serial, standing, _) in entries.unwrap_or_default() {
                let known = standings.entry(*serial).or_insert(*standing);
                if *known != Standing::Revoked {
                    *known = *standing;
                }
            }
            self.reached.insert((base, at), Arc::new(standings.clone()));
        }
        Ok(Arc::new(standings))
    }
}

impl Around<'_> {
    /// The certificates of the feed key `key` that this authority signed, and when they were revoked.
    fn keys(&self, key: &Digest) -> Vec<(FeedCertificate, Option<UnixTime>)> {
        let ders = (self.certificates)(key);
        let verified = ders.iter().filter_map(|der| FeedCertificate::verify(der, self.issuing).ok());
        let dated = verified.map(|certificate| {
            let serial = HashSet::from([certificate.decoded().serial()]);
            let end = self.said.end(&serial, certificate.decoded().validity().not_after).surely;
            (certificate, end)
        });
        dated.collect()
    }
}

impl Step {
    /// A change, with its hash, if one of `certificates` stands for it.
    fn of(
        item: UnverifiedItem,
        certificates: &[(FeedCertificate, Option<UnixTime>)],
        around: &Around<'_>,
    ) -> Option<(Digest, Self)> {
        let at = item.item().at;
        if item.item().issuer != around.issuing.decoded().key().key_id() {
            return None;
        }
        let stands = |(certificate, end): &&(FeedCertificate, Option<UnixTime>)| {
            certificate.valid_at(at.to_seconds()).is_ok() && end.is_none_or(|end| at.to_seconds() < end)
        };
        let (certificate, _) = certificates.iter().find(stands)?;
        let item = item.verify(certificate.key()).ok()?;
        let Content::Change(entries) = &item.item().content else { return None };
        let here = entries.iter().filter(|entry| around.serials.contains(&entry.serial));
        let entries = here.map(|entry| (entry.serial, entry.standing, entry.at)).collect();
        let (epoch, before) = (item.item().epoch(), item.item().head);
        Some((item.digest(), Self { epoch, before, at, entries }))
    }
}
