//! Shards: many chunks in one file, followed by an index (the Zarr v3 codec `sharding_indexed`, version 1.0).
//!
//! A shard of ours holds the chunks that meet the array, packed in C order, then for every chunk of a full shard its
//! offset and length (64 bits each, little-endian; all ones where there is none), then the CRC-32C of that index. Chunks
//! are not compressed, so all of it but the pixels is arithmetic.

use std::ops::Range;

use crate::pyramid::ChunkId;

/// Bytes of an entry of the index: offset and length.
const ENTRY: u64 = 16;
/// Bytes of the checksum.
const CHECKSUM: u64 = 4;

/// One shard file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// Its first chunk.
    pub first: ChunkId,
    /// Chunks along y and x of a full shard.
    pub full: (u64, u64),
    /// Those of them that meet the array: at least one, at most `full`.
    pub inside: (u64, u64),
    /// Bytes of a chunk.
    pub chunk_bytes: u64,
}

/// The part of a range of a shard file that lies in one chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The chunk.
    pub chunk: ChunkId,
    /// Bytes of it.
    pub range: Range<u64>,
    /// Where they lie in the range of the shard file.
    pub at: u64,
}

impl Shard {
    /// Size of the file; saturates.
    pub fn bytes(&self) -> u64 {
        self.index_at().saturating_add(self.index_bytes())
    }

    /// Where the index begins: behind the last chunk.
    pub fn index_at(&self) -> u64 {
        self.inside.0.saturating_mul(self.inside.1).saturating_mul(self.chunk_bytes)
    }

    /// Bytes of the index with its checksum.
    fn index_bytes(&self) -> u64 {
        self.entries().saturating_mul(ENTRY).saturating_add(CHECKSUM)
    }

    fn entries(&self) -> u64 {
        self.full.0.saturating_mul(self.full.1)
    }

    /// The parts of the chunks in bytes `range` of the file, in order. Those in the index are left out.
    pub fn pieces(&self, range: Range<u64>) -> impl Iterator<Item = Piece> + Send + use<> {
        let shard = *self;
        let size = shard.chunk_bytes.max(1);
        let end = range.end.min(shard.index_at());
        let numbers = if range.start < end { range.start / size..end.div_ceil(size) } else { 0..0 };
        numbers.map(move |number| {
            let file = (number * size).max(range.start)..((number + 1) * size).min(end);
            let (row, column) = (number / shard.inside.1, number % shard.inside.1);
            Piece {
                chunk: ChunkId { y: shard.first.y + row, x: shard.first.x + column, ..shard.first },
                range: file.start - number * size..file.end - number * size,
                at: file.start - range.start,
            }
        })
    }

    /// Puts the bytes of the index that lie in bytes `range` of the file where they belong in `out`, which stands for that
    /// range. The checksum is worked out only if it is asked for.
    pub fn fill_index(&self, range: &Range<u64>, out: &mut [u8]) {
        let base = self.index_at();
        let entries = self.entries();
        let (from, to) = (range.start.max(base) - base, range.end.max(base) - base);
        let mut put = |at: u64, bytes: &[u8]| {
            for (position, byte) in (base + at..).zip(bytes) {
                let slot = position.checked_sub(range.start).and_then(|n| usize::try_from(n).ok());
                if let Some(slot) = slot.and_then(|n| out.get_mut(n)) {
                    *slot = *byte;
                }
            }
        };
        for number in (from / ENTRY).min(entries)..to.div_ceil(ENTRY).min(entries) {
            put(number * ENTRY, &self.entry(number));
        }
        if to > entries * ENTRY {
            let sum = (0..entries).fold(0, |sum, number| crc32c::crc32c_append(sum, &self.entry(number)));
            put(entries * ENTRY, &sum.to_le_bytes());
        }
    }

    /// An entry of the index by the number of its chunk in a full shard.
    fn entry(&self, number: u64) -> [u8; ENTRY as usize] {
        let (row, column) = (number / self.full.1, number % self.full.1);
        let (offset, length) = if row < self.inside.0 && column < self.inside.1 {
            ((row * self.inside.1 + column) * self.chunk_bytes, self.chunk_bytes)
        } else {
            (u64::MAX, u64::MAX)
        };
        let mut entry = [0; ENTRY as usize];
        entry[..8].copy_from_slice(&offset.to_le_bytes());
        entry[8..].copy_from_slice(&length.to_le_bytes());
        entry
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two of three rows and one of two columns of chunks of ten bytes.
    fn shard() -> Shard {
        let first = ChunkId { series: 0, level: 1, t: 2, c: 3, z: 4, y: 6, x: 8 };
        Shard { first, full: (3, 2), inside: (2, 1), chunk_bytes: 10 }
    }

    #[test]
    fn sizes_follow_from_geometry() {
        assert_eq!((shard().index_at(), shard().bytes()), (20, 20 + 6 * 16 + 4));
        let example = Shard { full: (4, 4), inside: (4, 2), chunk_bytes: 524_288, ..shard() };
        assert_eq!(example.bytes(), 8 * 524_288 + 260);
        assert_eq!(Shard { full: (u64::MAX, 2), ..shard() }.bytes(), u64::MAX);
    }

    #[test]
    fn a_range_is_cut_at_chunks() {
        let pieces: Vec<Piece> = shard().pieces(4..200).collect();
        let chunk = shard().first;
        assert_eq!(
            pieces,
            [Piece { chunk, range: 4..10, at: 0 }, Piece { chunk: ChunkId { y: 7, ..chunk }, range: 0..10, at: 6 }]
        );
        assert_eq!(shard().pieces(20..120).count() + shard().pieces(7..7).count(), 0);
        assert_eq!(shard().pieces(13..15).collect::<Vec<_>>()[0].range, 3..5);
    }

    #[test]
    fn the_index_is_what_the_codec_says() {
        let mut all = vec![0; 120];
        shard().fill_index(&(0..120), &mut all);
        let numbers: Vec<u64> = all[20..116].chunks(8).map(|b| u64::from_le_bytes(b.try_into().unwrap())).collect();
        let none = u64::MAX;
        assert_eq!(numbers, [0, 10, none, none, 10, 10, none, none, none, none, none, none]);
        assert_eq!(all[116..], crc32c::crc32c(&all[20..116]).to_le_bytes());
        for start in 0..120 {
            for end in start..=120 {
                let mut part = vec![0; end - start];
                shard().fill_index(&(start as u64..end as u64), &mut part);
                assert_eq!(part, all[start..end], "{start}..{end}");
            }
        }
    }
}
