//! The directory: a tree of names in each storage ([MS-CFB] 2.6).

use std::collections::HashMap;

use super::Entry;
use super::header::{Header, number, short};
use crate::error::{Error, Result};
use crate::format::Limits;
use crate::io::{ReadAt, Watch};

/// What the directory holds.
pub(super) struct Directory {
    /// The stream of small sectors.
    pub root: Entry,
    /// Streams by their paths, with slashes.
    pub entries: HashMap<String, Entry>,
    /// Bytes of memory held.
    pub heap_bytes: u64,
}

/// Bytes of an entry.
const SIZE: u64 = 128;
/// Entries read at once.
const STEP: u64 = 512;
/// No such entry.
const NONE: u32 = u32::MAX;
/// Storages inside of storages.
const MAX_DEPTH: u32 = 32;
/// Memory of an entry beside its name.
const ENTRY_BYTES: u64 = 96;

/// An entry as it is stored.
struct Raw {
    name: String,
    kind: u8,
    left: u32,
    right: u32,
    child: u32,
    entry: Entry,
}

const STORAGE: u8 = 1;
const STREAM: u8 = 2;
const ROOT: u8 = 5;

/// Reads all entries and walks the tree.
///
/// # Errors
/// `Malformed` for a tree that is none, `OverLimit`, `Truncated`, failures of the disk.
pub(super) fn read(stream: &dyn ReadAt, header: &Header, limits: &Limits, watch: &Watch) -> Result<Directory> {
    let count = stream.len() / SIZE;
    if count.saturating_mul(ENTRY_BYTES + 32) > limits.index_bytes / 2 {
        return Err(Error::over_limit(format!("{count} entries")));
    }
    let mut all = Vec::with_capacity(count as usize);
    for first in (0..count).step_by(STEP as usize) {
        let bytes = stream.read_vec(first * SIZE, (count - first).min(STEP) * SIZE)?;
        all.extend(bytes.chunks_exact(SIZE as usize).map(|b| Raw::read(b, header)));
        watch.tick();
        watch.check()?;
    }
    let root = all.first().filter(|r| r.kind == ROOT).ok_or_else(|| Error::malformed("no root"))?;
    let mut directory = Directory { root: root.entry, entries: HashMap::new(), heap_bytes: 0 };
    let mut seen = vec![false; all.len()];
    let mut next = vec![(root.child, String::new(), 0)];
    while let Some((index, inside, depth)) = next.pop() {
        if index == NONE {
            continue;
        }
        let wrong = || Error::malformed(format!("entry {index} is not one, or stands twice in the tree"));
        let raw = all.get(index as usize).ok_or_else(wrong)?;
        if std::mem::replace(seen.get_mut(index as usize).ok_or_else(wrong)?, true) {
            return Err(wrong());
        }
        next.push((raw.left, inside.clone(), depth));
        next.push((raw.right, inside.clone(), depth));
        let path = if inside.is_empty() { raw.name.clone() } else { format!("{inside}/{}", raw.name) };
        match raw.kind {
            STORAGE if depth < MAX_DEPTH => next.push((raw.child, path, depth + 1)),
            STORAGE => return Err(Error::over_limit(format!("more than {MAX_DEPTH} storages in each other"))),
            STREAM => {
                directory.heap_bytes += ENTRY_BYTES + path.len() as u64;
                if directory.heap_bytes > limits.index_bytes / 2 {
                    return Err(Error::over_limit("names of streams"));
                }
                directory.entries.insert(path, raw.entry);
            }
            kind => return Err(Error::malformed(format!("entry {index} of kind {kind}"))),
        }
    }
    Ok(directory)
}

impl Raw {
    fn read(bytes: &[u8], header: &Header) -> Self {
        // The length counts bytes, the zero at the end included.
        let units = usize::from(short(bytes, 0x40) / 2).saturating_sub(1).min(31);
        let units = (0..units).map(|i| short(bytes, 2 * i));
        let name = char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
        let high = if header.wide { u64::from(number(bytes, 0x7c)) << 32 } else { 0 };
        Raw {
            name,
            kind: bytes.get(0x42).copied().unwrap_or(0),
            left: number(bytes, 0x44),
            right: number(bytes, 0x48),
            child: number(bytes, 0x4c),
            entry: Entry { start: number(bytes, 0x74), size: high | u64::from(number(bytes, 0x78)) },
        }
    }
}
