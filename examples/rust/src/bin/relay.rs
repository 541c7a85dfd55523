//! Two agents, one chain: `relay CALLER CALLED` lets the agent in CALLER ask the one in CALLED over HTTP.
//!
//! What travels is two headers. Any HTTP library will do, since links are read and written as text: here it is the
//! standard library, one request on the loopback. Both agents may pay, as in `pay`.
//!
//! ```text
//! cargo run -p kakunin-example-pay --bin relay -- agents/billing agents/bank
//! ```

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::ExitCode;
use std::thread;

use kakunin_core::chain::{CallContext, ChainLink};
use kakunin_core::guard::{Guard, GuardOptions};
use kakunin_core::home::AgentHome;
use kakunin_core::request::ActionRequest;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [caller, called] = arguments.as_slice() else {
        eprintln!("usage: relay CALLER CALLED");
        return ExitCode::from(64);
    };
    match relay(caller, called) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn relay(caller: &str, called: &str) -> Result<(), Failure> {
    let (caller, called) = (open(caller)?, open(called)?);
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let place = listener.local_addr()?;
    let served = thread::spawn(move || serve(&listener, &called));
    ask(place, &caller)?;
    served.join().map_err(|_| "the server panicked")??;
    caller.close();
    Ok(())
}

fn open(dir: &str) -> Result<Guard, Failure> {
    Ok(Guard::open(AgentHome::open(Path::new(dir), None)?, GuardOptions::default())?)
}

/// The caller: an incident begins here.
fn ask(place: SocketAddr, guard: &Guard) -> Result<(), Failure> {
    let chain = Guard::new_chain().ok_or("the system gives no randomness")?;
    let begun = CallContext { chain: Some(chain), ..CallContext::default() };
    let running = guard.admit_in(&payment(), &begun)?.begin()?;
    // The body of a guarded action: its link names the decision that runs.
    let link = running.link().ok_or("the decision is in no chain")?;
    let mut request = TcpStream::connect(place)?;
    write!(request, "POST /pay HTTP/1.1\r\n")?;
    for (name, value) in link.to_headers() {
        write!(request, "{name}: {value}\r\n")?;
    }
    write!(request, "\r\n")?;
    let mut answer = String::new();
    BufReader::new(request).read_line(&mut answer)?;
    running.returned();
    println!("chain {chain}: {} was answered {}", link.from(), answer.trim_end());
    Ok(())
}

/// The called agent: goes on in the chain that the caller names.
fn serve(listener: &TcpListener, guard: &Guard) -> Result<(), Failure> {
    let (mut connection, _) = listener.accept()?;
    let headers = read_headers(&connection)?;
    let find = |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let link = ChainLink::from_headers(find).unwrap_or_else(|error| {
        // The call goes on; it begins a chain of its own.
        eprintln!("{error}");
        None
    });
    let context = match &link {
        Some(link) => link.context(),
        None => CallContext { chain: Guard::new_chain(), ..CallContext::default() },
    };
    match guard.admit_in(&payment(), &context) {
        Ok(pass) => {
            let running = pass.begin()?;
            writeln!(connection, "HTTP/1.1 204 No Content\r\n\r")?;
            running.returned();
        }
        Err(denied) => {
            eprintln!("{denied}");
            writeln!(connection, "HTTP/1.1 403 Forbidden\r\n\r")?;
        }
    }
    guard.close();
    Ok(())
}

fn payment() -> ActionRequest<'static> {
    ActionRequest::new("payments:send").amount("125.00", "EUR").counterparty("acme")
}

/// Header fields, their names in lower case.
fn read_headers(connection: &TcpStream) -> Result<Vec<(String, String)>, Failure> {
    let mut headers = Vec::new();
    for line in BufReader::new(connection).lines().skip(1) {
        let line = line?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    Ok(headers)
}
