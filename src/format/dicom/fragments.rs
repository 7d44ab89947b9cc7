//! Frames in items (PS3.5 annex A.4): where each begins, by a table of offsets or by walking along the items.

use crate::error::{Error, Kind, Result};
use crate::io::{ReadAt, Watch};
use crate::sync::OnceLock;
use std::ops::Range;

const ITEM: u32 = 0xFFFE_E000;
const END: u32 = 0xFFFE_E0DD;
/// Most items of one frame.
const MAX_ITEMS: usize = 1 << 16;

/// Where frames begin; found when the first one is read.
#[derive(Debug, Default)]
pub(super) struct Fragments(OnceLock<Starts>);

#[derive(Debug, Default)]
struct Starts {
    /// Heads of the first items of frames, ascending.
    at: Vec<u64>,
    /// Why there are no more.
    broken: Option<Error>,
}

/// What an encapsulated file says of its frames.
pub(super) struct Table<'a> {
    /// The first item, which holds the basic offset table.
    pub start: u64,
    /// How many there are.
    pub count: u64,
    /// The extended offset table; empty if there is none.
    pub extended: &'a [u64],
    /// Most bytes of memory for offsets.
    pub most: u64,
}

/// Tag and length of the item at an offset.
fn item(file: &dyn ReadAt, at: u64) -> Result<(u32, u32)> {
    let b = file.read_vec(at, 8)?;
    let word = |i: usize| u32::from(u16::from_le_bytes([b[i], b[i + 1]]));
    Ok((word(0) << 16 | word(2), u32::from_le_bytes([b[4], b[5], b[6], b[7]])))
}

impl Fragments {
    /// The bytes of a frame, in order; at most `most` of them.
    ///
    /// # Errors
    /// `Malformed`, `Truncated`, `OverLimit`, failures of the disk.
    pub fn frame(
        &self,
        file: &dyn ReadAt,
        table: &Table<'_>,
        frame: u64,
        most: u64,
        watch: &Watch,
    ) -> Result<Vec<Range<u64>>> {
        let starts = match self.0.get() {
            Some(starts) => starts,
            // Two may look for them at once; both find the same.
            None => {
                let found = find(file, table, watch)?;
                self.0.get_or_init(|| found)
            }
        };
        let number = usize::try_from(frame).unwrap_or(usize::MAX);
        let Some(at) = starts.at.get(number).copied() else {
            return Err(starts
                .broken
                .clone()
                .unwrap_or_else(|| Error::truncated(format!("frame {frame} of {} that are stored", starts.at.len()))));
        };
        let next = starts.at.get(number.saturating_add(1)).copied();
        gather(file, at, next, most)
    }
}

/// The items from a frame's first one to the next frame.
fn gather(file: &dyn ReadAt, mut at: u64, next: Option<u64>, most: u64) -> Result<Vec<Range<u64>>> {
    let mut parts = Vec::new();
    let mut total = 0_u64;
    while next.is_none_or(|next| at < next) {
        // A frame that is there whole needs nothing behind it.
        let head = match item(file, at) {
            Err(e) if e.kind() == Kind::Truncated && !parts.is_empty() => break,
            other => other?,
        };
        match head {
            (ITEM, length) if length != u32::MAX => {
                let data = at + 8..(at + 8).saturating_add(u64::from(length));
                if data.end > file.len() {
                    return Err(Error::truncated(format!(
                        "{length} bytes of a frame at offset {at} reach past the end"
                    )));
                }
                total = total.saturating_add(u64::from(length));
                at = data.end;
                parts.push(data);
            }
            (END, _) => break,
            _ => return Err(Error::malformed(format!("no item of a frame at offset {at}"))),
        }
        if total > most || parts.len() > MAX_ITEMS {
            return Err(Error::over_limit(format!("a frame of more than {most} compressed bytes")));
        }
    }
    Ok(parts)
}

