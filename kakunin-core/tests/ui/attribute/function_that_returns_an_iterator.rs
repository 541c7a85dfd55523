use kakunin_core::guard::Denied;
use kakunin_macros::verify_agent_scope;

#[verify_agent_scope("payments:send")]
fn pay() -> impl Iterator<Item = Denied> {
    std::iter::empty()
}

fn main() {}
