use kakunin_core::guard::Denied;
use kakunin_macros::verify_agent_scope;

#[verify_agent_scope("payments:send")]
fn pay() -> Result<impl Future<Output = ()>, Box<Denied>> {
    Ok(async {})
}

fn main() {}
