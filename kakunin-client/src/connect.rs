//! How to connect, and why that did not work.

use std::path::PathBuf;
use std::time::Duration;

use kakunin_core::digest::Digest;
use kakunin_core::id::AgentId;

use crate::alarm::AlarmFn;
use crate::enrol::Token;
use crate::place::PlaceError;
use crate::status::Trouble;
use crate::transport::{Address, AddressError, TlsError};

/// Whom to connect, to what.
#[derive(Clone)]
#[non_exhaustive]
pub struct ConnectOptions {
    /// The authority's addresses, tried in turn: `https://…`, or `http://` to this machine.
    pub urls: Vec<String>,
    /// The agent, by its id or its name at the authority.
    pub agent: String,
    /// What lets its first key be certified. A directory with the agent in it needs none.
    pub token: Option<Token>,
    /// Where its papers are; `./.kakunin/agents/<agent>` if not said.
    pub directory: Option<PathBuf>,
    /// Where the guard's state is, if not in the directory.
    pub state: Option<PathBuf>,
    /// SHA-256 of the DER of the root that must stand above the agent.
    pub root: Option<Digest>,
    /// The key of the issuing authority (SHA-256 of its SubjectPublicKeyInfo) that first papers must be of. A renewal may move the
    /// agent to it without the word of the present one, as is needed where that was revoked.
    pub issuer: Option<Digest>,
    /// A file of PEM certificates that HTTPS is checked against; the platform's if not said.
    pub ca_file: Option<PathBuf>,
    /// Take lists that ask for no feed. A revocation is then known within a minute, and while the authority is away until the
    /// list ends; otherwise such lists are refused.
    pub without_feed: bool,
    /// Send receipts to the authority. They stay in the journal as well; disclosed values are never sent.
    pub uploads: bool,
    /// Let a signed word count for this many seconds, if that is less than the authority says.
    pub max_age: Option<u32>,
    /// How long connecting may take. When it is over and the directory is complete, the client goes on trying.
    pub timeout: Duration,
    /// Whom to tell of alarms.
    pub alarm: Option<AlarmFn>,
}

impl ConnectOptions {
    /// Connects `agent`, with everything else as usual.
    #[must_use]
    pub fn new(agent: impl Into<String>) -> Self {
        Self {
            urls: Vec::new(),
            agent: agent.into(),
            token: None,
            directory: None,
            state: None,
            root: None,
            issuer: None,
            ca_file: None,
            without_feed: false,
            uploads: true,
            max_age: None,
            timeout: Duration::from_secs(10),
            alarm: None,
        }
    }

    /// Takes what is not said from the environment: `KAKUNIN_URL` (several addresses with commas between them),
    /// `KAKUNIN_TOKEN`, `KAKUNIN_CA_FILE`, `KAKUNIN_AGENT_DIR` and `KAKUNIN_STATE_DIR`.
    ///
    /// # Errors
    /// [`ConnectError::Usage`] for a variable that is not UTF-8, or a token that is none.
    pub fn or_environment(mut self) -> Result<Self, ConnectError> {
        if self.urls.is_empty()
            && let Some(urls) = variable("KAKUNIN_URL")?
        {
            let urls = urls.split(',').map(str::trim).filter(|url| !url.is_empty());
            self.urls = urls.map(str::to_owned).collect();
        }
        if self.token.is_none()
            && let Some(token) = variable("KAKUNIN_TOKEN")?
        {
            self.token = Some(Token::parse(&token)?);
        }
        for (place, name) in [
            (&mut self.ca_file, "KAKUNIN_CA_FILE"),
            (&mut self.directory, "KAKUNIN_AGENT_DIR"),
            (&mut self.state, "KAKUNIN_STATE_DIR"),
        ] {
            if place.is_none() {
                *place = std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
            }
        }
        Ok(self)
    }

    /// What is needed of the options before anything is done, judged.
    pub(crate) fn judge(&self) -> Result<(Vec<Address>, PathBuf), ConnectError> {
        let addresses: Vec<Address> =
            self.urls.iter().map(|url| Address::parse(url)).collect::<Result<_, _>>()?;
        if addresses.is_empty() {
            return Err(ConnectError::Usage(
                "no address of an authority; name one, or set KAKUNIN_URL".into(),
            ));
        }
        // It becomes a folder and part of a URL.
        let sound = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
        if self.agent.is_empty() || self.agent.len() > 63 || !self.agent.as_bytes().iter().all(sound) {
            return Err(ConnectError::Usage(
                "no agent; name it by its id or its name, in lower-case letters, digits and hyphens".into(),
            ));
        }
        if self.max_age == Some(0) {
            return Err(ConnectError::Usage("max_age 0 would deny everything".into()));
        }
        let usual = || PathBuf::from(".kakunin/agents").join(&self.agent);
        let directory = self.directory.clone().unwrap_or_else(usual);
        let directory = std::path::absolute(&directory).map_err(|error| {
            ConnectError::Usage(format!("`{}` is no directory: {error}", directory.display()))
        })?;
        Ok((addresses, directory))
    }
}

