//! LERC (Esri's Limited Error Raster Compression, versions 1 and 2), alone or packed once more.

use std::io::Read;

use lerc::{DataType, Image, LercError, SampleData};

use super::picture::{Codec, Picture, Wanted};
use super::raster::Number;
use super::{deflate, zstd};
use crate::error::{Error, Result};

/// LERC; the option is what lies on top of it: 0 nothing, 1 Deflate, 2 Zstandard.
pub const CODEC: Codec = Codec::new("LERC", memory, decode);

/// The samples in their order and in ours, and the unpacked stream.
fn memory(decoded: u64) -> u64 {
    decoded.saturating_mul(4).saturating_add(1 << 20)
}

fn decode(data: &[u8], wanted: &Wanted<'_>) -> Result<Picture> {
    match wanted.option {
        0 => decode_lerc(data, wanted),
        1 => decode_lerc(&unpack(deflate::reader(data), "Deflate", wanted)?, wanted),
        2 => decode_lerc(&unpack(zstd::reader(data, zstd::USUAL_WINDOW)?, "Zstandard", wanted)?, wanted),
        n => Err(Error::unsupported(format!("LERC with compression {n} on top"))),
    }
}

/// Takes the outer compression away; a stream of LERC is hardly larger than its samples.
fn unpack(reader: impl Read, name: &str, wanted: &Wanted<'_>) -> Result<Vec<u8>> {
    let samples = (wanted.width * wanted.height * wanted.samples) as u64 * u64::from(wanted.container_bits() / 8);
    let most = samples.saturating_mul(2).saturating_add(64 << 10);
    let mut out = Vec::new();
    reader.take(most + 1).read_to_end(&mut out).map_err(|e| super::stream_error(&e, name))?;
    if out.len() as u64 > most {
        return Err(Error::malformed(format!("{name} data give over {most} bytes of LERC")));
    }
    Ok(out)
}

fn decode_lerc(data: &[u8], wanted: &Wanted<'_>) -> Result<Picture> {
    let info = lerc::decode_info(data).map_err(damaged)?;
    wanted.check_size("LERC", info.width as usize, info.height as usize)?;
    let stored = u64::from(info.depth) * u64::from(info.bands);
    // A mask may stand for the last sample, which then is opacity.
    let masked = stored + 1 == wanted.samples as u64 && info.bands == 1 && info.data_type == DataType::Byte;
    if stored != wanted.samples as u64 && !masked {
        return Err(Error::malformed(format!("a LERC picture of {stored} samples where {} belong", wanted.samples)));
    }
    let found = match info.data_type {
        DataType::Char | DataType::Byte => 8,
        DataType::Short | DataType::UShort => 16,
        DataType::Int | DataType::UInt | DataType::Float => 32,
        DataType::Double => 64,
    };
    if found > wanted.container_bits() {
        let room = wanted.container_bits();
        return Err(Error::malformed(format!("LERC samples of {found} bits where at most {room} belong")));
    }
    let image = lerc::decode(data).map_err(damaged)?;
    let (width, height) = (image.width as usize, image.height as usize);
    let (mut data, bits, number) = bytes(&image, wanted.number);
    let size = bits as usize / 8;
    if number == Number::Float {
        clear_invalid(&image, &mut data, size);
    }
    if image.bands > 1 {
        data = interleave(&data, width * height, image.depth as usize * size, image.bands as usize);
    }
    if masked {
        data = with_mask(&image, &data);
    }
    Ok(Picture { width, height, samples: wanted.samples, bits, number, data })
}

fn damaged(e: LercError) -> Error {
    match e {
        LercError::UnsupportedVersion(n) => Error::unsupported(format!("LERC version {n}")),
        LercError::BufferTooSmall { .. } => Error::truncated(format!("the LERC data end too early ({e})")),
        _ => Error::malformed(format!("damaged LERC data ({e})")),
    }
}

/// Samples as bytes, their width, and what they are. Some writers store signed bytes as unsigned ones.
fn bytes(image: &Image, wanted: Number) -> (Vec<u8>, u32, Number) {
    match &image.data {
        SampleData::I8(v) => (v.iter().map(|v| *v as u8).collect(), 8, Number::Signed),
        SampleData::U8(v) => (v.clone(), 8, if wanted == Number::Signed { wanted } else { Number::Unsigned }),
        SampleData::I16(v) => (v.iter().flat_map(|v| v.to_le_bytes()).collect(), 16, Number::Signed),
        SampleData::U16(v) => (v.iter().flat_map(|v| v.to_le_bytes()).collect(), 16, Number::Unsigned),
        SampleData::I32(v) => (v.iter().flat_map(|v| v.to_le_bytes()).collect(), 32, Number::Signed),
        SampleData::U32(v) => (v.iter().flat_map(|v| v.to_le_bytes()).collect(), 32, Number::Unsigned),
        SampleData::F32(v) => (v.iter().flat_map(|v| v.to_le_bytes()).collect(), 32, Number::Float),
        SampleData::F64(v) => (v.iter().flat_map(|v| v.to_le_bytes()).collect(), 64, Number::Float),
    }
}

