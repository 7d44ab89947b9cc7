//! Decoded subblocks that the next unit may want: units that are put together share them with their neighbours.

use lru::LruCache;

use super::pixels::Pixels;
use crate::sync::{Arc, Mutex, lock};

/// Names a subblock: file and position.
pub(super) type Key = (u32, u64);

/// The subblocks decoded last, up to so many bytes.
pub(super) struct Kept {
    room: u64,
    held: Mutex<Held>,
}

struct Held {
    blocks: LruCache<Key, Arc<Pixels>>,
    bytes: u64,
}

impl Kept {
    /// Keeps at most `room` bytes.
    pub fn new(room: u64) -> Self {
        Kept { room, held: Mutex::new(Held { blocks: LruCache::unbounded(), bytes: 0 }) }
    }

    /// Bytes that may be held.
    pub fn room(&self) -> u64 {
        self.room
    }

    /// The pixels of a subblock, if they are still there.
    pub fn get(&self, key: Key) -> Option<Arc<Pixels>> {
        lock(&self.held).blocks.get(&key).map(Arc::clone)
    }

    /// Keeps the pixels of a subblock; those not used for longest go.
    pub fn put(&self, key: Key, pixels: &Arc<Pixels>) {
        let bytes = pixels.data.len() as u64;
        if bytes > self.room {
            return;
        }
        let mut held = lock(&self.held);
        if held.blocks.put(key, Arc::clone(pixels)).is_none() {
            held.bytes += bytes;
        }
        while held.bytes > self.room
            && let Some((_, oldest)) = held.blocks.pop_lru()
        {
            held.bytes -= oldest.data.len() as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::czi::pixels::PixelType;

    #[test]
    fn the_oldest_go_when_room_is_needed() {
        let kept = Kept::new(250);
        let pixels = |len: usize| {
            let pixel = PixelType::new(0).unwrap();
            Arc::new(Pixels { columns: len, rows: 1, pixel, red_first: false, data: vec![0; len] })
        };
        for position in 0..2 {
            kept.put((0, position), &pixels(100));
            kept.put((0, position), &pixels(100));
        }
        assert!(kept.get((0, 0)).is_some());
        kept.put((0, 2), &pixels(100));
        kept.put((1, 2), &pixels(251));
        let there: Vec<bool> = [(0, 0), (0, 1), (0, 2), (1, 2)].map(|k| kept.get(k).is_some()).to_vec();
        assert_eq!(there, [true, false, true, false]);
    }
}
