//! Chunks: named pieces of the file, and the map at its end that says where they are.
//!
//! A chunk begins with a magic number, the length of its name (with padding) and that of its data. The last 40 bytes of the
//! file are a signature and the offset of the map, whose data are names that end in `!`, each with an offset and a size.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::format::Limits;
use crate::io::{ReadAt, Watch};

/// First four bytes of every chunk.
pub(super) const MAGIC: [u8; 4] = [0xda, 0xce, 0xbe, 0x0a];
const MAP_SIGNATURE: &[u8] = b"ND2 CHUNK MAP SIGNATURE 0000001!";
const MAP_NAME: &[u8] = b"ND2 FILEMAP SIGNATURE NAME 0001!";
/// Longest name, with its padding to a block of the disk.
const MAX_NAME: u64 = 1 << 16;
/// Longest name in the map.
const MAX_KEY: usize = 256;
/// Most chunks that are kept by name.
const MAX_NAMED: usize = 1 << 12;
/// Most resolutions of an image.
const MAX_SIZES: usize = 32;

/// Frames by number, sorted, with the offset of their chunk.
#[derive(Debug, Default)]
pub(super) struct Frames(Vec<(u32, u64)>);

impl Frames {
    /// Offset of the chunk of a frame.
    pub fn find(&self, frame: u64) -> Option<u64> {
        let frame = u32::try_from(frame).ok()?;
        self.0.binary_search_by_key(&frame, |f| f.0).ok().map(|i| self.0[i].1)
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.0.len() as u64
    }

    /// One more than the highest number.
    pub fn end(&self) -> u64 {
        self.0.last().map_or(0, |f| u64::from(f.0) + 1)
    }

    /// Bytes of memory held.
    pub fn heap_bytes(&self) -> u64 {
        (self.0.capacity() * size_of::<(u32, u64)>()) as u64
    }

    fn finish(&mut self) {
        // Of a name that is there twice, the later one counts, as everywhere in this format.
        self.0.reverse();
        self.0.sort_by_key(|f| f.0);
        self.0.dedup_by_key(|f| f.0);
        self.0.shrink_to_fit();
    }
}

/// What the map of a file says.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    /// Images in full resolution.
    pub frames: Frames,
    /// Smaller versions of them, by the power of two that the size of the whole was brought to.
    pub reduced: BTreeMap<u64, Frames>,
    named: BTreeMap<Vec<u8>, u64>,
}

/// The head of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// Where its data begin.
    pub data: u64,
    /// Bytes of them.
    pub length: u64,
}

/// Reads the head of the chunk at `offset`, whose name must begin so.
///
/// # Errors
/// `Malformed` if it is no such chunk, `Truncated` if the file ends before its data begin.
pub(super) fn head(file: &dyn ReadAt, offset: u64, name: &[u8]) -> Result<Head> {
    let place = |e: Error| e.at(format!("chunk at offset {offset}"));
    let bytes = file.read_vec(offset, 16 + name.len() as u64).map_err(place)?;
    let field = |at: usize, size: usize| {
        bytes.get(at..at + size).unwrap_or_default().iter().rev().fold(0_u64, |v, b| v << 8 | u64::from(*b))
    };
    if !bytes.starts_with(&MAGIC) || !bytes.ends_with(name) {
        let wanted = String::from_utf8_lossy(name).into_owned();
        return Err(place(Error::malformed(format!("no chunk {wanted} begins here"))));
    }
    let (named, length) = (field(4, 4), field(8, 8));
    if named > MAX_NAME {
        return Err(place(Error::malformed(format!("a name of {named} bytes"))));
    }
    let data = offset.checked_add(16 + named).ok_or_else(|| place(Error::malformed("offset beyond 64 bits")))?;
    Ok(Head { data, length })
}

