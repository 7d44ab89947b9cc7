//! What is kept on disk, asked for on a lane of its own: a cache disk that does not answer costs a moment, never the source.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use super::lanes::{Class, LaneKey};
use super::turn::off_source;
use super::{Shared, sweep_plan};
use crate::cache::disk::{Disk, DiskStats, EntryKey, Payload};
use crate::cache::{Budget, Key, Lead, Lease, Share, Tile};
use crate::io::{Watch, now_ms};
use crate::model::Reduction;
use crate::pyramid::{ChunkFrame, ChunkId, OpenImage, Origin};
use crate::sync::{Arc, AtomicU64, Mutex, Ordering, lock};

/// Longest time that anybody waits for the disk; a quarter of the deadline if that is shorter.
const PATIENCE_MS: u64 = 2000;
/// A disk that did not answer is left alone for so long.
const SILENCE_MS: u64 = 10_000;

/// Somebody waits for an answer of the disk; called once, with what came of it.
type Then<T> = Box<dyn FnOnce(Option<T>) + Send>;

struct Slot<T> {
    since: u64,
    then: Mutex<Option<Then<T>>>,
}

/// A [`Slot`] of anything.
trait Waiting: Send + Sync {
    fn since(&self) -> u64;
    /// Goes on without the disk, unless it has answered.
    fn give_up(&self);
}

impl<T> Waiting for Slot<T> {
    fn since(&self) -> u64 {
        self.since
    }

    fn give_up(&self) {
        let then = lock(&self.then).take();
        if let Some(then) = then {
            then(None);
        }
    }
}

/// See the module.
pub(crate) struct Kept {
    disk: Arc<Disk>,
    lane: LaneKey,
    patience: u64,
    silent_until: AtomicU64,
    waiting: Mutex<Waiters>,
}

/// Those who wait, by number.
#[derive(Default)]
struct Waiters {
    slots: HashMap<u64, Arc<dyn Waiting>>,
    next: u64,
}

impl Kept {
    pub(crate) fn new(disk: Arc<Disk>, folder: &Path, deadline: Duration) -> Self {
        let quarter = u64::try_from(deadline.as_millis() / 4).unwrap_or(u64::MAX).max(25);
        Kept {
            disk,
            // Paths of source directories are relative: this is none of them.
            lane: LaneKey::new(folder),
            patience: PATIENCE_MS.min(quarter),
            silent_until: AtomicU64::new(0),
            waiting: Mutex::default(),
        }
    }

    pub(crate) fn disk(&self) -> &Arc<Disk> {
        &self.disk
    }

    pub(crate) fn stats(&self) -> DiskStats {
        let mut stats = self.disk.stats();
        if now_ms() < self.silent_until.load(Ordering::Relaxed) {
            stats.state = "does not answer".to_owned();
        }
        stats
    }

    /// Lets those go on who waited too long; true if anybody waits still.
    pub(crate) fn give_up_silent(&self) -> bool {
        let now = now_ms();
        let late: Vec<Arc<dyn Waiting>> = {
            let mut waiting = lock(&self.waiting);
            let late = |slot: &Arc<dyn Waiting>| now.saturating_sub(slot.since()) >= self.patience;
            waiting.slots.extract_if(|_, slot| late(slot)).map(|(_, slot)| slot).collect()
        };
        if !late.is_empty() {
            self.silent_until.store(now + SILENCE_MS, Ordering::Relaxed);
        }
        for slot in late {
            slot.give_up();
        }
        !lock(&self.waiting).slots.is_empty()
    }

    /// Asks the disk on its lane; `then` gets the answer, or nothing if there is none in time. It may run before this returns.
    fn ask<T: Send + 'static>(
        shared: &Arc<Shared>,
        job: impl FnOnce(&Disk) -> Option<T> + Send + 'static,
        then: impl FnOnce(Option<T>) + Send + 'static,
    ) {
        let Some(kept) = shared.kept.as_ref().filter(|k| now_ms() >= k.silent_until.load(Ordering::Relaxed)) else {
            return then(None);
        };
        let slot = Arc::new(Slot { since: now_ms(), then: Mutex::new(Some(Box::new(then) as Then<T>)) });
        let number = {
            let mut waiting = lock(&kept.waiting);
            waiting.next += 1;
            let number = waiting.next;
            waiting.slots.insert(number, Arc::clone(&slot) as Arc<dyn Waiting>);
            number
        };
        let weak = Arc::downgrade(shared);
        let disk = Arc::clone(&kept.disk);
        let run = move |may: Result<(), crate::Error>| {
            let wanted = lock(&slot.then).is_some();
            let asked = || catch_unwind(AssertUnwindSafe(|| job(&disk))).ok().flatten();
            let found = (wanted && may.is_ok()).then(asked).flatten();
            if let Some(kept) = weak.upgrade().as_ref().and_then(|s| s.kept.as_ref()) {
                lock(&kept.waiting).slots.remove(&number);
            }
            let then = lock(&slot.then).take();
            if let Some(then) = then {
                then(found);
            }
        };
        shared.lanes.push(&kept.lane, Class::Data, &Arc::new(Watch::default()), Box::new(run));
    }

    /// The same, waited for; on a lane thread of a source.
    pub(crate) fn ask_now<T: Send + 'static>(
        shared: &Arc<Shared>,
        job: impl FnOnce(&Disk) -> Option<T> + Send + 'static,
    ) -> Option<T> {
        // The supervisor lets nobody wait so long; this is for threads that it does not know of.
        let most = Duration::from_millis(shared.kept.as_ref()?.patience + 1000);
        let (send, receive) = crossbeam::channel::bounded(1);
        Kept::ask(shared, job, move |found| drop(send.send(found)));
        off_source(|| receive.recv_timeout(most).ok().flatten())
    }
}

