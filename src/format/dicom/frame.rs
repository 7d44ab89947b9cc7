//! From the stored bytes of a frame, or of some of its rows, to planes of samples.

use std::io::Read;

use super::pixel::{Photometric, Pixel};
use super::syntax::Compression;
use crate::codec::jpeg_frame::Frame as JpegFrame;
use crate::codec::picture::{Codec, Color, Wanted};
use crate::codec::raster::Number;
use crate::codec::{jpeg, jpeg2000, jpegls, jpegxl, packbits, stream_error};
use crate::error::{Error, Result};
use crate::model::Colormap;

/// The codec of a compression, if it makes pictures.
pub(super) fn codec(compression: Compression) -> Option<&'static Codec> {
    Some(match compression {
        Compression::Jpeg | Compression::JpegLossless => &jpeg::CODEC,
        Compression::JpegLs => &jpegls::CODEC,
        Compression::Jpeg2000 => &jpeg2000::CODEC,
        Compression::JpegXl => &jpegxl::CODEC,
        _ => return None,
    })
}

/// Rows of samples side by side, least significant byte first, in as many bytes as are shown.
pub(super) struct Samples {
    pub rows: usize,
    pub data: Vec<u8>,
}

/// Decodes a compressed frame.
///
/// # Errors
/// `Unsupported` for compressions that are not read; those of the decoder.
pub(super) fn decode(bytes: &[u8], compression: Compression, pixel: &Pixel) -> Result<Samples> {
    let (rows, columns, samples) = (pixel.rows as usize, pixel.columns as usize, pixel.samples as usize);
    let size = pixel.size() as usize;
    let total = columns * rows * samples * size;
    if let Some(codec) = codec(compression) {
        return picture(bytes, codec, compression, pixel);
    }
    let mut data = match compression {
        Compression::Rle => rle(bytes, columns * rows, samples, size)?,
        Compression::DeflatedFrames => {
            let mut data = vec![0; (pixel.frame_bits() as usize).div_ceil(8)];
            let mut reader = flate2::bufread::DeflateDecoder::new(bytes);
            reader.read_exact(&mut data).map_err(|e| stream_error(&e, "Deflate"))?;
            return native(&mut data, 0, rows, pixel, false);
        }
        Compression::Unread(name) => return Err(Error::unsupported(name)),
        _ => return Err(Error::malformed("a frame in items without compression")),
    };
    if data.len() != total {
        return Err(Error::malformed("a frame of an unexpected size"));
    }
    finish_numbers(&mut data, pixel, true);
    if matches!(pixel.photometric, Photometric::Ycbcr | Photometric::Ycbcr422) {
        to_rgb(&mut data, pixel)?;
    }
    Ok(Samples { rows, data })
}

fn picture(bytes: &[u8], codec: &Codec, compression: Compression, pixel: &Pixel) -> Result<Samples> {
    let (rows, columns, samples) = (pixel.rows as usize, pixel.columns as usize, pixel.samples as usize);
    let bits = pixel.allocated.max(8);
    let rgb_stream = || JpegFrame::find(bytes).is_some_and(|f| f.rgb);
    let is_ycbcr = matches!(pixel.photometric, Photometric::Ycbcr | Photometric::Ycbcr422);
    let color =
        match (pixel.photometric, compression) {
            (Photometric::Rgb, _) => Color::Rgb,
            (Photometric::Ycbcr | Photometric::Ycbcr422 | Photometric::Transformed, Compression::Jpeg) => {
                if rgb_stream() { Color::Stored } else { Color::YCbCr }
            }
            (Photometric::Ycbcr | Photometric::Ycbcr422, Compression::Jpeg2000) => Color::YCbCr,
            (Photometric::Transformed, _) => Color::Rgb,
            _ => Color::Stored,
        };
    // An item has an even length: one byte may be too many.
    let bytes = match (codec.name, bytes) {
        ("JPEG 2000", [rest @ .., 0]) if rest.ends_with(b"\xff\xd9") => rest,
        _ => bytes,
    };
    let wanted = Wanted { color, ..Wanted::plain(columns, rows, samples, bits) };
    let found = (codec.decode)(bytes, &wanted)?;
    if (found.width, found.height, found.samples) != (columns, rows, samples) || found.bits > bits {
        return Err(Error::malformed(format!(
            "a {} picture of {} x {} pixels, {} samples of {} bits, where {columns} x {rows}, {samples} of {bits} belong",
            codec.name, found.width, found.height, found.samples, found.bits
        )));
    }
    let mut data = found.data;
    if found.bits < bits {
        let (from, to) = (found.bits as usize / 8, bits as usize / 8);
        let fill = |s: &[u8]| if found.number == Number::Signed && s[from - 1] >= 128 { 255 } else { 0 };
        data = data
            .chunks_exact(from)
            .flat_map(|s| s.iter().copied().chain(std::iter::repeat_n(fill(s), to - from)))
            .collect();
    }
    if pixel.number == Number::Signed && found.number != Number::Signed {
        finish_numbers(&mut data, pixel, false);
    }
    if is_ycbcr && matches!(compression, Compression::JpegLs | Compression::JpegLossless) {
        to_rgb(&mut data, pixel)?;
    }
    Ok(Samples { rows, data })
}

