//! How far a scope is bounded: a family of actions is a name for what nobody listed, and bounds nothing by itself.

use kakunin_core::scope::{Pattern, Scope};

/// Whether each action that the scope allows is a single name, or has another bound than its name: money, counterparties,
/// resources, or how often. One that a request may leave out is none.
pub(crate) fn is_bounded(scope: &Scope) -> bool {
    let parts = scope.parts();
    let covers = |patterns: &[Pattern], action: &Pattern| patterns.iter().any(|it| it.covers(action));
    let names = || parts.parties.iter().chain(&parts.resources);
    parts.actions.iter().all(|action| {
        !action.is_any()
            && (action.prefix().is_none()
                || parts.limits.iter().any(|limit| !limit.optional && covers(&limit.r#for, action))
                || names().any(|rule| !rule.optional && covers(&rule.r#for, action))
                || parts.rates.iter().any(|rate| covers(&rate.r#for, action)))
    })
}

#[cfg(test)]
mod tests {
    use kakunin_core::id::AgentId;
    use kakunin_core::scope::DraftScope;

    use super::*;

    fn bounded(text: &str) -> bool {
        let draft = DraftScope::parse(text, &|_| Err(std::io::ErrorKind::NotFound.into())).unwrap();
        is_bounded(&draft.for_agent(AgentId::from_random([1; 16])).unwrap())
    }

    #[test]
    fn a_family_of_actions_needs_another_bound_than_its_name() {
        assert!(bounded("actions = [\"read:one\", \"pay:two\"]"));
        assert!(!bounded("actions = [\"a:*\", \"b:*\", \"payments:*\"]"));
        assert!(!bounded("actions = [\"read:one\", \"pay:*\"]"));
        assert!(!bounded("actions = [\"*\"]"));
        let limit = "actions = [\"pay:*\"]\n[[limit]]\nfor = [\"pay:*\"]\ncurrency = \"EUR\"\nper_action = \"9.00\"\n";
        assert!(bounded(limit));
        assert!(!bounded(&format!("{limit}optional = true\n")), "what a request may leave out");
        assert!(!bounded(&limit.replace("for = [\"pay:*\"]", "for = [\"pay:one\"]")), "a part of the family");
        let names = "actions = [\"pay:*\"]\n[[counterparties]]\nfor = [\"pay:*\"]\nallow = [\"acme\"]\n";
        assert!(bounded(names));
    }
}
