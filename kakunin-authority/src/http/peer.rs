//! Where a request came from, and what a proxy that is trusted says of it.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use axum::http::{HeaderMap, HeaderName, header};

/// Where a request came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    socket: SocketAddr,
    client: Client,
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    /// Whoever is at the other end: no proxy of ours.
    Itself,
    /// Whom a trusted proxy asks for.
    Told(IpAddr),
    /// Somebody: the trusted proxy here, the last one known, does not tell for whom it asks.
    Untold(IpAddr),
}

/// What limits by address are counted by: one address, or a network that one customer may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    address: IpAddr,
    bits: u32,
}

impl Origin {
    /// The address, or the 64 bits of a network of version six.
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            address @ IpAddr::V6(_) => Self { address, bits: 64 }.within(64),
            address => Self { address, bits: 32 },
        }
    }

    /// This one and the larger networks around it that one customer may have as well, each with how many times as much
    /// it may take: whoever has a /48 has 65,536 of /64.
    pub(crate) fn networks(self) -> impl Iterator<Item = (Self, u32)> {
        let around: &[_] = match self.address {
            IpAddr::V4(_) => &[(32, 1)],
            IpAddr::V6(_) => &[(64, 1), (56, 2), (48, 4)],
        };
        around.iter().map(move |&(bits, times)| (self.within(bits), times))
    }

    /// The network of so many bits that it is in.
    fn within(self, bits: u32) -> Self {
        match self.address {
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
                Self { address: IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask)), bits }
            }
            IpAddr::V4(_) => self,
        }
    }
}

impl Peer {
    pub(crate) fn new(socket: SocketAddr, headers: &HeaderMap, proxies: &Proxies) -> Self {
        Self { socket, client: proxies.client(socket.ip(), headers) }
    }

    /// From which address it came, by the word of our proxies where there are some in between. A proxy of ours is nobody's
    /// address: whoever could make it say nothing would be let in as the proxy.
    pub(crate) fn client(&self) -> Option<IpAddr> {
        match self.client {
            Client::Itself => Some(self.socket.ip().to_canonical()),
            Client::Told(client) => Some(client),
            Client::Untold(_) => None,
        }
    }

    /// What its limits are counted by. This machine itself has none, whoever is here can do worse; but not a proxy on it,
    /// behind which anybody may be.
    pub(crate) fn origin(&self) -> Option<Origin> {
        match self.client {
            Client::Itself => {
                Some(self.socket.ip().to_canonical()).filter(|ip| !ip.is_loopback()).map(Origin::of)
            }
            Client::Told(address) | Client::Untold(address) => Some(Origin::of(address)),
        }
    }
}

/// As it stands in the logs: an address of ours or one that a proxy vouches for, with the proxy's.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.client {
            Client::Itself => write!(f, "{}", self.socket),
            Client::Told(client) => write!(f, "{client} by {}", self.socket),
            Client::Untold(_) => write!(f, "unknown by {}", self.socket),
        }
    }
}

/// Proxies whose word about clients is taken.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    /// Where they are. Nobody else's header is read.
    pub networks: Vec<Network>,
    /// The one header that they write. The other one may be a client's own and is not read.
    pub header: ProxyHeader,
}

/// A header that says whom a proxy asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxyHeader {
    /// `X-Forwarded-For: CLIENT, PROXY`.
    #[default]
    XForwardedFor,
    /// `Forwarded: for=CLIENT, for=PROXY` (RFC 7239).
    Forwarded,
}

impl Proxies {
    pub(crate) fn trust(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(address))
    }

    /// The last address before our proxies, read from the right: further left stands what clients wrote themselves, which
    /// need not even be text.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> Client {
        if !self.trust(peer) {
            return Client::Itself;
        }
        let name = match self.header {
            ProxyHeader::XForwardedFor => HeaderName::from_static("x-forwarded-for"),
            ProxyHeader::Forwarded => header::FORWARDED,
        };
        let values = headers.get_all(name).iter().rev();
        let hops = values.flat_map(|value| value.as_bytes().rsplit(|octet| *octet == b','));
        let mut client = Client::Untold(peer.to_canonical());
        for hop in hops {
            let address = str::from_utf8(hop).ok().and_then(|hop| match self.header {
                ProxyHeader::XForwardedFor => address(hop.trim()),
                ProxyHeader::Forwarded => for_of(hop).and_then(address),
            });
            client = match (address, client) {
                (Some(address), _) if self.trust(address) => Client::Told(address),
                (Some(address), _) => return Client::Told(address),
                // A hop without an address: one of ours was asked by somebody of whom it tells nothing.
                (None, Client::Told(proxy)) => return Client::Untold(proxy),
                (None, untold) => return untold,
            };
        }
        client
    }
}

