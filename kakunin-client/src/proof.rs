//! Asking in the agent's own name: a request that carries the proof of its key (RFC 9421, WIRE 6).

use std::time::Duration;

use kakunin_core::certificate::AgentPath;
use kakunin_core::guard::{Clock, SystemClock};
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
pub(crate) struct Voice(Prover);

impl Voice {
    /// Speaks for the agent on `path`, with its key.
    pub(crate) fn new(signer: Arc<Signer>, path: &AgentPath) -> Result<Self, Trouble> {
        let chain = [path.issuing().decoded().der()];
        let prover = Prover::new(signer, path.agent().decoded().der(), &chain);
        prover.map(Self).map_err(|error| Trouble::now("possession.key", error.to_string()))
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
            let proof = self.0.prove(&target, content, created, nonce);
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
            let date = response.headers().get("date").and_then(|date| date.to_str().ok()).and_then(http_date);
            let wait = response.headers().get(RETRY_AFTER).and_then(|wait| wait.to_str().ok()?.parse().ok());
            let mut trouble = refusal(response).await;
            trouble.wait = wait.map(Duration::from_secs);
            match date.filter(|_| trouble.code == "possession.created" && !last) {
                // Its clock is what counts there; nothing here is decided by it.
                Some(date) => offset = date - SystemClock.wall().to_seconds().seconds(),
                None => return Err(trouble),
            }
        }
        Err(Trouble::now("possession.created", "the authority's clock is too far away"))
    }
}

/// Seconds since 1970 of a date as HTTP writes it (RFC 9110 section 5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(text: &str) -> Option<i64> {
    let rest = text.split_once(", ")?.1.strip_suffix(" GMT")?;
    let mut parts = rest.split(' ');
    let (day, month, year, time) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    let text = format!("{year}-{month:02}-{day}T{time}Z");
    kakunin_core::time::UnixTime::parse_rfc3339(&text).ok().map(kakunin_core::time::UnixTime::seconds)
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/// Longer than the authority waits for its disk.
const PATIENCE: Duration = Duration::from_secs(35);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_http_are_read() {
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        for wrong in
            ["", "06 Nov 1994", "Sun, 06 Nov 1994 08:49:37 CET", "Sun, 06 Abc 1994 08:49:37 GMT", "x, y"]
        {
            assert_eq!(http_date(wrong), None, "{wrong}");
        }
    }
}
