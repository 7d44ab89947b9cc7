//! The subblock directory: where every subblock lies in the image and in the file. One read of it is all that opening
//! needs to know about pixels.

use std::collections::HashMap;

use super::pixels::{Compression, PixelType};
use super::segment::{self, Fields, HEADER};
use crate::error::{Error, Result};
use crate::format::Limits;
use crate::io::{ReadAt, Watch};

/// Name of the segment.
const ID: &str = "ZISRAWDIRECTORY";
/// Count and spare bytes in front of the entries.
const ENTRIES: u64 = 128;
/// An entry (schema DV) without its dimensions.
pub(super) const ENTRY: usize = 32;
/// One dimension of an entry.
pub(super) const DIMENSION: usize = 20;
/// More dimensions than the alphabet allows for.
const MAX_DIMENSIONS: u64 = 40;
/// Bytes read at a time.
const WINDOW: u64 = 1 << 20;

/// Dimensions beside X, Y and M: scene, time, focus, channel, then those that multiply into the channels (phase,
/// illumination, rotation, view, block).
pub(super) const LETTERS: [u8; 9] = *b"STZCHIRVB";
/// Where a dimension is not said.
pub(super) const NOWHERE: i32 = i32::MIN;
/// A subblock that is no part of a mosaic.
pub(super) const NO_TILE: i32 = i32::MIN;

/// Everything about a subblock that is not its rectangle: most share it with many others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Coordinate {
    /// Start along each of [`LETTERS`].
    pub at: [i32; LETTERS.len()],
    /// Type of its pixels.
    pub pixel: PixelType,
}

impl Coordinate {
    /// The scene; `None` if the subblock does not say.
    pub fn scene(&self) -> Option<i32> {
        Some(self.at[0]).filter(|s| *s != NOWHERE)
    }

    /// Start along a dimension; 0 where it is not said.
    pub fn start(&self, letter: u8) -> i32 {
        let at = LETTERS.iter().position(|l| *l == letter).map_or(NOWHERE, |i| self.at[i]);
        if at == NOWHERE { 0 } else { at }
    }
}

/// Marks a part of the dataset that was not found.
pub(super) const MISSING: u32 = 1 << 31;

/// A subblock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// Of its segment in its file.
    pub position: u64,
    /// Left edge, in pixels of the full resolution.
    pub x: i32,
    /// Upper edge.
    pub y: i32,
    /// Columns and rows that it covers at the full resolution.
    pub size: (u32, u32),
    /// Columns and rows that it stores.
    pub stored: (u32, u32),
    /// Place in the stack of the mosaic's tiles, or [`NO_TILE`].
    pub m: i32,
    /// Index of its coordinate.
    pub coordinate: u32,
    /// How it is stored.
    pub compression: Compression,
    /// The file of the dataset that holds it; [`MISSING`] with its number if that is not there.
    pub part: u32,
}

/// All subblocks of a dataset.
#[derive(Debug, Default)]
pub(super) struct Directory {
    pub entries: Vec<Entry>,
    pub coordinates: Vec<Coordinate>,
    index: HashMap<Coordinate, u32>,
}

/// Bytes that an entry with its share of the coordinates may take: both as read and as sorted.
const ENTRY_BYTES: u64 = 2 * size_of::<Entry>() as u64;
const COORDINATE_BYTES: u64 = 3 * size_of::<Coordinate>() as u64;

