//! Deciding without acting: a dry run of an agent's leash, with nothing spent before. Nothing is written but, if asked
//! for, its receipts.

use std::collections::HashMap;
use std::path::Path;

use kakunin_core::decision::{Decision, Denial, Detail};
use kakunin_core::guard::Denied;
use kakunin_core::home::{AgentHome, Papers};
use kakunin_core::id::ChainId;
use kakunin_core::leash::{BudgetKey, Charge, SlidingSum};
use kakunin_core::reason::DenialReason;
use kakunin_core::request::{ActionRequest, Amount, Names};
use kakunin_core::snapshot::{Refusal, Snapshot};
use kakunin_core::time::{UnixMillis, UnixTime};

use crate::answer::Failure;
use crate::trail::Trail;

/// One agent's papers and lists, and what the requests so far would have spent.
pub(crate) struct Judge {
    papers: Papers,
    lists: Result<Vec<u8>, String>,
    sums: HashMap<BudgetKey, SlidingSum>,
    /// The view of the last second asked about: lines without a time share one.
    view: Option<(UnixTime, Result<Snapshot, Refusal>)>,
    trail: Option<Trail>,
}

/// A request as it was written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    pub(crate) action: String,
    pub(crate) amount: AskedAmount,
    pub(crate) currency: Option<String>,
    pub(crate) counterparties: AskedNames,
    pub(crate) resources: AskedNames,
}

#[derive(Clone, Debug, Default)]
pub(crate) enum AskedAmount {
    #[default]
    Absent,
    Decimal(String),
    Minor(i64),
    Unreadable,
}

#[derive(Clone, Debug, Default)]
pub(crate) enum AskedNames {
    #[default]
    Absent,
    One(String),
    Many(Vec<String>),
    Unreadable,
}

impl Asked {
    fn request<'a>(&'a self, parties: &'a [&'a str], resources: &'a [&'a str]) -> ActionRequest<'a> {
        ActionRequest {
            action: &self.action,
            amount: match &self.amount {
                AskedAmount::Absent => Amount::Absent,
                AskedAmount::Decimal(text) => Amount::Decimal(text),
                AskedAmount::Minor(minor) => Amount::Minor(*minor),
                AskedAmount::Unreadable => Amount::Unreadable,
            },
            currency: self.currency.as_deref(),
            counterparties: self.counterparties.names(parties),
            resources: self.resources.names(resources),
        }
    }
}

impl AskedNames {
    /// Names as repeated flags give them.
    pub(crate) fn of(names: &[String]) -> Self {
        match names {
            [] => Self::Absent,
            [name] => Self::One(name.clone()),
            names => Self::Many(names.to_vec()),
        }
    }

    fn texts(&self) -> Vec<&str> {
        match self {
            Self::Many(names) => names.iter().map(String::as_str).collect(),
            _ => Vec::new(),
        }
    }

    fn names<'a>(&'a self, many: &'a [&'a str]) -> Names<'a> {
        match self {
            Self::Absent => Names::Absent,
            Self::One(name) => Names::One(name),
            Self::Many(_) => Names::Many(many),
            Self::Unreadable => Names::Unreadable,
        }
    }
}

impl Judge {
    /// Reads the directory of an agent; `lists` overrides the file of lists it names.
    pub(crate) fn of(directory: &Path, lists: Option<&Path>) -> Result<Self, Failure> {
        let home = AgentHome::open(directory, lists).map_err(Failure::cannot)?;
        let papers = home.papers().map_err(Failure::cannot)?;
        let lists = home.lists().map_err(|error| error.to_string());
        Ok(Self { papers, lists, sums: HashMap::new(), view: None, trail: None })
    }

    /// Also records every answer in the journal folder `journal`, as part of `chain` if one is given.
    pub(crate) fn recording(
        mut self,
        directory: &Path,
        journal: &Path,
        chain: Option<ChainId>,
        at: UnixMillis,
    ) -> Result<Self, Failure> {
        let home = AgentHome::open(directory, None).map_err(Failure::cannot)?;
        self.trail = Some(Trail::open(journal, chain, &home, &self.papers, at)?);
        Ok(self)
    }

