//! The one table of reasons to refuse.
//!
//! A denial is data with a stable code, never an error. The variants of [`DenialReason`] stand in the order in
//! which they are checked: the first that fails is the answer. Bindings and documents are generated from
//! [`DenialReason::ALL`]; a code is never renamed or reused.

/// Declares the reasons once: variant, code, what happened, what to do about it.
macro_rules! denial_reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $what:literal, $fix:literal;)*) => {
        /// Why an action was refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum DenialReason {
            $(#[doc = concat!("`", $code, "`: ", $what, ".")] $(#[$doc])* $name,)*
        }

        impl DenialReason {
            /// Every reason, in the order of checking.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stable code, for example `scope.amount`.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// What happened, one clause that reveals no limit: fit for the text a model sees.
            #[must_use]
            pub const fn what(self) -> &'static str {
                match self { $(Self::$name => $what,)* }
            }

            /// What the operator can do about it.
            #[must_use]
            pub const fn fix(self) -> &'static str {
                match self { $(Self::$name => $fix,)* }
            }
        }
    };
}

denial_reasons! {
    AgentMissing = "agent.missing", "no agent is set for this call",
        "call kakunin.use(Agent.from_dir(..)) at start, or enter agent_context(agent)";
    AgentForked = "agent.forked", "the agent belongs to another process",
        "open the agent again in this process; an agent in memory cannot follow a fork";
    AgentMismatch = "agent.mismatch", "the agent is not the one this function asks for",
        "use the agent that the function names, or change its agent_id";
    ClockUntrusted = "clock.untrusted", "the clock of this machine cannot be trusted",
        "set the clock right; it is behind a time that was already proven";
    CertificateMalformed = "certificate.malformed", "the agent's certificate is malformed or breaks the profile",
        "certify the agent again: kakunin agent certify ID --out DIR";
    CertificateUntrusted = "certificate.untrusted", "the agent's certificate leads to no trusted root",
        "check that ca.pem and chain.pem belong to the authority that certified this agent";
    CertificateNotYetValid = "certificate.not_yet_valid", "the agent's certificate is not valid yet",
        "check the clock, or wait until its notBefore";
    CertificateExpired = "certificate.expired", "the agent's certificate has expired",
        "renew it: kakunin agent renew ID";
    CertificateRevoked = "certificate.revoked", "the agent is revoked",
        "a revocation is final; an issuer can certify the agent again with a new key";
    CertificateHeld = "certificate.held", "the agent is suspended",
        "lift the suspension: kakunin resume ID";
    RevocationMissing = "revocation.missing", "no revocation list can be read",
        "publish one with kakunin crl and check that agent.toml names its path";
    RevocationStale = "revocation.stale", "the revocation list is too old to decide by",
        "publish a new one: kakunin crl, or kakunin agent renew every day; if it asks for a feed, see that it is heard";
    RevocationInvalid = "revocation.invalid", "the revocation list is not a valid list of this agent's issuer",
        "publish it again with kakunin crl; check that it comes from this agent's authority";
    RevocationRollback = "revocation.rollback", "the revocation list is older than one already seen, or contradicts it",
        "publish the newest list again with kakunin crl; look for a restored backup of the authority";
    RequestActionInvalid = "request.action_invalid", "the action is not a well-formed name",
        "write lower-case segments joined by colons, for example payments:send";
    RequestAmountInvalid = "request.amount_invalid", "the amount is not an exact number the limit can judge",
        "pass a decimal string or Decimal with no more decimals than the limit, or minor units through amount_minor";
    RequestAmountMissing = "request.amount_missing", "this action needs an amount",
        "name the parameter that holds the amount";
    RequestCurrencyMissing = "request.currency_missing", "the amount has no currency",
        "name the currency, for example currency=\"EUR\"";
    RequestCurrencyInvalid = "request.currency_invalid", "the currency is not a well-formed code",
        "write the code in capitals, for example EUR";
    RequestCounterpartyMissing = "request.counterparty_missing", "this action needs a counterparty",
        "name the parameter that holds the counterparty";
    RequestCounterpartyInvalid = "request.counterparty_invalid", "the counterparty is not a name",
        "pass the counterparty as a non-empty string, or a list of them";
    RequestResourceMissing = "request.resource_missing", "this action needs a resource",
        "name the parameter that holds the resource";
    RequestResourceInvalid = "request.resource_invalid", "the resource is not a name",
        "pass the resource as a non-empty string, or a list of them";
    ScopeAction = "scope.action", "the certificate does not allow this action",
        "ask the owner to renew with this action in the scope";
    ScopeResource = "scope.resource", "the certificate does not allow this resource",
        "ask the owner to renew with this resource in the scope";
    ScopeCounterparty = "scope.counterparty", "the certificate does not allow this counterparty",
        "ask the owner to renew with this counterparty in the scope";
    ScopeCurrency = "scope.currency", "the certificate allows no money in this currency for this action",
        "ask the owner to renew with a limit in this currency";
    ScopeAmount = "scope.amount", "the amount is more than the certificate allows for this action",
        "ask the owner to renew with a higher limit";
    ScopeHours = "scope.hours", "the certificate does not allow actions at this time",
        "wait for the next slot, or ask the owner to renew with other hours";
    ScopeNamesMissing = "scope.names_missing", "a list of names that the certificate refers to is missing",
        "restore the names folder of the agent: kakunin agent renew ID writes it again";
    ScopeConditionUnknown = "scope.condition_unknown", "the certificate carries a condition this version does not know",
        "upgrade this library, or ask the owner to renew without the condition";
    ApprovalRequired = "approval.required", "an amount this high needs an approval",
        "lower the amount, or ask the owner to renew with a higher threshold";
    BudgetWindow = "budget.window", "the amount would exceed what the certificate allows for this period",
        "wait until earlier spending leaves the window, or ask the owner to renew with a higher one";
    BudgetRate = "budget.rate", "the action was done as often as the certificate allows for this period",
        "wait until earlier actions leave the window";
    BudgetUnknown = "budget.unknown", "what was spent before is not known",
        "keep the state directory on a volume that survives restarts; it heals after one window, or with agent renew --reset-budgets";
    BudgetBusy = "budget.busy", "the budget file is locked by another process",
        "try again; look for a stopped process that holds the agent's state directory";
    JournalUnavailable = "journal.unavailable", "the decision cannot be written to the journal",
        "check that the state directory exists, is writable and has space";
    JournalLocked = "journal.locked", "the agent's state is locked by another process",
        "try again; look for a stopped process that holds the agent's state directory";
    JournalPoisoned = "journal.poisoned", "an earlier receipt could not be written",
        "check the state directory, then restart the process";
    JournalUnsignedBacklog = "journal.unsigned_backlog", "too many receipts wait for their signature",
        "slow down, or look for what starves the signing thread";
    Internal = "internal", "the guard failed in a way it does not know",
        "report it as a bug; the action did not run";
}

