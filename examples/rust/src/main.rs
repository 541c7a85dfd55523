//! A guarded payment: `pay DIR COUNTERPARTY AMOUNT` runs the body only if the agent in DIR may.
//!
//! ```text
//! kakunin init
//! kakunin agent create billing --scope scope.toml --out agents/billing
//! cargo run -p kakunin-example-pay -- agents/billing acme 125.00
//! ```

use std::path::Path;

use kakunin_core::guard::{Guard, GuardOptions, use_agent};
use kakunin_core::home::AgentHome;
use kakunin_core::verify_agent_scope;

type Failure = Box<dyn std::error::Error + Send + Sync>;

struct Order {
    to: String,
    total: String,
}

#[verify_agent_scope("payments:send", amount = order.total, currency = "EUR", counterparty = order.to)]
fn pay(order: &Order) -> Result<(), Failure> {
    println!("paid {} EUR to {}", order.total, order.to); // not reached by what is denied
    Ok(())
}

fn act(dir: &str, order: &Order) -> Result<(), Failure> {
    let agent = Guard::open(AgentHome::open(Path::new(dir), None)?, GuardOptions::default())?;
    use_agent(&agent)?; // from here on, guarded functions of this process act as this agent
    let answer = pay(order);
    agent.close(); // signs what waits
    answer
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().unwrap_or_default();
    let (dir, to, total) = (next(), next(), next());
    if let Err(denied) = act(&dir, &Order { to, total }) {
        eprintln!("{denied}");
        std::process::exit(1);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_readme_shows_this_program() {
        let source = include_str!("main.rs");
        let program = source.split("//! ```\n\n").nth(1).unwrap().split("\n#[cfg(test)]").next().unwrap();
        let readme =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md")).unwrap();
        assert!(readme.contains(&format!("```rust\n{program}```\n")), "copy this into README.md:\n{program}");
    }
}
