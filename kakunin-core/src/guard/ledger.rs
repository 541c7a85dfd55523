//! What was spent: one append-only file for all processes of an agent.
//!
//! ```text
//! frame body = u8 kind | u64 number | 32 octets budget | i64 at (unix ms) | i64 amount | u8 scale | u32 seconds
//! kind 1 reserve   counted from here on                  2 settle    the reserved amount was spent
//!      3 release   taken back: the action did not run    4 begin     nothing was spent before (genesis)
//!      5 unknown   spending before `at` is not known     6 carry     a sum carried over by compaction
//! ```
//!
//! A reservation is on disk before the body runs; what no frame takes back counts as spent, so a crash never makes room.
//! Frame numbers rise by one; the highest is also in the marks, so a file that lost its end is noticed. Then, and when
//! there is neither file nor genesis mark, every budget denies for one window.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};

use super::state::{self, LockError, Locked, Patience, StateDir};
use crate::decision::{Denial, DenialReason, Detail};
use crate::digest::Digest;
use crate::frame::{self, Frames};
use crate::leash::{BudgetKey, Charge, Quota, SlidingSum};
use crate::money::Money;
use crate::time::{UnixMillis, UnixTime};

/// The sums of one agent's budgets, and the file behind them.
#[derive(Debug)]
pub(super) struct Ledger {
    store: Store,
    sums: HashMap<BudgetKey, Entry>,
    /// The number of the last frame applied.
    frame: u64,
    /// The highest number this process has seen under `genesis`, the mark that was consumed last.
    highest: u64,
    genesis: Option<String>,
    /// Spending before this is not known.
    unknown: Option<UnixMillis>,
    /// The file was read from its beginning or lost an end; it is held against the marks before anything counts.
    doubtful: bool,
    /// With how many sums those of which nothing counts are looked for.
    tidy_at: usize,
}

#[derive(Debug)]
enum Store {
    Memory,
    /// `None` between two locks means that the file must be opened anew.
    File {
        dir: StateDir,
        file: Option<File>,
        inode: u64,
        read: u64,
    },
}

#[derive(Clone, Debug)]
struct Entry {
    seconds: u32,
    sum: SlidingSum,
}

/// What one action holds until it is settled.
#[derive(Debug)]
#[must_use = "a reservation that is dropped stays spent"]
pub(super) struct Reservation {
    frames: Vec<Record>,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    kind: Kind,
    number: u64,
    key: BudgetKey,
    at: UnixMillis,
    amount: Money,
    scale: u8,
    seconds: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Reserve = 1,
    Settle = 2,
    Release = 3,
    Begin = 4,
    Unknown = 5,
    Carry = 6,
}

impl Default for Ledger {
    fn default() -> Self {
        Self::memory()
    }
}

impl Ledger {
    /// A ledger that forgets with its process.
    pub(super) fn memory() -> Self {
        Self::of(Store::Memory)
    }

    fn of(store: Store) -> Self {
        let sums = HashMap::new();
        Self { store, sums, frame: 0, highest: 0, genesis: None, unknown: None, doubtful: false, tidy_at: 0 }
    }

    /// Opens the ledger of `dir`. With `fresh`, an authority vouches that nothing was spent before.
    pub(super) fn open(dir: &StateDir, fresh: Option<Fresh>, now: UnixMillis) -> Result<Self, LockError> {
        let store = Store::File { dir: dir.clone(), file: None, inode: 0, read: 0 };
        let mut ledger = Self::of(store);
        let lock = dir.lock(Patience::Start)?;
        ledger.catch_up(&lock)?;
        // Another process may have consumed the mark while this one waited for the lock.
        let consumed = dir.consumed_genesis()?;
        if let Some(fresh) = fresh.filter(|fresh| consumed.as_ref() != Some(&fresh.thumbprint)) {
            // Older sums end here; the numbers begin anew.
            lock.file().set_len(0)?;
            ledger.restart();
            dir.keep_marks(&lock, &dir.marks()?.restarted())?;
            ledger.append(&lock, &[(Kind::Begin, nothing(), now, Money::ZERO, 0, 0)])?;
            lock.file().sync_all()?;
            dir.consume_genesis(&lock, &fresh.thumbprint)?;
            (ledger.highest, ledger.genesis) = (ledger.frame, Some(fresh.thumbprint));
            ledger.doubtful = false;
        } else {
            ledger.notice_loss(&lock, now)?;
        }
        ledger.unlock(lock)?;
        Ok(ledger)
    }

