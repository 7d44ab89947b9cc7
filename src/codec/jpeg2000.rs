//! JPEG 2000 (ISO/IEC 15444-1), as a bare codestream or in a JP2 file, at any of its own resolutions.

use hayro_jpeg2000::{DecodeSettings, DecoderContext, Image};

use super::jpeg;
use super::picture::{Codec, Color, Picture, Wanted};
use super::raster::Number;
use crate::error::{Error, Result};

/// JPEG 2000.
pub const CODEC: Codec = Codec { resolutions: Some(resolutions), ..Codec::new("JPEG 2000", memory, decode) };
/// JPEG 2000 whose components are YCbCr unless the stream itself transforms them (Aperio's number 33003).
pub const YCBCR: Codec = Codec {
    resolutions: Some(resolutions),
    ..Codec::new("JPEG 2000 (YCbCr)", memory, |data, wanted| {
        decode(data, &Wanted { color: Color::YCbCr, ..wanted.clone() })
    })
};

fn resolutions(data: &[u8]) -> Result<u8> {
    Header::parse(data).map(|header| header.levels)
}

/// Samples and coefficients of 32 bits for one component, samples for the others, and the blocks of codes.
fn memory(decoded: u64) -> u64 {
    decoded.saturating_mul(20).saturating_add(1 << 20)
}

/// More tiles in one stream have no numbers (A.4.2).
const MAX_TILES: u64 = 65_535;
/// Samples are computed in floating-point numbers that are exact up to here.
const MAX_PRECISION: u8 = 24;

/// What the headers of a codestream say (A.5.1, A.6.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// How many times the picture can be had at half the size before.
    pub levels: u8,
    /// Columns and rows of a tile, at most those of the picture, and the number of tiles.
    tile: (u32, u32),
    tiles: u64,
    /// The stream itself turns its first three components into RGB.
    transformed: bool,
    components: Vec<Component>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Component {
    precision: u8,
    signed: bool,
    /// Columns and rows of the picture for each of its own.
    step: (u8, u8),
}

impl Header {
    /// Reads the headers; `data` may end behind them.
    ///
    /// # Errors
    /// `Malformed`, `Truncated`; `OverLimit` for made-up numbers of tiles.
    pub fn parse(data: &[u8]) -> Result<Self> {
        let short = || Error::truncated("the JPEG 2000 data end in their headers");
        let mut rest = codestream(data)?;
        rest = rest.get(2..).ok_or_else(short)?;
        let mut header = None;
        loop {
            let [0xff, marker, high, low, ..] = *rest else { return Err(short()) };
            let length = usize::from(high) << 8 | usize::from(low);
            let body = rest.get(4..length + 2).ok_or_else(short)?;
            rest = &rest[length + 2..];
            match (marker, &mut header) {
                (0x51, header @ None) => *header = Some(Self::size(body)?),
                (0x52, Some(header)) => {
                    let [_, _, _, _, transform, levels, ..] = *body else { return Err(short()) };
                    if levels > 32 {
                        return Err(Error::malformed(format!("JPEG 2000 with {levels} levels")));
                    }
                    header.transformed = transform == 1;
                    header.levels = levels;
                    return Ok(header.clone());
                }
                (0x90, _) => return Err(Error::malformed("JPEG 2000 data without a coding style")),
                _ => {}
            }
        }
    }

