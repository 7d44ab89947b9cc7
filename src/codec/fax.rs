//! Fax: ITU-T T.4 in one and two dimensions (group 3), T.6 (group 4), and the row by row variants of TIFF 6.0 section 10.
//!
//! The tables of codes are those of the `fax` crate; rows, resynchronisation and ends are handled here. White is 0 and black 1,
//! whatever the photometric interpretation makes of it.

use fax::BitReader;
use fax::maps::{Mode, black, mode, white};

use super::picture::{Codec, Picture, Wanted};
use super::raster::Number;
use crate::error::{Error, Result};

/// Modified Huffman: rows of one dimension that begin on bytes, without marks between them.
pub const ROWS: Codec = codec("CCITT modified Huffman", |data, wanted| decode(data, wanted, Scheme::Rows { align: 8 }));
/// The same with rows that begin on 16-bit words.
pub const WORD_ROWS: Codec =
    codec("CCITT RLE with word alignment", |data, wanted| decode(data, wanted, Scheme::Rows { align: 16 }));
/// Group 3; the option is T4Options.
pub const GROUP3: Codec = codec("CCITT group 3 fax", |data, wanted| {
    if wanted.option & 2 != 0 {
        return Err(Error::unsupported("CCITT group 3 fax in uncompressed mode"));
    }
    decode(data, wanted, Scheme::Group3 { two_dimensional: wanted.option & 1 != 0 })
});
/// Group 4.
pub const GROUP4: Codec = codec("CCITT group 4 fax", |data, wanted| decode(data, wanted, Scheme::Group4));

const fn codec(name: &'static str, decode: fn(&[u8], &Wanted<'_>) -> Result<Picture>) -> Codec {
    // Places of change in two rows: four bytes a pixel at worst, and a row is an eighth of that.
    let memory: fn(u64) -> u64 = |decoded| decoded.saturating_mul(2).saturating_add(1 << 20);
    Codec { bit_order: true, ..Codec::new(name, memory, decode) }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Rows { align: usize },
    Group3 { two_dimensional: bool },
    Group4,
}

/// Where a row changes colour, white first; all below its width, ascending.
type Changes = Vec<u32>;

/// Bits of a block from the most significant on; zeros follow the end.
#[derive(Clone, Copy)]
struct Bits<'a> {
    data: &'a [u8],
    at: usize,
}

impl BitReader for Bits<'_> {
    type Error = std::convert::Infallible;

    fn peek(&self, bits: u8) -> Option<u16> {
        let byte = |i: usize| u32::from(self.data.get(self.at / 8 + i).copied().unwrap_or(0));
        let held = byte(0) << 16 | byte(1) << 8 | byte(2);
        let shift = 24_usize.checked_sub(self.at % 8 + usize::from(bits))?;
        u16::try_from(held >> shift & ((1 << bits) - 1)).ok()
    }

    fn consume(&mut self, bits: u8) -> std::result::Result<(), Self::Error> {
        self.at += usize::from(bits);
        Ok(())
    }

    fn bits_to_byte_boundary(&self) -> u8 {
        ((8 - self.at % 8) % 8) as u8
    }
}

fn decode(data: &[u8], wanted: &Wanted<'_>, scheme: Scheme) -> Result<Picture> {
    wanted.check_samples("fax", 1)?;
    let (width, height) = (wanted.columns, wanted.rows);
    let end = u32::try_from(width).map_err(|_| Error::over_limit(format!("fax rows of {width} pixels")))?;
    let row_bytes = width.div_ceil(8);
    let mut out = vec![0; row_bytes * height];
    let mut bits = Bits { data, at: 0 };
    let (mut above, mut row) = (Changes::new(), Changes::new());
    for (y, line) in out.chunks_exact_mut(row_bytes.max(1)).enumerate() {
        row.clear();
        bits.row(scheme, y == 0, end, &above, &mut row).map_err(|e| e.at(format!("row {y}")))?;
        if bits.at > 8 * data.len() {
            return Err(Error::truncated(format!("the fax data end in row {y} of {height}")));
        }
        paint(&row, end, line);
        std::mem::swap(&mut above, &mut row);
    }
    Ok(Picture { width, height, samples: 1, bits: 1, number: Number::Unsigned, data: out })
}

