//! A request that goes no further: the status, the code, and the problem that its caller reads.
//!
//! RFC 9457. What stands in it is for a caller, which may be a model that looks for the limit by trying: no limit and no number
//! of the scope is in it. What the operator can do is in [`Refused::cause`] and never sent.

use std::fmt;

use kakunin_core::guard::{Denied, JudgeError};
use kakunin_core::possession::PossessionError;
use kakunin_core::reason::DenialReason;
use kakunin_core::revocation::Standing;
use kakunin_core::snapshot::Refusal;
use serde_json::{Map, Value};

use crate::nonces::NonceError;

/// An answer that is no. The handler must not run.
#[derive(Clone, Debug)]
#[must_use = "who is refused must be told, and must not be served"]
pub struct Refused {
    kind: Kind,
    code: &'static str,
    detail: String,
    decision: Option<String>,
    retry_after: Option<u32>,
    cause: Option<String>,
    text: String,
}

/// What kind of no it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// No proof, or one that does not hold.
    Unproven,
    /// It is known who calls, and it may not do this.
    Denied,
    /// More octets than are read.
    TooLarge,
    /// Nobody can say at this moment.
    Unavailable,
    /// Nobody can say until the service is set up otherwise.
    Misconfigured,
}

impl Kind {
    const fn status(self) -> u16 {
        match self {
            Self::Unproven => 401,
            Self::Denied => 403,
            Self::TooLarge => 413,
            Self::Unavailable => 503,
            Self::Misconfigured => 500,
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Unproven => "the request does not prove who sends it",
            Self::Denied => "the agent may not do this",
            Self::TooLarge => "the body is larger than is read here",
            Self::Unavailable => "nobody can decide this at the moment",
            Self::Misconfigured => "this service is not set up to decide",
        }
    }
}

impl Refused {
    /// The HTTP status: 401, 403, 413, 500 or 503.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.kind.status()
    }

    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.code
    }

    /// What the caller is told.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The first eight digits of the decision's name, if it is in the journal.
    #[must_use]
    pub fn decision_id(&self) -> Option<&str> {
        self.decision.as_deref()
    }

    /// After how many seconds trying again makes sense.
    #[must_use]
    pub const fn retry_after(&self) -> Option<u32> {
        self.retry_after
    }

    /// What really happened, for the operator's log. It is never sent.
    #[must_use]
    pub fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// The body of the answer: a JSON object of `type`, `title`, `status`, `detail`, `code` and, if there is one, `decision`
    /// (RFC 9457).
    #[must_use]
    pub fn problem(&self) -> &str {
        &self.text
    }

    /// The fields of the answer, names in lower case.
    #[must_use]
    pub fn fields(&self) -> Vec<(&'static str, String)> {
        let mut fields =
            vec![("content-type", PROBLEM_JSON.to_owned()), ("cache-control", "no-store".to_owned())];
        if self.kind == Kind::Unproven {
            // RFC 9110 section 15.5.2 asks for a challenge; RFC 9421 section 5 says how to sign.
            fields.push(("www-authenticate", "Signature".to_owned()));
            fields.push(("accept-signature", ACCEPT_SIGNATURE.to_owned()));
        }
        if let Some(seconds) = self.retry_after {
            fields.push(("retry-after", seconds.to_string()));
        }
        fields
    }

    fn new(kind: Kind, code: &'static str, detail: impl Into<String>) -> Self {
        let refused = Self {
            kind,
            code,
            detail: detail.into(),
            decision: None,
            retry_after: None,
            cause: None,
            text: String::new(),
        };
        refused.written()
    }

    fn written(mut self) -> Self {
        let mut problem = Map::new();
        let mut put = |name: &str, value: Value| problem.insert(name.to_owned(), value);
        put("type", format!("urn:kakunin:problem:{}", self.code).into());
        put("title", self.kind.title().into());
        put("status", self.kind.status().into());
        put("detail", self.detail.as_str().into());
        put("code", self.code.into());
        if let Some(decision) = &self.decision {
            put("decision", decision.as_str().into());
        }
        self.text = Value::Object(problem).to_string();
        self
    }

    fn unavailable(code: &'static str, detail: impl Into<String>, wait: u32) -> Self {
        Self { retry_after: Some(wait), ..Self::new(Kind::Unavailable, code, detail) }
    }

    /// No proof at all.
    pub(crate) fn missing() -> Self {
        let what = "no proof came with the request; sign it with the key of the agent's certificate";
        Self::new(Kind::Unproven, MISSING, what)
    }

    /// A request that could be read in two ways, or a field that is not of its form. `what` is told to the caller.
    pub fn malformed(what: String) -> Self {
        Self::new(Kind::Unproven, "possession.malformed", what)
    }

    /// A certificate that proves nothing here.
    pub(crate) fn unproven(reason: DenialReason, what: String) -> Self {
        Self { cause: Some(what), ..Self::new(Kind::Unproven, reason.code(), reason.what()) }
    }

    /// More than `most` octets: for whoever reads bodies, who need not read on.
    pub fn too_large(most: usize) -> Self {
        Self::new(Kind::TooLarge, TOO_LARGE, format!("the body has more than {most} octets"))
    }

    /// Something failed that must not: what brings requests here, a store, a panic. `cause` is for the operator.
    pub fn internal(cause: impl Into<String>) -> Self {
        let reason = DenialReason::Internal;
        let refused = Self::unavailable(reason.code(), "the gateway failed; nothing was done", 1);
        Self { cause: Some(cause.into()), ..refused }
    }

    /// Nothing can be decided here until the service is set up otherwise: `detail` says how, for whoever builds it.
    pub fn misconfigured(detail: impl Into<String>) -> Self {
        Self::new(Kind::Misconfigured, MISCONFIGURED, detail)
    }

    /// The gateway's own agent may not act. What is wrong with its certificate is no business of its callers.
    pub(crate) fn unfit(refusal: &Refusal) -> Self {
        Self::own(refusal.reason(), refusal.what().to_owned())
    }

    fn own(reason: DenialReason, cause: String) -> Self {
        let (code, what) = match reason.group() {
            "agent" | "certificate" => (NOT_GOOD, "this gateway's own agent may not act"),
            _ => (reason.code(), reason.what()),
        };
        Self { cause: Some(cause), ..Self::unavailable(code, what, 1) }
    }

    pub(crate) fn judged(error: &JudgeError) -> Self {
        match error {
            JudgeError::Guard(refusal) => Self::unfit(refusal),
            JudgeError::Caller(refusal) if refusal.reason() == DenialReason::CertificateUntrusted => {
                Self::unproven(refusal.reason(), refusal.what().to_owned())
            }
            // Who it is was proven; what it may do cannot be decided.
            JudgeError::Caller(refusal) => {
                let reason = refusal.reason();
                let kind = match reason.group() {
                    "revocation" | "internal" => Kind::Unavailable,
                    _ => Kind::Denied,
                };
                Self {
                    cause: Some(refusal.what().to_owned()),
                    ..Self::new(kind, reason.code(), reason.what())
                }
            }
            _ => Self::internal(error.to_string()),
        }
    }

    pub(crate) fn nonce(error: NonceError) -> Self {
        match error {
            NonceError::Used => PossessionError::Replayed.into(),
            NonceError::Full => PossessionError::Full.into(),
            NonceError::Starting { wait } => PossessionError::Starting { wait }.into(),
            NonceError::TooOld => {
                Self::new(Kind::Unproven, "possession.created", "the proof was made too long ago")
            }
            NonceError::Unavailable(cause) => Self::internal(cause),
        }
    }

    /// A proof of an agent that is held or revoked, and is not taken: there is room for few of those.
    pub(crate) fn of_denied(error: NonceError, standing: Standing) -> Self {
        if error != NonceError::Full {
            return Self::nonce(error);
        }
        let reason = match standing {
            Standing::Held => DenialReason::CertificateHeld,
            _ => DenialReason::CertificateRevoked,
        };
        let cause = "more proofs came of agents that are held or revoked than are recorded in 90 s";
        Self { cause: Some(cause.to_owned()), ..Self::new(Kind::Denied, reason.code(), reason.what()) }
    }
}

