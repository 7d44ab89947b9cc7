//! Baseline JPEG row by row (ITU-T T.81), for streams whose picture is too large to hold: whole slides in one strip.
//!
//! Rows come out as components side by side, at full size. The transform and the smoothing of subsampled components are those
//! of the reference implementation, in integers; colours are the caller's matter.

use std::io::{self, BufRead, Read};

use super::huffman::{Table, ZIGZAG};
use super::jpeg_bits::{Bits, damaged};
use crate::error::{Error, Result};

/// Columns and rows of a block.
const SIDE: usize = 8;
/// Values of a Huffman table are bytes, each once.
const MAX_CODES: usize = 256;
/// Headers are some hundred bytes; comments may be longer.
const MAX_SEGMENTS: usize = 4096;

/// One component: its tables, and the decoded rows that are still needed.
#[derive(Default)]
struct Component {
    id: u8,
    /// Sampling factors.
    across: usize,
    down: usize,
    quantization: usize,
    dc: usize,
    ac: usize,
    predicted: i32,
    /// Columns with those that fill the last MCU, and without.
    stride: usize,
    width: usize,
    /// Rows without those that fill the last MCU.
    height: usize,
    /// Decoded rows, of which the first has this number.
    first: usize,
    rows: Vec<u8>,
}

/// A stream of rows.
pub struct Rows<R> {
    bits: Bits<R>,
    quantization: [[u16; 64]; 4],
    dc: [Option<Box<Table>>; 4],
    ac: [Option<Box<Table>>; 4],
    components: Vec<Component>,
    width: usize,
    height: usize,
    /// Largest sampling factors.
    across: usize,
    down: usize,
    /// MCUs between restarts; 0: there are none.
    interval: usize,
    /// MCUs since the last restart, and the number of the next one.
    since: usize,
    restarts: u8,
    /// Rows that were given out, and what is left of the last one.
    row: usize,
    pending: Vec<u8>,
    at: usize,
}

/// Memory that a stream of so many columns holds: two rows of MCUs of at most four components, and its tables.
pub fn memory(width: u64) -> u64 {
    width.saturating_mul(4 * 3 * 32).saturating_add(1 << 20)
}

impl<R: BufRead> Rows<R> {
    /// Reads the headers.
    ///
    /// # Errors
    /// `Unsupported` for all but sequential frames of 8 bits whose components share one scan; `Malformed`, `Truncated`, `Io`.
    pub fn new(input: R) -> Result<Self> {
        let mut rows = Rows {
            bits: Bits::new(input),
            quantization: [[0; 64]; 4],
            dc: [const { None }; 4],
            ac: [const { None }; 4],
            components: Vec::new(),
            width: 0,
            height: 0,
            across: 1,
            down: 1,
            interval: 0,
            since: 0,
            restarts: 0,
            row: 0,
            pending: Vec::new(),
            at: 0,
        };
        rows.headers().map_err(|e| super::stream_error(&e, "JPEG"))?;
        Ok(rows)
    }

    /// Columns, rows, components.
    pub fn size(&self) -> (usize, usize, usize) {
        (self.width, self.height, self.components.len())
    }

