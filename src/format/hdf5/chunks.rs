//! Where chunks are: every kind of index that releases 1.0 to 2.0 write (sections III.A.1, VII of the specification).

use super::Hdf5;
use super::bytes::Cursor;
use crate::error::{Error, Result};

/// Deepest B-tree of version 1.
const DEEPEST: u8 = 16;

/// How chunks are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::format) struct Index {
    kind: Kind,
    address: Option<u64>,
    /// Sizes that the array may grow to.
    most: Vec<u64>,
    filtered: bool,
    /// Since layouts of version 5 a chunk's size takes as many bytes as a length.
    wide: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Tree1,
    /// Bytes of the chunk and the filters left out, if it was packed.
    Single(Option<(u64, u32)>),
    Implicit,
    Fixed,
    Extensible,
    Tree2,
}

/// A chunk as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::format) struct Chunk {
    pub address: u64,
    pub size: u64,
    /// Filters that were not applied, by bits.
    pub mask: u32,
}

impl Index {
    pub(super) fn tree1(address: Option<u64>) -> Self {
        Index { kind: Kind::Tree1, address, most: Vec::new(), filtered: false, wide: false }
    }

    /// What follows the sizes of a chunk in a layout of version 4 or 5.
    pub(super) fn read(at: &mut Cursor<'_>, flags: u8, version: u8, filtered: bool, most: &[u64]) -> Result<Self> {
        let kind = match at.u8()? {
            1 => {
                let packed = flags & 2 != 0;
                Kind::Single(if packed { Some((at.length()?, at.u32()?)) } else { None })
            }
            2 => Kind::Implicit,
            3 => {
                at.skip(1)?;
                Kind::Fixed
            }
            4 => {
                at.skip(5)?;
                Kind::Extensible
            }
            5 => {
                at.skip(6)?;
                Kind::Tree2
            }
            other => return Err(Error::unsupported(format!("an index of chunks of type {other}"))),
        };
        Ok(Index { kind, address: at.offset()?, most: most.to_vec(), filtered, wide: version >= 5 })
    }

    /// The number of a chunk among all that there may be.
    fn number(&self, place: &[u64], chunk: &[u64]) -> Result<u64> {
        let beyond = || Error::malformed("more chunks than 64 bits count");
        // Extensible arrays count along the dimension that grows last.
        let growing = self.most.iter().position(|m| *m == u64::MAX).filter(|_| self.kind == Kind::Extensible);
        let mut order: Vec<usize> = (0..place.len()).collect();
        if let Some(growing) = growing {
            order.remove(growing);
            order.insert(0, growing);
        }
        let (mut number, mut step) = (0_u64, 1_u64);
        for (nth, axis) in order.iter().enumerate().rev() {
            let (at, size) = (place.get(*axis).copied().unwrap_or(0), chunk.get(*axis).copied().unwrap_or(1).max(1));
            number = at.checked_mul(step).and_then(|n| n.checked_add(number)).ok_or_else(beyond)?;
            if nth > 0 {
                let count = self.most.get(*axis).copied().unwrap_or(1).div_ceil(size);
                step = step.checked_mul(count.max(1)).ok_or_else(beyond)?;
            }
        }
        Ok(number)
    }
}

impl Hdf5 {
    /// The chunk at a place in the grid of chunks; `None` if it was never stored.
    ///
    /// # Errors
    /// `Malformed`, `Truncated`, failures of the disk.
    pub fn chunk(&self, index: &Index, place: &[u64], chunk: &[u64], element: usize) -> Result<Option<Chunk>> {
        let Some(address) = index.address else { return Ok(None) };
        let bytes = chunk.iter().try_fold(element as u64, |n, s| n.checked_mul(*s)).unwrap_or(u64::MAX);
        let found = match index.kind {
            Kind::Tree1 => self.in_tree1(address, place, chunk),
            Kind::Single(packed) => {
                let (size, mask) = packed.unwrap_or((bytes, 0));
                Ok(Some(Chunk { address, size, mask }).filter(|_| place.iter().all(|p| *p == 0)))
            }
            Kind::Implicit => {
                let offset = index.number(place, chunk)?.checked_mul(bytes).and_then(|o| o.checked_add(address));
                let address = offset.ok_or_else(|| Error::malformed("a chunk beyond 64 bits"))?;
                Ok(Some(Chunk { address, size: bytes, mask: 0 }))
            }
            Kind::Fixed => self.in_fixed(index, address, index.number(place, chunk)?, bytes),
            Kind::Extensible => self.in_extensible(index, address, index.number(place, chunk)?, bytes),
            Kind::Tree2 => self.in_tree2(index, address, place, bytes),
        };
        found.map_err(|e| e.at(format!("index of chunks at {address}")))
    }