/// Turns stored rows of a frame that is not compressed, which begin `skip` bits behind the first byte, into samples. Of planar
/// frames, the rows of one sample after the other.
///
/// # Errors
/// `Malformed`, if there is not as much as there must be.
pub(super) fn native(bytes: &mut [u8], skip: u64, rows: usize, pixel: &Pixel, big_endian: bool) -> Result<Samples> {
    let short = || Error::malformed("rows of an unexpected size");
    let (columns, samples) = (pixel.columns as usize, pixel.samples as usize);
    let size = pixel.size() as usize;
    let count = columns * rows * samples;
    if pixel.allocated == 1 {
        let bit = |i: usize| {
            let at = skip as usize + i;
            bytes.get(at / 8).map(|b| b >> (at % 8) & 1)
        };
        let data = (0..count).map(bit).collect::<Option<Vec<u8>>>().ok_or_else(short)?;
        return Ok(Samples { rows, data });
    }
    if pixel.photometric == Photometric::Ycbcr422 {
        let of_row = pixel.row_bits() as usize / 8;
        let mut data = Vec::with_capacity(count);
        if pixel.allocated != 8 {
            return Err(Error::unsupported("chroma of two pixels in samples of more than a byte"));
        }
        for row in bytes.get(..of_row * rows).ok_or_else(short)?.chunks_exact(of_row) {
            let pairs = row.as_chunks::<4>().0.iter();
            data.extend(pairs.flat_map(|[y0, y1, cb, cr]| [*y0, *cb, *cr, *y1, *cb, *cr]).take(3 * columns));
        }
        to_rgb(&mut data, pixel)?;
        return Ok(Samples { rows, data });
    }
    let bytes = bytes.get_mut(..count * size).ok_or_else(short)?;
    if big_endian {
        bytes.chunks_exact_mut(size).for_each(<[u8]>::reverse);
    }
    let mut data = vec![0; count * size];
    if pixel.planar {
        for (s, plane) in bytes.chunks_exact(columns * rows * size).enumerate() {
            for (pixel, value) in data.chunks_exact_mut(samples * size).zip(plane.chunks_exact(size)) {
                pixel[s * size..(s + 1) * size].copy_from_slice(value);
            }
        }
    } else {
        data.copy_from_slice(bytes);
    }
    finish_numbers(&mut data, pixel, true);
    if pixel.photometric == Photometric::Ycbcr {
        to_rgb(&mut data, pixel)?;
    }
    Ok(Samples { rows, data })
}

