//! One event of a feed, taken up into a follower, and one answer to a plain question.

use base64ct::{Base64, Encoding};
use kakunin_core::feed::{Follower, Refusal};
use kakunin_core::guard::{Clock, SystemClock};
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Response, StatusCode};

use crate::sse::{Event, NoEvents, Parser};
use crate::status::Trouble;
use crate::transport::{self, Address, HEAD, Transport as Connections, answer, refusal};
use crate::wait::nonce;

/// Why a stream of events is read no further.
pub(super) enum Halt {
    /// Changes are missing.
    Gap,
    /// The follower does not take this line.
    Refused(Refusal, String),
    NoEvents(NoEvents),
    /// Too much that says nothing.
    Vain,
}

impl From<NoEvents> for Halt {
    fn from(error: NoEvents) -> Self {
        Self::NoEvents(error)
    }
}

/// Takes up an event that was received at `received`. `Some` is a certificate that the follower has no use for: a key that is held,
/// or not valid yet, speaks for nobody, and the items of the others still count.
pub(super) fn take(follower: &mut Follower, event: &Event, received: i64) -> Result<Option<Refusal>, Halt> {
    match event.name.as_str() {
        "certificate" => {
            let der = Base64::decode_vec(&event.data).unwrap_or_default();
            Ok(follower.certify(&der, SystemClock.wall().to_seconds(), received).err())
        }
        "item" => match follower.take(&event.data, received) {
            Ok(_) => Ok(None),
            Err(Refusal::Gap { .. }) => Err(Halt::Gap),
            Err(refusal) => Err(Halt::Refused(refusal, event.data.clone())),
        },
        // From an authority that knows more kinds.
        _ => Ok(None),
    }
}

/// Asks `address` once how far the feed of `follower` is, and takes up the answer.
pub(crate) async fn hear(
    transport: &Connections,
    address: &Address,
    follower: &mut Follower,
) -> Result<(), Trouble> {
    let nonce = nonce().ok_or_else(|| Trouble::now("internal", "the system gives no randomness"))?;
    follower.begin(nonce, SystemClock.boot_millis());
    let (issuer, since) = (follower.issuer().to_hex(), follower.head().epoch().to_string());
    let nonce = kakunin_core::digest::hex(&nonce);
    let pairs = [("issuer", issuer.as_str()), ("since", &since), ("nonce", &nonce), ("wait", "0")];
    let request = transport.get(address, "/v1/feed/poll", &pairs).header(ACCEPT, EVENTS);
    let response = answer(request, HEAD).await?;
    match response.status() {
        StatusCode::OK if is_events(&response) => {}
        StatusCode::OK => return Err(Trouble::now("feed.transport", "the answer is no stream of events")),
        _ => return Err(refusal(response).await),
    }
    let bytes = transport::body(response, MAX_PAGE, HEAD).await?;
    let received = SystemClock.boot_millis();
    let taken = Parser::default().push(&bytes, |event| take(follower, &event, received).map(drop));
    let until = follower.fresh_until();
    match taken {
        Ok(()) if until.is_some_and(|until| until > received) => Ok(()),
        Ok(()) | Err(Halt::Vain) => Err(Trouble::now("feed.cut", "the answer says nothing that counts")),
        Err(Halt::Gap) => Err(Trouble::now("feed.gap", "changes are missing")),
        Err(Halt::Refused(refusal, _)) => Err(Trouble::now(refusal.code(), refusal.to_string())),
        Err(Halt::NoEvents(error)) => Err(Trouble::now("feed.transport", error.to_string())),
    }
}

pub(super) fn is_events(response: &Response) -> bool {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(EVENTS))
}

pub(super) const EVENTS: &str = "text/event-stream";
/// More changes than come between two lists of a busy authority.
const MAX_PAGE: usize = 8 << 20;
