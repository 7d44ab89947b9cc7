//! JPEG streams that lie inside metadata, as pages of a file in memory.

use crate::codec::base64;
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

/// What the frame header says (ITU-T T.81, B.2.2).
#[derive(Debug, PartialEq)]
struct Frame {
    width: u16,
    height: u16,
    samples: u8,
}

impl Frame {
    fn find(stream: &[u8]) -> Option<Self> {
        let mut rest = stream.strip_prefix(&[0xFF, 0xD8])?;
        loop {
            let [0xFF, marker, tail @ ..] = rest else { return None };
            match marker {
                0xFF => rest = rest.get(1..)?,
                0xD9 | 0xDA => return None,
                0x01 | 0xD0..=0xD7 => rest = tail,
                _ => {
                    let length = usize::from(u16::from_be_bytes([*tail.first()?, *tail.get(1)?]));
                    let segment = tail.get(2..length)?;
                    if matches!(marker, 0xC0..=0xCF) && !matches!(marker, 0xC4 | 0xC8 | 0xCC) {
                        let [_, y1, y0, x1, x0, samples, ..] = segment else { return None };
                        let (height, width) = (u16::from_be_bytes([*y1, *y0]), u16::from_be_bytes([*x1, *x0]));
                        return (width > 0 && height > 0).then_some(Frame { width, height, samples: *samples });
                    }
                    rest = tail.get(length..)?;
                }
            }
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_found_behind_other_segments() {
        let stream =
            [&[0xFF, 0xD8, 0xFF, 0xE0, 0, 4, 9, 9, 0xFF, 0xFF, 0xC0, 0, 17, 8][..], &[0, 60, 0, 80, 3], &[0; 9]];
        assert_eq!(Frame::find(&stream.concat()), Some(Frame { width: 80, height: 60, samples: 3 }));
        assert_eq!(Frame::find(&[0xFF, 0xD8, 0xFF, 0xE0, 0, 0]), None);
        assert_eq!(Frame::find(b"GIF"), None);
    }
}
