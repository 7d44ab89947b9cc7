//! Decoded tiles by image and place, least recently used first to go.
//!
//! `lru` knows no weights, so its maps are unbounded and bytes are counted by the leases that tiles hold.

use std::hash::{BuildHasher, RandomState};

use lru::LruCache;

use super::budget::{Budget, Lease};
use crate::model::TileId;
use crate::pyramid::ChunkId;
use crate::sync::{Arc, AtomicU64, Mutex, Ordering, lock};

/// Names a tile of an image (its key first): a decoded unit, or a chunk of a synthesized level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Key {
    /// A unit of the source.
    Unit(u64, TileId),
    /// A chunk that was reduced from finer ones.
    Chunk(u64, ChunkId),
}

impl Key {
    fn image(&self) -> u64 {
        match self {
            Key::Unit(image, _) | Key::Chunk(image, _) => *image,
        }
    }
}

/// Decoded samples, with the lease that pays for them.
pub struct Tile {
    bytes: Vec<u8>,
    absent: bool,
    whole: bool,
    lease: Lease,
}

impl Tile {
    /// What a tile costs beside its samples: itself, its map entry, the allocator's share.
    pub const OVERHEAD: u64 = 512;

    /// Samples under `lease`, which covers them and [`Tile::OVERHEAD`].
    pub fn new(bytes: Vec<u8>, lease: Lease) -> Self {
        Tile { bytes, absent: false, whole: true, lease }
    }

    /// A unit that the source never stored.
    pub fn absent(lease: Lease) -> Self {
        Tile { bytes: Vec::new(), absent: true, whole: true, lease }
    }

    /// Says that some pixels are fill because what they cover is damaged: no level is made from such a tile.
    #[must_use]
    pub fn with_holes(mut self) -> Self {
        self.whole = false;
        self
    }

    /// The samples; empty if [`Tile::is_absent`].
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Never stored: reads as fill value 0.
    pub fn is_absent(&self) -> bool {
        self.absent
    }

    /// Every pixel is the source's.
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// What it counts in the budget.
    pub fn cost(&self) -> u64 {
        self.lease.bytes()
    }
}

/// What the cache holds and how it did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[allow(missing_docs)]
pub struct CacheStats {
    pub bytes: u64,
    pub entries: u64,
    pub hits: u64,
    pub misses: u64,
    pub evicted: u64,
}

struct Entry {
    used: u64,
    tile: Arc<Tile>,
}

type Shard = Mutex<LruCache<Key, Entry>>;

const SHARDS: usize = 8;

/// One kind of tile: shards and the bytes in them.
struct Kind {
    shards: Vec<Shard>,
    bytes: AtomicU64,
}

impl Kind {
    fn new() -> Self {
        Kind { shards: (0..SHARDS).map(|_| Mutex::new(LruCache::unbounded())).collect(), bytes: AtomicU64::new(0) }
    }
}

/// See the module.
pub struct TileCache {
    units: Kind,
    chunks: Kind,
    hasher: RandomState,
    clock: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
    evicted: AtomicU64,
}

impl TileCache {
    /// An empty cache that gives way when `budget` needs room.
    pub fn new(budget: &Budget) -> Arc<Self> {
        let cache = Arc::new(TileCache {
            units: Kind::new(),
            chunks: Kind::new(),
            hasher: RandomState::new(),
            clock: AtomicU64::new(0),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
        });
        let weak = Arc::downgrade(&cache);
        budget.set_evict(Box::new(move |bytes| weak.upgrade().map_or(0, |cache| cache.evict(bytes))));
        cache
    }

    fn place(&self, key: &Key) -> (&Kind, &Shard) {
        let kind = match key {
            Key::Unit(..) => &self.units,
            Key::Chunk(..) => &self.chunks,
        };
        let index = usize::try_from(self.hasher.hash_one(key) % SHARDS as u64).unwrap_or(0);
        (kind, &kind.shards[index])
    }

