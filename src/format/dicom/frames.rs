//! What is said of frames one by one (Multi-frame Functional Groups, PS3.3 C.7.6.16), and tables of their offsets.

use super::elements::{Cursor, DataSet, Encoding, Head, UNDEFINED, inner_encoding};
use super::tags;
use crate::error::{Error, Result};

/// Most identifiers of optical paths that are told apart.
const MAX_PATHS: usize = 1 << 10;
/// Most numbers of a frame in its dimensions.
const MAX_DIMENSIONS: usize = 16;

/// Where a frame of a slide lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spot {
    /// Column and row of its first pixel in the whole, from 0.
    pub at: (u32, u32),
    /// Height above the slide, in micrometres.
    pub z: f64,
    /// Number of the optical path in [`Frames::paths`].
    pub path: u16,
}

/// Of all frames, in order; lists are empty where nothing is said.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// Groups that were read.
    pub count: usize,
    /// Of slides.
    pub spots: Vec<Spot>,
    /// Identifiers of optical paths that frames name.
    pub paths: Vec<String>,
    /// Positions in the patient, in millimetres; as many as frames, or none.
    pub positions: Vec<[f64; 3]>,
    /// Numbers of frames in their dimensions, `width` for each frame.
    pub indices: Vec<u32>,
    /// Numbers of a frame in `indices`.
    pub width: usize,
    /// Segments of segmentations.
    pub segments: Vec<u16>,
    /// Pixel spacing, slice thickness, spacing of slices and orientation of the first frame, if they are not shared.
    pub first: Option<DataSet>,
    /// Offsets of frames behind the first item, and their lengths.
    pub offsets: Vec<u64>,
    pub lengths: Vec<u64>,
}

impl Frames {
    /// Reads the groups of all frames; each is let go of again.
    ///
    /// # Errors
    /// `OverLimit`, `Malformed`, `Truncated`, failures of the disk.
    pub fn read(cursor: &mut Cursor<'_>, head: Head, encoding: Encoding) -> Result<Self> {
        let mut frames = Frames::default();
        let inner = inner_encoding(head, encoding);
        let mut spotless = false;
        cursor.each_item(head, |cursor, end| {
            let before = cursor.used();
            let set = cursor.item(end, inner, 1)?;
            let kept = cursor.used() - before;
            cursor.release(kept);
            cursor.charge(64)?;
            spotless |= !frames.add(&set, cursor)?;
            if frames.first.is_none() {
                cursor.charge(set.heap_bytes())?;
                frames.first = Some(set);
            }
            Ok(())
        })?;
        if spotless {
            frames.spots = Vec::new();
        }
        if frames.positions.len() != frames.count {
            frames.positions = Vec::new();
        }
        if frames.segments.len() != frames.count {
            frames.segments = Vec::new();
        }
        if frames.indices.len() != frames.count * frames.width {
            (frames.indices, frames.width) = (Vec::new(), 0);
        }
        Ok(frames)
    }

    /// Adds a frame; says whether it has a place on the slide.
    fn add(&mut self, set: &DataSet, cursor: &mut Cursor<'_>) -> Result<bool> {
        let content = set.item(tags::FRAME_CONTENT);
        let numbers = content.map_or(Vec::new(), |c| c.numbers(tags::DIMENSION_INDEX_VALUES));
        if self.count == 0 {
            self.width = numbers.len().min(MAX_DIMENSIONS);
        }
        cursor.charge(4 * self.width as u64)?;
        if numbers.len() >= self.width {
            self.indices.extend(numbers.iter().take(self.width).map(|n| u32::try_from(*n).unwrap_or(u32::MAX)));
        }
        self.count += 1;
        if let Some(segment) = set.item(tags::SEGMENT_IDENTIFICATION).and_then(|s| s.count(tags::REFERENCED_SEGMENT)) {
            self.segments.push(u16::try_from(segment).unwrap_or(0));
        }
        let position = set.item(tags::PLANE_POSITION).map_or(Vec::new(), |p| p.decimals(tags::IMAGE_POSITION));
        if let [x, y, z] = position[..] {
            self.positions.push([x, y, z]);
        }
        let Some(slide) = set.item(tags::PLANE_POSITION_SLIDE) else { return Ok(false) };
        let zero_based = |tag| slide.signed(tag).and_then(|v| u32::try_from(v.checked_sub(1)?).ok());
        let (Some(column), Some(row)) = (zero_based(tags::SLIDE_COLUMN), zero_based(tags::SLIDE_ROW)) else {
            return Ok(false);
        };
        let path = set.item(tags::OPTICAL_PATH_IDENTIFICATION).and_then(|p| p.text(tags::OPTICAL_PATH_IDENTIFIER));
        let path = path.unwrap_or_default();
        let known = self.paths.iter().position(|p| *p == path);
        let path = match known {
            Some(at) => at,
            None if self.paths.len() >= MAX_PATHS => {
                return Err(Error::over_limit(format!("more than {MAX_PATHS} optical paths")));
            }
            None => {
                cursor.charge(path.len() as u64)?;
                self.paths.push(path);
                self.paths.len() - 1
            }
        };
        let z = slide.decimal(tags::SLIDE_Z).unwrap_or(0.0);
        self.spots.push(Spot { at: (column, row), z, path: path as u16 });
        Ok(true)
    }

    /// Reads a table of offsets or lengths (PS3.3 C.7.6.3.1.8).
    ///
    /// # Errors
    /// `OverLimit`, `Malformed`, `Truncated`, failures of the disk.
    pub fn extended(&mut self, cursor: &mut Cursor<'_>, head: Head, big_endian: bool) -> Result<()> {
        if head.length == UNDEFINED || !head.length.is_multiple_of(8) {
            return Err(Error::malformed("an extended offset table of an unexpected length"));
        }
        let list = if head.tag == tags::EXTENDED_OFFSETS { &mut self.offsets } else { &mut self.lengths };
        list.clear();
        let mut left = head.length as usize;
        while left > 0 {
            let size = left.min(8 << 10);
            let bytes = cursor.bytes(size)?;
            cursor.charge(size as u64)?;
            let number = |b: &[u8; 8]| if big_endian { u64::from_be_bytes(*b) } else { u64::from_le_bytes(*b) };
            list.extend(bytes.as_chunks::<8>().0.iter().map(number));
            left -= size;
        }
        Ok(())
    }

    /// Bytes of memory held.
    pub fn heap_bytes(&self) -> u64 {
        let paths: usize = self.paths.iter().map(|p| size_of::<String>() + p.len()).sum();
        let lists = self.spots.capacity() * size_of::<Spot>()
            + self.positions.capacity() * 24
            + self.indices.capacity() * 4
            + self.segments.capacity() * 2
            + 8 * (self.offsets.capacity() + self.lengths.capacity());
        (paths + lists) as u64 + self.first.as_ref().map_or(0, DataSet::heap_bytes)
    }
}
