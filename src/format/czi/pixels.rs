//! Pixel types and compressions of subblocks, and how the bytes of one become pixels side by side.

use super::pictures::color;
use crate::codec::jpeg_frame::Frame;
use crate::codec::picture::{Codec, Color, Wanted};
use crate::codec::raster::Number;
use crate::codec::{jpeg, jpegxr, lzw, zstd};
use crate::error::{Error, Result};
use crate::format::kept::Bytes;
use crate::model::Dtype;

/// What a pixel is made of (table "PixelType" of the specification).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct PixelType {
    code: i32,
    /// Type of a sample.
    pub dtype: Dtype,
    /// Samples side by side: blue, green, red and alpha where there are several.
    pub samples: usize,
}

impl PixelType {
    /// # Errors
    /// `Unsupported` for a number that no type has.
    pub fn new(code: i32) -> Result<Self> {
        let (dtype, samples) = match code {
            0 => (Dtype::U8, 1),
            1 => (Dtype::U16, 1),
            2 => (Dtype::F32, 1),
            3 => (Dtype::U8, 3),
            4 => (Dtype::U16, 3),
            8 => (Dtype::F32, 3),
            9 => (Dtype::U8, 4),
            10 => (Dtype::C64, 1),
            11 => (Dtype::C64, 3),
            12 => (Dtype::U32, 1),
            13 => (Dtype::F64, 1),
            _ => return Err(Error::unsupported(format!("pixel type {code}"))),
        };
        Ok(PixelType { code, dtype, samples })
    }

    /// Bytes of a pixel.
    pub fn bytes(self) -> usize {
        self.samples * self.dtype.size()
    }

    /// Number in the file.
    pub fn code(self) -> i32 {
        self.code
    }
}

/// How the pixels of a subblock are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Compression {
    None,
    Jpeg,
    Lzw,
    JpegXr,
    Zstd0,
    Zstd1,
    /// Found out when it is read: the other subblocks may be fine.
    Unknown(i32),
}

impl Compression {
    /// By the number in the file.
    pub fn new(code: i32) -> Self {
        match code {
            0 => Compression::None,
            1 => Compression::Jpeg,
            2 => Compression::Lzw,
            4 => Compression::JpegXr,
            5 => Compression::Zstd0,
            6 => Compression::Zstd1,
            other => Compression::Unknown(other),
        }
    }

    /// Bytes held while `decoded` bytes are made, those included; what is stored comes on top.
    pub fn memory(self, decoded: u64) -> u64 {
        match self {
            Compression::Jpeg => (jpeg::CODEC.memory)(decoded),
            Compression::JpegXr => (jpegxr::CODEC.memory)(decoded),
            Compression::Zstd1 => decoded.saturating_mul(2),
            _ => decoded,
        }
    }

    /// Most bytes that a stored block of `decoded` bytes takes: what does not shrink grows by little.
    pub fn most_stored(self, decoded: u64) -> u64 {
        decoded.saturating_mul(2).saturating_add(64 << 10)
    }
}

/// The pixels of a whole subblock.
#[derive(Debug, PartialEq)]
pub(super) struct Pixels {
    pub columns: usize,
    pub rows: usize,
    pub pixel: PixelType,
    /// Red first? Blue first is how the format stores them; pictures with colours of their own know better.
    pub red_first: bool,
    /// Rows of pixels side by side.
    pub data: Vec<u8>,
}

impl Bytes for Pixels {
    fn bytes(&self) -> u64 {
        self.data.len() as u64
    }
}

impl Pixels {
    /// Decodes what is stored.
    ///
    /// # Errors
    /// `Unsupported` for other compressions; `Malformed`, `Truncated`.
    pub fn decode(
        data: &[u8],
        compression: Compression,
        pixel: PixelType,
        (columns, rows): (usize, usize),
    ) -> Result<Self> {
        let bytes = columns.checked_mul(rows).and_then(|n| n.checked_mul(pixel.bytes()));
        let bytes = bytes.ok_or_else(|| Error::over_limit(format!("a subblock of {columns} x {rows}")))?;
        let pixels = |data, red_first| Pixels { columns, rows, pixel, red_first, data };
        let mut out = Vec::new();
        match compression {
            Compression::None => {
                let stored = data.get(..bytes);
                let stored = stored.ok_or_else(|| Error::truncated(format!("{} bytes of {bytes}", data.len())))?;
                out.extend_from_slice(stored);
            }
            Compression::Lzw => {
                out.resize(bytes, 0);
                lzw::decode(data, &mut out)?;
            }
            Compression::Zstd0 => {
                out.resize(bytes, 0);
                zstd::decode(data, &mut out, bytes)?;
            }
            Compression::Zstd1 => {
                out.resize(bytes, 0);
                zstd1(data, pixel, &mut out)?;
            }
            // As czifile has it: JPEG streams hold the components in the order of memory, blue in the place of red.
            Compression::Jpeg => return picture(&jpeg::CODEC, data, pixel, (columns, rows)).map(|d| pixels(d, false)),
            Compression::JpegXr => {
                return picture(&jpegxr::CODEC, data, pixel, (columns, rows)).map(|d| pixels(d, true));
            }
            Compression::Unknown(code) => return Err(Error::unsupported(format!("compression {code}"))),
        }
        Ok(pixels(out, false))
    }
}

