//! Making room: what was used longest ago goes first.

use std::collections::BinaryHeap;
use std::io;

use super::folder::Folder;

/// Entries that one walk picks at most: it bounds the memory, not what can be removed.
const AT_ONCE: usize = 8192;

/// What a walk over the folder came to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    /// Bytes that are left.
    pub(super) bytes: u64,
    /// Entries removed.
    pub(super) removed: u64,
}

/// Counts what is held; if that is more than `most`, removes entries until `target` is left.
///
/// # Errors
/// Of the operating system, while listing.
pub(super) fn sweep(folder: &Folder, most: u64, target: u64) -> io::Result<Held> {
    let mut removed = 0;
    loop {
        let mut bytes = 0u64;
        let mut oldest: BinaryHeap<(i128, String, u64)> = BinaryHeap::new();
        folder.walk(|seen| {
            bytes = bytes.saturating_add(seen.bytes);
            // Of the oldest ones, the newest is on top.
            if oldest.len() < AT_ONCE {
                oldest.push((seen.used, seen.name, seen.bytes));
            } else if oldest.peek().is_some_and(|top| seen.used < top.0) {
                oldest.pop();
                oldest.push((seen.used, seen.name, seen.bytes));
            }
        })?;
        if bytes <= most {
            return Ok(Held { bytes, removed });
        }
        let mut gone = 0;
        for (_, name, size) in oldest.into_sorted_vec() {
            if bytes <= target {
                break;
            }
            if folder.remove(&name) {
                gone += 1;
                bytes = bytes.saturating_sub(size);
            }
        }
        removed += gone;
        if bytes <= target || gone == 0 {
            return Ok(Held { bytes, removed });
        }
    }
}
