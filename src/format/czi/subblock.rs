//! One subblock in its file: where its pixels are stored, and reading all of them or a rectangle.

use std::ops::Range;

use super::blocks::{Area, Block};
use super::directory::{DIMENSION, ENTRY, RawEntry};
use super::pixels::PixelType;
use super::segment::{self, Fields, HEADER};
use crate::error::{Error, Result};
use crate::io::ReadAt;

/// Name of the segment.
const ID: &str = "ZISRAWSUBBLOCK";
/// Three lengths in front of the entry.
const LENGTHS: usize = 16;
/// The entry has at least this much room, the lengths included.
const ROOM: u64 = 256;

/// Where the pixels of a subblock are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Data {
    pub offset: u64,
    pub length: u64,
}

impl Data {
    /// Reads the head of the subblock, which must say what the directory says.
    ///
    /// # Errors
    /// `Malformed` if it contradicts the directory, `Truncated` if the file ends before its data do.
    pub fn find(file: &dyn ReadAt, block: &Block, pixel: PixelType) -> Result<Self> {
        let head = segment::read(file, block.position, ID, ROOM)?;
        let place = |e: Error| e.at(format!("subblock at offset {}", block.position));
        Self::parse(Fields(&head), file, block, pixel).map_err(place)
    }

    fn parse(head: Fields<'_>, file: &dyn ReadAt, block: &Block, pixel: PixelType) -> Result<Self> {
        let metadata = head.count(0, "the length of the metadata")?;
        let length = head.place(8, "the length of the data")?;
        let (entry, count) = RawEntry::fixed(head.bytes(LENGTHS, ENTRY)?)?;
        let dimensions = count * DIMENSION;
        let start = block.position + HEADER;
        let bytes = match head.bytes(LENGTHS + ENTRY, dimensions) {
            Ok(bytes) => bytes.to_vec(),
            Err(_) => file.read_vec(start + (LENGTHS + ENTRY) as u64, dimensions as u64)?,
        };
        let entry = entry.with_dimensions(&bytes)?;
        let ours = (pixel, block.compression, block.columns, block.rows);
        let theirs = (entry.pixel, entry.compression, entry.x.stored, entry.y.stored);
        if ours != theirs {
            return Err(Error::malformed(format!(
                "{} x {} pixels of type {}, {:?}, where the directory says {} x {}, {}, {:?}",
                theirs.2,
                theirs.3,
                theirs.0.code(),
                theirs.1,
                ours.2,
                ours.3,
                ours.0.code(),
                ours.1
            )));
        }
        let offset = start + ROOM.max((LENGTHS + ENTRY + dimensions) as u64) + metadata;
        let end = offset.checked_add(length).filter(|end| *end <= file.len());
        if end.is_none() {
            return Err(Error::truncated(format!(
                "{length} bytes of data at offset {offset} in a file of {} bytes",
                file.len()
            )));
        }
        Ok(Data { offset, length })
    }

    /// Everything that is stored.
    ///
    /// # Errors
    /// `Malformed` if that is out of proportion to the pixels.
    pub fn read(&self, file: &dyn ReadAt, block: &Block, pixel: PixelType) -> Result<Vec<u8>> {
        let most = block.compression.most_stored(block.bytes(pixel));
        if self.length > most {
            return Err(Error::malformed(format!(
                "{} bytes of data for {} x {} pixels",
                self.length, block.columns, block.rows
            )));
        }
        file.read_vec(self.offset, self.length)
    }

    /// The pixels of `window` (rows and columns of the subblock), of one that is stored as it is.
    ///
    /// # Errors
    /// `Truncated` if they are not stored.
    pub fn read_plain(&self, file: &dyn ReadAt, block: &Block, pixel: PixelType, window: &Area) -> Result<Vec<u8>> {
        let size = pixel.bytes() as u64;
        let pitch = u64::from(block.columns) * size;
        let (rows, columns) = (unsigned(&window.rows), unsigned(&window.columns));
        let line = (columns.end - columns.start) * size;
        let needed = rows.end.saturating_sub(1).saturating_mul(pitch).saturating_add(columns.end * size);
        if needed > self.length {
            return Err(Error::truncated(format!("{} bytes of data where {needed} belong", self.length)));
        }
        let count = rows.end - rows.start;
        let first = self.offset + rows.start * pitch + columns.start * size;
        let span = (count - 1) * pitch + line;
        // One read of everything between is cheaper than one for each row, unless the rows are far apart.
        if span <= SPAN.max(line.saturating_mul(2 * count)) && line < pitch {
            let all = file.read_vec(first, span)?;
            let whole = |row: u64| all.get((row * pitch) as usize..).and_then(|r| r.get(..line as usize));
            return Ok((0..count).filter_map(whole).flatten().copied().collect());
        }
        if line == pitch {
            return file.read_vec(first, span);
        }
        let mut pixels = Vec::with_capacity((line * count) as usize);
        for row in 0..count {
            pixels.extend(file.read_vec(first + row * pitch, line)?);
        }
        Ok(pixels)
    }
}

