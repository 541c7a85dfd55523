//! The archive of one authority: its directory, who may change it, and the three things that are done with it.

use std::collections::HashSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use kakunin_core::time::UnixTime;

use super::audit::{Audit, audit};
use super::backlog::Backlog;
use super::bucket::{Bucket, BucketError};
use super::collect::{CollectError, Sources, collect};
use super::inventory::{Inventory, InventoryError, Record};
use super::lengthen::{Lengthened, lengthen};
use super::mark::{MarkError, Marks};
use super::object::{Object, ObjectKey, Rank};
use super::outbox::{Outbox, OutboxError};
use super::push::{Push, PushError, Pushed};
use super::target::{Target, TargetError};
use crate::files::{self, FileError, Readers};
use crate::home::Home;

/// The archive in a home. Reading it needs no lock.
#[derive(Clone, Debug)]
pub struct Archive {
    home: Home,
}

impl Archive {
    /// The archive of `home`; nothing is made or read yet.
    #[must_use]
    pub fn of(home: &Home) -> Self {
        Self { home: home.clone() }
    }

    /// What `use` wrote.
    ///
    /// # Errors
    /// [`ArchiveError::NoTarget`] when nothing was, [`TargetError`] when it cannot be read.
    pub fn target(&self) -> Result<Target, ArchiveError> {
        let found = Target::read(&self.path("target.json"))?;
        found.ok_or_else(|| ArchiveError::NoTarget { home: self.home.path().to_owned() })
    }

    /// What is kept.
    ///
    /// # Errors
    /// [`InventoryError`].
    pub fn inventory(&self) -> Result<Inventory, ArchiveError> {
        Ok(Inventory::read(&self.path("inventory"))?)
    }

    /// What waits.
    #[must_use]
    pub fn outbox(&self) -> Outbox {
        Outbox::at(self.path("outbox"))
    }

    /// What is not kept yet, whether it was collected or not.
    ///
    /// # Errors
    /// [`ArchiveError`] when target, outbox or inventory cannot be read.
    pub fn survey(&self) -> Result<Survey, ArchiveError> {
        let target = self.target()?;
        // Read before the inventory: what moves from one to the other meanwhile is then in both, and not in neither.
        let waiting = self.outbox().waiting()?;
        let inventory = self.inventory()?;
        let mut known: HashSet<ObjectKey> = inventory.keys_in(&target.place()).cloned().collect();
        let mut backlog = Backlog::default();
        // Never: then everything has waited since the beginning of time, and the alarm says so.
        let collected = self.collected_at()?.unwrap_or(UnixTime::from_seconds(0));
        for object in waiting {
            if known.insert(object.key) {
                backlog.queue(object.size, object.since);
            }
        }
        let counted = collect(
            &self.sources(&target)?,
            &target.prefix,
            &mut |key| !known.insert(key.clone()),
            &mut |object| {
                backlog.find(object.bytes().len() as u64, collected);
                Ok(())
            },
        );
        let obstacle = counted.map_or_else(Some, |found| found.passed_over);
        Ok(Survey { backlog, obstacle })
    }

