use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, ValueEnum};
use kakunin_authority::Authority;
use kakunin_authority::api_key::{ApiKey, OwnerKey};
use kakunin_authority::authority::{FeedMode, Hours};
use kakunin_authority::files::{self, Readers};
use kakunin_authority::home::HomeError;
use kakunin_authority::http::{
    ClientCertificates, ContentJudge, Demand, Doors, Network, Pipelines, Proxies, ProxyHeader, Reach,
    ServeError, ServeOptions, Server, Strangers, TlsFiles, WebhookOptions, check_logs, without_core_dumps,
};
use kakunin_authority::store::Place;
use kakunin_core::risk::RiskPolicy;
use kakunin_core::time::UnixMillis;
use serde_json::json;
use zeroize::Zeroizing;

use crate::answer::{Answer, Failure};
use crate::context::{Common, ask, now};
use crate::lines::Lines;

/// Serve the authority over HTTP
///
/// The first start makes the authority. While it is served, commands that change it need --url; those that only read
/// go on as before. Ends on SIGTERM or SIGINT, after the answers that are under way.
///
/// Any address but this machine's own needs TLS: by --tls-cert and --tls-key, or by a proxy in front, which
/// --behind-proxy says is there.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kakunin serve
  kakunin serve --home /srv/kakunin --listen 127.0.0.1:8080
  kakunin serve --listen 127.0.0.1:0 --ready-file ready.json
  kakunin serve --listen 0.0.0.0:8443 --tls-cert fullchain.pem --tls-key key.pem --listen-public 0.0.0.0:443")]
pub(crate) struct Serve {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080", value_parser = address)]
    listen: SocketAddr,
    /// A second address for the routes that need no key: lists, certificates, verification, feed, health
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = address)]
    listen_public: Option<SocketAddr>,
    /// The service's certificate and those above it, PEM; read again when the file changes
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key, PEM, readable by you alone
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Ask clients of --listen for certificates under these authorities, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    client_ca: Option<PathBuf>,
    /// Turn clients of --listen away that show none
    #[arg(long, requires = "client_ca")]
    require_client_cert: bool,
    /// A proxy that ends TLS stands in front: other addresses than this machine's own are listened at
    #[arg(long)]
    behind_proxy: bool,
    /// Believe proxies in this network about whom they ask for; may be given more than once
    #[arg(long, value_name = "NETWORK")]
    trust_proxy: Vec<Network>,
    /// The header in which those proxies say it; the other one is not read
    #[arg(long, value_enum, default_value = "x-forwarded-for", requires = "trust_proxy")]
    proxy_header: Header,
    /// How many connections one address may have at once [default: 256, and no limit for this machine]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..))]
    connections_per_address: Option<u16>,
    /// How many requests a second one address may send to routes that need no key
    #[arg(long, value_name = "COUNT", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    requests_per_address: u32,
    /// A name, with its port unless that is 443, by which agents reach it through a proxy; may be given several times
    #[arg(long, value_name = "NAME")]
    name: Vec<String>,
    /// Authorities that receivers of webhooks are certified by, PEM, in place of the system's
    #[arg(long, value_name = "FILE")]
    webhook_ca: Option<PathBuf>,
    /// Let webhooks reach this network inside, over https; may be given more than once
    #[arg(long, value_name = "NETWORK")]
    webhook_network: Vec<Network>,
    /// Let webhooks reach this machine, also in plain HTTP: for development
    #[arg(long)]
    webhooks_to_loopback: bool,
    /// By what agents are judged that have no policy of their own, TOML [default: what docs/risk.md says]
    #[arg(long, value_name = "FILE")]
    risk_policy: Option<PathBuf>,
    /// Have texts checked at this address, too, as OpenAI's chat completions: up to /chat/completions. Texts leave this machine
    #[arg(long, value_name = "URL", requires = "content_model")]
    content_judge: Option<String>,
    /// The model that checks texts there
    #[arg(long, value_name = "NAME", requires = "content_judge")]
    content_model: Option<String>,
    /// A file, readable by you alone, whose first line is the key for it
    #[arg(long, value_name = "FILE", requires = "content_judge")]
    content_key_file: Option<PathBuf>,
    /// Whose tokens of OpenID Connect are exchanged for keys, and for which, TOML: docs/service.md has an example
    #[arg(long, value_name = "FILE")]
    oidc: Option<PathBuf>,
    /// Write address and, if it was made now, owner's key to this file, in JSON, once it answers
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// Make another owner's key, also if there is one: it may be lost
    #[arg(long)]
    new_owner_key: bool,
    /// A log, as `kakunin log` writes it, that everyone may read at /v1/log; may be given more than once
    #[arg(long, value_name = "DIR")]
    log: Vec<PathBuf>,
    /// Serve no feed, and let the lists say so: for guards that read lists.pem as a file
    #[arg(long)]
    without_feed: bool,
    /// For how many hours each list may be used; it is signed anew when half of that is over
    #[arg(long, default_value_t = 24)]
    hours: u16,
    /// Keep the records in this PostgreSQL database and not in a file: postgres://USER:PASSWORD@HOST/DATABASE
    #[arg(long, value_name = "URL", env = "KAKUNIN_STORE", hide_env_values = true)]
    store: Option<String>,
    /// The address that nodes on one database name to clients of each other [default: where this one listens]
    #[cfg(feature = "postgres")]
    #[arg(long, value_name = "URL")]
    advertise: Option<String>,
}

