//! The decision.
//!
//! Every rule that a request can break is looked at in the order of [`DenialReason`]; the first that fails answers.
//! Rules that matched are all of them: two limits on one action must both pass.

use super::budget::Charge;
use super::compile::{CompiledLimit, CompiledNames, Leash, Plan};
use crate::decision::{Decision, Denial, DenialReason, Detail, Permit, Quantity, Spend};
use crate::money::{Currency, Decimal, Money};
use crate::request::{ActionRequest, Amount, Names};
use crate::scope::{CanonicalName, ProvenNames};
use crate::time::UnixMillis;

impl Leash {
    /// Decides about `request` at `now`, by the scope alone: standing and budgets are the guard's.
    ///
    /// Nothing is allocated, locked or read on this path.
    pub fn decide(&self, request: &ActionRequest<'_>, now: UnixMillis) -> Decision {
        match self.judge(request, now, None) {
            Ok(permit) => Decision::Allow(permit),
            Err(denial) => Decision::Deny(denial),
        }
    }

    /// As [`Leash::decide`]; where a detached list is missing, what is `proven` of it counts. A list that is here is asked itself.
    pub fn decide_proven(
        &self,
        request: &ActionRequest<'_>,
        now: UnixMillis,
        proven: &ProvenNames,
    ) -> Decision {
        match self.judge(request, now, Some(proven)) {
            Ok(permit) => Decision::Allow(permit),
            Err(denial) => Decision::Deny(denial),
        }
    }

    /// Whether the permitted action draws on a budget.
    #[must_use]
    pub fn has_charges(&self, permit: &Permit) -> bool {
        self.plans.get(permit.plan() as usize).is_none_or(|plan| plan.has_quotas)
    }

    /// What the permitted action takes from the budgets of this leash.
    pub fn charges<'a>(&'a self, permit: &'a Permit) -> impl Iterator<Item = Charge<'a>> {
        let plan = self.plans.get(permit.plan() as usize);
        let money = plan.into_iter().flat_map(|plan| self.limits_of(plan)).filter_map(|limit| {
            let spend = permit.spend()?;
            let passed = self.limits.get(spend.limit as usize)?;
            (passed.currency == limit.currency).then_some(())?;
            // INVARIANT: the amount fitted this scale when the permit was granted; if not, the largest cost finds no room.
            let cost = spend.amount.at_scale(limit.scale).or_else(|| Money::from_minor(i64::MAX))?;
            Some(limit.windows.iter().map(move |quota| Charge { quota, cost }))
        });
        let one = Money::from_minor(1);
        let rates =
            plan.into_iter().flat_map(|plan| &plan.rates).filter_map(|index| self.rates.get(*index as usize));
        money.flatten().chain(rates.filter_map(move |quota| Some(Charge { quota, cost: one? })))
    }

    /// Whether some request for `action` can ever be allowed: what `use()` warns about.
    #[must_use]
    pub fn may_ever(&self, action: &str) -> bool {
        let plan = self.plan_of(action).and_then(|number| self.plans.get(number as usize));
        !self.unknown_condition && plan.is_some_and(|plan| plan.allowed)
    }

    fn limits_of<'a>(&'a self, plan: &'a Plan) -> impl Iterator<Item = &'a CompiledLimit> {
        plan.limits.iter().filter_map(|index| self.limits.get(*index as usize))
    }

    #[inline(always)]
    fn judge(
        &self,
        request: &ActionRequest<'_>,
        now: UnixMillis,
        proven: Option<&ProvenNames>,
    ) -> Result<Permit, Denial> {
        use DenialReason as Why;
        let number = self.plan_of(request.action).ok_or(Why::RequestActionInvalid)?;
        let plan = self.plans.get(number as usize).ok_or(Why::Internal)?;

        let money = self.money(plan, request)?;
        let parties = names(&plan.parties, &self.parties, &request.counterparties, PARTY_REASONS, proven)?;
        let resources =
            names(&plan.resources, &self.resources, &request.resources, RESOURCE_REASONS, proven)?;

        refuse_unless(plan.allowed, Why::ScopeAction)?;
        refuse_unless(resources.inside, Why::ScopeResource)?;
        refuse_unless(parties.inside, Why::ScopeCounterparty)?;
        if let Some(outside) = money.outside {
            return Err(self.outside(outside));
        }
        if let Some((zone, week)) = &self.schedule {
            refuse_unless(zone.minute_of_week(now).is_some_and(|minute| week.get(minute)), Why::ScopeHours)?;
        }
        refuse_unless(parties.decided && resources.decided, Why::ScopeNamesMissing)?;
        refuse_unless(!self.unknown_condition, Why::ScopeConditionUnknown)?;
        refuse_unless(!money.needs_approval, Why::ApprovalRequired)?;
        Ok(Permit::granted(number, money.spend))
    }

