//! An open agent.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kakunin_core::digest::Digest;
use kakunin_core::guard::{Guard, GuardOptions, MemorySource, StateChoice};
use kakunin_core::home::{AgentHome, Papers};
use kakunin_core::journal::{JournalOptions, Sealing};
use kakunin_core::level::Levels;
use kakunin_core::receipt::Mode;
use kakunin_core::scope::{NameList, NameLists};
use napi::{Env, Error, Result};
use napi_derive::napi;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use crate::room::{Room, within};

/// A guard, and what can be brought to it.
pub(crate) struct OpenAgent {
    pub(crate) guard: Guard,
    pub(crate) memory: Option<Arc<MemorySource>>,
    /// Its line to an authority, if it has one.
    #[cfg(feature = "connect")]
    pub(crate) client: Option<kakunin_client::Client>,
}

impl OpenAgent {
    /// One that nobody but its host brings anything to.
    fn of(guard: Guard, memory: Option<Arc<MemorySource>>) -> Self {
        Self {
            guard,
            memory,
            #[cfg(feature = "connect")]
            client: None,
        }
    }

    /// Signs what waits, ends the stream of receipts and then the line, and joins all threads.
    pub(crate) fn close(&self) {
        self.guard.close();
        #[cfg(feature = "connect")]
        if let Some(client) = &self.client {
            client.close();
        }
    }
}

/// How an agent is opened, whatever it is opened from.
#[napi(object)]
pub(crate) struct OpenOptions {
    /// `enforce` or `observe`.
    pub mode: String,
    /// Where state lives: a path, or `memory`.
    pub state: Option<String>,
    /// Pairs of pattern and level.
    pub levels: Vec<Vec<String>>,
    /// Whether receipts may share a signature; without a word, as the agent's settings say.
    pub sealed: Option<bool>,
    /// The handle of a clock of tests.
    pub clock: Option<f64>,
}

/// The texts of an agent's papers.
#[napi(object)]
pub(crate) struct PemTexts {
    /// The agent's certificate.
    pub certificate: String,
    /// Its key, PKCS#8.
    pub key: String,
    /// The issuing authorities.
    pub chain: String,
    /// The trusted roots.
    pub ca: String,
    /// The lists.
    pub lists: String,
    /// The issuing authority that alone may speak for the agent.
    pub issuer: Option<String>,
    /// Detached lists of names.
    pub names: Vec<String>,
}

/// Opens an agent's directory: its handle.
#[napi(catch_unwind)]
pub(crate) fn open_directory(
    env: Env,
    directory: String,
    lists: Option<String>,
    options: OpenOptions,
) -> Result<f64> {
    within(&env, |room| {
        let options = options.read(room)?;
        let home = AgentHome::open(Path::new(&directory), lists.as_deref().map(Path::new));
        let guard = Guard::open(home.map_err(said)?, options).map_err(said)?;
        room.agents.keep(OpenAgent::of(guard, None))
    })
}

/// Opens an agent from PEM texts: its handle.
#[napi(catch_unwind)]
pub(crate) fn open_pem(env: Env, texts: PemTexts, options: OpenOptions) -> Result<f64> {
    let key = Zeroizing::new(texts.key.clone());
    within(&env, |room| {
        let options = options.read(room)?;
        let papers =
            papers(&texts.certificate, &texts.chain, &texts.ca, texts.issuer.as_deref(), &texts.names)?;
        let agent = open_memory(memory_source(papers, &key, &texts.lists)?, options)?;
        room.agents.keep(agent)
    })
}

/// As `openPem`, without receipts: only benchmarks measure with it.
#[cfg(feature = "null-journal")]
#[napi(catch_unwind)]
pub(crate) fn open_pem_without_receipts(env: Env, texts: PemTexts) -> Result<f64> {
    within(&env, |room| {
        let papers = papers(&texts.certificate, &texts.chain, &texts.ca, None, &[])?;
        let source = memory_source(papers, &texts.key, &texts.lists)?;
        let guard = Guard::without_receipts(Arc::clone(&source), GuardOptions::default()).map_err(said)?;
        room.agents.keep(OpenAgent::of(guard, Some(source)))
    })
}

/// The agent's id.
#[napi(catch_unwind)]
pub(crate) fn agent_id(env: Env, agent: f64) -> Result<String> {
    with_agent(&env, agent, |agent| Ok(agent.guard.agent().to_string()))
}

/// `enforce` or `observe`.
#[napi(catch_unwind)]
pub(crate) fn agent_mode(env: Env, agent: f64) -> Result<&'static str> {
    with_agent(&env, agent, |agent| {
        Ok(match agent.guard.mode() {
            Mode::Observe => "observe",
            _ => "enforce",
        })
    })
}

/// Whether some request for the action can ever be allowed.
#[napi(catch_unwind)]
pub(crate) fn may_ever(env: Env, agent: f64, action: String) -> Result<bool> {
    with_agent(&env, agent, |agent| {
        agent.guard.refresh();
        Ok(agent.guard.may_ever(&action))
    })
}

/// Looks at clocks, papers and lists now instead of within 250 ms. False if it could not: another look was in the way for 100 ms.
#[napi(catch_unwind)]
pub(crate) fn refresh(env: Env, agent: f64) -> Result<bool> {
    with_agent(&env, agent, |agent| Ok(agent.guard.refresh()))
}

/// What happened since the last call and an operator should know.
#[napi(catch_unwind)]
pub(crate) fn take_notices(env: Env, agent: f64) -> Result<Vec<String>> {
    with_agent(&env, agent, |agent| Ok(agent.guard.take_notices()))
}