/// The node of `for=` in one element. None where a quoted text may have been cut at its commas and semicolons: a proxy
/// writes in `host` what a client says.
fn for_of(element: &str) -> Option<&str> {
    let mut node = None;
    for pair in element.split(';').filter(|pair| !pair.trim().is_empty()) {
        let (name, value) = pair.split_once('=')?;
        let value = value.trim();
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
        if value.contains(['"', '\\']) {
            return None;
        }
        if name.trim().eq_ignore_ascii_case("for") && node.replace(value).is_some() {
            return None;
        }
    }
    node
}

/// An address, with or without brackets and port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = || text.parse::<IpAddr>().ok();
    let ported = || text.parse::<SocketAddr>().ok().map(|at| at.ip());
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    bare().or_else(ported).or_else(bracketed).map(|ip| ip.to_canonical())
}

/// A network, as `10.0.0.0/8`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    /// The addresses whose first `bits` are those of `address`.
    pub(crate) const fn new(address: IpAddr, bits: u32) -> Self {
        Self { address, bits }
    }

    /// Whether every address of `other` is in it.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        self.bits <= other.bits && self.contains(other.address)
    }

    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(other)) => {
                same(u128::from(ours.to_bits()) << 96, u128::from(other.to_bits()) << 96, self.bits)
            }
            (IpAddr::V6(ours), IpAddr::V6(other)) => same(ours.to_bits(), other.to_bits(), self.bits),
            _ => false,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

/// Whether the first `bits` are the same.
fn same(left: u128, right: u128, bits: u32) -> bool {
    (left ^ right).checked_shr(128 - bits).unwrap_or(0) == 0
}

