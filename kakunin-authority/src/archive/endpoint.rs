//! The address of a server that is not Amazon's.
//!
//! It is HTTPS, or HTTP to this machine: what is read back over a line that anybody can write on proves nothing. It comes
//! from the target alone, never from the environment, so that a variable cannot send the archive elsewhere.

use std::fmt;
use std::net::IpAddr;

/// An address that may be talked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(String);

impl Endpoint {
    /// Reads a URL.
    ///
    /// # Errors
    /// [`BadEndpoint`] for plain HTTP to another machine, and for what is no URL of a host.
    pub fn parse(text: &str) -> Result<Self, BadEndpoint> {
        let refuse = |why| Err(BadEndpoint { text: text.to_owned(), why });
        let (secure, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return refuse("is no URL; write https://HOST"),
        };
        if rest.contains(['@', '?', '#', '\\']) || !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
            return refuse("hides its host; write https://HOST or https://HOST:PORT");
        }
        let authority = rest.split('/').next().unwrap_or("");
        let host = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, _)) => host,
            None => authority.split(':').next().unwrap_or(""),
        };
        let local = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        match (host, secure || local) {
            ("", _) => refuse("names no host; write https://HOST"),
            (_, false) => refuse("is not on this machine; use https"),
            _ => Ok(Self(text.trim_end_matches('/').to_owned())),
        }
    }

    /// As it is written, without a slash at its end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An address that may not be talked to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` {why}")]
pub struct BadEndpoint {
    text: String,
    why: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_leaves_this_machine_never() {
        for good in
            ["https://s3.example.org", "http://127.0.0.1:5000", "http://[::1]:5000/", "http://localhost"]
        {
            assert!(Endpoint::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "http://s3.example.org",
            "http://10.0.0.1:9000",
            "http://127.0.0.1.example.org",
            "ftp://localhost",
            "x",
            "",
            "https://",
            "https:///s3",
            "http://local host",
        ] {
            assert!(Endpoint::parse(bad).is_err(), "{bad}");
        }
        for hidden in ["localhost@s3.example.org", "localhost:80@s3.example.org", "localhost#@s3.example.org"]
        {
            assert!(Endpoint::parse(&format!("http://{hidden}")).is_err(), "{hidden}");
        }
    }
}
