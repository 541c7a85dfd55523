use kakunin_core::decision::{Decision, Permit};

fn main() {
    let _ = Decision::Allow(Permit::granted(0, None));
    let _ = Decision::Allow(Permit::default());
}
