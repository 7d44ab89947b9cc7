//! One file: its elements up to the pixels, and where these are.

use std::io::Read;

use super::elements::{Cursor, DataSet, Head, UNDEFINED};
use super::frames::Frames;
use super::pixel::Pixel;
use super::syntax::{Compression, EXPLICIT, IMPLICIT, Syntax};
use super::tags;
use crate::error::{Error, Result};
use crate::format::Limits;
use crate::io::{MemoryFile, ReadAt, Watch};
use crate::sync::Arc;

/// Where the pixels are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PixelData {
    /// Frames one after the other: offset and length.
    Native(u64, u64),
    /// Items, from the offset table on.
    Encapsulated(u64),
}

/// A file as far as its pixels.
pub(super) struct Header {
    pub syntax: Syntax,
    /// What was kept.
    pub set: DataSet,
    /// What is said of frames one by one.
    pub frames: Frames,
    pub pixel: Pixel,
    /// Number of frames.
    pub count: u64,
    pub data: PixelData,
    /// Samples of a byte are stored in words, most significant byte first.
    pub swapped: bool,
    /// The data set of a file that is packed as a whole.
    pub unpacked: Option<Arc<MemoryFile>>,
    /// The series that the file belongs to.
    pub series: String,
}

/// Bytes before "DICM".
pub(super) const PREAMBLE: usize = 128;

/// Does a file have a preamble? What is in that may be the header of another format (PS3.10 section 7.1).
pub(super) fn has_preamble(head: &[u8]) -> bool {
    head.get(PREAMBLE..PREAMBLE + 4) == Some(b"DICM")
}

/// Does a file without a preamble begin like a data set, with an early element of a group that comes first?
pub(super) fn is_bare(head: &[u8]) -> bool {
    let [first, second, third, fourth, rest @ ..] = head else { return false };
    let explicit = rest.get(..2).is_some_and(|vr| vr.iter().all(u8::is_ascii_uppercase));
    let big_endian = *first == 0 && explicit;
    let tag = if big_endian { [*second, *first, *fourth, *third] } else { [*first, *second, *third, *fourth] };
    // Files of old programs begin with the first element: length of group 2 or 8, or what stands first in it.
    let known = matches!(tag, [2 | 8, 0, 0, 0] | [8, 0, 1 | 5 | 8 | 0x16 | 0x18, 0] | [2, 0, 1 | 2 | 0x10, 0]);
    let short = rest.get(..4).is_some_and(|l| l[2] == 0 && l[3] == 0 && l[0] > 0 && l[0] < 128 && l[1] == 0);
    known && (explicit || short)
}

impl Header {
    /// Reads a file up to its pixels.
    ///
    /// # Errors
    /// `Unsupported` for files without pixels; `Malformed`, `Truncated`, `OverLimit`, failures of the disk.
    pub fn read(file: &Arc<dyn ReadAt>, limits: &Limits, watch: &Watch) -> Result<Self> {
        let (syntax, at) = meta(file.as_ref(), watch)?;
        let room = limits.index_bytes / 2;
        if !syntax.deflated {
            return Self::data_set(file.as_ref(), syntax, at, room, watch);
        }
        let packed = file.read_vec(at, file.len() - at.min(file.len()))?;
        let mut unpacked = Vec::new();
        let mut stream = flate2::bufread::DeflateDecoder::new(packed.as_slice()).take(room + 1);
        let mut step = vec![0; 256 << 10];
        loop {
            watch.check()?;
            match stream.read(&mut step).map_err(|e| crate::codec::stream_error(&e, "Deflate"))? {
                0 => break,
                n => unpacked.extend_from_slice(&step[..n]),
            }
            watch.tick();
        }
        if unpacked.len() as u64 > room {
            return Err(Error::over_limit(format!("a packed data set of more than {room} bytes")));
        }
        let memory = Arc::new(MemoryFile(unpacked));
        let header = Self::data_set(memory.as_ref(), syntax, 0, room, watch)?;
        Ok(Header { unpacked: Some(memory), ..header })
    }

    fn data_set(file: &dyn ReadAt, syntax: Syntax, at: u64, room: u64, watch: &Watch) -> Result<Self> {
        let mut cursor = Cursor::new(file, at, room, watch);
        let encoding = syntax.encoding;
        let mut set = DataSet::new(encoding.big_endian);
        let mut frames = Frames::default();
        while let Some(head) = cursor.head(encoding)? {
            match head.tag {
                tags::FRAME_GROUPS => frames = Frames::read(&mut cursor, head, encoding)?,
                tags::EXTENDED_OFFSETS | tags::EXTENDED_LENGTHS => {
                    frames.extended(&mut cursor, head, encoding.big_endian)?;
                }
                tags::PIXEL_DATA | tags::FLOAT_PIXEL_DATA | tags::DOUBLE_PIXEL_DATA => {
                    return Self::finish(set, frames, syntax, head, cursor.at());
                }
                _ => cursor.keep(head, encoding, &mut set)?,
            }
        }
        let class = set.text(tags::SOP_CLASS).unwrap_or_default();
        Err(Error::unsupported(format!("a DICOM file without pixels (class {class:.80})")))
    }

