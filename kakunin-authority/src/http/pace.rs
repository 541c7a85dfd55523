//! How long a client may take: to send a head, to send a body, to take an answer, and between two requests.
//!
//! hyper asks the stream; the stream keeps the time. What a client may make wait is bounded in every state of its
//! connection, and none of the bounds depends on how many bytes it sends in between.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::body::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// What a connection is waiting for.
#[derive(Debug)]
pub(crate) struct Pace(Mutex<State>);

#[derive(Debug)]
struct State {
    phase: Phase,
    /// Whoever waits to read while a request is answered, without a time; when the answer ends, there is one.
    reader: Option<Waker>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// For a request.
    Idle(Instant),
    /// For the rest of a head.
    Head(Instant),
    /// For nobody: a request is being answered, and its body has a time of its own.
    Busy,
}

impl Pace {
    pub(crate) fn new() -> Arc<Self> {
        let phase = Phase::Idle(Instant::now());
        Arc::new(Self(Mutex::new(State { phase, reader: None })))
    }

    /// A head is there.
    pub(crate) fn begin(&self) {
        self.state().phase = Phase::Busy;
    }

    /// An answer is given to the end, or to nobody.
    fn end(&self) {
        let mut state = self.state();
        state.phase = Phase::Idle(Instant::now());
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    fn arrived(&self) {
        let mut state = self.state();
        if let Phase::Idle(_) = state.phase {
            state.phase = Phase::Head(Instant::now());
        }
    }

    /// A client that takes its answer slowly and takes it has not been idle.
    fn taken(&self) {
        if let Phase::Idle(since) = &mut self.state().phase {
            *since = Instant::now();
        }
    }

    /// Until when `reader` waits at most. If that is not known yet, it is woken when it is.
    fn deadline(&self, reader: &Waker) -> Option<Instant> {
        let mut state = self.state();
        match state.phase {
            Phase::Idle(since) => Some(since + IDLE_TIME),
            Phase::Head(since) => Some(since + HEAD_TIME),
            Phase::Busy => {
                state.reader = Some(reader.clone());
                None
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream that fails when its client takes too long.
pub(crate) struct Paced<S> {
    stream: S,
    pace: Arc<Pace>,
    reading: Pin<Box<Sleep>>,
    writing: Pin<Box<Sleep>>,
    blocked: Blocked,
}

/// Time spent waiting for the client to take something, and how much it took meanwhile.
#[derive(Default)]
struct Blocked {
    since: Option<Instant>,
    total: Duration,
    taken: u64,
}

impl<S> Paced<S> {
    pub(crate) fn new(stream: S, pace: Arc<Pace>) -> Self {
        let timer = || Box::pin(sleep_until(Instant::now() + IDLE_TIME));
        Self { stream, pace, reading: timer(), writing: timer(), blocked: Blocked::default() }
    }

    /// The client takes nothing at the moment.
    fn blocks(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let now = Instant::now();
        let since = *self.blocked.since.get_or_insert(now);
        let left = STALL_TIME.saturating_sub(self.blocked.total);
        self.writing.as_mut().reset(since + left);
        self.writing.as_mut().poll(cx).map(|()| timed_out("the client does not take its answer"))
    }

    /// The client took something.
    fn goes_on(&mut self, taken: usize) {
        if let Some(since) = self.blocked.since.take() {
            self.blocked.total += since.elapsed();
            self.pace.taken();
        }
        self.blocked.taken += taken as u64;
        if self.blocked.taken >= STALL_ROOM {
            self.blocked = Blocked::default();
        }
    }
}

fn timed_out(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = room.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, room);
        if read.is_ready() {
            if room.filled().len() > before {
                this.pace.arrived();
            }
            return read;
        }
        // Whoever is being written to has the time of writing.
        let Some(deadline) = this.pace.deadline(cx.waker()).filter(|_| this.blocked.since.is_none()) else {
            return Poll::Pending;
        };
        this.reading.as_mut().reset(deadline);
        this.reading.as_mut().poll(cx).map(|()| Err(timed_out("no request in time")))
    }
}

impl<S: AsyncWrite + Unpin> Paced<S> {
    fn judge<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
        taken: impl FnOnce(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        match written {
            Poll::Pending => self.blocks(cx).map(Err),
            Poll::Ready(Ok(done)) => {
                self.goes_on(taken(&done));
                Poll::Ready(Ok(done))
            }
            failed => failed,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.judge(cx, written, |count| *count)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(cx);
        this.judge(cx, flushed, |()| 0)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let ended = Pin::new(&mut this.stream).poll_shutdown(cx);
        this.judge(cx, ended, |()| 0)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, pieces);
        this.judge(cx, written, |count| *count)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// An answer on its way; when it is over, the connection waits for the next request.
pub(crate) struct Leaving {
    body: axum::body::Body,
    pace: Arc<Pace>,
}

impl Leaving {
    pub(crate) fn new(body: axum::body::Body, pace: Arc<Pace>) -> Self {
        Self { body, pace }
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.pace.end();
    }
}

impl Body for Leaving {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Whether the body of a request came too slowly.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slow(Arc<AtomicBool>);

impl Slow {
    pub(crate) fn is(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The body of a request, which has to come at a rate.
pub(crate) struct Arriving {
    body: Incoming,
    slow: Slow,
    time: Option<(Instant, Pin<Box<Sleep>>)>,
    received: u64,
}

impl Arriving {
    pub(crate) fn new(body: Incoming, slow: Slow) -> Self {
        Self { body, slow, time: None, received: 0 }
    }
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            if let Some(Ok(frame)) = &frame {
                this.received += frame.data_ref().map_or(0, |data| data.len() as u64);
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(io::Error::other)));
        }
        let now = Instant::now();
        let (began, timer) = this.time.get_or_insert_with(|| (now, Box::pin(sleep_until(now))));
        let earned = Duration::from_millis(this.received.saturating_mul(1000) / BODY_RATE);
        timer.as_mut().reset(*began + BODY_TIME + earned);
        timer.as_mut().poll(cx).map(|()| {
            this.slow.0.store(true, Ordering::Relaxed);
            Some(Err(timed_out("the body does not arrive")))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// From the first octet of a head to its last.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// Between two requests; proxies keep connections for a minute.
const IDLE_TIME: Duration = Duration::from_secs(75);
/// What a body has to begin with, and octets a second after that.
const BODY_TIME: Duration = Duration::from_secs(10);
const BODY_RATE: u64 = 4096;
/// Whoever makes an answer wait this long has to take this much of it meanwhile: a kilobyte a second.
const STALL_TIME: Duration = Duration::from_secs(30);
const STALL_ROOM: u64 = 30 * 1024;

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    /// A runtime whose clock only moves when everybody waits.
    fn at_once<T>(work: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(work)
    }

    fn paced(room: usize) -> (Paced<DuplexStream>, DuplexStream, Arc<Pace>) {
        let (ours, theirs) = duplex(room);
        let pace = Pace::new();
        (Paced::new(ours, Arc::clone(&pace)), theirs, pace)
    }

    #[test]
    fn a_head_has_ten_seconds_however_many_bytes_come() {
        at_once(async {
            let (mut ours, mut theirs, _) = paced(64);
            let began = Instant::now();
            let drip = tokio::spawn(async move {
                while theirs.write_all(b"x").await.is_ok() {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            });
            let mut octet = [0];
            let failed = loop {
                if let Err(failed) = ours.read_exact(&mut octet).await {
                    break failed;
                }
            };
            assert_eq!((failed.kind(), began.elapsed()), (io::ErrorKind::TimedOut, HEAD_TIME));
            drop(ours);
            drip.await.unwrap();
        });
    }

    #[test]
    fn a_connection_without_a_request_ends_and_a_busy_one_does_not() {
        at_once(async {
            let (mut ours, _theirs, pace) = paced(64);
            let began = Instant::now();
            pace.begin();
            let mut octet = [0];
            let hour = Duration::from_secs(3600);
            assert!(tokio::time::timeout(hour, ours.read_exact(&mut octet)).await.is_err());
            drop(Leaving::new(axum::body::Body::empty(), pace));
            let failed = ours.read_exact(&mut octet).await.unwrap_err();
            assert_eq!((failed.kind(), began.elapsed()), (io::ErrorKind::TimedOut, hour + IDLE_TIME));
        });
    }

    #[test]
    fn whoever_waited_to_read_during_an_answer_has_a_time_when_it_ends() {
        at_once(async {
            let (mut ours, _theirs, pace) = paced(64);
            pace.begin();
            let reading = tokio::spawn(async move { ours.read_exact(&mut [0]).await.map(drop) });
            tokio::time::sleep(Duration::from_secs(600)).await;
            let began = Instant::now();
            drop(Leaving::new(axum::body::Body::empty(), pace));
            let ended = tokio::time::timeout(Duration::from_secs(3600), reading).await;
            let failed = ended.unwrap().unwrap().unwrap_err();
            assert_eq!((failed.kind(), began.elapsed()), (io::ErrorKind::TimedOut, IDLE_TIME));
        });
    }

    #[test]
    fn an_answer_that_is_not_taken_ends_the_connection_and_a_slow_one_that_is_does_not() {
        at_once(async {
            let (mut ours, _theirs, _) = paced(64);
            let began = Instant::now();
            let failed = ours.write_all(&[0; 1000]).await.unwrap_err();
            assert_eq!((failed.kind(), began.elapsed()), (io::ErrorKind::TimedOut, STALL_TIME));

            for (octets, taken) in [(2048, true), (512, false)] {
                let (mut ours, mut theirs, _) = paced(64);
                let reader = tokio::spawn(async move {
                    let mut piece = vec![0; octets];
                    while theirs.read_exact(&mut piece).await.is_ok() {
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                });
                let wrote = ours.write_all(&vec![0; 512 * 1024]).await;
                assert_eq!(wrote.is_ok(), taken, "{octets} octets a second");
                drop(ours);
                reader.await.unwrap();
            }
        });
    }

    #[test]
    fn what_is_said_now_and_then_is_no_stall() {
        at_once(async {
            let (mut ours, mut theirs, pace) = paced(64);
            pace.begin();
            let reader = tokio::spawn(async move {
                let mut octet = [0];
                while theirs.read_exact(&mut octet).await.is_ok() {}
            });
            // A stream of heartbeats: more hours than a stall has seconds, each of them taken at once.
            for _ in 0..20_000 {
                ours.write_all(&[0; 100]).await.unwrap();
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
            drop(ours);
            reader.await.unwrap();
        });
    }
}
