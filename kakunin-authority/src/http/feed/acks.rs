//! What agents say of themselves: up to which change they enforce their feed.
//!
//! Kept in memory alone, for as many agents as there are and for an hour after the last word of each. It is what an agent
//! says: it shows how far a revocation got, and decides nothing.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kakunin_core::digest::Digest;
use kakunin_core::id::AgentId;

use crate::http::error::Refusal;

/// The newest words of all agents.
#[derive(Default)]
pub(crate) struct Acks(Mutex<State>);

#[derive(Default)]
struct State {
    agents: HashMap<AgentId, Vec<Word>>,
    swept: Option<Instant>,
    propagation: Propagation,
}

/// The highest epoch that an agent enforces in one feed. After a rotation it may know two.
struct Word {
    issuer: Digest,
    epoch: u64,
    at: Instant,
}

/// How far the agents of a feed are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Lag {
    pub(crate) issuer: Digest,
    /// Those heard within the hour whose newest word is of this feed.
    pub(crate) agents: u64,
    /// Those of them that do not enforce the last change yet.
    pub(crate) behind: u64,
    /// How many changes the last of them lacks.
    pub(crate) most: u64,
}

/// How long it took from a change's being kept until an agent said that it enforces it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Propagation {
    /// For each bound of [`Propagation::BOUNDS`], how many took that long at most.
    pub(crate) within: [u64; Self::BOUNDS.len()],
    pub(crate) count: u64,
    pub(crate) seconds: f64,
}

impl Propagation {
    /// In milliseconds.
    pub(crate) const BOUNDS: [u32; 12] = [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 60_000];

    fn add(&mut self, took: Duration) {
        for (bound, within) in Self::BOUNDS.iter().zip(&mut self.within) {
            *within += u64::from(took <= Duration::from_millis((*bound).into()));
        }
        self.count += 1;
        self.seconds += took.as_secs_f64();
    }
}

impl Acks {
    /// Takes down that `agent` enforces the feed of `issuer` up to `epoch`, and gives out the highest epoch that it said.
    ///
    /// `kept` judges the epoch, and says when the changes after the one that was known of the agent were kept.
    ///
    /// # Errors
    /// What `kept` refuses; then nothing is taken down.
    pub(crate) fn take(
        &self,
        agent: AgentId,
        issuer: Digest,
        epoch: u64,
        now: Instant,
        kept: impl FnOnce(Option<u64>) -> Result<Vec<Instant>, Refusal>,
    ) -> Result<u64, Refusal> {
        let mut state = self.state();
        state.sweep(now);
        let words = state.agents.get(&agent);
        let known = words.and_then(|words| words.iter().find(|word| word.issuer == issuer));
        // An agent that begins with the epoch of today did not wait for the changes of yesterday.
        let kept = kept(known.map(|word| word.epoch))?;
        for at in kept {
            state.propagation.add(now.saturating_duration_since(at));
        }
        let words = state.agents.entry(agent).or_default();
        match words.iter_mut().find(|word| word.issuer == issuer) {
            Some(word) => {
                // Another process of the agent may be further.
                (word.epoch, word.at) = (word.epoch.max(epoch), now);
                Ok(word.epoch)
            }
            None => {
                words.push(Word { issuer, epoch, at: now });
                Ok(epoch)
            }
        }
    }

    /// The highest epoch that an agent said in the feed of its newest word.
    pub(crate) fn seen(&self, agent: AgentId, now: Instant) -> Option<u64> {
        newest(self.state().agents.get(&agent)?, now).map(|word| word.epoch)
    }

    /// Forgets an agent that says nothing any more: one that is not in good standing proves nothing.
    pub(crate) fn forget(&self, agent: AgentId) {
        self.state().agents.remove(&agent);
    }

    /// How far the agents are behind the heads of the feeds.
    pub(crate) fn lags(&self, heads: &[(Digest, u64)], now: Instant) -> Vec<Lag> {
        let none = |(issuer, _): &(Digest, u64)| Lag { issuer: *issuer, agents: 0, behind: 0, most: 0 };
        let mut lags: Vec<Lag> = heads.iter().map(none).collect();
        for word in self.state().agents.values().filter_map(|words| newest(words, now)) {
            for (lag, (issuer, head)) in lags.iter_mut().zip(heads) {
                if *issuer == word.issuer {
                    let lacks = head.saturating_sub(word.epoch);
                    lag.agents += 1;
                    lag.behind += u64::from(lacks > 0);
                    lag.most = lag.most.max(lacks);
                }
            }
        }
        lags
    }