    /// A file that is empty or ends before the last frame that was ever written says nothing about what was spent.
    fn notice_loss(&mut self, lock: &Locked, now: UnixMillis) -> io::Result<()> {
        let Store::File { dir, .. } = &self.store else { return Ok(()) };
        let genesis = dir.consumed_genesis()?;
        // Numbers begin anew with a mark; otherwise an older file with older marks beside it is known by its number.
        let seen = if genesis == self.genesis { self.highest } else { 0 };
        let last = dir.marks()?.frame.max(seen);
        self.genesis = genesis;
        if self.frame == 0 || self.frame < last {
            self.frame = self.frame.max(last);
            self.append(lock, &[(Kind::Unknown, nothing(), now, Money::ZERO, 0, 0)])?;
            lock.file().sync_all()?;
        }
        (self.highest, self.doubtful) = (self.frame, false);
        Ok(())
    }

    /// Reserves what an action takes, from all of its budgets or from none.
    pub(super) fn reserve<'a>(
        &mut self,
        charges: impl Iterator<Item = Charge<'a>>,
        at: UnixMillis,
        earliest: UnixMillis,
    ) -> Result<Reservation, Denial> {
        let lock = self.enter()?;
        if let Some(lock) = lock.as_ref().filter(|_| self.doubtful) {
            // Removed, replaced or cut while this process ran.
            self.notice_loss(lock, at).map_err(|_| DenialReason::JournalUnavailable)?;
        }
        let mut wanted = Vec::new();
        for Charge { quota, cost } in charges {
            if let Err(denial) = self.room(quota, cost, earliest) {
                self.leave(lock);
                return Err(denial);
            }
            wanted.push((Kind::Reserve, quota.key, at, cost, quota.scale, quota.seconds));
        }
        for entry in wanted.iter().map(|draft| draft.1) {
            if let Some(entry) = self.sums.get_mut(&entry) {
                entry.sum.drop_old(earliest);
            }
        }
        let written = self.write(&lock, &wanted);
        self.leave(lock);
        Ok(Reservation { frames: written.map_err(|_| DenialReason::JournalUnavailable)? })
    }

    /// The action ran, or nobody knows: what it reserved is spent.
    pub(super) fn settle(&mut self, reservation: Reservation) {
        self.finish(Kind::Settle, reservation);
    }

    /// The action did not run: what it reserved is room again.
    pub(super) fn release(&mut self, reservation: Reservation) {
        self.finish(Kind::Release, reservation);
    }

    /// Builds the sums again from the file, after a fault may have left them half changed. What is in memory alone
    /// cannot be built again, and denies from then on.
    pub(super) fn rebuild(&mut self) -> Result<(), LockError> {
        let Store::File { file, inode, .. } = &mut self.store else { return Err(LockError::Busy) };
        (*file, *inode) = (None, 0);
        let lock = self.lock(Patience::Start)?;
        self.unlock(lock)?;
        Ok(())
    }

    /// Forgets what a fault may have left half counted: every budget denies for one window from `at`.
    pub(super) fn lose(&mut self, at: UnixMillis) {
        self.restart();
        self.unknown = Some(at);
    }

    /// Lets go of sums of which nothing counts any more, once there are many: of whoever called once, nothing is kept.
    pub(super) fn tidy(&mut self, earliest: UnixMillis) {
        if self.sums.len() < self.tidy_at.max(FEW_SUMS) {
            return;
        }
        self.sums.retain(|_, entry| {
            entry.sum.drop_old(earliest);
            entry.sum.iter().next().is_some()
        });
        self.tidy_at = self.sums.len().saturating_mul(2);
    }

    /// Runs `work` under the lock, for the other files of the state directory.
    pub(super) fn with_lock<T>(
        &mut self,
        work: impl FnOnce(&Locked) -> io::Result<T>,
    ) -> Result<Option<T>, LockError> {
        if matches!(self.store, Store::Memory) {
            return Ok(None);
        }
        let lock = self.lock(Patience::Start)?;
        let done = work(&lock);
        self.unlock(lock)?;
        Ok(Some(done?))
    }

    // A reservation that is not written back stays spent, which denies and never allows: failures end here.
    fn finish(&mut self, kind: Kind, reservation: Reservation) {
        if reservation.frames.is_empty() {
            return;
        }
        let Ok(lock) = self.enter() else { return };
        let frames = reservation.frames.iter().map(|r| (kind, r.key, r.at, r.amount, r.scale, r.seconds));
        // Nothing is taken back from a file that may not hold it.
        if !self.doubtful {
            let _ = self.write(&lock, &frames.collect::<Vec<_>>());
        }
        self.leave(lock);
    }

    fn room(&self, quota: &Quota, cost: Money, now: UnixMillis) -> Result<(), Denial> {
        if let Some(since) = self.unknown {
            // One window and the bucket it may run over.
            let window = i64::from(quota.seconds) * 1000;
            if now <= since.plus_millis(window + window / 60 + 1) {
                return Err(DenialReason::BudgetUnknown.into());
            }
        }
        let rescaled;
        let sum = match self.sums.get(&quota.key) {
            None => return fits(Money::ZERO, quota, cost),
            Some(entry) if entry.sum.scale() == quota.scale => &entry.sum,
            Some(entry) => {
                rescaled = entry.sum.rescaled(quota.scale);
                &rescaled
            }
        };
        fits(sum.spent(now), quota, cost)
    }

    fn apply(&mut self, record: &Record) {
        self.frame = record.number;
        self.highest = self.highest.max(record.number);
        let Record { key, at, amount, .. } = *record;
        match record.kind {
            Kind::Begin => {
                self.sums.clear();
                self.unknown = None;
            }
            Kind::Unknown => self.unknown = Some(self.unknown.map_or(at, |known| known.max(at))),
            Kind::Settle => {}
            Kind::Reserve | Kind::Carry | Kind::Release => {
                let new =
                    || Entry { seconds: record.seconds, sum: SlidingSum::new(record.seconds, record.scale) };
                let entry = self.sums.entry(key).or_insert_with(new);
                if entry.sum.scale() != record.scale {
                    entry.sum = entry.sum.rescaled(record.scale);
                }
                if record.kind == Kind::Release {
                    entry.sum.release(amount, at)
                } else {
                    entry.sum.spend(amount, at)
                }
            }
        }
    }

    fn restart(&mut self) {
        self.sums.clear();
        self.frame = 0;
        self.unknown = None;
        if let Store::File { read, .. } = &mut self.store {
            *read = 0;
        }
    }

    fn enter(&mut self) -> Result<Option<Locked>, Denial> {
        if matches!(self.store, Store::Memory) {
            return Ok(None);
        }
        match self.lock(Patience::Call) {
            Ok(lock) => Ok(Some(lock)),
            Err(LockError::Busy) => Err(DenialReason::BudgetBusy.into()),
            Err(LockError::Io(_)) => Err(DenialReason::JournalUnavailable.into()),
        }
    }

    fn leave(&mut self, lock: Option<Locked>) {
        // A file that cannot be unlocked is closed instead, which unlocks it.
        let _ = lock.map(|lock| self.unlock(lock));
    }

    /// Locks the file and applies what others appended.
    fn lock(&mut self, patience: Patience) -> Result<Locked, LockError> {
        let Store::File { dir, file, .. } = &mut self.store else { return Err(LockError::Busy) };
        let lock = match file.take() {
            Some(file) => dir.relock(file, patience)?,
            None => dir.lock(patience)?,
        };
        self.catch_up(&lock)?;
        Ok(lock)
    }

    fn unlock(&mut self, lock: Locked) -> io::Result<()> {
        let released = lock.release();
        if let Store::File { file, .. } = &mut self.store {
            *file = released.ok();
        }
        Ok(())
    }

    fn catch_up(&mut self, lock: &Locked) -> io::Result<()> {
        use std::os::unix::fs::MetadataExt;
        let data = lock.file().metadata()?;
        let Store::File { inode, read, .. } = &mut self.store else { return Ok(()) };
        // Another file, or one that became shorter, is read from its beginning.
        let anew = *inode != data.ino() || data.len() < *read;
        *inode = data.ino();
        if anew {
            self.restart();
            self.doubtful = true;
        }
        let Store::File { read, .. } = &mut self.store else { return Ok(()) };
        if data.len() == *read {
            return Ok(());
        }
        let start = *read;
        let mut bytes = Vec::new();
        let mut file = lock.file();
        file.seek(SeekFrom::Start(start))?;
        file.read_to_end(&mut bytes)?;
        let mut frames = Frames::new(&bytes);
        let mut records = Vec::new();
        for body in frames.by_ref() {
            records.push(Record::read(body));
        }
        let whole = start + u64::try_from(frames.offset()).unwrap_or(u64::MAX);
        for record in records {
            match record {
                Some(record) if record.number == self.frame + 1 || record.kind_starts_numbers() => {
                    self.apply(&record)
                }
                // A gap or a stranger: what was spent is not known from here on.
                _ => self.unknown = Some(UnixMillis::from_millis(i64::MAX / 4)),
            }
        }
        if let Store::File { read, .. } = &mut self.store {
            *read = whole;
        }
        if whole < data.len() {
            // A torn frame of a process that died writing it: nobody was told that it counts. The marks tell it from rot.
            lock.file().set_len(whole)?;
            self.doubtful = true;
        }
        Ok(())
    }

    /// Appends frames under the lock and counts them. All of them leave in one write.
    fn append(&mut self, lock: &Locked, frames: &[Draft]) -> io::Result<Vec<Record>> {
        let mut bytes = Vec::with_capacity(frames.len() * 72);
        let mut records = Vec::with_capacity(frames.len());
        for (number, (kind, key, at, amount, scale, seconds)) in
            (self.frame + 1..).zip(frames.iter().copied())
        {
            let record = Record { kind, number, key, at, amount, scale, seconds };
            frame::push(&mut bytes, |out| record.write(out));
            records.push(record);
        }
        let mut file = lock.file();
        if let Err(error) = file.write_all(&bytes) {
            // Half a write is cut off again, here or by whoever takes the lock next.
            if let Store::File { read, .. } = &self.store {
                let _ = file.set_len(*read);
            }
            return Err(error);
        }
        // What is in the file counts, whatever fails from here on: another process counts it too.
        for record in &records {
            self.apply(record);
        }
        if let Store::File { dir, read, .. } = &mut self.store {
            *read += u64::try_from(bytes.len()).unwrap_or(0);
            let marks = dir.marks()?.raised(UnixTime::from_seconds(0), self.frame);
            dir.keep_marks(lock, &marks)?;
        }
        Ok(records)
    }

    fn write(&mut self, lock: &Option<Locked>, frames: &[Draft]) -> io::Result<Vec<Record>> {
        let Some(lock) = lock else {
            let first = self.frame + 1;
            let number = |((kind, key, at, amount, scale, seconds), number): (Draft, u64)| Record {
                kind,
                number,
                key,
                at,
                amount,
                scale,
                seconds,
            };
            let records: Vec<Record> = frames.iter().copied().zip(first..).map(number).collect();
            for record in &records {
                self.apply(record);
            }
            return Ok(records);
        };
        let records = self.append(lock, frames)?;
        self.compact_if_long(lock)?;
        Ok(records)
    }

    /// Writes the sums into a new file once the old one is mostly history. Frame numbers go on.
    fn compact_if_long(&mut self, lock: &Locked) -> io::Result<()> {
        let Store::File { dir, read, .. } = &self.store else { return Ok(()) };
        if *read < COMPACT_BYTES {
            return Ok(());
        }
        let path = dir.file(state::BUDGETS);
        let mut bytes = Vec::new();
        let mut number = self.frame;
        let mut push = |kind, key, at, amount, scale, seconds| {
            number += 1;
            frame::push(&mut bytes, |out| {
                Record { kind, number, key, at, amount, scale, seconds }.write(out)
            });
        };
        push(Kind::Begin, nothing(), UnixMillis::from_millis(0), Money::ZERO, 0, 0);
        if let Some(since) = self.unknown {
            push(Kind::Unknown, nothing(), since, Money::ZERO, 0, 0);
        }
        for (key, entry) in &self.sums {
            for (at, amount) in entry.sum.iter() {
                push(Kind::Carry, *key, at, amount, entry.sum.scale(), entry.seconds);
            }
        }
        let temp = path.with_extension("seg.new");
        // Locked before it has its name: nobody counts in it until the marks are kept. A process that died left it.
        let _ = fs::remove_file(&temp);
        let mut file = state::open_append(&temp)?;
        file.lock()?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        let marks = dir.marks()?.raised(UnixTime::from_seconds(0), number);
        fs::rename(&temp, &path)?;
        dir.keep_marks(lock, &marks)?;
        // The file under the lock is history now: the next lock opens the new one and reads it.
        if let Store::File { inode, .. } = &mut self.store {
            *inode = 0;
        }
        Ok(())
    }
}

