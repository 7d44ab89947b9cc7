//! What is kept on disk from one mount to the next: chunks of synthesized levels, contrast, and the parts of files that were
//! read to open them.
//!
//! Each is a file of its own under a name made from its whole key. So daemons share the folder without talking to each
//! other, what was used longest ago goes by removing files, and no index can be damaged. A chunk takes some 100 KiB: to
//! pack many into one file would save little, and room would be freed by rewriting it.
//!
//! Nothing here is believed: an entry that is not exactly what its key says counts as absent, and is removed. Nothing is
//! waited for either: what cannot be written is left out.

mod entry;
mod evict;
mod folder;
mod identity;
#[cfg(test)]
mod tests;
mod writer;

pub use entry::EntryKey;
pub use folder::Folder;
pub use identity::{Identities, ImageId};
pub use writer::Payload;

use super::{Lease, Tile};
use crate::config::DiskOptions;
use crate::error::Result;
use crate::pyramid::ChunkFrame;
use crate::sync::{Arc, AtomicU64, Mutex, Ordering, lock};
use writer::Writer;

/// Takes a message for the log: something failed, and what follows from that.
pub type Say = Box<dyn Fn(&str) + Send + Sync>;

/// What it did, for `status`.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct DiskStats {
    /// "in use", or why it is not.
    pub state: String,
    /// Bytes of the entries, as far as this process knows.
    pub held_bytes: u64,
    /// Entries read.
    pub hits: u64,
    /// Entries asked for that are not there.
    pub misses: u64,
    /// Entries removed because they were not what they should be.
    pub damaged: u64,
    /// Entries written.
    pub written: u64,
    /// Entries not written because the disk was slower than they came.
    pub dropped: u64,
    /// Entries removed to make room.
    pub evicted: u64,
}

#[derive(Default)]
struct Counters {
    hits: AtomicU64,
    misses: AtomicU64,
    damaged: AtomicU64,
    written: AtomicU64,
    dropped: AtomicU64,
    evicted: AtomicU64,
    held: AtomicU64,
}

/// An open cache folder.
pub struct Disk {
    folder: Arc<Folder>,
    counters: Arc<Counters>,
    writer: Writer,
    say: Arc<Say>,
    /// Reading failed: said once.
    complained: Mutex<bool>,
}

impl Disk {
    /// Opens the folder. `most` bytes may wait to be written; a `patient` one holds up whoever offers more until there is
    /// room, any other drops it.
    ///
    /// # Errors
    /// As [`Folder::open`].
    pub fn open(options: &DiskOptions, most: u64, patient: bool, say: Say) -> Result<Arc<Disk>> {
        let folder = Arc::new(Folder::open(&options.folder)?);
        let (counters, say) = (Arc::new(Counters::default()), Arc::new(say));
        let writer = Writer::start(&folder, &counters, &say, options.size, most, patient)?;
        Ok(Arc::new(Disk { folder, counters, writer, say, complained: Mutex::new(false) }))
    }

    /// Is an entry there? It is not read.
    pub fn has(&self, key: &EntryKey) -> bool {
        self.folder.has(&key.name())
    }

    /// The bytes of an entry of at most `most`, with what `room` grants for them.
    pub fn load<R>(&self, key: &EntryKey, most: u64, room: impl FnOnce(u64) -> Option<R>) -> Option<(Vec<u8>, R)> {
        let name = key.name();
        let found = self.folder.open_entry(&name).and_then(|file| match file {
            Some(mut file) => entry::read(&mut file, key, most, room).map(Some),
            None => Ok(None),
        });
        match found {
            Ok(Some(entry::Found::Whole(bytes, room))) => {
                self.counters.hits.fetch_add(1, Ordering::Relaxed);
                return Some((bytes, room));
            }
            Ok(Some(entry::Found::Damaged)) => {
                self.counters.damaged.fetch_add(1, Ordering::Relaxed);
                self.folder.remove(&name);
            }
            Ok(Some(entry::Found::NoRoom) | None) => {}
            Err(e) => {
                if !std::mem::replace(&mut *lock(&self.complained), true) {
                    (self.say)(&format!("the disk cache cannot be read: {e}"));
                }
            }
        }
        self.counters.misses.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// A chunk of a synthesized level, in the room that `room` grants.
    pub(crate) fn load_chunk(
        &self,
        key: &EntryKey,
        frame: &ChunkFrame,
        room: impl FnOnce(u64) -> Option<Lease>,
    ) -> Option<Tile> {
        let (inside, whole) = (frame.inside.0 * frame.inside.1 * frame.size, frame.bytes);
        // The part inside the plane is read first and then given its margins.
        let need = if inside == whole { whole } else { inside + whole };
        let (bytes, mut lease) = self.load(key, inside, |_| room(need + Tile::OVERHEAD))?;
        let bytes = frame.framed(bytes)?;
        Some(Tile::new(bytes, lease.split_tile(whole + Tile::OVERHEAD)?))
    }

    /// Has an entry written some time soon, unless it is there already.
    pub fn offer(&self, key: EntryKey, payload: Payload) {
        self.writer.offer(key, payload);
    }

    /// Waits until everything offered so far is written or given up.
    pub fn wait_written(&self, most: std::time::Duration) {
        self.writer.wait_idle(most);
    }

    /// Why nothing is written any more.
    pub fn failure(&self) -> Option<String> {
        self.writer.failure()
    }

    /// What it did.
    pub fn stats(&self) -> DiskStats {
        let c = &self.counters;
        let get = |n: &AtomicU64| n.load(Ordering::Relaxed);
        DiskStats {
            state: self.writer.failure().map_or_else(|| "in use".to_owned(), |why| format!("not written: {why}")),
            held_bytes: get(&c.held),
            hits: get(&c.hits),
            misses: get(&c.misses),
            damaged: get(&c.damaged),
            written: get(&c.written),
            dropped: get(&c.dropped),
            evicted: get(&c.evicted),
        }
    }
}
