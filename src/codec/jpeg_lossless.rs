//! Lossless JPEG (ITU-T T.81 annex H): Huffman-coded differences to a predicted neighbour, samples of 2 to 16 bits.

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

/// A Huffman table by code length (T.81 annex F.2.2.3).
#[derive(Clone)]
struct Table {
    /// For each length of 1 to 16 bits: one past the last code, shifted up to 16 bits.
    limit: [u32; 17],
    /// For each length: what to add to a code to find its value.
    offset: [i32; 17],
    values: Vec<u8>,
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
    let mut tables: [Option<Table>; 4] = [const { None }; 4];
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

impl Table {
    fn parse_all(mut body: &[u8], tables: &mut [Option<Table>; 4]) -> Result<()> {
        while let Some((&head, after)) = body.split_first() {
            let short = || Error::truncated("a short Huffman table");
            let counts: &[u8; 16] = after.first_chunk().ok_or_else(short)?;
            let total = counts.iter().map(|c| usize::from(*c)).sum::<usize>();
            let values = after.get(16..16 + total).ok_or_else(short)?;
            if let Some(slot) = tables.get_mut(usize::from(head)) {
                *slot = Some(Table::new(counts, values)?);
            }
            body = &after[16 + total..];
        }
        Ok(())
    }

    fn new(counts: &[u8; 16], values: &[u8]) -> Result<Self> {
        let mut table = Table { limit: [0; 17], offset: [0; 17], values: values.to_vec() };
        let (mut code, mut index) = (0_u32, 0_i32);
        for (length, count) in (1..=16).zip(counts) {
            table.offset[length] = index - code as i32;
            code += u32::from(*count);
            index += i32::from(*count);
            if code > 1 << length {
                return Err(Error::malformed("a Huffman table with too many codes"));
            }
            table.limit[length] = code << (16 - length);
            code <<= 1;
        }
        Ok(table)
    }
}

/// Entropy-coded bits; zeros follow the end, and how many is counted.
struct Bits<'a> {
    data: &'a [u8],
    held: u64,
    have: u32,
    invented: u32,
}

impl Bits<'_> {
    fn fill(&mut self) {
        while self.have <= 48 {
            let byte = match self.data {
                [0xff, 0, ..] => {
                    self.data = &self.data[2..];
                    0xff
                }
                [byte, ..] if *byte != 0xff => {
                    self.data = &self.data[1..];
                    *byte
                }
                _ => {
                    self.invented += 8;
                    0
                }
            };
            self.held = self.held << 8 | u64::from(byte);
            self.have += 8;
        }
    }

    fn take(&mut self, count: u32) -> u32 {
        self.have -= count;
        (self.held >> self.have) as u32 & ((1 << count) - 1)
    }

    /// One difference (T.81 annexes F.2.2.1 and H.2.2).
    fn difference(&mut self, table: &Table) -> Result<i32> {
        self.fill();
        let ahead = (self.held >> (self.have - 16)) as u32 & 0xffff;
        let length = (1..=16).find(|l| ahead < table.limit[*l]);
        let length = length.ok_or_else(|| Error::malformed("damaged lossless JPEG data"))?;
        let code = self.take(length as u32);
        let value = usize::try_from(code as i32 + table.offset[length]).ok().and_then(|i| table.values.get(i));
        let difference = match value.copied() {
            Some(0) => 0,
            Some(16) => 32_768,
            Some(bits @ 1..16) => {
                let extra = self.take(u32::from(bits)) as i32;
                if extra < 1 << (bits - 1) { extra - (1 << bits) + 1 } else { extra }
            }
            _ => return Err(Error::malformed("damaged lossless JPEG data")),
        };
        if self.invented > self.have {
            return Err(Error::truncated("the lossless JPEG data end too early"));
        }
        Ok(difference)
    }

    /// Goes on behind the next restart marker.
    fn restart(&mut self) -> Result<()> {
        let marker = self.data.windows(2).position(|b| b[0] == 0xff && (0xd0..=0xd7).contains(&b[1]));
        let marker = marker.ok_or_else(|| Error::truncated("no restart marker in lossless JPEG data"))?;
        *self = Bits { data: &self.data[marker + 2..], held: 0, have: 0, invented: 0 };
        Ok(())
    }
}

fn scan(frame: &Frame, header: &[u8], tables: &[Option<Table>; 4], restart: usize, data: &[u8]) -> Result<Image> {
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
        let table = tables.get(usize::from(selector[1] >> 4)).and_then(Option::as_ref);
        let table = table.filter(|_| selector[0] == *id);
        chosen.push(table.ok_or_else(|| Error::malformed("a JPEG scan without its Huffman table"))?);
    }
    let row = frame.width * samples;
    let mut data = Bits { data, held: 0, have: 0, invented: 0 };
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
                out[at] = (predicted + data.difference(table)?) as u16;
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
