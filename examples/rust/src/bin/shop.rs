//! A service that lets agents pay, and nobody else: `shop AGENT_DIR`.
//!
//! It prints its URL when it is ready. AGENT_DIR is its own agent's directory, of the authority that certifies the agents that
//! call: what it decides about them is in its journal. `buyer` is one of them.
//!
//! ```text
//! cargo run -p kakunin-example-pay --bin shop -- agents/shop
//! ```

use std::path::Path;
use std::process::ExitCode;

use axum::routing::post;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use kakunin_core::guard::{Guard, GuardOptions};
use kakunin_core::home::AgentHome;
use kakunin_gateway::tower::RequireAgent;
use kakunin_gateway::{Caller, Gateway, GatewayOptions, json};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory] = arguments.as_slice() else {
        eprintln!("usage: shop AGENT_DIR");
        return ExitCode::from(64);
    };
    let served = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::from)
        .and_then(|runtime| runtime.block_on(serve(directory)));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(directory: &str) -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let guard = Guard::open(AgentHome::open(Path::new(directory), None)?, GuardOptions::default())?;
    let gateway = Gateway::open(guard.clone(), GatewayOptions::named([address.clone()]))?;
    let demand = RequireAgent::new(gateway, "payments:send").select(|asked, wish| {
        let payment = json::strict(asked.body)?;
        Ok(wish.amount(json::text(&payment, "amount")?, "EUR").counterparty(json::text(&payment, "iban")?))
    });
    let app = Router::new().route("/pay", post(pay)).layer(demand);

    let mut end = signal(SignalKind::terminate())?;
    println!("http://{address}");
    loop {
        let connection = tokio::select! {
            accepted = listener.accept() => accepted?.0,
            _ = end.recv() => break,
        };
        let service = TowerToHyperService::new(app.clone());
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(connection), service));
    }
    guard.close();
    Ok(())
}

/// Runs only for whoever may: the layer asked before.
async fn pay(Extension(caller): Extension<Caller>) -> String {
    format!(r#"{{"by":"{}"}}"#, caller.agent())
}
