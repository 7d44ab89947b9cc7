//! JPEG XL (ISO/IEC 18181), lossy and lossless, integers of up to 16 bits and floats.

use jxl_oxide::{AllocTracker, JxlImage, JxlThreadPool};

use super::picture::{Codec, Picture, Wanted};
use super::raster::Number;
use crate::error::{Error, Result};

/// JPEG XL.
pub const CODEC: Codec = Codec::new("JPEG XL", memory, decode);

/// Several copies of all channels in 32 bits, with the margins that filters need.
fn memory(decoded: u64) -> u64 {
    decoded.saturating_mul(40).saturating_add(8 << 20)
}

fn decode(data: &[u8], wanted: &Wanted<'_>) -> Result<Picture> {
    let (bits, number) = match (wanted.number, wanted.bits) {
        (Number::Unsigned, 1..=8) => (8, Number::Unsigned),
        (Number::Unsigned, 9..=16) => (16, Number::Unsigned),
        (Number::Float, 32) => (32, Number::Float),
        (number, bits) => {
            return Err(Error::unsupported(format!("JPEG XL samples of {bits} bits in format {number:?}")));
        }
    };
    let bytes = (wanted.width * wanted.height * wanted.samples) as u64 * u64::from(bits / 8);
    let tracker = AllocTracker::with_limit(usize::try_from(memory(bytes)).unwrap_or(usize::MAX));
    let builder = JxlImage::builder().pool(JxlThreadPool::none()).alloc_tracker(tracker);
    let image = builder.read(data).map_err(damaged)?;
    let (width, height) = (image.width() as usize, image.height() as usize);
    wanted.check_size("JPEG XL", width, height)?;
    let colors = if image.pixel_format().is_grayscale() { 1 } else { 3 };
    wanted.check_samples("JPEG XL", colors + image.image_header().metadata.ec_info.len())?;
    if !image.is_loading_done() {
        return Err(Error::truncated("the JPEG XL data end too early"));
    }
    let metadata = &image.image_header().metadata;
    let depths = std::iter::repeat_n(&metadata.bit_depth, colors).chain(metadata.ec_info.iter().map(|e| &e.bit_depth));
    // Integers are shown as they were stored, however few of the bits they use.
    let most: Vec<f32> = depths.map(|depth| ((1_u64 << depth.bits_per_sample().min(bits)) - 1) as f32).collect();
    let planes = image.render_frame(0).map_err(damaged)?.image_planar();
    let whole = |p: &jxl_oxide::FrameBuffer| (p.width(), p.height()) == (width, height);
    if planes.len() != wanted.samples || !planes.iter().all(whole) {
        return Err(Error::malformed("JPEG XL data with channels of unexpected sizes"));
    }
    let size = bits as usize / 8;
    let mut out = vec![0; width * height * wanted.samples * size];
    for (i, (plane, most)) in planes.iter().zip(&most).enumerate() {
        for (pixel, v) in out.chunks_exact_mut(wanted.samples * size).zip(plane.buf()) {
            let sample = &mut pixel[i * size..(i + 1) * size];
            match size {
                1 => sample[0] = integer(*v, *most) as u8,
                2 => sample.copy_from_slice(&integer(*v, *most).to_le_bytes()),
                _ => sample.copy_from_slice(&v.to_le_bytes()),
            }
        }
    }
    Ok(Picture { width, height, samples: wanted.samples, bits, number, data: out })
}

/// From the nominal range of 0 to 1, which holds every integer of 16 bits exactly.
fn integer(value: f32, most: f32) -> u16 {
    (value * most + 0.5).clamp(0.0, most) as u16
}

fn damaged(e: Box<dyn std::error::Error + Send + Sync>) -> Error {
    let unexpected_end =
        e.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::UnexpectedEof);
    let text = format!("damaged JPEG XL data ({e})");
    if unexpected_end { Error::truncated(text) } else { Error::malformed(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_come_back_exactly() {
        for v in [0, 1, 2, 254, 255, 256, 32_767, 40_001, 65_534, 65_535_u16] {
            assert_eq!(integer(f32::from(v) / 65_535.0, 65_535.0), v);
        }
        assert_eq!((integer(-0.5, 255.0), integer(1.5, 255.0), integer(f32::NAN, 255.0)), (0, 255, 0));
    }

    #[test]
    fn garbage_is_refused() {
        let wanted = Wanted::plain(8, 8, 1, 8);
        for data in [&b""[..], b"\xff\x0a", b"no picture", b"\0\0\0\x0cJXL \x0d\x0a\x87\x0a"] {
            assert!((CODEC.decode)(data, &wanted).is_err(), "{data:?}");
        }
        let wanted = Wanted { bits: 64, ..wanted };
        assert_eq!((CODEC.decode)(b"\xff\x0a", &wanted).unwrap_err().kind(), crate::Kind::Unsupported);
    }
}
