//! Calls that wait for the disk, and the one sync that they share.
//!
//! What is written after a sync began is not known to be on the disk when it ends. So while one is under way, calls gather
//! for the next; the first of them leads: it waits for the end of the one before, writes what all of them hold, syncs
//! without the stream's lock and wakes the others, each once.

use std::sync::{Arc, MutexGuard, OnceLock};

use super::signing::Shared;
use super::writer::{Writer, lock};
use crate::level::Level;
use crate::reason::DenialReason;

/// Calls whose receipts one sync puts on the disk.
#[derive(Default)]
pub(super) struct Group {
    /// That the receipts are on the disk; the denial of all that follows if they are not.
    told: OnceLock<Result<(), DenialReason>>,
}

/// The groups of a stream, under its lock.
#[derive(Default)]
pub(super) struct Groups {
    /// The latest that began its sync.
    begun: Option<Arc<Group>>,
    /// Gathers for the next one.
    gathering: Option<Arc<Group>>,
}

/// A call's place among those that wait. Who leads and does not wait lets the others wait for ever.
#[must_use]
pub(super) enum Place {
    /// It has nothing to wait for.
    Nowhere,
    /// Another call leads.
    Behind(Arc<Group>),
    /// And if there is a group before, only after it.
    Leading(Arc<Group>, Option<Arc<Group>>),
}

impl Writer {
    /// The place of a call that waits for everything accepted until now.
    fn gather(&mut self) -> Place {
        if self.sink.is_durable() {
            return Place::Nowhere;
        }
        if let Some(group) = &self.groups.gathering {
            return Place::Behind(Arc::clone(group));
        }
        let group = Arc::<Group>::default();
        self.groups.gathering = Some(Arc::clone(&group));
        Place::Leading(group, self.groups.begun.clone())
    }
}

impl Shared {
    /// Lets the signer know what was written, and waits for the disk if `level` asks for it.
    pub(super) fn settle(
        self: &Arc<Self>,
        mut writer: MutexGuard<'_, Writer>,
        level: Level,
    ) -> Result<(), DenialReason> {
        let place = if level == Level::Sync { writer.gather() } else { Place::Nowhere };
        let woken = self.wake(writer);
        self.wait(place).and(woken)
    }

    /// Waits until everything accepted so far is on the disk.
    pub(super) fn persist(&self, mut writer: MutexGuard<'_, Writer>) -> Result<(), DenialReason> {
        let place = writer.gather();
        drop(writer);
        self.wait(place)
    }

    fn wait(&self, place: Place) -> Result<(), DenialReason> {
        let (group, before) = match place {
            Place::Nowhere => return Ok(()),
            Place::Behind(group) => return *group.told.wait(),
            Place::Leading(group, before) => (group, before),
        };
        if let Some(before) = before {
            before.told.wait();
        }
        let synced = self.sync();
        *group.told.get_or_init(|| synced)
    }

    /// Puts what was accepted by now on the disk, for the group that gathered for it.
    fn sync(&self) -> Result<(), DenialReason> {
        let mut writer = lock(&self.writer)?;
        writer.groups.begun = writer.groups.gathering.take();
        if let Some(reason) = writer.failed {
            return Err(reason);
        }
        let Ok(stretch) = writer.sink.unsynced() else { return Err(poison(&mut writer)) };
        let Some(stretch) = stretch else { return Ok(()) };
        drop(writer);
        let synced = stretch.sync();
        let mut writer = lock(&self.writer)?;
        // Asked again, the kernel may say that all is well though it dropped what it could not write.
        synced.map_err(|_| poison(&mut writer))?;
        writer.sink.synced(&stretch);
        Ok(())
    }
}

fn poison(writer: &mut Writer) -> DenialReason {
    writer.failed = Some(DenialReason::JournalPoisoned);
    DenialReason::JournalPoisoned
}
