//! The allocator of the program.
//!
//! Tiles and replies are large blocks that come and go. Mapping each anew costs a page fault for every 4 KiB, more time than
//! decoding takes; never giving them back breaks the promise of the byte budget. jemalloc keeps freed blocks for a second and
//! uses them again. Huge pages were tried: they cost a virtual machine more than they save.

use std::alloc::{GlobalAlloc, Layout};

use tikv_jemallocator::Jemalloc;

/// Two arenas, because each keeps what it had; freed pages go back after a second, by a thread that idle arenas need.
#[unsafe(export_name = "_rjem_malloc_conf")]
static OPTIONS: &[u8; 87] = b"narenas:2,tcache_max:32768,dirty_decay_ms:1000,muzzy_decay_ms:0,background_thread:true\0";

struct Recycling;

#[global_allocator]
static ALLOCATOR: Recycling = Recycling;

// SAFETY: all of it is jemalloc's own; `alloc_zeroed` is left to the trait, which clears what `alloc` gave: jemalloc would
// give large blocks back to the kernel to have them zeroed, which is the page faults again.
unsafe impl GlobalAlloc for Recycling {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { Jemalloc.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { Jemalloc.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { Jemalloc.realloc(at, layout, size) }
    }
}
