use kakunin_core::guard::Denied;
use kakunin_macros::verify_agent_scope;

#[verify_agent_scope("payments:send", counterparty = if to.is_empty() { return Ok(()) } else { to })]
fn pay(total: &str, to: &str) -> Result<(), Box<Denied>> {
    drop((total, to));
    Ok(())
}

fn main() {}