    #[inline]
    fn money(&self, plan: &Plan, request: &ActionRequest<'_>) -> Result<MoneyFinding, DenialReason> {
        use DenialReason as Why;
        let amount = match request.amount {
            Amount::Absent => {
                refuse_unless(!plan.amount_required, Why::RequestAmountMissing)?;
                return Ok(MoneyFinding::default());
            }
            Amount::Decimal(text) | Amount::AsWritten(text) => {
                Quantity::Decimal(Decimal::parse(text).ok_or(Why::RequestAmountInvalid)?)
            }
            Amount::Minor(minor) => {
                Quantity::Minor(Money::from_minor(minor).ok_or(Why::RequestAmountInvalid)?)
            }
            Amount::Unreadable => return Err(Why::RequestAmountInvalid),
        };
        let mut finding = MoneyFinding::default();
        let mut scale = None;
        for index in &plan.limits {
            // INVARIANT: the currency of a limit is a currency; text that is none of them is read below.
            let limit = self.limits.get(*index as usize);
            let Some(limit) =
                limit.filter(|limit| request.currency.is_some_and(|text| limit.currency.is(text)))
            else {
                continue;
            };
            // Minor units count at the limit's scale, so limits of two scales would read two amounts.
            let ambiguous =
                matches!(amount, Quantity::Minor(_)) && scale.is_some_and(|scale| scale != limit.scale);
            let actual =
                amount.at_scale(limit.scale).filter(|_| !ambiguous).ok_or(Why::RequestAmountInvalid)?;
            scale = Some(limit.scale);
            if plan.has_quotas {
                finding.spend = Some(Spend { amount, limit: *index });
            }
            if finding.outside.is_none() && limit.per_action.is_some_and(|most| actual > most) {
                finding.outside = Some(Outside::Over { limit: *index, actual });
            }
            finding.needs_approval |= limit.approve_above.is_some_and(|above| actual > above);
        }
        if scale.is_none() {
            finding.outside = Some(Outside::NoLimit(no_limit(plan, amount, request.currency)?));
        }
        Ok(finding)
    }

    /// A denial with its numbers, which only whoever is denied needs.
    #[cold]
    fn outside(&self, outside: Outside) -> Denial {
        let (index, actual) = match outside {
            Outside::NoLimit(reason) => return reason.into(),
            Outside::Over { limit, actual } => (limit, actual),
        };
        let limit = self.limits.get(index as usize);
        let detail = limit.and_then(|limit| {
            let (scale, currency) = (limit.scale, limit.currency);
            Some(Detail::PerAction { limit: limit.per_action?, actual, scale, currency })
        });
        Denial::with_detail(DenialReason::ScopeAmount, detail.unwrap_or(Detail::None))
    }
}

/// Why money that no limit is about is outside of the scope, unless it is malformed.
#[cold]
fn no_limit(plan: &Plan, amount: Quantity, currency: Option<&str>) -> Result<DenialReason, DenialReason> {
    use DenialReason as Why;
    // No limit to choose a scale by: an amount that fits no 64 bits is still malformed.
    if let Quantity::Decimal(decimal) = amount {
        decimal.at_scale(decimal.decimals()).ok_or(Why::RequestAmountInvalid)?;
    }
    let currency = currency.ok_or(Why::RequestCurrencyMissing)?;
    Currency::parse(currency).ok_or(Why::RequestCurrencyInvalid)?;
    Ok(if plan.limits.is_empty() { Why::ScopeAmount } else { Why::ScopeCurrency })
}

#[derive(Default)]
struct MoneyFinding {
    spend: Option<Spend>,
    outside: Option<Outside>,
    needs_approval: bool,
}

/// Why money is outside of the scope.
#[derive(Clone, Copy)]
enum Outside {
    /// More than this limit, at its scale.
    Over {
        limit: u32,
        actual: Money,
    },
    NoLimit(DenialReason),
}

struct NamesFinding {
    inside: bool,
    decided: bool,
}

/// The reasons of a kind of names: missing, invalid.
type NameReasons = (DenialReason, DenialReason);
const PARTY_REASONS: NameReasons =
    (DenialReason::RequestCounterpartyMissing, DenialReason::RequestCounterpartyInvalid);
const RESOURCE_REASONS: NameReasons =
    (DenialReason::RequestResourceMissing, DenialReason::RequestResourceInvalid);

#[inline(always)]
fn names(
    applied: &[u32],
    rules: &[CompiledNames],
    asked: &Names<'_>,
    (missing, invalid): NameReasons,
    proven: Option<&ProvenNames>,
) -> Result<NamesFinding, DenialReason> {
    let mut finding = NamesFinding { inside: true, decided: true };
    let rules = || applied.iter().filter_map(|index| rules.get(*index as usize));
    match *asked {
        Names::One(name) => finding.take(name, rules(), invalid, proven)?,
        Names::Many([]) | Names::Absent => refuse_unless(rules().all(|rule| rule.optional), missing)?,
        Names::Many(names) => {
            names.iter().try_for_each(|name| finding.take(name, rules(), invalid, proven))?
        }
        Names::Unreadable => return Err(invalid),
    }
    Ok(finding)
}

impl NamesFinding {
    #[inline]
    fn take<'r>(
        &mut self,
        name: &str,
        rules: impl Iterator<Item = &'r CompiledNames>,
        invalid: DenialReason,
        proven: Option<&ProvenNames>,
    ) -> Result<(), DenialReason> {
        if let Some(plain) = CanonicalName::plain(name) {
            self.judge(plain.as_bytes(), rules, proven);
            return Ok(());
        }
        self.judge(CanonicalName::new(name).map_err(|_| invalid)?.as_bytes(), rules, proven);
        Ok(())
    }

    #[inline]
    fn judge<'r>(
        &mut self,
        name: &[u8],
        rules: impl Iterator<Item = &'r CompiledNames>,
        proven: Option<&ProvenNames>,
    ) {
        for rule in rules {
            let allowed = rule.allow.contains(name, proven);
            let denied = rule.deny.as_ref().map_or(Some(false), |deny| deny.contains(name, proven));
            self.inside &= allowed != Some(false) && denied != Some(true);
            self.decided &= allowed.is_some() && denied.is_some();
        }
    }
}

fn refuse_unless(holds: bool, reason: DenialReason) -> Result<(), DenialReason> {
    if holds { Ok(()) } else { Err(reason) }
}
