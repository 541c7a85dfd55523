//! Where a webhook is sent to, read as strictly as it can be.
//!
//! A URL has many spellings of one host, and every program reads a few of them its own way. Here one reader counts,
//! the one that also connects: it turns decimal, octal, hexadecimal, percent-encoded and full-width forms into the
//! address or name they mean, and that is what is judged.

use std::net::{IpAddr, Ipv6Addr};

use reqwest::Url;

use super::reach::Reach;

/// A URL that a webhook may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    url: Url,
}

impl Target {
    /// Reads a URL and judges all of it but what its name stands for, which is looked up when something is sent.
    ///
    /// # Errors
    /// Why not, in words for whoever chose it.
    pub(crate) fn parse(text: &str, reach: &Reach) -> Result<Self, &'static str> {
        if text.len() > MOST {
            return Err("it is longer than 2048 characters");
        }
        // The reader of URLs drops tabs and line feeds and takes a backslash for a slash: nobody means that.
        if text.chars().any(|letter| letter.is_control() || letter.is_whitespace() || letter == '\\') {
            return Err("it has spaces, control characters or backslashes");
        }
        let url = Url::parse(text).map_err(|_| "it is no URL")?;
        if url.cannot_be_a_base() || !matches!(url.scheme(), "https" | "http") {
            return Err("it has to begin with https://");
        }
        let authority = text.split_once("://").map_or("", |(_, rest)| rest);
        let authority = authority.split(['/', '?', '#']).next().unwrap_or("");
        if authority.contains('@') || !url.username().is_empty() || url.password().is_some() {
            return Err("it names a user; deliveries are signed instead");
        }
        if url.fragment().is_some() {
            return Err("it has a fragment, which is never sent");
        }
        let host = url.host_str().unwrap_or("");
        let local = match address(host) {
            Some(address) if !reach.admits(address) => return Err(INSIDE),
            Some(address) => address.is_loopback(),
            None if host.ends_with('.') => return Err("its host ends with a dot"),
            None if host == "localhost" => match reach.loopback {
                true => true,
                false => return Err(INSIDE),
            },
            None if !host.contains('.') => return Err("its host is no full name"),
            None => false,
        };
        if url.scheme() == "http" && !(local && reach.loopback) {
            return Err("it has to begin with https://");
        }
        let port = url.port_or_known_default().unwrap_or(0);
        if !(local || port == 443 || port >= FIRST_FREE) {
            return Err("its port has to be 443, or 1024 or higher");
        }
        Ok(Self { url })
    }

    /// The URL in the one spelling that is kept, shown and connected to.
    pub(crate) fn as_str(&self) -> &str {
        self.url.as_str()
    }

    pub(crate) fn url(&self) -> Url {
        self.url.clone()
    }
}

/// A host that is an address, in whatever spelling it came.
fn address(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(inner) => inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => host.parse().ok(),
    }
}

