//! What chunks went through before they were stored.

use super::Hdf5;
use crate::codec::{deflate, lz4, zstd};
use crate::error::{Error, Result};

/// Longer ones are not made by anybody.
const MOST_FILTERS: usize = 32;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Filter {
    Deflate,
    /// Bytes of an element.
    Shuffle(usize),
    Fletcher32,
    Lz4,
    Zstandard,
    Unknown(u16, String),
}

/// The filters of an array, in the order in which they were applied.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::format) struct Pipeline(Vec<Filter>);

impl Hdf5 {
    /// Section IV.A.2.l.
    ///
    /// # Errors
    /// `Malformed`, `Unsupported`.
    pub(super) fn pipeline(&self, data: &[u8]) -> Result<Pipeline> {
        let mut at = self.cursor(data);
        let (version, count) = (at.u8()?, usize::from(at.u8()?));
        if version > 2 || count > MOST_FILTERS {
            return Err(Error::unsupported(format!("{count} filters, version {version}")));
        }
        at.skip(if version < 2 { 6 } else { 0 })?;
        let mut filters = Vec::new();
        for _ in 0..count {
            let id = at.u16()?;
            let named = if version < 2 || id >= 256 { usize::from(at.u16()?) } else { 0 };
            at.skip(2)?;
            let values = usize::from(at.u16()?);
            let name = at.take(if version < 2 { named.next_multiple_of(8) } else { named })?;
            let mut values: Vec<u32> = (0..values).map(|_| at.u32()).collect::<Result<_>>()?;
            if version < 2 && values.len() % 2 == 1 {
                at.skip(4)?;
            }
            let name = String::from_utf8_lossy(name.split(|b| *b == 0).next().unwrap_or_default()).into_owned();
            filters.push(match id {
                1 => Filter::Deflate,
                2 => Filter::Shuffle(values.drain(..).next().unwrap_or(1) as usize),
                3 => Filter::Fletcher32,
                32004 => Filter::Lz4,
                32015 => Filter::Zstandard,
                other => Filter::Unknown(other, name),
            });
        }
        Ok(Pipeline(filters))
    }
}

impl Pipeline {
    /// Are chunks stored as they are?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Refuses what cannot be undone, by name.
    ///
    /// # Errors
    /// `Unsupported`.
    pub fn check(&self) -> Result<()> {
        let known = |id: u16| match id {
            4 => "szip",
            5 => "n-bit",
            6 => "scale-offset",
            307 => "bzip2",
            32000 => "LZF",
            32001 => "Blosc",
            32008 => "bitshuffle",
            32013 => "ZFP",
            32018 => "FCIDECOMP",
            32022 => "SZ",
            32026 => "Blosc2",
            _ => "unknown",
        };
        match self.0.iter().find_map(|f| if let Filter::Unknown(id, name) = f { Some((*id, name)) } else { None }) {
            Some((id, name)) => Err(Error::unsupported(format!("HDF5 filter {id} ({}, {name:?})", known(id)))),
            None => Ok(()),
        }
    }

    /// A chunk of `size` bytes out of what is stored; bit n of `mask`: filter n was not applied.
    ///
    /// # Errors
    /// Those of the decoders.
    pub fn undo(&self, stored: Vec<u8>, mask: u32, size: usize) -> Result<Vec<u8>> {
        let mut data = stored;
        for (number, filter) in self.0.iter().enumerate().rev() {
            if number < 32 && mask >> number & 1 == 1 {
                continue;
            }
            // A checksum that was added before is part of what comes out.
            let sums = self.0.iter().take(number).filter(|f| **f == Filter::Fletcher32).count();
            let room = size.saturating_add(4 * sums);
            let unpacked = |decode: fn(&[u8], &mut [u8], usize) -> Result<()>, data: &[u8]| {
                let mut out = vec![0; room];
                let skipped = (0..number.min(32)).any(|n| mask >> n & 1 == 1);
                decode(data, &mut out, if skipped { size } else { room })?;
                Ok::<_, Error>(out)
            };
            data = match filter {
                Filter::Deflate => unpacked(deflate::decode, &data)?,
                Filter::Zstandard => unpacked(zstd::decode, &data)?,
                Filter::Lz4 => unpacked(lz4_blocks, &data)?,
                Filter::Shuffle(element) => unshuffle(&data, *element),
                Filter::Fletcher32 => checked(data)?,
                Filter::Unknown(id, _) => return Err(Error::unsupported(format!("HDF5 filter {id}"))),
            };
        }
        if data.len() < size {
            return Err(Error::truncated(format!("a chunk of {} bytes, {size} belong to it", data.len())));
        }
        data.truncate(size);
        Ok(data)
    }
}