/// An authority's word that nothing was spent before.
#[derive(Debug)]
pub(super) struct Fresh {
    /// SHA-256 of the certificate it was given for.
    pub(super) thumbprint: String,
}

type Draft = (Kind, BudgetKey, UnixMillis, Money, u8, u32);

fn nothing() -> BudgetKey {
    BudgetKey::from_digest(Digest::from_bytes([0; 32]))
}

/// Whether `cost` on top of `spent` is inside the budget.
pub(super) fn fits(spent: Money, quota: &Quota, cost: Money) -> Result<(), Denial> {
    if spent.checked_add(cost).is_some_and(|sum| sum <= quota.max) {
        return Ok(());
    }
    Err(match quota.currency {
        Some(currency) => Denial::with_detail(
            DenialReason::BudgetWindow,
            Detail::Window {
                limit: quota.max,
                spent,
                actual: cost,
                scale: quota.scale,
                currency,
                seconds: quota.seconds,
            },
        ),
        None => Denial::with_detail(
            DenialReason::BudgetRate,
            Detail::Rate { limit: quota.max.minor(), seconds: quota.seconds },
        ),
    })
}

impl Record {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(self.kind as u8);
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(self.key.digest().as_bytes());
        out.extend_from_slice(&self.at.millis().to_le_bytes());
        out.extend_from_slice(&self.amount.minor().to_le_bytes());
        out.push(self.scale);
        out.extend_from_slice(&self.seconds.to_le_bytes());
    }

    fn read(body: &[u8]) -> Option<Self> {
        let (kind, rest) = body.split_first()?;
        let (number, rest) = rest.split_first_chunk::<8>()?;
        let (key, rest) = rest.split_first_chunk::<32>()?;
        let (at, rest) = rest.split_first_chunk::<8>()?;
        let (amount, rest) = rest.split_first_chunk::<8>()?;
        let (scale, rest) = rest.split_first()?;
        let kinds = [Kind::Reserve, Kind::Settle, Kind::Release, Kind::Begin, Kind::Unknown, Kind::Carry];
        Some(Self {
            kind: kinds.into_iter().find(|known| *known as u8 == *kind)?,
            number: u64::from_le_bytes(*number),
            key: BudgetKey::from_digest(Digest::from_bytes(*key)),
            at: UnixMillis::from_millis(i64::from_le_bytes(*at)),
            amount: Money::from_minor(i64::from_le_bytes(*amount))?,
            scale: (*scale <= 18).then_some(*scale)?,
            seconds: u32::from_le_bytes(rest.try_into().ok()?),
        })
    }

    /// Whether numbers may begin here: after a genesis, a loss or a compaction.
    const fn kind_starts_numbers(&self) -> bool {
        matches!(self.kind, Kind::Begin | Kind::Unknown)
    }
}

/// About 14,000 reservations.
const COMPACT_BYTES: u64 = 1 << 20;
/// About a megabyte.
const FEW_SUMS: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_in_memory_cannot_be_built_again() {
        assert!(Ledger::memory().rebuild().is_err());
    }
}