/// Reads the data of a chunk.
///
/// # Errors
/// As [`head`]; `OverLimit` for more than `most` bytes.
pub(super) fn data(file: &dyn ReadAt, offset: u64, name: &[u8], most: u64) -> Result<Vec<u8>> {
    let head = head(file, offset, name)?;
    if head.length > most && head.length <= file.len() {
        return Err(Error::over_limit(format!("a chunk of {} bytes at offset {offset}", head.length)));
    }
    file.read_vec(head.data, head.length).map_err(|e| e.at(format!("chunk at offset {offset}")))
}

impl Chunks {
    /// Reads the map.
    ///
    /// # Errors
    /// `Truncated` if the file has no end that names one, `Malformed`, `OverLimit`.
    pub fn read(file: &dyn ReadAt, limits: &Limits, watch: &Watch) -> Result<Self> {
        let tail = file.len().checked_sub(40).ok_or_else(|| Error::truncated("too short for a chunk map"))?;
        let tail = file.read_vec(tail, 40)?;
        let Some(offset) = tail.strip_prefix(MAP_SIGNATURE) else {
            return Err(Error::truncated("the file does not end with the place of its chunk map"));
        };
        let offset = offset.iter().rev().fold(0, |v, b| v << 8 | u64::from(*b));
        let map = data(file, offset, MAP_NAME, limits.index_bytes).map_err(|e| e.at("chunk map"))?;
        watch.tick();
        Self::parse(&map, watch).map_err(|e| e.at("chunk map"))
    }

    fn parse(map: &[u8], watch: &Watch) -> Result<Self> {
        let mut chunks = Chunks::default();
        let mut rest = map;
        for count in 1_u64.. {
            let head = rest.get(..MAX_KEY.min(rest.len())).unwrap_or_default();
            let Some(end) = head.iter().position(|b| *b == b'!') else {
                return Err(Error::malformed(format!("entry {count} has no name")));
            };
            let (name, after) = rest.split_at(end + 1);
            if name == MAP_SIGNATURE {
                break;
            }
            let offset = after.first_chunk().map(|o| u64::from_le_bytes(*o));
            let (Some(offset), Some(next)) = (offset, after.get(16..)) else {
                return Err(Error::truncated(format!("it ends in entry {count}")));
            };
            chunks.add(name, offset)?;
            rest = next;
            if count % (1 << 16) == 0 {
                watch.tick();
                watch.check()?;
            }
        }
        chunks.frames.finish();
        chunks.reduced.values_mut().for_each(Frames::finish);
        Ok(chunks)
    }

    fn add(&mut self, name: &[u8], offset: u64) -> Result<()> {
        let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<u32>().ok();
        let body = name.strip_suffix(b"!").unwrap_or(name);
        if let Some(frame) = body.strip_prefix(b"ImageDataSeq|").and_then(number) {
            self.frames.0.push((frame, offset));
        } else if let Some(rest) = body.strip_prefix(b"CustomDataSeq|DownsampledColorData_") {
            let mut parts = rest.splitn(2, |b| *b == b'|').map(number);
            if let (Some(Some(size)), Some(Some(frame))) = (parts.next(), parts.next())
                && (self.reduced.len() < MAX_SIZES || self.reduced.contains_key(&u64::from(size)))
            {
                self.reduced.entry(u64::from(size)).or_default().0.push((frame, offset));
            }
        } else if !body.starts_with(b"CustomDataSeq|") && self.named.len() < MAX_NAMED {
            // The metadata of later frames say little that those of the first do not.
            let of_frame = body.starts_with(b"ImageMetadataSeq") && !body.ends_with(b"|0");
            if !of_frame {
                self.named.insert(name.to_vec(), offset);
            }
        }
        Ok(())
    }

    /// The data of the first of these chunks that is there.
    ///
    /// # Errors
    /// As [`data`].
    pub fn load(&self, file: &dyn ReadAt, names: &[&str], limits: &Limits) -> Result<Option<Vec<u8>>> {
        for name in names {
            if let Some(offset) = self.named.get(name.as_bytes()) {
                let most = limits.index_bytes / 2;
                return data(file, *offset, name.as_bytes(), most).map(Some).map_err(|e| e.at(*name));
            }
        }
        Ok(None)
    }
}
