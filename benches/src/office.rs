//! `kakunin serve` as a process of its own, which can be killed and looked at from outside.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::desk::Desk;

/// A service that runs, and what is needed to start it again.
pub(crate) struct Office {
    home: PathBuf,
    process: Child,
    desk: Desk,
    /// From the start of the process until it answered.
    pub(crate) began: Duration,
    /// When it answered for the first time.
    pub(crate) answered: Instant,
}

impl Office {
    /// Serves the authority in `home` at a free port.
    pub(crate) fn open(home: &Path) -> Outcome<Self> {
        let ready = home.with_extension("ready");
        let started = Instant::now();
        let mut process = serve(
            home,
            "127.0.0.1:0",
            &["--new-owner-key".as_ref(), "--ready-file".as_ref(), ready.as_os_str()],
        )?;
        let said = loop {
            if let Some(ended) = process.try_wait()? {
                let why = fs::read_to_string(home.with_extension("log")).unwrap_or_default();
                return Err(format!("the service ended with {ended}: {why}").into());
            }
            match fs::read(&ready) {
                Ok(said) => break said,
                Err(_) if started.elapsed() < PATIENCE => thread::sleep(STEP),
                Err(error) => return Err(format!("the service does not begin: {error}").into()),
            }
        };
        let (began, answered) = (started.elapsed(), Instant::now());
        let said: serde_json::Value = serde_json::from_slice(&said)?;
        let word =
            |name: &str| said.get(name).and_then(|word| word.as_str()).ok_or("the service says too little");
        let address = word("url")?.trim_start_matches("http://").parse()?;
        let desk = Desk::at(address, word("owner_key")?);
        fs::remove_file(&ready)?;
        Ok(Self { home: home.to_owned(), process, desk, began, answered })
    }

    /// The service as its clients see it. It is at the same place after it was killed.
    pub(crate) const fn desk(&self) -> &Desk {
        &self.desk
    }

    /// Kills it where it stands.
    pub(crate) fn kill(&mut self) -> Outcome<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    /// Starts it again at the same address, and waits until it answers.
    pub(crate) fn reopen(&mut self) -> Outcome<()> {
        let started = Instant::now();
        self.process = serve(&self.home, &self.desk.address.to_string(), &[])?;
        while self.desk.ask("GET", "/health", b"").is_err() {
            if started.elapsed() > PATIENCE {
                return Err("the service does not begin again".into());
            }
            thread::sleep(STEP);
        }
        (self.began, self.answered) = (started.elapsed(), Instant::now());
        Ok(())
    }

    /// The memory that it has now and the most it had since the last time it was asked, in MB.
    pub(crate) fn memory(&self) -> Outcome<(u64, u64)> {
        memory(&self.process.id().to_string())
    }

    /// The processor time that it took so far.
    pub(crate) fn processor(&self) -> Outcome<Duration> {
        processor(&self.process.id().to_string())
    }
}

impl Drop for Office {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

fn serve(home: &Path, listen: &str, more: &[&std::ffi::OsStr]) -> Outcome<Child> {
    let kakunin = std::env::current_exe()?.with_file_name("kakunin");
    let mut command = Command::new(&kakunin);
    command.arg("serve").arg("--home").arg(home).args(["--listen", listen, "--json"]).args(more);
    // A pipe that nobody reads would fill with the log, and hold the service up.
    let log = OpenOptions::new().create(true).append(true).open(home.with_extension("log"))?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    command.spawn().map_err(|error| {
        format!("{}: {error}; build it with `cargo build --release -p kakunin-cli`", kakunin.display()).into()
    })
}

/// The memory of a process in MB: now, and the most since the last time that was asked.
pub(crate) fn memory(process: &str) -> Outcome<(u64, u64)> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let value = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok().map(|kilobytes| kilobytes.div_ceil(1024))
    };
    let both =
        value("VmRSS:").zip(value("VmHWM:")).ok_or("the system does not say how much memory it has")?;
    // From here on the most begins with what there is now.
    fs::write(format!("/proc/{process}/clear_refs"), "5")?;
    Ok(both)
}

/// The processor time of a process, in user and system.
pub(crate) fn processor(process: &str) -> Outcome<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name, in parentheses, may have spaces in it; fields 14 and 15 of proc(5) in ticks of 10 ms.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks: u64 =
        fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 10))
}

const PATIENCE: Duration = Duration::from_secs(120);
const STEP: Duration = Duration::from_millis(5);