/// A text that is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a network is an address, `/` and how many bits count, such as 10.0.0.0/8, with no bits set after those"
)]
pub struct NetworkError;

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(one, bits)| (one, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| NetworkError)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), |bits| bits.parse::<u32>().map_err(|_| NetworkError))?;
        let whole = match address {
            IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
            IpAddr::V6(address) => address.to_bits(),
        };
        // `10.0.0.1/8` is a slip of the pen, and nobody knows which half was meant.
        let rest = whole.checked_shl(bits).unwrap_or(0);
        if bits > most || rest != 0 || address.to_canonical() != address {
            return Err(NetworkError);
        }
        Ok(Self { address, bits })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whom it is asked for, `-` in front of the last proxy known where that is not told.
    fn client(peer: &str, header: ProxyHeader, values: &[&[u8]]) -> Option<String> {
        let networks = ["10.0.0.0/8", "192.0.2.1", "2001:db8:1::/48"].map(|text| text.parse().unwrap());
        let proxies = Proxies { networks: networks.into(), header };
        let mut headers = HeaderMap::new();
        for value in values {
            let name = match header {
                ProxyHeader::XForwardedFor => HeaderName::from_static("x-forwarded-for"),
                ProxyHeader::Forwarded => header::FORWARDED,
            };
            headers.append(name, axum::http::HeaderValue::from_bytes(value).unwrap());
        }
        // What the proxies here do not write, a client did.
        headers.insert(if header == ProxyHeader::Forwarded { "x-forwarded-for" } else { "forwarded" }, {
            axum::http::HeaderValue::from_static("for=203.0.113.66")
        });
        match proxies.client(peer.parse().unwrap(), &headers) {
            Client::Itself => None,
            Client::Told(client) => Some(client.to_string()),
            Client::Untold(proxy) => Some(format!("-{proxy}")),
        }
    }

    #[test]
    fn only_the_proxies_own_word_about_a_client_is_taken() {
        let octets =
            |values: &[&'static str]| values.iter().map(|value| value.as_bytes()).collect::<Vec<_>>();
        let xff =
            |peer: &str, values: &[&'static str]| client(peer, ProxyHeader::XForwardedFor, &octets(values));
        let said = |text: &str| Some(text.to_owned());
        // A stranger says what he likes.
        assert_eq!(xff("203.0.113.5", &["198.51.100.1"]), None);
        assert_eq!(xff("192.0.2.2", &["198.51.100.1"]), None);
        // The rightmost one that is no proxy of ours, over several lines.
        assert_eq!(xff("10.1.2.3", &["1.1.1.1, 198.51.100.1"]), said("198.51.100.1"));
        assert_eq!(xff("10.1.2.3", &["1.1.1.1, 198.51.100.1,10.9.9.9", "192.0.2.1"]), said("198.51.100.1"));
        assert_eq!(xff("2001:db8:1::7", &["198.51.100.1:4711"]), said("198.51.100.1"));
        assert_eq!(xff("::ffff:10.1.2.3", &["[2001:db8:2::1]:80"]), said("2001:db8:2::1"));
        assert_eq!(xff("10.1.2.3", &["::ffff:198.51.100.1"]), said("198.51.100.1"));
        // One of ours that asks for itself.
        assert_eq!(xff("10.1.2.3", &["10.4.4.4"]), said("10.4.4.4"));
        // A hop that is no address ends what is known, and what is not known is not the proxy.
        assert_eq!(xff("10.1.2.3", &["198.51.100.1, unknown, 10.4.4.4"]), said("-10.4.4.4"));
        assert_eq!(xff("10.1.2.3", &["198.51.100.1, unknown"]), said("-10.1.2.3"));
        assert_eq!(xff("10.1.2.3", &["198.51.100.1,"]), said("-10.1.2.3"));
        assert_eq!(xff("10.1.2.3", &[]), said("-10.1.2.3"));
        // What a client wrote and is no text hides nothing that stands to its right.
        let raw = |values: &[&[u8]]| client("10.1.2.3", ProxyHeader::XForwardedFor, values);
        assert_eq!(raw(&[b"\xff, 203.0.113.5"]), said("203.0.113.5"));
        assert_eq!(raw(&[b"\xff", b"203.0.113.5, 10.4.4.4"]), said("203.0.113.5"));
        assert_eq!(raw(&[b"203.0.113.5, \xff"]), said("-10.1.2.3"));

        let forwarded = |values: &[&'static str]| client("10.1.2.3", ProxyHeader::Forwarded, &octets(values));
        assert_eq!(
            forwarded(&["for=1.1.1.1, For=\"[2001:db8:2::1]:4711\";proto=https"]),
            said("2001:db8:2::1")
        );
        assert_eq!(forwarded(&["for=198.51.100.1;by=10.0.0.1, for=10.2.2.2"]), said("198.51.100.1"));
        for untold in
            ["for=198.51.100.1, for=_hidden", "for=unknown", "proto=https", "for=10.2.2.2;for=10.3.3.3"]
        {
            assert_eq!(forwarded(&[untold]), said("-10.1.2.3"), "{untold}");
        }
        assert_eq!(forwarded(&["for=\"x, for=198.51.100.1;host=\"a.example\";"]), said("198.51.100.1"));
        // The `host` of the proxy's own element is a client's word, and no address is read out of it.
        for cut in [
            r#"for=198.51.100.1;host="a,for=10.9.9.9""#,
            r#"for=198.51.100.1;host="a,for=10.9.9.9;b=\"""#,
            r#"host="a;for=10.9.9.9;b";for=198.51.100.1"#,
        ] {
            assert_eq!(forwarded(&[cut]), said("-10.1.2.3"), "{cut}");
        }
    }

    #[test]
    fn a_network_is_written_in_one_way() {
        for good in ["0.0.0.0/0", "10.0.0.0/8", "192.0.2.1/32", "192.0.2.1", "::/0", "2001:db8::/32", "::1"] {
            assert!(good.parse::<Network>().is_ok(), "{good}");
        }
        for wrong in
            ["", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/", "10/8", "::1/64", "::ffff:10.0.0.0/104", "x"]
        {
            assert_eq!(wrong.parse::<Network>(), Err(NetworkError), "{wrong}");
        }
        let all: Network = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains("203.0.113.1".parse().unwrap()));
        assert!(!all.contains("2001:db8::1".parse().unwrap()));
    }

    #[test]
    fn a_customer_with_a_network_of_version_six_is_one_origin() {
        let origin = |text: &str| Origin::of(text.parse().unwrap());
        assert_eq!(origin("2001:db8:1:2::1"), origin("2001:db8:1:2:ffff::9"));
        assert_ne!(origin("2001:db8:1:2::1"), origin("2001:db8:1:3::1"));
        assert_ne!(origin("203.0.113.1"), origin("203.0.113.2"));
        assert_eq!(origin("::ffff:203.0.113.1"), origin("203.0.113.1"));
        let networks = |text: &str| origin(text).networks().collect::<Vec<_>>();
        let (one, near, far) =
            (networks("2001:db8:1:2::1"), networks("2001:db8:1:3::1"), networks("2001:db8:1:ff02::1"));
        assert!(one[0] != near[0] && one[1] == near[1] && one[1] != far[1] && one[2] == far[2]);
        // The first network of many is none of the larger ones.
        let first = networks("2001:db8:1::1");
        assert!(first[0].0 != first[1].0 && first[1].0 != first[2].0);
        assert_eq!(networks("203.0.113.1"), [(origin("203.0.113.1"), 1)]);
        let from = |socket: &str| Peer { socket: socket.parse().unwrap(), client: Client::Itself }.origin();
        assert_eq!((from("127.0.0.1:1"), from("[::1]:1"), from("[::ffff:127.0.0.1]:1")), (None, None, None));
        assert!(from("203.0.113.1:1").is_some());
        let proxies = Proxies { networks: vec!["127.0.0.1".parse().unwrap()], ..Proxies::default() };
        let behind = Peer::new("127.0.0.1:1".parse().unwrap(), &HeaderMap::new(), &proxies);
        assert_eq!((behind.client(), behind.origin()), (None, Some(origin("127.0.0.1"))));
    }
}
