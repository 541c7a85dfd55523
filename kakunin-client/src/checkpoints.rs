//! Checkpoints of the owner's log on their way to the authority, which compares what the agents of one owner were shown.
//!
//! ```text
//! STATE/checkpoints   what was taken up last, and what the authority has not answered yet; one JSON object
//! ```
//!
//! The file that `agent.toml` names is overwritten by the next checkpoint, so each is copied before it is sent: what was seen
//! is sent at least once, in its order, also after a restart. What a guard would not take up, because it is shorter or a second
//! tree of one size, is sent all the same: it is what the authority has to hear of. An agent whose settings pin no log has
//! nothing to send.

use std::collections::VecDeque;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use base64ct::{Base64, Encoding as _};
use kakunin_core::digest::Digest;
use kakunin_core::home::{AgentHome, FileVersion};
use kakunin_core::log::{LogReader, OpenedCheckpoint, SignedNote, VerifierKey};
use kakunin_core::modes;
use serde_json::{Value, json};

use crate::files::{self, Readers};

/// The checkpoints of one state directory, while this process is the one that sends them.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    path: PathBuf,
    /// The file as it was looked at last, and what was wrong with it.
    seen: Option<FileVersion>,
    taken: Taken,
    _lock: File,
}

/// What `STATE/checkpoints` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Taken {
    last: Option<Head>,
    waiting: VecDeque<Waiting>,
}

/// Which tree of which log.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Head {
    log: String,
    size: u64,
    root: Digest,
}

/// A checkpoint that is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    head: Head,
    note: String,
    /// That it continues the one before, as it goes into the body.
    proof: Option<Value>,
}

impl Waiting {
    /// How many entries its log had.
    pub(crate) const fn size(&self) -> u64 {
        self.head.size
    }

    /// What is sent.
    pub(crate) fn body(&self) -> String {
        let mut body = json!({ "log": self.head.log, "checkpoint": self.note });
        if let (Some(proof), Some(body)) = (&self.proof, body.as_object_mut()) {
            body.insert("consistency".into(), proof.clone());
        }
        body.to_string()
    }
}

