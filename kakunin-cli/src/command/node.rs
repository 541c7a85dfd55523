//! A node of several on one database: waiting for its turn to lead.

use std::time::{Duration, Instant};

use kakunin_authority::http::{ServeOptions, Server, Turn};
use kakunin_authority::store::{Address, Looked, Place, Standby, Store};
use kakunin_authority::{AuthorityError, Home};

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
    let mut follower = Follower { home, place: home.place()?, records: None, followed: None };
    let mut is_free = false;
    let turn = server.stand_by(options, || {
        // Once a second, and without fail before it may lead: a database is put back while nobody does.
        if let Some(gone) = follower.follow(is_free) {
            return Turn::Others { leader: None, lacks: Some(gone) };
        }
        if looked.elapsed() > AGAIN {
            looked = Instant::now();
            // A database that does not answer says so itself, below.
            lacking = lacks(home).unwrap_or_default();
        }
        // Without its keys it does not even try: another node may have them.
        if let Some(lacks) = &lacking {
            return Turn::Others { leader: None, lacks: Some(lacks.clone()) };
        }
        let looked = standby.look(Some(url));
        is_free = matches!(looked, Ok(Looked::Free));
        match looked {
            Ok(Looked::Leads(store)) => Turn::Mine(store),
            Ok(Looked::Led(leader)) => Turn::Others { leader, lacks: None },
            Ok(Looked::Free) => Turn::Others { leader: None, lacks: None },
            Err(error) => Turn::Others { leader: None, lacks: Some(error.to_string()) },
        }
    })?;
    Ok(turn.map(|store| store as Box<dyn Store + Send>))
}

/// What this node has seen of the records that others write.
struct Follower<'a> {
    home: &'a Home,
    place: Place,
    records: Option<Box<dyn Store + Send>>,
    /// When, and what was wrong with them.
    followed: Option<(Instant, Option<String>)>,
}

impl Follower<'_> {
    /// Looks at the records once a second, or `now`, and says what is wrong with them: they went back, or what was seen of
    /// them cannot be remembered.
    fn follow(&mut self, now: bool) -> Option<String> {
        if let Some((when, found)) = &self.followed
            && when.elapsed() < FOLLOW
            && !now
        {
            return found.clone();
        }
        let found = match self.look() {
            Ok(()) => None,
            // A database that does not answer says so itself, when it is asked who leads.
            Err(AuthorityError::Store(_)) => {
                self.records = None;
                None
            }
            Err(error) => Some(error.to_string()),
        };
        self.followed = Some((Instant::now(), found.clone()));
        found
    }

    fn look(&mut self) -> Result<(), AuthorityError> {
        let records = match &mut self.records {
            Some(records) => records,
            none => none.insert(self.place.reader()?),
        };
        self.home.follow(records.as_ref())
    }
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
const FOLLOW: Duration = Duration::from_secs(1);
