//! Which way of carrying the feed works at one address.

use std::time::{Duration, Instant};

use crate::status::Transport;

/// The way in use, and whether it works.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Floor {
    way: Transport,
    failures: u32,
    /// When it went below streams.
    since: Option<Instant>,
}

impl Default for Floor {
    fn default() -> Self {
        Self { way: Transport::Stream, failures: 0, since: None }
    }
}

impl Floor {
    /// The way to try now; streams again after a while, since whatever held them back may be gone.
    pub(crate) fn choose(&mut self) -> Transport {
        if self.since.is_some_and(|since| since.elapsed() >= AGAIN) {
            *self = Self { way: Transport::Stream, failures: TRIES - 1, since: None };
        }
        self.way
    }

    /// It works.
    pub(crate) const fn worked(&mut self) {
        self.failures = 0;
    }

    /// It answers, and nothing comes of it: the way below when that happens twice.
    pub(crate) fn failed(&mut self) {
        self.failures += 1;
        if self.failures < TRIES {
            return;
        }
        self.failures = 0;
        (self.way, self.since) = match self.way {
            Transport::Stream | Transport::Files => (Transport::LongPoll, Some(Instant::now())),
            Transport::LongPoll => (Transport::Poll, Some(Instant::now())),
            // Below there is nothing; the first may work by now.
            Transport::Poll => (Transport::Stream, None),
        };
    }
}

const TRIES: u32 = 2;
const AGAIN: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_that_fails_twice_gives_way_to_the_one_below() {
        let mut floor = Floor::default();
        for way in [Transport::Stream, Transport::LongPoll, Transport::Poll, Transport::Stream] {
            assert_eq!(floor.choose(), way);
            floor.failed();
            floor.worked();
            floor.failed();
            assert_eq!(floor.choose(), way, "once is nothing");
            floor.failed();
        }
        assert_eq!(floor.choose(), Transport::LongPoll);
        floor.since = Instant::now().checked_sub(AGAIN);
        assert_eq!(floor.choose(), Transport::Stream);
        floor.failed();
        assert_eq!(floor.choose(), Transport::LongPoll, "tried again, once");
    }
}
