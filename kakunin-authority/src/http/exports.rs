//! Exports on their way: of the audit log a page of rows that is read when the one before was taken.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use hyper::body::Frame;
use kakunin_core::time::UnixTime;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::access::Caller;
use super::error::Refusal;
use super::places::{Kind, Place, Places};
use super::sequencer::Lane;
use super::service::Service;
use crate::audit_export::{AuditExport, ROWS_AT_ONCE};
use crate::store::{AuditRow, Store, StoreError};

/// Exports of the audit log: each reads the whole log.
pub(crate) fn exports() -> Places {
    Places::new(Kind {
        most: PLACES,
        each: 1,
        yours: YOURS,
        full: "too many exports are under way; try again",
    })
}

/// Bundles of evidence that are made or read.
pub(crate) fn bundles() -> Places {
    Places::new(Kind {
        most: PLACES,
        each: 1,
        yours: YOURS,
        full: "too many bundles are under way; try again",
    })
}

/// The body of an export for `caller`. What cannot be read or signed ends it without its last line, and so does a key that
/// does not stand any more, and the connection with it: a file that is cut off is none that holds.
pub(crate) fn streamed(
    service: &Arc<Service>,
    caller: Caller,
    export: AuditExport,
    first: Vec<u8>,
    place: Place,
) -> Body {
    let (sender, pages) = channel(1);
    let service = Arc::clone(service);
    tokio::spawn(async move {
        if let Err(refusal) = send(&service, caller, export, first, &sender).await {
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
    caller: Caller,
    mut export: AuditExport,
    first: Vec<u8>,
    sender: &Sender<Page>,
) -> Result<(), Refusal> {
    // Whoever goes away takes the receiver along, and nothing more is read for it.
    let mut more = sender.send(Ok(first.into())).await.is_ok();
    while more && let Some((after, last)) = export.wants() {
        let (caller, now) = (caller.clone(), (service.clock)());
        let rows = service.readers.read(move |store| next(store, &caller, (after, last), now)).await??;
        let page = export.rows(&rows)?;
        more = page.is_empty() || sender.send(Ok(page.into())).await.is_ok();
    }
    if let Some(statement) = export.statement().filter(|_| more) {
        let (signs, tenant, now) = (statement.clone(), export.tenant().clone(), (service.clock)());
        let signed = service.orders.give(Lane::Ordinary, move |authority| {
            caller.still_stands(authority.records(), now)?;
            authority.act_for(&tenant).and_then(|()| authority.sign_audit(&signs)).map_err(Refusal::from)
        });
        let signed = signed.await??;
        let _ = sender.send(Ok(export.end(&statement, &signed).into())).await;
    }
    Ok(())
}

/// The next rows for `caller`, as long as it stands: an export that is read slowly lasts for hours.
fn next(
    store: &dyn Store,
    caller: &Caller,
    (after, last): (u64, u64),
    now: UnixTime,
) -> Result<Result<Vec<AuditRow>, Refusal>, StoreError> {
    match caller.still_stands(store, now) {
        Ok(()) => store.audit_rows(after, last, ROWS_AT_ONCE).map(Ok),
        Err(refusal) => Ok(Err(refusal)),
    }
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

const PLACES: usize = 4;
const YOURS: &str =
    "you, or others of your tenant, have as many under way as they may; take them to their end first";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Actor, KeyPrefix, Role, TenantId};
    use crate::store::{Access as _, ApiKeyRecord, AuditLog as _, AuditRecord, MemoryStore};

    const NOW: UnixTime = UnixTime::from_seconds(1_800_000_000);

    #[test]
    fn an_export_goes_on_as_long_as_its_key_stands() {
        let (mut store, tenant) = (MemoryStore::default(), TenantId::default());
        let key = ApiKeyRecord {
            prefix: KeyPrefix::from_random([7; 8]),
            secret: kakunin_core::digest::Digest::of(b"secret"),
            role: Role::Auditor,
            tenant: tenant.clone(),
            agents: None,
            networks: None,
            label: String::new(),
            created: NOW,
            expires: Some(NOW.plus(3_600)),
            revoked: None,
        };
        store.add_key(&key).unwrap();
        let record = AuditRecord {
            at: NOW,
            actor: Actor::Local,
            address: None,
            tenant: tenant.clone(),
            what: "agent.create".into(),
            subject: "x".into(),
            before: None,
            after: None,
            text: String::new(),
            salt: None,
        };
        let _ = store.audit_intent(&record).unwrap();
        let (prefix, caller) = (key.prefix.clone(), Caller::of_key(key));
        let look = |store: &MemoryStore, at| next(store, &caller, (0, 1), at).unwrap();
        assert_eq!(look(&store, NOW).unwrap().len(), 1);
        assert_eq!(look(&store, NOW.plus(3_600)).unwrap_err().code, "access.key", "it ended");
        store.revoke_key(&tenant, &prefix, NOW).unwrap();
        assert_eq!(look(&store, NOW).unwrap_err().code, "access.key");
    }
}
