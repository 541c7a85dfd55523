//! Refusals as a client reads them.
//!
//! The body is `{"error": text, "code": code, "request_id": id}`, and after a sweep how many agents are `left`. Clients of the hosted service read `error`; `code`
//! is stable and `request_id` is the one in the log and in the header. A refusal travels as an extension of its
//! response until the outermost layer, which knows the id, writes the body.

use axum::extract::rejection::QueryRejection;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::room::{full, is_full};
use super::sequencer::NoAnswer;
use crate::authority::AuthorityError;
use crate::home::HomeError;
use crate::issue::IssueError;
use crate::store::StoreError;

/// An answer that is no.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) text: String,
    /// Whole seconds after which trying again makes sense.
    pub(crate) retry_after: Option<u64>,
    /// How to prove who one is.
    pub(crate) challenge: Option<HeaderValue>,
    /// How many agents still meet the conditions of a sweep.
    pub(crate) left: Option<usize>,
    /// What really happened, for the log alone.
    pub(crate) cause: Option<String>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: &'static str, text: impl Into<String>) -> Self {
        let (retry_after, challenge, left, cause) = (None, None, None, None);
        Self { status, code, text: text.into(), retry_after, challenge, left, cause }
    }

    /// A request that breaks a rule of its form.
    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "request.invalid", text)
    }

    /// Nothing there, or nothing that this caller may know of: the two are one answer.
    pub(crate) fn missing() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "there is nothing here by that name")
    }

    /// A fault of this program or its machine; what it was stands in the log and not in the answer.
    pub(crate) fn internal() -> Self {
        let text = "the authority failed; the log tells more under this request id";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", text)
    }

    /// Not now.
    pub(crate) fn unavailable(code: &'static str, text: impl Into<String>) -> Self {
        Self { retry_after: Some(1), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, code, text) }
    }

    /// The same, with how many a sweep has left.
    pub(crate) fn leaving(self, left: usize) -> Self {
        Self { left: Some(left), ..self }
    }

    /// The body, as it is sent.
    pub(crate) fn body(&self, request_id: &str) -> String {
        let mut body = json!({ "error": self.text, "code": self.code, "request_id": request_id });
        if let (Some(left), Some(members)) = (self.left, body.as_object_mut()) {
            members.insert("left".into(), left.into());
        }
        body.to_string()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(challenge) = &self.challenge {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge.clone());
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl From<QueryRejection> for Refusal {
    fn from(error: QueryRejection) -> Self {
        Self::invalid(error.body_text())
    }
}

impl From<NoAnswer> for Refusal {
    fn from(none: NoAnswer) -> Self {
        match none {
            NoAnswer::Full => Self::unavailable("busy", "too many orders are waiting; try again"),
            NoAnswer::Ending => Self::unavailable("ending", "the authority is being stopped; try again"),
            NoAnswer::Failed => Self::internal(),
            NoAnswer::NoRoom => full(),
        }
    }
}

impl From<AuthorityError> for Refusal {
    fn from(error: AuthorityError) -> Self {
        let conflict = |code| Self::new(StatusCode::CONFLICT, code, error.to_string());
        let unprocessable = |code| Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, error.to_string());
        match &error {
            AuthorityError::UnknownAgent { .. }
            | AuthorityError::UnknownTenant { .. }
            | AuthorityError::UnknownHook { .. }
            | AuthorityError::Store(StoreError::UnknownHook { .. }) => Self::missing(),
            AuthorityError::TenantTaken { .. } => conflict("tenant.taken"),
            AuthorityError::RootClosed { tenant, .. } => {
                let cause = Some(error.to_string());
                let text = format!(
                    "the root's key does not open for this service, and it has to sign what a tenant begins with; stop the service and run `kakunin tenant create {tenant}` where that key is"
                );
                Self { cause, ..Self::new(StatusCode::CONFLICT, "tenant.root", text) }
            }
            AuthorityError::Store(StoreError::Overtaken) => conflict("risk.overtaken"),
            AuthorityError::SweepExpected { found, .. } => conflict("sweep.expected").leaving(*found),
            AuthorityError::TooManyHooks { .. } => unprocessable("webhook.too_many"),
            AuthorityError::Store(StoreError::NameTaken { .. }) => conflict("agent.name_taken"),
            AuthorityError::Store(
                StoreError::UnknownChain { .. }
                | StoreError::UnknownEvent { .. }
                | StoreError::UnknownReceipt { .. },
            ) => Self::missing(),
            AuthorityError::Store(StoreError::ChainClosed { .. }) => conflict("chain.closed"),
            AuthorityError::Standing(_) => conflict("agent.standing"),
            AuthorityError::Store(StoreError::TokenUsed { .. })
            | AuthorityError::Issue(IssueError::Store(StoreError::TokenUsed { .. })) => {
                conflict("token.used")
            }
            AuthorityError::Store(StoreError::UnknownToken { .. })
            | AuthorityError::Issue(IssueError::Store(StoreError::UnknownToken { .. })) => {
                conflict("token.ended")
            }
            AuthorityError::AnyAction | AuthorityError::Scope(_) => unprocessable("scope.invalid"),
            AuthorityError::Request(_) => unprocessable("csr.invalid"),
            AuthorityError::Days { .. } | AuthorityError::Hours { .. } | AuthorityError::Minutes { .. } => {
                Self::invalid(error.to_string())
            }
            AuthorityError::RenewedEnough { left, .. } => Self {
                retry_after: Some(*left),
                ..Self::new(StatusCode::TOO_MANY_REQUESTS, "renewal.enough", error.to_string())
            },
            AuthorityError::FeedReplaced { left } => Self {
                retry_after: Some(*left),
                ..Self::new(StatusCode::TOO_MANY_REQUESTS, "feed.replaced", error.to_string())
            },
            AuthorityError::ClockBehind { now, last } => Self::unavailable(
                "clock.untrusted",
                format!(
                    "the authority's clock says {now}, and its last list was signed at {last}, so it signs no certificate and no list; who was suspended or revoked is told by the feed, and the lists follow; set the clock, or, if it was ahead when it signed, wait until it says that time"
                ),
            ),
            AuthorityError::Store(StoreError::Unreachable { .. }) => Self {
                cause: Some(error.to_string()),
                ..Self::unavailable(
                    "store.unreachable",
                    "the authority's database does not answer; whether the order was carried out shows when it does",
                )
            },
            AuthorityError::Store(StoreError::Fenced { .. }) => {
                Self::unavailable("authority.standby", "another node leads this authority; ask that one")
            }
            // Why it is frozen is told by `GET /v1/freeze`, and not to whoever asks for a certificate.
            AuthorityError::Store(StoreError::Frozen { at, .. })
            | AuthorityError::Issue(IssueError::Store(StoreError::Frozen { at, .. })) => Self {
                retry_after: Some(FROZEN),
                ..Self::unavailable(
                    "issuance.frozen",
                    format!(
                        "issuing is frozen since {at}: no certificate is signed until an owner thaws it; certificates of before go on"
                    ),
                )
            },
            AuthorityError::IssuerEnded { .. } | AuthorityError::NoIssuer => Self::unavailable(
                "issuer.ended",
                "no issuing authority is good any more; run `kakunin rotate`",
            ),
            _ if is_full(&error) => Self { cause: Some(error.to_string()), ..full() },
            // What is wrong with files, keys and disks is for the log, not for a stranger.
            _ => Self { cause: Some(error.to_string()), ..Self::internal() },
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        AuthorityError::from(error).into()
    }
}

impl From<HomeError> for Refusal {
    fn from(error: HomeError) -> Self {
        AuthorityError::from(error).into()
    }
}

/// Somebody has to look at what was issued first: asking again every second would only be noise.
const FROZEN: u64 = 60;