/// Pixels that the mask leaves out were not numbers before.
fn clear_invalid(image: &Image, data: &mut [u8], size: usize) {
    let pixels = image.width as usize * image.height as usize;
    let pixel = image.depth as usize * size;
    let nan = if size == 4 { f32::NAN.to_le_bytes().to_vec() } else { f64::NAN.to_le_bytes().to_vec() };
    for (band, mask) in data.chunks_exact_mut(pixels * pixel).zip(&image.valid_masks) {
        for (_, samples) in band.chunks_exact_mut(pixel).enumerate().filter(|(at, _)| !mask.is_valid(*at)) {
            samples.chunks_exact_mut(size).for_each(|s| s.copy_from_slice(&nan));
        }
    }
}

/// Bands one after the other become samples side by side.
fn interleave(data: &[u8], pixels: usize, pixel: usize, bands: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len());
    for at in 0..pixels {
        for band in 0..bands {
            let from = (band * pixels + at) * pixel;
            out.extend_from_slice(&data[from..from + pixel]);
        }
    }
    out
}

/// Appends opacity to every pixel of bytes.
fn with_mask(image: &Image, data: &[u8]) -> Vec<u8> {
    let valid = |at: usize| image.mask().is_none_or(|mask| mask.is_valid(at));
    let pixels = data.chunks_exact(image.depth as usize).enumerate();
    pixels.flat_map(|(at, samples)| samples.iter().copied().chain([if valid(at) { 255 } else { 0 }])).collect()
}

#[cfg(test)]
mod tests {
    use lerc::Precision;
    use lerc::bitmask::BitMask;

    use super::*;

    fn wanted(samples: usize, bits: u32, number: Number) -> Wanted<'static> {
        Wanted { number, ..Wanted::plain(16, 16, samples, bits) }
    }

    fn image(samples: (u32, u32), data: SampleData, mask: Option<BitMask>) -> Vec<u8> {
        let (depth, bands) = samples;
        let valid_masks = vec![mask.unwrap_or(BitMask::all_valid(4)); bands as usize];
        let data_type = match data {
            SampleData::F32(_) => DataType::Float,
            SampleData::U16(_) => DataType::UShort,
            _ => DataType::Byte,
        };
        let image = Image { width: 2, height: 2, depth, bands, data_type, valid_masks, data, no_data_value: None };
        lerc::encode(&image, Precision::Lossless).unwrap()
    }

    #[test]
    fn bands_and_depths_become_pixels() {
        let deep = image((2, 1), SampleData::U16(vec![1, 2, 3, 4, 5, 6, 7, 8]), None);
        let picture = decode(&deep, &wanted(2, 16, Number::Unsigned)).unwrap();
        assert_eq!((picture.width, picture.height, picture.bits), (2, 2, 16));
        assert_eq!(picture.data, [1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 8, 0]);
        let bands = image((1, 2), SampleData::U8(vec![1, 2, 3, 4, 11, 12, 13, 14]), None);
        let picture = decode(&bands, &wanted(2, 8, Number::Unsigned)).unwrap();
        assert_eq!(picture.data, [1, 11, 2, 12, 3, 13, 4, 14]);
        assert!(decode(&bands, &wanted(4, 8, Number::Unsigned)).is_err());
        let error = decode(&deep, &wanted(2, 8, Number::Unsigned)).unwrap_err();
        assert!(error.reason().ends_with("LERC samples of 16 bits where at most 8 belong"), "{error}");
        assert!(decode(&bands, &Wanted { width: 1, ..wanted(2, 8, Number::Unsigned) }).is_err());
    }

    #[test]
    fn what_the_mask_leaves_out_is_no_number() {
        let mut mask = BitMask::all_valid(4);
        mask.set_invalid(1);
        let data = image((1, 1), SampleData::F32(vec![1.5, 0.0, -2.0, 3.0]), Some(mask.clone()));
        let picture = decode(&data, &wanted(1, 32, Number::Float)).unwrap();
        let values: Vec<f32> = picture.data.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        assert!(values[1].is_nan());
        assert_eq!((values[0], values[2], values[3]), (1.5, -2.0, 3.0));
        let data = image((1, 1), SampleData::U8(vec![7, 0, 9, 8]), Some(mask));
        let picture = decode(&data, &wanted(2, 8, Number::Unsigned)).unwrap();
        assert_eq!(picture.data, [7, 255, 0, 0, 9, 255, 8, 255]);
    }

    #[test]
    fn a_second_compression_is_taken_away() {
        let inner = image((1, 1), SampleData::U8(vec![7, 0, 9, 8]), None);
        let packed = ::zstd::bulk::compress(&inner, 3).unwrap();
        let wanted = Wanted { option: 2, ..wanted(1, 8, Number::Unsigned) };
        assert_eq!(decode(&packed, &wanted).unwrap().data, [7, 0, 9, 8]);
        let bomb = ::zstd::bulk::compress(&vec![0; 1 << 20], 3).unwrap();
        assert!(decode(&bomb, &wanted).is_err());
        assert_eq!(decode(&packed, &Wanted { option: 9, ..wanted }).unwrap_err().kind(), crate::Kind::Unsupported);
    }

    #[test]
    fn damage_is_an_error() {
        let good = image((1, 1), SampleData::U8(vec![7, 0, 9, 8]), None);
        for cut in 0..good.len() {
            assert!(decode(&good[..cut], &wanted(1, 8, Number::Unsigned)).is_err(), "{cut}");
        }
    }
}
