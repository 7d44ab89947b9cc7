//! PNG (ISO/IEC 15948), samples of 1 to 16 bits.

use png::{BitDepth, ColorType, Decoder, Limits, Transformations};

use super::picture::{Codec, Picture, Wanted};
use super::raster::Number;
use crate::error::{Error, Result};

/// PNG.
pub const CODEC: Codec = Codec::new("PNG", memory, decode);

/// Samples, a few rows and the window.
fn memory(decoded: u64) -> u64 {
    decoded.saturating_mul(2).saturating_add(256 << 10)
}

fn decode(data: &[u8], wanted: &Wanted<'_>) -> Result<Picture> {
    let damaged = |e: png::DecodingError| Error::malformed(format!("damaged PNG data ({e})"));
    let bytes = wanted.width.saturating_mul(wanted.height).saturating_mul(wanted.samples * 8);
    let limits = Limits { bytes: bytes.saturating_add(64 << 10) };
    let mut decoder = Decoder::new_with_limits(std::io::Cursor::new(data), limits);
    decoder.set_transformations(Transformations::IDENTITY);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let header = decoder.read_header_info().map_err(damaged)?;
    wanted.check_size("PNG", header.width as usize, header.height as usize)?;
    // Indices of a palette are samples like others.
    let samples = match header.color_type {
        ColorType::Grayscale | ColorType::Indexed => 1,
        ColorType::GrayscaleAlpha => 2,
        ColorType::Rgb => 3,
        ColorType::Rgba => 4,
    };
    wanted.check_samples("PNG", samples)?;
    let (width, height) = (header.width as usize, header.height as usize);
    let bits = match header.bit_depth {
        BitDepth::One => 1,
        BitDepth::Two => 2,
        BitDepth::Four => 4,
        BitDepth::Eight => 8,
        BitDepth::Sixteen => 16,
    };
    let mut reader = decoder.read_info().map_err(damaged)?;
    let size = reader.output_buffer_size().filter(|n| *n as u64 <= bytes as u64);
    let mut data = vec![0; size.ok_or_else(|| Error::malformed("a PNG picture of an unexpected size"))?];
    reader.next_frame(&mut data).map_err(damaged)?;
    if bits == 16 {
        data.as_chunks_mut::<2>().0.iter_mut().for_each(|v| v.reverse());
    }
    Ok(Picture { width, height, samples, bits, number: Number::Unsigned, data })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(samples: usize, bits: u32) -> Wanted<'static> {
        Wanted::plain(16, 16, samples, bits)
    }

    fn encode(color: ColorType, depth: BitDepth, size: (u32, u32), data: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoder = png::Encoder::new(&mut out, size.0, size.1);
        encoder.set_color(color);
        encoder.set_depth(depth);
        encoder.write_header().unwrap().write_image_data(data).unwrap();
        out
    }

    #[test]
    fn samples_of_16_bits_become_little_endian() {
        let data = encode(ColorType::Grayscale, BitDepth::Sixteen, (2, 1), &[1, 2, 3, 4]);
        let picture = decode(&data, &wanted(1, 16)).unwrap();
        assert_eq!((picture.width, picture.height, picture.samples, picture.bits), (2, 1, 1, 16));
        assert_eq!(picture.data, [2, 1, 4, 3]);
    }

    #[test]
    fn colours_and_packed_bits_stay() {
        let rgb = encode(ColorType::Rgb, BitDepth::Eight, (2, 1), &[1, 2, 3, 4, 5, 6]);
        assert_eq!(decode(&rgb, &wanted(3, 8)).unwrap().data, [1, 2, 3, 4, 5, 6]);
        assert!(decode(&rgb, &wanted(4, 8)).is_err());
        let one = encode(ColorType::Grayscale, BitDepth::One, (3, 1), &[0b1010_0000]);
        let picture = decode(&one, &wanted(1, 1)).unwrap();
        assert_eq!((picture.bits, picture.data), (1, vec![0b1010_0000]));
    }

    #[test]
    fn damage_and_other_sizes_are_errors() {
        let good = encode(ColorType::Grayscale, BitDepth::Eight, (16, 16), &[7; 256]);
        assert_eq!(decode(&good, &wanted(1, 8)).unwrap().data, [7; 256]);
        assert!(decode(&good, &Wanted { width: 8, ..wanted(1, 8) }).is_err());
        for cut in 0..good.len() - 16 {
            assert!(decode(&good[..cut], &wanted(1, 8)).is_err(), "{cut}");
        }
    }
}
