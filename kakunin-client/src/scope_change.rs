//! What a renewed certificate allows that the one before did not, by the two certificates themselves.

use kakunin_core::scope::{NameLists, Scope};

use crate::alarm::AlarmKind;
use crate::papers::NewPapers;

/// The difference between two scopes of one agent.
pub(crate) struct ScopeChange {
    /// What left (`- `) and came (`+ `), in words.
    lines: Vec<String>,
    /// Where the new one allows more, if it does.
    wider: Option<String>,
}

impl ScopeChange {
    /// From `before` to `after`; `names` are the lists of before.
    pub(crate) fn between(before: &Scope, after: &Scope, names: NameLists, new: &NewPapers) -> Self {
        let mut lists = names;
        new.papers.names.iter().for_each(|list| lists.insert(list.clone()));
        Self::of(before, after, &lists)
    }

    fn of(before: &Scope, after: &Scope, lists: &NameLists) -> Self {
        let (old, new) = (before.to_words(), after.to_words());
        let left = old.iter().filter(|line| !new.contains(line)).map(|line| format!("- {line}"));
        let came = new.iter().filter(|line| !old.contains(line)).map(|line| format!("+ {line}"));
        let wider = before.encompasses(after, lists).err().map(|overclaim| overclaim.to_string());
        Self { lines: left.chain(came).collect(), wider }
    }

    /// What an operator hears of it, if there is anything to hear.
    pub(crate) fn told(&self) -> Option<(AlarmKind, String)> {
        let lines = self.lines.join("; ");
        match &self.wider {
            Some(where_) => Some((
                AlarmKind::Wider,
                format!(
                    "the agent was renewed with a scope that allows more than before ({where_}): {lines}"
                ),
            )),
            None if self.lines.is_empty() => None,
            None => Some((AlarmKind::Scope, format!("the agent was renewed with a narrower scope: {lines}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use kakunin_core::id::AgentId;
    use kakunin_core::scope::DraftScope;

    use super::*;

    fn scope(text: &str) -> Scope {
        let draft = DraftScope::parse(text, &|_| Err(std::io::ErrorKind::NotFound.into())).unwrap();
        draft.for_agent(AgentId::from_bytes([0x40; 16])).unwrap()
    }

    /// C184
    #[test]
    fn a_scope_that_allows_more_is_told_as_that_and_one_that_allows_less_as_that() {
        let told = |before: &str, after: &str| {
            ScopeChange::of(&scope(before), &scope(after), &NameLists::default()).told()
        };
        let (narrow, wide) = ("actions = [\"pay\"]", "actions = [\"pay\", \"read:*\"]");
        assert_eq!(told(narrow, narrow), None);
        let (kind, text) = told(narrow, wide).unwrap();
        assert_eq!(kind, AlarmKind::Wider);
        assert!(text.contains("+ may do: pay, read:*") && text.contains("actions"), "{text}");
        assert_eq!(told(wide, narrow).unwrap().0, AlarmKind::Scope);
    }
}
