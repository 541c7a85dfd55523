use kakunin_core::guard::Denied;
use kakunin_macros::verify_agent_scope;

struct Bank(Option<Denied>);

#[verify_agent_scope("payments:send")]
impl Bank {
    fn pay(&self) -> bool {
        self.0.is_none()
    }
}

fn main() {}
