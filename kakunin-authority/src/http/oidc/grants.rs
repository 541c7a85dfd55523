//! Who is believed, and for what: the operator's file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kakunin_core::id::AgentId;
use kakunin_core::time::UnixTime;
use serde::Deserialize;

use super::keys::{IssuerKeysError, Keys};
use super::token::{Proven, Token};
use crate::access::{Role, TenantId};
use crate::api_key::KeyOrder;
use crate::files::{self, FileError};

/// The issuers of a file.
#[derive(Debug)]
pub(super) struct Grants(Vec<Issuer>);

/// An issuer, and its grants.
#[derive(Debug)]
pub(super) struct Issuer {
    url: String,
    audience: String,
    keys: PathBuf,
    grants: Vec<Grant>,
}

#[derive(Debug)]
struct Grant {
    name: String,
    subject: String,
    claims: BTreeMap<String, String>,
    role: Role,
    tenant: TenantId,
    agents: Option<Vec<AgentId>>,
    minutes: u8,
}

/// What a job may do, and which it is.
#[derive(Clone, Debug)]
pub(crate) struct Granted {
    role: Role,
    tenant: TenantId,
    agents: Option<Vec<AgentId>>,
    minutes: u8,
    /// The grant and the job, for the records.
    pub(crate) whom: String,
}

impl Granted {
    pub(crate) const fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// The key that it is exchanged for.
    pub(crate) fn order(&self, now: UnixTime) -> KeyOrder {
        KeyOrder {
            role: self.role,
            tenant: self.tenant.clone(),
            agents: self.agents.clone(),
            networks: None,
            label: format!("{EXCHANGED}{}", self.whom).chars().take(MOST_LABEL).collect(),
            expires: Some(now.plus(i64::from(self.minutes) * 60)),
        }
    }
}

impl Grants {
    pub(super) fn read(path: &Path) -> Result<Self, GrantsError> {
        let text = String::from_utf8(files::read(path)?).map_err(|_| GrantsError::NoText)?;
        let written: WrittenFile =
            toml::from_str(&text).map_err(|error| GrantsError::Form(error.to_string()))?;
        let beside = path.parent().unwrap_or(Path::new(""));
        let issuers: Result<Vec<_>, _> = written.issuer.into_iter().map(|it| it.checked(beside)).collect();
        let issuers = issuers?;
        if issuers.is_empty() {
            return Err(GrantsError::Issuer { url: String::new(), what: "there is none; write [[issuer]]" });
        }
        for issuer in &issuers {
            issuer.keys().map_err(|error| GrantsError::Keys { url: issuer.url.clone(), error })?;
        }
        Ok(Self(issuers))
    }

    /// Whom the token says that it is of. It is not believed for that.
    pub(super) fn issuer(&self, token: &Token<'_>) -> Option<&Issuer> {
        self.0.iter().find(|issuer| token.names(&issuer.url))
    }
}

impl Issuer {
    pub(super) fn audience(&self) -> &str {
        &self.audience
    }

    /// Its keys, as they are in the file now: they change without a word to us.
    pub(super) fn keys(&self) -> Result<Keys, IssuerKeysError> {
        Keys::read(&self.keys)
    }