/// A stream with a size of its own, which must be that of the subblock.
fn picture(codec: &Codec, data: &[u8], pixel: PixelType, (columns, rows): (usize, usize)) -> Result<Vec<u8>> {
    let bits = 8 * pixel.dtype.size() as u32;
    let number = if pixel.dtype == Dtype::F32 { Number::Float } else { Number::Unsigned };
    let color = Frame::find(data).map_or(Color::YCbCr, |frame| color(&frame));
    let wanted = Wanted { number, color, ..Wanted::plain(columns, rows, pixel.samples, bits) };
    let found = (codec.decode)(data, &wanted)?;
    if (found.width, found.height, found.bits, found.number) != (columns, rows, bits, number) {
        return Err(Error::malformed(format!(
            "a {} picture of {} x {} samples of {} bits ({:?}) in a subblock of {columns} x {rows} {}",
            codec.name,
            found.width,
            found.height,
            found.bits,
            found.number,
            pixel.dtype.name()
        )));
    }
    Ok(found.data)
}

/// Zstandard behind a header of its own: its length, then chunks; chunk 1 says in bit 0 of its one byte whether all low
/// bytes of 16-bit samples are stored first, then all high ones.
fn zstd1(data: &[u8], pixel: PixelType, out: &mut [u8]) -> Result<()> {
    let short = || Error::truncated("no header in front of the Zstandard data");
    let length = usize::from(*data.first().ok_or_else(short)?);
    let packed = match data.get(1..length.max(1)).ok_or_else(short)? {
        [] => false,
        [1, flags] => flags & 1 == 1,
        other => return Err(Error::unsupported(format!("a Zstandard header of {} bytes", other.len() + 1))),
    };
    let stream = data.get(length.max(1)..).ok_or_else(short)?;
    if !packed {
        return zstd::decode(stream, out, out.len());
    }
    if pixel.dtype.size() != 2 {
        return Err(Error::malformed(format!("low and high bytes apart in samples of {}", pixel.dtype.name())));
    }
    let mut apart = vec![0; out.len()];
    zstd::decode(stream, &mut apart, out.len())?;
    let (low, high) = apart.split_at(apart.len() / 2);
    for ((sample, low), high) in out.as_chunks_mut::<2>().0.iter_mut().zip(low).zip(high) {
        *sample = [*low, *high];
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn pack(data: &[u8]) -> Vec<u8> {
        ::zstd::bulk::compress(data, 1).unwrap()
    }

    fn decode(data: &[u8], compression: i32, pixel: i32, size: (usize, usize)) -> Result<Vec<u8>> {
        let pixel = PixelType::new(pixel)?;
        Pixels::decode(data, Compression::new(compression), pixel, size).map(|p| p.data)
    }

    #[test]
    fn plain_and_packed_bytes_come_out() {
        let raw: Vec<u8> = (0..24).collect();
        assert_eq!(decode(&raw, 0, 1, (4, 3)).unwrap(), raw);
        assert_eq!(decode(&pack(&raw), 5, 1, (4, 3)).unwrap(), raw);
        assert_eq!(decode(&[&[1], &pack(&raw)[..]].concat(), 6, 3, (4, 2)).unwrap(), raw);
        assert_eq!(decode(&[&[3, 1, 0], &pack(&raw)[..]].concat(), 6, 0, (4, 6)).unwrap(), raw);
        let apart: Vec<u8> = raw.iter().step_by(2).chain(raw.iter().skip(1).step_by(2)).copied().collect();
        assert_eq!(decode(&[&[3, 1, 1], &pack(&apart)[..]].concat(), 6, 1, (4, 3)).unwrap(), raw);
    }

    #[test]
    fn damage_and_strangers_are_told_apart() {
        let raw = [5; 24];
        let kind = |data: &[u8], compression, pixel| decode(data, compression, pixel, (4, 3)).unwrap_err().kind();
        assert_eq!(kind(&raw[..20], 0, 1), Kind::Truncated);
        assert_eq!(kind(&raw, 99, 1), Kind::Unsupported);
        assert_eq!(kind(&raw, 5, 1), Kind::Malformed);
        assert_eq!(kind(&pack(&raw[..10]), 5, 1), Kind::Truncated);
        assert_eq!(kind(&[], 6, 1), Kind::Truncated);
        assert_eq!(kind(&[4, 2, 0, 0], 6, 1), Kind::Unsupported);
        assert_eq!(kind(&[&[3, 1, 1], &pack(&raw)[..]].concat(), 6, 2), Kind::Malformed);
        assert_eq!(PixelType::new(5).unwrap_err().kind(), Kind::Unsupported);
    }
}