fn variable(name: &str) -> Result<Option<String>, ConnectError> {
    match std::env::var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.trim().is_empty())),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => Err(ConnectError::Usage(format!("{name} is not UTF-8"))),
    }
}

impl std::fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectOptions")
            .field("urls", &self.urls)
            .field("agent", &self.agent)
            .field("directory", &self.directory)
            .field("without_feed", &self.without_feed)
            .field("max_age", &self.max_age)
            .finish_non_exhaustive()
    }
}

/// A client that could not be connected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Options that are none.
    #[error("{0}")]
    Usage(String),
    /// An address.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// HTTPS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The agent's directory.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// No agent is there.
    #[error("no agent is in {}; connect with a token (KAKUNIN_TOKEN), or certify it into there", directory.display())]
    NoAgent {
        /// Where it was looked for.
        directory: PathBuf,
    },
    /// A token that names no root, and none was named beside it.
    #[error(
        "nothing says which root to believe; use a token of `kakunin agent token`, or name the root's SHA-256"
    )]
    RootUnknown,
    /// Another agent is there.
    #[error("{} holds the agent {found}, not `{asked}`; name another directory", directory.display())]
    OtherAgent {
        /// The directory.
        directory: PathBuf,
        /// Who is in it.
        found: AgentId,
        /// Who was asked for.
        asked: String,
    },
    /// Another root than the one that was named.
    #[error("the agent stands under the root {found}, not under the one that was named")]
    OtherRoot {
        /// SHA-256 of its DER.
        found: Digest,
    },
    /// A token of another authority than the one that the directory is of.
    #[error("{} holds an agent under the root {found}, and the token is of the root {named}: the papers are of another authority, or of one that was begun anew", directory.display())]
    OldDirectory {
        /// The directory.
        directory: PathBuf,
        /// SHA-256 of the DER of its root.
        found: Digest,
        /// That of the token.
        named: Digest,
    },
    /// The lists could not be loaded in time, and nothing can be decided without.
    #[error("no authority could be reached in time: {0}")]
    Unreachable(Trouble),
    /// The authority, or what came from it, says no.
    #[error("{0}")]
    Refused(Trouble),
    /// The thread could not be started, or ended.
    #[error("the client's thread could not be started: {0}")]
    Thread(std::io::Error),
    /// A fault of this program.
    #[error("the client ended in a fault of this program")]
    Fault,
}

impl ConnectError {
    /// What the operator can do about it.
    #[must_use]
    pub fn fix(&self) -> &'static str {
        match self {
            Self::Usage(_) => "docs/client.md says what each option takes",
            Self::Address(_) => "write https://HOST:PORT, or http:// with an address of this machine",
            Self::Tls(_) => "look at the file of CA certificates, which is PEM",
            Self::Place(_) => "put the directory in order, or have the agent certified into it again",
            Self::NoAgent { .. } => "`kakunin agent token ID` makes a token",
            Self::RootUnknown => "kakunin agent token ID makes a token that names the root",
            Self::OtherAgent { .. } => "each agent has a directory of its own",
            Self::OtherRoot { .. } => "find out whose papers these are before anything else",
            Self::OldDirectory { .. } => {
                "rename or remove the directory, and connect again: the token enrols the agent anew"
            }
            Self::Unreachable(_) => "see that the authority is served and can be reached from here",
            Self::Refused(trouble) if trouble.code == "feed.none" => {
                "a revocation is known later without one"
            }
            Self::Refused(trouble)
                if trouble.code.starts_with("access.") || trouble.code.starts_with("token.") =>
            {
                "a token enrols its own agent, once and within the hour; make another one"
            }
            Self::Refused(_) => "look for the code in docs/client.md and docs/service.md",
            Self::Thread(_) => "see how many threads this account may have",
            Self::Fault => "report it as a bug",
        }
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Usage(_) | Self::Address(_) => "connect.usage",
            Self::Tls(_) => "connect.tls",
            Self::Place(error) => error.code(),
            Self::NoAgent { .. } => "connect.no_agent",
            Self::RootUnknown => "connect.no_root",
            Self::OtherAgent { .. } => "agent.mismatch",
            Self::OtherRoot { .. } => "certificate.untrusted",
            Self::OldDirectory { .. } => "connect.old_directory",
            Self::Unreachable(_) => "connect.unreachable",
            Self::Refused(trouble) => &trouble.code,
            Self::Thread(_) | Self::Fault => "internal",
        }
    }
}