impl From<PossessionError> for Refused {
    fn from(error: PossessionError) -> Self {
        let text = error.to_string();
        match error {
            PossessionError::Starting { wait } => Self::unavailable(error.code(), text, wait),
            PossessionError::Full => Self::unavailable(error.code(), text, 60),
            _ => Self::new(Kind::Unproven, error.code(), text),
        }
    }
}

impl From<Denied> for Refused {
    fn from(denied: Denied) -> Self {
        let reason = denied.reason();
        let unavailable = matches!(reason.group(), "revocation" | "journal" | "clock" | "internal")
            || matches!(reason, DenialReason::BudgetBusy | DenialReason::BudgetUnknown);
        let refused = if denied.is_of_guard() {
            Self::own(reason, denied.to_string())
        } else if unavailable {
            Self::unavailable(reason.code(), denied.for_model(), 1)
        } else {
            Self::new(Kind::Denied, reason.code(), denied.for_model())
        };
        let (decision, cause) = (denied.decision_id(), Some(denied.to_string()));
        Self { decision, cause, ..refused }.written()
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = self.cause.as_deref().unwrap_or(&self.detail);
        write!(f, "{} {}: {what}", self.status(), self.code)
    }
}

impl std::error::Error for Refused {}

/// RFC 9457 section 3.
const PROBLEM_JSON: &str = "application/problem+json";
const MISSING: &str = "possession.missing";
const NOT_GOOD: &str = "gateway.not_good";
const MISCONFIGURED: &str = "gateway.misconfigured";
const TOO_LARGE: &str = "request.too_large";
/// RFC 9421 section 5.1; whoever is in a decision chain covers `kakunin-chain` besides.
const ACCEPT_SIGNATURE: &str = concat!(
    r#"kakunin=("@method" "@authority" "@path" "@query" "content-digest" "kakunin-certificate-chain")"#,
    r#";created;tag="kakunin""#
);
