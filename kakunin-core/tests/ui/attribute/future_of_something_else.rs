use kakunin_core::guard::Denied;
use kakunin_macros::verify_agent_scope;

#[verify_agent_scope("payments:send")]
fn pay() -> impl Future<Output = Option<Denied>> {
    async { None }
}

fn main() {}