/// Brings newer lists to an agent that was opened from texts.
#[napi(catch_unwind)]
pub(crate) fn replace_lists(env: Env, agent: f64, lists: String) -> Result<()> {
    with_agent(&env, agent, |agent| {
        let memory = agent.memory.as_ref();
        memory.ok_or_else(|| said("this agent reads its lists from a file"))?.publish(lists.into_bytes());
        agent.guard.refresh();
        Ok(())
    })
}

/// Signs what waits, ends the stream of receipts and joins all threads.
#[napi(catch_unwind)]
pub(crate) fn close(env: Env, agent: f64) -> Result<()> {
    with_agent(&env, agent, |agent| {
        agent.close();
        Ok(())
    })
}

/// Closes an agent that nobody holds any more, and forgets it.
#[napi(catch_unwind)]
pub(crate) fn release_agent(env: Env, agent: f64) -> Result<()> {
    within(&env, |room| {
        if let Some(agent) = room.agents.take(agent) {
            agent.close();
        }
        Ok(())
    })
}

/// Closes every agent of this environment: its process ends.
#[napi(catch_unwind)]
pub(crate) fn close_all(env: Env) -> Result<()> {
    within(&env, |room| {
        room.agents.each(|agent| agent.close());
        Ok(())
    })
}

pub(crate) fn with_agent<T>(env: &Env, agent: f64, act: impl FnOnce(&OpenAgent) -> Result<T>) -> Result<T> {
    within(env, |room| {
        act(room.agents.get(agent).ok_or_else(|| said("no such agent is open in this thread"))?)
    })
}

impl OpenOptions {
    pub(crate) fn read(&self, room: &Room) -> Result<GuardOptions> {
        let mut options = GuardOptions {
            state: state_choice(self.state.as_deref()),
            mode: parse_mode(&self.mode)?,
            journal: journal_options(&self.levels, self.sealed)?,
            ..GuardOptions::default()
        };
        if let Some(clock) = self.clock {
            options.clock = Arc::clone(room.clocks.get(clock).ok_or_else(|| said("no such clock"))?) as _;
        }
        Ok(options)
    }
}

fn memory_source(papers: Papers, key: &str, lists: &str) -> Result<Arc<MemorySource>> {
    let key =
        PrivatePkcs8KeyDer::from_pem_slice(key.as_bytes()).map_err(|_| said("the key is no PKCS#8 PEM"))?;
    let key = Zeroizing::new(key.secret_pkcs8_der().to_vec());
    Ok(Arc::new(MemorySource::new(papers, lists.as_bytes().to_vec(), key)))
}

/// The papers in PEM texts, believed by nobody.
pub(crate) fn papers(
    certificate: &str,
    chain: &str,
    ca: &str,
    issuer: Option<&str>,
    names: &[String],
) -> Result<Papers> {
    let digest =
        |text| Digest::from_hex(text).ok_or_else(|| said("`issuer` is no SHA-256 in lower-case hexadecimal"));
    let mut known = NameLists::default();
    for text in names {
        known.insert(NameList::parse(text).map_err(said)?);
    }
    let agent = certificates("certificate", certificate)?.into_iter().next();
    Ok(Papers {
        agent: agent.ok_or_else(|| said("`certificate` holds no PEM certificate"))?,
        chain: certificates("chain", chain)?,
        roots: certificates("ca", ca)?,
        issuer: issuer.map(digest).transpose()?,
        names: known,
    })
}

pub(crate) fn certificates(part: &str, pem: &str) -> Result<Vec<Vec<u8>>> {
    let blocks = CertificateDer::pem_slice_iter(pem.as_bytes()).map(|block| block.map(|der| der.to_vec()));
    let ders: std::result::Result<Vec<_>, _> = blocks.collect();
    ders.map_err(|_| said(format!("`{part}` holds a PEM block that is broken")))
}

/// Opens an agent whose papers are in memory.
pub(crate) fn open_memory(source: Arc<MemorySource>, options: GuardOptions) -> Result<OpenAgent> {
    let guard = Guard::in_memory(Arc::clone(&source), options).map_err(said)?;
    Ok(OpenAgent::of(guard, Some(source)))
}

/// `enforce` or `observe`.
pub(crate) fn parse_mode(mode: &str) -> Result<Mode> {
    match mode {
        "enforce" => Ok(Mode::Enforce),
        "observe" => Ok(Mode::Observe),
        other => Err(said(format!("mode is \"enforce\" or \"observe\", not `{other}`"))),
    }
}

fn journal_options(levels: &[Vec<String>], sealed: Option<bool>) -> Result<JournalOptions> {
    let pairs = levels.iter().filter_map(|pair| match pair.as_slice() {
        [pattern, level] => Some((pattern.as_str(), level.as_str())),
        _ => None,
    });
    let levels = Levels::parse(pairs).map_err(|error| said(format!("journal: {error}")))?;
    let sealing = sealed.map(|sealed| if sealed { Sealing::Groups } else { Sealing::Each });
    Ok(JournalOptions { levels, sealing })
}

fn state_choice(state: Option<&str>) -> StateChoice {
    match state {
        None => StateChoice::Default,
        Some("memory") => StateChoice::Memory,
        Some(path) => StateChoice::Path(PathBuf::from(path)),
    }
}

/// An error with this text.
pub(crate) fn said(text: impl ToString) -> Error {
    Error::from_reason(text.to_string())
}