    fn in_tree1(&self, root: u64, place: &[u64], chunk: &[u64]) -> Result<Option<Chunk>> {
        let wanted: Vec<u64> = place.iter().zip(chunk).map(|(p, c)| p.saturating_mul(*c)).collect();
        let offset = u64::from(self.offset_size);
        let key = 8 + 8 * (place.len() as u64 + 1);
        let (mut address, mut level) = (root, None);
        loop {
            let head = self.read(address, 8 + 2 * offset)?;
            let mut at = self.cursor(&head);
            at.mark(b"TREE")?;
            let (kind, depth, count) = (at.u8()?, at.u8()?, u64::from(at.u16()?));
            if kind != 1 || depth > DEEPEST || level.is_some_and(|l: u8| l != depth + 1) {
                return Err(Error::malformed(format!("a node of kind {kind}, depth {depth} in a tree of chunks")));
            }
            let body = self.read(address.saturating_add(head.len() as u64), count * (key + offset))?;
            // The last entry whose key does not lie behind what is looked for.
            let mut found = None;
            for entry in body.chunks_exact((key + offset) as usize) {
                let mut at = self.cursor(entry);
                let (size, mask) = (u64::from(at.u32()?), at.u32()?);
                let mut first = Vec::with_capacity(place.len());
                for _ in place {
                    first.push(at.uint(8)?);
                }
                at.skip(8)?;
                if first > wanted {
                    break;
                }
                found = at.offset()?.map(|address| (address, size, mask, first));
            }
            let Some((child, size, mask, first)) = found else { return Ok(None) };
            if depth == 0 {
                return Ok((first == wanted).then_some(Chunk { address: child, size, mask }));
            }
            (address, level) = (child, Some(depth));
        }
    }

    fn in_tree2(&self, index: &Index, address: u64, place: &[u64], bytes: u64) -> Result<Option<Chunk>> {
        let tree = self.tree2(address)?;
        let sized = self.size_bytes(index, bytes);
        let first = usize::from(self.offset_size) + if index.filtered { sized + 4 } else { 0 };
        if tree.record() != first + 8 * place.len() {
            return Err(Error::malformed(format!("records of {} bytes", tree.record())));
        }
        let found = self.search2(&tree, |record| {
            let mut at = self.cursor(record);
            at.skip(first)?;
            for wanted in place {
                match wanted.cmp(&at.uint(8)?) {
                    std::cmp::Ordering::Equal => {}
                    other => return Ok(other),
                }
            }
            Ok(std::cmp::Ordering::Equal)
        })?;
        found.map(|record| self.entry(index, &record, bytes)).transpose().map(Option::flatten)
    }

    /// Bytes that the size of a packed chunk takes.
    fn size_bytes(&self, index: &Index, bytes: u64) -> usize {
        if index.wide { usize::from(self.length_size) } else { (1 + (bytes.max(1).ilog2() as usize + 8) / 8).min(8) }
    }

    /// Bytes of an entry of an array of chunks.
    fn entry_bytes(&self, index: &Index, bytes: u64) -> u64 {
        let packed = if index.filtered { self.size_bytes(index, bytes) + 4 } else { 0 };
        u64::from(self.offset_size) + packed as u64
    }

