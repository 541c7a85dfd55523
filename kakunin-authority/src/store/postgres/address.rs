//! Where a PostgreSQL server is, and what may be said about it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, Config, NoTls};
use zeroize::Zeroizing;

use super::tls::Tls;
use crate::store::StoreError;

/// A database on a PostgreSQL server. Its password is never shown.
#[derive(Clone)]
pub struct Address {
    text: Zeroizing<String>,
    config: Box<Config>,
    tls: Option<Tls>,
}

impl Address {
    /// Reads `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, or libpq's `key=value` form.
    ///
    /// To another machine the connection is TLS, and the server's certificate has to be for the name in the address:
    /// `sslmode=verify-full`, which is what counts if nothing is said. `sslrootcert=FILE` names the authorities that it
    /// may be of, in PEM, in place of the platform's.
    ///
    /// # Errors
    /// [`StoreError::Address`] when it is none, or its words would travel in the clear or to whomever.
    pub fn parse(text: &str) -> Result<Self, StoreError> {
        let wrong = |text: String| StoreError::Address { text };
        let text = text.trim();
        let Ssl { rest, mode, roots } = Ssl::out_of(text);
        // What the parser says of a text may repeat it, and with it the password.
        let mut config = Config::from_str(&rest)
            .map_err(|_| wrong("write it as postgres://USER:PASSWORD@HOST:PORT/DATABASE".into()))?;
        if config.get_hosts().is_empty() {
            return Err(wrong(
                "it names no host; a folder with a socket is written as host=%2Frun%2Fpostgresql".into(),
            ));
        }
        let far = config.get_hosts().iter().find(|host| !is_near(host)).map(shown_host);
        let far = far.or_else(|| {
            let mut addresses = config.get_hostaddrs().iter();
            addresses.find(|address| !address.is_loopback()).map(ToString::to_string)
        });
        let mode = match (mode.as_deref(), &far) {
            (Some("verify-full"), _) | (None, Some(_)) => SslMode::Require,
            (None | Some("disable"), None) => SslMode::Disable,
            (Some("disable"), Some(far)) => {
                return Err(wrong(format!(
                    "{far} is another machine, and the connection to it has to be encrypted; leave sslmode out"
                )));
            }
            (Some(_), _) => {
                return Err(wrong("of sslmode there are verify-full, which is what counts to another machine, and disable to this one: the others speak to whoever answers".into()));
            }
        };
        if mode == SslMode::Require && config.get_hosts().iter().any(|host| matches!(host, Host::Unix(_))) {
            return Err(wrong(
                "a socket of this machine has no TLS; leave sslmode out, or name one host".into(),
            ));
        }
        if mode == SslMode::Disable && roots.is_some() {
            return Err(wrong("sslrootcert without TLS says nothing; add sslmode=verify-full".into()));
        }
        config.ssl_mode(mode);
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT);
        }
        if config.get_application_name().is_none() {
            config.application_name("kakunin");
        }
        config.keepalives_idle(KEEPALIVE).keepalives_interval(KEEPALIVE).keepalives_retries(2);
        config.tcp_user_timeout(USER_TIMEOUT);
        let tls = (mode == SslMode::Require).then(|| Tls::new(roots));
        Ok(Self { text: Zeroizing::new(text.to_owned()), config: Box::new(config), tls })
    }

    /// As it was read, with its password.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Connects; the connection lives as a task of the runtime that this runs on.
    pub(super) async fn connect(&self) -> Result<Client, StoreError> {
        let Some(tls) = &self.tls else {
            let (client, connection) = self.config.connect(NoTls).await?;
            tokio::spawn(connection);
            return Ok(client);
        };
        let (client, connection) = self.config.connect(tls.open()?).await?;
        tokio::spawn(connection);
        Ok(client)
    }
}

/// What an address says about TLS in libpq's words, some of which the parser of the rest does not know.
struct Ssl {
    rest: String,
    mode: Option<String>,
    roots: Option<PathBuf>,
}

impl Ssl {
    fn out_of(text: &str) -> Self {
        let (head, tail, between) = match text.split_once('?') {
            Some((head, tail)) if text.contains("://") => (format!("{head}?"), tail, '&'),
            _ if text.contains("://") || !text.contains("ssl") => (text.to_owned(), "", '&'),
            _ => (String::new(), text, ' '),
        };
        let (mut mode, mut roots, mut kept) = (None, None, Vec::new());
        for pair in tail.split(between) {
            match pair.split_once('=') {
                Some(("sslmode", value)) => mode = Some(value.to_owned()),
                // `system` is libpq's word for the platform's.
                Some(("sslrootcert", "system")) => {}
                Some(("sslrootcert", value)) => roots = Some(PathBuf::from(unescaped(value))),
                _ => kept.push(pair),
            }
        }
        let rest = format!("{head}{}", kept.join(&between.to_string()));
        Self { rest: rest.trim_end_matches('?').to_owned(), mode, roots }
    }
}

