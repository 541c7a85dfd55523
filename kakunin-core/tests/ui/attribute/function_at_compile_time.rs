use kakunin_core::guard::Denied;
use kakunin_macros::verify_agent_scope;

#[verify_agent_scope("payments:send")]
const fn pay() -> Result<(), Box<Denied>> {
    Ok(())
}

fn main() {}
