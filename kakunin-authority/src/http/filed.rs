//! Files on their way to a client: a piece is read when the one before was taken.
//!
//! A file that somebody reads slowly is open for hours. So it has a place, which is taken as long as the file is open: also
//! while a piece is read for somebody who has gone, and until the answer itself is dropped. What opens files says how many
//! places there are.

use std::fs::File;
use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::task::{JoinHandle, spawn_blocking};

/// The body of an answer that is a file.
pub(crate) struct Filed<P> {
    state: State<P>,
    left: u64,
}

/// Closed first, and then the place is free.
struct Opened<P> {
    file: File,
    _place: P,
}

enum State<P> {
    Waits(Opened<P>),
    Reads(JoinHandle<io::Result<(Opened<P>, Vec<u8>)>>),
    /// It could not be read; it is closed, and its place is free.
    Broken,
}

impl<P> Filed<P> {
    /// The next so many octets of a file.
    pub(crate) const fn new(file: File, octets: u64, place: P) -> Self {
        Self { state: State::Waits(Opened { file, _place: place }), left: octets }
    }
}

impl<P: Send + Unpin + 'static> Body for Filed<P> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        if this.left == 0 {
            return Poll::Ready(None);
        }
        let mut reads = match std::mem::replace(&mut this.state, State::Broken) {
            State::Waits(opened) => {
                let most = this.left.min(PIECE);
                spawn_blocking(move || piece(opened, most))
            }
            State::Reads(reads) => reads,
            State::Broken => return Poll::Ready(Some(Err(broken()))),
        };
        let Poll::Ready(read) = Pin::new(&mut reads).poll(context) else {
            this.state = State::Reads(reads);
            return Poll::Pending;
        };
        let (opened, piece) = match read {
            Ok(Ok(read)) if !read.1.is_empty() => read,
            // Shorter than it was: the answer breaks off, and whoever reads it knows.
            _ => return Poll::Ready(Some(Err(broken()))),
        };
        this.state = State::Waits(opened);
        this.left = this.left.saturating_sub(piece.len() as u64);
        Poll::Ready(Some(Ok(Frame::data(piece.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

fn piece<P>(mut opened: Opened<P>, most: u64) -> io::Result<(Opened<P>, Vec<u8>)> {
    let mut piece = Vec::new();
    (&mut opened.file).take(most).read_to_end(&mut piece)?;
    Ok((opened, piece))
}

fn broken() -> io::Error {
    io::Error::other("the file could not be read to its end")
}

/// What an answer has in its hands at a time.
const PIECE: u64 = 64 * 1024;

#[cfg(test)]
pub(crate) mod tests {
    use std::future::poll_fn;
    use std::io::{Seek, SeekFrom, Write};
    use std::sync::Arc;

    use super::*;

    /// An open file without a name.
    pub(crate) fn unnamed(octets: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(octets).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        file
    }

    /// The next piece of a body.
    pub(crate) async fn next<B: Body<Data = Bytes> + Unpin>(body: &mut B) -> Option<Result<Bytes, B::Error>> {
        let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await;
        frame.map(|frame| frame.map(|frame| frame.into_data().ok().unwrap()))
    }

    /// Runs what reads files.
    pub(crate) fn run<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
    }

    #[test]
    fn a_file_is_read_in_pieces_and_has_its_place_until_it_is_dropped() {
        run(async {
            let octets: Vec<u8> = (0..200_000_u32).map(|at| (at >> 4) as u8).collect();
            let place = Arc::new(());
            let mut body = Filed::new(unnamed(&octets), 200_000, Arc::clone(&place));
            assert_eq!(body.size_hint().exact(), Some(200_000));
            let mut read = Vec::new();
            while let Some(piece) = next(&mut body).await {
                let piece = piece.unwrap();
                assert!(piece.len() as u64 <= PIECE);
                read.extend_from_slice(&piece);
                assert_eq!(Arc::strong_count(&place), 2);
            }
            assert!(read == octets && body.is_end_stream());
            assert_eq!(Arc::strong_count(&place), 2, "hyper may have pieces of it still");
            drop(body);
            assert_eq!(Arc::strong_count(&place), 1);
        });
    }

    #[test]
    fn a_file_that_became_shorter_breaks_off_and_does_not_end() {
        run(async {
            let place = Arc::new(());
            let mut body = Filed::new(unnamed(&[7; 100_000]), 100_001, Arc::clone(&place));
            let mut read = 0;
            while let Some(Ok(piece)) = next(&mut body).await {
                read += piece.len();
            }
            assert!(read == 100_000 && !body.is_end_stream());
            assert!(next(&mut body).await.unwrap().is_err());
            assert_eq!(Arc::strong_count(&place), 1, "it is closed");
        });
    }
}