/// Reads an address to listen at.
fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "it is an address in numbers with its port, for example 127.0.0.1:8080 or [::1]:8080".to_owned()
    })
}

/// A header that proxies write.
#[derive(Clone, Copy, ValueEnum)]
enum Header {
    XForwardedFor,
    Forwarded,
}

impl Serve {
    pub(crate) fn run(&self, common: &Common) -> Result<Answer, Failure> {
        without_core_dumps();
        let hours = Hours::new(self.hours)?;
        let (tls, proxied) = (self.tls(), self.behind_proxy);
        for address in [Some(self.listen), self.listen_public].into_iter().flatten() {
            if !address.ip().is_loopback() && tls.is_none() && !proxied {
                return Err(Failure::usage(format!(
                    "{address} can be reached by others, and what they send and get would travel in the clear; pass --tls-cert and --tls-key, or put a proxy with TLS in front and pass --behind-proxy, or listen at 127.0.0.1"
                )));
            }
        }
        let (webhooks, risk, content) = (self.webhooks()?, self.risk()?, self.content()?);
        let pipelines =
            self.oidc.as_deref().map(Pipelines::read).transpose().map_err(Failure::usage)?.map(Arc::new);
        check_logs(&self.log)?;
        // First of all: nothing is made for a service that cannot start.
        let scheme = if tls.is_some() { "https" } else { "http" };
        #[cfg_attr(
            not(feature = "postgres"),
            expect(unused_mut, reason = "only a node of several stands by")
        )]
        let mut server = Server::bind(Doors { keyed: self.listen, public: self.listen_public, tls }, now())?;
        let home = common.home();
        let own = home.passphrase();
        if let Some(store) = &self.store {
            home.keep_place(store)?;
        }
        let made = matches!(home.records(), Err(HomeError::NoAuthority { .. }));
        let made = match made {
            true => Some(Authority::init(&home, common.sources(&own, &ask), now(), hours)?.0),
            false => None,
        };
        let url = format!("{scheme}://{}", server.address());
        let public = server.public_address().map(|address| format!("{scheme}://{address}"));
        let _mark = home.mark_served(&url)?;
        let started = Lines::to(io::stderr());
        let lines = started.map_err(|error| {
            Failure::cannot(format!("cannot start the thread that writes the log: {error}"))
        })?;
        let _ending = lines.ending();
        let options = ServeOptions {
            clock: Arc::new(millis),
            hours,
            strangers: self.strangers(),
            names: self.name.clone(),
            feed: if self.without_feed { FeedMode::Off } else { FeedMode::On },
            webhooks,
            risk,
            content,
            pipelines,
            logs: self.log.clone(),
            log: Arc::new(move |line| lines.say(line)),
        };
        let mut authority = match home.place()? {
            #[cfg(feature = "postgres")]
            Place::Server(address) => {
                // As a node it leads from here on, and not as the command that made the authority.
                drop(made);
                let shown = self.advertise.as_deref().unwrap_or(&url);
                match super::node::turn(&mut server, &options, &home, &address, shown)? {
                    Some(store) => Authority::take_over(&home, common.sources(&own, &ask), store)?,
                    None => return Ok(Answer::all(Vec::new())),
                }
            }
            Place::File(_) => match made {
                Some(authority) => authority,
                None => common.authority(&own)?,
            },
        };
        if !self.without_feed && authority.records().has_directories().map_err(HomeError::from)? {
            eprintln!(
                "warning: agents were certified into directories; if their guards read lists.pem as a file and not through the client, they deny everything once the lists ask for the feed: pass --without-feed"
            );
        }

        let when = if self.new_owner_key { OwnerKey::Another } else { OwnerKey::IfNone };
        let mut told = Ok(());
        // Last of all: a key that is shown to nobody would stand in the records and open the service to nobody.
        let make = |authority: &mut Authority<'_>| authority.make_owner_key(when, now());
        server.run_after(&mut authority, options, make, |key: Option<ApiKey>| {
            let key = key.map(|key| key.to_text());
            told = self.tell(common, &url, public.as_deref(), key.as_ref().map(|key| key.as_str()))
        })?;
        told.map(|()| Answer::all(Vec::new()))
    }

    fn tls(&self) -> Option<TlsFiles> {
        let (certificate, key) = (self.tls_cert.clone()?, self.tls_key.clone()?);
        let demand = if self.require_client_cert { Demand::Required } else { Demand::Optional };
        let clients = self.client_ca.clone().map(|authorities| ClientCertificates { authorities, demand });
        Some(TlsFiles { certificate, key, clients })
    }

    fn webhooks(&self) -> Result<WebhookOptions, Failure> {
        let reach = Reach { loopback: self.webhooks_to_loopback, networks: self.webhook_network.clone() };
        let ca = self.webhook_ca.as_deref().map(files::read).transpose();
        let ca = ca.map_err(|error| Failure::from(error).after("--webhook-ca"))?;
        Ok(WebhookOptions { reach, ca })
    }

    fn risk(&self) -> Result<RiskPolicy, Failure> {
        let Some(path) = &self.risk_policy else { return Ok(RiskPolicy::default()) };
        let wrong = |what: &dyn std::fmt::Display| {
            Failure::usage(format!("--risk-policy: {}: {what}", path.display()))
        };
        let octets = files::read(path).map_err(|error| Failure::from(error).after("--risk-policy"))?;
        let text = String::from_utf8(octets).map_err(|_| wrong(&"it is no text"))?;
        RiskPolicy::from_toml(&text).map_err(|error| wrong(&error))
    }

    fn content(&self) -> Result<Option<ContentJudge>, Failure> {
        let (Some(url), Some(model)) = (&self.content_judge, &self.content_model) else { return Ok(None) };
        let key = self.content_key_file.as_deref().map(files::read_secret).transpose()?.map(|bytes| {
            let text = std::str::from_utf8(&bytes).unwrap_or_default();
            Zeroizing::new(text.lines().next().unwrap_or_default().trim().to_owned())
        });
        Ok(Some(ContentJudge { url: url.clone(), model: model.clone(), key }))
    }

    fn strangers(&self) -> Strangers {
        let header = match self.proxy_header {
            Header::XForwardedFor => ProxyHeader::XForwardedFor,
            Header::Forwarded => ProxyHeader::Forwarded,
        };
        Strangers {
            proxies: Proxies { networks: self.trust_proxy.clone(), header },
            connections: self.connections_per_address.map(usize::from),
            requests: self.requests_per_address,
        }
    }

    /// Says that it answers, and what to do next. A key that was made is shown here and never again.
    fn tell(
        &self,
        common: &Common,
        url: &str,
        public: Option<&str>,
        key: Option<&str>,
    ) -> Result<(), Failure> {
        let mut record = json!({ "url": url });
        if let Some(members) = record.as_object_mut() {
            members.extend(public.map(|url| ("public_url".into(), url.into())));
            members.extend(key.map(|key| ("owner_key".into(), key.into())));
        }
        let also = public.map_or_else(String::new, |url| format!(", without keys at {url}"));
        let text = match common.json {
            true => format!("{record}\n"),
            false => format!("serving {} at {url}{also}\n{}", common.home.display(), next(url, key)),
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
    let head = format!("The owner's key is shown this once. Next:\n\n  export KAKUNIN_TOKEN={key}\n");
    // Whoever listens everywhere is reached here, too.
    let url = url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:");
    let commands = format!(
        "\n  printf '%s\\n' {SCOPE} > billing.toml && kakunin agent create billing --scope billing.toml --url {url}\n\
         \n  kakunin agent token billing --url {url}\n"
    );
    let named = match url.starts_with("https:") {
        true => "Write the URL with a name that the service's certificate has.\n",
        false => "",
    };
    format!(
        "{head}{commands}\n{named}The last one answers a token. The agent is started with KAKUNIN_URL={url} and that token as its \
         KAKUNIN_TOKEN, within a quarter of an hour.\n\n"
    )
}

/// What the first agent may do, line by line: what the example agents do, and no more.
const SCOPE: &str = "'actions = [\"payments:send\"]' '[[limit]]' 'for = [\"payments:send\"]' 'currency = \"EUR\"' \
    'per_action = \"100.00\"' '[[counterparties]]' 'for = [\"payments:send\"]' 'allow = [\"acme\"]'";

/// Whether a guard may be looking at the lists as a file.
fn millis() -> UnixMillis {
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    UnixMillis::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        match error {
            ServeError::Authority(error) => error.into(),
            _ => Self::cannot(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use kakunin_core::scope::DraftScope;

    use super::*;

    /// Whoever pastes what is printed, and starts the example, has an agent that pays.
    #[test]
    fn the_scope_of_the_first_agent_is_that_of_the_example() {
        let printed = next("http://127.0.0.1:1", Some("kak_live_x"));
        let line = printed.lines().find(|line| line.contains("billing.toml")).unwrap();
        let (quoted, _) = line.split_once(" > ").unwrap();
        let toml: Vec<&str> = quoted.split('\'').skip(1).step_by(2).collect();
        let (format, toml) = toml.split_first().unwrap();
        assert_eq!(*format, "%s\\n");
        let draft = DraftScope::parse(&toml.join("\n"), &|_| Err(ErrorKind::NotFound.into())).unwrap();
        let example = include_str!("../../../examples/python/agent.py");
        for said in ["\"payments:send\"", "currency=\"EUR\"", "pay(\"acme\", \"1.00\")"] {
            assert!(example.contains(said), "{said}");
        }
        let scope = draft.for_agent(kakunin_core::id::AgentId::from_bytes([0x40; 16])).unwrap();
        let words = scope.to_words().join("\n");
        for said in ["payments:send", "EUR", "acme"] {
            assert!(words.contains(said), "{words}");
        }
    }
}
