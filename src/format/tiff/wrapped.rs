//! Zeiss LSM: offsets of strips that lost their high words, and lengths that are those of the samples.
//!
//! The format knows 32 bits for offsets. Beyond 4 GiB the microscope's program goes on counting from zero; as it writes planes in
//! the order of time, the high word grows by one wherever an offset is smaller than the one before.

use std::collections::HashMap;

use super::ifd::Ifd;
use super::tags::tag;
use crate::error::Result;
use crate::io::ReadAt;

/// High words of the pages of a file. Pages that are not listed have none.
#[derive(Default)]
pub struct Wrapped(HashMap<u64, High>);

/// The high word of a page's strips.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct High {
    /// Of the first strip, as a number to add.
    base: u64,
    /// The strip from which on it is one more.
    from: u64,
}

/// What an offset of 32 bits leaves out.
const WRAP: u64 = 1 << 32;
/// Memory of an entry.
pub(super) const ENTRY_BYTES: u64 = 48;

impl Wrapped {
    /// Pages in the order in which they were written: directory, and the offsets of its strips.
    pub fn new(pages: impl Iterator<Item = (u64, Vec<u64>)>) -> Self {
        let mut map = HashMap::new();
        let (mut base, mut last) = (0_u64, 0);
        for (directory, strips) in pages {
            // What was never written breaks no order.
            if strips.iter().all(|s| *s == 0) {
                continue;
            }
            if strips[0] < last {
                base += WRAP;
            }
            let drop = strips.windows(2).position(|w| w[1] < w[0]).map_or(u64::MAX, |at| at as u64 + 1);
            let high = High { base, from: drop };
            if drop != u64::MAX {
                base += WRAP;
            }
            last = strips.last().copied().unwrap_or(last);
            if high != (High { base: 0, from: u64::MAX }) {
                map.insert(directory, high);
            }
        }
        Wrapped(map)
    }

    /// What must be added to the offsets of a page.
    pub(super) fn of(&self, directory: u64) -> High {
        self.0.get(&directory).copied().unwrap_or(High { base: 0, from: u64::MAX })
    }
}

impl High {
    /// Offset and length of a strip. The length is that of the samples, which says nothing of a compressed strip: it may
    /// reach to the end of the file.
    pub fn correct(self, index: u64, offset: u64, count: u64, compressed: bool, end: u64) -> (u64, u64) {
        if offset == 0 || count == 0 {
            return (offset, count);
        }
        let offset = offset.saturating_add(self.base).saturating_add(if index >= self.from { WRAP } else { 0 });
        let left = end.saturating_sub(offset);
        (offset, if compressed && left > 0 { left } else { count })
    }
}

/// Some versions keep two BitsPerSample elsewhere in the file although they have room in the entry.
///
/// # Errors
/// If the disk fails.
pub(super) fn correct_bits(file: &dyn ReadAt, ifd: &mut Ifd) -> Result<()> {
    let known = |v: &[u64]| v.len() == 2 && v[0] == v[1] && matches!(v[0], 8 | 12 | 16 | 32);
    let Some(bits) = ifd.u64s(tag::BITS_PER_SAMPLE, 3)?.filter(|b| b.len() == 2 && !known(b)) else { return Ok(()) };
    let offset = bits[0] | bits[1] << 16;
    if offset.checked_add(4).is_none_or(|end| end > file.len()) {
        return Ok(());
    }
    let bytes = file.read_vec(offset, 4)?;
    let values: Vec<u64> = bytes.as_chunks::<2>().0.iter().map(|b| u64::from(u16::from_le_bytes(*b))).collect();
    if known(&values) {
        ifd.correct(tag::BITS_PER_SAMPLE, values[0] as u16);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn high_words_grow_where_offsets_fall() {
        let pages = [
            (100, vec![10, 20]),
            (200, vec![0, 0]),
            (300, vec![4_000_000_000, 5]),
            (400, vec![8, 9]),
            (500, vec![7, 9]),
        ];
        let wrapped = Wrapped::new(pages.into_iter());
        let end = 1 << 40;
        let at = |directory, index, offset| wrapped.of(directory).correct(index, offset, 4, false, end);
        assert_eq!(at(100, 1, 20), (20, 4));
        assert_eq!(at(200, 0, 0), (0, 4));
        assert_eq!(at(300, 0, 4_000_000_000), (4_000_000_000, 4));
        assert_eq!(at(300, 1, 5), (WRAP + 5, 4));
        assert_eq!(at(400, 0, 8), (WRAP + 8, 4));
        assert_eq!(at(500, 0, 7), (2 * WRAP + 7, 4));
        assert_eq!(wrapped.of(100).correct(0, 10, 4, true, 1000), (10, 990));
    }
}
