//! A JSON answer that has lists as its last member, and none of their octets until they are taken.
//!
//! Papers have every list in them, and where a hundred thousand certificates are revoked that is megabytes for each agent
//! that renews. So they are read off the shelf like lists that anybody asks for, a piece when the one before was taken.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::Response;
use hyper::body::{Body, Frame, SizeHint};
use serde_json::{Map, Value, json};

use super::answer::{tame, typed};
use super::error::Refusal;
use super::shelf::Reading;
use crate::publish::Published;

/// `{"data": {..., NAME: lists}}`, the lists in PEM as `reading` reads them of `lists`.
///
/// # Errors
/// [`Refusal`] when `members` is empty: there is nothing that lists could stand behind.
pub(crate) fn with_lists(
    status: StatusCode,
    members: Map<String, Value>,
    name: &str,
    lists: &Published,
    reading: Reading,
) -> Result<Response, Refusal> {
    if members.is_empty() {
        return Err(Refusal::internal());
    }
    let text = tame(json!({ "data": members }).to_string());
    let head = text.strip_suffix(END).ok_or_else(Refusal::internal)?;
    let head = format!("{head},{}:\"", Value::from(name));
    let breaks = lists.lists_pem().bytes().filter(|octet| *octet == b'\n').count();
    let left = head.len() + reading.size_hint().exact().map_or(0, to_usize) + breaks + 1 + END.len();
    let tail = format!("\"{END}");
    let body = WithLists { head: Some(head.into()), reading, tail: Some(tail.into()), left };
    Ok(typed(status, "application/json", axum::body::Body::new(body)))
}

fn to_usize(octets: u64) -> usize {
    usize::try_from(octets).unwrap_or(usize::MAX)
}

/// What is before the lists, the lists, and what is behind them.
#[derive(Debug)]
struct WithLists {
    head: Option<Bytes>,
    reading: Reading,
    tail: Option<Bytes>,
    /// How many octets are left.
    left: usize,
}

impl WithLists {
    fn next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, io::Error>>> {
        if let Some(head) = self.head.take() {
            return Poll::Ready(Some(Ok(head)));
        }
        match Pin::new(&mut self.reading).poll_frame(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error))),
            Poll::Ready(Some(Ok(frame))) => {
                let piece = frame.into_data().unwrap_or_default();
                // Of all that PEM is written with only the end of a line is written otherwise in JSON.
                let mut escaped = Vec::with_capacity(piece.len() + piece.len() / 32);
                for octet in piece {
                    match octet {
                        b'\n' => escaped.extend_from_slice(b"\\n"),
                        other => escaped.push(other),
                    }
                }
                Poll::Ready(Some(Ok(escaped.into())))
            }
            Poll::Ready(None) => Poll::Ready(self.tail.take().map(Ok)),
        }
    }
}

impl Body for WithLists {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.next(context).map(|piece| {
            let piece = piece?;
            if let Ok(piece) = &piece {
                self.left = self.left.saturating_sub(piece.len());
            }
            Some(piece.map(Frame::data))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.tail.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left as u64)
    }
}

/// The end of the object in the object.
const END: &str = "}}";

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::Waker;

    use kakunin_core::time::UnixTime;

    use super::*;
    use crate::authority::Authority;
    use crate::home::Home;
    use crate::http::shelf::{Part, Shelf};
    use crate::signer::PassphraseSources;
    use crate::store::ListRecord;
    use crate::term::Hours;

    #[test]
    fn papers_have_the_lists_in_them_and_nobody_has_a_copy_in_his_hands() {
        let folder = tempfile::tempdir().unwrap();
        let ask = |_: &str| Err(io::Error::other("nobody"));
        let own = folder.path().join("passphrase");
        std::fs::write(&own, "correct horse\n").unwrap();
        rustix::fs::chmod(&own, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
        let home = Home::at(&folder.path().join("home"));
        let sources = PassphraseSources { named: None, own: &own, ask: &ask };
        let now = UnixTime::from_seconds(1_800_000_000);
        let authority = Authority::init(&home, sources, now, Hours::default()).unwrap().0;
        let list =
            ListRecord { number: 1, this_update: now, next_update: now.plus(1), der: vec![7; 3 << 20] };
        let lists = Published::new(authority.root(), authority.issuing().unwrap(), list, &[]).unwrap();
        let (shelf, lists) = (Shelf::default(), Arc::new(lists));
        shelf.put(Arc::clone(&lists));
        let mut answers = Vec::new();
        for agent in ["a", "\u{202e}\"b\\"] {
            let (published, reading) = shelf.open(Part::All).unwrap();
            let Value::Object(members) = json!({ "agent_name": agent, "names": {} }) else {
                panic!("{agent}")
            };
            let answer = with_lists(StatusCode::CREATED, members, "lists_pem", &published, reading).unwrap();
            answers.push((agent, answer.into_body()));
        }
        // The shelf has them, and this test: no answer does.
        assert_eq!(Arc::strong_count(&lists), 2);
        for (agent, mut body) in answers {
            let (mut whole, promised) = (Vec::new(), Body::size_hint(&body).exact().unwrap());
            while let Poll::Ready(Some(piece)) =
                Pin::new(&mut body).poll_frame(&mut Context::from_waker(Waker::noop()))
            {
                let piece = piece.unwrap().into_data().unwrap();
                assert!(piece.len() <= 64 << 10, "{}", piece.len());
                whole.extend_from_slice(&piece);
            }
            assert_eq!(whole.len() as u64, promised);
            let read: Value = serde_json::from_slice(&whole).unwrap();
            let expected =
                json!({ "data": { "agent_name": agent, "names": {}, "lists_pem": lists.lists_pem() } });
            assert!(read == expected, "{agent}");
        }
        let (published, reading) = shelf.open(Part::All).unwrap();
        assert!(with_lists(StatusCode::OK, Map::new(), "lists_pem", &published, reading).is_err());
    }
}