/// First bytes of all elements, then second ones; what is left over at the end is as it was.
fn unshuffle(data: &[u8], element: usize) -> Vec<u8> {
    let count = data.len() / element.max(1);
    if element <= 1 || count <= 1 {
        return data.to_vec();
    }
    let mut out = data.to_vec();
    for (byte, plane) in data.chunks_exact(count).take(element).enumerate() {
        for (pixel, value) in out.chunks_exact_mut(element).zip(plane) {
            if let Some(to) = pixel.get_mut(byte) {
                *to = *value;
            }
        }
    }
    out
}

/// Takes the checksum off the end.
fn checked(mut data: Vec<u8>) -> Result<Vec<u8>> {
    let Some(at) = data.len().checked_sub(4) else { return Err(Error::truncated("a chunk without its checksum")) };
    let sum = data.split_off(at);
    let said = sum.iter().rev().fold(0_u32, |n, b| n << 8 | u32::from(*b));
    let is = fletcher32(&data);
    // Releases before 1.6.3 wrote it with the bytes of both halves swapped on some machines.
    let swapped = (is & 0x00ff_00ff) << 8 | (is >> 8) & 0x00ff_00ff;
    if said == is || said == swapped {
        return Ok(data);
    }
    Err(Error::malformed(format!("checksum {said:08x} of a chunk, its bytes have {is:08x}")))
}

/// Of words of 16 bits, most significant byte first.
fn fletcher32(data: &[u8]) -> u32 {
    let (mut first, mut second) = (0_u32, 0_u32);
    // So many words cannot overflow 32 bits.
    for part in data.chunks(720) {
        for word in part.chunks(2) {
            first += u32::from(word.first().copied().unwrap_or(0)) << 8 | u32::from(word.get(1).copied().unwrap_or(0));
            second += first;
        }
        first = (first & 0xffff) + (first >> 16);
        second = (second & 0xffff) + (second >> 16);
    }
    first = (first & 0xffff) + (first >> 16);
    second = (second & 0xffff) + (second >> 16);
    second << 16 | first
}

/// Filter 32004: bytes of the whole and of a block, then blocks with their sizes, all most significant byte first.
fn lz4_blocks(data: &[u8], out: &mut [u8], least: usize) -> Result<()> {
    let short = || Error::truncated("the LZ4 data end early");
    let (head, mut rest) = data.split_at_checked(12).ok_or_else(short)?;
    let number = |bytes: &[u8]| bytes.iter().fold(0_u64, |n, b| n << 8 | u64::from(*b));
    let (whole, block) = (number(&head[..8]), number(&head[8..]));
    if whole < least as u64 || whole > out.len() as u64 || block == 0 {
        return Err(Error::malformed(format!("LZ4 data of {whole} bytes in blocks of {block}, where {least} belong")));
    }
    let block = usize::try_from(block).unwrap_or(usize::MAX);
    for part in out.get_mut(..whole as usize).unwrap_or_default().chunks_mut(block) {
        let (size, more) = rest.split_at_checked(4).ok_or_else(short)?;
        let size = usize::try_from(number(size)).unwrap_or(usize::MAX);
        let (packed, more) = more.split_at_checked(size).ok_or_else(short)?;
        // What did not get smaller is stored as it was.
        if size == part.len() {
            part.copy_from_slice(packed);
        } else {
            lz4::decode(packed, part)?;
        }
        rest = more;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shuffled_bytes_return() {
        assert_eq!(unshuffle(&[1, 3, 5, 2, 4, 6, 9], 2), [1, 2, 3, 4, 5, 6, 9]);
        assert_eq!(unshuffle(&[1, 2, 3], 1), [1, 2, 3]);
    }

    #[test]
    fn chunks_with_checksums_and_blocks() {
        let sums = Pipeline(vec![Filter::Fletcher32]);
        let data = [1_u8, 2, 3, 4, 5];
        let stored = [&data[..], &fletcher32(&data).to_le_bytes()].concat();
        assert_eq!(sums.undo(stored.clone(), 0, 5).unwrap(), data);
        assert_eq!(sums.undo(data.to_vec(), 1, 5).unwrap(), data);
        let mut bad = stored;
        bad[0] ^= 1;
        assert_eq!(sums.undo(bad, 0, 5).unwrap_err().kind(), crate::Kind::Malformed);
        let blocks = Pipeline(vec![Filter::Lz4]);
        let mut packed = [&6_u64.to_be_bytes()[..], &4_u32.to_be_bytes(), &4_u32.to_be_bytes(), &[9, 8, 7, 6]].concat();
        // A block of two letters as they are.
        packed.extend([0, 0, 0, 3, 0x20, 5, 4]);
        assert_eq!(blocks.undo(packed.clone(), 0, 6).unwrap(), [9, 8, 7, 6, 5, 4]);
        for end in 0..packed.len() {
            assert!(blocks.undo(packed[..end].to_vec(), 0, 6).is_err(), "{end}");
        }
        let unknown = Pipeline(vec![Filter::Unknown(32001, "blosc".into())]);
        assert!(unknown.check().unwrap_err().what().contains("Blosc"));
    }
}
