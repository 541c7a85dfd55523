//! What an agent asks of others: each request carries the proof that it is this agent's.
//!
//! A middleware for `reqwest-middleware`. It takes a request as it is about to be sent, has the agent's guard sign it (RFC 9421) and
//! hands it on; a request that cannot be signed is not sent. What the call follows from goes along and is signed too: a
//! [`ChainLink`] among the request's extensions, or else the [place](kakunin_core::guard::current_place) in a chain that the
//! code runs in.

use async_trait::async_trait;
use http::Extensions;
use kakunin_core::chain::{CHAIN_HEADER, ChainLink};
use kakunin_core::guard::{Guard, NotProven, current_place};
use kakunin_core::possession::{Proof, Target};
use kakunin_core::scope::NAMES_FIELD;
use reqwest::header::{HOST, HeaderName, HeaderValue};
use reqwest::{Request, Response, Url};
use reqwest_middleware::{Error, Middleware, Next, Result};

pub use crate::asking::{Asking, AskingError};
use crate::transport::parts;

/// Signs requests in one agent's name.
///
/// ```no_run
/// use kakunin_client::middleware::AgentAuth;
/// use kakunin_core::guard::{Guard, GuardOptions};
/// use kakunin_core::home::AgentHome;
/// use reqwest_middleware::ClientBuilder;
///
/// # async fn buy() -> Result<(), Box<dyn std::error::Error>> {
/// let guard = Guard::open(AgentHome::open("agents/buyer".as_ref(), None)?, GuardOptions::default())?;
/// // A proof is for one address: what follows a redirect would have none that holds there.
/// let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
/// let client = ClientBuilder::new(client).with(AgentAuth::of(guard)).build();
/// client.post("https://shop.example.com/orders").body(r#"{"amount":"12.50"}"#).send().await?;
/// # Ok(())
/// # }
/// ```
///
/// [`AgentAuth::asking`] also proves the names that requests ask for. Each proof counts once, so whatever sends a request again has to stand before this one and not behind it.
#[derive(Clone, Debug)]
pub struct AgentAuth {
    guard: Guard,
    asking: Option<Asking>,
}

impl AgentAuth {
    /// Signs as the agent of `guard`, by its present papers.
    #[must_use]
    pub const fn of(guard: Guard) -> Self {
        Self { guard, asking: None }
    }

    /// The same for requests that ask for something of which the agent's certificate has a detached list of names: each shows where
    /// its names stand there (`kakunin-names`), so the service need not have the list.
    ///
    /// # Errors
    /// [`AskingError`]: nothing in any request can be found that way.
    pub fn asking(self, asking: Asking) -> std::result::Result<Self, AskingError> {
        Ok(Self { asking: Some(asking.checked()?), ..self })
    }

    /// Puts the proof among the fields of `request`, and that of its names.
    ///
    /// # Errors
    /// [`NotSigned`]: the request must not be sent.
    pub async fn sign(
        &self,
        request: &mut Request,
        link: Option<&ChainLink>,
    ) -> std::result::Result<(), NotSigned> {
        let content = match request.body() {
            None => Vec::new(),
            Some(body) => body.as_bytes().ok_or(NotSigned::Streaming)?.to_vec(),
        };
        let names = self.asking.is_some().then_some(NAMES_FIELD);
        let taken = FIELDS.into_iter().chain(names).find(|field| request.headers().contains_key(*field));
        if let Some(field) = taken {
            return Err(NotSigned::Field { field });
        }
        let (method, address) = (request.method().as_str().to_owned(), Address::of(request)?);
        let (guard, link) = (self.guard.clone(), link.cloned());
        let asked = self.asking.as_ref().map(|asking| asking.names_of(request, &content));
        // A key in a store of keys, the first look of a guard, and the first hashes of a list take their time.
        let proof = tokio::task::spawn_blocking(move || {
            let Address { authority, path, query } = &address;
            let target = Target { method: &method, authority, path, query: query.as_deref() };
            let names = match &asked {
                Some(asked) => {
                    let (action, counterparties, resources) = asked.parts();
                    guard.prove_names(action, &counterparties, &resources)?
                }
                None => None,
            };
            Ok::<_, NotProven>((guard.prove(&target, &content, link.as_ref())?, names))
        });
        let (proof, names): (Proof, Option<String>) = proof.await.map_err(|_| NotSigned::Ended)??;
        for (name, value) in proof.fields().chain(names.as_deref().map(|names| (NAMES_FIELD, names))) {
            let name = HeaderName::from_bytes(name.as_bytes());
            let value = HeaderValue::from_str(value);
            let (Ok(name), Ok(value)) = (name, value) else { return Err(NotSigned::Ended) };
            request.headers_mut().insert(name, value);
        }
        Ok(())
    }
}

#[async_trait]
impl Middleware for AgentAuth {
    async fn handle(
        &self,
        mut request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> Result<Response> {
        let link = match extensions.get::<ChainLink>() {
            Some(link) => Some(link.clone()),
            None => current_place().and_then(|place| place.link()),
        };
        self.sign(&mut request, link.as_ref()).await.map_err(Error::middleware)?;
        next.run(request, extensions).await
    }
}

/// Where a request goes, as it will stand in it.
struct Address {
    authority: String,
    path: String,
    query: Option<String>,
}

impl Address {
    fn of(request: &Request) -> std::result::Result<Self, NotSigned> {
        let url: &Url = request.url();
        let (authority, path, query) = parts(url);
        let mut hosts = request.headers().get_all(HOST).iter();
        let authority = match (hosts.next(), hosts.next()) {
            (None, _) => authority,
            // Whoever says another host means it: that is what the other side reads.
            (Some(host), None) => host.to_str().unwrap_or_default().to_owned(),
            (Some(_), Some(_)) => return Err(NotSigned::Field { field: "host" }),
        };
        Ok(Self { authority, path, query })
    }
}

/// A request that was not sent, because nothing would prove whose it is.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotSigned {
    /// A body that is not known before it is sent.
    #[error(
        "the body is a stream, and what is signed has to be known before; give it as bytes or text, not as `Body::wrap_stream`"
    )]
    Streaming,
    /// A field of the proof that is there already.
    #[error(
        "the request has the field `{field}` already, or has it twice; leave it out, a link goes into the extensions (`with_extension(link)`)"
    )]
    Field {
        /// Its name.
        field: &'static str,
    },
    /// The guard gives no proof.
    #[error(transparent)]
    NotProven(#[from] NotProven),
    /// The program ends, or the proof could not be written into the request.
    #[error("the proof did not come about")]
    Ended,
}

impl NotSigned {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Streaming => "possession.content",
            Self::Field { .. } => "possession.malformed",
            Self::NotProven(error) => error.code(),
            Self::Ended => "internal",
        }
    }
}

/// What a proof brings along.
const FIELDS: [&str; 5] =
    ["content-digest", "kakunin-certificate-chain", "signature-input", "signature", CHAIN_HEADER];
