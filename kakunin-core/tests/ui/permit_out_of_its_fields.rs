use kakunin_core::decision::{Decision, Permit};

fn main() {
    let _ = Decision::Allow(Permit { plan: 0, spend: None });
}