    fn entry(&self, index: &Index, entry: &[u8], bytes: u64) -> Result<Option<Chunk>> {
        let mut at = self.cursor(entry);
        let Some(address) = at.offset()? else { return Ok(None) };
        if !index.filtered {
            return Ok(Some(Chunk { address, size: bytes, mask: 0 }));
        }
        Ok(Some(Chunk { address, size: at.uint(self.size_bytes(index, bytes))?, mask: at.u32()? }))
    }

    fn entry_at(
        &self,
        index: &Index,
        address: u64,
        number: u64,
        bytes: u64,
        end: Option<u64>,
    ) -> Result<Option<Chunk>> {
        let size = self.entry_bytes(index, bytes);
        let at = number.checked_mul(size).and_then(|o| o.checked_add(address));
        let at = at
            .filter(|_| end.is_none_or(|end| number < end))
            .ok_or_else(|| Error::malformed("a chunk behind the end of its index"))?;
        self.entry(index, &self.read(at, size)?, bytes)
    }

    /// Section VII.C: a header, and all entries in one block, perhaps in pages.
    fn in_fixed(&self, index: &Index, address: u64, number: u64, bytes: u64) -> Result<Option<Chunk>> {
        let head = self.read(address, 12 + u64::from(self.length_size) + u64::from(self.offset_size))?;
        let mut at = self.cursor(&head);
        at.mark(b"FAHD")?;
        at.skip(2)?;
        let (size, page_bits, count) = (u64::from(at.u8()?), u32::from(at.u8()?), at.length()?);
        let block = at.offset()?;
        at.checksum(&head)?;
        if size != self.entry_bytes(index, bytes) || page_bits > 40 {
            return Err(Error::malformed(format!("entries of {size} bytes in pages of 2^{page_bits}")));
        }
        let Some(block) = block else { return Ok(None) };
        if number >= count {
            return Ok(None);
        }
        let prefix = 6 + u64::from(self.offset_size);
        let page = 1_u64 << page_bits;
        let beyond = || Error::malformed("an address beyond 64 bits");
        if count <= page {
            let first = block.checked_add(prefix).ok_or_else(beyond)?;
            return self.entry_at(index, first, number, bytes, Some(count));
        }
        let (pages, nth) = (count.div_ceil(page), number / page);
        if !self.bit(block.checked_add(prefix).ok_or_else(beyond)?, nth)? {
            return Ok(None);
        }
        // Pages follow the bits that say which of them were written, and a checksum.
        let first = prefix.checked_add(pages.div_ceil(8)).and_then(|n| n.checked_add(4));
        let start = (page * size + 4).checked_mul(nth).zip(first).and_then(|(a, b)| a.checked_add(b));
        let start = start.and_then(|s| s.checked_add(block)).ok_or_else(beyond)?;
        self.entry_at(index, start, number % page, bytes, Some(page))
    }

    /// Is a bit of a row of them set? The first is the highest of the first byte.
    fn bit(&self, address: u64, nth: u64) -> Result<bool> {
        let at = address.checked_add(nth / 8).ok_or_else(|| Error::malformed("an address beyond 64 bits"))?;
        let byte = self.read(at, 1)?.first().copied().unwrap_or(0);
        Ok(byte >> (7 - nth % 8) & 1 == 1)
    }