    fn headers(&mut self) -> io::Result<()> {
        if self.bits.word()? != 0xffd8 {
            return Err(damaged("no JPEG data"));
        }
        for _ in 0..MAX_SEGMENTS {
            if self.bits.byte()? != 0xff {
                return Err(damaged("no marker between two segments"));
            }
            let mut marker = 0xff;
            while marker == 0xff {
                marker = self.bits.byte()?;
            }
            let length = usize::from(self.bits.word()?);
            let mut body = vec![0; length.checked_sub(2).ok_or_else(|| damaged("a segment without a length"))?];
            self.bits.fill(&mut body)?;
            match marker {
                0xc0 | 0xc1 => self.frame(&body)?,
                0xc2..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                    let text = format!("a JPEG of this size with frame type {}", marker & 15);
                    return Err(io::Error::other(Error::unsupported(text)));
                }
                0xc4 => self.huffman(&body)?,
                0xdb => self.quantizers(&body)?,
                0xdd => self.interval = usize::from(word(&body, 0)?),
                0xda => return self.scan(&body),
                _ => {}
            }
        }
        Err(damaged("no scan"))
    }

    fn frame(&mut self, body: &[u8]) -> io::Result<()> {
        let short = || damaged("a short frame header");
        let [precision, ..] = *body else { return Err(short()) };
        let count = usize::from(*body.get(5).ok_or_else(short)?);
        if precision != 8 || !self.components.is_empty() || !matches!(count, 1 | 3) {
            let text = format!("a JPEG of this size with {count} components of {precision} bits");
            return Err(io::Error::other(Error::unsupported(text)));
        }
        (self.height, self.width) = (usize::from(word(body, 1)?), usize::from(word(body, 3)?));
        if self.height == 0 || self.width == 0 {
            return Err(damaged("a frame without a size"));
        }
        for part in body.get(6..6 + 3 * count).ok_or_else(short)?.chunks_exact(3) {
            let (across, down) = (usize::from(part[1] >> 4), usize::from(part[1] & 15));
            if !(1..=4).contains(&across) || !(1..=4).contains(&down) {
                return Err(damaged("sampling factors outside of 1 to 4"));
            }
            // The only component of a scan is not interleaved, whatever its factors.
            let (across, down) = if count == 1 { (1, 1) } else { (across, down) };
            let quantization = usize::from(part[2] & 3);
            self.components.push(Component { id: part[0], across, down, quantization, ..Component::default() });
        }
        self.across = self.components.iter().map(|c| c.across).max().unwrap_or(1);
        self.down = self.components.iter().map(|c| c.down).max().unwrap_or(1);
        let mcus = self.width.div_ceil(SIDE * self.across);
        for c in &mut self.components {
            c.stride = mcus * SIDE * c.across;
            c.width = (self.width * c.across).div_ceil(self.across);
            c.height = (self.height * c.down).div_ceil(self.down);
        }
        Ok(())
    }

    fn huffman(&mut self, mut body: &[u8]) -> io::Result<()> {
        while let [kind, rest @ ..] = body {
            let refused = |e: Error| damaged(e.what());
            let (counts, values, rest) = Table::split(rest).map_err(refused)?;
            if values.len() > MAX_CODES {
                return Err(damaged("a Huffman table with too many codes"));
            }
            let table = Table::new(counts, values).map_err(refused)?;
            let tables = if kind >> 4 == 0 { &mut self.dc } else { &mut self.ac };
            tables[usize::from(kind & 3)] = Some(Box::new(table));
            body = rest;
        }
        Ok(())
    }

    fn quantizers(&mut self, mut body: &[u8]) -> io::Result<()> {
        while let [kind, rest @ ..] = body {
            let size = if kind >> 4 == 0 { 1 } else { 2 };
            let (values, rest) =
                rest.split_at_checked(64 * size).ok_or_else(|| damaged("a short quantization table"))?;
            let table = &mut self.quantization[usize::from(kind & 3)];
            for (entry, value) in table.iter_mut().zip(values.chunks_exact(size)) {
                *entry = value.iter().fold(0, |n, b| n << 8 | u16::from(*b));
            }
            body = rest;
        }
        Ok(())
    }

    fn scan(&mut self, body: &[u8]) -> io::Result<()> {
        let count = body.first().map_or(0, |n| usize::from(*n));
        if count == 0 || count != self.components.len() {
            return Err(io::Error::other(Error::unsupported(
                "a JPEG of this size whose components lie in several scans",
            )));
        }
        for (component, part) in self.components.iter_mut().zip(body.get(1..).unwrap_or_default().chunks_exact(2)) {
            if component.id != part[0] {
                return Err(damaged("components in another order than in the frame"));
            }
            (component.dc, component.ac) = (usize::from(part[1] >> 4 & 3), usize::from(part[1] & 3));
        }
        Ok(())
    }

    /// Decodes a row of MCUs.
    fn mcus(&mut self) -> io::Result<()> {
        for c in &mut self.components {
            c.rows.resize(c.rows.len() + c.stride * SIDE * c.down, 0);
        }
        for mcu in 0..self.width.div_ceil(SIDE * self.across) {
            if self.interval > 0 && self.since == self.interval {
                self.bits.restart(self.restarts)?;
                self.restarts = (self.restarts + 1) & 7;
                self.since = 0;
                self.components.iter_mut().for_each(|c| c.predicted = 0);
            }
            self.since += 1;
            for c in &mut self.components {
                let (Some(dc), Some(ac)) = (&self.dc[c.dc], &self.ac[c.ac]) else {
                    return Err(damaged("a Huffman table that is not there"));
                };
                let table = &self.quantization[c.quantization];
                let begin = c.rows.len() - c.stride * SIDE * c.down;
                for block in 0..c.across * c.down {
                    let (by, bx) = (block / c.across, block % c.across);
                    let coefficients = block_of(&mut self.bits, dc, ac, table, &mut c.predicted)?;
                    let at = begin + by * SIDE * c.stride + (mcu * c.across + bx) * SIDE;
                    inverse(&coefficients, c.rows.get_mut(at..).unwrap_or_default(), c.stride);
                }
            }
        }
        Ok(())
    }

    /// Makes the next row.
    fn next_row(&mut self) -> io::Result<()> {
        let (y, down) = (self.row, self.down);
        let needed = |c: &Component| (y * c.down / down + 2).min(c.height);
        while self.components.iter().any(|c| c.first + c.rows.len() / c.stride.max(1) < needed(c)) {
            self.mcus()?;
        }
        let samples = self.components.len();
        self.pending.resize(self.width * samples, 0);
        self.at = 0;
        for (sample, c) in self.components.iter_mut().enumerate() {
            c.upsample(y, (self.across, self.down), self.pending.iter_mut().skip(sample).step_by(samples));
            // The row above is needed for the next one, and those before it no more.
            let spent = (y * c.down / down).saturating_sub(1).saturating_sub(c.first);
            if spent >= SIDE {
                c.rows.drain(..spent * c.stride);
                c.first += spent;
            }
        }
        self.row += 1;
        Ok(())
    }
}

