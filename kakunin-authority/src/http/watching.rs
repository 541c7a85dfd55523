//! The thread that watches: it looks at what was kept, has the sequencer keep what that changes, and settles it.
//!
//! Nobody who sends receipts waits for it. What it decides is in the records before it is carried out, so whoever leads
//! next goes on where it stopped.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use kakunin_core::id::AgentId;
use kakunin_core::risk::RiskLevel;
use tokio::sync::mpsc::Receiver;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::content::{Judge, Text, attend as judge_texts};
use super::deliver::Count;
use super::error::Refusal;
use super::sequencer::Lane;
use super::service::Service;
use crate::access::TenantId;
use crate::authority::Authority;
use crate::store::{RiskEvent, RiskEventKind, Store};
use crate::watch::{Cache, Looked, Step, Terms, look, rounds};

/// What routes, the sequencer and the thread share.
pub(crate) struct Watch {
    pub(crate) terms: Terms,
    wake: Notify,
    pub(crate) counts: Counts,
}

/// What it did since the service began.
#[derive(Default)]
pub(crate) struct Counts {
    /// Events that were settled.
    pub(crate) settled: Count,
    /// Attempts to settle one that failed.
    pub(crate) failed: Count,
    /// Looks that could not be finished.
    pub(crate) unseen: Count,
    /// How many tenants have more that nobody looked at than a turn takes.
    pub(crate) behind: AtomicU64,
}

impl Watch {
    pub(crate) fn new(terms: Terms) -> Self {
        Self { terms, wake: Notify::new(), counts: Counts::default() }
    }

    /// Something was kept that nobody looked at.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }
}

/// Starts the thread. It ends with `stop`.
pub(crate) fn start(
    service: Arc<Service>,
    judge: Option<(Arc<dyn Judge>, Receiver<Text>)>,
    stop: watch::Receiver<bool>,
) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new().name("kakunin-watch".into()).spawn(move || {
        runtime.block_on(async {
            if let Some((judge, texts)) = judge {
                tokio::spawn(judge_texts(Arc::clone(&service), judge, texts, stop.clone()));
            }
            let mut watcher = Watcher { service, stop, cache: Cache::default(), again: HashMap::new() };
            watcher.attend().await;
        });
        runtime.shutdown_background();
    })
}

struct Watcher {
    service: Arc<Service>,
    stop: watch::Receiver<bool>,
    cache: Cache,
    /// Events that could not be settled: how often, and when they are tried again.
    again: HashMap<u64, (u32, Instant)>,
}