impl Bits<'_> {
    fn row(&mut self, scheme: Scheme, first: bool, end: u32, above: &[u32], row: &mut Changes) -> Result<()> {
        match scheme {
            Scheme::Rows { align } => {
                self.at = self.at.next_multiple_of(align);
                self.row_1d(end, row)
            }
            Scheme::Group4 => self.row_2d(end, above, row),
            Scheme::Group3 { two_dimensional } => {
                let marked = self.end_of_line();
                if !marked && !first {
                    return Err(Error::malformed("no end-of-line mark in group 3 fax"));
                }
                // A bit behind the mark says how the row is coded.
                let flat = if two_dimensional && marked { self.bit() } else { true };
                if flat { self.row_1d(end, row) } else { self.row_2d(end, above, row) }
            }
        }
    }

    fn bit(&mut self) -> bool {
        let bit = self.peek(1) == Some(1);
        self.at += 1;
        bit
    }

    /// Takes an EOL, with any number of zeros in front of it; no code begins with eleven zeros.
    fn end_of_line(&mut self) -> bool {
        if self.peek(11) != Some(0) {
            return false;
        }
        while self.at < 8 * self.data.len() {
            if self.bit() {
                return true;
            }
        }
        false
    }

    /// A run of one colour: any number of make-up codes, and a terminating one (T.4 section 4.1.1).
    fn run(&mut self, is_black: bool, room: u32) -> Result<u32> {
        let mut run = 0;
        loop {
            let code = if is_black { black::decode(self) } else { white::decode(self) };
            let code = u32::from(code.ok_or_else(|| Error::malformed("no fax code of a run"))?);
            run += code;
            if run > room {
                return Err(Error::malformed("a fax row longer than the image is wide"));
            }
            if code < 64 {
                return Ok(run);
            }
        }
    }

    fn row_1d(&mut self, end: u32, row: &mut Changes) -> Result<()> {
        let (mut at, mut is_black) = (0, false);
        while at < end {
            at += self.run(is_black, end - at)?;
            change(row, at, end);
            is_black = !is_black;
        }
        Ok(())
    }

    /// A row told by its differences to the one above (T.4 section 4.2, T.6 section 2.2).
    fn row_2d(&mut self, end: u32, above: &[u32], row: &mut Changes) -> Result<()> {
        // `a0` of the recommendation; at the beginning it lies before the first pixel.
        let (mut at, mut begun, mut is_black) = (0, false, false);
        // The first change above that may lie to the right.
        let mut index = 0;
        while at < end {
            // `b1`: a change above, to the right of `a0`, to the other colour. Even ones are to black.
            while index > 0 && above[index - 1] > at {
                index -= 1;
            }
            while above.get(index).is_some_and(|b| if begun { *b <= at } else { *b < at }) {
                index += 1;
            }
            if index % 2 != usize::from(is_black) {
                index += 1;
            }
            let change_above = |i: usize| above.get(i).copied().unwrap_or(end);
            match mode::decode(self) {
                Some(Mode::Pass) => at = change_above(index + 1),
                Some(Mode::Vertical(delta)) => {
                    let to = change_above(index).checked_add_signed(i32::from(delta));
                    let to = to.filter(|to| (at..=end).contains(to) && (*to > at || !begun));
                    at = to.ok_or_else(|| Error::malformed("a fax row that goes back"))?;
                    change(row, at, end);
                    is_black = !is_black;
                }
                Some(Mode::Horizontal) => {
                    for colour in [is_black, !is_black] {
                        at += self.run(colour, end - at)?;
                        change(row, at, end);
                    }
                }
                Some(Mode::Extension) => return Err(Error::unsupported("fax data in uncompressed mode")),
                Some(Mode::EOF) => return Err(Error::truncated("the fax data end before their last row")),
                None => return Err(Error::malformed("no fax code of a mode")),
            }
            index = index.min(above.len());
            begun = true;
        }
        Ok(())
    }
}

/// Notes a change of colour; two at the same place are none.
fn change(row: &mut Changes, at: u32, end: u32) {
    if row.last() == Some(&at) {
        row.pop();
    } else if at < end {
        row.push(at);
    }
}

/// Sets the bits of the black runs.
fn paint(changes: &[u32], end: u32, line: &mut [u8]) {
    for run in changes.chunks(2) {
        let (from, to) = (run[0] as usize, run.get(1).copied().unwrap_or(end) as usize);
        let (first, last) = (from / 8, to / 8);
        // Bits from `from` on, and bits before `to`.
        let (head, tail) = (0xff_u8 >> (from % 8), !(0xff_u8 >> (to % 8)));
        if first == last {
            line[first] |= head & tail;
            continue;
        }
        line[first] |= head;
        line[first + 1..last].fill(0xff);
        if tail != 0 {
            line[last] |= tail;
        }
    }
}

#[cfg(test)]
mod tests {
    use fax::{BitWriter, Bits as Code, Color as Pixel, VecWriter};

    use super::*;

