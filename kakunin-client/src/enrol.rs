//! The first papers of an agent: a key that is made here and stays here, and a token for which its certificate is issued.

use std::path::Path;
use std::sync::Arc;

use der::pem::{LineEnding, encode_string};
use kakunin_core::certificate::request_pem;
use kakunin_core::digest::Digest;
use kakunin_core::guard::{Clock, SystemClock};
use kakunin_core::home::{AgentHome, HomeError};
use kakunin_core::id::AgentId;
use kakunin_core::key::{Algorithm, Signer, SoftKey};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{RequestBuilder, StatusCode};
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::connect::{ConnectError, ConnectOptions};
use crate::files::{self, Readers};
use crate::install;
use crate::papers::{Expected, MAX_PAPERS, NewPapers};
use crate::place::{self, LISTS, Place, PlaceError};
use crate::settings;
use crate::status::Trouble;
use crate::transport::{self, Address, HEAD, Transport, answer, refusal};
use crate::wait::Backoff;

use Ask::{Again, Never};

/// What lets an agent's first key be certified: `kak_enrol_…` for once, which names the root, or an issuer's key. It is shown to
/// nobody, and wiped when it is dropped.
#[derive(Clone)]
pub struct Token(Zeroizing<String>);

impl Token {
    /// Reads a token.
    ///
    /// # Errors
    /// [`ConnectError::Usage`] for what cannot be one.
    pub fn parse(text: &str) -> Result<Self, ConnectError> {
        let text = text.trim();
        let sound = text.starts_with("kak_")
            && text.len() <= MAX_TOKEN
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if sound {
            return Ok(Self(Zeroizing::new(text.to_owned())));
        }
        Err(ConnectError::Usage(
            "the token is none; it begins with kak_, as `kakunin agent token` shows it".into(),
        ))
    }

