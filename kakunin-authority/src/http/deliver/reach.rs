//! Which addresses a webhook may reach: those of the internet, and none inside.
//!
//! Whoever makes a webhook says where this machine connects to, from the inside of the network it stands in. So the
//! address itself is looked at, never its text: what a name stands for is looked up once, every address of it is
//! judged here, and the connection goes to one of exactly those. Whole ranges are refused in which a packet could end
//! up at a neighbour: also those that carry an IPv4 address in an IPv6 one, whatever that is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::http::peer::Network;

/// How far webhooks reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// This machine, also in plain HTTP: for development and tests.
    pub loopback: bool,
    /// Networks inside that are meant.
    pub networks: Vec<Network>,
}

impl Reach {
    /// Whether a webhook may connect to this address.
    #[must_use]
    pub fn admits(&self, address: IpAddr) -> bool {
        is_public(address)
            || self.networks.iter().any(|network| network.contains(address))
            || (self.loopback && address.is_loopback())
    }
}

/// Whether an address is one host's of the internet.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !INSIDE_4
            .iter()
            .any(|(start, bits)| Network::new(IpAddr::V4(*start), *bits).contains(IpAddr::V4(address))),
        // Of IPv6 only what is given out for the internet at all: everything else is refused by not being in it.
        IpAddr::V6(address) => {
            let within = |start: &Ipv6Addr, bits: u32| {
                Network::new(IpAddr::V6(*start), bits).contains(IpAddr::V6(address))
            };
            within(&GLOBAL_6, 3) && !INSIDE_6.iter().any(|(start, bits)| within(start, *bits))
        }
    }
}

/// IANA's special-purpose addresses of IPv4, and those beside them that end inside.
const INSIDE_4: [(Ipv4Addr, u32); 18] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),        // this network
    (Ipv4Addr::new(10, 0, 0, 0), 8),       // private
    (Ipv4Addr::new(100, 64, 0, 0), 10),    // shared by providers (CGNAT), metadata of one cloud
    (Ipv4Addr::new(127, 0, 0, 0), 8),      // this machine
    (Ipv4Addr::new(168, 63, 129, 16), 32), // a cloud's own services to its machines
    (Ipv4Addr::new(169, 254, 0, 0), 16),   // this link, metadata of clouds
    (Ipv4Addr::new(172, 16, 0, 0), 12),    // private
    (Ipv4Addr::new(192, 0, 0, 0), 24),     // protocols
    (Ipv4Addr::new(192, 0, 2, 0), 24),     // documentation
    (Ipv4Addr::new(192, 31, 196, 0), 24),  // AS112
    (Ipv4Addr::new(192, 52, 193, 0), 24),  // AMT
    (Ipv4Addr::new(192, 88, 99, 0), 24),   // relays of 6to4
    (Ipv4Addr::new(192, 168, 0, 0), 16),   // private
    (Ipv4Addr::new(192, 175, 48, 0), 24),  // AS112
    (Ipv4Addr::new(198, 18, 0, 0), 15),    // benchmarks
    (Ipv4Addr::new(198, 51, 100, 0), 24),  // documentation
    (Ipv4Addr::new(203, 0, 113, 0), 24),   // documentation
    (Ipv4Addr::new(224, 0, 0, 0), 3),      // multicast, reserved, broadcast
];

/// What is given out of IPv6. Outside of it are ::1, ::, mapped and compatible IPv4, NAT64 (64:ff9b::/96 and
/// 64:ff9b:1::/48), unique local, link-local and multicast addresses.
const GLOBAL_6: Ipv6Addr = Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0);

/// What is in it and not a host's of the internet.
const INSIDE_6: [(Ipv6Addr, u32); 5] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), // protocols: Teredo, benchmarks, ORCHID
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32), // documentation
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16), // 6to4
    (Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0), 48), // AS112
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20), // documentation
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exception_reaches_what_it_names_and_nothing_else() {
        let of = |text: &str| -> IpAddr { text.parse().unwrap() };
        let reach = Reach { loopback: false, networks: vec!["10.1.0.0/16".parse().unwrap()] };
        assert!(reach.admits(of("10.1.2.3")) && reach.admits(of("93.184.216.34")));
        for inside in ["10.2.0.1", "127.0.0.1", "::1", "::ffff:10.2.0.1"] {
            assert!(!reach.admits(of(inside)), "{inside}");
        }
        let reach = Reach { loopback: true, ..Reach::default() };
        assert!(reach.admits(of("127.0.0.1")) && reach.admits(of("::1")));
        for inside in ["10.1.2.3", "169.254.169.254", "::ffff:127.0.0.1", "0.0.0.0"] {
            assert!(!reach.admits(of(inside)), "{inside}");
        }
    }

    /// The last address of each refused range and the first one behind it: a range that is one bit too small or too
    /// large shows here.
    #[test]
    fn ranges_begin_and_end_where_they_do() {
        let reach = Reach::default();
        for (start, bits) in INSIDE_4 {
            let last = u32::from(start) | u32::MAX.checked_shr(bits).unwrap_or(0);
            assert!(!reach.admits(IpAddr::V4(start)) && !reach.admits(IpAddr::V4(last.into())), "{start}");
        }
        for (start, bits) in INSIDE_6 {
            let last = u128::from(start) | u128::MAX.checked_shr(bits).unwrap_or(0);
            assert!(!reach.admits(IpAddr::V6(start)) && !reach.admits(IpAddr::V6(last.into())), "{start}");
        }
        for outside in [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "168.63.129.15",
            "168.63.129.17",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.0.3.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "198.51.99.255",
            "203.0.114.0",
            "223.255.255.255",
            "2001:200::",
            "2001:db7:ffff::",
            "2001:db9::",
            "2003::",
            "2606:4700::1111",
            "3ffe:ffff::",
            "3fff:1000::",
        ] {
            assert!(reach.admits(outside.parse().unwrap()), "{outside}");
        }
    }
}
