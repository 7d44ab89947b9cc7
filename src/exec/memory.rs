//! The allocator, told to give memory back: without this, freed tiles stay resident and the budget is no promise.

use std::sync::Once;

/// Few arenas, because each keeps what it once had; and large blocks mapped one by one, so that freeing a tile unmaps
/// it. glibc raises that threshold by itself to the largest block it ever freed, unless it is set.
pub(crate) fn tune() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        #[cfg(target_env = "gnu")]
        {
            const BLOCK: libc::c_int = 128 << 10;
            // SAFETY: mallopt takes plain numbers and may be called at any time.
            unsafe {
                libc::mallopt(libc::M_ARENA_MAX, 2);
                libc::mallopt(libc::M_MMAP_THRESHOLD, BLOCK);
                libc::mallopt(libc::M_TRIM_THRESHOLD, 4 * BLOCK);
                libc::mallopt(libc::M_MMAP_MAX, 1 << 20);
            }
        }
    });
}