    /// Section VII.D: the first entries in a block of their own, then blocks that grow.
    fn in_extensible(&self, index: &Index, address: u64, number: u64, bytes: u64) -> Result<Option<Chunk>> {
        let (offset, beyond) = (u64::from(self.offset_size), || Error::malformed("an address beyond 64 bits"));
        let head = self.read(address, 16 + 6 * u64::from(self.length_size) + offset)?;
        let mut at = self.cursor(&head);
        at.mark(b"EAHD")?;
        at.skip(2)?;
        let size = u64::from(at.u8()?);
        let (bits, direct, least, pointers, page_bits) =
            (at.u8()?, u64::from(at.u8()?), u64::from(at.u8()?), u64::from(at.u8()?), at.u8()?);
        for _ in 0..6 {
            at.length()?;
        }
        let block = at.offset()?;
        at.checksum(&head)?;
        let power = |n: u64| n.is_power_of_two();
        if size != self.entry_bytes(index, bytes) || !power(least) || !power(pointers) || bits > 64 || page_bits > 40 {
            return Err(Error::malformed(format!("entries of {size} bytes in blocks of {least}, {pointers} pointers")));
        }
        let Some(block) = block else { return Ok(None) };
        let (prefix, beside) = (6 + offset, u64::from(bits.div_ceil(8)));
        let entries = block.checked_add(prefix).ok_or_else(beyond)?;
        if number < direct {
            return self.entry_at(index, entries, number, bytes, None);
        }
        let blocks = entries.checked_add(direct * size).ok_or_else(beyond)?;
        // Super block n holds 2^(n/2) blocks of 2^((n+1)/2) * least entries.
        let mut rest = number - direct;
        let nth = (rest / least + 1).ilog2();
        let before = |n: u32| (0..n).map(|u| 1_u64 << (u / 2)).sum::<u64>();
        rest -= ((1_u64 << nth) - 1).saturating_mul(least);
        let each = least.checked_shl(nth.div_ceil(2)).filter(|_| nth < 60).ok_or_else(beyond)?;
        let (which, within) = (rest / each, rest % each);
        // The block of the index itself points to the blocks of the first super blocks.
        let here = 2 * pointers.ilog2();
        let page = 1_u64 << page_bits;
        let paged = each > page;
        let pages = if paged { each / page } else { 0 };
        let data = if nth < here {
            let pointer = blocks.checked_add((before(nth) + which) * offset).ok_or_else(beyond)?;
            self.cursor(&self.read(pointer, offset)?).offset()?
        } else {
            let supers = blocks.checked_add(2 * (pointers - 1) * offset).ok_or_else(beyond)?;
            let pointer = supers.checked_add(u64::from(nth - here) * offset).ok_or_else(beyond)?;
            let Some(found) = self.cursor(&self.read(pointer, offset)?).offset()? else { return Ok(None) };
            self.cursor(&self.read(found, 4)?).mark(b"EASB")?;
            let bits_at = found.checked_add(prefix + beside).ok_or_else(beyond)?;
            let each_bits = pages.div_ceil(8);
            if paged && !self.bit(bits_at, which * pages + within / page)? {
                return Ok(None);
            }
            let count = 1_u64 << (nth / 2);
            let table = bits_at.checked_add(count.saturating_mul(each_bits)).ok_or_else(beyond)?;
            let pointer = table.checked_add(which * offset).ok_or_else(beyond)?;
            self.cursor(&self.read(pointer, offset)?).offset()?
        };
        let Some(data) = data else { return Ok(None) };
        self.cursor(&self.read(data, 4)?).mark(b"EADB")?;
        let first = data.checked_add(prefix + beside).ok_or_else(beyond)?;
        if !paged {
            return self.entry_at(index, first, within, bytes, Some(each));
        }
        let start = (page * size + 4)
            .checked_mul(within / page)
            .and_then(|o| o.checked_add(4))
            .and_then(|o| o.checked_add(first));
        self.entry_at(index, start.ok_or_else(beyond)?, within % page, bytes, Some(page))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dimension_that_grows_is_counted_last() {
        let index =
            |kind, most: &[u64]| Index { kind, address: None, most: most.to_vec(), filtered: false, wide: false };
        let fixed = index(Kind::Fixed, &[10, 20, 30]);
        assert_eq!(fixed.number(&[1, 2, 3], &[5, 5, 10]).unwrap(), 12 + 2 * 3 + 3);
        let growing = index(Kind::Extensible, &[10, u64::MAX, 30]);
        assert_eq!(growing.number(&[1, 7, 2], &[5, 5, 10]).unwrap(), 7 * 6 + 3 + 2);
        assert!(index(Kind::Fixed, &[u64::MAX - 1; 3]).number(&[u64::MAX; 3], &[1; 3]).is_err());
    }
}
