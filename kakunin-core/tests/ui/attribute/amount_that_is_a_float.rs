use kakunin_core::guard::Denied;
use kakunin_macros::verify_agent_scope;

#[verify_agent_scope("payments:send", amount = total, currency = "EUR")]
fn pay(total: f64) -> Result<(), Box<Denied>> {
    Ok(())
}

fn main() {}
