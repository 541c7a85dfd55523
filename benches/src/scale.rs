//! A large authority in a process of its own: how soon it is there, how soon everyone is current after it was killed, how long
//! it takes until everyone knows of 100,000 revocations, and how much memory all of it takes.
//!
//! What is measured is `kakunin serve` as it is delivered. Its clients are in this process, so that the processor time of
//! either side can be told apart; on machines of their own they would take none of the service's.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use kakunin_authority::authority::{AnyAction, Certify, Comeback, Days, Hours};
use kakunin_authority::signer::PassphraseSources;
use kakunin_authority::{AgentName, Authority, Home, Who};
use kakunin_client::{Client, ConnectOptions};
use kakunin_core::guard::{Guard, GuardOptions, StateChoice};
use kakunin_core::request::ActionRequest;
use kakunin_core::scope::DraftScope;
use kakunin_core::time::UnixTime;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::agent::BenchAgent;
use crate::crowd::Crowd;
use crate::many::Many;
use crate::office::{Office, memory};
use crate::service::order;
use crate::{Outcome, table};

pub(crate) fn rows(agent: &BenchAgent) -> Outcome<()> {
    let folder = agent.place("scale");
    large(&folder, agent.now)?;
    served(agent, &folder)
}

/// The same of an authority that [`large`] made in `folder`.
pub(crate) fn served(agent: &BenchAgent, folder: &Path) -> Outcome<()> {
    more_descriptors()?;
    let agents: Vec<PathBuf> = (0..GUARDS).map(|number| folder.join(guard_name(number))).collect();
    let alone = begins(&Office::open(agent.place("home").as_path())?)?;
    let mut office = Office::open(&folder.join("home"))?;
    let took = begins(&office)?;
    table::row(
        &format!(
            "the service begins with {AGENTS} agents, {ENTRIES} entries in its log and as many receipts"
        ),
        &format!("the first word of its feed after {:.2} s, load {}", took.as_secs_f64(), table::load()),
        &format!("with one agent: {:.2} s", alone.as_secs_f64()),
        &format!("{:.1}", took.as_secs_f64() / alone.as_secs_f64()),
        &format!("≤ 2 s{}", table::mark(took <= Duration::from_secs(2))),
    );
    let (idle, _) = office.memory()?;
    back_again(&mut office, &agents)?;
    revoked_at_once(&office, &agents, idle)
}

/// Makes a large authority in `folder`/home, and beside it the directories of agents that guards can be opened from.
pub(crate) fn large(folder: &Path, now: UnixTime) -> Outcome<()> {
    fs::create_dir_all(folder)?;
    BenchAgent::make_in(folder, now)?;
    let home = Home::at(&folder.join("home"));
    certified(&home, folder, now)?;
    Many { agents: AGENTS, crowd: CROWD, orders: ENTRIES, receipts: ENTRIES }.write(&home, now)
}

/// A connection of each client is known twice, to be read and to be ended.
fn more_descriptors() -> Outcome<()> {
    let limit = getrlimit(Resource::Nofile);
    let wanted = 3 * CLIENTS as u64;
    if limit.current.is_some_and(|current| current < wanted) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum })?;
    }
    Ok(())
}

/// From the start of a service until a client has the first signed word of its feed.
fn begins(office: &Office) -> Outcome<Duration> {
    thread::scope(|scope| {
        let _crowd = Crowd::open(scope, office.desk(), wall()?, 1, 1)?;
        Ok(office.began + office.answered.elapsed())
    })
}

