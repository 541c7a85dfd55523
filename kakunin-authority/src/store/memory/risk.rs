//! How agents behave, in memory.

use std::collections::{BTreeMap, BTreeSet};

use kakunin_core::id::{AgentId, StreamId};
use kakunin_core::risk::RiskLevel;
use kakunin_core::time::UnixTime;

use super::{MemoryStore, most};
use crate::access::TenantId;
use crate::store::risk::{MOST_FORKS, kept_number};
use crate::store::{
    ContentCheck, ReceiptPlace, Risk, RiskEvent, RiskHead, RiskRecord, RiskSeal, RiskSign, StoreError,
    Verdict,
};

/// All that is known of how agents behave.
#[derive(Clone, Debug, Default)]
pub(super) struct Behaviour {
    places: BTreeMap<TenantId, ReceiptPlace>,
    records: BTreeMap<(TenantId, AgentId), RiskRecord>,
    signs: BTreeMap<u64, RiskSign>,
    events: BTreeMap<u64, RiskEvent>,
    checks: BTreeMap<u64, ContentCheck>,
}

impl Risk for MemoryStore {
    fn risk_place(&self, tenant: &TenantId) -> Result<Option<ReceiptPlace>, StoreError> {
        Ok(self.now.behaviour.places.get(tenant).cloned())
    }

    fn set_risk_place(&mut self, tenant: &TenantId, place: &ReceiptPlace) -> Result<(), StoreError> {
        kept_number(place.sequence)?;
        self.has(tenant, place.agent)?;
        self.now.behaviour.places.insert(tenant.clone(), place.clone());
        Ok(())
    }

    fn forks(
        &self,
        tenant: &TenantId,
        agent: AgentId,
        stream: StreamId,
        first: u64,
        last: u64,
    ) -> Result<Vec<u64>, StoreError> {
        let (first, last) = (kept_number(first)?, kept_number(last)?);
        let mut counts = BTreeMap::new();
        for receipt in &self.now.receipts {
            let of_stream = receipt.tenant == *tenant && receipt.agent == agent && receipt.stream == stream;
            let within = kept_number(receipt.sequence).is_ok_and(|number| (first..=last).contains(&number));
            if of_stream && within {
                *counts.entry(receipt.sequence).or_insert(0) += 1;
            }
        }
        let forked = counts.into_iter().filter(|(_, many)| *many > 1).map(|(number, _)| number);
        Ok(forked.take(most(MOST_FORKS)).collect())
    }

    fn count_numbers(
        &self,
        tenant: &TenantId,
        agent: AgentId,
        stream: StreamId,
        first: u64,
        last: u64,
    ) -> Result<u64, StoreError> {
        let (first, last) = (kept_number(first)?, kept_number(last)?);
        let numbers = self.numbers(tenant, agent, stream);
        let within = |number: &u64| kept_number(*number).is_ok_and(|number| (first..=last).contains(&number));
        Ok(numbers.into_iter().filter(within).count() as u64)
    }

    fn number_below(
        &self,
        tenant: &TenantId,
        agent: AgentId,
        stream: StreamId,
        number: u64,
    ) -> Result<Option<u64>, StoreError> {
        kept_number(number)?;
        Ok(self.numbers(tenant, agent, stream).range(..number).next_back().copied())
    }

    fn risk(&self, tenant: &TenantId, agent: AgentId) -> Result<Option<RiskRecord>, StoreError> {
        Ok(self.now.behaviour.records.get(&(tenant.clone(), agent)).cloned())
    }

    fn risk_heads(
        &self,
        tenant: &TenantId,
        after: Option<AgentId>,
        limit: u32,
    ) -> Result<Vec<RiskHead>, StoreError> {
        let records = self.now.behaviour.records.values();
        let behind = records
            .filter(|record| record.tenant == *tenant && after.is_none_or(|after| record.agent > after));
        let heads = behind.map(|record| RiskHead {
            agent: record.agent,
            level: record.level,
            has_baseline: record.baseline.is_some(),
            last: record.last,
            pause: record.pause,
            silent: record.silent,
            gaps: record.gaps.clone(),
        });
        Ok(heads.take(most(limit)).collect())
    }

    fn keep_risk(&mut self, record: &RiskRecord) -> Result<(), StoreError> {
        kept_number(record.calls)?;
        self.has(&record.tenant, record.agent)?;
        let key = (record.tenant.clone(), record.agent);
        self.now.behaviour.records.insert(key, record.clone());
        Ok(())
    }

    fn count_risks(&self) -> Result<Vec<(RiskLevel, u64)>, StoreError> {
        Ok(counted(self.now.behaviour.records.values().map(|record| record.level)))
    }

    fn hand_in_sign(&mut self, sign: &RiskSign) -> Result<u64, StoreError> {
        self.has(&sign.tenant, sign.agent)?;
        Ok(add(&mut self.now.behaviour.signs, sign.clone()))
    }

    fn signs(&self, tenant: &TenantId, limit: u32) -> Result<Vec<(u64, RiskSign)>, StoreError> {
        let of_tenant = self.now.behaviour.signs.iter().filter(|(_, sign)| sign.tenant == *tenant);
        Ok(of_tenant.take(most(limit)).map(|(number, sign)| (*number, sign.clone())).collect())
    }

