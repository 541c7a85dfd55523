use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use kakunin_authority::Home;
use kakunin_authority::access::TenantId;
use kakunin_authority::standing::Standing;
use kakunin_authority::store::{IssuerId, Store};
use kakunin_core::certificate::{CaCertificate, CaRole};
use kakunin_core::home::{AgentHome, KeyProtection};
use kakunin_core::journal::{Which, is_erasing, survey};
use kakunin_core::modes::refuse_loose;
use kakunin_core::reason::DenialReason;
use kakunin_core::snapshot::Snapshot;
use kakunin_core::time::{UnixTime, Validity};
use serde_json::json;

use crate::answer::{Answer, Exit, Failure};
use crate::context::{Common, now};
use crate::judge::asks_for_feed;

/// Say what is wrong, or will be soon
///
/// Looks at the home's keys, certificates and lists, and at the directory of every agent in good standing. With
/// --agent it looks at those directories alone, and needs no home.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kakunin doctor
  kakunin doctor --agent agents/billing --json

Exit codes: 0 nothing is wrong (there may be warnings), 1 something is.")]
pub(crate) struct Doctor {
    /// Look at this agent's directory only; may be repeated
    #[arg(long, value_name = "DIR")]
    agent: Vec<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Good,
    Note,
    Warning,
    Wrong,
}

impl Level {
    const fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Wrong => "wrong",
        }
    }
}

/// What was found, in the order of looking.
#[derive(Default)]
struct Findings(Vec<(Level, String)>);

impl Findings {
    fn say(&mut self, level: Level, what: impl Into<String>) {
        self.0.push((level, what.into()));
    }
}

impl Doctor {
    pub(crate) fn run(&self, common: &Common) -> Result<Answer, Failure> {
        let mut findings = Findings::default();
        let at = now();
        if self.agent.is_empty() {
            let home = common.home();
            let store = home.records()?;
            keys(&home, store.as_ref(), &mut findings)?;
            lists(&home, store.as_ref(), at, &mut findings)?;
            for tenant in store.tenants()? {
                let agents = store.agents(&tenant)?;
                for agent in agents.iter().filter(|agent| agent.standing == Standing::Good) {
                    if store.certificates(&tenant, agent.id)?.is_empty() {
                        let name = &agent.name;
                        let what = format!(
                            "`{name}` has no certificate; give it one with `kakunin agent certify {name} --out DIR`"
                        );
                        findings.say(Level::Warning, what);
                    }
                    for path in store.directories(&tenant, agent.id)? {
                        directory(&path, at, &mut findings);
                    }
                }
            }
        }
        for path in &self.agent {
            match path.is_dir() {
                true => directory(path, at, &mut findings),
                false => findings.say(Level::Wrong, format!("{} is no directory", path.display())),
            }
        }
        let wrong = findings.0.iter().any(|(level, _)| *level == Level::Wrong);
        let records: Vec<_> =
            findings.0.iter().map(|(level, what)| json!({ "level": level.word(), "what": what })).collect();
        Ok(Answer::yes(json!({ "healthy": !wrong, "findings": records }))
            .lines(findings.0.iter().map(|(level, what)| format!("{:<8} {what}", level.word())))
            .exit(if wrong { Exit::No } else { Exit::Yes }))
    }
}

fn keys(home: &Home, store: &dyn Store, findings: &mut Findings) -> Result<(), Failure> {
    let own = home.passphrase();
    if own.exists() {
        let what = format!("{} opens the keys: they are protected by file permissions only", own.display());
        findings.say(Level::Note, what);
    }
    if home.root_key().exists() {
        findings.say(
            Level::Note,
            format!(
                "{} is here; `kakunin rotate`, `kakunin tenant create` and `kakunin restore` need it, and nothing else",
                home.root_key().display()
            ),
        );
    }
    let issuing = store.issuers()?.into_iter().filter(|issuer| issuer.id != IssuerId::ROOT);
    let paths = issuing.map(|issuer| home.issuing_key(issuer.id)).chain([home.root_key(), own, home.store()]);
    for path in paths.filter(|path| path.exists()) {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(&path).map_err(Failure::cannot)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            let what =
                format!("{} has mode {mode:03o} and lets others in; run chmod 600 on it", path.display());
            findings.say(Level::Wrong, what);
        }
    }
    Ok(())
}