impl Component {
    fn row(&self, number: usize) -> &[u8] {
        let at = (number.min(self.height - 1) - self.first) * self.stride;
        self.rows.get(at..at + self.width).unwrap_or_default()
    }

    /// Row `y` of the picture. Halved components are smoothed as the reference implementation does ("fancy upsampling");
    /// others are repeated.
    fn upsample<'a>(&self, y: usize, (across, down): (usize, usize), out: impl Iterator<Item = &'a mut u8>) {
        let smooth_down = down == 2 * self.down;
        let near = self.row(y * self.down / down);
        let far = match (smooth_down, y % 2) {
            (false, _) => near,
            (true, 0) => self.row((y / 2).saturating_sub(1)),
            (true, _) => self.row(y / 2 + 1),
        };
        let half = across == 2 * self.across;
        // Three parts of the nearer row, one of the other; a whole row counts four of itself.
        let column = |x: usize| {
            let (n, f) = (u32::from(near[x.min(near.len() - 1)]), u32::from(far[x.min(far.len() - 1)]));
            if smooth_down { 3 * n + f } else { n }
        };
        for (x, sample) in out.enumerate() {
            let value = if half && (self.width > 2 || smooth_down) {
                let cx = x / 2;
                let other = if x % 2 == 0 { cx.checked_sub(1) } else { Some(cx + 1).filter(|o| *o < self.width) };
                let here = column(cx);
                let sum = 3 * here + other.map_or(here, column);
                match (smooth_down, x % 2) {
                    (true, 0) => (sum + 8) >> 4,
                    (true, _) => (sum + 7) >> 4,
                    (false, 0) => (sum + 1) >> 2,
                    (false, _) => (sum + 2) >> 2,
                }
            } else {
                let here = column(x * self.across / across);
                if smooth_down { (here + 1 + (y as u32 & 1)) >> 2 } else { here }
            };
            *sample = value as u8;
        }
    }
}

impl<R: BufRead> Read for Rows<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.at == self.pending.len() {
            if self.row == self.height {
                return Ok(0);
            }
            self.next_row()?;
        }
        let size = out.len().min(self.pending.len() - self.at);
        out[..size].copy_from_slice(&self.pending[self.at..self.at + size]);
        self.at += size;
        Ok(size)
    }
}