/// A text of a URL without its `%`.
fn unescaped(text: &str) -> String {
    let mut octets = Vec::with_capacity(text.len());
    let mut left = text.as_bytes();
    while let [first, rest @ ..] = left {
        let hex = match (first, rest) {
            (b'%', [high, low, after @ ..]) => {
                let pair = [*high, *low];
                let number =
                    std::str::from_utf8(&pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
                number.map(|number| (number, after))
            }
            _ => None,
        };
        let (octet, after) = hex.unwrap_or((*first, rest));
        octets.push(octet);
        left = after;
    }
    String::from_utf8_lossy(&octets).into_owned()
}

/// A socket of this machine, or a loopback address of it.
fn is_near(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        Host::Unix(_) => true,
    }
}

fn shown_host(host: &Host) -> String {
    match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(path) => path.display().to_string(),
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<_> = self.config.get_hosts().iter().map(shown_host).collect();
        let database = self.config.get_dbname().or(self.config.get_user()).unwrap_or_default();
        write!(f, "the database `{database}` at {}", hosts.join(", "))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

const CONNECT: Duration = Duration::from_secs(2);
const KEEPALIVE: Duration = Duration::from_secs(5);
const USER_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_in_nothing_that_is_shown() {
        let address = Address::parse("postgres://kakunin:hunter2@localhost:5432/records").unwrap();
        let shown = format!("{address} {address:?}");
        assert!(shown.contains("records") && !shown.contains("hunter2"), "{shown}");
        for wrong in [
            "postgres://u:hunter2@h/x?sslmode=disable",
            "postgres://u:hunter2@[::1/x",
            "mysql://u:hunter2@h/x",
        ] {
            let error = Address::parse(wrong).unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }

    #[test]
    fn nothing_travels_in_the_clear_or_to_whoever_answers() {
        let tls = |text: &str| Address::parse(text).map(|address| address.tls.is_some());
        for near in [
            "postgres://u@localhost/x",
            "postgres://u@localhost/x?sslmode=disable",
            "postgres://u@127.0.0.1/x",
            "postgres://u@[::1]/x",
            "postgres:///x?host=%2Frun%2Fpostgresql&user=u",
            "host=/run/postgresql user=u dbname=x",
        ] {
            assert!(matches!(tls(near), Ok(false)), "{near}");
        }
        for verified in [
            "postgres://u@db.example/x",
            "postgres://u@10.0.0.1/x?sslmode=verify-full",
            "postgres://u@localhost,db.example/x?sslrootcert=system",
            "postgres://u@localhost.example/x?sslrootcert=%2Fetc%2Fdb%20ca.pem&connect_timeout=3",
            "postgres://u@localhost/x?sslmode=verify-full&sslrootcert=/etc/db-ca.pem",
            "host=db.example hostaddr=192.0.2.1 user=u sslmode=verify-full sslrootcert=/etc/db-ca.pem",
            "host=localhost hostaddr=192.0.2.1 user=u",
        ] {
            assert!(matches!(tls(verified), Ok(true)), "{verified}");
        }
        for wrong in [
            "postgres://u@db.example/x?sslmode=disable",
            "postgres://u@db.example/x?sslmode=require",
            "postgres://u@db.example/x?sslmode=verify-ca",
            "postgres://u@db.example/x?sslmode=prefer",
            "postgres://u@localhost/x?sslmode=require",
            "postgres://u@localhost/x?sslrootcert=/etc/db-ca.pem",
            "postgres:///x?host=%2Frun%2Fpostgresql&user=u&sslmode=verify-full",
            "hostaddr=192.0.2.1 user=u",
            "user=u dbname=x",
        ] {
            assert!(matches!(tls(wrong), Err(StoreError::Address { .. })), "{wrong}");
        }
        let roots = Ssl::out_of("postgres://u@h/x?sslrootcert=%2Fetc%2Fdb%20ca.pem&connect_timeout=3");
        assert_eq!(roots.roots, Some(PathBuf::from("/etc/db ca.pem")));
        assert_eq!(roots.rest, "postgres://u@h/x?connect_timeout=3");
    }
}
