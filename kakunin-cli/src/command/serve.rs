use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use kakunin_authority::Authority;
use kakunin_authority::api_key::OwnerKey;
use kakunin_authority::authority::Hours;
use kakunin_authority::files::{self, Readers};
use kakunin_authority::home::HomeError;
use kakunin_authority::http::{ServeError, ServeOptions, Server};
use serde_json::json;

use crate::answer::{Answer, Failure};
use crate::context::{Common, ask, now};

/// Serve the authority over HTTP
///
/// The first start makes the authority. While it is served, commands that change it need --url; those that only read
/// go on as before. Ends on SIGTERM or SIGINT, after the answers that are under way.
///
/// It speaks plain HTTP: TLS is ended by a proxy in front, and any address but this machine's own needs
/// --behind-proxy to say that there is one.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kakunin serve
  kakunin serve --home /srv/kakunin --listen 127.0.0.1:8080
  kakunin serve --listen 127.0.0.1:0 --ready-file ready.json")]
pub(crate) struct Serve {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// A proxy that ends TLS stands in front: other addresses than this machine's own are listened at
    #[arg(long)]
    behind_proxy: bool,
    /// Write address and, if it was made now, owner's key to this file, in JSON, once it answers
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// Make another owner's key, also if there is one: it may be lost
    #[arg(long)]
    new_owner_key: bool,
    /// For how many hours each list may be used; it is signed anew when half of that is over
    #[arg(long, default_value_t = 24)]
    hours: u16,
}

impl Serve {
    pub(crate) fn run(&self, common: &Common) -> Result<Answer, Failure> {
        let hours = Hours::new(self.hours)?;
        if !self.listen.ip().is_loopback() && !self.behind_proxy {
            return Err(Failure::usage(format!(
                "{} can be reached by others, and their keys would travel in the clear; put a proxy with TLS in front and pass --behind-proxy, or listen at 127.0.0.1",
                self.listen
            )));
        }
        // First of all: nothing is made for a service that cannot start.
        let server = Server::bind(self.listen)?;
        let home = common.home();
        let own = home.passphrase();
        let made = matches!(home.records(), Err(HomeError::NoAuthority { .. }));
        let mut authority = match made {
            true => Authority::init(&home, common.sources(&own, &ask), now(), hours)?.0,
            false => common.authority(&own)?,
        };
        let url = format!("http://{}", server.address());
        let _mark = home.mark_served(&url)?;

        let when = if self.new_owner_key { OwnerKey::Another } else { OwnerKey::IfNone };
        let key = authority.make_owner_key(when, now())?.map(|key| key.to_text());
        let options = ServeOptions {
            clock: Arc::new(now),
            hours,
            // Nobody to read the log is no reason to stop.
            log: Arc::new(|line| drop(writeln!(io::stderr().lock(), "{line}"))),
        };
        let mut told = Ok(());
        server.run(&mut authority, options, || {
            told = self.tell(common, &url, key.as_ref().map(|key| key.as_str()))
        })?;
        told.map(|()| Answer::all(Vec::new()))
    }

    /// Says that it answers, and what to do next. A key that was made is shown here and never again.
    fn tell(&self, common: &Common, url: &str, key: Option<&str>) -> Result<(), Failure> {
        let record = match key {
            Some(key) => json!({ "url": url, "owner_key": key }),
            None => json!({ "url": url }),
        };
        let text = match common.json {
            true => format!("{record}\n"),
            false => format!("serving {} at {url}\n{}", common.home.display(), next(url, key)),
        };
        let mut out = io::stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        if let Some(path) = &self.ready_file {
            files::replace(path, format!("{record}\n").as_bytes(), Readers::Owner)?;
        }
        Ok(())
    }
}

/// The next three commands, to be pasted as they are.
fn next(url: &str, key: Option<&str>) -> String {
    let Some(key) = key else {
        return "The owner's key was shown when it was made; --new-owner-key makes another one.\n".into();
    };
    let auth = "-H \"Authorization: Bearer $KAKUNIN_TOKEN\"";
    format!(
        "The owner's key is shown this once. Next:\n\
         \n  export KAKUNIN_TOKEN={key}\n\
         \n  curl -X POST {auth} {url}/v1/agents \\\n       -d '{{\"name\": \"billing\", \"scope\": {{\"actions\": [\"read:*\"]}}}}'\n\
         \n  curl -X POST {auth} {url}/v1/agents/billing/certify\n\n"
    )
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        match error {
            ServeError::Authority(error) => error.into(),
            _ => Self::cannot(error),
        }
    }
}
