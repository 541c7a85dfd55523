//! What was seen of each action, and the rules that just allow it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::observed::Call;
use crate::leash::SlidingSum;
use crate::money::{Currency, Decimal, Money};
use crate::scope::{ActionName, NameEntry, Scope};
use crate::time::UnixMillis;

/// What was seen, by action.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) actions: BTreeMap<String, Action>,
    /// Every hour of the week with a call in it, from Monday in UTC.
    pub(super) hours: BTreeSet<u16>,
    /// The most calls within an hour.
    pub(super) most: Money,
    /// Calls that no scope could allow, by why.
    pub(super) hopeless: BTreeMap<&'static str, u64>,
}

/// What was seen of one action.
#[derive(Debug, Default)]
pub(super) struct Action {
    pub(super) calls: u64,
    pub(super) money: BTreeMap<String, Sums>,
    /// Whether some call carried no amount.
    pub(super) without_amount: bool,
    pub(super) parties: Named,
    pub(super) resources: Named,
}

/// Amounts of one action in one currency.
#[derive(Debug)]
pub(super) struct Sums {
    pub(super) scale: u8,
    pub(super) largest: Money,
    /// The largest sum of a sliding day.
    pub(super) day: Money,
    window: SlidingSum,
}

/// Names of one action.
#[derive(Debug, Default)]
pub(super) struct Named {
    pub(super) names: BTreeSet<String>,
    pub(super) without: bool,
}

impl Rules {
    /// What `calls`, which ascend in time, need; `present` says how minor units were counted.
    pub(super) fn of(calls: &[Call], present: Option<&Scope>) -> Self {
        let mut rules = Self {
            actions: BTreeMap::new(),
            hours: BTreeSet::new(),
            most: Money::ZERO,
            hopeless: BTreeMap::new(),
        };
        let scales = Scales::of(calls, present);
        let mut hour = SlidingSum::new(HOUR, 0);
        let one = Money::from_minor(1).unwrap_or(Money::ZERO);
        for call in calls {
            if let Err(why) = rules.add(call, &scales) {
                *rules.hopeless.entry(why).or_default() += 1;
                continue;
            }
            hour.spend(one, call.at);
            hour.drop_old(call.at);
            rules.most = rules.most.max(hour.spent(call.at));
            rules.hours.insert(hour_of_week(call.at));
        }
        rules
    }

    fn add(&mut self, call: &Call, scales: &Scales<'_>) -> Result<(), &'static str> {
        let name = ActionName::parse(&call.action).ok_or("its action is no well-formed name")?;
        let money = match (&call.amount, call.currency.as_str()) {
            (serde_json::Value::Null, _) => None,
            (amount, Some(currency)) => {
                let currency = Currency::parse(currency).ok_or("its currency is no code")?;
                let scale = scales.of_limit(&call.action, currency);
                let value = match amount {
                    serde_json::Value::String(text) => {
                        Decimal::parse(text).and_then(|amount| amount.at_scale(scale))
                    }
                    serde_json::Value::Number(minor) => minor.as_i64().and_then(Money::from_minor),
                    _ => None,
                };
                Some((currency, scale, value.ok_or("its amount is none")?))
            }
            (_, None) => return Err("its amount has no currency"),
        };
        for value in [&call.counterparties, &call.resources] {
            let names = Call::names(value);
            let readable = value.is_null()
                || value.is_string()
                || value.as_array().is_some_and(|all| all.len() == names.len());
            // A name that a scope file would read as a pattern would allow others too.
            let exact = |name: &&str| NameEntry::author(name).is_ok_and(|entry| entry.prefix().is_none());
            if !readable || !names.iter().all(exact) {
                return Err("one of its names cannot be written into a scope");
            }
        }
        let action = self.actions.entry(name.as_str().to_owned()).or_default();
        action.calls += 1;
        match money {
            None => action.without_amount = true,
            Some((currency, scale, amount)) => {
                let sums = action.money.entry(currency.to_string()).or_insert_with(|| Sums {
                    scale,
                    largest: Money::ZERO,
                    day: Money::ZERO,
                    window: SlidingSum::new(DAY, scale),
                });
                sums.largest = sums.largest.max(amount);
                sums.window.spend(amount, call.at);
                sums.window.drop_old(call.at);
                sums.day = sums.day.max(sums.window.spent(call.at));
            }
        }
        for (named, value) in
            [(&mut action.parties, &call.counterparties), (&mut action.resources, &call.resources)]
        {
            let names = Call::names(value);
            named.without |= names.is_empty();
            named.names.extend(names.into_iter().map(str::to_owned));
        }
        Ok(())
    }
}

/// How many decimals limits need.
struct Scales<'a> {
    present: Option<&'a Scope>,
    /// The most decimals that were written, by action and currency.
    written: HashMap<(&'a str, &'a str), u8>,
}

impl<'a> Scales<'a> {
    fn of(calls: &'a [Call], present: Option<&'a Scope>) -> Self {
        let mut written: HashMap<_, u8> = HashMap::new();
        for call in calls {
            let amount = call.amount.as_str().and_then(Decimal::parse);
            if let (Some(amount), Some(currency)) = (amount, call.currency.as_str()) {
                let most = written.entry((call.action.as_str(), currency)).or_default();
                *most = amount.decimals().max(*most);
            }
        }
        Self { present, written }
    }

    /// Those of the present limit, by which minor units were counted, else the currency's; more if more were written.
    fn of_limit(&self, action: &str, currency: Currency) -> u8 {
        let limits = self.present.map(|scope| scope.parts().limits.as_slice()).unwrap_or_default();
        let matching = limits.iter().filter(|limit| {
            limit.currency == currency && limit.r#for.iter().any(|pattern| pattern.covers_name(action))
        });
        let written = self.written.get(&(action, currency.as_str())).copied().unwrap_or(0);
        matching.map(|limit| limit.scale).max().unwrap_or_else(|| currency.minor_unit()).max(written)
    }
}

/// 1 January 1970 was a Thursday.
fn hour_of_week(at: UnixMillis) -> u16 {
    let hour = (at.millis().div_euclid(3_600_000) + 72).rem_euclid(168);
    u16::try_from(hour).unwrap_or(0)
}

pub(super) const HOUR: u32 = 3_600;
pub(super) const DAY: u32 = 86_400;
