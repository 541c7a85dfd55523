use kakunin_core::guard::Denied;
use kakunin_macros::verify_agent_scope;

#[verify_agent_scope("payments:send", counterparty = to)]
fn pay(to: &[u8]) -> Result<(), Box<Denied>> {
    Ok(())
}

fn main() {}
