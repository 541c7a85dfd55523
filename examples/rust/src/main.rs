//! A guarded payment: `pay DIR AMOUNT COUNTERPARTY` runs the body only if the agent in DIR may.
//!
//! ```text
//! kakunin init
//! kakunin agent create billing --scope scope.toml --out agents/billing
//! cargo run -p kakunin-example-pay -- agents/billing 125.00 acme
//! ```

use std::path::Path;
use std::process::ExitCode;

use kakunin_core::guard::{Guard, GuardOptions};
use kakunin_core::home::AgentHome;
use kakunin_core::request::ActionRequest;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [dir, amount, to] = arguments.as_slice() else {
        eprintln!("usage: pay DIR AMOUNT COUNTERPARTY");
        return ExitCode::from(64);
    };
    match pay(dir, amount, to) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn pay(dir: &str, amount: &str, to: &str) -> Result<(), Box<dyn std::error::Error>> {
    let guard = Guard::open(AgentHome::open(Path::new(dir), None)?, GuardOptions::default())?;
    let request = ActionRequest::new("payments:send").amount(amount, "EUR").counterparty(to);
    let running = guard.admit(&request)?.begin()?;
    println!("sending {amount} EUR to {to}");
    running.returned();
    guard.close();
    Ok(())
}
