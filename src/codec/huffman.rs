//! What the processes of JPEG share: Huffman tables, entropy-coded bits, the order of coefficients (ITU-T T.81 annexes A.3.6,
//! B.2.4.2 and F.2.2).

use crate::error::{Error, Result};

/// The order of coefficients in a block (T.81 figure A.6).
pub const ZIGZAG: [usize; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

/// Codes of up to so many bits are found in one step.
const FAST: u32 = 9;

/// A Huffman table by code length (T.81 annex F.2.2.3).
#[derive(Clone)]
pub struct Table {
    /// Length and value of the code that a bit pattern begins with; length 0: it is longer.
    fast: Vec<(u8, u8)>,
    /// For each length of 1 to 16 bits: one past the last code, shifted up to 16 bits.
    limit: [u32; 17],
    /// For each length: what to add to a code to find its value.
    offset: [i32; 17],
    values: Vec<u8>,
}

impl Table {
    /// Reads a DHT segment into `tables`, four of class 0 (differences) and four of class 1 (the other coefficients).
    ///
    /// # Errors
    /// `Truncated`, `Malformed`.
    pub fn parse_all(mut body: &[u8], tables: &mut [Option<Table>; 8]) -> Result<()> {
        while let Some((&head, after)) = body.split_first() {
            let (counts, values, rest) = Table::split(after)?;
            if head & 0xec == 0 {
                tables[usize::from(head >> 2 & 4 | head & 3)] = Some(Table::new(counts, values)?);
            }
            body = rest;
        }
        Ok(())
    }

    /// One table at the beginning of `bytes`: sixteen counts, the values, and what follows.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn split(bytes: &[u8]) -> Result<(&[u8; 16], &[u8], &[u8])> {
        let short = || Error::truncated("a short Huffman table");
        let (counts, rest) = bytes.split_first_chunk::<16>().ok_or_else(short)?;
        let total = counts.iter().map(|n| usize::from(*n)).sum();
        let (values, rest) = rest.split_at_checked(total).ok_or_else(short)?;
        Ok((counts, values, rest))
    }

    /// From as many values as the counts say.
    ///
    /// # Errors
    /// `Malformed` if there are more codes than bits allow.
    pub fn new(counts: &[u8; 16], values: &[u8]) -> Result<Self> {
        let mut table =
            Table { fast: vec![(0, 0); 1 << FAST], limit: [0; 17], offset: [0; 17], values: values.to_vec() };
        let mut left = values.iter();
        let (mut code, mut index) = (0_u32, 0_i32);
        for (length, count) in (1_u32..).zip(counts) {
            table.offset[length as usize] = index - code as i32;
            for value in left.by_ref().take(usize::from(*count)) {
                if code >= 1 << length {
                    return Err(Error::malformed("a Huffman table with too many codes"));
                }
                if length <= FAST {
                    let begin = (code << (FAST - length)) as usize;
                    table.fast[begin..begin + (1 << (FAST - length))].fill((length as u8, *value));
                }
                code += 1;
                index += 1;
            }
            table.limit[length as usize] = code << (16 - length);
            code <<= 1;
        }
        Ok(table)
    }

    /// Length and value of the code that 16 bits begin with.
    pub fn find(&self, bits: u32) -> Option<(u32, u8)> {
        let (length, value) = self.fast[(bits >> (16 - FAST)) as usize];
        if length > 0 {
            return Some((u32::from(length), value));
        }
        let length = (FAST as usize + 1..=16).find(|l| bits < self.limit[*l])?;
        let index = (bits >> (16 - length)) as i32 + self.offset[length];
        self.values.get(usize::try_from(index).ok()?).map(|v| (length as u32, *v))
    }
}

/// The number that `bits` bits, 1 to 16, stand for: the first one tells its sign (T.81 annex F.2.2.1).
pub fn signed(value: i32, bits: u32) -> i32 {
    if value < 1 << (bits - 1) { value - (1 << bits) + 1 } else { value }
}

/// Entropy-coded bits; zeros follow the end, and how many is counted.
pub struct Bits<'a> {
    data: &'a [u8],
    held: u64,
    have: u32,
    invented: u32,
}

impl<'a> Bits<'a> {
    /// Bits from the beginning of `data` to the next marker.
    pub fn new(data: &'a [u8]) -> Self {
        Bits { data, held: 0, have: 0, invented: 0 }
    }

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

    /// The value of the next code.
    ///
    /// # Errors
    /// `Malformed` if there is no such code.
    pub fn symbol(&mut self, table: &Table) -> Result<u8> {
        self.fill();
        let ahead = (self.held >> (self.have - 16)) as u32 & 0xffff;
        let found = table.find(ahead);
        let (length, value) = found.ok_or_else(|| Error::malformed("damaged JPEG data: no such code"))?;
        self.take(length);
        Ok(value)
    }

    /// A number of so many bits, at most 16, whose first bit tells its sign (T.81 annex F.2.2.1).
    pub fn signed(&mut self, bits: u8) -> i32 {
        if bits == 0 {
            return 0;
        }
        self.fill();
        let value = self.take(u32::from(bits)) as i32;
        signed(value, u32::from(bits))
    }

    /// Was everything so far in the data?
    ///
    /// # Errors
    /// `Truncated`.
    pub fn check(&self) -> Result<()> {
        if self.invented > self.have {
            return Err(Error::truncated("the JPEG data end too early"));
        }
        Ok(())
    }

    /// Goes on behind the next restart marker.
    ///
    /// # Errors
    /// `Truncated` if there is none.
    pub fn restart(&mut self) -> Result<()> {
        let marker = self.data.windows(2).position(|b| b[0] == 0xff && (0xd0..=0xd7).contains(&b[1]));
        let marker = marker.ok_or_else(|| Error::truncated("no restart marker in JPEG data"))?;
        *self = Bits::new(&self.data[marker + 2..]);
        Ok(())
    }

    /// What follows the entropy-coded data: the next marker that is no restart.
    pub fn rest(&self) -> &'a [u8] {
        let marker = |b: &[u8]| b[0] == 0xff && !matches!(b[1], 0 | 0xd0..=0xd7 | 0xff);
        let at = self.data.windows(2).position(marker).unwrap_or(self.data.len());
        &self.data[at..]
    }
}