/// An entry that was read, with what pays for it.
pub(crate) fn load(shared: &Arc<Shared>, key: EntryKey, most: u64) -> Option<(Vec<u8>, Lease)> {
    let budget = Arc::clone(&shared.units.budget);
    Kept::ask_now(shared, move |disk| disk.load(&key, most, |bytes| budget.lease_now(Share::Held, bytes)))
}

/// The name of a chunk among entries.
pub(crate) fn chunk_key(image: &OpenImage, chunk: ChunkId) -> Option<EntryKey> {
    let side = image.pyramids.get(chunk.series as usize)?.chunk;
    Some(EntryKey::chunk(image.on_disk?, side, &chunk))
}

/// What the disk has for a chunk.
enum Found {
    Itself(Tile),
    /// All chunks of the next finer level under it, to be reduced once more.
    Finer(Vec<(ChunkId, Tile)>),
}

/// The entries of a chunk and of those under it, with what their bytes follow from.
struct Entries {
    own: (EntryKey, ChunkFrame),
    finer: Vec<(ChunkId, EntryKey, ChunkFrame)>,
}

impl Entries {
    fn of(image: &OpenImage, chunk: ChunkId) -> Option<Self> {
        let entry = |id| Some((chunk_key(image, id)?, ChunkFrame::new(image, &id).ok()?));
        let finer = finer(image, chunk).into_iter().map(|id| entry(id).map(|(key, frame)| (id, key, frame)));
        Some(Entries { own: entry(chunk)?, finer: finer.collect::<Option<_>>()? })
    }

    fn find(&self, disk: &Disk, budget: &Arc<Budget>) -> Option<Found> {
        // Room may take a while, which is no fault of the disk.
        let room = |bytes| off_source(|| budget.lease_blocking(Share::Unit, bytes)).ok();
        let (key, frame) = &self.own;
        if let Some(tile) = disk.load_chunk(key, frame, room) {
            return Some(Found::Itself(tile));
        }
        if self.finer.is_empty() || !self.finer.iter().all(|(_, key, _)| disk.has(key)) {
            return None;
        }
        let load = |(id, key, frame): &(ChunkId, EntryKey, ChunkFrame)| Some((*id, disk.load_chunk(key, frame, room)?));
        self.finer.iter().map(load).collect::<Option<_>>().map(Found::Finer)
    }
}

/// The chunks of the next finer level under a chunk, if they are what it is reduced from.
fn finer(image: &OpenImage, chunk: ChunkId) -> Vec<ChunkId> {
    let known = image.pyramids.get(chunk.series as usize).zip(image.source.series().get(chunk.series as usize));
    let Some((level, (pyramid, series))) = chunk.level.checked_sub(1).zip(known) else { return Vec::new() };
    let origin = pyramid.levels.get(level as usize).map(|l| l.origin);
    if origin != Some(Origin::Synthesized) || series.reduction == Reduction::Nearest {
        return Vec::new();
    }
    let grid = pyramid.grid(level as usize);
    let rows = 2 * chunk.y..(2 * chunk.y + 2).min(grid.y);
    let all = rows.flat_map(|y| (2 * chunk.x..(2 * chunk.x + 2).min(grid.x)).map(move |x| (y, x)));
    all.map(|(y, x)| ChunkId { level, y, x, ..chunk }).collect()
}

/// Makes a chunk of a synthesized level whose flight is `lead`: from the disk if it is kept there, else by a sweep over what
/// the disk has of the next finer level, or over the source.
pub(crate) fn make_chunk(shared: &Arc<Shared>, lane: &LaneKey, image: &Arc<OpenImage>, chunk: ChunkId, lead: Lead) {
    let Some(mut entries) = shared.kept.as_ref().and_then(|_| Entries::of(image, chunk)) else {
        return sweep_plan::start(shared, lane, image, chunk, lead);
    };
    // What is in memory need not come from the disk.
    entries.finer.retain(|(id, ..)| shared.units.cache.touch(&Key::Chunk(image.key, *id)).is_none());
    let budget = Arc::clone(&shared.units.budget);
    let then = {
        let (shared, lane, image) = (Arc::clone(shared), lane.clone(), Arc::clone(image));
        move |found: Option<Found>| match found {
            Some(Found::Itself(tile)) => {
                let tile = Arc::new(tile);
                shared.units.cache.insert(Key::Chunk(image.key, chunk), &tile);
                lead.finish(&Ok(tile));
            }
            other => {
                if let Some(Found::Finer(tiles)) = other {
                    for (id, tile) in tiles {
                        shared.units.cache.insert(Key::Chunk(image.key, id), &Arc::new(tile));
                    }
                }
                sweep_plan::start(&shared, &lane, &image, chunk, lead);
            }
        }
    };
    Kept::ask(shared, move |disk| entries.find(disk, &budget), then);
}

/// Has a chunk kept on disk, if it is all the source's: one with holes tells of damage that must be found anew.
pub(crate) fn keep_chunk(shared: &Shared, image: &OpenImage, chunk: ChunkId, tile: &Arc<Tile>) {
    let Some(kept) = shared.kept.as_ref().filter(|_| tile.is_whole()) else { return };
    if let Some((key, frame)) = chunk_key(image, chunk).zip(ChunkFrame::new(image, &chunk).ok()) {
        off_source(|| kept.disk.offer(key, Payload::Chunk(Arc::clone(tile), frame)));
    }
}
