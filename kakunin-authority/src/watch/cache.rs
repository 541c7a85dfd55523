//! Agents that were looked at lately, as they stand in the records: what is read from there again is parsed again.

use std::collections::HashMap;

use kakunin_core::id::AgentId;

use super::Watched;
use crate::access::TenantId;

/// Some of the agents. It may be thrown away at any time.
#[derive(Debug, Default)]
pub struct Cache(HashMap<(TenantId, AgentId), Watched>);

impl Cache {
    /// Takes one out.
    pub(super) fn take(&mut self, tenant: &TenantId, agent: AgentId) -> Option<Watched> {
        self.0.remove(&(tenant.clone(), agent))
    }

    /// Puts one back that stands in the records as it is.
    pub fn put(&mut self, watched: Watched) {
        if self.0.len() >= MOST {
            self.0.clear();
        }
        let record = watched.record();
        self.0.insert((record.tenant.clone(), record.agent), watched);
    }
}

/// Each has some kilobytes, and its baseline.
const MOST: usize = 1024;