/// Says nothing about what is there: whoever asks must not learn the network from it.
pub(crate) const INSIDE: &str = "its address is not one that webhooks may reach";
const MOST: usize = 2048;
/// Below are services of machines: mail, files, names.
const FIRST_FREE: u16 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_spelling_of_an_address_inside_is_taken() {
        let reach = Reach::default();
        let mut tried = 0;
        for (kind, hosts) in INSIDE_HOSTS {
            for host in hosts.split(' ').map(str::trim).filter(|host| !host.is_empty()) {
                let target = Target::parse(&format!("https://{host}/hook"), &reach);
                assert!(target.is_err(), "{kind}: {host}: {target:?}");
                tried += 1;
            }
        }
        assert!(tried > 100, "{tried}");
    }

    #[test]
    fn what_is_no_plain_https_url_is_refused() {
        let reach = Reach::default();
        let long = format!("https://receiver.example/{}", "x".repeat(2048));
        for text in [
            "",
            "receiver.example",
            "//receiver.example/",
            "https:receiver.example/\u{1f}",
            "https://",
            "https:///",
            "http://receiver.example/",
            "ftp://receiver.example/",
            "file:///etc/passwd",
            "gopher://receiver.example/",
            "javascript:alert(1)",
            "data:text/plain,x",
            "https://user@receiver.example/",
            "https://user:password@receiver.example/",
            "https://@receiver.example/",
            "https://:@receiver.example/",
            "https://receiver.example@169.254.169.254/",
            "https://receiver.example\\@169.254.169.254/",
            "https://receiver.example:22/",
            "https://receiver.example:25/",
            "https://receiver.example:80/",
            "https://receiver.example:0/",
            "https://receiver.example:65536/",
            "https://receiver.example/#part",
            "https://receiver.example./",
            "https://receiver/",
            " https://receiver.example/",
            "https://receiver.example/\n",
            "https://recei\tver.example/",
            "https://receiver.example/a b",
            "https://re%00ceiver.example/",
            "https://[::1%25eth0]/",
            &long,
        ] {
            assert!(Target::parse(text, &reach).is_err(), "{text}");
        }
    }

    #[test]
    fn a_url_is_kept_in_one_spelling() {
        let reach = Reach::default();
        for (text, kept) in [
            ("https://receiver.example", "https://receiver.example/"),
            ("HTTPS://Receiver.EXAMPLE:443/Hook?x=1", "https://receiver.example/Hook?x=1"),
            ("https://receiver.example:8443/a/../b", "https://receiver.example:8443/b"),
            ("https://b\u{fc}cher.example/", "https://xn--bcher-kva.example/"),
            ("https://93.184.216.34/", "https://93.184.216.34/"),
            ("https://0x5db8d822/", "https://93.184.216.34/"),
            ("https://[2606:4700::1111]/", "https://[2606:4700::1111]/"),
        ] {
            assert_eq!(Target::parse(text, &reach).as_ref().map(Target::as_str), Ok(kept), "{text}");
        }
    }

    #[test]
    fn this_machine_and_networks_inside_are_reached_when_that_is_meant() {
        let reach = Reach { loopback: true, networks: vec!["10.1.0.0/16".parse().unwrap()] };
        for text in
            ["http://127.0.0.1:80/", "https://localhost:9/", "http://[::1]:8080/", "https://10.1.2.3/"]
        {
            assert!(Target::parse(text, &reach).is_ok(), "{text}");
        }
        for text in
            ["http://10.1.2.3/", "http://receiver.example/", "https://10.2.0.1/", "https://10.1.2.3:22/"]
        {
            assert!(Target::parse(text, &reach).is_err(), "{text}");
        }
    }

    const INSIDE_HOSTS: [(&str, &str); 5] = [
        (
            "This machine and this network, in every spelling of IPv4",
            "
            127.0.0.1 127.0.0.1. 127.1 127.0.1 127.255.255.254 2130706433 2130706433. 0x7f000001 0x7f.0.0.1
            0x7F.1 0177.0.0.1 0177.0x0.0.1 017700000001 %31%32%37.0.0.1 127%2e0%2e0%2e1
            \u{ff11}\u{ff12}\u{ff17}.0.0.1 127\u{3002}0\u{3002}0\u{3002}1 \u{2460}27.0.0.1 0 0.0.0.0 0x0
            0.255.255.255 localhost LOCALHOST localhost. loc\u{ad}alhost",
        ),
        (
            "Private networks, links, providers",
            "
            10.0.0.1 10.255.255.255 0xa.1 012.0.0.1 167772161 172.16.0.1 172.31.255.255 192.168.0.1
            0xc0a80001 3232235521 0300.0250.0.1 100.64.0.1 100.127.255.255 169.254.0.1 169.254.169.254
            2852039166 0xa9fea9fe 0xA9.0xFE.0xA9.0xFE 0251.0376.0251.0376 169.254.43518 168.63.129.16
            100.100.100.200 192.0.0.192",
        ),
        (
            "Protocols, documentation, benchmarks, multicast, reserved",
            "
            192.0.0.8 192.0.2.1 192.88.99.1 198.18.0.1 198.19.255.255 198.51.100.7 203.0.113.9 224.0.0.1
            239.255.255.250 240.0.0.1 255.255.255.255",
        ),
        (
            "IPv6: unspecified, loopback, link, unique local, site, multicast",
            "
            [::] [::1] [0:0:0:0:0:0:0:1] [0000::0001] [fe80::1] [febf::1] [fec0::1] [fc00::1]
            [fd00:ec2::254] [fdff::1] [ff02::1] [ff0e::1] [100::1] [5f00::1] [4000::1]",
        ),
        (
            "IPv4 in IPv6: mapped, compatible, translated, NAT64 of both kinds, 6to4, Teredo",
            "
            [::ffff:127.0.0.1] [::ffff:7f00:1] [::ffff:169.254.169.254] [::ffff:a9fe:a9fe]
            [::ffff:93.184.216.34] [0:0:0:0:0:ffff:10.0.0.1] [::127.0.0.1] [::7f00:1] [::a00:1]
            [::ffff:0:127.0.0.1] [64:ff9b::7f00:1] [64:ff9b::169.254.169.254] [64:ff9b::a9fe:a9fe]
            [64:ff9b:1::a00:1] [64:ff9b:1:ffff::1] [2002:7f00:1::] [2002:a9fe:a9fe::1] [2002:c0a8:1::1]
            [2001::1] [2001:0:7f00:1::] [2001:2::1] [2001:10::1] [2001:20::1] [2001:db8::1]
            [2620:4f:8000::1] [3fff::1]",
        ),
    ];
}
