//! JPEG inside TIFF (TIFF Technical Note 2): abbreviated streams with shared tables, colours by what TIFF says.
//!
//! The decoder is told nothing of colour: every stream is handed over as plain components, and YCbCr is turned into RGB
//! here, by the arithmetic of the reference implementation.

use multiversion::multiversion;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::picture::{Codec, Color, Picture, Wanted};
use super::raster::Number;
use crate::error::{Error, Result};

/// JPEG as a container of TIFF's kind has it.
pub const CODEC: Codec = Codec::new("JPEG", memory, decode);

/// Samples, their coefficients of 16 bits, and the stream with its tables.
fn memory(decoded: u64) -> u64 {
    decoded.saturating_mul(5).saturating_add(64 << 10)
}

/// What the headers of a stream say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Header {
    jfif: bool,
    adobe: Option<u8>,
    width: usize,
    height: usize,
    samples: usize,
    precision: u8,
    lossless: bool,
    sequential: bool,
}

/// Decodes a whole stream; no frame may be larger than is wanted.
fn decode(data: &[u8], wanted: &Wanted<'_>) -> Result<Picture> {
    let (stream, header) = assemble(data, wanted.tables)?;
    wanted.check_size("JPEG", header.width, header.height)?;
    wanted.check_samples("JPEG", header.samples)?;
    let picture = |data, bits| {
        let (width, height, samples) = (header.width, header.height, header.samples);
        Picture { width, height, samples, bits, number: Number::Unsigned, data }
    };
    if header.lossless {
        let (found, room) = (u32::from(header.precision), wanted.container_bits());
        if found > room {
            return Err(Error::malformed(format!("lossless JPEG samples of {found} bits where at most {room} belong")));
        }
        let image = super::jpeg_lossless::decode(&stream)?;
        return Ok(match wanted.container_bits() {
            8 => picture(image.data.iter().map(|v| *v as u8).collect(), 8),
            _ => picture(image.data.iter().flat_map(|v| v.to_le_bytes()).collect(), 16),
        });
    }
    let convert = match wanted.color {
        Color::YCbCr => true,
        Color::Rgb => header.adobe.map_or(header.jfif, |transform| transform == 1),
        Color::Stored => false,
    };
    let convert = convert && header.samples == 3;
    if header.precision == 12 && header.sequential {
        let mut data = super::jpeg_wide::decode(&stream)?.data;
        if convert {
            ycbcr_to_rgb(&mut data, 4095);
        }
        return Ok(picture(data.iter().flat_map(|v| v.to_le_bytes()).collect(), 16));
    }
    if header.precision != 8 {
        return Err(Error::unsupported(format!("JPEG with samples of {} bits", header.precision)));
    }
    let out = match header.samples {
        1 => ColorSpace::Luma,
        3 => ColorSpace::RGB,
        4 => ColorSpace::CMYK,
        n => return Err(Error::unsupported(format!("JPEG with {n} components"))),
    };
    // Strict: a stream that ends early is an error, not grey.
    let options = DecoderOptions::default()
        .set_max_width(header.width)
        .set_max_height(header.height)
        .set_strict_mode(true)
        .jpeg_set_out_colorspace(out);
    let damaged = |e: zune_jpeg::errors::DecodeErrors| Error::malformed(format!("damaged JPEG data ({e})"));
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(stream.as_slice()), options);
    let mut data = vec![0; header.width * header.height * header.samples];
    decoder.decode_headers().map_err(damaged)?;
    if decoder.output_buffer_size() != Some(data.len()) {
        return Err(Error::malformed("two frame headers in one JPEG stream"));
    }
    decoder.decode_into(&mut data).map_err(damaged)?;
    if convert {
        ycbcr_to_rgb(&mut data, 255);
    }
    Ok(picture(data, 8))
}

/// Puts the tables in front of the data, and replaces what the stream says of its colours.
fn assemble(data: &[u8], tables: Option<&[u8]>) -> Result<(Vec<u8>, Header)> {
    /// Adobe's APP14 with transform 0: components are what they are.
    const PLAIN: &[u8] = b"\xff\xd8\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00";
    let mut header = Header::default();
    let mut stream = Vec::with_capacity(PLAIN.len() + data.len() + tables.map_or(0, <[u8]>::len));
    stream.extend_from_slice(PLAIN);
    if let Some(tables) = tables {
        segments(tables, &mut stream, &mut header).map_err(|e| e.at("JPEGTables"))?;
    }
    segments(data, &mut stream, &mut header)?;
    if header.width == 0 || header.height == 0 {
        return Err(Error::malformed("no JPEG frame"));
    }
    Ok((stream, header))
}