/// The service is killed while everyone listens, with one change that some may not have heard and one that nobody has.
fn back_again(office: &mut Office, agents: &[PathBuf]) -> Outcome<()> {
    let connected = agents.iter().map(|agent| connect(agent, office)).collect::<Outcome<Vec<_>>>()?;
    thread::scope(|scope| {
        let mut crowd = Crowd::open(scope, office.desk(), wall()?, CLIENTS, CLIENTS)?;
        let (before, _) = crowd.counts();
        order(office.desk(), "guard-0", "suspend")?;
        office.kill()?;
        // Their waits grow meanwhile, as far as they do.
        thread::sleep(AWAY);
        office.reopen()?;
        let answered = office.answered;
        let epoch = order(office.desk(), "guard-1", "suspend")?;
        let mut times: Vec<Duration> =
            crowd.until(epoch)?.into_iter().map(|at| at.saturating_duration_since(answered)).collect();
        times.sort_unstable();
        let guards = wait_for(&connected, epoch)?.saturating_duration_since(answered);
        for (number, (_, guard)) in connected.iter().enumerate() {
            let reason = guard.admit(&QUESTION).err().map(|denied| denied.reason().code());
            if reason != (number < 2).then_some("certificate.held") {
                return Err(format!("guard-{number} says {reason:?} after what it heard").into());
            }
        }
        let last = times.last().copied().unwrap_or_default().max(guards);
        let half = times.get(times.len() / 2).copied().unwrap_or_default();
        let (connections, snapshots) = crowd.counts();
        let taken = connected.iter().map(|(client, _)| client.status().snapshots.saturating_sub(1));
        table::row(
            &format!(
                "{CLIENTS} clients and {} guards are current after the service was killed",
                connected.len()
            ),
            &format!(
                "half in {:.2} s, the last in {:.2} s, load {}",
                half.as_secs_f64(),
                last.as_secs_f64(),
                table::load()
            ),
            &format!("from its first answer, {:.2} s after its start", office.began.as_secs_f64()),
            &"",
            &format!("≤ 5 s{}", table::mark(last <= Duration::from_secs(5))),
        );
        table::count("… lists that one of them took", snapshots.max(taken.max().unwrap_or(0)), 1);
        let each = (connections - before) as f64 / CLIENTS as f64;
        table::row("… connections of each", &format!("{each:.2}"), &"", &"", &"");
        Ok(())
    })
}

/// An agent of 100,000 certificates is revoked while everyone listens.
fn revoked_at_once(office: &Office, agents: &[PathBuf], idle: u64) -> Outcome<()> {
    let agent = agents.last().ok_or("no agent")?;
    let mut alone = Watched::start(agent, office)?;
    let (connected, _) = alone.memory(0)?;
    thread::scope(|scope| {
        let mut crowd = Crowd::open(scope, office.desk(), wall()?, CLIENTS, CHECKING)?;
        let (listened, _) = office.memory()?;
        let (spent, checked) = (office.processor()?, crowd.processor(CHECKING));
        let began = Instant::now();
        let epoch = order(office.desk(), "crowd", "revoke")?;
        let answered = began.elapsed();
        let last =
            crowd.until(epoch)?.into_iter().max().map_or(Duration::ZERO, |at| at.duration_since(began));
        let spent = office.processor()?.saturating_sub(spent);
        let checked = crowd.processor(CHECKING).saturating_sub(checked) / u32::try_from(CHECKING)?;
        let (after, most) = office.memory()?;
        table::row(
            &format!("{CROWD} certificates are revoked at once, known to each of {CLIENTS} clients"),
            &format!("{:.2} s, load {}", last.as_secs_f64(), table::load()),
            &format!("the answer to the order: {:.2} s", answered.as_secs_f64()),
            &format!("{:.1}", last.as_secs_f64() / answered.as_secs_f64()),
            &format!("≤ 10 s{}", table::mark(last <= Duration::from_secs(10))),
        );
        table::row(
            "… processor time of the service, and of one client that checks it all",
            &format!("{:.2} s, {:.0} ms", spent.as_secs_f64(), checked.as_secs_f64() * 1000.0),
            &format!("{CHECKING} of the {CLIENTS} check here, the others take the bytes"),
            &"",
            &"",
        );
        table::row(
            &format!("memory of the service with {AGENTS} agents and {CLIENTS} clients"),
            &format!("{listened} MB"),
            &format!("without clients: {idle} MB"),
            &"",
            &"",
        );
        table::row(
            &format!("… with {CROWD} revoked beside them"),
            &format!("{after} MB, at most {most} MB meanwhile"),
            &"",
            &"",
            &"",
        );
        let (knows, most) = alone.memory(epoch)?;
        table::row(
            &format!("memory of a process with a guard, {CROWD} revoked"),
            &format!("{knows} MB, at most {most} MB meanwhile"),
            &format!("before: {connected} MB"),
            &"",
            &"",
        );
        Ok(())
    })
}

