//! Declared events, and receipts as they are kept, as they come, for whoever listens: `text/event-stream`, from the records and from nowhere else.
//!
//! A listener has a place in the records and no queue: it is sent a few events, and when it took those the next ones are
//! read. So one that is slow costs a place and no memory, waits for nobody and keeps nobody waiting, and is dropped when
//! it takes nothing for a while. Each look at the records asks first whether its key still stands.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::access::Caller;
use super::error::Refusal;
use super::places::{Kind, Place, Places};
use super::service::Service;
use crate::store::{DeclaredEvent, DeclaredFilter, EventId, ReceiptPlace, ReceiptRecord, Store, StoreError};

/// Who listens, and what wakes them.
pub(crate) struct Happenings {
    pub(crate) places: Places,
    heard: watch::Sender<Heard>,
}

/// How many events were kept since the service began, as far as it counts, and whether it ends.
#[derive(Clone, Copy, Default)]
struct Heard {
    kept: u64,
    ended: bool,
}

impl Default for Happenings {
    fn default() -> Self {
        Self { places: Places::new(KIND), heard: watch::Sender::new(Heard::default()) }
    }
}

impl Happenings {
    /// An event was kept.
    pub(crate) fn told(&self) {
        self.heard.send_modify(|heard| heard.kept = heard.kept.wrapping_add(1));
    }

    /// Ends every stream.
    pub(crate) fn end(&self) {
        self.heard.send_modify(|heard| heard.ended = true);
    }
}

/// Where a listener begins.
pub(crate) enum Start {
    /// With what comes from now on.
    Now,
    /// With what came at or after the time in the filter.
    Since,
    /// Behind this event.
    After(EventId),
}

/// What one listener is sent.
pub(crate) struct Listener {
    pub(crate) caller: Caller,
    pub(crate) filter: DeclaredFilter,
    pub(crate) from: Start,
    pub(crate) shown: fn(&DeclaredEvent) -> Value,
    /// Receipts as well, and where they begin.
    pub(crate) receipts: Option<Receipts>,
}

/// The receipts of a listener.
pub(crate) struct Receipts {
    /// Behind which one; with what comes from now on, if nobody says.
    pub(crate) after: Option<ReceiptPlace>,
    pub(crate) shown: fn(&ReceiptRecord) -> Value,
}

/// Behind what a listener goes on, as it stands in `id` and `Last-Event-ID`: an event, or `EVENT/RECEIPT` for who hears
/// receipts, each `-` before the first one.
pub(crate) fn place(text: &str) -> Option<(Option<EventId>, Option<ReceiptPlace>)> {
    let Some((event, receipt)) = text.split_once('/') else {
        return Some((Some(EventId::parse(text)?), None));
    };
    let event = if event == NONE { None } else { Some(EventId::parse(event)?) };
    let receipt = if receipt == NONE { None } else { Some(ReceiptPlace::parse(receipt)?) };
    Some((event, receipt))
}

/// The body of a stream that begins.
///
/// # Errors
/// [`Refusal`] when the records do not know where it is to begin, or cannot be read.
pub(crate) async fn listen(
    service: &Arc<Service>,
    listener: Listener,
    place: Place,
) -> Result<Body, Refusal> {
    let tenant = listener.caller.tenant().clone();
    let (after, first) = match listener.from {
        Start::Since => (None, true),
        Start::After(id) => {
            // Nobody goes on from an event that is not there.
            let look = move |store: &dyn Store| {
                store.declared_after(&tenant, &DeclaredFilter::default(), Some(id), 1)
            };
            service.readers.read(look).await?;
            (Some(id), true)
        }
        Start::Now => {
            let newest =
                service.readers.read(move |store| store.declared(&tenant, &DeclaredFilter::default(), 1));
            (newest.await?.first().map(|kept| kept.event.id), false)
        }
    };
    let mut listener = listener;
    if let Some(receipts) = &mut listener.receipts {
        let (tenant, after) = (listener.caller.tenant().clone(), receipts.after.clone());
        let look = move |store: &dyn Store| match after {
            // Nobody goes on from a receipt that is not there.
            Some(after) => store.receipts_after(&tenant, None, Some(&after), 1).map(|_| Some(after)),
            None => store.last_receipt(&tenant),
        };
        receipts.after = service.readers.read(look).await?;
    }
    let (sender, events) = channel(1);
    let service = Arc::clone(service);
    let heard = service.happenings.heard.subscribe();
    tokio::spawn(async move {
        let mut stream = Stream { service, listener, after, sender, heard };
        stream.run(first).await;
        drop(place);
    });
    Ok(Body::new(Events(events)))
}

struct Stream {
    service: Arc<Service>,
    listener: Listener,
    /// Behind which event it is.
    after: Option<EventId>,
    sender: Sender<Bytes>,
    heard: watch::Receiver<Heard>,
}

