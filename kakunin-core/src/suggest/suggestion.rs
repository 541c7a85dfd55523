//! The suggestion, and what comes of putting the same calls before it.

use std::collections::{BTreeMap, HashMap};

use super::observed::{Call, Observed};
use super::rules::Rules;
use super::text;
use crate::decision::Decision;
use crate::id::AgentId;
use crate::leash::{BudgetKey, CompileError, Leash, SlidingSum};
use crate::reason::DenialReason;
use crate::scope::{AuthorError, DraftScope, Scope, ScopeError};
use crate::time::{UnixMillis, Validity};

/// A scope that just allows what was seen.
#[derive(Clone, Debug)]
pub struct Suggestion {
    agent: AgentId,
    toml: String,
    scope: Scope,
    calls: u64,
    denied_before: BTreeMap<String, u64>,
    denied_now: BTreeMap<String, u64>,
    unseen: Vec<String>,
}

impl Observed {
    /// The narrowest scope that a file can say for the calls that went by.
    ///
    /// # Errors
    /// [`SuggestError`] when none ran, or more went on than a scope has room for.
    pub fn suggest(mut self) -> Result<Suggestion, SuggestError> {
        let (Some(agent), Some((_, present))) = (self.agent, self.present.take()) else {
            return Err(SuggestError::NoCalls);
        };
        let mut calls = std::mem::take(&mut self.calls);
        calls.sort_by_key(|call| call.at);
        let rules = Rules::of(&calls, Some(&present));
        let (Some(first), Some(last)) = (calls.first().map(|call| call.at), calls.last().map(|call| call.at))
        else {
            return Err(SuggestError::NoCalls);
        };
        if rules.actions.is_empty() {
            return Err(SuggestError::NoCalls);
        }
        let unseen = self.unseen(&rules);
        let mut head = vec![
            format!("Suggested for agent {agent}, by {} calls from {} to {}.", calls.len(), first.to_seconds(), last.to_seconds()),
            "Amounts, names, hours and rates are what was seen and not more: read it before you certify by it.".to_owned(),
        ];
        let bare = rules.actions.iter().filter(|(_, seen)| {
            seen.money.is_empty() && seen.parties.names.is_empty() && seen.resources.names.is_empty()
        });
        let bare: Vec<&str> = bare.map(|(action, _)| action.as_str()).collect();
        if !bare.is_empty() {
            head.push(format!(
                "No amount and no name was seen of: {}. Nothing but hours and the rate limits these.",
                bare.join(", ")
            ));
        }
        head.extend(unseen.iter().map(|what| format!("Not seen: {what}.")));
        let toml = text::toml(&rules, &head);
        let draft = DraftScope::parse(&toml, &|_| Err(std::io::ErrorKind::NotFound.into()))?;
        let scope = draft.for_agent(agent)?;
        let validity = Validity { not_before: first.to_seconds(), not_after: last.to_seconds() };
        let leash = Leash::of_scope(&scope, validity, draft.lists())?;
        let denied_now = put_before(&leash, &calls);
        Ok(Suggestion {
            agent,
            toml,
            scope,
            calls: calls.len() as u64,
            denied_before: self.denied,
            denied_now,
            unseen,
        })
    }

    fn unseen(&self, rules: &Rules) -> Vec<String> {
        let mut unseen = Vec::new();
        let mut say = |many: u64, what: &str| {
            if many > 0 {
                unseen.push(format!("{many} {what}"));
            }
        };
        say(
            self.closed,
            "calls with a value that is not here, withheld or erased, or with no well-formed action",
        );
        say(self.unsigned, "decisions that nobody signed");
        say(self.foreign, "decisions of other agents");
        for (why, many) in &rules.hopeless {
            say(*many, &format!("calls that no scope can allow, because {why}"));
        }
        for (code, many) in &self.stopped {
            say(*many, &format!("calls that were denied as {code} and did not run"));
        }
        if self.observing == 0 {
            unseen.push(
                "what the agent would do beyond its present scope: none of it ran in observe mode".to_owned(),
            );
        }
        unseen
    }
}

impl Suggestion {
    /// Whose it is.
    #[must_use]
    pub const fn agent(&self) -> AgentId {
        self.agent
    }

    /// The scope file.
    #[must_use]
    pub fn toml(&self) -> &str {
        &self.toml
    }

    /// What the file says.
    #[must_use]
    pub const fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Calls that it rests on.
    #[must_use]
    pub const fn calls(&self) -> u64 {
        self.calls
    }

    /// What the certificate that signed denied of the calls that ran, in observe mode, by code.
    #[must_use]
    pub const fn denied_before(&self) -> &BTreeMap<String, u64> {
        &self.denied_before
    }

    /// What the suggested scope would have denied of the calls that it rests on, by code.
    #[must_use]
    pub const fn denied_now(&self) -> &BTreeMap<String, u64> {
        &self.denied_now
    }

    /// What could not be seen, for people.
    #[must_use]
    pub fn unseen(&self) -> &[String] {
        &self.unseen
    }
}

/// Puts every call before `leash`, in order, each counted against those after it.
fn put_before(leash: &Leash, calls: &[Call]) -> BTreeMap<String, u64> {
    let mut sums: HashMap<BudgetKey, SlidingSum> = HashMap::new();
    let mut denied = BTreeMap::new();
    for call in calls {
        if let Err(reason) = decide(leash, call, call.at, &mut sums) {
            *denied.entry(reason.code().to_owned()).or_default() += 1;
        }
    }
    denied
}

fn decide(
    leash: &Leash,
    call: &Call,
    at: UnixMillis,
    sums: &mut HashMap<BudgetKey, SlidingSum>,
) -> Result<(), DenialReason> {
    let (parties, resources) = (Call::names(&call.counterparties), Call::names(&call.resources));
    let permit = match leash.decide(&call.request(&parties, &resources), at) {
        Decision::Allow(permit) => permit,
        Decision::Deny(denial) => return Err(denial.reason()),
    };
    for charge in leash.charges(&permit) {
        let quota = charge.quota;
        let sum = sums.entry(quota.key).or_insert_with(|| SlidingSum::new(quota.seconds, quota.scale));
        sum.drop_old(at);
        if !sum.has_room(charge.cost, quota.max, at) {
            let is_money = quota.currency.is_some();
            return Err(if is_money { DenialReason::BudgetWindow } else { DenialReason::BudgetRate });
        }
    }
    for charge in leash.charges(&permit) {
        if let Some(sum) = sums.get_mut(&charge.quota.key) {
            sum.spend(charge.cost, at);
        }
    }
    Ok(())
}

/// Why there is no suggestion.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SuggestError {
    /// Nothing ran, or nothing that can be read.
    #[error(
        "no call that ran can be read in it; let the agent run in observe mode first, and keep its disclosures"
    )]
    NoCalls,
    /// More went on than a scope has room for.
    #[error("what was seen is more than a scope can say: {0}; write patterns by hand")]
    Author(#[from] AuthorError),
    /// The same, of the parts together.
    #[error("what was seen is more than a scope can say: {0}; write patterns by hand")]
    Scope(#[from] ScopeError),
    /// The zone is not known here.
    #[error(transparent)]
    Compile(#[from] CompileError),
}
