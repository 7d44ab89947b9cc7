//! The small picture of the whole that many files carry: a JPEG stream in an attachment.

use super::blocks::Area;
use super::compose::{Unit, View};
use super::pixels::PixelType;
use crate::codec::jpeg;
use crate::codec::jpeg_frame::Frame;
use crate::codec::picture::{Color, Wanted};
use crate::error::{Error, Result};
use crate::format::{Stored, UnitCost};
use crate::io::ReadAt;

/// A picture is a few hundred pixels wide; larger ones are not held in memory.
const MAX_STREAM: u64 = 16 << 20;
/// Decoded.
const MAX_PIXELS: u64 = 16 << 20;

/// A JPEG stream that is a file of its own.
#[derive(Debug, Clone)]
pub(super) struct Jpeg {
    /// The file that it is.
    pub part: u32,
    pub width: u64,
    pub height: u64,
    /// Gray or colours.
    pub pixel: PixelType,
    color: Color,
    stored: u64,
}

impl Jpeg {
    /// Reads its headers; its number among the files is `part`.
    ///
    /// # Errors
    /// `Malformed` if it is no such stream, `OverLimit` if it is too large to be held.
    pub fn open(file: &dyn ReadAt, part: u32) -> Result<Self> {
        if file.len() > MAX_STREAM {
            return Err(Error::over_limit(format!("a picture of {} bytes", file.len())));
        }
        let stream = file.read_vec(0, file.len())?;
        let frame = Frame::find(&stream).ok_or_else(|| Error::malformed("no JPEG frame"))?;
        let (width, height) = (u64::from(frame.width), u64::from(frame.height));
        let pixel = match frame.samples {
            1 => PixelType::new(0)?,
            3 => PixelType::new(3)?,
            n => return Err(Error::unsupported(format!("a JPEG picture of {n} components"))),
        };
        if width * height > MAX_PIXELS {
            return Err(Error::over_limit(format!("a picture of {width} x {height} pixels")));
        }
        Ok(Jpeg { part, width, height, pixel, color: color(&frame), stored: stream.len() as u64 })
    }

    pub fn fetch(&self, file: &dyn ReadAt) -> Result<Stored> {
        let bytes = file.read_vec(0, self.stored)?;
        let parts = std::iter::once(0..bytes.len()).collect();
        Ok(Stored::Encoded { bytes, parts, note: None })
    }

    pub fn decode(&self, stream: &[u8]) -> Result<Vec<u8>> {
        let (width, height) = (self.width as usize, self.height as usize);
        let wanted = Wanted { color: self.color, ..Wanted::plain(width, height, self.pixel.samples, 8) };
        let found = (jpeg::CODEC.decode)(stream, &wanted)?;
        if (found.width, found.height, found.bits) != (width, height, 8) {
            return Err(Error::malformed("the picture has another size than its header says"));
        }
        let area = Area { rows: 0..self.height as i64, columns: 0..self.width as i64 };
        let mut unit = Unit::new(area.clone(), self.pixel)?;
        let view = View { data: &found.data, top: 0, left: 0, columns: width, red_first: true };
        unit.put(&view, &area)?;
        Ok(unit.samples)
    }

    pub fn cost(&self) -> UnitCost {
        let decoded = self.width * self.height * self.pixel.bytes() as u64;
        UnitCost { decoded, scratch: self.stored.saturating_add((jpeg::CODEC.memory)(decoded)) }
    }
}

/// How components become colours.
pub(super) fn color(frame: &Frame) -> Color {
    if frame.rgb { Color::Stored } else { Color::YCbCr }
}
