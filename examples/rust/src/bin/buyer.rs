//! An agent that pays at a service that demands proof: `buyer URL AGENT_DIR AMOUNT IBAN`.
//!
//! Any number of amounts and parties may follow; for each a line is printed, with the status of the answer and the code of what
//! was refused. Each payment is a chain, which begins with the agent's own decision to ask. A proof is a few header fields, so
//! any HTTP library will do; here it is the standard library.
//!
//! ```text
//! cargo run -p kakunin-example-pay --bin buyer -- http://127.0.0.1:8080 agents/billing 12.50 acme
//! ```

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use kakunin_core::chain::{CallContext, ChainLink};
use kakunin_core::guard::{Guard, GuardOptions};
use kakunin_core::home::AgentHome;
use kakunin_core::possession::Target;
use kakunin_core::request::ActionRequest;
use kakunin_core::scope::NAMES_FIELD;

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, directory, payments @ ..] = arguments.as_slice() else {
        eprintln!("usage: buyer URL AGENT_DIR [AMOUNT IBAN]..");
        return ExitCode::from(64);
    };
    match pay_all(url, directory, payments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn pay_all(url: &str, directory: &str, payments: &[String]) -> Result<(), Failure> {
    let authority = url.strip_prefix("http://").ok_or("this example speaks plain HTTP")?;
    let guard = Guard::open(AgentHome::open(Path::new(directory), None)?, GuardOptions::default())?;
    for payment in payments.chunks_exact(2) {
        let [amount, iban] = payment else { continue };
        println!("{}", ask(&guard, authority, amount, iban)?);
    }
    guard.close();
    Ok(())
}

/// A guarded action, in whose body somebody else is asked: what is asked of others follows from it.
fn ask(guard: &Guard, authority: &str, amount: &str, iban: &str) -> Result<String, Failure> {
    let content = format!(r#"{{"amount":"{amount}","iban":"{iban}"}}"#);
    // Where the certificate refers to a long list of parties, the request shows where this one stands there.
    let names = guard.prove_names("payments:send", &[iban], &[])?;
    let chain = Guard::new_chain().ok_or("the system gives no randomness")?;
    let begun = CallContext { chain: Some(chain), ..CallContext::default() };
    let running = guard.admit_in(&ActionRequest::new("payments:ask"), &begun)?.begin()?;
    let answer = loop {
        let answer = send(guard, authority, &content, names.as_deref(), running.link().as_ref())?;
        // A service that has just begun knows nothing of the proofs of before.
        let Some(seconds) = answer.retry_after()? else { break answer };
        thread::sleep(Duration::from_secs(seconds));
    };
    running.returned();
    Ok(format!("{} {}", answer.status()?, answer.code().unwrap_or("paid")))
}

/// One request, signed for itself.
fn send(
    guard: &Guard,
    authority: &str,
    content: &str,
    names: Option<&str>,
    link: Option<&ChainLink>,
) -> Result<Answer, Failure> {
    let target = Target { method: "POST", authority, path: "/pay", query: None };
    let proof = guard.prove(&target, content.as_bytes(), link)?;
    let mut request = format!("POST /pay HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n");
    for (name, value) in proof.fields().chain(names.map(|names| (NAMES_FIELD, names))) {
        request += &format!("{name}: {value}\r\n");
    }
    request +=
        &format!("content-type: application/json\r\ncontent-length: {}\r\n\r\n{content}", content.len());
    let mut connection = TcpStream::connect(authority)?;
    connection.write_all(request.as_bytes())?;
    let mut text = String::new();
    connection.read_to_string(&mut text)?;
    Ok(Answer(text))
}

/// An answer as it came.
struct Answer(String);

impl Answer {
    fn status(&self) -> Result<&str, Failure> {
        Ok(self.0.split(' ').nth(1).ok_or("the answer has no status")?)
    }

    /// After how many seconds a service that cannot say yet wants to be asked again.
    fn retry_after(&self) -> Result<Option<u64>, Failure> {
        if self.status()? != "503" {
            return Ok(None);
        }
        let field = self.0.lines().find_map(|line| line.strip_prefix("retry-after: "));
        Ok(Some(field.ok_or("the answer does not say when to ask again")?.trim().parse()?))
    }

    /// The code of a refusal.
    fn code(&self) -> Option<&str> {
        let (_, rest) = self.0.split_once(r#""code":""#)?;
        rest.split('"').next()
    }
}
