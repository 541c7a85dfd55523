//! What a receiver's name stands for: looked up once, judged whole, and connected to as it was judged.
//!
//! A name that is looked up twice can be one address for the judge and another for the connection. Here the only
//! look-up is the connection's own, and it hands over nothing that was not admitted. One address inside among others
//! is enough to refuse them all: an honest name has none.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::reach::Reach;
use super::target::INSIDE;

/// The addresses of a host, some time from now.
pub(crate) type LookUp = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Whoever knows names.
pub(crate) trait Names: Send + Sync {
    fn look_up(&self, host: String) -> LookUp;
}

/// The system's own resolver.
pub(crate) struct SystemNames;

impl Names for SystemNames {
    fn look_up(&self, host: String) -> LookUp {
        Box::pin(
            async move { Ok(tokio::net::lookup_host((host, 0)).await?.map(|found| found.ip()).collect()) },
        )
    }
}

/// Hands over addresses that may be reached, or none.
pub(crate) struct Judged {
    names: Arc<dyn Names>,
    reach: Arc<Reach>,
}

impl Judged {
    pub(crate) fn new(names: Arc<dyn Names>, reach: Reach) -> Self {
        Self { names, reach: Arc::new(reach) }
    }
}

impl Resolve for Judged {
    fn resolve(&self, name: Name) -> Resolving {
        let (found, reach) = (self.names.look_up(name.as_str().to_owned()), Arc::clone(&self.reach));
        Box::pin(async move {
            let found = found.await?;
            if found.is_empty() || !found.iter().all(|address| reach.admits(*address)) {
                return Err(Inside.into());
            }
            // Port 0 stands for the URL's own.
            let addresses: Addrs = Box::new(found.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(addresses)
        })
    }
}

/// The name stands for an address that may not be reached.
#[derive(Debug)]
pub(crate) struct Inside;

impl fmt::Display for Inside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(INSIDE)
    }
}

impl Error for Inside {}
