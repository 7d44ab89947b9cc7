//! Decoded tiles by image and place, least recently used first to go.
//!
//! `lru` knows no weights, so its maps are unbounded and bytes are counted by the leases that tiles hold.

use std::collections::VecDeque;
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
    /// Bytes of it that replies have carried.
    given: AtomicU64,
    lease: Lease,
}

impl Tile {
    /// What a tile costs beside its samples: itself, its map entry, the allocator's share.
    pub const OVERHEAD: u64 = 512;

    /// Samples under `lease`, which covers them and [`Tile::OVERHEAD`].
    pub fn new(bytes: Vec<u8>, lease: Lease) -> Self {
        Tile { bytes, absent: false, whole: true, given: AtomicU64::new(0), lease }
    }

    /// A unit that the source never stored.
    pub fn absent(lease: Lease) -> Self {
        Tile { bytes: Vec::new(), absent: true, whole: true, given: AtomicU64::new(0), lease }
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

    /// Counts bytes that a reply carries; true once, when all have been.
    fn give(&self, bytes: u64) -> bool {
        let all = self.bytes.len() as u64;
        let before = self.given.fetch_add(bytes, Ordering::Relaxed);
        before < all && before.saturating_add(bytes) >= all
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

/// Most bytes of tiles that the kernel has in full: it keeps the pages, and here the same memory does for the next ones.
const GIVEN: u64 = 16 << 20;

/// Tiles that were given in full, oldest first, and their bytes.
#[derive(Default)]
struct Given {
    keys: VecDeque<(Key, u64)>,
    bytes: u64,
}

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
    given: Mutex<Given>,
    given_most: u64,
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
            given: Mutex::default(),
            given_most: GIVEN.min(budget.total() / 8),
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

    /// Is a tile there? Asking does not keep it there.
    pub fn has(&self, key: &Key) -> bool {
        lock(self.place(key).1).peek(key).is_some()
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

    /// Says that a reply carries `bytes` of a unit. Once it was given in full it is among the first to go: whoever reads it
    /// again gets it from the kernel.
    pub fn gave(&self, key: Key, tile: &Tile, bytes: u64) {
        if !tile.give(bytes) {
            return;
        }
        let mut given = lock(&self.given);
        given.bytes += tile.cost();
        given.keys.push_back((key, tile.cost()));
        while given.bytes > self.given_most {
            let Some((oldest, cost)) = given.keys.pop_front() else { break };
            given.bytes -= cost;
            drop(given); // a lease that ends may wake others
            self.remove(&oldest);
            given = lock(&self.given);
        }
    }

    /// Drops a tile.
    pub fn remove(&self, key: &Key) -> u64 {
        let (kind, shard) = self.place(key);
        let gone = lock(shard).pop(key);
        gone.map_or(0, |entry| {
            kind.bytes.fetch_sub(entry.tile.cost(), Ordering::Relaxed);
            entry.tile.cost()
        })
    }

    /// Drops the oldest tile that was given in full; its bytes, 0 if it had gone already.
    fn remove_given(&self) -> Option<u64> {
        let (oldest, cost) = {
            let mut given = lock(&self.given);
            let (oldest, cost) = given.keys.pop_front()?;
            given.bytes -= cost;
            (oldest, cost)
        };
        Some(self.remove(&oldest).min(cost))
    }

    /// Removes the least recently used tiles until about `bytes` are gone; gives how many went. Those that were given in
    /// full go before all others.
    ///
    /// Chunks of synthesized levels cost a sweep to make again, so decoded units go first as long as the chunks take no
    /// more than half.
    fn evict(&self, bytes: u64) -> usize {
        let (mut gone, mut count) = (0, 0);
        while gone < bytes {
            if let Some(cost) = self.remove_given() {
                gone += cost;
                count += usize::from(cost > 0);
                continue;
            }
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