/// Bytes that are read through rather than jumped over.
pub(super) const SPAN: u64 = 1 << 20;

/// Windows lie inside of their subblock.
fn unsigned(range: &Range<i64>) -> Range<u64> {
    let side = |n: i64| u64::try_from(n).unwrap_or(0);
    side(range.start)..side(range.end)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::format::czi::directory::tests::entry;
    use crate::format::czi::pixels::Compression;
    use crate::format::czi::segment::tests::segment;
    use crate::io::MemoryFile;

    /// A subblock with three bytes of metadata.
    pub fn subblock(entry: &[u8], data: &[u8]) -> Vec<u8> {
        let mut head = 3_i32.to_le_bytes().to_vec();
        head.extend(0_i32.to_le_bytes());
        head.extend((data.len() as i64).to_le_bytes());
        head.extend(entry);
        head.resize(head.len().max(256), 0);
        segment(ID, &[&head, &b"<M>"[..], data].concat())
    }

    fn block(columns: u32, rows: u32) -> Block {
        let compression = Compression::None;
        Block { position: 0, x: 0, y: 0, columns, rows, m: 0, plane: 0, part: 0, compression }
    }

    fn file(dimensions: usize) -> MemoryFile {
        let mut sides = vec![("X", 0, 4, 4), ("Y", 0, 3, 3)];
        sides.resize(dimensions, ("C", 0, 1, 1));
        MemoryFile(subblock(&entry(1, 0, 0, &sides), &(0..24).collect::<Vec<u8>>()))
    }

    #[test]
    fn windows_of_plain_pixels_are_read() {
        let pixel = PixelType::new(1).unwrap();
        for dimensions in [2, 8, 15] {
            let file = file(dimensions);
            let data = Data::find(&file, &block(4, 3), pixel).unwrap();
            assert_eq!(data.read(&file, &block(4, 3), pixel).unwrap(), (0..24).collect::<Vec<u8>>());
            let window = |rows, columns| data.read_plain(&file, &block(4, 3), pixel, &Area { rows, columns }).unwrap();
            assert_eq!(window(1..3, 1..3), [10, 11, 12, 13, 18, 19, 20, 21]);
            assert_eq!(window(2..3, 0..4), [16, 17, 18, 19, 20, 21, 22, 23]);
        }
    }

    #[test]
    fn contradictions_and_missing_bytes_are_errors() {
        let pixel = PixelType::new(1).unwrap();
        let kind = |f: &MemoryFile, b: &Block, p: PixelType| Data::find(f, b, p).unwrap_err().kind();
        assert_eq!(kind(&file(2), &block(4, 4), pixel), Kind::Malformed);
        assert_eq!(kind(&file(2), &block(4, 3), PixelType::new(0).unwrap()), Kind::Malformed);
        let other = Block { compression: Compression::Zstd0, ..block(4, 3) };
        assert_eq!(kind(&file(2), &other, pixel), Kind::Malformed);
        let whole = file(2).0;
        for end in 0..whole.len() {
            assert!(Data::find(&MemoryFile(whole[..end].to_vec()), &block(4, 3), pixel).is_err(), "{end}");
        }
        let mut huge = whole.clone();
        huge[40..48].copy_from_slice(&(1_i64 << 61).to_le_bytes());
        assert_eq!(kind(&MemoryFile(huge), &block(4, 3), pixel), Kind::Truncated);
        let mut negative = whole;
        negative[32..36].copy_from_slice(&(-5_i32).to_le_bytes());
        assert_eq!(kind(&MemoryFile(negative), &block(4, 3), pixel), Kind::Malformed);
    }

    #[test]
    fn too_few_plain_pixels_are_an_error() {
        let pixel = PixelType::new(1).unwrap();
        let file = MemoryFile(subblock(&entry(1, 0, 0, &[("X", 0, 4, 4), ("Y", 0, 3, 3)]), &[1; 20]));
        let data = Data::find(&file, &block(4, 3), pixel).unwrap();
        let read = |rows| data.read_plain(&file, &block(4, 3), pixel, &Area { rows, columns: 0..4 });
        assert!(read(0..2).is_ok());
        assert_eq!(read(1..3).unwrap_err().kind(), Kind::Truncated);
    }
}
