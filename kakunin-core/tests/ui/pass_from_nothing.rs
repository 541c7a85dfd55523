use kakunin_core::decision::{Decision, Permit};
use kakunin_core::guard::{Denied, Pass, Running};

fn run(permit: Permit) -> Result<Running, Denied> {
    Pass(None).begin()
}

fn twice(pass: Pass) {
    let _ = pass.begin();
    let _ = pass.begin();
}

fn from_a_decision(decision: Decision) -> Pass {
    decision.into()
}

fn main() {}
