//! One JPEG strip for a whole image, read by its restart intervals (ITU-T T.81, sections B.1.1.5 and E.1.4).
//!
//! Hamamatsu's scanners write each resolution of a slide as one JPEG stream of any size. Where the entropy-coded data are cut by
//! restart markers into rectangles of whole MCUs, each interval is decoded as a small image of its own. Tag McuStarts
//! tells where the intervals begin; without it, large streams are searched for their markers once.

use std::sync::OnceLock;

use super::header::TiffFile;
use super::ifd::{Ifd, ValueTable};
use super::layout::Layout;
use super::tags::{photometric, tag};
use crate::codec::jpeg_rows::Rows;
use crate::error::{Error, Result};
use crate::format::Limits;
use crate::io::Watch;
use crate::model::TileSize;

/// A strip that is read by its restart intervals.
pub(super) struct Restarts {
    /// Offset of the stream in the file.
    start: u64,
    /// Bytes of the stream.
    length: u64,
    /// Number of intervals.
    count: u64,
    /// The headers of one interval: what comes before the entropy-coded data, for a frame of its size.
    header: Vec<u8>,
    /// Where the entropy-coded data begin, from `start`.
    data: u64,
    starts: Starts,
}

/// Where the intervals begin, from the beginning of the stream.
enum Starts {
    /// McuStarts, and its high words.
    Table(Box<ValueTable>, Option<Box<ValueTable>>),
    /// Found by a search.
    Searched(OnceLock<Vec<u64>>),
}

/// Headers are some hundred bytes; comments may be longer.
const MAX_HEADER: u64 = 64 << 10;
/// A stream without a table is searched for markers only if it decodes to more than this; a smaller one is decoded whole.
/// Fixed, because the pixels at the edges of intervals depend on it.
const SEARCHED_BYTES: u64 = 4 << 20;
/// A stream without intervals that decodes to more than this is read in bands. Fixed too: decoders differ in the last bits.
const STREAMED_BYTES: u64 = 16 << 20;
/// Most intervals that a search remembers.
const MAX_SEARCHED: u64 = 1 << 19;
/// Read at once while searching.
const SEARCH_BYTES: u64 = 1 << 20;

impl Restarts {
    /// Looks for restart intervals in the only strip of a page, and gives it blocks of their size.
    ///
    /// # Errors
    /// Failures of the disk. A stream without usable intervals is none: it is decoded whole.
    pub fn find(file: &TiffFile, ifd: &Ifd, layout: &mut Layout, limits: &Limits) -> Result<Option<Self>> {
        let whole = !layout.tiled && !layout.planar && layout.block_count() == 1;
        if !whole || !layout.compression.is_jpeg() {
            return Ok(None);
        }
        let Some((start, length)) = stream(file, ifd)? else { return Ok(None) };
        let starts = match ifd.table(tag::NDPI_MCU_STARTS)? {
            Some(low) => Some(Starts::Table(Box::new(low), ifd.table(tag::NDPI_MCU_STARTS_HIGH)?.map(Box::new))),
            None if layout.shown_bytes(layout.height) > SEARCHED_BYTES => Some(Starts::Searched(OnceLock::new())),
            None => None,
        };
        let Some(starts) = starts else { return Ok(None) };
        let head = file.file.read_vec(start, length.min(MAX_HEADER))?;
        let Some(frame) = Frame::parse(&head) else { return Ok(None) };
        let Some(block) = frame.block(layout.width) else { return Ok(None) };
        let count = layout.height.div_ceil(block.y).saturating_mul(layout.width.div_ceil(block.x));
        let fits = match &starts {
            Starts::Table(low, high) => low.len() == count && high.as_ref().is_none_or(|high| high.len() == count),
            Starts::Searched(_) => count <= MAX_SEARCHED,
        };
        if !fits || count < 2 {
            return Ok(None);
        }
        let Some(header) = frame.header(&head, block) else { return Ok(None) };
        layout.set_block(block, limits)?;
        Ok(Some(Restarts { start, length, count, header, data: frame.data as u64, starts }))
    }

