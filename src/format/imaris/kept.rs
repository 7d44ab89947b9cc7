//! Decoded chunks that the next unit may want: a chunk holds parts of several planes.

use lru::LruCache;

use crate::sync::{Arc, Mutex, lock};

/// The chunks decoded last, by their addresses, up to so many bytes.
pub(super) struct Kept {
    room: u64,
    held: Mutex<Held>,
}

struct Held {
    chunks: LruCache<u64, Arc<Vec<u8>>>,
    bytes: u64,
}

impl Kept {
    /// Keeps at most `room` bytes.
    pub fn new(room: u64) -> Self {
        Kept { room, held: Mutex::new(Held { chunks: LruCache::unbounded(), bytes: 0 }) }
    }

    /// Bytes that may be held.
    pub fn room(&self) -> u64 {
        self.room
    }

    /// A chunk, if it is still there and as large as it must be.
    pub fn get(&self, address: u64, size: usize) -> Option<Arc<Vec<u8>>> {
        lock(&self.held).chunks.get(&address).filter(|c| c.len() == size).map(Arc::clone)
    }

    /// Keeps a chunk; those not used for longest go.
    pub fn put(&self, address: u64, chunk: &Arc<Vec<u8>>) {
        let bytes = chunk.len() as u64;
        if bytes > self.room {
            return;
        }
        let mut held = lock(&self.held);
        if let Some(old) = held.chunks.put(address, Arc::clone(chunk)) {
            held.bytes -= old.len() as u64;
        }
        held.bytes += bytes;
        while held.bytes > self.room
            && let Some((_, oldest)) = held.chunks.pop_lru()
        {
            held.bytes -= oldest.len() as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_when_room_is_needed() {
        let kept = Kept::new(250);
        let chunk = |len: usize| Arc::new(vec![0; len]);
        for address in [0, 0, 1] {
            kept.put(address, &chunk(100));
        }
        assert!(kept.get(0, 100).is_some() && kept.get(0, 99).is_none());
        kept.put(2, &chunk(100));
        kept.put(3, &chunk(251));
        let there: Vec<bool> = (0..4).map(|a| kept.get(a, 100).is_some()).collect();
        assert_eq!(there, [true, false, true, false]);
    }
}
