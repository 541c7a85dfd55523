//! Exports on their way: who has one, and of the audit log a page of rows that is read when the one before was taken.

use std::collections::BTreeSet;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use hyper::body::Frame;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::error::Refusal;
use super::sequencer::Lane;
use super::service::Service;
use crate::audit_export::{AuditExport, ROWS_AT_ONCE};

/// Who is exporting.
#[derive(Default)]
pub(crate) struct Exports(Arc<Mutex<BTreeSet<String>>>);

/// A place for one export, free again when it is dropped.
pub(crate) struct Exporting {
    senders: Arc<Mutex<BTreeSet<String>>>,
    who: String,
}

impl Drop for Exporting {
    fn drop(&mut self) {
        lock(&self.senders).remove(&self.who);
    }
}

impl Exports {
    /// Takes a place for an export of `who`.
    ///
    /// # Errors
    /// [`Refusal`] when it has one already (429), or there is none (503).
    pub(crate) fn enter(&self, who: String) -> Result<Exporting, Refusal> {
        let mut senders = lock(&self.0);
        if senders.contains(&who) {
            let text = "an export of yours is under way; take it to its end first";
            let busy = Refusal::new(StatusCode::TOO_MANY_REQUESTS, "busy", text);
            return Err(Refusal { retry_after: Some(1), ..busy });
        }
        if senders.len() >= PLACES {
            return Err(Refusal::unavailable("busy", "too many exports are under way; try again"));
        }
        senders.insert(who.clone());
        Ok(Exporting { senders: Arc::clone(&self.0), who })
    }
}

fn lock(senders: &Mutex<BTreeSet<String>>) -> MutexGuard<'_, BTreeSet<String>> {
    senders.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The body of an export. What cannot be read or signed ends it without its last line, and the connection with it: a file
/// that is cut off is none that holds.
pub(crate) fn streamed(
    service: &Arc<Service>,
    export: AuditExport,
    first: Vec<u8>,
    place: Exporting,
) -> Body {
    let (sender, pages) = channel(1);
    let service = Arc::clone(service);
    tokio::spawn(async move {
        if let Err(refusal) = send(&service, export, first, &sender).await {
            let cause = refusal.cause.as_deref().unwrap_or(&refusal.text);
            service.note("audit.export_ended", &cause);
            let _ = sender.send(Err(io::Error::other(refusal.code))).await;
        }
        drop(place);
    });
    self::pages(pages)
}

async fn send(
    service: &Service,
    mut export: AuditExport,
    first: Vec<u8>,
    sender: &Sender<Page>,
) -> Result<(), Refusal> {
    // Whoever goes away takes the receiver along, and nothing more is read for it.
    let mut more = sender.send(Ok(first.into())).await.is_ok();
    while more && let Some((after, last)) = export.wants() {
        let rows = service.readers.read(move |store| store.audit_rows(after, last, ROWS_AT_ONCE)).await?;
        let page = export.rows(&rows)?;
        more = page.is_empty() || sender.send(Ok(page.into())).await.is_ok();
    }
    if let Some(statement) = export.statement().filter(|_| more) {
        let (signs, tenant) = (statement.clone(), export.tenant().clone());
        let signed = service.orders.give(Lane::Ordinary, move |authority| {
            authority.act_for(&tenant)?;
            authority.sign_audit(&signs)
        });
        let signed = signed.await??;
        let _ = sender.send(Ok(export.end(&statement, &signed).into())).await;
    }
    Ok(())
}

/// A body of pieces as they come; one that is an error breaks it off.
fn pages(pieces: Receiver<Page>) -> Body {
    Body::new(Pages(pieces))
}

type Page = Result<Bytes, io::Error>;

struct Pages(Receiver<Page>);

impl hyper::body::Body for Pages {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.0.poll_recv(context).map(|page| page.map(|page| page.map(Frame::data)))
    }
}

/// Each reads the whole log.
const PLACES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_exports_once_at_a_time_and_places_are_given_back() {
        let exports = Exports::default();
        let mut places: Vec<_> =
            (0..PLACES).map(|who| exports.enter(who.to_string()).ok().unwrap()).collect();
        assert_eq!(exports.enter("0".into()).err().unwrap().status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(exports.enter("new".into()).err().unwrap().status, StatusCode::SERVICE_UNAVAILABLE);
        places.pop();
        assert!(exports.enter("new".into()).is_ok());
    }
}
