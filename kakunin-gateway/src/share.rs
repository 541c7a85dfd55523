//! Whose the places for used proofs are: one agent that asks without end leaves room for all others.

use std::collections::HashMap;

use kakunin_core::id::AgentId;

/// What is taken of the room for the proofs of one time, and by whom.
#[derive(Debug, Default)]
pub(crate) struct Share {
    taken: usize,
    of: HashMap<AgentId, usize>,
}

impl Share {
    /// Whether `agent` may have one more of `room` places: any of the first half; of the other half those go who have few.
    pub(crate) fn has_room(&self, agent: &AgentId, room: usize) -> bool {
        let own = self.of.get(agent).copied().unwrap_or(0);
        self.taken < room && (self.taken < room.div_ceil(2) || own < (room / FEW).max(1))
    }

    pub(crate) fn add(&mut self, agent: AgentId) {
        self.taken += 1;
        *self.of.entry(agent).or_default() += 1;
    }
}

/// Few are a hundredth: fifty agents together can fill what one cannot.
const FEW: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_agent_has_half_of_the_room_and_fifty_others_the_rest() {
        let agents: Vec<AgentId> = (0..52).map(|number| AgentId::from_bytes([number; 16])).collect();
        let (greedy, others) = (agents[0], &agents[1..]);
        let (mut share, room) = (Share::default(), 1_000);
        let mut take = |agent: AgentId| {
            let has = share.has_room(&agent, room);
            if has {
                share.add(agent);
            }
            has
        };
        assert_eq!((0..room).filter(|_| take(greedy)).count(), 500);
        for other in &others[..50] {
            assert_eq!((0..20).filter(|_| take(*other)).count(), 10);
        }
        assert!(!take(others[50]), "now it is full");
    }
}
