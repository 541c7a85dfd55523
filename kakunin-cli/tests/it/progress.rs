//! The bar of long work: on a terminal, and nowhere else.

use std::fs::OpenOptions;
use std::io::Read;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use kakunin_core::guard::{Guard, GuardOptions};
use kakunin_core::home::AgentHome;
use kakunin_core::request::ActionRequest;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::desk::{Desk, texts};

/// More receipts than short work has.
fn work(desk: &Desk) {
    let home = AgentHome::open(&desk.path("agents/billing"), None).unwrap();
    let guard = Guard::open(home, GuardOptions::default()).unwrap();
    let request = ActionRequest::new("payments:send").amount("12500.00", "EUR").counterparty("acme");
    let mut receipts = 0;
    while receipts < 4_200 {
        match guard.admit(&request).unwrap_err().code() {
            "scope.amount" => receipts += 1,
            // The signer is behind.
            _ => sleep(Duration::from_millis(5)),
        }
    }
    guard.close();
}

/// What the command writes to a terminal that is its standard error, and to the pipe that is its output.
fn on_terminal(desk: &Desk, arguments: &[&str]) -> (String, String) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    let terminal = OpenOptions::new().read(true).write(true).open(name).unwrap();
    let mut command = desk.command(arguments);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::from(terminal)).spawn().unwrap();
    // The terminal hangs up when nobody has it any more, which is the child alone.
    drop(command);
    let (mut shown, mut part, mut master) = (Vec::new(), [0; 4096], std::fs::File::from(master));
    while let Ok(read @ 1..) = master.read(&mut part) {
        shown.extend_from_slice(part.get(..read).unwrap());
    }
    let (out, _) = texts(&child.wait_with_output().unwrap());
    (String::from_utf8(shown).unwrap(), out)
}

#[test]
fn long_work_shows_a_bar_on_a_terminal_and_takes_it_away() {
    let desk = Desk::with_billing();
    work(&desk);
    let export = ["export", "--journal", "agents/billing", "--out", "incident.zip"];
    let journal = ["verify", "agents/billing", "--root", "agents/billing/ca.pem"];
    let bundle = ["verify", "incident.zip", "--root", "agents/billing/ca.pem"];
    for (arguments, bar) in [
        (&export[..], "4096 receipts"),
        (&journal[..], "4096 receipts"),
        (&bundle[..], "] 4096 of 4202 receipts"),
    ] {
        let (shown, out) = on_terminal(&desk, arguments);
        assert!(shown.contains(bar) && shown.contains("\r\x1b[K"), "{arguments:?}: {shown:?}");
        assert!(out.contains("4202 receipts") && !out.contains(['\r', '\x1b']), "{out}");
        if arguments == journal {
            continue;
        }
        // Programs see nothing of it, on a terminal or in a pipe.
        let (shown, _) = on_terminal(&desk, &[arguments, &["--json"]].concat());
        assert!(!shown.contains("4096"), "{shown:?}");
        let (out, err) = texts(&desk.run(arguments));
        assert!(!format!("{out}{err}").contains(['\r', '\x1b']), "{out}{err}");
    }
}