fn find(file: &dyn ReadAt, table: &Table<'_>, watch: &Watch) -> Result<Starts> {
    let (tag, length) = item(file, table.start)?;
    if tag != ITEM || length == u32::MAX {
        return Err(Error::malformed("frames without an offset table in front"));
    }
    let first = (table.start + 8).saturating_add(u64::from(length));
    let count = usize::try_from(table.count).unwrap_or(usize::MAX);
    if count.saturating_mul(8) as u64 > table.most || u64::from(length) > table.most {
        return Err(Error::over_limit(format!("offsets of {count} frames")));
    }
    if table.extended.len() == count {
        let at = table.extended.iter().map(|o| first.saturating_add(*o)).collect();
        return Ok(Starts { at, broken: None });
    }
    if count == 1 {
        return Ok(Starts { at: vec![first], broken: None });
    }
    let offsets = file.read_vec(table.start + 8, u64::from(length))?;
    let offsets = offsets.as_chunks::<4>().0;
    if offsets.len() == count {
        // Offsets beyond four gigabytes begin again at zero.
        let (mut high, mut last) = (0_u64, 0_u64);
        let mut at = Vec::with_capacity(count);
        for offset in offsets {
            let mut offset = high + u64::from(u32::from_le_bytes(*offset));
            if offset < last {
                high += 1 << 32;
                offset += 1 << 32;
            }
            last = offset;
            at.push(first.saturating_add(offset));
        }
        return Ok(Starts { at, broken: None });
    }
    walk(file, first, count, table.most, watch)
}

/// Items one after the other: each is a frame, unless there are more of them than frames; then streams tell by how they begin.
fn walk(file: &dyn ReadAt, first: u64, count: usize, most: u64, watch: &Watch) -> Result<Starts> {
    let (mut all, mut begins) = (Vec::new(), Vec::new());
    let mut at = first;
    let broken = loop {
        if all.len() as u64 * 16 > most {
            return Err(Error::over_limit(format!("more than {} items of frames", all.len())));
        }
        if all.len() % 1024 == 0 {
            watch.tick();
            watch.check()?;
        }
        let room = file.len().saturating_sub(at).min(12);
        if room < 8 {
            break Some(Error::truncated("the file ends between frames"));
        }
        let b = file.read_vec(at, room)?;
        match (&b[..4], u32::from_le_bytes([b[4], b[5], b[6], b[7]])) {
            ([0xfe, 0xff, 0x00, 0xe0], length) if length != u32::MAX => {
                let begin = &b[8..];
                if begin.starts_with(b"\xff\xd8")
                    || begin.starts_with(b"\xff\x4f\xff\x51")
                    || begin.starts_with(b"\xff\x0a")
                    || begin.starts_with(b"\0\0\0\x0c")
                {
                    begins.push(at);
                }
                all.push(at);
                at = (at + 8).saturating_add(u64::from(length));
            }
            ([0xfe, 0xff, 0xdd, 0xe0], _) => break None,
            _ => break Some(Error::malformed(format!("no item of a frame at offset {at}"))),
        }
    };
    let at = if all.len() > count && begins.len() <= count { begins } else { all };
    Ok(Starts { at, broken })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::MemoryFile;

    fn item(data: &[u8]) -> Vec<u8> {
        [&[0xfe, 0xff, 0x00, 0xe0], &(data.len() as u32).to_le_bytes()[..], data].concat()
    }

    fn frames(items: &[Vec<u8>], count: u64, extended: &[u64]) -> Vec<Option<Vec<u8>>> {
        let end = [0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0];
        let file = MemoryFile([&b"head"[..], &items.concat(), &end].concat());
        let table = Table { start: 4, count, extended, most: 1 << 20 };
        let fragments = Fragments::default();
        let get = |n| fragments.frame(&file, &table, n, 1 << 10, &Watch::default()).ok();
        let bytes = |parts: Vec<Range<u64>>| -> Vec<u8> {
            parts.iter().flat_map(|p| file.0[p.start as usize..p.end as usize].to_vec()).collect()
        };
        (0..count).map(|n| get(n).map(bytes)).collect()
    }

    #[test]
    fn frames_are_found_by_table_by_item_and_by_beginning() {
        let some = |b: &[u8]| Some(b.to_vec());
        let (a, b, c) = (item(b"\xff\xd8aa"), item(b"bb"), item(b"\xff\xd8cc"));
        let offsets = [0_u32, 22].map(u32::to_le_bytes).concat();
        let want = [some(b"\xff\xd8aabb"), some(b"\xff\xd8cc")];
        assert_eq!(frames(&[item(&offsets), a.clone(), b.clone(), c.clone()], 2, &[]), want);
        assert_eq!(frames(&[item(b""), a.clone(), b.clone(), c.clone()], 2, &[]), want);
        assert_eq!(frames(&[item(b""), a.clone(), b.clone(), c.clone()], 2, &[0, 22]), want);
        assert_eq!(frames(&[item(b""), a.clone(), c.clone()], 2, &[]), [some(b"\xff\xd8aa"), some(b"\xff\xd8cc")]);
        assert_eq!(frames(&[item(b""), a.clone(), b], 1, &[]), [some(b"\xff\xd8aabb")]);
        assert_eq!(frames(&[item(b""), a, c], 3, &[])[2], None);
    }
}