    /// The first grant that this job has.
    pub(super) fn grant(&self, job: &Proven) -> Option<Granted> {
        let fits = |grant: &&Grant| {
            grant.subject == job.subject()
                && grant.claims.iter().all(|(name, value)| job.claims(name).as_deref() == Some(value))
        };
        self.grants.iter().find(fits).map(|grant| Granted {
            role: grant.role,
            tenant: grant.tenant.clone(),
            agents: grant.agents.clone(),
            minutes: grant.minutes,
            whom: format!("{}: {}{}", grant.name, job.subject(), job.run()),
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenFile {
    #[serde(default)]
    issuer: Vec<WrittenIssuer>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenIssuer {
    url: String,
    audience: String,
    keys: PathBuf,
    #[serde(default)]
    grant: Vec<WrittenGrant>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenGrant {
    name: String,
    subject: String,
    #[serde(default)]
    claims: BTreeMap<String, String>,
    role: String,
    tenant: Option<String>,
    agents: Agents,
    minutes: Option<u8>,
}

/// Which agents, in so many words: nobody gets all of them by leaving something out.
#[derive(Deserialize)]
#[serde(untagged)]
enum Agents {
    Word(String),
    These(Vec<String>),
}

impl WrittenIssuer {
    fn checked(self, beside: &Path) -> Result<Issuer, GrantsError> {
        let Self { url, audience, keys, grant } = self;
        let wrong = |what| Err(GrantsError::Issuer { url: url.clone(), what });
        if !url.starts_with("https://") {
            return wrong("`url` is written as the token's `iss`, which begins with https://");
        }
        if audience.trim().is_empty() {
            return wrong(
                "`audience` is missing: what the pipeline asks a token for, such as this service's URL",
            );
        }
        if grant.is_empty() {
            return wrong("it has no [[issuer.grant]]");
        }
        let grants: Result<Vec<_>, _> = grant.into_iter().map(WrittenGrant::checked).collect();
        Ok(Issuer { keys: beside.join(keys), grants: grants?, url, audience })
    }
}

impl WrittenGrant {
    fn checked(self) -> Result<Grant, GrantsError> {
        let name = self.name;
        let wrong = |what| Err(GrantsError::Grant { name: name.clone(), what });
        let fits = |text: &str| !text.trim().is_empty() && !text.contains('*');
        if name.is_empty() || name.len() > 64 || name.chars().any(char::is_control) {
            return wrong("`name` has 1 to 64 characters");
        }
        if !fits(&self.subject) || !self.claims.values().all(|value| fits(value)) {
            return wrong(
                "`subject` and claims are compared as a whole; there are no patterns, and nothing is empty",
            );
        }
        // Names of repositories and owners can be given up, and taken by somebody else.
        let has = |name: &str| self.claims.contains_key(name);
        if !has("repository_id") && !has("project_id") {
            return wrong(
                "`claims` has to have the repository_id or project_id: a name can be taken over by somebody else",
            );
        }
        // A branch is also the subject of what a stranger's fork or comment begins.
        let is_pull = self.subject.ends_with(":pull_request");
        let is_reviewed = self.subject.contains(":environment:") || has("environment");
        // On GitHub such a job runs on the protected branch itself; on GitLab it runs in the fork.
        let is_named = ["event_name", "job_workflow_ref", "workflow_ref"].into_iter().any(has)
            || (has("project_id") && has("ref_protected"));
        if is_pull || !(is_reviewed || is_named) {
            return wrong(
                "a job of this subject may be begun by anybody: grant to an environment, or name event_name, workflow_ref or job_workflow_ref in `claims` (on GitLab ref_protected)",
            );
        }
        let role = match Role::from_word(&self.role) {
            Some(role @ (Role::Revoker | Role::Gate | Role::Auditor | Role::Ingest)) => role,
            _ => return wrong("`role` has to be revoker, gate, auditor or ingest"),
        };
        let Some(tenant) = self.tenant.as_deref().map_or_else(|| Some(TenantId::default()), TenantId::parse)
        else {
            return wrong("`tenant` is no name of a tenant");
        };
        let agents = match self.agents {
            Agents::Word(word) if word == "any" => None,
            Agents::These(ids) => match ids.iter().map(|id| AgentId::parse(id)).collect::<Option<Vec<_>>>() {
                Some(ids) if !ids.is_empty() => Some(ids),
                _ => return wrong("`agents` has to be a list of ids, or \"any\""),
            },
            Agents::Word(_) => return wrong("`agents` has to be a list of ids, or \"any\""),
        };
        let minutes = self.minutes.unwrap_or(10);
        if !(1..=60).contains(&minutes) {
            return wrong("`minutes` is a number from 1 to 60");
        }
        Ok(Grant { name, subject: self.subject, claims: self.claims, role, tenant, agents, minutes })
    }
}

/// Why grants are not taken up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GrantsError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is no text.
    #[error("the grants are no UTF-8 text")]
    NoText,
    /// No TOML of this form.
    #[error("the grants are no TOML as it has to be: {0}")]
    Form(String),
    /// An issuer that says less than it has to.
    #[error("issuer `{url}`: {what}")]
    Issuer {
        /// Its URL.
        url: String,
        /// What is wrong.
        what: &'static str,
    },
    /// A grant that says less than it has to, or allows more than there is to allow.
    #[error("grant `{name}`: {what}")]
    Grant {
        /// Its name.
        name: String,
        /// What is wrong.
        what: &'static str,
    },
    /// Keys that cannot be read.
    #[error("issuer `{url}`: {error}")]
    Keys {
        /// Its URL.
        url: String,
        /// Why not.
        error: IssuerKeysError,
    },
}

/// How the label of a key begins that was exchanged. Whoever calls one so by hand takes power away from it, and nothing else.
pub(crate) const EXCHANGED: &str = "oidc: ";
/// As of every key.
const MOST_LABEL: usize = 255;