    /// A tile, if it is there. Counted as a hit or a miss.
    pub fn get(&self, key: &Key) -> Option<Arc<Tile>> {
        let found = self.touch(key);
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// A tile, if it is there; not counted.
    pub fn touch(&self, key: &Key) -> Option<Arc<Tile>> {
        let now = self.clock.fetch_add(1, Ordering::Relaxed);
        let mut shard = lock(self.place(key).1);
        let entry = shard.get_mut(key)?;
        entry.used = now;
        Some(Arc::clone(&entry.tile))
    }

    /// Keeps a tile.
    pub fn insert(&self, key: Key, tile: &Arc<Tile>) {
        let used = self.clock.fetch_add(1, Ordering::Relaxed);
        let (kind, shard) = self.place(&key);
        kind.bytes.fetch_add(tile.cost(), Ordering::Relaxed);
        let old = lock(shard).push(key, Entry { used, tile: Arc::clone(tile) });
        if let Some((_, old)) = old {
            kind.bytes.fetch_sub(old.tile.cost(), Ordering::Relaxed);
        }
    }

    /// Drops a tile that will not be asked for again.
    pub fn remove(&self, key: &Key) {
        let (kind, shard) = self.place(key);
        let gone = lock(shard).pop(key);
        if let Some(entry) = gone {
            kind.bytes.fetch_sub(entry.tile.cost(), Ordering::Relaxed);
        }
    }

    /// Removes the least recently used tiles until about `bytes` are gone; gives how many went.
    ///
    /// Chunks of synthesized levels cost a sweep to make again, so decoded units go first as long as the chunks take no
    /// more than half.
    fn evict(&self, bytes: u64) -> usize {
        let (mut gone, mut count) = (0, 0);
        while gone < bytes {
            let units = self.units.bytes.load(Ordering::Relaxed);
            let chunks = self.chunks.bytes.load(Ordering::Relaxed);
            let order = if chunks > units { [&self.chunks, &self.units] } else { [&self.units, &self.chunks] };
            let Some(cost) = order.into_iter().find_map(evict_one) else { break };
            gone += cost;
            count += 1;
        }
        self.evicted.fetch_add(count as u64, Ordering::Relaxed);
        count
    }

    /// Drops every tile of an image.
    pub fn forget(&self, image: u64) {
        for kind in [&self.units, &self.chunks] {
            for shard in &kind.shards {
                let mut gone = Vec::new();
                let mut shard = lock(shard);
                let keys: Vec<Key> = shard.iter().map(|(k, _)| *k).filter(|k| k.image() == image).collect();
                for key in keys {
                    if let Some(entry) = shard.pop(&key) {
                        kind.bytes.fetch_sub(entry.tile.cost(), Ordering::Relaxed);
                        gone.push(entry);
                    }
                }
                drop(shard); // before the leases end: that may wake others
            }
        }
    }

    /// Contents and counters.
    pub fn stats(&self) -> CacheStats {
        let entries = |kind: &Kind| kind.shards.iter().map(|s| lock(s).len() as u64).sum::<u64>();
        CacheStats {
            bytes: self.units.bytes.load(Ordering::Relaxed) + self.chunks.bytes.load(Ordering::Relaxed),
            entries: entries(&self.units) + entries(&self.chunks),
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            evicted: self.evicted.load(Ordering::Relaxed),
        }
    }
}

/// Removes the oldest tile of a kind; gives its cost.
fn evict_one(kind: &Kind) -> Option<u64> {
    let oldest = kind
        .shards
        .iter()
        .filter_map(|shard| lock(shard).peek_lru().map(|(_, entry)| (entry.used, shard)))
        .min_by_key(|(used, _)| *used)?;
    // Another thread may have taken it meanwhile; whatever is oldest in that shard now will do.
    let popped = lock(oldest.1).pop_lru();
    let Some((_, entry)) = popped else { return Some(0) };
    let cost = entry.tile.cost();
    kind.bytes.fetch_sub(cost, Ordering::Relaxed);
    Some(cost)
}