    fn take_out_sign(&mut self, number: u64) -> Result<bool, StoreError> {
        kept_number(number)?;
        Ok(self.now.behaviour.signs.remove(&number).is_some())
    }

    fn add_risk_event(&mut self, event: &RiskEvent) -> Result<u64, StoreError> {
        self.has(&event.tenant, event.agent)?;
        Ok(add(&mut self.now.behaviour.events, event.clone()))
    }

    fn risk_events(
        &self,
        tenant: &TenantId,
        agent: AgentId,
        below: Option<u64>,
        limit: u32,
    ) -> Result<Vec<(u64, RiskEvent)>, StoreError> {
        let newest = self.now.behaviour.events.iter().rev().filter(|(number, event)| {
            event.tenant == *tenant && event.agent == agent && below.is_none_or(|below| **number < below)
        });
        Ok(newest.take(most(limit)).map(|(number, event)| (*number, event.clone())).collect())
    }

    fn open_risk_events(&self, after: u64, limit: u32) -> Result<Vec<(u64, RiskEvent)>, StoreError> {
        let events = self.now.behaviour.events.iter().filter(|(number, _)| **number > after);
        let open = events.filter(|(_, event)| event.seal.is_none());
        Ok(open.take(most(limit)).map(|(number, event)| (*number, event.clone())).collect())
    }

    fn seal_risk_event(&mut self, number: u64, seal: &RiskSeal) -> Result<bool, StoreError> {
        kept_number(number)?;
        let open = self.now.behaviour.events.get_mut(&number).filter(|event| event.seal.is_none());
        Ok(open.map(|event| event.seal = Some(seal.clone())).is_some())
    }

    fn add_check(&mut self, check: &ContentCheck) -> Result<u64, StoreError> {
        self.has(&check.tenant, check.agent)?;
        Ok(add(&mut self.now.behaviour.checks, check.clone()))
    }

    fn end_check(
        &mut self,
        number: u64,
        verdict: Verdict,
        findings: &str,
        at: UnixTime,
    ) -> Result<bool, StoreError> {
        kept_number(number)?;
        let checks = &mut self.now.behaviour.checks;
        let pending = checks.get_mut(&number).filter(|check| check.verdict == Verdict::Pending);
        Ok(pending.map(|check| end(check, verdict, findings, at)).is_some())
    }

    fn give_up_checks(&mut self, findings: &str, at: UnixTime) -> Result<u64, StoreError> {
        let mut many = 0;
        let checks = self.now.behaviour.checks.values_mut();
        for check in checks.filter(|check| check.verdict == Verdict::Pending) {
            let found = check.findings.clone();
            if found == "[]" {
                end(check, Verdict::Unknown, findings, at);
            } else {
                end(check, Verdict::Found, &found, at);
            }
            many += 1;
        }
        Ok(many)
    }

    fn checks(
        &self,
        tenant: &TenantId,
        agent: AgentId,
        since: UnixTime,
        limit: u32,
    ) -> Result<Vec<(u64, ContentCheck)>, StoreError> {
        let newest = self.of(tenant, agent, since).rev().take(most(limit));
        Ok(newest.map(|(number, check)| (*number, check.clone())).collect())
    }

    fn count_checks(
        &self,
        tenant: &TenantId,
        agent: AgentId,
        since: UnixTime,
    ) -> Result<Vec<(Verdict, u64)>, StoreError> {
        Ok(counted(self.of(tenant, agent, since).map(|(_, check)| check.verdict)))
    }
}

impl MemoryStore {
    fn numbers(&self, tenant: &TenantId, agent: AgentId, stream: StreamId) -> BTreeSet<u64> {
        let of_stream =
            self.now.receipts.iter().filter(|receipt| receipt.tenant == *tenant && receipt.agent == agent);
        of_stream.filter(|receipt| receipt.stream == stream).map(|receipt| receipt.sequence).collect()
    }

    fn has(&self, tenant: &TenantId, agent: AgentId) -> Result<(), StoreError> {
        self.now.agent(tenant, agent).map(drop).ok_or(StoreError::UnknownAgent { id: agent })
    }

    fn of(
        &self,
        tenant: &TenantId,
        agent: AgentId,
        since: UnixTime,
    ) -> impl DoubleEndedIterator<Item = (&u64, &ContentCheck)> {
        self.now
            .behaviour
            .checks
            .iter()
            .filter(move |(_, check)| check.tenant == *tenant && check.agent == agent && check.at >= since)
    }
}

/// Adds behind the last one, and says where.
fn add<T>(all: &mut BTreeMap<u64, T>, one: T) -> u64 {
    let number = all.last_key_value().map_or(1, |(number, _)| number + 1);
    all.insert(number, one);
    number
}

fn end(check: &mut ContentCheck, verdict: Verdict, findings: &str, at: UnixTime) {
    check.verdict = verdict;
    check.findings = findings.to_owned();
    check.ended = Some(at);
}

fn counted<T: Ord>(all: impl Iterator<Item = T>) -> Vec<(T, u64)> {
    let mut counts = BTreeMap::new();
    for one in all {
        *counts.entry(one).or_insert(0) += 1;
    }
    counts.into_iter().collect()
}