fn lists(home: &Home, store: &dyn Store, at: UnixTime, findings: &mut Findings) -> Result<(), Failure> {
    let issuers: Vec<_> = store.issuers()?.into_iter().filter(|issuer| issuer.revoked.is_none()).collect();
    // The newest of a tenant, and those before it whose certificates can still be in use: of others nobody signs lists.
    let mut published = Vec::new();
    for (place, issuer) in issuers.iter().enumerate() {
        let newest = !issuers.iter().skip(place + 1).any(|later| later.tenant == issuer.tenant);
        let needed = || Ok::<_, Failure>(store.last_end(issuer.id)?.is_some_and(|end| end >= at));
        if issuer.id == IssuerId::ROOT || newest || needed()? {
            published.push(issuer);
        }
    }
    for issuer in &published {
        let root = issuer.id == IssuerId::ROOT;
        let tenant = issuer.tenant.clone().unwrap_or_default();
        let file = home.public_of(&tenant).join("lists.pem");
        let text = fs::read_to_string(&file).unwrap_or_default();
        let (name, role, fix) = match root {
            true => ("the root".to_owned(), CaRole::Root, "run `kakunin rotate`"),
            false if tenant == TenantId::default() => {
                ("the issuing authority".to_owned(), CaRole::Issuing, "run `kakunin crl`")
            }
            false => (format!("the issuing authority of {tenant}"), CaRole::Issuing, "run `kakunin crl`"),
        };
        let certificate = CaCertificate::decode(&issuer.der, role).map_err(Failure::cannot)?;
        let several = published.iter().filter(|other| other.tenant == issuer.tenant).count() > 1;
        let name = match several {
            true => format!("{name} ({})", certificate.decoded().subject_text()),
            false => name,
        };
        let end = certificate.decoded().validity().not_after;
        if end < at.plus(30 * DAY) {
            let level = if end < at { Level::Wrong } else { Level::Warning };
            let remedy = if root { "begin a new home" } else { "run `kakunin rotate`" };
            findings.say(level, format!("the certificate of {name} ends at {end}; {remedy}"));
        }
        let Some(list) = store.newest_list(issuer.id)? else {
            findings.say(Level::Wrong, format!("{name} has no list; {fix}"));
            continue;
        };
        let half = list.this_update.plus((list.next_update.seconds() - list.this_update.seconds()) / 2);
        let late = if root { at >= list.next_update.plus(-30 * DAY) } else { at >= half };
        if at >= list.next_update {
            findings.say(Level::Wrong, format!("the list of {name} ended at {}; {fix}", list.next_update));
        } else if late {
            findings.say(Level::Warning, format!("the list of {name} ends at {}; {fix}", list.next_update));
        } else {
            let what =
                format!("the list of {name} has number {} and lasts until {}", list.number, list.next_update);
            findings.say(Level::Good, what);
        }
        if list.this_update > at.plus(120) {
            findings.say(
                Level::Wrong,
                format!(
                    "the clock is behind the list of {name}, which was signed at {}: nothing is signed until then; set it, or, if it was ahead when it signed, wait",
                    list.this_update
                ),
            );
        }
        let pem = der::pem::encode_string("X509 CRL", der::pem::LineEnding::LF, &list.der);
        if !pem.is_ok_and(|pem| text.contains(&pem)) {
            let what = format!("{} has not the newest list of {name}; run `kakunin crl`", file.display());
            findings.say(Level::Wrong, what);
        }
    }
    Ok(())
}

fn directory(path: &Path, at: UnixTime, findings: &mut Findings) {
    let shown = path.display();
    if !path.is_dir() {
        findings.say(Level::Warning, format!("{shown} is gone and will not be renewed"));
        return;
    }
    let home = match AgentHome::open(path, None) {
        Ok(home) => home,
        Err(error) => return findings.say(Level::Wrong, error.to_string()),
    };
    match home.key_protection() {
        Ok(KeyProtection::Owner) => {}
        Ok(KeyProtection::ReadOnlyMount) => {
            findings.say(Level::Note, format!("{shown}/key.pem is readable by others on a read-only mount"));
        }
        Ok(KeyProtection::Open) => {
            findings.say(Level::Wrong, format!("{shown}/key.pem is readable by others; run chmod 600 on it"));
        }
        Err(error) => findings.say(Level::Wrong, format!("{shown}/key.pem cannot be opened: {error}")),
    }
    state(path, &home.default_state(), findings);
    values(path, &home, at, findings);
    let papers = match home.papers() {
        Ok(papers) => papers,
        Err(error) => return findings.say(Level::Wrong, error.to_string()),
    };
    // Whatever agent.toml names: a client keeps its own lists, and the feed that no file has.
    let connected = path.join(".client.lock").exists();
    let lists = if connected {
        fs::read(path.join("lists.pem")).unwrap_or_default()
    } else {
        home.lists().unwrap_or_default()
    };
    let snapshot = match Snapshot::build(&papers, &lists, at) {
        Ok(snapshot) => snapshot,
        Err(refusal) => {
            return findings.say(Level::Wrong, format!("{shown}: {refusal}; {}", refusal.reason().fix()));
        }
    };
    let denial = snapshot.agent().denial(at);
    if denial == Some(DenialReason::RevocationStale) && asks_for_feed(&snapshot) {
        return asks(path, connected, snapshot.agent().lists().next_update(), at, findings);
    }
    if let Some(reason) = denial {
        let what = format!("{shown}: {} [{}]; {}", reason.what(), reason.code(), reason.fix());
        return findings.say(Level::Wrong, what);
    }
    let Validity { not_before, not_after } = snapshot.agent().path().agent().decoded().validity();
    // Renewed daily, a certificate of a week never gets into its last quarter.
    let life = not_after.seconds() - not_before.seconds();
    if at >= not_after.plus(-life / 4) {
        findings.say(Level::Warning, format!("{shown} ends at {not_after}; run `kakunin agent renew`"));
    } else {
        findings.say(Level::Good, format!("{shown} is good until {}", snapshot.agent().good_until()));
    }
}

