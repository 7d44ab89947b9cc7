//! Lossless JPEG (ITU-T T.81 annex H): Huffman-coded differences to a predicted neighbour, samples of 2 to 16 bits.

use super::huffman::{Bits, Table};
use crate::error::{Error, Result};

/// Decoded components, side by side.
pub struct Image {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Components of a pixel.
    pub samples: usize,
    /// Bits of a sample.
    pub precision: u32,
    /// `height * width * samples` values.
    pub data: Vec<u16>,
}

struct Frame {
    width: usize,
    height: usize,
    precision: u32,
    /// Identifiers of the components.
    ids: Vec<u8>,
}

/// Decodes a stream from its headers on (tables already in front), one interleaved scan. The caller has checked the size
/// of the frame.
///
/// # Errors
/// `Malformed`, `Truncated`; `Unsupported` for subsampled components or several scans.
pub fn decode(stream: &[u8]) -> Result<Image> {
    let short = || Error::truncated("the JPEG data end in their headers");
    let mut tables: [Option<Table>; 8] = [const { None }; 8];
    let (mut frame, mut restart) = (None, 0);
    let mut rest = stream.strip_prefix(b"\xff\xd8").ok_or_else(|| Error::malformed("no JPEG data"))?;
    loop {
        let [0xff, marker, high, low, ..] = *rest else { return Err(short()) };
        let length = usize::from(high) << 8 | usize::from(low);
        let body = rest.get(4..length + 2).ok_or_else(short)?;
        rest = &rest[length + 2..];
        match marker {
            0xc3 => frame = Some(Frame::parse(body)?),
            0xc4 => Table::parse_all(body, &mut tables)?,
            0xdd => restart = body.first_chunk().map(|b| usize::from(u16::from_be_bytes(*b))).ok_or_else(short)?,
            0xda => {
                let frame = frame.ok_or_else(|| Error::malformed("a scan before its frame"))?;
                return scan(&frame, body, &tables, restart, rest);
            }
            _ => {}
        }
    }
}

impl Frame {
    fn parse(body: &[u8]) -> Result<Self> {
        let [precision, h1, h0, w1, w0, count, components @ ..] = body else {
            return Err(Error::truncated("a short JPEG frame header"));
        };
        if !(2..=16).contains(precision) || *count == 0 || components.len() < usize::from(*count) * 3 {
            return Err(Error::malformed(format!("a lossless JPEG frame of {count} components, {precision} bits")));
        }
        let components = &components.as_chunks::<3>().0[..usize::from(*count)];
        if components.iter().any(|c| c[1] != components[0][1]) {
            return Err(Error::unsupported("lossless JPEG with subsampled components"));
        }
        Ok(Frame {
            width: usize::from(*w1) << 8 | usize::from(*w0),
            height: usize::from(*h1) << 8 | usize::from(*h0),
            precision: u32::from(*precision),
            ids: components.iter().map(|c| c[0]).collect(),
        })
    }
}

/// One difference (T.81 annexes F.2.2.1 and H.2.2).
fn difference(bits: &mut Bits<'_>, table: &Table) -> Result<i32> {
    let difference = match bits.symbol(table)? {
        16 => 32_768,
        count @ 0..16 => bits.signed(count),
        _ => return Err(Error::malformed("damaged lossless JPEG data")),
    };
    bits.check()?;
    Ok(difference)
}

fn scan(frame: &Frame, header: &[u8], tables: &[Option<Table>; 8], restart: usize, data: &[u8]) -> Result<Image> {
    let samples = frame.ids.len();
    let short = || Error::truncated("a short JPEG scan header");
    if header.first().copied().map(usize::from) != Some(samples) {
        return Err(Error::unsupported("lossless JPEG in several scans"));
    }
    let selectors = header.get(1..1 + 2 * samples).ok_or_else(short)?;
    let [predictor, _, low, ..] = header[1 + 2 * samples..] else { return Err(short()) };
    let shift = u32::from(low & 15);
    if predictor > 7 || shift >= frame.precision {
        return Err(Error::malformed(format!("lossless JPEG predictor {predictor}, shift {shift}")));
    }
    let mut chosen = Vec::with_capacity(samples);
    for (selector, id) in selectors.as_chunks::<2>().0.iter().zip(&frame.ids) {
        let table = tables[..4].get(usize::from(selector[1] >> 4)).and_then(Option::as_ref);
        let table = table.filter(|_| selector[0] == *id);
        chosen.push(table.ok_or_else(|| Error::malformed("a JPEG scan without its Huffman table"))?);
    }
    let row = frame.width * samples;
    let mut data = Bits::new(data);
    let mut out = vec![0_u16; row * frame.height];
    let first = 1 << (frame.precision - shift - 1);
    // Where prediction begins anew: at the beginning, and behind every restart marker.
    let (mut left, mut fresh) = (restart, 0);
    for y in 0..frame.height {
        for x in 0..frame.width {
            if restart > 0 && left == 0 {
                data.restart()?;
                (left, fresh) = (restart, y);
            }
            left = left.wrapping_sub(1);
            for (s, table) in chosen.iter().enumerate() {
                let at = y * row + x * samples + s;
                let value = |at: usize| i32::from(out[at]);
                let predicted = match (x, y == fresh) {
                    (0, true) => first,
                    (0, false) => value(at - row),
                    (_, true) => value(at - samples),
                    _ => {
                        let (a, b, c) = (value(at - samples), value(at - row), value(at - row - samples));
                        match predictor {
                            1 => a,
                            2 => b,
                            3 => c,
                            4 => a + b - c,
                            5 => a + ((b - c) >> 1),
                            6 => b + ((a - c) >> 1),
                            7 => (a + b) >> 1,
                            _ => 0,
                        }
                    }
                };
                out[at] = (predicted + difference(&mut data, table)?) as u16;
            }
        }
    }
    if shift > 0 {
        out.iter_mut().for_each(|v| *v <<= shift);
    }
    Ok(Image { width: frame.width, height: frame.height, samples, precision: frame.precision, data: out })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two rows of three 8-bit samples, predictor 1. Codes: difference category 0 is `0`, 1 is `10`, 8 is `110`.
    fn stream(entropy: &[u8]) -> Vec<u8> {
        let mut stream = b"\xff\xd8\xff\xc4\0\x16\0\x01\x01\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x08".to_vec();
        stream.extend(b"\xff\xc3\0\x0b\x08\0\x02\0\x03\x01\x01\x11\0");
        stream.extend(b"\xff\xda\0\x08\x01\x01\0\x01\0\0");
        stream.extend(entropy);
        stream
    }

    #[test]
    fn differences_add_up() {
        // 128 + 0, + 1, - 1; then from the one above 128 + 0, + 200, + 0.
        let image = decode(&stream(&[0b0101_1000, 0b1101_1001, 0b0000_1111, 0xff, 0xd9])).unwrap();
        assert_eq!((image.width, image.height, image.samples, image.precision), (3, 2, 1, 8));
        assert_eq!(image.data, [128, 129, 128, 128, 328, 328]);
    }

    #[test]
    fn an_early_end_is_an_error() {
        assert_eq!(decode(&stream(&[0b0101_1000])).err().unwrap().kind(), crate::Kind::Truncated);
        assert!(decode(&stream(&[0xff, 0xd9])).is_err());
        assert!(decode(b"\xff\xd8").is_err());
    }
}