    /// Takes the right to change the archive.
    ///
    /// # Errors
    /// [`ArchiveError::Busy`] when another process has it.
    pub fn open(&self) -> Result<OpenArchive<'_>, ArchiveError> {
        if !self.home.store().exists() {
            return Err(ArchiveError::NoHome { home: self.home.path().to_owned() });
        }
        files::make_directory(&self.path(""), Readers::Owner)?;
        let path = self.path("lock");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&path).map_err(|error| FileError::new("open", &path, error))?;
        let start = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                // A child that this process begins has a copy of what it holds, until it becomes another program.
                Err(TryLockError::WouldBlock) if start.elapsed() < PATIENCE => {
                    thread::sleep(Duration::from_millis(20));
                }
                Err(TryLockError::WouldBlock) => return Err(ArchiveError::Busy { path: self.path("") }),
                Err(TryLockError::Error(error)) => return Err(FileError::new("lock", &path, error).into()),
            }
        }
        self.outbox().sweep()?;
        Ok(OpenArchive { archive: self, _lock: file })
    }

    /// When everything was last collected. A source that nobody collects ages from there.
    fn collected_at(&self) -> Result<Option<UnixTime>, ArchiveError> {
        let path = self.path(COLLECTED);
        if !path.exists() {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&files::read(&path)?).into_owned();
        Ok(UnixTime::parse_rfc3339(text.trim_end()).ok())
    }

    fn marks(&self) -> Result<Marks, ArchiveError> {
        Ok(Marks::read(&self.path("marks"))?)
    }

    fn sources(&self, target: &Target) -> Result<Sources, ArchiveError> {
        Ok(Sources {
            log: target.log.clone().unwrap_or_else(|| self.home.log()),
            lists: self.home.all_lists()?,
            journals: target.journals.clone(),
            issuers: self.home.authorities()?,
            mark: self.marks()?.at(&target.location())?,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join("archive").join(name)
    }
}

/// What is not kept yet, as far as it can be told.
#[derive(Debug)]
pub struct Survey {
    /// How much that is.
    pub backlog: Backlog,
    /// A source that cannot be archived as it is. What lies behind it is not counted.
    pub obstacle: Option<CollectError>,
}

/// The archive, with the right to change it; released when dropped, also by a crash.
#[derive(Debug)]
pub struct OpenArchive<'a> {
    archive: &'a Archive,
    _lock: File,
}

