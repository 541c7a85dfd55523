use kakunin_core::guard::Denied;
use kakunin_macros::verify_agent_scope;

/// # Safety
/// `at` points to an octet.
#[verify_agent_scope("read:memory")]
unsafe fn peek(at: *const u8) -> Result<u8, Box<Denied>> {
    Ok(unsafe { *at })
}

fn main() {
    let octet = 7;
    let _ = peek(&raw const octet);
}
