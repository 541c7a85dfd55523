//! The body of an answer: what the client lacks, and then what comes until it ends.
//!
//! It has a place in the feed and none of its octets: whenever the client has taken the piece before, the next one is copied
//! from where the hub has it. So thousands of slow clients take no more memory than their places.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use hyper::body::{Body, Frame};
use tokio::time::{Instant, Sleep, sleep_until};

use super::hub::{Hub, Look, Place};

/// How an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Within an hour: the client comes again, to whichever node is there then.
    Events,
    /// With the first changes, or after this time without any.
    Poll(Duration),
}

/// A stream of events.
pub(crate) struct Stream {
    hub: Hub,
    place: Place,
    /// Certificates, and the first word with the client's nonce.
    first: VecDeque<Bytes>,
    /// No more than what waits already: a poll has what it came for.
    is_full: bool,
    is_poll: bool,
    end: Pin<Box<Sleep>>,
}

impl Stream {
    pub(super) fn new(hub: Hub, place: Place, first: VecDeque<Bytes>, kind: Kind, nonce: [u8; 16]) -> Self {
        let (is_poll, time) = match kind {
            Kind::Poll(time) => (true, time),
            Kind::Events => (false, longest(nonce)),
        };
        let is_full = is_poll && time.is_zero();
        Self { hub, place, first, is_full, is_poll, end: Box::pin(sleep_until(Instant::now() + time)) }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.hub.leave(&self.place);
    }
}

impl Body for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        if let Some(bytes) = this.first.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        match this.hub.look(&mut this.place, context.waker()) {
            // Several changes of one order come together, and a poll that has some ends with the last of them.
            Look::Change(bytes) => {
                this.is_full |= this.is_poll;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Look::Beside(bytes) if !this.is_full => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            // The client was too slow, the feed ended, or the service does.
            Look::End => Poll::Ready(None),
            Look::Beside(_) | Look::Nothing if this.is_full => Poll::Ready(None),
            Look::Beside(_) | Look::Nothing => this.end.as_mut().poll(context).map(|()| None),
        }
    }
}

/// A stream ends between 50 minutes and an hour, so that clients who came together do not come again together. The
/// nonce is the client's own random number.
fn longest(nonce: [u8; 16]) -> Duration {
    let [first, second, ..] = nonce;
    let spread = u64::from(u16::from_be_bytes([first, second])) * 600_000 / 65_536;
    Duration::from_millis(3_600_000 - spread)
}
