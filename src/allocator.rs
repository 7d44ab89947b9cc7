//! The allocator of the program: the system's, with a small store of large blocks to be used again.
//!
//! Tiles and replies are large blocks that come and go. The system maps each anew (see `exec/memory.rs`: else freed tiles would
//! stay resident), and a mapping costs a page fault for every 4 KiB, more time than decoding takes. So the last few blocks
//! freed are kept, up to a fixed sum. jemalloc was tried: as fast, but 30 MiB more than the byte budget allows under load.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr::null_mut;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Blocks from this size on are kept; the system maps them one by one.
const LARGE: usize = 128 << 10;
/// Most blocks and bytes that are kept.
const BLOCKS: usize = 64;
const BYTES: usize = 16 << 20;
/// What the system aligns every block to; asked for more, it can neither zero nor grow a block cheaply.
const ALIGN: usize = 16;
const PAGE: usize = 4096;

#[derive(Clone, Copy)]
struct Block {
    at: *mut u8,
    size: usize,
    /// When it was freed; 0 for an empty place.
    freed: u64,
}

struct Kept {
    blocks: [Block; BLOCKS],
    bytes: usize,
    clock: u64,
}

// SAFETY: the blocks belong to nobody else; whoever takes one gets it alone.
unsafe impl Send for Kept {}

struct Recycling(Mutex<Kept>);

#[global_allocator]
static ALLOCATOR: Recycling =
    Recycling(Mutex::new(Kept { blocks: [Block { at: null_mut(), size: 0, freed: 0 }; BLOCKS], bytes: 0, clock: 0 }));

/// What is asked of the system for a large block: sizes in steps of a sixteenth, so that one serves for another of about its
/// size. `None` for what is left to the system.
fn rounded(layout: Layout) -> Option<Layout> {
    if layout.size() < LARGE || layout.align() > ALIGN {
        return None;
    }
    let step = (layout.size().checked_next_power_of_two()? / 32).max(PAGE);
    Layout::from_size_align(layout.size().checked_next_multiple_of(step)?, ALIGN).ok()
}

impl Kept {
    fn take(&mut self, size: usize) -> Option<*mut u8> {
        let block = self.blocks.iter_mut().find(|b| b.freed > 0 && b.size == size)?;
        self.bytes -= block.size;
        block.freed = 0;
        Some(block.at)
    }

    /// Puts a block where there is a place and room; false if there is not.
    fn put(&mut self, at: *mut u8, size: usize) -> bool {
        if self.bytes + size > BYTES {
            return false;
        }
        let Some(place) = self.blocks.iter_mut().find(|b| b.freed == 0) else { return false };
        self.clock += 1;
        self.bytes += size;
        *place = Block { at, size, freed: self.clock };
        true
    }

    /// The oldest block, if there is any.
    fn oldest(&mut self) -> Option<Block> {
        let block = self.blocks.iter_mut().filter(|b| b.freed > 0).min_by_key(|b| b.freed)?;
        self.bytes -= block.size;
        let gone = *block;
        block.freed = 0;
        Some(gone)
    }
}

impl Recycling {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a block in place of the oldest ones.
    fn keep(&self, at: *mut u8, size: usize) {
        if size > BYTES / 2 {
            return unmap(at, size);
        }
        loop {
            let gone = {
                let mut kept = self.kept();
                if kept.put(at, size) {
                    return;
                }
                kept.oldest()
            };
            // With nothing kept there is a place and room.
            let Some(block) = gone else { return unmap(at, size) };
            unmap(block.at, block.size);
        }
    }
}

fn unmap(at: *mut u8, size: usize) {
    if let Ok(layout) = Layout::from_size_align(size, ALIGN) {
        // SAFETY: kept blocks came from the system with this layout, and nobody has them any more.
        unsafe { System.dealloc(at, layout) }
    }
}

