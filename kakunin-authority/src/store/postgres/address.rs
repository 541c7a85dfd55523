//! Where a PostgreSQL server is, and what may be said about it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use postgres::config::{Host, SslMode};
use postgres::{Client, Config, NoTls};
use zeroize::Zeroizing;

use crate::store::StoreError;

/// A database on a PostgreSQL server. Its password is never shown.
#[derive(Clone)]
pub struct Address {
    text: Zeroizing<String>,
    config: Box<Config>,
}

impl Address {
    /// Reads `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, or libpq's `key=value` form.
    ///
    /// # Errors
    /// [`StoreError::Address`] when it is none, or its words would travel in the clear: this program speaks to servers
    /// on this machine only, by a socket or a loopback address.
    pub fn parse(text: &str) -> Result<Self, StoreError> {
        let wrong = |text: String| StoreError::Address { text };
        let text = text.trim();
        // What the parser says of a text may repeat it, and with it the password.
        let mut config = Config::from_str(text)
            .map_err(|_| wrong("write it as postgres://USER:PASSWORD@HOST:PORT/DATABASE".into()))?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(wrong(
                "it names no host; a folder with a socket is written as host=%2Frun%2Fpostgresql".into(),
            ));
        }
        if let Some(far) = config.get_hosts().iter().find(|host| !is_near(host)).map(shown_host) {
            return Err(wrong(format!(
                "{far} is another machine, and the connection to it would not be encrypted; put a tunnel or a proxy with TLS (such as `stunnel` or PgBouncer in session mode) on this machine and name that"
            )));
        }
        if config.get_hostaddrs().iter().any(|address| !address.is_loopback()) {
            return Err(wrong(
                "hostaddr is another machine, and the connection to it would not be encrypted".into(),
            ));
        }
        if matches!(config.get_ssl_mode(), SslMode::Require) {
            return Err(wrong("sslmode=require is not possible: this program ends no TLS of its own to a database; leave it out for a server on this machine".into()));
        }
        config.ssl_mode(SslMode::Disable);
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT);
        }
        if config.get_application_name().is_none() {
            config.application_name("kakunin");
        }
        config.keepalives_idle(KEEPALIVE).keepalives_interval(KEEPALIVE).keepalives_retries(2);
        config.tcp_user_timeout(USER_TIMEOUT);
        Ok(Self { text: Zeroizing::new(text.to_owned()), config: Box::new(config) })
    }

    /// As it was read, with its password.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn connect(&self) -> Result<Client, postgres::Error> {
        self.config.connect(NoTls)
    }
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
        for wrong in
            ["postgres://u:hunter2@db.example/x", "postgres://u:hunter2@[::1/x", "mysql://u:hunter2@h/x"]
        {
            let error = Address::parse(wrong).unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }

    #[test]
    fn nothing_travels_in_the_clear_to_another_machine() {
        for near in [
            "postgres://u@localhost/x",
            "postgres://u@127.0.0.1/x",
            "postgres://u@[::1]/x",
            "postgres:///x?host=%2Frun%2Fpostgresql&user=u",
            "host=/run/postgresql user=u dbname=x",
        ] {
            Address::parse(near).unwrap();
        }
        for far in [
            "postgres://u@db.example/x",
            "postgres://u@10.0.0.1/x",
            "postgres://u@localhost,db.example/x",
            "postgres://u@localhost.example/x",
            "host=localhost hostaddr=192.0.2.1 user=u",
            "host=localhost sslmode=require user=u",
            "user=u dbname=x",
        ] {
            assert!(matches!(Address::parse(far), Err(StoreError::Address { .. })), "{far}");
        }
    }
}