/// Agents with directories, which guards are opened from.
fn certified(home: &Home, folder: &Path, now: UnixTime) -> Outcome<()> {
    let own = home.passphrase();
    let sources = PassphraseSources { named: None, own: &own, ask: &|_| Ok(None) };
    let mut authority = Authority::open(home, sources)?;
    let draft = DraftScope::parse("actions = [\"read:*\"]", &|_| Err(std::io::Error::other("no list")))?;
    for number in 0..GUARDS {
        let name = guard_name(number);
        let agent = authority.create(&AgentName::parse(&name)?, &draft, AnyAction::Refuse, now)?;
        let directory = folder.join(name);
        let order = Certify {
            directory: &directory,
            days: Days::default(),
            request: None,
            comeback: Comeback::Refuse,
            any: AnyAction::Refuse,
        };
        let _ = authority.certify(&Who::Id(agent.id), &order, Hours::default(), now)?;
    }
    Ok(())
}

fn guard_name(number: usize) -> String {
    format!("guard-{number}")
}

fn connect(directory: &Path, office: &Office) -> Outcome<(Client, Guard)> {
    open(directory, &format!("http://{}", office.desk().address))
}

fn open(directory: &Path, url: &str) -> Outcome<(Client, Guard)> {
    let name = directory.file_name().and_then(|name| name.to_str()).ok_or("no name")?;
    let mut options = ConnectOptions::new(name);
    (options.urls, options.directory) = (vec![url.to_owned()], Some(directory.to_owned()));
    let client = Client::connect(options)?;
    let guard = client.guard_with(GuardOptions { state: StateChoice::Memory, ..GuardOptions::default() })?;
    Ok((client, guard))
}

/// Waits until all of them know `epoch`.
fn wait_for(connected: &[(Client, Guard)], epoch: u64) -> Outcome<Instant> {
    let began = Instant::now();
    while connected.iter().any(|(client, _)| client.status().epoch.is_none_or(|known| known < epoch)) {
        if began.elapsed() > PATIENCE {
            return Err("a guard does not hear what everyone knows".into());
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(Instant::now())
}

/// A process with one guard.
struct Watched {
    process: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Watched {
    fn start(directory: &Path, office: &Office) -> Outcome<Self> {
        let url = format!("http://{}", office.desk().address);
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("guard").arg(directory).arg(url).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn()?;
        let ask = process.stdin.take().ok_or("no way in")?;
        let answers = BufReader::new(process.stdout.take().ok_or("no way out")?);
        Ok(Self { process, ask, answers })
    }

    /// Its memory in MB as soon as it knows `epoch`: now, and the most since it was asked before.
    fn memory(&mut self, epoch: u64) -> Outcome<(u64, u64)> {
        writeln!(self.ask, "{epoch}")?;
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            return Err("the guard ended".into());
        }
        memory(&self.process.id().to_string())
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// One guard, which says for each epoch that it is told when it knows it.
pub(crate) fn guard(directory: &Path, url: &str) -> Outcome<()> {
    let connected = [open(directory, url)?];
    for line in std::io::stdin().lines() {
        wait_for(&connected, line?.parse()?)?;
        let [(_, guard)] = &connected;
        println!("{}", guard.admit(&QUESTION).is_ok());
    }
    Ok(())
}

fn wall() -> Outcome<UnixTime> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(UnixTime::from_seconds(i64::try_from(now.as_secs())?))
}

const QUESTION: ActionRequest<'_> = ActionRequest::new("read:invoices");
const AGENTS: usize = 100_000;
const CROWD: usize = 100_000;
const ENTRIES: usize = 1_000_000;
const CLIENTS: usize = 1_000;
/// Of those that are told of 100,000 revocations at once: each takes up all of them on a core that it shares with everyone.
const CHECKING: usize = 16;
const GUARDS: usize = 4;
/// Until the waits of clients have reached their bound.
const AWAY: Duration = Duration::from_secs(4);
const PATIENCE: Duration = Duration::from_secs(60);