impl Watcher {
    async fn attend(&mut self) {
        self.give_up_checks().await;
        let (mut stop, mut round) = (self.stop.clone(), Instant::now() + ROUND);
        loop {
            let tenants = match self.service.readers.read(|store| store.tenants()).await {
                Ok(tenants) => tenants,
                Err(refusal) => {
                    self.not_looked("every tenant", &refusal);
                    Vec::new()
                }
            };
            let mut behind = 0;
            for tenant in &tenants {
                behind += u64::from(self.look(tenant).await);
            }
            self.service.watch.counts.behind.store(behind, Ordering::Relaxed);
            // A round that nobody could be asked for is made up for as soon as somebody can.
            if Instant::now() >= round && !tenants.is_empty() {
                round = Instant::now() + ROUND;
                for tenant in &tenants {
                    self.go_round(tenant).await;
                }
            }
            let more = self.settle().await;
            if (behind > 0 || more) && !*stop.borrow() {
                continue;
            }
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = self.service.watch.wake.notified() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Says that whose receipts could not be looked at, and why.
    fn not_looked(&self, whose: &str, refusal: &Refusal) {
        let cause = refusal.cause.as_deref().unwrap_or(&refusal.text);
        self.service.note("risk.not_looked", &format!("{whose}: {cause}"));
        self.service.watch.counts.unseen.add();
    }

    /// Looks at some of what nobody looked at, and says whether there may be more: whoever sends very much is looked at in
    /// turn with the others.
    async fn look(&mut self, tenant: &TenantId) -> bool {
        for _ in 0..TURN {
            if *self.stop.borrow() {
                return false;
            }
            let (of, terms) = (tenant.clone(), self.service.watch.terms.clone());
            let (mut cache, now) = (std::mem::take(&mut self.cache), (self.service.clock)());
            let looked = self.service.readers.read(move |store| {
                let looked = look(store, &mut cache, &of, &terms, now)?;
                Ok((looked, cache))
            });
            let (step, more) = match looked.await {
                Ok((Looked::Nothing, cache)) => {
                    self.cache = cache;
                    return false;
                }
                Ok((Looked::Step { step, more }, cache)) => {
                    self.cache = cache;
                    (step, more)
                }
                Err(refusal) => {
                    self.not_looked(&format!("tenant `{tenant}`"), &refusal);
                    return false;
                }
            };
            let happened = step.has_events();
            if !self.keep(*step).await {
                return false;
            }
            if happened {
                // Whoever is to be stopped is stopped before the next page.
                self.settle().await;
            }
            if !more {
                return false;
            }
        }
        true
    }

    /// Goes round the agents of a tenant that something may be due of.
    async fn go_round(&mut self, tenant: &TenantId) {
        let mut after: Option<AgentId> = None;
        while !*self.stop.borrow() {
            let (of, terms, service) =
                (tenant.clone(), self.service.watch.terms.clone(), Arc::clone(&self.service));
            let (mut cache, now) = (std::mem::take(&mut self.cache), (self.service.clock)());
            let gone = self.service.readers.read(move |store| {
                let at = std::time::Instant::now();
                let heard = |agent| service.acks.seen(agent, at).is_some();
                let (step, next) = rounds(store, &mut cache, (&of, &terms), &heard, after, now)?;
                Ok((step, next, cache))
            });
            let Ok((step, next, cache)) = gone.await else {
                return self.service.watch.counts.unseen.add();
            };
            self.cache = cache;
            if !step.is_empty() && !self.keep(step).await {
                return;
            }
            after = next;
            if after.is_none() {
                return;
            }
        }
    }

    /// Has it kept; `false` when it is to be looked at again.
    async fn keep(&mut self, step: Step) -> bool {
        let step = Arc::new(step);
        let kept = {
            let step = Arc::clone(&step);
            self.service.orders.give_part(step.rows(), move |store| step.keep(store))
        };
        match kept.await {
            Ok(true) => {
                for (agent, certificate, many) in step.passed_over() {
                    let text =
                        format!("agent {agent}: {many} receipts by the revoked certificate {certificate}");
                    self.service.note("risk.given_up_key", &text);
                }
                for (agent, why) in step.unlearnt() {
                    self.service.note("risk.not_learnt", &format!("agent {agent}: {why}"));
                }
                if let Some(step) = Arc::into_inner(step) {
                    step.remember(&mut self.cache);
                }
                self.service.hooks.wake.notify_one();
                true
            }
            // Somebody rebaselined an agent or set its policy in between.
            Ok(false) => {
                self.cache = Cache::default();
                self.service.watch.wake();
                false
            }
            Err(_) => {
                self.cache = Cache::default();
                self.service.watch.counts.unseen.add();
                false
            }
        }
    }

    /// Settles some of what happened, and says whether there is more. What cannot be settled is tried again, ever more rarely,
    /// and nothing waits behind it.
    async fn settle(&mut self) -> bool {
        let now = Instant::now();
        let (mut after, mut open, mut gone) = (0, Vec::new(), true);
        let mut known = HashSet::new();
        for _ in 0..PAGES {
            let page = self.service.readers.read(move |store| store.open_risk_events(after, READ)).await;
            let Ok(page) = page else {
                self.service.watch.counts.unseen.add();
                return false;
            };
            gone = page.len() < READ as usize;
            for (number, event) in page {
                after = number;
                known.insert(number);
                if self.again.get(&number).is_none_or(|(_, at)| *at <= now) {
                    open.push((number, event));
                }
            }
            if gone {
                break;
            }
        }
        // Behind the last page nobody looked.
        self.again.retain(|number, _| known.contains(number) || (!gone && *number > after));
        let more = open.len() > SETTLED;
        for (number, event) in in_turn(open).into_iter().take(SETTLED) {
            if *self.stop.borrow() {
                return false;
            }
            match self.settle_one(number, event).await {
                Ok(()) => self.service.watch.counts.settled.add(),
                Err(cause) => {
                    let tries = self.again.get(&number).map_or(0, |(tries, _)| *tries);
                    let wait = FIRST.saturating_mul(1 << tries.min(6));
                    self.again.insert(number, (tries.saturating_add(1), now + wait));
                    self.service.watch.counts.failed.add();
                    self.service.note("risk.not_settled", &cause);
                }
            }
        }
        more
    }

    async fn settle_one(&self, number: u64, event: RiskEvent) -> Result<(), String> {
        let stops = event.kind == RiskEventKind::Level && event.level >= RiskLevel::Suspend;
        let lane = if stops { Lane::Urgent } else { Lane::Ordinary };
        let (service, hours) = (Arc::clone(&self.service), self.service.hours);
        let line = self.line(number, &event);
        let settled = self.service.orders.give(lane, move |authority: &mut Authority<'_>| {
            let now = (service.clock)();
            if stops {
                service.room.for_urgent();
            }
            let settled = authority.settle_risk(number, &event, hours, now);
            if stops {
                // It proves nothing any more, so what it enforces is not waited for.
                service.acks.forget(event.agent);
            }
            settled.map_err(|error| error.to_string())
        });
        settled.await.map_err(|none| format!("{none:?}"))??;
        (self.service.log)(&line);
        Ok(())
    }

    /// One line of the log, of what was settled.
    fn line(&self, number: u64, event: &RiskEvent) -> String {
        let line = serde_json::json!({
            "at": (self.service.clock)().to_string(),
            "event": format!("risk.{}", event.kind.word()),
            "number": number,
            "tenant": event.tenant.as_str(),
            "agent": event.agent.to_string(),
            "level": event.level.word(),
            "score": event.score,
        });
        super::answer::tame(line.to_string())
    }

    /// Texts that were in memory when the service ended were never checked.
    async fn give_up_checks(&self) {
        while !*self.stop.borrow() {
            let now = (self.service.clock)();
            let order = move |store: &mut dyn Store| store.give_up_checks(GONE, now);
            match self.service.orders.give_part(1, order).await {
                Ok(_) => return,
                Err(_) => tokio::time::sleep(LOOK).await,
            }
        }
    }
}

/// Whoever is to be stopped first, then the tenants in turn, each in its order.
fn in_turn(open: Vec<(u64, RiskEvent)>) -> Vec<(u64, RiskEvent)> {
    let mut nth: HashMap<(TenantId, bool), usize> = HashMap::new();
    let mut placed: Vec<_> = open
        .into_iter()
        .map(|(number, event)| {
            let stops = event.kind == RiskEventKind::Level && event.level >= RiskLevel::Suspend;
            let before = nth.entry((event.tenant.clone(), stops)).or_default();
            *before += 1;
            ((!stops, *before, number), event)
        })
        .collect();
    placed.sort_unstable_by_key(|(place, _)| *place);
    placed.into_iter().map(|((_, _, number), event)| (number, event)).collect()
}

/// How often it looks without being woken.
const LOOK: Duration = Duration::from_secs(1);
const ROUND: Duration = Duration::from_secs(60);
/// Before what could not be settled is tried again; doubled six times.
const FIRST: Duration = Duration::from_secs(1);
/// Events that are settled at a time.
const SETTLED: usize = 64;
/// What waits is read to find them, some pages of so many.
const READ: u32 = 256;
const PAGES: usize = 64;
/// Pages of a tenant before it is the next one's turn.
const TURN: usize = 4;
const GONE: &str = "the service ended before it was checked";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Actor;

    #[test]
    fn one_tenant_that_has_very_much_to_settle_holds_up_nobody_and_stops_come_first() {
        let event = |tenant: &str, level| RiskEvent {
            tenant: TenantId::parse(tenant).unwrap(),
            agent: AgentId::from_random([1; 16]),
            kind: RiskEventKind::Level,
            level,
            score: 0,
            actor: Actor::Authority,
            text: "{}".into(),
            at: kakunin_core::time::UnixTime::from_seconds(0),
            seal: None,
        };
        let mut open: Vec<_> = (1..500).map(|number| (number, event("loud", RiskLevel::Suspend))).collect();
        open.push((500, event("quiet", RiskLevel::Suspend)));
        open.push((501, event("quiet", RiskLevel::Watch)));
        open.push((502, event("late", RiskLevel::Revoke)));
        let turns: Vec<u64> = in_turn(open).into_iter().map(|(number, _)| number).collect();
        assert_eq!(turns.get(..4), Some(&[1, 500, 502, 2][..]));
        assert_eq!((turns.len(), turns.last()), (502, Some(&501)));
    }
}