impl Stream {
    async fn run(&mut self, mut look: bool) {
        let end = Instant::now() + LONGEST;
        let connected =
            json!({ "after": self.after.map(|id| id.to_string()), "heartbeat_seconds": BEAT.as_secs() });
        let mut beat = Instant::now() + BEAT;
        if !self.send(event("connected", None, &connected)).await {
            return;
        }
        loop {
            if look {
                match self.next().await {
                    Ok((page, more)) => {
                        if !page.is_empty() && !self.send(page.into()).await {
                            return;
                        }
                        if more {
                            continue;
                        }
                    }
                    Err(refusal) => {
                        let said = json!({ "code": refusal.code, "error": refusal.text });
                        self.send(event("error", None, &said)).await;
                        return;
                    }
                }
            }
            let now = Instant::now();
            if now >= end || self.heard.borrow().ended {
                return;
            }
            if now >= beat {
                beat = now + BEAT;
                let at = json!({ "at": (self.service.clock)().to_string() });
                if !self.send(event("heartbeat", None, &at)).await {
                    return;
                }
            }
            // Looked at once a second in any case: a key that was revoked hears nothing of it.
            tokio::select! {
                changed = self.heard.changed() => if changed.is_err() { return },
                () = sleep_until(now + LOOK) => {}
                () = self.sender.closed() => return,
            }
            look = true;
        }
    }

    /// The next events, and whether there are more at once.
    async fn next(&mut self) -> Result<(String, bool), Refusal> {
        let now = (self.service.clock)();
        let (caller, filter, after) =
            (self.listener.caller.clone(), self.listener.filter.clone(), self.after);
        let behind = self.listener.receipts.as_ref().map(|receipts| receipts.after.clone());
        let found = self.service.readers.read(move |store| {
            let stands = caller.still_stands(store, now);
            let all = DeclaredFilter::default();
            // The newest one of all first: what comes in between is behind it and found the next time.
            let newest = store.declared(caller.tenant(), &all, 1)?.first().map(|kept| kept.event.id);
            let events = store.declared_after(caller.tenant(), &filter, after, PAGE)?;
            let receipts = match &behind {
                None => None,
                Some(behind) => {
                    let last = store.last_receipt(caller.tenant())?;
                    let agents = filter.agents.as_deref();
                    Some((last, store.receipts_after(caller.tenant(), agents, behind.as_ref(), PAGE)?))
                }
            };
            Ok::<_, StoreError>((stands, newest, events, receipts))
        });
        let (stands, newest, events, receipts) = found.await?;
        stands?;
        let mut page = String::new();
        for kept in &events {
            self.after = Some(kept.event.id);
            page.push_str(&text("behavior_event", Some(&self.id()), &(self.listener.shown)(kept)));
        }
        if events.is_empty() {
            self.after = newest.or(self.after);
        }
        let mut more = events.len() == PAGE as usize;
        if let Some((last, kept)) = receipts {
            more |= kept.len() == PAGE as usize;
            for receipt in &kept {
                self.go_behind(Some(ReceiptPlace::of(receipt)));
                let shown = self.listener.receipts.as_ref().map(|receipts| (receipts.shown)(receipt));
                page.push_str(&text("receipt", Some(&self.id()), &shown.unwrap_or_default()));
            }
            if kept.is_empty() {
                self.go_behind(last);
            }
        }
        Ok((page, more))
    }

    fn go_behind(&mut self, place: Option<ReceiptPlace>) {
        if let (Some(receipts), Some(place)) = (&mut self.listener.receipts, place) {
            receipts.after = Some(place);
        }
    }

    /// What whoever heard everything until here comes again with.
    fn id(&self) -> String {
        let event = self.after.map_or(NONE.to_owned(), |id| id.to_string());
        match &self.listener.receipts {
            None => event,
            Some(receipts) => {
                let receipt = receipts.after.as_ref().map_or(NONE.to_owned(), ToString::to_string);
                format!("{event}/{receipt}")
            }
        }
    }

    /// Whether it was taken in time.
    async fn send(&self, bytes: Bytes) -> bool {
        matches!(timeout(TAKING, self.sender.send(bytes)).await, Ok(Ok(())))
    }
}

fn event(name: &str, id: Option<&str>, data: &Value) -> Bytes {
    text(name, id, data).into()
}

/// JSON has no line breaks, whatever texts are in it.
fn text(name: &str, id: Option<&str>, data: &Value) -> String {
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    format!("event: {name}\n{id}data: {data}\n\n")
}

struct Events(Receiver<Bytes>);

impl hyper::body::Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

/// In the place of an event or a receipt before the first one.
const NONE: &str = "-";
const KIND: Kind = Kind {
    most: 256,
    each: 16,
    yours: "you, or others of your tenant, have as many streams open as they may; end one of them first",
    full: "too many streams are open; try again",
};
/// Each has 64 kB of details at most.
const PAGE: u32 = 16;
const LOOK: Duration = Duration::from_secs(1);
const BEAT: Duration = Duration::from_secs(15);
const TAKING: Duration = Duration::from_secs(30);
/// A connection lives for an hour.
const LONGEST: Duration = Duration::from_secs(3_300);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_begins_an_event_of_its_own() {
        let hostile = "x\n\nevent: behavior_event\ndata: {}\r\n\u{2028}";
        let written = text("behavior_event", Some(&"07".repeat(16)), &json!({ hostile: hostile }));
        assert_eq!(written.lines().count(), 4, "{written}");
        assert!(!written.contains('\r'));
    }
}