/// A list that asks for a feed is nothing to decide by without it.
fn asks(path: &Path, connected: bool, lists_end: UnixTime, at: UnixTime, findings: &mut Findings) {
    let shown = path.display();
    let (level, what) = if !connected {
        let what = format!(
            "{shown}: the list asks for a feed, which no directory carries, so an agent opened from here denies everything \
             [revocation.stale]; connect it: Agent.connect(url, agent) in place of from_dir, or kakunin_client in Rust, with \
             KAKUNIN_AGENT_DIR={shown} and the address that `--url` takes; or serve with --without-feed"
        );
        (Level::Wrong, what)
    } else if at >= lists_end {
        let what = format!(
            "{shown}: a client keeps this directory, and none was connected since its lists ended at {lists_end}; see that \
             the authority is reached from here"
        );
        (Level::Warning, what)
    } else {
        let what = format!(
            "{shown}: the list asks for a feed, and a client keeps this directory: while it is connected the agent decides \
             by the feed; agent.status() says whether it is heard"
        );
        (Level::Note, what)
    };
    findings.say(level, what);
}

/// A journal that cannot be written, or that others can write, denies everything.
fn state(directory: &Path, state: &Path, findings: &mut Findings) {
    if let Err(loose) = AgentHome::refuse_loose_state(state) {
        findings
            .say(Level::Wrong, format!("{loose}; until then the agent is not opened and denies everything"));
    }
    if let Err(loose) = refuse_loose(directory) {
        // Whoever renews the agent may be another user, so this is for a person to judge.
        let (shown, mode) = (directory.display(), loose.mode());
        let what = format!(
            "{shown} has mode {mode:03o}: whoever can write there can name another root and begin every budget \
             anew; run chmod go-w on it"
        );
        findings.say(Level::Warning, what);
    }
    let place = if state.is_dir() { state } else { directory };
    if tempfile::tempfile_in(place).is_err() {
        let what = format!(
            "{} is not writable, so the agent denies everything; mount a volume and open it with state=PATH",
            place.display()
        );
        findings.say(Level::Warning, what);
    }
}

/// Values that should be gone: what an erasure left that was interrupted, and what is older than the owner keeps it.
fn values(directory: &Path, home: &AgentHome, at: UnixTime, findings: &mut Findings) {
    let journal = home.default_state().join("journal");
    if !journal.is_dir() {
        return;
    }
    let shown = directory.display();
    if is_erasing(&journal) {
        let what = format!(
            "{shown}: an erasure goes on or was interrupted; the next start of the agent finishes it, and so does the \
             next `kakunin erase`"
        );
        findings.say(Level::Warning, what);
    }
    let Some(days) = home.keep_days() else { return };
    // A day of grace: the command runs once a night.
    let oldest = at.plus(-(i64::from(days) + 1) * DAY).seconds().saturating_mul(1_000_000);
    match survey(&journal, &Which::Before(oldest)) {
        Ok(found) if found.values > 0 => {
            let what = format!(
                "{shown}: {} values are older than keep_days = {days}; run kakunin erase --journal {shown} --retention",
                found.values
            );
            findings.say(Level::Warning, what);
        }
        Ok(_) => {}
        Err(error) => findings.say(Level::Warning, format!("{shown}: {error}")),
    }
}

const DAY: i64 = 86_400;
