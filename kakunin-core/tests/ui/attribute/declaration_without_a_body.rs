use kakunin_core::guard::Denied;
use kakunin_macros::verify_agent_scope;

trait Bank {
    #[verify_agent_scope("payments:send")]
    fn pay(&self) -> Result<(), Box<Denied>>;
}

fn main() {}
