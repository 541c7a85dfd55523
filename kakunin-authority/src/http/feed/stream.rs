//! The body of an answer: what the client lacks, and then what comes until it ends.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use hyper::body::{Body, Frame};
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, Sleep, sleep_until};

use super::frame::Event;

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
    first: VecDeque<Bytes>,
    live: Receiver<Event>,
    /// No more than what waits already: a poll has what it came for.
    is_full: bool,
    is_poll: bool,
    end: Pin<Box<Sleep>>,
}

impl Stream {
    pub(super) fn new(
        first: impl Iterator<Item = Bytes>,
        has_changes: bool,
        live: Receiver<Event>,
        kind: Kind,
        nonce: [u8; 16],
    ) -> Self {
        let (is_poll, time) = match kind {
            Kind::Poll(time) => (true, time),
            Kind::Events => (false, longest(nonce)),
        };
        Self {
            first: joined(first),
            live,
            is_full: is_poll && (has_changes || time.is_zero()),
            is_poll,
            end: Box::pin(sleep_until(Instant::now() + time)),
        }
    }
}

impl Body for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(bytes) = self.first.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        if self.is_full {
            // Several changes of one order come together.
            let more = self.live.try_recv().ok();
            return Poll::Ready(more.map(|event| Ok(Frame::data(event.bytes()))));
        }
        if let Poll::Ready(next) = self.live.poll_recv(context) {
            let ends = self.is_poll && matches!(next, Some(Event::Change(_)));
            self.is_full = ends;
            // Without a sender the client was too slow, the feed ended, or the service does.
            return Poll::Ready(next.map(|event| Ok(Frame::data(event.bytes()))));
        }
        match self.end.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
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

/// Small events go together: ten thousand of them are no ten thousand writes.
fn joined(events: impl Iterator<Item = Bytes>) -> VecDeque<Bytes> {
    let (mut out, mut piece) = (VecDeque::new(), Vec::new());
    for event in events {
        if event.len() >= PIECE {
            if !piece.is_empty() {
                out.push_back(Bytes::from(std::mem::take(&mut piece)));
            }
            out.push_back(event);
            continue;
        }
        piece.extend_from_slice(&event);
        if piece.len() >= PIECE {
            out.push_back(Bytes::from(std::mem::take(&mut piece)));
        }
    }
    if !piece.is_empty() {
        out.push_back(Bytes::from(piece));
    }
    out
}

const PIECE: usize = 32 * 1024;