/// The coefficients of a block, dequantized, row after row.
fn block_of<R: BufRead>(
    bits: &mut Bits<R>,
    dc: &Table,
    ac: &Table,
    table: &[u16; 64],
    predicted: &mut i32,
) -> io::Result<[i64; 64]> {
    let mut block = [0; 64];
    let size = bits.symbol(dc)?;
    if size > 15 {
        return Err(damaged("a difference of more than 15 bits"));
    }
    // Samples of 8 bits need 12; what is beyond 16 is damage, and cut off.
    *predicted = i32::from(predicted.wrapping_add(bits.number(u32::from(size))?) as i16);
    block[0] = i64::from(*predicted) * i64::from(table[0]);
    let mut k = 1;
    while k < 64 {
        let symbol = bits.symbol(ac)?;
        let (run, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
        if size == 0 {
            if run < 15 {
                break;
            }
            k += 16;
            continue;
        }
        k += run;
        let (Some(place), Some(quantum)) = (ZIGZAG.get(k), table.get(k)) else {
            return Err(damaged("more than 64 coefficients in a block"));
        };
        block[*place] = i64::from(bits.number(size)?) * i64::from(*quantum);
        k += 1;
    }
    Ok(block)
}

/// The inverse transform of Loeffler, Ligtenberg and Moschytz in fixed point of 13 bits: columns, then rows.
fn inverse(block: &[i64; 64], out: &mut [u8], stride: usize) {
    let mut half = [0; 64];
    for x in 0..SIDE {
        let column: [i64; 8] = std::array::from_fn(|y| block[SIDE * y + x]);
        for (y, value) in pass(column).into_iter().enumerate() {
            half[SIDE * y + x] = (value + (1 << 10)) >> 11;
        }
    }
    for (y, row) in half.as_chunks::<SIDE>().0.iter().enumerate() {
        let Some(target) = out.get_mut(y * stride..y * stride + SIDE) else { return };
        for (sample, value) in target.iter_mut().zip(pass(*row)) {
            *sample = (((value + (1 << 17)) >> 18) + 128).clamp(0, 255) as u8;
        }
    }
}

/// One dimension of the transform.
fn pass(v: [i64; 8]) -> [i64; 8] {
    let z1 = (v[2] + v[6]) * 4433;
    let (a, b) = (z1 - v[6] * 15_137, z1 + v[2] * 6270);
    let (c, d) = ((v[0] + v[4]) << 13, (v[0] - v[4]) << 13);
    let even = [c + b, d + a, d - a, c - b];
    let (z1, z2, z3, z4) = (v[7] + v[1], v[5] + v[3], v[7] + v[3], v[5] + v[1]);
    let z5 = (z3 + z4) * 9633;
    let (z1, z2, z3, z4) = (z1 * -7373, z2 * -20_995, z3 * -16_069 + z5, z4 * -3196 + z5);
    let odd = [v[1] * 12_299 + z1 + z4, v[3] * 25_172 + z2 + z3, v[5] * 16_819 + z2 + z4, v[7] * 2446 + z1 + z3];
    std::array::from_fn(|i| if i < 4 { even[i] + odd[i] } else { even[7 - i] - odd[7 - i] })
}

fn word(bytes: &[u8], at: usize) -> io::Result<u16> {
    let pair = bytes.get(at..at + 2).ok_or_else(|| damaged("a short segment"))?;
    Ok(u16::from_be_bytes([pair[0], pair[1]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A grey picture of 16 x 8 pixels: two blocks whose DC differences have the codes of category 3.
    fn stream(scan: &[u8]) -> Vec<u8> {
        let mut s = b"\xff\xd8\xff\xdb\0\x43\0".to_vec();
        s.extend([8; 64]);
        s.extend(b"\xff\xc0\0\x0b\x08\0\x08\0\x10\x01\x01\x22\0");
        // Two codes of one and two bits: 0 and 3; for AC: end of block, and a run of 16 zeros.
        s.extend(b"\xff\xc4\0\x15\0\x01\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x03");
        s.extend(b"\xff\xc4\0\x15\x10\x01\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xf0");
        s.extend(b"\xff\xda\0\x08\x01\x01\0\0\x3f\0");
        s.extend(scan);
        s.extend(b"\xff\xd9");
        s
    }

    #[test]
    fn flat_blocks_are_flat() {
        // 10 111 0: +7, end of block; 10 000 0: -7, end of block; ones to fill.
        let data = stream(&[0b1011_1010, 0b0000_1111]);
        let mut rows = Rows::new(data.as_slice()).unwrap();
        assert_eq!(rows.size(), (16, 8, 1));
        let mut out = Vec::new();
        rows.read_to_end(&mut out).unwrap();
        assert_eq!(out.len(), 128);
        assert!(out.chunks(16).all(|row| row[..8] == [135; 8] && row[8..] == [128; 8]), "{out:?}");
    }

    #[test]
    fn damage_is_an_error() {
        let read = |data: &[u8]| {
            Rows::new(data).and_then(|mut rows| {
                rows.read_to_end(&mut Vec::new()).map_err(|e| crate::codec::stream_error(&e, "JPEG"))
            })
        };
        let whole = stream(&[0b1011_1010, 0b0000_1111]);
        assert!(read(&whole).is_ok());
        // The fill bits are not missed; all else is.
        for end in 0..whole.len() - 3 {
            assert!(read(&whole[..end]).is_err(), "{end}");
        }
        // Runs of zeros beyond the block end it; a code that is none is refused.
        assert!(read(&stream(&[0b1111_1111, 0, 0b1111_1111, 0])).is_err());
    }

    #[test]
    fn one_coefficient_is_a_cosine() {
        let mut block = [0; 64];
        block[1] = 400;
        let mut out = [0; 64];
        inverse(&block, &mut out, 8);
        let want: Vec<u8> = (0..8)
            .map(|x| {
                let wave = (std::f64::consts::PI * f64::from(2 * x + 1) / 16.0).cos();
                (128.0 + 400.0 / 8.0 * std::f64::consts::SQRT_2 * wave).round() as u8
            })
            .collect();
        assert_eq!(out[..8], want);
        assert_eq!(out[56..], want);
    }
}