    fn size(body: &[u8]) -> Result<Self> {
        let long = |i: usize| body.get(2 + 4 * i..6 + 4 * i).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
        let (Some(x1), Some(y1), Some(x0), Some(y0), Some(tile_x), Some(tile_y), Some(_), Some(_), Some(count)) =
            (long(0), long(1), long(2), long(3), long(4), long(5), long(6), long(7), body.get(34..36))
        else {
            return Err(Error::truncated("a short JPEG 2000 header"));
        };
        let count = usize::from(count[0]) << 8 | usize::from(count[1]);
        let components = body.get(36..36 + 3 * count).filter(|c| !c.is_empty());
        let components = components.ok_or_else(|| Error::malformed("a JPEG 2000 header without components"))?;
        let component =
            |c: &[u8; 3]| Component { precision: (c[0] & 127) + 1, signed: c[0] & 128 != 0, step: (c[1], c[2]) };
        let components: Vec<_> = components.as_chunks().0.iter().map(component).collect();
        if tile_x == 0
            || tile_y == 0
            || x1 <= x0
            || y1 <= y0
            || components.iter().any(|c| c.step.0 == 0 || c.step.1 == 0)
        {
            return Err(Error::malformed("a JPEG 2000 header with sizes of zero"));
        }
        let tiles = u64::from(x1.div_ceil(tile_x)) * u64::from(y1.div_ceil(tile_y));
        if tiles > MAX_TILES {
            return Err(Error::over_limit(format!("{tiles} tiles in one JPEG 2000 stream")));
        }
        let (width, height) = (x1 - x0, y1 - y0);
        let tile = (tile_x.min(width), tile_y.min(height));
        Ok(Header { width, height, levels: 0, tile, tiles, transformed: false, components })
    }

    /// Samples of a pixel, and the bits of the deepest of them.
    pub fn samples(&self) -> (usize, u32) {
        let deepest = self.components.iter().map(|c| u32::from(c.precision)).max();
        (self.components.len(), deepest.unwrap_or(0))
    }

    /// Refuses made-up precincts: the decoder holds something for each of them before it reads any.
    fn check_precincts(&self, data: &[u8]) -> Result<()> {
        let most = u64::from(self.width) * u64::from(self.height) / 64 + (1 << 16);
        for style in self.styles(codestream(data)?) {
            let count = self.precincts(style).saturating_mul(self.tiles);
            if count > most {
                return Err(Error::over_limit(format!("{count} precincts in one JPEG 2000 stream")));
            }
        }
        Ok(())
    }

    /// Precincts of a component of a tile in such a style, about (A.6.1, B.6).
    fn precincts(&self, style: &[u8]) -> u64 {
        let [levels, _, _, _, _, sizes @ ..] = style else { return 0 };
        let levels = u32::from(*levels).min(32);
        let of_level = |level: u32| {
            let size = sizes.get(level as usize).copied().unwrap_or(0xff);
            let side = |pixels: u32, exponent: u8| ((u64::from(pixels) >> (levels - level)) >> exponent) + 1;
            side(self.tile.0, size & 15) * side(self.tile.1, size >> 4)
        };
        (0..=levels).map(of_level).sum()
    }

    /// The coding styles in the headers of the stream and its tiles, from their number of levels on.
    fn styles<'a>(&self, stream: &'a [u8]) -> Vec<&'a [u8]> {
        let (mut found, mut at, mut end) = (Vec::new(), 2, None);
        while let Some([0xff, marker]) = stream.get(at..at + 2) {
            if *marker == 0x93 {
                // The data of a part of a tile; the next part follows it.
                match end.take() {
                    Some(next) if next > at => at = next,
                    _ => break,
                }
                continue;
            }
            let Some([high, low]) = stream.get(at + 2..at + 4) else { break };
            let length = usize::from(*high) << 8 | usize::from(*low);
            let Some(body) = stream.get(at + 4..at + 2 + length) else { break };
            match marker {
                0x52 => found.extend(body.get(5..)),
                0x53 => found.extend(body.get(if self.components.len() < 257 { 2 } else { 3 }..)),
                0x90 => {
                    let size = body.get(2..6).map_or(0, |b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
                    end = Some(at.saturating_add(size as usize));
                }
                _ => {}
            }
            at += 2 + length;
        }
        found
    }

    /// Are the chroma components smaller? Only YCbCr is stored so.
    fn is_subsampled(&self) -> bool {
        matches!(self.components.as_slice(), [y, cb, cr] if cb.step == cr.step && cb.step != y.step)
    }
}

