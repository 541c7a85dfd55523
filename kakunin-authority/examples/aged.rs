//! Makes an authority that is some hours old, with an agent that was certified when it began.
//!
//! `aged HOME DIR NAME SCOPE HOURS DAYS`: the authority goes to `HOME`, the agent NAME with the scope in the file SCOPE into
//! its directory `DIR`, with a certificate of DAYS that was issued HOURS ago. For tests of what happens as certificates and
//! lists grow old: whoever serves and uses them has the clock of everybody else, and only the past is made.

use std::error::Error;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use kakunin_authority::authority::{AnyAction, Certify, Comeback, Days, Hours};
use kakunin_authority::signer::PassphraseSources;
use kakunin_authority::{AgentName, Authority, Home, Who};
use kakunin_core::scope::DraftScope;
use kakunin_core::time::UnixTime;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [home, directory, name, scope, hours, days] = arguments.as_slice() else {
        return Err("usage: aged HOME DIR NAME SCOPE HOURS DAYS".into());
    };
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let began = UnixTime::from_seconds(i64::try_from(since)?.saturating_sub(hours.parse::<i64>()? * 3600));
    let home = Home::at(Path::new(home));
    let own = home.passphrase();
    let ask = |_: &str| Ok(None);
    let sources = PassphraseSources { named: None, own: &own, ask: &ask };
    let (mut authority, _) = Authority::init(&home, sources, began, Hours::default())?;
    let text = std::fs::read_to_string(scope)?;
    let draft = DraftScope::parse(&text, &|name| std::fs::read_to_string(name))?;
    let agent = authority.create(&AgentName::parse(name)?, &draft, AnyAction::Refuse, began)?;
    let order = Certify {
        directory: Path::new(directory),
        days: Days::new(days.parse()?)?,
        request: None,
        comeback: Comeback::Refuse,
        any: AnyAction::Refuse,
    };
    let _ = authority.certify(&Who::Id(agent.id), &order, Hours::default(), began)?;
    Ok(())
}