    /// As it is sent, and shown in no trace.
    fn header(&self) -> Result<HeaderValue, ConnectError> {
        let text = Zeroizing::new(format!("Bearer {}", *self.0));
        // INVARIANT: letters, digits and underscores were checked when it was read.
        let value = HeaderValue::from_str(&text);
        let mut value = value.map_err(|error| ConnectError::Usage(error.to_string()))?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// SHA-256 of the DER of the root that the token was issued under, if it says so.
    pub(crate) fn root(&self) -> Option<Digest> {
        let (_, root) = self.0.strip_prefix("kak_enrol_")?.rsplit_once('_')?;
        Digest::from_hex(root)
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Enrols into `dir`, asking the addresses in turn until `deadline`.
pub(crate) async fn enrol(
    options: &ConnectOptions,
    transport: &Transport,
    addresses: &[Address],
    dir: &Path,
    deadline: Instant,
) -> Result<Place, ConnectError> {
    let Some(token) = &options.token else {
        return Err(ConnectError::NoAgent { directory: dir.to_owned() });
    };
    let root = token.root().or(options.root).ok_or(ConnectError::RootUnknown)?;
    if options.root.is_some_and(|asked| asked != root) {
        return Err(ConnectError::OtherRoot { found: root });
    }
    files::make_folder(dir).map_err(PlaceError::from)?;
    let _lock = place::lock(dir).await?;
    let now = || SystemClock.wall().to_seconds();
    if Place::is_taken(dir) {
        // Another process was faster.
        return Ok(Place::open(dir, now())?);
    }
    // A token is good once: whatever could be wrong here is found before it is shown to anybody.
    let signer = prepare(dir, options)?;
    let csr = request_pem(&signer).map_err(|error| ConnectError::Usage(error.to_string()))?;
    let body = serde_json::json!({ "csr": csr }).to_string();
    let expected = Expected {
        key: signer.public(),
        root,
        issuer: options.issuer,
        agent: AgentId::parse(&options.agent),
        without_feed: options.without_feed,
    };
    let (mut backoff, mut turn) = (Backoff::default(), addresses.iter().cycle());
    let mut last = Trouble::now("transport.silent", "nothing answered");
    while let Some(address) = turn.next().filter(|_| Instant::now() < deadline) {
        let (request, _) = transport.post(address, &format!("/v1/agents/{}/enrol", options.agent));
        let request = request
            .header(AUTHORIZATION, token.header()?)
            .header(CONTENT_TYPE, "application/json")
            .body(body.clone());
        // Whoever says how long to wait means all of it: an answer that is late by then is none.
        let sent = tokio::time::timeout_at(deadline, send(request)).await;
        let sent =
            sent.unwrap_or_else(|_| Err((Trouble::now("transport.silent", "no answer in time"), Again)));
        let trouble = match sent.map(|bytes| NewPapers::judge(&bytes, &expected, now())) {
            Ok(Ok(papers)) => {
                install::first(dir, &papers)?;
                return Ok(Place::open(dir, now())?);
            }
            // The same question would have the same answer.
            Ok(Err(trouble)) if matches!(trouble.code.as_str(), "papers.refused" | "feed.none") => {
                return Err(ConnectError::Refused(trouble));
            }
            Err((trouble, Never)) => return Err(ConnectError::Refused(trouble)),
            Ok(Err(trouble)) | Err((trouble, Again)) => trouble,
        };
        last = trouble.about(address);
        let rest = tokio::time::sleep(backoff.next(last.wait));
        let _ = tokio::time::timeout_at(deadline, rest).await;
    }
    Err(ConnectError::Unreachable(last))
}

/// Whether the same question may have another answer.
enum Ask {
    Again,
    Never,
}

/// What the authority answers to one request.
async fn send(request: RequestBuilder) -> Result<Vec<u8>, (Trouble, Ask)> {
    let again = |trouble| (trouble, Again);
    let response = answer(request, HEAD).await.map_err(again)?;
    let status = response.status();
    if status.is_success() {
        return transport::body(response, MAX_PAPERS, HEAD).await.map_err(again);
    }
    // Nothing becomes better by asking again, unless it is busy.
    let is_final = status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS;
    Err((refusal(response).await, if is_final { Never } else { Again }))
}

/// Makes the directory ready for its first papers, and gives out the key that they are for.
fn prepare(dir: &Path, options: &ConnectOptions) -> Result<Arc<Signer>, PlaceError> {
    AgentHome::refuse_loose_directory(dir).map_err(HomeError::LooseState)?;
    let state = options.state.clone().unwrap_or_else(|| dir.join("state"));
    AgentHome::refuse_loose_state(&state).map_err(HomeError::LooseState)?;
    let signer = key_in(dir)?;
    // Settings that somebody wrote have to be understood, and the lists' place has to be one that a rename reaches.
    let settings = settings::changed(dir, &[("lists", LISTS.to_owned())])?;
    files::replace(&dir.join(settings::FILE), settings.as_bytes(), Readers::Everyone)?;
    AgentHome::open(dir, Some(&dir.join(LISTS)))?;
    Ok(signer)
}

/// The key in `dir`, made if there is none. One that is there was never certified here, and may be somebody's only copy.
fn key_in(dir: &Path) -> Result<Arc<Signer>, PlaceError> {
    let path = dir.join("key.pem");
    // What cannot be asked is not missing.
    if path.symlink_metadata().is_ok() {
        return Ok(Arc::new(Signer::soft(AgentHome::key_in(dir)?)));
    }
    let made = SoftKey::generate(Algorithm::P256);
    let (key, pkcs8) = made.map_err(|error| HomeError::Key { path: path.clone(), error })?;
    let pem = encode_string("PRIVATE KEY", LineEnding::LF, &pkcs8).map_err(|_| PlaceError::Encoding)?;
    files::replace(&path, Zeroizing::new(pem).as_bytes(), Readers::Owner)?;
    Ok(Arc::new(Signer::soft(key)))
}

const MAX_TOKEN: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_its_root_and_is_never_shown() {
        let root = Digest::of(b"root");
        let token = Token::parse(&format!(" kak_enrol_abc_secretsecret_{root}\n")).unwrap();
        assert_eq!(token.root(), Some(root));
        assert!(!format!("{token:?}").contains("secret"));
        assert_eq!(Token::parse("kak_live_abc_secret").unwrap().root(), None);
        for wrong in ["", "secret", "kak_live_a\r\nx: y", "kak_\u{e9}"] {
            assert!(Token::parse(wrong).is_err(), "{wrong}");
        }
    }
}