// SAFETY: every block is the system's, large ones with the layout that `rounded` gives for the caller's; a kept block is handed
// to one caller, under the lock.
unsafe impl GlobalAlloc for Recycling {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(large) = rounded(layout) else {
            // SAFETY: the caller's promise.
            return unsafe { System.alloc(layout) };
        };
        let again = self.kept().take(large.size());
        // SAFETY: its size is not zero.
        again.unwrap_or_else(|| unsafe { System.alloc(large) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let Some(large) = rounded(layout) else {
            // SAFETY: the caller's promise.
            return unsafe { System.alloc_zeroed(layout) };
        };
        let again = self.kept().take(large.size());
        match again {
            // SAFETY: the block is at least so large.
            Some(at) => unsafe {
                at.write_bytes(0, layout.size());
                at
            },
            // SAFETY: its size is not zero.
            None => unsafe { System.alloc_zeroed(large) },
        }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        match rounded(layout) {
            // SAFETY: the caller's promise.
            None => unsafe { System.dealloc(at, layout) },
            Some(large) => self.keep(at, large.size()),
        }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Ok(new) = Layout::from_size_align(size, layout.align()) else { return null_mut() };
        match (rounded(layout), rounded(new)) {
            // SAFETY: the caller's promise.
            (None, None) => unsafe { System.realloc(at, layout, size) },
            (Some(old), Some(new)) if old.size() == new.size() => at,
            // SAFETY: the block is the system's, of the old rounded layout; the system moves mappings without copying.
            (Some(old), Some(new)) => unsafe { System.realloc(at, old, new.size()) },
            // SAFETY: the caller's promise; both blocks are at least as large as what is copied.
            _ => unsafe {
                let to = self.alloc(new);
                if !to.is_null() {
                    to.copy_from_nonoverlapping(at, layout.size().min(size));
                    self.dealloc(at, layout);
                }
                to
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_go_in_steps_of_a_sixteenth_and_small_ones_are_left_alone() {
        let size = |n| rounded(Layout::from_size_align(n, 1).unwrap()).map(|l| l.size());
        assert_eq!(size(LARGE - 1), None);
        assert_eq!(size(LARGE), Some(LARGE));
        assert_eq!(size(512 << 10), Some(512 << 10));
        assert_eq!(size((512 << 10) + 1), Some((512 << 10) + (32 << 10)));
        for n in (LARGE..4 << 20).step_by(12_345) {
            let got = size(n).unwrap();
            assert!(got >= n && got - n <= n / 8, "{n}: {got}");
        }
        assert_eq!(rounded(Layout::from_size_align(LARGE, 2 * ALIGN).unwrap()), None);
    }

    #[test]
    fn blocks_are_used_again_zeroed_and_kept_within_bounds() {
        let own = Recycling(Mutex::new(Kept {
            blocks: [Block { at: null_mut(), size: 0, freed: 0 }; BLOCKS],
            bytes: 0,
            clock: 0,
        }));
        let layout = Layout::from_size_align(200_000, 8).unwrap();
        // SAFETY: each block is used within its layout, and freed once.
        unsafe {
            let first = own.alloc(layout);
            first.write_bytes(7, layout.size());
            own.dealloc(first, layout);
            let again = own.alloc_zeroed(layout);
            assert_eq!(again, first);
            assert!(std::slice::from_raw_parts(again, layout.size()).iter().all(|b| *b == 0));
            again.write_bytes(9, layout.size());
            let grown = own.realloc(again, layout, 3_000_000);
            let large = Layout::from_size_align(3_000_000, 8).unwrap();
            assert!(std::slice::from_raw_parts(grown, layout.size()).iter().all(|b| *b == 9));
            let small = own.realloc(grown, large, 100);
            assert!(std::slice::from_raw_parts(small, 100).iter().all(|b| *b == 9));
            own.dealloc(small, Layout::from_size_align(100, 8).unwrap());
            let many: Vec<_> = (0..100).map(|i| Layout::from_size_align(LARGE + i * 10_000, 8).unwrap()).collect();
            let blocks: Vec<_> = many.iter().map(|l| own.alloc(*l)).collect();
            for (at, layout) in blocks.into_iter().zip(many) {
                own.dealloc(at, layout);
                let kept = own.kept();
                let sum: usize = kept.blocks.iter().filter(|b| b.freed > 0).map(|b| b.size).sum();
                assert!(sum == kept.bytes && sum <= BYTES);
            }
            while let Some(block) = { own.kept().oldest() } {
                unmap(block.at, block.size);
            }
        }
    }
}
