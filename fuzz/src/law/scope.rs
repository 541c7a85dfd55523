//! Scopes: the extension of a certificate, the documents that people write, and lists of names.

use kakunin_core::digest::Digest;
use kakunin_core::scope::{DraftScope, MAX_EXTENSION, NameList, NameLists, NameSet, Scope};
use kakunin_core::tree;

use crate::authority::agent_id;

/// A scope has one encoding, allows something, and is no wider than itself.
pub(super) fn der(input: &[u8]) {
    let Ok(scope) = Scope::from_der(input) else { return };
    assert!(input.len() <= MAX_EXTENSION);
    assert_eq!(scope.to_der(), input, "a second spelling");
    assert!(!scope.parts().actions.is_empty());
    assert!(!scope.to_words().is_empty());
    scope.encompasses(&scope, &NameLists::default()).unwrap();
    // Whoever builds it of its parts gets the same.
    assert_eq!(Scope::build(scope.parts().clone()).unwrap(), scope);
}

/// What is refused is refused at a line that there is, in one line; what is taken is the scope that is signed.
pub(super) fn document(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let file = |name: &str| match name {
        "names.txt" => Ok("acme\nglobex\n".to_owned()),
        _ => Err(std::io::ErrorKind::NotFound.into()),
    };
    let draft = match DraftScope::parse(text, &file) {
        Ok(draft) => draft,
        Err(error) => {
            assert!((1..=text.lines().count().max(1) + 1).contains(&error.line), "{error:?}");
            assert!(!error.what.is_empty() && !error.fix.is_empty(), "{error:?}");
            return;
        }
    };
    // A document may say more than a certificate has room for; then it is no scope, rather than a shorter one.
    let Ok(scope) = draft.for_agent(agent_id()) else { return };
    assert_eq!(Scope::from_der(&scope.to_der()).unwrap(), scope);
    for rule in scope.parts().parties.iter().chain(&scope.parts().resources) {
        for set in std::iter::once(&rule.allow).chain(&rule.deny) {
            if let NameSet::Detached { root, count } = set {
                assert_eq!(draft.lists().get(root).map(|list| list.names().len()), Some(*count as usize));
            }
        }
    }
}

/// A list of names ascends, is written in one way, and has the root that RFC 6962 gives it.
pub(super) fn names(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(list) = NameList::parse(text) else { return };
    assert!(list.names().is_sorted_by(|one, next| one < next));
    let root: Digest = tree::root(list.names().iter().map(String::as_bytes));
    assert_eq!(list.root(), root);
    let again = NameList::parse(&list.to_text()).unwrap();
    assert_eq!((again.root(), again.names()), (list.root(), list.names()));
}