impl DenialReason {
    /// Finds a reason by its code.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.code() == code)
    }

    /// The part of the code before the dot: `scope` of `scope.amount`.
    #[must_use]
    pub fn group(self) -> &'static str {
        self.code().split_once('.').map_or(self.code(), |(group, _)| group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_found_again() {
        for (index, reason) in DenialReason::ALL.iter().enumerate() {
            assert_eq!(DenialReason::from_code(reason.code()), Some(*reason));
            assert_eq!(DenialReason::ALL.iter().position(|r| r.code() == reason.code()), Some(index));
        }
        assert_eq!(DenialReason::from_code("scope"), None);
    }

    #[test]
    fn reasons_stand_in_the_order_of_checking() {
        assert!(DenialReason::ALL.is_sorted());
        let groups: Vec<_> = DenialReason::ALL.iter().map(|r| r.group()).collect();
        let mut runs = groups.clone();
        runs.dedup();
        let order = [
            "agent",
            "clock",
            "certificate",
            "revocation",
            "request",
            "scope",
            "approval",
            "budget",
            "journal",
            "internal",
        ];
        assert_eq!(runs, order);
    }

    #[test]
    fn text_for_models_shows_no_digit() {
        assert!(DenialReason::ALL.iter().all(|r| !r.what().chars().any(|c| c.is_ascii_digit())));
    }
}