impl Directory {
    /// Adds the subblocks that a file lists: file `own` of a dataset whose files have these part numbers.
    ///
    /// # Errors
    /// `Malformed` and `Truncated`; `OverLimit` for more entries than may be held; `Unsupported` for foreign pixel types.
    pub fn add(
        &mut self,
        file: &dyn ReadAt,
        position: u64,
        (own, numbers): (u32, &[i32]),
        limits: &Limits,
        watch: &Watch,
    ) -> Result<()> {
        let head = segment::read(file, position, ID, ENTRIES)?;
        let place = |e: Error| e.at("subblock directory");
        let count = Fields(&head).count(0, "the number of entries").map_err(place)?;
        let start = position + HEADER + ENTRIES;
        if count.saturating_mul(ENTRY as u64) > file.len().saturating_sub(start) {
            return Err(place(Error::truncated(format!(
                "{count} entries at offset {start} do not fit into a file of {} bytes",
                file.len()
            ))));
        }
        let mut add = |raw: RawEntry| {
            let part = match raw.part {
                // The number is "reserved" in later versions of the format, and 0.
                0 => own,
                n if numbers.get(own as usize) == Some(&n) => own,
                n => numbers.iter().position(|m| *m == n).map_or(MISSING | n.unsigned_abs(), |at| at as u32),
            };
            self.push(raw, part);
            if self.bytes() > limits.index_bytes {
                return Err(Error::over_limit(format!("{count} entries, more than may be held in memory")));
            }
            Ok(())
        };
        let mut window = Window { file, at: start, held: Vec::new(), used: 0 };
        for number in 0..count {
            if number % 1024 == 0 {
                watch.check()?;
                watch.tick();
            }
            RawEntry::read(&mut window).and_then(&mut add).map_err(|e| place(e.at(format!("entry {number}"))))?;
        }
        Ok(())
    }

    fn bytes(&self) -> u64 {
        self.entries.len() as u64 * ENTRY_BYTES + self.coordinates.len() as u64 * COORDINATE_BYTES
    }

    fn push(&mut self, raw: RawEntry, part: u32) {
        let coordinate = Coordinate { at: raw.at, pixel: raw.pixel };
        let next = self.coordinates.len() as u32;
        let index = *self.index.entry(coordinate).or_insert_with(|| {
            self.coordinates.push(coordinate);
            next
        });
        self.entries.push(Entry {
            position: raw.position,
            x: raw.x.start,
            y: raw.y.start,
            size: (raw.x.size, raw.y.size),
            stored: (raw.x.stored, raw.y.stored),
            m: raw.m,
            coordinate: index,
            compression: raw.compression,
            part,
        });
    }
}

/// One side of a subblock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Side {
    pub start: i32,
    pub size: u32,
    pub stored: u32,
}

/// An entry as it stands in the directory, and again in the subblock itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RawEntry {
    pub pixel: PixelType,
    pub position: u64,
    pub compression: Compression,
    pub x: Side,
    pub y: Side,
    m: i32,
    part: i32,
    at: [i32; LETTERS.len()],
}

impl RawEntry {
    fn read(window: &mut Window<'_>) -> Result<Self> {
        let (raw, count) = RawEntry::fixed(window.take(ENTRY)?)?;
        raw.with_dimensions(window.take(count * DIMENSION)?)
    }

    /// The part of fixed length, and the number of dimensions behind it.
    pub fn fixed(bytes: &[u8]) -> Result<(Self, usize)> {
        let fields = Fields(bytes);
        let schema = fields.bytes(0, 2)?;
        if schema != b"DV" {
            return Err(Error::unsupported(format!("an entry of schema {:?}", schema.escape_ascii().to_string())));
        }
        let count = fields.count(28, "the number of dimensions")?;
        if count > MAX_DIMENSIONS {
            return Err(Error::malformed(format!("{count} dimensions")));
        }
        let raw = RawEntry {
            pixel: PixelType::new(fields.i32(2)?)?,
            position: fields.place(6, "the position of the subblock")?,
            compression: Compression::new(fields.i32(18)?),
            x: Side::default(),
            y: Side::default(),
            m: NO_TILE,
            part: fields.i32(14)?,
            at: [NOWHERE; LETTERS.len()],
        };
        Ok((raw, count as usize))
    }

