//! The thread that watches: it looks at what was kept, has the sequencer keep what that changes, and settles it.
//!
//! Nobody who sends receipts waits for it. What it decides is in the records before it is carried out, so whoever leads
//! next goes on where it stopped.

use std::collections::HashMap;
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
    /// How many looks found more than they took: how far it is behind, in pages.
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
            for tenant in &tenants {
                self.look(tenant).await;
            }
            // A round that nobody could be asked for is made up for as soon as somebody can.
            if Instant::now() >= round && !tenants.is_empty() {
                round = Instant::now() + ROUND;
                for tenant in &tenants {
                    self.go_round(tenant).await;
                }
            }
            self.settle().await;
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

    /// Looks until nothing is left that nobody looked at.
    async fn look(&mut self, tenant: &TenantId) {
        let mut pages = 0;
        while !*self.stop.borrow() {
            let (of, terms) = (tenant.clone(), self.service.watch.terms.clone());
            let (mut cache, now) = (std::mem::take(&mut self.cache), (self.service.clock)());
            let looked = self.service.readers.read(move |store| {
                let looked = look(store, &mut cache, &of, &terms, now)?;
                Ok((looked, cache))
            });
            let (step, more) = match looked.await {
                Ok((Looked::Nothing, cache)) => {
                    self.cache = cache;
                    break;
                }
                Ok((Looked::Step { step, more }, cache)) => {
                    self.cache = cache;
                    (step, more)
                }
                Err(refusal) => {
                    self.not_looked(&format!("tenant `{tenant}`"), &refusal);
                    break;
                }
            };
            let happened = step.has_events();
            if !self.keep(*step).await {
                break;
            }
            if happened {
                // Whoever is to be stopped is stopped before the next page.
                self.settle().await;
            }
            if !more {
                break;
            }
            pages += 1;
            self.service.watch.counts.behind.store(pages, Ordering::Relaxed);
        }
        self.service.watch.counts.behind.store(0, Ordering::Relaxed);
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

    /// Settles what happened. What cannot be settled is tried again, ever more rarely.
    async fn settle(&mut self) {
        let now = Instant::now();
        let open = self.service.readers.read(|store| store.open_risk_events(SETTLED)).await;
        let Ok(open) = open else { return self.service.watch.counts.unseen.add() };
        self.again.retain(|number, _| open.iter().any(|(known, _)| known == number));
        for (number, event) in open {
            if *self.stop.borrow() || self.again.get(&number).is_some_and(|(_, at)| *at > now) {
                continue;
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

/// How often it looks without being woken.
const LOOK: Duration = Duration::from_secs(1);
const ROUND: Duration = Duration::from_secs(60);
/// Before what could not be settled is tried again; doubled six times.
const FIRST: Duration = Duration::from_secs(1);
/// Events that are settled at a time.
const SETTLED: u32 = 64;
const GONE: &str = "the service ended before it was checked";
