//! Decisions while the agent's papers are exchanged: none is signed under a certificate that it was not made by.

use std::sync::atomic::{AtomicBool, Ordering};

use kakunin_core::certificate::TrustAnchors;
use kakunin_core::request::ActionRequest;
use kakunin_core::scope::NameLists;
use kakunin_core::verify::{Verdict, Verification};

use crate::guard::{House, SCOPE, ask};

/// C291: the journal is the first to go on under a new certificate, and the view to decide by comes after it.
#[test]
fn what_is_decided_during_a_renewal_is_signed_under_the_certificate_that_it_was_decided_by() {
    let house = House::new();
    let guard = house.guard();
    let (over, mail) = (AtomicBool::new(false), ActionRequest::new("mail:send"));
    let wider = SCOPE.replace("\"read:*\"", "\"read:*\", \"mail:send\"");
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let answer = ask(&guard, &mail);
                    // A look that a busy machine holds up for a second is waited for no longer.
                    assert!(matches!(answer, "allow" | "scope.action" | "internal"), "{answer}");
                }
            });
        }
        for turn in 0..20 {
            house.certify(if turn % 2 == 0 { &wider } else { SCOPE }, 10 + turn);
            guard.refresh();
        }
        over.store(true, Ordering::Relaxed);
    });
    guard.close();
    let (anchors, names) =
        (TrustAnchors::new([house.authority.root.as_slice()]).unwrap(), NameLists::default());
    let verification = Verification::by(&anchors).replay(&names);
    let report = verification.journals(&[&house.state().join("journal")], Vec::new(), &mut ()).unwrap();
    assert!(!matches!(report.verdict(), Verdict::Invalid(_)), "{:?}", report.verdict());
    assert!(report.replay().unwrap().same > 20, "{:?}", report.replay());
}