    /// Goes through the dimensions.
    ///
    /// # Errors
    /// `Malformed` for sides without length, `Unsupported` for subblocks of several planes and for foreign dimensions.
    pub fn with_dimensions(mut self, bytes: &[u8]) -> Result<Self> {
        for dimension in bytes.chunks_exact(DIMENSION) {
            let fields = Fields(dimension);
            let letter = fields.text(0, 4)?;
            let (start, size, stored) = (fields.i32(4)?, fields.i32(8)?, fields.i32(16)?);
            match letter.as_bytes() {
                b"X" => self.x = side("X", start, size, stored)?,
                b"Y" => self.y = side("Y", start, size, stored)?,
                // Writers mark subblocks outside of any mosaic with either end of the range.
                b"M" => self.m = if start == i32::MAX { NO_TILE } else { start },
                [letter] => {
                    let Some(at) = LETTERS.iter().position(|l| l == letter) else {
                        return Err(Error::unsupported(format!("dimension {:?}", char::from(*letter))));
                    };
                    if size > 1 && !matches!(letter, b'S' | b'B') {
                        return Err(Error::unsupported(format!(
                            "{size} {} planes in one subblock",
                            char::from(*letter)
                        )));
                    }
                    // The least value stands for nothing said.
                    self.at[at] = start.max(NOWHERE + 1);
                }
                _ => return Err(Error::unsupported(format!("dimension {letter:?}"))),
            }
        }
        if self.x.size == 0 || self.y.size == 0 {
            return Err(Error::malformed("a subblock without width or height"));
        }
        Ok(self)
    }
}

/// `stored` is 0 where it is no other than `size`.
fn side(name: &str, start: i32, size: i32, stored: i32) -> Result<Side> {
    let stored = if stored == 0 { size } else { stored };
    match (u32::try_from(size), u32::try_from(stored)) {
        (Ok(size), Ok(stored)) if size > 0 && stored > 0 => Ok(Side { start, size, stored }),
        _ => Err(Error::malformed(format!("{name} of size {size}, stored as {stored}"))),
    }
}

/// Bytes of a file one after the other, read in large pieces.
struct Window<'a> {
    file: &'a dyn ReadAt,
    /// Of the first byte that is not held.
    at: u64,
    held: Vec<u8>,
    used: usize,
}

