//! JPEG streams that lie inside metadata, as pages of a file in memory.

use crate::codec::base64;
use crate::codec::jpeg_frame::Frame;
use crate::error::{Error, Result};
use crate::format::Limits;
use crate::format::tiff::header::TiffFile;
use crate::format::tiff::page::Page;
use crate::io::MemoryFile;
use crate::sync::Arc;

/// A label is some hundred kilobytes; larger ones are not held in memory.
const MAX_STREAM: usize = 16 << 20;

/// A page of one strip that holds the stream.
///
/// # Errors
/// `Malformed` if it is no JPEG stream, `OverLimit` if it is too large to be held.
pub(super) fn jpeg_page(text: &str, limits: &Limits) -> Result<Page> {
    if text.len() > MAX_STREAM {
        return Err(Error::over_limit(format!("an embedded image of {} bytes", text.len())));
    }
    let stream = base64::decode(text)?;
    let frame = Frame::find(&stream).ok_or_else(|| Error::malformed("no JPEG frame"))?;
    let file = TiffFile::open(Arc::new(MemoryFile(wrap(&stream, &frame))))?;
    Page::parse(&file, file.first_ifd, limits)
}

/// A TIFF file around the stream: header, directory, bits per sample, stream.
fn wrap(stream: &[u8], frame: &Frame) -> Vec<u8> {
    let (width, height) = (u32::from(frame.width), u32::from(frame.height));
    let color = frame.samples == 3;
    let entries: [(u16, u16, u32, u32); 9] = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 1, 8),
        (259, 3, 1, 7),
        (262, 3, 1, if color { 6 } else { 1 }),
        (273, 4, 1, 8 + 2 + 9 * 12 + 4),
        (277, 3, 1, u32::from(frame.samples)),
        (278, 4, 1, height),
        (279, 4, 1, u32::try_from(stream.len()).unwrap_or(u32::MAX)),
    ];
    let mut out = b"II*\0\x08\0\0\0".to_vec();
    out.extend(9_u16.to_le_bytes());
    for (tag, kind, count, value) in entries {
        out.extend(tag.to_le_bytes());
        out.extend(kind.to_le_bytes());
        out.extend(count.to_le_bytes());
        out.extend(value.to_le_bytes());
    }
    out.extend([0; 4]);
    out.extend(stream);
    out
}
