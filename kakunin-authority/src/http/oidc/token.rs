//! An identity token: a compact JWS (RFC 7515) over claims (RFC 7519), signed by RS256 or ES256.

use std::fmt;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use kakunin_core::digest::Digest;
use kakunin_core::time::UnixTime;
use serde_json::{Map, Value};

use super::keys::{Keys, Rule};

/// A token that nobody has proven yet.
pub(super) struct Token<'t> {
    signed: &'t str,
    signature: Vec<u8>,
    rule: Rule,
    key: String,
    claims: Map<String, Value>,
}

/// What an issuer signed of a job, for us and for now.
#[derive(Debug)]
pub(super) struct Proven {
    name: Digest,
    ends: UnixTime,
    subject: String,
    claims: Map<String, Value>,
}

impl<'t> Token<'t> {
    /// Reads a token: three parts in the one spelling that they have.
    pub(super) fn parse(text: &'t str) -> Result<Self, Unproven> {
        let (signed, signature) = text.rsplit_once('.').ok_or(Unproven::Form)?;
        let (header, claims) = signed.split_once('.').ok_or(Unproven::Form)?;
        let octets = |part: &str| Base64UrlUnpadded::decode_vec(part).map_err(|_| Unproven::Form);
        let object = |part: &str| match serde_json::from_slice(&octets(part)?) {
            Ok(Value::Object(members)) => Ok(members),
            _ => Err(Unproven::Form),
        };
        let header = object(header)?;
        // What somebody has to understand for the signature to mean anything, nobody here does.
        if header.contains_key("crit") {
            return Err(Unproven::Rule);
        }
        let text = |name: &str| header.get(name).and_then(Value::as_str);
        let rule = text("alg").and_then(Rule::from_word).ok_or(Unproven::Rule)?;
        let key = text("kid").ok_or(Unproven::Key)?.to_owned();
        Ok(Self { signed, signature: octets(signature)?, rule, key, claims: object(claims)? })
    }

    /// Whether it says that it is of this issuer.
    pub(super) fn names(&self, issuer: &str) -> bool {
        self.claims.get("iss").and_then(Value::as_str) == Some(issuer)
    }

    /// Proves it: signed by a key of `keys`, for `audience` and nobody else, and good at `now`.
    pub(super) fn prove(self, keys: &Keys, audience: &str, now: UnixTime) -> Result<Proven, Unproven> {
        if !keys.verify(&self.key, self.rule, self.signed.as_bytes(), &self.signature) {
            return Err(Unproven::Signature);
        }
        let for_us = match self.claims.get("aud") {
            Some(Value::String(one)) => one == audience,
            // Whoever else it is for could bring it here.
            Some(Value::Array(several)) => matches!(&several[..], [Value::String(one)] if one == audience),
            _ => false,
        };
        if !for_us {
            return Err(Unproven::Audience);
        }
        let time = |name: &str| self.claims.get(name).and_then(Value::as_i64).map(UnixTime::from_seconds);
        let (Some(issued), Some(ends)) = (time("iat"), time("exp")) else { return Err(Unproven::Time) };
        let begins = time("nbf").filter(|begins| *begins > issued).unwrap_or(issued);
        let lasts = ends.seconds().saturating_sub(issued.seconds());
        let is_now = begins <= now.plus(CLOCKS) && now < ends && (1..=MOST_SECONDS).contains(&lasts);
        // One that says something else there than a time would be read as one without it.
        let has_odd = self.claims.get("nbf").is_some_and(|value| value.as_i64().is_none());
        if !is_now || has_odd {
            return Err(Unproven::Time);
        }
        let subject = self.claims.get("sub").and_then(Value::as_str).ok_or(Unproven::Subject)?.to_owned();
        Ok(Proven { name: Digest::of(self.signed.as_bytes()), ends, subject, claims: self.claims })
    }
}

impl Proven {
    /// By which it is known again. Of what is signed: a signature of ECDSA has several spellings.
    pub(super) const fn name(&self) -> Digest {
        self.name
    }

    pub(super) const fn ends(&self) -> UnixTime {
        self.ends
    }

    pub(super) fn subject(&self) -> &str {
        &self.subject
    }

    /// A claim as text; numbers and truths as they are written.
    pub(super) fn claims(&self, name: &str) -> Option<String> {
        match self.claims.get(name)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(truth) => Some(truth.to_string()),
            _ => None,
        }
    }

    /// Which run it was, for the records: GitHub's name of it, or GitLab's.
    pub(super) fn run(&self) -> String {
        let run = self.claims("run_id").or_else(|| self.claims("job_id"));
        let run = run.filter(|run| run.len() <= 32 && run.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        run.map_or_else(String::new, |run| format!(", run {run}"))
    }
}

/// Why a token proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unproven {
    Form,
    Rule,
    Key,
    Issuer,
    Signature,
    Audience,
    Time,
    Subject,
}

impl fmt::Display for Unproven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => "it is no signed token of three parts",
            Self::Rule => "it is signed by another rule than RS256 or ES256, or asks for more than that",
            Self::Key => "it names no key",
            Self::Issuer => "its issuer is not believed here",
            Self::Signature => {
                "no key of its issuer that is known here signed it; the issuer may have new ones"
            }
            Self::Audience => "it is for another audience, or for several",
            Self::Time => "it has ended, has not begun, or lasts longer than an hour",
            Self::Subject => "it has no subject",
        })
    }
}

/// By how much clocks may differ.
const CLOCKS: i64 = 60;
/// Tokens of pipelines last minutes.
const MOST_SECONDS: i64 = 3600;
