//! A node of several on one database: waiting for its turn to lead.

use std::time::{Duration, Instant};

use kakunin_authority::Home;
use kakunin_authority::http::{ServeOptions, Server, Turn};
use kakunin_authority::store::{Address, Looked, Standby, Store};

use crate::answer::Failure;

/// Stands by until nobody else leads, and gives the records to lead with; `None` when it was told to end before. `url`
/// is where this node answers once it leads.
pub(crate) fn turn(
    server: &mut Server,
    options: &ServeOptions,
    home: &Home,
    address: &Address,
    url: &str,
) -> Result<Option<Box<dyn Store + Send>>, Failure> {
    // A node that could not sign is of no use to anybody, and says so before it is needed.
    if let Some(lacks) = lacks(home)? {
        return Err(Failure::cannot(lacks));
    }
    let mut standby = Standby::new(address.clone());
    let mut looked = Instant::now();
    let mut lacking = None;
    let turn = server.stand_by(options, || {
        if looked.elapsed() > AGAIN {
            looked = Instant::now();
            // A database that does not answer says so itself, below.
            lacking = lacks(home).unwrap_or_default();
        }
        // Without its keys it does not even try: another node may have them.
        if let Some(lacks) = &lacking {
            return Turn::Others { leader: None, lacks: Some(lacks.clone()) };
        }
        match standby.look(Some(url)) {
            Ok(Looked::Leads(store)) => Turn::Mine(store),
            Ok(Looked::Led(leader)) => Turn::Others { leader, lacks: None },
            Ok(Looked::Free) => Turn::Others { leader: None, lacks: None },
            Err(error) => Turn::Others { leader: None, lacks: Some(error.to_string()) },
        }
    })?;
    Ok(turn.map(|store| store as Box<dyn Store + Send>))
}

/// Which keys the records know and this home does not have.
fn lacks(home: &Home) -> Result<Option<String>, Failure> {
    let missing = home.lacks(home.records()?.as_ref())?;
    let Some(first) = missing.first() else { return Ok(None) };
    Ok(Some(format!(
        "{} is not here: copy the folders `issuing` and `root` and the passphrase from the home of the node that leads",
        first.display()
    )))
}

const AGAIN: Duration = Duration::from_secs(10);
