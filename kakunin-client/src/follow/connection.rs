//! One connection: asks, judges the answer, and reads what comes for as long as it is worth it.

use std::time::Duration;

use kakunin_core::guard::{Clock, SystemClock};
use reqwest::header::{ACCEPT, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use tokio::time::Instant;

use super::events::{EVENTS, Halt, is_events, take};
use super::lists::come;
use super::refuse::Offered;
use super::run::{Ended, Follow};
use crate::floor::Floor;
use crate::sse::{Event, Parser};
use crate::status::{Transport, Trouble};
use crate::transport::{HEAD, answer, refusal, words};
use crate::wait::{nonce, share_of};

impl Follow<'_> {
    /// One connection: asks, judges the answer, reads what comes.
    pub(super) async fn connection(&mut self, turn: usize) -> Result<Ended, Trouble> {
        let Some(address) = self.shared.addresses.get(turn) else { return Ok(Ended::Whole) };
        let carried = self.floors.get_mut(turn).map_or(Transport::Stream, Floor::choose);
        let nonce = nonce().ok_or_else(|| Trouble::now("internal", "the system gives no randomness"))?;
        self.vain = 0;
        let Some(follower) = &mut self.follower else { return Ok(Ended::Whole) };
        let wait = wait(follower.max_age());
        // Before it is asked for: the age of what comes is counted from here.
        follower.begin(nonce, SystemClock.boot_millis());
        let (issuer, since) = (follower.issuer().to_hex(), follower.head().epoch().to_string());
        let (non, seconds) = (kakunin_core::digest::hex(&nonce), wait.as_secs().to_string());
        let mut pairs = vec![("issuer", issuer.as_str()), ("since", &since), ("nonce", &non)];
        let (route, patience) = match carried {
            Transport::Stream | Transport::Files => ("/v1/feed", HEAD),
            Transport::LongPoll => {
                pairs.push(("wait", &seconds));
                ("/v1/feed/poll", HEAD + wait)
            }
            Transport::Poll => {
                pairs.push(("wait", "0"));
                ("/v1/feed/poll", HEAD)
            }
        };
        let request = self.transport.get(address, route, &pairs);
        let request = request.header(ACCEPT, EVENTS);
        let response = answer(request, patience).await?;
        match response.status() {
            StatusCode::OK if is_events(&response) => {}
            StatusCode::GONE => return Ok(Ended::NeedsLists),
            StatusCode::OK => {
                self.floors.get_mut(turn).map(Floor::failed);
                return Err(Trouble::now("feed.transport", "the answer is no stream of events"));
            }
            status => {
                let wait =
                    response.headers().get(RETRY_AFTER).and_then(|wait| wait.to_str().ok()?.parse().ok());
                let mut trouble = refusal(response).await;
                trouble.wait = wait.map(Duration::from_secs);
                // Nobody of ours says these: something on the way does not know the route.
                let foreign = trouble.code.starts_with("http.");
                if foreign && (status == StatusCode::NOT_FOUND || status == StatusCode::NOT_IMPLEMENTED) {
                    self.floors.get_mut(turn).map(Floor::failed);
                }
                return Err(trouble);
            }
        }
        let url = address.to_string();
        self.shared.board.write(|status| {
            (status.url, status.transport) = (Some(url.clone()), Some(carried));
            status.connections += 1;
        });
        let read = self.read(turn, response, carried).await;
        let Some(floor) = self.floors.get_mut(turn) else { return Ok(Ended::Whole) };
        match read {
            Ok((heard, ended)) => {
                if heard {
                    floor.worked();
                } else if matches!(ended, Ended::Whole) {
                    floor.failed();
                    return Err(Trouble::now("feed.cut", "the connection ended before it said anything"));
                }
                if carried == Transport::Poll && matches!(ended, Ended::Whole) {
                    tokio::time::sleep(wait / 2 + share_of(wait / 2)).await;
                }
                Ok(ended)
            }
            Err(trouble) => {
                // Held back on the way, as far as anybody can see from here.
                if matches!(trouble.code.as_str(), "feed.silent" | "feed.late") {
                    floor.failed();
                }
                Err(trouble)
            }
        }
    }

    /// Reads events until there are no more. Says whether any word counted.
    async fn read(
        &mut self,
        turn: usize,
        mut response: Response,
        carried: Transport,
    ) -> Result<(bool, Ended), Trouble> {
        let silence = match carried {
            Transport::LongPoll => {
                HEAD + self.follower.as_ref().map_or(HEAD, |follower| wait(follower.max_age()))
            }
            _ => SILENCE,
        };
        let (mut parser, mut heard, mut last) = (Parser::default(), false, Instant::now());
        loop {
            self.load_beside(turn);
            let piece = tokio::select! {
                piece = tokio::time::timeout_at(last + silence, response.chunk()) => piece,
                // From newer lists another connection goes on.
                answered = come(&mut self.loading) => match self.loaded(answered).await {
                    true => return Ok((true, Ended::Whole)),
                    false => continue,
                },
                () = tokio::time::sleep_until(self.lists_due), if self.loading.is_none() => continue,
                // This is the feed of yesterday's authority.
                () = self.wakes.moved.notified() => return Ok((true, Ended::Whole)),
            };
            let piece = match piece {
                Ok(Ok(Some(piece))) => piece,
                Ok(Ok(None)) => return Ok((heard, Ended::Whole)),
                Ok(Err(error)) => return Err(Trouble::now("transport", words(&error))),
                Err(_) => {
                    let seconds = silence.as_secs();
                    let what = format!("no signed word within {seconds} s, whatever else came");
                    return Err(Trouble::now("feed.silent", what));
                }
            };
            let received = SystemClock.boot_millis();
            let before = self.reached();
            let taken = parser.push(&piece, |event| self.event(&event, received));
            // What came before a fault counts as much as what came before a pause.
            if self.reached() > before {
                (heard, last, self.vain) = (true, Instant::now(), 0);
                self.publish();
            }
            match taken {
                Ok(()) => {}
                Err(Halt::Gap) => return Ok((heard, Ended::NeedsLists)),
                Err(Halt::Refused(refusal, line)) => {
                    return Err(self.refused(&refusal, Offered::Item(&line)).await);
                }
                Err(Halt::NoEvents(error)) => return Err(self.refuse("feed.transport", &error)),
                Err(Halt::Vain) => {
                    let what = "more events than any feed has between two that say something new";
                    return Err(self.refuse("feed.transport", &what));
                }
            }
            if heard {
                self.in_time(received)?;
            }
        }
    }

    fn event(&mut self, event: &Event, received: i64) -> Result<(), Halt> {
        self.vain += 1;
        if self.vain > MAX_VAIN {
            return Err(Halt::Vain);
        }
        let Some(follower) = &mut self.follower else { return Ok(()) };
        if let Some(refusal) = take(follower, event, received)? {
            self.shared.board.trouble(&Trouble::now(refusal.code(), refusal.to_string()));
        } else if event.name == "item" {
            self.last_item = Some(event.data.clone());
        }
        Ok(())
    }

    /// How much is known: both only grow with what is new, whoever repeats what.
    fn reached(&self) -> Option<(u64, Option<i64>)> {
        self.follower.as_ref().map(|follower| (follower.head().epoch(), follower.proven()))
    }

    /// A connection whose words arrive long after they were signed is no good one.
    fn in_time(&self, now: i64) -> Result<(), Trouble> {
        let Some(follower) = &self.follower else { return Ok(()) };
        let most = i64::from(follower.max_age()) * 1000 / 2;
        let age = follower.proven().map_or(0, |proven| now.saturating_sub(proven));
        if age <= most {
            return Ok(());
        }
        Err(Trouble::now("feed.late", format!("words arrive {} s after they were signed", age / 1000)))
    }
}

/// How long a question waits: an answer that is held back until its end is still young then.
fn wait(max_age: u32) -> Duration {
    Duration::from_secs(u64::from(max_age / 6).clamp(1, 10))
}

/// Three heartbeats.
const SILENCE: Duration = Duration::from_secs(15);
/// The certificates of two months, and a page of an old stream that came twice.
const MAX_VAIN: u32 = 1_000;