    pub(crate) fn propagation(&self) -> Propagation {
        self.state().propagation.clone()
    }

    // A panic in between leaves a word that is missing or counted twice at most.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Lets go of the words that count no more.
    fn sweep(&mut self, now: Instant) {
        if self.swept.is_some_and(|swept| now.saturating_duration_since(swept) < SWEEP) {
            return;
        }
        self.swept = Some(now);
        self.agents.retain(|_, words| {
            words.retain(|word| counts(word, now));
            !words.is_empty()
        });
    }
}

fn newest(words: &[Word], now: Instant) -> Option<&Word> {
    words.iter().filter(|word| counts(word, now)).max_by_key(|word| word.at)
}

fn counts(word: &Word, now: Instant) -> bool {
    now.saturating_duration_since(word.at) < HOUR
}

const HOUR: Duration = Duration::from_secs(3600);
const SWEEP: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Digest = Digest::from_bytes([1; 32]);
    const NEXT: Digest = Digest::from_bytes([2; 32]);

    fn agent(number: u8) -> AgentId {
        AgentId::from_bytes([number; 16])
    }

    fn take(acks: &Acks, who: u8, issuer: Digest, epoch: u64, now: Instant) -> u64 {
        acks.take(agent(who), issuer, epoch, now, |_| Ok(Vec::new())).unwrap()
    }

    #[test]
    fn an_epoch_that_was_said_is_never_lowered_and_is_forgotten_after_an_hour() {
        let (acks, start) = (Acks::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(take(&acks, 1, OURS, 5, start), 5);
        assert_eq!(take(&acks, 1, OURS, 3, after(10)), 5);
        assert_eq!(acks.seen(agent(1), after(10)), Some(5));
        // The last word counts, whatever it said.
        assert_eq!(acks.seen(agent(1), after(3609)), Some(5));
        assert_eq!(acks.seen(agent(1), after(3610)), None);
        assert_eq!(acks.lags(&[(OURS, 9)], after(3610)).first().unwrap().agents, 0);
        // And it takes no room any more.
        assert_eq!(take(&acks, 2, OURS, 1, after(3700)), 1);
        assert_eq!(acks.state().agents.len(), 1);
    }

    #[test]
    fn whoever_lacks_changes_is_counted_in_the_feed_that_it_follows_now() {
        let (acks, start) = (Acks::default(), Instant::now());
        for (who, epoch) in [(1, 7), (2, 5), (3, 9)] {
            take(&acks, who, OURS, epoch, start);
        }
        let lag = |issuer, agents, behind, most| Lag { issuer, agents, behind, most };
        let heads = [(OURS, 9), (NEXT, 2)];
        assert_eq!(acks.lags(&heads, start), [lag(OURS, 3, 2, 4), lag(NEXT, 0, 0, 0)]);
        // Certified by the next authority, it leaves the first feed.
        take(&acks, 2, NEXT, 2, start + Duration::from_secs(1));
        assert_eq!(acks.lags(&heads, start), [lag(OURS, 2, 1, 2), lag(NEXT, 1, 0, 0)]);
        acks.forget(agent(1));
        assert_eq!(acks.lags(&heads, start), [lag(OURS, 1, 0, 0), lag(NEXT, 1, 0, 0)]);
    }

    #[test]
    fn how_long_changes_took_is_counted_from_when_they_were_kept() {
        let (acks, start) = (Acks::default(), Instant::now());
        let asked = |known: Option<u64>, epoch, after: u64| {
            let now = start + Duration::from_millis(after);
            let kept = |before: Option<u64>| {
                assert_eq!(before, known);
                Ok(if before.is_some() { vec![start; 2] } else { Vec::new() })
            };
            acks.take(agent(1), OURS, epoch, now, kept).unwrap()
        };
        asked(None, 1, 0);
        assert_eq!(acks.propagation(), Propagation::default());
        asked(Some(1), 3, 40);
        let told = acks.propagation();
        assert_eq!((told.count, told.within), (2, [0, 0, 0, 2, 2, 2, 2, 2, 2, 2, 2, 2]));
        assert!((told.seconds - 0.08).abs() < 0.001);
        let no = || Refusal::invalid("no");
        assert!(acks.take(agent(1), OURS, 9, start, |_| Err(no())).is_err());
        assert_eq!(acks.seen(agent(1), start), Some(3));
    }
}
