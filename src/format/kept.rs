//! What was decoded last and the next unit may want: stored blocks that lie under several units, or hold parts of several
//! planes.

use std::hash::Hash;

use lru::LruCache;

use crate::sync::{Arc, Mutex, lock};

/// Something with a size in memory.
pub(crate) trait Bytes {
    /// Bytes of its samples.
    fn bytes(&self) -> u64;
}

impl Bytes for Vec<u8> {
    fn bytes(&self) -> u64 {
        self.len() as u64
    }
}

/// The blocks decoded last, by what names them in the file, up to so many bytes.
pub(crate) struct Kept<K: Hash + Eq, V> {
    room: u64,
    held: Mutex<Held<K, V>>,
}

struct Held<K: Hash + Eq, V> {
    blocks: LruCache<K, Arc<V>>,
    bytes: u64,
}

/// What an entry counts at least: empty blocks must not gather without end.
const ENTRY: u64 = 64;

impl<K: Hash + Eq, V: Bytes> Kept<K, V> {
    /// Keeps at most `room` bytes.
    pub fn new(room: u64) -> Self {
        Kept { room, held: Mutex::new(Held { blocks: LruCache::unbounded(), bytes: 0 }) }
    }

    /// Bytes that may be held.
    pub fn room(&self) -> u64 {
        self.room
    }

    /// A block, if it is still there.
    pub fn get(&self, key: K) -> Option<Arc<V>> {
        lock(&self.held).blocks.get(&key).map(Arc::clone)
    }

    /// Keeps a block; those not used for longest go. One that is larger than the room is not kept.
    pub fn put(&self, key: K, block: &Arc<V>) {
        let cost = |block: &V| block.bytes().max(ENTRY);
        if cost(block) > self.room {
            return;
        }
        let mut held = lock(&self.held);
        if let Some(old) = held.blocks.put(key, Arc::clone(block)) {
            held.bytes -= cost(&old);
        }
        held.bytes += cost(block);
        while held.bytes > self.room
            && let Some((_, oldest)) = held.blocks.pop_lru()
        {
            held.bytes -= cost(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_when_room_is_needed() {
        let kept = Kept::new(250);
        let block = |len: usize| Arc::new(vec![0_u8; len]);
        for key in [0, 0, 1] {
            kept.put(key, &block(100));
        }
        assert!(kept.get(0).is_some());
        kept.put(2, &block(100));
        kept.put(3, &block(251));
        let there: Vec<bool> = (0..4).map(|key| kept.get(key).is_some()).collect();
        assert_eq!(there, [true, false, true, false]);
        kept.put(0, &block(70));
        kept.put(4, &block(0));
        assert!([0, 2, 4].into_iter().all(|key| kept.get(key).is_some()), "the smaller one made room");
    }
}
