use kakunin_core::guard::Denied;
use kakunin_macros::verify_agent_scope;

#[verify_agent_scope("payments:send", amount = as_written(total), currency = "EUR")]
fn pay(total: bool) -> Result<(), Box<Denied>> {
    Ok(())
}

fn main() {}
