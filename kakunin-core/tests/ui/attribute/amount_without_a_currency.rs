use kakunin_core::guard::Denied;
use kakunin_macros::verify_agent_scope;

#[verify_agent_scope("payments:send", amount = total)]
fn pay(total: &str, to: &str) -> Result<(), Box<Denied>> {
    drop((total, to));
    Ok(())
}

fn main() {}