    /// Ends the recording, if there is one.
    pub(crate) fn close(&self, at: UnixMillis) -> Result<(), Failure> {
        self.trail.as_ref().map_or(Ok(()), |trail| trail.close(at))
    }

    /// Decides; an allowed request counts against those after it.
    pub(crate) fn decide(&mut self, asked: &Asked, now: UnixMillis) -> Result<Result<(), Denied>, Failure> {
        self.look(now);
        let (parties, resources) = (asked.counterparties.texts(), asked.resources.texts());
        let request = asked.request(&parties, &resources);
        let (decision, note) = self.judge(&request, now);
        let snapshot = self.view.as_ref().and_then(|(_, view)| view.as_ref().ok());
        let receipt = match &self.trail {
            Some(trail) => Some(trail.record(&decision, &request, snapshot, now)?),
            None => None,
        };
        Ok(match decision {
            Decision::Allow(_) => Ok(()),
            // Files are all that is read here.
            Decision::Deny(denial)
                if denial.reason() == DenialReason::RevocationStale
                    && snapshot.is_some_and(asks_for_feed) =>
            {
                Err(Denied::without_feed(denial, &asked.action, receipt))
            }
            Decision::Deny(denial) => Err(Denied::new(denial, &asked.action, receipt, note)),
        })
    }

    fn look(&mut self, now: UnixMillis) {
        let second = now.to_seconds();
        if self.view.as_ref().is_none_or(|(at, _)| *at != second) {
            let built = match &self.lists {
                Ok(lists) => Snapshot::build(&self.papers, lists, second),
                Err(what) => Err(Refusal::new(DenialReason::RevocationMissing, what)),
            };
            self.view = Some((second, built));
        }
    }

    fn judge(&mut self, request: &ActionRequest<'_>, now: UnixMillis) -> (Decision, Option<String>) {
        let snapshot = match &self.view {
            Some((_, Ok(snapshot))) => snapshot,
            Some((_, Err(refusal))) => {
                return (Decision::Deny(refusal.reason().into()), Some(refusal.what().to_owned()));
            }
            None => return (Decision::Deny(DenialReason::Internal.into()), None),
        };
        let permit = match snapshot.decide(request, now) {
            Decision::Allow(permit) => permit,
            denied @ Decision::Deny(_) => return (denied, None),
        };
        let charges: Vec<Charge<'_>> = snapshot.leash().charges(&permit).collect();
        for charge in &charges {
            let quota = charge.quota;
            let sum =
                self.sums.entry(quota.key).or_insert_with(|| SlidingSum::new(quota.seconds, quota.scale));
            if !sum.has_room(charge.cost, quota.max, now) {
                return (Decision::Deny(no_room(charge, sum, now)), None);
            }
        }
        for charge in &charges {
            if let Some(sum) = self.sums.get_mut(&charge.quota.key) {
                sum.spend(charge.cost, now);
            }
        }
        (Decision::Allow(permit), None)
    }
}

/// Whether the list is nothing to decide by without its feed, however new it is.
pub(crate) fn asks_for_feed(snapshot: &Snapshot) -> bool {
    snapshot.agent().lists().issuing().policy().is_some()
}

fn no_room(charge: &Charge<'_>, sum: &SlidingSum, now: UnixMillis) -> Denial {
    let quota = charge.quota;
    match quota.currency {
        Some(currency) => Denial::with_detail(
            DenialReason::BudgetWindow,
            Detail::Window {
                limit: quota.max,
                spent: sum.spent(now),
                actual: charge.cost,
                scale: quota.scale,
                currency,
                seconds: quota.seconds,
            },
        ),
        None => Denial::with_detail(
            DenialReason::BudgetRate,
            Detail::Rate { limit: quota.max.minor(), seconds: quota.seconds },
        ),
    }
}
