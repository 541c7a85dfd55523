//! An agent that pays at a service that demands proof: `buyer URL AGENT_DIR AMOUNT IBAN`.
//!
//! Any number of amounts and parties may follow; for each a line is printed, with the status of the answer and the code of what
//! was refused. Each payment is a chain, which begins with the agent's own decision to ask. The proofs are put into the requests of
//! a `reqwest` client by its middleware.
//!
//! ```text
//! cargo run -p kakunin-example-pay --bin buyer -- http://127.0.0.1:8080 agents/billing 12.50 acme
//! ```

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use kakunin_client::middleware::{AgentAuth, Asking};
use kakunin_core::chain::CallContext;
use kakunin_core::guard::{Guard, GuardOptions};
use kakunin_core::home::AgentHome;
use kakunin_core::request::ActionRequest;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};

type Failure = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, directory, payments @ ..] = arguments.as_slice() else {
        eprintln!("usage: buyer URL AGENT_DIR [AMOUNT IBAN]..");
        return ExitCode::from(64);
    };
    match pay_all(url, directory, payments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn pay_all(url: &str, directory: &str, payments: &[String]) -> Result<(), Failure> {
    let guard = Guard::open(AgentHome::open(Path::new(directory), None)?, GuardOptions::default())?;
    let client = client(&guard)?;
    for payment in payments.chunks_exact(2) {
        let [amount, iban] = payment else { continue };
        println!("{}", ask(&guard, &client, url, amount, iban).await?);
    }
    guard.close();
    Ok(())
}

/// A client whose requests are this agent's.
fn client(guard: &Guard) -> Result<ClientWithMiddleware, Failure> {
    // It fails where the program has chosen one already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // A proof is for one address: what follows a redirect would have none that holds there.
    let client = Client::builder().redirect(Policy::none()).no_proxy().build()?;
    // What is asked for, as the service demands it: where the certificate refers to a long list of parties, each request shows where
    // its own stands there.
    let auth = AgentAuth::of(guard.clone()).asking(Asking::of("payments:send").counterparty("iban"))?;
    Ok(ClientBuilder::new(client).with(auth).build())
}

/// A guarded action, in whose body somebody else is asked: what is asked of others follows from it.
async fn ask(
    guard: &Guard,
    client: &ClientWithMiddleware,
    url: &str,
    amount: &str,
    iban: &str,
) -> Result<String, Failure> {
    let chain = Guard::new_chain().ok_or("the system gives no randomness")?;
    let begun = CallContext { chain: Some(chain), ..CallContext::default() };
    let running = guard.admit_in(&ActionRequest::new("payments:ask"), &begun)?.begin()?;
    let answer = loop {
        let mut request = client
            .post(format!("{url}/pay"))
            .header(CONTENT_TYPE, "application/json")
            .body(format!(r#"{{"amount":"{amount}","iban":"{iban}"}}"#));
        if let Some(link) = running.link() {
            request = request.with_extension(link);
        }
        let answer = request.send().await?;
        if answer.status() != StatusCode::SERVICE_UNAVAILABLE {
            break answer;
        }
        // A service that has just begun knows nothing of the proofs of before.
        let wait = answer.headers().get(RETRY_AFTER).ok_or("the answer does not say when to ask again")?;
        tokio::time::sleep(Duration::from_secs(wait.to_str()?.parse()?)).await;
    };
    running.returned();
    let (status, text) = (answer.status().as_u16(), answer.text().await?);
    Ok(format!("{status} {}", code(&text).unwrap_or("paid")))
}

/// The code of a refusal.
fn code(problem: &str) -> Option<&str> {
    let (_, rest) = problem.split_once(r#""code":""#)?;
    rest.split('"').next()
}