/// Leaves the bits that are stored, and extends the sign.
fn finish_numbers(data: &mut [u8], pixel: &Pixel, shifted: bool) {
    let shift = if shifted { pixel.shift } else { 0 };
    if pixel.number == Number::Float || (pixel.stored == pixel.allocated && shift == 0) || pixel.allocated == 1 {
        return;
    }
    let size = pixel.size() as usize;
    let (unused, signed) = (64 - pixel.stored, pixel.number == Number::Signed);
    for sample in data.chunks_exact_mut(size) {
        let value = sample.iter().rev().fold(0_u64, |v, b| v << 8 | u64::from(*b)) >> shift << unused;
        let value = if signed { ((value as i64) >> unused) as u64 } else { value >> unused };
        sample.copy_from_slice(&value.to_le_bytes()[..size]);
    }
}

fn to_rgb(data: &mut [u8], pixel: &Pixel) -> Result<()> {
    if pixel.allocated != 8 || pixel.stored != 8 {
        return Err(Error::unsupported(format!("YCbCr in samples of {} bits", pixel.stored)));
    }
    jpeg::ycbcr_to_rgb(data, 255);
    Ok(())
}

/// Run-length coding (PS3.5 annex G): for each sample, its bytes from the most significant one down, each in a segment.
fn rle(bytes: &[u8], pixels: usize, samples: usize, size: usize) -> Result<Vec<u8>> {
    let short = || Error::truncated("run-length data end in their header");
    let number = |i: usize| {
        let b = bytes.get(4 * i..4 * i + 4)?;
        usize::try_from(u32::from_le_bytes([b[0], b[1], b[2], b[3]])).ok()
    };
    let count = number(0).ok_or_else(short)?;
    if count != samples * size || count > 15 {
        return Err(Error::malformed(format!("{count} run-length segments where {} belong", samples * size)));
    }
    let mut data = vec![0; pixels * count];
    let mut plane = vec![0; pixels];
    for segment in 0..count {
        let start = number(1 + segment).ok_or_else(short)?;
        let end = if segment + 1 < count { number(2 + segment).ok_or_else(short)? } else { bytes.len() };
        let segment_bytes =
            bytes.get(start..end).ok_or_else(|| Error::malformed("run-length segments out of order"))?;
        packbits::decode(segment_bytes, &mut plane)?;
        let at = segment / size * size + (size - 1 - segment % size);
        for (pixel, byte) in data.chunks_exact_mut(count).zip(&plane) {
            pixel[at] = *byte;
        }
    }
    Ok(data)
}

/// The part of a frame that is shown, as planes: `columns` of the `width` that rows have, and so many rows. A palette makes
/// colours of indices.
pub(super) fn planes(
    samples: &Samples,
    pixel: &Pixel,
    (rows, columns): (usize, usize),
    palette: Option<&Colormap>,
) -> Result<Vec<u8>> {
    let (width, size) = (pixel.columns as usize, pixel.size() as usize);
    let count = pixel.samples as usize;
    if rows > samples.rows || columns > width || samples.data.len() < samples.rows * width * count * size {
        return Err(Error::malformed("a frame smaller than its place"));
    }
    let lines = || samples.data.chunks_exact(width * count * size).take(rows);
    if let Some(map) = palette {
        let color = |table: &[u16], index: &[u8]| {
            let index = index.iter().rev().fold(0_usize, |v, b| v << 8 | usize::from(*b));
            table.get(index).map_or(0, |v| (v >> 8) as u8)
        };
        let tables = [&map.red, &map.green, &map.blue];
        let pixels = |table: &[u16]| -> Vec<u8> {
            lines().flat_map(|l| l.chunks_exact(size).take(columns)).map(|index| color(table, index)).collect()
        };
        return Ok(tables.iter().flat_map(|t| pixels(t)).collect());
    }
    let mut out = vec![0; rows * columns * count * size];
    for (s, plane) in out.chunks_exact_mut(rows * columns * size).enumerate() {
        for (line, o) in lines().zip(plane.chunks_exact_mut(columns * size)) {
            if count == 1 {
                o.copy_from_slice(&line[..columns * size]);
                continue;
            }
            for (o, pixel) in o.chunks_exact_mut(size).zip(line.chunks_exact(count * size)) {
                o.copy_from_slice(&pixel[s * size..(s + 1) * size]);
            }
        }
    }
    Ok(out)
}