/// The codestream inside of a JP2 file (annex I), or the data themselves.
fn codestream(data: &[u8]) -> Result<&[u8]> {
    if data.starts_with(b"\xff\x4f\xff\x51") {
        return Ok(data);
    }
    let mut rest = data;
    // A JP2 file has a handful of boxes before the codestream.
    for _ in 0..64 {
        let Some((head, body)) = rest.split_first_chunk::<8>() else { break };
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        if &head[4..] == b"jp2c" {
            let start = if length == 1 { 8 } else { 0 };
            return body
                .get(start..)
                .filter(|b| b.starts_with(b"\xff\x4f\xff\x51"))
                .ok_or_else(|| Error::malformed("no codestream in a JP2 file"));
        }
        rest = match rest.get(length..) {
            Some(next) if length >= 8 => next,
            _ => break,
        };
    }
    Err(Error::malformed("no JPEG 2000 data"))
}

fn decode(data: &[u8], wanted: &Wanted<'_>) -> Result<Picture> {
    let header = Header::parse(data)?;
    let reduce = wanted.reduce.min(header.levels);
    let reduced = |side: u32| side.div_ceil(1 << reduce.min(31)) as usize;
    let (width, height) = (reduced(header.width), reduced(header.height));
    wanted.check_size("JPEG 2000", width, height)?;
    wanted.check_samples("JPEG 2000", header.components.len())?;
    if let Some(c) = header.components.iter().find(|c| c.precision > MAX_PRECISION) {
        return Err(Error::unsupported(format!("JPEG 2000 with samples of {} bits", c.precision)));
    }
    if let Some(c) = header.components.iter().find(|c| u32::from(c.precision) > wanted.container_bits()) {
        let (found, room) = (c.precision, wanted.container_bits());
        return Err(Error::malformed(format!("JPEG 2000 samples of {found} bits where at most {room} belong")));
    }
    header.check_precincts(data)?;
    if reduce < wanted.reduce {
        return Err(Error::malformed(format!("a JPEG 2000 picture without resolution {}", wanted.reduce)));
    }
    // Some writers leave out the mark at the end; damage and loss are found without it.
    let mut stream = data.to_vec();
    if data.starts_with(b"\xff\x4f") && !data.ends_with(b"\xff\xd9") {
        stream.extend_from_slice(b"\xff\xd9");
    }
    let target = |side: u32| (side >> reduce.min(31)).max(1);
    let settings = DecodeSettings {
        resolve_palette_indices: false,
        strict: true,
        target_resolution: (reduce > 0).then(|| (target(header.width), target(header.height))),
    };
    let damaged = |e| Error::malformed(format!("damaged JPEG 2000 data ({e})"));
    let image = Image::new(&stream, &settings).map_err(damaged)?;
    if (image.width() as usize, image.height() as usize) != (width, height) {
        return Err(Error::malformed("JPEG 2000 data that contradict themselves about their size"));
    }
    let mut context = DecoderContext::default();
    let image = image.decode(&mut context).map_err(damaged)?;
    let planes = image.components();
    if planes.len() != wanted.samples || planes.iter().any(|p| p.samples().len() != width * height) {
        return Err(Error::malformed("JPEG 2000 data with components of unexpected sizes"));
    }
    let bits = wanted.container_bits();
    let mut out = vec![0; width * height * wanted.samples * bits as usize / 8];
    for (i, (plane, component)) in planes.iter().zip(&header.components).enumerate() {
        store(plane.samples(), *component, i, wanted, &mut out);
    }
    let is_ycbcr = wanted.color == Color::YCbCr && !header.transformed && !header.is_subsampled();
    if is_ycbcr && wanted.samples == 3 && bits == 8 {
        jpeg::ycbcr_to_rgb(&mut out, 255);
    }
    let number = if header.components.iter().all(|c| c.signed) { Number::Signed } else { Number::Unsigned };
    Ok(Picture { width, height, samples: wanted.samples, bits, number, data: out })
}

