//! Asking in the agent's own name: a request that carries the proof of its key (RFC 9421, WIRE 6).

use std::time::Duration;

use kakunin_core::certificate::AgentPath;
use kakunin_core::digest::Digest;
use kakunin_core::guard::{Clock, FeedSource, SystemClock};
use kakunin_core::key::Signer;
use kakunin_core::possession::{Prover, Target};
use reqwest::Response;
use reqwest::header::RETRY_AFTER;
use std::sync::Arc;

use crate::status::Trouble;
use crate::transport::{self, Address, Transport, answer, refusal};
use crate::wait::nonce;

/// Posts in one agent's name.
#[derive(Debug)]
pub(crate) struct Voice<'a> {
    prover: Prover,
    issuer: Digest,
    feed: &'a FeedSource,
}

impl<'a> Voice<'a> {
    /// Speaks for the agent on `path`, with its key.
    pub(crate) fn new(feed: &'a FeedSource, signer: Arc<Signer>, path: &AgentPath) -> Result<Self, Trouble> {
        let chain = [path.issuing().decoded().der()];
        let prover = Prover::new(signer, path.agent().decoded().der(), &chain);
        let prover = prover.map_err(|error| Trouble::now("possession.key", error.to_string()))?;
        Ok(Self { prover, issuer: path.issuing().decoded().key().key_id(), feed })
    }

    /// By how many seconds the authority's clock is ahead of this machine's, as its feed has signed it for this connection. What a
    /// header says counts for nothing: whoever answers in its place would get proofs that are good later.
    fn ahead(&self) -> Option<i64> {
        let there = self.feed.follower_of(&self.issuer)?.authority_time(SystemClock.boot_millis())?;
        Some(there.to_seconds().seconds() - SystemClock.wall().to_seconds().seconds())
    }

    /// Posts `content` to the route `path`; whatever is no success is trouble.
    pub(crate) async fn post(
        &self,
        transport: &Transport,
        address: &Address,
        path: &str,
        headers: &[(&str, &str)],
        content: &[u8],
    ) -> Result<Response, Trouble> {
        let mut offset = 0;
        for last in [false, true] {
            let (request, target) = transport.post(address, path);
            let (host, route, query) = transport::parts(&target);
            let target = Target { method: "POST", authority: &host, path: &route, query: query.as_deref() };
            let nonce = nonce().ok_or_else(|| Trouble::now("internal", "the system gives no randomness"))?;
            let created = SystemClock.wall().to_seconds().plus(offset);
            let proof = self.prover.prove(&target, content, None, created, nonce);
            let proof = proof.map_err(|error| Trouble::now("possession.key", error.to_string()))?;
            let mut request =
                proof.fields().fold(request, |request, (name, value)| request.header(name, value));
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let response = answer(request.body(content.to_vec()), PATIENCE).await?;
            if response.status().is_success() {
                return Ok(response);
            }
            let wait = response.headers().get(RETRY_AFTER).and_then(|wait| wait.to_str().ok()?.parse().ok());
            let mut trouble = refusal(response).await;
            trouble.wait = wait.map(Duration::from_secs);
            match self.ahead().filter(|_| trouble.code == "possession.created" && !last) {
                Some(ahead) => offset = ahead,
                None => return Err(trouble),
            }
        }
        Err(Trouble::now("possession.created", "the authority's clock is too far away"))
    }
}

/// Longer than the authority waits for its disk.
const PATIENCE: Duration = Duration::from_secs(35);
