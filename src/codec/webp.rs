//! WebP (RFC 9649), lossy and lossless.

use image_webp::{DecodingError, WebPDecoder};

use super::picture::{Codec, Picture, Wanted};
use super::raster::Number;
use crate::error::{Error, Result};

/// WebP.
pub const CODEC: Codec = Codec::new("WebP", memory, decode);

/// The result, the frame in YCbCr or as 32-bit pixels, and its alpha.
fn memory(decoded: u64) -> u64 {
    decoded.saturating_mul(5).saturating_add(1 << 20)
}

fn decode(data: &[u8], wanted: &Wanted<'_>) -> Result<Picture> {
    let damaged = |e: DecodingError| Error::malformed(format!("damaged WebP data ({e})"));
    let mut decoder = WebPDecoder::new(std::io::Cursor::new(data)).map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    let (width, height) = (width as usize, height as usize);
    wanted.check_size("WebP", width, height)?;
    if decoder.is_animated() {
        return Err(Error::unsupported("animated WebP"));
    }
    decoder.set_memory_limit(width * height * 8 + (1 << 20));
    let stored = if decoder.has_alpha() { 4 } else { 3 };
    let mut data = vec![0; width * height * stored];
    decoder.read_image(&mut data).map_err(damaged)?;
    // Writers leave out an alpha channel that is opaque everywhere, and put one where the container has none.
    let data = match (stored, wanted.samples) {
        (3, 4) => data.as_chunks::<3>().0.iter().flat_map(|[r, g, b]| [*r, *g, *b, 255]).collect(),
        (4, 3) => data.as_chunks::<4>().0.iter().flat_map(|[r, g, b, _]| [*r, *g, *b]).collect(),
        (stored, samples) if stored == samples => data,
        (_, samples) => return Err(Error::malformed(format!("a WebP picture where {samples} samples belong"))),
    };
    Ok(Picture { width, height, samples: wanted.samples, bits: 8, number: Number::Unsigned, data })
}

#[cfg(test)]
mod tests {
    use image_webp::{ColorType, WebPEncoder};

    use super::*;
    use crate::codec::picture::Color;

    fn wanted(samples: usize) -> Wanted<'static> {
        Wanted { color: Color::Rgb, ..Wanted::plain(16, 16, samples, 8) }
    }

    fn encode(color: ColorType, data: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        WebPEncoder::new(&mut out).encode(data, 2, 1, color).unwrap();
        out
    }

    #[test]
    fn alpha_comes_and_goes_as_the_container_says() {
        let rgb = encode(ColorType::Rgb8, &[1, 2, 3, 4, 5, 6]);
        assert_eq!(decode(&rgb, &wanted(3)).unwrap().data, [1, 2, 3, 4, 5, 6]);
        assert_eq!(decode(&rgb, &wanted(4)).unwrap().data, [1, 2, 3, 255, 4, 5, 6, 255]);
        let rgba = encode(ColorType::Rgba8, &[1, 2, 3, 9, 4, 5, 6, 8]);
        assert_eq!(decode(&rgba, &wanted(4)).unwrap().data, [1, 2, 3, 9, 4, 5, 6, 8]);
        assert_eq!(decode(&rgba, &wanted(3)).unwrap().data, [1, 2, 3, 4, 5, 6]);
        assert!(decode(&rgb, &wanted(1)).is_err());
    }

    #[test]
    fn damage_and_other_sizes_are_errors() {
        let good = encode(ColorType::Rgb8, &[1, 2, 3, 4, 5, 6]);
        assert!(decode(&good, &Wanted { width: 1, ..wanted(3) }).is_err());
        for cut in 0..good.len() - 2 {
            assert!(decode(&good[..cut], &wanted(3)).is_err(), "{cut}");
        }
    }
}
