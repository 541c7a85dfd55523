use kakunin_core::guard::Denied;
use kakunin_macros::verify_agent_scope;

#[verify_agent_scope("payments:send", amount = total, currency = 978)]
fn pay(total: &str) -> Result<(), Box<Denied>> {
    Ok(())
}

fn main() {}