    /// Searches the stream for its markers, if that is needed and was not done.
    ///
    /// # Errors
    /// `Malformed` if there are not as many as the image needs, `Io`, `Interrupted`.
    pub fn prepare(&self, file: &TiffFile, watch: &Watch) -> Result<()> {
        match &self.starts {
            Starts::Searched(found) if found.get().is_none() => {
                let starts = self.search(file, watch)?;
                // Another thread may have been faster, with the same result.
                let _ = found.set(starts);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn search(&self, file: &TiffFile, watch: &Watch) -> Result<Vec<u64>> {
        let mut starts = vec![self.data];
        let (mut at, mut after_ff) = (self.data, false);
        while at < self.length && (starts.len() as u64) < self.count {
            watch.check()?;
            let bytes = file.file.read_vec(self.start + at, (self.length - at).min(SEARCH_BYTES))?;
            for (byte, position) in bytes.iter().zip(at..) {
                if after_ff && matches!(byte, 0xd0..=0xd7) {
                    starts.push(position + 1);
                }
                after_ff = *byte == 0xff;
            }
            at += bytes.len() as u64;
            watch.tick();
        }
        if (starts.len() as u64) < self.count {
            return Err(Error::malformed(format!("{} restart intervals, {} are needed", starts.len(), self.count)));
        }
        starts.truncate(usize::try_from(self.count).unwrap_or(usize::MAX));
        starts.shrink_to_fit();
        Ok(starts)
    }

    /// Offset and length of an interval in the file.
    ///
    /// # Errors
    /// `Malformed` if the table contradicts itself, `Truncated`, `Io`.
    pub fn span(&self, index: u64) -> Result<(u64, u64)> {
        let begin = self.begin(index)?;
        let end = if index + 1 < self.count { self.begin(index + 1)? } else { self.length };
        if begin < self.data || end <= begin || end > self.length {
            return Err(Error::malformed(format!(
                "restart interval {index} from {begin} to {end} in a stream of {} bytes",
                self.length
            )));
        }
        Ok((self.start + begin, end - begin))
    }

    fn begin(&self, index: u64) -> Result<u64> {
        match &self.starts {
            Starts::Table(low, None) => low.get(index),
            Starts::Table(low, Some(high)) => {
                Ok(low.get(index)? & 0xffff_ffff | (high.get(index)? & 0xffff_ffff) << 32)
            }
            Starts::Searched(found) => {
                let start = found.get().and_then(|f| f.get(usize::try_from(index).ok()?));
                start.copied().ok_or_else(|| Error::malformed(format!("no restart interval {index}")))
            }
        }
    }

    /// An interval as a JPEG stream of its own.
    pub fn image(&self, interval: &[u8]) -> Vec<u8> {
        // The marker that ends it does not belong to it.
        let data = match interval {
            [data @ .., 0xff, 0xd0..=0xd9] => data,
            data => data,
        };
        let mut image = Vec::with_capacity(self.header.len() + data.len() + 2);
        image.extend_from_slice(&self.header);
        image.extend_from_slice(data);
        image.extend_from_slice(b"\xff\xd9");
        image
    }
}

/// A stream without restart intervals, too large to decode whole, is read from its beginning in bands of rows.
///
/// # Errors
/// Failures of the disk. What cannot be streamed stays as it is.
pub(super) fn stream_rows(file: &TiffFile, ifd: &Ifd, layout: &mut Layout, limits: &Limits) -> Result<()> {
    let whole = !layout.tiled && !layout.planar && layout.block_count() == 1;
    let known = layout.samples == 1 || layout.samples == 3 && layout.photometric == photometric::YCBCR;
    let large = layout.shown_bytes(layout.height) > STREAMED_BYTES;
    if !whole || !known || !large || !layout.compression.is_jpeg() || ifd.get(tag::JPEG_TABLES).is_some() {
        return Ok(());
    }
    let Some((start, length)) = stream(file, ifd)? else { return Ok(()) };
    let head = file.file.read_vec(start, length.min(MAX_HEADER))?;
    if let Ok(rows) = Rows::new(head.as_slice())
        && rows.size() == (layout.width as usize, layout.height as usize, layout.samples as usize)
    {
        layout.set_bands(limits);
    }
    Ok(())
}

/// Fluorescence scanners store grey samples of 16 bits as JPEG XR, and still call them RGB of 8.
///
/// # Errors
/// If the tags cannot be read.
pub(super) fn correct_grey(ifd: &mut Ifd) -> Result<()> {
    const JPEG_XR: u64 = 22610;
    let mode = ifd.u64(tag::NDPI_CAPTURE_MODE)?.unwrap_or(0);
    if mode < 6 || ifd.u64(tag::COMPRESSION)? != Some(JPEG_XR) {
        return Ok(());
    }
    let grey = photometric::MIN_IS_BLACK;
    for (tag, value) in [(tag::BITS_PER_SAMPLE, 16), (tag::SAMPLES_PER_PIXEL, 1), (tag::PHOTOMETRIC, grey)] {
        ifd.correct(tag, value);
    }
    Ok(())
}

/// Offset and length of the strip; the length ends with the file at the latest.
fn stream(file: &TiffFile, ifd: &Ifd) -> Result<Option<(u64, u64)>> {
    let high = |tag| Ok::<u64, Error>(ifd.u64(tag)?.unwrap_or(0) & 0xffff_ffff);
    let low = |tag| ifd.u64(tag);
    let (Some(start), Some(length)) = (low(tag::STRIP_OFFSETS)?, low(tag::STRIP_BYTE_COUNTS)?) else { return Ok(None) };
    let widen = |value: u64, high: u64| if value >> 32 == 0 { value | high << 32 } else { value };
    let start = widen(start, high(tag::NDPI_OFFSET_HIGH)?);
    let length = widen(length, high(tag::NDPI_COUNT_HIGH)?);
    let left = file.file.len().saturating_sub(start);
    Ok((start > 0 && left.min(length) > 4).then_some((start, length.min(left))))
}

/// What the headers of a baseline stream say.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Frame {
    /// Where the height stands in the headers; the width follows.
    size: usize,
    /// The segment that defines the restart interval.
    restart: std::ops::Range<usize>,
    /// MCUs in an interval.
    interval: u64,
    /// Columns and rows of an MCU.
    mcu: (u64, u64),
    /// Where the entropy-coded data begin.
    data: usize,
}

impl Frame {
    /// Walks the segments; `None` for anything but a sequential Huffman frame with restart intervals in one scan.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut frame = Frame { size: 0, restart: 0..0, interval: 0, mcu: (0, 0), data: 0 };
        let mut components = 0;
        let mut at = bytes.starts_with(b"\xff\xd8").then_some(2)?;
        loop {
            let marker = match bytes.get(at..at + 2)? {
                [0xff, 0xff] => {
                    at += 1;
                    continue;
                }
                [0xff, marker] => *marker,
                _ => return None,
            };
            let length = usize::from(u16::from_be_bytes(bytes.get(at + 2..at + 4)?.try_into().ok()?));
            let body = bytes.get(at + 4..at + 2 + length)?;
            match marker {
                0xc0 | 0xc1 => {
                    components = usize::from(*body.get(5)?);
                    let factors: Vec<u8> = body.get(6..6 + 3 * components)?.chunks_exact(3).map(|c| c[1]).collect();
                    // The only component of a scan is not interleaved: its MCU is a block, whatever its factors.
                    let side = |pick: fn(u8) -> u8| {
                        let most = factors.iter().map(|f| u64::from(pick(*f))).max()?;
                        (1..=4).contains(&most).then_some(if components == 1 { 8 } else { 8 * most })
                    };
                    frame.mcu = (side(|f| f >> 4)?, side(|f| f & 15)?);
                    frame.size = at + 5;
                }
                0xc2..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => return None,
                0xdd => {
                    frame.interval = u64::from(u16::from_be_bytes(body.get(..2)?.try_into().ok()?));
                    frame.restart = at..at + 2 + length;
                }
                0xda => {
                    frame.data = at + 2 + length;
                    let one_scan = usize::from(*body.first()?) == components;
                    return (frame.size > 0 && frame.interval > 0 && one_scan).then_some(frame);
                }
                _ => {}
            }
            at += 2 + length;
        }
    }

    /// Columns and rows of an interval in an image of `width` columns; `None` if intervals are no rectangles.
    fn block(&self, width: u64) -> Option<TileSize> {
        let across = width.div_ceil(self.mcu.0);
        let block = if across.is_multiple_of(self.interval) {
            TileSize { y: self.mcu.1, x: self.interval * self.mcu.0 }
        } else if self.interval.is_multiple_of(across) {
            TileSize { y: self.interval / across * self.mcu.1, x: across * self.mcu.0 }
        } else {
            return None;
        };
        // A frame has no more.
        (block.x <= 65_535 && block.y <= 65_535).then_some(block)
    }

    /// The headers for a frame of one interval, without restarts.
    fn header(&self, bytes: &[u8], block: TileSize) -> Option<Vec<u8>> {
        let mut header = bytes.get(..self.data)?.to_vec();
        let size = header.get_mut(self.size..self.size + 4)?;
        size[..2].copy_from_slice(&u16::try_from(block.y).ok()?.to_be_bytes());
        size[2..].copy_from_slice(&u16::try_from(block.x).ok()?.to_be_bytes());
        header.drain(self.restart.clone());
        Some(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Headers of three components with factors 2 x 1, an interval of 25 MCUs, and a scan.
    const HEAD: &[u8] = b"\xff\xd8\xff\xc0\0\x11\x08\x02\x58\x03\x20\x03\x01\x21\0\x02\x11\x01\x03\x11\x01\
        \xff\xdd\0\x04\0\x19\xff\xda\0\x0c\x03\x01\0\x02\x11\x03\x11\0\x3f\0abc";

    #[test]
    fn intervals_are_rectangles() {
        let frame = Frame::parse(HEAD).unwrap();
        assert_eq!((frame.interval, frame.mcu, frame.data), (25, (16, 8), HEAD.len() - 3));
        assert_eq!(frame.block(800), Some(TileSize { y: 8, x: 400 }));
        assert_eq!(frame.block(400), Some(TileSize { y: 8, x: 400 }));
        assert_eq!(frame.block(399), Some(TileSize { y: 8, x: 400 }));
        assert_eq!(frame.block(80), Some(TileSize { y: 40, x: 80 }));
        assert_eq!(frame.block(96), None);
    }

    #[test]
    fn the_header_of_an_interval_has_its_size_and_no_restarts() {
        let frame = Frame::parse(HEAD).unwrap();
        let header = frame.header(HEAD, TileSize { y: 8, x: 400 }).unwrap();
        assert_eq!(header[7..11], [0, 8, 1, 144]);
        assert_eq!(header.len(), HEAD.len() - 3 - 6);
        assert!(!header.windows(2).any(|w| w == [0xff, 0xdd]));
    }

    #[test]
    fn headers_that_end_early_or_are_none() {
        for end in 0..HEAD.len() - 3 {
            assert_eq!(Frame::parse(&HEAD[..end]), None, "{end}");
        }
        let mut progressive = HEAD.to_vec();
        progressive[3] = 0xc2;
        assert_eq!(Frame::parse(&progressive), None);
    }
}