    fn finish(set: DataSet, frames: Frames, syntax: Syntax, head: Head, at: u64) -> Result<Self> {
        let float = match head.tag {
            tags::FLOAT_PIXEL_DATA => Some(32),
            tags::DOUBLE_PIXEL_DATA => Some(64),
            _ => None,
        };
        let pixel = Pixel::of(&set, float)?;
        let encapsulated = head.length == UNDEFINED;
        let data = match (encapsulated, syntax.compression) {
            (true, Compression::None) => {
                return Err(Error::malformed("frames in items, but a transfer syntax without compression"));
            }
            (true, _) => PixelData::Encapsulated(at),
            // Some writers leave pixels as they are whatever the transfer syntax says; a length tells.
            (false, _) => PixelData::Native(at, u64::from(head.length)),
        };
        let swapped = syntax.encoding.big_endian && &head.vr == b"OW" && pixel.allocated <= 8;
        let stated = set.count(tags::NUMBER_OF_FRAMES).unwrap_or(1).max(1);
        if stated > 1 << 31 {
            return Err(Error::malformed(format!("{stated} frames")));
        }
        let series = set.text(tags::SERIES_UID).unwrap_or_default();
        Ok(Header { syntax, set, frames, pixel, count: stated, data, swapped, unpacked: None, series })
    }

    /// The series that a file belongs to, read as far as that; empty for files that have none.
    ///
    /// # Errors
    /// `Malformed`, `Truncated`, failures of the disk.
    pub fn series_of(file: &Arc<dyn ReadAt>, watch: &Watch) -> Result<String> {
        let head = file.read_vec(0, file.len().min(PREAMBLE as u64 + 64))?;
        if !has_preamble(&head) && !is_bare(&head) {
            return Ok(String::new());
        }
        let (syntax, at) = meta(file.as_ref(), watch)?;
        if syntax.deflated {
            // As far as it takes: the beginning of the data set.
            let packed = file.read_vec(at, (file.len() - at.min(file.len())).min(64 << 10))?;
            let mut begin = vec![0; 64 << 10];
            let mut stream = flate2::bufread::DeflateDecoder::new(packed.as_slice());
            let mut filled = 0;
            while let Ok(n @ 1..) = stream.read(&mut begin[filled..]) {
                filled += n;
            }
            begin.truncate(filled);
            return series(&MemoryFile(begin), syntax, 0, watch);
        }
        series(file.as_ref(), syntax, at, watch)
    }

    /// Bytes of memory held.
    pub fn heap_bytes(&self) -> u64 {
        let unpacked = self.unpacked.as_ref().map_or(0, |m| m.0.capacity());
        (size_of::<Header>() + unpacked + self.series.len()) as u64 + self.set.heap_bytes() + self.frames.heap_bytes()
    }
}

/// The series of a data set.
fn series(file: &dyn ReadAt, syntax: Syntax, at: u64, watch: &Watch) -> Result<String> {
    let mut cursor = Cursor::new(file, at, 8 << 20, watch);
    let mut set = DataSet::new(syntax.encoding.big_endian);
    while let Some(head) = cursor.head(syntax.encoding)? {
        if head.tag > tags::SERIES_UID {
            break;
        }
        cursor.keep(head, syntax.encoding, &mut set)?;
    }
    Ok(set.text(tags::SERIES_UID).unwrap_or_default())
}

/// The transfer syntax, and where the data set begins.
fn meta(file: &dyn ReadAt, watch: &Watch) -> Result<(Syntax, u64)> {
    let head = file.read_vec(0, file.len().min(PREAMBLE as u64 + 16))?;
    let start = if has_preamble(&head) { PREAMBLE + 4 } else { 0 };
    let first = head.get(start..start + 8).ok_or_else(|| Error::truncated("no element in the file"))?;
    if first[..2] != [2, 0] {
        // Without meta information: what is most common, told by the look of the first element.
        let explicit = first[4..6].iter().all(u8::is_ascii_uppercase);
        return match (explicit, first[0] == 0 && first[1] != 0) {
            (true, true) => Ok((Syntax::of("1.2.840.10008.1.2.2")?, start as u64)),
            (true, false) => Ok((EXPLICIT, start as u64)),
            _ => Ok((IMPLICIT, start as u64)),
        };
    }
    let mut cursor = Cursor::new(file, start as u64, 1 << 20, watch);
    let mut set = DataSet::new(false);
    // The meta group has types, but for that of some very old programs.
    let encoding = if first[4..6].iter().all(u8::is_ascii_uppercase) { EXPLICIT.encoding } else { IMPLICIT.encoding };
    loop {
        let at = cursor.at();
        let more = file.len().saturating_sub(at) >= 8 && file.read_vec(at, 2)? == [2, 0];
        if !more {
            let uid = set.text(tags::TRANSFER_SYNTAX);
            let syntax = match uid {
                Some(uid) => Syntax::of(&uid)?,
                None => IMPLICIT,
            };
            return Ok((checked(syntax, file, at)?, at));
        }
        if let Some(head) = cursor.head(encoding)? {
            cursor.keep(head, encoding, &mut set)?;
        }
    }
}

/// Writers that say "implicit" and write types, or the other way round, are told by the first element.
fn checked(syntax: Syntax, file: &dyn ReadAt, at: u64) -> Result<Syntax> {
    if syntax.deflated || syntax.encoding.big_endian || file.len().saturating_sub(at) < 8 {
        return Ok(syntax);
    }
    let first = file.read_vec(at, 8)?;
    let explicit = first[4..6].iter().all(u8::is_ascii_uppercase) && first[..2] == [8, 0];
    let implicit = first[..2] == [8, 0] && first[6..] == [0, 0] && first[4] < 65;
    Ok(match (explicit, implicit) {
        (true, _) => Syntax { encoding: EXPLICIT.encoding, ..syntax },
        (_, true) => Syntax { encoding: IMPLICIT.encoding, ..syntax },
        _ => syntax,
    })
}
