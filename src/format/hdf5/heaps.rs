//! Heaps: names of links, attributes and links of large groups, strings of any length.

use super::Hdf5;
use super::bytes::bytes_of;
use crate::error::{Error, Result};

/// Names of the links of a group (section III.D).
pub(super) struct LocalHeap(Vec<u8>);

impl LocalHeap {
    /// The name at an offset.
    pub fn name(&self, offset: u64) -> Result<String> {
        let start = usize::try_from(offset).ok().and_then(|o| self.0.get(o..));
        let bytes = start.ok_or_else(|| Error::malformed(format!("a name at byte {offset} of {}", self.0.len())))?;
        Ok(String::from_utf8_lossy(bytes.split(|b| *b == 0).next().unwrap_or_default()).into_owned())
    }
}

/// Deepest tree of blocks of a fractal heap; there is no need for more than a few.
const DEEPEST: usize = 16;

/// Objects of a few bytes each (section III.G).
pub(super) struct FractalHeap {
    id_length: usize,
    /// Bits of an offset.
    bits: u32,
    length_bytes: usize,
    width: u64,
    start: u64,
    most_direct: u64,
    root: Option<u64>,
    rows: u64,
}

impl Hdf5 {
    /// # Errors
    /// `Malformed`, `Truncated`, `OverLimit`, failures of the disk; those of the others here too.
    pub(super) fn local_heap(&self, address: u64) -> Result<LocalHeap> {
        let bytes = self.read(address, 8 + 2 * u64::from(self.length_size) + u64::from(self.offset_size))?;
        let mut at = self.cursor(&bytes);
        at.mark(b"HEAP")?;
        at.skip(4)?;
        let size = at.length()?;
        at.length()?;
        let data = at.offset()?.ok_or_else(|| Error::malformed("a heap without bytes"))?;
        if size > self.most {
            return Err(Error::over_limit(format!("names of {size} bytes")));
        }
        Ok(LocalHeap(self.read(data, size)?))
    }

    /// An object of a collection of the global heap (section III.E).
    pub(super) fn global(&self, address: u64, index: u32) -> Result<Vec<u8>> {
        let head = self.read(address, 8 + u64::from(self.length_size))?;
        let mut at = self.cursor(&head);
        at.mark(b"GCOL")?;
        at.skip(4)?;
        let size = at.length()?;
        let all = self.read(address, size)?;
        let mut at = self.cursor(&all);
        at.skip(head.len())?;
        while at.rest().len() > 8 {
            let number = u32::from(at.u16()?);
            at.skip(6)?;
            let length = at.length()?;
            if number == 0 {
                break;
            }
            let object = at.take(usize::try_from(length).unwrap_or(usize::MAX))?;
            if number == index {
                return Ok(object.to_vec());
            }
            at.skip((8 - object.len() % 8) % 8)?;
        }
        Err(Error::malformed(format!("no object {index} in the global heap at {address}")))
    }

    pub(super) fn fractal_heap(&self, address: u64) -> Result<FractalHeap> {
        let size = 26 + 12 * u64::from(self.length_size) + 3 * u64::from(self.offset_size);
        let bytes = self.read(address, size)?;
        let mut at = self.cursor(&bytes);
        at.mark(b"FRHP")?;
        at.skip(1)?;
        let id_length = usize::from(at.u16()?);
        let filtered = at.u16()? != 0;
        at.skip(1)?;
        let largest = u64::from(at.u32()?);
        at.length()?;
        at.offset()?;
        at.length()?;
        at.offset()?;
        (0..8).try_for_each(|_| at.length().map(|_| ()))?;
        let width = u64::from(at.u16()?);
        let (start, most_direct) = (at.length()?, at.length()?);
        let bits = u32::from(at.u16()?);
        at.u16()?;
        let root = at.offset()?;
        let rows = u64::from(at.u16()?);
        if filtered {
            return Err(Error::unsupported("a fractal heap whose blocks are packed"));
        }
        at.checksum(&bytes)?;
        let power = |n: u64| n.is_power_of_two() && n <= 1 << 40;
        if !power(width)
            || !power(start)
            || !power(most_direct)
            || most_direct < start
            || !(1..=64).contains(&bits)
            || rows > 64
        {
            return Err(Error::malformed(format!("a fractal heap of {width} blocks of {start} bytes in a row")));
        }
        // An object in it is no longer than a block.
        let length_bytes = ((most_direct.ilog2() as usize).div_ceil(8)).min(bytes_of(largest));
        Ok(FractalHeap { id_length, bits, length_bytes, width, start, most_direct, root, rows })
    }

    /// An object by its identifier.
    pub(super) fn managed(&self, heap: &FractalHeap, id: &[u8]) -> Result<Vec<u8>> {
        let mut at = self.cursor(id.get(..heap.id_length.min(id.len())).unwrap_or_default());
        let first = at.u8()?;
        match first >> 4 & 3 {
            0 => {}
            2 => return Ok(at.take(usize::from(first & 15) + 1)?.to_vec()),
            _ => return Err(Error::unsupported("an object outside of its fractal heap")),
        }
        let offset = at.uint((heap.bits as usize).div_ceil(8))?;
        let length = at.uint(heap.length_bytes)?;
        let root = heap.root.ok_or_else(|| Error::malformed("an object of an empty heap"))?;
        let (block, within) =
            if heap.rows == 0 { (root, offset) } else { self.find_block(heap, root, heap.rows, offset)? };
        if within.saturating_add(length) > heap.most_direct {
            return Err(Error::malformed(format!(
                "{length} bytes at {within} of a block of {} bytes",
                heap.most_direct
            )));
        }
        self.read(block.saturating_add(within), length)
    }

    /// The block that an offset lies in, and how far in.
    fn find_block(&self, heap: &FractalHeap, root: u64, rows: u64, offset: u64) -> Result<(u64, u64)> {
        let (mut block, mut rows, mut offset) = (root, rows, offset);
        let direct_rows = u64::from(heap.most_direct.ilog2() - heap.start.ilog2()) + 2;
        let row_size = |row: u64| heap.start.checked_shl(row.saturating_sub(1) as u32).filter(|_| row < 60);
        for _ in 0..DEEPEST {
            let mut row = 0;
            let size = loop {
                let size = row_size(row).ok_or_else(|| Error::malformed("an offset beyond the heap"))?;
                let all = size.saturating_mul(heap.width);
                if row >= rows {
                    return Err(Error::malformed("an offset beyond the heap"));
                }
                if offset < all {
                    break size;
                }
                offset -= all;
                row += 1;
            };
            let entry = row * heap.width + offset / size;
            let head = 5 + u64::from(self.offset_size) + u64::from(heap.bits.div_ceil(8));
            let bytes = self.read(block, head + (entry + 1) * u64::from(self.offset_size))?;
            let mut at = self.cursor(&bytes);
            at.mark(b"FHIB")?;
            at.skip((head - 4 + entry * u64::from(self.offset_size)) as usize)?;
            block = at.offset()?.ok_or_else(|| Error::malformed("an object in a block that is not there"))?;
            offset %= size;
            if row < direct_rows {
                return Ok((block, offset));
            }
            let whole = heap.start.saturating_mul(heap.width);
            rows = u64::from(size.ilog2().saturating_sub(whole.max(1).ilog2())) + 1;
        }
        Err(Error::malformed("blocks of a heap inside of each other"))
    }
}
