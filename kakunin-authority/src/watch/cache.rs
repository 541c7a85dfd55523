//! Agents that were looked at lately, as they stand in the records: what is read from there again is parsed again.

use std::collections::HashMap;

use kakunin_core::id::AgentId;

use super::Watched;
use crate::access::TenantId;

/// Some of the agents, of bounded size. It may be thrown away at any time.
#[derive(Debug, Default)]
pub struct Cache {
    known: HashMap<(TenantId, AgentId), Watched>,
    /// Octets, about.
    size: usize,
}

impl Cache {
    /// Takes one out.
    pub(super) fn take(&mut self, tenant: &TenantId, agent: AgentId) -> Option<Watched> {
        let watched = self.known.remove(&(tenant.clone(), agent))?;
        self.size = self.size.saturating_sub(watched.size());
        Some(watched)
    }

    /// Puts one back that stands in the records as it is.
    pub fn put(&mut self, watched: Watched) {
        let size = watched.size();
        if self.size.saturating_add(size) > MOST {
            self.known.clear();
            self.size = 0;
        }
        let record = watched.record();
        self.size = self.size.saturating_add(size);
        if let Some(before) = self.known.insert((record.tenant.clone(), record.agent), watched) {
            self.size = self.size.saturating_sub(before.size());
        }
    }
}

/// 64 MiB: thousands of agents with some kilobytes each, or a few with very much.
const MOST: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use kakunin_core::risk::RiskPolicy;
    use kakunin_core::time::UnixTime;

    use super::*;
    use crate::store::RiskRecord;

    #[test]
    fn agents_that_take_much_room_are_not_all_remembered() {
        let (mut cache, now) = (Cache::default(), UnixTime::from_seconds(0));
        let watched = |agent: u8, policy: &str| {
            let agent = AgentId::from_random([agent; 16]);
            let new = RiskRecord::new(TenantId::default(), agent, now);
            let new = RiskRecord { policy: Some(policy.into()), ..new };
            Watched::take_up(Some(new.clone()), new, &RiskPolicy::default(), now)
        };
        let large = format!("# {}\n", "x".repeat(1 << 20));
        for agent in 0..64 {
            cache.put(watched(agent, &large));
            assert!(cache.size <= MOST && cache.known.len() <= 10, "{}", cache.size);
        }
        // Put twice it counts once, and taken out it does not count.
        let mut cache = Cache::default();
        for _ in 0..2 {
            cache.put(watched(1, ""));
        }
        assert_eq!((cache.known.len(), cache.size), (1, watched(1, "").size()));
        assert!(cache.take(&TenantId::default(), AgentId::from_random([1; 16])).is_some());
        assert_eq!(cache.size, 0);
    }
}
