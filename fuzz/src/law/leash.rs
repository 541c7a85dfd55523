//! The two theorems of the leash, on scopes and requests that the input decides.

use kakunin_core::digest::Digest;
use kakunin_core::leash::Leash;
use kakunin_core::request::ActionRequest;
use kakunin_core::time::UnixMillis;
use proptest::collection::vec;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::world::world;
use crate::{arbitrary, reference};

/// The compiled leash answers as the slow evaluator of the tests does, which only loops over what the certificate says.
pub(super) fn answers(input: &[u8]) {
    let ([scope, _, asked], lists) = (parts(input), arbitrary::lists());
    let Some(scope) = drawn(scope, arbitrary::scope()) else { return };
    let Some(requests) = drawn(asked, vec(arbitrary::asked(), 1..16)) else { return };
    let leash = world().authority.leash(&scope, &lists);
    for asked in &requests {
        let (request, now) = (asked.request(), asked.now);
        let expected = reference::verdict(&scope, &lists, &request, now);
        assert_eq!(code(&leash, &request, now), expected, "{request:?} at {now}\n{scope:#?}");
    }
}

/// What a child allows its parent allows, where the parent encompasses the child.
pub(super) fn nests(input: &[u8]) {
    let ([parent, child, asked], lists) = (parts(input), arbitrary::lists());
    let Some(parent) = drawn(parent, arbitrary::scope()) else { return };
    let Some(child) = drawn(child, arbitrary::child(&parent)) else { return };
    let Some(requests) = drawn(asked, vec(arbitrary::asked(), 1..16)) else { return };
    if parent.encompasses(&child, &lists).is_err() {
        return;
    }
    let (outer, inner) = (world().authority.leash(&parent, &lists), world().authority.leash(&child, &lists));
    for asked in &requests {
        let (request, now) = (asked.request(), asked.now);
        if code(&inner, &request, now) == "allow" {
            let outside = code(&outer, &request, now);
            assert_eq!(outside, "allow", "{request:?} at {now}\nparent {parent:#?}\nchild {child:#?}");
        }
    }
}

fn code(leash: &Leash, request: &ActionRequest<'_>, now: UnixMillis) -> &'static str {
    leash.decide(request, now).denial().map_or("allow", |denial| denial.code())
}

/// What a part of the input draws. It is only the beginning of chance; that scopes, their children and requests are drawn by
/// parts of their own lets one of them change and the others stay.
fn drawn<T>(part: &[u8], strategy: impl Strategy<Value = T>) -> Option<T> {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, Digest::of(part).as_bytes());
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    strategy.new_tree(&mut runner).ok().map(|tree| tree.current())
}

/// Eight octets for the scope, eight for its child, the rest for what is asked.
fn parts(input: &[u8]) -> [&[u8]; 3] {
    let (scope, rest) = input.split_at(input.len().min(8));
    let (child, asked) = rest.split_at(rest.len().min(8));
    [scope, child, asked]
}