impl Window<'_> {
    fn take(&mut self, len: usize) -> Result<&[u8]> {
        if self.held.len() - self.used < len {
            self.held.drain(..self.used);
            self.used = 0;
            let missing = (len - self.held.len()) as u64;
            let more = WINDOW.max(missing).min(self.file.len().saturating_sub(self.at));
            let bytes = self.file.read_vec(self.at, more.max(missing))?;
            self.at += bytes.len() as u64;
            self.held.extend(bytes);
        }
        let bytes = &self.held[self.used..self.used + len];
        self.used += len;
        Ok(bytes)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::format::czi::segment::tests::segment;
    use crate::io::MemoryFile;

    /// An entry with its dimensions: letter, start, size, stored size.
    pub fn entry(pixel: i32, position: i64, compression: i32, dimensions: &[(&str, i32, i32, i32)]) -> Vec<u8> {
        let mut bytes = b"DV".to_vec();
        bytes.extend(pixel.to_le_bytes());
        bytes.extend(position.to_le_bytes());
        bytes.extend(0_i32.to_le_bytes());
        bytes.extend(compression.to_le_bytes());
        bytes.extend([0; 6]);
        bytes.extend((dimensions.len() as i32).to_le_bytes());
        for (letter, start, size, stored) in dimensions {
            let mut name = letter.as_bytes().to_vec();
            name.resize(4, 0);
            bytes.extend(name);
            bytes.extend(start.to_le_bytes());
            bytes.extend(size.to_le_bytes());
            bytes.extend(0_f32.to_le_bytes());
            bytes.extend(stored.to_le_bytes());
        }
        bytes
    }

    /// The segment of a directory.
    pub fn directory(entries: &[Vec<u8>]) -> Vec<u8> {
        let mut data = (entries.len() as i32).to_le_bytes().to_vec();
        data.resize(ENTRIES as usize, 0);
        data.extend(entries.concat());
        segment(ID, &data)
    }

    fn read(bytes: Vec<u8>) -> Result<Directory> {
        let mut all = Directory::default();
        all.add(&MemoryFile(bytes), 0, (0, &[0]), &Limits::default(), &Watch::default()).map(|()| all)
    }

    #[test]
    fn entries_are_read_with_what_they_share() {
        let sides = |x, m| [("X", x, 40, 0), ("Y", -3, 30, 15), ("C", 2, 1, 1), ("M", m, 1, 1)];
        let all = read(directory(&[entry(1, 500, 6, &sides(-7, 4)), entry(1, 900, 0, &sides(33, i32::MAX))])).unwrap();
        let [first, second] = all.entries[..] else { panic!() };
        assert_eq!((first.x, first.y, first.size, first.stored, first.m), (-7, -3, (40, 30), (40, 15), 4));
        assert_eq!((first.position, first.compression), (500, Compression::Zstd1));
        assert_eq!((second.x, second.m, second.coordinate), (33, NO_TILE, first.coordinate));
        assert_eq!(all.coordinates.len(), 1);
        assert_eq!(
            (all.coordinates[0].scene(), all.coordinates[0].start(b'C'), all.coordinates[0].start(b'Z')),
            (None, 2, 0)
        );
    }

    #[test]
    fn entries_may_name_another_file() {
        let part = |number: i32| {
            let mut one = entry(1, 500, 6, &[("X", 0, 4, 4), ("Y", 0, 4, 4)]);
            one[14..18].copy_from_slice(&number.to_le_bytes());
            one
        };
        let mut all = Directory::default();
        let file = MemoryFile(directory(&[part(0), part(2), part(7), part(5)]));
        all.add(&file, 0, (1, &[0, 7, 2]), &Limits::default(), &Watch::default()).unwrap();
        let parts: Vec<u32> = all.entries.iter().map(|e| e.part).collect();
        assert_eq!(parts, [1, 2, 1, MISSING | 5]);
    }

    #[test]
    fn broken_directories_are_refused() {
        let kind = |entry: Vec<u8>| read(directory(&[entry])).unwrap_err().kind();
        let good = [("X", 0, 4, 4), ("Y", 0, 4, 4)];
        assert_eq!(kind(entry(1, -1, 0, &good)), Kind::Malformed);
        assert_eq!(kind(entry(77, 0, 0, &good)), Kind::Unsupported);
        assert_eq!(kind(entry(1, 0, 0, &[("X", 0, -4, 4), ("Y", 0, 4, 4)])), Kind::Malformed);
        assert_eq!(kind(entry(1, 0, 0, &[("X", 0, 4, 4)])), Kind::Malformed);
        assert_eq!(kind(entry(1, 0, 0, &[good[0], good[1], ("Z", 0, 5, 5)])), Kind::Unsupported);
        assert_eq!(kind(entry(1, 0, 0, &[good[0], good[1], ("Q", 0, 1, 1)])), Kind::Unsupported);
        let mut many = entry(1, 0, 0, &good);
        many[28..32].copy_from_slice(&i32::MAX.to_le_bytes());
        assert_eq!(kind(many), Kind::Malformed);
        let mut short = directory(&[entry(1, 0, 0, &good)]);
        short[32..36].copy_from_slice(&i32::MAX.to_le_bytes());
        assert_eq!(read(short).unwrap_err().kind(), Kind::Truncated);
        let whole = directory(&[entry(1, 0, 0, &good)]);
        for end in 0..whole.len() {
            assert!(read(whole[..end].to_vec()).is_err(), "{end}");
        }
        let tight = Limits { index_bytes: 100, ..Limits::default() };
        let error = Directory::default().add(&MemoryFile(whole), 0, (0, &[0]), &tight, &Watch::default()).unwrap_err();
        assert_eq!(error.kind(), Kind::OverLimit);
    }
}
