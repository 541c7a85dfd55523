//! What has to be remembered from one call to the next, in bounded room.

use std::collections::{BTreeMap, VecDeque};

use super::observation::{Call, Name};

/// The last action of each session, and the counterparties of the last hour.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Recall {
    /// By session: the number of its last call, and the action.
    pub(super) sessions: BTreeMap<[u8; 16], (u64, String)>,
    /// Counterparties and when they were named last, the oldest first.
    pub(super) recent: VecDeque<(i64, Name)>,
    /// Counterparties that were new once since the baseline, the oldest first.
    pub(super) met: VecDeque<Name>,
}

impl Recall {
    /// Takes note of the call with this number at this time; the action before it in its session, and whether it names a
    /// counterparty that was not named within the last hour.
    pub(super) fn place(&mut self, call: &Call, number: u64, at: i64) -> (String, bool) {
        let last = self.sessions.insert(call.session, (number, call.action.clone()));
        if self.sessions.len() > MAX_SESSIONS
            && let Some(oldest) = self.sessions.iter().min_by_key(|(_, (number, _))| *number)
        {
            let oldest = *oldest.0;
            self.sessions.remove(&oldest);
        }
        while self.recent.front().is_some_and(|(then, _)| at.saturating_sub(*then) >= HOUR) {
            self.recent.pop_front();
        }
        let mut fresh = false;
        for name in call.names.iter().flatten() {
            let known = self.recent.iter().position(|(_, its)| its == name);
            fresh |= known.is_none();
            if let Some(place) = known {
                self.recent.remove(place);
            }
            self.recent.push_back((at, *name));
        }
        while self.recent.len() > MAX_RECENT {
            self.recent.pop_front();
        }
        (last.map(|(_, action)| action).unwrap_or_default(), fresh)
    }

    /// Whether all the call's counterparties that the baseline does not know were met before; from now on they were.
    pub(super) fn meet(&mut self, call: &Call, is_known: impl Fn(&Name) -> bool) -> bool {
        let mut all = true;
        for name in call.names.iter().flatten().filter(|name| !is_known(name)) {
            if !self.met.contains(name) {
                all = false;
                self.met.push_back(*name);
            }
        }
        while self.met.len() > MAX_MET {
            self.met.pop_front();
        }
        all
    }
}

const HOUR: i64 = 3_600_000;

/// Sessions that are open at the same time; of one that was forgotten the next call counts as its first.
pub(super) const MAX_SESSIONS: usize = 64;

/// 64 names for each call (observation) and as many calls an hour; beyond that a name counts as fresh again.
pub(super) const MAX_RECENT: usize = 512;

/// New counterparties that are remembered as met. More than these are a new baseline's affair.
pub(super) const MAX_MET: usize = 512;
