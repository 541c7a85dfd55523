//! Texts on their way to another judge: how many may wait, and what comes of them.
//!
//! A text is in memory alone. Whoever sent it was answered by then, so its check is in the records as pending, with what this
//! machine found and its sign; a check whose text is gone, because the service ended, becomes unknown at the next start, or
//! stays by what was found here.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use kakunin_core::id::AgentId;
use tokio::sync::mpsc::{OwnedPermit, Receiver, Sender, channel};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::local::LOCAL;
use super::{Judge, Judgement, Unjudged};
use crate::access::TenantId;
use crate::http::access::Caller;
use crate::http::error::Refusal;
use crate::http::places::{Kind, Place, Places};
use crate::http::service::Service;
use crate::http::shown::Shown;
use crate::store::{RiskSign, SignKind, Verdict};

/// A text that waits for another judge.
pub(crate) struct Text {
    pub(crate) tenant: TenantId,
    pub(crate) agent: AgentId,
    /// The number of its check.
    pub(crate) number: u64,
    pub(crate) text: String,
    /// What this machine found. It is in the records, and its sign with it.
    pub(crate) found: Judgement,
    pub(crate) place: Place,
}

/// Where texts are handed in.
pub(crate) struct Desk {
    name: String,
    queue: Option<Sender<Text>>,
    places: Places,
}

/// Room for a text that waits, and the way there.
pub(crate) struct Room {
    pub(crate) permit: OwnedPermit<Text>,
    pub(crate) place: Place,
}

impl Desk {
    /// With another judge, and what takes texts to it; without one, this machine's table is all.
    pub(crate) fn of(judge: Option<&dyn Judge>) -> (Self, Option<Receiver<Text>>) {
        match judge {
            None => (Self { name: LOCAL.to_owned(), queue: None, places: Places::new(KIND) }, None),
            Some(judge) => {
                let (sender, receiver) = channel(WAITING);
                let (name, places) = (judge.name().to_owned(), Places::new(KIND));
                (Self { name, queue: Some(sender), places }, Some(receiver))
            }
        }
    }

    /// Who checks.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Room for a text, if there is another judge.
    ///
    /// # Errors
    /// [`Refusal`] when as many wait as may, of all or of this one: what is accepted is checked.
    pub(crate) fn room(&self, caller: &Caller, shown: &Shown) -> Result<Option<Room>, Refusal> {
        let full = || {
            let text = "as many texts wait to be checked as may; send it again later";
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "content.full", text)
        };
        let Some(queue) = self.queue.clone() else { return Ok(None) };
        let place = self.places.enter(caller, shown).map_err(|refusal| match refusal.status {
            StatusCode::SERVICE_UNAVAILABLE => full(),
            _ => refusal,
        })?;
        let permit = queue.try_reserve_owned().map_err(|_| full())?;
        Ok(Some(Room { permit, place }))
    }
}

/// Has texts judged until the service stops.
pub(crate) async fn attend(
    service: Arc<Service>,
    judge: Arc<dyn Judge>,
    mut texts: Receiver<Text>,
    mut stop: watch::Receiver<bool>,
) {
    let (mut under_way, turns) = (JoinSet::new(), Arc::new(Semaphore::new(AT_ONCE)));
    loop {
        let text = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            text = texts.recv() => text,
        };
        let (Some(text), Ok(turn)) = (text, Arc::clone(&turns).acquire_owned().await) else { break };
        let (service, judge, stop) = (Arc::clone(&service), Arc::clone(&judge), stop.clone());
        while under_way.try_join_next().is_some() {}
        under_way.spawn(async move {
            let judged = judge.judge(&text.text).await;
            end(&service, &text, judged, &stop).await;
            drop(text.place);
            drop(turn);
        });
    }
}

/// Records what came of it. What this machine found stays found, whatever another judge says.
async fn end(
    service: &Service,
    text: &Text,
    judged: Result<Judgement, Unjudged>,
    stop: &watch::Receiver<bool>,
) {
    let now = (service.clock)();
    let (verdict, findings, sign) = match judged {
        Ok(other) => {
            // What was found here has its sign already, so the other one's counts only if it is graver.
            let sign = (other.weight() > text.found.weight()).then(|| (other.weight(), other.sentence()));
            let (verdict, findings, _) = came_of(text.found.clone().and(other));
            (verdict, findings, sign)
        }
        Err(Unjudged(why)) if text.found.is_clean() => (Verdict::Unknown, why, None),
        Err(Unjudged(_)) => {
            let (verdict, findings, _) = came_of(text.found.clone());
            (verdict, findings, None)
        }
    };
    while !*stop.borrow() {
        let (number, findings) = (text.number, findings.clone());
        let sign = sign.as_ref().map(|(weight, sentence)| RiskSign {
            tenant: text.tenant.clone(),
            agent: text.agent,
            kind: SignKind::Content,
            weight: *weight,
            sentence: sentence.clone(),
            cause: None,
            at: now,
        });
        let kept = service.orders.give_part(2, move |store| {
            if store.end_check(number, verdict, &findings, now)?
                && let Some(sign) = &sign
            {
                store.hand_in_sign(sign)?;
            }
            Ok(())
        });
        match kept.await {
            Ok(()) => return service.watch.wake(),
            // A lane that is full is emptied in seconds.
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
    }
}

/// A verdict with what was found and what it weighs.
pub(crate) fn came_of(judged: Judgement) -> (Verdict, String, Option<(u8, String)>) {
    match judged.is_clean() {
        true => (Verdict::Clean, "[]".to_owned(), None),
        false => (Verdict::Found, judged.to_json().to_string(), Some((judged.weight(), judged.sentence()))),
    }
}

const KIND: Kind = Kind {
    most: WAITING,
    each: 64,
    yours: "as many texts of you, or of your tenant, wait to be checked as may; wait for one of them",
    full: "as many texts wait to be checked as may; send it again later",
};
/// Each has 80 kB at most.
const WAITING: usize = 256;
const AT_ONCE: usize = 4;
const AGAIN: Duration = Duration::from_secs(1);