impl Checkpoints {
    /// Opens those of `state`; `None` while another process sends them, or there is no state yet.
    pub(crate) fn open(state: &Path) -> io::Result<Option<Self>> {
        if !state.is_dir() {
            return Ok(None);
        }
        let lock = modes::open_lock(&state.join("checkpoints.lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let path = state.join("checkpoints");
        let text = match files::read_text(&path, MAX_FILE) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        // What is damaged costs sending again what is there now.
        let taken = Taken::read(&text).unwrap_or_default();
        Ok(Some(Self { path, seen: None, taken, _lock: lock }))
    }

    /// Looks whether the agent in `dir` was shown another checkpoint, and keeps it to be sent.
    ///
    /// # Errors
    /// What cannot be read or kept; a checkpoint that the pinned key did not sign is told once and not kept.
    pub(crate) fn look(&mut self, dir: &Path) -> io::Result<()> {
        let home = AgentHome::open(dir, None).map_err(io::Error::other)?;
        let Some(log) = home.log() else { return Ok(()) };
        let version = FileVersion::of(home.checkpoint_path());
        if self.seen == Some(version) || !version.exists() {
            return Ok(());
        }
        self.seen = Some(version);
        let opened = open(&home, log)?;
        let head = Head { log: opened.log().to_string(), size: opened.size(), root: *opened.root() };
        if self.taken.last.as_ref() == Some(&head) {
            return Ok(());
        }
        let mut taken = self.taken.clone();
        if taken.waiting.len() >= MOST {
            // The first ones say most about what came before; the newest takes the place of the one before it.
            taken.waiting.pop_back();
        }
        let before = taken.waiting.back().map(|waiting| &waiting.head).or(taken.last.as_ref());
        let proof = before.and_then(|before| proof(home.checkpoint_path(), &opened, before));
        taken.waiting.push_back(Waiting { head: head.clone(), note: short(&opened)?, proof });
        taken.last = Some(head);
        self.keep(taken)
    }

    /// The next one to be sent, and how many wait.
    pub(crate) fn next(&self) -> (Option<Waiting>, u64) {
        (self.taken.waiting.front().cloned(), self.taken.waiting.len() as u64)
    }

    /// The authority has answered `sent`.
    pub(crate) fn answered(&mut self, sent: &Waiting) -> io::Result<()> {
        let mut taken = self.taken.clone();
        if taken.waiting.front() == Some(sent) {
            taken.waiting.pop_front();
        }
        self.keep(taken)
    }

    fn keep(&mut self, taken: Taken) -> io::Result<()> {
        files::replace(&self.path, taken.write().as_bytes(), Readers::Owner).map_err(|error| error.source)?;
        self.taken = taken;
        Ok(())
    }
}

fn open(home: &AgentHome, log: &str) -> io::Result<OpenedCheckpoint> {
    let wrong = |why: &dyn std::fmt::Display| {
        let text = format!("the checkpoint `{}` is not sent: {why}", home.checkpoint_path().display());
        io::Error::new(io::ErrorKind::InvalidData, text)
    };
    let key = VerifierKey::parse(log).map_err(|error| wrong(&error))?;
    let octets = home.checkpoint().map_err(|error| wrong(&error))?;
    SignedNote::parse(&octets).and_then(|note| note.open(&key)).map_err(|error| wrong(&error))
}

/// The note, without the lines of witnesses where they are more than an authority takes.
fn short(opened: &OpenedCheckpoint) -> io::Result<String> {
    let (note, name) = (opened.note(), opened.log().name());
    let whole = note.to_string();
    if whole.chars().count() <= MAX_NOTE {
        return Ok(whole);
    }
    let own = note.signatures().iter().filter(|signature| signature.name() == name);
    let lines: String = own.map(|signature| format!("{signature}\n")).collect();
    let short = format!("{}\n{lines}", note.text());
    let too_long = || io::Error::new(io::ErrorKind::InvalidData, "the checkpoint is longer than any upload");
    (short.chars().count() <= MAX_NOTE).then_some(short).ok_or_else(too_long)
}

/// Where the log itself lies around the checkpoint, that it continues the tree `before`. Nobody needs it: what cannot be
/// proved is compared by the authority when it has a tree of the same size.
fn proof(checkpoint: &Path, opened: &OpenedCheckpoint, before: &Head) -> Option<Value> {
    let (from, to) = (before.size, opened.size());
    let is_log = before.log == opened.log().to_string() && from > 0 && from < to;
    let folder = checkpoint.parent().filter(|folder| is_log && folder.join("tile").is_dir())?;
    let mut log = LogReader::open(folder, opened.log()).ok()?;
    // It may have grown since: a proof about this checkpoint is asked of it, and no other.
    let proof = log.consistency(from, to).ok()?;
    let hashes: Vec<_> = proof.path.iter().map(|hash| Base64::encode_string(hash.as_bytes())).collect();
    Some(json!({ "from": from, "to": to, "hashes": hashes }))
}

impl Taken {
    fn write(&self) -> String {
        let head = |head: &Head| json!({ "log": head.log, "size": head.size, "root": head.root.to_hex() });
        let waiting = |waiting: &Waiting| json!({ "head": head(&waiting.head), "note": waiting.note, "proof": waiting.proof });
        let waiting: Vec<_> = self.waiting.iter().map(waiting).collect();
        json!({ "form": FORM, "last": self.last.as_ref().map(head), "waiting": waiting }).to_string()
    }

    fn read(text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        if value.get("form")?.as_str()? != FORM {
            return None;
        }
        let head = |value: &Value| {
            let text = |name| value.get(name).and_then(Value::as_str);
            let size = value.get("size").and_then(Value::as_u64)?;
            Some(Head { log: text("log")?.to_owned(), size, root: Digest::from_hex(text("root")?)? })
        };
        let waiting = |value: &Value| {
            let proof = value.get("proof").filter(|proof| proof.is_object()).cloned();
            let note = value.get("note")?.as_str()?.to_owned();
            Some(Waiting { head: head(value.get("head")?)?, note, proof })
        };
        let last = match value.get("last")? {
            Value::Null => None,
            last => Some(head(last)?),
        };
        let waiting = value.get("waiting")?.as_array()?.iter().map(waiting).collect::<Option<_>>()?;
        Some(Self { last, waiting })
    }
}

const FORM: &str = "kakunin-checkpoints-v1";
/// Each is some 300 octets as a rule.
const MOST: usize = 64;
/// In characters: what an authority takes.
const MAX_NOTE: usize = 32 * 1024;
const MAX_FILE: u64 = 8 << 20;

#[cfg(test)]
mod tests {
    use std::fs;

    use kakunin_core::key::{Algorithm, Signer, SoftKey};
    use kakunin_core::log::{Log, LogKey};

    use super::*;
    use crate::tested::{certified, with_authority};

    /// An agent whose checkpoint is that of a log beside it, and a second history of that log.
    fn world(test: impl FnOnce(&Path, &Path, &mut Log, &mut Log)) {
        with_authority(|folder, authority| {
            certified(authority, folder, "billing");
            let (_, secret) = SoftKey::generate(Algorithm::Ed25519).unwrap();
            let key =
                || LogKey::new("log.example/a", Signer::soft(SoftKey::from_pkcs8(&secret).unwrap())).unwrap();
            let mut log = Log::create(&folder.join("log"), key()).unwrap();
            let mut other = Log::create(&folder.join("other"), key()).unwrap();
            let dir = folder.join("billing");
            let pin = format!("log = \"{}\"\ncheckpoint = \"../log/checkpoint\"\n", log.checkpoint().log());
            let settings = dir.join("agent.toml");
            let before: String = fs::read_to_string(&settings)
                .unwrap()
                .lines()
                .filter(|line| !line.starts_with("log =") && !line.starts_with("checkpoint ="))
                .map(|line| format!("{line}\n"))
                .collect();
            // Settings come before tables.
            fs::write(&settings, format!("{pin}{before}")).unwrap();
            let state = folder.join("state");
            fs::create_dir(&state).unwrap();
            test(&dir, &state, &mut log, &mut other);
        });
    }

    fn sizes(checkpoints: &Checkpoints) -> Vec<u64> {
        checkpoints.taken.waiting.iter().map(Waiting::size).collect()
    }

    #[test]
    fn what_was_shown_waits_in_its_order_with_proofs_and_is_there_after_a_restart() {
        world(|dir, state, log, _| {
            assert!(Checkpoints::open(&state.join("nowhere")).unwrap().is_none());
            let mut checkpoints = Checkpoints::open(state).unwrap().unwrap();
            assert!(Checkpoints::open(state).unwrap().is_none(), "one process sends them");
            for entries in [vec!["a", "b"], vec!["c"], vec!["d", "e", "f"]] {
                log.append(&entries).unwrap();
                checkpoints.look(dir).unwrap();
                checkpoints.look(dir).unwrap();
            }
            assert_eq!(sizes(&checkpoints), [2, 3, 6]);
            drop(checkpoints);
            let mut checkpoints = Checkpoints::open(state).unwrap().unwrap();
            checkpoints.look(dir).unwrap();
            assert_eq!(sizes(&checkpoints), [2, 3, 6], "what was taken up is not taken up again");
            let (first, behind) = checkpoints.next();
            let first = first.unwrap();
            assert_eq!((first.size(), behind, first.proof.is_none()), (2, 3, true));
            checkpoints.answered(&first).unwrap();
            checkpoints.answered(&first).unwrap();
            let second = checkpoints.next().0.unwrap();
            let body: Value = serde_json::from_str(&second.body()).unwrap();
            assert_eq!((&body["consistency"]["from"], &body["consistency"]["to"]), (&json!(2), &json!(3)));
            assert_eq!(body["log"], json!(log.checkpoint().log().to_string()));
            drop(checkpoints);
            let text = fs::read_to_string(state.join("checkpoints")).unwrap();
            assert_eq!(Taken::read(&text).unwrap().waiting.len(), 2);
            for wrong in ["", "{}", &text.replace(FORM, "another"), &text.replace("\"note\"", "\"no\"")] {
                assert_eq!(Taken::read(wrong), None, "{wrong}");
            }
        });
    }

    #[test]
    fn a_second_history_and_one_that_is_shorter_are_sent_too_and_strangers_are_not() {
        world(|dir, state, log, other| {
            let mut checkpoints = Checkpoints::open(state).unwrap().unwrap();
            let file = log.reader().folder().join("checkpoint");
            log.append(&["a", "b", "c"]).unwrap();
            checkpoints.look(dir).unwrap();
            other.append(&["x"]).unwrap();
            fs::write(&file, other.checkpoint().note().to_string()).unwrap();
            checkpoints.look(dir).unwrap();
            other.append(&["y", "z"]).unwrap();
            fs::write(&file, other.checkpoint().note().to_string()).unwrap();
            checkpoints.look(dir).unwrap();
            assert_eq!(sizes(&checkpoints), [3, 1, 3]);
            assert_ne!(checkpoints.taken.waiting[0].head.root, checkpoints.taken.waiting[2].head.root);
            let stranger = SoftKey::generate(Algorithm::Ed25519).unwrap().0;
            let key = LogKey::new("log.example/a", Signer::soft(stranger)).unwrap();
            let stranger = Log::create(&dir.join("stranger"), key).unwrap();
            fs::write(&file, stranger.checkpoint().note().to_string()).unwrap();
            let refused = checkpoints.look(dir).unwrap_err();
            assert!(refused.to_string().contains("is not sent"), "{refused}");
            checkpoints.look(dir).unwrap();
            assert_eq!(sizes(&checkpoints), [3, 1, 3], "told once, and kept never");
        });
    }

    #[test]
    fn an_outage_costs_a_bounded_file_with_the_first_ones_and_the_newest() {
        world(|dir, state, log, _| {
            let mut checkpoints = Checkpoints::open(state).unwrap().unwrap();
            for _ in 0..MOST + 9 {
                log.append(&["entry"]).unwrap();
                checkpoints.look(dir).unwrap();
            }
            let kept = sizes(&checkpoints);
            assert_eq!(kept.len(), MOST);
            assert_eq!((kept[0], kept[MOST - 2], kept[MOST - 1]), (1, MOST as u64 - 1, MOST as u64 + 9));
            let last = checkpoints.taken.waiting.back().unwrap().proof.clone().unwrap();
            assert_eq!(last["from"], json!(MOST - 1), "proved against the one that is sent before it");
        });
    }

    #[test]
    fn an_agent_without_a_log_has_nothing_to_send() {
        with_authority(|folder, authority| {
            certified(authority, folder, "billing");
            let (dir, state) = (folder.join("billing"), folder.join("state"));
            fs::create_dir(&state).unwrap();
            fs::write(dir.join("checkpoint"), "anything").unwrap();
            let mut checkpoints = Checkpoints::open(&state).unwrap().unwrap();
            checkpoints.look(&dir).unwrap();
            assert_eq!(checkpoints.next(), (None, 0));
            assert!(!state.join("checkpoints").exists());
        });
    }
}