    fn wanted(width: usize, height: usize, option: u64) -> Wanted<'static> {
        Wanted { option, ..Wanted::plain(width, height, 1, 1) }
    }

    /// Rows of a pattern with runs of many lengths, the first and last rows of one colour.
    fn pattern(width: usize, height: usize) -> Vec<Vec<bool>> {
        let mut rows = vec![vec![false; width]; height];
        for (y, row) in rows.iter_mut().enumerate().skip(1) {
            for (x, pixel) in row.iter_mut().enumerate() {
                *pixel = y + 1 == height || (x * x + 3 * y * x / 7) / (40 + y) % 3 == 1;
            }
        }
        rows
    }

    fn packed(rows: &[Vec<bool>]) -> Vec<u8> {
        let byte = |bits: &[bool]| bits.iter().enumerate().fold(0, |b, (i, bit)| b | u8::from(*bit) << (7 - i));
        rows.iter().flat_map(|row| row.chunks(8).map(byte)).collect()
    }

    fn put(out: &mut VecWriter, code: Code) {
        out.write(code).unwrap();
    }

    fn put_runs(out: &mut VecWriter, row: &[bool]) {
        let (mut at, mut is_black) = (0, false);
        while at < row.len() {
            let mut run = row[at..].iter().take_while(|p| **p == is_black).count();
            at += run;
            let encode = |n: usize| if is_black { black::encode(n as u16) } else { white::encode(n as u16) }.unwrap();
            while run >= 64 {
                let part = (run / 64 * 64).min(2560);
                put(out, encode(part));
                run -= part;
            }
            put(out, encode(run));
            is_black = !is_black;
        }
    }

    #[test]
    fn group_4_reads_back() {
        for (width, height) in [(1, 1), (7, 5), (8, 9), (1000, 60), (5000, 3)] {
            let rows = pattern(width, height);
            let mut encoder = fax::encoder::Encoder::new(VecWriter::new());
            for row in &rows {
                let pixels = row.iter().map(|p| if *p { Pixel::Black } else { Pixel::White });
                encoder.encode_line(pixels, width as u32).unwrap();
            }
            let data = encoder.finish().unwrap().finish();
            let picture = (GROUP4.decode)(&data, &wanted(width, height, 0)).unwrap();
            assert_eq!(picture.data, packed(&rows), "{width} x {height}");
            assert!((GROUP4.decode)(&data, &wanted(width, height + 1, 0)).is_err());
        }
    }

    #[test]
    fn rows_of_runs_read_back() {
        const EOL: Code = Code { data: 1, len: 12 };
        let rows = pattern(3000, 20);
        for align in [1, 2] {
            let mut data = Vec::new();
            for row in &rows {
                let mut out = VecWriter::new();
                put_runs(&mut out, row);
                data.extend(out.finish());
                data.resize(data.len().next_multiple_of(align), 0);
            }
            let codec = if align == 1 { &ROWS } else { &WORD_ROWS };
            assert_eq!((codec.decode)(&data, &wanted(3000, 20, 0)).unwrap().data, packed(&rows));
            assert!((codec.decode)(&data[..data.len() / 2], &wanted(3000, 20, 0)).is_err());
        }
        // Group 3, with fill in front of some marks, and the marks that end a page.
        let mut out = VecWriter::new();
        for (y, row) in rows.iter().enumerate() {
            (0..y % 5).for_each(|_| put(&mut out, Code { data: 0, len: 1 }));
            put(&mut out, EOL);
            put_runs(&mut out, row);
        }
        (0..6).for_each(|_| put(&mut out, EOL));
        let data = out.finish();
        assert_eq!((GROUP3.decode)(&data, &wanted(3000, 20, 0)).unwrap().data, packed(&rows));
        assert!((GROUP3.decode)(&data, &wanted(3000, 21, 0)).is_err());
        assert!((GROUP3.decode)(&data, &wanted(2999, 20, 0)).is_err());
        // The same rows in the scheme of two dimensions, each marked as one of one dimension.
        let mut out = VecWriter::new();
        for row in &rows {
            put(&mut out, EOL);
            put(&mut out, Code { data: 1, len: 1 });
            put_runs(&mut out, row);
        }
        let data = out.finish();
        assert_eq!((GROUP3.decode)(&data, &wanted(3000, 20, 1)).unwrap().data, packed(&rows));
        let error = (GROUP3.decode)(&data, &wanted(3000, 20, 2)).unwrap_err();
        assert_eq!(error.kind(), crate::Kind::Unsupported);
    }

    #[test]
    fn noise_ends() {
        let mut noise = 1_u32;
        let data: Vec<u8> = std::iter::repeat_with(|| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (noise >> 24) as u8
        })
        .take(4000)
        .collect();
        for start in 0..200 {
            for codec in [&ROWS, &WORD_ROWS, &GROUP3, &GROUP4] {
                for option in [0, 1] {
                    let _ = (codec.decode)(&data[start..], &wanted(100, 2000, option));
                }
            }
        }
        assert!((GROUP4.decode)(&[], &wanted(100, 1, 0)).is_err());
    }
}