/// Rounds the samples of a component and puts them among the others.
fn store(plane: &[f32], component: Component, index: usize, wanted: &Wanted<'_>, out: &mut [u8]) {
    let range = (1_i64 << component.precision) as f32;
    // The decoder shifts signed components as if they had no sign.
    let shift = if component.signed { range / 2.0 } else { 0.0 };
    let value = |v: f32| (v.round_ties_even().clamp(0.0, range - 1.0) - shift) as i64;
    let size = wanted.container_bits() as usize / 8;
    let pixel = size * wanted.samples;
    for (o, v) in out.chunks_exact_mut(pixel).zip(plane) {
        o[index * size..(index + 1) * size].copy_from_slice(&value(*v).to_le_bytes()[..size]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(samples: usize) -> Wanted<'static> {
        Wanted { color: Color::Rgb, ..Wanted::plain(64, 64, samples, 8) }
    }

    /// SIZ for three components of 8 bits, the last two at half the size, and COD with five levels.
    const HEAD: &[u8] =
        b"\xff\x4f\xff\x51\0\x2f\0\0\0\0\0\x64\0\0\0\x50\0\0\0\0\0\0\0\0\0\0\0\x64\0\0\0\x50\0\0\0\0\0\0\0\0\
        \0\x03\x07\x01\x01\x07\x02\x01\x07\x02\x01\xff\x52\0\x0c\0\0\0\x01\x01\x05\x04\x04\0\0";

    #[test]
    fn headers_are_read_bare_and_in_a_file() {
        let header = Header::parse(HEAD).unwrap();
        assert_eq!((header.width, header.height, header.levels, header.transformed), (100, 80, 5, true));
        assert!(header.is_subsampled());
        let file = [&b"\0\0\0\x0cjP  \x0d\x0a\x87\x0a\0\0\0\0jp2c"[..], HEAD].concat();
        assert_eq!(Header::parse(&file).unwrap(), header);
        for end in 0..HEAD.len() - 5 {
            assert!(Header::parse(&HEAD[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn precincts_without_number_are_refused() {
        let begin = HEAD.windows(2).position(|w| w == b"\xff\x52").unwrap();
        let mut head = HEAD[..begin].to_vec();
        for at in [8, 12, 24, 28] {
            head[at..at + 4].copy_from_slice(&4096_u32.to_be_bytes());
        }
        let style = |size: u8| [&b"\xff\x52\0\x12\x01\0\0\x01\x01\x05\x04\x04\0\0"[..], &[size; 6]].concat();
        let check = |data: &[u8]| Header::parse(data).unwrap().check_precincts(data).map_err(|e| e.kind());
        assert_eq!(check(&[&head[..], &style(0x77)].concat()), Ok(()));
        assert_eq!(check(&[&head[..], &style(0x11)].concat()), Err(crate::Kind::OverLimit));
        // In the header of the second part of a tile.
        let part = |size: u8| b"\xff\x90\0\x0a\0\0\0\0\0".iter().copied().chain([size, 0, 1]).collect::<Vec<u8>>();
        let first = [&part(16)[..], b"\xff\x93ab"].concat();
        let whole = |size| [&head[..], &style(0x77), &first, &part(0), &style(size), b"\xff\x93cd"].concat();
        assert_eq!(check(&whole(0x77)), Ok(()));
        assert_eq!(check(&whole(0x11)), Err(crate::Kind::OverLimit));
    }

    #[test]
    fn sizes_are_checked_before_anything_is_decoded() {
        let error = (CODEC.decode)(HEAD, &wanted(3)).unwrap_err();
        assert!(error.reason().ends_with("a JPEG 2000 picture of 100 x 80 pixels where 64 x 64 belong"), "{error}");
        // Eleven bits in samples of a byte.
        let mut deep = HEAD.to_vec();
        deep[42] = 10;
        let error = (CODEC.decode)(&deep, &Wanted { width: 100, height: 80, ..wanted(3) }).unwrap_err();
        assert!(error.reason().ends_with("JPEG 2000 samples of 11 bits where at most 8 belong"), "{error}");
        let mut tiny = HEAD.to_vec();
        // Tiles of one pixel, and sides of 65,536.
        tiny[8..12].copy_from_slice(&65_536_u32.to_be_bytes());
        tiny[12..16].copy_from_slice(&65_536_u32.to_be_bytes());
        tiny[24..28].copy_from_slice(&1_u32.to_be_bytes());
        tiny[28..32].copy_from_slice(&1_u32.to_be_bytes());
        assert_eq!(Header::parse(&tiny).unwrap_err().kind(), crate::Kind::OverLimit);
        assert!((CODEC.decode)(b"no picture", &wanted(1)).is_err());
    }
}
