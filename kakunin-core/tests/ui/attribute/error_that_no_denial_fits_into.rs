use kakunin_core::guard::Denied;
use kakunin_macros::verify_agent_scope;

#[derive(Debug)]
struct PayError;

#[verify_agent_scope("payments:send")]
fn pay(denied: Option<Denied>) -> Result<(), PayError> {
    denied.map_or(Ok(()), |_| Err(PayError))
}

fn main() {}