impl OpenArchive<'_> {
    /// Decides where the archive is, if `bucket` can keep one.
    ///
    /// # Errors
    /// [`BucketError`] when it keeps no versions or cannot lock them.
    pub fn use_target(
        &self,
        target: &Target,
        bucket: &dyn Bucket,
        now: UnixTime,
    ) -> Result<(), ArchiveError> {
        bucket.examine(now)?;
        target.write(&self.archive.path("target.json"))?;
        // From now on a push is expected.
        if self.archive.collected_at()?.is_none() { self.note_collected(now) } else { Ok(()) }
    }

    fn note_collected(&self, now: UnixTime) -> Result<(), ArchiveError> {
        let text = format!("{now}\n");
        Ok(files::replace(&self.archive.path(COLLECTED), text.as_bytes(), Readers::Owner)?)
    }

    /// Copies everything that is neither kept nor waiting into the outbox; gives how much that was.
    ///
    /// # Errors
    /// [`ArchiveError`] for a source that cannot be used. What came before it is in the outbox.
    pub fn collect(&self, now: UnixTime) -> Result<u64, ArchiveError> {
        let target = self.archive.target()?;
        let outbox = self.archive.outbox();
        let inventory = self.archive.inventory()?;
        let mut known: HashSet<ObjectKey> = inventory.keys_in(&target.place()).cloned().collect();
        known.extend(outbox.waiting()?.into_iter().map(|waiting| waiting.key));
        let mut batch = Batch { outbox: &outbox, objects: Vec::new(), bytes: 0, added: 0, now };
        let sources = self.archive.sources(&target)?;
        let collected: Result<_, ArchiveError> =
            collect(&sources, &target.prefix, &mut |key| !known.insert(key.clone()), &mut |object| {
                batch.take(object)
            });
        // Also after a failure: lists do not wait for a log to be repaired.
        batch.write()?;
        let found = collected?;
        if let Some(mark) = found.mark {
            self.archive.marks()?.set(target.location(), &mark)?;
        }
        if let Some(error) = found.passed_over {
            return Err(error.into());
        }
        self.note_collected(now)?;
        Ok(batch.added)
    }

    /// Empties the outbox into `bucket`.
    ///
    /// # Errors
    /// [`ArchiveError`] when the bucket cannot keep anything, or something on this side cannot be read or written. What
    /// the bucket says about single objects is in [`Pushed`].
    pub fn push(
        &self,
        bucket: &dyn Bucket,
        clock: &(dyn Fn() -> UnixTime + Sync),
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Pushed, ArchiveError> {
        let retention = self.archive.target()?.retention;
        bucket.examine(clock())?;
        let (inventory, outbox) = (self.archive.inventory()?, self.archive.outbox());
        // A process that died between recording and releasing left these.
        let kept: HashSet<&ObjectKey> = inventory.keys_in(bucket.name()).collect();
        let recorded = outbox.waiting()?.into_iter().filter(|waiting| kept.contains(&waiting.key));
        outbox.release(&recorded.map(|waiting| waiting.place).collect::<Vec<_>>())?;
        let inventory = inventory.append_to(&self.archive.path("inventory"))?;
        Ok(Push { outbox: &outbox, inventory, bucket, retention, clock, progress }.run()?)
    }

    /// Locks what `bucket` keeps already for as long as the target says now, counted from when it was stored.
    ///
    /// # Errors
    /// [`ArchiveError`] when the bucket cannot keep anything, or the inventory cannot be read or written. What the bucket
    /// says about single objects is in [`Lengthened`].
    pub fn lengthen(
        &self,
        bucket: &dyn Bucket,
        now: UnixTime,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Lengthened, ArchiveError> {
        let retention = self.archive.target()?.retention;
        bucket.examine(now)?;
        let inventory = self.archive.inventory()?;
        let mut writer = inventory.append_to(&self.archive.path("inventory"))?;
        let records: Vec<&Record> =
            inventory.records().iter().filter(|record| record.bucket == bucket.name()).collect();
        Ok(lengthen(bucket, &records, retention, now, &mut writer, progress)?)
    }
}

impl Archive {
    /// Reads back everything that the inventory says `bucket` keeps.
    ///
    /// # Errors
    /// [`ArchiveError`] when the inventory cannot be read or the bucket can keep nothing.
    pub fn audit(
        &self,
        bucket: &dyn Bucket,
        now: UnixTime,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Audit, ArchiveError> {
        let inventory = self.inventory()?;
        bucket.examine(now)?;
        let records: Vec<&Record> =
            inventory.records().iter().filter(|record| record.bucket == bucket.name()).collect();
        let elsewhere = (inventory.records().len() - records.len()) as u64;
        Ok(Audit { elsewhere, ..audit(bucket, &records, now, progress) })
    }
}

/// Collected objects on their way into the outbox, a few mebibytes at a time.
struct Batch<'a> {
    outbox: &'a Outbox,
    objects: Vec<Object>,
    bytes: usize,
    added: u64,
    now: UnixTime,
}

impl Batch<'_> {
    fn take(&mut self, object: Object) -> Result<(), ArchiveError> {
        self.bytes = self.bytes.saturating_add(object.bytes().len());
        let head = object.rank() == Rank::Head;
        self.objects.push(object);
        // A checkpoint ends its batch, so that a killed process leaves at most parts of one.
        if head || self.bytes > BATCH { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), ArchiveError> {
        self.outbox.add(&self.objects, self.now)?;
        self.added = self.added.saturating_add(self.objects.len() as u64);
        self.objects.clear();
        self.bytes = 0;
        Ok(())
    }
}

/// Why the archive cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// No authority.
    #[error("{} holds no authority; run `kakunin init` first, or name another --home", home.display())]
    NoHome {
        /// The directory.
        home: PathBuf,
    },
    /// Nobody said where to.
    #[error("{} has no archive; run `kakunin archive use s3://BUCKET --keep 7y`", home.display())]
    NoTarget {
        /// The home.
        home: PathBuf,
    },
    /// Another process.
    #[error("another command is at {}; wait for it to end", path.display())]
    Busy {
        /// The archive.
        path: PathBuf,
    },
    /// The target.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// A source.
    #[error(transparent)]
    Collect(#[from] CollectError),
    /// The outbox.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// The inventory.
    #[error(transparent)]
    Inventory(#[from] InventoryError),
    /// The marks.
    #[error(transparent)]
    Mark(#[from] MarkError),
    /// A push.
    #[error(transparent)]
    Push(#[from] PushError),
    /// The bucket.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
}

impl ArchiveError {
    /// Whether the answer is a no rather than the lack of one.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Bucket(error) => error.is_refusal(),
            Self::Collect(error) => error.is_refusal(),
            _ => false,
        }
    }
}

const COLLECTED: &str = "collected";

/// How long the lock is waited for. Whoever changes the archive has it for longer.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is held in memory while it is collected.
const BATCH: usize = 8 << 20;