/// Copies the segments of `data` that decoding needs; from the first scan on, everything.
fn segments(data: &[u8], stream: &mut Vec<u8>, header: &mut Header) -> Result<()> {
    let short = || Error::truncated("the JPEG data end in their headers");
    let mut rest = data.strip_prefix(b"\xff\xd8").ok_or_else(|| Error::malformed("no JPEG data"))?;
    loop {
        // Markers may be padded with any number of FF.
        let at = rest.iter().position(|b| *b != 0xff).unwrap_or(rest.len());
        let Some(marker) = rest.get(at).copied() else {
            // Tables need no end marker.
            return if rest.is_empty() { Ok(()) } else { Err(short()) };
        };
        if at == 0 {
            return Err(Error::malformed("no marker between two JPEG segments"));
        }
        rest = &rest[at + 1..];
        if marker == 0xd9 {
            return Ok(());
        }
        let length = rest.get(..2).map(|b| usize::from(b[0]) << 8 | usize::from(b[1])).ok_or_else(short)?;
        let body = rest.get(2..length).ok_or_else(short)?;
        match marker {
            0xda => {
                stream.extend_from_slice(&[0xff, marker]);
                stream.extend_from_slice(rest);
                return Ok(());
            }
            0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                return Err(Error::unsupported(format!("JPEG with frame type {}", marker & 15)));
            }
            0xc0..=0xc3 => {
                header.lossless = marker == 0xc3;
                header.sequential = marker == 0xc1;
                let [precision, h1, h0, w1, w0, samples, ..] = body else { return Err(short()) };
                header.precision = *precision;
                header.height = usize::from(*h1) << 8 | usize::from(*h0);
                header.width = usize::from(*w1) << 8 | usize::from(*w0);
                header.samples = usize::from(*samples);
            }
            0xe0 => header.jfif |= body.starts_with(b"JFIF\0"),
            0xee if body.starts_with(b"Adobe") => header.adobe = body.get(11).copied(),
            _ => {}
        }
        if !matches!(marker, 0xe0..=0xef | 0xfe) {
            stream.extend_from_slice(&[0xff, marker]);
            stream.extend_from_slice(&rest[..length]);
        }
        rest = &rest[length..];
    }
}

/// A sample of a picture.
pub trait Component: Copy + Into<i32> {
    /// From a value that fits.
    fn narrow(value: i32) -> Self;
}

impl Component for u8 {
    fn narrow(value: i32) -> Self {
        value as u8
    }
}

impl Component for u16 {
    fn narrow(value: i32) -> Self {
        value as u16
    }
}

/// ITU-T T.871 section 7, in 16-bit fixed point; `most` is the largest sample.
#[multiversion(targets("x86_64+avx2"))]
pub fn ycbcr_to_rgb<T: Component>(data: &mut [T], most: i32) {
    // Pixels of a block at a time, component by component: that is what a compiler makes vector instructions of.
    const BLOCK: usize = 32;
    let middle = most / 2 + 1;
    let part = |n: i32| (n + (1 << 15)) >> 16;
    let narrow = |v: i32| T::narrow(v.clamp(0, most));
    for block in data.chunks_mut(3 * BLOCK) {
        let (mut y, mut cb, mut cr) = ([0; BLOCK], [0; BLOCK], [0; BLOCK]);
        for (i, pixel) in block.as_chunks::<3>().0.iter().take(BLOCK).enumerate() {
            (y[i], cb[i], cr[i]) = (pixel[0].into(), pixel[1].into() - middle, pixel[2].into() - middle);
        }
        let (mut red, mut green, mut blue) = ([0; BLOCK], [0; BLOCK], [0; BLOCK]);
        for i in 0..BLOCK {
            red[i] = y[i] + part(91_881 * cr[i]);
            green[i] = y[i] + part(-22_554 * cb[i] - 46_802 * cr[i]);
            blue[i] = y[i] + part(116_130 * cb[i]);
        }
        for (i, pixel) in block.as_chunks_mut::<3>().0.iter_mut().take(BLOCK).enumerate() {
            *pixel = [narrow(red[i]), narrow(green[i]), narrow(blue[i])];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_by_the_reference_arithmetic() {
        let mut data = [128_u8, 128, 128, 76, 85, 255, 150, 44, 21, 29, 255, 107];
        ycbcr_to_rgb(&mut data, 255);
        assert_eq!(data, [128, 128, 128, 254, 0, 0, 0, 255, 1, 0, 0, 254]);
    }

    #[test]
    fn blocks_and_single_pixels_are_one_arithmetic() {
        let picture: Vec<u8> = (0..3 * 101_u32).map(|i| ((i * i * 7) >> 3) as u8).collect();
        let (mut whole, mut single) = (picture.clone(), picture);
        ycbcr_to_rgb(&mut whole, 255);
        single.chunks_mut(3).for_each(|pixel| ycbcr_to_rgb(pixel, 255));
        assert_eq!(whole, single);
    }

    fn wanted() -> Wanted<'static> {
        Wanted::plain(64, 64, 1, 8)
    }

    #[test]
    fn garbage_is_refused() {
        for data in [&b""[..], b"\xff\xd8", b"\xff\xd8\xff\xd9", b"\xff\xd8\xff\xc0\0\x0b\x08\0\0\0\0\x03", b"abc"] {
            assert!(decode(data, &wanted()).is_err(), "{data:?}");
        }
    }

    #[test]
    fn samples_that_do_not_fit_are_refused() {
        // A lossless frame of 12 bits.
        let data = b"\xff\xd8\xff\xc3\0\x0b\x0c\0\x02\0\x03\x01\x01\x11\0\xff\xda\0\x08\x01\x01\0\x01\0\0";
        let error = decode(data, &wanted()).unwrap_err();
        assert!(error.reason().ends_with("samples of 12 bits where at most 8 belong"), "{error}");
    }

    #[test]
    fn tables_go_first_and_markers_of_colour_go_away() {
        let tables = b"\xff\xd8\xff\xdb\0\x03\x07\xff\xd9";
        let data = b"\xff\xd8\xff\xe0\0\x07JFIF\0\xff\xc0\0\x09\x08\0\x02\0\x03\x01\x09\xff\xda\0\x02xyz\xff\xd9";
        let (stream, header) = assemble(data, Some(tables)).unwrap();
        assert_eq!(header, Header { jfif: true, width: 3, height: 2, samples: 1, precision: 8, ..Header::default() });
        assert!(stream.ends_with(b"\xff\xdb\0\x03\x07\xff\xc0\0\x09\x08\0\x02\0\x03\x01\x09\xff\xda\0\x02xyz\xff\xd9"));
    }
}
